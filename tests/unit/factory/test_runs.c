#include "schedule_fixture.h"

#include "base/log.h"
#include "base/mem.h"

static dl_run by_hand(const char *pipeline)
{
    return (dl_run){.pipeline = dl_str_of(pipeline), .trigger_type = DL_FACTORY_MANUAL};
}

static dl_run of_window(const char *trigger, int64_t start_us)
{
    return (dl_run){.pipeline = DL_STR("p"),
                    .trigger = dl_str_of(trigger),
                    .trigger_type = DL_FACTORY_TUMBLING,
                    .has_window = true,
                    .window_start_us = start_us,
                    .window_end_us = start_us + HOUR_US};
}

static dl_run queue(home *h, dl_run run)
{
    TAP_OK(dl_runs_queue(h->factory, &run, &h->err), h->err);
    return run;
}

static dl_run claim(home *h)
{
    dl_run run = {0};
    bool found = false;
    TAP_OK(dl_runs_claim(h->factory, h->arena, NULL, NULL, &run, &found, &h->err), h->err);
    TAP_TRUE(found);
    return run;
}

static void end_as(home *h, dl_run run, dl_run_status status)
{
    run.status = status;
    run.cause = status == DL_RUN_FAILED ? DL_STR("it broke") : DL_STR_NONE;
    TAP_OK(dl_runs_end(h->factory, &run, &h->err), h->err);
}

static dl_run get(home *h, const char *id)
{
    dl_run run = {0};
    TAP_OK(dl_runs_get(h->factory, dl_str_of(id), h->arena, &run, &h->err), h->err);
    return run;
}

TAP_CASE(words_of_a_status)
{
    for (int i = 0; i < 5; i++) {
        dl_run_status status = DL_RUN_QUEUED;
        TAP_TRUE(dl_run_status_of(dl_str_of(dl_run_status_text((dl_run_status)i)), &status));
        TAP_EQ_INT(status, i);
    }
    dl_run_status status = DL_RUN_FAILED;
    TAP_TRUE(dl_run_status_of(DL_STR("inprogress"), &status));
    TAP_EQ_INT(status, DL_RUN_IN_PROGRESS);
    TAP_TRUE(!dl_run_status_of(DL_STR("Running"), &status));
    TAP_EQ_INT(status, DL_RUN_IN_PROGRESS);
}

TAP_CASE(a_run_goes_from_the_queue_to_its_end)
{
    home h;
    home_begin(&h);
    dl_run run = by_hand("p");
    run.parameters = DL_STR("{\"BatchSize\":\"7\"}");
    run = queue(&h, run);
    TAP_EQ_INT(strlen(run.id), DL_FACTORY_RUN_ID_SIZE - 1);
    TAP_TRUE(run.id[14] == '4' && strcmp(run.id, run.group_id) == 0);
    TAP_EQ_INT(run.attempt, 1);
    TAP_EQ_INT(run.queued_us, h.now_us);
    h.now_us += 10;
    dl_run claimed = claim(&h);
    TAP_EQ_STR(dl_str_of(claimed.id), run.id);
    TAP_EQ_INT(claimed.status, DL_RUN_IN_PROGRESS);
    TAP_EQ_STR(claimed.parameters, "{\"BatchSize\":\"7\"}");
    claimed.counts = DL_STR("{\"changes\":1}");
    TAP_OK(dl_runs_progress(h.factory, &claimed, &h.err), h.err);
    TAP_EQ_STR(get(&h, run.id).counts, "{\"changes\":1}");
    bool found = true;
    TAP_OK(dl_runs_claim(h.factory, h.arena, NULL, NULL, &run, &found, &h.err), h.err);
    TAP_TRUE(!found);
    h.now_us += 10;
    claimed.status = DL_RUN_FAILED;
    claimed.cause = DL_STR("it broke");
    claimed.hint = DL_STR("mend it");
    TAP_OK(dl_runs_end(h.factory, &claimed, &h.err), h.err);
    dl_run ended = get(&h, claimed.id);
    TAP_EQ_INT(ended.status, DL_RUN_FAILED);
    TAP_EQ_INT(ended.started_us, START_US + 10);
    TAP_EQ_INT(ended.ended_us, START_US + 20);
    TAP_EQ_STR(ended.cause, "it broke");
    TAP_EQ_STR(ended.hint, "mend it");
    TAP_STATUS(dl_runs_end(h.factory, &claimed, &h.err), DL_E_CONFLICT);
    TAP_STATUS(dl_runs_progress(h.factory, &claimed, &h.err), DL_E_CONFLICT);
    claimed.status = DL_RUN_QUEUED;
    TAP_STATUS(dl_runs_end(h.factory, &claimed, &h.err), DL_E_INVALID);
    home_end(&h);
}

