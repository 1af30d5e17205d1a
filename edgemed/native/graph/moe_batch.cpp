// A batch through the experts of one layer. Each expert is read once, in file order, and multiplies all of its tokens
// while the next experts are being read: by own kernels (moe_group.cpp) or, for types without them, by ggml.

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "batch_limits.h"
#include "moe_pass.h"
#include "vector_math.h"

namespace edgemed {
namespace {

constexpr size_t kNodes = 16;        // in one expert's ggml graph
constexpr size_t kPinnedAhead = 32;  // experts of this layer that may evict others: enough to keep the disk busy
constexpr uint32_t kPrefetchesInFlight = 64;  // of the next layer: what the disk reads during one matmul or group

}  // namespace

MoePass::~MoePass() {
    if (cpu_ != nullptr) ggml::api().backend_free(cpu_);
}

// Sorts all (token, rank) pairs by expert with a counting sort; the tokens of an expert stay in order.
void MoePass::sort_by_expert(const MoeLayer & layer) {
    const size_t pairs = static_cast<size_t>(layer.n_tokens) * static_cast<size_t>(layer.k);
    count_.assign(static_cast<size_t>(store_.experts_per_layer()) + 1, 0);
    order_.resize(pairs);
    weights_.resize(pairs);
    // count_[e + 1]: how many pairs expert e has.
    for (int t = 0; t < layer.n_tokens; t++)
        for (int r = 0; r < layer.k; r++) count_[static_cast<size_t>(layer.id(t, r)) + 1]++;
    // Running sums turn that into count_[e]: where the pairs of expert e start.
    routed_.clear();
    for (int e = 0; e < store_.experts_per_layer(); e++) {
        const int first = count_[static_cast<size_t>(e)], rows = count_[static_cast<size_t>(e) + 1];
        count_[static_cast<size_t>(e) + 1] += first;
        const Expert & expert = store_.expert(layer.moe_layer, e);
        const bool own_kernels = matmul::find_gemm(expert.type[kGate], layer.n_embd, layer.n_ff) &&
                                 matmul::find_gemm(expert.type[kUp], layer.n_embd, layer.n_ff) &&
                                 matmul::find_gemm(expert.type[kDown], layer.n_ff, layer.n_embd);
        if (rows > 0) routed_.push_back({e, first, rows, own_kernels});
    }
    // Place the pairs; count_[e] moves on to the next free place of expert e.
    for (int t = 0; t < layer.n_tokens; t++)
        for (int r = 0; r < layer.k; r++) {
            const int at = count_[static_cast<size_t>(layer.id(t, r))]++;
            order_[static_cast<size_t>(at)] = t;
            weights_[static_cast<size_t>(at)] = layer.weight(t, r);
        }
}

void MoePass::observe_routing(const MoeLayer & layer) {
    std::vector<int32_t> experts;
    std::vector<float> weights;
    for (int t = 0; t < layer.n_tokens; t++)
        for (int r = 0; r < layer.k; r++) {
            experts.push_back(layer.id(t, r));
            weights.push_back(layer.weight(t, r));
        }
    observer_.add_routing(layer.moe_layer, layer.n_tokens, x_.data(), experts, weights);
}

// Copies the input, which the result may overwrite before all of it was read: quantised for own kernels, as floats for
// ggml and the observer.
void MoePass::keep_input(const MoeLayer & layer) {
    const int64_t width = layer.n_embd;
    bool plain = observed_;
    lone_row_.assign(static_cast<size_t>(layer.n_tokens), 0);
    input_.start(width, layer.n_tokens);
    for (const RoutedExpert & routed : routed_) {
        const Expert & expert = store_.expert(layer.moe_layer, routed.expert);
        plain |= !routed.own_kernels;
        if (!routed.own_kernels) continue;
        for (Projection p : {kGate, kUp}) input_.want(expert.type[p], routed.count == 1);
        if (routed.count == 1) lone_row_[static_cast<size_t>(order_[static_cast<size_t>(routed.first)])] = 1;
    }
    if (plain) x_.resize(static_cast<size_t>(width) * static_cast<size_t>(layer.n_tokens));
#pragma omp parallel for num_threads(threads_)
    for (int t = 0; t < layer.n_tokens; t++) {
        const auto * from = reinterpret_cast<const float *>(static_cast<const char *>(layer.x->data) +
                                                            static_cast<size_t>(t) * layer.x->nb[2]);
        for (int i = 0; i < input_.wanted(); i++) input_.quantise(i, t, from, lone_row_[static_cast<size_t>(t)] != 0);
        if (plain) std::copy(from, from + width, x_.data() + t * width);
    }
}

void MoePass::clear_result(const MoeLayer & layer) {
    for (int t = 0; t < layer.n_tokens; t++) {
        auto * y =
            reinterpret_cast<float *>(static_cast<char *>(layer.y->data) + static_cast<size_t>(t) * layer.y->nb[1]);
        std::fill(y, y + layer.n_embd, 0.0f);
    }
}

ggml::Status MoePass::batch(const MoeLayer & layer) {
    observed_ = observer_.on();
    sort_by_expert(layer);
    keep_input(layer);
    if (observed_) observe_routing(layer);
    clear_result(layer);  // which may also overlap ids and weights

    uses_most_experts_ = routed_.size() * 4 > static_cast<size_t>(store_.experts_per_layer()) * 3;
    if (layer.n_tokens >= store_.experts_per_layer()) prompts_use_most_experts_ = uses_most_experts_;
    size_t pinned = 0, done = 0;
    const auto unpin_rest = [&] {
        for (; done < pinned; done++) store_.unpin(layer.moe_layer, routed_[done].expert);
        return failed();
    };
    // routed_[0 .. done) are computed, [done .. pinned) are pinned and being read.
    while (done < routed_.size()) {
        while (pinned < routed_.size() && store_.pin(layer.moe_layer, routed_[pinned].expert, routed_[pinned].count,
                                                     pinned - done >= kPinnedAhead))
            pinned++;
        if (pinned == done) {
            if (!store_.wait_for_room()) return failed();
            continue;
        }
        // Group the next expert with those after it that are ready. The size of a group does not affect the results.
        size_t end = done;
        group_.clear();
        group_rows_ = group_tiles_ = 0;
        do {
            const uint8_t * data = store_.wait(layer.moe_layer, routed_[end].expert);
            if (data == nullptr) return unpin_rest();
            if (!routed_[end].own_kernels && !multiply_with_ggml(layer, routed_[end], data)) return unpin_rest();
            if (routed_[end].own_kernels) add_member(layer, routed_[end], data);
            end++;
        } while (routed_[end - 1].own_kernels && end < pinned && routed_[end].own_kernels &&
                 group_rows_ + routed_[end].count <= kGroupTokens &&
                 store_.ready(layer.moe_layer, routed_[end].expert));
        if (!group_.empty() && !multiply_group(layer)) return unpin_rest();
        for (; done < end; done++) store_.unpin(layer.moe_layer, routed_[done].expert);
        store_.scan(layer.moe_layer, routed_[done - 1].expert + 1);
        if (pinned == routed_.size()) prefetch_layer(layer.moe_layer + 1);  // all of this layer is in flight
    }
    return ggml::kSuccess;
}

// A batch that uses nearly all experts of one layer will use nearly all of the next. Not of the last one, where
// llama.cpp computes only the tokens whose logits are wanted.
void MoePass::prefetch_layer(int moe_layer) {
    if (!uses_most_experts_ || moe_layer + 1 >= store_.moe_layers()) return;
    for (int e = 0; e < store_.experts_per_layer(); e++)
        if (!store_.present(moe_layer, e) &&
            (store_.reads_in_flight() >= kPrefetchesInFlight || !store_.prefetch(moe_layer, e, true)))
            return;
}

void MoePass::before_dense_matmul(const ggml::Tensor * node) {
    int block;
    const char * name = node->src[0]->name;
    const int tokens = static_cast<int>(node->ne[1]);
    if (tokens <= kSmallBatch) return;  // the router's predictions prefetch for it
    if (std::sscanf(name, "blk.%d.", &block) != 1) return;
    // A shared expert comes after the layer's routed ones, so the next layer is due.
    const bool after_experts = std::strstr(name, "_shexp.") != nullptr;
    const int moe_layer = std::max(store_.moe_layer_of(block) + after_experts, 0);
    if (moe_layer == 0) {
        // No layer of this batch has been seen yet: expect what the last long prompt did.
        if (tokens < store_.experts_per_layer()) return;  // a short batch may use only some experts
        uses_most_experts_ = prompts_use_most_experts_;
        store_.scan(0);
    }
    prefetch_layer(moe_layer);
}

// One expert's tokens, in chunks of kMaxGgmlRows, through a ggml graph on a private CPU backend; adds to the result.
bool MoePass::multiply_with_ggml(const MoeLayer & layer, const RoutedExpert & routed, const uint8_t * data) {
    const ggml::Api & api = ggml::api();
    const Expert & expert = store_.expert(layer.moe_layer, routed.expert);
    if (cpu_ == nullptr) {
        cpu_ = api.cpu_init();
        api.cpu_set_abort_callback(cpu_, [](void * store) { return static_cast<Store *>(store)->aborted(); }, &store_);
        graph_memory_.resize(api.graph_overhead_custom(kNodes, false) + kNodes * api.tensor_overhead());
    }
    api.cpu_set_n_threads(cpu_, threads_);
    const size_t width = static_cast<size_t>(layer.n_embd), n_ff = static_cast<size_t>(layer.n_ff);
    const size_t max_rows = static_cast<size_t>(std::min(routed.count, kMaxGgmlRows));
    for (auto [scratch, size] : {std::pair{&h_, max_rows * width},
                                 {&gate_, max_rows * n_ff},
                                 {&up_, max_rows * n_ff},
                                 {&out_, max_rows * width}})
        if (scratch->size() < size) scratch->resize(size);

    for (int start = 0; start < routed.count; start += kMaxGgmlRows) {
        const int rows = std::min(kMaxGgmlRows, routed.count - start);
        const int first = routed.first + start;
        for (int r = 0; r < rows; r++) {
            const float * from = x_.data() + width * static_cast<size_t>(order_[static_cast<size_t>(first + r)]);
            std::copy(from, from + width, h_.data() + width * static_cast<size_t>(r));
        }
        // out = down(swiglu(gate x, up x)), over the store's slot and our scratch.
        ggml::Context * context = api.init({graph_memory_.size(), graph_memory_.data(), true});
        const auto matrix = [&](Projection p, int64_t columns, int64_t n) {
            ggml::Tensor * w = api.new_tensor_2d(context, expert.type[p], columns, n);
            w->data = const_cast<uint8_t *>(data + expert.offset_in_slot[p]);
            return w;
        };
        ggml::Tensor * x = api.new_tensor_2d(context, ggml::kF32, layer.n_embd, rows);
        ggml::Tensor * gate = api.mul_mat(context, matrix(kGate, layer.n_embd, layer.n_ff), x);
        ggml::Tensor * up = api.mul_mat(context, matrix(kUp, layer.n_embd, layer.n_ff), x);
        ggml::Tensor * h = api.swiglu_split(context, gate, up);
        ggml::Tensor * out = api.mul_mat(context, matrix(kDown, layer.n_ff, layer.n_embd), h);
        x->data = h_.data();
        gate->data = gate_.data();
        up->data = up_.data();
        h->data = gate_.data();  // element by element, in place
        out->data = out_.data();
        ggml::Graph * graph = api.new_graph_custom(context, kNodes, false);
        api.build_forward_expand(graph, out);
        const ggml::Status status = api.graph_compute(cpu_, graph);
        api.free(context);
        if (status != ggml::kSuccess) return false;
        if (observed_)
            observer_.add(layer.moe_layer, routed.expert, rows, h_.data(), gate_.data(), out_.data(),
                          weights_.data() + first);
        for (int r = 0; r < rows; r++) {
            const size_t pair = static_cast<size_t>(first + r);
            auto * y = reinterpret_cast<float *>(static_cast<char *>(layer.y->data) +
                                                 static_cast<size_t>(order_[pair]) * layer.y->nb[1]);
            add_scaled(y, out_.data() + width * static_cast<size_t>(r), weights_[pair], layer.n_embd);
        }
    }
    return true;
}

}  // namespace edgemed
