// Loops that the compiler vectorises, compiled for several sets of instructions; the one in use runs (instructions.h). GCC's
// target_clones would do this, but before version 12 it knows no set with AVX-512 to choose by, and Clang 16 nothing of it.
#pragma once

#include "instructions.h"

// Before the body of a lambda that is given to `widest`, and of what that calls: only inlined it is compiled anew.
#define EDGEMED_INLINE __attribute__((always_inline))

namespace edgemed {

#ifdef EDGEMED_HAS_KERNELS
template <typename Work> __attribute__((target("avx2,fma"))) auto on_avx2(const Work & work) { return work(); }

template <typename Work>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) auto on_avx512(const Work & work) {
    return work();
}
#endif

// What `work` returns.
template <typename Work> auto widest(const Work & work) {
#ifdef EDGEMED_HAS_KERNELS
    const Instructions by = instructions();
    if (by == Instructions::kAvx512) return on_avx512(work);
    if (by != Instructions::kNone) return on_avx2(work);
#endif
    return work();
}

}  // namespace edgemed
