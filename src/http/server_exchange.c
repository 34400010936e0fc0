#include "http/internal.h"

#include "base/ckd.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

#include <poll.h>
#include <string.h>
#include <sys/stat.h>

static const char plain_text[] = "text/plain; charset=utf-8";
static const char failure_sentence[] = "The service could not answer this request.";

/* ---- life ---- */

dl_http_exchange *dl_http_exchange_create(dl_http_server *server, dl_http_conn *conn,
                                          struct MHD_Connection *mhd, const char *target)
{
    dl_http_exchange *x = dl_mem_zalloc(1, sizeof *x);
    if (x == NULL) {
        return NULL;
    }
    x->server = server;
    x->conn = conn;
    x->mhd = mhd;
    x->started_us = dl_clock_monotonic_us();
    x->reply.end = &x->reply.first;
    x->reply.fd = -1;
    x->arena = dl_arena_create(DL_HTTP_ARENA_LIMIT_BYTES);
    x->own = dl_arena_create(DL_HTTP_OWN_LIMIT_BYTES);
    dl_random_hex(x->request_id, (DL_HTTP_REQUEST_ID_SIZE - 1) / 2);
    if (x->arena == NULL || x->own == NULL ||
        dl_arena_copy(x->own, dl_str_of(target), &x->target, NULL) != DL_OK) {
        dl_http_exchange_destroy(x);
        return NULL;
    }
    pthread_mutex_lock(&server->lock);
    server->exchange_count++;
    pthread_mutex_unlock(&server->lock);
    return x;
}

void dl_http_reply_clear(dl_http_reply *reply)
{
    if (reply->kind == DL_HTTP_ANSWER_STREAM && reply->stream.destroy != NULL) {
        reply->stream.destroy(reply->stream.context);
    }
    if (reply->kind == DL_HTTP_ANSWER_PARTS) {
        reply->parts.destroy(reply->parts.context);
    }
    dl_file_close(&reply->fd);
    dl_buf_clear(&reply->body);
    *reply = (dl_http_reply){.fd = -1};
    reply->end = &reply->first;
}

void dl_http_exchange_destroy(dl_http_exchange *x)
{
    dl_http_reply_clear(&x->reply);
    dl_arena_destroy(x->arena);
    dl_arena_destroy(x->own);
    dl_mem_free(x);
}

/* ---- the request ---- */

dl_str dl_http_method(const dl_http_exchange *x)
{
    return x->method;
}

bool dl_http_is_head(const dl_http_exchange *x)
{
    return x->is_head;
}

dl_str dl_http_path(const dl_http_exchange *x)
{
    return x->path;
}

dl_str dl_http_query(const dl_http_exchange *x)
{
    return x->query;
}

uint64_t dl_http_content_length(const dl_http_exchange *x)
{
    return x->content_length;
}

dl_arena *dl_http_arena(dl_http_exchange *x)
{
    return x->arena;
}

dl_str dl_http_request_id(const dl_http_exchange *x)
{
    return (dl_str){x->request_id, DL_HTTP_REQUEST_ID_SIZE - 1};
}

void dl_http_set_route(dl_http_exchange *x, const char *route)
{
    x->route = route;
}

void dl_http_set_action(dl_http_exchange *x, const char *action)
{
    x->action = action;
}

void dl_http_set_versions(dl_http_exchange *x, const char *versions)
{
    x->versions = versions;
}

void dl_http_log_path(dl_http_exchange *x)
{
    x->path_logged = true;
}

typedef struct header_search {
    const char *name;
    dl_arena *join; /* NULL: the first value is enough */
    dl_str found;
} header_search;

static enum MHD_Result search_header(void *context, enum MHD_ValueKind kind, const char *name,
                                     size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    header_search *search = context;
    if (!dl_str_eq_nocase((dl_str){name, name_len}, dl_str_of(search->name))) {
        return MHD_YES;
    }
    dl_str text = {value == NULL ? "" : value, value_len};
    if (search->found.ptr == NULL) {
        search->found = text;
        return search->join == NULL ? MHD_NO : MHD_YES;
    }
    dl_str joined = DL_STR_NONE;
    if (dl_arena_printf(search->join, &joined, NULL, "%.*s, %.*s", DL_STR_ARG(search->found),
                        DL_STR_ARG(text)) == DL_OK) {
        search->found = joined;
    }
    return MHD_YES;
}

