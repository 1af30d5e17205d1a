// Sixteen 32-bit lanes in two AVX2 registers, with the names of vectors_avx512.h, which documents them. With
// EDGEMED_VNNI defined before the include, dot4 and dot2 use AVX-VNNI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "intrinsics.h"

#ifdef EDGEMED_VNNI
#define EDGEMED_SIMD __attribute__((target("avx2,fma,f16c,avxvnni")))
#else
#define EDGEMED_SIMD __attribute__((target("avx2,fma,f16c")))
#endif
#define EDGEMED_SIMD_INLINE EDGEMED_SIMD __attribute__((always_inline)) inline

namespace edgemed {
namespace {

// One register of sums: half the lanes of a panel.
using Register = __m256i;
using Floats = __m256;
constexpr int kWidth = 8;  // lanes of a Register
// Rows of activations whose sums stay in the 16 registers. Without VNNI a row also needs a temporary; GCC spills from
// five rows on.
#ifdef EDGEMED_VNNI
constexpr int kRowsAtOnce = 6;
#else
constexpr int kRowsAtOnce = 4;
#endif

struct Words {
    Register low, high;
};

EDGEMED_SIMD_INLINE Words operator&(Words a, Words b) {
    return {_mm256_and_si256(a.low, b.low), _mm256_and_si256(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words operator|(Words a, Words b) {
    return {_mm256_or_si256(a.low, b.low), _mm256_or_si256(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words operator^(Words a, Words b) {
    return {_mm256_xor_si256(a.low, b.low), _mm256_xor_si256(a.high, b.high)};
}

EDGEMED_SIMD_INLINE Words load(const void * from) {
    const auto * at = static_cast<const __m256i *>(from);
    return {_mm256_load_si256(at), _mm256_load_si256(at + 1)};
}
EDGEMED_SIMD_INLINE void store(void * to, Words x) {
    auto * at = static_cast<__m256i *>(to);
    _mm256_store_si256(at, x.low);
    _mm256_store_si256(at + 1, x.high);
}
EDGEMED_SIMD_INLINE Words duplicate(Register x) { return {x, x}; }
EDGEMED_SIMD_INLINE Words splat32(int value) { return duplicate(_mm256_set1_epi32(value)); }
EDGEMED_SIMD_INLINE Words splat8(int value) { return duplicate(_mm256_set1_epi8(static_cast<char>(value))); }
EDGEMED_SIMD_INLINE Words repeat128(__m128i x) { return duplicate(_mm256_broadcastsi128_si256(x)); }

EDGEMED_SIMD_INLINE Words shift_left(Words x, int bits) {
    return {_mm256_slli_epi32(x.low, bits), _mm256_slli_epi32(x.high, bits)};
}
EDGEMED_SIMD_INLINE Words shift_right(Words x, int bits) {
    return {_mm256_srli_epi32(x.low, bits), _mm256_srli_epi32(x.high, bits)};
}
EDGEMED_SIMD_INLINE Words shift_right_signed(Words x, int bits) {
    return {_mm256_srai_epi32(x.low, bits), _mm256_srai_epi32(x.high, bits)};
}
EDGEMED_SIMD_INLINE Words sub(Words a, Words b) {
    return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words mul(Words a, Words b) {
    return {_mm256_mullo_epi32(a.low, b.low), _mm256_mullo_epi32(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words add8(Words a, Words b) {
    return {_mm256_add_epi8(a.low, b.low), _mm256_add_epi8(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words sub8(Words a, Words b) {
    return {_mm256_sub_epi8(a.low, b.low), _mm256_sub_epi8(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words shuffle8(Words table, Words at) {
    return {_mm256_shuffle_epi8(table.low, at.low), _mm256_shuffle_epi8(table.high, at.high)};
}
EDGEMED_SIMD_INLINE Words equal8(Words a, Words b) {
    return {_mm256_cmpeq_epi8(a.low, b.low), _mm256_cmpeq_epi8(a.high, b.high)};
}
EDGEMED_SIMD_INLINE Words add8_where(Words x, Words flags, Words bit, Words more) {
    return add8(x, more & equal8(flags & bit, bit));
}
// 0xff in the bytes whose bit is set in the 64 bits at `flags`, else 0: copies the flag byte to its eight lanes, then
// tests one bit in each.
EDGEMED_SIMD_INLINE Words expand_mask(const void * flags) {
    const Words bit = duplicate(_mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201)));
    const Words eighth = {
        _mm256_setr_epi32(0, 0, 0x01010101, 0x01010101, 0x02020202, 0x02020202, 0x03030303, 0x03030303),
        _mm256_setr_epi32(0x04040404, 0x04040404, 0x05050505, 0x05050505, 0x06060606, 0x06060606, 0x07070707,
                          0x07070707)};
    return equal8(shuffle8(repeat128(_mm_loadl_epi64(static_cast<const __m128i *>(flags))), eighth) & bit, bit);
}
EDGEMED_SIMD_INLINE Words negate8_where(Words x, const void * flags) {
    const Words which = expand_mask(flags);
    return sub8(x ^ which, which);
}
EDGEMED_SIMD_INLINE Words subtract2_where(Words x, const void * flags) {
    return sub8(x, expand_mask(flags) & splat8(2));
}

EDGEMED_SIMD_INLINE void transpose16(const uint8_t * const * rows, size_t at, Words * out) {
    const auto part = [&](int row) { return reinterpret_cast<const __m128i *>(rows[row] + at); };
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        Register four[4];  // rows i and i + 4 of this half's eight
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) four[i] = _mm256_loadu2_m128i(part(8 * half + i + 4), part(8 * half + i));
        const Register low01 = _mm256_unpacklo_epi32(four[0], four[1]),
                       high01 = _mm256_unpackhi_epi32(four[0], four[1]);
        const Register low23 = _mm256_unpacklo_epi32(four[2], four[3]),
                       high23 = _mm256_unpackhi_epi32(four[2], four[3]);
        const Register each[4] = {_mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
                                  _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) (half == 0 ? out[i].low : out[i].high) = each[i];
    }
}

EDGEMED_SIMD_INLINE void store_halves_as_floats(float * to, Words x, float unit = 1) {
    // packus interleaves the 128-bit halves of its operands; the permutation restores the order of lanes.
    const Words low = x & splat32(0xffff);
    const Register all = _mm256_permute4x64_epi64(_mm256_packus_epi32(low.low, low.high), 0xd8);
    _mm256_store_ps(to, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(all)), _mm256_set1_ps(unit)));
    _mm256_store_ps(to + 8, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(all, 1)), _mm256_set1_ps(unit)));
}

EDGEMED_SIMD_INLINE Register zero() { return _mm256_setzero_si256(); }
EDGEMED_SIMD_INLINE Register load_lanes(const void * from) {
    return _mm256_load_si256(static_cast<const __m256i *>(from));
}
EDGEMED_SIMD_INLINE Register splat(int32_t value) { return _mm256_set1_epi32(value); }
EDGEMED_SIMD_INLINE Register add(Register a, Register b) { return _mm256_add_epi32(a, b); }
EDGEMED_SIMD_INLINE Register sub(Register a, Register b) { return _mm256_sub_epi32(a, b); }
EDGEMED_SIMD_INLINE Register mul(Register a, Register b) { return _mm256_mullo_epi32(a, b); }
EDGEMED_SIMD_INLINE Register shift_left(Register x, int bits) { return _mm256_slli_epi32(x, bits); }
#ifdef EDGEMED_VNNI
EDGEMED_SIMD_INLINE Register dot4(Register sum, Register a, Register b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
EDGEMED_SIMD_INLINE Register dot2(Register sum, Register a, Register b) { return _mm256_dpwssd_avx_epi32(sum, a, b); }
#else
#define EDGEMED_PAIRS  // there is no dot4: gemm_sum_maddubs.inc
EDGEMED_SIMD_INLINE Register dot2(Register sum, Register a, Register b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
#endif

EDGEMED_SIMD_INLINE Floats to_floats(Register x) { return _mm256_cvtepi32_ps(x); }
EDGEMED_SIMD_INLINE Floats load_floats(const float * from) { return _mm256_load_ps(from); }
EDGEMED_SIMD_INLINE void store_floats(float * to, Floats x) { _mm256_store_ps(to, x); }
EDGEMED_SIMD_INLINE Floats splat_float(float value) { return _mm256_set1_ps(value); }
EDGEMED_SIMD_INLINE Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
EDGEMED_SIMD_INLINE Floats fma(Floats sum, Floats a, Floats b) { return _mm256_fmadd_ps(a, b, sum); }
EDGEMED_SIMD_INLINE Floats fnma(Floats sum, Floats a, Floats b) { return _mm256_fnmadd_ps(a, b, sum); }

}  // namespace
}  // namespace edgemed
