from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastnn._kernels.core cimport fnn_csr, fnn_entries, fnn_kernels, fnn_update
from fastnn._kernels.threads cimport fnn_barrier, fnn_barrier_wait, fnn_flush_subnormals, fnn_restore_subnormals


# A unit is at most this much of a kernel. Its gradient (64 KiB in float32) comes from the L2 cache at worst when
# the optimizer reads it, and rows as wide as a layer of 512 lie in one piece, as do their slots: the units of
# 784-512-512-10 took 909 us a step, 959 with 256 columns (one core of a Zen 5). Where that makes too few units
# for the threads, `Run.unit_cols` is less. All are multiples of every NR.
cdef enum:
    UNIT_ROWS = 32
    UNIT_COLS = 512
    LEAST_UNIT_COLS = 64
    # Elements of a unit's gradients: of its part of the kernel and of the bias. A whole number of cache lines.
    UNIT_SIZE = (UNIT_ROWS + 1) * UNIT_COLS


cdef struct Share:
    # One thread's part of a step. Threads stand in a grid: `n_groups` groups divide the rows of a batch, the
    # `n_lanes` threads of a group divide the columns of each product.
    int thread, n_threads
    int group, n_groups, lane, n_lanes
    int spins
    Py_ssize_t rows             # of the batch
    Py_ssize_t first            # its first row, among those of the call
    Py_ssize_t row0, row1       # of the group
    fnn_barrier* everyone       # n_threads wait there
    fnn_barrier* team           # the n_lanes threads of the group wait there
    char* scratch               # of the thread; ops say how much they need, NULL if none does in this call


cdef struct Tensor:
    # A parameter array, as (rows, cols) without gaps; a vector is one row.
    Py_ssize_t offset           # elements into the flat blocks
    Py_ssize_t rows, cols
    Py_ssize_t height           # rows of one matrix: of more dimensions than two it is a stack of them; 0: a vector
    int trainable
    int group                   # of the Run
    double l1, l2               # factors of the penalty on its magnitudes and squares
    Py_ssize_t sums             # where in Run.penalties the values of that are, block by block; -1: there is none
    Py_ssize_t extra            # where in Run.extra the gradient of another penalty begins; -1: there is none


cdef struct Group:
    # What is the same for all tensors of one multiplier of the learning rate and one rule of the optimizer.
    int rule                    # number among the optimizer's
    double multiplier
    double ratio                # of the learning rate of the step to that of weight decay
    double weight_decay
    const double* hyper
    int kind                    # enum fnn_optimizer
    int direction               # what makes a direction of whole gradients, which `kind` then follows, or -1
    fnn_update update           # decay and scalars of this step, of `kind`
    fnn_update turn             # scalars of `direction`


cdef struct Run:
    # What one call works on; the same for all threads of the region.
    const fnn_kernels* k
    char** y                    # [n_buffers]: activations, (max_rows, ld[b]); buffer 0 is the gathered X
    char** dy                   # [n_buffers]: gradients of the same shapes, NULL where none is needed
    Py_ssize_t* ld              # [n_buffers], in elements
    char* param                 # the flat blocks: parameters, gradients, optimizer slots
    char* grad
    char* slot[3]
    const uint8_t* mask         # of the flat block, 0 where a parameter is held at zero; NULL: none is
    const uint8_t* gradient_mask        # the same where it matters to gradients, or NULL
    const Tensor* tensors       # of the program
    Group* groups
    char* accumulated           # sum of the gradients since the last update, or NULL
    char* average               # of the parameters over the steps, or NULL
    double* factor              # [n_tensors]: length of the step along a direction
    double* penalties           # parts of all penalties of this step
    double penalty_scale        # factor of those on single weights, in this step
    char* extra                 # gradients of penalties that look at whole tensors
    char* restraints            # what those keep meanwhile
    double* row_penalty         # [max_rows]: of activities, beside the loss; NULL: there are none
    Py_ssize_t max_rows         # of a batch
    fnn_csr csr                 # X, where it is sparse,
    const int64_t* starts       # [rows of the call + 1] how many entries are before each row of it, in training,
    fnn_entries entries         # and those of the batch
    char** state                # [n_ops]: what an op keeps between its methods, Op.state_size bytes
    char* transposed            # panels of W.T of all kernels that input gradients need
    Py_ssize_t unit_cols        # of a kernel that a unit covers
    int updates                 # 0 in steps that only accumulate
    double accumulation_steps
    double clip_value           # 0: none
    double momentum             # of `average`, in this step
    int overwrite               # the parameters become the average in this step
    int training                # dropout and its like are on
    int backward                # a backward pass follows: layers in Python must keep what it needs
    int overflow                # set by an update after which parameters are not finite
    int stop                    # set by any thread before the step's barrier: leave before the update
    int last_step               # of the call: W.T is not needed after it, the next call makes its own
    uint64_t fp_mode            # of the first thread, which calls Python, before it began to flush subnormals
    uint64_t seed
    uint64_t step               # optimizer steps done before this one


