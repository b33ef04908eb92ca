/* exp, expm1, log, log1p, tanh, erf, sine and cosine and their relatives on whole vectors, within 3 units in the last
 * place.
 *
 * Every polynomial is a minimax fit (Remez exchange, 40 digits, error relative to the function) made for this
 * file; the comment beside it names what is fitted and the relative error that the fit adds. No lane takes a
 * branch: rounding and exponents go through magic numbers, edges through selection. Nothing relies on v_fma
 * rounding once.
 */
#define POLY(x, c) FN(poly)(x, c, sizeof(c) / sizeof(T))

#if T_BITS == 32
static const T FN(exp_min) = -104.0, FN(exp_max) = 89.0; /* past these exp is 0 and infinity */
static const T FN(gauss_max) = 15.0;                   /* past it z * cdf(-z) is 0 */
static const T FN(smallest_normal) = 0x1p-126;
static const T FN(magic) = 0x1.8p23;                   /* adding it rounds to an integer in the low bits */
static const T FN(ln2_hi) = 0x1.62e4p-1;               /* 14 bits: times any exponent it is exact */
static const T FN(ln2_lo) = 1.42860682e-06;
/* (expm1(r) - r) / r^2 on |r| <= ln(2) / 2: 2^-31.9 of expm1 */
static const T FN(c_exp)[] = {0.5, 0.166666657, 0.0416663587, 0.00833338965, 0.00139408291, 0.000198459544};
/* (2 atanh(s) / s - 2) / s^2 in s^2, |s| <= 3 - 2 sqrt(2): 2^-30.1 of atanh */
static const T FN(c_log)[] = {0.666667759, 0.399774998, 0.298729837};
/* erf(t) / t - 1 in t^2, t <= 1: 2^-29.6 of erf */
static const T FN(c_erf)[] = {0.128379166, -0.37612626, 0.112835854, -0.0268538129, 0.00518832728,
                              -0.000801018847, 7.85383527e-05};
/* (a + K) exp(a^2 / 2) cdf(-a) in (a - K) / (a + K), a <= 15: 2^-29.9 */
static const T FN(tail_k) = 3.0;
static const T FN(c_tail)[] = {
    0.729083717, -0.509332001, 0.230017707, -0.0472626872, -0.0104625132, 0.00696931127, 0.00102475425,
    -0.00103257399, -0.000244730443, 0.000131330671, 5.44894283e-05};
/* (sin(a) / a - 1) / a^2 and (cos(a) - 1 + a^2 / 2) / a^4 in a^2, a <= pi / 4: 2^-28.0 of sin, 2^-33.0 of cos */
static const T FN(c_sin)[] = {-0.166666546, 0.00833216053, -0.000195152507};
static const T FN(c_cos)[] = {0.0416666457, -0.00138873159, 2.44331199e-05};
#else
static const T FN(exp_min) = -745.2, FN(exp_max) = 709.9;
static const T FN(gauss_max) = 39.0;
static const T FN(smallest_normal) = 0x1p-1022;
static const T FN(magic) = 0x1.8p52;
static const T FN(ln2_hi) = 0x1.62e42fefa3p-1;         /* 41 bits */
static const T FN(ln2_lo) = 2.8235290563031577e-13;
/* As above: 2^-61.7, 2^-59.4, 2^-56.9, 2^-57.6, 2^-57.9, 2^-64.0 */
static const T FN(c_exp)[] = {
    0.5, 0.16666666666666677, 0.041666666666666505, 0.0083333333333215145, 0.001388888888896373,
    0.000198412698864769, 2.4801587170594222e-05, 2.7557243804126771e-06, 2.7557403676713657e-07,
    2.5109195213574996e-08, 2.0875201868064282e-09};
static const T FN(c_log)[] = {
    0.66666666666667351, 0.3999999999941114, 0.28571428743259575, 0.22222198475691302, 0.18183569780281886,
    0.1531390170173742, 0.14797527202229679};
static const T FN(c_erf)[] = {
    0.12837916709551256, -0.37612638903183521, 0.11283791670944185, -0.026866170643111347,
    0.0052239776061174595, -0.00085483259292721842, 0.0001205529357588592, -1.4924712287322375e-05,
    1.6447131443698054e-06, -1.6206313135914714e-07, 1.3710978991939559e-08, -7.7794678413762537e-10};
