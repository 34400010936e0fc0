/* Calls: arguments become what a function's signature wants; then the functions on times. */
#include "factory/calendar_internal.h"
#include "factory/expression_internal.h"

#include <string.h>

static const int64_t second_us = 1000000;

/* ---- arguments ---- */

static const struct {
    const char *name;
    int64_t seconds; /* 0: months */
    int months;
} units[] = {
    {"Second", 1, 0},    {"Minute", 60, 0}, {"Hour", 3600, 0}, {"Day", 86400, 0},
    {"Week", 604800, 0}, {"Month", 0, 1},   {"Year", 0, 12},
};

/** One argument and what is wrong with it. */
typedef struct slot {
    dl_expression_call *call;
    size_t index;
    dl_expression_value *value;
    dl_error *err;
} slot;

static dl_status wrong(const slot *s, const char *what, const char *hint)
{
    return dl_expression_fault_at(s->call->arena, s->value->at, s->value, s->err, hint,
                                  "argument %zu of %s is %s", s->index + 1, s->call->function->name,
                                  what);
}

static dl_status want_text(const slot *s)
{
    dl_expression_value *v = s->value;
    char digits[64];
    DL_AUTO_BUF text = {0};
    if (v->kind == DL_EXPRESSION_TEXT) {
        return DL_OK;
    }
    if (v->kind == DL_EXPRESSION_LIST || v->kind == DL_EXPRESSION_PLACE) {
        return wrong(s, "no text", "join() makes a text of a list");
    }
    dl_buf_init(&text, sizeof digits);
    DL_TRY(dl_expression_value_append(v, &text, s->err));
    DL_TRY(dl_arena_copy(s->call->arena, dl_buf_str(&text), &v->text, s->err));
    v->kind = DL_EXPRESSION_TEXT;
    return DL_OK;
}

static dl_status want_int(const slot *s)
{
    int64_t number = 0;
    if (!dl_expression_to_int(s->value, &number)) {
        return wrong(s, "no whole number", NULL);
    }
    s->value->kind = DL_EXPRESSION_INT;
    s->value->number = number;
    return DL_OK;
}

static dl_status want_number(const slot *s)
{
    double real = 0;
    int64_t number = 0;
    if (dl_expression_to_int(s->value, &number)) {
        return want_int(s);
    }
    if (!dl_expression_to_float(s->value, &real)) {
        return wrong(s, "no number", NULL);
    }
    s->value->kind = DL_EXPRESSION_FLOAT;
    s->value->real = real;
    return DL_OK;
}

static dl_status want_truth(const slot *s)
{
    dl_expression_value *v = s->value;
    bool truth = v->kind == DL_EXPRESSION_BOOL ? v->truth : false;
    if (v->kind == DL_EXPRESSION_INT) {
        truth = v->number != 0;
    } else if (v->kind == DL_EXPRESSION_TEXT) {
        truth = dl_str_eq_nocase(v->text, DL_STR("true"));
        if (!truth && !dl_str_eq_nocase(v->text, DL_STR("false"))) {
            return wrong(s, "neither true nor false", NULL);
        }
    } else if (v->kind != DL_EXPRESSION_BOOL) {
        return wrong(s, "neither true nor false", NULL);
    }
    v->kind = DL_EXPRESSION_BOOL;
    v->truth = truth;
    return DL_OK;
}

static dl_status want_time(const slot *s)
{
    dl_expression_time time;
    if (s->value->kind != DL_EXPRESSION_TEXT ||
        !dl_expression_time_parse(dl_str_trim(s->value->text), &time)) {
        return wrong(s, "no time", "times are as 2026-01-31T08:00:00Z");
    }
    s->value->kind = DL_EXPRESSION_TIME;
    s->value->time = time;
    return DL_OK;
}

