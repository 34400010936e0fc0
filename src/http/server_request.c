#include "http/internal.h"

#include "base/ckd.h"
#include "base/clock.h"
#include "base/log.h"

#include <string.h>

/* ---- what no application should see ---- */

static bool is_token_char(char c)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
        return true;
    }
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_char(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_host(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || strchr(".-_~:[]%", c) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

typedef struct header_facts {
    unsigned host_count, length_count, encoding_count;
    dl_str host, length, encoding, expect;
    const char *next; /* where the next header has to begin; NULL: not looked at */
    bool malformed;
} header_facts;

/* libmicrohttpd before 0.9.76 takes a line that begins with a colon for the end of the headers,
 * adds a folded line to the name of its header, ends a value at a NUL, and takes a lone LF for a
 * line end. Each lets two readers of one request see two requests. All of it shows in where the
 * strings lie in its buffer, in which ':', CR and LF have become NUL. Later versions refuse these
 * by themselves, and their buffer is not known here. */
static bool layout_is_known(void)
{
    const char *version = MHD_get_version();
    return strlen(version) == 6 && strcmp(version, "0.9.71") >= 0 && strcmp(version, "0.9.76") < 0;
}

static void check_place(header_facts *f, dl_str name, dl_str raw_value)
{
    uintptr_t next = (uintptr_t)f->next, key = (uintptr_t)name.ptr,
              value = (uintptr_t)raw_value.ptr;
    if (key != next || value < key + name.len + 1) {
        f->malformed = true;
        return;
    }
    for (const char *p = name.ptr + name.len + 1; p < raw_value.ptr; p++) {
        if (*p != ' ' && *p != '\t') {
            f->malformed = true;
            return;
        }
    }
    f->next = raw_value.ptr + raw_value.len + 2;
}

/* The encoding and the expectation are kept as libmicrohttpd compares them: it cuts no space off
 * the end of a value, and would wait for a body without end where we see chunks, or send no 100. */
static void note_header(void *context, dl_str name, dl_str raw_value)
{
    header_facts *f = context;
    if (f->next != NULL && !f->malformed) {
        check_place(f, name, raw_value);
    }
    dl_str value = dl_str_trim(raw_value);
    if (!is_token(name)) {
        f->malformed = true; /* such as white space before the colon: another reader may see another
                                name (RFC 9112 section 5.1) */
    }
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            f->malformed = true;
        }
    }
    if (dl_str_eq_nocase(name, DL_STR("Host"))) {
        f->host_count++;
        f->host = value;
    } else if (dl_str_eq_nocase(name, DL_STR("Content-Length"))) {
        f->length_count++;
        f->length = value;
    } else if (dl_str_eq_nocase(name, DL_STR("Transfer-Encoding"))) {
        f->encoding_count++;
        f->encoding = raw_value;
    } else if (dl_str_eq_nocase(name, DL_STR("Expect"))) {
        f->expect = raw_value;
    }
}

static bool refuse(dl_http_exchange *x, unsigned status, const char *sentence)
{
    x->must_close = true; /* where the next request begins is not to be trusted */
    dl_http_refuse(x, status, sentence);
    return false;
}

/* The length of the body (RFC 9112 section 6.3). Two statements about it are one too many: another
 * reader in front of us could have followed the other one. */
static bool check_framing(dl_http_exchange *x, const header_facts *f)
{
    if (f->length_count + f->encoding_count > 1) {
        return refuse(x, 400, "The request states the length of its body more than once.");
    }
    if (f->encoding_count == 1) {
        if (x->is_http_1_0 || !dl_str_eq_nocase(f->encoding, DL_STR("chunked"))) {
            return refuse(x, 400, "The only transfer encoding is chunked.");
        }
        x->content_length = UINT64_MAX;
    }
    if (f->length_count == 1 &&
        (f->length.len == 0 || f->length.ptr[0] == '+' ||
         !dl_str_to_u64(f->length, &x->content_length) || x->content_length == UINT64_MAX)) {
        return refuse(x, 400, "The Content-Length is not a number.");
    }
    if (x->content_length != UINT64_MAX &&
        x->content_length > x->server->options.body_limit_bytes) {
        return refuse(x, 413, "The body of the request is too large.");
    }
    return true;
}

/* Start line, headers and the blank line. */
static size_t header_block_size(const dl_http_exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    return info == NULL ? 0 : info->header_size;
}

