// Limits of a batch's pass. They bound its scratch, which batch_scratch() computes from them.
#pragma once

namespace edgemed {

constexpr int kSmallBatch = 8;     // up to so many tokens, a layer computes each as if it were alone
constexpr int kGroupTokens = 256;  // a group of experts is full with as many tokens; one expert may have more
constexpr int kMaxGgmlRows = 512;  // per ggml matmul. Fixed, so that results do not depend on it

}  // namespace edgemed
