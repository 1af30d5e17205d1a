// Memory for experts, within a fixed budget and without fragmentation.
//
// Experts of one size form a size class: a reserved address range with one slot for each. Addresses cost nothing; only
// slots in use hold memory. A released slot goes to the next expert of its class with its pages in place; when another
// class needs the memory, its pages return to the kernel. So mixed sizes waste at most the last page of each expert,
// and a file whose experts are all of one size never faults a page twice. Classes of large experts use huge pages, into
// which direct reads are twice as fast (docs/decisions.md#direct-reads).
#pragma once

#include <cstdint>
#include <vector>

#include "expert.h"

namespace edgemed {

class Slots {
  public:
    Slots() = default;
    ~Slots();
    Slots(const Slots &) = delete;
    Slots & operator=(const Slots &) = delete;

    // Reserves addresses for every expert and sets each one's size class. False when the kernel refuses.
    bool reserve(std::vector<Expert> & experts);

    int classes() const { return static_cast<int>(classes_.size()); }
    uint64_t bytes(int size_class) const { return at(size_class).bytes; }
    uint8_t * acquire(int size_class);            // requires has_slot()
    uint8_t * acquire_untouched(int size_class);  // a slot without pages; the class must have one
    void release(int size_class, uint8_t * slot);
    // The class with the largest share of slots without pages, among those whose next slot fits the budget; else -1.
    int class_to_prefault(uint64_t budget) const;
    bool has_idle(int size_class) const { return !at(size_class).idle.empty(); }
    bool has_slot(int size_class) const { return !at(size_class).idle.empty() || !at(size_class).empty.empty(); }
    uint64_t trim_idle(uint64_t wanted);  // returns pages of released slots to the kernel; the bytes returned

    // Memory held now: slots in use, released slots that keep their pages, and the rest of each class's last huge page.
    uint64_t resident_bytes() const { return held_; }
    uint64_t idle_bytes() const { return idle_; }
    // What acquiring one more slot of this class may add.
    uint64_t cost(int size_class) const;
    // What all classes can hold beyond their slots.
    uint64_t slack_bytes() const;
    uint64_t total_bytes() const;  // with every slot in use

  private:
    static constexpr uint64_t kHugePage = 2 << 20;

    struct Class {
        uint64_t bytes = 0;
        uint8_t * base = nullptr;
        void * mapping = nullptr;
        uint64_t mapped = 0;
        uint32_t slots = 0;
        bool huge = false, touched = false;
        std::vector<uint32_t> empty;  // slots without pages, the lowest last
        std::vector<uint32_t> idle;   // released slots that keep their pages
    };
    uint64_t empty_cost(const Class & one) const { return one.bytes + (one.huge && !one.touched ? kHugePage : 0); }
    const Class & at(int size_class) const { return classes_[static_cast<size_t>(size_class)]; }

    std::vector<Class> classes_;
    uint64_t held_ = 0, idle_ = 0;
};

}  // namespace edgemed
