/**
 * What runs and scheduler share: the same steps inside a transaction that the caller began.
 *
 * Thread: the factory's lock is held (dl_runs_begin).
 */
#ifndef DL_FACTORY_RUNS_INTERNAL_H
#define DL_FACTORY_RUNS_INTERNAL_H

#include "factory/runs.h"

/** run_window.state */
enum {
    DL_WINDOW_WAITS = 0,
    DL_WINDOW_RUNS = 1, /* a run is queued or in progress */
    DL_WINDOW_SUCCEEDED = DL_RUN_SUCCEEDED,
    DL_WINDOW_FAILED = DL_RUN_FAILED,
    DL_WINDOW_CANCELLED = DL_RUN_CANCELLED,
};

typedef struct dl_run_more {
    int64_t seq;
    unsigned retry; /* tries before this one since it was due or asked for */
    bool asked;     /* by a person: also when its trigger is stopped */
} dl_run_more;

/** Lock the factory and begin to write. */
DL_NODISCARD dl_status dl_runs_begin(dl_factory *factory, dl_db **out_db, dl_error *err);
/** Commit when `status` is DL_OK, else roll back; unlock. */
DL_NODISCARD dl_status dl_runs_finish(dl_factory *factory, dl_db *db, dl_status status,
                                      dl_error *err);

/**
 * The same for what need not outlive power loss: a log line, and what follows out of the clock and
 * the rest of the database and is made again (a window, its run in the queue, that it was claimed).
 * The disk is not waited for; the next commit that must last takes all before it along, so a run
 * whose end is recorded has its window and its place.
 */
DL_NODISCARD dl_status dl_runs_begin_relaxed(dl_factory *factory, dl_db **out_db, dl_error *err);
DL_NODISCARD dl_status dl_runs_finish_relaxed(dl_factory *factory, dl_db *db, dl_status status,
                                              dl_error *err);

/** Queue `run`; its window, if it has one, is made or follows. Fills what dl_runs_queue fills. */
DL_NODISCARD dl_status dl_runs_insert(dl_db *db, int64_t now_us, const dl_run_more *more,
                                      dl_run *run, dl_error *err);
typedef bool (*dl_run_room)(void *context, const dl_run *run, const dl_run_more *more);
typedef struct dl_run_taking {
    int64_t now_us;
    dl_run_room room; /* NULL: always */
    void *context;
} dl_run_taking;
typedef struct dl_run_claim {
    dl_run run;
    dl_run_more more;
    bool found;
    int64_t next_us; /* the least time that a queued run waits for; INT64_MAX: none does */
} dl_run_claim;
/** As dl_runs_claim. */
DL_NODISCARD dl_status dl_runs_take(dl_db *db, const dl_run_taking *how, dl_arena *arena,
                                    dl_run_claim *out_claim, dl_error *err);
/** As dl_runs_end. */
DL_NODISCARD dl_status dl_runs_close(dl_db *db, int64_t now_us, dl_run *run, dl_error *err);
/** By the whole id, or a prefix of at least 6 digits. */
DL_NODISCARD dl_status dl_runs_find(dl_db *db, dl_str id, dl_arena *arena, dl_run *out_run,
                                    dl_run_more *out_more, dl_error *err);
/** Cancel a run that is queued, with that cause. */
DL_NODISCARD dl_status dl_runs_drop(dl_db *db, int64_t now_us, dl_run *run, const char *cause,
                                    dl_error *err);
/** Runs in progress of a trigger; of a pipeline by hand when `trigger` is empty. */
DL_NODISCARD dl_status dl_runs_working(dl_db *db, dl_str trigger, dl_str pipeline,
                                       int64_t *out_count, dl_error *err);

/* clang-format off */
#define DL_RUN_COLUMNS \
    "seq, id, group_id, pipeline, trigger, type, window_start_us, window_end_us, scheduled_us," \
    " queued_us, started_us, ended_us, not_before_us, status, attempt, retry, asked," \
    " cancel_asked, parameters, cause, hint, counts"
/* clang-format on */
/** A row of DL_RUN_COLUMNS; `out_more` may be NULL. */
DL_NODISCARD dl_status dl_run_read(const dl_db_stmt *q, dl_arena *arena, dl_run *out_run,
                                   dl_run_more *out_more, dl_error *err);

#endif
