// What was hot last time: scores out when a run ends, and back in when the next begins.

#include <algorithm>
#include <numeric>

#include "store.h"

namespace edgemed {

// Scores relative to now, so that they mean the same in a run whose clock starts anew.
void Store::copy_scores(float * out) const {
    std::lock_guard lock(mutex_);
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    for (size_t i = 0; i < entries_.size(); i++) out[i] = entries_[i].score == kNeverUsed ? kNeverUsed : entries_[i].score - now;
}

// Takes scores over and reads the hottest experts ahead, as many as fit; whatever is demanded meanwhile comes first.
void Store::restore_scores(const float * scores) {
    std::lock_guard lock(mutex_);
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    for (size_t i = 0; i < entries_.size(); i++)
        if (scores[i] > kNeverUsed) entries_[i].score = std::min(scores[i], 0.0f) + now;
    std::vector<uint32_t> hottest(entries_.size());
    std::iota(hottest.begin(), hottest.end(), 0U);
    std::sort(hottest.begin(), hottest.end(), [this](uint32_t a, uint32_t b) { return entries_[a].score > entries_[b].score; });
    for (uint32_t which : hottest) {
        if (entries_[which].score == kNeverUsed || slots_.resident_bytes() + slots_.cost(experts_[which].size_class) > budget_) break;
        if (entries_[which].state.load(std::memory_order_relaxed) == State::absent) start(which, kNeverUsed, false);
    }
}

}  // namespace edgemed
