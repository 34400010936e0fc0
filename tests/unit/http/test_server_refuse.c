/* The server from outside: what it refuses by itself, and answers that come before the body. */
#include "server_rig.h"

#include "base/log.h"

#define HOST "Host: x\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

#define S_NUL(literal) (literal), sizeof(literal) - 1

enum { BODY_LIMIT_BYTES = 6 * 1024 * 1024, DROP_LIMIT_BYTES = 4 * 1024 * 1024 };

static const dl_http_server_options usual = {.host = "127.0.0.1",
                                             .body_limit_bytes = BODY_LIMIT_BYTES,
                                             .url_limit_bytes = 1000,
                                             .header_limit_bytes = 5000,
                                             .supported_versions = "1, 2"};
static rig the_rig;

static char big[BODY_LIMIT_BYTES + 2];

/* ---- refusals by the server ---- */

static const struct {
    const char *name, *request;
    unsigned status;
    bool by_library; /* libmicrohttpd answers: no common headers */
} refusals[] = {
    /* clang-format off */
    {"refuse: two lengths",          "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, false},
    {"refuse: the same length twice", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, false},
    {"refuse: a list of lengths",    "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc", 400, true},
    {"refuse: length and chunked",   "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: chunked and length",   "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: two encodings",        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: gzip, chunked",        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: space after chunked",  "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: tab after chunked",    "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: identity",             "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 400, false},
    {"refuse: chunked in HTTP/1.0",  "POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false},
    {"refuse: negative length",      "POST /echo HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", 400, true},
    {"refuse: length with a sign",   "POST /echo HTTP/1.1\r\n" HOST "Content-Length: +1\r\n\r\na", 400, true},
    {"refuse: hexadecimal length",   "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n\r\na", 400, true},
    {"refuse: empty length",         "POST /echo HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400, true},
    {"refuse: length past 2^64",     "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n", 413, true},
    {"refuse: length 2^64-1",        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n", 400, false},
    {"refuse: space before a colon", "POST /echo HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc", 400, false},
    {"refuse: tab in a name",        "POST /echo HTTP/1.1\r\n" HOST "X\tY: 3\r\n\r\n", 400, false},
    {"refuse: no header name",       "GET /text HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400, false},
    {"refuse: no colon",             "GET /text HTTP/1.1\r\n" HOST "nonsense\r\n\r\n", 400, true},
    {"refuse: CR in a value",        "GET /text HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400, false},
    {"refuse: control in a value",   "GET /text HTTP/1.1\r\n" HOST "X: a\x01z\r\n\r\n", 400, false},
    {"refuse: folded length",        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n 4\r\n\r\nabc", 400, false},
    {"refuse: folded header",        "GET /text HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400, false},
    {"refuse: only a colon",         "POST /echo HTTP/1.1\r\n" HOST ":\r\nContent-Length: 3\r\n\r\nabc", 400, false},
    {"refuse: LF after a header",    "GET /text HTTP/1.1\r\n" HOST "X: a\n\r\n", 400, false},
    {"refuse: LF at the end",        "GET /text HTTP/1.1\r\n" HOST "\n", 400, false},
    {"refuse: LF after the line",    "GET /text HTTP/1.1\n" HOST "\r\n", 400, false},
    {"refuse: colon, LF only",       "GET /text HTTP/1.1\nHost: x\n:\n", 400, false},
    {"refuse: two spaces",           "GET  /text HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: no Host",              "GET /text HTTP/1.1\r\n\r\n", 400, false},
    {"refuse: two Hosts",            "GET /text HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, false},
    {"refuse: Host with a slash",    "GET /text HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, false},
    {"refuse: Host with a user",     "GET /text HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, false},
    {"refuse: Host with a quote",    "GET /text HTTP/1.1\r\nHost: a\"b\r\n\r\n", 400, false},
    {"refuse: unknown expectation",  "GET /text HTTP/1.1\r\n" HOST "Expect: magic\r\n\r\n", 417, false},
    {"refuse: space after 100-continue", "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\nExpect: 100-continue \r\n\r\n", 417, false},
    {"refuse: target without slash", "GET text HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: control in the target", "GET /te\x01xt HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: space in the target",  "GET /te xt HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: user in the target",   "GET http://u@x/text HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: empty authority",      "GET http:///text HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: other scheme",         "GET ftp://x/text HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: strange method",       "G@T /text HTTP/1.1\r\n" HOST "\r\n", 400, false},
    {"refuse: HTTP/2.0",             "GET /text HTTP/2.0\r\n" HOST "\r\n", 505, true},
    {"refuse: HTTP/0.9",             "GET /text HTTP/0.9\r\n" HOST "\r\n", 505, true},
    {"refuse: not HTTP",             "GET /text FTP/1.1\r\n" HOST "\r\n", 400, true},
    {"refuse: no version",           "GET /text\r\n" HOST "\r\n", 400, true},
    {"refuse: bad chunk size",       "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc", 400, true},
    {"refuse: chunk size past 2^64", "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\nabc", 413, true},
    {"refuse: chunk without end",    "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n", 400, true},
    /* clang-format on */
};

static void run_refusals(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(refusals); i++) {
        TAP_ROW_BEGIN();
        wire w = wire_open(&the_rig);
        answer a = {0};
        int begins = atomic_load(&the_rig.begin_count);
        TAP_TRUE(wire_say(&w, refusals[i].request));
        TAP_TRUE(wire_say(&w, GET("/text"))); /* must not be taken for a request of its own */
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_INT(a.status, refusals[i].status);
        expect_header(&a, "Connection", "close");
        if (!refusals[i].by_library) {
            expect_common_headers(&a);
            expect_header(&a, "Content-Type", "text/plain; charset=utf-8");
            TAP_TRUE(a.whole && a.body.len > 10);
            TAP_EQ_INT(atomic_load(&the_rig.begin_count), begins);
            TAP_TRUE(wire_closed(&w));
        } else {
            /* its answers to a bad length are garbled: see the notes */
            (void)wire_ms_until_closed(&w, 0);
        }
        answer_clear(&a);
        wire_close(&w);
        TAP_ROW_END(refusals[i].name);
    }
}

/* A NUL would end a value for a reader in C, and not for others. */
TAP_CASE(refuse_nul)
{
    static const dl_str requests[] = {
        {S_NUL("GET /text HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n")},
        {S_NUL("GET /text HTTP/1.1\r\n" HOST "X: a\0\r\n\r\n")},
        {S_NUL("GET /te\0xt HTTP/1.1\r\n" HOST "\r\n")},
        {S_NUL("GET /text\0 HTTP/1.1\r\n" HOST "\r\n")},
        {S_NUL("GE\0T /text HTTP/1.1\r\n" HOST "\r\n")},
        {S_NUL("GET /text HTTP/1.1\r\n" HOST "X\0: a\r\n\r\n")},
    };
    for (size_t i = 0; i < DL_COUNT_OF(requests); i++) {
        wire w = wire_open(&the_rig);
        answer a = {0};
        TAP_TRUE(wire_send(&w, requests[i]));
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_INT(a.status, 400);
        answer_clear(&a);
        wire_close(&w);
    }
}

static void ask_sized(const char *start, size_t fill, const char *end, unsigned want)
{
    DL_AUTO_BUF text = {0};
    answer a = {0};
    dl_buf_init(&text, 1 << 20);
    TAP_STATUS(dl_buf_append_str(&text, dl_str_of(start), NULL), DL_OK);
    for (size_t i = 0; i < fill; i++) {
        TAP_STATUS(dl_buf_append_char(&text, 'a', NULL), DL_OK);
    }
    TAP_STATUS(dl_buf_append_str(&text, dl_str_of(end), NULL), DL_OK);
    TAP_STATUS(dl_buf_terminate(&text, NULL), DL_OK);
    rig_ask(&the_rig, text.ptr, &a);
    TAP_EQ_INT(a.status, want);
    answer_clear(&a);
}

TAP_CASE(url_has_a_bound)
{
    ask_sized("GET /text?", 1000 - 6, " HTTP/1.1\r\n" HOST "\r\n", 200);
    ask_sized("GET /text?", 1000 - 5, " HTTP/1.1\r\n" HOST "\r\n", 414);
    ask_sized("GET /", 500000, " HTTP/1.1\r\n" HOST "\r\n", 414);
}

/* As many parameters as fit are the application's to refuse. */
TAP_CASE(many_parameters)
{
    static const dl_http_server_options roomy = {.host = "127.0.0.1"};
    DL_AUTO_BUF text = {0};
    answer a = {0};
    rig r;
    rig_start(&r, &roomy);
    dl_buf_init(&text, 1 << 20);
    TAP_STATUS(dl_buf_append_str(&text, DL_STR("GET /info?"), NULL), DL_OK);
    for (size_t i = 0; i < 8000; i++) {
        TAP_STATUS(dl_buf_append_str(&text, DL_STR("a&"), NULL), DL_OK);
    }
    TAP_STATUS(dl_buf_append_str(&text, DL_STR(" HTTP/1.1\r\n" HOST "\r\n"), NULL), DL_OK);
    TAP_STATUS(dl_buf_terminate(&text, NULL), DL_OK);
    rig_ask(&r, text.ptr, &a);
    TAP_EQ_INT(a.status, 200);
    TAP_TRUE(dl_str_find_str(dl_buf_str(&a.body), DL_STR("query=a&a&")) > 0 && a.body.len > 16000);
    answer_clear(&a);
    rig_stop(&r, 100);
}

TAP_CASE(headers_have_a_bound)
{
    enum { REST = 9 + 3 + 4 }; /* Host line, "X: ", two line ends */
    ask_sized("GET /text HTTP/1.1\r\n" HOST "X: ", 5000 - REST, "\r\n\r\n", 200);
    ask_sized("GET /text HTTP/1.1\r\n" HOST "X: ", 5000 - REST + 1, "\r\n\r\n", 431);
    ask_sized("GET /text HTTP/1.1\r\n" HOST "X: ", 500000, "\r\n\r\n", 431);
}

TAP_CASE(many_small_headers)
{
    DL_AUTO_BUF text = {0};
    answer a = {0};
    dl_buf_init(&text, 1 << 20);
    TAP_STATUS(dl_buf_append_str(&text, DL_STR("GET /text HTTP/1.1\r\n" HOST), NULL), DL_OK);
    for (size_t i = 0; i < 20000; i++) {
        TAP_STATUS(dl_buf_append_str(&text, DL_STR("a:\r\n"), NULL), DL_OK);
    }
    TAP_STATUS(dl_buf_append(&text, "\r\n", 3, NULL), DL_OK);
    rig_ask(&the_rig, text.ptr, &a);
    TAP_EQ_INT(a.status, 431);
    answer_clear(&a);
}

TAP_CASE(body_has_a_bound)
{
    for (size_t over = 0; over < 2; over++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            wire w = wire_open(&the_rig);
            answer a = {0};
            char line[200];
            size_t len = BODY_LIMIT_BYTES + over;
            (void)snprintf(line, sizeof line,
                           chunked ? "POST /count HTTP/1.1\r\n" HOST
                                     "Transfer-Encoding: chunked\r\n\r\n%zx\r\n"
                                   : "POST /count HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n",
                           len);
            int begins = atomic_load(&the_rig.begin_count);
            wire_say(&w, line);
            (void)wire_send(&w, (dl_str){big, len});
            if (chunked) {
                (void)wire_say(&w, "\r\n0\r\n\r\n");
            }
            TAP_TRUE(wire_answer(&w, false, &a));
            TAP_EQ_INT(a.status, over == 0 ? 200 : 413);
            expect_common_headers(&a);
            TAP_EQ_INT(atomic_load(&the_rig.begin_count) - begins, over == 1 && !chunked ? 0 : 1);
            answer_clear(&a);
            wire_close(&w);
        }
    }
}

/* ---- refused while the body is coming ---- */

/* Send `len` bytes of body after `line`, chunked as one endless chunk when asked, without reading;
 * then read the answer. */
static void push(const char *line, size_t len, unsigned want, bool keeps)
{
    wire w = wire_open(&the_rig);
    answer a = {0};
    TAP_TRUE(wire_say(&w, line));
    bool sent = true;
    while (len > 0 && sent) {
        size_t take = len < sizeof big ? len : sizeof big;
        sent = wire_send(&w, (dl_str){big, take});
        len -= take;
    }
    TAP_TRUE(sent);
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_INT(a.status, want);
    TAP_TRUE(a.whole);
    expect_common_headers(&a);
    expect_header(&a, "Connection", keeps ? NULL : "close");
    answer_clear(&a);
    if (keeps) {
        wire_say(&w, GET("/text"));
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_STR(dl_buf_str(&a.body), "hello");
        answer_clear(&a);
    } else {
        TAP_TRUE(wire_closed(&w));
    }
    wire_close(&w);
}

TAP_CASE(early_answer_short_body_is_dropped)
{
    push("POST /early HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\n\r\n", DROP_LIMIT_BYTES, 415,
         true);
    push("POST /early HTTP/1.1\r\n" HOST "Content-Length: 4194305\r\n\r\n", DROP_LIMIT_BYTES + 1,
         415, false);
}

TAP_CASE(early_answer_reaches_a_sender_that_does_not_read)
{
    push("POST /early HTTP/1.1\r\n" HOST "Content-Length: 6291456\r\n\r\n", BODY_LIMIT_BYTES, 415,
         false);
    push("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 60000000\r\n\r\n", 60000000, 413, false);
    push("POST /early HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3938700\r\n", 60000000,
         415, false);
}

TAP_CASE(failed_body_short_rest_is_dropped)
{
    int ends = atomic_load(&the_rig.end_count);
    push("POST /bad-body HTTP/1.1\r\n" HOST "Content-Length: 4194304\r\n\r\n", DROP_LIMIT_BYTES,
         400, true);
    push("POST /bad-body?after=2097153 HTTP/1.1\r\n" HOST "Content-Length: 6291456\r\n\r\n",
         BODY_LIMIT_BYTES, 400, true);
    TAP_EQ_INT(atomic_load(&the_rig.end_count), ends + 2);
}

TAP_CASE(failed_body_long_rest_is_cut)
{
    int ends = atomic_load(&the_rig.end_count);
    push("POST /bad-body HTTP/1.1\r\n" HOST "Content-Length: 6291456\r\n\r\n", BODY_LIMIT_BYTES,
         400, false);
    push("POST /bad-body HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3938700\r\n",
         60000000, 400, false);
    TAP_EQ_INT(atomic_load(&the_rig.end_count), ends + 2);
    push("POST /count HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3938700\r\n", 60000000,
         413, false);
    TAP_EQ_INT(atomic_load(&the_rig.end_count), ends + 2);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    rig_start(&the_rig, &usual);
    run_refusals();
    TAP_RUN(refuse_nul);
    TAP_RUN(url_has_a_bound);
    TAP_RUN(many_parameters);
    TAP_RUN(headers_have_a_bound);
    TAP_RUN(many_small_headers);
    TAP_RUN(body_has_a_bound);
    TAP_RUN(early_answer_short_body_is_dropped);
    TAP_RUN(early_answer_reaches_a_sender_that_does_not_read);
    TAP_RUN(failed_body_short_rest_is_dropped);
    TAP_RUN(failed_body_long_rest_is_cut);
    tap_case_failed = 0;
    rig_stop(&the_rig, 1000);
    tap_report("stop leaves nothing behind");
    return tap_done();
}
