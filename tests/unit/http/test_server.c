/* The server from outside: requests and answers. What it refuses is in test_server_refuse.c, what
 * takes time in test_server_slow.c. */
#include "server_rig.h"

#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST "Host: x\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

enum { BODY_LIMIT_BYTES = 6 * 1024 * 1024 };

static const dl_http_server_options usual = {.host = "127.0.0.1",
                                             .body_limit_bytes = BODY_LIMIT_BYTES,
                                             .url_limit_bytes = 1000,
                                             .header_limit_bytes = 5000,
                                             .supported_versions = "1, 2"};
static rig the_rig;

TAP_CASE(plain_get)
{
    answer a = {0}, b = {0};
    char first[64], second[64];
    rig_ask(&the_rig, GET("/text?x=1"), &a);
    rig_ask(&the_rig, GET("/text"), &b);
    TAP_EQ_INT(a.status, 200);
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    expect_common_headers(&a);
    expect_header(&a, "Content-Length", "5");
    expect_header(&a, "Content-Type", "text/plain");
    expect_header(&a, "api-supported-versions", NULL);
    expect_header(&a, "Connection", NULL);
    answer_header(&a, "X-Request-Id", first, sizeof first);
    answer_header(&b, "X-Request-Id", second, sizeof second);
    TAP_TRUE(strcmp(first, second) != 0);
    answer_clear(&a);
    answer_clear(&b);
}

TAP_CASE(versioned_paths_name_the_versions)
{
    static const struct {
        const char *request, *want;
    } rows[] = {
        {GET("/v2/text"), "1, 2"},  {GET("/V3"), "1, 2"}, {GET("/v1.0-prerelease/x"), "1, 2"},
        {GET("/vx/studies"), NULL}, {GET("/text"), NULL}, {GET("/v"), NULL},
        {GET("/2v"), NULL}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        answer a = {0};
        rig_ask(&the_rig, rows[i].request, &a);
        TAP_EQ_INT(a.status, 200);
        expect_header(&a, "api-supported-versions", rows[i].want);
        answer_clear(&a);
    }
}

TAP_CASE(what_the_application_sees)
{
    static const struct {
        const char *request, *want;
    } rows[] = {
        {GET("/info"), "method=GET head=0 path=/info query= accept= x= base=http://x length=0 "},
        {"GET /info?a=%41+b&c HTTP/1.1\r\nhOST: h.example:81\r\naccept: a/b\r\nX-Several: 1\r\n"
         "ACCEPT:  c/d ; q=0.5\t\r\nX-Several: 2\r\n\r\n",
         "method=GET head=0 path=/info query=a=%41+b&c accept=a/b, c/d ; q=0.5 x=1 "
         "base=http://h.example:81 length=0 "},
        {"OPTIONS /info HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nab",
         "method=OPTIONS head=0 path=/info query= accept= x= base=http://x length=2 "},
        {"POST /info HTTP/1.1\r\n" HOST "Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
         "method=POST head=0 path=/info query= accept= x= base=http://x length=-1 "},
        {"GET http://other:1/info?q HTTP/1.1\r\n" HOST "\r\n",
         "method=GET head=0 path=/info query=q accept= x= base=http://other:1 length=0 "},
        {"GET /info? HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
         "method=GET head=0 path=/info query= accept= x= base=http://[::1]:8080 length=0 "},
        {"GET /info?a?b#c HTTP/1.1\r\n" HOST "\r\n",
         "method=GET head=0 path=/info query=a?b#c accept= x= base=http://x length=0 "},
        {"get /info HTTP/1.1\r\n" HOST "\r\n",
         "method=get head=0 path=/info query= accept= x= base=http://x length=0 "},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        answer a = {0};
        char id[64];
        rig_ask(&the_rig, rows[i].request, &a);
        TAP_EQ_INT(a.status, 200);
        dl_str text = dl_buf_str(&a.body);
        size_t want_len = strlen(rows[i].want);
        TAP_EQ_STR(dl_str_slice(text, 0, want_len), rows[i].want);
        answer_header(&a, "X-Request-Id", id, sizeof id);
        TAP_EQ_STR(dl_str_slice(text, want_len + 3, 99), id);
        answer_clear(&a);
    }
}

