/* Activations and their derivatives on blocks of rows; definitions and constants are those of Keras 3. */

/* selu: Klambauer et al., Self-Normalizing Neural Networks, 2017 */
static const T FN(selu_alpha) = 1.6732632423543772, FN(selu_scale) = 1.0507009873554805;
/* gelu_tanh: sigmoid(z (c + c d z^2)), c = 2 sqrt(2 / pi), d = 0.044715 (Hendrycks and Gimpel, 2016) */
static const T FN(gelu_c) = 1.5957691216057308, FN(gelu_cd) = 0.071354816272600249;

/* Past 1000 either way the smooth kinds have reached their limits, in both dtypes, and 0 * inf stays away. */
INLINE V FN(raise)(V z) { return v_max(v_set1(-1000), z); }
INLINE V FN(clamp)(V z) { return v_min(v_set1(1000), FN(raise)(z)); }

INLINE V FN(positive)(V x, V yes, V no) { return v_sel(v_lt(v_set1(0), x), yes, no); }

/* s = sigmoid(z); the answer is 1 - s, which keeps its digits where s is near 1. */
INLINE V FN(sigmoid_pair)(V z, V *s)
{
    const V one = v_set1(1), e = FN(vexp)(-v_abs(z)), inverse = 1 / (e + 1);
    *s = FN(positive)(z, one, e) * inverse;
    return FN(positive)(z, e, one) * inverse;
}

/* t = tanh(softplus(z)), the factor of mish (Misra, 2019); the answer is 1 - t^2. With w = exp(-|z|),
 * t = (1 + 2w) / (1 + 2w + 2w^2) for z > 0 and (w^2 + 2w) / (w^2 + 2w + 2) elsewhere. */
INLINE V FN(mish_pair)(V z, V *t)
{
    const V w = FN(vexp)(-v_abs(z));
    const V top = FN(positive)(z, 2 * w + 1, w * (w + 2)), rest = FN(positive)(z, 2 * w * w, v_set1(2));
    const V inverse = 1 / (top + rest);
    *t = top * inverse;
    return rest * inverse * (*t + 1);
}

INLINE V FN(activate)(const int kind, V z, V alpha)
{
    const V zero = v_set1(0), six = v_set1(6);
    V t;
    switch (kind) {
    case FNN_RELU: return v_max(zero, z);
    case FNN_LEAKY_RELU: return FN(positive)(z, z, alpha * z);
    case FNN_ELU: return FN(positive)(z, z, alpha * FN(vexpm1)(z));
    case FNN_SELU: return FN(selu_scale) * FN(positive)(z, z, FN(selu_alpha) * FN(vexpm1)(z));
    case FNN_SIGMOID: return FN(vsigmoid)(z);
    case FNN_TANH_ACT: return FN(vtanh)(z);
    case FNN_SOFTPLUS: return v_max(zero, z) + FN(vlog1pexp)(z);
    case FNN_SOFTSIGN: return z / (v_abs(z) + 1);
    case FNN_HARD_SIGMOID: return v_min(six, v_max(zero, z + 3)) / 6;
    case FNN_RELU6: return v_min(six, v_max(zero, z));
    case FNN_EXPONENTIAL: return FN(vexp)(z);
    case FNN_GELU_TANH:
        t = FN(clamp)(z);
        return FN(raise)(z) * FN(vsigmoid)(t * v_fma(t * t, v_set1(FN(gelu_cd)), v_set1(FN(gelu_c))));
    case FNN_GELU_ERF: return FN(raise)(z) * FN(normal_cdf)(z, &t);
    case FNN_SILU: return FN(raise)(z) * FN(vsigmoid)(z);
    case FNN_MISH:
        FN(mish_pair)(z, &t);
        return FN(raise)(z) * t;
    case FNN_SIGN: return v_sel(v_nan(z), z, v_sel(v_le(zero, z), v_set1(1), v_set1(-1)));
    case FNN_BINARY_STEP: return v_sel(v_nan(z), z, v_sel(v_le(zero, z), v_set1(1), zero));
    case FNN_TERNARY:
        t = v_sel(v_lt(z, -alpha), v_set1(-1), zero);
        return v_sel(v_nan(z), z, v_sel(v_lt(alpha, z), v_set1(1), t));
    default: return z;
    }
}

