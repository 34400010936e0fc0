#include "tap.h"

#include "base/buf.h"
#include "base/mem.h"
#include "factory/expression_internal.h"

static const dl_expression_pair parameters[] = {{DL_STR("ContainerName"), DL_STR("dicom")},
                                                {DL_STR("BatchSize"), DL_STR("200")},
                                                {DL_STR("Secret"), DL_STR("hunter2")},
                                                {DL_STR("Nothing"), {NULL, 0}}};

static dl_expression_scope scope_of(bool has_window)
{
    return (dl_expression_scope){.has_window = has_window,
                                 .window_start_us = 1767600000000000, /* 2026-01-05T08:00:00Z */
                                 .window_end_us = 1767603600000000,
                                 .scheduled_us = 1767603600000000,
                                 .started_us = 1767604500123456,
                                 .now_us = 1767604501000000,
                                 .trigger_name = DL_STR("Hourly"),
                                 .trigger_type = DL_STR("TumblingWindowTrigger"),
                                 .pipeline_name = DL_STR("copy"),
                                 .run_id = DL_STR("0d4b0d3c-5f0c-4bd0-9a55-35bd6f1d3a7b"),
                                 .parameters = parameters,
                                 .parameter_count = DL_COUNT_OF(parameters),
                                 .guid = "c2ecc88d-88c8-4096-912c-d6f2e2b138ce"};
}

enum { ARENA_LIMIT_BYTES = 64 << 20 };

/* ---- values ---- */

