/* Where the tables of `dicomlake sql` are. */
#include "cli/sql.h"
#include "lakehouse/lakehouse.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096, ENTRY_LIMIT = 10000 };

/* A lake's folders: DIR/{container}/{table}. */
typedef struct finder {
    dl_arena *arena;
    dl_query_table *tables;
    size_t table_count;
    dl_query_root *roots;
    size_t root_count;
} finder;

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static void close_factory(dl_factory **factory)
{
    dl_factory_close(*factory);
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static dl_status join(char out[PATH_SIZE], const char *folder, const char *name, dl_error *err)
{
    if ((size_t)snprintf(out, PATH_SIZE, "%s/%s", folder, name) >= PATH_SIZE) {
        return dl_error_set(err, DL_E_INVALID, "a path below the lake is too long");
    }
    return DL_OK;
}

static int by_name(const void *a, const void *b)
{
    return dl_str_compare(*(const dl_str *)a, *(const dl_str *)b);
}

/** Names of the folders in a folder, in order, so that a lake always gives the same names. */
static dl_status list(dl_arena *arena, const char *path, dl_str **out_names, size_t *out_count,
                      dl_error *err)
{
    dl_str *names = dl_arena_alloc(arena, ENTRY_LIMIT, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t count = 0;
    DL_CLEANUP(close_folder) DIR *folder = opendir(path);
    if (folder == NULL) {
        return dl_error_errno(err, errno, "cannot list the folder %s", path);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder); // NOLINT(concurrency-mt-unsafe): own stream
        if (entry == NULL && errno != 0) {
            return dl_error_errno(err, errno, "cannot list the folder %s", path);
        }
        if (entry == NULL || count == ENTRY_LIMIT) {
            break;
        }
        char child[PATH_SIZE];
        DL_TRY(join(child, path, entry->d_name, err));
        if (entry->d_name[0] != '.' && is_folder(child)) {
            DL_TRY(dl_arena_copy(arena, dl_str_of(entry->d_name), &names[count++], err));
        }
    }
    qsort(names, count, sizeof *names, by_name);
    *out_names = names;
    *out_count = count;
    return DL_OK;
}

static bool is_taken(const finder *f, dl_str name)
{
    for (size_t i = 0; i < f->table_count; i++) {
        if (dl_str_eq_nocase(f->tables[i].name, name)) {
            return true;
        }
    }
    return false;
}

/** The name of the folder; of a second one container_name. */
static dl_status add_table(finder *f, dl_str container, dl_str name, const char *path,
                           dl_error *err)
{
    if (f->table_count == DL_QUERY_TABLE_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "there are more than %d tables", DL_QUERY_TABLE_LIMIT);
    }
    dl_query_table table = {.schema = container, .name = name, .set = container};
    for (size_t n = 1; is_taken(f, table.name); n++) {
        DL_TRY(n == 1 ? dl_arena_printf(f->arena, &table.name, err, "%.*s_%.*s",
                                        DL_STR_ARG(container), DL_STR_ARG(name))
                      : dl_arena_printf(f->arena, &table.name, err, "%.*s_%.*s_%zu",
                                        DL_STR_ARG(container), DL_STR_ARG(name), n));
    }
    DL_TRY(dl_arena_copy(f->arena, dl_str_of(path), &table.folder, err));
    f->tables[f->table_count++] = table;
    return DL_OK;
}

static dl_status add_root(finder *f, const char *path, dl_error *err)
{
    if (!is_folder(path) || f->root_count == ENTRY_LIMIT) {
        return DL_OK;
    }
    dl_query_root root = {.name = DL_STR("AHDS")};
    DL_TRY(dl_arena_copy(f->arena, dl_str_of(path), &root.folder, err));
    f->roots[f->root_count++] = root;
    return DL_OK;
}

