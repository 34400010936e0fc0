/* dicomlake notebook ...: notebooks of SQL made, run, listed and converted. */
#include "cli/factory.h"
#include "cli/table.h"
#include "cli/text.h"

#include "base/file.h"
#include "lakehouse/lakehouse.h"
#include "notebook/notebook.h"
#include "query/seal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTEBOOK_ARENA_BYTES ((size_t)1 << 30)
enum { PATH_SIZE = 4096, ENTRY_LIMIT = 10000, ARGS_LIMIT = 2 };

typedef struct notebook_options {
    dl_cli_factory_where where;
    const char *lakehouse, *from, *to, *output, *timeout;
    dl_cli_list parameters;
    bool go_on;
} notebook_options;

static const notebook_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(notebook_options, where),
    {"lakehouse", "NAME", "whose tables and notebooks (default: the only one, or the home's own)", DL_CLI_TEXT, 0, offsetof(notebook_options, lakehouse), 0, 0},
    {"from", "TEMPLATE", "new: begin as a template that comes with the program, or another notebook", DL_CLI_TEXT, 0, offsetof(notebook_options, from), 0, 0},
    {"parameter", "NAME=VALUE", "run: another value of a parameter; may be repeated", DL_CLI_LIST, 'p', offsetof(notebook_options, parameters), 0, 0},
    {"output", "FILE", "run, convert: write here (default: the notebook itself; standard output)", DL_CLI_TEXT, 'o', offsetof(notebook_options, output), 0, 0},
    {"go-on", NULL, "run: go on after a cell that failed", DL_CLI_SWITCH, 0, offsetof(notebook_options, go_on), 0, 0},
    {"timeout", "TIME", "run: fail a statement that takes longer: 30s, 5m", DL_CLI_TEXT, 0, offsetof(notebook_options, timeout), 0, 0},
    {"to", "FORM", "convert: sql, markdown, html or ipynb (default: by the ending of --output)", DL_CLI_TEXT, 0, offsetof(notebook_options, to), 0, 0},
};
/* clang-format on */

/* ---- where notebooks are ---- */

static bool is_path(const char *word)
{
    return strchr(word, '/') != NULL || strchr(word, '.') != NULL;
}

static const char *home_of(const dl_cli_factory *f, const notebook_options *o)
{
    return o->where.home != NULL ? o->where.home : f->cli->env_home;
}

/* The factory of the home, for actions that may do without one; opened once. */
static dl_status open_factory(dl_cli_factory *f, const notebook_options *o, dl_error *err)
{
    struct stat info;
    if (f->factory != NULL) {
        return DL_OK;
    }
    f->home = home_of(f, o);
    if (f->home == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "no home named");
        dl_error_hint(err, "give --home DIR, or set DICOMLAKE_HOME");
        return DL_E_INVALID;
    }
    if (stat(f->home, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return dl_error_set(err, DL_E_NOT_FOUND, "no home in %s", f->home);
    }
    const dl_factory_options options_ = {.home = f->home, .clock = dl_clock_system()};
    return dl_factory_open(&options_, &f->factory, err);
}

static dl_status choose_lakehouse(dl_cli_factory *f, const notebook_options *o, dl_lakehouse *out,
                                  dl_error *err)
{
    DL_TRY(open_factory(f, o, err));
    return dl_lakehouse_choose(f->factory, dl_str_of(o->lakehouse), f->arena, out, err);
}

static dl_status notebook_folder(dl_cli_factory *f, const notebook_options *o, dl_str *out_folder,
                                 dl_error *err)
{
    dl_lakehouse lakehouse;
    DL_TRY(choose_lakehouse(f, o, &lakehouse, err));
    return dl_arena_printf(f->arena, out_folder, err, "%s/lakehouse/%.*s/notebooks", f->home,
                           DL_STR_ARG(lakehouse.name));
}

