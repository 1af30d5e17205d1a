// The tables of gemm kernels for each instruction set, and the codebooks.
#pragma once

#include "gemm_panel.h"

namespace edgemed::matmul {

// Codebook points by their index: eight or four integers, one in a byte. IQ1's are 8 * weight + 1.
struct Codebooks {
    uint64_t iq2_xxs[256], iq2_xs[512], iq2_s[1024], iq1[2048];
    uint32_t iq3_xxs[256], iq3_s[512];
    uint64_t iq3_xxs_upper[256], iq3_s_upper[512];  // the same points in the upper 32 bits
    uint8_t eight_signs[128];  // seven signs, and an eighth that makes the number of negative signs even
    // The same points, packed for lookup in registers; [0] holds the first half of a point's columns, [1] the second.
    // `pairs`: two columns in a byte, a nibble each (IQ3_XXS: value / 8, and bit 3 for the last value). `fours`: four
    // columns in a byte, two bits each that number one of three values.
    alignas(64) uint8_t iq3_xxs_pairs[2][256], iq3_s_pairs[2][512], iq2_xxs_fours[2][256], iq2_xs_fours[2][512],
        iq2_s_fours[2][1024];
};
const Codebooks & codebooks();
void load_codebooks();  // call once, after ggml is bound and before the first multiplication

constexpr int kTypes = 14;
#ifdef EDGEMED_HAS_KERNELS
extern const GemmKernel kGemmAvx2[kTypes], kGemmAvxVnni[kTypes], kGemmAvx512[kTypes];
#endif

}  // namespace edgemed::matmul
