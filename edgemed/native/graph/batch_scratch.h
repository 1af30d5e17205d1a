// How much memory a batch's pass takes besides llama.cpp's own scratch. `--ram` promises a maximum, so this is one.
#pragma once

#include <cstdint>

namespace edgemed {

// The sizes of a model that a batch's scratch depends on. n_ff: rows of the widest dense matrix; used: experts per token.
struct BatchShape {
    int64_t n_embd, n_ff_exp, n_ff;
    int32_t used, n_batch;
    bool observed;  // by calibration
};

// Bytes, at most. types: GGML types of all experts' matrices [experts][gate, up, down].
uint64_t batch_scratch(const BatchShape & shape, const int32_t * types, int64_t experts);

}  // namespace edgemed
