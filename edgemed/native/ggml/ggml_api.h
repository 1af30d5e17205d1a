// The functions edgemed calls in the copy of ggml that libllama loaded, found by name at run time.
#pragma once

#include <string>

#include "ggml_abi.h"

namespace edgemed::ggml {

struct Api {
    const char * (*version)();
    const char * (*op_name)(int op);
    size_t (*tensor_overhead)();
    size_t (*row_size)(int type, int64_t count);
    int64_t (*block_size)(int type);
    int (*graph_n_nodes)(Graph *);
    Tensor * (*graph_node)(Graph *, int index);
    int (*get_glu_op)(const Tensor *);
    Buffer * (*buffer_init)(BufferType *, BufferInterface, void * context, size_t size);
    bool (*buft_is_host)(BufferType *);
    Context * (*init)(InitParams);
    void (*free)(Context *);
    Tensor * (*new_tensor_2d)(Context *, int type, int64_t ne0, int64_t ne1);
    Tensor * (*mul_mat)(Context *, Tensor *, Tensor *);
    Tensor * (*swiglu_split)(Context *, Tensor *, Tensor *);
    Graph * (*new_graph_custom)(Context *, size_t size, bool grads);
    size_t (*graph_overhead_custom)(size_t size, bool grads);
    void (*build_forward_expand)(Graph *, Tensor *);
    Status (*graph_compute)(Backend *, Graph *);
    void (*backend_free)(Backend *);

    ToFloat dequantise_iq1_s, dequantise_iq2_xxs, dequantise_iq2_xs, dequantise_iq2_s, dequantise_iq3_xxs,
        dequantise_iq3_s;

    const CpuTraits * (*cpu_traits)(int type);
    Backend * (*cpu_init)();
    void (*vec_swiglu)(int n, float * y, const float * gate, const float * up);
    void (*cpu_set_n_threads)(Backend *, int);
    void (*cpu_set_abort_callback)(Backend *, AbortCallback, void *);
    BufferType * (*cpu_buffer_type)();
};

// Resolves all functions in the two libraries, which must be loaded already from these paths, and checks that they are
// the ggml version we know. Returns an empty string, or a sentence that says what is wrong.
std::string bind(const char * base_library, const char * cpu_library);

const Api & api();  // valid after bind() succeeded

}  // namespace edgemed::ggml
