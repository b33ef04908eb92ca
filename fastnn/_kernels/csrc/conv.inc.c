/* Windows over samples of shape (height, width, channels): convolution and pooling.
 *
 * A convolution is a dense layer over patches: row p of the patch matrix is what the window sees at position p, as many
 * numbers as the kernel has rows. That matrix is made for a block of positions at a time, in scratch memory that stays in
 * the L2 cache, and goes through the products of gemm.inc.c:
 *
 *   forward       y  = patches(x) @ W
 *   input grad    patches(dx) = dz @ W.T, each number added to the element that it was copied from
 *   kernel grad   dW = patches(x).T @ dz, of some columns of the patches only
 *
 * Blocks are cut by the shapes of window and kernel, never by the rows of a call; where a sample has few positions, a
 * block is several samples whole, so that panels of W are read once for all of them. With fewer positions than two
 * tiles have rows, the patches of a block are one matrix, whose product is copied to its samples.
 */

/* Patches of a block: half of a small L2 cache, and so many positions at most. */
enum { FN(PATCHES) = 131072 / sizeof(T), FN(LEAST) = 4 * FNN_MR, FN(POSITIONS) = 16 * FNN_MR };
/* Kernel gradients: positions of a block, kernel rows of a call at most, and those of them whose patches stay in the L1
 * cache while the panels of dz pass. From how many positions on samples are taken alone: dz of several has to be
 * copied, since a product needs rows at equal distances, which costs as much as sums over less than that. */
enum { FN(GRAD_POSITIONS) = 1024 / sizeof(T), FN(GRAD_ROWS) = 256, FN(GRAD_BLOCK) = 32, FN(ALONE) = 32 };

/* Samples [sample, sample + samples), positions [p0, p1) of each. */
typedef struct {
    fnn_size sample, samples, p0, p1;
} FN(block);

INLINE fnn_size FN(within)(fnn_size a, fnn_size low, fnn_size high) { return a < low ? low : a < high ? a : high; }

INLINE fnn_size FN(n_positions)(const fnn_window *w) { return w->out_height * w->out_width; }
INLINE fnn_size FN(patch_size)(const fnn_window *w) { return w->size_y * w->size_x * w->channels; }

INLINE fnn_size FN(most_positions)(const fnn_window *w)
{
    const fnn_size fit = FN(PATCHES) / FN(patch_size)(w) / FNN_MR * FNN_MR;
    return FN(within)(fit, FN(LEAST), FN(POSITIONS));
}

INLINE fnn_size FN(n_blocks)(fnn_size rows, fnn_size positions, fnn_size most)
{
    return positions > most ? rows * ((positions + most - 1) / most)
                            : (rows + most / positions - 1) / (most / positions);
}

INLINE FN(block) FN(nth_block)(fnn_size n, fnn_size rows, fnn_size positions, fnn_size most)
{
    if (positions > most) {
        const fnn_size parts = (positions + most - 1) / most, part = n % parts;
        return (FN(block)){n / parts, 1, positions * part / parts, positions * (part + 1) / parts};
    }
    const fnn_size each = most / positions, first = n * each;
    return (FN(block)){first, rows - first < each ? rows - first : each, 0, positions};
}

/* Elements from one patch to the next where all patches of a sample lie in it as they are, else 0. */
INLINE fnn_size FN(in_place)(const fnn_window *w)
{
    const int one_row = w->out_height == 1 && w->size_y == 1, one_pixel = w->size_y == 1 && w->size_x == 1;
    const int inside = w->top == 0 && w->left == 0
        && (w->out_width - 1) * w->stride_x + w->size_x <= w->width
        && (w->out_height - 1) * w->stride_y + w->size_y <= w->height;
    if (inside && (one_row || (one_pixel && w->stride_x == 1 && w->stride_y == 1 && w->out_width == w->width)))
        return w->stride_x * w->channels;
    return 0;
}

/* One channel: patches are copied column by column, many positions in a run, where rows would be of a few numbers. */
INLINE int FN(turned)(const fnn_window *w) { return w->channels == 1 && w->stride_x == 1; }

