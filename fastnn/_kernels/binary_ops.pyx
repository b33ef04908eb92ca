"""Dense layers whose weights have few values: trained over numbers that are rounded for each step, and packed."""

from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels
from fastnn._kernels.ops cimport *


cdef class RoundedOp(DenseOp):
    """A dense layer that multiplies by Q(W): the sign of W and its like, or drawn at random anew in every step.

    The op's state holds Q(W). It is made where transposed kernels are, at the beginning of a call, and while training
    by every forward pass: all threads meet behind it. The gradient of Q(W) is that of W where its magnitudes are at
    most 1 (straight-through: Bengio et al., 2013; BinaryConnect: Courbariaux et al., 2015), else zero.
    """

    def __init__(self, int source, int target, Py_ssize_t n_in, Py_ssize_t n_out, int activation, double alpha,
                 int kernel, Py_ssize_t kernel_offset, int bias, Py_ssize_t bias_offset, bint trainable, int values,
                 double threshold, bint stochastic, uint32_t stream):
        super().__init__(source, target, n_in, n_out, activation, alpha, kernel, kernel_offset, bias, bias_offset,
                         trainable)
        self.values, self.threshold, self.stochastic, self.stream = values, threshold, stochastic, stream
        self.meets = True

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        return self.n_in * self.n_out * itemsize

    cdef char* matrix(self, Run* run) noexcept nogil:
        return run.state[self.place]

    cdef void round_kernel(self, Run* run, Share* share) noexcept nogil:
        """The thread's part of Q(W), whole panels of rows, and of its transposed panels."""
        cdef const fnn_kernels* k = run.k
        cdef Py_ssize_t panels = (self.n_in + k.nr - 1) // k.nr, panel, i0, i1
        cdef fnn_random draw
        for panel in range(panels * share.thread // share.n_threads, panels * (share.thread + 1) // share.n_threads):
            i0, i1 = panel * k.nr, min(self.n_in, (panel + 1) * k.nr)
            draw.x = at(run.param + self.kernel_offset * k.itemsize, i0, self.n_out, 0, k.itemsize)
            draw.y = at(self.matrix(run), i0, self.n_out, 0, k.itemsize)
            draw.rows, draw.cols, draw.row0, draw.ldx, draw.ldy = i1 - i0, self.n_out, i0, self.n_out, self.n_out
            if self.stochastic and run.training:
                draw.seed, draw.step, draw.stream = run.seed, run.step, self.stream
                k.round_randomly(self.values, &draw)
            else:
                k.activation_forward(self.values, self.threshold, draw.rows, self.n_out, draw.x, self.n_out, draw.y,
                                     self.n_out)
            if self.wt_offset >= 0 and run.backward:
                k.transpose(self.n_out, i0, i1, 0, self.n_out, self.matrix(run),
                            run.transposed + self.wt_offset * k.itemsize)

    cdef void transpose(self, Run* run, Share* share) noexcept nogil:
        if not run.training:
            self.round_kernel(run, share)

    cdef void transpose_unit(self, Run* run, Py_ssize_t unit) noexcept nogil:
        """Nothing: the next forward pass does it."""
        pass

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        if run.training:
            self.round_kernel(run, share)
            meet(share)
        DenseOp.forward(self, run, share)

    cdef void kernel_grad(self, Run* run, Py_ssize_t rows, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t j0, Py_ssize_t j1,
                          char* grad, Py_ssize_t ldgrad, char* sums, char* scratch) noexcept nogil:
        DenseOp.kernel_grad(self, run, rows, i0, i1, j0, j1, grad, ldgrad, sums, scratch)
        run.k.activation_backward(
            FNN_SIGN, 0.0, i1 - i0, j1 - j0, grad, ldgrad,
            at(run.param + self.kernel_offset * run.k.itemsize, i0, self.n_out, j0, run.k.itemsize), self.n_out,
            grad, ldgrad)


cdef class BitsOp(Op):
    """Rows of words, and behind those of a row its number of ones, in the memory of a buffer of numbers."""

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t itemsize):
        super().__init__(source, target, n, (fnn_n_words(n) + 1) * 8 // itemsize)

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        lane_rows(share, &r0, &r1)
        run.k.pack_bits(r1 - r0, self.n_in, at(run.y[self.source], r0, ldx, 0, size), ldx, True,
                        <uint64_t*>at(run.y[self.target], r0, ldy, 0, size), ldy * size // 8)


cdef class PackedOp(Op):
    """y = activation(x @ W + b) for a packed W, where x is bits (a `BitsOp`) or numbers. For prediction alone."""

    def __init__(self, int source, int target, Py_ssize_t n_in, Py_ssize_t n_out, int weights, int inputs, words,
                 constant, int activation, double alpha, int bias, Py_ssize_t bias_offset):
        super().__init__(source, target, n_in, n_out)
        self.arrays = words, constant
        self.packed.n_in, self.packed.n_out, self.packed.weights, self.packed.inputs = n_in, n_out, weights, inputs
        self.packed.words = <const uint64_t*><size_t>words.ctypes.data
        self.packed.constant = <const int32_t*><size_t>constant.ctypes.data
        self.activation, self.alpha, self.bias, self.bias_offset = activation, alpha, bias, bias_offset

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        if self.packed.inputs != FNN_LINEAR:
            return 0
        return kernels(FNN_F64 if itemsize == 8 else FNN_F32).packed_scratch(self.n_in) * itemsize

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t j0, j1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        lane_panels(share, self.n_out, FNN_STRIP, &j0, &j1)
        run.k.packed_forward(
            &self.packed, share.row1 - share.row0, j0, j1, at(run.y[self.source], share.row0, ldx, 0, size),
            ldx if self.packed.inputs == FNN_LINEAR else ldx * size // 8,
            run.param + self.bias_offset * size if self.bias >= 0 else NULL, self.activation, self.alpha,
            at(run.y[self.target], share.row0, ldy, 0, size), ldy, share.scratch)
