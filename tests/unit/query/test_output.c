#include "query/output.h"

#include "base/file.h"
#include "base/mem.h"

#include "tap.h"

#include <signal.h>

#define TEXT_LIMIT_BYTES ((size_t)64 << 20)

/* A session without tables: rows come out of the statements themselves. */
static dl_query *open_query(uint64_t rows)
{
    const dl_query_options options = {.limits = {.threads = 2, .rows = rows},
                                      .clock = dl_clock_system()};
    dl_error err = {0};
    dl_query *query = NULL;
    TAP_OK(dl_query_open(&options, &query, &err), err);
    return query;
}

typedef struct collected {
    dl_buf text;
    size_t calls;
    size_t fail_at; /* the call that fails; 0: none */
} collected;

static dl_status collect(void *context, dl_str bytes, dl_error *err)
{
    collected *c = context;
    c->calls++;
    if (c->calls == c->fail_at) {
        return dl_error_set(err, DL_E_IO, "the sink is full");
    }
    return dl_buf_append_str(&c->text, bytes, err);
}

static dl_status write_all(dl_query *query, const char *statement, const dl_query_output *output,
                           collected *c, int64_t *rows, dl_error *err)
{
    DL_AUTO(dl_query_result) result = NULL;
    const dl_query_sink sink = {.write = collect, .context = c};
    if (c->text.limit_bytes == 0) {
        dl_buf_init(&c->text, TEXT_LIMIT_BYTES);
    }
    DL_TRY(dl_query_run(query, dl_str_of(statement), &result, NULL, err));
    return dl_query_write(result, output, &sink, rows, err);
}

/* ---- texts ---- */

#define HOSTILE "chr(27) || '[31m' || chr(8238) || '<b>|' || chr(10) || '_*'"

