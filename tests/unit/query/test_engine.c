#include "query/session.h"

#include "base/file.h"
#include "base/mem.h"

#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dl_engine engine;
static char folder[64];

static void open_engine(dl_query_options *options)
{
    engine = (dl_engine){0};
    dl_error err = {0};
    TAP_OK(dl_engine_start(&engine, options, &err), err);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    dl_error err = {0};
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    TAP_OK(dl_file_replace(path, dl_str_of(text), &err), err);
}

/* The status of a statement that is run as it is, past everything that would look at it before. */
static dl_status run(const char *sql, dl_error *err)
{
    *err = (dl_error){0};
    return dl_engine_exec(&engine, dl_str_of(sql), err);
}

/* ---- what the engine refuses by itself ---- */

static const struct {
    const char *name, *sql; /* @: the folder that may be read */
} hostile[] = {
    /* clang-format off */
    {"COPY TO a file", "COPY (SELECT 1) TO '@/../outside.csv'"},
    {"COPY TO the terminal", "COPY (SELECT 1) TO '/dev/stdout'"},
    {"COPY FROM a file", "CREATE TABLE t (a VARCHAR); COPY t FROM '/etc/passwd'"},
    {"ATTACH a file", "ATTACH '/tmp/x.duckdb' AS x"},
    {"ATTACH by a type", "ATTACH '/tmp/x.sqlite' AS x (TYPE sqlite)"},
    {"INSTALL", "INSTALL httpfs"},
    {"LOAD by name", "LOAD httpfs"},
    {"LOAD by path", "LOAD '/tmp/x.duckdb_extension'"},
    {"FORCE INSTALL FROM", "FORCE INSTALL httpfs FROM 'http://localhost:1'"},
    {"SET memory_limit", "SET memory_limit = '100GB'"},
    {"SET enable_external_access", "SET enable_external_access = true"},
    {"SET allowed_directories", "SET allowed_directories = ['/']"},
    {"SET lock_configuration", "SET lock_configuration = false"},
    {"SET SESSION", "SET SESSION threads = 64"},
    {"RESET", "RESET memory_limit"},
    {"PRAGMA that sets", "PRAGMA temp_directory = '/tmp'"},
    {"PRAGMA memory_limit", "PRAGMA memory_limit = '100GB'"},
    {"EXPORT DATABASE", "EXPORT DATABASE '/tmp/dicomlake-export'"},
    {"IMPORT DATABASE", "IMPORT DATABASE '/tmp/dicomlake-export'"},
    {"read_text", "SELECT * FROM read_text('/etc/passwd')"},
    {"read_blob", "SELECT * FROM read_blob('/etc/passwd')"},
    {"read_csv", "SELECT * FROM read_csv('/etc/passwd')"},
    {"read_json", "SELECT * FROM read_json('/etc/passwd')"},
    {"read_parquet", "SELECT * FROM read_parquet('/tmp/x.parquet')"},
    {"read_parquet, remote", "SELECT * FROM read_parquet('http://localhost:1/x.parquet')"},
    {"read_parquet, s3", "SELECT * FROM read_parquet('s3://a/x.parquet')"},
    {"glob", "SELECT * FROM glob('/*')"},
    {"a file for a table", "SELECT * FROM '/etc/passwd.csv'"},
    {"parquet_metadata", "SELECT * FROM parquet_metadata('/tmp/x.parquet')"},
    {"sniff_csv", "SELECT * FROM sniff_csv('/etc/passwd')"},
    {"up and out", "SELECT * FROM read_text('@/../../etc/passwd')"},
    {"up in the middle", "SELECT * FROM read_text('@/sub/../../../etc/passwd')"},
    {"a link that leads out", "SELECT * FROM read_text('@/link.txt')"},
    {"below a link that leads out", "SELECT * FROM read_text('@/out/passwd')"},
    {"a folder with the same beginning", "SELECT * FROM read_text('@-not/a.txt')"},
    /* clang-format on */
};

