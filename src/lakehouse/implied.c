/* The lakehouse that every home has: its Delta tables under the names of their folders, and its
 * DICOM files. */
#include "lakehouse/catalog_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_LIMIT = 8, FOLDER_LIMIT = 100000 };

/* `sync` writes here unless told otherwise: the names of these tables stay what they are when
 * another container gets tables of the same names. */
static const char default_container[] = "dicom";

typedef struct walk {
    dl_arena *arena;
    dl_error *err;
    const char *root; /* HOME/tables */
    dl_str *waiting;  /* sub paths of folders still to be looked at */
    size_t waiting_count, waiting_room, seen;
    dl_str *tables; /* sub paths */
    size_t table_count;
} walk;

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static dl_status wait_for(walk *w, dl_str subpath)
{
    if (w->waiting_count == w->waiting_room) {
        size_t room = w->waiting_room == 0 ? 64 : w->waiting_room * 2;
        dl_str *items = dl_arena_alloc(w->arena, room, sizeof *items);
        if (items == NULL) {
            return dl_arena_full(w->arena, w->err);
        }
        if (w->waiting_count > 0) {
            memcpy(items, w->waiting, w->waiting_count * sizeof *items);
        }
        w->waiting = items;
        w->waiting_room = room;
    }
    w->waiting[w->waiting_count++] = subpath;
    return DL_OK;
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static size_t depth_of(dl_str subpath)
{
    size_t depth = 0;
    for (size_t i = 0; i < subpath.len; i++) {
        depth += subpath.ptr[i] == '/';
    }
    return depth;
}

/** Whether the folder is a table; what else is below it waits. What cannot be read holds nothing
 * for us. */
static dl_status look_at(walk *w, dl_str subpath)
{
    dl_str path = DL_STR_NONE;
    DL_TRY(dl_arena_printf(w->arena, &path, w->err, "%s%.*s/_delta_log", w->root,
                           DL_STR_ARG(subpath)));
    if (subpath.len > 0 && is_folder(path.ptr)) {
        w->tables[w->table_count++] = subpath;
        return DL_OK;
    }
    if (depth_of(subpath) == DEPTH_LIMIT) {
        return DL_OK;
    }
    DL_TRY(dl_arena_printf(w->arena, &path, w->err, "%s%.*s", w->root, DL_STR_ARG(subpath)));
    DL_CLEANUP(close_folder) DIR *folder = opendir(path.ptr);
    while (folder != NULL) {
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            break;
        }
        bool may_be_folder = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
        if (!may_be_folder || entry->d_name[0] == '.' || entry->d_name[0] == '_' ||
            w->seen++ == FOLDER_LIMIT) {
            continue;
        }
        dl_str below = DL_STR_NONE;
        DL_TRY(dl_arena_printf(w->arena, &below, w->err, "%.*s/%s", DL_STR_ARG(subpath),
                               entry->d_name));
        dl_shortcut s = {.name = DL_STR("x"),
                         .connection = DL_STR(DL_LAKEHOUSE_HOME_CONNECTION),
                         .subpath = below};
        if (dl_shortcut_check(&s, "", NULL) == DL_OK) {
            DL_TRY(wait_for(w, below));
        }
    }
    return DL_OK;
}

static int by_text(const void *a, const void *b)
{
    return dl_str_compare(*(const dl_str *)a, *(const dl_str *)b);
}

static dl_status find_tables(walk *w)
{
    w->tables = dl_arena_alloc(w->arena, DL_SHORTCUT_LIMIT, sizeof *w->tables);
    if (w->tables == NULL) {
        return dl_arena_full(w->arena, w->err);
    }
    DL_TRY(wait_for(w, DL_STR("")));
    while (w->waiting_count > 0 && w->table_count < DL_SHORTCUT_LIMIT - 1) {
        DL_TRY(look_at(w, w->waiting[--w->waiting_count]));
    }
    qsort(w->tables, w->table_count, sizeof *w->tables, by_text);
    return DL_OK;
}

/* ---- names ---- */

static dl_str last_part(dl_str subpath)
{
    size_t at = subpath.len;
    while (at > 0 && subpath.ptr[at - 1] != '/') {
        at--;
    }
    return dl_str_slice(subpath, at, subpath.len);
}

static bool is_default(dl_str subpath)
{
    dl_str rest = dl_str_slice(subpath, 1, subpath.len), container = DL_STR_NONE;
    return dl_str_next(&rest, '/', &container) &&
           dl_str_eq(container, dl_str_of(default_container)) && dl_str_find(rest, '/') < 0;
}

/** The folder's name; where several tables have it, all but the one that `sync` makes by itself get
 * their whole path: container_instance. A new container thus never changes what a name means. */
static dl_status name_table(walk *w, size_t i, dl_str *out)
{
    dl_str name = last_part(w->tables[i]);
    bool alone = true;
    for (size_t k = 0; k < w->table_count; k++) {
        alone &= k == i || !dl_str_eq_nocase(last_part(w->tables[k]), name);
    }
    if (alone || is_default(w->tables[i])) {
        *out = name;
        return DL_OK;
    }
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_arena_copy(w->arena, dl_str_slice(w->tables[i], 1, w->tables[i].len), &text, w->err));
    char *at = dl_arena_alloc(w->arena, text.len + 1, 1);
    if (at == NULL) {
        return dl_arena_full(w->arena, w->err);
    }
    for (size_t k = 0; k < text.len; k++) {
        at[k] = text.ptr[k] == '/' ? '_' : text.ptr[k];
    }
    *out = (dl_str){at, text.len};
    return DL_OK;
}

static dl_status name_tables(walk *w, dl_lakehouse *out)
{
    for (size_t i = 0; i < w->table_count; i++) {
        dl_shortcut s = {.kind = DL_SHORTCUT_TABLES,
                         .connection = DL_STR(DL_LAKEHOUSE_HOME_CONNECTION),
                         .subpath = w->tables[i]};
        DL_TRY(name_table(w, i, &s.name));
        if (dl_shortcut_check(&s, "", NULL) == DL_OK &&
            dl_shortcut_find(out, DL_SHORTCUT_TABLES, s.name) == NULL) {
            out->shortcuts[out->shortcut_count++] = s;
        }
    }
    return DL_OK;
}

dl_status dl_lakehouse_implied(dl_factory *factory, dl_arena *arena, dl_lakehouse *out,
                               dl_error *err)
{
    dl_str root = DL_STR_NONE;
    dl_lakehouse made = {.name = DL_STR(DL_LAKEHOUSE_HOME),
                         .description = DL_STR("the tables and DICOM files of this home"),
                         .implied = true};
    DL_TRY(dl_arena_printf(arena, &root, err, "%s/tables", dl_factory_home(factory)));
    walk w = {.arena = arena, .err = err, .root = root.ptr};
    DL_TRY(find_tables(&w));
    made.shortcuts = dl_arena_alloc(arena, w.table_count + 1, sizeof *made.shortcuts);
    if (made.shortcuts == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(name_tables(&w, &made));
    DL_TRY(dl_arena_printf(arena, &root, err, "%s/files/AHDS", dl_factory_home(factory)));
    if (is_folder(root.ptr)) {
        made.shortcuts[made.shortcut_count++] =
            (dl_shortcut){.kind = DL_SHORTCUT_FILES,
                          .name = DL_STR("AHDS"),
                          .connection = DL_STR(DL_LAKEHOUSE_HOME_CONNECTION),
                          .subpath = DL_STR("/dicom/AHDS")};
    }
    *out = made;
    return DL_OK;
}
