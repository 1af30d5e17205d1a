// Sixteen 32-bit lanes in one AVX-512 register. vectors_avx2.h defines the same names for AVX2.
//
// A source includes one of the two and is compiled for that instruction set. Everything here has internal linkage: if
// two sources shared an inline function, the linker could keep the copy that the running processor cannot execute.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "intrinsics.h"

#define EDGEMED_SIMD __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#define EDGEMED_SIMD_INLINE EDGEMED_SIMD __attribute__((always_inline)) inline

namespace edgemed {
namespace {

// Sixteen 32-bit words, or 64 bytes: what the unpackers work on.
using Words = __m512i;

EDGEMED_SIMD_INLINE Words load(const void * from) { return _mm512_load_si512(from); }
EDGEMED_SIMD_INLINE void store(void * to, Words x) { _mm512_store_si512(to, x); }
EDGEMED_SIMD_INLINE Words splat32(int value) { return _mm512_set1_epi32(value); }
EDGEMED_SIMD_INLINE Words splat8(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
EDGEMED_SIMD_INLINE Words repeat128(__m128i x) { return _mm512_broadcast_i32x4(x); }

// Shifts and arithmetic of 32-bit words, or of bytes where the name ends in 8.
EDGEMED_SIMD_INLINE Words shift_left(Words x, int bits) { return _mm512_slli_epi32(x, static_cast<unsigned>(bits)); }
EDGEMED_SIMD_INLINE Words shift_right(Words x, int bits) { return _mm512_srli_epi32(x, static_cast<unsigned>(bits)); }
EDGEMED_SIMD_INLINE Words shift_right_signed(Words x, int bits) {
    return _mm512_srai_epi32(x, static_cast<unsigned>(bits));
}
EDGEMED_SIMD_INLINE Words sub(Words a, Words b) { return _mm512_sub_epi32(a, b); }
EDGEMED_SIMD_INLINE Words mul(Words a, Words b) { return _mm512_mullo_epi32(a, b); }
EDGEMED_SIMD_INLINE Words add8(Words a, Words b) { return _mm512_add_epi8(a, b); }
EDGEMED_SIMD_INLINE Words sub8(Words a, Words b) { return _mm512_sub_epi8(a, b); }
// Looks bytes up in a table: each 16-byte lane of `at` indexes the same 16-byte lane of `table`.
EDGEMED_SIMD_INLINE Words shuffle8(Words table, Words at) { return _mm512_shuffle_epi8(table, at); }
// x + more in the bytes where `flags` has the bits of `bit`, else x.
EDGEMED_SIMD_INLINE Words add8_where(Words x, Words flags, Words bit, Words more) {
    return _mm512_mask_add_epi8(x, _mm512_test_epi8_mask(flags, bit), x, more);
}
// The 64 bits at `flags`, one for each byte.
EDGEMED_SIMD_INLINE __mmask64 load_mask(const void * flags) {
    uint64_t bits;
    std::memcpy(&bits, flags, sizeof bits);
    return bits;
}
// -x in the bytes whose flag is set, else x.
EDGEMED_SIMD_INLINE Words negate8_where(Words x, const void * flags) {
    return _mm512_mask_sub_epi8(x, load_mask(flags), _mm512_setzero_si512(), x);
}
// x - 2 in the bytes whose flag is set, else x.
EDGEMED_SIMD_INLINE Words subtract2_where(Words x, const void * flags) {
    return _mm512_mask_sub_epi8(x, load_mask(flags), x, _mm512_set1_epi8(2));
}

// Transposes 16 bytes of each of 16 rows: lane r of out[w] is 32-bit word w of row r.
EDGEMED_SIMD_INLINE void transpose16(const uint8_t * const * rows, size_t at, Words * out) {
    const auto part = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(rows[row] + at)); };
    Words four[4];  // rows i, i + 4, i + 8, i + 12: after two unpacks within 128-bit lanes every row is in its place
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

// Converts the low 16 bits of each lane, a half-precision float, to float and multiplies it by `unit`.
EDGEMED_SIMD_INLINE void store_halves_as_floats(float * to, Words x, float unit = 1) {
    _mm512_store_ps(to, _mm512_mul_ps(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)), _mm512_set1_ps(unit)));
}

// One register of sums. Here it has as many lanes as a panel.
using Register = __m512i;
using Floats = __m512;
constexpr int kWidth = 16;  // lanes of a Register
// rows of activations whose sums stay in registers: 12 of 32, the rest hold weights, scales and offsets
constexpr int kRowsAtOnce = 12;

EDGEMED_SIMD_INLINE Register zero() { return _mm512_setzero_si512(); }
EDGEMED_SIMD_INLINE Register load_lanes(const void * from) { return _mm512_load_si512(from); }
EDGEMED_SIMD_INLINE Register splat(int32_t value) { return _mm512_set1_epi32(value); }
EDGEMED_SIMD_INLINE Register add(Register a, Register b) { return _mm512_add_epi32(a, b); }
// dot4: sum + four products of bytes, unsigned a times signed b. dot2: sum + two products of signed 16-bit values.
EDGEMED_SIMD_INLINE Register dot4(Register sum, Register a, Register b) { return _mm512_dpbusd_epi32(sum, a, b); }
EDGEMED_SIMD_INLINE Register dot2(Register sum, Register a, Register b) { return _mm512_dpwssd_epi32(sum, a, b); }

EDGEMED_SIMD_INLINE Floats to_floats(Register x) { return _mm512_cvtepi32_ps(x); }
EDGEMED_SIMD_INLINE Floats load_floats(const float * from) { return _mm512_load_ps(from); }
EDGEMED_SIMD_INLINE void store_floats(float * to, Floats x) { _mm512_store_ps(to, x); }
EDGEMED_SIMD_INLINE Floats splat_float(float value) { return _mm512_set1_ps(value); }
EDGEMED_SIMD_INLINE Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
// Rounded once: sum + a * b and sum - a * b.
EDGEMED_SIMD_INLINE Floats fma(Floats sum, Floats a, Floats b) { return _mm512_fmadd_ps(a, b, sum); }
EDGEMED_SIMD_INLINE Floats fnma(Floats sum, Floats a, Floats b) { return _mm512_fnmadd_ps(a, b, sum); }

}  // namespace
}  // namespace edgemed