INLINE void FN(copy)(T *to, const T *from, fnn_size n)
{
    if (n < VL) {
        v_storen(to, v_loadn(from, n), n);
        return;
    }
    for (fnn_size c = 0; c + VL < n; c += VL) v_store(to + c, v_load(from + c));
    v_store(to + n - VL, v_load(from + n - VL)); /* again what of it is there already */
}

/* to[i, :] = from[i * step + (0 .. n)] for i in [0, rows), of which the elements before `low` and from `high` on, counted
 * from `from`, are zeros. */
INLINE void FN(copy_runs)(fnn_size rows, fnn_size n, const T *from, fnn_size step, fnn_size low, fnn_size high, T *to,
                          fnn_size ld)
{
    for (fnn_size i = 0, at = 0; i < rows; i++, at += step, to += ld) {
        if (at >= low && at + n <= high) {
            FN(copy)(to, from + at, n);
            continue;
        }
        const fnn_size c0 = FN(within)(low - at, 0, n), c1 = FN(within)(high - at, c0, n);
        memset(to, 0, n * sizeof(T));
        if (c1 > c0) memcpy(to + c0, from + at + c0, (c1 - c0) * sizeof(T));
    }
}

/* Positions [p, p1) row by row of the output: n positions from (oy, ox) on. */
#define EACH_ROW(w, p, p1)                                                                                             \
    for (fnn_size oy = (p) / (w)->out_width, ox = (p) % (w)->out_width, n; p < (p1)                                    \
         && (n = (p1) - p < (w)->out_width - ox ? (p1) - p : (w)->out_width - ox); p += n, oy++, ox = 0)

/* Columns [k0, k1) of the patches at [p0, p1) of the sample x, to rows `ld` apart. */
static void FN(patches)(const fnn_window *w, const T *x, fnn_size p0, fnn_size p1, fnn_size k0, fnn_size k1, T *out,
                        fnn_size ld)
{
    const fnn_size run = w->size_x * w->channels, row = w->width * w->channels, step = w->stride_x * w->channels;
    for (fnn_size ky = k0 / run; ky * run < k1; ky++) {
        const fnn_size c0 = FN(within)(k0 - ky * run, 0, run), c1 = FN(within)(k1 - ky * run, 0, run);
        T *to = out + (ky * run + c0 - k0);
        fnn_size p = p0;
        EACH_ROW(w, p, p1) {
            const fnn_size iy = oy * w->stride_y + ky - w->top, at = ox * step - w->left * w->channels + c0;
            const fnn_size high = iy >= 0 && iy < w->height ? row - at : -at;
            const T *from = x + iy * row + at;
            if (c1 - c0 == 2 * VL) FN(copy_runs)(n, 2 * VL, from, step, -at, high, to + (p - p0) * ld, ld);
            else FN(copy_runs)(n, c1 - c0, from, step, -at, high, to + (p - p0) * ld, ld);
        }
    }
}

/* The same of a sample of one channel, turned: column k of the patches is row k - k0 of out. */
static void FN(patches_turned)(const fnn_window *w, const T *x, fnn_size p0, fnn_size p1, fnn_size k0, fnn_size k1,
                               T *out, fnn_size ld)
{
    for (fnn_size k = k0; k < k1; k++, out += ld) {
        const fnn_size ky = k / w->size_x - w->top, kx = k % w->size_x - w->left;
        fnn_size p = p0;
        EACH_ROW(w, p, p1) {
            const fnn_size iy = oy * w->stride_y + ky, ix = ox + kx;
            const int inside = iy >= 0 && iy < w->height;
            const fnn_size low = inside ? FN(within)(-ix, 0, n) : n, high = FN(within)(w->width - ix, low, n);
            T *to = out + (p - p0);
            if (high - low < n) memset(to, 0, n * sizeof(T));
            if (high > low) FN(copy)(to + low, x + iy * w->width + ix + low, high - low);
        }
    }
}

