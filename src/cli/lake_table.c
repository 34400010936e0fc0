/* dicomlake table ...: Delta tables looked at and looked after. */
#include "cli/cli.h"
#include "cli/lake.h"
#include "cli/table.h"
#include "cli/text.h"
#include "delta/delta.h"
#include "json/json.h"

#include <inttypes.h>
#include <string.h>

#define TEXT_LIMIT_BYTES ((size_t)64 << 20)
enum { ARENA_BYTES = 64 << 20, ROOT_SIZE = 1024 };

typedef struct table_options {
    dl_cli_lake_where where;
    const char *reader, *version, *timestamp, *mode;
    uint64_t limit;
    bool dry_run, full, json;
} table_options;

static const table_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_LAKE_OPTIONS(table_options, where),
    {"version", "N", "show, restore: the table as of that version", DL_CLI_TEXT, 0, offsetof(table_options, version), 0, 0},
    {"timestamp", "TIME", "show, restore: the table as of that time", DL_CLI_TEXT, 0, offsetof(table_options, timestamp), 0, 0},
    {"limit", "N", "history: at most so many versions", DL_CLI_NUMBER, 0, offsetof(table_options, limit), 1, INT64_MAX},
    {"reader", "NAME", "check: what fabric-sql, spark, delta-rs, duckdb, trino or powerbi refuses", DL_CLI_TEXT, 0, offsetof(table_options, reader), 0, 0},
    {"full", NULL, "optimize: all files below the target size, not only what is worth it", DL_CLI_SWITCH, 0, offsetof(table_options, full), 0, 0},
    {"mode", "NAME", "optimize: change the table's mode to dv or compat", DL_CLI_TEXT, 0, offsetof(table_options, mode), 0, 0},
    {"dry-run", NULL, "vacuum: list what would be deleted", DL_CLI_SWITCH, 0, offsetof(table_options, dry_run), 0, 0},
    {"json", NULL, "print facts as JSON", DL_CLI_SWITCH, 0, offsetof(table_options, json), 0, 0},
};
/* clang-format on */

/* One call of the command. */
typedef struct call {
    dl_cli *cli;
    const table_options *o;
    dl_cli_lake lake;
    dl_columnar_engine *engine;
    dl_arena *arena;
    int64_t findings;
    dl_json_writer writer; /* with --json: into `text` */
    dl_buf text;
} call;

static void call_close(call *c)
{
    dl_cli_lake_close(&c->lake);
    dl_columnar_engine_destroy(c->engine);
    dl_arena_destroy(c->arena);
    dl_buf_clear(&c->text);
}

/* ---- opening ---- */

/* A name of one of the three tables, a path below the lake, or a folder of its own. */
static dl_status find_table(call *c, const char *name, dl_store **out_store, bool *out_own,
                            char root[ROOT_SIZE], dl_error *err)
{
    *out_own = false;
    root[0] = '\0';
    if (c->o->where.lake == NULL && c->o->where.home == NULL && strchr(name, '/') != NULL) {
        *out_own = true;
        return dl_store_open_shared(name, false, out_store, err);
    }
    *out_store = c->lake.store;
    if (!dl_cli_lake_root(&c->lake, name, root, ROOT_SIZE) &&
        (size_t)snprintf(root, ROOT_SIZE, "%s", name) >= ROOT_SIZE) {
        return dl_error_set(err, DL_E_INVALID, "the path of the table is too long");
    }
    return DL_OK;
}

static dl_status read_moment(const table_options *o, dl_delta_open *open, dl_error *err)
{
    open->version = -1;
    open->timestamp_us = INT64_MIN;
    if (o->version != NULL && o->timestamp != NULL) {
        return dl_error_set(err, DL_E_INVALID, "give --version or --timestamp, not both");
    }
    if (o->version != NULL &&
        (!dl_str_to_i64(dl_str_of(o->version), &open->version) || open->version < 0)) {
        return dl_error_set(err, DL_E_INVALID, "%s is not a version", o->version);
    }
    if (o->timestamp != NULL && !dl_clock_parse(dl_str_of(o->timestamp), &open->timestamp_us)) {
        return dl_error_set(err, DL_E_INVALID, "%s is not a time such as 2026-01-05T08:00:00Z",
                            o->timestamp);
    }
    return DL_OK;
}

typedef struct opened {
    dl_store *store;
    bool own;
    char root[ROOT_SIZE];
    dl_delta_table *table;
} opened;

