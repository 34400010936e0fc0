/* What runs do, over a feed in this process that fails when it is told to. */
#include "tap.h"

#include "base/log.h"
#include "factory/catalog.h"
#include "factory/probe.h"
#include "factory/work_internal.h"
#include "json/json.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOUR_US (3600LL * 1000000)
#define START_US (1767225600LL * 1000000) /* 2026-01-01T00:00:00Z */
enum { ARENA_BYTES = 64 << 20 };

/* ---- a feed ---- */

typedef struct feed {
    pthread_mutex_t lock; /* guards everything below */
    int64_t rows;         /* sequence and study of row i are i + 1 */
    int64_t first_us, step_us;
    int64_t asked;      /* requests so far */
    int64_t fail_first; /* so many requests fail */
    dl_status fail_with;
    const char *fail_words, *fail_hint;
    _Atomic int64_t *now_us; /* of the home */
    int64_t down_until_us;   /* by it; 0: it is up */
    int64_t hang_at;         /* requests from here on wait until they are cancelled; 0: none */
    bool hung;
    int opened;
} feed;

typedef struct feed_source {
    dl_feed_source source;
    feed *feed;
} feed_source;

static dl_status ask(feed_source *s, dl_cancel *cancel, dl_error *err)
{
    feed *f = s->feed;
    atomic_fetch_add(&s->source.requests, 1);
    (void)pthread_mutex_lock(&f->lock);
    f->asked++;
    bool fails = f->fail_first > 0 || *f->now_us < f->down_until_us;
    f->fail_first -= f->fail_first > 0;
    bool hangs = f->hang_at > 0 && f->asked >= f->hang_at;
    f->hung |= hangs;
    (void)pthread_mutex_unlock(&f->lock);
    if (fails) {
        (void)dl_error_set(err, f->fail_with, "%s", f->fail_words);
        if (f->fail_hint != NULL) {
            dl_error_hint(err, "%s", f->fail_hint);
        }
        return f->fail_with;
    }
    while (hangs && !dl_cancel_asked(cancel)) {
        struct timespec pause = {.tv_nsec = 5000000};
        (void)nanosleep(&pause, NULL);
    }
    return hangs ? dl_error_set(err, DL_E_CANCELED, "the request was canceled") : DL_OK;
}

static dl_status feed_page(feed *f, int64_t from, int64_t to, size_t limit, dl_feed_page **out_page,
                           dl_error *err)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 64 << 20);
    DL_TRY(dl_buf_append_char(&text, '[', err));
    for (int64_t i = from; i < to && i - from < (int64_t)limit; i++) {
        char time[DL_CLOCK_TEXT_SIZE];
        dl_clock_format_feed(f->first_us + i * f->step_us, time);
        DL_TRY(
            dl_buf_printf(&text, err,
                          "%s{\"sequence\":%lld,\"studyInstanceUid\":\"1.2.%lld\","
                          "\"seriesInstanceUid\":\"1.3.%lld\",\"sopInstanceUid\":\"1.4.%lld\","
                          "\"action\":\"Create\",\"state\":\"Current\",\"timestamp\":\"%s\","
                          "\"metadata\":{\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.2.%lld\"]}}}",
                          i == from ? "" : ",", (long long)i + 1, (long long)i / 100,
                          (long long)i / 10, (long long)i, time, (long long)i / 100));
    }
    DL_TRY(dl_buf_append_char(&text, ']', err));
    dl_buf taken = text;
    text = (dl_buf){0};
    return dl_feed_page_parse(&taken, out_page, err);
}

static dl_status source_info(dl_feed_source *source, dl_feed_info *out_info, dl_error *err)
{
    (void)source;
    (void)err;
    *out_info = (dl_feed_info){
        .id = DL_STR("test"), .has_cursor = true, .open_windows = true, .page_limit = 2000};
    return DL_OK;
}

static dl_status source_latest(dl_feed_source *source, int64_t *out_sequence,
                               int64_t *out_timestamp_us, dl_cancel *cancel, dl_error *err)
{
    feed_source *s = (feed_source *)source;
    DL_TRY(ask(s, cancel, err));
    if (s->feed->rows == 0) {
        return dl_error_set(err, DL_E_NOT_FOUND, "the change feed is empty");
    }
    *out_sequence = s->feed->rows;
    *out_timestamp_us = s->feed->first_us + (s->feed->rows - 1) * s->feed->step_us;
    return DL_OK;
}

