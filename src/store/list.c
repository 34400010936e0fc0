/* Listing: every key below a folder, with an explicit stack of folders still to be visited; one
 * folder in order; folders that hold nothing. */
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct walk {
    dl_store *store;
    dl_status (*visit)(void *context, dl_str key, const dl_store_stat *stat, dl_error *err);
    void *context;
    bool one_folder; /* folders in it are not visited */
    dl_buf folders;  /* each as its path and a NUL; the last is the next */
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
        return w->one_folder ? DL_OK : push_folder(w, path, err);
    }
    if (!S_ISREG(file.st_mode)) {
        return DL_OK;
    }
    dl_store_stat stat = {0};
    dl_store_stat_of(&file, &stat);
    return w->visit(w->context, dl_str_of(path), &stat, err);
}

/* NULL with DL_OK: there is no such folder, so no keys below it. */
static dl_status open_folder(const dl_store *store, const char *folder, DIR **out_dir,
                             dl_error *err)
{
    int fd = openat(store->root_fd, folder[0] == '\0' ? "." : folder,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *out_dir = fd < 0 ? NULL : fdopendir(fd);
    if (*out_dir != NULL) {
        return DL_OK;
    }
    int os_code = errno;
    dl_file_close(&fd);
    if (os_code == ENOENT || os_code == ENOTDIR || os_code == ELOOP) {
        return DL_OK;
    }
    return dl_error_errno(err, os_code, "cannot list the folder %s", folder);
}

static dl_status visit_folder(walk *w, const char *folder, dl_error *err)
{
    DIR *dir = NULL;
    DL_TRY(open_folder(w->store, folder, &dir, err));
    if (dir == NULL) {
        return DL_OK;
    }
    int fd = dirfd(dir);
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

/* ---- one folder, in order ---- */

typedef struct names {
    dl_buf text;    /* each with its NUL */
    dl_buf offsets; /* size_t each, into text */
} names;

static void names_clear(names *n)
{
    dl_buf_clear(&n->text);
    dl_buf_clear(&n->offsets);
}

static dl_status names_add(names *n, const char *name, dl_error *err)
{
    size_t offset = n->text.len;
    DL_TRY(dl_buf_append(&n->offsets, &offset, sizeof offset, err));
    return dl_buf_append(&n->text, name, strlen(name) + 1, err);
}

static const char *names_at(const names *n, size_t index)
{
    size_t offset = 0;
    memcpy(&offset, n->offsets.ptr + index * sizeof offset, sizeof offset);
    return n->text.ptr + offset;
}

static size_t names_count(const names *n)
{
    return n->offsets.len / sizeof(size_t);
}

static int compare_names(const void *a, const void *b, void *text)
{
    size_t left = 0, right = 0;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return strcmp((const char *)text + left, (const char *)text + right);
}

static dl_status collect_names(DIR *dir, const char *folder, dl_str after, names *n, dl_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir); // NOLINT(concurrency-mt-unsafe): our own stream
        if (entry == NULL) {
            return errno == 0 ? DL_OK
                              : dl_error_errno(err, errno, "cannot list the folder %s", folder);
        }
        char key[DL_STORE_KEY_LIMIT_BYTES + 1];
        if (entry->d_type != DT_DIR && join(folder, entry->d_name, key) &&
            dl_str_compare(dl_str_of(entry->d_name), after) > 0) {
            DL_TRY(names_add(n, entry->d_name, err));
        }
    }
}

dl_status dl_store_list_folder(dl_store *store, dl_str folder, dl_str after,
                               dl_status (*visit)(void *context, dl_str key,
                                                  const dl_store_stat *stat, dl_error *err),
                               void *context, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1] = "";
    if (folder.len > 0) {
        DL_TRY(dl_store_key_text(folder, path, err));
    }
    DIR *dir = NULL;
    DL_TRY(open_folder(store, path, &dir, err));
    if (dir == NULL) {
        return DL_OK;
    }
    walk w = {.store = store, .visit = visit, .context = context, .one_folder = true};
    names n = {{0}, {0}};
    dl_buf_init(&n.text, DL_STORE_LIST_LIMIT_BYTES);
    dl_buf_init(&n.offsets, DL_STORE_LIST_LIMIT_BYTES);
    dl_status status = collect_names(dir, path, after, &n, err);
    if (status == DL_OK && names_count(&n) > 1) {
        qsort_r(n.offsets.ptr, names_count(&n), sizeof(size_t), compare_names, n.text.ptr);
    }
    for (size_t i = 0; status == DL_OK && i < names_count(&n); i++) {
        status = visit_entry(&w, path, dirfd(dir), names_at(&n, i), err);
    }
    names_clear(&n);
    (void)closedir(dir);
    return status;
}

/* ---- folders that hold nothing ---- */

static dl_status collect_folders(dl_store *store, const char *folder, walk *open_ones, names *found,
                                 dl_error *err)
{
    DIR *dir = NULL;
    DL_TRY(open_folder(store, folder, &dir, err));
    dl_status status = DL_OK;
    const struct dirent *entry = NULL;
    while (dir != NULL && status == DL_OK &&
           (entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own stream
        char path[DL_STORE_KEY_LIMIT_BYTES + 1];
        struct stat file;
        if (join(folder, entry->d_name, path) &&
            fstatat(dirfd(dir), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(file.st_mode)) {
            status = push_folder(open_ones, path, err);
            status = status == DL_OK ? names_add(found, path, err) : status;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return status;
}

/* A folder comes after the one that it is in, so from the end on each is empty before its own. */
static dl_status remove_from_the_end(dl_store *store, const names *found, int64_t *out_removed,
                                     dl_error *err)
{
    for (size_t i = names_count(found); i > 0; i--) {
        const char *path = names_at(found, i - 1);
        dl_store_folder_forget(store, dl_str_of(path));
        if (unlinkat(store->root_fd, path, AT_REMOVEDIR) == 0) {
            ++*out_removed;
        } else if (errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT && errno != ENOTDIR) {
            return dl_error_errno(err, errno, "cannot remove the folder %s", path);
        }
    }
    return DL_OK;
}

dl_status dl_store_remove_empty(dl_store *store, dl_str folder, int64_t *out_removed, dl_error *err)
{
    char path[DL_STORE_KEY_LIMIT_BYTES + 1] = "";
    if (folder.len > 0) {
        DL_TRY(dl_store_key_text(folder, path, err));
    }
    walk w = {.store = store};
    names found = {{0}, {0}};
    int64_t removed = 0;
    dl_buf_init(&w.folders, DL_STORE_LIST_LIMIT_BYTES);
    dl_buf_init(&found.text, DL_STORE_LIST_LIMIT_BYTES);
    dl_buf_init(&found.offsets, DL_STORE_LIST_LIMIT_BYTES);
    dl_status status = push_folder(&w, path, err);
    if (status == DL_OK && path[0] != '\0') { /* the root itself stays */
        status = names_add(&found, path, err);
    }
    while (status == DL_OK && pop_folder(&w, path)) {
        status = collect_folders(store, path, &w, &found, err);
    }
    if (status == DL_OK) {
        status = remove_from_the_end(store, &found, &removed, err);
    }
    names_clear(&found);
    dl_buf_clear(&w.folders);
    if (status == DL_OK) {
        *out_removed = removed;
    }
    return status;
}
