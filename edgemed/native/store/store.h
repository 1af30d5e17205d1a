// The expert store: keeps experts in memory within a fixed budget and reads the missing ones from the model's files.
//
// An expert is named by its MoE layer, counted from 0, and its index within that layer. One computing thread pins
// experts, waits for them and unpins them; reader threads load them. This path allocates nothing. Eviction changes when
// an expert is ready, never what is computed.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "activity.h"
#include "expert.h"
#include "disk_reader.h"
#include "parts.h"
#include "slots.h"

namespace edgemed {

struct StoreOptions {
    uint64_t budget_bytes;
    int32_t reader_threads;
    int32_t direct;       // read with O_DIRECT where the file system allows it
    int32_t first_layer;  // llama.cpp's block number of MoE layer 0
    float half_life;      // tokens after which a use counts half
    int32_t background;   // prefault memory and read cold experts while the disk is idle
};
static_assert(sizeof(StoreOptions) == 32 && offsetof(StoreOptions, budget_bytes) == 0 &&
                  offsetof(StoreOptions, reader_threads) == 8 && offsetof(StoreOptions, direct) == 12 &&
                  offsetof(StoreOptions, first_layer) == 16 && offsetof(StoreOptions, half_life) == 20 &&
                  offsetof(StoreOptions, background) == 24,
              "StoreOptions of edgemed/native/engine.py has this layout");

struct StoreStats {
    uint64_t hits, misses, prefetches, prefetches_used, evictions, predicted, predicted_right;
    uint64_t bytes_read, resident_bytes, budget_bytes;
    uint64_t shared_bytes;  // of shared experts multiplied within compute_seconds
    double wait_seconds, compute_seconds;
};
static_assert(sizeof(StoreStats) == 104 && offsetof(StoreStats, hits) == 0 && offsetof(StoreStats, misses) == 8 &&
                  offsetof(StoreStats, prefetches) == 16 && offsetof(StoreStats, prefetches_used) == 24 &&
                  offsetof(StoreStats, evictions) == 32 && offsetof(StoreStats, predicted) == 40 &&
                  offsetof(StoreStats, predicted_right) == 48 && offsetof(StoreStats, bytes_read) == 56 &&
                  offsetof(StoreStats, resident_bytes) == 64 && offsetof(StoreStats, budget_bytes) == 72 &&
                  offsetof(StoreStats, shared_bytes) == 80 && offsetof(StoreStats, wait_seconds) == 88 &&
                  offsetof(StoreStats, compute_seconds) == 96,
              "StoreStats of edgemed/native/engine.py has this layout");

class Store {
  public:
    enum class State : uint8_t { absent, loading, ready, failed };

    // Returns an empty string, or a sentence on failure.
    std::string open(const std::vector<PartFile> & files, std::vector<Expert> experts, int moe_layers,
                     int experts_per_layer, const StoreOptions & options);

    int moe_layers() const { return moe_layers_; }
    int experts_per_layer() const { return experts_per_layer_; }
    int moe_layer_of(int block) const { return block - first_layer_; }
    const Expert & expert(int moe_layer, int index) const { return experts_[key_of(moe_layer, index)]; }

    // Pins an expert and starts reading it if it is absent. Returns false when there is no room for it: unpin something
    // and try again. `uses` is the number of tokens of this step routed to the expert; it raises the score.
    // `without_eviction` takes free room only.
    bool pin(int moe_layer, int index, int uses, bool without_eviction = false);
    void unpin(int moe_layer, int index);
    bool present(int moe_layer, int index) const { return state(moe_layer, index) != State::absent; }
    bool ready(int moe_layer, int index) const { return state(moe_layer, index) == State::ready; }
    uint32_t reads_in_flight() const;  // queued or running

    // Waits until a pinned expert is loaded and returns its slot; null if the read failed or was aborted.
    const uint8_t * wait(int moe_layer, int index);
    // Waits briefly for some read to finish; call it after a refused pin when nothing is left to unpin. Returns false
    // when aborted, or when no read is in flight that could free room.
    bool wait_for_room();

    // Reads an expert before it is needed. A `certain` prefetch may evict anything except other prefetches of this step
    // and, during a scan, the experts of the current layer and the next. An uncertain one may evict only experts worth
    // less than the prefetched one would be after one more use. Returns false if that frees no room.
    bool prefetch(int moe_layer, int index, bool certain);
    // Drops prefetches queued for layers up to `through_layer`, whose routing is known. Reads that began continue.
    void cancel_prefetches(int through_layer);

    void advance_clock(int tokens);  // the clock that scores decay by

    // Tells the store how far a batch has come, to (moe_layer, index). A batch visits the layers in order and needs
    // nearly every expert once, so experts before this point are evicted first and those after it are kept. A negative
    // layer ends the scan.
    void scan(int moe_layer, int index = 0);