TAP_CASE(paths_stay_as_they_were_sent)
{
    answer a = {0};
    rig_ask(&the_rig, "POST /a%2Fb/%zz/../+?x=%3C HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n",
            &a);
    TAP_EQ_INT(a.status, 200);
    answer_clear(&a);
    rig_ask(&the_rig, GET("/%69nfo"), &a); /* not /info */
    TAP_EQ_STR(dl_buf_str(&a.body), "0");
    answer_clear(&a);
}

TAP_CASE(head_is_get_without_body)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    wire_say(&w, "HEAD /text HTTP/1.1\r\n" HOST "\r\nHEAD /stream?length=1000 HTTP/1.1\r\n" HOST
                 "\r\nHEAD /file HTTP/1.1\r\n" HOST "\r\nHEAD /info HTTP/1.1\r\n" HOST
                 "\r\n" GET("/text"));
    static const char *const lengths[] = {"5", "1000", "200000"};
    for (size_t i = 0; i < DL_COUNT_OF(lengths); i++) {
        TAP_TRUE(wire_answer(&w, true, &a));
        TAP_EQ_INT(a.status, i == 2 ? 206 : 200);
        expect_common_headers(&a);
        expect_header(&a, "Content-Length", lengths[i]);
        answer_clear(&a);
    }
    TAP_TRUE(wire_answer(&w, true, &a));
    answer_clear(&a);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    answer_clear(&a);
    wire_close(&w);
}

/* Nobody knows the length without making the body: the end of the connection stands for it. */
TAP_CASE(head_of_a_stream_of_unknown_length)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    wire_say(&w, "HEAD /stream?length=1000&known=0 HTTP/1.1\r\n" HOST "\r\n");
    TAP_TRUE(wire_answer(&w, true, &a));
    TAP_EQ_INT(a.status, 200);
    expect_common_headers(&a);
    expect_header(&a, "Content-Length", NULL);
    expect_header(&a, "Content-Type", "text/plain");
    expect_header(&a, "Connection", "close");
    answer_clear(&a);
    TAP_TRUE(wire_closed(&w));
    wire_close(&w);
}

TAP_CASE(no_body_with_204_and_304)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    wire_say(&w, GET("/204") GET("/304") GET("/empty") GET("/text"));
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 204);
    expect_common_headers(&a);
    expect_header(&a, "Content-Length", NULL);
    answer_clear(&a);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 304);
    answer_clear(&a);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 200);
    expect_header(&a, "Content-Length", "0");
    answer_clear(&a);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    answer_clear(&a);
    wire_close(&w);
}

/* ---- bodies ---- */

