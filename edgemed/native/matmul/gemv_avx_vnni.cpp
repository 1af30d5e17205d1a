#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_VNNI
#define EDGEMED_TABLE kGemvAvxVnni
#include "vectors_avx2.h"
#include "gemv_pipelined_types.inc"
#endif
