// One token: ggml goes through keys and values once for each head that asks; here the heads that share them ask together,
// so that each is converted once for four of them.

#include <algorithm>
#include <atomic>
#include <cmath>

#include "attention.h"
#include "attention_math.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed {

using namespace attention;

namespace {

constexpr int kPiece = 128;  // tokens whose values are added up together

// The visible ones of a piece's tokens, and what the mask adds to their scores.
struct Visible {
    int   count = 0;
    int   token[kPiece];
    float added[kPiece];
};

EDGEMED_ATTENTION Visible visible(const ggml::Tensor * mask, int64_t from, int64_t to) {
    Visible result;
    for (int64_t t = from; t < to; t++) {
        float added = 0;
        if (mask != nullptr) {
            uint16_t half;
            std::memcpy(&half, static_cast<const char *>(mask->data) + static_cast<size_t>(t) * sizeof half, sizeof half);
            added = _cvtsh_ss(half);
        }
        if (added == kNothing) continue;
        result.token[result.count] = static_cast<int>(t);
        result.added[result.count++] = added;
    }
    return result;
}

// `Heads` heads that share keys and values, `Blocks` times 16 columns wide, over a piece: `part` and `size` as TokenAttention has them.
template <int Heads, int Blocks>
EDGEMED_ATTENTION void attend(const Visible & seen, const char * keys, size_t key_step, const char * values, size_t value_step, const float * query, float * part,
                              float * size) {
    constexpr int     kAtOnce = kLanes / Heads;  // tokens in a register of scores
    alignas(64) float score[kPiece * Heads];
    for (int i = 0; i < seen.count; i++) {
        const char * key = keys + static_cast<size_t>(seen.token[i]) * key_step;
        __m512       sums[Heads];
        for (__m512 & sum : sums) sum = _mm512_setzero_ps();
#pragma GCC unroll 16
        for (int b = 0; b < Blocks; b++) {
            const __m512 k = sixteen(key, b);
#pragma GCC unroll 4
            for (int h = 0; h < Heads; h++) sums[h] = _mm512_fmadd_ps(k, _mm512_loadu_ps(query + (h * Blocks + b) * kLanes), sums[h]);
        }
#pragma GCC unroll 4
        for (int h = 0; h < Heads; h++) score[i * Heads + h] = _mm512_reduce_add_ps(sums[h]) + seen.added[i];
    }
    const int registers = (seen.count + kAtOnce - 1) / kAtOnce;
    std::fill(score + seen.count * Heads, score + registers * kLanes, kNothing);
    __m512 highest = _mm512_set1_ps(kNothing), total = _mm512_setzero_ps();
    for (int i = 0; i < registers; i++) highest = _mm512_max_ps(highest, _mm512_load_ps(score + i * kLanes));
    alignas(64) float lane[kLanes];
    _mm512_store_ps(lane, highest);
    for (int h = 0; h < Heads; h++)
        for (int i = h; i < kLanes; i += Heads) size[2 * h] = i == h ? lane[i] : std::max(size[2 * h], lane[i]);
    for (int i = 0; i < kLanes; i++) lane[i] = size[2 * (i % Heads)];
    highest = _mm512_load_ps(lane);
    for (int i = 0; i < registers; i++) {
        const __m512 weight = exponential(_mm512_sub_ps(_mm512_load_ps(score + i * kLanes), highest));
        _mm512_store_ps(score + i * kLanes, weight);
        total = _mm512_add_ps(total, weight);
    }
    _mm512_store_ps(lane, total);
    for (int h = 0; h < Heads; h++) {
        size[2 * h + 1] = 0;
        for (int i = h; i < kLanes; i += Heads) size[2 * h + 1] += lane[i];
    }
    constexpr int kColumns = std::min(Blocks, 4);  // registers' worth at once
    for (int from = 0; from < Blocks; from += kColumns) {
        __m512 sums[Heads][kColumns];
        for (auto & row : sums)
            for (__m512 & sum : row) sum = _mm512_setzero_ps();
        for (int i = 0; i < seen.count; i++) {
            const char * value = values + static_cast<size_t>(seen.token[i]) * value_step;
#pragma GCC unroll 4
            for (int b = 0; b < kColumns; b++) {
                const __m512 v = sixteen(value, from + b);
#pragma GCC unroll 4
                for (int h = 0; h < Heads; h++) sums[h][b] = _mm512_fmadd_ps(_mm512_set1_ps(score[i * Heads + h]), v, sums[h][b]);
            }
        }
        for (int h = 0; h < Heads; h++)
            for (int b = 0; b < kColumns; b++) _mm512_storeu_ps(part + (h * Blocks + from + b) * kLanes, sums[h][b]);
    }
}

using Attend = void (*)(const Visible &, const char *, size_t, const char *, size_t, const float *, float *, float *);

template <int Blocks> Attend for_heads(int heads) { return heads == 4 ? attend<4, Blocks> : heads == 2 ? attend<2, Blocks> : attend<1, Blocks>; }
Attend find_attend(int64_t width, int heads) { return width == 128 ? for_heads<8>(heads) : for_heads<4>(heads); }

}  // namespace

ggml::Status TokenAttention::compute(const ggml::Tensor * node, int threads) {
    const ggml::Tensor *q = node->src[0], *k = node->src[1], *v = node->src[2], *mask = node->src[3];
    const int64_t width = q->ne[0], heads = q->ne[2], shared_by = heads / k->ne[2], tokens = k->ne[1], pieces = (tokens + kPiece - 1) / kPiece;
    const auto    resize = [](std::vector<float> & to, int64_t count) {
        if (to.size() < static_cast<size_t>(count)) to.resize(static_cast<size_t>(count));
    };
    resize(query_, heads * width);
    resize(part_, pieces * heads * width);
    resize(size_, pieces * heads * 2);
    const float scale = parameter(node, 0);
    for (int64_t h = 0; h < heads; h++) {
        const auto * from = reinterpret_cast<const float *>(at(q, 0, h));
        for (int64_t i = 0; i < width; i++) query_[static_cast<size_t>(h * width + i)] = from[i] * scale;
    }
    std::atomic<int64_t> next{0};
#pragma omp parallel num_threads(threads)
    {
        for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < pieces * k->ne[2];) {
            const int64_t piece = unit / k->ne[2], group = unit % k->ne[2];
            const Visible seen = visible(mask, piece * kPiece, std::min(tokens, (piece + 1) * kPiece));
            int           asking = 0;
            for (int64_t h = 0; h < shared_by; h += asking) {
                asking = shared_by - h >= 4 ? 4 : shared_by - h >= 2 ? 2 : 1;
                const int64_t head = group * shared_by + h, place = piece * heads + head;
                find_attend(width, asking)(seen, at(k, 0, group), k->nb[1], at(v, 0, group), v->nb[1], query_.data() + head * width, part_.data() + place * width,
                                           size_.data() + place * 2);
            }
        }
#pragma omp barrier
#pragma omp for
        for (int64_t head = 0; head < heads; head++) {
            float highest = kNothing, total = 0;
            for (int64_t piece = 0; piece < pieces; piece++) highest = std::max(highest, size_[static_cast<size_t>(2 * (piece * heads + head))]);
            auto * out = reinterpret_cast<float *>(static_cast<char *>(node->data) + static_cast<size_t>(head) * node->nb[1]);
            std::fill(out, out + width, 0.0f);
            for (int64_t piece = 0; piece < pieces; piece++) {
                const float * size = size_.data() + 2 * (piece * heads + head);
                if (size[0] == kNothing) continue;
                const float   weight = std::exp(size[0] - highest);
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
