"""What looks at a whole tensor: some penalties, before each step, and constraints, after it.

All threads call `apply` of each restraint, and divide its work so that no element's arithmetic depends on their number.
A penalty writes its value, in parts, to ``run.penalties`` and its gradient to ``run.extra``, from where the units take
it; all have met when it begins, and will before the units begin. A constraint changes parameters.
"""

from libc.string cimport memset

from fastnn._kernels.core cimport *
from fastnn._kernels.ops cimport Run, Share, array_over, enter_python, fail, leave_python, meet

import math

import numpy as np

cdef enum:
    # Rows that a thread takes through the two products of an orthogonal penalty at a time.
    BLOCK = 32
    # Columns are cut at multiples of a cache line, so that no two threads write one line.
    LINE = 16


cdef inline Py_ssize_t cut(Py_ssize_t n, Py_ssize_t unit, Share* share, int edge) noexcept nogil:
    """Where the thread's part of n begins (ends: edge 1), in whole units of them."""
    return min(n, (n + unit - 1) // unit * (share.thread + edge) // share.n_threads * unit)


cdef view(Run* run, char* base, shape):
    """ndarray of this shape over memory of the engine."""
    return array_over(base, shape, "f", run.k.itemsize)


cdef checked(what, result, shape):
    """What a user's code returned, as an array of finite numbers of the shape it must have."""
    result = np.asarray(result)
    if result.shape != tuple(shape) or result.dtype.kind not in "biuf":
        raise ValueError(f"{what} must return real numbers of shape {tuple(shape)}; received {result.dtype} of shape "
                         f"{result.shape}")
    return result


cdef class Restraint:
    def __init__(self, int tensor, Py_ssize_t rows, Py_ssize_t cols):
        self.tensor, self.rows, self.cols = tensor, rows, cols

    cdef Py_ssize_t n_sums(self) noexcept:
        """Numbers in ``run.penalties`` whose sum is the penalty."""
        return 0

    cdef Py_ssize_t memory_size(self, Run* run) noexcept:
        return 0

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept:
        """Bytes of ``share.scratch``"""
        return 0

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        pass


cdef class OrthogonalPenalty(Restraint):
    """Of the rows, or columns, of a matrix. The memory holds them as unit vectors, these transposed, and the factors
    that made them so."""

    def __init__(self, int tensor, Py_ssize_t rows, Py_ssize_t cols, bint columns, double scale):
        super().__init__(tensor, rows, cols)
        self.columns, self.scale = columns, scale

    cdef Py_ssize_t n_sums(self) noexcept:
        return self.cols if self.columns else self.rows

    cdef Py_ssize_t memory_size(self, Run* run) noexcept:
        cdef Py_ssize_t n = self.n_sums(), m = self.rows * self.cols // n, size = run.k.itemsize
        return (whole_lines((n * m + run.k.nr) * size) + whole_lines(run.k.transposed_size(n, m) * size)
                + whole_lines(n * sizeof(double)))

    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept:
        return BLOCK * (self.rows + self.cols) * itemsize

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef Py_ssize_t size = k.itemsize
        cdef Py_ssize_t n = self.cols if self.columns else self.rows
        cdef Py_ssize_t m = self.rows if self.columns else self.cols
        cdef Py_ssize_t down = 1 if self.columns else self.cols, along = self.cols if self.columns else 1
        cdef char* w = run.param + run.tensors[self.tensor].offset * size
        cdef char* grad = run.extra + self.extra * size
        cdef char* unit = run.restraints + self.memory
        cdef char* transposed = unit + whole_lines((n * m + k.nr) * size)
        cdef double* inverse = <double*>(transposed + whole_lines(k.transposed_size(n, m) * size))
        cdef Py_ssize_t i0 = cut(n, 1, share, 0), i1 = cut(n, 1, share, 1), stop
        cdef fnn_orthogonal o
        if i1 > i0:
            k.gather(FNN_SRC_F32 if size == 4 else FNN_SRC_F64, i1 - i0, m, w + i0 * down * size, down * size,
                     along * size, NULL, unit + i0 * m * size, m)
            k.unit_rows(i1 - i0, m, unit + i0 * m * size, m, inverse + i0)
            memset(grad + i0 * m * size, 0, (i1 - i0) * m * size)
        meet(share)
        k.transpose(m, cut(n, k.nr, share, 0), cut(n, k.nr, share, 1), 0, m, unit, transposed)
        meet(share)
        o.n, o.length, o.scale = n, m, self.scale
        o.unit, o.transposed, o.inverse = unit, transposed, inverse
        o.row_sum = run.penalties + self.sums
        o.grad, o.row_stride, o.col_stride = grad, down, along
        while i0 < i1:
            stop = min(i1, i0 + BLOCK)
            k.orthogonal(&o, i0, stop, share.scratch, share.scratch + BLOCK * n * size)
            i0 = stop


cdef class PythonPenalty(Restraint):
    """One thread takes the GIL and asks a regularizer written in Python, with ``__call__`` and ``gradient``."""

    def __init__(self, int tensor, shape, regularizer):
        super().__init__(tensor, 1, math.prod(shape))
        self.shape, self.regularizer = shape, regularizer

    cdef Py_ssize_t n_sums(self) noexcept:
        return 1

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        if share.thread != 0 or run.stop:
            return
        enter_python(run)
        with gil:
            try:
                w = view(run, run.param + run.tensors[self.tensor].offset * run.k.itemsize, self.shape)
                w.flags.writeable = False
                run.penalties[self.sums] = float(self.regularizer(w))
                gradient = checked(f"gradient of {type(self.regularizer).__name__}", self.regularizer.gradient(w),
                                   self.shape)
                view(run, run.extra + self.extra * run.k.itemsize, self.shape)[...] = gradient
            except BaseException as error:
                fail(run, error)
        leave_python(run)


cdef class NormConstraint(Restraint):
    """Norms of the columns, or rows, of the tensor seen as a matrix (rows, cols), brought into a range."""

    def __init__(self, int tensor, Py_ssize_t rows, Py_ssize_t cols, bint columns, double low, double high,
                 double rate):
        super().__init__(tensor, rows, cols)
        self.columns, self.bounds = columns, fnn_norm_range(low, high, rate)

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        cdef char* w = run.param + run.tensors[self.tensor].offset * run.k.itemsize
        cdef Py_ssize_t n = self.cols if self.columns else self.rows, unit = LINE if self.columns else 1
        cdef Py_ssize_t lo = cut(n, unit, share, 0), hi = cut(n, unit, share, 1)
        if self.columns:
            run.k.norm_columns(&self.bounds, self.rows, hi - lo, w + lo * run.k.itemsize, self.cols)
        else:
            run.k.norm_rows(&self.bounds, hi - lo, self.cols, w + lo * self.cols * run.k.itemsize, self.cols)


cdef class NonNegative(Restraint):
    """Negative numbers become zero."""

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t n = self.rows * self.cols, lo = cut(n, LINE, share, 0), hi = cut(n, LINE, share, 1)
        cdef char* w = run.param + (run.tensors[self.tensor].offset + lo) * run.k.itemsize
        run.k.activation_forward(FNN_RELU, 0.0, 1, hi - lo, w, hi - lo, w, hi - lo)


cdef class ClipConstraint(Restraint):
    """Numbers are held in [-limit, limit]."""

    def __init__(self, int tensor, Py_ssize_t rows, Py_ssize_t cols, double limit):
        super().__init__(tensor, rows, cols)
        self.limit = limit

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t n = self.rows * self.cols, lo = cut(n, LINE, share, 0), hi = cut(n, LINE, share, 1)
        run.k.clip(1, hi - lo, run.param + (run.tensors[self.tensor].offset + lo) * run.k.itemsize, hi - lo, self.limit)


cdef class PythonConstraint(Restraint):
    """One thread takes the GIL and asks a constraint written in Python. What is pruned stays zero."""

    def __init__(self, int tensor, shape, constraint):
        super().__init__(tensor, 1, math.prod(shape))
        self.shape, self.constraint = shape, constraint

    cdef void apply(self, Run* run, Share* share) noexcept nogil:
        cdef Py_ssize_t offset = run.tensors[self.tensor].offset
        cdef char* base = run.param + offset * run.k.itemsize
        if share.thread != 0:
            return
        enter_python(run)
        with gil:
            try:
                w = view(run, base, self.shape)
                w.flags.writeable = False
                name = type(self.constraint).__name__
                new = checked(name, self.constraint(w), self.shape)
                if not np.isfinite(new).all():
                    raise ValueError(f"{name} must return finite numbers; received NaN or infinity")
                w.flags.writeable = True
                w[...] = new
            except BaseException as error:
                fail(run, error)
        leave_python(run)
        if run.mask != NULL:
            run.k.mask(self.cols, run.mask + offset, base)
