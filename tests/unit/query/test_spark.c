/* Spark's words: patterns of times, and statements through a session. */
#include "query/functions/pattern.h"
#include "query/internal.h"
#include "tap.h"

static const struct {
    const char *pattern;
    int64_t us;
    const char *want;
} written[] = {
    {"yyyy-MM-dd HH:mm:ss.SSS", 1767604501123456, "2026-01-05 09:15:01.123"},
    {"d/M/yy H:m:s", 1767604501123456, "5/1/26 9:15:1"},
    {"EEEE, d. MMMM uuuu", 1767604501123456, "Monday, 5. January 2026"},
    {"E EEE MMM LLL", 1767604501123456, "Mon Mon Jan Jan"},
    {"hh:mm a|h|K|k|kk|KK", 1767661200000000, "01:00 AM|1|1|1|01|01"},
    {"h a K k", 1767657600000000, "12 AM 0 24"},
    {"h a K k", 1767700800000000, "12 PM 0 12"},
    {"Q QQ QQQ QQQQ q", 1767604501123456, "1 01 Q1 1st quarter 1"},
    {"D DD DDD", 1767604501123456, "5 05 005"},
    {"DDD", 1735603200000000, "366"},
    {"S SSSSSS SSSSSSSSS", 1767604501123456, "1 123456 123456000"},
    {"X XX XXX x xx xxx Z ZZZZ ZZZZZ O z zzzz VV", 0,
     "Z Z Z +00 +0000 +00:00 +0000 GMT Z GMT UTC Coordinated Universal Time UTC"},
    {"G GGGG y", 0, "AD Anno Domini 1970"},
    {"yyyy G|uuuu", -62198755200000000, "0002 BC|-0001"},
    {"''yyyy'T'MM'o''clock'''", 0, "'1970T01o'clock'"},
    {"[yyyy]", 0, "1970"},
    {"yyyy-MM-dd HH:mm:ss.SSSSSS", -1, "1969-12-31 23:59:59.999999"},
    {"yyyy-MM-dd", 253402300800000000, "+10000-01-01"},
    {"y", 253402300800000000, "10000"},
    {"", 0, ""},
    {"\xc3\xa4yy", 0,
     "\xc3\xa4"
     "70"},
};

TAP_CASE(times_are_written)
{
    for (size_t i = 0; i < DL_COUNT_OF(written); i++) {
        dl_pattern pattern;
        dl_error err = {0};
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 4096);
        TAP_ROW_BEGIN();
        TAP_OK(dl_pattern_read(dl_str_of(written[i].pattern), &pattern, &err), err);
        TAP_OK(dl_pattern_format(&pattern, written[i].us, &got, &err), err);
        TAP_EQ_STR(dl_buf_str(&got), written[i].want);
        TAP_ROW_END(written[i].pattern);
    }
}

#define NONE INT64_MIN
static const struct {
    const char *pattern, *text;
    int64_t us;
} parsed[] = {
    {"yyyy-MM-dd", "1970-01-02", 86400000000},
    {"yyyyMMdd", "19700102", 86400000000},
    {"yyyyMMddHHmmss", "19700102000001", 86401000000},
    {"yyyyMMdd", "1970012", NONE},
    {"yyyyMMdd", "197001023", NONE},
    {"d.M.yyyy", "2.1.1970", 86400000000},
    {"dd.MM.yyyy", "2.1.1970", NONE},
    {"d.M.yyyy", "02.01.1970", 86400000000},
    {"yy", "70", 3155760000000000},
    {"MMM d, yyyy", "jan 2, 1970", 86400000000},
    {"MMMM", "February", 2678400000000},
    {"MMMM", "Feb", NONE},
    {"EEE d MMM yyyy", "Fri 2 Jan 1970", 86400000000},
    {"hh:mm a", "01:00 PM", 46800000000},
    {"hh:mm a", "12:00 AM", 0},
    {"HH:mm", "24:00", NONE},
    {"k", "24", 0},
    {"HH:mm:ss.SSS", "00:00:01.5", 1500000},
    {"HH:mm:ss.SSS", "00:00:01.5000", NONE},
    {"HH:mmXXX", "01:00+01:00", 0},
    {"HH:mmX", "01:00Z", 3600000000},
    {"HH:mmZ", "01:00-0100", 7200000000},
    {"HH:mmX", "01:00", NONE},
    {"yyyy-MM-dd[ HH:mm]", "1970-01-02", 86400000000},
    {"yyyy-MM-dd[ HH:mm]", "1970-01-02 01:00", 90000000000},
    {"yyyy-MM-dd[ HH:mm]", "1970-01-02 01", NONE},
    {"DDD", "032", 2678400000000},
    {"uuuu-DDD", "1971-366", NONE},
    {"yyyy G", "0001 BC", -62167219200000000},
    {"yyyy-MM-dd", "1970-02-30", NONE},
    {"yyyy-MM-dd", "1970-13-01", NONE},
    {"yyyy-MM-dd", "", NONE},
    {"yyyy'T'", "1970T", 0},
    {"yyyy'T'", "1970t", NONE},
    {"", "", 0},
    {"Q", "1", NONE},
};

