#include "factory/scheduler_internal.h"

enum { WINDOWS_DEFAULT = 100 };

/* ---- what a window waits for ---- */

static dl_status say_blocker(const dl_blocker *b, dl_arena *arena, dl_str *out, dl_error *err)
{
    static const char *const words[] = {[DL_WINDOW_WAITS] = "waits itself",
                                        [DL_WINDOW_RUNS] = "is under way",
                                        [DL_WINDOW_SUCCEEDED] = "succeeded",
                                        [DL_WINDOW_FAILED] = "failed",
                                        [DL_WINDOW_CANCELLED] = "was cancelled"};
    char start[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(b->start_us, start);
    bool known = b->state >= 0 && (size_t)b->state < DL_COUNT_OF(words);
    return dl_arena_printf(arena, out, err, "dependency: the window of %.*s at %s %s",
                           DL_STR_ARG(b->trigger), start,
                           known ? words[b->state] : "is not there yet");
}

static dl_status say_wait(dl_db *db, const dl_book *book, bool asked, dl_arena *arena,
                          dl_run_window *window, dl_error *err)
{
    const dl_scheduled *s = dl_book_find(book, window->trigger);
    if (s == NULL) {
        window->waits_for = DL_STR("its trigger is not published");
        return DL_OK;
    }
    if (!s->started && !asked) {
        window->waits_for = DL_STR("its trigger is stopped");
        return DL_OK;
    }
    dl_blocker blocker;
    DL_TRY(dl_window_blocker(db, book, &s->trigger,
                             (dl_plan_range){window->start_us, window->end_us}, &blocker, err));
    if (blocker.blocked) {
        return say_blocker(&blocker, arena, &window->waits_for, err);
    }
    return dl_arena_printf(arena, &window->waits_for, err, "room: its turn, at most %u at once",
                           s->trigger.max_concurrency);
}

/* ---- windows ---- */

static dl_status read_window(const dl_db_stmt *q, dl_db *db, const dl_book *book, dl_arena *arena,
                             dl_run_window *out, dl_error *err)
{
    int64_t state = dl_db_int(q, 3);
    dl_run_window w = {.start_us = dl_db_int(q, 1),
                       .end_us = dl_db_int(q, 2),
                       .attempts = (unsigned)dl_db_int(q, 5),
                       .waiting = state == DL_WINDOW_WAITS,
                       .status = DL_RUN_QUEUED};
    DL_TRY(dl_arena_copy(arena, dl_db_str(q, 0), &w.trigger, err));
    (void)dl_str_copy(dl_db_str(q, 6), w.run_id, sizeof w.run_id);
    if (state == DL_WINDOW_RUNS) {
        w.status = (dl_run_status)dl_db_int(q, 7);
    } else if (state != DL_WINDOW_WAITS) {
        w.status = (dl_run_status)state;
    }
    if (w.waiting) {
        DL_TRY(say_wait(db, book, dl_db_int(q, 4) != 0, arena, &w, err));
    }
    *out = w;
    return DL_OK;
}

typedef struct windows_work {
    dl_run_window *items;
    size_t count, limit;
} windows_work;

static dl_status read_windows(dl_db *db, dl_str trigger, dl_plan_range range, dl_arena *arena,
                              windows_work *w, dl_error *err)
{
    DL_CLEANUP(dl_book_clear) dl_book book = {0};
    DL_TRY(dl_book_read(db, &book, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT w.trigger, w.start_us, w.end_us, w.state, w.asked, w.attempts,"
                       " w.run_id, r.status FROM run_window w LEFT JOIN run r ON r.seq = w.run"
                       " WHERE w.trigger = ?1 AND w.start_us >= ?2 AND w.start_us < ?3"
                       " ORDER BY w.start_us LIMIT ?4",
                       &q, err));
    dl_db_bind_str(q, 1, trigger);
    dl_db_bind_int(q, 2, range.start_us);
    dl_db_bind_int(q, 3, range.end_us);
    dl_db_bind_int(q, 4, (int64_t)w->limit);
    dl_status status = DL_OK;
    while (status == DL_OK && w->count < w->limit && dl_db_step(q)) {
        status = read_window(q, db, &book, arena, &w->items[w->count], err);
        w->count += status == DL_OK;
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_runs_windows(dl_factory *factory, dl_str trigger, int64_t from_us, int64_t to_us,
                          size_t limit, dl_arena *arena, dl_run_window **out_windows,
                          size_t *out_count, dl_error *err)
{
    windows_work w = {.limit = limit == 0 ? WINDOWS_DEFAULT : limit};
    if (w.limit > DL_RUN_LIST_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "windows: a limit of %zu exceeds %d", w.limit,
                            DL_RUN_LIST_LIMIT);
    }
    w.items = dl_arena_alloc(arena, w.limit, sizeof *w.items);
    if (w.items == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_plan_range range = {from_us == 0 ? INT64_MIN : from_us, to_us == 0 ? INT64_MAX : to_us};
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &db, err));
    dl_status status = read_windows(db, trigger, range, arena, &w, err);
    dl_factory_unlock(factory);
    DL_TRY(status);
    *out_windows = w.items;
    *out_count = w.count;
    return DL_OK;
}

/* ---- a trigger's facts ---- */

static dl_status count_rows(dl_db *db, const char *sql, dl_str trigger, int64_t *out, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, sql, &q, err));
    dl_db_bind_str(q, 1, trigger);
    *out = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    return dl_db_finish(q, err);
}