static const struct {
    const char *name, *request, *want;
} bodies[] = {
    /* clang-format off */
    {"body: with a length", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde", "abcde"},
    {"body: of no length", "POST /echo HTTP/1.1\r\n" HOST "\r\n", ""},
    {"body: of length 0", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", ""},
    {"body: chunked", "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde"},
    {"body: chunk extensions, trailers", "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: CHUNKED\r\n\r\n"
     "00A;x=y\r\n0123456789\r\n0;z\r\nX-Trailer: t\r\n\r\n", "0123456789"},
    {"body: no chunk", "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
    {"body: of a DELETE", "DELETE /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nxy", "xy"},
    /* clang-format on */
};

static void run_bodies(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(bodies); i++) {
        TAP_ROW_BEGIN();
        dl_str request = dl_str_of(bodies[i].request);
        for (size_t step = 1; step <= request.len; step += request.len - 1) { /* bytes; at once */
            wire w = wire_open(&the_rig);
            answer a = {0};
            for (size_t at = 0; at < request.len; at += step) {
                TAP_TRUE(wire_send(&w, dl_str_slice(request, at, step)));
            }
            TAP_TRUE(wire_answer(&w, false, &a));
            TAP_EQ_INT(a.status, 200);
            TAP_EQ_STR(dl_buf_str(&a.body), bodies[i].want);
            answer_clear(&a);
            wire_say(&w, GET("/text")); /* the connection is fit for more */
            TAP_TRUE(wire_answer(&w, false, &a));
            TAP_EQ_STR(dl_buf_str(&a.body), "hello");
            answer_clear(&a);
            wire_close(&w);
        }
        TAP_ROW_END(bodies[i].name);
    }
}

static char big[BODY_LIMIT_BYTES];

TAP_CASE(large_body_comes_back)
{
    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * 7 + i / 251);
    }
    for (int chunked = 0; chunked < 2; chunked++) {
        wire w = wire_open(&the_rig);
        answer a = {0};
        char line[200];
        int before = atomic_load(&the_rig.piece_count);
        if (chunked) {
            (void)snprintf(line, sizeof line,
                           "POST /echo HTTP/1.1\r\n" HOST
                           "Transfer-Encoding: chunked\r\n\r\n%x\r\n",
                           BODY_LIMIT_BYTES);
        } else {
            (void)snprintf(line, sizeof line,
                           "POST /echo HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n",
                           BODY_LIMIT_BYTES);
        }
        wire_say(&w, line);
        TAP_TRUE(wire_send(&w, (dl_str){big, BODY_LIMIT_BYTES}));
        if (chunked) {
            wire_say(&w, "\r\n0\r\n\r\n");
        }
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_INT(a.status, 200);
        TAP_TRUE(dl_str_eq(dl_buf_str(&a.body), (dl_str){big, BODY_LIMIT_BYTES}));
        TAP_TRUE(atomic_load(&the_rig.piece_count) > before);
        answer_clear(&a);
        wire_close(&w);
    }
}

TAP_CASE(expect_continue)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    wire_say(&w,
             "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 100);
    answer_clear(&a);
    wire_say(&w, "abc");
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 200);
    TAP_EQ_STR(dl_buf_str(&a.body), "abc");
    answer_clear(&a);
    /* Refused: no 100, the answer at once, and the connection ends. */
    wire_say(&w,
             "POST /early HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n");
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 415);
    expect_header(&a, "Connection", "close");
    expect_header(&a, "X-Why", "tab here");
    answer_clear(&a);
    TAP_TRUE(wire_closed(&w));
    wire_close(&w);
    /* Too large: the same. */
    w = wire_open(&the_rig);
    wire_say(&w, "POST /echo HTTP/1.1\r\n" HOST
                 "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n");
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, 413);
    answer_clear(&a);
    wire_close(&w);
}

/* Nothing is to come, so no 100 is due, and what is here already is no body. */
TAP_CASE(expect_continue_without_a_body)
{
    static const struct {
        const char *line;
        unsigned status;
    } cases[] = {
        {"GET /text", 200},   {"HEAD /text", 200}, {"POST /echo", 200},
        {"POST /early", 415}, {"GET /204", 204},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        wire w = wire_open(&the_rig);
        answer a = {0};
        wire_say(&w, cases[i].line);
        wire_say(&w, " HTTP/1.1\r\n" HOST
                     "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n" GET("/text"));
        TAP_TRUE(wire_answer(&w, cases[i].line[0] == 'H', &a));
        TAP_EQ_INT(a.status, cases[i].status);
        expect_common_headers(&a);
        expect_header(&a, "Connection", "close");
        answer_clear(&a);
        TAP_TRUE(wire_closed(&w));
        wire_close(&w);
    }
}

