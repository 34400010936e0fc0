/* Refusals: the one table from dl_status to HTTP, and the bodies that go with it (contract section
 * 2). */
#include "service/internal.h"

#include "base/log.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static const char text_plain[] = "text/plain; charset=utf-8";

static unsigned http_status(dl_status status)
{
    static const unsigned table[] = {
        [DL_OK] = 500,
        [DL_E_INVALID] = 400,
        [DL_E_DENIED] = 403,
        [DL_E_NOT_FOUND] = 404,
        [DL_E_EXISTS] = 500,
        /* a breach in the index; what clients may meet is answered where it is met */
        [DL_E_CONFLICT] = 503,
        [DL_E_LIMIT] = 413,
        [DL_E_UNSUPPORTED] = 501,
        [DL_E_CORRUPT] = 500,
        /* of the index; of objects see dl_refuse_object */[DL_E_UNAVAILABLE] = 503,
        [DL_E_CANCELED] = 503,
        [DL_E_IO] = 503,
        [DL_E_NOMEM] = 503,
    };
    size_t at = (size_t)status;
    return at < DL_COUNT_OF(table) ? table[at] : 500;
}

static void log_refusal(dl_http_exchange *x, const dl_error *err)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "service", "request");
    dl_log_str(&line, "request", dl_http_request_id(x));
    dl_log_error(&line, err);
    dl_log_end(&line);
}

void dl_refuse_error(dl_http_exchange *x, const dl_error *err)
{
    unsigned status = http_status(err->status);
    if (status < 500 || status == 501) {
        dl_http_respond(x, status, text_plain, dl_str_of(err->message));
        return;
    }
    /* Of a failure on our side the client learns that it happened; the cause goes to the log. */
    log_refusal(x, err);
    dl_http_respond(x, status, text_plain,
                    status == 503
                        ? DL_STR("The service cannot do this at the moment; try again later.")
                        : DL_STR("The service met an unforeseen condition."));
}

dl_status dl_refuse_object(dl_service_request *r, dl_status status, const dl_error *err)
{
    if (status != DL_E_CORRUPT) {
        return status;
    }
    log_refusal(r->x, err);
    return dl_refuse(r, 424, "The stored object was changed, moved or removed by somebody else.");
}

dl_status dl_refuse(dl_service_request *r, unsigned status, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    dl_http_respond(r->x, status, text_plain, dl_str_of(text));
    return DL_OK;
}

dl_status dl_refuse_accept(dl_service_request *r)
{
    dl_http_respond(r->x, 406, NULL, DL_STR(""));
    return DL_OK;
}

/* ---- answers piece by piece ---- */

typedef struct piece_stream {
    dl_pieces pieces;
    dl_buf piece;
    size_t sent;
    bool done;
} piece_stream;

static dl_status read_pieces(void *context, char *out, size_t room, size_t *out_len, dl_error *err)
{
    piece_stream *s = context;
    size_t used = 0;
    while (used < room) {
        if (s->sent == s->piece.len) {
            if (s->done) {
                break;
            }
            dl_buf_reset(&s->piece);
            s->sent = 0;
            DL_TRY(s->pieces.fill(s->pieces.context, &s->piece, &s->done, err));
            continue;
        }
        size_t n = s->piece.len - s->sent;
        if (n > room - used) {
            n = room - used;
        }
        memcpy(out + used, s->piece.ptr + s->sent, n);
        used += n;
        s->sent += n;
    }
    *out_len = used;
    return DL_OK;
}

static void destroy_pieces(void *context)
{
    piece_stream *s = context;
    s->pieces.destroy(s->pieces.context);
    dl_buf_clear(&s->piece);
    dl_mem_free(s);
}

dl_status dl_respond_pieces(dl_service_request *r, unsigned status, const char *type,
                            uint64_t length_bytes, const dl_pieces *take_pieces, dl_error *err)
{
    piece_stream *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        take_pieces->destroy(take_pieces->context);
        return dl_error_set(err, DL_E_NOMEM, "no memory for an answer");
    }
    s->pieces = *take_pieces;
    dl_buf_init(&s->piece, DL_PIECE_LIMIT_BYTES);
    dl_http_stream stream = {.read = read_pieces, .destroy = destroy_pieces, .context = s};
    dl_http_respond_stream(r->x, status, type, length_bytes, &stream);
    return DL_OK;
}
