/* Values of a session's rows: as text, as JSON, as numbers. */
#include "session_rig.h"

#include <stdio.h>
#include <string.h>

/* ---- values ---- */

/* Each is asked beside its cast to VARCHAR, and beside the name of its type. */
static const char *const values[] = {
    "true",
    "false",
    "1::TINYINT",
    "(-128)::TINYINT",
    "32767::SMALLINT",
    "(-2147483648)::INTEGER",
    "9223372036854775807",
    "(-9223372036854775808)::BIGINT",
    "255::UTINYINT",
    "65535::USMALLINT",
    "4294967295::UINTEGER",
    "18446744073709551615::UBIGINT",
    "170141183460469231731687303715884105727::HUGEINT",
    "(-170141183460469231731687303715884105728)::HUGEINT",
    "340282366920938463463374607431768211455::UHUGEINT",
    "0::UHUGEINT",
    "1.5::FLOAT",
    "0.1::FLOAT",
    "3.4028235e38::FLOAT",
    "1e-45::FLOAT",
    "'nan'::FLOAT",
    "1.0::DOUBLE",
    "0.0::DOUBLE",
    "(-0.0)::DOUBLE",
    "1e15::DOUBLE",
    "1e16::DOUBLE",
    "1e17::DOUBLE",
    "0.0001::DOUBLE",
    "0.00001::DOUBLE",
    "0.000012345::DOUBLE",
    "1e-6::DOUBLE",
    "-1.25e-7::DOUBLE",
    "123456789012345680::DOUBLE",
    "5e-324::DOUBLE",
    "1.7976931348623157e308::DOUBLE",
    "'inf'::DOUBLE",
    "'-inf'::DOUBLE",
    "'nan'::DOUBLE",
    "1e100::DOUBLE",
    "9007199254740993::DOUBLE",
    "0.5::DECIMAL(4,1)",
    "-0.05::DECIMAL(4,2)",
    "12345.678::DECIMAL(18,3)",
    "7::DECIMAL(9,0)",
    "-99999999999999999999999999999999999.999::DECIMAL(38,3)",
    "0::DECIMAL(38,38)",
    "1.50::DECIMAL(3,2)",
    "''",
    "'text'",
    "'twelve bytes'",
    "'thirteen byte'",
    "'\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80'",
    "chr(0) || 'a'",
    "DATE '2026-02-28'",
    "DATE '0001-01-01'",
    "DATE '9999-12-31'",
    "DATE '0044-03-15 (BC)'",
    "DATE '1600-02-29'",
    "DATE '294247-01-10'",
    "DATE 'infinity'",
    "DATE '-infinity'",
    "DATE '1969-12-31'",
    "TIME '00:00:00'",
    "TIME '23:59:59.999999'",
    "TIME '08:30:00.5'",
    "TIME '24:00:00'",
    "TIMETZ '08:30:00.5+02'",
    "TIMETZ '23:59:59-05:30'",
    "TIMESTAMP '2026-01-05 08:00:00'",
    "TIMESTAMP '2026-01-05 08:00:00.000001'",
    "TIMESTAMP '1969-12-31 23:59:59.9'",
    "TIMESTAMP '0044-03-15 (BC) 01:02:03'",
    "TIMESTAMP 'infinity'",
    "TIMESTAMP '-infinity'",
    "TIMESTAMPTZ '2026-01-05 08:00:00.123+01'",
    "TIMESTAMPTZ '0044-03-15 (BC) 01:02:03+00'",
    "TIMESTAMPTZ 'infinity'",
    "TIMESTAMP_S '2026-01-05 08:00:01'",
    "TIMESTAMP_MS '2026-01-05 08:00:00.12'",
    "TIMESTAMP_NS '2026-01-05 08:00:00.123456789'",
    "TIMESTAMP_NS '1969-12-31 23:59:59.9999'",
    "INTERVAL '1 year 2 days 03:04:05.6'",
    "INTERVAL '-3 months'",
    "'eeccb8c5-9943-b2bb-bb5e-222f4e14b687'::UUID",
    "'00000000-0000-0000-0000-000000000000'::UUID",
    "'101'::BIT",
    "'0110110101'::BIT",
    "'sad'::ENUM('happy', 'sad')",
    "'[1, 2]'::JSON",
    "NULL::INTEGER",
    "0.05::DECIMAL(2,2)",
    "-0.5::DECIMAL(1,1)",
};

