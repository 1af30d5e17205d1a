#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_VNNI
#define EDGEMED_TABLE kGemmAvxVnni
#include "vectors_avx2.h"
#include "gemm_table.inc"
#endif
