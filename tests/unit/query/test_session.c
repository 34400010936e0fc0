#include "delta/tables.h"
#include "query/query.h"

#include "tap.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_SIZE = 65536 };

/* Tables "a" and "b" with a column id (and more), and a session over them. */
typedef struct fixture {
    tables tables;
    dl_query_table names[2];
    char folders[2][300];
    dl_query_options options;
    dl_query *query;
    dl_query_place place;
    dl_error err;
    char text[TEXT_SIZE];
} fixture;

static fixture f;

static void open_session(void)
{
    dl_query_close(f.query);
    f.query = NULL;
    dl_error err = {0};
    TAP_OK(dl_query_open(&f.options, &f.query, &err), err);
}

static void begin(void)
{
    f = (fixture){0};
    dl_error e = {0}, *err = &e;
    tables_init(&f.tables, NULL);
    for (size_t i = 0; i < 2; i++) {
        const char *name = i == 0 ? "a" : "b";
        (void)snprintf(f.folders[i], sizeof f.folders[i], "%s/%s", f.tables.folder, name);
        f.names[i] = (dl_query_table){.name = dl_str_of(name),
                                      .schema = DL_STR("lake"),
                                      .folder = dl_str_of(f.folders[i]),
                                      .set = DL_STR("set")};
        DL_AUTO_TABLE table = NULL;
        TAP_OK(tables_create(&f.tables, name, false, &table, err), e);
        TAP_OK(tables_append(table, "p", 0, i == 0 ? 5000 : 10, err), e);
    }
    f.options = (dl_query_options){
        .tables = f.names, .table_count = 2, .limits = {.threads = 2}, .clock = dl_clock_system()};
    open_session();
}

static void end(void)
{
    dl_query_close(f.query);
    tables_clear(&f.tables);
}

static void add(const char *text, dl_str more)
{
    size_t len = strlen(f.text);
    (void)snprintf(f.text + len, sizeof f.text - len, "%s%.*s", text, DL_STR_ARG(more));
}

static dl_status read_rows(dl_query_result *result, dl_error *err)
{
    size_t rows = 0, seen = 0;
    do {
        DL_TRY(dl_query_next(result, &rows, err));
        for (size_t i = 0; i < rows; i++) {
            for (size_t c = 0; c < dl_query_column_count(result); c++) {
                DL_AUTO_BUF cell;
                dl_buf_init(&cell, TEXT_SIZE);
                DL_TRY(dl_query_put_text(result, c, i, &cell, err));
                add(c > 0      ? ","
                    : seen > 0 ? ";"
                               : "",
                    dl_query_is_null(result, c, i) ? DL_STR("NULL") : dl_buf_str(&cell));
            }
            seen++;
        }
    } while (rows > 0);
    return DL_OK;
}

/* Cells joined by ',', rows by ';'; the status of what failed. */
static dl_status ask_for(const char *sql)
{
    f.text[0] = '\0';
    f.err = (dl_error){0};
    f.place = (dl_query_place){.at = SIZE_MAX};
    DL_AUTO(dl_query_result) result = NULL;
    DL_TRY(dl_query_run(f.query, dl_str_of(sql), &result, &f.place, &f.err));
    return read_rows(result, &f.err);
}

#define ASK(sql, want)                                                                             \
    do {                                                                                           \
        TAP_OK(ask_for(sql), f.err);                                                               \
        TAP_EQ_STR(dl_str_of(f.text), want);                                                       \
    } while (0)

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
    end();
}

int main(void)
{
    TAP_RUN(statements_of_all_kinds);
    return tap_done();
}
