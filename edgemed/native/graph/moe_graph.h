// Recognises the experts of one MoE layer in the piece of graph the scheduler hands us.
#pragma once

#include "store/expert.h"
#include "ggml/ggml_abi.h"

namespace edgemed {

// What a virtual expert tensor stands for; Tensor::extra of our tensors points at one.
struct ExpertTensor {
    int block;  // blk.N
    int projection;
};

// y = sum over ranks of weight * down(swiglu(gate x, up x)), the nodes llama.cpp builds for it in order:
// MUL_MAT_ID up, MUL_MAT_ID gate, GLU, MUL_MAT_ID down, MUL, VIEW x k, ADD x (k - 1).
// Where a shared expert follows that is ours too, y = that sum + down(swiglu(gate x, up x)) of the shared + residual:
// MUL_MAT gate, MUL_MAT up, GLU, MUL_MAT down, ADD, ADD.
struct MoeLayer {
    int block;
    int row;                       // of the store; filled in by who computes it
    const ggml::Tensor * x;        // [n_embd, 1, n_tokens] f32
    const ggml::Tensor * ids;      // [k, n_tokens] i32, rows may be strided
    const ggml::Tensor * weights;  // [1, k, n_tokens] f32
    ggml::Tensor * y;              // [n_embd, n_tokens] f32
    int64_t n_embd, n_ff;
    int k, n_tokens;
    const ggml::Tensor * shared[kProjections];  // the shared expert's matrices, or null
    const ggml::Tensor * residual;              // [n_embd, n_tokens] f32, may lie where y does

    int32_t id(int token, int rank) const;
    float weight(int token, int rank) const;
};

bool is_expert_product(const ggml::Tensor * node);  // MUL_MAT_ID over one of our tensors
bool is_swiglu_of_experts(const ggml::Tensor * node);
bool is_weighting(const ggml::Tensor * node);       // MUL of an expert product
bool is_rank_sum(const ggml::Tensor * node);        // ADD of a view of such a MUL
bool is_shared_product(const ggml::Tensor * node);  // MUL_MAT over a shared expert's matrix in ordinary memory
bool is_swiglu_of_shared(const ggml::Tensor * node);
bool is_shared_sum(const ggml::Tensor * node);    // ADD of the shared expert's output to the others'
bool is_residual_sum(const ggml::Tensor * node);  // ADD of the residual to that
bool is_no_work(const ggml::Tensor * node);       // views and the like

// If the nodes from `*at` on are one whole layer, fills `layer`, moves `*at` past them and returns true. Of a single token
// the shared expert belongs to it; a batch computes its nodes one by one.
bool match_layer(ggml::Graph * graph, int * at, MoeLayer * layer);

// The buffer type of the virtual expert tensors: addresses without memory.
ggml::BufferType * expert_buffer_type();
void init_expert_buffer_type(ggml::Device * device);
// Around libllama's loading of a model, on its thread; the second only where it succeeded.
void experts_load();
void experts_loaded();

}  // namespace edgemed