dl_str dl_http_header(const dl_http_exchange *x, const char *name)
{
    header_search search = {.name = name};
    if (dl_str_eq_nocase(dl_str_of(name), DL_STR("Accept")) ||
        dl_str_eq_nocase(dl_str_of(name), DL_STR("If-Match")) ||
        dl_str_eq_nocase(dl_str_of(name), DL_STR("If-None-Match"))) { /* lists */
        search.join = x->own;
    }
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, search_header, &search);
    return dl_str_trim(search.found);
}

typedef struct header_visit {
    void (*visit)(void *context, dl_str name, dl_str value);
    void *context;
    bool raw;
} header_visit;

static enum MHD_Result visit_header(void *context, enum MHD_ValueKind kind, const char *name,
                                    size_t name_len, const char *value, size_t value_len)
{
    (void)kind;
    header_visit *v = context;
    dl_str text = {value == NULL ? "" : value, value_len};
    v->visit(v->context, (dl_str){name, name_len}, v->raw ? text : dl_str_trim(text));
    return MHD_YES;
}

void dl_http_each_header(const dl_http_exchange *x,
                         void (*visit)(void *context, dl_str name, dl_str value), void *context)
{
    header_visit v = {visit, context, false};
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, visit_header, &v);
}

void dl_http_each_raw_header(const dl_http_exchange *x,
                             void (*visit)(void *context, dl_str name, dl_str value), void *context)
{
    header_visit v = {visit, context, true};
    MHD_get_connection_values_n(x->mhd, MHD_HEADER_KIND, visit_header, &v);
}

dl_str dl_http_base_url(const dl_http_exchange *x)
{
    dl_str host = x->authority.len > 0 ? x->authority : dl_http_header(x, "Host");
    dl_str url = DL_STR_NONE;
    dl_status status = DL_OK;
    if (host.len > 0) {
        status = dl_arena_printf(x->own, &url, NULL, "http://%.*s", DL_STR_ARG(host));
    } else {
        bool is_v6 = strchr(x->server->host, ':') != NULL;
        status = dl_arena_printf(x->own, &url, NULL, "http://%s%s%s:%u", is_v6 ? "[" : "",
                                 x->server->host, is_v6 ? "]" : "", x->server->port);
    }
    return status == DL_OK ? url : DL_STR("http://localhost");
}

/* ---- the answer ---- */

bool dl_http_answered(const dl_http_exchange *x)
{
    return x->reply.kind != DL_HTTP_ANSWER_NONE;
}

static bool fits_a_line(dl_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '\r' || c == '\n' || c == '\0') {
            return false;
        }
    }
    return true;
}

void dl_http_add_header(dl_http_exchange *x, const char *name, dl_str value)
{
    DL_ASSERT(fits_a_line(value) && fits_a_line(dl_str_of(name)));
    if (value.len == 0) {
        return; /* an empty value says nothing, and libmicrohttpd refuses it */
    }
    if (x->reply.failed) {
        return;
    }
    dl_http_header_line *line = dl_arena_alloc(x->own, 1, sizeof *line);
    dl_str name_copy = DL_STR_NONE, value_copy = DL_STR_NONE;
    char *text = dl_arena_alloc(x->own, value.len + 1, 1);
    if (line == NULL || text == NULL ||
        dl_arena_copy(x->own, dl_str_of(name), &name_copy, NULL) != DL_OK) {
        dl_error err = {0};
        dl_arena_full(x->own, &err);
        dl_http_fail(x, &err);
        return;
    }
    value_copy = (dl_str){text, value.len};
    for (size_t i = 0; i < value.len; i++) {
        text[i] = (char)(value.ptr[i] == '\t' ? ' ' : value.ptr[i]); /* it refuses tabs as well */
    }
    *line = (dl_http_header_line){.name = name_copy.ptr, .value = value_copy.ptr};
    *x->reply.end = line;
    x->reply.end = &line->next;
}

/* Exactly one answer: a second one is a mistake of ours. */
static bool begin_answer(dl_http_exchange *x, dl_http_answer_kind kind, unsigned status,
                         const char *type)
{
    DL_ASSERT(status >= 200 && status <= 599);
    DL_ASSERT(x->reply.failed || !dl_http_answered(x));
    if (type != NULL && !x->reply.failed) {
        dl_http_add_header(x, "Content-Type", dl_str_of(type));
    }
    if (x->reply.failed) { /* a header did not fit, and 500 stands */
        return false;
    }
    x->reply.kind = kind;
    x->reply.status = status;
    return true;
}

