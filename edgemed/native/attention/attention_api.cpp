// The C function that computes one attention, for tests. capi.h documents it.

#include <algorithm>
#include <cstring>
#include <exception>

#include "attention.h"
#include "capi.h"

EDGEMED_API int edgemed_attend(const float * q, const uint16_t * k, const uint16_t * v, const uint16_t * mask,
                               float scale, int64_t width, int64_t heads, int64_t kv_heads, int64_t asking,
                               int64_t tokens, int threads, float * out) {
    using namespace edgemed;
    ggml::Buffer buffer{};
    buffer.buft = ggml::api().cpu_buffer_type();
    // ggml tensors over the caller's memory; steps count elements.
    const auto tensor = [&](ggml::Type type, const void * data, int64_t n0, int64_t n1, int64_t n2, size_t step1,
                            size_t step2) {
        const size_t wide = type == ggml::kF32 ? sizeof(float) : sizeof(uint16_t);
        ggml::Tensor t{};
        t.type = type;
        t.buffer = &buffer;
        t.data = const_cast<void *>(data);
        const int64_t ne[] = {n0, n1, n2, 1};
        const size_t nb[] = {wide, wide * step1, wide * step2, wide * step2 * static_cast<size_t>(n2)};
        std::copy(ne, ne + 4, t.ne);
        std::copy(nb, nb + 4, t.nb);
        return t;
    };
    const auto row = static_cast<size_t>(width), step = static_cast<size_t>(width * kv_heads);
    ggml::Tensor queries = tensor(ggml::kF32, q, width, asking, heads, row * static_cast<size_t>(heads), row);
    ggml::Tensor keys = tensor(ggml::kF16, k, width, tokens, kv_heads, step, row),
                 values = tensor(ggml::kF16, v, width, tokens, kv_heads, step, row);
    ggml::Tensor masked =
        tensor(ggml::kF16, mask, tokens, asking, 1, static_cast<size_t>(tokens), static_cast<size_t>(tokens * asking));
    ggml::Tensor node = tensor(ggml::kF32, out, width, heads, asking, row, row * static_cast<size_t>(heads));
    node.op = ggml::kFlashAttention;
    std::memcpy(node.op_params, &scale, sizeof scale);
    node.src[0] = &queries;
    node.src[1] = &keys;
    node.src[2] = &values;
    node.src[3] = mask != nullptr ? &masked : nullptr;
    static const std::atomic<bool> go_on{false};
    if (!is_attention(&node)) return 1;
    try {
        return Attention().compute(&node, threads, go_on);
    } catch (const std::exception &) {
        return -1;
    }
}
