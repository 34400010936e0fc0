#include "base/buf.h"

#include "base/ckd.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { SMALLEST_BYTES = 256 };

void dl_buf_init(dl_buf *buf, size_t limit_bytes)
{
    *buf = (dl_buf){.limit_bytes = limit_bytes};
}

void dl_buf_clear(dl_buf *buf)
{
    dl_mem_free(buf->ptr);
    dl_buf_init(buf, buf->limit_bytes);
}

dl_status dl_buf_reserve(dl_buf *buf, size_t extra, dl_error *err)
{
    if (extra <= buf->cap - buf->len) {
        return DL_OK;
    }
    size_t need = 0;
    if (ckd_add(&need, buf->len, extra) || need > buf->limit_bytes) {
        return dl_error_set(err, DL_E_LIMIT, "a buffer would pass its limit of %zu bytes",
                            buf->limit_bytes);
    }
    size_t cap = buf->cap < SMALLEST_BYTES ? SMALLEST_BYTES : buf->cap;
    if (cap > buf->limit_bytes) {
        cap = buf->limit_bytes;
    }
    while (cap < need) {
        cap = cap > buf->limit_bytes / 2 ? buf->limit_bytes : cap * 2;
    }
    char *grown = dl_mem_resize(buf->ptr, cap, 1);
    if (grown == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a buffer of %zu bytes", cap);
    }
    buf->ptr = grown;
    buf->cap = cap;
    return DL_OK;
}

dl_status dl_buf_append(dl_buf *buf, const void *bytes, size_t len, dl_error *err)
{
    DL_TRY(dl_buf_reserve(buf, len, err));
    if (len > 0) {
        memcpy(buf->ptr + buf->len, bytes, len);
        buf->len += len;
    }
    return DL_OK;
}

dl_status dl_buf_append_str(dl_buf *buf, dl_str text, dl_error *err)
{
    return dl_buf_append(buf, text.ptr, text.len, err);
}

dl_status dl_buf_append_char(dl_buf *buf, char c, dl_error *err)
{
    return dl_buf_append(buf, &c, 1, err);
}

dl_status dl_buf_printf(dl_buf *buf, dl_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        return dl_error_set(err, DL_E_INVALID, "a format could not be printed");
    }
    DL_TRY(dl_buf_reserve(buf, (size_t)n + 1, err));
    va_start(args, format);
    (void)vsnprintf(buf->ptr + buf->len, (size_t)n + 1, format, args);
    va_end(args);
    buf->len += (size_t)n;
    return DL_OK;
}

dl_status dl_buf_terminate(dl_buf *buf, dl_error *err)
{
    DL_TRY(dl_buf_reserve(buf, 1, err));
    buf->ptr[buf->len] = '\0';
    return DL_OK;
}
