#include "ggml_api.h"

#include <dlfcn.h>

#include <cstring>

#include "matmul/gemm_kernels.h"

namespace edgemed::ggml {
namespace {

Api g_api;

// Looks symbols up and remembers the first that is missing.
struct Found {
    void * handle;
    const char * missing = nullptr;

    template <typename Function> void operator()(Function & slot, const char * name) {
        void * address = dlsym(handle, name);
        if (address == nullptr && missing == nullptr) missing = name;
        std::memcpy(&slot, &address, sizeof slot);
    }
};

const char * find_base(void * handle) {
    Found find{handle};
    find(g_api.version, "ggml_version");
    find(g_api.op_name, "ggml_op_name");
    find(g_api.tensor_overhead, "ggml_tensor_overhead");
    find(g_api.row_size, "ggml_row_size");
    find(g_api.block_size, "ggml_blck_size");
    find(g_api.graph_n_nodes, "ggml_graph_n_nodes");
    find(g_api.graph_node, "ggml_graph_node");
    find(g_api.get_glu_op, "ggml_get_glu_op");
    find(g_api.buffer_init, "ggml_backend_buffer_init");
    find(g_api.buft_is_host, "ggml_backend_buft_is_host");
    find(g_api.init, "ggml_init");
    find(g_api.free, "ggml_free");
    find(g_api.new_tensor_2d, "ggml_new_tensor_2d");
    find(g_api.mul_mat, "ggml_mul_mat");
    find(g_api.swiglu_split, "ggml_swiglu_split");
    find(g_api.new_graph_custom, "ggml_new_graph_custom");
    find(g_api.graph_overhead_custom, "ggml_graph_overhead_custom");
    find(g_api.build_forward_expand, "ggml_build_forward_expand");
    find(g_api.graph_compute, "ggml_backend_graph_compute");
    find(g_api.backend_free, "ggml_backend_free");
    find(g_api.dequantise_iq1_s, "dequantize_row_iq1_s");
    find(g_api.dequantise_iq2_xxs, "dequantize_row_iq2_xxs");
    find(g_api.dequantise_iq2_xs, "dequantize_row_iq2_xs");
    find(g_api.dequantise_iq2_s, "dequantize_row_iq2_s");
    find(g_api.dequantise_iq3_xxs, "dequantize_row_iq3_xxs");
    find(g_api.dequantise_iq3_s, "dequantize_row_iq3_s");
    return find.missing;
}

// ggml-cpu is a separate library.
const char * find_cpu(void * handle) {
    Found find{handle};
    find(g_api.cpu_traits, "ggml_get_type_traits_cpu");
    find(g_api.cpu_init, "ggml_backend_cpu_init");
    find(g_api.vec_swiglu, "ggml_vec_swiglu_f32");
    find(g_api.cpu_set_n_threads, "ggml_backend_cpu_set_n_threads");
    find(g_api.cpu_set_abort_callback, "ggml_backend_cpu_set_abort_callback");
    return find.missing;
}

// Compares our operation numbers with ggml's names: after a renumbering we would run the wrong operation.
bool operations_fit() {
    const struct {
        int op;
        const char * name;
    } known[] = {{kNone, "NONE"},
                 {kAdd, "ADD"},
                 {kMul, "MUL"},
                 {kMulMat, "MUL_MAT"},
                 {kMulMatId, "MUL_MAT_ID"},
                 {kReshape, "RESHAPE"},
                 {kView, "VIEW"},
                 {kGlu, "GLU"},
                 {kFlashAttention, "FLASH_ATTN_EXT"},
                 {kPermute, "PERMUTE"},
                 {kTranspose, "TRANSPOSE"}};
    for (const auto & each : known)
        if (std::strcmp(g_api.op_name(each.op), each.name) != 0) return false;
    return true;
}

}  // namespace

const Api & api() { return g_api; }

std::string bind(const char * base_library, const char * cpu_library) {
    void * base = dlopen(base_library, RTLD_NOW | RTLD_NOLOAD);
    void * cpu = dlopen(cpu_library, RTLD_NOW | RTLD_NOLOAD);
    if (base == nullptr || cpu == nullptr) return "ggml is not loaded; reinstall llama-cpp-python.";
    const char * missing = find_base(base);
    if (missing == nullptr) missing = find_cpu(cpu);
    if (missing == nullptr) {
        Found find{base};
        find(g_api.cpu_buffer_type, "ggml_backend_cpu_buffer_type");
        missing = find.missing;
    }
    if (missing != nullptr)
        return std::string("the installed ggml lacks ") + missing +
               "; install the version of llama-cpp-python that edgemed requires.";
    if (std::strncmp(g_api.version(), "0.25.", 5) != 0)
        return std::string("the installed ggml is ") + g_api.version() +
               ", but edgemed needs 0.25; install the version of llama-cpp-python that edgemed requires.";
    if (!operations_fit() || g_api.tensor_overhead() != kObjectSize + sizeof(Tensor))
        return "the installed ggml numbers its operations differently; "
               "install the version of llama-cpp-python that edgemed requires.";
    matmul::load_codebooks();
    return {};
}

}  // namespace edgemed::ggml
