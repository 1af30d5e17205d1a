// Rows of a type that says how one block is added up, on AVX-512.
#pragma once

#include "gemv_avx512.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::matmul::avx512 {

template <class Type>
EDGEMED_SIMD void multiply_rows(const uint8_t * weights, int64_t blocks, const Q8Block * x, int64_t rows, float * out) {
    const Type add_block{};
    // Rows one after another, as they lie: several at once are several streams, and the processor follows them worse.
    for (int64_t row = 0; row < rows; row += kRowsSummed) {
        __m128 values[kRowsSummed] = {}, offsets[kRowsSummed] = {};
        const int64_t count = rows - row < kRowsSummed ? rows - row : kRowsSummed;
        for (int64_t i = 0; i < count; i++) {
            RowSum sum = {_mm256_setzero_ps(), _mm_setzero_ps()};
            for (int64_t b = 0; b < blocks; b++, weights += Type::kBytes) add_block(sum, weights, x[b]);
            values[i] = half_sums(sum.value);
            offsets[i] = sum.offset;
        }
        __m128 sums = _mm_add_ps(add_up(values), add_up(offsets));
        if constexpr (Type::kUnit != 1) sums = _mm_mul_ps(sums, _mm_set1_ps(Type::kUnit));
        _mm_mask_storeu_ps(out + row, static_cast<__mmask8>((1 << count) - 1), sums);
    }
}

template <class Type> constexpr GemvKernel gemv_kernel() { return {Type::kType, Type::kLayout, multiply_rows<Type>}; }

}  // namespace edgemed::matmul::avx512
#endif
