// Sixteen floats in two AVX2 registers. floats_avx512.h has the same names, and gives the same bits.
#pragma once

#include <cstdint>

#include "floats_reduce.h"
#include "intrinsics.h"

#define EDGEMED_SIMD __attribute__((target("avx2,fma,f16c")))
#define EDGEMED_SIMD_INLINE EDGEMED_SIMD __attribute__((always_inline)) inline

namespace edgemed {
// Internal linkage: the linker must not merge functions that were compiled for different instruction sets.
namespace {

struct Floats {
    __m256 low, high;
};

constexpr int kLanes = 16;
constexpr int kSums = 6;  // sums that fit in 16 registers beside their operands

EDGEMED_SIMD_INLINE Floats splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
EDGEMED_SIMD_INLINE Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
EDGEMED_SIMD_INLINE Floats load(const float * from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
EDGEMED_SIMD_INLINE void store(float * to, Floats x) {
    _mm256_storeu_ps(to, x.low);
    _mm256_storeu_ps(to + 8, x.high);
}
EDGEMED_SIMD_INLINE Floats load_halves(const void * from) {
    const auto * eight = static_cast<const __m128i *>(from);
    return {_mm256_cvtph_ps(_mm_loadu_si128(eight)), _mm256_cvtph_ps(_mm_loadu_si128(eight + 1))};
}
EDGEMED_SIMD_INLINE float first(Floats x) { return _mm256_cvtss_f32(x.low); }

EDGEMED_SIMD_INLINE Floats add(Floats a, Floats b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Floats subtract(Floats a, Floats b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Floats multiply(Floats a, Floats b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) {  // a * b + c
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
EDGEMED_SIMD_INLINE Floats subtract_product(Floats a, Floats b, Floats c) {  // c - a * b
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
}
EDGEMED_SIMD_INLINE Floats maximum(Floats a, Floats b) {  // b if either is NaN
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Floats nearest(Floats x) {
    constexpr int how = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.low, how), _mm256_round_ps(x.high, how)};
}

// Multiplies in two steps, because 2^n itself may be too small for a float; the first step is exact. The second is an
// FMA with zero: the compiler cannot fuse it with an addition that uses its result, which would round differently.
EDGEMED_SIMD_INLINE __m256 scale_eight(__m256 x, __m256 n) {
    const __m256i bias = _mm256_set1_epi32(127), whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1),
                  rest = _mm256_sub_epi32(whole, half);
    const __m256 by_half = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 by_rest = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_fmadd_ps(_mm256_mul_ps(x, by_half), by_rest, _mm256_setzero_ps());
}
// x * 2^n, rounded once, for x near 1 and an integer n from -160 to 0.
EDGEMED_SIMD_INLINE Floats scale(Floats x, Floats n) {
    return {scale_eight(x.low, n.low), scale_eight(x.high, n.high)};
}

// a == b ? then : otherwise, lane by lane.
EDGEMED_SIMD_INLINE Floats where_equal(Floats a, Floats b, Floats then, Floats otherwise) {
    return {_mm256_blendv_ps(otherwise.low, then.low, _mm256_cmp_ps(a.low, b.low, _CMP_EQ_OQ)),
            _mm256_blendv_ps(otherwise.high, then.high, _mm256_cmp_ps(a.high, b.high, _CMP_EQ_OQ))};
}
// A bit for each lane with a > b.
EDGEMED_SIMD_INLINE uint32_t which_greater(Floats a, Floats b) {
    return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_GT_OQ)) |
                                 _mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_GT_OQ)) << 8);
}

EDGEMED_SIMD_INLINE float reduce_add(Floats x) { return reduce_add(_mm256_add_ps(x.high, x.low)); }
EDGEMED_SIMD_INLINE float reduce_max(Floats x) { return reduce_max(_mm256_max_ps(x.high, x.low)); }

EDGEMED_SIMD_INLINE void transpose_eight(__m256 * rows) {
    __m256 pairs[8], fours[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            fours[i + 2 * h] = _mm256_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0x44);
            fours[i + 2 * h + 1] = _mm256_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0xee);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {  // column c of each half
        rows[c] = _mm256_permute2f128_ps(fours[c], fours[c + 4], 0x20);
        rows[c + 4] = _mm256_permute2f128_ps(fours[c], fours[c + 4], 0x31);
    }
}
// Transposes 16 by 16 floats: transposes the four quarters and swaps two of them.
EDGEMED_SIMD_INLINE void transpose(Floats * rows) {
    __m256 quarters[2][2][8];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) {
        quarters[0][i / 8][i % 8] = rows[i].low;
        quarters[1][i / 8][i % 8] = rows[i].high;
    }
#pragma GCC unroll 2
    for (int q = 0; q < 2; q++)
#pragma GCC unroll 2
        for (int p = 0; p < 2; p++) transpose_eight(quarters[q][p]);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; i++) rows[i] = {quarters[i / 8][0][i % 8], quarters[i / 8][1][i % 8]};
}

}  // namespace
}  // namespace edgemed
