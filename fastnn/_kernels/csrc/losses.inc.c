/* Losses of rows, and their gradients.
 *
 * A row's loss is summed in double whatever T is: with float logits of +-3e38 the terms reach 6e38, and a
 * confident row's sum of exponentials is 1 + 1e-9, which float would round to 1 and so the loss to 0.
 */

INLINE FN(dvec) FN(add_wide)(FN(dvec) sum, V a)
{
    for (int i = 0; i < FN(n_parts); i++) sum += v_widen(a, i);
    return sum;
}
INLINE double FN(sum_wide)(FN(dvec) a)
{
    double s = a[0];
    for (int i = 1; i < (int)(FNN_VBYTES / sizeof(double)); i++) s += a[i];
    return s;
}

INLINE M FN(first_lanes)(fnn_size n) { return v_lt(v_load(FN(lane)), v_set1((T)(n < VL ? n : VL))); }

INLINE T FN(row_peak)(const T *x, fnn_size cols)
{
    V top = v_set1(-(T)INFINITY);
    for (fnn_size j = 0; j < cols; j += VL) top = v_max(top, FN(load_logits)(x + j, cols - j));
    return v_hmax(top);
}
INLINE double FN(row_sum)(const T *x, fnn_size cols)
{
    FN(dvec) sum = {0};
    for (fnn_size j = 0; j < cols; j += VL) sum = FN(add_wide)(sum, v_loadp(x + j, cols - j));
    return FN(sum_wide)(sum);
}
/* sum of t * (peak - x); t is 1 where it is NULL */
INLINE double FN(row_gap)(const T *x, const T *t, fnn_size cols, T peak)
{
    FN(dvec) sum = {0};
    for (fnn_size j = 0; j < cols; j += VL) {
        const V below = FN(load_filled)(x + j, cols - j, peak);
        const V weight = t ? v_loadp(t + j, cols - j) : v_set1(1);
        for (int i = 0; i < FN(n_parts); i++)
            sum += v_widen(weight, i) * ((double)peak - v_widen(below, i));
    }
    return FN(sum_wide)(sum);
}
/* out = exp(x - peak); returns the sum. Lanes past the row are filled with the peak and zeroed after exp:
 * filled with -infinity they would take the slow path that processors have for underflow, 15 ns a row. */
INLINE double FN(row_exp)(const T *x, fnn_size cols, T peak, T *out)
{
    FN(dvec) sum = {0};
    for (fnn_size j = 0; j < cols; j += VL) {
        V e = FN(vexp)(FN(load_filled)(x + j, cols - j, peak) - v_set1(peak));
        if (cols - j < VL) e = v_sel(FN(first_lanes)(cols - j), e, (V){0});
        v_storep(out + j, e, cols - j);
        sum = FN(add_wide)(sum, e);
    }
    return FN(sum_wide)(sum);
}

/* Keras' label smoothing makes a target t into t * keep + base: base is spread over the classes for the
 * categorical losses, over the two outcomes for the binary ones. */
INLINE V FN(smooth)(V t, double keep, double base) { return v_fma(t, v_set1((T)keep), v_set1((T)base)); }

/* -sum t log_softmax(z) = sum t (peak - z) + sum t log(sum exp(z - peak)): no term is negative, none cancels.
 * The gradient at the target, p - t, is taken in double: p of a confident row rounds to 1 in float. */
