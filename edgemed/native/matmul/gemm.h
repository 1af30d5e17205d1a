// Products of a matrix in a GGUF type and many rows of activations: each block of weights is unpacked once and multiplied
// with all rows (gemm_panel.h). Sums of codes are exact integers as in ggml's own products; only floats are added up
// in another order. A row's result depends on nothing but the row: not on how many others there are, nor on threads, nor
// on the instructions (instructions.h) for which the kernels, gemm_*.inc, are compiled one after another.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gemm_panel.h"

namespace edgemed::matmul {

// What multiplies matrices of this type and size; null where only ggml can: another type, rows that panels do not fill,
// or no products of ours at all.
const GemmKernel * find_gemm(int type, int64_t columns, int64_t rows);

// Quantised rows of activations, cut into tiles: groups of rows one after another, each with tiles of its own.
class Tiles {
  public:
    static int count(int rows) { return (rows + kTileRows - 1) / kTileRows; }

    void start(int64_t columns, int tiles);
    // Row `row` of the `rows` whose tiles begin at tile `first`, quantised as ggml does for `kernel`'s type (Q8_K or
    // Q8_0). Different rows may be put by different threads.
    void put(const GemmKernel & kernel, int first, int rows, int row, const uint8_t * quantised);
    const Tile * at(int first) const { return tiles_.data() + static_cast<size_t>(first) * blocks_; }

  private:
    size_t blocks_ = 0;
    std::vector<Tile> tiles_;  // [tile][block of 256 columns]
};

// The turns of one of several threads that share `count` pieces of work, up to four pieces one after another at a time.
// Where there are enough, a thread knows beforehand what its next piece is: while one panel is multiplied, the next comes
// from memory.
class ChunkClaimer {
  public:
    ChunkClaimer(std::atomic<int64_t> & shared, int64_t count, int threads)
        : shared_(shared), count_(count), at_once_(std::clamp<int64_t>(count / (8 * threads), 1, 4)),
          enough_(count >= 4 * threads), now_(claim()), ahead_(enough_ ? claim() : count), end_(now_ + at_once_) {}
    bool more() const { return now_ < count_; }
    int64_t now() const { return now_; }
    int64_t next() const { return std::min(now_ + 1 < end_ ? now_ + 1 : ahead_, count_); }  // `count`: none
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
    int64_t now_, ahead_, end_;
};

// Where panel `panel` of a matrix begins: 16 of its rows.
inline const uint8_t * panel_at(const GemmKernel & kernel, const uint8_t * matrix, int64_t columns, int64_t panel) {
    return matrix + kernel.block_bytes * static_cast<size_t>(columns / kColumns * kLanes * panel);
}

// sums[row] = the panel that begins at `weights`, times each of `rows` rows. `next`: the panel that this thread multiplies
// next, or null.
void gemm(const GemmKernel & kernel, const uint8_t * weights, int64_t columns, const Tile * tiles, int rows,
          Lanes * sums, const uint8_t * next);

}  // namespace edgemed::matmul