static bool only_second(void *context, const dl_run *run)
{
    return dl_str_eq(run->pipeline, dl_str_of(context));
}

TAP_CASE(the_oldest_with_room_that_is_due_is_claimed)
{
    home h;
    home_begin(&h);
    dl_run later = by_hand("p");
    later.not_before_us = h.now_us + HOUR_US;
    (void)queue(&h, later);
    (void)queue(&h, by_hand("first"));
    dl_run second = queue(&h, by_hand("second"));
    (void)queue(&h, by_hand("second"));
    dl_run run = {0};
    bool found = false;
    char name[] = "second";
    TAP_OK(dl_runs_claim(h.factory, h.arena, only_second, name, &run, &found, &h.err), h.err);
    TAP_TRUE(found);
    TAP_EQ_STR(dl_str_of(run.id), second.id);
    TAP_EQ_STR(claim(&h).pipeline, "first");
    TAP_EQ_STR(claim(&h).pipeline, "second");
    TAP_OK(dl_runs_claim(h.factory, h.arena, NULL, NULL, &run, &found, &h.err), h.err);
    TAP_TRUE(!found); /* not before its hour */
    h.now_us += HOUR_US - 1;
    TAP_OK(dl_runs_claim(h.factory, h.arena, NULL, NULL, &run, &found, &h.err), h.err);
    TAP_TRUE(!found);
    h.now_us++;
    TAP_EQ_STR(claim(&h).pipeline, "p");
    later.not_before_us = h.now_us + HOUR_US;
    (void)queue(&h, later);
    h.now_us -= 2 * HOUR_US; /* the clock went back behind the queueing: it does not wait longer */
    TAP_EQ_STR(claim(&h).pipeline, "p");
    home_end(&h);
}

TAP_CASE(ids_by_their_beginning)
{
    home h;
    home_begin(&h);
    dl_run run = queue(&h, by_hand("p"));
    char id[DL_FACTORY_RUN_ID_SIZE + 1];
    dl_run got = {0};
    (void)snprintf(id, sizeof id, "%.6s", run.id);
    TAP_EQ_STR(dl_str_of(get(&h, id).id), run.id);
    (void)snprintf(id, sizeof id, "%.35s", run.id);
    TAP_EQ_STR(dl_str_of(get(&h, id).id), run.id);
    id[0] = (char)(id[0] >= 'a' ? id[0] - 'a' + 'A' : id[0]);
    TAP_EQ_STR(dl_str_of(get(&h, id).id), run.id);
    static const char *const none[] = {"", "12345", "zzzzzz", "ffffff%", "00000000-0000", "' OR 1"};
    for (size_t i = 0; i < DL_COUNT_OF(none); i++) {
        TAP_STATUS(dl_runs_get(h.factory, dl_str_of(none[i]), h.arena, &got, &h.err),
                   DL_E_NOT_FOUND);
        TAP_TRUE(h.err.hint[0] != '\0');
    }
    (void)snprintf(id, sizeof id, "%s0", run.id);
    TAP_STATUS(dl_runs_get(h.factory, dl_str_of(id), h.arena, &got, &h.err), DL_E_NOT_FOUND);
    /* 7000 ids: two of them begin with the same six digits almost surely (birthday, p > 0.7) or
     * not; what must hold is that a beginning of two is refused and the whole id always works */
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(h.factory, DL_FACTORY_WRITE, &db, &h.err), h.err);
    TAP_OK(dl_db_exec(db,
                      "UPDATE run SET id = 'abcdef00-0000-4000-8000-000000000001';"
                      "INSERT INTO run(id, group_id, pipeline, trigger, type, scheduled_us,"
                      " queued_us, not_before_us, status, attempt, retry, asked, newest)"
                      " VALUES('abcdef00-0000-4000-8000-000000000002', '', 'p', '', 2, 0, 0, 0, 0,"
                      " 1, 0, 1, 0)",
                      &h.err),
           h.err);
    dl_factory_unlock(h.factory);
    TAP_STATUS(dl_runs_get(h.factory, DL_STR("abcdef00"), h.arena, &got, &h.err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(h.err.message, "more than one") != NULL);
    TAP_EQ_STR(dl_str_of(get(&h, "abcdef00-0000-4000-8000-000000000002").id),
               "abcdef00-0000-4000-8000-000000000002");
    home_end(&h);
}

