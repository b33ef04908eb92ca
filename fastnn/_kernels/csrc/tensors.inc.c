/* What the options of optimizers do to gradients and parameters, and sums over whole tensors for optimizers that are
 * not elementwise. Sums are in double: a lane of a vector adds its elements in order, and then lane is added to lane. */
static void FN(accumulate)(fnn_size rows, fnn_size cols, void *g, fnn_size ldg, void *sum, fnn_size ldsum, double count)
{
    const V divisor = v_set1((T)count);
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size c = 0; c < cols; c += VL) {
            T *grad = (T *)g + r * ldg + c, *total = (T *)sum + r * ldsum + c;
            const V all = v_loadp(grad, cols - c) + v_loadp(total, cols - c);
            v_storep(total, count != 0 ? (V){0} : all, cols - c);
            if (count != 0) v_storep(grad, all / divisor, cols - c);
        }
}

/* NaN stays NaN */
static void FN(clip_values)(fnn_size rows, fnn_size cols, void *x, fnn_size ldx, double limit)
{
    const V high = v_set1((T)limit);
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size c = 0; c < cols; c += VL) {
            T *p = (T *)x + r * ldx + c;
            v_storep(p, v_min(high, v_max(-high, v_loadp(p, cols - c))), cols - c);
        }
}

static void FN(move_average)(fnn_size rows, fnn_size cols, void *param, void *mean, fnn_size ld, double momentum,
                        int overwrite)
{
    const V old = v_set1((T)momentum), new = v_set1((T)(1 - momentum));
    for (fnn_size r = 0; r < rows; r++)
        for (fnn_size c = 0; c < cols; c += VL) {
            T *p = (T *)param + r * ld + c, *m = (T *)mean + r * ld + c;
            const V a = v_fma(old, v_loadp(m, cols - c), new * v_loadp(p, cols - c));
            v_storep(m, a, cols - c);
            if (overwrite) v_storep(p, a, cols - c);
        }
}

INLINE double FN(sum_of_lanes)(FN(wide) a)
{
    double total = 0;
    for (int part = 0; part < FN(n_parts); part++)
        for (int i = 0; i < VL / FN(n_parts); i++) total += a.part[part][i];
    return total;
}

static double FN(sum_of_squares)(fnn_size n, const void *x)
{
    const T *p = x;
    FN(wide) sum = {{{0}}};
    for (fnn_size c = 0; c < n; c += VL) {
        const V a = v_loadp(p + c, n - c);
        for (int part = 0; part < FN(n_parts); part++) {
            const FN(dvec) wide = v_widen(a, part);
            sum.part[part] += wide * wide;
        }
    }
    return FN(sum_of_lanes)(sum);
}

/* epsilon is added once for all of a sum's terms: lanes past the last column have to add nothing. */
static void FN(square_sums)(fnn_size rows, fnn_size cols, const void *g, fnn_size ldg, double epsilon,
                            double *row_sum, double *col_sum)
{
    const fnn_size lanes = VL / FN(n_parts);
    for (fnn_size c = 0; c < cols; c += VL)
        for (fnn_size j = c; j < c + VL; j++) col_sum[j] = (double)rows * epsilon;
    for (fnn_size i = 0; i < rows; i++) {
        const T *row = (const T *)g + i * ldg;
        FN(wide) sum = {{{0}}};
        for (fnn_size c = 0; c < cols; c += VL) {
            const V a = v_loadp(row + c, cols - c);
            for (int part = 0; part < FN(n_parts); part++) {
                const FN(dvec) wide = v_widen(a, part);
                FN(dvec) column;
                memcpy(&column, col_sum + c + part * lanes, sizeof column);
                column += wide * wide;
                memcpy(col_sum + c + part * lanes, &column, sizeof column);
                sum.part[part] += wide * wide;
            }
        }
        row_sum[i] = FN(sum_of_lanes)(sum) + (double)cols * epsilon;
    }
}

static void FN(over_root)(fnn_size rows, fnn_size cols, void *g, fnn_size ldg, const double *row, const double *col)
{
    for (fnn_size i = 0; i < rows; i++) {
        T *p = (T *)g + i * ldg;
        for (fnn_size j = 0; j < cols; j++) p[j] = (T)(p[j] / sqrt(row[i] * col[j]));
    }
}

/* Blocks of 16 x 16 keep the lines of both sides in the L1 cache. */
static void FN(turn)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx, void *y, fnn_size ldy)
{
    enum { SIDE = 16 };
    for (fnn_size i0 = 0; i0 < rows; i0 += SIDE)
        for (fnn_size j0 = 0; j0 < cols; j0 += SIDE)
            for (fnn_size i = i0; i < i0 + SIDE && i < rows; i++)
                for (fnn_size j = j0; j < j0 + SIDE && j < cols; j++)
                    ((T *)y)[j * ldy + i] = ((const T *)x)[i * ldx + j];
}
