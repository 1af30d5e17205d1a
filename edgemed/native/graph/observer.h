// Statistics that calibration collects while a batch passes through the experts; quant/ turns them into precision.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace edgemed {

// Sums for one expert of one MoE layer since the last take().
struct ExpertSums {
    double tokens;           // routed to the expert
    double weight;           // sum of route weights
    double weighted_output;  // sum of weight^2 * |output|^2
};
static_assert(sizeof(ExpertSums) == 24 && offsetof(ExpertSums, tokens) == 0 && offsetof(ExpertSums, weight) == 8 &&
                  offsetof(ExpertSums, weighted_output) == 16,
              "edgemed/engine/observation.py reads it as three float64");

class Observer {
  public:
    // `used`: experts per token; `tokens`: capacity of add_routing(), in tokens of one batch.
    void start(int moe_layers, int experts_per_layer, int used, int tokens, int64_t n_embd, int64_t n_ff);
    void stop();
    bool on() const { return on_.load(std::memory_order_acquire); }

    // Adds `count` tokens of one expert: input [count, n_embd], hidden [count, n_ff], output [count, n_embd], weights
    // [count].
    void add(int moe_layer, int index, int count, const float * input, const float * hidden, const float * output,
             const float * weights);

    // Keeps a whole batch's routing in one layer: input [count, n_embd], experts and weights [count, used] in rank
    // order.
    void add_routing(int moe_layer, int count, const float * input, const std::vector<int32_t> & experts,
                     const std::vector<float> & weights);

    // Copies out the last batch's routing: input [moe_layers, tokens, n_embd], experts and weights [moe_layers, tokens,
    // used]; counts [moe_layers] says how many tokens of each layer are filled.
    void take_routing(float * input, int32_t * experts, float * weights, int32_t * counts);

    // Copies out the sums and resets them. input: sum of x^2 [moe_layers, experts, n_embd]; hidden: sum of (weight *
    // h)^2 [moe_layers, experts, n_ff]; sums [moe_layers, experts].
    void take(float * input, float * hidden, ExpertSums * sums);

  private:
    std::atomic<bool> on_{false};
    std::mutex mutex_;
    int64_t experts_per_layer_ = 0, used_ = 0, tokens_ = 0, n_embd_ = 0, n_ff_ = 0;
    std::vector<float> input_, hidden_;
    std::vector<ExpertSums> sums_;
    std::vector<float> batch_input_, batch_weights_;
    std::vector<int32_t> batch_experts_, batch_counts_;
};

}  // namespace edgemed
