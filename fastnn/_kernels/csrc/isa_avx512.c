#define FNN_ISA avx512
#define FNN_VBYTES 64
#define FNN_MR 14
#include "kernels.inc.c"
