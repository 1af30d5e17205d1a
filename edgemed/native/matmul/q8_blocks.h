// ggml's blocks of quantised activations.
#pragma once

#include <cstdint>

namespace edgemed {

struct BlockQ8K {
    float d;
    int8_t code[256];
    int16_t sum16[16];  // sum of each 16 codes
};
struct BlockQ80 {
    uint16_t d;
    int8_t code[32];
};
static_assert(sizeof(BlockQ8K) == 292 && sizeof(BlockQ80) == 34, "as ggml lays them out");

}  // namespace edgemed
