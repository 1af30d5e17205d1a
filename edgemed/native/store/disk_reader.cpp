#include "disk_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace edgemed {
namespace {

// Chunks per read when every thread has a demand of its own: fewer, larger reads take less processor time.
constexpr uint64_t kChunksWhenBusy = 4;

}  // namespace

void DiskReader::open(Parts & parts, int threads, Done done) {
    parts_ = &parts;
    done_ = std::move(done);
    transfers_.resize(static_cast<size_t>(threads) + 2);
    for (int i = 0; i < threads; i++) threads_.emplace_back([this] { run(); });
}

void DiskReader::close() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    for (std::thread & thread : threads_) thread.join();
    threads_.clear();
}

void DiskReader::queue(const ReadJob & job) {
    {
        std::lock_guard lock(mutex_);
        (job.prefetch ? prefetches_ : demands_).push_back(job);
    }
    wake_.notify_one();
}

void DiskReader::promote_to_demand(uint32_t key) {
    std::lock_guard lock(mutex_);
    for (Transfer & transfer : transfers_)
        if (transfer.job.expert != nullptr && transfer.job.key == key) transfer.job.prefetch = false;
    const auto at =
        std::find_if(prefetches_.begin(), prefetches_.end(), [key](const ReadJob & job) { return job.key == key; });
    if (at == prefetches_.end()) return;  // its read has begun
    at->prefetch = false;
    demands_.push_back(*at);
    prefetches_.erase(at);
}

std::vector<uint32_t> DiskReader::cancel(const std::function<bool(uint32_t key, bool demanded)> & unwanted) {
    std::vector<uint32_t> cancelled;
    std::lock_guard lock(mutex_);
    for (std::deque<ReadJob> * queue : {&demands_, &prefetches_}) {
        const auto rest = std::stable_partition(
            queue->begin(), queue->end(), [&](const ReadJob & job) { return !unwanted(job.key, queue == &demands_); });
        for (auto at = rest; at != queue->end(); ++at) cancelled.push_back(at->key);
        queue->erase(rest, queue->end());
    }
    return cancelled;
}

void DiskReader::Transfer::begin(const ReadJob & what) {
    job = what;
    segment = 0;
    at = requested = hashed = 0;
    size_t chunks = 0;
    for (int i = 0; i < job.expert->segments; i++) chunks += (job.expert->segment[i].length + kChunk - 1) / kChunk;
    arrived.assign(chunks, false);
    hash = Xxh3();
    fault.clear();
}

// Whether everything has been read and hashed, or a read failed and the others have ended.
bool DiskReader::Transfer::complete() const {
    return !has_more() && in_flight == 0 && !hashing &&
           (!fault.empty() || job.expert->span == 0 || hashed == arrived.size());
}

void DiskReader::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        Transfer * transfer = nullptr;
        wake_.wait(lock, [&] { return closing_ || (transfer = next_transfer()) != nullptr; });
        if (closing_) return;
        read_chunk(lock, *transfer);
        hash_arrived(lock, *transfer);
        if (transfer->complete()) finish(lock, *transfer);
    }
}

// The transfer to read a chunk of: demands before prefetches, transfers that have begun before new ones.
DiskReader::Transfer * DiskReader::next_transfer() {
    for (const bool prefetch : {false, true}) {
        for (Transfer & transfer : transfers_)
            if (transfer.has_more() && transfer.job.prefetch == prefetch) return &transfer;
        std::deque<ReadJob> & queue = prefetch ? prefetches_ : demands_;
        if (queue.empty()) continue;
        const auto free = std::find_if(transfers_.begin(), transfers_.end(),
                                       [](const Transfer & transfer) { return transfer.job.expert == nullptr; });
        if (free == transfers_.end()) continue;
        free->begin(queue.front());
        queue.pop_front();
        return &*free;
    }
    return nullptr;
}

