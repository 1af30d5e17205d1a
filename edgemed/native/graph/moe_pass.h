// Computes the experts of one MoE layer: fused for a small batch (moe_small_batch.cpp), tiled for a larger one
// (moe_batch.cpp), node by node when the graph arrives in pieces (moe_nodes.cpp).
#pragma once

#include <atomic>
#include <vector>

#include "matmul/activations.h"
#include "device.h"
#include "ggml/ggml_api.h"
#include "moe_graph.h"
#include "matmul/gemm.h"

namespace edgemed {

class MoePass {
  public:
    explicit MoePass(Experts & experts) : experts_(experts), store_(experts.store), observer_(experts.observer) {}
    ~MoePass();
    MoePass(const MoePass &) = delete;
    MoePass & operator=(const MoePass &) = delete;

    void set_threads(int n) { threads_ = n > 0 ? n : 1; }
    ggml::Status layer(MoeLayer layer);
    ggml::Status node(const ggml::Tensor * node);
    // Call before a batch is multiplied by a dense matrix. Prefetches the experts needed next, so that the disk works
    // during the matmul: those of the matrix's layer, of the next layer if the matrix is a shared expert's, and of the
    // first MoE layer if the matrix comes before it.
    void before_dense_matmul(const ggml::Tensor * node);

  private:
    // An expert of a small batch and its tokens. Each (token, rank) has a slot, a row of the scratch: token * (k + 1) +
    // rank. The shared expert has the rank k.
    struct ActiveExpert {
        int index;  // in the layer, or kSharedExpert
        bool pinned;
        const uint8_t * data[kProjections];
        int type[kProjections];
        int count;
        int slot[kSmallBatch];  // [count]
    };
    static constexpr int kSharedExpert = -1;
    struct Block {   // of rows that one thread multiplies: of down, or of gate and up
        int active;  // index into active_
        bool down;
        int64_t from, rows;
    };
    struct Progress {                           // of an active expert
        std::atomic<int64_t> rows_done{0};      // of gate and up
        std::atomic<bool> hidden_ready{false};  // its tokens' hidden values are complete and quantised
    };
    struct RoutedExpert {
        int expert, first, count;  // its tokens are order_[first .. first + count)
        bool own_kernels;          // for all three matrices; otherwise ggml multiplies
    };
    // One expert of a group computed together. Its rows of activations are [row, row + count) of the group's.
    struct Member {
        const RoutedExpert * routed;
        const uint8_t * data;
        const matmul::GemmKernel * kernel[kProjections];
        int row, tile;
    };

    ggml::Status small_batch(const MoeLayer & layer);
    bool pin_tokens(const MoeLayer & layer, int first, int end);
    void list_experts(const MoeLayer & layer, int first, int end);
    void unpin_active(const MoeLayer & layer);
    void prepare_tokens(const MoeLayer & layer);
    bool multiply_tokens(const MoeLayer & layer, int first, int end);
    void add_shared(const MoeLayer & layer, int first, int end);
    bool await_expert(const MoeLayer & layer, int at);
    void sum_ranks(const MoeLayer & layer);
    void observe_small_batch(const MoeLayer & layer);
    void count_predictions(const MoeLayer & layer);
    void prefetch_next_layer(const MoeLayer & layer);
    void multiply_ready(const MoeLayer & layer);
    void cut_blocks(bool down, int64_t rows, int64_t total_blocks, int64_t min_rows);
    void multiply_block(const Block & block, Projection p, const Activations & x, int64_t columns, int slots_per_row,
                        float * out, int64_t out_columns) const;
    void multiply_gate_up(const MoeLayer & layer, const Block & block);
    void multiply_down(const MoeLayer & layer, const Block & block);
    ggml::Status batch(const MoeLayer & layer);
    void prefetch_layer(int moe_layer);
    void observe_routing(const MoeLayer & layer);
    void sort_by_expert(const MoeLayer & layer);
    void keep_input(const MoeLayer & layer);
    void clear_result(const MoeLayer & layer);
    void add_member(const MoeLayer & layer, const RoutedExpert & routed, const uint8_t * data);
    bool multiply_group(const MoeLayer & layer);
    const uint8_t * panel_at(const MoeLayer & layer, const Member & member, Projection p, int64_t panel) const;
    void multiply_hidden(const MoeLayer & layer, int64_t index, int64_t next, matmul::Lanes * sums);
    void multiply_out(const MoeLayer & layer, const Member & member, int64_t panel, int64_t next, matmul::Lanes * sums);
    void observe_group(const MoeLayer & layer);
    bool multiply_with_ggml(const MoeLayer & layer, const RoutedExpert & routed, const uint8_t * data);
    ggml::Status expert_matmul(const ggml::Tensor * node);
    ggml::Status shared_matmul(const ggml::Tensor * node);
    ggml::Status failed() const { return store_.aborted() ? ggml::kAborted : ggml::kFailed; }

    Experts & experts_;
    Store & store_;
    Observer & observer_;
    int threads_ = 1;
    ggml::Backend * cpu_ = nullptr;  // a private CPU backend, for types without own kernels

    Activations input_, hidden_;
    std::vector<float> x_, gate_, up_, h_, out_;
    std::vector<float> weights_;  // of a small batch by token and rank; of a larger one in the order of order_

    // A small batch:
    std::vector<ActiveExpert> active_;
    std::vector<int> pending_, ready_;  // indices into active_: still to be computed; to compute now
    std::vector<Block> blocks_;
    std::vector<Progress> progress_;  // by index into active_
    std::vector<int32_t> predicted_;  // experts of predicted_layer_, by token, most likely first
    int predicted_layer_ = -1;
    int layers_without_miss_ = 0;  // in a row, without a miss or a prefetch

    // A larger batch:
    std::vector<RoutedExpert> routed_;      // experts with tokens, in file order
    std::vector<int> order_, count_;        // tokens sorted by expert; counting sort's offsets
    std::vector<uint8_t> lone_row_;         // by token: some expert has only this token
    bool observed_ = false;                 // by calibration
    bool uses_most_experts_ = true;         // the last layer used nearly all of its experts
    bool prompts_use_most_experts_ = true;  // so did the last batch with at least as many tokens as experts
    std::vector<Member> group_;
    std::vector<int> member_of_;  // by row of the group
    int group_rows_ = 0, group_tiles_ = 0;
    matmul::Tiles input_tiles_[2], hidden_tiles_[2];  // Q8_K and Q8_0 activations
    std::vector<std::vector<matmul::Lanes>> sums_;    // by thread
    std::vector<uint8_t> graph_memory_;               // for the graphs of cpu_
};

}  // namespace edgemed
