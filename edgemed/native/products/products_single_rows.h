// Rows of a type that says how one block is added up.
#pragma once

#include "products_single_bits.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::products::singles {

constexpr int64_t kRowsAtOnce = 4;  // whose sums are added up together

// The sums of four rows' four floats each.
EDGEMED_GFNI_INLINE __m128 add_up(const __m128 (&rows)[kRowsAtOnce]) {
    const __m128 first = _mm_add_ps(_mm_unpacklo_ps(rows[0], rows[1]), _mm_unpackhi_ps(rows[0], rows[1]));
    const __m128 second = _mm_add_ps(_mm_unpacklo_ps(rows[2], rows[3]), _mm_unpackhi_ps(rows[2], rows[3]));
    return _mm_add_ps(_mm_movelh_ps(first, second), _mm_movehl_ps(second, first));
}

template <class Type> EDGEMED_GFNI void multiply_rows(const uint8_t * weights, int64_t blocks, const Single * x, int64_t rows, float * out) {
    const Type add_block{};
    // Rows one after another, as they lie: several at once are several streams, and the processor follows them worse.
    for (int64_t row = 0; row < rows; row += kRowsAtOnce) {
        __m128        values[kRowsAtOnce] = {}, offsets[kRowsAtOnce] = {};
        const int64_t count = rows - row < kRowsAtOnce ? rows - row : kRowsAtOnce;
        for (int64_t i = 0; i < count; i++) {
            RowSum sum = {_mm256_setzero_ps(), _mm_setzero_ps()};
            for (int64_t b = 0; b < blocks; b++, weights += Type::kBytes) add_block(sum, weights, x[b]);
            values[i] = _mm_add_ps(_mm256_castps256_ps128(sum.value), _mm256_extractf128_ps(sum.value, 1));
            offsets[i] = sum.offset;
        }
        __m128 sums = _mm_add_ps(add_up(values), add_up(offsets));
        if constexpr (Type::kUnit != 1) sums = _mm_mul_ps(sums, _mm_set1_ps(Type::kUnit));
        _mm_mask_storeu_ps(out + row, static_cast<__mmask8>((1 << count) - 1), sums);
    }
}

template <class Type> constexpr SingleKernel single_kernel() { return {Type::kType, Type::kLayout, multiply_rows<Type>}; }

}  // namespace edgemed::products::singles
#endif
