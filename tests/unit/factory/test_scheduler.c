#include "schedule_fixture.h"

#include "base/log.h"

/* ---- a work function that counts, and fails when told ---- */

typedef struct counter {
    home *home;
    size_t runs, fail_first;
    int64_t last_start_us, last_end_us;
    bool in_order;
} counter;

static void count_run(void *context, dl_run *run, dl_arena *arena, dl_cancel *cancel)
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

static dl_scheduler *open_with(home *h, counter *c)
{
    *c = (counter){.home = h, .in_order = true, .fail_first = c->fail_first};
    dl_scheduler_options options = {.factory = h->factory,
                                    .work = {.run = count_run, .context = c}};
    dl_scheduler *s = NULL;
    TAP_OK(dl_scheduler_open(&options, &s, &h->err), h->err);
    return s;
}

static int64_t steps(home *h, dl_scheduler *s)
{
    int64_t next_us = 0;
    for (int i = 0; i < 100000 && next_us <= h->now_us; i++) {
        TAP_OK(dl_scheduler_step(s, &next_us, &h->err), h->err);
    }
    return next_us;
}

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

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(a_start_in_the_past_makes_all_windows_in_order);
    return tap_done();
}
