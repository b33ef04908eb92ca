"""The C side as Cython sees it; fastnn.h and threads.h document it."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "fastnn.h" nogil:
    ctypedef Py_ssize_t fnn_size

    int FNN_F32, FNN_F64
    int FNN_SRC_F32, FNN_SRC_F64, FNN_SRC_F16, FNN_SRC_I8, FNN_SRC_U8, FNN_SRC_I16, FNN_SRC_U16
    int FNN_SRC_I32, FNN_SRC_U32, FNN_SRC_I64, FNN_SRC_U64
    int FNN_EXP, FNN_EXPM1, FNN_LOG, FNN_LOG1P, FNN_TANH, FNN_ERF
    int FNN_LINEAR, FNN_RELU, FNN_LEAKY_RELU, FNN_ELU, FNN_SELU, FNN_SIGMOID, FNN_TANH_ACT, FNN_SOFTPLUS
    int FNN_SOFTSIGN, FNN_HARD_SIGMOID, FNN_RELU6, FNN_EXPONENTIAL, FNN_LAST_FROM_OUTPUT
    int FNN_GELU_TANH, FNN_GELU_ERF, FNN_SILU, FNN_MISH, FNN_ALL_RELU, FNN_SIGN, FNN_BINARY_STEP, FNN_TERNARY
    int FNN_LAST_ELEMENTWISE, FNN_SOFTMAX, FNN_LOG_SOFTMAX
    int FNN_SOFTMAX_CE_SPARSE, FNN_SOFTMAX_CE, FNN_SIGMOID_BCE, FNN_EXP_POISSON, FNN_CE_SPARSE, FNN_CE, FNN_BCE
    int FNN_MSE, FNN_MAE, FNN_HUBER, FNN_POISSON
    int FNN_SGD, FNN_MOMENTUM, FNN_NESTEROV, FNN_RMSPROP, FNN_RMSPROP_CENTERED, FNN_ADAGRAD, FNN_ADADELTA
    int FNN_ADAM, FNN_AMSGRAD, FNN_ADAMAX, FNN_NADAM, FNN_LION, FNN_RADAM, FNN_FTRL
    int FNN_FTRL_POWER, FNN_SCHEDULE_FREE, FNN_SCHEDULE_FREE_BEGIN, FNN_LAMB, FNN_MUON, FNN_ADAFACTOR
    int FNN_METRIC_ACCURACY_SPARSE, FNN_METRIC_ACCURACY, FNN_METRIC_ACCURACY_BINARY, FNN_METRIC_TOP_K_SPARSE
    int FNN_METRIC_TOP_K, FNN_METRIC_MSE, FNN_METRIC_MAE, FNN_METRIC_R2, FNN_METRIC_CONFUSION_SPARSE
    int FNN_METRIC_CONFUSION, FNN_METRIC_AUC
    int FNN_MAX_SLOTS, FNN_MAX_SCALARS, FNN_MAX_MEMORY

    ctypedef struct fnn_loss:
        fnn_size rows, cols
        const void* pred
        fnn_size ldpred
        void* prob
        fnn_size ldprob
        const int64_t* index
        const int32_t* labels
        const void* targets
        const double* weight
        double param, scale
        double* row_loss
        void* grad
        fnn_size ldgrad

    ctypedef struct fnn_metric:
        fnn_size rows, cols
        const void* pred
        fnn_size ldpred
        const int64_t* index
        const int32_t* labels
        const void* targets
        const double* weight
        double param
        double* state

    ctypedef struct fnn_update:
        fnn_size rows, cols
        void* param
        void* slot[3]
        fnn_size ldparam
        const void* grad
        fnn_size ldgrad
        double decay
        double scalar[8]

    ctypedef struct fnn_norm_range:
        double low, high, rate

    ctypedef struct fnn_orthogonal:
        fnn_size n, length
        const void* unit
        const double* inverse
        const void* transposed
        double scale
        double* row_sum
        void* grad
        fnn_size row_stride, col_stride
    fnn_size fnn_block_rows(fnn_size inner)

    ctypedef struct fnn_random:
        fnn_size rows, cols, row0
        const void* x
        fnn_size ldx
        void* y
        fnn_size ldy
        uint64_t seed, step
        uint32_t stream
    int FNN_MAX_POOLING, FNN_AVERAGE_POOLING
    int FNN_TABLES

    ctypedef struct fnn_window:
        fnn_size height, width, channels, out_height, out_width
        fnn_size size_y, size_x, stride_y, stride_x, top, left

    ctypedef struct fnn_pattern:
        fnn_size n_in, n_out
        const int64_t* indptr
        const int32_t* indices
        const int64_t* starts
        const int32_t* rows
        const int64_t* places

    ctypedef struct fnn_csr:
        const int64_t* indptr
        const void* indices
        const void* values
        const int64_t* index
        fnn_size cols
        int wide, itemsize

    ctypedef struct fnn_entries:
        fnn_size n
        int32_t* row
        int64_t* at
        void* value
        uint64_t* key
        uint64_t* spare
        int64_t* next
    int FNN_STRIP

    ctypedef struct fnn_packed:
        fnn_size n_in, n_out
        int weights, inputs
        const uint64_t* words
        const int32_t* constant
    fnn_size fnn_n_words(fnn_size n)

    ctypedef struct fnn_kernels:
        const char* isa
        int itemsize, nr, mr
        void (*math)(int, fnn_size, const void*, void*) noexcept nogil
        void (*activation_forward)(int, double, fnn_size, fnn_size, const void*, fnn_size,
                                   void*, fnn_size) noexcept nogil
        void (*activation_backward)(int, double, fnn_size, fnn_size, const void*, fnn_size,
                                    const void*, fnn_size, void*, fnn_size) noexcept nogil
        fnn_size (*transposed_size)(fnn_size, fnn_size) noexcept nogil
        void (*transpose)(fnn_size, fnn_size, fnn_size, fnn_size, fnn_size, const void*, void*) noexcept nogil
        void (*dense_forward)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size,
                              const void*, int, double, void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*dense_forward_transposed)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*,
                                         const void*, int, double, void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*dense_input_grad)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*,
                                 int, double, const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*dense_kernel_grad)(fnn_size, fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size,
                                  const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*column_sum)(fnn_size, fnn_size, const void*, fnn_size, void*) noexcept nogil
        void (*accumulate)(fnn_size, fnn_size, void*, fnn_size, void*, fnn_size, double) noexcept nogil
        void (*clip)(fnn_size, fnn_size, void*, fnn_size, double) noexcept nogil
        void (*average)(fnn_size, fnn_size, void*, void*, fnn_size, double, int) noexcept nogil
        double (*sum_of_squares)(fnn_size, const void*) noexcept nogil
        void (*square_sums)(fnn_size, fnn_size, const void*, fnn_size, double, double*, double*) noexcept nogil
        void (*over_root)(fnn_size, fnn_size, void*, fnn_size, const double*, const double*) noexcept nogil
        void (*turn)(fnn_size, fnn_size, const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*histogram)(fnn_size, const void*, double, double, fnn_size, int64_t*) noexcept nogil
        void (*extent)(fnn_size, const void*, double*) noexcept nogil
        fnn_size (*conv_scratch)(const fnn_window*) noexcept nogil
        void (*conv_forward)(fnn_size, const fnn_window*, fnn_size, const void*, fnn_size, const void*, const void*,
                             int, double, void*, fnn_size, void*, fnn_size, void*) noexcept nogil
        void (*conv_input_grad)(fnn_size, const fnn_window*, fnn_size, const void*, fnn_size, const void*, int, double,
                                const void*, fnn_size, void*, fnn_size, void*) noexcept nogil
        void (*conv_kernel_grad)(fnn_size, const fnn_window*, fnn_size, fnn_size, fnn_size, fnn_size, fnn_size,
                                 const void*, fnn_size, const void*, fnn_size, void*, fnn_size, void*,
                                 void*) noexcept nogil
        void (*pool_forward)(int, fnn_size, const fnn_window*, const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*pool_backward)(int, fnn_size, const fnn_window*, const void*, fnn_size, const void*, fnn_size,
                              const void*, fnn_size, int, double, const void*, fnn_size, void*,
                              fnn_size) noexcept nogil
        void (*loss)(int, const fnn_loss*) noexcept nogil
        void (*metric)(int, const fnn_metric*) noexcept nogil
        void (*update)(int, const fnn_update*) noexcept nogil
        double (*penalty)(double, double, fnn_size, fnn_size, const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*norm_columns)(const fnn_norm_range*, fnn_size, fnn_size, void*, fnn_size) noexcept nogil
        void (*norm_rows)(const fnn_norm_range*, fnn_size, fnn_size, void*, fnn_size) noexcept nogil
        void (*mask)(fnn_size, const uint8_t*, void*) noexcept nogil
        void (*unit_rows)(fnn_size, fnn_size, void*, fnn_size, double*) noexcept nogil
        void (*orthogonal)(const fnn_orthogonal*, fnn_size, fnn_size, void*, void*) noexcept nogil
        void (*gather)(int, fnn_size, fnn_size, const void*, fnn_size, fnn_size, const int64_t*,
                       void*, fnn_size) noexcept nogil
        void (*affine)(fnn_size, fnn_size, const void*, fnn_size, double, double, void*,
                       fnn_size) noexcept nogil
        int (*all_finite)(fnn_size, fnn_size, const void*, fnn_size) noexcept nogil
        void (*add)(fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*take_columns)(fnn_size, fnn_size, const int64_t*, const void*, fnn_size, void*, fnn_size) noexcept nogil
        void (*put_columns)(fnn_size, fnn_size, fnn_size, const int64_t*, const void*, fnn_size, void*,
                            fnn_size) noexcept nogil
        fnn_size (*embed)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, int32_t*, void*,
                          fnn_size) noexcept nogil
        void (*embed_grad)(fnn_size, fnn_size, fnn_size, const int32_t*, fnn_size, fnn_size, fnn_size, fnn_size,
                           const void*, fnn_size, void*, fnn_size) noexcept nogil
        int panel, narrow
        fnn_size (*sparse_rows)(fnn_size) noexcept nogil
        fnn_size (*sparse_scratch)(const fnn_pattern*) noexcept nogil
        void (*sparse_turn)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, void*) noexcept nogil
        void (*sparse_forward)(const fnn_pattern*, fnn_size, fnn_size, fnn_size, const void*, const void*, const void*,
                               int, double, void*, fnn_size, void*, fnn_size, void*) noexcept nogil
        void (*sparse_backward)(const fnn_pattern*, fnn_size, fnn_size, fnn_size, const void*, const void*, const void*,
                                void*, int, double, const void*, fnn_size, void*, fnn_size, void*) noexcept nogil
        void (*csr_forward)(const fnn_csr*, fnn_size, fnn_size, const void*, fnn_size, fnn_size, fnn_size, const void*,
                            int, void*, fnn_size) noexcept nogil
        void (*entry_grad)(const fnn_entries*, fnn_size, fnn_size, fnn_size, fnn_size, fnn_size, const void*,
                           void*) noexcept nogil
        int (*all_within)(fnn_size, const void*, int, fnn_size) noexcept nogil
        void (*pack_bits)(fnn_size, fnn_size, const void*, fnn_size, int, uint64_t*, fnn_size) noexcept nogil
        fnn_size (*packed_scratch)(fnn_size) noexcept nogil
        void (*packed_forward)(const fnn_packed*, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*,
                               int, double, void*, fnn_size, void*) noexcept nogil
        void (*round_randomly)(int, const fnn_random*) noexcept nogil
        void (*dropout)(const fnn_random*, double, double, double, double, uint64_t*, fnn_size) noexcept nogil
        void (*keep_scaled)(fnn_size, fnn_size, const void*, fnn_size, const uint64_t*, fnn_size, double, void*,
                            fnn_size) noexcept nogil
        void (*gaussian)(const fnn_random*, int, double) noexcept nogil
        void (*column_moments)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, void*,
                               void*) noexcept nogil
        void (*merge_moments)(fnn_size, double, double, fnn_size, const void*, const void*, fnn_size, void*,
                              void*) noexcept nogil
        void (*inverse_deviation)(fnn_size, const void*, double, const void*, void*, void*) noexcept nogil
        void (*normalize)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, const void*,
                          const void*, void*, fnn_size) noexcept nogil
        void (*gradient_moments)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size,
                                 const void*, void*, void*) noexcept nogil
        void (*merge_gradients)(fnn_size, double, fnn_size, const void*, const void*, fnn_size, const void*, void*,
                                void*, void*, void*) noexcept nogil
        void (*normalize_backward)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*,
                                   fnn_size, const void*, const void*, const void*, const void*, void*,
                                   fnn_size) noexcept nogil
        void (*row_normalize)(fnn_size, fnn_size, fnn_size, int, double, const void*, fnn_size, const void*,
                              const void*, void*, void*, fnn_size) noexcept nogil
        void (*row_normalize_backward)(fnn_size, fnn_size, fnn_size, int, const void*, fnn_size, const void*,
                                       fnn_size, const void*, const void*, void*, fnn_size) noexcept nogil
        void (*row_gradient_sums)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*,
                                  fnn_size, const void*, void*, void*) noexcept nogil
        void (*prelu_forward)(fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, void*,
                              fnn_size) noexcept nogil
        void (*prelu_backward)(fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size,
                               const void*, void*, fnn_size) noexcept nogil
        void (*prelu_sums)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size,
                           void*) noexcept nogil
        void (*srelu_forward)(fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void* const*, void*,
                              fnn_size) noexcept nogil
        void (*srelu_backward)(fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size,
                               const void* const*, void*, fnn_size) noexcept nogil
        void (*srelu_sums)(fnn_size, fnn_size, fnn_size, fnn_size, const void*, fnn_size, const void*, fnn_size,
                           const void* const*, void* const*) noexcept nogil

    void fnn_packed_constant(const fnn_packed* kernel, int32_t* constant)
    const fnn_kernels* fnn_kernels_baseline(int dtype)
    const fnn_kernels* fnn_kernels_avx2(int dtype)
    const fnn_kernels* fnn_kernels_avx512(int dtype)
    fnn_size fnn_first_nonfinite_row(int source, int dtype, fnn_size rows, fnn_size cols, const void* src,
                                     fnn_size row_stride, fnn_size col_stride)
    int fnn_copy_labels(int source, fnn_size n, const void* src, fnn_size stride, fnn_size n_classes,
                        int32_t* labels)
    fnn_size fnn_first_bad_index(int source, fnn_size rows, const void* src, fnn_size row_stride, fnn_size limit)
    void fnn_pattern_starts(const fnn_pattern*, int64_t* starts)
    void fnn_pattern_columns(const fnn_pattern*, int32_t* rows, int64_t* places, int64_t* next)
    void fnn_pattern_places(const fnn_pattern*, const fnn_pattern* other, int64_t* places)
    fnn_size fnn_pattern_cut(const int64_t* starts, fnn_size n, fnn_size unit, int part, int parts)
    void fnn_random_positions(uint64_t seed, uint32_t stream, int64_t n, fnn_size count, fnn_size room,
                              int64_t* positions, uint64_t* gone)
    void fnn_compress_rows(fnn_size rows, fnn_size cols, fnn_size n, const int64_t* positions, int64_t* indptr,
                           int32_t* indices)
    void fnn_free_positions(fnn_size rows, fnn_size cols, const int64_t* indptr, const int32_t* indices, fnn_size n,
                            int64_t* ranks)
    void fnn_merge_pattern(fnn_size rows, fnn_size cols, const int64_t* indptr, const int32_t* indices,
                           const uint8_t* kept, fnn_size n, const int64_t* positions, int64_t* new_indptr,
                           int32_t* new_indices, int64_t* origin)
    void fnn_drop_smallest(int itemsize, fnn_size n, const void* values, int sign, fnn_size count, fnn_size* counts,
                           uint8_t* kept)
    void fnn_sort_entries(const fnn_entries*, fnn_size limit, int thread, int n_threads)
    int64_t fnn_take(int64_t* next)
    void fnn_send_for(const void* p, fnn_size bytes)
    fnn_size fnn_first_entry(const fnn_entries*, fnn_size row)
    fnn_size fnn_load_entries(const fnn_csr*, fnn_size sample, fnn_size at, const fnn_entries*, fnn_size e)
    int FNN_CSR_GOOD, FNN_CSR_BEGIN, FNN_CSR_DECREASES, FNN_CSR_END
    int fnn_csr_fault(const void* indptr, int wide, fnn_size rows, fnn_size length, fnn_size* row)
    fnn_size fnn_first_outside(const void* indices, int wide, fnn_size n, fnn_size limit)
    fnn_size fnn_first_unsorted(const int64_t* indptr, const void* indices, int wide, fnn_size rows)
    void fnn_optimizer_scalars(int kind, const double* hyper, double weight_decay, int64_t step,
                               double learning_rate, double* memory, fnn_update* out)


cdef inline fnn_window as_window(window) except *:
    """The fields of a `fastnn.windows.Window`, in order."""
    cdef fnn_window w
    (w.height, w.width, w.channels, w.out_height, w.out_width, w.size_y, w.size_x, w.stride_y, w.stride_x, w.top,
     w.left) = window
    return w
