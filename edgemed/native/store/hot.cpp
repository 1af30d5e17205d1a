// What is hot: scores out when a run ends, and in when the next begins, those or calibration's.

#include <algorithm>

#include "store.h"

namespace edgemed {

// Scores relative to now, so that they mean the same in a run whose clock starts anew.
void Store::copy_scores(float * out) const {
    std::lock_guard lock(mutex_);
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    for (size_t i = 0; i < entries_.size(); i++)
        out[i] = entries_[i].score == kNeverUsed ? kNeverUsed : entries_[i].score - now;
}

// Takes scores over, the hottest as if it were used once just now; the background reads the hottest in, as many as fit.
void Store::restore_scores(const float * scores) {
    std::lock_guard lock(mutex_);
    const float hottest = std::max(*std::max_element(scores, scores + entries_.size()), 0.0f);
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    for (size_t i = 0; i < entries_.size(); i++)
        if (scores[i] > kNeverUsed) entries_[i].score = scores[i] - hottest + now;
    plan_filling();
}

}  // namespace edgemed
