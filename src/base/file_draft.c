/* Files that come to be whole or not at all, and leave nothing when their process is killed. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** "/proc/self/fd/7": by it a file without a name is given one. */
static void own_name(int fd, char out[64])
{
    (void)snprintf(out, 64, "/proc/self/fd/%d", fd);
}

static bool open_unnamed(dl_file_draft *draft, mode_t mode)
{
    char folder[DL_FILE_PATH_SIZE], name[64];
    const char *slash = strrchr(draft->path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - draft->path) + 1;
    (void)snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)len,
                   slash == NULL ? "." : draft->path);
    if (dl_file_open(folder, O_WRONLY | O_TMPFILE, mode, &draft->fd, NULL) != DL_OK) {
        return false;
    }
    own_name(draft->fd, name);
    if (access(name, F_OK) == 0) {
        return true;
    }
    dl_file_close(&draft->fd); /* no /proc: it could not be named later */
    return false;
}

dl_status dl_file_draft_open(dl_file_draft *draft, const char *path, mode_t mode, dl_error *err)
{
    const char *slash = strrchr(path, '/');
    int folder = slash == NULL ? 0 : (int)(slash - path) + 1;
    draft->fd = -1;
    draft->named = false;
    int n = snprintf(draft->beside, sizeof draft->beside, "%.*s.%s.%ld.tmp", folder, path,
                     path + folder, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof draft->beside ||
        !dl_str_copy(dl_str_of(path), draft->path, sizeof draft->path)) {
        return dl_error_set(err, DL_E_INVALID, "the path of a file is too long");
    }
    if (open_unnamed(draft, mode)) {
        return DL_OK;
    }
    DL_TRY(dl_file_open(draft->beside, O_WRONLY | O_CREAT | O_EXCL, mode, &draft->fd, err));
    draft->named = true;
    return DL_OK;
}

/** At once in its place when that is free: a link never takes the place of a file. Else beside it,
 * from where it can. */
static bool give_name(dl_file_draft *draft, bool *out_done)
{
    char name[64];
    own_name(draft->fd, name);
    *out_done = linkat(AT_FDCWD, name, AT_FDCWD, draft->path, AT_SYMLINK_FOLLOW) == 0;
    draft->named = *out_done || (errno == EEXIST && linkat(AT_FDCWD, name, AT_FDCWD, draft->beside,
                                                           AT_SYMLINK_FOLLOW) == 0);
    return draft->named;
}

dl_status dl_file_draft_finish(dl_file_draft *draft, dl_error *err)
{
    bool done = false;
    if (fsync(draft->fd) != 0) {
        return dl_error_errno(err, errno, "cannot write %s", draft->path);
    }
    if ((!draft->named && !give_name(draft, &done)) ||
        (!done && rename(draft->beside, draft->path) != 0)) {
        return dl_error_errno(err, errno, "cannot make %s", draft->path);
    }
    draft->named = false;
    dl_file_close(&draft->fd);
    return DL_OK;
}

void dl_file_draft_clear(dl_file_draft *draft)
{
    if (draft->fd >= 0 && draft->named) {
        (void)unlink(draft->beside);
    }
    draft->named = false;
    dl_file_close(&draft->fd);
}
