// What a token's attention and a batch's share.
#pragma once

#include "ggml_api.h"
#include "instructions.h"

#ifdef EDGEMED_HAS_KERNELS
#include <cstring>
#include <limits>

#include "intrinsics.h"

#define EDGEMED_ATTENTION __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define EDGEMED_ATTENTION_INLINE EDGEMED_ATTENTION __attribute__((always_inline)) inline

namespace edgemed::attention {

constexpr int   kLanes = 16;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

inline float parameter(const ggml::Tensor * node, int index) {
    float value;
    std::memcpy(&value, node->op_params + index, sizeof value);
    return value;
}

inline const char * at(const ggml::Tensor * t, int64_t i1, int64_t i2) {
    return static_cast<const char *>(t->data) + static_cast<size_t>(i1) * t->nb[1] + static_cast<size_t>(i2) * t->nb[2];
}

// e^x for x <= 0, with an error of two units in the last place; of no number, no number.
EDGEMED_ATTENTION_INLINE __m512 exponential(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-110.0f), x);  // the second where either is none
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512       r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);  // ln 2 in two parts
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 y = _mm512_set1_ps(1.0f / 5040);  // Taylor's series: |r| < 0.35
    for (float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f}) y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(c));
    return _mm512_scalef_ps(y, n);
}

// The i-th 16 half-precision numbers.
EDGEMED_ATTENTION_INLINE __m512 sixteen(const char * halves, int64_t i) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(halves) + i));
}

}  // namespace edgemed::attention
#endif
