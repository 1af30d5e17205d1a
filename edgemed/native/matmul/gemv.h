// Products of rows of a matrix and a single row of activations: what a token needs of its experts. ggml's dot products keep
// two cores from the memory's rate where a row is short or its bits are few; these do with fewer instructions
// (docs/decisions.md), on AVX-512 VNNI, VBMI and GFNI, and for the types that gain most on AVX2 and AVX-VNNI. The results
// are ggml's, bit for bit: sums of codes are exact integers, and floats are added up in the order of its AVX2 routines.
#pragma once

#include <cstddef>
#include <cstdint>

#include "instructions.h"
#include "gemm_panel.h"

namespace edgemed::matmul {

// The order of a block's eight groups of 32 columns: types differ in which of them unpack together.
enum Layout : int { kQuarters, kPairs, kPlain, kLayouts };

// 256 activations in one of these orders.
struct alignas(64) Q8Block {
    int8_t code[kColumns];
    int16_t less[kColumns / 2];   // four times the sum of each pair of codes: Q3_K's weights have four too much
    int16_t sum16[16], sum32[8];  // of each 16 and 32 codes, in the columns' order
    float d;
};

static_assert(sizeof(Q8Block) == 576, "edgemed/engine/budget.py counts them");

struct GemvKernel {
    int type;  // of the weights
    Layout layout;
    // out[r] = row r of `rows`, which follow each other, times the activations.
    void (*multiply)(const uint8_t * weights, int64_t blocks, const Q8Block * x, int64_t rows, float * out);
};

#ifdef EDGEMED_HAS_KERNELS
extern const GemvKernel kGemvQ2K, kGemvQ3K, kGemvQ4K, kGemvQ5K, kGemvQ6K;
extern const GemvKernel kGemvIQ2XXS, kGemvIQ2XS, kGemvIQ2S, kGemvIQ3XXS, kGemvIQ3S, kGemvIQ4XS;
constexpr int kGemvPipelined = 7;  // gemv_pipelined_types.inc
extern const GemvKernel kGemvAvx2[kGemvPipelined], kGemvAvxVnni[kGemvPipelined];
#endif

// What multiplies this type; null where only ggml can, as matmul::find_gemm.
const GemvKernel * find_gemv(int type, int64_t columns);

// A row that ggml quantised to Q8_K, laid out anew.
void rearrange(Layout layout, const uint8_t * quantised, int64_t columns, Q8Block * to);

}  // namespace edgemed::matmul