/* The derivative at y (kinds up to FNN_LAST_FROM_OUTPUT) or z, for anything but NaN */
INLINE V FN(slope)(const int kind, V x, V alpha)
{
    const V zero = v_set1(0), one = v_set1(1);
    V a, b, s;
    switch (kind) {
    case FNN_RELU: return FN(positive)(x, one, zero);
    case FNN_LEAKY_RELU: return FN(positive)(x, one, alpha);
    case FNN_ELU: return FN(positive)(x, one, x + alpha);
    case FNN_SELU: return FN(positive)(x, v_set1(FN(selu_scale)), x + FN(selu_scale) * FN(selu_alpha));
    case FNN_SIGMOID: return x * (1 - x);
    case FNN_TANH_ACT: return (1 - x) * (1 + x);
    case FNN_SOFTPLUS: return -FN(vexpm1)(-x);
    case FNN_SOFTSIGN: a = 1 - v_abs(x); return a * a;
    case FNN_HARD_SIGMOID: return v_sel(v_lt(x, one), FN(positive)(x, one / 6, zero), zero);
    case FNN_RELU6: return v_sel(v_lt(x, v_set1(6)), FN(positive)(x, one, zero), zero);
    case FNN_EXPONENTIAL: return x;
    case FNN_GELU_TANH:   /* d/dz z s(u) = s + z s (1 - s) u' */
        x = FN(clamp)(x);
        a = x * x;
        b = FN(sigmoid_pair)(x * v_fma(a, v_set1(FN(gelu_cd)), v_set1(FN(gelu_c))), &s);
        return v_fma(s * b, x * v_fma(a, v_set1(3 * FN(gelu_cd)), v_set1(FN(gelu_c))), s);
    case FNN_GELU_ERF:
        a = FN(normal_cdf)(x, &b);
        return v_fma(FN(clamp)(x), b, a);
    case FNN_SILU:
        b = FN(sigmoid_pair)(x, &s);
        return v_fma(s * b, FN(clamp)(x), s);
    case FNN_MISH:
        b = FN(mish_pair)(x, &a);
        return v_fma(b * FN(vsigmoid)(x), FN(clamp)(x), a);
    case FNN_SIGN: return v_sel(v_le(v_abs(x), one), one, zero);    /* Bengio et al., 2013; Hubara et al., 2016 */
    default: return one;
    }
}

INLINE int FN(straight)(const int kind) { return kind == FNN_SIGN || kind == FNN_BINARY_STEP || kind == FNN_TERNARY; }

INLINE int FN(costly)(const int kind)
{
    return kind != FNN_LINEAR && kind != FNN_RELU && kind != FNN_LEAKY_RELU && kind != FNN_SOFTSIGN
           && kind != FNN_HARD_SIGMOID && kind != FNN_RELU6 && !FN(straight)(kind);
}

/* Spaced rows that fill a quarter of a vector at most, for functions that cost more than turning: four times as
 * many elements in each vector. */
INLINE fnn_size FN(forward_columns)(const int kind, double alpha, fnn_size rows, fnn_size cols,
                                    const T *z, fnn_size ldz, T *y, fnn_size ldy)
{
    fnn_size r = 0;
    for (; r + VL <= rows; r += VL) {
        const T *row[VL];
        V x[VL];
        for (int i = 0; i < VL; i++) row[i] = z + (r + i) * ldz;
        FN(load_columns)(row, cols, x);
        for (fnn_size j = 0; j < cols; j++) x[j] = FN(activate)(kind, x[j], v_set1((T)alpha));
        FN(store_columns)(x, cols, y + r * ldy, ldy, VL);
    }
    return r;
}

INLINE void FN(forward_rows)(const int kind, double alpha, fnn_size rows, fnn_size cols,
                             const T *z, fnn_size ldz, T *y, fnn_size ldy)
{
    const V a = v_set1((T)alpha);
    fnn_size r = 0;
    if (cols <= VL / 4 && FN(costly)(kind)) {
        r = FN(forward_columns)(kind, alpha, rows, cols, z, ldz, y, ldy);
        z += r * ldz;
        y += r * ldy;
    }
    for (; r < rows; r++, z += ldz, y += ldy)
        for (fnn_size c = 0; c < cols; c += VL)
            v_storep(y + c, FN(activate)(kind, v_loadp(z + c, cols - c), a), cols - c);
}

