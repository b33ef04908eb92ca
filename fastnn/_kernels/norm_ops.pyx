"""Ops whose parameters are vectors, one number a column: normalizations and PReLU."""

from libc.string cimport memcpy

from fastnn._kernels.core cimport *
from fastnn._kernels.ops cimport (
    GRADIENT, GRADIENT_THEN_UPDATE, UNIT_COLS, UPDATE, ActivationOp, DropoutOp, Op, Run, Share, UnitMode, at,
    lane_rows, meet,
)
from fastnn._kernels.updates cimport finish_gradient, step_block


cdef class VectorsOp(Op):
    """An op with up to two trained vectors. `sums` are their gradients, sums over rows."""

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t cols, int first, Py_ssize_t first_offset,
                 int second, Py_ssize_t second_offset, bint trainable):
        super().__init__(source, target, n, n, trainable)
        self.cols, self.inner = cols, n // cols
        self.first, self.first_offset, self.second, self.second_offset = first, first_offset, second, second_offset

    cdef char* vector(self, Run* run, int tensor, Py_ssize_t offset) noexcept nogil:
        return run.param + offset * run.k.itemsize if tensor >= 0 else NULL

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first,
                   char* second) noexcept nogil:
        """Gradients of the `cols` columns from j0 on."""
        pass

    cdef void after_step(self, Run* run, Py_ssize_t j0, Py_ssize_t cols) noexcept nogil:
        pass

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        return (self.cols + unit_cols - 1) // unit_cols

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        return 2 * min(unit_cols, self.cols - unit * unit_cols) * self.inner

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t j0 = unit * run.unit_cols, cols = min(run.unit_cols, self.cols - j0)
        cdef char* first = scratch
        cdef char* second = scratch + UNIT_COLS * size
        if mode != GRADIENT_THEN_UPDATE:
            if self.first >= 0:
                first = run.grad + (self.first_offset + j0) * size
            if self.second >= 0:
                second = run.grad + (self.second_offset + j0) * size
        if mode != UPDATE:
            self.sums(run, rows, j0, cols, first, second)
            if self.first >= 0:
                finish_gradient(run, self.first, 0, 1, j0, cols, first, cols)
            if self.second >= 0:
                finish_gradient(run, self.second, 0, 1, j0, cols, second, cols)
        if mode != GRADIENT:
            if self.first >= 0:
                step_block(run, self.first, 0, 1, j0, cols, first, cols)
            if self.second >= 0:
                step_block(run, self.second, 0, 1, j0, cols, second, cols)
            self.after_step(run, j0, cols)


# Columns of an item of BatchNormOp: with 16 rows, its gradient and its input fit the L1 cache. A multiple of 64.
cdef enum:
    PANEL = 128


cdef enum StateVector:
    MEAN, VARIANCE, INVERSE, SCALE, DBETA, DGAMMA, CONSTANT, SLOPE, PARTIAL


cdef void lerp(double* old, const double* new, Py_ssize_t n, double momentum) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        old[i] = old[i] * momentum + new[i] * (1.0 - momentum)


cdef void lerp_f(float* old, const float* new, Py_ssize_t n, double momentum) noexcept nogil:
    cdef float keep = <float>momentum, take = <float>(1.0 - momentum)
    cdef Py_ssize_t i
    for i in range(n):
        old[i] = old[i] * keep + new[i] * take


