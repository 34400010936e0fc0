/**
 * What runs cost: a year of hourly windows, and a list of many runs.
 *
 *     bench-factory-runs FOLDER FEED_URL [WINDOWS [RUNS]]
 *
 * FOLDER is new; FEED_URL is a change feed without changes before 2002. Prints one JSON object:
 * windows scheduled, run by a work function that does nothing and recorded; the same with the real
 * work on windows of 2001; the slowest list of 100 runs by any filter among RUNS. The clock of the
 * factory is simulated, its database is synced to disk as always.
 */
#include "base/log.h"
#include "base/mem.h"
#include "factory/catalog.h"
#include "factory/gallery.h"
#include "factory/work.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    YEAR_WINDOWS = 8760,
    LISTED_RUNS = 100000,
    LIST_ROUNDS = 20,
    ARENA_BYTES = 64 * 1024 * 1024,
    PATH_SIZE = 4096,
};
static const int64_t hour_us = 3600LL * 1000000;
static const int64_t start_us = 978307200LL * 1000000; /* 2001-01-01T00:00:00Z */

static void need(dl_status status, const dl_error *err)
{
    if (status != DL_OK) {
        (void)fprintf(stderr, "bench-factory-runs: %s\n", err->message);
        exit(1);
    }
}

typedef struct home {
    char folder[PATH_SIZE];
    int64_t now_us;
    dl_factory *factory;
    dl_arena *arena;
    dl_error err;
} home;

static int64_t now(void *context)
{
    return ((home *)context)->now_us;
}

static void open_home(home *h, const char *folder, const char *name)
{
    dl_factory_options options = {.home = h->folder, .clock = {now, h}};
    (void)snprintf(h->folder, sizeof h->folder, "%s/%s", folder, name);
    h->now_us = start_us;
    h->arena = dl_arena_create(ARENA_BYTES);
    need(dl_factory_open(&options, &h->factory, &h->err), &h->err);
}

static void close_home(home *h)
{
    dl_factory_close(h->factory);
    dl_arena_destroy(h->arena);
}

static void save(home *h, dl_factory_kind kind, dl_buf *json)
{
    need(dl_catalog_save(h->factory, kind, dl_buf_str(json), true, &h->err), &h->err);
    dl_buf_reset(json);
}

/* The article's pipeline and trigger, hourly windows from 2001 on. */
static void publish(home *h, const char *url, const char *lake_folder)
{
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    dl_factory_connection dicom = {
        .name = DL_STR("d"), .type = DL_FACTORY_DICOM, .url = dl_str_of(url)};
    dl_factory_connection lake = {
        .name = DL_STR("l"), .type = DL_FACTORY_LAKE, .url = dl_str_of(lake_folder)};
    need(dl_factory_write_connection(&dicom, DL_STR_NONE, &json, &h->err), &h->err);
    save(h, DL_FACTORY_CONNECTION, &json);
    need(dl_factory_write_connection(&lake, DL_STR_NONE, &json, &h->err), &h->err);
    save(h, DL_FACTORY_CONNECTION, &json);
    dl_factory_pipeline pipeline = {0};
    need(dl_gallery_make(dl_gallery_find(DL_STR("copy-dicom-metadata-changes")), DL_STR("p"),
                         DL_STR("d"), DL_STR("l"), h->arena, &pipeline, &h->err),
         &h->err);
    need(dl_factory_write_pipeline(&pipeline, DL_STR_NONE, &json, &h->err), &h->err);
    save(h, DL_FACTORY_PIPELINE, &json);
    dl_factory_trigger trigger = {.name = DL_STR("hourly"),
                                  .pipeline = DL_STR("p"),
                                  .type = DL_FACTORY_TUMBLING,
                                  .started = true,
                                  .frequency = DL_CALENDAR_HOUR,
                                  .interval = 1,
                                  .start_us = start_us,
                                  .end_us = INT64_MAX,
                                  .max_concurrency = 1,
                                  .retry_interval_s = 30,
                                  .parameter_count = 2};
    trigger.parameters[0] =
        (dl_factory_parameter){DL_STR("StartTime"), DL_STR("string"),
                               DL_STR("@formatDateTime(trigger().outputs.windowStartTime)")};
    trigger.parameters[1] =
        (dl_factory_parameter){DL_STR("EndTime"), DL_STR("string"),
                               DL_STR("@formatDateTime(trigger().outputs.windowEndTime)")};
    need(dl_factory_write_trigger(&trigger, DL_STR_NONE, &json, &h->err), &h->err);
    save(h, DL_FACTORY_TRIGGER, &json);
    dl_buf_clear(&json);
    size_t count = 0;
    need(dl_catalog_publish(h->factory, DL_STR_NONE, &count, &h->err), &h->err);
}

