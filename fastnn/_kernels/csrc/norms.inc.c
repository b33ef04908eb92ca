/* Normalization over the batch (columns) and over the features (rows), PReLU and SReLU. In all of them a row of the batch
 * is `inner` rows of `cols` elements, one behind the other, which share what belongs to a column.
 *
 * Statistics of a column come in two steps: blocks of rows, each by itself, in T; then the blocks, in order, in
 * double. Whoever cuts the batch into the same blocks gets the same bits. */

enum { FN(STRIP) = 4 };   /* vectors that go down a block of rows together: as many sums wait for nobody */

/* loop(c, n, width): strips of whole vectors, then single ones; n elements are left from c on. */
#define EACH_STRIP(loop)                                                                          \
    for (fnn_size c = 0; c < cols;) {                                                             \
        if (cols - c >= FN(STRIP) * VL) {                                                         \
            loop(c, FN(STRIP) * VL, FN(STRIP));                                                   \
            c += FN(STRIP) * VL;                                                                  \
        } else {                                                                                  \
            loop(c, cols - c, 1);                                                                 \
            c += VL;                                                                              \
        }                                                                                         \
    }

INLINE void FN(moments_strip)(fnn_size rows, fnn_size inner, fnn_size cols, const T *x, fnn_size ldx, fnn_size n,
                              const int width, T *mean, T *square)
{
    V sum[FN(STRIP)], m[FN(STRIP)];
    for (int w = 0; w < width; w++) sum[w] = (V){0};
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++)
            for (int w = 0; w < width; w++) sum[w] += v_loadp(x + r * ldx + i * cols + w * VL, n - w * VL);
    for (int w = 0; w < width; w++) {
        m[w] = sum[w] / (T)(rows * inner);
        v_storep(mean + w * VL, m[w], n - w * VL);
        sum[w] = (V){0};
    }
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++)
            for (int w = 0; w < width; w++) {
                const V d = v_loadp(x + r * ldx + i * cols + w * VL, n - w * VL) - m[w];
                sum[w] = v_fma(d, d, sum[w]);
            }
    for (int w = 0; w < width; w++) v_storep(square + w * VL, sum[w], n - w * VL);
}

/* `cols` counts the columns that are wanted, `pitch` those from one inner row to the next. */
static void FN(column_moments)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *x_,
                               fnn_size ldx, void *mean, void *square)
{
    const T *x = x_;
#define STRIP(c, n, width) \
    FN(moments_strip)(rows, inner, pitch, x + (c), ldx, n, width, (T *)mean + (c), (T *)square + (c))
    EACH_STRIP(STRIP)
#undef STRIP
}

/* Chan, Golub and LeVeque (1983): the squares around the common mean are those around each block's own, and the
 * squared distances of the blocks' means. */
static void FN(merge_moments)(fnn_size blocks, double count, double last, fnn_size cols, const void *mean_,
                              const void *square_, fnn_size ld, void *mean, void *variance)
{
    const double total = count * (double)(blocks - 1) + last;
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        FN(wide) sum = {{{0}}}, square = {{{0}}};
        for (fnn_size b = 0; b < blocks; b++) {
            const V m = v_loadp((const T *)mean_ + b * ld + c, n);
            for (int p = 0; p < FN(n_parts); p++) sum.part[p] += v_widen(m, p) * (b + 1 < blocks ? count : last);
        }
        for (int p = 0; p < FN(n_parts); p++) sum.part[p] /= total;
        for (fnn_size b = 0; b < blocks; b++) {
            const V m = v_loadp((const T *)mean_ + b * ld + c, n), s = v_loadp((const T *)square_ + b * ld + c, n);
            for (int p = 0; p < FN(n_parts); p++) {
                const FN(dvec) d = v_widen(m, p) - sum.part[p];
                square.part[p] += v_widen(s, p) + d * d * (b + 1 < blocks ? count : last);
            }
        }
        for (int p = 0; p < FN(n_parts); p++) square.part[p] /= total;
        v_storep((T *)mean + c, v_narrow(sum), n);
        v_storep((T *)variance + c, v_narrow(square), n);
    }
}

/* inverse = 1 / sqrt(variance + epsilon), scale = gamma * inverse */
static void FN(inverse_deviation)(fnn_size cols, const void *variance, double epsilon, const void *gamma,
                                  void *inverse, void *scale)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        const V inv = 1 / v_sqrt(v_loadp((const T *)variance + c, n) + (T)epsilon);
        v_storep((T *)inverse + c, inv, n);
        v_storep((T *)scale + c, gamma ? v_loadp((const T *)gamma + c, n) * inv : inv, n);
    }
}