static dl_status check_name(const char *name, dl_error *err)
{
    for (const char *c = name; *c != '\0'; c++) {
        bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
        if (!fine) {
            (void)dl_error_set(err, DL_E_INVALID,
                               "the name of a notebook has letters, digits, '-' and '_'");
            dl_error_hint(err, "a path has a slash or an ending: ./look.ipynb");
            return DL_E_INVALID;
        }
    }
    size_t len = strlen(name);
    return len >= 1 && len <= DL_LAKEHOUSE_NAME_LIMIT
               ? DL_OK
               : dl_error_set(err, DL_E_INVALID, "the name of a notebook has 1 to %d characters",
                              DL_LAKEHOUSE_NAME_LIMIT);
}

/* FILE is itself, NAME is HOME/lakehouse/LAKEHOUSE/notebooks/NAME.ipynb. */
static dl_status path_of(dl_cli_factory *f, const notebook_options *o, const char *word,
                         dl_str *out_path, dl_error *err)
{
    dl_str folder;
    if (is_path(word)) {
        return dl_arena_copy(f->arena, dl_str_of(word), out_path, err);
    }
    DL_TRY(check_name(word, err));
    DL_TRY(notebook_folder(f, o, &folder, err));
    return dl_arena_printf(f->arena, out_path, err, "%.*s/%s.ipynb", DL_STR_ARG(folder), word);
}

/* ---- reading and writing ---- */

static dl_status read_file(const char *path, dl_arena *arena, dl_notebook *out, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_NOTEBOOK_LIMIT_BYTES);
    DL_TRY(dl_file_read_all(path, &text, err));
    dl_status status = dl_str_ends(dl_str_of(path), DL_STR(".sql"))
                           ? dl_notebook_from_script(dl_buf_str(&text), arena, out, err)
                           : dl_notebook_read(dl_buf_str(&text), arena, out, err);
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "reading %s", path);
}

/* A new file, never over one that is there. */
static dl_status write_new(const char *path, dl_str content, dl_error *err)
{
    struct stat info;
    if (lstat(path, &info) == 0) {
        (void)dl_error_set(err, DL_E_EXISTS, "%s is there already", path);
        dl_error_hint(err, "give another name, or remove it first");
        return DL_E_EXISTS;
    }
    return dl_file_replace(path, content, err);
}

static void put_member(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, text);
}

/* ---- new ---- */

/* "/a/first-look.ipynb": "first-look". */
static dl_str title_of(dl_str path)
{
    const char *slash = memrchr(path.ptr, '/', path.len);
    dl_str name = slash == NULL ? path : dl_str_of(slash + 1);
    return dl_str_ends(name, DL_STR(".ipynb")) ? dl_str_slice(name, 0, name.len - 6) : name;
}

static dl_status make_new(dl_cli_factory *f, const notebook_options *o, dl_str path,
                          dl_notebook *out, dl_error *err)
{
    dl_lakehouse lakehouse;
    dl_query_options query = {0};
    const char *home = home_of(f, o);
    if (home != NULL || f->factory != NULL) {
        DL_TRY(choose_lakehouse(f, o, &lakehouse, err));
        DL_TRY(dl_lakehouse_query_options(f->factory, &lakehouse, f->arena, &query, err));
    }
    return dl_notebook_make(title_of(path), query.tables, query.table_count, f->arena, out, err);
}

static dl_status no_template(const char *name, dl_error *err)
{
    (void)dl_error_set(err, DL_E_NOT_FOUND, "no template %.60s", name);
    dl_error_hint(err, "dicomlake notebook templates lists them");
    return DL_E_NOT_FOUND;
}

static dl_status begin_new(dl_cli_factory *f, const notebook_options *o, dl_str path,
                           dl_arena *arena, dl_notebook *out, dl_error *err)
{
    if (o->from == NULL) {
        return make_new(f, o, path, out, err);
    }
    const dl_notebook_template *template_ = dl_notebook_template_find(dl_str_of(o->from));
    if (template_ != NULL) {
        return dl_notebook_read(template_->json, arena, out, err);
    }
    if (!is_path(o->from)) {
        return no_template(o->from, err);
    }
    return read_file(o->from, arena, out, err);
}

