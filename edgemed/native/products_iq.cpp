// Unpacks the types whose codes stand for points of a codebook. How bits lie in a block is a fact of GGUF's types; what
// the points are is asked of ggml (products_books.cpp).

#include "products_kernels.h"
#include "products_unpack.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed::products {
namespace {

template <typename T> T load(const uint8_t * from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

// One row of 256 columns: its points as they are in the book, which of them are to be negated (or, IQ1, lie two lower),
// and a scale for each 16 columns, or each 32 in the first eight.
struct Row {
    alignas(64) uint64_t point[kColumns / 8];
    alignas(8) uint8_t negative[kColumns / 8];
    int      scale[16];
    uint16_t d;
};

// Two scales of four bits, the lower first.
void two_scales(uint8_t both, int * scale) {
    scale[0] = 2 * (both & 15) + 1;
    scale[1] = 2 * (both >> 4) + 1;
}

// A word of the signs of 32 columns, seven bits for each eight, and their scale above.
void signs_and_scale(const Books & books, uint32_t word, int s, Row & row) {
    row.scale[s] = static_cast<int>(2 * (word >> 28) + 1);
    for (int l = 0; l < 4; l++) row.negative[4 * s + l] = books.eight_signs[word >> 7 * l & 127];
}

struct Iq2Xxs {
    static constexpr size_t kBytes = 66;
    static constexpr float  kUnit = 0.125f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        row.d = load<uint16_t>(block);
        for (int s = 0; s < 8; s++) {
            const uint8_t * at = block + 2 + 8 * s;
            for (int l = 0; l < 4; l++) row.point[4 * s + l] = books.iq2_xxs[at[l]];
            signs_and_scale(books, load<uint32_t>(at + 4), s, row);
        }
    }
};

struct Iq2Xs {
    static constexpr size_t kBytes = 74;
    static constexpr float  kUnit = 0.125f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        row.d = load<uint16_t>(block);
        for (int s = 0; s < 8; s++) two_scales(block[66 + s], row.scale + 2 * s);
        for (int g = 0; g < 32; g++) {
            const uint16_t word = load<uint16_t>(block + 2 + 2 * g);
            row.point[g] = books.iq2_xs[word & 511];
            row.negative[g] = books.eight_signs[word >> 9];
        }
    }
};

struct Iq2S {
    static constexpr size_t kBytes = 82;
    static constexpr float  kUnit = 0.125f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        row.d = load<uint16_t>(block);
        for (int s = 0; s < 8; s++) {
            two_scales(block[74 + s], row.scale + 2 * s);
            for (int l = 0; l < 4; l++) {
                row.point[4 * s + l] = books.iq2_s[block[2 + 4 * s + l] | (block[66 + s] << (8 - 2 * l) & 0x300)];
                row.negative[4 * s + l] = block[34 + 4 * s + l];
            }
        }
    }
};

uint64_t two_points(const uint32_t * book, size_t first, size_t second) { return book[first] | static_cast<uint64_t>(book[second]) << 32; }

struct Iq3Xxs {
    static constexpr size_t kBytes = 98;
    static constexpr float  kUnit = 0.25f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        row.d = load<uint16_t>(block);
        for (int s = 0; s < 8; s++) {
            const uint8_t * at = block + 2 + 8 * s;
            for (int l = 0; l < 4; l++) row.point[4 * s + l] = two_points(books.iq3_xxs, at[2 * l], at[2 * l + 1]);
            signs_and_scale(books, load<uint32_t>(block + 66 + 4 * s), s, row);
        }
    }
};

struct Iq3S {
    static constexpr size_t kBytes = 110;
    static constexpr float  kUnit = 1.0f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        row.d = load<uint16_t>(block);
        for (int s = 0; s < 8; s++) {
            const uint8_t * at = block + 2 + 8 * s;
            const uint32_t  high = block[66 + s];
            row.scale[s] = 2 * (block[106 + s / 2] >> 4 * (s % 2) & 15) + 1;
            for (int l = 0; l < 4; l++) {
                row.point[4 * s + l] = two_points(books.iq3_s, at[2 * l] | (high << (8 - 2 * l) & 256), at[2 * l + 1] | (high << (7 - 2 * l) & 256));
                row.negative[4 * s + l] = block[74 + 4 * s + l];
            }
        }
    }
};

struct Iq1S {
    static constexpr size_t kBytes = 50;
    static constexpr float  kUnit = 0.125f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        row.d = load<uint16_t>(block);
        for (int s = 0; s < 8; s++) {
            const uint32_t high = load<uint16_t>(block + 34 + 2 * s);
            row.scale[s] = static_cast<int>(2 * (high >> 12 & 7) + 1);
            for (int l = 0; l < 4; l++) {
                row.point[4 * s + l] = books.iq1[block[2 + 4 * s + l] | (high >> 3 * l & 7) << 8];
                row.negative[4 * s + l] = (high & 0x8000) != 0 ? 0xff : 0;
            }
        }
    }
};

