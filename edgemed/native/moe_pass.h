// Computes the experts of one MoE layer: fused for one token, tiled for a batch, node by node for partial graphs.
#pragma once

#include <vector>

#include "ggml_api.h"
#include "device.h"
#include "moe_graph.h"

namespace edgemed {

// Rows of floats quantised as a matrix type's dot product wants its other side (Q8_K for K-quants and so on). Each
// wanted type is quantised once, whatever number of experts share it.
class Activations {
  public:
    void          start(int64_t width, int rows);
    void          want(int matrix_type);
    int           wanted() const { return static_cast<int>(types_.size()); }
    void          quantise(int wanted, int row, const float * from);
    const uint8_t * row(int matrix_type, int row) const;

  private:
    struct Kind {
        int                  type;
        size_t               stride;
        std::vector<uint8_t> data;
    };
    int64_t           width_ = 0;
    int               rows_ = 0;
    std::vector<Kind> kinds_;   // kept from layer to layer, so that nothing is allocated after the first
    std::vector<int>  types_;   // indices into kinds_ wanted by this layer
};

class MoePass {
  public:
    explicit MoePass(Experts & experts) : experts_(experts), store_(experts.store), observer_(experts.observer) {}
    ~MoePass();
    MoePass(const MoePass &) = delete;
    MoePass & operator=(const MoePass &) = delete;

    void         set_threads(int n) { threads_ = n > 0 ? n : 1; }
    ggml::Status layer(MoeLayer layer);
    ggml::Status node(const ggml::Tensor * node);

  private:
    struct Wanted {
        int expert, first, count;  // its rows are order_[first .. first + count)
    };

    ggml::Status token(const MoeLayer & layer);
    void         read_ahead(const MoeLayer & layer);
    void         token_group(const MoeLayer & layer, const std::vector<int> & ranks);
    ggml::Status batch(const MoeLayer & layer);
    void         show_routing(const MoeLayer & layer);
    void         sort_by_expert(const MoeLayer & layer);
    bool         expert_rows(const MoeLayer & layer, const Wanted & wanted, const uint8_t * data);
    ggml::Status product(const ggml::Tensor * node);
    ggml::Status failed() const { return store_.aborted() ? ggml::kAborted : ggml::kFailed; }

    Experts &       experts_;
    Store &         store_;
    Observer &      observer_;
    int             threads_ = 1;
    ggml::Backend * cpu_ = nullptr;  // a CPU backend of our own, for its tiled products

    Activations                  input_, hidden_;
    std::vector<float>           x_, gate_, up_, h_, out_;
    std::vector<int>             pending_, ready_;
    std::vector<const uint8_t *> data_;
    std::vector<Wanted>          wanted_;
    std::vector<int>             order_, count_;  // (token * k + rank) sorted by expert
    std::vector<float>           weights_;
    std::vector<uint8_t>         graph_memory_;
    std::vector<int32_t>         predicted_;      // for row predicted_row_
    int                          predicted_row_ = -1;
};

}  // namespace edgemed
