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

/* What two sums of a penalty are made of. */
typedef struct {
    FN(dvec) magnitudes[FN(n_parts)], squares[FN(n_parts)];
} FN(sums);

INLINE void FN(penalize)(const int l1, const int l2, const int slope, V step, V twice, const T *w, T *grad, fnn_size n,
                         FN(sums) *sums)
{
    const V x = v_loadp(w, n);
#pragma GCC unroll 2
    for (int p = 0; p < FN(n_parts); p++) {
        if (l1) sums->magnitudes[p] += v_widen(v_abs(x), p);
        if (l2) sums->squares[p] += v_widen(x, p) * v_widen(x, p);
    }
    if (!slope) return;
    V dx = v_loadp(grad, n);
    if (l2) dx = v_fma(twice, x, dx);
    if (l1) dx += FN(signed_as)(step, x);
    v_storep(grad, dx, n);
}

/* Two vectors at a time: their sums do not wait for one another. */
INLINE double FN(penalty_block)(const int l1, const int l2, const int slope, double l1_factor, double l2_factor,
                                fnn_size rows, fnn_size cols, const T *w, fnn_size ldw, T *grad, fnn_size ldgrad)
{
    FN(sums) even = {0}, odd = {0};
    const V step = v_set1((T)l1_factor), twice = v_set1((T)(2 * l2_factor));
    for (fnn_size r = 0; r < rows; r++, w += ldw, grad += slope ? ldgrad : 0) {
        fnn_size c = 0;
        for (; c + 2 * VL <= cols; c += 2 * VL) {
            FN(penalize)(l1, l2, slope, step, twice, w + c, slope ? grad + c : NULL, VL, &even);
            FN(penalize)(l1, l2, slope, step, twice, w + c + VL, slope ? grad + c + VL : NULL, VL, &odd);
        }
        for (; c < cols; c += VL)
            FN(penalize)(l1, l2, slope, step, twice, w + c, slope ? grad + c : NULL, cols - c, &even);
    }
    for (int p = 0; p < FN(n_parts); p++) {
        even.magnitudes[p] += odd.magnitudes[p];
        even.squares[p] += odd.squares[p];
    }
    return (l1 ? l1_factor * FN(sum_lanes)(even.magnitudes) : 0) + (l2 ? l2_factor * FN(sum_lanes)(even.squares) : 0);
}

static double FN(penalty)(double l1, double l2, fnn_size rows, fnn_size cols, const void *w, fnn_size ldw,
                          void *grad, fnn_size ldgrad)
{
    if (!grad) return FN(penalty_block)(1, 1, 0, l1, l2, rows, cols, w, ldw, NULL, 0);
    if (l1 == 0) return FN(penalty_block)(0, 1, 1, l1, l2, rows, cols, w, ldw, grad, ldgrad);
    if (l2 == 0) return FN(penalty_block)(1, 0, 1, l1, l2, rows, cols, w, ldw, grad, ldgrad);
    return FN(penalty_block)(1, 1, 1, l1, l2, rows, cols, w, ldw, grad, ldgrad);
}

/* What weights of this norm are multiplied by; fuzz keeps it finite at a norm of zero (Keras' epsilon). */
INLINE double FN(norm_factor)(const fnn_norm_range *range, double norm)
{
    const double fuzz = 1e-7, clipped = norm < range->low ? range->low : norm > range->high ? range->high : norm;
    return (range->rate * clipped + (1 - range->rate) * norm) / (fuzz + norm);
}

/* n <= vectors * VL columns. Rows are far apart: a strip of one vector read a cache line from each of them and the next
 * strip the line beside it, 0.28 ms for a 784 x 512 kernel; strips of WIDTH vectors take 0.08. */
enum { FN(WIDTH) = 8 };
INLINE void FN(norm_strip)(const fnn_norm_range *range, const int vectors, fnn_size rows, fnn_size n, T *w, fnn_size ldw)
{
    FN(wide) squares[FN(WIDTH)] = {{{{0}}}};
    V factor[FN(WIDTH)];
    for (fnn_size r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            const V x = v_loadp(w + r * ldw + v * VL, n - v * VL);
#pragma GCC unroll 2
            for (int p = 0; p < FN(n_parts); p++) squares[v].part[p] += v_widen(x, p) * v_widen(x, p);
        }
    for (int v = 0; v < vectors; v++) {
        for (int p = 0; p < FN(n_parts); p++)
            for (int i = 0; i < (int)(FNN_VBYTES / sizeof(double)); i++)
                squares[v].part[p][i] = FN(norm_factor)(range, sqrt(squares[v].part[p][i]));
        factor[v] = v_narrow(squares[v]);
    }
    for (fnn_size r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            T *const at = w + r * ldw + v * VL;
            v_storep(at, v_loadp(at, n - v * VL) * factor[v], n - v * VL);
        }
}

static void FN(norm_columns)(const fnn_norm_range *range, fnn_size rows, fnn_size cols, void *w_, fnn_size ldw)
{
    T *w = w_;
    fnn_size c = 0;
    for (; c + FN(WIDTH) * VL <= cols; c += FN(WIDTH) * VL)
        FN(norm_strip)(range, FN(WIDTH), rows, FN(WIDTH) * VL, w + c, ldw);
    for (; c < cols; c += VL) FN(norm_strip)(range, 1, rows, cols - c, w + c, ldw);
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
