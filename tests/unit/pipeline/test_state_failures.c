/* Failures of the state index, small batches that stand apart, how statements find rows. */
#include "state_rig.h"

#include <sqlite3.h>

/* ---- failures ---- */

static dl_status stop(void *context, const dl_state_row *row, dl_error *err)
{
    (void)context;
    (void)row;
    return dl_error_set(err, DL_E_CANCELED, "enough");
}

TAP_CASE(what_visit_returns_comes_back)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    for (int i = 0; i < 3; i++) {
        TAP_STATUS(dl_state_dirty(f.state, DL_STATE_SERIES, 9, stop, NULL, &err), DL_E_CANCELED);
        TAP_TRUE(strstr(err.message, "enough") != NULL);
    }
    TAP_EQ_INT(dirty(f.state, DL_STATE_SERIES).count, 1);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

static dl_status ignore_row(void *context, const dl_state_row *row, dl_error *err)
{
    (void)context;
    (void)row;
    (void)err;
    return DL_OK;
}

static dl_status use_all(const char *path, dl_error *err)
{
    dl_state *state = NULL;
    DL_TRY(dl_state_open(path, &state, err));
    dl_status status = dl_state_begin(state, err);
    int64_t a = 0, b = 0;
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    dl_state_instance instance = {.timestamp_us = 1, .created_us = 1};
    status = status == DL_OK ? dl_delta_bitmap_create(&dead, err) : status;
    status = status == DL_OK ? dl_delta_bitmap_add(dead, 1, NULL, err) : status;
    status =
        status == DL_OK ? dl_state_file(state, DL_STATE_INSTANCE, DL_STR("a"), &a, err) : status;
    status =
        status == DL_OK ? dl_state_file(state, DL_STATE_INSTANCE, DL_STR("b"), &b, err) : status;
    status = status == DL_OK ? dl_state_forward(state, &(dl_state_move){a, b, 0, 9, 0, dead}, err)
                             : status;
    instance.place = (dl_state_place){a, 2};
    status = status == DL_OK ? dl_state_put(state, &key_a, &instance, &shown_a, err) : status;
    status = status == DL_OK ? dl_state_get(state, &key_a, &instance, err) : status;
    status =
        status == DL_OK ? dl_state_dirty(state, DL_STATE_SERIES, 9, ignore_row, NULL, err) : status;
    status =
        status == DL_OK ? dl_state_dirty(state, DL_STATE_STUDY, 9, ignore_row, NULL, err) : status;
    status = status == DL_OK ? dl_state_remove(state, &key_a, 2, 2, 1, err) : status;
    status = status == DL_OK
                 ? dl_state_ahead_add(state, &key_a, 1, &(dl_state_change){1, 1, true}, err)
                 : status;
    status = status == DL_OK ? dl_state_prune(state, 9, err) : status;
    if (status == DL_OK) {
        status = dl_state_commit(state, err);
    } else {
        dl_state_rollback(state);
    }
    dl_state_close(state);
    return status;
}

/** A small batch, merged at its end. */
static dl_status use_recent(const char *path, dl_error *err)
{
    dl_state *state = NULL;
    DL_TRY(dl_state_open(path, &state, err));
    dl_status status = dl_state_begin(state, err);
    int64_t file = 0;
    status = status == DL_OK ? dl_state_expect(state, 1, err) : status;
    status =
        status == DL_OK ? dl_state_file(state, DL_STATE_INSTANCE, DL_STR("a"), &file, err) : status;
    dl_state_instance instance = {.timestamp_us = 1, .created_us = 1, .place = {file, 1}};
    status = status == DL_OK ? dl_state_put(state, &key_a, &instance, &shown_a, err) : status;
    status =
        status == DL_OK ? dl_state_dirty(state, DL_STATE_SERIES, 9, ignore_row, NULL, err) : status;
    status = status == DL_OK ? dl_state_prune(state, 9, err) : status;
    if (status == DL_OK) {
        status = dl_state_commit(state, err);
    } else {
        dl_state_rollback(state);
    }
    dl_state_close(state);
    return status;
}