/* The first row at `time_us` or later. */
static int64_t row_at(const feed *f, int64_t time_us)
{
    int64_t row =
        time_us <= f->first_us ? 0 : (time_us - f->first_us + f->step_us - 1) / f->step_us;
    return row < f->rows ? row : f->rows;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
static dl_status source_window(dl_feed_source *source, int64_t start_us, int64_t end_us,
                               int64_t offset, size_t limit, dl_cancel *cancel,
                               dl_feed_page **out_page, dl_error *err)
{
    feed_source *s = (feed_source *)source;
    DL_TRY(ask(s, cancel, err));
    return feed_page(s->feed, row_at(s->feed, start_us) + offset, row_at(s->feed, end_us), limit,
                     out_page, err);
}

static dl_status source_after(dl_feed_source *source, int64_t sequence, size_t limit,
                              dl_cancel *cancel, dl_feed_page **out_page, dl_error *err)
{
    feed_source *s = (feed_source *)source;
    DL_TRY(ask(s, cancel, err));
    return feed_page(s->feed, sequence, s->feed->rows, limit, out_page, err);
}

static void source_close(dl_feed_source *source)
{
    free(source);
}

static const dl_feed_source_ops ops = {.info = source_info,
                                       .latest = source_latest,
                                       .window = source_window,
                                       .after = source_after,
                                       .close = source_close};

static dl_status open_feed(void *context, dl_feed_source **out_source, dl_error *err)
{
    (void)err;
    feed_source *s = calloc(1, sizeof *s);
    *s = (feed_source){.source.ops = &ops, .feed = context};
    (void)pthread_mutex_lock(&s->feed->lock); /* runs may be side by side */
    s->feed->opened++;
    (void)pthread_mutex_unlock(&s->feed->lock);
    *out_source = &s->source;
    return DL_OK;
}

/* ---- a home ---- */

typedef struct home {
    char folder[64];
    _Atomic int64_t now_us;
    feed feed;
    dl_factory *factory;
    dl_work *work;
    dl_arena *arena;
    dl_error err;
} home;

static int64_t home_now(void *context)
{
    return ((home *)context)->now_us;
}

static int remove_path(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    TAP_EQ_INT(nftw(path, remove_path, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void save(home *h, dl_factory_kind kind, dl_buf *json)
{
    TAP_OK(dl_catalog_save(h->factory, kind, dl_buf_str(json), true, &h->err), h->err);
    dl_buf_clear(json);
}

static void save_connection(home *h, const char *name, dl_factory_connection_type type,
                            const char *url)
{
    dl_factory_connection c = {.name = dl_str_of(name),
                               .type = type,
                               .url = dl_str_of(url),
                               .resource = DL_STR("https://dicom.healthcareapis.azure.com")};
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    TAP_OK(dl_factory_write_connection(&c, DL_STR_NONE, &json, &h->err), h->err);
    save(h, DL_FACTORY_CONNECTION, &json);
}

static dl_factory_pipeline make_pipeline(const char *name)
{
    dl_factory_pipeline p = {.name = dl_str_of(name),
                             .template_id = DL_STR("copy-dicom-metadata-changes"),
                             .revision = DL_STR("r4"),
                             .profile = DL_PIPELINE_TEMPLATE_R4,
                             .dicom = DL_STR("hospital"),
                             .lake = DL_STR("lake")};
    static const dl_factory_parameter parameters[] = {
        {{"BatchSize", 9}, {"int", 3}, {"200", 3}},
        {{"ApiVersion", 10}, {"int", 3}, {"2", 1}},
        {{"StartTime", 9}, {"string", 6}, {"0001-01-01T00:00:00Z", 20}},
        {{"EndTime", 7}, {"string", 6}, {"9999-12-31T23:59:59Z", 20}},
        {{"ContainerName", 13}, {"string", 6}, {"dicom", 5}},
        {{"InstanceTablePath", 17}, {"string", 6}, {"instance", 8}},
        {{"SeriesTablePath", 15}, {"string", 6}, {"series", 6}},
        {{"StudyTablePath", 14}, {"string", 6}, {"study", 5}},
        {{"RetentionHours", 14}, {"int", 3}, {"720", 3}}};
    for (size_t i = 0; i < DL_COUNT_OF(parameters); i++) {
        p.parameters[p.parameter_count++] = parameters[i];
    }
    return p;
}

static void save_pipeline(home *h, const dl_factory_pipeline *p)
{
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    TAP_OK(dl_factory_write_pipeline(p, DL_STR_NONE, &json, &h->err), h->err);
    save(h, DL_FACTORY_PIPELINE, &json);
}

static void save_hourly(home *h, const char *name, unsigned retries)
{
    dl_factory_trigger t = {
        .name = dl_str_of(name),
        .pipeline = DL_STR("copy"),
        .type = DL_FACTORY_TUMBLING,
        .started = true,
        .frequency = DL_CALENDAR_HOUR,
        .interval = 1,
        .start_us = START_US,
        .end_us = INT64_MAX,
        .max_concurrency = 1,
        .retry_count = retries,
        .retry_interval_s = 1800,
        .parameter_count = 2,
        .parameters = {{{"StartTime", 9},
                        {"string", 6},
                        dl_str_of("@formatDateTime(trigger().outputs.windowStartTime)")},
                       {{"EndTime", 7},
                        {"string", 6},
                        dl_str_of("@formatDateTime(trigger().outputs.windowEndTime)")}}};
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    TAP_OK(dl_factory_write_trigger(&t, DL_STR_NONE, &json, &h->err), h->err);
    save(h, DL_FACTORY_TRIGGER, &json);
}

static void publish(home *h)
{
    size_t count = 0;
    TAP_OK(dl_catalog_publish(h->factory, DL_STR(""), &count, &h->err), h->err);
}

static void home_begin(home *h)
{
    memset(h, 0, sizeof *h);
    h->now_us = START_US;
    h->feed.now_us = &h->now_us;
    h->feed.first_us = START_US;
    h->feed.step_us = 60LL * 1000000;
    (void)pthread_mutex_init(&h->feed.lock, NULL);
    (void)snprintf(h->folder, sizeof h->folder, "%s/dl-test-work-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    TAP_TRUE(mkdtemp(h->folder) != NULL);
    h->arena = dl_arena_create((size_t)1 << 30);
    dl_factory_options options = {.home = h->folder,
                                  .clock = {home_now, h},
                                  .open_home_feed = open_feed,
                                  .context = &h->feed};
    TAP_OK(dl_factory_open(&options, &h->factory, &h->err), h->err);
    TAP_OK(dl_work_create(h->factory, &h->work, &h->err), h->err);
    dl_work_limit_tries(h->work, 2, 1);
    save_connection(h, "hospital", DL_FACTORY_DICOM, "home:");
    save_connection(h, "lake", DL_FACTORY_LAKE, "home:");
    dl_factory_pipeline p = make_pipeline("copy");
    save_pipeline(h, &p);
    save_hourly(h, "hourly", 0);
    publish(h);
}

static void home_end(home *h)
{
    dl_work_destroy(h->work);
    dl_factory_close(h->factory);
    dl_arena_destroy(h->arena);
    remove_tree(h->folder);
}

/* ---- runs ---- */

static dl_run window_run(home *h, int64_t hour)
{
    dl_run run = {.pipeline = DL_STR("copy"),
                  .trigger = DL_STR("hourly"),
                  .trigger_type = DL_FACTORY_TUMBLING,
                  .has_window = true,
                  .window_start_us = START_US + hour * HOUR_US,
                  .window_end_us = START_US + (hour + 1) * HOUR_US,
                  .scheduled_us = START_US + (hour + 1) * HOUR_US};
    h->now_us = run.scheduled_us;
    return run;
}

static dl_run hand_run(const char *parameters)
{
    return (dl_run){.pipeline = DL_STR("copy"),
                    .trigger_type = DL_FACTORY_MANUAL,
                    .parameters = dl_str_of(parameters)};
}

static bool room(void *context, const dl_run *run)
{
    (void)context;
    (void)run;
    return true;
}

/* Queued, claimed, done, and recorded, as the scheduler does it. */
static dl_run run_it(home *h, const dl_run *what, dl_cancel *cancel)
{
    dl_run queued = *what;
    dl_run run = {0};
    bool found = false;
    TAP_OK(dl_runs_queue(h->factory, &queued, &h->err), h->err);
    TAP_OK(dl_runs_claim(h->factory, h->arena, room, NULL, &run, &found, &h->err), h->err);
    TAP_TRUE(found);
    if (!found) {
        return run;
    }
    dl_scheduler_work ops_ = dl_work_ops(h->work);
    ops_.run(ops_.context, &run, h->arena, cancel);
    TAP_OK(dl_runs_end(h->factory, &run, &h->err), h->err);
    return run;
}

static dl_run run_hour(home *h, int64_t hour)
{
    dl_run run = window_run(h, hour);
    return run_it(h, &run, NULL);
}

static int64_t count_of(const dl_run *run, const char *name)
{
    dl_str value;
    int64_t number = -1;
    if (dl_json_get(run->counts, dl_str_of(name), &value)) {
        (void)dl_json_int_of(value, &number);
    }
    return number;
}

static int64_t table_count(const dl_run *run, const char *table, const char *name)
{
    dl_str tables;
    dl_str one;
    dl_str value;
    int64_t number = -1;
    if (dl_json_get(run->counts, DL_STR("tables"), &tables) &&
        dl_json_get(tables, dl_str_of(table), &one) && dl_json_get(one, dl_str_of(name), &value)) {
        (void)dl_json_int_of(value, &number);
    }
    return number;
}

static bool has(dl_str text, const char *words)
{
    return dl_str_find_str(text, dl_str_of(words)) >= 0;
}

static void expect_succeeded(const dl_run *run)
{
    if (run->status != DL_RUN_SUCCEEDED) {
        TAP_FAIL("run is %s: %.*s", dl_run_status_text(run->status), DL_STR_ARG(run->cause));
    }
    TAP_EQ_INT(run->cause.len, 0);
    TAP_EQ_INT(run->hint.len, 0);
}

static void expect_failed(const dl_run *run, const char *cause, const char *hint)
{
    TAP_EQ_STR(dl_str_of(dl_run_status_text(run->status)), "Failed");
    if (!has(run->cause, cause)) {
        TAP_FAIL("the cause is '%.*s', not '%s'", DL_STR_ARG(run->cause), cause);
    }
    if (!has(run->hint, hint)) {
        TAP_FAIL("the hint is '%.*s', not '%s'", DL_STR_ARG(run->hint), hint);
    }
}

/* ---- success ---- */

TAP_CASE(a_window_fills_three_tables)
{
    home h;
    home_begin(&h);
    h.feed.rows = 120; /* two hours */
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "changes"), 60);
    TAP_EQ_INT(count_of(&run, "inserted"), 60);
    TAP_EQ_INT(count_of(&run, "watermark"), 60);
    TAP_EQ_INT(count_of(&run, "rowsIn"), 60 + 6 + 1);
    TAP_EQ_INT(count_of(&run, "rowsOut"), 0);
    TAP_EQ_INT(count_of(&run, "attempts"), 1);
    TAP_TRUE(count_of(&run, "bytes") > 1000);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    TAP_EQ_INT(table_count(&run, "series", "rows"), 6);
    TAP_EQ_INT(table_count(&run, "study", "rows"), 1);
    TAP_TRUE(table_count(&run, "instance", "version") > 0);
    TAP_TRUE(has(run.parameters, "\"StartTime\":\"2026-01-01T00:00:00"));
    TAP_TRUE(has(run.parameters, "\"EndTime\":\"2026-01-01T01:00:00"));
    TAP_TRUE(has(run.parameters, "\"ContainerName\":\"dicom\""));
    static const char *const stages[] = {"open",   "read",  "fold",    "write",
                                         "commit", "state", "maintain"};
    for (size_t i = 0; i < DL_COUNT_OF(stages); i++) {
        char words[64];
        (void)snprintf(words, sizeof words, "{\"name\":\"%s\",\"milliseconds\":", stages[i]);
        TAP_TRUE(has(run.counts, words));
    }
    run = run_hour(&h, 1); /* counts are those of the run, not of the lake */
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "changes"), 60);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 120);
    TAP_EQ_INT(count_of(&run, "watermark"), 120);
    home_end(&h);
}

