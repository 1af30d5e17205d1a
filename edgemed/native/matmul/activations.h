// Rows of floats, quantised for the products of a matrix in a GGUF type.
#pragma once

#include <cstdint>
#include <vector>

#include "ggml/ggml_api.h"
#include "gemv.h"

namespace edgemed {

// Rows of floats quantised as a matrix type's dot product wants its other side (Q8_K for K-quants and so on). Each
// wanted type is quantised once, whatever number of experts share it.
class Activations {
  public:
    void start(int64_t width, int rows);
    void want(int matrix_type, bool single = false);  // single: a RowMatmul will ask for it
    int wanted() const { return static_cast<int>(types_.size()); }
    void quantise(int wanted, int row, const float * from,
                  bool single = true);  // single: a RowMatmul asks for this row
    const uint8_t * row(int matrix_type, int row) const;
    const matmul::Q8Block * single(matmul::Layout layout, int row) const {
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
    std::vector<Kind> kinds_;  // kept from layer to layer, so that nothing is allocated after the first
    std::vector<int> types_;   // indices into kinds_ wanted by this layer

    size_t blocks_ = 0;  // of 256 in a row
    bool wants_[matmul::kLayouts] = {};
    std::vector<matmul::Q8Block> q8_rows_[matmul::kLayouts];
};

}  // namespace edgemed
