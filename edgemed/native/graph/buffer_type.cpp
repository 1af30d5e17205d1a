// The buffer type of the virtual expert tensors: reserved addresses without memory. What llama.cpp reads for them from
// its stream is dropped; the store has the real bytes.
// Why: docs/decisions.md#loading.

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "ggml/ggml_api.h"
#include "moe_graph.h"

namespace edgemed {
namespace {

using namespace ggml;

BufferType g_buffer_type;

// The load that runs on this thread, between begin_expert_loading() and end_expert_loading().
//
// Relies on llama.cpp 0c1e57098 (llama-cpp-python 0.3.36). Its loader reads a tensor that is not in host memory into a
// temporary of ggml_nbytes(tensor) bytes and passes that to set_tensor: for AntAngelMed, 93 times 150 MB of zeros.
// ggml_nbytes() follows from the strides. With all strides but the first set to 0 it is the size of one row, and the
// loader compares shapes (ne) only. The strides are restored when the load has ended.
struct Loading {
    Experts * experts = nullptr;                         // null: no load runs
    std::vector<std::pair<Buffer *, Tensor *>> strided;  // tensors without strides; their buffers exist
};
thread_local Loading t_loading;

struct Addresses {
    void * base;
    size_t size;
    std::deque<ExpertTensor> tensors;  // a deque, since Tensor::extra points into it
};

Addresses & addresses(Buffer * buffer) { return *static_cast<Addresses *>(buffer->context); }

Status init_tensor(Buffer * buffer, Tensor * tensor) {
    int block = 0;
    char name[8] = {};
    if (std::sscanf(tensor->name, "blk.%d.ffn_%7[a-z]_exps.weight", &block, name) != 2) return kSuccess;
    if (t_loading.experts == nullptr) return kFailed;  // llama.cpp loads a model that edgemed did not open
    const Projection projection = std::strcmp(name, "gate") == 0 ? kGate : std::strcmp(name, "up") == 0 ? kUp : kDown;
    addresses(buffer).tensors.push_back({t_loading.experts, block, projection});
    tensor->extra = &addresses(buffer).tensors.back();
    std::fill(tensor->nb + 1, tensor->nb + kMaxDims, size_t{0});
    t_loading.strided.emplace_back(buffer, tensor);
    return kSuccess;
}

// If a load fails, llama.cpp frees its buffers and tensors before end_expert_loading() runs: forget those tensors.
void free_buffer(Buffer * buffer) {
    auto & all = t_loading.strided;
    all.erase(std::remove_if(all.begin(), all.end(), [&](const auto & each) { return each.first == buffer; }),
              all.end());
    Addresses * held = &addresses(buffer);
    munmap(held->base, held->size);
    delete held;
}

Buffer * alloc_buffer(BufferType * type, size_t size) {
    const size_t length = size > 0 ? size : 1;
    void * base = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    BufferInterface iface{};
    iface.free_buffer = free_buffer;
    iface.get_base = [](Buffer * b) { return addresses(b).base; };
    iface.init_tensor = init_tensor;
    iface.memset_tensor = [](Buffer *, Tensor *, uint8_t, size_t, size_t) {};
    iface.set_tensor = [](Buffer *, Tensor *, const void *, size_t, size_t) {};
    iface.get_tensor = [](Buffer *, const Tensor *, void * data, size_t, size_t n) { std::memset(data, 0, n); };
    iface.clear = [](Buffer *, uint8_t) {};
    return api().buffer_init(type, iface, new Addresses{base, length, {}}, size);
}

}  // namespace

BufferType * expert_buffer_type() { return &g_buffer_type; }

void begin_expert_loading(Experts * experts) { t_loading = {experts, {}}; }

void end_expert_loading() {
    for (const auto & [buffer, tensor] : t_loading.strided) {
        tensor->nb[1] = api().row_size(tensor->type, tensor->ne[0]);
        for (int i = 2; i < kMaxDims; i++) tensor->nb[i] = tensor->nb[i - 1] * static_cast<size_t>(tensor->ne[i - 1]);
    }
    t_loading = {};
}

void init_expert_buffer_type(Device * device) {
    g_buffer_type.iface = {[](BufferType *) { return "edgemed experts"; },
                           alloc_buffer,
                           [](BufferType *) { return size_t{64}; },
                           nullptr,
                           nullptr,
                           [](BufferType *) { return false; }};
    g_buffer_type.device = device;
}

}  // namespace edgemed
