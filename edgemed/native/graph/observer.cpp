#include "observer.h"

#include <algorithm>

#include "vector_math.h"

namespace edgemed {

void Observer::start(int moe_layers, int experts_per_layer, int used, int tokens, int64_t n_embd, int64_t n_ff) {
    std::lock_guard lock(mutex_);
    experts_per_layer_ = experts_per_layer;
    used_ = used;
    tokens_ = tokens;
    n_embd_ = n_embd;
    n_ff_ = n_ff;
    const size_t experts = static_cast<size_t>(moe_layers) * static_cast<size_t>(experts_per_layer);
    input_.assign(experts * static_cast<size_t>(n_embd), 0.0f);
    hidden_.assign(experts * static_cast<size_t>(n_ff), 0.0f);
    sums_.assign(experts, {});
    const size_t batch = static_cast<size_t>(moe_layers) * static_cast<size_t>(tokens);
    batch_input_.assign(batch * static_cast<size_t>(n_embd), 0.0f);
    batch_weights_.assign(batch * static_cast<size_t>(used), 0.0f);
    batch_experts_.assign(batch_weights_.size(), 0);
    batch_counts_.assign(static_cast<size_t>(moe_layers), 0);
    on_.store(true, std::memory_order_release);
}

void Observer::stop() {
    on_.store(false, std::memory_order_release);
    std::lock_guard lock(mutex_);
    for (std::vector<float> * held : {&input_, &hidden_, &batch_input_, &batch_weights_})
        std::vector<float>().swap(*held);
    std::vector<ExpertSums>().swap(sums_);
}

void Observer::add(int moe_layer, int index, int count, const float * input, const float * hidden, const float * output,
                   const float * weights) {
    std::lock_guard lock(mutex_);
    if (sums_.empty()) return;
    const size_t key = static_cast<size_t>(moe_layer * experts_per_layer_ + index);
    float * const input_sum = input_.data() + key * static_cast<size_t>(n_embd_);
    float * const hidden_sum = hidden_.data() + key * static_cast<size_t>(n_ff_);
    ExpertSums & sums = sums_[key];
    for (int r = 0; r < count; r++) {
        const double weight = weights[r];
        add_squares(input_sum, input + r * n_embd_, 1.0f, n_embd_);
        add_squares(hidden_sum, hidden + r * n_ff_, static_cast<float>(weight * weight), n_ff_);
        sums.tokens += 1;
        sums.weight += weight;
        sums.weighted_output += weight * weight * sum_of_squares(output + r * n_embd_, n_embd_);
    }
}

void Observer::add_routing(int moe_layer, int count, const float * input, const std::vector<int32_t> & experts,
                           const std::vector<float> & weights) {
    std::lock_guard lock(mutex_);
    if (sums_.empty()) return;
    const int64_t kept = std::min<int64_t>(count, tokens_), at = moe_layer * tokens_;
    std::copy_n(input, kept * n_embd_, batch_input_.begin() + at * n_embd_);
    std::copy_n(experts.begin(), kept * used_, batch_experts_.begin() + at * used_);
    std::copy_n(weights.begin(), kept * used_, batch_weights_.begin() + at * used_);
    batch_counts_[static_cast<size_t>(moe_layer)] = static_cast<int32_t>(kept);
}

void Observer::take_routing(float * input, int32_t * experts, float * weights, int32_t * counts) {
    std::lock_guard lock(mutex_);
    std::copy(batch_input_.begin(), batch_input_.end(), input);
    std::copy(batch_experts_.begin(), batch_experts_.end(), experts);
    std::copy(batch_weights_.begin(), batch_weights_.end(), weights);
    std::copy(batch_counts_.begin(), batch_counts_.end(), counts);
    std::fill(batch_counts_.begin(), batch_counts_.end(), 0);
}

void Observer::take(float * input, float * hidden, ExpertSums * sums) {
    std::lock_guard lock(mutex_);
    const auto move_out = [](auto & held, auto * out) {
        std::copy(held.begin(), held.end(), out);
        std::fill(held.begin(), held.end(), typename std::decay_t<decltype(held)>::value_type{});
    };
    move_out(input_, input);
    move_out(hidden_, hidden);
    move_out(sums_, sums);
}

}  // namespace edgemed
