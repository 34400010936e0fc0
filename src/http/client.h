/**
 * HTTP client: one blocking request after another over libcurl, streaming both ways.
 *
 * A client keeps its connection alive between requests. It follows no redirects, talks http and
 * https only, checks certificates, and never sends what it was not given: no Accept, no Expect, no
 * credentials out of a URL. A proxy is used only when
 * `proxy` says so.
 *
 * Thread: confined (one client per thread).
 */
#ifndef DL_HTTP_CLIENT_H
#define DL_HTTP_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cancel.h"

typedef struct dl_http_client dl_http_client;

typedef struct dl_http_client_options {
    unsigned connect_timeout_s; /* 0: 10 */
    unsigned idle_timeout_s;    /* no byte moved for so long: DL_E_UNAVAILABLE; 0: 120 */
    const char *proxy;          /* URL; NULL: none, whatever the environment says */
    dl_cancel *cancel;          /* may be NULL */
} dl_http_client_options;

typedef struct dl_http_field {
    dl_str name, value;
} dl_http_field;

typedef struct dl_http_answer {
    unsigned status;
    dl_str content_type;
    dl_http_field *fields; /* all of them, in the arena */
    size_t field_count;
} dl_http_answer;

typedef struct dl_http_call {
    const char *method; /* "GET", "POST", ... */
    const char *url;    /* NUL-terminated, absolute */
    const dl_http_field *fields;
    size_t field_count;
    /* Body: a stream when `read` is set, else `body`. `read` gives 0 bytes at the end. */
    dl_bytes body;
    dl_status (*read)(void *context, void *out, size_t room, size_t *out_len, dl_error *err);
    uint64_t body_length_bytes; /* of the stream; UINT64_MAX: chunked */
    /* Answer: handed to `write` when set and the status is 2xx, else collected in `out_body`
     * (bounded). */
    dl_status (*write)(void *context, dl_bytes piece, dl_error *err);
    /* Called once before the first `write`, when the headers are known. May be NULL. */
    dl_status (*begin)(void *context, const dl_http_answer *answer, dl_error *err);
    void *context;
} dl_http_call;

DL_NODISCARD dl_status dl_http_client_create(const dl_http_client_options *options,
                                             dl_http_client **out_client, dl_error *err);
void dl_http_client_destroy(dl_http_client *client);
DL_DEFINE_AUTO(dl_http_client)

/**
 * Any HTTP status is DL_OK: look at out_answer->status.
 * Errors: DL_E_UNAVAILABLE (no connection, cut off, timeout), DL_E_LIMIT (answer longer than
 * out_body's limit), DL_E_CANCELED, DL_E_INVALID (URL), or what `read` or `write` returned.
 */
DL_NODISCARD dl_status dl_http_client_do(dl_http_client *client, const dl_http_call *call,
                                         dl_arena *arena, dl_buf *out_body,
                                         dl_http_answer *out_answer, dl_error *err);
/** How far a call came; a call that failed ended there. */
typedef enum dl_http_phase {
    DL_HTTP_PHASE_NONE,    /* nothing was tried */
    DL_HTTP_PHASE_ADDRESS, /* the host's name */
    DL_HTTP_PHASE_CONNECT, /* TCP */
    DL_HTTP_PHASE_TLS,     /* its handshake and the certificate */
    DL_HTTP_PHASE_ANSWER,  /* request and answer; a whole one when the call was DL_OK */
} dl_http_phase;
/** Of the last call. */
dl_http_phase dl_http_client_phase(const dl_http_client *client);
/** Value of an answer's header, name without case; ptr NULL when absent. */
dl_str dl_http_answer_header(const dl_http_answer *answer, const char *name);

#endif
