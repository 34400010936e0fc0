/* Sessions: statements, limits, cancelling, what is hostile, streams, engines that break. */
#include "session_rig.h"

#include "base/sanitize.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TAP_CASE(statements_of_all_kinds)
{
    begin();
    ASK("SELECT 1, 'x'", "1,x");
    ASK("SELECT count(*) FROM a", "5000");
    ASK("select COUNT(*), min(ID) from A where id >= 4990;", "10,4990");
    ASK("SELECT a.id, lake.b.id FROM lake.a, lake.b WHERE a.id = b.id AND a.id < 2 ORDER BY 1",
        "0,0;1,1");
    ASK("WITH x AS (SELECT id FROM b) SELECT max(id) FROM x", "9");
    ASK("SHOW TABLES", "a,lake,NULL;b,lake,NULL");
    TAP_OK(ask_for("EXPLAIN SELECT count(*) FROM a"), f.err);
    TAP_TRUE(strstr(f.text, "physical_plan") != NULL);
    TAP_OK(ask_for("DESCRIBE lake.a"), f.err);
    TAP_TRUE(strstr(f.text, "id,BIGINT") != NULL);
    TAP_OK(ask_for("DESCRIBE SELECT id AS n FROM a"), f.err);
    TAP_TRUE(strstr(f.text, "n,BIGINT") != NULL);
    end();
}

/* ---- wrong statements ---- */

static const struct {
    const char *name, *sql;
    dl_status status;
    const char *message, *hint; /* what they hold */
    uint32_t line, column;      /* 0: nowhere */
} wrong[] = {
    /* clang-format off */
    {"empty", "", DL_E_INVALID, "no statement", "SHOW TABLES", 0, 0},
    {"a comment alone", " -- nothing\n", DL_E_INVALID, "no statement", "", 0, 0},
    {"a table that is not there", "SELECT *\nFROM aa", DL_E_INVALID, "no table aa", "did you mean a?", 2, 6},
    {"nothing like it", "SELECT * FROM patients", DL_E_INVALID, "no table patients", "there is a, b", 1, 15},
    {"another schema", "SELECT * FROM other.a", DL_E_INVALID, "no table other.a", "did you mean lake.a?", 1, 15},
    {"a column that is not there", "SELECT \xc3\xa9, idd FROM a", DL_E_INVALID, "not found", "", 1, 8},
    {"a column like another", "SELECT\n  '\xc3\xa9', idd FROM a", DL_E_INVALID, "\"idd\" not found", "did you mean id", 2, 8},
    {"syntax", "SELECT 1 FROM a WHERE", DL_E_INVALID, "syntax error at end", "", 1, 22},
    {"two statements", "SELECT 1; SELECT 2", DL_E_DENIED, "", "", 1, 11},
    {"a parameter", "SELECT $1", DL_E_UNSUPPORTED, "parameter", "", 0, 0},
    {"a conversion", "SELECT CAST(partitionName AS INT) FROM a", DL_E_INVALID, "converted to INT32", "try_cast", 1, 8},
    {"a table with a cause", "SELECT * FROM gone", DL_E_NOT_FOUND, "gone cannot be read: no lease", "", 1, 15},
    {"DESCRIBE of nothing", "DESCRIBE aa", DL_E_NOT_FOUND, "no table aa", "did you mean a?", 0, 0},
    {"nested too deep", NULL, DL_E_LIMIT, "nested too deep", "", 0, 0},
    /* clang-format on */
};

static char deep[60000];

TAP_CASE(wrong_statements_have_their_place_and_a_suggestion)
{
    begin();
    dl_query_table names[3] = {f.names[0], f.names[1]};
    names[2] = (dl_query_table){.name = DL_STR("gone"), .broken = DL_STR("no lease")};
    f.options.tables = names;
    f.options.table_count = 3;
    open_session();
    (void)snprintf(deep, sizeof deep, "SELECT ");
    memset(deep + 7, '(', 25000);
    deep[25007] = '1';
    memset(deep + 25008, ')', 25000);
    for (size_t i = 0; i < DL_COUNT_OF(wrong); i++) {
        TAP_ROW_BEGIN();
        TAP_STATUS(ask_for(wrong[i].sql == NULL ? deep : wrong[i].sql), wrong[i].status);
        if (strstr(f.err.message, wrong[i].message) == NULL ||
            strstr(f.err.hint, wrong[i].hint) == NULL) {
            TAP_FAIL("'%s' hint '%s'", f.err.message, f.err.hint);
        }
        if (wrong[i].sql != NULL) {
            TAP_EQ_INT(f.place.line, wrong[i].line);
            TAP_EQ_INT(f.place.column, wrong[i].column);
            TAP_TRUE((f.place.at == SIZE_MAX) == (wrong[i].line == 0));
        }
        TAP_ROW_END(wrong[i].name);
    }
    TAP_ROW_BEGIN();
    ASK("SELECT count(*) FROM a", "5000");
    end();
}

