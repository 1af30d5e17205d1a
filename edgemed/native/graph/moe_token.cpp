// One token through one layer's experts, fused: hits and the shared expert are computed while misses are read.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "moe_pass.h"
#include "matmul/row_matmul.h"
#include "vector_math.h"

namespace edgemed {
namespace {

// A thread goes through memory the faster the longer it goes straight on: with two threads blocks of 70 KB came in at 26
// GB/s, whole matrices of 2.4 MB at 36 (docs/decisions.md). So a thread gets few blocks, and enough that none waits long
// for the last; those of down, the last ones, are half as long. Rows are never split finer than the processor's
// prefetching pays for.
constexpr int64_t kWideBlocks = 4, kDownBlocks = 8;                       // for each thread
constexpr int64_t kLeastWideRows = 32, kLeastDownRows = 128, kLine = 16;  // of results in a cache line
constexpr int kSpins = 1000;

int64_t blocks(int64_t rows, int64_t at_a_time) { return (rows + at_a_time - 1) / at_a_time; }

// How many of a matrix's rows a thread takes at a time, where `matrices` are shared in `shares` blocks.
int64_t rows_at_a_time(int64_t rows, int64_t matrices, int64_t shares, int64_t least) {
    return std::min(std::max(blocks(rows * matrices / shares, kLine) * kLine, least), rows);
}

}  // namespace

ggml::Status MoePass::layer(MoeLayer layer) {
    layer.row = store_.row_of(layer.block);
    if (layer.row < 0 || layer.row >= store_.rows()) return ggml::kFailed;
    const auto from = std::chrono::steady_clock::now();
    const double waited = store_.stats().wait_seconds;
    if (layer.row == 0) store_.step(layer.n_tokens);  // the last layer of a prompt computes its last token only
    store_.scan(layer.n_tokens == 1 ? -1 : layer.row);
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
        while (pinned > 0) store_.unpin(layer.row, layer.id(0, --pinned));
    };
    while (pinned < k) {
        if (store_.pin(layer.row, layer.id(0, pinned), 1)) {
            pending_.push_back(pinned);
            weights_[static_cast<size_t>(pinned)] = layer.weight(0, pinned);
            pinned++;
        } else if (!store_.wait_for_room()) {  // read-ahead holds the room until it ends
            unpin();
            return failed();
        }
    }

    store_.settle(layer.row);
    check_guesses(layer);

    bool missing = false;
    for (int rank = 0; rank < k; rank++) missing |= !store_.ready(layer.row, layer.id(0, rank));
    if (!shared && missing) read_ahead(layer);

    prepare(layer);
    for (bool first = true; first || !pending_.empty(); first = false) {
        ready_.clear();
        for (int rank : pending_)
            if (store_.ready(layer.row, layer.id(0, rank))) ready_.push_back(rank);
        if (first && shared) ready_.push_back(k);
        else if (ready_.empty()) ready_.push_back(pending_.front());
        for (int rank : ready_) {
            if (rank == k || take(layer, rank)) continue;
            unpin();
            return failed();
        }
        token_group(layer, ready_);
    }
    unpin();
    add_up(layer);
    // Where a whole token missed nothing, nor was anything guessed for it, the next will hardly miss, and the next router's
    // run would only cost time.
    quiet_ = missing ? 0 : quiet_ + 1;
    if (shared && quiet_ < store_.rows()) read_ahead(layer);
    return ggml::kSuccess;
}

