#include "store.h"

#include <algorithm>
#include <cmath>

namespace edgemed {
namespace {

constexpr auto kAbortPoll = std::chrono::milliseconds(10);

}  // namespace

std::string Store::open(const std::vector<PartFile> & files, std::vector<Expert> experts, int moe_layers,
                        int experts_per_layer, const StoreOptions & options) {
    experts_ = std::move(experts);
    entries_ = std::vector<Entry>(experts_.size());
    moe_layers_ = moe_layers;
    experts_per_layer_ = experts_per_layer;
    first_layer_ = options.first_layer;
    budget_ = options.budget_bytes;
    half_life_ = std::max(options.half_life, 1.0f);
    if (!slots_.reserve(experts_)) return "the kernel refuses to reserve addresses for the experts.";
    scanned_.reserve(entries_.size());  // a scan visits each once
    cold_.reserve(entries_.size());
    layer_residents_.assign(static_cast<size_t>(moe_layers), 0);
    residents_.resize(static_cast<size_t>(slots_.classes()));
    marginal_.assign(residents_.size(), std::numeric_limits<float>::quiet_NaN());
    std::vector<size_t> most(residents_.size(), 0);
    for (const Expert & expert : experts_) most[static_cast<size_t>(expert.size_class)]++;
    for (size_t c = 0; c < most.size(); c++) residents_[c].reserve(most[c]);
    std::string fault = parts_.open(files.data(), static_cast<int>(files.size()), options.direct != 0);
    if (!fault.empty()) return fault;
    reader_.open(parts_, std::max(options.reader_threads, 1),
                 [this](uint32_t key, const std::string & why) { finished(key, why); });
    if (options.background != 0) background_ = std::thread([this] { work_in_background(); });
    return {};
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

// An exponentially decayed use count, kept as a logarithm: score = log2(sum over uses of 2^(time of use / half-life)).
// A use then counts half after one half-life, although no stored score is ever updated; scores outlive eviction.
float Store::score_after_use(float score, int uses) const {
    const float use = now() + std::log2(static_cast<float>(uses));
    // log2(2^score + 2^use), without overflow.
    const float high = std::max(score, use), low = std::min(score, use);
    return high + std::log2(1.0f + std::exp2(low - high));
}

bool Store::pin(int moe_layer, int index, int uses, bool without_eviction) {
    const uint32_t key = key_of(moe_layer, index);
    std::lock_guard lock(mutex_);
    Entry & entry = entries_[key];
    const State was = entry.state.load(std::memory_order_relaxed);
    if (was == State::absent || was == State::failed) {
        if (!start(key, without_eviction ? kFreeRoomOnly : kEvictAnything, true)) {
            no_read_frees_room_ = reads_in_flight_ == 0;
            return false;
        }
        stats_.misses++;
    } else {
        if (was == State::loading) reader_.promote_to_demand(key);
        if (entry.prefetched) stats_.prefetches_used++;
        stats_.hits += was == State::ready;
        stats_.misses += was == State::loading;
    }
    activity_.count(key, was == State::ready);
    last_demand_ = std::chrono::steady_clock::now();
    entry.pins++;
    entry.prefetched = false;
    finish_fill(entry);
    entry.score = score_after_use(entry.score, uses);
    if (trace_ != nullptr) {
        const uint32_t line[3] = {static_cast<uint32_t>(clock_), static_cast<uint32_t>(moe_layer),
                                  static_cast<uint32_t>(index)};
        std::fwrite(line, sizeof line, 1, trace_);
    }
    return true;
}

void Store::unpin(int moe_layer, int index) {
    std::lock_guard lock(mutex_);
    entries_[key_of(moe_layer, index)].pins--;
    if (scan_layer_ >= 0 && scanned_.size() < scanned_.capacity()) scanned_.push_back(key_of(moe_layer, index));
    shrink();
}

void Store::advance_clock(int tokens) {
    std::lock_guard lock(mutex_);
    clock_ += static_cast<uint64_t>(tokens);
}

void Store::scan(int moe_layer, int index) {
    std::lock_guard lock(mutex_);
    const bool restarts = moe_layer < scan_layer_ || (moe_layer == scan_layer_ && index < scan_index_);
    if (moe_layer < 0 || restarts) scanned_.clear();
    scan_layer_ = moe_layer;
    scan_index_ = index;
}

bool Store::prefetch(int moe_layer, int index, bool certain) {
    const uint32_t key = key_of(moe_layer, index);
    std::lock_guard lock(mutex_);
    Entry & entry = entries_[key];
    if (entry.state.load(std::memory_order_relaxed) != State::absent) return true;
    const float ceiling = !certain ? score_after_use(entry.score, 1) : scan_layer_ < 0 ? kPrefetchedNow : kNeededNext;
    if (!start(key, ceiling, false)) return false;
    entry.prefetched = true;
    entry.prefetched_at = clock_;
    stats_.prefetches++;
    return true;
}

bool Store::start(uint32_t key, float ceiling, bool demanded) {
    const Expert & expert = experts_[key];
    if (!make_room(expert.size_class, ceiling)) return false;
    Entry & entry = entries_[key];
    std::vector<uint32_t> & residents = residents_[static_cast<size_t>(expert.size_class)];
    entry.data = slots_.acquire(expert.size_class);
    entry.state.store(State::loading, std::memory_order_relaxed);
    entry.resident_index = static_cast<uint32_t>(residents.size());
    residents.push_back(key);
    layer_residents_[key / static_cast<uint32_t>(experts_per_layer_)]++;
    reads_in_flight_++;
    reader_.queue({key, &expert, entry.data, !demanded});
    return true;
}

void Store::finished(uint32_t key, const std::string & fault) {
    std::lock_guard lock(mutex_);
    reads_in_flight_--;
    finish_fill(entries_[key]);
    if (!fault.empty() && entries_[key].pins > 0) {
        const int moe_layer = static_cast<int>(key) / experts_per_layer_;
        const int index = static_cast<int>(key) % experts_per_layer_;
        fault_ = "Expert " + std::to_string(index) + " of layer " + std::to_string(first_layer_ + moe_layer) +
                 " cannot be used: " + fault + ".";
    }
    if (!fault.empty()) evict(key);  // pin() reads it again
    entries_[key].state.store(fault.empty() ? State::ready : State::failed, std::memory_order_release);
    shrink();
    arrived_.notify_all();
}

const uint8_t * Store::wait(int moe_layer, int index) {
    Entry & entry = entries_[key_of(moe_layer, index)];
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
    if (no_read_frees_room_) {
        fault_ = "The memory budget is too small for the experts of one layer; give the engine more (--ram).";
        return false;
    }
    arrived_.wait_for(lock, kAbortPoll);
    return !aborted();
}

void Store::request_abort(bool on) {
    const bool was = abort_.exchange(on, std::memory_order_relaxed);
    if (on) arrived_.notify_all();
    // An aborted prompt can leave seconds of queued reads, which the next prompt would wait behind. Background
    // fills belong to no prompt and stay.
    if (was && !on)
        cancel_reads([this](uint32_t queued, bool demanded) { return demanded || entries_[queued].prefetched; });
}

void Store::cancel_prefetches(int through_layer) {
    cancel_reads([this, end = key_of(through_layer + 1, 0)](uint32_t queued, bool demanded) {
        return !demanded && entries_[queued].prefetched && queued < end;
    });
}

void Store::cancel_reads(const std::function<bool(uint32_t, bool)> & unwanted) {
    std::lock_guard lock(mutex_);
    if (reads_in_flight_ == 0) return;
    for (uint32_t key : reader_.cancel([&](uint32_t queued, bool demanded) {
             return entries_[queued].pins == 0 && unwanted(queued, demanded);
         })) {
        evict(key);
        reads_in_flight_--;
    }
}

uint32_t Store::reads_in_flight() const {
    std::lock_guard lock(mutex_);
    return reads_in_flight_;
}

std::string Store::fault() const {
    std::lock_guard lock(mutex_);
    return fault_;
}

void Store::clear_fault() {
    // Reads demanded together with the failed one may fail later and report to the next request. Drop those that have
    // not begun, and wait for the rest.
    cancel_reads([this](uint32_t queued, bool demanded) { return demanded || entries_[queued].prefetched; });
    std::unique_lock lock(mutex_);
    while (!fault_.empty() && reads_in_flight_ > background_reads_ && !aborted()) arrived_.wait_for(lock, kAbortPoll);
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