static const struct {
    const char *text, *want;
} values[] = {
    /* clang-format off */
    {"", ""},
    {"plain", "plain"},
    {"a@b.org", "a@b.org"},
    {" @concat('a')", " @concat('a')"},
    {"@@", "@"},
    {"@@concat('a')", "@concat('a')"},
    {"@@@{1}", "@1"},
    {"a @@{b}", "a @{b}"},
    {"@@{b} @{1}", "@{b} 1"},
    {"@{1}", "1"},
    {"a@{ 'b' }c@{concat('}', 'd')}@", "abc}d@"},
    {"@null", ""},
    {"@TRUE", "true"},
    {"@-5", "-5"},
    {"@+5", "5"},
    {"@9223372036854775807", "9223372036854775807"},
    {"@-9223372036854775808", "-9223372036854775808"},
    {"@1.50", "1.5"},
    {"@1.5e3", "1500"},
    {"@1.5E-3", "0.0015"},
    {"@''", ""},
    {"@'it''s'", "it's"},
    {"@ \t\n'a' ", "a"},
    {"@ concat ( 'a' , 'b' ) ", "ab"},
    {"@CONCAT('a',CoNcAt('b'),1,2.5,true,null)", "ab12.5true"},
    {"@concat('\xc3\xa4')", "\xc3\xa4"},
    /* names */
    {"@trigger().outputs.windowStartTime", "2026-01-05T08:00:00.0000000Z"},
    {"@trigger().outputs.windowEndTime", "2026-01-05T09:00:00.0000000Z"},
    {"@Trigger()?.Outputs?.WINDOWSTARTTIME", "2026-01-05T08:00:00.0000000Z"},
    {"@trigger()['outputs']['windowStartTime']", "2026-01-05T08:00:00.0000000Z"},
    {"@trigger().outputs[concat('window', 'EndTime')]", "2026-01-05T09:00:00.0000000Z"},
    {"@trigger().scheduledTime", "2026-01-05T09:00:00.0000000Z"},
    {"@trigger().startTime", "2026-01-05T09:15:00.1234560Z"},
    {"@trigger().name", "Hourly"},
    {"@pipeline().parameters.ContainerName", "dicom"},
    {"@pipeline().parameters.containername", "dicom"},
    {"@pipeline().parameters['BatchSize']", "200"},
    {"@pipeline().parameters.Nothing", ""},
    {"@pipeline().Pipeline", "copy"},
    {"@pipeline().RunId", "0d4b0d3c-5f0c-4bd0-9a55-35bd6f1d3a7b"},
    {"@pipeline().TriggerName", "Hourly"},
    {"@pipeline().TriggerType", "TumblingWindowTrigger"},
    {"@pipeline().TriggerTime", "2026-01-05T09:15:00.1234560Z"},
    {"@utcNow()", "2026-01-05T09:15:01.0000000Z"},
    {"@utcnow('yyyyMMdd')", "20260105"},
    {"@guid()", "c2ecc88d-88c8-4096-912c-d6f2e2b138ce"},
    /* times */
    {"@formatDateTime(trigger().outputs.windowStartTime)", "2026-01-05T08:00:00.0000000Z"},
    {"@formatDateTime(trigger().outputs.windowStartTime, 'yyyy/MM/dd/HH')", "2026/01/05/08"},
    {"@formatDateTime('2026-01-05')", "2026-01-05T00:00:00.0000000"},
    {"@formatDateTime('2026-01-05T08:00')", "2026-01-05T08:00:00.0000000"},
    {"@formatDateTime('2026-01-05 08:00:01.5Z')", "2026-01-05T08:00:01.5000000Z"},
    {"@formatDateTime('2026-01-05T08:00:00.1234567Z')", "2026-01-05T08:00:00.1234570Z"},
    {"@formatDateTime('2026-01-05T08:00:00+02:30')", "2026-01-05T05:30:00.0000000Z"},
    {"@formatDateTime('03/15/2018')", "2018-03-15T00:00:00.0000000"},
    {"@formatDateTime('03/15/2018 12:00:00', 'yyyy-MM-ddTHH:mm:ss')", "2018-03-15T12:00:00"},
    {"@formatDateTime('1/5/2026 12:30:00 AM', 's')", "2026-01-05T00:30:00"},
    {"@formatDateTime('1/5/2026 12:30:00 pm', 's')", "2026-01-05T12:30:00"},
    {"@formatDateTime('0001-01-01T00:00:00Z')", "0001-01-01T00:00:00.0000000Z"},
    {"@formatDateTime('9999-12-31T23:59:59.999999Z')", "9999-12-31T23:59:59.9999990Z"},
    {"@addDays('2026-01-31', 1)", "2026-02-01T00:00:00.0000000"},
    {"@addHours('2026-01-31T08:00:00Z', -9)", "2026-01-30T23:00:00.0000000Z"},
    {"@addMinutes('2026-01-31T08:00:00Z', '90', 'HH:mm')", "09:30"},
    {"@addSeconds('2026-01-31T08:00:00Z', 61, 'u')", "2026-01-31 08:01:01Z"},
    {"@addToTime('2026-01-31T08:00:00Z', 1, 'month')", "2026-02-28T08:00:00.0000000Z"},
    {"@addToTime('2024-02-29T08:00:00Z', -1, 'Year', 'd')", "2/28/2023"},
    {"@addToTime('2026-01-31T08:00:00Z', 2, 'Week', 'o')", "2026-02-14T08:00:00.0000000Z"},
    {"@subtractFromTime('2018-01-02T00:00:00Z', 1, 'Day', 'D')", "Monday, January 1, 2018"},
    {"@getFutureTime(5, 'Day', 'D')", "Saturday, January 10, 2026"},
    {"@getPastTime(90, 'Second')", "2026-01-05T09:13:31.0000000Z"},
    {"@startOfDay('2018-03-15T13:30:30Z')", "2018-03-15T00:00:00.0000000Z"},
    {"@startOfHour('2018-03-15T13:30:30Z')", "2018-03-15T13:00:00.0000000Z"},
    {"@startOfMonth('2018-03-15T13:30:30Z', 'yyyy-MM-dd')", "2018-03-01"},
    {"@convertFromUtc('2018-01-01T08:00:00.0000000Z', 'Pacific Standard Time')", "2018-01-01T00:00:00.0000000"},
    {"@convertToUtc('01/01/2018 00:00:00', 'Pacific Standard Time')", "2018-01-01T08:00:00.0000000Z"},
    {"@convertTimeZone('2026-07-01T12:00:00', 'Europe/Berlin', 'Asia/Tokyo', 'HH:mm')", "19:00"},
    {"@convertTimeZone('2026-07-01T12:00:00', 'W. Europe Standard Time', 'UTC')", "2026-07-01T10:00:00.0000000Z"},
    {"@ticks('2026-01-01T00:00:00Z')", "639028224000000000"},
    {"@dayOfWeek('2018-03-15T13:27:36Z')", "4"},
    {"@dayOfMonth('2018-03-15T13:27:36Z')", "15"},
    {"@dayOfYear('2018-03-15T13:27:36Z')", "74"},
    /* texts */
    {"@replace('the old string', 'old', 'new')", "the new string"},
    {"@replace('aaa', 'a', '')", ""},
    {"@replace('abc', 'x', 'y')", "abc"},
    {"@substring('hello world', 6, 5)", "world"},
    {"@substring('\xc3\xa4\xc3\xb6\xc3\xbc', 1, 1)", "\xc3\xb6"},
    {"@substring('abc', 3)", ""},
    {"@toLower('\xc3\x84" "B')", "\xc3\xa4" "b"},
    {"@toUpper('\xc3\xa4" "b')", "\xc3\x84" "B"},
    {"@concat('<', trim('  a b '), '>')", "<a b>"},
    {"@indexOf('hello world', 'WORLD')", "6"},
    {"@indexOf('hello', 'x')", "-1"},
    {"@indexOf('\xc3\xa4" "b', 'b')", "1"},
    {"@lastIndexOf('a-b-c', '-')", "3"},
    {"@startsWith('hello', 'HE')", "true"},
    {"@endsWith('hello', 'LO')", "true"},
    {"@endsWith('o', 'lo')", "false"},
    {"@contains('hello', 'ell')", "true"},
    {"@contains('hello', 'ELL')", "false"},
    {"@length('\xc3\xa4" "bc')", "3"},
    {"@split('a;b;;c', ';')[3]", "c"},
    {"@length(split('a;b;;c', ';'))", "4"},
    {"@length(split('', ';'))", "1"},
    {"@split('a', ';')['0']", "a"},
    {"@join(split('a;b;c', ';'), ', ')", "a, b, c"},
    {"@join(createArray(1, 'b', 2.5, true), '-')", "1-b-2.5-true"},
    {"@createArray(createArray(1, 2), 3)[0][1]", "2"},
    {"@contains(createArray('a', 2), '2')", "true"},
    {"@first('\xc3\xa4" "b')", "\xc3\xa4"},
    {"@last('a\xc3\xa4')", "\xc3\xa4"},
    {"@last('')", ""},
    {"@first(createArray(7, 8))", "7"},
    {"@last(createArray(7, 8))", "8"},
    {"@string(12)", "12"},
    {"@coalesce(null, pipeline().parameters.Nothing, 'c', 'd')", "c"},
    {"@coalesce(null)", ""},
    {"@empty('')", "true"},
    {"@empty(null)", "true"},
    {"@empty('a')", "false"},
    {"@empty(0)", "false"},
    /* truths */
    {"@if(equals(1, 1), 'yes', 'no')", "yes"},
    {"@if(false, div(1, 0), 'no')", "no"},
    {"@if(true, 'yes', substring('a', 5, 1))", "yes"},
    {"@and(true, true, false)", "false"},
    {"@or(false, 'TRUE')", "true"},
    {"@not(0)", "true"},
    {"@bool('false')", "false"},
    {"@bool(1)", "true"},
    {"@equals('a', 'A')", "false"},
    {"@equals(1, 1.0)", "true"},
    {"@equals(pipeline().parameters.BatchSize, 200)", "true"},
    {"@equals('true', true)", "true"},
    {"@equals(true, 1)", "true"},
    {"@equals('False', 0)", "true"},
    {"@equals(true, 2)", "false"},
    {"@equals(null, '')", "false"},
    {"@equals(null, null)", "true"},
    {"@equals(split('a', ','), 'a')", "false"},
    {"@greater(10, 9)", "true"},
    {"@greater('10', '9')", "false"},
    {"@greaterOrEquals(2, 2)", "true"},
    {"@greater(2, 2)", "false"},
    {"@less(2.5, 3)", "true"},
    {"@lessOrEquals('b', 'a')", "false"},
    /* numbers */
    {"@add(1, 2)", "3"},
    {"@add(pipeline().parameters.BatchSize, 1)", "201"},
    {"@add(1, 0.5)", "1.5"},
    {"@sub(1, 2)", "-1"},
    {"@mul(3, -4)", "-12"},
    {"@div(7, 2)", "3"},
    {"@div(-7, 2)", "-3"},
    {"@div(7, 2.0)", "3.5"},
    {"@div(-9223372036854775808, 1)", "-9223372036854775808"},
    {"@mod(7, 3)", "1"},
    {"@mod(-9223372036854775808, -1)", "0"},
    {"@min(3, 1, 2)", "1"},
    {"@max(createArray(3, 1, 2.5))", "3"},
    {"@max(1, 2.5)", "2.5"},
    {"@int('10')", "10"},
    {"@int(10.9)", "10"},
    {"@float('10.333')", "10.333"},
    {"@float(1)", "1"},
    /* clang-format on */
};

