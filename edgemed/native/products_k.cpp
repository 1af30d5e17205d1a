// Unpacks K-quants and Q8_0. How bits lie in a block is a fact of GGUF's types (ggml-common.h, ggml-quants.c).

#include "products_kernels.h"
#include "products_unpack.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::products {
namespace {

EDGEMED_AVX512_INLINE void store(Panel & panel, int group, __m512i codes) { _mm512_store_si512(panel.code[group], codes); }

EDGEMED_AVX512_INLINE void store_d(Panel & panel, __m512i d_and_min) {
    _mm512_store_ps(panel.d[0], halves(d_and_min));
    _mm512_store_ps(panel.d_offset, halves(_mm512_srli_epi32(d_and_min, 16)));
}

// Scales and minima of Q4_K and Q5_K: eight of six bits each, in 12 bytes after d and dmin.
EDGEMED_AVX512_INLINE void store_six_bits(Rows rows, size_t at, Panel & panel) {
    __m512i head[4];
    words_of_rows(rows, at, head);
    store_d(panel, head[0]);
    const __m512i six = bytes(0x3f), four = bytes(0x0f), two = bytes(0x30);
    const __m512i scales[2] = {_mm512_and_si512(head[1], six),
                               _mm512_or_si512(_mm512_and_si512(head[3], four), _mm512_and_si512(_mm512_srli_epi32(head[1], 2), two))};
    const __m512i minima[2] = {_mm512_and_si512(head[2], six),
                               _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(head[3], 4), four),
                                               _mm512_and_si512(_mm512_srli_epi32(head[2], 2), two))};
#pragma GCC unroll 2
    for (int half = 0; half < 2; half++) {
        _mm512_store_si512(panel.scale[4 * half], byte_of<0>(scales[half]));
        _mm512_store_si512(panel.scale[4 * half + 1], byte_of<1>(scales[half]));
        _mm512_store_si512(panel.scale[4 * half + 2], byte_of<2>(scales[half]));
        _mm512_store_si512(panel.scale[4 * half + 3], byte_of<3>(scales[half]));
        _mm512_store_si512(panel.offset[2 * half], pair(byte_of<0>(minima[half]), byte_of<1>(minima[half])));
        _mm512_store_si512(panel.offset[2 * half + 1], pair(byte_of<2>(minima[half]), byte_of<3>(minima[half])));
    }
}

EDGEMED_AVX512 void unpack_q4_k(Rows rows, size_t at, Panel & panel) {
    store_six_bits(rows, at, panel);
    const __m512i four = bytes(0x0f);
    for (int i = 0; i < 8; i++) {  // 16 bytes: columns c .. c + 15 in the low halves, c + 32 .. in the high ones
        __m512i words[4];
        words_of_rows(rows, at + 16 + 16 * static_cast<size_t>(i), words);
        const int group = 16 * (i / 2) + 4 * (i % 2);
#pragma GCC unroll 4
        for (int w = 0; w < 4; w++) {
            store(panel, group + w, _mm512_and_si512(words[w], four));
            store(panel, group + 8 + w, _mm512_and_si512(_mm512_srli_epi32(words[w], 4), four));
        }
    }
}

EDGEMED_AVX512 void unpack_q5_k(Rows rows, size_t at, Panel & panel) {
    store_six_bits(rows, at, panel);
    const __m512i four = bytes(0x0f), fifth = bytes(0x10);
    __m512i       high[8];
    words_of_rows(rows, at + 16, high);
    words_of_rows(rows, at + 32, high + 4);
    for (int i = 0; i < 4; i++) {  // 32 bytes: 64 columns; bits 2i and 2i + 1 of the high bytes
        __m512i words[8];
        words_of_rows(rows, at + 48 + 32 * static_cast<size_t>(i), words);
        words_of_rows(rows, at + 64 + 32 * static_cast<size_t>(i), words + 4);
#pragma GCC unroll 8
        for (int w = 0; w < 8; w++) {
            const __m512i low_bit = _mm512_and_si512(_mm512_slli_epi32(high[w], 4), fifth);
            const __m512i high_bit = _mm512_and_si512(_mm512_slli_epi32(high[w], 3), fifth);
            store(panel, 16 * i + w, _mm512_or_si512(_mm512_and_si512(words[w], four), low_bit));
            store(panel, 16 * i + 8 + w, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(words[w], 4), four), high_bit));
            high[w] = _mm512_srli_epi32(high[w], 2);
        }
    }
}

