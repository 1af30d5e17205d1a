// The engine's C functions, as edgemed/native/engine.py declares them.
//
// Functions that can fail return 0, or a pointer, on success. On failure they return -1, or null, and leave a sentence
// in edgemed_error(). A handle is what edgemed_open() returned. Only those marked so may run while another thread
// computes.

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

std::string unusable(const edgemed::ExpertRecord & record) {
    if (!edgemed::plausible(record)) return "has matrices that overlap or lie apart; convert the checkpoint again.";
    for (int32_t type : record.type)
        if (edgemed::ggml::api().cpu_traits(type)->vec_dot == nullptr)
            return "is stored as a type that nothing can multiply with; convert the checkpoint again.";
    return {};
}

}  // namespace

// The sentence of this thread's last failed call. Valid until its next call.
EDGEMED_API const char * edgemed_error() { return g_error.c_str(); }

// Finds the ggml functions we use in the two libraries at these paths, which must be loaded already. Call it first.
EDGEMED_API int edgemed_bind(const char * ggml_base, const char * ggml_cpu) {
    return report(edgemed::ggml::bind(ggml_base, ggml_cpu));
}

// The ggml_backend_buffer_type_t of the virtual expert tensors, for llama.cpp's tensor_buft_overrides.
EDGEMED_API void * edgemed_buffer_type() { return edgemed::expert_buffer_type(); }

// Opens the expert store on a model file. records: [moe_layers, experts_per_layer]. Returns a handle for
// edgemed_close().
EDGEMED_API void * edgemed_open(const char * path, const edgemed::ExpertRecord * records, int moe_layers,
                                int experts_per_layer, const edgemed::StoreOptions * options) {
    return guarded([&]() -> void * {
        std::vector<edgemed::Expert> experts;
        experts.reserve(static_cast<size_t>(moe_layers) * static_cast<size_t>(experts_per_layer));
        for (int i = 0; i < moe_layers * experts_per_layer; i++) {
            const std::string fault = unusable(records[i]);
            if (!fault.empty()) {
                report("expert " + std::to_string(i % experts_per_layer) + " of layer " +
                       std::to_string(options->first_layer + i / experts_per_layer) + " " + fault);
                return nullptr;
            }
            experts.push_back(edgemed::lay_out(records[i]));
        }
        auto engine = std::make_unique<Engine>();
        if (report(engine->store.open(path, std::move(experts), moe_layers, experts_per_layer, *options)) != 0)
            return nullptr;
        edgemed::attach_experts(engine.get());
        return engine.release();
    });
}

// Frees the handle. llama.cpp's contexts and the model that use it must be freed before.
EDGEMED_API void edgemed_close(void * handle) {
    auto * engine = of(handle);
    edgemed::detach_experts(engine);
    delete engine;
}

// The virtual file for llama.cpp to load the model from, as a FILE *; it lives as long as the handle. header: its first
// bytes; size: of the whole file; extents [count]: the dense tensors. Load the model on the calling thread and call
// edgemed_stream_loaded() once it is loaded.
EDGEMED_API void * edgemed_open_stream(void * handle, const char * path, const uint8_t * header, size_t header_size,
                                       uint64_t size, const edgemed::StreamExtent * extents, int count) {
    return guarded([&]() -> void * {
        auto & dense = of(handle)->dense;
        const std::string fault = dense.open(path, std::vector<uint8_t>(header, header + header_size), size,
                                             std::vector<edgemed::StreamExtent>(extents, extents + count));
        edgemed::begin_expert_loading();
        return report(fault) == 0 ? dense.file() : nullptr;
    });
}
EDGEMED_API void edgemed_stream_loaded() { edgemed::end_expert_loading(); }

// The number of the dense tensor that could not be read or differs from its checksum, or -1; why, as an errno (-1: the
// file ended too early; 0: the checksum differs); and how many dense tensors match their checksum.
EDGEMED_API int edgemed_stream_damaged(void * handle) { return of(handle)->dense.damaged(); }
EDGEMED_API int edgemed_stream_read_error(void * handle) { return of(handle)->dense.read_error(); }
EDGEMED_API int edgemed_stream_verified(void * handle) { return of(handle)->dense.verified(); }

// Aborts the running computation, reads included, or (on = 0) allows computing again. Any thread.
EDGEMED_API void edgemed_abort(void * handle, int on) { of(handle)->store.request_abort(on != 0); }

// llama_context_params.abort_callback, with the handle as its data.
EDGEMED_API bool edgemed_abort_callback(void * handle) { return of(handle)->store.aborted(); }

