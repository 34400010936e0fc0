/**
 * A scheduler's life under a simulated clock: months of random stops, crashes between and inside
 * transactions, clock steps, failures, retries, reruns, cancels, backfills, stops and starts of
 * triggers. A model that knows nothing of the scheduler (model.c) watches what is claimed and what
 * was recorded, and at the end compares all windows and runs with what must be.
 *
 *     simulate [FIRST_SEED [COUNT]]
 *
 * A crash is a transaction that is refused, or whose caller does not come to know that it was
 * committed; everything in memory is then given up and the database opened again.
 */
#include "schedule_fixture.h"
#include "simulate_model.h"

#include "base/log.h"

enum {
    HELD_LIMIT = 8,
    IDS_LIMIT = 4096,
    DRAIN_LIMIT = 20000,
};

/* ---- faults in transactions ---- */

dl_status __real_dl_db_commit(dl_db *db, dl_error *err);
dl_status __wrap_dl_db_commit(dl_db *db, dl_error *err);

typedef struct faults {
    int countdown; /* commits until it crashes; -1: never */
    bool after;    /* the crashing commit takes place, nobody hears of it */
    bool fired;
    bool committed; /* whether the last commit took place */
} faults;
static faults fault = {.countdown = -1};

dl_status __wrap_dl_db_commit(dl_db *db, dl_error *err)
{
    bool crash = fault.countdown == 0;
    fault.countdown -= fault.countdown >= 0;
    fault.fired = fault.fired || crash;
    fault.committed = !crash || fault.after;
    dl_status status = fault.committed ? __real_dl_db_commit(db, err) : DL_OK;
    return crash ? dl_error_set(err, DL_E_IO, "crash") : status;
}

/* ---- the simulation ---- */

typedef struct held_run {
    dl_run run;
    dl_run_more more;
    dl_arena *arena;
    int64_t end_us; /* when its work is done, on the clock that only goes on */
    int64_t feed;   /* the newest change when it began: it takes them all */
} held_run;

typedef struct tally {
    size_t claims, successes, crashes, asks, zombies, windows;
} tally;

typedef struct sim {
    home h;
    tally tally;
    uint64_t random;
    uint64_t seed;
    model m;
    dl_scheduler *scheduler; /* NULL: nobody schedules */
    held_run held[HELD_LIMIT];
    size_t held_count, most_held;
    int64_t real_us; /* simulated time that only goes on; the clock may differ */
    int64_t horizon_us;
    unsigned fail_percent;
    char ids[IDS_LIMIT][DL_FACTORY_RUN_ID_SIZE]; /* runs that were claimed */
    size_t id_count;
} sim;

static uint64_t draw(sim *s, uint64_t below)
{
    s->random ^= s->random << 13; /* xorshift64 */
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % below;
}

static bool chance(sim *s, unsigned percent)
{
    return draw(s, 100) < percent;
}

static void pass_time(sim *s, int64_t by_us)
{
    s->real_us += by_us;
    s->h.now_us += by_us;
}

static dl_status newest_change(void *context, dl_str pipeline, int64_t after, unsigned timeout_ms,
                               dl_cancel *cancel, int64_t *out_sequence, dl_error *err)
{
    sim *s = context;
    (void)pipeline;
    (void)after;
    (void)timeout_ms;
    (void)cancel;
    if (chance(s, 5)) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "the feed is away");
    }
    *out_sequence = s->m.feed;
    return DL_OK;
}

/* ---- a life of the process ---- */

static void drop_held(sim *s, size_t i)
{
    dl_arena_destroy(s->held[i].arena);
    s->held[i] = s->held[--s->held_count];
}

static bool open_scheduler(sim *s)
{
    dl_scheduler_options options = {.factory = s->h.factory,
                                    .work = {.newest = newest_change, .context = s},
                                    .history_us = s->seed % 3 == 0 ? 0 : 36500 * DAY_US};
    dl_error err = {0};
    return dl_scheduler_open(&options, &s->scheduler, &err) == DL_OK;
}

