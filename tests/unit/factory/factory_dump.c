/* Answers questions about zones, schedules, windows and expressions, one a line, for the tests of
 * tests/conformance/factory: words parted by tabs in, words parted by tabs out.
 *
 *     local ZONE TIME                          year month day hour minute second weekday yearday
 * offset time ZONE Y MO D H MI S                  TIME next ZONE FREQUENCY INTERVAL START END AFTER
 * COUNT HOURS MINUTES WEEKDAYS MONTHDAYS MONTHLY TIME... start START FREQUENCY INTERVAL INDEX TIME
 *     index START FREQUENCY INTERVAL TIME      INDEX
 *     format TIME UTC FORMAT                   ok TEXT | status MESSAGE
 *     eval TEXT | check TEXT | plain TEXT      ok TEXT | status MESSAGE HINT
 *
 * Times are microseconds since 1970. Lists are numbers parted by commas, "-" when empty; MONTHLY is
 * WEEKDAY/OCCURRENCE. TEXT, FORMAT and messages are hexadecimal. "plain" is a run without windows.
 */
#include "base/buf.h"
#include "factory/calendar.h"
#include "factory/expression_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_LIMIT = 64 * 1024, WORD_LIMIT = 32 };

static int64_t number(const char *word)
{
    return strtoll(word, NULL, 10);
}

static const dl_calendar_zone *zone_of(const char *name)
{
    const dl_calendar_zone *zone = NULL;
    dl_error err = {0};
    if (dl_calendar_zone_find(dl_str_of(name), &zone, &err) != DL_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return zone;
}

static size_t list(const char *word, int8_t *out)
{
    size_t count = 0;
    dl_str rest = dl_str_of(word), part;
    while (strcmp(word, "-") != 0 && dl_str_next(&rest, ',', &part)) {
        int64_t value = 0;
        if (!dl_str_to_i64(part, &value)) {
            exit(1);
        }
        out[count++] = (int8_t)value;
    }
    return count;
}

static size_t monthly(const char *word, dl_calendar_monthly *out)
{
    size_t count = 0;
    dl_str rest = dl_str_of(word), part, weekday;
    while (strcmp(word, "-") != 0 && dl_str_next(&rest, ',', &part)) {
        int64_t day = 0, occurrence = 0;
        if (!dl_str_next(&part, '/', &weekday) || !dl_str_to_i64(weekday, &day) ||
            !dl_str_to_i64(part, &occurrence)) {
            exit(1);
        }
        out[count++] = (dl_calendar_monthly){(int)day, (int)occurrence};
    }
    return count;
}

static void say_next(char **w)
{
    dl_error err = {0};
    dl_calendar_recurrence r = {.zone = zone_of(w[1]),
                                .frequency = (dl_calendar_frequency)number(w[2]),
                                .interval = (uint32_t)number(w[3]),
                                .start_us = number(w[4]),
                                .end_us = number(w[5])};
    r.hour_count = (uint8_t)list(w[8], r.hours);
    r.minute_count = (uint8_t)list(w[9], r.minutes);
    r.weekday_count = (uint8_t)list(w[10], r.weekdays);
    r.month_day_count = (uint8_t)list(w[11], r.month_days);
    r.monthly_count = (uint8_t)monthly(w[12], r.monthly);
    if (dl_calendar_recurrence_check(&r, &err) != DL_OK) {
        printf("%s", err.message);
        return;
    }
    int64_t time_us = number(w[6]);
    for (int64_t i = 0; i < number(w[7]) && time_us != INT64_MAX; i++) {
        time_us = dl_calendar_next(&r, time_us);
        printf("%s%lld", i > 0 ? "\t" : "", (long long)time_us);
    }
}

static void say_local(char **w)
{
    dl_calendar_parts p;
    dl_calendar_local(zone_of(w[1]), number(w[2]), &p);
    printf("%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d", p.year, p.month, p.day, p.hour, p.minute, p.second,
           p.weekday, p.yearday, p.offset_s);
}

static void say_time(char **w)
{
    dl_calendar_parts p = {.year = (int)number(w[2]),
                           .month = (int)number(w[3]),
                           .day = (int)number(w[4]),
                           .hour = (int)number(w[5]),
                           .minute = (int)number(w[6]),
                           .second = (int)number(w[7])};
    printf("%lld", (long long)dl_calendar_time(zone_of(w[1]), &p));
}

/* ---- expressions ---- */

static dl_str from_hex(const char *word, dl_arena *arena)
{
    size_t count = strlen(word) / 2;
    char *bytes = dl_arena_alloc(arena, count + 1, 1);
    for (size_t i = 0; bytes != NULL && i < count; i++) {
        uint64_t value = 0;
        if (!dl_str_hex_to_u64((dl_str){word + 2 * i, 2}, &value)) {
            exit(1);
        }
        bytes[i] = (char)value;
    }
    return (dl_str){bytes, count};
}

static void say_hex(dl_str text)
{
    printf("\t");
    for (size_t i = 0; i < text.len; i++) {
        printf("%02x", (unsigned char)text.ptr[i]);
    }
}

static void say_answer(dl_status status, dl_str text, const dl_error *err)
{
    printf("%s", dl_status_name(status));
    if (status == DL_OK) {
        say_hex(text);
    } else {
        say_hex(dl_str_of(err->message));
        say_hex(dl_str_of(err->hint));
    }
}

/** A run on Thursday 2026-10-29, whose window is 08:00 to 09:00; names as in docs/expressions.md.
 */
static void say_value(char **w)
{
    static const dl_expression_pair parameters[] = {{DL_STR("ContainerName"), DL_STR("dicom")},
                                                    {DL_STR("BatchSize"), DL_STR("200")},
                                                    {DL_STR("Nothing"), {NULL, 0}}};
    const int64_t start_us = 1793260800000000;
    dl_expression_scope scope = {.has_window = w[0][0] != 'p',
                                 .window_start_us = start_us,
                                 .window_end_us = start_us + 3600000000,
                                 .scheduled_us = start_us + 3600000000,
                                 .started_us = start_us + 4500000000,
                                 .now_us = start_us + 4501250000,
                                 .trigger_name = DL_STR("Hourly"),
                                 .trigger_type = DL_STR("TumblingWindowTrigger"),
                                 .pipeline_name = DL_STR("copy-changes"),
                                 .run_id = DL_STR("0d4b0d3c-5f0c-4bd0-9a55-35bd6f1d3a7b"),
                                 .parameters = parameters,
                                 .parameter_count = DL_COUNT_OF(parameters),
                                 .guid = "c2ecc88d-88c8-4096-912c-d6f2e2b138ce"};
    DL_AUTO(dl_arena) arena = dl_arena_create(64 << 20);
    dl_error err = {0};
    dl_str text = from_hex(w[1], arena), value = DL_STR_NONE;
    dl_status status = w[0][0] == 'c' ? dl_expression_check(text, &scope, &err)
                                      : dl_expression_eval(text, &scope, arena, &value, &err);
    say_answer(status, value, &err);
}

static void say_format(char **w)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_BUF out = {0};
    dl_error err = {0};
    dl_buf_init(&out, 1 << 20);
    dl_expression_time time = {number(w[1]), w[2][0] == '1'};
    dl_status status = dl_expression_time_format(time, from_hex(w[3], arena), &out, &err);
    say_answer(status, dl_buf_str(&out), &err);
}