TAP_CASE(the_record_has_what_the_run_did)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 0);
    dl_run read = {0};
    TAP_OK(dl_runs_get(h.factory, dl_str_of(run.id), h.arena, &read, &h.err), h.err);
    TAP_EQ_INT(read.status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(count_of(&read, "changes"), 60);
    TAP_TRUE(has(read.parameters, "\"BatchSize\":\"200\""));
    dl_run_line *lines = NULL;
    size_t count = 0;
    int64_t last = 0;
    TAP_OK(dl_runs_lines(h.factory, dl_str_of(run.id), 0, h.arena, &lines, &count, &last, &h.err),
           h.err);
    TAP_EQ_INT(count, 1);
    TAP_TRUE(count == 1 && has(lines[0].text, "60 changes, 67 rows in, 0 out"));
    home_end(&h);
}

TAP_CASE(by_hand_with_parameters)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run what = hand_run("{\"ContainerName\":\"other\",\"BatchSize\":100}");
    dl_run run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_TRUE(has(run.parameters, "\"ContainerName\":\"other\""));
    TAP_TRUE(has(run.parameters, "\"BatchSize\":\"100\""));
    char path[256];
    (void)snprintf(path, sizeof path, "%s/tables/other/instance/_delta_log", h.folder);
    TAP_EQ_INT(access(path, F_OK), 0);
    dl_run again = hand_run("");
    again.parameters = run.parameters; /* a rerun takes what the run took */
    run = run_it(&h, &again, NULL);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    TAP_EQ_INT(count_of(&run, "changes"), 0);
    home_end(&h);
}

