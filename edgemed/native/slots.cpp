#include "slots.h"

#include <sys/mman.h>

#include <algorithm>

namespace edgemed {
namespace {

constexpr uint64_t kHugePage = 2 << 20, kSmallestHuge = 512 << 10;

}  // namespace

Slots::~Slots() {
    for (Class & each : classes_)
        if (each.mapping != nullptr) munmap(each.mapping, each.mapped);
}

bool Slots::reserve(std::vector<Expert> & experts) {
    std::vector<uint64_t> sizes;
    for (const Expert & expert : experts) sizes.push_back(expert.slot_bytes);
    std::sort(sizes.begin(), sizes.end());
    for (auto from = sizes.begin(); from != sizes.end();) {
        const auto     to = std::upper_bound(from, sizes.end(), *from);
        const uint32_t places = static_cast<uint32_t>(to - from);
        Class          one;
        one.bytes = *from;
        one.huge = one.bytes >= kSmallestHuge;
        one.mapped = one.bytes * places + kHugePage;
        one.mapping = mmap(nullptr, one.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (one.mapping == MAP_FAILED) return false;
        const auto start = reinterpret_cast<uintptr_t>(one.mapping);
        one.base = reinterpret_cast<uint8_t *>((start + kHugePage - 1) & ~(kHugePage - 1));
        madvise(one.mapping, one.mapped, one.huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        one.empty.reserve(places);
        one.idle.reserve(places);
        for (uint32_t place = places; place-- > 0;) one.empty.push_back(place);
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
    if (!one.idle.empty()) return 0;
    return one.bytes + (one.huge && !one.touched ? kHugePage : 0);
}

uint64_t Slots::slack_bytes() const {
    return kHugePage * static_cast<uint64_t>(std::count_if(classes_.begin(), classes_.end(), [](const Class & one) { return one.huge; }));
}

uint8_t * Slots::take(int size_class) {
    Class & one = classes_[static_cast<size_t>(size_class)];
    held_ += cost(size_class);
    one.touched = true;
    const bool              reuse = !one.idle.empty();
    std::vector<uint32_t> & from = reuse ? one.idle : one.empty;
    const uint32_t          place = from.back();
    from.pop_back();
    if (reuse) idle_ -= one.bytes;
    return one.base + one.bytes * place;
}

void Slots::give_back(int size_class, uint8_t * place) {
    Class & one = classes_[static_cast<size_t>(size_class)];
    one.idle.push_back(static_cast<uint32_t>(static_cast<uint64_t>(place - one.base) / one.bytes));
    idle_ += one.bytes;
}

uint64_t Slots::release_idle(uint64_t wanted) {
    uint64_t released = 0;
    for (Class & one : classes_) {
        while (released < wanted && !one.idle.empty()) {
            const uint32_t place = one.idle.back();
            one.idle.pop_back();
            madvise(one.base + one.bytes * place, one.bytes, MADV_DONTNEED);
            one.empty.push_back(place);
            idle_ -= one.bytes;
            held_ -= one.bytes;
            released += one.bytes;
        }
    }
    return released;
}

}  // namespace edgemed
