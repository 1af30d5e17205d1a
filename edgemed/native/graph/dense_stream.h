// A file that exists only while libllama reads it: a header of ours, the model's dense tensors from the real file,
// and nothing (zeros) where its virtual expert tensors would be.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <unordered_set>
#include <vector>

#include "xxh3.h"

namespace edgemed {

struct StreamExtent {
    uint64_t at;  // in the virtual file
    uint64_t length;
    uint64_t source;  // in the real file
    uint64_t checksum;
    int32_t has_checksum;
    int32_t number;  // of the dense tensor, for messages
};

class DenseStream {
  public:
    ~DenseStream();
    // Returns an empty string or a sentence.
    std::string open(const char * path, std::vector<uint8_t> header, uint64_t size, std::vector<StreamExtent> extents);
    std::FILE * file() const { return file_; }

    // The dense tensor whose bytes differed from their checksum or could not be read, or -1.
    int damaged() const { return damaged_; }
    // Why it could not be read: an errno, -1 where the file ended before it; 0 where it was read and differed.
    int read_error() const { return read_error_; }
    // How many tensors were read in full and matched their checksum.
    int verified() const { return static_cast<int>(verified_.size()); }

    ssize_t read(char * out, size_t size);
    int seek(int64_t * offset, int whence);

  private:
    const StreamExtent * extent_at(uint64_t position) const;
    bool read_source(const StreamExtent & extent, uint64_t within, char * out, size_t size);

    std::FILE * file_ = nullptr;
    int fd_ = -1;
    std::vector<uint8_t> header_;
    std::vector<StreamExtent> extents_;  // by `at`
    uint64_t size_ = 0, position_ = 0;
    int damaged_ = -1, read_error_ = 0;
    std::unordered_set<int> verified_;  // a reader may come back to a tensor
    int hashing_ = -1;                  // the tensor whose bytes pass by in order right now
    uint64_t hashed_ = 0;
    Xxh3 hash_;
};

}  // namespace edgemed
