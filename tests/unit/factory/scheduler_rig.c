#include "scheduler_rig.h"

void count_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
{
    counter *c = context;
    (void)arena;
    (void)cancel;
    c->in_order = c->in_order && (c->runs == 0 || run->window_start_us == c->last_end_us ||
                                  run->window_start_us == c->last_start_us);
    c->last_start_us = run->window_start_us;
    c->last_end_us = run->window_end_us;
    c->runs++;
    run->status = c->runs <= c->fail_first ? DL_RUN_FAILED : DL_RUN_SUCCEEDED;
    run->cause = c->runs <= c->fail_first ? DL_STR("made to fail") : DL_STR_NONE;
    run->counts = DL_STR("{\"changes\":2,\"rowsIn\":3,\"rowsOut\":1,\"bytes\":10}");
}

dl_scheduler *open_with(home *h, counter *c)
{
    *c = (counter){.home = h, .in_order = true, .fail_first = c->fail_first};
    dl_scheduler_options options = {.factory = h->factory,
                                    .work = {.run = count_run, .context = c}};
    dl_scheduler *s = NULL;
    TAP_OK(dl_scheduler_open(&options, &s, &h->err), h->err);
    return s;
}

int64_t steps(home *h, dl_scheduler *s)
{
    int64_t next_us = 0;
    for (int i = 0; i < 100000 && next_us <= h->now_us; i++) {
        TAP_OK(dl_scheduler_step(s, &next_us, &h->err), h->err);
    }
    return next_us;
}

void begin_with(home *h, const dl_factory_trigger *t)
{
    home_begin(h);
    home_pipeline(h, "p");
    if (t != NULL) {
        home_trigger(h, t);
    }
    home_publish(h);
}

size_t list(home *h, const char *trigger, dl_run **out_runs)
{
    dl_run_filter filter = {.trigger = dl_str_of(trigger), .limit = DL_RUN_LIST_LIMIT};
    size_t count = 0;
    TAP_OK(dl_runs_list(h->factory, &filter, h->arena, out_runs, &count, &h->err), h->err);
    return count;
}

size_t windows_of(home *h, const char *trigger, dl_run_window **out_windows)
{
    size_t count = 0;
    TAP_OK(dl_runs_windows(h->factory, dl_str_of(trigger), 0, 0, DL_RUN_LIST_LIMIT, h->arena,
                           out_windows, &count, &h->err),
           h->err);
    return count;
}

dl_trigger_facts facts_of(home *h, const char *trigger)
{
    dl_trigger_facts facts = {0};
    TAP_OK(dl_trigger_facts_of(h->factory, dl_str_of(trigger), &facts, &h->err), h->err);
    return facts;
}

void exec(home *h, const char *sql)
{
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(h->factory, DL_FACTORY_WRITE, &db, &h->err), h->err);
    TAP_OK(dl_db_exec(db, sql, &h->err), h->err);
    dl_factory_unlock(h->factory);
}

void check_contiguous(const dl_run_window *windows, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        TAP_EQ_INT(windows[i].start_us, windows[i - 1].end_us);
    }
}
