// Single nodes of a MoE layer: a shared expert that was not fused (a batch's, or one of another width than the
// experts), and every node when an evaluation callback cuts the graph into pieces. Correct, not fast.

#include <algorithm>

#include "moe_pass.h"
#include "matmul/row_matmul.h"
#include "vector_math.h"

namespace edgemed {
namespace {

template <typename T = float> T * row(const ggml::Tensor * t, int64_t i1, int64_t i2) {
    return reinterpret_cast<T *>(static_cast<char *>(t->data) + static_cast<size_t>(i1) * t->nb[1] +
                                 static_cast<size_t>(i2) * t->nb[2]);
}

template <typename Combine> void each_row(const ggml::Tensor * out, int threads, Combine combine) {
#pragma omp parallel for num_threads(threads)
    for (int64_t i = 0; i < out->ne[1] * out->ne[2]; i++)
        combine(row(out, i % out->ne[1], i / out->ne[1]), i % out->ne[1], i / out->ne[1]);
}

constexpr int64_t kBlockRows = 64;  // of a matrix per block that a thread computes

}  // namespace

ggml::Status MoePass::node(const ggml::Tensor * node) {
    const int64_t width = node->ne[0];
    const ggml::Tensor * a = node->src[0];
    const ggml::Tensor * b = node->src[1];
    if (is_expert_matmul(node)) return expert_matmul(node);
    if (is_shared_matmul(node)) return shared_matmul(node);
    if (is_swiglu_of_experts(node) || is_swiglu_of_shared(node)) {
        each_row(node, threads_,
                 [&](float * out, int64_t i1, int64_t i2) { swiglu(row(a, i1, i2), row(b, i1, i2), out, width); });
        return ggml::kSuccess;
    }
    if (is_route_weighting(node)) {
        each_row(node, threads_, [&](float * out, int64_t i1, int64_t i2) {
            const float * in = row(a, i1, i2);
            const float weight = *row(b, i1, i2);
            for (int64_t i = 0; i < width; i++) out[i] = in[i] * weight;
        });
        return ggml::kSuccess;
    }
    if (is_rank_sum(node) || is_shared_sum(node) || is_residual_sum(node)) {
        each_row(node, threads_, [&](float * out, int64_t i1, int64_t i2) {
            const float *one = row(a, i1, i2), *other = row(b, i1, i2);
            for (int64_t i = 0; i < width; i++) out[i] = one[i] + other[i];
        });
        return ggml::kSuccess;
    }
    return ggml::kFailed;
}

// One matrix of the shared expert and a small batch, every token as if it were alone. DenseBatch or ggml computes larger
// ones.
ggml::Status MoePass::shared_matmul(const ggml::Tensor * node) {
    const ggml::Tensor * weights = node->src[0];
    const int tokens = static_cast<int>(node->ne[1]);
    input_.start(weights->ne[0], tokens);
    input_.want(weights->type, true);
    for (int token = 0; token < tokens; token++)
        for (int i = 0; i < input_.wanted(); i++) input_.quantise(i, token, row(node->src[1], token, 0));
#pragma omp parallel for num_threads(threads_)
    for (int64_t from = 0; from < weights->ne[1]; from += kBlockRows)
        for (int token = 0; token < tokens; token++)
            RowMatmul(weights->type, weights->ne[0], input_, token)
                .multiply(static_cast<const uint8_t *>(weights->data) + weights->nb[1] * static_cast<size_t>(from),
                          std::min(kBlockRows, weights->ne[1] - from), row(node, token, 0) + from);
    return ggml::kSuccess;
}

// MUL_MAT_ID, one (token, rank) at a time, each with a single token's kernels. `in` has one row per token, or one per
// rank.
ggml::Status MoePass::expert_matmul(const ggml::Tensor * node) {
    const auto & tensor = *static_cast<const ExpertTensor *>(node->src[0]->extra);
    if (tensor.experts != &experts_) return ggml::kFailed;  // this context was made for another model
    const int moe_layer = store_.moe_layer_of(tensor.block);
    const ggml::Tensor * in = node->src[1];
    const ggml::Tensor * ids = node->src[2];
    const int64_t columns = node->src[0]->ne[0], n = node->src[0]->ne[1];
    for (int64_t t = 0; t < ids->ne[1]; t++) {
        for (int64_t r = 0; r < ids->ne[0]; r++) {
            const int32_t index = *reinterpret_cast<const int32_t *>(static_cast<const char *>(ids->data) +
                                                                     static_cast<size_t>(t) * ids->nb[1] +
                                                                     static_cast<size_t>(r) * ids->nb[0]);
            while (!store_.pin(moe_layer, index, 1))
                if (!store_.wait_for_room()) return failed();
            const uint8_t * slot = store_.wait(moe_layer, index);
            if (slot != nullptr) {
                const Expert & expert = store_.expert(moe_layer, index);
                const int type = expert.type[tensor.projection];
                input_.start(columns, 1);
                input_.want(type, true);
                input_.quantise(0, 0, row(in, in->ne[1] == 1 ? 0 : r, t));
                RowMatmul(type, columns, input_, 0)
                    .multiply(slot + expert.offset_in_slot[tensor.projection], n, row(node, r, t));
            }
            store_.unpin(moe_layer, index);
            if (slot == nullptr) return failed();
        }
    }
    return ggml::kSuccess;
}

}  // namespace edgemed
