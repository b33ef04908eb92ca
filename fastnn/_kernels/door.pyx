"""The door's quick look: ndarrays of few numbers, as most calls hand over, checked and copied in one pass.

None or False says that something is unusual, and nothing about what: the checks of `fastnn.inputs` then decide, and
word the errors. 64 x 8 floats take 0.2 us here and 6 us there, where every temporary and every attribute of an
ndarray costs a tenth of a microsecond or more.
"""

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_STRIDED_RO, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer,
)
from cython cimport floating
from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels

import numpy as np

from fastnn._kernels.dispatch import DTYPES, SOURCES

# Larger arrays are checked in `fastnn.inputs` without the GIL, whose price they do not feel.
cdef enum:
    FEW = 16384

cdef object ndarray = np.ndarray
cdef object empty = np.empty


cdef int source_of(const Py_buffer* view) noexcept:
    """fnn_source of a buffer's items, -1 where they are of another kind or byte order."""
    cdef char kind = view.format[0]
    cdef Py_ssize_t size = view.itemsize
    if view.format[1] != 0:
        return -1
    if kind in b"efd":
        return FNN_SRC_F64 if size == 8 else FNN_SRC_F32 if size == 4 else FNN_SRC_F16
    if kind in b"bhilq":
        return FNN_SRC_I64 if size == 8 else FNN_SRC_I32 if size == 4 else FNN_SRC_I16 if size == 2 else FNN_SRC_I8
    if kind in b"?BHILQ":
        return FNN_SRC_U64 if size == 8 else FNN_SRC_U32 if size == 4 else FNN_SRC_U16 if size == 2 else FNN_SRC_U8
    return -1


cdef Array look_at(array) except *:
    """Memory of an ndarray of `SOURCES` in native byte order, of at most two dimensions."""
    cdef Array a
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    a.data, a.ndim, a.source = <char*>view.buf, view.ndim, source_of(&view)
    a.rows, a.row_stride = view.shape[0], view.strides[0]
    a.cols, a.col_stride = 1, view.itemsize
    if view.ndim == 2:
        a.cols, a.col_stride = view.shape[1], view.strides[1]
    PyBuffer_Release(&view)
    if a.source < 0:                    # fields of packed records come as "=f"
        a.source = SOURCES[array.dtype.str[1:]]
    return a


