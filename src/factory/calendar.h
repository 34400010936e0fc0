/**
 * Calendar: time zones, recurrences of schedule triggers, and the windows of tumbling triggers.
 *
 * Zones are named as in the IANA database (Europe/Berlin) or as Data Factory names them (W. Europe
 * Standard Time; the table of Unicode CLDR's windowsZones); "UTC" always works. A local time that a
 * clock change leaves out fires at the first moment after the gap; one that comes twice fires once,
 * the first time: a schedule "daily at 02:30" fires exactly once each day.
 *
 * Pure over the system's zone database; immutable objects, any thread.
 * Standard: Data Factory's ScheduleTrigger and TumblingWindowTrigger documents.
 */
#ifndef DL_FACTORY_CALENDAR_H
#define DL_FACTORY_CALENDAR_H

#include "base/str.h"

typedef enum dl_calendar_frequency {
    DL_CALENDAR_MINUTE,
    DL_CALENDAR_HOUR,
    DL_CALENDAR_DAY,
    DL_CALENDAR_WEEK, /* schedules only */
    DL_CALENDAR_MONTH,
} dl_calendar_frequency;

typedef struct dl_calendar_zone dl_calendar_zone; /* lives as long as the program */
/** "" is UTC, and so is a NULL zone below. Errors: DL_E_NOT_FOUND with the nearest names as hint;
 * DL_E_CORRUPT (the system's file is damaged), DL_E_NOMEM. */
DL_NODISCARD dl_status dl_calendar_zone_find(dl_str name, const dl_calendar_zone **out_zone,
                                             dl_error *err);

typedef struct dl_calendar_parts {
    int year, month, day, hour, minute, second, microsecond; /* month and day from 1 */
    int weekday;                                             /* 0 Sunday .. 6 Saturday */
    int yearday;                                             /* from 1 */
    int offset_s;                                            /* east of UTC */
} dl_calendar_parts;
void dl_calendar_local(const dl_calendar_zone *zone, int64_t time_us, dl_calendar_parts *out_parts);
/** By the rule above for gaps and repetitions. offset_s, weekday, yearday are ignored. Fields past
 * their range carry over (month 13, day 32, hour 25). */
int64_t dl_calendar_time(const dl_calendar_zone *zone, const dl_calendar_parts *parts);

/* ---- tumbling windows ---- */

/** Start of window `index` (from 0): start + index * interval; months keep the day of month, at
 * most the month's last. UTC throughout, as Data Factory. Saturates at the year 9999. */
int64_t dl_calendar_window_start(int64_t start_us, dl_calendar_frequency frequency,
                                 uint32_t interval, int64_t index);
/** Index of the window that holds time_us (>= start_us). */
int64_t dl_calendar_window_index(int64_t start_us, dl_calendar_frequency frequency,
                                 uint32_t interval, int64_t time_us);

/* ---- schedules ---- */

enum {
    DL_CALENDAR_TIMES_LIMIT = 64, /* hours x minutes of a schedule, month days ... */
};

typedef struct dl_calendar_monthly {
    int weekday;    /* 0 Sunday .. */
    int occurrence; /* 1..5 from the first, -1..-5 from the last; 0: each of them */
} dl_calendar_monthly;

typedef struct dl_calendar_recurrence {
    dl_calendar_frequency frequency;
    uint32_t interval;        /* from 1 */
    int64_t start_us, end_us; /* end exclusive; INT64_MAX: none */
    const dl_calendar_zone *zone;
    /* The "schedule" object. Counts 0: what the start time says; but minutes without hours are
     * those of every hour, as in Data Factory. */
    int8_t hours[24], minutes[60], weekdays[7];
    uint8_t hour_count, minute_count, weekday_count;
    int8_t month_days[62]; /* 1..31, -1..-31 from the end */
    uint8_t month_day_count;
    dl_calendar_monthly monthly[35];
    uint8_t monthly_count;
} dl_calendar_recurrence;

/** Errors: DL_E_INVALID naming the member (an hour with frequency hour, monthDays with week ...).
 */
DL_NODISCARD dl_status dl_calendar_recurrence_check(const dl_calendar_recurrence *recurrence,
                                                    dl_error *err);
/**
 * The first time it fires after `after_us`; INT64_MAX: never again. Never before start_us.
 *
 * Minutes and hours are elapsed time from the start; minutes of an hour are the zone's. Days, weeks
 * (they begin on Monday) and months are the zone's calendar. A list of minutes means whole ones,
 * else seconds are those of the start. A month without the day in month_days is left out; without
 * month_days and monthly the day is the start's, at most the month's last. The recurrence has
 * passed dl_calendar_recurrence_check.
 */
int64_t dl_calendar_next(const dl_calendar_recurrence *recurrence, int64_t after_us);

#endif
