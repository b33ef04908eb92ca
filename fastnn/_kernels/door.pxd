from fastnn._kernels.core cimport fnn_csr


# Py_buffer's parts that stay good while the array lives.
cdef struct Array:
    char* data
    int source                  # fnn_source of its items, or -1
    int ndim
    Py_ssize_t rows, cols       # of 2-D arrays; (n,) counts as (n, 1)
    Py_ssize_t row_stride, col_stride       # bytes

cdef Array look_at(array) except *
cdef fnn_csr csr_of(x) except *
cdef char* address(array) except? NULL