TAP_CASE(times_are_read)
{
    for (size_t i = 0; i < DL_COUNT_OF(parsed); i++) {
        char name[80];
        dl_pattern pattern;
        dl_error err = {0};
        int64_t us = NONE;
        TAP_ROW_BEGIN();
        TAP_OK(dl_pattern_read(dl_str_of(parsed[i].pattern), &pattern, &err), err);
        bool found = dl_pattern_parse(&pattern, dl_str_of(parsed[i].text), &us);
        TAP_EQ_INT(found, parsed[i].us != NONE);
        TAP_EQ_INT(us, parsed[i].us);
        (void)snprintf(name, sizeof name, "%s of '%s'", parsed[i].text, parsed[i].pattern);
        TAP_ROW_END(name);
    }
}

TAP_CASE(patterns_have_rules_and_bounds)
{
    static const char *const wrong[] = {
        "b",       "YYYY",  "w",   "e",   "c",  "A",          "N",     "n",    "p",
        "yyyyyyy", "MMMMM", "ddd", "HHH", "aa", "SSSSSSSSSS", "V",     "OO",   "XXXXXX",
        "'x",      "'",     "{",   "#",   "[",  "]",          "[[x]]", "EEEEE"};
    char text[300];
    dl_pattern pattern;
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(wrong); i++) {
        if (dl_pattern_read(dl_str_of(wrong[i]), &pattern, &err) != DL_E_INVALID) {
            TAP_FAIL("%s is taken", wrong[i]);
        }
    }
    /* 256 bytes; 126 items. */
    memset(text, 'y', sizeof text);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = "yyyyMMdd"[i % 8];
    }
    TAP_OK(dl_pattern_read((dl_str){text, 255}, &pattern, &err), err);
    TAP_STATUS(dl_pattern_read((dl_str){text, 256}, &pattern, &err), DL_E_LIMIT);
    memset(text, '-', sizeof text);
    TAP_OK(dl_pattern_read((dl_str){text, DL_PATTERN_LIMIT - 2}, &pattern, &err), err);
    TAP_STATUS(dl_pattern_read((dl_str){text, DL_PATTERN_LIMIT - 1}, &pattern, &err), DL_E_LIMIT);
    memset(text, '\'', sizeof text);
    TAP_OK(dl_pattern_read((dl_str){text, 252}, &pattern, &err), err);
    TAP_STATUS(dl_pattern_read((dl_str){text, 255}, &pattern, &err), DL_E_LIMIT);
}

/* ---- statements ---- */

static dl_query *query;

