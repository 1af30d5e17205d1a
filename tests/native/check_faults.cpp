// Failing, changing and missing files, budgets at the edge, and stops at any moment.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include "check.h"

using namespace edgemed;

namespace {

constexpr const char * kSuffix = ".experts";

bool says(const Store & store, const char * words) {
    if (store.fault().find(words) != std::string::npos) return true;
    std::fprintf(stderr, "the fault is: %s\n", store.fault().c_str());
    return false;
}

bool right(Store & store, const ExpertFile & file, const Plan & plan, int moe_layer, int index) {
    // prefetches may hold the room on a busy machine
    while (!store.pin(moe_layer, index, 1)) CHECK(store.wait_for_room());
    const uint8_t * data = store.wait(moe_layer, index);
    const bool fits =
        data != nullptr && file.matches(store.expert(moe_layer, index),
                                        static_cast<size_t>(moe_layer * plan.experts_per_layer + index), data);
    store.unpin(moe_layer, index);
    return fits;
}

bool fails(Store & store, int moe_layer, int index) {
    CHECK(store.pin(moe_layer, index, 1));
    const bool failed = store.wait(moe_layer, index) == nullptr;
    store.unpin(moe_layer, index);
    return failed;
}

size_t entries(const char * folder) {
    size_t count = 0;
    for (const auto & entry : std::filesystem::directory_iterator(folder)) count += entry.exists();
    return count;
}

}  // namespace

