// The instruction set that our kernels use. Matmul and attention give the same bits on all of them.
// Why: docs/decisions.md#instruction-sets.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#define EDGEMED_HAS_KERNELS 1
#endif

namespace edgemed {

// In order of preference. kNone: ggml computes instead of our kernels. Some processors with AVX-512 lack AVX-VNNI;
// there a limit of kAvxVnni means AVX2.
enum class Instructions : int { kNone, kAvx2, kAvxVnni, kAvx512 };

// The best instruction set that the processor has, up to the limit.
Instructions instructions();

// Sets the limit, for measurements and tests.
void limit_instructions(Instructions most);

}  // namespace edgemed
