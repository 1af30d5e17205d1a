// Attention over keys and values in half precision, in single precision throughout.
#pragma once

#include <atomic>
#include <vector>

#include "ggml/ggml_api.h"

namespace edgemed {

bool is_attention(const ggml::Tensor * node);  // FLASH_ATTN_EXT of one sequence over a cache in ordinary memory

class TokenAttention {
  public:
    // Sums are cut at fixed places and added up in their order: the result does not depend on `threads`.
    ggml::Status compute(const ggml::Tensor * node, int threads);

  private:
    std::vector<float> query_;  // [head][width], scaled
    std::vector<float> part_;   // [piece][head][width]: sums of weighted values
    std::vector<float> size_;   // [piece][head][2]: the highest score, and the sum of weights relative to it
};

class BatchAttention {
  public:
    // A token's result depends neither on `threads` nor on which others are in the batch; but where a value is no finite
    // number, those who ask together with one that sees it have it too.
    ggml::Status compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop);

  private:
    std::vector<std::vector<float>> scratch_;  // of each thread
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
