/* What runs do: windows, runs by hand, what an empty window costs, news of a feed. */
#include "work_rig.h"

#include "base/log.h"

#include <unistd.h>

/* ---- success ---- */

TAP_CASE(a_window_fills_three_tables)
{
    home h;
    home_begin(&h);
    h.feed.rows = 120; /* two hours */
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "changes"), 60);
    TAP_EQ_INT(count_of(&run, "inserted"), 60);
    TAP_EQ_INT(count_of(&run, "watermark"), 60);
    TAP_EQ_INT(count_of(&run, "rowsIn"), 60 + 6 + 1);
    TAP_EQ_INT(count_of(&run, "rowsOut"), 0);
    TAP_EQ_INT(count_of(&run, "attempts"), 1);
    TAP_TRUE(count_of(&run, "bytes") > 1000);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    TAP_EQ_INT(table_count(&run, "series", "rows"), 6);
    TAP_EQ_INT(table_count(&run, "study", "rows"), 1);
    TAP_TRUE(table_count(&run, "instance", "version") > 0);
    TAP_TRUE(has(run.parameters, "\"StartTime\":\"2026-01-01T00:00:00"));
    TAP_TRUE(has(run.parameters, "\"EndTime\":\"2026-01-01T01:00:00"));
    TAP_TRUE(has(run.parameters, "\"ContainerName\":\"dicom\""));
    static const char *const stages[] = {"open",   "read",  "fold",    "write",
                                         "commit", "state", "maintain"};
    for (size_t i = 0; i < DL_COUNT_OF(stages); i++) {
        char words[64];
        (void)snprintf(words, sizeof words, "{\"name\":\"%s\",\"milliseconds\":", stages[i]);
        TAP_TRUE(has(run.counts, words));
    }
    run = run_hour(&h, 1); /* counts are those of the run, not of the lake */
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "changes"), 60);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 120);
    TAP_EQ_INT(count_of(&run, "watermark"), 120);
    home_end(&h);
}

TAP_CASE(the_record_has_what_the_run_did)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 0);
    dl_run read = {0};
    TAP_OK(dl_runs_get(h.factory, dl_str_of(run.id), h.arena, &read, &h.err), h.err);
    TAP_EQ_INT(read.status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(count_of(&read, "changes"), 60);
    TAP_TRUE(has(read.parameters, "\"BatchSize\":\"200\""));
    dl_run_line *lines = NULL;
    size_t count = 0;
    int64_t last = 0;
    TAP_OK(dl_runs_lines(h.factory, dl_str_of(run.id), 0, h.arena, &lines, &count, &last, &h.err),
           h.err);
    TAP_EQ_INT(count, 1);
    TAP_TRUE(count == 1 && has(lines[0].text, "60 changes, 67 rows in, 0 out"));
    home_end(&h);
}

TAP_CASE(by_hand_with_parameters)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run what = hand_run("{\"ContainerName\":\"other\",\"BatchSize\":100}");
    dl_run run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_TRUE(has(run.parameters, "\"ContainerName\":\"other\""));
    TAP_TRUE(has(run.parameters, "\"BatchSize\":\"100\""));
    char path[256];
    (void)snprintf(path, sizeof path, "%s/tables/other/instance/_delta_log", h.folder);
    TAP_EQ_INT(access(path, F_OK), 0);
    dl_run again = hand_run("");
    again.parameters = run.parameters; /* a rerun takes what the run took */
    run = run_it(&h, &again, NULL);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    TAP_EQ_INT(count_of(&run, "changes"), 0);
    home_end(&h);
}

/* ---- what an empty window costs ---- */

TAP_CASE(an_empty_window_is_one_request)
{
    home h;
    home_begin(&h);
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    for (int hour = 1; hour < 10; hour++) {
        int64_t asked = h.feed.asked;
        run = run_hour(&h, hour);
        expect_succeeded(&run);
        TAP_EQ_INT(h.feed.asked - asked, 1);
        TAP_EQ_INT(count_of(&run, "requests"), 1);
        TAP_EQ_INT(count_of(&run, "changes"), 0);
        TAP_EQ_INT(count_of(&run, "rowsIn"), 0);
    }
    TAP_EQ_INT(h.feed.opened, 1);
    home_end(&h);
}

