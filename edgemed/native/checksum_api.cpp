#include <new>
#include <type_traits>

#include "capi.h"
#include "xxh3.h"

using edgemed::Xxh3;

// The caller owns the state's memory and need not release anything.
static_assert(std::is_trivially_destructible_v<Xxh3> && alignof(Xxh3) <= 16);

EDGEMED_API uint64_t edgemed_xxh3_64(const void * data, size_t size) { return edgemed::xxh3_64(data, size); }

EDGEMED_API size_t edgemed_xxh3_state_size() { return sizeof(Xxh3); }

EDGEMED_API void edgemed_xxh3_begin(void * state) { new (state) Xxh3(); }

EDGEMED_API void edgemed_xxh3_update(void * state, const void * data, size_t size) {
    static_cast<Xxh3 *>(state)->update(data, size);
}

EDGEMED_API uint64_t edgemed_xxh3_digest(const void * state) { return static_cast<const Xxh3 *>(state)->digest(); }
