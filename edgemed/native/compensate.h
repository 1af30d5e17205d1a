// Chooses the codes of a quantised block, one group of weights after another; each choice compensates for the errors of
// the earlier ones. quant/compensate.py explains the method, this is its inner loop.
#pragma once

#include <cstdint>

namespace edgemed {

// The values a type's codes stand for. A weight is scale * value(code) - offset.
struct Codebook {
    int32_t group;         // consecutive weights that share one code: 1, 4 or 8
    int32_t count;         // number of `values`, steps or points; 0: codes are integers
    int32_t low, high;     // range of integer codes
    int32_t even;          // points only: the last sign is not stored, because the number of negative signs is even
    const float * values;  // steps [count], ascending; or points [group][count], magnitudes at scale 1
};

constexpr int64_t kBlock = 256;  // columns of a block

// All matrices are row-major. [rows][kBlock] have their columns as stored, [kBlock][kBlock] in the order of choosing.
struct BlockTask {
    int64_t rows;
    const int32_t * order;   // [kBlock / group] first column of each group, in the order of choosing
    const float * coupling;  // [kBlock][kBlock] how an error in one column (row here) shifts the wishes of the others
    const float * solve;     // [groups][group][group] wish = goal + pushed * solve
    const float * metric;    // [groups][group][group] symmetric: the metric in which the nearest point is chosen
    int32_t later;           // 1: errors shift only columns that are still to be chosen; 0: all columns
    const float * scale;     // [rows][kBlock]
    const float * offset;    // [rows][kBlock]
    const float * goal;      // [rows][kBlock] the weights against which errors are measured
    const float * pushed;    // [rows][kBlock] shifts due to other blocks' errors, in the units of coupling
    float * values;          // [rows][kBlock] the weights chosen
    int32_t * codes;         // [rows][kBlock / group] their codes; for points: point << group | signs
};

void choose_codes(const Codebook & book, const BlockTask & task);

}  // namespace edgemed
