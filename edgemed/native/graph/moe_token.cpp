// One token through the experts of one layer, fused. Cached experts and the shared expert are computed while missing
// ones are read.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "moe_pass.h"
#include "matmul/row_matmul.h"
#include "vector_math.h"

namespace edgemed {
namespace {

// Long sequential reads of memory are faster (two threads: 26 GB/s in blocks of 70 KB, 36 GB/s in blocks of 2.4 MB;
// docs/decisions.md#token-pass), so give each thread few large blocks. Blocks of down come last and are half as long, so that the
// threads finish at about the same time. The minimum keeps blocks long enough for the hardware prefetcher.
constexpr int64_t kGateUpBlocks = 4, kDownBlocks = 8;  // per thread
constexpr int64_t kMinGateUpRows = 32, kMinDownRows = 128;
constexpr int64_t kLine = 16;  // float results in a cache line
constexpr int kSpins = 1000;   // before a waiting thread yields

int64_t blocks(int64_t rows, int64_t block_rows) { return (rows + block_rows - 1) / block_rows; }

// Rows per block when `matrices` matrices of `rows` rows are cut into about `total_blocks` blocks.
int64_t rows_per_block(int64_t rows, int64_t matrices, int64_t total_blocks, int64_t min_rows) {
    return std::min(std::max(blocks(rows * matrices / total_blocks, kLine) * kLine, min_rows), rows);
}

}  // namespace

ggml::Status MoePass::layer(MoeLayer layer) {
    layer.moe_layer = store_.moe_layer_of(layer.block);
    if (layer.moe_layer < 0 || layer.moe_layer >= store_.moe_layers()) return ggml::kFailed;
    const auto from = std::chrono::steady_clock::now();
    const double waited = store_.stats().wait_seconds;
    // Once per step, at layer 0: in the last layer llama.cpp computes only the tokens whose logits are wanted.
    if (layer.moe_layer == 0) store_.advance_clock(layer.n_tokens);
    store_.scan(layer.n_tokens == 1 ? -1 : layer.moe_layer);
    const ggml::Status status = layer.n_tokens == 1 ? token(layer) : batch(layer);
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
    uint64_t shared = 0;
    for (const ggml::Tensor * matrix : layer.shared)
        if (matrix != nullptr) shared += matrix->nb[1] * static_cast<uint64_t>(matrix->ne[1]);
    store_.add_computing(took - (store_.stats().wait_seconds - waited), shared);
    return status;
}

ggml::Status MoePass::token(const MoeLayer & layer) {
    const int k = layer.k;
    const bool shared = layer.residual != nullptr;
    pending_.clear();
    ranks_.resize(static_cast<size_t>(k) + 1);
    weights_.resize(static_cast<size_t>(k));
    int pinned = 0;
    const auto unpin = [&] {
        while (pinned > 0) store_.unpin(layer.moe_layer, layer.id(0, --pinned));
    };
    while (pinned < k) {
        if (store_.pin(layer.moe_layer, layer.id(0, pinned), 1)) {
            pending_.push_back(pinned);
            weights_[static_cast<size_t>(pinned)] = layer.weight(0, pinned);
            pinned++;
        } else if (!store_.wait_for_room()) {  // reads in flight hold the room
            unpin();
            return failed();
        }
    }

    store_.cancel_prefetches(layer.moe_layer);
    count_predictions(layer);

    // Without the shared expert, prefetch now: this layer's input is all there is to predict from.
    bool missing = false;
    for (int rank = 0; rank < k; rank++) missing |= !store_.ready(layer.moe_layer, layer.id(0, rank));
    if (!shared && missing) prefetch_next_layer(layer);

    prepare_ranks(layer);
    // Compute what is ready. The first round takes the shared expert too; later rounds wait for a rank if none is
    // ready.
    for (bool first = true; first || !pending_.empty(); first = false) {
        ready_.clear();
        for (int rank : pending_)
            if (store_.ready(layer.moe_layer, layer.id(0, rank))) ready_.push_back(rank);
        if (first && shared) ready_.push_back(k);
        else if (ready_.empty()) ready_.push_back(pending_.front());
        for (int rank : ready_) {
            if (rank == k || await_expert(layer, rank)) continue;
            unpin();
            return failed();
        }
        token_group(layer, ready_);
    }
    unpin();
    sum_ranks(layer);
    // If a whole token caused no miss and no prefetch, the next one hardly will, and running the next router costs
    // time.
    layers_without_miss_ = missing ? 0 : layers_without_miss_ + 1;
    if (shared && layers_without_miss_ < store_.moe_layers()) prefetch_next_layer(layer);
    return ggml::kSuccess;
}

// Quantises the input and sizes the scratch for all ranks; the shared expert has the rank k.
void MoePass::prepare_ranks(const MoeLayer & layer) {
    const int k = layer.k;
    const bool shared = layer.residual != nullptr;
    input_.start(layer.n_embd, 1);
    hidden_.start(layer.n_ff, k + 1);
    for (int p = 0; shared && p < kProjections; p++) {
        ranks_.back().data[p] = static_cast<const uint8_t *>(layer.shared[p]->data);
        ranks_.back().type[p] = layer.shared[p]->type;
    }
    for (int rank = 0; rank < k + shared; rank++) {
        const int * type = rank < k ? store_.expert(layer.moe_layer, layer.id(0, rank)).type : ranks_.back().type;
        input_.want(type[kGate], true);
        input_.want(type[kUp], true);
        hidden_.want(type[kDown], true);
    }
    for (int i = 0; i < input_.wanted(); i++) input_.quantise(i, 0, static_cast<const float *>(layer.x->data));
    const size_t wide = ranks_.size() * static_cast<size_t>(layer.n_ff),
                 out = ranks_.size() * static_cast<size_t>(layer.n_embd);
    for (std::vector<float> * scratch : {&gate_, &up_, &h_})
        if (scratch->size() < wide) scratch->resize(wide);
    if (out_.size() < out) out_.resize(out);
    if (progress_.size() < ranks_.size()) progress_ = std::vector<Progress>(ranks_.size());
}

// Waits for a rank's expert and removes the rank from pending_. Returns false if the read failed or was aborted.
bool MoePass::await_expert(const MoeLayer & layer, int rank) {
    const Expert & expert = store_.expert(layer.moe_layer, layer.id(0, rank));
    const uint8_t * data = store_.wait(layer.moe_layer, layer.id(0, rank));
    if (data == nullptr) return false;
    Matrices & matrices = ranks_[static_cast<size_t>(rank)];
    for (int p = 0; p < kProjections; p++) {
        matrices.data[p] = data + expert.offset_in_slot[p];
        matrices.type[p] = expert.type[p];
    }
    pending_.erase(std::find(pending_.begin(), pending_.end(), rank));
    return true;
}

// y = sum over ranks of weight * output, plus the shared expert's output and the residual. Always summed in rank order,
// so that the result does not depend on the state of the cache.
void MoePass::sum_ranks(const MoeLayer & layer) {
    const size_t width = static_cast<size_t>(layer.n_embd);
    x_.assign(width, 0.0f);
    for (int rank = 0; rank < layer.k; rank++)
        add_scaled(x_.data(), out_.data() + rank * layer.n_embd, weights_[static_cast<size_t>(rank)], layer.n_embd);
    auto * y = static_cast<float *>(layer.y->data);
    if (layer.residual == nullptr) {
        std::copy_n(x_.data(), width, y);
        return;
    }
    const auto * residual = static_cast<const float *>(layer.residual->data);
    const float * of_shared = out_.data() + layer.k * layer.n_embd;
    for (size_t i = 0; i < width; i++) y[i] = (x_[i] + of_shared[i]) + residual[i];
}

// Counts how many of the router's choices were predicted.
void MoePass::count_predictions(const MoeLayer & layer) {
    if (predicted_layer_ == layer.moe_layer) {
        int right = 0;
        for (int rank = 0; rank < layer.k; rank++)
            right += std::find(predicted_.begin(), predicted_.end(), layer.id(0, rank)) != predicted_.end();
        store_.add_predictions(layer.k, right);
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
    predicted_.resize(static_cast<size_t>(layer.k));
    const bool residual = layer.residual != nullptr;
    if (residual)
        experts_.predictor.predict_from_residual(predicted_layer_, static_cast<const float *>(layer.y->data), threads_,
                                                 predicted_.data());
    else
        experts_.predictor.predict_from_input(predicted_layer_, static_cast<const float *>(layer.x->data), threads_,
                                              predicted_.data());
    int left = experts_.prefetch_limit;
    for (size_t i = 0; i < predicted_.size() && left > 0; i++)
        if (!store_.present(predicted_layer_, predicted_[i])) {
            left -= store_.prefetch(predicted_layer_, predicted_[i], residual);
            layers_without_miss_ = 0;
        }
}

// Threads claim blocks of rows in order, all of gate and up before any of down. So a thread that needs an expert's
// hidden values waits only for blocks that other threads are already computing, and no barrier is needed in between.
void MoePass::token_group(const MoeLayer & layer, const std::vector<int> & ranks) {
    const int64_t experts = static_cast<int64_t>(ranks.size());
    const int64_t gate_up_rows = rows_per_block(layer.n_ff, experts, kGateUpBlocks * threads_, kMinGateUpRows);
    const int64_t down_rows = rows_per_block(layer.n_embd, experts, kDownBlocks * threads_, kMinDownRows);
    const int64_t gate_up_blocks = blocks(layer.n_ff, gate_up_rows), down_blocks = blocks(layer.n_embd, down_rows);
    std::atomic<int64_t> next{0};
    for (int rank : ranks)
        progress_[static_cast<size_t>(rank)].rows_done = 0, progress_[static_cast<size_t>(rank)].hidden_ready = false;

#pragma omp parallel num_threads(threads_)
    for (int64_t at; (at = next.fetch_add(1, std::memory_order_relaxed)) < experts * (gate_up_blocks + down_blocks);) {
        if (at < experts * gate_up_blocks)
            hidden_rows(layer, ranks[static_cast<size_t>(at / gate_up_blocks)], at % gate_up_blocks * gate_up_rows,
                        gate_up_rows);
        else
            output_rows(layer, ranks[static_cast<size_t>((at - experts * gate_up_blocks) / down_blocks)],
                        (at - experts * gate_up_blocks) % down_blocks * down_rows, down_rows);
    }
}

// Rows [from, from + rows) of gate, up and swiglu. The thread that completes an expert's hidden values quantises them.
void MoePass::hidden_rows(const MoeLayer & layer, int rank, int64_t from, int64_t rows) {
    const Matrices & expert = ranks_[static_cast<size_t>(rank)];
    const int64_t n_ff = layer.n_ff, to = std::min(from + rows, n_ff), base = rank * n_ff;
    for (Projection p : {kGate, kUp}) {
        const RowMatmul gemv(expert.type[p], layer.n_embd, input_, 0);
        gemv.multiply(expert.data[p] + gemv.stride() * static_cast<size_t>(from), to - from,
                      (p == kGate ? gate_ : up_).data() + base + from);
    }
    swiglu(gate_.data() + base + from, up_.data() + base + from, h_.data() + base + from, to - from);
    Progress & progress = progress_[static_cast<size_t>(rank)];
    if (progress.rows_done.fetch_add(to - from, std::memory_order_acq_rel) + to - from < n_ff) return;
    for (int w = 0; w < hidden_.wanted(); w++) hidden_.quantise(w, rank, h_.data() + base);
    progress.hidden_ready.store(true, std::memory_order_release);
}

// Rows [from, from + rows) of down, once the hidden values are complete.
void MoePass::output_rows(const MoeLayer & layer, int rank, int64_t from, int64_t rows) {
    const std::atomic<bool> & hidden = progress_[static_cast<size_t>(rank)].hidden_ready;
    for (int spins = 0; !hidden.load(std::memory_order_acquire); spins++)
        if (spins > kSpins) std::this_thread::yield();  // the other thread may have lost its core
    const Matrices & expert = ranks_[static_cast<size_t>(rank)];
    const RowMatmul gemv(expert.type[kDown], layer.n_ff, hidden_, rank);
    gemv.multiply(expert.data[kDown] + gemv.stride() * static_cast<size_t>(from), std::min(rows, layer.n_embd - from),
                  out_.data() + rank * layer.n_embd + from);
}

}  // namespace edgemed
