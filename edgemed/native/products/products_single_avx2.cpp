#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kSingleAvx2
#include "vectors_avx2.h"
#include "products_single_ahead_types.inc"
#endif
