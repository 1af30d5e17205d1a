// Many tokens: the queries of some tokens and of the heads that share keys go through keys and values together, a tile
// after another, each converted once for all of them. Scores of a tile become weights relative to the highest so far;
// when a higher one comes, what was added up before shrinks accordingly (online softmax, Milakov and Gimelshein 2018).

#include <omp.h>

#include <algorithm>
#include <utility>

#include "attention.h"
#include "attention_math.h"

#ifdef EDGEMED_HAS_KERNELS

namespace edgemed {

using namespace attention;

namespace {

constexpr int64_t kKeys = 64;        // of a tile
constexpr int64_t kQueries = 96;     // about as many go through the tiles together
constexpr int     kRowsAtOnce = 6;   // whose products with 64 columns fit into registers
constexpr int     kColumnBlocks = 4;

// c [Rows, 64] = alpha * c + a [Rows, n] b [n, 64]; no `alpha`: c before counts for nothing.
template <int Rows>
EDGEMED_ATTENTION void multiply_rows(const float * a, int64_t a_step, const float * b, int64_t b_step, int64_t n, float * c, int64_t c_step, const float * alpha) {
    __m512 sums[Rows][kColumnBlocks];
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < kColumnBlocks; i++)
            sums[r][i] = alpha != nullptr ? _mm512_mul_ps(_mm512_loadu_ps(c + r * c_step + i * kLanes), _mm512_set1_ps(alpha[r])) : _mm512_setzero_ps();
    for (int64_t k = 0; k < n; k++) {
        __m512 row[kColumnBlocks];
#pragma GCC unroll 4
        for (int i = 0; i < kColumnBlocks; i++) row[i] = _mm512_loadu_ps(b + k * b_step + i * kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < Rows; r++) {
            const __m512 factor = _mm512_set1_ps(a[r * a_step + k]);
#pragma GCC unroll 4
            for (int i = 0; i < kColumnBlocks; i++) sums[r][i] = _mm512_fmadd_ps(factor, row[i], sums[r][i]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < kColumnBlocks; i++) _mm512_storeu_ps(c + r * c_step + i * kLanes, sums[r][i]);
}

void multiply(int64_t rows, const float * a, int64_t a_step, const float * b, int64_t b_step, int64_t n, float * c, int64_t c_step, const float * alpha) {
    for (int64_t r = 0; r < rows; r += kRowsAtOnce) {
        const auto by = [&](auto kernel) { kernel(a + r * a_step, a_step, b, b_step, n, c + r * c_step, c_step, alpha != nullptr ? alpha + r : nullptr); };
        switch (rows - r) {
            case 1: by(multiply_rows<1>); break;
            case 2: by(multiply_rows<2>); break;
            case 3: by(multiply_rows<3>); break;
            case 4: by(multiply_rows<4>); break;
            case 5: by(multiply_rows<5>); break;
            default: by(multiply_rows<kRowsAtOnce>);
        }
    }
}

// What one thread needs for some tokens of the heads that share keys; a row is a token's query of a head.
struct Scratch {
    float *query, *sum, *score;            // [row][width] scaled, [row][width], [row][kKeys]
    float *highest, *total, *shrink;       // [row]
    float *keys, *values;                  // [width][kKeys], [kKeys][width]

    static int64_t size(int64_t rows, int64_t width) { return rows * (2 * width + kKeys + 3) + 2 * kKeys * width; }
    Scratch(float * from, int64_t rows, int64_t width) {
        for (auto [part, count] : {std::pair{&query, rows * width}, {&sum, rows * width}, {&score, rows * kKeys}, {&keys, kKeys * width},
                                   {&values, kKeys * width}, {&highest, rows}, {&total, rows}, {&shrink, rows}}) {
            *part = from;
            from += count;
        }
    }
};

// What the mask adds to the scores of some tokens [kKeys for each], and which keys some of them sees.
struct Mask {
    float    added[kQueries][kKeys];
    uint64_t seen = 0;   // a bit for each key
    bool     adds = false;
};

EDGEMED_ATTENTION void read_mask(const ggml::Tensor * mask, int64_t first, int64_t tokens, int64_t from, int64_t keys, Mask & out) {
    out.seen = 0;
    out.adds = mask != nullptr || keys < kKeys;
    for (int64_t t = 0; t < tokens && out.adds; t++)
        for (int64_t i = 0; i < kKeys; i += kLanes) {
            const __mmask16 there = static_cast<__mmask16>((1U << std::clamp<int64_t>(keys - i, 0, kLanes)) - 1);
            __m512          added = _mm512_setzero_ps();
            if (mask != nullptr) added = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, at(mask, first + t, 0) + static_cast<size_t>(from + i) * sizeof(uint16_t)));
            added = _mm512_mask_blend_ps(there, _mm512_set1_ps(kNothing), added);
            _mm512_storeu_ps(out.added[t] + i, added);
            out.seen |= static_cast<uint64_t>(_mm512_cmp_ps_mask(added, _mm512_set1_ps(kNothing), _CMP_GT_OQ)) << i;
        }
    if (!out.adds) out.seen = ~0ULL;
}

// 16 by 16 numbers become their transpose.
EDGEMED_ATTENTION_INLINE void transpose(__m512 * rows) {
    __m512 pairs[kLanes], fours[kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; i += 2) {
        pairs[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; i += 4)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            fours[i + 2 * h] = _mm512_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0x44);
            fours[i + 2 * h + 1] = _mm512_shuffle_ps(pairs[i + h], pairs[i + h + 2], 0xee);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {  // column c of each fourth
        const __m512 low01 = _mm512_shuffle_f32x4(fours[c], fours[c + 4], 0x88), high01 = _mm512_shuffle_f32x4(fours[c], fours[c + 4], 0xdd);
        const __m512 low23 = _mm512_shuffle_f32x4(fours[c + 8], fours[c + 12], 0x88), high23 = _mm512_shuffle_f32x4(fours[c + 8], fours[c + 12], 0xdd);
        rows[c] = _mm512_shuffle_f32x4(low01, low23, 0x88);
        rows[c + 4] = _mm512_shuffle_f32x4(high01, high23, 0x88);
        rows[c + 8] = _mm512_shuffle_f32x4(low01, low23, 0xdd);
        rows[c + 12] = _mm512_shuffle_f32x4(high01, high23, 0xdd);
    }
}

// A tile's keys as columns and its values as rows. What nobody sees may be anything, and becomes nought.
EDGEMED_ATTENTION void convert(const char * k, size_t k_step, const char * v, size_t v_step, uint64_t seen, int64_t width, const Scratch & to) {
    for (int64_t i = 0; i < kKeys; i += kLanes)
        for (int64_t b = 0; b < width / kLanes; b++) {
            __m512 keys[kLanes];
            for (int64_t j = 0; j < kLanes; j++) {
                const bool wanted = (seen >> (i + j) & 1) != 0;
                keys[j] = wanted ? sixteen(k + static_cast<size_t>(i + j) * k_step, b) : _mm512_setzero_ps();
                _mm512_storeu_ps(to.values + (i + j) * width + b * kLanes, wanted ? sixteen(v + static_cast<size_t>(i + j) * v_step, b) : _mm512_setzero_ps());
            }
            transpose(keys);
            for (int64_t c = 0; c < kLanes; c++) _mm512_storeu_ps(to.keys + (b * kLanes + c) * kKeys + i, keys[c]);
        }
}

// A row's scores of a tile become weights.
EDGEMED_ATTENTION void weigh(float * score, const float * added, float & highest, float & total, float & shrink) {
    __m512 scores[kColumnBlocks], top = _mm512_set1_ps(highest);
#pragma GCC unroll 4
    for (int i = 0; i < kColumnBlocks; i++) {
        scores[i] = _mm512_loadu_ps(score + i * kLanes);
        if (added != nullptr) {
            const __m512    more = _mm512_loadu_ps(added + i * kLanes);
            const __mmask16 masked = _mm512_cmp_ps_mask(more, _mm512_set1_ps(kNothing), _CMP_EQ_OQ);
            scores[i] = _mm512_mask_mov_ps(_mm512_add_ps(scores[i], more), masked, more);  // whatever the score was
        }
        top = _mm512_max_ps(top, scores[i]);
    }
    const float  now = _mm512_reduce_max_ps(top);
    const __m512 base = _mm512_set1_ps(now == kNothing ? 0.0f : now);
    __m512       sum = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (int i = 0; i < kColumnBlocks; i++) {
        const __mmask16 counts = _mm512_cmp_ps_mask(scores[i], _mm512_set1_ps(kNothing), _CMP_NEQ_UQ);
        const __m512    weight = _mm512_maskz_mov_ps(counts, exponential(_mm512_sub_ps(scores[i], base)));
        _mm512_storeu_ps(score + i * kLanes, weight);
        sum = _mm512_add_ps(sum, weight);
    }
    shrink = now == highest || now == kNothing ? 1.0f : _mm512_cvtss_f32(exponential(_mm512_set1_ps(highest - now)));
    total = total * shrink + _mm512_reduce_add_ps(sum);
    highest = now;
}

// `tokens` tokens from `first` on, of the heads that share the keys of `group`.
void some_tokens(const ggml::Tensor * node, int64_t group, int64_t first, int64_t tokens, const Scratch & of, Mask & mask) {
    const ggml::Tensor *q = node->src[0], *k = node->src[1], *v = node->src[2];
    const int64_t width = q->ne[0], shared_by = q->ne[2] / k->ne[2], rows = tokens * shared_by;
    const float   scale = parameter(node, 0);
    for (int64_t row = 0; row < rows; row++) {
        const auto * from = reinterpret_cast<const float *>(at(q, first + row / shared_by, group * shared_by + row % shared_by));
        for (int64_t i = 0; i < width; i++) of.query[row * width + i] = from[i] * scale;
    }
    std::fill_n(of.sum, rows * width, 0.0f);
    std::fill_n(of.highest, rows, kNothing);
    std::fill_n(of.total, rows, 0.0f);
    for (int64_t from = 0; from < k->ne[1]; from += kKeys) {
        read_mask(node->src[3], first, tokens, from, std::min(kKeys, k->ne[1] - from), mask);
        if (mask.seen == 0) continue;
        convert(at(k, from, group), k->nb[1], at(v, from, group), v->nb[1], mask.seen, width, of);
        multiply(rows, of.query, width, of.keys, kKeys, width, of.score, kKeys, nullptr);
        for (int64_t row = 0; row < rows; row++)
            weigh(of.score + row * kKeys, mask.adds ? mask.added[row / shared_by] : nullptr, of.highest[row], of.total[row], of.shrink[row]);
        for (int64_t c = 0; c < width; c += kKeys) multiply(rows, of.score, kKeys, of.values + c, width, kKeys, of.sum + c, width, of.shrink);
    }
    for (int64_t row = 0; row < rows; row++) {
        auto * out = reinterpret_cast<float *>(static_cast<char *>(node->data) + static_cast<size_t>(group * shared_by + row % shared_by) * node->nb[1] +
                                               static_cast<size_t>(first + row / shared_by) * node->nb[2]);
        const float whole = of.total[row] == 0 ? 0.0f : 1.0f / of.total[row];
        for (int64_t i = 0; i < width; i++) out[i] = of.sum[row * width + i] * whole;
    }
}

}  // namespace