TAP_CASE(values_of_expressions)
{
    dl_expression_scope scope = scope_of(true);
    for (size_t i = 0; i < DL_COUNT_OF(values); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
        dl_error err = {0};
        dl_str got = DL_STR_NONE;
        dl_status status = dl_expression_eval(dl_str_of(values[i].text), &scope, arena, &got, &err);
        if (status != DL_OK || !dl_str_eq(got, dl_str_of(values[i].want))) {
            TAP_FAIL("%s: '%.*s', not '%s' (%s)", values[i].text, DL_STR_ARG(got), values[i].want,
                     err.message);
        }
        /* What has a value is never refused when it is saved. */
        if (dl_expression_check(dl_str_of(values[i].text), &scope, &err) != DL_OK) {
            TAP_FAIL("%s: checked: %s", values[i].text, err.message);
        }
    }
}

TAP_CASE(which_texts_are_expressions)
{
    TAP_TRUE(dl_expression_is(DL_STR("@a")));
    TAP_TRUE(dl_expression_is(DL_STR("@@a")));
    TAP_TRUE(dl_expression_is(DL_STR("a@{1}")));
    TAP_TRUE(!dl_expression_is(DL_STR("a@b")));
    TAP_TRUE(!dl_expression_is(DL_STR("")));
    TAP_TRUE(!dl_expression_is(DL_STR_NONE));
}

