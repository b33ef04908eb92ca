/* The entries of a batch in the order of the rows of a kernel that they name: a radix sort, in which each thread takes a
 * part of the kernel's rows. And what the door says about a matrix in compressed rows that is none. */
#include "fastnn.h"
#include <string.h>

/* So few are sorted by insertion: 2048 counters cost more. */
enum { FEW = 32, DIGIT = 11 };

static void insert(uint64_t *key, fnn_size n)
{
    for (fnn_size i = 1; i < n; i++) {
        const uint64_t moved = key[i];
        fnn_size j = i;
        for (; j > 0 && key[j - 1] > moved; j--) key[j] = key[j - 1];
        key[j] = moved;
    }
}

void fnn_sort_entries(const fnn_entries *entries, fnn_size limit, int thread, int n_threads)
{
    const int64_t low = limit * thread / n_threads, high = limit * (thread + 1) / n_threads;
    const int32_t *row = entries->row;
    fnn_size before = 0, n = 0;
    for (fnn_size e = 0; e < entries->n; e++) {
        before += row[e] < low;
        n += row[e] < high;
    }
    n -= before;
    uint64_t *key = entries->key + before, *spare = entries->spare + before, *to = key;
    int bits = 1;
    while (high - low > (int64_t)1 << bits) bits++;
    const int passes = n <= FEW ? 0 : (bits + DIGIT - 1) / DIGIT;
    const int width = passes ? (bits + passes - 1) / passes : 0;
    if (passes % 2) to = spare;
    for (fnn_size e = 0, i = 0; i < n; e++)
        if (row[e] >= low && row[e] < high) to[i++] = (uint64_t)(row[e] - low) << 32 | (uint64_t)e;
    if (!passes) insert(key, n);
    for (int pass = 0; pass < passes; pass++) {
        uint64_t *from = to;
        uint32_t start[1 << DIGIT] = {0}, sum = 0;
        const int shift = 32 + pass * width;
        const uint64_t mask = ((uint64_t)1 << width) - 1;
        to = from == key ? spare : key;
        for (fnn_size i = 0; i < n; i++) start[from[i] >> shift & mask]++;
        for (fnn_size d = 0; d < (fnn_size)1 << width; d++) {
            const uint32_t count = start[d];
            start[d] = sum;
            sum += count;
        }
        for (fnn_size i = 0; i < n; i++) to[start[from[i] >> shift & mask]++] = from[i];
    }
    for (fnn_size i = 0; i < n; i++) key[i] += (uint64_t)low << 32;
}

fnn_size fnn_first_entry(const fnn_entries *entries, fnn_size row)
{
    const uint64_t wanted = (uint64_t)row << 32;
    fnn_size low = 0, high = entries->n;
    while (low < high) {
        const fnn_size middle = low + (high - low) / 2;
        if (entries->key[middle] < wanted) low = middle + 1;
        else high = middle;
    }
    return low;
}

fnn_size fnn_load_entries(const fnn_csr *x, fnn_size sample, fnn_size at, const fnn_entries *entries, fnn_size e)
{
    const fnn_size begin = x->indptr[sample], n = x->indptr[sample + 1] - begin;
    int32_t *row = entries->row + e;
    for (fnn_size i = 0; i < n; i++) {
        const uint64_t column = x->wide ? ((const uint64_t *)x->indices)[begin + i]
                                        : ((const uint32_t *)x->indices)[begin + i];
        row[i] = column < (uint64_t)x->cols ? (int32_t)column : 0;
        entries->at[e + i] = at;
    }
    memcpy((char *)entries->value + e * x->itemsize, (const char *)x->values + begin * x->itemsize,
           (size_t)n * x->itemsize);
    return n;
}

/* indptr may be of either width: it is what is checked. */
static int64_t item(const void *array, int wide, fnn_size i)
{
    return wide ? ((const int64_t *)array)[i] : ((const int32_t *)array)[i];
}

int fnn_csr_fault(const void *indptr, int wide_ptr, fnn_size rows, fnn_size length, fnn_size *row)
{
    int64_t before = item(indptr, wide_ptr, 0);
    *row = 0;
    if (before != 0) return FNN_CSR_BEGIN;
    for (fnn_size r = 0; r < rows; r++) {
        const int64_t after = item(indptr, wide_ptr, r + 1);
        *row = r;
        if (after < before) return FNN_CSR_DECREASES;
        before = after;
    }
    return before > length ? FNN_CSR_END : FNN_CSR_GOOD;
}

fnn_size fnn_first_outside(const void *indices, int wide, fnn_size n, fnn_size limit)
{
    for (fnn_size e = 0; e < n; e++) {
        const int64_t column = item(indices, wide, e);
        if (column < 0 || column >= limit) return e;
    }
    return -1;
}

fnn_size fnn_first_unsorted(const int64_t *indptr, const void *indices, int wide, fnn_size rows)
{
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size e = indptr[r] + 1; e < indptr[r + 1]; e++)
            if (item(indices, wide, e) <= item(indices, wide, e - 1)) return e;
    return -1;
}