static const struct {
    const char *name, *statement;
    dl_query_output output;
    const char *want;
} cases[] = {
    /* clang-format off */
    {"csv: what needs quotes", "SELECT 'a' AS a, 'x,y' AS b, 'q\"q' AS c, 'l' || chr(10) || 'm' AS d, chr(13) AS e, ' s' AS f",
     {.format = DL_QUERY_CSV}, "a,b,c,d,e,f\na,\"x,y\",\"q\"\"q\",\"l\nm\",\"\r\",\" s\"\n"},
    {"csv: NULL is empty, empty text is not", "SELECT NULL AS a, '' AS b, 0 AS c, NULL AS d",
     {.format = DL_QUERY_CSV}, "a,b,c,d\n,\"\",0,\n"},
    {"csv: without header", "SELECT 1 AS a UNION ALL SELECT 2 ORDER BY 1",
     {.format = DL_QUERY_CSV, .no_header = true}, "1\n2\n"},
    {"csv: nested values are JSON", "SELECT [1, NULL] AS l, {'a': 'x\"'} AS s",
     {.format = DL_QUERY_CSV}, "l,s\n\"[1,null]\",\"{\"\"a\"\":\"\"x\\\"\"\"\"}\"\n"},
    {"csv: no rows", "SELECT 1 AS \"a,b\" WHERE false", {.format = DL_QUERY_CSV}, "\"a,b\"\n"},
    {"csv: numbers, dates, times", "SELECT 1e300 AS a, -0.5::DECIMAL(4,2) AS b, DATE '1899-12-31' AS c, TIMESTAMPTZ '2026-01-01 00:00:00+02' AS d, 'NaN'::DOUBLE AS e",
     {.format = DL_QUERY_CSV}, "a,b,c,d,e\n1e+300,-0.50,1899-12-31,2025-12-31 22:00:00+00,nan\n"},
    {"json: none", "SELECT 1 AS a WHERE false", {.format = DL_QUERY_JSON}, "[]\n"},
    {"json: rows", "SELECT range AS a FROM range(2)", {.format = DL_QUERY_JSON}, "[\n{\"a\":0},\n{\"a\":1}\n]\n"},
    {"json: names once", "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS \"A\"", {.format = DL_QUERY_JSON},
     "[\n{\"a\":1,\"a_1\":2,\"a_1_1\":3,\"A\":4}\n]\n"},
    {"json: kinds", "SELECT NULL AS a, true AS b, 9007199254740993 AS c, 1.5::DOUBLE AS d, 'NaN'::DOUBLE AS e, [1,2] AS f",
     {.format = DL_QUERY_JSON}, "[\n{\"a\":null,\"b\":true,\"c\":\"9007199254740993\",\"d\":1.5,\"e\":null,\"f\":[1,2]}\n]\n"},
    {"json: the largest integers that all readers keep", "SELECT 9007199254740991 AS a, -9007199254740991 AS b, 9007199254740992 AS c",
     {.format = DL_QUERY_JSON}, "[\n{\"a\":9007199254740991,\"b\":-9007199254740991,\"c\":\"9007199254740992\"}\n]\n"},
    {"jsonl: rows", "SELECT range AS a, 'x\"' AS \"b\"\"\" FROM range(2)", {.format = DL_QUERY_JSONL},
     "{\"a\":0,\"b\\\"\":\"x\\\"\"}\n{\"a\":1,\"b\\\"\":\"x\\\"\"}\n"},
    {"jsonl: none", "SELECT 1 AS a WHERE false", {.format = DL_QUERY_JSONL}, ""},
    {"table: numbers to the right", "SELECT 'x' AS text, 12 AS n UNION ALL SELECT NULL, 1234567 ORDER BY 2", {.format = DL_QUERY_TABLE},
     "text        n\n────  ───────\nx          12\nNULL  1234567\n(2 rows)\n"},
    {"table: another NULL", "SELECT NULL AS a", {.format = DL_QUERY_TABLE, .null_text = "-"}, "a\n─\n-\n(1 row)\n"},
    {"table: no rows", "SELECT 1 AS a WHERE false", {.format = DL_QUERY_TABLE}, "a\n─\n(0 rows)\n"},
    {"table: wide characters", "SELECT '\xe6\x97\xa5\xe6\x9c\xac' AS a, 'x' AS b", {.format = DL_QUERY_TABLE},
     "a     b\n────  ─\n\xe6\x97\xa5\xe6\x9c\xac  x\n(1 row)\n"},
    {"table: hostile text", "SELECT " HOSTILE " AS a", {.format = DL_QUERY_TABLE},
     "a\n─────────────\n\xe2\x90\x9b[31m\xef\xbf\xbd<b>|\xe2\x90\x8a_*\n(1 row)\n"},
    {"table: rows that are not shown", "SELECT range AS a FROM range(5)", {.format = DL_QUERY_TABLE, .shown_rows = 2},
     "a\n─\n0\n1\n(5 rows, 2 shown)\n"},
    {"table: cells at the bound and beyond", "SELECT repeat('x', 64) AS a UNION ALL SELECT repeat('y', 65) ORDER BY 1", {.format = DL_QUERY_TABLE},
     "a\n────────────────────────────────────────────────────────────────\n"
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n"
     "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\xe2\x80\xa6\n(2 rows)\n"},
    {"table: texts are shortened to the line, numbers never", "SELECT 'abcdefghijklmnop' AS a, 123456789012 AS b", {.format = DL_QUERY_TABLE, .width = 24},
     "a                      b\n──────────  ────────────\nabcdefghi\xe2\x80\xa6  123456789012\n(1 row)\n"},
    {"table: columns that do not fit", "SELECT 1111111111 AS a, 2222222222 AS b, 3 AS c", {.format = DL_QUERY_TABLE, .width = 22},
     "         a           b\n──────────  ──────────\n1111111111  2222222222\n(1 row; 3 columns, 2 shown)\n"},
    {"markdown: what could be markup", "SELECT 'a|b' AS \"n|1\", '<i>' AS b, 'x*y' AS c, '_a b_c' AS d, 'l' || chr(10) || 'm' AS e, 5 AS f, NULL AS g", {.format = DL_QUERY_MARKDOWN},
     "| n\\|1 | b | c | d | e | f | g |\n| --- | --- | --- | --- | --- | --: | --: |\n"
     "| a\\|b | &lt;i&gt; | x\\*y | \\_a b_c | l<br>m | 5 | *NULL* |\n"},
    {"markdown: rows that are not shown", "SELECT range AS a FROM range(3)", {.format = DL_QUERY_MARKDOWN, .shown_rows = 1},
     "| a |\n| --: |\n| 0 |\n\n3 rows, 1 shown\n"},
    {"html: what could be markup", "SELECT '<script>&\"''' AS \"<b>\", NULL AS n, 1 AS i", {.format = DL_QUERY_HTML},
     "<div class=\"dicomlake\">\n<table>\n<thead>\n<tr><th style=\"text-align:left\">&lt;b&gt;</th><th style=\"text-align:right\">n</th><th style=\"text-align:right\">i</th></tr>\n</thead>\n<tbody>\n"
     "<tr><td style=\"text-align:left\">&lt;script&gt;&amp;&quot;&#39;</td><td class=\"null\"><i>NULL</i></td><td style=\"text-align:right\">1</td></tr>\n"
     "</tbody>\n</table>\n<p>1 row</p>\n</div>\n"},
    /* clang-format on */
};

