/* A dense layer with a sparse kernel.
 *
 * The rows of a batch lie side by side, as lanes: a batch is turned, in panels of up to PANEL rows, so that an entry of the
 * kernel costs whole vectors of multiply-adds and no gathers.
 *
 *   forward    a column's sums stay in registers while all of its entries run past, each with a load of the row of x that
 *              it multiplies (SparseProp, Nikdan et al., 2023, loads and stores the sums too, for every entry)
 *   backward   a row's x and sums of dx stay in registers: an entry takes one load of dz for dx and for its own gradient,
 *              a product with x, whose lanes are added up for VL entries at a time
 *
 * In a narrow batch, of up to FEW rows, memory is what an entry costs: forward goes by rows then too, adding to sums
 * in memory, and needs no positions by columns. Sums run over ascending rows, with one rounding for each entry, either way:
 * an element's bits do not depend on the batch it is in. Threads divide columns forward and rows backward; each element
 * belongs to one of them.
 */
enum {
    FN(NV) = FNN_MR == 14 ? 8 : 4,  /* vectors of a panel: its sums, and x beside them, fit the registers */
    FN(PANEL) = FN(NV) * VL,
    FN(FEW) = FN(PANEL) / 2 < 16 ? FN(PANEL) / 2 : 16,
    FN(COLUMNS) = 16,               /* that are turned back at a time */
    FN(BLOCK) = 256,                /* columns that pass over the rows of x in the L1 cache, ROWS of them */
    FN(ROWS) = 32768 / (FN(PANEL) * sizeof(T)),
    FN(AHEAD) = 16                  /* entries, of what is sent for: lines that no hardware sees coming */
};

INLINE T FN(fma_one)(T a, T b, T c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return sizeof(T) == 4 ? (T)__builtin_fmaf((float)a, (float)b, (float)c) : (T)__builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE fnn_size FN(width_of)(fnn_size rows)
{
    fnn_size width = 1;
    while (width < rows) width *= 2;
    return width;
}

static fnn_size FN(sparse_rows)(fnn_size rows)
{
    return rows / FN(PANEL) * FN(PANEL) + (rows % FN(PANEL) ? FN(width_of)(rows % FN(PANEL)) : 0);
}

static fnn_size FN(sparse_scratch)(const fnn_pattern *w)
{
    const fnn_size block = FN(BLOCK) * FN(PANEL), sums = FN(FEW) * w->n_out;
    return block > sums ? block : sums;
}

/* y[j, i] = x[i, j], and zeros in columns [rows, width) of y */
static void FN(flip)(fnn_size rows, fnn_size cols, const T *x, fnn_size ldx, T *y, fnn_size ldy, fnn_size width)
{
    for (fnn_size i0 = 0; i0 < width; i0 += VL)
        for (fnn_size j0 = 0; j0 < cols; j0 += VL) {
            const T *from = x + i0 * ldx + j0;
            T *to = y + j0 * ldy + i0;
            if (rows - i0 >= VL && cols - j0 >= VL) {
                V block[VL];
#pragma GCC unroll 16
                for (int i = 0; i < VL; i++) block[i] = v_load(from + i * ldx);
                FN(v_turn)(block);
#pragma GCC unroll 16
                for (int i = 0; i < VL; i++) v_store(to + i * ldy, block[i]);
                continue;
            }
            for (fnn_size j = 0; j < VL && j < cols - j0; j++)
                for (fnn_size i = 0; i < VL && i < width - i0; i++)
                    to[j * ldy + i] = i < rows - i0 ? from[i * ldx + j] : 0;
        }
}

static void FN(sparse_turn)(fnn_size rows, fnn_size cols, fnn_size c0, fnn_size c1, const void *x, fnn_size ldx,
                            void *turned)
{
    for (fnn_size r = 0; r < rows; r += FN(PANEL)) {
        const fnn_size n = rows - r < FN(PANEL) ? rows - r : FN(PANEL), width = FN(width_of)(n);
        FN(flip)(n, c1 - c0, (const T *)x + r * ldx + c0, ldx, (T *)turned + r * cols + c0 * width, width, width);
    }
}

/* Columns [j0, j1) of x @ W + bias, as (j1 - j0, nv * VL) */
INLINE void FN(many_rows)(const int nv, const fnn_pattern *w, fnn_size j0, fnn_size j1, const T *x, const T *values,
                             const T *bias, T *out)
{
    for (fnn_size j = j0; j < j1; j++, out += nv * VL) {
        V sum[FN(NV)];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) sum[v] = (V){0};
        for (int64_t k = w->starts[j]; k < w->starts[j + 1]; k++) {
            const V a = v_set1(values[w->places[k]]);
            const T *from = x + (fnn_size)w->rows[k] * (nv * VL);
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) sum[v] = v_fma(a, v_load(from + v * VL), sum[v]);
        }
        const V shift = bias ? v_set1(bias[j]) : (V){0};
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) v_store(out + v * VL, sum[v] + shift);
    }
}

