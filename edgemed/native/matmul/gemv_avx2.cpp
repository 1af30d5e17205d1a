#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kGemvAvx2
#include "vectors_avx2.h"
#include "gemv_pipelined_types.inc"
#endif
