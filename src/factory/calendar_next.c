/* Schedules: when a recurrence fires next.
 *
 * Minutes and hours count elapsed time from the start, so a clock change neither doubles nor skips
 * one. Days, weeks (from Monday) and months count in the zone's calendar. */
#include "factory/calendar_internal.h"

static const int64_t second_us = 1000000;

static uint64_t bits_of(const int8_t *values, size_t count)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits |= UINT64_C(1) << (unsigned)values[i];
    }
    return bits;
}

static int64_t ceil_to(int64_t from, int64_t step, int64_t least)
{
    __int128 steps = ((__int128)least - from + step - 1) / step;
    __int128 time = from + (steps < 0 ? 0 : steps) * step;
    return time > DL_CALENDAR_LAST_US ? INT64_MAX : (int64_t)time;
}

/* ---- minutes and hours ---- */

/** The first time of an hour, whose first minute is at hour_s, that the list of minutes has. */
static int64_t next_in_hour(const dl_calendar_recurrence *r, int64_t hour_s, int64_t least_us)
{
    uint64_t minutes = bits_of(r->minutes, r->minute_count);
    for (int64_t minute = 0; minute < 60; minute++) {
        int64_t time_us = (hour_s + minute * 60) * second_us;
        dl_calendar_parts local;
        if (time_us >= least_us) {
            dl_calendar_local(r->zone, time_us, &local);
            if (minutes >> (unsigned)local.minute & 1) {
                return time_us;
            }
        }
    }
    return INT64_MAX;
}

static int64_t next_elapsed(const dl_calendar_recurrence *r, int64_t least_us)
{
    int64_t step_us = (int64_t)r->interval * dl_calendar_unit_us(r->frequency);
    if (r->minute_count == 0) {
        return ceil_to(r->start_us, step_us, least_us);
    }
    dl_calendar_parts local;
    dl_calendar_local(r->zone, r->start_us, &local);
    int past_s = local.minute * 60 + local.second;
    int64_t hour_s = dl_calendar_floor(r->start_us, second_us) - past_s;
    int64_t past = dl_calendar_floor(least_us - hour_s * second_us, step_us);
    hour_s += past * (step_us / second_us);
    /* An hour may have none of its minutes left, or lose them to a change by half an hour. */
    for (int tries = 0; tries < 4 && hour_s * second_us <= DL_CALENDAR_LAST_US; tries++) {
        int64_t time_us = next_in_hour(r, hour_s, least_us);
        if (time_us != INT64_MAX) {
            return time_us;
        }
        hour_s += step_us / second_us;
    }
    return INT64_MAX;
}

/* ---- days, weeks and months ---- */

typedef struct day {
    int64_t days; /* since 1970 */
    int64_t year;
    int month, day;
} day;

static day day_of(int64_t days)
{
    day d = {.days = days};
    dl_calendar_civil(days, &d.year, &d.month, &d.day);
    return d;
}

static bool occurs(const dl_calendar_monthly *m, const day *d, int length)
{
    if (dl_calendar_weekday(d->days) != m->weekday) {
        return false;
    }
    return m->occurrence == 0 || m->occurrence == (d->day - 1) / 7 + 1 ||
           -m->occurrence == (length - d->day) / 7 + 1;
}

static bool month_has(const dl_calendar_recurrence *r, const day *start, const day *d)
{
    int length = dl_calendar_month_length(d->year, d->month);
    if (r->month_day_count == 0 && r->monthly_count == 0) {
        return d->day == (start->day < length ? start->day : length);
    }
    for (size_t i = 0; i < r->month_day_count; i++) {
        int wanted = r->month_days[i] > 0 ? r->month_days[i] : length + 1 + r->month_days[i];
        if (d->day == wanted) {
            return true;
        }
    }
    for (size_t i = 0; i < r->monthly_count; i++) {
        if (occurs(&r->monthly[i], d, length)) {
            return true;
        }
    }
    return false;
}

/** The first day from `days` on that has firings; past the last year: any. */
static int64_t next_daily(const dl_calendar_recurrence *r, const day *start, int64_t days)
{
    int64_t past = (days - start->days) % r->interval;
    return past == 0 ? days : days + r->interval - past;
}

static int64_t next_weekly(const dl_calendar_recurrence *r, const day *start, int64_t days)
{
    uint64_t weekdays = r->weekday_count > 0
                            ? bits_of(r->weekdays, r->weekday_count)
                            : UINT64_C(1) << (unsigned)dl_calendar_weekday(start->days);
    int64_t first_monday = start->days - (dl_calendar_weekday(start->days) + 6) % 7;
    for (;; days++) {
        int64_t weeks = dl_calendar_floor(days - first_monday, 7);
        if (weeks % r->interval != 0) {
            days = first_monday + 7 * (weeks - weeks % r->interval + r->interval);
        }
        if (weekdays >> (unsigned)dl_calendar_weekday(days) & 1) {
            return days;
        }
    }
}