static void opened_close(opened *t)
{
    dl_delta_table_close(t->table);
    if (t->own) {
        dl_store_close(t->store);
    }
}

static dl_status open_table(call *c, const char *name, bool moment, opened *out, dl_error *err)
{
    DL_TRY(find_table(c, name, &out->store, &out->own, out->root, err));
    dl_delta_open open = {.store = out->store,
                          .root = dl_str_of(out->root),
                          .engine = c->engine,
                          .clock = dl_clock_system(),
                          .version = -1,
                          .timestamp_us = INT64_MIN,
                          .cancel = c->cli->stop};
    if (moment) {
        DL_TRY(read_moment(c->o, &open, err));
    }
    dl_status status = dl_delta_table_open(&open, &out->table, err);
    return status == DL_OK ? DL_OK : dl_error_within(err, status, "opening table %s", name);
}

/* ---- show ---- */

static void put_text(dl_json_writer *w, const char *key, dl_str value)
{
    dl_json_key(w, dl_str_of(key));
    if (value.ptr == NULL) {
        dl_json_null(w);
    } else {
        dl_json_string(w, value);
    }
}

static void put_number(dl_json_writer *w, const char *key, int64_t value)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_int(w, value);
}

static void put_names(dl_json_writer *w, const char *key, dl_delta_names names)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_array_begin(w);
    for (size_t i = 0; i < names.count; i++) {
        dl_json_string(w, names.items[i]);
    }
    dl_json_array_end(w);
}

static void put_pairs(dl_json_writer *w, const char *key, dl_delta_pairs pairs)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_object_begin(w);
    for (size_t i = 0; i < pairs.count; i++) {
        dl_json_key(w, pairs.items[i].key);
        if (pairs.items[i].value.ptr == NULL) {
            dl_json_null(w);
        } else {
            dl_json_string(w, pairs.items[i].value);
        }
    }
    dl_json_object_end(w);
}

static void put_columns(dl_json_writer *w, const dl_delta_table *table)
{
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(table, &count);
    dl_json_key(w, DL_STR("columns"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        dl_json_object_begin(w);
        put_text(w, "name", columns[i].name);
        dl_json_key(w, DL_STR("type"));
        dl_json_raw(w, columns[i].type_json);
        dl_json_key(w, DL_STR("nullable"));
        dl_json_bool(w, columns[i].nullable);
        dl_json_key(w, DL_STR("partition"));
        dl_json_bool(w, columns[i].partition);
        dl_json_object_end(w);
    }
    dl_json_array_end(w);
}

static void put_apps(dl_json_writer *w, const dl_delta_table *table)
{
    dl_delta_app app;
    dl_json_key(w, DL_STR("applications"));
    dl_json_object_begin(w);
    for (size_t i = 0; dl_delta_app_at(table, i, &app); i++) {
        dl_json_key(w, app.app_id);
        dl_json_int(w, app.version);
    }
    dl_json_object_end(w);
}

static void put_table(dl_json_writer *w, const char *name, const dl_delta_table *table)
{
    dl_delta_totals totals = dl_delta_totals_of(table);
    const dl_delta_protocol *protocol = dl_delta_protocol_of(table);
    const dl_delta_metadata *metadata = dl_delta_metadata_of(table);
    char time[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(dl_delta_timestamp_ms(table) * 1000, time);
    dl_json_object_begin(w);
    put_text(w, "table", dl_str_of(name));
    put_number(w, "version", dl_delta_version(table));
    put_text(w, "timestamp", dl_str_of(time));
    put_text(w, "id", metadata->id);
    put_number(w, "rows", totals.row_count);
    put_number(w, "files", totals.file_count);
    put_number(w, "sizeBytes", totals.size_bytes);
    put_number(w, "deletedRows", totals.deleted_rows);
    put_number(w, "deletionVectors", totals.dv_count);
    put_number(w, "minReaderVersion", protocol->min_reader);
    put_number(w, "minWriterVersion", protocol->min_writer);
    put_names(w, "readerFeatures", protocol->reader_features);
    put_names(w, "writerFeatures", protocol->writer_features);
    put_names(w, "partitionColumns", metadata->partition_columns);
    put_pairs(w, "properties", metadata->configuration);
    put_apps(w, table);
    put_columns(w, table);
    dl_json_object_end(w);
}

/* A type as people write it: "string", or the kind of a nested one. */
static dl_status print_columns(const call *c, const dl_delta_table *table, dl_error *err)
{
    static const dl_cli_column titles[] = {
        {"COLUMN", false, 0}, {"TYPE", false, 60}, {"PARTITION", false, 0}};
    DL_AUTO(dl_cli_table) text = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &text, err));
    size_t count = 0;
    const dl_delta_column *columns = dl_delta_columns(table, &count);
    for (size_t i = 0; i < count; i++) {
        dl_str type = columns[i].type_json;
        if (type.len > 1 && type.ptr[0] == '"') {
            type = dl_str_slice(type, 1, type.len - 2);
        }
        const dl_str cells[] = {columns[i].name, type,
                                columns[i].partition ? DL_STR("yes") : DL_STR("")};
        DL_TRY(dl_cli_table_add(text, cells, err));
    }
    return dl_cli_table_print(text, c->cli->out, err);
}

