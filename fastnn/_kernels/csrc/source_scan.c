/* NaN and infinity in rows of X, at the door: one pass over the bits, a row at a time. Magnitudes compare as
 * integers do, with infinity above all numbers and NaN above infinity. */
#include "fastnn.h"

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
