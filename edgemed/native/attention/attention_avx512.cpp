#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kAvx512
#include "floats_avx512.h"
#include "attention_table.inc"
#endif
