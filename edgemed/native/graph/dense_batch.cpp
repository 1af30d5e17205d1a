#include "dense_batch.h"

namespace edgemed {
namespace {

constexpr int64_t kMinTokens = 8;  // with fewer tokens, switching backends costs more than it gains
constexpr int kUsageWeights = 1;   // ggml_backend_buffer_usage
constexpr size_t kContiguous = sizeof(float);

bool is_matrix(const ggml::Tensor * t) { return t->ne[2] == 1 && t->ne[3] == 1; }

}  // namespace

bool is_plain_cpu_weight(const ggml::Tensor * weights) {
    return weights->op == ggml::kNone && weights->view_src == nullptr && weights->buffer != nullptr &&
           weights->buffer->usage == kUsageWeights && weights->buffer->buft == ggml::api().cpu_buffer_type() &&
           is_matrix(weights) && weights->nb[1] == ggml::api().row_size(weights->type, weights->ne[0]);
}

bool is_dense_batch(const ggml::Tensor * node) {
    // op_params[1] is set for a Hadamard matrix.
    if (node->op != ggml::kMulMat || node->op_params[1] != 0) return false;
    const ggml::Tensor *weights = node->src[0], *x = node->src[1];
    return is_plain_cpu_weight(weights) && x->type == ggml::kF32 && x->nb[0] == kContiguous && is_matrix(x) &&
           x->ne[1] >= kMinTokens && node->nb[0] == kContiguous &&
           matmul::find_gemm(weights->type, weights->ne[0], weights->ne[1]) != nullptr;
}

ggml::Status DenseBatch::compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop) {
    const ggml::Tensor *weights = node->src[0], *x = node->src[1];
    const MatmulTask task = {weights->type,
                             static_cast<const uint8_t *>(weights->data),
                             weights->ne[1],
                             weights->ne[0],
                             static_cast<const char *>(x->data),
                             x->nb[1],
                             static_cast<char *>(node->data),
                             node->nb[1],
                             static_cast<int>(x->ne[1])};
    return matmul_.run(task, threads, stop) ? ggml::kSuccess : stop ? ggml::kAborted : ggml::kFailed;
}

}  // namespace edgemed
