// The matmuls of a small batch: threads share the rows of its experts' matrices. Every token is multiplied by the kernels
// for a single row, so its results have the same bits whatever other tokens there are. An expert's weights are read from
// memory once for all of its tokens.

#include <algorithm>
#include <atomic>
#include <thread>

#include "moe_pass.h"
#include "matmul/row_matmul.h"
#include "vector_math.h"

namespace edgemed {
namespace {

// Long sequential reads of memory are faster (two threads: 26 GB/s in blocks of 70 KB, 36 GB/s in blocks of 2.4 MB;
// docs/decisions.md#token-pass), so give each thread few large blocks. Blocks of down come last and are half as long, so
// that the threads finish at about the same time. The minimum keeps blocks long enough for the hardware prefetcher.
constexpr int64_t kGateUpBlocks = 4, kDownBlocks = 8;  // per thread
constexpr int64_t kMinGateUpRows = 32, kMinDownRows = 128;
constexpr int64_t kLine = 16;                 // float results in a cache line
constexpr int64_t kCachedBytes = 128 * 1024;  // of weights, which a core's cache keeps for the expert's other tokens
constexpr int kSpins = 1000;                  // before a waiting thread yields

int64_t round_up(int64_t rows) { return (rows + kLine - 1) / kLine * kLine; }

}  // namespace

// Threads claim blocks of rows in order, all of gate and up before any of down. So a thread that needs an expert's
// hidden values waits only for blocks that other threads are already computing, and no barrier is needed in between.
void MoePass::multiply_ready(const MoeLayer & layer) {
    blocks_.clear();
    cut_blocks(false, layer.n_ff, kGateUpBlocks * threads_, kMinGateUpRows);
    cut_blocks(true, layer.n_embd, kDownBlocks * threads_, kMinDownRows);
    for (int at : ready_)
        progress_[static_cast<size_t>(at)].rows_done = 0, progress_[static_cast<size_t>(at)].hidden_ready = false;
    std::atomic<size_t> next{0};

#pragma omp parallel num_threads(threads_)
    for (size_t at; (at = next.fetch_add(1, std::memory_order_relaxed)) < blocks_.size() && !store_.aborted();)
        if (blocks_[at].down) multiply_down(layer, blocks_[at]);
        else multiply_gate_up(layer, blocks_[at]);
}

// Cuts the matrices in ready_, of `rows` rows, into about `total_blocks` blocks of equal work: an expert's work is
// proportional to its tokens.
void MoePass::cut_blocks(bool down, int64_t rows, int64_t total_blocks, int64_t min_rows) {
    int64_t tokens = 0;
    for (int at : ready_) tokens += active_[static_cast<size_t>(at)].count;
    for (int at : ready_) {
        const int64_t equal = round_up(rows * tokens / (active_[static_cast<size_t>(at)].count * total_blocks));
        const int64_t step = std::min(std::max(equal, min_rows), rows);
        for (int64_t from = 0; from < rows; from += step)
            blocks_.push_back({at, down, from, std::min(step, rows - from)});
    }
}

// Multiplies a block of rows of one matrix by each of the expert's tokens. `x` has a row for every `slots_per_row` slots,
// `out` one of `out_columns` results for every slot.
void MoePass::multiply_block(const Block & block, Projection p, const Activations & x, int64_t columns,
                             int slots_per_row, float * out, int64_t out_columns) const {
    const ActiveExpert & expert = active_[static_cast<size_t>(block.active)];
    const size_t row_bytes = ggml::api().row_size(expert.type[p], columns);
    // Two tokens share one pass over the weights. More of them take turns with a few rows, which stay in the cache.
    const int64_t cached = round_up(kCachedBytes / static_cast<int64_t>(row_bytes)), end = block.from + block.rows;
    const int64_t step = expert.count <= 2 ? block.rows : cached;
    for (int64_t from = block.from; from < end; from += step) {
        const uint8_t * weights = expert.data[p] + row_bytes * static_cast<size_t>(from);
        const int64_t rows = std::min(step, end - from);
        const auto gemv = [&](int i) { return RowMatmul(expert.type[p], columns, x, expert.slot[i] / slots_per_row); };
        const auto to = [&](int i) { return out + expert.slot[i] * out_columns + from; };
        int i = 0;
        for (; i + 1 < expert.count; i += 2) gemv(i).multiply_with(gemv(i + 1), weights, rows, to(i), to(i + 1));
        if (i < expert.count) gemv(i).multiply(weights, rows, to(i));
    }
}

// Rows of gate, up and swiglu. The thread that completes an expert's hidden values quantises them.
void MoePass::multiply_gate_up(const MoeLayer & layer, const Block & block) {
    const ActiveExpert & expert = active_[static_cast<size_t>(block.active)];
    const int64_t n_ff = layer.n_ff;
    multiply_block(block, kGate, input_, layer.n_embd, layer.k + 1, gate_.data(), n_ff);
    multiply_block(block, kUp, input_, layer.n_embd, layer.k + 1, up_.data(), n_ff);
    for (int i = 0; i < expert.count; i++) {
        float * hidden = gate_.data() + expert.slot[i] * n_ff + block.from;
        swiglu(hidden, up_.data() + expert.slot[i] * n_ff + block.from, hidden, block.rows);
    }
    Progress & progress = progress_[static_cast<size_t>(block.active)];
    if (progress.rows_done.fetch_add(block.rows, std::memory_order_acq_rel) + block.rows < n_ff) return;
    for (int i = 0; i < expert.count; i++)
        for (int w = 0; w < hidden_.wanted(); w++)
            hidden_.quantise(w, expert.slot[i], gate_.data() + expert.slot[i] * n_ff);
    progress.hidden_ready.store(true, std::memory_order_release);
}

// Rows of down, once the hidden values are complete.
void MoePass::multiply_down(const MoeLayer & layer, const Block & block) {
    const std::atomic<bool> & hidden = progress_[static_cast<size_t>(block.active)].hidden_ready;
    for (int spins = 0; !hidden.load(std::memory_order_acquire); spins++) {
        if (store_.aborted()) return;                   // the thread that should complete them may have stopped
        if (spins > kSpins) std::this_thread::yield();  // the other thread may have lost its core
    }
    multiply_block(block, kDown, hidden_, layer.n_ff, 1, out_.data(), layer.n_embd);
}

}  // namespace edgemed
