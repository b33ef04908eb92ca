/* One vector of T: the only place where instruction sets differ.
 *
 * Included once per dtype with T, T_BITS (32 or 64), FN(name) and, from the instruction set's own source,
 * FNN_VBYTES (bytes of a vector). Code is GCC vector extensions; intrinsics stand where the extension falls
 * short: fused multiply-add, square root, selection by a mask, and loads and stores of part of a vector.
 * Everything is compiled with -ffp-contract=off: a multiply-add is fused where v_fma says so and nowhere else,
 * which keeps one element's bits the same in a vector's body and in its tail.
 */
#define VL ((int)(FNN_VBYTES / sizeof(T)))

#if T_BITS == 32
typedef int32_t FN(int);
typedef uint32_t FN(uint);
#define MANTISSA_BITS 23
#define EXPONENT_BIAS 127
#else
typedef int64_t FN(int);
typedef uint64_t FN(uint);
#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#endif
typedef T FN(vec) __attribute__((vector_size(FNN_VBYTES)));
typedef T FN(uvec) __attribute__((vector_size(FNN_VBYTES), aligned(sizeof(T)), may_alias));
typedef FN(int) FN(ivec) __attribute__((vector_size(FNN_VBYTES)));
typedef FN(uint) FN(uivec) __attribute__((vector_size(FNN_VBYTES)));
#define V FN(vec)
#define VI FN(ivec)
#define VU FN(uivec)
#define TI FN(int)
#define INLINE static inline __attribute__((always_inline, unused))