static dl_status show(call *c, const char *name, dl_error *err)
{
    DL_CLEANUP(opened_close) opened t = {0};
    DL_TRY(open_table(c, name, true, &t, err));
    if (c->o->json) {
        put_table(&c->writer, name, t.table);
        return DL_OK;
    }
    dl_delta_totals totals = dl_delta_totals_of(t.table);
    const dl_delta_protocol *protocol = dl_delta_protocol_of(t.table);
    char size[DL_CLI_AMOUNT_SIZE];
    char time[DL_CLOCK_TEXT_SIZE];
    dl_cli_text_bytes((uint64_t)totals.size_bytes, size);
    dl_clock_format_utc(dl_delta_timestamp_ms(t.table) * 1000, time);
    (void)fprintf(c->cli->out,
                  "%s: version %" PRId64 " of %s, %" PRId64 " rows in %" PRId64
                  " files (%s), %" PRId64 " rows deleted, protocol %d/%d\n",
                  name, dl_delta_version(t.table), time, totals.row_count, totals.file_count, size,
                  totals.deleted_rows, protocol->min_reader, protocol->min_writer);
    dl_delta_app app;
    for (size_t i = 0; dl_delta_app_at(t.table, i, &app); i++) {
        (void)fprintf(c->cli->out, "  %.*s is at %" PRId64 "\n", DL_STR_ARG(app.app_id),
                      app.version);
    }
    return print_columns(c, t.table, err);
}

static dl_status list(call *c, const char *name, dl_error *err)
{
    static const dl_cli_column titles[] = {{"TABLE", false, 0}, {"VERSION", true, 0},
                                           {"ROWS", true, 0},   {"FILES", true, 0},
                                           {"SIZE", true, 0},   {"CHANGED", false, 0}};
    (void)name;
    DL_AUTO(dl_cli_table) text = NULL;
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &text, err));
    dl_json_array_begin(&c->writer);
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        DL_CLEANUP(opened_close) opened t = {0};
        dl_status status = open_table(c, dl_pipeline_table_name(i), false, &t, err);
        if (status == DL_E_NOT_FOUND) {
            dl_error_clear(err);
            continue;
        }
        DL_TRY(status);
        put_table(&c->writer, dl_pipeline_table_name(i), t.table);
        dl_delta_totals totals = dl_delta_totals_of(t.table);
        char cell[4][DL_CLI_AMOUNT_SIZE];
        char time[DL_CLOCK_TEXT_SIZE];
        (void)snprintf(cell[0], sizeof cell[0], "%" PRId64, dl_delta_version(t.table));
        (void)snprintf(cell[1], sizeof cell[1], "%" PRId64, totals.row_count);
        (void)snprintf(cell[2], sizeof cell[2], "%" PRId64, totals.file_count);
        dl_cli_text_bytes((uint64_t)totals.size_bytes, cell[3]);
        dl_clock_format_utc(dl_delta_timestamp_ms(t.table) * 1000, time);
        const dl_str cells[] = {dl_str_of(dl_pipeline_table_name(i)),
                                dl_str_of(cell[0]),
                                dl_str_of(cell[1]),
                                dl_str_of(cell[2]),
                                dl_str_of(cell[3]),
                                dl_str_of(time)};
        DL_TRY(dl_cli_table_add(text, cells, err));
    }
    dl_json_array_end(&c->writer);
    return c->o->json ? DL_OK : dl_cli_table_print(text, c->cli->out, err);
}

/* ---- history ---- */

typedef struct history_rows {
    call *c;
    dl_cli_table *text;
} history_rows;

