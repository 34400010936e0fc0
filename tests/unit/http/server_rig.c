#include "server_rig.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/url.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ECHO_LIMIT_BYTES = 32 << 20, FILE_BYTES = 200000, WAIT_MS = 120000 };

/* ---- the application ---- */

typedef struct state {
    rig *r;
    dl_buf body;
    uint64_t byte_count;
} state;

typedef struct pattern {
    rig *r;
    uint64_t at, length_bytes, fail_at;
} pattern;

static uint64_t number_param(dl_http_exchange *x, const char *name, uint64_t otherwise)
{
    dl_url_param *params = NULL;
    size_t count = 0;
    if (dl_url_query_parse(dl_http_query(x), dl_http_arena(x), &params, &count, NULL) == DL_OK) {
        for (size_t i = 0; i < count; i++) {
            if (dl_str_eq(params[i].name, dl_str_of(name))) {
                (void)dl_str_to_u64(params[i].value, &otherwise);
            }
        }
    }
    return otherwise;
}

/* Byte n of a stream is 'a' + n mod 26. */
static dl_status read_pattern(void *context, char *out, size_t room, size_t *out_len, dl_error *err)
{
    pattern *p = context;
    uint64_t left = p->length_bytes - p->at;
    size_t len = left < room ? (size_t)left : room;
    if (p->at >= p->fail_at) {
        return dl_error_set(err, DL_E_IO, "the stream was asked to fail");
    }
    for (size_t i = 0; i < len; i++) {
        out[i] = (char)('a' + (p->at + i) % 26);
    }
    p->at += len;
    *out_len = len;
    return DL_OK;
}

static void destroy_pattern(void *context)
{
    pattern *p = context;
    atomic_fetch_add(&p->r->stream_destroy_count, 1);
    dl_mem_free(p);
}

static dl_status answer_stream(rig *r, dl_http_exchange *x, dl_error *err)
{
    pattern *p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory");
    }
    uint64_t known = number_param(x, "known", 1);
    uint64_t announced = number_param(x, "announced", number_param(x, "length", 0));
    *p = (pattern){.r = r, .length_bytes = number_param(x, "length", 0)};
    p->fail_at = number_param(x, "fail", UINT64_MAX);
    dl_http_stream stream = {read_pattern, destroy_pattern, p};
    atomic_fetch_add(&r->stream_count, 1);
    dl_http_respond_stream(x, 200, "text/plain", known != 0 ? announced : UINT64_MAX, &stream);
    return DL_OK;
}

typedef struct file_parts {
    rig *r;
    int fd;
    uint64_t next, count, fail_at, offset_bytes;
} file_parts;

/* The alphabet, then the alphabet again and again from the file: with the offset 0 the whole is the
 * pattern. */
static dl_status next_part(void *context, dl_http_part *out_part, dl_error *err)
{
    file_parts *p = context;
    uint64_t i = p->next++;
    if (i == p->fail_at) {
        return dl_error_set(err, DL_E_IO, "the parts were asked to fail");
    }
    if (i < p->count) {
        *out_part = (dl_http_part){.bytes = DL_STR("abcdefghijklmnopqrstuvwxyz"),
                                   .fd = p->fd,
                                   .offset_bytes = p->offset_bytes,
                                   .length_bytes = RIG_PART_BYTES - 26};
    }
    return DL_OK;
}

static void destroy_parts(void *context)
{
    file_parts *p = context;
    dl_file_close(&p->fd);
    atomic_fetch_add(&p->r->stream_destroy_count, 1);
    dl_mem_free(p);
}

static dl_status answer_parts(rig *r, dl_http_exchange *x, dl_error *err)
{
    file_parts *p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory");
    }
    *p = (file_parts){.r = r, .fd = -1, .count = number_param(x, "count", 0)};
    p->fail_at = number_param(x, "fail", UINT64_MAX);
    p->offset_bytes = number_param(x, "offset", 0);
    atomic_fetch_add(&r->stream_count, 1);
    dl_status status = dl_file_open(r->file_path, O_RDONLY, 0, &p->fd, err);
    if (status != DL_OK) {
        destroy_parts(p);
        return status;
    }
    dl_http_parts parts = {next_part, destroy_parts, p};
    uint64_t length = number_param(x, "announced", p->count * RIG_PART_BYTES);
    dl_http_respond_parts(x, 200, "text/plain", length, &parts);
    return DL_OK;
}

static dl_status answer_file(const rig *r, dl_http_exchange *x, dl_error *err)
{
    int fd = -1;
    DL_TRY(dl_file_open(r->file_path, O_RDONLY, 0, &fd, err));
    dl_http_respond_file(x, 206, "application/dicom", fd, number_param(x, "offset", 0),
                         number_param(x, "length", FILE_BYTES));
    return DL_OK;
}

