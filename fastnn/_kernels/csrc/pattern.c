/* Positions of sparse kernels: integers alone, the same for all dtypes and instruction sets. */
#include "fastnn.h"
#include <string.h>

void fnn_pattern_starts(const fnn_pattern *p, int64_t *starts)
{
    const int64_t nnz = p->indptr[p->n_in];
    memset(starts, 0, (size_t)(p->n_out + 1) * sizeof *starts);
    for (int64_t k = 0; k < nnz; k++) starts[p->indices[k] + 1]++;
    for (fnn_size j = 0; j < p->n_out; j++) starts[j + 1] += starts[j];
}

/* A counting sort by columns, which keeps the order of rows. */
void fnn_pattern_columns(const fnn_pattern *p, int32_t *rows, int64_t *places, int64_t *next)
{
    memcpy(next, p->starts, (size_t)p->n_out * sizeof *next);
    for (fnn_size i = 0; i < p->n_in; i++)
        for (int64_t k = p->indptr[i]; k < p->indptr[i + 1]; k++) {
            const int64_t to = next[p->indices[k]]++;
            rows[to] = (int32_t)i;
            places[to] = k;
        }
}

void fnn_pattern_places(const fnn_pattern *p, const fnn_pattern *other, int64_t *places)
{
    for (fnn_size i = 0; i < p->n_in; i++) {
        int64_t o = other->indptr[i];
        const int64_t end = other->indptr[i + 1];
        for (int64_t k = p->indptr[i]; k < p->indptr[i + 1]; k++) {
            while (o < end && other->indices[o] < p->indices[k]) o++;
            places[k] = o < end && other->indices[o] == p->indices[k] ? o : -1;
        }
    }
}

fnn_size fnn_pattern_cut(const int64_t *starts, fnn_size n, fnn_size unit, int part, int parts)
{
    enum { LINE = 4 }; /* entries that a row or column costs besides its own */
    const int64_t goal = (int64_t)((double)(starts[n] + LINE * n) * part / parts);
    fnn_size low = 0, high = n;
    if (part == parts) return n;
    while (low < high) {
        const fnn_size middle = (low + high) / 2;
        if (starts[middle] + LINE * middle < goal) low = middle + 1;
        else high = middle;
    }
    low = (low + unit / 2) / unit * unit;
    return low < n ? low : n;
}
