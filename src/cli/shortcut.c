/* dicomlake shortcut ...: what a lakehouse joins: tables and folders, by connection and path. */
#include "cli/lakehouse.h"
#include "cli/table.h"

#include <string.h>

enum { ARGS_LIMIT = 64 };

typedef struct shortcut_options {
    dl_cli_factory_where where;
    const char *to, *name, *connection, *path;
} shortcut_options;

static const shortcut_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(shortcut_options, where),
    {"to", "KIND", "add, remove, test: tables, for a Delta table, or files, for a folder", DL_CLI_TEXT, 0, offsetof(shortcut_options, to), 0, 0},
    {"name", "NAME", "add: what it is called (default: the last part of the path)", DL_CLI_TEXT, 0, offsetof(shortcut_options, name), 0, 0},
    {"connection", "NAME", "add: a connection of type lake, or home: for this home's own tables and files", DL_CLI_TEXT, 0, offsetof(shortcut_options, connection), 0, 0},
    {"path", "PATH", "add: container and folder, as in /dicom/instance or /dicom/AHDS", DL_CLI_TEXT, 0, offsetof(shortcut_options, path), 0, 0},
};
/* clang-format on */

static const char *kind_word(dl_shortcut_kind kind)
{
    return kind == DL_SHORTCUT_TABLES ? "Tables" : "Files";
}

static dl_status read_kind(const char *text, dl_shortcut_kind *out_kind, dl_error *err)
{
    dl_str word = dl_str_of(text);
    if (dl_str_eq_nocase(word, DL_STR("tables"))) {
        *out_kind = DL_SHORTCUT_TABLES;
    } else if (dl_str_eq_nocase(word, DL_STR("files"))) {
        *out_kind = DL_SHORTCUT_FILES;
    } else {
        return dl_error_set(err, DL_E_INVALID, "--to %s: not tables or files", text);
    }
    return DL_OK;
}

/* ---- add ---- */

static dl_str last_part(dl_str path)
{
    size_t at = path.len;
    while (at > 0 && path.ptr[at - 1] != '/') {
        at--;
    }
    return dl_str_slice(path, at, path.len);
}

static dl_status read_shortcut(const shortcut_options *o, dl_shortcut *out, dl_error *err)
{
    dl_shortcut s = {.connection = dl_str_of(o->connection), .subpath = dl_str_of(o->path)};
    if (o->to == NULL || o->connection == NULL || o->path == NULL) {
        (void)dl_error_set(err, DL_E_INVALID,
                           "shortcut add: --to, --connection and --path are needed");
        dl_error_hint(err, "as in --to tables --connection lake --path /dicom/instance");
        return DL_E_INVALID;
    }
    DL_TRY(read_kind(o->to, &s.kind, err));
    s.name = o->name != NULL ? dl_str_of(o->name) : last_part(s.subpath);
    *out = s;
    return DL_OK;
}

static dl_status add(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    dl_shortcut shortcut;
    dl_shortcut_state state;
    DL_TRY(read_shortcut(given, &shortcut, err));
    DL_TRY(dl_shortcut_add(f->factory, dl_str_of(args->items[0]), &shortcut, err));
    DL_TRY(dl_shortcut_resolve(f->factory, &shortcut, f->arena, &state, err));
    dl_shortcut_write_state(&f->w, &state);
    if (!state.broken) {
        dl_cli_factory_say(f, "%s/%.*s leads to %.*s", kind_word(shortcut.kind),
                           DL_STR_ARG(shortcut.name), DL_STR_ARG(state.folder));
        return DL_OK;
    }
    dl_cli_factory_say(f, "%s/%.*s is added, and leads nowhere yet: %s%s%s",
                       kind_word(shortcut.kind), DL_STR_ARG(shortcut.name), state.why.message,
                       state.why.hint[0] == '\0' ? "" : "; ", state.why.hint);
    return DL_OK;
}

/* ---- list ---- */