static dl_status add_version(void *context, const dl_delta_info *info, dl_error *err)
{
    history_rows *rows = context;
    char version[DL_CLI_AMOUNT_SIZE];
    char time[DL_CLOCK_TEXT_SIZE];
    (void)snprintf(version, sizeof version, "%" PRId64, info->version);
    dl_clock_format_utc(info->timestamp_ms * 1000, time);
    if (rows->c->o->json) {
        dl_json_writer *w = &rows->c->writer;
        dl_json_object_begin(w);
        put_number(w, "version", info->version);
        put_text(w, "timestamp", dl_str_of(time));
        put_text(w, "operation", info->operation);
        put_pairs(w, "operationParameters", info->parameters);
        put_pairs(w, "operationMetrics", info->metrics);
        put_text(w, "userMetadata", info->user_metadata);
        put_text(w, "engineInfo", info->engine_info);
        put_text(w, "isolationLevel", info->isolation_level);
        put_number(w, "readVersion", info->read_version);
        dl_json_object_end(w);
        return dl_json_writer_status(w);
    }
    const dl_str none = DL_STR("-");
    const dl_str cells[] = {dl_str_of(version), dl_str_of(time),
                            info->operation.ptr == NULL ? none : info->operation,
                            info->user_metadata.ptr == NULL ? none : info->user_metadata,
                            info->engine_info.ptr == NULL ? none : info->engine_info};
    return dl_cli_table_add(rows->text, cells, err);
}

static dl_status history(call *c, const char *name, dl_error *err)
{
    static const dl_cli_column titles[] = {{"VERSION", true, 0},
                                           {"TIME", false, 0},
                                           {"OPERATION", false, 0},
                                           {"USER METADATA", false, 60},
                                           {"ENGINE", false, 40}};
    DL_CLEANUP(opened_close) opened t = {0};
    DL_AUTO(dl_cli_table) text = NULL;
    DL_TRY(open_table(c, name, false, &t, err));
    DL_TRY(dl_cli_table_create(titles, DL_COUNT_OF(titles), &text, err));
    history_rows rows = {.c = c, .text = text};
    dl_json_array_begin(&c->writer);
    DL_TRY(dl_delta_history(t.table, (size_t)c->o->limit, add_version, &rows, err));
    dl_json_array_end(&c->writer);
    return c->o->json ? DL_OK : dl_cli_table_print(text, c->cli->out, err);
}

/* ---- check ---- */

static void tell_finding(void *context, const char *finding)
{
    call *c = context;
    c->findings++;
    if (c->o->json) {
        dl_json_string(&c->writer, dl_str_of(finding));
    } else {
        (void)fprintf(c->cli->out, "problem: %s\n", finding);
    }
}

static void tell_verdict(void *context, dl_delta_verdict verdict, const char *reason)
{
    static const char *const words[] = {"reads", "hides", "refuses"};
    call *c = context;
    c->findings += verdict != DL_DELTA_READS;
    if (c->o->json) {
        dl_json_object_begin(&c->writer);
        put_text(&c->writer, "verdict", dl_str_of(words[verdict]));
        put_text(&c->writer, "reason", dl_str_of(reason));
        dl_json_object_end(&c->writer);
    } else {
        (void)fprintf(c->cli->out, "%s: %s\n", words[verdict], reason);
    }
}

static dl_status check(call *c, const char *name, dl_error *err)
{
    DL_CLEANUP(opened_close) opened t = {0};
    DL_TRY(open_table(c, name, false, &t, err));
    dl_json_array_begin(&c->writer);
    if (c->o->reader != NULL) {
        DL_TRY(dl_delta_check_reader(t.table, c->o->reader, tell_verdict, c, err));
    } else {
        DL_TRY(dl_delta_check(t.table, c->cli->stop, tell_finding, c, err));
    }
    dl_json_array_end(&c->writer);
    if (!c->o->json && c->findings == 0) {
        (void)fprintf(c->cli->out, "%s: version %" PRId64 " is whole%s%s\n", name,
                      dl_delta_version(t.table), c->o->reader == NULL ? "" : " for ",
                      c->o->reader == NULL ? "" : c->o->reader);
    }
    return DL_OK;
}

/* ---- changing ---- */

