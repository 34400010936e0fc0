#include "factory/scheduler_internal.h"

enum {
    SCAN_LIMIT = 1000, /* windows that are looked at for one that no dependency holds back */
};

/* ---- places ---- */

dl_status dl_place_read(dl_db *db, dl_str trigger, dl_place *out, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT started, start_us, position_us, sequence, fired_us"
                       " FROM trigger_place WHERE trigger = ?1",
                       &q, err));
    dl_db_bind_str(q, 1, trigger);
    dl_place place = {.sequence = -1};
    if (dl_db_step(q)) {
        place = (dl_place){.there = true,
                           .started = dl_db_int(q, 0) != 0,
                           .start_us = dl_db_int(q, 1),
                           .position_us = dl_db_int(q, 2),
                           .sequence = dl_db_int(q, 3),
                           .fired_us = dl_db_int(q, 4)};
    }
    DL_TRY(dl_db_finish(q, err));
    *out = place;
    return DL_OK;
}

dl_status dl_place_write(dl_db *db, const dl_factory_trigger *trigger, const dl_place *place,
                         dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "INSERT OR REPLACE INTO trigger_place(trigger, pipeline, started, start_us,"
                       " position_us, sequence, fired_us) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                       &q, err));
    dl_db_bind_str(q, 1, trigger->name);
    dl_db_bind_str(q, 2, trigger->pipeline.ptr == NULL ? DL_STR("") : trigger->pipeline);
    dl_db_bind_int(q, 3, place->started);
    dl_db_bind_int(q, 4, place->start_us);
    dl_db_bind_int(q, 5, place->position_us);
    dl_db_bind_int(q, 6, place->sequence);
    dl_db_bind_int(q, 7, place->fired_us);
    return dl_db_run(q, err);
}

/* ---- windows ---- */

dl_status dl_window_find(dl_db *db, dl_str trigger, int64_t at_us, dl_window_at *out, dl_error *err)
{
    dl_window_at found = {.next_us = INT64_MAX, .state = -1};
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT start_us, end_us, state FROM run_window WHERE trigger = ?1 AND"
                       " start_us <= ?2 ORDER BY start_us DESC LIMIT 1",
                       &q, err));
    dl_db_bind_str(q, 1, trigger);
    dl_db_bind_int(q, 2, at_us);
    if (dl_db_step(q) && dl_db_int(q, 1) > at_us) {
        found.cover = (dl_plan_range){dl_db_int(q, 0), dl_db_int(q, 1)};
        found.state = (int)dl_db_int(q, 2);
    }
    DL_TRY(dl_db_finish(q, err));
    if (found.state < 0) {
        DL_TRY(dl_db_query(db,
                           "SELECT start_us FROM run_window WHERE trigger = ?1 AND start_us > ?2"
                           " ORDER BY start_us LIMIT 1",
                           &q, err));
        dl_db_bind_str(q, 1, trigger);
        dl_db_bind_int(q, 2, at_us);
        found.next_us = dl_db_step(q) ? dl_db_int(q, 0) : INT64_MAX;
        DL_TRY(dl_db_finish(q, err));
    }
    *out = found;
    return DL_OK;
}

dl_status dl_window_add(dl_db *db, dl_str trigger, dl_plan_range window, bool asked, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "INSERT INTO run_window(trigger, start_us, end_us, state, asked)"
                       " VALUES(?1, ?2, ?3, 0, ?4)",
                       &q, err));
    dl_db_bind_str(q, 1, trigger);
    dl_db_bind_int(q, 2, window.start_us);
    dl_db_bind_int(q, 3, window.end_us);
    dl_db_bind_int(q, 4, asked);
    return dl_db_run(q, err);
}

void dl_step_due(dl_step *step, int64_t due_us)
{
    step->next_us = due_us < step->next_us ? due_us : step->next_us;
}

dl_status dl_window_make(dl_step *step, const dl_factory_trigger *trigger, dl_place *place,
                         dl_error *err)
{
    dl_window_at found = {.next_us = place->position_us}; /* not looked yet */
    for (;;) {
        dl_plan_range window;
        if (place->position_us >= found.next_us) {
            DL_TRY(dl_window_find(step->db, trigger->name, place->position_us, &found, err));
        }
        bool covered = found.state >= 0 && found.cover.end_us > place->position_us;
        if (!covered && !dl_plan_window(trigger, place->position_us, found.next_us, &window)) {
            return DL_OK;
        }
        int64_t due_us = covered ? step->now_us : dl_plan_due(trigger, window.end_us);
        if (due_us > step->now_us || step->budget == 0) {
            dl_step_due(step, due_us > step->now_us ? due_us : step->now_us);
            return DL_OK;
        }
        step->budget--;
        if (covered) {
            place->position_us = found.cover.end_us;
            found = (dl_window_at){.next_us = place->position_us};
            continue;
        }
        DL_TRY(dl_window_add(step->db, trigger->name, window, false, err));
        place->position_us = window.end_us;
    }
}

/* ---- dependencies ---- */

