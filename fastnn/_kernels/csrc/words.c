/* What a packed kernel adds to the bits that it counts: see packed.inc.c. */
#include "fastnn.h"

static int32_t ones(const fnn_packed *kernel, const uint64_t *words, fnn_size j)
{
    const fnn_size n_words = fnn_n_words(kernel->n_in);
    int32_t sum = 0;
    for (fnn_size k = 0; k < n_words; k++)
        sum += (int32_t)__builtin_popcountll(words[(j / FNN_PANEL * n_words + k) * FNN_PANEL + j % FNN_PANEL]);
    return sum;
}

void fnn_packed_constant(const fnn_packed *kernel, int32_t *constant)
{
    const fnn_size n_out = (kernel->n_out + FNN_STRIP - 1) / FNN_STRIP * FNN_STRIP;
    const uint64_t *less = kernel->words + n_out * fnn_n_words(kernel->n_in);
    for (fnn_size j = 0; j < n_out; j++) {
        const int32_t n = ones(kernel, kernel->words, j);
        if (kernel->inputs == FNN_SIGN) constant[j] = kernel->weights == FNN_SIGN ? 2 * (int32_t)kernel->n_in : 0;
        else if (kernel->weights == FNN_TERNARY) constant[j] = n - ones(kernel, less, j);
        else constant[j] = kernel->weights == FNN_SIGN ? 2 * n : n;
    }
}