/* The same for a whole panel and up to BLOCK columns, with many entries each: so many rows of x at a time as the L1 cache
 * holds pass all of them, whose sums come from the L2 cache and go back. At a density
 * of 0.2 an entry then takes 13 cycles, not 20; at 0.1 too few pass for what the sums cost. What comes next of a column
 * lies far from what came before: sent for, an entry takes 4.3 ns in a network of five layers of 1024 x 1024, and 5.5
 * without. */
static void FN(many_entries)(const fnn_pattern *w, fnn_size j0, fnn_size j1, const T *x, const T *values, const T *bias,
                             T *sums)
{
    int64_t next[FN(BLOCK)];
    for (fnn_size j = j0; j < j1; j++) {
        next[j - j0] = w->starts[j];
        for (int v = 0; v < FN(NV); v++) v_store(sums + ((j - j0) * FN(NV) + v) * VL, (V){0});
    }
    for (fnn_size limit = FN(ROWS); limit < w->n_in + FN(ROWS); limit += FN(ROWS))
        for (fnn_size j = j0; j < j1; j++) {
            const int64_t end = w->starts[j + 1];
            int64_t k = next[j - j0];
            T *to = sums + (j - j0) * FN(PANEL);
            V sum[FN(NV)];
            if (j + 3 < j1) {
                const int64_t soon = next[j + 3 - j0];
                __builtin_prefetch(w->places + soon);
                __builtin_prefetch(w->places + soon + 8);
                __builtin_prefetch(w->rows + soon);
                __builtin_prefetch(w->rows + soon + 12);
            }
            if (k == end || w->rows[k] >= limit) continue;
#pragma GCC unroll 8
            for (int v = 0; v < FN(NV); v++) sum[v] = v_load(to + v * VL);
            do {
                const V a = v_set1(values[w->places[k]]);
                const T *from = x + (fnn_size)w->rows[k] * FN(PANEL);
#pragma GCC unroll 8
                for (int v = 0; v < FN(NV); v++) sum[v] = v_fma(a, v_load(from + v * VL), sum[v]);
            } while (++k < end && w->rows[k] < limit);
            next[j - j0] = k;
#pragma GCC unroll 8
            for (int v = 0; v < FN(NV); v++) v_store(to + v * VL, sum[v]);
        }
    for (fnn_size j = j0; j < j1; j++)
        for (int v = 0; v < FN(NV); v++) {
            T *to = sums + ((j - j0) * FN(NV) + v) * VL;
            v_store(to, v_load(to) + (bias ? v_set1(bias[j]) : (V){0}));
        }
}

/* First entry of [k, end) in column j or a later one */
INLINE int64_t FN(entry_from)(const int32_t *indices, int64_t k, int64_t end, fnn_size j)
{
    while (k < end) {
        const int64_t middle = (k + end) / 2;
        if (indices[middle] < j) k = middle + 1;
        else end = middle;
    }
    return k;
}

/* Columns [j0, j1) of x @ W, as (j1 - j0, width) */
INLINE void FN(few_rows)(const int width, const fnn_pattern *w, fnn_size j0, fnn_size j1, const T *x, const T *values,
                         T *sums)
{
    const int64_t nnz = w->indptr[w->n_in];
    memset(sums, 0, (size_t)((j1 - j0) * width) * sizeof(T));
    for (fnn_size i = 0; i < w->n_in; i++) {
        const int64_t end = w->indptr[i + 1];
        int64_t k = w->indptr[i];
        T one[FN(FEW)];
        V many[FN(FEW) / VL + 1];
#pragma GCC unroll 16
        for (int r = 0; r < width; r++) one[r] = x[i * width + r];
#pragma GCC unroll 8
        for (int v = 0; v < width / VL; v++) many[v] = v_load(x + i * width + v * VL);
        if (j0 > 0) k = FN(entry_from)(w->indices, k, end, j0);
        for (; k < end && w->indices[k] < j1; k++) {
            T *to = sums + (w->indices[k] - j0) * width;
            const T a = values[k];
            if (k + FN(AHEAD) < nnz) __builtin_prefetch(sums + (w->indices[k + FN(AHEAD)] - j0) * width, 1);
            if (width >= VL)
#pragma GCC unroll 8
                for (int v = 0; v < width / VL; v++)
                    v_store(to + v * VL, v_fma(v_set1(a), many[v], v_load(to + v * VL)));
            else
#pragma GCC unroll 8
                for (int r = 0; r < width; r++) to[r] = FN(fma_one)(a, one[r], to[r]);
        }
    }
}

