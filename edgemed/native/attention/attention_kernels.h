// The kernels of attention: one table of functions for each instruction set, all with the same results.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "ggml/ggml_api.h"
#include "instructions.h"

namespace edgemed::attention {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
constexpr int kPiece = 128;       // tokens whose values form one partial sum
constexpr int64_t kKeys = 64;     // keys in a tile
constexpr int64_t kQueries = 96;  // about as many queries share a tile's conversion

// Parameter `index` of FLASH_ATTN_EXT: 0 is the scale of scores, 1 ALiBi's maximum bias, 2 the soft cap.
inline float parameter(const ggml::Tensor * node, int index) {
    float value;
    std::memcpy(&value, node->op_params + index, sizeof value);
    return value;
}

// The row [i1, i2] of a tensor.
inline const char * at(const ggml::Tensor * t, int64_t i1, int64_t i2) {
    return static_cast<const char *>(t->data) + static_cast<size_t>(i1) * t->nb[1] + static_cast<size_t>(i2) * t->nb[2];
}

// The visible tokens of a piece, and what the mask adds to their scores.
struct Visible {
    int count = 0;
    int token[kPiece];
    float added[kPiece];
};

// What the mask adds to the scores of each query's token [kKeys], and which keys at least one of them sees.
struct Mask {
    float added[kQueries][kKeys];
    uint64_t seen = 0;  // a bit for each key
    bool adds = false;
};

// One to four heads that share keys and values, over one piece. Writes `part` and `size` as TokenAttention describes
// them.
using Attend = void (*)(const Visible & seen, const char * keys, size_t key_step, const char * values,
                        size_t value_step, const float * query, float * part, float * size);

struct Kernels {
    Attend (*find_attend)(int64_t width, int heads);  // heads: 1, 2 or 4; width: 64 or 128

    // Reads the mask for `tokens` tokens from `first` on and `keys` keys from `from` on.
    void (*read_mask)(const ggml::Tensor * mask, int64_t first, int64_t tokens, int64_t from, int64_t keys, Mask & out);
    // Converts a tile: keys to columns [width][kKeys], values to rows [kKeys][width]. Memory of unseen keys may hold
    // anything and becomes 0.
    void (*convert)(const char * k, size_t k_step, const char * v, size_t v_step, uint64_t seen, int64_t width,
                    float * keys, float * values);
    // c [rows, kKeys] = alpha * c + a [rows, n] b [n, kKeys], alpha [rows]. Without alpha, c need not be initialised.
    void (*multiply_tile)(int64_t rows, const float * a, int64_t a_step, const float * b, int64_t b_step, int64_t n,
                          float * c, int64_t c_step, const float * alpha);
    // Turns a row's scores of one tile into weights exp(score - highest) and updates the row's running maximum and
    // total; `shrink` is the factor for what was accumulated relative to the old maximum.
    void (*weigh)(float * score, const float * added, float & highest, float & total, float & shrink);
};

#ifdef EDGEMED_HAS_KERNELS
extern const Kernels kAvx2, kAvx512;

inline const Kernels & kernels() { return instructions() == Instructions::kAvx512 ? kAvx512 : kAvx2; }
#endif

}  // namespace edgemed::attention
