/* Runs beside others: cancelled, looked at, timed out; other programs and runs on the same lake. */
#include "work_rig.h"

#include "base/log.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

/* ---- stopping ---- */

typedef struct stopping {
    home *home;
    dl_cancel *cancel;
    bool seen;
} stopping;

/* When the feed waits and a batch was committed: then the run can go neither on nor back. */
static void *stop_when_hung(void *context)
{
    stopping *s = context;
    char path[256];
    (void)snprintf(path, sizeof path,
                   "%s/tables/dicom/instance/_delta_log/00000000000000000001.json",
                   s->home->folder);
    bool due = false;
    for (int i = 0; i < 60000 && !due; i++) {
        struct timespec pause = {.tv_nsec = 2000000};
        (void)nanosleep(&pause, NULL);
        (void)pthread_mutex_lock(&s->home->feed.lock);
        due = s->home->feed.hung && access(path, F_OK) == 0;
        (void)pthread_mutex_unlock(&s->home->feed.lock);
    }
    dl_cancel_ask(s->cancel);
    return NULL;
}

TAP_CASE(a_run_that_is_cancelled_leaves_what_was_committed)
{
    home h;
    home_begin(&h);
    h.feed.rows = 70000; /* a batch has 50,000 */
    h.feed.step_us = 1000;
    h.feed.hang_at = 34; /* pages of 2,000 rows: after the first batch */
    dl_cancel cancel = {0};
    stopping s = {.home = &h, .cancel = &cancel};
    pthread_t thread = 0;
    TAP_EQ_INT(pthread_create(&thread, NULL, stop_when_hung, &s), 0);
    dl_run what = window_run(&h, 0);
    dl_run run = run_it(&h, &what, &cancel);
    (void)pthread_join(thread, NULL);
    TAP_EQ_STR(dl_str_of(dl_run_status_text(run.status)), "Cancelled");
    TAP_TRUE(has(run.hint, "rerun"));
    int64_t committed = table_count(&run, "instance", "rowsIn");
    printf("# %lld rows were committed\n", (long long)committed);
    TAP_TRUE(committed > 0 && committed < 70000);
    TAP_TRUE(count_of(&run, "changes") <=
             committed); /* a change counts when all three tables have it */
    h.feed.hang_at = 0;
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 70000);
    TAP_EQ_INT(table_count(&run, "instance", "rowsIn"), 70000 - committed);
    TAP_EQ_INT(table_count(&run, "study", "rows"), 700);
    home_end(&h);
}

/* While the feed waits: the record follows within two seconds. */
static void *look_at_progress(void *context)
{
    stopping *s = context;
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    for (int i = 0; i < 1200; i++) {
        struct timespec pause = {.tv_nsec = 50000000};
        (void)nanosleep(&pause, NULL);
        dl_run *runs = NULL;
        size_t count = 0;
        dl_run_filter filter = {.by_status = true, .status = DL_RUN_IN_PROGRESS};
        if (dl_runs_list(s->home->factory, &filter, arena, &runs, &count, NULL) == DL_OK &&
            count == 1 && count_of(&runs[0], "attempts") == 1 &&
            has(runs[0].parameters, "StartTime")) {
            s->seen = true;
            break;
        }
    }
    dl_cancel_ask(s->cancel);
    return NULL;
}

TAP_CASE(progress_is_seen_while_a_run_goes_on)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    h.feed.hang_at = 2;
    dl_cancel cancel = {0};
    stopping s = {.home = &h, .cancel = &cancel};
    pthread_t thread = 0;
    TAP_EQ_INT(pthread_create(&thread, NULL, look_at_progress, &s), 0);
    dl_run what = window_run(&h, 0);
    dl_run run = run_it(&h, &what, &cancel);
    (void)pthread_join(thread, NULL);
    TAP_EQ_INT(run.status, DL_RUN_CANCELLED);
    TAP_TRUE(s.seen);
    home_end(&h);
}

TAP_CASE(a_timeout_is_a_failure)
{
    home h;
    home_begin(&h);
    dl_factory_pipeline p = make_pipeline("copy");
    p.timeout_s = 1;
    save_pipeline(&h, &p);
    publish(&h);
    h.feed.rows = 60;
    h.feed.hang_at = 1;
    dl_run run = run_hour(&h, 0);
    expect_failed(&run, "longer than its timeout of 1 s", "rerun");
    h.feed.hang_at = 0;
    p.timeout_s = 600;
    save_pipeline(&h, &p);
    publish(&h);
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    home_end(&h);
}

/* ---- lakes between runs ---- */

static size_t open_lakes(const home *h)
{
    size_t count = 0;
    for (size_t i = 0; i < h->work->kept_count; i++) {
        count += h->work->kept[i]->pipeline != NULL;
    }
    return count;
}

