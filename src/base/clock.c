#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static const int64_t second_us = 1000000;
static const int64_t day_us = 86400 * 1000000LL;

static int64_t read_clock(clockid_t id)
{
    struct timespec now = {0};
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * second_us + now.tv_nsec / 1000;
}

static int64_t system_now(void *context)
{
    (void)context;
    return read_clock(CLOCK_REALTIME);
}

dl_clock dl_clock_system(void)
{
    return (dl_clock){.now_us = system_now};
}

int64_t dl_clock_monotonic_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

/* Civil from days and back, after the usual era arithmetic: 400 years are 146,097 days. */
static void civil_of_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

bool dl_clock_days(int64_t year, int64_t month, int64_t day, int64_t *out_days)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (month < 1 || month > 12 || year < 0 || year > 9999) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (day < 1 || day > lengths[month - 1] + (month == 2 && leap)) {
        return false;
    }
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    *out_days = era * 146097 + day_of_era - 719468;
    return true;
}

typedef struct parts {
    int64_t year, month, day, hour, minute, second, micro;
} parts;

static parts split(int64_t time_us)
{
    int64_t days = time_us / day_us;
    int64_t rest = time_us % day_us;
    if (rest < 0) {
        rest += day_us;
        days--;
    }
    parts p = {.hour = rest / (3600 * second_us),
               .minute = rest / (60 * second_us) % 60,
               .second = rest / second_us % 60,
               .micro = rest % second_us};
    civil_of_days(days, &p.year, &p.month, &p.day);
    return p;
}

void dl_clock_format_feed(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE])
{
    parts p = split(time_us);
    (void)snprintf(out, DL_CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06d0+00:00",
                   (int)p.year, (int)p.month, (int)p.day, (int)p.hour, (int)p.minute, (int)p.second,
                   (int)p.micro);
}

void dl_clock_format_utc(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE])
{
    parts p = split(time_us);
    (void)snprintf(out, DL_CLOCK_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", (int)p.year,
                   (int)p.month, (int)p.day, (int)p.hour, (int)p.minute, (int)p.second,
                   (int)p.micro);
}

static bool take_digits(dl_str *text, size_t count, int64_t *out_value)
{
    uint64_t value = 0;
    if (text->len < count || !dl_str_to_u64(dl_str_slice(*text, 0, count), &value)) {
        return false;
    }
    *text = dl_str_slice(*text, count, text->len);
    *out_value = (int64_t)value;
    return true;
}

static bool take_char(dl_str *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c) {
        return false;
    }
    *text = dl_str_slice(*text, 1, text->len);
    return true;
}

static bool take_fraction(dl_str *text, int64_t *out_us)
{
    int64_t value = 0;
    int64_t scale = second_us / 10;
    size_t digits = 0;
    bool more = false;
    for (; text->len > 0 && text->ptr[0] >= '0' && text->ptr[0] <= '9'; digits++) {
        int64_t digit = text->ptr[0] - '0';
        value += digit * scale;
        more = more || (scale == 0 && digit > 0);
        scale /= 10;
        *text = dl_str_slice(*text, 1, text->len);
    }
    *out_us = value + more;
    return digits > 0;
}

static bool take_zone(dl_str *text, int64_t *out_offset_minutes)
{
    if (take_char(text, 'Z') || take_char(text, 'z')) {
        *out_offset_minutes = 0;
        return true;
    }
    int64_t sign = 1;
    if (!take_char(text, '+')) {
        if (!take_char(text, '-')) {
            return false;
        }
        sign = -1;
    }
    int64_t hours = 0;
    int64_t minutes = 0;
    if (!take_digits(text, 2, &hours) || !take_char(text, ':') || !take_digits(text, 2, &minutes) ||
        hours > 14 || minutes > 59) {
        return false;
    }
    *out_offset_minutes = sign * (hours * 60 + minutes);
    return true;
}

bool dl_clock_parse(dl_str text, int64_t *out_time_us)
{
    parts p = {0};
    int64_t days = 0;
    int64_t offset_minutes = 0;
    if (!take_digits(&text, 4, &p.year) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &p.month) || !take_char(&text, '-') ||
        !take_digits(&text, 2, &p.day) || (!take_char(&text, 'T') && !take_char(&text, 't')) ||
        !take_digits(&text, 2, &p.hour) || !take_char(&text, ':') ||
        !take_digits(&text, 2, &p.minute)) {
        return false;
    }
    if (take_char(&text, ':') && !take_digits(&text, 2, &p.second)) {
        return false;
    }
    if (take_char(&text, '.') && !take_fraction(&text, &p.micro)) {
        return false;
    }
    if (!take_zone(&text, &offset_minutes) || text.len != 0 || p.year < 1 || p.hour > 23 ||
        p.minute > 59 || p.second > 59 || !dl_clock_days(p.year, p.month, p.day, &days)) {
        return false;
    }
    *out_time_us = days * day_us +
                   ((p.hour * 60 + p.minute - offset_minutes) * 60 + p.second) * second_us +
                   p.micro;
    return true;
}
