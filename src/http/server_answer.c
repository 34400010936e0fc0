#include "http/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { POLL_ROUND_MS = 100, DRAIN_BLOCK_BYTES = 16 * 1024, UNKNOWN_BLOCK_BYTES = 64 * 1024 };
enum { PARTS_BLOCK_BYTES = 256 }; /* never used */

/* ---- headers ---- */

/* "/v<digit>", whatever comes after it: also what is refused there is versioned. */
static bool is_versioned(dl_str path)
{
    return path.len > 2 && path.ptr[0] == '/' && (path.ptr[1] == 'v' || path.ptr[1] == 'V') &&
           path.ptr[2] >= '0' && path.ptr[2] <= '9';
}

/* Call `put` for all headers but those of the framing (service contract 1.2). */
static void each_answer_header(const dl_http_exchange *x,
                               void (*put)(void *context, const char *name, const char *value),
                               void *context)
{
    for (const dl_http_header_line *line = x->reply.first; line != NULL; line = line->next) {
        put(context, line->name, line->value);
    }
    put(context, "X-Content-Type-Options", "nosniff");
    put(context, "X-Frame-Options", "SAMEORIGIN");
    put(context, "Content-Security-Policy", "frame-src 'self';");
    put(context, "X-Request-Id", x->request_id);
    const char *versions = x->versions != NULL ? x->versions : x->server->versions;
    if (versions[0] != '\0' && is_versioned(x->path)) {
        put(context, "api-supported-versions", versions);
    }
    if (atomic_load_explicit(&x->server->stopping, memory_order_relaxed) || x->cut) {
        put(context, "Connection", "close");
    }
}

static void put_in_response(void *context, const char *name, const char *value)
{
    (void)MHD_add_response_header(context, name, value);
}

/* ---- by libmicrohttpd ---- */

static void log_stream_failure(const dl_http_exchange *x, const dl_error *err)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "http", "stream");
    dl_log_str(&line, "route", dl_str_of(x->route == NULL ? "-" : x->route));
    dl_log_str(&line, "request", dl_http_request_id(x));
    dl_log_error(&line, err);
    dl_log_end(&line);
}

/* A client of HTTP/1.0 takes the end of the connection for the end of the answer. Dissolving the
 * association resets the connection instead, so that it sees that something is missing. */
static void reset_connection(const dl_http_exchange *x)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    (void)connect(x->conn->fd, &none, sizeof none);
}

/* An answer that has begun cannot go on. */
static void fail_stream(dl_http_exchange *x, const dl_error *err)
{
    bool no_framing = x->is_http_1_0 && (x->reply.kind == DL_HTTP_ANSWER_PARTS ||
                                         x->reply.length_bytes == UINT64_MAX);
    x->reply.stream_failed = true;
    log_stream_failure(x, err);
    if (no_framing) {
        reset_connection(x);
    }
}

static ssize_t read_stream(void *context, uint64_t position, char *out, size_t room)
{
    dl_http_exchange *x = context;
    dl_http_reply *reply = &x->reply;
    dl_error err = {0};
    size_t len = 0;
    dl_status status = reply->stream.read(reply->stream.context, out, room, &len, &err);
    bool known = reply->length_bytes != UINT64_MAX;
    if (status == DL_OK && len == 0 && known && position < reply->length_bytes) {
        status =
            dl_error_set(&err, DL_E_CORRUPT, "an answer ends after %llu of %llu bytes",
                         (unsigned long long)position, (unsigned long long)reply->length_bytes);
    }
    if (status != DL_OK) {
        fail_stream(x, &err);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    DL_ASSERT(len <= room);
    x->sent_bytes += len;
    return len == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)len;
}

