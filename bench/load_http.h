/**
 * load_http: one blocking keep-alive HTTP/1.1 connection, as cheap as it gets.
 *
 * The load tool shares its machine with the server it measures, so a request is one writev and the
 * answer is read straight into one buffer that is used again and again.
 *
 * Thread: confined.
 */
#ifndef DL_BENCH_LOAD_HTTP_H
#define DL_BENCH_LOAD_HTTP_H

#include "base/buf.h"

#include <sys/uio.h>

enum { DL_BENCH_IOV_LIMIT = 256 };

typedef struct dl_bench_conn {
    int fd; /* -1: not connected */
    uint16_t port;
    dl_buf in; /* received and not yet used: [at, in.len) */
    size_t at;
    bool discard;        /* do not keep bodies: the kernel drops what arrives, uncopied */
    dl_buf body;         /* of the last answer, unless discarded */
    uint64_t body_bytes; /* of the last answer, kept or not */
    uint64_t sent_bytes, received_bytes, connects;
} dl_bench_conn;

/** To 127.0.0.1:`port`, connected at the first exchange. */
void dl_bench_conn_init(dl_bench_conn *conn, uint16_t port);
void dl_bench_conn_clear(dl_bench_conn *conn);

/**
 * Send and read the answer into conn->body. A connection that the server has closed while it lay
 * idle is opened anew, once. Errors: DL_E_IO, DL_E_UNAVAILABLE (refused), DL_E_INVALID (not HTTP).
 */
DL_NODISCARD dl_status dl_bench_exchange(dl_bench_conn *conn, const struct iovec *parts,
                                         size_t count, unsigned *out_status, dl_error *err);

#endif
