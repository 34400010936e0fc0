#include "query/roots.h"

#include "base/file.h"
#include "base/mem.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { ARENA_LIMIT_BYTES = 16 * 1024 * 1024, PATH_SIZE = DL_ROOTS_PATH_LIMIT + 1 };

typedef struct root {
    dl_str folder;
    int fd; /* -1: the folder is not there */
} root;

struct dl_roots {
    root *items;
    size_t count;
    dl_arena *arena;
};

/* ---- life ---- */

static dl_status copy_root(dl_roots *r, const dl_query_root *from, dl_error *err)
{
    root *to = &r->items[r->count];
    dl_str folder = from->folder;
    while (folder.len > 1 && folder.ptr[folder.len - 1] == '/') {
        folder.len--;
    }
    if (folder.len == 0 || folder.ptr[0] != '/' || folder.len > DL_ROOTS_PATH_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "folder of files %.*s: not an absolute path",
                            DL_STR_ARG(from->name));
    }
    DL_TRY(dl_arena_copy(r->arena, folder, &to->folder, err));
    if (dl_file_open(to->folder.ptr, O_PATH | O_DIRECTORY, 0, &to->fd, NULL) != DL_OK) {
        to->fd = -1;
    }
    r->count++;
    return DL_OK;
}

dl_status dl_roots_create(const dl_query_root *roots, size_t count, dl_roots **out_roots,
                          dl_error *err)
{
    DL_AUTO(dl_roots) r = dl_mem_zalloc(1, sizeof *r);
    if (r == NULL || (r->arena = dl_arena_create(ARENA_LIMIT_BYTES)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "roots: out of memory");
    }
    r->items = dl_arena_alloc(r->arena, count + 1, sizeof *r->items);
    if (r->items == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        DL_TRY(copy_root(r, &roots[i], err));
    }
    *out_roots = DL_STEAL(r);
    return DL_OK;
}

void dl_roots_destroy(dl_roots *roots)
{
    if (roots == NULL) {
        return;
    }
    for (size_t i = 0; i < roots->count; i++) {
        dl_file_close(&roots->items[i].fd);
    }
    dl_arena_destroy(roots->arena);
    dl_mem_free(roots);
}

dl_str dl_roots_folder(const dl_roots *roots, size_t i)
{
    return roots->items[i].folder;
}

/* ---- places ---- */

/** Relative, and nothing in it that leads up. */
static bool is_below(dl_str path)
{
    dl_str rest = path, part = DL_STR_NONE;
    if (path.len == 0 || path.len > DL_ROOTS_PATH_LIMIT ||
        memchr(path.ptr, '\0', path.len) != NULL) {
        return false;
    }
    while (dl_str_next(&rest, '/', &part)) {
        if (part.len == 0 || dl_str_eq(part, DL_STR(".")) || dl_str_eq(part, DL_STR(".."))) {
            return false;
        }
    }
    return true;
}

/** How many bytes of `path` are the end of the folder's own path, its longest one: the slash after
 * them included. 0: none. */
static size_t shared(dl_str folder, dl_str path)
{
    for (size_t i = 0; i < folder.len; i++) {
        size_t len = folder.len - i - 1;
        if (folder.ptr[i] == '/' && len > 0 && len + 1 < path.len && path.ptr[len] == '/' &&
            memcmp(folder.ptr + i + 1, path.ptr, len) == 0) {
            return len + 1;
        }
    }
    return 0;
}

static bool is_there(const root *r, dl_str below)
{
    char path[PATH_SIZE];
    return r->fd >= 0 && dl_str_copy(below, path, sizeof path) &&
           faccessat(r->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool place_inside(const dl_roots *roots, dl_str path, size_t *out_root, dl_str *out_below)
{
    ptrdiff_t slash = dl_str_find(path, '/');
    dl_str first = slash < 0 ? path : dl_str_slice(path, 0, (size_t)slash);
    for (size_t i = 0; i < roots->count; i++) {
        if (is_there(&roots->items[i], first)) {
            *out_root = i;
            *out_below = path;
            return true;
        }
    }
    return false;
}

bool dl_roots_place(const dl_roots *roots, dl_str file_path, size_t *out_root, dl_str *out_below)
{
    size_t best = 0, most = 0;
    if (!is_below(file_path)) {
        return false;
    }
    for (size_t i = 0; i < roots->count; i++) {
        size_t len = shared(roots->items[i].folder, file_path);
        if (len < most || len == 0) {
            continue;
        }
        dl_str below = dl_str_slice(file_path, len, file_path.len);
        if (len > most ||
            (!is_there(&roots->items[best], below) && is_there(&roots->items[i], below))) {
            best = i;
            most = len;
        }
    }
    if (most == 0) {
        return place_inside(roots, file_path, out_root, out_below);
    }
    *out_root = best;
    *out_below = dl_str_slice(file_path, most, file_path.len);
    return true;
}

dl_status dl_roots_open(const dl_roots *roots, dl_str file_path, int *out_fd,
                        uint64_t *out_size_bytes, dl_error *err)
{
    size_t i = 0;
    dl_str below = DL_STR_NONE;
    if (!dl_roots_place(roots, file_path, &i, &below)) {
        return dl_error_set(err, DL_E_NOT_FOUND, "no folder of files has it");
    }
    if (roots->items[i].fd < 0) {
        return dl_error_set(err, DL_E_NOT_FOUND, "its folder of files is not there");
    }
    DL_AUTO_FD fd = -1;
    bool folder = false;
    uint64_t size = 0;
    DL_TRY(dl_file_open_below(roots->items[i].fd, below, &fd, &folder, &size, err));
    if (folder) {
        return dl_error_set(err, DL_E_INVALID, "a folder, not a file");
    }
    *out_fd = fd;
    *out_size_bytes = size;
    fd = -1;
    return DL_OK;
}
