// The K-quants. The bit layouts are those of GGUF (ggml-common.h, ggml-quants.c).

#include "gemv_avx512_rows.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::matmul {
namespace {

using namespace avx512;

// 16 bytes of scales (low nibble) and minima (high nibble), qs 64 bytes, d, dmin. Scale times code is at most 45 and is
// looked up by the code: bytes 4v to 4v + 3 of each 16-byte lane are the products of vector v's scale.
struct Q2K {
    static constexpr int kType = 10;
    static constexpr size_t kBytes = 84;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kQuarters;
    static constexpr Bytes kSpread = spread(kLayout);

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m128i both = load16(w), four = _mm_set1_epi8(0x0f);
        const __m512i scales =
            _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_and_si128(both, four)), load_table(kSpread));
        // A lane's two words become scale * (0, 1) and scale * (2, 3).
        const __m512i products = _mm512_mullo_epi16(scales, _mm512_set1_epi32(0x03020100));
        const __m512i q = load64(w + 16);
        __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        // Move two bits of each byte down; xoring 4v in selects the products of vector v.
        sums[0] =
            _mm512_dpbusd_epi32(sums[0], _mm512_shuffle_epi8(products, _mm512_and_si512(q, splat8(3))), codes(x, 0));
        sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_shuffle_epi8(products, move_bits<2, 2, 0, 4>(q)), codes(x, 1));
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_shuffle_epi8(products, move_bits<4, 2, 0, 8>(q)), codes(x, 2));
        sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_shuffle_epi8(products, move_bits<6, 2, 0, 12>(q)), codes(x, 3));
        // The minima times the sums of 16 activations, subtracted before the values are added, as ggml does.
        const __m256i minima = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(both, 4), four));
        int32_t d_and_min;
        std::memcpy(&d_and_min, w + 80, sizeof d_and_min);
        const __m128 d = block_scale(_mm_cvtsi32_si128(d_and_min), x);
        sum.value = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(_mm256_madd_epi16(minima, sums16(x))),
                                     _mm256_broadcastss_ps(_mm_movehdup_ps(d)), sum.value);
        sum.value = add_scaled(sum.value, add_halves(_mm512_add_epi32(sums[0], sums[1])), d);
    }
};

// hmask 32 bytes, qs 64, 16 6-bit scales plus 32, d. Codes are stored with 4 added.
struct Q3K {
    static constexpr int kType = 11;
    static constexpr size_t kBytes = 110;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kQuarters;

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m128i tail = load16(w + 94);  // the last two bytes of qs, the scales, d: one load
        // Four bits of each scale: the low nibbles of eight bytes, then their high nibbles.
        const __m128i low = _mm_and_si128(
            _mm_srlv_epi32(_mm_shuffle_epi8(tail, _mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9)),
                           _mm_setr_epi32(0, 0, 4, 4)),
            _mm_set1_epi8(0x0f));
        // Two more bits: four bytes with those of scales 0 to 3 lowest, then 4 to 7 and so on, moved to bits 4 and 5.
        __m128i high =
            _mm_shuffle_epi8(tail, _mm_setr_epi8(10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13));
        high =
            _mm_and_si128(_mm_srlv_epi32(_mm_sllv_epi32(high, _mm_setr_epi32(4, 2, 0, 0)), _mm_setr_epi32(0, 0, 0, 2)),
                          _mm_set1_epi8(0x30));
        const __m256i scales = _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_or_si128(low, high)), _mm256_set1_epi16(32));
        // Two bits of qs and one of hmask; the lower half of a vector is one group, the upper the group 128 columns on.
        const __m512i q = load64(w + 32), h = load32_twice(w);
        const __m512i weights[4] = {_mm512_or_si512(_mm512_and_si512(q, splat8(3)), move_bits_of_halves<0, 4, 1, 2>(h)),
                                    _mm512_or_si512(move_bits<2, 2, 0>(q), move_bits_of_halves<1, 5, 1, 2>(h)),
                                    _mm512_or_si512(move_bits<4, 2, 0>(q), move_bits_of_halves<2, 6, 1, 2>(h)),
                                    _mm512_or_si512(move_bits<6, 2, 0>(q), move_bits_of_halves<3, 7, 1, 2>(h))};
        __m512i spread[4];
        spread_signed<kLayout>(scales, spread);
        sum.value =
            add_scaled(sum.value, scaled_sums<true>(weights, x, spread), block_scale(_mm_srli_si128(tail, 14), x));
    }
};

// ql 128 bytes, qh 64, 16 int8 scales, d. Codes are stored with 32 added.
struct Q6K {
    static constexpr int kType = 14;
    static constexpr size_t kBytes = 210;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPlain;

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        __m512i weights[4];
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const __m512i q = load64(w + 64 * half), h = load32_twice(w + 128 + 32 * half);
            weights[2 * half] = _mm512_or_si512(_mm512_and_si512(q, splat8(0x0f)), move_bits_of_halves<0, 2, 2, 4>(h));
            weights[2 * half + 1] = _mm512_or_si512(move_bits<4, 4, 0>(q), move_bits_of_halves<4, 6, 2, 4>(h));
        }
        // 32 * scale * the sum of activations undoes the 32 that was added to codes.
        const __m256i scales = _mm256_cvtepi8_epi16(load16(w + 192)),
                      added = _mm256_slli_epi32(_mm256_madd_epi16(scales, sums16(x)), 5);
        __m512i spread[4];
        spread_signed<kLayout>(scales, spread);
        sum.value = add_scaled(sum.value, _mm256_sub_epi32(scaled_sums<false>(weights, x, spread), added),
                               block_scale(load_half(w + 208), x));
    }
};

