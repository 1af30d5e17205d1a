// The C interface of the native library: everything that Python may call. tools/check_c_abi.py compares it with
// Python's signatures and with the built library.
//
// Conventions. No function throws. Pointers are borrowed for the duration of the call unless a comment says otherwise,
// and the caller owns all buffers; shapes are given as [rows, columns], row-major and contiguous. `handle` is what
// edgemed_open() returned. Functions of a handle belong to the thread that computes with it, except those marked "any
// thread". A function that can fail with a sentence returns -1, or null, and leaves the sentence in edgemed_error().
#pragma once

#include <cstddef>
#include <cstdint>

#define EDGEMED_API extern "C" __attribute__((visibility("default")))

namespace edgemed {

struct BlockTask;     // compensate.h
struct Codebook;      // compensate.h
struct ExpertRecord;  // store/expert.h
struct ExpertSums;    // graph/observer.h
struct PartFile;      // store/parts.h
struct RouterShape;   // graph/predictor.h
struct StoreOptions;  // store/store.h
struct StoreStats;    // store/store.h
struct StreamExtent;  // graph/dense_stream.h

}  // namespace edgemed

// --- Start -----------------------------------------------------------------------------------------------------------

// The sentence of this thread's last failed call, or an empty string. UTF-8, owned by the library, valid until this
// thread's next call.
EDGEMED_API const char * edgemed_error();

// Finds the ggml functions that the library uses in the two shared objects at these paths, which must be loaded
// already. Call it once, before anything that computes. Returns 0, or -1 with a sentence.
EDGEMED_API int edgemed_bind(const char * ggml_base, const char * ggml_cpu);

// The number of the instruction set in use (enum Instructions in instructions.h). Any thread.
EDGEMED_API int edgemed_instructions();

// Uses no instruction set better than `most` from now on, and returns the one in use. Only while nothing computes.
EDGEMED_API int edgemed_limit_instructions(int most);

// --- The engine ------------------------------------------------------------------------------------------------------

// The ggml_backend_buffer_type_t of the virtual expert tensors, for llama.cpp's tensor_buft_overrides. Static.
EDGEMED_API void * edgemed_buffer_type();

// Opens the expert store on the files of a model. parts [n_parts] and records [moe_layers, experts_per_layer] are
// copied. Returns a handle that edgemed_close() frees, or null with a sentence. A process can have one handle at a time.
EDGEMED_API void * edgemed_open(const edgemed::PartFile * parts, int n_parts, const edgemed::ExpertRecord * records,
                                int moe_layers, int experts_per_layer, const edgemed::StoreOptions * options);

// Frees the handle. Free llama.cpp's contexts and the model that use it first.
EDGEMED_API void edgemed_close(void * handle);

// The virtual file that llama.cpp loads the model from, as a FILE *. It lives as long as the handle. header
// [header_size]: the file's first bytes, copied; size: bytes of the whole file; extents [count]: the dense tensors,
// copied. Load the model on the calling thread, then call edgemed_end_stream(), whether that succeeded or not. Returns
// null with a sentence on failure.
EDGEMED_API void * edgemed_open_stream(void * handle, const uint8_t * header, size_t header_size, uint64_t size,
                                       const edgemed::StreamExtent * extents, int count);

// Ends the load that edgemed_open_stream() began on this thread. Harmless without one.
EDGEMED_API void edgemed_end_stream();

// The number (StreamExtent) of the dense tensor that could not be read or differs from its checksum, or -1 if none.
EDGEMED_API int edgemed_stream_damaged(void * handle);

// Why: an errno; -1 if the file ended too early; 0 if the checksum differs.
EDGEMED_API int edgemed_stream_read_error(void * handle);

// How many dense tensors were read and match their checksum.
EDGEMED_API int edgemed_stream_verified(void * handle);

// on = 1: aborts the running computation, including waits for reads. on = 0: allows computing again. Any thread.
EDGEMED_API void edgemed_abort(void * handle, int on);

// For llama_context_params.abort_callback, with the handle as its data: true after edgemed_abort(handle, 1). Python
// only passes its address on.
EDGEMED_API bool edgemed_abort_callback(void * handle);

// Returns -1 with a sentence if an expert could not be read since edgemed_clear_fault(), else 0. Any thread.
EDGEMED_API int edgemed_fault(void * handle);

// Forgets the failure, so that failed experts are read again. Waits for reads that began together with the failed one.
EDGEMED_API void edgemed_clear_fault(void * handle);

// Copies the counters out. Any thread.
EDGEMED_API void edgemed_stats(void * handle, edgemed::StoreStats * out);

// Sets how many bytes the expert cache may hold. Returns when everything beyond it that is not in use has been freed.
// Any thread.
EDGEMED_API void edgemed_set_budget(void * handle, uint64_t bytes);

// Copies out the state of every expert (0 absent, 1 loading, 2 ready, 3 failed) and its hits and misses since the last
// call, each at most 255. All are [moe_layers, experts_per_layer]. The first call starts the counting. Any thread.
EDGEMED_API void edgemed_store_state(void * handle, uint8_t * states, uint8_t * hits, uint8_t * misses);

// Ends the counting that edgemed_store_state() started. Any thread.
EDGEMED_API void edgemed_stop_watching(void * handle);