static double FN(softmax_ce_sparse)(int kind, const fnn_loss *a, fnn_size sample,
                                    double slope, const T *pred, T *prob, T *grad)
{
    (void)kind;
    const fnn_size cols = a->cols, label = a->labels[sample];
    const double keep = 1 - a->param, base = a->param / (double)cols;
    const T peak = FN(row_peak)(pred, cols);
    double loss = keep * ((double)peak - (double)pred[label]);
    if (base > 0) loss += base * FN(row_gap)(pred, NULL, cols, peak);

    const double sum = FN(row_exp)(pred, cols, peak, prob);
    const double label_exp = prob[label];
    const V inverse = v_set1((T)(1 / sum)), s = v_set1((T)slope), offset = v_set1((T)(-slope * base));
    for (fnn_size j = 0; j < cols; j += VL) {
        const V p = v_loadp(prob + j, cols - j) * inverse;
        v_storep(prob + j, p, cols - j);
        if (grad) v_storep(grad + j, v_fma(p, s, offset), cols - j);
    }
    const double p = label_exp / sum, p_minus_one = (label_exp - sum) / sum;
    if (grad) grad[label] = (T)(slope * (keep * p_minus_one + a->param * p - base));
    return loss + log(sum);
}
static double FN(softmax_ce)(int kind, const fnn_loss *a, fnn_size sample,
                             double slope, const T *pred, T *prob, T *grad)
{
    (void)kind;
    const fnn_size cols = a->cols;
    const T *target = (const T *)a->targets + sample * cols;
    const double keep = 1 - a->param, base = a->param / (double)cols;
    const double mass = keep * FN(row_sum)(target, cols) + a->param;
    const T peak = FN(row_peak)(pred, cols);
    double loss = keep * FN(row_gap)(pred, target, cols, peak);
    if (base > 0) loss += base * FN(row_gap)(pred, NULL, cols, peak);

    const double sum = FN(row_exp)(pred, cols, peak, prob);
    const V inverse = v_set1((T)(1 / sum));
    for (fnn_size j = 0; j < cols; j += VL) {
        const V e = v_loadp(prob + j, cols - j), t = v_loadp(target + j, cols - j);
        v_storep(prob + j, e * inverse, cols - j);
        if (!grad) continue;
        FN(wide) step;
        for (int i = 0; i < FN(n_parts); i++)
            step.part[i] = slope * (v_widen(e, i) * (mass / sum) - (v_widen(t, i) * keep + base));
        v_storep(grad + j, v_narrow(step), cols - j);
    }
    return loss + mass * log(sum);
}

/* Keras clips probabilities to [1e-7, 1 - 1e-7], in T. The value stands second, so that a NaN stays one. */
INLINE V FN(clip_probability)(V p) { return v_min(v_set1((T)(1 - 1e-7)), v_max(v_set1((T)1e-7), p)); }
/* a where p was not clipped, else 0: no gradient flows through the clip */
INLINE V FN(where_unclipped)(V p, V a)
{
    const V zero = {0};
    return v_sel(v_lt(p, v_set1((T)1e-7)), zero, v_sel(v_lt(v_set1((T)(1 - 1e-7)), p), zero, a));
}

/* Columns [j, j + VL) of the smoothed target row, zeros past the last; a label is a one-hot row. */
INLINE V FN(class_targets)(int kind, const fnn_loss *a, fnn_size sample, fnn_size j)
{
    const V zero = {0};
    V t = zero;
    if (kind == FNN_CE) {
        t = v_loadp((const T *)a->targets + sample * a->cols + j, a->cols - j);
    } else {
        const fnn_size lane = a->labels[sample] - j;
        if (lane >= 0 && lane < VL)
            t = v_sel(FN(first_lanes)(lane), zero, v_sel(FN(first_lanes)(lane + 1), v_set1(1), zero));
    }
    return v_sel(FN(first_lanes)(a->cols - j), FN(smooth)(t, 1 - a->param, a->param / (double)a->cols), zero);
}
/* With q = p / sum(p), c = clip(q) and h = -t / c where unclipped, else 0: loss = -sum t log(c) and
 * d loss / d p_j = (h_j - sum_k h_k q_k) / sum(p). */