/* Adds patches, rows `ld` apart, to where they would have been copied from. Neighbours in the inner loop touch
 * different elements: a load that needs parts of two stores just before it waits for both. */
static void FN(add_patches)(const fnn_window *w, const T *patches, fnn_size ld, fnn_size p0, fnn_size p1, T *dx)
{
    const fnn_size channels = w->channels;
    fnn_size p = p0;
    EACH_ROW(w, p, p1)
        for (fnn_size k = 0; k < w->size_y * w->size_x; k++) {
            const fnn_size iy = oy * w->stride_y + k / w->size_x - w->top;
            fnn_size ix = ox * w->stride_x + k % w->size_x - w->left;
            if (iy < 0 || iy >= w->height) continue;
            const T *from = patches + (p - p0) * ld + k * channels;
            for (fnn_size i = 0; i < n; i++, from += ld, ix += w->stride_x) {
                if (ix < 0 || ix >= w->width) continue;
                T *to = dx + (iy * w->width + ix) * channels;
                for (fnn_size c = 0; c < channels; c += VL)
                    v_storep(to + c, v_loadp(to + c, channels - c) + v_loadp(from + c, channels - c), channels - c);
            }
        }
}
#undef EACH_ROW

static fnn_size FN(conv_scratch)(const fnn_window *w)
{
    const fnn_size forward = FN(most_positions)(w) * (FN(patch_size)(w) + 2 * NR);
    const fnn_size grad = FN(GRAD_POSITIONS) * (FN(GRAD_ROWS) + NR);
    return (forward > grad ? forward : grad) + NR;
}

static void FN(conv_forward)(fnn_size rows, const fnn_window *w, fnn_size filters, const void *x_, fnn_size ldx,
                             const void *kernel_, const void *bias_, int activation, double alpha, void *z_,
                             fnn_size ldz, void *y_, fnn_size ldy, void *scratch_)
{
    const T *x = x_, *kernel = kernel_, *bias = bias_;
    T *z = z_, *y = y_, *patches = scratch_;
    const fnn_size positions = FN(n_positions)(w), k = FN(patch_size)(w), most = FN(most_positions)(w);
    const int merged = positions < 2 * FNN_MR;
    const fnn_size direct = merged ? 0 : FN(in_place)(w), n_blocks = FN(n_blocks)(rows, positions, most);
    const int turned = !direct && FN(turned)(w);
    T *const outputs = patches + most * k; /* of merged samples, (most, 2 * NR) */
    for (fnn_size b = 0; b < n_blocks; b++) {
        const FN(block) block = FN(nth_block)(b, rows, positions, most);
        const T *a = direct ? x + block.sample * ldx + block.p0 * direct : patches;
        const fnn_size m = block.p1 - block.p0, lda = direct ? direct : turned ? most : k;
        const fnn_size next = direct ? ldx : turned ? m : m * k; /* sample */
        for (fnn_size s = 0; s < block.samples && !direct; s++)
            (turned ? FN(patches_turned) : FN(patches))(w, x + (block.sample + s) * ldx, block.p0, block.p1, 0, k,
                                                        patches + s * next, lda);
        for (fnn_size j = 0; j < filters; j += 2 * NR) {
            const fnn_size n = filters - j < 2 * NR ? filters - j : 2 * NR;
            if (merged)
                (turned ? FN(dense_forward_turned) : FN(dense_forward))(
                    block.samples * m, k, 0, n, a, lda, kernel + j, filters, bias ? bias + j : NULL,
                    z ? FNN_LINEAR : activation, alpha, NULL, 0, outputs, 2 * NR);
            for (fnn_size s = 0; s < block.samples; s++) {
                T *out_z = z ? z + (block.sample + s) * ldz + block.p0 * filters : NULL;
                T *out_y = y + (block.sample + s) * ldy + block.p0 * filters;
                if (!merged) {
                    (turned ? FN(dense_forward_turned) : FN(dense_forward))(
                        m, k, j, j + n, a + s * next, lda, kernel, filters, bias, activation, alpha, out_z, filters,
                        out_y, filters);
                    continue;
                }
                for (fnn_size p = 0; p < m; p++)
                    FN(copy)((z ? out_z : out_y) + p * filters + j, outputs + (s * m + p) * 2 * NR, n);
                if (z) FN(activation_forward)(activation, alpha, m, n, out_z + j, filters, out_y + j, filters);
            }
        }
    }
}

