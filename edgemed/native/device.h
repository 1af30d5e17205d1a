// edgemed's ggml device: claims the expert products of a graph, and nothing else.
#pragma once

#include "observer.h"
#include "predictor.h"
#include "store.h"

namespace edgemed {

// What the device computes with. It must outlive its use.
struct Experts {
    Store     store;
    Observer  observer;
    Predictor predictor;
    int       guesses = 0;  // predicted misses to read ahead in each layer
};

// ggml's devices are global, so one model's experts are served at a time; null detaches them.
void attach_experts(Experts * experts);

}  // namespace edgemed