static bool check_headers(dl_http_exchange *x, const dl_http_start_line *line)
{
    header_facts f = {0};
    if (layout_is_known()) {
        bool in_place = line->url == line->method + strlen(line->method) + 1 &&
                        line->version == line->url + x->target.len + 1;
        f.next = line->version + strlen(line->version) + 2;
        f.malformed = !in_place;
    }
    dl_http_each_raw_header(x, note_header, &f);
    if (f.next != NULL && f.next + 2 != line->method + header_block_size(x)) {
        f.malformed = true;
    }
    if (f.malformed) {
        return refuse(x, 400, "A header of the request is malformed.");
    }
    bool host_wanted = !x->is_http_1_0;
    if (f.host_count > 1 || (f.host_count == 0 && host_wanted) ||
        (f.host_count == 1 && f.host.len > 0 && !is_host(f.host))) {
        return refuse(x, 400, "The request needs exactly one Host header.");
    }
    if (!check_framing(x, &f)) {
        return false;
    }
    x->expects_continue = dl_str_eq_nocase(f.expect, DL_STR("100-continue")) && !x->is_http_1_0;
    if (f.expect.len > 0 && !dl_str_eq_nocase(f.expect, DL_STR("100-continue"))) {
        return refuse(x, 417, "The only expectation is 100-continue.");
    }
    return true;
}

/* Origin form, "*", or absolute form, whose authority counts instead of Host (RFC 9112 section
 * 3.2.2). */
static bool check_target(dl_http_exchange *x)
{
    dl_str target = x->target;
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= ' ' || c == 0x7f) {
            return refuse(x, 400, "The request target is malformed.");
        }
    }
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < DL_COUNT_OF(schemes); i++) {
        if (dl_str_starts_nocase(target, dl_str_of(schemes[i]))) {
            size_t at = strlen(schemes[i]);
            while (at < target.len && target.ptr[at] != '/' && target.ptr[at] != '?') {
                at++;
            }
            x->authority = dl_str_slice(target, strlen(schemes[i]), at - strlen(schemes[i]));
            if (!is_host(x->authority)) {
                return refuse(x, 400, "The request target is malformed.");
            }
            target = dl_str_slice(target, at, target.len);
            if (target.len == 0) {
                target = DL_STR("/");
            }
            break;
        }
    }
    ptrdiff_t mark = dl_str_find(target, '?');
    x->path = mark < 0 ? target : dl_str_slice(target, 0, (size_t)mark);
    x->query = mark < 0 ? DL_STR("") : dl_str_slice(target, (size_t)mark + 1, target.len);
    if (x->path.len == 0 && mark == 0) {
        x->path = DL_STR("/");
    }
    if (x->path.ptr[0] != '/' && !dl_str_eq(x->path, DL_STR("*"))) {
        return refuse(x, 400, "The request target is malformed.");
    }
    return true;
}

static bool check_sizes(dl_http_exchange *x, const dl_http_start_line *line)
{
    const dl_http_server_options *options = &x->server->options;
    if (x->target.len > options->url_limit_bytes) {
        return refuse(x, 414, "The URL of the request is too long.");
    }
    size_t whole = header_block_size(x);
    size_t first =
        strlen(line->method) + x->target.len + strlen(line->version) + 4; /* SP SP CRLF */
    if (whole > first && whole - first > options->header_limit_bytes) {
        return refuse(x, 431, "The headers of the request are too large.");
    }
    return true;
}

static bool check_request(dl_http_exchange *x, const dl_http_start_line *line)
{
    const char *method = line->method, *version = line->version;
    /* Even a refused request is logged and answered with all that can be known about it. */
    x->is_head = strcmp(method, "HEAD") == 0;
    x->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    x->path = DL_STR("/");
    x->query = DL_STR("");
    x->method = DL_STR("GET");
    if (!x->is_head && dl_arena_copy(x->own, dl_str_of(method), &x->method, NULL) != DL_OK) {
        return refuse(x, 400, "The method of the request is malformed.");
    }
    if (!check_sizes(x, line) || !check_target(x) || !check_headers(x, line)) {
        return false;
    }
    return is_token(x->method) || refuse(x, 400, "The method of the request is malformed.");
}

/* ---- the way of a request ---- */

static void need_answer(dl_http_exchange *x)
{
    if (!dl_http_answered(x)) {
        dl_error err = {0};
        dl_error_set(&err, DL_E_CORRUPT, "the application left a request without answer");
        dl_http_fail(x, &err);
    }
}

