// What the store does unasked: it never takes more than its budget, and gives way to whoever asks.

#include <chrono>
#include <thread>

#include "check.h"

using namespace edgemed;

namespace {

constexpr const char * kFiles = ".experts";

int ready(const Store & store) {
    int count = 0;
    for (int row = 0; row < store.rows(); row++)
        for (int i = 0; i < store.per_row(); i++) count += store.ready(row, i);
    return count;
}

template <typename Condition> bool soon(Condition holds) {
    for (const auto from = Clock::now(); seconds_since(from) < 20; std::this_thread::sleep_for(std::chrono::milliseconds(2)))
        if (holds()) return true;
    return false;
}

void demand(Store & store, const ExpertFile & file, const Plan & plan, int row, int index) {
    while (!store.pin(row, index, 1)) CHECK(store.wait_for_room());
    const uint8_t * slot = store.wait(row, index);
    CHECK(slot != nullptr && file.matches(store.expert(row, index), static_cast<size_t>(row * plan.per_row + index), slot));
    store.unpin(row, index);
}

}  // namespace

void check_background() {
    Plan small, large;
    large.smallest = 300000, large.largest = 900000, large.rows = 2, large.per_row = 8;
    for (const Plan & plan : {small, large}) {
        const ExpertFile file(plan);
        const uint64_t   everything = all_bytes(file);
        const int        experts = plan.rows * plan.per_row;
        {  // A budget that holds all: all is read, unasked.
            Store store;
            open_store(store, file, plan, 0, true, 3, true);
            store.set_budget(everything);
            CHECK(soon([&] { return ready(store) == experts; }));
            const StoreStats stats = store.stats();
            CHECK(stats.hits == 0 && stats.misses == 0 && stats.evictions == 0 && stats.resident_bytes <= everything);
            demand(store, file, plan, 1, 2);
            CHECK(store.stats().hits == 1);
            // Less, and it is given back; more again, and what was used comes first and the rest after it.
            const uint64_t less = std::max(least_bytes(file, plan, 3), everything / 2);
            store.set_budget(less);
            CHECK(store.stats().resident_bytes <= less);
            store.set_budget(everything);
            CHECK(soon([&] { return ready(store) == experts; }));
        }
        Store store;  // A smaller one: memory is made ready, and only what was hot last time is read.
        open_store(store, file, plan, 0, true, 3, true);
        const uint64_t budget = std::max(least_bytes(file, plan, 3), everything * 2 / 3);
        store.set_budget(budget);
        CHECK(soon([&] { return store.stats().resident_bytes > budget - least_bytes(file, plan, 1); }));
        CHECK(ready(store) == 0);
        std::vector<float> scores(static_cast<size_t>(experts), -1e30f);
        scores[3] = -1, scores[7] = -2;
        store.restore_scores(scores.data());
        CHECK(soon([&] { return store.ready(0, 3) && store.ready(0, 7); }));
        CHECK(ready(store) == 2);
        // Whoever asks meanwhile gets the right bytes, within the budget, whatever the background is at.
        Random random(3);
        for (int round = 0; round < (kSanitized ? 100 : 400); round++) {
            if (round % 50 == 0) store.set_budget(round % 100 == 0 ? budget : least_bytes(file, plan, 3));
            demand(store, file, plan, static_cast<int>(below(random, static_cast<uint64_t>(plan.rows))),
                   static_cast<int>(below(random, static_cast<uint64_t>(plan.per_row))));
            CHECK(store.stats().resident_bytes <= budget);
        }
    }
}

void check_guesses_step_aside() {
    Plan plan;  // experts of several MiB, which is what a thread reads at once
    plan.smallest = plan.largest = 2 << 20, plan.rows = 2, plan.per_row = 4;
    const ExpertFile file(plan);
    Store            store;
    open_store(store, file, plan, all_bytes(file), true, 1);
    faulty_reads(kFiles, 0, 30, 0, 0, -1);  // every MiB takes 30 ms
    CHECK(store.guess(1, 0, false));
    CHECK(soon([&] { return faulty_reads_hit() > 0; }));
    CHECK(store.guess(1, 1, false) && store.guess(1, 2, false));
    demand(store, file, plan, 0, 0);  // after at most one MiB of the guess, which goes on when it is over
    CHECK(!store.ready(1, 0));
    store.settle(0);  // too early for row 1
    CHECK(store.present(1, 1) && store.present(1, 2));
    CHECK(store.pin(1, 1, 1));
    store.settle(1);  // 1, 1 is asked for and 1, 0 under way; nobody wants 1, 2
    CHECK(store.present(1, 0) && store.present(1, 1) && !store.present(1, 2));
    CHECK(store.wait(1, 1) != nullptr);
    store.unpin(1, 1);
    healthy_reads();
    CHECK(soon([&] { return store.ready(1, 0); }));
    for (int i = 0; i < plan.per_row; i++) demand(store, file, plan, 1, i);
    CHECK(store.fault().empty());
}
