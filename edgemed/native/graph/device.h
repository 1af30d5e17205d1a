// edgemed's ggml device. It claims the matmuls of experts, of prompts and, if asked to, attention.
#pragma once

#include <string>

#include "observer.h"
#include "predictor.h"
#include "store/store.h"

namespace edgemed {

// What the device computes with. It must outlive llama.cpp's contexts and model.
struct Experts {
    std::string name;  // of the model's file
    Store store;
    Observer observer;
    Predictor predictor;
    int prefetch_limit = 0;  // predicted misses to prefetch per layer; 0: none
    bool claims_attention = false;
};

// Makes contexts created from now on use these experts. llama.cpp initialises a device without naming the model, so a
// process can hold one model: returns an empty string, or a sentence that names the model attached already.
std::string attach_experts(Experts * experts);
void detach_experts(Experts * experts);  // no effect unless these are attached

}  // namespace edgemed
