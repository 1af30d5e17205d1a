// The dense matrices of a prompt, by our own products: a MUL_MAT of a weight in ordinary memory and many tokens. With few
// tokens the node stays with ggml's CPU backend, which owns the weight.
#pragma once

#include "matmul/matmul.h"

namespace edgemed {

bool is_ordinary_matrix(const ggml::Tensor * weights);  // a weight as the file has it, in memory of the CPU's
bool is_dense_batch(const ggml::Tensor * node);

class DenseBatch {
  public:
    ggml::Status compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop);

  private:
    Matmul product_;
};

}  // namespace edgemed
