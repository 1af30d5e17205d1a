// The engine's C functions; capi.h documents them.

#include <exception>
#include <memory>
#include <string>

#include "batch_scratch.h"
#include "capi.h"
#include "dense_stream.h"
#include "device.h"
#include "ggml/ggml_api.h"
#include "moe_graph.h"

namespace {

struct Engine : edgemed::Experts {
    edgemed::DenseStream dense;
};

Engine * of(void * handle) { return static_cast<Engine *>(handle); }

thread_local std::string g_error;

int report(std::string sentence) {
    g_error = std::move(sentence);
    return g_error.empty() ? 0 : -1;
}

// Turns exceptions (out of memory or threads) into a reported failure: none may cross the C interface.
template <typename Function> void * guarded(Function function) {
    try {
        return function();
    } catch (const std::exception & error) {
        report(std::string("the system refuses memory or threads: ") + error.what() + ".");
        return nullptr;
    }
}

std::string unusable(const edgemed::ExpertRecord & record, int parts) {
    if (!edgemed::plausible(record, parts))
        return "has matrices that overlap or lie apart; convert the checkpoint again.";
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

EDGEMED_API void * edgemed_open(const edgemed::PartFile * parts, int n_parts, const edgemed::ExpertRecord * records,
                                int moe_layers, int experts_per_layer, const edgemed::StoreOptions * options) {
    return guarded([&]() -> void * {
        std::vector<edgemed::Expert> experts;
        experts.reserve(static_cast<size_t>(moe_layers) * static_cast<size_t>(experts_per_layer));
        for (int i = 0; i < moe_layers * experts_per_layer; i++) {
            const std::string fault = unusable(records[i], n_parts);
            if (!fault.empty()) {
                report("expert " + std::to_string(i % experts_per_layer) + " of layer " +
                       std::to_string(options->first_layer + i / experts_per_layer) + " " + fault);
                return nullptr;
            }
            experts.push_back(edgemed::lay_out(records[i]));
        }
        auto engine = std::make_unique<Engine>();
        const std::vector<edgemed::PartFile> files(parts, parts + n_parts);
        if (report(engine->store.open(files, std::move(experts), moe_layers, experts_per_layer, *options)) != 0)
            return nullptr;
        engine->name = engine->store.parts()[0].name;
        if (report(edgemed::attach_experts(engine.get())) != 0) return nullptr;
        return engine.release();
    });
}

EDGEMED_API void edgemed_close(void * handle) {
    auto * engine = of(handle);
    edgemed::detach_experts(engine);
    delete engine;
}

EDGEMED_API void * edgemed_open_stream(void * handle, const uint8_t * header, size_t header_size, uint64_t size,
                                       const edgemed::StreamExtent * extents, int count) {
    return guarded([&]() -> void * {
        auto & dense = of(handle)->dense;
        const std::string fault =
            dense.open(of(handle)->store.parts(), std::vector<uint8_t>(header, header + header_size), size,
                       std::vector<edgemed::StreamExtent>(extents, extents + count));
        if (report(fault) != 0) return nullptr;
        edgemed::begin_expert_loading(of(handle));
        return dense.file();
    });
}
EDGEMED_API void edgemed_end_stream() { edgemed::end_expert_loading(); }

EDGEMED_API int edgemed_stream_damaged(void * handle) { return of(handle)->dense.damaged(); }
EDGEMED_API int edgemed_stream_read_error(void * handle) { return of(handle)->dense.read_error(); }
EDGEMED_API int edgemed_stream_verified(void * handle) { return of(handle)->dense.verified(); }

EDGEMED_API void edgemed_abort(void * handle, int on) { of(handle)->store.request_abort(on != 0); }

EDGEMED_API bool edgemed_abort_callback(void * handle) { return of(handle)->store.aborted(); }

EDGEMED_API int edgemed_fault(void * handle) { return report(of(handle)->store.fault()); }

EDGEMED_API void edgemed_clear_fault(void * handle) { of(handle)->store.clear_fault(); }

EDGEMED_API void edgemed_stats(void * handle, edgemed::StoreStats * out) { *out = of(handle)->store.stats(); }

EDGEMED_API void edgemed_set_budget(void * handle, uint64_t bytes) { of(handle)->store.set_budget(bytes); }

EDGEMED_API void edgemed_store_state(void * handle, uint8_t * states, uint8_t * hits, uint8_t * misses) {
    of(handle)->store.store_state(states, hits, misses);
}

EDGEMED_API void edgemed_stop_watching(void * handle) { of(handle)->store.stop_watching(); }

EDGEMED_API void edgemed_begin_batch(void * handle) { of(handle)->store.scan(-1); }

EDGEMED_API int edgemed_batch_layer(void * handle) { return of(handle)->store.scan_layer(); }

EDGEMED_API void edgemed_copy_scores(void * handle, float * out) { of(handle)->store.copy_scores(out); }
EDGEMED_API void edgemed_restore_scores(void * handle, const float * scores) {
    of(handle)->store.restore_scores(scores);
}

EDGEMED_API int edgemed_record_trace(void * handle, const char * path) {
    return of(handle)->store.record_trace(path) ? 0 : report("the trace file cannot be written.");
}

EDGEMED_API void edgemed_claim_attention(void * handle) { of(handle)->claims_attention = true; }

EDGEMED_API void edgemed_enable_prefetch(void * handle, const edgemed::RouterShape * shape, const float * router,
                                         const float * bias, const float * norm, int prefetch_limit) {
    auto & engine = *of(handle);
    engine.predictor.load(*shape, router, bias, norm);
    engine.prefetch_limit = prefetch_limit;
}

EDGEMED_API uint64_t edgemed_batch_scratch(const int32_t * types, int64_t experts, int64_t n_embd, int64_t n_ff_exp,
                                           int64_t n_ff, int used, int n_batch, int observed) {
    return edgemed::batch_scratch({n_embd, n_ff_exp, n_ff, used, n_batch, observed != 0}, types, experts);
}

EDGEMED_API void edgemed_start_observing(void * handle, int used, int tokens, int64_t n_embd, int64_t n_ff) {
    auto & engine = *of(handle);
    engine.observer.start(engine.store.moe_layers(), engine.store.experts_per_layer(), used, tokens, n_embd, n_ff);
}

EDGEMED_API void edgemed_take_routing(void * handle, float * input, int32_t * experts, float * weights,
                                      int32_t * counts) {
    of(handle)->observer.take_routing(input, experts, weights, counts);
}

EDGEMED_API void edgemed_take_sums(void * handle, float * input, float * hidden, edgemed::ExpertSums * sums) {
    of(handle)->observer.take(input, hidden, sums);
}

EDGEMED_API void edgemed_stop_observing(void * handle) { of(handle)->observer.stop(); }
