// One whole matrix times several rows of activations, with our own kernels (gemm.h).
#pragma once

#include <atomic>
#include <vector>

#include "activations.h"
#include "gemm.h"

namespace edgemed {

struct MatmulTask {
    int type;
    const uint8_t * weights;  // [rows, columns] in the GGUF type `type`
    int64_t rows, columns;
    const char * x;   // [count, columns] float32
    size_t x_stride;  // bytes from row to row
    char * y;         // [count, rows] float32
    size_t y_stride;
    int count;
};

class Matmul {
  public:
    static constexpr int kMaxRows = 512;  // of activations per pass over the matrix: bounds the scratch

    // Returns false if find_gemm has no kernel for this type and size, or if `stop` became true, which leaves y
    // incomplete.
    bool run(const MatmulTask & task, int threads, const std::atomic<bool> & stop);

  private:
    void some_rows(const MatmulTask & task, const matmul::GemmKernel & kernel, int from, int count, int threads,
                   const std::atomic<bool> & stop);

    Activations input_;  // one row for each thread
    matmul::Tiles tiles_;
    std::vector<std::vector<matmul::Lanes>> sums_;  // [thread][row]
};

}  // namespace edgemed