TAP_CASE(pipelined_requests_are_answered_in_order)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    wire_say(&w,
             GET("/text") "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
                          "POST /echo HTTP/1.1\r\n" HOST
                          "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
                          "POST /early HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nGET " GET(
                              "/stream?length=3&known=0") "POST /bad-body HTTP/1.1\r\n" HOST
                                                          "Content-Length: 2\r\n\r\nxy"
                                                          "GET /info HTTP/1.1\r\n" HOST
                                                          "Connection: close\r\n\r\n" GET("/text"));
    static const struct {
        unsigned status;
        const char *body;
    } want[] = {{200, "hello"}, {200, "abc"}, {200, "x"},
                {415, "no"},    {200, "abc"}, {400, "the body is bad"}};
    for (size_t i = 0; i < DL_COUNT_OF(want); i++) {
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_INT(a.status, want[i].status);
        TAP_EQ_STR(dl_buf_str(&a.body), want[i].body);
        answer_clear(&a);
    }
    TAP_TRUE(wire_answer(&w, false, &a));
    expect_header(&a, "Connection", "close");
    answer_clear(&a);
    TAP_TRUE(wire_closed(&w)); /* what follows "close" is not answered */
    wire_close(&w);
}

/* ---- failures of the application ---- */

TAP_CASE(failures_tell_nothing)
{
    static const char *const requests[] = {GET("/fail"), GET("/nothing"), GET("/no-answer")};
    for (size_t i = 0; i < DL_COUNT_OF(requests); i++) {
        answer a = {0};
        rig_ask(&the_rig, requests[i], &a);
        TAP_EQ_INT(a.status, 500);
        TAP_EQ_STR(dl_buf_str(&a.body), "The service could not answer this request.");
        expect_header(&a, "Content-Type", "text/plain; charset=utf-8");
        expect_common_headers(&a);
        answer_clear(&a);
    }
}

TAP_CASE(client_leaves_in_the_body)
{
    TAP_TRUE(rig_wait(&the_rig.state_count, 0)); /* of the cases before */
    int ends = atomic_load(&the_rig.end_count), destroys = atomic_load(&the_rig.destroy_count);
    for (int i = 0; i < 20; i++) {
        wire w = wire_open(&the_rig);
        wire_say(&w, i % 2 == 0 ? "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nabc"
                                : "POST /echo HTTP/1.1\r\n" HOST
                                  "Transfer-Encoding: chunked\r\n\r\n5\r\nabc");
        TAP_TRUE(rig_wait(&the_rig.state_count, 1));
        wire_close(&w);
        TAP_TRUE(rig_wait(&the_rig.state_count, 0));
    }
    TAP_EQ_INT(atomic_load(&the_rig.end_count), ends);
    TAP_EQ_INT(atomic_load(&the_rig.destroy_count), destroys + 20);
}

/* ---- answers ---- */

static bool is_pattern(dl_str text, size_t offset)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != (char)('a' + (offset + i) % 26)) {
            return false;
        }
    }
    return true;
}

TAP_CASE(streams)
{
    static const struct {
        const char *request;
        size_t want;
        bool whole;
        const char *length, *encoding;
    } rows[] = {
        {GET("/stream?length=3000000"), 3000000, true, "3000000", NULL},
        {GET("/stream?length=3000000&known=0"), 3000000, true, NULL, "chunked"},
        {GET("/stream?length=0"), 0, true, "0", NULL},
        {GET("/stream?length=0&known=0"), 0, true, NULL, "chunked"},
        {GET("/stream?length=1"), 1, true, "1", NULL},
        {"GET /stream?length=3000000&known=0 HTTP/1.0\r\n\r\n", 3000000, true, NULL, NULL},
        {"GET /stream?length=3000000 HTTP/1.0\r\n\r\n", 3000000, true, "3000000", NULL},
        {GET("/stream?length=3000000&fail=1000000"), 0, false, "3000000", NULL},
        {GET("/stream?length=3000000&known=0&fail=1000000"), 0, false, NULL, "chunked"},
        {GET("/stream?length=3000000&fail=0"), 0, false, "3000000", NULL},
        {GET("/stream?length=3000000&known=0&fail=0"), 0, false, NULL, "chunked"},
        {GET("/stream?length=1000000&announced=3000000"), 0, false, "3000000", NULL},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        answer a = {0};
        rig_ask(&the_rig, rows[i].request, &a);
        TAP_EQ_INT(a.status, 200);
        TAP_EQ_INT(a.whole, rows[i].whole);
        expect_header(&a, "Content-Length", rows[i].length);
        expect_header(&a, "Transfer-Encoding", rows[i].encoding);
        TAP_TRUE(is_pattern(dl_buf_str(&a.body), 0));
        TAP_TRUE(rows[i].whole ? a.body.len == rows[i].want : a.body.len < 3000000);
        answer_clear(&a);
    }
}

