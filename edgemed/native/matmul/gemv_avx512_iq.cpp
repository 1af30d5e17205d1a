// The types whose codes are indices of codebook points, looked up in registers: VBMI selects bytes from 128 at once, so
// an 8-bit index takes two permutations. A lookup yields several columns packed in a byte (Codebooks); GFNI expands
// them. The bit layouts are those of GGUF.

#include "gemm_kernels.h"
#include "gemv_avx512_rows.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::matmul {
namespace {

using namespace avx512;

template <typename T> T load(const uint8_t * from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
// Pinned in a register, as gemv_avx512.h explains.
EDGEMED_SIMD_INLINE __m256i load32(const uint8_t * from) {
    __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    asm("" : "+v"(x));
    return x;
}

// 256 weights without signs, in the order of columns, and which of them are negative.
struct Magnitudes {
    __m512i magnitude[4];
    __mmask64 negative[4];
};

// As scaled_sums, with the signs applied to the activations, since maddubs takes unsigned weights.
EDGEMED_SIMD_INLINE __m256i signed_sums(const Magnitudes & weights, const Q8Block & x, const __m512i (&scales)[4]) {
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        const __m512i code = codes(x, v);
        const __m512i turned = _mm512_mask_sub_epi8(code, weights.negative[v], _mm512_setzero_si512(), code);
        sums[v % 2] = _mm512_dpwssd_epi32(sums[v % 2], _mm512_maddubs_epi16(weights.magnitude[v], turned), scales[v]);
    }
    return add_halves(_mm512_add_epi32(sums[0], sums[1]));
}

// Places 8 scales of 32 columns each beside their codes. Scale i is the 16-bit word Step * i.
template <int Step> constexpr Bytes narrow_scale_positions(int v) {
    Bytes result{};
    for (int i = 0; i < 64; i += 2) result.at[i] = static_cast<uint8_t>(Step * (2 * v + i / 32));
    return result;
}
template <int Step>
constexpr Bytes kNarrowPositions[4] = {narrow_scale_positions<Step>(0), narrow_scale_positions<Step>(1),
                                       narrow_scale_positions<Step>(2), narrow_scale_positions<Step>(3)};
template <int Step> EDGEMED_SIMD_INLINE void spread_narrow(__m512i scales, __m512i (&spread)[4]) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) spread[v] = _mm512_permutexvar_epi16(load_table(kNarrowPositions<Step>[v]), scales);
}

// The nibbles of up to eight bytes as bytes, the low nibble first.
EDGEMED_SIMD_INLINE __m128i nibbles(__m128i bytes) {
    const __m128i four = _mm_set1_epi8(0x0f);
    return _mm_unpacklo_epi8(_mm_and_si128(bytes, four), _mm_and_si128(_mm_srli_epi16(bytes, 4), four));
}
EDGEMED_SIMD_INLINE __m256i twice_plus_one(__m256i x) {
    return _mm256_add_epi16(_mm256_add_epi16(x, x), _mm256_set1_epi16(1));
}

// The sign bits of 256 columns in memory as four masks.
EDGEMED_SIMD_INLINE void load_signs(const uint8_t * from, Magnitudes & weights) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) weights.negative[v] = load<uint64_t>(from + 8 * v);
}

// GFNI matrix: keeps seven signs and sets bit 7 to their parity, so that the number of negative signs is even.
constexpr int64_t kEvenSigns = [] {
    uint64_t matrix = 0x7f;  // the row for bit 7: the parity of the others
    for (int i = 0; i < 7; i++) matrix |= uint64_t{1} << (8 * (7 - i) + i);
    return static_cast<int64_t>(matrix);
}();
EDGEMED_SIMD_INLINE __m512i add_parity_signs(__m512i sevens) {
    return _mm512_gf2p8affine_epi64_epi8(sevens, _mm512_set1_epi64(kEvenSigns), 0);
}

// Through memory: moving 64 bits from a vector to a mask register takes longer.
EDGEMED_SIMD_INLINE void set_signs(__m256i bytes, Magnitudes & weights) {
    alignas(32) uint8_t signs[32];
    _mm256_store_si256(reinterpret_cast<__m256i *>(signs), bytes);
    load_signs(signs, weights);
}

