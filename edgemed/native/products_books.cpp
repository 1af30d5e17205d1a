// The codebooks, asked of ggml: it unpacks blocks that hold one point each, with a scale that makes them whole numbers.

#include <cstring>

#include "ggml_api.h"
#include "products_kernels.h"

namespace edgemed::products {
namespace {

Books g_books;

// Block bytes 0 and 1 are d, a half-precision float; `low` and `high` are where the point's number goes.
template <typename Point, size_t Count> void fill(Point (&book)[Count], ggml::ToFloat to_float, uint16_t d, size_t low, size_t high) {
    for (size_t i = 0; i < Count; i++) {
        uint8_t block[128] = {};
        float   values[kColumns];
        int8_t  point[sizeof(Point)];
        std::memcpy(block, &d, sizeof d);
        block[low] = static_cast<uint8_t>(i & 255);
        if (Count > 256) block[high] = static_cast<uint8_t>(i >> 8);
        to_float(block, values, kColumns);
        for (size_t k = 0; k < sizeof(Point); k++) point[k] = static_cast<int8_t>(values[k]);
        std::memcpy(&book[i], point, sizeof(Point));
    }
}

}  // namespace

const Books & books() { return g_books; }

void read_books() {
    constexpr uint16_t kOne = 0x3c00, kFour = 0x4400, kEight = 0x4800;
    const ggml::Api &  api = ggml::api();
    fill(g_books.iq2_xxs, api.dequantise_iq2_xxs, kEight, 2, 0);
    fill(g_books.iq2_xs, api.dequantise_iq2_xs, kEight, 2, 3);
    fill(g_books.iq2_s, api.dequantise_iq2_s, kEight, 2, 66);
    fill(g_books.iq3_xxs, api.dequantise_iq3_xxs, kFour, 2, 0);
    fill(g_books.iq3_s, api.dequantise_iq3_s, kOne, 2, 66);
    for (unsigned i = 0; i < 128; i++) g_books.eight_signs[i] = static_cast<uint8_t>(i | static_cast<unsigned>(__builtin_parity(i)) << 7);
    fill(g_books.iq1, api.dequantise_iq1_s, kEight, 2, 34);
}

}  // namespace edgemed::products
