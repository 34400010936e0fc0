/* dicomlake cohort ...: lists of instances that a statement gave, kept in versions; their files. */
#include "base/file.h"
#include "cli/factory.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"
#include "lakehouse/files.h"
#include "query/seal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ARGS_LIMIT = 64, PATH_SIZE = 4096 };

typedef struct cohort_options {
    dl_cli_factory_where where;
    const char *lakehouse, *to;
    uint64_t version;
} cohort_options;

static const cohort_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_FACTORY_OPTIONS(cohort_options, where),
    {"lakehouse", "NAME", "which one (default: the only one, or the home's own)", DL_CLI_TEXT, 0, offsetof(cohort_options, lakehouse), 0, 0},
    {"to", "DIR", "get: the folder for files and manifest.json; made when missing", DL_CLI_TEXT, 0, offsetof(cohort_options, to), 0, 0},
    {"version", "N", "show, get: this version (default: the newest)", DL_CLI_NUMBER, 0, offsetof(cohort_options, version), 1, INT64_MAX / 2},
};
/* clang-format on */

static dl_status choose(dl_cli_factory *f, const cohort_options *o, dl_lakehouse *out,
                        dl_error *err)
{
    return dl_lakehouse_choose(f->factory, dl_str_of(o->lakehouse), f->arena, out, err);
}

static dl_status find(dl_cli_factory *f, const cohort_options *o, const char *name,
                      dl_lakehouse *out_lakehouse, dl_cohort *out, dl_error *err)
{
    DL_TRY(choose(f, o, out_lakehouse, err));
    return dl_cohort_get(f->factory, out_lakehouse, dl_str_of(name),
                         o->version == 0 ? -1 : (int64_t)o->version, f->arena, out, err);
}

/* ---- words ---- */

static void put_int(dl_json_writer *w, const char *key, int64_t value)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_int(w, value);
}

static void put_cohort(dl_json_writer *w, const dl_cohort *c)
{
    char created[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(c->created_us, created);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("name"));
    dl_json_string(w, c->name);
    dl_json_key(w, DL_STR("lakehouse"));
    dl_json_string(w, c->lakehouse);
    put_int(w, "version", c->version);
    put_int(w, "instanceCount", c->instance_count);
    dl_json_key(w, DL_STR("createdAt"));
    dl_json_string(w, dl_str_of(created));
    dl_json_key(w, DL_STR("statement"));
    dl_json_string(w, c->statement);
    dl_json_key(w, DL_STR("reads"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < c->read_count; i++) {
        dl_json_object_begin(w);
        dl_json_key(w, DL_STR("table"));
        dl_json_string(w, c->reads[i].table);
        put_int(w, "version", c->reads[i].version);
        put_int(w, "watermark", c->reads[i].watermark);
        put_int(w, "rowCount", c->reads[i].row_count);
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
    dl_json_object_end(w);
}

/* ---- save ---- */

/** From here on the process writes nowhere but to the cohorts. */
static dl_status seal(const dl_cli_factory *f, const dl_lakehouse *lakehouse, dl_query *query,
                      dl_error *err)
{
    char cohorts[PATH_SIZE];
    const char *home = dl_factory_home(f->factory);
    const char *const write[] = {cohorts};
    dl_query_sealed sealed = {0};
    if (snprintf(cohorts, sizeof cohorts, "%s/lakehouse/%.*s/cohorts", home,
                 DL_STR_ARG(lakehouse->name)) >= PATH_SIZE) {
        return dl_error_set(err, DL_E_INVALID, "the home's path is too long");
    }
    DL_TRY(dl_file_make_dirs(cohorts, err));
    const dl_query_seal_options options_ = {.write = write, .write_count = DL_COUNT_OF(write)};
    return dl_query_seal(query, &options_, &sealed, err);
}

/** "line 2, column 8: what" */
static dl_status placed(dl_status status, const dl_query_place *place, dl_error *err)
{
    if (place->at != SIZE_MAX && place->line > 0) {
        dl_error why = *err;
        (void)dl_error_set(err, status, "line %" PRIu32 ", column %" PRIu32 ": %s", place->line,
                           place->column, why.message);
        dl_error_hint(err, "%s", why.hint);
    }
    return status;
}

static dl_status save_with(dl_cli_factory *f, const dl_lakehouse *lakehouse, dl_query *query,
                           const dl_cli_args *args, dl_error *err)
{
    dl_cohort cohort = {0};
    dl_query_place place = {.at = SIZE_MAX};
    DL_TRY(seal(f, lakehouse, query, err));
    dl_status status =
        dl_cohort_save(f->factory, lakehouse, dl_str_of(args->items[0]), dl_str_of(args->items[1]),
                       query, f->arena, &cohort, &place, err);
    if (status != DL_OK) {
        return placed(status, &place, err);
    }
    put_cohort(&f->w, &cohort);
    dl_cli_factory_say(f, "cohort %s, version %" PRId64 ": %" PRId64 " instances", args->items[0],
                       cohort.version, cohort.instance_count);
    return DL_OK;
}

static dl_status save(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    dl_lakehouse lakehouse;
    DL_AUTO_QUERY query = NULL;
    dl_query_options query_options = {.clock = dl_clock_system(), .cancel = f->cli->stop};
    DL_TRY(choose(f, given, &lakehouse, err));
    DL_TRY(dl_factory_name_check(dl_str_of(args->items[0]), "cohort", err));
    DL_TRY(dl_lakehouse_query_options(f->factory, &lakehouse, f->arena, &query_options, err));
    DL_TRY(dl_query_open(&query_options, &query, err));
    return save_with(f, &lakehouse, query, args, err);
}

/* ---- list, show, remove ---- */

static dl_status list(dl_cli_factory *f, const void *given, DL_UNUSED const dl_cli_args *args,
                      dl_error *err)
{
    static const dl_cli_column titles[] = {{"NAME", false, 0},
                                           {"VERSION", true, 0},
                                           {"INSTANCES", true, 0},
                                           {"CREATED", false, 0},
                                           {"STATEMENT", false, 60}};
    dl_lakehouse lakehouse;
    dl_cohort *items = NULL;
    size_t count = 0;
    DL_TRY(choose(f, given, &lakehouse, err));
    DL_TRY(dl_cohort_list(f->factory, &lakehouse, f->arena, &items, &count, err));
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &table, err));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < count; i++) {
        char version[32], instances[32] = "damaged", created[DL_CLOCK_TEXT_SIZE];
        (void)snprintf(version, sizeof version, "%" PRId64, items[i].version);
        if (items[i].instance_count >= 0) {
            (void)snprintf(instances, sizeof instances, "%" PRId64, items[i].instance_count);
        }
        dl_cli_format_time(items[i].created_us, created);
        put_cohort(&f->w, &items[i]);
        const dl_str cells[] = {items[i].name, dl_str_of(version), dl_str_of(instances),
                                dl_str_of(created), items[i].statement};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    dl_json_array_end(&f->w);
    return f->json ? DL_OK : dl_cli_table_print(table, f->cli->out, err);
}

