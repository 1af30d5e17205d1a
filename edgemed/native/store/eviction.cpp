// Who goes when room is needed, and what the budget allows.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "store.h"

namespace edgemed {
namespace {

constexpr int kSampled = 16;  // candidates looked at
// Taking another size gives its pages back and faults others in, which breaks huge pages: it must be worth half as much,
// and on average, not by the luck of a sample. In a scan, what it has yet to reach is worth more, what it has passed is not.
constexpr float kOtherSize = 1.0f, kOtherSizeScanned = 12.0f, kSmoothing = 1.0f / 32, kWorthless = -64.0f;
constexpr float kScores = 4.0f;   // in a scan scores between 1/16 and 16 uses are told apart
constexpr float kUneven = 16.0f;  // and a row with half its share gains as much as lies between them
constexpr uint64_t kShrinkStep = 64 << 20;

}  // namespace

// What keeping an expert is worth: its score; and more than anything if it was guessed for this step and is yet to be
// reached. While a batch goes through the rows, nearly all it has yet to reach will be wanted, that of this row and the
// next at once. Of later ones the score only weighs a little, and rows should hold alike: where one has nothing in memory
// the processor waits for the disk, where one has all the disk for the processor.
float Store::worth(uint32_t which) const {
    const Entry & entry = entries_[which];
    const bool ahead = scanned_ < 0 || which >= id(scanned_, scanned_to_);
    if (entry.guessed && entry.guessed_at == clock_ && ahead) return kGuessedNow;
    if (scanned_ < 0) return entry.score;
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    const int row = static_cast<int>(which) / per_row_;
    if (ahead && row <= scanned_ + 1) return kWantedNext;
    const float held = static_cast<float>(std::accumulate(held_.begin(), held_.end(), 0U));
    const float share =
        static_cast<float>(held_[which / static_cast<uint32_t>(per_row_)]) * static_cast<float>(rows_) / held;
    return std::clamp(entry.score - now, -kScores, kScores) + (ahead ? 2 * kScores : 0) + kUneven * (1 - share);
}

uint32_t Store::draw(size_t below) {
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<uint32_t>((random_ >> 33) % below);
}

bool Store::make_room(int size_class, float ceiling) {
    if (!slots_.has_place(size_class)) return false;  // the last free one is just being made ready
    while (slots_.resident_bytes() + slots_.cost(size_class) > budget_) {
        const uint64_t over = slots_.resident_bytes() + slots_.cost(size_class) - budget_;
        if (slots_.idle_bytes() > 0) {  // of another class, or more is held than the budget has become
            slots_.release_idle(over);
        } else if (!evict_one(size_class, ceiling)) {
            return false;
        }
    }
    return true;
}

bool Store::evictable(uint32_t which) const {
    return entries_[which].pins == 0 && entries_[which].state.load(std::memory_order_relaxed) == State::ready;
}

// The one worth least of a sample of a class.
Store::Candidate Store::least_of(int size_class) {
    const std::vector<uint32_t> & residents = residents_[static_cast<size_t>(size_class)];
    Candidate least;
    for (int i = 0; i < kSampled && !residents.empty(); i++) {
        const uint32_t which = residents[draw(residents.size())];
        if (!evictable(which)) continue;
        const float value = worth(which);
        if (value < least.worth) least = {which, value};
    }
    if (scanned_ >= 0 || least.worth == kAny) return least;
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_);
    const float above_now = std::clamp(least.worth - now, kWorthless, -kWorthless);
    float & marginal = marginal_[static_cast<size_t>(size_class)];
    marginal = std::isnan(marginal) ? above_now : marginal + kSmoothing * (above_now - marginal);
    return least;
}

// Evicts the expert worth least among a sample, if it is worth less than `ceiling`. One of the same size is preferred:
// it leaves its pages in place.
bool Store::evict_one(int size_class, float ceiling) {
    Candidate least = least_of(size_class);
    for (int i = 0; i < kSampled && !passed_.empty(); i++) {
        const size_t at = draw(passed_.size());
        const uint32_t which = passed_[at];
        const float value = worth(which) + (experts_[which].size_class == size_class ? 0.0f : kOtherSizeScanned);
        if (evictable(which) && value < least.worth) least = {which, value};
        if (entries_[which].data != nullptr) continue;
        passed_[at] = passed_.back();  // gone already
        passed_.pop_back();
    }
    for (int tries = 0; tries == 0 || (least.worth == kAny && tries < kSampled); tries++) {
        const int other_class = static_cast<int>(draw(residents_.size()));
        if (other_class == size_class) continue;
        const Candidate other = least_of(other_class);
        const bool dearer =
            scanned_ >= 0 ? least.worth > other.worth + kOtherSizeScanned
                          : least.worth > other.worth && marginal_[static_cast<size_t>(size_class)] >
                                                             marginal_[static_cast<size_t>(other_class)] + kOtherSize;
        if (dearer || least.worth == kAny) least = other;
    }
    if (least.worth == kAny && ceiling == kAny)  // the samples were all in use: somebody waits, so look at everything
        for (const std::vector<uint32_t> & any : residents_)
            for (uint32_t which : any)
                if (evictable(which) && least.worth == kAny) least = {which, worth(which)};
    if (least.worth == kAny || least.worth >= ceiling) return false;
    evict(least.which);
    stats_.evictions++;
    return true;
}

void Store::evict(uint32_t victim) {
    Entry & entry = entries_[victim];
    const int size_class = experts_[victim].size_class;
    std::vector<uint32_t> & residents = residents_[static_cast<size_t>(size_class)];
    residents[entry.place] = residents.back();
    entries_[residents[entry.place]].place = entry.place;
    residents.pop_back();
    held_[victim / static_cast<uint32_t>(per_row_)]--;
    slots_.give_back(size_class, entry.data);
    entry.data = nullptr;
    entry.guessed = false;
    entry.state.store(State::absent, std::memory_order_relaxed);
}

void Store::set_budget(uint64_t bytes) {
    {
        std::lock_guard lock(mutex_);
        budget_ = bytes;
        plan_filling();
    }
    for (bool more = true;
         more;) {  // the lock free in between: giving gigabytes back takes a while, and somebody may be computing
        std::lock_guard lock(mutex_);
        more = shrink();
    }
}

// Gives a little back where more is held than the budget has become. What is in use just then, or being read, goes when it
// is unpinned or has come.
bool Store::shrink() {
    if (slots_.resident_bytes() <= budget_) return false;
    if (slots_.idle_bytes() == 0 && !evict_one(static_cast<int>(draw(residents_.size())), kAny)) return false;
    slots_.release_idle(std::min(slots_.resident_bytes() - budget_, kShrinkStep));
    return true;
}

}  // namespace edgemed
