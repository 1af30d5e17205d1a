#include <cstddef>
#include <exception>

#include "capi.h"
#include "compensate.h"

using edgemed::BlockTask;
using edgemed::Codebook;

// edgemed/native/compensate.py mirrors both structs.
static_assert(sizeof(Codebook) == 32 && offsetof(Codebook, even) == 16 && offsetof(Codebook, values) == 24);
static_assert(sizeof(BlockTask) == 96 && offsetof(BlockTask, metric) == 32 && offsetof(BlockTask, later) == 40 &&
              offsetof(BlockTask, scale) == 48 && offsetof(BlockTask, pushed) == 72 &&
              offsetof(BlockTask, codes) == 88);

EDGEMED_API int edgemed_choose_codes(const Codebook * book, const BlockTask * task) {
    try {
        edgemed::choose_codes(*book, *task);
        return 0;
    } catch (const std::exception &) {
        return -1;
    }
}
