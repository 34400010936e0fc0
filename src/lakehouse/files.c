/* Files below the Files shortcuts of a lakehouse: names and bytes, and nothing above. */
#include "lakehouse/files.h"

#include "base/file.h"
#include "lakehouse/catalog_internal.h"
#include "lakehouse/files_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN = 200, NAMES_ARENA_BYTES = 256 * 1024 * 1024 };

/* ---- paths ---- */

typedef struct place {
    dl_str folder; /* of the shortcut, absolute */
    dl_str below;  /* relative; empty: the folder itself */
} place;

/** What is there; `fd` is whoever's who asked. */
typedef struct opened {
    int fd;
    bool folder;
    uint64_t size_bytes;
} opened;

static dl_status open_place(const place *p, opened *out, dl_error *err)
{
    DL_AUTO_FD root = -1;
    DL_TRY(dl_file_open(p->folder.ptr, O_PATH | O_DIRECTORY, 0, &root, err));
    return dl_file_open_below(root, p->below, &out->fd, &out->folder, &out->size_bytes, err);
}

/** "SHORTCUT/below/it". */
static dl_status place_by_name(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str path,
                               dl_arena *arena, place *out, dl_error *err)
{
    ptrdiff_t slash = dl_str_find(path, '/');
    dl_str name = slash < 0 ? path : dl_str_slice(path, 0, (size_t)slash);
    const dl_shortcut *shortcut = dl_shortcut_find(lakehouse, DL_SHORTCUT_FILES, name);
    if (shortcut == NULL) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no Files shortcut '%.*s'",
                           DL_STR_ARG(dl_str_slice(name, 0, DL_SHORTCUT_NAME_LIMIT)));
        dl_error_hint(err, "`dicomlake lakehouse files ls` without a path shows them");
        return DL_E_NOT_FOUND;
    }
    dl_shortcut_state state;
    DL_TRY(dl_shortcut_resolve(factory, shortcut, arena, &state, err));
    if (state.broken) {
        (void)dl_error_set(err, DL_E_NOT_FOUND, "shortcut '%.*s' is broken: %s",
                           DL_STR_ARG(shortcut->name), state.why.message);
        dl_error_hint(err, "%s", state.why.hint);
        return DL_E_NOT_FOUND;
    }
    *out =
        (place){.folder = state.folder,
                .below = slash < 0 ? DL_STR("") : dl_str_slice(path, (size_t)slash + 1, path.len)};
    return DL_OK;
}

dl_status dl_lake_roots(dl_factory *factory, const dl_lakehouse *lakehouse, dl_roots **out_roots,
                        dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(NAMES_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "files: out of memory");
    }
    dl_query_root *roots = dl_arena_alloc(arena, lakehouse->shortcut_count + 1, sizeof *roots);
    size_t count = 0;
    if (roots == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        const dl_shortcut *shortcut = &lakehouse->shortcuts[i];
        dl_shortcut_state state;
        if (shortcut->kind != DL_SHORTCUT_FILES) {
            continue;
        }
        DL_TRY(dl_shortcut_resolve(factory, shortcut, arena, &state, err));
        if (!state.broken) {
            roots[count++] = (dl_query_root){shortcut->name, state.folder};
        }
    }
    return dl_roots_create(roots, count, out_roots, err);
}

/** A filePath of a row. */
static bool place_by_row(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str path,
                         dl_arena *arena, place *out)
{
    DL_AUTO(dl_roots) roots = NULL;
    size_t i = 0;
    return dl_lake_roots(factory, lakehouse, &roots, NULL) == DL_OK &&
           dl_roots_place(roots, path, &i, &out->below) &&
           dl_arena_copy(arena, dl_roots_folder(roots, i), &out->folder, NULL) == DL_OK;
}

/** By the shortcut's name, and where that leads nowhere as a filePath. */
static dl_status open_path(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str path,
                           opened *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(NAMES_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "files: out of memory");
    }
    place p;
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--; /* "SHORTCUT/" */
    }
    dl_status status = place_by_name(factory, lakehouse, path, arena, &p, err);
    if (status == DL_OK) {
        status = open_place(&p, out, err);
    }
    if (status == DL_E_NOT_FOUND && place_by_row(factory, lakehouse, path, arena, &p) &&
        open_place(&p, out, NULL) == DL_OK) {
        dl_error_clear(err);
        status = DL_OK;
    }
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status, "opening %.*s",
                                             DL_STR_ARG(dl_str_slice(path, 0, SHOWN)));
}