TAP_CASE(values_are_spelled_as_the_engine_casts_them)
{
    begin();
    for (size_t i = 0; i < DL_COUNT_OF(values); i++) {
        char sql[512];
        TAP_ROW_BEGIN();
        (void)snprintf(sql, sizeof sql, "SELECT %s, CAST(%s AS VARCHAR), typeof(%s)", values[i],
                       values[i], values[i]);
        dl_error err = {0};
        DL_AUTO(dl_query_result) result = NULL;
        size_t rows = 0;
        TAP_OK(dl_query_run(f.query, dl_str_of(sql), &result, NULL, &err), err);
        if (result != NULL) {
            TAP_OK(dl_query_next(result, &rows, &err), err);
        }
        if (rows == 1) {
            DL_AUTO_BUF ours, theirs, type;
            dl_buf_init(&ours, 1000);
            dl_buf_init(&theirs, 1000);
            dl_buf_init(&type, 1000);
            TAP_OK(dl_query_put_text(result, 0, 0, &ours, &err), err);
            TAP_OK(dl_query_put_text(result, 1, 0, &theirs, &err), err);
            TAP_OK(dl_query_put_text(result, 2, 0, &type, &err), err);
            TAP_TRUE(dl_query_is_null(result, 0, 0) == dl_query_is_null(result, 1, 0));
            if (!dl_str_eq(dl_buf_str(&ours), dl_buf_str(&theirs))) {
                TAP_FAIL("'%.*s', not '%.*s'", DL_STR_ARG(dl_buf_str(&ours)),
                         DL_STR_ARG(dl_buf_str(&theirs)));
            }
            if (!dl_str_eq(dl_query_column_at(result, 0)->type, dl_buf_str(&type))) {
                TAP_FAIL("type '%.*s', not '%.*s'", DL_STR_ARG(dl_query_column_at(result, 0)->type),
                         DL_STR_ARG(dl_buf_str(&type)));
            }
        } else {
            TAP_FAIL("%zu rows", rows);
        }
        TAP_ROW_END(values[i]);
    }
    TAP_ROW_BEGIN();
    end();
}

/* Texts of a statement's two columns must be the same in every row. */
static void expect_same(const char *sql, size_t want_rows)
{
    dl_error err = {0};
    DL_AUTO(dl_query_result) result = NULL;
    TAP_OK(dl_query_run(f.query, dl_str_of(sql), &result, NULL, &err), err);
    size_t rows = 0, seen = 0;
    while (result != NULL && dl_query_next(result, &rows, &err) == DL_OK && rows > 0) {
        for (size_t i = 0; i < rows; i++) {
            DL_AUTO_BUF one, two;
            dl_buf_init(&one, 1000);
            dl_buf_init(&two, 1000);
            TAP_OK(dl_query_put_text(result, 0, i, &one, &err), err);
            TAP_OK(dl_query_put_text(result, 1, i, &two, &err), err);
            if (!dl_str_eq(dl_buf_str(&one), dl_buf_str(&two))) {
                TAP_FAIL("'%.*s', not '%.*s'", DL_STR_ARG(dl_buf_str(&one)),
                         DL_STR_ARG(dl_buf_str(&two)));
                return;
            }
        }
        seen += rows;
    }
    TAP_EQ_INT(seen, want_rows);
}