TAP_CASE(another_program_may_sync_between_runs)
{
    home h;
    home_begin(&h);
    h.feed.rows = 180;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(open_lakes(&h), 1);
    dl_factory_connection lake = {
        .name = DL_STR("lake"), .type = DL_FACTORY_LAKE, .url = DL_STR("home:")};
    dl_pipeline_options options = {.parameters = dl_pipeline_parameters_default(),
                                   .clock = dl_clock_system()};
    dl_store *store = NULL;
    dl_str folder;
    TAP_OK(dl_connection_lake(h.factory, &lake, &options.parameters, false, h.arena, &store,
                              &folder, &h.err),
           h.err);
    options.lake = store;
    options.state_folder = folder.ptr;
    dl_pipeline *other = NULL;
    dl_feed_source *source = NULL;
    dl_pipeline_counts counts;
    TAP_OK(dl_pipeline_open(&options, &other, &h.err), h.err);
    TAP_OK(open_feed(&h.feed, &source, &h.err), h.err);
    TAP_OK(dl_pipeline_sync(other, source, &counts, &h.err), h.err);
    TAP_EQ_INT(counts.changes, 120);
    dl_pipeline_close(other);
    dl_feed_source_close(source);
    dl_store_close(store);
    run = run_hour(&h, 2); /* all of it is there; the last once more, from a batch that is small */
    expect_succeeded(&run);
    dl_run what = hand_run("{\"StartTime\":\"2026-01-01T00:30:00Z\"}");
    run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_TRUE(count_of(&run, "changes") > 100);
    TAP_EQ_INT(count_of(&run, "rowsIn"), 0);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 180);
    home_end(&h);
}

TAP_CASE(so_many_lakes_stay_open)
{
    home h;
    home_begin(&h);
    h.feed.rows = 10;
    for (int i = 0; i <= DL_WORK_LAKE_LIMIT; i++) {
        char name[16];
        char container[16];
        (void)snprintf(name, sizeof name, "copy-%d", i);
        (void)snprintf(container, sizeof container, "c%d", i);
        dl_factory_pipeline p = make_pipeline(name);
        p.parameters[4].value = dl_str_of(container);
        save_pipeline(&h, &p);
        publish(&h);
        dl_run what = hand_run("");
        what.pipeline = dl_str_of(name);
        dl_run run = run_it(&h, &what, NULL);
        expect_succeeded(&run);
        TAP_EQ_INT(open_lakes(&h), i < DL_WORK_LAKE_LIMIT ? i + 1 : DL_WORK_LAKE_LIMIT);
    }
    home_end(&h);
}

TAP_CASE(a_changed_document_opens_anew)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    char folder[128];
    char path[256];
    (void)snprintf(folder, sizeof folder, "%s/elsewhere", h.folder);
    (void)snprintf(path, sizeof path, "%s/dicom/instance/_delta_log", folder);
    save_connection(&h, "lake", DL_FACTORY_LAKE, folder);
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(access(path, F_OK), 0);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    (void)snprintf(path, sizeof path, "%s/.dicomlake", folder);
    TAP_EQ_INT(access(path, F_OK), 0);
    home_end(&h);
}

typedef struct parallel {
    home *home;
    int64_t hour;
    dl_run run;
    dl_arena *arena;
} parallel;

static void *run_parallel(void *context)
{
    parallel *p = context;
    dl_scheduler_work ops_ = dl_work_ops(p->home->work);
    ops_.run(ops_.context, &p->run, p->arena, NULL);
    return NULL;
}

TAP_CASE(runs_on_one_lake_come_one_after_another)
{
    enum { RUNS = 6 };
    home h;
    home_begin(&h);
    h.feed.rows = 60LL * RUNS;
    parallel p[RUNS];
    pthread_t threads[RUNS];
    dl_factory_pipeline second = make_pipeline("second"); /* another pipeline, the same lake */
    save_pipeline(&h, &second);
    publish(&h);
    for (int i = 0; i < RUNS; i++) {
        p[i] =
            (parallel){.home = &h, .run = window_run(&h, i), .arena = dl_arena_create(ARENA_BYTES)};
        (void)snprintf(p[i].run.id, sizeof p[i].run.id, "00000000-0000-4000-8000-00000000000%d", i);
        p[i].run.pipeline = i % 2 == 0 ? DL_STR("copy") : DL_STR("second");
        TAP_EQ_INT(pthread_create(&threads[i], NULL, run_parallel, &p[i]), 0);
    }
    for (int i = 0; i < RUNS; i++) {
        (void)pthread_join(threads[i], NULL);
        expect_succeeded(&p[i].run);
        dl_arena_destroy(p[i].arena);
    }
    dl_run what = hand_run("");
    dl_run run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60 * RUNS);
    TAP_EQ_INT(table_count(&run, "series", "rows"), 6 * RUNS);
    home_end(&h);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF); /* a line a run */
    TAP_RUN(a_run_that_is_cancelled_leaves_what_was_committed);
    TAP_RUN(progress_is_seen_while_a_run_goes_on);
    TAP_RUN(a_timeout_is_a_failure);
    TAP_RUN(another_program_may_sync_between_runs);
    TAP_RUN(so_many_lakes_stay_open);
    TAP_RUN(a_changed_document_opens_anew);
    TAP_RUN(runs_on_one_lake_come_one_after_another);
    return tap_done();
}
