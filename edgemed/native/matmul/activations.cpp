#include "activations.h"

#include <cstring>

namespace edgemed {

void Activations::start(int64_t width, int rows) {
    width_ = width;
    rows_ = rows;
    types_.clear();
    blocks_ = static_cast<size_t>(width / matmul::kColumns);
    for (bool & wants : wants_) wants = false;
}

void Activations::want(int matrix_type, bool for_gemv) {
    if (const matmul::GemvKernel * kernel = for_gemv ? matmul::find_gemv(matrix_type, width_) : nullptr) {
        wants_[kernel->layout] = true;
        const size_t wanted = blocks_ * static_cast<size_t>(rows_);
        if (q8_rows_[kernel->layout].size() < wanted) q8_rows_[kernel->layout].resize(wanted);
    }
    const int type = ggml::api().cpu_traits(matrix_type)->vec_dot_type;
    for (int wanted : types_)
        if (kinds_[static_cast<size_t>(wanted)].type == type) return;
    size_t at = 0;
    while (at < kinds_.size() && kinds_[at].type != type) at++;
    if (at == kinds_.size()) kinds_.push_back({type, 0, {}});
    Kind & kind = kinds_[at];
    kind.stride = (ggml::api().row_size(type, width_) + 63) & ~size_t{63};
    const size_t bytes = kind.stride * static_cast<size_t>(rows_);
    if (kind.data.size() < bytes) kind.data.resize(bytes);
    types_.push_back(static_cast<int>(at));
}

void Activations::quantise(int wanted, int row, const float * from, bool for_gemv) {
    Kind & kind = kinds_[static_cast<size_t>(types_[static_cast<size_t>(wanted)])];
    uint8_t * to = kind.data.data() + kind.stride * static_cast<size_t>(row);
    if (kind.type == ggml::kF32) std::memcpy(to, from, static_cast<size_t>(width_) * sizeof(float));
    else ggml::api().cpu_traits(kind.type)->from_float(from, to, width_);
    if (kind.type != ggml::kQ8K || !for_gemv) return;
    for (int layout = 0; layout < matmul::kLayouts; layout++)
        if (wants_[layout])
            matmul::rearrange(static_cast<matmul::Layout>(layout), to, width_,
                              q8_rows_[layout].data() + blocks_ * static_cast<size_t>(row));
}

const uint8_t * Activations::row(int matrix_type, int row) const {
    const int type = ggml::api().cpu_traits(matrix_type)->vec_dot_type;
    for (const Kind & kind : kinds_)
        if (kind.type == type) return kind.data.data() + kind.stride * static_cast<size_t>(row);
    return nullptr;
}

}  // namespace edgemed