static void do_nothing(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
{
    (void)context;
    (void)arena;
    (void)cancel;
    run->status = DL_RUN_SUCCEEDED;
}

/* Seconds from the first step to the last recorded end; each hour of the clock is a step. */
static double run_windows(home *h, dl_scheduler_work work, int64_t windows)
{
    dl_scheduler *scheduler = NULL;
    dl_scheduler_options options = {
        .factory = h->factory, .work = work, .history_us = INT64_MAX / 2};
    need(dl_scheduler_open(&options, &scheduler, &h->err), &h->err);
    int64_t began_us = dl_clock_monotonic_us(), next_us = 0;
    for (int64_t i = 0; i < windows; i++) {
        h->now_us += hour_us;
        need(dl_scheduler_step(scheduler, &next_us, &h->err), &h->err);
    }
    double seconds = (double)(dl_clock_monotonic_us() - began_us) / 1e6;
    dl_scheduler_close(scheduler);
    dl_run_totals totals = {0};
    need(dl_runs_totals(h->factory, DL_STR("p"), &totals, &h->err), &h->err);
    if (totals.by_status[DL_RUN_SUCCEEDED] != windows) {
        dl_run_filter filter = {.by_status = true, .status = DL_RUN_FAILED, .limit = 1};
        dl_run *runs = NULL;
        size_t count = 0;
        need(dl_runs_list(h->factory, &filter, h->arena, &runs, &count, &h->err), &h->err);
        (void)fprintf(stderr, "bench-factory-runs: %lld of %lld windows succeeded; %.*s\n",
                      (long long)totals.by_status[DL_RUN_SUCCEEDED], (long long)windows,
                      DL_STR_ARG(count > 0 ? runs[0].cause : DL_STR("none failed")));
        exit(1);
    }
    return seconds;
}

/* The requests of all runs after the first, which has the lake to make. */
static int64_t most_requests(home *h, int64_t windows)
{
    dl_run *runs = NULL;
    size_t count = 0;
    int64_t most = 0;
    dl_run_filter filter = {.limit =
                                windows < DL_RUN_LIST_LIMIT ? (size_t)windows : DL_RUN_LIST_LIMIT};
    need(dl_runs_list(h->factory, &filter, h->arena, &runs, &count, &h->err), &h->err);
    for (size_t i = 0; i + 1 < count; i++) {
        dl_str value;
        int64_t requests = INT64_MAX; /* a run that does not say */
        if (dl_json_get(runs[i].counts, DL_STR("requests"), &value)) {
            (void)dl_json_int_of(value, &requests);
        }
        most = requests > most ? requests : most;
    }
    return most;
}

static void fill_runs(home *h, int64_t count)
{
    dl_db *db = NULL;
    need(dl_factory_lock(h->factory, DL_FACTORY_WRITE, &db, &h->err), &h->err);
    dl_db_stmt *q = NULL;
    need(dl_db_begin(db, true, &h->err), &h->err);
    need(dl_db_query(
             db,
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)"
             " INSERT INTO run(id, group_id, pipeline, trigger, type, scheduled_us, queued_us,"
             " started_us, ended_us, not_before_us, status, attempt, retry, asked, newest,"
             " parameters, cause, counts) SELECT printf('%08x-0000-4000-8000-%012x', i, i),"
             " printf('%08x-0000-4000-8000-%012x', i / 2, i / 2), 'pipeline-' || (i % 7),"
             " 'trigger-' || (i % 13), 0, i, ?2 + i * 1000000, i, i, 0,"
             " CASE WHEN i % 1000 = 0 THEN 3 WHEN i % 1001 = 0 THEN 4 ELSE 2 END, 1, 0, 0, 0,"
             " printf('%.400c', 'x'), '', printf('%.900c', 'x') FROM n",
             &q, &h->err),
         &h->err);
    dl_db_bind_int(q, 1, count);
    dl_db_bind_int(q, 2, start_us);
    need(dl_db_run(q, &h->err), &h->err);
    need(dl_db_commit(db, &h->err), &h->err);
    dl_factory_unlock(h->factory);
}

