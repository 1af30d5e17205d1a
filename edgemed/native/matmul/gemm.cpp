#include "gemm.h"

#include <cstring>

#include "instructions.h"
#include "gemm_kernels.h"
#include "q8_blocks.h"

namespace edgemed::matmul {
namespace {

constexpr size_t kCacheLine = 64;
constexpr int kPlus = 127, kPlusQ80 = 128;  // constants that panels add to codes of Q3_K and Q8_0 (gemm_k.inc)

float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, magnitude = half & 0x7fff;
    uint32_t bits = magnitude << 13;
    float value;
    if (magnitude >= 0x7c00) {
        bits |= 0x7f800000;
    } else {
        std::memcpy(&value, &bits, sizeof value);
        value *= 0x1p112f;  // corrects the exponent's bias; subnormal halves become normal floats
        std::memcpy(&bits, &value, sizeof bits);
    }
    bits |= sign;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

void fill(Tile & tile, int t, const BlockQ8K & block) {
    std::memcpy(tile.code[t], block.code, sizeof block.code);
    std::memcpy(tile.sum16[t], block.sum16, sizeof block.sum16);
    int32_t all = 0;
    for (int i = 0; i < 8; i++) {
        tile.sum32[t][i] = static_cast<int16_t>(block.sum16[2 * i] + block.sum16[2 * i + 1]);
        all += tile.sum32[t][i];
    }
    tile.start[t][0] = -kPlus * all;
    tile.d[t][0] = block.d;
}

void fill(Tile & tile, int t, const BlockQ80 * blocks) {
    for (int i = 0; i < 8; i++) {
        int32_t sum = 0;
        for (int k = 0; k < 32; k++) {
            // ggml quantises NaN to -128. Its negative does not fit a byte, and gemm_sum_maddubs.inc negates
            // activations.
            const int8_t code = std::max<int8_t>(blocks[i].code[k], -127);
            tile.code[t][32 * i + k] = code;
            sum += code;
        }
        tile.start[t][i] = -kPlusQ80 * sum;
        tile.d[t][i] = half_to_float(blocks[i].d);
    }
}

}  // namespace

const GemmKernel * find_gemm(int type, int64_t columns, int64_t rows) {
#ifdef EDGEMED_HAS_KERNELS
    const Instructions by = instructions();
    if (columns % kColumns != 0 || rows % kLanes != 0 || by == Instructions::kNone) return nullptr;
    for (const GemmKernel & kernel : by == Instructions::kAvx512    ? kGemmAvx512
                                     : by == Instructions::kAvxVnni ? kGemmAvxVnni
                                                                    : kGemmAvx2)
        if (kernel.type == type) return &kernel;
#else
    (void)type, (void)columns, (void)rows;
#endif
    return nullptr;
}

void Tiles::start(int64_t columns, int tiles) {
    blocks_ = static_cast<size_t>(columns / kColumns);
    const size_t wanted = blocks_ * static_cast<size_t>(tiles);
    if (tiles_.size() < wanted) tiles_.resize(wanted);
}

void Tiles::put(const GemmKernel & kernel, int first, int rows, int row, const uint8_t * quantised) {
    // Tiles of nearly equal height: tile i starts at row i * rows / tiles.
    const int tiles = count(rows), tile = ((row + 1) * tiles - 1) / rows, t = row - tile * rows / tiles;
    Tile * const to = tiles_.data() + static_cast<size_t>(first + tile) * blocks_;
    for (size_t b = 0; b < blocks_; b++) {
        if (kernel.in_floats) fill(to[b], t, reinterpret_cast<const BlockQ80 *>(quantised) + 8 * b);
        else fill(to[b], t, reinterpret_cast<const BlockQ8K *>(quantised)[b]);
    }
}

void gemm(const GemmKernel & kernel, const uint8_t * weights, int64_t columns, const Tile * tiles, int rows,
          Lanes * sums, const uint8_t * next) {
#ifdef EDGEMED_HAS_KERNELS
    const size_t blocks = static_cast<size_t>(columns / kColumns);
    const uint8_t * lanes[kLanes];
    for (size_t r = 0; r < kLanes; r++) lanes[r] = weights + r * blocks * kernel.block_bytes;
    std::memset(sums, 0, static_cast<size_t>(rows) * sizeof *sums);
    const int n = Tiles::count(rows);
    Panel panel;
    for (size_t b = 0; b < blocks; b++) {
        // Sixteen rows are more streams than the hardware prefetcher follows: prefetch the next panel in software.
        const size_t bytes = kLanes * kernel.block_bytes;
        for (size_t i = b * bytes; next != nullptr && i < (b + 1) * bytes; i += kCacheLine)
            __builtin_prefetch(next + i, 0, 2);
        kernel.unpack(lanes, b * kernel.block_bytes, panel);
        for (int i = 0; i < n; i++) {
            const int from = i * rows / n, to = (i + 1) * rows / n;
            kernel.multiply(panel, tiles[static_cast<size_t>(i) * blocks + b], to - from, sums + from);
        }
    }
#else
    (void)kernel, (void)weights, (void)columns, (void)tiles, (void)rows, (void)sums, (void)next;
#endif
}

}  // namespace edgemed::matmul
