// What a family of types has to provide to be multiplied: how a panel of its weights is unpacked, and by which sum.
//
// A panel is 16 rows of 256 weights, unpacked to one byte each and interleaved, so that one instruction multiplies four
// weights of each of the 16 rows (or of eight) with the same four activations. It stays in the first-level cache while all rows of
// activations pass by: the cost of unpacking is shared by all of them. A tile is up to 12 rows of 256 activations.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgemed::matmul {

constexpr int kLanes = 16;  // rows of a panel
constexpr int kTileRows = 12;
constexpr int kColumns = 256;

struct alignas(64) Panel {
    uint8_t code[kColumns / 4][kLanes][4];
    int32_t scale[16][kLanes];     // of each 16 or 32 columns
    int16_t offset[8][kLanes][2];  // what the codes' sums are multiplied with: a pair for each 32 or 64 columns
    float d[8][kLanes];            // of all columns (first row), or of each 32
    float d_offset[kLanes];        // value = d * scale * code - d_offset * offset
};

struct alignas(64) Tile {
    int8_t code[kTileRows][kColumns];
    int16_t sum16[kTileRows][16];  // of each 16 codes
    int16_t sum32[kTileRows][8];   // of each 32 codes
    int32_t start[kTileRows]
                 [8];  // what sums begin with where weights are stored with a constant added, for each 32; first: all
    float d[kTileRows][8];  // of each 32 columns; first: of all
};

struct alignas(64) Lanes {
    float value[kLanes];  // of the panel's rows
};

// How a panel and a tile make a sum: one scale for each 16 or 32 columns (and 4, 32 or 128 added to all codes), for all 256
// (and 127 added), or floats on both sides for each 32.
enum class Sum { k16Shifted2, k16Shifted5, k16Shifted7, k32, k32Shifted7, kWhole, kWholeStarted, kFloat32 };

// Unpacks the block that begins `at` bytes into each row.
using Unpack = void (*)(const uint8_t * const rows[kLanes], size_t at, Panel &);
// sums[row] += the tile's rows times the panel's, `rows` at most kTileRows.
using Multiply = void (*)(const Panel &, const Tile &, int rows, Lanes * sums);

struct GemmKernel {
    int type;            // of the weights
    size_t block_bytes;  // of 256 weights
    Unpack unpack;
    Multiply multiply;
    bool in_floats;  // activations are Q8_0, else Q8_K
};

}  // namespace edgemed::matmul
