#include "session_rig.h"

#include <stdio.h>
#include <string.h>

fixture f;

void open_session(void)
{
    dl_query_close(f.query);
    f.query = NULL;
    dl_error err = {0};
    TAP_OK(dl_query_open(&f.options, &f.query, &err), err);
}

void begin(void)
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

void end(void)
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

dl_status ask_for(const char *sql)
{
    f.text[0] = '\0';
    f.err = (dl_error){0};
    f.place = (dl_query_place){.at = SIZE_MAX};
    DL_AUTO(dl_query_result) result = NULL;
    DL_TRY(dl_query_run(f.query, dl_str_of(sql), &result, &f.place, &f.err));
    return read_rows(result, &f.err);
}
