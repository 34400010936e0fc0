/**
 * Clock: the time, passed in so that tests can run years in seconds; and its ISO 8601 forms.
 *
 * Time is int64_t microseconds since 1970-01-01T00:00:00Z, named *_us.
 *
 * Thread: immutable (the system clock), or as the test's own clock says.
 */
#ifndef DL_BASE_CLOCK_H
#define DL_BASE_CLOCK_H

#include "base/str.h"

typedef struct dl_clock {
    int64_t (*now_us)(void *context);
    void *context;
} dl_clock;

/** The wall clock of the machine. */
dl_clock dl_clock_system(void);
static inline int64_t dl_clock_now_us(const dl_clock *clock)
{
    return clock->now_us(clock->context);
}

/** Time that never goes back; only differences mean anything. */
int64_t dl_clock_monotonic_us(void);

enum { DL_CLOCK_TEXT_SIZE = 96 };

/** "2026-01-05T08:00:00.1234560+00:00": always seven digits of fraction (service contract 9.4). */
void dl_clock_format_feed(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE]);

/** "2026-01-05T08:00:00.123456Z" */
void dl_clock_format_utc(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE]);

/**
 * ISO 8601 date-time with a zone (Z or +-hh:mm): yyyy-mm-ddThh:mm[:ss[.fraction]]zone, years 0001
 * to 9999. Fractions beyond microseconds are rounded up, so that "from" bounds exclude what is
 * earlier.
 */
bool dl_clock_parse(dl_str text, int64_t *out_time_us);

/** Days since 1970-01-01 of a date in the proleptic Gregorian calendar; false if there is no such
 * day. */
bool dl_clock_days(int64_t year, int64_t month, int64_t day, int64_t *out_days);

#endif