static void FN(conv_input_grad)(fnn_size rows, const fnn_window *w, fnn_size filters, const void *dz_, fnn_size lddz,
                                const void *wt, int activation, double alpha, const void *saved_, fnn_size ldsaved,
                                void *dx_, fnn_size lddx, void *scratch_)
{
    const T *dz = dz_, *saved = saved_;
    T *dx = dx_, *scratch = scratch_;
    const fnn_size positions = FN(n_positions)(w), k = FN(patch_size)(w), most = FN(most_positions)(w);
    const fnn_size size = w->height * w->width * w->channels, n_blocks = FN(n_blocks)(rows, positions, most);
    const int direct = FN(in_place)(w) == w->channels && k == w->channels && positions * k == size;
    for (fnn_size b = 0; b < n_blocks; b++) {
        const FN(block) block = FN(nth_block)(b, rows, positions, most);
        const fnn_size m = block.p1 - block.p0;
        const int merged = positions == 1 && !direct;
        for (fnn_size i = 0; i < k; i += 2 * NR)
            for (fnn_size s = 0; s < (merged ? 1 : block.samples); s++) {
                const fnn_size sample = block.sample + s;
                const T *from = dz + sample * lddz + block.p0 * filters;
                const fnn_size i1 = k - i < 2 * NR ? k : i + 2 * NR;
                if (direct)
                    FN(dense_input_grad)(m, filters, i, i1, from, filters, wt, activation, alpha,
                                         saved ? saved + sample * ldsaved + block.p0 * k : NULL, k,
                                         dx + sample * lddx + block.p0 * k, k);
                else
                    FN(dense_input_grad)(merged ? block.samples : m, filters, i, i1, from, merged ? lddz : filters, wt,
                                         FNN_LINEAR, 0, NULL, 0, scratch + s * m * k, k);
            }
        for (fnn_size s = 0; s < block.samples && !direct; s++) {
            T *to = dx + (block.sample + s) * lddx;
            if (block.p0 == 0) memset(to, 0, size * sizeof(T));
            FN(add_patches)(w, scratch + s * m * k, k, block.p0, block.p1, to);
            if (block.p1 == positions && activation != FNN_LINEAR)
                FN(activation_backward)(activation, alpha, 1, size, to, size, saved + (block.sample + s) * ldsaved, size,
                                        to, size);
        }
    }
}

/* sums (n,) = or += column sums of dz, at most NR of them */
INLINE void FN(add_columns)(int first, fnn_size rows, fnn_size n, const T *dz, fnn_size lddz, T *sums)
{
    T block[NR];
    FN(column_sum)(rows, n, dz, lddz, block);
    for (fnn_size j = 0; j < n; j++) sums[j] = first ? block[j] : sums[j] + block[j];
}

