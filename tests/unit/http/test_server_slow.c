/* The server against clients that are slow, too many, or gone; and its stop. */
#include "server_rig.h"

#include "base/clock.h"
#include "base/log.h"
#include "http/internal.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HOST "Host: x\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

enum { SLOW_COUNT = 200, HEADER_TIMEOUT_S = 2, IDLE_TIMEOUT_S = 4 };
/* What ends at all ends by then: a busy machine may take long. What it may not do is end early. */
enum { AT_LAST_MS = 60000 };

static const dl_http_server_options usual = {.host = "localhost",
                                             .body_limit_bytes = 1 << 30,
                                             .idle_timeout_s = IDLE_TIMEOUT_S,
                                             .header_timeout_s = HEADER_TIMEOUT_S};

static void nap_ms(long ms)
{
    struct timespec nap = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&nap, NULL);
}

static size_t count_entries(const char *folder)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    while (dir != NULL && readdir(dir) != NULL) {
        count++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

static size_t threads_before; /* of this program, before any server began */

/* The thread of a server that ends may still be there for a moment. */
static bool threads_are(size_t want)
{
    for (int i = 0; i < 6000 && count_entries("/proc/self/task") != want; i++) {
        nap_ms(10);
    }
    return count_entries("/proc/self/task") == want;
}

static void expect_not_before(int64_t got_ms, int64_t from_ms)
{
    if (got_ms < from_ms || got_ms > AT_LAST_MS) {
        TAP_FAIL("%lld ms is not within %lld and %d", (long long)got_ms, (long long)from_ms,
                 (int)AT_LAST_MS);
    }
}

static int64_t ms_since(int64_t start_us)
{
    return (dl_clock_monotonic_us() - start_us) / 1000;
}

/* A byte each tenth of a second, until nobody takes them any more. */
static void trickle(wire *w)
{
    for (int i = 0; i < AT_LAST_MS / 100 && wire_say(w, "a"); i++) {
        nap_ms(100);
    }
}

/* ---- slow ---- */

TAP_CASE(silent_connection_is_ended)
{
    rig r;
    rig_start(&r, &usual);
    int64_t start_us = dl_clock_monotonic_us();
    wire w = wire_open(&r);
    expect_not_before(wire_ms_until_closed(&w, start_us), 1900);
    wire_close(&w);
    rig_stop(&r, 0);
}

/* Every byte of the headers comes in time, the last one never. */
TAP_CASE(trickling_headers_are_ended)
{
    rig r;
    rig_start(&r, &usual);
    int64_t start_us = dl_clock_monotonic_us();
    wire w = wire_open(&r);
    wire_say(&w, "GET /text HTTP/1.1\r\n" HOST "X: ");
    trickle(&w);
    expect_not_before(ms_since(start_us), 1900);
    TAP_EQ_INT(atomic_load(&r.begin_count), 0);
    wire_close(&w);
    rig_stop(&r, 0);
}

/* A second request on a kept connection has its own time, and no more. */
TAP_CASE(trickling_headers_of_a_kept_connection)
{
    rig r;
    rig_start(&r, &usual);
    wire w = wire_open(&r);
    answer a = {0};
    for (int i = 0; i < 3; i++) { /* longer than header_timeout_s in all: each has its own */
        wire_say(&w, GET("/text"));
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_INT(a.status, 200);
        answer_clear(&a);
        nap_ms(1000);
    }
    int64_t start_us = dl_clock_monotonic_us();
    wire_say(&w, "GET /text HTTP/1.1\r\n" HOST "X: ");
    trickle(&w);
    expect_not_before(ms_since(start_us), 1900);
    wire_close(&w);
    rig_stop(&r, 0);
}

TAP_CASE(idle_kept_connection_is_ended)
{
    rig r;
    rig_start(&r, &usual);
    wire w = wire_open(&r);
    answer a = {0};
    int64_t start_us = dl_clock_monotonic_us();
    wire_say(&w, GET("/text"));
    TAP_TRUE(wire_answer(&w, false, &a));
    answer_clear(&a);
    expect_not_before(wire_ms_until_closed(&w, start_us), 3900);
    wire_close(&w);
    rig_stop(&r, 0);
}

TAP_CASE(body_may_trickle_but_not_stop)
{
    rig r;
    dl_http_server_options options = usual;
    options.least_bytes_per_s = 1;
    rig_start(&r, &options);
    wire w = wire_open(&r);
    answer a = {0};
    wire_say(&w, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\n");
    for (int i = 0; i < 6; i++) { /* longer than idle_timeout_s in all */
        nap_ms(800);
        TAP_TRUE(wire_say(&w, "a"));
    }
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "aaaaaa");
    answer_clear(&a);
    int64_t start_us = dl_clock_monotonic_us();
    wire_say(&w, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\naaa");
    expect_not_before(wire_ms_until_closed(&w, start_us), 3900);
    TAP_TRUE(rig_wait(&r.destroy_count, 2));
    TAP_EQ_INT(atomic_load(&r.end_count), 1);
    wire_close(&w);
    rig_stop(&r, 0);
}

/* The waits are those for the client: 2 s of them make a window. */
TAP_CASE(pace_is_judged_by_whole_windows)
{
    const dl_http_server_options options = {.idle_timeout_s = 2, .least_bytes_per_s = 500};
    static const struct {
        int64_t waited_us;
        uint64_t bytes;
        bool want;
    } rows[] = {
        /* clang-format off */
        {1999999,     0, true},  /* the window is not over */
        {1,        1000, true},  /* just enough in 2 s */
        {2000000,  1000, true},
        {2000000,   999, false}, /* one less */
        {1000000,   999, true},
        {1000000,     0, false},
        {0,     1000000, true},
        {4000000,     0, true},  /* paid for before */
        {4000000,  2000, true},
        {4000000,  1999, false},
        /* clang-format on */
    };
    dl_http_pace pace = {0};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_EQ_INT(dl_http_pace_add(&pace, &options, rows[i].waited_us, rows[i].bytes),
                   rows[i].want);
    }
}

/* Never silent for idle_timeout_s, and yet for ever. */
TAP_CASE(trickling_bodies_are_ended)
{
    static const char *const starts[] = {
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n",
        "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nfffff\r\n",
        "POST /early HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n"};
    for (size_t i = 0; i < DL_COUNT_OF(starts); i++) {
        rig r;
        rig_start(&r, &usual);
        wire w = wire_open(&r);
        answer a = {0};
        int64_t start_us = dl_clock_monotonic_us();
        wire_say(&w, starts[i]);
        for (int n = 0; n < 45; n++) { /* 40 bytes a second, for 4.5 s */
            nap_ms(100);
            (void)wire_say(&w, "aaaa");
        }
        TAP_TRUE(wire_answer(&w, false, &a));
        TAP_EQ_INT(a.status, i == 2 ? 415 : 408);
        TAP_TRUE(a.whole);
        expect_common_headers(&a);
        TAP_TRUE(wire_closed(&w));
        expect_not_before(ms_since(start_us), 3900);
        answer_clear(&a);
        wire_close(&w);
        TAP_TRUE(rig_wait(&r.state_count, 0));
        rig_stop(&r, 0);
    }
}

/* Reads `step` bytes each 20 ms until the server has given up, at most for `limit_ms`; with
 * `catches_up` it reads more after a longer nap. What the kernel holds ready could be read for
 * longer. */
static int64_t ms_of_slow_reading(const rig *r, const char *request, size_t step, bool catches_up,
                                  int64_t limit_ms)
{
    static char dropped[1 << 20];
    int64_t start_us = dl_clock_monotonic_us(), ms = 0, read_bytes = 0;
    wire w = wire_open(r);
    wire_say(&w, request);
    while (atomic_load(&r->stream_destroy_count) == 0 && ms < limit_ms) {
        if (!catches_up || read_bytes >= (int64_t)step * (ms / 20)) {
            nap_ms(20);
        }
        ssize_t n = read(w.fd, dropped, step);
        TAP_TRUE(n > 0);
        read_bytes += n;
        ms = ms_since(start_us);
    }
    wire_close(&w);
    return ms;
}

/* The kernel takes each bit that is read for progress. */
TAP_CASE(trickling_readers_are_ended)
{
    enum { SLOW_STEP = 10000, FAST_STEP = 400000, LEAST = 2000000, FAST_MS = 6000 };
    static const char *const requests[] = {GET("/stream?length=1000000000"),
                                           GET("/stream?length=1000000000&known=0"),
                                           GET("/parts?count=10000")};
    dl_http_server_options options = usual;
    options.least_bytes_per_s = LEAST;
    for (size_t i = 0; i < DL_COUNT_OF(requests); i++) {
        rig r;
        rig_start(&r, &options);
        expect_not_before(ms_of_slow_reading(&r, requests[i], SLOW_STEP, false, AT_LAST_MS + 1),
                          3900);
        rig_stop(&r, 0);
        rig_start(&r, &options);
        TAP_TRUE(ms_of_slow_reading(&r, requests[i], FAST_STEP, true, FAST_MS) >= FAST_MS);
        rig_stop(&r, 0);
    }
}

/* The handler may take its time, and what was refused may, too. */
TAP_CASE(handlers_may_be_slow)
{
    rig r;
    rig_start(&r, &usual);
    answer a = {0};
    rig_ask(&r, GET("/slow?ms=900"), &a);
    TAP_EQ_INT(a.status, 200);
    answer_clear(&a);
    wire w = wire_open(&r);
    nap_ms(500);
    wire_say(&w, GET("/slow?ms=999"));
    TAP_TRUE(wire_answer(&w, false, &a));
    TAP_EQ_STR(dl_buf_str(&a.body), "slow");
    answer_clear(&a);
    wire_close(&w);
    rig_stop(&r, 0);
}

/* Nobody reads a long answer: the kernel gives the client up, and the thread is free. */
TAP_CASE(client_that_does_not_read_is_given_up)
{
    static const char *const requests[] = {GET("/stream?length=1000000000"),
                                           GET("/stream?length=1000000000&known=0"),
                                           GET("/parts?count=10000")};
    for (size_t i = 0; i < DL_COUNT_OF(requests); i++) {
        rig r;
        rig_start(&r, &usual);
        int64_t start_us = dl_clock_monotonic_us();
        wire w = wire_open(&r);
        wire_say(&w, requests[i]);
        TAP_TRUE(rig_wait(&r.stream_count, 1));
        TAP_TRUE(rig_wait(&r.stream_destroy_count, 1));
        TAP_TRUE(ms_since(start_us) >= 3500);
        wire_close(&w);
        rig_stop(&r, 0);
    }
}

TAP_CASE(slow_connections_hold_up_nobody)
{
    rig r;
    dl_http_server_options options = usual;
    options.idle_timeout_s = 600;
    options.header_timeout_s = 600;
    rig_start(&r, &options);
    static wire slow[SLOW_COUNT];
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        slow[i] = wire_open(&r);
        static const char *const starts[] = {"", "GET /te", "GET /text HTTP/1.1\r\n" HOST "X",
                                             "POST /echo HTTP/1.1\r\n" HOST
                                             "Content-Length: 100\r\n\r\nabc",
                                             GET("/stream?length=1000000000")};
        wire_say(&slow[i], starts[i % DL_COUNT_OF(starts)]);
    }
    for (int i = 0; i < 100; i++) {
        answer a = {0};
        rig_ask(&r, GET("/text"), &a);
        TAP_EQ_INT(a.status, 200);
        answer_clear(&a);
    }
    /* they are all still there */
    TAP_TRUE(rig_wait(&r.state_count, SLOW_COUNT / 5) && rig_wait(&r.stream_count, SLOW_COUNT / 5));
    TAP_EQ_INT(atomic_load(&r.stream_destroy_count), 0);
    for (size_t i = 0; i < SLOW_COUNT; i++) {
        wire_close(&slow[i]);
    }
    TAP_TRUE(rig_wait(&r.state_count, 0));
    rig_stop(&r, 0);
}