static const T FN(tail_k) = 5.5;
static const T FN(c_tail)[] = {
    0.77376963427640677, -0.68518342057433812, 0.53559648906249502, -0.36704906529361953, 0.21787243285793989,
    -0.10970308995873061, 0.045097580815317603, -0.013923510565396624, 0.0024429826698744448,
    0.00026960399734738316, -0.00032452262280144252, 7.1414876616525237e-05, 1.6319874007566506e-05,
    -1.2119011689349709e-05, 4.4659103165845621e-07, 1.4841674132903366e-06, -2.680778737099662e-07,
    -1.7808002292597487e-07, 5.0412289120163897e-08, 2.3366614328771738e-08, -5.6142036347952319e-09,
    -2.7384885540281645e-09, -5.8777447984394672e-11};
static const T FN(c_sin)[] = {
    -0.1666666666666663, 0.008333333333322113, -0.00019841269829584852, 2.7557313619701554e-06,
    -2.5050747490483996e-08, 1.5896213892502628e-10};
static const T FN(c_cos)[] = {
    0.041666666666666595, -0.0013888888888873049, 2.4801587288846547e-05, -2.7557314177767549e-07,
    2.0875700628947681e-09, -1.1358525233322428e-11};
#endif

/* c[0] + c[1] x + ..., even and odd powers apart: half as many multiply-adds wait for each other. */
INLINE V FN(poly)(V x, const T *c, int n)
{
    if (n < 5) {
        V p = v_set1(c[n - 1]);
#pragma GCC unroll 4
        for (int i = n - 2; i >= 0; i--) p = v_fma(p, x, v_set1(c[i]));
        return p;
    }
    const V square = x * x;
    V even = v_set1(c[(n - 1) / 2 * 2]), odd = v_set1(c[n / 2 * 2 - 1]);
#pragma GCC unroll 16
    for (int i = (n - 1) / 2 * 2 - 2; i >= 0; i -= 2) even = v_fma(even, square, v_set1(c[i]));
#pragma GCC unroll 16
    for (int i = n / 2 * 2 - 3; i > 0; i -= 2) odd = v_fma(odd, square, v_set1(c[i]));
    return v_fma(odd, x, even);
}

/* n = x / ln 2 to the nearest integer; the low bits of the answer hold n + EXPONENT_BIAS. */
INLINE VU FN(exponent_of)(V x, V *n)
{
    const V log2_e = v_set1((T)0x1.71547652b82fep+0), magic = v_set1(FN(magic) + EXPONENT_BIAS);
    const V shifted = v_fma(x, log2_e, magic);
    *n = shifted - magic;
    return (VU)shifted;
}

/* expm1(r), |r| <= ln(2) / 2 */
INLINE V FN(expm1_reduced)(V r) { return v_fma(r * r, POLY(r, FN(c_exp)), r); }

INLINE V FN(vexp)(V x)
{
    V n;
    x = v_min(v_set1(FN(exp_max)), v_max(v_set1(FN(exp_min)), x));
    const VU biased = FN(exponent_of)(x, &n);
    const V r = v_fnma(n, v_set1(FN(ln2_lo)), v_fnma(n, v_set1(FN(ln2_hi)), x));
    return v_scale(FN(expm1_reduced)(r) + 1, n, biased);
}

/* exp(-c a^2), c = 1 or 1/2, 0 <= a <= gauss_max. The square is kept in two parts: rounded to one, its error
 * would be multiplied by a^2. The leading half of a has an exact square, fused or not. */
INLINE V FN(exp_minus_square)(V a, T c)
{
    V n;
    const V lead = (V)((VU)a >> (MANTISSA_BITS / 2 + 1) << (MANTISSA_BITS / 2 + 1));
    const V hi = -c * lead * lead, lo = -c * (a - lead) * (a + lead);
    const VU biased = FN(exponent_of)(hi + lo, &n);
    const V r = v_fnma(n, v_set1(FN(ln2_hi)), hi) + v_fnma(n, v_set1(FN(ln2_lo)), lo);
    return v_scale(FN(expm1_reduced)(r) + 1, n, biased);
}

/* expm1(x) / 2, -50 <= x <= exp_max: halved, so that the power of two does not overflow before expm1 does */
INLINE V FN(half_expm1)(V x)
{
    V n;
    const VU biased = FN(exponent_of)(x, &n);
    const V r = v_fnma(n, v_set1(FN(ln2_lo)), v_fnma(n, v_set1(FN(ln2_hi)), x));
    const V power = (V)((biased - 1) << MANTISSA_BITS);
    return v_fma(power, FN(expm1_reduced)(r), power - (T)0.5);
}

