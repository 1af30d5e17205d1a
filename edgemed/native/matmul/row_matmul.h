// Rows of a matrix times a single row of activations: with our own gemv kernel, or else with ggml's dot product.
#pragma once

#include "activations.h"
#include "ggml/ggml_api.h"
#include "gemv.h"

namespace edgemed {

class RowMatmul {
  public:
    // Uses row `row` of `x`, which must have been told want(type, true). Keeps pointers into x.
    RowMatmul(int type, int64_t columns, const Activations & x, int row)
        : stride_(ggml::api().row_size(type, columns)), columns_(columns), kernel_(matmul::find_gemv(type, columns)),
          dot_(ggml::api().cpu_traits(type)->vec_dot), x_(kernel_ != nullptr ? nullptr : x.row(type, row)),
          q8_row_(kernel_ != nullptr ? x.q8_row(kernel_->layout, row) : nullptr) {}

    size_t stride() const { return stride_; }  // bytes from one row of the matrix to the next

    void multiply(const uint8_t * weights, int64_t rows, float * out) const {
        if (kernel_ != nullptr) return kernel_->multiply(weights, columns_ / matmul::kColumns, q8_row_, rows, out);
        for (int64_t r = 0; r < rows; r++)
            dot_(static_cast<int>(columns_), out + r, 0, weights + stride_ * static_cast<size_t>(r), 0, x_, 0, 1);
    }

  private:
    size_t stride_;
    int64_t columns_;
    const matmul::GemvKernel * kernel_;
    ggml::VecDot dot_;
    const uint8_t * x_;
    const matmul::Q8Block * q8_row_;
};

}  // namespace edgemed
