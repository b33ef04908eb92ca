/* One step of an optimizer: each rule is a few vector operations, one loop serves them all.
 *
 * A rule takes the parameter, its gradient and its slots and returns the new parameter; k are the scalars
 * that optimizer_scalars.c prepares, in the order enum fnn_optimizer lists. Division and square root are
 * those of IEEE 754, not estimates.
 */
typedef V FN(rule)(V p, V g, V *s, const V *k);

/* Moving averages of g and of g * g. For c <= 1 the second never rounds below zero. */
INLINE V FN(toward)(V a, V g, V c) { return v_fma(g - a, c, a); }
INLINE V FN(toward_square)(V a, V g, V c) { return v_fma(v_fma(g, g, -a), c, a); }

INLINE V FN(sgd_rule)(V p, V g, V *s, const V *k)
{
    (void)s;
    return v_fnma(k[0], g, p);
}

INLINE V FN(momentum_rule)(V p, V g, V *s, const V *k)
{
    s[0] = v_fma(k[1], s[0], -(k[0] * g));
    return p + s[0];
}

INLINE V FN(nesterov_rule)(V p, V g, V *s, const V *k)
{
    const V step = k[0] * g;
    s[0] = v_fma(k[1], s[0], -step);
    return p + v_fma(k[1], s[0], -step);
}

INLINE V FN(rmsprop_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward_square)(s[0], g, k[1]);
    s[1] = v_fma(k[2], s[1], k[0] * g / v_sqrt(s[0] + k[3]));
    return p - s[1];
}

/* The variance E[g^2] - E[g]^2 of a gradient that hardly changes may round below zero: held at zero. */
INLINE V FN(rmsprop_centered_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward_square)(s[0], g, k[1]);
    s[1] = FN(toward)(s[1], g, k[1]);
    const V variance = v_max((V){0}, v_fnma(s[1], s[1], s[0]));
    s[2] = v_fma(k[2], s[2], k[0] * g / v_sqrt(variance + k[3]));
    return p - s[2];
}

INLINE V FN(adagrad_rule)(V p, V g, V *s, const V *k)
{
    s[0] = v_fma(g, g, s[0]);
    return p - k[0] * g / v_sqrt(s[0] + k[1]);
}

INLINE V FN(adadelta_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward_square)(s[0], g, k[1]);
    const V delta = g * v_sqrt((s[1] + k[2]) / (s[0] + k[2]));
    s[1] = FN(toward_square)(s[1], delta, k[1]);
    return v_fnma(k[0], delta, p);
}

INLINE V FN(adam_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward)(s[0], g, k[1]);
    s[1] = FN(toward_square)(s[1], g, k[2]);
    return p - k[0] * s[0] / (v_sqrt(s[1]) + k[3]);
}

INLINE V FN(amsgrad_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward)(s[0], g, k[1]);
    s[1] = FN(toward_square)(s[1], g, k[2]);
    s[2] = v_max(s[2], s[1]);
    return p - k[0] * s[0] / (v_sqrt(s[2]) + k[3]);
}

INLINE V FN(adamax_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward)(s[0], g, k[1]);
    s[1] = v_max(k[2] * s[1], v_abs(g));
    return p - k[0] * s[0] / (s[1] + k[3]);
}

INLINE V FN(nadam_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward)(s[0], g, k[2]);
    s[1] = FN(toward_square)(s[1], g, k[3]);
    return p - v_fma(k[0], s[0], k[1] * g) / (v_sqrt(s[1]) + k[4]);
}

/* sign(c) is c itself where c is 0 or NaN. */
INLINE V FN(lion_rule)(V p, V g, V *s, const V *k)
{
    const V c = v_fma(k[1], s[0], k[2] * g);
    s[0] = v_fma(k[3], s[0], k[4] * g);
    return p - v_sel(v_lt((V){0}, v_abs(c)), v_copysign(k[0], c), c);
}

/* Until the variance of v can be told, k[4] is 0 and k[3] is 1: the step is then k[0] * m. */
INLINE V FN(radam_rule)(V p, V g, V *s, const V *k)
{
    s[0] = FN(toward)(s[0], g, k[1]);
    s[1] = FN(toward_square)(s[1], g, k[2]);
    return p - k[0] * s[0] / v_fma(k[4], v_sqrt(s[1]), k[3]);
}

