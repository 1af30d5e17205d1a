// Reads the codebooks out of ggml: dequantises blocks that contain one point each, with a scale that makes all values
// integers.

#include <cstring>

#include "ggml/ggml_api.h"
#include "gemm_kernels.h"

namespace edgemed::matmul {
namespace {

Codebooks g_codebooks;

// Makes the table of one type's points. Bytes 0 and 1 of a block are d, a half-precision float; `low` and `high` are
// the offsets of the low and high bits of the first point's index.
template <typename Point, size_t Count>
void fill(Point (&book)[Count], ggml::ToFloat to_float, uint16_t d, size_t low, size_t high) {
    for (size_t i = 0; i < Count; i++) {
        uint8_t block[128] = {};
        float values[kColumns];
        int8_t point[sizeof(Point)];
        std::memcpy(block, &d, sizeof d);
        block[low] = static_cast<uint8_t>(i & 255);
        if (Count > 256) block[high] = static_cast<uint8_t>(i >> 8);
        to_float(block, values, kColumns);
        for (size_t k = 0; k < sizeof(Point); k++) point[k] = static_cast<int8_t>(values[k]);
        std::memcpy(&book[i], point, sizeof(Point));
    }
}

// IQ2 points consist of the values 8, 25 and 43: value / 17 numbers them 0, 1 and 2.
template <size_t Count> void fill_fours(uint8_t (&fours)[2][Count], const uint64_t (&book)[Count]) {
    for (size_t i = 0; i < Count; i++)
        for (unsigned k = 0; k < 8; k++)
            fours[k / 4][i] |= static_cast<uint8_t>((book[i] >> 8 * k & 0xff) / 17 << 2 * (k % 4));
}

template <size_t Count, typename Code>
void fill_pairs(uint8_t (&pairs)[2][Count], const uint32_t (&book)[Count], Code code) {
    for (size_t i = 0; i < Count; i++)
        for (unsigned k = 0; k < 4; k++)
            pairs[k / 2][i] |= static_cast<uint8_t>(code(book[i] >> 8 * k & 0xff) << 4 * (k % 2));
}

template <size_t Count> void fill_upper(uint64_t (&upper)[Count], const uint32_t (&book)[Count]) {
    for (size_t i = 0; i < Count; i++) upper[i] = uint64_t{book[i]} << 32;
}

}  // namespace

const Codebooks & codebooks() { return g_codebooks; }

void load_codebooks() {
    constexpr uint16_t kOne = 0x3c00, kFour = 0x4400, kEight = 0x4800;
    const ggml::Api & api = ggml::api();
    fill(g_codebooks.iq2_xxs, api.dequantise_iq2_xxs, kEight, 2, 0);
    fill(g_codebooks.iq2_xs, api.dequantise_iq2_xs, kEight, 2, 3);
    fill(g_codebooks.iq2_s, api.dequantise_iq2_s, kEight, 2, 66);
    fill(g_codebooks.iq3_xxs, api.dequantise_iq3_xxs, kFour, 2, 0);
    fill(g_codebooks.iq3_s, api.dequantise_iq3_s, kOne, 2, 66);
    for (unsigned i = 0; i < 128; i++)
        g_codebooks.eight_signs[i] = static_cast<uint8_t>(i | static_cast<unsigned>(__builtin_parity(i)) << 7);
    fill_upper(g_codebooks.iq3_xxs_upper, g_codebooks.iq3_xxs);
    fill_upper(g_codebooks.iq3_s_upper, g_codebooks.iq3_s);
    fill_fours(g_codebooks.iq2_xxs_fours, g_codebooks.iq2_xxs);
    fill_fours(g_codebooks.iq2_xs_fours, g_codebooks.iq2_xs);
    fill_fours(g_codebooks.iq2_s_fours, g_codebooks.iq2_s);
    const auto eighth = [](uint32_t number) { return number / 8 | (number == 62 ? 8 : 0); };
    const auto itself = [](uint32_t number) { return number; };
    fill_pairs(g_codebooks.iq3_xxs_pairs, g_codebooks.iq3_xxs, eighth);
    fill_pairs(g_codebooks.iq3_s_pairs, g_codebooks.iq3_s, itself);
    fill(g_codebooks.iq1, api.dequantise_iq1_s, kEight, 2, 34);
}

}  // namespace edgemed::matmul
