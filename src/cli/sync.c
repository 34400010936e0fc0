#include "cli/cli.h"
#include "cli/lake.h"
#include "cli/peer.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/text.h"
#include "pipeline/pipeline.h"
#include "service/service.h"
#include "json/json.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    SUMMARY_LIMIT_BYTES = 1 << 20,
    WATCH_MS = 100,
    FOLLOW_HOME_MS = 2000, /* each look opens the home anew */
    HOME_TRIES = 2,        /* of a request; then a home is looked at anew */
};

typedef struct sync_options {
    dl_cli_lake_where where;
    const char *source, *profile, *mode, *token_file;
    dl_cli_list columns;
    uint64_t wait_s, interval_s, batch_changes;
    bool follow, rebuild, require_file_path, no_maintenance, json;
} sync_options;

static const sync_options defaults = {0};

/* clang-format off */
static const dl_cli_option options[] = {
    DL_CLI_LAKE_OPTIONS(sync_options, where),
    {"source", "URL", "a DICOM service instead of the home's own: ours or Microsoft's", DL_CLI_TEXT, 0, offsetof(sync_options, source), 0, 0},
    {"token-file", "FILE", "bearer token for the source, read anew for each request", DL_CLI_TEXT, 0, offsetof(sync_options, token_file), 0, 0},
    {"BatchSize", "N", "changes asked for in one page (default 200; our own service gives more)", DL_CLI_TEXT, 0, offsetof(sync_options, where.parameter[0]), 0, 0},
    {"ApiVersion", "N", "version of the source's API (default 2)", DL_CLI_TEXT, 0, offsetof(sync_options, where.parameter[1]), 0, 0},
    {"StartTime", "TIME", "one window: its start, inclusive (default: everything new)", DL_CLI_TEXT, 0, offsetof(sync_options, where.parameter[2]), 0, 0},
    {"EndTime", "TIME", "and its end, exclusive", DL_CLI_TEXT, 0, offsetof(sync_options, where.parameter[3]), 0, 0},
    {"profile", "NAME", "columns of new tables: template-r4 (default) or template-r2", DL_CLI_TEXT, 0, offsetof(sync_options, profile), 0, 0},
    {"mode", "NAME", "new tables: dv (deletion vectors, default) or compat (copy-on-write)", DL_CLI_TEXT, 0, offsetof(sync_options, mode), 0, 0},
    {"column", "NAME=ATTR:TYPE", "a further column of the instance table; may be repeated", DL_CLI_LIST, 0, offsetof(sync_options, columns), 0, 0},
    {"require-file-path", NULL, "leave out changes without filePath, as the template does", DL_CLI_SWITCH, 0, offsetof(sync_options, require_file_path), 0, 0},
    {"follow", NULL, "go on with new changes until Ctrl-C", DL_CLI_SWITCH, 'f', offsetof(sync_options, follow), 0, 0},
    {"interval", "SECONDS", "follow: at least so long from one commit to the next (default 0.3)", DL_CLI_NUMBER, 0, offsetof(sync_options, interval_s), 1, 86400},
    {"rebuild", NULL, "empty the tables first and take in the whole feed again", DL_CLI_SWITCH, 0, offsetof(sync_options, rebuild), 0, 0},
    {"no-maintenance", NULL, "no compaction and no vacuum", DL_CLI_SWITCH, 0, offsetof(sync_options, no_maintenance), 0, 0},
    {"batch-changes", "N", "most changes in one commit (default 50000)", DL_CLI_NUMBER, 0, offsetof(sync_options, batch_changes), 1, 10000000},
    {"wait", "SECONDS", "wait for another sync on the lake (default 0)", DL_CLI_NUMBER, 0, offsetof(sync_options, wait_s), 0, 86400},
    {"json", NULL, "print the summary as one JSON object", DL_CLI_SWITCH, 0, offsetof(sync_options, json), 0, 0},
};
/* clang-format on */

/* ---- watching ---- */

typedef struct watcher {
    dl_cli *cli;
    dl_cli_progress *progress;
    dl_pipeline *pipeline;
    pthread_t thread;
    _Atomic bool done;
    uint64_t shown, expected;
} watcher;