TAP_CASE(cancel_and_rerun)
{
    home h;
    home_begin(&h);
    char id[DL_FACTORY_RUN_ID_SIZE] = "untouched";
    dl_run run = queue(&h, by_hand("p"));
    TAP_STATUS(dl_runs_rerun(h.factory, dl_str_of(run.id), id, &h.err), DL_E_CONFLICT);
    TAP_OK(dl_runs_cancel(h.factory, dl_str_of(run.id), &h.err), h.err);
    TAP_EQ_INT(get(&h, run.id).status, DL_RUN_CANCELLED);
    TAP_TRUE(get(&h, run.id).cause.len > 0);
    TAP_STATUS(dl_runs_cancel(h.factory, dl_str_of(run.id), &h.err), DL_E_CONFLICT);
    run = queue(&h, by_hand("p"));
    run = claim(&h);
    TAP_OK(dl_runs_cancel(h.factory, dl_str_of(run.id), &h.err), h.err);
    TAP_EQ_INT(get(&h, run.id).status, DL_RUN_IN_PROGRESS);
    TAP_TRUE(get(&h, run.id).cancel_asked);
    TAP_STATUS(dl_runs_rerun(h.factory, dl_str_of(run.id), id, &h.err), DL_E_CONFLICT);
    TAP_EQ_STR(dl_str_of(id), "untouched");
    run.parameters = DL_STR("{\"BatchSize\":\"9\"}");
    end_as(&h, run, DL_RUN_CANCELLED);
    TAP_OK(dl_runs_rerun(h.factory, dl_str_of(run.id), id, &h.err), h.err);
    dl_run again = get(&h, id);
    TAP_EQ_STR(dl_str_of(again.group_id), run.group_id);
    TAP_EQ_INT(again.attempt, 2);
    TAP_EQ_STR(again.parameters, "{\"BatchSize\":\"9\"}");
    TAP_EQ_STR(again.cause, "");
    TAP_TRUE(!again.cancel_asked);
    TAP_STATUS(dl_runs_cancel(h.factory, DL_STR("00000000"), &h.err), DL_E_NOT_FOUND);
    TAP_STATUS(dl_runs_rerun(h.factory, DL_STR("00000000"), id, &h.err), DL_E_NOT_FOUND);
    home_end(&h);
}