/* ---- too many ---- */

TAP_CASE(connections_have_a_bound)
{
    rig r;
    dl_http_server_options options = usual;
    options.connection_limit = 5;
    options.idle_timeout_s = 60;
    rig_start(&r, &options);
    wire kept[5];
    answer a = {0};
    for (size_t i = 0; i < DL_COUNT_OF(kept); i++) {
        kept[i] = wire_open(&r);
        wire_say(&kept[i], GET("/text"));
        TAP_TRUE(wire_answer(&kept[i], false, &a));
        TAP_EQ_INT(a.status, 200);
        answer_clear(&a);
    }
    wire more = wire_open(&r);
    (void)wire_say(&more, GET("/text"));
    TAP_TRUE(!wire_answer(&more, false, &a)); /* closed without an answer */
    answer_clear(&a);
    wire_close(&more);
    wire_close(&kept[0]);
    bool served = false;
    for (int i = 0; i < 6000 && !served; i++) { /* its place is free in a moment */
        nap_ms(10);
        more = wire_open(&r);
        (void)wire_say(&more, GET("/text"));
        served = wire_answer(&more, false, &a) && a.status == 200;
        answer_clear(&a);
        wire_close(&more);
    }
    TAP_TRUE(served);
    for (size_t i = 1; i < DL_COUNT_OF(kept); i++) {
        wire_close(&kept[i]);
    }
    rig_stop(&r, 0);
}

