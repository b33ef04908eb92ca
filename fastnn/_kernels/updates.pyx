"""What an update needs that looks at whole gradients: clipping by norm, and the optimizers that are not elementwise.

The gradient block is complete when this begins, and all threads work on it together. What a thread does is cut at
chunks of a tensor of fixed length, or at its rows; sums are taken over each chunk, in double, and added up in the
order of the chunks: no bit depends on the number of threads.

An optimizer that is not elementwise turns the gradients into directions, in place, and says how far each tensor goes
along its own (`Run.factor`). The units then take that step as they do that of plain gradient descent, with what
else they do to parameters.
"""

from cython.parallel cimport parallel
from libc.math cimport fabs, fmax, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels
from fastnn._kernels.ops cimport Group, Run, Share, Tensor, UNIT_ROWS, at, meet
from fastnn._kernels.threads cimport fnn_barrier, fnn_num_threads, fnn_thread_num, ready_team

import numpy as np

cdef enum:
    CHUNK = 8192                # elements
    PANEL = 64                  # rows
    # Slots of Adafactor: averages of the squares along rows, and along columns. The first is that of the squares
    # themselves where there is no matrix. Both begin where the tensor does.
    ROW = 0
    COL = 1
    # Places in Muon's hyper, behind momentum and whether it is Nesterov's.
    MUON_STEPS = 2
    MUON_A = 3
    MUON_B = 4
    MUON_C = 5
    MUON_RMS = 6

cdef double MUON_EPSILON = 1e-7     # beside the norm of the gradient
# Multiply-adds from look to look at signals: 10 ms.
cdef double PIECE = 5.0e8


cdef inline Py_ssize_t cut(Py_ssize_t n, Share* share, int edge) noexcept nogil:
    """Where the thread's part of n things begins, or with edge 1 ends."""
    return n * (share.thread + edge) // share.n_threads


cdef inline double load(const char* base, Py_ssize_t i, int size) noexcept nogil:
    return (<const float*>base)[i] if size == 4 else (<const double*>base)[i]


cdef inline double store(char* base, Py_ssize_t i, int size, double value) noexcept nogil:
    """What the dtype made of the value."""
    if size == 4:
        (<float*>base)[i] = <float>value
    else:
        (<double*>base)[i] = value
    return load(base, i, size)


