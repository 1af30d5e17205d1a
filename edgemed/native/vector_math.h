// Element-wise single-precision arithmetic around the expert matmuls.
#pragma once

#include <cstdint>

namespace edgemed {

// h = silu(gate) * up
void swiglu(const float * gate, const float * up, float * h, int64_t count);

// y += weight * x
void add_scaled(float * y, const float * x, float weight, int64_t count);

// sums += scale * x^2
void add_squares(float * sums, const float * x, float scale, int64_t count);

double sum_of_squares(const float * x, int64_t count);

double dot(const float * a, const float * b, int64_t count);

// a is bfloat16
float dot_bf16(const uint16_t * a, const float * b, int64_t count);

}  // namespace edgemed
