"""Ops whose parameters are vectors, one number a column: normalizations, PReLU and SReLU."""

from fastnn._kernels.ops cimport DropoutOp, Op, Run, Share


# Vectors of a width that BatchNormOp works with: what belongs to columns, then parts of the blocks.
cdef enum Vector:
    MEAN, VARIANCE, INVERSE, SCALE, DBETA, DGAMMA, CONSTANT, SLOPE, PARTS
cdef enum Part:
    BLOCK_MEAN, BLOCK_SQUARE, BLOCK_SUM, BLOCK_PRODUCT, N_PARTS


cdef class VectorsOp(Op):
    # A row of n_in elements is `inner` rows of `cols`, which share the vectors.
    cdef readonly Py_ssize_t cols, inner
    cdef int first, second                          # tensors, -1: none
    cdef Py_ssize_t first_offset, second_offset     # theirs
    cdef char* vector(self, Run* run, int tensor, Py_ssize_t offset) noexcept nogil
    cdef void sums(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* first, char* second,
                   char* scratch) noexcept nogil
    cdef void after_step(self, Run* run, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols, char* scratch) noexcept nogil


cdef class BatchNormOp(VectorsOp):
    cdef double momentum, epsilon
    cdef Py_ssize_t mean_offset, variance_offset    # the moving ones
    cdef bint frozen                                # they are what it normalizes by
    cdef Py_ssize_t block_rows, panel, width        # rows and columns of an item, elements of a vector in state
    # What it does besides, while rows are in the L1 cache: an activation and dropout behind it, and the derivative
    # of the activation before it.
    cdef int activation
    cdef double alpha
    cdef DropoutOp dropout
    cdef bint slope_from_input
    cdef char* part(self, Run* run, Py_ssize_t block, Part part, Py_ssize_t c) noexcept nogil
    cdef void* kept(self, Run* run, Py_ssize_t row) noexcept nogil
    cdef Py_ssize_t n_blocks(self, Py_ssize_t rows) noexcept nogil
    cdef bint little(self, Py_ssize_t rows) noexcept nogil
    cdef char* vectors(self, Run* run, Share* share) noexcept nogil
    cdef bint aligned(self, Share* share) noexcept nogil
    cdef void items(self, Run* run, Share* share, const char* vectors, bint backward) noexcept nogil
    cdef void columns(self, Share* share, Py_ssize_t* c, Py_ssize_t* n) noexcept nogil
    cdef void join_moments(self, Run* run, Py_ssize_t rows, Py_ssize_t c, Py_ssize_t n, char* vectors,
                           Py_ssize_t width) noexcept nogil
    cdef void join_gradients(self, Run* run, Py_ssize_t rows, Py_ssize_t c, Py_ssize_t n, char* vectors,
                             Py_ssize_t width) noexcept nogil
    cdef void undo(self, Run* run, Share* share, Py_ssize_t r, Py_ssize_t rows, Py_ssize_t c, Py_ssize_t cols,
                   const char* mean, const char* scale) noexcept nogil


cdef class RowNormOp(VectorsOp):
    cdef bint centred
    cdef double epsilon


cdef class PReluOp(VectorsOp):
    pass


cdef class SReluOp(VectorsOp):
    cdef int tensors[4]                             # left threshold and slope, right width and slope
    cdef Py_ssize_t offsets[4]                      # theirs
    cdef void vectors(self, char* base, Py_ssize_t j0, int size, char** p) noexcept nogil


cdef class ScaleOp(VectorsOp):
    pass
