// Which attention nodes are ours: deviates from a node we compute in one respect at a time, and ggml must compute each
// of those. Also checks that nothing outside the tensors is touched.

#include <atomic>
#include <cstring>
#include <functional>
#include <vector>

#include "attention/attention.h"
#include "check.h"
#include "instructions.h"

using namespace edgemed;

namespace {

ggml::BufferType * ordinary() {
    static char somewhere;
    return reinterpret_cast<ggml::BufferType *>(&somewhere);
}

struct Scene {
    ggml::Buffer memory{}, elsewhere{};
    ggml::Tensor q{}, k{}, v{}, mask{}, sinks{}, node{};

    static void shape(ggml::Tensor & t, ggml::Type type, size_t wide, int64_t n0, int64_t n1, int64_t n2) {
        t.type = type;
        t.ne[0] = n0, t.ne[1] = n1, t.ne[2] = n2, t.ne[3] = 1;
        t.nb[0] = wide;
        for (int i = 1; i < 4; i++) t.nb[i] = t.nb[i - 1] * static_cast<size_t>(t.ne[i - 1]);
    }
    Scene() {
        memory.buft = ordinary();
        shape(q, ggml::kF32, 4, 128, 5, 8);
        shape(k, ggml::kF16, 2, 128, 256, 2);
        shape(v, ggml::kF16, 2, 128, 256, 2);
        shape(mask, ggml::kF16, 2, 256, 5, 1);
        k.buffer = v.buffer = &memory;
        node.op = ggml::kFlashAttention;
        node.src[0] = &q, node.src[1] = &k, node.src[2] = &v, node.src[3] = &mask;
    }
};

void put(ggml::Tensor & node, int index, float value) { std::memcpy(node.op_params + index, &value, sizeof value); }

// Tensors in blocks of exactly their size, which the sanitizers watch. All keys are equal, so every token's result is
// the mean of the values it sees: those of the first half are 1, the others 3, the last ones are masked.
void compute(int64_t tokens, int64_t keys, int64_t width, int64_t shared_by) {
    Scene scene;
    const uint16_t one = 0x3c00, three = 0x4200, nothing = 0xfc00;
    Scene::shape(scene.q, ggml::kF32, 4, width, tokens, 2 * shared_by);
    Scene::shape(scene.k, ggml::kF16, 2, width, keys, 2);
    Scene::shape(scene.v, ggml::kF16, 2, width, keys, 2);
    Scene::shape(scene.mask, ggml::kF16, 2, keys, tokens, 1);
    Scene::shape(scene.node, ggml::kF32, 4, width, 2 * shared_by, tokens);
    const auto wide = static_cast<size_t>(width), long_ = static_cast<size_t>(keys), all = static_cast<size_t>(tokens);
    const size_t seen = long_ / 2 + 1 < long_ ? long_ / 2 + 1 : long_;
    std::vector<float> q(wide * all * 2 * static_cast<size_t>(shared_by), 1.0f), out(q.size(), -1.0f);
    std::vector<uint16_t> k(wide * long_ * 2, one), v(wide * long_ * 2, one), mask(long_ * all, 0);
    for (size_t i = 0; i < v.size(); i++)
        if (i / wide % long_ >= long_ / 2) v[i] = three;
    for (size_t i = 0; i < mask.size(); i++)
        if (i % long_ >= seen) mask[i] = nothing;
    scene.q.data = q.data(), scene.k.data = k.data(), scene.v.data = v.data(), scene.mask.data = mask.data(),
    scene.node.data = out.data();
    put(scene.node, 0, 0.125f);
    const std::atomic<bool> stop{false};
    Attention attention;
    CHECK(is_attention(&scene.node));
    CHECK(attention.compute(&scene.node, 1, stop) ==
          ggml::kSuccess);  // one thread: the OpenMP runtime is not built for the sanitizers
    const float mean = static_cast<float>(3 * seen - 2 * (long_ / 2)) / static_cast<float>(seen);
    for (float value : out) CHECK(value > mean - 1e-3f && value < mean + 1e-3f);
}

void check_attention_kernels() {
    const std::function<void(Scene &)> as_well[] = {
        [](Scene &) {},
        [](Scene & s) { s.q.ne[1] = 1; },
        [](Scene & s) { s.node.src[3] = nullptr; },
        [](Scene & s) { s.mask.ne[1] = 64; },  // padded
        [](Scene & s) { s.q.ne[0] = s.k.ne[0] = s.v.ne[0] = 64; },
    };
    for (const auto & change : as_well) {
        Scene scene;
        change(scene);
        CHECK(is_attention(&scene.node));
    }
    const std::function<void(Scene &)> not_ours[] = {
        [](Scene & s) { s.node.op = ggml::kMulMat; },
        [](Scene & s) { s.q.type = ggml::kF16; },
        [](Scene & s) { s.q.nb[0] = 8; },
        [](Scene & s) { s.q.ne[3] = 2; },
        [](Scene & s) { s.q.ne[0] = s.k.ne[0] = s.v.ne[0] = 96; },
        [](Scene & s) { s.k.ne[0] = 64; },
        [](Scene & s) { s.v.ne[0] = 64; },
        [](Scene & s) { s.v.ne[1] = 128; },
        [](Scene & s) { s.v.ne[2] = 1; },
        [](Scene & s) { s.k.ne[3] = 2; },
        [](Scene & s) { s.v.ne[3] = 2; },
        [](Scene & s) { s.q.ne[2] = 7; },
        [](Scene & s) { s.k.type = static_cast<ggml::Type>(8); },
        [](Scene & s) { s.v.type = static_cast<ggml::Type>(8); },
        [](Scene & s) { s.v.nb[0] = 512; },  // transposed
        [](Scene & s) { s.k.buffer = &s.elsewhere; },
        [](Scene & s) { s.v.buffer = &s.elsewhere; },
        [](Scene & s) { s.k.buffer = nullptr; },
        [](Scene & s) { s.mask.type = ggml::kF32; },
        [](Scene & s) { s.mask.nb[0] = 4; },
        [](Scene & s) { s.mask.ne[1] = 4; },
        [](Scene & s) { s.mask.ne[2] = 8; },
        [](Scene & s) { s.mask.ne[3] = 2; },
        [](Scene & s) { s.node.src[4] = &s.sinks; },
        [](Scene & s) { put(s.node, 1, 8.0f); },   // ALiBi
        [](Scene & s) { put(s.node, 2, 30.0f); },  // soft cap
    };
    for (const auto & change : not_ours) {
        Scene scene;
        change(scene);
        CHECK(!is_attention(&scene.node));
    }
    for (const int64_t tokens : {1, 2, 13, 30})
        for (const int64_t keys : {1, 17, 64, 65, 200})
            for (const int64_t shared_by : {1, 8, 100}) compute(tokens, keys, keys % 2 ? 64 : 128, shared_by);
}

}  // namespace

void check_attention() {
    const_cast<ggml::Api &>(ggml::api()).cpu_buffer_type = ordinary;
    for (const Instructions most : {Instructions::kAvx2, Instructions::kAvx512, Instructions::kNone}) {
        limit_instructions(most);
        Scene scene;
        // otherwise ggml computes everything
        CHECK(is_attention(&scene.node) == (instructions() != Instructions::kNone));
        if (instructions() != Instructions::kNone) check_attention_kernels();
    }
    limit_instructions(Instructions::kAvx512);
}
