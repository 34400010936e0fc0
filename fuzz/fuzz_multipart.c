/* A multipart body from anywhere: the same events however it is cut into chunks.
 *
 * Input: one byte for the boundary, one for the size of the chunks, then the body. */
#include "base/mem.h"
#include "http/multipart.h"

#include <string.h>

enum { EVENTS_LIMIT_BYTES = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct record {
    dl_buf text;
    bool in_part;
} record;

static dl_status on_begin(void *context, dl_str headers, dl_error *err)
{
    record *r = context;
    dl_str value = DL_STR_NONE;
    DL_ASSERT(!r->in_part && headers.len <= DL_MULTIPART_HEADER_LIMIT_BYTES);
    r->in_part = true;
    if (dl_multipart_header(headers, "Content-Type", &value)) {
        DL_ASSERT(value.len <= headers.len);
    }
    DL_TRY(dl_buf_append_char(&r->text, '\1', err));
    DL_TRY(dl_buf_append_str(&r->text, headers, err));
    return dl_buf_append_char(&r->text, '\2', err);
}

static dl_status on_data(void *context, dl_bytes piece, dl_error *err)
{
    record *r = context;
    DL_ASSERT(r->in_part && piece.len > 0);
    return dl_buf_append(&r->text, piece.ptr, piece.len, err);
}

static dl_status on_end(void *context, dl_error *err)
{
    record *r = context;
    DL_ASSERT(r->in_part);
    r->in_part = false;
    return dl_buf_append_char(&r->text, '\3', err);
}

/* `step` 0: sizes that grow from 1 on. */
static dl_status read_all(record *r, dl_str boundary, dl_bytes body, size_t step)
{
    dl_multipart_events events = {on_begin, on_data, on_end, r};
    DL_AUTO(dl_multipart) reader = NULL;
    dl_buf_init(&r->text, EVENTS_LIMIT_BYTES);
    DL_ASSERT(dl_multipart_create(boundary, &events, &reader, NULL) == DL_OK);
    size_t at = 0, grown = 1;
    while (at < body.len) {
        size_t len = step == 0 ? grown++ : step;
        len = body.len - at < len ? body.len - at : len;
        uint8_t *exact = dl_mem_alloc(len, 1); /* so that a read past the chunk is seen */
        DL_ASSERT(exact != NULL);
        memcpy(exact, body.ptr + at, len);
        dl_status status = dl_multipart_feed(reader, (dl_bytes){exact, len}, NULL);
        dl_mem_free(exact);
        if (status != DL_OK) {
            return status;
        }
        at += len;
    }
    dl_status status = dl_multipart_finish(reader, NULL);
    DL_ASSERT(status != DL_OK || !r->in_part);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const boundaries[] = {"b", "b1", "--", "a b", "0123456789abcdef", "bb"};
    if (size < 2) {
        return 0;
    }
    dl_str boundary = dl_str_of(boundaries[bytes[0] % DL_COUNT_OF(boundaries)]);
    dl_bytes body = {bytes + 2, size - 2};
    record whole = {0}, pieces = {0};
    dl_status want = read_all(&whole, boundary, body, body.len + 1);
    dl_status got = read_all(&pieces, boundary, body, bytes[1] % 32);
    DL_ASSERT(want == got);
    DL_ASSERT(whole.in_part == pieces.in_part);
    DL_ASSERT(dl_str_eq(dl_buf_str(&whole.text), dl_buf_str(&pieces.text)));
    dl_buf_clear(&whole.text);
    dl_buf_clear(&pieces.text);
    return 0;
}
