/* The time of TIMESTAMP AS OF. */
#include "query/dialect_internal.h"

static bool take_digits(dl_str *text, size_t least, size_t most, int64_t *out)
{
    size_t digits = 0;
    int64_t value = 0;
    while (digits < text->len && digits < most && text->ptr[digits] >= '0' &&
           text->ptr[digits] <= '9') {
        value = value * 10 + (text->ptr[digits++] - '0');
    }
    *text = dl_str_slice(*text, digits, SIZE_MAX);
    *out = value;
    return digits >= least;
}

static bool take_char(dl_str *text, char c)
{
    if (text->len == 0 || text->ptr[0] != c) {
        return false;
    }
    *text = dl_str_slice(*text, 1, SIZE_MAX);
    return true;
}

/* Digits beyond microseconds are cut: a version is never taken that is younger than was said. */
static bool take_fraction(dl_str *text, int64_t *out_us)
{
    int64_t scale = 100000, digit = 0, us = 0;
    size_t before = text->len;
    while (text->len > 0 && take_digits(text, 1, 1, &digit)) {
        us += digit * scale;
        scale /= 10;
    }
    *out_us = us;
    return text->len < before;
}

/* Z, UTC, +02, +02:00, +0200 or nothing. */
static bool take_zone(dl_str *text, int64_t *out_us)
{
    int64_t hours = 0, minutes = 0;
    *text = dl_str_trim(*text);
    *out_us = 0;
    if (text->len == 0 || dl_str_eq_nocase(*text, DL_STR("Z")) ||
        dl_str_eq_nocase(*text, DL_STR("UTC"))) {
        *text = DL_STR_NONE;
        return true;
    }
    bool west = take_char(text, '-');
    if (!west && !take_char(text, '+')) {
        return false;
    }
    if (!take_digits(text, 2, 2, &hours)) {
        return false;
    }
    (void)take_char(text, ':');
    if (text->len > 0 && !take_digits(text, 2, 2, &minutes)) {
        return false;
    }
    *out_us = (hours * 60 + minutes) * 60000000 * (west ? -1 : 1);
    return hours <= 18 && minutes <= 59 && text->len == 0;
}

bool dl_dialect_time(dl_str text, int64_t *out_us)
{
    int64_t year = 0, month = 1, day = 1, days = 0, hour = 0, minute = 0, second = 0, us = 0;
    int64_t zone_us = 0;
    text = dl_str_trim(text);
    if (!take_digits(&text, 4, 4, &year) || !take_char(&text, '-') ||
        !take_digits(&text, 1, 2, &month) || !take_char(&text, '-') ||
        !take_digits(&text, 1, 2, &day) || !dl_clock_days(year, month, day, &days)) {
        return false;
    }
    if (text.len > 0) {
        if (!take_char(&text, 'T') && !take_char(&text, ' ')) {
            return false;
        }
        if (!take_digits(&text, 1, 2, &hour) || !take_char(&text, ':') ||
            !take_digits(&text, 2, 2, &minute) ||
            (take_char(&text, ':') && !take_digits(&text, 2, 2, &second)) ||
            (take_char(&text, '.') && !take_fraction(&text, &us)) || !take_zone(&text, &zone_us)) {
            return false;
        }
    }
    if (hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *out_us = ((days * 24 + hour) * 60 + minute) * 60000000 + second * 1000000 + us - zone_us;
    return true;
}
