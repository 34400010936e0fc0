/* The client against our server, and against a peer that says exactly what the case wants. */
#include "server_rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static rig the_rig;

/* ---- a peer that answers with fixed bytes ---- */

enum { PEER_ANSWERS = 3, SILENCE_MS = 120000 };

typedef struct peer {
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    const char *answers[PEER_ANSWERS]; /* one per request on one connection; NULL: silence */
    int silence_ms;                    /* at most: it ends with the client */
    dl_buf request;                    /* everything that came */
} peer;

static void *serve_peer(void *context)
{
    peer *p = context;
    char bytes[4096];
    int fd = accept(p->listen_fd, NULL, NULL);
    for (size_t i = 0; i < PEER_ANSWERS && p->answers[i] != NULL; i++) {
        size_t start = p->request.len;
        ssize_t n = 0;
        do {
            n = recv(fd, bytes, sizeof bytes, 0);
            if (n <= 0 || dl_buf_append(&p->request, bytes, (size_t)n, NULL) != DL_OK) {
                break;
            }
        } while (dl_str_find_str(dl_str_slice(dl_buf_str(&p->request), start, p->request.len),
                                 DL_STR("\r\n\r\n")) < 0);
        (void)send(fd, p->answers[i], strlen(p->answers[i]), MSG_NOSIGNAL);
    }
    struct pollfd left = {.fd = fd, .events = POLLIN};
    (void)poll(&left, 1, p->silence_ms); /* the client says nothing more: its end, or time is up */
    dl_file_close(&fd);
    return NULL;
}

static void peer_start(peer *p, const char *first_answer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TAP_TRUE(bind(p->listen_fd, (struct sockaddr *)&address, len) == 0);
    TAP_TRUE(listen(p->listen_fd, 5) == 0);
    TAP_TRUE(getsockname(p->listen_fd, (struct sockaddr *)&address, &len) == 0);
    p->port = ntohs(address.sin_port);
    p->answers[0] = first_answer;
    dl_buf_init(&p->request, 1 << 20);
    TAP_TRUE(pthread_create(&p->thread, NULL, serve_peer, p) == 0);
}

static void peer_stop(peer *p)
{
    (void)pthread_join(p->thread, NULL);
    dl_file_close(&p->listen_fd);
    dl_buf_clear(&p->request);
}

/* ---- one call with everything round it ---- */

typedef struct ask {
    dl_http_client *client;
    dl_arena *arena;
    dl_buf body;
    dl_http_answer answer;
    dl_error err;
} ask;

static void ask_open_with(ask *a, const dl_http_client_options *options)
{
    *a = (ask){.arena = dl_arena_create(1 << 20), .answer = {.status = 777}};
    dl_buf_init(&a->body, 1 << 20);
    TAP_OK(dl_http_client_create(options, &a->client, &a->err), a->err);
}

static void ask_open(ask *a)
{
    static const dl_http_client_options options = {.connect_timeout_s = 60, .idle_timeout_s = 60};
    ask_open_with(a, &options);
}

static void ask_close(ask *a)
{
    dl_http_client_destroy(a->client);
    dl_arena_destroy(a->arena);
    dl_buf_clear(&a->body);
}

static dl_status ask_call(ask *a, uint16_t port, const char *method, const char *target,
                          dl_http_call call)
{
    char url[300];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, target);
    call.method = method;
    call.url = url;
    dl_buf_reset(&a->body);
    dl_error_clear(&a->err);
    return dl_http_client_do(a->client, &call, a->arena, &a->body, &a->answer, &a->err);
}

static dl_status ask_rig(ask *a, const char *method, const char *target, dl_http_call call)
{
    return ask_call(a, dl_http_server_port(the_rig.server), method, target, call);
}

static const dl_http_call no_call = {0};

/* ---- plain ---- */