TAP_CASE(what_slips_through_is_refused_by_the_engine)
{
    dl_query_options options = {.limits = {.threads = 2}};
    open_engine(&options);
    dl_error err = {0};
    dl_str allowed = dl_str_of(folder);
    TAP_OK(run("SELECT * FROM read_text('/etc/passwd')", &err), err); /* it could, */
    TAP_OK(dl_engine_close_off(&engine, &allowed, 1, &err), err);     /* until now */
    for (size_t i = 0; i < DL_COUNT_OF(hostile); i++) {
        char sql[512];
        TAP_ROW_BEGIN();
        const char *mark = strchr(hostile[i].sql, '@');
        (void)snprintf(
            sql, sizeof sql, "%.*s%s%s",
            (int)(mark == NULL ? strlen(hostile[i].sql) : (size_t)(mark - hostile[i].sql)),
            hostile[i].sql, mark == NULL ? "" : folder, mark == NULL ? "" : mark + 1);
        dl_status status = run(sql, &err);
        if (status != DL_E_DENIED && status != DL_E_INVALID && status != DL_E_IO &&
            status != DL_E_NOT_FOUND) {
            TAP_FAIL("%s: %s: %s", sql, dl_status_name(status), err.message);
        }
        TAP_TRUE(err.message[0] != '\0');
        TAP_ROW_END(hostile[i].name);
    }
    TAP_ROW_BEGIN();
    char sql[256];
    (void)snprintf(sql, sizeof sql, "SELECT * FROM read_text('%s/a.txt')", folder);
    TAP_OK(run(sql, &err), err);
    TAP_TRUE(access("/tmp/outside.csv", F_OK) != 0);
    dl_engine_stop(&engine);
}

/* ---- errors in our words ---- */

static const struct {
    const char *name, *sql;
    dl_status status;
    const char *message; /* what it holds */
    const char *hint;
    size_t at;
} errors[] = {
    /* clang-format off */
    {"syntax", "SELECT 1 +", DL_E_INVALID, "syntax error at end of input", "", 10},
    {"syntax, near", "SELEC 1", DL_E_INVALID, "syntax error at or near \"SELEC\"", "", 0},
    {"column", "SELECT modlity FROM v", DL_E_INVALID, "\"modlity\" not found", "did you mean modality", 7},
    {"column behind wide letters", "SELECT '\xc3\xa9', modlity FROM v", DL_E_INVALID, "modlity",
     "did you mean modality", 13},
    {"table", "SELECT * FROM vw", DL_E_INVALID, "vw does not exist", "did you mean v?", 14},
    {"function", "SELECT substrin('a', 1)", DL_E_INVALID, "substrin does not exist", "did you mean substring", 7},
    {"arguments", "SELECT sum(modality) FROM v", DL_E_INVALID, "'sum(VARCHAR)'", "there is sum(DECIMAL), sum(BOOLEAN)", 7},
    {"group", "SELECT modality, count(*) FROM v GROUP BY n", DL_E_INVALID, "must appear in the GROUP BY", "ANY_VALUE", 7},
    {"conversion", "SELECT n, CAST(modality AS INT) FROM v", DL_E_INVALID, "cannot be converted to INT32", "try_cast", SIZE_MAX - 1},
    {"conversion to a date", "SELECT CAST(modality AS DATE) FROM v", DL_E_INVALID, "cannot be converted", "try_cast", SIZE_MAX - 1},
    {"parse", "SELECT strptime(modality, '%Y') FROM v", DL_E_INVALID, "does not have the format", "try_strptime", SIZE_MAX - 1},
    {"range", "SELECT CAST(n + 9223372036854775806 AS BIGINT) + n FROM v", DL_E_INVALID, "beyond the range", "HUGEINT", SIZE_MAX - 1},
    {"error()", "SELECT error(modality) FROM v", DL_E_INVALID, "refuses a value", "", SIZE_MAX - 1},
    {"pattern", "SELECT regexp_matches(modality, modality || '(') FROM v", DL_E_INVALID, "refuses a value", "", SIZE_MAX - 1},
    {"memory", "SELECT list(i::VARCHAR) FROM range(100000000) t(i)", DL_E_LIMIT, "64 MiB of memory", "raise the limit", SIZE_MAX},
    {"a file that is gone", "SELECT * FROM read_parquet('/nowhere/part-1.parquet')", DL_E_NOT_FOUND, "vacuumed", "again", SIZE_MAX - 1},
    {"a file that is no Parquet", "SELECT * FROM read_parquet('/etc/passwd')", DL_E_CORRUPT, "cannot be read as Parquet", "", SIZE_MAX - 1},
    {"a setting", "SET treads = 1", DL_E_INVALID, "treads", "threads", SIZE_MAX - 1},
    /* clang-format on */
};