/* All that is in memory is gone; some of the work goes on for a while, as a process that hangs. */
static void crash(sim *s)
{
    s->tally.crashes += fault.fired;
    fault = (faults){.countdown = -1};
    dl_scheduler_close(s->scheduler); /* writes nothing: a crash as far as the database sees */
    s->scheduler = NULL;
    home_close(&s->h);
    home_open(&s->h);
    bool zombie = s->held_count > 0 && chance(s, 30);
    dl_run lost = {0};
    if (zombie) {
        lost = s->held[0].run;
        lost.parameters = lost.cause = lost.hint = lost.counts = DL_STR_NONE;
        lost.pipeline = DL_STR("p");
        lost.status = DL_RUN_SUCCEEDED;
    }
    while (s->held_count > 0) {
        model_lost(&s->m, &s->held[0].run);
        drop_held(s, 0);
    }
    for (int i = 0; i < 10 && !open_scheduler(s); i++) { /* it may crash while it starts, too */
    }
    model_want(&s->m, s->scheduler != NULL, "the scheduler opens again");
    s->tally.zombies += zombie;
    if (zombie) { /* it was taken for lost, and comes to its end now: too late */
        lost.trigger = DL_STR_NONE;
        model_want(&s->m, dl_runs_end(s->h.factory, &lost, NULL) == DL_E_CONFLICT,
                   "a run that was taken for lost cannot end");
    }
}

static bool crashed(sim *s, dl_status status)
{
    if (fault.fired) {
        crash(s);
        return true;
    }
    model_want(&s->m, status == DL_OK, "no call fails without a crash");
    return false;
}

/* ---- what the scheduler's threads do ---- */

static void step(sim *s)
{
    dl_error err = {0};
    int64_t next_us = 0;
    (void)crashed(s, dl_scheduler_step(s->scheduler, &next_us, &err));
}

static void claim(sim *s)
{
    if (s->held_count == s->most_held) {
        return;
    }
    dl_error err = {0};
    dl_run_claim got = {0};
    dl_arena *arena = dl_arena_create(1 << 20);
    if (crashed(s, dl_scheduler_claim(s->scheduler, arena, &got, &err)) || !got.found) {
        dl_arena_destroy(arena);
        return;
    }
    size_t same = 0;
    for (size_t i = 0; i < s->held_count; i++) {
        same += dl_str_eq(s->held[i].run.trigger, got.run.trigger) &&
                (got.run.trigger.len > 0 || dl_str_eq(s->held[i].run.pipeline, got.run.pipeline));
    }
    model_claimed(&s->m, &got.run, same);
    if (s->id_count < IDS_LIMIT) {
        (void)dl_str_copy(dl_str_of(got.run.id), s->ids[s->id_count++], DL_FACTORY_RUN_ID_SIZE);
    }
    int64_t takes_us = (int64_t)draw(s, chance(s, 10) ? 20 * HOUR_US : HOUR_US);
    s->held[s->held_count++] =
        (held_run){got.run, got.more, arena, s->real_us + takes_us, s->m.feed};
}

static void end_one(sim *s, size_t i)
{
    held_run *held = &s->held[i];
    dl_error err = {0};
    bool failed = chance(s, s->fail_percent), cancelled = !failed && chance(s, s->fail_percent / 8);
    held->run.status = failed ? DL_RUN_FAILED : cancelled ? DL_RUN_CANCELLED : DL_RUN_SUCCEEDED;
    held->run.cause = failed ? DL_STR("the source is dead") : DL_STR_NONE;
    fault.committed = false;
    bool stopped = cancelled && chance(s, 50);
    dl_status status = dl_scheduler_end(s->scheduler, &held->run, &held->more, stopped, &err);
    if (fault.committed) {
        model_ended(&s->m, &held->run, stopped, held->feed);
    }
    if (!crashed(s, status)) {
        drop_held(s, i);
    }
}

static void end_due(sim *s)
{
    for (size_t i = 0; i < s->held_count; i++) {
        if (s->held[i].end_us <= s->real_us) {
            end_one(s, i);
            return;
        }
    }
}

/* ---- what people ask for ---- */

static model_trigger *any_trigger(sim *s)
{
    return &s->m.triggers[draw(s, s->m.trigger_count)];
}

static model_trigger *any_tumbling(sim *s)
{
    for (;;) {
        model_trigger *t = any_trigger(s);
        if (t->kind == MODEL_TUMBLING) {
            return t;
        }
    }
}

static void ask_start_or_stop(sim *s)
{
    model_trigger *t = any_trigger(s);
    dl_error err = {0};
    bool start = chance(s, 70);
    fault.committed = false;
    dl_status status = start ? dl_trigger_start(s->h.factory, dl_str_of(t->name), &err)
                             : dl_trigger_stop(s->h.factory, dl_str_of(t->name), &err);
    if (fault.committed) {
        t->started = start;
        t->was_stopped = t->was_stopped || !start;
    }
    (void)crashed(s, status);
}