static void say_start(char **w)
{
    printf("%lld",
           (long long)dl_calendar_window_start(number(w[1]), (dl_calendar_frequency)number(w[2]),
                                               (uint32_t)number(w[3]), number(w[4])));
}

static void say_index(char **w)
{
    printf("%lld",
           (long long)dl_calendar_window_index(number(w[1]), (dl_calendar_frequency)number(w[2]),
                                               (uint32_t)number(w[3]), number(w[4])));
}

static const struct {
    const char *name;
    size_t words;
    void (*say)(char **w);
} questions[] = {
    {"local", 3, say_local}, {"time", 8, say_time},   {"next", 13, say_next},
    {"start", 5, say_start}, {"index", 5, say_index}, {"format", 4, say_format},
    {"eval", 2, say_value},  {"check", 2, say_value}, {"plain", 2, say_value},
};

int main(void)
{
    static char line[LINE_LIMIT];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *words[WORD_LIMIT];
        size_t count = 0;
        line[strcspn(line, "\n")] = '\0';
        for (char *rest = line; rest != NULL && count < WORD_LIMIT;) {
            words[count++] = strsep(&rest, "\t");
        }
        bool known = false;
        for (size_t i = 0; i < DL_COUNT_OF(questions); i++) {
            if (strcmp(words[0], questions[i].name) == 0 && count == questions[i].words) {
                questions[i].say(words);
                known = true;
            }
        }
        if (!known) {
            fprintf(stderr, "what is %s with %zu words?\n", words[0], count);
            return 1;
        }
        printf("\n");
    }
    return 0;
}
