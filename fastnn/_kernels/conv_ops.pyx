"""Convolution and pooling. A row of the batch is a sample, and belongs to one thread."""

from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels
from fastnn._kernels.ops cimport *

# A unit has as many elements as that of a dense layer at most, but few columns: it copies patches for its rows, and
# reads the gradients of all outputs for its columns.
cdef enum:
    CONV_UNIT_COLS = LEAST_UNIT_COLS
# What that costs, in rows of the kernel: 128 samples of 11 x 11 x 64 outputs took 3.0 ms with one unit of 288 rows.
    ROWS_FOR_COPIES = 8


cdef class ConvOp(DenseOp):
    """A dense layer on what a window sees at each position: its kernel is (size_y * size_x * channels, filters)."""

    def __init__(self, int source, int target, window, Py_ssize_t filters, int activation, double alpha, int kernel,
                 Py_ssize_t kernel_offset, int bias, Py_ssize_t bias_offset, bint trainable):
        cdef fnn_window w = as_window(window)
        cdef Py_ssize_t positions = w.out_height * w.out_width
        super().__init__(source, target, w.height * w.width * w.channels, positions * filters, activation, alpha,
                         kernel, kernel_offset, bias, bias_offset, trainable)
        self.window = w
        self.kernel_rows, self.kernel_cols = w.size_y * w.size_x * w.channels, filters
        self.uses = positions

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        """Units keep their gradient before it."""
        return (UNIT_SIZE + kernels(FNN_F64 if itemsize == 8 else FNN_F32).conv_scratch(&self.window)) * itemsize

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldz = run.ld[self.saved], ldy = run.ld[self.target]
        lane_rows(share, &r0, &r1)
        run.k.conv_forward(
            r1 - r0, &self.window, self.kernel_cols, at(run.y[self.source], r0, ldx, 0, size), ldx,
            run.param + self.kernel_offset * size, run.param + self.bias_offset * size if self.bias >= 0 else NULL,
            self.activation, self.alpha,
            at(run.y[self.saved], r0, ldz, 0, size) if self.saved != self.target else NULL, ldz,
            at(run.y[self.target], r0, ldy, 0, size), ldy, share.scratch)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef bint joined = self.below_activation != FNN_LINEAR
        cdef Py_ssize_t r0, r1, lddz = run.ld[self.target], lddx = run.ld[self.source]
        cdef Py_ssize_t ldsaved = run.ld[self.below_saved] if joined else 0
        lane_rows(share, &r0, &r1)
        run.k.conv_input_grad(
            r1 - r0, &self.window, self.kernel_cols, at(run.dy[self.target], r0, lddz, 0, size), lddz,
            run.transposed + self.wt_offset * size, self.below_activation, self.below_alpha,
            at(run.y[self.below_saved], r0, ldsaved, 0, size) if joined else NULL, ldsaved,
            at(run.dy[self.source], r0, lddx, 0, size), lddx, share.scratch)

    cdef Py_ssize_t row_blocks(self, Py_ssize_t unit_cols) noexcept nogil:
        cdef Py_ssize_t most = UNIT_ROWS * (unit_cols // CONV_UNIT_COLS)
        return (self.kernel_rows + most - 1) // most

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        return self.row_blocks(unit_cols) * ((self.kernel_cols + CONV_UNIT_COLS - 1) // CONV_UNIT_COLS)

    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* i0, Py_ssize_t* i1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil:
        """Blocks of rows of nearly equal height, in whole panels."""
        cdef Py_ssize_t blocks = self.row_blocks(unit_cols), panels = (self.kernel_rows + UNIT_ROWS - 1) // UNIT_ROWS
        i0[0] = panels * (unit % blocks) // blocks * UNIT_ROWS
        i1[0] = min(self.kernel_rows, panels * (unit % blocks + 1) // blocks * UNIT_ROWS)
        j0[0] = unit // blocks * CONV_UNIT_COLS
        j1[0] = min(self.kernel_cols, j0[0] + CONV_UNIT_COLS)

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        cdef Py_ssize_t i0, i1, j0, j1
        self.block(unit_cols, unit, &i0, &i1, &j0, &j1)
        return (i1 - i0 + ROWS_FOR_COPIES) * (j1 - j0) * self.uses

    cdef void kernel_grad(self, Run* run, Py_ssize_t rows, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t j0, Py_ssize_t j1,
                          char* grad, Py_ssize_t ldgrad, char* sums, char* scratch) noexcept nogil:
        run.k.conv_kernel_grad(rows, &self.window, self.kernel_cols, i0, i1, j0, j1, run.y[self.source],
                               run.ld[self.source], run.dy[self.target], run.ld[self.target], grad, ldgrad, sums,
                               scratch)


cdef class PoolOp(Op):
    """The largest value or the mean of each channel in each window."""

    def __init__(self, int source, int target, int kind, window):
        cdef fnn_window w = as_window(window)
        super().__init__(source, target, w.height * w.width * w.channels, w.out_height * w.out_width * w.channels)
        self.window, self.kind = w, kind
        self.joins = True

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        lane_rows(share, &r0, &r1)
        run.k.pool_forward(self.kind, r1 - r0, &self.window, at(run.y[self.source], r0, ldx, 0, size), ldx,
                           at(run.y[self.target], r0, ldy, 0, size), ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef bint joined = self.below_activation != FNN_LINEAR
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef Py_ssize_t ldsaved = run.ld[self.below_saved] if joined else 0
        lane_rows(share, &r0, &r1)
        run.k.pool_backward(
            self.kind, r1 - r0, &self.window, at(run.dy[self.target], r0, ldy, 0, size), ldy,
            at(run.y[self.source], r0, ldx, 0, size), ldx, at(run.y[self.target], r0, ldy, 0, size), ldy,
            self.below_activation, self.below_alpha,
            at(run.y[self.below_saved], r0, ldsaved, 0, size) if joined else NULL, ldsaved,
            at(run.dy[self.source], r0, ldx, 0, size), ldx)
