/* Civil dates, tumbling windows. Time is microseconds since 1970 throughout; the proleptic
 * Gregorian calendar, years 1 to 9999. */
#include "factory/calendar_internal.h"

#include <limits.h>

static const int64_t second_us = 1000000;

/* ---- dates ---- */

int64_t dl_calendar_days(int64_t year, int64_t month, int64_t day)
{
    /* Months from March, so that the leap day is the last of its year; 400 years are 146,097 days.
     */
    month -= 1;
    year += dl_calendar_floor(month, 12);
    month -= 12 * dl_calendar_floor(month, 12);
    int64_t y = month < 2 ? year - 1 : year;
    int64_t era = dl_calendar_floor(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month >= 2 ? month - 2 : month + 10) + 2) / 5;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468 + day - 1;
}

void dl_calendar_civil(int64_t days, int64_t *out_year, int *out_month, int *out_day)
{
    int64_t z = days + 719468;
    int64_t era = dl_calendar_floor(z, 146097);
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *out_day = (int)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *out_month = (int)(shifted < 10 ? shifted + 3 : shifted - 9);
    *out_year = year_of_era + era * 400 + (*out_month <= 2);
}

int dl_calendar_weekday(int64_t days)
{
    return (int)(days + 4 - 7 * dl_calendar_floor(days + 4, 7)); /* 1970-01-01 was a Thursday */
}

int dl_calendar_month_length(int64_t year, int64_t month)
{
    return (int)(dl_calendar_days(year, month + 1, 1) - dl_calendar_days(year, month, 1));
}

void dl_calendar_local(const dl_calendar_zone *zone, int64_t time_us, dl_calendar_parts *out_parts)
{
    int64_t time_s = dl_calendar_floor(time_us, second_us);
    int offset_s = dl_calendar_zone_offset(zone, time_s);
    int64_t local_s = time_s + offset_s;
    int64_t days = dl_calendar_floor(local_s, 86400);
    int rest = (int)(local_s - days * 86400);
    int64_t year = 0;
    dl_calendar_parts p = {.hour = rest / 3600,
                           .minute = rest / 60 % 60,
                           .second = rest % 60,
                           .microsecond = (int)(time_us - time_s * second_us),
                           .weekday = dl_calendar_weekday(days),
                           .offset_s = offset_s};
    dl_calendar_civil(days, &year, &p.month, &p.day);
    p.year = (int)year;
    p.yearday = (int)(days - dl_calendar_days(year, 1, 1)) + 1;
    *out_parts = p;
}

int64_t dl_calendar_time(const dl_calendar_zone *zone, const dl_calendar_parts *parts)
{
    int64_t days = dl_calendar_days(parts->year, parts->month, parts->day);
    int64_t seconds = (int64_t)parts->hour * 3600 + (int64_t)parts->minute * 60 + parts->second;
    int64_t micros = parts->microsecond;
    /* What carries over from microseconds counts before the zone is asked; days fit: they are made
     * of ints. */
    int64_t local_s = days * 86400 + seconds + dl_calendar_floor(micros, second_us);
    micros -= second_us * dl_calendar_floor(micros, second_us);
    int64_t limit_s = INT64_MAX / second_us - INT64_C(86400) * 2;
    local_s = local_s > limit_s ? limit_s : local_s < -limit_s ? -limit_s : local_s;
    return dl_calendar_zone_time(zone, local_s, &micros) * second_us + micros;
}

/* ---- tumbling windows ---- */

static int64_t clamp_time(__int128 time_us)
{
    return time_us > DL_CALENDAR_LAST_US    ? DL_CALENDAR_LAST_US
           : time_us < DL_CALENDAR_FIRST_US ? DL_CALENDAR_FIRST_US
                                            : (int64_t)time_us;
}

int64_t dl_calendar_unit_us(dl_calendar_frequency frequency)
{
    static const int64_t units_s[] = {[DL_CALENDAR_MINUTE] = 60,
                                      [DL_CALENDAR_HOUR] = 3600,
                                      [DL_CALENDAR_DAY] = 86400,
                                      [DL_CALENDAR_WEEK] = 604800};
    DL_ASSERT(frequency < DL_CALENDAR_MONTH);
    return units_s[frequency] * second_us;
}

/** The day of the month stays, at most the month's last. */
int64_t dl_calendar_add_months(int64_t time_us, int64_t months)
{
    int64_t day_us = 86400 * second_us;
    int64_t days = dl_calendar_floor(time_us, day_us);
    int64_t year = 0;
    int month = 0, day = 0;
    dl_calendar_civil(days, &year, &month, &day);
    const int64_t far =
        INT64_C(12) * 20000; /* from anywhere it leads outside the years that there are */
    months = months > far ? far : months < -far ? -far : months;
    int last = dl_calendar_month_length(year, month + months);
    int64_t new_days = dl_calendar_days(year, month + months, day < last ? day : last);
    return clamp_time((__int128)new_days * day_us + (time_us - days * day_us));
}

int64_t dl_calendar_window_start(int64_t start_us, dl_calendar_frequency frequency,
                                 uint32_t interval, int64_t index)
{
    if (frequency == DL_CALENDAR_MONTH) {
        __int128 months = (__int128)index * interval;
        return dl_calendar_add_months(start_us, months > INT32_MAX   ? INT32_MAX
                                                : months < INT32_MIN ? INT32_MIN
                                                                     : (int64_t)months);
    }
    return clamp_time(start_us + (__int128)index * interval * dl_calendar_unit_us(frequency));
}

int64_t dl_calendar_window_index(int64_t start_us, dl_calendar_frequency frequency,
                                 uint32_t interval, int64_t time_us)
{
    DL_ASSERT(interval > 0);
    if (frequency != DL_CALENDAR_MONTH) {
        __int128 length = (__int128)interval * dl_calendar_unit_us(frequency);
        __int128 from = (__int128)time_us - start_us;
        return (int64_t)(from >= 0 ? from / length : -((-from + length - 1) / length));
    }
    int64_t day_us = 86400 * second_us;
    int64_t year = 0, start_year = 0;
    int month = 0, start_month = 0, day = 0;
    dl_calendar_civil(dl_calendar_floor(time_us, day_us), &year, &month, &day);
    dl_calendar_civil(dl_calendar_floor(start_us, day_us), &start_year, &start_month, &day);
    int64_t months = (year - start_year) * 12 + (month - start_month);
    int64_t index = dl_calendar_floor(months, interval);
    /* In the month itself the window may not have begun yet. */
    return index - (dl_calendar_window_start(start_us, frequency, interval, index) > time_us);
}
