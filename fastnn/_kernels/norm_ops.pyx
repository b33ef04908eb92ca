"""Ops whose parameters are vectors, one number a column: normalizations, PReLU, SReLU and Scale."""

from cython cimport floating
from libc.string cimport memcpy, memset

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

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first, char* second,
                   char* scratch) noexcept nogil:
        """Gradients of the `cols` columns from j0 on."""
        pass

    cdef void after_step(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* scratch) noexcept nogil:
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
            self.sums(run, rows, j0, cols, first, second, scratch + 2 * UNIT_COLS * size)
            if self.first >= 0:
                finish_gradient(run, self.first, 0, 1, j0, cols, first, cols)
            if self.second >= 0:
                finish_gradient(run, self.second, 0, 1, j0, cols, second, cols)
        if mode != GRADIENT:
            if self.first >= 0:
                step_block(run, self.first, 0, 1, j0, cols, first, cols)
            if self.second >= 0:
                step_block(run, self.second, 0, 1, j0, cols, second, cols)
            self.after_step(run, rows, j0, cols, scratch + 2 * UNIT_COLS * size)


cdef enum:
    # Columns of an item of BatchNormOp: with 16 rows, its gradient and its input fit the L1 cache. A multiple of 64.
    PANEL = 128
    # Up to so many blocks x columns every thread joins all columns for itself: 0.4 us for 4096, about what it takes
    # to meet once more in order to divide them.
    LITTLE = 8192


cdef void move(floating* average, const floating* new, Py_ssize_t n, double momentum) noexcept nogil:
    cdef floating keep = <floating>momentum, take = <floating>(1.0 - momentum)
    cdef Py_ssize_t i
    for i in range(n):
        average[i] = average[i] * keep + new[i] * take