/* A client of HTTP/1.0 knows the end only by the end of the connection: a reset says "not whole".
 */
TAP_CASE(failed_stream_resets_http_1_0)
{
    wire w = wire_open(&the_rig);
    wire_say(&w, "GET /stream?length=30000&known=0&fail=1 HTTP/1.0\r\n\r\n");
    char bytes[4096];
    ssize_t n = 0;
    while ((n = read(w.fd, bytes, sizeof bytes)) > 0) {
    }
    TAP_EQ_INT(n, -1);
    wire_close(&w);
}

TAP_CASE(parts)
{
    static const struct {
        const char *request;
        size_t want;
        bool whole;
        const char *encoding;
    } rows[] = {
        {GET("/parts?count=0"), 0, true, "chunked"},
        {GET("/parts?count=1"), RIG_PART_BYTES, true, "chunked"},
        {GET("/parts?count=100"), 100 * (size_t)RIG_PART_BYTES, true, "chunked"},
        {"GET /parts?count=100 HTTP/1.0\r\n\r\n", 100 * (size_t)RIG_PART_BYTES, true, NULL},
        {GET("/parts?count=3&fail=0"), 0, false, "chunked"},
        {GET("/parts?count=3&fail=2"), 2 * (size_t)RIG_PART_BYTES, false, "chunked"},
        {GET("/parts?count=3&offset=104000"), 26 + 96000, false, "chunked"}, /* a short file */
        {GET("/parts?count=3&announced=390077"), 2 * (size_t)RIG_PART_BYTES, false, "chunked"},
        {GET("/parts?count=3&announced=390079"), 3 * (size_t)RIG_PART_BYTES, false, "chunked"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        answer a = {0};
        rig_ask(&the_rig, rows[i].request, &a);
        TAP_EQ_INT(a.status, 200);
        TAP_EQ_INT(a.whole, rows[i].whole);
        expect_header(&a, "Content-Length", NULL);
        expect_header(&a, "Transfer-Encoding", rows[i].encoding);
        expect_common_headers(&a);
        if (rows[i].whole) {
            TAP_TRUE(is_pattern(dl_buf_str(&a.body), 0));
            TAP_EQ_INT(a.body.len, rows[i].want);
        } else {
            TAP_TRUE(a.body.len <= rows[i].want);
        }
        answer_clear(&a);
    }
}

/* Nothing of ours is left over for the next answer of the connection. */
TAP_CASE(parts_keep_the_connection)
{
    wire w = wire_open(&the_rig);
    wire_say(&w, GET("/parts?count=2") "HEAD /parts?count=2 HTTP/1.1\r\n" HOST
                                       "\r\n" GET("/parts?count=0") GET("/text"));
    static const struct {
        bool is_head;
        size_t want;
        const char *length;
    } rows[] = {{false, 2 * (size_t)RIG_PART_BYTES, NULL},
                {true, 0, "260052"},
                {false, 0, NULL},
                {false, 5, "5"}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        answer a = {0};
        TAP_TRUE(wire_answer(&w, rows[i].is_head, &a));
        TAP_EQ_INT(a.status, 200);
        TAP_TRUE(a.whole);
        TAP_EQ_INT(a.body.len, rows[i].want);
        expect_header(&a, "Content-Length", rows[i].length);
        answer_clear(&a);
    }
    wire_close(&w);
}

TAP_CASE(failed_parts_reset_http_1_0)
{
    wire w = wire_open(&the_rig);
    wire_say(&w, "GET /parts?count=2&fail=1 HTTP/1.0\r\n\r\n");
    char bytes[4096];
    ssize_t n = 0;
    while ((n = read(w.fd, bytes, sizeof bytes)) > 0) {
    }
    TAP_EQ_INT(n, -1);
    wire_close(&w);
}

TAP_CASE(files)
{
    static const struct {
        const char *request;
        size_t offset, length;
    } rows[] = {{GET("/file"), 0, 200000},
                {GET("/file?offset=1001&length=150000"), 1001, 150000},
                {GET("/file?offset=7&length=0"), 7, 0},
                {GET("/file?offset=199999&length=1"), 199999, 1}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        answer a = {0};
        rig_ask(&the_rig, rows[i].request, &a);
        TAP_EQ_INT(a.status, 206);
        TAP_EQ_INT(a.body.len, rows[i].length);
        TAP_TRUE(a.whole && is_pattern(dl_buf_str(&a.body), rows[i].offset));
        answer_clear(&a);
    }
}

TAP_CASE(file_shorter_than_its_range)
{
    static const char *const requests[] = {GET("/file?offset=199000&length=1001"),
                                           GET("/file?offset=200001&length=0"),
                                           GET("/file?offset=18446744073709551615&length=2")};
    for (size_t i = 0; i < DL_COUNT_OF(requests); i++) {
        answer a = {0};
        rig_ask(&the_rig, requests[i], &a);
        TAP_EQ_INT(a.status, 500);
        expect_common_headers(&a);
        answer_clear(&a);
    }
}

TAP_CASE(http_1_0)
{
    answer a = {0};
    wire w = wire_open(&the_rig);
    wire_say(&w, "GET /text HTTP/1.0\r\n\r\n");
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    TAP_TRUE(wire_closed(&w));
    answer_clear(&a);
    wire_close(&w);
    w = wire_open(&the_rig);
    wire_say(&w, "GET /info HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /text HTTP/1.0\r\n\r\n");
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_TRUE(dl_str_find_str(dl_buf_str(&a.body), DL_STR("base=http://127.0.0.1:")) > 0);
    answer_clear(&a);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "hello");
    answer_clear(&a);
    wire_close(&w);
}