/* The first instant of `need` that no window that succeeded covers. */
static dl_status check_covered(dl_db *db, dl_str trigger, dl_plan_range need, dl_blocker *out,
                               dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT start_us, end_us, state FROM run_window WHERE trigger = ?1 AND"
                       " start_us < ?3 AND start_us >= ifnull((SELECT max(start_us) FROM run_window"
                       " WHERE trigger = ?1 AND start_us <= ?2), ?2) ORDER BY start_us",
                       &q, err));
    dl_db_bind_str(q, 1, trigger);
    dl_db_bind_int(q, 2, need.start_us);
    dl_db_bind_int(q, 3, need.end_us);
    int64_t at_us = need.start_us;
    dl_blocker blocker = {.trigger = trigger, .state = -1};
    while (!blocker.blocked && at_us < need.end_us && dl_db_step(q)) {
        if (dl_db_int(q, 1) <= at_us) {
            continue;
        }
        blocker.blocked = dl_db_int(q, 0) > at_us || dl_db_int(q, 2) != DL_WINDOW_SUCCEEDED;
        if (blocker.blocked && dl_db_int(q, 0) <= at_us) {
            at_us = dl_db_int(q, 0);
            blocker.state = (int)dl_db_int(q, 2);
        } else if (!blocker.blocked) {
            at_us = dl_db_int(q, 1);
        }
    }
    DL_TRY(dl_db_finish(q, err));
    blocker.blocked = blocker.blocked || at_us < need.end_us;
    blocker.start_us = at_us;
    *out = blocker;
    return DL_OK;
}

dl_status dl_window_blocker(dl_db *db, const dl_book *book, const dl_factory_trigger *trigger,
                            dl_plan_range window, dl_blocker *out, dl_error *err)
{
    dl_blocker blocker = {0};
    for (size_t i = 0; i < trigger->dependency_count && !blocker.blocked; i++) {
        const dl_factory_dependency *dependency = &trigger->dependencies[i];
        const dl_scheduled *upstream = dl_book_find(book, dependency->trigger);
        if (upstream == NULL) {
            blocker = (dl_blocker){true, dependency->trigger, window.start_us, -1};
            break;
        }
        dl_plan_range need = dl_plan_need(dependency, &upstream->trigger, window);
        if (need.start_us < need.end_us) {
            DL_TRY(check_covered(db, upstream->trigger.name, need, &blocker, err));
        }
    }
    *out = blocker;
    return DL_OK;
}

/* ---- from waiting to the queue ---- */

dl_status dl_window_queue(dl_db *db, const dl_factory_trigger *trigger, dl_window_wish wish,
                          int64_t now_us, dl_run *out_run, dl_error *err)
{
    dl_run run = {.pipeline = trigger->pipeline,
                  .trigger = trigger->name,
                  .trigger_type = trigger->type,
                  .has_window = true,
                  .window_start_us = wish.window.start_us,
                  .window_end_us = wish.window.end_us,
                  .scheduled_us = dl_plan_due(trigger, wish.window.end_us)};
    dl_run_more more = {.asked = wish.asked};
    DL_TRY(dl_runs_insert(db, now_us, &more, &run, err));
    *out_run = run;
    return DL_OK;
}

typedef struct ready_windows {
    dl_window_wish items[DL_FACTORY_CONCURRENCY_LIMIT];
    size_t count, limit;
} ready_windows;

static dl_status count_room(dl_db *db, const dl_factory_trigger *trigger, size_t *out_room,
                            dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "SELECT count(*) FROM run_window WHERE trigger = ?1 AND state = 1", &q,
                       err));
    dl_db_bind_str(q, 1, trigger->name);
    int64_t running = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    unsigned most = trigger->max_concurrency < 1 ? 1 : trigger->max_concurrency;
    most = most > DL_FACTORY_CONCURRENCY_LIMIT ? DL_FACTORY_CONCURRENCY_LIMIT : most;
    *out_room = running >= (int64_t)most ? 0 : (size_t)(most - running);
    return DL_OK;
}

/* Of a trigger that is stopped only what somebody asked for. At concurrency 1 windows go in order:
 * one that is held back holds back those behind it. */
static dl_status find_ready(dl_db *db, const dl_book *book, const dl_scheduled *s,
                            ready_windows *ready, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       s->started
                           ? "SELECT start_us, end_us, asked FROM run_window WHERE trigger = ?1 AND"
                             " state = 0 ORDER BY start_us LIMIT ?2"
                           : "SELECT start_us, end_us, asked FROM run_window WHERE trigger = ?1 AND"
                             " state = 0 AND asked = 1 ORDER BY start_us LIMIT ?2",
                       &q, err));
    dl_db_bind_str(q, 1, s->trigger.name);
    dl_db_bind_int(q, 2, s->trigger.max_concurrency <= 1 ? 1 : SCAN_LIMIT);
    dl_status status = DL_OK;
    while (status == DL_OK && ready->count < ready->limit && dl_db_step(q)) {
        dl_plan_range window = {dl_db_int(q, 0), dl_db_int(q, 1)};
        dl_blocker blocker = {0};
        status = dl_window_blocker(db, book, &s->trigger, window, &blocker, err);
        if (status == DL_OK && !blocker.blocked) {
            ready->items[ready->count++] = (dl_window_wish){window, dl_db_int(q, 2) != 0};
        }
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

dl_status dl_window_activate(dl_db *db, const dl_book *book, const dl_scheduled *s, int64_t now_us,
                             dl_error *err)
{
    ready_windows ready = {0};
    DL_TRY(count_room(db, &s->trigger, &ready.limit, err));
    if (ready.limit == 0) {
        return DL_OK;
    }
    DL_TRY(find_ready(db, book, s, &ready, err));
    for (size_t i = 0; i < ready.count; i++) {
        dl_run run;
        DL_TRY(dl_window_queue(db, &s->trigger, ready.items[i], now_us, &run, err));
    }
    return DL_OK;
}