static dl_status find_next(dl_db *db, const dl_scheduled *s, int64_t now_us, int64_t *out_next_us,
                           dl_error *err)
{
    *out_next_us = INT64_MAX;
    if (!s->started) {
        return DL_OK;
    }
    dl_place place;
    DL_TRY(dl_place_read(db, s->trigger.name, &place, err));
    if (s->trigger.type == DL_FACTORY_SCHEDULE) {
        int64_t from_us = place.there && place.started ? place.position_us : now_us;
        *out_next_us =
            dl_calendar_next(&s->trigger.recurrence, from_us > now_us ? from_us : now_us);
        return DL_OK;
    }
    if (s->trigger.type != DL_FACTORY_TUMBLING) {
        return DL_OK;
    }
    bool moved = !place.there || place.start_us != s->trigger.start_us;
    int64_t at_us = moved ? s->trigger.start_us : place.position_us;
    dl_plan_range window;
    if (dl_plan_window(&s->trigger, at_us, INT64_MAX, &window)) {
        *out_next_us = dl_plan_due(&s->trigger, window.end_us);
    }
    return DL_OK;
}

static dl_status read_facts(dl_db *db, dl_str name, int64_t now_us, dl_trigger_facts *out,
                            dl_error *err)
{
    DL_CLEANUP(dl_book_clear) dl_book book = {0};
    dl_scheduled *s = NULL;
    DL_TRY(dl_book_read(db, &book, err));
    DL_TRY(dl_book_get(&book, name, &s, err));
    int64_t windows = 0;
    bool tumbling = s->trigger.type == DL_FACTORY_TUMBLING;
    out->started = s->started;
    DL_TRY(find_next(db, s, now_us, &out->next_us, err));
    DL_TRY(count_rows(db, "SELECT count(*) FROM run_window WHERE trigger = ?1 AND state = 0",
                      s->trigger.name, &windows, err));
    DL_TRY(count_rows(db, "SELECT count(*) FROM run WHERE trigger = ?1 AND status = 0",
                      s->trigger.name, &out->waiting, err));
    out->waiting += windows;
    DL_TRY(count_rows(db, "SELECT count(*) FROM run WHERE trigger = ?1 AND status = 1",
                      s->trigger.name, &out->running, err));
    return count_rows(db,
                      tumbling ? "SELECT count(*) FROM run_window WHERE trigger = ?1 AND state = 3"
                               : "SELECT count(*) FROM run WHERE trigger = ?1 AND status = 3",
                      s->trigger.name, &out->failed, err);
}

dl_status dl_trigger_facts_of(dl_factory *factory, dl_str name, dl_trigger_facts *out,
                              dl_error *err)
{
    dl_trigger_facts facts = {0};
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &db, err));
    dl_status status = read_facts(db, name, dl_factory_now_us(factory), &facts, err);
    dl_factory_unlock(factory);
    DL_TRY(status);
    *out = facts;
    return DL_OK;
}
