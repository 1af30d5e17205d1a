// The part of ggml's binary interface that edgemed uses: backend API version 2, as in ggml 0.25.
//
// These are our own declarations, so that the library builds without llama.cpp's headers. They hold for that version
// only: ggml_api.cpp checks the version, operation names and struct sizes at run time and refuses anything else.
// Members that edgemed neither sets nor reads are declared as plain pointers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgemed::ggml {

constexpr int kBackendApiVersion = 2;
constexpr int kMaxDims = 4, kMaxOpParams = 64, kMaxSources = 10, kMaxName = 64;
constexpr size_t kObjectSize = 32;  // size of the list node that ggml keeps before every tensor

enum Type : int { kF32 = 0, kF16 = 1, kQ8K = 15, kI32 = 26, kBF16 = 30, kTypeCount = 43 };
enum Op : int {
    kNone = 0,
    kAdd = 2,
    kMul = 7,
    kMulMat = 29,
    kMulMatId = 30,
    kReshape = 36,
    kView = 37,
    kPermute = 38,
    kTranspose = 39,
    kFlashAttention = 74,
    kGlu = 100
};
constexpr int kGluSwiglu = 2;
constexpr int kFlagCompute = 16;
enum Status : int { kFailed = -1, kSuccess = 0, kAborted = 1 };
enum DeviceType : int { kAccelerator = 3 };

struct Buffer;
struct BufferType;
struct Backend;
struct Device;
struct Registry;
struct Graph;    // opaque
struct Context;  // opaque

struct Tensor {
    Type type;
    Buffer * buffer;
    int64_t ne[kMaxDims];
    size_t nb[kMaxDims];
    int op;
    int32_t op_params[kMaxOpParams / sizeof(int32_t)];
    int32_t flags;
    Tensor * src[kMaxSources];
    Tensor * view_src;
    size_t view_offs;
    void * data;
    char name[kMaxName];
    void * extra;
    char padding[8];
};

struct BufferTypeInterface {
    const char * (*get_name)(BufferType *);
    Buffer * (*alloc_buffer)(BufferType *, size_t size);
    size_t (*get_alignment)(BufferType *);
    size_t (*get_max_size)(BufferType *);
    size_t (*get_alloc_size)(BufferType *, const Tensor *);
    bool (*is_host)(BufferType *);
};

struct BufferType {
    BufferTypeInterface iface;
    Device * device;
    void * context;
};

struct BufferInterface {
    void (*free_buffer)(Buffer *);
    void * (*get_base)(Buffer *);
    Status (*init_tensor)(Buffer *, Tensor *);
    void (*memset_tensor)(Buffer *, Tensor *, uint8_t value, size_t offset, size_t size);
    void (*set_tensor)(Buffer *, Tensor *, const void * data, size_t offset, size_t size);
    void (*get_tensor)(Buffer *, const Tensor *, void * data, size_t offset, size_t size);
    void * set_tensor_2d;
    void * get_tensor_2d;
    void * cpy_tensor;
    void (*clear)(Buffer *, uint8_t value);
    void * reset;
};

struct Buffer {
    BufferInterface iface;
    BufferType * buft;
    void * context;
    size_t size;
    int usage;
};

struct BackendInterface {
    const char * (*get_name)(Backend *);
    void (*free)(Backend *);
    void * set_tensor_async;
    void * get_tensor_async;
    void * set_tensor_2d_async;
    void * get_tensor_2d_async;
    void * cpy_tensor_async;
    void * synchronize;
    void * graph_plan_create;
    void * graph_plan_free;
    void * graph_plan_update;
    void * graph_plan_compute;
    Status (*graph_compute)(Backend *, Graph *);
    void * event_record;
    void * event_wait;
    void * graph_optimize;
};

struct Backend {
    uint8_t (*guid)[16];
    BackendInterface iface;
    Device * device;
    void * context;
};

struct DeviceProperties {
    const char * name;
    const char * description;
    size_t memory_free;
    size_t memory_total;
    DeviceType type;
    const char * device_id;
    struct {
        bool async, host_buffer, buffer_from_host_ptr, events, mmap_support;
    } caps;
};

struct DeviceInterface {
    const char * (*get_name)(Device *);
    const char * (*get_description)(Device *);
    void (*get_memory)(Device *, size_t * free, size_t * total);
    DeviceType (*get_type)(Device *);
    void (*get_props)(Device *, DeviceProperties *);
    Backend * (*init_backend)(Device *, const char * params);
    BufferType * (*get_buffer_type)(Device *);
    void * get_host_buffer_type;
    void * buffer_from_host_ptr;
    bool (*supports_op)(Device *, const Tensor *);
    bool (*supports_buft)(Device *, BufferType *);
    void * offload_op;
    void * event_new;
    void * event_free;
    void * event_synchronize;
};

struct Device {
    DeviceInterface iface;
    Registry * reg;
    void * context;
};

struct RegistryInterface {
    const char * (*get_name)(Registry *);
    size_t (*get_device_count)(Registry *);
    Device * (*get_device)(Registry *, size_t index);
    void * (*get_proc_address)(Registry *, const char * name);
};

struct Registry {
    int api_version;
    RegistryInterface iface;
    void * context;
};

using FromFloat = void (*)(const float * in, void * out, int64_t count);
using ToFloat = void (*)(const void * in, float * out, int64_t count);
using VecDot = void (*)(int count, float * out, size_t out_stride, const void * x, size_t x_stride, const void * y,
                        size_t y_stride, int rows);

struct CpuTraits {
    FromFloat from_float;
    VecDot vec_dot;
    Type vec_dot_type;
    int64_t rows;
};

struct InitParams {
    size_t mem_size;
    void * mem_buffer;
    bool no_alloc;
};

using AbortCallback = bool (*)(void *);

}  // namespace edgemed::ggml
