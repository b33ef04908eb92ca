/* How the numbers of an array are distributed: counts in equal bins, extremes, sums. */

/* Places are found for a block of elements at a time, which the compiler does in vectors; counting is one element after
 * the other. Neighbours often fall into one bin, and to add to what was just stored takes five cycles: they count in
 * tables of their own. */
static void FN(histogram)(fnn_size n, const void *x_, double low, double high, fnn_size bins, int64_t *counts)
{
    enum { BLOCK = 256 };
    const double scale = (double)bins / (high - low), last = (double)(bins - 1);
    int32_t place[BLOCK];
    for (fnn_size i = 0; i < n; i += BLOCK) {
        const T *x = (const T *)x_ + i;
        const int size = (int)(n - i < BLOCK ? n - i : BLOCK);
        for (int j = 0; j < size; j++) {
            const double at = ((double)x[j] - low) * scale, held = at < last ? at : last;
            /* A NaN is not above 0, and nothing is converted that an integer does not hold. */
            const int32_t bin = (int32_t)(held > 0 ? held : 0);
            place[j] = ((double)x[j] >= low) & ((double)x[j] <= high) ? bin : (int32_t)bins;
        }
        int j = 0;
        for (; j + FNN_TABLES <= size; j += FNN_TABLES)
#pragma GCC unroll 4
            for (int table = 0; table < FNN_TABLES; table++) counts[table * (bins + 1) + place[j + table]]++;
        for (; j < size; j++) counts[place[j]]++;
    }
}

typedef struct {
    V least, most;
    FN(wide) sum, squares;
} FN(spread);

/* Returns how many of the lanes are not finite; they add nothing. */
INLINE int FN(spread_add)(FN(spread) *s, V a)
{
    const V infinity = v_set1((T)INFINITY);
    const M finite = v_lt(v_abs(a), infinity);
    const unsigned bits = v_bits(finite);
    V low = a, high = a;
    int others = 0;
    if (__builtin_expect(bits != (1u << VL) - 1, 0)) {
        low = v_sel(finite, a, infinity);
        high = v_sel(finite, a, -infinity);
        a = v_sel(finite, a, (V){0});
        others = VL - __builtin_popcount(bits);
    }
    s->least = v_min(s->least, low);
    s->most = v_max(s->most, high);
    for (int part = 0; part < FN(n_parts); part++) {
        const FN(dvec) wide = v_widen(a, part);
        s->sum.part[part] += wide;
        s->squares.part[part] += wide * wide;
    }
    return others;
}

/* Two vectors side by side, since an addition waits for the one before it. Lanes past the end are NaN. */
static void FN(extent)(fnn_size n, const void *x_, double *out)
{
    const T *x = x_;
    const V infinity = v_set1((T)INFINITY);
    FN(spread) a = {infinity, -infinity, {{{0}}}, {{{0}}}}, b = a;
    fnn_size c = 0, others = 0;
    for (; c + 2 * VL <= n; c += 2 * VL)
        others += FN(spread_add)(&a, v_load(x + c)) + FN(spread_add)(&b, v_load(x + c + VL));
    for (; c < n; c += VL) others += FN(spread_add)(&a, FN(load_filled)(x + c, n - c, (T)NAN));
    for (int part = 0; part < FN(n_parts); part++) {
        a.sum.part[part] += b.sum.part[part];
        a.squares.part[part] += b.squares.part[part];
    }
    out[0] = -v_hmax(-v_min(a.least, b.least));
    out[1] = v_hmax(v_max(a.most, b.most));
    out[2] = FN(sum_of_lanes)(a.sum);
    out[3] = FN(sum_of_lanes)(a.squares);
    out[4] = (double)(others - (c - n));
}
