#include "simulate_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000LL
#define MODEL_DAY_US (86400 * SECOND_US)

static void complain(model *m, const model_trigger *t, int64_t start_us, const char *what)
{
    if (!m->failed) {
        char text[DL_CLOCK_TEXT_SIZE];
        dl_clock_format_utc(start_us, text);
        m->failed = true;
        (void)snprintf(m->complaint, sizeof m->complaint, "%s, %s: %s", t == NULL ? "" : t->name,
                       text, what);
    }
}

void model_want(model *m, bool condition, const char *what)
{
    if (!condition) {
        complain(m, NULL, 0, what);
    }
}

void model_begin(model *m, uint64_t seed)
{
    *m = (model){.seed = seed, .drain_more = 8};
    m->triggers = calloc(MODEL_TRIGGERS, sizeof *m->triggers);
}

void model_end(model *m)
{
    free(m->triggers);
    m->triggers = NULL;
}

/* ---- a calendar of its own ---- */

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 1 && is_leap(year) ? 29 : days[month];
}

/* Counted up day by day from 1970, slowly and surely. Month and day from 0. */
static void date_of(int64_t day, int *year, int *month, int *day_of_month)
{
    *year = 1970;
    *month = 0;
    while (day >= days_in(*year, *month)) {
        day -= days_in(*year, *month);
        *month = (*month + 1) % 12;
        *year += *month == 0;
    }
    *day_of_month = (int)day;
}

static int64_t day_of(int year, int month, int day_of_month)
{
    int64_t day = 0;
    for (int y = 1970, m = 0; y < year || m < month;) {
        day += days_in(y, m);
        m = (m + 1) % 12;
        y += m == 0;
    }
    return day + (day_of_month < days_in(year, month) ? day_of_month : days_in(year, month) - 1);
}

static int64_t border(const dl_factory_trigger *t, int64_t index)
{
    static const int64_t seconds[] = {
        [DL_CALENDAR_MINUTE] = 60, [DL_CALENDAR_HOUR] = 3600, [DL_CALENDAR_DAY] = 86400};
    if (t->frequency != DL_CALENDAR_MONTH) {
        return t->start_us + index * t->interval * seconds[t->frequency] * SECOND_US;
    }
    int year = 0, month = 0, day = 0;
    date_of(t->start_us / MODEL_DAY_US, &year, &month, &day);
    int64_t months = year * 12LL + month + index * t->interval;
    return day_of((int)(months / 12), (int)(months % 12), day) * MODEL_DAY_US +
           t->start_us % MODEL_DAY_US;
}

