/* dicomlake verify: index, files and feed agree, and the tables are what the feed folds to. */
#include "base/buf.h"
#include "cli/cli.h"
#include "cli/lake.h"
#include "cli/peer.h"
#include "cli/progress.h"
#include "pipeline/pipeline.h"
#include "service/service.h"
#include "json/json.h"

#include <stdio.h>

enum { PROBLEM_LIMIT_BYTES = 64 << 20, ROOT_SIZE = 1024, CONTAINER = 4 /* of the parameters */ };

typedef struct verify_options {
    dl_cli_lake_where where; /* home: the archive; the rest: its tables */
    bool hash, no_tables, json;
} verify_options;

static const verify_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    {"home", "DIR", "the archive's folder (default: $DICOMLAKE_HOME)", DL_CLI_TEXT, 0, offsetof(verify_options, where.home), 0, 0},
    {"hash", NULL, "read every file and compare its hash", DL_CLI_SWITCH, 0, offsetof(verify_options, hash), 0, 0},
    {"no-tables", NULL, "leave the tables out", DL_CLI_SWITCH, 0, offsetof(verify_options, no_tables), 0, 0},
    {"lake", "DIR", "the tables that are synced from this home are there, not in HOME/tables", DL_CLI_TEXT, 0, offsetof(verify_options, where.lake), 0, 0},
    {"ContainerName", "NAME", "container of the tables (default dicom)", DL_CLI_TEXT, 0, offsetof(verify_options, where.parameter[4]), 0, 0},
    {"InstanceTablePath", "PATH", "folder of the instance table (default instance)", DL_CLI_TEXT, 0, offsetof(verify_options, where.parameter[5]), 0, 0},
    {"SeriesTablePath", "PATH", "folder of the series table (default series)", DL_CLI_TEXT, 0, offsetof(verify_options, where.parameter[6]), 0, 0},
    {"StudyTablePath", "PATH", "folder of the study table (default study)", DL_CLI_TEXT, 0, offsetof(verify_options, where.parameter[7]), 0, 0},
    {"json", NULL, "print the outcome as one JSON object", DL_CLI_SWITCH, 0, offsetof(verify_options, json), 0, 0},
};
/* clang-format on */

typedef struct watcher {
    dl_cli *cli;
    dl_cli_progress *progress;
    bool json;
    dl_json_writer problems, notices; /* arrays */
    int64_t done, total;
} watcher;

static void tell(const watcher *w, dl_json_writer *list, const char *kind, dl_str text)
{
    if (w->json) {
        dl_json_string(list, text);
        return;
    }
    dl_cli_progress_clear(w->progress);
    (void)fprintf(w->cli->out, "%s: %.*s\n", kind, DL_STR_ARG(text));
}

static void tell_problem(void *context, dl_str text)
{
    watcher *w = context;
    tell(w, &w->problems, "problem", text);
}

static void tell_notice(void *context, dl_str text)
{
    watcher *w = context;
    tell(w, &w->notices, "notice", text);
}

static void tell_progress(void *context, int64_t done, int64_t total)
{
    watcher *w = context;
    if (total > w->total) {
        dl_cli_progress_expect(w->progress, (uint64_t)(total - w->total), 0);
        w->total = total;
    }
    if (done > w->done) {
        dl_cli_progress_add(w->progress, (uint64_t)(done - w->done), 0);
        w->done = done;
    }
}

/* ---- the tables ---- */

typedef struct tables_result {
    bool compared; /* there are tables, and they were looked at */
    int64_t rows, problems;
    dl_error failure; /* why they could not be compared to their end */
} tables_result;

typedef struct telling {
    watcher *watcher;
    int64_t count;
} telling;

static void tell_row(void *context, const char *finding)
{
    telling *t = context;
    t->count++;
    tell_problem(t->watcher, dl_str_of(finding));
}

static dl_status note_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)key;
    (void)stat;
    (void)err;
    *(bool *)context = true;
    return DL_OK;
}

/* How many of the three tables there are; those that are missing beside others are told. */
static dl_status find_tables(const dl_cli_lake *lake, telling *t, size_t *out_count, dl_error *err)
{
    bool found[DL_PIPELINE_TABLES] = {false};
    size_t count = 0;
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        char root[ROOT_SIZE];
        char log[ROOT_SIZE + 16];
        DL_ASSERT(dl_cli_lake_root(lake, dl_pipeline_table_name(i), root, sizeof root));
        (void)snprintf(log, sizeof log, "%s/_delta_log", root);
        DL_TRY(dl_store_list(lake->store, dl_str_of(log), note_key, &found[i], err));
        count += found[i];
    }
    for (size_t i = 0; i < DL_PIPELINE_TABLES && count > 0; i++) {
        if (!found[i]) {
            char text[64];
            (void)snprintf(text, sizeof text, "table %s is missing beside the others",
                           dl_pipeline_table_name(i));
            tell_row(t, text);
        }
    }
    *out_count = count;
    return DL_OK;
}

