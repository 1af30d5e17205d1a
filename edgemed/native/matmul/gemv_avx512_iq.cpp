// The types whose codes stand for points of a codebook, which are looked up in registers: one of 256 numbers takes two
// permutations of two registers. How bits lie in a block is a fact of GGUF's types.

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
EDGEMED_SIMD_INLINE __m256i load32(const uint8_t * from) {
    __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    asm("" : "+v"(x));
    return x;
}

// 256 weights without their signs, in the order of columns, and which of them are negative.
struct Magnitudes {
    __m512i of[4];
    __mmask64 negative[4];
};

EDGEMED_SIMD_INLINE __m256i signed_sums(const Magnitudes & weights, const Q8Block & x, const __m512i (&scales)[4]) {
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
#pragma GCC unroll 4
    for (int kind = 0; kind < 4; kind++) {
        const __m512i code = codes(x, kind);
        const __m512i turned = _mm512_mask_sub_epi8(code, weights.negative[kind], _mm512_setzero_si512(), code);
        sums[kind % 2] =
            _mm512_dpwssd_epi32(sums[kind % 2], _mm512_maddubs_epi16(weights.of[kind], turned), scales[kind]);
    }
    return halves_added(_mm512_add_epi32(sums[0], sums[1]));
}

// Scales of 32 columns each, every `Step`th 16-bit word, each where its codes are.
template <int Step> constexpr Bytes narrow_places(int kind) {
    Bytes result{};
    for (int i = 0; i < 64; i += 2) result.at[i] = static_cast<uint8_t>(Step * (2 * kind + i / 32));
    return result;
}
template <int Step>
constexpr Bytes kNarrowPlaces[4] = {narrow_places<Step>(0), narrow_places<Step>(1), narrow_places<Step>(2),
                                    narrow_places<Step>(3)};
template <int Step> EDGEMED_SIMD_INLINE void spread_narrow(__m512i scales, __m512i (&spread)[4]) {
#pragma GCC unroll 4
    for (int kind = 0; kind < 4; kind++)
        spread[kind] = _mm512_permutexvar_epi16(table(kNarrowPlaces<Step>[kind]), scales);
}

// 4 bits each, the lower first, of up to eight bytes.
EDGEMED_SIMD_INLINE __m128i nibbles(__m128i bytes) {
    const __m128i four = _mm_set1_epi8(0x0f);
    return _mm_unpacklo_epi8(_mm_and_si128(bytes, four), _mm_and_si128(_mm_srli_epi16(bytes, 4), four));
}
EDGEMED_SIMD_INLINE __m256i twice_and_one(__m256i x) {
    return _mm256_add_epi16(_mm256_add_epi16(x, x), _mm256_set1_epi16(1));
}

// A mask of 64 columns for each kind, from a bit for each column.
EDGEMED_SIMD_INLINE void plain_signs(const uint8_t * from, Magnitudes & weights) {
#pragma GCC unroll 4
    for (int kind = 0; kind < 4; kind++) weights.negative[kind] = load<uint64_t>(from + 8 * kind);
}

// Seven signs, and the eighth, which makes the number of negative ones even.
constexpr int64_t kEvenSigns = [] {
    uint64_t matrix = 0x7f;  // bit 7 is the parity of the others
    for (int i = 0; i < 7; i++) matrix |= uint64_t{1} << (8 * (7 - i) + i);
    return static_cast<int64_t>(matrix);
}();
EDGEMED_SIMD_INLINE __m512i with_eighth(__m512i sevens) {
    return _mm512_gf2p8affine_epi64_epi8(sevens, _mm512_set1_epi64(kEvenSigns), 0);
}

// By way of memory: masks have no shorter one.
EDGEMED_SIMD_INLINE void signs_of(__m256i bytes, Magnitudes & weights) {
    alignas(32) uint8_t signs[32];
    _mm256_store_si256(reinterpret_cast<__m256i *>(signs), bytes);
    plain_signs(signs, weights);
}

