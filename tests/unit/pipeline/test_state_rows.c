/* Rows and files of the tables that others wrote, moved or took away. */
#include "state_rig.h"

static void rows_found_and_lost(dl_state_kind kind)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "i"), 1);
    int64_t file = file_of(f.state, kind, "a"), moved = file_of(f.state, kind, "b");
    spots s = dirty(f.state, kind);
    TAP_EQ_INT(s.count, 1);
    TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){file, 3}, 77, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    /* The same row with the same hash: nothing to do. With another one: dirty. */
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 3}, 77, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 3}, 78, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 1);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){file, 3}, 77, &err), err);
    /* A second row must go; places are those after compaction. */
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 5}, 77, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 1);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){file, moved, 0, 10, 0, NULL}, &err), err);
    TAP_EQ_INT(extras(f.state, kind).last.file, moved);
    TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){moved, 5}, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){moved, 9}, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 0); /* that was another row */
    TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){moved, 3}, &err), err);
    s = dirty(f.state, kind);
    TAP_TRUE(s.count == 1 && s.last.file == 0 && s.hash == 0);
    TAP_OK(dl_state_extra_add(f.state, kind, (dl_state_place){file, 8}, &err), err);
    TAP_OK(dl_state_extra_add(f.state, kind, (dl_state_place){file, 8}, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 1);
    TAP_OK(dl_state_extras_clear(f.state, kind, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_STATUS(dl_state_written(f.state, kind, 12345, (dl_state_place){file, 3}, 77, &err),
               DL_E_NOT_FOUND);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(series_rows_found_and_lost)
{
    rows_found_and_lost(DL_STATE_SERIES);
}

TAP_CASE(study_rows_found_and_lost)
{
    rows_found_and_lost(DL_STATE_STUDY);
}

static void row_moved_by_others(dl_state_kind kind)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    dl_state_place place = {9, 9};
    TAP_OK(dl_state_row_place(f.state, kind, &key_a, &place, &err), err);
    TAP_EQ_INT(place.file, 0); /* nothing is known of the key */
    TAP_OK(dl_state_row_unplace(f.state, kind, &key_a, &err), err);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "i"), 1);
    int64_t file = file_of(f.state, kind, "a"), copy = file_of(f.state, kind, "b");
    spots s = dirty(f.state, kind);
    TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){file, 3}, 77, &err), err);
    TAP_OK(dl_state_row_place(f.state, kind, &key_a, &place, &err), err);
    TAP_TRUE(place.file == file && place.row == 3);
    /* Its copy is not a second row, and what was written still is. */
    TAP_OK(dl_state_row_unplace(f.state, kind, &key_a, &err), err);
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){copy, 6}, 77, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    TAP_OK(dl_state_row_place(f.state, kind, &key_a, &place, &err), err);
    TAP_TRUE(place.file == copy && place.row == 6);
    /* A copy that others changed is written anew. */
    TAP_OK(dl_state_row_unplace(f.state, kind, &key_a, &err), err);
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 1}, 78, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 1);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(series_row_moved_by_others)
{
    row_moved_by_others(DL_STATE_SERIES);
}

TAP_CASE(study_row_moved_by_others)
{
    row_moved_by_others(DL_STATE_STUDY);
}

TAP_CASE(a_row_without_instances_is_dirty_until_it_is_gone)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    int64_t file = file_of(f.state, DL_STATE_SERIES, "a");
    TAP_OK(dl_state_found(f.state, DL_STATE_SERIES, &key_a, (dl_state_place){file, 3}, 77, &err),
           err);
    spots s = dirty(f.state, DL_STATE_SERIES);
    TAP_TRUE(s.count == 1 && s.last.file == file && s.last.row == 3);
    TAP_OK(dl_state_written(f.state, DL_STATE_SERIES, s.id, (dl_state_place){0}, 0, &err), err);
    TAP_EQ_INT(dirty(f.state, DL_STATE_SERIES).count, 0);
    dl_state_key key = key_a;
    key.study_uid = DL_STR("9.9");
    TAP_OK(dl_state_lost(f.state, DL_STATE_SERIES, &key, (dl_state_place){file, 3}, &err), err);
    TAP_OK(dl_state_prune(f.state, 0, &err), err);
    dl_state_totals totals = {0};
    TAP_OK(dl_state_totals_get(f.state, &totals, &err), err);
    TAP_EQ_INT(totals.files, 0);
    dl_db_stmt *q = NULL;
    TAP_OK(dl_state_query(f.state,
                          "SELECT (SELECT count(*) FROM series) + (SELECT count(*) FROM study)", &q,
                          &err),
           err);
    TAP_TRUE(dl_db_step(q));
    TAP_EQ_INT(dl_db_int(q, 0), 0);
    TAP_OK(dl_db_finish(q, &err), err);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

