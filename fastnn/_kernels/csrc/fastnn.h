/* The kernel table: what an instruction set offers for one dtype.
 *
 * Each family of kernels is one source (*.inc.c), compiled once per instruction set and dtype through
 * kernels.inc.c into one fnn_kernels. Everything above (the Cython modules) calls through that table.
 *
 * Conventions, for every function here:
 *   - no allocation, no errors, no Python, no state: the caller has checked sizes, strides and ranges;
 *   - inputs are const, outputs are given by the caller, matrices are row-major, `ld*` is the distance
 *     between rows in elements, `cols` elements of a row are contiguous unless a column stride is named;
 *   - `void *` stands for the table's dtype (float or double);
 *   - an element of a result depends on its own inputs only, in one fixed order of operations, so that
 *     neither the split into calls nor the position inside a vector changes a bit of it.
 */
#ifndef FASTNN_H
#define FASTNN_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t fnn_size;

enum fnn_dtype { FNN_F32, FNN_F64, FNN_N_DTYPES };

/* What rows of X may be made of; converted to the table's dtype while they are gathered. */
enum fnn_source {
    FNN_SRC_F32, FNN_SRC_F64, FNN_SRC_F16, FNN_SRC_I8, FNN_SRC_U8, FNN_SRC_I16, FNN_SRC_U16,
    FNN_SRC_I32, FNN_SRC_U32, FNN_SRC_I64, FNN_SRC_U64, FNN_N_SOURCES
};

enum fnn_function { FNN_EXP, FNN_EXPM1, FNN_LOG, FNN_LOG1P, FNN_TANH, FNN_ERF, FNN_N_FUNCTIONS };

/* The derivative of an activation is taken from its output y up to FNN_LAST_FROM_OUTPUT, from its input z
 * after that, and over whole rows (from the output) for the softmax pair at the end. */
enum fnn_activation {
    FNN_LINEAR, FNN_RELU, FNN_LEAKY_RELU, FNN_ELU, FNN_SELU, FNN_SIGMOID, FNN_TANH_ACT, FNN_SOFTPLUS,
    FNN_SOFTSIGN, FNN_HARD_SIGMOID, FNN_RELU6, FNN_EXPONENTIAL,
    FNN_LAST_FROM_OUTPUT = FNN_EXPONENTIAL,
    FNN_GELU_TANH, FNN_GELU_ERF, FNN_SILU, FNN_MISH, FNN_ALL_RELU,
    FNN_SIGN, FNN_BINARY_STEP, FNN_TERNARY,     /* straight-through: the derivative is that of clip(z, -1, 1) */
    FNN_LAST_ELEMENTWISE = FNN_TERNARY,
    FNN_SOFTMAX, FNN_LOG_SOFTMAX, FNN_N_ACTIVATIONS
};

enum fnn_loss_kind {
    FNN_SOFTMAX_CE_SPARSE,  /* logits, integer labels; param = label smoothing */
    FNN_SOFTMAX_CE,         /* logits, target rows;    param = label smoothing */
    FNN_SIGMOID_BCE,        /* logits, targets in [0, 1]; param = label smoothing */
    FNN_EXP_POISSON,        /* logarithms of rates; the last of those that give fnn_loss.prob */
    FNN_CE_SPARSE,          /* probabilities (normalised and clipped as Keras does), integer labels */
    FNN_CE,                 /* probabilities, target rows */
    FNN_BCE,                /* probabilities, targets */
    FNN_MSE, FNN_MAE,
    FNN_HUBER,              /* param = delta */
    FNN_POISSON,            /* rates */
    FNN_N_LOSSES
};

/* Losses over rows [0, rows) of `pred`; row r belongs to sample s = index ? index[r] : r. */
typedef struct {
    fnn_size rows, cols;
    const void *pred;        /* (rows, cols): logits or outputs */
    fnn_size ldpred;
    void *prob;              /* (rows, cols) out: probabilities, from the kinds on logits; may be pred or grad */
    fnn_size ldprob;
    const int64_t *index;    /* (rows,) or NULL */
    const int32_t *labels;   /* (n,) for the sparse kinds */
    const void *targets;     /* (n, cols) for the others, contiguous */
    const double *weight;    /* (n,) sample weights or NULL */
    double param;
    double scale;            /* the gradient is that of scale * sum_r weight_r * loss_r */
    double *row_loss;        /* (rows,) out: weight_r * loss_r */
    void *grad;              /* (rows, cols) out, or NULL for the value alone */
    fnn_size ldgrad;
} fnn_loss;