static void ask_backfill(sim *s)
{
    model_trigger *t = any_tumbling(s);
    dl_error err = {0};
    size_t count = 0;
    int64_t from_us = START_US + (int64_t)draw(s, 100 * DAY_US) - 10 * DAY_US;
    int64_t to_us = from_us + (int64_t)draw(s, 5 * DAY_US) + 1;
    if (from_us >= s->h.now_us) {
        return;
    }
    fault.committed = false;
    dl_status status =
        dl_trigger_backfill(s->h.factory, dl_str_of(t->name), from_us, to_us, &count, &err);
    if (fault.committed) {
        model_backfilled(&s->m, t, from_us, to_us, s->h.now_us);
    }
    (void)crashed(s, status);
}

static void ask_window(sim *s)
{
    model_trigger *t = any_tumbling(s);
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_error err = {0};
    int64_t start_us = model_any_window(t, s->random);
    bool now = chance(s, 40) || start_us == INT64_MAX;
    fault.committed = false;
    dl_status status = now ? dl_trigger_run_now(s->h.factory, dl_str_of(t->name), id, &err)
                           : dl_trigger_rerun(s->h.factory, dl_str_of(t->name), start_us, id, &err);
    if (fault.committed && (status == DL_OK || fault.fired)) {
        model_asked(&s->m, t, now ? model_last_window(t, s->h.now_us) : start_us);
    }
    bool refused = status == DL_E_CONFLICT || status == DL_E_NOT_FOUND;
    (void)crashed(s, refused ? DL_OK : status);
}

static void ask_run(sim *s)
{
    if (s->id_count == 0) {
        return;
    }
    char id[DL_FACTORY_RUN_ID_SIZE];
    bool held = s->held_count > 0 && chance(s, 60);
    (void)dl_str_copy(
        dl_str_of(held ? s->held[draw(s, s->held_count)].run.id : s->ids[draw(s, s->id_count)]), id,
        sizeof id);
    char again[DL_FACTORY_RUN_ID_SIZE];
    dl_error err = {0};
    dl_run run = {0};
    if (dl_runs_get(s->h.factory, dl_str_of(id), s->h.arena, &run, &err) != DL_OK) {
        return; /* pruned */
    }
    bool cancel = chance(s, 50);
    fault.committed = false;
    dl_status status = cancel ? dl_runs_cancel(s->h.factory, dl_str_of(id), &err)
                              : dl_runs_rerun(s->h.factory, dl_str_of(id), again, &err);
    if (fault.committed && (status == DL_OK || fault.fired)) {
        if (cancel) {
            model_cancelled(&s->m, &run);
        } else {
            model_rerun(&s->m, &run);
        }
    }
    bool refused = status == DL_E_CONFLICT || status == DL_E_NOT_FOUND;
    (void)crashed(s, refused ? DL_OK : status);
}

/* A queued run, so that cancels meet those too. */
static void cancel_queued(sim *s)
{
    dl_run_filter filter = {.by_status = true, .status = DL_RUN_QUEUED, .limit = 5};
    dl_run *runs = NULL;
    size_t count = 0;
    dl_error err = {0};
    if (dl_runs_list(s->h.factory, &filter, s->h.arena, &runs, &count, &err) != DL_OK ||
        count == 0) {
        return;
    }
    const dl_run *run = &runs[draw(s, count)];
    fault.committed = false;
    dl_status status = dl_runs_cancel(s->h.factory, dl_str_of(run->id), &err);
    if (fault.committed) {
        model_dropped(&s->m, run);
    }
    (void)crashed(s, status);
}

static void ask_pipeline(sim *s)
{
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_error err = {0};
    dl_factory_parameter parameter = {.name = DL_STR("BatchSize"), .value = DL_STR("7")};
    fault.committed = false;
    dl_status status = dl_pipeline_run_now(s->h.factory, DL_STR("p"), &parameter, 1, id, &err);
    s->m.by_hand += fault.committed;
    (void)crashed(s, status);
}

/* ---- time ---- */

static void turn_clock(sim *s)
{
    switch (draw(s, 12)) {
    case 0: /* back, as a clock that is set */
        s->h.now_us -= (int64_t)draw(s, 2 * DAY_US);
        break;
    case 1: /* a machine asleep: what it held comes to its end later */
        pass_time(s, (int64_t)draw(s, 10 * DAY_US));
        break;
    case 2: /* ahead, and mostly right again soon */
        if (s->h.now_us <= s->real_us) {
            s->h.now_us += (int64_t)draw(s, DAY_US);
        }
        break;
    case 3: /* right again */
        s->h.now_us = s->real_us;
        break;
    default:
        pass_time(s, (int64_t)draw(s, 6 * HOUR_US));
    }
    s->m.latest_us = s->h.now_us > s->m.latest_us ? s->h.now_us : s->m.latest_us;
}