static double list_once_ms(home *h, const dl_run_filter *filter)
{
    dl_arena *arena = dl_arena_create(ARENA_BYTES);
    dl_run *runs = NULL;
    size_t count = 0;
    int64_t began_us = dl_clock_monotonic_us();
    need(dl_runs_list(h->factory, filter, arena, &runs, &count, &h->err), &h->err);
    double ms = (double)(dl_clock_monotonic_us() - began_us) / 1e3;
    dl_arena_destroy(arena);
    return ms;
}

/* The slowest of all filters, each the median of its rounds: newest page, a deep page, a bound of
 * time, one that matches nothing. */
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double slowest_list_ms(home *h, int64_t runs)
{
    static const char *const pipelines[] = {"", "pipeline-3", "none"};
    static const char *const triggers[] = {"", "trigger-5", "none"};
    double slowest = 0;
    char deep[DL_FACTORY_RUN_ID_SIZE];
    (void)snprintf(deep, sizeof deep, "%08x-0000-4000-8000-%012x", (unsigned)(runs / 10),
                   (unsigned)(runs / 10));
    for (unsigned mask = 0; mask < 3 * 3 * 4 * 2 * 2; mask++) {
        unsigned status = mask / 9 % 4;
        dl_run_filter filter = {.pipeline = dl_str_of(pipelines[mask % 3]),
                                .trigger = dl_str_of(triggers[mask / 3 % 3]),
                                .by_status = status > 0,
                                .status = status == 1   ? DL_RUN_SUCCEEDED
                                          : status == 2 ? DL_RUN_FAILED
                                                        : DL_RUN_QUEUED,
                                .after = mask / 36 % 2 > 0 ? dl_str_of(deep) : DL_STR_NONE,
                                .to_us = mask / 72 > 0 ? start_us + runs / 2 * 1000000 : 0};
        double rounds[LIST_ROUNDS];
        for (int i = 0; i < LIST_ROUNDS; i++) {
            rounds[i] = list_once_ms(h, &filter);
        }
        qsort(rounds, LIST_ROUNDS, sizeof *rounds, by_value);
        slowest = rounds[LIST_ROUNDS / 2] > slowest ? rounds[LIST_ROUNDS / 2] : slowest;
    }
    return slowest;
}

static int64_t number(int argc, char **argv, int index, int64_t otherwise)
{
    int64_t value = otherwise;
    if (argc > index && (!dl_str_to_i64(dl_str_of(argv[index]), &value) || value < 2)) {
        (void)fprintf(stderr, "bench-factory-runs: not a number: %s\n", argv[index]);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "bench-factory-runs FOLDER FEED_URL [WINDOWS [RUNS]]\n");
        return 2;
    }
    int64_t windows = number(argc, argv, 3, YEAR_WINDOWS);
    int64_t runs = number(argc, argv, 4, LISTED_RUNS);
    dl_log_set_level(DL_LOG_OFF);
    static home h;
    char lake[PATH_SIZE + 8];
    open_home(&h, argv[1], "nothing");
    publish(&h, argv[2], "/nowhere");
    double nothing_s = run_windows(&h, (dl_scheduler_work){.run = do_nothing}, windows);
    close_home(&h);

    open_home(&h, argv[1], "real");
    (void)snprintf(lake, sizeof lake, "%s/lake", h.folder);
    publish(&h, argv[2], lake);
    dl_work *work = NULL;
    need(dl_work_create(h.factory, &work, &h.err), &h.err);
    double real_s = run_windows(&h, dl_work_ops(work), windows);
    int64_t requests = most_requests(&h, windows);
    dl_work_destroy(work);
    close_home(&h);

    open_home(&h, argv[1], "list");
    fill_runs(&h, runs);
    double list_ms = slowest_list_ms(&h, runs);
    close_home(&h);
    printf("{\"windows\":%lld,\"nothing_s\":%.3f,\"real_s\":%.3f,\"run_ms\":%.3f,"
           "\"requests\":%lld,\"runs\":%lld,\"list_ms\":%.3f}\n",
           (long long)windows, nothing_s, real_s, real_s * 1e3 / (double)windows,
           (long long)requests, (long long)runs, list_ms);
    return 0;
}
