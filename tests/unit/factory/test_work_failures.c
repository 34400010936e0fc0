/* Runs that fail: causes and hints, and what goes on when the source is back. */
#include "work_rig.h"

#include "base/log.h"

#include <errno.h>
#include <unistd.h>

/* ---- failures ---- */

TAP_CASE(failures_have_cause_and_hint)
{
    static const struct {
        const char *name;
        dl_status status;
        const char *words, *own_hint, *hint;
    } rows[] = {
        {"401", DL_E_DENIED, "GET /v2/changefeed: the service answers 401",
         "the service wants a token", "the service wants a token"},
        {"a source that is down", DL_E_UNAVAILABLE, "HTTP: Connection refused", NULL,
         "see that the service runs"},
        {"a feed of garbage", DL_E_INVALID, "row 3: no sequence", NULL, "mended"},
        {"rows too large", DL_E_LIMIT, "a page is too large", NULL, "BatchSize"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        home h;
        home_begin(&h);
        h.feed.rows = 60;
        h.feed.fail_first = 1;
        h.feed.fail_with = rows[i].status;
        h.feed.fail_words = rows[i].words;
        h.feed.fail_hint = rows[i].own_hint;
        dl_run run = run_hour(&h, 0);
        if (rows[i].status == DL_E_INVALID) { /* by the window before it: the first page of all */
            expect_failed(&run, rows[i].words, "");
        } else {
            expect_failed(&run, rows[i].words, rows[i].hint);
        }
        TAP_TRUE(run.hint.len > 0);
        TAP_EQ_INT(count_of(&run, "changes"), 0);
        run = run_hour(&h, 0); /* up again: the same window */
        expect_succeeded(&run);
        TAP_EQ_INT(count_of(&run, "changes"), 60);
        TAP_EQ_INT(h.feed.opened, 2); /* opened anew after a failure */
        home_end(&h);
        TAP_ROW_END(rows[i].name);
    }
}

/* Each window is tried again until the source is back, and then they come in their order. */
TAP_CASE(a_source_that_is_dead_for_a_day)
{
    enum { HOURS = 30 };
    home h;
    home_begin(&h);
    save_hourly(&h, "hourly", 100);
    publish(&h);
    h.feed.rows = 60LL * HOURS;
    h.feed.down_until_us = START_US + 25 * HOUR_US;
    h.feed.fail_with = DL_E_UNAVAILABLE;
    h.feed.fail_words = "HTTP: Connection refused";
    dl_scheduler_options options = {.factory = h.factory, .work = dl_work_ops(h.work)};
    dl_scheduler *scheduler = NULL;
    TAP_OK(dl_scheduler_open(&options, &scheduler, &h.err), h.err);
    int64_t next_us = 0;
    for (int quarter = 0; quarter < HOURS * 4; quarter++) {
        h.now_us = START_US + (quarter + 1) * HOUR_US / 4;
        TAP_OK(dl_scheduler_step(scheduler, &next_us, &h.err), h.err);
    }
    dl_run_window *windows = NULL;
    size_t count = 0;
    TAP_OK(dl_runs_windows(h.factory, DL_STR("hourly"), START_US, START_US + HOURS * HOUR_US, 100,
                           h.arena, &windows, &count, &h.err),
           h.err);
    TAP_EQ_INT(count, HOURS);
    for (size_t i = 0; i < count; i++) {
        TAP_EQ_INT(windows[i].status, DL_RUN_SUCCEEDED);
    }
    dl_run_totals totals = {0};
    TAP_OK(dl_runs_totals(h.factory, DL_STR("copy"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], HOURS);
    TAP_TRUE(totals.by_status[DL_RUN_FAILED] >= 24);
    TAP_EQ_INT(totals.changes, 60LL * HOURS);
    dl_scheduler_close(scheduler);
    home_end(&h);
}

TAP_CASE(the_activity_tries_again)
{
    home h;
    home_begin(&h);
    dl_factory_pipeline p = make_pipeline("copy");
    p.retry_count = 2;
    p.retry_interval_s = 1;
    save_pipeline(&h, &p);
    publish(&h);
    h.feed.rows = 60;
    h.feed.fail_first = 2;
    h.feed.fail_with = DL_E_UNAVAILABLE;
    h.feed.fail_words = "HTTP: Connection refused";
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(count_of(&run, "attempts"), 3);
    TAP_EQ_INT(count_of(&run, "changes"), 60);
    h.feed.fail_first = 3; /* one more than it bears */
    run = run_hour(&h, 1);
    expect_failed(&run, "Connection refused", "see that the service runs");
    TAP_EQ_INT(count_of(&run, "attempts"), 3);
    h.feed.fail_first = 1;
    h.feed.fail_with = DL_E_UNSUPPORTED; /* no use in trying again */
    run = run_hour(&h, 1);
    TAP_EQ_INT(run.status, DL_RUN_FAILED);
    TAP_EQ_INT(count_of(&run, "attempts"), 1);
    home_end(&h);
}

TAP_CASE(documents_that_are_gone)
{
    home h;
    home_begin(&h);
    dl_run unknown = hand_run("");
    unknown.pipeline = DL_STR("nowhere");
    dl_run run = run_it(&h, &unknown, NULL);
    expect_failed(&run, "nowhere", "");
    TAP_TRUE(run.hint.len > 0);
    char path[256]; /* somebody took the file away */
    (void)snprintf(path, sizeof path, "%s/config/factory/linkedService/hospital.json", h.folder);
    TAP_EQ_INT(unlink(path), 0);
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(h.factory, DL_FACTORY_WRITE, &db, &h.err), h.err);
    TAP_OK(dl_db_exec(db, "DELETE FROM published WHERE name = 'hospital'", &h.err), h.err);
    dl_factory_unlock(h.factory);
    run = run_hour(&h, 0);
    expect_failed(&run, "hospital", "connection");
    TAP_TRUE(has(run.cause, "opening the connections of pipeline copy"));
    home_end(&h);
}

TAP_CASE(parameters_that_are_wrong)
{
    static const struct {
        const char *name, *parameters, *cause;
    } rows[] = {
        {"an unknown one", "{\"Colour\":\"red\"}", "Colour"},
        {"no number", "{\"BatchSize\":\"many\"}", "BatchSize"},
        {"end before start",
         "{\"StartTime\":\"2026-01-02T00:00:00Z\",\"EndTime\":\"2026-01-01T00:00:00Z\"}",
         "EndTime is not later"},
        {"short retention", "{\"RetentionHours\":167}", "RetentionHours"},
    };
    home h;
    home_begin(&h);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_run what = hand_run(rows[i].parameters);
        dl_run run = run_it(&h, &what, NULL);
        expect_failed(&run, rows[i].cause, "");
        TAP_TRUE(run.hint.len > 0);
        TAP_EQ_INT(h.feed.asked, 0);
        TAP_ROW_END(rows[i].name);
    }
    dl_run what = hand_run("{\"RetentionHours\":168}"); /* the bound itself */
    dl_run run = run_it(&h, &what, NULL);
    expect_succeeded(&run);
    home_end(&h);
}

