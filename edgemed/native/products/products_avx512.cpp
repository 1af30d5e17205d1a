#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kAvx512
#include "vectors_avx512.h"
#include "products_set.inc"
#endif
