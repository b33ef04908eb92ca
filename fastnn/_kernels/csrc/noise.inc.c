/* Random zeros and noise. What an element draws depends on (seed, stream, step), its row and its column: on nothing
 * that a split into calls, threads or vectors changes. */

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) on counters that differ in
 * their first word, one in each 64-bit lane; its words 0 and 1 side by side, then 2 and 3. */
enum { FN(COUNTERS) = FNN_VBYTES / 8 };

INLINE void FN(philox)(uint32_t first, uint32_t row, const fnn_random *at, FN(words) *low, FN(words) *high)
{
    static const uint64_t count[] = {0, 1, 2, 3, 4, 5, 6, 7};
    uint32_t k0 = (uint32_t)at->seed, k1 = (uint32_t)(at->seed >> 32);
    FN(words) c[4] = {{0}, {0}, {0}, {0}};
    memcpy(c, count, sizeof c[0]);
    c[0] += first;
    c[1] += row;
    c[2] += (uint32_t)at->step;
    c[3] += (uint32_t)(at->step >> 32) ^ at->stream;
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const FN(words) p0 = v_mul32(c[0], 0xD2511F53u), p1 = v_mul32(c[2], 0xCD9E8D57u);
        c[0] = (p1 >> 32) ^ c[1] ^ k0;
        c[2] = (p0 >> 32) ^ c[3] ^ k1;
        c[1] = p1;
        c[3] = p0;
    }
    const FN(words) low_half = (FN(words)){0} + UINT32_MAX;
    *low = (c[0] & low_half) | c[1] << 32;
    *high = (c[2] & low_half) | c[3] << 32;
}

/* Which of 64 elements draw 16 bits that reach `limit`: 4 from the low words of each of 8 counters, then 4 from the
 * high ones. `*beyond`, where it is asked for: those that exceed it. */
INLINE uint64_t FN(reach)(uint32_t first, uint32_t row, const fnn_random *at, uint32_t limit, uint64_t *beyond)
{
    enum { PART = FNN_VBYTES / 2 };   /* bits from one vector */
    const uint64_t part = (UINT64_C(1) << PART) - 1;
    uint64_t bits = 0, more = 0;
#pragma GCC unroll 4
    for (int k = 0; k < 8; k += FN(COUNTERS)) {
        FN(words) low, high;
        FN(philox)(first + (uint32_t)k, row, at, &low, &high);
        const uint64_t both = v_reach16(low, high, limit);
        bits |= (both & part) << 4 * k | (both >> PART) << (4 * k + 32);
        if (beyond) {
            const uint64_t above = limit < 0xffff ? v_reach16(low, high, limit + 1) : 0;
            more |= (above & part) << 4 * k | (above >> PART) << (4 * k + 32);
        }
    }
    if (beyond) *beyond = more;
    return bits;
}

/* Bit i: whether the element in column c + i, c a multiple of 64, is kept: 32 random bits reach the threshold. The
 * lower 16 of them matter where the upper 16 equal the threshold's, once in 1000 calls, and are drawn only there. */
INLINE uint64_t FN(keep)(fnn_size c, uint32_t row, const fnn_random *at, uint32_t threshold)
{
    const uint32_t first = (uint32_t)(c / 8), limit = threshold >> 16, rest = threshold & 0xffff;
    uint64_t beyond, equal;
    if (!rest) return FN(reach)(first, row, at, limit, NULL);
    const uint64_t bits = FN(reach)(first, row, at, limit, &beyond);
    if (!(equal = bits & ~beyond)) return bits;
    return beyond | (equal & FN(reach)(first + 0x80000000u, row, at, rest, NULL));
}

