/* One statement of `dicomlake sql`: run, its rows written, what was read told. */
#include "cli/sql.h"

#include "base/clock.h"
#include "base/file.h"
#include "cli/text.h"
#include "query/chart.h"
#include "json/json.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

enum { PLACE_LIMIT_BYTES = 64 * 1024, CHART_LIMIT_BYTES = 64 << 20 };

/* ---- where rows go ---- */

typedef struct target {
    dl_cli_sql *sql;
    dl_file_draft file; /* without one: standard output */
} target;

static void target_clear(target *t)
{
    dl_file_draft_clear(&t->file);
}

static bool reader_left(FILE *out)
{
    struct pollfd look = {.fd = fileno(out), .events = POLLOUT};
    return look.fd >= 0 && poll(&look, 1, 0) > 0 && (look.revents & POLLERR) != 0;
}

static dl_status write_rows(void *context, dl_str bytes, dl_error *err)
{
    target *t = context;
    FILE *out = t->sql->cli->out;
    if (t->file.fd >= 0) {
        return dl_file_write_all(t->file.fd, bytes.ptr, bytes.len, err);
    }
    if (fwrite(bytes.ptr, 1, bytes.len, out) == bytes.len) {
        return DL_OK;
    }
    t->sql->reader_left = reader_left(out);
    return dl_error_set(err, DL_E_IO, "cannot write to standard output");
}

/* ---- what was read ---- */

static void tell_reads(const dl_cli_sql *sql, const dl_query_result *result)
{
    for (size_t i = 0; i < dl_query_read_count(result); i++) {
        const dl_query_read *r = dl_query_read_at(result, i);
        (void)fprintf(sql->cli->err, "%.*s: version %" PRId64, DL_STR_ARG(r->table), r->version);
        if (r->watermark > 0) {
            (void)fprintf(sql->cli->err, ", watermark %" PRId64, r->watermark);
        }
        (void)fprintf(sql->cli->err, ", %" PRId64 " of %" PRId64 " files",
                      r->file_count - r->files_skipped, r->file_count);
        if (r->row_count >= 0) {
            (void)fprintf(sql->cli->err, ", %" PRId64 " rows", r->row_count);
        }
        (void)fputc('\n', sql->cli->err);
    }
}

static void tell_time(const dl_cli_sql *sql, int64_t rows, int64_t took_us)
{
    (void)fprintf(sql->cli->err, "%" PRId64 " %s in %.1f ms\n", rows, rows == 1 ? "row" : "rows",
                  (double)took_us / 1e3);
}

/* ---- running ---- */

static dl_status draw(dl_query_result *result, const char *words, dl_arena *arena, target *t,
                      dl_error *err)
{
    dl_query_chart chart = {0};
    DL_AUTO_BUF svg = {0};
    dl_buf_init(&svg, CHART_LIMIT_BYTES);
    DL_TRY(dl_query_chart_parse(dl_str_of(words), arena, &chart, err));
    DL_TRY(dl_query_chart_draw(result, &chart, &svg, err));
    return write_rows(t, dl_buf_str(&svg), err);
}

static dl_query_output output_of(const dl_cli_sql *sql)
{
    uint64_t rows = sql->o->rows;
    return (dl_query_output){.format = sql->format,
                             .shown_rows = rows == 0 ? DL_QUERY_SHOWN_ROWS : (size_t)rows,
                             .width = sql->terminal ? sql->width : 0};
}

static dl_status write_result(dl_cli_sql *sql, dl_query_result *result, target *t,
                              int64_t *out_rows, dl_error *err)
{
    if (sql->o->chart != NULL) {
        return draw(result, sql->o->chart, sql->arena, t, err);
    }
    const dl_query_output output = output_of(sql);
    const dl_query_sink sink = {.write = write_rows, .context = t};
    return dl_query_write(result, &output, &sink, out_rows, err);
}

