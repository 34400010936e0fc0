/* dicomlake lakehouse ...: tables and files under names of one's own. */
#include "cli/lakehouse.h"

#include "cli/table.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

enum { ARGS_LIMIT = 64, COUNT_SIZE = 32, AGE_SIZE = 48 };

static const dl_cli_lakehouse_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(dl_cli_lakehouse_options, where),
    {"description", "TEXT", "create: a sentence for people", DL_CLI_TEXT, 0, offsetof(dl_cli_lakehouse_options, description), 0, 0},
    {"lakehouse", "NAME", "files: of this lakehouse (default: the only one, or the home's own)", DL_CLI_TEXT, 0, offsetof(dl_cli_lakehouse_options, lakehouse), 0, 0},
    {"to", "FILE", "files: with get, where to write (default: the file's own name, here)", DL_CLI_TEXT, 0, offsetof(dl_cli_lakehouse_options, to), 0, 0},
    {"after", "NAME", "files: with ls, names after this one", DL_CLI_TEXT, 0, offsetof(dl_cli_lakehouse_options, after), 0, 0},
    {"limit", "N", "files: with ls, at most so many", DL_CLI_NUMBER, 0, offsetof(dl_cli_lakehouse_options, limit), 1, 1000000},
};
/* clang-format on */

/* ---- words ---- */

void dl_cli_lakehouse_complain(dl_cli_factory *f, const dl_shortcut_state *state)
{
    dl_error why = {0};
    const dl_shortcut *s = state->shortcut;
    (void)dl_error_set(&why, state->why.status, "%s/%.*s: %s",
                       s->kind == DL_SHORTCUT_TABLES ? "Tables" : "Files", DL_STR_ARG(s->name),
                       state->why.message);
    dl_error_hint(&why, "%s", state->why.hint);
    (void)fflush(f->cli->out);
    (void)dl_cli_fail(f->cli, &why);
}

dl_status dl_cli_lakehouse_target(dl_cli_factory *f, const dl_shortcut *shortcut, dl_str *out_text,
                                  dl_error *err)
{
    return dl_arena_printf(f->arena, out_text, err, "%.*s %.*s", DL_STR_ARG(shortcut->connection),
                           DL_STR_ARG(shortcut->subpath));
}

/** "1,234,567"; "-" for what is not known. */
static dl_str count_text(int64_t count, char out[COUNT_SIZE])
{
    char digits[COUNT_SIZE];
    size_t at = 0;
    if (count < 0) {
        return DL_STR("-");
    }
    int n = snprintf(digits, sizeof digits, "%" PRId64, count);
    for (int i = 0; i < n && at + 2 < COUNT_SIZE; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    return (dl_str){out, at};
}

static dl_str size_text(int64_t bytes, char out[DL_CLI_AMOUNT_SIZE])
{
    if (bytes < 0) {
        return DL_STR("-");
    }
    dl_cli_text_bytes((uint64_t)bytes, out);
    return dl_str_of(out);
}

/** "3 minutes ago": how long something has been so. */
static dl_str age_text(int64_t since_us, int64_t now_us, char out[AGE_SIZE])
{
    static const struct {
        int64_t seconds;
        const char *word;
    } units[] = {{31557600, "year"}, {2629800, "month"}, {86400, "day"},
                 {3600, "hour"},     {60, "minute"},     {1, "second"}};
    int64_t seconds = (now_us - since_us) / 1000000;
    if (since_us == 0) {
        return DL_STR("-");
    }
    if (seconds < 0) {
        return DL_STR("in the future: see the clocks");
    }
    for (size_t i = 0; i < DL_COUNT_OF(units); i++) {
        int64_t n = seconds / units[i].seconds;
        if (n > 0) {
            (void)snprintf(out, AGE_SIZE, "%" PRId64 " %s%s ago", n, units[i].word,
                           n == 1 ? "" : "s");
            return dl_str_of(out);
        }
    }
    return DL_STR("just now");
}

/* ---- create, remove ---- */

static dl_status put_lakehouse(dl_cli_factory *f, dl_str name, dl_error *err)
{
    dl_lakehouse lakehouse = {0};
    DL_TRY(dl_lakehouse_get(f->factory, name, f->arena, &lakehouse, err));
    dl_lakehouse_write(&f->w, &lakehouse);
    return DL_OK;
}

static dl_status create(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                        dl_error *err)
{
    const dl_cli_lakehouse_options *o = given;
    const dl_lakehouse lakehouse = {.name = dl_str_of(args->items[0]),
                                    .description = dl_str_of(o->description)};
    DL_TRY(dl_lakehouse_put(f->factory, &lakehouse, false, err));
    dl_cli_factory_say(f, "lakehouse %s created; dicomlake shortcut add joins tables and files",
                       args->items[0]);
    return put_lakehouse(f, lakehouse.name, err);
}

static dl_status remove_some(dl_cli_factory *f, DL_UNUSED const void *given,
                             const dl_cli_args *args, dl_error *err)
{
    for (size_t i = 0; i < args->count; i++) {
        DL_TRY(dl_lakehouse_remove(f->factory, dl_str_of(args->items[i]), err));
        dl_cli_factory_say(f, "lakehouse %s removed; tables and files stay where they are",
                           args->items[i]);
    }
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("removed"));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < args->count; i++) {
        dl_json_string(&f->w, dl_str_of(args->items[i]));
    }
    dl_json_array_end(&f->w);
    dl_json_object_end(&f->w);
    return DL_OK;
}

