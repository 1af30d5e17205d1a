// Where an expert lies in the model's files and in its slot: three matrices, read together where they are adjacent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgemed {

enum Projection : int { kGate = 0, kUp = 1, kDown = 2, kProjections = 3 };

constexpr uint64_t kPage = 4096;
inline uint64_t page_floor(uint64_t n) { return n & ~(kPage - 1); }
inline uint64_t page_ceil(uint64_t n) { return page_floor(n + kPage - 1); }

// What Python passes for each expert, layer by layer; EXPERT_RECORD of edgemed/native/engine.py mirrors it.
struct ExpertRecord {
    uint64_t offset[kProjections];  // from the start of its part
    uint64_t nbytes[kProjections];
    int32_t part[kProjections];  // the part of the model that holds it, counted from 0
    int32_t type[kProjections];
    uint64_t checksum;  // XXH3-64 from the first byte of gate to the last of down
    int32_t has_checksum;
};
static_assert(sizeof(ExpertRecord) == 88 && offsetof(ExpertRecord, offset) == 0 &&
                  offsetof(ExpertRecord, nbytes) == 24 && offsetof(ExpertRecord, part) == 48 &&
                  offsetof(ExpertRecord, type) == 60 && offsetof(ExpertRecord, checksum) == 72 &&
                  offsetof(ExpertRecord, has_checksum) == 80,
              "EXPERT_RECORD of edgemed/native/engine.py has this layout");

// A contiguous read.
struct Segment {
    uint64_t file;    // offset in the file, page-aligned
    uint64_t memory;  // offset in the slot, page-aligned
    uint64_t length;  // whole pages
    uint64_t needed;  // bytes that must exist: the file may end within the last page
    int32_t part;     // the file
};

struct Expert {
    Segment segment[kProjections];
    int segments;
    uint64_t slot_bytes;
    uint64_t offset_in_slot[kProjections];  // of each matrix
    uint64_t span;                          // checksummed bytes from offset_in_slot[kGate] on; 0: no checksum
    uint64_t checksum;
    int32_t type[kProjections];
    int32_t size_class;  // set by Slots
};

inline Expert lay_out(const ExpertRecord & record) {
    Expert e{};
    uint64_t memory = 0;
    for (int p = 0; p < kProjections; p++) {
        const uint64_t begin = record.offset[p], end = begin + record.nbytes[p];
        e.type[p] = record.type[p];
        Segment * last = e.segments > 0 ? &e.segment[e.segments - 1] : nullptr;
        // A matrix that begins within or right after the pages of the previous one shares its read.
        if (last != nullptr && record.part[p] == last->part && begin >= last->file &&
            page_floor(begin) <= last->file + last->length) {
            e.offset_in_slot[p] = last->memory + (begin - last->file);
            memory -= last->length;
            last->needed = std::max(last->needed, end - last->file);  // it may also lie before the previous one
            last->length = page_ceil(last->needed);
            memory += last->length;
            continue;
        }
        e.segment[e.segments++] = {page_floor(begin), memory, page_ceil(end) - page_floor(begin),
                                   end - page_floor(begin), record.part[p]};
        e.offset_in_slot[p] = memory + (begin - page_floor(begin));
        memory += page_ceil(end) - page_floor(begin);
    }
    e.slot_bytes = memory;
    if (record.has_checksum) {
        e.span = record.offset[kDown] + record.nbytes[kDown] - record.offset[kGate];
        e.checksum = record.checksum;
    }
    return e;
}

// Whether a record can be laid out: every matrix lies in one of `parts` files, none is empty, beyond 2^56 or overlaps
// another, and with a checksum all three are in order and read in one piece.
inline bool plausible(const ExpertRecord & record, int parts) {
    constexpr uint64_t kLimit = uint64_t{1} << 56;  // sums of these cannot overflow
    for (int p = 0; p < kProjections; p++) {
        if (record.nbytes[p] == 0 || record.nbytes[p] > kLimit || record.offset[p] > kLimit) return false;
        if (record.part[p] < 0 || record.part[p] >= parts) return false;
        for (int q = 0; q < p; q++)
            if (record.part[p] == record.part[q] && record.offset[p] < record.offset[q] + record.nbytes[q] &&
                record.offset[q] < record.offset[p] + record.nbytes[p])
                return false;
    }
    return !record.has_checksum || (record.offset[kGate] < record.offset[kUp] &&
                                    record.offset[kUp] < record.offset[kDown] && lay_out(record).segments == 1);
}

}  // namespace edgemed