/* A client that has nothing more to send may close its half and still read the answer. */
TAP_CASE(half_closed_client_gets_its_answer)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    wire_say(&w, GET("/slow?ms=50"));
    (void)shutdown(w.fd, SHUT_WR);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "slow");
    answer_clear(&a);
    wire_close(&w);
}

/* ---- start ---- */

TAP_CASE(start_refuses_what_is_no_address)
{
    static const char *const hosts[] = {"example.invalid", "", "127.0.0.1.5", "127.0.0.1:80",
                                        "LOCALHOST"};
    for (size_t i = 0; i < DL_COUNT_OF(hosts); i++) {
        dl_http_server_options options = usual;
        dl_http_server *server = NULL;
        dl_http_app app = {0};
        dl_error err = {0};
        options.host = hosts[i];
        TAP_STATUS(dl_http_server_start(&options, &app, &server, &err), DL_E_INVALID);
        TAP_TRUE(server == NULL && err.message[0] != '\0');
    }
}

TAP_CASE(start_refuses_a_port_in_use)
{
    dl_http_server_options options = usual;
    dl_http_server *server = NULL;
    dl_http_app app = {0};
    dl_error err = {0};
    options.port = dl_http_server_port(the_rig.server);
    TAP_STATUS(dl_http_server_start(&options, &app, &server, &err), DL_E_IO);
    TAP_TRUE(server == NULL && err.message[0] != '\0');
}

