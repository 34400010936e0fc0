/* The scheduler step by step: windows, failures, dependencies, what people ask for, changed
 * documents. */
#include "scheduler_rig.h"

#include "base/log.h"
#include "base/mem.h"

#include <unistd.h>

TAP_CASE(a_start_in_the_past_makes_all_windows_in_order)
{
    home h;
    counter c = {0};
    home_begin(&h);
    home_pipeline(&h, "p");
    dl_factory_trigger t = tumbling("hourly", DL_CALENDAR_HOUR, 1);
    t.delay_us = 15 * MINUTE_US;
    home_trigger(&h, &t);
    home_publish(&h);
    h.now_us = START_US + 48 * HOUR_US + 15 * MINUTE_US - 1;
    dl_scheduler *s = open_with(&h, &c);
    TAP_EQ_INT(steps(&h, s), START_US + 48 * HOUR_US + 15 * MINUTE_US);
    TAP_EQ_INT(c.runs, 47);
    h.now_us++;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 48);
    TAP_TRUE(c.in_order);
    TAP_EQ_INT(c.last_end_us, START_US + 48 * HOUR_US);
    dl_trigger_facts facts = {0};
    TAP_OK(dl_trigger_facts_of(h.factory, DL_STR("HOURLY"), &facts, &h.err), h.err);
    TAP_TRUE(facts.started);
    TAP_EQ_INT(facts.next_us, START_US + 49 * HOUR_US + 15 * MINUTE_US);
    TAP_EQ_INT(facts.waiting + facts.running + facts.failed, 0);
    dl_run_totals totals;
    TAP_OK(dl_runs_totals(h.factory, DL_STR("p"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], 48);
    TAP_EQ_INT(totals.changes, 96);
    TAP_EQ_INT(totals.rows_in, 144);
    TAP_EQ_INT(totals.rows_out, 48);
    TAP_EQ_INT(totals.bytes, 480);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- one a home ---- */

TAP_CASE(one_schedules_a_home_and_says_who)
{
    home h;
    counter c = {0};
    begin_with(&h, NULL);
    TAP_TRUE(!dl_scheduler_is_running(h.factory));
    dl_scheduler *s = open_with(&h, &c), *second = NULL;
    TAP_TRUE(dl_scheduler_is_running(h.factory));
    dl_scheduler_options options = {.factory = h.factory};
    TAP_STATUS(dl_scheduler_open(&options, &second, &h.err), DL_E_CONFLICT);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    TAP_TRUE(strstr(h.err.message, pid) != NULL);
    TAP_TRUE(second == NULL && h.err.hint[0] != '\0');
    dl_scheduler_close(s);
    TAP_TRUE(!dl_scheduler_is_running(h.factory));
    options.workers = DL_SCHEDULER_WORKER_LIMIT + 1;
    TAP_STATUS(dl_scheduler_open(&options, &second, &h.err), DL_E_INVALID);
    options.workers = DL_SCHEDULER_WORKER_LIMIT;
    TAP_OK(dl_scheduler_open(&options, &second, &h.err), h.err);
    dl_scheduler_close(second);
    dl_scheduler_close(NULL);
    home_end(&h);
}

/* ---- failures ---- */

TAP_CASE(a_window_that_failed_is_tried_again_then_the_next_go_on)
{
    home h;
    counter c = {.fail_first = 3};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    t.retry_count = 2;
    t.retry_interval_s = 60;
    begin_with(&h, &t);
    h.now_us += 3 * HOUR_US;
    dl_scheduler *s = open_with(&h, &c);
    TAP_EQ_INT(steps(&h, s), h.now_us + MINUTE_US);
    TAP_EQ_INT(c.runs, 1); /* the next ones wait for it */
    h.now_us += MINUTE_US - 1;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 1);
    h.now_us += 1;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 2);
    h.now_us += MINUTE_US;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 5);
    TAP_TRUE(c.in_order);
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 3);
    TAP_EQ_INT(w[0].status, DL_RUN_FAILED);
    TAP_EQ_INT(w[0].attempts, 3);
    TAP_EQ_INT(w[1].status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(facts_of(&h, "t").failed, 1);
    dl_run run = {0};
    TAP_OK(dl_runs_get(h.factory, dl_str_of(w[0].run_id), h.arena, &run, &h.err), h.err);
    TAP_EQ_STR(run.cause, "made to fail");
    TAP_EQ_INT(run.attempt, 3);
    char id[DL_FACTORY_RUN_ID_SIZE];
    TAP_OK(dl_trigger_rerun(h.factory, DL_STR("t"), START_US, id, &h.err), h.err);
    TAP_STATUS(dl_trigger_rerun(h.factory, DL_STR("t"), START_US, id, &h.err), DL_E_CONFLICT);
    TAP_STATUS(dl_trigger_rerun(h.factory, DL_STR("t"), START_US + 1, id, &h.err), DL_E_NOT_FOUND);
    steps(&h, s);
    TAP_EQ_INT(windows_of(&h, "t", &w), 3);
    TAP_EQ_INT(w[0].status, DL_RUN_SUCCEEDED);
    dl_scheduler_close(s);
    home_end(&h);
}

