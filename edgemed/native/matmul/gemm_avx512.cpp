#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kGemmAvx512
#include "vectors_avx512.h"
#include "gemm_table.inc"
#endif