static double FN(class_probabilities)(int kind, const fnn_loss *a, fnn_size sample,
                                      double slope, const T *pred, T *prob, T *grad)
{
    (void)prob;
    const fnn_size cols = a->cols;
    const V mass = v_set1((T)FN(row_sum)(pred, cols));
    FN(dvec) loss = {0}, pull = {0};
    for (fnn_size j = 0; j < cols; j += VL) {
        const V q = v_loadp(pred + j, cols - j) / mass, t = FN(class_targets)(kind, a, sample, j);
        loss = FN(add_wide)(loss, -t * FN(vlog)(FN(clip_probability)(q)));
        pull = FN(add_wide)(pull, FN(where_unclipped)(q, -t));
    }
    if (grad) {
        const V s = v_set1((T)slope) / mass, shift = v_set1((T)FN(sum_wide)(pull));
        for (fnn_size j = 0; j < cols; j += VL) {
            const V q = v_loadp(pred + j, cols - j) / mass, t = FN(class_targets)(kind, a, sample, j);
            const V h = FN(where_unclipped)(q, -t / FN(clip_probability)(q));
            v_storep(grad + j, s * (h - shift), cols - j);
        }
    }
    return FN(sum_wide)(loss);
}

/* One element of a loss that is a mean over columns: its term, the term's derivative, what pred becomes. */
typedef struct { V term, slope, pred; } FN(loss_element);

INLINE FN(loss_element) FN(bce_from_logit)(V z, V t, double param)
{
    /* 1 - t and 1 - p are computed apart: a subtraction would cost the digits of confident outputs. */
    const V one = v_set1(1), zero = {0};
    const V on = FN(smooth)(t, 1 - param, param / 2), off = FN(smooth)(one - t, 1 - param, param / 2);
    const V e = FN(vexp)(-v_abs(z)), large = one / (one + e), small = e * large;
    const M negative = v_lt(z, zero);
    const V p = v_sel(negative, small, large), rest = v_sel(negative, large, small);
    const V term = v_fma(v_abs(z), v_sel(negative, on, off), FN(vlog1p)(e));
    return (FN(loss_element)){term, p * off - rest * on, p};
}
INLINE FN(loss_element) FN(bce_from_probability)(V p, V t, double param)
{
    const V one = v_set1(1), c = FN(clip_probability)(p);
    const V on = FN(smooth)(t, 1 - param, param / 2), off = FN(smooth)(one - t, 1 - param, param / 2);
    const V term = -(on * FN(vlog)(c) + off * FN(vlog1p)(-c));
    return (FN(loss_element)){term, FN(where_unclipped)(p, off / (one - c) - on / c), p};
}
INLINE FN(loss_element) FN(poisson_from_log)(V z, V t)
{
    const V p = FN(vexp)(z);
    return (FN(loss_element)){p - t * z, p - t, p};
}
/* Keras adds 1e-7 to a rate before its logarithm, in T. */
INLINE FN(loss_element) FN(poisson_from_rate)(V p, V t)
{
    const V q = p + v_set1((T)1e-7);
    return (FN(loss_element)){p - t * FN(vlog)(q), v_set1(1) - t / q, p};
}
INLINE FN(loss_element) FN(loss_element_of)(int kind, V p, V t, double param)
{
    if (kind == FNN_SIGMOID_BCE) return FN(bce_from_logit)(p, t, param);
    if (kind == FNN_BCE) return FN(bce_from_probability)(p, t, param);
    if (kind == FNN_EXP_POISSON) return FN(poisson_from_log)(p, t);
    if (kind == FNN_POISSON) return FN(poisson_from_rate)(p, t);
    const V d = p - t, zero = {0}, one = v_set1(1);
    if (kind == FNN_MSE) return (FN(loss_element)){d * d, d + d, p};
    if (kind == FNN_MAE)
        return (FN(loss_element)){v_abs(d), v_sel(v_lt(zero, d), one, v_sel(v_lt(d, zero), -one, zero)), p};
    const V delta = v_set1((T)param), bounded = v_min(delta, v_max(-delta, d)); /* FNN_HUBER */
    return (FN(loss_element)){bounded * (d - v_set1((T)0.5) * bounded), bounded, p};
}
static double FN(mean_over_columns)(int kind, const fnn_loss *a, fnn_size sample,
                                    double slope, const T *pred, T *prob, T *grad)
{
    const fnn_size cols = a->cols;
    const T *target = (const T *)a->targets + sample * cols;
    const V s = v_set1((T)(slope / (double)cols)), zero = {0};
    FN(dvec) sum = {0};
    for (fnn_size j = 0; j < cols; j += VL) {
        const fnn_size n = cols - j;
        const V x = v_loadp(pred + j, n), t = v_loadp(target + j, n);
        const FN(loss_element) e = FN(loss_element_of)(kind, x, t, a->param);
        /* Selecting without the branch ends in an internal error of gcc 12 for SSE2 and double. */
        sum = FN(add_wide)(sum, n < VL ? v_sel(FN(first_lanes)(n), e.term, zero) : e.term);
        if (kind <= FNN_EXP_POISSON) v_storep(prob + j, e.pred, n);
        if (grad) v_storep(grad + j, e.slope * s, n);
    }
    return FN(sum_wide)(sum) / (double)cols;
}