/* ---- what an empty window costs ---- */

TAP_CASE(an_empty_window_is_one_request)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    for (int hour = 1; hour < 10; hour++) {
        int64_t asked = h.feed.asked;
        run = run_hour(&h, hour);
        expect_succeeded(&run);
        TAP_EQ_INT(h.feed.asked - asked, 1);
        TAP_EQ_INT(count_of(&run, "requests"), 1);
        TAP_EQ_INT(count_of(&run, "changes"), 0);
        TAP_EQ_INT(count_of(&run, "rowsIn"), 0);
    }
    TAP_EQ_INT(h.feed.opened, 1);
    home_end(&h);
}

/* Where changes before the trigger's start are not in the tables, and stay out. */
TAP_CASE(an_empty_window_ahead_is_one_request)
{
    home h;
    home_begin(&h);
    h.feed.first_us = START_US - 1000 * HOUR_US;
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 5);
    expect_succeeded(&run);
    for (int hour = 6; hour < 10; hour++) {
        int64_t asked = h.feed.asked;
        run = run_hour(&h, hour);
        expect_succeeded(&run);
        TAP_EQ_INT(h.feed.asked - asked, 1);
    }
    dl_run what = hand_run("{\"StartTime\":\"2025-01-01T00:00:00Z\"}"); /* fills the gap */
    run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    home_end(&h);
}

TAP_CASE(a_late_change_in_an_old_window_is_found)
{
    home h;
    home_begin(&h);
    for (int hour = 0; hour < 3; hour++) { /* an empty feed */
        dl_run run = run_hour(&h, hour);
        expect_succeeded(&run);
        TAP_EQ_INT(count_of(&run, "changes"), 0);
    }
    h.feed.first_us = START_US + 4 * HOUR_US;
    h.feed.rows = 30;
    dl_run run = run_hour(&h, 3);
    TAP_EQ_INT(count_of(&run, "changes"), 0);
    run = run_hour(&h, 4);
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "changes"), 30);
    TAP_EQ_INT(count_of(&run, "watermark"), 30);
    home_end(&h);
}

