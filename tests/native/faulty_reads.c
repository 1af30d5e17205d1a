// A disk that fails on request: pread with errors, stalls and short reads. For tests only.
//
// Load it with LD_PRELOAD or link it into a program. Faults only hit descriptors whose file name ends in `suffix`.
// FAULTY_READS="suffix error stall_ms most skip times" arms it from outside, faulty_reads() from inside. With
// FAULTY_READS_WHILE, reads are hit only while a file of that name exists; with FAULTY_READS_FROM, only reads at that
// offset or beyond.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static char g_suffix[256];
static int g_error, g_stall_ms;
static long g_most, g_skip, g_times, g_hits;

// error: errno to fail with, 0 = none. most: bytes a read returns at most, 0 = all. skip: reads to let through first.
// times: how many reads to hit after that, -1 = all.
void faulty_reads(const char * suffix, int error, int stall_ms, long most, long skip, long times) {
    pthread_mutex_lock(&g_lock);
    snprintf(g_suffix, sizeof g_suffix, "%s", suffix);
    g_error = error, g_stall_ms = stall_ms, g_most = most, g_skip = skip, g_times = times, g_hits = 0;
    pthread_mutex_unlock(&g_lock);
}

// Reads hit since the last call of faulty_reads().
long faulty_reads_hit(void) {
    pthread_mutex_lock(&g_lock);
    const long hits = g_hits;
    pthread_mutex_unlock(&g_lock);
    return hits;
}

__attribute__((constructor)) static void arm_from_environment(void) {
    const char * said = getenv("FAULTY_READS");
    char suffix[256];
    int error, stall_ms;
    long most, skip, times;
    if (said && sscanf(said, "%255s %d %d %ld %ld %ld", suffix, &error, &stall_ms, &most, &skip, &times) == 6)
        faulty_reads(suffix, error, stall_ms, most, skip, times);
}

static int is_meant(int fd, off_t offset) {
    const char * while_there = getenv("FAULTY_READS_WHILE");
    const char * from = getenv("FAULTY_READS_FROM");
    if ((while_there && access(while_there, F_OK) != 0) || (from && offset < atol(from))) return 0;
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, name, sizeof name - 1);
    const size_t want = strlen(g_suffix);
    return n >= (ssize_t)want && want > 0 && memcmp(name + n - want, g_suffix, want) == 0;
}

static ssize_t faulty(int fd, void * out, size_t count, off_t offset, const char * real_name) {
    int error = 0, stall_ms = 0, hit = 0;
    long most = 0;
    pthread_mutex_lock(&g_lock);
    if (g_suffix[0] && g_times != 0 && is_meant(fd, offset)) {
        if (g_skip > 0) {
            g_skip--;
        } else {
            hit = 1, error = g_error, stall_ms = g_stall_ms, most = g_most;
            g_times -= g_times > 0;
            g_hits++;
        }
    }
    pthread_mutex_unlock(&g_lock);
    if (hit && stall_ms > 0) nanosleep(&(struct timespec){stall_ms / 1000, stall_ms % 1000 * 1000000L}, NULL);
    if (hit && error) {
        errno = error;
        return -1;
    }
    ssize_t (*real)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, real_name);
    const ssize_t n = real(fd, out, count, offset);  // reads everything first: O_DIRECT refuses odd lengths
    return most > 0 && n > most ? most : n;
}

ssize_t pread(int fd, void * out, size_t count, off_t offset) { return faulty(fd, out, count, offset, "pread"); }
ssize_t pread64(int fd, void * out, size_t count, off_t offset) { return faulty(fd, out, count, offset, "pread64"); }
