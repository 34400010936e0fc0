/**
 * HTTP server: HTTP/1.1 over libmicrohttpd, one thread per connection.
 *
 * One application answers every request. For each request the server calls `begin` when the headers
 * are in and nothing of the body has been read: the application either answers at once
 * (dl_http_respond_*; the body is then dropped, or the connection closed when it is large), or
 * returns a state that receives the body piece by piece and is asked to answer at the end. Handlers
 * may block: they have a thread.
 *
 * The server itself refuses what no application should see, with a plain-text sentence: requests
 * that two readers could read differently (conflicting lengths, folded or malformed headers: 400),
 * URLs above url_limit_bytes (414), header blocks above header_limit_bytes (431), bodies above
 * body_limit_bytes (413, also when chunked), more connections than connection_limit (closed). What
 * is no HTTP at all libmicrohttpd answers by itself (400, 505), without the headers named below.
 * Senders slower than idle_timeout_s between bytes, receivers that take nothing for as long, and
 * headers not complete within header_timeout_s are dropped, so that slow connections hold a thread
 * but never the service.
 *
 * An answer before the end of the body: up to 4 MiB that are still to come are read and dropped, so
 * that the connection lives on; else the answer goes out at once, reading goes on for up to 5 s so
 * that the sender gets to see it, and the connection is closed.
 *
 * Every response carries the security headers and X-Request-Id of the contract's section 1.2; HEAD
 * is answered wherever GET is, with the same headers and no body. One access line per request goes
 * to the log: method, route (from the application, never the query), status, bytes, milliseconds,
 * request id.
 *
 * Thread: the server is locked; an exchange is confined to its connection's thread.
 * Standard: RFC 9110, RFC 9112; service contract (docs/contract.md) sections 1, 2 and 20.
 */
#ifndef DL_HTTP_SERVER_H
#define DL_HTTP_SERVER_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct dl_http_server dl_http_server;
typedef struct dl_http_exchange dl_http_exchange; /* one request and its answer */

typedef struct dl_http_app {
    /**
     * The headers are in. Answer now, or set `*out_state` (not NULL) to receive the body.
     * A failure that answers nothing gives 500 and is logged.
     */
    dl_status (*begin)(void *context, dl_http_exchange *x, void **out_state, dl_error *err);
    /** A piece of the body, in order. A failure is remembered: no more pieces come, `end` still
     * does. */
    dl_status (*body)(void *context, dl_http_exchange *x, void *state, dl_bytes piece,
                      dl_error *err);
    /**
     * The body is complete, or `body` failed with the error given in `body_failure` (NULL when
     * complete). Must answer, and from memory when the body failed. Not called when the client went
     * away: then only `destroy` is.
     */
    void (*end)(void *context, dl_http_exchange *x, void *state, const dl_error *body_failure);
    /** Called once for each state, after the answer was sent or the client went away. */
    void (*destroy)(void *context, void *state);
    /** The server refuses a request by itself: the headers that the application wants on that
     * answer, too. The request may be malformed. NULL: none. */
    void (*refusing)(void *context, dl_http_exchange *x);
    void *context;
} dl_http_app;

typedef struct dl_http_server_options {
    const char *host; /* an address or "localhost"; never a name that needs a lookup */
    uint16_t port;    /* 0: a free one */
    uint64_t body_limit_bytes;
    size_t url_limit_bytes;    /* 0: 16 KiB */
    size_t header_limit_bytes; /* 0: 64 KiB */
    unsigned connection_limit; /* 0: 1024 */
    unsigned idle_timeout_s;   /* 0: 60 */
    unsigned header_timeout_s; /* 0: 30 */
    /* What a client has to send of a body, or take of an answer, a second of the time that is spent
     * waiting for it, on average of idle_timeout_s; 0: DL_HTTP_LEAST_BYTES_PER_S. Below, a body is
     * answered 408, and a connection is closed. */
    unsigned least_bytes_per_s;
    const char
        *supported_versions; /* value of api-supported-versions on versioned routes; NULL: none */
} dl_http_server_options;

enum { DL_HTTP_LEAST_BYTES_PER_S = 500 };

DL_NODISCARD dl_status dl_http_server_start(const dl_http_server_options *options,
                                            const dl_http_app *app, dl_http_server **out_server,
                                            dl_error *err);
uint16_t dl_http_server_port(const dl_http_server *server);
/** Stop listening; requests under way may finish within `grace_ms`; then close and free. NULL is
 * fine. */
void dl_http_server_stop(dl_http_server *server, unsigned grace_ms);

/* ---- the request ---- */

