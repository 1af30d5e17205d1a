// Reads experts from the file on threads of its own: demands first, guesses only when no demand waits. A guess is read
// piece by piece, and steps aside between two pieces when a demand has come.
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

namespace edgemed {

struct ReadJob {
    uint32_t       id;
    const Expert * expert;
    uint8_t *      slot;
    bool           guess = false;
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
    void        close();

    void queue(const ReadJob & job);
    void promote(uint32_t id);  // a guess somebody now waits for
    // Takes back the jobs that no thread has begun and `unwanted(id, is it a demand)` is true of; returns their ids.
    std::vector<uint32_t> forget(const std::function<bool(uint32_t, bool)> & unwanted);

    uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
    bool     direct() const { return direct_.load(std::memory_order_relaxed); }

  private:
    static constexpr uint32_t kNothing = UINT32_MAX;

    void        run(size_t thread);
    void        take(std::unique_lock<std::mutex> & lock, std::deque<ReadJob> & queue, size_t thread);
    void        step_aside(size_t thread);
    std::string read(const ReadJob & job, size_t thread);
    std::string read_segment(const ReadJob & job, const Segment & segment, size_t thread);
    bool        unchanged() const;

    int                      direct_fd_ = -1, buffered_fd_ = -1;
    struct stat              opened_{};
    std::atomic<bool>        direct_{false};
    std::atomic<uint64_t>    bytes_read_{0};
    Done                     done_;
    std::mutex               mutex_;
    std::condition_variable  wake_;
    std::deque<ReadJob>      demands_, guesses_;
    std::vector<std::thread> threads_;
    std::vector<uint32_t>    guessing_;  // the guess each thread reads; kNothing once somebody waits for it
    bool                     closing_ = false;
};

}  // namespace edgemed
