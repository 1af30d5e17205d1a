#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kGemmAvx2
#include "vectors_avx2.h"
#include "gemm_table.inc"
#endif
