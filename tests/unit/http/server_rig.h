/**
 * The rig of the server's tests: an application with a route for each trap, and a client that talks
 * raw bytes, so that requests can be as wrong as the case wants.
 */
#ifndef DL_TESTS_SERVER_RIG_H
#define DL_TESTS_SERVER_RIG_H

#include "tap.h"

#include "base/file.h"
#include "http/server.h"

#include <stdatomic.h>

enum { RIG_PART_BYTES = 26 * 5001 }; /* of each part of /parts */

typedef struct rig {
    dl_http_server *server;
    atomic_int begin_count, piece_count, end_count, destroy_count; /* calls of the application */
    atomic_int stream_count, stream_destroy_count;
    atomic_int state_count; /* states that live */
    atomic_bool hold;       /* /held is not answered yet */
    char file_path[64];
} rig;

/** A server on a free port of 127.0.0.1; limits as given, 0 as in the options. */
void rig_start(rig *r, const dl_http_server_options *options);
void rig_stop(rig *r, unsigned grace_ms);
/** Wait until `*value` is `want`, at most 5 s. */
bool rig_wait(const atomic_int *value, int want);

typedef struct wire {
    int fd;
    dl_buf in;
    size_t at; /* what has been read of `in` */
} wire;

typedef struct answer {
    unsigned status;
    dl_buf head, body; /* the head with its status line, LF-free lines */
    bool whole;        /* the body came as its framing says */
} answer;

wire wire_open(const rig *r);
void wire_close(wire *w);
/** False when the other side does not take it. */
bool wire_send(wire *w, dl_str bytes);
bool wire_say(wire *w, const char *text);
/** One answer; false when there is none. `is_head`: to a HEAD request. */
bool wire_answer(wire *w, bool is_head, answer *a);
/** Whether the other side has closed, and nothing more came. Waits for it. */
bool wire_closed(wire *w);
/** Milliseconds since then when the other side closes; it is waited for two minutes. */
int64_t wire_ms_until_closed(wire *w, int64_t since_us);
void answer_clear(answer *a);
/** The value of a header, in `out` (empty when absent); how often it is there. */
int answer_header(const answer *a, const char *name, char *out, size_t out_size);

/** Send one request on a connection of its own and read the answer. */
void rig_ask(const rig *r, const char *request, answer *a);

/** The header is there once with that value, or, for NULL, not at all. */
void expect_header(const answer *a, const char *name, const char *want);
/** Contract 1.2: on everything that the server or the application answers. */
void expect_common_headers(const answer *a);

#endif