static void FN(normalize)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *x_, fnn_size ldx,
                          const void *mean, const void *scale, const void *beta, void *y_, fnn_size ldy)
{
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++) {
            const T *x = (const T *)x_ + r * ldx + i * pitch;
            T *y = (T *)y_ + r * ldy + i * pitch;
            for (fnn_size c = 0; c < cols; c += VL) {
                const fnn_size n = cols - c;
                const V shift = beta ? v_loadp((const T *)beta + c, n) : (V){0};
                const V d = v_loadp(x + c, n) - v_loadp((const T *)mean + c, n);
                v_storep(y + c, v_fma(d, v_loadp((const T *)scale + c, n), shift), n);
            }
        }
}

INLINE void FN(gradient_strip)(fnn_size rows, fnn_size inner, fnn_size pitch, const T *dy, fnn_size lddy, const T *x,
                               fnn_size ldx, const T *mean, fnn_size n, const int width, T *sum, T *product)
{
    V s[FN(STRIP)], p[FN(STRIP)], m[FN(STRIP)];
    for (int w = 0; w < width; w++) s[w] = p[w] = (V){0}, m[w] = v_loadp(mean + w * VL, n - w * VL);
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++)
            for (int w = 0; w < width; w++) {
                const V d = v_loadp(dy + r * lddy + i * pitch + w * VL, n - w * VL);
                s[w] += d;
                p[w] = v_fma(d, v_loadp(x + r * ldx + i * pitch + w * VL, n - w * VL) - m[w], p[w]);
            }
    for (int w = 0; w < width; w++) {
        v_storep(sum + w * VL, s[w], n - w * VL);
        v_storep(product + w * VL, p[w], n - w * VL);
    }
}

static void FN(gradient_moments)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy_,
                                 fnn_size lddy, const void *x_, fnn_size ldx, const void *mean, void *sum,
                                 void *product)
{
    const T *dy = dy_, *x = x_;
#define STRIP(c, n, width) \
    FN(gradient_strip)(rows, inner, pitch, dy + (c), lddy, x + (c), ldx, (const T *)mean + (c), n, width, \
                       (T *)sum + (c), (T *)product + (c))
    EACH_STRIP(STRIP)
#undef STRIP
}

static void FN(merge_gradients)(fnn_size blocks, double total, fnn_size cols, const void *sum_, const void *product_,
                                fnn_size ld, const void *inverse, void *dbeta, void *dgamma, void *constant,
                                void *slope)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        FN(wide) sum = {{{0}}}, product = {{{0}}};
        for (fnn_size b = 0; b < blocks; b++) {
            const V s = v_loadp((const T *)sum_ + b * ld + c, n), q = v_loadp((const T *)product_ + b * ld + c, n);
            for (int p = 0; p < FN(n_parts); p++) {
                sum.part[p] += v_widen(s, p);
                product.part[p] += v_widen(q, p);
            }
        }
        const V inv = v_loadp((const T *)inverse + c, n), s = v_narrow(sum), g = v_narrow(product) * inv;
        v_storep((T *)dbeta + c, s, n);
        v_storep((T *)dgamma + c, g, n);
        if (constant) {
            v_storep((T *)constant + c, s / (T)total, n);
            v_storep((T *)slope + c, g * inv / (T)total, n);
        }
    }
}

static void FN(normalize_backward)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy_,
                                   fnn_size lddy, const void *x_, fnn_size ldx, const void *mean, const void *scale,
                                   const void *constant, const void *slope, void *dx_, fnn_size lddx)
{
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++) {
            const T *dy = (const T *)dy_ + r * lddy + i * pitch, *x = (const T *)x_ + r * ldx + i * pitch;
            T *dx = (T *)dx_ + r * lddx + i * pitch;
            for (fnn_size c = 0; c < cols; c += VL) {
                const fnn_size n = cols - c;
                V d = v_loadp(dy + c, n);
                if (constant) {
                    const V centred = v_loadp(x + c, n) - v_loadp((const T *)mean + c, n);
                    d = v_fnma(centred, v_loadp((const T *)slope + c, n), d - v_loadp((const T *)constant + c, n));
                }
                v_storep(dx + c, d * v_loadp((const T *)scale + c, n), n);
            }
        }
}

/* The sum of f over a row: four chains, then over lanes. f sees n elements that are left from c on. */
#define ROW_SUM(result, f)                                                                        \
    {                                                                                             \
        V chain[FN(STRIP)] = {{0}, {0}, {0}, {0}};                                                \
        for (fnn_size c = 0; c < cols;)                                                           \
            for (int w = 0; w < FN(STRIP) && c < cols; w++, c += VL) {                            \
                const fnn_size n = cols - c;                                                      \
                f                                                                                 \
            }                                                                                     \
        result = v_hsum((chain[0] + chain[1]) + (chain[2] + chain[3]));                           \
    }

