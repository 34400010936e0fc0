/* Shortcuts to folders: where they lead, whether it is there, and what is wrong when it is not. */
#include "delta/delta.h"
#include "factory/nearest.h"
#include "factory/probe.h"
#include "lakehouse/catalog_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONSIDERED_LIMIT = 10000 }; /* names of a folder that may be meant */

/* The folder of the DICOM files below a container (the article's name, always this). */
static const char files_folder[] = "AHDS";
static const char makers[] = "a pipeline or sync makes tables, import or serve files";

/* ---- the connection ---- */

static dl_status no_connection(dl_str name, const dl_factory_entry *entries, size_t count,
                               dl_error *err)
{
    dl_nearest nearest;
    dl_nearest_init(&nearest, name);
    for (size_t i = 0; i < count; i++) {
        dl_nearest_consider(&nearest, entries[i].name);
    }
    (void)dl_error_set(err, DL_E_NOT_FOUND, "there is no connection '%.*s'",
                       DL_STR_ARG(dl_str_slice(name, 0, DL_FACTORY_NAME_LIMIT)));
    dl_nearest_hint(&nearest, "dicomlake connection add makes one, connection list shows them",
                    err);
    return DL_E_NOT_FOUND;
}

static dl_status find_connection(dl_factory *factory, dl_str name, dl_arena *arena,
                                 dl_factory_connection *out, dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    DL_TRY(dl_catalog_list(factory, DL_FACTORY_CONNECTION, arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!dl_str_eq_nocase(entries[i].name, name)) {
            continue;
        }
        if (entries[i].fault.ptr != NULL) {
            (void)dl_error_set(err, DL_E_INVALID, "connection '%.*s' is damaged: %.*s",
                               DL_STR_ARG(entries[i].name), DL_STR_ARG(entries[i].fault));
            dl_error_hint(err, "correct it, or connection add --replace");
            return DL_E_INVALID;
        }
        return dl_factory_read_connection(entries[i].json, arena, out, NULL, err);
    }
    return no_connection(name, entries, count, err);
}

/** "/dicom/AHDS/x": "/x" is below the files; false: it is no path of theirs. */
static bool is_files_path(dl_str subpath, dl_str *out_below)
{
    dl_str rest = dl_str_slice(subpath, 1, subpath.len);
    ptrdiff_t slash = dl_str_find(rest, '/');
    if (slash < 0) {
        return false;
    }
    rest = dl_str_slice(rest, (size_t)slash + 1, rest.len);
    dl_str name = dl_str_of(files_folder);
    if (!dl_str_starts(rest, name) || (rest.len > name.len && rest.ptr[name.len] != '/')) {
        return false;
    }
    *out_below = dl_str_slice(rest, name.len, rest.len);
    return true;
}

dl_status dl_shortcut_base(dl_factory *factory, const dl_shortcut *shortcut, dl_arena *arena,
                           dl_str *out_base, dl_str *out_below, dl_error *err)
{
    dl_factory_connection c = {.type = DL_FACTORY_LAKE,
                               .url = DL_STR(DL_LAKEHOUSE_HOME_CONNECTION)};
    dl_str base = DL_STR_NONE;
    dl_str below = shortcut->subpath.len == 1 ? DL_STR("") : shortcut->subpath;
    bool home = dl_str_eq(shortcut->connection, DL_STR(DL_LAKEHOUSE_HOME_CONNECTION));
    if (!home) {
        DL_TRY(find_connection(factory, shortcut->connection, arena, &c, err));
    }
    if (c.type == DL_FACTORY_LAKE && dl_str_eq(c.url, DL_STR(DL_LAKEHOUSE_HOME_CONNECTION)) &&
        is_files_path(shortcut->subpath, &below)) {
        DL_TRY(dl_arena_printf(arena, &base, err, "%s/files/%s", dl_factory_home(factory),
                               files_folder));
    } else {
        dl_status status = dl_connection_folder(factory, &c, arena, &base, err);
        if (status == DL_E_INVALID && c.type != DL_FACTORY_LAKE) {
            dl_error_hint(err, "a shortcut needs a connection of type lake");
        }
        DL_TRY(status);
    }
    *out_base = base;
    *out_below = below;
    return DL_OK;
}

