/* Random zeros and noise. What an element draws depends on (seed, stream, step), its row and its column: on nothing
 * that a split into calls, threads or vectors changes. */

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) on counters that differ in
 * their first word, one in each 64-bit lane of `ways` vectors; its words 0 and 1 side by side, then 2 and 3. Ten rounds
 * are one chain of some 70 cycles, and two chains in turns take little longer: dropout with AVX-512 takes 0.17 ns an
 * element, with one chain 0.26 (with four 0.15). */
enum { FN(COUNTERS) = FNN_VBYTES / 8, FN(WAYS) = 2 };

INLINE void FN(philox)(const int ways, uint32_t first, uint32_t row, const fnn_random *at, FN(words) *low,
                       FN(words) *high)
{
    static const uint64_t count[] = {0, 1, 2, 3, 4, 5, 6, 7};
    const FN(words) zero = {0}, low_half = zero + UINT32_MAX;
    uint32_t k0 = (uint32_t)at->seed, k1 = (uint32_t)(at->seed >> 32);
    FN(words) c[4][FN(WAYS)], lane;
    memcpy(&lane, count, sizeof lane);
    for (int w = 0; w < ways; w++) {
        c[0][w] = lane + (first + (uint32_t)(w * FN(COUNTERS)));
        c[1][w] = zero + row;
        c[2][w] = zero + (uint32_t)at->step;
        c[3][w] = zero + ((uint32_t)(at->step >> 32) ^ at->stream);
    }
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
#pragma GCC unroll 4
        for (int w = 0; w < ways; w++) {
            const FN(words) p0 = v_mul32(c[0][w], 0xD2511F53u), p1 = v_mul32(c[2][w], 0xCD9E8D57u);
            c[0][w] = (p1 >> 32) ^ c[1][w] ^ k0;
            c[2][w] = (p0 >> 32) ^ c[3][w] ^ k1;
            c[1][w] = p1;
            c[3][w] = p0;
        }
#pragma GCC unroll 4
    for (int w = 0; w < ways; w++) {
        low[w] = (c[0][w] & low_half) | c[1][w] << 32;
        high[w] = (c[2][w] & low_half) | c[3][w] << 32;
    }
}

/* Which elements of chunks of 64 draw 16 bits that reach `limit`, and which exceed it: 4 from the low words of each of
 * 8 counters, then 4 from the high ones. */
enum { FN(CHUNKS) = FN(COUNTERS) < 8 ? 1 : FN(WAYS) };

INLINE void FN(reach)(const int chunks, uint32_t first, uint32_t row, const fnn_random *at, uint32_t limit,
                      uint64_t *bits, uint64_t *beyond)
{
    enum { PART = FNN_VBYTES / 2, EACH = 8 / FN(COUNTERS) };   /* bits from one vector, vectors of a chunk */
    const uint64_t part = (UINT64_C(1) << PART) - 1;
    const int n = chunks * EACH, ways = n < FN(WAYS) ? n : FN(WAYS);
    for (int i = 0; i < chunks; i++) bits[i] = beyond[i] = 0;
#pragma GCC unroll 4
    for (int k = 0; k < n; k += ways) {
        FN(words) low[FN(WAYS)], high[FN(WAYS)];
        FN(philox)(ways, first + (uint32_t)(k * FN(COUNTERS)), row, at, low, high);
#pragma GCC unroll 4
        for (int w = 0; w < ways; w++) {
            const int chunk = (k + w) / EACH, shift = (k + w) % EACH * PART;
            const uint64_t both = v_reach16(low[w], high[w], limit);
            const uint64_t more = limit < 0xffff ? v_reach16(low[w], high[w], limit + 1) : 0;
            bits[chunk] |= (both & part) << shift | (both >> PART) << (shift + 32);
            beyond[chunk] |= (more & part) << shift | (more >> PART) << (shift + 32);
        }
    }
}

/* Bit i of a chunk: whether the element in column c + i, c a multiple of 64, is kept: 32 random bits reach the
 * threshold. The lower 16 of them matter where the upper 16 equal the threshold's, once in 1000 chunks, and are drawn
 * only there. */
