// Reads experts from the model's files on its own threads, demands before prefetches.
//
// Threads share the work by chunks of 1 MiB, not by experts. So all threads work on a single demand, its checksum is
// computed while its last chunks are being read, and a demand interrupts a running prefetch after one chunk.
#pragma once

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
#include "parts.h"
#include "xxh3.h"

namespace edgemed {

struct ReadJob {
    uint32_t key;
    const Expert * expert;
    uint8_t * slot;
    bool prefetch = false;
};

class DiskReader {
  public:
    // Called on a reader thread when an expert has been read and matches its checksum (`fault` is empty), or when that
    // failed (`fault` says why, without naming the expert).
    using Done = std::function<void(uint32_t key, const std::string & fault)>;

    DiskReader() = default;
    ~DiskReader() { close(); }
    DiskReader(const DiskReader &) = delete;
    DiskReader & operator=(const DiskReader &) = delete;

    // Starts the threads. The files must stay open until close(). Where a file system refuses O_DIRECT, reads go through
    // the page cache.
    void open(Parts & parts, int threads, Done done);
    void close();

    void queue(const ReadJob & job);
    void promote_to_demand(uint32_t key);  // a prefetch that is now waited for
    // Removes queued jobs that have not begun and for which `unwanted` holds; returns their keys.
    std::vector<uint32_t> cancel(const std::function<bool(uint32_t key, bool demanded)> & unwanted);

    uint64_t bytes_read() const { return bytes_read_.load(std::memory_order_relaxed); }

  private:
    static constexpr uint64_t kChunk = 1 << 20;  // as fast as larger reads (docs/decisions.md#direct-reads)

    // An expert being read, chunk by chunk through its segments. Everything but the hash needs the lock.
    struct Transfer {
        ReadJob job{};              // a null expert marks a free Transfer
        int segment = 0;            // where the next chunk starts: segment
        uint64_t at = 0;            // and byte within it
        size_t requested = 0;       // chunks whose read has begun
        std::vector<bool> arrived;  // by chunk
        size_t hashed = 0;          // chunks
        int in_flight = 0;          // reads
        bool hashing = false;       // by some thread
        Xxh3 hash;
        std::string fault;

        void begin(const ReadJob & what);
        bool has_more() const { return job.expert != nullptr && fault.empty() && segment < job.expert->segments; }
        bool complete() const;
    };

    void run();
    Transfer * next_transfer();
    void read_chunk(std::unique_lock<std::mutex> & lock, Transfer & transfer);
    void hash_arrived(std::unique_lock<std::mutex> & lock, Transfer & transfer);
    void finish(std::unique_lock<std::mutex> & lock, Transfer & transfer);
    std::string read(const ReadJob & job, const Segment & segment, uint64_t from, uint64_t length);
    bool unchanged(const Expert & expert) const;

    Parts * parts_ = nullptr;
    std::atomic<uint64_t> bytes_read_{0};
    Done done_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<ReadJob> demands_, prefetches_;
    std::vector<std::thread> threads_;
    std::vector<Transfer> transfers_;  // one per thread, plus a demand and a prefetch that wait for one
    bool closing_ = false;
};

}  // namespace edgemed
