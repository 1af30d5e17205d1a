// gemm: a matrix in a GGUF type times several rows of activations. Each block of weights is unpacked once and
// multiplied by all rows (gemm_panel.h). Dot products of codes are exact integers, as in ggml; only the order of float
// additions differs. A row's result depends on that row alone: not on the number of rows, on threads or on the
// instruction set (instructions.h) for which the kernels, gemm_*.inc, were compiled.
// Why: docs/decisions.md#batch-matmul.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gemm_panel.h"

namespace edgemed::matmul {

// The kernel for a matrix of this type and size. Null if ggml has to multiply: another type, `rows` no multiple of 16,
// `columns` no multiple of 256, or a processor without AVX2.
const GemmKernel * find_gemm(int type, int64_t columns, int64_t rows);

// Quantised rows of activations, cut into tiles. Several groups of rows (one for each expert) follow each other, each
// with its own tiles.
class Tiles {
  public:
    static int count(int rows) { return (rows + kTileRows - 1) / kTileRows; }

    void start(int64_t columns, int tiles);
    // Stores row `row` of a group of `rows` rows whose first tile is `first`. `quantised` is what ggml makes of it for
    // the kernel's type (Q8_K or Q8_0). Threads may store different rows at the same time.
    void put(const GemmKernel & kernel, int first, int rows, int row, const uint8_t * quantised);
    const Tile * at(int first) const { return tiles_.data() + static_cast<size_t>(first) * blocks_; }

  private:
    size_t blocks_ = 0;
    std::vector<Tile> tiles_;  // [tile][block of 256 columns]
};

// Hands out the items 0 to count - 1 to one of `threads` threads that share a counter, in runs of up to four. If there
// are enough items, a thread claims its next run in advance and so knows its next item: while it multiplies one panel
// it prefetches the next.
class ChunkClaimer {
  public:
    ChunkClaimer(std::atomic<int64_t> & shared, int64_t count, int threads)
        : shared_(shared), count_(count), at_once_(std::clamp<int64_t>(count / (8 * threads), 1, 4)),
          enough_(count >= 4 * threads), now_(claim()), ahead_(enough_ ? claim() : count), end_(now_ + at_once_) {}
    bool more() const { return now_ < count_; }
    int64_t now() const { return now_; }
    int64_t next() const { return std::min(now_ + 1 < end_ ? now_ + 1 : ahead_, count_); }  // `count` if there is none
    void advance() {
        if (++now_ < end_) return;
        now_ = enough_ ? ahead_ : claim();
        end_ = now_ + at_once_;
        if (enough_) ahead_ = claim();
    }

  private:
    int64_t claim() { return shared_.fetch_add(at_once_, std::memory_order_relaxed); }

    std::atomic<int64_t> & shared_;
    const int64_t count_, at_once_;
    const bool enough_;
    int64_t now_, ahead_, end_;  // this item, the first of the next run, the end of this run
};

// The first byte of panel `panel`, which is 16 rows of the matrix.
inline const uint8_t * panel_at(const GemmKernel & kernel, const uint8_t * matrix, int64_t columns, int64_t panel) {
    return matrix + kernel.block_bytes * static_cast<size_t>(columns / kColumns * kLanes * panel);
}

// sums[row] = the panel at `weights` times row `row`, for `rows` rows. `next`: the panel to prefetch, which this thread
// multiplies next, or null.
void gemm(const GemmKernel & kernel, const uint8_t * weights, int64_t columns, const Tile * tiles, int rows,
          Lanes * sums, const uint8_t * next);

}  // namespace edgemed::matmul