static void act(sim *s)
{
    uint64_t what = draw(s, 1000);
    if (what < 6) {
        fault = (faults){.countdown = (int)draw(s, 6), .after = chance(s, 50)};
    } else if (what < 10) { /* stopped in good order, and started later */
        crash(s);
    } else if (what < 18) {
        ask_start_or_stop(s);
    } else if (what < 24) {
        ask_backfill(s);
    } else if (what < 32) {
        ask_window(s);
    } else if (what < 40) {
        ask_run(s);
    } else if (what < 44) {
        cancel_queued(s);
    } else if (what < 48) {
        ask_pipeline(s);
    } else if (what < 60) {
        s->m.feed++;
    } else if (what < 340) {
        turn_clock(s);
    } else if (what < 560) {
        step(s);
    } else if (what < 780) {
        claim(s);
    } else {
        end_due(s);
    }
}

/* The end: everything is started, nothing fails any more, until nothing moves. */
static void drain(sim *s)
{
    fault = (faults){.countdown = -1};
    s->fail_percent = 0;
    s->real_us = (s->real_us > s->m.latest_us ? s->real_us : s->m.latest_us) + DAY_US;
    s->h.now_us = s->real_us;
    s->m.latest_us = s->real_us;
    for (size_t i = 0; i < s->m.trigger_count; i++) {
        TAP_OK(dl_trigger_start(s->h.factory, dl_str_of(s->m.triggers[i].name), &s->h.err),
               s->h.err);
        s->m.triggers[i].started = true;
    }
    size_t idle = 0;
    for (int i = 0; i < DRAIN_LIMIT && idle < 3; i++) {
        size_t ids = s->m.claims;
        step(s);
        claim(s);
        for (size_t j = 0; j < s->held_count; j++) {
            s->held[j].end_us = s->real_us;
        }
        end_due(s);
        idle = s->m.claims == ids && s->held_count == 0 ? idle + 1 : 0;
        if (idle == 2 && i < DRAIN_LIMIT / 2) { /* retries wait: let their time come, once */
            s->h.now_us += HOUR_US;
            s->real_us = s->h.now_us;
            s->m.latest_us = s->h.now_us;
            idle = i < DRAIN_LIMIT / 4 && s->m.drain_more-- > 0 ? 0 : 2;
        }
    }
}

/* ---- a seed ---- */

static void add_tumbling(sim *s, const char *name, model_trigger *upstream)
{
    static const dl_calendar_frequency frequencies[] = {
        DL_CALENDAR_HOUR, DL_CALENDAR_HOUR, DL_CALENDAR_DAY, DL_CALENDAR_MINUTE, DL_CALENDAR_MONTH};
    dl_calendar_frequency frequency = frequencies[draw(s, DL_COUNT_OF(frequencies))];
    unsigned interval = frequency == DL_CALENDAR_HOUR     ? 12 + (unsigned)draw(s, 30)
                        : frequency == DL_CALENDAR_MINUTE ? 700 + (unsigned)draw(s, 3000)
                        : frequency == DL_CALENDAR_DAY    ? 1 + (unsigned)draw(s, 3)
                                                          : 1;
    dl_factory_trigger t = tumbling(name, frequency, interval);
    t.start_us += (int64_t)draw(s, 30) * DAY_US + (int64_t)draw(s, 24) * HOUR_US;
    t.delay_us = (int64_t)draw(s, 2) * (int64_t)draw(s, 20) * HOUR_US;
    t.max_concurrency = chance(s, 60) ? 1 : 1 + (unsigned)draw(s, 5);
    t.retry_count = (unsigned)draw(s, 3);
    t.retry_interval_s = 30 + (unsigned)draw(s, 3600);
    if (chance(s, 20)) {
        t.end_us = t.start_us + (int64_t)draw(s, 60 * DAY_US) + HOUR_US;
    }
    if (upstream != NULL) {
        t.dependencies[t.dependency_count++] = (dl_factory_dependency){
            .trigger = dl_str_of(upstream->name),
            .offset_us = -(int64_t)draw(s, 2) * (int64_t)draw(s, 48) * HOUR_US,
            .size_us = (int64_t)draw(s, 2) * (1 + (int64_t)draw(s, 48)) * HOUR_US};
    } else if (frequency != DL_CALENDAR_MONTH && chance(s, 20)) {
        int64_t size_us = HOUR_US * (1 + (int64_t)draw(s, 24));
        t.dependencies[t.dependency_count++] = (dl_factory_dependency){
            .trigger = dl_str_of(name), .offset_us = -size_us, .size_us = size_us};
    }
    home_trigger(&s->h, &t);
    model_add_tumbling(&s->m, &t);
}