/* ---- limits ---- */

TAP_CASE(rows_end_at_their_limit)
{
    begin();
    f.options.limits.rows = 3000;
    open_session();
    TAP_OK(ask_for("SELECT id FROM a LIMIT 3000"), f.err);
    TAP_STATUS(ask_for("SELECT id FROM a LIMIT 3001"), DL_E_LIMIT);
    TAP_TRUE(strstr(f.err.message, "3000 rows") != NULL);
    size_t seen = 1;
    for (const char *c = f.text; *c != '\0'; c++) {
        seen += *c == ';';
    }
    TAP_EQ_INT(seen, 3000); /* what may be given was given */
    ASK("SELECT count(*) FROM a", "5000");
    f.options.limits.rows = 1;
    open_session();
    ASK("SELECT 1", "1");
    TAP_STATUS(ask_for("SELECT 1 UNION ALL SELECT 2"), DL_E_LIMIT);
    end();
}

static const char endless[] = "SELECT count(*) FROM range(100000000) x, range(100000000) y";

TAP_CASE(time_ends)
{
    begin();
    f.options.limits.time_ms = 2000;
    open_session();
    int64_t start = dl_clock_monotonic_us();
    TAP_STATUS(ask_for(endless), DL_E_LIMIT);
    TAP_TRUE(strstr(f.err.message, "2000 ms") != NULL);
    TAP_TRUE(dl_clock_monotonic_us() - start >= 2000000);
    ASK("SELECT count(*) FROM a", "5000");
    /* rows that come slowly count too */
    dl_error err = {0};
    DL_AUTO(dl_query_result) result = NULL;
    TAP_OK(dl_query_run(f.query, DL_STR("SELECT * FROM range(100000000)"), &result, NULL, &err),
           err);
    size_t rows = 0;
    TAP_OK(dl_query_next(result, &rows, &err), err);
    (void)usleep(2050000);
    dl_status status = DL_OK;
    while (status == DL_OK) {
        status = dl_query_next(result, &rows, &err);
    }
    TAP_STATUS(status, DL_E_LIMIT);
    rows = 77;
    TAP_STATUS(dl_query_next(result, &rows, &err), DL_E_LIMIT); /* and stays so */
    TAP_EQ_INT(rows, 77);
    dl_query_result_destroy(DL_STEAL(result));
    ASK("SELECT 1", "1");
    end();
}

TAP_CASE(memory_ends_and_temporary_files_go_further)
{
    static const char much[] = "SELECT max(n) FROM (SELECT md5(i::VARCHAR) AS m, i AS n FROM "
                               "range(1500000) t(i) ORDER BY m OFFSET 1)";
    begin();
    f.options.limits.memory_bytes = 64 << 20;
    open_session();
    TAP_STATUS(ask_for(much), DL_E_LIMIT);
    TAP_TRUE(strstr(f.err.message, "64 MiB of memory") != NULL);
    TAP_TRUE(f.err.hint[0] != '\0');
    ASK("SELECT count(*) FROM a", "5000");
    char temp[400];
    (void)snprintf(temp, sizeof temp, "%s/temp", f.tables.folder);
    f.options.temp_folder = temp;
    f.options.limits.temp_bytes = 1 << 30;
    open_session();
    TAP_OK(ask_for(much), f.err);
    f.options.limits.temp_bytes = 8 << 20;
    open_session();
    TAP_STATUS(ask_for(much), DL_E_LIMIT);
    ASK("SELECT count(*) FROM a", "5000");
    end();
}

static dl_cancel cancel;
static atomic_bool cancelled;

/* Until it has ended: a stop before the statement has begun is for none. */
static void *ask_to_cancel(void *context)
{
    do {
        (void)usleep(100000);
        if (context == NULL) {
            dl_cancel_ask(&cancel);
        } else {
            dl_query_stop(context);
        }
    } while (!atomic_load(&cancelled));
    return NULL;
}

static void expect_cancel(void *context)
{
    pthread_t thread;
    atomic_store(&cancelled, false);
    TAP_EQ_INT(pthread_create(&thread, NULL, ask_to_cancel, context), 0);
    TAP_STATUS(ask_for(endless), DL_E_CANCELED);
    atomic_store(&cancelled, true);
    TAP_EQ_INT(pthread_join(thread, NULL), 0);
}

