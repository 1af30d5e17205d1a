#include "reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "xxh3.h"

namespace edgemed {
namespace {

constexpr uint64_t kPiece = 1 << 20;  // of a guess; reads of this size lose nothing (docs/decisions.md)

}  // namespace

std::string Reader::open(const char * path, int threads, bool direct, Done done) {
    buffered_fd_ = ::open(path, O_RDONLY | O_CLOEXEC);
    if (buffered_fd_ < 0) return std::string("the model file cannot be opened: ") + std::strerror(errno) + ".";
    fstat(buffered_fd_, &opened_);
    if (direct) direct_fd_ = ::open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    direct_ = direct_fd_ >= 0;
    done_ = std::move(done);
    guessing_.assign(static_cast<size_t>(threads), kNothing);
    for (size_t i = 0; i < guessing_.size(); i++) threads_.emplace_back([this, i] { run(i); });
    return {};
}

void Reader::close() {
    {
        std::lock_guard lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    for (std::thread & thread : threads_) thread.join();
    threads_.clear();
    for (int * fd : {&direct_fd_, &buffered_fd_}) {
        if (*fd >= 0) ::close(*fd);
        *fd = -1;
    }
}

void Reader::queue(const ReadJob & job) {
    {
        std::lock_guard lock(mutex_);
        (job.guess ? guesses_ : demands_).push_back(job);
    }
    wake_.notify_one();
}

void Reader::promote(uint32_t id) {
    std::lock_guard lock(mutex_);
    std::replace(guessing_.begin(), guessing_.end(), id, kNothing);
    const auto at = std::find_if(guesses_.begin(), guesses_.end(), [id](const ReadJob & job) { return job.id == id; });
    if (at == guesses_.end()) return;  // being read already
    at->guess = false;
    demands_.push_back(*at);
    guesses_.erase(at);
}

std::vector<uint32_t> Reader::forget(const std::function<bool(uint32_t, bool)> & unwanted) {
    std::vector<uint32_t> forgotten;
    std::lock_guard       lock(mutex_);
    for (std::deque<ReadJob> * queue : {&demands_, &guesses_}) {
        const auto rest = std::stable_partition(queue->begin(), queue->end(), [&](const ReadJob & job) { return !unwanted(job.id, queue == &demands_); });
        for (auto at = rest; at != queue->end(); ++at) forgotten.push_back(at->id);
        queue->erase(rest, queue->end());
    }
    return forgotten;
}

void Reader::run(size_t thread) {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [this] { return closing_ || !demands_.empty() || !guesses_.empty(); });
        if (closing_) return;
        if (demands_.empty()) guessing_[thread] = guesses_.front().id;
        take(lock, demands_.empty() ? guesses_ : demands_, thread);
        guessing_[thread] = kNothing;
    }
}

void Reader::take(std::unique_lock<std::mutex> & lock, std::deque<ReadJob> & queue, size_t thread) {
    const ReadJob job = queue.front();
    queue.pop_front();
    lock.unlock();
    done_(job.id, read(job, thread));
    lock.lock();
}

void Reader::step_aside(size_t thread) {
    std::unique_lock lock(mutex_);
    while (guessing_[thread] != kNothing && !demands_.empty() && !closing_) take(lock, demands_, thread);
}

std::string Reader::read(const ReadJob & job, size_t thread) {
    for (int i = 0; i < job.expert->segments; i++) {
        std::string fault = read_segment(job, job.expert->segment[i], thread);
        if (!fault.empty()) return fault;
    }
    if (job.expert->span == 0) return unchanged() ? "" : "the file was changed while it was in use";
    if (xxh3_64(job.slot + job.expert->place[kGate], job.expert->span) != job.expert->checksum)
        return "its bytes differ from their checksum: the file is damaged";
    return {};
}

// All there is to tell by where no checksum is.
bool Reader::unchanged() const {
    struct stat now;
    return fstat(buffered_fd_, &now) == 0 && now.st_size == opened_.st_size && now.st_mtim.tv_sec == opened_.st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec;
}

std::string Reader::read_segment(const ReadJob & job, const Segment & segment, size_t thread) {
    uint8_t * memory = job.slot + segment.memory;
    uint64_t  got = 0;
    while (got < segment.needed) {
        if (job.guess) step_aside(thread);
        // After a short read the rest may start unaligned, which only the buffered descriptor accepts.
        const bool direct = direct_ && got % kPage == 0;
        const ssize_t n = pread(direct ? direct_fd_ : buffered_fd_, memory + got,
                                job.guess ? std::min(kPiece, segment.length - got) : segment.length - got,
                                static_cast<off_t>(segment.file + got));
        if (n > 0) {
            if (!direct) posix_fadvise(buffered_fd_, static_cast<off_t>(segment.file + got), n, POSIX_FADV_DONTNEED);
            got += static_cast<uint64_t>(n);
        } else if (n == 0) {
            return "the file ends before it does: it was cut short";
        } else if (errno == EINVAL && direct) {
            direct_ = false;  // a file system that opens with O_DIRECT and then refuses it
        } else if (errno != EINTR) {
            return std::string("reading it failed: ") + std::strerror(errno);
        }
    }
    bytes_read_.fetch_add(segment.length, std::memory_order_relaxed);
    return {};
}

}  // namespace edgemed