TAP_CASE(what_a_crash_left_in_progress_is_queued_again)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    h.now_us += HOUR_US;
    dl_scheduler_options idle = {.factory = h.factory};
    dl_scheduler *s = NULL;
    int64_t next_us = 0;
    TAP_OK(dl_scheduler_open(&idle, &s, &h.err), h.err);
    TAP_OK(dl_scheduler_step(s, &next_us, &h.err), h.err);
    dl_run_claim claim = {0};
    TAP_OK(dl_scheduler_claim(s, h.arena, &claim, &h.err), h.err);
    TAP_TRUE(claim.found);
    dl_scheduler_close(s); /* nothing of it is written: as a crash */
    s = open_with(&h, &c);
    dl_run *runs = NULL;
    TAP_EQ_INT(list(&h, "t", &runs), 2);
    TAP_EQ_INT(runs[0].status, DL_RUN_QUEUED);
    TAP_EQ_INT(runs[0].attempt, 2);
    TAP_EQ_INT(runs[1].status, DL_RUN_CANCELLED);
    TAP_TRUE(strstr(runs[1].cause.ptr, "interrupted") != NULL);
    TAP_EQ_STR(dl_str_of(runs[0].group_id), runs[1].id);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 1);
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 1);
    TAP_EQ_INT(w[0].status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(w[0].attempts, 2);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- dependencies ---- */

TAP_CASE(a_dependency_waits_and_says_for_what)
{
    home h;
    counter c = {.fail_first = 1};
    home_begin(&h);
    home_pipeline(&h, "p");
    dl_factory_trigger up = tumbling("up", DL_CALENDAR_HOUR, 1);
    dl_factory_trigger down = tumbling("down", DL_CALENDAR_HOUR, 2);
    down.dependency_count = 1;
    down.dependencies[0] = (dl_factory_dependency){.trigger = DL_STR("up")};
    home_trigger(&h, &up);
    home_trigger(&h, &down);
    home_publish(&h);
    h.now_us += 2 * HOUR_US;
    dl_scheduler *s = open_with(&h, &c);
    steps(&h, s);
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "down", &w), 1);
    TAP_TRUE(w[0].waiting && w[0].status == DL_RUN_QUEUED && w[0].run_id[0] == '\0');
    TAP_EQ_STR(w[0].waits_for,
               "dependency: the window of up at 2026-01-01T00:00:00.000000Z failed");
    TAP_EQ_INT(facts_of(&h, "down").waiting, 1);
    char id[DL_FACTORY_RUN_ID_SIZE];
    TAP_STATUS(dl_trigger_rerun(h.factory, DL_STR("down"), START_US, id, &h.err), DL_E_CONFLICT);
    TAP_OK(dl_trigger_stop(h.factory, DL_STR("down"), &h.err), h.err);
    (void)windows_of(&h, "down", &w);
    TAP_EQ_STR(w[0].waits_for, "its trigger is stopped");
    TAP_OK(dl_trigger_start(h.factory, DL_STR("down"), &h.err), h.err);
    TAP_OK(dl_trigger_rerun(h.factory, DL_STR("up"), START_US, id, &h.err), h.err);
    steps(&h, s);
    (void)windows_of(&h, "down", &w);
    TAP_EQ_INT(w[0].status, DL_RUN_SUCCEEDED);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- what people ask for ---- */