static void begin_seed(sim *s, uint64_t seed)
{
    *s = (sim){.seed = seed, .random = seed * 0x9e3779b97f4a7c15ULL + 1, .real_us = START_US};
    home_begin(&s->h);
    model_begin(&s->m, seed);
    home_pipeline(&s->h, "p");
    add_tumbling(s, "first", NULL);
    if (chance(s, 70)) {
        add_tumbling(s, "second", chance(s, 60) ? &s->m.triggers[0] : NULL);
    }
    if (chance(s, 50)) {
        int hour = (int)draw(s, 24);
        dl_factory_trigger t = daily(&s->h, "daily", hour);
        home_trigger(&s->h, &t);
        model_add_daily(&s->m, "daily", hour);
    }
    if (chance(s, 40)) {
        dl_factory_trigger t = {.name = DL_STR("change"),
                                .pipeline = DL_STR("p"),
                                .type = DL_FACTORY_ON_CHANGE,
                                .started = true,
                                .start_us = START_US,
                                .end_us = INT64_MAX,
                                .max_concurrency = 1,
                                .retry_interval_s = 30,
                                .quiet_us = (int64_t)draw(s, 2) * HOUR_US};
        home_trigger(&s->h, &t);
        model_add_change(&s->m, "change");
    }
    home_publish(&s->h);
    s->most_held = 1 + draw(s, HELD_LIMIT);
    s->fail_percent = (unsigned)draw(s, 35);
    s->horizon_us = START_US + (int64_t)(60 + draw(s, 60)) * DAY_US;
    TAP_TRUE(open_scheduler(s));
}

static void add_up(tally *all, const sim *s)
{
    all->claims += s->m.claims;
    all->successes += s->m.successes;
    all->crashes += s->tally.crashes;
    all->zombies += s->tally.zombies;
    for (size_t i = 0; i < s->m.trigger_count; i++) {
        for (size_t j = 0; j < s->m.triggers[i].window_count; j++) {
            all->windows += s->m.triggers[i].windows[j].state != MODEL_NONE;
            all->asks += s->m.triggers[i].windows[j].asks;
        }
    }
}

static void run_seed(uint64_t seed, tally *all)
{
    static sim s; /* too large for the stack */
    begin_seed(&s, seed);
    while (s.real_us < s.horizon_us && !s.m.failed) {
        act(&s);
    }
    if (!s.m.failed) {
        drain(&s);
    }
    if (!s.m.failed) {
        model_check(&s.m, s.h.factory, s.h.arena, s.seed % 3 != 0);
    }
    if (s.m.failed) {
        TAP_FAIL("seed %llu: %s", (unsigned long long)seed, s.m.complaint);
    }
    while (s.held_count > 0) {
        drop_held(&s, 0);
    }
    fault = (faults){.countdown = -1};
    add_up(all, &s);
    dl_scheduler_close(s.scheduler);
    model_end(&s.m);
    home_end(&s.h);
}

int main(int argc, char **argv)
{
    uint64_t first = 1, count = 1000;
    tally all = {0};
    dl_log_set_level(DL_LOG_OFF);
    if (argc > 1 && !dl_str_to_u64(dl_str_of(argv[1]), &first)) {
        return 2;
    }
    if (argc > 2 && !dl_str_to_u64(dl_str_of(argv[2]), &count)) {
        return 2;
    }
    for (uint64_t done = 0; done < count; done += 50) { /* a case for each fifty */
        char name[64];
        uint64_t some = count - done < 50 ? count - done : 50;
        (void)snprintf(name, sizeof name, "seeds %llu to %llu", (unsigned long long)(first + done),
                       (unsigned long long)(first + done + some - 1));
        TAP_ROW_BEGIN();
        for (uint64_t i = 0; i < some; i++) {
            run_seed(first + done + i, &all);
        }
        TAP_ROW_END(name);
    }
    printf("# %zu windows, %zu runs, %zu succeeded, %zu crashes, %zu late ends, %zu asked for\n",
           all.windows, all.claims, all.successes, all.crashes, all.zombies, all.asks);
    TAP_ROW_BEGIN(); /* or the seeds say nothing */
    TAP_TRUE(all.windows > 20 * count && all.crashes > count / 2 && all.asks > count);
    TAP_ROW_END("the seeds have windows, crashes and wishes");
    return tap_done();
}
