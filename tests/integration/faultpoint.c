/*
 * Preloaded into the server by test_faults.py: makes calls wait or fail while a test says so.
 *
 * FAULTPOINT_FOLDER names a folder. While the file `hold` is in it, opening a stored object and
 * asking for its size wait, and each leaves the file `held`. The file `syncs` holds a number: so
 * many syncs of SQLite's log fail from now on.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool control_path(const char *name, char out[4096])
{
    const char *folder = getenv("FAULTPOINT_FOLDER");
    return folder != NULL && snprintf(out, 4096, "%s/%s", folder, name) < 4096;
}

static void hold(const char *path)
{
    char gate[4096], mark[4096];
    size_t len = strlen(path);
    bool stored = len > 4 && strncmp(path, "AHDS/", 5) == 0 && strcmp(path + len - 4, ".dcm") == 0;
    if (!stored || !control_path("hold", gate) || !control_path("held", mark)) {
        return;
    }
    while (access(gate, F_OK) == 0) {
        FILE *f = fopen(mark, "we");
        if (f != NULL) {
            fclose(f);
        }
        usleep(5000);
    }
}

int openat64(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    hold(path);
    return NEXT(openat64)(folder, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    hold(path);
    return NEXT(openat)(folder, path, flags, mode);
}

int fstatat64(int folder, const char *path, struct stat64 *out, int flags)
{
    hold(path);
    return NEXT(fstatat64)(folder, path, out, flags);
}

int fstatat(int folder, const char *path, struct stat *out, int flags)
{
    hold(path);
    return NEXT(fstatat)(folder, path, out, flags);
}

static bool is_log(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 4 && memcmp(path + n - 4, "-wal", 4) == 0;
}

/* Whether this sync of the log is one of those that fail. */
static bool fails(int fd)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char path[4096];
    int left = 0;
    if (!is_log(fd) || !control_path("syncs", path)) {
        return false;
    }
    pthread_mutex_lock(&lock);
    FILE *f = fopen(path, "r+e");
    if (f != NULL && fscanf(f, "%d", &left) == 1 && left > 0) {
        rewind(f);
        fprintf(f, "%d ", left - 1);
    }
    if (f != NULL) {
        fclose(f);
    }
    pthread_mutex_unlock(&lock);
    errno = EIO;
    return left > 0;
}

int fsync(int fd)
{
    return fails(fd) ? -1 : NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    return fails(fd) ? -1 : NEXT(fdatasync)(fd);
}