static dl_status want_format(const slot *s)
{
    DL_AUTO_BUF sample = {0};
    dl_error why = {0};
    if (s->value->kind != DL_EXPRESSION_TEXT) {
        return wrong(s, "no format", "formats are as 'yyyy-MM-ddTHH:mm:ssZ'");
    }
    dl_buf_init(&sample, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    dl_status status =
        dl_expression_time_format((dl_expression_time){0}, s->value->text, &sample, &why);
    if (status == DL_E_INVALID) {
        return dl_expression_fault_at(s->call->arena, s->value->at, s->value, s->err,
                                      "formats are as 'yyyy-MM-ddTHH:mm:ssZ'", "%s", why.message);
    }
    return status == DL_OK ? DL_OK : dl_error_set(s->err, status, "%s", why.message);
}

static dl_status want_unit(const slot *s)
{
    for (size_t i = 0; s->value->kind == DL_EXPRESSION_TEXT && i < DL_COUNT_OF(units); i++) {
        if (dl_str_eq_nocase(s->value->text, dl_str_of(units[i].name))) {
            s->value->kind = DL_EXPRESSION_INT;
            s->value->number = (int64_t)i;
            return DL_OK;
        }
    }
    return wrong(s, "no unit of time", "Second, Minute, Hour, Day, Week, Month or Year");
}

static dl_status want_zone(const slot *s)
{
    dl_error why = {0};
    const dl_calendar_zone *zone = NULL;
    if (s->value->kind != DL_EXPRESSION_TEXT) {
        return wrong(s, "no time zone", "they are as 'W. Europe Standard Time'");
    }
    dl_status status = dl_calendar_zone_find(s->value->text, &zone, &why);
    if (status == DL_E_NOMEM) {
        return dl_error_set(s->err, DL_E_NOMEM, "%s", why.message);
    }
    if (status != DL_OK) {
        return dl_expression_fault_at(s->call->arena, s->value->at, s->value, s->err, why.hint,
                                      "argument %zu of %s is no time zone", s->index + 1,
                                      s->call->function->name);
    }
    s->value->kind = DL_EXPRESSION_ZONE;
    s->value->zone = zone;
    return DL_OK;
}

static dl_status want(const slot *s, char letter)
{
    dl_expression_kind kind = s->value->kind;
    switch (letter) {
    case 's':
        return want_text(s);
    case 'i':
        return want_int(s);
    case 'n':
        return want_number(s);
    case 'b':
        return want_truth(s);
    case 't':
        return want_time(s);
    case 'f':
        return want_format(s);
    case 'u':
        return want_unit(s);
    case 'z':
        return want_zone(s);
    case 'l':
        return kind == DL_EXPRESSION_LIST
                   ? DL_OK
                   : wrong(s, "no list", "split() and createArray() make one");
    case 'c':
        return kind == DL_EXPRESSION_LIST ? DL_OK : want_text(s);
    default: /* any value; trigger() itself is none */
        return kind == DL_EXPRESSION_PLACE
                   ? wrong(s, "no value", "say which member: trigger().name")
                   : DL_OK;
    }
}

dl_status dl_expression_function_call(dl_expression_call *c, dl_expression_value *out,
                                      dl_error *err)
{
    const char *letters = c->function->signature;
    const dl_expression_value *fault = NULL;
    bool unknown = c->function->needs_run && c->scope == NULL;
    char letter = 'a';
    for (size_t i = 0; i < c->count; i++) {
        letter = *letters != '\0' ? *letters++ : letter;
        slot s = {c, i, &c->args[i], err};
        if (s.value->kind != DL_EXPRESSION_UNKNOWN && s.value->kind != DL_EXPRESSION_FAULT) {
            DL_TRY(want(&s, letter));
        }
        unknown = unknown || (letter != 'x' && s.value->kind == DL_EXPRESSION_UNKNOWN);
        if (fault == NULL && letter != 'x' && s.value->kind == DL_EXPRESSION_FAULT) {
            fault = s.value;
        }
    }
    *out = (dl_expression_value){.kind = DL_EXPRESSION_UNKNOWN, .at = c->at};
    if (fault != NULL) {
        *out = *fault;
        return DL_OK;
    }
    return unknown ? DL_OK : c->function->call(c, out, err);
}

/* ---- times ---- */

static bool in_years(__int128 time_us)
{
    return time_us >= DL_CALENDAR_FIRST_US && time_us <= DL_CALENDAR_LAST_US;
}

static bool add_units(int64_t time_us, int64_t count, size_t unit, int64_t *out)
{
    if (units[unit].seconds > 0) {
        __int128 sum = time_us + (__int128)count * units[unit].seconds * second_us;
        if (!in_years(sum)) {
            return false;
        }
        *out = (int64_t)sum;
        return true;
    }
    __int128 months = (__int128)count * units[unit].months;
    int64_t year = 0;
    int month = 0, day = 0;
    dl_calendar_civil(dl_calendar_floor(time_us, 86400 * second_us), &year, &month, &day);
    __int128 sum = months + (__int128)year * 12 + month - 1;
    if (sum < 12 || sum >= INT64_C(10000) * 12) {
        return false;
    }
    *out = dl_calendar_add_months(time_us, (int64_t)months);
    return true;
}

static size_t unit_named(const char *name)
{
    size_t i = 0;
    while (i < DL_COUNT_OF(units) - 1 && strncmp(units[i].name, name, strlen(units[i].name)) != 0) {
        i++;
    }
    return i;
}

static int64_t start_of(int64_t time_us, const char *what)
{
    dl_calendar_parts p;
    dl_calendar_local(NULL, time_us, &p);
    dl_calendar_parts start = {.year = p.year, .month = p.month, .day = p.day};
    if (strcmp(what, "Hour") == 0) {
        start.hour = p.hour;
    } else if (strcmp(what, "Month") == 0) {
        start.day = 1;
    }
    return dl_calendar_time(NULL, &start);
}

static int64_t to_zone(const dl_calendar_zone *zone, int64_t time_us)
{
    return time_us +
           dl_calendar_zone_offset(zone, dl_calendar_floor(time_us, second_us)) * second_us;
}

static int64_t from_zone(const dl_calendar_zone *zone, int64_t local_us)
{
    dl_calendar_parts p;
    dl_calendar_local(NULL, local_us, &p);
    return dl_calendar_time(zone, &p);
}

/** What the function makes of its arguments; false: outside the years 1 to 9999. */
static bool make_time(const dl_expression_call *c, dl_expression_time *out)
{
    const char *name = c->function->name;
    const dl_expression_value *a = c->args;
    dl_expression_time t = {0, true};
    bool good = true;
    if (name[0] == 'u' || name[0] == 'g') { /* utcNow, getFutureTime, getPastTime */
        t.us = c->scope->now_us;
        good = in_years(t.us);
        if (name[0] == 'g') {
            good = good && a[0].number != INT64_MIN &&
                   add_units(t.us, name[3] == 'F' ? a[0].number : -a[0].number, (size_t)a[1].number,
                             &t.us);
        }
        *out = t;
        return good;
    }
    t = a[0].time;
    if (strcmp(name, "addToTime") == 0) {
        good = add_units(t.us, a[1].number, (size_t)a[2].number, &t.us);
    } else if (strcmp(name, "subtractFromTime") == 0) {
        good =
            a[1].number != INT64_MIN && add_units(t.us, -a[1].number, (size_t)a[2].number, &t.us);
    } else if (name[0] == 'a') {
        good = add_units(t.us, a[1].number, unit_named(name + 3), &t.us);
    } else if (name[0] == 's') {
        t.us = start_of(t.us, name + 7);
    } else if (strcmp(name, "convertFromUtc") == 0) {
        t = (dl_expression_time){to_zone(a[1].zone, t.us), false};
    } else if (strcmp(name, "convertToUtc") == 0) {
        t = (dl_expression_time){from_zone(a[1].zone, t.us), true};
    } else if (strcmp(name, "convertTimeZone") == 0) {
        const dl_calendar_zone *utc = NULL;
        bool found = dl_calendar_zone_find(DL_STR("UTC"), &utc, NULL) == DL_OK;
        t.us = to_zone(a[2].zone, from_zone(a[1].zone, t.us));
        t.is_utc = found && a[2].zone == utc;
    }
    *out = t;
    return good && in_years(t.us);
}

/** dayOfWeek, dayOfMonth, dayOfYear, ticks; false: none of them. */
static bool make_number(const dl_expression_call *c, int64_t *out)
{
    const char *name = c->function->name;
    dl_calendar_parts p;
    if (name[0] != 'd' && strcmp(name, "ticks") != 0) {
        return false;
    }
    dl_calendar_local(NULL, c->args[0].time.us, &p);
    *out = name[0] == 't'   ? (c->args[0].time.us - DL_CALENDAR_FIRST_US) * 10
           : name[5] == 'W' ? p.weekday
           : name[5] == 'M' ? p.day
                            : p.yearday;
    return true;
}

dl_status dl_expression_call_time(const dl_expression_call *c, dl_expression_value *out,
                                  dl_error *err)
{
    dl_expression_time time;
    int64_t number = 0;
    if (make_number(c, &number)) {
        *out = (dl_expression_value){.kind = DL_EXPRESSION_INT, .at = c->at, .number = number};
        return DL_OK;
    }
    if (!make_time(c, &time)) {
        return dl_expression_fault_at(c->arena, c->at, out, err, NULL,
                                      "%s: the time is not in the years 1 to 9999",
                                      c->function->name);
    }
    const char *letters = strchr(c->function->signature, 'f');
    size_t place = (size_t)(letters - c->function->signature);
    DL_AUTO_BUF text = {0};
    dl_str copy = DL_STR_NONE;
    dl_buf_init(&text, DL_EXPRESSION_VALUE_LIMIT_BYTES);
    DL_TRY(dl_expression_time_format(time, place < c->count ? c->args[place].text : DL_STR_NONE,
                                     &text, err));
    DL_TRY(dl_arena_copy(c->arena, dl_buf_str(&text), &copy, err));
    *out = (dl_expression_value){.kind = DL_EXPRESSION_TEXT, .at = c->at, .text = copy};
    return DL_OK;
}