/* ---- errors ---- */

/** Where the caret stands under the line before it, in characters; -1: there is none. */
static int caret_of(const char *message)
{
    const char *last = strrchr(message, '\n');
    if (last == NULL || strlen(last) < 2 || last[strlen(last) - 1] != '^') {
        return -1;
    }
    return (int)strspn(last + 1, " ") == (int)strlen(last) - 2 ? (int)strlen(last) - 2 : -1;
}

static const struct {
    const char *text;
    int caret;
    const char *message, *hint;
    bool at_run; /* found when it runs only */
} faults[] = {
    /* clang-format off */
    {"@", 1, "nothing follows", "@@", false},
    {"@ ", 2, "ends where a value", "", false},
    {"@formatDatetim('x')", 1, "no function 'formatDatetim'", "formatDateTime", false},
    {"@foo('x')", 1, "no function 'foo'", "", false},
    {"@activity('x').output", 1, "no function 'activity'", "activities only", false},
    {"@concat", 1, "no value", "brackets", false},
    {"@hello", 1, "no value", "quotes", false},
    {"@\"a\"", 1, "value should be here", "single quotes", false},
    {"@concat('a'", 1, "not closed", "", false},
    {"@concat('a', toLower('b')", 1, "not closed", "", false},
    {"@concat('a'))", 12, "should end here", "", false},
    {"@concat('a' 'b')", 12, "',' or ')' should be here", "", false},
    {"@concat('a',)", 12, "value should be here", "", false},
    {"@concat(,'a')", 8, "value should be here", "", false},
    {"@concat('a']", 11, "',' or ')' should be here", "", false},
    {"@split('a','b')[0)", 17, "']' should be here", "", false},
    {"@split('a','b')[0,1]", 17, "']' should be here", "", false},
    {"@'abc", 1, "no end", "quote", false},
    {"@'a'b", 4, "should end here", "concat", false},
    {"@1 2", 3, "should end here", "", false},
    {"@12a", 1, "no number", "", false},
    {"@9223372036854775808", 1, "no number", "", false},
    {"@1.2.3", 1, "no number", "", false},
    {"@1e5", 1, "no number", "", false},
    {"@-", 1, "no number", "", false},
    {"x@{1", 4, "'}' is missing", "", false},
    {"x@{concat('a'", 3, "not closed", "", false},
    {"x@{}", 3, "value should be here", "", false},
    {"x@{1}}@{y}", 8, "no value", "quotes", false},
    {"@{1 2}", 4, "should end here", "", false},
    {"@concat()", 1, "at least 1 argument, not 0", "", false},
    {"@replace('a','b')", 1, "replace takes 3 arguments, not 2", "", false},
    {"@not(true,true)", 1, "not takes 1 argument, not 2", "", false},
    {"@formatDateTime()", 1, "formatDateTime takes 1 to 2 arguments, not 0", "", false},
    {"@concat('a', addHours('2026-01-01T00:00:00Z'))", 13, "addHours takes 2 to 3", "", false},
    {"@guid(1)", 1, "guid takes 0 arguments, not 1", "", false},
    {"@trigger(1)", 9, "trigger() takes no arguments", "", false},
    {"@trigger()", 1, "no value by itself", "trigger().name", false},
    {"@concat(trigger())", 8, "no text", "", false},
    {"@empty(trigger())", 7, "no value", "", false},
    {"@trigger().", 11, "a name should be", "", false},
    {"@trigger().outputs.windowStart", 19, "trigger().outputs has no 'windowStart'", "windowStartTime", false},
    {"@trigger()['nam']", 11, "trigger() has no 'nam'", "name", false},
    {"@pipeline().parameter.X", 12, "pipeline() has no 'parameter'", "parameters", false},
    {"@pipeline().parameters.ContainrName", 23, "no 'ContainrName'", "ContainerName", false},
    {"@pipeline().parameters.zzzzzzzz", 23, "no 'zzzzzzzz'", "no such parameter", false},
    {"@'a'.b", 5, "has no members", "", false},
    {"@utcNow().b", 10, "has no members", "", false},
    {"@split('a','b')", 1, "is a list", "join", false},
    {"@concat(split('a','b'))", 8, "argument 1 of concat is no text", "join", false},
    {"@split('a','b')[1]", 16, "1 items", "", false},
    {"@split('a','b')[-1]", 16, "1 items", "", false},
    {"@'a'[0]", 4, "only a list", "split", false},
    {"@formatDateTime('yesterday')", 16, "argument 1 of formatDateTime is no time", "2026-01-31", false},
    {"@formatDateTime('2026-02-29')", 16, "no time", "", false},
    {"@formatDateTime('2026-01-01T24:00:00Z')", 16, "no time", "", false},
    {"@formatDateTime('0001-01-01T00:00:00+01:00')", 16, "no time", "", false},
    {"@formatDateTime('2026-01-01T00:00:00+14:01')", 16, "no time", "", false},
    {"@formatDateTime('2026-01-01T00:00:00Zx')", 16, "no time", "", false},
    {"@formatDateTime('2026-01-01', 'x')", 30, "no standard format", "yyyy", false},
    {"@formatDateTime(trigger().startTime, 'H')", 37, "no standard format", "", false},
    {"@formatDateTime(utcNow(), 'yyyy''')", 26, "not closed", "", false},
    {"@formatDateTime('2026-01-01', 'ffffffff')", 30, "7 digits", "", false},
    {"@formatDateTime('2026-01-01', 'yy\\')", 30, "no character follows", "", false},
    {"@formatDateTime('2026-01-01', 'yy%')", 30, "no field follows", "", false},
    {"@addHours('2026-01-01', 'x')", 24, "argument 2 of addHours is no whole number", "", false},
    {"@addHours('2026-01-01', 1.5)", 24, "no whole number", "", false},
    {"@addDays('9999-12-31', 1)", 1, "not in the years", "", false},
    {"@addDays('2026-01-01', 9223372036854775807)", 1, "not in the years", "", false},
    {"@addToTime('2026-01-01', 9223372036854775807, 'Year')", 1, "not in the years", "", false},
    {"@subtractFromTime('2026-01-01', -9223372036854775808, 'Day')", 1, "not in the years", "", false},
    {"@addToTime('2026-01-01', 1, 'Days')", 28, "no unit of time", "Day", false},
    {"@convertFromUtc('2026-01-01', 'Pacific Standart Time')", 30, "no time zone", "Pacific Standard Time", false},
    {"@convertFromUtc('9999-12-31T23:00:00Z', 'Asia/Tokyo')", 1, "not in the years", "", false},
    {"@div(1, 0)", 8, "division by zero", "", false},
    {"@div(1.5, 0.0)", 10, "division by zero", "", false},
    {"@mod(1, 0)", 8, "division by zero", "", false},
    {"@add(9223372036854775807, 1)", 1, "too large", "", false},
    {"@sub(-9223372036854775808, 1)", 1, "too large", "", false},
    {"@mul(9223372036854775807, 2)", 1, "too large", "", false},
    {"@div(-9223372036854775808, -1)", 1, "too large", "", false},
    {"@mul(1.0e300, 1.0e300)", 1, "too large", "", false},
    {"@add(1, 'x')", 8, "argument 2 of add is no number", "", false},
    {"@int('1.5')", 5, "no whole number", "", false},
    {"@int(1.0e30)", 5, "too large", "", false},
    {"@float('inf')", 7, "no number", "", false},
    {"@float('0x10')", 7, "no number", "", false},
    {"@bool('yes')", 6, "neither true nor false", "", false},
    {"@bool(null)", 6, "neither true nor false", "", false},
    {"@if('x', 1, 2)", 4, "neither true nor false", "", false},
    {"@if(true, div(1, 0), 2)", 17, "division by zero", "", false},
    {"@less('a', 1)", 11, "compared", "", false},
    {"@substring('abc', 4)", 18, "start inside", "", false},
    {"@substring('abc', -1)", 18, "start inside", "", false},
    {"@substring('abc', 1, 3)", 21, "ends before", "", false},
    {"@substring('abc', 1, -1)", 21, "ends before", "", false},
    {"@replace('abc', '', 'x')", 16, "nothing to replace", "", false},
    {"@split('abc', '')", 14, "nothing to split", "", false},
    {"@join('abc', '')", 6, "no list", "", false},
    {"@contains('abc', 1)", 17, "text", "", false},
    {"@max('x')", 5, "no number", "", false},
    {"@min(split('a', 'b'), 1)", 5, "numbers", "", false},
    {"@addHours(pipeline().parameters.Secret, 1)", 10, "argument 1 of addHours is no time", "", true},
    {"@concat('\xc3\xa4\xc3\xb6', foo())", 14, "no function 'foo'", "", false},
    {"@concat('a\nb', foo())", 15, "no function 'foo'", "", false},
    /* clang-format on */
};