static void FN(conv_kernel_grad)(fnn_size rows, const fnn_window *w, fnn_size filters, fnn_size i0, fnn_size i1,
                                 fnn_size j0, fnn_size j1, const void *x_, fnn_size ldx, const void *dz_, fnn_size lddz,
                                 void *g_, fnn_size ldg, void *sums_, void *scratch_)
{
    const T *x = x_, *dz = dz_;
    T *g = g_, *sums = sums_, *patches = scratch_, *columns = patches + FN(GRAD_POSITIONS) * FN(GRAD_ROWS);
    const fnn_size positions = FN(n_positions)(w), direct = FN(in_place)(w), ld = FN(GRAD_POSITIONS);
    const fnn_size most = positions > FN(ALONE) && positions < ld ? positions : ld;
    const fnn_size n_blocks = FN(n_blocks)(rows, positions, most);
    const int turned = !direct && FN(turned)(w);
    for (fnn_size b = 0; b < n_blocks; b++) {
        const FN(block) block = FN(nth_block)(b, rows, positions, most);
        const fnn_size each = block.p1 - block.p0, k = each * block.samples;
        const int copied = !direct || block.samples > 1;
        const T *sample = x + block.sample * ldx;
        for (fnn_size i = i0; i < i1 && copied; i += FN(GRAD_BLOCK)) {
            const fnn_size m = i1 - i < FN(GRAD_BLOCK) ? i1 - i : FN(GRAD_BLOCK);
            for (fnn_size s = 0; s < block.samples; s++)
                (turned ? FN(patches_turned) : FN(patches))(w, sample + s * ldx, block.p0, block.p1, i, i + m,
                                                            patches + (i - i0) * ld + s * each * (turned ? 1 : m),
                                                            turned ? ld : m);
        }
        for (fnn_size j = j0, n; j < j1; j += n) {
            n = j1 - j < NR ? j1 - j : NR;
            const T *right = dz + block.sample * lddz + block.p0 * filters + j;
            fnn_size ldright = filters;
            if (block.samples > 1) {
                for (fnn_size s = 0; s < block.samples; s++)
                    for (fnn_size p = 0; p < each; p++)
                        FN(copy)(columns + (s * each + p) * NR, right + s * lddz + p * filters, n);
                right = columns;
                ldright = NR;
            }
            for (fnn_size i = i0; i < i1; i += FN(GRAD_BLOCK)) {
                const fnn_size m = i1 - i < FN(GRAD_BLOCK) ? i1 - i : FN(GRAD_BLOCK);
                const T *a = copied ? patches + (i - i0) * ld : sample + block.p0 * direct + i;
                T *to = g + (i - i0) * ldg + (j - j0);
                if (turned) FN(panel)(1, m, n, k, a, ld, right, NR, ldright, to, ldg, b > 0, NULL, 0);
                else FN(panel)(0, m, n, k, a, copied ? m : direct, right, NR, ldright, to, ldg, b > 0, NULL, 0);
            }
            if (sums) FN(add_columns)(b == 0, k, n, right, ldright, sums + (j - j0));
        }
    }
}

/* Where the window at output (oy, ox) begins, and its part [y0, y1) x [x0, x1) inside of the sample. */
typedef struct {
    fnn_size start, y0, y1, x0, x1;
} FN(view);

INLINE FN(view) FN(window_at)(const fnn_window *w, fnn_size oy, fnn_size ox)
{
    const fnn_size top = oy * w->stride_y - w->top, left = ox * w->stride_x - w->left;
    return (FN(view)){(top * w->width + left) * w->channels,
                      top < 0 ? -top : 0, w->height - top < w->size_y ? w->height - top : w->size_y,
                      left < 0 ? -left : 0, w->width - left < w->size_x ? w->width - left : w->size_x};
}

INLINE void FN(pool)(const int kind, const fnn_window *w, const T *x, T *y)
{
    const fnn_size n = w->channels, row = w->width * n;
    for (fnn_size oy = 0; oy < w->out_height; oy++)
        for (fnn_size ox = 0; ox < w->out_width; ox++, y += n) {
            const FN(view) v = FN(window_at)(w, oy, ox);
            const V count = v_set1((T)((v.y1 - v.y0) * (v.x1 - v.x0)));
            for (fnn_size c = 0; c < n; c += VL) {
                const T *from = x + v.start + c;
                V all = kind == FNN_MAX_POOLING ? v_loadp(from + v.y0 * row + v.x0 * n, n - c) : (V){0};
                for (fnn_size ky = v.y0; ky < v.y1; ky++)
                    for (fnn_size kx = v.x0; kx < v.x1; kx++) {
                        const V value = v_loadp(from + ky * row + kx * n, n - c);
                        if (kind == FNN_MAX_POOLING) all = v_sel(v_nan(value), value, v_max(value, all));
                        else all += value;
                    }
                v_storep(y + c, kind == FNN_MAX_POOLING ? all : all / count, n - c);
            }
        }
}

