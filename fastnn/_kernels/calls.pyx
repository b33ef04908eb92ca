"""Calls of single kernels on whole arrays, without the GIL and split over threads.

The arguments were checked by fastnn.kernels: float32 or float64 arrays of one dtype and fitting shapes,
matrices whose rows are contiguous, everything else C-contiguous. Work is cut along rows or columns at places
where a kernel may be cut without changing a bit of the result.
"""

from cpython.buffer cimport PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cython.parallel cimport prange
from libc.math cimport INFINITY

from fastnn._kernels.core cimport *
from fastnn._kernels.dispatch cimport kernels
from fastnn._kernels.sparse_ops cimport Index
from fastnn._kernels.door cimport csr_of
from fastnn._kernels.named_rows cimport ENTRY_BYTES, entries_at, grad_rows
from fastnn._kernels.threads cimport ready_team
from fastnn._kernels.updates cimport GRANULE_COLS, GRANULE_ROWS

import numpy as np


cdef struct Matrix:
    char* data
    Py_ssize_t rows, cols, ld
    Py_ssize_t itemsize


cdef struct Block:
    Py_ssize_t r0, r1, c0, c1


cdef Matrix matrix(object array, bint writable=False) except *:
    """A view of `array` (1-D counts as one row); data is NULL for None. Valid as long as the array lives."""
    cdef Matrix m = Matrix(NULL, 0, 0, 0, 1)
    cdef Py_buffer view
    if array is None:
        return m
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES | (PyBUF_WRITABLE if writable else 0))
    m.data = <char*>view.buf
    m.itemsize = view.itemsize
    m.cols = view.shape[view.ndim - 1] if view.ndim else 1
    m.rows = view.shape[0] if view.ndim == 2 else 1
    m.ld = view.strides[0] // view.itemsize if m.rows > 1 else m.cols
    PyBuffer_Release(&view)
    return m


cdef inline const fnn_kernels* table(Matrix m) noexcept nogil:
    return kernels(FNN_F64 if m.itemsize == 8 else FNN_F32)


cdef inline void* at(Matrix m, Py_ssize_t row, Py_ssize_t col) noexcept nogil:
    return NULL if m.data == NULL else m.data + (row * m.ld + col) * m.itemsize


