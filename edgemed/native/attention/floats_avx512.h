// Sixteen floats in one AVX-512 register. floats_avx2.h has the same names, and gives the same bits.
#pragma once

#include <cstdint>

#include "floats_reduce.h"
#include "intrinsics.h"

#define EDGEMED_SIMD __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define EDGEMED_SIMD_INLINE EDGEMED_SIMD __attribute__((always_inline)) inline

namespace edgemed {
namespace {  // internal linkage: floats_avx2.h says why

using Floats = __m512;

constexpr int kLanes = 16;
constexpr int kSums = 24;  // sums that fit in 32 registers beside their operands

EDGEMED_SIMD_INLINE Floats zero() { return _mm512_setzero_ps(); }
EDGEMED_SIMD_INLINE Floats splat(float x) { return _mm512_set1_ps(x); }
EDGEMED_SIMD_INLINE Floats load(const float * from) { return _mm512_loadu_ps(from); }
EDGEMED_SIMD_INLINE void store(float * to, Floats x) { _mm512_storeu_ps(to, x); }
EDGEMED_SIMD_INLINE Floats load_halves(const void * from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i *>(from)));
}
EDGEMED_SIMD_INLINE float first(Floats x) { return _mm512_cvtss_f32(x); }

EDGEMED_SIMD_INLINE Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
EDGEMED_SIMD_INLINE Floats subtract(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
EDGEMED_SIMD_INLINE Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
EDGEMED_SIMD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }  // a * b + c
EDGEMED_SIMD_INLINE Floats subtract_product(Floats a, Floats b, Floats c) {
    return _mm512_fnmadd_ps(a, b, c);
}  // c - a * b
EDGEMED_SIMD_INLINE Floats maximum(Floats a, Floats b) { return _mm512_max_ps(a, b); }  // b if either is NaN
EDGEMED_SIMD_INLINE Floats nearest(Floats x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// x * 2^n, rounded once, for x near 1 and an integer n from -160 to 0.
EDGEMED_SIMD_INLINE Floats scale(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }

EDGEMED_SIMD_INLINE Floats where_equal(Floats a, Floats b, Floats then, Floats otherwise) {
    return _mm512_mask_mov_ps(otherwise, _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), then);
}
EDGEMED_SIMD_INLINE uint32_t which_greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }

EDGEMED_SIMD_INLINE __m256 lower_half(Floats x) { return _mm512_castps512_ps256(x); }
EDGEMED_SIMD_INLINE __m256 upper_half(Floats x) { return _mm512_extractf32x8_ps(x, 1); }
EDGEMED_SIMD_INLINE float reduce_add(Floats x) { return reduce_add(_mm256_add_ps(upper_half(x), lower_half(x))); }
EDGEMED_SIMD_INLINE float reduce_max(Floats x) { return reduce_max(_mm256_max_ps(upper_half(x), lower_half(x))); }

// Transposes 16 by 16 floats.
EDGEMED_SIMD_INLINE void transpose(Floats * rows) {
    Floats pairs[kLanes], fours[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += 2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i += 4)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            fours[i + 2 * h] = _mm512_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0x44);
            fours[i + 2 * h + 1] = _mm512_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0xee);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {  // column c of each quarter
        const Floats low01 = _mm512_shuffle_f32x4(fours[c], fours[c + 4], 0x88),
                     high01 = _mm512_shuffle_f32x4(fours[c], fours[c + 4], 0xdd);
        const Floats low23 = _mm512_shuffle_f32x4(fours[c + 8], fours[c + 12], 0x88),
                     high23 = _mm512_shuffle_f32x4(fours[c + 8], fours[c + 12], 0xdd);
        rows[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        rows[c + 4] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        rows[c + 8] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        rows[c + 12] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
}

}  // namespace
}  // namespace edgemed