TAP_CASE(a_window_follows_its_newest_run)
{
    home h;
    home_begin(&h);
    dl_run_window *windows = NULL;
    size_t count = 0;
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_run first = queue(&h, of_window("t", START_US));
    (void)claim(&h);
    TAP_OK(dl_runs_windows(h.factory, DL_STR("T"), 0, 0, 0, h.arena, &windows, &count, &h.err),
           h.err);
    TAP_EQ_INT(count, 1);
    TAP_EQ_INT(windows[0].status, DL_RUN_IN_PROGRESS);
    end_as(&h, first, DL_RUN_FAILED);
    TAP_OK(dl_runs_rerun(h.factory, dl_str_of(first.id), id, &h.err), h.err);
    TAP_STATUS(dl_runs_rerun(h.factory, dl_str_of(first.id), id, &h.err), DL_E_CONFLICT);
    dl_run second = claim(&h);
    TAP_EQ_STR(dl_str_of(second.group_id), first.group_id);
    end_as(&h, second, DL_RUN_SUCCEEDED);
    TAP_OK(dl_runs_windows(h.factory, DL_STR("t"), 0, 0, 0, h.arena, &windows, &count, &h.err),
           h.err);
    TAP_EQ_INT(windows[0].status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(windows[0].attempts, 2);
    TAP_EQ_STR(dl_str_of(windows[0].run_id), second.id);
    TAP_OK(dl_runs_windows(h.factory, DL_STR("t"), START_US + 1, 0, 0, h.arena, &windows, &count,
                           &h.err),
           h.err);
    TAP_EQ_INT(count, 0);
    TAP_OK(dl_runs_windows(h.factory, DL_STR("t"), 0, START_US + 1, DL_RUN_LIST_LIMIT, h.arena,
                           &windows, &count, &h.err),
           h.err);
    TAP_EQ_INT(count, 1);
    TAP_STATUS(dl_runs_windows(h.factory, DL_STR("t"), 0, 0, DL_RUN_LIST_LIMIT + 1, h.arena,
                               &windows, &count, &h.err),
               DL_E_INVALID);
    home_end(&h);
}

/* ---- lists ---- */

enum { LISTED = 60 };

static void fill_list(home *h)
{
    static const dl_run_status ends[] = {DL_RUN_SUCCEEDED, DL_RUN_FAILED, DL_RUN_CANCELLED};
    for (int i = 0; i < LISTED; i++) {
        h->now_us = START_US + i / 4; /* several at the same time */
        dl_run run = i % 3 == 0 ? of_window(i % 2 == 0 ? "t0" : "t1", START_US + i * HOUR_US)
                                : by_hand(i % 2 == 0 ? "p0" : "p1");
        run = queue(h, run);
        (void)claim(h);
        if (i % 4 != 3) {
            end_as(h, run, ends[i % 4]);
        }
    }
}

static bool matches(const dl_run_filter *f, const dl_run *r)
{
    return (f->from_us == 0 || r->queued_us >= f->from_us) &&
           (f->to_us == 0 || r->queued_us < f->to_us) &&
           (!f->by_status || r->status == f->status) &&
           (f->pipeline.len == 0 || dl_str_eq(f->pipeline, r->pipeline)) &&
           (f->trigger.len == 0 || dl_str_eq(f->trigger, r->trigger)) &&
           (f->group_id.len == 0 || dl_str_eq(f->group_id, dl_str_of(r->group_id)));
}

/* All pages of a filter against all runs, looked through one by one. */
static void check_filter(home *h, dl_run_filter f, const dl_run *all, size_t all_count)
{
    size_t at = 0, count = 1;
    for (dl_run *page = NULL; count > 0;) {
        TAP_OK(dl_runs_list(h->factory, &f, h->arena, &page, &count, &h->err), h->err);
        for (size_t i = 0; i < count; i++, at++) {
            while (at < all_count && !matches(&f, &all[at])) {
                at++;
            }
            TAP_TRUE(at < all_count && strcmp(all[at].id, page[i].id) == 0);
        }
        if (count > 0) {
            f.after = (dl_str){page[count - 1].id, DL_FACTORY_RUN_ID_SIZE - 1};
        }
    }
    while (at < all_count) {
        TAP_TRUE(!matches(&f, &all[at++]));
    }
}

TAP_CASE(lists_by_every_filter_page_by_page)
{
    home h;
    home_begin(&h);
    fill_list(&h);
    dl_run *all = NULL;
    size_t count = 0;
    dl_run_filter everything = {.limit = DL_RUN_LIST_LIMIT};
    TAP_OK(dl_runs_list(h.factory, &everything, h.arena, &all, &count, &h.err), h.err);
    TAP_EQ_INT(count, LISTED);
    for (size_t i = 1; i < count; i++) {
        TAP_TRUE(all[i].queued_us <= all[i - 1].queued_us);
    }
    static const char *const pipelines[] = {"", "p0", "p", "none"}, *const triggers[] = {"", "t1"};
    for (unsigned mask = 0; mask < 4 * 2 * 6 * 4 * 2; mask++) {
        unsigned times = mask / 8 / 6 % 4, status = mask / 8 % 6;
        dl_run_filter f = {.pipeline = dl_str_of(pipelines[mask % 4]),
                           .trigger = dl_str_of(triggers[mask / 4 % 2]),
                           .by_status = status > 0,
                           .status = status > 0 ? (dl_run_status)(status - 1) : DL_RUN_QUEUED,
                           .from_us = (times & 1) != 0 ? START_US + 3 : 0,
                           .to_us = (times & 2) != 0 ? START_US + 9 : 0,
                           .group_id = mask / 192 == 1 ? dl_str_of(all[30].group_id) : DL_STR_NONE,
                           .limit = 7};
        check_filter(&h, f, all, count);
    }
    dl_run *page = NULL;
    dl_run_filter f = {.limit = DL_RUN_LIST_LIMIT + 1};
    TAP_STATUS(dl_runs_list(h.factory, &f, h.arena, &page, &count, &h.err), DL_E_INVALID);
    f = (dl_run_filter){.after = DL_STR("00000000")};
    TAP_STATUS(dl_runs_list(h.factory, &f, h.arena, &page, &count, &h.err), DL_E_NOT_FOUND);
    TAP_TRUE(page == NULL);
    home_end(&h);
}

/* Every statement that has been used: none reads a whole table, none sorts. The few tables of a
 * row for each trigger or pipeline may be read whole. */
static void check_plans(dl_db *db)
{
    static const char *const small[] = {"run_total", "trigger_place", "published", "revision"};
    for (size_t i = 0; dl_db_statement_sql(db, i) != NULL; i++) {
        char sql[4096];
        (void)snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", dl_db_statement_sql(db, i));
        dl_db_stmt *q = NULL;
        if (strncmp(dl_db_statement_sql(db, i), "PRAGMA", 6) == 0 ||
            strncmp(dl_db_statement_sql(db, i), "EXPLAIN", 7) == 0) {
            continue;
        }
        TAP_STATUS(dl_db_query_text(db, dl_str_of(sql), &q, NULL), DL_OK);
        while (dl_db_step(q)) {
            char plan[512];
            bool fine = true;
            (void)dl_str_copy(dl_db_str(q, 3), plan, sizeof plan);
            if (strncmp(plan, "SCAN", 4) == 0) {
                fine = strstr(plan, "INDEX run_waits") != NULL || /* the queue itself */
                       strstr(plan, "CONSTANT ROW") != NULL ||
                       (strstr(plan, "INDEX run_queued") != NULL && strstr(sql, "LIMIT") != NULL);
                for (size_t j = 0; j < DL_COUNT_OF(small); j++) {
                    size_t len = strlen(small[j]);
                    fine = fine || strncmp(plan + 5, small[j], len) == 0 ||
                           (strstr(sql, small[j]) != NULL && strncmp(plan, "SCAN p", 6) == 0 &&
                            (plan[6] == '\0' || plan[6] == ' '));
                }
            }
            fine = fine && strstr(plan, "TEMP B-TREE") == NULL;
            if (!fine) {
                TAP_FAIL("%s: %s", plan, sql);
            }
        }
        TAP_STATUS(dl_db_finish(q, NULL), DL_OK);
    }
}

TAP_CASE(no_statement_reads_more_than_it_needs)
{
    home h;
    home_begin(&h);
    fill_list(&h);
    dl_run *page = NULL;
    size_t count = 0;
    static const char *const some[] = {"", "x"};
    for (unsigned mask = 0; mask < 32; mask++) {
        dl_run first = get(&h, queue(&h, by_hand("p")).id);
        dl_run_filter f = {.pipeline = dl_str_of(some[mask & 1]),
                           .trigger = dl_str_of(some[mask >> 1 & 1]),
                           .group_id = dl_str_of(some[mask >> 2 & 1]),
                           .by_status = (mask >> 3 & 1) != 0,
                           .after = (mask >> 4 & 1) != 0 ? dl_str_of(first.id) : DL_STR_NONE};
        TAP_OK(dl_runs_list(h.factory, &f, h.arena, &page, &count, &h.err), h.err);
        dl_db *db = NULL;
        TAP_OK(dl_factory_lock(h.factory, DL_FACTORY_WRITE, &db, &h.err), h.err);
        check_plans(db); /* made at run time, kept for a short while only */
        dl_factory_unlock(h.factory);
    }
    size_t pruned = 0;
    TAP_OK(dl_runs_prune(h.factory, START_US, &pruned, &h.err), h.err);
    dl_run_totals totals;
    TAP_OK(dl_runs_totals(h.factory, DL_STR_NONE, &totals, &h.err), h.err);
    TAP_OK(dl_runs_totals(h.factory, DL_STR("p"), &totals, &h.err), h.err);
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(h.factory, DL_FACTORY_WRITE, &db, &h.err), h.err);
    check_plans(db);
    dl_factory_unlock(h.factory);
    home_end(&h);
}

