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

    // What the router of `moe_layer` will see of one token of a small batch: from the normed input of the layer before
    // it [n_embd], or from the residual after that layer [n_embd].
    void set_from_input(int token, int moe_layer, const float * x);
    void set_from_residual(int token, int moe_layer, const float * y);
    // Predicts the experts of `moe_layer` for the first `tokens` tokens: experts [tokens, shape.used], most likely first.
    // The routing is BailingMoeV2's: sigmoid, plus bias, the best groups by the sum of their two best experts, the best
    // experts of those groups.
    void predict(int moe_layer, int tokens, int threads, int32_t * experts);

  private:
    void choose(float * score, int32_t * experts);

    RouterShape shape_{};
    std::vector<uint16_t> router_;  // bf16: half the memory, precise enough for a prediction
    std::vector<float> bias_, norm_;
    std::vector<float> x_, score_;  // [tokens, n_embd], [tokens, experts]
    std::vector<float> group_;
    std::vector<int32_t> order_;
};

}  // namespace edgemed
