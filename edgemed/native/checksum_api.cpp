#include "capi.h"
#include "xxh3.h"

EDGEMED_API uint64_t edgemed_xxh3_64(const void * data, size_t size) { return edgemed::xxh3_64(data, size); }
