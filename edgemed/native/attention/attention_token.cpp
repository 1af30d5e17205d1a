// Attention of one token. ggml reads all keys and values once for each query head; here the heads that share them are
// computed together, so that each key is converted from half precision once for up to four heads.

#include <algorithm>
#include <atomic>
#include <cmath>

#include "attention.h"
#include "attention_kernels.h"

#ifdef EDGEMED_HAS_KERNELS
#include "intrinsics.h"

namespace edgemed {

using namespace attention;

namespace {

// The tokens of a piece that the mask does not hide, and what it adds to their scores.
__attribute__((target("f16c"))) Visible visible(const ggml::Tensor * mask, int64_t from, int64_t to) {
    Visible result;
    for (int64_t t = from; t < to; t++) {
        float added = 0;
        if (mask != nullptr) {
            uint16_t half;
            std::memcpy(&half, static_cast<const char *>(mask->data) + static_cast<size_t>(t) * sizeof half,
                        sizeof half);
            added = _cvtsh_ss(half);
        }
        if (added == kMinusInfinity) continue;
        result.token[result.count] = static_cast<int>(t);
        result.added[result.count++] = added;
    }
    return result;
}

}  // namespace

ggml::Status TokenAttention::compute(const ggml::Tensor * node, int threads) {
    const ggml::Tensor *q = node->src[0], *k = node->src[1], *v = node->src[2], *mask = node->src[3];
    const int64_t width = q->ne[0], heads = q->ne[2], shared_by = heads / k->ne[2], tokens = k->ne[1],
                  pieces = (tokens + kPiece - 1) / kPiece;
    const auto resize = [](std::vector<float> & to, int64_t count) {
        if (to.size() < static_cast<size_t>(count)) to.resize(static_cast<size_t>(count));
    };
    // Every piece of kPiece tokens gives each head a partial sum and its size. Pieces do not depend on threads.
    resize(query_, heads * width);
    resize(part_, pieces * heads * width);
    resize(size_, pieces * heads * 2);
    const float scale = parameter(node, 0);
    for (int64_t h = 0; h < heads; h++) {
        const auto * from = reinterpret_cast<const float *>(at(q, 0, h));
        for (int64_t i = 0; i < width; i++) query_[static_cast<size_t>(h * width + i)] = from[i] * scale;
    }
    const Kernels & by = kernels();
    // Threads take pairs of piece and group of heads; then each merges the pieces of some heads, in order.
    std::atomic<int64_t> next{0};
#pragma omp parallel num_threads(threads)
    {
        for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < pieces * k->ne[2];) {
            const int64_t piece = unit / k->ne[2], group = unit % k->ne[2];
            const Visible seen = visible(mask, piece * kPiece, std::min(tokens, (piece + 1) * kPiece));
            int asking = 0;
            for (int64_t h = 0; h < shared_by; h += asking) {
                asking = shared_by - h >= 4 ? 4 : shared_by - h >= 2 ? 2 : 1;
                const int64_t head = group * shared_by + h, place = piece * heads + head;
                by.find_attend(width, asking)(seen, at(k, 0, group), k->nb[1], at(v, 0, group), v->nb[1],
                                              query_.data() + head * width, part_.data() + place * width,
                                              size_.data() + place * 2);
            }
        }
#pragma omp barrier
#pragma omp for
        for (int64_t head = 0; head < heads; head++) {
            // Weights are relative to the highest score of their piece: rescale them to the highest of all.
            float highest = kMinusInfinity, total = 0;
            for (int64_t piece = 0; piece < pieces; piece++)
                highest = std::max(highest, size_[static_cast<size_t>(2 * (piece * heads + head))]);
            auto * out =
                reinterpret_cast<float *>(static_cast<char *>(node->data) + static_cast<size_t>(head) * node->nb[1]);
            std::fill(out, out + width, 0.0f);
            for (int64_t piece = 0; piece < pieces; piece++) {
                const float * size = size_.data() + 2 * (piece * heads + head);
                if (size[1] == 0) continue;  // all of this piece is masked
                const float weight = std::exp(size[0] - highest);
                const float * part = part_.data() + (piece * heads + head) * width;
                total += weight * size[1];
                for (int64_t i = 0; i < width; i++) out[i] += weight * part[i];
            }
            for (int64_t i = 0; i < width; i++) out[i] = total == 0 ? 0.0f : out[i] / total;
        }
    }
    return ggml::kSuccess;
}

}  // namespace edgemed
#else
namespace edgemed {

ggml::Status TokenAttention::compute(const ggml::Tensor *, int) { return ggml::kFailed; }

}  // namespace edgemed
#endif
