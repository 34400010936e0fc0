#include "factory/plan.h"

#include "base/ckd.h"

enum {
    MONTHS = 12,
    CHANGE_DOUBLINGS = 6, /* 32 minutes */
};
static const int64_t minute_us = 60LL * 1000000;
static const int64_t hour_us = 3600LL * 1000000;
static const int64_t day_us = 86400LL * 1000000;
static const int64_t change_wait_us = 30LL * 1000000;

int64_t dl_plan_add(int64_t a, int64_t b)
{
    int64_t sum = 0;
    if (ckd_add(&sum, a, b)) {
        return b > 0 ? INT64_MAX : INT64_MIN;
    }
    return sum;
}

/* 0: months, which have no length of their own. */
static int64_t length_us(const dl_factory_trigger *t)
{
    int64_t unit = 0;
    switch (t->frequency) {
    case DL_CALENDAR_MINUTE:
        unit = minute_us;
        break;
    case DL_CALENDAR_HOUR:
        unit = hour_us;
        break;
    case DL_CALENDAR_DAY:
        unit = day_us;
        break;
    case DL_CALENDAR_WEEK:
        unit = 7 * day_us;
        break;
    case DL_CALENDAR_MONTH:
        break;
    }
    return unit * (int64_t)t->interval; /* at most 7 days * 2^32: fits */
}

/* ---- the grid before the start, which the calendar does not know ---- */

static const dl_calendar_zone *utc(void)
{
    const dl_calendar_zone *zone = NULL;
    DL_ASSERT(dl_calendar_zone_find(DL_STR("UTC"), &zone, NULL) == DL_OK);
    return zone;
}

/* The start less `months`, on its day of the month or the month's last. */
static int64_t months_before(const dl_factory_trigger *t, int64_t months)
{
    const dl_calendar_zone *zone = utc();
    dl_calendar_parts parts;
    dl_calendar_local(zone, t->start_us, &parts);
    int64_t month = (int64_t)parts.year * MONTHS + parts.month - 1 - months;
    parts.year = (int)(month / MONTHS);
    parts.month = (int)(month % MONTHS) + 1;
    int64_t days = 0;
    while (parts.day > 28 && !dl_clock_days(parts.year, parts.month, parts.day, &days)) {
        parts.day--;
    }
    return dl_calendar_time(zone, &parts);
}

static int64_t border_before(const dl_factory_trigger *t, int64_t steps)
{
    int64_t length = length_us(t);
    return length > 0 ? t->start_us - steps * length : months_before(t, steps * t->interval);
}

/* Intervals back from the start to the border at or before `at_us` < start. */
static int64_t steps_before(const dl_factory_trigger *t, int64_t at_us)
{
    int64_t length = length_us(t);
    if (length > 0) {
        return (t->start_us - at_us + length - 1) / length;
    }
    dl_calendar_parts start, at;
    dl_calendar_local(utc(), t->start_us, &start);
    dl_calendar_local(utc(), at_us, &at);
    int64_t months = ((int64_t)start.year - at.year) * MONTHS + start.month - at.month;
    int64_t steps = months / (int64_t)t->interval;
    while (border_before(t, steps) > at_us) {
        steps++;
    }
    return steps;
}

/* ---- windows ---- */

int64_t dl_plan_floor(const dl_factory_trigger *t, int64_t at_us)
{
    if (at_us < t->start_us) {
        return border_before(t, steps_before(t, at_us));
    }
    int64_t index = dl_calendar_window_index(t->start_us, t->frequency, t->interval, at_us);
    return dl_calendar_window_start(t->start_us, t->frequency, t->interval, index);
}

int64_t dl_plan_border(const dl_factory_trigger *t, int64_t at_us)
{
    if (at_us < t->start_us) {
        return border_before(t, steps_before(t, at_us) - 1);
    }
    int64_t index = dl_calendar_window_index(t->start_us, t->frequency, t->interval, at_us);
    int64_t border = dl_calendar_window_start(t->start_us, t->frequency, t->interval, index + 1);
    return border > at_us ? border : INT64_MAX; /* the calendar has come to its end */
}