// From 28 bits for each 32 columns, in words of 64 bits.
EDGEMED_SIMD_INLINE void signs_of_sevens(__m512i words, Magnitudes & weights) {
    signs_of(_mm512_cvtepi64_epi32(with_eighth(_mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x15'0e'07'00), words))),
             weights);
}

// Where the two bytes of a point are, at the head of its eight columns.
constexpr Bytes eights(int kind) {
    Bytes result{};
    for (int i = 0; i < 64; i++) result.at[i] = static_cast<uint8_t>(8 * kind + i / 8 + i % 2 * 32);
    return result;
}

// The order of points in which the columns that `four_columns` takes apart follow each other.
constexpr Bytes kInterleaved = [] {
    Bytes result{};
    for (int i = 0; i < 64; i++) result.at[i] = static_cast<uint8_t>(16 * (i % 16 / 4) + 4 * (i / 16) + i % 4);
    return result;
}();

// Two bytes of a point, with two columns each: `Low` and `High` make numbers of their halves, with `Added` bits.
template <int64_t Low, int64_t High, int Added>
EDGEMED_SIMD_INLINE void four_columns(__m512i first, __m512i second, Magnitudes & weights) {
    const __m512i pair[2] = {_mm512_unpacklo_epi8(first, second), _mm512_unpackhi_epi8(first, second)};
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const __m512i low = _mm512_gf2p8affine_epi64_epi8(pair[i], _mm512_set1_epi64(Low), Added);
        const __m512i high = _mm512_gf2p8affine_epi64_epi8(pair[i], _mm512_set1_epi64(High), Added);
        weights.of[2 * i] = _mm512_unpacklo_epi8(low, high);
        weights.of[2 * i + 1] = _mm512_unpackhi_epi8(low, high);
    }
}

// A byte of 256 for each number.
EDGEMED_SIMD_INLINE __m512i look_up(const uint8_t * table, __m512i numbers) {
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(table), numbers, _mm512_load_si512(table + 64));
    const __m512i high =
        _mm512_permutex2var_epi8(_mm512_load_si512(table + 128), numbers, _mm512_load_si512(table + 192));
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(numbers), low, high);
}

// The same of 512, with the numbers' ninth bits; and of 1024.
EDGEMED_SIMD_INLINE __m512i look_up(const uint8_t * table, __m512i numbers, __mmask64 ninth) {
    return _mm512_mask_blend_epi8(ninth, look_up(table, numbers), look_up(table + 256, numbers));
}
EDGEMED_SIMD_INLINE __m512i look_up(const uint8_t * table, __m512i numbers, __mmask64 ninth, __mmask64 tenth) {
    return _mm512_mask_blend_epi8(tenth, look_up(table, numbers, ninth), look_up(table + 512, numbers, ninth));
}

// d, points 64, 4 x 7 bits of signs and 4 of scale for each 32 columns.
struct Iq3Xxs {
    // Numbers are 4, 12, 20 and so on to 52, and 62: three bits and one for the last.
    template <int From> static constexpr int64_t kEightTimes = moved(From, 3, 3) | moved(From + 3, 1, 1);

    static constexpr int kType = 18;
    static constexpr size_t kBytes = 98;
    static constexpr float kUnit = 0.25f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & known = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i numbers = _mm512_permutexvar_epi8(table(kInterleaved), load64(w + 2));
        Magnitudes weights;
        four_columns<kEightTimes<0>, kEightTimes<4>, 4>(look_up(known.iq3_xxs_pairs[0], numbers),
                                                        look_up(known.iq3_xxs_pairs[1], numbers), weights);
        const __m256i words = load32(w + 66);
        signs_of_sevens(_mm512_cvtepu32_epi64(words), weights);
        __m512i spread[4];
        spread_narrow<2>(_mm512_castsi256_si512(twice_and_one(_mm256_srli_epi32(words, 28))), spread);
        sum.value = add_times(sum.value, signed_sums(weights, x, spread), scaled(half_at(w), x));
    }
};

