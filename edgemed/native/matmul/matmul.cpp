#include "matmul.h"

#include <omp.h>

#include <algorithm>
#include <cstring>

namespace edgemed {

using matmul::kLanes;

bool Matmul::run(const MatmulTask & task, int threads, const std::atomic<bool> & stop) {
    const matmul::GemmKernel * kernel = matmul::find_gemm(task.type, task.columns, task.rows);
    if (kernel == nullptr) return false;
    input_.start(task.columns, threads);
    input_.want(task.type);
    const int most = std::min(task.count, kMaxRows);
    tiles_.start(task.columns, matmul::Tiles::count(most));
    sums_.resize(std::max(sums_.size(), static_cast<size_t>(threads)));
    for (std::vector<matmul::Lanes> & sums : sums_)
        if (sums.size() < static_cast<size_t>(most)) sums.resize(static_cast<size_t>(most));
    for (int from = 0; from < task.count && !stop; from += kMaxRows)
        some_rows(task, *kernel, from, std::min(task.count - from, kMaxRows), threads, stop);
    return !stop;
}

void Matmul::some_rows(const MatmulTask & task, const matmul::GemmKernel & kernel, int from, int count, int threads,
                       const std::atomic<bool> & stop) {
    const int64_t panels = task.rows / kLanes;
    std::atomic<int64_t> next{0};

#pragma omp parallel num_threads(threads)
    {
        const int me = omp_get_thread_num();
        matmul::Lanes * const sums = sums_[static_cast<size_t>(me)].data();
#pragma omp for
        for (int t = 0; t < count; t++) {
            input_.quantise(0, me,
                            reinterpret_cast<const float *>(task.x + static_cast<size_t>(from + t) * task.x_stride));
            tiles_.put(kernel, 0, count, t, input_.row(task.type, me));
        }
        const auto panel_at = [&](int64_t panel) {
            return panel < panels ? matmul::panel_at(kernel, task.weights, task.columns, panel) : nullptr;
        };
        for (matmul::ChunkClaimer claimed(next, panels, threads);
             claimed.more() && !stop.load(std::memory_order_relaxed); claimed.advance()) {
            matmul::gemm(kernel, panel_at(claimed.now()), task.columns, tiles_.at(0), count, sums,
                         panel_at(claimed.next()));
            for (int t = 0; t < count; t++)
                std::memcpy(task.y + static_cast<size_t>(from + t) * task.y_stride +
                                static_cast<size_t>(claimed.now()) * sizeof *sums,
                            sums[t].value, sizeof *sums);
        }
    }
}

}  // namespace edgemed