TAP_CASE(errors_have_our_words_and_nothing_of_rows)
{
    dl_query_options options = {.limits = {.threads = 2, .memory_bytes = 64 << 20}};
    open_engine(&options);
    dl_error err = {0};
    TAP_OK(run("CREATE TABLE v AS SELECT 'Secret^Name' AS modality, 10 AS n", &err), err);
    for (size_t i = 0; i < DL_COUNT_OF(errors); i++) {
        TAP_ROW_BEGIN();
        duckdb_result result;
        size_t at = 1234;
        err = (dl_error){0};
        duckdb_state state = engine.api.query(engine.connection, errors[i].sql, &result);
        TAP_TRUE(state != DuckDBSuccess);
        dl_status status = dl_engine_error(&engine, engine.api.result_error_type(&result),
                                           engine.api.result_error(&result), &at, &err);
        engine.api.destroy_result(&result);
        TAP_EQ_INT(status, errors[i].status);
        if (strstr(err.message, errors[i].message) == NULL ||
            strstr(err.hint, errors[i].hint) == NULL) {
            TAP_FAIL("'%s' hint '%s'", err.message, err.hint);
        }
        TAP_TRUE(strstr(err.message, "Secret") == NULL);
        TAP_TRUE(strstr(err.hint, "Secret") == NULL);
        TAP_TRUE(strchr(err.message, '{') == NULL);
        if (errors[i].at != SIZE_MAX - 1) {
            TAP_EQ_INT(at, errors[i].at);
        }
        TAP_ROW_END(errors[i].name);
    }
    TAP_ROW_BEGIN();
    TAP_OK(run("SELECT 1", &err), err);
    dl_engine_stop(&engine);
}

TAP_CASE(errors_in_any_form_are_taken_apart)
{
    open_engine(&(dl_query_options){.limits = {.threads = 1}});
    static const struct {
        const char *text;
        duckdb_error_type type;
        dl_status want;
    } rows[] = {
        {NULL, DUCKDB_ERROR_INVALID, DL_E_INVALID},
        {"", DUCKDB_ERROR_INVALID, DL_E_INVALID},
        {"{", DUCKDB_ERROR_BINDER, DL_E_INVALID},
        {"{\"exception_type\":3}", DUCKDB_ERROR_IO, DL_E_IO},
        {"{\"exception_type\":\"Binder\",\"position\":\"99999999999999999999\"}",
         DUCKDB_ERROR_INVALID, DL_E_INVALID},
        {"Out of Memory Error: x", DUCKDB_ERROR_INVALID, DL_E_LIMIT},
        {"INTERRUPT Error: Interrupted!", DUCKDB_ERROR_INVALID, DL_E_CANCELED},
        {"{\"exception_type\":\"Permission\",\"exception_message\":\"no\"}", DUCKDB_ERROR_INVALID,
         DL_E_DENIED},
        {"{\"exception_type\":\"Not implemented\"}", DUCKDB_ERROR_INVALID, DL_E_UNSUPPORTED},
        {"IO Error: Could not open: Permission denied", DUCKDB_ERROR_INVALID, DL_E_DENIED},
        {"IO Error: No space left on device", DUCKDB_ERROR_INVALID, DL_E_LIMIT},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        size_t at = 0;
        dl_error err = {0};
        TAP_STATUS(dl_engine_error(&engine, rows[i].type, rows[i].text, &at, &err), rows[i].want);
        TAP_STATUS(err.status, rows[i].want);
        TAP_TRUE(at == SIZE_MAX);
        TAP_STATUS(dl_engine_error(&engine, rows[i].type, rows[i].text, NULL, NULL), rows[i].want);
    }
    TAP_TRUE(!engine.broken);
    dl_error err = {0};
    TAP_STATUS(
        dl_engine_error(&engine, DUCKDB_ERROR_INTERNAL, "INTERNAL Error: Ann^Lee", NULL, &err),
        DL_E_UNAVAILABLE);
    TAP_TRUE(strstr(err.message, "Ann") == NULL);
    TAP_TRUE(engine.broken);
    (void)dl_engine_error(&engine, DUCKDB_ERROR_INVALID_INPUT,
                          "Invalid Input Error: {\"exception_type\":\"Invalid Input\","
                          "\"exception_message\":\"" DL_ENGINE_OWN_WORDS "keyword Modalty\"}",
                          NULL, &err);
    TAP_EQ_STR(dl_str_of(err.message), "sql: keyword Modalty");
    dl_engine_stop(&engine);
}