static void fail_each_allocation(dl_status (*use)(const char *path, dl_error *err))
{
    fixture f;
    fixture_open(&f);
    dl_state_close(f.state);
    f.state = NULL;
    dl_error err = {0};
    TAP_OK(use(f.path, &err), err); /* the second time finds what the first one made */
    dl_mem_fail_after(1 << 20);
    TAP_OK(use(f.path, &err), err);
    int64_t all = dl_mem_asked();
    TAP_TRUE(all > 15);
    for (int64_t n = 0; n < all; n++) {
        dl_mem_fail_after(n);
        err = (dl_error){0};
        TAP_STATUS(use(f.path, &err), DL_E_NOMEM);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_mem_fail_after(-1);
    TAP_OK(use(f.path, &err), err);
    fixture_close(&f);
}

TAP_CASE(each_allocation_may_fail)
{
    fail_each_allocation(use_all);
    fail_each_allocation(use_recent);
}

/** Rows apart after a transaction that expects `changes` and puts one row. */
static int64_t recent_after(fixture *f, size_t changes)
{
    dl_error err = {0};
    begin(f->state);
    TAP_OK(dl_state_expect(f->state, changes, &err), err);
    int64_t row = get(f->state, &key_a).place.row + 1;
    put_at(f->state, &key_a, row, file_of(f->state, DL_STATE_INSTANCE, "a"), row);
    commit(f->state);
    TAP_EQ_INT(get(f->state, &key_a).place.row, row);
    dl_db_stmt *q = NULL;
    TAP_OK(dl_db_query(f->state->db, "SELECT count(*) FROM recent_instance", &q, &err), err);
    int64_t count = dl_db_step(q) ? dl_db_int(q, 0) : -1;
    TAP_OK(dl_db_finish(q, &err), err);
    return count;
}

/** The row of the dirty one is written. */
static void settle(fixture *f, dl_state_kind kind)
{
    dl_error err = {0};
    begin(f->state);
    spots s = dirty(f->state, kind);
    TAP_OK(dl_state_written(f->state, kind, s.id, (dl_state_place){0}, 0, &err), err);
    commit(f->state);
}

TAP_CASE(small_batches_stand_apart_up_to_a_limit)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    TAP_EQ_INT(recent_after(&f, 10001), 0);
    settle(&f, DL_STATE_SERIES); /* a dirty row of the index itself: nothing is apart */
    TAP_EQ_INT(recent_after(&f, 10000), 0);
    settle(&f, DL_STATE_SERIES);
    settle(&f, DL_STATE_STUDY);
    TAP_EQ_INT(recent_after(&f, 10000), 1);
    fixture_reopen(&f);
    TAP_EQ_INT(recent_after(&f, 10000), 1);
    TAP_EQ_INT(recent_after(&f, 10001), 0);
    settle(&f, DL_STATE_SERIES);
    settle(&f, DL_STATE_STUDY);
    begin(f.state);
    TAP_OK(dl_state_number_set(f.state, "recent_changes", 39999, &err), err);
    commit(f.state);
    fixture_reopen(&f);
    TAP_EQ_INT(recent_after(&f, 1), 1);
    TAP_EQ_INT(recent_after(&f, 1), 0);
    fixture_close(&f);
}

/* What one has read and kept is wrong once the other has written: it writes no more. */
TAP_CASE(a_second_writer_is_noticed)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    commit(f.state);
    dl_state *other = NULL;
    TAP_OK(dl_state_open(f.path, &other, &err), err);
    begin(other);
    put_at(other, &key_a, 1, file_of(other, DL_STATE_INSTANCE, "a"), 1);
    commit(other);
    TAP_STATUS(dl_state_begin(f.state, &err), DL_E_IO);
    begin(other);
    commit(other);
    dl_state_close(other);
    fixture_close(&f);
}

/* Each statement finds its rows by an index, but for those that are meant to look at everything. */
TAP_CASE(no_statement_looks_at_a_whole_table)
{
    static const char *const whole[] = {"coalesce(sum(",
                                        "FROM sqlite_schema",
                                        "UPDATE series SET dirty = 1 WHERE dirty",
                                        "UPDATE study SET dirty = 1 WHERE dirty",
                                        "CROSS JOIN file f",
                                        "SELECT shown FROM instance",
                                        "DELETE FROM recent_",
                                        "FROM recent_instance WHERE true",
                                        "FROM recent_series r WHERE",
                                        "FROM recent_study r WHERE"};
    static const char of_one[] = "DESC LIMIT 1"; /* what shows of one series or study: few rows */
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    dl_state_close(f.state);
    TAP_OK(use_all(f.path, &err), err);
    TAP_OK(dl_state_open(f.path, &f.state, &err), err);
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    put_at(f.state, &key_a, 2, file_of(f.state, DL_STATE_INSTANCE, "a"), 2);
    TAP_OK(dl_state_remove(f.state, &key_a, 3, 3, 1, &err), err);
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        spots s = dirty(f.state, kind);
        TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){1, 1}, 1, &err), err);
        TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){1, 1}, &err), err);
        TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){0}, 0, &err), err);
    }
    commit(f.state);
    begin(f.state); /* the same apart, and merged */
    TAP_OK(dl_state_expect(f.state, 1, &err), err);
    put_at(f.state, &key_a, 4, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    TAP_OK(dl_state_remove(f.state, &key_a, 5, 5, 1, &err), err);
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        spots s = dirty(f.state, kind);
        TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){0}, 0, &err), err);
    }
    TAP_OK(dl_state_prune(f.state, 9, &err), err);
    commit(f.state);
    sqlite3 *db = NULL;
    TAP_EQ_INT(sqlite3_open(f.path, &db), SQLITE_OK);
    const char *sql = NULL;
    int seen = 0;
    for (size_t i = 0; (sql = dl_db_statement_sql(f.state->db, i)) != NULL; i++) {
        bool meant = false;
        for (size_t k = 0; k < DL_COUNT_OF(whole); k++) {
            meant |= strstr(sql, whole[k]) != NULL;
        }
        char text[2048];
        (void)snprintf(text, sizeof text, "EXPLAIN QUERY PLAN %s", sql);
        sqlite3_stmt *q = NULL;
        TAP_EQ_INT(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
        while (!meant && sqlite3_step(q) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(q, 3);
            bool bad = (strncmp(step, "SCAN", 4) == 0 && strstr(step, "INDEX") == NULL) ||
                       (strstr(step, "TEMP B-TREE") != NULL && strstr(sql, of_one) == NULL);
            if (bad && strncmp(step, "SCAN CONSTANT ROW", 17) != 0) {
                TAP_FAIL("%s: %s", sql, step);
            }
            seen++;
        }
        (void)sqlite3_finalize(q);
    }
    TAP_TRUE(seen > 20);
    (void)sqlite3_close(db);
    fixture_close(&f);
}

int main(void)
{
    TAP_RUN(what_visit_returns_comes_back);
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(small_batches_stand_apart_up_to_a_limit);
    TAP_RUN(a_second_writer_is_noticed);
    TAP_RUN(no_statement_looks_at_a_whole_table);
    return tap_done();
}
