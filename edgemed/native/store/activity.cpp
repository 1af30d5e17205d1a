#include "activity.h"

#include "store.h"

namespace edgemed {

void Activity::take(size_t experts, uint8_t * hits, uint8_t * misses) {
    counts_.resize(experts);
    for (size_t i = 0; i < experts; i++) {
        hits[i] = counts_[i].hits;
        misses[i] = counts_[i].misses;
        counts_[i] = {};
    }
}

void Store::store_state(uint8_t * states, uint8_t * hits, uint8_t * misses) {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < entries_.size(); i++)
        states[i] = static_cast<uint8_t>(entries_[i].state.load(std::memory_order_relaxed));
    activity_.take(entries_.size(), hits, misses);
}

int Store::scan_layer() const {
    std::lock_guard lock(mutex_);
    return scan_layer_;
}

void Store::stop_watching() {
    std::lock_guard lock(mutex_);
    activity_.stop();
}

}  // namespace edgemed