/* Called when the headers are out; what is read is nothing but the end. */
/* NOLINTNEXTLINE(readability-non-const-parameter): libmicrohttpd's signature */
static ssize_t send_parts(void *context, uint64_t position, char *out, size_t room)
{
    (void)position;
    (void)out;
    (void)room;
    dl_http_exchange *x = context;
    dl_error err = {0};
    bool gone = false;
    if (dl_http_parts_send(x, &gone, &err) != DL_OK) {
        fail_stream(x, &err);
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    return gone ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
}

static struct MHD_Response *make_response(dl_http_exchange *x)
{
    dl_http_reply *reply = &x->reply;
    struct MHD_Response *response = NULL;
    switch (reply->kind) {
    case DL_HTTP_ANSWER_MEMORY: /* lives as long as the exchange, which outlives the sending */
        return MHD_create_response_from_buffer(reply->body.len, reply->body.ptr,
                                               MHD_RESPMEM_PERSISTENT);
    case DL_HTTP_ANSWER_FILE:
        response = MHD_create_response_from_fd_at_offset64(reply->length_bytes, reply->fd,
                                                           reply->offset_bytes);
        if (response != NULL) {
            reply->fd = -1; /* the response closes it */
        }
        return response;
    case DL_HTTP_ANSWER_STREAM:
        if (reply->length_bytes == UINT64_MAX) {
            return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, UNKNOWN_BLOCK_BYTES,
                                                     read_stream, x, NULL);
        }
        return MHD_create_response_from_callback(reply->length_bytes, DL_HTTP_STREAM_BLOCK_BYTES,
                                                 read_stream, x, NULL);
    case DL_HTTP_ANSWER_PARTS:
        return MHD_create_response_from_callback(x->is_head ? reply->length_bytes
                                                            : MHD_SIZE_UNKNOWN,
                                                 PARTS_BLOCK_BYTES, send_parts, x, NULL);
    case DL_HTTP_ANSWER_NONE:
    default:
        return NULL;
    }
}

