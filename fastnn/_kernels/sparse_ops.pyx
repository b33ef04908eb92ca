"""Dense layers with sparse kernels, and where these have their entries."""

from libc.stdint cimport int32_t, int64_t

from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels
from fastnn._kernels.ops cimport *
from fastnn._kernels.updates cimport finish_gradient, step_block

import numpy as np

cdef enum:
    LINE = 16       # threads divide columns and rows at multiples of this, so that none writes to the same lines


cdef class Index:
    """The positions of a kernel's entries as the kernels read them, by rows and, once a batch needs that, by columns.

    indptr : int64 (n_in + 1,), indices : int32 (nnz,); both contiguous, checked by `fastnn.sparse.Pattern`
    """

    def __init__(self, Py_ssize_t n_in, Py_ssize_t n_out, indptr, indices):
        if indptr.dtype != np.int64 or indices.dtype != np.int32 or indptr.shape != (n_in + 1,) or indices.ndim != 1 \
                or not (indptr.flags.c_contiguous and indices.flags.c_contiguous):
            raise ValueError(f"int64 and int32 arrays of one dimension are needed; received {indptr.dtype} and "
                             f"{indices.dtype} of shapes {indptr.shape} and {indices.shape}")
        self.n_in, self.n_out, self.nnz = n_in, n_out, indices.size
        starts = np.empty(n_out + 1, np.int64)
        self.arrays = [indptr, indices, starts]
        self.p.n_in, self.p.n_out = n_in, n_out
        self.p.indptr = <const int64_t*><size_t>indptr.ctypes.data
        self.p.indices = <const int32_t*><size_t>indices.ctypes.data
        cdef int64_t* to = <int64_t*><size_t>starts.ctypes.data
        with nogil:
            fnn_pattern_starts(&self.p, to)
        self.p.starts = to

    cdef int need_columns(self) except -1:
        """Two threads may make them at the same time; one of them is believed."""
        if self.columns is not None:
            return 0
        rows, places, work = np.empty(self.nnz, np.int32), np.empty(self.nnz, np.int64), np.empty(self.n_out, np.int64)
        cdef int32_t* rows_ = <int32_t*><size_t>rows.ctypes.data
        cdef int64_t* places_ = <int64_t*><size_t>places.ctypes.data
        cdef int64_t* work_ = <int64_t*><size_t>work.ctypes.data
        with nogil:
            fnn_pattern_columns(&self.p, rows_, places_, work_)
        if self.columns is None:
            self.columns = self.arrays[2], rows, places
            self.p.rows, self.p.places = rows_, places_
        return 0

    def by_columns(self):
        """Where the columns begin (n_out + 1,), and by columns the row (nnz,) and the place (nnz,) of each entry."""
        self.need_columns()
        return self.columns

    def places_in(self, Index other):
        """The place of each entry among those of an index of the same shape, -1 where it is none of them."""
        places = np.empty(self.nnz, np.int64)
        cdef int64_t* to = <int64_t*><size_t>places.ctypes.data
        with nogil:
            fnn_pattern_places(&self.p, &other.p, to)
        return places