static dl_status show(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    dl_lakehouse lakehouse;
    dl_cohort c = {0};
    char number[32], created[DL_CLOCK_TEXT_SIZE];
    DL_TRY(find(f, given, args->items[0], &lakehouse, &c, err));
    put_cohort(&f->w, &c);
    if (f->json) {
        return DL_OK;
    }
    dl_cli_factory_fact(f, "name", c.name);
    dl_cli_factory_fact(f, "lakehouse", c.lakehouse);
    (void)snprintf(number, sizeof number, "%" PRId64, c.version);
    dl_cli_factory_fact(f, "version", dl_str_of(number));
    (void)snprintf(number, sizeof number, "%" PRId64, c.instance_count);
    dl_cli_factory_fact(f, "instances", dl_str_of(number));
    dl_cli_format_time(c.created_us, created);
    dl_cli_factory_fact(f, "created", dl_str_of(created));
    dl_cli_factory_fact(f, "statement", c.statement);
    for (size_t i = 0; i < c.read_count; i++) {
        dl_str text = DL_STR_NONE;
        DL_TRY(dl_arena_printf(f->arena, &text, err, "%.*s, version %" PRId64,
                               DL_STR_ARG(c.reads[i].table), c.reads[i].version));
        dl_cli_factory_fact(f, "read", text);
    }
    return DL_OK;
}

static dl_status remove_some(dl_cli_factory *f, const void *given, const dl_cli_args *args,
                             dl_error *err)
{
    dl_lakehouse lakehouse;
    DL_TRY(choose(f, given, &lakehouse, err));
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("removed"));
    dl_json_array_begin(&f->w);
    for (size_t i = 0; i < args->count; i++) {
        DL_TRY(dl_cohort_remove(f->factory, &lakehouse, dl_str_of(args->items[i]), err));
        dl_json_string(&f->w, dl_str_of(args->items[i]));
        dl_cli_factory_say(f, "cohort %s removed; files that were fetched stay", args->items[i]);
    }
    dl_json_array_end(&f->w);
    dl_json_object_end(&f->w);
    return DL_OK;
}

