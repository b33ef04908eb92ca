/* What keeps weights small or in a shape: penalties with their gradients, constraints on norms, masks.
 *
 * Sums of squares and of magnitudes are taken in double, whatever T is: a norm of 4096 squares in float would lose
 * three digits, and the square of 1e20 is infinite there.
 */

INLINE double FN(sum_lanes)(const FN(dvec) *parts)
{
    double sum = 0;
    for (int p = 0; p < FN(n_parts); p++)
        for (int i = 0; i < (int)(FNN_VBYTES / sizeof(double)); i++) sum += parts[p][i];
    return sum;
}

/* sign(w) * c, 0 where w is 0 */
INLINE V FN(signed_as)(V c, V w) { return v_sel(v_lt((V){0}, v_abs(w)), v_copysign(c, w), (V){0} * w); }

static double FN(penalty)(double l1, double l2, fnn_size rows, fnn_size cols, const void *w_, fnn_size ldw,
                          void *grad_, fnn_size ldgrad)
{
    FN(dvec) magnitudes[FN(n_parts)] = {{0}}, squares[FN(n_parts)] = {{0}};
    const V slope = v_set1((T)(2 * l2)), step = v_set1((T)l1);
    for (fnn_size r = 0; r < rows; r++) {
        const T *w = (const T *)w_ + r * ldw;
        T *g = grad_ ? (T *)grad_ + r * ldgrad : NULL;
        for (fnn_size c = 0; c < cols; c += VL) {
            const V x = v_loadp(w + c, cols - c), size = v_abs(x);
            for (int p = 0; p < FN(n_parts); p++) {
                const FN(dvec) wide = v_widen(size, p);
                if (l1 != 0) magnitudes[p] += wide;
                if (l2 != 0) squares[p] += wide * wide;
            }
            if (!g) continue;
            V dx = v_loadp(g + c, cols - c);
            if (l2 != 0) dx = v_fma(slope, x, dx);
            if (l1 != 0) dx += FN(signed_as)(step, x);
            v_storep(g + c, dx, cols - c);
        }
    }
    return (l1 != 0 ? l1 * FN(sum_lanes)(magnitudes) : 0) + (l2 != 0 ? l2 * FN(sum_lanes)(squares) : 0);
}

/* What weights of this norm are multiplied by; fuzz keeps it finite at a norm of zero (Keras' epsilon). */
INLINE double FN(norm_factor)(const fnn_norm_range *range, double norm)
{
    const double fuzz = 1e-7, clipped = norm < range->low ? range->low : norm > range->high ? range->high : norm;
    return (range->rate * clipped + (1 - range->rate) * norm) / (fuzz + norm);
}

static void FN(norm_columns)(const fnn_norm_range *range, fnn_size rows, fnn_size cols, void *w_, fnn_size ldw)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        T *const w = (T *)w_ + c;
        FN(wide) squares = {{{0}}};
        for (fnn_size r = 0; r < rows; r++) {
            const V x = v_loadp(w + r * ldw, n);
            for (int p = 0; p < FN(n_parts); p++) squares.part[p] += v_widen(x, p) * v_widen(x, p);
        }
        for (int p = 0; p < FN(n_parts); p++)
            for (int i = 0; i < (int)(FNN_VBYTES / sizeof(double)); i++)
                squares.part[p][i] = FN(norm_factor)(range, sqrt(squares.part[p][i]));
        const V factor = v_narrow(squares);
        for (fnn_size r = 0; r < rows; r++) v_storep(w + r * ldw, v_loadp(w + r * ldw, n) * factor, n);
    }
}

/* Sum of squares of a row */
INLINE double FN(row_squares)(fnn_size cols, const T *x)
{
    FN(dvec) squares[FN(n_parts)] = {{0}};
    for (fnn_size c = 0; c < cols; c += VL) {
        const V a = v_loadp(x + c, cols - c);
        for (int p = 0; p < FN(n_parts); p++) squares[p] += v_widen(a, p) * v_widen(a, p);
    }
    return FN(sum_lanes)(squares);
}