enum MHD_Result dl_http_queue(dl_http_exchange *x)
{
    if (x->is_head && x->reply.kind == DL_HTTP_ANSWER_STREAM &&
        x->reply.length_bytes == UINT64_MAX) {
        dl_http_cut(x);
        return MHD_NO; /* closes */
    }
    struct MHD_Response *response = make_response(x);
    if (response == NULL) {
        return MHD_NO; /* no memory: closes the connection */
    }
    each_answer_header(x, put_in_response, response);
    atomic_store_explicit(&x->conn->sending, true, memory_order_relaxed);
    enum MHD_Result result = MHD_queue_response(x->mhd, x->reply.status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- past libmicrohttpd ---- */

static bool send_all(const dl_http_exchange *x, dl_str bytes)
{
    int64_t end_us = dl_clock_monotonic_us() + (int64_t)x->server->options.idle_timeout_s * 1000000;
    while (bytes.len > 0) {
        ssize_t n = send(x->conn->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            bytes = dl_str_slice(bytes, (size_t)n, bytes.len);
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        }
        if (dl_clock_monotonic_us() > end_us ||
            atomic_load_explicit(&x->server->stopping, memory_order_relaxed)) {
            return false;
        }
        struct pollfd p = {.fd = x->conn->fd, .events = POLLOUT};
        (void)poll(&p, 1, POLL_ROUND_MS);
    }
    return true;
}

/* RFC 9110 section 5.6.7 */
static void format_date(char *out, size_t size)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    struct tm t = {0};
    gmtime_r(&now, &t);
    (void)snprintf(out, size, "%s, %02d %s %04d %02d:%02d:%02d GMT", days[t.tm_wday], t.tm_mday,
                   months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
}

typedef struct head_text {
    dl_buf buf;
    dl_status status;
} head_text;

static void put_in_head(void *context, const char *name, const char *value)
{
    head_text *head = context;
    if (head->status == DL_OK) {
        head->status = dl_buf_printf(&head->buf, NULL, "%s: %s\r\n", name, value);
    }
}

void dl_http_cut(dl_http_exchange *x)
{
    bool has_body = !x->is_head;
    if (has_body && x->reply.kind != DL_HTTP_ANSWER_MEMORY) {
        dl_error err = {0};
        dl_error_set(&err, DL_E_CORRUPT, "a failed body was not answered from memory");
        dl_http_fail(x, &err);
    }
    x->cut = true;
    x->linger = true;
    char date[64], length[32];
    format_date(date, sizeof date);
    (void)snprintf(length, sizeof length, "%zu", x->reply.body.len);
    head_text head = {0};
    dl_buf_init(&head.buf, DL_HTTP_OWN_LIMIT_BYTES);
    head.status = dl_buf_printf(&head.buf, NULL, "HTTP/1.1 %u %s\r\n", x->reply.status,
                                MHD_get_reason_phrase_for(x->reply.status));
    put_in_head(&head, "Date", date);
    each_answer_header(x, put_in_head, &head);
    if (has_body) {
        put_in_head(&head, "Content-Length", length);
    }
    if (head.status == DL_OK && dl_buf_append(&head.buf, "\r\n", 2, NULL) == DL_OK &&
        send_all(x, dl_buf_str(&head.buf)) && has_body) {
        (void)send_all(x, dl_buf_str(&x->reply.body));
    }
    dl_buf_clear(&head.buf);
}

/* ---- the end ---- */

void dl_http_linger(dl_http_exchange *x)
{
    int fd = x->conn->fd;
    int64_t end_us = dl_clock_monotonic_us() + (int64_t)DL_HTTP_LINGER_MS * 1000;
    if (shutdown(fd, SHUT_WR) != 0) {
        return;
    }
    while (dl_clock_monotonic_us() < end_us &&
           !atomic_load_explicit(&x->server->stopping, memory_order_relaxed)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = poll(&p, 1, POLL_ROUND_MS);
        if (ready < 0 && errno != EINTR) {
            return;
        }
        if (ready <= 0) {
            continue;
        }
        char dropped[DRAIN_BLOCK_BYTES]; /* with MSG_TRUNC nothing is even copied there (tcp(7)) */
        ssize_t n = recv(fd, dropped, sizeof dropped, MSG_DONTWAIT | MSG_TRUNC);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            return;
        }
    }
}

/* Methods are logged as themselves when they are well known: the line has a fixed set of words. */
static const char *method_word(const dl_http_exchange *x)
{
    static const char *const known[] = {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    if (x->is_head) {
        return "HEAD";
    }
    for (size_t i = 0; i < DL_COUNT_OF(known); i++) {
        if (dl_str_eq(x->method, dl_str_of(known[i]))) {
            return known[i];
        }
    }
    return "OTHER";
}

void dl_http_log_access(const dl_http_exchange *x, unsigned status, bool aborted)
{
    const dl_http_reply *reply = &x->reply;
    bool has_body = !x->is_head && status != 204 && status != 304;
    uint64_t sent = x->sent_bytes;
    if (reply->kind == DL_HTTP_ANSWER_MEMORY || reply->kind == DL_HTTP_ANSWER_FILE) {
        sent = aborted ? 0 : reply->length_bytes; /* of a cut answer nobody knows how much */
    }
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_INFO, "http", method_word(x));
    dl_log_str(&line, "route", dl_str_of(x->route == NULL ? "-" : x->route));
    if (x->action != NULL) {
        dl_log_str(&line, "action", dl_str_of(x->action));
        dl_log_str(&line, "caller", DL_STR("anonymous")); /* nobody signs in yet */
        dl_log_str(&line, "path", x->path_logged ? x->path : DL_STR("-"));
    }
    dl_log_int(&line, "status", status);
    dl_log_int(&line, "bytes_in", (int64_t)x->received_bytes);
    dl_log_int(&line, "bytes_out", has_body ? (int64_t)sent : 0);
    dl_log_int(&line, "ms", (dl_clock_monotonic_us() - x->started_us) / 1000);
    dl_log_str(&line, "request", dl_http_request_id(x));
    if (aborted) {
        dl_log_int(&line, "aborted", 1);
    }
    dl_log_end(&line);
}