static void run_cases(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        DL_AUTO_QUERY query = open_query(0);
        collected c = {0};
        int64_t rows = -1;
        TAP_OK(write_all(query, cases[i].statement, &cases[i].output, &c, &rows, &err), err);
        TAP_EQ_STR(dl_buf_str(&c.text), cases[i].want);
        TAP_TRUE(rows >= 0);
        dl_buf_clear(&c.text);
        TAP_ROW_END(cases[i].name);
    }
}

/* ---- names of formats ---- */

TAP_CASE(formats_have_names)
{
    for (int i = 0; i < DL_QUERY_FORMATS; i++) {
        dl_query_format format = DL_QUERY_TABLE;
        dl_error err = {0};
        const char *name = dl_query_format_name((dl_query_format)i);
        TAP_OK(dl_query_format_of(name, &format, &err), err);
        TAP_EQ_INT(format, i);
        TAP_TRUE(strchr(dl_query_format_type(format), '/') != NULL);
    }
    TAP_TRUE(dl_query_format_name((dl_query_format)DL_QUERY_FORMATS) == NULL);
    TAP_TRUE(dl_query_format_type((dl_query_format)DL_QUERY_FORMATS) == NULL);
}

TAP_CASE(unknown_formats_are_named)
{
    dl_error err = {0};
    dl_query_format format = DL_QUERY_HTML;
    TAP_STATUS(dl_query_format_of("xlsx", &format, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "xlsx") != NULL && strstr(err.hint, "parquet") != NULL);
    TAP_EQ_INT(format, DL_QUERY_HTML);
}

/* ---- many rows ---- */

static size_t count_lines(dl_str text)
{
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n';
    }
    return lines;
}

TAP_CASE(rows_reach_the_sink_in_pieces)
{
    dl_error err = {0};
    DL_AUTO_QUERY query = open_query(0);
    collected c = {0};
    int64_t rows = 0;
    const dl_query_output output = {.format = DL_QUERY_CSV};
    TAP_OK(write_all(query, "SELECT range AS a, repeat('x', 100) AS b FROM range(50000)", &output,
                     &c, &rows, &err),
           err);
    TAP_EQ_INT(rows, 50000);
    TAP_EQ_INT(count_lines(dl_buf_str(&c.text)), 50001);
    TAP_TRUE(c.calls > 10);
    dl_buf_clear(&c.text);
}

TAP_CASE(a_sink_that_fails_ends_it)
{
    for (int format = 0; format < DL_QUERY_FORMATS; format++) {
        dl_error err = {0};
        DL_AUTO_QUERY query = open_query(0);
        collected c = {.fail_at = 1};
        int64_t rows = -7;
        const dl_query_output output = {.format = (dl_query_format)format, .shown_rows = 20000};
        const char *statement = "SELECT range AS a, repeat('x', 100) AS b FROM range(200000)";
        TAP_STATUS(write_all(query, statement, &output, &c, &rows, &err), DL_E_IO);
        TAP_TRUE(strstr(err.message, "the sink is full") != NULL);
        TAP_EQ_INT(rows, -7);
        dl_buf_clear(&c.text);
    }
}

TAP_CASE(limits_hold_in_all_formats)
{
    for (int format = 0; format < DL_QUERY_FORMATS; format++) {
        dl_error err = {0};
        DL_AUTO_QUERY query = open_query(100);
        collected c = {0};
        int64_t rows = -7;
        const dl_query_output output = {.format = (dl_query_format)format};
        TAP_OK(write_all(query, "SELECT range AS a FROM range(100)", &output, &c, &rows, &err),
               err);
        TAP_EQ_INT(rows, 100);
        rows = -7;
        TAP_STATUS(write_all(query, "SELECT range AS a FROM range(101)", &output, &c, &rows, &err),
                   DL_E_LIMIT);
        TAP_EQ_INT(rows, -7);
        dl_buf_clear(&c.text);
    }
}

TAP_CASE(a_failure_in_the_middle_is_told)
{
    for (int format = 0; format < DL_QUERY_FORMATS; format++) {
        dl_error err = {0};
        DL_AUTO_QUERY query = open_query(0);
        collected c = {0};
        int64_t rows = -7;
        const dl_query_output output = {.format = (dl_query_format)format};
        const char *statement = "SELECT CASE WHEN range = 9000 THEN 'x' ELSE '1' END::INT AS a "
                                "FROM range(10000)";
        dl_status status = write_all(query, statement, &output, &c, &rows, &err);
        TAP_TRUE(status != DL_OK);
        TAP_TRUE(err.message[0] != '\0');
        TAP_EQ_INT(rows, -7);
        dl_buf_clear(&c.text);
    }
}

