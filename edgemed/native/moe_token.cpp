// One token through one layer's experts, fused: hits are computed while misses are read.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "moe_pass.h"
#include "row_product.h"
#include "vector_math.h"

namespace edgemed {
namespace {

// A thread goes through memory the faster the longer it goes straight on: with two threads blocks of 70 KB came in at 26
// GB/s, whole matrices of 2.4 MB at 36 (docs/decisions.md). So a thread gets few blocks, and enough that none waits long
// for the last; those of down, the last ones, are half as long. Rows are never split finer than the processor's
// prefetching pays for.
constexpr int64_t kWideBlocks = 4, kDownBlocks = 8;  // for each thread
constexpr int64_t kLeastWideRows = 32, kLeastDownRows = 128, kLine = 16;  // of results in a cache line
constexpr int     kSpins = 1000;

int64_t blocks(int64_t rows, int64_t at_a_time) { return (rows + at_a_time - 1) / at_a_time; }

// How many of a matrix's rows a thread takes at a time, where `matrices` are shared in `shares` blocks.
int64_t rows_at_a_time(int64_t rows, int64_t matrices, int64_t shares, int64_t least) {
    return std::min(std::max(blocks(rows * matrices / shares, kLine) * kLine, least), rows);
}

}  // namespace

ggml::Status MoePass::layer(MoeLayer layer) {
    layer.row = store_.row_of(layer.block);
    if (layer.row < 0 || layer.row >= store_.rows()) return ggml::kFailed;
    const auto         from = std::chrono::steady_clock::now();
    const double       waited = store_.stats().wait_seconds;
    if (layer.row == 0) store_.step(layer.n_tokens);  // the last layer of a prompt computes its last token only
    store_.scan(layer.n_tokens == 1 ? -1 : layer.row);
    const ggml::Status status = layer.n_tokens == 1 ? token(layer) : batch(layer);
    const double       took = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
    store_.add_compute_seconds(took - (store_.stats().wait_seconds - waited));
    return status;
}

ggml::Status MoePass::token(const MoeLayer & layer) {
    const int k = layer.k;
    pending_.clear();
    data_.assign(static_cast<size_t>(k), nullptr);
    weights_.resize(static_cast<size_t>(k));
    int        pinned = 0;
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

    // Where nothing is missing, nothing will be, and the next router's run would only cost time.
    bool missing = false;
    for (int rank = 0; rank < k; rank++) missing |= !store_.ready(layer.row, layer.id(0, rank));
    if (missing && experts_.guesses > 0) read_ahead(layer);

    input_.start(layer.n_embd, 1);
    hidden_.start(layer.n_ff, k);
    for (int rank = 0; rank < k; rank++) {
        const Expert & expert = store_.expert(layer.row, layer.id(0, rank));
        input_.want(expert.type[kGate], true);
        input_.want(expert.type[kUp], true);
        hidden_.want(expert.type[kDown], true);
    }
    for (int i = 0; i < input_.wanted(); i++) input_.quantise(i, 0, static_cast<const float *>(layer.x->data));
    const size_t wide = static_cast<size_t>(k) * static_cast<size_t>(layer.n_ff);
    for (std::vector<float> * scratch : {&gate_, &up_, &h_})
        if (scratch->size() < wide) scratch->resize(wide);
    if (out_.size() < static_cast<size_t>(k * layer.n_embd)) out_.resize(static_cast<size_t>(k * layer.n_embd));
    if (progress_.size() < static_cast<size_t>(k)) progress_ = std::vector<Progress>(static_cast<size_t>(k));

    while (!pending_.empty()) {
        ready_.clear();
        for (int rank : pending_)
            if (store_.ready(layer.row, layer.id(0, rank))) ready_.push_back(rank);
        if (ready_.empty()) ready_.push_back(pending_.front());
        for (int rank : ready_) {
            data_[static_cast<size_t>(rank)] = store_.wait(layer.row, layer.id(0, rank));
            if (data_[static_cast<size_t>(rank)] == nullptr) {
                unpin();
                return failed();
            }
        }
        pending_.erase(std::remove_if(pending_.begin(), pending_.end(), [&](int rank) { return data_[static_cast<size_t>(rank)] != nullptr; }),
                       pending_.end());
        token_group(layer, ready_);
    }
    unpin();

    // In rank order, whatever order they arrived in: the sum never depends on the cache.
    auto * y = static_cast<float *>(layer.y->data);
    std::fill(y, y + layer.n_embd, 0.0f);
    for (int rank = 0; rank < k; rank++) add_scaled(y, out_.data() + rank * layer.n_embd, weights_[static_cast<size_t>(rank)], layer.n_embd);
    return ggml::kSuccess;
}

// While this layer's misses are on their way, guesses the next layer's; the reader takes guesses up when it is idle.
void MoePass::read_ahead(const MoeLayer & layer) {
    if (predicted_row_ == layer.row) {
        int right = 0;
        for (int rank = 0; rank < layer.k; rank++)
            right += std::find(predicted_.begin(), predicted_.end(), layer.id(0, rank)) != predicted_.end();
        store_.add_predictions(layer.k, right);
    }
    predicted_row_ = layer.row + 1;
    if (predicted_row_ >= store_.rows()) return;
    predicted_.resize(static_cast<size_t>(layer.k));
    experts_.predictor.predict(layer.row, static_cast<const float *>(layer.x->data), threads_, predicted_.data());
    int left = experts_.guesses;
    for (size_t i = 0; i < predicted_.size() && left > 0; i++)
        if (!store_.present(predicted_row_, predicted_[i])) left -= store_.guess(predicted_row_, predicted_[i], false);
}

// Threads take blocks of rows in turn, all of gate and up before any of down. So whoever waits for a hidden row waits for
// blocks that others have in hand already: the team's start and end are the only barriers.
void MoePass::token_group(const MoeLayer & layer, const std::vector<int> & ranks) {
    const int64_t        experts = static_cast<int64_t>(ranks.size());
    const int64_t        wide_rows = rows_at_a_time(layer.n_ff, experts, kWideBlocks * threads_, kLeastWideRows);
    const int64_t        down_rows = rows_at_a_time(layer.n_embd, experts, kDownBlocks * threads_, kLeastDownRows);
    const int64_t        wide_blocks = blocks(layer.n_ff, wide_rows), down_blocks = blocks(layer.n_embd, down_rows);
    std::atomic<int64_t> next{0};
    for (int rank : ranks) progress_[static_cast<size_t>(rank)].wide = 0, progress_[static_cast<size_t>(rank)].hidden = false;

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
    const Expert &  expert = store_.expert(layer.row, layer.id(0, rank));
    const int64_t   n_ff = layer.n_ff, to = std::min(from + rows, n_ff), base = rank * n_ff;
    const uint8_t * slot = data_[static_cast<size_t>(rank)];
    for (Projection p : {kGate, kUp}) {
        const RowProduct product(expert.type[p], layer.n_embd, input_, 0);
        product.multiply(slot + expert.place[p] + product.stride() * static_cast<size_t>(from), to - from, (p == kGate ? gate_ : up_).data() + base + from);
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
    const Expert &   expert = store_.expert(layer.row, layer.id(0, rank));
    const RowProduct product(expert.type[kDown], layer.n_ff, hidden_, rank);
    product.multiply(data_[static_cast<size_t>(rank)] + expert.place[kDown] + product.stride() * static_cast<size_t>(from),
                     std::min(rows, layer.n_embd - from), out_.data() + rank * layer.n_embd + from);
}

}  // namespace edgemed
