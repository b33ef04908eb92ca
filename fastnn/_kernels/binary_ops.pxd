from libc.stdint cimport uint32_t

from fastnn._kernels.core cimport fnn_packed
from fastnn._kernels.ops cimport DenseOp, Op, Run, Share


cdef class RoundedOp(DenseOp):
    cdef int values                     # enum fnn_activation
    cdef double threshold
    cdef bint stochastic
    cdef uint32_t stream
    cdef void round_kernel(self, Run* run, Share* share) noexcept nogil


cdef class BitsOp(Op):
    pass


cdef class PackedOp(Op):
    cdef fnn_packed packed
    cdef object arrays                  # that it points into
    cdef int activation
    cdef double alpha
    cdef int bias
    cdef Py_ssize_t bias_offset
