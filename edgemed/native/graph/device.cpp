#include "device.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "attention/attention.h"
#include "capi.h"
#include "dense_batch.h"
#include "ggml/ggml_api.h"
#include "moe_graph.h"
#include "moe_pass.h"

namespace edgemed {
namespace {

using namespace ggml;

constexpr const char * kName = "edgemed";
constexpr const char * kDescription = "experts from a fixed memory budget";

Device g_device;
Registry g_registry;
std::atomic<Experts *> g_experts{nullptr};  // of the open engine; not owned

struct Stream {
    explicit Stream(Experts & all) : experts(all), pass(all) {}
    Experts & experts;
    MoePass pass;
    DenseBatch dense;
    Attention attention;
    int threads = 1;
    AbortCallback abort = nullptr;
    void * abort_data = nullptr;
};

Stream & stream(Backend * backend) { return *static_cast<Stream *>(backend->context); }

// Computes one split of the scheduler's graph: a MoE layer, a dense matmul of a batch, or attention.
Status graph_compute(Backend * backend, Graph * graph) {
    Stream & self = stream(backend);
    const int n = api().graph_n_nodes(graph);
    for (int i = 0; i < n;) {
        if (self.abort != nullptr && self.abort(self.abort_data)) return kAborted;
        MoeLayer layer;
        if (match_layer(graph, &i, &layer)) {
            if (layer.experts != &self.experts) return kFailed;  // this context was made for another model
            const Status status = self.pass.layer(layer);
            if (status != kSuccess) return status;
            continue;
        }
        const Tensor * node = api().graph_node(graph, i++);
        if (is_no_op(node) || (node->flags & kFlagCompute) == 0) continue;
        const bool dense = is_dense_batch(node) && !is_small_shared_matmul(node);
        if (dense) self.pass.before_dense_matmul(node);
        const Status status = dense ? self.dense.compute(node, self.threads, self.experts.store.stop_flag())
                              : is_attention(node)
                                  ? self.attention.compute(node, self.threads, self.experts.store.stop_flag())
                                  : self.pass.node(node);
        if (status != kSuccess) return status;
    }
    return kSuccess;
}

Backend * init_backend(Device * device, const char *) {
    Experts * experts = g_experts;
    if (experts == nullptr) return nullptr;
    static uint8_t guid[16] = {0xed, 0x6e, 0x6d, 0xed, 1};
    auto * backend = new Backend{};
    backend->guid = &guid;
    backend->iface.get_name = [](Backend *) { return kName; };
    backend->iface.free = [](Backend * b) {
        delete &stream(b);
        delete b;
    };
    backend->iface.graph_compute = graph_compute;
    backend->device = device;
    backend->context = new Stream(*experts);
    return backend;
}

bool supports_op(Device *, const Tensor * node) {
    const Experts * experts = g_experts;
    return is_no_op(node) || is_expert_matmul(node) || is_swiglu_of_experts(node) || is_route_weighting(node) ||
           is_rank_sum(node) || is_shared_matmul(node) || is_swiglu_of_shared(node) || is_shared_sum(node) ||
           is_residual_sum(node) || is_dense_batch(node) ||
           (experts != nullptr && experts->claims_attention && is_attention(node));
}

void set_n_threads(Backend * backend, int n) {
    stream(backend).threads = std::max(n, 1);
    stream(backend).pass.set_threads(n);
}

void set_abort_callback(Backend * backend, AbortCallback callback, void * data) {
    stream(backend).abort = callback;
    stream(backend).abort_data = data;
}

void * get_proc_address(Registry *, const char * name) {
    if (std::strcmp(name, "ggml_backend_set_n_threads") == 0) return reinterpret_cast<void *>(set_n_threads);
    if (std::strcmp(name, "ggml_backend_set_abort_callback") == 0) return reinterpret_cast<void *>(set_abort_callback);
    return nullptr;
}

void describe() {
    DeviceInterface & d = g_device.iface;
    d.get_name = [](Device *) { return kName; };
    d.get_description = [](Device *) { return kDescription; };
    d.get_memory = [](Device *, size_t * free, size_t * total) { *free = *total = 0; };
    d.get_type = [](Device *) { return kAccelerator; };
    d.get_props = [](Device *, DeviceProperties * props) {
        *props = {};
        props->name = kName;
        props->description = kDescription;
        props->type = kAccelerator;
    };
    d.init_backend = init_backend;
    // The scheduler allocates our results in this buffer type, and the CPU backend reads them.
    d.get_buffer_type = [](Device *) { return api().cpu_buffer_type(); };
    d.supports_op = supports_op;
    d.supports_buft = [](Device *, BufferType * type) {
        return type == expert_buffer_type() || api().buft_is_host(type);
    };
    g_device.reg = &g_registry;

    g_registry.api_version = kBackendApiVersion;
    g_registry.iface.get_name = [](Registry *) { return kName; };
    g_registry.iface.get_device_count = [](Registry *) { return size_t{1}; };
    g_registry.iface.get_device = [](Registry *, size_t) { return &g_device; };
    g_registry.iface.get_proc_address = get_proc_address;
    init_expert_buffer_type(&g_device);
}

}  // namespace

std::string attach_experts(Experts * experts) {
    Experts * attached = nullptr;
    if (g_experts.compare_exchange_strong(attached, experts)) return {};
    return attached->name + " is open in this process, which can hold only one model; close it first.";
}

void detach_experts(Experts * experts) { g_experts.compare_exchange_strong(experts, nullptr); }

}  // namespace edgemed

// The entry point that ggml_backend_load() looks up. Call edgemed_bind() first.
EDGEMED_API edgemed::ggml::Registry * ggml_backend_init() {
    edgemed::describe();
    return &edgemed::g_registry;
}
