/**
 * What the files of the server share.
 *
 * server.c          start, stop, the socket, the callbacks that libmicrohttpd gets
 * server_request.c  the way of one request: checks, pieces of the body, the answer's turn
 * server_exchange.c what the application sees of a request, and the answer it records
 * server_answer.c   the recorded answer on its way out; closing without losing it; the access line
 * server_parts.c    an answer of many files, past libmicrohttpd but for its headers
 * server_watch.c    one thread that ends connections which are too slow
 *
 * An application's answer is only recorded by dl_http_respond*(); it goes out when libmicrohttpd
 * can take it: after the body, or at once and followed by closing the connection.
 *
 * libmicrohttpd's own timeout is not used: its wait in whole seconds turns into a busy loop in the
 * last one (0.9.75), and it cannot tell a slow header from a slow body. Instead every connection
 * has a deadline, which the watch looks at; a client that takes nothing of its answer is given up
 * by the kernel (TCP_USER_TIMEOUT), one that takes too little by the watch.
 *
 * What libmicrohttpd 0.9.75 answers by itself, before we are asked: first lines and headers that it
 * cannot read, versions other than 1.x, lengths that are no number, chunks that are none, and what
 * its memory cannot hold. The status is right and the connection ends, but the headers of contract
 * section 1.2 are missing, and after a bad Content-Length it writes the headers twice. To a 304 it
 * adds a Content-Length of 0, which RFC 9110 section 8.6 does not want, and cannot be told not to.
 * In a body of chunks it takes a lone LF for a line end; the lines between chunks never get here.
 */
#ifndef DL_HTTP_INTERNAL_H
#define DL_HTTP_INTERNAL_H

#include "http/server.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    DL_HTTP_ARENA_LIMIT_BYTES = 16 * 1024 * 1024, /* of the application, per request */
    DL_HTTP_OWN_LIMIT_BYTES = 1024 * 1024,        /* of the server itself, per request */
    DL_HTTP_DROP_LIMIT_BYTES = 4 * 1024 * 1024,   /* of a refused body: read and dropped */
    DL_HTTP_LINGER_MS = 5000, /* a refused sender may go on so long to get to read the answer */
    DL_HTTP_REQUEST_ID_SIZE = 33,
};

/** How long we have waited for a client, and how much came of it. */
typedef struct dl_http_pace {
    int64_t waited_us;
    uint64_t bytes;
} dl_http_pace;

/** One connection. The watch may shut the socket down, nothing else, and only while listed. */
typedef struct dl_http_conn {
    struct dl_http_conn *next, *previous; /* guarded by the server's lock */
    int fd;
    uint64_t request_count; /* the connection's thread only */
    /* Monotonic microseconds; 0: none. Relaxed: a stale value costs one round of the watch. */
    atomic_llong deadline_us;
    atomic_bool sending; /* an answer is on its way; relaxed as above */
    /* Of the watch alone: what the client has taken of it. */
    dl_http_pace taking;
    long long looked_us; /* 0: not yet */
    uint64_t acked_bytes;
} dl_http_conn;

struct dl_http_server {
    dl_http_app app;
    dl_http_server_options options; /* limits filled in; host and versions copied below */
    char host[64];
    char versions[128];
    uint16_t port;
    int listen_fd;
    struct MHD_Daemon *daemon;
    pthread_t watcher;
    bool watching;
    atomic_bool stopping; /* relaxed: a wish, it carries no data */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    dl_http_conn *conns;
    unsigned conn_count;
    unsigned exchange_count;
    bool watch_ends;
};

typedef enum dl_http_answer_kind {
    DL_HTTP_ANSWER_NONE,
    DL_HTTP_ANSWER_MEMORY,
    DL_HTTP_ANSWER_FILE,
    DL_HTTP_ANSWER_STREAM,
    DL_HTTP_ANSWER_PARTS
} dl_http_answer_kind;

typedef struct dl_http_header_line {
    struct dl_http_header_line *next;
    const char *name, *value;
} dl_http_header_line;

typedef struct dl_http_reply {
    dl_http_answer_kind kind;
    unsigned status;
    dl_http_header_line *first, **end;
    dl_buf body;
    int fd;
    uint64_t offset_bytes, length_bytes;
    dl_http_stream stream;
    dl_http_parts parts;
    bool stream_failed; /* of a stream or of parts: the answer is not whole */
    bool failed;        /* this is the fixed answer to a failure of ours, and stays it */
    dl_http_header_line fallback;
} dl_http_reply;

