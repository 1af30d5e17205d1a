// Choosing the codes of a quantised block one group of weights after another, each making up for what the others left
// behind (quant/compensate.py explains the method; this is its inner loop).
#pragma once

#include <cstdint>

namespace edgemed {

// What a code of a type may stand for. A weight is scale * value(code) - offset.
struct Codebook {
    int32_t group;         // consecutive weights that one code stands for: 1, 4 or 8
    int32_t count;         // of `values`: steps, or points; 0: codes are integers
    int32_t low, high;     // the integers' range
    int32_t even;          // points: the last sign is not stored, an even number of signs are negative
    const float * values;  // steps [count] that ascend; points [group][count], magnitudes at scale 1
};

constexpr int64_t kBlock = 256;  // columns worked on at once

// All matrices are row-major; [rows][kBlock] have their columns as stored, [kBlock][kBlock] in the order of choosing.
struct BlockTask {
    int64_t rows;
    const int32_t * order;   // [kBlock / group] first column of each group, in the order of choosing
    const float * coupling;  // [kBlock][kBlock] how an error in one column (row here) moves the wishes of another
    const float * solve;     // [groups][group][group] wish = goal + pushed * solve
    const float * metric;    // [groups][group][group] symmetric: in which the nearest point is searched
    int32_t later;           // 1: errors move the columns still to come; 0: all columns
    const float * scale;     // [rows][kBlock]
    const float * offset;    // [rows][kBlock]
    const float * goal;      // [rows][kBlock] what an error is counted from
    const float * pushed;    // [rows][kBlock] what other blocks' errors ask for, in coupling's units
    float * values;          // [rows][kBlock] the weights chosen
    int32_t * codes;         // [rows][kBlock / group] their codes: point << group | signs for points
};

void choose_codes(const Codebook & book, const BlockTask & task);

}  // namespace edgemed