cdef enum UnitMode:
    GRADIENT_THEN_UPDATE        # the gradient lives in a thread's scratch only
    GRADIENT                    # into the gradient block
    UPDATE                      # from the gradient block


cdef inline void enter_python(Run* run) noexcept nogil:
    """Python gets the floating-point mode that it left."""
    fnn_restore_subnormals(run.fp_mode)


cdef inline void leave_python(Run* run) noexcept nogil:
    run.fp_mode = fnn_flush_subnormals()


cdef inline char* at(char* base, Py_ssize_t row, Py_ssize_t ld, Py_ssize_t col, int itemsize) noexcept nogil:
    return base + (row * ld + col) * itemsize


cdef inline void lane_rows(Share* share, Py_ssize_t* r0, Py_ssize_t* r1) noexcept nogil:
    """The part of the group's rows that the lane takes in ops that work row by row."""
    cdef Py_ssize_t n = share.row1 - share.row0
    r0[0] = share.row0 + n * share.lane // share.n_lanes
    r1[0] = share.row0 + n * (share.lane + 1) // share.n_lanes


cdef inline void lane_panels(Share* share, Py_ssize_t cols, int nr, Py_ssize_t* c0, Py_ssize_t* c1) noexcept nogil:
    """The part of `cols` columns, in whole panels, that the lane takes in products."""
    cdef Py_ssize_t panels = (cols + nr - 1) // nr
    c0[0] = min(cols, panels * share.lane // share.n_lanes * nr)
    c1[0] = min(cols, panels * (share.lane + 1) // share.n_lanes * nr)


cdef inline void meet(Share* share) noexcept nogil:
    fnn_barrier_wait(share.everyone, share.thread, share.n_threads, share.spins)


cdef inline void meet_team(Share* share) noexcept nogil:
    fnn_barrier_wait(share.team, share.lane, share.n_lanes, share.spins)


cdef class Op:
    cdef readonly int source, target            # buffers
    cdef readonly tuple sources                 # all buffers that it reads
    cdef readonly Py_ssize_t n_in, n_out
    cdef readonly bint trainable
    cdef int place                              # among the program's ops
    cdef bint whole_batch                       # one thread runs it for all rows, the others wait
    cdef bint meets                             # all threads meet inside forward while training, and inside backward
    cdef bint wants_dx                          # something below the source is trained
    cdef bint always_backward                   # backward makes gradients of parameters, wanted without dx too
    cdef bint has_local_gradient                # local_gradient has work to do before backward
    cdef bint names_rows                        # sorts, before units, the rows of a kernel that the batch names,
    cdef bint lazy                              # which are then the only ones that take a step, in step_rows
    cdef bint joins                             # backward can multiply dx by the derivative of an activation below
    cdef int below_activation, below_saved      # the one that it does multiply by, linear: none
    cdef double below_alpha

    cdef Py_ssize_t state_size(self, Py_ssize_t max_rows, int itemsize) noexcept nogil
    cdef Py_ssize_t scratch_size(self, int itemsize) noexcept nogil
    cdef void forward(self, Run* run, Share* share) noexcept nogil
    cdef void local_gradient(self, Run* run, Share* share) noexcept nogil
    cdef void backward(self, Run* run, Share* share) noexcept nogil
    cdef void transpose(self, Run* run, Share* share) noexcept nogil
    cdef void sort_rows(self, Run* run, Share* share) noexcept nogil
    cdef void step_rows(self, Run* run, Share* share, UnitMode mode) noexcept nogil
    cdef Py_ssize_t n_units(self, Py_ssize_t unit_cols) noexcept nogil
    cdef Py_ssize_t unit_cost(self, Py_ssize_t unit_cols, Py_ssize_t unit) noexcept nogil
    cdef void unit(self, Run* run, Py_ssize_t unit, Py_ssize_t rows, UnitMode mode, char* scratch) noexcept nogil


cdef class DenseOp(Op):
    cdef int activation
    cdef double alpha
    cdef int kernel, bias                           # tensors; bias -1: none
    cdef Py_ssize_t kernel_offset, bias_offset      # theirs
    cdef Py_ssize_t wt_offset                       # elements into run.transposed, or -1: nothing reads it
    cdef bint bias_trains                           # of a tied op
    cdef readonly bint flip                         # the layer's kernel is W.T
    cdef readonly DenseOp owner                     # the op whose units train W, or None: this one's
    cdef readonly list users                        # other ops with the same W
    cdef void** user_array                          # [n_users]
    cdef int n_users
    cdef object user_storage
    cdef int saved                                  # buffer that the activation's derivative is taken from
    cdef Py_ssize_t kernel_rows, kernel_cols
    cdef Py_ssize_t uses                            # of an element of the kernel, by each row of a batch
    cdef char* matrix(self, Run* run) noexcept nogil
    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* i0, Py_ssize_t* i1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil
    cdef void transpose_unit(self, Run* run, Py_ssize_t unit) noexcept nogil
    cdef void kernel_grad(self, Run* run, Py_ssize_t rows, Py_ssize_t i0, Py_ssize_t i1, Py_ssize_t j0, Py_ssize_t j1,
                          char* grad, Py_ssize_t ldgrad, char* sums, char* scratch) noexcept nogil


cdef class CsrDenseOp(DenseOp):
    cdef void load(self, Run* run, Share* share, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil


cdef class ActivationOp(Op):
    cdef int activation
    cdef double alpha
    cdef Py_ssize_t last                            # columns that softmax runs over


cdef class DropoutOp(Op):
    cdef double rate, scale, offset, other
    cdef uint32_t stream                            # tells the random ops of one model apart
    cdef bint own_seed
    cdef uint64_t seed
    cdef Py_ssize_t kept_ld(self) noexcept nogil
    cdef void drop(self, Run* run, Py_ssize_t r0, Py_ssize_t rows, const char* x, Py_ssize_t ldx, uint64_t* kept,
                   char* y, Py_ssize_t ldy) noexcept nogil
    cdef void undo(self, Run* run, Py_ssize_t rows, Py_ssize_t cols, const char* dy, Py_ssize_t lddy,
                   const uint64_t* kept, char* dx, Py_ssize_t lddx) noexcept nogil


cdef class GaussianOp(Op):
    cdef bint multiplies
    cdef double stddev
    cdef uint32_t stream
    cdef bint own_seed
    cdef uint64_t seed
    cdef void noise(self, Run* run, Share* share, const char* x, Py_ssize_t ldx, char* y, Py_ssize_t ldy,
                    bint on) noexcept nogil


cdef class AffineOp(Op):
    cdef double scale, offset


cdef class ForkOp(Op):
    pass


cdef class AddOp(Op):
    cdef int other                                  # source too
    cdef readonly bint copies                       # dy[source] has a memory of its own


cdef class ConcatOp(Op):
    cdef object tables
    cdef Py_ssize_t n_sources, groups
    cdef const int* from_                           # [n_sources] buffers
    cdef const Py_ssize_t* sizes                    # [n_sources] columns of a group
    cdef const Py_ssize_t* starts                   # [n_sources] their first in the target's group
    cdef const int* copied                          # [n_sources] 0: they lie in the target already
    cdef void copy(self, Run* run, Share* share, Py_ssize_t i, bint back) noexcept nogil


cdef class ColumnsOp(Op):
    cdef object index
    cdef const int64_t* column                      # [n_out]
    cdef readonly bint view                         # target is a view of the source


cdef class EmbeddingOp(Op):
    cdef object name
    cdef int table                                  # tensor
    cdef Py_ssize_t offset, limit, dim
    cdef fnn_entries entries(self, Run* run, Py_ssize_t rows) noexcept nogil
    cdef void block(self, Py_ssize_t unit_cols, Py_ssize_t unit, Py_ssize_t* t0, Py_ssize_t* t1, Py_ssize_t* j0,
                    Py_ssize_t* j1) noexcept nogil


cdef class ActivityOp(Op):
    cdef double l1, l2


cdef class PythonOp(Op):
    cdef object layer, places
    cdef const int* tensors                         # in places
    cdef Py_ssize_t n_tensors


cdef array_over(void* base, shape, str kind, Py_ssize_t itemsize)
cdef view(Run* run, char* base, Py_ssize_t ld, Py_ssize_t rows, Py_ssize_t cols)
cdef void fail(Run* run, error) noexcept