TAP_CASE(errors_mark_their_place)
{
    dl_expression_scope scope = scope_of(true);
    for (size_t i = 0; i < DL_COUNT_OF(faults); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
        dl_error err = {0}, checked = {0};
        dl_str got = DL_STR("untouched");
        dl_str text = dl_str_of(faults[i].text);
        dl_status status = dl_expression_eval(text, &scope, arena, &got, &err);
        if (status != DL_E_INVALID || caret_of(err.message) != faults[i].caret ||
            strstr(err.message, faults[i].message) == NULL ||
            strstr(err.hint, faults[i].hint) == NULL || !dl_str_eq(got, DL_STR("untouched"))) {
            TAP_FAIL("%s: %s at %d: %s (%s)", faults[i].text, dl_status_name(status),
                     caret_of(err.message), err.message, err.hint);
        }
        TAP_TRUE(strstr(err.message, "hunter2") == NULL); /* values are not told */
        status = dl_expression_check(text, &scope, &checked);
        if (!faults[i].at_run &&
            (status != DL_E_INVALID || strcmp(err.message, checked.message) != 0)) {
            TAP_FAIL("%s: checked: %s", faults[i].text, checked.message);
        }
    }
}

TAP_CASE(windows_exist_for_tumbling_triggers_only)
{
    dl_expression_scope scope = scope_of(false);
    dl_error err = {0};
    dl_str text = DL_STR("@formatDateTime(trigger().outputs.windowStartTime)");
    TAP_STATUS(dl_expression_check(text, &scope, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "windowStartTime exists for tumbling windows only") != NULL);
    TAP_EQ_INT(caret_of(err.message), 34);
    TAP_TRUE(strstr(err.hint, "scheduledTime") != NULL);
    TAP_STATUS(dl_expression_check(DL_STR("@trigger().scheduledTime"), &scope, &err), DL_OK);
}