static dl_status make(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    const notebook_options *o = given;
    dl_str path, folder;
    dl_notebook notebook;
    DL_AUTO(dl_arena) arena = dl_arena_create(NOTEBOOK_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    DL_TRY(path_of(f, o, args->items[0], &path, err));
    DL_TRY(begin_new(f, o, path, arena, &notebook, err));
    if (!is_path(args->items[0])) {
        DL_TRY(notebook_folder(f, o, &folder, err));
        DL_TRY(dl_file_make_dirs(folder.ptr, err));
    }
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_NOTEBOOK_LIMIT_BYTES);
    DL_TRY(dl_notebook_write(&notebook, &text, err));
    DL_TRY(write_new(path.ptr, dl_buf_str(&text), err));
    dl_cli_factory_say(f, "%.*s made; dicomlake notebook run %s runs it", DL_STR_ARG(path),
                       args->items[0]);
    dl_json_object_begin(&f->w);
    put_member(&f->w, "path", path);
    dl_json_object_end(&f->w);
    return DL_OK;
}

/* ---- list, templates ---- */

typedef struct listing {
    char *names[ENTRY_LIMIT];
    size_t count;
} listing;

static int compare_names(const void *a, const void *b)
{
    char *const *one = a, *const *other = b;
    return strcmp(*one, *other);
}

static dl_status read_folder(DIR *folder, dl_arena *arena, listing *out, dl_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder); /* NOLINT(concurrency-mt-unsafe) */
        if (entry == NULL) {
            return errno == 0 ? DL_OK : dl_error_errno(err, errno, "cannot list notebooks");
        }
        dl_str name = dl_str_of(entry->d_name), copy;
        if (!dl_str_ends(name, DL_STR(".ipynb")) || name.ptr[0] == '.') {
            continue;
        }
        if (out->count == ENTRY_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "more than %d notebooks", ENTRY_LIMIT);
        }
        char *kept = dl_arena_alloc(arena, name.len + 1, 1);
        if (kept == NULL) {
            return dl_arena_full(arena, err);
        }
        copy = dl_str_slice(name, 0, name.len - 6);
        memcpy(kept, copy.ptr, copy.len);
        out->names[out->count++] = kept;
    }
}

static void close_folder(DIR **folder)
{
    if (*folder != NULL) {
        (void)closedir(*folder);
    }
}

static dl_status read_names(const char *path, dl_arena *arena, listing *out, dl_error *err)
{
    DL_CLEANUP(close_folder) DIR *folder = opendir(path);
    if (folder == NULL) {
        return errno == ENOENT ? DL_OK : dl_error_errno(err, errno, "cannot list %s", path);
    }
    DL_TRY(read_folder(folder, arena, out, err));
    qsort(out->names, out->count, sizeof *out->names, compare_names);
    return DL_OK;
}

static dl_status list_one(dl_cli_factory *f, dl_str folder, const char *name, dl_cli_table *table,
                          dl_error *err)
{
    dl_str path;
    struct stat info = {0};
    char time[DL_CLOCK_TEXT_SIZE], size[32];
    DL_TRY(dl_arena_printf(f->arena, &path, err, "%.*s/%s.ipynb", DL_STR_ARG(folder), name));
    if (stat(path.ptr, &info) != 0) {
        return DL_OK; /* removed meanwhile */
    }
    dl_cli_format_time((int64_t)info.st_mtim.tv_sec * 1000000, time);
    (void)snprintf(size, sizeof size, "%lld", (long long)info.st_size);
    const dl_str cells[] = {dl_str_of(name), dl_str_of(size), dl_str_of(time)};
    DL_TRY(dl_cli_table_add(table, cells, err));
    dl_json_object_begin(&f->w);
    put_member(&f->w, "name", dl_str_of(name));
    put_member(&f->w, "path", path);
    dl_json_key(&f->w, DL_STR("sizeBytes"));
    dl_json_int(&f->w, info.st_size);
    put_member(&f->w, "changed", dl_str_of(time));
    dl_json_object_end(&f->w);
    return DL_OK;
}

