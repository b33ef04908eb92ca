"""The ops of a program. Adding one: a kernel, a class here, a method of Program that adds it, a layer."""

from cpython.buffer cimport PyBUF_WRITE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memset

from fastnn._kernels.core cimport *
from fastnn._kernels.named_rows cimport ENTRY_BYTES, entries_at, grad_rows, step_named_rows
from fastnn._kernels.updates cimport finish_gradient, step_block

import math

import numpy as np


cdef class Op:
    """One operation of a program, from buffer `source` (rows, n_in) to buffer `target` (rows, n_out).

    Subclasses fill in the methods; all run without the GIL, on the rows of `share`. `forward` writes
    ``run.y[target]``. `local_gradient` turns ``run.dy[target]`` in place into what `backward` and the units
    read, `backward` writes ``run.dy[source]``. Parameters are trained unit by unit, `unit` for one of them.
    """

    def __init__(self, int source, int target, Py_ssize_t n_in, Py_ssize_t n_out, bint trainable=False):
        self.source, self.target, self.n_in, self.n_out = source, target, n_in, n_out
        self.sources = (source,)
        self.trainable = trainable
        self.below_activation = FNN_LINEAR

    def join_below(self, DenseOp below):
        """Take over the multiplication by the derivative of `below`'s activation; dx is still in a register
        or a cache here."""
        self.below_activation, self.below_alpha, self.below_saved = below.activation, below.alpha, below.saved
        below.has_local_gradient = False

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        """Bytes that the op keeps, for batches of at most max_rows, at ``run.state[self.place]``; zeros at first."""
        return 0

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        """Bytes that each thread has for it at ``share.scratch``, in all stages and with whatever in them."""
        return 0

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        pass

    cdef void local_gradient(self, Run* run, Share* share) noexcept nogil:
        pass

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        pass

    cdef void transpose(self, Run* run, Share* share) noexcept nogil:
        pass

    cdef void sort_rows(self, Run* run, Share* share) noexcept nogil:
        """A thread's part of the order of the batch's entries; all threads meet after it."""
        pass

    cdef void step_rows(self, Run* run, Share* share, UnitMode mode) noexcept nogil:
        """What `unit` does, for the rows that the batch names; threads take them as they come."""
        pass

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        return 0

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        return 0

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        pass


