#include "compensate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "widest.h"

namespace edgemed {
namespace {

constexpr int64_t kTile = 64;  // rows worked on at a time if codes are single weights: keeps a tile in L2
constexpr int64_t kLanes = 16;

// A tile of rows, stored column by column in the order of choosing. The loops below vectorise along rows.
struct Tile {
    int64_t rows;
    std::vector<float> goal, pushed, scale, offset, error, wish;

    explicit Tile(int64_t most, int64_t group)
        : rows(most), goal(kBlock * most), pushed(kBlock * most), scale(kBlock * most), offset(kBlock * most),
          error(group * most), wish(group * most) {}
};

inline EDGEMED_INLINE int64_t column_of(const Codebook & book, const BlockTask & task, int64_t k) {
    return task.order[k / book.group] + k % book.group;
}

inline EDGEMED_INLINE void load(const Codebook & book, const BlockTask & task, int64_t first, Tile & tile) {
    for (int64_t k = 0; k < kBlock; k++) {
        const int64_t from = first * kBlock + column_of(book, task, k), to = k * tile.rows;
        for (int64_t r = 0; r < tile.rows; r++) {
            tile.goal[to + r] = task.goal[from + r * kBlock];
            tile.pushed[to + r] = task.pushed[from + r * kBlock];
            tile.scale[to + r] = task.scale[from + r * kBlock];
            tile.offset[to + r] = task.offset[from + r * kBlock];
        }
    }
}

// pushed[column] += sum over the group's columns i of coupling[i][column] * error[i]. This is the hot loop.
template <int kGroup> inline EDGEMED_INLINE void push(const BlockTask & task, int64_t k, Tile & tile) {
    const float * coupling = task.coupling + k * kBlock;
    const float * __restrict error = tile.error.data();
    const int64_t rows = tile.rows;
    for (int64_t column = task.later ? k + kGroup : 0; column < kBlock; column++) {
        float * __restrict pushed = tile.pushed.data() + column * rows;
        float factor[kGroup];
        for (int i = 0; i < kGroup; i++) factor[i] = coupling[i * kBlock + column];
        for (int64_t r = 0; r < rows; r++) {
            float sum = pushed[r];
            for (int i = 0; i < kGroup; i++) sum += factor[i] * error[i * rows + r];
            pushed[r] = sum;
        }
    }
}

// wish [group][rows] = goal + pushed * solve: the group's optimum given the errors so far.
template <int kGroup> inline EDGEMED_INLINE void make_wish(const BlockTask & task, int64_t k, Tile & tile) {
    const float * solve = task.solve + k * kGroup;
    for (int j = 0; j < kGroup; j++) {
        float * __restrict wish = tile.wish.data() + j * tile.rows;
        const float * goal = tile.goal.data() + (k + j) * tile.rows;
        std::copy_n(goal, tile.rows, wish);
        for (int i = 0; i < kGroup; i++) {
            const float * __restrict pushed = tile.pushed.data() + (k + i) * tile.rows;
            const float factor = solve[i * kGroup + j];
            for (int64_t r = 0; r < tile.rows; r++) wish[r] += factor * pushed[r];
        }
    }
}

// Integer codes: the nearest one is a rounding.
inline EDGEMED_INLINE void choose_integers(const Codebook & book, const BlockTask & task, int64_t first, Tile & tile) {
    load(book, task, first, tile);
    const float low = static_cast<float>(book.low), high = static_cast<float>(book.high);
    for (int64_t k = 0; k < kBlock; k++) {
        make_wish<1>(task, k, tile);
        const int64_t column = column_of(book, task, k);
        const float *scale = tile.scale.data() + k * tile.rows, *offset = tile.offset.data() + k * tile.rows;
        float code[kTile], value[kTile];
        for (int64_t r = 0; r < tile.rows; r++) {
            const float step = scale[r] == 0 ? 1.0f : scale[r];
            code[r] = std::min(std::max(std::rint((tile.wish[r] + offset[r]) / step), low), high);
            value[r] = scale[r] * code[r] - offset[r];
            tile.error[r] = tile.goal[k * tile.rows + r] - value[r];
        }
        for (int64_t r = 0; r < tile.rows; r++) {
            task.codes[(first + r) * kBlock + column] = static_cast<int32_t>(code[r]);
            task.values[(first + r) * kBlock + column] = value[r];
        }
        push<1>(task, k, tile);
    }
}

// Codes with a table of ascending values: the code is the number of midpoints below the wish.
inline EDGEMED_INLINE void choose_steps(const Codebook & book, const BlockTask & task, int64_t first, Tile & tile) {
    load(book, task, first, tile);
    for (int64_t k = 0; k < kBlock; k++) {
        make_wish<1>(task, k, tile);
        const int64_t column = column_of(book, task, k);
        const float *scale = tile.scale.data() + k * tile.rows, *offset = tile.offset.data() + k * tile.rows;
        int32_t code[kTile] = {};
        float at[kTile], value[kTile];
        for (int64_t r = 0; r < tile.rows; r++) at[r] = (tile.wish[r] + offset[r]) / (scale[r] == 0 ? 1.0f : scale[r]);
        for (int32_t step = 1; step < book.count; step++) {
            const float middle = 0.5f * (book.values[step - 1] + book.values[step]);
            for (int64_t r = 0; r < tile.rows; r++) code[r] += at[r] > middle;
        }
        for (int64_t r = 0; r < tile.rows; r++) {
            value[r] = scale[r] * book.values[code[r]] - offset[r];
            tile.error[r] = tile.goal[k * tile.rows + r] - value[r];
        }
        for (int64_t r = 0; r < tile.rows; r++) {
            task.codes[(first + r) * kBlock + column] = code[r];
            task.values[(first + r) * kBlock + column] = value[r];
        }
        push<1>(task, k, tile);
    }
}

// For each pattern of signs and each point, [1 << group][count]: (s p) M (s p)^T with signs s, point p and metric M.
// Uses the products p_i p_j, each pair once.
template <int kGroup>
inline EDGEMED_INLINE void square(const Codebook & book, const float * metric, const std::vector<float> & products,
                                  std::vector<float> & squares) {
    for (int pattern = 0; pattern < 1 << kGroup; pattern++) {
        float * sums = squares.data() + static_cast<int64_t>(pattern) * book.count;
        std::fill_n(sums, book.count, 0.0f);
        const float * product = products.data();
        for (int i = 0; i < kGroup; i++)
            for (int j = i; j < kGroup; j++, product += book.count) {
                const float sign = ((pattern >> i ^ pattern >> j) & 1) != 0 ? -1.0f : 1.0f;
                const float factor = sign * metric[i * kGroup + j] * (i == j ? 1.0f : 2.0f);
                for (int32_t p = 0; p < book.count; p++) sums[p] += factor * product[p];
            }
    }
}

// Each weight keeps the sign of its wish. Up to a constant, the error of point p is then scale^2 (s p) M (s p)^T - 2
// scale (wish M) (s p)^T. The first term depends only on signs and point (`squares`); the cost below is divided by
// scale.
// kLanes candidates are kept side by side for the vector unit; ties go to the lower index.
template <int kGroup>
inline EDGEMED_INLINE int32_t nearest_point(const Codebook & book, const float * squares, float scale,
                                            const float * linear) {
    float best[kLanes];
    int32_t point[kLanes] = {};
    std::fill_n(best, kLanes, std::numeric_limits<float>::infinity());
    for (int32_t p = 0; p < book.count; p += kLanes)
        for (int64_t lane = 0; lane < kLanes; lane++) {
            float cost = scale * squares[p + lane];
            for (int i = 0; i < kGroup; i++) cost -= linear[i] * book.values[i * book.count + p + lane];
            const bool better = cost < best[lane];
            best[lane] = better ? cost : best[lane];
            point[lane] = better ? p : point[lane];
        }
    int64_t winner = 0;
    for (int64_t lane = 1; lane < kLanes; lane++)
        if (best[lane] < best[winner] || (best[lane] == best[winner] && point[lane] < point[winner])) winner = lane;
    return point[winner] + static_cast<int32_t>(winner);
}

template <int kGroup>
inline EDGEMED_INLINE void choose_points(const Codebook & book, const BlockTask & task, Tile & tile) {
    load(book, task, 0, tile);
    std::vector<float> products, squares((int64_t(1) << kGroup) * book.count);
    for (int i = 0; i < kGroup; i++)
        for (int j = i; j < kGroup; j++)
            for (int32_t p = 0; p < book.count; p++)
                products.push_back(book.values[i * book.count + p] * book.values[j * book.count + p]);
    for (int64_t k = 0; k < kBlock; k += kGroup) {
        make_wish<kGroup>(task, k, tile);
        const float * metric = task.metric + k * kGroup;
        const int64_t column = column_of(book, task, k);
        square<kGroup>(book, metric, products, squares);
        // The signs of the wishes. If their number must be even, flip the sign that costs least.
        for (int64_t r = 0; r < task.rows; r++) {
            float wish[kGroup], sign[kGroup], linear[kGroup];
            int32_t signs = 0, weakest = 0, negative = 0;
            for (int i = 0; i < kGroup; i++) wish[i] = tile.wish[i * tile.rows + r];
            float least = std::numeric_limits<float>::infinity();
            for (int i = 0; i < kGroup; i++) {
                const float size = std::fabs(wish[i]) * std::sqrt(metric[i * kGroup + i]);
                if (size < least) least = size, weakest = i;
                if (wish[i] < 0) signs |= 1 << i, negative++;
            }
            if (book.even && negative % 2) signs ^= 1 << weakest;
            for (int i = 0; i < kGroup; i++) sign[i] = (signs >> i & 1) != 0 ? -1.0f : 1.0f;
            // linear = 2 (wish M), with the signs of the point.
            for (int i = 0; i < kGroup; i++) {
                float sum = 0;
                for (int j = 0; j < kGroup; j++) sum += wish[j] * metric[j * kGroup + i];
                linear[i] = 2 * sum * sign[i];
            }
            const float scale = tile.scale[k * tile.rows + r];
            // A scale of 0 makes all points equal.
            const int32_t point =
                scale > 0 ? nearest_point<kGroup>(book, squares.data() + int64_t(signs) * book.count, scale, linear)
                          : 0;
            task.codes[(r * kBlock + column) / kGroup] = point << kGroup | signs;
            for (int i = 0; i < kGroup; i++) {
                const float value = scale * sign[i] * book.values[i * book.count + point];
                task.values[r * kBlock + column + i] = value;
                tile.error[i * tile.rows + r] = tile.goal[(k + i) * tile.rows + r] - value;
            }
        }
        push<kGroup>(task, k, tile);
    }
}

}  // namespace

void choose_codes(const Codebook & book, const BlockTask & task) {
    if (book.group > 1) {
        // All rows at once: `squares` is computed once for each group of columns.
        Tile tile(task.rows, book.group);
        widest([&]() EDGEMED_INLINE {
            book.group == 4 ? choose_points<4>(book, task, tile) : choose_points<8>(book, task, tile);
        });
        return;
    }
    Tile tile(kTile, 1);
    for (int64_t first = 0; first < task.rows; first += kTile) {
        tile.rows = std::min(kTile, task.rows - first);
        widest([&]() EDGEMED_INLINE {
            book.count ? choose_steps(book, task, first, tile) : choose_integers(book, task, first, tile);
        });
    }
}

}  // namespace edgemed
