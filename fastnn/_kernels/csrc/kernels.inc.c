/* All kernels of one instruction set, for float and for double. An isa_*.c sets FNN_ISA, FNN_VBYTES and FNN_MR
 * and includes this file; the compiler's flags for that file are in setup.py. */
#include "fastnn.h"
#include <math.h>
#include <string.h>

#define FNN_CAT_(a, b, c) fnn_##a##_##b##_##c
#define FNN_CAT(a, b, c) FNN_CAT_(a, b, c)
#define FNN_STR_(a) #a
#define FNN_STR(a) FNN_STR_(a)

#include "words.inc.c"

#define T float
#define T_BITS 32
#define FN(name) FNN_CAT(name, f32, FNN_ISA)
#include "families.inc.c"
#include "undef.h"

#define T double
#define T_BITS 64
#define FN(name) FNN_CAT(name, f64, FNN_ISA)
#include "families.inc.c"
#include "undef.h"

#define FNN_TABLE_(isa) fnn_kernels_##isa
#define FNN_TABLE(isa) FNN_TABLE_(isa)
const fnn_kernels *FNN_TABLE(FNN_ISA)(int dtype)
{
    if (dtype == FNN_F32) return &FNN_CAT(table, f32, FNN_ISA);
    if (dtype == FNN_F64) return &FNN_CAT(table, f64, FNN_ISA);
    return NULL;
}
