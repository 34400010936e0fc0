#include "json/json.h"

#include "base/number.h"

#include "json/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_TEXT_SIZE = 40,
    ESCAPE_LONGEST = 6, /* of one byte of input: \u00XX */
};

void dl_json_writer_init(dl_json_writer *w, dl_buf *buf, dl_error *err)
{
    *w = (dl_json_writer){.buf = buf, .err = err};
}

dl_status dl_json_writer_status(const dl_json_writer *w)
{
    return w->status;
}

static void put(dl_json_writer *w, const char *text, size_t len)
{
    if (w->status == DL_OK) {
        w->status = dl_buf_append(w->buf, text, len, w->err);
    }
}

static void put_value_start(dl_json_writer *w)
{
    if (w->need_comma) {
        put(w, ",", 1);
    }
    w->need_comma = true;
}

static void begin(dl_json_writer *w, const char *bracket)
{
    put_value_start(w);
    put(w, bracket, 1);
    w->need_comma = false;
}

static void end(dl_json_writer *w, const char *bracket)
{
    put(w, bracket, 1);
    w->need_comma = true;
}

void dl_json_object_begin(dl_json_writer *w)
{
    begin(w, "{");
}

void dl_json_object_end(dl_json_writer *w)
{
    end(w, "}");
}

void dl_json_array_begin(dl_json_writer *w)
{
    begin(w, "[");
}

void dl_json_array_end(dl_json_writer *w)
{
    end(w, "]");
}

/* One byte that cannot stand as it is; returns what was written. */
static size_t escape(unsigned char c, char *out)
{
    static const char hex[] = "0123456789abcdef";
    static const char letters[] = "btn?fr"; /* 0x08..0x0d; 0x0b has no letter */
    out[0] = '\\';
    if (c == '"' || c == '\\') {
        out[1] = (char)c;
        return 2;
    }
    if (c >= 0x08 && c <= 0x0d && c != 0x0b) {
        out[1] = letters[c - 0x08];
        return 2;
    }
    memcpy(out + 1, "u00", 3);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return ESCAPE_LONGEST;
}

/* What stands for the bytes at `p`, which are not plain: `out` has room for ESCAPE_LONGEST. Returns
 * how many bytes were read. */
static size_t replace(const unsigned char *p, size_t left, char *out, size_t *out_len)
{
    size_t skip = 1;
    size_t step = dl_json_utf8_step(p, left, &skip);
    if (step == 1) {
        *out_len = escape(p[0], out);
    } else if (step == 0) {
        memcpy(out, "\xef\xbf\xbd", 3);
        *out_len = 3;
        return skip;
    } else {
        memcpy(out, p, step);
        *out_len = step;
    }
    return step;
}

/* The inside of a string. */
static dl_status put_escaped(dl_buf *buf, dl_str text, dl_error *err)
{
    size_t i = 0;
    while (i < text.len) {
        size_t stop = dl_json_plain_run(text.ptr, i, text.len);
        DL_TRY(dl_buf_append(buf, text.ptr + i, stop - i, err));
        i = stop;
        while (i < text.len && !dl_json_is_plain((unsigned char)text.ptr[i])) {
            char bytes[ESCAPE_LONGEST];
            size_t len = 0;
            i += replace((const unsigned char *)text.ptr + i, text.len - i, bytes, &len);
            if (buf->cap - buf->len < len) {
                DL_TRY(dl_buf_reserve(buf, len, err));
            }
            memcpy(buf->ptr + buf->len, bytes, len);
            buf->len += len;
        }
    }
    return DL_OK;
}

dl_status dl_json_quote(dl_buf *buf, dl_str text, dl_error *err)
{
    size_t start = buf->len;
    size_t run = text.len == 0 ? 0 : dl_json_plain_run(text.ptr, 0, text.len);
    if (run == text.len && text.len <= SIZE_MAX - 2) { /* nearly always */
        DL_TRY(dl_buf_reserve(buf, text.len + 2, err));
        char *out = buf->ptr + buf->len;
        out[0] = '"';
        if (text.len > 0) {
            memcpy(out + 1, text.ptr, text.len);
        }
        out[1 + text.len] = '"';
        buf->len += text.len + 2;
        return DL_OK;
    }
    dl_status status = dl_buf_append_char(buf, '"', err);
    if (status == DL_OK) {
        status = put_escaped(buf, text, err);
    }
    if (status == DL_OK) {
        status = dl_buf_append_char(buf, '"', err);
    }
    if (status != DL_OK) {
        buf->len = start; /* on failure the content is as it was */
    }
    return status;
}

static void put_quoted(dl_json_writer *w, dl_str text)
{
    if (w->status == DL_OK) {
        w->status = dl_json_quote(w->buf, text, w->err);
    }
}

void dl_json_key(dl_json_writer *w, dl_str key)
{
    put_value_start(w);
    put_quoted(w, key);
    put(w, ":", 1);
    w->need_comma = false;
}

void dl_json_string(dl_json_writer *w, dl_str text)
{
    put_value_start(w);
    put_quoted(w, text);
}

void dl_json_int(dl_json_writer *w, int64_t value)
{
    char text[NUMBER_TEXT_SIZE];
    size_t at = sizeof text;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        text[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0) {
        text[--at] = '-';
    }
    put_value_start(w);
    put(w, text + at, sizeof text - at);
}

void dl_json_double(dl_json_writer *w, double value)
{
    if (!isfinite(value)) {
        dl_json_null(w);
        return;
    }
    char text[DL_NUMBER_TEXT_SIZE];
    size_t len = dl_number_format(value, text);
    put_value_start(w);
    put(w, text, len);
}

void dl_json_bool(dl_json_writer *w, bool value)
{
    put_value_start(w);
    put(w, value ? "true" : "false", value ? 4 : 5);
}

void dl_json_null(dl_json_writer *w)
{
    put_value_start(w);
    put(w, "null", 4);
}

void dl_json_raw(dl_json_writer *w, dl_str json)
{
    put_value_start(w);
    put(w, json.ptr, json.len);
}
