from fastnn._kernels.core cimport fnn_kernels

cdef const fnn_kernels* kernels(int dtype) noexcept nogil
