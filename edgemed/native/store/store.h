// The expert store: which experts are in memory, within a fixed budget, and who waits for which.
//
// One computing thread asks for experts, waits for them and unpins them; reader threads bring them in. Nothing on that
// path allocates. What is evicted never changes what is computed, only when.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
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
#include "reader.h"
#include "slots.h"

namespace edgemed {

struct StoreOptions {
    uint64_t budget_bytes;
    int32_t reader_threads;
    int32_t direct;
    int32_t first_layer;  // the block number of row 0, for messages
    float half_life;      // tokens after which a use is worth half
    int32_t background;   // make memory ready and read cold experts in while nobody waits
};

struct StoreStats {
    uint64_t hits, misses, guesses, guesses_used, evictions, predicted, predicted_right;
    uint64_t bytes_read, resident_bytes, budget_bytes;
    uint64_t shared_bytes;  // of shared experts, multiplied within compute_seconds
    double wait_seconds, compute_seconds;
};

class Store {
  public:
    enum class State : uint8_t { absent, loading, ready, failed };

    // Returns an empty string or a sentence.
    std::string open(const char * path, std::vector<Expert> experts, int rows, int per_row,
                     const StoreOptions & options);

    int rows() const { return rows_; }
    int per_row() const { return per_row_; }
    int row_of(int block) const { return block - first_layer_; }
    const Expert & expert(int row, int index) const { return experts_[id(row, index)]; }

    // Pins an expert and starts reading it if it is not there. False when every byte of the budget is pinned: unpin
    // something first. `uses`: how many tokens of this step want it. `patient`: false too when another would have to go.
    bool pin(int row, int index, int uses, bool patient = false);
    void unpin(int row, int index);
    bool present(int row, int index) const { return state(row, index) != State::absent; }
    bool ready(int row, int index) const { return state(row, index) == State::ready; }
    uint32_t under_way() const;  // reads queued or begun

    // Waits until the pinned expert is there; null when it failed or the wait was aborted.
    const uint8_t * wait(int row, int index);
    // Waits a moment for any read to end: after a refused pin with nothing left to unpin. False when aborted, or when
    // no read is under way that could make room.
    bool wait_for_room();
    // Reads an expert ahead. A certain guess may evict whatever is worth least, another guess excepted, and in a scan what
    // its row and the next want; any other only what is worth less than one use of its own. False when there is no room on
    // these terms.
    bool guess(int row, int index, bool certain);
    void settle(int row);  // what was guessed up to `row` and not begun is guessed no more

    void step(int tokens);  // that many tokens further

    // A batch goes through the rows in order and wants nearly everything once: from now on what lies before expert `index`
    // of `row` goes first, and what the scan has yet to reach is kept. Negative: no scan.
    void scan(int row, int index = 0);

    void request_abort(bool on);  // off again: reads that nobody waits for any more are forgotten
    bool aborted() const { return abort_.load(std::memory_order_relaxed); }
    const std::atomic<bool> & stop_flag() const { return abort_; }
    std::string fault() const;
    void clear_fault();

    void set_budget(uint64_t bytes);
    StoreStats stats() const;
    void add_computing(double seconds, uint64_t shared_bytes);
    void add_predictions(int made, int right);
    // For the live view, each [rows * per_row]: every State, and how often it was found or missed since the last look.
    void look(uint8_t * states, uint8_t * hits, uint8_t * misses);
    void look_away();     // nobody looks any more: nothing is counted
    int scanned() const;  // the row a batch has reached; 0 or negative before the first
    bool record_trace(const char * path);
    void copy_scores(float * out) const;  // [rows * per_row], for the next run (hot.cpp)
    void restore_scores(const float * scores);

    bool reads_directly() const { return reader_.direct(); }

  private:
    struct Entry {
        uint8_t * data = nullptr;
        std::atomic<State> state{State::absent};
        bool guessed = false;  // and nobody has asked for it yet
        bool filling = false;  // being read in the background
        uint16_t pins = 0;
        uint32_t place = 0;  // index in its class's residents
        float score = kNeverUsed;
        uint64_t guessed_at = 0;
    };
    static constexpr float kNeverUsed = -1e30f;
    static constexpr float kNothing = -std::numeric_limits<float>::infinity();  // below any: only free room
    static constexpr float kGuessedNow = std::numeric_limits<float>::max();
    static constexpr float kWantedNext = 1e30f;  // by the batch under way
    static constexpr float kAny = std::numeric_limits<float>::infinity();

    uint32_t id(int row, int index) const { return static_cast<uint32_t>(row * per_row_ + index); }
    State state(int row, int index) const { return entries_[id(row, index)].state.load(std::memory_order_acquire); }
    float used(float score, int uses) const;
    float worth(uint32_t which) const;
    uint32_t draw(size_t below);
    struct Candidate {
        uint32_t which = 0;
        float worth = kAny;  // nobody
    };
    Candidate least_of(int size_class);  // all of these under the lock
    bool evictable(uint32_t which) const;
    bool make_room(int size_class, float ceiling);
    bool evict_one(int size_class, float ceiling);
    void evict(uint32_t victim);
    void forget_reads(const std::function<bool(uint32_t, bool)> & unwanted);
    bool shrink();
    bool start(uint32_t which, float ceiling, bool demanded);
    void finished(uint32_t which, const std::string & fault);
    void filled(Entry & entry);
    void plan_filling();
    bool fill_one();
    bool quiet() const;
    bool ready_one(std::unique_lock<std::mutex> & lock);
    void work_in_background();

    std::vector<Expert> experts_;
    std::vector<Entry> entries_;
    std::vector<std::vector<uint32_t>> residents_;  // ready or loading, by size class, in no order
    std::vector<float> marginal_;  // by size class: what its least expert is worth above now, on average
    int rows_ = 0, per_row_ = 0, first_layer_ = 0;
    float half_life_ = 1;
    uint64_t budget_ = 0, clock_ = 0, random_ = 0x9E3779B97F4A7C15ULL;
    uint32_t loading_ = 0;               // reads queued or under way
    int scanned_ = -1, scanned_to_ = 0;  // the row a batch has reached, and the expert in it
    std::vector<uint32_t> passed_;       // what this scan has unpinned: the first to go
    std::vector<uint32_t> held_;         // of each row, ready or loading
    std::vector<uint32_t> cold_;         // to be read in the background, the best last
    std::chrono::steady_clock::time_point asked_at_{};
    uint32_t filling_ = 0;  // of `loading_`, in the background
    bool bare_ = false;     // the budget is not all held yet
    bool closing_ = false;
    bool hopeless_ = false;  // the last refused pin had nothing to wait for
    std::atomic<bool> abort_{false};
    std::string fault_;
    StoreStats stats_{};
    Activity activity_;
    std::FILE * trace_ = nullptr;

    mutable std::mutex mutex_;
    std::condition_variable arrived_, background_wake_;
    Slots slots_;
    Reader reader_;
    std::thread background_;

  public:
    ~Store();
};

}  // namespace edgemed