static int64_t next_monthly(const dl_calendar_recurrence *r, const day *start, int64_t days)
{
    for (;; days++) {
        day d = day_of(days);
        if (d.year > 9999) {
            return days;
        }
        int64_t months = (d.year - start->year) * 12 + d.month - start->month;
        if (months % r->interval != 0) {
            months += r->interval - months % r->interval;
            if (months > INT32_MAX) {
                return dl_calendar_days(10000, 1, 1);
            }
            days = dl_calendar_days(start->year, start->month + months, 1);
            d = day_of(days);
        }
        if (month_has(r, start, &d)) {
            return days;
        }
    }
}

static int64_t next_in_day(const dl_calendar_recurrence *r, const dl_calendar_parts *start,
                           const day *d, int64_t least_us)
{
    const uint64_t every_hour = (UINT64_C(1) << 24) - 1;
    uint64_t hours = r->hour_count > 0     ? bits_of(r->hours, r->hour_count)
                     : r->minute_count > 0 ? every_hour
                                           : UINT64_C(1) << (unsigned)start->hour;
    uint64_t minutes = r->minute_count > 0 ? bits_of(r->minutes, r->minute_count)
                                           : UINT64_C(1) << (unsigned)start->minute;
    dl_calendar_parts at = {.year = (int)d->year, .month = d->month, .day = d->day};
    if (r->minute_count == 0) { /* a list of minutes means whole ones */
        at.second = start->second;
        at.microsecond = start->microsecond;
    }
    for (at.hour = 0; at.hour < 24; at.hour++) {
        for (at.minute = 0; at.minute < 60 && hours >> (unsigned)at.hour & 1; at.minute++) {
            if (minutes >> (unsigned)at.minute & 1) {
                int64_t time_us = dl_calendar_time(r->zone, &at);
                if (time_us >= least_us) {
                    return time_us;
                }
            }
        }
    }
    return INT64_MAX;
}

static int64_t next_on_day(const dl_calendar_recurrence *r, int64_t least_us)
{
    dl_calendar_parts start, least;
    dl_calendar_local(r->zone, r->start_us, &start);
    dl_calendar_local(r->zone, least_us, &least);
    day first = day_of(dl_calendar_days(start.year, start.month, start.day));
    /* From the day before: its last times may be put off past midnight by a change. */
    int64_t days = dl_calendar_days(least.year, least.month, least.day) - 1;
    for (days = days < first.days ? first.days : days;; days++) {
        days = r->frequency == DL_CALENDAR_DAY    ? next_daily(r, &first, days)
               : r->frequency == DL_CALENDAR_WEEK ? next_weekly(r, &first, days)
                                                  : next_monthly(r, &first, days);
        day d = day_of(days);
        if (d.year > 9999) {
            return INT64_MAX;
        }
        int64_t time_us = next_in_day(r, &start, &d, least_us);
        if (time_us != INT64_MAX) {
            return time_us;
        }
    }
}

int64_t dl_calendar_next(const dl_calendar_recurrence *recurrence, int64_t after_us)
{
    const dl_calendar_recurrence *r = recurrence;
    DL_ASSERT(r->interval > 0);
    if (after_us >= DL_CALENDAR_LAST_US || after_us >= r->end_us) {
        return INT64_MAX;
    }
    int64_t least_us = after_us < r->start_us ? r->start_us : after_us + 1;
    int64_t time_us =
        r->frequency < DL_CALENDAR_DAY ? next_elapsed(r, least_us) : next_on_day(r, least_us);
    return time_us < r->end_us && time_us <= DL_CALENDAR_LAST_US ? time_us : INT64_MAX;
}

/* ---- whether it makes sense ---- */

static const char *frequency_name(dl_calendar_frequency frequency)
{
    static const char *const names[] = {"Minute", "Hour", "Day", "Week", "Month"};
    return names[frequency];
}

static dl_status misplaced(const dl_calendar_recurrence *r, const char *member, const char *hint,
                           dl_error *err)
{
    (void)dl_error_set(err, DL_E_INVALID, "recurrence: schedule.%s does not go with frequency %s",
                       member, frequency_name(r->frequency));
    dl_error_hint(err, "%s", hint);
    return DL_E_INVALID;
}