TAP_CASE(a_backfill_makes_what_is_missing)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    h.now_us += 2 * HOUR_US + MINUTE_US;
    dl_scheduler *s = open_with(&h, &c);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 2);
    size_t count = 77;
    dl_str name = DL_STR("t");
    TAP_OK(dl_trigger_backfill(h.factory, name, START_US - 48 * HOUR_US, START_US + 9 * HOUR_US,
                               &count, &h.err),
           h.err);
    TAP_EQ_INT(count, 48); /* not the two that succeeded, not what has not ended */
    c.runs = 0;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 48);
    TAP_TRUE(c.in_order);
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 50);
    check_contiguous(w, 50);
    TAP_OK(dl_trigger_backfill(h.factory, name, START_US - HOUR_US + 1, START_US, &count, &h.err),
           h.err);
    TAP_EQ_INT(count, 0);
    TAP_STATUS(dl_trigger_backfill(h.factory, name, START_US, START_US, &count, &h.err),
               DL_E_INVALID);
    TAP_STATUS(dl_trigger_backfill(h.factory, name, h.now_us, h.now_us + 1, &count, &h.err),
               DL_E_INVALID);
    TAP_STATUS(dl_trigger_backfill(h.factory, DL_STR("u"), START_US, h.now_us, &count, &h.err),
               DL_E_NOT_FOUND);
    TAP_EQ_INT(count, 0);
    int64_t long_ago_us = START_US - DL_BACKFILL_LIMIT * HOUR_US;
    TAP_STATUS(
        dl_trigger_backfill(h.factory, name, long_ago_us - HOUR_US, START_US, &count, &h.err),
        DL_E_LIMIT);
    TAP_EQ_INT(windows_of(&h, "t", &w), 50); /* all or nothing */
    TAP_OK(dl_trigger_backfill(h.factory, name, long_ago_us, START_US, &count, &h.err), h.err);
    TAP_EQ_INT(count, DL_BACKFILL_LIMIT - 48);
    dl_scheduler_close(s);
    home_end(&h);
}

TAP_CASE(a_stopped_trigger_does_what_is_asked_and_keeps_its_place)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    dl_scheduler *s = open_with(&h, &c);
    h.now_us += 2 * HOUR_US;
    steps(&h, s);
    TAP_OK(dl_trigger_stop(h.factory, DL_STR("t"), &h.err), h.err);
    h.now_us += 10 * HOUR_US;
    TAP_TRUE(steps(&h, s) == INT64_MAX);
    TAP_EQ_INT(c.runs, 2);
    TAP_TRUE(!facts_of(&h, "t").started && facts_of(&h, "t").next_us == INT64_MAX);
    char id[DL_FACTORY_RUN_ID_SIZE];
    TAP_OK(dl_trigger_run_now(h.factory, DL_STR("t"), id, &h.err), h.err);
    TAP_STATUS(dl_trigger_run_now(h.factory, DL_STR("t"), id, &h.err), DL_E_CONFLICT);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 3);
    TAP_EQ_INT(c.last_end_us, h.now_us); /* the window that ended last */
    TAP_OK(dl_trigger_start(h.factory, DL_STR("t"), &h.err), h.err);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 12); /* those between; the last one has succeeded */
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 12);
    check_contiguous(w, 12);
    TAP_STATUS(dl_trigger_start(h.factory, DL_STR("u"), &h.err), DL_E_NOT_FOUND);
    TAP_STATUS(dl_trigger_stop(h.factory, DL_STR_NONE, &h.err), DL_E_NOT_FOUND);
    dl_scheduler_close(s);
    home_end(&h);
}