// ql 128, qh 64, scales 16 (signed), d. Codes are stored with 32 added, which the offsets take away again.
EDGEMED_AVX512 void unpack_q6_k(Rows rows, size_t at, Panel & panel) {
    const __m512i four = bytes(0x0f), two = bytes(0x30);
    for (int half = 0; half < 2; half++) {
        for (int i = 0; i < 2; i++) {  // 16 of each 32 columns
            __m512i      low[4], low2[4], high[4];
            const size_t part = 16 * static_cast<size_t>(i);
            words_of_rows(rows, at + 64 * static_cast<size_t>(half) + part, low);
            words_of_rows(rows, at + 64 * static_cast<size_t>(half) + 32 + part, low2);
            words_of_rows(rows, at + 128 + 32 * static_cast<size_t>(half) + part, high);
#pragma GCC unroll 4
            for (int w = 0; w < 4; w++) {
                const int group = 32 * half + 4 * i + w;
                store(panel, group, _mm512_or_si512(_mm512_and_si512(low[w], four), _mm512_and_si512(_mm512_slli_epi32(high[w], 4), two)));
                store(panel, group + 8, _mm512_or_si512(_mm512_and_si512(low2[w], four), _mm512_and_si512(_mm512_slli_epi32(high[w], 2), two)));
                store(panel, group + 16, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(low[w], 4), four), _mm512_and_si512(high[w], two)));
                store(panel, group + 24, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(low2[w], 4), four),
                                                         _mm512_and_si512(_mm512_srli_epi32(high[w], 2), two)));
            }
        }
    }
    __m512i scales[4];
    words_of_rows(rows, at + 192, scales);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i each[4] = {signed_byte_of<0>(scales[i]), signed_byte_of<1>(scales[i]), signed_byte_of<2>(scales[i]), signed_byte_of<3>(scales[i])};
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) _mm512_store_si512(panel.scale[4 * i + b], each[b]);
        _mm512_store_si512(panel.offset[2 * i], pair(each[0], each[1]));
        _mm512_store_si512(panel.offset[2 * i + 1], pair(each[2], each[3]));
    }
    _mm512_store_ps(panel.d[0], halves(half_words_at(rows, at + 208)));
}

// Four products of a lane's word, one for each code of two bits, looked up by codes: byte c of the word is for code c.
EDGEMED_AVX512_INLINE __m512i look_up(__m512i table, __m512i codes, __m512i lanes) {
    return _mm512_shuffle_epi8(table, _mm512_or_si512(_mm512_and_si512(codes, bytes(3)), lanes));
}
// Where the word of a lane begins among the 16 bytes a look-up sees.
EDGEMED_AVX512_INLINE __m512i lane_starts() { return _mm512_set_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0, 0x0c0c0c0c, 0x08080808, 0x04040404, 0, 0x0c0c0c0c, 0x08080808, 0x04040404, 0, 0x0c0c0c0c, 0x08080808, 0x04040404, 0); }

// scales and minima 16 x (4 + 4 bits), qs 64, d, dmin. Scale times code is at most 45: one byte holds both.
EDGEMED_AVX512 void unpack_q2_k(Rows rows, size_t at, Panel & panel) {
    __m512i scales[4], words[16];
    words_of_rows(rows, at, scales);
    for (int i = 0; i < 4; i++) words_of_rows(rows, at + 16 + 16 * static_cast<size_t>(i), words + 4 * i);
    store_d(panel, words_at(rows, at + 80));
    const __m512i four = bytes(0x0f), lanes = lane_starts();
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i scale = _mm512_and_si512(scales[i], four), minimum = _mm512_and_si512(_mm512_srli_epi32(scales[i], 4), four);
        _mm512_store_si512(panel.offset[2 * i], pair(byte_of<0>(minimum), byte_of<1>(minimum)));
        _mm512_store_si512(panel.offset[2 * i + 1], pair(byte_of<2>(minimum), byte_of<3>(minimum)));
        const __m512i each[4] = {byte_of<0>(scale), byte_of<1>(scale), byte_of<2>(scale), byte_of<3>(scale)};
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) {  // sub-block 4i + b: columns 16 (4i + b) ..., bits 2 (s / 2 % 4) of byte 32 (s / 8) + 16 (s % 2)
            const int     s = 4 * i + b, word = 8 * (s / 8) + 4 * (s % 2), shift = 2 * (s / 2 % 4);
            const __m512i table = _mm512_mullo_epi32(each[b], _mm512_set1_epi32(0x03020100));
#pragma GCC unroll 4
            for (int w = 0; w < 4; w++) store(panel, 4 * s + w, look_up(table, _mm512_srli_epi32(words[word + w], shift), lanes));
        }
    }
}

