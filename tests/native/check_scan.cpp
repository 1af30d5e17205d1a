// Batches go through all experts in order, with room for fewer than half: most experts that are resident at the start
// of a batch are still resident when it reaches them, and every layer keeps some.

#include <algorithm>

#include "check.h"

using namespace edgemed;

// One batch, which pins a few experts in advance as MoePass::batch does.
void go_through(Store & store) {
    constexpr int kAtOnce = 4;
    store.advance_clock(64);
    for (int moe_layer = 0; moe_layer < store.moe_layers(); moe_layer++) {
        store.scan(moe_layer);
        for (int done = 0, pinned = 0; done < store.experts_per_layer(); done++) {
            while (pinned < store.experts_per_layer() && store.pin(moe_layer, pinned, 4, pinned - done >= kAtOnce))
                pinned++;
            CHECK(pinned > done && store.wait(moe_layer, done) != nullptr);
            store.unpin(moe_layer, done);
            store.scan(moe_layer, done + 1);
        }
    }
    store.scan(-1);
}

void check_scans() {
    Plan plan;
    plan.moe_layers = 5, plan.experts_per_layer = 40, plan.smallest = plan.largest = 2000;
    const ExpertFile file(plan);
    Store store;
    const int fits = plan.moe_layers * plan.experts_per_layer * 45 / 100;
    open_store(store, file, plan, all_bytes(file) * 45 / 100);

    go_through(store);  // cold: the first layers fill the memory
    for (int batch = 0; batch < 4; batch++) {
        const uint64_t hits = store.stats().hits;
        go_through(store);
        CHECK(store.stats().hits - hits >= static_cast<uint64_t>(fits * 3 / 4));

        std::vector<uint8_t> seen(static_cast<size_t>(3 * plan.moe_layers * plan.experts_per_layer));
        store.store_state(seen.data(), seen.data() + seen.size() / 3, seen.data() + seen.size() / 3 * 2);
        for (auto moe_layer = seen.begin(); moe_layer < seen.begin() + plan.moe_layers * plan.experts_per_layer;
             moe_layer += plan.experts_per_layer) {
            const auto ready =
                std::count(moe_layer, moe_layer + plan.experts_per_layer, static_cast<uint8_t>(Store::State::ready));
            CHECK(ready >= fits / plan.moe_layers / 2 && ready <= fits / plan.moe_layers * 2);
        }
    }
}