INLINE void FN(keep)(const int chunks, fnn_size c, uint32_t row, const fnn_random *at, uint32_t threshold,
                     uint64_t *bits)
{
    const uint32_t first = (uint32_t)(c / 8), limit = threshold >> 16, rest = threshold & 0xffff;
    uint64_t beyond[FN(CHUNKS)], low, unused;
    FN(reach)(chunks, first, row, at, limit, bits, beyond);
    if (!rest) return;
    for (int i = 0; i < chunks; i++)
        if (__builtin_expect(bits[i] != beyond[i], 0)) {
            FN(reach)(1, first + 8 * (uint32_t)i + 0x80000000u, row, at, rest, &low, &unused);
            bits[i] &= beyond[i] | low;
        }
}

static void FN(dropout)(const fnn_random *at, double rate, double scale_, double offset_, double other_,
                        uint64_t *kept, fnn_size ldkept)
{
    const uint32_t threshold = (uint32_t)(rate * 4294967296.0);
    const V scale = v_set1((T)scale_), offset = v_set1((T)offset_), other = v_set1((T)other_);
    uint64_t bits[FN(CHUNKS)];
    for (fnn_size r = 0; r < at->rows; r++) {
        const T *x = (const T *)at->x + r * at->ldx;
        T *y = (T *)at->y + r * at->ldy;
        for (fnn_size c = 0; c < at->cols; c += 64) {
            const int chunk = (int)(c / 64 % FN(CHUNKS));
            const fnn_size n = at->cols - c;
            if (n > 64 && chunk == 0) FN(keep)(FN(CHUNKS), c, (uint32_t)(at->row0 + r), at, threshold, bits);
            else if (chunk == 0) FN(keep)(1, c, (uint32_t)(at->row0 + r), at, threshold, bits);
            if (kept) kept[r * ldkept + c / 64] = bits[chunk];
#pragma GCC unroll 4
            for (fnn_size i = 0; i < 64; i += VL) {
                if (i >= n) break;
                const M lanes = v_mask(bits[chunk] >> i);
                v_storep(y + c + i, v_sel(lanes, v_loadp(x + c + i, n - i) * scale + offset, other), n - i);
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

/* u is uniform in [0, 1), in steps of 2^-24, which both dtypes hold. 32 columns take the words 0 and 1 of 8 counters,
 * then their words 2 and 3. */
typedef int32_t FN(draws) __attribute__((vector_size(VL * 4), aligned(4), may_alias));
static void FN(round_randomly)(int values, const fnn_random *at)
{
    const V one = v_set1(1), least = v_set1(values == FNN_SIGN ? -1 : 0);
    int32_t bits[64];
    for (fnn_size r = 0; r < at->rows; r++) {
        const T *x = (const T *)at->x + r * at->ldx;
        T *y = (T *)at->y + r * at->ldy;
        for (fnn_size c = 0; c < at->cols; c += 64) {
            const fnn_size n = at->cols - c < 64 ? at->cols - c : 64;
            for (int k = 0; k < 16; k += FN(WAYS) * FN(COUNTERS)) {
                FN(words) low[FN(WAYS)], high[FN(WAYS)];
                FN(philox)(FN(WAYS), (uint32_t)(c / 4) + (uint32_t)k, (uint32_t)(at->row0 + r), at, low, high);
                for (int w = 0; w < FN(WAYS); w++) {
                    const int counter = k + w * FN(COUNTERS);
                    int32_t *out = bits + counter / 8 * 32 + counter % 8 * 2;
                    memcpy(out, &low[w], sizeof low[w]);
                    memcpy(out + 16, &high[w], sizeof high[w]);
                }
            }
            for (fnn_size i = 0; i < n; i += VL) {
                const FN(draws) drawn = *(const FN(draws) *)(bits + i) >> 8 & 0xffffff;
                const V u = __builtin_convertvector(drawn, V) * (T)0x1p-24, a = v_loadp(x + c + i, n - i);
                const V p = values == FNN_TERNARY ? v_abs(a) : (a + 1) * (T)0.5;
                const V most = values == FNN_TERNARY ? v_copysign(one, a) : one;
                v_storep(y + c + i, v_sel(v_lt(u, p), most, least), n - i);
            }
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
        FN(philox)(1, (uint32_t)(c / 4) + (uint32_t)k, row, at, &low, &high);
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