/* ---- get ---- */

typedef struct watching {
    dl_cli_progress *progress;
    int64_t files, bytes; /* told so far */
} watching;

static void watch(void *context, int64_t files, int64_t bytes)
{
    watching *w = context;
    dl_cli_progress_add(w->progress, (uint64_t)(files - w->files), (uint64_t)(bytes - w->bytes));
    w->files = files;
    w->bytes = bytes;
}

static void say_fetched(dl_cli_factory *f, const char *folder, const dl_cohort_fetched *got)
{
    char amount[DL_CLI_AMOUNT_SIZE];
    dl_cli_text_bytes((uint64_t)got->bytes, amount);
    dl_json_object_begin(&f->w);
    dl_json_key(&f->w, DL_STR("folder"));
    dl_json_string(&f->w, dl_str_of(folder));
    put_int(&f->w, "files", got->files);
    put_int(&f->w, "bytes", got->bytes);
    put_int(&f->w, "alreadyThere", got->already_there);
    put_int(&f->w, "missing", got->missing);
    dl_json_object_end(&f->w);
    dl_cli_factory_say(f, "%s: %" PRId64 " files (%s) copied, %" PRId64 " were there", folder,
                       got->files, amount, got->already_there);
    if (got->missing > 0) {
        dl_error why = {0};
        (void)dl_error_set(&why, DL_E_NOT_FOUND, "%" PRId64 " instances have no file",
                           got->missing);
        dl_error_hint(&why, "manifest.json names them");
        (void)fflush(f->cli->out);
        (void)dl_cli_fail(f->cli, &why);
        f->code = DL_CLI_PARTLY;
    }
}

static dl_status get(dl_cli_factory *f, const void *given, const dl_cli_args *args, dl_error *err)
{
    const cohort_options *o = given;
    dl_lakehouse lakehouse;
    dl_cohort cohort = {0};
    dl_cohort_fetched got = {0};
    DL_AUTO(dl_cli_progress) progress = NULL;
    if (o->to == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "cohort get: where to?");
        dl_error_hint(err, "--to DIR");
        return DL_E_INVALID;
    }
    DL_TRY(find(f, o, args->items[0], &lakehouse, &cohort, err));
    DL_TRY(dl_cli_progress_create(f->cli->err, "fetching", "files", &progress, err));
    dl_cli_progress_expect(progress, (uint64_t)cohort.instance_count, 0);
    watching w = {.progress = progress};
    const dl_cohort_fetch options_ = {
        .folder = o->to, .cancel = f->cli->stop, .on_file = watch, .context = &w};
    DL_TRY(dl_cohort_fetch_files(f->factory, &lakehouse, &cohort, &options_, &got, err));
    dl_cli_progress_clear(progress);
    say_fetched(f, o->to, &got);
    return DL_OK;
}

/* ---- the command ---- */

static const dl_cli_action actions[] = {
    {"save", "NAME STATEMENT", 2, 2, DL_CLI_HOME_THERE, save},
    {"list", "", 0, 0, DL_CLI_HOME_THERE, list},
    {"show", "NAME", 1, 1, DL_CLI_HOME_THERE, show},
    {"get", "NAME --to DIR", 1, 1, DL_CLI_HOME_THERE, get},
    {"remove", "NAME...", 1, ARGS_LIMIT, DL_CLI_HOME_THERE, remove_some},
};

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    static const dl_cli_actions all = {&dl_cli_cohort, actions, DL_COUNT_OF(actions)};
    return dl_cli_factory_run(cli, &all, given, args);
}

const dl_cli_command dl_cli_cohort = {
    .name = "cohort",
    .synopsis = "ACTION [NAME] [STATEMENT]",
    .summary = "Keep lists of instances that a statement gave, and fetch their files.",
    .details =
        "ACTION is save, list, show, get or remove.\n"
        "The statement gives sopInstanceUid, and filePath where files are wanted. Each save\n"
        "makes a version that never changes. get goes on where an earlier one was ended.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 files were missing.",
    .example = "dicomlake cohort save ct \"SELECT studyInstanceUid, seriesInstanceUid, "
               "sopInstanceUid, filePath FROM instance WHERE modality = 'CT'\"",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(cohort_options),
    .args_min = 1,
    .args_max = ARGS_LIMIT,
    .run = run,
};
