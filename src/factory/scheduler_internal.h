/**
 * The parts of the scheduler, and what its tests drive it by: the book of published triggers, the
 * step in one transaction, a run's way from the queue to its end.
 *
 * Thread: functions that take a dl_db run inside the caller's transaction, under the factory's
 * lock; so do all that read `book`.
 */
#ifndef DL_FACTORY_SCHEDULER_INTERNAL_H
#define DL_FACTORY_SCHEDULER_INTERNAL_H

#include "factory/plan.h"
#include "factory/runs_internal.h"
#include "factory/scheduler.h"

#include <pthread.h>

enum {
    DL_STEP_WINDOWS = 1000,     /* made in one step; the next one goes on */
    DL_BACKFILL_LIMIT = 100000, /* windows of one call */
    DL_SCHEDULER_WORKER_LIMIT = 64,
    DL_SCHEDULER_TRIGGER_LIMIT = 1000, /* published triggers */
};

/* ---- the book (scheduler_book.c) ---- */

typedef struct dl_scheduled {
    dl_factory_trigger trigger;
    bool started;
    int64_t newest; /* of the feed, on change; -1: not known */
} dl_scheduled;

typedef struct dl_book {
    dl_arena *arena;
    dl_scheduled *triggers;
    size_t count;
    int64_t revision; /* of what is published; 0: nothing read */
    bool settled;     /* what triggers that are gone left behind was forgotten since it was read */
} dl_book;

/** Read what is published, unless the book has it already. A document that cannot be read (a newer
 * program wrote it) is left out and logged. */
DL_NODISCARD dl_status dl_book_read(dl_db *db, dl_book *book, dl_error *err);
void dl_book_clear(dl_book *book);
/** NULL: no such trigger is published. */
dl_scheduled *dl_book_find(const dl_book *book, dl_str name);
/** As dl_book_find. Errors: DL_E_NOT_FOUND with a hint. */
DL_NODISCARD dl_status dl_book_get(const dl_book *book, dl_str name, dl_scheduled **out,
                                   dl_error *err);

/* ---- places and windows (scheduler_window.c) ---- */

typedef struct dl_place {
    bool there, started;
    int64_t start_us, position_us, sequence, fired_us;
} dl_place;
DL_NODISCARD dl_status dl_place_read(dl_db *db, dl_str trigger, dl_place *out, dl_error *err);
DL_NODISCARD dl_status dl_place_write(dl_db *db, const dl_factory_trigger *trigger,
                                      const dl_place *place, dl_error *err);

/** What stands at `at_us`: the window that covers it (`cover.end_us` > at_us), or when the next
 * one begins. */
typedef struct dl_window_at {
    dl_plan_range cover;
    int64_t next_us;
    int state;
} dl_window_at;
DL_NODISCARD dl_status dl_window_find(dl_db *db, dl_str trigger, int64_t at_us, dl_window_at *out,
                                      dl_error *err);
DL_NODISCARD dl_status dl_window_add(dl_db *db, dl_str trigger, dl_plan_range window, bool asked,
                                     dl_error *err);
/** What a step works with; `next_us` becomes less when something is due earlier. */
typedef struct dl_step {
    dl_db *db;
    const dl_book *book;
    int64_t now_us, next_us;
    size_t budget; /* windows that it may still make */
} dl_step;
void dl_step_due(dl_step *step, int64_t due_us);
/** Make all windows of a trigger that are due. */
DL_NODISCARD dl_status dl_window_make(dl_step *step, const dl_factory_trigger *trigger,
                                      dl_place *place, dl_error *err);

typedef struct dl_blocker {
    bool blocked;
    dl_str trigger;   /* of the book; the one that is waited for */
    int64_t start_us; /* of the window, or of what no window covers yet */
    int state;        /* of the window; -1: there is none yet */
} dl_blocker;
/** Whether the dependencies of a window have succeeded. */
DL_NODISCARD dl_status dl_window_blocker(dl_db *db, const dl_book *book,
                                         const dl_factory_trigger *trigger, dl_plan_range window,
                                         dl_blocker *out, dl_error *err);
/** Queue runs for the oldest windows that wait, as far as there is room. */
DL_NODISCARD dl_status dl_window_activate(dl_db *db, const dl_book *book, const dl_scheduled *s,
                                          int64_t now_us, dl_error *err);
typedef struct dl_window_wish {
    dl_plan_range window;
    bool asked; /* by a person */
} dl_window_wish;
/** A run for a window, which is made when it is not there. */
DL_NODISCARD dl_status dl_window_queue(dl_db *db, const dl_factory_trigger *trigger,
                                       dl_window_wish wish, int64_t now_us, dl_run *out_run,
                                       dl_error *err);

/* ---- a step (scheduler_step.c) ---- */

/** All that is due now becomes windows and queued runs. */
DL_NODISCARD dl_status dl_step_plan(dl_db *db, const dl_book *book, int64_t now_us,
                                    int64_t *out_next_us, dl_error *err);
/** What triggers that are not published any more left in the queue is cancelled. */
DL_NODISCARD dl_status dl_step_forget(dl_db *db, int64_t now_us, dl_error *err);

/* ---- runs (scheduler_run.c) ---- */

/** Claim the next run that has room. */
DL_NODISCARD dl_status dl_scheduler_claim(dl_scheduler *scheduler, dl_arena *arena,
                                          dl_run_claim *out_claim, dl_error *err);
/** Record the end that the run says, queue its retry, fill the room that it leaves. `stopped`: it
 * was asked to stop only because the scheduler ends; it is queued again. */
DL_NODISCARD dl_status dl_scheduler_end(dl_scheduler *scheduler, dl_run *run,
                                        const dl_run_more *more, bool stopped, dl_error *err);
/** Runs that were in progress when their process ended are queued again. */
DL_NODISCARD dl_status dl_scheduler_recover(dl_scheduler *scheduler, dl_error *err);

/* ---- the object (scheduler.c) ---- */

typedef struct dl_slot {
    bool busy;
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_cancel cancel;
} dl_slot;

struct dl_scheduler {
    dl_scheduler_options options;
    int lock_fd;
    dl_book book;      /* guarded by the factory's lock */
    int64_t pruned_us; /* the scheduling thread's own */
    bool started;      /* threads run */
    bool has_mutex;
    pthread_mutex_t mutex; /* guards what follows; never held over I/O or a callback */
    pthread_cond_t cond;
    bool stopping, woken;
    uint64_t round; /* of looking for work: workers look once a round */
    dl_slot slots[DL_SCHEDULER_WORKER_LIMIT];
    dl_cancel watch_cancel;
    pthread_t threads[DL_SCHEDULER_WORKER_LIMIT + 2];
    size_t thread_count;
};

#endif