    // Aborts waits and pins. Turning it off again drops the queued reads of the request that was aborted.
    void request_abort(bool on);
    bool aborted() const { return abort_.load(std::memory_order_relaxed); }
    const std::atomic<bool> & stop_flag() const { return abort_; }
    std::string fault() const;  // the sentence of the last failed read, or empty
    void clear_fault();

    void set_budget(uint64_t bytes);
    StoreStats stats() const;
    void add_computing(double seconds, uint64_t shared_bytes);
    void add_predictions(int made, int right);

    // For the live view, [moe_layers * experts_per_layer] each: the State of every expert, and its hits and misses
    // since the last call. Counting starts with the first call and ends with stop_watching().
    void store_state(uint8_t * states, uint8_t * hits, uint8_t * misses);
    void stop_watching();
    int scan_layer() const;                // the layer the running batch has reached; negative before the first
    bool record_trace(const char * path);  // null stops recording; false if the file cannot be written
    void copy_scores(float * out) const;   // [moe_layers * experts_per_layer], relative to now (hot.cpp)
    void restore_scores(const float * scores);

    const Parts & parts() const { return parts_; }
    bool reads_directly() const { return parts_.direct(); }

  private:
    struct Entry {
        uint8_t * data = nullptr;
        std::atomic<State> state{State::absent};
        bool prefetched = false;       // and not pinned since
        bool background_fill = false;  // being read by the background
        uint16_t pins = 0;
        uint32_t resident_index = 0;  // in residents_ of its size class
        float score = kNeverUsed;
        uint64_t prefetched_at = 0;  // clock
    };
    // Scores and what evict_one() compares them with. A ceiling says how valuable an expert may be and still be
    // evicted.
    static constexpr float kNeverUsed = -1e30f;
    static constexpr float kFreeRoomOnly = -std::numeric_limits<float>::infinity();
    static constexpr float kPrefetchedNow = std::numeric_limits<float>::max();
    static constexpr float kNeededNext = 1e30f;  // by the running batch
    static constexpr float kEvictAnything = std::numeric_limits<float>::infinity();

    uint32_t key_of(int moe_layer, int index) const {
        return static_cast<uint32_t>(moe_layer * experts_per_layer_ + index);
    }
    State state(int moe_layer, int index) const {
        return entries_[key_of(moe_layer, index)].state.load(std::memory_order_acquire);
    }
    float now() const { return static_cast<float>(static_cast<double>(clock_) / half_life_); }  // in half-lives

    // All of these need the lock.
    struct Candidate {
        uint32_t key = 0;
        float worth = kEvictAnything;  // none found
        bool found() const { return worth != kEvictAnything; }
    };
    float score_after_use(float score, int uses) const;
    float worth(uint32_t key) const;
    uint32_t random_below(size_t limit);
    Candidate sample_class(int size_class);
    void sample_scanned(int size_class, Candidate * least);
    bool evictable(uint32_t key) const;
    bool make_room(int size_class, float ceiling);
    bool evict_one(int size_class, float ceiling);
    void evict(uint32_t victim);
    bool shrink();
    bool start(uint32_t key, float ceiling, bool demanded);
    void finish_fill(Entry & entry);
    void plan_background_fill();
    bool fill_one();
    bool no_recent_demand() const;
    bool prefault_one(std::unique_lock<std::mutex> & lock);

    // These take the lock themselves.
    void cancel_reads(const std::function<bool(uint32_t key, bool demanded)> & unwanted);
    void finished(uint32_t key, const std::string & fault);
    void work_in_background();

    std::vector<Expert> experts_;
    std::vector<Entry> entries_;
    std::vector<std::vector<uint32_t>> residents_;  // by size class: loading or ready, unordered
    std::vector<float> marginal_;  // by size class: running average of its least worth, above now(); NaN at first
    int moe_layers_ = 0, experts_per_layer_ = 0, first_layer_ = 0;
    float half_life_ = 1;
    uint64_t budget_ = 0, clock_ = 0, random_ = 0x9E3779B97F4A7C15ULL;
    uint32_t reads_in_flight_ = 0;           // queued or running, background_reads_ included
    uint32_t background_reads_ = 0;          // and slots being prefaulted
    int scan_layer_ = -1, scan_index_ = 0;   // how far a batch has come
    std::vector<uint32_t> scanned_;          // unpinned by this scan: evicted first
    std::vector<uint32_t> layer_residents_;  // by MoE layer: how many are loading or ready
    std::vector<uint32_t> cold_;             // to be read by the background, the best last
    std::chrono::steady_clock::time_point last_demand_{};
    bool prefaulting_ = false;  // part of the budget has no pages yet
    bool closing_ = false;
    bool no_read_frees_room_ = false;  // at the last refused pin
    std::atomic<bool> abort_{false};
    std::string fault_;
    StoreStats stats_{};
    Activity activity_;
    std::FILE * trace_ = nullptr;

    mutable std::mutex mutex_;
    std::condition_variable arrived_, background_wake_;
    Slots slots_;
    Parts parts_;
    DiskReader reader_;
    std::thread background_;

  public:
    ~Store();
};

}  // namespace edgemed