TAP_CASE(cancel_ends_a_statement)
{
    begin();
    f.options.cancel = &cancel;
    open_session();
    expect_cancel(f.query);
    ASK("SELECT count(*) FROM a", "5000"); /* a stop is for one statement */
    dl_query_stop(f.query);                /* and for none when none runs */
    ASK("SELECT 1", "1");
    expect_cancel(NULL);
    TAP_STATUS(ask_for("SELECT 1"), DL_E_CANCELED); /* still asked */
    cancel = (dl_cancel){0};
    ASK("SELECT 1", "1");
    end();
}

static bool stops_at_start;

/* The last step of an engine that starts (meson.build wraps the call). */
dl_status __real_dl_engine_close_off(dl_engine *engine, const dl_str *folders, size_t count,
                                     dl_error *err);
dl_status __wrap_dl_engine_close_off(dl_engine *engine, const dl_str *folders, size_t count,
                                     dl_error *err);

dl_status __wrap_dl_engine_close_off(dl_engine *engine, const dl_str *folders, size_t count,
                                     dl_error *err)
{
    if (stops_at_start) {
        dl_query_stop(f.query);
    }
    return __real_dl_engine_close_off(engine, folders, count, err);
}

TAP_CASE(a_stop_while_the_engine_starts)
{
    begin();
    f.options.limits.time_ms = 60000; /* a lost stop: DL_E_LIMIT */
    open_session();
    stops_at_start = true;
    TAP_STATUS(ask_for(endless), DL_E_CANCELED);
    stops_at_start = false;
    ASK("SELECT count(*) FROM a", "5000");
    end();
}

static atomic_int stuck_calls;

static void stuck(void *context)
{
    (void)context;
    atomic_fetch_add(&stuck_calls, 1);
}

TAP_CASE(a_statement_that_does_not_stop_is_told_once)
{
    begin();
    f.options.stuck = stuck;
    f.options.limits.time_ms = 100;
    open_session();
    TAP_STATUS(ask_for(endless), DL_E_LIMIT);
    atomic_store(&stuck_calls, 0); /* on a busy machine even that may not stop at once */
    /* one call of a function on two long texts */
    TAP_STATUS(ask_for("SELECT levenshtein(repeat('ab', 10000), repeat('cd', 10000))"), DL_E_LIMIT);
    TAP_EQ_INT(atomic_load(&stuck_calls), 1);
    f.options.limits.time_ms = 0;
    open_session();
    ASK("SELECT 1", "1");
    end();
}

/* ---- hostile statements ---- */

static const struct {
    const char *sql;
    dl_status status;
} hostile[] = {
    /* clang-format off */
    {"COPY (SELECT 1) TO '/tmp/dicomlake-session.csv'", DL_E_DENIED},
    {"ATTACH '/tmp/dicomlake-session.duckdb' AS x", DL_E_DENIED},
    {"SET threads = 1", DL_E_DENIED},
    {"CREATE TABLE t AS SELECT 1", DL_E_DENIED},
    {"DROP VIEW a", DL_E_DENIED},
    {"CALL pragma_version()", DL_E_DENIED},
    {"SELECT * FROM read_text('/etc/passwd')", DL_E_DENIED},
    {"SELECT * FROM query('SELECT 1')", DL_E_DENIED},
    {"SELECT getenv('HOME')", DL_E_DENIED},
    {"SELECT * FROM '/etc/passwd'", DL_E_INVALID},
    {"SELECT * FROM information_schema.tables", DL_E_INVALID},
    {"SELECT 1; DROP VIEW a", DL_E_DENIED},
    {"SELECT list(repeat('x', 1000000)) FROM range(10000)", DL_E_LIMIT},
    {"SELECT count(DISTINCT md5(i::VARCHAR)) FROM range(5000000) t(i)", DL_E_LIMIT},
    {"WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t", DL_E_LIMIT},
    /* clang-format on */
};

TAP_CASE(after_each_hostile_statement_the_session_answers)
{
    begin();
    f.options.limits.memory_bytes = 64 << 20;
    f.options.limits.time_ms = 3000;
    open_session();
    for (size_t i = 0; i < DL_COUNT_OF(hostile); i++) {
        dl_status status = ask_for(hostile[i].sql);
        if (status != hostile[i].status || f.err.message[0] == '\0') {
            TAP_FAIL("%s: %s: %s", hostile[i].sql, dl_status_name(status), f.err.message);
        }
        ASK("SELECT count(*) FROM a WHERE id < 7", "7");
    }
    TAP_TRUE(access("/tmp/dicomlake-session.csv", F_OK) != 0);
    end();
}

