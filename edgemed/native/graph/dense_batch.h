// Dense matrices of a prompt by own kernels: a MUL_MAT of a weight in CPU memory with many tokens. With few tokens the
// node stays with ggml's CPU backend.
#pragma once

#include "matmul/matmul.h"

namespace edgemed {

bool is_plain_cpu_weight(const ggml::Tensor * weights);  // in the CPU's buffer type, laid out as in the file
bool is_dense_batch(const ggml::Tensor * node);

class DenseBatch {
  public:
    ggml::Status compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop);

  private:
    Matmul matmul_;
};

}  // namespace edgemed