dl_status dl_lake_file_open(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str path,
                            int *out_fd, uint64_t *out_size_bytes, dl_error *err)
{
    opened found = {.fd = -1};
    DL_TRY(open_path(factory, lakehouse, path, &found, err));
    if (found.folder) {
        dl_file_close(&found.fd);
        (void)dl_error_set(err, DL_E_INVALID, "%.*s is a folder",
                           DL_STR_ARG(dl_str_slice(path, 0, SHOWN)));
        dl_error_hint(err, "`dicomlake lakehouse files ls` shows what is in it");
        return DL_E_INVALID;
    }
    *out_fd = found.fd;
    *out_size_bytes = found.size_bytes;
    return DL_OK;
}

/* ---- lists ---- */

static int by_name(const void *a, const void *b)
{
    const dl_lake_file *x = a, *y = b;
    return dl_str_compare(x->name, y->name);
}

/**
 * The first `limit` names after `after`, whatever the folder's order: names are collected until
 * there are twice as many, sorted, and the later half is forgotten; from then on nothing behind the
 * last one kept is looked at.
 */
typedef struct collecting {
    dl_str path, after;
    size_t limit;
    dl_lake_file *items; /* 2 * limit */
    size_t count;
    bool full; /* items[limit - 1] is the last that counts */
    dl_arena *names;
} collecting;

static dl_status forget(collecting *c, dl_error *err)
{
    DL_AUTO(dl_arena) names = dl_arena_create(NAMES_ARENA_BYTES);
    if (names == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "files: out of memory");
    }
    qsort(c->items, c->count, sizeof *c->items, by_name);
    c->full = c->full || c->count >= c->limit;
    c->count = c->count < c->limit ? c->count : c->limit;
    for (size_t i = 0; i < c->count; i++) {
        DL_TRY(dl_arena_copy(names, c->items[i].name, &c->items[i].name, err));
    }
    dl_arena_destroy(c->names);
    c->names = DL_STEAL(names);
    return DL_OK;
}

/** A file or folder; of a link that stays below its own folder, what it leads to. */
static bool is_shown(int folder_fd, const struct dirent *entry, bool *out_folder)
{
    struct stat facts;
    DL_AUTO_FD fd = -1;
    uint64_t size = 0;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
        return false;
    }
    switch (entry->d_type) {
    case DT_DIR:
    case DT_REG:
        *out_folder = entry->d_type == DT_DIR;
        return true;
    case DT_UNKNOWN:
        if (fstatat(folder_fd, entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) {
            return false;
        }
        *out_folder = S_ISDIR(facts.st_mode);
        if (!S_ISLNK(facts.st_mode)) {
            return S_ISDIR(facts.st_mode) || S_ISREG(facts.st_mode);
        }
        break;
    case DT_LNK:
        break;
    default:
        return false;
    }
    return dl_file_open_below(folder_fd, dl_str_of(entry->d_name), &fd, out_folder, &size, NULL) ==
           DL_OK;
}

static dl_status consider(collecting *c, int folder_fd, const struct dirent *entry, dl_error *err)
{
    dl_str name = dl_str_of(entry->d_name);
    bool folder = false;
    if (dl_str_compare(name, c->after) <= 0 ||
        (c->full && dl_str_compare(name, c->items[c->limit - 1].name) > 0) ||
        !is_shown(folder_fd, entry, &folder)) {
        return DL_OK;
    }
    dl_lake_file *item = &c->items[c->count];
    *item = (dl_lake_file){.folder = folder};
    DL_TRY(dl_arena_copy(c->names, name, &item->name, err));
    c->count++;
    return c->count == 2 * c->limit ? forget(c, err) : DL_OK;
}

static dl_status collect(collecting *c, DIR *folder, dl_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            break;
        }
        DL_TRY(consider(c, dirfd(folder), entry, err));
    }
    if (errno != 0) {
        return dl_error_errno(err, errno, "a folder cannot be read");
    }
    return forget(c, err);
}

