// A batch goes through all experts in order, again and again, with room for fewer than half of them: most of what is there
// at its start is still there when it is reached, and no row is left with nothing.

#include <algorithm>

#include "check.h"

using namespace edgemed;

// One batch, which asks for a few experts in advance as MoePass::batch does.
void go_through(Store & store) {
    constexpr int kAtOnce = 4;
    store.step(64);
    for (int row = 0; row < store.rows(); row++) {
        store.scan(row);
        for (int done = 0, pinned = 0; done < store.per_row(); done++) {
            while (pinned < store.per_row() && store.pin(row, pinned, 4, pinned - done >= kAtOnce)) pinned++;
            CHECK(pinned > done && store.wait(row, done) != nullptr);
            store.unpin(row, done);
            store.scan(row, done + 1);
        }
    }
    store.scan(-1);
}

void check_scans() {
    Plan plan;
    plan.rows = 5, plan.per_row = 40, plan.smallest = plan.largest = 2000;
    const ExpertFile file(plan);
    Store store;
    const int fits = plan.rows * plan.per_row * 45 / 100;
    open_store(store, file, plan, all_bytes(file) * 45 / 100);

    go_through(store);  // cold: the first rows fill the memory
    for (int batch = 0; batch < 4; batch++) {
        const uint64_t hits = store.stats().hits;
        go_through(store);
        CHECK(store.stats().hits - hits >= static_cast<uint64_t>(fits * 3 / 4));

        std::vector<uint8_t> seen(static_cast<size_t>(3 * plan.rows * plan.per_row));
        store.look(seen.data(), seen.data() + seen.size() / 3, seen.data() + seen.size() / 3 * 2);
        for (auto row = seen.begin(); row < seen.begin() + plan.rows * plan.per_row; row += plan.per_row) {
            const auto ready = std::count(row, row + plan.per_row, static_cast<uint8_t>(Store::State::ready));
            CHECK(ready >= fits / plan.rows / 2 && ready <= fits / plan.rows * 2);
        }
    }
}