cdef class BatchNormOp(VectorsOp):
    """Batch normalization: y = (x - mean) * scale + beta, scale = gamma / sqrt(variance + epsilon).

    While training, mean and variance are those of the batch. Items, blocks of rows x panels of columns, are dealt out
    to all threads and measured each by itself; all meet; each thread joins the blocks of some columns, in the order of
    rows; all meet, and take their own rows. Backward does the same with the sums that the gradient needs. The cut into
    items follows from the batch alone, and so do all bits.

    An activation and dropout behind it become part of it (`absorb`), row by row and item by item.
    """

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t cols, double momentum, double epsilon,
                 int gamma, Py_ssize_t gamma_offset, int beta, Py_ssize_t beta_offset, Py_ssize_t mean_offset,
                 Py_ssize_t variance_offset, bint trainable):
        super().__init__(source, target, n, cols, gamma, gamma_offset, beta, beta_offset, trainable)
        self.momentum, self.epsilon = momentum, epsilon
        self.mean_offset, self.variance_offset = mean_offset, variance_offset
        self.frozen = not trainable
        self.meets = self.always_backward = trainable
        self.block_rows = fnn_block_rows(self.inner)
        self.panel = PANEL if self.inner == 1 else cols
        self.width = (cols + 15) // 16 * 16
        self.activation = FNN_LINEAR
        self.joins = True

    def absorb(self, Op op):
        """Do what `op` does, which reads this op's output and nothing else; returns whether that is possible."""
        if self.dropout is not None:
            return False
        if isinstance(op, DropoutOp):
            self.dropout = op
        elif isinstance(op, ActivationOp) and self.activation == FNN_LINEAR \
                and (<ActivationOp>op).activation <= FNN_LAST_ELEMENTWISE:
            self.activation, self.alpha = (<ActivationOp>op).activation, (<ActivationOp>op).alpha
            # Kinks and saturations of these lie where input and output are equal.
            self.slope_from_input = self.activation > FNN_LAST_FROM_OUTPUT or self.activation in (
                FNN_RELU, FNN_LEAKY_RELU, FNN_RELU6)
        else:
            return False
        self.target = op.target
        return True

    # ---- memory -------------------------------------------------------------------------------------------

    cdef Py_ssize_t n_blocks(self, Py_ssize_t rows) noexcept nogil:
        return (rows + self.block_rows - 1) // self.block_rows

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        # Vectors; two for each block of rows; a bit for each element.
        cdef Py_ssize_t vectors = (PARTIAL + 2 * self.n_blocks(max_rows)) * self.width * itemsize
        return vectors + (max_rows * self.dropout.kept_ld() * 8 if self.dropout is not None else 0)

    cdef char* state(self, Run* run, Py_ssize_t vector) noexcept nogil:
        return run.state[self.place] + vector * self.width * run.k.itemsize

    cdef void* kept(self, Run* run, Py_ssize_t row) noexcept nogil:
        """Dropout's bits of a row, behind all vectors."""
        return <uint64_t*>self.state(run, PARTIAL + 2 * self.n_blocks(run.max_rows)) + row * self.dropout.kept_ld()

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        return (2 * self.width + self.block_rows * self.inner * self.panel) * itemsize

    # ---- what needs all rows ------------------------------------------------------------------------------

    cdef void items(self, Run* run, Share* share, bint backward, const char* mean, const char* scale) noexcept nogil:
        """The thread's items: means and squares, or the sums of gradients."""
        cdef int size = run.k.itemsize
        cdef Py_ssize_t panels = (self.cols + self.panel - 1) // self.panel, n = self.n_blocks(share.rows) * panels
        cdef Py_ssize_t ldx = run.ld[self.source], ldy = run.ld[self.target], item, block, r, c, rows, cols
        cdef char* first
        cdef char* second
        cdef char* x
        for item in range(n * share.thread // share.n_threads, n * (share.thread + 1) // share.n_threads):
            block, c = item // panels, item % panels * self.panel
            r = block * self.block_rows
            rows, cols = min(self.block_rows, share.rows - r), min(self.panel, self.cols - c)
            first = self.state(run, PARTIAL + 2 * block) + c * size
            second = self.state(run, PARTIAL + 2 * block + 1) + c * size
            x = at(run.y[self.source], r, ldx, c, size)
            if backward:
                self.undo(run, share, r, rows, c, cols, mean, scale)
                run.k.gradient_moments(rows, self.inner, self.cols, cols, at(run.dy[self.target], r, ldy, c, size), ldy,
                                       x, ldx, mean + c * size, first, second)
            else:
                run.k.column_moments(rows, self.inner, self.cols, cols, x, ldx, first, second)

    cdef void merge(self, Run* run, Share* share, bint backward) noexcept nogil:
        """The thread's columns, in whole cache lines, over all blocks."""
        cdef int size = run.k.itemsize
        cdef Py_ssize_t lines = (self.cols + 15) // 16, blocks = self.n_blocks(share.rows)
        cdef Py_ssize_t c = lines * share.thread // share.n_threads * 16
        cdef Py_ssize_t n = min(self.cols, lines * (share.thread + 1) // share.n_threads * 16) - c, at_c = c * size
        cdef double total = <double>share.rows * self.inner, count = <double>self.block_rows * self.inner
        cdef char* gamma = self.vector(run, self.first, self.first_offset)
        cdef char* first = self.state(run, PARTIAL) + at_c
        cdef char* second = self.state(run, PARTIAL + 1) + at_c
        if n <= 0:
            return
        if backward:
            if not run.training:
                run.k.inverse_deviation(n, run.param + (self.variance_offset + c) * size, self.epsilon, NULL,
                                        self.state(run, INVERSE) + at_c, self.state(run, SCALE) + at_c)
            run.k.merge_gradients(blocks, total, n, first, second, 2 * self.width, self.state(run, INVERSE) + at_c,
                                  self.state(run, DBETA) + at_c, self.state(run, DGAMMA) + at_c,
                                  self.state(run, CONSTANT) + at_c, self.state(run, SLOPE) + at_c)
        else:
            run.k.merge_moments(blocks, count, total - (blocks - 1) * count, n, first, second, 2 * self.width,
                                self.state(run, MEAN) + at_c, self.state(run, VARIANCE) + at_c)
            run.k.inverse_deviation(n, self.state(run, VARIANCE) + at_c, self.epsilon,
                                    gamma + at_c if gamma != NULL else NULL, self.state(run, INVERSE) + at_c,
                                    self.state(run, SCALE) + at_c)

    # ---- forward and backward -----------------------------------------------------------------------------

    cdef void statistics(self, Run* run, Share* share, char** mean, char** scale) noexcept nogil:
        """What the rows are normalized by: the batch's statistics, or the moving ones."""
        cdef int size = run.k.itemsize
        if run.training and not self.frozen:
            mean[0], scale[0] = self.state(run, MEAN), self.state(run, SCALE)
            return
        mean[0], scale[0] = run.param + self.mean_offset * size, share.scratch + self.width * size
        run.k.inverse_deviation(self.cols, run.param + self.variance_offset * size, self.epsilon,
                                self.vector(run, self.first, self.first_offset), share.scratch, scale[0])

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t r0, r1, r, rows, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef Py_ssize_t tile = max(1, 8192 // (self.n_in * size)), i     # rows that stay in the L1 cache
        cdef char* mean
        cdef char* scale
        cdef char* x
        cdef char* y
        if run.training and not self.frozen:
            meet(share)
            self.items(run, share, False, NULL, NULL)
            meet(share)
            self.merge(run, share, False)
            meet(share)
        self.statistics(run, share, &mean, &scale)
        lane_rows(share, &r0, &r1)
        for i in range((r1 - r0 + tile - 1) // tile):
            r = r0 + i * tile
            rows = min(tile, r1 - r)
            x, y = at(run.y[self.source], r, ldx, 0, size), at(run.y[self.target], r, ldy, 0, size)
            k.normalize(rows, self.inner, self.cols, self.cols, x, ldx, mean, scale,
                        self.vector(run, self.second, self.second_offset), y, ldy)
            if self.activation != FNN_LINEAR:
                k.activation_forward(self.activation, self.alpha, rows, self.n_in, y, ldy, y, ldy)
            if self.dropout is not None and run.training:
                self.dropout.drop(run, r, rows, y, ldy, <uint64_t*>self.kept(run, r), y, ldy)

    cdef void undo(self, Run* run, Share* share, Py_ssize_t r, Py_ssize_t rows, Py_ssize_t c, Py_ssize_t cols,
                   const char* mean, const char* scale) noexcept nogil:
        """dy, in place: the gradient behind the normalization, from that behind the activation and dropout. At most
        an item: block_rows rows from r on, panel columns from c on, all of a row if it is many."""
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t ldx = run.ld[self.source], ldy = run.ld[self.target], n = cols * self.inner
        cdef char* dy = at(run.dy[self.target], r, ldy, c, size)
        cdef char* beta = self.vector(run, self.second, self.second_offset)
        cdef char* z = share.scratch + 2 * self.width * size
        if self.dropout is not None and run.training:
            self.dropout.undo(run, rows, n, dy, ldy, <uint64_t*>self.kept(run, r) + c // 64, dy, ldy)
        if self.activation == FNN_LINEAR:
            return
        k.normalize(rows, self.inner, self.cols, cols, at(run.y[self.source], r, ldx, c, size), ldx, mean + c * size,
                    scale + c * size, beta + c * size if beta != NULL else NULL, z, n)
        if not self.slope_from_input:
            k.activation_forward(self.activation, self.alpha, rows, n, z, n, z, n)
        k.activation_backward(self.activation, self.alpha, rows, n, dy, ldy, z, n, dy, ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        """The sums for gamma and beta as a part of it, or else nothing but dx: dy and dx may be one memory."""
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t r0, r1, r, c, rows, i, p, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef bint measured = run.training and not self.frozen
        cdef Py_ssize_t tile = self.block_rows if self.frozen else max(1, 4096 // (self.n_in * size))
        cdef char* mean
        cdef char* scale
        cdef char* x
        cdef char* dx
        self.statistics(run, share, &mean, &scale)
        if not self.frozen:
            meet(share)
            self.items(run, share, True, mean, scale)
            meet(share)
            self.merge(run, share, True)
            meet(share)
        lane_rows(share, &r0, &r1)
        for i in range((r1 - r0 + tile - 1) // tile):
            r = r0 + i * tile
            rows = min(tile, r1 - r)
            if self.frozen:
                for p in range((self.cols + self.panel - 1) // self.panel):
                    c = p * self.panel
                    self.undo(run, share, r, rows, c, min(self.panel, self.cols - c), mean, scale)
            if not self.wants_dx:
                continue
            x, dx = at(run.y[self.source], r, ldx, 0, size), at(run.dy[self.source], r, ldx, 0, size)
            k.normalize_backward(rows, self.inner, self.cols, self.cols, at(run.dy[self.target], r, ldy, 0, size), ldy,
                                 x, ldx, mean, scale, self.state(run, CONSTANT) if measured else NULL,
                                 self.state(run, SLOPE) if measured else NULL, dx, ldx)
            if self.below_activation != FNN_LINEAR:
                k.activation_backward(self.below_activation, self.below_alpha, rows, self.n_in, dx, ldx,
                                      at(run.y[self.below_saved], r, run.ld[self.below_saved], 0, size),
                                      run.ld[self.below_saved], dx, ldx)

    # ---- units --------------------------------------------------------------------------------------------

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first,
                   char* second) noexcept nogil:
        cdef int size = run.k.itemsize
        memcpy(first, self.state(run, DGAMMA) + j0 * size, cols * size)
        memcpy(second, self.state(run, DBETA) + j0 * size, cols * size)

    cdef void after_step(self, Run* run, Py_ssize_t j0, Py_ssize_t cols) noexcept nogil:
        """The moving statistics, which only steps that are done change."""
        cdef int size = run.k.itemsize
        cdef char* mean = run.param + (self.mean_offset + j0) * size
        cdef char* variance = run.param + (self.variance_offset + j0) * size
        cdef char* new_mean = self.state(run, MEAN) + j0 * size
        cdef char* new_variance = self.state(run, VARIANCE) + j0 * size
        if size == 4:
            lerp_f(<float*>mean, <float*>new_mean, cols, self.momentum)
            lerp_f(<float*>variance, <float*>new_variance, cols, self.momentum)
        else:
            lerp(<double*>mean, <double*>new_mean, cols, self.momentum)
            lerp(<double*>variance, <double*>new_variance, cols, self.momentum)
        if not run.k.all_finite(1, cols, mean, cols) or not run.k.all_finite(1, cols, variance, cols):
            run.overflow = 1


cdef class RowNormOp(VectorsOp):
    """Layer normalization, or RMS normalization if it is not centred: rows by their own statistics, which are kept
    for the gradient."""

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t cols, bint centred, double epsilon, int gamma,
                 Py_ssize_t gamma_offset, int beta, Py_ssize_t beta_offset, bint trainable):
        super().__init__(source, target, n, cols, gamma, gamma_offset, beta, beta_offset,
                         trainable and (gamma >= 0 or beta >= 0))
        self.centred, self.epsilon = centred, epsilon

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        return 2 * max_rows * self.inner * itemsize

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.row_normalize(r1 - r0, self.inner, self.cols, self.centred, self.epsilon,
                            at(run.y[self.source], r0, ldx, 0, size), ldx,
                            self.vector(run, self.first, self.first_offset),
                            self.vector(run, self.second, self.second_offset),
                            run.state[self.place] + 2 * r0 * self.inner * size,
                            at(run.y[self.target], r0, ldy, 0, size), ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.row_normalize_backward(r1 - r0, self.inner, self.cols, self.centred,
                                     at(run.dy[self.target], r0, ldy, 0, size), ldy,
                                     at(run.y[self.source], r0, ldx, 0, size), ldx,
                                     self.vector(run, self.first, self.first_offset),
                                     run.state[self.place] + 2 * r0 * self.inner * size,
                                     at(run.dy[self.source], r0, ldx, 0, size), ldx)

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first,
                   char* second) noexcept nogil:
        cdef int size = run.k.itemsize
        run.k.row_gradient_sums(rows, self.inner, self.cols, cols, run.dy[self.target] + j0 * size,
                                run.ld[self.target], run.y[self.source] + j0 * size, run.ld[self.source],
                                run.state[self.place], second, first)


cdef class PReluOp(VectorsOp):
    """y = x where it is positive, else alpha * x"""

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t cols, int alpha, Py_ssize_t alpha_offset,
                 bint trainable):
        super().__init__(source, target, n, cols, alpha, alpha_offset, -1, -1, trainable)

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.prelu_forward(r1 - r0, self.inner, self.cols, at(run.y[self.source], r0, ldx, 0, size), ldx,
                            self.vector(run, self.first, self.first_offset),
                            at(run.y[self.target], r0, ldy, 0, size), ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.prelu_backward(r1 - r0, self.inner, self.cols, at(run.dy[self.target], r0, ldy, 0, size), ldy,
                             at(run.y[self.source], r0, ldx, 0, size), ldx,
                             self.vector(run, self.first, self.first_offset),
                             at(run.dy[self.source], r0, ldx, 0, size), ldx)

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first,
                   char* second) noexcept nogil:
        cdef int size = run.k.itemsize
        run.k.prelu_sums(rows, self.inner, self.cols, cols, run.dy[self.target] + j0 * size, run.ld[self.target],
                         run.y[self.source] + j0 * size, run.ld[self.source], first)
