// Which experts were asked for since somebody last looked: for the live view, and counted only while somebody looks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgemed {

class Activity {
  public:
    void count(uint32_t which, bool hit) {
        if (counts_.empty()) return;
        uint8_t & times = hit ? counts_[which].hits : counts_[which].misses;
        times = static_cast<uint8_t>(times + (times < UINT8_MAX));
    }
    // Copies the counts since the last call out and starts anew; the first call starts counting.
    void take(size_t experts, uint8_t * hits, uint8_t * misses);
    void stop() { std::vector<Counts>().swap(counts_); }

  private:
    struct Counts {
        uint8_t hits, misses;  // no more than 255 of either
    };
    std::vector<Counts> counts_;  // empty while nobody looks
};

}  // namespace edgemed
