#include "tap.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "factory/calendar_internal.h"

#include <unistd.h>

static int64_t at(const char *text)
{
    int64_t time_us = 0;
    if (!dl_clock_parse(dl_str_of(text), &time_us)) {
        TAP_FAIL("%s is no time", text);
    }
    return time_us;
}

static void eq_time(int64_t got_us, const char *want)
{
    char text[DL_CLOCK_TEXT_SIZE];
    if (got_us != (want == NULL ? INT64_MAX : at(want))) {
        dl_clock_format_utc(got_us == INT64_MAX ? 0 : got_us, text);
        TAP_FAIL("%s, not %s", got_us == INT64_MAX ? "never" : text, want == NULL ? "never" : want);
    }
}

static const dl_calendar_zone *zone(const char *name)
{
    const dl_calendar_zone *found = NULL;
    dl_error err = {0};
    TAP_OK(dl_calendar_zone_find(dl_str_of(name), &found, &err), err);
    return found;
}

/* ---- zones ---- */

static const struct {
    const char *name;
    bool good;
    const char *hint;
} zone_names[] = {
    {"", true, ""},
    {"UTC", true, ""},
    {"utc", true, ""},
    {"Europe/Berlin", true, ""},
    {"America/Argentina/Buenos_Aires", true, ""},
    {"Etc/GMT+5", true, ""},
    {"W. Europe Standard Time", true, ""},
    {"w. europe standard time", true, ""},
    {"UTC-11", true, ""},
    {"Tokyo Standard Time", true, ""},
    {"Europe/Berln", false, "Europe/Berlin"},
    {"berlin", false, "Europe/Berlin"},
    {"europe/berlin", false, "Europe/Berlin"},
    {"W. Europe Standart Time", false, "W. Europe Standard Time"},
    {"Europe", false, "Europe/"},
    {"tzdata.zi", false, "UTC"},
    {"zone.tab", false, "UTC"},
    {"right/Europe/Berlin", false, "Europe/Berlin"},
    {"../../../etc/passwd", false, "UTC"},
    {"/etc/passwd", false, "UTC"},
    {"Europe/../Europe/Berlin", false, ""},
    {"Europe//Berlin", false, "Europe/Berlin"},
    {"Europe/Berlin/", false, "Europe/Berlin"},
    {"xyzzy plugh", false, "UTC"},
};

TAP_CASE(zones_are_found_by_either_name)
{
    for (size_t i = 0; i < DL_COUNT_OF(zone_names); i++) {
        const dl_calendar_zone *untouched = zone("Asia/Tokyo"), *found = untouched;
        dl_error err = {0};
        dl_status status = dl_calendar_zone_find(dl_str_of(zone_names[i].name), &found, &err);
        if ((status == DL_OK) != zone_names[i].good ||
            (status != DL_OK && (status != DL_E_NOT_FOUND || found != untouched)) ||
            (status != DL_OK && strstr(err.hint, zone_names[i].hint) == NULL)) {
            TAP_FAIL("'%s': %s: %s (%s)", zone_names[i].name, dl_status_name(status), err.message,
                     err.hint);
        }
    }
    const dl_calendar_zone *berlin = zone("Europe/Berlin");
    TAP_TRUE(berlin == zone("W. Europe Standard Time"));
    TAP_TRUE(zone("") == zone("UTC"));
}

TAP_CASE(zone_names_may_be_long_and_hold_anything)
{
    char name[200];
    memset(name, 'a', sizeof name);
    const dl_calendar_zone *found = NULL;
    for (size_t length = 60; length < 70; length++) {
        dl_error err = {0};
        TAP_STATUS(dl_calendar_zone_find((dl_str){name, length}, &found, &err), DL_E_NOT_FOUND);
        TAP_TRUE(err.hint[0] != '\0');
    }
    TAP_STATUS(dl_calendar_zone_find((dl_str){name, sizeof name}, &found, NULL), DL_E_NOT_FOUND);
    TAP_STATUS(dl_calendar_zone_find((dl_str){"Europe/Berlin\0x", 15}, &found, NULL),
               DL_E_NOT_FOUND);
    TAP_TRUE(found == NULL);
}

TAP_CASE(a_zone_is_found_or_memory_is_told)
{
    const dl_calendar_zone *found = NULL;
    bool done = false;
    for (int64_t n = 0; n < 50 && !done; n++) {
        dl_error err = {0};
        dl_mem_fail_after(n);
        dl_status status = dl_calendar_zone_find(DL_STR("Pacific/Apia"), &found, &err);
        dl_mem_fail_after(-1);
        done = status == DL_OK;
        if (!done && (status != DL_E_NOMEM || found != NULL)) {
            TAP_FAIL("allocation %lld: %s: %s", (long long)n, dl_status_name(status), err.message);
        }
    }
    TAP_TRUE(done);
}