cdef class BatchNormOp(VectorsOp):
    """Batch normalization: y = (x - mean) * scale + beta, scale = gamma / sqrt(variance + epsilon).

    While training, mean and variance are those of the batch. Items, blocks of rows x panels of columns, are measured
    each by itself, by the threads whose rows they are; all meet; the blocks of each column are joined in the order of
    rows, by every thread for itself, or column by column if that is much, and then all meet again. Backward does the
    same with the sums that the gradient needs. The cut into blocks follows from the batch alone, and so do all bits.

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
        # Vectors; parts of each block of rows; a bit for each element.
        cdef Py_ssize_t vectors = (PARTS + N_PARTS * self.n_blocks(max_rows)) * self.width * itemsize
        return vectors + (max_rows * self.dropout.kept_ld() * 8 if self.dropout is not None else 0)

    cdef char* part(self, Run* run, Py_ssize_t block, Part part, Py_ssize_t c) noexcept nogil:
        return run.state[self.place] + ((PARTS + N_PARTS * block + part) * self.width + c) * run.k.itemsize

    cdef void* kept(self, Run* run, Py_ssize_t row) noexcept nogil:
        """Dropout's bits of a row, behind all vectors."""
        return <uint64_t*>self.part(run, self.n_blocks(run.max_rows), BLOCK_MEAN, 0) + row * self.dropout.kept_ld()

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        return (PARTS * self.width + self.block_rows * self.inner * self.panel) * itemsize

    # ---- what needs all rows ------------------------------------------------------------------------------

    cdef bint little(self, Py_ssize_t rows) noexcept nogil:
        return self.n_blocks(rows) * self.cols <= LITTLE

    cdef char* vectors(self, Run* run, Share* share) noexcept nogil:
        """Of the thread, or of all."""
        return share.scratch if self.little(share.rows) else run.state[self.place]

    cdef bint aligned(self, Share* share) noexcept nogil:
        """Whether no block has rows of two groups."""
        cdef int g
        for g in range(1, share.n_groups):
            if share.rows * g // share.n_groups % self.block_rows:
                return False
        return True

    cdef void items(self, Run* run, Share* share, const char* vectors, bint backward) noexcept nogil:
        """The thread's items: its part of those of its group, or of all, once all have met."""
        cdef int size = run.k.itemsize
        cdef Py_ssize_t panels = (self.cols + self.panel - 1) // self.panel
        cdef Py_ssize_t ldx = run.ld[self.source], ldy = run.ld[self.target], width = self.width * size
        cdef Py_ssize_t first = 0, n = self.n_blocks(share.rows), item, block, r, c, rows, cols
        cdef int part = share.thread, parts = share.n_threads
        cdef char* x
        if self.aligned(share):
            first, n = share.row0 // self.block_rows, self.n_blocks(share.row1) - share.row0 // self.block_rows
            part, parts = share.lane, share.n_lanes
        else:
            meet(share)
        for item in range(n * panels * part // parts, n * panels * (part + 1) // parts):
            block, c = first + item // panels, item % panels * self.panel
            r = block * self.block_rows
            rows, cols = min(self.block_rows, share.rows - r), min(self.panel, self.cols - c)
            x = at(run.y[self.source], r, ldx, c, size)
            if backward:
                self.undo(run, share, r, rows, c, cols, vectors + MEAN * width, vectors + SCALE * width)
                run.k.gradient_moments(rows, self.inner, self.cols, cols, at(run.dy[self.target], r, ldy, c, size), ldy,
                                       x, ldx, vectors + MEAN * width + c * size,
                                       self.part(run, block, BLOCK_SUM, c), self.part(run, block, BLOCK_PRODUCT, c))
            else:
                run.k.column_moments(rows, self.inner, self.cols, cols, x, ldx,
                                     self.part(run, block, BLOCK_MEAN, c), self.part(run, block, BLOCK_SQUARE, c))

    cdef void columns(self, Share* share, Py_ssize_t* c, Py_ssize_t* n) noexcept nogil:
        """The columns whose blocks the thread joins: all, or a part in whole cache lines."""
        cdef Py_ssize_t lines = (self.cols + 15) // 16
        c[0], n[0] = 0, self.cols
        if not self.little(share.rows):
            c[0] = lines * share.thread // share.n_threads * 16
            n[0] = min(self.cols, lines * (share.thread + 1) // share.n_threads * 16) - c[0]

    cdef void join_moments(self, Run* run, Py_ssize_t rows, Py_ssize_t c, Py_ssize_t n, char* vectors,
                           Py_ssize_t width) noexcept nogil:
        """Mean and variance of n columns from c on, of the batch or moving, and what follows from them. `vectors` is
        where column c lies in the first of them; they are `width` bytes apart."""
        cdef Py_ssize_t blocks = self.n_blocks(rows)
        cdef double total = <double>rows * self.inner, count = <double>self.block_rows * self.inner
        cdef char* gamma = self.vector(run, self.first, self.first_offset)
        if run.training and not self.frozen:
            run.k.merge_moments(blocks, count, total - (blocks - 1) * count, n, self.part(run, 0, BLOCK_MEAN, c),
                                self.part(run, 0, BLOCK_SQUARE, c), N_PARTS * self.width, vectors + MEAN * width,
                                vectors + VARIANCE * width)
        else:
            memcpy(vectors + MEAN * width, run.param + (self.mean_offset + c) * run.k.itemsize, n * run.k.itemsize)
            memcpy(vectors + VARIANCE * width, run.param + (self.variance_offset + c) * run.k.itemsize,
                   n * run.k.itemsize)
        run.k.inverse_deviation(n, vectors + VARIANCE * width, self.epsilon,
                                gamma + c * run.k.itemsize if gamma != NULL else NULL, vectors + INVERSE * width,
                                vectors + SCALE * width)

    cdef void join_gradients(self, Run* run, Py_ssize_t rows, Py_ssize_t c, Py_ssize_t n, char* vectors,
                             Py_ssize_t width) noexcept nogil:
        run.k.merge_gradients(self.n_blocks(rows), <double>rows * self.inner, n, self.part(run, 0, BLOCK_SUM, c),
                              self.part(run, 0, BLOCK_PRODUCT, c), N_PARTS * self.width, vectors + INVERSE * width,
                              vectors + DBETA * width, vectors + DGAMMA * width, vectors + CONSTANT * width,
                              vectors + SLOPE * width)

    # ---- forward and backward -----------------------------------------------------------------------------

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t r0, r1, r, rows, c, n, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef Py_ssize_t tile = max(1, 8192 // (self.n_in * size)), i     # rows that stay in the L1 cache
        cdef Py_ssize_t width = self.width * size
        cdef bint measured = run.training and not self.frozen
        cdef char* vectors = self.vectors(run, share) if measured else share.scratch
        cdef char* x
        cdef char* y
        if measured:
            self.items(run, share, vectors, False)
            meet(share)
            self.columns(share, &c, &n)
            self.join_moments(run, share.rows, c, n, vectors + c * size, width)
            if not self.little(share.rows):
                meet(share)
        else:
            self.join_moments(run, share.rows, 0, self.cols, vectors, width)
        lane_rows(share, &r0, &r1)
        for i in range((r1 - r0 + tile - 1) // tile):
            r = r0 + i * tile
            rows = min(tile, r1 - r)
            x, y = at(run.y[self.source], r, ldx, 0, size), at(run.y[self.target], r, ldy, 0, size)
            k.normalize(rows, self.inner, self.cols, self.cols, x, ldx, vectors + MEAN * width,
                        vectors + SCALE * width, self.vector(run, self.second, self.second_offset), y, ldy)
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
        cdef char* z = share.scratch + PARTS * self.width * size
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
        """The sums for gamma and beta are a part of it. dy and dx may be one memory."""
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t r0, r1, r, c, n, rows, i, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef Py_ssize_t width = self.width * size
        cdef bint measured = run.training and not self.frozen, little = self.little(share.rows)
        cdef Py_ssize_t tile = self.block_rows if self.frozen else max(1, 4096 // (self.n_in * size))
        cdef char* vectors = self.vectors(run, share) if measured else share.scratch
        cdef char* x
        cdef char* dx
        if not measured or little:      # other ops have used the scratch meanwhile
            self.join_moments(run, share.rows, 0, self.cols, vectors, width)
        if not self.frozen:
            self.items(run, share, vectors, True)
            meet(share)
        if measured:
            self.columns(share, &c, &n)
            self.join_gradients(run, share.rows, c, n, vectors + c * size, width)
            if not little:
                meet(share)
        lane_rows(share, &r0, &r1)
        for i in range((r1 - r0 + tile - 1) // tile):
            r = r0 + i * tile
            rows = min(tile, r1 - r)
            if self.frozen:
                for n in range((self.cols + self.panel - 1) // self.panel):
                    c = n * self.panel
                    self.undo(run, share, r, rows, c, min(self.panel, self.cols - c), vectors + MEAN * width,
                              vectors + SCALE * width)
            if not self.wants_dx:
                continue
            x, dx = at(run.y[self.source], r, ldx, 0, size), at(run.dy[self.source], r, ldx, 0, size)
            k.normalize_backward(rows, self.inner, self.cols, self.cols, at(run.dy[self.target], r, ldy, 0, size), ldy,
                                 x, ldx, vectors + MEAN * width, vectors + SCALE * width,
                                 vectors + CONSTANT * width if measured else NULL,
                                 vectors + SLOPE * width if measured else NULL, dx, ldx)
            if self.below_activation != FNN_LINEAR:
                k.activation_backward(self.below_activation, self.below_alpha, rows, self.n_in, dx, ldx,
                                      at(run.y[self.below_saved], r, run.ld[self.below_saved], 0, size),
                                      run.ld[self.below_saved], dx, ldx)

    # ---- units --------------------------------------------------------------------------------------------

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first, char* second,
                   char* scratch) noexcept nogil:
        cdef Py_ssize_t width = UNIT_COLS * run.k.itemsize
        self.join_moments(run, rows, j0, cols, scratch, width)
        self.join_gradients(run, rows, j0, cols, scratch, width)
        memcpy(first, scratch + DGAMMA * width, cols * run.k.itemsize)
        memcpy(second, scratch + DBETA * width, cols * run.k.itemsize)

    cdef void after_step(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* scratch) noexcept nogil:
        """The moving statistics, which only steps that are done change."""
        cdef int size = run.k.itemsize
        cdef Py_ssize_t width = UNIT_COLS * size
        cdef char* mean = run.param + (self.mean_offset + j0) * size
        cdef char* variance = run.param + (self.variance_offset + j0) * size
        self.join_moments(run, rows, j0, cols, scratch, width)
        if size == 4:
            move(<float*>mean, <float*>(scratch + MEAN * width), cols, self.momentum)
            move(<float*>variance, <float*>(scratch + VARIANCE * width), cols, self.momentum)
        else:
            move(<double*>mean, <double*>(scratch + MEAN * width), cols, self.momentum)
            move(<double*>variance, <double*>(scratch + VARIANCE * width), cols, self.momentum)
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

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first, char* second,
                   char* scratch) noexcept nogil:
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

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first, char* second,
                   char* scratch) noexcept nogil:
        cdef int size = run.k.itemsize
        run.k.prelu_sums(rows, self.inner, self.cols, cols, run.dy[self.target] + j0 * size, run.ld[self.target],
                         run.y[self.source] + j0 * size, run.ld[self.source], first)


cdef class SReluOp(VectorsOp):
    """y = x between two thresholds, with a slope on either side of them; four vectors, as the kernels take them."""

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t cols, tensors, offsets, bint trainable):
        super().__init__(source, target, n, cols, -1, -1, -1, -1, trainable)
        cdef int i
        for i in range(4):
            self.tensors[i], self.offsets[i] = tensors[i], offsets[i]

    cdef void vectors(self, char* base, Py_ssize_t j0, int size, char** p) noexcept nogil:
        """Where the vectors' columns from j0 on lie in a flat block."""
        cdef int i
        for i in range(4):
            p[i] = base + (self.offsets[i] + j0) * size

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        cdef char* p[4]
        lane_rows(share, &r0, &r1)
        self.vectors(run.param, 0, size, p)
        run.k.srelu_forward(r1 - r0, self.inner, self.cols, at(run.y[self.source], r0, ldx, 0, size), ldx,
                            <const void* const*>p, at(run.y[self.target], r0, ldy, 0, size), ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        cdef char* p[4]
        lane_rows(share, &r0, &r1)
        self.vectors(run.param, 0, size, p)
        run.k.srelu_backward(r1 - r0, self.inner, self.cols, at(run.dy[self.target], r0, ldy, 0, size), ldy,
                             at(run.y[self.source], r0, ldx, 0, size), ldx, <const void* const*>p,
                             at(run.dy[self.source], r0, ldx, 0, size), ldx)

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        cdef int size = run.k.itemsize, i
        cdef Py_ssize_t j0 = unit * run.unit_cols, cols = min(run.unit_cols, self.cols - j0)
        cdef char* p[4]
        cdef char* sums[4]
        self.vectors(run.param, j0, size, p)
        if mode == GRADIENT_THEN_UPDATE:
            for i in range(4):
                sums[i] = scratch + i * UNIT_COLS * size
        else:
            self.vectors(run.grad, j0, size, sums)
        if mode != UPDATE:
            run.k.srelu_sums(rows, self.inner, self.cols, cols, run.dy[self.target] + j0 * size, run.ld[self.target],
                             run.y[self.source] + j0 * size, run.ld[self.source], <const void* const*>p,
                             <void* const*>sums)
            for i in range(4):
                finish_gradient(run, self.tensors[i], 0, 1, j0, cols, sums[i], cols)
        if mode != GRADIENT:
            for i in range(4):
                step_block(run, self.tensors[i], 0, 1, j0, cols, sums[i], cols)


cdef class ScaleOp(VectorsOp):
    """y = scale * x: a normalization by the mean 0, which lies in the thread's scratch."""

    def __init__(self, int source, int target, Py_ssize_t n, Py_ssize_t cols, int scale, Py_ssize_t scale_offset,
                 bint trainable):
        super().__init__(source, target, n, cols, scale, scale_offset, -1, -1, trainable)

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        return self.cols * itemsize

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        memset(share.scratch, 0, self.cols * size)
        run.k.normalize(r1 - r0, self.inner, self.cols, self.cols, at(run.y[self.source], r0, ldx, 0, size), ldx,
                        share.scratch, self.vector(run, self.first, self.first_offset), NULL,
                        at(run.y[self.target], r0, ldy, 0, size), ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        memset(share.scratch, 0, self.cols * size)
        run.k.normalize_backward(r1 - r0, self.inner, self.cols, self.cols,
                                 at(run.dy[self.target], r0, ldy, 0, size), ldy,
                                 at(run.y[self.source], r0, ldx, 0, size), ldx, share.scratch,
                                 self.vector(run, self.first, self.first_offset), NULL, NULL,
                                 at(run.dy[self.source], r0, ldx, 0, size), ldx)

    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first, char* second,
                   char* scratch) noexcept nogil:
        """The sum of dy, which the kernel gives too, goes where a second vector's gradient would."""
        cdef int size = run.k.itemsize
        memset(scratch, 0, cols * size)
        run.k.gradient_moments(rows, self.inner, self.cols, cols, run.dy[self.target] + j0 * size,
                               run.ld[self.target], run.y[self.source] + j0 * size, run.ld[self.source], scratch,
                               second, first)