/* No allocation of ours that fails ends the process, leaks, or leaves the server unable. */
TAP_CASE(memory_may_run_out_anywhere)
{
    static const char *const requests[] = {
        GET("/text"), GET("/info"), GET("/stream?length=10"),
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde",
        "POST /bad-body HTTP/1.1\r\n" HOST "Content-Length: 6000000\r\n\r\nab"};
    for (size_t i = 0; i < DL_COUNT_OF(requests); i++) {
        for (int n = 0; n < 30; n++) {
            wire w = wire_open(&the_rig);
            TAP_STATUS(dl_buf_reserve(&w.in, 65536 * 2, NULL), DL_OK);
            answer a = {0};
            dl_mem_fail_after(n);
            TAP_TRUE(wire_say(&w, requests[i]));
            char bytes[4096];
            ssize_t len = recv(w.fd, bytes, sizeof bytes, 0);
            dl_mem_fail_after(-1);
            TAP_TRUE(len <= 0 || dl_str_starts((dl_str){bytes, (size_t)len}, DL_STR("HTTP/1.1 ")));
            wire_close(&w);
            rig_ask(&the_rig, GET("/text"), &a);
            TAP_EQ_INT(a.status, 200);
            answer_clear(&a);
        }
    }
}

/* ---- the log ---- */

/* What requests log, read back. Lines are written when a request is over, before the next one on
 * its connection is answered. */
static void catch_log(const char *const *requests, size_t count, dl_buf *out)
{
    char path[64];
    dl_error err = {0};
    int fd = -1, saved = dup(STDERR_FILENO);
    (void)snprintf(path, sizeof path, "/tmp/dl-test-server-log-%d", (int)getpid());
    TAP_OK(dl_file_open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600, &fd, &err), err);
    (void)dup2(fd, STDERR_FILENO);
    dl_file_close(&fd);
    dl_log_set_level(DL_LOG_INFO);
    for (size_t i = 0; i < count; i++) {
        answer a = {0};
        wire w = wire_open(&the_rig);
        (void)wire_say(&w, requests[i]);
        (void)wire_answer(&w, false, &a);
        (void)shutdown(w.fd, SHUT_WR);
        (void)wire_ms_until_closed(&w, 0);
        answer_clear(&a);
        wire_close(&w);
    }
    dl_log_set_level(DL_LOG_OFF);
    (void)dup2(saved, STDERR_FILENO);
    dl_file_close(&saved);
    TAP_OK(dl_file_read_all(path, out, &err), err);
    (void)unlink(path);
}

