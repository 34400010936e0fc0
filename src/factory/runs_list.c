#include "factory/runs_internal.h"

#include <stdio.h>

enum {
    LIST_DEFAULT = 100,
    SQL_SIZE = 2048,
    PRUNE_BATCH = 1000,
};

dl_status dl_runs_get(dl_factory *factory, dl_str id, dl_arena *arena, dl_run *out_run,
                      dl_error *err)
{
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &db, err));
    dl_status status = dl_runs_find(db, id, arena, out_run, NULL, err);
    dl_factory_unlock(factory);
    return status;
}

/* ---- list ---- */

typedef struct list_work {
    dl_db *db;
    const dl_run_filter *filter;
    dl_arena *arena;
    dl_run *runs;
    size_t count, limit;
    int64_t after_queued_us, after_seq; /* of the last run of the page before */
} list_work;

/* The index of the filter, and its equalities. Only a group, which is small, is looked through. */
static void choose_index(const dl_run_filter *f, const char **out_index, const char **out_where)
{
    if (f->group_id.len > 0) {
        *out_index = "run_group";
        *out_where = "group_id = ?1";
    } else if (f->trigger.len > 0 && f->pipeline.len > 0) {
        *out_index = f->by_status ? "run_both_status" : "run_both";
        *out_where = f->by_status ? "trigger = ?2 AND pipeline = ?3 AND status = ?4"
                                  : "trigger = ?2 AND pipeline = ?3";
    } else if (f->trigger.len > 0) {
        *out_index = f->by_status ? "run_trigger_status" : "run_trigger";
        *out_where = f->by_status ? "trigger = ?2 AND status = ?4" : "trigger = ?2";
    } else if (f->pipeline.len > 0) {
        *out_index = f->by_status ? "run_pipeline_status" : "run_pipeline";
        *out_where = f->by_status ? "pipeline = ?3 AND status = ?4" : "pipeline = ?3";
    } else {
        *out_index = f->by_status ? "run_status" : "run_queued";
        *out_where = f->by_status ? "status = ?4" : "1";
    }
}

static dl_status read_rows(list_work *w, dl_db_stmt *q, dl_error *err)
{
    dl_status status = DL_OK;
    while (status == DL_OK && w->count < w->limit && dl_db_step(q)) {
        status = dl_run_read(q, w->arena, &w->runs[w->count], NULL, err);
        w->count += status == DL_OK;
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

/* Those queued before `to_us`, or (`same`) at that time, before the last run of the page before. */
static dl_status list_part(list_work *w, bool same, int64_t to_us, dl_error *err)
{
    const dl_run_filter *f = w->filter;
    const char *index = NULL, *where = NULL;
    choose_index(f, &index, &where);
    char sql[SQL_SIZE];
    bool group = f->group_id.len > 0;
    (void)snprintf(sql, sizeof sql,
                   "SELECT " DL_RUN_COLUMNS
                   " FROM run INDEXED BY %s WHERE %s%s%s%s AND %s LIMIT ?8",
                   index, where, group && f->trigger.len > 0 ? " AND trigger = ?2" : "",
                   group && f->pipeline.len > 0 ? " AND pipeline = ?3" : "",
                   group && f->by_status ? " AND status = ?4" : "",
                   same ? "queued_us = ?6 AND seq < ?7 ORDER BY seq DESC"
                        : "queued_us >= ?5 AND queued_us < ?6 ORDER BY queued_us DESC, seq DESC");
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query_text(w->db, dl_str_of(sql), &q, err));
    dl_db_bind_int(q, 8, (int64_t)(w->limit - w->count)); /* all that are in the text exist */
    if (f->group_id.len > 0) {
        dl_db_bind_str(q, 1, f->group_id);
    }
    if (f->trigger.len > 0) {
        dl_db_bind_str(q, 2, f->trigger);
    }
    if (f->pipeline.len > 0) {
        dl_db_bind_str(q, 3, f->pipeline);
    }
    if (f->by_status) {
        dl_db_bind_int(q, 4, f->status);
    }
    dl_db_bind_int(q, 5, f->from_us == 0 ? INT64_MIN : f->from_us);
    dl_db_bind_int(q, 6, to_us);
    dl_db_bind_int(q, 7, w->after_seq);
    return read_rows(w, q, err);
}

static dl_status find_after(list_work *w, dl_error *err)
{
    dl_run run = {0};
    dl_run_more more = {0};
    dl_status status = dl_runs_find(w->db, w->filter->after, w->arena, &run, &more, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "looking for the last run of the page before");
    }
    w->after_queued_us = run.queued_us;
    w->after_seq = more.seq;
    return DL_OK;
}

