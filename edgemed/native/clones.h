// Functions compiled for several generations of x86-64, of which the loader picks the machine's.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EDGEMED_CLONES __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))
#else
#define EDGEMED_CLONES
#endif
