/* Ranges to ticks and their texts: pure. */
#include "query/output/chart_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What lies beyond is drawn at the edge: sums and products of axes stay finite. */
#define FARTHEST 1e300
/* Years -9999 to 9999, which have a text. */
#define TIME_LOW (-377705116800.0)
#define TIME_HIGH 253402300799.0

double dl_chart_nice_step(double range, size_t count)
{
    double raw = range / (double)(count < 1 ? 1 : count);
    if (!(raw > 1e-300)) {
        return 1e-300;
    }
    double power = pow(10, floor(log10(raw)));
    double part = raw / power;
    double nice = part <= 1.0000001 ? 1 : part <= 2.0000001 ? 2 : part <= 5.0000001 ? 5 : 10;
    return nice * power;
}

/** Thousands apart: "1234567.50" to "1,234,567.50". */
static void group(const char *digits, char out[DL_CHART_TICK_SIZE])
{
    size_t sign = digits[0] == '-';
    size_t whole = strcspn(digits + sign, ".");
    size_t len = 0;
    for (size_t i = 0; digits[i] != '\0' && len + 2 < DL_CHART_TICK_SIZE; i++) {
        size_t k = i - sign;
        if (i > sign && k < whole && (whole - k) % 3 == 0) {
            out[len++] = ',';
        }
        out[len++] = digits[i];
    }
    out[len] = '\0';
}

static void put_number(double value, int decimals, char out[DL_CHART_TICK_SIZE])
{
    char digits[DL_CHART_TICK_SIZE];
    double size = fabs(value);
    if (size >= 1e15 || (size > 0 && size < 1e-6)) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%.4g", value);
        return;
    }
    (void)snprintf(digits, sizeof digits, "%.*f", decimals, value);
    if (strspn(digits, "-0.") == strlen(digits) && digits[0] == '-') { /* no "-0.0" */
        (void)memmove(digits, digits + 1, strlen(digits));
    }
    group(digits, out);
}

static int decimals_of(double step)
{
    int decimals = 0;
    while (decimals < 9 && fabs(step - round(step)) > 1e-6 * fabs(step)) {
        step *= 10;
        decimals++;
    }
    return decimals;
}

void dl_chart_number_text(double value, char out[DL_CHART_TICK_SIZE])
{
    char digits[DL_CHART_TICK_SIZE];
    double size = fabs(value);
    if (value == floor(value) && size < 1e15) {
        put_number(value, 0, out);
        return;
    }
    (void)snprintf(digits, sizeof digits, "%.6g", value);
    if (strchr(digits, 'e') != NULL) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%s", digits);
    } else {
        group(digits, out);
    }
}

static void add_tick(dl_chart_axis *axis, double at, const char *text)
{
    if (axis->count < DL_CHART_TICK_LIMIT) {
        axis->at[axis->count] = at;
        (void)snprintf(axis->text[axis->count], DL_CHART_TICK_SIZE, "%s", text);
        axis->count++;
    }
}

/** Millions and more in short. */
static void number_tick(double value, double step, double largest, char out[DL_CHART_TICK_SIZE])
{
    static const struct {
        double size;
        const char *unit;
    } units[] = {{1e12, " T"}, {1e9, " G"}, {1e6, " M"}};
    if (value == 0 && (largest >= 1e6 || step < 1e-6)) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "0");
        return;
    }
    for (size_t i = 0; i < DL_COUNT_OF(units) && largest < 1e15; i++) {
        if (largest >= units[i].size && step >= units[i].size / 1000) {
            put_number(value / units[i].size, decimals_of(step / units[i].size), out);
            size_t len = strlen(out);
            (void)snprintf(out + len, DL_CHART_TICK_SIZE - len, "%s", units[i].unit);
            return;
        }
    }
    put_number(value, decimals_of(step), out);
}

void dl_chart_axis_numbers(double low, double high, size_t want, bool whole, dl_chart_axis *out)
{
    *out = (dl_chart_axis){0};
    low = fmax(fmin(low, FARTHEST), -FARTHEST);
    high = fmax(fmin(high, FARTHEST), -FARTHEST);
    if (!(high > low)) { /* one value, or none */
        double room = low == 0 || whole ? 1 : fabs(low) / 10;
        low -= whole ? 0 : room;
        high += room;
    }
    double step = dl_chart_nice_step(high - low, want);
    if (whole && step < 1) {
        step = 1;
    }
    double first = floor(low / step + 1e-9);
    double last = ceil(high / step - 1e-9);
    if (last <= first) { /* the numbers are too near each other to tell apart */
        last = first + 1;
    }
    out->low = first * step;
    out->high = last * step;
    double largest = fmax(fabs(out->low), fabs(out->high));
    for (int i = 0; i < DL_CHART_TICK_LIMIT && first + i <= last; i++) {
        char text[DL_CHART_TICK_SIZE];
        double at = (first + i) * step;
        number_tick(at, step, largest, text);
        add_tick(out, at, text);
    }
}

/* ---- times ---- */

typedef struct moment {
    int64_t year;
    int month, day, hour, minute, second;
} moment;

/** Days since 1970 of a date in the Gregorian calendar, and back (years from March on). */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