/* ---- binary formats: the readers of others judge them in tests/conformance/query ---- */

TAP_CASE(arrow_begins_and_ends_as_a_stream)
{
    dl_error err = {0};
    DL_AUTO_QUERY query = open_query(0);
    collected c = {0};
    int64_t rows = 0;
    const dl_query_output output = {.format = DL_QUERY_ARROW};
    TAP_OK(write_all(query, "SELECT range AS a FROM range(3)", &output, &c, &rows, &err), err);
    TAP_TRUE(c.text.len % 8 == 0);
    TAP_TRUE(memcmp(c.text.ptr, "\xff\xff\xff\xff", 4) == 0);
    TAP_TRUE(memcmp(c.text.ptr + c.text.len - 8, "\xff\xff\xff\xff\0\0\0\0", 8) == 0);
    dl_buf_clear(&c.text);
}

TAP_CASE(arrow_names_a_type_that_it_lacks)
{
    dl_error err = {0};
    DL_AUTO_QUERY query = open_query(0);
    collected c = {0};
    int64_t rows = 0;
    const dl_query_output output = {.format = DL_QUERY_ARROW};
    TAP_STATUS(write_all(query, "SELECT union_value(n := 1) AS either", &output, &c, &rows, &err),
               DL_E_UNSUPPORTED);
    TAP_TRUE(strstr(err.message, "either") != NULL && strstr(err.hint, "::VARCHAR") != NULL);
    dl_buf_clear(&c.text);
}

TAP_CASE(parquet_begins_and_ends_as_a_file)
{
    dl_error err = {0};
    DL_AUTO_QUERY query = open_query(0);
    collected c = {0};
    int64_t rows = 0;
    const dl_query_output output = {.format = DL_QUERY_PARQUET};
    TAP_OK(write_all(query, "SELECT range AS a, range AS \"A\" FROM range(70000)", &output, &c,
                     &rows, &err),
           err);
    TAP_EQ_INT(rows, 70000);
    TAP_TRUE(c.text.len > 8 && memcmp(c.text.ptr, "PAR1", 4) == 0);
    TAP_TRUE(c.text.len > 8 && memcmp(c.text.ptr + c.text.len - 4, "PAR1", 4) == 0);
    /* the session goes on as if nothing had been */
    TAP_OK(write_all(query, "SELECT 1 AS a", &output, &c, &rows, &err), err);
    TAP_EQ_INT(rows, 1);
    dl_buf_clear(&c.text);
}

/* ---- without memory ---- */

TAP_CASE(every_allocation_may_fail)
{
    static const dl_query_format tried[] = {DL_QUERY_TABLE, DL_QUERY_CSV,      DL_QUERY_JSON,
                                            DL_QUERY_HTML,  DL_QUERY_MARKDOWN, DL_QUERY_ARROW};
    for (size_t k = 0; k < DL_COUNT_OF(tried); k++) {
        const dl_query_output output = {.format = tried[k]};
        const dl_query_sink sink_of = {.write = collect};
        dl_error err = {0};
        DL_AUTO_QUERY query = open_query(0);
        dl_status status = DL_E_NOMEM;
        for (int64_t n = 0; status != DL_OK && n < 200; n++) {
            DL_AUTO(dl_query_result) result = NULL;
            collected c = {0};
            dl_buf_init(&c.text, TEXT_LIMIT_BYTES);
            dl_query_sink sink = sink_of;
            sink.context = &c;
            int64_t rows = -7;
            TAP_OK(dl_query_run(query, DL_STR("SELECT 'x' AS a, 1 AS a, [1] AS c"), &result, NULL,
                                &err),
                   err);
            dl_mem_fail_after(n);
            status = dl_query_write(result, &output, &sink, &rows, &err);
            dl_mem_fail_after(-1);
            TAP_TRUE(status == DL_OK || rows == -7);
            TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
            dl_buf_clear(&c.text);
        }
        TAP_EQ_INT(status, DL_OK);
    }
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    run_cases();
    TAP_RUN(formats_have_names);
    TAP_RUN(unknown_formats_are_named);
    TAP_RUN(rows_reach_the_sink_in_pieces);
    TAP_RUN(a_sink_that_fails_ends_it);
    TAP_RUN(limits_hold_in_all_formats);
    TAP_RUN(a_failure_in_the_middle_is_told);
    TAP_RUN(arrow_begins_and_ends_as_a_stream);
    TAP_RUN(arrow_names_a_type_that_it_lacks);
    TAP_RUN(parquet_begins_and_ends_as_a_file);
    TAP_RUN(every_allocation_may_fail);
    return tap_done();
}
