#include "factory/scheduler_internal.h"

#include "base/log.h"

enum { RECOVER_ARENA_BYTES = 1024 * 1024 };

#define INTERRUPTED "interrupted: the scheduler ended while it was in progress"

/* ---- claiming ---- */

typedef struct room_work {
    dl_db *db;
    const dl_book *book;
    dl_status status;
    dl_error *err;
} room_work;

/* A tumbling trigger has as many in progress as it says, everything else one at a time: each other
 * trigger, and what is run by hand of each pipeline. */
static bool has_room(void *context, const dl_run *run, const dl_run_more *more)
{
    room_work *w = context;
    int64_t most = 1, working = 0;
    if (run->trigger.len > 0) {
        const dl_scheduled *s = dl_book_find(w->book, run->trigger);
        if (s == NULL || (!s->started && !more->asked)) {
            return false;
        }
        most = s->trigger.type == DL_FACTORY_TUMBLING && s->trigger.max_concurrency > 1
                   ? s->trigger.max_concurrency
                   : 1;
    }
    if (w->status == DL_OK) {
        w->status = dl_runs_working(w->db, run->trigger, run->pipeline, &working, w->err);
    }
    return w->status == DL_OK && working < most;
}

static dl_status claim_in(dl_scheduler *s, dl_db *db, dl_arena *arena, dl_run_claim *claim,
                          dl_error *err)
{
    /* somebody may have stopped or removed a trigger just now */
    DL_TRY(dl_book_read(db, &s->book, err));
    room_work room = {.db = db, .book = &s->book, .err = err};
    dl_run_taking how = {dl_factory_now_us(s->options.factory), has_room, &room};
    DL_TRY(dl_runs_take(db, &how, arena, claim, err));
    return room.status;
}

dl_status dl_scheduler_claim(dl_scheduler *s, dl_arena *arena, dl_run_claim *out_claim,
                             dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin_relaxed(s->options.factory, &db, err));
    dl_run_claim claim = {0};
    dl_status status = claim_in(s, db, arena, &claim, err);
    DL_TRY(dl_runs_finish_relaxed(s->options.factory, db, status, err));
    *out_claim = claim;
    return DL_OK;
}

/* ---- ending ---- */

/* The same run once more, in the same group. */
static dl_status queue_again(dl_db *db, const dl_run *run, dl_run_more more, int64_t not_before_us,
                             int64_t now_us, dl_error *err)
{
    dl_run again = *run;
    again.not_before_us = not_before_us;
    again.cause = again.hint = again.counts = DL_STR_NONE;
    return dl_runs_insert(db, now_us, &more, &again, err);
}

static dl_status read_cancel(dl_db *db, const char *id, bool *out_asked, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT cancel_asked FROM run WHERE id = ?1", &q, err));
    dl_db_bind_str(q, 1, dl_str_of(id));
    bool asked = dl_db_step(q) && dl_db_int(q, 0) != 0;
    DL_TRY(dl_db_finish(q, err));
    *out_asked = asked;
    return DL_OK;
}

static dl_status end_in(dl_scheduler *s, dl_db *db, dl_run *run, const dl_run_more *more,
                        bool stopped, dl_error *err)
{
    int64_t now_us = dl_factory_now_us(s->options.factory), not_before_us = 0;
    DL_TRY(read_cancel(db, run->id, &run->cancel_asked, err));
    bool again = stopped && run->status == DL_RUN_CANCELLED && !run->cancel_asked;
    if (again) {
        run->cause = DL_STR(INTERRUPTED);
    } else if (run->status == DL_RUN_CANCELLED && run->cause.len == 0) {
        run->cause = DL_STR("cancelled while it was in progress");
    }
    DL_TRY(dl_runs_close(db, now_us, run, err));
    const dl_scheduled *trigger =
        run->trigger.len > 0 ? dl_book_find(&s->book, run->trigger) : NULL;
    if (again) {
        DL_TRY(queue_again(db, run, *more, 0, now_us, err));
    } else if (trigger != NULL && !run->cancel_asked &&
               dl_plan_retry(&trigger->trigger, run->status, more->retry, now_us, &not_before_us)) {
        dl_run_more next = {.retry = more->retry + 1, .asked = more->asked};
        DL_TRY(queue_again(db, run, next, not_before_us, now_us, err));
    }
    return trigger != NULL && run->has_window
               ? dl_window_activate(db, &s->book, trigger, now_us, err)
               : DL_OK;
}

dl_status dl_scheduler_end(dl_scheduler *s, dl_run *run, const dl_run_more *more, bool stopped,
                           dl_error *err)
{
    if (run->status != DL_RUN_SUCCEEDED && run->status != DL_RUN_CANCELLED) {
        run->status = DL_RUN_FAILED; /* whatever the work left there */
        run->cause = run->cause.len > 0 ? run->cause : DL_STR("it ended without saying how");
    }
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(s->options.factory, &db, err));
    dl_run ended = *run;
    dl_status status = end_in(s, db, &ended, more, stopped, err);
    DL_TRY(dl_runs_finish(s->options.factory, db, status, err));
    *run = ended;
    return DL_OK;
}

/* ---- after a crash ---- */

static dl_status next_lost(dl_db *db, dl_arena *arena, dl_run *run, dl_run_more *more,
                           bool *out_found, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db, "SELECT " DL_RUN_COLUMNS " FROM run WHERE status = 1 ORDER BY queued_us, seq LIMIT 1",
        &q, err));
    *out_found = dl_db_step(q);
    dl_status status = *out_found ? dl_run_read(q, arena, run, more, err) : DL_OK;
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

static dl_status recover_one(dl_db *db, int64_t now_us, bool *out_found, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(RECOVER_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
    }
    dl_run run;
    dl_run_more more;
    DL_TRY(next_lost(db, arena, &run, &more, out_found, err));
    if (!*out_found) {
        return DL_OK;
    }
    run.status = DL_RUN_CANCELLED;
    run.cause =
        run.cancel_asked ? DL_STR("cancelled while it was in progress") : DL_STR(INTERRUPTED);
    DL_TRY(dl_runs_close(db, now_us, &run, err));
    return run.cancel_asked ? DL_OK : queue_again(db, &run, more, 0, now_us, err);
}

dl_status dl_scheduler_recover(dl_scheduler *s, dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_runs_begin(s->options.factory, &db, err));
    int64_t now_us = dl_factory_now_us(s->options.factory);
    dl_status status = DL_OK;
    for (bool found = true; found && status == DL_OK;) {
        status = recover_one(db, now_us, &found, err);
    }
    return dl_runs_finish(s->options.factory, db, status, err);
}