TAP_CASE(long_expressions_are_cut_round_the_place)
{
    dl_expression_scope scope = scope_of(true);
    for (size_t before = 0; before < 400; before++) {
        char text[1200];
        dl_error err = {0};
        size_t used = (size_t)snprintf(text, sizeof text, "@concat('");
        memset(text + used, 'a', before);
        used += before;
        used += (size_t)snprintf(text + used, sizeof text - used, "', foo(), '");
        memset(text + used, 'b', 400 - before);
        (void)snprintf(text + used + 400 - before, 10, "')");
        TAP_STATUS(dl_expression_check(dl_str_of(text), &scope, &err), DL_E_INVALID);
        const char *caret = strrchr(err.message, '\n');
        const char *line = strchr(err.message, '\n') + 1;
        int at = caret_of(err.message);
        if (at < 0 || strncmp(line + at, "foo()", 5) != 0 || caret - line > 90) {
            TAP_FAIL("%zu before: %s", before, err.message);
        }
    }
}

/* ---- limits ---- */

/** `count` times `part` after `begin`, then `end`. */
static dl_str repeated(dl_buf *buf, const char *begin, const char *part, size_t count,
                       const char *end)
{
    dl_error err = {0};
    dl_buf_reset(buf);
    TAP_OK(dl_buf_append_str(buf, dl_str_of(begin), &err), err);
    for (size_t i = 0; i < count; i++) {
        TAP_OK(dl_buf_append_str(buf, dl_str_of(part), &err), err);
    }
    TAP_OK(dl_buf_append_str(buf, dl_str_of(end), &err), err);
    return dl_buf_str(buf);
}

static void limited(dl_str text, bool good, const char *message)
{
    dl_expression_scope scope = scope_of(true);
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_error err = {0};
    dl_str got = DL_STR("untouched");
    dl_status status = dl_expression_eval(text, &scope, arena, &got, &err);
    if (status != (good ? DL_OK : DL_E_LIMIT) ||
        (!good && (strstr(err.message, message) == NULL || !dl_str_eq(got, DL_STR("untouched"))))) {
        TAP_FAIL("%.40s...: %s: %s", text.ptr, dl_status_name(status), err.message);
    }
}

TAP_CASE(length_at_its_bound)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 1 << 20);
    limited(repeated(&buf, "@'", "a", DL_EXPRESSION_LIMIT_BYTES - 3, "'"), true, "");
    limited(repeated(&buf, "@'", "a", DL_EXPRESSION_LIMIT_BYTES - 2, "'"), false, "8193 bytes");
}

