/*
 * Preloaded into the program by test_power_loss.py: writes down what it does to files, so that
 * support/power.py can say what a disk would hold after a loss of power.
 *
 * POWERLOSS_LOG names the file to append to, POWERLOSS_ROOT a folder; what happens on other file
 * systems than the folder's is left out. A record says what came to pass, under a lock, so that the
 * order in the log is the order of the changes; a sync has two records, since it promises only what
 * was written before it began, and only when it has ended. The first piece of each final answer to
 * a client is written down before it is sent: from there on it is a promise.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* As support/power.py reads it: "<IBBHHH4xQQQqqq", then the two names and the data. */
typedef struct record {
    uint32_t size; /* of all of it */
    uint8_t kind, flag;
    uint16_t name_size, other_size, unused;
    uint64_t file, folder, other_folder; /* inodes */
    int64_t a, b, mtime_ns;
} record;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static dev_t device;
static int64_t sync_count;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWERLOSS_LOG"), *root = getenv("POWERLOSS_ROOT");
    struct stat s;
    if (path != NULL && root != NULL && stat(root, &s) == 0) {
        device = s.st_dev;
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
    }
    if (log_fd < 0) {
        fputs("powerloss: no log\n", stderr);
        _exit(99);
    }
}

static void put(record r, const char *name, const char *other, const void *data, size_t size)
{
    r.name_size = (uint16_t)strlen(name);
    r.other_size = (uint16_t)strlen(other);
    r.size = (uint32_t)(sizeof r + r.name_size + r.other_size + size);
    const struct iovec parts[] = {{&r, sizeof r},
                                  {(char *)name, r.name_size},
                                  {(char *)other, r.other_size},
                                  {(void *)data, size}};
    if (syscall(SYS_writev, log_fd, parts, 4) != (long)r.size) {
        fputs("powerloss: cannot write the log\n", stderr);
        _exit(99);
    }
}

static void enter(void)
{
    pthread_mutex_lock(&lock);
}

static void leave(void)
{
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
}

static int64_t mtime_of(const struct stat *s)
{
    return (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec;
}

/* ---- names ---- */

typedef struct place {
    uint64_t folder; /* 0: not ours */
    const char *name;
} place;

static place place_of(int folder_fd, const char *path)
{
    char folder[8192] = ".";
    const char *slash = strrchr(path, '/');
    struct stat s;
    if (slash != NULL) {
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    }
    place p = {0, slash == NULL ? path : slash + 1};
    if (fstatat(folder_fd, folder, &s, 0) == 0 && s.st_dev == device) {
        p.folder = s.st_ino;
    }
    return p;
}

static uint64_t inode_at(int folder_fd, const char *path, int flags)
{
    struct stat s;
    return fstatat(folder_fd, path, &s, flags) == 0 && s.st_dev == device ? s.st_ino : 0;
}

static void put_made(char kind, int folder_fd, const char *path)
{
    struct stat s;
    place p = place_of(folder_fd, path);
    if (p.folder != 0 && fstatat(folder_fd, path, &s, AT_SYMLINK_NOFOLLOW) == 0) {
        put((record){.kind = (uint8_t)kind,
                     .file = s.st_ino,
                     .folder = p.folder,
                     .mtime_ns = mtime_of(&s)},
            p.name, "", NULL, 0);
    }
}

static void put_fd(char kind, int fd, int64_t a)
{
    struct stat s;
    if (fstat(fd, &s) == 0 && s.st_dev == device && S_ISREG(s.st_mode)) {
        put((record){.kind = (uint8_t)kind, .file = s.st_ino, .a = a, .mtime_ns = mtime_of(&s)}, "",
            "", NULL, 0);
    }
}

static int opened(int folder_fd, const char *path, int flags, mode_t mode)
{
    bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
    if (!nameless && (flags & (O_CREAT | O_TRUNC)) == 0) {
        return (int)syscall(SYS_openat, folder_fd, path, flags, mode);
    }
    enter();
    bool is_new = !nameless && inode_at(folder_fd, path, 0) == 0;
    int fd = (int)syscall(SYS_openat, folder_fd, path, flags, mode);
    if (fd >= 0 && nameless) {
        put_fd('T', fd, 0);
    } else if (fd >= 0 && is_new) {
        put_made('C', folder_fd, path);
    } else if (fd >= 0 && (flags & O_TRUNC) != 0) {
        put_fd('Z', fd, 0);
    }
    leave();
    return fd;
}

#define MODE(flags, after)                                                                         \
    mode_t mode = 0;                                                                               \
    if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) {                              \
        va_list args;                                                                              \
        va_start(args, after);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }
