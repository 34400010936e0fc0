#include "query/output.h"

#include "base/mem.h"
#include "query/output/internal.h"

#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name, *type;
    dl_status (*write)(dl_output *out, dl_error *err);
} formats[DL_QUERY_FORMATS] = {
    [DL_QUERY_TABLE] = {"table", "text/plain; charset=utf-8", dl_output_table},
    [DL_QUERY_CSV] = {"csv", "text/csv; charset=utf-8; header=present", dl_output_csv},
    [DL_QUERY_JSON] = {"json", "application/json", dl_output_json},
    [DL_QUERY_JSONL] = {"jsonl", "application/x-ndjson", dl_output_json},
    [DL_QUERY_MARKDOWN] = {"markdown", "text/markdown; charset=utf-8", dl_output_markdown},
    [DL_QUERY_HTML] = {"html", "text/html; charset=utf-8", dl_output_html},
    [DL_QUERY_ARROW] = {"arrow", "application/vnd.apache.arrow.stream", dl_output_arrow},
    [DL_QUERY_PARQUET] = {"parquet", "application/vnd.apache.parquet", dl_output_parquet},
};

const char *dl_query_format_name(dl_query_format format)
{
    return (unsigned)format < DL_QUERY_FORMATS ? formats[format].name : NULL;
}

const char *dl_query_format_type(dl_query_format format)
{
    return (unsigned)format < DL_QUERY_FORMATS ? formats[format].type : NULL;
}

dl_status dl_query_format_of(const char *name, dl_query_format *out_format, dl_error *err)
{
    for (size_t i = 0; i < DL_QUERY_FORMATS; i++) {
        if (dl_str_eq_nocase(dl_str_of(name), dl_str_of(formats[i].name))) {
            *out_format = (dl_query_format)i;
            return DL_OK;
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "no format %.40s", name == NULL ? "" : name);
    dl_error_hint(err, "table, csv, json, jsonl, markdown, html, arrow or parquet");
    return DL_E_INVALID;
}

dl_status dl_output_flush(dl_output *out, dl_error *err)
{
    if (out->buf.len > 0) {
        DL_TRY(out->sink->write(out->sink->context, dl_buf_str(&out->buf), err));
        dl_buf_reset(&out->buf);
    }
    return DL_OK;
}

dl_status dl_query_write(dl_query_result *result, const dl_query_output *output,
                         const dl_query_sink *sink, int64_t *out_rows, dl_error *err)
{
    DL_ASSERT((unsigned)output->format < DL_QUERY_FORMATS);
    dl_output out = {.result = result,
                     .options = output,
                     .sink = sink,
                     .columns = dl_query_column_count(result)};
    dl_buf_init(&out.buf, DL_OUTPUT_BUF_LIMIT_BYTES);
    dl_status status = formats[output->format].write(&out, err);
    if (status == DL_OK) {
        status = dl_output_flush(&out, err);
    }
    dl_buf_clear(&out.buf);
    if (status == DL_OK) {
        *out_rows = out.rows;
    }
    return status;
}

/* ---- names ---- */

static bool is_taken(const dl_str *names, size_t count, dl_str name, bool nocase)
{
    for (size_t i = 0; i < count; i++) {
        if (nocase ? dl_str_eq_nocase(names[i], name) : dl_str_eq(names[i], name)) {
            return true;
        }
    }
    return false;
}

dl_status dl_output_names(const dl_query_result *result, bool nocase, dl_arena *arena,
                          dl_str **out_names, dl_error *err)
{
    size_t count = dl_query_column_count(result);
    dl_str *names = dl_arena_alloc(arena, count + 1, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = dl_query_column_at(result, i)->name;
    }
    for (size_t i = 0; i < count; i++) { /* those that come first keep their names */
        dl_str name = names[i];
        for (size_t n = 1; is_taken(names, i, names[i], nocase); n++) {
            DL_TRY(dl_arena_printf(arena, &names[i], err, "%.*s_%zu", DL_STR_ARG(name), n));
        }
    }
    *out_names = names;
    return DL_OK;
}