TAP_CASE(brackets_at_their_bound)
{
    for (size_t depth = DL_EXPRESSION_DEPTH_LIMIT; depth <= DL_EXPRESSION_DEPTH_LIMIT + 1;
         depth++) {
        DL_AUTO_BUF buf = {0}, end = {0};
        dl_error err = {0};
        dl_buf_init(&buf, 1 << 20);
        dl_buf_init(&end, 1 << 20);
        (void)repeated(&end, "true", ")", depth, "");
        TAP_OK(dl_buf_terminate(&end, &err), err);
        limited(repeated(&buf, "@", "not(", depth, end.ptr), depth == DL_EXPRESSION_DEPTH_LIMIT,
                "deeper than 64");
    }
}

TAP_CASE(arguments_at_their_bound)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 1 << 20);
    limited(repeated(&buf, "@concat(1", ",1", DL_EXPRESSION_STACK_LIMIT - 1, ")"), true, "");
    limited(repeated(&buf, "@concat(1", ",1", DL_EXPRESSION_STACK_LIMIT, ")"), false,
            "more than 256 arguments");
}

TAP_CASE(values_at_their_bound)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 1 << 20);
    /* 1024 letters, each of which becomes 1024: just the limit; one more is too much */
    for (size_t letters = 1024; letters <= 1025; letters++) {
        char begin[4096] = "@replace('";
        size_t used = strlen(begin);
        memset(begin + used, 'a', letters);
        (void)snprintf(begin + used + letters, 20, "','a','");
        limited(repeated(&buf, begin, "b", 1024, "')"), letters == 1024, "too long");
    }
    /* the arena's own limit, by lists: a million parts, and three times as many */
#define MANY                                                                                       \
    "split(replace(replace(replace(replace(replace('aaaaaaaaaa', 'a', 'aaaaaaaaaa'), 'a', "        \
    "'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a')"
    limited(DL_STR("@length(" MANY ")"), true, "");
    limited(DL_STR("@length(createArray(" MANY ", " MANY ", " MANY "))"), false, "too long");
}

TAP_CASE(deep_brackets_without_end)
{
    dl_expression_scope scope = scope_of(true);
    DL_AUTO_BUF buf = {0};
    dl_error err = {0};
    dl_buf_init(&buf, 1 << 20);
    TAP_STATUS(dl_expression_check(repeated(&buf, "@", "not(", 64, ""), &scope, &err),
               DL_E_INVALID);
    TAP_STATUS(dl_expression_check(repeated(&buf, "@", "not(", 65, ""), &scope, &err), DL_E_LIMIT);
    TAP_STATUS(dl_expression_check(repeated(&buf, "@'a'", "[0", 65, ""), &scope, &err), DL_E_LIMIT);
    TAP_STATUS(dl_expression_check(repeated(&buf, "@", "(", 65, ""), &scope, &err), DL_E_INVALID);
}

TAP_CASE(bytes_that_are_no_text)
{
    dl_expression_scope scope = scope_of(true);
    dl_error err = {0};
    TAP_STATUS(dl_expression_check(DL_STR("@'\xff'"), &scope, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "UTF-8") != NULL);
    TAP_STATUS(dl_expression_check((dl_str){"@\0", 2}, &scope, &err), DL_E_INVALID);
    TAP_STATUS(dl_expression_check((dl_str){"@1\0", 3}, &scope, &err), DL_E_INVALID);
    TAP_STATUS(dl_expression_check((dl_str){"@'\0'", 4}, &scope, &err), DL_OK);
    TAP_STATUS(dl_expression_check((dl_str){"@{1\0}", 5}, &scope, &err), DL_E_INVALID);
}

TAP_CASE(without_memory_it_is_told)
{
    dl_expression_scope scope = scope_of(true);
    static const char text[] = "a@{join(split(concat('a,', toUpper('b')), ','), "
                               "formatDateTime(trigger().outputs.windowStartTime, 'yyyy'))}"
                               "@{if(true, 1, div(1, 0))}";
    bool done = false;
    for (int64_t n = 0; n < 200 && !done; n++) {
        dl_error err = {0};
        dl_str got = DL_STR_NONE;
        dl_mem_fail_after(n);
        dl_arena *arena = dl_arena_create(ARENA_LIMIT_BYTES);
        dl_status status = DL_E_NOMEM;
        if (arena != NULL) {
            status = dl_expression_eval(dl_str_of(text), &scope, arena, &got, &err);
        }
        dl_mem_fail_after(-1);
        done = status == DL_OK;
        if (done) {
            TAP_EQ_STR(got, "aa2026B1");
        } else {
            TAP_TRUE(got.ptr == NULL);
            if (status != DL_E_NOMEM && status != DL_E_LIMIT) {
                TAP_FAIL("allocation %lld: %s", (long long)n, err.message);
            }
        }
        dl_arena_destroy(arena);
    }
    TAP_TRUE(done);
}

/* ---- formats ---- */

