#include "store.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace edgemed {
namespace {

constexpr int   kSampled = 16;      // candidates looked at among its own size, and again among all
constexpr float kOtherSize = 1.0f;  // another size must be worth half as much to be taken instead: it costs page faults
constexpr float kSoon = 1e9f;       // above any score: the clock would have to pass 64 billion tokens
constexpr float kAny = std::numeric_limits<float>::infinity();
constexpr uint64_t kShrinkStep = 64 << 20;
constexpr auto  kAbortPoll = std::chrono::milliseconds(10);

}  // namespace

std::string Store::open(const char * path, std::vector<Expert> experts, int rows, int per_row, const StoreOptions & options) {
    experts_ = std::move(experts);
    entries_ = std::vector<Entry>(experts_.size());
    rows_ = rows;
    per_row_ = per_row;
    first_layer_ = options.first_layer;
    budget_ = options.budget_bytes;
    half_life_ = std::max(options.half_life, 1.0f);
    if (!slots_.reserve(experts_)) return "the kernel refuses to reserve addresses for the experts.";
    residents_.resize(static_cast<size_t>(slots_.classes()));
    std::vector<size_t> most(residents_.size(), 0);
    for (const Expert & expert : experts_) most[static_cast<size_t>(expert.size_class)]++;
    for (size_t c = 0; c < most.size(); c++) residents_[c].reserve(most[c]);
    return reader_.open(path, std::max(options.reader_threads, 1), options.direct != 0,
                        [this](uint32_t which, const std::string & fault) { finished(which, fault); });
}

Store::~Store() {
    reader_.close();
    if (trace_ != nullptr) std::fclose(trace_);
}

// A score is log2 of the sum, over past uses, of 2^(when / half-life): uses halve in worth every half-life, yet no score
// ever needs refreshing, and it outlives eviction.
float Store::used(float score, int uses) const {
    const float now = static_cast<float>(static_cast<double>(clock_) / half_life_) + std::log2(static_cast<float>(uses));
    const float high = std::max(score, now), low = std::min(score, now);
    return high + std::log2(1.0f + std::exp2(low - high));
}

// What keeping an expert is worth: its score; more than any score if a batch will reach it soon; and more than anything if
// it was guessed for this step.
float Store::worth(uint32_t which) const {
    const Entry & entry = entries_[which];
    if (entry.guessed && entry.guessed_at == clock_) return std::numeric_limits<float>::max();
    const bool ahead = scanned_ >= 0 && static_cast<int>(which) / per_row_ > scanned_;
    return ahead ? std::max(entry.score, 0.0f) + kSoon : entry.score;
}

uint32_t Store::draw(size_t below) {
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<uint32_t>((random_ >> 33) % below);
}

bool Store::pin(int row, int index, int uses) {
    const uint32_t which = id(row, index);
    std::lock_guard lock(mutex_);
    Entry & entry = entries_[which];
    const State was = entry.state.load(std::memory_order_relaxed);
    if (was == State::absent || was == State::failed) {
        if (!start(which, kAny, true)) {
            hopeless_ = loading_ == 0;
            return false;
        }
        stats_.misses++;
    } else {
        if (was == State::loading) reader_.promote(which);
        if (entry.guessed) stats_.guesses_used++;
        stats_.hits += was == State::ready;
        stats_.misses += was == State::loading;
    }
    activity_.count(which, was == State::ready);
    entry.pins++;
    entry.guessed = false;
    entry.score = used(entry.score, uses);
    if (trace_ != nullptr) {
        const uint32_t line[3] = {static_cast<uint32_t>(clock_), static_cast<uint32_t>(row), static_cast<uint32_t>(index)};
        std::fwrite(line, sizeof line, 1, trace_);
    }
    return true;
}

void Store::unpin(int row, int index) {
    std::lock_guard lock(mutex_);
    entries_[id(row, index)].pins--;
}

void Store::step(int tokens) {
    std::lock_guard lock(mutex_);
    clock_ += static_cast<uint64_t>(tokens);
}

