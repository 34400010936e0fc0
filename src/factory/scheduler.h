/**
 * Scheduler: makes windows and runs out of published triggers, and has them done.
 *
 * One a home: it holds HOME/state/factory.lock. A step is a function of the database and the clock
 * alone (plan.h is the pure part), each in transactions that a crash leaves whole; the thread calls
 * it when something is due, at a change of what is published, and at least once a second. So a test
 * runs years in seconds with a clock of its own and dl_scheduler_step().
 *
 * Rules. Windows of a tumbling trigger are contiguous from its start; each is made once, when its
 * end plus delay has come; a start in the past makes all past windows, oldest first; at most
 * max_concurrency of them are in progress. A window whose run failed is tried again retry_count
 * times after retry_interval; after that it stands as failed, and the next ones go on. A dependency
 * waits until the windows that it covers have succeeded. The clock going back makes nothing twice;
 * jumping ahead or a long stop makes all that was missed. A schedule that missed several times
 * fires once, for the newest. On change: a run is queued when the feed has something new and none
 * is queued. Stopping a trigger keeps its place; starting goes on there.
 *
 * Thread: locked.
 */
#ifndef DL_FACTORY_SCHEDULER_H
#define DL_FACTORY_SCHEDULER_H

#include "factory/runs.h"

/** What does a run; called by worker threads, or by dl_scheduler_step when workers is 0. Fills the
 * run's parameters, counts, cause and hint; the status is Succeeded, Failed or Cancelled. */
typedef struct dl_scheduler_work {
    void (*run)(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel);
    /** Newest sequence of the feed behind a pipeline, for triggers on change; blocks up to
     * timeout_ms for one after `after`. NULL: not supported. */
    dl_status (*newest)(void *context, dl_str pipeline, int64_t after, unsigned timeout_ms,
                        dl_cancel *cancel, int64_t *out_sequence, dl_error *err);
    /** A run ended, or a window is late: for the webhook. May be NULL. */
    void (*told)(void *context, const dl_run *run, const char *event);
    void *context;
} dl_scheduler_work;

typedef struct dl_scheduler_options {
    dl_factory *factory;
    dl_scheduler_work work;
    unsigned workers;   /* runs at once over all triggers; 0: none, steps do the work (tests) */
    int64_t history_us; /* how long ended runs are kept; 0: 45 days */
} dl_scheduler_options;

typedef struct dl_scheduler dl_scheduler;

/** Takes the lock of the home, queues what a crash left in progress. Errors: DL_E_CONFLICT (another
 * process schedules here: says its process id). */
DL_NODISCARD dl_status dl_scheduler_open(const dl_scheduler_options *options,
                                         dl_scheduler **out_scheduler, dl_error *err);
/** Starts the threads. */
DL_NODISCARD dl_status dl_scheduler_start(dl_scheduler *scheduler, dl_error *err);
/** Asks runs to stop at their next commit, waits, and gives the lock back; they are queued again by
 * the next scheduler. NULL is fine. */
void dl_scheduler_close(dl_scheduler *scheduler);
/** Something changed: look now. Any thread. */
void dl_scheduler_wake(dl_scheduler *scheduler);
/** One step at the factory's clock. `out_next_us`: when the next is due at the latest. */
DL_NODISCARD dl_status dl_scheduler_step(dl_scheduler *scheduler, int64_t *out_next_us,
                                         dl_error *err);
/** Whether somebody schedules on this home now. */
bool dl_scheduler_is_running(dl_factory *factory);

/* ---- what people ask for; works from any process ---- */

DL_NODISCARD dl_status dl_trigger_start(dl_factory *factory, dl_str name, dl_error *err);
DL_NODISCARD dl_status dl_trigger_stop(dl_factory *factory, dl_str name, dl_error *err);
/** Queue a run now, whatever its times say: a tumbling trigger gives it the window that ended last
 * (Data Factory's "Trigger now"), others none. */
DL_NODISCARD dl_status dl_trigger_run_now(dl_factory *factory, dl_str name,
                                          char out_id[DL_FACTORY_RUN_ID_SIZE], dl_error *err);
/** All windows of [from, to), made now whether or not they were before the trigger's start; those
 * that succeeded are left. `out_count`: queued. Errors: DL_E_INVALID (not tumbling, bad range). */
DL_NODISCARD dl_status dl_trigger_backfill(dl_factory *factory, dl_str name, int64_t from_us,
                                           int64_t to_us, size_t *out_count, dl_error *err);
/** The window that starts at start_us once more. */
DL_NODISCARD dl_status dl_trigger_rerun(dl_factory *factory, dl_str name, int64_t start_us,
                                        char out_id[DL_FACTORY_RUN_ID_SIZE], dl_error *err);
/** A run of a pipeline by hand, with parameters over its defaults. */
DL_NODISCARD dl_status dl_pipeline_run_now(dl_factory *factory, dl_str pipeline,
                                           const dl_factory_parameter *parameters, size_t count,
                                           char out_id[DL_FACTORY_RUN_ID_SIZE], dl_error *err);

typedef struct dl_trigger_facts {
    bool started;
    int64_t next_us;                  /* when it fires next; INT64_MAX: never */
    int64_t waiting, running, failed; /* windows or runs */
} dl_trigger_facts;
DL_NODISCARD dl_status dl_trigger_facts_of(dl_factory *factory, dl_str name, dl_trigger_facts *out,
                                           dl_error *err);

#endif