/** "GET" for a HEAD request too; see dl_http_is_head. */
dl_str dl_http_method(const dl_http_exchange *x);
bool dl_http_is_head(const dl_http_exchange *x);
/** As sent, before '?', not decoded. */
dl_str dl_http_path(const dl_http_exchange *x);
/** As sent, after '?', without it; empty when there is none. */
dl_str dl_http_query(const dl_http_exchange *x);
/** First value of a header, name without case; ptr NULL when absent. Several lines of
 * Accept, If-Match or If-None-Match come joined by ", ". */
dl_str dl_http_header(const dl_http_exchange *x, const char *name);
/** Call `visit` for every header as it came. */
void dl_http_each_header(const dl_http_exchange *x,
                         void (*visit)(void *context, dl_str name, dl_str value), void *context);
/** Content-Length, or UINT64_MAX when the body is chunked, 0 when there is none. */
uint64_t dl_http_content_length(const dl_http_exchange *x);
/** Lives until the answer is sent; at most 16 MiB. */
dl_arena *dl_http_arena(dl_http_exchange *x);
/** 32 hex digits. */
dl_str dl_http_request_id(const dl_http_exchange *x);
/** "http://host[:port]" of this request, from its target or its Host header. */
dl_str dl_http_base_url(const dl_http_exchange *x);
/** What the log says instead of the path: a route pattern such as "/studies/{study}". Borrowed,
 * lasting. */
void dl_http_set_route(dl_http_exchange *x, const char *route);
/** The data action that the request needs ("read", "write", ...): the log line becomes an audit
 * record. Lasting. */
void dl_http_set_action(dl_http_exchange *x, const char *action);
/** What api-supported-versions says instead of the server's own value: of a route that not every
 * version has. Lasting. */
void dl_http_set_versions(dl_http_exchange *x, const char *versions);
/** The audit record says the path too: only when it holds identifiers and nothing else. */
void dl_http_log_path(dl_http_exchange *x);

/* ---- the answer: headers first, then exactly one respond call ---- */

/** Both are copied. A value with CR, LF or NUL is refused (DL_ASSERT: ours to prevent); a tab
 * becomes a space, and a header without a value is left out. */
void dl_http_add_header(dl_http_exchange *x, const char *name, dl_str value);
/** Copies `body`. `type` NULL: no Content-Type. Status 204 and 304 send no body. */
void dl_http_respond(dl_http_exchange *x, unsigned status, const char *type, dl_str body);
/** Takes the buffer's storage (the buffer is empty afterwards). */
void dl_http_respond_buf(dl_http_exchange *x, unsigned status, const char *type, dl_buf *take_body);
/** A range of a file, by sendfile; takes the descriptor. A range that the file does not have is
 * answered 500; the file must not shrink while it is sent. */
void dl_http_respond_file(dl_http_exchange *x, unsigned status, const char *type, int take_fd,
                          uint64_t offset_bytes, uint64_t length_bytes);

typedef struct dl_http_stream {
    /**
     * Up to `room` bytes into `out`; 0 bytes is the end. A failure closes the connection without a
     * proper end, so that the client sees that the answer is not whole; it is logged with the
     * request id.
     */
    dl_status (*read)(void *context, char *out, size_t room, size_t *out_len, dl_error *err);
    void (*destroy)(void *context);
    void *context;
} dl_http_stream;

enum { DL_HTTP_STREAM_BLOCK_BYTES = 256 * 1024 };

/** `length_bytes` UINT64_MAX: unknown, sent chunked. Takes the stream: destroy is called once,
 * always. */
void dl_http_respond_stream(dl_http_exchange *x, unsigned status, const char *type,
                            uint64_t length_bytes, const dl_http_stream *stream);

/** What comes next of an answer: bytes, then a range of a file. Both empty: that was all. */
typedef struct dl_http_part {
    dl_str bytes; /* borrowed until the next call */
    int fd;       /* stays the giver's, open until the next call; not used for an empty range */
    uint64_t offset_bytes, length_bytes;
} dl_http_part;

typedef struct dl_http_parts {
    /** A failure, also a file that is shorter than its range, is as one of a stream. */
    dl_status (*next)(void *context, dl_http_part *out_part, dl_error *err);
    void (*destroy)(void *context);
    void *context;
} dl_http_parts;

/** Many files in one answer, by sendfile. The parts have `length_bytes` in all, which HEAD tells;
 * GET is answered with one chunk of that length. Takes the parts: destroy is called once, always.
 */
void dl_http_respond_parts(dl_http_exchange *x, unsigned status, const char *type,
                           uint64_t length_bytes, const dl_http_parts *parts);

/** Whether the client has closed its side of the connection: nobody waits any more. */
bool dl_http_gone(const dl_http_exchange *x);

/** Whether something has been answered. */
bool dl_http_answered(const dl_http_exchange *x);

#endif