/* ---- logs, totals, age ---- */

TAP_CASE(log_lines_in_pages_up_to_their_limit)
{
    home h;
    home_begin(&h);
    dl_run run = queue(&h, by_hand("p"));
    char text[DL_RUN_LINE_LIMIT_BYTES + 2];
    memset(text, 'x', sizeof text);
    text[DL_RUN_LINE_LIMIT_BYTES - 1] = (char)0xc3; /* a character across the bound */
    text[DL_RUN_LINE_LIMIT_BYTES] = (char)0xa4;
    dl_str id = dl_str_of(run.id);
    TAP_OK(dl_runs_log(h.factory, id, "info", (dl_str){text, DL_RUN_LINE_LIMIT_BYTES + 1}, &h.err),
           h.err);
    TAP_OK(dl_runs_log(h.factory, id, "warn", (dl_str){text, DL_RUN_LINE_LIMIT_BYTES - 1}, &h.err),
           h.err);
    for (int i = 3; i < DL_RUN_LINE_LIMIT + 5; i++) {
        TAP_OK(dl_runs_log(h.factory, id, "info", DL_STR("more"), &h.err), h.err);
    }
    dl_run_line *lines = NULL;
    size_t count = 1, all = 0;
    for (int64_t after = 0; count > 0; all += count) {
        TAP_OK(dl_runs_lines(h.factory, id, after, h.arena, &lines, &count, &after, &h.err), h.err);
        TAP_TRUE(count == 0 || count == DL_RUN_LINES_PAGE);
        if (after == DL_RUN_LINES_PAGE) {
            TAP_EQ_INT(lines[0].text.len, DL_RUN_LINE_LIMIT_BYTES - 1);
            TAP_EQ_STR(lines[1].level, "warn");
            TAP_EQ_INT(lines[1].text.len, DL_RUN_LINE_LIMIT_BYTES - 1);
        } else if (after == DL_RUN_LINE_LIMIT && count > 0) {
            TAP_EQ_STR(lines[count - 1].text, "there were more lines, which are left out");
        }
    }
    TAP_EQ_INT(all, DL_RUN_LINE_LIMIT);
    TAP_STATUS(dl_runs_log(h.factory, DL_STR("none"), "info", DL_STR("x"), &h.err), DL_E_NOT_FOUND);
    home_end(&h);
}

