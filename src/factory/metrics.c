/* GET /metrics: figures in Prometheus' text format (version 0.0.4), one sample a pipeline.
 *
 * How far a pipeline is behind its feed is asked of the feed itself, at most every few seconds and
 * for a few seconds in all: a source that is down makes an answer without that figure, and
 * dicomlake_feed_up says so. */
#include "factory/routes_internal.h"

#include "base/number.h"
#include "factory/probe.h"

enum {
    TEXT_LIMIT_BYTES = 16 * 1024 * 1024,
    KEPT_US = 10 * 1000000,  /* an answer of a feed */
    BUDGET_US = 3 * 1000000, /* for asking feeds, of one scrape */
    CONNECT_TIMEOUT_S = 2,
    IDLE_TIMEOUT_S = 2,
    RUNS_LOOKED_AT = 10, /* for the watermark: a backfill's may be behind the one before it */
};

typedef struct figures {
    dl_str pipeline;
    dl_run_totals totals;
    bool has_feed, up;
    bool has_lag_changes, has_lag_s;
    int64_t lag_changes;
    double lag_s;
} figures;

/* ---- what the feed says ---- */

static bool newest_known(dl_factory_routes *routes, dl_str connection, dl_feed_newest *out)
{
    bool found = false;
    int64_t now_us = dl_clock_monotonic_us();
    pthread_mutex_lock(&routes->lock);
    for (size_t i = 0; i < routes->feed_count && !found; i++) {
        found = dl_str_eq(dl_str_of(routes->feeds[i].connection), connection) &&
                now_us - routes->feeds[i].looked_us < KEPT_US;
        *out = found ? routes->feeds[i] : *out;
    }
    pthread_mutex_unlock(&routes->lock);
    return found;
}

/* In the place of the same connection, a free one, or the oldest. */
static void remember(dl_factory_routes *routes, const dl_feed_newest *newest)
{
    size_t at = 0;
    pthread_mutex_lock(&routes->lock);
    dl_feed_newest *feeds = routes->feeds;
    for (size_t i = 0; i < routes->feed_count; i++) {
        if (dl_str_eq(dl_str_of(feeds[i].connection), dl_str_of(newest->connection))) {
            at = i;
            break;
        }
        at = feeds[i].looked_us < feeds[at].looked_us ? i : at;
        if (i + 1 == routes->feed_count && routes->feed_count < DL_ROUTES_FEEDS) {
            at = routes->feed_count;
        }
    }
    routes->feed_count += at == routes->feed_count ? 1 : 0;
    feeds[at] = *newest;
    pthread_mutex_unlock(&routes->lock);
}

static dl_status ask_feed(dl_factory_request *r, dl_str name, dl_feed_newest *out, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_factory_connection connection = {0};
    dl_feed_source *source = NULL;
    const dl_feed_http_options options = {
        .try_limit = 1, .connect_timeout_s = CONNECT_TIMEOUT_S, .idle_timeout_s = IDLE_TIMEOUT_S};
    DL_TRY(
        dl_catalog_draft(dl_request_factory(r), DL_FACTORY_CONNECTION, name, r->arena, &json, err));
    DL_TRY(dl_factory_read_connection(json, r->arena, &connection, NULL, err));
    DL_TRY(dl_connection_feed(dl_request_factory(r), &connection, &options, &source, err));
    dl_status status =
        source->ops->latest(source, &out->sequence, &out->time_us, options.cancel, err);
    dl_feed_source_close(source);
    return status == DL_E_NOT_FOUND ? DL_OK : status; /* an empty feed */
}

/* False: not known, since the time for asking is over. */
static bool find_newest(dl_factory_request *r, dl_str connection, int64_t until_us,
                        dl_feed_newest *out)
{
    if (newest_known(dl_request_routes(r), connection, out)) {
        return true;
    }
    dl_feed_newest fresh = {0};
    if (dl_clock_monotonic_us() >= until_us ||
        !dl_str_copy(connection, fresh.connection, sizeof fresh.connection)) {
        return false;
    }
    dl_error cause = {0};
    fresh.up = ask_feed(r, connection, &fresh, &cause) == DL_OK;
    fresh.looked_us = dl_clock_monotonic_us();
    remember(dl_request_routes(r), &fresh);
    *out = fresh;
    return true;
}

