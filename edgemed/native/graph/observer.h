// What calibration collects while a batch passes through the experts (quant/ turns it into precision).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace edgemed {

// Sums per (row, expert), since the last take():
struct ExpertSums {
    double tokens;           // rows routed to the expert
    double weight;           // sum of route weights
    double weighted_output;  // sum of weight^2 * |output|^2
};

class Observer {
  public:
    // `used`: experts a token; `tokens`: the largest batch whose routing can be looked at.
    void start(int rows, int per_row, int used, int tokens, int64_t n_embd, int64_t n_ff);
    void stop();
    bool on() const { return on_.load(std::memory_order_acquire); }

    // `count` tokens of one expert: inputs [count, n_embd], hidden [count, n_ff] and outputs [count, n_embd], weights [count].
    void add(int row, int index, int count, const float * input, const float * hidden, const float * output,
             const float * weights);

    // The whole batch's routing in one layer: inputs [count, n_embd], experts and weights [count, used] in rank order.
    void add_routing(int row, int count, const float * input, const std::vector<int32_t> & experts,
                     const std::vector<float> & weights);

    // Copies the last batch's routing out: inputs [rows, tokens, n_embd], experts and weights [rows, tokens, used], of which
    // counts [rows] tokens are filled.
    void take_routing(float * input, int32_t * experts, float * weights, int32_t * counts);

    // Copies the sums out and begins anew. input: sum of x^2 [rows, experts, n_embd]; hidden: sum of (weight h)^2
    // [rows, experts, n_ff]; sums [rows, experts].
    void take(float * input, float * hidden, ExpertSums * sums);

  private:
    std::atomic<bool> on_{false};
    std::mutex mutex_;
    int64_t per_row_ = 0, used_ = 0, tokens_ = 0, n_embd_ = 0, n_ff_ = 0;
    std::vector<float> input_, hidden_;
    std::vector<ExpertSums> sums_;
    std::vector<float> batch_input_, batch_weights_;
    std::vector<int32_t> batch_experts_, batch_counts_;
};

}  // namespace edgemed
