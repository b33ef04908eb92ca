/* Rows on their way into and through the program: gathering with conversion, scaling. */

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
