// A disk that fails from a given call on: everything that needs space in one folder. For tests only.
//
// Load it with LD_PRELOAD. full_disk(folder, error, skip) arms it: after `skip` calls, each call that writes, creates or
// renames below `folder` fails with `error` (ENOSPC, EIO, EROFS), until full_disk("", 0, 0), or until full_disk_times()
// of them have failed. Deleting still works, as it does on a full disk.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char g_folder[PATH_MAX];
static int g_error;
static long g_skip, g_failed, g_times;

void full_disk(const char * folder, int error, long skip) {
    snprintf(g_folder, sizeof g_folder, "%s", folder);
    g_error = error, g_failed = 0, g_times = -1;
    __atomic_store_n(&g_skip, skip, __ATOMIC_SEQ_CST);
}

// How many calls fail before the disk mends itself; -1 is all. Call it after full_disk().
void full_disk_times(long times) { g_times = times; }

// Calls that failed since the last call of full_disk().
long full_disk_failed(void) { return __atomic_load_n(&g_failed, __ATOMIC_SEQ_CST); }

// What is left of `skip`; below 0 once calls have failed.
long full_disk_skips(void) { return __atomic_load_n(&g_skip, __ATOMIC_SEQ_CST); }

static int fails_at(const char * path) {
    const size_t n = strlen(g_folder);
    if (n == 0 || strncmp(path, g_folder, n) != 0) return 0;
    if (__atomic_fetch_sub(&g_skip, 1, __ATOMIC_SEQ_CST) > 0) return 0;
    if (g_times >= 0 && full_disk_failed() >= g_times) return 0;
    __atomic_fetch_add(&g_failed, 1, __ATOMIC_SEQ_CST);
    errno = g_error;
    return 1;
}

static int fails_on(int fd) {
    if (g_folder[0] == 0) return 0;
    char link[64], name[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, name, sizeof name - 1);
    if (n < 0) return 0;
    name[n] = 0;
    return fails_at(name);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void * from, size_t n) { return fails_on(fd) ? -1 : REAL(write)(fd, from, n); }
ssize_t pwrite(int fd, const void * from, size_t n, off_t at) {
    return fails_on(fd) ? -1 : REAL(pwrite)(fd, from, n, at);
}
ssize_t pwrite64(int fd, const void * from, size_t n, off64_t at) {
    return fails_on(fd) ? -1 : REAL(pwrite64)(fd, from, n, at);
}
int fsync(int fd) { return fails_on(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_on(fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t n) { return fails_on(fd) ? -1 : REAL(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { return fails_on(fd) ? -1 : REAL(ftruncate64)(fd, n); }
int mkdir(const char * path, mode_t mode) { return fails_at(path) ? -1 : REAL(mkdir)(path, mode); }
int renameat2(int a, const char * from, int b, const char * to, unsigned flags) {
    return fails_at(to) ? -1 : REAL(renameat2)(a, from, b, to, flags);
}
int rename(const char * from, const char * to) { return fails_at(to) ? -1 : REAL(rename)(from, to); }

static int opened(const char * path, int flags, mode_t mode, const char * name) {
    if ((flags & O_CREAT) && access(path, F_OK) != 0 && fails_at(path)) return -1;
    return ((int (*)(const char *, int, mode_t))dlsym(RTLD_NEXT, name))(path, flags, mode);
}

int open(const char * path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(path, flags, mode, "open");
}

int open64(const char * path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return opened(path, flags, mode, "open64");
}