/* Each step is one window, one run and one request; bench/run runs measures a year of them. */
TAP_CASE(a_fortnight_of_hourly_windows)
{
    enum { HOURS = 14 * 24 };
    home h;
    home_begin(&h);
    dl_scheduler_options options = {.factory = h.factory, .work = dl_work_ops(h.work)};
    dl_scheduler *scheduler = NULL;
    TAP_OK(dl_scheduler_open(&options, &scheduler, &h.err), h.err);
    int64_t next_us = 0;
    dl_run_totals totals = {0};
    for (int hour = 1; hour <= HOURS; hour++) {
        h.now_us = START_US + hour * HOUR_US;
        TAP_OK(dl_scheduler_step(scheduler, &next_us, &h.err), h.err);
    }
    TAP_OK(dl_runs_totals(h.factory, DL_STR("copy"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], HOURS);
    TAP_EQ_INT(totals.by_status[DL_RUN_FAILED], 0);
    TAP_EQ_INT(h.feed.asked, HOURS);
    dl_scheduler_close(scheduler);
    home_end(&h);
}

/* ---- failures ---- */

TAP_CASE(failures_have_cause_and_hint)
{
    static const struct {
        const char *name;
        dl_status status;
        const char *words, *own_hint, *hint;
    } rows[] = {
        {"401", DL_E_DENIED, "GET /v2/changefeed: the service answers 401",
         "the service wants a token", "the service wants a token"},
        {"a source that is down", DL_E_UNAVAILABLE, "HTTP: Connection refused", NULL,
         "see that the service runs"},
        {"a feed of garbage", DL_E_INVALID, "row 3: no sequence", NULL, "mended"},
        {"rows too large", DL_E_LIMIT, "a page is too large", NULL, "BatchSize"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        home h;
        home_begin(&h);
        h.feed.rows = 60;
        h.feed.fail_first = 1;
        h.feed.fail_with = rows[i].status;
        h.feed.fail_words = rows[i].words;
        h.feed.fail_hint = rows[i].own_hint;
        dl_run run = run_hour(&h, 0);
        if (rows[i].status == DL_E_INVALID) { /* by the window before it: the first page of all */
            expect_failed(&run, rows[i].words, "");
        } else {
            expect_failed(&run, rows[i].words, rows[i].hint);
        }
        TAP_TRUE(run.hint.len > 0);
        TAP_EQ_INT(count_of(&run, "changes"), 0);
        run = run_hour(&h, 0); /* up again: the same window */
        expect_succeeded(&run);
        TAP_EQ_INT(count_of(&run, "changes"), 60);
        TAP_EQ_INT(h.feed.opened, 2); /* opened anew after a failure */
        home_end(&h);
        TAP_ROW_END(rows[i].name);
    }
}

/* Each window is tried again until the source is back, and then they come in their order. */
TAP_CASE(a_source_that_is_dead_for_a_day)
{
    enum { HOURS = 30 };
    home h;
    home_begin(&h);
    save_hourly(&h, "hourly", 100);
    publish(&h);
    h.feed.rows = 60LL * HOURS;
    h.feed.down_until_us = START_US + 25 * HOUR_US;
    h.feed.fail_with = DL_E_UNAVAILABLE;
    h.feed.fail_words = "HTTP: Connection refused";
    dl_scheduler_options options = {.factory = h.factory, .work = dl_work_ops(h.work)};
    dl_scheduler *scheduler = NULL;
    TAP_OK(dl_scheduler_open(&options, &scheduler, &h.err), h.err);
    int64_t next_us = 0;
    for (int quarter = 0; quarter < HOURS * 4; quarter++) {
        h.now_us = START_US + (quarter + 1) * HOUR_US / 4;
        TAP_OK(dl_scheduler_step(scheduler, &next_us, &h.err), h.err);
    }
    dl_run_window *windows = NULL;
    size_t count = 0;
    TAP_OK(dl_runs_windows(h.factory, DL_STR("hourly"), START_US, START_US + HOURS * HOUR_US, 100,
                           h.arena, &windows, &count, &h.err),
           h.err);
    TAP_EQ_INT(count, HOURS);
    for (size_t i = 0; i < count; i++) {
        TAP_EQ_INT(windows[i].status, DL_RUN_SUCCEEDED);
    }
    dl_run_totals totals = {0};
    TAP_OK(dl_runs_totals(h.factory, DL_STR("copy"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], HOURS);
    TAP_TRUE(totals.by_status[DL_RUN_FAILED] >= 24);
    TAP_EQ_INT(totals.changes, 60LL * HOURS);
    dl_scheduler_close(scheduler);
    home_end(&h);
}

TAP_CASE(the_activity_tries_again)
{
    home h;
    home_begin(&h);
    dl_factory_pipeline p = make_pipeline("copy");
    p.retry_count = 2;
    p.retry_interval_s = 1;
    save_pipeline(&h, &p);
    publish(&h);
    h.feed.rows = 60;
    h.feed.fail_first = 2;
    h.feed.fail_with = DL_E_UNAVAILABLE;
    h.feed.fail_words = "HTTP: Connection refused";
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "attempts"), 3);
    TAP_EQ_INT(count_of(&run, "changes"), 60);
    h.feed.fail_first = 3; /* one more than it bears */
    run = run_hour(&h, 1);
    expect_failed(&run, "Connection refused", "see that the service runs");
    TAP_EQ_INT(count_of(&run, "attempts"), 3);
    h.feed.fail_first = 1;
    h.feed.fail_with = DL_E_UNSUPPORTED; /* no use in trying again */
    run = run_hour(&h, 1);
    TAP_EQ_INT(run.status, DL_RUN_FAILED);
    TAP_EQ_INT(count_of(&run, "attempts"), 1);
    home_end(&h);
}

TAP_CASE(documents_that_are_gone)
{
    home h;
    home_begin(&h);
    dl_run unknown = hand_run("");
    unknown.pipeline = DL_STR("nowhere");
    dl_run run = run_it(&h, &unknown, NULL);
    expect_failed(&run, "nowhere", "");
    TAP_TRUE(run.hint.len > 0);
    char path[256]; /* somebody took the file away */
    (void)snprintf(path, sizeof path, "%s/config/factory/linkedService/hospital.json", h.folder);
    TAP_EQ_INT(unlink(path), 0);
    dl_db *db = dl_factory_lock(h.factory);
    TAP_OK(dl_db_exec(db, "DELETE FROM published WHERE name = 'hospital'", &h.err), h.err);
    dl_factory_unlock(h.factory);
    run = run_hour(&h, 0);
    expect_failed(&run, "hospital", "connection");
    TAP_TRUE(has(run.cause, "opening the connections of pipeline copy"));
    home_end(&h);
}

TAP_CASE(parameters_that_are_wrong)
{
    static const struct {
        const char *name, *parameters, *cause;
    } rows[] = {
        {"an unknown one", "{\"Colour\":\"red\"}", "Colour"},
        {"no number", "{\"BatchSize\":\"many\"}", "BatchSize"},
        {"end before start",
         "{\"StartTime\":\"2026-01-02T00:00:00Z\",\"EndTime\":\"2026-01-01T00:00:00Z\"}",
         "EndTime is not later"},
        {"short retention", "{\"RetentionHours\":167}", "RetentionHours"},
    };
    home h;
    home_begin(&h);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_run what = hand_run(rows[i].parameters);
        dl_run run = run_it(&h, &what, NULL);
        expect_failed(&run, rows[i].cause, "");
        TAP_TRUE(run.hint.len > 0);
        TAP_EQ_INT(h.feed.asked, 0);
        TAP_ROW_END(rows[i].name);
    }
    dl_run what = hand_run("{\"RetentionHours\":168}"); /* the bound itself */
    dl_run run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    home_end(&h);
}