TAP_CASE(get_and_head)
{
    ask a;
    ask_open(&a);
    TAP_OK(ask_rig(&a, "GET", "/v2/text?x=%41", no_call), a.err);
    TAP_EQ_INT(a.answer.status, 200);
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    TAP_EQ_STR(a.answer.content_type, "text/plain");
    TAP_EQ_STR(dl_http_answer_header(&a.answer, "x-content-TYPE-options"), "nosniff");
    TAP_TRUE(dl_http_answer_header(&a.answer, "X-None").ptr == NULL);
    TAP_OK(ask_rig(&a, "HEAD", "/text", no_call), a.err);
    TAP_EQ_INT(a.answer.status, 200);
    TAP_EQ_INT(a.body.len, 0);
    TAP_EQ_STR(dl_http_answer_header(&a.answer, "Content-Length"), "5");
    TAP_OK(ask_rig(&a, "GET", "/204", no_call), a.err);
    TAP_EQ_INT(a.answer.status, 204);
    TAP_OK(ask_rig(&a, "GET", "/fail", no_call), a.err);
    TAP_EQ_INT(a.answer.status, 500);
    TAP_EQ_STR(dl_buf_str(&a.body), "The service could not answer this request.");
    TAP_OK(ask_rig(&a, "GET", "/a/../text", no_call), a.err); /* the path is sent as it is */
    TAP_EQ_STR(dl_buf_str(&a.body), "0");
    ask_close(&a);
}

TAP_CASE(nothing_is_sent_that_was_not_given)
{
    static const struct {
        const char *method, *length_line;
    } rows[] = {{"GET", ""},
                {"DELETE", ""},
                {"HEAD", ""},
                {"PUT", "Content-Length: 0\r\n"},
                {"POST", "Content-Length: 0\r\n"}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        ask a;
        peer p = {0};
        char want[300];
        peer_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        ask_open(&a);
        TAP_OK(ask_call(&a, p.port, rows[i].method, "/x", no_call), a.err);
        (void)snprintf(want, sizeof want, "%s /x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n",
                       rows[i].method, p.port, rows[i].length_line);
        ask_close(&a);
        (void)pthread_join(p.thread, NULL);
        TAP_EQ_STR(dl_buf_str(&p.request), want);
        dl_file_close(&p.listen_fd);
        dl_buf_clear(&p.request);
    }
}

TAP_CASE(headers_go_out_and_come_back)
{
    static const dl_http_field fields[] = {{{"Accept", 6}, {"a/b", 3}},
                                           {{"X-Empty", 7}, {"", 0}},
                                           {{"Authorization", 13}, {"Bearer t", 8}},
                                           {{"Expect", 6}, {"100-continue", 12}},
                                           {{"user-agent", 10}, {"u/1", 3}}};
    ask a;
    peer p = {0};
    peer_start(
        &p,
        "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: l\r\n\r\n"
        "HTTP/1.1 409 Conflict\r\nX-A: 1\r\nx-a:  2 \r\nContent-Length: 3\r\n\r\nabc");
    ask_open(&a);
    TAP_OK(ask_call(&a, p.port, "POST", "/x",
                    (dl_http_call){.fields = fields,
                                   .field_count = DL_COUNT_OF(fields),
                                   .body = {(const uint8_t *)"b", 1}}),
           a.err);
    TAP_EQ_INT(a.answer.status, 409);
    TAP_EQ_INT(a.answer.field_count, 3);
    TAP_EQ_STR(dl_http_answer_header(&a.answer, "X-A"), "1");
    TAP_EQ_STR(a.answer.fields[1].value, "2");
    TAP_TRUE(dl_http_answer_header(&a.answer, "X-Interim").ptr == NULL);
    TAP_EQ_STR(dl_buf_str(&a.body), "abc");
    ask_close(&a);
    (void)pthread_join(p.thread, NULL);
    static const char *const lines[] = {"\r\nAccept: a/b\r\n", "\r\nX-Empty:\r\n",
                                        "\r\nAuthorization: Bearer t\r\n",
                                        "\r\nExpect: 100-continue\r\n", "\r\nuser-agent: u/1\r\n"};
    for (size_t i = 0; i < DL_COUNT_OF(lines); i++) {
        TAP_TRUE(dl_str_find_str(dl_buf_str(&p.request), dl_str_of(lines[i])) > 0);
    }
    dl_file_close(&p.listen_fd);
    dl_buf_clear(&p.request);
}

