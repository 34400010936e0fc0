#include "factory/scheduler_internal.h"

enum { ORPHAN_ARENA_BYTES = 1024 * 1024 };

/* ---- a trigger's place ---- */

/* What a document that is new, started, stopped or moved makes of the place. */
static void settle_place(const dl_scheduled *s, int64_t now_us, dl_place *place)
{
    bool tumbling = s->trigger.type == DL_FACTORY_TUMBLING;
    if (!place->there) {
        *place = (dl_place){.start_us = s->trigger.start_us, .sequence = -1};
        place->position_us = tumbling ? s->trigger.start_us : now_us;
    }
    if (tumbling && place->start_us != s->trigger.start_us) {
        place->position_us = s->trigger.start_us; /* windows that exist are passed over */
    }
    if (!tumbling && s->started && !place->started) {
        place->position_us = now_us; /* what it missed while it was stopped does not fire */
    }
    place->start_us = s->trigger.start_us;
    place->started = s->started;
}

static bool same_place(const dl_place *a, const dl_place *b)
{
    return a->there && a->started == b->started && a->start_us == b->start_us &&
           a->position_us == b->position_us && a->sequence == b->sequence &&
           a->fired_us == b->fired_us;
}

/* ---- schedules and changes ---- */

/* Whether one waits in the queue that nobody asked for by hand. */
static dl_status find_queued(dl_db *db, dl_str trigger, int64_t *out_seq, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(
        db, "SELECT seq FROM run WHERE trigger = ?1 AND status = 0 AND asked = 0 LIMIT 1", &q,
        err));
    dl_db_bind_str(q, 1, trigger);
    int64_t seq = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_seq = seq;
    return DL_OK;
}

static dl_status queue_plain(dl_db *db, const dl_factory_trigger *trigger, int64_t scheduled_us,
                             int64_t now_us, dl_error *err)
{
    dl_run run = {.pipeline = trigger->pipeline,
                  .trigger = trigger->name,
                  .trigger_type = trigger->type,
                  .scheduled_us = scheduled_us};
    dl_run_more more = {0};
    return dl_runs_insert(db, now_us, &more, &run, err);
}

/* One that still waits for its turn stands for the newest time: a trigger that is faster than its
 * runs does not fill the queue. */
static dl_status step_schedule(dl_step *step, const dl_factory_trigger *trigger, dl_place *place,
                               dl_error *err)
{
    dl_db *db = step->db;
    int64_t now_us = step->now_us;
    dl_plan_firing firing = dl_plan_schedule(trigger, place->position_us, now_us);
    dl_step_due(step, firing.next_us);
    if (!firing.due) {
        return DL_OK;
    }
    place->position_us = firing.at_us;
    place->fired_us = now_us;
    int64_t queued = 0;
    DL_TRY(find_queued(db, trigger->name, &queued, err));
    if (queued == 0) {
        return queue_plain(db, trigger, firing.at_us, now_us, err);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "UPDATE run SET scheduled_us = ?2 WHERE seq = ?1", &q, err));
    dl_db_bind_int(q, 1, queued);
    dl_db_bind_int(q, 2, firing.at_us);
    return dl_db_run(q, err);
}

static dl_status step_change(dl_step *step, const dl_scheduled *s, dl_place *place, dl_error *err)
{
    dl_db *db = step->db;
    int64_t now_us = step->now_us;
    int64_t again_us = INT64_MAX;
    bool due =
        dl_plan_change(&s->trigger, s->newest, place->sequence, place->fired_us, now_us, &again_us);
    dl_step_due(step, again_us);
    if (!due) {
        return DL_OK;
    }
    int64_t queued = 0;
    DL_TRY(find_queued(db, s->trigger.name, &queued, err));
    if (queued != 0) {
        return DL_OK; /* it will take what is new along */
    }
    place->sequence = s->newest;
    place->fired_us = now_us;
    return queue_plain(db, &s->trigger, now_us, now_us, err);
}

