// Reads experts from the file on threads of its own: demands first, guesses only when no demand waits.
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

    void demand(const ReadJob & job);
    void guess(const ReadJob & job);
    void promote(uint32_t id);  // a guess somebody now waits for
    // Takes back the jobs that no thread has begun and `unwanted(id, is it a demand)` is true of; returns their ids.
    std::vector<uint32_t> forget(const std::function<bool(uint32_t, bool)> & unwanted);

    uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }
    bool     direct() const { return direct_.load(std::memory_order_relaxed); }

  private:
    void        run();
    std::string read(const ReadJob & job);
    std::string read_segment(uint8_t * memory, const Segment & segment);

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
    bool                     closing_ = false;
};

}  // namespace edgemed