/* ---- how far the tables are ---- */

static void take_watermark(const dl_run *run, dl_arena *arena, int64_t *watermark, int64_t *time_us)
{
    dl_str value = DL_STR_NONE;
    dl_str text = DL_STR_NONE;
    int64_t sequence = 0;
    if (!dl_json_get(run->counts, DL_STR("watermark"), &value) ||
        !dl_json_int_of(value, &sequence) || sequence <= *watermark) {
        return;
    }
    *watermark = sequence;
    *time_us = 0;
    if (dl_json_get(run->counts, DL_STR("watermarkTime"), &value) &&
        dl_json_kind_of(value) == DL_JSON_STRING &&
        dl_json_text(value, arena, &text, NULL) == DL_OK) {
        (void)dl_clock_parse(text, time_us);
    }
}

static dl_status find_watermark(dl_factory_request *r, dl_str pipeline, int64_t *out_watermark,
                                int64_t *out_time_us, dl_error *err)
{
    const dl_run_filter filter = {.by_status = true,
                                  .status = DL_RUN_SUCCEEDED,
                                  .pipeline = pipeline,
                                  .limit = RUNS_LOOKED_AT};
    dl_run *runs = NULL;
    size_t count = 0;
    DL_TRY(dl_runs_list(dl_request_factory(r), &filter, r->arena, &runs, &count, err));
    for (size_t i = 0; i < count; i++) {
        take_watermark(&runs[i], r->arena, out_watermark, out_time_us);
    }
    return DL_OK;
}

static dl_status measure_lag(dl_factory_request *r, figures *f, int64_t until_us, dl_error *err)
{
    dl_str json = DL_STR_NONE;
    dl_error cause = {0};
    int64_t watermark = 0;
    int64_t watermark_us = 0;
    dl_feed_newest newest = {0};
    dl_factory_pipeline *pipeline = dl_arena_alloc(r->arena, 1, sizeof *pipeline);
    if (pipeline == NULL) {
        return dl_arena_full(r->arena, err);
    }
    if (dl_request_routes(r)->options.work == NULL ||
        dl_catalog_published(dl_request_factory(r), DL_FACTORY_PIPELINE, f->pipeline, r->arena,
                             &json, &cause) != DL_OK ||
        dl_factory_read_pipeline(json, r->arena, pipeline, NULL, &cause) != DL_OK ||
        !find_newest(r, pipeline->dicom, until_us, &newest)) {
        return DL_OK; /* nobody runs it here, a draft alone, or no time: no figure */
    }
    f->has_feed = true;
    f->up = newest.up;
    if (!newest.up) {
        return DL_OK;
    }
    DL_TRY(find_watermark(r, f->pipeline, &watermark, &watermark_us, err));
    f->has_lag_changes = true;
    f->lag_changes = newest.sequence > watermark ? newest.sequence - watermark : 0;
    f->has_lag_s = f->lag_changes == 0 || watermark_us != 0;
    if (f->lag_changes > 0 && newest.time_us > watermark_us) {
        f->lag_s = (double)(newest.time_us - watermark_us) / 1e6;
    }
    return DL_OK;
}

/* ---- the text ---- */

/* Label values: backslash, quote and newline are escaped. */
static dl_status put_label(dl_buf *out, const char *name, dl_str value, dl_error *err)
{
    DL_TRY(dl_buf_printf(out, err, "%s=\"", name));
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '\\' || c == '"') {
            DL_TRY(dl_buf_append_char(out, '\\', err));
        }
        DL_TRY(c == '\n' ? dl_buf_append_str(out, DL_STR("\\n"), err)
                         : dl_buf_append_char(out, c, err));
    }
    return dl_buf_append_char(out, '"', err);
}