struct dl_http_exchange {
    dl_http_server *server;
    dl_http_conn *conn;
    struct MHD_Connection *mhd;
    dl_arena *arena; /* the application's */
    dl_arena *own;   /* the server's: target, headers of the answer */
    char request_id[DL_HTTP_REQUEST_ID_SIZE];
    dl_str target, path, query;
    dl_str authority; /* of a target in absolute form */
    dl_str method;
    const char *route;
    const char *action;   /* NULL: not audited */
    const char *versions; /* NULL: those of the server */
    bool path_logged;
    int64_t started_us;
    bool is_head, is_http_1_0, expects_continue;
    bool started;    /* the headers were seen */
    bool must_close; /* the framing cannot be trusted */
    bool dropping;   /* the rest of the body is read and thrown away */
    bool linger;     /* answered before the body was read */
    bool cut;        /* answered past libmicrohttpd */
    uint64_t content_length;
    uint64_t received_bytes, dropped_bytes, sent_bytes;
    int64_t waiting_since_us; /* for the body to go on */
    dl_http_pace giving;
    void *state;
    bool body_failed;
    dl_error body_failure;
    dl_http_reply reply;
};

/* server_request.c */
/** The strings of the first line, where libmicrohttpd has them. */
typedef struct dl_http_start_line {
    const char *method, *url, *version;
} dl_http_start_line;

enum MHD_Result dl_http_request_start(dl_http_exchange *x, const dl_http_start_line *line);
enum MHD_Result dl_http_request_piece(dl_http_exchange *x, dl_bytes piece);
enum MHD_Result dl_http_request_finish(dl_http_exchange *x);

/* server_exchange.c */
/** NULL without memory. */
dl_http_exchange *dl_http_exchange_create(dl_http_server *server, dl_http_conn *conn,
                                          struct MHD_Connection *mhd, const char *target);
void dl_http_exchange_destroy(dl_http_exchange *x);
/** As dl_http_each_header, values not trimmed, in libmicrohttpd's own memory. */
void dl_http_each_raw_header(const dl_http_exchange *x,
                             void (*visit)(void *context, dl_str name, dl_str value),
                             void *context);
/** Answer with one plain-text sentence. */
void dl_http_refuse(dl_http_exchange *x, unsigned status, const char *sentence);
/** The fixed answer to a failure of ours; the words go to the log. */
void dl_http_fail(dl_http_exchange *x, const dl_error *err);
/** Forget a recorded answer. */
void dl_http_reply_clear(dl_http_reply *reply);

/* server_answer.c */
enum MHD_Result dl_http_queue(dl_http_exchange *x);
/** Write the recorded answer to the socket ourselves and end the connection, where libmicrohttpd
 * cannot: the body is not over, or HEAD was asked of a stream of unknown length (0.9.75 sends the
 * last chunk even then). */
void dl_http_cut(dl_http_exchange *x);
/** Stop sending, and read on until the other side has closed or DL_HTTP_LINGER_MS are over: closing
 * with unread bytes would reset the connection, and the answer could be lost. */
void dl_http_linger(dl_http_exchange *x);
void dl_http_log_access(const dl_http_exchange *x, unsigned status, bool aborted);

/* server_parts.c */
/** Put all parts on the socket, as one chunk. `*out_gone`: the client went away. */
DL_NODISCARD dl_status dl_http_parts_send(dl_http_exchange *x, bool *out_gone, dl_error *err);

/* server_watch.c */
bool dl_http_watch_start(dl_http_server *server);
void dl_http_watch_stop(dl_http_server *server);
/** NULL without memory. */
dl_http_conn *dl_http_watch_add(dl_http_server *server, int fd);
void dl_http_watch_remove(dl_http_server *server, dl_http_conn *conn);
/** Count in; false when the client is too slow (dl_http_server_options.least_bytes_per_s). */
bool dl_http_pace_add(dl_http_pace *pace, const dl_http_server_options *options, int64_t waited_us,
                      uint64_t bytes);
/** 0 seconds: no deadline. */
void dl_http_watch_deadline(dl_http_conn *conn, unsigned seconds);

#endif