/** Sizes and times of those that are given out; of one that is gone meanwhile none. */
static dl_status describe(const collecting *c, int folder_fd, dl_arena *arena,
                          dl_lake_file *out_files, dl_error *err)
{
    for (size_t i = 0; i < c->count; i++) {
        struct stat facts;
        dl_lake_file *file = &out_files[i];
        *file = c->items[i];
        DL_TRY(dl_arena_copy(arena, c->items[i].name, &file->name, err));
        if (fstatat(folder_fd, file->name.ptr, &facts, 0) == 0) {
            file->size_bytes = file->folder ? 0 : (uint64_t)facts.st_size;
            file->modified_us =
                (int64_t)facts.st_mtim.tv_sec * 1000000 + facts.st_mtim.tv_nsec / 1000;
        }
    }
    return DL_OK;
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static dl_status list_folder(int *fd, collecting *c, dl_arena *arena, dl_lake_file **out_files,
                             dl_error *err)
{
    DL_CLEANUP(close_folder) DIR *folder = fdopendir(*fd);
    if (folder == NULL) {
        return dl_error_errno(err, errno, "a folder cannot be read");
    }
    *fd = -1; /* the folder's now */
    DL_TRY(collect(c, folder, err));
    dl_lake_file *files = dl_arena_alloc(arena, c->count + 1, sizeof *files);
    if (files == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(describe(c, dirfd(folder), arena, files, err));
    *out_files = files;
    return DL_OK;
}

static dl_status list_shortcuts(const dl_lakehouse *lakehouse, collecting *c, dl_arena *arena,
                                dl_lake_file **out_files, dl_error *err)
{
    dl_lake_file *files = dl_arena_alloc(arena, lakehouse->shortcut_count + 1, sizeof *files);
    if (files == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        const dl_shortcut *s = &lakehouse->shortcuts[i];
        if (s->kind == DL_SHORTCUT_FILES && dl_str_compare(s->name, c->after) > 0) {
            files[c->count].folder = true;
            DL_TRY(dl_arena_copy(arena, s->name, &files[c->count].name, err));
            c->count++;
        }
    }
    qsort(files, c->count, sizeof *files, by_name);
    c->count = c->count < c->limit ? c->count : c->limit;
    *out_files = files;
    return DL_OK;
}

static dl_status list_path(dl_factory *factory, const dl_lakehouse *lakehouse, collecting *c,
                           dl_arena *arena, dl_lake_file **out_files, dl_error *err)
{
    DL_AUTO(dl_arena)
    scratch = dl_arena_create(2 * c->limit * sizeof(dl_lake_file) + NAMES_ARENA_BYTES);
    DL_AUTO_FD fd = -1;
    opened found = {.fd = -1};
    DL_TRY(open_path(factory, lakehouse, c->path, &found, err));
    fd = found.fd;
    if (!found.folder) {
        return dl_error_set(err, DL_E_INVALID, "%.*s is a file, not a folder",
                            DL_STR_ARG(dl_str_slice(c->path, 0, SHOWN)));
    }
    c->names = dl_arena_create(NAMES_ARENA_BYTES);
    c->items = scratch == NULL ? NULL : dl_arena_alloc(scratch, 2 * c->limit, sizeof(dl_lake_file));
    if (c->items == NULL || c->names == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "files: out of memory");
    }
    return list_folder(&fd, c, arena, out_files, err);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_lake_files_list(dl_factory *factory, const dl_lakehouse *lakehouse, dl_str path,
                             dl_str after, size_t limit, dl_arena *arena, dl_lake_file **out_files,
                             size_t *out_count, dl_error *err)
{
    if (limit == 0 || limit > DL_LAKE_FILES_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "files: %zu names at once, not 1 to %d", limit,
                            DL_LAKE_FILES_LIMIT);
    }
    collecting c = {.path = path, .after = after, .limit = limit};
    dl_status status = path.len == 0 ? list_shortcuts(lakehouse, &c, arena, out_files, err)
                                     : list_path(factory, lakehouse, &c, arena, out_files, err);
    dl_arena_destroy(c.names);
    if (status == DL_OK) {
        *out_count = c.count;
    }
    return status;
}
