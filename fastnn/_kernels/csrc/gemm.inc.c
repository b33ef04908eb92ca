/* The three products of a dense layer.
 *
 * A tile of up to FNN_MR rows by NR columns of the result stays in registers while the whole reduction (or a
 * block of it, up to KC long) runs past: per step of k one row of a panel of B (two vectors) and one broadcast
 * per row of A. 14 x 2 accumulators with AVX-512 (32 registers), 6 x 2 with AVX2 and SSE2 (16).
 *
 *   forward       y  = x @ W      A = x rows           B = W in place
 *   input grad    dx = dz @ W.T   A = dz rows          B = W.T packed in panels (wt)
 *   kernel grad   dW = x.T @ dz   A = x by columns     B = dz in place
 *
 * Every element is one chain of multiply-adds in the order of k, cut into blocks whose sums are added up in
 * order: the same bits for any number of rows, columns and threads, and wherever B lies.
 */
#define NR (2 * VL)

/* A block of a panel, KC x NR x sizeof(T) = 64 KiB, streams from the L2 cache at 9 bytes a cycle, which costs
 * nothing; with half of it, as the L1 cache holds, results are loaded and stored twice as often: 128x784x512
 * ran at 97 % of the peak instead of 101 %, 256x4096x4096 at 88 % instead of 94 % (Zen 5). */
enum { FN(KC) = 32768 / FNN_VBYTES };
/* Rows of A that stay in the L2 cache (KC of each, 512 KiB) while the panels pass: 256, in whole tiles. */
enum { FN(MC) = (256 + FNN_MR - 1) / FNN_MR * FNN_MR };
/* Up to this many rows a tile is 4 vectors wide: two chains of multiply-adds a row would wait for one another.
 * 16 accumulators with AVX-512, 8 below it. */
#define WIDE_MR (FNN_MR / 3)
#define WIDE 4

/* c[mr, n] (+)= a @ b over k, n <= nv * VL. A is read as a[i * lda + l] where by_row, else as a[l * lda + i];
 * B as panels of NR columns that are `step` apart. The last block of a reduction adds the bias and clips at
 * zero, if asked to. Meanwhile rows of the block of B at `next` are sent for, since no hardware sees them coming
 * where rows of B are far apart: 1024x1024 in place ran at 82 % of the peak without, 94 % with them. */
INLINE void FN(tile)(const int mr, const int nv, const int by_row, fnn_size k, const T *a, fnn_size lda,
                     const T *b, const T *next, fnn_size step, fnn_size ldb, T *c, fnn_size ldc, fnn_size n,
                     int first, const T *bias, int relu)
{
    V acc[FNN_MR][WIDE];
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) acc[i][v] = (V){0};

    /* Three rows share a base register (base, base + lda, base + 2 lda are all x86 address forms): with one
     * pointer a row, 14 rows spill, and every broadcast costs another load. */
    const T *base[(FNN_MR + 2) / 3];
#pragma GCC unroll 8
    for (int i = 0; i < (mr + 2) / 3; i++) base[i] = a + (by_row ? 3 * i * lda : 3 * i);
    for (fnn_size l = 0; l < k; l++, b += ldb, next += ldb) {
        V row[WIDE];
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) row[v] = v_load(b + v / 2 * step + v % 2 * VL);
        if (nv == 2) {
            __builtin_prefetch(next, 0, 2);
            __builtin_prefetch(next + VL, 0, 2);
        }
#pragma GCC unroll 16
        for (int i = 0; i < mr; i++) {
            const V x = v_set1(base[i / 3][by_row ? (i % 3) * lda : i % 3]);
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) acc[i][v] = v_fma(x, row[v], acc[i][v]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < (mr + 2) / 3; i++) base[i] += by_row ? 1 : lda;
    }

    V shift[WIDE] = {{0}};
    if (bias)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) shift[v] = v_loadp(bias + v * VL, n - v * VL);
#pragma GCC unroll 16
    for (int i = 0; i < mr; i++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) {
            T *out = c + i * ldc + v * VL;
            V sum = acc[i][v];
            if (!first) sum += v_loadp(out, n - v * VL);
            sum += shift[v];
            if (relu) sum = v_max((V){0}, sum);
            v_storep(out, sum, n - v * VL);
        }
}