static void tell_result(call *c, const char *what, const dl_delta_result *r)
{
    if (c->o->json) {
        dl_json_object_begin(&c->writer);
        put_text(&c->writer, "operation", dl_str_of(what));
        put_number(&c->writer, "version", r->version);
        put_number(&c->writer, "filesAdded", r->files_added);
        put_number(&c->writer, "filesRemoved", r->files_removed);
        put_number(&c->writer, "bytesAdded", r->bytes_added);
        dl_json_object_end(&c->writer);
    } else {
        (void)fprintf(c->cli->out,
                      "%s: version %" PRId64 ", %" PRId64 " files for %" PRId64 ", %" PRId64
                      " bytes\n",
                      what, r->version, r->files_added, r->files_removed, r->bytes_added);
    }
}

static dl_status set_mode(call *c, opened *t, dl_error *err)
{
    bool compat = strcmp(c->o->mode, "compat") == 0;
    if (!compat && strcmp(c->o->mode, "dv") != 0) {
        return dl_error_set(err, DL_E_INVALID, "no mode %s: dv or compat", c->o->mode);
    }
    return dl_delta_set_compat(t->table, compat, err);
}

static dl_status optimize(call *c, const char *name, dl_error *err)
{
    static const dl_delta_pair parameters[] = {
        {{"predicate", 9}, {"[]", 2}}, {{"zOrderBy", 8}, {"[]", 2}}, {{"auto", 4}, {"false", 5}}};
    DL_CLEANUP(opened_close) opened t = {0};
    DL_TRY(open_table(c, name, false, &t, err));
    if (c->o->mode != NULL) {
        DL_TRY(set_mode(c, &t, err));
    }
    dl_delta_optimize_options plan = {.full = c->o->full};
    dl_delta_job *jobs = NULL;
    size_t count = 0;
    DL_TRY(dl_delta_optimize_plan(t.table, &plan, c->arena, &jobs, &count, err));
    dl_json_array_begin(&c->writer);
    for (size_t i = 0; i < count; i++) {
        dl_delta_rewrite_options rewrite = {
            .paths = jobs[i].paths, .path_count = jobs[i].path_count, .cancel = c->cli->stop};
        DL_AUTO(dl_delta_rewrite) copy = NULL;
        dl_delta_result result = {0};
        DL_TRY(dl_delta_rewrite_create(t.table, &rewrite, &copy, err));
        DL_TRY(dl_delta_rewrite_commit(
            t.table, copy, (dl_delta_pairs){parameters, DL_COUNT_OF(parameters)}, &result, err));
        tell_result(c, "OPTIMIZE", &result);
    }
    dl_json_array_end(&c->writer);
    if (count == 0 && !c->o->json) {
        (void)fprintf(c->cli->out, "%s: nothing to do\n", name);
    }
    return DL_OK;
}

static void tell_file(void *context, dl_str path, int64_t size_bytes)
{
    call *c = context;
    if (!c->o->json && c->o->dry_run) {
        (void)fprintf(c->cli->out, "%.*s\t%" PRId64 "\n", DL_STR_ARG(path), size_bytes);
    }
}

static dl_status vacuum(call *c, const char *name, dl_error *err)
{
    DL_CLEANUP(opened_close) opened t = {0};
    DL_TRY(open_table(c, name, false, &t, err));
    bool given = c->o->where.parameter[8] != NULL;
    dl_delta_vacuum_options o = {.retention_hours = given ? c->lake.parameters.retention_hours : -1,
                                 .force = c->o->where.short_retention,
                                 .dry_run = c->o->dry_run,
                                 .on_file = tell_file,
                                 .context = c,
                                 .cancel = c->cli->stop};
    dl_delta_vacuum_result r = {0};
    DL_TRY(dl_delta_vacuum(t.table, &o, &r, err));
    if (c->o->json) {
        dl_json_object_begin(&c->writer);
        put_number(&c->writer, "files", r.files);
        put_number(&c->writer, "bytes", r.bytes);
        put_number(&c->writer, "folders", r.folders);
        dl_json_object_end(&c->writer);
    } else {
        (void)fprintf(c->cli->out, "%s: %" PRId64 " files, %" PRId64 " bytes %s\n", name, r.files,
                      r.bytes, c->o->dry_run ? "would be deleted" : "deleted");
    }
    return DL_OK;
}

static dl_status restore(call *c, const char *name, dl_error *err)
{
    DL_CLEANUP(opened_close) opened then = {0};
    DL_CLEANUP(opened_close) opened t = {0};
    if (c->o->version == NULL && c->o->timestamp == NULL) {
        return dl_error_set(err, DL_E_INVALID, "restore needs --version or --timestamp");
    }
    DL_TRY(open_table(c, name, true, &then, err));
    DL_TRY(open_table(c, name, false, &t, err));
    dl_delta_result result = {0};
    DL_TRY(dl_delta_restore(t.table, dl_delta_version(then.table), &result, err));
    tell_result(c, "RESTORE", &result);
    return DL_OK;
}

