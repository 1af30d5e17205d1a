// edgemed's ggml device: claims the expert products of a graph, and nothing else.
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
    int guesses = 0;       // predicted misses to read ahead in each layer
    bool attends = false;  // attention is ours too
};

// ggml's devices are global: contexts made from now on use these experts.
void attach_experts(Experts * experts);
void detach_experts(const Experts * experts);  // nothing where others were attached meanwhile

}  // namespace edgemed
