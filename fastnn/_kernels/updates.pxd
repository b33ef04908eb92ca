"""What becomes of a gradient: the step of the optimizer, block by block of a tensor."""

from fastnn._kernels.ops cimport Run, Tensor
from fastnn._kernels.core cimport fnn_update


cdef inline void mask_block(Run* run, Py_ssize_t offset, const fnn_update* update) noexcept nogil:
    """Zeros where parameters were pruned."""
    cdef Py_ssize_t r
    for r in range(update.rows):
        run.k.mask(update.cols, run.mask + offset + r * update.ldparam,
                   <char*>update.param + r * update.ldparam * run.k.itemsize)


cdef inline void step_block(Run* run, int tensor, Py_ssize_t i0, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols,
                            const char* grad, Py_ssize_t ldgrad) noexcept nogil:
    """The optimizer on the (rows, cols) block at (i0, j0) of a tensor."""
    cdef const Tensor* t = &run.tensors[tensor]
    cdef fnn_update update = run.update[t.group]
    cdef Py_ssize_t offset = t.offset + i0 * t.cols + j0
    cdef int i
    if cols == t.cols and ldgrad == cols:
        cols *= rows
        rows = 1
    update.rows, update.cols, update.ldparam, update.ldgrad = rows, cols, t.cols, ldgrad
    update.param = run.param + offset * run.k.itemsize
    update.grad = grad
    for i in range(3):
        update.slot[i] = run.slot[i] + offset * run.k.itemsize if run.slot[i] != NULL else NULL
    run.k.update(run.optimizer, &update)
    if run.mask != NULL:
        mask_block(run, offset, &update)
    # They are in the L1 cache still.
    if not run.k.all_finite(update.rows, update.cols, update.param, update.ldparam):
        run.overflow = 1