enum fnn_optimizer {
    FNN_SGD,       /* slots: none                              scalars: lr */
    FNN_MOMENTUM,  /* slots: velocity                          scalars: lr, momentum */
    FNN_NESTEROV,  /* slots: velocity                          scalars: lr, momentum */
    FNN_RMSPROP,   /* slots: velocity, [momentum]              scalars: lr, 1-rho, momentum, epsilon */
    FNN_RMSPROP_CENTERED, /* slots: velocity, average, [momentum]; scalars as RMSprop */
    FNN_ADAGRAD,   /* slots: accumulator                       scalars: lr, epsilon */
    FNN_ADADELTA,  /* slots: accumulated grad, accumulated delta   scalars: lr, 1-rho, epsilon */
    FNN_ADAM,      /* slots: m, v                              scalars: alpha, 1-beta1, 1-beta2, eps */
    FNN_AMSGRAD,   /* slots: m, v, v_hat                       scalars: as Adam */
    FNN_ADAMAX,    /* slots: m, u                              scalars: lr/(1-beta1^t), 1-beta1, beta2, eps */
    FNN_NADAM,     /* slots: m, v                              scalars: for m, for g, 1-beta1, 1-beta2, eps */
    FNN_LION,      /* slots: m                                 scalars: lr, beta1, 1-beta1, beta2, 1-beta2 */
    FNN_RADAM,     /* slots: m, v                              scalars: alpha, 1-beta1, 1-beta2, eps, 0 or 1 */
    FNN_FTRL,      /* slots: accumulator, linear               scalars: lr, 1/lr, l1, 2*l2 + beta/lr, 2*shrinkage */
    FNN_FTRL_POWER, /* the same                                the same, -power */
    FNN_SCHEDULE_FREE, /* slots: z, v, x; param is y           scalars: lr, 1-beta2, 1/(1-beta2^t), eps, beta1,
                    *                                          1/beta1, 1/t */
    FNN_SCHEDULE_FREE_BEGIN, /* slots: z, x; x = param, param = y     scalars: beta1, at its place among those above */
    /* What follows turns a gradient into a direction: param is the gradient itself, read and overwritten. */
    FNN_LAMB,      /* slots: m, v                              scalars: 1/(1-beta1^t), 1-beta1, 1-beta2,
                    *                                          1/(1-beta2^t), eps */
    FNN_MUON,      /* slots: m                                 scalars: momentum, of g, of m */
    FNN_ADAFACTOR, /* slots: v (tensors that are no matrices)  scalars: 1-beta2, epsilon_1, min(lr, t^-1/2),
                    *                                          epsilon_2, threshold */
    FNN_N_OPTIMIZERS
};
/* A slot in brackets may be NULL: then momentum must be 0. alpha = lr * sqrt(1-beta2^t) / (1-beta1^t). */
enum { FNN_MAX_SLOTS = 3, FNN_MAX_SCALARS = 8, FNN_MAX_MEMORY = 2 };

/* One step of an optimizer on a (rows, cols) block of parameters: slots share the parameters' layout. */
typedef struct {
    fnn_size rows, cols;
    void *param;
    void *slot[FNN_MAX_SLOTS];
    fnn_size ldparam;
    const void *grad;
    fnn_size ldgrad;
    double decay;                      /* learning_rate * weight_decay: param -= param * decay, first */
    double scalar[FNN_MAX_SCALARS];
} fnn_update;

/* optimizer_scalars.c fills out->decay and out->scalar for step number `step`, counted from 1. hyper is
 *   momentum, nesterov: momentum          adagrad: epsilon
 *   rmsprop (both): rho, momentum, epsilon    adadelta: rho, epsilon
 *   adam, amsgrad, adamax, nadam, radam, lamb: beta1, beta2, epsilon    lion: beta1, beta2
 *   ftrl (both): power, l1, l2, shrinkage, beta    schedule_free: beta1, beta2, epsilon, warm-up steps
 *   muon: momentum, 1 for Nesterov, iterations, their a, b, c, length (0: 1) of a step
 *   adafactor: decay of beta2, epsilon_1, epsilon_2, threshold
 * weight_decay is 0 for none. memory (1.0 before the first step) lasts from step to step: Nadam keeps its
 * product of momenta in memory[0], which this call advances; the others leave it alone. */
void fnn_optimizer_scalars(int kind, const double *hyper, double weight_decay, int64_t step,
                           double learning_rate, double *memory, fnn_update *out);

/* Weights of norm x are scaled to the norm rate * clip(x, low, high) + (1 - rate) * x, over 1 + 1e-7 / x: Keras divides
 * by x + epsilon. */
typedef struct {
    double low, high, rate;
} fnn_norm_range;

/* The orthogonal penalty, scale * sum over i < j of |u_i . u_j| for the n rows of a matrix scaled to unit vectors. */
typedef struct {
    fnn_size n, length;
    const void *unit;        /* (n, length) contiguous, of unit_rows; readable like a kernel of dense_forward */
    const double *inverse;   /* (n,) of unit_rows */
    const void *transposed;  /* panels of unit.T, of transpose */
    double scale;
    double *row_sum;         /* (n,) out: row i's part, scale / 2 * sum over j != i of |u_i . u_j| */
    void *grad;              /* added to: element c of row i at i * row_stride + c * col_stride; or NULL */
    fnn_size row_stride, col_stride;
} fnn_orthogonal;

