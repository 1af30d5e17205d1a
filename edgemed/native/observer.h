// What calibration collects while a batch passes through the experts (quant/ turns it into precision).
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

namespace edgemed {

// Sums per (row, expert), since the last take():
struct ExpertSums {
    double tokens;          // rows routed to the expert
    double weight;          // sum of route weights
    double weighted_output; // sum of weight^2 * |output|^2
};

class Observer {
  public:
    void start(int rows, int per_row, int64_t n_embd, int64_t n_ff);
    void stop();
    bool on() const { return on_.load(std::memory_order_acquire); }

    // `count` tokens of one expert: inputs [count, n_embd], hidden [count, n_ff] and outputs [count, n_embd], weights [count].
    void add(int row, int index, int count, const float * input, const float * hidden, const float * output, const float * weights);

    // Copies the sums out and begins anew. input: sum of x^2 [rows, experts, n_embd]; hidden and weighted_hidden: sums of
    // h^2 and (weight h)^2 [rows, experts, n_ff]; sums [rows, experts].
    void take(float * input, float * hidden, float * weighted_hidden, ExpertSums * sums);

  private:
    std::atomic<bool>       on_{false};
    std::mutex              mutex_;
    int64_t                 per_row_ = 0, n_embd_ = 0, n_ff_ = 0;
    std::vector<float>      input_, hidden_, weighted_hidden_;
    std::vector<ExpertSums> sums_;
};

}  // namespace edgemed