/* FTRL with the powers of the accumulator before and after this step. Where nothing was accumulated the minimum is
 * nowhere, and the parameter stays. */
INLINE V FN(ftrl_with)(V p, V g, V *s, const V *k, V before, V after)
{
    const V zero = {0}, sigma = (after - before) * k[1];
    s[1] = s[1] + v_fma(k[4] - sigma, p, g);
    const V curve = v_fma(after, k[1], k[3]);
    const V inside = v_min(k[2], v_max(-k[2], s[1]));
    return v_sel(v_eq(curve, zero), p, (inside - s[1]) / curve);
}

INLINE V FN(ftrl_rule)(V p, V g, V *s, const V *k)
{
    const V before = v_sqrt(s[0]);
    s[0] = v_fma(g, g, s[0]);
    return FN(ftrl_with)(p, g, s, k, before, v_sqrt(s[0]));
}

/* a^n for a >= 0; 0^0 is 1 */
INLINE V FN(power)(V a, V n)
{
    const V zero = {0}, one = zero + 1;
    return v_sel(v_eq(a, zero), v_sel(v_eq(n, zero), one, zero), FN(vexp)(n * FN(vlog)(a)));
}

INLINE V FN(ftrl_power_rule)(V p, V g, V *s, const V *k)
{
    const V before = FN(power)(s[0], k[5]);
    s[0] = v_fma(g, g, s[0]);
    return FN(ftrl_with)(p, g, s, k, before, FN(power)(s[0], k[5]));
}

/* Gradients are taken at y, between the fast z and its average x. */
INLINE V FN(between)(V z, V x, const V *k) { return v_fma(k[4], x - z, z); }

/* What weight decay did to y before the step, x has to do at the same z. */
INLINE V FN(schedule_free_rule)(V p, V g, V *s, const V *k)
{
    s[2] = v_fma(p - FN(between)(s[0], s[2], k), k[5], s[2]);
    s[1] = FN(toward_square)(s[1], g, k[1]);
    s[0] = s[0] - k[0] * g / (v_sqrt(s[1] * k[2]) + k[3]);
    s[2] = FN(toward)(s[2], s[0], k[6]);
    return FN(between)(s[0], s[2], k);
}

INLINE V FN(schedule_free_begin_rule)(V p, V g, V *s, const V *k)
{
    (void)g;
    s[1] = p;
    return FN(between)(s[0], p, k);
}

INLINE V FN(lamb_rule)(V p, V g, V *s, const V *k)
{
    (void)p;
    s[0] = FN(toward)(s[0], g, k[1]);
    s[1] = FN(toward_square)(s[1], g, k[2]);
    return k[0] * s[0] / (v_sqrt(s[1] * k[3]) + k[4]);
}

INLINE V FN(muon_rule)(V p, V g, V *s, const V *k)
{
    (void)p;
    s[0] = v_fma(k[0], s[0], g);
    return v_fma(k[1], g, k[2] * s[0]);
}

INLINE V FN(adafactor_rule)(V p, V g, V *s, const V *k)
{
    (void)p;
    s[0] = FN(toward)(s[0], v_fma(g, g, k[1]), k[0]);
    return g / v_sqrt(s[0]);
}

/* Two vectors at a time reach the divider's own speed. */
enum { FN(unroll) = 2 };

/* n elements from element c of a row on, in `vectors` vectors. All loads come before the first store: where
 * arrays lie at one offset in their 4 KiB pages, a load behind a store to that offset may wait for it. */
INLINE void FN(step_vectors)(FN(rule) *rule, int slots, int vectors, const V *k, T decay,
                             T *p, const T *g, T *const *s, fnn_size c, fnn_size n)
{
    V pv[FN(unroll)], gv[FN(unroll)], sv[FN(unroll)][FNN_MAX_SLOTS] = {{{0}}};
    for (int i = 0; i < vectors; i++) {
        const fnn_size at = c + i * VL, left = n - i * VL;
        pv[i] = v_loadp(p + at, left);
        gv[i] = v_loadp(g + at, left);
        for (int j = 0; j < slots; j++) sv[i][j] = v_loadp(s[j] + at, left);
    }
    for (int i = 0; i < vectors; i++) {
        if (decay != 0) pv[i] = v_fnma(pv[i], v_set1(decay), pv[i]);
        pv[i] = rule(pv[i], gv[i], sv[i], k);
    }
    for (int i = 0; i < vectors; i++) {
        const fnn_size at = c + i * VL, left = n - i * VL;
        v_storep(p + at, pv[i], left);
        for (int j = 0; j < slots; j++) v_storep(s[j] + at, sv[i][j], left);
    }
}