static dl_status answer_info(dl_http_exchange *x, dl_error *err)
{
    dl_str text = DL_STR_NONE;
    unsigned long long length = dl_http_content_length(x);
    DL_TRY(dl_arena_printf(
        dl_http_arena(x), &text, err,
        "method=%.*s head=%d path=%.*s query=%.*s accept=%.*s x=%.*s base=%.*s "
        "length=%lld id=%.*s",
        DL_STR_ARG(dl_http_method(x)), dl_http_is_head(x), DL_STR_ARG(dl_http_path(x)),
        DL_STR_ARG(dl_http_query(x)), DL_STR_ARG(dl_http_header(x, "accept")),
        DL_STR_ARG(dl_http_header(x, "x-several")), DL_STR_ARG(dl_http_base_url(x)),
        (long long)length, DL_STR_ARG(dl_http_request_id(x))));
    dl_http_respond(x, 200, "text/plain", text);
    return DL_OK;
}

/* Routes that answer at once. */
static bool answer_now(rig *r, dl_http_exchange *x, dl_status *out_status, dl_error *err)
{
    dl_str path = dl_http_path(x);
    if (dl_str_eq(path, DL_STR("/text")) || dl_str_eq(path, DL_STR("/v2/text"))) {
        dl_http_respond(x, 200, "text/plain", DL_STR("hello"));
    } else if (dl_str_eq(path, DL_STR("/204"))) {
        dl_http_respond(x, 204, NULL, DL_STR(""));
    } else if (dl_str_eq(path, DL_STR("/304"))) {
        dl_http_respond(x, 304, NULL, DL_STR(""));
    } else if (dl_str_eq(path, DL_STR("/empty"))) {
        dl_http_respond(x, 200, "text/plain", DL_STR(""));
    } else if (dl_str_eq(path, DL_STR("/early"))) {
        dl_http_add_header(x, "X-Why", DL_STR("tab\there"));
        dl_http_respond(x, 415, "text/plain", DL_STR("no"));
    } else if (dl_str_eq(path, DL_STR("/slow"))) {
        struct timespec nap = {0, (long)number_param(x, "ms", 0) * 1000000};
        (void)nanosleep(&nap, NULL);
        dl_http_respond(x, 200, "text/plain", DL_STR("slow"));
    } else if (dl_str_eq(path, DL_STR("/held"))) {
        struct timespec nap = {0, 5000000};
        while (atomic_load(&r->hold)) {
            (void)nanosleep(&nap, NULL);
        }
        dl_http_respond(x, 200, "text/plain", DL_STR("slow"));
    } else if (dl_str_eq(path, DL_STR("/info"))) {
        *out_status = answer_info(x, err);
    } else if (dl_str_eq(path, DL_STR("/stream"))) {
        *out_status = answer_stream(r, x, err);
    } else if (dl_str_eq(path, DL_STR("/parts"))) {
        *out_status = answer_parts(r, x, err);
    } else if (dl_str_eq(path, DL_STR("/file"))) {
        *out_status = answer_file(r, x, err);
    } else if (dl_str_eq(path, DL_STR("/fail"))) {
        *out_status = dl_error_set(err, DL_E_IO, "the disk failed");
    } else if (!dl_str_eq(path, DL_STR("/nothing"))) {
        return false;
    }
    return true;
}

static dl_status on_begin(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    rig *r = context;
    dl_status status = DL_OK;
    atomic_fetch_add(&r->begin_count, 1);
    dl_http_set_route(x, "/rig/{route}");
    if (answer_now(r, x, &status, err)) {
        return status;
    }
    state *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory");
    }
    s->r = r;
    dl_buf_init(&s->body, ECHO_LIMIT_BYTES);
    atomic_fetch_add(&r->state_count, 1);
    *out_state = s;
    return DL_OK;
}

static dl_status on_body(void *context, dl_http_exchange *x, void *state_, dl_bytes piece,
                         dl_error *err)
{
    rig *r = context;
    state *s = state_;
    atomic_fetch_add(&r->piece_count, 1);
    s->byte_count += piece.len;
    if (dl_str_eq(dl_http_path(x), DL_STR("/bad-body")) &&
        s->byte_count >= number_param(x, "after", 0)) {
        return dl_error_set(err, DL_E_INVALID, "the body is bad");
    }
    if (dl_str_eq(dl_http_path(x), DL_STR("/echo"))) {
        return dl_buf_append(&s->body, piece.ptr, piece.len, err);
    }
    return DL_OK;
}

