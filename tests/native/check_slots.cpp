// The memory of slots: Slots never reports less than the kernel counts.

#include <cstring>

#include "check.h"

using namespace edgemed;

namespace {

// Anonymous memory of this process in bytes, counted page by page.
uint64_t anonymous_bytes() {
    std::FILE * file = std::fopen("/proc/self/smaps_rollup", "r");
    CHECK(file != nullptr);
    char line[256];
    uint64_t kib = 0;
    while (std::fgets(line, sizeof line, file) != nullptr && std::sscanf(line, "Anonymous: %lu kB", &kib) != 1) {}
    std::fclose(file);
    return kib << 10;
}

struct Taken {
    int size_class;
    uint8_t * slot;
    uint8_t mark;
};

void fill_and_drain(const std::vector<uint64_t> & sizes, int each, uint64_t seed) {
    Random random(seed);
    std::vector<Expert> experts;
    for (uint64_t size : sizes)
        for (int i = 0; i < each; i++) {
            experts.push_back({});
            experts.back().slot_bytes = size;
        }
    std::shuffle(experts.begin(), experts.end(), random);
    Slots slots;
    CHECK(slots.reserve(experts));
    CHECK(slots.classes() == static_cast<int>(sizes.size()));
    for (const Expert & expert : experts) CHECK(slots.bytes(expert.size_class) == expert.slot_bytes);

    const uint64_t before = anonymous_bytes();
    std::vector<Taken> taken;
    std::vector<int> used(sizes.size(), 0);
    for (int step = 0; step < (kSanitized ? 150 : 400); step++) {
        const int wanted = static_cast<int>(below(random, sizes.size()));
        const int filling =
            static_cast<int>(step / 50 % 2 == 0 ? 8 : 2);  // in waves, so that everything is returned in between
        if (static_cast<int>(below(random, 10)) < filling && used[static_cast<size_t>(wanted)] < each) {
            const uint64_t held = slots.resident_bytes(), cost = slots.cost(wanted);
            uint8_t * slot = slots.acquire(wanted);
            CHECK(slots.resident_bytes() == held + cost);
            const auto mark = static_cast<uint8_t>(step);
            std::memset(slot, mark, slots.bytes(wanted));
            taken.push_back({wanted, slot, mark});
            used[static_cast<size_t>(wanted)]++;
        } else if (!taken.empty()) {
            const size_t at = below(random, taken.size());
            const Taken one = taken[at];
            for (uint64_t i = 0; i < slots.bytes(one.size_class); i += 64)
                CHECK(one.slot[i] == one.mark);  // nobody else wrote here
            slots.release(one.size_class, one.slot);
            used[static_cast<size_t>(one.size_class)]--;
            taken[at] = taken.back();
            taken.pop_back();
        }
        if (below(random, 4) == 0) {
            const uint64_t held = slots.resident_bytes();
            const uint64_t released = slots.trim_idle(below(random, 8 << 20));
            CHECK(slots.resident_bytes() == held - released);
        }
        if (!kSanitized && step % 5 == 0) CHECK(anonymous_bytes() <= before + slots.resident_bytes() + (256 << 10));
    }
    for (const Taken & one : taken) slots.release(one.size_class, one.slot);
    slots.trim_idle(UINT64_MAX);
    CHECK(slots.resident_bytes() == slots.slack_bytes() && slots.idle_bytes() == 0);
    if (!kSanitized) CHECK(anonymous_bytes() <= before + slots.slack_bytes() + (256 << 10));
}

}  // namespace

void check_slots() {
    fill_and_drain({4096, 12288, 40960}, 40, 1);
    fill_and_drain({524288, 614400, 1 << 20}, 12, 2);
    fill_and_drain({1347584, 3 << 20, 4718592}, 8, 3);
}