void Store::scan(int row) {
    std::lock_guard lock(mutex_);
    scanned_ = row;
}

bool Store::guess(int row, int index, bool certain) {
    const uint32_t which = id(row, index);
    std::lock_guard lock(mutex_);
    Entry & entry = entries_[which];
    if (entry.state.load(std::memory_order_relaxed) != State::absent) return true;
    if (!start(which, certain ? kSoon : used(entry.score, 1), false)) return false;
    entry.guessed = true;
    entry.guessed_at = clock_;
    stats_.guesses++;
    return true;
}

bool Store::start(uint32_t which, float ceiling, bool demanded) {
    const Expert & expert = experts_[which];
    if (!make_room(expert.size_class, ceiling)) return false;
    Entry & entry = entries_[which];
    std::vector<uint32_t> & residents = residents_[static_cast<size_t>(expert.size_class)];
    entry.data = slots_.take(expert.size_class);
    entry.state.store(State::loading, std::memory_order_relaxed);
    entry.place = static_cast<uint32_t>(residents.size());
    residents.push_back(which);
    loading_++;
    const ReadJob job{which, &expert, entry.data};
    demanded ? reader_.demand(job) : reader_.guess(job);
    return true;
}

void Store::finished(uint32_t which, const std::string & fault) {
    std::lock_guard lock(mutex_);
    loading_--;
    if (!fault.empty() && entries_[which].pins > 0) {
        const int row = static_cast<int>(which) / per_row_, index = static_cast<int>(which) % per_row_;
        fault_ = "Expert " + std::to_string(index) + " of layer " + std::to_string(first_layer_ + row) + " cannot be used: " + fault + ".";
    }
    if (!fault.empty()) evict(which);  // one that nobody waits for is read again, should somebody want it
    entries_[which].state.store(fault.empty() ? State::ready : State::failed, std::memory_order_release);
    arrived_.notify_all();
}

const uint8_t * Store::wait(int row, int index) {
    Entry & entry = entries_[id(row, index)];
    if (entry.state.load(std::memory_order_acquire) == State::ready) return entry.data;
    const auto from = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    while (entry.state.load(std::memory_order_relaxed) == State::loading && !aborted()) arrived_.wait_for(lock, kAbortPoll);
    stats_.wait_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
    return entry.state.load(std::memory_order_relaxed) == State::ready && !aborted() ? entry.data : nullptr;
}

bool Store::wait_for_room() {
    std::unique_lock lock(mutex_);
    if (hopeless_) {
        fault_ = "The memory budget is too small for the experts of one layer; give the engine more (--ram).";
        return false;
    }
    arrived_.wait_for(lock, kAbortPoll);
    return !aborted();
}

