#include "parts.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace edgemed {

bool Part::unchanged() const {
    struct stat now;
    return fstat(buffered_fd, &now) == 0 && now.st_size == opened.st_size &&
           now.st_mtim.tv_sec == opened.st_mtim.tv_sec && now.st_mtim.tv_nsec == opened.st_mtim.tv_nsec;
}

std::string Parts::open(const PartFile * files, int count, bool direct) {
    for (int i = 0; i < count; i++) {
        Part & part = parts_.emplace_back();
        const std::string path = files[i].path;
        part.name = path.substr(path.rfind('/') + 1);
        part.buffered_fd = ::open(files[i].path, O_RDONLY | O_CLOEXEC);
        if (part.buffered_fd < 0)
            return "the model file " + part.name + " cannot be opened: " + std::strerror(errno) + ".";
        fstat(part.buffered_fd, &part.opened);
        if (static_cast<uint64_t>(part.opened.st_size) != files[i].size)
            return "the model file " + part.name + " was changed while it was being opened; run the command again.";
        if (direct) part.direct_fd = ::open(files[i].path, O_RDONLY | O_CLOEXEC | O_DIRECT);
        part.direct = part.direct_fd >= 0;
    }
    return {};
}

Parts::~Parts() {
    for (const Part & part : parts_)
        for (const int fd : {part.direct_fd, part.buffered_fd})
            if (fd >= 0) ::close(fd);
}

bool Parts::direct() const {
    return std::all_of(parts_.begin(), parts_.end(), [](const Part & part) { return part.direct.load(); });
}

}  // namespace edgemed
