/* Products with rows of X that are sparse, in compressed rows (CSR), and what the door asks of their columns.
 *
 * Sums are cut into the blocks of the dense products (gemm.inc.c): entries that follow one another in a block are one
 * chain of multiply-adds, and chains are added up in order. A zero changes no sum, so that sorted rows without duplicates
 * give the bits of the dense matrix. */

/* Vectors of a row of the result that stay in registers, with the chain of its block and the sum of those before it: 16
 * of 32 registers with AVX-512, 8 of 16 below. */
enum { FN(PASS) = FNN_VBYTES == 64 ? 8 : 4 };
/* So many entries before one is used, the row of W that it names is sent for: nothing foresees where it lies. */
enum { FN(EARLY) = 6, FN(MOST_AHEAD) = 4096 };

/* A column that is out of range after all, since X was written to meanwhile, reads row 0. */
INLINE fnn_size FN(csr_column)(const fnn_csr *x, fnn_size e)
{
    const uint64_t column = x->wide ? ((const uint64_t *)x->indices)[e] : ((const uint32_t *)x->indices)[e];
    return column < (uint64_t)x->cols ? (fnn_size)column : 0;
}

/* n columns of y of one row of x, from entries [e0, e1): nv whole vectors, or n columns of one. */
INLINE void FN(csr_strip)(const int nv, const fnn_csr *x, fnn_size e0, fnn_size e1, fnn_size stop, const T *w, fnn_size ldw,
                          fnn_size ahead, T *y, fnn_size n, const T *bias, int relu)
{
    const T *value = x->values;
    const fnn_size blocks = (x->cols + FN(KC) - 1) / FN(KC);
    fnn_size block = 0;
    V sum[FN(PASS)], chain[FN(PASS)];
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++) sum[v] = chain[v] = (V){0};
    for (fnn_size e = e0; e < e1; e++) {
        const fnn_size i = FN(csr_column)(x, e), in = ((i + 1) * blocks - 1) / x->cols;
        const T *row = w + i * ldw;
        const V a = v_set1(value[e]);
        if (ahead && e + FN(EARLY) < stop) fnn_send_for(w + FN(csr_column)(x, e + FN(EARLY)) * ldw, ahead);
        if (in != block) {
            block = in;
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) sum[v] = chain[v] + sum[v], chain[v] = (V){0};
        }
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            chain[v] = v_fma(a, nv > 1 ? v_load(row + v * VL) : v_loadp(row, n), chain[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++) {
        const fnn_size left = n - v * VL;
        V out = chain[v] + sum[v];
        if (bias) out += v_loadp(bias + v * VL, left);
        if (relu) out = v_max((V){0}, out);
        v_storep(y + v * VL, out, left);
    }
}

static void FN(csr_forward)(const fnn_csr *x, fnn_size first, fnn_size rows, const void *w_, fnn_size ldw, fnn_size j0,
                            fnn_size j1, const void *bias_, int relu, void *y_, fnn_size ldy)
{
    const T *w = w_, *bias = bias_;
    const fnn_size bytes = (j1 - j0) * (fnn_size)sizeof(T), most = bytes < FN(MOST_AHEAD) ? bytes : FN(MOST_AHEAD);
    for (fnn_size r = 0; r < rows; r++) {
        const fnn_size s = x->index ? (fnn_size)x->index[first + r] : first + r;
        const fnn_size e0 = x->indptr[s], e1 = x->indptr[s + 1];
        /* In order, the next row's entries follow; of a shuffled one nothing but the entries can be sent for. */
        const fnn_size stop = x->index ? e1 : x->indptr[first + rows];
        if (x->index && r + 2 < rows) {
            const fnn_size next = x->indptr[x->index[first + r + 2]];
            fnn_send_for((const char *)x->indices + next * (x->wide ? 8 : 4), 256);
            fnn_send_for((const T *)x->values + next, 256);
        }
        T *y = (T *)y_ + r * ldy;
        for (fnn_size j = j0, n; j < j1; j += n) {
            const fnn_size ahead = j == j0 ? most : 0;
            const T *shift = bias ? bias + j : NULL;
            n = j1 - j;
            if (n >= FN(PASS) * VL) {
                n = FN(PASS) * VL;
                FN(csr_strip)(FN(PASS), x, e0, e1, stop, w + j, ldw, ahead, y + j, n, shift, relu);
            } else if (n >= 2 * VL) {
                n = 2 * VL;
                FN(csr_strip)(2, x, e0, e1, stop, w + j, ldw, ahead, y + j, n, shift, relu);
            } else {
                n = n < VL ? n : VL;
                FN(csr_strip)(1, x, e0, e1, stop, w + j, ldw, ahead, y + j, n, shift, relu);
            }
        }
    }
}

/* The gradient of one row of a kernel, or n columns of it. */
INLINE void FN(entry_strip)(const int nv, const fnn_entries *entries, const uint64_t *key, fnn_size count, fnn_size rows,
                            fnn_size ld, const T *dy, T *g, fnn_size n)
{
    const T *value = entries->value;
    const fnn_size blocks = rows ? (rows + FN(KC) - 1) / FN(KC) : 0;
    fnn_size end = blocks > 1 ? rows / blocks * ld : PTRDIFF_MAX, block = 0;
    V sum[FN(PASS)], chain[FN(PASS)];
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++) sum[v] = chain[v] = (V){0};
    for (fnn_size k = 0; k < count; k++) {
        const uint32_t e = (uint32_t)key[k];
        const fnn_size at = entries->at[e];
        const V a = v_set1(value ? value[e] : (T)1);
        if (at >= end) {
            while (at >= end) end = rows * (++block + 1) / blocks * ld;
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) sum[v] = chain[v] + sum[v], chain[v] = (V){0};
        }
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++)
            chain[v] = v_fma(a, nv > 1 ? v_load(dy + at + v * VL) : v_loadp(dy + at, n), chain[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < nv; v++) v_storep(g + v * VL, chain[v] + sum[v], n - v * VL);
}

static void FN(entry_grad)(const fnn_entries *entries, fnn_size k0, fnn_size k1, fnn_size rows, fnn_size ld,
                           fnn_size cols, const void *dy_, void *g_)
{
    const T *dy = dy_;
    const uint64_t *key = entries->key + k0;
    T *g = g_;
    for (fnn_size j = 0, n; j < cols; j += n) {
        n = cols - j;
        if (n >= FN(PASS) * VL) {
            n = FN(PASS) * VL;
            FN(entry_strip)(FN(PASS), entries, key, k1 - k0, rows, ld, dy + j, g + j, n);
        } else if (n >= 2 * VL) {
            n = 2 * VL;
            FN(entry_strip)(2, entries, key, k1 - k0, rows, ld, dy + j, g + j, n);
        } else {
            n = n < VL ? n : VL;
            FN(entry_strip)(1, entries, key, k1 - k0, rows, ld, dy + j, g + j, n);
        }
    }
}

/* The sign bit tells: of the number itself, or of what is left to the last one. */
#define WITHIN(U, most)                                                                           \
    {                                                                                       \
        const U last = (U)(limit - 1 < most ? limit - 1 : most);                            \
        U bad = 0;                                                                          \
        for (fnn_size i = 0; i < n; i++) bad |= ((const U *)index)[i] | (last - ((const U *)index)[i]); \
        return !(bad >> (sizeof(U) * 8 - 1));                                               \
    }
static int FN(all_within)(fnn_size n, const void *index, int wide, fnn_size limit)
{
    if (wide) WITHIN(uint64_t, INT64_MAX)
    WITHIN(uint32_t, INT32_MAX)
}
#undef WITHIN
