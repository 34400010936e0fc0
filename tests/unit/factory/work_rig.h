/**
 * A home in memory with pipeline "copy" and its hourly trigger, over a feed in this process that
 * fails, hangs and grows as the test says; runs done as the scheduler does them.
 */
#ifndef DL_TESTS_FACTORY_WORK_RIG_H
#define DL_TESTS_FACTORY_WORK_RIG_H

#include "factory/catalog.h"
#include "factory/probe.h"
#include "factory/work_internal.h"
#include "json/json.h"

#include "support/folder.h"
#include "tap.h"

#define HOUR_US (3600LL * 1000000)
#define START_US (1767225600LL * 1000000) /* 2026-01-01T00:00:00Z */
enum { ARENA_BYTES = 64 << 20 };

typedef struct feed {
    pthread_mutex_t lock; /* guards everything below */
    int64_t rows;         /* sequence and study of row i are i + 1 */
    int64_t first_us, step_us;
    int64_t asked;      /* requests so far */
    int64_t fail_first; /* so many requests fail */
    dl_status fail_with;
    const char *fail_words, *fail_hint;
    _Atomic int64_t *now_us; /* of the home */
    int64_t down_until_us;   /* by it; 0: it is up */
    int64_t hang_at;         /* requests from here on wait until they are cancelled; 0: none */
    bool hung;
    int opened;
} feed;

/** A feed as what dl_factory_options.open_home_feed takes; `context` is the feed. */
dl_status open_feed(void *context, dl_feed_source **out_source, dl_error *err);

/* ---- a home ---- */

typedef struct home {
    char folder[FOLDER_SIZE];
    _Atomic int64_t now_us;
    feed feed;
    dl_factory *factory;
    dl_work *work;
    dl_arena *arena;
    dl_error err;
} home;

void home_begin(home *h);
void home_end(home *h);

/* Drafts; `publish` makes them what runs see. */
void save_connection(home *h, const char *name, dl_factory_connection_type type, const char *url);
dl_factory_pipeline make_pipeline(const char *name);
void save_pipeline(home *h, const dl_factory_pipeline *p);
void save_hourly(home *h, const char *name, unsigned retries);
void publish(home *h);

/* ---- runs ---- */

/** The run of the trigger's window `hour`; the home's clock stands at its end. */
dl_run window_run(home *h, int64_t hour);
dl_run hand_run(const char *parameters);
/** Queued, claimed, done, and recorded, as the scheduler does it. */
dl_run run_it(home *h, const dl_run *what, dl_cancel *cancel);
dl_run run_hour(home *h, int64_t hour);

/** A number of the run's counts; -1: it is not there. */
int64_t count_of(const dl_run *run, const char *name);
int64_t table_count(const dl_run *run, const char *table, const char *name);

bool has(dl_str text, const char *words);
void expect_succeeded(const dl_run *run);
void expect_failed(const dl_run *run, const char *cause, const char *hint);

#endif
