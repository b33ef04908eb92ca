/* Rows on their way into and through the program: gathering with conversion, scaling, dropout. */

/* IEEE half to float. Subnormal halves, below 2^-14, are multiples of 2^-24; no float here is subnormal, since the loops
 * flush those. */
INLINE float FN(from_half)(uint16_t h)
{
    const uint32_t magnitude = h & 0x7fff, sign = (uint32_t)(h & 0x8000) << 16;
    union { uint32_t u; float f; } out;
    if (magnitude < 0x400) out.f = (float)(int32_t)magnitude * 0x1p-24f;
    else out.u = (magnitude << 13) + (magnitude < 0x7c00 ? 112u << 23 : 224u << 23); /* infinity or NaN: 255 */
    out.u |= sign;
    return out.f;
}

#define SAME(value) (value)
#define GATHER(S, convert)                                                                       \
    for (fnn_size r = 0; r < rows; r++) {                                                        \
        const char *from = (const char *)src + (index ? (fnn_size)index[r] : r) * row_stride;     \
        T *to = dst + r * lddst;                                                                 \
        if (col_stride == sizeof(S))                                                             \
            for (fnn_size c = 0; c < cols; c++) to[c] = (T)convert(((const S *)from)[c]);        \
        else                                                                                     \
            for (fnn_size c = 0; c < cols; c++) to[c] = (T)convert(*(const S *)(from + c * col_stride)); \
    }                                                                                            \
    break;
static void FN(gather_rows)(int source, fnn_size rows, fnn_size cols, const void *src, fnn_size row_stride,
                            fnn_size col_stride, const int64_t *index, void *dst_, fnn_size lddst)
{
    T *dst = dst_;
    if (source == (T_BITS == 32 ? FNN_SRC_F32 : FNN_SRC_F64) && col_stride == sizeof(T)) {
        for (fnn_size r = 0; r < rows; r++, dst += lddst) {
            const T *from = (const T *)((const char *)src + (index ? (fnn_size)index[r] : r) * row_stride);
            fnn_size c = 0;
            for (; c + VL <= cols; c += VL) v_store(dst + c, v_load(from + c));
            if (c < cols) v_storen(dst + c, v_loadn(from + c, cols - c), cols - c);
        }
        return;
    }
    switch (source) {
    case FNN_SRC_F32: GATHER(float, SAME)
    case FNN_SRC_F64: GATHER(double, SAME)
    case FNN_SRC_F16: GATHER(uint16_t, FN(from_half))
    case FNN_SRC_I8: GATHER(int8_t, SAME)
    case FNN_SRC_U8: GATHER(uint8_t, SAME)
    case FNN_SRC_I16: GATHER(int16_t, SAME)
    case FNN_SRC_U16: GATHER(uint16_t, SAME)
    case FNN_SRC_I32: GATHER(int32_t, SAME)
    case FNN_SRC_U32: GATHER(uint32_t, SAME)
    case FNN_SRC_I64: GATHER(int64_t, SAME)
    case FNN_SRC_U64: GATHER(uint64_t, SAME)
    }
}
#undef GATHER
#undef SAME

/* Shuffled rows lie anywhere, where no hardware looks ahead: while one block of rows is copied, the next one is on
 * its way. 128 of 60,000 images of 784 bytes took 56 us without, 18 with (Zen 5). */
static void FN(gather)(int source, fnn_size rows, fnn_size cols, const void *src, fnn_size row_stride,
                       fnn_size col_stride, const int64_t *index, void *dst, fnn_size lddst)
{
    enum { AHEAD = 4096, LINE = 64 }; /* bytes */
    if (!index) {
        FN(gather_rows)(source, rows, cols, src, row_stride, col_stride, NULL, dst, lddst);
        return;
    }
    const fnn_size bytes = (cols - 1) * col_stride;
    const fnn_size block = bytes > 0 && bytes < AHEAD ? AHEAD / bytes : 1;
    for (fnn_size r = 0; r < rows; r += block) {
        const fnn_size n = rows - r < block ? rows - r : block, next = rows - r - n < block ? rows - r - n : block;
        for (fnn_size i = r + n; i < r + n + next; i++) {
            const char *row = (const char *)src + (fnn_size)index[i] * row_stride;
            for (fnn_size b = 0; b <= bytes; b += LINE) __builtin_prefetch(row + b);
        }
        FN(gather_rows)(source, n, cols, src, row_stride, col_stride, index + r, (T *)dst + r * lddst, lddst);
    }
}

