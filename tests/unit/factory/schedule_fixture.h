/**
 * A home of its own in memory, a clock that the test sets, and triggers published in it.
 */
#ifndef DL_TESTS_FACTORY_SCHEDULE_FIXTURE_H
#define DL_TESTS_FACTORY_SCHEDULE_FIXTURE_H

#include "factory/catalog.h"
#include "factory/scheduler_internal.h"

#include "support/folder.h"
#include "tap.h"

#define MINUTE_US (60LL * 1000000)
#define HOUR_US (3600LL * 1000000)
#define DAY_US (86400LL * 1000000)
#define START_US (1767225600LL * 1000000) /* 2026-01-01T00:00:00Z */

typedef struct home {
    char folder[FOLDER_SIZE];
    _Atomic int64_t now_us;
    dl_factory *factory;
    dl_arena *arena;
    dl_error err;
} home;

static inline int64_t home_now(void *context)
{
    return ((home *)context)->now_us;
}

static inline void home_open(home *h)
{
    dl_factory_options options = {.home = h->folder, .clock = {home_now, h}};
    TAP_OK(dl_factory_open(&options, &h->factory, &h->err), h->err);
}

static inline void home_close(home *h)
{
    dl_factory_close(h->factory);
    h->factory = NULL;
}

static inline void home_begin(home *h)
{
    *h = (home){.now_us = START_US};
    folder_make_in_memory(h->folder, "factory");
    h->arena = dl_arena_create((size_t)1 << 30);
    home_open(h);
}

static inline void home_end(home *h)
{
    home_close(h);
    dl_arena_destroy(h->arena);
    folder_remove(h->folder);
}

static inline void home_save(home *h, dl_factory_kind kind, const dl_buf *json)
{
    TAP_OK(dl_catalog_save(h->factory, kind, dl_buf_str(json), true, &h->err), h->err);
}

static inline void home_publish(home *h)
{
    size_t count = 0;
    TAP_OK(dl_catalog_publish(h->factory, DL_STR_NONE, &count, &h->err), h->err);
}

/* Two connections and the pipeline "p" of them. */
static inline void home_pipeline(home *h, const char *name)
{
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    dl_factory_connection dicom = {.name = DL_STR("d"),
                                   .type = DL_FACTORY_DICOM,
                                   .url = DL_STR("http://127.0.0.1:1/v2"),
                                   .auth = DL_FACTORY_AUTH_ANONYMOUS};
    TAP_OK(dl_factory_write_connection(&dicom, DL_STR_NONE, &json, &h->err), h->err);
    home_save(h, DL_FACTORY_CONNECTION, &json);
    dl_buf_reset(&json);
    dl_factory_connection lake = {
        .name = DL_STR("l"), .type = DL_FACTORY_LAKE, .url = DL_STR("/nowhere/lake")};
    TAP_OK(dl_factory_write_connection(&lake, DL_STR_NONE, &json, &h->err), h->err);
    home_save(h, DL_FACTORY_CONNECTION, &json);
    dl_buf_reset(&json);
    dl_factory_pipeline pipeline = {.name = dl_str_of(name),
                                    .template_id = DL_STR("copy-dicom-metadata-changes"),
                                    .revision = DL_STR("r4"),
                                    .dicom = DL_STR("d"),
                                    .lake = DL_STR("l")};
    TAP_OK(dl_factory_write_pipeline(&pipeline, DL_STR_NONE, &json, &h->err), h->err);
    home_save(h, DL_FACTORY_PIPELINE, &json);
    dl_buf_clear(&json);
}

static inline void home_trigger(home *h, const dl_factory_trigger *trigger)
{
    dl_buf json;
    dl_buf_init(&json, 1 << 20);
    TAP_OK(dl_factory_write_trigger(trigger, DL_STR_NONE, &json, &h->err), h->err);
    home_save(h, DL_FACTORY_TRIGGER, &json);
    dl_buf_clear(&json);
}

/* Every `interval` of `frequency` from START_US, started. */
static inline dl_factory_trigger tumbling(const char *name, dl_calendar_frequency frequency,
                                          unsigned interval)
{
    return (dl_factory_trigger){.name = dl_str_of(name),
                                .pipeline = DL_STR("p"),
                                .type = DL_FACTORY_TUMBLING,
                                .started = true,
                                .frequency = frequency,
                                .interval = interval,
                                .start_us = START_US,
                                .end_us = INT64_MAX,
                                .max_concurrency = 1,
                                .retry_interval_s = 30};
}

/* Every day at `hour`:00 UTC. */
static inline dl_factory_trigger daily(home *h, const char *name, int hour)
{
    const dl_calendar_zone *utc = NULL;
    TAP_OK(dl_calendar_zone_find(DL_STR("UTC"), &utc, &h->err), h->err);
    dl_factory_trigger t = {.name = dl_str_of(name),
                            .pipeline = DL_STR("p"),
                            .type = DL_FACTORY_SCHEDULE,
                            .started = true,
                            .start_us = START_US,
                            .end_us = INT64_MAX,
                            .max_concurrency = 1,
                            .interval = 1,
                            .frequency = DL_CALENDAR_DAY,
                            .retry_interval_s = 30};
    t.recurrence = (dl_calendar_recurrence){.frequency = DL_CALENDAR_DAY,
                                            .interval = 1,
                                            .start_us = START_US,
                                            .end_us = INT64_MAX,
                                            .zone = utc,
                                            .hours = {(int8_t)hour},
                                            .hour_count = 1,
                                            .minutes = {0},
                                            .minute_count = 1};
    return t;
}

#endif
