"""The program: a model lowered to a list of ops over one arena, and the loops that run whole epochs of it.

A step needs two barriers of all threads, whatever the depth of the network:

1. Rows. A row of a batch passes through gather, forward, loss and backward without meeting another row, so
   each group of threads takes its rows through all ops. (With more than one lane in a group, the lanes divide
   the columns of each product and meet after each op.)
2. Units. The gradient of a kernel needs all rows. It is cut into units, blocks of the kernel that one thread
   takes from gradient to optimizer step to the transposed copy while they are in its cache.

No element's order of operations depends on who computes it, which makes results equal to the bit for any
number of threads. Nothing is allocated inside; all memory comes with the `Workspace`.
"""

from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel
from libc.math cimport isfinite
from libc.string cimport memcpy, memset

from fastnn._kernels.binary_ops cimport BitsOp, PackedOp, RoundedOp
from fastnn._kernels.conv_ops cimport ConvOp, PoolOp
from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels
from fastnn._kernels.door cimport Array, address, csr_of, look_at
from fastnn._kernels.named_rows cimport ENTRY_BYTES, entries_at
from fastnn._kernels.norm_ops cimport BatchNormOp, PReluOp, RowNormOp, ScaleOp, SReluOp
from fastnn._kernels.ops cimport *
from fastnn._kernels.restraints cimport *
from fastnn._kernels.sparse_ops cimport SparseDenseOp
from fastnn._kernels.teams cimport LEAST_WORK, Team, Tuner
from fastnn._kernels.updates cimport Whole
from fastnn._kernels.threads cimport (
    cores, fnn_barrier, fnn_clock, fnn_flush_subnormals, fnn_num_threads, fnn_others_arrived,
    fnn_pause, fnn_restore_subnormals, fnn_thread_num, spread_threads, team_size,
)
from fastnn._kernels.updates cimport GRANULE_COLS, GRANULE_ROWS

import collections
import itertools
import math

import numpy as np

from fastnn._kernels.dispatch import DTYPES, LOSSES, METRICS, OPTIMIZERS
from fastnn._kernels.ops import errors


cdef enum:
    ALIGNMENT = 64
    SLACK = 256
    # Rows of one piece of predict and evaluate; a constant, so that no result depends on the caller's batches.
    INFERENCE_ROWS = 128
    EVALUATION_ROWS = 1024
    # Rows that a group takes through all ops at a time: their activations stay in its L2 cache.
    PIECE_ROWS = 256
    # Fewer of them where they are images: 28 of 28 x 28 through 32 and 64 filters, where a step took 13.2 ms, and 14.6
    # with the whole batch of 128 rows at a time (one core of a Zen 5). And what predict and evaluate may fill.
    PIECE_BYTES = 1 << 22
    FORWARD_BYTES = 1 << 25
    # Runners that a pool keeps for the next calls, and the memory one of them may hold on to meanwhile: larger
    # ones are made anew, in a time that their arithmetic hides.
    POOL_RUNNERS = 16
    MAX_TUNERS = 64
    # A thread with one unit more than another then has at most a quarter more to do.
    UNITS_PER_THREAD = 4
    POOL_BYTES = 2 << 20
    MAX_RULES = 4

# Seconds between looks at signals and the progress bar. With the longest stretch that does not look, it stays
# under the 100 ms promised for Ctrl-C; stretches are kept below LONGEST multiply-adds a thread (70 ms of one
# Zen 4 core) by cutting pieces shorter, and by taking all gradients of a step before all updates.
cdef double TICK = 0.02
cdef double LONGEST = 4e9
# Above this many multiply-adds a piece is long enough to look between its ops too.
cdef double LONG_PIECE = 1e8
# Calls of less effort keep the GIL, a few microseconds long: a thread that waits for it would keep it for 5 ms.
cdef double SHORT = 1.0e5


def row_stride(Py_ssize_t cols, Py_ssize_t itemsize):
    """Elements from row to row of an arena buffer of `cols` columns.

    Whole cache lines, and an odd number of them: rows then start in different sets of the L1 cache, where a
    power of two would put the rows that a tile reads together into the same one.
    """
    cdef Py_ssize_t lines = (cols * itemsize + ALIGNMENT - 1) // ALIGNMENT
    return (lines | 1) * ALIGNMENT // itemsize


def aligned_zeros(Py_ssize_t n, dtype, Py_ssize_t skew=0):
    """(n,) zeros that begin `skew` bytes behind a 4 KiB boundary (a multiple of 64) and may be read SLACK bytes
    past their end: products read panels of kernels and of gradients whole.

    State arrays read together at equal offsets in their pages collide in the L1 cache; skews keep them apart.
    """
    cdef Py_ssize_t itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(n * itemsize + 4096 + skew + SLACK, np.uint8)
    start = -raw.ctypes.data % 4096 + skew
    return raw[start:start + n * itemsize].view(dtype)


cdef object empty = np.empty
cdef object ndarray = np.ndarray

cdef Tensor layout
cdef Py_ssize_t base = <Py_ssize_t><char*>&layout
# The struct of ops.pxd, for NumPy.
_FIELDS = {"offset": (np.intp, <Py_ssize_t>&layout.offset), "rows": (np.intp, <Py_ssize_t>&layout.rows),
           "cols": (np.intp, <Py_ssize_t>&layout.cols), "height": (np.intp, <Py_ssize_t>&layout.height),
           "trainable": (np.intc, <Py_ssize_t>&layout.trainable), "group": (np.intc, <Py_ssize_t>&layout.group),
           "l1": (np.float64, <Py_ssize_t>&layout.l1), "l2": (np.float64, <Py_ssize_t>&layout.l2),
           "sums": (np.intp, <Py_ssize_t>&layout.sums), "extra": (np.intp, <Py_ssize_t>&layout.extra)}
TENSOR = np.dtype({"names": list(_FIELDS), "formats": [kind for kind, _ in _FIELDS.values()],
                   "offsets": [place - base for _, place in _FIELDS.values()], "itemsize": sizeof(Tensor)})