static dl_status see_file(void *context, int64_t file, dl_str path, dl_str dv, dl_error *err)
{
    (void)err;
    (void)path;
    spots *s = context;
    s->count++;
    s->id = file;
    s->last.row = (int64_t)dv.len;
    return DL_OK;
}

static dl_status see_orphan(void *context, const dl_state_key *key, dl_state_place place,
                            dl_error *err)
{
    (void)err;
    spots *s = context;
    s->count++;
    s->last = place;
    TAP_EQ_STR(key->partition_name, "p");
    TAP_EQ_STR(key->study_uid, "1.2");
    s->id = (int64_t)(key->series_uid.len + key->sop_uid.len);
    return DL_OK;
}

TAP_CASE(files_are_marked_and_rows_without_a_file_are_found)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    int64_t a = file_of(f.state, DL_STATE_INSTANCE, "a"),
            b = file_of(f.state, DL_STATE_INSTANCE, "b");
    put_at(f.state, &key_a, 1, a, 1);
    spots s = {0};
    TAP_OK(dl_state_files(f.state, DL_STATE_INSTANCE, see_file, &s, &err), err);
    TAP_EQ_INT(s.count, 0);
    TAP_OK(dl_state_file_mark(f.state, a, true, DL_STR("u-abc@1"), &err), err);
    TAP_STATUS(dl_state_file_mark(f.state, 999, true, DL_STR(""), &err), DL_E_NOT_FOUND);
    TAP_OK(dl_state_files(f.state, DL_STATE_INSTANCE, see_file, &s, &err), err);
    TAP_TRUE(s.count == 1 && s.id == a && s.last.row == 7);
    s.count = 0;
    TAP_OK(dl_state_files(f.state, DL_STATE_SERIES, see_file, &s, &err), err);
    TAP_OK(dl_state_orphans(f.state, DL_STATE_INSTANCE, see_orphan, &s, &err), err);
    TAP_EQ_INT(s.count, 0);
    TAP_OK(dl_state_file_mark(f.state, a, false, DL_STR(""), &err), err);
    TAP_OK(dl_state_orphans(f.state, DL_STATE_INSTANCE, see_orphan, &s, &err), err);
    TAP_TRUE(s.count == 1 && s.last.file == a && s.id == 12);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, b, 0, 5, 0, NULL}, &err), err);
    TAP_OK(dl_state_file_mark(f.state, b, true, DL_STR(""), &err), err);
    s.count = 0;
    TAP_OK(dl_state_orphans(f.state, DL_STATE_INSTANCE, see_orphan, &s, &err), err);
    TAP_EQ_INT(s.count, 0);
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        int64_t own = file_of(f.state, kind, "rows");
        TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){own, 2}, 5, &err), err);
        s.count = 0;
        TAP_OK(dl_state_orphans(f.state, kind, see_orphan, &s, &err), err);
        TAP_TRUE(s.count == 1 && s.last.file == own && s.id == (kind == DL_STATE_SERIES ? 5 : 0));
    }
    TAP_OK(dl_state_prune(f.state, 0, &err), err);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str path = DL_STR_NONE;
    TAP_OK(dl_state_file_path(f.state, a, arena, &path, &err), err); /* still leads to a row */
    TAP_EQ_STR(path, "a");
    put_at(f.state, &key_a, 1, b, 1);
    TAP_OK(dl_state_prune(f.state, 0, &err), err);
    TAP_STATUS(dl_state_file_path(f.state, a, arena, &path, &err), DL_E_NOT_FOUND);
    TAP_OK(dl_state_file_path(f.state, b, arena, &path, &err), err);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

int main(void)
{
    TAP_RUN(series_rows_found_and_lost);
    TAP_RUN(study_rows_found_and_lost);
    TAP_RUN(series_row_moved_by_others);
    TAP_RUN(study_row_moved_by_others);
    TAP_RUN(a_row_without_instances_is_dirty_until_it_is_gone);
    TAP_RUN(files_are_marked_and_rows_without_a_file_are_found);
    return tap_done();
}