/** Local time in a zone, and the moment it stands for. */
static const struct {
    const char *zone;
    int parts[6];
    const char *time;
} local_times[] = {
    {"UTC", {2026, 3, 29, 2, 30, 0}, "2026-03-29T02:30:00Z"},
    {"Europe/Berlin", {2026, 3, 29, 1, 59, 59}, "2026-03-29T00:59:59Z"},
    {"Europe/Berlin", {2026, 3, 29, 2, 0, 0}, "2026-03-29T01:00:00Z"},   /* left out */
    {"Europe/Berlin", {2026, 3, 29, 2, 30, 0}, "2026-03-29T01:00:00Z"},  /* left out */
    {"Europe/Berlin", {2026, 3, 29, 2, 59, 59}, "2026-03-29T01:00:00Z"}, /* left out */
    {"Europe/Berlin", {2026, 3, 29, 3, 0, 0}, "2026-03-29T01:00:00Z"},
    {"Europe/Berlin", {2026, 10, 25, 1, 59, 59}, "2026-10-24T23:59:59Z"},
    {"Europe/Berlin", {2026, 10, 25, 2, 0, 0}, "2026-10-25T00:00:00Z"},   /* twice: the first */
    {"Europe/Berlin", {2026, 10, 25, 2, 59, 59}, "2026-10-25T00:59:59Z"}, /* twice: the first */
    {"Europe/Berlin", {2026, 10, 25, 3, 0, 0}, "2026-10-25T02:00:00Z"},
    {"Europe/Berlin", {2099, 7, 1, 12, 0, 0}, "2099-07-01T10:00:00Z"}, /* by the rule */
    {"Europe/Berlin", {2099, 3, 29, 2, 30, 0}, "2099-03-29T01:00:00Z"},
    {"Europe/Berlin", {2099, 10, 25, 2, 30, 0}, "2099-10-25T00:30:00Z"},
    {"America/New_York", {2026, 3, 8, 2, 30, 0}, "2026-03-08T07:00:00Z"},
    {"Australia/Lord_Howe", {2026, 10, 4, 2, 15, 0}, "2026-10-03T15:30:00Z"}, /* half an hour */
    {"Australia/Lord_Howe", {2026, 4, 5, 1, 45, 0}, "2026-04-04T14:45:00Z"},
    {"Pacific/Apia", {2011, 12, 30, 12, 0, 0}, "2011-12-30T10:00:00Z"},    /* a day left out */
    {"America/Sao_Paulo", {2018, 11, 4, 0, 0, 0}, "2018-11-04T03:00:00Z"}, /* no midnight */
    {"Asia/Kolkata", {2026, 13, 32, 25, 61, 61}, "2027-02-01T20:32:01Z"},  /* carried over */
    {"Asia/Kolkata", {2026, 0, 0, -1, -1, -1}, "2025-11-29T17:28:59Z"},
};

TAP_CASE(local_times_have_one_moment)
{
    for (size_t i = 0; i < DL_COUNT_OF(local_times); i++) {
        const int *p = local_times[i].parts;
        dl_calendar_parts parts = {
            .year = p[0], .month = p[1], .day = p[2], .hour = p[3], .minute = p[4], .second = p[5]};
        eq_time(dl_calendar_time(zone(local_times[i].zone), &parts), local_times[i].time);
    }
}

TAP_CASE(a_gap_swallows_microseconds)
{
    dl_calendar_parts parts = {.year = 2026, .month = 3, .day = 29, .hour = 2, .microsecond = 7};
    eq_time(dl_calendar_time(zone("Europe/Berlin"), &parts), "2026-03-29T01:00:00Z");
    parts.hour = 4;
    parts.microsecond = -1;
    eq_time(dl_calendar_time(zone("Europe/Berlin"), &parts), "2026-03-29T01:59:59.999999Z");
    parts.microsecond = 2000001;
    eq_time(dl_calendar_time(NULL, &parts), "2026-03-29T04:00:02.000001Z");
}

