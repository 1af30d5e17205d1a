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
        const bool huge = one.bytes >= kSmallestHuge;
        one.grain = huge ? kHugePage : one.bytes;
        one.mapped = one.bytes * places + 2 * kHugePage;  // to begin and to end with a whole one
        one.mapping = mmap(nullptr, one.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (one.mapping == MAP_FAILED) return false;
        const auto start = reinterpret_cast<uintptr_t>(one.mapping);
        one.base = reinterpret_cast<uint8_t *>((start + kHugePage - 1) & ~(kHugePage - 1));
        madvise(one.mapping, one.mapped, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        one.users.resize(one.last_grain(places - 1) + 1);
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
    uint64_t       cost = 0;
    const uint32_t place = one.empty.back();
    for (uint64_t g = one.first_grain(place); g <= one.last_grain(place); g++) cost += one.users[g] == 0 ? one.grain : 0;
    return cost;
}

uint64_t Slots::most(int size_class) const {
    const Class & one = at(size_class);
    if (one.bytes % one.grain == 0) return one.bytes;
    return (one.bytes + 2 * one.grain - kPage - 1) / one.grain * one.grain;  // it begins on the last page of a grain
}

uint64_t Slots::all() const {
    uint64_t sum = 0;
    for (const Class & one : classes_) sum += one.users.size() * one.grain;
    return sum;
}

uint8_t * Slots::take(int size_class) {
    Class & one = classes_[static_cast<size_t>(size_class)];
    held_ += cost(size_class);
    const bool              reuse = !one.idle.empty();
    std::vector<uint32_t> & from = reuse ? one.idle : one.empty;
    const uint32_t          place = from.back();
    from.pop_back();
    if (reuse) {
        idle_ -= one.bytes;
    } else {
        for (uint64_t g = one.first_grain(place); g <= one.last_grain(place); g++) one.users[g]++;
    }
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
            one.empty.push_back(place);
            idle_ -= one.bytes;
            for (uint64_t g = one.first_grain(place); g <= one.last_grain(place); g++) {
                if (--one.users[g] > 0) continue;
                madvise(one.base + one.grain * g, one.grain, MADV_DONTNEED);
                released += one.grain;
            }
        }
    }
    held_ -= released;
    return released;
}

}  // namespace edgemed