static dl_status list(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    static const dl_cli_column titles[] = {{"PATH", false, 0},
                                           {"NAME", false, 0},
                                           {"CONNECTION", false, 0},
                                           {"SUB PATH", false, 0},
                                           {"STATE", false, 0}};
    dl_lakehouse lakehouse = {0};
    dl_str name = args->count > 0 ? dl_str_of(args->items[0]) : DL_STR("");
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_lakehouse_choose(f->factory, name, f->arena, &lakehouse, err));
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < lakehouse.shortcut_count; i++) {
        const dl_shortcut *s = &lakehouse.shortcuts[i];
        dl_shortcut_state state;
        dl_str text = DL_STR("ok");
        DL_TRY(dl_shortcut_resolve(f->factory, s, f->arena, &state, err));
        dl_shortcut_write_state(&f->w, &state);
        if (state.broken) {
            DL_TRY(dl_arena_printf(f->arena, &text, err, "broken: %s", state.why.message));
        }
        const dl_str cells[] = {dl_str_of(kind_word(s->kind)), s->name, s->connection, s->subpath,
                                text};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

/* ---- remove, test ---- */

/** The shortcut of a name; of two that have it, --to says which. */
static dl_status find(const shortcut_options *o, const dl_lakehouse *lakehouse, const char *name,
                      const dl_shortcut **out, dl_error *err)
{
    dl_shortcut_kind kind = DL_SHORTCUT_TABLES;
    const dl_shortcut *files = NULL;
    if (o->to != NULL) {
        DL_TRY(read_kind(o->to, &kind, err));
        return dl_lakehouse_find(lakehouse, kind, dl_str_of(name), out, err);
    }
    bool has_files =
        dl_lakehouse_find(lakehouse, DL_SHORTCUT_FILES, dl_str_of(name), &files, NULL) == DL_OK;
    dl_status status = dl_lakehouse_find(lakehouse, DL_SHORTCUT_TABLES, dl_str_of(name), out, err);
    if (status == DL_OK && has_files) {
        (void)dl_error_set(err, DL_E_INVALID, "there is a %s under Tables and one under Files",
                           name);
        dl_error_hint(err, "say which one: --to tables or --to files");
        return DL_E_INVALID;
    }
    if (status == DL_E_NOT_FOUND && has_files) {
        dl_error_clear(err);
        *out = files;
        return DL_OK;
    }
    return status;
}

static dl_status remove_some(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                             dl_error *err)
{
    dl_lakehouse lakehouse = {0};
    DL_TRY(dl_lakehouse_get(f->factory, dl_str_of(args->items[0]), f->arena, &lakehouse, err));
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("removed"));
    dl_json_array_begin(&f->w);
    for (size_t i = 1; i < args->count; i++) {
        const dl_shortcut *s = NULL;
        DL_TRY(find(given, &lakehouse, args->items[i], &s, err));
        DL_TRY(dl_shortcut_remove(f->factory, lakehouse.name, s->kind, s->name, err));
        dl_cli_factory_say(f, "%s/%.*s removed; what it led to stays", kind_word(s->kind),
                           DL_STR_ARG(s->name));
        dl_json_string(&f->w, s->name);
    }
    dl_json_array_end(&f->w);
    dl_json_object_end(&f->w);
    return DL_OK;
}

static dl_status test_one(dl_cli_factory *f, const dl_shortcut *s, dl_error *err)
{
    dl_shortcut_state state;
    DL_TRY(dl_shortcut_test(f->factory, s, f->arena, &state, err));
    dl_shortcut_write_state(&f->w, &state);
    if (state.broken) {
        dl_cli_lakehouse_complain(f, &state);
        f->code = DL_CLI_FAILED;
    } else {
        dl_cli_factory_say(f, "%s/%.*s is in order: %.*s", kind_word(s->kind), DL_STR_ARG(s->name),
                           DL_STR_ARG(state.folder));
    }
    return DL_OK;
}

static dl_status test(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    dl_lakehouse lakehouse = {0};
    DL_TRY(dl_lakehouse_get(f->factory, dl_str_of(args->items[0]), f->arena, &lakehouse, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 1; i < args->count; i++) {
        const dl_shortcut *s = NULL;
        DL_TRY(find(given, &lakehouse, args->items[i], &s, err));
        DL_TRY(test_one(f, s, err));
    }
    for (size_t i = 0; args->count == 1 && i < lakehouse.shortcut_count; i++) {
        DL_TRY(test_one(f, &lakehouse.shortcuts[i], err));
    }
    dl_json_array_end(&f->w);
    return DL_OK;
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"add", "LAKEHOUSE --to tables|files --connection NAME --path PATH", 1, 1, DL_CLI_HOME_THERE,
     add},
    {"list", "[LAKEHOUSE]", 0, 1, DL_CLI_HOME_THERE, list},
    {"remove", "LAKEHOUSE NAME...", 2, ARGS_LIMIT, DL_CLI_HOME_THERE, remove_some},
    {"test", "LAKEHOUSE [NAME]...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, test},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_shortcut, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_shortcut = {
    .name = "shortcut",
    .synopsis = "ACTION [LAKEHOUSE] [NAME]...",
    .summary = "Join tables and folders to a lakehouse, by connection and path.",
    .details = "ACTION is add, list, remove or test.\n"
               "What it leads to is not copied, and need not be there yet.\n"
               "Exit codes: 0 done, 1 failed or the test did, 2 wrong usage.",
    .example = "dicomlake shortcut add research --to tables --name instance --connection lake "
               "--path /dicom/instance",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(shortcut_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