/* Metrics add to a vector of doubles; the Python class turns it into the figure. */
enum fnn_metric_kind {
    FNN_METRIC_ACCURACY_SPARSE,  /* state: sum of weights of right rows, sum of weights */
    FNN_METRIC_ACCURACY,         /* the same, target rows (argmax against argmax) */
    FNN_METRIC_ACCURACY_BINARY,  /* the same, a row worth its share of right elements; param = threshold */
    FNN_METRIC_TOP_K_SPARSE,     /* the same, param = k */
    FNN_METRIC_TOP_K,
    FNN_METRIC_MSE,              /* state: weighted sum of row means of squares, sum of weights */
    FNN_METRIC_MAE,
    FNN_METRIC_R2,               /* state: sum of weights, then of each column the targets' mean, then their
                                  * squared deviations from it, then the squared residuals */
    FNN_METRIC_CONFUSION_SPARSE, /* state: of each column true positives, then false positives, then false
                                  * negatives; called is what exceeds param or, if that is NaN, the argmax */
    FNN_METRIC_CONFUSION,        /* the same, target rows: on where not 0 */
    FNN_METRIC_AUC,              /* state: weight of positives, then of negatives, per bin of [0, 1];
                                  * param = bins; labels, where not NULL, stand for one-hot rows */
    FNN_N_METRICS
};
typedef struct {
    fnn_size rows, cols;
    const void *pred;       /* (rows, cols) what the model gives its user: probabilities, not logits */
    fnn_size ldpred;
    const int64_t *index;   /* as in fnn_loss */
    const int32_t *labels;
    const void *targets;
    const double *weight;
    double param;
    double *state;
} fnn_metric;

/* Rows of a block of column statistics, where each of them is `inner` rows: the power of two that makes 16 to 31 */
static inline fnn_size fnn_block_rows(fnn_size inner)
{
    fnn_size rows = 16;
    while (rows > 1 && rows / 2 * inner >= 16) rows /= 2;
    return rows;
}

/* Rows [row0, row0 + rows) of a batch on their way through random zeros or noise, and what tells one draw from all
 * others. y may be x. */
typedef struct {
    fnn_size rows, cols, row0;
    const void *x;
    fnn_size ldx;
    void *y;
    fnn_size ldy;
    uint64_t seed, step;
    uint32_t stream;
} fnn_random;

/* Where a window stands over samples of shape (height, width, channels): output (oy, ox) sees the size_y x size_x pixels
 * from (oy * stride_y - top, ox * stride_x - left) on; what lies outside of the sample counts as zero in a convolution
 * and not at all in pooling. */
typedef struct {
    fnn_size height, width, channels;
    fnn_size out_height, out_width;
    fnn_size size_y, size_x, stride_y, stride_x, top, left;
} fnn_window;

/* The kernel (n_in, n_out) of a dense layer whose weights have few values, 64 of them in a word: bit i % 64 of word
 * i / 64 of an output belongs to input i, and bits past the last input are 0. The words of FNN_PANEL outputs lie in turns,
 * words[(j / FNN_PANEL * n_words + i / 64) * FNN_PANEL + j % FNN_PANEL]; outputs are a multiple of FNN_STRIP there, as
 * many as are expanded together and a multiple of every nr. */
enum { FNN_PANEL = 8, FNN_STRIP = 32 };
typedef struct {
    fnn_size n_in, n_out;
    int weights;            /* FNN_SIGN: 1 where a bit is set, else -1; FNN_BINARY_STEP: 1, else 0; FNN_TERNARY: two such
                             * kernels behind one another, where weights are 1 and where they are -1 */
    int inputs;             /* FNN_SIGN and FNN_BINARY_STEP: rows of words, of pack_bits; FNN_LINEAR: of numbers */
    const uint64_t *words;
    const int32_t *constant;    /* of each output, of packed_constant */
} fnn_packed;

/* Tables that a histogram counts in */
enum { FNN_TABLES = 4 };

/* Words for the bits of n inputs */
static inline fnn_size fnn_n_words(fnn_size n) { return (n + 63) / 64; }

enum fnn_pooling { FNN_MAX_POOLING, FNN_AVERAGE_POOLING, FNN_N_POOLINGS };

/* Where a sparse kernel (n_in, n_out) has entries: row i in columns indices[indptr[i]], ..., ascending. The same by
 * columns, for batches that are not narrow: column j in rows rows[starts[j]], ..., ascending, the values of which are at
 * places[starts[j]], ... among those of the kernel. */
typedef struct {
    fnn_size n_in, n_out;
    const int64_t *indptr;   /* (n_in + 1,) */
    const int32_t *indices;  /* (nnz,) */
    const int64_t *starts;   /* (n_out + 1,) */
    const int32_t *rows;     /* (nnz,), or NULL */
    const int64_t *places;   /* (nnz,), or NULL */
} fnn_pattern;

/* Samples in compressed rows: those of row s are entries [indptr[s], indptr[s + 1]). */
typedef struct {
    const int64_t *indptr;
    const void *indices;        /* columns: int64_t where wide, else int32_t */
    const void *values;         /* of the table's dtype */
    const int64_t *index;       /* row r is sample index[r]; NULL: r */
    fnn_size cols;
    int wide, itemsize;
} fnn_csr;

/* What the samples of a batch have to do with the rows of a kernel: entry e adds value[e] (1 where value is NULL) times
 * the vector at dy + at[e] to the gradient of row[e]. */
