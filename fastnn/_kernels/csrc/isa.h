/* What was compiled in and what this CPU runs. */
#ifndef FASTNN_ISA_H
#define FASTNN_ISA_H
#include "fastnn.h"

typedef const fnn_kernels *(*fnn_table_of)(int dtype);

static inline fnn_table_of fnn_level(const char *name)
{
#ifdef FNN_HAVE_AVX512
    if (!strcmp(name, "avx512")) return fnn_kernels_avx512;
#endif
#ifdef FNN_HAVE_AVX2
    if (!strcmp(name, "avx2")) return fnn_kernels_avx2;
#endif
    if (!strcmp(name, "baseline")) return fnn_kernels_baseline;
    return NULL;
}

static inline int fnn_cpu_runs(const char *name)
{
#if defined(FNN_HAVE_AVX2)
    /* __builtin_cpu_supports also asks whether the operating system saves the wide registers. */
    __builtin_cpu_init();
    if (!strcmp(name, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avx");
    if (!strcmp(name, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
               && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
               && __builtin_cpu_supports("fma");
#endif
    return !strcmp(name, "baseline");
}
#endif