/* ---- the step ---- */

static dl_status step_started(dl_step *step, const dl_scheduled *s, dl_place *place, dl_error *err)
{
    switch (s->trigger.type) {
    case DL_FACTORY_TUMBLING:
        return dl_window_make(step, &s->trigger, place, err);
    case DL_FACTORY_SCHEDULE:
        return step_schedule(step, &s->trigger, place, err);
    case DL_FACTORY_ON_CHANGE:
        return step_change(step, s, place, err);
    case DL_FACTORY_MANUAL:
        break;
    }
    return DL_OK;
}

static dl_status step_trigger(dl_step *step, const dl_scheduled *s, dl_error *err)
{
    dl_place before, place;
    DL_TRY(dl_place_read(step->db, s->trigger.name, &before, err));
    place = before;
    settle_place(s, step->now_us, &place);
    if (s->started) {
        DL_TRY(step_started(step, s, &place, err));
    }
    if (!same_place(&before, &place)) {
        DL_TRY(dl_place_write(step->db, &s->trigger, &place, err));
    }
    return s->trigger.type == DL_FACTORY_TUMBLING
               ? dl_window_activate(step->db, step->book, s, step->now_us, err)
               : DL_OK;
}

dl_status dl_step_plan(dl_db *db, const dl_book *book, int64_t now_us, int64_t *out_next_us,
                       dl_error *err)
{
    dl_step step = {db, book, now_us, INT64_MAX, DL_STEP_WINDOWS};
    for (size_t i = 0; i < book->count; i++) {
        dl_status status = step_trigger(&step, &book->triggers[i], err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "scheduling trigger %.*s",
                                   DL_STR_ARG(book->triggers[i].trigger.name));
        }
    }
    *out_next_us = step.next_us;
    return DL_OK;
}

/* ---- triggers that are gone ---- */

#define GONE "trigger NOT IN (SELECT name FROM published WHERE kind = 2)"

static dl_status next_orphan(dl_db *db, dl_arena *arena, dl_run *out_run, bool *out_found,
                             dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT " DL_RUN_COLUMNS
                       " FROM run INDEXED BY run_waits WHERE status = 0 AND trigger <> '' AND " GONE
                       " ORDER BY seq LIMIT 1",
                       &q, err));
    *out_found = dl_db_step(q);
    dl_status status = *out_found ? dl_run_read(q, arena, out_run, NULL, err) : DL_OK;
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

static dl_status drop_orphans(dl_db *db, int64_t now_us, dl_error *err)
{
    for (;;) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ORPHAN_ARENA_BYTES);
        if (arena == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "scheduler: out of memory");
        }
        dl_run run;
        bool found = false;
        DL_TRY(next_orphan(db, arena, &run, &found, err));
        if (!found) {
            return DL_OK;
        }
        DL_TRY(dl_runs_drop(db, now_us, &run, "cancelled: its trigger was removed", err));
    }
}

dl_status dl_step_forget(dl_db *db, int64_t now_us, dl_error *err)
{
    static const char windows[] = "DELETE FROM run_window WHERE state = 0 AND attempts = 0 AND"
                                  " trigger IN (SELECT trigger FROM trigger_place WHERE " GONE ")";
    static const char asked[] =
        "UPDATE run_window SET state = (SELECT status FROM run WHERE seq = run_window.run)"
        " WHERE state = 0 AND trigger IN (SELECT trigger FROM trigger_place WHERE " GONE ")";
    static const char places[] = "DELETE FROM trigger_place WHERE " GONE;
    static const char *const scripts[] = {windows, asked, places};
    DL_TRY(drop_orphans(db, now_us, err));
    for (size_t i = 0; i < DL_COUNT_OF(scripts); i++) {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(db, scripts[i], &q, err));
        DL_TRY(dl_db_run(q, err));
    }
    return DL_OK;
}