TAP_CASE(a_lake_that_is_taken_away_is_told)
{
    home h;
    home_begin(&h);
    h.feed.rows = 180;
    dl_run run = run_hour(&h, 0);
    expect_succeeded(&run);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/tables/dicom", h.folder);
    folder_remove(path);
    run = run_hour(&h, 1);
    expect_failed(&run, "table instance was taken away or replaced", "backfill");
    run = run_hour(&h, 1); /* new tables: what a person asks for after that */
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 60);
    TAP_TRUE(table_count(&run, "instance", "version") >= 0);
    run = run_hour(&h, 0);
    expect_succeeded(&run);
    TAP_EQ_INT(table_count(&run, "instance", "rows"), 120);
    home_end(&h);
}

/* ---- hints ---- */

TAP_CASE(each_status_has_a_hint)
{
    const char *seen[DL_E_NOMEM + 1];
    for (int status = DL_OK; status <= DL_E_NOMEM; status++) {
        dl_error err = {.status = (dl_status)status};
        seen[status] = dl_work_hint(&err);
        TAP_TRUE(strlen(seen[status]) > 10);
        TAP_TRUE(strlen(seen[status]) < sizeof err.hint);
        for (int other = DL_OK; other < status; other++) {
            if (strcmp(seen[status], seen[other]) == 0) {
                TAP_FAIL("%s and %s have one hint", dl_status_name((dl_status)status),
                         dl_status_name((dl_status)other));
            }
        }
    }
}

TAP_CASE(known_causes_have_hints_of_their_own)
{
    static const struct {
        const char *name;
        dl_status status;
        int os_code;
        const char *message, *own, *want;
    } rows[] = {
        {"full disk", DL_E_IO, ENOSPC, "cannot write", NULL, "disk is full"},
        {"full disk, by SQLite", DL_E_IO, 13, "database or disk is full", NULL, "disk is full"},
        {"quota", DL_E_IO, EDQUOT, "cannot write", NULL, "quota"},
        {"read-only", DL_E_IO, EROFS, "cannot write", NULL, "read-only"},
        {"no right", DL_E_IO, EACCES, "cannot make the folder", NULL, "right to write"},
        {"not allowed", DL_E_IO, EPERM, "cannot make the folder", NULL, "right to write"},
        {"a file in the path", DL_E_IO, ENOTDIR, "cannot make the folder", NULL, "is a file"},
        {"files", DL_E_IO, EMFILE, "cannot open", NULL, "ulimit"},
        {"another sync", DL_E_UNAVAILABLE, 0, "another sync works on this lake",
         "wait for it, or give --wait SECONDS", "another program syncs"},
        {"lake gone", DL_E_NOT_FOUND, 0, "table instance was taken away or replaced", NULL,
         "backfill"},
        {"retention", DL_E_INVALID, 0, "parameters: RetentionHours 5 is below 168",
         "--allow-short-retention insists", "168 or more"},
        {"no connection", DL_E_NOT_FOUND, 0, "no x; while opening the connections of pipeline p",
         "publish", "connection add"},
        {"no such host", DL_E_UNAVAILABLE, 0, "HTTP: Could not resolve host: x.invalid", NULL,
         "host's name"},
        {"its own", DL_E_CONFLICT, 0, "anything", "do this", "do this"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {.status = rows[i].status, .os_code = rows[i].os_code};
        (void)snprintf(err.message, sizeof err.message, "%s", rows[i].message);
        (void)snprintf(err.hint, sizeof err.hint, "%s", rows[i].own == NULL ? "" : rows[i].own);
        if (!has(dl_str_of(dl_work_hint(&err)), rows[i].want)) {
            TAP_FAIL("the hint is '%s'", dl_work_hint(&err));
        }
        TAP_ROW_END(rows[i].name);
    }
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF); /* a line a run */
    failures_have_cause_and_hint();
    TAP_RUN(a_source_that_is_dead_for_a_day);
    TAP_RUN(the_activity_tries_again);
    TAP_RUN(documents_that_are_gone);
    parameters_that_are_wrong();
    TAP_RUN(a_lake_that_is_taken_away_is_told);
    TAP_RUN(each_status_has_a_hint);
    known_causes_have_hints_of_their_own();
    return tap_done();
}
