// What the AVX-512 gemv kernels share: moving bits and scales into place, and the sums. A block's 256 codes are four
// vectors v = 0 to 3 of 64 bytes, each with two groups of 32 columns in the order of a Layout.
#pragma once

#include <cstdint>
#include <cstring>

#include "gemv.h"

namespace edgemed::matmul {

// The columns group i of a Q8Block holds: 32 * kGroupOrder[layout][i] and following.
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

// A shuffle control or another constant, aligned for a register.
struct alignas(64) Bytes {
    uint8_t at[64];
};

// Shuffle control that expands byte scales to the 16-bit scales of vector v, one for every pair of codes. `Columns`
// columns share a scale. The high byte is 0x80, which vpshufb turns into zero.
template <int Columns> constexpr Bytes scale_positions(Layout layout, int v) {
    Bytes result{};
    for (int i = 0; i < 64; i += 2) {
        const int column = 32 * kGroupOrder[layout][2 * v + i / 32] + i % 32;
        result.at[i] = static_cast<uint8_t>(column / Columns);
        result.at[i + 1] = 0x80;
    }
    return result;
}

// The same for Q2_K's table: bytes 4v to 4v + 3 of every 16 get the scale of vector v, as two 16-bit values.
constexpr Bytes spread(Layout layout) {
    Bytes result{};
    for (int i = 0; i < 64; i++) {
        const int column = 32 * kGroupOrder[layout][2 * (i % 16 / 4) + i / 32] + i % 32 / 16 * 16;
        result.at[i] = i % 2 ? 0x80 : static_cast<uint8_t>(column / 16);
    }
    return result;
}

// The same for 16 scales that are 16 bits wide already: indices for vpermw.
constexpr Bytes wide_scale_positions(Layout layout, int v) {
    Bytes result{};
    for (int i = 0; i < 64; i += 2)
        result.at[i] = static_cast<uint8_t>((32 * kGroupOrder[layout][2 * v + i / 32] + i % 32) / 16);
    return result;
}

// The GFNI matrix that moves `count` bits of every byte from bit `from` to bit `to` and clears the others. One
// instruction replaces a shift and a mask, and bytes have no shift.
constexpr int64_t bit_move(int from, int count, int to) {
    uint64_t matrix = 0;
    for (int i = 0; i < count; i++) matrix |= uint64_t{1} << (8 * (7 - to - i) + from + i);
    return static_cast<int64_t>(matrix);
}
// Added: a constant that is xored in.
template <int From, int Count, int To, int Added = 0> EDGEMED_SIMD_INLINE __m512i move_bits(__m512i x) {
    return _mm512_gf2p8affine_epi64_epi8(x, _mm512_set1_epi64(bit_move(From, Count, To)), Added);
}
// From and Upper: where the bits come from in the lower and the upper half of the register.
template <int From, int Upper, int Count, int To> EDGEMED_SIMD_INLINE __m512i move_bits_of_halves(__m512i x) {
    constexpr int64_t low = bit_move(From, Count, To), high = bit_move(Upper, Count, To);
    return _mm512_gf2p8affine_epi64_epi8(x, _mm512_setr_epi64(low, low, low, low, high, high, high, high), 0);
}

// Loads, pinned in a register by the asm. GCC would fold the load into each use, and a block's bytes usually cross a
// cache line, which makes every repeated load slow.
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
EDGEMED_SIMD_INLINE __m512i load_table(const Bytes & bytes) { return _mm512_load_si512(bytes.at); }
EDGEMED_SIMD_INLINE __m512i codes(const Q8Block & x, int v) { return _mm512_load_si512(x.code + 64 * v); }
EDGEMED_SIMD_INLINE __m256i sums16(const Q8Block & x) {
    return _mm256_load_si256(reinterpret_cast<const __m256i *>(x.sum16));
}
EDGEMED_SIMD_INLINE __m256i add_halves(__m512i x) {
    return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
}
EDGEMED_SIMD_INLINE __m512i splat8(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }

template <Layout L>
constexpr Bytes kWidePositions[4] = {wide_scale_positions(L, 0), wide_scale_positions(L, 1), wide_scale_positions(L, 2),
                                     wide_scale_positions(L, 3)};

// Places 16 signed scales of 16 columns each beside their codes.
template <Layout L> EDGEMED_SIMD_INLINE void spread_signed(__m256i scales, __m512i (&spread)[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++)
        spread[v] = _mm512_permutexvar_epi16(load_table(kWidePositions<L>[v]), _mm512_castsi256_si512(scales));
}

// Four vectors of codes, each times its scales. Returns eight sums, each of four columns of every 32, as ggml's AVX2
// routines have them. Less: subtracts x.pair_sums4, because the codes are 4 too large. Two chains halve the latency of
// dpwssd.
template <bool Less>
EDGEMED_SIMD_INLINE __m256i scaled_sums(const __m512i (&weights)[4], const Q8Block & x, const __m512i (&scales)[4]) {
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        __m512i pairs = _mm512_maddubs_epi16(weights[v], codes(x, v));
        if constexpr (Less) pairs = _mm512_sub_epi16(pairs, _mm512_load_si512(x.pair_sums4 + 32 * v));
        sums[v % 2] = _mm512_dpwssd_epi32(sums[v % 2], pairs, scales[v]);
    }
    return add_halves(_mm512_add_epi32(sums[0], sums[1]));
}

// A row's float sums so far. ggml keeps the minima of Q4_K and Q5_K apart from the values.
struct RowSum {
    __m256 value;
    __m128 offset;
};

}  // namespace edgemed::matmul::avx512
#endif