static dl_status check_places(const dl_calendar_recurrence *r, dl_error *err)
{
    if (r->hour_count > 0 && r->frequency < DL_CALENDAR_DAY) {
        return misplaced(r, "hours", "hours of the day go with Day, Week and Month", err);
    }
    if (r->minute_count > 0 && r->frequency == DL_CALENDAR_MINUTE) {
        return misplaced(r, "minutes", "minutes of the hour go with Hour, Day, Week and Month",
                         err);
    }
    if (r->weekday_count > 0 && r->frequency != DL_CALENDAR_WEEK) {
        return misplaced(r, "weekDays", "days of the week go with Week", err);
    }
    if (r->month_day_count > 0 && r->frequency != DL_CALENDAR_MONTH) {
        return misplaced(r, "monthDays", "days of the month go with Month", err);
    }
    if (r->monthly_count > 0 && r->frequency != DL_CALENDAR_MONTH) {
        return misplaced(r, "monthlyOccurrences", "they go with Month", err);
    }
    return DL_OK;
}

/** A list of numbers from least to most, of `room` at most. */
typedef struct list {
    const char *member;
    const int8_t *values;
    size_t count, room;
    int least, most;
} list;

static dl_status check_list(const list *l, dl_error *err)
{
    if (l->count > l->room) {
        return dl_error_set(err, DL_E_INVALID,
                            "recurrence: schedule.%s has %zu values, at most %zu", l->member,
                            l->count, l->room);
    }
    for (size_t i = 0; i < l->count; i++) {
        /* Counted from the end of the month: -1 is the last day; there is no day 0. */
        if (l->values[i] < l->least || l->values[i] > l->most ||
            (l->least < 0 && l->values[i] == 0)) {
            return dl_error_set(err, DL_E_INVALID,
                                "recurrence: schedule.%s: %d is not from %d to %d%s", l->member,
                                l->values[i], l->least, l->most, l->least < 0 ? " without 0" : "");
        }
    }
    return DL_OK;
}

static dl_status check_lists(const dl_calendar_recurrence *r, dl_error *err)
{
    const list lists[] = {
        {"hours", r->hours, r->hour_count, DL_COUNT_OF(r->hours), 0, 23},
        {"minutes", r->minutes, r->minute_count, DL_COUNT_OF(r->minutes), 0, 59},
        {"weekDays", r->weekdays, r->weekday_count, DL_COUNT_OF(r->weekdays), 0, 6},
        {"monthDays", r->month_days, r->month_day_count, DL_COUNT_OF(r->month_days), -31, 31},
    };
    for (size_t i = 0; i < DL_COUNT_OF(lists); i++) {
        DL_TRY(check_list(&lists[i], err));
    }
    if (r->monthly_count > DL_COUNT_OF(r->monthly)) {
        return dl_error_set(err, DL_E_INVALID,
                            "recurrence: schedule.monthlyOccurrences has %d values, at most %zu",
                            r->monthly_count, DL_COUNT_OF(r->monthly));
    }
    for (size_t i = 0; i < r->monthly_count; i++) {
        const dl_calendar_monthly *m = &r->monthly[i];
        if (m->weekday < 0 || m->weekday > 6 || m->occurrence < -5 || m->occurrence > 5) {
            return dl_error_set(
                err, DL_E_INVALID,
                "recurrence: schedule.monthlyOccurrences: day %d, occurrence %d: not"
                " from 0 to 6 and from -5 to 5",
                m->weekday, m->occurrence);
        }
    }
    return DL_OK;
}

dl_status dl_calendar_recurrence_check(const dl_calendar_recurrence *recurrence, dl_error *err)
{
    const dl_calendar_recurrence *r = recurrence;
    if (r->frequency > DL_CALENDAR_MONTH) {
        return dl_error_set(err, DL_E_INVALID, "recurrence: there is no such frequency");
    }
    if (r->interval < 1) {
        return dl_error_set(err, DL_E_INVALID, "recurrence: interval 0 is not 1 or more");
    }
    if (r->start_us < DL_CALENDAR_FIRST_US || r->start_us > DL_CALENDAR_LAST_US) {
        return dl_error_set(err, DL_E_INVALID,
                            "recurrence: startTime is not in the years 1 to 9999");
    }
    if (r->end_us <= r->start_us) {
        return dl_error_set(err, DL_E_INVALID, "recurrence: endTime is not later than startTime");
    }
    DL_TRY(check_places(r, err));
    DL_TRY(check_lists(r, err));
    if (dl_calendar_next(r, r->start_us - 1) == INT64_MAX) {
        (void)dl_error_set(err, DL_E_INVALID, "recurrence: it never fires");
        dl_error_hint(err,
                      "no time from startTime to endTime is in the schedule; month day -1 is the"
                      " last of each month");
        return DL_E_INVALID;
    }
    return DL_OK;
}