static void begin(dl_http_exchange *x)
{
    dl_http_app *app = &x->server->app;
    dl_error err = {0};
    dl_status status = app->begin(app->context, x, &x->state, &err);
    if (dl_http_answered(x)) {
        return;
    }
    if (status != DL_OK) {
        dl_http_fail(x, &err);
    } else if (x->state == NULL) {
        need_answer(x);
    }
}

static void wait_for_body(dl_http_exchange *x)
{
    x->waiting_since_us = dl_clock_monotonic_us();
    dl_http_watch_deadline(x->conn, x->server->options.idle_timeout_s);
}

/* The body of a request that is answered already: a short one is read and dropped, so that the
 * connection lives on; for a long one the answer goes out now, and the connection ends. So it does
 * when a 100 is expected and there is no body: later, libmicrohttpd would send the 100, take the
 * beginning of the next request for the body, and close without an answer. */
static enum MHD_Result answer_early(dl_http_exchange *x)
{
    if (x->content_length == 0 && !x->must_close && !x->expects_continue) {
        return MHD_YES;
    }
    if (x->must_close || x->expects_continue || x->content_length > DL_HTTP_DROP_LIMIT_BYTES) {
        x->linger = true;
        return dl_http_queue(x);
    }
    x->dropping = true;
    wait_for_body(x);
    return MHD_YES;
}

static void end(dl_http_exchange *x)
{
    dl_http_app *app = &x->server->app;
    if (!dl_http_answered(x)) {
        app->end(app->context, x, x->state, x->body_failed ? &x->body_failure : NULL);
        need_answer(x);
    }
}

enum MHD_Result dl_http_request_start(dl_http_exchange *x, const dl_http_start_line *line)
{
    x->started = true;
    dl_http_watch_deadline(x->conn, 0);
    if (check_request(x, line)) {
        begin(x);
    }
    if (x->expects_continue && x->content_length == 0) {
        end(x);
    }
    if (dl_http_answered(x)) {
        return answer_early(x);
    }
    wait_for_body(x);
    return MHD_YES;
}

/* The rest of the body is of no interest. Few bytes are dropped, else the answer goes out past
 * libmicrohttpd, which takes none before the body is over. */
static enum MHD_Result drop_or_cut(dl_http_exchange *x)
{
    x->dropping = true;
    uint64_t left =
        x->content_length == UINT64_MAX ? x->dropped_bytes : x->content_length - x->received_bytes;
    if (left <= DL_HTTP_DROP_LIMIT_BYTES) {
        return MHD_YES;
    }
    end(x);
    dl_http_cut(x);
    return MHD_NO; /* closes */
}

static enum MHD_Result take_piece(dl_http_exchange *x, dl_bytes piece)
{
    uint64_t received = 0;
    if (ckd_add(&received, x->received_bytes, piece.len)) {
        return MHD_NO;
    }
    x->received_bytes = received;
    if (x->dropping) {
        x->dropped_bytes += piece.len;
        return drop_or_cut(x);
    }
    if (received > x->server->options.body_limit_bytes) {
        dl_http_refuse(x, 413, "The body of the request is too large.");
        return drop_or_cut(x);
    }
    dl_http_app *app = &x->server->app;
    if (app->body(app->context, x, x->state, piece, &x->body_failure) != DL_OK) {
        x->body_failed = true;
        return drop_or_cut(x);
    }
    return MHD_YES;
}

/* A client that sends a little now and then would hold its place for as long as it likes. */
static enum MHD_Result give_up(dl_http_exchange *x)
{
    if (!dl_http_answered(x)) {
        dl_http_refuse(x, 408, "The body of the request comes too slowly.");
    }
    dl_http_cut(x);
    return MHD_NO; /* closes */
}

enum MHD_Result dl_http_request_piece(dl_http_exchange *x, dl_bytes piece)
{
    dl_http_watch_deadline(x->conn, 0);
    int64_t waited_us = dl_clock_monotonic_us() - x->waiting_since_us;
    if (!dl_http_pace_add(&x->giving, &x->server->options, waited_us, piece.len)) {
        return give_up(x);
    }
    enum MHD_Result result = take_piece(x, piece);
    wait_for_body(x);
    return result;
}

enum MHD_Result dl_http_request_finish(dl_http_exchange *x)
{
    dl_http_watch_deadline(x->conn, 0);
    end(x);
    return dl_http_queue(x);
}