cdef class SparseDenseOp(DenseOp):
    """y = activation(x @ W + b) with the entries of W in the tensor `kernel`, a vector.

    In training all threads take all rows of a batch, which lie turned in the op's state: they divide the columns of W
    forward and its rows backward, where one pass makes both gradients. So the gradients of the entries are complete
    before the units begin, which take the optimizer's step on them. Predictions of rows meet nobody: each lane turns
    those of its group for itself.
    """

    def __init__(self, int source, int target, Index index, int activation, double alpha, int kernel,
                 Py_ssize_t kernel_offset, int bias, Py_ssize_t bias_offset, bint trainable):
        super().__init__(source, target, index.n_in, index.n_out, activation, alpha, kernel, kernel_offset, bias,
                         bias_offset, trainable)
        self.index, self.former = index, []
        self.kernel_rows, self.kernel_cols = 1, index.nnz
        self.wt_offset = -1
        self.meets = True
        self.always_backward = trainable

    def replace_index(self, Index new, bint read):
        """Under the GIL, between batches; new has as many entries. read: evaluations of other threads go on, which may
        have any of the former ones."""
        if self.index.columns is not None:
            new.need_columns()
        self.former = [*self.former, self.index] if read else []
        self.index = new

    def reserve(self, Py_ssize_t max_rows, Py_ssize_t itemsize):
        """Before a workspace for batches of max_rows is used."""
        if max_rows > kernels(FNN_F64 if itemsize == 8 else FNN_F32).narrow:
            self.index.need_columns()

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil:
        """x and dz, turned."""
        cdef const fnn_kernels* k = kernels(FNN_F64 if itemsize == 8 else FNN_F32)
        return (self.n_in + self.n_out) * k.sparse_rows(max_rows) * itemsize if self.trains else 0

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil:
        cdef const fnn_kernels* k = kernels(FNN_F64 if itemsize == 8 else FNN_F32)
        return (k.sparse_scratch(&self.index.p) + self.n_in * k.panel) * itemsize

    cdef void forward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef const fnn_pattern* p = &self.index.p
        cdef int size = k.itemsize
        cdef char* x = run.state[self.place]
        if not run.backward:
            self.forward_rows(run, share, p)
            return
        if share.n_groups > 1:
            meet(share)
        k.sparse_turn(share.rows, self.n_in, lines(self.n_in, share, 0), lines(self.n_in, share, 1),
                      run.y[self.source], run.ld[self.source], x)
        meet(share)
        k.sparse_forward(
            p, share.rows, fnn_pattern_cut(p.starts, self.n_out, LINE, share.thread, share.n_threads),
            fnn_pattern_cut(p.starts, self.n_out, LINE, share.thread + 1, share.n_threads), x,
            run.param + self.kernel_offset * size, run.param + self.bias_offset * size if self.bias >= 0 else NULL,
            self.activation, self.alpha, run.y[self.saved] if self.saved != self.target else NULL, run.ld[self.saved],
            run.y[self.target], run.ld[self.target], share.scratch)
        if share.n_groups > 1:
            meet(share)

    cdef void forward_rows(self, Run* run, Share* share, const fnn_pattern* p) noexcept nogil:
        """The lane's columns of the group's rows."""
        cdef const fnn_kernels* k = run.k
        cdef int size = k.itemsize
        cdef Py_ssize_t r = share.row0, n, ldx = run.ld[self.source], ldz = run.ld[self.saved]
        cdef Py_ssize_t ldy = run.ld[self.target]
        cdef char* x = share.scratch + k.sparse_scratch(p) * size
        while r < share.row1:
            n = min(k.panel, share.row1 - r)
            k.sparse_turn(n, self.n_in, 0, self.n_in, at(run.y[self.source], r, ldx, 0, size), ldx, x)
            k.sparse_forward(
                p, n, fnn_pattern_cut(p.starts, self.n_out, LINE, share.lane, share.n_lanes),
                fnn_pattern_cut(p.starts, self.n_out, LINE, share.lane + 1, share.n_lanes), x,
                run.param + self.kernel_offset * size, run.param + self.bias_offset * size if self.bias >= 0 else NULL,
                self.activation, self.alpha,
                at(run.y[self.saved], r, ldz, 0, size) if self.saved != self.target else NULL, ldz,
                at(run.y[self.target], r, ldy, 0, size), ldy, share.scratch)
            r += n

    cdef void backward(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef const fnn_pattern* p = &self.index.p
        cdef int size = k.itemsize
        cdef char* x = run.state[self.place]
        cdef char* dz = x + self.n_in * k.sparse_rows(share.rows) * size
        cdef bint joined = self.below_activation != FNN_LINEAR
        if share.n_groups > 1:
            meet(share)
        k.sparse_turn(share.rows, self.n_out, lines(self.n_out, share, 0), lines(self.n_out, share, 1),
                      run.dy[self.target], run.ld[self.target], dz)
        meet(share)
        k.sparse_backward(
            p, share.rows, fnn_pattern_cut(p.indptr, self.n_in, LINE, share.thread, share.n_threads),
            fnn_pattern_cut(p.indptr, self.n_in, LINE, share.thread + 1, share.n_threads), x, dz,
            run.param + self.kernel_offset * size, run.grad + self.kernel_offset * size if self.trainable else NULL,
            self.below_activation, self.below_alpha, run.y[self.below_saved] if joined else NULL,
            run.ld[self.below_saved] if joined else 0, run.dy[self.source] if self.wants_dx else NULL,
            run.ld[self.source], share.scratch)
        if share.n_groups > 1:
            meet(share)

    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil:
        """Parts of the kernel, then of the bias."""
        cdef Py_ssize_t part = UNIT_ROWS * unit_cols
        return (self.kernel_cols + part - 1) // part + ((self.n_out + part - 1) // part if self.bias >= 0 else 0)

    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* i0, Py_ssize_t* i1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil:
        """Entries [j0, j1) of the kernel or, with i0 = 1, numbers of the bias."""
        cdef Py_ssize_t part = UNIT_ROWS * unit_cols, kernel_parts = (self.kernel_cols + part - 1) // part
        i0[0] = unit >= kernel_parts
        i1[0] = i0[0] + 1
        j0[0] = (unit - kernel_parts if i0[0] else unit) * part
        j1[0] = min(self.n_out if i0[0] else self.kernel_cols, j0[0] + part)

    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil:
        """An entry costs the update alone."""
        cdef Py_ssize_t i0, i1, j0, j1
        self.block(unit_cols, unit, &i0, &i1, &j0, &j1)
        return (j1 - j0) // 2 + 1

    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil:
        cdef int size = run.k.itemsize, tensor
        cdef Py_ssize_t of_bias, i1, j0, j1
        cdef char* grad
        self.block(run.unit_cols, unit, &of_bias, &i1, &j0, &j1)
        tensor = self.bias if of_bias else self.kernel
        if of_bias and mode == GRADIENT_THEN_UPDATE:
            grad = scratch
        else:
            grad = run.grad + ((self.bias_offset if of_bias else self.kernel_offset) + j0) * size
        if mode != UPDATE:
            if of_bias:
                run.k.column_sum(rows, j1 - j0, at(run.dy[self.target], 0, 0, j0, size), run.ld[self.target], grad)
            finish_gradient(run, tensor, 0, 1, j0, j1 - j0, grad, j1 - j0)
        if mode != GRADIENT:
            step_block(run, tensor, 0, 1, j0, j1 - j0, grad, j1 - j0)


cdef inline Py_ssize_t lines(Py_ssize_t n, Share* share, int edge) noexcept nogil:
    """Where the thread's part of n columns begins, or with edge 1 ends."""
    return min(n, (n + LINE - 1) // LINE * (share.thread + edge) // share.n_threads * LINE)
