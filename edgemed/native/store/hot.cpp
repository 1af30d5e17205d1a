// The scores of a run, saved at its end and restored at the next start (or taken from calibration).

#include <algorithm>

#include "store.h"

namespace edgemed {

// Scores relative to now, so that they mean the same in a run whose clock starts at 0.
void Store::copy_scores(float * out) const {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < entries_.size(); i++)
        out[i] = entries_[i].score == kNeverUsed ? kNeverUsed : entries_[i].score - now();
}

// Restores scores, shifted so that the hottest counts as one use now; the background then reads the hottest experts.
void Store::restore_scores(const float * scores) {
    std::lock_guard lock(mutex_);
    const float hottest = std::max(*std::max_element(scores, scores + entries_.size()), 0.0f);
    for (size_t i = 0; i < entries_.size(); i++)
        if (scores[i] > kNeverUsed) entries_[i].score = scores[i] - hottest + now();
    plan_background_fill();
}

}  // namespace edgemed