static void FN(affine)(fnn_size rows, fnn_size cols, const void *x_, fnn_size ldx, double scale, double offset,
                       void *y_, fnn_size ldy)
{
    const V a = v_set1((T)scale), b = v_set1((T)offset);
    for (fnn_size r = 0; r < rows; r++) {
        const T *x = (const T *)x_ + r * ldx;
        T *y = (T *)y_ + r * ldy;
        for (fnn_size c = 0; c < cols; c += VL) v_storep(y + c, v_loadp(x + c, cols - c) * a + b, cols - c);
    }
}

static int FN(all_finite)(fnn_size rows, fnn_size cols, const void *x_, fnn_size ldx)
{
    /* 0 * x is NaN where x is not finite, and a sum with a NaN stays one. */
    const V zero = {0};
    V even = {0}, odd = {0};
    for (fnn_size r = 0; r < rows; r++) {
        const T *x = (const T *)x_ + r * ldx;
        for (fnn_size c = 0; c < cols; c += 2 * VL) {
            even = v_fma(zero, v_loadp(x + c, cols - c), even);
            if (cols - c > VL) odd = v_fma(zero, v_loadp(x + c + VL, cols - c - VL), odd);
        }
    }
    return v_hsum(even + odd) == 0;
}

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) on counters that differ in
 * their first word, one in each 64-bit lane: four vectors of words in their low halves, whatever is above them. */
enum { FN(COUNTERS) = FNN_VBYTES / 8 };

INLINE void FN(philox)(uint32_t first, uint32_t row, uint64_t step, uint32_t stream, uint64_t seed, uint32_t *out)
{
    static const uint64_t count[] = {0, 1, 2, 3, 4, 5, 6, 7};
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    FN(words) c[4] = {{0}, {0}, {0}, {0}};
    memcpy(c, count, sizeof c[0]);
    c[0] += first;
    c[1] += row;
    c[2] += (uint32_t)step;
    c[3] += (uint32_t)(step >> 32) ^ stream;
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const FN(words) p0 = v_mul32(c[0], 0xD2511F53u), p1 = v_mul32(c[2], 0xCD9E8D57u);
        c[0] = (p1 >> 32) ^ c[1] ^ k0;
        c[2] = (p0 >> 32) ^ c[3] ^ k1;
        c[1] = p1;
        c[3] = p0;
    }
    const FN(words) low_half = (FN(words)){0} + UINT32_MAX;
    const FN(words) first_pair = (c[0] & low_half) | c[1] << 32, second_pair = (c[2] & low_half) | c[3] << 32;
    for (int i = 0; i < FN(COUNTERS); i++) {
        const uint64_t pair[] = {first_pair[i], second_pair[i]};
        memcpy(out + 4 * i, pair, sizeof pair);
    }
}

static void FN(dropout)(fnn_size rows, fnn_size cols, fnn_size row0, const void *x_, fnn_size ldx, double rate,
                        uint64_t seed, uint32_t stream, uint64_t step, void *y_, fnn_size ldy)
{
    enum { WIDTH = 4 * FN(COUNTERS) };
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    const T scale = (T)(1.0 / (1.0 - rate));
    uint32_t random[WIDTH];
    T keep[WIDTH];
    if (rate == 0) {
        FN(affine)(rows, cols, x_, ldx, 1.0, 0.0, y_, ldy);
        return;
    }
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size c = 0; c < cols; c += WIDTH) {
            const T *x = (const T *)x_ + r * ldx + c;
            T *y = (T *)y_ + r * ldy + c;
            FN(philox)((uint32_t)(c / 4), (uint32_t)(row0 + r), step, stream, seed, random);
            for (int i = 0; i < WIDTH; i++) keep[i] = random[i] >= threshold;
            for (fnn_size i = 0; i < WIDTH && i < cols - c; i += VL) {
                const V kept = v_loadp(x + i, cols - c - i) * scale;
                v_storep(y + i, v_sel(v_lt((V){0}, v_load(keep + i)), kept, (V){0}), cols - c - i);
            }
        }
}