/* ---- the folder ---- */

/** A shortcut on its way to a folder. */
typedef struct way {
    const dl_shortcut *shortcut;
    dl_arena *arena;
    dl_str base, below;
    dl_str folder; /* both together, absolute */
    dl_error *err;
} way;

static dl_status denied(const way *w, const char *path)
{
    (void)dl_error_set(w->err, DL_E_DENIED, "%s cannot be read", path);
    dl_error_hint(w->err, "give the account that runs dicomlake the right to read there");
    return DL_E_DENIED;
}

static bool is_below(dl_str path, dl_str base)
{
    return dl_str_eq(base, DL_STR("/")) ||
           (dl_str_starts(path, base) && (path.len == base.len || path.ptr[base.len] == '/'));
}

static dl_status leads_out(const way *w)
{
    (void)dl_error_set(w->err, DL_E_DENIED, "%.*s leads out of the connection's folder",
                       DL_STR_ARG(w->shortcut->subpath));
    dl_error_hint(w->err, "a link is on the way: make a connection for where it leads to");
    return DL_E_DENIED;
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

/** Names alike among what a folder has; `child` NULL: any, else those that have this below. */
static void consider_folder(const char *path, const char *child, dl_nearest *nearest,
                            char example[NAME_MAX + 1])
{
    DL_CLEANUP(close_folder) DIR *folder = opendir(path);
    example[0] = '\0';
    for (size_t seen = 0; folder != NULL && seen < CONSIDERED_LIMIT; seen++) {
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (entry == NULL) {
            break;
        }
        struct stat info;
        char below[DL_LAKEHOUSE_PATH_SIZE];
        int n = snprintf(below, sizeof below, "%s/%s%s%s", path, entry->d_name,
                         child == NULL ? "" : "/", child == NULL ? "" : child);
        if (entry->d_name[0] == '.' || entry->d_name[0] == '_' || n < 0 ||
            (size_t)n >= sizeof below || stat(below, &info) != 0 || !S_ISDIR(info.st_mode)) {
            continue;
        }
        dl_nearest_consider(nearest, dl_str_of(entry->d_name));
        if (example[0] == '\0' || strcmp(entry->d_name, example) < 0) {
            (void)snprintf(example, NAME_MAX + 1, "%s", entry->d_name);
        }
    }
}

/** The first part of the path that is not there, and what is beside it. */
static dl_status missing(const way *w)
{
    char path[DL_LAKEHOUSE_PATH_SIZE], real[PATH_MAX], example[NAME_MAX + 1] = "", otherwise[256];
    struct stat info;
    dl_str rest = w->below, part = DL_STR_NONE;
    size_t len = w->base.len;
    while (rest.len > 0) {
        rest = dl_str_slice(rest, 1, rest.len);
        ptrdiff_t slash = dl_str_find(rest, '/');
        part = dl_str_slice(rest, 0, slash < 0 ? rest.len : (size_t)slash);
        rest = dl_str_slice(rest, part.len, rest.len);
        if (!dl_str_copy(dl_str_slice(w->folder, 0, len + 1 + part.len), path, sizeof path) ||
            stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
            break;
        }
        len += 1 + part.len;
    }
    dl_nearest nearest;
    dl_nearest_init(&nearest, part);
    if (dl_str_copy(dl_str_slice(w->folder, 0, len), path, sizeof path) &&
        realpath(path, real) != NULL) {
        if (!is_below(dl_str_of(real), w->base)) { /* what is there is nobody's business */
            return leads_out(w);
        }
        consider_folder(path, NULL, &nearest, example);
    }
    (void)dl_error_set(w->err, DL_E_NOT_FOUND, "there is no folder %.*s",
                       DL_STR_ARG(dl_str_slice(w->folder, 0, len + 1 + part.len)));
    (void)snprintf(otherwise, sizeof otherwise, "%s%s%s", makers,
                   example[0] == '\0' ? "" : "; there is ", example);
    dl_nearest_hint(&nearest, otherwise, w->err);
    return DL_E_NOT_FOUND;
}

static dl_status real_path(const way *w, dl_str path, bool base, dl_str *out)
{
    char real[PATH_MAX];
    if (realpath(path.ptr, real) != NULL) {
        return dl_arena_copy(w->arena, dl_str_of(real), out, w->err);
    }
    switch (errno) {
    case EACCES:
        return denied(w, path.ptr);
    case ENOENT:
    case ENOTDIR:
        if (!base) {
            return missing(w);
        }
        (void)dl_error_set(w->err, DL_E_NOT_FOUND, "there is no folder %s", path.ptr);
        if (dl_str_eq(w->shortcut->connection, DL_STR(DL_LAKEHOUSE_HOME_CONNECTION))) {
            dl_error_hint(w->err, "%s", makers);
        } else {
            dl_error_hint(w->err,
                          "is its disk mounted? dicomlake connection show %.*s says where it is",
                          DL_STR_ARG(w->shortcut->connection));
        }
        return DL_E_NOT_FOUND;
    default:
        return dl_error_errno(w->err, errno, "folder %s", path.ptr);
    }
}

/** The folder itself: links on the way may not lead out of the connection's folder. */
static dl_status go(way *w)
{
    struct stat info;
    dl_str base = DL_STR_NONE, real = DL_STR_NONE;
    DL_TRY(real_path(w, w->base, true, &base));
    w->base = dl_str_eq(base, DL_STR("/")) ? DL_STR("") : base;
    DL_TRY(dl_arena_printf(w->arena, &w->folder, w->err, "%.*s%.*s", DL_STR_ARG(w->base),
                           DL_STR_ARG(w->below)));
    if (w->folder.len == 0) {
        w->folder = DL_STR("/");
    }
    DL_TRY(real_path(w, w->folder, false, &real));
    DL_ASSERT(real.ptr != NULL);
    if (!is_below(real, base)) {
        return leads_out(w);
    }
    if (stat(real.ptr, &info) != 0) {
        return dl_error_errno(w->err, errno, "folder %s", real.ptr);
    }
    if (!S_ISDIR(info.st_mode)) {
        (void)dl_error_set(w->err, DL_E_INVALID, "%.*s is a file, not a folder",
                           DL_STR_ARG(w->folder));
        dl_error_hint(w->err, "a shortcut leads to a folder: remove it, and add one to a folder");
        return DL_E_INVALID;
    }
    return access(real.ptr, R_OK | X_OK) == 0 ? DL_OK : denied(w, w->folder.ptr);
}

static dl_status look_for_log(const way *w)
{
    char path[DL_LAKEHOUSE_PATH_SIZE], example[NAME_MAX + 1];
    struct stat info;
    int n = snprintf(path, sizeof path, "%.*s/_delta_log", DL_STR_ARG(w->folder));
    if (n > 0 && (size_t)n < sizeof path && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return access(path, R_OK | X_OK) == 0 ? DL_OK : denied(w, path);
    }
    dl_nearest ignored;
    dl_nearest_init(&ignored, DL_STR(""));
    consider_folder(w->folder.ptr, "_delta_log", &ignored, example);
    (void)dl_error_set(w->err, DL_E_INVALID, "%.*s is not a Delta table: it has no _delta_log",
                       DL_STR_ARG(w->folder));
    dl_str below = DL_STR_NONE;
    if (example[0] != '\0') {
        dl_error_hint(w->err, "there are tables in it: name one, as in %.*s/%s",
                      DL_STR_ARG(w->shortcut->subpath), example);
    } else if (is_files_path(w->shortcut->subpath, &below)) {
        dl_error_hint(w->err, "DICOM files are joined by shortcut add --to files");
    } else {
        dl_error_hint(w->err, "a pipeline or sync makes tables; see that the sub path names one");
    }
    return DL_E_INVALID;
}

/** A path as it is from anywhere, whether it is there or not. */
static dl_status absolute(way *w, dl_str path, dl_str *out)
{
    char here[PATH_MAX];
    if (path.len > 0 && path.ptr[0] == '/') {
        *out = path;
        return DL_OK;
    }
    if (getcwd(here, sizeof here) == NULL) {
        return dl_error_errno(w->err, errno, "the current folder");
    }
    return dl_arena_printf(w->arena, out, w->err, "%s/%.*s", here, DL_STR_ARG(path));
}

static dl_status walk(dl_factory *factory, way *w)
{
    DL_TRY(dl_shortcut_check(w->shortcut, "", w->err));
    DL_TRY(dl_shortcut_base(factory, w->shortcut, w->arena, &w->base, &w->below, w->err));
    DL_TRY(absolute(w, w->base, &w->base));
    DL_TRY(dl_arena_printf(w->arena, &w->folder, w->err, "%.*s%.*s", DL_STR_ARG(w->base),
                           DL_STR_ARG(w->below)));
    DL_TRY(go(w));
    return w->shortcut->kind == DL_SHORTCUT_TABLES ? look_for_log(w) : DL_OK;
}

/** What is wrong with the shortcut itself is its state; what is wrong here is an error. */
static bool is_ours(dl_status status)
{
    return status == DL_E_NOMEM || status == DL_E_CANCELED;
}

static dl_status resolve(dl_factory *factory, const dl_shortcut *shortcut, dl_arena *arena,
                         way *out_way, dl_shortcut_state *out, dl_error *err)
{
    dl_shortcut_state state = {.shortcut = shortcut};
    *out_way = (way){.shortcut = shortcut, .arena = arena, .err = &state.why};
    dl_status status = walk(factory, out_way);
    if (is_ours(status)) {
        return dl_error_set(err, status, "%s", state.why.message);
    }
    state.broken = status != DL_OK;
    state.folder = out_way->folder.ptr == NULL ? DL_STR("") : out_way->folder;
    *out = state;
    return DL_OK;
}

dl_status dl_shortcut_resolve(dl_factory *factory, const dl_shortcut *shortcut, dl_arena *arena,
                              dl_shortcut_state *out, dl_error *err)
{
    way w;
    return resolve(factory, shortcut, arena, &w, out, err);
}

/* ---- for a session ---- */

/** Tables of one container are read at one watermark; a container is known by its folder, whatever
 * its connection is called. */
static dl_status set_of(const way *w, dl_str *out)
{
    dl_str first = dl_str_slice(w->below, 1, w->below.len);
    ptrdiff_t slash = dl_str_find(first, '/');
    first = slash < 0 ? DL_STR("") : dl_str_slice(w->below, 0, (size_t)slash + 1);
    return dl_arena_printf(w->arena, out, w->err, "%.*s%.*s", DL_STR_ARG(w->base),
                           DL_STR_ARG(first));
}

static dl_status add_table(const way *w, const dl_shortcut_state *state, dl_str schema,
                           dl_query_table *out, dl_error *err)
{
    dl_query_table table = {
        .name = state->shortcut->name, .schema = schema, .folder = state->folder};
    if (!state->broken) {
        way quiet = *w;
        quiet.err = err;
        DL_TRY(set_of(&quiet, &table.set));
    } else {
        DL_TRY(dl_arena_printf(w->arena, &table.broken, err, "%s%s%s", state->why.message,
                               state->why.hint[0] == '\0' ? "" : "; ", state->why.hint));
    }
    *out = table;
    return DL_OK;
}

dl_status dl_lakehouse_query_options(dl_factory *factory, const dl_lakehouse *lakehouse,
                                     dl_arena *arena, dl_query_options *out_options, dl_error *err)
{
    size_t room = lakehouse->shortcut_count + 1, tables = 0, roots = 0;
    dl_query_table *table = dl_arena_alloc(arena, room, sizeof *table);
    dl_query_root *root = dl_arena_alloc(arena, room, sizeof *root);
    if (table == NULL || root == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        way w;
        dl_shortcut_state state;
        DL_TRY(resolve(factory, &lakehouse->shortcuts[i], arena, &w, &state, err));
        if (state.shortcut->kind == DL_SHORTCUT_TABLES) {
            DL_TRY(add_table(&w, &state, lakehouse->name, &table[tables++], err));
        } else if (!state.broken) {
            root[roots++] = (dl_query_root){.name = state.shortcut->name, .folder = state.folder};
        }
    }
    out_options->no_tables = lakehouse->implied
                                 ? DL_STR("dicomlake sync makes them of what is stored")
                                 : DL_STR("dicomlake shortcut add joins some to the lakehouse");
    out_options->tables = table;
    out_options->table_count = tables;
    out_options->roots = root;
    out_options->root_count = roots;
    return DL_OK;
}