INLINE V FN(vexpm1)(V x)
{
    const V inside = v_min(v_set1(FN(exp_max)), v_max(v_set1(-50), x));
    return v_copysign(2 * FN(half_expm1)(inside), x);
}

INLINE V FN(vtanh)(V x)
{
    const V h = FN(half_expm1)(2 * v_min(v_set1(20), v_abs(x)));
    return v_copysign(h / (h + 1), x);
}

/* 1 / (1 + exp(-x)): the exponential of -|x| neither overflows nor rounds a small sigmoid away */
INLINE V FN(vsigmoid)(V x)
{
    const V e = FN(vexp)(-v_abs(x));
    return v_sel(v_lt(x, v_set1(0)), e, v_set1(1)) / (e + 1);
}

/* log(1 + f) + k ln 2, sqrt(1/2) <= 1 + f <= sqrt(2). With s = f / (2 + f): log(1 + f) = 2 atanh(s), and
 * 2s = f - f^2/2 + s f^2/2, whose leading f is exact. */
INLINE V FN(log_sum)(V f, V k)
{
    const V s = f / (f + 2), z = s * s, half_square = (T)0.5 * f * f;
    const V rest = v_fma(s, v_fma(z, POLY(z, FN(c_log)), half_square), k * FN(ln2_lo));
    return v_fma(k, v_set1(FN(ln2_hi)), f - (half_square - rest));
}

/* x = m 2^k, sqrt(1/2) <= m < sqrt(2), x positive and normal; the answer is k + EXPONENT_BIAS. */
INLINE VU FN(split)(V x, V *m, V *k)
{
    const T integers = (T)((TI)1 << MANTISSA_BITS);   /* from here on the bits count up one by one */
    const VU low = (VU)v_set1((T)0x1.6a09e667f3bcdp-1), one = (VU)v_set1(1);
    const VU shifted = (VU)x + (one - low), biased = shifted >> MANTISSA_BITS;
    *m = (V)((shifted - (biased << MANTISSA_BITS)) + low);
    *k = (V)(biased | (VU)v_set1(integers)) - (integers + EXPONENT_BIAS);
    return biased;
}

/* log x, given y = log x for finite positive x */
INLINE V FN(log_edges)(V x, V y)
{
    const V zero = v_set1(0), inf = v_set1(INFINITY);
    const V outside = v_sel(v_le(zero, x), -inf, v_set1(NAN));
    return v_sel(v_lt(zero, x), v_sel(v_lt(x, inf), y, x), outside);
}

INLINE V FN(vlog)(V x)
{
    V m, k;
    const T up = (T)((TI)1 << (MANTISSA_BITS + 1));
    const M subnormal = v_lt(x, v_set1(FN(smallest_normal)));
    FN(split)(v_sel(subnormal, x * up, x), &m, &k);
    k = v_sel(subnormal, k - (MANTISSA_BITS + 1), k);
    return FN(log_edges)(x, FN(log_sum)(m - 1, k));
}

/* log u, u = 1 + x, with what the sum lost put back where m - 1 is exact; past 2^60 it no longer counts. */
INLINE V FN(vlog1p)(V x)
{
    V m, k;
    const V u = x + 1, d = u - 1, lost = (1 - (u - d)) + (x - d);
    const VU biased = FN(split)(u, &m, &k);
    const V power = (V)((2 * EXPONENT_BIAS - biased) << MANTISSA_BITS);   /* 2^-k */
    const V f = (m - 1) + v_sel(v_lt(u, v_set1(0x1p60)), lost * power, v_set1(0));
    return v_copysign(FN(log_edges)(u, FN(log_sum)(f, k)), x);
}

/* log(1 + exp(-|x|)): softplus(x) = max(x, 0) + this */
INLINE V FN(vlog1pexp)(V x)
{
    const V e = FN(vexp)(-v_abs(x));
    const M upper = v_lt(v_set1((T)0.41421356237309503), e);
    return FN(log_sum)(v_sel(upper, (T)0.5 * (e - 1), e), v_sel(upper, v_set1(1), v_set1(0)));
}

