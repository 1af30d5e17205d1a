// Hit and miss counts of every expert, for the live view. Counting costs memory, so it runs only while somebody
// watches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgemed {

class Activity {
  public:
    void count(uint32_t key, bool hit) {
        if (counts_.empty()) return;
        uint8_t & times = hit ? counts_[key].hits : counts_[key].misses;
        times = static_cast<uint8_t>(times + (times < UINT8_MAX));
    }
    // Copies out the counts since the last call, [experts] each, and resets them. The first call starts the counting.
    void take(size_t experts, uint8_t * hits, uint8_t * misses);
    void stop() { std::vector<Counts>().swap(counts_); }

  private:
    struct Counts {
        uint8_t hits, misses;  // saturate at 255
    };
    std::vector<Counts> counts_;  // by expert; empty while nobody watches
};

}  // namespace edgemed
