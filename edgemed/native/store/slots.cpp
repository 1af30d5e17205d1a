#include "slots.h"

#include <sys/mman.h>

#include <algorithm>

namespace edgemed {
namespace {

constexpr uint64_t kMinHugeBytes = 512 << 10;  // of an expert whose class uses huge pages (budget.py counts them)

}  // namespace

Slots::~Slots() {
    for (Class & each : classes_)
        if (each.mapping != nullptr) munmap(each.mapping, each.mapped);
}

bool Slots::reserve(std::vector<Expert> & experts) {
    std::vector<uint64_t> sizes;
    for (const Expert & expert : experts) sizes.push_back(expert.slot_bytes);
    std::sort(sizes.begin(), sizes.end());
    for (auto from = sizes.begin(); from != sizes.end();) {  // one class for each distinct size, ascending
        const auto to = std::upper_bound(from, sizes.end(), *from);
        const uint32_t slots = static_cast<uint32_t>(to - from);
        Class one;
        one.bytes = *from;
        one.slots = slots;
        one.huge = one.bytes >= kMinHugeBytes;
        one.mapped = one.bytes * slots + kHugePage;
        one.mapping =
            mmap(nullptr, one.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (one.mapping == MAP_FAILED) return false;
        // Slots start on a huge page.
        const auto start = reinterpret_cast<uintptr_t>(one.mapping);
        one.base = reinterpret_cast<uint8_t *>((start + kHugePage - 1) & ~(kHugePage - 1));
        madvise(one.mapping, one.mapped, one.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        one.empty.reserve(slots);
        one.idle.reserve(slots);
        for (uint32_t slot = slots; slot-- > 0;) one.empty.push_back(slot);
        classes_.push_back(std::move(one));
        from = to;
    }
    for (Expert & expert : experts) {
        const auto same = std::lower_bound(classes_.begin(), classes_.end(), expert.slot_bytes,
                                           [](const Class & c, uint64_t bytes) { return c.bytes < bytes; });
        expert.size_class = static_cast<int32_t>(same - classes_.begin());
    }
    return true;
}

uint64_t Slots::cost(int size_class) const {
    const Class & one = at(size_class);
    return one.idle.empty() ? empty_cost(one) : 0;
}

uint64_t Slots::slack_bytes() const {
    return kHugePage * static_cast<uint64_t>(
                           std::count_if(classes_.begin(), classes_.end(), [](const Class & one) { return one.huge; }));
}

uint64_t Slots::total_bytes() const {
    uint64_t sum = slack_bytes();
    for (const Class & one : classes_) sum += one.bytes * one.slots;
    return sum;
}

uint8_t * Slots::acquire(int size_class) {
    Class & one = classes_[static_cast<size_t>(size_class)];
    if (one.idle.empty()) return acquire_untouched(size_class);
    const uint32_t slot = one.idle.back();
    one.idle.pop_back();
    idle_ -= one.bytes;
    return one.base + one.bytes * slot;
}

uint8_t * Slots::acquire_untouched(int size_class) {
    Class & one = classes_[static_cast<size_t>(size_class)];
    held_ += empty_cost(one);
    one.touched = true;
    const uint32_t slot = one.empty.back();
    one.empty.pop_back();
    return one.base + one.bytes * slot;
}

int Slots::class_to_prefault(uint64_t budget) const {
    int best = -1;
    double largest = 0;
    for (int c = 0; c < classes(); c++) {
        const Class & one = at(c);
        const double share = static_cast<double>(one.empty.size()) / one.slots;
        if (share > largest && held_ + empty_cost(one) <= budget) {
            largest = share;
            best = c;
        }
    }
    return best;
}

void Slots::release(int size_class, uint8_t * slot) {
    Class & one = classes_[static_cast<size_t>(size_class)];
    one.idle.push_back(static_cast<uint32_t>(static_cast<uint64_t>(slot - one.base) / one.bytes));
    idle_ += one.bytes;
}

uint64_t Slots::trim_idle(uint64_t wanted) {
    uint64_t released = 0;
    for (Class & one : classes_) {
        while (released < wanted && !one.idle.empty()) {
            const uint32_t slot = one.idle.back();
            one.idle.pop_back();
            madvise(one.base + one.bytes * slot, one.bytes, MADV_DONTNEED);
            one.empty.push_back(slot);
            idle_ -= one.bytes;
            held_ -= one.bytes;
            released += one.bytes;
        }
    }
    return released;
}

}  // namespace edgemed
