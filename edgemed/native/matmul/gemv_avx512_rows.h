// The loop over rows for AVX-512. A Type adds one block to a RowSum.
#pragma once

#include "gemv_avx512.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::matmul::avx512 {

template <class Type, int N>
EDGEMED_SIMD_INLINE void multiply_rows(const uint8_t * weights, int64_t blocks, const Q8Block * const (&x)[N],
                                       int64_t rows, float * const (&out)[N]) {
    const Type add_block{};
    // One row after another, as they lie in memory: several rows at once are several streams, which the hardware
    // prefetcher follows less well.
    for (int64_t row = 0; row < rows; row += kRowsSummed) {
        __m128 values[N][kRowsSummed] = {}, offsets[N][kRowsSummed] = {};
        const int64_t count = rows - row < kRowsSummed ? rows - row : kRowsSummed;
        for (int64_t i = 0; i < count; i++) {
            RowSum sum[N];
            for (RowSum & each : sum) each = {_mm256_setzero_ps(), _mm_setzero_ps()};
            // Inlined N times: the compiler unpacks the weights once.
            for (int64_t b = 0; b < blocks; b++, weights += Type::kBytes)
#pragma GCC unroll 2
                for (int n = 0; n < N; n++) add_block(sum[n], weights, x[n][b]);
            for (int n = 0; n < N; n++) values[n][i] = fold(sum[n].value), offsets[n][i] = sum[n].offset;
        }
        for (int n = 0; n < N; n++) {
            __m128 sums = _mm_add_ps(sum_of_each(values[n]), sum_of_each(offsets[n]));
            if constexpr (Type::kUnit != 1) sums = _mm_mul_ps(sums, _mm_set1_ps(Type::kUnit));
            _mm_mask_storeu_ps(out[n] + row, static_cast<__mmask8>((1 << count) - 1), sums);
        }
    }
}

template <class Type>
EDGEMED_SIMD void multiply_one(const uint8_t * weights, int64_t blocks, const Q8Block * x, int64_t rows, float * out) {
    multiply_rows<Type, 1>(weights, blocks, {x}, rows, {out});
}

template <class Type>
EDGEMED_SIMD void multiply_two(const uint8_t * weights, int64_t blocks, const Q8Block * const (&x)[2], int64_t rows,
                               float * const (&out)[2]) {
    multiply_rows<Type, 2>(weights, blocks, x, rows, out);
}

template <class Type> constexpr GemvKernel gemv_kernel() {
    return {Type::kType, Type::kLayout, multiply_one<Type>, multiply_two<Type>};
}

}  // namespace edgemed::matmul::avx512
#endif
