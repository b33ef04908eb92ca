#define FNN_ISA avx2
#define FNN_VBYTES 32
#define FNN_MR 6
#include "kernels.inc.c"