static dl_status compare(dl_cli *cli, const dl_cli_lake *lake, dl_feed_source *source, telling *t,
                         int64_t *out_rows, dl_error *err)
{
    const dl_pipeline_options options_ = {.lake = lake->store,
                                          .state_folder = lake->state_folder,
                                          .parameters = lake->parameters,
                                          .reading = true,
                                          .clock = dl_clock_system(),
                                          .cancel = cli->stop};
    dl_pipeline *pipeline = NULL;
    DL_TRY(dl_pipeline_open(&options_, &pipeline, err));
    dl_status status = dl_pipeline_verify(pipeline, source, tell_row, t, out_rows, err);
    dl_pipeline_close(pipeline);
    return status;
}

/* Beside a running service through its feed; else through a service of our own for as long. */
static dl_status compare_with_feed(dl_cli *cli, const dl_cli_lake *lake, telling *t,
                                   int64_t *out_rows, dl_error *err)
{
    DL_CLI_AUTO_PEER peer = NULL;
    const dl_cli_where where = {.home = lake->home};
    dl_feed_source *source = NULL;
    DL_TRY(dl_cli_peer_open(cli, &where, false, &peer, err));
    dl_service *own = dl_cli_peer_service(peer);
    if (own != NULL) {
        DL_TRY(dl_service_feed_open(own, &source, err));
    } else {
        const dl_feed_http_options http = {.base_url = dl_cli_peer_root(peer),
                                           .api_version = lake->parameters.api_version,
                                           .cancel = cli->stop};
        DL_TRY(dl_feed_http_open(&http, &source, err));
    }
    dl_status status = compare(cli, lake, source, t, out_rows, err);
    dl_feed_source_close(source);
    return status;
}

/* The lake that the words name, opened before anything long begins; `lake->store` stays NULL when
 * the home was never synced. */
static dl_status open_lake(const dl_cli *cli, const verify_options *o, dl_cli_lake *lake,
                           dl_error *err)
{
    dl_error local = {0};
    dl_status status = o->no_tables ? DL_OK : dl_cli_lake_open(cli, &o->where, false, lake, &local);
    if (status == DL_OK || (status == DL_E_NOT_FOUND && o->where.lake == NULL)) {
        return DL_OK;
    }
    if (err != NULL) {
        *err = local;
    }
    return status;
}

/* Whether the words say which tables are meant: that there are none is then no good news. */
static bool are_named(const dl_cli_lake_where *where)
{
    bool named = where->lake != NULL;
    for (size_t i = 0; i < DL_COUNT_OF(where->parameter); i++) {
        named = named || where->parameter[i] != NULL;
    }
    return named;
}

static void tell_of_none(const dl_cli_lake_where *where, telling *t)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "there are no tables in container %s of %s, which the options name",
                   where->parameter[CONTAINER] == NULL ? "dicom" : where->parameter[CONTAINER],
                   where->lake == NULL ? "the home" : where->lake);
    tell_row(t, text);
}

static dl_status look_at_tables(dl_cli *cli, const dl_cli_lake *lake, telling *t,
                                tables_result *out_result, dl_error *err)
{
    size_t count = 0;
    DL_TRY(find_tables(lake, t, &count, err));
    out_result->compared = count > 0;
    if (count < DL_PIPELINE_TABLES) {
        return DL_OK;
    }
    dl_status status = compare_with_feed(cli, lake, t, &out_result->rows, err);
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status, "comparing the tables with the feed");
}

/* That they cannot be compared to their end is a finding too: what was found before is told. */
static dl_status verify_tables(dl_cli *cli, const verify_options *o, const dl_cli_lake *lake,
                               watcher *w, tables_result *out_result, dl_error *err)
{
    telling t = {.watcher = w};
    dl_status status = lake->store == NULL
                           ? DL_OK
                           : look_at_tables(cli, lake, &t, out_result, &out_result->failure);
    if (status == DL_E_CANCELED) {
        return dl_error_set(err, status, "%s", out_result->failure.message);
    }
    if (status != DL_OK) {
        out_result->compared = true;
        tell_row(&t, out_result->failure.message);
    }
    if (!out_result->compared && !o->no_tables && are_named(&o->where)) {
        out_result->compared = true;
        tell_of_none(&o->where, &t);
    }
    out_result->problems = t.count;
    return DL_OK;
}

/* ---- the outcome ---- */

static void print_text(const dl_cli *cli, const dl_service_verify_result *r, const tables_result *t)
{
    char tables[64] = "";
    int64_t problems = r->problems + t->problems;
    if (t->compared) {
        (void)snprintf(tables, sizeof tables, ", %lld rows of tables", (long long)t->rows);
    }
    (void)fprintf(cli->out,
                  "%lld instances, %lld files, %lld bytes, %lld changes, %lld files waiting for "
                  "removal, %lld moved aside%s: %lld problem%s\n",
                  (long long)r->instances, (long long)r->files, (long long)r->bytes,
                  (long long)r->changes, (long long)r->waiting, (long long)r->unreferenced, tables,
                  (long long)problems, problems == 1 ? "" : "s");
}

typedef struct number {
    const char *key;
    int64_t value;
} number;

static void put_numbers(dl_json_writer *w, const number *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dl_json_key(w, dl_str_of(numbers[i].key));
        dl_json_int(w, numbers[i].value);
    }
}

