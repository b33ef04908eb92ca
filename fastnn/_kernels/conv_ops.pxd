from fastnn._kernels.core cimport fnn_window
from fastnn._kernels.ops cimport DenseOp, Op


cdef class ConvOp(DenseOp):
    cdef fnn_window window
    cdef Py_ssize_t row_blocks(self, Py_ssize_t unit_cols) noexcept nogil


cdef class PoolOp(Op):
    cdef fnn_window window
    cdef int kind