typedef struct {
    fnn_size n;                 /* below 2^32 */
    int32_t *row;
    int64_t *at;
    void *value;
    uint64_t *key;              /* row << 32 | e, in order */
    uint64_t *spare;            /* as long */
    int64_t *next;              /* [2]: which part is taken next, of the gradients and of the updates */
} fnn_entries;

typedef struct {
    const char *isa;
    int itemsize;
    int nr;             /* columns of a panel */
    int mr;             /* rows of the largest register tile */

    /* math.inc.c: out[i] = function(x[i]) */
    void (*math)(int function, fnn_size n, const void *x, void *out);

    /* activations.inc.c. saved is y or z, as fnn_activation says; out may be dy; y may be z. */
    void (*activation_forward)(int kind, double alpha, fnn_size rows, fnn_size cols,
                               const void *z, fnn_size ldz, void *y, fnn_size ldy);
    void (*activation_backward)(int kind, double alpha, fnn_size rows, fnn_size cols,
                                const void *dy, fnn_size lddy, const void *saved, fnn_size ldsaved,
                                void *dz, fnn_size lddz);

    /* gemm.inc.c. The kernel W is (n_in, n_out). wt is W.T in ceil(n_in / nr) panels of nr columns, each (n_out, nr),
     * with zeros past the last column; it has transposed_size elements, and transpose copies the block [i0, i1) x
     * [j0, j1) of W to its place there. */
    fnn_size (*transposed_size)(fnn_size n_in, fnn_size n_out);
    void (*transpose)(fnn_size n_out, fnn_size i0, fnn_size i1, fnn_size j0, fnn_size j1, const void *w, void *wt);
    /* Columns [j0, j1) of y = activation(x @ W + bias); j0 a multiple of nr. Rows of W are ldw apart and read up to the
     * next multiple of nr: its memory must be readable nr elements past its end. z, where not NULL, gets the input
     * of the activation. */
    void (*dense_forward)(fnn_size rows, fnn_size n_in, fnn_size j0, fnn_size j1,
                          const void *x, fnn_size ldx, const void *w, fnn_size ldw, const void *bias,
                          int activation, double alpha, void *z, fnn_size ldz, void *y, fnn_size ldy);
    /* Columns [i0, i1) of y = activation(x @ W.T + bias), from wt; i0 a multiple of nr, z as above. */
    void (*dense_forward_transposed)(fnn_size rows, fnn_size n_out, fnn_size i0, fnn_size i1,
                                     const void *x, fnn_size ldx, const void *wt, const void *bias,
                                     int activation, double alpha, void *z, fnn_size ldz, void *y, fnn_size ldy);
    /* Columns [i0, i1) of dx = (dz @ W.T) * activation'(saved): the activation is that of the layer below. */
    void (*dense_input_grad)(fnn_size rows, fnn_size n_out, fnn_size i0, fnn_size i1,
                             const void *dz, fnn_size lddz, const void *wt,
                             int activation, double alpha, const void *saved, fnn_size ldsaved,
                             void *dx, fnn_size lddx);
    /* Block [i0, i1) x [j0, j1) of dW = x.T @ dz, stored at g; a panel of dz is read nr wide, so rows of dz
     * must be readable up to the next multiple of nr. */
    void (*dense_kernel_grad)(fnn_size rows, fnn_size i0, fnn_size i1, fnn_size j0, fnn_size j1,
                              const void *x, fnn_size ldx, const void *dz, fnn_size lddz,
                              void *g, fnn_size ldg);
    /* out[j] = sum over rows of x[:, j] */
    void (*column_sum)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx, void *out);

    /* tensors.inc.c: options of optimizers, and what they need that look at a whole tensor. Sums are in double, in an
     * order that n, or rows and cols, decide alone. */
    /* sum += g; or where count is not 0: g = (g + sum) / count, sum = 0 */
    void (*accumulate)(fnn_size rows, fnn_size cols, void *g, fnn_size ldg, void *sum, fnn_size ldsum, double count);
    /* x = x held in [-limit, limit] */
    void (*clip)(fnn_size rows, fnn_size cols, void *x, fnn_size ldx, double limit);
    /* mean = momentum * mean + (1 - momentum) * param; param = mean where overwrite */
    void (*average)(fnn_size rows, fnn_size cols, void *param, void *mean, fnn_size ld, double momentum,
                    int overwrite);
    double (*sum_of_squares)(fnn_size n, const void *x);
    /* row_sum[i] and col_sum[j]: sums of g[i, j]^2 + epsilon over a row and over a column. col_sum has room for nr
     * more: it is written in whole vectors. */
    void (*square_sums)(fnn_size rows, fnn_size cols, const void *g, fnn_size ldg, double epsilon, double *row_sum,
                        double *col_sum);
    /* g[i, j] /= sqrt(row[i] * col[j]) */
    void (*over_root)(fnn_size rows, fnn_size cols, void *g, fnn_size ldg, const double *row, const double *col);
    /* y[j, i] = x[i, j] */
    void (*turn)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx, void *y, fnn_size ldy);

    /* distribution.inc.c */
    /* counts, (FNN_TABLES, bins + 1), in any of whose tables are added: how many x lie in bin
     * min((int)((x - low) * (bins / (high - low))), bins - 1), computed in double, of [low, high]; the last one of each
     * table takes what lies outside. bins is below 2^31 and bins / (high - low) finite. */
    void (*histogram)(fnn_size n, const void *x, double low, double high, fnn_size bins, int64_t *counts);
    /* out, (5,): least and greatest, sum, sum of squares of the finite x, or inf, -inf, 0, 0; how many are not finite */
    void (*extent)(fnn_size n, const void *x, double *out);

    /* conv.inc.c. Rows are samples, flat: (height, width, channels) at distances ldx, (out_height, out_width, filters) at
     * distances ldy. The kernel is (size_y, size_x, channels, filters), a dense kernel of k = size_y * size_x * channels
     * rows; it and dz are read like those of the dense products. Each call needs conv_scratch elements to itself. */
    fnn_size (*conv_scratch)(const fnn_window *window);
    void (*conv_forward)(fnn_size rows, const fnn_window *window, fnn_size filters, const void *x, fnn_size ldx,
                         const void *kernel, const void *bias, int activation, double alpha, void *z, fnn_size ldz,
                         void *y, fnn_size ldy, void *scratch);
    /* dx, times activation'(saved) of the layer below; wt is the kernel, transposed as (k, filters) */
    void (*conv_input_grad)(fnn_size rows, const fnn_window *window, fnn_size filters, const void *dz, fnn_size lddz,
                            const void *wt, int activation, double alpha, const void *saved, fnn_size ldsaved,
                            void *dx, fnn_size lddx, void *scratch);
    /* Block [i0, i1) x [j0, j1) of the kernel's gradient, at most 256 rows, at g; sums, where not NULL, gets columns
     * [j0, j1) of the bias's. */
    void (*conv_kernel_grad)(fnn_size rows, const fnn_window *window, fnn_size filters, fnn_size i0, fnn_size i1,
                             fnn_size j0, fnn_size j1, const void *x, fnn_size ldx, const void *dz, fnn_size lddz,
                             void *g, fnn_size ldg, void *sums, void *scratch);
    void (*pool_forward)(int kind, fnn_size rows, const fnn_window *window, const void *x, fnn_size ldx, void *y,
                         fnn_size ldy);
    /* dx, times activation'(saved) of the layer below; x and y are read by FNN_MAX_POOLING alone, whose gradient goes to
     * the first of equal elements. */
    void (*pool_backward)(int kind, fnn_size rows, const fnn_window *window, const void *dy, fnn_size lddy,
                          const void *x, fnn_size ldx, const void *y, fnn_size ldy, int activation, double alpha,
                          const void *saved, fnn_size ldsaved, void *dx, fnn_size lddx);

    /* losses.inc.c, metrics.inc.c, optimizers.inc.c */
    void (*loss)(int kind, const fnn_loss *args);
    void (*metric)(int kind, const fnn_metric *args);
    void (*update)(int kind, const fnn_update *args);

    /* restraints.inc.c. The sum of l1 |w| + l2 w^2; grad, where not NULL, gets the derivative added. */
    double (*penalty)(double l1, double l2, fnn_size rows, fnn_size cols, const void *w, fnn_size ldw,
                      void *grad, fnn_size ldgrad);
    /* Each column, or each row, brought into the range. */
    void (*norm_columns)(const fnn_norm_range *range, fnn_size rows, fnn_size cols, void *w, fnn_size ldw);
    void (*norm_rows)(const fnn_norm_range *range, fnn_size rows, fnn_size cols, void *w, fnn_size ldw);
    /* w[i] = keep[i] ? w[i] : 0 */
    void (*mask)(fnn_size n, const uint8_t *keep, void *w);
    /* Rows scaled to unit vectors by inverse[r], 1 / their norm or 1e7 if that is less. */
    void (*unit_rows)(fnn_size rows, fnn_size cols, void *x, fnn_size ldx, double *inverse);
    /* Rows [i0, i1) of the penalty: products holds (i1 - i0) * n elements, gradients (i1 - i0) * length. */
    void (*orthogonal)(const fnn_orthogonal *args, fnn_size i0, fnn_size i1, void *products, void *gradients);

    /* rows.inc.c */
    /* dst[r, c] = src row index[r] (or r), strides in bytes, converted from the source's type */
    void (*gather)(int source, fnn_size rows, fnn_size cols, const void *src, fnn_size row_stride,
                   fnn_size col_stride, const int64_t *index, void *dst, fnn_size lddst);
    /* y = x * scale + offset */
    void (*affine)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx, double scale, double offset,
                   void *y, fnn_size ldy);
    /* Whether all elements are finite. */
    int (*all_finite)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx);

    /* structure.inc.c */
    /* y = a + b; y may be a or b */
    void (*add)(fnn_size rows, fnn_size cols, const void *a, fnn_size lda, const void *b, fnn_size ldb, void *y,
                fnn_size ldy);
    /* y[r, i] = x[r, column[i]] for i < n, and its gradient, which is written to all `cols` columns of dx */
    void (*take_columns)(fnn_size rows, fnn_size n, const int64_t *column, const void *x, fnn_size ldx, void *y,
                         fnn_size ldy);
    void (*put_columns)(fnn_size rows, fnn_size cols, fnn_size n, const int64_t *column, const void *dy, fnn_size lddy,
                        void *dx, fnn_size lddx);
    /* y[r, c * dim ...] = row x[r, c] of the table (limit, dim). index (rows * cols,) gets the x as integers, zeros where
     * they are none in [0, limit); returns r * cols + c of the first such one, or -1. */
    fnn_size (*embed)(fnn_size rows, fnn_size cols, fnn_size dim, fnn_size limit, const void *x, fnn_size ldx,
                      const void *table, int32_t *index, void *y, fnn_size ldy);
    /* Block [t0, t1) x [j0, j1) of the table's gradient, stored at g: rows of dy added up in order. */
    void (*embed_grad)(fnn_size rows, fnn_size cols, fnn_size dim, const int32_t *index, fnn_size t0, fnn_size t1,
                       fnn_size j0, fnn_size j1, const void *dy, fnn_size lddy, void *g, fnn_size ldg);

    /* sparse.inc.c. A turned batch has its rows in panels of `panel`, the last one of a width that its rows follow from,
     * each (cols, width): sparse_rows(rows) elements a column. sparse_turn fills columns [c0, c1) of one. Values are those
     * of the kernel's entries, row by row. Each call needs sparse_scratch elements to itself. */
    int panel;
    int narrow;         /* rows of a batch that needs no positions by columns, at most */
    fnn_size (*sparse_rows)(fnn_size rows);
    fnn_size (*sparse_scratch)(const fnn_pattern *kernel);
    void (*sparse_turn)(fnn_size rows, fnn_size cols, fnn_size c0, fnn_size c1, const void *x, fnn_size ldx,
                        void *turned);
    /* Columns [j0, j1) of y = activation(x @ W + bias); z as in dense_forward. */
    void (*sparse_forward)(const fnn_pattern *kernel, fnn_size rows, fnn_size j0, fnn_size j1, const void *turned_x,
                           const void *values, const void *bias, int activation, double alpha, void *z, fnn_size ldz,
                           void *y, fnn_size ldy, void *scratch);
    /* Of rows [i0, i1) of W: the gradient of their entries, at their places in grad, and columns [i0, i1) of dx = (dz @
     * W.T) * activation'(saved). grad or dx may be NULL. */
    void (*sparse_backward)(const fnn_pattern *kernel, fnn_size rows, fnn_size i0, fnn_size i1, const void *turned_x,
                            const void *turned_dz, const void *values, void *grad, int activation, double alpha,
                            const void *saved, fnn_size ldsaved, void *dx, fnn_size lddx, void *scratch);

    /* csr.inc.c */
    /* Columns [j0, j1) of y = x @ W + bias for rows [first, first + rows) of x; clipped at zero where relu. */
    void (*csr_forward)(const fnn_csr *x, fnn_size first, fnn_size rows, const void *w, fnn_size ldw, fnn_size j0,
                        fnn_size j1, const void *bias, int relu, void *y, fnn_size ldy);
    /* g (cols,) = the sum over entries key[k0 .. k1), all of one row. `rows` of dy, which are ld apart, are summed in the
     * blocks of dense_kernel_grad; 0: in one chain, as embed_grad does. */
    void (*entry_grad)(const fnn_entries *entries, fnn_size k0, fnn_size k1, fnn_size rows, fnn_size ld, fnn_size cols,
                       const void *dy, void *g);
    /* Whether n indices, int64_t where wide, else int32_t, are in [0, limit); 0 < limit. */
    int (*all_within)(fnn_size n, const void *index, int wide, fnn_size limit);
    /* packed.inc.c. Bit c % 64 of words[r * ldwords + c / 64] is 1 where 0 <= x[r, c], 0 past the last column; behind
     * the words of a row stands the number of its ones, if that is wanted. */
    void (*pack_bits)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx, int count, uint64_t *words,
                      fnn_size ldwords);
    /* Columns [j0, j1) of y = activation(x @ W + bias), the bits that dense_forward gives for W as numbers; j0 a multiple
     * of FNN_STRIP. x is rows of words and their number of ones, or of numbers: `expanded` then holds packed_scratch
     * elements. */
    fnn_size (*packed_scratch)(fnn_size n_in);
    void (*packed_forward)(const fnn_packed *kernel, fnn_size rows, fnn_size j0, fnn_size j1, const void *x,
                           fnn_size ldx, const void *bias, int activation, double alpha, void *y, fnn_size ldy,
                           void *expanded);

    /* noise.inc.c */
    /* y = x as values of FNN_SIGN (1 with probability (x + 1) / 2), FNN_BINARY_STEP (the same) or FNN_TERNARY (the sign of x
     * with probability |x|) */
    void (*round_randomly)(int values, const fnn_random *at);
    /* y = keep ? x * scale + offset : other; an element is dropped with probability `rate`. Where `kept` is not NULL,
     * bit c % 64 of kept[r * ldkept + c / 64] says whether it was kept. */
    void (*dropout)(const fnn_random *at, double rate, double scale, double offset, double other, uint64_t *kept,
                    fnn_size ldkept);
    /* y = kept ? x * scale : 0 */
    void (*keep_scaled)(fnn_size rows, fnn_size cols, const void *x, fnn_size ldx, const uint64_t *kept,
                        fnn_size ldkept, double scale, void *y, fnn_size ldy);
    /* y = x + g or, if it multiplies, x (1 + g); g normal with mean 0 */
    void (*gaussian)(const fnn_random *at, int multiplies, double stddev);

    /* norms.inc.c. Each of `rows` is `inner` rows, `pitch` elements apart, of which `cols` columns are wanted (all of
     * them where no pitch is named). What belongs to columns is contiguous; gamma, beta and constant may be NULL.
     * A block's mean and sum of squared deviations; blocks of `count` rows, the last of `last`, into those of all,
     * which are ld apart. */
    void (*column_moments)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *x, fnn_size ldx,
                           void *mean, void *square);
    void (*merge_moments)(fnn_size blocks, double count, double last, fnn_size cols, const void *mean,
                          const void *square, fnn_size ld, void *out_mean, void *variance);
    /* inverse = 1 / sqrt(variance + epsilon), scale = gamma * inverse */
    void (*inverse_deviation)(fnn_size cols, const void *variance, double epsilon, const void *gamma, void *inverse,
                              void *scale);
    /* y = (x - mean) * scale + beta */
    void (*normalize)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *x, fnn_size ldx,
                      const void *mean, const void *scale, const void *beta, void *y, fnn_size ldy);
    /* A block's sums of dy and of dy * (x - mean); all blocks' into dbeta and dgamma and, for `total` rows, into what
     * normalize_backward subtracts: dx = scale * (dy - constant - (x - mean) * slope) */
    void (*gradient_moments)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy,
                             fnn_size lddy, const void *x, fnn_size ldx, const void *mean, void *sum, void *product);
    void (*merge_gradients)(fnn_size blocks, double total, fnn_size cols, const void *sum, const void *product,
                            fnn_size ld, const void *inverse, void *dbeta, void *dgamma, void *constant, void *slope);
    void (*normalize_backward)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy,
                               fnn_size lddy, const void *x, fnn_size ldx, const void *mean, const void *scale,
                               const void *constant, const void *slope, void *dx, fnn_size lddx);
    /* Over the columns of a row: y = (x - mean) / sqrt(variance + epsilon) * gamma + beta, mean and 1 / sqrt(...) of
     * each (inner) row into statistics, if that is not NULL. If not centred, mean is 0 and variance the mean square. */
    void (*row_normalize)(fnn_size rows, fnn_size inner, fnn_size cols, int centred, double epsilon, const void *x,
                          fnn_size ldx, const void *gamma, const void *beta, void *statistics, void *y, fnn_size ldy);
    void (*row_normalize_backward)(fnn_size rows, fnn_size inner, fnn_size cols, int centred, const void *dy,
                                   fnn_size lddy, const void *x, fnn_size ldx, const void *gamma,
                                   const void *statistics, void *dx, fnn_size lddx);
    /* dbeta = sum of dy, dgamma = sum of dy * normalized x; either may be NULL */
    void (*row_gradient_sums)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy,
                              fnn_size lddy, const void *x, fnn_size ldx, const void *statistics, void *dbeta,
                              void *dgamma);
    /* y = x > 0 ? x : alpha * x */
    void (*prelu_forward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *x, fnn_size ldx,
                          const void *alpha, void *y, fnn_size ldy);
    void (*prelu_backward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *dy, fnn_size lddy,
                           const void *x, fnn_size ldx, const void *alpha, void *dx, fnn_size lddx);
    void (*prelu_sums)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy, fnn_size lddy,
                       const void *x, fnn_size ldx, void *dalpha);
    /* y = l + a (x - l) for x <= l, r + b (x - r) for x >= r, else x; p and sums are those of l, a, r - l, b, and r is
     * l + |r - l| */
    void (*srelu_forward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *x, fnn_size ldx,
                          const void *const *p, void *y, fnn_size ldy);
    void (*srelu_backward)(fnn_size rows, fnn_size inner, fnn_size cols, const void *dy, fnn_size lddy,
                           const void *x, fnn_size ldx, const void *const *p, void *dx, fnn_size lddx);
    void (*srelu_sums)(fnn_size rows, fnn_size inner, fnn_size pitch, fnn_size cols, const void *dy, fnn_size lddy,
                       const void *x, fnn_size ldx, const void *const *p, void *const *sums);
} fnn_kernels;

