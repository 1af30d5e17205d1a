// Runs the next layer's router early: the residual changes little meanwhile, so most of the experts it names will be wanted
// in a moment and can be read while the disk is idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgemed {

struct RouterShape {
    int32_t rows, experts, used, groups, groups_used;
    int64_t n_embd;
};

class Predictor {
  public:
    // router [rows, experts, n_embd], bias [rows, experts], norm [rows, n_embd]: the RMS norm's weights, which a row's input was
    // multiplied with.
    void load(const RouterShape & shape, const float * router, const float * bias, const float * norm);

    bool on() const { return !router_.empty(); }

    // The experts `row` would choose, the likeliest first, fills shape.used ids; for the normed input of the row before it [n_embd],
    // or for the residual behind that row [n_embd]. BailingMoeV2's routing: sigmoid, bias, the best groups by their two best
    // experts, the best of those.
    void from_input(int row, const float * x, int threads, int32_t * experts);
    void from_residual(int row, const float * y, int threads, int32_t * experts);

  private:
    void choose(size_t row, int threads, int32_t * experts);  // for x_

    RouterShape shape_{};
    std::vector<uint16_t> router_;  // bf16: half the memory, and a guess needs no more
    std::vector<float> bias_, norm_;
    std::vector<float> x_, score_, group_;
    std::vector<int32_t> order_;
};

}  // namespace edgemed
