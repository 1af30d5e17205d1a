// What attention asks of vector instructions: the same functions for each set of them, with the same results.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "ggml/ggml_api.h"
#include "instructions.h"

namespace edgemed::attention {

constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr int kPiece = 128;       // tokens whose values are added up together
constexpr int64_t kKeys = 64;     // of a tile
constexpr int64_t kQueries = 96;  // about as many go through the tiles together

inline float parameter(const ggml::Tensor * node, int index) {
    float value;
    std::memcpy(&value, node->op_params + index, sizeof value);
    return value;
}

inline const char * at(const ggml::Tensor * t, int64_t i1, int64_t i2) {
    return static_cast<const char *>(t->data) + static_cast<size_t>(i1) * t->nb[1] + static_cast<size_t>(i2) * t->nb[2];
}

// The visible ones of a piece's tokens, and what the mask adds to their scores.
struct Visible {
    int count = 0;
    int token[kPiece];
    float added[kPiece];
};

// What the mask adds to the scores of some tokens [kKeys for each], and which keys some of them sees.
struct Mask {
    float added[kQueries][kKeys];
    uint64_t seen = 0;  // a bit for each key
    bool adds = false;
};

// Some heads that share keys and values, over a piece: `part` and `size` as TokenAttention has them.
using Attend = void (*)(const Visible & seen, const char * keys, size_t key_step, const char * values,
                        size_t value_step, const float * query, float * part, float * size);

struct Kernels {
    Attend (*find_attend)(int64_t width, int heads);  // one, two or four

    // What the mask adds for `tokens` tokens from `first` on, to `keys` keys from `from` on.
    void (*read_mask)(const ggml::Tensor * mask, int64_t first, int64_t tokens, int64_t from, int64_t keys, Mask & out);
    // A tile's keys as columns [width][kKeys] and its values as rows. What nobody sees may be anything, and becomes nought.
    void (*convert)(const char * k, size_t k_step, const char * v, size_t v_step, uint64_t seen, int64_t width,
                    float * keys, float * values);
    // c [rows, kKeys] = alpha * c + a [rows, n] b [n, kKeys]; no `alpha`: c before counts for nothing.
    void (*multiply_tile)(int64_t rows, const float * a, int64_t a_step, const float * b, int64_t b_step, int64_t n,
                          float * c, int64_t c_step, const float * alpha);
    // A row's scores of a tile become weights.
    void (*weigh)(float * score, const float * added, float & highest, float & total, float & shrink);
};

#ifdef EDGEMED_HAS_KERNELS
extern const Kernels kAvx2, kAvx512;

inline const Kernels & kernels() { return instructions() == Instructions::kAvx512 ? kAvx512 : kAvx2; }
#endif

}  // namespace edgemed::attention
