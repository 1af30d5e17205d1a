// What a type provides to gemm: how a panel of its weights is unpacked, and how a panel and a tile are multiplied.
//
// A panel is 16 rows of 256 weights, unpacked to one byte each and interleaved: one instruction multiplies four weights
// of 16 rows (AVX-512) or 8 rows (AVX2) by the same four activations. The panel stays in the L1 cache while all rows of
// activations are multiplied by it, so they share the cost of unpacking. A tile is up to 12 rows of 256 activations.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgemed::matmul {

constexpr int kLanes = 16;  // rows of a panel
constexpr int kTileRows = 12;
constexpr int kColumns = 256;

// weight = d * scale * code - d_offset * offset; the type's unpacker says which of these it uses.
struct alignas(64) Panel {
    // [group of four columns][row][column in the group]
    uint8_t code[kColumns / 4][kLanes][4];
    int32_t scale[16][kLanes];     // for each 16 or 32 columns
    int16_t offset[8][kLanes][2];  // multiplied by sums of activations: a pair for each 32 or 64 columns
    float d[8][kLanes];            // for the whole block (first entry), or for each 32 columns
    float d_offset[kLanes];
};

struct alignas(64) Tile {
    int8_t code[kTileRows][kColumns];
    int16_t sum16[kTileRows][16];  // sum of each 16 activations
    int16_t sum32[kTileRows][8];   // sum of each 32 activations
    // Initial values of sums for types stored with a constant added, for each 32 columns (Q8_0), or [0] for the block
    // (Q3_K).
    int32_t start[kTileRows][8];
    float d[kTileRows][8];  // for each 32 columns (Q8_0), or [0] for the block (Q8_K)
};

struct alignas(64) Lanes {
    float value[kLanes];  // one for each row of the panel
};

// How a panel and a tile are multiplied. k16, k32: one integer scale for each 16 or 32 columns. ShiftedN: 2^N was added
// to codes, and offsets subtract it. kWhole: codes include their scale (Q2_K), so there is one sum for 256 columns.
// kWholeStarted: the same, plus 127, which Tile::start subtracts (Q3_K). kFloat32: a float scale on both sides for each
// 32 columns (Q8_0).
enum class Sum { k16Shifted2, k16Shifted5, k16Shifted7, k32, k32Shifted7, kWhole, kWholeStarted, kFloat32 };

// Unpacks each row's block, which starts at rows[r] + at.
using Unpack = void (*)(const uint8_t * const rows[kLanes], size_t at, Panel &);
// sums[row] += the tile's row `row` times the panel; `rows` is at most kTileRows.
using Multiply = void (*)(const Panel &, const Tile &, int rows, Lanes * sums);

struct GemmKernel {
    int type;            // ggml's number of the weights' type
    size_t block_bytes;  // of 256 weights
    Unpack unpack;
    Multiply multiply;
    bool in_floats;  // activations are Q8_0, otherwise Q8_K
};

}  // namespace edgemed::matmul
