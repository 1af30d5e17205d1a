#include "store.h"

#include <algorithm>
#include <cmath>

namespace edgemed {
namespace {

constexpr auto kAbortPoll = std::chrono::milliseconds(10);

}  // namespace

std::string Store::open(const char * path, std::vector<Expert> experts, int rows, int per_row,
                        const StoreOptions & options) {
    experts_ = std::move(experts);
    entries_ = std::vector<Entry>(experts_.size());
    rows_ = rows;
    per_row_ = per_row;
    first_layer_ = options.first_layer;
    budget_ = options.budget_bytes;
    half_life_ = std::max(options.half_life, 1.0f);
    if (!slots_.reserve(experts_)) return "the kernel refuses to reserve addresses for the experts.";
    passed_.reserve(entries_.size());  // a scan passes each once
    cold_.reserve(entries_.size());
    held_.assign(static_cast<size_t>(rows), 0);
    residents_.resize(static_cast<size_t>(slots_.classes()));
    marginal_.assign(residents_.size(), std::numeric_limits<float>::quiet_NaN());
    std::vector<size_t> most(residents_.size(), 0);
    for (const Expert & expert : experts_) most[static_cast<size_t>(expert.size_class)]++;
    for (size_t c = 0; c < most.size(); c++) residents_[c].reserve(most[c]);
    std::string fault = reader_.open(path, std::max(options.reader_threads, 1), options.direct != 0,
                                     [this](uint32_t which, const std::string & why) { finished(which, why); });
    if (fault.empty() && options.background != 0) background_ = std::thread([this] { work_in_background(); });
    return fault;
}

Store::~Store() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
    }
    background_wake_.notify_one();
    if (background_.joinable()) background_.join();
    reader_.close();
    if (trace_ != nullptr) std::fclose(trace_);
}

// A score is log2 of the sum, over past uses, of 2^(when / half-life): uses halve in worth every half-life, yet no score
// ever needs refreshing, and it outlives eviction.
float Store::used(float score, int uses) const {
    const float now =
        static_cast<float>(static_cast<double>(clock_) / half_life_) + std::log2(static_cast<float>(uses));
    const float high = std::max(score, now), low = std::min(score, now);
    return high + std::log2(1.0f + std::exp2(low - high));
}

