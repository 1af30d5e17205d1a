// What the checks of the native library share: files of random experts, and CHECK.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "store/store.h"

extern "C" void faulty_reads(const char * suffix, int error, int stall_ms, long most, long skip, long times);
extern "C" long faulty_reads_hit(void);
inline void healthy_reads() { faulty_reads("", 0, 0, 0, 0, 0); }

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", __FILE__, __LINE__, #condition);                         \
            std::exit(1);                                                                                              \
        }                                                                                                              \
    } while (0)

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

using Clock = std::chrono::steady_clock;
inline double seconds_since(Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
}

// Waits up to a minute until a condition holds, since the machine may be busy.
template <typename Condition> bool soon(Condition holds) {
    for (const auto from = Clock::now(); seconds_since(from) < 60;
         std::this_thread::sleep_for(std::chrono::milliseconds(2)))
        if (holds()) return true;
    return false;
}

using Random = std::mt19937_64;
inline uint64_t below(Random & random, uint64_t limit) { return random() % limit; }

// The layout of a test file.
struct Plan {
    int moe_layers = 3, experts_per_layer = 12;
    bool checksums = true;  // experts contiguous and page-aligned; otherwise anywhere and in any order
    uint64_t smallest = 300, largest = 40000;  // range of a matrix's bytes
    uint64_t seed = 1;
    // in each layer, matrices of the first half have the smallest size, of the second half the largest
    bool halves = false;
    int parts = 1;  // files; without checksums, an expert's matrices may lie in several
};

// A file of random bytes that contains experts, or several such files; deleted at the end. Those that change a file
// change the first.
class ExpertFile {
  public:
    explicit ExpertFile(const Plan & plan);
    ~ExpertFile();
    ExpertFile(const ExpertFile &) = delete;
    ExpertFile & operator=(const ExpertFile &) = delete;

    std::vector<edgemed::PartFile> files() const;
    const std::vector<edgemed::ExpertRecord> & records() const { return records_; }
    std::vector<edgemed::Expert> experts() const;
    uint64_t size() const { return bytes_.size(); }
    // Whether the slot holds exactly the three matrices of this expert.
    bool matches(const edgemed::Expert & expert, size_t which, const uint8_t * slot) const;
    // into the file only; matches() still expects the original
    void write(uint64_t offset, const std::vector<uint8_t> & bytes);
    void restore();  // the original bytes, in place
    void truncate(uint64_t length);
    void replace();  // a new file of zeros takes its name

  private:
    std::vector<std::string> paths_;
    std::vector<uint8_t> bytes_;  // of all files: where one holds a matrix, the others hold zeros
    std::vector<edgemed::ExpertRecord> records_;
};

// Opens a store on such a file. Budget 0: room for everything.
void open_store(edgemed::Store & store, const ExpertFile & file, const Plan & plan, uint64_t budget, bool direct = true,
                int threads = 3, bool background = false);

uint64_t all_bytes(const ExpertFile & file);  // a budget that holds everything
// A budget in which any `at_once` experts of one layer fit together.
uint64_t least_bytes(const ExpertFile & file, const Plan & plan, int at_once);
void wait_until_read(edgemed::Store & store, int moe_layer, int index);  // pins, waits, checks nothing, unpins

void go_through(edgemed::Store & store);  // one batch through all experts

// Each returns if everything is right, else CHECK exits.
void check_lay_out();
void check_slots();
void check_against_a_model();
void check_budgets_at_the_edge();
void check_stops();
void check_failing_reads();
void check_changing_files();
void check_opening_and_closing();
void check_looking();
void check_matmul();
void check_attention();
void check_background();
void check_background_waits();
void check_prefetches_yield();
void check_scans();
void check_sizes();