/* ---- list ---- */

typedef struct counts {
    size_t tables, files, broken;
} counts;

static dl_status count_shortcuts(dl_cli_factory *f, const dl_lakehouse *lakehouse, counts *out,
                                 dl_error *err)
{
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        dl_shortcut_state state;
        DL_TRY(dl_shortcut_resolve(f->factory, &lakehouse->shortcuts[i], f->arena, &state, err));
        out->tables += state.shortcut->kind == DL_SHORTCUT_TABLES;
        out->files += state.shortcut->kind == DL_SHORTCUT_FILES;
        out->broken += state.broken;
    }
    return DL_OK;
}

static void put_count(dl_json_writer *w, const char *key, size_t count)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_int(w, (int64_t)count);
}

static void put_listed(dl_json_writer *w, const dl_lakehouse *lakehouse, const counts *n)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, lakehouse->name);
    dl_json_key(w, DL_STR("description"));
    dl_json_string(w, lakehouse->description);
    dl_json_key(w, DL_STR("implied"));
    dl_json_bool(w, lakehouse->implied);
    put_count(w, "tables", n->tables);
    put_count(w, "files", n->files);
    put_count(w, "broken", n->broken);
    dl_json_key(w, DL_STR("fault"));
    if (lakehouse->fault.len > 0) {
        dl_json_string(w, lakehouse->fault);
    } else {
        dl_json_null(w);
    }
    dl_json_object_end(w);
}

static dl_status list(dl_cli_factory *f, DL_UNUSED const void *given,
                      DL_UNUSED const dl_cli_args *args, dl_error *err)
{
    static const dl_cli_column titles[] = {{"NAME", false, 0},
                                           {"TABLES", true, 0},
                                           {"FILES", true, 0},
                                           {"BROKEN", true, 0},
                                           {"DESCRIPTION", false, 60}};
    dl_lakehouse *items = NULL;
    size_t count = 0;
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_lakehouse_list(f->factory, f->arena, &items, &count, err));
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        counts n = {0};
        char text[3][COUNT_SIZE];
        DL_TRY(count_shortcuts(f, &items[i], &n, err));
        put_listed(&f->w, &items[i], &n);
        bool damaged = items[i].fault.len > 0;
        const dl_str cells[] = {items[i].name, count_text((int64_t)n.tables, text[0]),
                                count_text((int64_t)n.files, text[1]),
                                damaged ? DL_STR("damaged")
                                        : count_text((int64_t)n.broken, text[2]),
                                damaged ? items[i].fault : items[i].description};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

/* ---- show ---- */