// From 28 bits of each 32 columns, in 64-bit words. multishift extracts 8 bits from bits 0, 7, 14 and 21 on.
EDGEMED_SIMD_INLINE void set_signs_from_7_bits(__m512i words, Magnitudes & weights) {
    set_signs(
        _mm512_cvtepi64_epi32(add_parity_signs(_mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x15'0e'07'00), words))),
        weights);
}

// Permutation that puts the two packed bytes of a point at the head of its eight columns, for vector v.
constexpr Bytes eights(int v) {
    Bytes result{};
    for (int i = 0; i < 64; i++) result.at[i] = static_cast<uint8_t>(8 * v + i / 8 + i % 2 * 32);
    return result;
}

// Permutation of points before the lookup, so that after the unpacks of `four_columns` the columns are in order.
constexpr Bytes kInterleaved = [] {
    Bytes result{};
    for (int i = 0; i < 64; i++) result.at[i] = static_cast<uint8_t>(16 * (i % 16 / 4) + 4 * (i / 16) + i % 4);
    return result;
}();

// Expands two packed bytes of each point, two columns each. Low and High: GFNI matrices that make the value of the low
// and the high nibble; `Added` is xored in. The unpacks interleave bytes within 16-byte lanes.
template <int64_t Low, int64_t High, int Added>
EDGEMED_SIMD_INLINE void four_columns(__m512i first, __m512i second, Magnitudes & weights) {
    const __m512i pair[2] = {_mm512_unpacklo_epi8(first, second), _mm512_unpackhi_epi8(first, second)};
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const __m512i low = _mm512_gf2p8affine_epi64_epi8(pair[i], _mm512_set1_epi64(Low), Added);
        const __m512i high = _mm512_gf2p8affine_epi64_epi8(pair[i], _mm512_set1_epi64(High), Added);
        weights.magnitude[2 * i] = _mm512_unpacklo_epi8(low, high);
        weights.magnitude[2 * i + 1] = _mm512_unpackhi_epi8(low, high);
    }
}

// table[index] for 64 indices of 8 bits: two lookups in 128 bytes each, then bit 7 chooses.
EDGEMED_SIMD_INLINE __m512i look_up(const uint8_t * table, __m512i indices) {
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(table), indices, _mm512_load_si512(table + 64));
    const __m512i high =
        _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), indices, _mm512_load_si512(table + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(indices), low, high);
}

// The same for tables of 512 and 1024 bytes; `ninth` and `tenth` are the indices' upper bits.
EDGEMED_SIMD_INLINE __m512i look_up(const uint8_t * table, __m512i indices, __mmask64 ninth) {
    return _mm512_mask_blend_epi8(ninth, look_up(table, indices), look_up(table + 256, indices));
}
EDGEMED_SIMD_INLINE __m512i look_up(const uint8_t * table, __m512i indices, __mmask64 ninth, __mmask64 tenth) {
    return _mm512_mask_blend_epi8(tenth, look_up(table, indices, ninth), look_up(table + 512, indices, ninth));
}

// d, 64 bytes of point indices, then for each 32 columns 4 x 7 bits of signs and 4 of scale.
struct Iq3Xxs {
    // The values are 4, 12, 20 and so on to 52, and 62: 4 + 8 * the low three bits, and for the last 62 = 60 | 2 from
    // bit 3.
    template <int From> static constexpr int64_t kEightTimes = bit_move(From, 3, 3) | bit_move(From + 3, 1, 1);

    static constexpr int kType = 18;
    static constexpr size_t kBytes = 98;
    static constexpr float kUnit = 0.25f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & books = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i indices = _mm512_permutexvar_epi8(load_table(kInterleaved), load64(w + 2));
        Magnitudes weights;
        four_columns<kEightTimes<0>, kEightTimes<4>, 4>(look_up(books.iq3_xxs_pairs[0], indices),
                                                        look_up(books.iq3_xxs_pairs[1], indices), weights);
        const __m256i words = load32(w + 66);
        set_signs_from_7_bits(_mm512_cvtepu32_epi64(words), weights);
        __m512i spread[4];
        spread_narrow<2>(_mm512_castsi256_si512(twice_plus_one(_mm256_srli_epi32(words, 28))), spread);
        sum.value = add_scaled(sum.value, signed_sums(weights, x, spread), block_scale(load_half(w), x));
    }
};