static const struct {
    const char *sql, *want;
} answers[] = {
    {"SELECT size(array(1, 2)), size(MAP {'a': 1}), size(array()), size(NULL), array_size([1])",
     "2,1,0,NULL,1"},
    {"SELECT size(x) FROM (VALUES ([1, 2, 3]), (NULL), ([])) t(x)", "3;NULL;0"},
    {"SELECT element_at(array('a', 'b'), -1), element_at(MAP {'k': 7}, 'k'), "
     "element_at(MAP {'k': 7}, 'x')",
     "b,7,NULL"},
    {"SELECT explode(array(1, 2)) AS a", "1;2"},
    {"SELECT get_json_object('{\"a\":[{\"b\":\"x\"}]}', '$.a[0].b'), get_json_object('no', '$.a')",
     "x,NULL"},
    {"SELECT `a b` FROM (SELECT 1 AS `a b`)", "1"},
    {"SELECT 'abc' RLIKE 'b', 'abc' NOT RLIKE 'b', NOT 'abc' REGEXP '^c', rlike('abc', 'c$')",
     "true,false,true,true"},
    {"SELECT 7 DIV 2, -7 DIV 2, NULL <=> NULL, 1 <=> NULL, 1 == 1, !true",
     "3,-3,true,false,true,false"},
    {"SELECT CAST('5' AS BYTE), CAST(5 AS STRING), CAST('5' AS LONG), CAST('5' AS SHORT), 3::BYTE",
     "5,5,5,5,3"},
    {"SELECT x AS byte FROM (SELECT 300 AS x)", "300"},
    {"SELECT date_format(TIMESTAMP '2026-01-05 09:15:01', 'yyyy/MM/dd'), "
     "date_format(DATE '2026-01-05', 'E'), date_format('2026-01-05', 'd'), date_format('x', 'd')",
     "2026/01/05,Mon,5,NULL"},
    {"SELECT date_format(x, p) FROM (VALUES (DATE '2026-01-05', 'yyyy'), (DATE '2026-01-05', 'b'), "
     "(NULL, 'd'), (DATE '2026-01-05', NULL)) t(x, p)",
     "2026;NULL;NULL;NULL"},
    {"SELECT to_date('2026-01-05'), to_date('05.01.2026', 'dd.MM.yyyy'), to_date('x'), "
     "to_date(TIMESTAMP '2026-01-05 10:00:00')",
     "2026-01-05,2026-01-05,NULL,2026-01-05"},
    {"SELECT to_timestamp('2026-01-05 10:00:00') = TIMESTAMP '2026-01-05 10:00:00', "
     "to_timestamp('05.01.2026', 'dd.MM.yyyy') = DATE '2026-01-05', to_timestamp(60) = "
     "TIMESTAMP '1970-01-01 00:01:00'",
     "true,true,true"},
    {"SELECT date_add('2026-01-31', 1), date_sub(DATE '2026-01-01', 1), "
     "add_months('2026-01-31', 1), datediff('2026-01-05', '2026-01-01'), "
     "datediff('day', DATE '2026-01-01', DATE '2026-01-05')",
     "2026-02-01,2025-12-31,2026-02-28,4,4"},
    {"SELECT months_between('1997-02-28 10:30:00', '1996-10-30'), "
     "months_between('2026-02-28', '2026-01-31')",
     "3.94959677,1.0"},
    {"SELECT sort_array(array(2, NULL, 1)), sort_array(array(2, NULL, 1), false)",
     "[null,1,2],[2,1,null]"},
    {"SELECT collect_list(x), sort_array(collect_set(x)) FROM (VALUES (1), (NULL), (1)) t(x)",
     "[1,1],[1]"},
    {"SELECT transform(array(1, 2), x -> x + 1), array_join(array('a', NULL, 'b'), '-'), "
     "array_join(array('a', NULL), '-', '?')",
     "[2,3],a-b,a-?"},
    {"SELECT x FROM (VALUES (1), (2)) t(x) MINUS SELECT 2", "1"},
    {"SELECT t.x FROM (VALUES (1), (2)) t(x) LEFT SEMI JOIN (VALUES (2)) u(x) ON t.x = u.x", "2"},
    {"SELECT t.x FROM (VALUES (1), (2)) t(x) LEFT ANTI JOIN (VALUES (2)) u(x) ON t.x = u.x", "1"},
    {"SELECT initcap('ab CD'), substring_index('a.b.c', '.', 2), substring_index('a.b.c', '.', "
     "-1), "
     "locate('c', 'abc'), locate('a', 'aba', 2)",
     "Ab Cd,a.b,c,3,3"},
    {"SELECT nvl(NULL, 1), nvl2(NULL, 1, 2), isnull(NULL), isnotnull(NULL), if(true, 1, 2), "
     "ifnull(NULL, 3)",
     "1,2,true,false,1,3"},
    {"SELECT typeof(current_timestamp()), current_date() = current_date",
     "TIMESTAMP WITH TIME ZONE,true"},
    {"SELECT slice(array(1, 2, 3), 2, 2), slice(array(1, 2, 3), -2, 2), sequence(1, 3)",
     "[2,3],[2,3],[1,2,3]"},
    {"SELECT count_if(x > 1), approx_count_distinct(x), percentile_approx(x, 0.5), percentile(x, "
     "0.5) "
     "FROM range(3) t(x)",
     "1,3,1,1.0"},
    {"SELECT ARRAY(SELECT 1)", "[1]"},
};