static void *watch(void *context)
{
    watcher *w = context;
    dl_cli_progress_add(w->progress, 0, 0); /* shown at once, also when the work is short */
    while (!atomic_load(&w->done)) {
        dl_pipeline_counts counts;
        dl_pipeline_counts_now(w->pipeline, &counts);
        int64_t total = counts.newest - counts.watermark + counts.changes;
        if (counts.newest > 0 && total > 0 && (uint64_t)total > w->expected) {
            dl_cli_progress_expect(w->progress, (uint64_t)total - w->expected, 0);
            w->expected = (uint64_t)total;
        }
        if ((uint64_t)counts.changes > w->shown) {
            dl_cli_progress_add(w->progress, (uint64_t)counts.changes - w->shown, 0);
            w->shown = (uint64_t)counts.changes;
        }
        struct timespec pause = {.tv_nsec = WATCH_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

static void tell_note(void *context, const char *note)
{
    watcher *w = context;
    dl_cli_progress_clear(w->progress);
    (void)fprintf(w->cli->err, "dicomlake: %s\n", note);
}

static void tell_retry(void *context, unsigned pause_ms, const char *cause)
{
    watcher *w = context;
    dl_cli_progress_clear(w->progress);
    (void)fprintf(w->cli->err, "dicomlake: %s; trying again in %.1f s\n", cause, pause_ms / 1e3);
}

/* ---- the summary ---- */

typedef struct stage {
    const char *name;
    int64_t took_us;
} stage;

static dl_status print_json(const dl_cli *cli, const dl_pipeline_counts *c, int64_t took_us,
                            dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, SUMMARY_LIMIT_BYTES);
    dl_json_writer w;
    dl_json_writer_init(&w, &text, err);
    const stage stages[] = {{"wait", c->wait_us},   {"fold", c->fold_us},
                            {"write", c->write_us}, {"commit", c->commit_us},
                            {"state", c->state_us}, {"maintain", c->maintain_us}};
    dl_json_object_begin(&w);
    dl_pipeline_counts_put(&w, c);
    dl_json_key(&w, DL_STR("milliseconds"));
    dl_json_int(&w, took_us / 1000);
    dl_json_key(&w, DL_STR("stageMilliseconds"));
    dl_json_object_begin(&w);
    for (size_t i = 0; i < DL_COUNT_OF(stages); i++) {
        dl_json_key(&w, dl_str_of(stages[i].name));
        dl_json_int(&w, stages[i].took_us / 1000);
    }
    dl_json_object_end(&w);
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    (void)fprintf(cli->out, "%.*s\n", DL_STR_ARG(dl_buf_str(&text)));
    return DL_OK;
}

static dl_status print_tables(const dl_cli *cli, const dl_pipeline_counts *c, dl_error *err)
{
    static const dl_cli_column columns[] = {
        {"TABLE", false, 0}, {"VERSION", true, 0}, {"ROWS", true, 0},  {"IN", true, 0},
        {"OUT", true, 0},    {"COMMITS", true, 0}, {"FILES", true, 0}, {"WRITTEN", true, 0}};
    DL_AUTO(dl_cli_table) table = NULL;
    DL_TRY(dl_cli_table_create(columns, DL_COUNT_OF(columns), &table, err));
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        const dl_pipeline_table_counts *t = &c->tables[i];
        char text[7][DL_CLI_AMOUNT_SIZE];
        const int64_t numbers[] = {t->version,  t->row_count, t->rows_in,
                                   t->rows_out, t->commits,   t->files_added};
        for (size_t k = 0; k < DL_COUNT_OF(numbers); k++) {
            (void)snprintf(text[k], sizeof text[k], "%" PRId64, numbers[k]);
        }
        dl_cli_text_bytes((uint64_t)dl_pipeline_table_bytes(t), text[6]);
        const dl_str cells[] = {dl_str_of(dl_pipeline_table_name(i)),
                                dl_str_of(text[0]),
                                dl_str_of(text[1]),
                                dl_str_of(text[2]),
                                dl_str_of(text[3]),
                                dl_str_of(text[4]),
                                dl_str_of(text[5]),
                                dl_str_of(text[6])};
        DL_TRY(dl_cli_table_add(table, cells, err));
    }
    return dl_cli_table_print(table, cli->out, err);
}

static dl_status print_summary(const dl_cli *cli, const dl_pipeline_counts *c, int64_t took_us,
                               dl_error *err)
{
    double seconds = (double)(took_us < 1 ? 1 : took_us) / 1e6;
    (void)fprintf(cli->out,
                  "%" PRId64 " changes in %.1f s (%.0f a second): %" PRId64 " inserted, %" PRId64
                  " updated, %" PRId64 " deleted, %" PRId64 " passed over; watermark %" PRId64 "\n",
                  c->changes, seconds, (double)c->changes / seconds, c->creates, c->updates,
                  c->deletes, c->skipped + c->stale, c->watermark);
    if (c->retries > 0 || c->replans > 0) {
        (void)fprintf(cli->out,
                      "%" PRId64 " requests were tried again, %" PRId64
                      " batches planned anew beside other writers\n",
                      c->retries, c->replans);
    }
    return print_tables(cli, c, err);
}

/* ---- running ---- */

static dl_status read_profile(const sync_options *o, dl_pipeline_options *p, dl_error *err)
{
    static const struct {
        const char *name;
        dl_pipeline_profile profile;
    } profiles[] = {{"template-r4", DL_PIPELINE_TEMPLATE_R4},
                    {"template-r2", DL_PIPELINE_TEMPLATE_R2}};
    bool found = o->profile == NULL;
    for (size_t i = 0; i < DL_COUNT_OF(profiles) && !found; i++) {
        found = strcmp(o->profile, profiles[i].name) == 0;
        p->profile = profiles[i].profile;
    }
    if (!found) {
        return dl_error_set(err, DL_E_INVALID, "no profile %s: template-r4 or template-r2",
                            o->profile);
    }
    if (o->mode != NULL && strcmp(o->mode, "dv") != 0 && strcmp(o->mode, "compat") != 0) {
        return dl_error_set(err, DL_E_INVALID, "no mode %s: dv or compat", o->mode);
    }
    p->compat = o->mode != NULL && strcmp(o->mode, "compat") == 0;
    return DL_OK;
}

/* The source: named, or the home's own service, in this process when none runs. */
typedef struct origin {
    dl_cli_peer *peer;
    dl_feed_source *source;
} origin;

static void origin_close(origin *from)
{
    dl_feed_source_close(from->source);
    dl_cli_peer_close(from->peer);
}

/** A home's service that went away is looked for anew, as `feed --follow` does: the next may listen
 * elsewhere, or be a command's own. */
static bool looks_anew(const sync_options *o)
{
    return o->follow && o->source == NULL;
}

/** `out->peer` is open, or the source is named. */
static dl_status connect_source(const dl_cli *cli, const sync_options *o, const dl_cli_lake *lake,
                                watcher *w, origin *out, dl_error *err)
{
    dl_feed_http_options http = {.base_url = o->source,
                                 .api_version = lake->parameters.api_version,
                                 .token_file = o->token_file,
                                 .try_limit = looks_anew(o) ? HOME_TRIES : 0,
                                 .cancel = cli->stop,
                                 .on_retry = tell_retry,
                                 .context = w};
    if (out->peer != NULL) {
        dl_service *own = dl_cli_peer_service(out->peer);
        if (own != NULL) {
            return dl_service_feed_open(own, &out->source, err);
        }
        http.base_url = dl_cli_peer_root(out->peer);
    }
    return dl_feed_http_open(&http, &out->source, err);
}

static dl_status open_source(const dl_cli *cli, const sync_options *o, const dl_cli_lake *lake,
                             watcher *w, origin *out, dl_error *err)
{
    if (o->source == NULL) {
        const dl_cli_where where = {.home = lake->home};
        if (lake->home == NULL) {
            (void)dl_error_set(err, DL_E_INVALID, "no source named");
            dl_error_hint(err, "give --source URL, or --home DIR for the service of a home");
            return DL_E_INVALID;
        }
        DL_TRY(dl_cli_peer_open(cli, &where, false, &out->peer, err));
    }
    return connect_source(cli, o, lake, w, out, err);
}

/** What opening the source anew takes. */
typedef struct reach {
    const dl_cli *cli;
    const sync_options *o;
    const dl_cli_lake *lake;
    watcher *w;
} reach;

/** Leave the home to others for a while: the changes to wait for come from them. */
static dl_status look_again(const reach *r, origin *from, dl_error *err)
{
    const dl_cli_where where = {.home = r->lake->home};
    unsigned pause_ms = (unsigned)r->o->interval_s * 1000;
    dl_feed_source_close(DL_STEAL(from->source));
    DL_TRY(dl_cli_peer_again(r->cli, &where, pause_ms > FOLLOW_HOME_MS ? pause_ms : FOLLOW_HOME_MS,
                             &from->peer, err));
    return connect_source(r->cli, r->o, r->lake, r->w, from, err);
}

/** One sync of a home that nobody serves; else along with its service until that is gone. */
static dl_status follow_turn(const reach *r, dl_pipeline *pipeline, origin *from,
                             dl_pipeline_counts *out_counts, dl_error *err)
{
    dl_pipeline_counts more = {0};
    bool own = from->peer != NULL && dl_cli_peer_service(from->peer) != NULL;
    dl_status status = own ? dl_pipeline_sync(pipeline, from->source, &more, err)
                           : dl_pipeline_follow(pipeline, from->source, &more, err);
    dl_pipeline_counts_add(out_counts, &more);
    if (status != DL_E_UNAVAILABLE || own || !looks_anew(r->o)) {
        return status;
    }
    dl_cli_progress_clear(r->w->progress);
    (void)fprintf(r->cli->err, "dicomlake: %s; looking for the service of the home again\n",
                  err->message);
    dl_error_clear(err);
    return DL_OK;
}

static dl_status follow(const reach *r, dl_pipeline *pipeline, origin *from,
                        dl_pipeline_counts *out_counts, dl_error *err)
{
    dl_status status = DL_OK;
    while (status == DL_OK && !dl_cancel_asked(r->cli->stop)) {
        status = follow_turn(r, pipeline, from, out_counts, err);
        if (status == DL_OK && looks_anew(r->o)) {
            status = look_again(r, from, err);
        }
    }
    if (status == DL_E_CANCELED) { /* Ctrl-C is how following ends */
        dl_error_clear(err);
        return DL_OK;
    }
    return status;
}

static dl_status run_pipeline(const reach *r, const dl_pipeline_options *options_, origin *from,
                              dl_pipeline_counts *out_counts, dl_error *err)
{
    const sync_options *o = r->o;
    watcher *w = r->w;
    dl_pipeline *pipeline = NULL;
    DL_TRY(dl_pipeline_open(options_, &pipeline, err));
    w->pipeline = pipeline;
    bool watching =
        dl_cli_progress_watched(w->progress) && pthread_create(&w->thread, NULL, watch, w) == 0;
    dl_status status = o->rebuild ? dl_pipeline_empty(pipeline, err) : DL_OK;
    if (status == DL_OK) {
        status = o->follow ? follow(r, pipeline, from, out_counts, err)
                           : dl_pipeline_sync(pipeline, from->source, out_counts, err);
    }
    atomic_store(&w->done, true);
    if (watching) {
        (void)pthread_join(w->thread, NULL);
    }
    dl_pipeline_close(pipeline);
    return status;
}

static dl_status sync(dl_cli *cli, const sync_options *o, dl_cli_lake *lake, dl_error *err)
{
    DL_AUTO(dl_cli_progress) progress = NULL;
    DL_TRY(dl_cli_progress_create(cli->err, "syncing", "changes", &progress, err));
    watcher w = {.cli = cli, .progress = progress};
    dl_pipeline_options p = {.lake = lake->store,
                             .state_folder = lake->state_folder,
                             .parameters = lake->parameters,
                             .columns = o->columns.items,
                             .column_count = o->columns.count,
                             .batch_changes = (size_t)o->batch_changes,
                             .require_file_path = o->require_file_path,
                             .allow_short_retention = o->where.short_retention,
                             .lock_wait_s = (unsigned)o->wait_s,
                             .follow_interval_s = (unsigned)o->interval_s,
                             .follow_ends = looks_anew(o),
                             .no_maintenance = o->no_maintenance,
                             .clock = dl_clock_system(),
                             .cancel = cli->stop,
                             .on_note = tell_note,
                             .context = &w};
    DL_TRY(read_profile(o, &p, err));
    DL_CLEANUP(origin_close) origin from = {0};
    DL_TRY(open_source(cli, o, lake, &w, &from, err));
    dl_pipeline_counts counts = {0};
    int64_t begin = dl_clock_monotonic_us();
    const reach r = {cli, o, lake, &w};
    dl_status status = run_pipeline(&r, &p, &from, &counts, err);
    int64_t took_us = dl_clock_monotonic_us() - begin;
    dl_cli_progress_clear(progress);
    DL_TRY(status);
    return o->json ? print_json(cli, &counts, took_us, err)
                   : print_summary(cli, &counts, took_us, err);
}

static dl_cli_exit run(dl_cli *cli, const void *given, DL_UNUSED const dl_cli_args *args)
{
    const sync_options *o = given;
    dl_error err = {0};
    dl_cli_lake lake = {0};
    if (o->interval_s > 0 && !o->follow) {
        (void)dl_error_set(&err, DL_E_INVALID, "sync: --interval goes with --follow");
        return dl_cli_fail(cli, &err);
    }
    dl_status status = dl_cli_lake_open(cli, &o->where, true, &lake, &err);
    if (status == DL_OK) {
        status = sync(cli, o, &lake, &err);
    }
    dl_cli_lake_close(&lake);
    return dl_cli_flush(cli, status == DL_OK ? DL_CLI_DONE : dl_cli_fail(cli, &err));
}

const dl_cli_command dl_cli_sync = {
    .name = "sync",
    .synopsis = "",
    .summary = "Bring the change feed into the three Delta tables: instance, series, study.",
    .details =
        "Without StartTime and EndTime: everything new since the last sync. The tables themselves\n"
        "say how far they are, so a sync that was cut off is simply run again.\n"
        "Exit codes: 0 done, 1 failed (what was committed stays), 2 wrong usage.",
    .example = "dicomlake sync --home ~/archive",
    .options = options,
    .option_count = DL_COUNT_OF(options),
    .defaults = &defaults,
    .options_size = sizeof(sync_options),
    .run = run,
};
