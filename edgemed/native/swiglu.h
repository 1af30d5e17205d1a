// h = silu(gate) * up, in single precision.
#pragma once

#include <cstdint>

namespace edgemed {

void swiglu(const float * gate, const float * up, float * h, int64_t count);

// y += weight * x
void add_scaled(float * y, const float * x, float weight, int64_t count);

}  // namespace edgemed
