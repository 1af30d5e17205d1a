#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#define EDGEMED_VNNI
#define EDGEMED_TABLE kAvxVnni
#include "vectors_avx2.h"
#include "products_set.inc"
#endif
