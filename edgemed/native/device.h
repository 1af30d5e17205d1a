// edgemed's ggml device: claims the expert products of a graph, and nothing else.
#pragma once

#include "store.h"

namespace edgemed {

// ggml's devices are global, so one store is served at a time; null detaches it. The store must outlive its use.
void attach_store(Store * store);

}  // namespace edgemed