struct Iq1M {
    static constexpr size_t kBytes = 56;
    static constexpr float  kUnit = 0.125f;
    static void fill(const Books & books, const uint8_t * block, Row & row) {
        uint32_t words[4];
        for (int i = 0; i < 4; i++) words[i] = load<uint16_t>(block + 48 + 2 * i);
        row.d = static_cast<uint16_t>(words[0] >> 12 | (words[1] >> 8 & 0xf0) | (words[2] >> 4 & 0xf00) | (words[3] & 0xf000));
        for (int s = 0; s < 16; s++) row.scale[s] = static_cast<int>(2 * (words[s / 4] >> 3 * (s % 4) & 7) + 1);
        for (int g = 0; g < 32; g++) {
            const uint32_t high = static_cast<uint32_t>(block[32 + g / 2]) >> 4 * (g % 2);
            row.point[g] = books.iq1[block[g] | (high & 7) << 8];
            row.negative[g] = (high & 8) != 0 ? 0xff : 0;
        }
    }
};

// Scales as they are, and in pairs as what takes the 128 away again that codes are stored with.
template <int Scales> EDGEMED_AVX512_INLINE void store_offsets(Panel & panel) {
#pragma GCC unroll 8
    for (int p = 0; p < Scales / 2; p++)
        _mm512_store_si512(panel.offset[p], pair(_mm512_load_si512(panel.scale[2 * p]), _mm512_load_si512(panel.scale[2 * p + 1])));
}

template <typename Type, int Scales, bool Lower> EDGEMED_AVX512 void unpack(Rows rows, size_t at, Panel & panel) {
    const Books &        known = books();
    Row                  all[kLanes];
    const uint8_t *      codes[kLanes];
    alignas(64) uint32_t d[kLanes];
    const __m512i        two = bytes(2), zero = _mm512_setzero_si512();
    for (int r = 0; r < kLanes; r++) {
        Row & row = all[r];
        Type::fill(known, rows[r] + at, row);
        codes[r] = reinterpret_cast<const uint8_t *>(row.point);
        d[r] = row.d;
        for (int s = 0; s < Scales; s++) panel.scale[s][r] = row.scale[s];
    }
    for (Row & row : all) {
        for (int part = 0; part < 4; part++) {
            const __m512i   points = _mm512_load_si512(row.point + 8 * part);
            const __mmask64 negative = load<uint64_t>(row.negative + 8 * part);
            const __m512i   value = Lower ? _mm512_mask_sub_epi8(points, negative, points, two) : _mm512_mask_sub_epi8(points, negative, zero, points);
            _mm512_store_si512(row.point + 8 * part, _mm512_xor_si512(value, bytes(0x80)));
        }
    }
    for (int g = 0; g < kColumns / 16; g++) {
        __m512i words[4];
        words_of_rows(codes, 16 * static_cast<size_t>(g), words);
#pragma GCC unroll 4
        for (int w = 0; w < 4; w++) _mm512_store_si512(panel.code[4 * g + w], words[w]);
    }
    store_offsets<Scales>(panel);
    _mm512_store_ps(panel.d[0], _mm512_mul_ps(halves(_mm512_load_si512(d)), _mm512_set1_ps(Type::kUnit)));
}

// d, the scales' high bits 16, their low ones 32, qs 128: one value of sixteen for each 4 bits.
EDGEMED_AVX512 void unpack_iq4_xs(Rows rows, size_t at, Panel & panel) {
    const __m512i head = words_at(rows, at), low = words_at(rows, at + 4), four = bytes(0x0f);
    const __m512i values = _mm512_broadcast_i32x4(_mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15));
    for (int s = 0; s < 8; s++) {
        __m512i words[4];
        words_of_rows(rows, at + 8 + 16 * static_cast<size_t>(s), words);
#pragma GCC unroll 4
        for (int w = 0; w < 4; w++) {
            _mm512_store_si512(panel.code[8 * s + w], _mm512_shuffle_epi8(values, _mm512_and_si512(words[w], four)));
            _mm512_store_si512(panel.code[8 * s + 4 + w], _mm512_shuffle_epi8(values, _mm512_and_si512(_mm512_srli_epi32(words[w], 4), four)));
        }
        const __m512i six = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(low, static_cast<unsigned>(4 * s)), _mm512_set1_epi32(15)),
                                            _mm512_slli_epi32(_mm512_and_si512(_mm512_srli_epi32(head, static_cast<unsigned>(16 + 2 * s)), _mm512_set1_epi32(3)), 4));
        _mm512_store_si512(panel.scale[s], _mm512_sub_epi32(six, _mm512_set1_epi32(32)));
    }
    store_offsets<8>(panel);
    _mm512_store_ps(panel.d[0], halves(head));
}

template <typename Type, int Scales, bool Lower = false> constexpr Kernel kernel(int number) {
    return {number, Type::kBytes, unpack<Type, Scales, Lower>, Scales == 16 ? Sum::k16Shifted7 : Sum::k32Shifted7};
}

}  // namespace

const Kernel kIQ2XXS = kernel<Iq2Xxs, 8>(16);
const Kernel kIQ2XS = kernel<Iq2Xs, 16>(17);
const Kernel kIQ3XXS = kernel<Iq3Xxs, 8>(18);
const Kernel kIQ1S = kernel<Iq1S, 8, true>(19);
const Kernel kIQ3S = kernel<Iq3S, 8>(21);
const Kernel kIQ2S = kernel<Iq2S, 16>(22);
const Kernel kIQ4XS = {23, 136, unpack_iq4_xs, Sum::k32Shifted7};
const Kernel kIQ1M = kernel<Iq1M, 16, true>(29);

}  // namespace edgemed::products
#endif