static model_trigger *add(model *m, const char *name, model_kind kind)
{
    model_trigger *t = &m->triggers[m->trigger_count++];
    *t = (model_trigger){.kind = kind, .started = true, .max_concurrency = 1, .cancelled_feed = -1};
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

void model_add_tumbling(model *m, const dl_factory_trigger *trigger)
{
    model_trigger *t = add(m, trigger->name.ptr, MODEL_TUMBLING);
    t->start_us = trigger->start_us;
    t->end_us = trigger->end_us;
    t->delay_us = trigger->delay_us;
    t->max_concurrency = trigger->max_concurrency;
    t->retry_count = trigger->retry_count;
    if (trigger->dependency_count > 0) {
        const dl_factory_dependency *d = &trigger->dependencies[0];
        t->depends = true;
        (void)dl_str_copy(d->trigger, t->upstream, sizeof t->upstream);
        t->offset_us = d->offset_us;
        t->size_us = d->size_us;
    }
    int64_t before = trigger->frequency == DL_CALENDAR_MONTH ? 6 : MODEL_BEFORE;
    int64_t after = trigger->frequency == DL_CALENDAR_MONTH ? 100 : MODEL_WINDOWS - MODEL_BEFORE;
    for (int64_t i = -before; i < after; i++) {
        model_window w = {.start_us = border(trigger, i), .end_us = border(trigger, i + 1)};
        if (w.start_us >= t->end_us) {
            break;
        }
        w.end_us = w.end_us > t->end_us ? t->end_us : w.end_us;
        t->windows[t->window_count++] = w;
    }
}

void model_add_daily(model *m, const char *name, int hour)
{
    add(m, name, MODEL_DAILY)->hour = hour;
}

void model_add_change(model *m, const char *name)
{
    add(m, name, MODEL_CHANGE);
}

/* ---- finding ---- */

static model_trigger *find_trigger(const model *m, dl_str name)
{
    for (size_t i = 0; i < m->trigger_count; i++) {
        if (dl_str_eq(dl_str_of(m->triggers[i].name), name)) {
            return &m->triggers[i];
        }
    }
    return NULL;
}

static model_window *find_window(model_trigger *t, int64_t start_us)
{
    size_t low = 0, high = t->window_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->windows[middle].start_us < start_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < t->window_count && t->windows[low].start_us == start_us ? &t->windows[low] : NULL;
}

static model_window *window_of(model *m, const dl_run *run)
{
    model_trigger *t = find_trigger(m, run->trigger);
    return t != NULL && run->has_window ? find_window(t, run->window_start_us) : NULL;
}

static model_time *time_of(model *m, const dl_run *run)
{
    model_trigger *t = find_trigger(m, run->trigger);
    if (t == NULL || t->kind != MODEL_DAILY) {
        return NULL;
    }
    for (size_t i = 0; i < t->time_count; i++) {
        if (t->times[i].scheduled_us == run->scheduled_us) {
            return &t->times[i];
        }
    }
    model_time *time = &t->times[t->time_count++];
    model_want(m, t->time_count < MODEL_TIMES, "the model has room for the times of a schedule");
    t->time_count -= t->time_count == MODEL_TIMES;
    *time = (model_time){.scheduled_us = run->scheduled_us};
    return time;
}

int64_t model_last_window(const model_trigger *t, int64_t now_us)
{
    int64_t last_us = INT64_MAX;
    for (size_t i = 0; i < t->window_count && t->windows[i].end_us <= now_us; i++) {
        last_us = t->windows[i].start_us;
    }
    return last_us;
}

int64_t model_any_window(const model_trigger *t, uint64_t random)
{
    for (size_t i = 0; i < t->window_count; i++) {
        const model_window *w = &t->windows[(i + random) % t->window_count];
        if (w->claims > 0) {
            return w->start_us;
        }
    }
    return INT64_MAX;
}

/* ---- what happens ---- */

/* Each instant that the dependency covers lies in a window that has succeeded at some time, or,
 * with `now_too`, whose newest run has. */
static bool is_free(const model *m, const model_trigger *t, const model_window *w, bool now_too)
{
    model_trigger *up = t->depends ? find_trigger(m, dl_str_of(t->upstream)) : NULL;
    if (up == NULL) {
        return true;
    }
    int64_t from_us = w->start_us + t->offset_us;
    int64_t to_us = from_us + (t->size_us > 0 ? t->size_us : w->end_us - w->start_us);
    for (size_t i = 0; i < up->window_count; i++) {
        const model_window *need = &up->windows[i];
        if (need->start_us < to_us && need->end_us > from_us && need->start_us >= up->start_us &&
            (need->successes == 0 || (now_too && need->state != MODEL_SUCCEEDED))) {
            return false;
        }
    }
    return true;
}

static void claim_window(model *m, model_trigger *t, const dl_run *run)
{
    model_window *w = find_window(t, run->window_start_us);
    if (w == NULL || w->end_us != run->window_end_us) {
        complain(m, t, run->window_start_us, "a run has a window that is not the trigger's");
        return;
    }
    if (w->state >= MODEL_SUCCEEDED) { /* who asks for it again takes it out of its end */
        complain(m, t, w->start_us, "a window that has ended runs again");
    }
    if (!w->asked && !t->started) {
        complain(m, t, w->start_us, "a window of a stopped trigger runs");
    }
    if (!w->asked && w->claims == 0) {
        if (w->start_us < t->start_us || w->end_us + t->delay_us > m->latest_us) {
            complain(m, t, w->start_us, "a window runs before its time");
        }
        if (!is_free(m, t, w, false)) {
            complain(m, t, w->start_us, "a window runs before what it depends on");
        }
    }
    for (model_window *v = t->windows; v < w && !w->asked && t->max_concurrency == 1; v++) {
        if (v->start_us >= t->start_us && !v->asked && v->state < MODEL_SUCCEEDED) {
            complain(m, t, w->start_us, "a window runs before an older one has ended");
        }
    }
    w->claims++;
    w->state = MODEL_BUSY;
}

void model_claimed(model *m, const dl_run *run, size_t same)
{
    m->claims++;
    model_trigger *t = find_trigger(m, run->trigger);
    size_t most = t == NULL ? 1 : t->max_concurrency;
    if (same >= most) {
        complain(m, t, run->window_start_us, "more runs than may be in progress at once");
    }
    if (t == NULL) {
        model_want(m, run->trigger.len == 0, "a run is of a trigger that was published");
        return;
    }
    if (t->kind == MODEL_TUMBLING) {
        claim_window(m, t, run);
    } else if (t->kind == MODEL_DAILY) {
        (void)time_of(m, run);
        if ((run->scheduled_us % MODEL_DAY_US) != t->hour * 3600 * SECOND_US ||
            run->scheduled_us > m->latest_us) {
            complain(m, t, run->scheduled_us, "a schedule fires at a wrong time");
        }
    }
}

static void end_window(model_trigger *t, model_window *w, const dl_run *run, bool stopped)
{
    bool wanted = strcmp(w->cancel_id, run->id) == 0;
    if (run->status == DL_RUN_SUCCEEDED) {
        w->successes++;
        w->state = MODEL_SUCCEEDED;
    } else if (run->status == DL_RUN_FAILED) {
        w->failures++;
        w->state = w->failures <= t->retry_count && !wanted ? MODEL_BUSY : MODEL_FAILED;
    } else {
        w->state = stopped && !wanted ? MODEL_BUSY : MODEL_CANCELLED;
    }
}

void model_ended(model *m, const dl_run *run, bool stopped, int64_t feed)
{
    model_trigger *t = find_trigger(m, run->trigger);
    bool succeeded = run->status == DL_RUN_SUCCEEDED;
    m->successes += succeeded;
    if (t == NULL) {
        return;
    }
    model_window *w = window_of(m, run);
    if (w != NULL) {
        end_window(t, w, run, stopped);
    }
    model_time *time = time_of(m, run);
    if (time != NULL) {
        time->successes += succeeded;
    }
    if (run->status == DL_RUN_CANCELLED && !stopped) {
        t->cancelled_feed = m->feed;
    }
    if (succeeded && feed > t->applied) {
        t->applied = feed;
    }
}

void model_lost(model *m, const dl_run *run)
{
    model_window *w = window_of(m, run);
    if (w != NULL && w->state == MODEL_BUSY && strcmp(w->cancel_id, run->id) == 0) {
        w->state = MODEL_CANCELLED;
    }
}

static void ask(model_window *w, model_state state)
{
    w->asked = w->made = true;
    w->asks++;
    w->failures = 0;
    w->state = state;
}

void model_asked(model *m, model_trigger *t, int64_t start_us)
{
    model_window *w = find_window(t, start_us);
    if (w == NULL) {
        complain(m, t, start_us, "the model does not know the window that was asked for");
        return;
    }
    ask(w, MODEL_BUSY);
}

void model_rerun(model *m, const dl_run *run)
{
    model_window *w = window_of(m, run);
    if (w != NULL) {
        ask(w, MODEL_BUSY);
    }
    model_time *time = time_of(m, run);
    if (time != NULL) {
        time->asks++;
    }
}

void model_backfilled(model *m, model_trigger *t, int64_t from_us, int64_t to_us, int64_t now_us)
{
    (void)m;
    for (size_t i = 0; i < t->window_count; i++) {
        model_window *w = &t->windows[i];
        if (w->start_us >= to_us || w->end_us <= from_us || w->state == MODEL_BUSY ||
            w->state == MODEL_SUCCEEDED) {
            continue;
        }
        bool made = w->made;
        if (w->end_us > now_us && w->start_us < t->start_us && !made) {
            return; /* it has not ended, nor what follows */
        }
        ask(w, MODEL_NONE);
        w->made = made || w->end_us <= now_us;
    }
}

void model_cancelled(model *m, const dl_run *run)
{
    if (run->status == DL_RUN_QUEUED) {
        model_dropped(m, run);
        return;
    }
    model_trigger *t = find_trigger(m, run->trigger);
    model_window *w = window_of(m, run);
    if (t != NULL) {
        t->cancelled_feed = m->feed;
    }
    if (w != NULL) {
        (void)snprintf(w->cancel_id, sizeof w->cancel_id, "%s", run->id);
    }
}

void model_dropped(model *m, const dl_run *run)
{
    model_trigger *t = find_trigger(m, run->trigger);
    model_window *w = window_of(m, run);
    if (t != NULL) {
        t->cancelled_feed = m->feed;
    }
    if (w != NULL) {
        w->state = MODEL_CANCELLED;
    }
}

/* ---- the end ---- */

static void check_ended(model *m, const model_trigger *t, const model_window *w,
                        const dl_run_window *got, dl_factory *factory, dl_arena *arena)
{
    dl_run run = {0};
    dl_error err = {0};
    if (dl_runs_get(factory, dl_str_of(got->run_id), arena, &run, &err) != DL_OK) {
        complain(m, t, w->start_us, "the newest run of a window is gone");
        return;
    }
    if (run.status != got->status || run.window_start_us != w->start_us) {
        complain(m, t, w->start_us, "a window and its newest run disagree");
    }
    if (got->status != DL_RUN_SUCCEEDED && run.cause.len == 0) {
        complain(m, t, w->start_us, "a window failed without a cause");
    }
    if ((int)got->status != (int)w->state) {
        complain(m, t, w->start_us, "a window stands otherwise than its runs ended");
    }
    if (w->successes > 1 + w->asks || (!w->asked && w->successes > 1)) {
        complain(m, t, w->start_us, "a window succeeded more than once");
    }
    if (got->status == DL_RUN_SUCCEEDED && w->successes == 0) {
        complain(m, t, w->start_us, "a window is said to have succeeded and has not");
    }
    if (!w->asked && got->status == DL_RUN_FAILED && w->cancel_id[0] == '\0' &&
        w->failures != t->retry_count + 1) {
        complain(m, t, w->start_us, "a window failed without all its tries");
    }
}

static void check_windows(model *m, model_trigger *t, dl_factory *factory, dl_arena *arena)
{
    dl_run_window *got = NULL;
    size_t count = 0, at = 0;
    dl_error err = {0};
    if (dl_runs_windows(factory, dl_str_of(t->name), 0, 0, DL_RUN_LIST_LIMIT, arena, &got, &count,
                        &err) != DL_OK) {
        complain(m, t, 0, "windows cannot be listed");
        return;
    }
    bool held_back = false;
    for (size_t i = 0; i < t->window_count; i++) {
        const model_window *w = &t->windows[i];
        bool due = w->start_us >= t->start_us && w->end_us + t->delay_us <= m->latest_us;
        if (!due && !w->made) {
            continue;
        }
        if (at == count || got[at].start_us != w->start_us || got[at].end_us != w->end_us) {
            complain(m, t, w->start_us, "a window is missing");
            return;
        }
        const dl_run_window *g = &got[at++];
        if (g->waiting) {
            bool stuck = !is_free(m, t, w, true) || (held_back && t->max_concurrency == 1);
            held_back = true;
            if (!stuck) {
                complain(m, t, w->start_us, "a window waits for nothing");
            }
            if (g->waits_for.len == 0) {
                complain(m, t, w->start_us, "a window waits without a word");
            }
        } else if (g->status == DL_RUN_QUEUED || g->status == DL_RUN_IN_PROGRESS) {
            complain(m, t, w->start_us, "a window's run never ends");
        } else {
            check_ended(m, t, w, g, factory, arena);
        }
    }
    if (at != count) {
        complain(m, t, got[at].start_us, "there is a window too many");
    }
}

static void check_daily(model *m, const model_trigger *t)
{
    int64_t newest_us = 0;
    for (size_t i = 0; i < t->time_count; i++) {
        const model_time *time = &t->times[i];
        newest_us = time->scheduled_us > newest_us ? time->scheduled_us : newest_us;
        if (time->successes > 1 + time->asks) {
            complain(m, t, time->scheduled_us, "a time of a schedule was run twice");
        }
    }
    int64_t last_us = m->latest_us - m->latest_us % MODEL_DAY_US + t->hour * 3600 * SECOND_US;
    last_us -= last_us > m->latest_us ? MODEL_DAY_US : 0;
    if (!t->was_stopped && newest_us != last_us) {
        complain(m, t, last_us, "a schedule did not fire");
    }
}

static void check_change(model *m, const model_trigger *t)
{
    if (t->cancelled_feed < m->feed && t->applied != m->feed) {
        complain(m, t, m->latest_us, "a change was not taken");
    }
}

static void check_totals(model *m, dl_factory *factory, dl_arena *arena, bool whole)
{
    dl_run_totals totals = {0};
    dl_error err = {0};
    model_want(m, dl_runs_totals(factory, DL_STR_NONE, &totals, &err) == DL_OK, "totals are there");
    model_want(m, totals.by_status[DL_RUN_QUEUED] == 0, "no run stays in the queue");
    model_want(m, totals.by_status[DL_RUN_IN_PROGRESS] == 0, "no run stays in progress");
    model_want(m, (size_t)totals.by_status[DL_RUN_SUCCEEDED] == m->successes,
               "each success is recorded once");
    size_t listed = 0, count = 1;
    dl_run_filter filter = {.by_status = true, .status = DL_RUN_SUCCEEDED, .limit = 97};
    for (dl_run *runs = NULL; whole && count > 0; listed += count) {
        if (dl_runs_list(factory, &filter, arena, &runs, &count, &err) != DL_OK) {
            model_want(m, false, "runs are listed");
            return;
        }
        if (count > 0) {
            filter.after = (dl_str){runs[count - 1].id, DL_FACTORY_RUN_ID_SIZE - 1};
        }
    }
    model_want(m, !whole || listed == m->successes, "all runs are listed, page by page");
}

void model_check(model *m, dl_factory *factory, dl_arena *arena, bool whole)
{
    for (size_t i = 0; i < m->trigger_count; i++) {
        model_trigger *t = &m->triggers[i];
        if (t->kind == MODEL_TUMBLING) {
            check_windows(m, t, factory, arena);
        } else if (t->kind == MODEL_DAILY) {
            check_daily(m, t);
        } else {
            check_change(m, t);
        }
    }
    check_totals(m, factory, arena, whole);
}
