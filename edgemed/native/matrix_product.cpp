#include "matrix_product.h"

#include <omp.h>

#include <algorithm>

namespace edgemed {

using products::kLanes;

bool MatrixProduct::run(const MatrixTask & task, int threads, const std::atomic<bool> & stop) {
    const products::Kernel * kernel = products::find(task.type, task.columns, task.rows);
    if (kernel == nullptr) return false;
    input_.start(task.columns, task.count);
    input_.want(task.type);
    tiles_.start(task.columns, products::Tiles::count(task.count));
    sums_.resize(std::max(sums_.size(), static_cast<size_t>(threads)));
    for (std::vector<products::Lanes> & sums : sums_)
        if (sums.size() < static_cast<size_t>(task.count)) sums.resize(static_cast<size_t>(task.count));
    const size_t         stride = kernel->block_bytes * static_cast<size_t>(task.columns / products::kColumns);
    std::atomic<int64_t> next{0};

#pragma omp parallel num_threads(threads)
    {
        products::Lanes * const sums = sums_[static_cast<size_t>(omp_get_thread_num())].data();
#pragma omp for
        for (int t = 0; t < task.count; t++) {
            input_.quantise(0, t, reinterpret_cast<const float *>(task.x + static_cast<size_t>(t) * task.x_stride));
            tiles_.put(*kernel, 0, task.count, t, input_.row(task.type, t));
        }
        for (int64_t row; (row = next.fetch_add(kLanes, std::memory_order_relaxed)) < task.rows && !stop.load(std::memory_order_relaxed);) {
            products::multiply(*kernel, task.weights + stride * static_cast<size_t>(row), stride, task.columns, tiles_.at(0), task.count, sums);
            for (int t = 0; t < task.count; t++) {
                auto * y = reinterpret_cast<float *>(task.y + static_cast<size_t>(t) * task.y_stride) + row;
                std::copy(sums[t].value, sums[t].value + kLanes, y);
            }
        }
    }
    return !stop.load(std::memory_order_relaxed);
}

}  // namespace edgemed
