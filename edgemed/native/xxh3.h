// XXH3 with 64 bits, seed 0 and the default secret: the checksum of every tensor and expert in an edgemed file.
// Written from the published specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgemed {

// Feed bytes in pieces of any size, then call digest().
class Xxh3 {
  public:
    void update(const void * data, size_t size);
    uint64_t digest() const;

  private:
    static constexpr size_t kBuffered = 256;

    void consume(const uint8_t * data, size_t stripes);

    uint64_t acc_[8] = {0xC2B2AE3DULL,         0x9E3779B185EBCA87ULL, 0xC2B2AE3D27D4EB4FULL, 0x165667B19E3779F9ULL,
                        0x85EBCA77C2B2AE63ULL, 0x85EBCA77ULL,         0x27D4EB2F165667C5ULL, 0x9E3779B1ULL};
    uint64_t total_ = 0;
    size_t stripe_ = 0;   // stripes consumed of the current block
    size_t pending_ = 0;  // bytes in buffer_
    uint8_t buffer_[kBuffered] = {};
    uint8_t last_stripe_[64] = {};  // the last consumed stripe: the final 64 bytes may include part of it
};

uint64_t xxh3_64(const void * data, size_t size);

}  // namespace edgemed