cdef inline Py_ssize_t cut(Py_ssize_t n, Py_ssize_t unit, int part, int parts) noexcept nogil:
    """Where `part` of `parts` nearly equal shares of n begins: a multiple of unit, or n."""
    return min(n, (n + unit - 1) // unit * part // parts * unit)


cdef Block share(Py_ssize_t rows, Py_ssize_t cols, Py_ssize_t row_unit, Py_ssize_t col_unit,
                 int part, int parts) noexcept nogil:
    """A part of a matrix, cut along the rows if they give every part a unit, else along the longer side.
    col_unit 0 means that rows must stay whole."""
    cdef Block b = Block(0, rows, 0, cols)
    cdef Py_ssize_t row_units = (rows + row_unit - 1) // row_unit
    if col_unit == 0 or row_units >= parts or row_units * col_unit >= cols:
        b.r0 = cut(rows, row_unit, part, parts)
        b.r1 = cut(rows, row_unit, part + 1, parts)
    else:
        b.c0 = cut(cols, col_unit, part, parts)
        b.c1 = cut(cols, col_unit, part + 1, parts)
    return b


cdef inline Matrix as_one_row(Matrix m, bint contiguous) noexcept nogil:
    """An elementwise kernel runs over a contiguous matrix as over one long row."""
    return Matrix(m.data, 1, m.rows * m.cols, m.rows * m.cols, m.itemsize) if contiguous else m


cdef inline bint contiguous(Matrix m) noexcept nogil:
    return m.data == NULL or m.ld == m.cols


# Rows of the gradient of a convolution's kernel in a call, as the kernel table has it.
cdef enum:
    CONV_ROWS = 256


# Elementwise work is cut at multiples of a cache line, so that no two threads write one line.
cdef enum:
    LINE = 16


# ------------------------------------------------------------------------------------ functions, activations


cdef void math_part(int function, Matrix x, Matrix out, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.cols, LINE, part, parts), hi = cut(x.cols, LINE, part + 1, parts)
    table(x).math(function, hi - lo, at(x, 0, lo), at(out, 0, lo))


def math(int function, x, out, int n_threads):
    """out = function(x), both of one dimension."""
    cdef Matrix x_ = matrix(x), out_ = matrix(out, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        math_part(function, x_, out_, part, parts)


cdef void activation_forward_part(int kind, double alpha, Matrix z, Matrix y,
                                  int part, int parts) noexcept nogil:
    cdef Block b = share(z.rows, z.cols, 1, LINE if kind <= FNN_LAST_ELEMENTWISE else 0, part, parts)
    table(z).activation_forward(kind, alpha, b.r1 - b.r0, b.c1 - b.c0, at(z, b.r0, b.c0), z.ld,
                                at(y, b.r0, b.c0), y.ld)


def activation_forward(int kind, double alpha, z, y, int n_threads):
    cdef Matrix z_ = matrix(z), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    cdef bint flat = kind <= FNN_LAST_ELEMENTWISE and contiguous(z_) and contiguous(y_)
    z_ = as_one_row(z_, flat)
    y_ = as_one_row(y_, flat)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        activation_forward_part(kind, alpha, z_, y_, part, parts)


cdef void activation_backward_part(int kind, double alpha, Matrix dy, Matrix saved, Matrix dz,
                                   int part, int parts) noexcept nogil:
    cdef Block b = share(dy.rows, dy.cols, 1, LINE if kind <= FNN_LAST_ELEMENTWISE else 0, part, parts)
    table(dy).activation_backward(kind, alpha, b.r1 - b.r0, b.c1 - b.c0, at(dy, b.r0, b.c0), dy.ld,
                                  at(saved, b.r0, b.c0), saved.ld, at(dz, b.r0, b.c0), dz.ld)


def activation_backward(int kind, double alpha, dy, saved, dz, int n_threads):
    cdef Matrix dy_ = matrix(dy), saved_ = matrix(saved), dz_ = matrix(dz, True)
    cdef int part, parts = ready_team(n_threads)
    cdef bint flat = (kind <= FNN_LAST_ELEMENTWISE
                      and contiguous(dy_) and contiguous(saved_) and contiguous(dz_))
    dy_ = as_one_row(dy_, flat)
    saved_ = as_one_row(saved_, flat)
    dz_ = as_one_row(dz_, flat)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        activation_backward_part(kind, alpha, dy_, saved_, dz_, part, parts)


# ----------------------------------------------------------------------------------------------- dense layer


def transposed_size(Py_ssize_t itemsize, Py_ssize_t n_in, Py_ssize_t n_out):
    """Elements of the transposed panels of a kernel (n_in, n_out)."""
    return kernels(FNN_F64 if itemsize == 8 else FNN_F32).transposed_size(n_in, n_out)


cdef void transpose_part(Matrix w, Matrix wt, int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(w)
    cdef Block b = share(w.rows, w.cols, k.nr, k.nr, part, parts)
    k.transpose(w.cols, b.r0, b.r1, b.c0, b.c1, w.data, wt.data)


def transpose(w, wt, int n_threads):
    """wt: (transposed_size,)"""
    cdef Matrix w_ = matrix(w), wt_ = matrix(wt, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        transpose_part(w_, wt_, part, parts)


cdef void dense_forward_part(Matrix x, Matrix w, Matrix bias, int activation, double alpha,
                             Matrix z, Matrix y, int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(x)
    cdef Block b = share(y.rows, y.cols, k.mr, k.nr, part, parts)
    k.dense_forward(b.r1 - b.r0, x.cols, b.c0, b.c1, at(x, b.r0, 0), x.ld, w.data, w.ld, bias.data,
                    activation, alpha, at(z, b.r0, 0), z.ld, at(y, b.r0, 0), y.ld)


def dense_forward(x, w, bias, int activation, double alpha, z, y, int n_threads):
    """Rows of w are read up to the next multiple of nr. bias and z may be None."""
    cdef Matrix x_ = matrix(x), w_ = matrix(w), bias_ = matrix(bias)
    cdef Matrix z_ = matrix(z, True), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        dense_forward_part(x_, w_, bias_, activation, alpha, z_, y_, part, parts)


cdef void dense_input_grad_part(Matrix dz, Matrix wt, Matrix dx, int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(dz)
    cdef Block b = share(dx.rows, dx.cols, k.mr, k.nr, part, parts)
    k.dense_input_grad(b.r1 - b.r0, dz.cols, b.c0, b.c1, at(dz, b.r0, 0), dz.ld, wt.data,
                       FNN_LINEAR, 0, NULL, 0, at(dx, b.r0, 0), dx.ld)


def dense_input_grad(dz, wt, dx, int n_threads):
    """dx = dz @ W.T"""
    cdef Matrix dz_ = matrix(dz), wt_ = matrix(wt), dx_ = matrix(dx, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        dense_input_grad_part(dz_, wt_, dx_, part, parts)


cdef void dense_kernel_grad_part(Matrix x, Matrix dz, Matrix g, Matrix sums,
                                 int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(x)
    cdef Block b = share(g.rows, g.cols, k.mr, k.nr, part, parts)
    cdef Block s = share(1, g.cols, 1, k.nr, part, parts)
    k.dense_kernel_grad(x.rows, b.r0, b.r1, b.c0, b.c1, x.data, x.ld, dz.data, dz.ld,
                        at(g, b.r0, b.c0), g.ld)
    if s.r1 > s.r0:
        k.column_sum(x.rows, s.c1 - s.c0, at(dz, 0, s.c0), dz.ld, at(sums, 0, s.c0))


def dense_kernel_grad(x, dz, g, sums, int n_threads):
    """g = x.T @ dz and sums = dz.sum(axis=0); rows of dz are read up to the next multiple of nr."""
    cdef Matrix x_ = matrix(x), dz_ = matrix(dz), g_ = matrix(g, True), sums_ = matrix(sums, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        dense_kernel_grad_part(x_, dz_, g_, sums_, part, parts)


# ------------------------------------------------------------------------------------- convolution, pooling


def conv_scratch(Py_ssize_t itemsize, window):
    """Elements of scratch memory that a thread needs."""
    cdef fnn_window w = as_window(window)
    return kernels(FNN_F64 if itemsize == 8 else FNN_F32).conv_scratch(&w)


cdef void conv_forward_part(const fnn_window* w, Matrix x, Matrix kernel, Matrix bias, int activation, double alpha,
                            Matrix z, Matrix y, Matrix scratch, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    table(x).conv_forward(hi - lo, w, kernel.cols, at(x, lo, 0), x.ld, kernel.data, bias.data, activation, alpha,
                          at(z, lo, 0), z.ld, at(y, lo, 0), y.ld, at(scratch, part, 0))


def conv_forward(window, x, kernel, bias, int activation, double alpha, z, y, scratch, int n_threads):
    """x, y, z: (samples, flat); kernel: (k, filters), contiguous, read past its end up to a multiple of nr; scratch:
    (n_threads, conv_scratch)."""
    cdef fnn_window w = as_window(window)
    cdef Matrix x_ = matrix(x), kernel_ = matrix(kernel), bias_ = matrix(bias), scratch_ = matrix(scratch, True)
    cdef Matrix z_ = matrix(z, True), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        conv_forward_part(&w, x_, kernel_, bias_, activation, alpha, z_, y_, scratch_, part, parts)


cdef void conv_input_grad_part(const fnn_window* w, Py_ssize_t filters, Matrix dz, Matrix wt, Matrix dx, Matrix scratch,
                               int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(dz.rows, 1, part, parts), hi = cut(dz.rows, 1, part + 1, parts)
    table(dz).conv_input_grad(hi - lo, w, filters, at(dz, lo, 0), dz.ld, wt.data, FNN_LINEAR, 0, NULL, 0,
                              at(dx, lo, 0), dx.ld, at(scratch, part, 0))


def conv_input_grad(window, Py_ssize_t filters, dz, wt, dx, scratch, int n_threads):
    """wt: the kernel (k, filters), transposed"""
    cdef fnn_window w = as_window(window)
    cdef Matrix dz_ = matrix(dz), wt_ = matrix(wt), dx_ = matrix(dx, True), scratch_ = matrix(scratch, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        conv_input_grad_part(&w, filters, dz_, wt_, dx_, scratch_, part, parts)


cdef void conv_kernel_grad_part(const fnn_window* w, Matrix x, Matrix dz, Matrix g, Matrix sums, Matrix scratch,
                                int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(x)
    cdef Block b = share(g.rows, g.cols, k.mr, k.nr, part, parts)
    cdef Py_ssize_t i, n
    for n in range((b.r1 - b.r0 + CONV_ROWS - 1) // CONV_ROWS):
        i = b.r0 + n * CONV_ROWS
        k.conv_kernel_grad(x.rows, w, g.cols, i, min(b.r1, i + CONV_ROWS), b.c0, b.c1, x.data, x.ld, dz.data, dz.ld,
                           at(g, i, b.c0), g.ld, at(sums, 0, b.c0) if i == 0 else NULL, at(scratch, part, 0))


def conv_kernel_grad(window, x, dz, g, sums, scratch, int n_threads):
    """g (k, filters) and sums (filters,): gradients of kernel and bias; dz is read past its end, up to nr elements."""
    cdef fnn_window w = as_window(window)
    cdef Matrix x_ = matrix(x), dz_ = matrix(dz), g_ = matrix(g, True), sums_ = matrix(sums, True)
    cdef Matrix scratch_ = matrix(scratch, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        conv_kernel_grad_part(&w, x_, dz_, g_, sums_, scratch_, part, parts)


cdef void pool_forward_part(int kind, const fnn_window* w, Matrix x, Matrix y, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    table(x).pool_forward(kind, hi - lo, w, at(x, lo, 0), x.ld, at(y, lo, 0), y.ld)


def pool_forward(int kind, window, x, y, int n_threads):
    cdef fnn_window w = as_window(window)
    cdef Matrix x_ = matrix(x), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        pool_forward_part(kind, &w, x_, y_, part, parts)


cdef void pool_backward_part(int kind, const fnn_window* w, Matrix dy, Matrix x, Matrix y, Matrix dx, int part,
                             int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(dy.rows, 1, part, parts), hi = cut(dy.rows, 1, part + 1, parts)
    table(dy).pool_backward(kind, hi - lo, w, at(dy, lo, 0), dy.ld, at(x, lo, 0), x.ld, at(y, lo, 0), y.ld, FNN_LINEAR,
                            0, NULL, 0, at(dx, lo, 0), dx.ld)


def pool_backward(int kind, window, dy, x, y, dx, int n_threads):
    """x and y are None for average pooling."""
    cdef fnn_window w = as_window(window)
    cdef Matrix dy_ = matrix(dy), x_ = matrix(x), y_ = matrix(y), dx_ = matrix(dx, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        pool_backward_part(kind, &w, dy_, x_, y_, dx_, part, parts)


# ---------------------------------------------------------------------------------------------- sparse kernels


cdef Matrix turned(Matrix x, memory, int parts):
    """The batch x, turned, in `memory`, which is given to it."""
    cdef Matrix t
    cdef int part
    memory.append(np.empty(table(x).sparse_rows(x.rows) * x.cols, np.float64 if x.itemsize == 8 else np.float32))
    t = matrix(memory[len(memory) - 1], True)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        table(x).sparse_turn(x.rows, x.cols, cut(x.cols, LINE, part, parts), cut(x.cols, LINE, part + 1, parts), x.data,
                             x.ld, t.data)
    return t


def sparse_forward(Index index, x, values, bias, int activation, double alpha, z, y, int n_threads):
    cdef Matrix x_ = matrix(x), values_ = matrix(values), bias_ = matrix(bias), z_ = matrix(z, True)
    cdef Matrix y_ = matrix(y, True), t, scratch
    cdef const fnn_pattern* p = &index.p
    cdef int part, parts = ready_team(n_threads)
    memory = [np.empty((parts, table(x_).sparse_scratch(p)), x.dtype)]
    scratch = matrix(memory[0], True)
    t = turned(x_, memory, parts)
    if x_.rows > table(x_).narrow:
        index.need_columns()
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        table(x_).sparse_forward(
            p, x_.rows, fnn_pattern_cut(p.starts, y_.cols, LINE, part, parts),
            fnn_pattern_cut(p.starts, y_.cols, LINE, part + 1, parts), t.data, values_.data, bias_.data, activation,
            alpha, z_.data, z_.ld, y_.data, y_.ld, at(scratch, part, 0))


def sparse_backward(Index index, x, dz, values, dx, grad, sums, int n_threads):
    """dx may be None; grad (nnz,) and sums (n_out,) are the gradients of entries and bias."""
    cdef Matrix x_ = matrix(x), dz_ = matrix(dz), values_ = matrix(values), dx_ = matrix(dx, True)
    cdef Matrix grad_ = matrix(grad, True), sums_ = matrix(sums, True), tx, tdz, scratch
    cdef const fnn_pattern* p = &index.p
    cdef Py_ssize_t j0, j1
    cdef int part, parts = ready_team(n_threads)
    memory = [np.empty((parts, table(x_).sparse_scratch(p)), x.dtype)]
    scratch = matrix(memory[0], True)
    tx = turned(x_, memory, parts)
    tdz = turned(dz_, memory, parts)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        table(x_).sparse_backward(
            p, x_.rows, fnn_pattern_cut(p.indptr, x_.cols, LINE, part, parts),
            fnn_pattern_cut(p.indptr, x_.cols, LINE, part + 1, parts), tx.data, tdz.data, values_.data, grad_.data,
            FNN_LINEAR, 0, NULL, 0, dx_.data, dx_.ld, at(scratch, part, 0))
        j0 = cut(dz_.cols, LINE, part, parts)
        j1 = cut(dz_.cols, LINE, part + 1, parts)
        table(x_).column_sum(x_.rows, j1 - j0, at(dz_, 0, j0), dz_.ld, at(sums_, 0, j0))


# ---------------------------------------------------------------------------------------- losses, optimizers


cdef void loss_part(int kind, const fnn_loss* whole, Py_ssize_t itemsize, int part, int parts) noexcept nogil:
    cdef fnn_loss a = whole[0]
    cdef Py_ssize_t lo = cut(a.rows, 1, part, parts), hi = cut(a.rows, 1, part + 1, parts)
    a.rows = hi - lo
    a.pred = <const char*>a.pred + lo * a.ldpred * itemsize
    a.prob = <char*>a.prob + lo * a.ldprob * itemsize
    a.grad = <char*>a.grad + lo * a.ldgrad * itemsize
    a.row_loss += lo
    if a.labels != NULL:
        a.labels += lo
    if a.targets != NULL:
        a.targets = <const char*>a.targets + lo * a.cols * itemsize
    if a.weight != NULL:
        a.weight += lo
    kernels(FNN_F64 if itemsize == 8 else FNN_F32).loss(kind, &a)


def loss(int kind, double param, pred, labels, targets, weight, row_loss, grad, int n_threads):
    """labels (int32) or targets is None; weight (float64) may be None."""
    cdef Matrix pred_ = matrix(pred), grad_ = matrix(grad, True)
    cdef fnn_loss a
    cdef int part, parts = ready_team(n_threads)
    a.rows, a.cols = pred_.rows, pred_.cols
    a.pred, a.ldpred = pred_.data, pred_.ld
    a.grad, a.ldgrad = grad_.data, grad_.ld
    a.prob, a.ldprob = grad_.data, grad_.ld     # the probabilities are not wanted: scratch
    a.index = NULL
    a.labels = <const int32_t*>matrix(labels).data
    a.targets = matrix(targets).data
    a.weight = <const double*>matrix(weight).data
    a.param, a.scale = param, 1
    a.row_loss = <double*>matrix(row_loss, True).data
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        loss_part(kind, &a, pred_.itemsize, part, parts)


cdef void update_part(int kind, const fnn_update* whole, Py_ssize_t itemsize,
                      int part, int parts) noexcept nogil:
    cdef fnn_update u = whole[0]
    cdef Py_ssize_t lo = cut(u.cols, LINE, part, parts), hi = cut(u.cols, LINE, part + 1, parts)
    cdef int i
    u.cols = u.ldparam = u.ldgrad = hi - lo
    u.param = <char*>u.param + lo * itemsize
    u.grad = <const char*>u.grad + lo * itemsize
    for i in range(FNN_MAX_SLOTS):
        if u.slot[i] != NULL:
            u.slot[i] = <char*>u.slot[i] + lo * itemsize
    kernels(FNN_F64 if itemsize == 8 else FNN_F32).update(kind, &u)


def update(int kind, param, grad, tuple slots, tuple hyper, double learning_rate, double weight_decay,
           int64_t step, double memory, int n_threads):
    """One optimizer step in place, all arrays of one dimension; returns the optimizer's memory after it."""
    cdef Matrix param_ = matrix(param, True)
    cdef fnn_update u
    cdef double hyper_[8]
    cdef int i, part, parts = ready_team(n_threads)
    for i in range(len(hyper)):
        hyper_[i] = hyper[i]
    fnn_optimizer_scalars(kind, hyper_, weight_decay, step, learning_rate, &memory, &u)
    u.rows, u.cols = 1, param_.cols
    u.ldparam = u.ldgrad = param_.cols
    u.param = param_.data
    u.grad = matrix(grad).data
    for i in range(FNN_MAX_SLOTS):
        u.slot[i] = matrix(slots[i], True).data if i < len(slots) else NULL
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        update_part(kind, &u, param_.itemsize, part, parts)
    return memory


# ------------------------------------------------------------------------------------------------ restraints


# Rows that a thread takes through the two products of an orthogonal penalty at a time.
cdef enum:
    ORTHOGONAL_ROWS = 32


cdef void penalty_part(double l1, double l2, Matrix w, Matrix grad, double* sums, int part, int parts) noexcept nogil:
    cdef Py_ssize_t across = (w.cols + GRANULE_COLS - 1) // GRANULE_COLS, i, r, c
    cdef Py_ssize_t n = (w.rows + GRANULE_ROWS - 1) // GRANULE_ROWS * across
    for i in range(cut(n, 1, part, parts), cut(n, 1, part + 1, parts)):
        r, c = i // across * GRANULE_ROWS, i % across * GRANULE_COLS
        sums[i] = table(w).penalty(l1, l2, min(GRANULE_ROWS, w.rows - r), min(GRANULE_COLS, w.cols - c),
                                   at(w, r, c), w.ld, at(grad, r, c), grad.ld)


def penalty(double l1, double l2, w, grad, int n_threads):
    """Sum of l1 |w| + l2 w^2; its derivative is added to grad, which may be None."""
    cdef Matrix w_ = matrix(w), grad_ = matrix(grad, True)
    cdef Py_ssize_t down = (w_.rows + GRANULE_ROWS - 1) // GRANULE_ROWS, i
    cdef Py_ssize_t n = down * ((w_.cols + GRANULE_COLS - 1) // GRANULE_COLS)
    memory = np.empty(n)
    cdef double* sums = <double*>matrix(memory, True).data
    cdef double total = 0
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        penalty_part(l1, l2, w_, grad_, sums, part, parts)
    for i in range(n):
        total += sums[i]
    return total


cdef void norms_part(const fnn_norm_range* bounds, bint columns, Matrix w, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo, hi
    if columns:
        lo, hi = cut(w.cols, LINE, part, parts), cut(w.cols, LINE, part + 1, parts)
        table(w).norm_columns(bounds, w.rows, hi - lo, at(w, 0, lo), w.ld)
    else:
        lo, hi = cut(w.rows, 1, part, parts), cut(w.rows, 1, part + 1, parts)
        table(w).norm_rows(bounds, hi - lo, w.cols, at(w, lo, 0), w.ld)


def norms(double low, double high, double rate, bint columns, w, int n_threads):
    """Columns, or rows, of w brought into the range of norms."""
    cdef Matrix w_ = matrix(w, True)
    cdef fnn_norm_range bounds = fnn_norm_range(low, high, rate)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        norms_part(&bounds, columns, w_, part, parts)


cdef void mask_part(Matrix w, const uint8_t* keep, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(w.cols, LINE, part, parts), hi = cut(w.cols, LINE, part + 1, parts)
    table(w).mask(hi - lo, keep + lo, at(w, 0, lo))


def mask(w, keep, int n_threads):
    """Zeros where keep (uint8) is 0; both of one dimension."""
    cdef Matrix w_ = matrix(w, True)
    cdef const uint8_t* keep_ = <const uint8_t*>matrix(keep).data
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        mask_part(w_, keep_, part, parts)


cdef void unit_part(Matrix w, bint columns, Matrix unit, double* inverse, int part, int parts) noexcept nogil:
    """The part's rows of w, or of w.T, as unit vectors."""
    cdef Py_ssize_t lo = cut(unit.rows, 1, part, parts), hi = cut(unit.rows, 1, part + 1, parts)
    cdef Py_ssize_t down = w.ld * w.itemsize, along = w.itemsize
    if hi == lo:
        return
    table(w).gather(FNN_SRC_F64 if w.itemsize == 8 else FNN_SRC_F32, hi - lo, unit.cols,
                    at(w, 0, lo) if columns else at(w, lo, 0), along if columns else down,
                    down if columns else along, NULL, at(unit, lo, 0), unit.ld)
    table(w).unit_rows(hi - lo, unit.cols, at(unit, lo, 0), unit.ld, inverse + lo)


cdef void orthogonal_part(const fnn_orthogonal* o, Matrix scratch, int part, int parts) noexcept nogil:
    cdef Py_ssize_t i = cut(o.n, 1, part, parts), hi = cut(o.n, 1, part + 1, parts)
    while i < hi:
        table(scratch).orthogonal(o, i, min(hi, i + ORTHOGONAL_ROWS), at(scratch, part, 0),
                                  at(scratch, part, ORTHOGONAL_ROWS * o.n))
        i += ORTHOGONAL_ROWS


def orthogonal(double scale, bint columns, w, grad, int n_threads):
    """scale times the sum of |u_i . u_j| over the pairs of rows (or columns) of w, scaled to unit vectors u. Its
    derivative is added to grad, which may be None."""
    cdef Matrix w_ = matrix(w), grad_ = matrix(grad, True), unit_, turned_, scratch_
    cdef Py_ssize_t n = w_.cols if columns else w_.rows, m = w_.rows if columns else w_.cols, i
    memory = np.empty((2, n))
    cdef double* inverse = <double*>matrix(memory, True).data
    cdef double* sums = inverse + n
    cdef double total = 0
    cdef fnn_orthogonal o
    cdef int part, parts = ready_team(n_threads)
    # A kernel's memory must be readable a panel past its end.
    unit = np.zeros(n * m + table(w_).nr, w.dtype)[:n * m].reshape(n, m)
    turned = np.empty(table(w_).transposed_size(n, m), w.dtype)
    scratch = np.empty((parts, ORTHOGONAL_ROWS * (n + m)), w.dtype)
    unit_, turned_, scratch_ = matrix(unit), matrix(turned), matrix(scratch)
    o.n, o.length, o.scale = n, m, scale
    o.unit, o.transposed, o.inverse, o.row_sum = unit_.data, turned_.data, inverse, sums
    o.grad = grad_.data
    o.row_stride, o.col_stride = 1 if columns else grad_.ld, grad_.ld if columns else 1
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        unit_part(w_, columns, unit_, inverse, part, parts)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        transpose_part(unit_, turned_, part, parts)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        orthogonal_part(&o, scratch_, part, parts)
    for i in range(n):
        total += sums[i]
    return total


# ---------------------------------------------------------------------------------------------- distribution


# Elements whose sums are added up by one thread.
cdef enum:
    EXTENT_BLOCK = 4096


cdef void histogram_part(Matrix x, double low, double high, Py_ssize_t bins, int64_t* counts, int part,
                         int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.cols, LINE, part, parts), hi = cut(x.cols, LINE, part + 1, parts)
    table(x).histogram(hi - lo, at(x, 0, lo), low, high, bins, counts + part * FNN_TABLES * (bins + 1))


def histogram(x, double low, double high, Py_ssize_t bins, out, int n_threads):
    """x: of one dimension; out: (bins,) int64"""
    cdef Matrix x_ = matrix(x)
    cdef int part, parts = ready_team(n_threads)
    counts = np.zeros((parts * FNN_TABLES, bins + 1), np.int64)
    cdef int64_t* counts_ = <int64_t*>matrix(counts, True).data
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        histogram_part(x_, low, high, bins, counts_, part, parts)
    counts[:, :bins].sum(axis=0, out=out)


cdef void extent_part(Matrix x, double* blocks, int part, int parts) noexcept nogil:
    cdef Py_ssize_t n = (x.cols + EXTENT_BLOCK - 1) // EXTENT_BLOCK, i
    for i in range(cut(n, 1, part, parts), cut(n, 1, part + 1, parts)):
        table(x).extent(min(EXTENT_BLOCK, x.cols - i * EXTENT_BLOCK), at(x, 0, i * EXTENT_BLOCK), blocks + 5 * i)


def extent(x, out, int n_threads):
    """x: of one dimension; out: (5,) float64"""
    cdef Matrix x_ = matrix(x)
    cdef Py_ssize_t n = (x_.cols + EXTENT_BLOCK - 1) // EXTENT_BLOCK, i, k
    cdef int part, parts = ready_team(n_threads)
    blocks = np.empty((n, 5))
    cdef double* blocks_ = <double*>matrix(blocks, True).data
    cdef double* total = <double*>matrix(out, True).data
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        extent_part(x_, blocks_, part, parts)
    total[0], total[1] = INFINITY, -INFINITY
    total[2] = total[3] = total[4] = 0
    for i in range(n):
        total[0], total[1] = min(total[0], blocks_[5 * i]), max(total[1], blocks_[5 * i + 1])
        for k in range(2, 5):
            total[k] += blocks_[5 * i + k]


# ------------------------------------------------------------------------------------------------------ rows


cdef void gather_part(int source, const char* src, Py_ssize_t row_stride, Py_ssize_t col_stride,
                      const int64_t* index, Matrix out, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(out.rows, 1, part, parts), hi = cut(out.rows, 1, part + 1, parts)
    table(out).gather(source, hi - lo, out.cols, src, row_stride, col_stride, index + lo,
                      at(out, lo, 0), out.ld)


def gather(int source, size_t address, Py_ssize_t row_stride, Py_ssize_t col_stride, index, out,
           int n_threads):
    """out = rows `index` (int64) of the matrix at `address`, whose strides are in bytes."""
    cdef Matrix out_ = matrix(out, True)
    cdef const int64_t* index_ = <const int64_t*>matrix(index).data
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        gather_part(source, <const char*>address, row_stride, col_stride, index_, out_, part, parts)


cdef void affine_part(Matrix x, double scale, double offset, Matrix y, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    table(x).affine(hi - lo, x.cols, at(x, lo, 0), x.ld, scale, offset, at(y, lo, 0), y.ld)


def affine(x, double scale, double offset, y, int n_threads):
    cdef Matrix x_ = matrix(x), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        affine_part(x_, scale, offset, y_, part, parts)


# ----------------------------------------------------------------------------------------------------- noise


cdef void random_part(int kind, double rate, double scale, double offset, double other, const fnn_random* whole,
                      Py_ssize_t itemsize, int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = kernels(FNN_F64 if itemsize == 8 else FNN_F32)
    cdef fnn_random a = whole[0]
    cdef Py_ssize_t lo = cut(a.rows, 1, part, parts), hi = cut(a.rows, 1, part + 1, parts)
    a.rows, a.row0 = hi - lo, lo
    a.x = <const char*>a.x + lo * a.ldx * itemsize
    a.y = <char*>a.y + lo * a.ldy * itemsize
    if kind < 0:
        k.dropout(&a, rate, scale, offset, other, NULL, 0)
    elif kind <= 1:
        k.gaussian(&a, kind, scale)
    else:
        k.round_randomly(kind, &a)


cdef random(int kind, double rate, double scale, double offset, double other, x, uint64_t seed, uint32_t stream,
            uint64_t step, y, int n_threads):
    cdef Matrix x_ = matrix(x), y_ = matrix(y, True)
    cdef fnn_random a = fnn_random(x_.rows, x_.cols, 0, x_.data, x_.ld, y_.data, y_.ld, seed, step, stream)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        random_part(kind, rate, scale, offset, other, &a, x_.itemsize, part, parts)


def dropout(x, double rate, double scale, double offset, double other, uint64_t seed, uint32_t stream,
            uint64_t step, y, int n_threads):
    """y = x * scale + offset, or other with probability rate"""
    random(-1, rate, scale, offset, other, x, seed, stream, step, y, n_threads)


def gaussian(x, bint multiplies, double stddev, uint64_t seed, uint32_t stream, uint64_t step, y, int n_threads):
    """y = x + noise, or x (1 + noise)"""
    random(multiplies, 0, stddev, 0, 0, x, seed, stream, step, y, n_threads)


def round_randomly(int values, x, uint64_t seed, uint32_t stream, uint64_t step, y, int n_threads):
    """values: FNN_SIGN and its like"""
    random(values, 0, 0, 0, 0, x, seed, stream, step, y, n_threads)


# ---------------------------------------------------------------------------------------------- packed kernels


cdef void pack_part(Matrix x, bint count, uint64_t* words, Py_ssize_t ldwords, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    table(x).pack_bits(hi - lo, x.cols, at(x, lo, 0), x.ld, count, words + lo * ldwords, ldwords)


def pack_bits(x, bint count, words, int n_threads):
    """words: contiguous; `count`: the number of ones behind those of a row."""
    cdef Matrix x_ = matrix(x), words_ = matrix(words, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        pack_part(x_, count, <uint64_t*>words_.data, words_.ld, part, parts)


cdef fnn_packed packed(Py_ssize_t n_in, Py_ssize_t n_out, int weights, int inputs, words, constant):
    return fnn_packed(n_in, n_out, weights, inputs, <const uint64_t*>matrix(words).data,
                      <const int32_t*>matrix(constant).data)


def packed_constant(Py_ssize_t n_in, Py_ssize_t n_out, int weights, int inputs, words, constant):
    """words: as in fnn_packed, of one dimension; constant: int32"""
    cdef fnn_packed kernel = packed(n_in, n_out, weights, inputs, words, constant)
    fnn_packed_constant(&kernel, <int32_t*>matrix(constant, True).data)


def packed_scratch(Py_ssize_t itemsize, Py_ssize_t n_in):
    return kernels(FNN_F64 if itemsize == 8 else FNN_F32).packed_scratch(n_in)


cdef void packed_forward_part(const fnn_packed* kernel, Matrix x, Matrix bias, int activation, double alpha, Matrix y,
                              Matrix scratch, int part, int parts) noexcept nogil:
    cdef Block b = share(y.rows, y.cols, 8, FNN_STRIP, part, parts)
    table(y).packed_forward(kernel, b.r1 - b.r0, b.c0, b.c1, at(x, b.r0, 0), x.ld, bias.data, activation, alpha,
                            at(y, b.r0, 0), y.ld, at(scratch, part, 0))


def packed_forward(Py_ssize_t n_in, int weights, int inputs, words, constant, x, bias, int activation, double alpha, y,
                   scratch, int n_threads):
    """x: rows of words with their number of ones, or of numbers if `inputs` are linear; scratch then has n_threads rows
    of packed_scratch."""
    cdef Matrix x_ = matrix(x), bias_ = matrix(bias), y_ = matrix(y, True), scratch_ = matrix(scratch, True)
    cdef fnn_packed kernel = packed(n_in, y_.cols, weights, inputs, words, constant)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        packed_forward_part(&kernel, x_, bias_, activation, alpha, y_, scratch_, part, parts)


# ----------------------------------------------------------------------------------------------------- norms


cdef void batch_normalize_part(Matrix x, Matrix gamma, Matrix beta, Matrix mean, Matrix variance, double epsilon,
                               bint measure, Matrix scratch, Matrix y, int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(x)
    cdef Py_ssize_t c = cut(x.cols, LINE, part, parts), n = cut(x.cols, LINE, part + 1, parts) - c
    cdef Py_ssize_t block = fnn_block_rows(1), blocks = (x.rows + block - 1) // block, b
    if n <= 0:
        return
    if measure:
        for b in range(blocks):
            k.column_moments(min(block, x.rows - b * block), 1, 0, n, at(x, b * block, c), x.ld,
                             at(scratch, 2 + 2 * b, c), at(scratch, 3 + 2 * b, c))
        k.merge_moments(blocks, block, x.rows - (blocks - 1) * block, n, at(scratch, 2, c), at(scratch, 3, c),
                        2 * scratch.ld, at(mean, 0, c), at(variance, 0, c))
    k.inverse_deviation(n, at(variance, 0, c), epsilon, at(gamma, 0, c), at(scratch, 0, c), at(scratch, 1, c))
    k.normalize(x.rows, 1, 0, n, at(x, 0, c), x.ld, at(mean, 0, c), at(scratch, 1, c), at(beta, 0, c),
                at(y, 0, c), y.ld)


def batch_normalize(x, gamma, beta, mean, variance, double epsilon, bint measure, scratch, y, int n_threads):
    """mean and variance (cols,) are outputs if `measure`, else inputs; gamma and beta may be None; scratch:
    (2 + 2 blocks, cols)"""
    cdef Matrix x_ = matrix(x), gamma_ = matrix(gamma), beta_ = matrix(beta), y_ = matrix(y, True)
    cdef Matrix mean_ = matrix(mean), variance_ = matrix(variance), scratch_ = matrix(scratch, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        batch_normalize_part(x_, gamma_, beta_, mean_, variance_, epsilon, measure, scratch_, y_, part, parts)


cdef void batch_normalize_backward_part(Matrix dy, Matrix x, Matrix gamma, Matrix mean, Matrix variance,
                                        double epsilon, bint frozen, Matrix scratch, Matrix dx, Matrix dgamma,
                                        Matrix dbeta, int part, int parts) noexcept nogil:
    cdef const fnn_kernels* k = table(x)
    cdef Py_ssize_t c = cut(x.cols, LINE, part, parts), n = cut(x.cols, LINE, part + 1, parts) - c
    cdef Py_ssize_t block = fnn_block_rows(1), blocks = (x.rows + block - 1) // block, b
    cdef void* constant = NULL if frozen else at(scratch, 2, c)
    cdef void* slope = NULL if frozen else at(scratch, 3, c)
    if n <= 0:
        return
    k.inverse_deviation(n, at(variance, 0, c), epsilon, at(gamma, 0, c), at(scratch, 0, c), at(scratch, 1, c))
    for b in range(blocks):
        k.gradient_moments(min(block, x.rows - b * block), 1, 0, n, at(dy, b * block, c), dy.ld,
                           at(x, b * block, c), x.ld, at(mean, 0, c),
                           at(scratch, 4 + 2 * b, c), at(scratch, 5 + 2 * b, c))
    k.merge_gradients(blocks, x.rows, n, at(scratch, 4, c), at(scratch, 5, c), 2 * scratch.ld, at(scratch, 0, c),
                      at(dbeta, 0, c), at(dgamma, 0, c), constant, slope)
    k.normalize_backward(x.rows, 1, 0, n, at(dy, 0, c), dy.ld, at(x, 0, c), x.ld, at(mean, 0, c),
                         at(scratch, 1, c), constant, slope, at(dx, 0, c), dx.ld)


def batch_normalize_backward(dy, x, gamma, mean, variance, double epsilon, bint frozen, scratch, dx, dgamma, dbeta,
                             int n_threads):
    """gamma may be None; `frozen`: mean and variance do not depend on x; scratch: (4 + 2 blocks, cols)"""
    cdef Matrix dy_ = matrix(dy), x_ = matrix(x), gamma_ = matrix(gamma), mean_ = matrix(mean)
    cdef Matrix variance_ = matrix(variance), scratch_ = matrix(scratch, True), dx_ = matrix(dx, True)
    cdef Matrix dgamma_ = matrix(dgamma, True), dbeta_ = matrix(dbeta, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        batch_normalize_backward_part(dy_, x_, gamma_, mean_, variance_, epsilon, frozen, scratch_, dx_, dgamma_,
                                      dbeta_, part, parts)


cdef void row_normalize_part(Matrix x, Matrix gamma, Matrix beta, bint centred, double epsilon, Matrix statistics,
                             Matrix y, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    table(x).row_normalize(hi - lo, 1, x.cols, centred, epsilon, at(x, lo, 0), x.ld, gamma.data, beta.data,
                           at(statistics, lo, 0), at(y, lo, 0), y.ld)


def row_normalize(x, gamma, beta, bint centred, double epsilon, statistics, y, int n_threads):
    """gamma, beta and statistics (rows, 2) may be None"""
    cdef Matrix x_ = matrix(x), gamma_ = matrix(gamma), beta_ = matrix(beta), y_ = matrix(y, True)
    cdef Matrix statistics_ = matrix(statistics, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        row_normalize_part(x_, gamma_, beta_, centred, epsilon, statistics_, y_, part, parts)


cdef void row_normalize_backward_part(Matrix dy, Matrix x, Matrix gamma, bint centred, Matrix statistics, Matrix dx,
                                      Matrix dgamma, Matrix dbeta, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    cdef Py_ssize_t c = cut(x.cols, LINE, part, parts), n = cut(x.cols, LINE, part + 1, parts) - c
    table(x).row_normalize_backward(hi - lo, 1, x.cols, centred, at(dy, lo, 0), dy.ld, at(x, lo, 0), x.ld,
                                    gamma.data, at(statistics, lo, 0), at(dx, lo, 0), dx.ld)
    table(x).row_gradient_sums(x.rows, 1, 0, n, at(dy, 0, c), dy.ld, at(x, 0, c), x.ld, statistics.data,
                               at(dbeta, 0, c), at(dgamma, 0, c))


def row_normalize_backward(dy, x, gamma, bint centred, statistics, dx, dgamma, dbeta, int n_threads):
    """statistics (rows, 2) as row_normalize gave them; gamma and dbeta may be None"""
    cdef Matrix dy_ = matrix(dy), x_ = matrix(x), gamma_ = matrix(gamma), statistics_ = matrix(statistics)
    cdef Matrix dx_ = matrix(dx, True), dgamma_ = matrix(dgamma, True), dbeta_ = matrix(dbeta, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        row_normalize_backward_part(dy_, x_, gamma_, centred, statistics_, dx_, dgamma_, dbeta_, part, parts)


cdef void prelu_forward_part(Matrix x, Matrix alpha, Matrix y, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    table(x).prelu_forward(hi - lo, 1, x.cols, at(x, lo, 0), x.ld, alpha.data, at(y, lo, 0), y.ld)


def prelu_forward(x, alpha, y, int n_threads):
    cdef Matrix x_ = matrix(x), alpha_ = matrix(alpha), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        prelu_forward_part(x_, alpha_, y_, part, parts)


cdef void prelu_backward_part(Matrix dy, Matrix x, Matrix alpha, Matrix dx, Matrix dalpha,
                              int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    cdef Py_ssize_t c = cut(x.cols, LINE, part, parts), n = cut(x.cols, LINE, part + 1, parts) - c
    table(x).prelu_backward(hi - lo, 1, x.cols, at(dy, lo, 0), dy.ld, at(x, lo, 0), x.ld, alpha.data,
                            at(dx, lo, 0), dx.ld)
    table(x).prelu_sums(x.rows, 1, 0, n, at(dy, 0, c), dy.ld, at(x, 0, c), x.ld, at(dalpha, 0, c))


def prelu_backward(dy, x, alpha, dx, dalpha, int n_threads):
    cdef Matrix dy_ = matrix(dy), x_ = matrix(x), alpha_ = matrix(alpha), dx_ = matrix(dx, True)
    cdef Matrix dalpha_ = matrix(dalpha, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        prelu_backward_part(dy_, x_, alpha_, dx_, dalpha_, part, parts)


cdef void csr_forward_part(const fnn_csr* x, Matrix w, Matrix bias, Matrix y, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(y.rows, 1, part, parts), hi = cut(y.rows, 1, part + 1, parts)
    table(w).csr_forward(x, lo, hi - lo, w.data, w.ld, 0, y.cols, bias.data, 0, at(y, lo, 0), y.ld)


def csr_forward(x, w, bias, y, int n_threads):
    """x: a Csr. bias may be None."""
    cdef fnn_csr x_ = csr_of(x)
    cdef const fnn_csr* c = &x_
    cdef Matrix w_ = matrix(w), bias_ = matrix(bias), y_ = matrix(y, True)
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        csr_forward_part(c, w_, bias_, y_, part, parts)


cdef void csr_kernel_grad_part(const fnn_entries* entries, Py_ssize_t rows, Matrix dz, Matrix g, int part,
                               int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(g.rows, 1, part, parts), hi = cut(g.rows, 1, part + 1, parts)
    grad_rows(table(dz), entries, rows, lo, hi, g.cols, dz.ld, dz.data, <char*>at(g, lo, 0), g.ld)


def csr_kernel_grad(x, dz, g, int n_threads):
    """g = x.T @ dz for a Csr."""
    cdef fnn_csr x_ = csr_of(x)
    cdef Matrix dz_ = matrix(dz), g_ = matrix(g, True)
    cdef Py_ssize_t n = x.nnz, rows = len(x), r, e = 0
    if n >= 1 << 32:
        raise ValueError(f"x has {n} non-zeros; 2**32 - 1 are allowed")
    memory = np.empty(n * (ENTRY_BYTES + x_.itemsize) + 64, np.uint8)
    cdef fnn_entries entries = entries_at(matrix(memory, True).data, n, n)
    entries.value = entries.next + 2
    for r in range(rows):
        e += fnn_load_entries(&x_, r, r * dz_.ld, &entries, e)
    fnn_sort_entries(&entries, g_.rows, 0, 1)
    cdef const fnn_entries* sorted_ = &entries
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        csr_kernel_grad_part(sorted_, rows, dz_, g_, part, parts)


cdef void scatter_part(Matrix dy, const int32_t* index, Matrix out, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(out.rows, 1, part, parts), hi = cut(out.rows, 1, part + 1, parts)
    table(dy).embed_grad(dy.rows, 1, dy.cols, index, lo, hi, 0, dy.cols, dy.data, dy.ld, at(out, lo, 0), out.ld)


def scatter(dy, index, out, int n_threads):
    """Rows of out = sums of the rows of dy that `index` (int32) sends there."""
    cdef Matrix dy_ = matrix(dy), out_ = matrix(out, True)
    cdef const int32_t* index_ = <const int32_t*>matrix(index).data
    cdef int part, parts = ready_team(n_threads)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        scatter_part(dy_, index_, out_, part, parts)


def srelu_forward(x, vectors, y, int n_threads):
    """vectors: the four of fnn_kernels.srelu_forward"""
    cdef Matrix x_ = matrix(x), y_ = matrix(y, True)
    cdef Matrix p[4]
    cdef int part, parts = ready_team(n_threads)
    for part in range(4):
        p[part] = matrix(vectors[part])
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        srelu_forward_part(x_, p, y_, part, parts)


cdef void srelu_forward_part(Matrix x, const Matrix* p, Matrix y, int part, int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    cdef const void* vectors[4]
    cdef int i
    for i in range(4):
        vectors[i] = p[i].data
    table(x).srelu_forward(hi - lo, 1, x.cols, at(x, lo, 0), x.ld, vectors, at(y, lo, 0), y.ld)


def srelu_backward(dy, x, vectors, dx, sums, int n_threads):
    """sums: those of the four vectors' gradients"""
    cdef Matrix dy_ = matrix(dy), x_ = matrix(x), dx_ = matrix(dx, True)
    cdef Matrix p[4]
    cdef Matrix s[4]
    cdef int part, parts = ready_team(n_threads)
    for part in range(4):
        p[part], s[part] = matrix(vectors[part]), matrix(sums[part], True)
    for part in prange(parts, nogil=True, schedule="static", num_threads=parts, use_threads_if=parts > 1):
        srelu_backward_part(dy_, x_, p, dx_, s, part, parts)


cdef void srelu_backward_part(Matrix dy, Matrix x, const Matrix* p, Matrix dx, const Matrix* s, int part,
                              int parts) noexcept nogil:
    cdef Py_ssize_t lo = cut(x.rows, 1, part, parts), hi = cut(x.rows, 1, part + 1, parts)
    cdef Py_ssize_t c = cut(x.cols, LINE, part, parts), n = cut(x.cols, LINE, part + 1, parts) - c
    cdef const void* vectors[4]
    cdef void* sums[4]
    cdef int i
    for i in range(4):
        vectors[i] = p[i].data
    table(x).srelu_backward(hi - lo, 1, x.cols, at(dy, lo, 0), dy.ld, at(x, lo, 0), x.ld, vectors, at(dx, lo, 0), dx.ld)
    for i in range(4):
        vectors[i], sums[i] = at(p[i], 0, c), at(s[i], 0, c)
    table(x).srelu_sums(x.rows, 1, 0, n, at(dy, 0, c), dy.ld, at(x, 0, c), x.ld, vectors, sums)


# ---- patterns: int64 positions and indptr, int32 indices, bool or uint8 kept ----------------------------------


def random_positions(uint64_t seed, uint32_t stream, int64_t n, Py_ssize_t count, positions, gone):
    """positions, and gone in uint64, have room for some more."""
    cdef Matrix positions_ = matrix(positions, True), gone_ = matrix(gone, True)
    with nogil:
        fnn_random_positions(seed, stream, n, count, positions_.cols, <int64_t*>positions_.data,
                             <uint64_t*>gone_.data)


def compress_rows(positions, indptr, Py_ssize_t cols, indices):
    cdef Matrix positions_ = matrix(positions), indptr_ = matrix(indptr, True), indices_ = matrix(indices, True)
    with nogil:
        fnn_compress_rows(indptr_.cols - 1, cols, positions_.cols, <const int64_t*>positions_.data,
                          <int64_t*>indptr_.data, <int32_t*>indices_.data)


def free_positions(indptr, Py_ssize_t cols, indices, ranks):
    cdef Matrix indptr_ = matrix(indptr), indices_ = matrix(indices), ranks_ = matrix(ranks, True)
    with nogil:
        fnn_free_positions(indptr_.cols - 1, cols, <const int64_t*>indptr_.data, <const int32_t*>indices_.data,
                           ranks_.cols, <int64_t*>ranks_.data)


def merge_pattern(indptr, Py_ssize_t cols, indices, kept, positions, new_indptr, new_indices, origin):
    cdef Matrix indptr_ = matrix(indptr), indices_ = matrix(indices), kept_ = matrix(kept)
    cdef Matrix positions_ = matrix(positions), new_indptr_ = matrix(new_indptr, True)
    cdef Matrix new_indices_ = matrix(new_indices, True), origin_ = matrix(origin, True)
    with nogil:
        fnn_merge_pattern(indptr_.cols - 1, cols, <const int64_t*>indptr_.data, <const int32_t*>indices_.data,
                          <const uint8_t*>kept_.data, positions_.cols, <const int64_t*>positions_.data,
                          <int64_t*>new_indptr_.data, <int32_t*>new_indices_.data, <int64_t*>origin_.data)


def drop_smallest(values, int sign, Py_ssize_t count, counts, kept):
    """counts (65536,) of intp"""
    cdef Matrix values_ = matrix(values), counts_ = matrix(counts, True), kept_ = matrix(kept, True)
    with nogil:
        fnn_drop_smallest(values_.itemsize, values_.cols, values_.data, sign, count, <fnn_size*>counts_.data,
                          <uint8_t*>kept_.data)
