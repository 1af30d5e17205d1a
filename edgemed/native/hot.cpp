// What was hot last time: scores out when a run ends, and back in when the next begins.

#include <algorithm>

#include "store.h"

namespace edgemed {

// Scores relative to now, so that they mean the same in a run whose clock starts anew.
void Store::copy_scores(float * out) const {
    std::lock_guard lock(mutex_);
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    for (size_t i = 0; i < entries_.size(); i++) out[i] = entries_[i].score == kNeverUsed ? kNeverUsed : entries_[i].score - now;
}

// Takes scores over; the background reads the hottest experts back, as many as fit.
void Store::restore_scores(const float * scores) {
    std::lock_guard lock(mutex_);
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    for (size_t i = 0; i < entries_.size(); i++)
        if (scores[i] > kNeverUsed) entries_[i].score = std::min(scores[i], 0.0f) + now;
    plan_filling();
}

}  // namespace edgemed