TAP_CASE(a_pipeline_by_hand)
{
    home h;
    counter c = {0};
    begin_with(&h, NULL);
    dl_scheduler *s = open_with(&h, &c);
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_factory_parameter given[] = {{.name = DL_STR("BatchSize"), .value = DL_STR("7")},
                                    {.name = DL_STR("ContainerName"), .value = DL_STR("a\"b")}};
    TAP_OK(dl_pipeline_run_now(h.factory, DL_STR("P"), given, 2, id, &h.err), h.err);
    dl_run run = {0};
    TAP_OK(dl_runs_get(h.factory, dl_str_of(id), h.arena, &run, &h.err), h.err);
    TAP_EQ_STR(run.parameters, "{\"BatchSize\":\"7\",\"ContainerName\":\"a\\\"b\"}");
    TAP_EQ_STR(run.pipeline, "p");
    TAP_EQ_STR(run.trigger, "");
    steps(&h, s);
    TAP_EQ_INT(c.runs, 1);
    TAP_STATUS(dl_pipeline_run_now(h.factory, DL_STR("q"), NULL, 0, id, &h.err), DL_E_NOT_FOUND);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- documents that change ---- */

TAP_CASE(windows_stay_contiguous_when_the_grid_changes)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    dl_scheduler *s = open_with(&h, &c);
    h.now_us += 3 * HOUR_US;
    steps(&h, s);
    t.interval = 2; /* 00 to 03 are there; then to 04, 06, ... */
    home_trigger(&h, &t);
    home_publish(&h);
    h.now_us += 3 * HOUR_US;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 5);
    t.start_us -= 6 * HOUR_US; /* a past of three windows more */
    home_trigger(&h, &t);
    home_publish(&h);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 8);
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 8);
    check_contiguous(w, 8);
    TAP_EQ_INT(w[0].start_us, START_US - 6 * HOUR_US);
    TAP_EQ_INT(w[7].end_us, START_US + 6 * HOUR_US);
    t.end_us = START_US + 7 * HOUR_US;
    home_trigger(&h, &t);
    home_publish(&h);
    h.now_us += 9 * HOUR_US;
    TAP_TRUE(steps(&h, s) == INT64_MAX);
    TAP_EQ_INT(windows_of(&h, "t", &w), 9);
    TAP_EQ_INT(w[8].end_us, t.end_us);
    dl_scheduler_close(s);
    home_end(&h);
}

TAP_CASE(a_removed_trigger_leaves_no_run_in_the_queue)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    h.now_us += 5 * HOUR_US;
    dl_scheduler_options idle = {.factory = h.factory};
    dl_scheduler *s = NULL;
    TAP_OK(dl_scheduler_open(&idle, &s, &h.err), h.err);
    int64_t next_us = 0;
    TAP_OK(dl_scheduler_step(s, &next_us, &h.err), h.err); /* one queued, four wait */
    TAP_EQ_INT(facts_of(&h, "t").waiting, 5);
    dl_scheduler_close(s);
    TAP_OK(dl_catalog_remove(h.factory, DL_FACTORY_TRIGGER, DL_STR("t"), &h.err), h.err);
    home_publish(&h);
    s = open_with(&h, &c);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 0);
    dl_run *runs = NULL;
    TAP_EQ_INT(list(&h, "t", &runs), 1);
    TAP_EQ_INT(runs[0].status, DL_RUN_CANCELLED);
    TAP_EQ_STR(runs[0].cause, "cancelled: its trigger was removed");
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 1);
    home_trigger(&h, &t); /* the same again: all but the cancelled one */
    home_publish(&h);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 4);
    TAP_EQ_INT(windows_of(&h, "t", &w), 5);
    TAP_EQ_INT(w[0].status, DL_RUN_CANCELLED);
    dl_scheduler_close(s);
    home_end(&h);
}

/* A trigger whose run is queued was removed, and nobody has seen that yet. */
static dl_scheduler *open_after_removal(home *h)
{
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(h, &t);
    h->now_us += 5 * HOUR_US;
    dl_scheduler_options idle = {.factory = h->factory};
    dl_scheduler *s = NULL;
    int64_t next_us = 0;
    TAP_OK(dl_scheduler_open(&idle, &s, &h->err), h->err);
    TAP_OK(dl_scheduler_step(s, &next_us, &h->err), h->err);
    TAP_OK(dl_catalog_remove(h->factory, DL_FACTORY_TRIGGER, DL_STR("t"), &h->err), h->err);
    home_publish(h);
    return s;
}

static void step_and_see_none_queued(home *h, dl_scheduler *s)
{
    int64_t next_us = 0;
    dl_run *runs = NULL;
    TAP_OK(dl_scheduler_step(s, &next_us, &h->err), h->err);
    TAP_EQ_INT(list(h, "t", &runs), 1);
    TAP_EQ_INT(runs[0].status, DL_RUN_CANCELLED);
}

TAP_CASE(a_worker_that_looks_first_hides_no_removal)
{
    home h;
    dl_scheduler *s = open_after_removal(&h);
    dl_run_claim claim = {0};
    TAP_OK(dl_scheduler_claim(s, h.arena, &claim, &h.err), h.err);
    TAP_TRUE(!claim.found);
    step_and_see_none_queued(&h, s);
    dl_scheduler_close(s);
    home_end(&h);
}

