#include "tap.h"

#include "factory/plan.h"

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    if (!dl_clock_parse(dl_str_of(text), &time_us)) {
        TAP_FAIL("no time: %s", text);
    }
    return time_us;
}

#define TAP_EQ_TIME(got, want)                                                                     \
    do {                                                                                           \
        char tap_text_[DL_CLOCK_TEXT_SIZE];                                                        \
        dl_clock_format_utc((got), tap_text_);                                                     \
        if ((got) != at(want)) {                                                                   \
            TAP_FAIL("%s is %s, not %s", #got, tap_text_, want);                                   \
        }                                                                                          \
    } while (0)

static dl_factory_trigger every(dl_calendar_frequency frequency, uint32_t interval,
                                const char *start)
{
    return (dl_factory_trigger){.type = DL_FACTORY_TUMBLING,
                                .frequency = frequency,
                                .interval = interval,
                                .start_us = at(start),
                                .end_us = INT64_MAX,
                                .max_concurrency = 1};
}

/* ---- the grid ---- */

static const struct {
    const char *name;
    dl_calendar_frequency frequency;
    uint32_t interval;
    const char *start, *time, *floor, *border;
} grid[] = {
    /* clang-format off */
    {"an hour", DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z", "2026-01-01T05:30:00Z",
     "2026-01-01T05:00:00Z", "2026-01-01T06:00:00Z"},
    {"on a border", DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z",
     "2026-01-01T05:00:00Z", "2026-01-01T06:00:00Z"},
    {"just before a border", DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z",
     "2026-01-01T04:59:59.999999Z", "2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z"},
    {"at the start", DL_CALENDAR_MINUTE, 15, "2026-01-01T00:07:00Z", "2026-01-01T00:07:00Z",
     "2026-01-01T00:07:00Z", "2026-01-01T00:22:00Z"},
    {"before the start", DL_CALENDAR_MINUTE, 15, "2026-01-01T00:07:00Z", "2026-01-01T00:06:59Z",
     "2025-12-31T23:52:00Z", "2026-01-01T00:07:00Z"},
    {"on a border before the start", DL_CALENDAR_MINUTE, 15, "2026-01-01T00:07:00Z",
     "2025-12-31T23:52:00Z", "2025-12-31T23:52:00Z", "2026-01-01T00:07:00Z"},
    {"three days", DL_CALENDAR_DAY, 3, "2026-01-01T00:00:00Z", "2025-12-24T12:00:00Z",
     "2025-12-23T00:00:00Z", "2025-12-26T00:00:00Z"},
    {"months from the 31st", DL_CALENDAR_MONTH, 1, "2026-01-31T06:00:00Z", "2026-03-01T00:00:00Z",
     "2026-02-28T06:00:00Z", "2026-03-31T06:00:00Z"},
    {"months before the 31st", DL_CALENDAR_MONTH, 1, "2026-03-31T06:00:00Z", "2026-02-28T05:59:59Z",
     "2026-01-31T06:00:00Z", "2026-02-28T06:00:00Z"},
    {"months to a leap day", DL_CALENDAR_MONTH, 1, "2024-03-30T00:00:00Z", "2024-03-01T00:00:00Z",
     "2024-02-29T00:00:00Z", "2024-03-30T00:00:00Z"},
    {"quarters before", DL_CALENDAR_MONTH, 3, "2026-01-15T00:00:00Z", "2025-01-20T00:00:00Z",
     "2025-01-15T00:00:00Z", "2025-04-15T00:00:00Z"},
    /* clang-format on */
};

static void grid_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(grid); i++) {
        TAP_ROW_BEGIN();
        dl_factory_trigger t = every(grid[i].frequency, grid[i].interval, grid[i].start);
        TAP_EQ_TIME(dl_plan_floor(&t, at(grid[i].time)), grid[i].floor);
        TAP_EQ_TIME(dl_plan_border(&t, at(grid[i].time)), grid[i].border);
        TAP_ROW_END(grid[i].name);
    }
}

