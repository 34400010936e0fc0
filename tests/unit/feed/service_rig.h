/**
 * A service with a change feed that fails as it is told, and sources that read it.
 */
#ifndef DL_TESTS_FEED_SERVICE_RIG_H
#define DL_TESTS_FEED_SERVICE_RIG_H

#include "feed/feed.h"
#include "feed/http_source.h"
#include "http/server.h"

#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROWS = 1000, FAULT_LIMIT = 16 };
typedef enum kind { GOOD, STATUS, CUT, HTML, CUT_JSON, HANG, OVERSIZED, MORE_ROWS, EMPTY } kind;

typedef struct fault {
    kind kind;
    unsigned status;
    const char *retry_after, *body;
} fault;

/* A service that does what the next fault says, and then is good. */
typedef struct service {
    dl_http_server *server;
    pthread_mutex_t lock; /* guards everything below */
    int64_t rows;
    const char *feed_id, *page_limit, *page_feed_id;
    fault faults[FAULT_LIMIT];
    int fault_count, every; /* every n-th request has the first fault, for ever */
    int requests;
    char path[256], query[512], token[128];
    const char *good_token; /* NULL: any */
    atomic_bool stop;       /* those that hang go on */
    char url[128];
} service;

void sleep_ms(int64_t ms);
/** It listens, and is good until `faults` are set. */
void service_start(service *s);
void service_stop(service *s);
dl_feed_source *open_with(const dl_feed_http_options *options);
dl_feed_source *open_url(const char *url);
/** A page of a window; its rows. */
dl_status get_window(dl_feed_source *source, size_t *out_rows, dl_error *err);

#endif
