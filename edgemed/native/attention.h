// One token's attention over keys and values in half precision. ggml goes through them once for each head that asks; here
// the heads that share keys ask together, so that each is converted once for four of them.
#pragma once

#include <vector>

#include "ggml_api.h"

namespace edgemed {

bool is_token_attention(const ggml::Tensor * node);  // FLASH_ATTN_EXT of one token over a cache in ordinary memory

class TokenAttention {
  public:
    // Sums are cut at fixed places and added up in their order: the result does not depend on `threads`.
    ggml::Status compute(const ggml::Tensor * node, int threads);

  private:
    std::vector<float> query_;  // [head][width], scaled
    std::vector<float> part_;   // [piece][head][width]: sums of weighted values
    std::vector<float> size_;   // [piece][head][2]: the highest score, and the sum of weights relative to it
};

}  // namespace edgemed