cdef class DenseOp(Op):
    """y = activation(x @ W + b), W and b the tensors `kernel` and `bias`, at these offsets.

    An op may be tied to another one, the owner of the same W, as it is or flipped: y = activation(x @ W.T + b) then.
    The owner's units add up the gradients of all users of W; those of a tied op train its bias alone.
    """

    def __init__(self, int source, int target, Py_ssize_t n_in, Py_ssize_t n_out, int activation, double alpha,
                 int kernel, Py_ssize_t kernel_offset, int bias, Py_ssize_t bias_offset, bint trainable):
        super().__init__(source, target, n_in, n_out, trainable)
        self.activation, self.alpha = activation, alpha
        self.kernel, self.bias = kernel, bias
        self.kernel_offset, self.bias_offset = kernel_offset, bias_offset
        self.saved = target
        self.users = []
        self.kernel_rows, self.kernel_cols, self.uses = n_in, n_out, 1
        self.joins = True
        self.has_local_gradient = activation != FNN_LINEAR

    def tie(self, DenseOp owner, bint flip):
        """Use the W of `owner`, which takes the users in their order."""
        self.owner, self.flip = owner, flip
        self.bias_trains = self.trainable and self.bias >= 0
        self.trainable = self.bias_trains or owner.trainable
        owner.users.append(self)
        owner.n_users = len(owner.users)
        owner.user_storage = np.array([id(user) for user in owner.users], dtype=np.uintp)
        owner.user_array = <void**><size_t>owner.user_storage.ctypes.data

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        return 2 * UNIT_SIZE * itemsize if self.n_users else 0

    cdef char* matrix(self, Run* run) noexcept nogil:
        """W as products read it"""
        return run.param + self.kernel_offset * run.k.itemsize

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t j0, j1, row = share.row0
        cdef bint keep_z = self.saved != self.target
        lane_panels(share, self.n_out, k.nr, &j0, &j1)
        if self.flip:
            k.dense_forward_transposed(
                share.row1 - row, self.n_in, j0, j1,
                at(run.y[self.source], row, run.ld[self.source], 0, size), run.ld[self.source],
                run.transposed + self.wt_offset * size,
                run.param + self.bias_offset * size if self.bias >= 0 else NULL,
                self.activation, self.alpha,
                at(run.y[self.saved], row, run.ld[self.saved], 0, size) if keep_z else NULL, run.ld[self.saved],
                at(run.y[self.target], row, run.ld[self.target], 0, size), run.ld[self.target])
            return
        k.dense_forward(
            share.row1 - row, self.n_in, j0, j1,
            at(run.y[self.source], row, run.ld[self.source], 0, size), run.ld[self.source],
            self.matrix(run), self.n_out,
            run.param + self.bias_offset * size if self.bias >= 0 else NULL,
            self.activation, self.alpha,
            at(run.y[self.saved], row, run.ld[self.saved], 0, size) if keep_z else NULL, run.ld[self.saved],
            at(run.y[self.target], row, run.ld[self.target], 0, size), run.ld[self.target])

    cdef void local_gradient(self, Run* run, Share* share) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t r0, r1
        lane_rows(share, &r0, &r1)
        cdef char* dy = at(run.dy[self.target], r0, run.ld[self.target], 0, size)
        run.k.activation_backward(
            self.activation, self.alpha, r1 - r0, self.n_out, dy, run.ld[self.target],
            at(run.y[self.saved], r0, run.ld[self.saved], 0, size), run.ld[self.saved], dy, run.ld[self.target])

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t i0, i1, row = share.row0
        cdef bint joined = self.below_activation != FNN_LINEAR
        cdef char* dx
        lane_panels(share, self.n_in, k.nr, &i0, &i1)
        if self.flip:
            dx = at(run.dy[self.source], row, run.ld[self.source], 0, size)
            k.dense_forward(
                share.row1 - row, self.n_out, i0, i1,
                at(run.dy[self.target], row, run.ld[self.target], 0, size), run.ld[self.target],
                run.param + self.kernel_offset * size, self.n_in, NULL, FNN_LINEAR, 0.0, NULL, 0,
                dx, run.ld[self.source])
            if joined:
                k.activation_backward(
                    self.below_activation, self.below_alpha, share.row1 - row, i1 - i0,
                    dx + i0 * size, run.ld[self.source],
                    at(run.y[self.below_saved], row, run.ld[self.below_saved], i0, size), run.ld[self.below_saved],
                    dx + i0 * size, run.ld[self.source])
            return
        k.dense_input_grad(
            share.row1 - row, self.n_out, i0, i1,
            at(run.dy[self.target], row, run.ld[self.target], 0, size), run.ld[self.target],
            run.transposed + self.wt_offset * size, self.below_activation, self.below_alpha,
            at(run.y[self.below_saved], row, run.ld[self.below_saved], 0, size) if joined else NULL,
            run.ld[self.below_saved] if joined else 0,
            at(run.dy[self.source], row, run.ld[self.source], 0, size), run.ld[self.source])

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        cdef Py_ssize_t col_blocks = (self.kernel_cols + unit_cols - 1) // unit_cols
        if self.owner is not None:
            return col_blocks if self.bias_trains else 0
        return (self.kernel_rows + UNIT_ROWS - 1) // UNIT_ROWS * col_blocks

    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* i0, Py_ssize_t* i1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil:
        """Rows [i0, i1) and columns [j0, j1) of the kernel that the unit covers; no rows of another op's kernel."""
        cdef Py_ssize_t col_blocks = (self.kernel_cols + unit_cols - 1) // unit_cols
        i0[0] = unit // col_blocks * UNIT_ROWS
        j0[0] = unit % col_blocks * unit_cols
        i1[0] = min(self.kernel_rows, i0[0] + UNIT_ROWS) if self.owner is None else 0
        j1[0] = min(self.kernel_cols, j0[0] + unit_cols)

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        cdef Py_ssize_t i0, i1, j0, j1
        self.block(unit_cols, unit, &i0, &i1, &j0, &j1)
        return max(1, i1 - i0) * (j1 - j0) * (1 + self.n_users)

    cdef void transpose(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t n = self.n_units(run.unit_cols) if self.wt_offset >= 0 and self.owner is None else 0, unit
        for unit in range(n * share.thread // share.n_threads, n * (share.thread + 1) // share.n_threads):
            self.transpose_unit(run, unit)

    cdef void transpose_unit(self, Run* run, Py_ssize_t unit) noexcept nogil:
        cdef Py_ssize_t i0, i1, j0, j1
        cdef int size = run.k.itemsize
        self.block(run.unit_cols, unit, &i0, &i1, &j0, &j1)
        run.k.transpose(self.kernel_cols, i0, i1, j0, j1, run.param + self.kernel_offset * size,
                        run.transposed + self.wt_offset * size)

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t i0, i1, j0, j1, ldgrad
        cdef char* grad
        cdef char* bias_grad
        self.block(run.unit_cols, unit, &i0, &i1, &j0, &j1)
        if mode == GRADIENT_THEN_UPDATE:
            grad, ldgrad = scratch, j1 - j0
            bias_grad = scratch + UNIT_ROWS * UNIT_COLS * size
        else:
            grad, ldgrad = run.grad + (self.kernel_offset + i0 * self.kernel_cols + j0) * size, self.kernel_cols
            bias_grad = run.grad + (self.bias_offset + j0) * size
        cdef bint with_bias = self.bias >= 0 and i0 == 0
        cdef char* other = scratch + UNIT_SIZE * size
        cdef int u
        if mode != UPDATE:
            self.kernel_grad(run, rows, i0, i1, j0, j1, grad, ldgrad, bias_grad if with_bias else NULL, other)
            for u in range(self.n_users):
                (<DenseOp>self.user_array[u]).kernel_grad(run, rows, i0, i1, j0, j1, other, j1 - j0, NULL, NULL)
                run.k.add(i1 - i0, j1 - j0, grad, ldgrad, other, j1 - j0, grad, ldgrad)
            if i1 > i0:
                finish_gradient(run, self.kernel, i0, i1 - i0, j0, j1 - j0, grad, ldgrad)
            if with_bias:
                finish_gradient(run, self.bias, 0, 1, j0, j1 - j0, bias_grad, j1 - j0)
        if mode != GRADIENT:
            if i1 > i0:
                step_block(run, self.kernel, i0, i1 - i0, j0, j1 - j0, grad, ldgrad)
            if with_bias:
                step_block(run, self.bias, 0, 1, j0, j1 - j0, bias_grad, j1 - j0)
            if self.wt_offset >= 0 and self.owner is None and not run.last_step:
                self.transpose_unit(run, unit)

    cdef void kernel_grad(self, Run* run, Py_ssize_t rows, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t j0, Py_ssize_t j1,
                          char* grad, Py_ssize_t ldgrad, char* sums, char* scratch) noexcept nogil:
        """What this op adds to a block of the gradient of W: x.T @ dz or, flipped, its transpose dz.T @ x; and columns
        [j0, j1) of its bias's, unless sums is NULL."""
        cdef char* x = run.y[self.source]
        cdef char* dz = run.dy[self.target]
        cdef Py_ssize_t ldx = run.ld[self.source], lddz = run.ld[self.target]
        if i1 > i0 and self.flip:
            run.k.dense_kernel_grad(rows, i0, i1, j0, j1, dz, lddz, x, ldx, grad, ldgrad)
        elif i1 > i0:
            run.k.dense_kernel_grad(rows, i0, i1, j0, j1, x, ldx, dz, lddz, grad, ldgrad)
        if sums != NULL:
            run.k.column_sum(rows, j1 - j0, at(dz, 0, 0, j0, run.k.itemsize), lddz, sums)


cdef class CsrDenseOp(DenseOp):
    """A dense layer on samples that are sparse. Their entries are read where they are; for the gradient of the kernel
    those of a batch are copied and sorted by column, which is the row of the kernel."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.names_rows = True

    cdef void load(self, Run* run, Share* share, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Entries of rows [r0, r1) of the batch to run.entries."""
        cdef Py_ssize_t r, s, first = share.first
        for r in range(r0, r1):
            s = run.csr.index[first + r] if run.csr.index != NULL else first + r
            fnn_load_entries(&run.csr, s, r * run.ld[self.target], &run.entries,
                             run.starts[first + r] - run.starts[first])

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize, saved = self.saved
        cdef bint keep_z = saved != self.target, relu = self.activation == FNN_RELU and not keep_z
        cdef Py_ssize_t j0, j1, row = share.row0, rows = share.row1 - share.row0
        cdef char* out = at(run.y[saved], row, run.ld[saved], 0, size)
        lane_panels(share, self.n_out, k.nr, &j0, &j1)
        k.csr_forward(&run.csr, share.first + row, rows, run.param + self.kernel_offset * size, self.n_out, j0, j1,
                      run.param + self.bias_offset * size if self.bias >= 0 else NULL, relu, out, run.ld[saved])
        if keep_z or not (relu or self.activation == FNN_LINEAR):
            k.activation_forward(self.activation, self.alpha, rows, j1 - j0, out + j0 * size, run.ld[saved],
                                 at(run.y[self.target], row, run.ld[self.target], j0, size), run.ld[self.target])

    cdef void sort_rows(self, Run* run, Share* share) noexcept nogil:
        cdef fnn_entries entries = run.entries
        entries.n = run.starts[share.first + share.rows] - run.starts[share.first]
        if share.thread == 0:
            run.entries.n = entries.n
            entries.next[0] = entries.next[1] = 0
        fnn_sort_entries(&entries, self.n_in, share.thread, share.n_threads)

    cdef void step_rows(self, Run* run, Share* share, UnitMode mode) noexcept nogil:
        step_named_rows(run, share, &run.entries, self.kernel, share.rows, run.dy[self.target], run.ld[self.target],
                        mode)

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        cdef Py_ssize_t col_blocks = (self.kernel_cols + unit_cols - 1) // unit_cols
        cdef Py_ssize_t rows = UNIT_ROWS * max(1, unit_cols // self.kernel_cols)
        if self.lazy:
            return col_blocks if self.bias >= 0 else 0
        return (self.kernel_rows + rows - 1) // rows * col_blocks

    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* i0, Py_ssize_t* i1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil:
        """As many elements as the unit of a dense input has; where the op is lazy, a part of the bias alone."""
        cdef Py_ssize_t col_blocks = (self.kernel_cols + unit_cols - 1) // unit_cols
        cdef Py_ssize_t rows = UNIT_ROWS * max(1, unit_cols // self.kernel_cols)
        i0[0] = unit // col_blocks * rows
        j0[0] = unit % col_blocks * unit_cols
        i1[0] = 0 if self.lazy else min(self.kernel_rows, i0[0] + rows)
        j1[0] = min(self.kernel_cols, j0[0] + unit_cols)

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        """The update alone, as of a table."""
        return DenseOp.unit_cost(self, unit_cols, unit) // (1 if self.n_users else 2)

    cdef void kernel_grad(self, Run* run, Py_ssize_t rows, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t j0, Py_ssize_t j1,
                          char* grad, Py_ssize_t ldgrad, char* sums, char* scratch) noexcept nogil:
        cdef Py_ssize_t lddz = run.ld[self.target]
        cdef char* dz = at(run.dy[self.target], 0, 0, j0, run.k.itemsize)
        grad_rows(run.k, &run.entries, rows, i0, i1, j1 - j0, lddz, dz, grad, ldgrad)
        if sums != NULL:
            run.k.column_sum(rows, j1 - j0, dz, lddz, sums)


cdef class ActivationOp(Op):
    """y = activation(x), elementwise or along the last dimension of samples, `last` columns (softmax, log_softmax)."""

    def __init__(self, int source, int target, Py_ssize_t n, int activation, double alpha, Py_ssize_t last=0):
        super().__init__(source, target, n, n)
        self.activation, self.alpha, self.last = activation, alpha, last or n

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, r, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        cdef char* x = at(run.y[self.source], r0, ldx, 0, size)
        cdef char* y = at(run.y[self.target], r0, ldy, 0, size)
        if self.last == self.n_in or self.activation <= FNN_LAST_ELEMENTWISE:
            run.k.activation_forward(self.activation, self.alpha, r1 - r0, self.n_in, x, ldx, y, ldy)
            return
        for r in range(r1 - r0):
            run.k.activation_forward(self.activation, self.alpha, self.n_in // self.last, self.last,
                                     at(x, r, ldx, 0, size), self.last, at(y, r, ldy, 0, size), self.last)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef bint from_input = FNN_LAST_FROM_OUTPUT < self.activation <= FNN_LAST_ELEMENTWISE
        cdef int saved = self.source if from_input else self.target, size = run.k.itemsize
        cdef Py_ssize_t r0, r1, r, ldx = run.ld[self.source], ldy = run.ld[self.target]
        lane_rows(share, &r0, &r1)
        cdef char* dx = at(run.dy[self.source], r0, ldx, 0, size)
        cdef char* dy = at(run.dy[self.target], r0, ldy, 0, size)
        cdef char* y = at(run.y[saved], r0, run.ld[saved], 0, size)
        if self.last == self.n_in or self.activation <= FNN_LAST_ELEMENTWISE:
            run.k.activation_backward(self.activation, self.alpha, r1 - r0, self.n_in, dy, ldy, y, run.ld[saved], dx,
                                      ldx)
            return
        for r in range(r1 - r0):
            run.k.activation_backward(self.activation, self.alpha, self.n_in // self.last, self.last,
                                      at(dy, r, ldy, 0, size), self.last, at(y, r, ldy, 0, size), self.last,
                                      at(dx, r, ldx, 0, size), self.last)


cdef class DropoutOp(Op):
    """y = x * scale + offset where counter-based random bits keep the element, with probability 1 - rate, else `other`.
    One bit for each element is kept for the gradient: to draw them again takes six times as long as to read them."""

    def __init__(self, int source, int target, Py_ssize_t n, double rate, double scale, double offset, double other,
                 uint32_t stream, seed=None):
        super().__init__(source, target, n, n)
        self.rate, self.scale, self.offset, self.other, self.stream = rate, scale, offset, other, stream
        self.own_seed = seed is not None
        self.seed = seed or 0
        self.joins = True

    cdef Py_ssize_t kept_ld(self) noexcept nogil:
        return (self.n_in + 63) // 64

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        return max_rows * self.kept_ld() * sizeof(uint64_t)

    cdef void drop(self, Run* run, Py_ssize_t r0, Py_ssize_t rows, const char* x, Py_ssize_t ldx, uint64_t* kept,
                   char* y, Py_ssize_t ldy) noexcept nogil:
        """`rows` rows, of which x, kept and y name the first, which is row r0 of the batch."""
        cdef fnn_random which = fnn_random(rows, self.n_in, r0, x, ldx, y, ldy,
                                           self.seed if self.own_seed else run.seed, run.step, self.stream)
        run.k.dropout(&which, self.rate, self.scale, self.offset, self.other, kept, self.kept_ld())

    cdef void undo(self, Run* run, Py_ssize_t rows, Py_ssize_t cols, const char* dy, Py_ssize_t lddy,
                   const uint64_t* kept, char* dx, Py_ssize_t lddx) noexcept nogil:
        run.k.keep_scaled(rows, cols, dy, lddy, kept, self.kept_ld(), self.scale, dx, lddx)

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ldx = run.ld[self.source], ldy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        cdef char* x = at(run.y[self.source], r0, ldx, 0, size)
        cdef char* y = at(run.y[self.target], r0, ldy, 0, size)
        if run.training:
            self.drop(run, r0, r1 - r0, x, ldx, <uint64_t*>run.state[self.place] + r0 * self.kept_ld(), y, ldy)
        else:
            run.k.affine(r1 - r0, self.n_in, x, ldx, 1.0, 0.0, y, ldy)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, r, lddx = run.ld[self.source], lddy = run.ld[self.target]
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        cdef char* dx
        cdef char* dy
        for r in range(r0, r1):
            dx, dy = at(run.dy[self.source], r, lddx, 0, size), at(run.dy[self.target], r, lddy, 0, size)
            if run.training:
                self.undo(run, 1, self.n_in, dy, lddy, <uint64_t*>run.state[self.place] + r * self.kept_ld(), dx, lddx)
            else:
                run.k.affine(1, self.n_in, dy, lddy, 1.0, 0.0, dx, lddx)
            if self.below_activation != FNN_LINEAR:
                run.k.activation_backward(self.below_activation, self.below_alpha, 1, self.n_in, dx, lddx,
                                          at(run.y[self.below_saved], r, run.ld[self.below_saved], 0, size),
                                          run.ld[self.below_saved], dx, lddx)


cdef class GaussianOp(Op):
    """y = x + noise or x (1 + noise), noise normal. It is drawn again for the gradient of the second."""

    def __init__(self, int source, int target, Py_ssize_t n, bint multiplies, double stddev, uint32_t stream,
                 seed=None):
        super().__init__(source, target, n, n)
        self.multiplies, self.stddev, self.stream = multiplies, stddev, stream
        self.own_seed = seed is not None
        self.seed = seed or 0

    cdef void noise(self, Run* run, Share* share, const char* x, Py_ssize_t ldx, char* y, Py_ssize_t ldy,
                    bint on) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        cdef fnn_random which = fnn_random(r1 - r0, self.n_in, r0, x + r0 * ldx * size, ldx, y + r0 * ldy * size, ldy,
                                           self.seed if self.own_seed else run.seed, run.step, self.stream)
        if on and run.training:
            run.k.gaussian(&which, self.multiplies, self.stddev)
        else:
            run.k.affine(which.rows, which.cols, which.x, ldx, 1.0, 0.0, which.y, ldy)

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        self.noise(run, share, run.y[self.source], run.ld[self.source], run.y[self.target], run.ld[self.target], True)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        self.noise(run, share, run.dy[self.target], run.ld[self.target], run.dy[self.source], run.ld[self.source],
                   self.multiplies)


cdef class AffineOp(Op):
    """y = x * scale + offset"""

    def __init__(self, int source, int target, Py_ssize_t n, double scale, double offset):
        super().__init__(source, target, n, n)
        self.scale, self.offset = scale, offset

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.affine(r1 - r0, self.n_in, at(run.y[self.source], r0, run.ld[self.source], 0, size),
                     run.ld[self.source], self.scale, self.offset,
                     at(run.y[self.target], r0, run.ld[self.target], 0, size), run.ld[self.target])

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.affine(r1 - r0, self.n_in, at(run.dy[self.target], r0, run.ld[self.target], 0, size),
                     run.ld[self.target], self.scale, 0.0,
                     at(run.dy[self.source], r0, run.ld[self.source], 0, size), run.ld[self.source])


cdef inline void copy_rows(const fnn_kernels* k, Py_ssize_t rows, Py_ssize_t cols, char* x, Py_ssize_t ldx, char* y,
                           Py_ssize_t ldy) noexcept nogil:
    k.gather(FNN_SRC_F32 if k.itemsize == 4 else FNN_SRC_F64, rows, cols, x, ldx * k.itemsize, k.itemsize, NULL, y, ldy)


cdef class ForkOp(Op):
    """A second reader of `source`: y[target] is a view of y[source], and dy[target] is added to dy[source], which was
    written by a later op. An op that reads a buffer writes its gradient; ForkOp alone adds to it."""

    def __init__(self, int source, int target, Py_ssize_t n):
        super().__init__(source, target, n, n)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        cdef char* dx = at(run.dy[self.source], r0, run.ld[self.source], 0, size)
        run.k.add(r1 - r0, self.n_in, at(run.dy[self.target], r0, run.ld[self.target], 0, size), run.ld[self.target],
                  dx, run.ld[self.source], dx, run.ld[self.source])


cdef class AddOp(Op):
    """y = a + b. The gradient of a lies where that of y does, unless that is impossible (`copies`)."""

    def __init__(self, int a, int b, int target, Py_ssize_t n):
        super().__init__(a, target, n, n)
        self.other, self.sources, self.copies = b, (a, b), True

    def share_gradient(self):
        """dy[source] is a view of dy[target]."""
        self.copies = False

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.add(r1 - r0, self.n_in, at(run.y[self.source], r0, run.ld[self.source], 0, size), run.ld[self.source],
                  at(run.y[self.other], r0, run.ld[self.other], 0, size), run.ld[self.other],
                  at(run.y[self.target], r0, run.ld[self.target], 0, size), run.ld[self.target])

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        cdef char* dy = at(run.dy[self.target], r0, run.ld[self.target], 0, size)
        if run.dy[self.other] != NULL:
            copy_rows(run.k, r1 - r0, self.n_in, dy, run.ld[self.target],
                      at(run.dy[self.other], r0, run.ld[self.other], 0, size), run.ld[self.other])
        if self.copies and run.dy[self.source] != NULL:
            copy_rows(run.k, r1 - r0, self.n_in, dy, run.ld[self.target],
                      at(run.dy[self.source], r0, run.ld[self.source], 0, size), run.ld[self.source])


cdef class ConcatOp(Op):
    """Buffers side by side, in `groups` groups of columns each. Those that no op but this one reads lie in the target
    from the beginning, with their gradients; only the others are copied."""

    def __init__(self, sources, sizes, copied, int target, Py_ssize_t groups):
        cdef Py_ssize_t n_out = groups * sum(sizes)
        super().__init__(sources[0], target, n_out, n_out)
        self.sources, self.n_sources, self.groups = tuple(sources), len(sources), groups
        starts = np.cumsum(sizes, dtype=np.intp) - sizes
        self.tables = (np.array(sources, dtype=np.intc), np.array(sizes, dtype=np.intp), starts,
                       np.array(copied, dtype=np.intc))
        self.from_ = <const int*><size_t>self.tables[0].ctypes.data
        self.sizes = <const Py_ssize_t*><size_t>self.tables[1].ctypes.data
        self.starts = <const Py_ssize_t*><size_t>self.tables[2].ctypes.data
        self.copied = <const int*><size_t>self.tables[3].ctypes.data

    cdef void copy(self, Run* run, Share* share, Py_ssize_t i, bint back) noexcept nogil:
        """One source to its place, or its gradient back."""
        cdef int source = self.from_[i], size = run.k.itemsize
        cdef char** base = run.dy if back else run.y
        cdef Py_ssize_t r0, r1, g, ldpart = run.ld[source], ldall = run.ld[self.target], n = self.sizes[i]
        cdef char* part
        cdef char* whole
        lane_rows(share, &r0, &r1)
        for g in range(self.groups):
            part = at(base[source], r0, ldpart, g * n, size)
            whole = at(base[self.target], r0, ldall, g * (self.n_out // self.groups) + self.starts[i], size)
            if back:
                copy_rows(run.k, r1 - r0, n, whole, ldall, part, ldpart)
            else:
                copy_rows(run.k, r1 - r0, n, part, ldpart, whole, ldall)

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.n_sources):
            if self.copied[i]:
                self.copy(run, share, i, False)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(self.n_sources):
            if self.copied[i] and run.dy[self.from_[i]] != NULL:
                self.copy(run, share, i, True)


cdef class ColumnsOp(Op):
    """y[:, i] = x[:, index[i]]; a view of x where the index counts up by one."""

    def __init__(self, int source, int target, Py_ssize_t n_in, index):
        super().__init__(source, target, n_in, len(index))
        self.index = np.ascontiguousarray(index, dtype=np.int64)
        if not 0 <= self.index.min() <= self.index.max() < n_in:
            raise ValueError(f"columns {self.index.min()} to {self.index.max()} of {n_in}")
        self.column = <const int64_t*><size_t>self.index.ctypes.data
        self.view = bool((np.diff(self.index) == 1).all())

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        if self.view:
            return
        lane_rows(share, &r0, &r1)
        run.k.take_columns(r1 - r0, self.n_out, self.column,
                           at(run.y[self.source], r0, run.ld[self.source], 0, size), run.ld[self.source],
                           at(run.y[self.target], r0, run.ld[self.target], 0, size), run.ld[self.target])

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        run.k.put_columns(r1 - r0, self.n_in, self.n_out, self.column,
                          at(run.dy[self.target], r0, run.ld[self.target], 0, size), run.ld[self.target],
                          at(run.dy[self.source], r0, run.ld[self.source], 0, size), run.ld[self.source])


cdef class EmbeddingOp(Op):
    """y[r, c * dim ...] = row x[r, c] of the tensor `table` (limit, dim). The integers stay in the op's state for the
    units, which are blocks of the table: every row takes the optimizer's step, named by the batch or not, unless the
    op is lazy."""

    def __init__(self, int source, int target, Py_ssize_t n_in, int table, Py_ssize_t offset, Py_ssize_t limit,
                 Py_ssize_t dim, bint trainable, name):
        super().__init__(source, target, n_in, n_in * dim, trainable)
        self.table, self.offset, self.limit, self.dim, self.name = table, offset, limit, dim, name

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        """The integers first."""
        return max_rows * self.n_in * (ENTRY_BYTES if self.lazy else sizeof(int32_t)) + 64

    cdef fnn_entries entries(self, Run* run, Py_ssize_t rows) noexcept nogil:
        return entries_at(run.state[self.place], run.max_rows * self.n_in, rows * self.n_in)

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, bad
        cdef int size = run.k.itemsize
        lane_rows(share, &r0, &r1)
        bad = run.k.embed(r1 - r0, self.n_in, self.dim, self.limit,
                          at(run.y[self.source], r0, run.ld[self.source], 0, size), run.ld[self.source],
                          run.param + self.offset * size, <int32_t*>run.state[self.place] + r0 * self.n_in,
                          at(run.y[self.target], r0, run.ld[self.target], 0, size), run.ld[self.target])
        if bad >= 0:
            enter_python(run)
            with gil:
                fail(run, self.error(r0 + bad // self.n_in, bad % self.n_in))
            leave_python(run)

    def error(self, row, column):
        return ValueError(f"layer {self.name!r} takes integers from 0 to {self.limit - 1}; received another number in "
                          f"row {row} of a batch, column {column} of its input")

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        """Integers have no gradient; what is below gets zeros."""
        cdef Py_ssize_t r0, r1, r
        lane_rows(share, &r0, &r1)
        for r in range(r0, r1):
            memset(at(run.dy[self.source], r, run.ld[self.source], 0, run.k.itemsize), 0, self.n_in * run.k.itemsize)

    cdef void sort_rows(self, Run* run, Share* share) noexcept nogil:
        cdef fnn_entries entries = self.entries(run, share.rows)
        cdef Py_ssize_t e
        for e in range(entries.n * share.thread // share.n_threads, entries.n * (share.thread + 1) // share.n_threads):
            entries.at[e] = e // self.n_in * run.ld[self.target] + e % self.n_in * self.dim
        if share.thread == 0:
            entries.next[0] = entries.next[1] = 0
        fnn_sort_entries(&entries, self.limit, share.thread, share.n_threads)

    cdef void step_rows(self, Run* run, Share* share, UnitMode mode) noexcept nogil:
        cdef fnn_entries entries = self.entries(run, share.rows)
        step_named_rows(run, share, &entries, self.table, 0, run.dy[self.target], run.ld[self.target], mode)

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        if self.lazy:
            return 0
        cdef Py_ssize_t cols = min(self.dim, unit_cols), rows = UNIT_ROWS * (unit_cols // cols)
        return (self.limit + rows - 1) // rows * ((self.dim + cols - 1) // cols)

    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* t0, Py_ssize_t* t1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil:
        """Rows [t0, t1) and columns [j0, j1) of the table that the unit covers."""
        cdef Py_ssize_t cols = min(self.dim, unit_cols), rows = UNIT_ROWS * (unit_cols // cols)
        cdef Py_ssize_t col_blocks = (self.dim + cols - 1) // cols
        t0[0] = unit // col_blocks * rows
        j0[0] = unit % col_blocks * cols
        t1[0] = min(self.limit, t0[0] + rows)
        j1[0] = min(self.dim, j0[0] + cols)

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        """An element of a table costs the update alone, one of a kernel a chain of multiply-adds too."""
        cdef Py_ssize_t t0, t1, j0, j1
        self.block(unit_cols, unit, &t0, &t1, &j0, &j1)
        return (t1 - t0) * (j1 - j0) // 2

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        cdef int size = run.k.itemsize
        cdef Py_ssize_t t0, t1, j0, j1, ldgrad
        cdef char* grad
        self.block(run.unit_cols, unit, &t0, &t1, &j0, &j1)
        if mode == GRADIENT_THEN_UPDATE:
            grad, ldgrad = scratch, j1 - j0
        else:
            grad, ldgrad = run.grad + (self.offset + t0 * self.dim + j0) * size, self.dim
        if mode != UPDATE:
            run.k.embed_grad(rows, self.n_in, self.dim, <const int32_t*>run.state[self.place], t0, t1, j0, j1,
                             run.dy[self.target], run.ld[self.target], grad, ldgrad)
            finish_gradient(run, self.table, t0, t1 - t0, j0, j1 - j0, grad, ldgrad)
        if mode != GRADIENT:
            step_block(run, self.table, t0, t1 - t0, j0, j1 - j0, grad, ldgrad)


cdef class ActivityOp(Op):
    """A penalty on each row of its source: added to the row's loss, and its gradient to that of the source."""

    def __init__(self, int source, Py_ssize_t n, double l1, double l2):
        super().__init__(source, source, n, n)
        self.l1, self.l2 = l1, l2

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, r
        lane_rows(share, &r0, &r1)
        for r in range(r0, r1):
            run.row_penalty[r] += run.k.penalty(self.l1, self.l2, 1, self.n_in, at(
                run.y[self.source], r, run.ld[self.source], 0, run.k.itemsize), self.n_in, NULL, 0)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t r0, r1, ld = run.ld[self.source]
        lane_rows(share, &r0, &r1)
        run.k.penalty(self.l1 / share.rows, self.l2 / share.rows, r1 - r0, self.n_in,
                      at(run.y[self.source], r0, ld, 0, run.k.itemsize), ld,
                      at(run.dy[self.source], r0, ld, 0, run.k.itemsize), ld)


cdef class PythonOp(Op):
    """A layer written in Python: one thread takes the GIL and calls it with NumPy views of the whole batch.

    `layer` has ``forward(x, training)`` returning y (rows, n_out), and ``backward(dy)`` returning dx (rows, n_in)
    after it has written its parameters' gradients, zeros before, into the views it was given.
    """

    def __init__(self, int source, int target, Py_ssize_t n_in, Py_ssize_t n_out, layer, tensors, bint trainable):
        super().__init__(source, target, n_in, n_out, trainable and len(tensors) > 0)
        self.layer, self.places, self.n_tensors = layer, np.array(tensors, dtype=np.intc), len(tensors)
        self.tensors = <const int*><size_t>self.places.ctypes.data
        self.whole_batch = True

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        enter_python(run)
        with gil:
            try:
                x = view(run, run.y[self.source], run.ld[self.source], share.rows, self.n_in)
                x.flags.writeable = False
                y = view(run, run.y[self.target], run.ld[self.target], share.rows, self.n_out)
                y[...] = self.layer.forward(x, bool(run.backward))
            except BaseException as error:
                fail(run, error)
        leave_python(run)

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef const Tensor* t
        cdef Py_ssize_t i
        enter_python(run)
        with gil:
            try:
                dy = view(run, run.dy[self.target], run.ld[self.target], share.rows, self.n_out)
                dy.flags.writeable = False
                for i in range(self.n_tensors):
                    t = &run.tensors[self.tensors[i]]
                    memset(run.grad + t.offset * run.k.itemsize, 0, t.rows * t.cols * run.k.itemsize)
                result = self.layer.backward(dy)
                if self.wants_dx:
                    dx = view(run, run.dy[self.source], run.ld[self.source], share.rows, self.n_in)
                    dx[...] = result
            except BaseException as error:
                fail(run, error)
        leave_python(run)

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        return self.n_tensors

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        return 64

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        cdef int place = self.tensors[unit]
        cdef const Tensor* t = &run.tensors[place]
        cdef char* grad = run.grad + t.offset * run.k.itemsize
        if mode != UPDATE:
            finish_gradient(run, place, 0, t.rows, 0, t.cols, grad, t.cols)
        if mode != GRADIENT:
            step_block(run, place, 0, t.rows, 0, t.cols, grad, t.cols)


# The error of a Python op, by the run's address, until the region has ended: exceptions cannot leave it.
errors = {}


cdef void fail(Run* run, error) noexcept:
    errors.setdefault(<size_t>run, error)
    run.stop = 1


cdef array_over(void* base, shape, str kind, Py_ssize_t itemsize):
    """ndarray over memory of the engine. (With Cython's own arrays each module would take 40 KB more.)"""
    memory = PyMemoryView_FromMemory(<char*>base, math.prod(shape) * itemsize, PyBUF_WRITE)
    return np.ndarray(shape, f"{kind}{itemsize}", memory)


cdef view(Run* run, char* base, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t cols):
    """(rows, cols) ndarray over an arena buffer."""
    return array_over(base, (rows, ld), "f", run.k.itemsize)[:, :cols]
