// Sixteen lanes of 32 bits for the products (vectors_avx2.h has the same names): one register of AVX-512.
//
// A source includes one of the two, and is compiled once for each set of instructions. Their names are internal to it: two
// sources must not share a function that was compiled for one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "intrinsics.h"

#define EDGEMED_SIMD __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define EDGEMED_SIMD_INLINE EDGEMED_SIMD __attribute__((always_inline)) inline

namespace edgemed {
namespace {

using Words = __m512i;

EDGEMED_SIMD_INLINE Words load(const void * from) { return _mm512_load_si512(from); }
EDGEMED_SIMD_INLINE void store(void * to, Words x) { _mm512_store_si512(to, x); }
EDGEMED_SIMD_INLINE Words all_words(int value) { return _mm512_set1_epi32(value); }
EDGEMED_SIMD_INLINE Words all_bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
EDGEMED_SIMD_INLINE Words everywhere(__m128i x) { return _mm512_broadcast_i32x4(x); }

EDGEMED_SIMD_INLINE Words left(Words x, int bits) { return _mm512_slli_epi32(x, static_cast<unsigned>(bits)); }
EDGEMED_SIMD_INLINE Words right(Words x, int bits) { return _mm512_srli_epi32(x, static_cast<unsigned>(bits)); }
EDGEMED_SIMD_INLINE Words right_signed(Words x, int bits) { return _mm512_srai_epi32(x, static_cast<unsigned>(bits)); }
EDGEMED_SIMD_INLINE Words minus(Words a, Words b) { return _mm512_sub_epi32(a, b); }
EDGEMED_SIMD_INLINE Words times(Words a, Words b) { return _mm512_mullo_epi32(a, b); }
EDGEMED_SIMD_INLINE Words bytes_added(Words a, Words b) { return _mm512_add_epi8(a, b); }
EDGEMED_SIMD_INLINE Words bytes_less(Words a, Words b) { return _mm512_sub_epi8(a, b); }
// Bytes of each 16 of `table` by the numbers `at`.
EDGEMED_SIMD_INLINE Words looked_up(Words table, Words at) { return _mm512_shuffle_epi8(table, at); }
// `more` is added to the bytes in which `flags` has one of the bits of `bit`.
EDGEMED_SIMD_INLINE Words added_where(Words x, Words flags, Words bit, Words more) {
    return _mm512_mask_add_epi8(x, _mm512_test_epi8_mask(flags, bit), x, more);
}
// Bytes, but those with a bit in the 64 at `flags` are negated, or lie two lower.
EDGEMED_SIMD_INLINE __mmask64 bits_at(const void * flags) {
    uint64_t bits;
    std::memcpy(&bits, flags, sizeof bits);
    return bits;
}
EDGEMED_SIMD_INLINE Words negated(Words x, const void * flags) {
    return _mm512_mask_sub_epi8(x, bits_at(flags), _mm512_setzero_si512(), x);
}
EDGEMED_SIMD_INLINE Words lowered(Words x, const void * flags) {
    return _mm512_mask_sub_epi8(x, bits_at(flags), x, _mm512_set1_epi8(2));
}

// 16 bytes of each row become four registers, each with one 32-bit word of every row.
EDGEMED_SIMD_INLINE void words_of_rows(const uint8_t * const * rows, size_t at, Words * out) {
    const auto part = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(rows[row] + at)); };
    Words four[4];  // rows i, i + 4, i + 8, i + 12
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        Words x = _mm512_castsi128_si512(part(i));
        x = _mm512_inserti32x4(x, part(i + 4), 1);
        x = _mm512_inserti32x4(x, part(i + 8), 2);
        four[i] = _mm512_inserti32x4(x, part(i + 12), 3);
    }
    const Words low01 = _mm512_unpacklo_epi32(four[0], four[1]), high01 = _mm512_unpackhi_epi32(four[0], four[1]);
    const Words low23 = _mm512_unpacklo_epi32(four[2], four[3]), high23 = _mm512_unpackhi_epi32(four[2], four[3]);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
}

// Every lane's low 16 bits, a float in half precision, times `unit`.
EDGEMED_SIMD_INLINE void store_halves(float * to, Words x, float unit = 1) {
    _mm512_store_ps(to, _mm512_mul_ps(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)), _mm512_set1_ps(unit)));
}

// What sums are made of: one register.
using Register = __m512i;
using Floats = __m512;
constexpr int kWidth = 16;       // its lanes
constexpr int kRowsAtOnce = 12;  // whose sums fit into registers

EDGEMED_SIMD_INLINE Register zero() { return _mm512_setzero_si512(); }
EDGEMED_SIMD_INLINE Register load_lanes(const void * from) { return _mm512_load_si512(from); }
EDGEMED_SIMD_INLINE Register in_all(int32_t value) { return _mm512_set1_epi32(value); }
EDGEMED_SIMD_INLINE Register plus(Register a, Register b) { return _mm512_add_epi32(a, b); }
// sum + four products of bytes, a's without a sign; or + two products of 16 bits.
EDGEMED_SIMD_INLINE Register plus_fours(Register sum, Register a, Register b) { return _mm512_dpbusd_epi32(sum, a, b); }
EDGEMED_SIMD_INLINE Register plus_pairs(Register sum, Register a, Register b) { return _mm512_dpwssd_epi32(sum, a, b); }

EDGEMED_SIMD_INLINE Floats in_floats(Register x) { return _mm512_cvtepi32_ps(x); }
EDGEMED_SIMD_INLINE Floats load_floats(const float * from) { return _mm512_load_ps(from); }
EDGEMED_SIMD_INLINE void store_floats(float * to, Floats x) { _mm512_store_ps(to, x); }
EDGEMED_SIMD_INLINE Floats in_all_floats(float value) { return _mm512_set1_ps(value); }
EDGEMED_SIMD_INLINE Floats product(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
EDGEMED_SIMD_INLINE Floats plus_product(Floats sum, Floats a, Floats b) { return _mm512_fmadd_ps(a, b, sum); }
EDGEMED_SIMD_INLINE Floats less_product(Floats sum, Floats a, Floats b) { return _mm512_fnmadd_ps(a, b, sum); }

}  // namespace
}  // namespace edgemed
