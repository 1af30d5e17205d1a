// gemv: rows of a matrix times a single row of activations, which is what one token needs of its experts. With short
// rows or few bits a weight, ggml's dot products keep two cores from the full memory bandwidth; these kernels need
// fewer instructions. They exist for AVX-512 with VNNI, VBMI and GFNI, and for the types that gain most for AVX2 and
// AVX-VNNI. The results are ggml's bit for bit: dot products of codes are exact integers, and floats are added in the
// order of ggml's AVX2 routines. Why: docs/decisions.md#single-row-matmul.
#pragma once

#include <cstddef>
#include <cstdint>

#include "instructions.h"
#include "gemm_panel.h"

namespace edgemed::matmul {

// The order of a block's eight groups of 32 columns. Types differ in which groups one instruction unpacks together:
// with kQuarters 128 columns apart (groups 0 and 4), with kPairs 64 columns apart (0 and 2), with kPlain neighbours.
// The table is kGroupOrder.
enum Layout : int { kQuarters, kPairs, kPlain, kLayouts };

// A block of 256 activations with its groups in one of these orders.
struct alignas(64) Q8Block {
    int8_t code[kColumns];
    int16_t pair_sums4[kColumns / 2];  // four times the sum of each pair of codes: Q3_K's codes are 4 too large
    int16_t sum16[16], sum32[8];       // sums of each 16 and each 32 codes, in the order of columns
    float d;
};

struct GemvKernel {
    int type;  // ggml's number of the weights' type
    Layout layout;
    // out[r] = row r times the activations, for `rows` rows that follow each other in memory.
    void (*multiply)(const uint8_t * weights, int64_t blocks, const Q8Block * x, int64_t rows, float * out);
    // The same for two rows of activations, with the same bits. A block of weights is unpacked once for both.
    void (*multiply_two)(const uint8_t * weights, int64_t blocks, const Q8Block * const (&x)[2], int64_t rows,
                         float * const (&out)[2]);
};

#ifdef EDGEMED_HAS_KERNELS
extern const GemvKernel kGemvQ2K, kGemvQ3K, kGemvQ4K, kGemvQ5K, kGemvQ6K;
extern const GemvKernel kGemvIQ2XXS, kGemvIQ2XS, kGemvIQ2S, kGemvIQ3XXS, kGemvIQ3S, kGemvIQ4XS;
constexpr int kGemvPipelined = 7;  // how many types gemv_pipelined_types.inc has
extern const GemvKernel kGemvAvx2[kGemvPipelined], kGemvAvxVnni[kGemvPipelined];
#endif

// The kernel for this type, or null if ggml has to multiply: another type, `columns` no multiple of 256, or no AVX2.
const GemvKernel * find_gemv(int type, int64_t columns);

// Rearranges a row that ggml quantised to Q8_K.
void rearrange(Layout layout, const uint8_t * quantised, int64_t columns, Q8Block * to);

}  // namespace edgemed::matmul