static dl_status run(dl_cli_sql *sql, dl_str statement, dl_query_place *out_place, dl_error *err)
{
    int64_t begin_us = dl_clock_monotonic_us();
    DL_AUTO(dl_query_result) result = NULL;
    DL_TRY(dl_query_run(sql->query, statement, &result, out_place, err));
    DL_CLEANUP(target_clear) target t = {.sql = sql, .file.fd = -1};
    if (sql->o->output != NULL) {
        DL_TRY(dl_file_draft_open(&t.file, sql->o->output, 0666, err));
    }
    int64_t rows = 0;
    DL_TRY(write_result(sql, result, &t, &rows, err));
    if (t.file.fd >= 0) {
        DL_TRY(dl_file_draft_finish(&t.file, err));
    }
    sql->rows_written = rows;
    if (sql->o->stats) {
        (void)fflush(sql->cli->out);
        tell_reads(sql, result);
    }
    if (sql->o->stats || sql->timing) {
        tell_time(sql, rows, dl_clock_monotonic_us() - begin_us);
    }
    return DL_OK;
}

dl_status dl_cli_sql_statement(dl_cli_sql *sql, dl_str script, dl_str statement,
                               dl_query_place *out_place, dl_error *err)
{
    dl_query_place place = {.at = SIZE_MAX};
    if (sql->statements > 0 && sql->format == DL_QUERY_TABLE && sql->o->output == NULL) {
        (void)fputc('\n', sql->cli->out); /* between one table and the next */
    }
    sql->statements++;
    dl_status status = run(sql, statement, &place, err);
    (void)fflush(sql->cli->out);
    if (status != DL_OK) {
        if (place.at != SIZE_MAX) {
            place.at += (size_t)(statement.ptr - script.ptr);
            dl_cli_sql_locate(script, &place);
        }
        *out_place = place;
    }
    return status;
}

/* ---- failing ---- */

void dl_cli_sql_locate(dl_str script, dl_query_place *place)
{
    place->line = 1;
    place->column = 1;
    for (size_t i = 0; i < place->at && i < script.len; i++) {
        if (script.ptr[i] == '\n') {
            place->line++;
            place->column = 1;
        } else if (((unsigned char)script.ptr[i] & 0xc0) != 0x80) { /* a code point begins */
            place->column++;
        }
    }
}

/** The line and the caret, each moved to the right. */
static void show_place(const dl_cli_sql *sql, dl_str script, const dl_query_place *place)
{
    DL_AUTO_BUF shown = {0};
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&shown, PLACE_LIMIT_BYTES);
    dl_buf_init(&clean, (size_t)4 * PLACE_LIMIT_BYTES);
    if (dl_query_show_place(script, place, &shown, NULL) != DL_OK) {
        return;
    }
    dl_str rest = dl_buf_str(&shown);
    dl_str line = DL_STR_NONE;
    while (dl_str_next(&rest, '\n', &line)) {
        dl_buf_reset(&clean);
        if (dl_cli_text_clean(line, &clean, NULL) == DL_OK && line.len > 0) {
            (void)fprintf(sql->cli->err, "    %.*s\n", DL_STR_ARG(dl_buf_str(&clean)));
        }
    }
}

dl_cli_exit dl_cli_sql_fail(const dl_cli_sql *sql, dl_str script, const dl_query_place *place,
                            const dl_error *err)
{
    if (sql->reader_left) { /* whoever closed it knows */
        return DL_CLI_FAILED;
    }
    (void)fflush(sql->cli->out);
    if (place->at == SIZE_MAX) {
        return dl_cli_fail(sql->cli, err);
    }
    dl_error placed = {.status = err->status};
    (void)dl_error_set(&placed, err->status, "line %" PRIu32 ", column %" PRIu32 ": %s",
                       place->line, place->column, err->message);
    dl_error_hint(&placed, "%s", err->hint);
    dl_cli_exit code = dl_cli_fail(sql->cli, &placed);
    show_place(sql, script, place);
    return code;
}
