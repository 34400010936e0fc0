/**
 * What the parts of the HTTP source share: one request with its tries (http_request.c), and what is
 * asked for (http_source.c).
 */
#ifndef DL_FEED_HTTP_SOURCE_H
#define DL_FEED_HTTP_SOURCE_H

#include "feed/internal.h"
#include "http/client.h"

#include <pthread.h>

enum { DL_FEED_IDLE_CLIENTS = 16 };

typedef struct dl_feed_http {
    dl_feed_source source; /* first: a source is cast to this */
    dl_feed_http_options options;
    dl_arena *arena;      /* holds the texts of the options */
    dl_str base;          /* without trailing '/' and version */
    dl_str base_path;     /* what of it comes after the host; for messages */
    pthread_mutex_t lock; /* guards everything below; no I/O under it */
    struct {
        dl_http_client *client;
        dl_cancel *cancel; /* what the client was made with: it serves calls with this one only */
    } idle[DL_FEED_IDLE_CLIENTS]; /* connections kept open, the newest last */
    size_t idle_count;
    bool probed;
    dl_feed_info info;
    char id[DL_FEED_ID_LIMIT_BYTES + 1];
    char address[DL_FEED_ID_LIMIT_BYTES + 1]; /* the id of a service that names none */
} dl_feed_http;

typedef struct dl_feed_request {
    const char *url;
    dl_str what; /* for messages: path, offset */
    bool single; /* latest: one row */
    dl_cancel *cancel;
    dl_http_answer *out_answer; /* may be NULL; lives in `arena` */
    dl_arena *arena;
} dl_feed_request;

/** One request, tried again as the options say. `*out_page` NULL: 204. */
DL_NODISCARD dl_status dl_feed_http_get(dl_feed_http *feed, const dl_feed_request *request,
                                        dl_feed_page **out_page, dl_error *err);

/** Milliseconds that Retry-After asks for, seconds or a date (RFC 9110 section 10.2.3); -1: it
 * says nothing. `date`: of the answer, by which the date is taken; may be empty. */
int64_t dl_feed_retry_after_ms(dl_str retry_after, dl_str date, int64_t now_us);

#endif