/* Up to VL rows of few columns (columns.inc.c): lane i of every vector belongs to row i. */
typedef struct {
    V pred[FN(NARROW)], target[FN(NARROW)], grad[FN(NARROW)];   /* pred becomes the probabilities */
    V label;
    FN(wide) slope, loss;
} FN(narrow);

INLINE FN(wide) FN(plus)(FN(wide) sum, V a)
{
    for (int i = 0; i < FN(n_parts); i++) sum.part[i] += v_widen(a, i);
    return sum;
}
INLINE FN(wide) FN(plus_gap)(FN(wide) sum, V weight, V peak, V z)
{
    for (int i = 0; i < FN(n_parts); i++)
        sum.part[i] += v_widen(weight, i) * (v_widen(peak, i) - v_widen(z, i));
    return sum;
}
INLINE V FN(column_peak)(const V *z, fnn_size cols)
{
    V top = z[0];
    for (fnn_size j = 1; j < cols; j++) top = v_max(top, z[j]);
    return top;
}
/* z = exp(z - peak); returns the sum. */
INLINE FN(wide) FN(column_exp)(V *z, fnn_size cols, V peak)
{
    FN(wide) sum = {0};
    for (fnn_size j = 0; j < cols; j++) sum = FN(plus)(sum, z[j] = FN(vexp)(z[j] - peak));
    return sum;
}
/* log sum: the peak's own exponential is 1, and log1p keeps what the others add to it. */
INLINE V FN(log_of_sum)(FN(wide) sum)
{
    for (int i = 0; i < FN(n_parts); i++) sum.part[i] -= 1;
    return FN(vlog1p)(v_narrow(sum));
}