// Fails, with a sentence, if an expert could not be read since edgemed_clear_fault().
EDGEMED_API int edgemed_fault(void * handle) { return report(of(handle)->store.fault()); }

// Forgets the failure, so that failed experts are read again. Waits for reads that began together with the failed one.
EDGEMED_API void edgemed_clear_fault(void * handle) { of(handle)->store.clear_fault(); }

// Copies out the counters. Any thread.
EDGEMED_API void edgemed_stats(void * handle, edgemed::StoreStats * out) { *out = of(handle)->store.stats(); }

// Changes the bytes the expert cache may hold. Any thread; returns when what is not in use has been given back.
EDGEMED_API void edgemed_set_budget(void * handle, uint64_t bytes) { of(handle)->store.set_budget(bytes); }

// Copies out every expert's state (0 absent, 1 loading, 2 ready, 3 failed) and its hits and misses since the last call,
// at most 255; [moe_layers, experts_per_layer] each. Counting starts with the first call. Any thread.
EDGEMED_API void edgemed_store_state(void * handle, uint8_t * states, uint8_t * hits, uint8_t * misses) {
    of(handle)->store.store_state(states, hits, misses);
}

// Ends the counting that edgemed_store_state() started. Any thread.
EDGEMED_API void edgemed_stop_watching(void * handle) { of(handle)->store.stop_watching(); }

// Call before a batch whose progress edgemed_batch_layer() shall tell.
EDGEMED_API void edgemed_begin_batch(void * handle) { of(handle)->store.scan(-1); }

// The MoE layer that the running batch has reached; negative before the first. Any thread.
EDGEMED_API int edgemed_batch_layer(void * handle) { return of(handle)->store.scan_layer(); }

// Copies out every expert's score [moe_layers, experts_per_layer] (log2 of its decayed uses, relative to now), and
// restores scores from an earlier run or from calibration.
EDGEMED_API void edgemed_copy_scores(void * handle, float * out) { of(handle)->store.copy_scores(out); }
EDGEMED_API void edgemed_restore_scores(void * handle, const float * scores) {
    of(handle)->store.restore_scores(scores);
}

// Writes (clock, MoE layer, expert) as three uint32 to the file for every expert pinned; a null path ends it.
EDGEMED_API int edgemed_record_trace(void * handle, const char * path) {
    return of(handle)->store.record_trace(path) ? 0 : report("the trace file cannot be written.");
}

// Makes contexts created from now on give attention to our device, where is_attention() accepts it.
EDGEMED_API void edgemed_claim_attention(void * handle) { of(handle)->claims_attention = true; }

// Turns prefetching on, of up to prefetch_limit predicted misses per layer. router: [moe_layers, experts, n_embd],
// bias: [moe_layers, experts], norm: [moe_layers, n_embd], all copied.
EDGEMED_API void edgemed_enable_prefetch(void * handle, const edgemed::RouterShape * shape, const float * router,
                                         const float * bias, const float * norm, int prefetch_limit) {
    auto & engine = *of(handle);
    engine.predictor.load(*shape, router, bias, norm);
    engine.prefetch_limit = prefetch_limit;
}

// Starts collecting calibration's statistics of batches (observer.h). used: experts per token; tokens: the largest
// batch.
EDGEMED_API void edgemed_start_observing(void * handle, int used, int tokens, int64_t n_embd, int64_t n_ff) {
    auto & engine = *of(handle);
    engine.observer.start(engine.store.moe_layers(), engine.store.experts_per_layer(), used, tokens, n_embd, n_ff);
}

// Copies out the last batch's routing: input [moe_layers, tokens, n_embd], experts and weights [moe_layers, tokens,
// used], counts [moe_layers] of filled tokens.
EDGEMED_API void edgemed_take_routing(void * handle, float * input, int32_t * experts, float * weights,
                                      int32_t * counts) {
    of(handle)->observer.take_routing(input, experts, weights, counts);
}

// Copies out the sums since the last call and resets them: input [moe_layers, experts, n_embd], hidden [moe_layers,
// experts, n_ff], sums [moe_layers, experts].
EDGEMED_API void edgemed_take_sums(void * handle, float * input, float * hidden, edgemed::ExpertSums * sums) {
    of(handle)->observer.take(input, hidden, sums);
}

// Stops collecting and frees the statistics.
EDGEMED_API void edgemed_stop_observing(void * handle) { of(handle)->observer.stop(); }
