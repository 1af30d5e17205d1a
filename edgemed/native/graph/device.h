// edgemed's ggml device. It claims the matmuls of experts, of prompts and, if asked to, attention.
#pragma once

#include "observer.h"
#include "predictor.h"
#include "store/store.h"

namespace edgemed {

// What the device computes with. It must outlive its use.
struct Experts {
    Store store;
    Observer observer;
    Predictor predictor;
    int prefetch_limit = 0;  // predicted misses to prefetch per layer; 0: none
    bool claims_attention = false;
};

// ggml's devices are global: contexts made from now on use these experts.
void attach_experts(Experts * experts);
void detach_experts(const Experts * experts);  // nothing where others were attached meanwhile

}  // namespace edgemed
