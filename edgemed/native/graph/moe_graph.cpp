#include "moe_graph.h"

#include <cstring>
#include <utility>

#include "dense_batch.h"
#include "ggml/ggml_api.h"

namespace edgemed {

using ggml::Tensor;

namespace {

const ExpertTensor & expert_tensor(const Tensor * matmul) {
    return *static_cast<const ExpertTensor *>(matmul->src[0]->extra);
}

// The next node that computes something; null at `end`, or if its result is not wanted.
const Tensor * next_op(ggml::Graph * graph, int * at, int end) {
    while (*at < end) {
        const Tensor * node = ggml::api().graph_node(graph, (*at)++);
        if (!is_no_op(node)) return (node->flags & ggml::kFlagCompute) != 0 ? node : nullptr;
    }
    return nullptr;
}

constexpr const char * kShared = "_shexp.weight";

bool same_rows(const Tensor * a, const Tensor * b) {
    return a->type == ggml::kF32 && b->type == ggml::kF32 && a->ne[0] == b->ne[0] && a->ne[1] == b->ne[1] &&
           a->ne[2] == b->ne[2] && a->ne[3] == b->ne[3] && a->nb[0] == sizeof(float) && b->nb[0] == sizeof(float);
}

const Tensor * viewed(const Tensor * view) { return view->op == ggml::kView ? view->src[0] : nullptr; }

}  // namespace

int32_t MoeLayer::id(int token, int rank) const {
    return *reinterpret_cast<const int32_t *>(static_cast<const char *>(ids->data) +
                                              static_cast<size_t>(token) * ids->nb[1] +
                                              static_cast<size_t>(rank) * ids->nb[0]);
}

float MoeLayer::weight(int token, int rank) const {
    return *reinterpret_cast<const float *>(static_cast<const char *>(weights->data) +
                                            static_cast<size_t>(token) * weights->nb[2] +
                                            static_cast<size_t>(rank) * weights->nb[1]);
}

bool is_expert_matmul(const Tensor * node) {
    return node->op == ggml::kMulMatId && node->src[0]->buffer != nullptr &&
           node->src[0]->buffer->buft == expert_buffer_type();
}

bool is_swiglu_of_experts(const Tensor * node) {
    return node->op == ggml::kGlu && ggml::api().get_glu_op(node) == ggml::kGluSwiglu && node->src[1] != nullptr &&
           is_expert_matmul(node->src[0]) && is_expert_matmul(node->src[1]);
}

bool is_route_weighting(const Tensor * node) { return node->op == ggml::kMul && is_expert_matmul(node->src[0]); }

bool is_rank_sum(const Tensor * node) {
    const Tensor * of = node->op == ggml::kAdd ? viewed(node->src[1]) : nullptr;
    return of != nullptr && is_route_weighting(of);
}

bool is_shared_matmul(const Tensor * node) {
    if (node->op != ggml::kMulMat) return false;
    const Tensor *weights = node->src[0], *x = node->src[1];
    if (std::strstr(weights->name, kShared) == nullptr) return false;
    if (is_dense_batch(node)) return true;
    // Claim down only together with gate and up: where llama.cpp repacked those, down alone would add two graph splits.
    if (x->op == ggml::kGlu && !is_swiglu_of_shared(x)) return false;
    return x->type == ggml::kF32 && x->nb[0] == sizeof(float) && x->ne[1] <= kSmallBatch && x->ne[2] == 1 &&
           x->ne[3] == 1 && is_plain_cpu_weight(weights);
}

bool is_small_shared_matmul(const Tensor * node) {
    return is_shared_matmul(node) && node->src[1]->ne[1] <= kSmallBatch;
}

bool is_swiglu_of_shared(const Tensor * node) {
    return node->op == ggml::kGlu && ggml::api().get_glu_op(node) == ggml::kGluSwiglu && node->src[1] != nullptr &&
           is_shared_matmul(node->src[0]) && is_shared_matmul(node->src[1]);
}

bool is_shared_sum(const Tensor * node) {
    return node->op == ggml::kAdd && is_rank_sum(node->src[0]) && is_shared_matmul(node->src[1]) &&
           is_swiglu_of_shared(node->src[1]->src[1]);
}

bool is_residual_sum(const Tensor * node) {
    return node->op == ggml::kAdd && is_shared_sum(node->src[0]) && same_rows(node->src[0], node->src[1]);
}

bool is_no_op(const Tensor * node) {
    return node->op == ggml::kNone || node->op == ggml::kReshape || node->op == ggml::kView ||
           node->op == ggml::kPermute || node->op == ggml::kTranspose;
}

// Adds the shared expert that follows the layer's routed experts, if it has the same input and size.
bool match_shared(ggml::Graph * graph, int * at, MoeLayer * layer) {
    const int end = ggml::api().graph_n_nodes(graph);
    int i = *at;
    const Tensor * gate = next_op(graph, &i, end);
    const Tensor * up = next_op(graph, &i, end);
    const Tensor * glu = next_op(graph, &i, end);
    const Tensor * down = next_op(graph, &i, end);
    const Tensor * sum = next_op(graph, &i, end);
    const Tensor * out = next_op(graph, &i, end);
    if (out == nullptr || !is_residual_sum(out) || out->src[0] != sum || sum->src[0] != layer->y ||
        sum->src[1] != down || down->src[1] != glu)
        return false;
    if (glu->src[0] != gate) std::swap(gate, up);
    const auto has_x = [&](const Tensor * matmul) {
        return matmul->src[1]->data == layer->x->data && matmul->src[1]->nb[1] == layer->x->nb[2];
    };
    if (glu->src[0] != gate || glu->src[1] != up || !has_x(gate) || !has_x(up) ||
        gate->src[0]->ne[0] != layer->n_embd || gate->src[0]->ne[1] != layer->n_ff)
        return false;
    for (const auto & [p, matmul] : {std::pair{kGate, gate}, {kUp, up}, {kDown, down}})
        layer->shared[p] = matmul->src[0];
    layer->residual = out->src[1];
    layer->y = const_cast<Tensor *>(out);
    *at = i;
    return true;
}

bool match_layer(ggml::Graph * graph, int * at, MoeLayer * layer) {
    const int end = ggml::api().graph_n_nodes(graph);
    int i = *at;
    const Tensor * one = next_op(graph, &i, end);
    const Tensor * two = next_op(graph, &i, end);
    const Tensor * glu = next_op(graph, &i, end);
    const Tensor * down = next_op(graph, &i, end);
    const Tensor * sum = next_op(graph, &i, end);
    if (sum == nullptr || !is_expert_matmul(one) || !is_expert_matmul(two) || !is_swiglu_of_experts(glu) ||
        !is_expert_matmul(down) || !is_route_weighting(sum) || sum->src[0] != down || down->src[1] != glu)
        return false;
    const Tensor * gate = glu->src[0];
    const Tensor * up = glu->src[1];
    if (!((gate == one && up == two) || (gate == two && up == one)) || gate->src[1] != up->src[1] ||
        gate->src[2] != up->src[2] || gate->src[2] != down->src[2] ||
        expert_tensor(gate).block != expert_tensor(up).block || expert_tensor(gate).block != expert_tensor(down).block)
        return false;

    const Tensor * x = gate->src[1];
    const Tensor * ids = gate->src[2];
    const Tensor * weights = sum->src[1];
    const int k = static_cast<int>(ids->ne[0]);
    for (int rank = 1; rank < k; rank++) {
        const Tensor * add = next_op(graph, &i, end);
        if (add == nullptr || !is_rank_sum(add) || (rank > 1 && add->src[0] != sum)) return false;
        sum = add;
    }
    if (k < 2 || x->type != ggml::kF32 || x->ne[1] != 1 || x->nb[0] != sizeof(float) || weights->type != ggml::kF32 ||
        sum->type != ggml::kF32 || sum->nb[0] != sizeof(float))
        return false;
    *layer = {expert_tensor(gate).experts,
              expert_tensor(gate).block,
              -1,
              x,
              ids,
              weights,
              const_cast<Tensor *>(sum),
              gate->src[0]->ne[0],
              gate->src[0]->ne[1],
              k,
              static_cast<int>(ids->ne[1]),
              {},
              nullptr};
    *at = i;
    if (layer->n_tokens <= kSmallBatch) match_shared(graph, at, layer);
    return true;
}

}  // namespace edgemed
