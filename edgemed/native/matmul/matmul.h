// One whole matrix times many rows of activations, by our own products (gemm.h).
#pragma once

#include <atomic>
#include <vector>

#include "activations.h"
#include "gemm.h"

namespace edgemed {

struct MatmulTask {
    int type;
    const uint8_t * weights;  // [rows, columns]
    int64_t rows, columns;
    const char * x;   // [count, columns] f32
    size_t x_stride;  // bytes from row to row
    char * y;         // [count, rows] f32
    size_t y_stride;
    int count;
};

class Matmul {
  public:
    // False where matmul::find_gemm knows nothing for this type and size, and when `stop` became true meanwhile.
    bool run(const MatmulTask & task, int threads, const std::atomic<bool> & stop);

  private:
    void some_rows(const MatmulTask & task, const matmul::GemmKernel & kernel, int from, int count, int threads,
                   const std::atomic<bool> & stop);

    Activations input_;  // a row for each thread
    matmul::Tiles tiles_;
    std::vector<std::vector<matmul::Lanes>> sums_;  // of each thread
};

}  // namespace edgemed