TAP_CASE(a_lake_that_is_taken_away_is_told)
{
    home h;
    home_begin(&h);
    h.feed.rows = 180;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/tables/dicom", h.folder);
    remove_tree(path);
    run = run_hour(&h, 1);
    expect_failed(&run, "table instance was taken away or replaced", "backfill");
    run = run_hour(&h, 1); /* new tables: what a person asks for after that */
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    TAP_TRUE(table_count(&run, "instance", "version") >= 0);
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 120);
    home_end(&h);
}

/* ---- stopping ---- */

typedef struct stopping {
    home *home;
    dl_cancel *cancel;
    bool seen;
} stopping;

/* When the feed waits and a batch was committed: then the run can go neither on nor back. */
static void *stop_when_hung(void *context)
{
    stopping *s = context;
    char path[256];
    (void)snprintf(path, sizeof path,
                   "%s/tables/dicom/instance/_delta_log/00000000000000000001.json",
                   s->home->folder);
    bool due = false;
    for (int i = 0; i < 10000 && !due; i++) {
        struct timespec pause = {.tv_nsec = 2000000};
        (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&s->home->feed.lock);
        due = s->home->feed.hung && access(path, F_OK) == 0;
        (void)pthread_mutex_unlock(&s->home->feed.lock);
    }
    dl_cancel_ask(s->cancel);
    return NULL;
}

TAP_CASE(a_run_that_is_cancelled_leaves_what_was_committed)
{
    home h;
    home_begin(&h);
    h.feed.rows = 70000; /* a batch has 50,000 */
    h.feed.step_us = 1000;
    h.feed.hang_at = 34; /* pages of 2,000 rows: after the first batch */
    dl_cancel cancel = {0};
    stopping s = {.home = &h, .cancel = &cancel};
    pthread_t thread = 0;
    TAP_EQ_INT(pthread_create(&thread, NULL, stop_when_hung, &s), 0);
    dl_run what = window_run(&h, 0);
    dl_run run = run_it(&h, &what, &cancel);
    (void)pthread_join(thread, NULL);
    TAP_EQ_STR(dl_str_of(dl_run_status_text(run.status)), "Cancelled");
    TAP_TRUE(has(run.hint, "rerun"));
    int64_t committed = table_count(&run, "instance", "rowsIn");
    printf("# %lld rows were committed\n", (long long)committed);
    TAP_TRUE(committed > 0 && committed < 70000);
    TAP_TRUE(count_of(&run, "changes") <=
             committed); /* a change counts when all three tables have it */
    h.feed.hang_at = 0;
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 70000);
    TAP_EQ_INT(table_count(&run, "instance", "rowsIn"), 70000 - committed);
    TAP_EQ_INT(table_count(&run, "study", "rows"), 700);
    home_end(&h);
}

/* While the feed waits: the record follows within two seconds. */
static void *look_at_progress(void *context)
{
    stopping *s = context;
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    for (int i = 0; i < 100; i++) {
        struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
        dl_run *runs = NULL;
        size_t count = 0;
        dl_run_filter filter = {.by_status = true, .status = DL_RUN_IN_PROGRESS};
        if (dl_runs_list(s->home->factory, &filter, arena, &runs, &count, NULL) == DL_OK &&
            count == 1 && count_of(&runs[0], "attempts") == 1 &&
            has(runs[0].parameters, "StartTime")) {
            s->seen = true;
            break;
        }
    }
    dl_cancel_ask(s->cancel);
    return NULL;
}

TAP_CASE(progress_is_seen_while_a_run_goes_on)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    h.feed.hang_at = 2;
    dl_cancel cancel = {0};
    stopping s = {.home = &h, .cancel = &cancel};
    pthread_t thread = 0;
    TAP_EQ_INT(pthread_create(&thread, NULL, look_at_progress, &s), 0);
    dl_run what = window_run(&h, 0);
    dl_run run = run_it(&h, &what, &cancel);
    (void)pthread_join(thread, NULL);
    TAP_EQ_INT(run.status, DL_RUN_CANCELLED);
    TAP_TRUE(s.seen);
    home_end(&h);
}

TAP_CASE(a_timeout_is_a_failure)
{
    home h;
    home_begin(&h);
    dl_factory_pipeline p = make_pipeline("copy");
    p.timeout_s = 1;
    save_pipeline(&h, &p);
    publish(&h);
    h.feed.rows = 60;
    h.feed.hang_at = 1;
    dl_run run = run_hour(&h, 0);
    expect_failed(&run, "longer than its timeout of 1 s", "rerun");
    h.feed.hang_at = 0;
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    home_end(&h);
}

/* ---- lakes between runs ---- */

