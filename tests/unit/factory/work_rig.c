#include "work_rig.h"

#include <stdlib.h>
#include <time.h>

/* ---- a feed ---- */

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

dl_status open_feed(void *context, dl_feed_source **out_source, dl_error *err)
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

static int64_t home_now(void *context)
{
    return ((home *)context)->now_us;
}

static void save(home *h, dl_factory_kind kind, dl_buf *json)
{
    TAP_OK(dl_catalog_save(h->factory, kind, dl_buf_str(json), true, &h->err), h->err);
    dl_buf_clear(json);
}

void save_connection(home *h, const char *name, dl_factory_connection_type type, const char *url)
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

dl_factory_pipeline make_pipeline(const char *name)
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

void save_pipeline(home *h, const dl_factory_pipeline *p)
{
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    TAP_OK(dl_factory_write_pipeline(p, DL_STR_NONE, &json, &h->err), h->err);
    save(h, DL_FACTORY_PIPELINE, &json);
}

void save_hourly(home *h, const char *name, unsigned retries)
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

void publish(home *h)
{
    size_t count = 0;
    TAP_OK(dl_catalog_publish(h->factory, DL_STR(""), &count, &h->err), h->err);
}

void home_begin(home *h)
{
    memset(h, 0, sizeof *h);
    h->now_us = START_US;
    h->feed.now_us = &h->now_us;
    h->feed.first_us = START_US;
    h->feed.step_us = 60LL * 1000000;
    (void)pthread_mutex_init(&h->feed.lock, NULL);
    folder_make_in_memory(h->folder, "work");
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

void home_end(home *h)
{
    dl_work_destroy(h->work);
    dl_factory_close(h->factory);
    dl_arena_destroy(h->arena);
    folder_remove(h->folder);
}

/* ---- runs ---- */

dl_run window_run(home *h, int64_t hour)
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

dl_run hand_run(const char *parameters)
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

dl_run run_it(home *h, const dl_run *what, dl_cancel *cancel)
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

dl_run run_hour(home *h, int64_t hour)
{
    dl_run run = window_run(h, hour);
    return run_it(h, &run, NULL);
}

int64_t count_of(const dl_run *run, const char *name)
{
    dl_str value;
    int64_t number = -1;
    if (dl_json_get(run->counts, dl_str_of(name), &value)) {
        (void)dl_json_int_of(value, &number);
    }
    return number;
}

int64_t table_count(const dl_run *run, const char *table, const char *name)
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

bool has(dl_str text, const char *words)
{
    return dl_str_find_str(text, dl_str_of(words)) >= 0;
}

void expect_succeeded(const dl_run *run)
{
    if (run->status != DL_RUN_SUCCEEDED) {
        TAP_FAIL("run is %s: %.*s", dl_run_status_text(run->status), DL_STR_ARG(run->cause));
    }
    TAP_EQ_INT(run->cause.len, 0);
    TAP_EQ_INT(run->hint.len, 0);
}

void expect_failed(const dl_run *run, const char *cause, const char *hint)
{
    TAP_EQ_STR(dl_str_of(dl_run_status_text(run->status)), "Failed");
    if (!has(run->cause, cause)) {
        TAP_FAIL("the cause is '%.*s', not '%s'", DL_STR_ARG(run->cause), cause);
    }
    if (!has(run->hint, hint)) {
        TAP_FAIL("the hint is '%.*s', not '%s'", DL_STR_ARG(run->hint), hint);
    }
}
