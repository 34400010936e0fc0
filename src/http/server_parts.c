#include "http/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* libmicrohttpd sends one file an answer, whole, or bytes that it copies. So it is given an answer
 * of unknown length, and when it asks for the first chunk, which it does as soon as the headers are
 * out, one chunk with everything is put on the socket here: heads of parts from memory, files by
 * sendfile. It then hears that there was nothing, and sends the last chunk. HTTP/1.0 has no chunks:
 * there the end of the connection is the end of the answer. */

enum { SENDFILE_STEP_BYTES = 2 * 1024 * 1024 };

/* False when the connection is over. The kernel ends one whose client takes nothing
 * (TCP_USER_TIMEOUT), and the stop of the server shuts it down: both wake the poll. */
static bool wait_for_room(const dl_http_exchange *x)
{
    struct pollfd p = {.fd = x->conn->fd, .events = POLLOUT};
    return poll(&p, 1, -1) >= 0 || errno == EINTR;
}

static bool may_go_on(const dl_http_exchange *x)
{
    return errno == EINTR || (errno == EAGAIN && wait_for_room(x));
}

static bool send_bytes(dl_http_exchange *x, dl_str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(x->conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
        if (n < 0 && !may_go_on(x)) {
            return false;
        }
        if (n > 0) {
            bytes = dl_str_slice(bytes, (size_t)n, bytes.len);
        }
    }
    return true;
}

/* A failure to read the file is an error of ours, one to write the socket is the client's end. */
static dl_status send_range(dl_http_exchange *x, const dl_http_part *part, bool *out_gone,
                            dl_error *err)
{
    off_t at = (off_t)part->offset_bytes;
    uint64_t left = part->length_bytes;
    while (left > 0) {
        size_t step = left < SENDFILE_STEP_BYTES ? (size_t)left : SENDFILE_STEP_BYTES;
        ssize_t n = sendfile(x->conn->fd, part->fd, &at, step);
        if (n > 0) {
            left -= (uint64_t)n;
            x->sent_bytes += (uint64_t)n;
        } else if (n == 0) {
            return dl_error_set(err, DL_E_CORRUPT, "a file being sent ends %llu bytes early",
                                (unsigned long long)left);
        } else if (errno == EIO) {
            return dl_error_errno(err, EIO, "cannot read a file being sent");
        } else if (!may_go_on(x)) {
            *out_gone = true;
            return DL_OK;
        }
    }
    return DL_OK;
}

static dl_status send_all_parts(dl_http_exchange *x, bool *out_gone, dl_error *err)
{
    const dl_http_parts *parts = &x->reply.parts;
    uint64_t left = x->reply.length_bytes;
    while (!*out_gone) {
        dl_http_part part = {.fd = -1};
        DL_TRY(parts->next(parts->context, &part, err));
        if (part.bytes.len == 0 && part.length_bytes == 0) {
            break;
        }
        if (part.bytes.len > left || part.length_bytes > left - part.bytes.len) {
            return dl_error_set(err, DL_E_CORRUPT, "an answer of parts is longer than announced");
        }
        left -= part.bytes.len + part.length_bytes;
        *out_gone = !send_bytes(x, part.bytes);
        if (!*out_gone) {
            x->sent_bytes += part.bytes.len;
            DL_TRY(send_range(x, &part, out_gone, err));
        }
    }
    if (!*out_gone && left > 0) {
        return dl_error_set(err, DL_E_CORRUPT, "an answer of parts ends %llu bytes early",
                            (unsigned long long)left);
    }
    return DL_OK;
}

dl_status dl_http_parts_send(dl_http_exchange *x, bool *out_gone, dl_error *err)
{
    char size[32];
    (void)snprintf(size, sizeof size, "%llx\r\n", (unsigned long long)x->reply.length_bytes);
    bool chunk = !x->is_http_1_0 && x->reply.length_bytes > 0;
    *out_gone = chunk && !send_bytes(x, dl_str_of(size));
    if (*out_gone) {
        return DL_OK;
    }
    DL_TRY(send_all_parts(x, out_gone, err));
    if (!*out_gone && chunk) {
        *out_gone = !send_bytes(x, DL_STR("\r\n"));
    }
    return DL_OK;
}