TAP_CASE(parts_of_a_time)
{
    dl_calendar_parts p;
    dl_calendar_local(zone("Europe/Berlin"), at("2028-12-31T23:30:15.000007Z"), &p);
    TAP_EQ_INT(p.year, 2029);
    TAP_EQ_INT(p.month, 1);
    TAP_EQ_INT(p.day, 1);
    TAP_EQ_INT(p.hour, 0);
    TAP_EQ_INT(p.minute, 30);
    TAP_EQ_INT(p.second, 15);
    TAP_EQ_INT(p.microsecond, 7);
    TAP_EQ_INT(p.weekday, 1);
    TAP_EQ_INT(p.yearday, 1);
    TAP_EQ_INT(p.offset_s, 3600);
    dl_calendar_local(NULL, at("2028-12-31T23:30:15Z"), &p);
    TAP_EQ_INT(p.yearday, 366);
    TAP_EQ_INT(p.weekday, 0);
    dl_calendar_local(NULL, -1, &p);
    TAP_EQ_INT(p.year, 1969);
    TAP_EQ_INT(p.microsecond, 999999);
    dl_calendar_local(NULL, at("0001-01-01T00:00:00Z"), &p);
    TAP_EQ_INT(p.year, 1);
    TAP_EQ_INT(p.weekday, 1);
}

/* ---- zone files ---- */

static dl_status parse(const char *bytes, size_t size, dl_calendar_zone **out, dl_error *err)
{
    return dl_calendar_zone_parse(DL_STR("Test/Zone"), (dl_bytes){(const uint8_t *)bytes, size},
                                  out, err);
}

/** A file with no changes, of version 2, with this rule. */
static size_t make_file(char out[400], const char *rule)
{
    static const char header[] =
        "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\0\0\0\1\0\0\0\4";
    size_t used = 0;
    for (int block = 0; block < 2; block++) {
        memcpy(out + used, header, 44);
        used += 44;
        memcpy(out + used, "\0\0\x0e\x10\0\0CET\0", 10);
        used += 10;
    }
    used += (size_t)snprintf(out + used, 200, "\n%s\n", rule);
    return used;
}