ggml::Status BatchAttention::compute(const ggml::Tensor * node, int threads, const std::atomic<bool> & stop) {
    const int64_t width = node->src[0]->ne[0], tokens = node->src[0]->ne[1], groups = node->src[1]->ne[2], shared_by = node->src[0]->ne[2] / groups;
    const int64_t at_once = std::max<int64_t>(kQueries / shared_by, 1), blocks = (tokens + at_once - 1) / at_once;
    scratch_.resize(std::max(scratch_.size(), static_cast<size_t>(threads)));
    for (std::vector<float> & scratch : scratch_) {
        const size_t wanted = static_cast<size_t>(Scratch::size(at_once * shared_by, width));
        if (scratch.size() < wanted) scratch.resize(wanted);
    }
    std::atomic<int64_t> next{0};
#pragma omp parallel num_threads(threads)
    {
        const Scratch of(scratch_[static_cast<size_t>(omp_get_thread_num())].data(), at_once * shared_by, width);
        Mask          mask;
        for (int64_t unit; (unit = next.fetch_add(1, std::memory_order_relaxed)) < blocks * groups && !stop.load(std::memory_order_relaxed);) {
            const int64_t first = (blocks - 1 - unit / groups) * at_once;  // the last tokens see most: they come first
            some_tokens(node, unit % groups, first, std::min(at_once, tokens - first), of, mask);
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
