/* CSV (RFC 4180, but lines end in LF as other tools of a shell expect): NULL is empty, empty text
 * is "". */
#include "query/output/internal.h"

#include <string.h>

/* Bytes that need quotes, and white space, which some readers cut off at the ends of a cell. */
static bool needs_quotes(const char *p, size_t len)
{
    static const bool special[256] = {['"'] = true, [','] = true, ['\n'] = true, ['\r'] = true};
    if (len == 0 || p[0] == ' ' || p[0] == '\t' || p[len - 1] == ' ' || p[len - 1] == '\t') {
        return true;
    }
    bool found = false;
    for (size_t i = 0; i < len; i++) {
        found |= special[(unsigned char)p[i]];
    }
    return found;
}

/** Quote what stands in `buf` from `from` on, in its place. */
static dl_status quote(dl_buf *buf, size_t from, dl_error *err)
{
    size_t quotes = 2;
    for (size_t i = from; i < buf->len; i++) {
        quotes += buf->ptr[i] == '"';
    }
    DL_TRY(dl_buf_reserve(buf, quotes, err));
    size_t read = buf->len;
    size_t write = buf->len + quotes;
    buf->len = write;
    buf->ptr[--write] = '"';
    while (read > from) {
        char c = buf->ptr[--read];
        buf->ptr[--write] = c;
        if (c == '"') {
            buf->ptr[--write] = '"';
        }
    }
    buf->ptr[--write] = '"';
    return DL_OK;
}

static bool is_plain(dl_query_kind kind)
{
    return kind == DL_QUERY_BOOL || kind == DL_QUERY_INTEGER || kind == DL_QUERY_NUMBER ||
           kind == DL_QUERY_DATE || kind == DL_QUERY_TIME || kind == DL_QUERY_TIMESTAMP;
}

static dl_status put_row(dl_output *out, size_t row, dl_error *err)
{
    for (size_t i = 0; i < out->columns; i++) {
        if (i > 0) {
            DL_TRY(dl_buf_append_char(&out->buf, ',', err));
        }
        if (dl_query_is_null(out->result, i, row)) {
            continue;
        }
        size_t from = out->buf.len;
        DL_TRY(dl_query_put_text(out->result, i, row, &out->buf, err));
        if (!is_plain(dl_query_column_at(out->result, i)->kind) &&
            needs_quotes(out->buf.ptr + from, out->buf.len - from)) {
            DL_TRY(quote(&out->buf, from, err));
        }
    }
    return dl_buf_append_char(&out->buf, '\n', err);
}

static dl_status put_header(dl_output *out, dl_error *err)
{
    for (size_t i = 0; i < out->columns; i++) {
        if (i > 0) {
            DL_TRY(dl_buf_append_char(&out->buf, ',', err));
        }
        size_t from = out->buf.len;
        DL_TRY(dl_buf_append_str(&out->buf, dl_query_column_at(out->result, i)->name, err));
        if (needs_quotes(out->buf.ptr + from, out->buf.len - from)) {
            DL_TRY(quote(&out->buf, from, err));
        }
    }
    return dl_buf_append_char(&out->buf, '\n', err);
}

dl_status dl_output_csv(dl_output *out, dl_error *err)
{
    if (!out->options->no_header) {
        DL_TRY(put_header(out, err));
    }
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(out->result, &rows, err));
        if (rows == 0) {
            return DL_OK;
        }
        for (size_t row = 0; row < rows; row++) {
            DL_TRY(put_row(out, row, err));
            DL_TRY(dl_output_flush_full(out, err));
        }
        out->rows += (int64_t)rows;
    }
}