/* ---- stop ---- */

typedef struct slow_ask {
    rig *r;
    answer a;
    wire kept;
} slow_ask;

static void *ask_slow(void *context)
{
    slow_ask *ask = context;
    wire w = wire_open(ask->r);
    (void)wire_say(&w, GET("/held"));
    (void)wire_answer(&w, false, &ask->a);
    wire_close(&w);
    return NULL;
}

/* A stop has begun when a connection is not kept any more. */
static void *let_go_when_it_stops(void *context)
{
    slow_ask *ask = context;
    char value[20] = "";
    bool answered = true;
    while (answered && strcmp(value, "close") != 0) {
        answer a = {0};
        answered = wire_say(&ask->kept, GET("/text")) && wire_answer(&ask->kept, false, &a);
        (void)answer_header(&a, "Connection", value, sizeof value);
        answer_clear(&a);
        nap_ms(5);
    }
    atomic_store(&ask->r->hold, false);
    return NULL;
}

TAP_CASE(stop_lets_requests_finish)
{
    rig r;
    dl_http_server_options options = usual;
    options.idle_timeout_s = 600;
    options.header_timeout_s = 600;
    rig_start(&r, &options);
    atomic_store(&r.hold, true);
    slow_ask ask = {.r = &r, .kept = wire_open(&r)};
    wire idle = wire_open(&r);
    pthread_t thread, second;
    TAP_TRUE(pthread_create(&thread, NULL, ask_slow, &ask) == 0);
    TAP_TRUE(rig_wait(&r.begin_count, 1));
    TAP_TRUE(pthread_create(&second, NULL, let_go_when_it_stops, &ask) == 0);
    rig_stop(&r, AT_LAST_MS);
    (void)pthread_join(thread, NULL);
    (void)pthread_join(second, NULL);
    char value[20];
    TAP_EQ_INT(ask.a.status, 200);
    TAP_EQ_STR(dl_buf_str(&ask.a.body), "slow");
    TAP_EQ_INT(answer_header(&ask.a, "Connection", value, sizeof value), 1);
    TAP_EQ_STR(dl_str_of(value), "close");
    answer_clear(&ask.a);
    TAP_TRUE(wire_closed(&idle));
    wire_close(&idle);
    wire_close(&ask.kept);
}