static void on_end(void *context, dl_http_exchange *x, void *state_, const dl_error *body_failure)
{
    rig *r = context;
    state *s = state_;
    atomic_fetch_add(&r->end_count, 1);
    if (dl_str_eq(dl_http_path(x), DL_STR("/no-answer"))) {
        return;
    }
    if (body_failure != NULL) {
        dl_http_respond(x, 400, "text/plain", dl_str_of(body_failure->message));
    } else if (dl_str_eq(dl_http_path(x), DL_STR("/echo"))) {
        dl_http_respond_buf(x, 200, "application/octet-stream", &s->body);
    } else {
        char text[40];
        int len = snprintf(text, sizeof text, "%llu", (unsigned long long)s->byte_count);
        dl_http_respond(x, 200, "text/plain", (dl_str){text, (size_t)len});
    }
}

static void on_destroy(void *context, void *state_)
{
    rig *r = context;
    state *s = state_;
    atomic_fetch_add(&r->destroy_count, 1);
    atomic_fetch_sub(&r->state_count, 1);
    dl_buf_clear(&s->body);
    dl_mem_free(s);
}

static void make_file(rig *r)
{
    static char text[FILE_BYTES];
    dl_error err = {0};
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + i % 26);
    }
    static atomic_int rig_count;
    (void)snprintf(r->file_path, sizeof r->file_path, "/tmp/dl-test-server-%d-%d", (int)getpid(),
                   atomic_fetch_add(&rig_count, 1));
    TAP_OK(dl_file_replace(r->file_path, (dl_str){text, sizeof text}, &err), err);
}

void rig_start(rig *r, const dl_http_server_options *options)
{
    dl_http_app app = {
        .begin = on_begin, .body = on_body, .end = on_end, .destroy = on_destroy, .context = r};
    dl_error err = {0};
    *r = (rig){0};
    make_file(r);
    TAP_OK(dl_http_server_start(options, &app, &r->server, &err), err);
}

void rig_stop(rig *r, unsigned grace_ms)
{
    dl_http_server_stop(r->server, grace_ms);
    r->server = NULL;
    (void)unlink(r->file_path);
    /* Whatever happened: what began has ended. */
    TAP_EQ_INT(atomic_load(&r->state_count), 0);
    TAP_EQ_INT(atomic_load(&r->stream_destroy_count), atomic_load(&r->stream_count));
}

bool rig_wait(const atomic_int *value, int want)
{
    struct timespec nap = {0, 2000000};
    for (int i = 0; i < 30000 && atomic_load(value) != want; i++) {
        (void)nanosleep(&nap, NULL);
    }
    return atomic_load(value) == want;
}

/* ---- the client ---- */