/* As the functions of the same name for one row */
static void FN(narrow_softmax_ce_sparse)(int kind, const fnn_loss *a, FN(narrow) *b)
{
    (void)kind;
    const fnn_size cols = a->cols;
    const double keep = 1 - a->param, base = a->param / (double)cols;
    const V peak = FN(column_peak)(b->pred, cols), one = v_set1(1);
    V z = {0}, e = {0}, j_lanes = {0};   /* logit and exponential at the label */
    FN(wide) gap = {0};
    for (fnn_size j = 0; j < cols; j++, j_lanes += 1) z = v_sel(v_eq(b->label, j_lanes), b->pred[j], z);
    if (base > 0)
        for (fnn_size j = 0; j < cols; j++) gap = FN(plus_gap)(gap, one, peak, b->pred[j]);

    const FN(wide) sum = FN(column_exp)(b->pred, cols, peak);
    j_lanes = (V){0};
    for (fnn_size j = 0; j < cols; j++, j_lanes += 1) e = v_sel(v_eq(b->label, j_lanes), b->pred[j], e);
    const V log_sum = FN(log_of_sum)(sum);
    FN(wide) at_label, offset;
    for (int i = 0; i < FN(n_parts); i++) {
        const FN(dvec) s = b->slope.part[i], total = sum.part[i], own = v_widen(e, i);
        b->loss.part[i] = keep * (v_widen(peak, i) - v_widen(z, i)) + base * gap.part[i] + v_widen(log_sum, i);
        at_label.part[i] = s * ((keep * (own - total) + a->param * own) / total - base);
        offset.part[i] = s * -base;
    }
    const V inverse = 1 / v_narrow(sum), slope = v_narrow(b->slope), shift = v_narrow(offset);
    const V label_grad = v_narrow(at_label);
    j_lanes = (V){0};
    for (fnn_size j = 0; j < cols; j++, j_lanes += 1) {
        b->pred[j] *= inverse;
        b->grad[j] = v_sel(v_eq(b->label, j_lanes), label_grad, v_fma(b->pred[j], slope, shift));
    }
}
static void FN(narrow_softmax_ce)(int kind, const fnn_loss *a, FN(narrow) *b)
{
    (void)kind;
    const fnn_size cols = a->cols;
    const double keep = 1 - a->param, base = a->param / (double)cols;
    const V peak = FN(column_peak)(b->pred, cols), one = v_set1(1);
    FN(wide) target = {0}, gap = {0}, base_gap = {0};
    for (fnn_size j = 0; j < cols; j++) {
        target = FN(plus)(target, b->target[j]);
        gap = FN(plus_gap)(gap, b->target[j], peak, b->pred[j]);
        if (base > 0) base_gap = FN(plus_gap)(base_gap, one, peak, b->pred[j]);
    }

    const FN(wide) sum = FN(column_exp)(b->pred, cols, peak);
    const V log_sum = FN(log_of_sum)(sum), inverse = 1 / v_narrow(sum);
    FN(wide) scale;
    for (int i = 0; i < FN(n_parts); i++) {
        const FN(dvec) mass = keep * target.part[i] + a->param;
        b->loss.part[i] = keep * gap.part[i] + base * base_gap.part[i] + mass * v_widen(log_sum, i);
        scale.part[i] = mass / sum.part[i];
    }
    for (fnn_size j = 0; j < cols; j++) {
        FN(wide) step;
        for (int i = 0; i < FN(n_parts); i++)
            step.part[i] = b->slope.part[i] * (v_widen(b->pred[j], i) * scale.part[i]
                                               - (v_widen(b->target[j], i) * keep + base));
        b->grad[j] = v_narrow(step);
        b->pred[j] *= inverse;
    }
}
static void FN(narrow_mean_over_columns)(int kind, const fnn_loss *a, FN(narrow) *b)
{
    const V slope = v_narrow(b->slope) * v_set1((T)(1 / (double)a->cols));
    FN(wide) sum = {0};
    for (fnn_size j = 0; j < a->cols; j++) {
        const FN(loss_element) e = FN(loss_element_of)(kind, b->pred[j], b->target[j], a->param);
        sum = FN(plus)(sum, e.term);
        b->pred[j] = e.pred;
        b->grad[j] = e.slope * slope;
    }
    for (int i = 0; i < FN(n_parts); i++) b->loss.part[i] = sum.part[i] / (double)a->cols;
}

typedef void FN(narrow_fn)(int kind, const fnn_loss *a, FN(narrow) *b);