INLINE void FN(backward_rows)(const int kind, double alpha, fnn_size rows, fnn_size cols,
                              const T *dy, fnn_size lddy, const T *saved, fnn_size ldsaved,
                              T *dz, fnn_size lddz)
{
    const V a = v_set1((T)alpha);
    for (fnn_size r = 0; r < rows; r++, dy += lddy, saved += ldsaved, dz += lddz)
        for (fnn_size c = 0; c < cols; c += VL) {
            const V x = v_loadp(saved + c, cols - c), d = FN(slope)(kind, x, a);
            v_storep(dz + c, v_loadp(dy + c, cols - c) * v_sel(v_nan(x), x, d), cols - c);
        }
}

/* Filled with what neither a maximum nor a sum of exponentials sees */
INLINE V FN(load_logits)(const T *z, fnn_size n) { return FN(load_filled)(z, n, -(T)INFINITY); }

/* The same for rows of few columns (columns.inc.c) */
static void FN(narrow_softmax_rows)(int kind, fnn_size rows, fnn_size cols, const T *z, fnn_size ldz,
                                    T *y, fnn_size ldy)
{
    for (fnn_size r = 0; r < rows; r += VL, z += VL * ldz, y += VL * ldy) {
        const fnn_size n = rows - r < VL ? rows - r : VL;
        const T *row[VL];
        V x[FN(NARROW)], top, sum = {0};
        for (int i = 0; i < VL; i++) row[i] = z + (i < n ? i : n - 1) * ldz;
        FN(load_columns)(row, cols, x);
        top = x[0];
        for (fnn_size j = 1; j < cols; j++) top = v_max(top, x[j]);
        for (fnn_size j = 0; j < cols; j++) {
            const V shifted = x[j] - top, e = FN(vexp)(shifted);
            sum += e;
            x[j] = kind == FNN_SOFTMAX ? e : shifted;
        }
        const V inverse = 1 / sum, log_sum = FN(vlog)(sum);
        for (fnn_size j = 0; j < cols; j++) x[j] = kind == FNN_SOFTMAX ? x[j] * inverse : x[j] - log_sum;
        FN(store_columns)(x, cols, y, ldy, n);
    }
}

/* y = exp(z - max z) / sum, or its logarithm (z - max z) - log sum. A row's last vector stays in a register:
 * to read back what a partial store has just written stalls. */
INLINE void FN(softmax_rows)(const int kind, fnn_size rows, fnn_size cols, const T *z, fnn_size ldz,
                             T *y, fnn_size ldy)
{
    const fnn_size last = (cols - 1) / VL * VL, rest = cols - last;
    if (cols <= FN(NARROW)) {
        FN(narrow_softmax_rows)(kind, rows, cols, z, ldz, y, ldy);
        return;
    }
    for (fnn_size r = 0; r < rows; r++, z += ldz, y += ldy) {
        V end = FN(load_logits)(z + last, rest), top = end, sum = v_set1(0);
        for (fnn_size c = 0; c < last; c += VL) top = v_max(top, v_load(z + c));
        top = v_set1(v_hmax(top));
        for (fnn_size c = 0; c < last; c += VL) {
            const V x = v_load(z + c) - top, e = FN(vexp)(x);
            sum += e;
            v_store(y + c, kind == FNN_SOFTMAX ? e : x);
        }
        end -= top;
        const V e = FN(vexp)(end);
        sum = v_set1(v_hsum(sum + e));
        if (kind == FNN_SOFTMAX) {
            const V inverse = 1 / sum;
            for (fnn_size c = 0; c < last; c += VL) v_store(y + c, v_load(y + c) * inverse);
            v_storep(y + last, e * inverse, rest);
        } else {
            const V log_sum = FN(vlog)(sum);
            for (fnn_size c = 0; c < last; c += VL) v_store(y + c, v_load(y + c) - log_sum);
            v_storep(y + last, end - log_sum, rest);
        }
    }
}

/* dz = y (dy - sum dy y), or dy - exp(y) sum dy where y is the logarithm */
INLINE void FN(softmax_backward_rows)(const int kind, fnn_size rows, fnn_size cols,
                                      const T *dy, fnn_size lddy, const T *y, fnn_size ldy,
                                      T *dz, fnn_size lddz)
{
    for (fnn_size r = 0; r < rows; r++, dy += lddy, y += ldy, dz += lddz) {
        V sum = v_set1(0);
        for (fnn_size c = 0; c < cols; c += VL) {
            const V d = v_loadp(dy + c, cols - c);
            sum = kind == FNN_SOFTMAX ? v_fma(d, v_loadp(y + c, cols - c), sum) : sum + d;
        }
        sum = v_set1(v_hsum(sum));
        for (fnn_size c = 0; c < cols; c += VL) {
            const V d = v_loadp(dy + c, cols - c), p = v_loadp(y + c, cols - c);
            v_storep(dz + c, kind == FNN_SOFTMAX ? p * (d - sum) : v_fnma(FN(vexp)(p), sum, d), cols - c);
        }
    }
}

