// The buffer type of the virtual expert tensors: it hands out addresses that are never touched. What libllama reads
// for them from its stream falls on the floor; the store has the real bytes.

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <vector>

#include "ggml/ggml_api.h"
#include "moe_graph.h"

namespace edgemed {
namespace {

using namespace ggml;

BufferType g_buffer_type;

// libllama reads each tensor into memory of its own before it hands it over, 150 MB for each of AntAngelMed's 93
// virtual ones, and goes through that byte by byte. Until it has loaded them they have no strides: of each it reads a
// row.
thread_local std::vector<Tensor *> t_flat;

struct Addresses {
    void * base;
    size_t size;
    std::deque<ExpertTensor> tensors;  // a deque: pointers into it stay valid
};

Addresses & addresses(Buffer * buffer) { return *static_cast<Addresses *>(buffer->context); }

Status init_tensor(Buffer * buffer, Tensor * tensor) {
    int block = 0;
    char projection[8] = {};
    if (std::sscanf(tensor->name, "blk.%d.ffn_%7[a-z]_exps.weight", &block, projection) != 2) return kSuccess;
    const int which = std::strcmp(projection, "gate") == 0 ? 0 : std::strcmp(projection, "up") == 0 ? 1 : 2;
    addresses(buffer).tensors.push_back({block, which});
    tensor->extra = &addresses(buffer).tensors.back();
    std::fill(tensor->nb + 1, tensor->nb + kMaxDims, size_t{0});
    t_flat.push_back(tensor);
    return kSuccess;
}

void free_buffer(Buffer * buffer) {
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

void begin_expert_loading() { t_flat.clear(); }

void end_expert_loading() {
    for (Tensor * tensor : t_flat) {
        tensor->nb[1] = api().row_size(tensor->type, tensor->ne[0]);
        for (int i = 2; i < kMaxDims; i++) tensor->nb[i] = tensor->nb[i - 1] * static_cast<size_t>(tensor->ne[i - 1]);
    }
    t_flat.clear();
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