/* The mean and 1 / sqrt(variance + epsilon) of a row, or 0 and the same of its mean square */
INLINE void FN(row_statistics)(fnn_size cols, int centred, double epsilon, const T *x, T *mean, T *inverse)
{
    T sum, m = 0;
    if (centred) {
        ROW_SUM(sum, chain[w] += v_loadp(x + c, n);)
        m = sum / (T)cols;
    }
    ROW_SUM(sum, const V d = FN(load_filled)(x + c, n, m) - m; chain[w] = v_fma(d, d, chain[w]);)
    *mean = m;
    *inverse = 1 / v_sqrt(v_set1(sum / (T)cols + (T)epsilon))[0];
}

static void FN(row_normalize)(fnn_size rows, fnn_size inner, fnn_size cols, int centred, double epsilon,
                              const void *x_, fnn_size ldx, const void *gamma, const void *beta, void *statistics_,
                              void *y_, fnn_size ldy)
{
    T *statistics = statistics_;
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++) {
            const T *x = (const T *)x_ + r * ldx + i * cols;
            T *y = (T *)y_ + r * ldy + i * cols, mean, inverse;
            FN(row_statistics)(cols, centred, epsilon, x, &mean, &inverse);
            if (statistics) *statistics++ = mean, *statistics++ = inverse;
            for (fnn_size c = 0; c < cols; c += VL) {
                const fnn_size n = cols - c;
                V v = (v_loadp(x + c, n) - mean) * inverse;
                if (gamma) v *= v_loadp((const T *)gamma + c, n);
                if (beta) v += v_loadp((const T *)beta + c, n);
                v_storep(y + c, v, n);
            }
        }
}

static void FN(row_normalize_backward)(fnn_size rows, fnn_size inner, fnn_size cols, int centred, const void *dy_,
                                       fnn_size lddy, const void *x_, fnn_size ldx, const void *gamma,
                                       const void *statistics_, void *dx_, fnn_size lddx)
{
    const T *statistics = statistics_;
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++) {
            const T *dy = (const T *)dy_ + r * lddy + i * cols, *x = (const T *)x_ + r * ldx + i * cols;
            T *dx = (T *)dx_ + r * lddx + i * cols, sum = 0, product;
            const T mean = *statistics++, inverse = *statistics++;
            /* d = dy * gamma, the gradient at the normalized row */
#define GRADIENT (gamma ? v_loadp(dy + c, n) * v_loadp((const T *)gamma + c, n) : v_loadp(dy + c, n))
            if (centred) ROW_SUM(sum, chain[w] += GRADIENT;)
            ROW_SUM(product, chain[w] = v_fma(GRADIENT, v_loadp(x + c, n) - mean, chain[w]);)
            const T constant = sum / (T)cols, slope = product / (T)cols * inverse * inverse;
            for (fnn_size c = 0; c < cols; c += VL) {
                const fnn_size n = cols - c;
                const V d = v_fnma(v_loadp(x + c, n) - mean, v_set1(slope), GRADIENT - constant);
                v_storep(dx + c, d * inverse, n);
            }
#undef GRADIENT
        }
}
#undef ROW_SUM

static void FN(row_gradient_sums)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy_,
                                  fnn_size lddy, const void *x_, fnn_size ldx, const void *statistics_, void *dbeta,
                                  void *dgamma)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        const T *statistics = statistics_;
        V sum = {0}, product = {0};
        for (fnn_size r = 0; r < rows; r++)
            for (fnn_size i = 0; i < inner; i++, statistics += 2) {
                const V d = v_loadp((const T *)dy_ + r * lddy + i * pitch + c, n);
                const V x = v_loadp((const T *)x_ + r * ldx + i * pitch + c, n);
                sum += d;
                product = v_fma(d, (x - statistics[0]) * statistics[1], product);
            }
        if (dbeta) v_storep((T *)dbeta + c, sum, n);
        if (dgamma) v_storep((T *)dgamma + c, product, n);
    }
}

static void FN(prelu_forward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *x_, fnn_size ldx,
                              const void *alpha, void *y_, fnn_size ldy)
{
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++)
            for (fnn_size c = 0; c < cols; c += VL) {
                const V x = v_loadp((const T *)x_ + r * ldx + i * cols + c, cols - c);
                const V a = v_loadp((const T *)alpha + c, cols - c);
                v_storep((T *)y_ + r * ldy + i * cols + c, FN(positive)(x, x, a * x), cols - c);
            }
}

static void FN(prelu_backward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *dy_, fnn_size lddy,
                               const void *x_, fnn_size ldx, const void *alpha, void *dx_, fnn_size lddx)
{
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size i = 0; i < inner; i++)
            for (fnn_size c = 0; c < cols; c += VL) {
                const V x = v_loadp((const T *)x_ + r * ldx + i * cols + c, cols - c);
                const V d = v_loadp((const T *)dy_ + r * lddy + i * cols + c, cols - c);
                const V a = v_loadp((const T *)alpha + c, cols - c);
                v_storep((T *)dx_ + r * lddx + i * cols + c, FN(positive)(x, d, a * d), cols - c);
            }
}

