// Attention (ggml's FLASH_ATTN_EXT) over a half-precision KV cache. All arithmetic is single precision.
// Why: docs/decisions.md#attention-kernels.
#pragma once

#include <atomic>
#include <vector>

#include "ggml/ggml_api.h"

namespace edgemed {

// True for a FLASH_ATTN_EXT that we compute: AVX2, one sequence, heads 64 or 128 wide, a half-precision cache in
// ordinary memory, no attention sinks, ALiBi or soft cap.
bool is_attention(const ggml::Tensor * node);

class TokenAttention {
  public:
    // The cache is cut into pieces of fixed length whose sums are added in order: the result does not depend on
    // `threads`.
    ggml::Status compute(const ggml::Tensor * node, int threads);

  private:
    std::vector<float> query_;  // [head][width], scaled
    std::vector<float> part_;   // [piece][head][width]: sums of weighted values
    std::vector<float> size_;   // [piece][head][2]: the highest score, and the sum of weights relative to it
};

class BatchAttention {
  public:
    // A token's result depends neither on `threads` nor on the other tokens in the batch. Exception: if a value is
    // infinite or NaN, queries computed together with one that sees it get NaN too.
    ggml::Status compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop);

  private:
    std::vector<std::vector<float>> scratch_;  // one for each thread
};

class Attention {
  public:
    ggml::Status compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop) {
        return node->src[0]->ne[1] == 1 ? token_.compute(node, threads) : batch_.compute(node, threads, stop);
    }

  private:
    TokenAttention token_;
    BatchAttention batch_;
};

}  // namespace edgemed