typedef void FN(tile_fn)(fnn_size k, const T *a, fnn_size lda, const T *b, const T *next, fnn_size step,
                         fnn_size ldb, T *c, fnn_size ldc, fnn_size n, int first, const T *bias, int relu);
#define TILE_NAME(mr, nv, by_row) FN(tile_##mr##_##nv##_##by_row)
#define TILE(mr, nv, by_row)                                                                                \
    static void TILE_NAME(mr, nv, by_row)(fnn_size k, const T *a, fnn_size lda, const T *b, const T *next,   \
                                          fnn_size step, fnn_size ldb, T *c, fnn_size ldc, fnn_size n,       \
                                          int first, const T *bias, int relu)                                \
    {                                                                                                        \
        FN(tile)(mr, nv, by_row, k, a, lda, b, next, step, ldb, c, ldc, n, first, bias, relu);               \
    }
#if FNN_MR == 14
#define WIDE_MRS(M_, nv, by_row) M_(1, nv, by_row) M_(2, nv, by_row) M_(3, nv, by_row) M_(4, nv, by_row)
#define ALL_MRS(M_, nv, by_row) WIDE_MRS(M_, nv, by_row)                                             \
    M_(5, nv, by_row) M_(6, nv, by_row) M_(7, nv, by_row) M_(8, nv, by_row) M_(9, nv, by_row)        \
    M_(10, nv, by_row) M_(11, nv, by_row) M_(12, nv, by_row) M_(13, nv, by_row) M_(14, nv, by_row)
#else
#define WIDE_MRS(M_, nv, by_row) M_(1, nv, by_row) M_(2, nv, by_row)
#define ALL_MRS(M_, nv, by_row) WIDE_MRS(M_, nv, by_row)                                             \
    M_(3, nv, by_row) M_(4, nv, by_row) M_(5, nv, by_row) M_(6, nv, by_row)
#endif
ALL_MRS(TILE, 1, 0)
ALL_MRS(TILE, 2, 0)
WIDE_MRS(TILE, 4, 0)
ALL_MRS(TILE, 1, 1)
ALL_MRS(TILE, 2, 1)
WIDE_MRS(TILE, 4, 1)
#define TILE_ENTRY(mr, nv, by_row) TILE_NAME(mr, nv, by_row),
/* By by_row, by vectors (1, 2, WIDE), by rows. */
static FN(tile_fn) *const FN(tiles)[2][3][FNN_MR] = {
    {{ALL_MRS(TILE_ENTRY, 1, 0)}, {ALL_MRS(TILE_ENTRY, 2, 0)}, {WIDE_MRS(TILE_ENTRY, 4, 0)}},
    {{ALL_MRS(TILE_ENTRY, 1, 1)}, {ALL_MRS(TILE_ENTRY, 2, 1)}, {WIDE_MRS(TILE_ENTRY, 4, 1)}},
};
#undef TILE_NAME
#undef TILE
#undef ALL_MRS
#undef WIDE_MRS
#undef TILE_ENTRY

/* Columns of a product that the next tiles take, of n that are left. */
INLINE fnn_size FN(tile_width)(fnn_size m, fnn_size n)
{
    const fnn_size width = m <= WIDE_MR && n >= WIDE * VL ? WIDE * VL : NR;
    return n < width ? n : width;
}

/* Columns of one tile: c[m, n] = a @ b (+ c if add, + bias, clipped at zero if relu). The row blocks are of nearly equal
 * height, so that 16 rows are 8 + 8 and not 14 + 2, whose short tile would wait on latency; the blocks of k
 * too, whose ends cost the same whatever their length. */