#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        MODE(flags, flags)                                                                         \
        return opened(AT_FDCWD, path, flags, mode);                                                \
    }
#define OPENAT(name)                                                                               \
    int name(int folder_fd, const char *path, int flags, ...)                                      \
    {                                                                                              \
        MODE(flags, flags)                                                                         \
        return opened(folder_fd, path, flags, mode);                                               \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
int __open_2(const char *path, int flags)
{
    return opened(AT_FDCWD, path, flags, 0);
}
int __open64_2(const char *path, int flags)
{
    return opened(AT_FDCWD, path, flags, 0);
}
int __openat_2(int folder_fd, const char *path, int flags)
{
    return opened(folder_fd, path, flags, 0);
}
int __openat64_2(int folder_fd, const char *path, int flags)
{
    return opened(folder_fd, path, flags, 0);
}
int creat(const char *path, mode_t mode)
{
    return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int moved(int a, const char *from, int b, const char *to, unsigned flags)
{
    enter();
    place source = place_of(a, from), target = place_of(b, to);
    uint64_t file = inode_at(a, from, AT_SYMLINK_NOFOLLOW);
    int done = (int)syscall(SYS_renameat2, a, from, b, to, flags);
    if (done == 0 && (source.folder != 0 || target.folder != 0)) {
        put((record){.kind = 'R',
                     .flag = (uint8_t)flags,
                     .file = file,
                     .folder = source.folder,
                     .other_folder = target.folder},
            source.name, target.name, NULL, 0);
    }
    leave();
    return done;
}
int rename(const char *from, const char *to)
{
    return moved(AT_FDCWD, from, AT_FDCWD, to, 0);
}
int renameat(int a, const char *from, int b, const char *to)
{
    return moved(a, from, b, to, 0);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
    return moved(a, from, b, to, flags);
}

int linkat(int a, const char *from, int b, const char *to, int flags)
{
    enter();
    place target = place_of(b, to);
    int follow = (flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW;
    uint64_t file = inode_at(a, from, follow);
    int done = NEXT(linkat)(a, from, b, to, flags);
    if (done == 0 && target.folder != 0) {
        put((record){.kind = 'L', .file = file, .folder = target.folder}, target.name, "", NULL, 0);
    }
    leave();
    return done;
}
int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int folder_fd, const char *path, int flags)
{
    enter();
    place p = place_of(folder_fd, path);
    int done = NEXT(unlinkat)(folder_fd, path, flags);
    if (done == 0 && p.folder != 0) {
        put((record){.kind = 'U', .folder = p.folder}, p.name, "", NULL, 0);
    }
    leave();
    return done;
}
int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}
int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
int remove(const char *path)
{
    int done = unlinkat(AT_FDCWD, path, 0);
    return done != 0 && errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : done;
}

int mkdirat(int folder_fd, const char *path, mode_t mode)
{
    enter();
    int done = NEXT(mkdirat)(folder_fd, path, mode);
    if (done == 0) {
        put_made('D', folder_fd, path);
    }
    leave();
    return done;
}
int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* ---- content ---- */

static bool ours(int fd)
{
    struct stat s;
    return fd > 2 && fstat(fd, &s) == 0 && s.st_dev == device && S_ISREG(s.st_mode);
}

static void put_written(int fd, const void *data, ssize_t size, off_t offset)
{
    struct stat s;
    if (size > 0 && fstat(fd, &s) == 0) {
        put((record){.kind = 'W', .file = s.st_ino, .a = offset, .mtime_ns = mtime_of(&s)}, "", "",
            data, (size_t)size);
    }
}

static ssize_t written_at(int fd, const void *data, size_t size, off_t offset)
{
    if (!ours(fd)) {
        return (ssize_t)syscall(SYS_pwrite64, fd, data, size, offset);
    }
    enter();
    ssize_t done = (ssize_t)syscall(SYS_pwrite64, fd, data, size, offset);
    put_written(fd, data, done, offset);
    leave();
    return done;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return written_at(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return written_at(fd, data, size, offset);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (!ours(fd)) {
        return NEXT(write)(fd, data, size);
    }
    enter();
    ssize_t done = NEXT(write)(fd, data, size);
    if (done > 0) {
        put_written(fd, data, done, lseek(fd, 0, SEEK_CUR) - done);
    }
    leave();
    return done;
}

static int cut(int fd, off_t size)
{
    enter();
    int done = NEXT(ftruncate)(fd, size);
    if (done == 0) {
        put_fd('Z', fd, size);
    }
    leave();
    return done;
}
int ftruncate(int fd, off_t size)
{
    return cut(fd, size);
}
int ftruncate64(int fd, off64_t size)
{
    return cut(fd, size);
}

/* ---- syncs ---- */

static int synced(int (*sync)(int), char kind, int fd)
{
    struct stat s;
    if (fstat(fd, &s) != 0 || s.st_dev != device) {
        return sync(fd);
    }
    record r = {.kind = 'B', .flag = (uint8_t)kind, .file = s.st_ino, .b = getpid()};
    enter();
    r.a = ++sync_count;
    put(r, "", "", NULL, 0);
    leave();
    int done = sync(fd);
    if (done == 0) {
        r.kind = 'E';
        enter();
        put(r, "", "", NULL, 0);
        leave();
    }
    return done;
}
int fsync(int fd)
{
    return synced(NEXT(fsync), 'f', fd);
}
int fdatasync(int fd)
{
    return synced(NEXT(fdatasync), 'd', fd);
}
int syncfs(int fd)
{
    return synced(NEXT(syncfs), 'a', fd);
}

/* ---- answers ---- */

static void put_answer(int fd, const void *data, size_t size)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    const char *text = data;
    if (size < 12 || memcmp(text, "HTTP/1.1 ", 9) != 0 || text[9] == '1' ||
        getpeername(fd, (struct sockaddr *)&peer, &len) != 0 || peer.ss_family != AF_INET) {
        return;
    }
    int port = ntohs(((struct sockaddr_in *)&peer)->sin_port);
    enter();
    put((record){.kind = 'S',
                 .a = port,
                 .b = (text[9] - '0') * 100 + (text[10] - '0') * 10 + text[11] - '0'},
        "", "", NULL, 0);
    leave();
}
ssize_t send(int fd, const void *data, size_t size, int flags)
{
    put_answer(fd, data, size);
    return NEXT(send)(fd, data, size, flags);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
               socklen_t to_size)
{
    put_answer(fd, data, size);
    return NEXT(sendto)(fd, data, size, flags, to, to_size);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (message->msg_iovlen > 0) {
        put_answer(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    }
    return NEXT(sendmsg)(fd, message, flags);
}

/* ---- what the program does not use: a test must not pass because of what is not seen ---- */

static void unknown(const char *name)
{
    fprintf(stderr, "powerloss: %s is not recorded\n", name);
    _exit(99);
}
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (ours(fd)) {
        unknown("writev");
    }
    return NEXT(writev)(fd, parts, count);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (ours(fd)) {
        unknown("pwritev");
    }
    return NEXT(pwritev)(fd, parts, count, offset);
}
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t size, unsigned flags)
{
    if (ours(to)) {
        unknown("copy_file_range");
    }
    return NEXT(copy_file_range)(from, a, to, b, size, flags);
}
int fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (ours(fd)) {
        unknown("fallocate");
    }
    return NEXT(fallocate)(fd, mode, offset, size);
}
int posix_fallocate(int fd, off_t offset, off_t size)
{
    if (ours(fd)) {
        unknown("posix_fallocate");
    }
    return NEXT(posix_fallocate)(fd, offset, size);
}
int futimens(int fd, const struct timespec times[2])
{
    if (ours(fd)) {
        unknown("futimens");
    }
    return NEXT(futimens)(fd, times);
}
