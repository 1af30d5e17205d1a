// Which of the processor's instructions our kernels use. Products and attention are the same for all, bit for bit.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__)
#define EDGEMED_HAS_KERNELS 1
#endif

namespace edgemed {

// The better ones last. kNone: ggml computes in place of our kernels. Some processors with AVX-512 have no AVX-VNNI: there a
// limit to that means AVX2.
enum class Instructions : int { kNone, kAvx2, kAvxVnni, kAvx512 };

// The best that the processor has, up to the limit.
Instructions instructions();

// No better ones from now on, for measuring and for tests.
void limit_instructions(Instructions most);

}  // namespace edgemed