// The activations and scratch of all ranks; the shared expert is one behind the last.
void MoePass::prepare(const MoeLayer & layer) {
    const int k = layer.k;
    const bool shared = layer.residual != nullptr;
    input_.start(layer.n_embd, 1);
    hidden_.start(layer.n_ff, k + 1);
    for (int p = 0; shared && p < kProjections; p++) {
        ranks_.back().data[p] = static_cast<const uint8_t *>(layer.shared[p]->data);
        ranks_.back().type[p] = layer.shared[p]->type;
    }
    for (int rank = 0; rank < k + shared; rank++) {
        const int * type = rank < k ? store_.expert(layer.row, layer.id(0, rank)).type : ranks_.back().type;
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

// Waits for a rank's expert and takes it off the pending.
bool MoePass::take(const MoeLayer & layer, int rank) {
    const Expert & expert = store_.expert(layer.row, layer.id(0, rank));
    const uint8_t * data = store_.wait(layer.row, layer.id(0, rank));
    if (data == nullptr) return false;
    Matrices & matrices = ranks_[static_cast<size_t>(rank)];
    for (int p = 0; p < kProjections; p++) {
        matrices.data[p] = data + expert.place[p];
        matrices.type[p] = expert.type[p];
    }
    pending_.erase(std::find(pending_.begin(), pending_.end(), rank));
    return true;
}

// In rank order, whatever order they arrived in: the sum never depends on the cache.
void MoePass::add_up(const MoeLayer & layer) {
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

void MoePass::check_guesses(const MoeLayer & layer) {
    if (predicted_row_ == layer.row) {
        int right = 0;
        for (int rank = 0; rank < layer.k; rank++)
            right += std::find(predicted_.begin(), predicted_.end(), layer.id(0, rank)) != predicted_.end();
        store_.add_predictions(layer.k, right);
    }
    predicted_row_ = -1;
}

// Guesses the next layer's experts; the reader takes guesses up when it is idle. Behind the shared expert we see the
// residual that the next layer begins with: nine of ten guesses are right, and the disk has the time of its attention.
// Elsewhere all there is to see is this layer's input, half of them are right, and they are read after this layer's misses.
void MoePass::read_ahead(const MoeLayer & layer) {
    if (experts_.guesses == 0 || layer.row + 1 >= store_.rows()) return;
    predicted_row_ = layer.row + 1;
    predicted_.resize(static_cast<size_t>(layer.k));
    const bool residual = layer.residual != nullptr;
    if (residual)
        experts_.predictor.from_residual(predicted_row_, static_cast<const float *>(layer.y->data), threads_,
                                         predicted_.data());
    else
        experts_.predictor.from_input(predicted_row_, static_cast<const float *>(layer.x->data), threads_,
                                      predicted_.data());
    int left = experts_.guesses;
    for (size_t i = 0; i < predicted_.size() && left > 0; i++)
        if (!store_.present(predicted_row_, predicted_[i])) {
            left -= store_.guess(predicted_row_, predicted_[i], residual);
            quiet_ = 0;
        }
}

// Threads take blocks of rows in turn, all of gate and up before any of down. So whoever waits for a hidden row waits for
// blocks that others have in hand already: the team's start and end are the only barriers.
void MoePass::token_group(const MoeLayer & layer, const std::vector<int> & ranks) {
    const int64_t experts = static_cast<int64_t>(ranks.size());
    const int64_t wide_rows = rows_at_a_time(layer.n_ff, experts, kWideBlocks * threads_, kLeastWideRows);
    const int64_t down_rows = rows_at_a_time(layer.n_embd, experts, kDownBlocks * threads_, kLeastDownRows);
    const int64_t wide_blocks = blocks(layer.n_ff, wide_rows), down_blocks = blocks(layer.n_embd, down_rows);
    std::atomic<int64_t> next{0};
    for (int rank : ranks)
        progress_[static_cast<size_t>(rank)].wide = 0, progress_[static_cast<size_t>(rank)].hidden = false;

#pragma omp parallel num_threads(threads_)
    for (int64_t at; (at = next.fetch_add(1, std::memory_order_relaxed)) < experts * (wide_blocks + down_blocks);) {
        if (at < experts * wide_blocks)
            hidden_rows(layer, ranks[static_cast<size_t>(at / wide_blocks)], at % wide_blocks * wide_rows, wide_rows);
        else
            output_rows(layer, ranks[static_cast<size_t>((at - experts * wide_blocks) / down_blocks)],
                        (at - experts * wide_blocks) % down_blocks * down_rows, down_rows);
    }
}

void MoePass::hidden_rows(const MoeLayer & layer, int rank, int64_t from, int64_t rows) {
    const Matrices & expert = ranks_[static_cast<size_t>(rank)];
    const int64_t n_ff = layer.n_ff, to = std::min(from + rows, n_ff), base = rank * n_ff;
    for (Projection p : {kGate, kUp}) {
        const RowMatmul product(expert.type[p], layer.n_embd, input_, 0);
        product.multiply(expert.data[p] + product.stride() * static_cast<size_t>(from), to - from,
                         (p == kGate ? gate_ : up_).data() + base + from);
    }
    swiglu(gate_.data() + base + from, up_.data() + base + from, h_.data() + base + from, to - from);
    Progress & progress = progress_[static_cast<size_t>(rank)];
    if (progress.wide.fetch_add(to - from, std::memory_order_acq_rel) + to - from < n_ff) return;
    for (int w = 0; w < hidden_.wanted(); w++) hidden_.quantise(w, rank, h_.data() + base);
    progress.hidden.store(true, std::memory_order_release);
}

void MoePass::output_rows(const MoeLayer & layer, int rank, int64_t from, int64_t rows) {
    const std::atomic<bool> & hidden = progress_[static_cast<size_t>(rank)].hidden;
    for (int spins = 0; !hidden.load(std::memory_order_acquire); spins++)
        if (spins > kSpins) std::this_thread::yield();  // the other one may have lost its core
    const Matrices & expert = ranks_[static_cast<size_t>(rank)];
    const RowMatmul product(expert.type[kDown], layer.n_ff, hidden_, rank);
    product.multiply(expert.data[kDown] + product.stride() * static_cast<size_t>(from),
                     std::min(rows, layer.n_embd - from), out_.data() + rank * layer.n_embd + from);
}

}  // namespace edgemed