static dl_status list_in(list_work *w, dl_error *err)
{
    int64_t to_us = w->filter->to_us == 0 ? INT64_MAX : w->filter->to_us;
    if (w->filter->after.len == 0) {
        return list_part(w, false, to_us, err);
    }
    DL_TRY(find_after(w, err));
    if (w->after_queued_us < to_us) { /* those queued at the same time stand first */
        to_us = w->after_queued_us;
        if (w->filter->from_us == 0 || to_us >= w->filter->from_us) {
            DL_TRY(list_part(w, true, to_us, err));
        }
    }
    return w->count == w->limit ? DL_OK : list_part(w, false, to_us, err);
}

dl_status dl_runs_list(dl_factory *factory, const dl_run_filter *filter, dl_arena *arena,
                       dl_run **out_runs, size_t *out_count, dl_error *err)
{
    size_t limit = filter->limit == 0 ? LIST_DEFAULT : filter->limit;
    if (limit > DL_RUN_LIST_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "runs: a limit of %zu exceeds %d", limit,
                            DL_RUN_LIST_LIMIT);
    }
    list_work w = {.filter = filter, .arena = arena, .limit = limit};
    w.runs = dl_arena_alloc(arena, limit, sizeof *w.runs);
    if (w.runs == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &w.db, err));
    dl_status status = list_in(&w, err);
    dl_factory_unlock(factory);
    DL_TRY(status);
    *out_runs = w.runs;
    *out_count = w.count;
    return DL_OK;
}

/* ---- log lines ---- */

typedef struct lines_page {
    dl_run_line *lines;
    size_t count;
    int64_t after; /* the last line of the page */
} lines_page;

static dl_status read_lines(dl_db *db, int64_t seq, dl_arena *arena, lines_page *page,
                            dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db,
                       "SELECT line, time_us, level, text FROM run_line WHERE run = ?1 AND"
                       " line > ?2 ORDER BY line LIMIT ?3",
                       &q, err));
    dl_db_bind_int(q, 1, seq);
    dl_db_bind_int(q, 2, page->after);
    dl_db_bind_int(q, 3, DL_RUN_LINES_PAGE);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_run_line *line = &page->lines[page->count++];
        page->after = dl_db_int(q, 0);
        line->time_us = dl_db_int(q, 1);
        status = dl_arena_copy(arena, dl_db_str(q, 2), &line->level, err);
        if (status == DL_OK) {
            status = dl_arena_copy(arena, dl_db_str(q, 3), &line->text, err);
        }
    }
    dl_status finish = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finish;
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
dl_status dl_runs_lines(dl_factory *factory, dl_str id, int64_t after_line, dl_arena *arena,
                        dl_run_line **out_lines, size_t *out_count, int64_t *out_last_line,
                        dl_error *err)
{
    lines_page page = {.after = after_line};
    page.lines = dl_arena_alloc(arena, DL_RUN_LINES_PAGE, sizeof *page.lines);
    if (page.lines == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_run run = {0};
    dl_run_more more = {0};
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &db, err));
    dl_status status = dl_runs_find(db, id, arena, &run, &more, err);
    if (status == DL_OK) {
        status = read_lines(db, more.seq, arena, &page, err);
    }
    dl_factory_unlock(factory);
    DL_TRY(status);
    *out_lines = page.lines;
    *out_count = page.count;
    *out_last_line = page.after;
    return DL_OK;
}

/* ---- taking old ones away ---- */

static dl_status prune_batch(dl_db *db, int64_t before_us, int64_t *out_count, dl_error *err)
{
    static const char *const scripts[] = {
        "DELETE FROM run_line WHERE run IN (SELECT seq FROM run INDEXED BY run_old WHERE"
        " ended_us > 0 AND newest = 0 AND ended_us < ?1 ORDER BY ended_us, seq LIMIT ?2)",
        "DELETE FROM run WHERE seq IN (SELECT seq FROM run INDEXED BY run_old WHERE"
        " ended_us > 0 AND newest = 0 AND ended_us < ?1 ORDER BY ended_us, seq LIMIT ?2)"};
    for (size_t i = 0; i < DL_COUNT_OF(scripts); i++) {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(db, scripts[i], &q, err));
        dl_db_bind_int(q, 1, before_us);
        dl_db_bind_int(q, 2, PRUNE_BATCH);
        DL_TRY(dl_db_run(q, err));
    }
    *out_count = dl_db_changes(db);
    return DL_OK;
}