TAP_CASE(texts_have_a_limit)
{
    home h;
    home_begin(&h);
    char *text = dl_mem_zalloc(1, DL_RUN_TEXT_LIMIT_BYTES + 1);
    memset(text, ' ', DL_RUN_TEXT_LIMIT_BYTES + 1);
    dl_run run = by_hand("p");
    run.parameters = (dl_str){text, DL_RUN_TEXT_LIMIT_BYTES + 1};
    TAP_STATUS(dl_runs_queue(h.factory, &run, &h.err), DL_E_LIMIT);
    TAP_TRUE(run.id[0] == '\0');
    run.parameters.len--;
    run = queue(&h, run);
    run = claim(&h);
    run.counts = (dl_str){text, DL_RUN_TEXT_LIMIT_BYTES + 1};
    TAP_STATUS(dl_runs_progress(h.factory, &run, &h.err), DL_E_LIMIT);
    run.counts.len--;
    TAP_OK(dl_runs_progress(h.factory, &run, &h.err), h.err);
    dl_mem_free(text);
    home_end(&h);
}

TAP_CASE(old_runs_go_the_newest_of_a_window_stays)
{
    home h;
    home_begin(&h);
    char id[DL_FACTORY_RUN_ID_SIZE];
    dl_run first = queue(&h, of_window("t", START_US));
    TAP_OK(dl_runs_log(h.factory, dl_str_of(first.id), "info", DL_STR("x"), &h.err), h.err);
    end_as(&h, claim(&h), DL_RUN_FAILED);
    TAP_OK(dl_runs_rerun(h.factory, dl_str_of(first.id), id, &h.err), h.err);
    end_as(&h, claim(&h), DL_RUN_SUCCEEDED);
    dl_run hand = queue(&h, by_hand("p"));
    end_as(&h, claim(&h), DL_RUN_SUCCEEDED);
    dl_run waits = queue(&h, by_hand("p"));
    size_t count = 7;
    TAP_OK(dl_runs_prune(h.factory, h.now_us, &count, &h.err), h.err);
    TAP_EQ_INT(count, 0); /* not before its moment */
    TAP_OK(dl_runs_prune(h.factory, h.now_us + 1, &count, &h.err), h.err);
    TAP_EQ_INT(count, 2);
    dl_run got = {0};
    TAP_STATUS(dl_runs_get(h.factory, dl_str_of(first.id), h.arena, &got, &h.err), DL_E_NOT_FOUND);
    TAP_STATUS(dl_runs_get(h.factory, dl_str_of(hand.id), h.arena, &got, &h.err), DL_E_NOT_FOUND);
    TAP_EQ_INT(get(&h, id).status, DL_RUN_SUCCEEDED);
    TAP_EQ_INT(get(&h, waits.id).status, DL_RUN_QUEUED);
    dl_db *db = NULL;
    TAP_OK(dl_factory_lock(h.factory, DL_FACTORY_WRITE, &db, &h.err), h.err);
    dl_db_stmt *q = NULL;
    TAP_OK(dl_db_query(db, "SELECT count(*) FROM run_line", &q, &h.err), h.err);
    TAP_TRUE(dl_db_step(q) && dl_db_int(q, 0) == 0);
    TAP_OK(dl_db_finish(q, &h.err), h.err);
    dl_factory_unlock(h.factory);
    dl_run_totals totals;
    TAP_OK(dl_runs_totals(h.factory, DL_STR_NONE, &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], 2); /* counters never go down */
    TAP_EQ_INT(totals.by_status[DL_RUN_FAILED], 1);
    TAP_EQ_INT(totals.by_status[DL_RUN_QUEUED], 1);
    home_end(&h);
}

