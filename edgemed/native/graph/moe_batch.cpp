// A batch through one layer's experts: each expert is read once, in file order, and multiplies all its tokens at once,
// while the next ones are being read. By our own products (moe_group.cpp) or, where there are none, by ggml's.

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "moe_pass.h"
#include "vector_math.h"

namespace edgemed {
namespace {

constexpr int kRowsAtOnce = 512;  // bounds scratch; a fixed cut, so results do not depend on anything else
constexpr int kGroupRows = 256;   // a group of experts is complete with as many
constexpr size_t kNodes = 16;
// Experts asked for in advance, where others must go for them: of this layer, enough to keep the disk busy; of the next
// one, what it reads while one matrix or one group is multiplied.
constexpr size_t kUnderWay = 32;
constexpr uint32_t kNextUnderWay = 64;

}  // namespace

MoePass::~MoePass() {
    if (cpu_ != nullptr) ggml::api().backend_free(cpu_);
}

// Counting sort of all (token, rank) pairs by expert; tokens stay in order.
void MoePass::sort_by_expert(const MoeLayer & layer) {
    const size_t pairs = static_cast<size_t>(layer.n_tokens) * static_cast<size_t>(layer.k);
    count_.assign(static_cast<size_t>(store_.per_row()) + 1, 0);
    order_.resize(pairs);
    weights_.resize(pairs);
    for (int t = 0; t < layer.n_tokens; t++)
        for (int r = 0; r < layer.k; r++) count_[static_cast<size_t>(layer.id(t, r)) + 1]++;
    wanted_.clear();
    for (int e = 0; e < store_.per_row(); e++) {
        const int first = count_[static_cast<size_t>(e)], rows = count_[static_cast<size_t>(e) + 1];
        count_[static_cast<size_t>(e) + 1] += first;
        const Expert & expert = store_.expert(layer.row, e);
        const bool ours = matmul::find_gemm(expert.type[kGate], layer.n_embd, layer.n_ff) &&
                          matmul::find_gemm(expert.type[kUp], layer.n_embd, layer.n_ff) &&
                          matmul::find_gemm(expert.type[kDown], layer.n_ff, layer.n_embd);
        if (rows > 0) wanted_.push_back({e, first, rows, ours});
    }
    for (int t = 0; t < layer.n_tokens; t++)
        for (int r = 0; r < layer.k; r++) {
            const int at = count_[static_cast<size_t>(layer.id(t, r))]++;
            order_[static_cast<size_t>(at)] = t;
            weights_[static_cast<size_t>(at)] = layer.weight(t, r);
        }
}

void MoePass::show_routing(const MoeLayer & layer) {
    std::vector<int32_t> experts;
    std::vector<float> weights;
    for (int t = 0; t < layer.n_tokens; t++)
        for (int r = 0; r < layer.k; r++) {
            experts.push_back(layer.id(t, r));
            weights.push_back(layer.weight(t, r));
        }
    observer_.add_routing(layer.row, layer.n_tokens, x_.data(), experts, weights);
}

// The result may lie over the input, and rows of it are written before other rows of the input are read: the input is
// kept quantised for our products, and as it is for ggml's and for the observer.
void MoePass::keep_input(const MoeLayer & layer) {
    const int64_t width = layer.n_embd;
    bool plain = observed_;
    alone_.assign(static_cast<size_t>(layer.n_tokens), 0);
    input_.start(width, layer.n_tokens);
    for (const Wanted & wanted : wanted_) {
        const Expert & expert = store_.expert(layer.row, wanted.expert);
        plain |= !wanted.ours;
        if (!wanted.ours) continue;
        for (Projection p : {kGate, kUp}) input_.want(expert.type[p], wanted.count == 1);
        if (wanted.count == 1) alone_[static_cast<size_t>(order_[static_cast<size_t>(wanted.first)])] = 1;
    }
    if (plain) x_.resize(static_cast<size_t>(width) * static_cast<size_t>(layer.n_tokens));
#pragma omp parallel for num_threads(threads_)
    for (int t = 0; t < layer.n_tokens; t++) {
        const auto * from = reinterpret_cast<const float *>(static_cast<const char *>(layer.x->data) +
                                                            static_cast<size_t>(t) * layer.x->nb[2]);
        for (int i = 0; i < input_.wanted(); i++) input_.quantise(i, t, from, alone_[static_cast<size_t>(t)] != 0);
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
    if (observed_) show_routing(layer);
    clear_result(layer);  // it may lie over ids and weights too

    wants_all_ = wanted_.size() * 4 > static_cast<size_t>(store_.per_row()) * 3;
    if (layer.n_tokens >= store_.per_row()) prompts_want_all_ = wants_all_;
    size_t pinned = 0, done = 0;
    const auto unpin_rest = [&] {
        for (; done < pinned; done++) store_.unpin(layer.row, wanted_[done].expert);
        return failed();
    };
    while (done < wanted_.size()) {
        while (pinned < wanted_.size() &&
               store_.pin(layer.row, wanted_[pinned].expert, wanted_[pinned].count, pinned - done >= kUnderWay))
            pinned++;
        if (pinned == done) {
            if (!store_.wait_for_room()) return failed();
            continue;
        }
        // The next expert, and those after it that are there already. How many they are changes nothing in the results.
        size_t end = done;
        group_.clear();
        group_rows_ = group_tiles_ = 0;
        do {
            const uint8_t * data = store_.wait(layer.row, wanted_[end].expert);
            if (data == nullptr) return unpin_rest();
            if (!wanted_[end].ours && !expert_rows(layer, wanted_[end], data)) return unpin_rest();
            if (wanted_[end].ours) add_member(layer, wanted_[end], data);
            end++;
        } while (wanted_[end - 1].ours && end < pinned && wanted_[end].ours &&
                 group_rows_ + wanted_[end].count <= kGroupRows && store_.ready(layer.row, wanted_[end].expert));
        if (!group_.empty() && !multiply_group(layer)) return unpin_rest();
        for (; done < end; done++) store_.unpin(layer.row, wanted_[done].expert);
        store_.scan(layer.row, wanted_[done - 1].expert + 1);
        if (pinned == wanted_.size()) read_row(layer.row + 1);  // everything of this layer is on its way
    }
    return ggml::kSuccess;
}

// A batch that wants nearly all experts of one layer wants nearly all of the next; not of the last, where libllama goes on
// with the tokens whose logits are wanted only.
void MoePass::read_row(int row) {
    if (!wants_all_ || row + 1 >= store_.rows()) return;
    for (int e = 0; e < store_.per_row(); e++)
        if (!store_.present(row, e) && (store_.under_way() >= kNextUnderWay || !store_.guess(row, e, true))) return;
}

void MoePass::before_matrix(const ggml::Tensor * node) {
    int block;
    const char * name = node->src[0]->name;
    const int tokens = static_cast<int>(node->ne[1]);
    if (std::sscanf(name, "blk.%d.", &block) != 1) return;
    const bool after_experts = std::strstr(name, "_shexp.") != nullptr;
    const int row = std::max(store_.row_of(block) + after_experts, 0);
    if (row == 0) {
        if (tokens < store_.per_row()) return;  // nothing tells how many experts it will want
        wants_all_ = prompts_want_all_;
        store_.scan(0);
    }
    read_row(row);
}

bool MoePass::expert_rows(const MoeLayer & layer, const Wanted & wanted, const uint8_t * data) {
    const ggml::Api & api = ggml::api();
    const Expert & expert = store_.expert(layer.row, wanted.expert);
    if (cpu_ == nullptr) {
        cpu_ = api.cpu_init();
        api.cpu_set_abort_callback(cpu_, [](void * store) { return static_cast<Store *>(store)->aborted(); }, &store_);
        graph_memory_.resize(api.graph_overhead_custom(kNodes, false) + kNodes * api.tensor_overhead());
    }
    api.cpu_set_n_threads(cpu_, threads_);
    const size_t width = static_cast<size_t>(layer.n_embd), n_ff = static_cast<size_t>(layer.n_ff);
    const size_t most = static_cast<size_t>(std::min(wanted.count, kRowsAtOnce));
    for (auto [scratch, size] :
         {std::pair{&h_, most * width}, {&gate_, most * n_ff}, {&up_, most * n_ff}, {&out_, most * width}})
        if (scratch->size() < size) scratch->resize(size);

    for (int start = 0; start < wanted.count; start += kRowsAtOnce) {
        const int rows = std::min(kRowsAtOnce, wanted.count - start);
        const int first = wanted.first + start;
        for (int r = 0; r < rows; r++) {
            const float * from = x_.data() + width * static_cast<size_t>(order_[static_cast<size_t>(first + r)]);
            std::copy(from, from + width, h_.data() + width * static_cast<size_t>(r));
        }
        ggml::Context * context = api.init({graph_memory_.size(), graph_memory_.data(), true});
        const auto matrix = [&](Projection p, int64_t columns, int64_t n) {
            ggml::Tensor * w = api.new_tensor_2d(context, expert.type[p], columns, n);
            w->data = const_cast<uint8_t *>(data + expert.place[p]);
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
        h->data = gate_.data();  // element by element over its own input
        out->data = out_.data();
        ggml::Graph * graph = api.new_graph_custom(context, kNodes, false);
        api.build_forward_expand(graph, out);
        const ggml::Status status = api.graph_compute(cpu_, graph);
        api.free(context);
        if (status != ggml::kSuccess) return false;
        if (observed_)
            observer_.add(layer.row, wanted.expert, rows, h_.data(), gate_.data(), out_.data(),
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
