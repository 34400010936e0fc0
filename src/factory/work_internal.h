/**
 * What the files of work share.
 *
 *     work.c             the life of a run; lakes that stay open between runs
 *     work_lake.c        opening and closing what a run works on
 *     work_plan.c        documents and parameters of a run
 *     work_counts.c      what a run did, as JSON
 *     work_hint.c        what to do about a failure (pure)
 *     work_news.c        whether a feed has something new
 */
#ifndef DL_FACTORY_WORK_INTERNAL_H
#define DL_FACTORY_WORK_INTERNAL_H

#include "factory/work.h"

#include <pthread.h>

enum {
    DL_WORK_LAKE_LIMIT = 8,    /* open at once, beside those under way */
    DL_WORK_KEPT_LIMIT = 64,   /* pipelines whose source stays known */
    DL_WORK_IDLE_S = 60,       /* then a lake is closed */
    DL_WORK_LOCK_WAIT_S = 600, /* for a sync of another process on the lake */
    DL_WORK_TIMEOUT_S = 43200, /* Data Factory's default */
    DL_WORK_COUNTS_LIMIT_BYTES = 64 * 1024,
};

/* ---- work_plan.c ---- */

/** What the published documents say of a run. Lives in the run's arena. */
typedef struct dl_work_plan {
    dl_factory_pipeline pipeline;
    dl_factory_trigger trigger; /* name empty: by hand */
    dl_factory_connection dicom, lake;
    dl_factory_parameter values[DL_FACTORY_PARAMETER_LIMIT]; /* without expressions */
    size_t value_count;
    dl_pipeline_parameters parameters;
    uint64_t fingerprint; /* of the three documents that a lake is opened by */
} dl_work_plan;

/** Reads the documents of `run`, evaluates its parameters, and writes them to run->parameters. */
DL_NODISCARD dl_status dl_work_plan_make(dl_factory *factory, dl_run *run, dl_arena *arena,
                                         dl_work_plan *out_plan, dl_error *err);
/** The connections of a published pipeline, without parameters. */
DL_NODISCARD dl_status dl_work_plan_read(dl_factory *factory, dl_str pipeline, dl_arena *arena,
                                         dl_work_plan *out_plan, dl_error *err);

/* ---- work_lake.c ---- */

typedef struct dl_work_running dl_work_running;

/** A pipeline's source and lake, that stay open between its runs. */
typedef struct dl_work_kept {
    /* Guarded by the work's lock. */
    bool busy;
    int64_t idle_since_us;
    /* The rest belongs to the run that made it busy. */
    uint64_t fingerprint;
    char pipeline_name[DL_FACTORY_NAME_LIMIT + 1];
    char state_name[DL_PIPELINE_STATE_NAME_SIZE];
    dl_cancel cancel; /* of everything below; stays where it is */
    dl_arena *arena;
    dl_feed_source *source;
    dl_store *store;
    dl_pipeline *pipeline; /* NULL: closed */
    dl_work_running *now;  /* the run under way: for what is told meanwhile */
} dl_work_kept;

/** A run under way. */
struct dl_work_running {
    dl_work *work;
    dl_run *run;
    dl_arena *arena;
    dl_cancel *cancel; /* asked from outside */
    dl_work_plan *plan;
    dl_work_kept *kept;
    int64_t began_us, opened_us; /* monotonic */
    int64_t timeout_us;
    unsigned attempts;         /* of the pipeline's own retries */
    dl_pipeline_counts before; /* of attempts that failed */
    dl_pipeline_counts counts; /* at the end */
    atomic_bool timed_out;
    pthread_t watcher;
    pthread_mutex_t lock; /* guards what is below, and attempts, opened_us, before */
    pthread_cond_t changed;
    dl_pipeline *pipeline; /* whose counts are shown; NULL: none */
    bool over;
};

/** Opens what is closed, or wakes it. */
DL_NODISCARD dl_status dl_work_kept_open(dl_work_running *r, dl_error *err);
/** Between runs: the lake stays open, unlocked. */
void dl_work_kept_rest(dl_work_kept *kept);
/** The lake; also the source when `all`. */
void dl_work_kept_close(dl_work_kept *kept, bool all);

/* ---- work.c ---- */

struct dl_work {
    dl_factory *factory;
    unsigned try_limit, backoff_ms; /* of one request; 0: the feed's */
    pthread_t tidier;
    bool has_tidier;
    pthread_mutex_t lock; /* guards everything below; no I/O under it */
    pthread_cond_t changed;
    bool over;
    dl_work_kept *kept[DL_WORK_KEPT_LIMIT];
    size_t kept_count;
    struct dl_work_news *news; /* work_news.c */
};

void dl_work_log(dl_work_running *r, const char *level, const char *format, ...) DL_PRINTF(3, 4);

/* ---- work_counts.c ---- */

/** As the run's `counts`: in its arena. */
DL_NODISCARD dl_status dl_work_counts_put(const dl_work_running *r,
                                          const dl_pipeline_counts *counts, dl_arena *arena,
                                          dl_str *out_json, dl_error *err);

/* ---- work_news.c ---- */

DL_NODISCARD dl_status dl_work_newest(dl_work *work, dl_str pipeline, int64_t after,
                                      unsigned timeout_ms, dl_cancel *cancel, int64_t *out_sequence,
                                      dl_error *err);
void dl_work_news_close(dl_work *work);

#endif
