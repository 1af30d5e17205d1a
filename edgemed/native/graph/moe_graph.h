// Recognises the experts of one MoE layer in a split of llama.cpp's graph.
#pragma once

#include "batch_limits.h"
#include "store/expert.h"
#include "ggml/ggml_abi.h"

namespace edgemed {

struct Experts;  // device.h

// What a virtual expert tensor stands for. Its Tensor::extra points here.
struct ExpertTensor {
    Experts * experts;  // of its model
    int block;          // blk.N
    Projection projection;
};

// One layer's routed experts:
//   y = sum over ranks of weight * down(swiglu(gate x, up x))
// for which llama.cpp builds, in this order: MUL_MAT_ID up, MUL_MAT_ID gate, GLU, MUL_MAT_ID down, MUL, VIEW x k,
// ADD x (k - 1). If the shared expert is computed here too, y also includes
//   shared down(swiglu(shared gate x, shared up x)) + residual
// from the nodes MUL_MAT gate, MUL_MAT up, GLU, MUL_MAT down, ADD, ADD.
struct MoeLayer {
    Experts * experts;
    int block;
    int moe_layer;                 // of the store; set by MoePass
    const ggml::Tensor * x;        // [n_embd, 1, n_tokens] f32
    const ggml::Tensor * ids;      // [k, n_tokens] i32, rows may be strided
    const ggml::Tensor * weights;  // [1, k, n_tokens] f32
    ggml::Tensor * y;              // [n_embd, n_tokens] f32
    int64_t n_embd, n_ff;
    int k, n_tokens;
    const ggml::Tensor * shared[kProjections];  // the shared expert's matrices, or null
    const ggml::Tensor * residual;              // [n_embd, n_tokens] f32 or null; y may overlap it

    int32_t id(int token, int rank) const;
    float weight(int token, int rank) const;
};

bool is_expert_matmul(const ggml::Tensor * node);  // MUL_MAT_ID of a virtual expert tensor
bool is_swiglu_of_experts(const ggml::Tensor * node);
bool is_route_weighting(const ggml::Tensor * node);      // MUL of a down projection by the route weights
bool is_rank_sum(const ggml::Tensor * node);             // ADD of a view of such a MUL
bool is_shared_matmul(const ggml::Tensor * node);        // MUL_MAT of a shared expert's matrix in CPU memory
bool is_small_shared_matmul(const ggml::Tensor * node);  // the same for a small batch
bool is_swiglu_of_shared(const ggml::Tensor * node);
bool is_shared_sum(const ggml::Tensor * node);    // ADD of the shared expert's output to the rank sum
bool is_residual_sum(const ggml::Tensor * node);  // ADD of the residual to the shared sum
bool is_no_op(const ggml::Tensor * node);         // views, reshapes and permutations

// If a whole layer starts at node `*at`, fills `layer`, moves `*at` past it and returns true. For a small batch the
// layer includes the shared expert, if it has the experts' size; for a larger one its nodes are computed one by one.
bool match_layer(ggml::Graph * graph, int * at, MoeLayer * layer);

// The buffer type of the virtual expert tensors: reserved addresses without memory (buffer_type.cpp).
ggml::BufferType * expert_buffer_type();
void init_expert_buffer_type(ggml::Device * device);
// Call these on the loading thread before and after llama.cpp loads a model, whether it succeeds or not.
void begin_expert_loading(Experts * experts);
void end_expert_loading();

}  // namespace edgemed
