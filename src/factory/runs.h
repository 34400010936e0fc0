/**
 * Runs: what happened and what is to happen, in HOME/state/factory.db.
 *
 * A window of a tumbling trigger is one row for ever (trigger, start, end), its runs come and go:
 * retries and reruns add runs to it. A run is queued, then in progress, then succeeded, failed or
 * cancelled. Whoever claims a run in the queue does so in a transaction; a run that was in progress
 * when its process died is found by the next scheduler (which holds the lock of the home) and is
 * queued again as a new attempt.
 *
 * Ended runs are kept for `history_days` (a setting; default 45, Data Factory's), the newest run of
 * each window always.
 *
 * Thread: locked.
 */
#ifndef DL_FACTORY_RUNS_H
#define DL_FACTORY_RUNS_H

#include "factory/document.h"

typedef enum dl_run_status {
    DL_RUN_QUEUED,
    DL_RUN_IN_PROGRESS,
    DL_RUN_SUCCEEDED,
    DL_RUN_FAILED,
    DL_RUN_CANCELLED,
} dl_run_status;
/** Data Factory's words: "Queued", "InProgress", "Succeeded", "Failed", "Cancelled". */
const char *dl_run_status_text(dl_run_status status);
bool dl_run_status_of(dl_str text, dl_run_status *out_status);

typedef struct dl_run {
    char id[DL_FACTORY_RUN_ID_SIZE];
    char group_id[DL_FACTORY_RUN_ID_SIZE]; /* of the first attempt: reruns and retries share it */
    dl_str pipeline, trigger;              /* trigger empty: by hand */
    dl_factory_trigger_type trigger_type;
    bool has_window;
    int64_t window_start_us, window_end_us, scheduled_us;
    int64_t queued_us, started_us, ended_us; /* 0: not yet */
    int64_t not_before_us;                   /* a retry waits */
    dl_run_status status;
    unsigned attempt; /* from 1 */
    /* JSON object of texts without expressions, as the run took them. What stands there before it
     * starts (by hand, a rerun, a retry) goes over what the trigger and the pipeline say. */
    dl_str parameters;
    dl_str cause, hint; /* first cause of a failure; without patient data */
    /* JSON object: changes, rows, bytes, versions, watermark, retries, stages. Totals add up its
     * whole numbers "changes", "rowsIn", "rowsOut" and "bytes". */
    dl_str counts;
    bool cancel_asked;
} dl_run;

typedef struct dl_run_filter {
    int64_t from_us, to_us; /* of queued_us; 0: no bound */
    bool by_status;
    dl_run_status status;
    dl_str pipeline, trigger, group_id; /* empty: any */
    size_t limit;                       /* 0: 100; at most 10000 */
    dl_str after; /* id of the last run of the page before; empty: the newest */
} dl_run_filter;

/** Queue a run; fills id, group_id (when empty), attempt, queued_us. */
DL_NODISCARD dl_status dl_runs_queue(dl_factory *factory, dl_run *run, dl_error *err);
/** Claim the oldest run that is due, whose trigger (or pipeline, by hand) has room by
 * `room(context, run)`; *out_found false: none. It is in progress then. */
DL_NODISCARD dl_status dl_runs_claim(dl_factory *factory, dl_arena *arena,
                                     bool (*room)(void *context, const dl_run *run), void *context,
                                     dl_run *out_run, bool *out_found, dl_error *err);
/** One run. Errors: DL_E_NOT_FOUND. A prefix of at least 6 digits of the id is enough when it is
 * one run's. */
DL_NODISCARD dl_status dl_runs_get(dl_factory *factory, dl_str id, dl_arena *arena, dl_run *out_run,
                                   dl_error *err);
/** Newest first; by an index whatever the filter, so that 100,000 runs cost what a page costs. */
DL_NODISCARD dl_status dl_runs_list(dl_factory *factory, const dl_run_filter *filter,
                                    dl_arena *arena, dl_run **out_runs, size_t *out_count,
                                    dl_error *err);