static dl_status find_container(finder *f, const char *lake, dl_str container, dl_error *err)
{
    char folder[PATH_SIZE];
    char path[PATH_SIZE];
    char log[PATH_SIZE];
    DL_TRY(join(folder, lake, container.ptr, err));
    dl_str *names = NULL;
    size_t count = 0;
    DL_TRY(list(f->arena, folder, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(join(path, folder, names[i].ptr, err));
        DL_TRY(join(log, path, "_delta_log", err));
        if (names[i].len <= DL_QUERY_NAME_LIMIT && is_folder(log)) {
            DL_TRY(add_table(f, container, names[i], path, err));
        }
    }
    DL_TRY(join(path, folder, "AHDS", err));
    return add_root(f, path, err);
}

/** All tables DIR/{container}/{name}, and the DICOM files beside them. */
static dl_status find_lake(finder *f, const char *lake, dl_error *err)
{
    dl_str *names = NULL;
    size_t count = 0;
    DL_TRY(list(f->arena, lake, &names, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(find_container(f, lake, names[i], err));
    }
    return DL_OK;
}

static dl_status absolute(const char *path, char out[PATH_SIZE], dl_error *err)
{
    static_assert(PATH_SIZE >= PATH_MAX, "realpath writes up to PATH_MAX");
    if (realpath(path, out) != NULL) {
        return DL_OK;
    }
    dl_status status = dl_error_errno(err, errno, "cannot find the folder %s", path);
    dl_error_hint(err, "dicomlake import makes a home, dicomlake sync its tables");
    return status;
}

/** A lakehouse of the home: the named one, the only one, or the home's own. */
static dl_status find_home(const dl_cli_sql *sql, const char *home, dl_query_options *out_options,
                           dl_error *err)
{
    dl_lakehouse lakehouse = {0};
    DL_CLEANUP(close_factory) dl_factory *factory = NULL;
    const dl_factory_options options = {.home = home, .clock = dl_clock_system()};
    DL_TRY(dl_factory_open(&options, &factory, err));
    DL_TRY(dl_lakehouse_choose(factory, dl_str_of(sql->o->lakehouse), sql->arena, &lakehouse, err));
    return dl_lakehouse_query_options(factory, &lakehouse, sql->arena, out_options, err);
}

static dl_status no_place(dl_error *err)
{
    (void)dl_error_set(err, DL_E_INVALID, "no archive and no lake named");
    dl_error_hint(err, "give --home DIR or --lake DIR, or set DICOMLAKE_HOME");
    return DL_E_INVALID;
}

dl_status dl_cli_sql_where(dl_cli_sql *sql, dl_query_options *out_options, dl_error *err)
{
    char place[PATH_SIZE];
    if (sql->o->lake != NULL && sql->o->lakehouse != NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "--lake and --lakehouse exclude each other");
        dl_error_hint(err, "a lakehouse is one of a home: --home DIR --lakehouse NAME");
        return DL_E_INVALID;
    }
    if (sql->o->lake == NULL && sql->home == NULL) {
        return no_place(err);
    }
    DL_TRY(absolute(sql->o->lake != NULL ? sql->o->lake : sql->home, place, err));
    if (sql->o->lake == NULL) {
        return find_home(sql, place, out_options, err);
    }
    finder f = {.arena = sql->arena,
                .tables = dl_arena_alloc(sql->arena, DL_QUERY_TABLE_LIMIT, sizeof *f.tables),
                .roots = dl_arena_alloc(sql->arena, ENTRY_LIMIT, sizeof *f.roots)};
    if (f.tables == NULL || f.roots == NULL) {
        return dl_arena_full(sql->arena, err);
    }
    DL_TRY(find_lake(&f, place, err));
    out_options->no_tables = DL_STR("dicomlake sync --lake DIR makes them there");
    out_options->tables = f.tables;
    out_options->table_count = f.table_count;
    out_options->roots = f.roots;
    out_options->root_count = f.root_count;
    return DL_OK;
}
