#include "vector_math.h"

#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define EDGEMED_CLONES __attribute__((target_clones("default", "avx2,fma", "arch=x86-64-v4")))
#else
#define EDGEMED_CLONES
#endif

namespace edgemed {
namespace {

// exp(x) to about 1 ulp: x = n ln 2 + r, a degree-6 polynomial for exp(r), n added to the exponent. Coefficients: the
// minimax set of the Cephes library's expf. Written without branches or calls so that compilers vectorise it.
inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer in the low bits
    const float n = shifted - 12582912.0f;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float       p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
    float         scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

}  // namespace

EDGEMED_CLONES void swiglu(const float * gate, const float * up, float * h, int64_t count) {
    for (int64_t i = 0; i < count; i++) h[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

EDGEMED_CLONES void add_scaled(float * y, const float * x, float weight, int64_t count) {
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
