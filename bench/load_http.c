#include "load_http.h"

#include "base/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum {
    IN_BYTES = 256 * 1024,
    RECEIVE_TIMEOUT_S = 150,
    TRIES = 2,
};
#define BODY_LIMIT_BYTES ((size_t)2 << 30)

void dl_bench_conn_init(dl_bench_conn *conn, uint16_t port)
{
    *conn = (dl_bench_conn){.fd = -1, .port = port};
    dl_buf_init(&conn->in, IN_BYTES);
    dl_buf_init(&conn->body, BODY_LIMIT_BYTES);
}

void dl_bench_conn_clear(dl_bench_conn *conn)
{
    dl_file_close(&conn->fd);
    dl_buf_clear(&conn->in);
    dl_buf_clear(&conn->body);
}

static dl_status connect_now(dl_bench_conn *conn, dl_error *err)
{
    dl_buf_reset(&conn->in);
    conn->at = 0;
    DL_TRY(dl_buf_reserve(&conn->in, IN_BYTES, err));
    DL_AUTO_FD fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return dl_error_errno(err, errno, "socket");
    }
    int on = 1;
    struct timeval timeout = {.tv_sec = RECEIVE_TIMEOUT_S};
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(conn->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "127.0.0.1:%u: %s", conn->port,
                            strerrorname_np(errno));
    }
    conn->fd = fd;
    fd = -1;
    conn->connects++;
    return DL_OK;
}

static dl_status send_all(dl_bench_conn *conn, const struct iovec *parts, size_t count,
                          dl_error *err)
{
    struct iovec left[DL_BENCH_IOV_LIMIT];
    DL_ASSERT(count <= DL_BENCH_IOV_LIMIT);
    memcpy(left, parts, count * sizeof *parts);
    size_t at = 0;
    while (at < count) {
        struct msghdr message = {.msg_iov = left + at, .msg_iovlen = count - at};
        ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        if (n < 0) {
            return dl_error_errno(err, errno, "send");
        }
        conn->sent_bytes += (uint64_t)n;
        size_t sent = (size_t)n;
        while (at < count && sent >= left[at].iov_len) {
            sent -= left[at++].iov_len;
        }
        if (at < count) {
            left[at].iov_base = (char *)left[at].iov_base + sent;
            left[at].iov_len -= sent;
        }
    }
    return DL_OK;
}

/* With MSG_TRUNC nothing is written to `out`, however much room there is (tcp(7)). */
static dl_status receive(dl_bench_conn *conn, char *out, size_t room, int flags, size_t *out_len,
                         dl_error *err)
{
    ssize_t n = recv(conn->fd, out, room, flags);
    if (n < 0) {
        return dl_error_errno(err, errno, "receive");
    }
    conn->received_bytes += (uint64_t)n;
    *out_len = (size_t)n;
    return DL_OK;
}

/* More input behind what is there; DL_E_IO at the end. */
static dl_status fill(dl_bench_conn *conn, dl_error *err)
{
    dl_buf *in = &conn->in;
    if (conn->at > 0) {
        memmove(in->ptr, in->ptr + conn->at, in->len - conn->at);
        in->len -= conn->at;
        conn->at = 0;
    }
    size_t n = 0;
    if (in->len == IN_BYTES) {
        return dl_error_set(err, DL_E_INVALID, "a line of the answer is longer than %d", IN_BYTES);
    }
    DL_TRY(receive(conn, in->ptr + in->len, IN_BYTES - in->len, 0, &n, err));
    if (n == 0) {
        return dl_error_set(err, DL_E_IO, "the server closed the connection");
    }
    in->len += n;
    return DL_OK;
}

/* Valid until the next call. */
static dl_status read_line(dl_bench_conn *conn, dl_str *out_line, dl_error *err)
{
    for (;;) {
        dl_str have = {conn->in.ptr + conn->at, conn->in.len - conn->at};
        ptrdiff_t end = have.len == 0 ? -1 : dl_str_find(have, '\n');
        if (end >= 0) {
            *out_line = dl_str_slice(have, 0, (size_t)end);
            if (out_line->len > 0 && out_line->ptr[out_line->len - 1] == '\r') {
                out_line->len--;
            }
            conn->at += (size_t)end + 1;
            return DL_OK;
        }
        DL_TRY(fill(conn, err));
    }
}

static dl_status take_ready(dl_bench_conn *conn, uint64_t limit, uint64_t *out_taken, dl_error *err)
{
    size_t ready = conn->in.len - conn->at;
    size_t n = ready < limit ? ready : (size_t)limit;
    if (!conn->discard) {
        DL_TRY(dl_buf_append(&conn->body, conn->in.ptr + conn->at, n, err));
    }
    conn->at += n;
    conn->body_bytes += n;
    *out_taken = n;
    return DL_OK;
}