TAP_CASE(borders_follow_each_other_across_the_start)
{
    dl_factory_trigger t = every(DL_CALENDAR_MONTH, 1, "2026-05-31T00:00:00Z");
    int64_t border_us = dl_plan_floor(&t, at("2024-06-01T00:00:00Z"));
    for (int i = 0; i < 60; i++) {
        int64_t next_us = dl_plan_border(&t, border_us);
        TAP_TRUE(next_us > border_us && next_us - border_us <= 31 * 86400LL * 1000000);
        TAP_EQ_INT(dl_plan_floor(&t, next_us - 1), border_us);
        TAP_EQ_INT(dl_plan_floor(&t, next_us), next_us);
        border_us = next_us;
    }
}

/* ---- windows ---- */

TAP_CASE(a_window_ends_at_what_is_in_its_way)
{
    dl_factory_trigger t = every(DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z");
    dl_plan_range w = {7, 7};
    t.end_us = at("2026-01-01T02:30:00Z");
    TAP_TRUE(dl_plan_window(&t, t.start_us, INT64_MAX, &w));
    TAP_EQ_TIME(w.end_us, "2026-01-01T01:00:00Z");
    TAP_TRUE(dl_plan_window(&t, at("2026-01-01T00:10:00Z"), INT64_MAX, &w)); /* an older grid's */
    TAP_EQ_TIME(w.start_us, "2026-01-01T00:10:00Z");
    TAP_EQ_TIME(w.end_us, "2026-01-01T01:00:00Z");
    TAP_TRUE(dl_plan_window(&t, t.start_us, at("2026-01-01T00:20:00Z"), &w));
    TAP_EQ_TIME(w.end_us, "2026-01-01T00:20:00Z");
    TAP_TRUE(dl_plan_window(&t, at("2026-01-01T02:00:00Z"), INT64_MAX, &w)); /* the last one */
    TAP_EQ_TIME(w.end_us, "2026-01-01T02:30:00Z");
    w = (dl_plan_range){7, 7};
    TAP_TRUE(!dl_plan_window(&t, t.end_us, INT64_MAX, &w));
    TAP_TRUE(w.start_us == 7 && w.end_us == 7);
    TAP_TRUE(dl_plan_window(&t, t.end_us - 1, INT64_MAX, &w));
}

TAP_CASE(the_last_window_is_the_one_that_ended)
{
    dl_factory_trigger t = every(DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z");
    dl_plan_range w = dl_plan_last(&t, at("2026-01-01T02:00:00Z"));
    TAP_EQ_TIME(w.start_us, "2026-01-01T01:00:00Z");
    TAP_EQ_TIME(w.end_us, "2026-01-01T02:00:00Z");
    w = dl_plan_last(&t, at("2026-01-01T01:59:59Z"));
    TAP_EQ_TIME(w.end_us, "2026-01-01T01:00:00Z");
    w = dl_plan_last(&t, at("2025-12-31T22:10:00Z")); /* not begun: as the grid would have it */
    TAP_EQ_TIME(w.start_us, "2025-12-31T21:00:00Z");
    t.end_us = at("2026-01-01T03:20:00Z");
    w = dl_plan_last(&t, at("2026-05-01T00:00:00Z"));
    TAP_EQ_TIME(w.start_us, "2026-01-01T03:00:00Z");
    TAP_EQ_TIME(w.end_us, "2026-01-01T03:20:00Z");
}

TAP_CASE(a_window_is_due_after_its_delay)
{
    dl_factory_trigger t = every(DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z");
    t.delay_us = 15 * 60 * 1000000LL;
    TAP_EQ_TIME(dl_plan_due(&t, at("2026-01-01T01:00:00Z")), "2026-01-01T01:15:00Z");
    TAP_TRUE(dl_plan_due(&t, INT64_MAX - 1) == INT64_MAX);
    TAP_TRUE(dl_plan_add(INT64_MIN, -1) == INT64_MIN);
    TAP_TRUE(dl_plan_add(INT64_MAX - 1, 1) == INT64_MAX);
}

/* ---- dependencies ---- */

TAP_CASE(a_dependency_covers_the_moved_window_of_what_is_there)
{
    dl_factory_trigger up = every(DL_CALENDAR_HOUR, 1, "2026-01-02T00:00:00Z");
    dl_plan_range window = {at("2026-01-02T06:00:00Z"), at("2026-01-02T12:00:00Z")};
    dl_factory_dependency d = {0};
    dl_plan_range need = dl_plan_need(&d, &up, window);
    TAP_TRUE(need.start_us == window.start_us && need.end_us == window.end_us);
    d.offset_us = -4 * 3600LL * 1000000;
    d.size_us = 2 * 3600LL * 1000000;
    need = dl_plan_need(&d, &up, window);
    TAP_EQ_TIME(need.start_us, "2026-01-02T02:00:00Z");
    TAP_EQ_TIME(need.end_us, "2026-01-02T04:00:00Z");
    d.offset_us = -7 * 3600LL * 1000000; /* from an hour before its first window */
    need = dl_plan_need(&d, &up, window);
    TAP_EQ_TIME(need.start_us, "2026-01-02T00:00:00Z");
    TAP_EQ_TIME(need.end_us, "2026-01-02T01:00:00Z");
    d.offset_us = -8 * 3600LL * 1000000; /* wholly before: nothing to wait for */
    need = dl_plan_need(&d, &up, window);
    TAP_TRUE(need.end_us <= need.start_us);
    d.offset_us = 0;
    up.end_us = at("2026-01-02T07:00:00Z");
    need = dl_plan_need(&d, &up, window);
    TAP_EQ_TIME(need.end_us, "2026-01-02T07:00:00Z");
}

/* ---- schedules ---- */

static dl_factory_trigger scheduled(dl_calendar_frequency frequency)
{
    const dl_calendar_zone *utc = NULL;
    TAP_STATUS(dl_calendar_zone_find(DL_STR("UTC"), &utc, NULL), DL_OK);
    dl_factory_trigger t = {.type = DL_FACTORY_SCHEDULE};
    t.recurrence = (dl_calendar_recurrence){.frequency = frequency,
                                            .interval = 1,
                                            .start_us = at("2020-01-01T02:30:00Z"),
                                            .end_us = INT64_MAX,
                                            .zone = utc};
    return t;
}

static const struct {
    const char *name;
    dl_calendar_frequency frequency;
    const char *position, *now, *due; /* NULL: not due */
    const char *next;
} firings[] = {
    /* clang-format off */
    {"nothing yet", DL_CALENDAR_DAY, "2026-01-01T03:00:00Z", "2026-01-02T02:29:59Z", NULL,
     "2026-01-02T02:30:00Z"},
    {"at its time", DL_CALENDAR_DAY, "2026-01-01T02:30:00Z", "2026-01-02T02:30:00Z",
     "2026-01-02T02:30:00Z", "2026-01-03T02:30:00Z"},
    {"not twice", DL_CALENDAR_DAY, "2026-01-02T02:30:00Z", "2026-01-02T02:30:00Z", NULL,
     "2026-01-03T02:30:00Z"},
    {"the newest of many", DL_CALENDAR_DAY, "2026-01-01T02:30:00Z", "2026-01-31T12:00:00Z",
     "2026-01-31T02:30:00Z", "2026-02-01T02:30:00Z"},
    {"the newest of five years of minutes", DL_CALENDAR_MINUTE, "2021-01-01T00:00:00Z",
     "2026-01-01T00:00:30Z", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
    {"the clock went back", DL_CALENDAR_DAY, "2026-01-05T02:30:00Z", "2026-01-02T12:00:00Z", NULL,
     "2026-01-06T02:30:00Z"},
    /* clang-format on */
};

static void firing_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(firings); i++) {
        TAP_ROW_BEGIN();
        dl_factory_trigger t = scheduled(firings[i].frequency);
        dl_plan_firing got = dl_plan_schedule(&t, at(firings[i].position), at(firings[i].now));
        TAP_EQ_INT(got.due, firings[i].due != NULL);
        if (got.due && firings[i].due != NULL) {
            TAP_EQ_TIME(got.at_us, firings[i].due);
        }
        TAP_EQ_TIME(got.next_us, firings[i].next);
        TAP_ROW_END(firings[i].name);
    }
}

/* ---- retries and changes ---- */

TAP_CASE(a_failure_is_tried_again_as_often_as_it_says)
{
    dl_factory_trigger t = {.type = DL_FACTORY_TUMBLING, .retry_count = 2, .retry_interval_s = 30};
    int64_t when_us = 5;
    TAP_TRUE(!dl_plan_retry(&t, DL_RUN_SUCCEEDED, 0, 1000, &when_us));
    TAP_TRUE(!dl_plan_retry(&t, DL_RUN_CANCELLED, 0, 1000, &when_us));
    TAP_TRUE(!dl_plan_retry(&t, DL_RUN_FAILED, 2, 1000, &when_us));
    TAP_EQ_INT(when_us, 5);
    TAP_TRUE(dl_plan_retry(&t, DL_RUN_FAILED, 1, 1000, &when_us));
    TAP_EQ_INT(when_us, 30001000);
    t.type = DL_FACTORY_ON_CHANGE; /* always again, later and later, at most 32 minutes */
    TAP_TRUE(dl_plan_retry(&t, DL_RUN_FAILED, 2, 0, &when_us));
    TAP_EQ_INT(when_us, 30 * 1000000LL);
    TAP_TRUE(dl_plan_retry(&t, DL_RUN_FAILED, 8, 0, &when_us));
    TAP_EQ_INT(when_us, 1920 * 1000000LL);
    TAP_TRUE(dl_plan_retry(&t, DL_RUN_FAILED, 4000000000U, 0, &when_us));
    TAP_EQ_INT(when_us, 1920 * 1000000LL);
}

TAP_CASE(a_change_waits_for_quiet)
{
    dl_factory_trigger t = {.type = DL_FACTORY_ON_CHANGE, .quiet_us = 100};
    int64_t next_us = 0;
    TAP_TRUE(!dl_plan_change(&t, 7, 7, 0, 1000, &next_us));
    TAP_TRUE(next_us == INT64_MAX);
    TAP_TRUE(dl_plan_change(&t, 8, 7, 0, 1000, &next_us));
    TAP_TRUE(!dl_plan_change(&t, 8, 7, 901, 1000, &next_us));
    TAP_EQ_INT(next_us, 1001);
    TAP_TRUE(dl_plan_change(&t, 8, 7, 900, 1000, &next_us));
    TAP_TRUE(dl_plan_change(&t, 8, 7, 5000, 1000, &next_us)); /* the clock went back */
    TAP_TRUE(!dl_plan_change(&t, -1, -1, 0, 1000, &next_us)); /* an empty feed, nothing yet */
}

int main(void)
{
    grid_rows();
    TAP_RUN(borders_follow_each_other_across_the_start);
    TAP_RUN(a_window_ends_at_what_is_in_its_way);
    TAP_RUN(the_last_window_is_the_one_that_ended);
    TAP_RUN(a_window_is_due_after_its_delay);
    TAP_RUN(a_dependency_covers_the_moved_window_of_what_is_there);
    firing_rows();
    TAP_RUN(a_failure_is_tried_again_as_often_as_it_says);
    TAP_RUN(a_change_waits_for_quiet);
    return tap_done();
}