TAP_CASE(a_removal_whose_commit_failed_is_seen_again)
{
    home h;
    int64_t next_us = 0;
    dl_scheduler *s = open_after_removal(&h);
    exec(&h, "PRAGMA foreign_keys=ON"); /* a debt that is called in by the commit */
    exec(&h, "CREATE TABLE creditor(id INTEGER PRIMARY KEY)");
    exec(&h, "CREATE TABLE debt(id REFERENCES creditor DEFERRABLE INITIALLY DEFERRED)");
    exec(&h, "CREATE TRIGGER owe AFTER UPDATE ON run BEGIN INSERT INTO debt VALUES(1); END");
    TAP_TRUE(dl_scheduler_step(s, &next_us, &h.err) != DL_OK);
    exec(&h, "DROP TRIGGER owe");
    step_and_see_none_queued(&h, s);
    dl_scheduler_close(s);
    home_end(&h);
}

TAP_CASE(a_name_changes_and_the_history_follows)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    h.now_us += 5 * HOUR_US;
    dl_scheduler *s = open_with(&h, &c);
    steps(&h, s);
    TAP_OK(dl_catalog_rename(h.factory, DL_FACTORY_TRIGGER, DL_STR("t"), DL_STR("T"), &h.err),
           h.err); /* the case alone */
    TAP_OK(dl_catalog_rename(h.factory, DL_FACTORY_TRIGGER, DL_STR("T"), DL_STR("new"), &h.err),
           h.err);
    h.now_us += HOUR_US;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 6);
    dl_run_window *w = NULL;
    dl_run *runs = NULL;
    TAP_EQ_INT(windows_of(&h, "new", &w), 6);
    TAP_EQ_INT(list(&h, "new", &runs), 6);
    TAP_EQ_INT(windows_of(&h, "t", &w), 0);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- the other triggers ---- */

TAP_CASE(a_schedule_fires_once_for_what_was_missed)
{
    home h;
    counter c = {0};
    home_begin(&h);
    home_pipeline(&h, "p");
    dl_factory_trigger t = daily(&h, "daily", 2);
    home_trigger(&h, &t);
    home_publish(&h);
    dl_scheduler *s = open_with(&h, &c);
    TAP_EQ_INT(steps(&h, s), START_US + 2 * HOUR_US);
    TAP_EQ_INT(facts_of(&h, "daily").next_us, START_US + 2 * HOUR_US);
    h.now_us = START_US + 2 * HOUR_US;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 1);
    h.now_us -= HOUR_US; /* back, and there again */
    steps(&h, s);
    h.now_us += HOUR_US;
    steps(&h, s);
    TAP_EQ_INT(c.runs, 1);
    dl_scheduler_close(s);
    h.now_us += 10 * DAY_US + HOUR_US;
    s = open_with(&h, &c);
    steps(&h, s);
    TAP_EQ_INT(c.runs, 1);
    dl_run *runs = NULL;
    TAP_EQ_INT(list(&h, "daily", &runs), 2);
    TAP_EQ_INT(runs[0].scheduled_us, START_US + 10 * DAY_US + 2 * HOUR_US);
    TAP_OK(dl_trigger_stop(h.factory, DL_STR("daily"), &h.err), h.err);
    h.now_us += 10 * DAY_US;
    TAP_OK(dl_trigger_start(h.factory, DL_STR("daily"), &h.err), h.err); /* no step saw the stop */
    TAP_EQ_INT(steps(&h, s), START_US + 21 * DAY_US + 2 * HOUR_US);
    TAP_EQ_INT(c.runs, 1);
    size_t count = 0;
    TAP_STATUS(dl_trigger_backfill(h.factory, DL_STR("daily"), START_US, h.now_us, &count, &h.err),
               DL_E_INVALID);
    dl_scheduler_close(s);
    home_end(&h);
}

typedef struct feed {
    counter counter; /* first: the work function's context too */
    int64_t newest;
    size_t asked;
    bool dead;
} feed;

static dl_status ask_newest(void *context, dl_str pipeline, int64_t after, unsigned timeout_ms,
                            dl_cancel *cancel, int64_t *out_sequence, dl_error *err)
{
    feed *f = context;
    (void)after;
    (void)timeout_ms;
    (void)cancel;
    f->asked++;
    TAP_EQ_STR(pipeline, "p");
    if (f->dead) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "the source is dead");
    }
    *out_sequence = f->newest;
    return DL_OK;
}

