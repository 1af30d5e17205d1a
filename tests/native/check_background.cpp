// Background work of the store: it stays within the budget and yields to demands.

#include <algorithm>
#include <chrono>
#include <thread>

#include "check.h"

using namespace edgemed;

namespace {

constexpr const char * kFiles = ".experts";

int ready(const Store & store) {
    int count = 0;
    for (int moe_layer = 0; moe_layer < store.moe_layers(); moe_layer++)
        for (int i = 0; i < store.experts_per_layer(); i++) count += store.ready(moe_layer, i);
    return count;
}

// Waits until no more experts arrive, or until a busy machine has stalled the background thread for a while. After
// this, only conditions that hold at every moment may be checked.
void settle_down(const Store & store) {
    int count = -1, calm = 0;
    CHECK(soon([&] {
        calm = ready(store) == count && store.reads_in_flight() == 0 ? calm + 1 : 0;
        count = ready(store);
        return calm > 150;  // polls 2 ms apart: longer than the store waits before it works in the background
    }));
}

void demand(Store & store, const ExpertFile & file, const Plan & plan, int moe_layer, int index) {
    while (!store.pin(moe_layer, index, 1)) CHECK(store.wait_for_room());
    const uint8_t * slot = store.wait(moe_layer, index);
    CHECK(slot != nullptr && file.matches(store.expert(moe_layer, index),
                                          static_cast<size_t>(moe_layer * plan.experts_per_layer + index), slot));
    store.unpin(moe_layer, index);
}

}  // namespace

void check_background() {
    Plan small, large;
    large.smallest = 300000, large.largest = 900000, large.moe_layers = 2, large.experts_per_layer = 8;
    for (const Plan & plan : {small, large}) {
        const ExpertFile file(plan);
        const uint64_t everything = all_bytes(file);
        const int experts = plan.moe_layers * plan.experts_per_layer;
        {  // The budget holds everything: everything is read without a demand.
            Store store;
            open_store(store, file, plan, 0, true, 3, true);
            store.set_budget(everything);
            CHECK(soon([&] { return ready(store) == experts; }));
            const StoreStats stats = store.stats();
            CHECK(stats.hits == 0 && stats.misses == 0 && stats.evictions == 0 && stats.resident_bytes <= everything);
            demand(store, file, plan, 1, 2);
            CHECK(store.stats().hits == 1);
            // A lower budget is obeyed; when it is raised again, used experts return first and then the rest.
            const uint64_t less = std::max(least_bytes(file, plan, 3), everything / 2);
            store.set_budget(less);
            CHECK(store.stats().resident_bytes <= less);
            store.set_budget(everything);
            CHECK(soon([&] { return ready(store) == experts; }));
        }
        // A smaller budget from the start: the hottest experts are read, then whatever fits beside them.
        std::vector<float> scores(static_cast<size_t>(experts), 3);
        scores[scores.size() - 1] = 20, scores[scores.size() - 2] = 19;  // the last to be read otherwise
        Store store;
        open_store(store, file, plan, 0, true, 3, true);
        store.restore_scores(scores.data());
        const uint64_t budget = std::max(least_bytes(file, plan, 3), everything * 2 / 3);
        store.set_budget(budget);
        CHECK(soon([&] {
            return ready(store) > 2 && store.ready(plan.moe_layers - 1, plan.experts_per_layer - 1) &&
                   store.ready(plan.moe_layers - 1, plan.experts_per_layer - 2);
        }));
        settle_down(store);
        CHECK(store.stats().evictions == 0 && store.stats().resident_bytes <= budget && ready(store) < experts);
        // Demands get the right bytes within the budget, whatever the background thread is doing.
        Random random(3);
        for (int round = 0; round < (kSanitized ? 100 : 400); round++) {
            if (round % 50 == 0) store.set_budget(round % 100 == 0 ? budget : least_bytes(file, plan, 3));
            demand(store, file, plan, static_cast<int>(below(random, static_cast<uint64_t>(plan.moe_layers))),
                   static_cast<int>(below(random, static_cast<uint64_t>(plan.experts_per_layer))));
            CHECK(store.stats().resident_bytes <= budget);
        }
    }
}

void check_background_waits() {
    Plan plan;
    plan.smallest = plan.largest = 30000, plan.moe_layers = 4;
    const ExpertFile file(plan);
    const int experts = plan.moe_layers * plan.experts_per_layer;
    bool asked_without_pause = false;
    for (int tries = 0; tries < 5 && !asked_without_pause; tries++) {
        Store store;
        open_store(store, file, plan, 0, true, 3, true);
        auto last = Clock::now();
        store.set_budget(all_bytes(file) / 2);
        asked_without_pause = true;
        for (const auto from = last; seconds_since(from) < 0.4 && asked_without_pause; last = Clock::now()) {
            demand(store, file, plan, 0, 0);
            // otherwise the machine was busy and the round proves nothing
            asked_without_pause = seconds_since(last) < 0.05;
        }
        const int read = ready(store);
        asked_without_pause = asked_without_pause && seconds_since(last) < 0.05;
        if (asked_without_pause) CHECK(read == 1);                 // nothing else is read between frequent demands
        CHECK(soon([&] { return ready(store) >= experts / 3; }));  // afterwards, as much as fits
        settle_down(store);
        CHECK(soon([&] {  // evenly across layers
            int most = 0, least = plan.experts_per_layer;
            for (int moe_layer = 0; moe_layer < plan.moe_layers; moe_layer++) {
                int count = 0;
                for (int i = 0; i < plan.experts_per_layer; i++) count += store.ready(moe_layer, i);
                most = std::max(most, count), least = std::min(least, count);
            }
            return most - least <= 1;
        }));
        CHECK(store.stats().evictions == 0);
    }
}

void check_prefetches_yield() {
    Plan plan;  // experts of several MiB; a thread reads 1 MiB at a time
    plan.smallest = plan.largest = 2 << 20, plan.moe_layers = 2, plan.experts_per_layer = 4;
    const ExpertFile file(plan);
    Store store;
    open_store(store, file, plan, all_bytes(file), true, 1);
    faulty_reads(kFiles, 0, 30, 0, 0, -1);  // every MiB takes 30 ms
    CHECK(store.prefetch(1, 0, false));
    CHECK(soon([&] { return faulty_reads_hit() > 0; }));
    CHECK(store.prefetch(1, 1, false) && store.prefetch(1, 2, false));
    faulty_reads(kFiles, 0, 500, 0, 6, -1);  // what comes after the six MiB of the demand takes even longer
    demand(store, file, plan, 0, 0);         // starts after at most one MiB of the prefetch, which continues afterwards
    CHECK(!store.ready(1, 0));
    faulty_reads(kFiles, 0, 30, 0, 0, -1);
    store.cancel_prefetches(0);  // too early for layer 1
    CHECK(store.present(1, 1) && store.present(1, 2));
    CHECK(store.pin(1, 1, 1));
    store.cancel_prefetches(1);  // 1, 1 is demanded and 1, 0 is being read; only 1, 2 is cancelled
    CHECK(store.present(1, 0) && store.present(1, 1) && !store.present(1, 2));
    CHECK(store.wait(1, 1) != nullptr);
    store.unpin(1, 1);
    healthy_reads();
    CHECK(soon([&] { return store.ready(1, 0); }));
    for (int i = 0; i < plan.experts_per_layer; i++) demand(store, file, plan, 1, i);
    CHECK(store.fault().empty());
}