void check_budgets_at_the_edge() {
    for (bool large : {false, true}) {
        Plan plan;
        if (large) plan.smallest = 300000, plan.largest = 900000, plan.moe_layers = 1, plan.experts_per_layer = 6;
        const ExpertFile file(plan);
        Store store;
        open_store(store, file, plan, 0);
        const uint64_t least = least_bytes(file, plan, 3),
                       slack = large ? 6 * 2 << 20 : 0;  // every size class keeps a huge page
        // Nothing fits: refuses at once with a reason instead of waiting for room that never comes.
        CHECK(!store.pin(0, 0, 1));
        CHECK(!store.wait_for_room());
        CHECK(says(store, "budget"));
        store.clear_fault();
        // Whatever was in memory before, any three experts fit together.
        Random random(3);
        store.set_budget(least);
        for (int round = 0; round < 60; round++) {
            const int first = static_cast<int>(below(random, static_cast<uint64_t>(plan.experts_per_layer - 2)));
            for (int i = first; i < first + 3; i++)
                while (!store.pin(0, i, 1)) CHECK(store.wait_for_room());
            CHECK(store.stats().resident_bytes <= least);
            for (int i = first; i < first + 3; i++) {
                CHECK(store.wait(0, i) != nullptr);
                store.unpin(0, i);
            }
        }
        // The budget is withdrawn while experts are pinned: they stay, nothing else is read until they are unpinned.
        CHECK(right(store, file, plan, 0, 0) && store.pin(0, 0, 1));
        store.set_budget(0);
        CHECK(store.ready(0, 0) && !store.pin(0, 1, 1) && !store.wait_for_room());
        store.clear_fault();
        store.unpin(0, 0);
        CHECK(store.stats().resident_bytes <= slack);
        // The budget is withdrawn during reads: what they bring is not kept.
        store.set_budget(least);
        faulty_reads(kSuffix, 0, 30, 0, 0, 3);
        CHECK(store.pin(0, 1, 1) && store.prefetch(0, 2, true));
        store.unpin(0, 1);
        store.set_budget(0);
        while (store.reads_in_flight() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        CHECK(store.stats().resident_bytes <= slack);
        healthy_reads();
        store.set_budget(least);
        CHECK(right(store, file, plan, 0, 1) && right(store, file, plan, 0, 0));
    }
    // A failed read under a withdrawn budget does not leak its bytes.
    Plan plan;
    const ExpertFile file(plan);
    Store store;
    open_store(store, file, plan, all_bytes(file));
    for (int i = 1; i < plan.experts_per_layer; i++) CHECK(right(store, file, plan, 0, i));
    faulty_reads(kSuffix, EIO, 30, 0, 0, 1);
    CHECK(store.pin(0, 0, 1));
    const uint64_t least = least_bytes(file, plan, 1);
    store.set_budget(least);
    CHECK(store.wait(0, 0) == nullptr);
    store.unpin(0, 0);
    healthy_reads();
    for (int i = 0; i < plan.experts_per_layer; i++) {
        while (!store.pin(0, i, 1)) CHECK(store.wait_for_room());
        CHECK(store.wait(0, i) != nullptr && store.stats().resident_bytes <= least);
        store.unpin(0, i);
    }
}

void check_stops() {
    Plan plan;
    const ExpertFile file(plan);
    {
        Store store;
        open_store(store, file, plan, all_bytes(file), true, 2);
        faulty_reads(kSuffix, 0, 1000, 0, 0, 2);  // both readers hang
        for (int i = 0; i < plan.experts_per_layer; i++) CHECK(store.pin(0, i, 1));
        CHECK(store.prefetch(1, 0, true));
        const auto from = Clock::now();
        std::thread stopper([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
            store.request_abort(true);
        });
        CHECK(store.wait(0, 0) == nullptr);
        CHECK(!store.wait_for_room());
        CHECK(seconds_since(from) < 0.7);  // generous for a busy machine; it did not wait for the readers
        stopper.join();
        for (int i = 0; i < plan.experts_per_layer; i++) store.unpin(0, i);
        // Reads that nobody waits for any more do not delay the next demand.
        const uint64_t read = store.stats().bytes_read;
        store.request_abort(false);
        CHECK(right(store, file, plan, 2, 0));
        CHECK(store.stats().bytes_read - read <= 4 * 3 * (plan.largest + kPage));
        CHECK(store.fault().empty());
        CHECK(right(store, file, plan, 0, 5));  // its read was dropped, and works again
    }
    // Stop, demand, stop, with the same experts over and over.
    Store store;
    open_store(store, file, plan, all_bytes(file) / 2);
    Random random(11);
    for (int round = 0; round < 100; round++) {
        faulty_reads(kSuffix, 0, 2, 0, below(random, 4), 3);
        for (int i = 0; i < 4; i++) CHECK(store.pin(round % 3, i, 1));
        store.prefetch((round + 1) % 3, 7, true);
        if (below(random, 2) == 0) store.request_abort(true);
        for (int i = 0; i < 4; i++) {
            const uint8_t * data = store.wait(round % 3, i);
            CHECK(data != nullptr || store.aborted());
            store.unpin(round % 3, i);
        }
        store.request_abort(false);
    }
    healthy_reads();
    for (int moe_layer = 0; moe_layer < 3; moe_layer++) CHECK(right(store, file, plan, moe_layer, 3));
}

void check_failing_reads() {
    Plan plan;
    const ExpertFile file(plan);
    for (bool direct : {true, false}) {
        Store store;
        open_store(store, file, plan, all_bytes(file), direct);
        faulty_reads(kSuffix, EIO, 0, 0, 0, -1);
        CHECK(fails(store, 1, 2));
        CHECK(says(store, "Expert 2 of layer 2") && says(store, std::strerror(EIO)));
        CHECK(fails(store, 1, 2) && !store.ready(1, 2));  // read again, failed again
        store.clear_fault();
        CHECK(store.prefetch(2, 3, true));
        while (faulty_reads_hit() < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        CHECK(store.fault().empty());  // nobody demanded it
        healthy_reads();
        CHECK(right(store, file, plan, 1, 2) && right(store, file, plan, 2, 3) && store.fault().empty());

        faulty_reads(kSuffix, EINTR, 0, 0, 0, 5);
        CHECK(right(store, file, plan, 0, 1));
        faulty_reads(kSuffix, 0, 0, 1000, 0, -1);  // a few bytes at a time, never a whole page
        CHECK(right(store, file, plan, 0, 2));
        faulty_reads(kSuffix, 0, 0, 2 * kPage, 0, -1);
        CHECK(right(store, file, plan, 0, 3));
        CHECK(store.reads_directly() == direct);
        faulty_reads(kSuffix, EINVAL, 0, 0, 0, 1);  // a file system that refuses O_DIRECT after opening
        CHECK(right(store, file, plan, 0, 4) == direct);
        CHECK(!store.reads_directly());
        healthy_reads();
        CHECK(right(store, file, plan, 0, 5));
    }
    {  // The other error by which file systems refuse it.
        Store store;
        open_store(store, file, plan, all_bytes(file), true);
        faulty_reads(kSuffix, EOPNOTSUPP, 0, 0, 0, 1);
        CHECK(right(store, file, plan, 0, 4) && !store.reads_directly());
        healthy_reads();
    }
    {  // On a slow failing disk, nobody waits for reads that were only queued.
        Store store;
        open_store(store, file, plan, all_bytes(file), true, 2);
        faulty_reads(kSuffix, EIO, 200, 0, 0, -1);
        for (int i = 0; i < plan.experts_per_layer; i++) CHECK(store.pin(0, i, 1));
        CHECK(store.wait(0, 0) == nullptr);
        for (int i = 0; i < plan.experts_per_layer; i++) store.unpin(0, i);
        store.clear_fault();
        CHECK(faulty_reads_hit() < plan.experts_per_layer && store.reads_in_flight() == 0 && store.fault().empty());
        healthy_reads();
        CHECK(right(store, file, plan, 0, plan.experts_per_layer - 1));
    }
    // Random failures: a demand gets the right bytes or fails.
    Store store;
    open_store(store, file, plan, all_bytes(file) / 3);
    Random random(5);
    int failures = 0;
    for (int round = 0; round < 600; round++) {
        faulty_reads(kSuffix, EIO, 0, 0, static_cast<long>(below(random, 3)), 1);
        const int moe_layer = static_cast<int>(below(random, 3)), index = static_cast<int>(below(random, 12));
        store.prefetch(moe_layer, (index + 1) % 12, below(random, 2) == 0);
        if (!right(store, file, plan, moe_layer, index)) {
            failures++;
            CHECK(says(store, "cannot be used"));
            store.clear_fault();
        }
    }
    healthy_reads();
    CHECK(failures > 20);
    for (int i = 0; i < 12; i++) CHECK(right(store, file, plan, 1, i));
}

void check_changing_files() {
    Plan checked, bare;
    bare.checksums = false;
    for (const Plan & plan : {checked, bare}) {
        ExpertFile file(plan);
        Store store;
        open_store(store, file, plan, all_bytes(file));
        CHECK(right(store, file, plan, 0, 0));
        // The file is truncated: experts beyond the end fail, the others do not.
        const ExpertRecord & last = file.records().back();
        file.truncate(std::min({last.offset[kGate], last.offset[kUp], last.offset[kDown]}) + 100);
        CHECK(fails(store, 2, 11));
        CHECK(says(store, "Expert 11 of layer 3") && says(store, plan.checksums ? "cut short" : "file"));
        store.clear_fault();
        if (!plan.checksums) continue;  // without checksums, a changed file is refused altogether; see below
        CHECK(right(store, file, plan, 0, 1));
        file.restore();
        CHECK(right(store, file, plan, 2, 11));
    }
    for (const Plan & plan : {checked, bare}) {
        ExpertFile file(plan);
        Store store;
        open_store(store, file, plan, all_bytes(file));
        CHECK(right(store, file, plan, 0, 0));
        // longer than the granularity of the file system's clock
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        // One flipped bit: its expert is refused; with checksums the others are not.
        const ExpertRecord & record = file.records()[static_cast<size_t>(plan.experts_per_layer) + 3];
        file.write(record.offset[kUp] + record.nbytes[kUp] / 2, {0x5a, 0xa5});
        CHECK(fails(store, 1, 3));
        CHECK(says(store, "Expert 3 of layer 2") && says(store, plan.checksums ? "checksum" : "changed"));
        store.clear_fault();
        CHECK(right(store, file, plan, 0, 0));  // it was read before the change
        if (!plan.checksums) continue;
        CHECK(right(store, file, plan, 1, 2));
        file.restore();
        CHECK(right(store, file, plan, 1, 3));
    }
    // A new file replaces the name: the open store still reads the old file.
    for (const Plan & plan : {checked, bare}) {
        ExpertFile file(plan);
        Store store;
        open_store(store, file, plan, all_bytes(file));
        file.replace();
        CHECK(right(store, file, plan, 1, 1) && store.fault().empty());
    }
}

void check_opening_and_closing() {
    Plan plan;
    const ExpertFile file(plan);
    {
        Store store;
        StoreOptions options{};
        CHECK(store
                  .open({{"/nonexistent/file.experts", 0}}, file.experts(), plan.moe_layers, plan.experts_per_layer,
                        options)
                  .find("cannot be opened") != std::string::npos);
    }
    {
        Store store;
        StoreOptions options{};
        std::vector<PartFile> files = file.files();
        files[0].size++;  // as if it had been replaced after its header was read
        CHECK(store.open(files, file.experts(), plan.moe_layers, plan.experts_per_layer, options).find("was changed") !=
              std::string::npos);
    }
    const auto once = [&] {
        Store store;
        open_store(store, file, plan, all_bytes(file));
        for (int i = 0; i < plan.experts_per_layer; i++) store.prefetch(0, i, true);
        CHECK(right(store, file, plan, 1, 1));
    };  // closed while it reads
    once();
    const size_t threads = entries("/proc/self/task"), descriptors = entries("/proc/self/fd");
    for (int i = 0; i < 200; i++) once();
    // /proc may still list a joined thread for a moment.
    CHECK(soon([&] { return entries("/proc/self/task") <= threads; }) && entries("/proc/self/fd") == descriptors);
    // Two stores on one file are independent.
    Store one, other;
    open_store(one, file, plan, all_bytes(file));
    open_store(other, file, plan, all_bytes(file) / 2, false);
    for (int i = 0; i < plan.experts_per_layer; i++)
        CHECK(right(one, file, plan, 0, i) && right(other, file, plan, 0, i));
}