/* What is run is looked at once more when it is prepared, by its kind. */
TAP_CASE(a_statement_of_another_kind_is_not_run)
{
    begin();
    const struct {
        dl_session_wrap wrap;
        const char *sql;
    } rows[] = {
        {{.before = DL_STR("CREATE TABLE t AS "), .type = DUCKDB_STATEMENT_TYPE_SELECT},
         "SELECT 1"},
        {{.before = DL_STR("EXPLAIN "), .type = DUCKDB_STATEMENT_TYPE_SELECT}, "SELECT 1"},
        {{.after = DL_STR("; DROP VIEW x"), .type = DUCKDB_STATEMENT_TYPE_SELECT}, "SELECT 1"},
        {{.type = DUCKDB_STATEMENT_TYPE_COPY}, "SELECT 1"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_error err = {0};
        dl_query_result *result = NULL;
        TAP_STATUS(
            dl_session_run(f.query, dl_str_of(rows[i].sql), &rows[i].wrap, &result, NULL, &err),
            DL_E_DENIED);
        TAP_TRUE(result == NULL);
    }
    TAP_STATUS(ask_for("SELECT * FROM t"), DL_E_INVALID);
    end();
}

/* ---- streams ---- */

TAP_CASE(a_result_of_gigabytes_takes_no_memory)
{
    begin();
    f.options.limits.memory_bytes = 128 << 20;
    open_session();
    struct rusage before, after;
    TAP_OK(ask_for("SELECT count(*) FROM a"), f.err);
    TAP_EQ_INT(getrusage(RUSAGE_SELF, &before), 0);
    dl_error err = {0};
    DL_AUTO(dl_query_result) result = NULL;
    TAP_OK(dl_query_run(f.query,
                        DL_STR("SELECT repeat('x', 1000) || i AS t FROM range(1000000) r(i)"),
                        &result, NULL, &err),
           err);
    size_t rows = 0;
    uint64_t bytes = 0;
    do {
        TAP_OK(dl_query_next(result, &rows, &err), err);
        for (size_t i = 0; i < rows; i += 100) {
            DL_AUTO_BUF text;
            dl_buf_init(&text, 2000);
            TAP_OK(dl_query_put_text(result, 0, i, &text, &err), err);
            bytes += text.len;
        }
    } while (rows > 0);
    TAP_TRUE(bytes > 9000000);
    TAP_EQ_INT(getrusage(RUSAGE_SELF, &after), 0);
#if !DL_SANITIZE_SHADOW /* whose own memory counts, and what it keeps of what was freed */
    long grown = after.ru_maxrss - before.ru_maxrss; /* KiB */
    if (grown > 200000) {
        TAP_FAIL("%ld KiB for %llu bytes", grown, (unsigned long long)bytes);
    }
#endif
    dl_query_result_destroy(DL_STEAL(result));
    end();
}

TAP_CASE(a_result_that_nobody_reads_to_its_end)
{
    begin();
    for (int i = 0; i < 3; i++) {
        dl_error err = {0};
        dl_query_result *result = NULL;
        TAP_OK(
            dl_query_run(f.query, DL_STR("SELECT * FROM a, range(1000000)"), &result, NULL, &err),
            err);
        size_t rows = 0;
        if (i > 0) {
            TAP_OK(dl_query_next(result, &rows, &err), err);
        }
        dl_query_result *second = NULL;
        TAP_STATUS(dl_query_run(f.query, DL_STR("SELECT 1"), &second, NULL, &err), DL_E_CONFLICT);
        TAP_TRUE(second == NULL);
        dl_query_result_destroy(result);
    }
    ASK("SELECT count(*) FROM a", "5000");
    end();
}

/* ---- files that go, engines that break ---- */

static void remove_data_files(const char *folder)
{
    char command[400];
    (void)snprintf(command, sizeof command, "find '%s' -name '*.parquet' -delete", folder);
    DL_ASSERT((system)(command) == 0);
}

TAP_CASE(files_that_were_vacuumed_are_told)
{
    begin();
    ASK("SELECT count(*) FROM b WHERE id >= 0", "10");
    remove_data_files(f.folders[1]);
    TAP_STATUS(ask_for("SELECT sum(id) FROM b"), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(f.err.message, "vacuumed") != NULL);
    TAP_TRUE(strstr(f.err.message, f.folders[1]) == NULL);
    ASK("SELECT count(*) FROM a", "5000");
    end();
}

TAP_CASE(an_engine_that_broke_is_put_away)
{
    begin();
    ASK("SELECT count(*) FROM a WHERE id < 10", "10");
    f.query->engine.broken = true;
    ASK("SELECT count(*) FROM a WHERE id < 10", "10");
    TAP_TRUE(!f.query->engine.broken);
    TAP_STATUS(ask_for("SELECT * FROM read_text('/etc/passwd')"), DL_E_DENIED);
    end();
}

/* ---- what a session is opened with ---- */

static void expect_open(const dl_query_table *names, size_t count, dl_status want)
{
    dl_error err = {0};
    dl_query *query = (dl_query *)&f;
    dl_query_options options = {.tables = names, .table_count = count, .clock = dl_clock_system()};
    TAP_STATUS(dl_query_open(&options, &query, &err), want);
    TAP_TRUE((query == (dl_query *)&f) == (want != DL_OK));
    if (want == DL_OK) {
        dl_query_close(query);
    } else {
        TAP_TRUE(err.message[0] != '\0');
    }
}

TAP_CASE(wrong_options_are_refused)
{
    static dl_query_table many[DL_QUERY_TABLE_LIMIT + 1];
    static char names[DL_QUERY_TABLE_LIMIT + 1][8], longest[DL_QUERY_NAME_LIMIT + 1];
    for (size_t i = 0; i <= DL_QUERY_TABLE_LIMIT; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%zu", i);
        many[i] = (dl_query_table){.name = dl_str_of(names[i]), .folder = DL_STR("/nowhere")};
    }
    expect_open(many, 0, DL_OK);
    expect_open(many, DL_QUERY_TABLE_LIMIT, DL_OK);
    expect_open(many, DL_QUERY_TABLE_LIMIT + 1, DL_E_LIMIT);
    many[1].name = DL_STR("T0");
    expect_open(many, 2, DL_E_INVALID);
    many[1].name = DL_STR("");
    expect_open(many, 2, DL_E_INVALID);
    memset(longest, 'n', sizeof longest);
    many[1].name = (dl_str){longest, DL_QUERY_NAME_LIMIT};
    expect_open(many, 2, DL_OK);
    many[1].name.len++;
    expect_open(many, 2, DL_E_INVALID);
    many[1].name = DL_STR("\xff");
    expect_open(many, 2, DL_E_INVALID);
    many[1].name = DL_STR("x");
    many[1].folder = DL_STR("here");
    expect_open(many, 2, DL_E_INVALID);
}

TAP_CASE(statements_have_a_length)
{
    begin();
    static char text[DL_QUERY_STATEMENT_LIMIT_BYTES + 2];
    memset(text, ' ', sizeof text - 1);
    memcpy(text, "SELECT 1", 8);
    text[DL_QUERY_STATEMENT_LIMIT_BYTES] = '\0';
    ASK(text, "1");
    text[DL_QUERY_STATEMENT_LIMIT_BYTES] = ' ';
    TAP_STATUS(ask_for(text), DL_E_LIMIT);
    dl_query_result *result = NULL;
    dl_error err = {0};
    dl_query_place place = {0};
    TAP_STATUS(dl_query_run(f.query, DL_STR("SELECT '\0'"), &result, &place, &err), DL_E_INVALID);
    TAP_EQ_INT(place.at, 8);
    TAP_STATUS(dl_query_run(f.query, DL_STR("SELECT '\xff'"), &result, &place, &err), DL_E_INVALID);
    TAP_TRUE(result == NULL);
    end();
}

int main(void)
{
    TAP_RUN(statements_of_all_kinds);
    TAP_RUN(wrong_statements_have_their_place_and_a_suggestion);
    TAP_RUN(rows_end_at_their_limit);
    TAP_RUN(time_ends);
    TAP_RUN(memory_ends_and_temporary_files_go_further);
    TAP_RUN(cancel_ends_a_statement);
    TAP_RUN(a_stop_while_the_engine_starts);
    TAP_RUN(a_statement_that_does_not_stop_is_told_once);
    TAP_RUN(after_each_hostile_statement_the_session_answers);
    TAP_RUN(a_statement_of_another_kind_is_not_run);
    TAP_RUN(a_result_of_gigabytes_takes_no_memory);
    TAP_RUN(a_result_that_nobody_reads_to_its_end);
    TAP_RUN(files_that_were_vacuumed_are_told);
    TAP_RUN(an_engine_that_broke_is_put_away);
    TAP_RUN(wrong_options_are_refused);
    TAP_RUN(statements_have_a_length);
    return tap_done();
}
