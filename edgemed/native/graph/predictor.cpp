#include "predictor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "batch_limits.h"
#include "vector_math.h"

namespace edgemed {
namespace {

constexpr float kTiny = 1e-6f;  // dividing by a norm weight this small recovers nothing

uint16_t to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return static_cast<uint16_t>((bits + 0x8000U) >> 16);
}

}  // namespace

void Predictor::load(const RouterShape & shape, const float * router, const float * bias, const float * norm) {
    shape_ = shape;
    const size_t moe_layers = static_cast<size_t>(shape.moe_layers), experts = static_cast<size_t>(shape.experts),
                 width = static_cast<size_t>(shape.n_embd);
    router_.resize(moe_layers * experts * width);
    std::transform(router, router + router_.size(), router_.begin(), to_bf16);
    bias_.assign(bias, bias + moe_layers * experts);
    norm_.assign(norm, norm + moe_layers * width);
    x_.resize(kSmallBatch * width);
    score_.resize(kSmallBatch * experts);
    group_.resize(static_cast<size_t>(shape.groups));
    order_.resize(experts);
}

// x = residual / rms * norm weight, so dividing by this layer's weights and multiplying by the next one's gives the
// next router's input, up to what the layer adds to the residual.
void Predictor::set_from_input(int token, int moe_layer, const float * x) {
    const size_t next = static_cast<size_t>(moe_layer), width = static_cast<size_t>(shape_.n_embd);
    const float * here = norm_.data() + width * (next - 1);
    const float * there = norm_.data() + width * next;
    float * const to = x_.data() + width * static_cast<size_t>(token);
    for (size_t i = 0; i < width; i++) to[i] = std::fabs(here[i]) > kTiny ? x[i] / here[i] * there[i] : 0.0f;
}

// The next router's input exactly, but for what the next layer's attention adds to the residual.
void Predictor::set_from_residual(int token, int moe_layer, const float * y) {
    const size_t next = static_cast<size_t>(moe_layer), width = static_cast<size_t>(shape_.n_embd);
    const float * there = norm_.data() + width * next;
    const auto scale =
        static_cast<float>(1 / std::sqrt(sum_of_squares(y, shape_.n_embd) / static_cast<double>(width) + kTiny));
    float * const to = x_.data() + width * static_cast<size_t>(token);
    for (size_t i = 0; i < width; i++) to[i] = y[i] * scale * there[i];
}

void Predictor::predict(int moe_layer, int tokens, int threads, int32_t * experts) {
    const size_t width = static_cast<size_t>(shape_.n_embd), count = static_cast<size_t>(shape_.experts);
    const size_t first = static_cast<size_t>(moe_layer) * count, n = static_cast<size_t>(tokens);
#pragma omp parallel for num_threads(threads)
    for (size_t e = 0; e < count; e++) {
        const uint16_t * row = router_.data() + (first + e) * width;
        for (size_t t = 0; t < n; t++) {
            const float logit = dot_bf16(row, x_.data() + t * width, shape_.n_embd);
            score_[t * count + e] = 1.0f / (1.0f + std::exp(-logit)) + bias_[first + e];
        }
    }
    for (size_t t = 0; t < n; t++) choose(score_.data() + t * count, experts + t * static_cast<size_t>(shape_.used));
}

// The best experts by their scores [experts], which it changes.
void Predictor::choose(float * score, int32_t * experts) {
    const size_t count = static_cast<size_t>(shape_.experts), groups = static_cast<size_t>(shape_.groups);
    const size_t per_group = count / groups;
    if (shape_.groups_used < shape_.groups) {
        // A group's score is the sum of its two best experts'.
        for (size_t g = 0; g < groups; g++) {
            float best = -std::numeric_limits<float>::infinity(), second = best;
            for (size_t e = g * per_group; e < (g + 1) * per_group; e++) {
                second = std::max(second, std::min(best, score[e]));
                best = std::max(best, score[e]);
            }
            group_[g] = best + second;
        }
        // Mask out the experts of all but the best groups.
        std::iota(order_.begin(), order_.begin() + shape_.groups, 0);
        std::partial_sort(
            order_.begin(), order_.begin() + shape_.groups_used, order_.begin() + shape_.groups,
            [this](int32_t a, int32_t b) { return group_[static_cast<size_t>(a)] > group_[static_cast<size_t>(b)]; });
        for (auto g = order_.begin() + shape_.groups_used; g != order_.begin() + shape_.groups; ++g)
            std::fill_n(score + static_cast<size_t>(*g) * per_group, per_group,
                        -std::numeric_limits<float>::infinity());
    }
    // The best experts of what is left.
    std::iota(order_.begin(), order_.end(), 0);
    std::partial_sort(order_.begin(), order_.begin() + shape_.used, order_.end(),
                      [score](int32_t a, int32_t b) { return score[a] > score[b]; });
    std::copy_n(order_.begin(), shape_.used, experts);
}

}  // namespace edgemed
