"""What becomes of a gradient: the step of the optimizer, block by block of a tensor."""

from libc.stdint cimport uint8_t

from fastnn._kernels.core cimport fnn_update
from fastnn._kernels.ops cimport Group, Run, Share, Tensor


# A penalty's value is the sum of those of blocks this large, in order. Units are made of whole ones, whatever the
# number of threads.
cdef enum:
    GRANULE_ROWS = 32
    GRANULE_COLS = 64


cdef inline void finish_gradient(Run* run, int tensor, Py_ssize_t i0, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols,
                                 char* grad, Py_ssize_t ldgrad) noexcept nogil:
    """What else belongs to the gradient of the (rows, cols) block at (i0, j0) of a tensor."""
    cdef const Tensor* t = &run.tensors[tensor]
    if t.sums >= 0:
        add_penalty(run, t, i0, rows, j0, cols, grad, ldgrad)
    if t.extra >= 0:
        add_extra(run, t, i0, rows, j0, cols, grad, ldgrad)
    if run.accumulated != NULL:
        run.k.accumulate(rows, cols, grad, ldgrad,
                         run.accumulated + (t.offset + i0 * t.cols + j0) * run.k.itemsize, t.cols,
                         run.accumulation_steps if run.updates else 0.0)
    if run.clip_value != 0:
        run.k.clip(rows, cols, grad, ldgrad, run.clip_value)
    if run.gradient_mask != NULL:
        mask_block(run, run.gradient_mask + t.offset + i0 * t.cols + j0, t.cols, rows, cols, grad, ldgrad)


cdef inline void add_penalty(Run* run, const Tensor* t, Py_ssize_t i0, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols,
                             char* grad, Py_ssize_t ldgrad) noexcept nogil:
    cdef Py_ssize_t across = (t.cols + GRANULE_COLS - 1) // GRANULE_COLS, i = 0, j
    cdef int size = run.k.itemsize
    while i < rows:
        j = 0
        while j < cols:
            run.penalties[t.sums + (i0 + i) // GRANULE_ROWS * across + (j0 + j) // GRANULE_COLS] = run.k.penalty(
                t.l1 * run.penalty_scale, t.l2 * run.penalty_scale,
                min(GRANULE_ROWS, rows - i), min(GRANULE_COLS, cols - j),
                run.param + (t.offset + (i0 + i) * t.cols + j0 + j) * size, t.cols,
                grad + (i * ldgrad + j) * size, ldgrad)
            j += GRANULE_COLS
        i += GRANULE_ROWS


cdef inline void add_extra(Run* run, const Tensor* t, Py_ssize_t i0, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols,
                           char* grad, Py_ssize_t ldgrad) noexcept nogil:
    run.k.add(rows, cols, run.extra + (t.extra + i0 * t.cols + j0) * run.k.itemsize, t.cols, grad, ldgrad, grad, ldgrad)


cdef inline void mask_block(Run* run, const uint8_t* mask, Py_ssize_t ldmask, Py_ssize_t rows, Py_ssize_t cols,
                            char* x, Py_ssize_t ldx) noexcept nogil:
    """Zeros in a block where parameters were pruned."""
    cdef Py_ssize_t r
    for r in range(rows):
        run.k.mask(cols, mask + r * ldmask, x + r * ldx * run.k.itemsize)


cdef inline void step_block(Run* run, int tensor, Py_ssize_t i0, Py_ssize_t rows, Py_ssize_t j0, Py_ssize_t cols,
                            const char* grad, Py_ssize_t ldgrad) noexcept nogil:
    """The optimizer on the (rows, cols) block at (i0, j0) of a tensor."""
    cdef const Tensor* t = &run.tensors[tensor]
    cdef const Group* group = &run.groups[t.group]
    cdef fnn_update update = group.update
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
    if group.direction >= 0:
        update.scalar[0] = run.factor[tensor]
    if run.updates:
        run.k.update(group.kind, &update)
    if run.average != NULL:
        run.k.average(update.rows, update.cols, update.param, run.average + offset * run.k.itemsize, update.ldparam,
                      run.momentum, run.overwrite)
    if run.mask != NULL:
        mask_block(run, run.mask + offset, update.ldparam, update.rows, update.cols, <char*>update.param,
                   update.ldparam)
    # They are in the L1 cache still.
    if not run.k.all_finite(update.rows, update.cols, update.param, update.ldparam):
        run.overflow = 1


cdef struct Chunk:
    # A run of elements of one tensor.
    Py_ssize_t tensor
    Py_ssize_t begin, n         # in the flat blocks


cdef struct Panel:
    # Some rows of one matrix of a tensor.
    Py_ssize_t tensor
    Py_ssize_t row, rows        # of the tensor
    Py_ssize_t part             # where in Whole.parts the sums of its columns begin
    Py_ssize_t col              # where in Whole.col those of its matrix do


cdef struct Factored:
    # A tensor of matrices: where it has its parts of Whole.row and Whole.col, and its panels.
    Py_ssize_t row, col
    Py_ssize_t panel, panels    # the first, and of each matrix


cdef class Whole:
    cdef object arrays
    cdef const Chunk* chunks
    cdef const Py_ssize_t* first_chunk      # [n_tensors + 1]
    cdef Py_ssize_t n_chunks, n_panels
    cdef int n_tensors
    cdef public double clipnorm, global_clipnorm        # 0: none
    cdef double* sums                       # [n_chunks, 2]: squares of parameters and of gradients
    cdef const Panel* panels                # Adafactor's
    cdef const Factored* factored           # [n_tensors]; panels is 0 where Adafactor has nothing to do
    cdef double* row                        # averages of squares of rows,
    cdef double* row_part                   # the same over their mean,
    cdef double* col                        # and of columns
    cdef double* parts                      # sums of the columns of a panel
    cdef bint has_directions
    cdef char* pending                      # Muon's momentum after the step, a flat block
    cdef char* tall[2]                      # the largest matrix that Muon turns,
    cdef char* square[3]                    # and its products with itself
    cdef void* looker
    cdef void (*look)(void*, Share*) noexcept nogil

    cdef void clip_norms(self, Run* run, Share* share) noexcept nogil
    cdef void directions(self, Run* run, Share* share) noexcept nogil
    cdef void commit(self, Run* run, Share* share) noexcept nogil
    cdef void direct_chunk(self, Run* run, const Chunk* chunk) noexcept nogil
    cdef void measure(self, Run* run, const Chunk* chunk) noexcept nogil
    cdef void factor_matrices(self, Run* run, Share* share) noexcept nogil
    cdef void average_sums(self, Run* run, Share* share, Py_ssize_t tensor) noexcept nogil
    cdef void divide_panel(self, Run* run, const Panel* panel) noexcept nogil
    cdef void orthogonalize(self, Run* run, Share* share, Py_ssize_t tensor) noexcept nogil
    cdef void gram(self, Run* run, Share* share, Py_ssize_t m, Py_ssize_t n, const char* x) noexcept nogil
    cdef void multiply(self, Run* run, Share* share, Py_ssize_t rows, Py_ssize_t n, const char* x, const char* w,
                       char* y) noexcept nogil
    cdef double chunk_sum(self, Py_ssize_t tensor, int which) noexcept nogil
    cdef double step_length(self, Run* run, Py_ssize_t tensor) noexcept nogil