static const struct {
    const char *rule;
    bool good;
    const char *time;
    int offset_s;
} rules[] = {
    {"", true, "2050-07-01T00:00:00Z", 3600}, /* none: the only type */
    {"CET-1", true, "2050-07-01T00:00:00Z", 3600},
    {"CET-1CEST,M3.5.0,M10.5.0/3", true, "2050-07-01T00:00:00Z", 7200},
    {"CET-1CEST,M3.5.0,M10.5.0/3", true, "2050-12-01T00:00:00Z", 3600},
    {"<+0330>-3:30", true, "2050-07-01T00:00:00Z", 12600},
    {"AEST-10AEDT,M10.1.0,M4.1.0/3", true, "2050-01-01T00:00:00Z", 39600},
    {"AEST-10AEDT,M10.1.0,M4.1.0/3", true, "2050-07-01T00:00:00Z", 36000},
    {"XXX3EDT4,J60/0,J300/25", true, "2052-02-29T12:00:00Z", -10800}, /* J60 is March 1 */
    {"XXX3EDT4,J60/0,J300/25", true, "2052-03-01T12:00:00Z", -14400},
    {"XXX3EDT4,59/0,300/-1", true, "2052-02-29T12:00:00Z", -14400},  /* 59 counts it */
    {"IST-1GMT0,M10.5.0,M3.5.0/1", true, "2050-01-01T00:00:00Z", 0}, /* Dublin's way round */
    {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", true, "2050-07-01T00:00:00Z", -3600},
    {"CET", false, NULL, 0},
    {"CE-1", false, NULL, 0},
    {"CET-26", false, NULL, 0},
    {"CET-1CEST", false, NULL, 0},
    {"CET-1CEST,M3.5.0", false, NULL, 0},
    {"CET-1CEST,M13.5.0,M10.5.0", false, NULL, 0},
    {"CET-1CEST,M3.6.0,M10.5.0", false, NULL, 0},
    {"CET-1CEST,M3.0.0,M10.5.0", false, NULL, 0},
    {"CET-1CEST,M3.5.7,M10.5.0", false, NULL, 0},
    {"CET-1CEST,M3.5.0/168,M10.5.0", false, NULL, 0},
    {"CET-1CEST,J0,M10.5.0", false, NULL, 0},
    {"CET-1CEST,J366,M10.5.0", false, NULL, 0},
    {"CET-1CEST,M3.5.0,M10.5.0/3x", false, NULL, 0},
    {"<+03-3", false, NULL, 0},
};

TAP_CASE(rules_for_the_future)
{
    for (size_t i = 0; i < DL_COUNT_OF(rules); i++) {
        char file[400];
        dl_error err = {0};
        dl_calendar_zone *made = NULL;
        dl_status status = parse(file, make_file(file, rules[i].rule), &made, &err);
        if ((status == DL_OK) != rules[i].good || (status != DL_OK && status != DL_E_CORRUPT)) {
            TAP_FAIL("'%s': %s: %s", rules[i].rule, dl_status_name(status), err.message);
        } else if (rules[i].good) {
            int got = dl_calendar_zone_offset(made, at(rules[i].time) / 1000000);
            if (got != rules[i].offset_s) {
                TAP_FAIL("'%s' at %s: %d", rules[i].rule, rules[i].time, got);
            }
        }
        dl_mem_free(made);
    }
}

TAP_CASE(damaged_zone_files_are_refused)
{
    DL_AUTO_BUF file = {0};
    dl_error err = {0};
    dl_calendar_zone *made = NULL;
    dl_buf_init(&file, 1 << 16);
    TAP_OK(dl_file_read_all("/usr/share/zoneinfo/Europe/Berlin", &file, &err), err);
    TAP_OK(parse(file.ptr, file.len, &made, &err), err);
    dl_mem_free(made);
    for (size_t size = 0; size < file.len; size++) { /* cut anywhere */
        made = NULL;
        char *exact = dl_mem_alloc(size + 1, 1);
        memcpy(exact, file.ptr, size);
        if (parse(exact, size, &made, &err) == DL_OK || made != NULL) {
            TAP_FAIL("%zu bytes of %zu are enough", size, file.len);
            dl_mem_free(made);
        }
        dl_mem_free(exact);
    }
    for (size_t i = 0; i < file.len; i++) { /* no byte makes it crash */
        char old = file.ptr[i];
        for (int change = 0; change < 3; change++) {
            static const unsigned char changes[] = {0xff, 0x80, 0x01};
            made = NULL;
            file.ptr[i] = (char)(old ^ changes[change]);
            if (parse(file.ptr, file.len, &made, NULL) == DL_OK) {
                (void)dl_calendar_zone_offset(made, 4102444800);
                dl_calendar_parts parts = {.year = 2050, .month = 3, .day = 27, .hour = 2};
                (void)dl_calendar_time(made, &parts);
                dl_mem_free(made);
            }
        }
        file.ptr[i] = old;
    }
    char small[400];
    size_t size = make_file(small, "CET-1");
    small[4] = '1';
    TAP_STATUS(parse(small, size, &made, &err), DL_E_UNSUPPORTED);
    small[4] = '2';
    small[54 + 28 + 3] = 1; /* a leap second */
    TAP_STATUS(parse(small, size, &made, &err), DL_E_UNSUPPORTED);
}

/* ---- windows ---- */

static const struct {
    const char *start;
    dl_calendar_frequency frequency;
    uint32_t interval;
    int64_t index;
    const char *want;
} windows[] = {
    {"2026-01-01T00:00:00Z", DL_CALENDAR_MINUTE, 15, 5, "2026-01-01T01:15:00Z"},
    {"2026-01-01T00:30:00Z", DL_CALENDAR_HOUR, 1, 0, "2026-01-01T00:30:00Z"},
    {"2026-01-01T00:30:00Z", DL_CALENDAR_HOUR, 1, 24, "2026-01-02T00:30:00Z"},
    {"2026-01-01T00:30:00Z", DL_CALENDAR_HOUR, 1, -1, "2025-12-31T23:30:00Z"},
    {"2026-01-01T00:00:00Z", DL_CALENDAR_DAY, 2, 3, "2026-01-07T00:00:00Z"},
    {"2026-01-01T00:00:00Z", DL_CALENDAR_WEEK, 1, 1, "2026-01-08T00:00:00Z"},
    {"2026-01-31T06:00:00Z", DL_CALENDAR_MONTH, 1, 1, "2026-02-28T06:00:00Z"},
    {"2026-01-31T06:00:00Z", DL_CALENDAR_MONTH, 1, 2, "2026-03-31T06:00:00Z"},
    {"2026-01-31T06:00:00Z", DL_CALENDAR_MONTH, 1, 25, "2028-02-29T06:00:00Z"},
    {"2026-01-31T06:00:00Z", DL_CALENDAR_MONTH, 5, 2, "2026-11-30T06:00:00Z"},
    {"2026-01-31T06:00:00Z", DL_CALENDAR_MONTH, 1, -2, "2025-11-30T06:00:00Z"},
    {"2026-01-01T00:00:00Z", DL_CALENDAR_HOUR, 1, INT64_MAX, "9999-12-31T23:59:59.999999Z"},
    {"2026-01-01T00:00:00Z", DL_CALENDAR_HOUR, UINT32_MAX, INT64_MAX,
     "9999-12-31T23:59:59.999999Z"},
    {"2026-01-01T00:00:00Z", DL_CALENDAR_MONTH, UINT32_MAX, INT64_MAX,
     "9999-12-31T23:59:59.999999Z"},
    {"2026-01-01T00:00:00Z", DL_CALENDAR_MONTH, 1, INT64_MIN, "0001-01-01T00:00:00Z"},
    {"9999-12-31T23:00:00Z", DL_CALENDAR_HOUR, 1, 1, "9999-12-31T23:59:59.999999Z"},
};

TAP_CASE(windows_begin)
{
    for (size_t i = 0; i < DL_COUNT_OF(windows); i++) {
        int64_t got = dl_calendar_window_start(at(windows[i].start), windows[i].frequency,
                                               windows[i].interval, windows[i].index);
        eq_time(got, windows[i].want);
    }
}

TAP_CASE(windows_hold_their_times)
{
    for (size_t i = 0; i < DL_COUNT_OF(windows); i++) {
        int64_t start = at(windows[i].start);
        for (int64_t index = 0; index < 500; index++) {
            dl_calendar_frequency f = windows[i].frequency;
            uint32_t interval = windows[i].interval;
            int64_t begin = dl_calendar_window_start(start, f, interval, index);
            int64_t end = dl_calendar_window_start(start, f, interval, index + 1);
            if (end >= DL_CALENDAR_LAST_US) {
                break;
            }
            TAP_TRUE(begin < end);
            TAP_EQ_INT(dl_calendar_window_index(start, f, interval, begin), index);
            TAP_EQ_INT(dl_calendar_window_index(start, f, interval, end - 1), index);
            TAP_EQ_INT(dl_calendar_window_index(start, f, interval, end), index + 1);
        }
    }
}

/* ---- schedules ---- */

/** `schedule` is put together as Data Factory's document would say. */
static dl_calendar_recurrence recurrence(dl_calendar_frequency frequency, uint32_t interval,
                                         const char *start, const char *in_zone)
{
    return (dl_calendar_recurrence){.frequency = frequency,
                                    .interval = interval,
                                    .start_us = at(start),
                                    .end_us = INT64_MAX,
                                    .zone = zone(in_zone)};
}

static void fires(const dl_calendar_recurrence *r, const char *const *want)
{
    dl_error err = {0};
    TAP_OK(dl_calendar_recurrence_check(r, &err), err);
    int64_t time_us = r->start_us - 1;
    for (; *want != NULL; want++) {
        time_us = dl_calendar_next(r, time_us);
        eq_time(time_us, *want);
    }
}
#define FIRES(r, ...) fires(&(r), (const char *const[]){__VA_ARGS__, NULL})

TAP_CASE(minutes_and_hours_are_elapsed_time)
{
    dl_calendar_recurrence r =
        recurrence(DL_CALENDAR_MINUTE, 15, "2026-01-01T00:01:30.5Z", "Europe/Berlin");
    FIRES(r, "2026-01-01T00:01:30.5Z", "2026-01-01T00:16:30.5Z", "2026-01-01T00:31:30.5Z");
    eq_time(dl_calendar_next(&r, at("2030-01-01T00:00:00Z")), "2030-01-01T00:01:30.5Z");
    r = recurrence(DL_CALENDAR_HOUR, 2, "2026-03-28T23:00:00Z", "Europe/Berlin");
    FIRES(r, "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00Z");
    r = recurrence(DL_CALENDAR_HOUR, 1, "2026-01-01T00:20:00Z", "Asia/Kolkata"); /* 05:50 there */
    r.minutes[0] = 45;
    r.minutes[1] = 15;
    r.minute_count = 2;
    FIRES(r, "2026-01-01T00:45:00Z", "2026-01-01T01:15:00Z", "2026-01-01T01:45:00Z");
    r.interval = 3;
    FIRES(r, "2026-01-01T02:45:00Z", "2026-01-01T03:15:00Z", "2026-01-01T05:45:00Z");
}

TAP_CASE(daily_over_clock_changes)
{
    dl_calendar_recurrence r =
        recurrence(DL_CALENDAR_DAY, 1, "2026-03-27T01:30:00Z", "Europe/Berlin");
    FIRES(r, "2026-03-27T01:30:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z",
          "2026-03-30T00:30:00Z");
    r = recurrence(DL_CALENDAR_DAY, 1, "2026-10-24T00:30:00Z", "Europe/Berlin");
    FIRES(r, "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    r = recurrence(DL_CALENDAR_DAY, 1, "2026-03-28T00:00:00Z", "Europe/Berlin");
    memcpy(r.hours, (int8_t[]){3, 2}, 2);
    r.hour_count = 2;
    memcpy(r.minutes, (int8_t[]){30, 0}, 2);
    r.minute_count = 2;
    /* 02:00, 02:30 and 03:00 of the 29th are one moment: it fires once */
    FIRES(r, "2026-03-28T01:00:00Z", "2026-03-28T01:30:00Z", "2026-03-28T02:00:00Z",
          "2026-03-28T02:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z",
          "2026-03-30T00:00:00Z");
    r = recurrence(DL_CALENDAR_DAY, 1, "2011-12-29T12:00:00Z", "Pacific/Apia"); /* 02:00 there */
    FIRES(r, "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T12:00:00Z",
          "2011-12-31T12:00:00Z");
}

TAP_CASE(days_apart)
{
    dl_calendar_recurrence r = recurrence(DL_CALENDAR_DAY, 3, "2026-02-27T06:05:04Z", "");
    FIRES(r, "2026-02-27T06:05:04Z", "2026-03-02T06:05:04Z", "2026-03-05T06:05:04Z");
    r.minutes[0] = 15;
    r.minute_count = 1; /* of every hour */
    FIRES(r, "2026-02-27T06:15:00Z", "2026-02-27T07:15:00Z");
    eq_time(dl_calendar_next(&r, at("2026-02-27T23:15:00Z")), "2026-03-02T00:15:00Z");
    r.hours[0] = 17;
    r.hours[1] = 5;
    r.hour_count = 2;
    FIRES(r, "2026-02-27T17:15:00Z", "2026-03-02T05:15:00Z", "2026-03-02T17:15:00Z");
    r.minute_count = 0; /* the start's, with its seconds */
    FIRES(r, "2026-02-27T17:05:04Z", "2026-03-02T05:05:04Z");
}

TAP_CASE(weeks)
{
    dl_calendar_recurrence r = recurrence(DL_CALENDAR_WEEK, 1, "2026-01-07T08:00:00Z", "");
    FIRES(r, "2026-01-07T08:00:00Z", "2026-01-14T08:00:00Z"); /* the start's day, Wednesday */
    memcpy(r.weekdays, (int8_t[]){1, 3, 0}, 3);
    r.weekday_count = 3;
    FIRES(r, "2026-01-07T08:00:00Z", "2026-01-11T08:00:00Z", "2026-01-12T08:00:00Z",
          "2026-01-14T08:00:00Z", "2026-01-18T08:00:00Z");
    r.interval = 2; /* Sunday ends the week that Monday began */
    FIRES(r, "2026-01-07T08:00:00Z", "2026-01-11T08:00:00Z", "2026-01-19T08:00:00Z",
          "2026-01-21T08:00:00Z", "2026-01-25T08:00:00Z", "2026-02-02T08:00:00Z");
}

TAP_CASE(months)
{
    dl_calendar_recurrence r = recurrence(DL_CALENDAR_MONTH, 1, "2026-01-31T06:00:00Z", "");
    FIRES(r, "2026-01-31T06:00:00Z", "2026-02-28T06:00:00Z", "2026-03-31T06:00:00Z");
    r.month_days[0] = 31;
    r.month_day_count = 1; /* only months that have it */
    FIRES(r, "2026-01-31T06:00:00Z", "2026-03-31T06:00:00Z", "2026-05-31T06:00:00Z");
    memcpy(r.month_days, (int8_t[]){-1, 1}, 2);
    r.month_day_count = 2;
    FIRES(r, "2026-01-31T06:00:00Z", "2026-02-01T06:00:00Z", "2026-02-28T06:00:00Z");
    r.interval = 13;
    FIRES(r, "2026-01-31T06:00:00Z", "2027-02-01T06:00:00Z", "2027-02-28T06:00:00Z",
          "2028-03-01T06:00:00Z");
    memcpy(r.month_days, (int8_t[]){29}, 1);
    r.month_day_count = 1;
    r.interval = 12;
    r.start_us = at("2026-02-01T00:00:00Z");
    FIRES(r, "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z");
}

TAP_CASE(weekdays_of_a_month)
{
    dl_calendar_recurrence r = recurrence(DL_CALENDAR_MONTH, 1, "2026-01-01T05:00:00Z", "");
    r.monthly_count = 1;
    r.monthly[0] = (dl_calendar_monthly){5, 1};
    FIRES(r, "2026-01-02T05:00:00Z", "2026-02-06T05:00:00Z");
    r.monthly[0].occurrence = -1;
    FIRES(r, "2026-01-30T05:00:00Z", "2026-02-27T05:00:00Z");
    r.monthly[0].occurrence = -3;
    FIRES(r, "2026-01-16T05:00:00Z", "2026-02-13T05:00:00Z");
    r.monthly[0].occurrence = 5; /* months with five Fridays */
    FIRES(r, "2026-01-30T05:00:00Z", "2026-05-29T05:00:00Z", "2026-07-31T05:00:00Z");
    r.monthly[0].occurrence = 0;
    FIRES(r, "2026-01-02T05:00:00Z", "2026-01-09T05:00:00Z", "2026-01-16T05:00:00Z");
    r.monthly[0].occurrence = 1;
    r.month_days[0] = 1; /* either */
    r.month_day_count = 1;
    FIRES(r, "2026-01-01T05:00:00Z", "2026-01-02T05:00:00Z", "2026-02-01T05:00:00Z",
          "2026-02-06T05:00:00Z");
}

TAP_CASE(it_ends)
{
    dl_calendar_recurrence r = recurrence(DL_CALENDAR_HOUR, 1, "2026-01-01T00:00:00Z", "");
    r.end_us = at("2026-01-01T02:00:00Z"); /* exclusive */
    FIRES(r, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    eq_time(dl_calendar_next(&r, at("2026-01-01T01:00:00Z")), NULL);
    r.end_us++;
    eq_time(dl_calendar_next(&r, at("2026-01-01T01:00:00Z")), "2026-01-01T02:00:00Z");
    eq_time(dl_calendar_next(&r, INT64_MAX), NULL);
    eq_time(dl_calendar_next(&r, INT64_MIN), "2026-01-01T00:00:00Z");
    r = recurrence(DL_CALENDAR_DAY, UINT32_MAX, "2026-01-01T00:00:00Z", "");
    for (int f = DL_CALENDAR_DAY; f <= DL_CALENDAR_MONTH; f++) {
        r.frequency = (dl_calendar_frequency)f;
        eq_time(dl_calendar_next(&r, r.start_us), NULL);
    }
    r = recurrence(DL_CALENDAR_DAY, 1, "9999-12-31T12:00:00Z", "Asia/Tokyo");
    eq_time(dl_calendar_next(&r, r.start_us - 1), "9999-12-31T12:00:00Z");
    eq_time(dl_calendar_next(&r, r.start_us), NULL);
}

/* ---- what makes no sense ---- */

static void refused(const dl_calendar_recurrence *r, const char *word)
{
    dl_error err = {0};
    dl_status status = dl_calendar_recurrence_check(r, &err);
    if (status != DL_E_INVALID || strstr(err.message, word) == NULL) {
        TAP_FAIL("%s: %s, not about %s", dl_status_name(status), err.message, word);
    }
}

TAP_CASE(members_that_do_not_go_together)
{
    static const bool goes[5][5] = {
        /* hours, minutes, weekDays, monthDays, monthlyOccurrences */
        [DL_CALENDAR_MINUTE] = {0, 0, 0, 0, 0}, [DL_CALENDAR_HOUR] = {0, 1, 0, 0, 0},
        [DL_CALENDAR_DAY] = {1, 1, 0, 0, 0},    [DL_CALENDAR_WEEK] = {1, 1, 1, 0, 0},
        [DL_CALENDAR_MONTH] = {1, 1, 0, 1, 1},
    };
    static const char *const names[] = {"hours", "minutes", "weekDays", "monthDays",
                                        "monthlyOccurrences"};
    for (int f = 0; f < 5; f++) {
        for (int m = 0; m < 5; m++) {
            dl_calendar_recurrence r =
                recurrence((dl_calendar_frequency)f, 1, "2026-01-01T00:00:00Z", "");
            r.hour_count = m == 0;
            r.minute_count = m == 1;
            r.weekday_count = m == 2;
            r.month_day_count = m == 3;
            r.month_days[0] = 1;
            r.monthly_count = m == 4;
            if (goes[f][m]) {
                dl_error err = {0};
                TAP_OK(dl_calendar_recurrence_check(&r, &err), err);
            } else {
                refused(&r, names[m]);
            }
        }
    }
}

TAP_CASE(bounds_of_recurrences)
{
    const dl_calendar_recurrence good =
        recurrence(DL_CALENDAR_MONTH, 1, "2026-01-01T00:00:00Z", "");
    dl_calendar_recurrence r = good;
    dl_error err = {0};
    r.interval = 0;
    refused(&r, "interval");
    r = good;
    r.frequency = (dl_calendar_frequency)(DL_CALENDAR_MONTH + 1);
    refused(&r, "frequency");
    r = good;
    r.end_us = r.start_us;
    refused(&r, "endTime");
    r.end_us = r.start_us + 1;
    TAP_OK(dl_calendar_recurrence_check(&r, &err), err);
    r = good;
    r.start_us = DL_CALENDAR_FIRST_US - 1;
    refused(&r, "startTime");
    r.start_us = DL_CALENDAR_LAST_US + 1;
    refused(&r, "startTime");
    static const struct {
        int value;
        bool hour, minute, weekday, month_day, occurrence;
    } bounds[] = {
        {-32, 0, 0, 0, 0, 0}, {-31, 0, 0, 0, 1, 0}, {-6, 0, 0, 0, 1, 0}, {-5, 0, 0, 0, 1, 1},
        {-1, 0, 0, 0, 1, 1},  {0, 1, 1, 1, 0, 1},   {5, 1, 1, 1, 1, 1},  {6, 1, 1, 1, 1, 0},
        {7, 1, 1, 0, 1, 0},   {23, 1, 1, 0, 1, 0},  {24, 0, 1, 0, 1, 0}, {31, 0, 1, 0, 1, 0},
        {32, 0, 1, 0, 0, 0},  {59, 0, 1, 0, 0, 0},  {60, 0, 0, 0, 0, 0}, {127, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < DL_COUNT_OF(bounds); i++) {
        int value = bounds[i].value;
        r = good;
        r.hours[0] = (int8_t)value;
        r.hour_count = 1;
        TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL) == DL_OK, bounds[i].hour);
        r = good;
        r.minutes[0] = (int8_t)value;
        r.minute_count = 1;
        TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL) == DL_OK, bounds[i].minute);
        r = good;
        r.frequency = DL_CALENDAR_WEEK;
        r.weekdays[0] = (int8_t)value;
        r.weekday_count = 1;
        TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL) == DL_OK, bounds[i].weekday);
        r = good;
        r.month_days[0] = (int8_t)value;
        r.month_day_count = 1;
        TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL) == DL_OK, bounds[i].month_day);
        r = good;
        r.monthly[0].occurrence = value;
        r.monthly_count = 1;
        TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL) == DL_OK, bounds[i].occurrence);
        r.monthly[0] = (dl_calendar_monthly){value, 1};
        TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL) == DL_OK, bounds[i].weekday);
    }
}