/* words.c. The constants that packed_forward adds for its inputs' values, constant[j] for n_out in whole panels. */
void fnn_packed_constant(const fnn_packed *kernel, int32_t *constant);

/* One table per instruction set that was compiled in; NULL for a dtype out of range. */
const fnn_kernels *fnn_kernels_baseline(int dtype);
const fnn_kernels *fnn_kernels_avx2(int dtype);
const fnn_kernels *fnn_kernels_avx512(int dtype);

/* First row of src with a value that is NaN or infinite once it is converted to dtype, or -1. */
fnn_size fnn_first_nonfinite_row(int source, int dtype, fnn_size rows, fnn_size cols, const void *src,
                                 fnn_size row_stride, fnn_size col_stride);

/* Integers of an integer source, `stride` bytes apart, as labels; 0 if one is not in [0, n_classes) or the source is
 * none of integers. */
int fnn_copy_labels(int source, fnn_size n, const void *src, fnn_size stride, fnn_size n_classes, int32_t *labels);

/* First row of a column of src that holds no integer in [0, limit), or -1; not for FNN_SRC_F16. */
fnn_size fnn_first_bad_index(int source, fnn_size rows, const void *src, fnn_size row_stride, fnn_size limit);

/* pattern.c. Where each column of a pattern begins; with that, its rows and places, `next` (n_out,) being memory to work
 * in; the place of each entry among those of `other`, -1 where it is none of them. */
