// The C functions for one multiplication with our own kernels. capi.h documents them.

#include <exception>

#include "capi.h"
#include "matmul.h"
#include "row_matmul.h"

EDGEMED_API int edgemed_gemm(int type, const uint8_t * weights, int64_t rows, int64_t columns, const float * x,
                             int count, float * y, int threads) {
    static const std::atomic<bool> advance{false};
    const size_t wide = sizeof(float);
    const edgemed::MatmulTask task = {type,
                                      weights,
                                      rows,
                                      columns,
                                      reinterpret_cast<const char *>(x),
                                      wide * static_cast<size_t>(columns),
                                      reinterpret_cast<char *>(y),
                                      wide * static_cast<size_t>(rows),
                                      count};
    try {
        static thread_local edgemed::Matmul product;  // keeps its scratch between calls
        return product.run(task, threads, advance) ? 0 : 1;
    } catch (const std::exception &) {
        return -1;
    }
}

EDGEMED_API int edgemed_gemv(int type, const uint8_t * weights, int64_t rows, int64_t columns, const float * x,
                             float * y) {
    if (edgemed::matmul::find_gemv(type, columns) == nullptr) return 1;
    try {
        static thread_local edgemed::Activations input;
        input.start(columns, 1);
        input.want(type, true);
        input.quantise(0, 0, x);
        edgemed::RowMatmul(type, columns, input, 0).multiply(weights, rows, y);
        return 0;
    } catch (const std::exception &) {
        return -1;
    }
}
