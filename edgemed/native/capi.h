// What Python may call. Every function is plain C; none throws.
#pragma once

#define EDGEMED_API extern "C" __attribute__((visibility("default")))
