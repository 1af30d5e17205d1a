// Reduces eight lanes to one number. Both instruction sets share this order of additions, so that results are equal.
#pragma once

#include "intrinsics.h"

#define EDGEMED_REDUCE __attribute__((target("avx2"), always_inline)) inline

namespace edgemed {
namespace {  // internal linkage: floats_avx2.h says why

EDGEMED_REDUCE float reduce_add(__m256 x) {
    const __m128 four = _mm_add_ps(_mm256_extractf128_ps(x, 1), _mm256_castps256_ps128(x));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// If either operand of a maximum is NaN, the second one is the result.
EDGEMED_REDUCE float reduce_max(__m256 x) {
    const __m128 four = _mm_max_ps(_mm256_extractf128_ps(x, 1), _mm256_castps256_ps128(x));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

}  // namespace
}  // namespace edgemed
