// Attention of several tokens. The queries of some tokens, for all heads that share keys, go through keys and values
// together, one tile after another, so that each tile is converted once for all of them. Weights are relative to the
// highest score so far; when a tile has a higher one, the sums so far shrink accordingly (online softmax, Milakov and
// Gimelshein 2018).

#include <omp.h>

#include <algorithm>
#include <utility>

#include "attention.h"
#include "attention_kernels.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed {

using namespace attention;

namespace {

// A thread's scratch for some tokens and the heads that share keys. A row is one token's query of one head.
struct Scratch {
    float *query, *sum, *score;       // [row][width] scaled, [row][width], [row][kKeys]
    float *highest, *total, *shrink;  // [row]
    float *keys, *values;             // [width][kKeys], [kKeys][width]

    static int64_t size(int64_t rows, int64_t width) { return rows * (2 * width + kKeys + 3) + 2 * kKeys * width; }
    Scratch(float * from, int64_t rows, int64_t width) {
        for (auto [part, count] : {std::pair{&query, rows * width},
                                   {&sum, rows * width},
                                   {&score, rows * kKeys},
                                   {&keys, kKeys * width},
                                   {&values, kKeys * width},
                                   {&highest, rows},
                                   {&total, rows},
                                   {&shrink, rows}}) {
            *part = from;
            from += count;
        }
    }
};

// `tokens` tokens from `first` on, for the heads that share the keys of `group`.
void some_tokens(const Kernels & by, const ggml::Tensor * node, int64_t group, int64_t first, int64_t tokens,
                 const Scratch & of, Mask & mask) {
    const ggml::Tensor *q = node->src[0], *k = node->src[1], *v = node->src[2];
    const int64_t width = q->ne[0], shared_by = q->ne[2] / k->ne[2], rows = tokens * shared_by;
    const float scale = parameter(node, 0);
    for (int64_t row = 0; row < rows; row++) {
        const auto * from =
            reinterpret_cast<const float *>(at(q, first + row / shared_by, group * shared_by + row % shared_by));
        for (int64_t i = 0; i < width; i++) of.query[row * width + i] = from[i] * scale;
    }
    std::fill_n(of.sum, rows * width, 0.0f);
    std::fill_n(of.highest, rows, kMinusInfinity);
    std::fill_n(of.total, rows, 0.0f);
    // One tile of keys and values at a time: scores, weights, weighted values.
    for (int64_t from = 0; from < k->ne[1]; from += kKeys) {
        by.read_mask(node->src[3], first, tokens, from, std::min(kKeys, k->ne[1] - from), mask);
        if (mask.seen == 0) continue;
        by.convert(at(k, from, group), k->nb[1], at(v, from, group), v->nb[1], mask.seen, width, of.keys, of.values);
        by.multiply_tile(rows, of.query, width, of.keys, kKeys, width, of.score, kKeys, nullptr);
        for (int64_t row = 0; row < rows; row++)
            by.weigh(of.score + row * kKeys, mask.adds ? mask.added[row / shared_by] : nullptr, of.highest[row],
                     of.total[row], of.shrink[row]);
        for (int64_t c = 0; c < width; c += kKeys)
            by.multiply_tile(rows, of.score, kKeys, of.values + c, width, kKeys, of.sum + c, width, of.shrink);
    }
    for (int64_t row = 0; row < rows; row++) {
        auto * out = reinterpret_cast<float *>(static_cast<char *>(node->data) +
                                               static_cast<size_t>(group * shared_by + row % shared_by) * node->nb[1] +
                                               static_cast<size_t>(first + row / shared_by) * node->nb[2]);
        const float whole = of.total[row] == 0 ? 0.0f : 1.0f / of.total[row];
        for (int64_t i = 0; i < width; i++) out[i] = of.sum[row * width + i] * whole;
    }
}

}  // namespace

ggml::Status BatchAttention::compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop) {
    const int64_t width = node->src[0]->ne[0], tokens = node->src[0]->ne[1], groups = node->src[1]->ne[2],
                  shared_by = node->src[0]->ne[2] / groups;
    const int64_t at_once = std::max<int64_t>(kQueries / shared_by, 1), blocks = (tokens + at_once - 1) / at_once;
    scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(threads)));
    for (std::vector<float> & scratch : scratch_) {
        const size_t wanted = static_cast<size_t>(Scratch::size(at_once * shared_by, width));
        if (scratch.size() < wanted) scratch.resize(wanted);
    }
    const Kernels & by = kernels();
    std::atomic<int64_t> next{0};
#pragma omp parallel num_threads(threads)
    {
        const Scratch of(scratch_[static_cast<size_t>(omp_get_thread_num())].data(), at_once * shared_by, width);
        Mask mask;
        for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < blocks * groups &&
                           !stop.load(std::memory_order_relaxed);) {
            // the last tokens see the most keys: start with them
            const int64_t first = (blocks - 1 - unit / groups) * at_once;
            some_tokens(by, node, unit % groups, first, std::min(at_once, tokens - first), of, mask);
        }
    }
    return stop ? ggml::kAborted : ggml::kSuccess;
}

}  // namespace edgemed
#else
namespace edgemed {

ggml::Status BatchAttention::compute(const ggml::Tensor *, int, const std::atomic<bool> &) { return ggml::kFailed; }

}  // namespace edgemed
#endif
