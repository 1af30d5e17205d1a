#include "gemv.h"

#include <cstring>
#include <initializer_list>

#include "gemv_avx512.h"
#include "q8_blocks.h"

namespace edgemed::matmul {

#ifdef EDGEMED_HAS_KERNELS
namespace {

bool has_vbmi_and_gfni() {
    return __builtin_cpu_supports("gfni") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi2");
}

}  // namespace
#endif

const GemvKernel * find_gemv(int type, int64_t columns) {
#ifdef EDGEMED_HAS_KERNELS
    const Instructions by = instructions();
    if (columns % kColumns != 0 || by == Instructions::kNone) return nullptr;
    if (by == Instructions::kAvx512 && has_vbmi_and_gfni()) {
        for (const GemvKernel * kernel : {&kGemvQ2K, &kGemvQ3K, &kGemvQ4K, &kGemvQ5K, &kGemvQ6K, &kGemvIQ2XXS,
                                          &kGemvIQ2XS, &kGemvIQ2S, &kGemvIQ3XXS, &kGemvIQ3S, &kGemvIQ4XS})
            if (kernel->type == type) return kernel;
        return nullptr;
    }
    // The first processors with AVX-512 lack VBMI and GFNI; they use the AVX2 kernels.
    for (const GemvKernel & kernel : by == Instructions::kAvxVnni ? kGemvAvxVnni : kGemvAvx2)
        if (kernel.type == type) return &kernel;
#else
    (void)type, (void)columns;
#endif
    return nullptr;
}

void rearrange(Layout layout, const uint8_t * quantised, int64_t columns, Q8Block * to) {
    const auto * from = reinterpret_cast<const BlockQ8K *>(quantised);
    for (int64_t b = 0; b < columns / kColumns; b++) {
        for (int i = 0; i < 8; i++) {
            std::memcpy(to[b].code + 32 * i, from[b].code + 32 * kGroupOrder[layout][i], 32);
            to[b].sum32[i] = static_cast<int16_t>(from[b].sum16[2 * i] + from[b].sum16[2 * i + 1]);
        }
        for (int i = 0; i < kColumns / 2; i++)
            to[b].pair_sums4[i] = static_cast<int16_t>(4 * (to[b].code[2 * i] + to[b].code[2 * i + 1]));
        std::memcpy(to[b].sum16, from[b].sum16, sizeof to[b].sum16);
        to[b].d = from[b].d;
    }
}

}  // namespace edgemed::matmul