static dl_status put_sample(dl_buf *out, const char *name, dl_str pipeline, const char *status,
                            double value, dl_error *err)
{
    char number[DL_NUMBER_TEXT_SIZE];
    DL_TRY(dl_buf_printf(out, err, "%s{", name));
    DL_TRY(put_label(out, "pipeline", pipeline, err));
    if (status != NULL) {
        DL_TRY(dl_buf_append_char(out, ',', err));
        DL_TRY(put_label(out, "status", dl_str_of(status), err));
    }
    DL_TRY(dl_buf_append_str(out, DL_STR("} "), err));
    DL_TRY(dl_buf_append(out, number, dl_number_format(value, number), err));
    return dl_buf_append_char(out, '\n', err);
}

static dl_status put_head(dl_buf *out, const char *name, const char *type, const char *help,
                          dl_error *err)
{
    return dl_buf_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

typedef struct context {
    int64_t now_us;
    const figures *f;
} context;

/* One figure of a pipeline; false: there is none. */
typedef bool figure_of(const context *c, double *out_value);

/* clang-format off */
static bool in_progress(const context *c, double *v) { *v = (double)c->f->totals.by_status[DL_RUN_IN_PROGRESS]; return true; }
static bool queued(const context *c, double *v)      { *v = (double)c->f->totals.by_status[DL_RUN_QUEUED]; return true; }
static bool changes(const context *c, double *v)     { *v = (double)c->f->totals.changes; return true; }
static bool rows_in(const context *c, double *v)     { *v = (double)c->f->totals.rows_in; return true; }
static bool rows_out(const context *c, double *v)    { *v = (double)c->f->totals.rows_out; return true; }
static bool bytes(const context *c, double *v)       { *v = (double)c->f->totals.bytes; return true; }
static bool waiting(const context *c, double *v)     { *v = (double)c->f->totals.waiting_windows; return true; }
static bool feed_up(const context *c, double *v)     { *v = c->f->up ? 1 : 0; return c->f->has_feed; }
static bool lag_changes(const context *c, double *v) { *v = (double)c->f->lag_changes; return c->f->has_lag_changes; }
static bool lag_s(const context *c, double *v)       { *v = c->f->lag_s; return c->f->has_lag_s; }
/* clang-format on */

static bool last_success(const context *c, double *v)
{
    *v = (double)c->f->totals.last_success_us / 1e6;
    return c->f->totals.last_success_us != 0;
}

static bool oldest_age(const context *c, double *v)
{
    int64_t oldest_us = c->f->totals.oldest_waiting_us;
    *v = oldest_us == 0 || oldest_us > c->now_us ? 0 : (double)(c->now_us - oldest_us) / 1e6;
    return true;
}

/* clang-format off */
static const struct {
    const char *name, *type, *help;
    figure_of *of;
} metrics[] = {
    {"dicomlake_runs_in_progress", "gauge", "Runs in progress.", in_progress},
    {"dicomlake_runs_queued", "gauge", "Runs in the queue.", queued},
    {"dicomlake_changes_total", "counter", "Changes that runs took from the feed.", changes},
    {"dicomlake_rows_added_total", "counter", "Rows that runs added to the tables.", rows_in},
    {"dicomlake_rows_removed_total", "counter", "Rows that runs took from the tables; a replaced row is both.", rows_out},
    {"dicomlake_written_bytes_total", "counter", "Bytes that runs wrote to the lake.", bytes},
    {"dicomlake_feed_up", "gauge", "Whether the feed answered (1) or not (0).", feed_up},
    {"dicomlake_feed_lag_changes", "gauge", "Changes of the feed after the watermark of the last successful run.", lag_changes},
    {"dicomlake_feed_lag_seconds", "gauge", "Time from the watermark of the last successful run to the feed's newest change.", lag_s},
    {"dicomlake_last_success_timestamp_seconds", "gauge", "When a run succeeded last, in seconds since 1970.", last_success},
    {"dicomlake_windows_waiting", "gauge", "Windows that wait or are in progress.", waiting},
    {"dicomlake_oldest_waiting_window_age_seconds", "gauge", "Time since the end of the oldest such window; 0 without one.", oldest_age},
};
/* clang-format on */

static dl_status put_metric(dl_buf *out, size_t m, const figures *f, size_t count, int64_t now_us,
                            dl_error *err)
{
    DL_TRY(put_head(out, metrics[m].name, metrics[m].type, metrics[m].help, err));
    for (size_t i = 0; i < count; i++) {
        const context c = {.now_us = now_us, .f = &f[i]};
        double value = 0;
        if (metrics[m].of(&c, &value)) {
            DL_TRY(put_sample(out, metrics[m].name, f[i].pipeline, NULL, value, err));
        }
    }
    return DL_OK;
}

static int64_t ended(const dl_run_totals *totals)
{
    return totals->by_status[DL_RUN_SUCCEEDED] + totals->by_status[DL_RUN_FAILED] +
           totals->by_status[DL_RUN_CANCELLED];
}

static dl_status put_runs(dl_buf *out, const figures *f, size_t count, dl_error *err)
{
    static const dl_run_status ends[] = {DL_RUN_SUCCEEDED, DL_RUN_FAILED, DL_RUN_CANCELLED};
    static const char duration[] = "dicomlake_run_duration_seconds";
    DL_TRY(put_head(out, "dicomlake_runs_total", "counter", "Runs that ended, by how.", err));
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < DL_COUNT_OF(ends); k++) {
            DL_TRY(put_sample(out, "dicomlake_runs_total", f[i].pipeline,
                              dl_run_status_text(ends[k]), (double)f[i].totals.by_status[ends[k]],
                              err));
        }
    }
    DL_TRY(put_head(out, duration, "summary", "How long runs that ended took.", err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(put_sample(out, "dicomlake_run_duration_seconds_sum", f[i].pipeline, NULL,
                          f[i].totals.seconds_sum, err));
        DL_TRY(put_sample(out, "dicomlake_run_duration_seconds_count", f[i].pipeline, NULL,
                          (double)ended(&f[i].totals), err));
    }
    return DL_OK;
}

