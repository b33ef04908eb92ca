/* Bits that differ between rows of words: the product of matrices of few values. One dtype, so compiled once per
 * instruction set.
 *
 * A tile of MR rows by `panels` panels of FNN_PANEL outputs keeps its counts in registers while the words of the reduction
 * run past; a lane of a vector is an output. AVX-512 with VPOPCNTDQ counts a vector in one instruction; the others count
 * bytes, by tables of 16 entries or by adding neighbours, and add up those of at most 31 words before a byte overflows.
 */
#define W(name) FNN_CAT(name, words, FNN_ISA)
typedef uint64_t W(vec) __attribute__((vector_size(FNN_VBYTES)));
typedef uint64_t W(uvec) __attribute__((vector_size(FNN_VBYTES), aligned(8), may_alias));
typedef int32_t W(ints) __attribute__((vector_size(FNN_VBYTES / 2), aligned(4), may_alias));
#define ALWAYS static inline __attribute__((always_inline, unused))

/* Columns of a product, and rows of a tile */
enum { W(COLS) = 2 * FNN_PANEL, W(MR) = FNN_VBYTES == 64 ? 8 : FNN_VBYTES == 32 ? 4 : 2 };

/* Each byte of v becomes the number of its ones. */
#if defined(__AVX512BW__) && FNN_VBYTES == 64
#include <immintrin.h>
ALWAYS W(vec) W(count_bytes)(W(vec) v)
{
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i low = _mm512_set1_epi8(15), x = (__m512i)v;
    return (W(vec))_mm512_add_epi8(_mm512_shuffle_epi8(table, _mm512_and_si512(x, low)),
                                   _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi64(x, 4), low)));
}
ALWAYS W(vec) W(add_bytes)(W(vec) v) { return (W(vec))_mm512_sad_epu8((__m512i)v, _mm512_setzero_si512()); }
#elif defined(__AVX2__) && FNN_VBYTES == 32
#include <immintrin.h>
ALWAYS W(vec) W(count_bytes)(W(vec) v)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m256i low = _mm256_set1_epi8(15), x = (__m256i)v;
    return (W(vec))_mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                                   _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi64(x, 4), low)));
}
ALWAYS W(vec) W(add_bytes)(W(vec) v) { return (W(vec))_mm256_sad_epu8((__m256i)v, _mm256_setzero_si256()); }
#else
ALWAYS W(vec) W(count_bytes)(W(vec) v)
{
    v -= v >> 1 & 0x5555555555555555u;
    v = (v & 0x3333333333333333u) + (v >> 2 & 0x3333333333333333u);
    return (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}
ALWAYS W(vec) W(add_bytes)(W(vec) v)
{
    v = (v & 0x00ff00ff00ff00ffu) + (v >> 8 & 0x00ff00ff00ff00ffu);
    v += v >> 16;
    return (v + (v >> 32)) & 0xffffu;
}
#endif
#define TARGET
#define LONGEST 31
#define COUNT W(count_bytes)
#define TOTAL W(add_bytes)
#define PRODUCT W(product_bytes)
#include "words_tile.inc.c"

#if defined(__AVX512BW__) && FNN_VBYTES == 64
#define HAVE_VPOPCNTDQ
#define TARGET __attribute__((target("avx512vpopcntdq")))
#define LONGEST PTRDIFF_MAX
#define COUNT(v) (W(vec))_mm512_popcnt_epi64((__m512i)(v))
#define TOTAL(v) (v)
#define PRODUCT W(product_popcnt)
#include "words_tile.inc.c"
#endif

/* count[r * COLS + c]: the bits that differ between row r of x and output c of two panels, `step` words apart */
static void W(product)(fnn_size rows, fnn_size n, const uint64_t *x, fnn_size ldx, const uint64_t *w, fnn_size step,
                       int32_t *count)
{
#ifdef HAVE_VPOPCNTDQ
    if (__builtin_cpu_supports("avx512vpopcntdq")) {
        W(product_popcnt)(rows, n, x, ldx, w, step, count);
        return;
    }
#endif
    W(product_bytes)(rows, n, x, ldx, w, step, count);
}
#undef HAVE_VPOPCNTDQ
#undef ALWAYS
