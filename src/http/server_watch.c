#include "http/internal.h"

#include "base/clock.h"
#include "base/mem.h"

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

/* The thread of a connection that is shut down sees its end as if the client had gone. */
static void end_late_ones(dl_http_server *server)
{
    long long now = dl_clock_monotonic_us();
    for (dl_http_conn *conn = server->conns; conn != NULL; conn = conn->next) {
        long long deadline = atomic_load_explicit(&conn->deadline_us, memory_order_relaxed);
        if (deadline != 0 && deadline < now) {
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