static dl_status measure(dl_factory_request *r, figures **out_figures, size_t *out_count,
                         dl_error *err)
{
    dl_factory_entry *entries = NULL;
    size_t count = 0;
    int64_t until_us = dl_clock_monotonic_us() + BUDGET_US;
    DL_TRY(dl_catalog_list(dl_request_factory(r), DL_FACTORY_PIPELINE, r->arena, &entries, &count,
                           err));
    figures *list = dl_arena_alloc(r->arena, count + 1, sizeof *list);
    if (list == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        list[i].pipeline = entries[i].name;
        DL_TRY(dl_runs_totals(dl_request_factory(r), entries[i].name, &list[i].totals, err));
        DL_TRY(measure_lag(r, &list[i], until_us, err));
    }
    *out_figures = list;
    *out_count = count;
    return DL_OK;
}

dl_status dl_route_metrics(dl_factory_request *r, dl_error *err)
{
    figures *f = NULL;
    size_t count = 0;
    dl_factory *factory = dl_request_factory(r);
    dl_status status = measure(r, &f, &count, err);
    bool up = dl_factory_fault(factory, NULL) == DL_OK;
    if (status != DL_OK && up) {
        return status;
    }
    if (!up) { /* what is not in the database can be told all the same */
        dl_error_clear(err);
        count = 0;
    }
    DL_AUTO_BUF out = {0};
    dl_buf_init(&out, TEXT_LIMIT_BYTES);
    DL_TRY(put_runs(&out, f, count, err));
    for (size_t m = 0; m < DL_COUNT_OF(metrics); m++) {
        DL_TRY(put_metric(&out, m, f, count, dl_factory_now_us(factory), err));
    }
    static const char database[] = "dicomlake_pipelines_database_up";
    DL_TRY(put_head(&out, database, "gauge",
                    "Whether the database of pipelines and runs can be used.", err));
    DL_TRY(dl_buf_printf(&out, err, "%s %d\n", database, up ? 1 : 0));
    static const char running[] = "dicomlake_scheduler_running";
    DL_TRY(put_head(&out, running, "gauge", "Whether a process schedules on this home.", err));
    DL_TRY(dl_buf_printf(&out, err, "%s %d\n", running, dl_scheduler_is_running(factory) ? 1 : 0));
    const dl_factory_routes_options *options = &dl_request_routes(r)->options;
    if (options->put_metrics != NULL) {
        DL_TRY(options->put_metrics(options->metrics_context, &out, err));
    }
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_http_respond_buf(r->x, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
    return DL_OK;
}
