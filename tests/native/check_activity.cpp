// What the live view reports, for a sequence of demands with a known outcome.

#include "check.h"

using namespace edgemed;

namespace {

struct Seen {
    std::vector<uint8_t> states, hits, misses;

    explicit Seen(Store & store) {
        const auto experts = static_cast<size_t>(store.moe_layers() * store.experts_per_layer());
        for (std::vector<uint8_t> * part : {&states, &hits, &misses}) part->assign(experts, 77);
        store.store_state(states.data(), hits.data(), misses.data());
    }
    int sum(const std::vector<uint8_t> & counts) const {
        int all = 0;
        for (uint8_t count : counts) all += count;
        return all;
    }
};

constexpr auto kReady = static_cast<uint8_t>(Store::State::ready);

}  // namespace

void check_looking() {
    const Plan plan;
    const ExpertFile file(plan);
    Store store;
    open_store(store, file, plan, all_bytes(file));
    CHECK(store.scan_layer() < 0);
    store.scan(2);
    CHECK(store.scan_layer() == 2);
    store.scan(-1);
    const auto at = [&](int moe_layer, int index) {
        return static_cast<size_t>(moe_layer * plan.experts_per_layer + index);
    };

    wait_until_read(store, 0, 3);  // before anybody watches: not counted
    Seen seen(store);
    CHECK(seen.states[at(0, 3)] == kReady && seen.sum(seen.states) == kReady);
    CHECK(seen.sum(seen.hits) == 0 && seen.sum(seen.misses) == 0);

    for (int i = 0; i < 3; i++) wait_until_read(store, 0, 3);
    wait_until_read(store, 2, 5);
    wait_until_read(store, 2, 5);
    seen = Seen(store);
    CHECK(seen.states[at(2, 5)] == kReady && seen.sum(seen.states) == 2 * kReady);
    CHECK(seen.hits[at(0, 3)] == 3 && seen.hits[at(2, 5)] == 1 && seen.sum(seen.hits) == 4);
    CHECK(seen.misses[at(2, 5)] == 1 && seen.sum(seen.misses) == 1);

    seen = Seen(store);  // every demand is reported once
    CHECK(seen.sum(seen.hits) == 0 && seen.sum(seen.misses) == 0);
    for (int i = 0; i < 300; i++) wait_until_read(store, 0, 3);
    seen = Seen(store);
    CHECK(seen.hits[at(0, 3)] == 255 && seen.sum(seen.hits) == 255);

    store.stop_watching();
    wait_until_read(store, 0, 3);
    seen = Seen(store);
    CHECK(seen.sum(seen.hits) == 0);

    store.set_budget(0);  // evicted experts are absent, and a miss when demanded again
    seen = Seen(store);
    CHECK(seen.sum(seen.states) == 0);
    store.set_budget(all_bytes(file));
    wait_until_read(store, 0, 3);
    seen = Seen(store);
    CHECK(seen.states[at(0, 3)] == kReady && seen.misses[at(0, 3)] == 1 && seen.sum(seen.hits) == 0);
}
