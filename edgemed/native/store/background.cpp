// What happens while nobody waits: memory is made ready before it is needed, which some hypervisors make slow, and experts
// that are still cold are read in, as many as fit without evicting another.

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "store.h"

namespace edgemed {
namespace {

constexpr int kNice = 10;                                // of the thread that makes memory ready, beside computing ones
constexpr uint32_t kFillsAtOnce = 2;                     // keep a disk busy, and leave a reader to whoever demands
constexpr auto kLook = std::chrono::milliseconds(20);    // how soon an idle disk is noticed
constexpr auto kQuiet = std::chrono::milliseconds(100);  // longer than a token's layer
constexpr int kPopulateWrite = 23;                       // MADV_POPULATE_WRITE, since Linux 5.14

void touch(uint8_t * place, uint64_t bytes) {
    if (madvise(place, bytes, kPopulateWrite) == 0) return;
    for (uint64_t at = 0; at < bytes; at += kPage) *static_cast<volatile uint8_t *>(place + at) = 0;
}

}  // namespace

// What is worth reading before anybody asks: what was used, last run included, the hottest first; and then, since the next
// prompt wants nearly all there is, the rest, in every row alike (worth() says why).
void Store::plan_filling() {
    bare_ = true;
    asked_at_ = std::chrono::steady_clock::now();  // somebody may ask at once
    cold_.clear();
    for (int index = per_row_ - 1; index >= 0; index--)
        for (int row = rows_ - 1; row >= 0; row--) cold_.push_back(id(row, index));
    std::stable_sort(cold_.begin(), cold_.end(),
                     [this](uint32_t a, uint32_t b) { return entries_[a].score < entries_[b].score; });
    background_wake_.notify_one();
}

void Store::filled(Entry & entry) {
    if (!entry.filling) return;
    entry.filling = false;
    filling_--;
    if (quiet()) fill_one();             // at once: the thread of the background may be at slow memory
    else background_wake_.notify_one();  // in its own time
}

bool Store::quiet() const { return std::chrono::steady_clock::now() - asked_at_ > kQuiet; }

// Begins to read the best cold expert, if nobody else wants the disk. What was never used takes no other size's pages, and
// where not everything fits it waits until nobody has asked for anything for a while.
bool Store::fill_one() {
    if (filling_ >= kFillsAtOnce || loading_ > filling_ || aborted()) return false;
    const bool any = quiet() || slots_.everything_bytes() <= budget_;
    for (; !cold_.empty(); cold_.pop_back()) {
        const uint32_t which = cold_.back();
        Entry & entry = entries_[which];
        if (entry.state.load(std::memory_order_relaxed) != State::absent) continue;
        const bool idle = slots_.has_idle(experts_[which].size_class), used = entry.score > kNeverUsed;
        if (!used && !any) return false;
        if (!idle && bare_) return false;  // its memory first
        if (!idle && !used) continue;
        if (!start(which, kNeverUsed, false)) break;  // nothing more fits
        cold_.pop_back();
        entry.filling = true;
        filling_++;
        return true;
    }
    cold_.clear();
    return false;
}

// Makes one place's memory ready, until the budget is held. Meanwhile it counts as a read under way: whoever finds no room
// waits for it.
bool Store::ready_one(std::unique_lock<std::mutex> & lock) {
    const int size_class = bare_ ? slots_.barest(budget_) : -1;
    bare_ = size_class >= 0;
    if (!bare_) return false;
    uint8_t * place = slots_.take_empty(size_class);
    loading_++;
    filling_++;
    lock.unlock();
    touch(place, slots_.bytes(size_class));
    lock.lock();
    loading_--;
    filling_--;
    slots_.give_back(size_class, place);
    arrived_.notify_all();
    return true;
}

void Store::work_in_background() {
    setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
    std::unique_lock lock(mutex_);
    while (!closing_) {
        if (fill_one() || ready_one(lock)) continue;
        if (cold_.empty()) background_wake_.wait(lock);
        else background_wake_.wait_for(lock, kLook);
    }
}

}  // namespace edgemed
