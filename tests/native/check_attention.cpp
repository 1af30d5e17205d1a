// Which attention is ours to compute: one deviation at a time from what is, each of which ggml has to compute.

#include <cstring>
#include <functional>

#include "attention.h"
#include "check.h"
#include "products.h"

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

}  // namespace

void check_attention() {
    const_cast<ggml::Api &>(ggml::api()).cpu_buffer_type = ordinary;
    if (!products::usable()) return;  // ggml computes all of it
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
        [](Scene & s) { put(s.node, 2, 30.0f); },  // a cap on scores
    };
    for (const auto & change : not_ours) {
        Scene scene;
        change(scene);
        CHECK(!is_attention(&scene.node));
    }
}