void fnn_pattern_starts(const fnn_pattern *pattern, int64_t *starts);
void fnn_pattern_columns(const fnn_pattern *pattern, int32_t *rows, int64_t *places, int64_t *next);
void fnn_pattern_places(const fnn_pattern *pattern, const fnn_pattern *other, int64_t *places);
/* Where `part` of `parts` begins of n rows or columns, of about as many entries each: a multiple of unit, or n. */
fnn_size fnn_pattern_cut(const int64_t *starts, fnn_size n, fnn_size unit, int part, int parts);

/* topology.c. Of rows x cols places, the entries of a sparse matrix are those in indptr (int64) and indices (int32),
 * row by row in ascending order. A position is row * cols + column.
 *
 * `count` of n positions, at most 2^53, drawn at random, in ascending order. There is `room` for some more of them,
 * at least count + 12 sqrt(count) + 64 or n, and in `gone` for as many bits. */
void fnn_random_positions(uint64_t seed, uint32_t stream, int64_t n, fnn_size count, fnn_size room, int64_t *positions,
                          uint64_t *gone);

/* The entries at n positions, in ascending order */
void fnn_compress_rows(fnn_size rows, fnn_size cols, fnn_size n, const int64_t *positions, int64_t *indptr,
                       int32_t *indices);

