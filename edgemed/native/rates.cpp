// How fast this machine computes what a token needs, for predictions: products of quantised rows, and the small change
// between them.

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "activations.h"
#include "capi.h"
#include "ggml_api.h"

namespace {

using Clock = std::chrono::steady_clock;
using edgemed::ggml::api;

constexpr int64_t  kRowsAtATime = 32;
constexpr uint64_t kHugePage = 2 << 20;

double since(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

double median(std::vector<double> & values) {
    std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

// Runs `pass` for so many seconds, at least three times, after once unmeasured; the median of its seconds.
template <typename Pass> double timed(double seconds, Pass pass) {
    pass();
    std::vector<double> took;
    for (const auto from = Clock::now(); took.size() < 3 || since(from) < seconds;) {
        const auto at = Clock::now();
        pass();
        took.push_back(since(at));
    }
    return median(took);
}

}  // namespace

// Bytes a second at which that many threads together multiply rows of a type by one vector, the rows being all over
// `bytes` of memory (more than the caches hold). 0 where the type has no product or memory is refused.
EDGEMED_API double edgemed_product_rate(int type, int64_t columns, uint64_t bytes, int threads, double seconds) {
    const edgemed::ggml::CpuTraits * traits = api().cpu_traits(type);
    if (traits->vec_dot == nullptr) return 0;
    const size_t stride = api().row_size(type, columns);
    const auto   rows = static_cast<int64_t>(bytes / stride);
    const size_t mapped = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void * const area = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) return 0;
    madvise(area, mapped, MADV_HUGEPAGE);
    std::memset(area, 0x11, mapped);  // every type reads numbers of an ordinary size from it
    edgemed::Activations activations;
    activations.start(columns, 1);
    activations.want(type);
    activations.quantise(0, 0, std::vector<float>(static_cast<size_t>(columns), 0.5f).data());
    const uint8_t *    x = activations.row(type, 0);
    std::vector<float> out(static_cast<size_t>(rows));
    const auto *       weights = static_cast<const uint8_t *>(area);
    const double       took = timed(seconds, [&] {
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t first = 0; first < rows; first += kRowsAtATime)
            for (int64_t r = first; r < std::min(rows, first + kRowsAtATime); r++)
                traits->vec_dot(static_cast<int>(columns), &out[static_cast<size_t>(r)], 0, weights + static_cast<size_t>(r) * stride, 0, x, 0, 1);
    });
    munmap(area, mapped);
    return static_cast<double>(static_cast<size_t>(rows) * stride) / took;
}

namespace {

// A graph of `nodes` small products in a row, and a backend to compute it on.
class SmallGraph {
  public:
    SmallGraph(int nodes, int threads)
        : memory_(api().graph_overhead_custom(2 * static_cast<size_t>(nodes), false) +
                  (static_cast<size_t>(nodes) + 2) * (api().tensor_overhead() + 64)),
          weights_(kWidth * kWidth, 0.01f),
          cpu_(api().cpu_init()) {
        for (std::vector<float> & each : values_) each.assign(kWidth, 1.0f);
        context_ = api().init({memory_.size(), memory_.data(), true});
        edgemed::ggml::Tensor * matrix = api().new_tensor_2d(context_, edgemed::ggml::kF32, kWidth, kWidth);
        matrix->data = weights_.data();
        edgemed::ggml::Tensor * x = api().new_tensor_2d(context_, edgemed::ggml::kF32, kWidth, 1);
        x->data = values_[0].data();
        for (int i = 1; i <= nodes; i++) {
            x = api().mul_mat(context_, matrix, x);
            x->data = values_[i % 2].data();
        }
        graph_ = api().new_graph_custom(context_, 2 * static_cast<size_t>(nodes), false);
        api().build_forward_expand(graph_, x);
        api().cpu_set_n_threads(cpu_, threads);
    }
    ~SmallGraph() {
        api().backend_free(cpu_);
        api().free(context_);
    }
    SmallGraph(const SmallGraph &) = delete;
    SmallGraph & operator=(const SmallGraph &) = delete;

    void compute() { api().graph_compute(cpu_, graph_); }

  private:
    static constexpr size_t  kWidth = 32;
    std::vector<uint8_t>     memory_;
    std::vector<float>       weights_, values_[2];
    edgemed::ggml::Context * context_ = nullptr;
    edgemed::ggml::Graph *   graph_ = nullptr;
    edgemed::ggml::Backend * cpu_;
};

}  // namespace

// Seconds of one node of ggml's graph that computes next to nothing: what keeping that many threads in step costs.
EDGEMED_API double edgemed_node_seconds(int threads, double seconds) {
    constexpr int nodes = 200;
    SmallGraph    graph(nodes, threads);
    return timed(seconds, [&] { graph.compute(); }) / nodes;
}

// Seconds until a graph of one such node is done when one thread alone has worked for a while: what waking the others costs.
EDGEMED_API double edgemed_start_seconds(int threads, double seconds) {
    constexpr double alone = 20e-6;
    SmallGraph       graph(1, threads);
    return timed(seconds, [&] {
               for (const auto from = Clock::now(); since(from) < alone;) {}
               graph.compute();
           }) - alone;
}

// Weights a second (each multiplied and added once a row) at which that many threads multiply a matrix of a type with
// `rows` rows at once, as prompts are computed. 0 where the type has no product.
EDGEMED_API double edgemed_batch_rate(int type, int64_t columns, int64_t rows, int threads, double seconds) {
    if (api().cpu_traits(type)->vec_dot == nullptr) return 0;
    constexpr int64_t    height = 1024;
    std::vector<uint8_t> memory(api().graph_overhead_custom(8, false) + 4 * (api().tensor_overhead() + 64));
    edgemed::ggml::Context * context = api().init({memory.size(), memory.data(), true});
    std::vector<uint8_t> weights(api().row_size(type, columns) * height, 0x11);
    std::vector<float>   values(static_cast<size_t>(columns * rows), 0.5f), out(static_cast<size_t>(height * rows));
    edgemed::ggml::Tensor * matrix = api().new_tensor_2d(context, type, columns, height);
    matrix->data = weights.data();
    edgemed::ggml::Tensor * x = api().new_tensor_2d(context, edgemed::ggml::kF32, columns, rows);
    x->data = values.data();
    edgemed::ggml::Tensor * product = api().mul_mat(context, matrix, x);
    product->data = out.data();
    edgemed::ggml::Graph * graph = api().new_graph_custom(context, 8, false);
    api().build_forward_expand(graph, product);
    edgemed::ggml::Backend * cpu = api().cpu_init();
    api().cpu_set_n_threads(cpu, threads);
    const double took = timed(seconds, [&] { api().graph_compute(cpu, graph); });
    api().backend_free(cpu);
    api().free(context);
    return static_cast<double>(columns * height * rows) / took;
}