/** 2009-06-05T03:04:08.0912050Z, a Friday, and at 15:04 */
static const struct {
    const char *format, *want;
    bool afternoon;
} formats[] = {
    {"", "2009-06-05T03:04:08.0912050Z", false},
    {"O", "2009-06-05T03:04:08.0912050Z", false},
    {"d", "6/5/2009", false},
    {"D", "Friday, June 5, 2009", false},
    {"f", "Friday, June 5, 2009 3:04 PM", true},
    {"F", "Friday, June 5, 2009 3:04:08 AM", false},
    {"g", "6/5/2009 3:04 AM", false},
    {"G", "6/5/2009 3:04:08 PM", true},
    {"M", "June 5", false},
    {"R", "Fri, 05 Jun 2009 03:04:08 GMT", false},
    {"s", "2009-06-05T15:04:08", true},
    {"t", "3:04 AM", false},
    {"T", "3:04:08 PM", true},
    {"u", "2009-06-05 15:04:08Z", true},
    {"U", "Friday, June 5, 2009 3:04:08 PM", true},
    {"Y", "June 2009", false},
    {"%d", "5", false},
    {"%h%H", "315", true},
    {"%y", "9", false},
    {"yy yyy yyyy yyyyy", "09 2009 2009 02009", false},
    {"d dd ddd dddd ddddd", "5 05 Fri Friday Friday", false},
    {"M MM MMM MMMM MMMMM", "6 06 Jun June June", false},
    {"h hh hhh H HH HHH", "3 03 03 15 15 15", true},
    {"m mm s ss t tt", "4 04 8 08 A AM", false},
    {"f ff fff ffff fffff ffffff fffffff", "0 09 091 0912 09120 091205 0912050", false},
    {"F FF FFF FFFF FFFFF FFFFFF FFFFFFF", " 09 091 0912 0912 091205 091205", false},
    {"s.F", "8", false},
    {"s.FFFFF", "8.0912", false},
    {"z zz zzz K", "+0 +00 +00:00 Z", false},
    {"gg", "A.D.", false},
    {"yyyy-MM-ddTHH:mm:ss.fffZ", "2009-06-05T03:04:08.091Z", false},
    {"yyyy'year'MM\"month\"", "2009year06month", false},
    {"\\d\\\\ 'it\\'s' %d", "d\\ it's 5", false},
    {"--//::--", "--//::--", false},
    {"\xc3\xa4 yyyy", "\xc3\xa4 2009", false},
};

TAP_CASE(formats_are_dotnets)
{
    for (size_t i = 0; i < DL_COUNT_OF(formats); i++) {
        DL_AUTO_BUF out = {0};
        dl_error err = {0};
        dl_buf_init(&out, 1000);
        TAP_OK(dl_buf_append_str(&out, DL_STR("<"), &err), err);
        dl_expression_time time = {1244171048091205 + (formats[i].afternoon ? 43200000000 : 0),
                                   true};
        TAP_OK(dl_expression_time_format(time, dl_str_of(formats[i].format), &out, &err), err);
        if (!dl_str_eq(dl_str_slice(dl_buf_str(&out), 1, out.len), dl_str_of(formats[i].want))) {
            TAP_FAIL("'%s': '%.*s', not '%s'", formats[i].format, DL_STR_ARG(dl_buf_str(&out)),
                     formats[i].want);
        }
    }
}

TAP_CASE(a_wrong_format_writes_nothing)
{
    static const char *const wrong[] = {"x",  "yyyy'",    "yyyy\"x",      "yyyy\\", "yyyy%",
                                        "%%", "ffffffff", "yyyyFFFFFFFF", "'a\\"};
    DL_AUTO_BUF out = {0};
    dl_buf_init(&out, 1000);
    for (size_t i = 0; i < DL_COUNT_OF(wrong); i++) {
        dl_error err = {0};
        TAP_STATUS(
            dl_expression_time_format((dl_expression_time){0}, dl_str_of(wrong[i]), &out, &err),
            DL_E_INVALID);
        TAP_EQ_INT(out.len, 0);
    }
}

int main(void)
{
    TAP_RUN(values_of_expressions);
    TAP_RUN(which_texts_are_expressions);
    TAP_RUN(errors_mark_their_place);
    TAP_RUN(windows_exist_for_tumbling_triggers_only);
    TAP_RUN(long_expressions_are_cut_round_the_place);
    TAP_RUN(length_at_its_bound);
    TAP_RUN(brackets_at_their_bound);
    TAP_RUN(arguments_at_their_bound);
    TAP_RUN(values_at_their_bound);
    TAP_RUN(deep_brackets_without_end);
    TAP_RUN(bytes_that_are_no_text);
    TAP_RUN(without_memory_it_is_told);
    TAP_RUN(formats_are_dotnets);
    TAP_RUN(a_wrong_format_writes_nothing);
    return tap_done();
}