TAP_CASE(too_many_and_never)
{
    const dl_calendar_recurrence good =
        recurrence(DL_CALENDAR_MONTH, 1, "2026-02-01T00:00:00Z", "");
    dl_calendar_recurrence r = good;
    r.hour_count = 24;
    TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL), DL_OK);
    r.hour_count = 25;
    refused(&r, "hours");
    r = good;
    r.minute_count = 61;
    refused(&r, "minutes");
    r = good;
    r.monthly_count = 35;
    TAP_EQ_INT(dl_calendar_recurrence_check(&r, NULL), DL_OK);
    r.monthly_count = 36;
    refused(&r, "monthlyOccurrences");
    r = good;
    r.month_days[0] = 30; /* of February */
    r.month_day_count = 1;
    r.interval = 12;
    refused(&r, "never");
    r.interval = 1;
    r.end_us = at("2026-03-01T00:00:00Z");
    refused(&r, "never");
}

int main(void)
{
    TAP_RUN(zones_are_found_by_either_name);
    TAP_RUN(zone_names_may_be_long_and_hold_anything);
    TAP_RUN(a_zone_is_found_or_memory_is_told);
    TAP_RUN(local_times_have_one_moment);
    TAP_RUN(a_gap_swallows_microseconds);
    TAP_RUN(parts_of_a_time);
    TAP_RUN(rules_for_the_future);
    TAP_RUN(damaged_zone_files_are_refused);
    TAP_RUN(windows_begin);
    TAP_RUN(windows_hold_their_times);
    TAP_RUN(minutes_and_hours_are_elapsed_time);
    TAP_RUN(daily_over_clock_changes);
    TAP_RUN(days_apart);
    TAP_RUN(weeks);
    TAP_RUN(months);
    TAP_RUN(weekdays_of_a_month);
    TAP_RUN(it_ends);
    TAP_RUN(members_that_do_not_go_together);
    TAP_RUN(bounds_of_recurrences);
    TAP_RUN(too_many_and_never);
    return tap_done();
}
