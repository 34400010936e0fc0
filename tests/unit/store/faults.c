#include "faults.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

faults faults_now = {.fail_at = -1};

static bool fails(const char *call)
{
    if (faults_now.only != NULL && strcmp(faults_now.only, call) != 0) {
        return false;
    }
    int64_t at = __atomic_fetch_add(&faults_now.seen, 1, __ATOMIC_RELAXED); /* threads race here */
    if (faults_now.fail_at < 0 || at < faults_now.fail_at ||
        at - faults_now.fail_at >= faults_now.keep_on) {
        return false;
    }
    if (faults_now.end_process) {
        _exit(0);
    }
    errno = faults_now.os_code;
    return true;
}

/* One wrapper per call: NAME(DECLARED, PASSED). */
#define WRAP(result, name, declared, passed)                                                       \
    result __real_##name declared;                                                                 \
    result __wrap_##name declared;                                                                 \
    result __wrap_##name declared                                                                  \
    {                                                                                              \
        return fails(#name) ? -1 : __real_##name passed;                                           \
    }

WRAP(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
WRAP(ssize_t, pread, (int fd, void *out, size_t len, off_t at), (fd, out, len, at))
WRAP(ssize_t, pread64, (int fd, void *out, size_t len, int64_t at), (fd, out, len, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, flock, (int fd, int how), (fd, how))
WRAP(int, fstat, (int fd, struct stat *out), (fd, out))
WRAP(int, fstat64, (int fd, struct stat *out), (fd, out))
WRAP(int, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP(int, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(int, sync_file_range, (int fd, off_t at, off_t len, unsigned flags), (fd, at, len, flags))
WRAP(int, renameat2, (int from, const char *old, int to, const char *path, unsigned flags),
     (from, old, to, path, flags))
WRAP(int, renameat, (int from, const char *old, int to, const char *path), (from, old, to, path))
WRAP(int, linkat, (int from, const char *old, int to, const char *path, int flags),
     (from, old, to, path, flags))

#define WRAP_OPENAT(name)                                                                          \
    int __real_##name(int fd, const char *path, int flags, ...);                                   \
    int __wrap_##name(int fd, const char *path, int flags, ...);                                   \
    int __wrap_##name(int fd, const char *path, int flags, ...)                                    \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = va_arg(args, mode_t);                                                        \
        va_end(args);                                                                              \
        return fails(#name) ? -1 : __real_##name(fd, path, flags, mode);                           \
    }

WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)
