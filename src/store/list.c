/* Listing: every key below a folder, with an explicit stack of folders still to be visited. */
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct walk {
    dl_store *store;
    dl_status (*visit)(void *context, dl_str key, const dl_store_stat *stat, dl_error *err);
    void *context;
    dl_buf folders; /* each as its path and a NUL; the last is the next */
} walk;

static dl_status push_folder(walk *w, const char *path, dl_error *err)
{
    return dl_buf_append(&w->folders, path, strlen(path) + 1, err);
}

static bool pop_folder(walk *w, char out[DL_STORE_KEY_LIMIT_BYTES + 1])
{
    if (w->folders.len == 0) {
        return false;
    }
    size_t begin = w->folders.len - 1;
    while (begin > 0 && w->folders.ptr[begin - 1] != '\0') {
        begin--;
    }
    memcpy(out, w->folders.ptr + begin, w->folders.len - begin);
    w->folders.len = begin;
    return true;
}

/* `folder`/`name` as a key; false for what can be no key: its name breaks the rules. */
static bool join(const char *folder, const char *name, char out[DL_STORE_KEY_LIMIT_BYTES + 1])
{
    char joined[DL_STORE_KEY_LIMIT_BYTES + 1];
    int n = snprintf(joined, sizeof joined, "%s%s%s", folder, folder[0] == '\0' ? "" : "/", name);
    if (n < 0 || (size_t)n >= sizeof joined) {
        return false;
    }
    return dl_store_key_text((dl_str){joined, (size_t)n}, out, NULL) == DL_OK;
}

static dl_status visit_entry(walk *w, const char *folder, int folder_fd, const char *name,
                             dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1];
    struct stat file;
    if (!join(folder, name, path)) { /* ".", "..", .spool and other people's files, too */
        return DL_OK;
    }
    if (fstatat(folder_fd, name, &file, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? DL_OK : dl_error_errno(err, errno, "cannot look at %s", path);
    }
    if (S_ISDIR(file.st_mode)) {
        return push_folder(w, path, err);
    }
    if (!S_ISREG(file.st_mode)) {
        return DL_OK;
    }
    dl_store_stat stat = {0};
    dl_store_stat_of(&file, &stat);
    return w->visit(w->context, dl_str_of(path), &stat, err);
}

static dl_status visit_folder(walk *w, const char *folder, dl_error *err)
{
    int fd = openat(w->store->root_fd, folder[0] == '\0' ? "." : folder,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int os_code = errno;
        dl_file_close(&fd);
        if (os_code == ENOENT || os_code == ENOTDIR || os_code == ELOOP) {
            return DL_OK; /* no folder, so no keys below it */
        }
        return dl_error_errno(err, os_code, "cannot list the folder %s", folder);
    }
    dl_status status = DL_OK;
    while (status == DL_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir); // NOLINT(concurrency-mt-unsafe): our own stream
        if (entry == NULL) {
            if (errno != 0) {
                status = dl_error_errno(err, errno, "cannot list the folder %s", folder);
            }
            break;
        }
        status = visit_entry(w, folder, fd, entry->d_name, err);
    }
    (void)closedir(dir);
    return status;
}

dl_status dl_store_list(dl_store *store, dl_str prefix,
                        dl_status (*visit)(void *context, dl_str key, const dl_store_stat *stat,
                                           dl_error *err),
                        void *context, dl_error *err)
{
    char folder[DL_STORE_KEY_LIMIT_BYTES + 1] = "";
    if (prefix.len > 0) {
        DL_TRY(dl_store_key_text(prefix, folder, err));
    }
    walk w = {.store = store, .visit = visit, .context = context};
    dl_buf_init(&w.folders, DL_STORE_LIST_LIMIT_BYTES);
    dl_status status = push_folder(&w, folder, err);
    while (status == DL_OK && pop_folder(&w, folder)) {
        status = visit_folder(&w, folder, err);
    }
    dl_buf_clear(&w.folders);
    return status;
}
