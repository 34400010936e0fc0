/* Durations, times and paths as people write them. */
#include "cli/factory.h"
#include "cli/text.h"

#include "base/ckd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND_US ((int64_t)1000000)
#define DAY_US (86400 * SECOND_US)
enum { PATH_SIZE = 4096, UNIT_LIMIT = 8 };

/* ---- durations ---- */

static const struct {
    const char *names[4];
    int64_t us;
    dl_calendar_frequency frequency;
    bool recurs; /* may stand behind --every */
} units[] = {
    {{"s", "sec", "second", "seconds"}, SECOND_US, DL_CALENDAR_MINUTE, false},
    {{"m", "min", "minute", "minutes"}, 60 * SECOND_US, DL_CALENDAR_MINUTE, true},
    {{"h", "hr", "hour", "hours"}, 3600 * SECOND_US, DL_CALENDAR_HOUR, true},
    {{"d", "day", "days", "days"}, DAY_US, DL_CALENDAR_DAY, true},
    {{"w", "wk", "week", "weeks"}, 7 * DAY_US, DL_CALENDAR_WEEK, true},
    {{"mo", "mon", "month", "months"}, 0, DL_CALENDAR_MONTH, true}, /* no length of its own */
};

/** Split "15m" into its number and the index of its unit; "+" and "-" are not read here. */
static bool read_amount(dl_str text, int64_t *out_number, size_t *out_unit)
{
    size_t digits = 0;
    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
        digits++;
    }
    uint64_t number = 0;
    if (!dl_str_to_u64(dl_str_slice(text, 0, digits), &number) || number > INT32_MAX) {
        return false;
    }
    dl_str word = dl_str_slice(text, digits, text.len);
    for (size_t i = 0; i < DL_COUNT_OF(units); i++) {
        for (size_t k = 0; k < DL_COUNT_OF(units[i].names); k++) {
            if (dl_str_eq_nocase(word, dl_str_of(units[i].names[k]))) {
                *out_number = (int64_t)number;
                *out_unit = i;
                return true;
            }
        }
    }
    return false;
}

dl_status dl_cli_parse_duration(const char *option, dl_str text, bool allow_negative,
                                int64_t *out_us, dl_error *err)
{
    dl_str rest = text;
    bool negative = allow_negative && rest.len > 0 && rest.ptr[0] == '-';
    if (negative) {
        rest = dl_str_slice(rest, 1, rest.len);
    }
    int64_t number = 0;
    size_t unit = 0;
    int64_t us = 0;
    if (!read_amount(rest, &number, &unit) || units[unit].us == 0 ||
        ckd_mul(&us, number, units[unit].us)) {
        (void)dl_error_set(err, DL_E_INVALID, "%s %.*s: not a duration", option, DL_STR_ARG(text));
        dl_error_hint(err, "a number with s, m, h, d or w, as in 15m");
        return DL_E_INVALID;
    }
    *out_us = negative ? -us : us;
    return DL_OK;
}

dl_status dl_cli_parse_every(const char *text, dl_calendar_frequency *out_frequency,
                             uint32_t *out_interval, dl_error *err)
{
    int64_t number = 0;
    size_t unit = 0;
    if (!read_amount(dl_str_of(text), &number, &unit) || !units[unit].recurs || number == 0) {
        (void)dl_error_set(err, DL_E_INVALID, "--every %s: not a recurrence", text);
        dl_error_hint(err, "a number from 1 with m, h, d, w or month, as in 1h");
        return DL_E_INVALID;
    }
    *out_frequency = units[unit].frequency;
    *out_interval = (uint32_t)number;
    return DL_OK;
}

/* ---- times ---- */

dl_status dl_cli_parse_time(const char *option, dl_str text, int64_t *out_us, dl_error *err)
{
    static const char *const tails[] = {"", "Z", "T00:00:00Z"};
    char whole[DL_CLOCK_TEXT_SIZE];
    for (size_t i = 0; i < DL_COUNT_OF(tails); i++) {
        int len = snprintf(whole, sizeof whole, "%.*s%s", DL_STR_ARG(text), tails[i]);
        if (len > 0 && (size_t)len < sizeof whole && dl_clock_parse(dl_str_of(whole), out_us)) {
            return DL_OK;
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "%s %.*s: not a time", option, DL_STR_ARG(text));
    dl_error_hint(err, "as in 2026-01-05T08:00:00Z, 2026-01-05T09:00+01:00 or 2026-01-05 (UTC)");
    return DL_E_INVALID;
}

void dl_cli_format_time(int64_t time_us, char out[DL_CLOCK_TEXT_SIZE])
{
    out[0] = '\0';
    if (time_us != 0) {
        dl_clock_format_utc(time_us, out);
        out[10] = ' ';
        out[19] = '\0'; /* seconds are enough for people; --json has all */
    }
}

void dl_cli_format_took(const dl_run *run, int64_t now_us, char out[DL_CLOCK_TEXT_SIZE])
{
    out[0] = '\0';
    if (run->started_us == 0) {
        return;
    }
    int64_t took_us = (run->ended_us != 0 ? run->ended_us : now_us) - run->started_us;
    took_us = took_us < 0 ? 0 : took_us;
    if (took_us < 60 * SECOND_US) {
        (void)snprintf(out, DL_CLOCK_TEXT_SIZE, "%.*f s", took_us < SECOND_US ? 2 : 1,
                       (double)took_us / 1e6);
    } else {
        dl_cli_text_duration(took_us / SECOND_US, out);
    }
}

/* ---- paths ---- */

dl_status dl_cli_absolute(dl_arena *arena, const char *path, dl_str *out_path, dl_error *err)
{
    dl_str text = dl_str_of(path);
    if (path[0] == '/' || dl_str_find_str(text, DL_STR("://")) > 0 ||
        dl_str_eq(text, DL_STR("home:"))) {
        return dl_arena_copy(arena, text, out_path, err);
    }
    char here[PATH_SIZE];
    if (getcwd(here, sizeof here) == NULL) {
        return dl_error_set(err, DL_E_IO, "the current folder has no path");
    }
    while (dl_str_starts(text, DL_STR("./"))) {
        text = dl_str_slice(text, 2, text.len);
    }
    bool same = text.len == 0 || dl_str_eq(text, DL_STR("."));
    return same ? dl_arena_copy(arena, dl_str_of(here), out_path, err)
                : dl_arena_printf(arena, out_path, err, "%s/%.*s", here, DL_STR_ARG(text));
}
