// Experts of two sizes. If batches use all of them, hardly any pages are returned to the kernel. If tokens use one size
// much more, its share of the cache grows.

#include <sys/resource.h>

#include <algorithm>

#include "check.h"

using namespace edgemed;

namespace {

constexpr int kMoeLayers = 4, kExpertsPerLayer = 60;

long pages_faulted() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

// Tokens that use four experts of each layer; `often` in ten come from the second half.
void decode(Store & store, Random & random, int tokens, uint64_t often) {
    for (int token = 0; token < tokens; token++) {
        store.advance_clock(1);
        for (int moe_layer = 0; moe_layer < kMoeLayers; moe_layer++) {
            std::vector<int> wanted;
            while (wanted.size() < 4) {
                const int index = static_cast<int>(below(random, kExpertsPerLayer / 2)) +
                                  (below(random, 10) < often ? kExpertsPerLayer / 2 : 0);
                if (std::find(wanted.begin(), wanted.end(), index) == wanted.end()) wanted.push_back(index);
            }
            for (int index : wanted) CHECK(store.pin(moe_layer, index, 1));
            for (int index : wanted) CHECK(store.wait(moe_layer, index) != nullptr);
            for (int index : wanted) store.unpin(moe_layer, index);
        }
    }
}

long held(const Store & store, int from, int to) {
    long count = 0;
    for (int moe_layer = 0; moe_layer < kMoeLayers; moe_layer++)
        for (int index = from; index < to; index++) count += store.ready(moe_layer, index);
    return count;
}

}  // namespace

void check_sizes() {
    Plan plan;
    plan.moe_layers = kMoeLayers, plan.experts_per_layer = kExpertsPerLayer, plan.smallest = 20000,
    plan.largest = 30000, plan.halves = true;
    const ExpertFile file(plan);
    Store store;
    open_store(store, file, plan, all_bytes(file) / 2);
    go_through(store);
    const uint64_t evicted = store.stats().evictions;
    const long before = pages_faulted();
    for (int batch = 0; batch < 8; batch++) go_through(store);
    const uint64_t pages = (store.stats().evictions - evicted) * 3 * plan.smallest / kPage;
    CHECK(pages > 5000);
    if (!kSanitized) CHECK(static_cast<uint64_t>(pages_faulted() - before) < pages / 20);

    Random random(4);
    decode(store, random, 100, 5);
    const long large = held(store, kExpertsPerLayer / 2, kExpertsPerLayer);
    decode(store, random, 400, 9);
    CHECK(held(store, kExpertsPerLayer / 2, kExpertsPerLayer) > large * 5 / 4);
}