INLINE void FN(panel)(const int by_row, fnn_size m, fnn_size n, fnn_size k, const T *a, fnn_size lda,
                      const T *b, fnn_size step, fnn_size ldb, T *c, fnn_size ldc, int add, const T *bias, int relu)
{
    FN(tile_fn) *const *tiles = FN(tiles)[by_row][(n > VL) + (n > NR)];
    const fnn_size m_blocks = (m + FNN_MR - 1) / FNN_MR, k_blocks = k ? (k + FN(KC) - 1) / FN(KC) : 1;
    for (fnn_size kb = 0; kb < k_blocks; kb++) {
        const fnn_size l0 = k * kb / k_blocks, l1 = k * (kb + 1) / k_blocks;
        const int last = l1 == k;
        for (fnn_size mb = 0; mb < m_blocks; mb++) {
            const fnn_size i0 = m * mb / m_blocks, i1 = m * (mb + 1) / m_blocks;
            /* The next block of B, or the next panel's first, comes while the last rows use this one. */
            const T *next = b + (mb < m_blocks - 1 ? l0 * ldb : last ? step : l1 * ldb);
            tiles[i1 - i0 - 1](l1 - l0, a + (by_row ? i0 * lda + l0 : l0 * lda + i0), lda, b + l0 * ldb, next, step,
                               ldb, c + i0 * ldc, ldc, n, kb == 0 && !add, last ? bias : NULL, last && relu);
        }
    }
}

/* Columns [j0, j1) of y = activation(x @ B + bias): panels of B are `step` apart, its rows ldb. x is (rows, n_in) where
 * by_row, else (n_in, rows). */
INLINE void FN(forward)(const int by_row, fnn_size rows, fnn_size n_in, fnn_size j0, fnn_size j1, const void *x_,
                        fnn_size ldx, const void *b_, fnn_size step, fnn_size ldb, const void *bias_, int activation,
                        double alpha, void *z_, fnn_size ldz, void *y_, fnn_size ldy)
{
    const T *x = x_, *b = b_, *bias = bias_;
    T *z = z_, *y = y_;
    T *out = z ? z : y;
    const fnn_size ldout = z ? ldz : ldy;
    const int relu = activation == FNN_RELU && !z;
    for (fnn_size r0 = 0; r0 < rows; r0 += FN(MC)) {
        const fnn_size m = rows - r0 < FN(MC) ? rows - r0 : FN(MC);
        for (fnn_size j = j0, n; j < j1; j += n) {
            n = FN(tile_width)(m, j1 - j);
            FN(panel)(by_row, m, n, n_in, x + (by_row ? r0 * ldx : r0), ldx, b + j / NR * step, step, ldb,
                      out + r0 * ldout + j, ldout, 0, bias ? bias + j : NULL, relu);
            if (z || (activation != FNN_LINEAR && !relu))
                FN(activation_forward)(activation, alpha, m, n, out + r0 * ldout + j, ldout, y + r0 * ldy + j, ldy);
        }
    }
}

static void FN(dense_forward)(fnn_size rows, fnn_size n_in, fnn_size j0, fnn_size j1, const void *x,
                              fnn_size ldx, const void *w, fnn_size ldw, const void *bias, int activation,
                              double alpha, void *z, fnn_size ldz, void *y, fnn_size ldy)
{
    FN(forward)(1, rows, n_in, j0, j1, x, ldx, w, NR, ldw, bias, activation, alpha, z, ldz, y, ldy);
}

static void FN(dense_forward_turned)(fnn_size rows, fnn_size n_in, fnn_size j0, fnn_size j1, const void *x,
                                     fnn_size ldx, const void *w, fnn_size ldw, const void *bias, int activation,
                                     double alpha, void *z, fnn_size ldz, void *y, fnn_size ldy)
{
    FN(forward)(0, rows, n_in, j0, j1, x, ldx, w, NR, ldw, bias, activation, alpha, z, ldz, y, ldy);
}

static void FN(dense_forward_transposed)(fnn_size rows, fnn_size n_out, fnn_size i0, fnn_size i1, const void *x,
                                         fnn_size ldx, const void *wt, const void *bias, int activation,
                                         double alpha, void *z, fnn_size ldz, void *y, fnn_size ldy)
{
    FN(forward)(1, rows, n_out, i0, i1, x, ldx, wt, NR * n_out, NR, bias, activation, alpha, z, ldz, y, ldy);
}