static void put_tables(dl_json_writer *w, const tables_result *t)
{
    const number numbers[] = {{"rows", t->rows}, {"problems", t->problems}};
    dl_json_key(w, DL_STR("tables"));
    if (!t->compared) {
        dl_json_null(w);
        return;
    }
    dl_json_object_begin(w);
    put_numbers(w, numbers, DL_COUNT_OF(numbers));
    dl_json_object_end(w);
}

typedef struct outcome {
    dl_service_verify_result archive;
    tables_result tables;
} outcome;

static dl_status print_json(const dl_cli *cli, const outcome *out, const dl_buf *problems,
                            const dl_buf *notices, dl_error *err)
{
    const dl_service_verify_result *r = &out->archive;
    const number counts[] = {{"instances", r->instances},
                             {"files", r->files},
                             {"bytes", r->bytes},
                             {"changes", r->changes},
                             {"waiting", r->waiting},
                             {"unreferenced", r->unreferenced},
                             {"problemCount", r->problems + out->tables.problems}};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 2 * PROBLEM_LIMIT_BYTES + 4096);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    dl_json_object_begin(&w);
    put_numbers(&w, counts, DL_COUNT_OF(counts));
    put_tables(&w, &out->tables);
    dl_json_key(&w, DL_STR("problems"));
    dl_json_raw(&w, dl_buf_str(problems));
    dl_json_key(&w, DL_STR("notices"));
    dl_json_raw(&w, dl_buf_str(notices));
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    (void)fprintf(cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
    return DL_OK;
}

/* The archive first: a service started for the tables would put right what a crash left. */
static dl_status look(dl_cli *cli, const verify_options *o, watcher *w, outcome *out, dl_error *err)
{
    const dl_service_verify_options options_ = {.home = o->where.home,
                                                .hash = o->hash,
                                                .cancel = cli->stop,
                                                .problem = tell_problem,
                                                .notice = tell_notice,
                                                .progress = tell_progress,
                                                .context = w};
    DL_CLEANUP(dl_cli_lake_close) dl_cli_lake lake = {0};
    DL_TRY(dl_cli_peer_check_home(o->where.home, err));
    DL_TRY(open_lake(cli, o, &lake, err));
    DL_TRY(dl_service_verify(&options_, &out->archive, err));
    return verify_tables(cli, o, &lake, w, &out->tables, err);
}

static dl_status verify(dl_cli *cli, const verify_options *o, outcome *out, dl_error *err)
{
    DL_AUTO(dl_cli_progress) progress = NULL;
    DL_AUTO_BUF problems = {0};
    DL_AUTO_BUF notices = {0};
    dl_buf_init(&problems, PROBLEM_LIMIT_BYTES);
    dl_buf_init(&notices, PROBLEM_LIMIT_BYTES);
    DL_TRY(dl_cli_progress_create(cli->err, "verifying", "files", &progress, err));
    watcher w = {.cli = cli, .progress = progress, .json = o->json};
    dl_json_writer_init(&w.problems, &problems, err);
    dl_json_writer_init(&w.notices, &notices, err);
    dl_json_array_begin(&w.problems);
    dl_json_array_begin(&w.notices);
    dl_status status = look(cli, o, &w, out, err);
    dl_json_array_end(&w.problems);
    dl_json_array_end(&w.notices);
    dl_cli_progress_clear(progress);
    DL_TRY(status);
    if (!o->json) {
        print_text(cli, &out->archive, &out->tables);
        return DL_OK;
    }
    DL_TRY(dl_json_writer_status(&w.problems));
    DL_TRY(dl_json_writer_status(&w.notices));
    return print_json(cli, out, &problems, &notices, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    verify_options o = *(const verify_options *)given;
    dl_error err = {0};
    outcome out = {0};
    if (o.where.home == NULL) {
        o.where.home = cli->env_home;
    }
    if (o.where.home == NULL) {
        (void)dl_error_set(&err, DL_E_INVALID, "no archive named");
        dl_error_hint(&err, "give --home DIR, or set DICOMLAKE_HOME");
        return dl_cli_fail(cli, &err);
    }
    if (verify(cli, &o, &out, &err) != DL_OK) {
        return dl_cli_flush(cli, dl_cli_fail(cli, &err));
    }
    if (out.tables.failure.status != DL_OK) {
        (void)dl_cli_fail(cli, &out.tables.failure);
    }
    bool well = out.archive.problems + out.tables.problems == 0;
    return dl_cli_flush(cli, well ? DL_CLI_DONE : DL_CLI_FAILED);
}

const dl_cli_command dl_cli_verify = {
    .name = "verify",
    .synopsis = "",
    .summary = "Check that index, files, change feed and tables of an archive agree; also while it "
               "is served.",
    .details = "The tables, where there are any, are compared row by row with the feed, read anew "
               "from its\n"
               "start; a row that differs is named.\n"
               "Exit codes: 0 all is well, 1 problems were found, 2 wrong usage.",
    .example = "dicomlake verify --home ~/archive --hash",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(verify_options),
    .run = run,
};
