#include "http/internal.h"

#include "base/clock.h"
#include "base/mem.h"

#include <linux/tcp.h> /* tcp_info with what was acknowledged, which <netinet/tcp.h> lacks */
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

enum { ROUNDS_PER_TIMEOUT = 8, ROUND_LEAST_MS = 20, ROUND_MOST_MS = 1000 };

void dl_http_watch_deadline(dl_http_conn *conn, unsigned seconds)
{
    long long deadline =
        seconds == 0 ? 0 : dl_clock_monotonic_us() + (long long)seconds * 1000 * 1000;
    atomic_store_explicit(&conn->deadline_us, deadline, memory_order_relaxed);
}

dl_http_conn *dl_http_watch_add(dl_http_server *server, int fd)
{
    dl_http_conn *conn = dl_mem_zalloc(1, sizeof *conn);
    if (conn == NULL) {
        return NULL;
    }
    conn->fd = fd;
    dl_http_watch_deadline(conn, server->options.header_timeout_s);
    pthread_mutex_lock(&server->lock);
    conn->next = server->conns;
    if (conn->next != NULL) {
        conn->next->previous = conn;
    } else {
        pthread_cond_broadcast(&server->changed); /* the watch sleeps while there is nothing */
    }
    server->conns = conn;
    server->conn_count++;
    pthread_mutex_unlock(&server->lock);
    return conn;
}

void dl_http_watch_remove(dl_http_server *server, dl_http_conn *conn)
{
    pthread_mutex_lock(&server->lock);
    if (conn->previous != NULL) {
        conn->previous->next = conn->next;
    } else {
        server->conns = conn->next;
    }
    if (conn->next != NULL) {
        conn->next->previous = conn->previous;
    }
    server->conn_count--;
    pthread_mutex_unlock(&server->lock);
    dl_mem_free(conn);
}

bool dl_http_pace_add(dl_http_pace *pace, const dl_http_server_options *options, int64_t waited_us,
                      uint64_t bytes)
{
    pace->waited_us += waited_us;
    pace->bytes += bytes;
    if (pace->waited_us < (int64_t)options->idle_timeout_s * 1000000) {
        return true;
    }
    bool enough =
        (double)pace->bytes * 1e6 >= (double)options->least_bytes_per_s * (double)pace->waited_us;
    *pace = (dl_http_pace){0};
    return enough;
}

/* Whether the client takes what lies ready for it. Time in which nothing does is ours, not its. */
static bool takes_its_answer(const dl_http_server *server, dl_http_conn *conn, long long now_us)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (!atomic_load_explicit(&conn->sending, memory_order_relaxed) ||
        getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        (info.tcpi_notsent_bytes == 0 && info.tcpi_unacked == 0)) {
        conn->looked_us = 0;
        conn->taking = (dl_http_pace){0};
        return true;
    }
    bool good = conn->looked_us == 0 ||
                dl_http_pace_add(&conn->taking, &server->options, now_us - conn->looked_us,
                                 info.tcpi_bytes_acked - conn->acked_bytes);
    conn->looked_us = now_us;
    conn->acked_bytes = info.tcpi_bytes_acked;
    return good;
}

/* The thread of a connection that is shut down sees its end as if the client had gone. */
static void end_late_ones(dl_http_server *server)
{
    long long now = dl_clock_monotonic_us();
    for (dl_http_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        long long deadline = atomic_load_explicit(&conn->deadline_us, memory_order_relaxed);
        bool late = deadline != 0 && deadline < now;
        if (late || !takes_its_answer(server, conn, now)) {
            (void)shutdown(conn->fd, SHUT_RDWR);
            atomic_compare_exchange_strong(&conn->deadline_us, &deadline, 0);
        }
    }
}

static void *watch(void *context)
{
    dl_http_server *server = context;
    unsigned shortest_s = server->options.header_timeout_s < server->options.idle_timeout_s
                              ? server->options.header_timeout_s
                              : server->options.idle_timeout_s;
    long long round_ms = (long long)shortest_s * 1000 / ROUNDS_PER_TIMEOUT;
    round_ms = round_ms < ROUND_LEAST_MS  ? ROUND_LEAST_MS
               : round_ms > ROUND_MOST_MS ? ROUND_MOST_MS
                                          : round_ms;
    pthread_mutex_lock(&server->lock);
    while (!server->watch_ends) {
        if (server->conns == NULL) {
            pthread_cond_wait(&server->changed, &server->lock);
            continue;
        }
        struct timespec until = {0};
        clock_gettime(CLOCK_MONOTONIC, &until);
        long long nanos = until.tv_nsec + round_ms * 1000000;
        until.tv_sec += (time_t)(nanos / 1000000000);
        until.tv_nsec = (long)(nanos % 1000000000);
        (void)pthread_cond_timedwait(&server->changed, &server->lock, &until);
        end_late_ones(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

bool dl_http_watch_start(dl_http_server *server)
{
    server->watching = pthread_create(&server->watcher, NULL, watch, server) == 0;
    return server->watching;
}

void dl_http_watch_stop(dl_http_server *server)
{
    if (!server->watching) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    server->watch_ends = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    (void)pthread_join(server->watcher, NULL);
    server->watching = false;
}
