/* Patterns of sparse kernels: drawn at random, thinned by magnitude, grown again. All of it works on integers or on the
 * bits of numbers, in time proportional to the entries, and is compiled once. Entries are in the order of rows, then of
 * columns; the position of one is row * cols + column. */
#include <math.h>
#include <string.h>

#include "fastnn.h"

/* ---- random positions ------------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t seed, counter, word[2];
    uint32_t stream, attempt;
    int left;
} random_words;

/* Words of 64 bits of Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): counters
 * (k, attempt, stream) under the key `seed`, two words of each. */
static uint64_t next_word(random_words *at)
{
    if (at->left) return at->word[2 - at->left--];
    uint32_t c0 = (uint32_t)at->counter, c1 = (uint32_t)(at->counter >> 32), c2 = at->attempt, c3 = at->stream;
    uint32_t k0 = (uint32_t)at->seed, k1 = (uint32_t)(at->seed >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        const uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
    }
    at->counter++;
    at->word[1] = c2 | (uint64_t)c3 << 32;
    at->left = 1;
    return c0 | (uint64_t)c1 << 32;
}

/* Each of n positions with probability p, independently: the distances between them are geometric numbers. Their
 * count, or -1 where there is no room for them. */
static fnn_size scattered(random_words *at, double p, int64_t n, fnn_size room, int64_t *positions)
{
    const double scale = 1 / log1p(-p);
    fnn_size found = 0;
    for (int64_t next = 0;; next++) {
        const double skipped = floor(log((double)((next_word(at) >> 11) + 1) * 0x1p-53) * scale);
        if (skipped >= (double)(n - next)) return found;
        if (found == room) return -1;
        positions[found++] = next += (int64_t)skipped;
    }
}

static fnn_size all_of(int64_t n, int64_t *positions)
{
    for (int64_t i = 0; i < n; i++) positions[i] = i;
    return (fnn_size)n;
}

/* Some more than `count`, hardly ever less, and then again; of which as many as are too many go, any of them. So every
 * choice of `count` positions is equally likely. */
void fnn_random_positions(uint64_t seed, uint32_t stream, int64_t n, fnn_size count, fnn_size room, int64_t *positions,
                          uint64_t *gone)
{
    const double p = ((double)count + 6 * sqrt((double)count) + 8) / (double)n;
    random_words at = {.seed = seed, .stream = stream};
    fnn_size found = p < 1 ? scattered(&at, p, n, room, positions) : all_of(n, positions);
    while (found < count) {
        at = (random_words){.seed = seed, .stream = stream, .attempt = at.attempt + 1};
        found = scattered(&at, p, n, room, positions);
    }
    memset(gone, 0, (size_t)(found + 63) / 64 * sizeof *gone);
    for (fnn_size rest = found - count; rest;) {
        const uint64_t i = (uint64_t)((unsigned __int128)next_word(&at) * (uint64_t)found >> 64);
        rest -= !(gone[i / 64] >> i % 64 & 1);
        gone[i / 64] |= UINT64_C(1) << i % 64;
    }
    for (fnn_size i = 0, kept = 0; i < found; i++) {
        positions[kept] = positions[i];
        kept += !(gone[i / 64] >> i % 64 & 1);
    }
}

/* ---- patterns --------------------------------------------------------------------------------------------------- */

void fnn_compress_rows(fnn_size rows, fnn_size cols, fnn_size n, const int64_t *positions, int64_t *indptr,
                       int32_t *indices)
{
    int64_t row = 0, start = 0;
    indptr[0] = 0;
    for (fnn_size e = 0; e < n; e++) {
        for (; positions[e] - start >= cols; start += cols) indptr[++row] = e;
        indices[e] = (int32_t)(positions[e] - start);
    }
    while (row < rows) indptr[++row] = n;
}

void fnn_free_positions(fnn_size rows, fnn_size cols, const int64_t *indptr, const int32_t *indices, fnn_size n,
                        int64_t *ranks)
{
    const int64_t nnz = indptr[rows];
    int64_t before = 0, row = 0;
    for (fnn_size i = 0; i < n; i++) {
        for (; before < nnz; before++) {
            while (indptr[row + 1] <= before) row++;
            if (row * cols + indices[before] > ranks[i] + before) break;
        }
        ranks[i] += before;
    }
}

void fnn_merge_pattern(fnn_size rows, fnn_size cols, const int64_t *indptr, const int32_t *indices,
                       const uint8_t *kept, fnn_size n, const int64_t *positions, int64_t *new_indptr,
                       int32_t *new_indices, int64_t *origin)
{
    int64_t out = 0;
    fnn_size i = 0;
    for (fnn_size row = 0; row < rows; row++) {
        const int64_t start = row * cols, last = indptr[row + 1];
        new_indptr[row] = out;
        for (int64_t e = indptr[row]; e <= last; e++) {
            const int64_t limit = start + (e < last ? indices[e] : cols);
            for (; i < n && positions[i] < limit; i++, out++) {
                new_indices[out] = (int32_t)(positions[i] - start);
                origin[out] = -1;
            }
            if (e == last || !kept[e]) continue;
            new_indices[out] = indices[e];
            origin[out++] = e;
        }
    }
    new_indptr[rows] = out;
}

/* ---- the smallest numbers --------------------------------------------------------------------------------------- */

/* Bits of numbers without their sign compare as magnitudes do. Where those of one sign are wanted, the bit that tells the
 * others makes their keys the largest. The key of the count-th smallest is found 16 bits at a time, by counting how many
 * have which; a branch on signs or on what is kept would be a guess. */
#define MARK_SMALLEST(U, BITS)                                                                                    \
    const U *bits = values, top = (U)1 << (BITS - 1), flip = sign < 0 ? top : 0, used = sign ? (U)-1 : top - 1;   \
    U last = 0;                                                                                                   \
    memset(counts, 0, 65536 * sizeof *counts);                                                                    \
    for (fnn_size i = 0; i < n; i++) counts[((bits[i] ^ flip) & used) >> (BITS - 16)] += kept[i];                 \
    for (int shift = BITS - 16;; shift -= 16) {                                                                   \
        uint32_t digit = 0;                                                                                       \
        for (; counts[digit] < rest; digit++) rest -= counts[digit];                                              \
        last |= (U)digit << shift;                                                                                \
        if (!shift) break;                                                                                        \
        memset(counts, 0, 65536 * sizeof *counts);                                                                \
        for (fnn_size i = 0; i < n; i++) {                                                                        \
            const U key = (bits[i] ^ flip) & used;                                                                \
            if (__builtin_expect((key ^ last) >> shift == 0, 0)) counts[key >> (shift - 16) & 0xffff] += kept[i]; \
        }                                                                                                         \
    }                                                                                                             \
    for (fnn_size i = 0; i < n; i++) {                                                                            \
        const U key = (bits[i] ^ flip) & used;                                                                    \
        if (__builtin_expect(key == last, 0)) {                                                                   \
            rest -= kept[i];                                                                                      \
            kept[i] &= rest < 0;                                                                                  \
        }                                                                                                         \
        kept[i] &= key >= last;                                                                                   \
    }

void fnn_drop_smallest(int itemsize, fnn_size n, const void *values, int sign, fnn_size count, fnn_size *counts,
                       uint8_t *kept)
{
    fnn_size rest = count;      /* of those with the bits that are known */
    if (!count) return;
    if (itemsize == 4) {
        MARK_SMALLEST(uint32_t, 32)
    } else {
        MARK_SMALLEST(uint64_t, 64)
    }
}
