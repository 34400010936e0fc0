#include "http/internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    DEFAULT_URL_LIMIT_BYTES = 16 * 1024,
    DEFAULT_HEADER_LIMIT_BYTES = 64 * 1024,
    DEFAULT_CONNECTION_LIMIT = 1024,
    DEFAULT_IDLE_TIMEOUT_S = 60,
    DEFAULT_HEADER_TIMEOUT_S = 30,
    /* Room of a connection beyond what its URL and headers may take. Half of the whole is what one
     * read takes from the socket: at the default limits 96 KiB. */
    POOL_EXTRA_BYTES = 16 * 1024,
    CONNECTION_SPARE = 64, /* those of libmicrohttpd that are ending already */
    THREAD_STACK_BYTES = 512 * 1024,
    BACKLOG = 1024,
};

/* ---- what libmicrohttpd calls ---- */

static dl_http_conn *conn_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

/* The connection is new, and may be one too many. */
static enum MHD_Result on_accept(void *context, const struct sockaddr *address, socklen_t len)
{
    (void)address;
    (void)len;
    dl_http_server *server = context;
    pthread_mutex_lock(&server->lock);
    bool room = server->conn_count < server->options.connection_limit;
    pthread_mutex_unlock(&server->lock);
    return room ? MHD_YES : MHD_NO;
}

static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    dl_http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*socket_context != NULL) {
            dl_http_watch_remove(server, *socket_context);
            *socket_context = NULL;
        }
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info != NULL) {
        *socket_context = dl_http_watch_add(server, info->connect_fd);
        if (*socket_context == NULL) { /* no memory: it could be slow for ever */
            (void)shutdown(info->connect_fd, SHUT_RDWR);
        }
    }
}

/* libmicrohttpd would split the query now, decode it for nobody, and end the connection without an
 * answer when the pieces do not fit its memory. It stops at a NUL; we have our own copy. The string
 * is const by its interface, and its own buffer in fact. */
static void hide_query(const char *target)
{
    char *mark = strchr(target, '?');
    if (mark != NULL) {
        mark[1] = '\0'; /* what follows '?' at least is the NUL of the target */
    }
}

/* The request line is in: the exchange begins. What is returned here comes back as `*request`. */
static void *on_target(void *context, const char *target, struct MHD_Connection *mhd)
{
    dl_http_server *server = context;
    dl_http_conn *conn = conn_of(mhd);
    if (conn == NULL) {
        return NULL;
    }
    if (conn->request_count++ > 0) { /* the first one has its time since the connection began */
        dl_http_watch_deadline(conn, server->options.header_timeout_s);
    }
    dl_http_exchange *x = dl_http_exchange_create(server, conn, mhd, target);
    hide_query(target);
    return x;
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's signature */
static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_len, void **request)
{
    (void)context;
    (void)mhd;
    dl_http_exchange *x = *request;
    if (x == NULL) {
        return MHD_NO; /* no memory */
    }
    if (!x->started) {
        dl_http_start_line line = {method, url, version};
        return dl_http_request_start(x, &line);
    }
    if (*data_len > 0) {
        dl_bytes piece = {(const uint8_t *)data, *data_len};
        *data_len = 0;
        return dl_http_request_piece(x, piece);
    }
    return dl_http_request_finish(x);
}

static unsigned status_sent(const dl_http_exchange *x)
{
    if (x->started && dl_http_answered(x)) {
        return x->reply.status;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_HTTP_STATUS);
    return info == NULL ? 0 : info->http_status; /* libmicrohttpd's own answer, or none */
}

static void on_completed(void *context, struct MHD_Connection *mhd, void **request,
                         enum MHD_RequestTerminationCode code)
{
    (void)mhd;
    dl_http_server *server = context;
    dl_http_exchange *x = *request;
    if (x == NULL) {
        return;
    }
    *request = NULL;
    atomic_store_explicit(&x->conn->sending, false, memory_order_relaxed);
    unsigned status = status_sent(x);
    bool refused_below =
        code == MHD_REQUEST_TERMINATED_WITH_ERROR && !dl_http_answered(x) && status != 0;
    bool whole = code == MHD_REQUEST_TERMINATED_COMPLETED_OK || x->cut || refused_below;
    if (x->state != NULL && server->app.destroy != NULL) {
        server->app.destroy(server->app.context, x->state);
    }
    dl_http_log_access(x, status, !whole || x->reply.stream_failed);
    if (whole && (x->linger || refused_below)) {
        dl_http_linger(x);
    }
    /* The next request, if there is one, has to begin soon. */
    dl_http_watch_deadline(x->conn, server->options.idle_timeout_s);
    dl_http_exchange_destroy(x);
    pthread_mutex_lock(&server->lock);
    server->exchange_count--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* Paths stay as they were sent. */
static size_t keep_escapes(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context;
    (void)mhd;
    return strlen(text);
}

/* ---- the socket ---- */

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} any_address;

