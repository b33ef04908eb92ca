/* What the door looks for in the arrays that users hand over, in one pass. */
#include "fastnn.h"

/* NaN and infinity in rows of X. Magnitudes compare as integers do, with infinity above all numbers and NaN above
 * infinity. */

#define SCAN(S, LIMIT)                                                                          \
    for (fnn_size r = 0; r < rows; r++) {                                                          \
        const char *row = (const char *)src + r * row_stride;                                      \
        int found = 0;                                                                             \
        if (col_stride == sizeof(S))                                                               \
            for (fnn_size c = 0; c < cols; c++) found |= (((const S *)row)[c] & (S)((S)-1 >> 1)) >= LIMIT; \
        else                                                                                       \
            for (fnn_size c = 0; c < cols; c++)                                                    \
                found |= (*(const S *)(row + c * col_stride) & (S)((S)-1 >> 1)) >= LIMIT;          \
        if (found) return r;                                                                       \
    }                                                                                              \
    break;

fnn_size fnn_first_nonfinite_row(int source, int dtype, fnn_size rows, fnn_size cols, const void *src,
                                 fnn_size row_stride, fnn_size col_stride)
{
    /* what rounds to infinity in float: half a unit in the last place above FLT_MAX */
    const uint64_t limit = dtype == FNN_F32 ? 0x47effffff0000000u : 0x7ff0000000000000u;
    switch (source) {
    case FNN_SRC_F16: SCAN(uint16_t, 0x7c00u)
    case FNN_SRC_F32: SCAN(uint32_t, 0x7f800000u)
    case FNN_SRC_F64: SCAN(uint64_t, limit)
    }
    return -1;
}

/* Integers that a table has no row for. */
#define LOOK(S, bad)                                                                               \
    for (fnn_size r = 0; r < rows; r++) {                                                          \
        const S value = *(const S *)((const char *)src + r * row_stride);                          \
        if (bad) return r;                                                                         \
    }                                                                                              \
    break;
#define NO_INTEGER(T) !(value >= 0 && value < (T)limit) || value != (T)(int64_t)value
#define OUTSIDE (uint64_t)value >= (uint64_t)limit

fnn_size fnn_first_bad_index(int source, fnn_size rows, const void *src, fnn_size row_stride, fnn_size limit)
{
    switch (source) {
    case FNN_SRC_F32: LOOK(float, NO_INTEGER(float))
    case FNN_SRC_F64: LOOK(double, NO_INTEGER(double))
    case FNN_SRC_I8: LOOK(int8_t, OUTSIDE)
    case FNN_SRC_U8: LOOK(uint8_t, OUTSIDE)
    case FNN_SRC_I16: LOOK(int16_t, OUTSIDE)
    case FNN_SRC_U16: LOOK(uint16_t, OUTSIDE)
    case FNN_SRC_I32: LOOK(int32_t, OUTSIDE)
    case FNN_SRC_U32: LOOK(uint32_t, OUTSIDE)
    case FNN_SRC_I64: LOOK(int64_t, OUTSIDE)
    case FNN_SRC_U64: LOOK(uint64_t, OUTSIDE)
    }
    return -1;
}

/* A negative label is a large one without its sign. */
#define COPY(S)                                                                                    \
    for (fnn_size i = 0; i < n; i++) {                                                             \
        const uint64_t label = (uint64_t) * (const S *)((const char *)src + i * stride);           \
        if (label >= (uint64_t)n_classes) return 0;                                                \
        labels[i] = (int32_t)label;                                                                \
    }                                                                                              \
    return 1;

int fnn_copy_labels(int source, fnn_size n, const void *src, fnn_size stride, fnn_size n_classes, int32_t *labels)
{
    switch (source) {
    case FNN_SRC_I8: COPY(int8_t)
    case FNN_SRC_U8: COPY(uint8_t)
    case FNN_SRC_I16: COPY(int16_t)
    case FNN_SRC_U16: COPY(uint16_t)
    case FNN_SRC_I32: COPY(int32_t)
    case FNN_SRC_U32: COPY(uint32_t)
    case FNN_SRC_I64: COPY(int64_t)
    case FNN_SRC_U64: COPY(uint64_t)
    }
    return 0;
}
