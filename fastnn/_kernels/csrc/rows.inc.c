/* Rows on their way into and through the program: gathering with conversion, scaling, dropout. */

/* IEEE half to float: the exponent is rebased by a multiplication, which also normalises subnormals. */
INLINE float FN(from_half)(uint16_t h)
{
    const uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
    union { uint32_t u; float f; } value = {magnitude}, out;
    out.f = value.f * 0x1p112f;
    if (magnitude >= 0x0f800000) out.u = magnitude | 0x7f800000; /* infinity or NaN */
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
static void FN(gather)(int source, fnn_size rows, fnn_size cols, const void *src, fnn_size row_stride,
                       fnn_size col_stride, const int64_t *index, void *dst_, fnn_size lddst)
{
    T *dst = dst_;
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

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) on PHILOX_LANES
 * counters that differ in their first word: out[4 * lane + word]. */
enum { FN(PHILOX_LANES) = 16 };
INLINE void FN(philox)(uint32_t first, uint32_t row, uint64_t step, uint32_t stream, uint64_t seed, uint32_t *out)
{
    enum { N = FN(PHILOX_LANES) };
    uint32_t c0[N], c1[N], c2[N], c3[N];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int i = 0; i < N; i++) {
        c0[i] = first + (uint32_t)i;
        c1[i] = row;
        c2[i] = (uint32_t)step;
        c3[i] = (uint32_t)(step >> 32) ^ stream;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < N; i++) {
            const uint64_t p0 = (uint64_t)c0[i] * 0xD2511F53u, p1 = (uint64_t)c2[i] * 0xCD9E8D57u;
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    for (int i = 0; i < N; i++) {
        out[4 * i] = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

static void FN(dropout)(fnn_size rows, fnn_size cols, fnn_size row0, const void *x_, fnn_size ldx, double rate,
                        uint64_t seed, uint32_t stream, uint64_t step, void *y_, fnn_size ldy)
{
    enum { WIDTH = 4 * FN(PHILOX_LANES) };
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    const T scale = (T)(1.0 / (1.0 - rate));
    uint32_t random[WIDTH];
    if (rate == 0) {
        FN(affine)(rows, cols, x_, ldx, 1.0, 0.0, y_, ldy);
        return;
    }
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size c = 0; c < cols; c += WIDTH) {
            const fnn_size n = cols - c < WIDTH ? cols - c : WIDTH;
            const T *x = (const T *)x_ + r * ldx + c;
            T *y = (T *)y_ + r * ldy + c;
            FN(philox)((uint32_t)(c / 4), (uint32_t)(row0 + r), step, stream, seed, random);
            for (fnn_size i = 0; i < n; i++) y[i] = random[i] >= threshold ? x[i] * scale : 0;
        }
}
