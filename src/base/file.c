#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

dl_status dl_file_open(const char *path, int flags, mode_t mode, int *out_fd, dl_error *err)
{
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        return dl_error_errno(err, errno, "cannot open %s", path);
    }
    *out_fd = fd;
    return DL_OK;
}

void dl_file_close(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

dl_status dl_file_take_standard(dl_error *err)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        int taken = -1; /* open(2) gives the lowest that is free: this one */
        DL_TRY(dl_file_open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY, 0, &taken, err));
        if (taken != fd) {
            dl_file_close(&taken);
            return dl_error_set(err, DL_E_IO, "descriptor %d cannot be taken", fd);
        }
    }
    return DL_OK;
}

dl_status dl_file_write_all(int fd, const void *bytes, size_t len, dl_error *err)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return dl_error_errno(err, errno, "cannot write");
        }
        p += n;
        len -= (size_t)n;
    }
    return DL_OK;
}

dl_status dl_file_read_at(int fd, int64_t offset, void *out, size_t len, dl_error *err)
{
    char *p = out;
    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return dl_error_errno(err, errno, "cannot read");
        }
        if (n == 0) {
            return dl_error_set(err, DL_E_CORRUPT, "a file ends at byte %lld, %zu bytes early",
                                (long long)offset, len);
        }
        p += n;
        offset += n;
        len -= (size_t)n;
    }
    return DL_OK;
}

dl_status dl_file_read_all(const char *path, dl_buf *buf, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(path, O_RDONLY, 0, &fd, err));
    for (;;) {
        size_t room = buf->limit_bytes - buf->len;
        size_t step = room < 65536 ? room : 65536;
        char extra = 0;
        if (step == 0) { /* full: one more byte would be one too many */
            ssize_t n = read(fd, &extra, 1);
            if (n == 0) {
                return DL_OK;
            }
            return dl_error_set(err, DL_E_LIMIT, "%s is longer than %zu bytes", path,
                                buf->limit_bytes);
        }
        DL_TRY(dl_buf_reserve(buf, step, err));
        ssize_t n = read(fd, buf->ptr + buf->len, step);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return dl_error_errno(err, errno, "cannot read %s", path);
        }
        if (n == 0) {
            return DL_OK;
        }
        buf->len += (size_t)n;
    }
}

/* The name of a folder just made. Where the folder above may be written but not read, all of its
 * file system. */
static dl_status keep_name(const char *folder, dl_error *err)
{
    char above[4096];
    const char *slash = strrchr(folder, '/');
    size_t len = slash == NULL || slash == folder ? 1 : (size_t)(slash - folder);
    (void)snprintf(above, sizeof above, "%.*s", (int)len, slash == NULL ? "." : folder);
    DL_AUTO_FD fd = -1;
    if (dl_file_open(above, O_RDONLY | O_DIRECTORY, 0, &fd, NULL) != DL_E_DENIED) {
        return dl_file_sync_dir(above, err);
    }
    DL_TRY(dl_file_open(folder, O_RDONLY | O_DIRECTORY, 0, &fd, err));
    if (syncfs(fd) != 0) {
        return dl_error_errno(err, errno, "cannot sync the folder %s", folder);
    }
    return DL_OK;
}

static dl_status make_dirs(const char *path, bool lasting, dl_error *err)
{
    char part[4096];
    if (!dl_str_copy(dl_str_of(path), part, sizeof part)) {
        return dl_error_set(err, DL_E_INVALID, "a path is longer than %zu bytes", sizeof part - 1);
    }
    size_t len = strlen(part);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) == 0) {
            DL_TRY(lasting ? keep_name(part, err) : DL_OK);
        } else if (errno != EEXIST) {
            return dl_error_errno(err, errno, "cannot make the folder %s", part);
        }
        part[i] = kept;
    }
    return DL_OK;
}

dl_status dl_file_make_dirs(const char *path, dl_error *err)
{
    return make_dirs(path, true, err);
}

dl_status dl_file_make_dirs_unsynced(const char *path, dl_error *err)
{
    return make_dirs(path, false, err);
}

dl_status dl_file_sync_dir(const char *path, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, err));
    if (fsync(fd) != 0) {
        return dl_error_errno(err, errno, "cannot sync the folder %s", path);
    }
    return DL_OK;
}

static dl_status write_synced(const char *path, dl_str content, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    DL_TRY(dl_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err));
    DL_TRY(dl_file_write_all(fd, content.ptr, content.len, err));
    if (fsync(fd) != 0) {
        return dl_error_errno(err, errno, "cannot sync %s", path);
    }
    return DL_OK;
}

dl_status dl_file_replace(const char *path, dl_str content, dl_error *err)
{
    char beside[4096];
    int n = snprintf(beside, sizeof beside, "%s.new", path);
    if (n < 0 || (size_t)n >= sizeof beside) {
        return dl_error_set(err, DL_E_INVALID, "a path is longer than %zu bytes",
                            sizeof beside - 5);
    }
    DL_TRY(write_synced(beside, content, err));
    if (rename(beside, path) != 0) {
        return dl_error_errno(err, errno, "cannot rename %s", beside);
    }
    char *slash = strrchr(beside, '/');
    if (slash == NULL) {
        return dl_file_sync_dir(".", err);
    }
    *slash = '\0';
    return dl_file_sync_dir(slash == beside ? "/" : beside, err);
}