wire wire_open(const rig *r)
{
    wire w = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(dl_http_server_port(r->server)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = WAIT_MS / 1000};
    (void)setsockopt(w.fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(w.fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    dl_buf_init(&w.in, (size_t)256 << 20);
    TAP_TRUE(connect(w.fd, (struct sockaddr *)&address, sizeof address) == 0);
    return w;
}

void wire_close(wire *w)
{
    dl_file_close(&w->fd);
    dl_buf_clear(&w->in);
}

bool wire_send(wire *w, dl_str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(w->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes = dl_str_slice(bytes, (size_t)n, bytes.len);
    }
    return true;
}

bool wire_say(wire *w, const char *text)
{
    return wire_send(w, dl_str_of(text));
}

/* One more read; false at the end, after a reset, or when nothing comes. */
static bool read_more(wire *w)
{
    if (dl_buf_reserve(&w->in, 65536, NULL) != DL_OK) {
        return false;
    }
    ssize_t n = recv(w->fd, w->in.ptr + w->in.len, 65536, 0);
    if (n > 0) {
        w->in.len += (size_t)n;
    }
    return n > 0;
}

static bool read_line(wire *w, dl_str *out_line)
{
    for (;;) {
        dl_str rest = dl_str_slice(dl_buf_str(&w->in), w->at, w->in.len);
        ptrdiff_t end = dl_str_find_str(rest, DL_STR("\r\n"));
        if (end >= 0) {
            *out_line = dl_str_slice(rest, 0, (size_t)end);
            w->at += (size_t)end + 2;
            return true;
        }
        if (!read_more(w)) {
            return false;
        }
    }
}

static bool read_bytes(wire *w, uint64_t len, dl_buf *out)
{
    while (len > 0) {
        size_t there = w->in.len - w->at;
        size_t take = there < len ? there : (size_t)len;
        if (dl_buf_append_str(out, dl_str_slice(dl_buf_str(&w->in), w->at, take), NULL) != DL_OK) {
            return false;
        }
        w->at += take;
        len -= take;
        if (w->at == w->in.len) {
            dl_buf_reset(&w->in);
            w->at = 0;
        }
        if (len > 0 && !read_more(w)) {
            return false;
        }
    }
    return true;
}

static bool read_chunks(wire *w, dl_buf *out)
{
    for (;;) {
        dl_str line = DL_STR_NONE;
        uint64_t len = 0;
        if (!read_line(w, &line) || !dl_str_hex_to_u64(line, &len)) {
            return false;
        }
        if (!read_bytes(w, len, out) || !read_line(w, &line) || line.len != 0) {
            return false;
        }
        if (len == 0) {
            return true;
        }
    }
}

bool wire_answer(wire *w, bool is_head, answer *a)
{
    char length[32], encoding[32];
    dl_str line = DL_STR_NONE;
    uint64_t value = 0;
    *a = (answer){0};
    dl_buf_init(&a->head, 1 << 20);
    dl_buf_init(&a->body, (size_t)256 << 20);
    do {
        if (!read_line(w, &line) || dl_buf_append_str(&a->head, line, NULL) != DL_OK ||
            dl_buf_append_char(&a->head, '\n', NULL) != DL_OK) {
            return false;
        }
    } while (line.len > 0);
    if (!dl_str_starts(dl_buf_str(&a->head), DL_STR("HTTP/1.1 ")) ||
        !dl_str_to_u64(dl_str_slice(dl_buf_str(&a->head), 9, 3), &value)) {
        return false;
    }
    a->status = (unsigned)value;
    int lengths = answer_header(a, "Content-Length", length, sizeof length);
    int encodings = answer_header(a, "Transfer-Encoding", encoding, sizeof encoding);
    TAP_TRUE(lengths + encodings <= 1);
    if (is_head || a->status < 200 || a->status == 204 || a->status == 304) {
        a->whole = true;
    } else if (encodings > 0) {
        a->whole = read_chunks(w, &a->body);
    } else if (lengths > 0) {
        a->whole = dl_str_to_u64(dl_str_of(length), &value) && read_bytes(w, value, &a->body);
    } else {
        while (read_more(w)) {
        }
        a->whole = read_bytes(w, w->in.len - w->at, &a->body);
    }
    return true;
}

bool wire_closed(wire *w)
{
    if (w->at != w->in.len) {
        return false;
    }
    char c = 0;
    ssize_t n = recv(w->fd, &c, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

int64_t wire_ms_until_closed(wire *w, int64_t since_us)
{
    struct pollfd p = {.fd = w->fd, .events = POLLIN};
    char bytes[4096];
    while (poll(&p, 1, 120000) == 1 && recv(w->fd, bytes, sizeof bytes, 0) > 0) {
    }
    return (dl_clock_monotonic_us() - since_us) / 1000;
}

void answer_clear(answer *a)
{
    dl_buf_clear(&a->head);
    dl_buf_clear(&a->body);
}

int answer_header(const answer *a, const char *name, char *out, size_t out_size)
{
    dl_str rest = dl_buf_str(&a->head), line = DL_STR_NONE;
    int count = 0;
    out[0] = '\0';
    while (dl_str_next(&rest, '\n', &line)) {
        ptrdiff_t colon = dl_str_find(line, ':');
        if (colon > 0 && dl_str_eq_nocase(dl_str_slice(line, 0, (size_t)colon), dl_str_of(name))) {
            count++;
            (void)dl_str_copy(dl_str_trim(dl_str_slice(line, (size_t)colon + 1, line.len)), out,
                              out_size);
        }
    }
    return count;
}

void rig_ask(const rig *r, const char *request, answer *a)
{
    wire w = wire_open(r);
    TAP_TRUE(wire_say(&w, request));
    if (!wire_answer(&w, dl_str_starts(dl_str_of(request), DL_STR("HEAD ")), a)) {
        TAP_FAIL("no answer to %.60s", request);
    }
    wire_close(&w);
}

/* ---- what is expected ---- */

void expect_header(const answer *a, const char *name, const char *want)
{
    char value[300];
    TAP_EQ_INT(answer_header(a, name, value, sizeof value), want == NULL ? 0 : 1);
    TAP_EQ_STR(dl_str_of(value), want == NULL ? "" : want);
}

void expect_common_headers(const answer *a)
{
    char id[64];
    expect_header(a, "X-Content-Type-Options", "nosniff");
    expect_header(a, "X-Frame-Options", "SAMEORIGIN");
    expect_header(a, "Content-Security-Policy", "frame-src 'self';");
    TAP_EQ_INT(answer_header(a, "X-Request-Id", id, sizeof id), 1);
    TAP_EQ_INT(strspn(id, "0123456789abcdef"), 32);
    TAP_EQ_INT(strlen(id), 32);
    TAP_EQ_INT(answer_header(a, "Date", id, sizeof id), 1);
}