// d, points 64 with a ninth bit in 8 bytes, signs 32, scales 8 x 4 bits.
struct Iq3S {
    static constexpr int kType = 21;
    static constexpr size_t kBytes = 110;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & known = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i order = table(kInterleaved), numbers = _mm512_permutexvar_epi8(order, load64(w + 2));
        const __mmask64 ninth =
            _mm512_movepi8_mask(_mm512_permutexvar_epi8(order, _mm512_movm_epi8(load<uint64_t>(w + 66))));
        Magnitudes weights;
        four_columns<moved(0, 4, 0), moved(4, 4, 0), 0>(look_up(known.iq3_s_pairs[0], numbers, ninth),
                                                        look_up(known.iq3_s_pairs[1], numbers, ninth), weights);
        plain_signs(w + 74, weights);
        __m512i spread[4];
        spread_narrow<1>(_mm512_castsi256_si512(
                             twice_and_one(_mm256_cvtepu8_epi16(nibbles(_mm_cvtsi32_si128(load<int32_t>(w + 106)))))),
                         spread);
        sum.value = add_times(sum.value, signed_sums(weights, x, spread), scaled(half_at(w), x));
    }
};

// Points of eight columns with three values each, 2 bits that stand for them, in a byte for each four.
constexpr Bytes kEights[4] = {eights(0), eights(1), eights(2), eights(3)};
EDGEMED_SIMD_INLINE void spread_eights(__m512i first, __m512i second, Magnitudes & weights) {
    const __m512i fours = _mm512_inserti64x4(first, _mm512_castsi512_si256(second), 1),
                  two_bits = _mm512_set1_epi64(0x0e'0c'0a'08'06'04'02'00);
    // 8, 25 and 43: bit 3, and for the lower bit bits 0 and 4, for the upper one bits 0, 1 and 5.
    const __m512i numbers =
        _mm512_set1_epi64(moved(0, 1, 0) | moved(0, 1, 4) | moved(1, 1, 0) | moved(1, 1, 1) | moved(1, 1, 5));
#pragma GCC unroll 4
    for (int kind = 0; kind < 4; kind++) {
        const __m512i shifted =
            _mm512_multishift_epi64_epi8(two_bits, _mm512_permutexvar_epi8(table(kEights[kind]), fours));
        weights.of[kind] = _mm512_gf2p8affine_epi64_epi8(shifted, numbers, 8);
    }
}

// d, and for each 32 columns: points 4, 4 x 7 bits of signs and 4 of scale.
struct Iq2Xxs {
    static constexpr int kType = 16;
    static constexpr size_t kBytes = 66;
    static constexpr float kUnit = 0.125f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & known = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i both = load64(w + 2), words = _mm512_srli_epi64(both, 32);
        Magnitudes weights;
        const __m512i numbers = _mm512_castsi256_si512(_mm512_cvtepi64_epi32(both));
        spread_eights(look_up(known.iq2_xxs_fours[0], numbers), look_up(known.iq2_xxs_fours[1], numbers), weights);
        signs_of_sevens(words, weights);
        const __m512i scales = _mm512_srli_epi64(words, 28);
        __m512i spread[4];
        spread_narrow<4>(_mm512_add_epi16(_mm512_add_epi16(scales, scales), _mm512_set1_epi16(1)), spread);
        sum.value = add_times(sum.value, signed_sums(weights, x, spread), scaled(half_at(w), x));
    }
};

// d, 32 x 9 bits of a point and 7 of signs, scales 16 x 4 bits.
struct Iq2Xs {
    static constexpr int kType = 17;
    static constexpr size_t kBytes = 74;
    static constexpr float kUnit = 0.125f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & known = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i words = load64(w + 2);
        Magnitudes weights;
        const __m512i numbers = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(words));
        const __mmask64 ninth = _mm512_test_epi16_mask(words, _mm512_set1_epi16(256));
        spread_eights(look_up(known.iq2_xs_fours[0], numbers, ninth), look_up(known.iq2_xs_fours[1], numbers, ninth),
                      weights);
        signs_of(_mm512_cvtepi16_epi8(with_eighth(_mm512_srli_epi16(words, 9))), weights);
        __m512i spread[4];
        spread_signed<kLayout>(twice_and_one(_mm256_cvtepu8_epi16(nibbles(_mm_cvtsi64_si128(load<int64_t>(w + 66))))),
                               spread);
        sum.value = add_times(sum.value, signed_sums(weights, x, spread), scaled(half_at(w), x));
    }
};

