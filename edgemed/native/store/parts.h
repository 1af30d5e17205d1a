// The files that a model lies in: one, or the parts of a split GGUF. Each is opened once, for the store and the stream.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace edgemed {

// What Python passes for each part; PartFile of edgemed/native/engine.py mirrors it.
struct PartFile {
    const char * path;
    uint64_t size;  // when its header was read
};
static_assert(sizeof(PartFile) == 16 && offsetof(PartFile, path) == 0 && offsetof(PartFile, size) == 8,
              "PartFile of edgemed/native/engine.py has this layout");

struct Part {
    std::string name;  // of the file, without folders
    int buffered_fd = -1;
    int direct_fd = -1;               // with O_DIRECT; -1 where that is not wanted or not possible
    std::atomic<bool> direct{false};  // some file systems accept O_DIRECT at open() and refuse it when reading
    struct stat opened{};

    // Detects a changed file by size and time. Without a checksum there is nothing better.
    bool unchanged() const;
};

class Parts {
  public:
    Parts() = default;
    ~Parts();
    Parts(const Parts &) = delete;
    Parts & operator=(const Parts &) = delete;

    // Opens all files, with a second descriptor for O_DIRECT if `direct`. Returns an empty string, or a sentence.
    std::string open(const PartFile * files, int count, bool direct);

    int count() const { return static_cast<int>(parts_.size()); }
    Part & operator[](int number) { return parts_[static_cast<size_t>(number)]; }
    const Part & operator[](int number) const { return parts_[static_cast<size_t>(number)]; }
    bool direct() const;  // whether every part is read with O_DIRECT
    // For messages: "the file", or the name of one of several.
    std::string called(int number) const { return count() > 1 ? parts_[static_cast<size_t>(number)].name : "the file"; }

  private:
    std::deque<Part> parts_;  // a Part cannot move
};

}  // namespace edgemed