static dl_status list(dl_cli_factory *f, const void *given, DL_UNUSED const dl_cli_args *args,
                      dl_error *err)
{
    static const dl_cli_column titles[] = {
        {"NAME", false, 0}, {"BYTES", true, 0}, {"CHANGED", false, 0}};
    dl_str folder;
    listing *names = dl_arena_alloc(f->arena, 1, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(f->arena, err);
    }
    DL_TRY(notebook_folder(f, given, &folder, err));
    DL_TRY(read_names(folder.ptr, f->arena, names, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < names->count; i++) {
        DL_TRY(list_one(f, folder, names->names[i], table, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

static dl_status templates(dl_cli_factory *f, DL_UNUSED const void *given,
                           DL_UNUSED const dl_cli_args *args, dl_error *err)
{
    static const dl_cli_column titles[] = {{"TEMPLATE", false, 0}, {"WHAT IT SHOWS", false, 0}};
    size_t count = 0;
    const dl_notebook_template *all = dl_notebook_templates(&count);
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        const dl_str cells[] = {dl_str_of(all[i].name), dl_str_of(all[i].summary)};
        DL_TRY(dl_cli_table_add(table, cells, err));
        dl_json_object_begin(&f->w);
        put_member(&f->w, "name", cells[0]);
        put_member(&f->w, "summary", cells[1]);
        dl_json_object_end(&f->w);
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

/* ---- convert ---- */

static const struct {
    const char *name, *ending;
    dl_notebook_form form;
} forms[] = {{"sql", ".sql", DL_NOTEBOOK_SQL_SCRIPT},
             {"markdown", ".md", DL_NOTEBOOK_MARKDOWN_TEXT},
             {"html", ".html", DL_NOTEBOOK_HTML_PAGE},
             {"ipynb", ".ipynb", DL_NOTEBOOK_IPYNB}};

static dl_status choose_form(const notebook_options *o, dl_notebook_form *out, dl_error *err)
{
    for (size_t i = 0; i < DL_COUNT_OF(forms); i++) {
        bool named = o->to != NULL && strcmp(o->to, forms[i].name) == 0;
        bool ends = o->to == NULL && o->output != NULL &&
                    dl_str_ends(dl_str_of(o->output), dl_str_of(forms[i].ending));
        if (named || ends) {
            *out = forms[i].form;
            return DL_OK;
        }
    }
    return dl_error_set(err, DL_E_INVALID, "--to %s: not sql, markdown, html or ipynb",
                        o->to == NULL ? "is missing" : o->to);
}

static dl_status convert(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                         dl_error *err)
{
    const notebook_options *o = given;
    dl_notebook_form form = DL_NOTEBOOK_IPYNB;
    dl_notebook notebook;
    dl_str path;
    DL_AUTO(dl_arena) arena = dl_arena_create(NOTEBOOK_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    DL_TRY(choose_form(o, &form, err));
    DL_TRY(path_of(f, o, args->items[0], &path, err));
    DL_TRY(read_file(path.ptr, arena, &notebook, err));
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, (size_t)4 * DL_NOTEBOOK_LIMIT_BYTES);
    DL_TRY(dl_notebook_convert(&notebook, form, &text, err));
    if (o->output != NULL) {
        return dl_file_replace(o->output, dl_buf_str(&text), err);
    }
    (void)fwrite(text.ptr, 1, text.len, f->cli->out); /* what fails is told at the end */
    return DL_OK;
}

/* ---- run ---- */

typedef struct running {
    dl_cli_factory *f;
    const notebook_options *o;
    dl_notebook notebook;
    dl_arena *arena;
    dl_query *query;
    dl_str path, output;
    dl_notebook_ran ran;
    bool shows; /* progress, on a terminal */
    size_t parameter_count;
    dl_notebook_parameter parameters[DL_CLI_LIST_LIMIT];
} running;

static dl_status read_parameters(running *r, dl_error *err)
{
    const dl_cli_list *list = &r->o->parameters;
    for (size_t i = 0; i < list->count; i++) {
        dl_str word = dl_str_of(list->items[i]);
        ptrdiff_t at = dl_str_find(word, '=');
        if (at <= 0) {
            return dl_error_set(err, DL_E_INVALID, "--parameter %s: not of the form name=value",
                                list->items[i]);
        }
        r->parameters[r->parameter_count++] = (dl_notebook_parameter){
            dl_str_slice(word, 0, (size_t)at), dl_str_slice(word, (size_t)at + 1, word.len)};
    }
    return DL_OK;
}

static dl_status open_query(running *r, dl_error *err)
{
    dl_lakehouse lakehouse;
    dl_query_options query = {.clock = dl_clock_system(), .cancel = r->f->cli->stop};
    if (r->o->timeout != NULL) {
        int64_t us = 0;
        DL_TRY(dl_cli_parse_duration("--timeout", dl_str_of(r->o->timeout), false, &us, err));
        if (us < 1000 || us / 1000 > UINT32_MAX) {
            return dl_error_set(err, DL_E_INVALID, "--timeout %s: from 1s to 7w", r->o->timeout);
        }
        query.limits.time_ms = (uint32_t)(us / 1000);
    }
    DL_TRY(choose_lakehouse(r->f, r->o, &lakehouse, err));
    DL_TRY(dl_lakehouse_query_options(r->f->factory, &lakehouse, r->f->arena, &query, err));
    DL_TRY(dl_query_open(&query, &r->query, err));
    dl_factory_close(r->f->factory); /* nothing of it is open when the process is sealed */
    r->f->factory = NULL;
    return DL_OK;
}

/* From here on nothing is written but the notebook's folder. */
static dl_status seal(running *r, dl_error *err)
{
    const char *slash = strrchr(r->output.ptr, '/');
    dl_str folder = DL_STR(".");
    if (slash != NULL) {
        DL_TRY(dl_arena_copy(r->f->arena,
                             dl_str_slice(r->output, 0, (size_t)(slash - r->output.ptr) + 1),
                             &folder, err));
    }
#ifdef DL_CLI_SEALS
    const char *const write[] = {folder.ptr};
    const dl_query_seal_options options_ = {.write = write, .write_count = 1};
    dl_query_sealed sealed = {0};
    return dl_query_seal(r->query, &options_, &sealed, err);
#else
    return DL_OK;
#endif
}

static void show_cell(void *context, size_t index, bool done)
{
    const running *r = context;
    if (r->shows && !done) {
        (void)fprintf(r->f->cli->err, "\rcell %zu of %zu ", index + 1, r->notebook.cell_count);
        (void)fflush(r->f->cli->err);
    }
}

static dl_status run_cells(running *r, dl_error *err)
{
    const dl_notebook_run_options options_ = {.query = r->query,
                                              .parameters = r->parameters,
                                              .parameter_count = r->parameter_count,
                                              .go_on = r->o->go_on,
                                              .cancel = r->f->cli->stop,
                                              .on_cell = show_cell,
                                              .context = r};
    r->shows = isatty(fileno(r->f->cli->err)) == 1;
    dl_status status = dl_notebook_run(&r->notebook, &options_, r->arena, &r->ran, err);
    if (r->shows) {
        (void)fprintf(r->f->cli->err, "\r\x1b[K");
    }
    return status;
}

static dl_status save(running *r, dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_NOTEBOOK_LIMIT_BYTES);
    DL_TRY(dl_notebook_write(&r->notebook, &text, err));
    return dl_file_replace(r->output.ptr, dl_buf_str(&text), err);
}

static size_t count_other(const dl_notebook *notebook)
{
    size_t count = 0;
    for (size_t i = 0; i < notebook->cell_count; i++) {
        count += notebook->cells[i].kind == DL_NOTEBOOK_CODE &&
                 notebook->cells[i].language == DL_NOTEBOOK_OTHER;
    }
    return count;
}

static void put_number(dl_json_writer *w, const char *key, size_t value)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_int(w, (int64_t)value);
}

static void put_report(running *r)
{
    dl_json_writer *w = &r->f->w;
    dl_json_object_begin(w);
    put_member(w, "path", r->output);
    put_number(w, "cells", r->ran.cells);
    put_number(w, "failed", r->ran.failed);
    put_number(w, "skipped", r->ran.skipped);
    put_number(w, "otherLanguages", count_other(&r->notebook));
    dl_json_key(w, DL_STR("error"));
    if (r->ran.failed == 0) {
        dl_json_null(w);
    } else {
        dl_json_object_begin(w);
        put_number(w, "cell", r->ran.first_failed + 1);
        put_member(w, "id", r->notebook.cells[r->ran.first_failed].id);
        put_member(w, "status", dl_str_of(dl_status_name(r->ran.why.status)));
        put_member(w, "message", dl_str_of(r->ran.why.message));
        put_member(w, "hint", dl_str_of(r->ran.why.hint));
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

static void tell(running *r)
{
    size_t other = count_other(&r->notebook);
    dl_cli_factory_say(r->f, "%zu %s run, %zu failed, %zu skipped: %.*s", r->ran.cells,
                       r->ran.cells == 1 ? "cell" : "cells", r->ran.failed, r->ran.skipped,
                       DL_STR_ARG(r->output));
    if (other > 0) {
        dl_cli_factory_say(r->f, "%zu %s of other languages kept as %s, not run: Jupyter runs %s",
                           other, other == 1 ? "cell" : "cells", other == 1 ? "it is" : "they are",
                           other == 1 ? "it" : "them");
    }
    if (r->ran.failed > 0) {
        dl_error why = r->ran.why;
        (void)fflush(r->f->cli->out);
        (void)dl_error_set(&why, r->ran.why.status, "cell %zu (%.*s): %s", r->ran.first_failed + 1,
                           DL_STR_ARG(r->notebook.cells[r->ran.first_failed].id),
                           r->ran.why.message);
        dl_error_hint(&why, "%s", r->ran.why.hint);
        (void)dl_cli_fail(r->f->cli, &why);
        r->f->code = r->o->go_on ? DL_CLI_PARTLY : DL_CLI_FAILED;
    }
}

static dl_status run_notebook(running *r, const dl_cli_args *args, dl_error *err)
{
    DL_TRY(read_parameters(r, err));
    DL_TRY(path_of(r->f, r->o, args->items[0], &r->path, err));
    r->output = r->o->output == NULL ? r->path : dl_str_of(r->o->output);
    if (!dl_str_ends(r->output, DL_STR(".ipynb"))) {
        (void)dl_error_set(err, DL_E_INVALID, "%s: a notebook that was run ends with .ipynb",
                           r->output.ptr);
        dl_error_hint(err, "give -o FILE.ipynb");
        return DL_E_INVALID;
    }
    DL_TRY(read_file(r->path.ptr, r->arena, &r->notebook, err));
    DL_TRY(open_query(r, err));
    DL_TRY(seal(r, err));
    DL_TRY(run_cells(r, err));
    DL_TRY(save(r, err));
    put_report(r);
    tell(r);
    return DL_OK;
}

static dl_status run_one(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                         dl_error *err)
{
    running *r = dl_arena_alloc(f->arena, 1, sizeof *r);
    DL_AUTO(dl_arena) arena = dl_arena_create(NOTEBOOK_ARENA_BYTES);
    if (r == NULL || arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    *r = (running){.f = f, .o = given, .arena = arena};
    dl_status status = run_notebook(r, args, err);
    dl_query_close(r->query);
    return status;
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"new", "FILE|NAME", 1, 1, DL_CLI_HOME_NONE, make},
    {"run", "FILE|NAME", 1, 1, DL_CLI_HOME_NONE, run_one},
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"convert", "FILE|NAME", 1, 1, DL_CLI_HOME_NONE, convert},
    {"templates", "", 0, 0, DL_CLI_HOME_NONE, templates},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_notebook, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_notebook = {
    .name = "notebook",
    .synopsis = "ACTION [FILE|NAME]",
    .summary = "Make, run, list and convert notebooks of SQL (.ipynb).",
    .details =
        "ACTION is new, run, list, convert or templates.\n"
        "A word without a slash and an ending is a notebook of the lakehouse.\n"
        "Exit codes: 0 done, 1 failed or a cell did, 2 wrong usage, 3 some cells failed with "
        "--go-on.",
    .example = "dicomlake notebook new look --from first-look && dicomlake notebook run look",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(notebook_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
