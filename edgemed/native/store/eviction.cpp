// Which expert is evicted when room is needed, and how the budget is kept.
// Why: docs/decisions.md#cache-eviction.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "store.h"

namespace edgemed {
namespace {

constexpr int kSampled = 16;  // random candidates per decision
// Evicting an expert of another size class returns its pages to the kernel and faults others in, which also breaks huge
// pages, so it must pay. Outside a scan the other class's experts must be worth kOtherSize less (half as much) on
// average, not just in this sample. During a scan the difference must be kOtherSizeScanned: more than two scores can
// differ by.
constexpr float kOtherSize = 1.0f, kOtherSizeScanned = 12.0f;
constexpr float kSmoothing = 1.0f / 32;  // of the running averages in marginal_
constexpr float kMaxAboveNow = 64.0f;    // bounds their inputs: a score can be kNeverUsed
// During a scan scores are clamped to +-kScores, which tells 1/16 of a use from 16. A layer with half its share of the
// residents gains kUneven / 2, the whole range of scores.
constexpr float kScores = 4.0f, kUneven = 16.0f;
constexpr uint64_t kShrinkStep = 64 << 20;

}  // namespace

// What keeping an expert is worth. Outside a scan: its score, but prefetches of this step come first until they are
// used.
//
// A batch needs nearly every expert it has not reached yet, those of this layer and the next one soonest, so the score
// of later ones matters little. Keep residency even across layers instead, so that reads and compute overlap: in a
// layer with no residents compute waits for the disk, and in a fully resident one the disk idles.
float Store::worth(uint32_t key) const {
    const Entry & entry = entries_[key];
    const bool ahead = scan_layer_ < 0 || key >= key_of(scan_layer_, scan_index_);  // not reached yet
    if (entry.prefetched && entry.prefetched_at == clock_ && ahead) return kPrefetchedNow;
    if (scan_layer_ < 0) return entry.score;
    const int moe_layer = static_cast<int>(key) / experts_per_layer_;
    if (ahead && moe_layer <= scan_layer_ + 1) return kNeededNext;
    // The layer's residents, as a multiple of the average layer's.
    const float all = static_cast<float>(std::accumulate(layer_residents_.begin(), layer_residents_.end(), 0U));
    const float share =
        static_cast<float>(layer_residents_[static_cast<size_t>(moe_layer)]) * static_cast<float>(moe_layers_) / all;
    return std::clamp(entry.score - now(), -kScores, kScores) + (ahead ? 2 * kScores : 0) + kUneven * (1 - share);
}

// A linear congruential generator (Knuth's MMIX constants); the high bits are the random ones.
uint32_t Store::random_below(size_t limit) {
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<uint32_t>((random_ >> 33) % limit);
}

// Makes room for one more expert of this class by evicting experts worth less than `ceiling`.
bool Store::make_room(int size_class, float ceiling) {
    if (!slots_.has_slot(size_class)) return false;  // the background is prefaulting the last free one
    while (slots_.resident_bytes() + slots_.cost(size_class) > budget_) {
        const uint64_t over = slots_.resident_bytes() + slots_.cost(size_class) - budget_;
        if (slots_.idle_bytes() > 0) slots_.trim_idle(over);  // of other classes, or left from a larger budget
        else if (!evict_one(size_class, ceiling)) return false;
    }
    return true;
}

bool Store::evictable(uint32_t key) const {
    return entries_[key].pins == 0 && entries_[key].state.load(std::memory_order_relaxed) == State::ready;
}

// The evictable expert of least worth in a random sample of the class. Updates the class's marginal worth.
Store::Candidate Store::sample_class(int size_class) {
    const std::vector<uint32_t> & residents = residents_[static_cast<size_t>(size_class)];
    Candidate least;
    for (int i = 0; i < kSampled && !residents.empty(); i++) {
        const uint32_t key = residents[random_below(residents.size())];
        if (!evictable(key)) continue;
        const float value = worth(key);
        if (value < least.worth) least = {key, value};
    }
    if (scan_layer_ >= 0 || !least.found()) return least;
    const float above_now = std::clamp(least.worth - now(), -kMaxAboveNow, kMaxAboveNow);
    float & marginal = marginal_[static_cast<size_t>(size_class)];
    marginal = std::isnan(marginal) ? above_now : marginal + kSmoothing * (above_now - marginal);
    return least;
}

// Replaces `least` where a random sample of what this scan has unpinned holds something worth less.
void Store::sample_scanned(int size_class, Candidate * least) {
    for (int i = 0; i < kSampled && !scanned_.empty(); i++) {
        const size_t at = random_below(scanned_.size());
        const uint32_t key = scanned_[at];
        const float value = worth(key) + (experts_[key].size_class == size_class ? 0.0f : kOtherSizeScanned);
        if (evictable(key) && value < least->worth) *least = {key, value};
        if (entries_[key].data != nullptr) continue;
        scanned_[at] = scanned_.back();  // it was evicted
        scanned_.pop_back();
    }
}

// Evicts the expert of least worth in the samples, if it is worth less than `ceiling`. Prefers one of the same size
// class, whose pages can be reused as they are.
bool Store::evict_one(int size_class, float ceiling) {
    Candidate least = sample_class(size_class);
    sample_scanned(size_class, &least);
    // One other class, chosen at random; more of them only while nothing was found.
    for (int tries = 0; tries == 0 || (!least.found() && tries < kSampled); tries++) {
        const int other_class = static_cast<int>(random_below(residents_.size()));
        if (other_class == size_class) continue;
        const Candidate other = sample_class(other_class);
        const float here = marginal_[static_cast<size_t>(size_class)];
        const float there = marginal_[static_cast<size_t>(other_class)];
        const bool pays = scan_layer_ >= 0 ? least.worth > other.worth + kOtherSizeScanned
                                           : least.worth > other.worth && here > there + kOtherSize;
        if (pays || !least.found()) least = other;
    }
    // All samples were in use. For a demand, take any expert that can be evicted.
    if (!least.found() && ceiling == kEvictAnything)
        for (const std::vector<uint32_t> & residents : residents_)
            for (uint32_t key : residents)
                if (evictable(key) && !least.found()) least = {key, worth(key)};
    if (!least.found() || least.worth >= ceiling) return false;
    evict(least.key);
    stats_.evictions++;
    return true;
}

void Store::evict(uint32_t victim) {
    Entry & entry = entries_[victim];
    const int size_class = experts_[victim].size_class;
    // The last resident takes the victim's index.
    std::vector<uint32_t> & residents = residents_[static_cast<size_t>(size_class)];
    residents[entry.resident_index] = residents.back();
    entries_[residents[entry.resident_index]].resident_index = entry.resident_index;
    residents.pop_back();
    layer_residents_[victim / static_cast<uint32_t>(experts_per_layer_)]--;
    slots_.release(size_class, entry.data);
    entry.data = nullptr;
    entry.prefetched = false;
    entry.state.store(State::absent, std::memory_order_relaxed);
}

void Store::set_budget(uint64_t bytes) {
    {
        std::lock_guard lock(mutex_);
        budget_ = bytes;
        plan_background_fill();
    }
    // Releases the lock between steps: returning gigabytes takes a while, and the computing thread may need it.
    for (bool more = true; more;) {
        std::lock_guard lock(mutex_);
        more = shrink();
    }
}

// Returns some memory if more is held than the budget allows. Pinned experts and reads in flight are not evicted;
// unpin() and finished() shrink again.
bool Store::shrink() {
    if (slots_.resident_bytes() <= budget_) return false;
    if (slots_.idle_bytes() == 0 && !evict_one(static_cast<int>(random_below(residents_.size())), kEvictAnything))
        return false;
    slots_.trim_idle(std::min(slots_.resident_bytes() - budget_, kShrinkStep));
    return true;
}

}  // namespace edgemed
