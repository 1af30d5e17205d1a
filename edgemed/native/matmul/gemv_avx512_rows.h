// The loop over rows for AVX-512. A Type adds one block to a RowSum.
#pragma once

#include "gemv_avx512.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::matmul::avx512 {

template <class Type>
EDGEMED_SIMD void multiply_rows(const uint8_t * weights, int64_t blocks, const Q8Block * x, int64_t rows, float * out) {
    const Type add_block{};
    // One row after another, as they lie in memory: several rows at once are several streams, which the hardware
    // prefetcher follows less well.
    for (int64_t row = 0; row < rows; row += kRowsSummed) {
        __m128 values[kRowsSummed] = {}, offsets[kRowsSummed] = {};
        const int64_t count = rows - row < kRowsSummed ? rows - row : kRowsSummed;
        for (int64_t i = 0; i < count; i++) {
            RowSum sum = {_mm256_setzero_ps(), _mm_setzero_ps()};
            for (int64_t b = 0; b < blocks; b++, weights += Type::kBytes) add_block(sum, weights, x[b]);
            values[i] = fold(sum.value);
            offsets[i] = sum.offset;
        }
        __m128 sums = _mm_add_ps(sum_of_each(values), sum_of_each(offsets));
        if constexpr (Type::kUnit != 1) sums = _mm_mul_ps(sums, _mm_set1_ps(Type::kUnit));
        _mm_mask_storeu_ps(out + row, static_cast<__mmask8>((1 << count) - 1), sums);
    }
}

template <class Type> constexpr GemvKernel gemv_kernel() { return {Type::kType, Type::kLayout, multiply_rows<Type>}; }

}  // namespace edgemed::matmul::avx512
#endif
