/*
 * Preloaded into the server by test_crash.py: kills the process at the n-th call that changes a
 * file.
 *
 * CRASHPOINT_ARM names a file. While it does not exist nothing happens. Once it does, its content
 * is "N" or "N torn": the N-th call from then on is not made and the process gets SIGKILL; with
 * "torn" half of a write is made first. So every place in the order of writes is a place to crash
 * at.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int left = -1; /* -1: not armed */
static atomic_bool torn;

static void arm(void)
{
    const char *path = getenv("CRASHPOINT_ARM");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    char text[32] = {0};
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got > 0) {
        atomic_store(&torn, strstr(text, "torn") != NULL);
        int expected = -1;
        atomic_compare_exchange_strong(&left, &expected, atoi(text));
    }
}

/* True when this call is the one. */
static bool now(void)
{
    if (atomic_load(&left) == -1) {
        arm();
    }
    return atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool regular(int fd)
{
    struct stat s;
    return fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_nlink > 0;
}

#define WRITER(name, offset_type)                                                                  \
    ssize_t name(int fd, const void *data, size_t size, offset_type offset)                        \
    {                                                                                              \
        if (regular(fd) && now()) {                                                                \
            if (atomic_load(&torn)) {                                                              \
                (void)!NEXT(name)(fd, data, size / 2, offset);                                     \
            }                                                                                      \
            die();                                                                                 \
        }                                                                                          \
        return NEXT(name)(fd, data, size, offset);                                                 \
    }
WRITER(pwrite, off_t)
WRITER(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t size)
{
    if (fd > 2 && regular(fd) && now()) {
        if (atomic_load(&torn)) {
            (void)!NEXT(write)(fd, data, size / 2);
        }
        die();
    }
    return NEXT(write)(fd, data, size);
}

#define PLAIN(name, arguments, passed)                                                             \
    int name arguments                                                                             \
    {                                                                                              \
        if (now()) {                                                                               \
            die();                                                                                 \
        }                                                                                          \
        return NEXT(name) passed;                                                                  \
    }
PLAIN(fsync, (int fd), (fd))
PLAIN(fdatasync, (int fd), (fd))
PLAIN(ftruncate, (int fd, off_t size), (fd, size))
PLAIN(ftruncate64, (int fd, off64_t size), (fd, size))
PLAIN(unlink, (const char *path), (path))
PLAIN(unlinkat, (int dir, const char *path, int flags), (dir, path, flags))
PLAIN(rename, (const char *from, const char *to), (from, to))
PLAIN(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
PLAIN(renameat2, (int a, const char *from, int b, const char *to, unsigned flags),
      (a, from, b, to, flags))
PLAIN(link, (const char *from, const char *to), (from, to))
PLAIN(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
PLAIN(mkdir, (const char *path, mode_t mode), (path, mode))
PLAIN(mkdirat, (int dir, const char *path, mode_t mode), (dir, path, mode))