// d, 64 bytes of point indices, 8 bytes of ninth bits, 32 of signs, 8 4-bit scales.
struct Iq3S {
    static constexpr int kType = 21;
    static constexpr size_t kBytes = 110;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & books = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i order = load_table(kInterleaved), indices = _mm512_permutexvar_epi8(order, load64(w + 2));
        const __mmask64 ninth =
            _mm512_movepi8_mask(_mm512_permutexvar_epi8(order, _mm512_movm_epi8(load<uint64_t>(w + 66))));
        Magnitudes weights;
        four_columns<bit_move(0, 4, 0), bit_move(4, 4, 0), 0>(look_up(books.iq3_s_pairs[0], indices, ninth),
                                                              look_up(books.iq3_s_pairs[1], indices, ninth), weights);
        load_signs(w + 74, weights);
        __m512i spread[4];
        spread_narrow<1>(_mm512_castsi256_si512(
                             twice_plus_one(_mm256_cvtepu8_epi16(nibbles(_mm_cvtsi32_si128(load<int32_t>(w + 106)))))),
                         spread);
        sum.value = add_scaled(sum.value, signed_sums(weights, x, spread), block_scale(load_half(w), x));
    }
};

// Expands points of eight columns with three possible values, packed as 2 bits for each column, four columns in a byte.
constexpr Bytes kEights[4] = {eights(0), eights(1), eights(2), eights(3)};
EDGEMED_SIMD_INLINE void spread_eights(__m512i first, __m512i second, Magnitudes & weights) {
    const __m512i fours = _mm512_inserti64x4(first, _mm512_castsi512_si256(second), 1),
                  two_bits = _mm512_set1_epi64(0x0e'0c'0a'08'06'04'02'00);
    // The values 8, 25 and 43 from the 2-bit numbers 0, 1 and 2: 8, xored with 0x11 for bit 0 and with 0x23 for bit 1.
    const __m512i indices = _mm512_set1_epi64(bit_move(0, 1, 0) | bit_move(0, 1, 4) | bit_move(1, 1, 0) |
                                              bit_move(1, 1, 1) | bit_move(1, 1, 5));
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) {
        const __m512i shifted =
            _mm512_multishift_epi64_epi8(two_bits, _mm512_permutexvar_epi8(load_table(kEights[v]), fours));
        weights.magnitude[v] = _mm512_gf2p8affine_epi64_epi8(shifted, indices, 8);
    }
}

// d, then for each 32 columns 4 bytes of point indices, 4 x 7 bits of signs and 4 of scale.
struct Iq2Xxs {
    static constexpr int kType = 16;
    static constexpr size_t kBytes = 66;
    static constexpr float kUnit = 0.125f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & books = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i both = load64(w + 2), words = _mm512_srli_epi64(both, 32);
        Magnitudes weights;
        const __m512i indices = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(both));
        spread_eights(look_up(books.iq2_xxs_fours[0], indices), look_up(books.iq2_xxs_fours[1], indices), weights);
        set_signs_from_7_bits(words, weights);
        const __m512i scales = _mm512_srli_epi64(words, 28);
        __m512i spread[4];
        spread_narrow<4>(_mm512_add_epi16(_mm512_add_epi16(scales, scales), _mm512_set1_epi16(1)), spread);
        sum.value = add_scaled(sum.value, signed_sums(weights, x, spread), block_scale(load_half(w), x));
    }
};

// d, 32 words with 9 bits of point index and 7 of signs, 16 4-bit scales.
struct Iq2Xs {
    static constexpr int kType = 17;
    static constexpr size_t kBytes = 74;
    static constexpr float kUnit = 0.125f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & books = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i words = load64(w + 2);
        Magnitudes weights;
        const __m512i indices = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(words));
        const __mmask64 ninth = _mm512_test_epi16_mask(words, _mm512_set1_epi16(256));
        spread_eights(look_up(books.iq2_xs_fours[0], indices, ninth), look_up(books.iq2_xs_fours[1], indices, ninth),
                      weights);
        set_signs(_mm512_cvtepi16_epi8(add_parity_signs(_mm512_srli_epi16(words, 9))), weights);
        __m512i spread[4];
        spread_signed<kLayout>(twice_plus_one(_mm256_cvtepu8_epi16(nibbles(_mm_cvtsi64_si128(load<int64_t>(w + 66))))),
                               spread);
        sum.value = add_scaled(sum.value, signed_sums(weights, x, spread), block_scale(load_half(w), x));
    }
};