cdef class Whole:
    """The memory and the loops of one workspace; `Runner.train_thread` calls them."""

    def __init__(self, table, directions, Py_ssize_t size, dtype, int nr, zeros):
        """table : the program's tensors; directions : what makes one of each tensor, or "" ; size : elements of a flat
        block; zeros(n, dtype) : memory that products may read past its end"""
        chunks, first, panels, factored = [], [0], [], []
        rows = cols = parts = turned = side = 0
        for place, (tensor, direction) in enumerate(zip(table, directions, strict=True)):
            offset, n_rows, n_cols, height = (int(tensor[name]) for name in ("offset", "rows", "cols", "height"))
            n = n_rows * n_cols if tensor["trainable"] else 0
            chunks += [(place, offset + start, min(CHUNK, n - start)) for start in range(0, n, CHUNK)]
            first.append(len(chunks))
            if direction == "adafactor" and height and n:
                factored.append((rows, cols, len(panels), -(-height // PANEL)))
                for top in range(0, n_rows, height):
                    for row in range(top, top + height, PANEL):
                        panels.append((place, row, min(PANEL, top + height - row), parts, cols))
                        parts += n_cols + nr
                    cols += n_cols
                rows += n_rows
            else:
                factored.append((0, 0, 0, 0))
            if direction == "muon" and n:
                turned, side = max(turned, n), max(side, min(n_rows, n_cols))
        self.n_tensors, self.n_chunks, self.n_panels = len(table), len(chunks), len(panels)
        self.has_directions = any(directions)
        tables = [np.array(rows_ or [()], dtype=np.intp) for rows_ in (chunks, first, panels, factored)]
        sums, row, col, part = (np.zeros(n) for n in (2 * len(chunks), 2 * rows, cols, parts))
        self.arrays = [*tables, sums, row, col, part]
        self.chunks = <const Chunk*><size_t>tables[0].ctypes.data
        self.first_chunk = <const Py_ssize_t*><size_t>tables[1].ctypes.data
        self.panels = <const Panel*><size_t>tables[2].ctypes.data
        self.factored = <const Factored*><size_t>tables[3].ctypes.data
        self.sums, self.row = <double*><size_t>sums.ctypes.data, <double*><size_t>row.ctypes.data
        self.row_part = self.row + <Py_ssize_t>rows
        self.col, self.parts = <double*><size_t>col.ctypes.data, <double*><size_t>part.ctypes.data
        if turned:
            blocks = [zeros(n, dtype) for n in (size, turned, turned, side * side, side * side, side * side)]
            self.arrays += blocks
            self.pending = <char*><size_t>blocks[0].ctypes.data
            for i in range(2):
                self.tall[i] = <char*><size_t>blocks[1 + i].ctypes.data
            for i in range(3):
                self.square[i] = <char*><size_t>blocks[3 + i].ctypes.data

    cdef double chunk_sum(self, Py_ssize_t tensor, int which) noexcept nogil:
        """Squares of the tensor's parameters (0) or gradients (1), as `sums` has them."""
        cdef double total = 0.0
        cdef Py_ssize_t i
        for i in range(self.first_chunk[tensor], self.first_chunk[tensor + 1]):
            total += self.sums[2 * i + which]
        return total

    # ---- clipping by norm -----------------------------------------------------------------------------------

    cdef void clip_norms(self, Run* run, Share* share) noexcept nogil:
        """Gradients, of each tensor or of all together, made shorter where they are too long."""
        cdef const fnn_kernels* k = run.k
        cdef const Chunk* chunk
        cdef Py_ssize_t i, tensor = -1
        cdef double limit = self.clipnorm + self.global_clipnorm, norm = 0.0
        cdef char* g
        for i in range(cut(self.n_chunks, share, 0), cut(self.n_chunks, share, 1)):
            chunk = &self.chunks[i]
            self.sums[2 * i + 1] = k.sum_of_squares(chunk.n, run.grad + chunk.begin * k.itemsize)
        meet(share)
        if self.global_clipnorm != 0:
            for i in range(self.n_chunks):
                norm += self.sums[2 * i + 1]
            norm = sqrt(norm)
        for i in range(cut(self.n_chunks, share, 0), cut(self.n_chunks, share, 1)):
            chunk = &self.chunks[i]
            if self.clipnorm != 0 and chunk.tensor != tensor:
                tensor = chunk.tensor
                norm = sqrt(self.chunk_sum(tensor, 1))
            if not norm <= limit:
                g = run.grad + chunk.begin * k.itemsize
                k.affine(1, chunk.n, g, chunk.n, limit / norm, 0.0, g, chunk.n)
        meet(share)

    # ---- directions -----------------------------------------------------------------------------------------

    cdef void directions(self, Run* run, Share* share) noexcept nogil:
        """Gradients into directions, and the length of the step along them. Where run.stop is set meanwhile, neither
        parameters nor slots have changed, if all tensors are Muon's; no other optimizer looks."""
        cdef Py_ssize_t i, begin = cut(self.n_chunks, share, 0), end = cut(self.n_chunks, share, 1)
        for i in range(begin, end):
            self.direct_chunk(run, &self.chunks[i])
        if self.n_panels:
            self.factor_matrices(run, share)
            for i in range(begin, end):
                if self.factored[self.chunks[i].tensor].panels:
                    self.measure(run, &self.chunks[i])
        meet(share)
        for i in range(self.n_tensors):
            if run.groups[run.tensors[i].group].direction == FNN_MUON and run.tensors[i].trainable:
                self.orthogonalize(run, share, i)
        if share.thread == 0:
            for i in range(self.n_tensors):
                run.factor[i] = self.step_length(run, i)
        meet(share)

    cdef void measure(self, Run* run, const Chunk* chunk) noexcept nogil:
        cdef const fnn_kernels* k = run.k
        cdef double* sums = self.sums + 2 * (chunk - self.chunks)
        sums[0] = k.sum_of_squares(chunk.n, run.param + chunk.begin * k.itemsize)
        sums[1] = k.sum_of_squares(chunk.n, run.grad + chunk.begin * k.itemsize)

    cdef void direct_chunk(self, Run* run, const Chunk* chunk) noexcept nogil:
        """What can be done element by element."""
        cdef const Group* group = &run.groups[run.tensors[chunk.tensor].group]
        cdef fnn_update update = group.turn
        cdef Py_ssize_t start = chunk.begin * run.k.itemsize, length = chunk.n * run.k.itemsize
        cdef int i
        if group.direction < 0 or self.factored[chunk.tensor].panels:
            return
        update.rows, update.cols, update.ldparam, update.ldgrad = 1, chunk.n, chunk.n, chunk.n
        update.param = run.grad + start
        update.grad = run.grad + start
        for i in range(3):
            update.slot[i] = run.slot[i] + start if run.slot[i] != NULL else NULL
        if group.direction == FNN_MUON:
            memcpy(self.pending + start, run.slot[0] + start, length)
            update.slot[0] = self.pending + start
        run.k.update(group.direction, &update)
        self.measure(run, chunk)

    cdef double step_length(self, Run* run, Py_ssize_t tensor) noexcept nogil:
        cdef const Tensor* t = &run.tensors[tensor]
        cdef const Group* group = &run.groups[t.group]
        cdef const fnn_update* turn = &group.turn
        cdef double rate = group.update.scalar[0], n = <double>t.rows * t.cols
        # Weight decay comes first.
        cdef double param = fabs(1.0 - group.update.decay) * sqrt(self.chunk_sum(tensor, 0))
        cdef double direction = sqrt(self.chunk_sum(tensor, 1))
        if group.direction == FNN_LAMB:
            return rate * param / direction if param > 0 and direction > 0 else rate
        if group.direction == FNN_ADAFACTOR:
            rate = turn.scalar[2] * fmax(turn.scalar[3], param / sqrt(n))
            return rate / fmax(1.0, direction / sqrt(n) / turn.scalar[4])
        if group.direction == FNN_MUON and group.hyper[MUON_RMS] > 0:
            return rate * group.hyper[MUON_RMS] * sqrt(<double>max(t.rows, t.cols))
        return rate

    # ---- Adafactor ------------------------------------------------------------------------------------------

    cdef void factor_matrices(self, Run* run, Share* share) noexcept nogil:
        """Averages of squares of the rows and columns of each matrix, the gradient over the root of their product."""
        cdef const fnn_kernels* k = run.k
        cdef const Panel* panel
        cdef const Tensor* t
        cdef Py_ssize_t i, begin = cut(self.n_panels, share, 0), end = cut(self.n_panels, share, 1)
        for i in range(begin, end):
            panel = &self.panels[i]
            t = &run.tensors[panel.tensor]
            k.square_sums(panel.rows, t.cols, run.grad + (t.offset + panel.row * t.cols) * k.itemsize, t.cols,
                          run.groups[t.group].turn.scalar[1], self.row + self.factored[panel.tensor].row + panel.row,
                          self.parts + panel.part)
        meet(share)
        for i in range(self.n_tensors):
            if self.factored[i].panels:
                self.average_sums(run, share, i)
        meet(share)
        for i in range(begin, end):
            self.divide_panel(run, &self.panels[i])
        meet(share)

    cdef void average_sums(self, Run* run, Share* share, Py_ssize_t tensor) noexcept nogil:
        """The sums of this step into the averages, the thread's part of them."""
        cdef const Tensor* t = &run.tensors[tensor]
        cdef const Factored* f = &self.factored[tensor]
        cdef double new = run.groups[t.group].turn.scalar[0], total
        cdef int size = run.k.itemsize
        cdef char* row = run.slot[ROW] + t.offset * size
        cdef char* col = run.slot[COL] + t.offset * size
        cdef Py_ssize_t i, j, panel
        for i in range(cut(t.rows, share, 0), cut(t.rows, share, 1)):
            self.row[f.row + i] = store(row, i, size, load(row, i, size) * (1 - new)
                                        + new * self.row[f.row + i] / t.cols)
        for i in range(t.rows // t.height):
            for j in range(cut(t.cols, share, 0), cut(t.cols, share, 1)):
                total = 0.0
                for panel in range(f.panel + i * f.panels, f.panel + (i + 1) * f.panels):
                    total += self.parts[self.panels[panel].part + j]
                self.col[f.col + i * t.cols + j] = store(
                    col, i * t.cols + j, size,
                    load(col, i * t.cols + j, size) * (1 - new) + new * total / t.height)

    cdef void divide_panel(self, Run* run, const Panel* panel) noexcept nogil:
        cdef const Tensor* t = &run.tensors[panel.tensor]
        cdef Py_ssize_t first = self.factored[panel.tensor].row, top = panel.row // t.height * t.height, i
        cdef double total = 0.0
        for i in range(top, top + t.height):
            total += self.row[first + i]
        for i in range(panel.row, panel.row + panel.rows):
            self.row_part[first + i] = self.row[first + i] / (total / t.height)
        run.k.over_root(panel.rows, t.cols, run.grad + (t.offset + panel.row * t.cols) * run.k.itemsize, t.cols,
                        self.row_part + first + panel.row, self.col + panel.col)

    # ---- Muon -----------------------------------------------------------------------------------------------

    cdef void orthogonalize(self, Run* run, Share* share, Py_ssize_t tensor) noexcept nogil:
        """Newton-Schulz iterations for the nearest orthogonal matrix, of the gradient or of its transpose, whichever
        is taller: X (a I + b X'X + c (X'X)^2)."""
        cdef const fnn_kernels* k = run.k
        cdef const Tensor* t = &run.tensors[tensor]
        cdef const double* hyper = run.groups[t.group].hyper
        cdef Py_ssize_t m = max(t.rows, t.cols), n = min(t.rows, t.cols), r0, r1, i
        cdef int size = k.itemsize, tall = t.rows >= t.cols, _
        cdef char* g = run.grad + t.offset * size
        cdef char* x = self.tall[0]
        cdef char* y = self.tall[1]
        cdef double scale = 1.0 / (sqrt(self.chunk_sum(tensor, 1)) + MUON_EPSILON)
        r0, r1 = cut(t.rows, share, 0), cut(t.rows, share, 1)
        if tall:
            k.affine(r1 - r0, n, at(g, r0, n, 0, size), n, scale, 0.0, at(x, r0, n, 0, size), n)
        else:
            k.affine(r1 - r0, m, at(g, r0, m, 0, size), m, scale, 0.0, at(g, r0, m, 0, size), m)
            k.turn(r1 - r0, m, at(g, r0, m, 0, size), m, at(x, 0, n, r0, size), n)
        meet(share)
        for _ in range(<int>hyper[MUON_STEPS]):
            self.gram(run, share, m, n, x)
            meet(share)
            r0, r1 = cut(n, share, 0), cut(n, share, 1)
            k.affine(r1 - r0, n, at(self.square[0], r0, n, 0, size), n, hyper[MUON_C], 0.0,
                     at(self.square[1], r0, n, 0, size), n)
            for i in range(r0, r1):
                store(self.square[1], i * n + i, size, load(self.square[1], i * n + i, size) + hyper[MUON_B])
            meet(share)
            self.multiply(run, share, n, n, self.square[0], self.square[1], self.square[2])
            for i in range(r0, r1):
                store(self.square[2], i * n + i, size, load(self.square[2], i * n + i, size) + hyper[MUON_A])
            meet(share)
            self.multiply(run, share, m, n, x, self.square[2], y)
            x, y = y, x
            meet(share)
        if tall:
            r0, r1 = cut(m, share, 0), cut(m, share, 1)
            memcpy(at(g, r0, n, 0, size), at(x, r0, n, 0, size), (r1 - r0) * n * size)
        else:
            r0, r1 = cut(n, share, 0), cut(n, share, 1)
            k.turn(m, r1 - r0, at(x, 0, n, r0, size), n, at(g, r0, m, 0, size), m)
        meet(share)

    cdef void gram(self, Run* run, Share* share, Py_ssize_t m, Py_ssize_t n, const char* x) noexcept nogil:
        """square[0] = x.T @ x, the thread's rows of it; x (m, n)"""
        cdef Py_ssize_t blocks = (n + UNIT_ROWS - 1) // UNIT_ROWS, b, top
        for b in range(cut(blocks, share, 0), cut(blocks, share, 1)):
            if share.thread == 0:
                self.look(self.looker, share)
            if run.stop:
                return
            top = b * UNIT_ROWS
            run.k.dense_kernel_grad(m, top, min(n, top + UNIT_ROWS), 0, n, x, n, x, n,
                                    at(self.square[0], top, n, 0, run.k.itemsize), n)

    cdef void multiply(self, Run* run, Share* share, Py_ssize_t rows, Py_ssize_t n, const char* x, const char* w,
                       char* y) noexcept nogil:
        """y = x @ w, the thread's rows of it; x (rows, n), w (n, n)"""
        cdef Py_ssize_t r = cut(rows, share, 0), end = cut(rows, share, 1), count
        cdef Py_ssize_t piece = <Py_ssize_t>fmax(16.0, PIECE / (<double>n * n))
        cdef int size = run.k.itemsize
        while r < end:
            if share.thread == 0:
                self.look(self.looker, share)
            if run.stop:
                return
            count = min(piece, end - r)
            run.k.dense_forward(count, n, 0, n, x + r * n * size, n, w, n, NULL, FNN_LINEAR, 0.0, NULL, 0,
                                at(y, r, n, 0, size), n)
            r += count

    cdef void commit(self, Run* run, Share* share) noexcept nogil:
        """Muon's momentum, once nothing can stop the step."""
        cdef const Chunk* chunk
        cdef Py_ssize_t i, size = run.k.itemsize
        for i in range(cut(self.n_chunks, share, 0), cut(self.n_chunks, share, 1)):
            chunk = &self.chunks[i]
            if run.groups[run.tensors[chunk.tensor].group].direction == FNN_MUON:
                memcpy(run.slot[0] + chunk.begin * size, self.pending + chunk.begin * size, chunk.n * size)


cdef void look_nowhere(void* looker, Share* share) noexcept nogil:
    pass


cdef void step_thread(Whole whole, Run* run, fnn_barrier* everyone) noexcept nogil:
    """A thread's part of one step of one tensor."""
    cdef Share share
    cdef Py_ssize_t i
    memset(&share, 0, sizeof(Share))
    share.thread, share.n_threads, share.everyone = fnn_thread_num(), fnn_num_threads(), everyone
    whole.directions(run, &share)
    whole.commit(run, &share)
    for i in range(cut(whole.n_chunks, &share, 0), cut(whole.n_chunks, &share, 1)):
        step_chunk(run, &whole.chunks[i])


cdef inline void step_chunk(Run* run, const Chunk* chunk) noexcept nogil:
    cdef fnn_update update = run.groups[0].update
    update.rows, update.cols, update.ldparam, update.ldgrad = 1, chunk.n, chunk.n, chunk.n
    update.param = run.param + chunk.begin * run.k.itemsize
    update.grad = run.grad + chunk.begin * run.k.itemsize
    update.scalar[0] = run.factor[0]
    run.k.update(FNN_SGD, &update)


def step_tensor(str direction, int kind, param, grad, slots, hyper, double learning_rate, double weight_decay,
                int64_t step, int n_threads, zeros):
    """One step of an optimizer that is not elementwise, on one array, in place. grad is overwritten and readable past
    its end, as the memory is that ``zeros(n, dtype)`` gives; all are contiguous."""
    cdef Run run
    cdef Tensor tensor
    cdef Group group
    cdef double numbers[8]
    cdef double factor = 0.0
    cdef Whole whole
    cdef int i, parts = ready_team(n_threads)
    memset(&run, 0, sizeof(Run))
    memset(&tensor, 0, sizeof(Tensor))
    memset(&group, 0, sizeof(Group))
    for i in range(8):
        numbers[i] = hyper[i] if i < len(hyper) else 0.0
    tensor.cols = param.shape[param.ndim - 1] if param.ndim else 1
    tensor.rows, tensor.trainable = param.size // tensor.cols, 1
    tensor.height = param.shape[param.ndim - 2] if param.ndim > 1 else 0
    group.hyper, group.direction = numbers, kind
    fnn_optimizer_scalars(FNN_SGD, numbers, weight_decay, step, learning_rate, NULL, &group.update)
    fnn_optimizer_scalars(kind, numbers, 0.0, step, learning_rate, NULL, &group.turn)
    run.k = kernels(FNN_F32 if param.dtype == np.float32 else FNN_F64)
    run.param, run.grad = <char*><size_t>param.ctypes.data, <char*><size_t>grad.ctypes.data
    for i, slot in enumerate(slots):
        run.slot[i] = <char*><size_t>slot.ctypes.data
    run.tensors, run.groups, run.factor = &tensor, &group, &factor
    whole = Whole([{"offset": 0, "rows": tensor.rows, "cols": tensor.cols, "height": tensor.height, "trainable": 1}],
                  [direction], param.size, param.dtype, run.k.nr, zeros)
    whole.look = look_nowhere
    barrier = np.zeros(sizeof(fnn_barrier) + 64, np.uint8)
    cdef fnn_barrier* everyone = <fnn_barrier*><size_t>(barrier.ctypes.data + -barrier.ctypes.data % 64)
    with nogil, parallel(num_threads=parts):
        step_thread(whole, &run, everyone)