static void ask(const char *sql, dl_buf *out)
{
    dl_error err = {0};
    DL_AUTO(dl_query_result) result = NULL;
    size_t rows = 0;
    bool first = true;
    TAP_OK(dl_query_run(query, dl_str_of(sql), &result, NULL, &err), err);
    while (result != NULL && dl_query_next(result, &rows, &err) == DL_OK && rows > 0) {
        for (size_t row = 0; row < rows; row++) {
            for (size_t c = 0; c < dl_query_column_count(result); c++) {
                const char *between = first ? "" : c == 0 ? ";" : ",";
                TAP_OK(dl_buf_append_str(out, dl_str_of(between), &err), err);
                first = false;
                TAP_OK(dl_query_is_null(result, c, row)
                           ? dl_buf_append_str(out, DL_STR("NULL"), &err)
                           : dl_query_put_text(result, c, row, out, &err),
                       err);
            }
        }
    }
}

TAP_CASE(statements_in_spark_s_words)
{
    for (size_t i = 0; i < DL_COUNT_OF(answers); i++) {
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 1 << 16);
        TAP_ROW_BEGIN();
        ask(answers[i].sql, &got);
        TAP_EQ_STR(dl_buf_str(&got), answers[i].want);
        TAP_ROW_END(answers[i].sql);
    }
}

TAP_CASE(wrong_words_say_what_is_right)
{
    static const struct {
        const char *sql, *words;
    } rows[] = {
        {"SELECT date_format(DATE '2026-01-05', 'YYYY')", "YYYY"},
        {"SELECT to_timestamp('x', 'b')", "pattern"},
        {"SELECT size('abc')", "list or a map"},
        {"SELECT posexplode(array(1))", "unnest"},
        {"SELECT named_struct('a', 1)", "{'a'"},
        {"SELECT dl_parse_time('x', 'y')", "no function"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_error err = {0};
        dl_query_result *result = NULL;
        dl_status status = dl_query_run(query, dl_str_of(rows[i].sql), &result, NULL, &err);
        if (status == DL_OK || (strstr(err.message, rows[i].words) == NULL &&
                                strstr(err.hint, rows[i].words) == NULL)) {
            TAP_FAIL("%s: %s: %s (%s)", rows[i].sql, dl_status_name(status), err.message, err.hint);
        }
        dl_query_result_destroy(result);
    }
}

/* Each of them can be made: the engine reads its definition. */
TAP_CASE(every_macro_is_well_formed)
{
    dl_engine engine = {0};
    dl_error err = {0};
    dl_str names[200];
    dl_plan plan = {.spark = names};
    dl_query_options options = {.limits = {.threads = 1}, .clock = dl_clock_system()};
    DL_AUTO(dl_functions) functions = NULL;
    TAP_OK(dl_engine_load(&engine, &err), err);
    TAP_OK(dl_engine_start(&engine, &options, &err), err);
    TAP_OK(dl_functions_create(&options, &functions, &err), err);
    TAP_OK(dl_functions_register(functions, &engine, &err), err);
    while (dl_functions_spark_name(plan.spark_count) != NULL) {
        names[plan.spark_count] = dl_str_of(dl_functions_spark_name(plan.spark_count));
        plan.spark_count++;
    }
    TAP_TRUE(plan.spark_count > 40);
    TAP_OK(dl_functions_define_spark(&engine, &plan, &err), err);
    TAP_OK(dl_functions_define_spark(&engine, &plan, &err), err); /* again: nothing to do */
    dl_engine_stop(&engine);
}

int main(void)
{
    dl_error err = {0};
    dl_query_options options = {.limits = {.threads = 1}, .clock = dl_clock_system()};
    times_are_written();
    times_are_read();
    TAP_RUN(patterns_have_rules_and_bounds);
    TAP_RUN(every_macro_is_well_formed);
    if (dl_query_open(&options, &query, &err) != DL_OK) {
        printf("Bail out! %s\n", err.message);
        return 1;
    }
    statements_in_spark_s_words();
    TAP_RUN(wrong_words_say_what_is_right);
    dl_query_close(query);
    return tap_done();
}