static moment moment_of(double seconds)
{
    double day_number = floor(seconds / 86400);
    int rest = (int)(seconds - day_number * 86400);
    int64_t days = (int64_t)day_number + 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    int part = (int)((5 * day_of_year + 2) / 153);
    moment m = {.year = year + era * 400,
                .month = part < 10 ? part + 3 : part - 9,
                .day = (int)(day_of_year - (153 * part + 2) / 5 + 1),
                .hour = rest / 3600,
                .minute = rest / 60 % 60,
                .second = rest % 60};
    m.year += m.month <= 2;
    return m;
}

void dl_chart_time_text(double seconds, char out[DL_CHART_TICK_SIZE])
{
    if (!(seconds >= TIME_LOW && seconds <= TIME_HIGH)) {
        dl_chart_number_text(seconds, out);
        return;
    }
    moment m = moment_of(seconds);
    int n =
        snprintf(out, DL_CHART_TICK_SIZE, "%04lld-%02d-%02d", (long long)m.year, m.month, m.day);
    if (n > 0 && n < DL_CHART_TICK_SIZE && (m.hour != 0 || m.minute != 0 || m.second != 0)) {
        (void)snprintf(out + n, (size_t)(DL_CHART_TICK_SIZE - n), " %02d:%02d:%02d", m.hour,
                       m.minute, m.second);
    }
}

typedef struct stride {
    double seconds; /* about, of months */
    int months;     /* 0: seconds are exact */
} stride;

#define DAY 86400.0
#define MONTH 2629746.0
static const stride strides[] = {
    /* clang-format off */
    {1, 0}, {2, 0}, {5, 0}, {10, 0}, {15, 0}, {30, 0}, {60, 0}, {120, 0}, {300, 0}, {600, 0},
    {900, 0}, {1800, 0}, {3600, 0}, {7200, 0}, {10800, 0}, {21600, 0}, {43200, 0}, {DAY, 0},
    {2 * DAY, 0}, {7 * DAY, 0}, {14 * DAY, 0}, {MONTH, 1}, {2 * MONTH, 2}, {3 * MONTH, 3},
    {6 * MONTH, 6}, {12 * MONTH, 12}, {24 * MONTH, 24}, {60 * MONTH, 60}, {120 * MONTH, 120},
    {240 * MONTH, 240}, {600 * MONTH, 600}, {1200 * MONTH, 1200}, {6000 * MONTH, 6000},
    {12000 * MONTH, 12000},
    /* clang-format on */
};

static void time_tick(double at, const stride *by, bool one_day, char out[DL_CHART_TICK_SIZE])
{
    moment m = moment_of(at);
    long long year = (long long)m.year;
    if (by->months >= 12) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%lld", year);
    } else if (by->months > 0) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%04lld-%02d", year, m.month);
    } else if (by->seconds >= DAY) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%04lld-%02d-%02d", year, m.month, m.day);
    } else if (by->seconds >= 60 && one_day) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%02d:%02d", m.hour, m.minute);
    } else if (by->seconds >= 60) {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%02d-%02d %02d:%02d", m.month, m.day, m.hour,
                       m.minute);
    } else {
        (void)snprintf(out, DL_CHART_TICK_SIZE, "%02d:%02d:%02d", m.hour, m.minute, m.second);
    }
}

static void month_ticks(dl_chart_axis *axis, const stride *by)
{
    moment m = moment_of(axis->low);
    int64_t month = (m.year * 12 + m.month - 1) / by->months * by->months;
    for (size_t i = 0; i < (size_t)2 * DL_CHART_TICK_LIMIT; i++, month += by->months) {
        int64_t year = month >= 0 ? month / 12 : (month - 11) / 12;
        double at = (double)days_of(year, (int)(month - year * 12) + 1, 1) * DAY;
        char text[DL_CHART_TICK_SIZE];
        if (at > axis->high) {
            return;
        }
        if (at >= axis->low) {
            time_tick(at, by, false, text);
            add_tick(axis, at, text);
        }
    }
}

void dl_chart_axis_times(double low, double high, size_t want, dl_chart_axis *out)
{
    if (!(low >= TIME_LOW && high <= TIME_HIGH)) {
        dl_chart_axis_numbers(low, high, want, false, out);
        return;
    }
    *out = (dl_chart_axis){.low = low, .high = high};
    if (!(high > low)) {
        out->low = low - DAY / 2;
        out->high = high + DAY / 2;
    }
    double range = out->high - out->low;
    size_t i = 0;
    if (low < high && fmod(low, DAY) == 0 && fmod(high, DAY) == 0) { /* dates have no hours */
        while (strides[i].seconds < DAY) {
            i++;
        }
    }
    while (i + 1 < DL_COUNT_OF(strides) && range / strides[i].seconds > (double)want) {
        i++;
    }
    const stride *by = &strides[i];
    if (by->months > 0) {
        month_ticks(out, by);
        return;
    }
    bool one_day = floor(out->low / DAY) == floor(out->high / DAY);
    double first = ceil(out->low / by->seconds);
    for (int k = 0; k < DL_CHART_TICK_LIMIT && (first + k) * by->seconds <= out->high; k++) {
        char text[DL_CHART_TICK_SIZE];
        double at = (first + k) * by->seconds;
        time_tick(at, by, one_day, text);
        add_tick(out, at, text);
    }
}
