// A disk that is full on request, for LD_PRELOAD: writes to files whose path contains `part` fail. For tests only.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static char g_part[256];
static long g_skip, g_times, g_seen, g_hits;

// skip: writes to let through first. times: how many to fail after that, 0 = none, -1 = all.
void faulty_writes(const char * part, long skip, long times) {
    pthread_mutex_lock(&g_lock);
    snprintf(g_part, sizeof g_part, "%s", part);
    g_skip = skip, g_times = times, g_seen = g_hits = 0;
    pthread_mutex_unlock(&g_lock);
}

// Writes that failed since the last call of faulty_writes().
long faulty_writes_hit(void) { return g_hits; }

static int fails(int fd) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, name, sizeof name - 1);
    if (n <= 0) return 0;
    name[n] = 0;
    pthread_mutex_lock(&g_lock);
    int hit = 0;
    if (g_times && g_part[0] && strstr(name, g_part) && g_seen++ >= g_skip) {
        hit = 1, g_hits++;
        if (g_times > 0) g_times--;
    }
    pthread_mutex_unlock(&g_lock);
    if (hit) errno = ENOSPC;
    return hit;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t pwrite(int fd, const void * data, size_t count, off_t offset) {
    return fails(fd) ? -1 : REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, data, count, offset);
}
ssize_t pwrite64(int fd, const void * data, size_t count, off64_t offset) {
    return fails(fd) ? -1 : REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, data, count, offset);
}
ssize_t write(int fd, const void * data, size_t count) {
    return fails(fd) ? -1 : REAL("write", ssize_t (*)(int, const void *, size_t))(fd, data, count);
}
int ftruncate(int fd, off_t length) { return fails(fd) ? -1 : REAL("ftruncate", int (*)(int, off_t))(fd, length); }
int ftruncate64(int fd, off64_t length) { return fails(fd) ? -1 : REAL("ftruncate64", int (*)(int, off64_t))(fd, length); }
int fsync(int fd) { return fails(fd) ? -1 : REAL("fsync", int (*)(int))(fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : REAL("fdatasync", int (*)(int))(fd); }
