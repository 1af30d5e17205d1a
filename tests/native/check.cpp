#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <numeric>

#include "instructions.h"
#include "xxh3.h"

using namespace edgemed;

ExpertFile::ExpertFile(const Plan & plan) {
    for (int part = 0; part < plan.parts; part++) {
        char name[] = "/tmp/edgemed-check-XXXXXX.experts";
        const int fd = mkstemps(name, 8);
        CHECK(fd >= 0);
        ::close(fd);
        paths_.push_back(name);
    }
    Random random(plan.seed);
    uint64_t at = kPage * (1 + below(random, 3));
    const auto place = [&](uint64_t nbytes, uint64_t alignment, uint64_t gap) {
        at = (at + gap + alignment - 1) / alignment * alignment;
        const uint64_t here = at;
        at += nbytes;
        return here;
    };
    for (int i = 0; i < plan.moe_layers * plan.experts_per_layer; i++) {
        ExpertRecord record{};
        int order[kProjections] = {kGate, kUp, kDown};
        if (!plan.checksums) std::shuffle(order, order + kProjections, random);
        if (plan.parts > 1)
            for (int p : order)
                record.part[p] = plan.checksums && p != kGate
                                     ? record.part[kGate]
                                     : static_cast<int32_t>(below(random, static_cast<uint64_t>(plan.parts)));
        for (int p : order) {
            record.nbytes[p] = plan.smallest + below(random, plan.largest - plan.smallest + 1);
            // Two thirds of the matrices have one of four sizes, so that size classes are shared.
            if (below(random, 3) > 0)
                record.nbytes[p] = plan.smallest + (plan.largest - plan.smallest) * below(random, 4) / 4;
            if (plan.halves)
                record.nbytes[p] =
                    i % plan.experts_per_layer < plan.experts_per_layer / 2 ? plan.smallest : plan.largest;
            record.offset[p] = plan.checksums
                                   ? place(record.nbytes[p], kPage, 0)
                                   : place(record.nbytes[p], 32, below(random, 3) * below(random, 3 * kPage));
        }
        records_.push_back(record);
    }
    bytes_.resize(at + below(random, kPage));
    for (const ExpertRecord & record : records_)
        for (int p = 0; p < kProjections; p++)
            for (uint64_t i = 0; i < record.nbytes[p]; i++)
                bytes_[record.offset[p] + i] = static_cast<uint8_t>(random());
    if (plan.checksums)
        for (ExpertRecord & record : records_) {
            record.has_checksum = 1;
            record.checksum = xxh3_64(bytes_.data() + record.offset[kGate],
                                      record.offset[kDown] + record.nbytes[kDown] - record.offset[kGate]);
        }
    restore();
}

ExpertFile::~ExpertFile() {
    for (const std::string & path : paths_) unlink(path.c_str());
}

std::vector<PartFile> ExpertFile::files() const {
    std::vector<PartFile> all;
    for (const std::string & path : paths_) all.push_back({path.c_str(), bytes_.size()});
    return all;
}

std::vector<Expert> ExpertFile::experts() const {
    std::vector<Expert> all;
    for (const ExpertRecord & record : records_) all.push_back(lay_out(record));
    return all;
}

bool ExpertFile::matches(const Expert & expert, size_t which, const uint8_t * slot) const {
    for (int p = 0; p < kProjections; p++)
        if (std::memcmp(slot + expert.offset_in_slot[p], bytes_.data() + records_[which].offset[p],
                        records_[which].nbytes[p]) != 0)
            return false;
    return true;
}

void ExpertFile::write(uint64_t offset, const std::vector<uint8_t> & bytes) {
    const int fd = ::open(paths_[0].c_str(), O_WRONLY);
    CHECK(pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes.size()));
    ::close(fd);
}