// Call it before a batch whose progress edgemed_batch_layer() shall tell.
EDGEMED_API void edgemed_begin_batch(void * handle);

// The MoE layer, counted from 0, that the running batch has reached; negative before the first. Any thread.
EDGEMED_API int edgemed_batch_layer(void * handle);

// Copies out the score of every expert [moe_layers, experts_per_layer]: log2 of its decayed uses, relative to now.
EDGEMED_API void edgemed_copy_scores(void * handle, float * out);

// Restores scores [moe_layers, experts_per_layer] of an earlier run or of calibration.
EDGEMED_API void edgemed_restore_scores(void * handle, const float * scores);

// Records every demand for an expert to a new file as three uint32: clock in tokens, MoE layer, expert. A null path
// ends it. Returns 0, or -1 with a sentence if the file cannot be written.
EDGEMED_API int edgemed_record_trace(void * handle, const char * path);

// Contexts created from now on give attention to our device where it has a kernel.
EDGEMED_API void edgemed_claim_attention(void * handle);

// Turns prefetching on, with at most prefetch_limit predicted misses for each layer. router [moe_layers, experts,
// n_embd], bias [moe_layers, experts] and norm [moe_layers, n_embd] are copied.
EDGEMED_API void edgemed_enable_prefetch(void * handle, const edgemed::RouterShape * shape, const float * router,
                                         const float * bias, const float * norm, int prefetch_limit);

// Bytes of scratch that a batch of n_batch tokens takes at most, besides llama.cpp's own. types [experts][gate, up,
// down]: ggml's numbers of the types of all experts' matrices; n_ff: rows of the widest dense matrix; used: experts per
// token; observed: by calibration. Any thread, without edgemed_bind().
EDGEMED_API uint64_t edgemed_batch_scratch(const int32_t * types, int64_t experts, int64_t n_embd, int64_t n_ff_exp,
                                           int64_t n_ff, int used, int n_batch, int observed);

// Starts collecting the statistics of batches for calibration. used: experts per token; tokens: the largest batch.
EDGEMED_API void edgemed_start_observing(void * handle, int used, int tokens, int64_t n_embd, int64_t n_ff);

// Copies out the last batch's routing: input [moe_layers, tokens, n_embd], experts and weights [moe_layers, tokens,
// used] in rank order, counts [moe_layers]: how many tokens of each layer are filled.
EDGEMED_API void edgemed_take_routing(void * handle, float * input, int32_t * experts, float * weights,
                                      int32_t * counts);

// Copies out the sums since the last call and resets them: input [moe_layers, experts, n_embd] of x^2, hidden
// [moe_layers, experts, n_ff] of (weight * h)^2, sums [moe_layers, experts].
EDGEMED_API void edgemed_take_sums(void * handle, float * input, float * hidden, edgemed::ExpertSums * sums);

// Stops collecting and frees the statistics.
EDGEMED_API void edgemed_stop_observing(void * handle);

// --- Kernels ---------------------------------------------------------------------------------------------------------
// `type` is ggml's number of a type. Functions that compute need edgemed_bind() first; they return 0, 1 if ggml has to
// compute this on this machine (`out` is untouched), or -1 if memory ran out.

// y [count, rows] = x [count, columns] weights^T, for weights [rows, columns] of a GGUF type.
EDGEMED_API int edgemed_gemm(int type, const uint8_t * weights, int64_t rows, int64_t columns, const float * x,
                             int count, float * y, int threads);

// y [rows] = weights x, for weights [rows, columns] of a GGUF type and x [columns], as for a single token.
EDGEMED_API int edgemed_gemv(int type, const uint8_t * weights, int64_t rows, int64_t columns, const float * x,
                             float * y);

// out [queries, heads, width] = softmax(scale * q k^T + mask) v, for q [queries, heads, width] in float32, k and v
// [tokens, kv_heads, width] and mask [queries, tokens] in half precision. mask may be null.
EDGEMED_API int edgemed_attend(const float * q, const uint16_t * k, const uint16_t * v, const uint16_t * mask,
                               float scale, int64_t width, int64_t heads, int64_t kv_heads, int64_t queries,
                               int64_t tokens, int threads, float * out);

// Chooses the codes of one block of 256 columns (compensate.h). Needs no edgemed_bind(). Returns 0, or -1 if memory ran
// out.
EDGEMED_API int edgemed_choose_codes(const edgemed::Codebook * book, const edgemed::BlockTask * task);

// --- Checksums -------------------------------------------------------------------------------------------------------
// XXH3 with 64 bits and seed 0. Any thread, one state per thread at a time.

// The checksum of data [size].
EDGEMED_API uint64_t edgemed_xxh3_64(const void * data, size_t size);

// Bytes of a state. The caller allocates it, aligned to 16, and need not release anything.
EDGEMED_API size_t edgemed_xxh3_state_size();

// Initialises a state.
EDGEMED_API void edgemed_xxh3_begin(void * state);

// Adds data [size] to the checksum.
EDGEMED_API void edgemed_xxh3_update(void * state, const void * data, size_t size);

// The checksum of all data so far. More may be added afterwards.
EDGEMED_API uint64_t edgemed_xxh3_digest(const void * state);
