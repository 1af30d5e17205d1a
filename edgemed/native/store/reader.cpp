#include "reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace edgemed {
namespace {

constexpr uint64_t kUnitsOfMany =
    4;  // at once, where every thread has a demand to itself: it needs the processor less often

}  // namespace

std::string Reader::open(const char * path, int threads, bool direct, Done done) {
    buffered_fd_ = ::open(path, O_RDONLY | O_CLOEXEC);
    if (buffered_fd_ < 0) return std::string("the model file cannot be opened: ") + std::strerror(errno) + ".";
    fstat(buffered_fd_, &opened_);
    if (direct) direct_fd_ = ::open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    direct_ = direct_fd_ >= 0;
    done_ = std::move(done);
    readings_.resize(static_cast<size_t>(threads) + 2);
    for (int i = 0; i < threads; i++) threads_.emplace_back([this] { run(); });
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
    for (Reading & reading : readings_)
        if (reading.job.expert != nullptr && reading.job.id == id) reading.job.guess = false;
    const auto at = std::find_if(guesses_.begin(), guesses_.end(), [id](const ReadJob & job) { return job.id == id; });
    if (at == guesses_.end()) return;  // being read already
    at->guess = false;
    demands_.push_back(*at);
    guesses_.erase(at);
}

std::vector<uint32_t> Reader::forget(const std::function<bool(uint32_t, bool)> & unwanted) {
    std::vector<uint32_t> forgotten;
    std::lock_guard lock(mutex_);
    for (std::deque<ReadJob> * queue : {&demands_, &guesses_}) {
        const auto rest = std::stable_partition(
            queue->begin(), queue->end(), [&](const ReadJob & job) { return !unwanted(job.id, queue == &demands_); });
        for (auto at = rest; at != queue->end(); ++at) forgotten.push_back(at->id);
        queue->erase(rest, queue->end());
    }
    return forgotten;
}

void Reader::Reading::begin(const ReadJob & what) {
    job = what;
    segment = 0;
    at = asked = hashed = 0;
    size_t units = 0;
    for (int i = 0; i < job.expert->segments; i++) units += (job.expert->segment[i].length + kUnit - 1) / kUnit;
    there.assign(units, false);
    hash = Xxh3();
    fault.clear();
}

// Whether nothing more is to be read of it, or hashed.
bool Reader::Reading::whole() const {
    return !more() && under_way == 0 && !hashing && (!fault.empty() || job.expert->span == 0 || hashed == there.size());
}

void Reader::run() {
    std::unique_lock lock(mutex_);
    for (;;) {
        Reading * reading = nullptr;
        wake_.wait(lock, [&] { return closing_ || (reading = next()) != nullptr; });
        if (closing_) return;
        read_on(lock, *reading);
        hash_on(lock, *reading);
        if (reading->whole()) finish(lock, *reading);
    }
}

// What a thread should read of: demands before guesses, what has been begun before what has not.
Reader::Reading * Reader::next() {
    for (const bool guess : {false, true}) {
        for (Reading & reading : readings_)
            if (reading.more() && reading.job.guess == guess) return &reading;
        std::deque<ReadJob> & queue = guess ? guesses_ : demands_;
        if (queue.empty()) continue;
        const auto free = std::find_if(readings_.begin(), readings_.end(),
                                       [](const Reading & reading) { return reading.job.expert == nullptr; });
        if (free == readings_.end()) continue;
        free->begin(queue.front());
        queue.pop_front();
        return &*free;
    }
    return nullptr;
}

void Reader::read_on(std::unique_lock<std::mutex> & lock, Reading & reading) {
    const Segment & segment = reading.job.expert->segment[reading.segment];
    const uint64_t units = !reading.job.guess && demands_.size() >= threads_.size() ? kUnitsOfMany : 1;
    const uint64_t from = reading.at, length = std::min(units * kUnit, segment.length - from);
    const size_t first = reading.asked;
    reading.asked += (length + kUnit - 1) / kUnit;
    reading.at += length;
    if (reading.at == segment.length) {
        reading.segment++;
        reading.at = 0;
    }
    const size_t end = reading.asked;
    reading.under_way++;
    if (reading.more() || !demands_.empty() || !guesses_.empty()) wake_.notify_one();
    lock.unlock();
    std::string fault = read(reading.job, segment, from, length);
    lock.lock();
    reading.under_way--;
    if (!fault.empty()) reading.fault = std::move(fault);
    std::fill(reading.there.begin() + static_cast<std::ptrdiff_t>(first),
              reading.there.begin() + static_cast<std::ptrdiff_t>(end), true);
}

// Hashes what is there without a gap; one thread at a time, since a checksum goes in order.
void Reader::hash_on(std::unique_lock<std::mutex> & lock, Reading & reading) {
    if (reading.hashing || reading.job.expert->span == 0) return;
    const Expert & expert = *reading.job.expert;
    reading.hashing = true;
    while (reading.hashed < reading.there.size() && reading.there[reading.hashed] && reading.fault.empty()) {
        size_t end = reading.hashed + 1;
        while (end < reading.there.size() && reading.there[end]) end++;
        const uint64_t from = std::max(reading.hashed * kUnit, expert.place[kGate]);
        const uint64_t to = std::min(end * kUnit, expert.place[kGate] + expert.span);
        lock.unlock();
        if (from < to) reading.hash.update(reading.job.slot + from, to - from);
        lock.lock();
        reading.hashed = end;
    }
    reading.hashing = false;
}

void Reader::finish(std::unique_lock<std::mutex> & lock, Reading & reading) {
    const ReadJob job = reading.job;
    std::string fault = reading.fault;
    if (fault.empty() && job.expert->span == 0 && !unchanged()) fault = "the file was changed while it was in use";
    if (fault.empty() && job.expert->span > 0 && reading.hash.digest() != job.expert->checksum)
        fault = "its bytes differ from their checksum: the file is damaged";
    reading.job.expert = nullptr;
    lock.unlock();
    done_(job.id, fault);
    lock.lock();
}

// All there is to tell by where no checksum is.
bool Reader::unchanged() const {
    struct stat now;
    return fstat(buffered_fd_, &now) == 0 && now.st_size == opened_.st_size &&
           now.st_mtim.tv_sec == opened_.st_mtim.tv_sec && now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec;
}

std::string Reader::read(const ReadJob & job, const Segment & segment, uint64_t from, uint64_t length) {
    uint8_t * memory = job.slot + segment.memory + from;
    const uint64_t place = segment.file + from, needed = std::min(length, segment.needed - from);
    uint64_t got = 0;
    while (got < needed) {
        // After a short read the rest may start unaligned, which only the buffered descriptor accepts.
        const bool direct = direct_ && got % kPage == 0;
        const ssize_t n =
            pread(direct ? direct_fd_ : buffered_fd_, memory + got, length - got, static_cast<off_t>(place + got));
        if (n > 0) {
            if (!direct) posix_fadvise(buffered_fd_, static_cast<off_t>(place + got), n, POSIX_FADV_DONTNEED);
            got += static_cast<uint64_t>(n);
        } else if (n == 0) {
            return "the file ends before it does: it was cut short";
        } else if (errno == EINVAL && direct) {
            direct_ = false;  // a file system that opens with O_DIRECT and then refuses it
        } else if (errno != EINTR) {
            return std::string("reading it failed: ") + std::strerror(errno);
        }
    }
    bytes_read_.fetch_add(length, std::memory_order_relaxed);
    return {};
}

}  // namespace edgemed
