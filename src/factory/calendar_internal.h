/* What the parts of calendar share. */
#ifndef DL_FACTORY_CALENDAR_INTERNAL_H
#define DL_FACTORY_CALENDAR_INTERNAL_H

#include "factory/calendar.h"

#define DL_CALENDAR_FIRST_US (-62135596800000000LL) /* 0001-01-01T00:00:00Z */
#define DL_CALENDAR_LAST_US 253402300799999999LL    /* 9999-12-31T23:59:59.999999Z */

/** a / b towards minus infinity; b > 0. */
static inline int64_t dl_calendar_floor(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/** Days since 1970-01-01; month and day carry over. */
int64_t dl_calendar_days(int64_t year, int64_t month, int64_t day);
void dl_calendar_civil(int64_t days, int64_t *out_year, int *out_month, int *out_day);
/** 0 Sunday .. 6 Saturday */
int dl_calendar_weekday(int64_t days);
/** Days of a month; the month carries over. */
int dl_calendar_month_length(int64_t year, int64_t month);
/** The day of the month stays, at most the month's last. Saturates at the years 1 and 9999. */
int64_t dl_calendar_add_months(int64_t time_us, int64_t months);
/** Of minute, hour, day and week. */
int64_t dl_calendar_unit_us(dl_calendar_frequency frequency);

/** A zone from the bytes of a TZif file (RFC 8536), to be freed with dl_mem_free. Errors:
 * DL_E_CORRUPT, DL_E_UNSUPPORTED (version 1, leap seconds), DL_E_NOMEM. */
DL_NODISCARD dl_status dl_calendar_zone_parse(dl_str name, dl_bytes file,
                                              dl_calendar_zone **out_zone, dl_error *err);
/** The IANA name that a Windows name stands for; NULL: none. */
const char *dl_calendar_windows_zone(dl_str name);
/** Fills the hint with the names that are nearest to `name`. */
void dl_calendar_zone_hint(dl_str name, dl_error *err);
/** Seconds east of UTC. NULL is UTC. */
int dl_calendar_zone_offset(const dl_calendar_zone *zone, int64_t time_s);
/** The second of a local one, by the rule of calendar.h; in a gap *fraction becomes 0. */
int64_t dl_calendar_zone_time(const dl_calendar_zone *zone, int64_t local_s, int64_t *fraction);

#endif