static dl_status print_tables(dl_cli_factory *f, const dl_lakehouse_table *tables, size_t count,
                              dl_error *err)
{
    static const dl_cli_column titles[] = {{"TABLE", false, 0},   {"ROWS", true, 0},
                                           {"SIZE", true, 0},     {"FILES", true, 0},
                                           {"VERSION", true, 0},  {"WATERMARK", true, 0},
                                           {"CHANGED", false, 0}, {"LEADS TO", false, 0}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    int64_t now_us = dl_factory_now_us(f->factory);
    for (size_t i = 0; i < count; i++) {
        const dl_lakehouse_table *t = &tables[i];
        char rows[COUNT_SIZE], files[COUNT_SIZE], version[COUNT_SIZE], mark[COUNT_SIZE];
        char size[DL_CLI_AMOUNT_SIZE], age[AGE_SIZE];
        dl_str target = DL_STR_NONE;
        DL_TRY(dl_cli_lakehouse_target(f, t->state.shortcut, &target, err));
        const dl_str cells[] = {t->state.shortcut->name,
                                count_text(t->row_count, rows),
                                size_text(t->size_bytes, size),
                                count_text(t->file_count, files),
                                count_text(t->version, version),
                                count_text(t->watermark == 0 ? -1 : t->watermark, mark),
                                t->state.broken ? DL_STR("broken: see below")
                                                : age_text(t->changed_us, now_us, age),
                                target};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    return dl_cli_table_print(table, f->cli->out, err);
}

static dl_status print_columns(dl_cli_factory *f, const dl_lakehouse_table *t, dl_error *err)
{
    char title[DL_SHORTCUT_NAME_LIMIT + 16];
    (void)snprintf(title, sizeof title, "%.*s", DL_STR_ARG(t->state.shortcut->name));
    const dl_cli_column titles[] = {{"COLUMN", false, 0},
                                    {"TYPE", false, 60},
                                    {"DICOM ATTRIBUTE", false, 0},
                                    {"TAG", false, 0},
                                    {"NOTE", false, 0}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    for (size_t i = 0; i < t->field_count; i++) {
        const dl_query_field *c = &t->fields[i];
        const dl_str cells[] = {c->name, c->type, c->attribute, c->tag,
                                c->partition ? DL_STR("partition") : DL_STR("")};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    (void)fprintf(f->cli->out, "\n");
    dl_cli_factory_say(f, "%s", title);
    return dl_cli_table_print(table, f->cli->out, err);
}

static dl_status print_files(dl_cli_factory *f, const dl_lakehouse_table *files, size_t count,
                             dl_error *err)
{
    static const dl_cli_column titles[] = {
        {"FILES", false, 0}, {"STATE", false, 0}, {"LEADS TO", false, 0}, {"FOLDER", false, 0}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    for (size_t i = 0; i < count; i++) {
        const dl_shortcut_state *s = &files[i].state;
        dl_str target = DL_STR_NONE;
        DL_TRY(dl_cli_lakehouse_target(f, s->shortcut, &target, err));
        const dl_str cells[] = {s->shortcut->name,
                                s->broken ? DL_STR("broken: see below") : DL_STR("ok"), target,
                                s->folder};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    if (count > 0) {
        (void)fprintf(f->cli->out, "\n");
    }
    return dl_cli_table_print(table, f->cli->out, err);
}

/** Everything of a kind, looked at. */
static dl_status describe(dl_cli_factory *f, const dl_lakehouse *lakehouse, dl_shortcut_kind kind,
                          dl_lakehouse_table **out, size_t *out_count, dl_error *err)
{
    size_t count = 0;
    dl_lakehouse_table *items =
        dl_arena_alloc(f->arena, lakehouse->shortcut_count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(f->arena, err);
    }
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        if (lakehouse->shortcuts[i].kind == kind) {
            DL_TRY(dl_lakehouse_describe(f->factory, &lakehouse->shortcuts[i], f->arena,
                                         &items[count++], err));
        }
    }
    *out = items;
    *out_count = count;
    return DL_OK;
}

static void put_shown(dl_json_writer *w, const dl_lakehouse *lakehouse,
                      const dl_lakehouse_table *tables, size_t table_count,
                      const dl_lakehouse_table *files, size_t file_count)
{
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, lakehouse->name);
    dl_json_key(w, DL_STR("description"));
    dl_json_string(w, lakehouse->description);
    dl_json_key(w, DL_STR("implied"));
    dl_json_bool(w, lakehouse->implied);
    dl_json_key(w, DL_STR("tables"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < table_count; i++) {
        dl_lakehouse_write_table(w, &tables[i]);
    }
    dl_json_array_end(w);
    dl_json_key(w, DL_STR("files"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < file_count; i++) {
        dl_shortcut_write_state(w, &files[i].state);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}

static void complain_all(dl_cli_factory *f, const dl_lakehouse_table *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (items[i].state.broken) {
            dl_cli_lakehouse_complain(f, &items[i].state);
            f->code = DL_CLI_PARTLY;
        }
    }
}

static dl_status show_all(dl_cli_factory *f, const dl_lakehouse *lakehouse, dl_error *err)
{
    dl_lakehouse_table *tables = NULL, *files = NULL;
    size_t table_count = 0, file_count = 0;
    DL_TRY(describe(f, lakehouse, DL_SHORTCUT_TABLES, &tables, &table_count, err));
    DL_TRY(describe(f, lakehouse, DL_SHORTCUT_FILES, &files, &file_count, err));
    put_shown(&f->w, lakehouse, tables, table_count, files, file_count);
    if (!f->json) {
        dl_cli_factory_fact(f, "lakehouse", lakehouse->name);
        dl_cli_factory_fact(f, "description", lakehouse->description);
        if (table_count > 0) {
            (void)fprintf(f->cli->out, "\n");
        }
        DL_TRY(print_tables(f, tables, table_count, err));
        DL_TRY(print_files(f, files, file_count, err));
        for (size_t i = 0; i < table_count; i++) {
            if (!tables[i].state.broken) {
                DL_TRY(print_columns(f, &tables[i], err));
            }
        }
        if (lakehouse->implied && table_count == 0) {
            dl_cli_factory_say(f, "it has no tables; dicomlake sync makes them of what is stored");
        } else if (table_count + file_count == 0) {
            dl_cli_factory_say(f, "it is empty; dicomlake shortcut add joins tables and files");
        }
    }
    complain_all(f, tables, table_count);
    complain_all(f, files, file_count);
    return DL_OK;
}

static dl_status show_table(dl_cli_factory *f, const dl_lakehouse *lakehouse, const char *name,
                            dl_error *err)
{
    const dl_shortcut *found = NULL;
    dl_lakehouse_table table;
    DL_TRY(dl_lakehouse_find(lakehouse, DL_SHORTCUT_TABLES, dl_str_of(name), &found, err));
    DL_TRY(dl_lakehouse_describe(f->factory, found, f->arena, &table, err));
    dl_lakehouse_write_table(&f->w, &table);
    if (!f->json) {
        DL_TRY(print_tables(f, &table, 1, err));
        if (!table.state.broken) {
            DL_TRY(print_columns(f, &table, err));
        }
    }
    if (table.state.broken) {
        dl_cli_lakehouse_complain(f, &table.state);
        f->code = DL_CLI_FAILED;
    }
    return DL_OK;
}

static dl_status show(dl_cli_factory *f, DL_UNUSED const void *given, const dl_cli_args *args,
                      dl_error *err)
{
    dl_lakehouse lakehouse = {0};
    dl_str name = args->count > 0 ? dl_str_of(args->items[0]) : DL_STR("");
    DL_TRY(dl_lakehouse_choose(f->factory, name, f->arena, &lakehouse, err));
    return args->count > 1 ? show_table(f, &lakehouse, args->items[1], err)
                           : show_all(f, &lakehouse, err);
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"create", "NAME", 1, 1, DL_CLI_HOME_MADE, create},
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"show", "[NAME [TABLE]]", 0, 2, DL_CLI_HOME_THERE, show},
    {"remove", "NAME...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, remove_some},
    {"files", "ls|cat|get [PATH]...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, dl_cli_lakehouse_files},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_lakehouse, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_lakehouse = {
    .name = "lakehouse",
    .synopsis = "ACTION [NAME]...",
    .summary = "Tables and files under names of one's own; what they hold.",
    .details = "ACTION is create, list, show, remove or files (ls, cat, get).\n"
               "A home without one has all its tables in a lakehouse called home.\n"
               "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 some shortcuts are broken.",
    .example = "dicomlake lakehouse show research instance",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(dl_cli_lakehouse_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