static void FN(prelu_sums)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy_,
                           fnn_size lddy, const void *x_, fnn_size ldx, void *dalpha)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        V sum = {0};
        for (fnn_size r = 0; r < rows; r++)
            for (fnn_size i = 0; i < inner; i++) {
                const V x = v_loadp((const T *)x_ + r * ldx + i * pitch + c, cols - c);
                const V d = v_loadp((const T *)dy_ + r * lddy + i * pitch + c, cols - c);
                sum = v_fma(d, v_min((V){0}, x), sum);
            }
        v_storep((T *)dalpha + c, sum, cols - c);
    }
}

/* The threshold and slope on the left, those on the right, of columns from c on; the right threshold is given as its
 * distance from the left one, of either sign. */
typedef struct { V left, left_slope, right, right_slope, side; } FN(srelu);

INLINE FN(srelu) FN(srelu_load)(const void *const *p, fnn_size c, fnn_size cols)
{
    FN(srelu) s;
    const V zero = {0}, one = v_set1(1), width = v_loadp((const T *)p[2] + c, cols - c);
    s.left = v_loadp((const T *)p[0] + c, cols - c);
    s.left_slope = v_loadp((const T *)p[1] + c, cols - c);
    s.right = s.left + v_abs(width);
    s.right_slope = v_loadp((const T *)p[3] + c, cols - c);
    s.side = FN(positive)(width, one, v_sel(v_lt(width, zero), -one, zero));
    return s;
}

/* On the left, between, on the right */
INLINE V FN(srelu_choose)(const FN(srelu) *s, V x, V left, V between, V right)
{
    return v_sel(v_lt(s->left, x), v_sel(v_lt(x, s->right), between, right), left);
}

static void FN(srelu_forward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *x_, fnn_size ldx,
                              const void *const *p, void *y_, fnn_size ldy)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const FN(srelu) s = FN(srelu_load)(p, c, cols);
        for (fnn_size r = 0; r < rows; r++)
            for (fnn_size i = 0; i < inner; i++) {
                const V x = v_loadp((const T *)x_ + r * ldx + i * cols + c, cols - c);
                const V y = FN(srelu_choose)(&s, x, s.left + s.left_slope * (x - s.left), x,
                                             s.right + s.right_slope * (x - s.right));
                v_storep((T *)y_ + r * ldy + i * cols + c, y, cols - c);
            }
    }
}

static void FN(srelu_backward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *dy_, fnn_size lddy,
                               const void *x_, fnn_size ldx, const void *const *p, void *dx_, fnn_size lddx)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const FN(srelu) s = FN(srelu_load)(p, c, cols);
        for (fnn_size r = 0; r < rows; r++)
            for (fnn_size i = 0; i < inner; i++) {
                const V x = v_loadp((const T *)x_ + r * ldx + i * cols + c, cols - c);
                const V d = v_loadp((const T *)dy_ + r * lddy + i * cols + c, cols - c);
                v_storep((T *)dx_ + r * lddx + i * cols + c,
                         d * FN(srelu_choose)(&s, x, s.left_slope, v_set1(1), s.right_slope), cols - c);
            }
    }
}

static void FN(srelu_sums)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy_,
                           fnn_size lddy, const void *x_, fnn_size ldx, const void *const *p, void *const *sums)
{
    const V zero = {0};
    for (fnn_size c = 0; c < cols; c += VL) {
        const FN(srelu) s = FN(srelu_load)(p, c, cols);
        V left = zero, left_x = zero, right = zero, right_x = zero;
        for (fnn_size r = 0; r < rows; r++)
            for (fnn_size i = 0; i < inner; i++) {
                const V x = v_loadp((const T *)x_ + r * ldx + i * pitch + c, cols - c);
                const V d = v_loadp((const T *)dy_ + r * lddy + i * pitch + c, cols - c);
                const V dl = FN(srelu_choose)(&s, x, d, zero, zero), dr = FN(srelu_choose)(&s, x, zero, zero, d);
                left += dl;
                left_x = v_fma(dl, x - s.left, left_x);
                right += dr;
                right_x = v_fma(dr, x - s.right, right_x);
            }
        left *= 1 - s.left_slope;
        right *= 1 - s.right_slope;
        v_storep((T *)sums[0] + c, left + right, cols - c);
        v_storep((T *)sums[1] + c, left_x, cols - c);
        v_storep((T *)sums[2] + c, right * s.side, cols - c);
        v_storep((T *)sums[3] + c, right_x, cols - c);
    }
}
#undef EACH_STRIP