TAP_CASE(totals_take_no_nonsense)
{
    home h;
    home_begin(&h);
    static const char *const counts[] = {"",
                                         "nonsense",
                                         "[1]",
                                         "{\"changes\":-5}",
                                         "{\"changes\":\"7\"}",
                                         "{\"changes\":3,\"rowsIn\":4}"};
    for (size_t i = 0; i < DL_COUNT_OF(counts); i++) {
        (void)queue(&h, by_hand("p"));
        dl_run run = claim(&h);
        run.counts = dl_str_of(counts[i]);
        h.now_us -= SIZE_MAX > 0 ? 1000000 : 0; /* the clock goes back: no time passed */
        end_as(&h, run, DL_RUN_SUCCEEDED);
    }
    dl_run_totals totals;
    TAP_OK(dl_runs_totals(h.factory, DL_STR("P"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], DL_COUNT_OF(counts));
    TAP_EQ_INT(totals.changes, 3);
    TAP_EQ_INT(totals.rows_in, 4);
    TAP_TRUE(totals.seconds_sum == 0);
    TAP_OK(dl_runs_totals(h.factory, DL_STR("none"), &totals, &h.err), h.err);
    TAP_EQ_INT(totals.by_status[DL_RUN_SUCCEEDED], 0);
    home_end(&h);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(words_of_a_status);
    TAP_RUN(a_run_goes_from_the_queue_to_its_end);
    TAP_RUN(the_oldest_with_room_that_is_due_is_claimed);
    TAP_RUN(ids_by_their_beginning);
    TAP_RUN(cancel_and_rerun);
    TAP_RUN(a_window_follows_its_newest_run);
    TAP_RUN(lists_by_every_filter_page_by_page);
    TAP_RUN(no_statement_reads_more_than_it_needs);
    TAP_RUN(log_lines_in_pages_up_to_their_limit);
    TAP_RUN(texts_have_a_limit);
    TAP_RUN(old_runs_go_the_newest_of_a_window_stays);
    TAP_RUN(totals_take_no_nonsense);
    return tap_done();
}
