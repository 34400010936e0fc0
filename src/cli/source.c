#include "cli/source.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_LIMIT_BYTES = 4095 }; /* what the kernel takes, without the NUL */

/** Folders still to visit. */
typedef struct folder {
    struct folder *next;
    bool named;
    char path[];
} folder;

typedef struct walk {
    const dl_cli_source_events *events;
    dl_cancel *cancel;
    folder *pending;
    dl_buf path; /* of the entry at hand, terminated */
} walk;

static dl_status push_folder(walk *w, dl_str path, bool named, dl_error *err)
{
    folder *made = dl_mem_alloc(1, sizeof *made + path.len + 1);
    if (made == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "walk: out of memory");
    }
    made->next = w->pending;
    made->named = named;
    memcpy(made->path, path.ptr, path.len);
    made->path[path.len] = '\0';
    w->pending = made;
    return DL_OK;
}

static void clear_walk(walk *w)
{
    while (w->pending != NULL) {
        folder *next = w->pending->next;
        dl_mem_free(w->pending);
        w->pending = next;
    }
    dl_buf_clear(&w->path);
}

static dl_status tell_failed(walk *w, const char *path, const dl_error *why, dl_error *err)
{
    return w->events->failed == NULL ? DL_OK
                                     : w->events->failed(w->events->context, path, why, err);
}

static dl_status tell_passed(walk *w, const char *path, const char *why, bool named, dl_error *err)
{
    return w->events->passed == NULL ? DL_OK
                                     : w->events->passed(w->events->context, path, why, named, err);
}

/** One entry whose nature is known. */
static dl_status take_entry(walk *w, const char *path, const struct stat *info, bool named,
                            dl_error *err)
{
    if (S_ISREG(info->st_mode)) {
        const dl_cli_found found = {path, (uint64_t)info->st_size, named};
        return w->events->file(w->events->context, &found, err);
    }
    if (S_ISDIR(info->st_mode)) {
        return push_folder(w, dl_str_of(path), named, err);
    }
    return tell_passed(
        w, path, S_ISLNK(info->st_mode) ? "symbolic link, not followed" : "not a regular file",
        named, err);
}

/** "folder/name" into w->path. */
static dl_status join(walk *w, const char *in, const char *name, dl_error *err)
{
    dl_buf_reset(&w->path);
    bool slash = dl_str_ends(dl_str_of(in), DL_STR("/"));
    if (dl_buf_printf(&w->path, err, "%s%s%s", in, slash ? "" : "/", name) != DL_OK ||
        dl_buf_terminate(&w->path, err) != DL_OK) {
        return err == NULL ? DL_E_LIMIT : err->status;
    }
    return DL_OK;
}

static dl_status visit_entry(walk *w, DIR *dir, const char *in, const char *name, dl_error *err)
{
    struct stat info;
    dl_error why = {0};
    dl_status status = join(w, in, name, &why);
    if (status == DL_E_LIMIT) {
        dl_error_clear(&why);
        (void)dl_error_set(&why, DL_E_LIMIT, "a path in this folder is longer than %d bytes",
                           PATH_LIMIT_BYTES);
        return tell_failed(w, in, &why, err);
    }
    if (status != DL_OK) {
        return dl_error_set(err, status, "%s", why.message);
    }
    if (fstatat(dirfd(dir), name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        (void)dl_error_errno(&why, errno, "cannot look at it");
        return tell_failed(w, w->path.ptr, &why, err);
    }
    return take_entry(w, w->path.ptr, &info, false, err);
}

static dl_status read_entries(walk *w, DIR *dir, const char *path, dl_error *err)
{
    for (;;) {
        if (dl_cancel_asked(w->cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped");
        }
        errno = 0;
        const struct dirent *entry = readdir(dir); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL && errno != 0) {
            dl_error why = {0};
            (void)dl_error_errno(&why, errno, "cannot read the folder");
            return tell_failed(w, path, &why, err);
        }
        if (entry == NULL) {
            return DL_OK;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            DL_TRY(visit_entry(w, dir, path, entry->d_name, err));
        }
    }
}

static dl_status visit_folder(walk *w, const folder *f, dl_error *err)
{
    DL_AUTO_FD fd = -1;
    dl_error why = {0};
    int flags = O_RDONLY | O_DIRECTORY | (f->named ? 0 : O_NOFOLLOW);
    if (dl_file_open(f->path, flags, 0, &fd, &why) != DL_OK) {
        return tell_failed(w, f->path, &why, err);
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)dl_error_errno(&why, errno, "cannot read the folder");
        return tell_failed(w, f->path, &why, err);
    }
    fd = -1; /* the DIR's now */
    dl_status status = read_entries(w, dir, f->path, err);
    (void)closedir(dir);
    return status;
}

/** The folders that wait, those found last first: their names are the fewest. */
static dl_status visit_pending(walk *w, dl_error *err)
{
    while (w->pending != NULL) {
        folder *f = w->pending;
        w->pending = f->next;
        dl_status status = visit_folder(w, f, err);
        dl_mem_free(f);
        DL_TRY(status);
    }
    return DL_OK;
}

dl_status dl_cli_source_walk(char *const *paths, size_t count, const dl_cli_source_events *events,
                             dl_cancel *cancel, dl_error *err)
{
    DL_CLEANUP(clear_walk) walk w = {.events = events, .cancel = cancel};
    dl_buf_init(&w.path, PATH_LIMIT_BYTES + 1);
    for (size_t i = 0; i < count; i++) {
        if (dl_cancel_asked(cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "stopped");
        }
        struct stat info;
        if (stat(paths[i], &info) != 0) {
            dl_error why = {0};
            (void)dl_error_errno(&why, errno, "cannot look at it");
            DL_TRY(tell_failed(&w, paths[i], &why, err));
            continue;
        }
        DL_TRY(take_entry(&w, paths[i], &info, true, err));
        DL_TRY(visit_pending(&w, err));
    }
    return DL_OK;
}
