#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_TABLE kAvx2
#include "floats_avx2.h"
#include "attention_table.inc"
#endif
