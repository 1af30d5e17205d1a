#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kAvx2
#include "vectors_avx2.h"
#include "products_set.inc"
#endif