TAP_CASE(many_values_are_spelled_as_the_engine_casts_them)
{
    begin();
    expect_same("SELECT x, x::VARCHAR FROM (SELECT ((hash(i) % 1000000007) / 1000.0 - 500000) * "
                "pow(10, (i % 600) - 300) AS x FROM range(40000) t(i))",
                40000);
    expect_same("SELECT x, x::VARCHAR FROM (SELECT (((hash(i) % 1000007) / 100.0 - 5000) * "
                "pow(10, (i % 30) - 28))::FLOAT AS x FROM range(20000) t(i))",
                20000);
    expect_same(
        "SELECT x, x::VARCHAR FROM (SELECT DATE '0001-01-01' + ((i * 337) % 3652000)::INT AS x "
        "FROM range(20000) t(i))",
        20000);
    expect_same(
        "SELECT x, x::VARCHAR FROM (SELECT make_timestamp(((hash(i) % 200000000000000000) - "
        "100000000000000000::HUGEINT)::BIGINT) AS x FROM range(20000) t(i))",
        20000);
    end();
}

static const struct {
    const char *sql, *json;
    dl_query_kind kind;
} jsons[] = {
    /* clang-format off */
    {"true", "true", DL_QUERY_BOOL},
    {"42", "42", DL_QUERY_INTEGER},
    {"9007199254740991", "9007199254740991", DL_QUERY_INTEGER},
    {"9007199254740992", "\"9007199254740992\"", DL_QUERY_INTEGER},
    {"9007199254740993", "\"9007199254740993\"", DL_QUERY_INTEGER},
    {"9007199254740994", "\"9007199254740994\"", DL_QUERY_INTEGER},
    {"-9007199254740994", "\"-9007199254740994\"", DL_QUERY_INTEGER},
    {"1.25::DOUBLE", "1.25", DL_QUERY_NUMBER},
    {"1::DOUBLE", "1.0", DL_QUERY_NUMBER},
    {"'nan'::DOUBLE", "null", DL_QUERY_NUMBER},
    {"'-inf'::FLOAT", "null", DL_QUERY_NUMBER},
    {"1.10::DECIMAL(4,2)", "\"1.10\"", DL_QUERY_NUMBER},
    {"NULL::INT", "null", DL_QUERY_INTEGER},
    {"'a\"' || chr(10) || 'b'", "\"a\\\"\\nb\"", DL_QUERY_TEXT},
    {"DATE '2026-01-05'", "\"2026-01-05\"", DL_QUERY_DATE},
    {"TIME '08:00:00'", "\"08:00:00\"", DL_QUERY_TIME},
    {"TIMESTAMPTZ '2026-01-05 08:00:00+00'", "\"2026-01-05 08:00:00+00\"", DL_QUERY_TIMESTAMP},
    {"'\\xAA\\x00'::BLOB", "\"aa00\"", DL_QUERY_BINARY},
    {"('{\"a\":' || chr(10) || ' [1]}')::JSON", "{\"a\":  [1]}", DL_QUERY_NESTED},
    {"[1, NULL, 3]", "[1,null,3]", DL_QUERY_NESTED},
    {"[]::INT[]", "[]", DL_QUERY_NESTED},
    {"[[1], [], NULL, [2, 3]]", "[[1],[],null,[2,3]]", DL_QUERY_NESTED},
    {"array_value(1, 2)", "[1,2]", DL_QUERY_NESTED},
    {"{'a': 1, 'B b': {'c': ['x', 'y']}}", "{\"a\":1,\"B b\":{\"c\":[\"x\",\"y\"]}}", DL_QUERY_NESTED},
    {"row(1, 'x')", "[1,\"x\"]", DL_QUERY_NESTED},
    {"MAP {'k': [1], 'l': NULL}", "{\"k\":[1],\"l\":null}", DL_QUERY_NESTED},
    {"MAP {3: 'x'}", "{\"3\":\"x\"}", DL_QUERY_NESTED},
    {"MAP {}", "{}", DL_QUERY_NESTED},
    {"union_value(n := 5)", "5", DL_QUERY_NESTED},
    {"[union_value(s := 'x')]", "[\"x\"]", DL_QUERY_NESTED},
    {"NULL::STRUCT(a INT)", "null", DL_QUERY_NESTED},
    {"[{'a': 1.5::DOUBLE}, NULL]", "[{\"a\":1.5},null]", DL_QUERY_NESTED},
    {"INTERVAL 1 DAY", "\"1 day\"", DL_QUERY_OTHER},
    /* clang-format on */
};