/* Where changes before the trigger's start are not in the tables, and stay out. */
TAP_CASE(an_empty_window_ahead_is_one_request)
{
    home h;
    home_begin(&h);
    h.feed.first_us = START_US - 1000 * HOUR_US;
    h.feed.rows = 60;
    dl_run run = run_hour(&h, 5);
    expect_succeeded(&run);
    for (int hour = 6; hour < 10; hour++) {
        int64_t asked = h.feed.asked;
        run = run_hour(&h, hour);
        expect_succeeded(&run);
        TAP_EQ_INT(h.feed.asked - asked, 1);
    }
    dl_run what = hand_run("{\"StartTime\":\"2025-01-01T00:00:00Z\"}"); /* fills the gap */
    run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    home_end(&h);
}

TAP_CASE(a_late_change_in_an_old_window_is_found)
{
    home h;
    home_begin(&h);
    for (int hour = 0; hour < 3; hour++) { /* an empty feed */
        dl_run run = run_hour(&h, hour);
        expect_succeeded(&run);
        TAP_EQ_INT(count_of(&run, "changes"), 0);
    }
    h.feed.first_us = START_US + 4 * HOUR_US;
    h.feed.rows = 30;
    dl_run run = run_hour(&h, 3);
    TAP_EQ_INT(count_of(&run, "changes"), 0);
    run = run_hour(&h, 4);
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "changes"), 30);
    TAP_EQ_INT(count_of(&run, "watermark"), 30);
    home_end(&h);
}

/* Each step is one window, one run and one request; bench/run runs measures a year of them. */
TAP_CASE(a_fortnight_of_hourly_windows)
{
    enum { HOURS = 14 * 24 };
    home h;
    home_begin(&h);
    dl_scheduler_options options = {.factory = h.factory, .work = dl_work_ops(h.work)};
    dl_scheduler *scheduler = NULL;
    TAP_OK(dl_scheduler_open(&options, &scheduler, &h.err), h.err);
    int64_t next_us = 0;
    dl_run_totals totals = {0};
    for (int hour = 1; hour <= HOURS; hour++) {
        h.now_us = START_US + hour * HOUR_US;
        TAP_OK(dl_scheduler_step(scheduler, &next_us, &h.err), h.err);
    }
    TAP_OK(dl_runs_totals(h.factory, DL_STR("copy"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], HOURS);
    TAP_EQ_INT(totals.by_status[DL_RUN_FAILED], 0);
    TAP_EQ_INT(h.feed.asked, HOURS);
    dl_scheduler_close(scheduler);
    home_end(&h);
}

/* ---- news ---- */

TAP_CASE(news_of_a_feed)
{
    home h;
    home_begin(&h);
    dl_scheduler_work o = dl_work_ops(h.work);
    int64_t sequence = -1;
    TAP_OK(o.newest(o.context, DL_STR("copy"), 0, 0, NULL, &sequence, &h.err), h.err);
    TAP_EQ_INT(sequence, 0);
    h.feed.rows = 7;
    TAP_OK(o.newest(o.context, DL_STR("copy"), 0, 5000, NULL, &sequence, &h.err), h.err);
    TAP_EQ_INT(sequence, 7);
    int64_t began_us = dl_clock_monotonic_us();
    TAP_OK(o.newest(o.context, DL_STR("copy"), 7, 200, NULL, &sequence, &h.err), h.err);
    TAP_EQ_INT(sequence, 7);
    TAP_TRUE(dl_clock_monotonic_us() - began_us >= 150000);
    TAP_EQ_INT(h.feed.opened, 1);
    sequence = -1;
    h.feed.fail_first = 1;
    h.feed.fail_with = DL_E_UNAVAILABLE;
    h.feed.fail_words = "down";
    TAP_STATUS(o.newest(o.context, DL_STR("copy"), 0, 0, NULL, &sequence, &h.err),
               DL_E_UNAVAILABLE);
    TAP_EQ_INT(sequence, -1);
    TAP_STATUS(o.newest(o.context, DL_STR("nowhere"), 0, 0, NULL, &sequence, &h.err),
               DL_E_NOT_FOUND);
    home_end(&h);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF); /* a line a run */
    TAP_RUN(a_window_fills_three_tables);
    TAP_RUN(the_record_has_what_the_run_did);
    TAP_RUN(by_hand_with_parameters);
    TAP_RUN(an_empty_window_is_one_request);
    TAP_RUN(an_empty_window_ahead_is_one_request);
    TAP_RUN(a_late_change_in_an_old_window_is_found);
    TAP_RUN(news_of_a_feed);
    TAP_RUN(a_fortnight_of_hourly_windows);
    return tap_done();
}
