// Every type that has products of its own, and the codebooks of some.
#pragma once

#include "gemm_panel.h"

namespace edgemed::matmul {

// Points of eight or four whole numbers, one in a byte, by their numbers. IQ1's are eight times a weight, plus one.
struct Codebooks {
    uint64_t iq2_xxs[256], iq2_xs[512], iq2_s[1024], iq1[2048];
    uint32_t iq3_xxs[256], iq3_s[512];
    uint64_t iq3_xxs_upper[256], iq3_s_upper[512];  // the same points in the upper half
    uint8_t eight_signs[128];                       // seven signs, and an eighth that makes their number even
    // The same points for looking up in registers: two columns' numbers in a byte (IQ3_XXS: a number's eighth, and a bit for
    // the last of them); or which of three numbers four columns' are, in two bits each.
    alignas(64) uint8_t iq3_xxs_pairs[2][256], iq3_s_pairs[2][512], iq2_xxs_fours[2][256], iq2_xs_fours[2][512],
        iq2_s_fours[2][1024];
};
const Codebooks & codebooks();
void load_codebooks();  // once, after ggml is bound and before the first product

constexpr int kTypes = 14;
#ifdef EDGEMED_HAS_KERNELS
extern const GemmKernel kGemmAvx2[kTypes], kGemmAvxVnni[kTypes], kGemmAvx512[kTypes];
#endif

}  // namespace edgemed::matmul
