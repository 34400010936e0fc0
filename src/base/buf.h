/**
 * Buffer: growing bytes with a limit given at birth.
 *
 * Reaching the limit is DL_E_LIMIT, running out of memory DL_E_NOMEM; either leaves the content as
 * it was. Writers that append many small things call dl_buf_reserve once and then write into the
 * room.
 * `{0}` is a valid empty buffer with limit 0; dl_buf_init gives it a limit.
 *
 * Thread: confined.
 */
#ifndef DL_BASE_BUF_H
#define DL_BASE_BUF_H

#include "base/str.h"

typedef struct dl_buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t limit_bytes;
} dl_buf;

void dl_buf_init(dl_buf *buf, size_t limit_bytes);
/** Free the storage; the limit stays. */
void dl_buf_clear(dl_buf *buf);
/** Forget the content, keep the storage. */
static inline void dl_buf_reset(dl_buf *buf)
{
    buf->len = 0;
}
/** Make room for `extra` more bytes. */
DL_NODISCARD dl_status dl_buf_reserve(dl_buf *buf, size_t extra, dl_error *err);
DL_NODISCARD dl_status dl_buf_append(dl_buf *buf, const void *bytes, size_t len, dl_error *err);
DL_NODISCARD dl_status dl_buf_append_str(dl_buf *buf, dl_str text, dl_error *err);
DL_NODISCARD dl_status dl_buf_append_char(dl_buf *buf, char c, dl_error *err);
DL_NODISCARD dl_status dl_buf_printf(dl_buf *buf, dl_error *err, const char *format, ...)
    DL_PRINTF(3, 4);
/** End with a NUL that is not counted in len, so that ptr is a C string. */
DL_NODISCARD dl_status dl_buf_terminate(dl_buf *buf, dl_error *err);
static inline dl_str dl_buf_str(const dl_buf *buf)
{
    return (dl_str){buf->ptr, buf->len};
}

#define DL_AUTO_BUF DL_CLEANUP(dl_buf_clear) dl_buf

#endif