#if defined(__AVX512F__) && FNN_VBYTES == 64
#include <immintrin.h>
#if T_BITS == 32
#define X(name) _mm512_##name##_ps
typedef __mmask16 FN(mask);
#else
#define X(name) _mm512_##name##_pd
typedef __mmask8 FN(mask);
#endif
#define M FN(mask)
#if T_BITS == 32
INLINE M FN(v_lt)(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE M FN(v_le)(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
INLINE M FN(v_nan)(V a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
INLINE M FN(v_eq)(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
#else
INLINE M FN(v_lt)(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
INLINE M FN(v_le)(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
INLINE M FN(v_nan)(V a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
INLINE M FN(v_eq)(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
#endif
INLINE V FN(v_sel)(M m, V a, V b) { return X(mask_blend)(m, b, a); }
INLINE V FN(v_fma)(V a, V b, V c) { return X(fmadd)(a, b, c); }
INLINE V FN(v_fnma)(V a, V b, V c) { return X(fnmadd)(a, b, c); }
INLINE V FN(v_sqrt)(V a) { return X(sqrt)(a); }
INLINE V FN(v_max)(V a, V b) { return X(max)(a, b); }
INLINE V FN(v_min)(V a, V b) { return X(min)(a, b); }
#define HAVE_SCALE
INLINE unsigned FN(v_bits)(M m) { return m; }
INLINE M FN(v_mask)(uint64_t bits) { return (M)bits; }
INLINE V FN(v_scale)(V a, V n, VU biased) { (void)biased; return X(scalef)(a, n); }
INLINE V FN(v_loadn)(const T *p, fnn_size n) { return X(maskz_loadu)((M)((1u << n) - 1), p); }
INLINE void FN(v_storen)(T *p, V a, fnn_size n) { X(mask_storeu)(p, (M)((1u << n) - 1), a); }
#undef X

#else
typedef VI FN(mask);
#define M FN(mask)

#if defined(__AVX2__) && defined(__FMA__) && FNN_VBYTES == 32
#include <immintrin.h>
#if T_BITS == 32
#define X(name) _mm256_##name##_ps
INLINE __m256i FN(v_first)(fnn_size n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#else
#define X(name) _mm256_##name##_pd
INLINE __m256i FN(v_first)(fnn_size n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif
INLINE V FN(v_fma)(V a, V b, V c) { return X(fmadd)(a, b, c); }
INLINE V FN(v_fnma)(V a, V b, V c) { return X(fnmadd)(a, b, c); }
INLINE V FN(v_sqrt)(V a) { return X(sqrt)(a); }
INLINE V FN(v_max)(V a, V b) { return X(max)(a, b); }
INLINE V FN(v_min)(V a, V b) { return X(min)(a, b); }
INLINE V FN(v_loadn)(const T *p, fnn_size n) { return X(maskload)(p, FN(v_first)(n)); }
INLINE void FN(v_storen)(T *p, V a, fnn_size n) { X(maskstore)(p, FN(v_first)(n), a); }

INLINE M FN(v_lt)(V a, V b) { return (M)X(cmp)(a, b, _CMP_LT_OQ); }
INLINE M FN(v_le)(V a, V b) { return (M)X(cmp)(a, b, _CMP_LE_OQ); }
INLINE M FN(v_nan)(V a) { return (M)X(cmp)(a, a, _CMP_UNORD_Q); }
INLINE M FN(v_eq)(V a, V b) { return (M)X(cmp)(a, b, _CMP_EQ_OQ); }
INLINE V FN(v_sel)(M m, V a, V b) { return X(blendv)(b, a, (V)m); }
INLINE unsigned FN(v_bits)(M m) { return (unsigned)X(movemask)((V)m); }
#undef X

#else /* the portable level */
INLINE V FN(v_sel)(M m, V a, V b) { return (V)((m & (VI)a) | (~m & (VI)b)); }
#if defined(__FMA__) || defined(__aarch64__)
INLINE V FN(v_fma)(V a, V b, V c)
{
    for (int i = 0; i < VL; i++) c[i] = sizeof(T) == 4 ? (T)__builtin_fmaf(a[i], b[i], c[i]) : (T)__builtin_fma(a[i], b[i], c[i]);
    return c;
}
INLINE V FN(v_fnma)(V a, V b, V c) { return FN(v_fma)(-a, b, c); }
#else
INLINE V FN(v_fma)(V a, V b, V c) { return a * b + c; }
INLINE V FN(v_fnma)(V a, V b, V c) { return c - a * b; }
#endif
#if defined(__SSE2__) && FNN_VBYTES == 16
#include <emmintrin.h>
#if T_BITS == 32
#define X(name) _mm_##name##_ps
#else
#define X(name) _mm_##name##_pd
#endif
INLINE V FN(v_sqrt)(V a) { return X(sqrt)(a); }
/* not a < b: gcc 12 fails in gimple-isel on some selections by a comparison of two doubles */
INLINE M FN(v_lt)(V a, V b) { return (M)X(cmplt)(a, b); }
INLINE M FN(v_le)(V a, V b) { return (M)X(cmple)(a, b); }
INLINE M FN(v_nan)(V a) { return (M)X(cmpunord)(a, a); }
INLINE M FN(v_eq)(V a, V b) { return (M)X(cmpeq)(a, b); }
INLINE unsigned FN(v_bits)(M m) { return (unsigned)X(movemask)((V)m); }
#undef X
#else
INLINE M FN(v_lt)(V a, V b) { return a < b; }
INLINE M FN(v_le)(V a, V b) { return a <= b; }
INLINE M FN(v_nan)(V a) { return a != a; }
INLINE M FN(v_eq)(V a, V b) { return a == b; }
INLINE unsigned FN(v_bits)(M m)
{
    unsigned bits = 0;
    for (int i = 0; i < VL; i++) bits |= (unsigned)(m[i] & 1) << i;
    return bits;
}
INLINE V FN(v_sqrt)(V a)
{
    for (int i = 0; i < VL; i++) a[i] = sizeof(T) == 4 ? (T)__builtin_sqrtf(a[i]) : (T)__builtin_sqrt(a[i]);
    return a;
}
#endif
INLINE V FN(v_max)(V a, V b) { return FN(v_sel)(FN(v_lt)(b, a), a, b); }
INLINE V FN(v_min)(V a, V b) { return FN(v_sel)(FN(v_lt)(a, b), a, b); }
INLINE V FN(v_loadn)(const T *p, fnn_size n)
{
    V a = {0};
    for (fnn_size i = 0; i < n; i++) a[i] = p[i];
    return a;
}
INLINE void FN(v_storen)(T *p, V a, fnn_size n)
{
    for (fnn_size i = 0; i < n; i++) p[i] = a[i];
}
#endif
INLINE M FN(v_mask)(uint64_t bits)
{
    VU lane = {0};
    for (int i = 0; i < VL; i++) lane[i] = (FN(uint))1 << i;
    return (M)((lane & (FN(uint))bits) == lane);
}
#endif

/* v_max(a, b) is b, and v_min(a, b) is b, where either is NaN: v_max(zero, x) keeps a NaN in x. */
#define v_lt FN(v_lt)
#define v_le FN(v_le)
#define v_nan FN(v_nan)
#define v_eq FN(v_eq)
#define v_bits FN(v_bits)   /* lane i of a mask as bit i */
#define v_mask FN(v_mask)   /* the inverse, of the low VL bits */
#define v_sel FN(v_sel)     /* v_sel(mask, where true, where false) */
#define v_fma FN(v_fma)     /* a * b + c, rounded once where the instruction set can */
#define v_fnma FN(v_fnma)   /* c - a * b */
#define v_sqrt FN(v_sqrt)
#define v_max FN(v_max)
#define v_min FN(v_min)
#define v_loadn FN(v_loadn) /* the first n < VL lanes, zeros after them; nothing past them is read */
#define v_storen FN(v_storen)

INLINE V FN(v_load)(const T *p) { return *(const FN(uvec) *)p; }
INLINE void FN(v_store)(T *p, V a) { *(FN(uvec) *)p = a; }
INLINE V FN(v_set1)(T a) { return a - (V){0}; }
INLINE V FN(v_abs)(V a) { return (V)((VI)a & (VI)~(VU)((VU){0} + ((FN(uint))1 << (T_BITS - 1)))); }
/* magnitude of a, sign of b */
INLINE V FN(v_copysign)(V a, V b)
{
    const VI sign = (VI)((VU){0} + ((FN(uint))1 << (T_BITS - 1)));
    return (V)(((VI)a & ~sign) | ((VI)b & sign));
}
/* Any n of a row: whole vectors go through v_load, the rest through v_loadn. */
INLINE V FN(v_loadp)(const T *p, fnn_size n) { return n >= VL ? FN(v_load)(p) : v_loadn(p, n); }
INLINE void FN(v_storep)(T *p, V a, fnn_size n)
{
    if (n >= VL) FN(v_store)(p, a);
    else v_storen(p, a, n);
}
#define v_load FN(v_load)
#define v_store FN(v_store)
#define v_set1 FN(v_set1)
#define v_abs FN(v_abs)
#define v_copysign FN(v_copysign)
#define v_loadp FN(v_loadp)
#define v_storep FN(v_storep)

/* a * 2^n, rounded once; the low bits of `biased` hold n + EXPONENT_BIAS. */
#ifndef HAVE_SCALE
INLINE V FN(v_scale)(V a, V n, VU biased)
{
    (void)n;
    /* in two halves, so that neither overflows */
    const VU twice = biased + EXPONENT_BIAS, half = twice >> 1;
    return a * (V)(half << MANTISSA_BITS) * (V)((twice - half) << MANTISSA_BITS);
}
#endif
#define v_scale FN(v_scale)

/* All lanes combined, in a fixed order that differs between instruction sets. AVX-512's own tree of shuffles takes
 * 23 ns for a softmax row of 10 classes, where 16 dependent scalar steps took 42. */
#if defined(__AVX512F__) && FNN_VBYTES == 64
#if T_BITS == 32
INLINE T FN(v_hsum)(V a) { return _mm512_reduce_add_ps(a); }
INLINE T FN(v_hmax)(V a) { return _mm512_reduce_max_ps(a); }
#else
INLINE T FN(v_hsum)(V a) { return _mm512_reduce_add_pd(a); }
INLINE T FN(v_hmax)(V a) { return _mm512_reduce_max_pd(a); }
#endif
#else
INLINE T FN(v_hsum)(V a)
{
    T s = a[0];
    for (int i = 1; i < VL; i++) s += a[i];
    return s;
}
INLINE T FN(v_hmax)(V a)
{
    T s = a[0];
    for (int i = 1; i < VL; i++) s = a[i] > s ? a[i] : s;
    return s;
}
#endif
#define v_hsum FN(v_hsum)
#define v_hmax FN(v_hmax)

/* Products of the low halves of 64-bit lanes */
typedef uint64_t FN(words) __attribute__((vector_size(FNN_VBYTES)));
INLINE FN(words) FN(v_mul32)(FN(words) a, uint32_t b)
{
    const FN(words) factor = (FN(words)){0} + b;
#if defined(__AVX512F__) && FNN_VBYTES == 64
    return (FN(words))_mm512_mul_epu32((__m512i)a, (__m512i)factor);
#elif defined(__AVX2__) && FNN_VBYTES == 32
    return (FN(words))_mm256_mul_epu32((__m256i)a, (__m256i)factor);
#elif defined(__SSE2__) && FNN_VBYTES == 16
    return (FN(words))_mm_mul_epu32((__m128i)a, (__m128i)factor);
#else
    return (a & UINT32_MAX) * factor;
#endif
}
#define v_mul32 FN(v_mul32)

/* Whether 16-bit parts reach a limit: the bits of a's VBYTES / 2 parts, lowest first, then those of b's */
INLINE uint64_t FN(v_reach16)(FN(words) a, FN(words) b, uint32_t limit)
{
#if defined(__AVX512F__) && FNN_VBYTES == 64
    const __m512i x = _mm512_set1_epi16((short)limit);
    return _mm512_cmpge_epu16_mask((__m512i)a, x) | (uint64_t)_mm512_cmpge_epu16_mask((__m512i)b, x) << 32;
#elif defined(__AVX2__) && FNN_VBYTES == 32
    const __m256i x = _mm256_set1_epi16((short)limit);
    const __m256i in_a = _mm256_cmpeq_epi16(_mm256_max_epu16((__m256i)a, x), (__m256i)a);
    const __m256i in_b = _mm256_cmpeq_epi16(_mm256_max_epu16((__m256i)b, x), (__m256i)b);
    return (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(in_a, in_b), 0xD8));
#elif defined(__SSE2__) && FNN_VBYTES == 16
    const __m128i x = _mm_set1_epi16((short)limit), zero = _mm_setzero_si128();
    const __m128i in_a = _mm_cmpeq_epi16(_mm_subs_epu16(x, (__m128i)a), zero);
    const __m128i in_b = _mm_cmpeq_epi16(_mm_subs_epu16(x, (__m128i)b), zero);
    return (uint64_t)_mm_movemask_epi8(_mm_packs_epi16(in_a, in_b));
#else
    uint64_t bits = 0;
    for (int i = 0; i < FNN_VBYTES / 2; i++) {
        bits |= (uint64_t)((a[i / 4] >> 16 * (i % 4) & 0xffff) >= limit) << i;
        bits |= (uint64_t)((b[i / 4] >> 16 * (i % 4) & 0xffff) >= limit) << (i + FNN_VBYTES / 2);
    }
    return bits;
#endif
}
#define v_reach16 FN(v_reach16)

/* VL lanes of T as doubles: one vector for double, two for float. */
typedef double FN(dvec) __attribute__((vector_size(FNN_VBYTES)));
enum { FN(n_parts) = sizeof(double) / sizeof(T) };
typedef struct { FN(dvec) part[FN(n_parts)]; } FN(wide);

#if T_BITS == 64
INLINE FN(dvec) FN(v_widen)(V a, int part) { (void)part; return a; }
INLINE V FN(v_narrow)(FN(wide) a) { return a.part[0]; }
#elif defined(__AVX512F__) && FNN_VBYTES == 64
INLINE FN(dvec) FN(v_widen)(V a, int part)
{
    return _mm512_cvtps_pd(part ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a));
}
INLINE V FN(v_narrow)(FN(wide) a)
{
    const __m512 low = _mm512_castps256_ps512(_mm512_cvtpd_ps(a.part[0]));
    return _mm512_insertf32x8(low, _mm512_cvtpd_ps(a.part[1]), 1);
}
#elif defined(__AVX2__) && FNN_VBYTES == 32
INLINE FN(dvec) FN(v_widen)(V a, int part)
{
    return _mm256_cvtps_pd(part ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a));
}
INLINE V FN(v_narrow)(FN(wide) a) { return _mm256_set_m128(_mm256_cvtpd_ps(a.part[1]), _mm256_cvtpd_ps(a.part[0])); }
#elif defined(__SSE2__) && FNN_VBYTES == 16
INLINE FN(dvec) FN(v_widen)(V a, int part) { return _mm_cvtps_pd(part ? _mm_movehl_ps(a, a) : (__m128)a); }
INLINE V FN(v_narrow)(FN(wide) a) { return _mm_movelh_ps(_mm_cvtpd_ps(a.part[0]), _mm_cvtpd_ps(a.part[1])); }
#else
INLINE FN(dvec) FN(v_widen)(V a, int part)
{
    FN(dvec) out;
    for (int i = 0; i < VL / 2; i++) out[i] = a[part * (VL / 2) + i];
    return out;
}
INLINE V FN(v_narrow)(FN(wide) a)
{
    V out;
    for (int i = 0; i < VL; i++) out[i] = (T)a.part[i / (VL / 2)][i % (VL / 2)];
    return out;
}
#endif
#define v_widen FN(v_widen)     /* the part-th VL / n_parts lanes */
#define v_narrow FN(v_narrow)

/* A VL x VL block turned in registers, in log2(VL) rounds: v_turn interleaves row i with row i + VL / 2, v_turn_back
 * takes the even and the odd lanes of rows 2i and 2i + 1 apart. The first is the one to use where few rows of the
 * result matter, the second where few rows of the block are not zero: the compiler then drops half of the work. */
#if FNN_VBYTES * 8 / T_BITS == 16
#define LANES(step) {0 * step, 1 * step, 2 * step, 3 * step, 4 * step, 5 * step, 6 * step, 7 * step, \
                     8 * step, 9 * step, 10 * step, 11 * step, 12 * step, 13 * step, 14 * step, 15 * step}
#elif FNN_VBYTES * 8 / T_BITS == 8
#define LANES(step) {0 * step, 1 * step, 2 * step, 3 * step, 4 * step, 5 * step, 6 * step, 7 * step}
#elif FNN_VBYTES * 8 / T_BITS == 4
#define LANES(step) {0 * step, 1 * step, 2 * step, 3 * step}
#else
#define LANES(step) {0 * step, 1 * step}
#endif
INLINE void FN(v_turn)(V *rows)
{
    const VI lane = LANES(1), low = (lane >> 1) + (lane & 1) * VL, high = low + VL / 2;
    V next[VL];
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            next[2 * i] = __builtin_shuffle(rows[i], rows[i + VL / 2], low);
            next[2 * i + 1] = __builtin_shuffle(rows[i], rows[i + VL / 2], high);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) rows[i] = next[i];
    }
}
INLINE void FN(v_turn_back)(V *rows)
{
    const VI even = LANES(2), odd = even + 1;
    V next[VL];
#pragma GCC unroll 4
    for (int round = 1; round < VL; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            next[i] = __builtin_shuffle(rows[2 * i], rows[2 * i + 1], even);
            next[i + VL / 2] = __builtin_shuffle(rows[2 * i], rows[2 * i + 1], odd);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) rows[i] = next[i];
    }
}
/* Lane i: the sum of all lanes of rows[i], in one order for all of them. */
INLINE V FN(v_sums)(V *rows)
{
    const VI lane = LANES(1), low = (lane >> 1) + (lane & 1) * VL, high = low + VL / 2;
#pragma GCC unroll 4
    for (int n = VL / 2; n > 0; n /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < n; i++)
            rows[i] = __builtin_shuffle(rows[i], rows[i + n], low) + __builtin_shuffle(rows[i], rows[i + n], high);
    return rows[0];
}
#define v_sums FN(v_sums)
#undef LANES

static const T FN(lane)[16] __attribute__((unused)) = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
/* The first n elements of a row, the lanes after them filled. */
INLINE V FN(load_filled)(const T *p, fnn_size n, T fill)
{
    if (n >= VL) return v_load(p);
    return v_sel(v_lt(v_load(FN(lane)), v_set1((T)n)), v_loadn(p, n), v_set1(fill));
}
