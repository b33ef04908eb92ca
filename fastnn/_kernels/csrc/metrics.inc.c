/* Metrics: each row adds to the state, in order, so that the split of rows into calls changes nothing.
 * fastnn.metrics.metric_update is the NumPy twin. Row maxima and row means are those of losses.inc.c. */

/* The first column that holds the row's largest value. */
INLINE fnn_size FN(argmax_row)(const T *x, fnn_size cols)
{
    const T peak = FN(row_peak)(x, cols);
    if (cols < 8) {   /* a loop is done before a mask has come out of the vector unit */
        fnn_size j = 0;
        while (j < cols - 1 && x[j] != peak) j++;
        return j;
    }
    for (fnn_size j = 0; j < cols; j += VL) {
        const unsigned at = v_bits(v_eq(FN(load_filled)(x + j, cols - j, NAN), v_set1(peak)));
        if (at) return j + __builtin_ctz(at);
    }
    return cols - 1;   /* NaN all over */
}
/* True class of a sample: its label, or where its target row is largest. */
INLINE fnn_size FN(true_class)(const fnn_metric *a, fnn_size sample)
{
    return a->labels ? a->labels[sample] : FN(argmax_row)((const T *)a->targets + sample * a->cols, a->cols);
}
/* Whether the target at a column is on, the label standing for its one-hot row. */
INLINE int FN(target_on)(const fnn_metric *a, fnn_size sample, fnn_size j)
{
    return a->labels ? a->labels[sample] == j : ((const T *)a->targets)[sample * a->cols + j] != 0;
}

static double FN(class_right)(const fnn_metric *a, const T *pred, fnn_size sample)
{
    return FN(argmax_row)(pred, a->cols) == FN(true_class)(a, sample);
}
static double FN(top_k_right)(const fnn_metric *a, const T *pred, fnn_size sample)
{
    const T value = pred[FN(true_class)(a, sample)];
    V larger = {0};
    for (fnn_size j = 0; j < a->cols; j += VL) {
        const V x = FN(load_filled)(pred + j, a->cols - j, value);
        larger += v_sel(v_lt(v_set1(value), x), v_set1(1), (V){0});
    }
    return (double)v_hsum(larger) < a->param;
}
static double FN(binary_right)(const fnn_metric *a, const T *pred, fnn_size sample)
{
    const T *target = (const T *)a->targets + sample * a->cols, threshold = (T)a->param;
    fnn_size right = 0;
    for (fnn_size j = 0; j < a->cols; j++) right += target[j] == (T)(pred[j] > threshold);
    return (double)right / (double)a->cols;
}
INLINE double FN(row_error)(int loss_kind, const fnn_metric *a, const T *pred, fnn_size sample)
{
    const fnn_loss row = {.cols = a->cols, .targets = a->targets};
    return FN(mean_over_columns)(loss_kind, &row, sample, 0, pred, NULL, NULL);
}
static double FN(squared_error)(const fnn_metric *a, const T *pred, fnn_size sample)
{
    return FN(row_error)(FNN_MSE, a, pred, sample);
}
static double FN(absolute_error)(const fnn_metric *a, const T *pred, fnn_size sample)
{
    return FN(row_error)(FNN_MAE, a, pred, sample);
}

/* Mean and squared deviations by West's update (1979): sums of y and y^2 would cancel where the mean is large
 * beside the deviations. */
static void FN(add_r2)(const fnn_metric *a, const T *pred, fnn_size sample, double weight)
{
    const fnn_size cols = a->cols;
    const T *target = (const T *)a->targets + sample * cols;
    double *mean = a->state + 1, *deviation = mean + cols, *residual = deviation + cols;
    if (weight == 0) return;
    a->state[0] += weight;
    const double share = weight / a->state[0];
    for (fnn_size j = 0; j < cols; j++) {
        const double y = target[j], error = y - (double)pred[j], shift = y - mean[j];
        mean[j] += share * shift;
        deviation[j] += weight * shift * (y - mean[j]);
        residual[j] += weight * error * error;
    }
}
static void FN(add_confusion)(const fnn_metric *a, const T *pred, fnn_size sample, double weight)
{
    const fnn_size cols = a->cols, top = isnan(a->param) ? FN(argmax_row)(pred, cols) : -1;
    const T threshold = (T)a->param;
    double *true_positive = a->state, *false_positive = true_positive + cols;
    double *false_negative = false_positive + cols;
    for (fnn_size j = 0; j < cols; j++) {
        const int on = FN(target_on)(a, sample, j), called = j == top || pred[j] > threshold;
        if (on && called) true_positive[j] += weight;
        else if (called) false_positive[j] += weight;
        else if (on) false_negative[j] += weight;
    }
}
/* Bin b holds predictions in (b / bins, (b + 1) / bins], the first one 0 as well. */
static void FN(add_auc)(const fnn_metric *a, const T *pred, fnn_size sample, double weight)
{
    const fnn_size bins = (fnn_size)a->param;
    for (fnn_size j = 0; j < a->cols; j++) {
        const T place = pred[j] * (T)bins;
        const fnn_size bin = !(place > 1) ? 0 : place >= (T)bins ? bins - 1 : (fnn_size)ceil(place) - 1;
        a->state[FN(target_on)(a, sample, j) ? bin : bins + bin] += weight;
    }
}

static void FN(metric)(int kind, const fnn_metric *a)
{
    /* What a row adds to a weighted mean, or else to a state of its own. */
    static double (*const mean_of[FNN_N_METRICS])(const fnn_metric *, const T *, fnn_size) = {
        [FNN_METRIC_ACCURACY_SPARSE] = FN(class_right), [FNN_METRIC_ACCURACY] = FN(class_right),
        [FNN_METRIC_ACCURACY_BINARY] = FN(binary_right),
        [FNN_METRIC_TOP_K_SPARSE] = FN(top_k_right), [FNN_METRIC_TOP_K] = FN(top_k_right),
        [FNN_METRIC_MSE] = FN(squared_error), [FNN_METRIC_MAE] = FN(absolute_error),
    };
    static void (*const add_to[FNN_N_METRICS])(const fnn_metric *, const T *, fnn_size, double) = {
        [FNN_METRIC_R2] = FN(add_r2), [FNN_METRIC_AUC] = FN(add_auc),
        [FNN_METRIC_CONFUSION_SPARSE] = FN(add_confusion), [FNN_METRIC_CONFUSION] = FN(add_confusion),
    };
    for (fnn_size r = 0; r < a->rows; r++) {
        const fnn_size sample = a->index ? a->index[r] : r;
        const double weight = a->weight ? a->weight[sample] : 1;
        const T *pred = (const T *)a->pred + r * a->ldpred;
        if (mean_of[kind]) {
            a->state[0] += weight * mean_of[kind](a, pred, sample);
            a->state[1] += weight;
        } else {
            add_to[kind](a, pred, sample, weight);
        }
    }
}
