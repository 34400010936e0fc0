/* The layer of recent rows: where a small batch writes, so that it changes few pages of a large
 * index. Rows go to their large tables together, in the order of those. */
#include "pipeline/state_internal.h"

enum {
    BATCH_LIMIT = 10000,  /* changes of a batch that is small */
    RECENT_LIMIT = 40000, /* changes since rows went to the large tables */
};

static const char count_name[] = "recent_changes";

static dl_status run(dl_state *state, const char *sql, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    return dl_db_run(q, err);
}

dl_status dl_state_recent_load(dl_state *state, dl_error *err)
{
    int64_t count = 0;
    DL_TRY(dl_state_number_get(state, count_name, &count, err));
    state->recent_changes = count;
    state->recent_before = count;
    return DL_OK;
}

static dl_status any(dl_state *state, const char *sql, bool *any, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    *any |= dl_db_step(q);
    return dl_db_finish(q, err);
}

dl_status dl_state_expect(dl_state *state, size_t changes, dl_error *err)
{
    DL_ASSERT(state->writing && !state->apart);
    if (changes > BATCH_LIMIT || state->recent_changes + (int64_t)changes > RECENT_LIMIT) {
        return DL_OK;
    }
    bool dirty = false; /* of the large tables: the dirty are looked for in one layer alone */
    if (state->recent_changes == 0) {
        DL_TRY(any(state, "SELECT 1 FROM series INDEXED BY series_dirty WHERE dirty = 1 LIMIT 1",
                   &dirty, err));
        DL_TRY(any(state, "SELECT 1 FROM study INDEXED BY study_dirty WHERE dirty = 1 LIMIT 1",
                   &dirty, err));
    }
    state->apart = !dirty;
    return DL_OK;
}

dl_status dl_state_recent_count(dl_state *state, dl_error *err)
{
    if (state->recent_changes == state->recent_before) {
        return DL_OK;
    }
    return dl_state_number_set(state, count_name, state->recent_changes, err);
}

static const char *const merge_sql[] = {
    "INSERT INTO instance SELECT * FROM recent_instance WHERE true ON CONFLICT DO UPDATE"
    " SET timestamp = excluded.timestamp, sequence = excluded.sequence, source = excluded.source,"
    " age = excluded.age, file = excluded.file, row = excluded.row, shown = excluded.shown",
    "UPDATE series SET instance_count = r.instance_count, tombstones = r.tombstones,"
    " timestamp = r.timestamp, shown = r.shown, file = r.file, row = r.row, hash = r.hash,"
    " dirty = r.dirty FROM recent_series r WHERE r.id = series.id",
    "UPDATE study SET series_count = r.series_count, instance_count = r.instance_count,"
    " file = r.file, row = r.row, hash = r.hash, dirty = r.dirty FROM recent_study r"
    " WHERE r.id = study.id",
    "DELETE FROM recent_instance",
    "DELETE FROM recent_series",
    "DELETE FROM recent_study",
};

dl_status dl_state_merge(dl_state *state, dl_error *err)
{
    DL_ASSERT(state->writing);
    for (size_t i = 0; state->recent_changes > 0 && i < DL_COUNT_OF(merge_sql); i++) {
        DL_TRY(run(state, merge_sql[i], err));
    }
    state->recent_changes = 0;
    state->apart = false;
    return DL_OK;
}

dl_status dl_state_target(dl_state *state, dl_error *err)
{
    if (!state->apart) {
        return dl_state_merge(state, err);
    }
    return DL_OK;
}

dl_status dl_state_whole(dl_state *state, dl_error *err)
{
    if (state->recent_changes == 0) {
        return DL_OK;
    }
    if (state->writing) {
        return dl_state_merge(state, err);
    }
    DL_TRY(dl_state_begin(state, err));
    dl_status status = dl_state_merge(state, err);
    if (status == DL_OK) {
        return dl_state_commit(state, err);
    }
    dl_state_rollback(state);
    return status;
}

/* ---- series and studies ---- */

static const char lift_series[] =
    "INSERT OR IGNORE INTO recent_series SELECT id, partition_id, instance_count, tombstones,"
    " timestamp, shown, file, row, hash, dirty FROM series WHERE id = ?1";
static const char lift_study[] =
    "INSERT OR IGNORE INTO recent_study SELECT id, partition_id, series_count, instance_count,"
    " file, row, hash, dirty FROM study WHERE id = ?1";

dl_status dl_state_lift(dl_state *state, dl_state_kind kind, int64_t id, dl_error *err)
{
    DL_TRY(dl_state_target(state, err));
    if (!state->apart) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, kind == DL_STATE_SERIES ? lift_series : lift_study, &q, err));
    dl_db_bind_int(q, 1, id);
    DL_TRY(dl_db_run(q, err));
    state->recent_changes += state->recent_changes == 0;
    return DL_OK;
}