cdef char* address(array) except? NULL:
    """Where the memory of a C-contiguous ndarray begins; array.ctypes.data takes 0.8 us."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    PyBuffer_Release(&view)
    return <char*>view.buf


cdef bint opened(array, Py_buffer* view) except -1:
    """Whether `array` is of the plain kind; the view must be released then."""
    if type(array) is not ndarray:      # a masked array is an ndarray too
        return False
    try:
        PyObject_GetBuffer(array, view, PyBUF_STRIDED_RO | PyBUF_FORMAT)
    except ValueError:                  # dates and the like
        return False
    if view.ndim and 0 < view.len <= FEW * view.itemsize and source_of(view) >= 0:
        return True
    PyBuffer_Release(view)
    return False


cdef bint finite(const Py_buffer* view, int dtype) noexcept:
    """Whether all numbers of a contiguous or 2-D array are finite once they are converted to `dtype`."""
    cdef Py_ssize_t n = view.len // view.itemsize
    cdef int source = source_of(view)
    if PyBuffer_IsContiguous(view, b"C"):
        return fnn_first_nonfinite_row(source, dtype, 1, n, view.buf, 0, view.itemsize) < 0
    return view.ndim == 2 and fnn_first_nonfinite_row(source, dtype, view.shape[0], view.shape[1], view.buf,
                                                      view.strides[0], view.strides[1]) < 0


cdef bint has_shape(const Py_buffer* view, Py_ssize_t n, tuple shape) except -1:
    """Whether the array is (n, *shape)."""
    cdef int i
    if view.ndim != 1 + len(shape) or view.shape[0] != n:
        return False
    for i in range(len(shape)):
        if view.shape[1 + i] != <Py_ssize_t>shape[i]:
            return False
    return True


def plain_features(x, tuple shape, str dtype):
    """Whether x is an ndarray (n, *shape) of numbers that are finite in `dtype`."""
    cdef Py_buffer view
    cdef bint good
    if not opened(x, &view):
        return False
    good = has_shape(&view, view.shape[0], shape) and finite(&view, DTYPES[dtype])
    PyBuffer_Release(&view)
    return good


def plain_labels(y, Py_ssize_t n, Py_ssize_t n_classes):
    """int32 (n,) of integers in [0, n_classes), or None."""
    cdef Py_buffer view
    if not opened(y, &view):
        return None
    labels = None
    if view.ndim == 1 and view.shape[0] == n:
        labels = empty(n, np.int32)
        if not fnn_copy_labels(source_of(&view), n, view.buf, view.strides[0], n_classes, <int32_t*>address(labels)):
            labels = None
    PyBuffer_Release(&view)
    return labels


cdef bint unit_range(const floating* p, Py_ssize_t n) noexcept:
    cdef Py_ssize_t i
    for i in range(n):
        if not 0 <= p[i] <= 1:
            return False
    return True


def plain_targets(y, Py_ssize_t n, tuple output_shape, str dtype, bint probabilities):
    """(n, n_outputs) copy in `dtype` of finite floats (n, *output_shape), or of (n,) for one output; in [0, 1] for
    `probabilities`. Else None."""
    cdef Py_buffer view
    cdef Py_ssize_t size
    cdef bint good
    cdef int source, kind = DTYPES[dtype]
    if not opened(y, &view):
        return None
    targets, source, size = None, source_of(&view), view.len // view.itemsize
    if source in (FNN_SRC_F32, FNN_SRC_F64) and PyBuffer_IsContiguous(&view, b"C"):
        good = has_shape(&view, n, output_shape) or (size == n and view.ndim == 1 and output_shape == (1,))
        if good and probabilities:
            good = (unit_range(<float*>view.buf, size) if source == FNN_SRC_F32
                    else unit_range(<double*>view.buf, size))
        if good and finite(&view, kind):
            targets = empty((n, size // n), dtype)
            kernels(kind).gather(source, 1, size, view.buf, 0, view.itemsize, NULL, address(targets), size)
    PyBuffer_Release(&view)
    return targets


def plain_weights(weight, Py_ssize_t n):
    """float64 (n,) copy of finite floats >= 0, not all of them 0, or None."""
    cdef Py_buffer view
    cdef double* copy
    cdef double total = 0.0
    cdef Py_ssize_t i
    if not opened(weight, &view):
        return None
    weights, source = None, source_of(&view)
    if view.ndim == 1 and view.shape[0] == n and source in (FNN_SRC_F32, FNN_SRC_F64):
        weights = empty(n)
        copy = <double*>address(weights)
        kernels(FNN_F64).gather(source, n, 1, view.buf, view.strides[0], view.itemsize, NULL, copy, 1)
        for i in range(n):
            if not 0.0 <= copy[i] < INFINITY:
                total = 0.0
                break
            total += copy[i]
        if total == 0.0:
            weights = None
    PyBuffer_Release(&view)
    return weights


def first_nonfinite_row(array, str dtype):
    """First row of a 2-D array with a value that is not finite once converted to `dtype`, or -1."""
    cdef Array a = look_at(array)
    cdef int kind = DTYPES[dtype]
    cdef Py_ssize_t found
    with nogil:
        found = fnn_first_nonfinite_row(a.source, kind, a.rows, a.cols, a.data, a.row_stride, a.col_stride)
    return found


def first_bad_index(array, Py_ssize_t limit):
    """First row of a 1-D array that is no integer in [0, limit), or -1."""
    cdef Array a = look_at(array)
    cdef Py_ssize_t found
    if a.source == FNN_SRC_F16:
        a = look_at(array := array.astype(np.float32))
    with nogil:
        found = fnn_first_bad_index(a.source, a.rows, a.data, a.row_stride, limit)
    return found


cdef fnn_csr csr_of(x) except *:
    """The memory of a `fastnn.sparse_inputs.Csr`."""
    cdef fnn_csr c
    c.indptr = <const int64_t*>address(x.indptr)
    c.indices, c.values = address(x.indices), address(x.values)
    c.index, c.cols = NULL, x.cols
    c.wide, c.itemsize = x.indices.itemsize == 8, x.values.itemsize
    return c


# By enum: what is wrong with an indptr.
FAULTS = ("", "begin", "decreases", "end")


def indptr_fault(indptr, Py_ssize_t length):
    """What is wrong with the int32 or int64 array of a matrix of `length` entries, as in FAULTS, and in which row."""
    cdef int fault
    cdef void* data = address(indptr)
    cdef int wide = indptr.dtype.itemsize == 8
    cdef fnn_size rows = len(indptr) - 1, found = 0
    with nogil:
        fault = fnn_csr_fault(data, wide, rows, length, &found)
    return FAULTS[fault], found


def first_outside(indices, Py_ssize_t limit):
    """The first entry of an int32 or int64 array that is not in [0, limit), or -1."""
    cdef void* data = address(indices)
    cdef int wide = indices.dtype.itemsize == 8
    cdef fnn_size n = len(indices), found
    if n == 0:
        return -1
    if limit == 0:
        return 0
    with nogil:
        found = -1 if kernels(FNN_F32).all_within(n, data, wide, limit) else fnn_first_outside(data, wide, n, limit)
    return found


def first_unsorted(indptr, indices):
    """The first entry whose column is not above that of the entry before it in its row, or -1. indptr is int64."""
    cdef const int64_t* pointers = <const int64_t*>address(indptr)
    cdef void* data = address(indices)
    cdef int wide = indices.dtype.itemsize == 8
    cdef fnn_size rows = len(indptr) - 1, found
    with nogil:
        found = fnn_first_unsorted(pointers, data, wide, rows)
    return found


def all_values_finite(values):
    """Whether all numbers of a contiguous float32 or float64 array are finite."""
    cdef void* data = address(values)
    cdef int kind = DTYPES[values.dtype.name]
    cdef fnn_size n = len(values)
    cdef bint good
    with nogil:
        good = kernels(kind).all_finite(1, n, data, n)
    return good


cdef class Exclusive:
    """A context that holds `lock` or, where another call holds it, raises RuntimeError(refusal.format(what)).

    In compiled code no signal can come between taking the lock and entering the block that gives it back.
    """
    cdef object lock, refusal, what

    def __init__(self, lock, str refusal, str what):
        self.lock, self.refusal, self.what = lock, refusal, what

    def __enter__(self):
        if not self.lock.acquire(False):
            raise RuntimeError(self.refusal.format(self.what))

    def __exit__(self, *error):
        self.lock.release()
