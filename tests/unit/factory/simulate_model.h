/**
 * What must be true of a scheduler's runs, computed without it: a model with its own calendar that
 * is told what was asked for, claimed and recorded.
 */
#ifndef DL_TESTS_FACTORY_SIMULATE_MODEL_H
#define DL_TESTS_FACTORY_SIMULATE_MODEL_H

#include "factory/runs.h"

enum {
    MODEL_BEFORE = 120, /* windows before a trigger's start */
    MODEL_WINDOWS = MODEL_BEFORE + 1200,
    MODEL_TRIGGERS = 4,
    MODEL_TIMES = 512,
};

typedef enum model_kind { MODEL_TUMBLING, MODEL_DAILY, MODEL_CHANGE } model_kind;
typedef enum model_state {
    MODEL_NONE, /* waits, or is not there yet */
    MODEL_BUSY, /* a run is queued or in progress */
    MODEL_SUCCEEDED,
    MODEL_FAILED,
    MODEL_CANCELLED,
} model_state;

typedef struct model_window {
    int64_t start_us, end_us;
    model_state state;
    bool asked, made; /* by people; made: it must exist whatever its time */
    unsigned asks, claims, successes, failures; /* failures: since it was due or asked for */
    char cancel_id[DL_FACTORY_RUN_ID_SIZE];     /* the run that was asked to stop */
} model_window;

typedef struct model_time {
    int64_t scheduled_us;
    unsigned successes, asks;
} model_time;

typedef struct model_trigger {
    char name[16];
    model_kind kind;
    bool started, was_stopped;
    int64_t start_us, end_us, delay_us;
    unsigned max_concurrency, retry_count;
    model_window windows[MODEL_WINDOWS];
    size_t window_count;
    bool depends;
    char upstream[16];
    int64_t offset_us, size_us;
    int hour; /* daily */
    model_time times[MODEL_TIMES];
    size_t time_count;
    int64_t cancelled_feed; /* newest change when a run was cancelled */
    int64_t applied;        /* on change: newest change of a run that succeeded */
} model_trigger;

typedef struct model {
    model_trigger *triggers;
    size_t trigger_count;
    uint64_t seed;
    int64_t latest_us; /* the clock at its most */
    int64_t feed;      /* the newest change */
    size_t claims, successes, by_hand;
    int drain_more;
    bool failed;
    char complaint[512];
} model;

void model_begin(model *m, uint64_t seed);
void model_end(model *m);
void model_add_tumbling(model *m, const dl_factory_trigger *trigger);
void model_add_daily(model *m, const char *name, int hour);
void model_add_change(model *m, const char *name);

void model_want(model *m, bool condition, const char *what);
/** `same`: runs of the same trigger that are in progress already. */
void model_claimed(model *m, const dl_run *run, size_t same);
/** It was recorded that the run ended so. */
void model_ended(model *m, const dl_run *run, bool stopped, int64_t feed);
/** Its process died while the run was in progress. */
void model_lost(model *m, const dl_run *run);
void model_asked(model *m, model_trigger *trigger, int64_t start_us);
void model_backfilled(model *m, model_trigger *trigger, int64_t from_us, int64_t to_us,
                      int64_t now_us);
void model_rerun(model *m, const dl_run *run);
/** Asked to stop; `run` as it was before. */
void model_cancelled(model *m, const dl_run *run);
void model_dropped(model *m, const dl_run *run);

int64_t model_last_window(const model_trigger *trigger, int64_t now_us);
/** The start of some window that was claimed; INT64_MAX: none yet. */
int64_t model_any_window(const model_trigger *trigger, uint64_t random);

/** At the end, when nothing moves any more. `whole`: no run was taken away as old. */
void model_check(model *m, dl_factory *factory, dl_arena *arena, bool whole);

#endif