static void FN(sparse_forward)(const fnn_pattern *w, fnn_size rows, fnn_size j0, fnn_size j1, const void *turned,
                               const void *values, const void *bias_, int activation, double alpha, void *z_,
                               fnn_size ldz, void *y_, fnn_size ldy, void *scratch)
{
    const T *bias = bias_;
    for (fnn_size r0 = 0; r0 < rows; r0 += FN(PANEL)) {
        const fnn_size n = rows - r0 < FN(PANEL) ? rows - r0 : FN(PANEL), width = FN(width_of)(n);
        const int many = width == FN(PANEL) && width > FN(FEW) && w->indptr[w->n_in] > w->n_in * w->n_out / 7;
        const fnn_size columns = many ? FN(BLOCK) : width > FN(FEW) ? FN(COLUMNS) : j1 - j0, ldout = z_ ? ldz : ldy;
        const T *x = (const T *)turned + r0 * w->n_in;
        T *y = (T *)y_ + r0 * ldy, *out = z_ ? (T *)z_ + r0 * ldz : y;
        for (fnn_size j = j0, m; j < j1; j += m) {
            m = j1 - j < columns ? j1 - j : columns;
            if (many) FN(many_entries)(w, j, j + m, x, values, bias, scratch);
            else if (FN(NV) >= 8 && width == 8 * VL) FN(many_rows)(8, w, j, j + m, x, values, bias, scratch);
            else if (4 * VL > FN(FEW) && width == 4 * VL)
                FN(many_rows)(4, w, j, j + m, x, values, bias, scratch);
            else if (2 * VL > FN(FEW) && width == 2 * VL)
                FN(many_rows)(2, w, j, j + m, x, values, bias, scratch);
            else if (VL > FN(FEW) && width == VL) FN(many_rows)(1, w, j, j + m, x, values, bias, scratch);
            else if (FN(FEW) >= 16 && width == 16) FN(few_rows)(16, w, j, j + m, x, values, scratch);
            else if (FN(FEW) >= 8 && width == 8) FN(few_rows)(8, w, j, j + m, x, values, scratch);
            else if (width == 4) FN(few_rows)(4, w, j, j + m, x, values, scratch);
            else if (width == 2) FN(few_rows)(2, w, j, j + m, x, values, scratch);
            else FN(few_rows)(1, w, j, j + m, x, values, scratch);
            if (width > FN(FEW)) FN(flip)(m, n, scratch, width, out + j, ldout, m);
            else
                for (fnn_size c = 0; c < m; c++)
                    for (fnn_size r = 0; r < n; r++)
                        out[r * ldout + j + c] = ((const T *)scratch)[c * width + r] + (bias ? bias[j + c] : 0);
            if (activation != FNN_LINEAR || z_)
                FN(activation_forward)(activation, alpha, n, m, out + j, ldout, y + j, ldy);
        }
    }
}

/* What a backward pass over the rows of one panel needs. */
typedef struct {
    fnn_size n;             /* rows of the batch */
    const T *x, *dz;        /* turned */
    const T *values;
    T *grad;                /* or NULL */
    int add;                /* to the gradients of the panels before */
    int activation;
    double alpha;
    const T *saved;
    fnn_size ldsaved;
    T *dx;                  /* or NULL */
    fnn_size lddx;
} FN(panel_backward);

/* Once for VL entries: not worth a copy in each of its callers */
static __attribute__((noinline)) void FN(store_sums)(const FN(panel_backward) *p, V *parts, int64_t k, int n)
{
    if (!p->grad) return;
    V sum = v_sums(parts);
    if (p->add) sum += v_loadp(p->grad + k, n);
    v_storep(p->grad + k, sum, n);
}

static __attribute__((noinline)) void FN(times_slope)(const FN(panel_backward) *p, fnn_size i, fnn_size m)
{
    if (p->activation != FNN_LINEAR)
        FN(activation_backward)(p->activation, p->alpha, p->n, m, p->dx + i, p->lddx, p->saved + i, p->ldsaved,
                                p->dx + i, p->lddx);
}