bool Store::pin(int row, int index, int uses, bool patient) {
    const uint32_t which = id(row, index);
    std::lock_guard lock(mutex_);
    Entry & entry = entries_[which];
    const State was = entry.state.load(std::memory_order_relaxed);
    if (was == State::absent || was == State::failed) {
        if (!start(which, patient ? kNothing : kAny, true)) {
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
    asked_at_ = std::chrono::steady_clock::now();
    entry.pins++;
    entry.guessed = false;
    filled(entry);
    entry.score = used(entry.score, uses);
    if (trace_ != nullptr) {
        const uint32_t line[3] = {static_cast<uint32_t>(clock_), static_cast<uint32_t>(row),
                                  static_cast<uint32_t>(index)};
        std::fwrite(line, sizeof line, 1, trace_);
    }
    return true;
}

void Store::unpin(int row, int index) {
    std::lock_guard lock(mutex_);
    entries_[id(row, index)].pins--;
    if (scanned_ >= 0 && passed_.size() < passed_.capacity()) passed_.push_back(id(row, index));
    shrink();
}

void Store::step(int tokens) {
    std::lock_guard lock(mutex_);
    clock_ += static_cast<uint64_t>(tokens);
}

void Store::scan(int row, int index) {
    std::lock_guard lock(mutex_);
    if (row < 0 || row < scanned_ || (row == scanned_ && index < scanned_to_)) passed_.clear();  // another scan
    scanned_ = row;
    scanned_to_ = index;
}

bool Store::guess(int row, int index, bool certain) {
    const uint32_t which = id(row, index);
    std::lock_guard lock(mutex_);
    Entry & entry = entries_[which];
    if (entry.state.load(std::memory_order_relaxed) != State::absent) return true;
    if (!start(which, !certain ? used(entry.score, 1) : scanned_ < 0 ? kGuessedNow : kWantedNext, false)) return false;
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
    held_[which / static_cast<uint32_t>(per_row_)]++;
    loading_++;
    reader_.queue({which, &expert, entry.data, !demanded});
    return true;
}

void Store::finished(uint32_t which, const std::string & fault) {
    std::lock_guard lock(mutex_);
    loading_--;
    filled(entries_[which]);
    if (!fault.empty() && entries_[which].pins > 0) {
        const int row = static_cast<int>(which) / per_row_, index = static_cast<int>(which) % per_row_;
        fault_ = "Expert " + std::to_string(index) + " of layer " + std::to_string(first_layer_ + row) +
                 " cannot be used: " + fault + ".";
    }
    if (!fault.empty()) evict(which);  // one that nobody waits for is read again, should somebody want it
    entries_[which].state.store(fault.empty() ? State::ready : State::failed, std::memory_order_release);
    shrink();
    arrived_.notify_all();
}

const uint8_t * Store::wait(int row, int index) {
    Entry & entry = entries_[id(row, index)];
    if (entry.state.load(std::memory_order_acquire) == State::ready) return entry.data;
    const auto from = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    while (entry.state.load(std::memory_order_relaxed) == State::loading && !aborted())
        arrived_.wait_for(lock, kAbortPoll);
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

void Store::request_abort(bool on) {
    const bool was = abort_.exchange(on, std::memory_order_relaxed);
    if (on) arrived_.notify_all();
    // A stopped prompt may leave seconds of reads in the queue, and the next one would wait behind them. What is read
    // because it was hot last time was never asked for by a prompt, and stays.
    if (was && !on)
        forget_reads([this](uint32_t queued, bool demanded) { return demanded || entries_[queued].guessed; });
}

// A layer's routing is known: what was guessed for it or for one before it, and not begun, only takes the disk's time now.
void Store::settle(int row) {
    forget_reads([this, end = id(row + 1, 0)](uint32_t queued, bool demanded) {
        return !demanded && entries_[queued].guessed && queued < end;
    });
}

void Store::forget_reads(const std::function<bool(uint32_t, bool)> & unwanted) {
    std::lock_guard lock(mutex_);
    if (loading_ == 0) return;
    for (uint32_t which : reader_.forget([&](uint32_t queued, bool demanded) {
             return entries_[queued].pins == 0 && unwanted(queued, demanded);
         })) {
        evict(which);
        loading_--;
    }
}

uint32_t Store::under_way() const {
    std::lock_guard lock(mutex_);
    return loading_;
}

std::string Store::fault() const {
    std::lock_guard lock(mutex_);
    return fault_;
}

void Store::clear_fault() {
    // What was asked for together with the read that failed may fail yet, and whoever asks next would hear of it: what has
    // not begun never does (a failing disk takes its time), what has is waited for.
    forget_reads([this](uint32_t queued, bool demanded) { return demanded || entries_[queued].guessed; });
    std::unique_lock lock(mutex_);
    while (!fault_.empty() && loading_ > filling_ && !aborted()) arrived_.wait_for(lock, kAbortPoll);
    fault_.clear();
    for (Entry & entry : entries_)
        if (entry.state.load(std::memory_order_relaxed) == State::failed)
            entry.state.store(State::absent, std::memory_order_relaxed);
}

StoreStats Store::stats() const {
    std::lock_guard lock(mutex_);
    StoreStats now = stats_;
    now.bytes_read = reader_.bytes_read();
    now.resident_bytes = slots_.resident_bytes();
    now.budget_bytes = budget_;
    return now;
}

void Store::add_computing(double seconds, uint64_t shared_bytes) {
    std::lock_guard lock(mutex_);
    stats_.compute_seconds += seconds;
    stats_.shared_bytes += shared_bytes;
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

}  // namespace edgemed