// hmask 32, qs 64, scales 16 x 6 bits, d. (scale - 32) * (code - 4) lies between -124 and 128: stored with 127 added.
EDGEMED_AVX512 void unpack_q3_k(Rows rows, size_t at, Panel & panel) {
    __m512i high[8], words[16];
    for (int i = 0; i < 2; i++) words_of_rows(rows, at + 16 * static_cast<size_t>(i), high + 4 * i);
    for (int i = 0; i < 4; i++) words_of_rows(rows, at + 32 + 16 * static_cast<size_t>(i), words + 4 * i);
    const __m512i low = words_at(rows, at + 96), middle = words_at(rows, at + 100), upper = words_at(rows, at + 104);
    const __m512i four = bytes(0x0f), two = bytes(0x30), lanes = lane_starts();
    const __m512i scales[4] = {_mm512_or_si512(_mm512_and_si512(low, four), _mm512_and_si512(_mm512_slli_epi32(upper, 4), two)),
                               _mm512_or_si512(_mm512_and_si512(middle, four), _mm512_and_si512(_mm512_slli_epi32(upper, 2), two)),
                               _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(low, 4), four), _mm512_and_si512(upper, two)),
                               _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(middle, 4), four), _mm512_and_si512(_mm512_srli_epi32(upper, 2), two))};
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512i each[4] = {byte_of<0>(scales[i]), byte_of<1>(scales[i]), byte_of<2>(scales[i]), byte_of<3>(scales[i])};
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) {
            const int     s = 4 * i + b, word = 8 * (s / 8) + 4 * (s % 2), shift = 2 * (s / 2 % 4);
            const __m512i step4 = _mm512_mullo_epi32(each[b], _mm512_set1_epi32(0x04040404));
            // Modulo 256, (u - 32)(c - 4) + 127 = u c - 4 u - 32 c + 255 for the codes c = 0 .. 3; the high bit adds 4 (u - 32).
            const __m512i table = _mm512_add_epi8(_mm512_sub_epi8(_mm512_mullo_epi32(each[b], _mm512_set1_epi32(0x03020100)), step4),
                                                  _mm512_set1_epi32(static_cast<int>(0x9fbfdfffU)));
            const __m512i rise = _mm512_add_epi8(step4, bytes(0x80));
#pragma GCC unroll 4
            for (int w = 0; w < 4; w++) {
                const __m512i   codes = look_up(table, _mm512_srli_epi32(words[word + w], shift), lanes);
                const __mmask64 set = _mm512_test_epi8_mask(high[4 * (s % 2) + w], bytes(1 << (s / 2)));
                store(panel, 4 * s + w, _mm512_mask_add_epi8(codes, set, codes, rise));
            }
        }
    }
    _mm512_store_ps(panel.d[0], halves(half_words_at(rows, at + 108)));
}

// Eight times d and 32 signed codes, which are stored with 128 added.
EDGEMED_AVX512 void unpack_q8_0(Rows rows, size_t at, Panel & panel) {
    for (int s = 0; s < 8; s++, at += 34) {
        _mm512_store_ps(panel.d[s], halves(half_words_at(rows, at)));
        __m512i words[8];
        words_of_rows(rows, at + 2, words);
        words_of_rows(rows, at + 18, words + 4);
#pragma GCC unroll 8
        for (int w = 0; w < 8; w++) store(panel, 8 * s + w, _mm512_xor_si512(words[w], bytes(0x80)));
    }
}

}  // namespace

const Kernel kQ2K = {10, 84, unpack_q2_k, Sum::kWhole};
const Kernel kQ3K = {11, 110, unpack_q3_k, Sum::kWholeStarted};
const Kernel kQ4K = {12, 144, unpack_q4_k, Sum::k32};
const Kernel kQ5K = {13, 176, unpack_q5_k, Sum::k32};
const Kernel kQ6K = {14, 210, unpack_q6_k, Sum::k16Shifted5};
const Kernel kQ80 = {8, 272, unpack_q8_0, Sum::kFloat32};

}  // namespace edgemed::products
#endif