static void FN(norm_rows)(const fnn_norm_range *range, fnn_size rows, fnn_size cols, void *w_, fnn_size ldw)
{
    for (fnn_size r = 0; r < rows; r++) {
        T *w = (T *)w_ + r * ldw;
        const V factor = v_set1((T)FN(norm_factor)(range, sqrt(FN(row_squares)(cols, w))));
        for (fnn_size c = 0; c < cols; c += VL) v_storep(w + c, v_loadp(w + c, cols - c) * factor, cols - c);
    }
}

/* The mask as all ones or none of T's bits, so that NaN goes too. */
static void FN(apply_mask)(fnn_size n, const uint8_t *keep, void *w_)
{
    FN(uint) *w = w_;
    for (fnn_size i = 0; i < n; i++) w[i] = keep[i] ? w[i] : 0;
}

/* Largest factor of a row that becomes a unit vector: shorter ones than 1e-7 stay shorter than 1, as in Keras. */
#define MOST 1e7
static void FN(unit_rows)(fnn_size rows, fnn_size cols, void *x_, fnn_size ldx, double *inverse)
{
    for (fnn_size r = 0; r < rows; r++) {
        T *x = (T *)x_ + r * ldx;
        const double norm = sqrt(FN(row_squares)(cols, x));
        inverse[r] = norm > 1 / MOST ? 1 / norm : MOST;
        const V factor = v_set1((T)inverse[r]);
        for (fnn_size c = 0; c < cols; c += VL) v_storep(x + c, v_loadp(x + c, cols - c) * factor, cols - c);
    }
}

/* Magnitudes of a row of products, that at `skip` left out; each becomes its sign, that one 0. */
INLINE double FN(take_signs)(fnn_size n, fnn_size skip, T *p)
{
    const V one = v_set1(1);
    FN(dvec) magnitudes[FN(n_parts)] = {{0}};
    p[skip] = 0;
    for (fnn_size c = 0; c < n; c += VL) {
        const V x = v_loadp(p + c, n - c), size = v_abs(x);
        for (int i = 0; i < FN(n_parts); i++) magnitudes[i] += v_widen(size, i);
        v_storep(p + c, FN(signed_as)(one, x), n - c);
    }
    return FN(sum_lanes)(magnitudes);
}

static void FN(orthogonal)(const fnn_orthogonal *o, fnn_size i0, fnn_size i1, void *products_, void *gradients_)
{
    const fnn_size n = o->n, m = o->length;
    const T *unit = (const T *)o->unit + i0 * m;
    T *products = products_, *gradients = gradients_;
    FN(dense_input_grad)(i1 - i0, m, 0, n, unit, m, o->transposed, FNN_LINEAR, 0, NULL, 0, products, n);
    for (fnn_size i = i0; i < i1; i++)
        o->row_sum[i] = 0.5 * o->scale * FN(take_signs)(n, i, products + (i - i0) * n);
    if (!o->grad) return;
    FN(dense_forward)(i1 - i0, n, 0, m, products, n, o->unit, m, NULL, FNN_LINEAR, 0, NULL, 0, gradients, m);
    for (fnn_size i = i0; i < i1; i++, unit += m, gradients += m) {
        /* Along the row itself a unit vector does not change. */
        const int moves = o->inverse[i] < MOST;
        FN(dvec) sums[FN(n_parts)] = {{0}};
        for (fnn_size c = 0; moves && c < m; c += VL) {
            const V u = v_loadp(unit + c, m - c), g = v_loadp(gradients + c, m - c);
            for (int p = 0; p < FN(n_parts); p++) sums[p] += v_widen(u, p) * v_widen(g, p);
        }
        const T along = (T)FN(sum_lanes)(sums), scale = (T)(o->scale * o->inverse[i]);
        T *grad = (T *)o->grad + i * o->row_stride;
        if (o->col_stride == 1)
            for (fnn_size c = 0; c < m; c += VL) {
                const V across = v_fnma(v_set1(along), v_loadp(unit + c, m - c), v_loadp(gradients + c, m - c));
                v_storep(grad + c, v_fma(v_set1(scale), across, v_loadp(grad + c, m - c)), m - c);
            }
        else
            for (fnn_size c = 0; c < m; c++)
                grad[c * o->col_stride] += scale * (gradients[c] - along * unit[c]);
    }
}
#undef MOST