/* One loop per kind, `kind` being a constant inside it. All-ReLU is a leaky ReLU whose slope may be negative: its
 * derivative is taken from z, of which it is the same function. */
#define EACH_KIND(loop, ...) \
    case FNN_LINEAR: loop(FNN_LINEAR, __VA_ARGS__); break; \
    case FNN_RELU: loop(FNN_RELU, __VA_ARGS__); break; \
    case FNN_ALL_RELU: \
    case FNN_LEAKY_RELU: loop(FNN_LEAKY_RELU, __VA_ARGS__); break; \
    case FNN_ELU: loop(FNN_ELU, __VA_ARGS__); break; \
    case FNN_SELU: loop(FNN_SELU, __VA_ARGS__); break; \
    case FNN_SIGMOID: loop(FNN_SIGMOID, __VA_ARGS__); break; \
    case FNN_TANH_ACT: loop(FNN_TANH_ACT, __VA_ARGS__); break; \
    case FNN_SOFTPLUS: loop(FNN_SOFTPLUS, __VA_ARGS__); break; \
    case FNN_SOFTSIGN: loop(FNN_SOFTSIGN, __VA_ARGS__); break; \
    case FNN_HARD_SIGMOID: loop(FNN_HARD_SIGMOID, __VA_ARGS__); break; \
    case FNN_RELU6: loop(FNN_RELU6, __VA_ARGS__); break; \
    case FNN_EXPONENTIAL: loop(FNN_EXPONENTIAL, __VA_ARGS__); break; \
    case FNN_GELU_TANH: loop(FNN_GELU_TANH, __VA_ARGS__); break; \
    case FNN_GELU_ERF: loop(FNN_GELU_ERF, __VA_ARGS__); break; \
    case FNN_SILU: loop(FNN_SILU, __VA_ARGS__); break; \
    case FNN_MISH: loop(FNN_MISH, __VA_ARGS__); break; \
    case FNN_SIGN: loop(FNN_SIGN, __VA_ARGS__); break

static void FN(activation_forward)(int kind, double alpha, fnn_size rows, fnn_size cols,
                                   const void *z, fnn_size ldz, void *y, fnn_size ldy)
{
    if (kind <= FNN_LAST_ELEMENTWISE && ldz == cols && ldy == cols) {   /* one long row: no tail per row */
        cols *= rows;
        rows = 1;
    }
    switch (kind) {
    EACH_KIND(FN(forward_rows), alpha, rows, cols, z, ldz, y, ldy);
    case FNN_BINARY_STEP: FN(forward_rows)(FNN_BINARY_STEP, alpha, rows, cols, z, ldz, y, ldy); break;
    case FNN_TERNARY: FN(forward_rows)(FNN_TERNARY, alpha, rows, cols, z, ldz, y, ldy); break;
    case FNN_SOFTMAX: FN(softmax_rows)(FNN_SOFTMAX, rows, cols, z, ldz, y, ldy); break;
    case FNN_LOG_SOFTMAX: FN(softmax_rows)(FNN_LOG_SOFTMAX, rows, cols, z, ldz, y, ldy); break;
    }
}

static void FN(activation_backward)(int kind, double alpha, fnn_size rows, fnn_size cols,
                                    const void *dy, fnn_size lddy, const void *saved, fnn_size ldsaved,
                                    void *dz, fnn_size lddz)
{
    if (kind <= FNN_LAST_ELEMENTWISE && lddy == cols && ldsaved == cols && lddz == cols) {
        cols *= rows;
        rows = 1;
    }
    switch (FN(straight)(kind) ? FNN_SIGN : kind) {
    EACH_KIND(FN(backward_rows), alpha, rows, cols, dy, lddy, saved, ldsaved, dz, lddz);
    case FNN_SOFTMAX:
        FN(softmax_backward_rows)(FNN_SOFTMAX, rows, cols, dy, lddy, saved, ldsaved, dz, lddz);
        break;
    case FNN_LOG_SOFTMAX:
        FN(softmax_backward_rows)(FNN_LOG_SOFTMAX, rows, cols, dy, lddy, saved, ldsaved, dz, lddz);
        break;
    }
}
#undef EACH_KIND