/* ---- quoting, starting ---- */

TAP_CASE(names_and_texts_are_quoted)
{
    DL_AUTO_BUF sql;
    dl_buf_init(&sql, 100);
    dl_error err = {0};
    TAP_OK(dl_engine_put_name(&sql, DL_STR("a\"b\"\""), &err), err);
    TAP_EQ_STR(dl_buf_str(&sql), "\"a\"\"b\"\"\"\"\"");
    dl_buf_reset(&sql);
    TAP_OK(dl_engine_put_text(&sql, DL_STR("'o''"), &err), err);
    TAP_EQ_STR(dl_buf_str(&sql), "'''o'''''");
    dl_buf_reset(&sql);
    TAP_OK(dl_engine_put_text(&sql, DL_STR_NONE, &err), err);
    TAP_EQ_STR(dl_buf_str(&sql), "''");
    TAP_STATUS(dl_engine_put_text(&sql, DL_STR("a\0b"), &err), DL_E_INVALID);
    TAP_STATUS(dl_engine_put_name(&sql, DL_STR("\0"), &err), DL_E_INVALID);
}

TAP_CASE(an_engine_starts_again_and_stops_twice)
{
    dl_query_options options = {.limits = {.threads = 1, .memory_bytes = 100 << 20}};
    dl_error err = {0};
    open_engine(&options);
    TAP_EQ_INT(engine.memory_bytes, 100 << 20);
    TAP_OK(run("CREATE TABLE t AS SELECT 1", &err), err);
    dl_engine_stop(&engine);
    dl_engine_stop(&engine);
    dl_engine_interrupt(&engine);
    open_engine(&options);
    TAP_STATUS(run("SELECT * FROM t", &err), DL_E_INVALID); /* nothing is left of before */
    dl_engine_stop(&engine);
    open_engine(&(dl_query_options){.temp_folder = "/tmp", .limits = {.temp_bytes = 1 << 20}});
    TAP_EQ_INT(engine.memory_bytes, 1 << 30);
    TAP_EQ_INT(engine.temp_bytes, 1 << 20);
    dl_engine_stop(&engine);
    open_engine(&(dl_query_options){.limits = {.temp_bytes = 1 << 20}});
    TAP_EQ_INT(engine.temp_bytes, 0); /* no folder, no bytes */
    dl_engine_stop(&engine);
}

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/dl_engine_XXXXXX");
    DL_ASSERT(mkdtemp(folder) != NULL);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/sub", folder);
    DL_ASSERT(mkdir(path, 0700) == 0);
    write_file("a.txt", "inside");
    (void)snprintf(path, sizeof path, "%s/link.txt", folder);
    DL_ASSERT(symlink("/etc/passwd", path) == 0);
    (void)snprintf(path, sizeof path, "%s/out", folder);
    DL_ASSERT(symlink("/etc", path) == 0);
}

static void remove_folder(void)
{
    static const char *const names[] = {"a.txt", "link.txt", "out"};
    char path[128];
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/sub", folder);
    (void)rmdir(path);
    (void)rmdir(folder);
}

int main(void)
{
    make_folder();
    TAP_RUN(what_slips_through_is_refused_by_the_engine);
    TAP_RUN(errors_have_our_words_and_nothing_of_rows);
    TAP_RUN(errors_in_any_form_are_taken_apart);
    TAP_RUN(names_and_texts_are_quoted);
    TAP_RUN(an_engine_starts_again_and_stops_twice);
    remove_folder();
    return tap_done();
}
