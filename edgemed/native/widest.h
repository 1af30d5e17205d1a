// Compiles auto-vectorised loops for several instruction sets and runs the one in use (instructions.h). GCC's
// target_clones does the same, but GCC before version 12 cannot dispatch on AVX-512, and Clang 16 does not support it
// here.
#pragma once

#include "instructions.h"

// Put before the body of a lambda passed to `widest` and on the functions it calls: only inlined code is compiled for
// the instruction set.
#define EDGEMED_INLINE __attribute__((always_inline))

namespace edgemed {

#ifdef EDGEMED_HAS_KERNELS
template <typename Work> __attribute__((target("avx2,fma"))) auto on_avx2(const Work & work) { return work(); }

template <typename Work>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) auto on_avx512(const Work & work) {
    return work();
}
#endif

// Returns what `work` returns.
template <typename Work> auto widest(const Work & work) {
#ifdef EDGEMED_HAS_KERNELS
    const Instructions by = instructions();
    if (by == Instructions::kAvx512) return on_avx512(work);
    if (by != Instructions::kNone) return on_avx2(work);
#endif
    return work();
}

}  // namespace edgemed