TAP_CASE(headers_that_do_not_fit_a_line_are_refused)
{
    static const dl_http_field fields[] = {{{"X", 1}, {"a\r\nY: b", 7}},
                                           {{"X\r\n", 3}, {"a", 1}},
                                           {{"", 0}, {"a", 1}},
                                           {{"X", 1}, {"a\0b", 3}}};
    ask a;
    ask_open(&a);
    for (size_t i = 0; i < DL_COUNT_OF(fields); i++) {
        TAP_STATUS(
            ask_rig(&a, "GET", "/text", (dl_http_call){.fields = &fields[i], .field_count = 1}),
            DL_E_INVALID);
        TAP_EQ_INT(a.answer.status, 777);
        TAP_TRUE(a.err.message[0] != '\0');
    }
    ask_close(&a);
}

TAP_CASE(connection_is_kept)
{
    ask a;
    peer p = {.answers = {NULL, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo",
                          "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree"}};
    peer_start(
        &p, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"); /* it takes one connection only */
    ask_open(&a);
    static const char *const want[] = {"one", "two", "three"};
    for (size_t i = 0; i < 3; i++) {
        TAP_OK(ask_call(&a, p.port, "GET", "/x", no_call), a.err);
        TAP_EQ_STR(dl_buf_str(&a.body), want[i]);
    }
    ask_close(&a);
    peer_stop(&p);
}

TAP_CASE(redirects_are_answers)
{
    ask a;
    peer p = {0};
    peer_start(&p, "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n");
    ask_open(&a);
    TAP_OK(ask_call(&a, p.port, "GET", "/x", no_call), a.err);
    TAP_EQ_INT(a.answer.status, 302);
    TAP_EQ_STR(dl_http_answer_header(&a.answer, "Location"), "/other");
    ask_close(&a);
    peer_stop(&p);
}

/* ---- bodies ---- */

typedef struct source {
    uint64_t at, length_bytes, fail_at;
    uint64_t taken; /* by `write` */
    uint64_t fail_write_at;
    bool wrong;
} source;

static dl_status read_source(void *context, void *out, size_t room, size_t *out_len, dl_error *err)
{
    source *s = context;
    uint64_t left = s->length_bytes - s->at;
    size_t len = left < room ? (size_t)left : room;
    if (s->at >= s->fail_at) {
        return dl_error_set(err, DL_E_CORRUPT, "the source failed");
    }
    for (size_t i = 0; i < len; i++) {
        ((char *)out)[i] = (char)('a' + (s->at + i) % 26);
    }
    s->at += len;
    *out_len = len;
    return DL_OK;
}

static dl_status write_source(void *context, dl_bytes piece, dl_error *err)
{
    source *s = context;
    for (size_t i = 0; i < piece.len; i++) {
        s->wrong = s->wrong || piece.ptr[i] != 'a' + (s->taken + i) % 26;
    }
    s->taken += piece.len;
    if (s->taken > s->fail_write_at) {
        return dl_error_set(err, DL_E_CONFLICT, "the sink failed");
    }
    return DL_OK;
}

TAP_CASE(streams_go_both_ways)
{
    for (int known = 0; known < 2; known++) {
        ask a;
        source s = {.length_bytes = 5000001, .fail_at = UINT64_MAX, .fail_write_at = UINT64_MAX};
        ask_open(&a);
        TAP_OK(ask_rig(&a, "POST", "/echo",
                       (dl_http_call){.read = read_source,
                                      .write = write_source,
                                      .context = &s,
                                      .body_length_bytes = known ? s.length_bytes : UINT64_MAX}),
               a.err);
        TAP_EQ_INT(a.answer.status, 200);
        TAP_EQ_INT(s.taken, s.length_bytes);
        TAP_TRUE(!s.wrong);
        TAP_EQ_INT(a.body.len, 0);
        ask_close(&a);
    }
}

TAP_CASE(empty_streams)
{
    for (int known = 0; known < 2; known++) {
        ask a;
        source s = {.fail_at = UINT64_MAX, .fail_write_at = UINT64_MAX};
        ask_open(&a);
        TAP_OK(ask_rig(&a, "PUT", "/count",
                       (dl_http_call){.read = read_source,
                                      .context = &s,
                                      .body_length_bytes = known ? 0 : UINT64_MAX}),
               a.err);
        TAP_EQ_STR(dl_buf_str(&a.body), "0");
        ask_close(&a);
    }
}

TAP_CASE(streams_may_fail)
{
    ask a;
    ask_open(&a);
    source s = {.length_bytes = 3000000, .fail_at = 1000000};
    TAP_STATUS(
        ask_rig(&a, "POST", "/echo",
                (dl_http_call){.read = read_source, .context = &s, .body_length_bytes = 3000000}),
        DL_E_CORRUPT);
    TAP_TRUE(strcmp(a.err.message, "the source failed") == 0);
    s = (source){.length_bytes = 1000, .fail_at = UINT64_MAX}; /* shorter than announced */
    TAP_STATUS(
        ask_rig(&a, "POST", "/echo",
                (dl_http_call){.read = read_source, .context = &s, .body_length_bytes = 1001}),
        DL_E_INVALID);
    s = (source){.fail_write_at = 100000};
    TAP_STATUS(ask_rig(&a, "GET", "/stream?length=3000000",
                       (dl_http_call){.write = write_source, .context = &s}),
               DL_E_CONFLICT);
    TAP_EQ_INT(a.answer.status, 777);
    /* After all that the client is fit for more. */
    TAP_OK(ask_rig(&a, "GET", "/text", no_call), a.err);
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    ask_close(&a);
}

typedef struct begun {
    unsigned status;
    int count, write_count;
    bool fails;
} begun;

static dl_status note_begin(void *context, const dl_http_answer *answer_, dl_error *err)
{
    begun *b = context;
    TAP_EQ_INT(b->write_count, 0);
    TAP_EQ_STR(answer_->content_type, "text/plain");
    b->status = answer_->status;
    b->count++;
    return b->fails ? dl_error_set(err, DL_E_UNSUPPORTED, "not that") : DL_OK;
}

static dl_status note_write(void *context, dl_bytes piece, dl_error *err)
{
    begun *b = context;
    (void)piece;
    (void)err;
    b->write_count++;
    return DL_OK;
}

TAP_CASE(headers_are_known_before_the_body)
{
    ask a;
    ask_open(&a);
    begun b = {0};
    dl_http_call call = {.begin = note_begin, .write = note_write, .context = &b};
    TAP_OK(ask_rig(&a, "GET", "/stream?length=3000000", call), a.err);
    TAP_EQ_INT(b.count, 1);
    TAP_EQ_INT(b.status, 200);
    TAP_TRUE(b.write_count > 1);
    b = (begun){.fails = true};
    TAP_STATUS(ask_rig(&a, "GET", "/stream?length=3000000", call), DL_E_UNSUPPORTED);
    TAP_EQ_INT(b.write_count, 0);
    ask_close(&a);
}

/* What is not 2xx does not reach `write`: it is words about a failure. */
TAP_CASE(refusals_are_collected)
{
    ask a;
    source s = {.fail_write_at = 0};
    ask_open(&a);
    TAP_OK(ask_rig(&a, "GET", "/fail", (dl_http_call){.write = write_source, .context = &s}),
           a.err);
    TAP_EQ_INT(a.answer.status, 500);
    TAP_EQ_STR(dl_buf_str(&a.body), "The service could not answer this request.");
    TAP_EQ_INT(s.taken, 0);
    ask_close(&a);
}

TAP_CASE(refused_upload_tells_why)
{
    static const uint64_t lengths[] = {100, 3000000, 50000000}; /* dropped, dropped, cut */
    ask a;
    ask_open(&a);
    for (size_t i = 0; i < DL_COUNT_OF(lengths); i++) {
        source s = {.length_bytes = lengths[i], .fail_at = UINT64_MAX};
        TAP_OK(ask_rig(&a, "POST", "/early",
                       (dl_http_call){
                           .read = read_source, .context = &s, .body_length_bytes = lengths[i]}),
               a.err);
        TAP_EQ_INT(a.answer.status, i == 2 ? 413 : 415);
    }
    ask_close(&a);
}

TAP_CASE(collected_body_has_a_bound)
{
    ask a;
    ask_open(&a);
    TAP_OK(ask_rig(&a, "GET", "/stream?length=1048576", no_call), a.err);
    TAP_EQ_INT(a.body.len, 1048576);
    TAP_STATUS(ask_rig(&a, "GET", "/stream?length=1048577", no_call), DL_E_LIMIT);
    TAP_STATUS(ask_rig(&a, "GET", "/stream?length=1048577&known=0", no_call), DL_E_LIMIT);
    ask_close(&a);
}

/* ---- trouble ---- */

TAP_CASE(peers_that_fail)
{
    static const struct {
        const char *answer;
        dl_status want;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", DL_E_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", DL_E_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", DL_E_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", DL_E_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\nContent-Le", DL_E_UNAVAILABLE},
        {"nonsense\r\n\r\n", DL_E_UNAVAILABLE},
        {"", DL_E_UNAVAILABLE},
        {"HTTP/1.1 200 OK\r\n\r\nuntil the end", DL_OK},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        ask a;
        peer p = {0};
        peer_start(&p, rows[i].answer);
        ask_open(&a);
        TAP_STATUS(ask_call(&a, p.port, "GET", "/x", no_call), rows[i].want);
        TAP_TRUE((a.err.message[0] != '\0') == (rows[i].want != DL_OK));
        TAP_EQ_INT(a.answer.status, rows[i].want == DL_OK ? 200 : 777);
        TAP_EQ_INT(dl_http_client_phase(a.client), DL_HTTP_PHASE_ANSWER);
        ask_close(&a);
        peer_stop(&p);
    }
}

TAP_CASE(the_phase_of_a_failure)
{
    static const struct {
        const char *url;
        dl_http_phase want;
    } rows[] = {
        {"http://x.invalid/", DL_HTTP_PHASE_ADDRESS},
        {"https://x.invalid/", DL_HTTP_PHASE_ADDRESS},
        {"http://127.0.0.1:1/", DL_HTTP_PHASE_CONNECT},
        {"http://127.0.0.1:99999/", DL_HTTP_PHASE_NONE},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        ask a;
        ask_open(&a);
        TAP_EQ_INT(dl_http_client_phase(a.client), DL_HTTP_PHASE_NONE);
        dl_http_call call = {.method = "GET", .url = rows[i].url};
        TAP_TRUE(dl_http_client_do(a.client, &call, a.arena, &a.body, &a.answer, &a.err) != DL_OK);
        TAP_EQ_INT(dl_http_client_phase(a.client), rows[i].want);
        ask_close(&a);
    }
}

TAP_CASE(answer_headers_have_a_bound)
{
    for (size_t over = 0; over < 2; over++) {
        DL_AUTO_BUF text = {0};
        ask a;
        peer p = {0};
        dl_buf_init(&text, 1 << 20);
        TAP_STATUS(
            dl_buf_append_str(&text, DL_STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"), NULL),
            DL_OK);
        for (size_t i = 0; i < 999 + over; i++) {
            TAP_STATUS(dl_buf_append_str(&text, DL_STR("a: b\r\n"), NULL), DL_OK);
        }
        TAP_STATUS(dl_buf_append(&text, "\r\n", 3, NULL), DL_OK);
        peer_start(&p, text.ptr);
        ask_open(&a);
        TAP_STATUS(ask_call(&a, p.port, "GET", "/x", no_call), over == 0 ? DL_OK : DL_E_LIMIT);
        ask_close(&a);
        peer_stop(&p);
    }
}

TAP_CASE(urls_that_are_refused)
{
    static const struct {
        const char *url;
        dl_status want;
    } rows[] = {{"ftp://127.0.0.1/x", DL_E_INVALID},
                {"file:///etc/passwd", DL_E_INVALID},
                {"gopher://127.0.0.1/", DL_E_INVALID},
                {"http://user:pw@127.0.0.1/", DL_E_INVALID},
                {"http://", DL_E_INVALID},
                {"", DL_E_INVALID},
                {"http://127.0.0.1:1/", DL_E_UNAVAILABLE},
                {"http://127.0.0.1:99999/", DL_E_INVALID}};
    ask a;
    ask_open(&a);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_http_call call = {.method = "GET", .url = rows[i].url};
        dl_error_clear(&a.err);
        TAP_STATUS(dl_http_client_do(a.client, &call, a.arena, &a.body, &a.answer, &a.err),
                   rows[i].want);
        TAP_TRUE(a.err.message[0] != '\0' && strstr(a.err.message, "pw") == NULL);
    }
    ask_close(&a);
}

TAP_CASE(silent_peer_is_given_up)
{
    ask a;
    peer p = {.silence_ms = SILENCE_MS};
    dl_http_client_options options = {.idle_timeout_s = 1};
    peer_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    ask_open_with(&a, &options);
    int64_t start_us = dl_clock_monotonic_us();
    TAP_STATUS(ask_call(&a, p.port, "GET", "/x", no_call), DL_E_UNAVAILABLE);
    TAP_TRUE(dl_clock_monotonic_us() - start_us < SILENCE_MS * 500LL);
    ask_close(&a);
    peer_stop(&p);
}

static void *cancel_soon(void *context)
{
    struct timespec nap = {0, 200000000};
    (void)nanosleep(&nap, NULL);
    dl_cancel_ask(context);
    return NULL;
}

TAP_CASE(cancel_is_heard)
{
    ask a;
    peer p = {.silence_ms = SILENCE_MS};
    dl_cancel cancel = {0};
    dl_http_client_options options = {.cancel = &cancel};
    pthread_t thread;
    peer_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    ask_open_with(&a, &options);
    TAP_TRUE(pthread_create(&thread, NULL, cancel_soon, &cancel) == 0);
    int64_t start_us = dl_clock_monotonic_us();
    TAP_STATUS(ask_call(&a, p.port, "GET", "/x", no_call), DL_E_CANCELED);
    TAP_TRUE(dl_clock_monotonic_us() - start_us < SILENCE_MS * 500LL);
    TAP_STATUS(ask_call(&a, p.port, "GET", "/x", no_call), DL_E_CANCELED); /* and stays */
    (void)pthread_join(thread, NULL);
    ask_close(&a);
    peer_stop(&p);
}

TAP_CASE(proxy_only_when_asked)
{
    ask a;
    peer p = {0};
    char proxy[64];
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("all_proxy", "http://127.0.0.1:1", 1);
    ask_open(&a);
    TAP_OK(ask_rig(&a, "GET", "/text", no_call), a.err);
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    ask_close(&a);
    peer_start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy");
    (void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", p.port);
    ask_open_with(&a, &(dl_http_client_options){.proxy = proxy});
    TAP_OK(ask_rig(&a, "GET", "/text", no_call), a.err);
    TAP_EQ_STR(dl_buf_str(&a.body), "proxy");
    ask_close(&a);
    peer_stop(&p);
    (void)unsetenv("http_proxy");
    (void)unsetenv("all_proxy");
}

TAP_CASE(client_without_memory)
{
    dl_http_client *client = NULL;
    dl_http_client_options options = {0};
    dl_error err = {0};
    int64_t n = 0;
    for (; n < 20 && client == NULL; n++) {
        dl_mem_fail_after(n);
        dl_status status = dl_http_client_create(&options, &client, &err);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == (client == NULL ? DL_E_NOMEM : DL_OK));
    }
    TAP_TRUE(n > 1 && client != NULL);
    dl_http_client_destroy(client);
    dl_http_client_destroy(NULL);
}

int main(void)
{
    static const dl_http_server_options options = {.host = "127.0.0.1",
                                                   .body_limit_bytes = 6 << 20};
    dl_log_set_level(DL_LOG_OFF);
    rig_start(&the_rig, &options);
    TAP_RUN(get_and_head);
    TAP_RUN(nothing_is_sent_that_was_not_given);
    TAP_RUN(headers_go_out_and_come_back);
    TAP_RUN(headers_that_do_not_fit_a_line_are_refused);
    TAP_RUN(connection_is_kept);
    TAP_RUN(redirects_are_answers);
    TAP_RUN(streams_go_both_ways);
    TAP_RUN(empty_streams);
    TAP_RUN(streams_may_fail);
    TAP_RUN(headers_are_known_before_the_body);
    TAP_RUN(refusals_are_collected);
    TAP_RUN(refused_upload_tells_why);
    TAP_RUN(collected_body_has_a_bound);
    TAP_RUN(peers_that_fail);
    TAP_RUN(the_phase_of_a_failure);
    TAP_RUN(answer_headers_have_a_bound);
    TAP_RUN(urls_that_are_refused);
    TAP_RUN(silent_peer_is_given_up);
    TAP_RUN(cancel_is_heard);
    TAP_RUN(proxy_only_when_asked);
    TAP_RUN(client_without_memory);
    tap_case_failed = 0;
    rig_stop(&the_rig, 1000);
    tap_report("stop leaves nothing behind");
    return tap_done();
}
