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
        for (int64_t r = 0; r < rows; r++) dot(weights + stride_ * static_cast<size_t>(r), out + r);
    }

    // The same with a second row of activations for the same matrix. The bits are those of two calls, but the weights are
    // read and unpacked once.
    void multiply_with(const RowMatmul & other, const uint8_t * weights, int64_t rows, float * out,
                       float * other_out) const {
        if (kernel_ != nullptr)
            return kernel_->multiply_two(weights, columns_ / matmul::kColumns, {q8_row_, other.q8_row_}, rows,
                                         {out, other_out});
        for (int64_t r = 0; r < rows; r++) {
            dot(weights + stride_ * static_cast<size_t>(r), out + r);
            other.dot(weights + stride_ * static_cast<size_t>(r), other_out + r);
        }
    }

  private:
    void dot(const uint8_t * weights, float * out) const {
        dot_(static_cast<int>(columns_), out, 0, weights, 0, x_, 0, 1);
    }

    size_t stride_;
    int64_t columns_;
    const matmul::GemvKernel * kernel_;
    ggml::VecDot dot_;
    const uint8_t * x_;
    const matmul::Q8Block * q8_row_;
};

}  // namespace edgemed
