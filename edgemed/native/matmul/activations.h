// Rows of floats, quantised as gemm, gemv and ggml's dot products want their activations.
#pragma once

#include <cstdint>
#include <vector>

#include "ggml/ggml_api.h"
#include "gemv.h"

namespace edgemed {

// Quantises rows of activations to the type that a matrix type is multiplied with (Q8_K for K-quants and so on). Each
// such type is made once, however many experts use it. Buffers are kept from layer to layer, so that the token path
// does not allocate.
class Activations {
  public:
    void start(int64_t width, int rows);
    // Announces a matrix type after start(). for_gemv: RowMatmul will use it.
    void want(int matrix_type, bool for_gemv = false);
    int wanted() const { return static_cast<int>(types_.size()); }
    // Quantises row `row` to the `wanted`th type. for_gemv: RowMatmul will use this row.
    void quantise(int wanted, int row, const float * from, bool for_gemv = true);
    // What quantise() made of a row: for ggml and for gemm, and for gemv.
    const uint8_t * row(int matrix_type, int row) const;
    const matmul::Q8Block * q8_row(matmul::Layout layout, int row) const {
        return q8_rows_[layout].data() + blocks_ * static_cast<size_t>(row);
    }

  private:
    struct Kind {
        int type;
        size_t stride;
        std::vector<uint8_t> data;
    };
    int64_t width_ = 0;
    int rows_ = 0;
    std::vector<Kind> kinds_;  // never shrinks
    std::vector<int> types_;   // indices into kinds_ of the types wanted since start()

    size_t blocks_ = 0;  // blocks of 256 columns in a row
    bool wants_[matmul::kLayouts] = {};
    std::vector<matmul::Q8Block> q8_rows_[matmul::kLayouts];
};

}  // namespace edgemed