void DiskReader::read_chunk(std::unique_lock<std::mutex> & lock, Transfer & transfer) {
    const Segment & segment = transfer.job.expert->segment[transfer.segment];
    const uint64_t chunks = !transfer.job.prefetch && demands_.size() >= threads_.size() ? kChunksWhenBusy : 1;
    const uint64_t from = transfer.at, length = std::min(chunks * kChunk, segment.length - from);
    const size_t first = transfer.requested;
    transfer.requested += (length + kChunk - 1) / kChunk;
    transfer.at += length;
    if (transfer.at == segment.length) {
        transfer.segment++;
        transfer.at = 0;
    }
    const size_t end = transfer.requested;
    transfer.in_flight++;
    if (transfer.has_more() || !demands_.empty() || !prefetches_.empty()) wake_.notify_one();
    lock.unlock();
    std::string fault = read(transfer.job, segment, from, length);
    lock.lock();
    transfer.in_flight--;
    if (!fault.empty()) transfer.fault = std::move(fault);
    std::fill(transfer.arrived.begin() + static_cast<std::ptrdiff_t>(first),
              transfer.arrived.begin() + static_cast<std::ptrdiff_t>(end), true);
}

// Hashes the chunks that have arrived in order, one thread at a time. The lock is released meanwhile.
void DiskReader::hash_arrived(std::unique_lock<std::mutex> & lock, Transfer & transfer) {
    if (transfer.hashing || transfer.job.expert->span == 0) return;
    const Expert & expert = *transfer.job.expert;
    transfer.hashing = true;
    while (transfer.hashed < transfer.arrived.size() && transfer.arrived[transfer.hashed] && transfer.fault.empty()) {
        size_t end = transfer.hashed + 1;
        while (end < transfer.arrived.size() && transfer.arrived[end]) end++;
        const uint64_t from = std::max(transfer.hashed * kChunk, expert.offset_in_slot[kGate]);
        const uint64_t to = std::min(end * kChunk, expert.offset_in_slot[kGate] + expert.span);
        lock.unlock();
        if (from < to) transfer.hash.update(transfer.job.slot + from, to - from);
        lock.lock();
        transfer.hashed = end;
    }
    transfer.hashing = false;
}

void DiskReader::finish(std::unique_lock<std::mutex> & lock, Transfer & transfer) {
    const ReadJob job = transfer.job;
    std::string fault = transfer.fault;
    if (fault.empty() && job.expert->span == 0 && !unchanged(*job.expert))
        fault = "the file was changed while it was in use";
    if (fault.empty() && job.expert->span > 0 && transfer.hash.digest() != job.expert->checksum)
        fault = "its bytes differ from their checksum: the file is damaged";
    transfer.job.expert = nullptr;
    lock.unlock();
    done_(job.key, fault);
    lock.lock();
}

bool DiskReader::unchanged(const Expert & expert) const {
    return std::all_of(expert.segment, expert.segment + expert.segments,
                       [this](const Segment & segment) { return (*parts_)[segment.part].unchanged(); });
}

std::string DiskReader::read(const ReadJob & job, const Segment & segment, uint64_t from, uint64_t length) {
    Part & part = (*parts_)[segment.part];
    uint8_t * memory = job.slot + segment.memory + from;
    const uint64_t offset = segment.file + from, needed = std::min(length, segment.needed - from);
    uint64_t got = 0;
    while (got < needed) {
        // The rest after a short read may be unaligned, which O_DIRECT does not allow.
        const bool direct = part.direct && got % kPage == 0;
        const ssize_t n = pread(direct ? part.direct_fd : part.buffered_fd, memory + got, length - got,
                                static_cast<off_t>(offset + got));
        if (n > 0) {
            if (!direct) posix_fadvise(part.buffered_fd, static_cast<off_t>(offset + got), n, POSIX_FADV_DONTNEED);
            got += static_cast<uint64_t>(n);
        } else if (n == 0) {
            return parts_->called(segment.part) + " ends before it does: it was cut short";
        } else if ((errno == EINVAL || errno == EOPNOTSUPP) && direct) {
            part.direct = false;
        } else if (errno != EINTR) {
            return std::string("reading it failed: ") + std::strerror(errno);
        }
    }
    bytes_read_.fetch_add(length, std::memory_order_relaxed);
    return {};
}

}  // namespace edgemed