INLINE void FN(many_rows_back)(const int nv, const int with_dx, const fnn_pattern *w, fnn_size i0, fnn_size i1,
                          const FN(panel_backward) *p, T *block)
{
    V parts[VL];
    int64_t k = w->indptr[i0], done = k;
    for (fnn_size i = i0; i < i1; i++) {
        V x[FN(NV)], sum[FN(NV)];
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) {
            x[v] = v_load(p->x + (i * nv + v) * VL);
            sum[v] = (V){0};
        }
        for (; k < w->indptr[i + 1]; k++) {
            const V a = v_set1(p->values[k]);
            const T *from = p->dz + (fnn_size)w->indices[k] * (nv * VL);
            V dot[2];
#pragma GCC unroll 8
            for (int v = 0; v < nv; v++) {
                const V d = v_load(from + v * VL);
                if (with_dx) sum[v] = v_fma(a, d, sum[v]);
                dot[v % 2] = v < 2 ? x[v] * d : v_fma(x[v], d, dot[v % 2]);
            }
            parts[k - done] = nv > 1 ? dot[0] + dot[1] : dot[0];
            if (k - done == VL - 1) {
                FN(store_sums)(p, parts, done, VL);
                done += VL;
            }
        }
        if (!p->dx) continue;
        const fnn_size at = (i - i0) % FN(COLUMNS);
#pragma GCC unroll 8
        for (int v = 0; v < nv; v++) v_store(block + (at * nv + v) * VL, sum[v]);
        if (at == FN(COLUMNS) - 1 || i == i1 - 1) {
            FN(flip)(at + 1, p->n, block, nv * VL, p->dx + i - at, p->lddx, at + 1);
            FN(times_slope)(p, i - at, at + 1);
        }
    }
    if (k > done) FN(store_sums)(p, parts, done, (int)(k - done));
}

INLINE void FN(few_rows_back)(const int width, const fnn_pattern *w, fnn_size i0, fnn_size i1, const FN(panel_backward) *p)
{
    const int64_t nnz = w->indptr[w->n_in];
    for (fnn_size i = i0; i < i1; i++) {
        const T *x = p->x + i * width;
        T sum[8] = {0};
        for (int64_t k = w->indptr[i]; k < w->indptr[i + 1]; k++) {
            const T *dz = p->dz + (fnn_size)w->indices[k] * width;
            const T a = p->values[k];
            T dot = 0;
            if (k + FN(AHEAD) < nnz) __builtin_prefetch(p->dz + (fnn_size)w->indices[k + FN(AHEAD)] * width);
#pragma GCC unroll 8
            for (int r = 0; r < width; r++) {
                sum[r] = FN(fma_one)(a, dz[r], sum[r]);
                dot = FN(fma_one)(x[r], dz[r], dot);
            }
            if (p->grad) p->grad[k] = p->add ? p->grad[k] + dot : dot;
        }
        if (p->dx)
            for (fnn_size r = 0; r < p->n; r++) p->dx[r * p->lddx + i] = sum[r];
    }
    if (p->dx) FN(times_slope)(p, i0, i1 - i0);
}

static void FN(sparse_backward)(const fnn_pattern *w, fnn_size rows, fnn_size i0, fnn_size i1, const void *x,
                                const void *dz, const void *values, void *grad, int activation, double alpha,
                                const void *saved, fnn_size ldsaved, void *dx, fnn_size lddx, void *scratch)
{
    for (fnn_size r0 = 0; r0 < rows; r0 += FN(PANEL)) {
        const fnn_size n = rows - r0 < FN(PANEL) ? rows - r0 : FN(PANEL), width = FN(width_of)(n);
        const FN(panel_backward) p = {
            n, (const T *)x + r0 * w->n_in, (const T *)dz + r0 * w->n_out, values, grad, r0 > 0, activation, alpha,
            saved ? (const T *)saved + r0 * ldsaved : NULL, ldsaved, dx ? (T *)dx + r0 * lddx : NULL, lddx,
        };
        /* The first layer of a network has no dx: its largest batches do not compute one. */
        if (width == FN(PANEL) && dx) FN(many_rows_back)(FN(NV), 1, w, i0, i1, &p, scratch);
        else if (width == FN(PANEL)) FN(many_rows_back)(FN(NV), 0, w, i0, i1, &p, scratch);
        else if (FN(NV) > 4 && width == 4 * VL) FN(many_rows_back)(4, 1, w, i0, i1, &p, scratch);
        else if (width == 2 * VL) FN(many_rows_back)(2, 1, w, i0, i1, &p, scratch);
        else if (width == VL) FN(many_rows_back)(1, 1, w, i0, i1, &p, scratch);
        else if (VL > 8 && width == 8) FN(few_rows_back)(8, w, i0, i1, &p);
        else if (VL > 4 && width == 4) FN(few_rows_back)(4, w, i0, i1, &p);
        else if (VL > 2 && width == 2) FN(few_rows_back)(2, w, i0, i1, &p);
        else FN(few_rows_back)(1, w, i0, i1, &p);
    }
}