static dl_status read_body(dl_bench_conn *conn, uint64_t len, dl_error *err)
{
    dl_buf *body = &conn->body;
    uint64_t taken = 0;
    if (!conn->discard) {
        DL_TRY(dl_buf_reserve(body, len, err));
    }
    DL_TRY(take_ready(conn, len, &taken, err));
    for (len -= taken; len > 0; len -= taken) {
        size_t n = 0;
        char *to = conn->discard ? conn->in.ptr : body->ptr + body->len;
        DL_TRY(receive(conn, to, len, conn->discard ? MSG_TRUNC : 0, &n, err));
        if (n == 0) {
            return dl_error_set(err, DL_E_IO, "the answer ended early");
        }
        body->len += conn->discard ? 0 : n;
        conn->body_bytes += n;
        taken = n;
    }
    return DL_OK;
}

static dl_status read_chunks(dl_bench_conn *conn, dl_error *err)
{
    for (;;) {
        dl_str line;
        uint64_t len = 0;
        DL_TRY(read_line(conn, &line, err));
        ptrdiff_t extension = dl_str_find(line, ';');
        if (extension >= 0) {
            line.len = (size_t)extension;
        }
        if (!dl_str_hex_to_u64(dl_str_trim(line), &len)) {
            return dl_error_set(err, DL_E_INVALID, "a chunk without a length");
        }
        if (len > 0) {
            DL_TRY(read_body(conn, len, err));
            DL_TRY(read_line(conn, &line, err));
            continue;
        }
        do {
            DL_TRY(read_line(conn, &line, err));
        } while (line.len > 0);
        return DL_OK;
    }
}

static dl_status read_to_end(dl_bench_conn *conn, dl_error *err)
{
    for (;;) {
        uint64_t taken = 0;
        size_t n = 0;
        DL_TRY(take_ready(conn, UINT64_MAX, &taken, err));
        DL_TRY(receive(conn, conn->in.ptr, IN_BYTES, 0, &n, err));
        conn->in.len = n;
        conn->at = 0;
        if (n == 0) {
            return DL_OK;
        }
    }
}

typedef struct head {
    unsigned status;
    bool chunked, has_length, closes;
    uint64_t length;
} head;

static dl_status read_head(dl_bench_conn *conn, head *out, dl_error *err)
{
    dl_str line;
    uint64_t status = 0;
    DL_TRY(read_line(conn, &line, err));
    if (!dl_str_starts(line, DL_STR("HTTP/1.")) ||
        !dl_str_to_u64(dl_str_slice(line, 9, 3), &status)) {
        return dl_error_set(err, DL_E_INVALID, "not an HTTP answer");
    }
    head h = {.status = (unsigned)status};
    for (;;) {
        DL_TRY(read_line(conn, &line, err));
        if (line.len == 0) {
            *out = h;
            return DL_OK;
        }
        dl_str value = line;
        dl_str name;
        (void)dl_str_next(&value, ':', &name);
        value = dl_str_trim(value);
        if (dl_str_eq_nocase(name, DL_STR("content-length"))) {
            h.has_length = dl_str_to_u64(value, &h.length);
        } else if (dl_str_eq_nocase(name, DL_STR("transfer-encoding"))) {
            h.chunked = dl_str_eq_nocase(value, DL_STR("chunked"));
        } else if (dl_str_eq_nocase(name, DL_STR("connection"))) {
            h.closes = dl_str_eq_nocase(value, DL_STR("close"));
        }
    }
}

static dl_status read_answer(dl_bench_conn *conn, unsigned *out_status, dl_error *err)
{
    head h = {0};
    do {
        DL_TRY(read_head(conn, &h, err));
    } while (h.status == 100);
    if (h.chunked) {
        DL_TRY(read_chunks(conn, err));
    } else if (h.has_length) {
        DL_TRY(read_body(conn, h.length, err));
    } else if (h.status != 204 && h.status != 304) {
        h.closes = true;
        DL_TRY(read_to_end(conn, err));
    }
    if (h.closes) {
        dl_file_close(&conn->fd);
    }
    *out_status = h.status;
    return DL_OK;
}

dl_status dl_bench_exchange(dl_bench_conn *conn, const struct iovec *parts, size_t count,
                            unsigned *out_status, dl_error *err)
{
    for (unsigned i = 0;; i++) {
        bool fresh = conn->fd < 0;
        if (fresh) {
            DL_TRY(connect_now(conn, err));
        }
        uint64_t before = conn->received_bytes;
        dl_buf_reset(&conn->body);
        conn->body_bytes = 0;
        dl_status status = send_all(conn, parts, count, err);
        if (status == DL_OK) {
            status = read_answer(conn, out_status, err);
        }
        if (status == DL_OK) {
            return DL_OK;
        }
        dl_file_close(&conn->fd);
        if (fresh || i + 1 == TRIES || conn->received_bytes != before) {
            return status;
        }
        dl_error_clear(err);
    }
}
