// Products of a matrix in a GGUF type and many rows of activations, on AVX-512 VNNI: each block of weights is unpacked
// once and multiplied with all rows (products_panel.h). Sums of codes are exact integers as in ggml's own products; only
// floats are added up in another order. A row's result depends on nothing but the row: not on how many others there
// are, nor on threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "products_panel.h"

namespace edgemed::products {

// Whether the processor has the instructions, and the environment does not say EDGEMED_PRODUCTS=ggml.
bool usable();

// What multiplies matrices of this type and size; null where only ggml can: another type, rows that panels do not fill,
// or no products of ours at all.
const Kernel * find(int type, int64_t columns, int64_t rows);

// Quantised rows of activations, cut into tiles: groups of rows one after another, each with tiles of its own.
class Tiles {
  public:
    static int count(int rows) { return (rows + kTileRows - 1) / kTileRows; }

    void start(int64_t columns, int tiles);
    // Row `row` of the `rows` whose tiles begin at tile `first`, quantised as ggml does for `kernel`'s type (Q8_K or
    // Q8_0). Different rows may be put by different threads.
    void put(const Kernel & kernel, int first, int rows, int row, const uint8_t * quantised);
    const Tile * at(int first) const { return tiles_.data() + static_cast<size_t>(first) * blocks_; }

  private:
    size_t            blocks_ = 0;
    std::vector<Tile> tiles_;  // [tile][block of 256 columns]
};

// What is a good number of panels to go through one after another: while one is multiplied, the next comes from memory.
constexpr int64_t kPanelsAtOnce = 4;

// sums[row] = 16 rows of the matrix, which begin at `weights` and are `stride` bytes apart, times each of `rows` rows.
void multiply(const Kernel & kernel, const uint8_t * weights, size_t stride, int64_t columns, const Tile * tiles, int rows, Lanes * sums);

}  // namespace edgemed::products