/** The parameters and counts so far of a run in progress; cheap, once a second at most. Not waited
 * for, as dl_runs_log. Errors: DL_E_CONFLICT (it is not in progress any more). */
DL_NODISCARD dl_status dl_runs_progress(dl_factory *factory, const dl_run *run, dl_error *err);
/** The end: status, parameters, cause, hint, counts; ended_us 0 is now. Its window follows. Errors:
 * DL_E_CONFLICT (it is not in progress: a newer process took it for lost). */
DL_NODISCARD dl_status dl_runs_end(dl_factory *factory, const dl_run *run, dl_error *err);
/** Queued: cancelled at once. In progress: asked for; the worker sees it. Errors: DL_E_CONFLICT (it
 * has ended). */
DL_NODISCARD dl_status dl_runs_cancel(dl_factory *factory, dl_str id, dl_error *err);
/** The same run again, same window and parameters, as a new attempt. Errors: DL_E_CONFLICT (not
 * ended). */
DL_NODISCARD dl_status dl_runs_rerun(dl_factory *factory, dl_str id,
                                     char out_id[DL_FACTORY_RUN_ID_SIZE], dl_error *err);

enum {
    DL_RUN_LIST_LIMIT = 10000,
    DL_RUN_LINE_LIMIT = 10000,           /* of a run; the last one says that there were more */
    DL_RUN_LINE_LIMIT_BYTES = 4096,      /* what is longer is cut */
    DL_RUN_LINES_PAGE = 1000,            /* of one dl_runs_lines */
    DL_RUN_TEXT_LIMIT_BYTES = 64 * 1024, /* parameters, counts */
};

typedef struct dl_run_line {
    int64_t time_us;
    dl_str level, text; /* "info", "warn", "error" */
} dl_run_line;
/** A line of the run's log. Not waited for: power loss may take the last ones away. Errors:
 * DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_runs_log(dl_factory *factory, dl_str id, const char *level, dl_str text,
                                   dl_error *err);
/** At most DL_RUN_LINES_PAGE lines after line `after_line` (0: from the first), oldest first. */
DL_NODISCARD dl_status dl_runs_lines(dl_factory *factory, dl_str id, int64_t after_line,
                                     dl_arena *arena, dl_run_line **out_lines, size_t *out_count,
                                     int64_t *out_last_line, dl_error *err);
/** Take away ended runs older than that. */
DL_NODISCARD dl_status dl_runs_prune(dl_factory *factory, int64_t before_us, size_t *out_count,
                                     dl_error *err);

/* ---- windows ---- */

typedef struct dl_run_window {
    dl_str trigger;
    int64_t start_us, end_us;
    dl_run_status
        status;       /* of its newest run; QUEUED also while it waits for time or dependencies */
    bool waiting;     /* no run yet: for the delay, a dependency, or room */
    dl_str waits_for; /* in words, when waiting */
    unsigned attempts;
    char run_id[DL_FACTORY_RUN_ID_SIZE]; /* newest; empty: none yet */
} dl_run_window;
DL_NODISCARD dl_status dl_runs_windows(dl_factory *factory, dl_str trigger, int64_t from_us,
                                       int64_t to_us, size_t limit, dl_arena *arena,
                                       dl_run_window **out_windows, size_t *out_count,
                                       dl_error *err);

/** Counters since the database was made, and gauges now, for /metrics. */
typedef struct dl_run_totals {
    int64_t by_status[5]; /* queued and in progress: now; the others: ever */
    double seconds_sum;   /* of ended runs */
    int64_t changes, rows_in, rows_out, bytes;
    int64_t last_success_us;
    int64_t waiting_windows, oldest_waiting_us; /* end of the oldest window not yet succeeded; 0 */
} dl_run_totals;
DL_NODISCARD dl_status dl_runs_totals(dl_factory *factory, dl_str pipeline, dl_run_totals *out,
                                      dl_error *err);

#endif
