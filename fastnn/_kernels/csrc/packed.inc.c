/* Dense layers whose weights have few values, 64 of them in a word.
 *
 * Where the inputs have two values, a product is counted (words.inc.c). With D the bits that differ between the words of
 * a row and of an output (between two kinds of weights: the difference of both), X the row's ones and W the output's,
 * twice the product is
 *
 *              inputs -1, 1        inputs 0, 1
 *   -1, 1      2 n_in - 4 D        2 W - 2 D
 *   0, 1       2 X - 2 D           X + W - D
 *   -1, 0, 1   -2 D                W - D
 *
 * which are integers that T holds: the sum is what any order of multiply-adds gives. Other inputs are multiplied by
 * weights that are expanded to numbers for the call, FNN_STRIP at a time, as dense_forward does.
 */
/* Rows of counts on the stack */
enum { FN(COUNTED) = 16 };
typedef int32_t FN(counts) __attribute__((vector_size(VL * 4), aligned(4), may_alias));

static void FN(pack_bits)(fnn_size rows, fnn_size cols, const void *x_, fnn_size ldx, int count, uint64_t *words,
                          fnn_size ldwords)
{
    const fnn_size n = fnn_n_words(cols);
    for (fnn_size r = 0; r < rows; r++, words += ldwords) {
        const T *x = (const T *)x_ + r * ldx;
        uint64_t ones = 0;
        for (fnn_size k = 0; k < n; k++) {
            const fnn_size rest = cols - 64 * k;
            uint64_t bits = 0;
            for (fnn_size i = 0; i < 64 && i < rest; i += VL)
                bits |= (uint64_t)v_bits(v_le((V){0}, v_loadp(x + 64 * k + i, rest - i))) << i;
            if (rest < 64) bits &= (UINT64_C(1) << rest) - 1;
            words[k] = bits;
            ones += (uint64_t)__builtin_popcountll(bits);
        }
        if (count) words[n] = ones;
    }
}

/* Outputs [j, j + n), n <= W(COLS), for at most COUNTED rows */
static void FN(packed_block)(const fnn_packed *p, fnn_size rows, fnn_size j, fnn_size n, const uint64_t *x, fnn_size ldx,
                             const T *bias, T *y, fnn_size ldy)
{
    enum { COLS = W(COLS) };
    const fnn_size n_words = fnn_n_words(p->n_in), step = n_words * FNN_PANEL;
    const fnn_size plane = (p->n_out + FNN_STRIP - 1) / FNN_STRIP * FNN_STRIP * n_words;
    const int two = p->inputs == FNN_SIGN, ternary = p->weights == FNN_TERNARY, sign = p->weights == FNN_SIGN;
    const int32_t differ = two ? (sign ? 4 : 2) : sign ? 2 : 1;
    const int32_t ones = p->weights != FNN_BINARY_STEP ? 0 : two ? 2 : 1;
    int32_t count[FN(COUNTED) * COLS], less[FN(COUNTED) * COLS];
    W(product)(rows, n_words, x, ldx, p->words + j * n_words, step, count);
    if (ternary) W(product)(rows, n_words, x, ldx, p->words + plane + j * n_words, step, less);
    for (fnn_size r = 0; r < rows; r++) {
        const int32_t row = ones * (int32_t)x[r * ldx + n_words];
        for (fnn_size c = 0; c < n; c += VL) {
            FN(counts) d = *(FN(counts) *)(count + r * COLS + c);
            if (ternary) d -= *(FN(counts) *)(less + r * COLS + c);
            d = (*(const FN(counts) *)(p->constant + j + c) + row - differ * d) >> 1;
            const V shift = bias ? v_loadp(bias + j + c, n - c) : (V){0};
            v_storep(y + r * ldy + j + c, __builtin_convertvector(d, V) + shift, n - c);
        }
    }
}

/* FNN_STRIP outputs from j on as numbers, (n_in, FNN_STRIP) */
static void FN(expand)(const fnn_packed *p, fnn_size j, T *out)
{
    const fnn_size n_words = fnn_n_words(p->n_in);
    const fnn_size plane = (p->n_out + FNN_STRIP - 1) / FNN_STRIP * FNN_STRIP * n_words;
    for (fnn_size panel = 0; panel < FNN_STRIP / FNN_PANEL; panel++) {
        const uint64_t *w = p->words + (j + panel * FNN_PANEL) * n_words;
        const uint64_t *less = w + plane;
        T *at = out + panel * FNN_PANEL;
        for (fnn_size i = 0; i < p->n_in; i += T_BITS) {
            FN(uint) plus[FNN_PANEL], minus[FNN_PANEL];
            for (int c = 0; c < FNN_PANEL; c++) {
                plus[c] = (FN(uint))(w[i / 64 * FNN_PANEL + c] >> i % 64);
                minus[c] = p->weights == FNN_TERNARY ? (FN(uint))(less[i / 64 * FNN_PANEL + c] >> i % 64)
                         : p->weights == FNN_SIGN ? ~plus[c] : 0;
            }
            for (fnn_size b = 0; b < T_BITS && i + b < p->n_in; b++, at += FNN_STRIP)
                for (int c = 0; c < FNN_PANEL; c++)
                    at[c] = (T)((int)(plus[c] >> b & 1) - (int)(minus[c] >> b & 1));
        }
    }
}

/* The last rows are read NR wide, past their end. */
static fnn_size FN(packed_scratch)(fnn_size n_in) { return n_in * FNN_STRIP + NR; }

static void FN(packed_forward)(const fnn_packed *p, fnn_size rows, fnn_size j0, fnn_size j1, const void *x, fnn_size ldx,
                               const void *bias_, int activation, double alpha, void *y_, fnn_size ldy, void *expanded)
{
    const T *bias = bias_;
    T *y = y_;
    if (p->inputs == FNN_LINEAR) {
        for (fnn_size j = j0; j < j1; j += FNN_STRIP) {
            const fnn_size n = j1 - j < FNN_STRIP ? j1 - j : FNN_STRIP;
            FN(expand)(p, j, expanded);
            FN(dense_forward)(rows, p->n_in, 0, n, x, ldx, expanded, FNN_STRIP, bias ? bias + j : NULL, activation,
                              alpha, NULL, 0, y + j, ldy);
        }
        return;
    }
    /* A strip's words and those of some rows stay in the L1 cache. */
    for (fnn_size j = j0; j < j1; j += FNN_STRIP) {
        const fnn_size n = j1 - j < FNN_STRIP ? j1 - j : FNN_STRIP;
        for (fnn_size r = 0; r < rows; r += FN(COUNTED))
            for (fnn_size c = 0; c < n; c += W(COLS))
                FN(packed_block)(p, rows - r < FN(COUNTED) ? rows - r : FN(COUNTED), j + c,
                                 n - c < W(COLS) ? n - c : W(COLS), (const uint64_t *)x + r * ldx, ldx, bias,
                                 y + r * ldy, ldy);
        if (activation != FNN_LINEAR) FN(activation_forward)(activation, alpha, rows, n, y + j, ldy, y + j, ldy);
    }
}