static void FN(pool_forward)(int kind, fnn_size rows, const fnn_window *w, const void *x, fnn_size ldx, void *y,
                             fnn_size ldy)
{
    for (fnn_size r = 0; r < rows; r++)
        if (kind == FNN_MAX_POOLING) FN(pool)(FNN_MAX_POOLING, w, (const T *)x + r * ldx, (T *)y + r * ldy);
        else FN(pool)(FNN_AVERAGE_POOLING, w, (const T *)x + r * ldx, (T *)y + r * ldy);
}

/* Gradients of outputs to where they came from; windows that overlap add theirs up. */
INLINE void FN(unpool)(const int kind, const int overlap, const fnn_window *w, const T *dy, const T *x, const T *y, T *dx)
{
    const fnn_size n = w->channels, row = w->width * n;
    for (fnn_size oy = 0; oy < w->out_height; oy++)
        for (fnn_size ox = 0; ox < w->out_width; ox++, dy += n, y += n) {
            const FN(view) v = FN(window_at)(w, oy, ox);
            const V count = v_set1((T)((v.y1 - v.y0) * (v.x1 - v.x0)));
            for (fnn_size c = 0; c < n; c += VL) {
                V given = v_loadp(dy + c, n - c);
                const V most = kind == FNN_MAX_POOLING ? v_loadp(y + c, n - c) : given;
                if (kind != FNN_MAX_POOLING) given /= count;
                for (fnn_size ky = v.y0; ky < v.y1; ky++)
                    for (fnn_size kx = v.x0; kx < v.x1; kx++) {
                        const fnn_size at = v.start + ky * row + kx * n + c;
                        V part = given;
                        if (kind == FNN_MAX_POOLING) { /* the first of equals takes it all */
                            const M hit = v_eq(v_loadp(x + at, n - c), most);
                            part = v_sel(hit, given, (V){0});
                            given = v_sel(hit, (V){0}, given);
                        }
                        if (overlap) part += v_loadp(dx + at, n - c);
                        v_storep(dx + at, part, n - c);
                    }
            }
        }
}

static void FN(pool_backward)(int kind, fnn_size rows, const fnn_window *w, const void *dy_, fnn_size lddy,
                              const void *x_, fnn_size ldx, const void *y_, fnn_size ldy, int activation, double alpha,
                              const void *saved_, fnn_size ldsaved, void *dx_, fnn_size lddx)
{
    const fnn_size size = w->height * w->width * w->channels;
    const int overlap = w->stride_y < w->size_y || w->stride_x < w->size_x;
    const int all = w->stride_y == w->size_y && w->stride_x == w->size_x && w->size_y * w->out_height == w->height
        && w->size_x * w->out_width == w->width;
    for (fnn_size r = 0; r < rows; r++) {
        const T *dy = (const T *)dy_ + r * lddy, *x = x_ ? (const T *)x_ + r * ldx : NULL;
        const T *y = y_ ? (const T *)y_ + r * ldy : NULL;
        T *dx = (T *)dx_ + r * lddx;
        if (overlap || !all) memset(dx, 0, size * sizeof(T));
        if (kind == FNN_MAX_POOLING && overlap) FN(unpool)(FNN_MAX_POOLING, 1, w, dy, x, y, dx);
        else if (kind == FNN_MAX_POOLING) FN(unpool)(FNN_MAX_POOLING, 0, w, dy, x, y, dx);
        else if (overlap) FN(unpool)(FNN_AVERAGE_POOLING, 1, w, dy, dy, dy, dx);
        else FN(unpool)(FNN_AVERAGE_POOLING, 0, w, dy, dy, dy, dx);
        if (activation != FNN_LINEAR)
            FN(activation_backward)(activation, alpha, 1, size, dx, size, (const T *)saved_ + r * ldsaved, size, dx,
                                    size);
    }
}
