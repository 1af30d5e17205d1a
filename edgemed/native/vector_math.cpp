#include "vector_math.h"

#include <cstring>

#include "ggml/ggml_api.h"
#include "widest.h"

namespace edgemed {
namespace {

constexpr int64_t kLanes = 32;

inline EDGEMED_INLINE float from_bf16(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace

// ggml's own function: one token and a batch must round their activations alike.
void swiglu(const float * gate, const float * up, float * h, int64_t count) {
    ggml::api().vec_swiglu(static_cast<int>(count), h, gate, up);
}

// Without fused multiply-adds, which round once where llama.cpp's two graph nodes round twice.
void add_scaled(float * y, const float * x, float weight, int64_t count) {
    for (int64_t i = 0; i < count; i++) y[i] += weight * x[i];
}

void add_squares(float * sums, const float * x, float scale, int64_t count) {
    widest([=]() EDGEMED_INLINE {
        for (int64_t i = 0; i < count; i++) sums[i] += scale * x[i] * x[i];
    });
}

// Partial sums in kLanes floats, added up in double: any vector width can be used and long rows do not lose precision.
double dot(const float * a, const float * b, int64_t count) {
    return widest([=]() EDGEMED_INLINE {
        float lanes[kLanes] = {};
        int64_t i = 0;
        for (; i + kLanes <= count; i += kLanes)
            for (int64_t lane = 0; lane < kLanes; lane++) lanes[lane] += a[i + lane] * b[i + lane];
        double sum = 0;
        for (float lane : lanes) sum += lane;
        for (; i < count; i++) sum += static_cast<double>(a[i]) * b[i];
        return sum;
    });
}

float dot_bf16(const uint16_t * a, const float * b, int64_t count) {
    return widest([=]() EDGEMED_INLINE {
        float lanes[kLanes] = {};
        int64_t i = 0;
        for (; i + kLanes <= count; i += kLanes)
            for (int64_t lane = 0; lane < kLanes; lane++) lanes[lane] += from_bf16(a[i + lane]) * b[i + lane];
        float sum = 0;
        for (float lane : lanes) sum += lane;
        for (; i < count; i++) sum += from_bf16(a[i]) * b[i];
        return sum;
    });
}

double sum_of_squares(const float * x, int64_t count) { return dot(x, x, count); }

}  // namespace edgemed