// The first 16 bytes of Q4_K and Q5_K: d, dmin, and eight 6-bit scales and minima in 12 bytes (gemm_k.inc says how).
struct SixBits {
    // head: d, dmin and the 12 bytes. scales_and_minima: eight bytes each
    __m128i head, scales_and_minima;

    EDGEMED_SIMD_INLINE explicit SixBits(const uint8_t * w) : head(load16(w)) {
        const int six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x30303030;
        // Words are scales 0-3, scales 4-7, minima 0-3, minima 4-7: the low bits, then the top two of the second and
        // fourth.
        const __m128i low =
            _mm_and_si128(_mm_srlv_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(3, 2, 3, 1)), _mm_setr_epi32(0, 0, 0, 4)),
                          _mm_setr_epi32(six, four, six, four));
        const __m128i high = _mm_and_si128(_mm_srli_epi32(_mm_shuffle_epi32(head, _MM_SHUFFLE(2, 2, 1, 1)), 2),
                                           _mm_setr_epi32(0, two, 0, two));
        scales_and_minima = _mm_or_si128(low, high);
    }

    EDGEMED_SIMD_INLINE __m256i sums(const __m512i (&weights)[4], const Bytes (&scale_positions)[4],
                                     const Q8Block & x) const {
        const __m512i scales = _mm512_broadcast_i32x4(scales_and_minima);
        const __m512i spread[4] = {_mm512_shuffle_epi8(scales, load_table(scale_positions[0])),
                                   _mm512_shuffle_epi8(scales, load_table(scale_positions[1])),
                                   _mm512_shuffle_epi8(scales, load_table(scale_positions[2])),
                                   _mm512_shuffle_epi8(scales, load_table(scale_positions[3]))};
        return scaled_sums<false>(weights, x, spread);
    }
    EDGEMED_SIMD_INLINE __m128i offsets(const Q8Block & x) const {
        const __m128i minima = _mm_cvtepu8_epi16(_mm_unpackhi_epi64(scales_and_minima, scales_and_minima));
        return _mm_madd_epi16(minima, _mm_load_si128(reinterpret_cast<const __m128i *>(x.sum32)));
    }
};

constexpr Bytes kPairPositions[4] = {scale_positions<32>(kPairs, 0), scale_positions<32>(kPairs, 1),
                                     scale_positions<32>(kPairs, 2), scale_positions<32>(kPairs, 3)};

// The 16 bytes of SixBits, qs 128 bytes.
struct Q4K {
    static constexpr int kType = 12;
    static constexpr size_t kBytes = 144;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPairs;

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i q[2] = {load64(w + 16), load64(w + 80)};
        const __m512i weights[4] = {_mm512_and_si512(q[0], splat8(0x0f)), move_bits<4, 4, 0>(q[0]),
                                    _mm512_and_si512(q[1], splat8(0x0f)), move_bits<4, 4, 0>(q[1])};
        const SixBits six(w);
        const __m128 d = block_scale(six.head, x);
        sum.value = add_scaled(sum.value, six.sums(weights, kPairPositions, x), d);
        sum.offset = _mm_fnmadd_ps(_mm_cvtepi32_ps(six.offsets(x)), _mm_permute_ps(d, 0x55), sum.offset);
    }
};

// The 16 bytes of SixBits, qh 32 bytes, qs 128.
struct Q5K {
    static constexpr int kType = 13;
    static constexpr size_t kBytes = 176;
    static constexpr float kUnit = 1;
    static constexpr Layout kLayout = kPairs;

    EDGEMED_SIMD_INLINE void operator()(RowSum & sum, const uint8_t * w, const Q8Block & x) const {
        const __m512i q[2] = {load64(w + 48), load64(w + 112)}, h = load32_twice(w + 16);
        const __m512i weights[4] = {
            _mm512_or_si512(_mm512_and_si512(q[0], splat8(0x0f)), move_bits_of_halves<0, 2, 1, 4>(h)),
            _mm512_or_si512(move_bits<4, 4, 0>(q[0]), move_bits_of_halves<1, 3, 1, 4>(h)),
            _mm512_or_si512(_mm512_and_si512(q[1], splat8(0x0f)), move_bits_of_halves<4, 6, 1, 4>(h)),
            _mm512_or_si512(move_bits<4, 4, 0>(q[1]), move_bits_of_halves<5, 7, 1, 4>(h))};
        const SixBits six(w);
        const __m128 d = block_scale(six.head, x);
        sum.value = add_scaled(sum.value, six.sums(weights, kPairPositions, x), d);
        // ggml sums the minima as integers in this type: one lane holds the result, the other three stay zero.
        __m128i offset = six.offsets(x);
        offset = _mm_add_epi32(offset, _mm_unpackhi_epi64(offset, offset));
        offset = _mm_add_epi32(offset, _mm_shuffle_epi32(offset, _MM_SHUFFLE(1, 1, 1, 1)));
        sum.offset = _mm_fnmadd_ps(_mm_maskz_cvtepi32_ps(1, offset), _mm_permute_ps(d, 0x55), sum.offset);
    }
};

}  // namespace

const GemvKernel kGemvQ2K = gemv_kernel<Q2K>(), kGemvQ3K = gemv_kernel<Q3K>(), kGemvQ4K = gemv_kernel<Q4K>(),
                 kGemvQ5K = gemv_kernel<Q5K>(), kGemvQ6K = gemv_kernel<Q6K>();

}  // namespace edgemed::matmul
#endif
