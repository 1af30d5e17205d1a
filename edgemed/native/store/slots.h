// Memory for experts, within a fixed budget and without fragmentation.
//
// Experts of one size share a size class: a reserved stretch of addresses, one place for each of them. Addresses cost
// nothing; only places in use hold memory. A place given back is handed to the next expert of its class as it is,
// pages and all; when another class needs the bytes, its pages return to the kernel. So mixed precisions waste nothing
// beyond a last page, and a file of equal experts never faults a page in twice. Classes of large experts ask for huge
// pages: direct reads into them are twice as fast (docs/decisions.md).
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
    uint8_t * take(int size_class);        // has_place() must be true
    uint8_t * take_empty(int size_class);  // one without pages: the class must have one
    void give_back(int size_class, uint8_t * place);
    // The class with the smallest share of places that have pages, among those of which one more fits; -1 without one.
    int barest(uint64_t budget) const;
    bool has_idle(int size_class) const { return !at(size_class).idle.empty(); }
    bool has_place(int size_class) const { return !at(size_class).idle.empty() || !at(size_class).empty.empty(); }
    uint64_t release_idle(uint64_t wanted);  // returns pages of places given back to the kernel

    // Memory held now: places in use, places given back, and the part of a class's last huge page beyond its places.
    uint64_t resident_bytes() const { return held_; }
    uint64_t idle_bytes() const { return idle_; }
    // What taking one more place of this class may add.
    uint64_t cost(int size_class) const;
    // What classes hold beyond their places, once they were used.
    uint64_t slack_bytes() const;
    uint64_t everything_bytes() const;  // every place in use

  private:
    static constexpr uint64_t kHugePage = 2 << 20;

    struct Class {
        uint64_t bytes = 0;
        uint8_t * base = nullptr;
        void * mapping = nullptr;
        uint64_t mapped = 0;
        uint32_t places = 0;
        bool huge = false, touched = false;
        std::vector<uint32_t> empty;  // places without pages, the lowest last
        std::vector<uint32_t> idle;   // places whose pages are still there
    };
    uint64_t empty_cost(const Class & one) const { return one.bytes + (one.huge && !one.touched ? kHugePage : 0); }
    const Class & at(int size_class) const { return classes_[static_cast<size_t>(size_class)]; }

    std::vector<Class> classes_;
    uint64_t held_ = 0, idle_ = 0;
};

}  // namespace edgemed
