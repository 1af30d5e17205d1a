// A fuzzer for the expert index: every record that Python could pass is laid out correctly or refused.

#include <algorithm>

#include "check.h"

using namespace edgemed;

namespace {

// The invariants of a layout, for a record whose matrices do not overlap.
void check_sound(const ExpertRecord & record, const Expert & expert) {
    CHECK(expert.segments >= 1 && expert.segments <= kProjections);
    uint64_t memory = 0;
    for (int s = 0; s < expert.segments; s++) {
        const Segment & segment = expert.segment[s];
        CHECK(segment.file % kPage == 0 && segment.length % kPage == 0 && segment.length > 0);
        CHECK(segment.memory == memory);  // contiguous in memory
        CHECK(segment.needed <= segment.length && segment.needed + kPage > segment.length);
        memory += segment.length;
    }
    CHECK(expert.slot_bytes == memory);
    for (int p = 0; p < kProjections; p++) {
        int homes = 0;
        for (int s = 0; s < expert.segments; s++) {
            const Segment & segment = expert.segment[s];
            const uint64_t end = record.offset[p] + record.nbytes[p];
            if (expert.offset_in_slot[p] < segment.memory ||
                expert.offset_in_slot[p] >= segment.memory + segment.length)
                continue;
            homes++;
            CHECK(segment.part == record.part[p]);
            CHECK(expert.offset_in_slot[p] - segment.memory == record.offset[p] - segment.file);
            CHECK(end <= segment.file + segment.needed);
        }
        CHECK(homes == 1);
        CHECK(expert.type[p] == record.type[p]);
    }
    CHECK(!record.has_checksum || expert.segments == 1);
    if (record.has_checksum) CHECK(expert.span == record.offset[kDown] + record.nbytes[kDown] - record.offset[kGate]);
    if (expert.span > 0) CHECK(expert.offset_in_slot[kGate] + expert.span <= expert.slot_bytes);
}

uint64_t any_number(Random & random) {
    switch (below(random, 8)) {
        case 0: return random();
        case 1: return UINT64_MAX - below(random, 3 * kPage);
        case 2: return uint64_t{1} << below(random, 64);
        case 3: return 0;
        default: return below(random, 20 * kPage);
    }
}

bool overlaps(const ExpertRecord & record, int p, int q) {
    const auto end = [&](int at) { return static_cast<unsigned __int128>(record.offset[at]) + record.nbytes[at]; };
    return record.part[p] == record.part[q] && record.offset[p] < end(q) && record.offset[q] < end(p);
}

}  // namespace

void check_lay_out() {
    Random random(7);
    int accepted = 0;
    for (int round = 0; round < 300000; round++) {
        ExpertRecord record{};
        if (round % 2 == 0) {
            for (int p = 0; p < kProjections; p++) {
                record.offset[p] = any_number(random);
                record.nbytes[p] = any_number(random);
            }
        } else {  // valid, at any offset
            int order[kProjections] = {kGate, kUp, kDown};
            if (below(random, 2) == 0) std::shuffle(order, order + kProjections, random);
            uint64_t at = below(random, 1 << 20);
            for (int p : order) {
                record.offset[p] = at + below(random, 2) * below(random, 4 * kPage);
                record.nbytes[p] = 1 + below(random, 4 * kPage);
                at = record.offset[p] + record.nbytes[p];
            }
        }
        for (int p = 0; p < kProjections; p++) {
            record.type[p] = static_cast<int32_t>(random() % 40);
            record.part[p] = round % 3 == 0 ? static_cast<int32_t>(below(random, 3)) : 0;
        }
        const bool missing = round % 30 == 0;  // one part more than the model has
        if (missing) record.part[below(random, kProjections)] = below(random, 2) == 0 ? 3 : -1;
        record.has_checksum = static_cast<int32_t>(below(random, 2));
        record.checksum = random();
        const bool nonsense =
            overlaps(record, kGate, kUp) || overlaps(record, kUp, kDown) || overlaps(record, kGate, kDown);
        if (!plausible(record, 3)) {
            CHECK(missing || round % 2 == 0 || record.has_checksum);  // a checksum requires one piece, in order
            continue;
        }
        CHECK(!nonsense && !missing);
        accepted++;
        check_sound(record, lay_out(record));
    }
    CHECK(accepted > 75000);
}
