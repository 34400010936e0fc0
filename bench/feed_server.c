/**
 * feed: a change feed over loopback HTTP, as Microsoft's DICOM service answers it, as fast as it
 * gets.
 *
 *     feed [--base 20000] [--per-series 10] [--series-per-study 2] [--seed 1]
 *
 * Prints "listening on http://127.0.0.1:PORT". What the rows are: feed_rows.h. Shown are the first
 * `base` rows until GET /show/N asks for N.
 *
 *     GET /v2/changefeed?offset=&limit=&startTime=&endTime=&includeMetadata=   limit at most 200
 *     GET /v2/changefeed/latest
 *
 * There is no afterSequence. One thread a connection; pages are made while they are asked for.
 * Only loopback can call.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "feed_rows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    LIMIT_ROWS = 200, /* as Microsoft's */
    INITIAL_ROWS = 100,
    REQUEST_LIMIT_BYTES = 16 * 1024,
    PAGE_LIMIT_BYTES = 16 * 1024 * 1024,
    HEAD_ROOM_BYTES = 256, /* before the body, so that an answer is one piece */
    NUMBER_LIMIT = 1000000000,
    BACKLOG = 64,
};

typedef struct server {
    dl_feed_rows *rows;
    _Atomic uint64_t shown;
} server;

typedef struct connection {
    const server *all;
    server *to_show;
    int fd;
    dl_feed_cursor cursor;
    char in[REQUEST_LIMIT_BYTES];
    size_t in_len;
    dl_buf out;
} connection;

typedef struct query {
    uint64_t offset, limit;
    int64_t start_us, end_us;
    bool metadata, good;
} query;

static query parse_query(dl_str text)
{
    query q = {.limit = INITIAL_ROWS,
               .end_us = INT64_MAX,
               .start_us = INT64_MIN,
               .metadata = true,
               .good = true};
    dl_str part = DL_STR_NONE;
    while (dl_str_next(&text, '&', &part)) {
        dl_str value = part;
        dl_str name = DL_STR_NONE;
        (void)dl_str_next(&value, '=', &name);
        if (dl_str_eq(name, DL_STR("offset"))) {
            q.good &= dl_str_to_u64(value, &q.offset);
        } else if (dl_str_eq(name, DL_STR("limit"))) {
            q.good &= dl_str_to_u64(value, &q.limit) && q.limit >= 1 && q.limit <= LIMIT_ROWS;
        } else if (dl_str_eq(name, DL_STR("startTime"))) {
            q.good &= dl_clock_parse(value, &q.start_us);
        } else if (dl_str_eq(name, DL_STR("endTime"))) {
            q.good &= dl_clock_parse(value, &q.end_us);
        } else if (dl_str_eq(name, DL_STR("includeMetadata"))) {
            q.metadata = dl_str_eq(value, DL_STR("true"));
        } else {
            q.good = false;
        }
    }
    return q;
}

static dl_status put_page(connection *c, const query *q, dl_error *err)
{
    uint64_t shown = atomic_load(&c->all->shown);
    uint64_t first = q->start_us == INT64_MIN ? 1 : dl_feed_rows_at(q->start_us);
    uint64_t end = q->end_us == INT64_MAX ? shown + 1 : dl_feed_rows_at(q->end_us);
    end = end > shown + 1 ? shown + 1 : end;
    first += q->offset;
    DL_TRY(dl_buf_append_char(&c->out, '[', err));
    for (uint64_t i = 0; i < q->limit && first + i < end; i++) {
        if (i > 0) {
            DL_TRY(dl_buf_append_char(&c->out, ',', err));
        }
        DL_TRY(dl_feed_rows_put(c->all->rows, &c->cursor, first + i, q->metadata, &c->out, err));
    }
    return dl_buf_append_char(&c->out, ']', err);
}

/* The body behind HEAD_ROOM_BYTES; the status. */
static unsigned answer(connection *c, dl_str target, dl_error *err)
{
    dl_str rest = target;
    dl_str path = DL_STR_NONE;
    uint64_t number = 0;
    (void)dl_str_next(&rest, '?', &path);
    query q = parse_query(rest);
    if (dl_str_starts(path, DL_STR("/show/")) &&
        dl_str_to_u64(dl_str_slice(path, 6, path.len), &number) && number <= NUMBER_LIMIT) {
        atomic_store(&c->to_show->shown, number);
        return 200;
    }
    if (!q.good) {
        return 400;
    }
    if (dl_str_eq(path, DL_STR("/v2/changefeed"))) {
        return put_page(c, &q, err) == DL_OK ? 200 : 500;
    }
    if (dl_str_eq(path, DL_STR("/v2/changefeed/latest"))) {
        uint64_t shown = atomic_load(&c->all->shown);
        dl_status made = shown == 0 ? DL_OK
                                    : dl_feed_rows_put(c->all->rows, &c->cursor, shown, q.metadata,
                                                       &c->out, err);
        return made != DL_OK ? 500 : shown == 0 ? 204 : 200;
    }
    return 404;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        len -= (size_t)sent;
    }
    return true;
}