TAP_CASE(on_change_runs_when_there_is_something_new)
{
    home h;
    feed f = {.newest = 0};
    dl_factory_trigger t = {.name = DL_STR("change"),
                            .pipeline = DL_STR("p"),
                            .type = DL_FACTORY_ON_CHANGE,
                            .started = true,
                            .start_us = START_US,
                            .end_us = INT64_MAX,
                            .max_concurrency = 1,
                            .retry_interval_s = 30,
                            .quiet_us = MINUTE_US};
    begin_with(&h, &t);
    f.counter = (counter){.home = &h, .in_order = true};
    dl_scheduler_options options = {
        .factory = h.factory, .work = {.run = count_run, .newest = ask_newest, .context = &f}};
    dl_scheduler *s = NULL;
    TAP_OK(dl_scheduler_open(&options, &s, &h.err), h.err);
    steps(&h, s);
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 1); /* what is there already counts, once */
    f.newest = 5;
    TAP_EQ_INT(steps(&h, s), START_US + MINUTE_US);
    TAP_EQ_INT(f.counter.runs, 1); /* not yet: quiet */
    h.now_us += MINUTE_US;
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 2);
    h.now_us += DAY_US;
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 2);
    f.dead = true;
    steps(&h, s);
    f.dead = false;
    f.newest = 6;
    f.counter.fail_first = 4; /* it fails twice, and is tried until it does not */
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 3);
    h.now_us += 30 * 1000000LL;
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 4);
    h.now_us += 59 * 1000000LL;
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 4);
    h.now_us += 1 * 1000000LL;
    steps(&h, s);
    TAP_EQ_INT(f.counter.runs, 5);
    dl_scheduler_close(s);
    home_end(&h);
}

/* ---- trouble ---- */

TAP_CASE(each_allocation_fails_once)
{
    home h;
    counter c = {0};
    dl_factory_trigger t = tumbling("t", DL_CALENDAR_HOUR, 1);
    begin_with(&h, &t);
    h.now_us += 4 * HOUR_US;
    int64_t failures = 0;
    for (bool again = true; again; failures++) {
        dl_scheduler_options options = {.factory = h.factory,
                                        .work = {.run = count_run, .context = &c}};
        dl_scheduler *s = NULL;
        int64_t next_us = -1;
        dl_mem_fail_after(failures);
        dl_status status = dl_scheduler_open(&options, &s, &h.err);
        status = status == DL_OK ? dl_scheduler_step(s, &next_us, &h.err) : status;
        again = dl_mem_asked() > failures;
        dl_mem_fail_after(-1);
        TAP_TRUE(again || status == DL_OK);
        TAP_TRUE(status == DL_OK || next_us == -1);
        dl_scheduler_close(s);
    }
    TAP_TRUE(failures > 3);
    dl_run_window *w = NULL;
    TAP_EQ_INT(windows_of(&h, "t", &w), 4);
    for (size_t i = 0; i < 4; i++) {
        TAP_EQ_INT(w[i].status, DL_RUN_SUCCEEDED);
    }
    home_end(&h);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(a_start_in_the_past_makes_all_windows_in_order);
    TAP_RUN(one_schedules_a_home_and_says_who);
    TAP_RUN(a_window_that_failed_is_tried_again_then_the_next_go_on);
    TAP_RUN(what_a_crash_left_in_progress_is_queued_again);
    TAP_RUN(a_dependency_waits_and_says_for_what);
    TAP_RUN(a_backfill_makes_what_is_missing);
    TAP_RUN(a_stopped_trigger_does_what_is_asked_and_keeps_its_place);
    TAP_RUN(a_pipeline_by_hand);
    TAP_RUN(windows_stay_contiguous_when_the_grid_changes);
    TAP_RUN(a_removed_trigger_leaves_no_run_in_the_queue);
    TAP_RUN(a_worker_that_looks_first_hides_no_removal);
    TAP_RUN(a_removal_whose_commit_failed_is_seen_again);
    TAP_RUN(a_name_changes_and_the_history_follows);
    TAP_RUN(a_schedule_fires_once_for_what_was_missed);
    TAP_RUN(on_change_runs_when_there_is_something_new);
    TAP_RUN(each_allocation_fails_once);
    return tap_done();
}