TAP_CASE(access_lines)
{
    static const char *const requests[] = {
        "POST /echo?PatientName=Mustermann HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nabcde",
        GET("/fail"),
        GET("/stream?length=1000&fail=0"),
        "GET /secret HTTP/1.1\r\n\r\n",
        "BREW /204 HTTP/1.1\r\n" HOST "\r\n",
        "HEAD /text HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: x\r\n\r\n"};
    static const char *const wanted[] = {
        "level=info module=http op=POST route=/rig/{route} status=200 bytes_in=5 bytes_out=5 ms=",
        "level=error module=http op=answer route=/rig/{route} request=",
        "level=info module=http op=GET route=/rig/{route} status=500 bytes_in=0 bytes_out=42 ms=",
        "level=error module=http op=stream route=/rig/{route} request=",
        "level=info module=http op=GET route=/rig/{route} status=200 bytes_in=0 bytes_out=0 ms=",
        "level=info module=http op=GET route=- status=400 bytes_in=0 bytes_out=42 ms=",
        "level=info module=http op=OTHER route=/rig/{route} status=204 bytes_in=0 bytes_out=0 ms=",
        "level=info module=http op=HEAD route=/rig/{route} status=200 bytes_in=0 bytes_out=0 ms=",
        "level=info module=http op=OTHER route=- status=400 bytes_in=0 bytes_out=0 ms="};
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 1 << 20);
    catch_log(requests, DL_COUNT_OF(requests), &text);
    dl_str rest = dl_buf_str(&text), line = DL_STR_NONE;
    for (size_t i = 0; i < DL_COUNT_OF(wanted); i++) {
        TAP_TRUE(dl_str_next(&rest, '\n', &line));
        if (dl_str_find_str(line, dl_str_of(wanted[i])) < 0) {
            TAP_FAIL("no '%s' in '%.*s'", wanted[i], DL_STR_ARG(line));
        }
        ptrdiff_t id = dl_str_find_str(line, DL_STR(" request="));
        TAP_TRUE(id > 0 && line.len >= (size_t)id + 9 + 32);
        TAP_EQ_INT(dl_str_ends(line, DL_STR(" aborted=1")), i == 4);
    }
    TAP_EQ_INT(rest.len, 0);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("PatientName")) < 0);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("/echo")) < 0);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&text), DL_STR("secret")) < 0);
}

/* A line break in a header of ours would be a header of somebody else's: the process ends first. */
static dl_status inject(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    (void)context;
    (void)out_state;
    (void)err;
    dl_http_add_header(x, "X-A", DL_STR("b\r\nSet-Cookie: c"));
    dl_http_respond(x, 200, NULL, DL_STR(""));
    return DL_OK;
}

TAP_CASE(header_injection_is_impossible)
{
    pid_t child = fork(); /* before any thread runs */
    if (child == 0) {
        (void)close(STDERR_FILENO); /* where the broken invariant would be named */
        rig r = {0};
        dl_http_app app = {.begin = inject};
        if (dl_http_server_start(&usual, &app, &r.server, NULL) == DL_OK) {
            wire w = wire_open(&r);
            answer a = {0};
            (void)wire_say(&w, GET("/"));
            (void)wire_answer(&w, false, &a);
        }
        _exit(0);
    }
    int status = 0;
    TAP_TRUE(waitpid(child, &status, 0) == child);
    TAP_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(header_injection_is_impossible);
    rig_start(&the_rig, &usual);
    TAP_RUN(access_lines); /* first: a request may be logged after its client has gone on */
    TAP_RUN(plain_get);
    TAP_RUN(versioned_paths_name_the_versions);
    TAP_RUN(what_the_application_sees);
    TAP_RUN(paths_stay_as_they_were_sent);
    TAP_RUN(head_is_get_without_body);
    TAP_RUN(head_of_a_stream_of_unknown_length);
    TAP_RUN(no_body_with_204_and_304);
    run_bodies();
    TAP_RUN(large_body_comes_back);
    TAP_RUN(expect_continue);
    TAP_RUN(expect_continue_without_a_body);
    TAP_RUN(pipelined_requests_are_answered_in_order);
    TAP_RUN(failures_tell_nothing);
    TAP_RUN(client_leaves_in_the_body);
    TAP_RUN(streams);
    TAP_RUN(failed_stream_resets_http_1_0);
    TAP_RUN(parts);
    TAP_RUN(parts_keep_the_connection);
    TAP_RUN(failed_parts_reset_http_1_0);
    TAP_RUN(files);
    TAP_RUN(file_shorter_than_its_range);
    TAP_RUN(http_1_0);
    TAP_RUN(half_closed_client_gets_its_answer);
    TAP_RUN(start_refuses_what_is_no_address);
    TAP_RUN(start_refuses_a_port_in_use);
    TAP_RUN(memory_may_run_out_anywhere);
    tap_case_failed = 0;
    rig_stop(&the_rig, 1000);
    tap_report("stop leaves nothing behind");
    return tap_done();
}
