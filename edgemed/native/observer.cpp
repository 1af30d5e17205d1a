#include "observer.h"

#include <algorithm>

#include "vector_math.h"

namespace edgemed {

void Observer::start(int rows, int per_row, int64_t n_embd, int64_t n_ff) {
    std::lock_guard lock(mutex_);
    per_row_ = per_row;
    n_embd_ = n_embd;
    n_ff_ = n_ff;
    const size_t experts = static_cast<size_t>(rows) * static_cast<size_t>(per_row);
    input_.assign(experts * static_cast<size_t>(n_embd), 0.0f);
    hidden_.assign(experts * static_cast<size_t>(n_ff), 0.0f);
    weighted_hidden_.assign(hidden_.size(), 0.0f);
    sums_.assign(experts, {});
    on_.store(true, std::memory_order_release);
}

void Observer::stop() {
    on_.store(false, std::memory_order_release);
    std::lock_guard lock(mutex_);
    for (std::vector<float> * held : {&input_, &hidden_, &weighted_hidden_}) std::vector<float>().swap(*held);
    std::vector<ExpertSums>().swap(sums_);
}

void Observer::add(int row, int index, int count, const float * input, const float * hidden, const float * output,
                   const float * weights) {
    std::lock_guard lock(mutex_);
    if (sums_.empty()) return;
    const size_t  which = static_cast<size_t>(row * per_row_ + index);
    float * const input_sum = input_.data() + which * static_cast<size_t>(n_embd_);
    float * const hidden_sum = hidden_.data() + which * static_cast<size_t>(n_ff_);
    float * const weighted_sum = weighted_hidden_.data() + which * static_cast<size_t>(n_ff_);
    ExpertSums &  sums = sums_[which];
    for (int r = 0; r < count; r++) {
        const double weight = weights[r];
        add_squares(input_sum, input + r * n_embd_, 1.0f, n_embd_);
        add_squares(hidden_sum, hidden + r * n_ff_, 1.0f, n_ff_);
        add_squares(weighted_sum, hidden + r * n_ff_, static_cast<float>(weight * weight), n_ff_);
        sums.tokens += 1;
        sums.weight += weight;
        sums.weighted_output += weight * weight * sum_of_squares(output + r * n_embd_, n_embd_);
    }
}

void Observer::take(float * input, float * hidden, float * weighted_hidden, ExpertSums * sums) {
    std::lock_guard lock(mutex_);
    const auto move_out = [](auto & held, auto * out) {
        std::copy(held.begin(), held.end(), out);
        std::fill(held.begin(), held.end(), typename std::decay_t<decltype(held)>::value_type{});
    };
    move_out(input_, input);
    move_out(hidden_, hidden);
    move_out(weighted_hidden_, weighted_hidden);
    move_out(sums_, sums);
}

}  // namespace edgemed