/* A block without gaps is one long row. */
INLINE void FN(step_block)(FN(rule) *rule, int slots, const fnn_update *u)
{
    const int whole = u->ldparam == u->cols && u->ldgrad == u->cols;
    const fnn_size rows = whole ? 1 : u->rows, cols = whole ? u->rows * u->cols : u->cols;
    const fnn_size pair = FN(unroll) * VL;
    const T decay = (T)u->decay;
    V k[FNN_MAX_SCALARS];
    for (int i = 0; i < FNN_MAX_SCALARS; i++) k[i] = v_set1((T)u->scalar[i]);

    for (fnn_size r = 0; r < rows; r++) {
        T *p = (T *)u->param + r * u->ldparam, *s[FNN_MAX_SLOTS];
        const T *g = (const T *)u->grad + r * u->ldgrad;
        for (int j = 0; j < slots; j++) s[j] = (T *)u->slot[j] + r * u->ldparam;
        fnn_size c = 0;
        for (; c + pair <= cols; c += pair)
            FN(step_vectors)(rule, slots, FN(unroll), k, decay, p, g, s, c, pair);
        for (; c < cols; c += VL)
            FN(step_vectors)(rule, slots, 1, k, decay, p, g, s, c, cols - c);
    }
}

/* FTRL divides by the learning rate: a step of rate 0 does nothing. */
static void FN(update)(int kind, const fnn_update *u)
{
    switch (kind) {
    case FNN_SGD: FN(step_block)(FN(sgd_rule), 0, u); break;
    case FNN_MOMENTUM: FN(step_block)(FN(momentum_rule), 1, u); break;
    case FNN_NESTEROV: FN(step_block)(FN(nesterov_rule), 1, u); break;
    case FNN_RMSPROP:
        if (u->slot[1]) FN(step_block)(FN(rmsprop_rule), 2, u);
        else FN(step_block)(FN(rmsprop_rule), 1, u);
        break;
    case FNN_RMSPROP_CENTERED:
        if (u->slot[2]) FN(step_block)(FN(rmsprop_centered_rule), 3, u);
        else FN(step_block)(FN(rmsprop_centered_rule), 2, u);
        break;
    case FNN_ADAGRAD: FN(step_block)(FN(adagrad_rule), 1, u); break;
    case FNN_ADADELTA: FN(step_block)(FN(adadelta_rule), 2, u); break;
    case FNN_ADAM: FN(step_block)(FN(adam_rule), 2, u); break;
    case FNN_AMSGRAD: FN(step_block)(FN(amsgrad_rule), 3, u); break;
    case FNN_ADAMAX: FN(step_block)(FN(adamax_rule), 2, u); break;
    case FNN_NADAM: FN(step_block)(FN(nadam_rule), 2, u); break;
    case FNN_LION: FN(step_block)(FN(lion_rule), 1, u); break;
    case FNN_RADAM: FN(step_block)(FN(radam_rule), 2, u); break;
    case FNN_FTRL:
        if (u->scalar[0] != 0) FN(step_block)(FN(ftrl_rule), 2, u);
        break;
    case FNN_FTRL_POWER:
        if (u->scalar[0] != 0) FN(step_block)(FN(ftrl_power_rule), 2, u);
        break;
    case FNN_SCHEDULE_FREE: FN(step_block)(FN(schedule_free_rule), 3, u); break;
    case FNN_SCHEDULE_FREE_BEGIN: FN(step_block)(FN(schedule_free_begin_rule), 2, u); break;
    case FNN_LAMB: FN(step_block)(FN(lamb_rule), 2, u); break;
    case FNN_MUON: FN(step_block)(FN(muon_rule), 1, u); break;
    case FNN_ADAFACTOR: FN(step_block)(FN(adafactor_rule), 1, u); break;
    }
}