static dl_status read_address(const char *host, uint16_t port, any_address *out, socklen_t *out_len,
                              dl_error *err)
{
    any_address address = {0};
    if (inet_pton(AF_INET, host, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        *out_len = sizeof address.v4;
    } else if (inet_pton(AF_INET6, host, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        *out_len = sizeof address.v6;
    } else {
        return dl_error_set(err, DL_E_INVALID, "'%s' is neither an address nor localhost", host);
    }
    *out = address;
    return DL_OK;
}

/* Accepted sockets inherit TCP_NODELAY and TCP_USER_TIMEOUT: a client that does not take what it is
 * sent for idle_timeout_s is given up by the kernel. */
static dl_status listen_on(dl_http_server *server, dl_error *err)
{
    any_address address = {0};
    socklen_t len = 0;
    uint16_t port = server->options.port;
    DL_TRY(read_address(server->host, port, &address, &len, err));
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return dl_error_errno(err, errno, "cannot make a socket");
    }
    server->listen_fd = fd;
    int on = 1;
    unsigned timeout_ms = server->options.idle_timeout_s * 1000;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    if (address.any.sa_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (bind(fd, &address.any, len) != 0 || listen(fd, BACKLOG) != 0) {
        return dl_error_errno(err, errno, "cannot listen on %s port %u", server->host, port);
    }
    len = sizeof address;
    if (getsockname(fd, &address.any, &len) != 0) {
        return dl_error_errno(err, errno, "cannot read the address of a socket");
    }
    server->port =
        ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    return DL_OK;
}

/* ---- life ---- */

static void fill_options(dl_http_server_options *o)
{
    o->url_limit_bytes = o->url_limit_bytes == 0 ? DEFAULT_URL_LIMIT_BYTES : o->url_limit_bytes;
    o->header_limit_bytes =
        o->header_limit_bytes == 0 ? DEFAULT_HEADER_LIMIT_BYTES : o->header_limit_bytes;
    o->connection_limit = o->connection_limit == 0 ? DEFAULT_CONNECTION_LIMIT : o->connection_limit;
    o->idle_timeout_s = o->idle_timeout_s == 0 ? DEFAULT_IDLE_TIMEOUT_S : o->idle_timeout_s;
    o->least_bytes_per_s =
        o->least_bytes_per_s == 0 ? DL_HTTP_LEAST_BYTES_PER_S : o->least_bytes_per_s;
    o->header_timeout_s = o->header_timeout_s == 0 ? DEFAULT_HEADER_TIMEOUT_S : o->header_timeout_s;
}

static dl_status start_daemon(dl_http_server *server, dl_error *err)
{
    const dl_http_server_options *o = &server->options;
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
                     MHD_USE_POLL | MHD_USE_ITC;
    if (strchr(server->host, ':') != NULL) {
        flags |= MHD_USE_IPv6;
    }
    size_t pool_bytes = 2 * (o->url_limit_bytes + o->header_limit_bytes + POOL_EXTRA_BYTES);
    /* clang-format off */
    server->daemon = MHD_start_daemon(flags, 0, on_accept, server, on_request, server,
        MHD_OPTION_LISTEN_SOCKET, server->listen_fd,
        MHD_OPTION_CONNECTION_LIMIT, o->connection_limit + CONNECTION_SPARE,
        MHD_OPTION_CONNECTION_TIMEOUT, 0U,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool_bytes,
        MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK_BYTES,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
        MHD_OPTION_END);
    /* clang-format on */
    if (server->daemon == NULL) {
        return dl_error_errno(err, errno, "cannot start the HTTP server");
    }
    return DL_OK;
}

static void destroy_server(dl_http_server *server)
{
    dl_http_watch_stop(server);
    dl_file_close(&server->listen_fd);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    dl_mem_free(server);
}

static dl_status create_server(const dl_http_server_options *options, const dl_http_app *app,
                               dl_http_server **out_server, dl_error *err)
{
    bool named = strcmp(options->host, "localhost") == 0;
    dl_str host = dl_str_of(named ? "127.0.0.1" : options->host);
    dl_str versions = dl_str_of(options->supported_versions);
    dl_http_server *server = dl_mem_zalloc(1, sizeof *server);
    if (server == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "HTTP server: out of memory");
    }
    if (!dl_str_copy(host, server->host, sizeof server->host) ||
        !dl_str_copy(versions, server->versions, sizeof server->versions)) {
        dl_mem_free(server);
        return dl_error_set(err, DL_E_INVALID,
                            "HTTP server: the host or the versions are too long");
    }
    server->app = *app;
    server->options = *options;
    fill_options(&server->options);
    server->listen_fd = -1;
    pthread_condattr_t attributes;
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    *out_server = server;
    return DL_OK;
}

dl_status dl_http_server_start(const dl_http_server_options *options, const dl_http_app *app,
                               dl_http_server **out_server, dl_error *err)
{
    dl_http_server *server = NULL;
    DL_TRY(create_server(options, app, &server, err));
    DL_ASSERT(server != NULL);
    dl_status status = listen_on(server, err);
    if (status == DL_OK && !dl_http_watch_start(server)) {
        status = dl_error_set(err, DL_E_NOMEM, "HTTP server: cannot start a thread");
    }
    if (status == DL_OK) {
        status = start_daemon(server, err);
    }
    if (status != DL_OK) {
        destroy_server(server);
        return status;
    }
    *out_server = server;
    return DL_OK;
}

uint16_t dl_http_server_port(const dl_http_server *server)
{
    return server->port;
}

/* Wait until no request is under way, or the time is over. */
static void wait_for_requests(dl_http_server *server, unsigned grace_ms)
{
    struct timespec until = {0};
    clock_gettime(CLOCK_MONOTONIC, &until);
    long long nanos = until.tv_nsec + (long long)grace_ms * 1000000;
    until.tv_sec += (time_t)(nanos / 1000000000);
    until.tv_nsec = (long)(nanos % 1000000000);
    pthread_mutex_lock(&server->lock);
    while (server->exchange_count > 0 &&
           pthread_cond_timedwait(&server->changed, &server->lock, &until) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&server->lock);
}

void dl_http_server_stop(dl_http_server *server, unsigned grace_ms)
{
    if (server == NULL) {
        return;
    }
    atomic_store_explicit(&server->stopping, true, memory_order_relaxed);
    server->listen_fd = MHD_quiesce_daemon(server->daemon); /* ours to close from here on */
    wait_for_requests(server, grace_ms);
    dl_http_watch_stop(server);
    MHD_stop_daemon(server->daemon);
    destroy_server(server);
}