bool Store::make_room(int size_class, float ceiling) {
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

// Evicts the expert worth least among a sample, if it is worth less than `ceiling`. One of the same size is preferred:
// it leaves its pages in place.
bool Store::evict_one(int size_class, float ceiling) {
    uint32_t   best = 0;
    float      least = ceiling;
    bool       found = false;
    const auto consider = [&](uint32_t which) {
        const Entry & entry = entries_[which];
        if (entry.pins > 0 || entry.state.load(std::memory_order_relaxed) != State::ready) return;
        const float value = worth(which) + (experts_[which].size_class == size_class ? 0.0f : kOtherSize);
        if (value >= least) return;
        least = value;
        best = which;
        found = true;
    };
    const std::vector<uint32_t> & same = residents_[static_cast<size_t>(size_class)];
    for (int i = 0; i < kSampled && !same.empty(); i++) consider(same[draw(same.size())]);
    if (residents_.size() > 1)
        for (int i = 0; i < kSampled; i++) {
            const std::vector<uint32_t> & any = residents_[draw(residents_.size())];
            if (!any.empty()) consider(any[draw(any.size())]);
        }
    if (!found && ceiling == kAny)  // the sample was all in use: somebody waits, so look at everything
        for (const std::vector<uint32_t> & any : residents_)
            for (size_t i = 0; i < any.size() && !found; i++) consider(any[i]);
    if (!found) return false;
    evict(best);
    stats_.evictions++;
    return true;
}

void Store::evict(uint32_t victim) {
    Entry &                 entry = entries_[victim];
    const int               size_class = experts_[victim].size_class;
    std::vector<uint32_t> & residents = residents_[static_cast<size_t>(size_class)];
    residents[entry.place] = residents.back();
    entries_[residents[entry.place]].place = entry.place;
    residents.pop_back();
    slots_.give_back(size_class, entry.data);
    entry.data = nullptr;
    entry.guessed = false;
    entry.state.store(State::absent, std::memory_order_relaxed);
}

void Store::request_abort(bool on) {
    const bool was = abort_.exchange(on, std::memory_order_relaxed);
    if (on) arrived_.notify_all();
    if (was && !on) forget_reads();
}

// A stopped prompt may leave seconds of reads in the queue, and the next one would wait behind them. What is read back
// because it was hot last time was never asked for by a prompt, and stays.
void Store::forget_reads() {
    std::lock_guard lock(mutex_);
    const auto unwanted = [this](uint32_t queued, bool demanded) { return entries_[queued].pins == 0 && (demanded || entries_[queued].guessed); };
    for (uint32_t which : reader_.forget(unwanted)) {
        evict(which);
        loading_--;
    }
}

std::string Store::fault() const {
    std::lock_guard lock(mutex_);
    return fault_;
}

void Store::clear_fault() {
    std::lock_guard lock(mutex_);
    fault_.clear();
    for (Entry & entry : entries_)
        if (entry.state.load(std::memory_order_relaxed) == State::failed) entry.state.store(State::absent, std::memory_order_relaxed);
}

void Store::set_budget(uint64_t bytes) {
    {
        std::lock_guard lock(mutex_);
        budget_ = bytes;
    }
    while (shrink()) {}  // the lock free in between: giving gigabytes back takes a while, and somebody may be computing
}

bool Store::shrink() {
    std::lock_guard lock(mutex_);
    if (slots_.resident_bytes() <= budget_) return false;
    if (slots_.idle_bytes() == 0)  // where everything left is in use right now, the next eviction goes on
        return evict_one(static_cast<int>(draw(residents_.size())), kAny);
    slots_.release_idle(std::min(slots_.resident_bytes() - budget_, kShrinkStep));
    return true;
}

StoreStats Store::stats() const {
    std::lock_guard lock(mutex_);
    StoreStats now = stats_;
    now.bytes_read = reader_.bytes_read();
    now.resident_bytes = slots_.resident_bytes();
    now.budget_bytes = budget_;
    return now;
}

void Store::add_compute_seconds(double seconds) {
    std::lock_guard lock(mutex_);
    stats_.compute_seconds += seconds;
}

void Store::add_predictions(int made, int right) {
    std::lock_guard lock(mutex_);
    stats_.predicted += static_cast<uint64_t>(made);
    stats_.predicted_right += static_cast<uint64_t>(right);
}

bool Store::record_trace(const char * path) {
    std::lock_guard lock(mutex_);
    if (trace_ != nullptr) std::fclose(trace_);
    trace_ = path != nullptr ? std::fopen(path, "wb") : nullptr;
    return path == nullptr || trace_ != nullptr;
}

// The largest `at_once` experts of any one layer, which a token needs pinned together, wherever they come to lie.
uint64_t Store::smallest_budget(int at_once) const {
    uint64_t most = 0;
    std::vector<uint64_t> sizes(static_cast<size_t>(per_row_));
    for (int row = 0; row < rows_; row++) {
        for (int e = 0; e < per_row_; e++) sizes[static_cast<size_t>(e)] = expert(row, e).slot_bytes;
        std::sort(sizes.rbegin(), sizes.rend());
        uint64_t sum = 0;
        for (int e = 0; e < std::min(at_once, per_row_); e++) sum += sizes[static_cast<size_t>(e)];
        most = std::max(most, sum);
    }
    return most + slots_.slack_bytes();
}

}  // namespace edgemed
