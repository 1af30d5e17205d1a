// The engine's C functions: bind ggml, open a model's experts, hand libllama its stream, watch and stop.
// Each that can fail returns 0 on success and leaves a sentence in edgemed_error().

#include <exception>
#include <memory>
#include <string>

#include "capi.h"
#include "dense_stream.h"
#include "device.h"
#include "ggml/ggml_api.h"
#include "moe_graph.h"

namespace {

struct Engine : edgemed::Experts {
    edgemed::DenseStream dense;
};

thread_local std::string g_error;

int report(std::string sentence) {
    g_error = std::move(sentence);
    return g_error.empty() ? 0 : -1;
}

// Memory or threads can run out; no exception may leave the library.
template <typename Function> void * guarded(Function function) {
    try {
        return function();
    } catch (const std::exception & error) {
        report(std::string("the system refuses memory or threads: ") + error.what() + ".");
        return nullptr;
    }
}

std::string unusable(const edgemed::ExpertRecord & record) {
    if (!edgemed::plausible(record)) return "has matrices that overlap or lie apart; convert the checkpoint again.";
    for (int32_t type : record.type)
        if (edgemed::ggml::api().cpu_traits(type)->vec_dot == nullptr)
            return "is stored as a type that nothing can multiply with; convert the checkpoint again.";
    return {};
}

}  // namespace

EDGEMED_API const char * edgemed_error() { return g_error.c_str(); }

EDGEMED_API int edgemed_bind(const char * ggml_base, const char * ggml_cpu) {
    return report(edgemed::ggml::bind(ggml_base, ggml_cpu));
}

EDGEMED_API void * edgemed_buffer_type() { return edgemed::expert_buffer_type(); }

EDGEMED_API void * edgemed_open(const char * path, const edgemed::ExpertRecord * records, int rows, int per_row,
                                const edgemed::StoreOptions * options) {
    return guarded([&]() -> void * {
        std::vector<edgemed::Expert> experts;
        experts.reserve(static_cast<size_t>(rows) * static_cast<size_t>(per_row));
        for (int i = 0; i < rows * per_row; i++) {
            const std::string fault = unusable(records[i]);
            if (!fault.empty()) {
                report("expert " + std::to_string(i % per_row) + " of layer " +
                       std::to_string(options->first_layer + i / per_row) + " " + fault);
                return nullptr;
            }
            experts.push_back(edgemed::lay_out(records[i]));
        }
        auto engine = std::make_unique<Engine>();
        if (report(engine->store.open(path, std::move(experts), rows, per_row, *options)) != 0) return nullptr;
        edgemed::attach_experts(engine.get());
        return engine.release();
    });
}

EDGEMED_API void edgemed_close(void * handle) {
    auto * engine = static_cast<Engine *>(handle);
    edgemed::detach_experts(engine);
    delete engine;
}

// The model as libllama reads it, on the thread that calls this; edgemed_stream_loaded() when it has.
EDGEMED_API void * edgemed_stream(void * handle, const char * path, const uint8_t * header, size_t header_size,
                                  uint64_t size, const edgemed::StreamExtent * extents, int count) {
    return guarded([&]() -> void * {
        auto & dense = static_cast<Engine *>(handle)->dense;
        const std::string fault = dense.open(path, std::vector<uint8_t>(header, header + header_size), size,
                                             std::vector<edgemed::StreamExtent>(extents, extents + count));
        edgemed::experts_load();
        return report(fault) == 0 ? dense.file() : nullptr;
    });
}
EDGEMED_API void edgemed_stream_loaded() { edgemed::experts_loaded(); }

EDGEMED_API int edgemed_stream_damaged(void * handle) { return static_cast<Engine *>(handle)->dense.damaged(); }
EDGEMED_API int edgemed_stream_read_error(void * handle) { return static_cast<Engine *>(handle)->dense.read_error(); }
EDGEMED_API int edgemed_stream_verified(void * handle) { return static_cast<Engine *>(handle)->dense.verified(); }

EDGEMED_API void edgemed_abort(void * handle, int on) { static_cast<Engine *>(handle)->store.request_abort(on != 0); }
// The shape llama_context_params.abort_callback wants.
EDGEMED_API bool edgemed_abort_callback(void * handle) { return static_cast<Engine *>(handle)->store.aborted(); }

EDGEMED_API int edgemed_fault(void * handle) { return report(static_cast<Engine *>(handle)->store.fault()); }
EDGEMED_API void edgemed_clear_fault(void * handle) { static_cast<Engine *>(handle)->store.clear_fault(); }

EDGEMED_API void edgemed_stats(void * handle, edgemed::StoreStats * out) {
    *out = static_cast<Engine *>(handle)->store.stats();
}
EDGEMED_API void edgemed_set_budget(void * handle, uint64_t bytes) {
    static_cast<Engine *>(handle)->store.set_budget(bytes);
}
EDGEMED_API void edgemed_look(void * handle, uint8_t * states, uint8_t * hits, uint8_t * misses) {
    static_cast<Engine *>(handle)->store.look(states, hits, misses);
}
// A batch is about to begin; and which of the model's rows of experts it has reached, negative before the first.
EDGEMED_API void edgemed_batch_begins(void * handle) { static_cast<Engine *>(handle)->store.scan(-1); }
EDGEMED_API int edgemed_batch_row(void * handle) { return static_cast<Engine *>(handle)->store.scanned(); }
EDGEMED_API void edgemed_look_away(void * handle) { static_cast<Engine *>(handle)->store.look_away(); }
EDGEMED_API void edgemed_scores(void * handle, float * out) { static_cast<Engine *>(handle)->store.copy_scores(out); }
EDGEMED_API void edgemed_restore(void * handle, const float * scores) {
    static_cast<Engine *>(handle)->store.restore_scores(scores);
}
EDGEMED_API int edgemed_trace(void * handle, const char * path) {
    return static_cast<Engine *>(handle)->store.record_trace(path) ? 0 : report("the trace file cannot be written.");
}

// From now on contexts leave attention to us, where `is_attention` is true of it.
EDGEMED_API void edgemed_claim_attention(void * handle) { static_cast<Engine *>(handle)->attends = true; }

// ChunkClaimer reading ahead on: `guesses` predicted misses a layer.
EDGEMED_API void edgemed_predict(void * handle, const edgemed::RouterShape * shape, const float * router,
                                 const float * bias, const float * norm, int guesses) {
    auto & engine = *static_cast<Engine *>(handle);
    engine.predictor.load(*shape, router, bias, norm);
    engine.guesses = guesses;
}

EDGEMED_API void edgemed_observe(void * handle, int used, int tokens, int64_t n_embd, int64_t n_ff) {
    auto & engine = *static_cast<Engine *>(handle);
    engine.observer.start(engine.store.rows(), engine.store.per_row(), used, tokens, n_embd, n_ff);
}
EDGEMED_API void edgemed_observed_routing(void * handle, float * input, int32_t * experts, float * weights,
                                          int32_t * counts) {
    static_cast<Engine *>(handle)->observer.take_routing(input, experts, weights, counts);
}
EDGEMED_API void edgemed_observe_stop(void * handle) { static_cast<Engine *>(handle)->observer.stop(); }
EDGEMED_API void edgemed_observed(void * handle, float * input, float * hidden, edgemed::ExpertSums * sums) {
    static_cast<Engine *>(handle)->observer.take(input, hidden, sums);
}
