#include "batch_scratch.h"

#include <algorithm>
#include <set>

#include "batch_limits.h"
#include "matmul/gemm.h"
#include "matmul/gemv.h"
#include "matmul/matmul.h"
#include "matmul/q8_blocks.h"
#include "store/expert.h"

namespace edgemed {
namespace {

using matmul::kColumns;
using matmul::Tile;
using matmul::Tiles;

// What own kernels need of activations of one width: formats of gemm (Q8_K and Q8_0), and layouts of gemv.
struct Activated {
    std::set<bool> formats;  // whether Q8_0
    std::set<matmul::Layout> layouts;

    void add(int type, int64_t columns, const matmul::GemmKernel & kernel) {
        formats.insert(kernel.in_floats);
        if (const matmul::GemvKernel * gemv = matmul::find_gemv(type, columns)) layouts.insert(gemv->layout);
    }
    // Of `rows` rows, each also as a tile of its own if every expert has one token.
    uint64_t bytes(int64_t columns, int rows) const {
        const auto blocks = static_cast<uint64_t>(columns / kColumns), count = static_cast<uint64_t>(rows);
        const auto tiles = static_cast<uint64_t>(std::max(Tiles::count(rows), kGroupTokens));
        const uint64_t quantised = count * sizeof(BlockQ8K) + tiles * sizeof(Tile);  // Q8_0 takes a little less
        return blocks * (formats.size() * quantised + layouts.size() * count * sizeof(matmul::Q8Block));
    }
};

}  // namespace

uint64_t batch_scratch(const BatchShape & shape, const int32_t * types, int64_t experts) {
    Activated input, hidden;
    bool own = false, ggml = false;  // which kernels multiply some expert
    for (int64_t e = 0; e < experts; e++) {
        const int32_t * type = types + e * kProjections;
        const matmul::GemmKernel * kernel[kProjections];
        for (int p = 0; p < kProjections; p++)
            kernel[p] = matmul::find_gemm(type[p], p == kDown ? shape.n_ff_exp : shape.n_embd,
                                          p == kDown ? shape.n_embd : shape.n_ff_exp);
        if (kernel[kGate] == nullptr || kernel[kUp] == nullptr || kernel[kDown] == nullptr) {
            ggml = true;
            continue;
        }
        own = true;
        input.add(type[kGate], shape.n_embd, *kernel[kGate]);
        input.add(type[kUp], shape.n_embd, *kernel[kUp]);
        hidden.add(type[kDown], shape.n_ff_exp, *kernel[kDown]);
    }
    const auto n_embd = static_cast<uint64_t>(shape.n_embd), n_ff_exp = static_cast<uint64_t>(shape.n_ff_exp);
    const auto n_batch = static_cast<uint64_t>(shape.n_batch);
    // A small batch: the output of every rank and of the shared expert, and their sum. Its other scratch is less than a
    // larger batch's.
    uint64_t sum = sizeof(float) * n_embd * kSmallBatch * (static_cast<uint64_t>(shape.used) + 2);
    if (own) {
        // The input of all tokens; the hidden values of a group, of which one expert may have all tokens: quantised, as
        // tiles, and as the floats of gate and up.
        const int rows = std::max(shape.n_batch, kGroupTokens);
        sum += input.bytes(shape.n_embd, rows) + hidden.bytes(shape.n_ff_exp, rows);
        sum += sizeof(float) * static_cast<uint64_t>(rows) * 2 * n_ff_exp;
        // The tiles of the widest dense matrix (matmul.cpp).
        sum += static_cast<uint64_t>(Tiles::count(Matmul::kMaxRows)) * sizeof(Tile) *
               static_cast<uint64_t>(std::max(shape.n_ff, shape.n_embd)) / kColumns;
    }
    // ggml: the input of all tokens; of one expert the input, gate, up and the output.
    if (ggml) sum += sizeof(float) * (n_batch * n_embd + kMaxGgmlRows * 3 * (n_embd + n_ff_exp));
    // The observer sees the input of all tokens, and the input and output of a group.
    if (shape.observed) sum += sizeof(float) * n_batch * 3 * n_embd;
    return sum;
}

}  // namespace edgemed
