// The virtual file that llama.cpp loads: a generated header, the model's dense tensors from its files, and zeros
// for the virtual expert tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_set>
#include <vector>

#include "store/parts.h"
#include "xxh3.h"

namespace edgemed {

struct StreamExtent {
    uint64_t at;  // offset in the virtual file
    uint64_t length;
    uint64_t source;  // offset in its part of the model
    uint64_t checksum;
    int32_t has_checksum;
    int32_t number;  // of the dense tensor
    int32_t part;
};
static_assert(sizeof(StreamExtent) == 48 && offsetof(StreamExtent, at) == 0 && offsetof(StreamExtent, length) == 8 &&
                  offsetof(StreamExtent, source) == 16 && offsetof(StreamExtent, checksum) == 24 &&
                  offsetof(StreamExtent, has_checksum) == 32 && offsetof(StreamExtent, number) == 36 &&
                  offsetof(StreamExtent, part) == 40,
              "StreamExtent of edgemed/native/engine.py has this layout");

class DenseStream {
  public:
    ~DenseStream();
    // Returns an empty string, or a sentence on failure. The files must stay open as long as the stream.
    std::string open(const Parts & parts, std::vector<uint8_t> header, uint64_t size,
                     std::vector<StreamExtent> extents);
    std::FILE * file() const { return file_; }

    // The dense tensor that could not be read or differs from its checksum, or -1.
    int damaged() const { return damaged_; }
    // Why: an errno, -1 if the file ended too early, or 0 if its checksum differs.
    int read_error() const { return read_error_; }
    // How many tensors were read completely and match their checksum.
    int verified() const { return static_cast<int>(verified_.size()); }

    ssize_t read(char * out, size_t size);
    int seek(int64_t * offset, int whence);

  private:
    const StreamExtent * extent_at(uint64_t position) const;
    bool read_source(const StreamExtent & extent, uint64_t within, char * out, size_t size);

    std::FILE * file_ = nullptr;
    const Parts * parts_ = nullptr;
    std::vector<uint8_t> header_;
    std::vector<StreamExtent> extents_;  // sorted by `at`
    uint64_t size_ = 0, position_ = 0;
    int damaged_ = -1, read_error_ = 0;
    std::unordered_set<int> verified_;  // a set: llama.cpp may read a tensor twice
    int hashing_ = -1;                  // the tensor being read in order, or -1
    uint64_t hashed_ = 0;
    Xxh3 hash_;
};

}  // namespace edgemed
