#include <exception>

#include "capi.h"
#include "compensate.h"

EDGEMED_API int edgemed_choose_codes(const edgemed::Codebook * book, const edgemed::BlockTask * task) {
    try {
        edgemed::choose_codes(*book, *task);
        return 0;
    } catch (const std::exception &) {
        return -1;
    }
}
