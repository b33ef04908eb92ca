from fastnn._kernels.core cimport fnn_pattern
from fastnn._kernels.ops cimport DenseOp, Run, Share


cdef class Index:
    cdef fnn_pattern p
    cdef readonly Py_ssize_t n_in, n_out, nnz
    cdef object arrays                  # that p points into
    cdef tuple columns                  # starts, rows, places; None before they are needed
    cdef int need_columns(self) except -1


cdef class SparseDenseOp(DenseOp):
    cdef readonly Index index
    cdef list former                    # indices that another thread may be reading still
    cdef bint trains                    # in a program that trains
    cdef void forward_rows(self, Run* run, Share* share, const fnn_pattern* p) noexcept nogil
