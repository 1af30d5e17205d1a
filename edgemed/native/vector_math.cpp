#include "vector_math.h"

#include <cstring>

#include "clones.h"
#include "ggml/ggml_api.h"

namespace edgemed {
// ggml's own, to the bit: a text computed token by token must round its activations as the same text in one batch does.
void swiglu(const float * gate, const float * up, float * h, int64_t count) {
    ggml::api().vec_swiglu(static_cast<int>(count), h, gate, up);
}

// Not by fused multiply-adds, which round once where llama.cpp's two nodes round twice.
void add_scaled(float * y, const float * x, float weight, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += weight * x[i];
}

EDGEMED_CLONES void add_squares(float * sums, const float * x, float scale, int64_t count) {
    for (int64_t i = 0; i < count; i++) sums[i] += scale * x[i] * x[i];
}

// Partial sums, added up in double: the compiler may use its widest registers, and long rows lose nothing.
EDGEMED_CLONES double dot(const float * a, const float * b, int64_t count) {
    constexpr int64_t kLanes = 32;
    float   lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (int64_t lane = 0; lane < kLanes; lane++) lanes[lane] += a[i + lane] * b[i + lane];
    double sum = 0;
    for (float lane : lanes) sum += lane;
    for (; i < count; i++) sum += static_cast<double>(a[i]) * b[i];
    return sum;
}

EDGEMED_CLONES float dot_bf16(const uint16_t * a, const float * b, int64_t count) {
    constexpr int64_t kLanes = 32;
    float   lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (int64_t lane = 0; lane < kLanes; lane++) {
            const uint32_t bits = static_cast<uint32_t>(a[i + lane]) << 16;
            float          value;
            std::memcpy(&value, &bits, sizeof value);
            lanes[lane] += value * b[i + lane];
        }
    float sum = 0;
    for (float lane : lanes) sum += lane;
    for (; i < count; i++) {
        const uint32_t bits = static_cast<uint32_t>(a[i]) << 16;
        float          value;
        std::memcpy(&value, &bits, sizeof value);
        sum += value * b[i];
    }
    return sum;
}

double sum_of_squares(const float * x, int64_t count) { return dot(x, x, count); }

}  // namespace edgemed
