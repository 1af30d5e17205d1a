// Reads experts from the file on threads of its own: demands first, guesses only when no demand waits. Threads share the
// work unit by unit, not expert by expert: a single demand has them all, its checksum is computed while its last units
// are on their way, and a demand that comes while a guess is read goes before the rest of it.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "expert.h"
#include "xxh3.h"

namespace edgemed {

struct ReadJob {
    uint32_t id;
    const Expert * expert;
    uint8_t * slot;
    bool guess = false;
};

class Reader {
  public:
    // `done(id, fault)`: called on a reader thread once all bytes are there and match their checksum (fault empty),
    // or failed to (fault says how, without naming the expert).
    using Done = std::function<void(uint32_t id, const std::string & fault)>;

    Reader() = default;
    ~Reader() { close(); }
    Reader(const Reader &) = delete;
    Reader & operator=(const Reader &) = delete;

    // Returns an empty string or a sentence. `direct`: ask for O_DIRECT, read through the page cache where refused.
    std::string open(const char * path, int threads, bool direct, Done done);
    void close();

    void queue(const ReadJob & job);
    void promote(uint32_t id);  // a guess somebody now waits for
    // Takes back the jobs that no thread has begun and `unwanted(id, is it a demand)` is true of; returns their ids.
    std::vector<uint32_t> forget(const std::function<bool(uint32_t, bool)> & unwanted);

    uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
    bool direct() const { return direct_.load(std::memory_order_relaxed); }

  private:
    static constexpr uint64_t kUnit = 1 << 20;  // reads of this size lose nothing (docs/decisions.md)

    // An expert that is being read: its segments' units, in order. All of it under the lock, but for the hash.
    struct Reading {
        ReadJob job{};            // without an expert: free
        int segment = 0;          // where the next read begins,
        uint64_t at = 0;          // and where in it
        size_t asked = 0;         // units
        std::vector<bool> there;  // of each unit
        size_t hashed = 0;        // units
        int under_way = 0;        // reads
        bool hashing = false;     // a thread is
        Xxh3 hash;
        std::string fault;

        void begin(const ReadJob & what);
        bool more() const { return job.expert != nullptr && fault.empty() && segment < job.expert->segments; }
        bool whole() const;
    };

    void run();
    Reading * next();
    void read_on(std::unique_lock<std::mutex> & lock, Reading & reading);
    void hash_on(std::unique_lock<std::mutex> & lock, Reading & reading);
    void finish(std::unique_lock<std::mutex> & lock, Reading & reading);
    std::string read(const ReadJob & job, const Segment & segment, uint64_t from, uint64_t length);
    bool unchanged() const;

    int direct_fd_ = -1, buffered_fd_ = -1;
    struct stat opened_{};
    std::atomic<bool> direct_{false};
    std::atomic<uint64_t> bytes_read_{0};
    Done done_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<ReadJob> demands_, guesses_;
    std::vector<std::thread> threads_;
    std::vector<Reading> readings_;  // one for each thread's read, one demand and one guess that wait for a thread
    bool closing_ = false;
};

}  // namespace edgemed