static size_t open_lakes(const home *h)
{
    size_t count = 0;
    for (size_t i = 0; i < h->work->kept_count; i++) {
        count += h->work->kept[i]->pipeline != NULL;
    }
    return count;
}

TAP_CASE(another_program_may_sync_between_runs)
{
    home h;
    home_begin(&h);
    h.feed.rows = 180;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(open_lakes(&h), 1);
    dl_factory_connection lake = {
        .name = DL_STR("lake"), .type = DL_FACTORY_LAKE, .url = DL_STR("home:")};
    dl_pipeline_options options = {.parameters = dl_pipeline_parameters_default(),
                                   .clock = dl_clock_system()};
    dl_store *store = NULL;
    dl_str folder;
    TAP_OK(dl_connection_lake(h.factory, &lake, &options.parameters, false, h.arena, &store,
                              &folder, &h.err),
           h.err);
    options.lake = store;
    options.state_folder = folder.ptr;
    dl_pipeline *other = NULL;
    dl_feed_source *source = NULL;
    dl_pipeline_counts counts;
    TAP_OK(dl_pipeline_open(&options, &other, &h.err), h.err);
    TAP_OK(open_feed(&h.feed, &source, &h.err), h.err);
    TAP_OK(dl_pipeline_sync(other, source, &counts, &h.err), h.err);
    TAP_EQ_INT(counts.changes, 120);
    dl_pipeline_close(other);
    dl_feed_source_close(source);
    dl_store_close(store);
    run = run_hour(&h, 2); /* all of it is there; the last once more, from a batch that is small */
    expect_succeeded(&run);
    dl_run what = hand_run("{\"StartTime\":\"2026-01-01T00:30:00Z\"}");
    run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_TRUE(count_of(&run, "changes") > 100);
    TAP_EQ_INT(count_of(&run, "rowsIn"), 0);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 180);
    home_end(&h);
}

TAP_CASE(so_many_lakes_stay_open)
{
    home h;
    home_begin(&h);
    h.feed.rows = 10;
    for (int i = 0; i <= DL_WORK_LAKE_LIMIT; i++) {
        char name[16];
        char container[16];
        (void)snprintf(name, sizeof name, "copy-%d", i);
        (void)snprintf(container, sizeof container, "c%d", i);
        dl_factory_pipeline p = make_pipeline(name);
        p.parameters[4].value = dl_str_of(container);
        save_pipeline(&h, &p);
        publish(&h);
        dl_run what = hand_run("");
        what.pipeline = dl_str_of(name);
        dl_run run = run_it(&h, &what, NULL);
        expect_succeeded(&run);
        TAP_EQ_INT(open_lakes(&h), i < DL_WORK_LAKE_LIMIT ? i + 1 : DL_WORK_LAKE_LIMIT);
    }
    home_end(&h);
}

TAP_CASE(a_changed_document_opens_anew)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    char folder[128];
    char path[256];
    (void)snprintf(folder, sizeof folder, "%s/elsewhere", h.folder);
    (void)snprintf(path, sizeof path, "%s/dicom/instance/_delta_log", folder);
    save_connection(&h, "lake", DL_FACTORY_LAKE, folder);
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(access(path, F_OK), 0);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    (void)snprintf(path, sizeof path, "%s/.dicomlake", folder);
    TAP_EQ_INT(access(path, F_OK), 0);
    home_end(&h);
}

typedef struct parallel {
    home *home;
    int64_t hour;
    dl_run run;
    dl_arena *arena;
} parallel;

static void *run_parallel(void *context)
{
    parallel *p = context;
    dl_scheduler_work ops_ = dl_work_ops(p->home->work);
    ops_.run(ops_.context, &p->run, p->arena, NULL);
    return NULL;
}

TAP_CASE(runs_on_one_lake_come_one_after_another)
{
    enum { RUNS = 6 };
    home h;
    home_begin(&h);
    h.feed.rows = 60LL * RUNS;
    parallel p[RUNS];
    pthread_t threads[RUNS];
    dl_factory_pipeline second = make_pipeline("second"); /* another pipeline, the same lake */
    save_pipeline(&h, &second);
    publish(&h);
    for (int i = 0; i < RUNS; i++) {
        p[i] =
            (parallel){.home = &h, .run = window_run(&h, i), .arena = dl_arena_create(ARENA_BYTES)};
        (void)snprintf(p[i].run.id, sizeof p[i].run.id, "00000000-0000-4000-8000-00000000000%d", i);
        p[i].run.pipeline = i % 2 == 0 ? DL_STR("copy") : DL_STR("second");
        TAP_EQ_INT(pthread_create(&threads[i], NULL, run_parallel, &p[i]), 0);
    }
    for (int i = 0; i < RUNS; i++) {
        (void)pthread_join(threads[i], NULL);
        expect_succeeded(&p[i].run);
        dl_arena_destroy(p[i].arena);
    }
    dl_run what = hand_run("");
    dl_run run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60 * RUNS);
    TAP_EQ_INT(table_count(&run, "series", "rows"), 6 * RUNS);
    home_end(&h);
}

/* ---- news ---- */