dl_status dl_runs_prune(dl_factory *factory, int64_t before_us, size_t *out_count, dl_error *err)
{
    size_t all = 0;
    for (int64_t count = PRUNE_BATCH; count == PRUNE_BATCH;) {
        dl_db *db = NULL;
        DL_TRY(dl_runs_begin(factory, &db, err));
        dl_status status = prune_batch(db, before_us, &count, err);
        DL_TRY(dl_runs_finish(factory, db, status, err));
        all += (size_t)count;
    }
    *out_count = all;
    return DL_OK;
}

/* ---- totals ---- */

static dl_status read_totals(dl_db *db, dl_str pipeline, dl_run_totals *t, dl_error *err)
{
    dl_db_stmt *q = NULL;
    if (pipeline.len == 0) {
        DL_TRY(dl_db_query(db,
                           "SELECT sum(succeeded), sum(failed), sum(cancelled), sum(worked_us),"
                           " sum(changes), sum(rows_in), sum(rows_out), sum(bytes),"
                           " max(last_success_us) FROM run_total",
                           &q, err));
    } else {
        DL_TRY(dl_db_query(db,
                           "SELECT succeeded, failed, cancelled, worked_us, changes, rows_in,"
                           " rows_out, bytes, last_success_us FROM run_total WHERE pipeline = ?1",
                           &q, err));
        dl_db_bind_str(q, 1, pipeline);
    }
    if (dl_db_step(q)) {
        t->by_status[DL_RUN_SUCCEEDED] = dl_db_int(q, 0);
        t->by_status[DL_RUN_FAILED] = dl_db_int(q, 1);
        t->by_status[DL_RUN_CANCELLED] = dl_db_int(q, 2);
        t->seconds_sum = (double)dl_db_int(q, 3) / 1e6;
        t->changes = dl_db_int(q, 4);
        t->rows_in = dl_db_int(q, 5);
        t->rows_out = dl_db_int(q, 6);
        t->bytes = dl_db_int(q, 7);
        t->last_success_us = dl_db_int(q, 8);
    }
    return dl_db_finish(q, err);
}

static dl_status read_gauges(dl_db *db, dl_str pipeline, dl_run_totals *t, dl_error *err)
{
    dl_db_stmt *q = NULL;
    for (int status = DL_RUN_QUEUED; status <= DL_RUN_IN_PROGRESS; status++) {
        DL_TRY(dl_db_query(db,
                           pipeline.len == 0
                               ? "SELECT count(*) FROM run WHERE status = ?1"
                               : "SELECT count(*) FROM run WHERE pipeline = ?2 AND status = ?1",
                           &q, err));
        dl_db_bind_int(q, 1, status);
        if (pipeline.len > 0) {
            dl_db_bind_str(q, 2, pipeline);
        }
        t->by_status[status] = dl_db_step(q) ? dl_db_int(q, 0) : 0;
        DL_TRY(dl_db_finish(q, err));
    }
    DL_TRY(dl_db_query(
        db,
        pipeline.len == 0
            ? "SELECT count(*), min(w.end_us) FROM trigger_place p CROSS JOIN run_window w"
              " ON w.trigger = p.trigger AND w.state IN (0, 1)"
            : "SELECT count(*), min(w.end_us) FROM trigger_place p CROSS JOIN run_window w"
              " ON w.trigger = p.trigger AND w.state IN (0, 1) WHERE p.pipeline = ?1",
        &q, err));
    if (pipeline.len > 0) {
        dl_db_bind_str(q, 1, pipeline);
    }
    if (dl_db_step(q)) {
        t->waiting_windows = dl_db_int(q, 0);
        t->oldest_waiting_us = dl_db_int(q, 1);
    }
    return dl_db_finish(q, err);
}

dl_status dl_runs_totals(dl_factory *factory, dl_str pipeline, dl_run_totals *out, dl_error *err)
{
    dl_run_totals totals = {0};
    dl_db *db = NULL;
    DL_TRY(dl_factory_lock(factory, DL_FACTORY_READ, &db, err));
    dl_status status = read_totals(db, pipeline, &totals, err);
    if (status == DL_OK) {
        status = read_gauges(db, pipeline, &totals, err);
    }
    dl_factory_unlock(factory);
    DL_TRY(status);
    *out = totals;
    return DL_OK;
}