bool dl_plan_window(const dl_factory_trigger *t, int64_t at_us, int64_t next_us,
                    dl_plan_range *out_window)
{
    int64_t end_us = dl_plan_border(t, at_us);
    end_us = next_us < end_us ? next_us : end_us;
    if (at_us < t->end_us && t->end_us < end_us) {
        end_us = t->end_us;
    }
    if (at_us >= t->end_us || end_us == INT64_MAX) {
        return false;
    }
    *out_window = (dl_plan_range){at_us, end_us};
    return true;
}

int64_t dl_plan_due(const dl_factory_trigger *t, int64_t end_us)
{
    return dl_plan_add(end_us, t->delay_us);
}

dl_plan_range dl_plan_last(const dl_factory_trigger *t, int64_t now_us)
{
    int64_t end_us = now_us < t->end_us ? dl_plan_floor(t, now_us) : t->end_us;
    return (dl_plan_range){dl_plan_floor(t, end_us - 1), end_us};
}

/* ---- dependencies ---- */

dl_plan_range dl_plan_need(const dl_factory_dependency *dependency,
                           const dl_factory_trigger *upstream, dl_plan_range window)
{
    int64_t size_us =
        dependency->size_us > 0 ? dependency->size_us : window.end_us - window.start_us;
    dl_plan_range need = {dl_plan_add(window.start_us, dependency->offset_us), 0};
    need.end_us = dl_plan_add(need.start_us, size_us);
    need.start_us = need.start_us < upstream->start_us ? upstream->start_us : need.start_us;
    need.end_us = need.end_us > upstream->end_us ? upstream->end_us : need.end_us;
    return need;
}

/* ---- schedules ---- */

/* The newest time of the schedule in (position, now]: looked for from the end, in steps back that
 * double, so that years of a schedule of minutes cost no more than a day. */
static bool newest_firing(const dl_calendar_recurrence *r, int64_t position_us, int64_t now_us,
                          int64_t *out_at_us)
{
    for (int64_t back_us = minute_us;; back_us *= 2) {
        bool whole = back_us >= now_us - position_us;
        int64_t at_us = dl_calendar_next(r, whole ? position_us : now_us - back_us);
        if (at_us <= now_us) {
            for (int64_t next_us = at_us; next_us <= now_us; next_us = dl_calendar_next(r, at_us)) {
                at_us = next_us;
            }
            *out_at_us = at_us;
            return true;
        }
        if (whole) {
            return false;
        }
    }
}

dl_plan_firing dl_plan_schedule(const dl_factory_trigger *t, int64_t position_us, int64_t now_us)
{
    dl_plan_firing firing = {0};
    if (position_us < now_us) {
        firing.due = newest_firing(&t->recurrence, position_us, now_us, &firing.at_us);
    }
    int64_t after_us = position_us > now_us ? position_us : now_us;
    firing.next_us = dl_calendar_next(&t->recurrence, after_us);
    return firing;
}

/* ---- retries and changes ---- */

bool dl_plan_retry(const dl_factory_trigger *t, dl_run_status status, unsigned retry,
                   int64_t now_us, int64_t *out_not_before_us)
{
    if (status != DL_RUN_FAILED) {
        return false;
    }
    int64_t wait_us = (int64_t)t->retry_interval_s * 1000000;
    if (retry >= t->retry_count) {
        if (t->type != DL_FACTORY_ON_CHANGE) {
            return false;
        }
        unsigned more = retry - t->retry_count;
        wait_us = change_wait_us << (more < CHANGE_DOUBLINGS ? more : CHANGE_DOUBLINGS);
    }
    *out_not_before_us = dl_plan_add(now_us, wait_us);
    return true;
}

bool dl_plan_change(const dl_factory_trigger *t, int64_t newest, int64_t sequence, int64_t fired_us,
                    int64_t now_us, int64_t *out_next_us)
{
    *out_next_us = INT64_MAX;
    if (newest <= sequence) {
        return false;
    }
    int64_t due_us = dl_plan_add(fired_us, t->quiet_us);
    if (now_us < due_us && now_us >= fired_us) { /* a clock that went back does not count */
        *out_next_us = due_us;
        return false;
    }
    return true;
}