/* Ranks among the positions without entry, in ascending order, become positions. */
void fnn_free_positions(fnn_size rows, fnn_size cols, const int64_t *indptr, const int32_t *indices, fnn_size n,
                        int64_t *ranks);

/* The entries that are kept, and n new ones at other positions in ascending order. `origin` tells the place of each
 * among the old entries, -1 for a new one. */
void fnn_merge_pattern(fnn_size rows, fnn_size cols, const int64_t *indptr, const int32_t *indices,
                       const uint8_t *kept, fnn_size n, const int64_t *positions, int64_t *new_indptr,
                       int32_t *new_indices, int64_t *origin);

/* Of the n numbers, finite and of 4 or 8 bytes, that are kept, the `count` of the smallest magnitudes are so no more:
 * of all, or of those with one sign. Equal ones go in their order. `counts` is memory for 65536 numbers. */
void fnn_drop_smallest(int itemsize, fnn_size n, const void *values, int sign, fnn_size count, fnn_size *counts,
                       uint8_t *kept);

/* entries.c. One thread's part of entries->key, for rows below `limit`: all threads make all of it. */
void fnn_sort_entries(const fnn_entries *entries, fnn_size limit, int thread, int n_threads);
/* What is still to be done is taken by whoever comes first: numbers from 0 on. */
static inline int64_t fnn_take(int64_t *next) { return __atomic_fetch_add(next, 1, __ATOMIC_RELAXED); }
/* Memory that is needed soon */
static inline void fnn_send_for(const void *p, fnn_size bytes)
{
    for (fnn_size b = 0; b < bytes; b += 64) __builtin_prefetch((const char *)p + b);
}
/* The first k whose key is of `row` or a later one. */
fnn_size fnn_first_entry(const fnn_entries *entries, fnn_size row);
/* The entries of a sample, of which all are `at` in dy, as numbers e, e + 1, ...; returns how many. */
fnn_size fnn_load_entries(const fnn_csr *x, fnn_size sample, fnn_size at, const fnn_entries *entries, fnn_size e);

/* What is wrong with an indptr of rows + 1 numbers for `length` entries, and in which row. */
enum { FNN_CSR_GOOD, FNN_CSR_BEGIN, FNN_CSR_DECREASES, FNN_CSR_END };
int fnn_csr_fault(const void *indptr, int wide, fnn_size rows, fnn_size length, fnn_size *row);
/* First entry that is no column in [0, limit), or is not above the one before it in its row; or -1. */
fnn_size fnn_first_outside(const void *indices, int wide, fnn_size n, fnn_size limit);
fnn_size fnn_first_unsorted(const int64_t *indptr, const void *indices, int wide, fnn_size rows);

#endif