TAP_CASE(values_as_json)
{
    begin();
    for (size_t i = 0; i < DL_COUNT_OF(jsons); i++) {
        char sql[512];
        TAP_ROW_BEGIN();
        /* in the second row, so that offsets count */
        (void)snprintf(sql, sizeof sql,
                       "SELECT v FROM (SELECT 1 AS n, %s AS v UNION ALL SELECT 2, %s) ORDER BY n",
                       jsons[i].sql, jsons[i].sql);
        dl_error err = {0};
        DL_AUTO(dl_query_result) result = NULL;
        size_t rows = 0;
        TAP_OK(dl_query_run(f.query, dl_str_of(sql), &result, NULL, &err), err);
        if (result != NULL) {
            TAP_OK(dl_query_next(result, &rows, &err), err);
        }
        if (rows == 2) {
            DL_AUTO_BUF json;
            dl_buf_init(&json, 1000);
            TAP_OK(dl_query_put_json(result, 0, 1, &json, &err), err);
            TAP_EQ_STR(dl_buf_str(&json), jsons[i].json);
            TAP_EQ_INT(dl_query_column_at(result, 0)->kind, jsons[i].kind);
            dl_buf small = {0}; /* no room at all: nothing is left behind */
            TAP_TRUE(dl_query_put_json(result, 0, 1, &small, &err) != DL_OK);
            TAP_EQ_INT(small.len, 0);
        } else {
            TAP_FAIL("%zu rows", rows);
        }
        TAP_ROW_END(jsons[i].sql);
    }
    TAP_ROW_BEGIN();
    end();
}

TAP_CASE(values_as_numbers)
{
    begin();
    static const struct {
        const char *sql;
        bool is;
        double want;
    } rows[] = {
        {"5", true, 5},
        {"1.25::DECIMAL(10,2)", true, 1.25},
        {"'5'", false, 0},
        {"NULL::INT", false, 0},
        {"DATE '1970-01-02'", true, 86400},
        {"true", false, 0},
        {"2.5::FLOAT", true, 2.5},
        {"TIMESTAMP '1970-01-01 00:00:01.5'", true, 1.5},
        {"TIMESTAMP_S '1970-01-01 00:01:00'", true, 60},
        {"TIME '00:01:00'", true, 60},
        {"'nan'::DOUBLE", false, 0},
        {"DATE 'infinity'", false, 0},
        {"[1]", false, 0},
        {"1::UHUGEINT", true, 1},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        char sql[256];
        TAP_ROW_BEGIN();
        (void)snprintf(sql, sizeof sql, "SELECT %s", rows[i].sql);
        dl_error err = {0};
        DL_AUTO(dl_query_result) result = NULL;
        size_t count = 0;
        double number = 77;
        TAP_OK(dl_query_run(f.query, dl_str_of(sql), &result, NULL, &err), err);
        TAP_OK(dl_query_next(result, &count, &err), err);
        TAP_TRUE(dl_query_number(result, 0, 0, &number) == rows[i].is);
        TAP_TRUE(number == (rows[i].is ? rows[i].want : 77));
        TAP_ROW_END(rows[i].sql);
    }
    TAP_ROW_BEGIN();
    end();
}

int main(void)
{
    TAP_RUN(values_are_spelled_as_the_engine_casts_them);
    TAP_RUN(many_values_are_spelled_as_the_engine_casts_them);
    TAP_RUN(values_as_json);
    TAP_RUN(values_as_numbers);
    return tap_done();
}