void dl_http_respond(dl_http_exchange *x, unsigned status, const char *type, dl_str body)
{
    dl_buf copy = {0};
    dl_error err = {0};
    dl_buf_init(&copy, SIZE_MAX);
    if (dl_buf_append_str(&copy, body, &err) != DL_OK) {
        dl_http_fail(x, &err);
        return;
    }
    dl_http_respond_buf(x, status, type, &copy);
}

void dl_http_respond_buf(dl_http_exchange *x, unsigned status, const char *type, dl_buf *take_body)
{
    dl_buf body = *take_body;
    dl_buf_init(take_body, body.limit_bytes);
    if (!begin_answer(x, DL_HTTP_ANSWER_MEMORY, status, type)) {
        dl_buf_clear(&body);
        return;
    }
    x->reply.body = body;
    x->reply.length_bytes = body.len;
}

void dl_http_respond_file(dl_http_exchange *x, unsigned status, const char *type, int take_fd,
                          uint64_t offset_bytes, uint64_t length_bytes)
{
    /* libmicrohttpd would wait for ever for bytes that the file does not have. */
    struct stat about = {0};
    uint64_t end = 0;
    if (fstat(take_fd, &about) != 0 || ckd_add(&end, offset_bytes, length_bytes) ||
        end > (uint64_t)about.st_size) {
        dl_error err = {0};
        dl_error_set(&err, DL_E_CORRUPT, "a file to be sent has %lld bytes, not %llu",
                     (long long)about.st_size, (unsigned long long)end);
        dl_http_fail(x, &err);
    }
    if (!begin_answer(x, DL_HTTP_ANSWER_FILE, status, type)) {
        dl_file_close(&take_fd);
        return;
    }
    x->reply.fd = take_fd;
    x->reply.offset_bytes = offset_bytes;
    x->reply.length_bytes = length_bytes;
}

void dl_http_respond_stream(dl_http_exchange *x, unsigned status, const char *type,
                            uint64_t length_bytes, const dl_http_stream *stream)
{
    if (!begin_answer(x, DL_HTTP_ANSWER_STREAM, status, type)) {
        if (stream->destroy != NULL) {
            stream->destroy(stream->context);
        }
        return;
    }
    x->reply.stream = *stream;
    x->reply.length_bytes = length_bytes;
}

void dl_http_respond_parts(dl_http_exchange *x, unsigned status, const char *type,
                           uint64_t length_bytes, const dl_http_parts *parts)
{
    if (!begin_answer(x, DL_HTTP_ANSWER_PARTS, status, type)) {
        parts->destroy(parts->context);
        return;
    }
    x->reply.parts = *parts;
    x->reply.length_bytes = length_bytes;
}

bool dl_http_gone(const dl_http_exchange *x)
{
    struct pollfd p = {.fd = x->conn->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void dl_http_refuse(dl_http_exchange *x, unsigned status, const char *sentence)
{
    const dl_http_app *app = &x->server->app;
    dl_http_reply_clear(&x->reply);
    if (app->refusing != NULL) {
        app->refusing(app->context, x);
    }
    dl_http_respond(x, status, plain_text, dl_str_of(sentence));
}

void dl_http_fail(dl_http_exchange *x, const dl_error *err)
{
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "http", "answer");
    dl_log_str(&line, "route", dl_str_of(x->route == NULL ? "-" : x->route));
    dl_log_str(&line, "request", dl_http_request_id(x));
    dl_log_error(&line, err);
    dl_log_end(&line);
    dl_http_reply_clear(&x->reply);
    /* Without memory for anything: no headers of the application, and a body that needs no copy. */
    x->reply.failed = true;
    x->reply.kind = DL_HTTP_ANSWER_MEMORY;
    x->reply.status = 500;
    x->reply.fallback = (dl_http_header_line){.name = "Content-Type", .value = plain_text};
    x->reply.first = &x->reply.fallback;
    dl_buf_init(&x->reply.body, sizeof failure_sentence);
    if (dl_buf_append(&x->reply.body, failure_sentence, sizeof failure_sentence - 1, NULL) ==
        DL_OK) {
        x->reply.length_bytes = x->reply.body.len;
    }
}
