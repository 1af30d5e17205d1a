// The store against a model: random demands, prefetches and shrinking budgets. The bytes must be right and the budget
// kept.

#include <atomic>
#include <cstring>
#include <deque>
#include <thread>

#include "check.h"

using namespace edgemed;

namespace {

struct Pinned {
    int moe_layer, index;
    const uint8_t * data;  // null before wait()
};

struct Course {
    Plan plan;
    double budget_share;  // of the bytes of all experts
    bool direct;
    int threads;
    bool disturbed;  // another thread changes the budget, reads statistics and stops
    uint64_t seed;
};

void run(const Course & course) {
    const ExpertFile file(course.plan);
    Store store;
    const uint64_t everything = all_bytes(file);
    open_store(store, file, course.plan, everything, course.direct, course.threads);
    const int at_once = 4;
    const uint64_t least = least_bytes(file, course.plan, at_once);
    const auto budget = std::max(least, static_cast<uint64_t>(static_cast<double>(everything) * course.budget_share));
    store.set_budget(budget);

    std::atomic<bool> over{false};
    std::thread other([&] {
        Random random(course.seed + 1);
        std::vector<uint8_t> seen(3 * static_cast<size_t>(course.plan.moe_layers * course.plan.experts_per_layer));
        while (course.disturbed && !over) {
            switch (below(random, 4)) {
                case 0: store.set_budget(least + below(random, budget - least + 1)); break;
                case 1:
                    store.store_state(seen.data(), seen.data() + seen.size() / 3, seen.data() + seen.size() / 3 * 2);
                    break;
                case 2: store.request_abort(below(random, 2) == 0); break;
                default: CHECK(store.stats().hits + store.stats().misses < UINT32_MAX);
            }
            std::this_thread::sleep_for(std::chrono::microseconds(below(random, 300)));
        }
        store.request_abort(false);
    });

    Random random(course.seed);
    std::deque<Pinned> pinned;
    uint64_t answers = 0;
    const auto let_go = [&](size_t at) {
        const Pinned one = pinned[at];
        const size_t which = static_cast<size_t>(one.moe_layer * course.plan.experts_per_layer + one.index);
        // A pinned expert does not move, whatever is read or evicted.
        if (one.data != nullptr) CHECK(file.matches(store.expert(one.moe_layer, one.index), which, one.data));
        store.unpin(one.moe_layer, one.index);
        pinned.erase(pinned.begin() + static_cast<long>(at));
    };
    const int steps = 1500;
    for (int step = 0; step < steps || answers < 100; step++) {
        const int moe_layer = static_cast<int>(below(random, static_cast<uint64_t>(course.plan.moe_layers)));
        const int index = static_cast<int>(below(random, static_cast<uint64_t>(course.plan.experts_per_layer)));
        switch (below(random, 5)) {
            case 0:
            case 1: {
                bool already = static_cast<int>(pinned.size()) >= at_once;
                for (const Pinned & one : pinned) already |= one.moe_layer == moe_layer && one.index == index;
                if (!already && store.pin(moe_layer, index, 1)) pinned.push_back({moe_layer, index, nullptr});
                break;
            }
            case 2: store.prefetch(moe_layer, index, below(random, 2) == 0); break;
            case 3:
                if (!pinned.empty()) {
                    Pinned & one = pinned[below(random, pinned.size())];
                    one.data = store.wait(one.moe_layer, one.index);
                    answers += one.data != nullptr;
                    CHECK(one.data != nullptr || course.disturbed);
                    if (one.data == nullptr)
                        // until computing is allowed again
                        std::this_thread::sleep_for(std::chrono::microseconds(300));
                }
                break;
            default:
                if (!pinned.empty()) let_go(below(random, pinned.size()));
                store.advance_clock(1);
                store.scan(static_cast<int>(below(random, 4)) - 1);
        }
        const StoreStats stats = store.stats();
        // A lower budget applies once experts in use are unpinned; until then more may be resident.
        if (!course.disturbed) CHECK(stats.resident_bytes <= budget);
    }
    over = true;
    other.join();
    while (!pinned.empty()) let_go(0);
    CHECK(store.fault().empty());
    if (course.budget_share < 1) CHECK(store.stats().evictions > 100);

    // In whatever state the store is: with the smallest budget, one layer's experts fit and are right.
    store.set_budget(least);
    for (int moe_layer = 0; moe_layer < course.plan.moe_layers; moe_layer++) {
        for (int i = 0; i < at_once; i++)
            while (!store.pin(moe_layer, i, 1)) CHECK(store.wait_for_room());
        for (int i = 0; i < at_once; i++) {
            const uint8_t * data = store.wait(moe_layer, i);
            CHECK(data != nullptr);
            CHECK(file.matches(store.expert(moe_layer, i),
                               static_cast<size_t>(moe_layer * course.plan.experts_per_layer + i), data));
        }
        CHECK(store.stats().resident_bytes <= least);
        for (int i = 0; i < at_once; i++) store.unpin(moe_layer, i);
    }
}

}  // namespace

void check_against_a_model() {
    Plan aligned;
    Plan scattered;
    scattered.checksums = false;
    Plan large;  // huge pages, few of them
    large.moe_layers = 2, large.experts_per_layer = 6, large.smallest = 150000, large.largest = 900000;
    Plan split = aligned, scattered_split = scattered;
    split.parts = 2, scattered_split.parts = 3;
    run({aligned, 0.3, true, 3, false, 1});
    run({aligned, 0.0, true, 1, true, 2});
    run({scattered, 0.5, true, 2, true, 3});
    run({scattered, 1.1, false, 3, false, 4});
    run({large, 0.6, true, 3, true, 5});
    run({split, 0.3, true, 3, false, 6});
    run({scattered_split, 0.5, true, 2, true, 7});
}
