/* Files below a folder, whatever the path says: the kernel keeps us inside where it can (openat2),
 * else one component after the other, without following any link. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, TRIES = 16 };

#define FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/** No empty component, ".", ".." or NUL. */
static bool plain(dl_str below)
{
    dl_str rest = below, part = DL_STR_NONE;
    if (memchr(below.ptr, '\0', below.len) != NULL || below.ptr[below.len - 1] == '/') {
        return false;
    }
    while (dl_str_next(&rest, '/', &part)) {
        if (part.len == 0 || dl_str_eq(part, DL_STR(".")) || dl_str_eq(part, DL_STR(".."))) {
            return false;
        }
    }
    return true;
}

static int open_beneath(int folder_fd, const char *path)
{
    struct open_how how = {.flags = FLAGS, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    for (int i = 0; i < TRIES; i++) {
        fd = syscall(SYS_openat2, folder_fd, path, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR)) {
            break;
        }
    }
    return (int)fd;
}

/** `path` is cut to pieces on the way. */
static int open_steps(int folder_fd, char *path)
{
    DL_AUTO_FD at = -1;
    for (char *part = path;;) {
        char *slash = strchr(part, '/');
        int flags = slash == NULL ? FLAGS : O_PATH | O_DIRECTORY | O_CLOEXEC;
        if (slash != NULL) {
            *slash = '\0';
        }
        int next = openat(at < 0 ? folder_fd : at, part, flags | O_NOFOLLOW);
        if (next < 0 || slash == NULL) {
            return next;
        }
        dl_file_close(&at);
        at = next;
        part = slash + 1;
    }
}

static dl_status refused(int code, dl_error *err)
{
    switch (code) {
    case ENOENT:
        return dl_error_set(err, DL_E_NOT_FOUND, "no such file");
    case ENOTDIR:
        return dl_error_set(err, DL_E_NOT_FOUND,
                            "no such file: what stands before it is no folder");
    case EXDEV:
    case ELOOP:
        return dl_error_set(err, DL_E_DENIED, "leads out of its folder");
    case EACCES:
    case EPERM:
        (void)dl_error_errno(err, code, "cannot be read");
        return err == NULL ? DL_E_DENIED : (err->status = DL_E_DENIED);
    case ENXIO: /* a socket */
        return dl_error_set(err, DL_E_INVALID, "neither a plain file nor a folder");
    default:
        (void)dl_error_errno(err, code, "cannot be read");
        return DL_E_IO;
    }
}

dl_status dl_file_open_below(int folder_fd, dl_str below, int *out_fd, bool *out_folder,
                             uint64_t *out_size_bytes, dl_error *err)
{
    char path[PATH_SIZE] = ".";
    if (below.len > 0 && (!plain(below) || !dl_str_copy(below, path, sizeof path))) {
        return dl_error_set(err, DL_E_DENIED, "not a path below a folder");
    }
    DL_AUTO_FD fd = open_beneath(folder_fd, path);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
        fd = open_steps(folder_fd, path);
    }
    if (fd < 0) {
        return refused(errno, err);
    }
    struct stat facts;
    if (fstat(fd, &facts) != 0) {
        return refused(errno, err);
    }
    if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)) {
        return dl_error_set(err, DL_E_INVALID, "neither a plain file nor a folder");
    }
    *out_folder = S_ISDIR(facts.st_mode);
    *out_size_bytes = *out_folder ? 0 : (uint64_t)facts.st_size;
    *out_fd = fd;
    fd = -1;
    return DL_OK;
}