TAP_CASE(news_of_a_feed)
{
    home h;
    home_begin(&h);
    dl_scheduler_work o = dl_work_ops(h.work);
    int64_t sequence = -1;
    TAP_OK(o.newest(o.context, DL_STR("copy"), 0, 0, NULL, &sequence, &h.err), h.err);
    TAP_EQ_INT(sequence, 0);
    h.feed.rows = 7;
    TAP_OK(o.newest(o.context, DL_STR("copy"), 0, 5000, NULL, &sequence, &h.err), h.err);
    TAP_EQ_INT(sequence, 7);
    int64_t began_us = dl_clock_monotonic_us();
    TAP_OK(o.newest(o.context, DL_STR("copy"), 7, 200, NULL, &sequence, &h.err), h.err);
    TAP_EQ_INT(sequence, 7);
    TAP_TRUE(dl_clock_monotonic_us() - began_us >= 150000);
    TAP_EQ_INT(h.feed.opened, 1);
    sequence = -1;
    h.feed.fail_first = 1;
    h.feed.fail_with = DL_E_UNAVAILABLE;
    h.feed.fail_words = "down";
    TAP_STATUS(o.newest(o.context, DL_STR("copy"), 0, 0, NULL, &sequence, &h.err),
               DL_E_UNAVAILABLE);
    TAP_EQ_INT(sequence, -1);
    TAP_STATUS(o.newest(o.context, DL_STR("nowhere"), 0, 0, NULL, &sequence, &h.err),
               DL_E_NOT_FOUND);
    home_end(&h);
}

/* ---- hints ---- */

TAP_CASE(each_status_has_a_hint)
{
    const char *seen[DL_E_NOMEM + 1];
    for (int status = DL_OK; status <= DL_E_NOMEM; status++) {
        dl_error err = {.status = (dl_status)status};
        seen[status] = dl_work_hint(&err);
        TAP_TRUE(strlen(seen[status]) > 10);
        TAP_TRUE(strlen(seen[status]) < sizeof err.hint);
        for (int other = DL_OK; other < status; other++) {
            if (strcmp(seen[status], seen[other]) == 0) {
                TAP_FAIL("%s and %s have one hint", dl_status_name((dl_status)status),
                         dl_status_name((dl_status)other));
            }
        }
    }
}

TAP_CASE(known_causes_have_hints_of_their_own)
{
    static const struct {
        const char *name;
        dl_status status;
        int os_code;
        const char *message, *own, *want;
    } rows[] = {
        {"full disk", DL_E_IO, ENOSPC, "cannot write", NULL, "disk is full"},
        {"full disk, by SQLite", DL_E_IO, 13, "database or disk is full", NULL, "disk is full"},
        {"quota", DL_E_IO, EDQUOT, "cannot write", NULL, "quota"},
        {"read-only", DL_E_IO, EROFS, "cannot write", NULL, "read-only"},
        {"no right", DL_E_IO, EACCES, "cannot make the folder", NULL, "right to write"},
        {"not allowed", DL_E_IO, EPERM, "cannot make the folder", NULL, "right to write"},
        {"a file in the path", DL_E_IO, ENOTDIR, "cannot make the folder", NULL, "is a file"},
        {"files", DL_E_IO, EMFILE, "cannot open", NULL, "ulimit"},
        {"another sync", DL_E_UNAVAILABLE, 0, "another sync works on this lake",
         "wait for it, or give --wait SECONDS", "another program syncs"},
        {"lake gone", DL_E_NOT_FOUND, 0, "table instance was taken away or replaced", NULL,
         "backfill"},
        {"retention", DL_E_INVALID, 0, "parameters: RetentionHours 5 is below 168",
         "--allow-short-retention insists", "168 or more"},
        {"no connection", DL_E_NOT_FOUND, 0, "no x; while opening the connections of pipeline p",
         "publish", "connection add"},
        {"no such host", DL_E_UNAVAILABLE, 0, "HTTP: Could not resolve host: x.invalid", NULL,
         "host's name"},
        {"its own", DL_E_CONFLICT, 0, "anything", "do this", "do this"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {.status = rows[i].status, .os_code = rows[i].os_code};
        (void)snprintf(err.message, sizeof err.message, "%s", rows[i].message);
        (void)snprintf(err.hint, sizeof err.hint, "%s", rows[i].own == NULL ? "" : rows[i].own);
        if (!has(dl_str_of(dl_work_hint(&err)), rows[i].want)) {
            TAP_FAIL("the hint is '%s'", dl_work_hint(&err));
        }
        TAP_ROW_END(rows[i].name);
    }
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF); /* a line a run */
    TAP_RUN(a_window_fills_three_tables);
    TAP_RUN(the_record_has_what_the_run_did);
    TAP_RUN(by_hand_with_parameters);
    TAP_RUN(an_empty_window_is_one_request);
    TAP_RUN(an_empty_window_ahead_is_one_request);
    TAP_RUN(a_late_change_in_an_old_window_is_found);
    failures_have_cause_and_hint();
    TAP_RUN(a_source_that_is_dead_for_a_day);
    TAP_RUN(the_activity_tries_again);
    TAP_RUN(documents_that_are_gone);
    parameters_that_are_wrong();
    TAP_RUN(a_lake_that_is_taken_away_is_told);
    TAP_RUN(a_run_that_is_cancelled_leaves_what_was_committed);
    TAP_RUN(progress_is_seen_while_a_run_goes_on);
    TAP_RUN(a_timeout_is_a_failure);
    TAP_RUN(another_program_may_sync_between_runs);
    TAP_RUN(so_many_lakes_stay_open);
    TAP_RUN(a_changed_document_opens_anew);
    TAP_RUN(runs_on_one_lake_come_one_after_another);
    TAP_RUN(news_of_a_feed);
    TAP_RUN(each_status_has_a_hint);
    known_causes_have_hints_of_their_own();
    TAP_RUN(a_fortnight_of_hourly_windows);
    return tap_done();
}