cdef class Program:
    """The ops of a model over buffers 0 .. n_buffers - 1 (buffer 0: the gathered rows of X).

    Layers add their ops through the methods below, each of which returns the index of its output buffer; then
    `finish` fixes offsets and what needs a gradient.
    """

    cdef readonly list ops
    cdef readonly list widths           # columns of each buffer
    cdef readonly list groups           # of tensors: (multiplier of the learning rate, rule of the optimizer)
    cdef dict rules                     # of tensors by offset, where it is not the optimizer's first
    cdef dict tensor_places             # by offset
    cdef list tensor_rows               # of the table below
    cdef readonly object tensor_table
    cdef const Tensor* tensors
    cdef Py_ssize_t n_tensors
    cdef dict block_penalties           # l1 and l2 by tensor
    cdef dict penalties, constraints    # Restraint by tensor
    cdef list penalty_list, constraint_list
    cdef readonly Py_ssize_t n_penalties, n_extra       # numbers in Run.penalties, elements of Run.extra
    cdef bint has_activities            # penalties on them
    cdef bint meets                     # an op does
    cdef readonly Py_ssize_t n_inputs, n_outputs
    cdef readonly bint sparse           # X comes as a Csr, which the first op reads where it is
    cdef readonly bint lazy             # of a kernel only those rows take a step that the batch names
    cdef bint names_rows                # an op does
    cdef Py_ssize_t sparse_cols         # outputs of the op that reads a Csr
    cdef readonly str dtype
    cdef readonly Py_ssize_t transposed_size
    cdef readonly double work           # multiply-adds of a forward pass, a row
    cdef double kernel_bytes
    cdef dict forward_tuners            # by threads allowed and bits of the number of rows
    cdef double effort                  # the same, and 16 for each other number that is made
    cdef readonly bint trains           # any op is trainable
    cdef double row_bytes               # of all buffers
    cdef bint convolves                 # an op does
    cdef bint cuts_rows                 # its rows may be long
    cdef readonly bint keeps_gradients  # an op writes them into the gradient block before the units
    cdef readonly bint has_python       # an op, or the loss, is written in Python and needs the whole batch
    cdef list needs_gradient            # by buffer
    cdef dict kernel_owners             # tensor: the first DenseOp that has it as its kernel
    cdef bint flips                     # a forward product reads a transposed kernel
    cdef dict views                     # buffer: (buffer, column) that its outputs lie at, and its gradients
    cdef dict gradient_views            # but these gradients lie elsewhere, None: in a memory of their own
    cdef double table_work              # multiply-adds that the updates of tables are worth, a step
    cdef object loss                    # (kind, param, keeps outputs) or an object with call and gradient
    cdef const fnn_kernels* k
    cdef void** op_array
    cdef object op_storage
    cdef int n_ops
    cdef void* last                     # op
    cdef list producers
    cdef Py_ssize_t readers             # runners that a `Pool` has given away

    def __init__(self, dtype, Py_ssize_t n_inputs, rules=None, bint sparse=False, bint lazy=False):
        self.dtype = dtype
        self.k = kernels(DTYPES[dtype])
        self.n_inputs, self.sparse, self.lazy = n_inputs, sparse, lazy
        self.ops, self.widths, self.producers = [], [0 if sparse else n_inputs], [None]
        self.forward_tuners, self.tensor_places, self.tensor_rows, self.groups = {}, {}, [], []
        self.rules = rules or {}
        self.views, self.gradient_views, self.kernel_owners = {}, {}, {}
        self.block_penalties, self.penalties, self.constraints = {}, {}, {}
        self.penalty_list, self.constraint_list = [], []

    def tensor(self, Py_ssize_t offset, shape, double multiplier=1.0, bint trainable=True):
        """Number of the parameter array of this shape at `offset` of the flat block; what is registered again is the
        same tensor. Its learning rate is `multiplier` times that of the step."""
        cdef Py_ssize_t cols = shape[len(shape) - 1]
        if offset not in self.tensor_places:
            group = multiplier, self.rules.get(offset, 0)
            if group not in self.groups:
                self.groups.append(group)
            self.tensor_places[offset] = len(self.tensor_rows)
            height = shape[len(shape) - 2] if len(shape) > 1 else 0
            self.tensor_rows.append((offset, math.prod(shape) // cols, cols, height, trainable,
                                     self.groups.index(group)))
        elif trainable:
            row = self.tensor_rows[self.tensor_places[offset]]
            self.tensor_rows[self.tensor_places[offset]] = (*row[:4], True, row[5])
        return self.tensor_places[offset]

    def penalty(self, int tensor, double l1, double l2):
        """Add l1 times the magnitudes and l2 times the squares of a tensor to the loss."""
        if l1 or l2:
            self.block_penalties[tensor] = l1, l2

    def orthogonal_penalty(self, int tensor, bint columns, double scale):
        """Add scale times the magnitudes of the products of all pairs of rows, or columns, scaled to unit vectors."""
        _, rows, cols, *_ = self.tensor_rows[tensor]
        if (cols if columns else rows) > 1:
            self.penalties[tensor] = OrthogonalPenalty(tensor, rows, cols, columns, scale)

    def python_penalty(self, int tensor, shape, regularizer):
        """Add ``regularizer(w)``, whose derivative is ``regularizer.gradient(w)``."""
        self.penalties[tensor] = PythonPenalty(tensor, shape, regularizer)

    def norm_constraint(self, int tensor, Py_ssize_t rows, Py_ssize_t cols, bint columns, double low, double high,
                        double rate):
        """After each step bring the norms of columns, or rows, of the tensor seen as (rows, cols) into a range."""
        self.constraints[tensor] = NormConstraint(tensor, rows, cols, columns, low, high, rate)

    def non_negative(self, int tensor):
        """After each step let negative numbers be zero."""
        _, rows, cols, *_ = self.tensor_rows[tensor]
        self.constraints[tensor] = NonNegative(tensor, rows, cols)

    def clip_constraint(self, int tensor, double limit):
        """After each step hold numbers in [-limit, limit]."""
        _, rows, cols, *_ = self.tensor_rows[tensor]
        self.constraints[tensor] = ClipConstraint(tensor, rows, cols, limit)

    def python_constraint(self, int tensor, shape, constraint):
        """After each step let the tensor be ``constraint(w)``."""
        self.constraints[tensor] = PythonConstraint(tensor, shape, constraint)

    def activity(self, int source, double l1, double l2):
        """Add l1 times the magnitudes and l2 times the squares of each row of a buffer to the row's loss."""
        cdef Op op = ActivityOp(source, self.widths[source], l1, l2)
        if l1 or l2:
            op.place = len(self.ops)
            self.ops.append(op)
            self.producers[source] = op
            self.has_activities = True
        return source

    def _lay_out_penalties(self):
        """The tensor table's columns of penalties, and the places of what the restraints keep."""
        cdef Restraint restraint
        table = self.tensor_table
        table["sums"] = table["extra"] = -1
        for tensor, (l1, l2) in self.block_penalties.items():
            row = table[tensor]
            row["l1"], row["l2"], row["sums"] = l1, l2, self.n_penalties
            rows, cols = int(row["rows"]), int(row["cols"])
            blocks = -(-rows // GRANULE_ROWS) * -(-cols // GRANULE_COLS)
            # Some ops take a tensor as one row, whatever its shape.
            self.n_penalties += max(blocks, -(-rows * cols // GRANULE_COLS))
        for tensor, restraint in self.penalties.items():
            table[tensor]["extra"] = restraint.extra = self.n_extra
            restraint.sums = self.n_penalties
            self.n_penalties += restraint.n_sums()
            self.n_extra += restraint.rows * restraint.cols
        self.penalty_list, self.constraint_list = list(self.penalties.values()), list(self.constraints.values())

    def _offset(self, int tensor):
        return self.tensor_rows[tensor][0] if tensor >= 0 else -1

    def _add(self, Op op):
        if self.sparse and 0 in op.sources and (self.ops or not isinstance(op, CsrDenseOp)):
            raise ValueError("sparse samples go to one dense layer, the first; another op was to take them")
        op.place = len(self.ops)
        self.ops.append(op)
        self.widths.append(op.n_out)
        self.producers.append(op)
        return op.target

    def dense(self, int source, Py_ssize_t n_out, int activation, double alpha, int kernel, int bias, bint trainable,
              bint flip=False):
        """kernel and bias are tensors; bias -1: none. The first op with a kernel owns it, the others are tied to it;
        `flip`: with the kernel transposed."""
        cdef DenseOp op
        if self.sparse and source == 0:
            op = CsrDenseOp(source, len(self.widths), self.n_inputs, n_out, activation, alpha, kernel,
                            self._offset(kernel), bias, self._offset(bias), trainable)
        else:
            op = DenseOp(source, len(self.widths), self.widths[source], n_out, activation, alpha, kernel,
                         self._offset(kernel), bias, self._offset(bias), trainable)
        owner = self.kernel_owners.setdefault(kernel, op)
        if owner is not op:
            op.tie(owner, flip)
        return self._add(op)

    def rounded_dense(self, int source, Py_ssize_t n_out, int activation, double alpha, int kernel, int bias,
                      bint trainable, int values, double threshold, bint stochastic):
        """A dense layer whose kernel is rounded to the values of an activation (FNN_SIGN and its like, at `threshold`)
        before it multiplies."""
        self.flips = True       # each call makes the rounded kernels
        target = len(self.widths)
        return self._add(RoundedOp(source, target, self.widths[source], n_out, activation, alpha, kernel,
                                   self._offset(kernel), bias, self._offset(bias), trainable, values, threshold,
                                   stochastic, target))

    def bits(self, int source):
        """Rows of words: a bit for each number of `source`, set where it is at least 0."""
        return self._add(BitsOp(source, len(self.widths), self.widths[source], self.k.itemsize))

    def packed_dense(self, int source, Py_ssize_t n_in, Py_ssize_t n_out, int weights, int inputs, words, constant,
                     int activation, double alpha, int bias):
        """words and constant as in struct fnn_packed; `source` are bits of n_in numbers, or numbers if `inputs` are
        linear."""
        self.work += <double>n_in * n_out
        self.kernel_bytes += words.nbytes
        return self._add(PackedOp(source, len(self.widths), n_in, n_out, weights, inputs, words, constant, activation,
                                  alpha, bias, self._offset(bias)))

    def conv(self, int source, window, Py_ssize_t filters, int activation, double alpha, int kernel, int bias,
             bint trainable):
        """window: a `fastnn.windows.Window`; kernel and bias as in `dense`."""
        return self._add(ConvOp(source, len(self.widths), window, filters, activation, alpha, kernel,
                                self._offset(kernel), bias, self._offset(bias), trainable))

    def sparse_dense(self, int source, index, int activation, double alpha, int kernel, int bias, bint trainable):
        """index: a `sparse_ops.Index`; kernel: the tensor of its entries; the rest as in `dense`."""
        self.keeps_gradients = self.keeps_gradients or trainable
        return self._add(SparseDenseOp(source, len(self.widths), index, activation, alpha, kernel,
                                       self._offset(kernel), bias, self._offset(bias), trainable))

    def replace_index(self, Py_ssize_t kernel_offset, new):
        """Other positions for the entries of a sparse kernel, as many as before, while no batch is under way."""
        self._sparse_op(kernel_offset).replace_index(new, self.readers > 0)

    cdef SparseDenseOp _sparse_op(self, Py_ssize_t kernel_offset):
        """The op with the sparse kernel that begins there."""
        return next(op for op in self.ops if isinstance(op, SparseDenseOp)
                    and (<SparseDenseOp>op).kernel_offset == kernel_offset)

    def pool(self, int source, int kind, window):
        return self._add(PoolOp(source, len(self.widths), kind, window))

    def activation(self, int source, int activation, double alpha, Py_ssize_t last=0):
        """softmax and its logarithm run over `last` columns each time, 0: over all."""
        return self._add(ActivationOp(source, len(self.widths), self.widths[source], activation, alpha, last))

    def dropout(self, int source, double rate, seed=None, double scale=0.0, double offset=0.0, double other=0.0):
        """scale 0: 1 / (1 - rate)"""
        target = len(self.widths)
        return self._add(DropoutOp(source, target, self.widths[source], rate, scale or 1 / (1 - rate), offset, other,
                                   target, seed))

    def gaussian(self, int source, bint multiplies, double stddev, seed=None):
        target = len(self.widths)
        return self._add(GaussianOp(source, target, self.widths[source], multiplies, stddev, target, seed))

    def batch_norm(self, int source, Py_ssize_t cols, double momentum, double epsilon, int gamma, int beta, int mean,
                   int variance, bint trainable):
        """gamma, beta and the moving mean and variance are tensors; gamma and beta -1: none. Not trainable: it
        normalizes by the moving statistics while training too."""
        return self._add(BatchNormOp(source, len(self.widths), self.widths[source], cols, momentum, epsilon, gamma,
                                     self._offset(gamma), beta, self._offset(beta), self._offset(mean),
                                     self._offset(variance), trainable))

    def row_norm(self, int source, Py_ssize_t cols, bint centred, double epsilon, int gamma, int beta, bint trainable):
        return self._add(RowNormOp(source, len(self.widths), self.widths[source], cols, centred, epsilon, gamma,
                                   self._offset(gamma), beta, self._offset(beta), trainable))

    def prelu(self, int source, Py_ssize_t cols, int alpha, bint trainable):
        return self._add(PReluOp(source, len(self.widths), self.widths[source], cols, alpha, self._offset(alpha),
                                 trainable))

    def srelu(self, int source, Py_ssize_t cols, tensors, bint trainable):
        """tensors: left threshold and slope, distance of the right threshold, right slope"""
        return self._add(SReluOp(source, len(self.widths), self.widths[source], cols, tensors,
                                 [self._offset(tensor) for tensor in tensors], trainable))

    def scale(self, int source, Py_ssize_t cols, int scale, bint trainable):
        return self._add(ScaleOp(source, len(self.widths), self.widths[source], cols, scale, self._offset(scale),
                                 trainable))

    def affine(self, int source, double scale, double offset):
        return self._add(AffineOp(source, len(self.widths), self.widths[source], scale, offset))

    def fork(self, int source):
        """The same outputs for a reader that goes forward before the last reader of `source` does."""
        target = self._add(ForkOp(source, len(self.widths), self.widths[source]))
        self.views[target], self.gradient_views[target] = (source, 0), None
        return target

    def add(self, int a, int b):
        return self._add(AddOp(a, b, len(self.widths), self.widths[a]))

    def concatenate(self, sources, sizes):
        """Side by side, `sizes` columns of each in turn, as often as they have them."""
        cdef Py_ssize_t groups = self.widths[sources[0]] // sizes[0]
        target = len(self.widths)
        readers = self._readers()
        copied = [groups > 1 or b in self.views or b in readers or self.producers[b] is None or sources.count(b) > 1
                  for b in sources]
        for b, start, copy in zip(sources, itertools.accumulate(sizes, initial=0), copied):
            if not copy:
                self.views[b] = target, start
        return self._add(ConcatOp(sources, sizes, copied, target, groups))

    def columns(self, int source, index):
        cdef ColumnsOp op = ColumnsOp(source, len(self.widths), self.widths[source], index)
        if op.view:
            self.views[op.target], self.gradient_views[op.target] = (source, <Py_ssize_t>op.column[0]), None
        return self._add(op)

    def embedding(self, int source, Py_ssize_t limit, Py_ssize_t dim, int table, bint trainable, name):
        """table: a tensor (limit, dim)."""
        cdef EmbeddingOp op = EmbeddingOp(source, len(self.widths), self.widths[source], table, self._offset(table),
                                          limit, dim, trainable, name)
        op.names_rows = op.lazy = trainable and self.lazy
        self.table_work += 2.0 * limit * dim if trainable and not op.lazy else 0.0
        return self._add(op)

    def _readers(self):
        """How many ops read each buffer."""
        return collections.Counter(source for op in self.ops for source in op.sources)

    def _place(self, buffer, bint gradient=False):
        """The buffer in whose memory this one's outputs, or gradients, lie, and the column where they begin."""
        view = self.gradient_views.get(buffer, self.views.get(buffer)) if gradient else self.views.get(buffer)
        if view is None:
            return buffer, 0
        root, column = self._place(view[0], gradient)
        return root, column + view[1]

    def python(self, int source, Py_ssize_t n_out, layer, tensors, bint trainable):
        self.has_python = self.keeps_gradients = True
        return self._add(PythonOp(source, len(self.widths), self.widths[source], n_out, layer, tensors, trainable))

    def _merge(self):
        """Ops that normalize take over what is done to their outputs next."""
        cdef Op op
        readers, kept = self._readers(), []
        for op in self.ops:
            below = kept[len(kept) - 1] if kept else None
            if isinstance(below, BatchNormOp) and op.source == below.target and readers[op.source] == 1 \
                    and op.source not in self.views and below.absorb(op):
                self.producers[op.target], self.widths[op.source] = below, 0
            else:
                op.place = len(kept)
                kept.append(op)
        self.ops = kept

    def finish(self, bint training, loss=None, bint inputs=False):
        """Fix the program. `loss`: an object with ``call`` and ``gradient``, or (kind, param, keeps outputs): whether
        the loss leaves the outputs as they are where it could replace logits by probabilities. `inputs`: whether the
        gradient of the inputs is wanted too."""
        cdef Op op
        cdef DenseOp dense
        self._merge()
        self.loss = loss
        self.has_python = self.has_python or not (loss is None or isinstance(loss, tuple))
        needs = [False] * len(self.widths)
        needs[0] = training and inputs
        self.trains = needs[0]
        for op in self.ops:
            op.wants_dx = training and any([needs[source] for source in op.sources])
            needs[op.target] = training and (op.wants_dx or op.trainable)
            self.trains = self.trains or op.trainable
            self.meets = self.meets or op.meets
        needs[len(needs) - 1] = training
        self.needs_gradient = list(needs)
        readers = self._readers()
        for op in self.ops:
            if isinstance(op, AddOp) and readers[op.source] == 1 and not {op.source, op.target} & self.views.keys():
                op.share_gradient()
                self.gradient_views[op.source] = op.target, 0
        self.tensor_table = np.array([(*row, 0.0, 0.0, -1, -1) for row in self.tensor_rows] or [(0,) * len(TENSOR)],
                                     dtype=TENSOR)
        self.tensors, self.n_tensors = <const Tensor*><size_t>self.tensor_table.ctypes.data, len(self.tensor_rows)
        if training:
            self._lay_out_penalties()
        for op in self.ops:
            below = self.producers[op.source]
            self.names_rows = self.names_rows or (op.trainable and op.names_rows)
            sparse = isinstance(op, SparseDenseOp)
            if isinstance(op, CsrDenseOp):
                self.sparse_cols = op.n_out
                # The gradient of a kernel that other layers use too is not sparse.
                op.lazy = op.trainable and self.lazy and not (<DenseOp>op).n_users
                if op.trainable and not op.lazy:
                    self.table_work += 2.0 * op.n_in * op.n_out
            elif isinstance(op, DenseOp):
                dense = op
                if sparse:
                    (<SparseDenseOp>op).trains = training
                self.cuts_rows = self.cuts_rows or sparse or dense.uses > 1
                self.convolves = self.convolves or dense.uses > 1
                self.work += <double>dense.kernel_rows * dense.kernel_cols * dense.uses
                self.kernel_bytes += <double>dense.kernel_rows * dense.kernel_cols * self.k.itemsize
            if isinstance(op, DenseOp):
                dense = op
                if dense.owner is None:
                    dense.wt_offset = -1
                    if not sparse and any([user.flip or (training and needs[user.source])
                                           for user in (dense, *dense.users)]):
                        dense.wt_offset = self.transposed_size
                        self.transposed_size += self.k.transposed_size(dense.kernel_rows, dense.kernel_cols)
                else:
                    dense.wt_offset = dense.owner.wt_offset
                    self.flips = self.flips or dense.flip
                if training and FNN_LAST_FROM_OUTPUT < dense.activation <= FNN_LAST_ELEMENTWISE and needs[dense.target]:
                    dense.saved = len(self.widths)
                    self.widths.append(dense.n_out)
                    self.needs_gradient.append(False)
            if op.joins and op.wants_dx and readers[op.source] == 1:
                if isinstance(below, DenseOp):
                    op.join_below(below)
                if isinstance(op, (BatchNormOp, DropoutOp)) and not {op.source, op.target} & self.views.keys():
                    self.gradient_views[op.source] = op.target, 0       # dx in the place of dy
        self.effort = self.work + 16 * sum(self.widths)
        self.row_bytes = <double>sum(self.widths) * self.k.itemsize
        self.n_ops = len(self.ops)
        self.op_storage = np.array([id(o) for o in self.ops], dtype=np.uintp)
        self.op_array = <void**><size_t>self.op_storage.ctypes.data
        self.last = self.op_array[self.n_ops - 1]
        self.n_outputs = (<Op>self.last).n_out
        if training and self.lazy:
            self._check_lazy()

    def _check_lazy(self):
        cdef Op op
        for op in self.ops:
            if op.lazy:
                tensor = (<EmbeddingOp>op).table if isinstance(op, EmbeddingOp) else (<DenseOp>op).kernel
                row = self.tensor_table[tensor]
                if row["sums"] >= 0 or row["extra"] >= 0:
                    raise ValueError(f"the regularizer of a kernel of {row['rows']} rows has a gradient for all of "
                                     "them, but a lazy optimizer leaves those alone that a batch does not name: take "
                                     "the regularizer away, or another optimizer")

    cdef Py_ssize_t rows_within(self, Py_ssize_t most, double limit) noexcept:
        """`most` rows, of images and wide sparse layers only so many as fill `limit` bytes of buffers, 16 at least."""
        return most if not self.cuts_rows else min(most, max(16, <Py_ssize_t>(limit / self.row_bytes)))

    def two_phases(self, double rows, int n_threads):
        """Whether the gradients of a batch take too long to look at signals only after them. A workspace for
        training then needs a gradient block."""
        return self.work * rows / n_threads > LONGEST

    cdef Tuner forward_tuner(self, int n_threads, Py_ssize_t rows, double work):
        """What is known about teams of at most `n_threads` for about so many rows of `work` each, forward only."""
        work *= rows
        cdef int magnitude = 0
        if n_threads == 1 or work < 2 * LEAST_WORK:
            return alone
        while rows >> magnitude:
            magnitude += 1
        if (n_threads, magnitude) not in self.forward_tuners:
            self.forward_tuners[n_threads, magnitude] = Tuner(n_threads, rows, work, self.kernel_bytes, True)
        return self.forward_tuners[n_threads, magnitude]


cdef Tuner alone = Tuner(1, 1, 0.0, 0.0)


cdef inline Py_ssize_t inference_rows(Program program, Py_ssize_t n, int n_threads) noexcept:
    """Rows of a workspace for predict on n rows."""
    return max(1, min(n, program.rows_within(INFERENCE_ROWS, FORWARD_BYTES) * n_threads))


cdef class Workspace:
    """All the memory a program works in, for batches of at most `max_rows` rows."""

    cdef readonly Program program
    cdef readonly Py_ssize_t max_rows, nbytes
    cdef object arrays                  # whatever the pointers below point into
    cdef Run run
    cdef double* row_loss
    cdef char* scratch                  # n_threads parts of scratch_bytes
    cdef Py_ssize_t scratch_bytes       # with those of units; op_scratch: without
    cdef Py_ssize_t op_scratch
    cdef int scratch_threads
    cdef Whole whole                    # None where updates need no whole gradients
    cdef Py_ssize_t n_params
    cdef object entries                 # memory of run.entries
    cdef Py_ssize_t most_entries

    def __init__(self, Program program, param, Py_ssize_t max_rows, grad=None, slots=(), mask=None):
        """param, grad and each of slots: the flat blocks, (n_params,) of the program's dtype; mask: of uint8."""
        cdef Py_ssize_t itemsize = program.k.itemsize, buffers = len(program.widths), b
        cdef Op op
        self.program, self.max_rows, self.n_params = program, max_rows, param.size
        places = [program._place(b) for b in range(buffers)]
        gradient_places = [program._place(b, True) for b in range(buffers)]
        strides = np.array([row_stride(program.widths[root], itemsize) for root, _ in places], dtype=np.intp)
        sizes = [int(max_rows) * int(ld) * int(itemsize) + SLACK for ld in strides]
        own = [places[b][0] == b for b in range(buffers)]
        own_gradient = [program.needs_gradient[b] and gradient_places[b][0] == b for b in range(buffers)]
        wanted = sum(s * (y + dy) for s, y, dy in zip(sizes, own, own_gradient))
        if wanted > 1 << 62:
            raise ValueError(f"a batch of {max_rows} rows needs {wanted} bytes, more than can be addressed")
        arena = aligned_zeros(wanted, np.uint8)
        pointers = np.zeros(2 * buffers, dtype=np.uintp)
        start = arena.ctypes.data
        for b, owned in enumerate(own + own_gradient):
            if owned:
                pointers[b] = start
                start += sizes[b % buffers]
        for b in range(buffers):
            root, column = places[b]
            pointers[b] = pointers[root] + column * itemsize
            root, column = gradient_places[b]
            if program.needs_gradient[b]:
                pointers[buffers + b] = pointers[buffers + root] + column * itemsize
        self.nbytes = arena.nbytes
        row_loss = np.zeros(max_rows, dtype=np.float64)
        self.arrays = [strides, arena, pointers, row_loss, param, grad, mask, *slots]
        self.run.k = program.k
        self.run.unit_cols = UNIT_COLS
        self.run.ld = <Py_ssize_t*><size_t>strides.ctypes.data
        self.run.y = <char**><size_t>pointers.ctypes.data
        self.run.dy = self.run.y + buffers
        self.run.param = <char*><size_t>param.ctypes.data
        self.run.grad = NULL if grad is None else <char*><size_t>grad.ctypes.data
        self.run.mask = NULL if mask is None else <const uint8_t*><size_t>mask.ctypes.data
        for b, slot in enumerate(slots):
            self.run.slot[b] = <char*><size_t>slot.ctypes.data
        self.row_loss = <double*><size_t>row_loss.ctypes.data
        self.run.tensors = program.tensors
        groups = np.zeros(max(1, len(program.groups)) * sizeof(Group), dtype=np.uint8)
        self.run.groups = <Group*><size_t>groups.ctypes.data
        for b, (multiplier, rule) in enumerate(program.groups):
            self.run.groups[b].multiplier, self.run.groups[b].rule = multiplier, rule
        self.run.updates = 1
        self.run.max_rows = max_rows
        states = np.zeros(len(program.ops), dtype=np.uintp)
        self.arrays += [groups, states]
        for b, op in enumerate(program.ops):
            if isinstance(op, SparseDenseOp):
                op.reserve(max_rows, itemsize)
            if size := op.state_size(max_rows, itemsize):
                state = aligned_zeros(size, np.uint8)
                self.arrays.append(state)
                self.nbytes += state.nbytes
                states[b] = state.ctypes.data
            self.op_scratch = max(self.op_scratch, op.scratch_size(itemsize))
        self.run.state = <char**><size_t>states.ctypes.data
        # Whole cache lines: no thread writes to another's.
        self.op_scratch = whole_lines(self.op_scratch)
        self.scratch_bytes = max(self.op_scratch, UNIT_SIZE * itemsize + ALIGNMENT)
        for restraint in program.penalty_list:
            self.scratch_bytes = max(self.scratch_bytes, whole_lines((<Restraint>restraint).scratch_size(itemsize)))
        if program.has_activities:
            row_penalty = np.zeros(max_rows)
            self.arrays.append(row_penalty)
            self.run.row_penalty = <double*><size_t>row_penalty.ctypes.data

    cdef int reserve_transposed(self) except -1:
        if self.run.transposed == NULL:
            transposed = aligned_zeros(self.program.transposed_size, self.program.dtype)
            self.arrays.append(transposed)
            self.run.transposed = <char*><size_t>transposed.ctypes.data
            self.nbytes += transposed.nbytes

    cdef int reserve_whole(self, Optimizer optimizer) except -1:
        if self.whole is None:
            rules = [rule for _, rule in self.program.groups]
            directions = [optimizer.directions[rules[group]] for group in self.program.tensor_table["group"]]
            self.whole = Whole(self.program.tensor_table, directions, self.n_params, self.program.dtype,
                               self.run.k.nr, aligned_zeros)
            factor = np.zeros(len(directions))
            self.arrays.append(factor)
            self.run.factor = <double*><size_t>factor.ctypes.data
        self.whole.clipnorm, self.whole.global_clipnorm = optimizer.clipnorm, optimizer.global_clipnorm
    cdef int reserve_restraints(self) except -1:
        """What penalties need of a workspace that trains."""
        cdef Restraint restraint
        cdef Py_ssize_t size = 0
        for restraint in self.program.penalty_list:
            restraint.memory = size
            size += restraint.memory_size(&self.run)
        penalties = np.zeros(self.program.n_penalties)
        extra, memory = aligned_zeros(self.program.n_extra, self.program.dtype), aligned_zeros(size, np.uint8)
        self.arrays += [penalties, extra, memory]
        self.nbytes += penalties.nbytes + extra.nbytes + memory.nbytes
        self.run.penalties = <double*><size_t>penalties.ctypes.data
        self.run.extra = <char*><size_t>extra.ctypes.data
        self.run.restraints = <char*><size_t>memory.ctypes.data
        return 0

    cdef int reserve_entries(self, Py_ssize_t most) except -1:
        """Memory for the entries of a batch of sparse samples."""
        cdef int itemsize = self.run.k.itemsize
        if most >= 1 << 32:
            raise ValueError(f"a batch has {most} non-zeros; 2**32 - 1 are allowed: give a smaller batch_size")
        if most > self.most_entries or self.run.entries.row == NULL:
            self.entries = aligned_zeros(most * (ENTRY_BYTES + itemsize) + 64, np.uint8)
            self.nbytes += self.entries.nbytes
            self.most_entries = most
            self.run.entries = entries_at(<char*><size_t>self.entries.ctypes.data, most, 0)
            self.run.entries.value = <char*>(self.run.entries.next + 2)
        return 0

    cdef void reserve_scratch(self, int n_threads):
        if n_threads > self.scratch_threads:
            scratch = aligned_zeros(n_threads * self.scratch_bytes, np.uint8)
            self.arrays.append(scratch)
            self.scratch = <char*><size_t>scratch.ctypes.data
            self.scratch_threads = n_threads


cdef class Data:
    """X, and for training and evaluation y and weights, as the loops read them. Checked by the caller.

    x : ndarray (n, n_inputs), any strides and any dtype of `SOURCES`; or a Csr of the program's dtype
    labels : int32 (n,) in [0, n_classes), or None
    targets : (n, n_outputs) contiguous, the program's dtype, or None
    weight : float64 (n,) or None
    """

    cdef readonly Py_ssize_t n, n_classes
    cdef readonly object keep           # (x, labels, targets, weight)
    cdef Array x, targets               # data is NULL without targets, and where x is a Csr
    cdef readonly bint sparse           # it is
    cdef fnn_csr csr
    cdef const int32_t* labels
    cdef const double* weight

    def __init__(self, x, labels=None, targets=None, weight=None, Py_ssize_t n_classes=0):
        self.n_classes = n_classes
        self.keep = (x, labels, targets, weight)
        if isinstance(x, ndarray):
            self.x = look_at(x)
        else:
            self.csr, self.sparse = csr_of(x), True
            self.x.rows, self.x.cols = x.shape
        self.n = self.x.rows
        if labels is not None:
            self.labels = <const int32_t*>address(labels)
        if targets is not None:
            self.targets = look_at(targets)
        if weight is not None:
            self.weight = <const double*>address(weight)

    def part(self, Py_ssize_t first, Py_ssize_t last):
        """Rows first .. last."""
        return Data(*[None if array is None else array[first:last] for array in self.keep], self.n_classes)


# What the kernels read without asking: slots of an optimizer (RMSprop's others may be absent), and its numbers.
N_SLOTS = {"sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "rmsprop_centered": 2, "adagrad": 1, "adadelta": 2,
           "adam": 2, "amsgrad": 3, "adamax": 2, "nadam": 2, "lion": 1,
           "radam": 2, "ftrl": 2, "ftrl_power": 2, "schedule_free": 3, "lamb": 2, "adafactor": 2, "muon": 1}
# Rules that make directions of whole gradients.
DIRECTIONS = ("lamb", "adafactor", "muon")


def metric_state_size(kind, param, Py_ssize_t n_outputs):
    """Doubles that a metric's kernel writes to, at least."""
    if kind == "r2":
        return 1 + 3 * n_outputs
    if kind.startswith("confusion"):
        return 3 * n_outputs
    return 2 * int(param) if kind == "auc" else 2


cdef struct Rule:
    double hyper[8]                     # FNN_MAX_SCALARS
    double weight_decay
    double ratio                        # of the learning rate of the step to that of weight decay
    int kind, direction                 # as in a Group


cdef class Optimizer:
    """What the loops need of an optimizer: its rules and options, and what it remembers between steps.

    rules : list of (kind, hyper, weight decay, ratio); a `Program` says which tensors are under another than the first
    slots, average, accumulated : flat blocks, the last two for `ema_momentum` and `accumulation_steps`
    """

    cdef Rule rules[4]                  # MAX_RULES
    cdef readonly object directions     # of the rules, by name; "" for none
    cdef readonly bint needs_whole_gradients
    cdef readonly object memory         # float64 (2,): Nadam's running product
    cdef readonly object slots, average, accumulated
    cdef public uint64_t step           # batches done
    cdef double clipnorm, clipvalue, global_clipnorm
    cdef double ema_momentum
    cdef uint64_t ema_overwrite_frequency, accumulation_steps

    def __init__(self, rules, slots, average=None, accumulated=None, double clipnorm=0, double clipvalue=0,
                 double global_clipnorm=0, double ema_momentum=0, ema_overwrite_frequency=0, accumulation_steps=1):
        for kind, *_ in rules:
            if len(slots) < N_SLOTS[kind]:
                raise ValueError(f"the optimizer rule {kind} needs {N_SLOTS[kind]} slots; received {len(slots)}")
        self.set_rules(rules)
        self.memory = np.ones(2)
        self.slots, self.average, self.accumulated = tuple(slots), average, accumulated
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.ema_momentum, self.ema_overwrite_frequency = ema_momentum, ema_overwrite_frequency
        self.accumulation_steps = accumulation_steps
        self.needs_whole_gradients = clipnorm != 0 or global_clipnorm != 0 or any(self.directions)

    def set_rules(self, rules):
        cdef int i, j
        if not 0 < len(rules) <= MAX_RULES:
            raise ValueError(f"an optimizer has 1 to {MAX_RULES} rules; received {len(rules)}")
        self.directions = tuple([kind if kind in DIRECTIONS else "" for kind, *_ in rules])
        for i, (kind, hyper, decay, ratio) in enumerate(rules):
            self.rules[i].direction = OPTIMIZERS[kind] if kind in DIRECTIONS else -1
            self.rules[i].kind = FNN_SGD if kind in DIRECTIONS else OPTIMIZERS[kind]
            self.rules[i].weight_decay, self.rules[i].ratio = decay, ratio
            # Zeros past the end: a rule reads at most this many.
            for j in range(FNN_MAX_SCALARS):
                self.rules[i].hyper[j] = hyper[j] if j < len(hyper) else 0.0

    @property
    def blocks(self):
        """All that it remembers of the parameters."""
        return *self.slots, *[block for block in (self.average, self.accumulated) if block is not None]


cdef struct Metric:
    int kind
    double param
    double* state


cdef enum LoopKind:
    TRAIN, EVALUATE, PREDICT


cdef struct Loop:
    # What the loops below share with their threads.
    Py_ssize_t n, batch, n_batches
    Py_ssize_t first, last          # batches of one region of training
    bint transposed                 # by an earlier region of the call
    const int64_t* index
    double learning_rate
    const double* rates             # [n_batches], in place of learning_rate, or NULL
    int n_updates                   # groups of tensors
    int averages                    # parameters are between two sequences during training (schedule-free)
    uint64_t accumulation_steps, ema_overwrite_frequency
    double ema_momentum
    Py_ssize_t every                # batches from call to call of Runner.each; 0: never
    double* memory
    int loss_kind
    double loss_param
    bint keeps_outputs
    int n_metrics
    Metric* metrics
    bint two_phases                 # all gradients before all updates, to look in between
    bint whole                      # the update needs them all
    bint update                     # False: the gradient block is all that is wanted
    Py_ssize_t piece                # rows
    double loss_sum
    double penalty_sum              # what the weights' penalties are of that, in this call
    Py_ssize_t batches_done
    double next_memory[2]           # the optimizer's memory after the step, if it is done
    int nonfinite
    double next_tick
    int n_groups, n_lanes, n_threads
    fnn_barrier* everyone
    int* cpus                       # [n_threads]
    char* out
    char* scratch                   # n_threads parts of scratch_bytes
    Py_ssize_t scratch_bytes
    Py_ssize_t* unit_starts         # [n_threads + 1] over all units of all ops
    void** penalties                # Restraint, before each step
    void** constraints              # after it
    int n_penalties, n_constraints
    const double* penalty_scales    # [n_batches], or NULL
    double penalty_scale            # of all batches


cdef void set_share(Share* share, Loop* loop, fnn_barrier* teams, int spins) noexcept nogil:
    # One thread needs no region; a layer in Python that calls another model may be inside its own model's.
    share.thread = fnn_thread_num() if loop.n_threads > 1 else 0
    share.n_threads = fnn_num_threads() if loop.n_threads > 1 else 1
    # OpenMP may give fewer threads than asked for.
    share.n_groups = loop.n_groups if share.n_threads == loop.n_threads else share.n_threads
    share.n_lanes = share.n_threads // share.n_groups
    share.group, share.lane = share.thread // share.n_lanes, share.thread % share.n_lanes
    share.spins = spins
    share.scratch = loop.scratch + share.thread * loop.scratch_bytes if loop.scratch != NULL else NULL
    share.everyone = loop.everyone
    share.team = &teams[share.group]
    if 1 < share.n_threads <= cores:
        spread_threads(share.thread, share.n_threads, loop.cpus, loop.everyone)


cdef inline void set_rows(Share* share, Py_ssize_t rows) noexcept nogil:
    share.rows = rows
    share.row0 = rows * share.group // share.n_groups
    share.row1 = rows * (share.group + 1) // share.n_groups


cdef class Runner:
    """Runs a program in a workspace. One call of a method is one parallel region."""

    cdef readonly Workspace work
    cdef Program program
    cdef Loop loop
    cdef object tick                # called with (batches done, sum of losses) about every TICK seconds, or None
    cdef object each                # the same, after every loop.every batches of training
    cdef Optimizer optimizer        # whose step is up to date whenever `each` is called
    cdef object python_loss
    cdef object restraint_array     # memory of loop.penalties and loop.constraints
    cdef object metric_arrays       # memory that loop.metrics points into
    cdef object barriers            # memory of the teams' barriers
    cdef fnn_barrier* teams
    cdef dict unit_tables           # by number of threads
    cdef dict tuners                # by threads allowed and rows of a batch
    cdef int spins
    cdef Data data
    cdef object starts              # memory of run.starts
    cdef double work_of_rows        # multiply-adds of a row's forward pass, on average
    cdef bint look_between_ops

    def __init__(self, Workspace work):
        self.work, self.program, self.unit_tables, self.tuners = work, work.program, {}, {}

    # ---- preparation -------------------------------------------------------------------------------------

    cdef int prepare(self, Data data, tick, Py_ssize_t batch) except -1:
        cdef Loop* loop = &self.loop
        memset(loop, 0, sizeof(Loop))
        self.check_data(data)
        self.data, self.tick = data, tick
        self.work_of_rows = self.program.work
        if data.sparse:
            self.work.run.csr = data.csr
            self.work_of_rows += (<double>(data.csr.indptr[data.n] - data.csr.indptr[0]) * self.program.sparse_cols
                                  / data.n)
        loop.n, loop.batch, loop.penalty_scale = data.n, batch, 1.0
        loop.n_batches = loop.last = (data.n + batch - 1) // batch
        loop.next_tick = fnn_clock() + TICK
        self.work.run.stop = self.work.run.overflow = 0

    def tuner(self, int n_threads, Py_ssize_t rows):
        """What is known about teams of at most `n_threads` and batches of `rows`."""
        cdef Program program = self.program
        if (n_threads, rows) not in self.tuners:
            if len(self.tuners) >= MAX_TUNERS:
                self.tuners.clear()
            self.tuners[n_threads, rows] = Tuner(n_threads, rows, self.work_of_rows * rows * 3 + program.table_work,
                                                 program.kernel_bytes)
        return self.tuners[n_threads, rows]

    cdef int set_team(self, Team team) except -1:
        cdef Loop* loop = &self.loop
        cdef int n_threads = team.n_threads
        loop.n_threads, loop.n_groups, loop.n_lanes = n_threads, team.n_groups, team.n_lanes
        self.reserve_barriers(n_threads)
        loop.everyone = &self.teams[n_threads]
        loop.cpus = <int*>&self.teams[n_threads + 1]
        self.spins = 300 if n_threads <= cores else 10
        loop.piece = loop.batch
        if not (self.program.has_python or (self.program.meets and self.work.run.backward)):
            loop.piece = <Py_ssize_t>max(16.0, min(<double>self.program.rows_within(PIECE_ROWS, PIECE_BYTES),
                                                   LONGEST * loop.n_lanes / max(1.0, self.work_of_rows)))
        if self.work.run.backward or self.work.op_scratch:
            self.work.reserve_scratch(n_threads)
            loop.scratch, loop.scratch_bytes = self.work.scratch, self.work.scratch_bytes
        self.look_between_ops = self.work_of_rows * loop.piece > LONG_PIECE

    cdef int reserve_barriers(self, int n_threads) except -1:
        # Two cache lines a team: spinning on one must not slow another.
        cdef Py_ssize_t size = (n_threads + 1) * sizeof(fnn_barrier) + n_threads * sizeof(int)
        if self.barriers is None or self.barriers.size < size:
            self.barriers = aligned_zeros(size, np.uint8)
            self.teams = <fnn_barrier*>address(self.barriers)
        memset(self.teams, 0, size)

    cdef int check_data(self, Data data) except -1:
        """What the kernels rely on, whatever the layers above have checked: widths, and labels below the width."""
        if data.sparse != self.program.sparse:
            raise ValueError("a program for sparse samples was given dense ones, or the other way round")
        if data.sparse and data.csr.itemsize != self.program.k.itemsize:
            raise ValueError(f"sparse samples must be of the program's dtype {self.program.dtype}; received "
                             f"{8 * data.csr.itemsize} bits")
        if data.x.cols != self.program.n_inputs:
            raise ValueError(f"x has {data.x.cols} columns; the program takes {self.program.n_inputs}")
        if data.labels != NULL and data.n_classes > self.program.n_outputs:
            raise ValueError(f"labels of {data.n_classes} classes; the program has {self.program.n_outputs} outputs")
        if data.targets.data != NULL and data.targets.cols != self.program.n_outputs:
            raise ValueError(f"targets have {data.targets.cols} columns; the program has "
                             f"{self.program.n_outputs} outputs")

    cdef int check_targets(self, name) except -1:
        """That the data have labels for the kinds on labels, and target rows for the others."""
        if name in ("confusion", "auc"):
            return 0
        if name.endswith("_sparse") and self.data.labels == NULL:
            raise ValueError(f"{name} takes integer labels; received target rows")
        if not name.endswith("_sparse") and self.data.targets.data == NULL:
            raise ValueError(f"{name} takes target rows; received integer labels")

    cdef int set_loss(self, metrics) except -1:
        cdef Loop* loop = &self.loop
        cdef int i
        loss = self.program.loss
        if isinstance(loss, tuple):
            self.check_targets(loss[0])
            loop.loss_kind, loop.loss_param, loop.keeps_outputs = LOSSES[loss[0]], loss[1], loss[2]
            self.python_loss = None
        else:
            loop.loss_kind = -1
            self.python_loss = loss
        loop.n_metrics = len(metrics)
        if loop.n_metrics == 0:
            return 0
        storage = np.zeros(loop.n_metrics * sizeof(Metric), dtype=np.uint8)
        self.metric_arrays = [storage]
        loop.metrics = <Metric*>address(storage)
        for i, (kind, param, state) in enumerate(metrics):
            self.check_targets(kind)
            size = metric_state_size(kind, param, self.program.n_outputs)
            if state.dtype != np.float64 or state.size < size:
                raise ValueError(f"the state of metric {kind} must have {size} float64 numbers; received {state.size}")
            loop.metrics[i].kind, loop.metrics[i].param = METRICS[kind], param
            loop.metrics[i].state = <double*>address(state)
            self.metric_arrays.append(state)

    cdef int set_units(self, int n_threads) except -1:
        """Contiguous runs of units of about equal cost, one run a thread."""
        if n_threads not in self.unit_tables:
            self.unit_tables[n_threads] = self.cut_units(n_threads)
        self.work.run.unit_cols, table = self.unit_tables[n_threads]
        self.loop.unit_starts = <Py_ssize_t*>address(table)

    cdef int set_restraints(self) except -1:
        cdef Program program = self.program
        if self.restraint_array is None:
            self.work.reserve_restraints()
            restraints = program.penalty_list + program.constraint_list
            self.restraint_array = np.array([id(r) for r in restraints], dtype=np.uintp)
        self.loop.penalties = <void**>address(self.restraint_array)
        self.loop.constraints = self.loop.penalties + len(program.penalty_list)
        self.loop.n_penalties, self.loop.n_constraints = len(program.penalty_list), len(program.constraint_list)
        return 0

    def cut_units(self, int n_threads):
        """Columns of a unit, at least so few that all threads have some units, and the first unit of each thread."""
        cdef Op op
        cdef Py_ssize_t cols = UNIT_COLS
        while (cols > LEAST_UNIT_COLS
               and sum([op.n_units(cols) for op in self.program.ops if op.trainable]) < UNITS_PER_THREAD * n_threads):
            cols //= 2
        longest, starts = self.share_units(n_threads, cols)
        if self.program.convolves and n_threads > 1:    # their units differ in cost, and finer ones cost more
            while cols > LEAST_UNIT_COLS and longest > (shorter := self.share_units(n_threads, cols // 2))[0]:
                cols //= 2
                longest, starts = shorter
        return cols, starts

    def share_units(self, int n_threads, Py_ssize_t cols):
        """The largest cost of a thread's units of `cols` columns, and the first unit of each thread."""
        cdef Op op
        cdef Py_ssize_t u
        costs = [op.unit_cost(cols, u) for op in self.program.ops if op.trainable for u in range(op.n_units(cols))]
        goals = sum(costs) * np.arange(1, n_threads) / n_threads
        sums = np.concatenate([[0.0], np.cumsum(costs, dtype=np.float64)])
        middles = (sums[1:] + sums[:len(costs)]) / 2
        starts = np.concatenate([[0], np.searchsorted(middles, goals), [len(costs)]]).astype(np.intp)
        return np.diff(sums[starts]).max(), starts

    # ---- one thread's work ----------------------------------------------------------------------------------

    cdef void gather(self, Share* share, Py_ssize_t start, Py_ssize_t r0, Py_ssize_t r1) noexcept nogil:
        """Rows r0 .. r1 of the batch that starts at `start`, into buffer 0."""
        cdef Run* run = &self.work.run
        cdef Py_ssize_t first = start + r0
        if run.row_penalty != NULL:
            memset(run.row_penalty + r0, 0, (r1 - r0) * sizeof(double))
        if self.program.sparse:
            if run.backward and (<Op>self.program.op_array[0]).trainable:
                (<CsrDenseOp>self.program.op_array[0]).load(run, share, r0, r1)
            return
        run.k.gather(self.data.x.source, r1 - r0, <Py_ssize_t>(<Op>self.program.op_array[0]).n_in,
                     self.data.x.data + (0 if self.loop.index != NULL else first * self.data.x.row_stride),
                     self.data.x.row_stride, self.data.x.col_stride,
                     self.loop.index + first if self.loop.index != NULL else NULL,
                     at(run.y[0], r0, run.ld[0], 0, run.k.itemsize), run.ld[0])

    cdef void forward(self, Share* share) noexcept nogil:
        cdef int i
        for i in range(self.program.n_ops):
            self.run_op(i, share, 0)

    cdef void run_op(self, int i, Share* share, int stage) noexcept nogil:
        """Stage 0: forward, 1: local gradient, 2: backward; and the meeting that the stage needs after it."""
        cdef Run* run = &self.work.run
        cdef void* op = self.program.op_array[i]
        if (<Op>op).whole_batch:
            meet(share)
            if share.thread == 0 and not run.stop:
                call_stage(op, run, share, stage)
            meet(share)
            return
        if not run.stop or ((<Op>op).meets and run.backward):     # who meets must not miss one
            call_stage(op, run, share, stage)
        meet_team(share)
        if share.thread == 0 and self.look_between_ops:
            self.look(share)

    cdef void backward(self, Share* share) noexcept nogil:
        cdef void* op
        cdef int i
        for i in range(self.program.n_ops - 1, -1, -1):
            op = self.program.op_array[i]
            if self.work.run.dy[(<Op>op).target] == NULL:
                continue
            if (<Op>op).has_local_gradient:
                self.run_op(i, share, 1)
            if (<Op>op).wants_dx or (<Op>op).always_backward or (<Op>op).whole_batch:
                self.run_op(i, share, 2)

    cdef void loss(self, Share* share, Py_ssize_t start, bint with_grad, bint stops) noexcept nogil:
        cdef Run* run = &self.work.run
        cdef Loop* loop = &self.loop
        cdef fnn_loss args
        cdef double* row_loss = self.work.row_loss
        cdef Py_ssize_t r0, r1, r
        cdef int last = (<Op>self.program.last).target, size = run.k.itemsize
        if loop.loss_kind < 0:
            meet(share)
            if share.thread == 0 and not run.stop:
                self.call_python_loss(share, start, with_grad, stops)
            meet(share)
            return
        lane_rows(share, &r0, &r1)
        args.rows, args.cols = r1 - r0, (<Op>self.program.last).n_out
        args.pred, args.ldpred = at(run.y[last], r0, run.ld[last], 0, size), run.ld[last]
        self.rows_of(start + r0, &args.index, &args.labels, &args.targets, &args.weight, args.cols * size)
        args.param, args.scale = loop.loss_param, 1.0 / share.rows
        args.row_loss = row_loss + r0
        args.grad = at(run.dy[last], r0, run.ld[last], 0, size) if with_grad else NULL
        args.ldgrad = run.ld[last]
        # Metrics see what predict gives. That is the probabilities, unless the loss takes logits that the model
        # hands out; the probabilities then go where the gradient will.
        args.prob = at(run.dy[last] if loop.keeps_outputs else run.y[last], r0, run.ld[last], 0, size)
        args.ldprob = run.ld[last]
        run.k.loss(loop.loss_kind, &args)
        for r in range(r0, r1):
            if run.row_penalty != NULL:
                row_loss[r] += run.row_penalty[r]
            if not isfinite(row_loss[r]):
                loop.nonfinite = 1
        if stops and loop.nonfinite:
            run.stop = 1        # before the update; evaluation reports the loss and goes on
        meet_team(share)

    cdef void rows_of(self, Py_ssize_t first, const int64_t** index, const int32_t** labels, const void** targets,
                      const double** weight, Py_ssize_t target_bytes) noexcept nogil:
        """Where rows [first, ...) of the epoch find their labels: through the index, or shifted pointers."""
        index[0] = self.loop.index + first if self.loop.index != NULL else NULL
        cdef Py_ssize_t shift = 0 if self.loop.index != NULL else first
        labels[0] = self.data.labels + shift if self.data.labels != NULL else NULL
        targets[0] = self.data.targets.data + shift * target_bytes if self.data.targets.data != NULL else NULL
        weight[0] = self.data.weight + shift if self.data.weight != NULL else NULL

    cdef void call_python_loss(self, Share* share, Py_ssize_t start, bint with_grad, bint stops) noexcept nogil:
        cdef Run* run = &self.work.run
        cdef int last = (<Op>self.program.last).target
        cdef Py_ssize_t cols = (<Op>self.program.last).n_out, r
        enter_python(run)
        with gil:
            try:
                _, labels, targets, weight = self.data.keep
                if self.loop.index != NULL:
                    rows = array_over(<void*>(self.loop.index + start), (share.rows,), "i", sizeof(int64_t))
                else:
                    rows = slice(start, start + share.rows)
                y_true = labels[rows] if targets is None else targets[rows]
                y_pred = view(run, run.y[last], run.ld[last], share.rows, cols)
                y_pred.flags.writeable = False
                w = np.ones(share.rows) if weight is None else weight[rows]
                losses = of_loss("call", self.python_loss.call(y_true, y_pred), (share.rows,)) * w
                for r in range(share.rows):
                    self.work.row_loss[r] = losses[r] + (run.row_penalty[r] if run.row_penalty != NULL else 0.0)
                if with_grad:
                    grad = view(run, run.dy[last], run.ld[last], share.rows, cols)
                    grad[...] = of_loss("gradient", self.python_loss.gradient(y_true, y_pred), grad.shape)
                    grad *= (w / share.rows)[:, None]
                if not np.isfinite(losses).all():
                    self.loop.nonfinite = 1
                    run.stop = run.stop or stops
            except BaseException as error:
                fail(run, error)
        leave_python(run)

    cdef void units(self, Share* share, UnitMode mode) noexcept nogil:
        """The thread's units, from its first to its last, over the ops in order."""
        cdef Run* run = &self.work.run
        cdef Py_ssize_t begin = self.loop.unit_starts[share.thread], end = self.loop.unit_starts[share.thread + 1]
        cdef Py_ssize_t before = 0, n, u
        cdef void* op
        cdef int i
        if share.n_threads != self.loop.n_threads:          # fewer threads than asked for: the first takes all
            begin, end = 0, self.loop.unit_starts[self.loop.n_threads] if share.thread == 0 else 0
        if self.program.names_rows:
            self.named_rows(share, mode)
        for i in range(self.program.n_ops):
            op = self.program.op_array[i]
            if not (<Op>op).trainable:
                continue
            n = (<Op>op).n_units(run.unit_cols)
            for u in range(max(0, begin - before), min(n, end - before)):
                if mode == GRADIENT:
                    if share.thread == 0:
                        self.look(share)
                    if run.stop:
                        return
                (<Op>op).unit(run, u, share.rows, mode, share.scratch)
            before += n

    cdef void named_rows(self, Share* share, UnitMode mode) noexcept nogil:
        """The rows of kernels that the batch names: in their order for the units, or their steps where ops are lazy."""
        cdef Run* run = &self.work.run
        cdef void* op
        cdef int i
        if mode != UPDATE:
            for i in range(self.program.n_ops):
                op = self.program.op_array[i]
                if (<Op>op).names_rows and (<Op>op).trainable:
                    (<Op>op).sort_rows(run, share)
            meet(share)
        for i in range(self.program.n_ops):
            op = self.program.op_array[i]
            if (<Op>op).lazy and (<Op>op).trainable:
                (<Op>op).step_rows(run, share, mode)

    cdef void account(self, Share* share, Py_ssize_t start) noexcept nogil:
        """The first thread adds up the batch's loss and metrics, in the order of the rows."""
        cdef Loop* loop = &self.loop
        cdef Run* run = &self.work.run
        cdef fnn_metric args
        cdef Py_ssize_t r
        cdef int i, last = (<Op>self.program.last).target
        cdef double total = 0.0
        for r in range(share.rows):
            total += self.work.row_loss[r]
        loop.loss_sum += total
        args.rows, args.cols = share.rows, (<Op>self.program.last).n_out
        args.pred, args.ldpred = run.y[last], run.ld[last]
        self.rows_of(start, &args.index, &args.labels, &args.targets, &args.weight, args.cols * run.k.itemsize)
        args.weight = NULL      # as in Keras, sample weights belong to the loss, not to the metrics
        for i in range(loop.n_metrics):
            args.param, args.state = loop.metrics[i].param, loop.metrics[i].state
            run.k.metric(loop.metrics[i].kind, &args)

    cdef void look(self, Share* share) noexcept nogil:
        """About every TICK seconds: take the GIL, let signals and the progress bar speak."""
        cdef Loop* loop = &self.loop
        if fnn_clock() < loop.next_tick:
            return
        enter_python(&self.work.run)
        with gil:
            try:
                PyErr_CheckSignals()
                if self.tick is not None:
                    self.tick(loop.batches_done, loop.loss_sum)
            except BaseException as error:
                fail(&self.work.run, error)
        leave_python(&self.work.run)
        loop.next_tick = fnn_clock() + TICK

    # ---- loops ----------------------------------------------------------------------------------------------

    cdef void rows(self, Share* share, Py_ssize_t start, Py_ssize_t rows, bint training) noexcept nogil:
        """The group's rows of the batch that starts at `start`, piece by piece through all ops and the loss; back
        again where `training`."""
        cdef Py_ssize_t row0, row1, r0, r1, n
        set_rows(share, rows)
        share.first = start
        row0, row1 = share.row0, share.row1
        n = max(1, (row1 - row0 + self.loop.piece - 1) // self.loop.piece)
        cdef Py_ssize_t i
        for i in range(n):
            share.row0 = row0 + (row1 - row0) * i // n
            share.row1 = row0 + (row1 - row0) * (i + 1) // n
            if share.thread == 0:
                self.look(share)
            lane_rows(share, &r0, &r1)
            self.gather(share, start, r0, r1)
            meet_team(share)
            self.forward(share)
            self.loss(share, start, training and self.program.trains, training)
            if training and self.program.trains:
                self.backward(share)

    cdef void meet_looking(self, Share* share) noexcept nogil:
        """All meet, and then agree on run.stop. The first thread comes last and looks while it waits for the others,
        who may have to share their cores with other processes."""
        cdef int spins = share.spins
        if share.thread == 0:
            while not fnn_others_arrived(share.everyone, share.n_threads):
                if fnn_pause(&spins):
                    self.look(share)
        meet(share)

    cdef void train_thread(self) noexcept nogil:
        cdef Run* run = &self.work.run
        cdef Loop* loop = &self.loop
        cdef Share share
        cdef Py_ssize_t b, start
        cdef int i
        set_share(&share, loop, self.teams, self.spins)
        if not loop.transposed:
            self.transpose(&share)
        for b in range(loop.first, loop.last):
            start = b * loop.batch
            if share.thread == 0:
                self.begin_step(b)
            for i in range(loop.n_penalties):
                (<Restraint>loop.penalties[i]).apply(run, &share)
            self.rows(&share, start, min(loop.batch, loop.n - start), True)
            self.meet_looking(&share)
            if run.stop:
                break
            if loop.two_phases or not loop.update:
                meet(&share)        # all have read run.stop before it may be set again
                self.units(&share, GRADIENT)
                self.meet_looking(&share)
                if run.stop:
                    break
            if loop.whole and run.updates:
                self.whole_gradients(&share)
                if run.stop:
                    break
            if share.thread == 0:
                self.account(&share, start)
            if loop.update:
                self.units(&share, UPDATE if loop.two_phases else GRADIENT_THEN_UPDATE)
            if share.thread == 0:
                self.end_step(b)
            meet(&share)
            if share.thread == 0:
                self.add_penalties(share.rows)
            if run.overflow:
                break
            if loop.update and loop.n_constraints and self.constrain(&share):
                break
            if loop.every and loop.batches_done % loop.every == 0:
                if share.thread == 0:
                    self.call_each()
                meet(&share)
                if run.stop:
                    break
                self.transpose(&share)      # the call may have written to the kernels

    cdef void whole_gradients(self, Share* share) noexcept nogil:
        """Between the gradients of all units and their updates."""
        cdef Run* run = &self.work.run
        if self.work.whole.clipnorm != 0 or self.work.whole.global_clipnorm != 0:
            self.work.whole.clip_norms(run, share)
        if self.work.whole.has_directions:
            self.work.whole.directions(run, share)
            if not run.stop:
                self.work.whole.commit(run, share)

    cdef void add_penalties(self, Py_ssize_t rows) noexcept nogil:
        """The first thread, once all units are done: the weights' penalties belong to the loss of each row."""
        cdef double total = 0.0
        cdef Py_ssize_t i
        for i in range(self.program.n_penalties):
            total += self.work.run.penalties[i]
        self.loop.loss_sum += total * rows
        self.loop.penalty_sum += total * rows

    cdef bint constrain(self, Share* share) noexcept nogil:
        """Parameters to what their constraints allow; whether one of these, written in Python, failed."""
        cdef Loop* loop = &self.loop
        cdef int i, stop
        for i in range(loop.n_constraints):
            (<Restraint>loop.constraints[i]).apply(&self.work.run, share)
        meet(share)
        stop = self.work.run.stop
        self.transpose(share)
        return stop

    cdef void transpose(self, Share* share) noexcept nogil:
        """Kernels into panels of W.T: whatever was written to them since the last call counts."""
        cdef int i
        for i in range(self.program.n_ops):
            (<Op>self.program.op_array[i]).transpose(&self.work.run, share)
        meet(share)

    cdef void begin_step(self, Py_ssize_t b) noexcept nogil:
        """The first thread sets the scalars of the step; the others read them behind the next meeting."""
        cdef Loop* loop = &self.loop
        cdef Run* run = &self.work.run
        run.penalty_scale = loop.penalty_scales[b] if loop.penalty_scales != NULL else loop.penalty_scale
        if not loop.update:
            return
        cdef double rate = loop.rates[b] if loop.rates != NULL else loop.learning_rate, group_rate
        cdef uint64_t updates = run.step // loop.accumulation_steps
        cdef Group* group
        cdef int i
        run.last_step = b + 1 == loop.n_batches or loop.n_constraints or (loop.every and (b + 1) % loop.every == 0)
        run.updates = (run.step + 1) % loop.accumulation_steps == 0
        run.momentum = loop.ema_momentum if updates else 0.0
        run.overwrite = loop.ema_overwrite_frequency and (updates + 1) % loop.ema_overwrite_frequency == 0
        loop.next_memory[0], loop.next_memory[1] = loop.memory[0], loop.memory[1]
        if not run.updates:
            return
        for i in range(loop.n_updates):
            group = &run.groups[i]
            group_rate = rate * group.multiplier
            loop.next_memory[0], loop.next_memory[1] = loop.memory[0], loop.memory[1]
            fnn_optimizer_scalars(group.kind, group.hyper, 0.0, <int64_t>updates + 1, group_rate * group.ratio,
                                  loop.next_memory, &group.update)
            group.update.decay = group_rate * group.weight_decay
            if group.direction >= 0:
                fnn_optimizer_scalars(group.direction, group.hyper, 0.0, <int64_t>updates + 1, group_rate,
                                      loop.next_memory, &group.turn)

    cdef void end_step(self, Py_ssize_t b) noexcept nogil:
        """Before the meeting that ends a step, since the next one's random masks depend on its number."""
        cdef Loop* loop = &self.loop
        loop.batches_done = b + 1
        if loop.update:
            loop.memory[0], loop.memory[1] = loop.next_memory[0], loop.next_memory[1]
            self.work.run.step += 1

    cdef void call_each(self) noexcept nogil:
        """The first thread, while the others wait."""
        cdef Loop* loop = &self.loop
        if loop.averages:
            self.to_average()
        enter_python(&self.work.run)
        with gil:
            try:
                self.optimizer.step = self.work.run.step
                rate = self.each(loop.batches_done, loop.loss_sum)
                if rate is not None:
                    loop.learning_rate, loop.rates = rate, NULL
            except StopIteration:
                self.work.run.stop = 1
            except BaseException as error:
                fail(&self.work.run, error)
        leave_python(&self.work.run)
        if loop.averages:
            self.from_average()

    cdef void from_average(self) noexcept nogil:
        """The parameters, an average that users see, to where gradients are taken."""
        cdef Run* run = &self.work.run
        cdef const Tensor* t
        cdef fnn_update update
        cdef Py_ssize_t i
        for i in range(self.program.n_tensors):
            t = &run.tensors[i]
            if not t.trainable:
                continue
            fnn_optimizer_scalars(FNN_SCHEDULE_FREE_BEGIN, run.groups[t.group].hyper, 0.0, 1, 0.0, NULL, &update)
            update.rows, update.cols = 1, t.rows * t.cols
            update.ldparam = update.ldgrad = update.cols
            update.param = run.param + t.offset * run.k.itemsize
            update.grad = update.param
            update.slot[0] = run.slot[0] + t.offset * run.k.itemsize
            update.slot[1] = run.slot[2] + t.offset * run.k.itemsize
            run.k.update(FNN_SCHEDULE_FREE_BEGIN, &update)
            if run.mask != NULL:
                run.k.mask(update.cols, run.mask + t.offset, <char*>update.param)

    cdef void to_average(self) noexcept nogil:
        cdef Run* run = &self.work.run
        cdef const Tensor* t
        cdef Py_ssize_t i, size = run.k.itemsize
        for i in range(self.program.n_tensors):
            t = &run.tensors[i]
            if t.trainable:
                memcpy(run.param + t.offset * size, run.slot[2] + t.offset * size, t.rows * t.cols * size)
                if run.mask != NULL:
                    run.k.mask(t.rows * t.cols, run.mask + t.offset, run.param + t.offset * size)

    cdef void evaluate_thread(self) noexcept nogil:
        cdef Run* run = &self.work.run
        cdef Loop* loop = &self.loop
        cdef Share share
        cdef Py_ssize_t b, start
        cdef int stop
        set_share(&share, loop, self.teams, self.spins)
        if self.program.flips:
            self.transpose(&share)
        for b in range(loop.n_batches):
            start = b * loop.batch
            self.rows(&share, start, min(loop.batch, loop.n - start), False)
            self.meet_looking(&share)
            stop = run.stop
            if share.thread == 0 and not stop:
                self.account(&share, start)
                loop.batches_done = b + 1
            meet(&share)
            if stop:
                break

    cdef void predict_thread(self) noexcept nogil:
        cdef Run* run = &self.work.run
        cdef Loop* loop = &self.loop
        cdef Share share
        cdef Py_ssize_t b, start, rows, r0, r1, n_out = (<Op>self.program.last).n_out
        cdef int stop, last = (<Op>self.program.last).target, size = run.k.itemsize
        cdef int source = FNN_SRC_F32 if size == 4 else FNN_SRC_F64
        set_share(&share, loop, self.teams, self.spins)
        if self.program.flips:
            self.transpose(&share)
        # Threads that never meet may leave whenever they see the stop; the others agree on it.
        cdef bint together = self.program.has_python or share.n_lanes > 1
        for b in range(loop.n_batches):
            start = b * loop.batch
            rows = min(loop.batch, loop.n - start)
            # Every group keeps its rows of the buffers in the last, shorter piece: it may be ahead of the others.
            set_rows(&share, loop.batch)
            share.rows, share.row0, share.row1 = rows, min(rows, share.row0), min(rows, share.row1)
            share.first = start
            if share.thread == 0:
                self.look(&share)
            lane_rows(&share, &r0, &r1)
            self.gather(&share, start, r0, r1)
            meet_team(&share)
            self.forward(&share)
            if together:
                meet(&share)
            stop = run.stop
            if not stop:
                run.k.gather(source, r1 - r0, n_out, at(run.y[last], r0, run.ld[last], 0, size),
                             run.ld[last] * size, size, NULL, loop.out + (start + r0) * n_out * size, n_out)
            if together:
                meet(&share)
            if stop:
                break

    cdef void thread(self, LoopKind kind) noexcept nogil:
        cdef uint64_t mode = fnn_flush_subnormals()
        cdef bint first = self.loop.n_threads == 1 or fnn_thread_num() == 0
        if first:
            self.work.run.fp_mode = mode
        if kind == TRAIN:
            self.train_thread()
        elif kind == EVALUATE:
            self.evaluate_thread()
        else:
            self.predict_thread()
        fnn_restore_subnormals(self.work.run.fp_mode if first else mode)

    cdef int region(self, LoopKind kind) except -1:
        """All threads of the call, without the GIL; one thread alone needs no region. Raises what was caught inside."""
        cdef int n_threads = self.loop.n_threads
        if n_threads > 1:
            with nogil, parallel(num_threads=n_threads):
                self.thread(kind)
        elif (self.program.effort + self.work_of_rows - self.program.work) * self.loop.n > SHORT:
            with nogil:
                self.thread(kind)
        else:
            self.thread(kind)
        if errors and (error := errors.pop(<size_t>&self.work.run, None)) is not None:
            raise error
        return 0

    cdef void forget(self) noexcept:
        """What is the caller's, who may drop it."""
        self.data = self.tick = self.each = self.optimizer = self.metric_arrays = self.starts = None

    def train(self, Data data, Optimizer optimizer, index, Py_ssize_t batch, rates, uint64_t seed, int n_threads,
              metrics=(), tick=None, Py_ssize_t first=0, double loss_sum=0.0, each=None, Py_ssize_t every=1,
              penalty_scales=None):
        """One epoch. Returns (sum of row losses, batches done, whether a loss was not finite and stopped it before
        its update, whether an update made parameters not finite and stopped it after that).

        index : int64 (n,) order of the rows, or None
        rates : the learning rate, or float64 (n_batches,), that of each batch
        first, loss_sum : batches that were done before, and their sum of losses
        each : called after every `every` batches with (batches done, sum of losses). It may return a learning
            rate for all further batches, or raise StopIteration: no more batches then.
        penalty_scales : float64 (n_batches,), factors of the penalties l1 and l2 on weights in each batch, or None
        """
        batch = min(batch, data.n)
        self.prepare(data, tick, batch)
        cdef Loop* loop = &self.loop
        cdef Run* run = &self.work.run
        cdef Tuner tuner = self.tuner(team_size(n_threads), batch)
        cdef Team team
        cdef double begin
        self.set_loss(metrics)
        self.work.reserve_transposed()
        loop.batches_done, loop.loss_sum = first, loss_sum
        if isinstance(rates, np.ndarray):
            loop.rates = each_batch("rates", rates, loop.n_batches)
        else:
            loop.learning_rate = rates
        if penalty_scales is not None:
            loop.penalty_scales = each_batch("penalty_scales", penalty_scales, loop.n_batches)
        self.set_optimizer(optimizer)
        self.set_restraints()
        self.optimizer, self.each, loop.every = optimizer, each, every if each is not None else 0
        loop.index = <const int64_t*>address(index) if index is not None else NULL
        self.set_entries(index)
        loop.memory = <double*>address(optimizer.memory)
        loop.update = True
        run.step, run.seed = optimizer.step, seed
        run.training = run.backward = 1
        if loop.averages:
            self.from_average()
        try:
            while loop.batches_done < loop.n_batches and not (run.stop or run.overflow):
                loop.first = loop.batches_done
                team = tuner.choose(loop.n_batches - loop.first)
                loop.last = loop.first + tuner.steps
                self.set_team(team)
                loop.two_phases = loop.whole or (run.grad != NULL and self.program.two_phases(batch, team.n_threads))
                self.set_units(team.n_threads)
                begin = fnn_clock()
                self.region(TRAIN)
                loop.transposed = True
                if loop.batches_done > loop.first:      # an error in the first step says nothing of the team
                    tuner.note(team, loop.batches_done - loop.first, fnn_clock() - begin)
        finally:
            if loop.averages:
                self.to_average()
            optimizer.step = run.step
            self.forget()
        return loop.loss_sum, loop.batches_done, bool(loop.nonfinite), bool(run.overflow)

    cdef int set_entries(self, index) except -1:
        """Where the entries of sparse samples begin, in the order of `index`, and memory for those of a batch."""
        cdef Py_ssize_t n = self.loop.n, batch = self.loop.batch
        if not self.data.sparse:
            return 0
        self.starts = self.data.keep[0].starts(index)
        ends = self.starts[np.minimum(np.arange(batch, n + batch, batch), n)]
        self.work.reserve_entries((ends - self.starts[:n:batch]).max())
        self.work.run.csr.index = self.loop.index
        self.work.run.starts = <const int64_t*>address(self.starts)
        return 0

    cdef int set_optimizer(self, Optimizer optimizer) except -1:
        cdef Loop* loop = &self.loop
        cdef Run* run = &self.work.run
        cdef Group* group
        cdef Rule* rule
        cdef int i
        loop.n_updates = len(self.program.groups)
        for i in range(loop.n_updates):
            group = &run.groups[i]
            rule = &optimizer.rules[group.rule]
            group.kind, group.direction, group.hyper = rule.kind, rule.direction, rule.hyper
            group.weight_decay, group.ratio = rule.weight_decay, rule.ratio
        loop.averages = optimizer.rules[0].kind == FNN_SCHEDULE_FREE
        run.average = <char*>address(optimizer.average) if optimizer.average is not None else NULL
        run.accumulated = <char*>address(optimizer.accumulated) if optimizer.accumulated is not None else NULL
        run.clip_value, run.accumulation_steps = optimizer.clipvalue, optimizer.accumulation_steps
        loop.accumulation_steps = optimizer.accumulation_steps
        loop.ema_momentum, loop.ema_overwrite_frequency = optimizer.ema_momentum, optimizer.ema_overwrite_frequency
        loop.whole = optimizer.needs_whole_gradients
        # Elsewhere what a masked update remembers is not used: one pass less over units, 5 % of a step.
        run.gradient_mask = run.mask if loop.whole or loop.averages else NULL
        if loop.whole:
            self.work.reserve_whole(optimizer)
            self.work.whole.looker, self.work.whole.look = <void*>self, look_of

    @property
    def penalty_sum(self):
        """What the penalties on weights are of the sum of losses, over the batches of the last call of `train`."""
        return self.loop.penalty_sum

    def gradients(self, Data data, uint64_t seed, int n_threads, bint training=False, double penalty_scale=1.0):
        """Gradient of the mean loss of all rows into the gradient block; with the masks of the first step and the
        statistics of the batch if `training`; `penalty_scale` as in `train`. Returns the sum of row losses and whether
        one was not finite."""
        self.prepare(data, None, data.n)
        cdef Loop* loop = &self.loop
        cdef Run* run = &self.work.run
        cdef Tuner tuner = self.tuner(team_size(n_threads), data.n)
        cdef Team team = tuner.choose(1)
        cdef double begin = fnn_clock()
        run.step, run.seed, run.training, run.backward = 0, seed, training, 1
        self.set_entries(None)
        self.set_team(team)
        self.set_loss(())
        self.set_units(team.n_threads)
        self.work.reserve_transposed()
        self.set_restraints()
        loop.penalty_scale = penalty_scale
        run.gradient_mask = run.mask
        try:
            self.region(TRAIN)
        finally:
            self.forget()
        tuner.note(team, 1, fnn_clock() - begin)
        return loop.loss_sum, bool(loop.nonfinite)

    def input_gradients(self, out):
        """After `gradients`, of a program finished with `inputs`: fill out (n, n_inputs), contiguous and of the
        program's dtype."""
        cdef Run* run = &self.work.run
        run.k.gather(FNN_SRC_F32 if run.k.itemsize == 4 else FNN_SRC_F64, len(out), self.program.n_inputs, run.dy[0],
                     run.ld[0] * run.k.itemsize, run.k.itemsize, NULL, address(out), self.program.n_inputs)
        return out

    def last_batch(self, Py_ssize_t kernel_offset):
        """While a call between batches runs: what went into the layer with the sparse kernel that begins there, (rows,
        n_in), and the gradient of what came out before its activation, (rows, n_out); copies."""
        cdef Run* run = &self.work.run
        cdef SparseDenseOp op = self.program._sparse_op(kernel_offset)
        cdef Py_ssize_t rows = min(self.loop.batch, self.loop.n - (self.loop.batches_done - 1) * self.loop.batch)
        return (view(run, run.y[op.source], run.ld[op.source], rows, op.n_in).copy(),
                view(run, run.dy[op.target], run.ld[op.target], rows, op.n_out).copy())

    def evaluate(self, Data data, int n_threads, metrics=(), double loss_sum=0.0):
        """Returns the sum of row losses, added to `loss_sum`; the metrics' states are added to."""
        cdef Py_ssize_t batch = min(data.n, self.program.rows_within(EVALUATION_ROWS, FORWARD_BYTES))
        self.prepare(data, None, batch)
        self.loop.loss_sum = loss_sum
        self.set_loss(metrics)
        self.forward_only(EVALUATE, n_threads)
        return self.loop.loss_sum

    def predict(self, Data data, out, int n_threads):
        """Fill out (n, n_outputs), contiguous and of the program's dtype."""
        cdef Py_ssize_t batch = min(self.work.max_rows, inference_rows(self.program, data.n, n_threads))
        self.prepare(data, None, batch)
        self.loop.out = address(out)
        self.forward_only(PREDICT, n_threads)
        return out

    cdef int forward_only(self, LoopKind kind, int n_threads) except -1:
        """The region of a call that only goes forward."""
        cdef Run* run = &self.work.run
        cdef Py_ssize_t n = self.loop.n
        cdef Tuner tuner = self.program.forward_tuner(team_size(n_threads), n, self.work_of_rows)
        cdef Team team = tuner.choose(1)
        cdef double begin = 0.0 if team is alone.best else fnn_clock()
        run.training = run.backward = 0
        self.set_team(team)
        if self.program.flips:
            self.work.reserve_transposed()
        try:
            self.region(kind)
        finally:
            self.forget()
        if team is not alone.best:
            tuner.note(team, n, fnn_clock() - begin)
        return 0


cdef class Pool:
    """Predicts and evaluates, for many threads at once: each call has a runner for itself, which it takes from here or
    makes, and which then waits here for the next call."""

    cdef readonly Program program
    cdef object param
    cdef readonly list idle

    def __init__(self, Program program, param):
        self.program, self.param, self.idle = program, param, []

    cdef Runner take(self, Py_ssize_t rows):
        cdef Runner runner
        self.program.readers += 1
        try:
            runner = self.idle.pop()    # one step, whatever other threads do
        except IndexError:
            runner = None
        if runner is None or runner.work.max_rows < rows:
            runner = Runner(Workspace(self.program, self.param, rows))
        return runner

    cdef give(self, Runner runner):
        self.program.readers -= 1
        if len(self.idle) < POOL_RUNNERS and runner.work.nbytes <= POOL_BYTES:
            self.idle.append(runner)

    def predict(self, x, int n_threads):
        """Outputs (n, n_outputs) for x (n, n_inputs), which `Data` describes."""
        cdef Data data = Data(x)
        cdef Runner runner = self.take(inference_rows(self.program, data.n, n_threads))
        try:
            return runner.predict(data, empty((data.n, self.program.n_outputs), self.program.dtype), n_threads)
        finally:
            self.give(runner)

    def evaluate(self, Data data, int n_threads, metrics=(), double loss_sum=0.0):
        """`Runner.evaluate`"""
        cdef Runner runner = self.take(min(data.n, self.program.rows_within(EVALUATION_ROWS, FORWARD_BYTES)))
        try:
            return runner.evaluate(data, n_threads, metrics, loss_sum)
        finally:
            self.give(runner)


def of_loss(method, result, shape):
    """What a method of a loss in Python returned, as an array of real numbers of the shape it must have."""
    result = np.asarray(result)
    if result.shape != shape or result.dtype.kind not in "biuf":
        raise ValueError(f"{method} of a loss in Python must return real numbers of shape {shape}; "
                         f"received {result.dtype} of shape {result.shape}")
    return result


cdef const double* each_batch(name, array, Py_ssize_t n_batches) except NULL:
    """The numbers of an array that has one for each batch."""
    if array.dtype != np.float64 or array.shape != (n_batches,) or not array.flags.c_contiguous:
        raise ValueError(f"{name} must be float64 numbers, one for each of {n_batches} batches; "
                         f"received {array.dtype} of shape {array.shape}")
    return <const double*>address(array)


cdef void look_of(void* runner, Share* share) noexcept nogil:
    (<Runner>runner).look(share)


cdef inline void call_stage(void* op, Run* run, Share* share, int stage) noexcept nogil:
    if stage == 0:
        (<Op>op).forward(run, share)
    elif stage == 1:
        (<Op>op).local_gradient(run, share)
    else:
        (<Op>op).backward(run, share)