// d, 32 bytes of point indices, 32 of signs, 8 bytes with the indices' upper two bits, 16 4-bit scales.
struct Iq2S {
    static constexpr int kType = 22;
    static constexpr size_t kBytes = 82;
    static constexpr float kUnit = 0.125f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & books = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const uint64_t upper = load<uint64_t>(w + 66), odd = 0x5555555555555555;
        const __mmask64 ninth = _pext_u64(upper, odd), tenth = _pext_u64(upper, odd << 1);
        const __m512i indices = _mm512_castsi256_si512(load32(w + 2));
        Magnitudes weights;
        spread_eights(look_up(books.iq2_s_fours[0], indices, ninth, tenth),
                      look_up(books.iq2_s_fours[1], indices, ninth, tenth), weights);
        load_signs(w + 34, weights);
        __m512i spread[4];
        spread_signed<kLayout>(twice_plus_one(_mm256_cvtepu8_epi16(nibbles(_mm_cvtsi64_si128(load<int64_t>(w + 74))))),
                               spread);
        sum.value = add_scaled(sum.value, signed_sums(weights, x, spread), block_scale(load_half(w), x));
    }
};

// d, 8 x 2 high bits of scales, 8 x 4 low bits, qs 128 bytes: each nibble selects one of sixteen values. Scales are
// stored with 32 added.
struct Iq4Xs {
    static constexpr int kType = 23;
    static constexpr size_t kBytes = 136;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPlain;

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i sizes =
            _mm512_broadcast_i32x4(_mm_setr_epi8(127, 104, 83, 65, 49, 35, 22, 10, 1, 13, 25, 38, 53, 69, 89, 113));
        constexpr int64_t low = bit_move(0, 4, 0), high = bit_move(4, 4, 0);
        Magnitudes weights;
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) {  // 16 columns are the low nibbles of 16 bytes, the next 16 their high nibbles
            const __m512i twice = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3),
                                                           _mm512_castsi256_si512(load32(w + 8 + 32 * v)));
            const __m512i code =
                _mm512_gf2p8affine_epi64_epi8(twice, _mm512_setr_epi64(low, low, high, high, low, low, high, high), 0);
            weights.magnitude[v] = _mm512_shuffle_epi8(sizes, code);
            // The first eight of the sixteen values are negative.
            weights.negative[v] = _mm512_testn_epi8_mask(code, splat8(8));
        }
        const __m128i upper =
            _mm_srlv_epi16(_mm_set1_epi16(load<int16_t>(w + 2)), _mm_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14));
        const __m128i lower = _mm_cvtepu8_epi16(nibbles(_mm_cvtsi32_si128(load<int32_t>(w + 4))));
        const __m128i six = _mm_or_si128(lower, _mm_slli_epi16(_mm_and_si128(upper, _mm_set1_epi16(3)), 4));
        __m512i spread[4];
        spread_narrow<1>(_mm512_castsi128_si512(_mm_sub_epi16(six, _mm_set1_epi16(32))), spread);
        sum.value = add_scaled(sum.value, signed_sums(weights, x, spread), block_scale(load_half(w), x));
    }
};

}  // namespace

const GemvKernel kGemvIQ2XXS = gemv_kernel<Iq2Xxs>(), kGemvIQ2XS = gemv_kernel<Iq2Xs>(),
                 kGemvIQ2S = gemv_kernel<Iq2S>(), kGemvIQ3XXS = gemv_kernel<Iq3Xxs>(), kGemvIQ3S = gemv_kernel<Iq3S>(),
                 kGemvIQ4XS = gemv_kernel<Iq4Xs>();

}  // namespace edgemed::matmul
#endif
