#define FNN_ISA baseline
#define FNN_VBYTES 16
#define FNN_MR 6
#include "kernels.inc.c"