void ExpertFile::restore() {
    for (size_t part = 0; part < paths_.size(); part++) {
        std::vector<uint8_t> held = bytes_;
        for (const ExpertRecord & record : records_)
            for (int p = 0; p < kProjections; p++)
                if (record.part[p] != static_cast<int32_t>(part))
                    std::memset(held.data() + record.offset[p], 0, record.nbytes[p]);
        std::ofstream(paths_[part], std::ios::binary | std::ios::in)
            .write(reinterpret_cast<const char *>(held.data()), static_cast<std::streamsize>(held.size()));
    }
}

void ExpertFile::truncate(uint64_t length) { CHECK(::truncate(paths_[0].c_str(), static_cast<off_t>(length)) == 0); }

void ExpertFile::replace() {
    const std::string other = paths_[0] + ".new";
    std::ofstream(other, std::ios::binary) << std::string(bytes_.size(), '\0');
    CHECK(std::rename(other.c_str(), paths_[0].c_str()) == 0);
}

uint64_t all_bytes(const ExpertFile & file) {
    std::map<uint64_t, uint64_t> sizes;
    for (const Expert & expert : file.experts()) sizes[expert.slot_bytes]++;
    uint64_t sum = 0;
    for (const auto & [bytes, count] : sizes) sum += bytes * count + (bytes >= 512 << 10 ? 2 << 20 : 0);
    return sum;
}

uint64_t least_bytes(const ExpertFile & file, const Plan & plan, int at_once) {
    const std::vector<Expert> experts = file.experts();
    const auto experts_per_layer = static_cast<size_t>(plan.experts_per_layer);
    uint64_t most = 0, placed = 0;
    for (const Expert & expert : experts) placed += expert.slot_bytes;
    for (size_t moe_layer = 0; moe_layer < experts.size() / experts_per_layer; moe_layer++) {
        std::vector<uint64_t> sizes;
        for (size_t i = 0; i < experts_per_layer; i++)
            sizes.push_back(experts[moe_layer * experts_per_layer + i].slot_bytes);
        std::sort(sizes.rbegin(), sizes.rend());
        most = std::max(most, std::accumulate(sizes.begin(), sizes.begin() + std::min(at_once, plan.experts_per_layer),
                                              uint64_t{0}));
    }
    return most + all_bytes(file) - placed;
}

void open_store(Store & store, const ExpertFile & file, const Plan & plan, uint64_t budget, bool direct, int threads,
                bool background) {
    StoreOptions options{};
    options.budget_bytes = budget;
    options.reader_threads = threads;
    options.direct = direct;
    options.first_layer = 1;
    options.half_life = 8;
    options.background = background;
    const std::string fault =
        store.open(file.files(), file.experts(), plan.moe_layers, plan.experts_per_layer, options);
    if (!fault.empty()) std::fprintf(stderr, "%s\n", fault.c_str());
    CHECK(fault.empty());
}

void wait_until_read(Store & store, int moe_layer, int index) {
    CHECK(store.pin(moe_layer, index, 1));
    store.wait(moe_layer, index);
    store.unpin(moe_layer, index);
}

int main(int count, char ** arguments) {
    const std::map<std::string, void (*)()> checks = {
        {"lay_out", check_lay_out},
        {"slots", check_slots},
        {"model", check_against_a_model},
        {"budgets", check_budgets_at_the_edge},
        {"stops", check_stops},
        {"failing_reads", check_failing_reads},
        {"changing_files", check_changing_files},
        {"opening_and_closing", check_opening_and_closing},
        {"looking", check_looking},
        {"matmul", check_matmul},
        {"attention", check_attention},
        {"background", check_background},
        {"background_waits", check_background_waits},
        {"prefetches_yield", check_prefetches_yield},
        {"scans", check_scans},
        {"sizes", check_sizes},
    };
    std::printf("instructions: %d\n", static_cast<int>(instructions()));
    for (int i = 1; i < count; i++) {
        CHECK(checks.count(arguments[i]) == 1);
        const auto from = Clock::now();
        checks.at(arguments[i])();
        std::printf("%s: %.2f s\n", arguments[i], seconds_since(from));
    }
    return 0;
}
