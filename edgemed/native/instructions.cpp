#include "instructions.h"

#include <atomic>

#include "capi.h"

#ifdef EDGEMED_HAS_KERNELS
#include <cpuid.h>
#endif

namespace edgemed {
namespace {

#ifdef EDGEMED_HAS_KERNELS
// Tested by CPUID bits: Clang 16 does not know the name f16c, and GCC 12 does not know avxvnni.
bool f16c() {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
bool avx_vnni() {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & 1U << 4) != 0;
}

bool has(Instructions which) {
    switch (which) {
        case Instructions::kAvx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c();
        case Instructions::kAvxVnni: return has(Instructions::kAvx2) && avx_vnni();
        case Instructions::kAvx512:
            return has(Instructions::kAvx2) && __builtin_cpu_supports("avx512f") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
        default: return true;
    }
}
#else
bool has(Instructions which) { return which == Instructions::kNone; }
#endif

constexpr Instructions kBestFirst[] = {Instructions::kAvx512, Instructions::kAvxVnni, Instructions::kAvx2,
                                       Instructions::kNone};

Instructions best(Instructions most) {
    for (Instructions which : kBestFirst)
        if (which <= most && has(which)) return which;
    return Instructions::kNone;
}

std::atomic<Instructions> & chosen() {
    static std::atomic<Instructions> answer{best(Instructions::kAvx512)};
    return answer;
}

}  // namespace

Instructions instructions() { return chosen().load(std::memory_order_relaxed); }

void limit_instructions(Instructions most) { chosen() = best(most); }

}  // namespace edgemed

EDGEMED_API int edgemed_instructions() { return static_cast<int>(edgemed::instructions()); }

EDGEMED_API int edgemed_limit_instructions(int most) {
    edgemed::limit_instructions(static_cast<edgemed::Instructions>(most));
    return edgemed_instructions();
}