TAP_CASE(stop_waits_no_longer_than_its_grace)
{
    rig r;
    dl_http_server_options options = usual;
    options.idle_timeout_s = 600;
    rig_start(&r, &options);
    wire body = wire_open(&r), stream = wire_open(&r), parts = wire_open(&r);
    wire_say(&body, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\nabc");
    wire_say(&stream, GET("/stream?length=1000000000"));
    wire_say(&parts, GET("/parts?count=10000"));
    TAP_TRUE(rig_wait(&r.begin_count, 3));
    int64_t start_us = dl_clock_monotonic_us();
    rig_stop(&r, 300);
    expect_not_before(ms_since(start_us), 250);
    TAP_EQ_INT(atomic_load(&r.destroy_count), 1);
    wire_close(&body);
    wire_close(&stream);
    wire_close(&parts);
}

TAP_CASE(start_and_stop_leave_nothing)
{
    dl_http_server_stop(NULL, 0);
    rig r;
    rig_start(&r, &usual);
    rig_stop(&r, 0);
    TAP_TRUE(threads_are(threads_before));
    size_t fds = count_entries("/proc/self/fd");
    for (int i = 0; i < 20; i++) {
        rig_start(&r, &usual);
        answer a = {0};
        rig_ask(&r, GET("/text"), &a);
        TAP_EQ_INT(a.status, 200);
        answer_clear(&a);
        rig_ask(&r, GET("/file"), &a);
        TAP_EQ_INT(a.status, 206);
        answer_clear(&a);
        rig_stop(&r, 100);
    }
    TAP_TRUE(threads_are(threads_before));
    TAP_EQ_INT(count_entries("/proc/self/fd"), fds);
}

TAP_CASE(listens_on_ipv6)
{
    dl_http_server_options options = usual;
    options.host = "::1";
    rig r = {0};
    dl_http_app app = {0};
    dl_error err = {0};
    dl_status status = dl_http_server_start(&options, &app, &r.server, &err);
    if (status == DL_E_IO) {
        printf("# this machine has no IPv6: %s\n", err.message);
        return;
    }
    TAP_OK(status, err);
    TAP_TRUE(dl_http_server_port(r.server) != 0);
    dl_http_server_stop(r.server, 0);
}

/* Many threads of clients at once: for the thread sanitizer. */
static void *ask_many(void *context)
{
    rig *r = context;
    for (int i = 0; i < 40; i++) {
        wire w = wire_open(r);
        answer a = {0};
        (void)wire_say(&w,
                       GET("/text") "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc");
        TAP_TRUE(wire_answer(&w, false, &a) && a.status == 200);
        answer_clear(&a);
        TAP_TRUE(wire_answer(&w, false, &a) && a.body.len == 3);
        answer_clear(&a);
        wire_close(&w);
    }
    return NULL;
}

TAP_CASE(many_clients_at_once)
{
    rig r;
    rig_start(&r, &usual);
    pthread_t threads[8];
    for (size_t i = 0; i < DL_COUNT_OF(threads); i++) {
        TAP_TRUE(pthread_create(&threads[i], NULL, ask_many, &r) == 0);
    }
    for (size_t i = 0; i < DL_COUNT_OF(threads); i++) {
        (void)pthread_join(threads[i], NULL);
    }
    TAP_EQ_INT(atomic_load(&r.begin_count), 8 * 40 * 2);
    rig_stop(&r, 1000);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    threads_before = count_entries("/proc/self/task");
    TAP_RUN(silent_connection_is_ended);
    TAP_RUN(trickling_headers_are_ended);
    TAP_RUN(trickling_headers_of_a_kept_connection);
    TAP_RUN(idle_kept_connection_is_ended);
    TAP_RUN(body_may_trickle_but_not_stop);
    TAP_RUN(pace_is_judged_by_whole_windows);
    TAP_RUN(trickling_bodies_are_ended);
    TAP_RUN(trickling_readers_are_ended);
    TAP_RUN(handlers_may_be_slow);
    TAP_RUN(client_that_does_not_read_is_given_up);
    TAP_RUN(slow_connections_hold_up_nobody);
    TAP_RUN(connections_have_a_bound);
    TAP_RUN(stop_lets_requests_finish);
    TAP_RUN(stop_waits_no_longer_than_its_grace);
    TAP_RUN(start_and_stop_leave_nothing);
    TAP_RUN(listens_on_ipv6);
    TAP_RUN(many_clients_at_once);
    return tap_done();
}