static bool serve_request(connection *c, dl_str head)
{
    dl_str rest = head;
    dl_str method = DL_STR_NONE;
    dl_str target = DL_STR_NONE;
    dl_error err = {0};
    char text[HEAD_ROOM_BYTES];
    dl_buf_reset(&c->out);
    if (!dl_str_next(&rest, ' ', &method) || !dl_str_next(&rest, ' ', &target) ||
        !dl_str_eq(method, DL_STR("GET")) ||
        dl_buf_reserve(&c->out, HEAD_ROOM_BYTES, &err) != DL_OK) {
        return false;
    }
    c->out.len = HEAD_ROOM_BYTES;
    unsigned status = answer(c, target, &err);
    if (status >= 400) {
        c->out.len = HEAD_ROOM_BYTES;
    }
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 %u %s\r\nContent-Type: application/json; charset=utf-8\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       status, status < 400 ? "OK" : "Refused", c->out.len - HEAD_ROOM_BYTES);
    char *start = c->out.ptr + HEAD_ROOM_BYTES - len;
    memcpy(start, text, (size_t)len);
    return send_all(c->fd, start, c->out.len - HEAD_ROOM_BYTES + (size_t)len);
}

static void serve_connection(connection *c)
{
    for (;;) {
        dl_str in = {c->in, c->in_len};
        ptrdiff_t end = dl_str_find_str(in, DL_STR("\r\n\r\n"));
        if (end >= 0) {
            if (!serve_request(c, dl_str_slice(in, 0, (size_t)end))) {
                return;
            }
            c->in_len -= (size_t)end + 4;
            memmove(c->in, c->in + end + 4, c->in_len);
            continue;
        }
        ssize_t got = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return;
        }
        c->in_len += (size_t)got;
    }
}

static void *connection_thread(void *context)
{
    connection *c = context;
    int on = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    dl_buf_init(&c->out, PAGE_LIMIT_BYTES);
    serve_connection(c);
    dl_buf_clear(&c->out);
    (void)close(c->fd);
    dl_mem_free(c);
    return NULL;
}

static dl_status accept_one(server *s, int listener, dl_error *err)
{
    pthread_t thread = 0;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return errno == EINTR || errno == ECONNABORTED
                   ? DL_OK
                   : dl_error_errno(err, errno, "accepting a connection");
    }
    connection *c = dl_mem_zalloc(1, sizeof *c);
    if (c == NULL) {
        (void)close(fd);
        return dl_error_set(err, DL_E_NOMEM, "no memory for a connection");
    }
    c->all = s;
    c->to_show = s;
    c->fd = fd;
    int code = pthread_create(&thread, NULL, connection_thread, c);
    if (code != 0) {
        (void)close(fd);
        dl_mem_free(c);
        return dl_error_errno(err, code, "starting a thread");
    }
    (void)pthread_detach(thread);
    return DL_OK;
}

static dl_status run(server *s, dl_error *err)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, BACKLOG) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        return dl_error_errno(err, errno, "listening on 127.0.0.1");
    }
    (void)printf("listening on http://127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    (void)fflush(stdout);
    for (;;) {
        DL_TRY(accept_one(s, listener, err));
    }
}

static dl_status parse(int argc, char **argv, dl_feed_rows_options *o, dl_error *err)
{
    const struct {
        const char *name;
        uint64_t *value, min;
    } numbers[] = {{"--base", &o->base, 1},
                   {"--per-series", &o->per_series, 1},
                   {"--series-per-study", &o->series_per_study, 1},
                   {"--seed", &o->seed, 0}};
    for (int i = 1; i < argc; i += 2) {
        bool known = false;
        for (size_t k = 0; k < DL_COUNT_OF(numbers) && i + 1 < argc && !known; k++) {
            known = strcmp(argv[i], numbers[k].name) == 0;
            if (known && (!dl_str_to_u64(dl_str_of(argv[i + 1]), numbers[k].value) ||
                          *numbers[k].value < numbers[k].min || *numbers[k].value > NUMBER_LIMIT)) {
                return dl_error_set(err, DL_E_INVALID, "%s: a number from %llu to %d", argv[i],
                                    (unsigned long long)numbers[k].min, NUMBER_LIMIT);
            }
        }
        if (!known) {
            return dl_error_set(err, DL_E_INVALID, "%s: unknown, or no value", argv[i]);
        }
    }
    return DL_OK;
}

int main(int argc, char **argv)
{
    dl_feed_rows_options o = {.seed = 1, .base = 20000, .per_series = 10, .series_per_study = 2};
    server s = {0};
    dl_error err = {0};
    if (parse(argc, argv, &o, &err) != DL_OK) {
        (void)fprintf(stderr, "feed: %s\n", err.message);
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    atomic_store(&s.shown, o.base);
    dl_status status = dl_feed_rows_create(&o, &s.rows, &err);
    if (status == DL_OK) {
        status = run(&s, &err);
    }
    (void)fprintf(stderr, "feed: %s\n", err.message);
    dl_feed_rows_destroy(s.rows);
    return status == DL_OK ? 0 : 1;
}
