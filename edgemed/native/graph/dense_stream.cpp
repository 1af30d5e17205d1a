#include "dense_stream.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace edgemed {

std::string DenseStream::open(const Parts & parts, std::vector<uint8_t> header, uint64_t size,
                              std::vector<StreamExtent> extents) {
    parts_ = &parts;
    header_ = std::move(header);
    size_ = size;
    extents_ = std::move(extents);
    cookie_io_functions_t io{};
    io.read = [](void * self, char * out, size_t n) { return static_cast<DenseStream *>(self)->read(out, n); };
    io.seek = [](void * self, off64_t * offset, int whence) {
        int64_t at = *offset;
        const int result = static_cast<DenseStream *>(self)->seek(&at, whence);
        *offset = at;
        return result;
    };
    file_ = fopencookie(this, "rb", io);
    return file_ != nullptr ? std::string() : "no stream could be opened on the model file.";
}

DenseStream::~DenseStream() {
    if (file_ != nullptr) std::fclose(file_);
}

const StreamExtent * DenseStream::extent_at(uint64_t position) const {
    const auto after = std::upper_bound(extents_.begin(), extents_.end(), position,
                                        [](uint64_t value, const StreamExtent & extent) { return value < extent.at; });
    return after == extents_.begin() ? nullptr : &*(after - 1);
}

ssize_t DenseStream::read(char * out, size_t size) {
    size = std::min<uint64_t>(size, size_ - std::min(position_, size_));
    if (size == 0) return 0;
    if (position_ < header_.size()) {
        size = std::min<uint64_t>(size, header_.size() - position_);
        std::memcpy(out, header_.data() + position_, size);
    } else {
        const StreamExtent * extent = extent_at(position_);
        const uint64_t within = extent != nullptr ? position_ - extent->at : 0;
        if (extent != nullptr && within < extent->length) {
            size = std::min<uint64_t>(size, extent->length - within);
            if (!read_source(*extent, within, out, size)) {
                damaged_ = extent->number;
                errno = EIO;
                return -1;
            }
        } else {
            // A virtual expert tensor, or padding before the next tensor.
            const StreamExtent * next = extent == nullptr ? extents_.data() : extent + 1;
            if (next < extents_.data() + extents_.size()) size = std::min<uint64_t>(size, next->at - position_);
            std::memset(out, 0, size);
        }
    }
    position_ += size;
    return static_cast<ssize_t>(size);
}

// Reads part of a dense tensor. When a tensor has been read in order to its end, compares its checksum.
bool DenseStream::read_source(const StreamExtent & extent, uint64_t within, char * out, size_t size) {
    const int fd = (*parts_)[extent.part].buffered_fd;
    for (size_t got = 0; got < size;) {
        const ssize_t n = pread(fd, out + got, size - got, static_cast<off_t>(extent.source + within + got));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            read_error_ = n < 0 ? errno : -1;
            return false;
        }
        got += static_cast<size_t>(n);
    }
    // llama.cpp keeps the bytes in its own memory; drop the copy in the page cache.
    posix_fadvise(fd, static_cast<off_t>(extent.source + within), static_cast<off_t>(size), POSIX_FADV_DONTNEED);
    if (!extent.has_checksum) return true;
    if (within == 0) {
        hashing_ = extent.number;
        hashed_ = 0;
        hash_ = Xxh3();
    }
    if (hashing_ != extent.number || hashed_ != within) {
        hashing_ = -1;  // out of order: not counted in verified()
        return true;
    }
    hash_.update(out, size);
    hashed_ += size;
    if (hashed_ < extent.length) return true;
    hashing_ = -1;
    if (hash_.digest() != extent.checksum) return false;
    verified_.insert(extent.number);
    return true;
}

int DenseStream::seek(int64_t * offset, int whence) {
    const int64_t base = whence == SEEK_SET ? 0 : static_cast<int64_t>(whence == SEEK_CUR ? position_ : size_);
    const int64_t to = base + *offset;
    if (to < 0) {
        errno = EINVAL;
        return -1;
    }
    position_ = static_cast<uint64_t>(to);
    *offset = to;
    return 0;
}

}  // namespace edgemed
