// Work done while the disk is idle: memory is prefaulted, which is slow under some hypervisors, and cold experts are
// read, as many as fit without evicting others.
// Why: docs/decisions.md#background-fill.

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "store.h"

namespace edgemed {
namespace {

constexpr int kNice = 10;                                      // of the background thread
constexpr uint32_t kMaxFillReads = 2;                          // keeps a disk busy and leaves readers to demands
constexpr auto kIdlePoll = std::chrono::milliseconds(20);      // how often to look for an idle disk
constexpr auto kNoDemandFor = std::chrono::milliseconds(100);  // longer than a layer takes for one token
constexpr int kPopulateWrite = 23;                             // MADV_POPULATE_WRITE, since Linux 5.14

void prefault(uint8_t * slot, uint64_t bytes) {
    if (madvise(slot, bytes, kPopulateWrite) == 0) return;
    for (uint64_t at = 0; at < bytes; at += kPage) *static_cast<volatile uint8_t *>(slot + at) = 0;
}

}  // namespace

// Orders the experts to read before they are demanded: those used before (in the last run too), the hottest first; then
// the rest, since the next prompt needs nearly all of them, evenly across layers (worth() says why).
void Store::plan_background_fill() {
    prefaulting_ = true;
    last_demand_ = std::chrono::steady_clock::now();  // a demand may follow at once
    cold_.clear();
    for (int index = experts_per_layer_ - 1; index >= 0; index--)
        for (int moe_layer = moe_layers_ - 1; moe_layer >= 0; moe_layer--) cold_.push_back(key_of(moe_layer, index));
    std::stable_sort(cold_.begin(), cold_.end(),
                     [this](uint32_t a, uint32_t b) { return entries_[a].score < entries_[b].score; });
    background_wake_.notify_one();
}

void Store::finish_fill(Entry & entry) {
    if (!entry.background_fill) return;
    entry.background_fill = false;
    background_reads_--;
    // Start the next read here if possible: the background thread may be busy prefaulting.
    if (no_recent_demand()) fill_one();
    else background_wake_.notify_one();
}

bool Store::no_recent_demand() const { return std::chrono::steady_clock::now() - last_demand_ > kNoDemandFor; }

// Starts reading the best cold expert if the disk is idle. An expert that was never used may not take pages from
// another size class and, unless everything fits, waits until there has been no demand for a while.
bool Store::fill_one() {
    if (background_reads_ >= kMaxFillReads || reads_in_flight_ > background_reads_ || aborted()) return false;
    const bool unused_too = no_recent_demand() || slots_.total_bytes() <= budget_;
    for (; !cold_.empty(); cold_.pop_back()) {
        const uint32_t key = cold_.back();
        Entry & entry = entries_[key];
        if (entry.state.load(std::memory_order_relaxed) != State::absent) continue;
        const bool idle = slots_.has_idle(experts_[key].size_class), used = entry.score > kNeverUsed;
        if (!used && !unused_too) return false;
        if (!idle && prefaulting_) return false;  // prefault its memory first
        if (!idle && !used) continue;
        if (!start(key, kNeverUsed, false)) break;  // nothing more fits
        cold_.pop_back();
        entry.background_fill = true;
        background_reads_++;
        return true;
    }
    cold_.clear();
    return false;
}

// Prefaults one slot, until the whole budget has pages. It counts as a read in flight, so wait_for_room() waits for it.
bool Store::prefault_one(std::unique_lock<std::mutex> & lock) {
    const int size_class = prefaulting_ ? slots_.class_to_prefault(budget_) : -1;
    prefaulting_ = size_class >= 0;
    if (!prefaulting_) return false;
    uint8_t * slot = slots_.acquire_untouched(size_class);
    reads_in_flight_++;
    background_reads_++;
    lock.unlock();
    prefault(slot, slots_.bytes(size_class));
    lock.lock();
    reads_in_flight_--;
    background_reads_--;
    slots_.release(size_class, slot);
    arrived_.notify_all();
    return true;
}

void Store::work_in_background() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
    std::unique_lock lock(mutex_);
    while (!closing_) {
        if (fill_one() || prefault_one(lock)) continue;
        if (cold_.empty()) background_wake_.wait(lock);
        else background_wake_.wait_for(lock, kIdlePoll);
    }
}

}  // namespace edgemed