/* n <= VL rows from row r0 on */
static void FN(narrow_rows)(int kind, FN(narrow_fn) *loss, const fnn_loss *a, fnn_size r0, fnn_size n)
{
    const T *pred[VL], *target[VL];
    double weight[VL];
    FN(narrow) b;
    T label[VL];
    for (fnn_size i = 0; i < VL; i++) {
        const fnn_size r = r0 + (i < n ? i : n - 1), sample = a->index ? a->index[r] : r;
        pred[i] = (const T *)a->pred + r * a->ldpred;
        target[i] = (const T *)a->targets + sample * a->cols;
        label[i] = a->labels ? (T)a->labels[sample] : 0;
        weight[i] = a->weight ? a->weight[sample] : 1;
    }
    b.label = v_load(label);
    for (int i = 0; i < VL; i++) ((double *)b.slope.part)[i] = a->scale * weight[i];
    FN(load_columns)(pred, a->cols, b.pred);
    if (a->targets) FN(load_columns)(target, a->cols, b.target);
    loss(kind, a, &b);
    if (kind <= FNN_EXP_POISSON && a->prob != a->grad)
        FN(store_columns)(b.pred, a->cols, (T *)a->prob + r0 * a->ldprob, a->ldprob, n);
    if (a->grad) FN(store_columns)(b.grad, a->cols, (T *)a->grad + r0 * a->ldgrad, a->ldgrad, n);
    for (fnn_size i = 0; i < n; i++) a->row_loss[r0 + i] = weight[i] * ((double *)b.loss.part)[i];
}

static void FN(loss)(int kind, const fnn_loss *a)
{
    static FN(narrow_fn) *const narrow[FNN_N_LOSSES] = {
        [FNN_SOFTMAX_CE_SPARSE] = FN(narrow_softmax_ce_sparse), [FNN_SOFTMAX_CE] = FN(narrow_softmax_ce),
        [FNN_SIGMOID_BCE] = FN(narrow_mean_over_columns), [FNN_BCE] = FN(narrow_mean_over_columns),
        [FNN_EXP_POISSON] = FN(narrow_mean_over_columns), [FNN_POISSON] = FN(narrow_mean_over_columns),
        /* A few operations an element do not pay for turning fewer lanes. */
        [FNN_MSE] = VL >= 8 ? FN(narrow_mean_over_columns) : NULL,
        [FNN_MAE] = VL >= 8 ? FN(narrow_mean_over_columns) : NULL,
        [FNN_HUBER] = VL >= 8 ? FN(narrow_mean_over_columns) : NULL,
    };
    if (narrow[kind] && a->cols <= FN(NARROW)) {
        for (fnn_size r = 0; r < a->rows; r += VL)
            FN(narrow_rows)(kind, narrow[kind], a, r, a->rows - r < VL ? a->rows - r : VL);
        return;
    }
    static double (*const of_row[FNN_N_LOSSES])(int, const fnn_loss *, fnn_size, double, const T *, T *,
                                                  T *) = {
        [FNN_SOFTMAX_CE_SPARSE] = FN(softmax_ce_sparse), [FNN_SOFTMAX_CE] = FN(softmax_ce),
        [FNN_CE_SPARSE] = FN(class_probabilities), [FNN_CE] = FN(class_probabilities),
        [FNN_SIGMOID_BCE] = FN(mean_over_columns), [FNN_BCE] = FN(mean_over_columns),
        [FNN_MSE] = FN(mean_over_columns), [FNN_MAE] = FN(mean_over_columns),
        [FNN_HUBER] = FN(mean_over_columns), [FNN_POISSON] = FN(mean_over_columns),
        [FNN_EXP_POISSON] = FN(mean_over_columns),
    };
    for (fnn_size r = 0; r < a->rows; r++) {
        const fnn_size sample = a->index ? a->index[r] : r;
        const double weight = a->weight ? a->weight[sample] : 1;
        const T *pred = (const T *)a->pred + r * a->ldpred;
        T *prob = (T *)a->prob + r * a->ldprob, *grad = a->grad ? (T *)a->grad + r * a->ldgrad : NULL;
        a->row_loss[r] = weight * of_row[kind](kind, a, sample, a->scale * weight, pred, prob, grad);
    }
}
