// A small batch through the experts of one layer, fused. Cached experts and the shared expert are computed while missing
// ones are read. Each token is computed as if it were alone: with the same kernels, and summed in rank order.
// Why: docs/decisions.md#small-batches.

#include <algorithm>
#include <chrono>
#include <numeric>

#include "moe_pass.h"
#include "vector_math.h"

namespace edgemed {
namespace {

// One token's row of a tensor whose tokens are `dimension`.
const float * row(const ggml::Tensor * tensor, int token, int dimension) {
    const auto * data = static_cast<const char *>(tensor->data);
    return reinterpret_cast<const float *>(data + static_cast<size_t>(token) * tensor->nb[dimension]);
}

void grow(std::vector<float> & scratch, size_t size) {
    if (scratch.size() < size) scratch.resize(size);
}

}  // namespace

ggml::Status MoePass::layer(MoeLayer layer) {
    layer.moe_layer = store_.moe_layer_of(layer.block);
    if (layer.moe_layer < 0 || layer.moe_layer >= store_.moe_layers()) return ggml::kFailed;
    const auto from = std::chrono::steady_clock::now();
    const double waited = store_.stats().wait_seconds;
    // Once per step, at layer 0: in the last layer llama.cpp computes only the tokens whose logits are wanted.
    if (layer.moe_layer == 0) store_.advance_clock(layer.n_tokens);
    const bool small = layer.n_tokens <= kSmallBatch;
    store_.scan(small ? -1 : layer.moe_layer);
    const ggml::Status status = small ? small_batch(layer) : batch(layer);
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
    uint64_t shared = 0;
    for (const ggml::Tensor * matrix : layer.shared)
        if (matrix != nullptr) shared += matrix->nb[1] * static_cast<uint64_t>(matrix->ne[1]);
    store_.add_computing(took - (store_.stats().wait_seconds - waited), shared);
    return status;
}

// Computes all tokens together, or one after another if there is no room for all their experts. Writes the result last,
// because ggml may have put it over the input, the ids or the route weights.
ggml::Status MoePass::small_batch(const MoeLayer & layer) {
    const bool shared = layer.residual != nullptr;
    bool missing = false;
    for (int first = 0, together = layer.n_tokens; first < layer.n_tokens; first += together) {
        if (!pin_tokens(layer, first, first + together)) {
            if (together == 1 || !pin_tokens(layer, first, first + 1)) return failed();
            together = 1;
        }
        for (const ActiveExpert & expert : active_) missing |= !store_.ready(layer.moe_layer, expert.index);
        if (first == 0) {
            store_.cancel_prefetches(layer.moe_layer);
            count_predictions(layer);
            // Without the shared expert, prefetch now: this layer's input is all there is to predict from.
            if (!shared && missing) prefetch_next_layer(layer);
            prepare_tokens(layer);
        }
        const bool computed = multiply_tokens(layer, first, first + together);
        unpin_active(layer);
        if (!computed) return failed();
    }
    if (layer.n_tokens > 1 && observer_.on()) observe_small_batch(layer);
    sum_ranks(layer);
    // If a whole step caused no miss and no prefetch, the next one hardly will, and running the next router costs time.
    layers_without_miss_ = missing ? 0 : layers_without_miss_ + 1;
    if (shared && layers_without_miss_ < store_.moe_layers()) prefetch_next_layer(layer);
    return ggml::kSuccess;
}

// Lists the experts of tokens [first, end) in active_.
void MoePass::list_experts(const MoeLayer & layer, int first, int end) {
    active_.clear();
    for (int token = first; token < end; token++)
        for (int rank = 0; rank < layer.k; rank++) {
            const int index = layer.id(token, rank);
            auto at = std::find_if(active_.begin(), active_.end(), [&](const ActiveExpert & expert) {
                return expert.index == index && expert.count < kSmallBatch;
            });
            if (at == active_.end()) at = active_.insert(at, {index, false, {}, {}, 0, {}});
            at->slot[at->count++] = token * (layer.k + 1) + rank;
        }
}

// Lists and pins the experts of tokens [first, end). Returns false if there is no room for all of them. A single token
// waits for the room that reads in flight hold.
bool MoePass::pin_tokens(const MoeLayer & layer, int first, int end) {
    list_experts(layer, first, end);
    const auto pin = [&](ActiveExpert & expert) {
        while (!store_.pin(layer.moe_layer, expert.index, expert.count))
            if (end - first > 1 || !store_.wait_for_room()) return false;
        return expert.pinned = true;
    };
    // Those in memory come first, because a missing one might evict them.
    for (const bool absent_too : {false, true})
        for (ActiveExpert & expert : active_)
            if (!expert.pinned && (absent_too || store_.present(layer.moe_layer, expert.index)) && !pin(expert)) {
                unpin_active(layer);
                return false;
            }
    return true;
}

void MoePass::unpin_active(const MoeLayer & layer) {
    for (ActiveExpert & expert : active_) {
        if (expert.pinned) store_.unpin(layer.moe_layer, expert.index);
        expert.pinned = false;
    }
}

// Quantises the inputs of all tokens, copies their route weights, and sizes the scratch.
void MoePass::prepare_tokens(const MoeLayer & layer) {
    const int k = layer.k, n = layer.n_tokens, slots = n * (k + 1);
    input_.start(layer.n_embd, n);
    hidden_.start(layer.n_ff, slots);
    const auto want = [&](int gate, int up, int down) {
        input_.want(gate, true);
        input_.want(up, true);
        hidden_.want(down, true);
    };
    weights_.resize(static_cast<size_t>(n * k));
    for (int token = 0; token < n; token++)
        for (int rank = 0; rank < k; rank++) {
            const int32_t * type = store_.expert(layer.moe_layer, layer.id(token, rank)).type;
            want(type[kGate], type[kUp], type[kDown]);
            weights_[static_cast<size_t>(token * k + rank)] = layer.weight(token, rank);
        }
    if (layer.residual != nullptr) want(layer.shared[kGate]->type, layer.shared[kUp]->type, layer.shared[kDown]->type);
#pragma omp parallel for num_threads(threads_) if (n > 1)
    for (int token = 0; token < n; token++)
        for (int i = 0; i < input_.wanted(); i++) input_.quantise(i, token, row(layer.x, token, 2));
    grow(gate_, static_cast<size_t>(slots * layer.n_ff));
    grow(up_, static_cast<size_t>(slots * layer.n_ff));
    grow(out_, static_cast<size_t>(slots * layer.n_embd));
}

// Computes the experts of active_ and the shared expert for tokens [first, end). Returns false if a read failed or the
// computation was aborted.
bool MoePass::multiply_tokens(const MoeLayer & layer, int first, int end) {
    const bool shared = layer.residual != nullptr;
    pending_.resize(active_.size());
    std::iota(pending_.begin(), pending_.end(), 0);
    if (shared) add_shared(layer, first, end);
    if (progress_.size() < active_.size()) progress_ = std::vector<Progress>(active_.size());
    // Compute what is ready. The first round takes the shared expert too; later rounds wait for an expert if none is
    // ready.
    for (bool first_round = true; first_round || !pending_.empty(); first_round = false) {
        ready_.clear();
        for (int at : pending_)
            if (store_.ready(layer.moe_layer, active_[static_cast<size_t>(at)].index)) ready_.push_back(at);
        const bool with_shared = first_round && shared;
        if (ready_.empty() && !with_shared) ready_.push_back(pending_.front());
        for (int at : ready_)
            if (!await_expert(layer, at)) return false;
        if (with_shared) ready_.push_back(static_cast<int>(active_.size()) - 1);
        multiply_ready(layer);
        if (store_.aborted()) return false;
    }
    return true;
}

// Appends the shared expert to active_, for tokens [first, end).
void MoePass::add_shared(const MoeLayer & layer, int first, int end) {
    ActiveExpert shared{kSharedExpert, false, {}, {}, end - first, {}};
    for (int p = 0; p < kProjections; p++) {
        shared.data[p] = static_cast<const uint8_t *>(layer.shared[p]->data);
        shared.type[p] = layer.shared[p]->type;
    }
    for (int token = first; token < end; token++) shared.slot[token - first] = token * (layer.k + 1) + layer.k;
    active_.push_back(shared);
}

// Waits for an expert and removes it from pending_. Returns false if the read failed or was aborted.
bool MoePass::await_expert(const MoeLayer & layer, int at) {
    ActiveExpert & active = active_[static_cast<size_t>(at)];
    const Expert & expert = store_.expert(layer.moe_layer, active.index);
    const uint8_t * data = store_.wait(layer.moe_layer, active.index);
    if (data == nullptr) return false;
    for (int p = 0; p < kProjections; p++) {
        active.data[p] = data + expert.offset_in_slot[p];
        active.type[p] = expert.type[p];
    }
    pending_.erase(std::find(pending_.begin(), pending_.end(), at));
    return true;
}

// y = sum over ranks of weight * output, plus the shared expert's output and the residual. Always summed in rank order,
// so that the result does not depend on the state of the cache.
void MoePass::sum_ranks(const MoeLayer & layer) {
    const size_t width = static_cast<size_t>(layer.n_embd), k = static_cast<size_t>(layer.k);
    x_.assign(static_cast<size_t>(layer.n_tokens) * width, 0.0f);
#pragma omp parallel for num_threads(threads_) if (layer.n_tokens > 1)
    for (int token = 0; token < layer.n_tokens; token++) {
        const size_t t = static_cast<size_t>(token);
        const float * const out = out_.data() + t * (k + 1) * width;
        float * const sum = x_.data() + t * width;
        for (size_t rank = 0; rank < k; rank++)
            add_scaled(sum, out + rank * width, weights_[t * k + rank], layer.n_embd);
        auto * y = reinterpret_cast<float *>(static_cast<char *>(layer.y->data) + t * layer.y->nb[1]);
        if (layer.residual == nullptr) {
            std::copy_n(sum, width, y);
            continue;
        }
        const float *residual = row(layer.residual, token, 1), *of_shared = out + k * width;
        for (size_t i = 0; i < width; i++) y[i] = (sum[i] + of_shared[i]) + residual[i];
    }
}

// Shows calibration what a larger batch would (moe_group.cpp). Call before the result is written.
void MoePass::observe_small_batch(const MoeLayer & layer) {
    const int64_t width = layer.n_embd;
    x_.resize(static_cast<size_t>(layer.n_tokens * width));
    for (int token = 0; token < layer.n_tokens; token++)
        std::copy_n(row(layer.x, token, 2), width, x_.data() + token * width);
    observe_routing(layer);
    for (int token = 0; token < layer.n_tokens; token++)
        for (int rank = 0; rank < layer.k; rank++) {
            const int64_t slot = token * (layer.k + 1) + rank;
            observer_.add(layer.moe_layer, layer.id(token, rank), 1, x_.data() + token * width,
                          gate_.data() + slot * layer.n_ff, out_.data() + slot * width,
                          weights_.data() + token * layer.k + rank);
        }
}

// Counts how many of the router's choices were predicted.
void MoePass::count_predictions(const MoeLayer & layer) {
    const int choices = layer.n_tokens * layer.k;
    if (predicted_layer_ == layer.moe_layer && predicted_.size() == static_cast<size_t>(choices)) {
        int right = 0;
        for (int token = 0; token < layer.n_tokens; token++) {
            const auto from = predicted_.begin() + token * layer.k, to = from + layer.k;
            for (int rank = 0; rank < layer.k; rank++) right += std::find(from, to, layer.id(token, rank)) != to;
        }
        store_.add_predictions(choices, right);
    }
    predicted_layer_ = -1;
}

// Predicts the next layer's experts and prefetches those that are missing. After the shared expert we know the residual
// that the next layer starts from: nine of ten predictions are right, and the disk has the next attention's time to
// read. Without it we know only this layer's input: half of them are right, and they are read after this layer's
// misses.
void MoePass::prefetch_next_layer(const MoeLayer & layer) {
    if (experts_.prefetch_limit == 0 || layer.moe_layer + 1 >= store_.moe_layers()) return;
    predicted_layer_ = layer.moe_layer + 1;
    // In the last layer llama.cpp computes only the tokens whose logits are wanted: usually the last one.
    const bool last_layer = predicted_layer_ + 1 == store_.moe_layers();
    const int first = last_layer ? layer.n_tokens - 1 : 0, tokens = layer.n_tokens - first;
    const bool residual = layer.residual != nullptr;
    predicted_.resize(static_cast<size_t>(tokens * layer.k));
    Predictor & predictor = experts_.predictor;
    for (int i = 0; i < tokens; i++)
        if (residual) predictor.set_from_residual(i, predicted_layer_, row(layer.y, first + i, 1));
        else predictor.set_from_input(i, predicted_layer_, row(layer.x, first + i, 2));
    predictor.predict(predicted_layer_, tokens, threads_, predicted_.data());
    int left = experts_.prefetch_limit * tokens;
    for (int rank = 0; rank < layer.k; rank++)  // every token's most likely expert first
        for (int i = 0; i < tokens && left > 0; i++) {
            const int32_t expert = predicted_[static_cast<size_t>(i * layer.k + rank)];
            if (store_.present(predicted_layer_, expert)) continue;
            left -= store_.prefetch(predicted_layer_, expert, residual);
            layers_without_miss_ = 0;
        }
}

}  // namespace edgemed