static dl_status rebuild_state(call *c, const char *name, dl_error *err)
{
    (void)name;
    dl_pipeline_options o = {.lake = c->lake.store,
                             .state_folder = c->lake.state_folder,
                             .parameters = c->lake.parameters,
                             .allow_short_retention = c->o->where.short_retention,
                             .clock = dl_clock_system(),
                             .cancel = c->cli->stop};
    dl_pipeline *pipeline = NULL;
    DL_TRY(dl_pipeline_open(&o, &pipeline, err));
    dl_status status = dl_pipeline_rebuild_state(pipeline, err);
    dl_pipeline_close(pipeline);
    if (status == DL_OK && !c->o->json) {
        (void)fprintf(c->cli->out, "the state index was made anew from the tables\n");
    }
    dl_json_null(&c->writer);
    return status;
}

/* ---- the command ---- */

static const struct action {
    const char *name;
    bool needs_table;
    dl_status (*run)(call *c, const char *table, dl_error *err);
} actions[] = {
    {"list", false, list},        {"show", true, show},
    {"history", true, history},   {"check", true, check},
    {"optimize", true, optimize}, {"vacuum", true, vacuum},
    {"restore", true, restore},   {"rebuild-state", false, rebuild_state},
};

static const struct action *find_action(const char *name)
{
    for (size_t i = 0; i < DL_COUNT_OF(actions); i++) {
        if (strcmp(actions[i].name, name) == 0) {
            return &actions[i];
        }
    }
    return NULL;
}

static dl_status run_action(call *c, const dl_cli_args *args, dl_error *err)
{
    const struct action *action = find_action(args->items[0]);
    if (action == NULL) {
        (void)dl_error_set(err, DL_E_INVALID, "table has no action %s", args->items[0]);
        dl_error_hint(err,
                      "list, show, history, check, optimize, vacuum, restore or rebuild-state");
        return DL_E_INVALID;
    }
    if (action->needs_table != (args->count == 2)) {
        return dl_error_set(err, DL_E_INVALID, "table %s takes %s", action->name,
                            action->needs_table ? "one table" : "no table");
    }
    const char *table = action->needs_table ? args->items[1] : "";
    bool alone = c->o->where.home == NULL && c->o->where.lake == NULL && strchr(table, '/') != NULL;
    if (!alone) {
        DL_TRY(dl_cli_lake_open(c->cli, &c->o->where, false, &c->lake, err));
    } else {
        c->lake.parameters = dl_pipeline_parameters_default();
    }
    dl_columnar_engine_options engine = {0};
    DL_TRY(dl_columnar_engine_create(&engine, &c->engine, err));
    dl_json_writer_init(&c->writer, &c->text, err);
    DL_TRY(action->run(c, table, err));
    if (c->o->json) {
        DL_TRY(dl_json_writer_status(&c->writer));
        (void)fprintf(c->cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&c->text)));
    }
    return DL_OK;
}

static dl_cli_exit run(dl_cli *cli, const void *given, const dl_cli_args *args)
{
    dl_error err = {0};
    DL_CLEANUP(call_close) call c = {.cli = cli, .o = given, .arena = dl_arena_create(ARENA_BYTES)};
    dl_buf_init(&c.text, TEXT_LIMIT_BYTES);
    dl_status status = c.arena == NULL ? dl_error_set(&err, DL_E_NOMEM, "out of memory")
                                       : run_action(&c, args, &err);
    if (status != DL_OK) {
        return dl_cli_flush(cli, dl_cli_fail(cli, &err));
    }
    return dl_cli_flush(cli, c.findings == 0 ? DL_CLI_DONE : DL_CLI_FAILED);
}

const dl_cli_command dl_cli_lake_table = {
    .name = "table",
    .synopsis = "ACTION [TABLE]",
    .summary = "Look at Delta tables and look after them.",
    .details = "ACTION is list, show, history, check, optimize, vacuum, restore or rebuild-state.\n"
               "TABLE is instance, series or study, a path below the lake, or a folder.\n"
               "Exit codes: 0 done, 1 failed or check found something, 2 wrong usage.",
    .example = "dicomlake table show instance --home ~/archive",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(table_options),
    .args_min = 1,
    .args_max = 2,
    .run = run,
};
