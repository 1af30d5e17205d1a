// Runs the next layer's router one layer early. The residual changes little from layer to layer, so most of the
// predicted experts will be used and can be read while the disk is idle.
// Why: docs/decisions.md#prefetch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgemed {

struct RouterShape {
    int32_t moe_layers, experts, used, groups, groups_used;
    int64_t n_embd;
};
static_assert(sizeof(RouterShape) == 32 && offsetof(RouterShape, moe_layers) == 0 &&
                  offsetof(RouterShape, experts) == 4 && offsetof(RouterShape, used) == 8 &&
                  offsetof(RouterShape, groups) == 12 && offsetof(RouterShape, groups_used) == 16 &&
                  offsetof(RouterShape, n_embd) == 24,
              "RouterShape of edgemed/native/engine.py has this layout");

class Predictor {
  public:
    // router [moe_layers, experts, n_embd], bias [moe_layers, experts], norm [moe_layers, n_embd]: the weights of the
    // RMS norm before each router.
    void load(const RouterShape & shape, const float * router, const float * bias, const float * norm);

    // Predicts the experts of `moe_layer`, most likely first: fills shape.used ids. Predicts from the normed input of
    // the layer before it [n_embd], or from the residual after that layer [n_embd]. The routing is BailingMoeV2's:
    // sigmoid, plus bias, the best groups by the sum of their two best experts, the best experts of those groups.
    void predict_from_input(int moe_layer, const float * x, int threads, int32_t * experts);
    void predict_from_residual(int moe_layer, const float * y, int threads, int32_t * experts);

  private:
    void route(size_t moe_layer, int threads, int32_t * experts);  // of x_

    RouterShape shape_{};
    std::vector<uint16_t> router_;  // bf16: half the memory, precise enough for a prediction
    std::vector<float> bias_, norm_;
    std::vector<float> x_, score_, group_;
    std::vector<int32_t> order_;
};

}  // namespace edgemed
