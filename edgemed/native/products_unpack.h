// What all unpackers share: 16 rows side by side, and their half-precision scales.
#pragma once

#include "products_panel.h"

#ifdef EDGEMED_HAS_KERNELS
#include <cstring>

#include "intrinsics.h"

namespace edgemed::products {

using Rows = const uint8_t * const *;  // kLanes of them

EDGEMED_AVX512_INLINE __m128i load16(const uint8_t * from) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(from)); }

// 16 bytes of each row become four registers, each with one 32-bit word of every row.
EDGEMED_AVX512_INLINE void words_of_rows(Rows rows, size_t at, __m512i * out) {
    __m512i four[4];  // rows i, i + 4, i + 8, i + 12
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512i x = _mm512_castsi128_si512(load16(rows[i] + at));
        x = _mm512_inserti32x4(x, load16(rows[i + 4] + at), 1);
        x = _mm512_inserti32x4(x, load16(rows[i + 8] + at), 2);
        four[i] = _mm512_inserti32x4(x, load16(rows[i + 12] + at), 3);
    }
    const __m512i low01 = _mm512_unpacklo_epi32(four[0], four[1]), high01 = _mm512_unpackhi_epi32(four[0], four[1]);
    const __m512i low23 = _mm512_unpacklo_epi32(four[2], four[3]), high23 = _mm512_unpackhi_epi32(four[2], four[3]);
    out[0] = _mm512_unpacklo_epi64(low01, low23);
    out[1] = _mm512_unpackhi_epi64(low01, low23);
    out[2] = _mm512_unpacklo_epi64(high01, high23);
    out[3] = _mm512_unpackhi_epi64(high01, high23);
}

EDGEMED_AVX512_INLINE __m512i bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }

// Byte `i` of every word, with its sign or without.
template <int I> EDGEMED_AVX512_INLINE __m512i byte_of(__m512i words) { return _mm512_and_si512(_mm512_srli_epi32(words, 8 * I), _mm512_set1_epi32(0xff)); }
template <int I> EDGEMED_AVX512_INLINE __m512i signed_byte_of(__m512i words) { return _mm512_srai_epi32(_mm512_slli_epi32(words, 24 - 8 * I), 24); }

// Every lane's low 16 bits as a half-precision float.
EDGEMED_AVX512_INLINE __m512 halves(__m512i words) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words)); }

// 16 bits, or 32, at the same place of every row.
EDGEMED_AVX512_INLINE __m512i half_words_at(Rows rows, size_t at) {
    alignas(64) uint32_t words[kLanes];
    for (int r = 0; r < kLanes; r++) {
        uint16_t half;
        std::memcpy(&half, rows[r] + at, sizeof half);
        words[r] = half;
    }
    return _mm512_load_si512(words);
}
EDGEMED_AVX512_INLINE __m512i words_at(Rows rows, size_t at) {
    alignas(64) uint32_t words[kLanes];
    for (int r = 0; r < kLanes; r++) std::memcpy(words + r, rows[r] + at, sizeof words[r]);
    return _mm512_load_si512(words);
}

// Two values of each lane as a pair of 16-bit ones.
EDGEMED_AVX512_INLINE __m512i pair(__m512i first, __m512i second) {
    return _mm512_or_si512(_mm512_and_si512(first, _mm512_set1_epi32(0xffff)), _mm512_slli_epi32(second, 16));
}

}  // namespace edgemed::products
#endif
