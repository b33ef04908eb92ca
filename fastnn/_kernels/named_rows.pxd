"""Steps of those rows of a kernel that a batch names, and no others."""

from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memset

from fastnn._kernels.core cimport fnn_entries, fnn_first_entry, fnn_kernels, fnn_send_for, fnn_take
from fastnn._kernels.ops cimport GRADIENT, GRADIENT_THEN_UPDATE, UNIT_SIZE, UPDATE, Run, Share, UnitMode
from fastnn._kernels.updates cimport finish_gradient, step_block


cdef enum:
    # Of the integers, places, and sorted keys of an entry, without its value.
    ENTRY_BYTES = 4 + 8 + 8 + 8
    # Entries whose rows a thread takes at a time.
    PART = 32
    # Bytes of a row that are sent for while the row before it takes its step.
    MOST_AHEAD = 2048


cdef inline fnn_entries entries_at(char* memory, Py_ssize_t most, Py_ssize_t n) noexcept nogil:
    """The arrays of `n` entries in memory for `most` of them: the rows first, counters last. No values."""
    cdef fnn_entries entries
    cdef char* words = memory + (most * sizeof(int32_t) + 7) // 8 * 8
    entries.n, entries.value = n, NULL
    entries.row = <int32_t*>memory
    entries.at = <int64_t*>words
    entries.key, entries.spare = <uint64_t*>words + most, <uint64_t*>words + 2 * most
    entries.next = <int64_t*>words + 3 * most
    return entries


cdef inline void step_named_rows(Run* run, Share* share, const fnn_entries* entries, int tensor, Py_ssize_t rows,
                                 const char* dy, Py_ssize_t ld, UnitMode mode) noexcept nogil:
    """The gradient of each row of a tensor that sorted entries name, and the optimizer's step on it. Which thread takes
    which changes no bit: no row meets another. `rows`: as in the kernel entry_grad."""
    cdef Py_ssize_t cols = run.tensors[tensor].cols, offset = run.tensors[tensor].offset, n = entries.n
    cdef Py_ssize_t k, end, after, row, j, width, place
    cdef int size = run.k.itemsize, i
    cdef char* grad
    while True:
        k = fnn_take(&entries.next[mode == UPDATE]) * PART
        if k >= n:
            return
        end = min(n, k + PART)
        while 0 < k < end and entries.key[k] >> 32 == entries.key[k - 1] >> 32:     # another thread's
            k += 1
        while k < end:
            row = <Py_ssize_t>(entries.key[k] >> 32)
            after = k + 1
            while after < n and <Py_ssize_t>(entries.key[after] >> 32) == row:
                after += 1
            if after < end and mode != GRADIENT:
                place = (offset + <Py_ssize_t>(entries.key[after] >> 32) * cols) * size
                fnn_send_for(run.param + place, min(MOST_AHEAD, cols * size))
                for i in range(3):
                    if run.slot[i] != NULL:
                        fnn_send_for(run.slot[i] + place, min(MOST_AHEAD, cols * size))
            j = 0
            while j < cols:
                width = min(UNIT_SIZE, cols - j)
                grad = share.scratch if mode == GRADIENT_THEN_UPDATE else run.grad + (offset + row * cols + j) * size
                if mode != UPDATE:
                    run.k.entry_grad(entries, k, after, rows, ld, width, dy + j * size, grad)
                    finish_gradient(run, tensor, row, 1, j, width, grad, width)
                if mode != GRADIENT:
                    step_block(run, tensor, row, 1, j, width, grad, width)
                j += width
            k = after


cdef inline void grad_rows(const fnn_kernels* k, const fnn_entries* entries, Py_ssize_t rows, Py_ssize_t i0,
                           Py_ssize_t i1, Py_ssize_t cols, Py_ssize_t ld, const char* dy, char* g,
                           Py_ssize_t ldg) noexcept nogil:
    """Rows [i0, i1) of a gradient, `cols` columns of it: zeros but for those that sorted entries name."""
    cdef Py_ssize_t n = entries.n, i, key, after
    for i in range(i1 - i0):
        memset(g + i * ldg * k.itemsize, 0, cols * k.itemsize)
    key = fnn_first_entry(entries, i0) if i1 > i0 else n
    while key < n and (i := <Py_ssize_t>(entries.key[key] >> 32)) < i1:
        after = key + 1
        while after < n and <Py_ssize_t>(entries.key[after] >> 32) == i:
            after += 1
        k.entry_grad(entries, key, after, rows, ld, cols, dy, g + (i - i0) * ldg * k.itemsize)
        key = after