// d, points 32 with two more bits each in 8 bytes behind signs 32, scales 16 x 4 bits.
struct Iq2S {
    static constexpr int kType = 22;
    static constexpr size_t kBytes = 82;
    static constexpr float kUnit = 0.125f;
    static constexpr Layout kLayout = kPlain;
    const Codebooks & known = codebooks();

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const uint64_t upper = load<uint64_t>(w + 66), odd = 0x5555555555555555;
        const __mmask64 ninth = _pext_u64(upper, odd), tenth = _pext_u64(upper, odd << 1);
        const __m512i numbers = _mm512_castsi256_si512(load32(w + 2));
        Magnitudes weights;
        spread_eights(look_up(known.iq2_s_fours[0], numbers, ninth, tenth),
                      look_up(known.iq2_s_fours[1], numbers, ninth, tenth), weights);
        plain_signs(w + 34, weights);
        __m512i spread[4];
        spread_signed<kLayout>(twice_and_one(_mm256_cvtepu8_epi16(nibbles(_mm_cvtsi64_si128(load<int64_t>(w + 74))))),
                               spread);
        sum.value = add_times(sum.value, signed_sums(weights, x, spread), scaled(half_at(w), x));
    }
};

// d, the scales' high bits 16, their low ones 32, qs 128: one value of sixteen for each 4 bits. Scales have 32 added.
struct Iq4Xs {
    static constexpr int kType = 23;
    static constexpr size_t kBytes = 136;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPlain;

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i sizes =
            _mm512_broadcast_i32x4(_mm_setr_epi8(127, 104, 83, 65, 49, 35, 22, 10, 1, 13, 25, 38, 53, 69, 89, 113));
        constexpr int64_t low = moved(0, 4, 0), high = moved(4, 4, 0);
        Magnitudes weights;
#pragma GCC unroll 4
        for (int kind = 0; kind < 4; kind++) {  // 16 columns in the low bits of 16 bytes, 16 in their high bits
            const __m512i twice = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3),
                                                           _mm512_castsi256_si512(load32(w + 8 + 32 * kind)));
            const __m512i code =
                _mm512_gf2p8affine_epi64_epi8(twice, _mm512_setr_epi64(low, low, high, high, low, low, high, high), 0);
            weights.of[kind] = _mm512_shuffle_epi8(sizes, code);
            weights.negative[kind] = _mm512_testn_epi8_mask(code, byte(8));
        }
        const __m128i upper =
            _mm_srlv_epi16(_mm_set1_epi16(load<int16_t>(w + 2)), _mm_setr_epi16(0, 2, 4, 6, 8, 10, 12, 14));
        const __m128i lower = _mm_cvtepu8_epi16(nibbles(_mm_cvtsi32_si128(load<int32_t>(w + 4))));
        const __m128i six = _mm_or_si128(lower, _mm_slli_epi16(_mm_and_si128(upper, _mm_set1_epi16(3)), 4));
        __m512i spread[4];
        spread_narrow<1>(_mm512_castsi128_si512(_mm_sub_epi16(six, _mm_set1_epi16(32))), spread);
        sum.value = add_times(sum.value, signed_sums(weights, x, spread), scaled(half_at(w), x));
    }
};

}  // namespace

const GemvKernel kGemvIQ2XXS = gemv_kernel<Iq2Xxs>(), kGemvIQ2XS = gemv_kernel<Iq2Xs>(),
                 kGemvIQ2S = gemv_kernel<Iq2S>(), kGemvIQ3XXS = gemv_kernel<Iq3Xxs>(), kGemvIQ3S = gemv_kernel<Iq3S>(),
                 kGemvIQ4XS = gemv_kernel<Iq4Xs>();

}  // namespace edgemed::matmul
#endif
