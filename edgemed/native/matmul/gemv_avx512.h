// What the types' products with single rows share on AVX-512: how bits and scales are brought to their places, and sums.
#pragma once

#include <cstdint>
#include <cstring>

#include "gemv.h"

namespace edgemed::matmul {

constexpr int8_t kGroupOrder[kLayouts][8] = {
    {0, 4, 1, 5, 2, 6, 3, 7}, {0, 2, 1, 3, 4, 6, 5, 7}, {0, 1, 2, 3, 4, 5, 6, 7}};

}  // namespace edgemed::matmul

#ifdef EDGEMED_HAS_KERNELS
#include "intrinsics.h"

#define EDGEMED_SIMD                                                                                                   \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi,avx2,bmi2,fma,f16c,gfni")))
#define EDGEMED_SIMD_INLINE EDGEMED_SIMD __attribute__((always_inline)) inline

#include "gemv_floats.inc"

namespace edgemed::matmul::avx512 {

struct alignas(64) Bytes {
    uint8_t at[64];
};

// Where the bytes of a scale stand: codes of four kinds are multiplied one after another, each kind's 64 bytes side by
// side. `Columns` columns share a scale, which becomes 16 bits wide: its byte and 0x80, which makes a zero.
template <int Columns> constexpr Bytes places(Layout layout, int kind) {
    Bytes result{};
    for (int i = 0; i < 64; i += 2) {
        const int column = 32 * kGroupOrder[layout][2 * kind + i / 32] + i % 32;
        result.at[i] = static_cast<uint8_t>(column / Columns);
        result.at[i + 1] = 0x80;
    }
    return result;
}

// The same for a table of products with four codes: two bytes for each half of a kind's four.
constexpr Bytes spread(Layout layout) {
    Bytes result{};
    for (int i = 0; i < 64; i++) {
        const int column = 32 * kGroupOrder[layout][2 * (i % 16 / 4) + i / 32] + i % 32 / 16 * 16;
        result.at[i] = i % 2 ? 0x80 : static_cast<uint8_t>(column / 16);
    }
    return result;
}

// The same for scales that are 16 bits wide already.
constexpr Bytes wide_places(Layout layout, int kind) {
    Bytes result{};
    for (int i = 0; i < 64; i += 2)
        result.at[i] = static_cast<uint8_t>((32 * kGroupOrder[layout][2 * kind + i / 32] + i % 32) / 16);
    return result;
}

// The matrix with which GFNI moves `count` bits of each byte from bit `from` to bit `to`, and clears all others.
constexpr int64_t moved(int from, int count, int to) {
    uint64_t matrix = 0;
    for (int i = 0; i < count; i++) matrix |= uint64_t{1} << (8 * (7 - to - i) + from + i);
    return static_cast<int64_t>(matrix);
}
template <int From, int Count, int To, int Added = 0> EDGEMED_SIMD_INLINE __m512i move_bits(__m512i x) {
    return _mm512_gf2p8affine_epi64_epi8(x, _mm512_set1_epi64(moved(From, Count, To)), Added);
}
// Another move for each half of the register.
template <int From, int Upper, int Count, int To> EDGEMED_SIMD_INLINE __m512i move_bits_of_halves(__m512i x) {
    constexpr int64_t low = moved(From, Count, To), high = moved(Upper, Count, To);
    return _mm512_gf2p8affine_epi64_epi8(x, _mm512_setr_epi64(low, low, low, low, high, high, high, high), 0);
}

// Loads that the compiler must not repeat: a block's bytes mostly lie across two cache lines.
EDGEMED_SIMD_INLINE __m512i load64(const uint8_t * from) {
    __m512i x = _mm512_loadu_si512(from);
    asm("" : "+v"(x));
    return x;
}
EDGEMED_SIMD_INLINE __m512i load32_twice(const uint8_t * from) {
    __m512i x = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
    asm("" : "+v"(x));
    return x;
}
EDGEMED_SIMD_INLINE __m128i load16(const uint8_t * from) {
    __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
    asm("" : "+v"(x));
    return x;
}
EDGEMED_SIMD_INLINE __m512i table(const Bytes & bytes) { return _mm512_load_si512(bytes.at); }
EDGEMED_SIMD_INLINE __m512i codes(const Q8Block & x, int kind) { return _mm512_load_si512(x.code + 64 * kind); }
EDGEMED_SIMD_INLINE __m256i sums16(const Q8Block & x) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(x.sum16));
}
EDGEMED_SIMD_INLINE __m256i halves_added(__m512i x) {
    return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
}
EDGEMED_SIMD_INLINE __m512i byte(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }

template <Layout L>
constexpr Bytes kWidePlaces[4] = {wide_places(L, 0), wide_places(L, 1), wide_places(L, 2), wide_places(L, 3)};

// Signed scales of 16 columns each, each where its codes are.
template <Layout L> EDGEMED_SIMD_INLINE void spread_signed(__m256i scales, __m512i (&spread)[4]) {
#pragma GCC unroll 4
    for (int kind = 0; kind < 4; kind++)
        spread[kind] = _mm512_permutexvar_epi16(table(kWidePlaces<L>[kind]), _mm512_castsi256_si512(scales));
}

// Four kinds of codes, each times its scales: eight sums, each of four columns of every 32, as ggml's. With `Less`, x's
// `less` is taken away from products before.
template <bool Less>
EDGEMED_SIMD_INLINE __m256i scaled_sums(const __m512i (&weights)[4], const Q8Block & x, const __m512i (&scales)[4]) {
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 4
    for (int kind = 0; kind < 4; kind++) {
        __m512i pairs = _mm512_maddubs_epi16(weights[kind], codes(x, kind));
        if constexpr (Less) pairs = _mm512_sub_epi16(pairs, _mm512_load_si512(x.less + 32 * kind));
        sums[kind % 2] = _mm512_dpwssd_epi32(sums[kind % 2], pairs, scales[kind]);
    }
    return halves_added(_mm512_add_epi32(sums[0], sums[1]));
}

// A row's floats so far, added up in ggml's order.
struct RowSum {
    __m256 value;
    __m128 offset;
};

}  // namespace edgemed::matmul::avx512
#endif