static void FN(dropout)(const fnn_random *at, double rate, double scale_, double offset_, double other_,
                        uint64_t *kept, fnn_size ldkept)
{
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    const V scale = v_set1((T)scale_), offset = v_set1((T)offset_), other = v_set1((T)other_);
    for (fnn_size r = 0; r < at->rows; r++) {
        const T *x = (const T *)at->x + r * at->ldx;
        T *y = (T *)at->y + r * at->ldy;
        for (fnn_size c = 0; c < at->cols; c += 64) {
            const uint64_t bits = FN(keep)(c, (uint32_t)(at->row0 + r), at, threshold);
            const fnn_size n = at->cols - c;
            if (kept) kept[r * ldkept + c / 64] = bits;
#pragma GCC unroll 4
            for (fnn_size i = 0; i < 64; i += VL) {
                if (i >= n) break;
                v_storep(y + c + i, v_sel(v_mask(bits >> i), v_loadp(x + c + i, n - i) * scale + offset, other), n - i);
            }
        }
    }
}

static void FN(keep_scaled)(fnn_size rows, fnn_size cols, const void *x_, fnn_size ldx, const uint64_t *kept,
                            fnn_size ldkept, double scale_, void *y_, fnn_size ldy)
{
    const V scale = v_set1((T)scale_);
    for (fnn_size r = 0; r < rows; r++) {
        const T *x = (const T *)x_ + r * ldx;
        T *y = (T *)y_ + r * ldy;
        for (fnn_size c = 0; c < cols; c += VL) {
            const M kept_lanes = v_mask(kept[r * ldkept + c / 64] >> c % 64);
            v_storep(y + c, v_sel(kept_lanes, v_loadp(x + c, cols - c) * scale, (V){0}), cols - c);
        }
    }
}

/* Box and Muller (1958): two independent normal numbers from 32 random bits that make a radius and 32 that make an
 * angle. */
INLINE void FN(box_muller)(VU radius, VU turn, V *one, V *two)
{
    const V u = FN(from_int)((VI)(radius >> 1)) * (T)0x1p-31 + (T)0x1p-32;   /* in (0, 1] */
    const V r = v_sqrt((T)-2 * FN(vlog)(u));
    FN(sincos_turn)(turn, two, one);
    *one *= r;
    *two *= r;
}

/* 32 columns from c on: the cosines of 8 counters, two pairs of words each, then their sines */
INLINE void FN(normals)(fnn_size c, uint32_t row, const fnn_random *at, T *out)
{
    for (int k = 0; k < 8; k += FN(COUNTERS)) {
        FN(words) low, high;
        FN(philox)((uint32_t)(c / 4) + (uint32_t)k, row, at, &low, &high);
        T *first = out + 2 * k, *second = out + 16 + 2 * k;
        V one, two;
#if T_BITS == 32
        FN(box_muller)((VU)low, (VU)high, &one, &two);
        v_store(first, one);
        v_store(second, two);
#else
        V odd_one, odd_two;
        FN(box_muller)((VU)low & 0xffffffffu, (VU)high & 0xffffffffu, &one, &two);
        FN(box_muller)((VU)low >> 32, (VU)high >> 32, &odd_one, &odd_two);
        for (int i = 0; i < VL; i++) {
            first[2 * i] = one[i], first[2 * i + 1] = odd_one[i];
            second[2 * i] = two[i], second[2 * i + 1] = odd_two[i];
        }
#endif
    }
}

static void FN(gaussian)(const fnn_random *at, int multiplies, double stddev)
{
    const V s = v_set1((T)stddev);
    T noise[32];
    for (fnn_size r = 0; r < at->rows; r++) {
        const T *x = (const T *)at->x + r * at->ldx;
        T *y = (T *)at->y + r * at->ldy;
        for (fnn_size c = 0; c < at->cols; c += 32) {
            FN(normals)(c, (uint32_t)(at->row0 + r), at, noise);
            for (fnn_size i = 0; i < 32 && i < at->cols - c; i += VL) {
                const V a = v_loadp(x + c + i, at->cols - c - i), n = v_load(noise + i) * s;
                v_storep(y + c + i, multiplies ? a * (n + 1) : a + n, at->cols - c - i);
            }
        }
    }
}