static void FN(dense_input_grad)(fnn_size rows, fnn_size n_out, fnn_size i0, fnn_size i1, const void *dz_,
                                 fnn_size lddz, const void *wt_, int activation, double alpha,
                                 const void *saved_, fnn_size ldsaved, void *dx_, fnn_size lddx)
{
    const T *dz = dz_, *wt = wt_, *saved = saved_;
    T *dx = dx_;
    for (fnn_size r0 = 0; r0 < rows; r0 += FN(MC)) {
        const fnn_size m = rows - r0 < FN(MC) ? rows - r0 : FN(MC);
        for (fnn_size i = i0, n; i < i1; i += n) {
            n = FN(tile_width)(m, i1 - i);
            T *out = dx + r0 * lddx + i;
            FN(panel)(1, m, n, n_out, dz + r0 * lddz, lddz, wt + i * n_out, NR * n_out, NR, out, lddx, 0,
                      NULL, 0);
            if (activation != FNN_LINEAR)
                FN(activation_backward)(activation, alpha, m, n, out, lddx, saved + r0 * ldsaved + i, ldsaved,
                                        out, lddx);
        }
    }
}

static void FN(dense_kernel_grad)(fnn_size rows, fnn_size i0, fnn_size i1, fnn_size j0, fnn_size j1,
                                  const void *x_, fnn_size ldx, const void *dz_, fnn_size lddz, void *g_,
                                  fnn_size ldg)
{
    const T *x = x_, *dz = dz_;
    T *g = g_;
    enum { BLOCK = 32 }; /* columns of x that stay in the L1 cache while the panels of dz pass */
    for (fnn_size i = i0; i < i1; i += BLOCK) {
        const fnn_size m = i1 - i < BLOCK ? i1 - i : BLOCK;
        for (fnn_size j = j0, n; j < j1; j += n) {
            n = FN(tile_width)(m, j1 - j);
            FN(panel)(0, m, n, rows, x + i, ldx, dz + j, NR, lddz, g + (i - i0) * ldg + (j - j0), ldg, 0,
                      NULL, 0);
        }
    }
}

static void FN(column_sum)(fnn_size rows, fnn_size cols, const void *x_, fnn_size ldx, void *out_)
{
    const T *x = x_;
    T *out = out_;
    for (fnn_size j = 0; j < cols; j += NR) {
        const fnn_size n = cols - j;
        V t0 = {0}, t1 = {0};
        /* Blocks of KC as in the products: one chain over a million rows in float would lose the last 7 bits. */
        for (fnn_size r0 = 0; r0 < rows; r0 += FN(KC)) {
            const fnn_size r1 = rows - r0 > FN(KC) ? r0 + FN(KC) : rows;
            V s0 = {0}, s1 = {0};
            for (fnn_size r = r0; r < r1; r++) {
                s0 += v_loadp(x + r * ldx + j, n);
                if (n > VL) s1 += v_loadp(x + r * ldx + j + VL, n - VL);
            }
            t0 += s0;
            t1 += s1;
        }
        v_storep(out + j, t0, n);
        if (n > VL) v_storep(out + j + VL, t1, n - VL);
    }
}

static fnn_size FN(transposed_size)(fnn_size n_in, fnn_size n_out) { return (n_in + NR - 1) / NR * NR * n_out; }

/* Copies the block [i0, i1) x [j0, j1) of w (n_in, n_out) into wt. i0 and j0 are multiples of NR, i1 too or the
 * matrix's end: panels are then written whole, zeros included. */
static void FN(transpose)(fnn_size n_out, fnn_size i0, fnn_size i1, fnn_size j0, fnn_size j1, const void *w_, void *wt_)
{
    const T *w = w_;
    T *wt = wt_;
    for (fnn_size i = i0; i < i1; i += VL)
        for (fnn_size j = j0; j < j1; j += VL) {
            V block[VL];
#pragma GCC unroll 16
            for (int r = 0; r < VL; r++)
                block[r] = i + r < i1 ? v_loadp(w + (i + r) * n_out + j, j1 - j) : (V){0};
            FN(v_turn)(block);
            T *out = wt + i / NR * NR * n_out + j * NR + i % NR;
            const fnn_size m = j1 - j < VL ? j1 - j : VL;
            for (fnn_size r = 0; r < m; r++) v_store(out + r * NR, block[r]);
            if (i + VL >= i1 && i % NR == 0) /* the panel's second half lies past the last row */
                for (fnn_size r = 0; r < m; r++) v_store(out + r * NR + VL, (V){0});
        }
}
