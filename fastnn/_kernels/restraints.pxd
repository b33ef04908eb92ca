"""Penalties of whole tensors, and constraints."""

from fastnn._kernels.core cimport fnn_norm_range
from fastnn._kernels.ops cimport Run, Share


cdef inline Py_ssize_t whole_lines(Py_ssize_t n_bytes) noexcept nogil:
    """Rounded up to cache lines."""
    return (n_bytes + 63) // 64 * 64


cdef class Restraint:
    cdef readonly int tensor
    cdef Py_ssize_t rows, cols              # of the tensor, or another matrix of its elements
    # What the program gives a penalty: its place in Run.penalties, and where its gradient begins in Run.extra.
    cdef Py_ssize_t sums, extra
    cdef Py_ssize_t memory                  # bytes into Run.restraints
    cdef Py_ssize_t n_sums(self) noexcept
    cdef Py_ssize_t memory_size(self, Run* run) noexcept
    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept
    cdef void apply(self, Run* run, Share* share) noexcept nogil


cdef class OrthogonalPenalty(Restraint):
    cdef bint columns
    cdef double scale


cdef class PythonPenalty(Restraint):
    cdef object regularizer, shape


cdef class NormConstraint(Restraint):
    cdef fnn_norm_range bounds
    cdef bint columns


cdef class NonNegative(Restraint):
    pass


cdef class ClipConstraint(Restraint):
    cdef double limit


cdef class PythonConstraint(Restraint):
    cdef object constraint, shape
