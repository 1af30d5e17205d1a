// Computes the experts of one MoE layer: fused for one token, tiled for a batch, node by node where that is not possible.
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
    // A dense matrix is about to be multiplied with a batch: meanwhile the disk reads the experts that come next, its
    // layer's or, if it is a shared expert's, the next one's; before the first layer that has experts, that one's.
    void before_matrix(const ggml::Tensor * node);

  private:
    struct Matrices {  // of one rank's expert; the shared expert comes after the last rank
        const uint8_t * data[kProjections];
        int type[kProjections];
    };
    struct Progress {                     // of one rank's expert
        std::atomic<int64_t> wide{0};     // rows of gate and up computed
        std::atomic<bool> hidden{false};  // and its hidden row quantised
    };
    struct Wanted {
        int expert, first, count;  // its rows are order_[first .. first + count)
        bool ours;                 // whether all three matrices have products of ours; else ggml multiplies
    };
    // One expert of a group that is computed together; its rows are row .. row + count of the group's.
    struct Member {
        const Wanted * wanted;
        const uint8_t * data;
        const matmul::GemmKernel * kernel[kProjections];
        int row, tile;
    };

    ggml::Status token(const MoeLayer & layer);
    void read_ahead(const MoeLayer & layer);
    void check_guesses(const MoeLayer & layer);
    void prepare(const MoeLayer & layer);
    bool take(const MoeLayer & layer, int rank);
    void add_up(const MoeLayer & layer);
    void token_group(const MoeLayer & layer, const std::vector<int> & ranks);
    void hidden_rows(const MoeLayer & layer, int rank, int64_t from, int64_t rows);
    void output_rows(const MoeLayer & layer, int rank, int64_t from, int64_t rows);
    ggml::Status batch(const MoeLayer & layer);
    void read_row(int row);
    void show_routing(const MoeLayer & layer);
    void sort_by_expert(const MoeLayer & layer);
    void keep_input(const MoeLayer & layer);
    void clear_result(const MoeLayer & layer);
    void add_member(const MoeLayer & layer, const Wanted & wanted, const uint8_t * data);
    bool multiply_group(const MoeLayer & layer);
    const uint8_t * panel_at(const MoeLayer & layer, const Member & member, Projection p, int64_t panel) const;
    void multiply_hidden(const MoeLayer & layer, int64_t index, int64_t next, matmul::Lanes * sums);
    void multiply_out(const MoeLayer & layer, const Member & member, int64_t panel, int64_t next, matmul::Lanes * sums);
    void show_group(const MoeLayer & layer);
    bool expert_rows(const MoeLayer & layer, const Wanted & wanted, const uint8_t * data);
    ggml::Status product(const ggml::Tensor * node);
    ggml::Status shared_product(const ggml::Tensor * node);
    ggml::Status failed() const { return store_.aborted() ? ggml::kAborted : ggml::kFailed; }

    Experts & experts_;
    Store & store_;
    Observer & observer_;
    int threads_ = 1;
    ggml::Backend * cpu_ = nullptr;  // a CPU backend of our own, for its tiled products

    Activations input_, hidden_;
    std::vector<float> x_, gate_, up_, h_, out_;
    std::vector<int> pending_, ready_;
    std::vector<Matrices> ranks_;
    std::vector<Progress> progress_;  // by rank
    std::vector<Wanted> wanted_;
    std::vector<int> order_, count_;  // (token * k + rank) sorted by expert
    std::vector<uint8_t> alone_;      // of a batch: whether some expert has this token only
    std::vector<Member> group_;
    bool observed_ = false;         // this batch
    bool wants_all_ = true;         // of a layer's experts, nearly: the last layer computed did
    bool prompts_want_all_ = true;  // the last one with no fewer tokens than experts did
    std::vector<int> member_of_;    // of each of the group's rows
    int group_rows_ = 0, group_tiles_ = 0;
    matmul::Tiles input_tiles_[2], hidden_tiles_[2];  // for each kind of activations
    std::vector<std::vector<matmul::Lanes>> sums_;    // of each thread
    std::vector<float> weights_;
    std::vector<uint8_t> graph_memory_;
    std::vector<int32_t> predicted_;  // for row predicted_row_
    int predicted_row_ = -1;
    int quiet_ = 0;  // layers of single tokens since one missed something, or a guess did
};

}  // namespace edgemed