/* exp(a^2 / 2) cdf(-a) of the normal distribution, a >= 0. The variable (a - K) / (a + K), after Shepherd and
 * Laframboise (Chebyshev approximation of (1 + 2x) exp(x^2) erfc x, 1981), maps the half-line to [-1, 1). */
INLINE V FN(normal_tail)(V a)
{
    const V y = 1 / (a + FN(tail_k));
    return y * POLY((a - FN(tail_k)) * y, FN(c_tail));
}

/* The normal distribution function at z, exact to the last digits in its lower tail too, and its density. */
INLINE V FN(normal_cdf)(V z, V *density)
{
    const V a = v_min(v_set1(FN(gauss_max)), v_abs(z));
    const V e = FN(exp_minus_square)(a, (T)0.5), tail = e * FN(normal_tail)(a);
    *density = e * (T)0.3989422804014327;
    return v_sel(v_lt(z, v_set1(0)), tail, 1 - tail);
}

/* The polynomial up to 1; past it 1 - erfc, small enough there not to lose digits. erf(6) is 1. */
INLINE V FN(verf)(V x)
{
    const V near = v_fma(x, POLY(x * x, FN(c_erf)), x), t = v_abs(x), a = v_min(v_set1(6), t);
    const V erfc = 2 * FN(exp_minus_square)(a, 1) * FN(normal_tail)(a * (T)1.4142135623730951);
    return v_sel(v_lt(t, v_set1(1)), near, v_copysign(1 - erfc, x));
}

/* Integers; lanes of 64 bits, which no instruction set below AVX-512 converts, must be below 2^51 in magnitude. */
INLINE V FN(from_int)(VI n)
{
#if T_BITS == 32
    return __builtin_convertvector(n, V);
#else
    return (V)(n + (VI)v_set1(FN(magic))) - FN(magic);
#endif
}

/* Sine and cosine of 2 pi turn / 2^32, from the nearest quarter of a turn on. Lanes hold turns below 2^32. */
INLINE void FN(sincos_turn)(VU turn, V *sine, V *cosine)
{
    const VU shifted = (turn + (1u << 29)) & 0xffffffffu, quarter = shifted >> 30;
    const VI rest = (VI)(shifted & ((1u << 30) - 1)) - (1 << 29);
    const V a = FN(from_int)(rest) * (T)1.4629180792671596e-09, z = a * a;   /* 2 pi / 2^32 */
    const V s = v_fma(a * z, POLY(z, FN(c_sin)), a);
    const V c = v_fma(z * z, POLY(z, FN(c_cos)), 1 - (T)0.5 * z);
    const VI swap = -(VI)(quarter & 1);
    const VU high = (quarter >> 1) << (T_BITS - 1), either = ((quarter ^ (quarter >> 1)) & 1) << (T_BITS - 1);
    *sine = (V)(((swap & (VI)c) | (~swap & (VI)s)) ^ (VI)high);
    *cosine = (V)(((swap & (VI)s) | (~swap & (VI)c)) ^ (VI)either);
}

INLINE V FN(apply)(int function, V x)
{
    switch (function) {
    case FNN_EXP: return FN(vexp)(x);
    case FNN_EXPM1: return FN(vexpm1)(x);
    case FNN_LOG: return FN(vlog)(x);
    case FNN_LOG1P: return FN(vlog1p)(x);
    case FNN_TANH: return FN(vtanh)(x);
    default: return FN(verf)(x);
    }
}

INLINE void FN(map)(const int function, fnn_size n, const T *x, T *out)
{
    for (fnn_size i = 0; i < n; i += VL) v_storep(out + i, FN(apply)(function, v_loadp(x + i, n - i)), n - i);
}

/* Each case is a loop of its own: `function` is a constant inside it. */
static void FN(math)(int function, fnn_size n, const void *x, void *out)
{
    switch (function) {
    case FNN_EXP: FN(map)(FNN_EXP, n, x, out); break;
    case FNN_EXPM1: FN(map)(FNN_EXPM1, n, x, out); break;
    case FNN_LOG: FN(map)(FNN_LOG, n, x, out); break;
    case FNN_LOG1P: FN(map)(FNN_LOG1P, n, x, out); break;
    case FNN_TANH: FN(map)(FNN_TANH, n, x, out); break;
    case FNN_ERF: FN(map)(FNN_ERF, n, x, out); break;
    }
}
#undef POLY
