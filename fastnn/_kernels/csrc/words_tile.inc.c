/* The tiles of words.inc.c for one way to count bits: COUNT of a vector, whose sums over LONGEST words TOTAL takes to
 * whole lanes, in functions of TARGET. */
#define TILE_(name) name##_tile
#define TILE__(name) TILE_(name)
#define TILE TILE__(PRODUCT)

TARGET static inline __attribute__((always_inline))
void TILE(const int rows, const int panels, fnn_size n, const uint64_t *x, fnn_size ldx, const uint64_t *w, fnn_size step,
          int32_t *count)
{
    enum { PARTS = FNN_PANEL * 8 / FNN_VBYTES, LANES = FNN_VBYTES / 8, MOST = 2 * PARTS };
    const int vectors = panels * PARTS;
    W(vec) sum[W(MR)][MOST];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) sum[r][v] = (W(vec)){0};
    for (fnn_size k0 = 0, k1; k0 < n; k0 = k1) {
        W(vec) part[W(MR)][MOST];
        k1 = n - k0 > LONGEST ? k0 + LONGEST : n;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) part[r][v] = (W(vec)){0};
        for (fnn_size k = k0; k < k1; k++) {
            W(vec) b[MOST];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                b[v] = *(const W(uvec) *)(w + v / PARTS * step + k * FNN_PANEL + v % PARTS * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                const W(vec) a = (W(vec)){0} + x[r * ldx + k];
#pragma GCC unroll 8
                for (int v = 0; v < vectors; v++) part[r][v] += COUNT(a ^ b[v]);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) sum[r][v] += TOTAL(part[r][v]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            *(W(ints) *)(count + r * W(COLS) + v * LANES) = __builtin_convertvector(sum[r][v], W(ints));
}

TARGET static void PRODUCT(fnn_size rows, fnn_size n, const uint64_t *x, fnn_size ldx, const uint64_t *w, fnn_size step,
                           int32_t *count)
{
    enum { PANELS = FNN_VBYTES == 64 ? 2 : 1 };     /* as many as there are registers for */
    for (int p = 0; p < 2; p += PANELS) {
        fnn_size r = 0;
        for (; r + W(MR) <= rows; r += W(MR))
            TILE(W(MR), PANELS, n, x + r * ldx, ldx, w + p * step, step, count + r * W(COLS) + p * FNN_PANEL);
        for (; r < rows; r++)
            TILE(1, PANELS, n, x + r * ldx, ldx, w + p * step, step, count + r * W(COLS) + p * FNN_PANEL);
    }
}
#undef TILE_
#undef TILE__
#undef TILE
#undef TARGET
#undef LONGEST
#undef COUNT
#undef TOTAL
#undef PRODUCT
