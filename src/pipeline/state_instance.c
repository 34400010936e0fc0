#include "pipeline/state_internal.h"

/** What the database has of an instance. */
typedef struct stored {
    bool known;
    int64_t timestamp_us, sequence, source, age_us, shown;
    dl_state_place place; /* as stored; file 0: a tombstone */
} stored;

static const char select_sql[] =
    "SELECT timestamp, sequence, source, age, file, row, shown FROM instance"
    " WHERE series_id = ?1 AND sop = ?2";
static const char select_recent_sql[] =
    "SELECT timestamp, sequence, source, age, file, row, shown FROM recent_instance"
    " WHERE series_id = ?1 AND sop = ?2";

static dl_status look_into(dl_state *state, const char *sql, int64_t series,
                           const dl_state_packed *sop, stored *out_stored, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    dl_db_bind_int(q, 1, series);
    dl_db_bind_bytes(q, 2, (dl_bytes){sop->bytes, sop->len});
    stored found = {0};
    if (dl_db_step(q)) {
        found = (stored){.known = true,
                         .timestamp_us = dl_db_int(q, 0),
                         .sequence = dl_db_int(q, 1),
                         .source = dl_db_int(q, 2),
                         .age_us = dl_db_int(q, 3),
                         .place = {dl_db_int(q, 4), dl_db_int(q, 5)},
                         .shown = dl_db_int(q, 6)};
    }
    DL_TRY(dl_db_finish(q, err));
    *out_stored = found;
    return DL_OK;
}

static dl_status look_up(dl_state *state, int64_t series, const dl_state_packed *sop,
                         stored *out_stored, dl_error *err)
{
    stored found = {0};
    if (state->recent_changes > 0) {
        DL_TRY(look_into(state, select_recent_sql, series, sop, &found, err));
    }
    if (!found.known) {
        DL_TRY(look_into(state, select_sql, series, sop, &found, err));
    }
    *out_stored = found;
    return DL_OK;
}

dl_status dl_state_get(dl_state *state, const dl_state_key *key, dl_state_instance *out_instance,
                       dl_error *err)
{
    dl_state_packed sop;
    dl_state_entity *series = NULL;
    stored found = {0};
    DL_TRY(dl_state_pack(key->sop_uid, "SOP instance UID", &sop, err));
    DL_TRY(dl_state_entity_of(state, key, false, &series, err));
    if (series != NULL) {
        DL_TRY(look_up(state, series->id, &sop, &found, err));
    }
    dl_state_instance instance = {.known = found.known,
                                  .removed = found.known && found.place.file == 0,
                                  .timestamp_us = found.timestamp_us,
                                  .sequence = found.sequence,
                                  .source = found.source,
                                  .created_us = found.timestamp_us - found.age_us,
                                  .place = found.place};
    DL_TRY(dl_state_resolve(state, &instance.place, err));
    *out_instance = instance;
    return DL_OK;
}

static const char insert_sql[] =
    "INSERT INTO instance VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING";
static const char update_sql[] =
    "UPDATE instance SET timestamp = ?3, sequence = ?4, source = ?5, age = ?6, file = ?7, row = ?8,"
    " shown = ?9 WHERE series_id = ?1 AND sop = ?2";

static const char recent_sql[] =
    "INSERT OR REPLACE INTO recent_instance VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

static dl_status run(dl_state *state, const char *sql, int64_t series, const dl_state_packed *sop,
                     const stored *values, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    dl_db_bind_int(q, 1, series);
    dl_db_bind_bytes(q, 2, (dl_bytes){sop->bytes, sop->len});
    dl_db_bind_int(q, 3, values->timestamp_us);
    dl_db_bind_int(q, 4, values->sequence);
    dl_db_bind_int(q, 5, values->source);
    dl_db_bind_int(q, 6, values->age_us);
    dl_db_bind_int(q, 7, values->place.file);
    dl_db_bind_int(q, 8, values->place.row);
    dl_db_bind_int(q, 9, values->shown);
    return dl_db_run(q, err);
}

/* Which instance of the series shows, by time and then by UID, after `now` took the place of
 * `before`. Mostly that is the newest change; else flushing looks for it. */
static void note_last(dl_state_entity *series, const stored *before, const stored *now)
{
    bool lived = before->known && before->place.file != 0, lives = now->place.file != 0;
    bool alone = series->instance_count == lived;
    if (lives && (alone || now->timestamp_us > series->last_us)) {
        series->last_us = now->timestamp_us;
        series->last_shown = now->shown;
        series->last_known = true;
    } else if ((lives && now->timestamp_us == series->last_us) ||
               (lived && before->timestamp_us == series->last_us)) {
        series->last_known = false;
    }
}

/** Write `now` over what is there, `out_before`. */
static dl_status write(dl_state *state, int64_t series, const dl_state_packed *sop,
                       const stored *now, stored *out_before, dl_error *err)
{
    DL_TRY(dl_state_target(state, err));
    if (state->apart) {
        DL_TRY(look_up(state, series, sop, out_before, err));
        DL_TRY(run(state, recent_sql, series, sop, now, err));
        state->recent_changes++;
        return DL_OK;
    }
    DL_TRY(run(state, insert_sql, series, sop, now, err));
    if (dl_db_changes(state->db) == 0) {
        DL_TRY(look_up(state, series, sop, out_before, err));
        DL_TRY(run(state, update_sql, series, sop, now, err));
    }
    return DL_OK;
}

/** The same, and count. */
static dl_status replace(dl_state *state, dl_state_entity *series, const dl_state_packed *sop,
                         const stored *now, dl_error *err)
{
    stored before = {0};
    DL_TRY(write(state, series->id, sop, now, &before, err));
    bool lived = before.known && before.place.file != 0, lives = now->place.file != 0;
    note_last(series, &before, now);
    series->instance_count += lives - lived;
    series->tombstone_count += !lives - (before.known && !lived);
    dl_state_touch(state, series, lives || lived);
    if (before.place.file != now->place.file) {
        DL_TRY(dl_state_file_count(state, before.place.file, -1, err));
        DL_TRY(dl_state_file_count(state, now->place.file, 1, err));
    }
    return DL_OK;
}

dl_status dl_state_put(dl_state *state, const dl_state_key *key, const dl_state_instance *instance,
                       const dl_state_shown *shown, dl_error *err)
{
    DL_ASSERT(state->writing && instance->place.file != 0);
    dl_state_packed sop;
    dl_state_entity *series = NULL;
    stored now = {.timestamp_us = instance->timestamp_us,
                  .sequence = instance->sequence,
                  .source = instance->source,
                  .place = instance->place};
    if (__builtin_sub_overflow(instance->timestamp_us, instance->created_us, &now.age_us)) {
        return dl_error_set(err, DL_E_INVALID, "state index: times that are too far apart");
    }
    DL_TRY(dl_state_pack(key->sop_uid, "SOP instance UID", &sop, err));
    DL_TRY(dl_state_entity_of(state, key, true, &series, err));
    DL_TRY(dl_state_shown_intern(state, shown, &now.shown, err));
    return replace(state, series, &sop, &now, err);
}

dl_status dl_state_remove(dl_state *state, const dl_state_key *key, int64_t timestamp_us,
                          int64_t sequence, int64_t source, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_state_packed sop;
    dl_state_entity *series = NULL;
    stored now = {.timestamp_us = timestamp_us, .sequence = sequence, .source = source};
    DL_TRY(dl_state_pack(key->sop_uid, "SOP instance UID", &sop, err));
    DL_TRY(dl_state_entity_of(state, key, true, &series, err));
    return replace(state, series, &sop, &now, err);
}

/* ---- pruning ---- */

static dl_status drop_tombstone(dl_state *state, int64_t series, const dl_state_packed *sop,
                                dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_state_query(state, "DELETE FROM instance WHERE series_id = ?1 AND sop = ?2", &q, err));
    dl_db_bind_int(q, 1, series);
    dl_db_bind_bytes(q, 2, (dl_bytes){sop->bytes, sop->len});
    DL_TRY(dl_db_run(q, err));
    DL_TRY(dl_state_query(state, "UPDATE series SET tombstones = tombstones - 1 WHERE id = ?1", &q,
                          err));
    dl_db_bind_int(q, 1, series);
    DL_TRY(dl_db_run(q, err));
    return dl_state_forget_series(state, series, err);
}

static dl_status prune_tombstones(dl_state *state, int64_t before_us, dl_error *err)
{
    for (;;) {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_state_query(state,
                              "SELECT series_id, sop FROM instance INDEXED BY instance_gone"
                              " WHERE file = 0 AND timestamp < ?1 LIMIT 1",
                              &q, err));
        dl_db_bind_int(q, 1, before_us);
        bool found = dl_db_step(q);
        int64_t series = found ? dl_db_int(q, 0) : 0;
        dl_state_packed sop = {.len = 0};
        dl_bytes bytes = found ? dl_db_bytes(q, 1) : (dl_bytes){0};
        for (; sop.len < bytes.len && sop.len < sizeof sop.bytes; sop.len++) {
            sop.bytes[sop.len] = bytes.ptr[sop.len];
        }
        DL_TRY(dl_db_finish(q, err));
        if (!found) {
            return DL_OK;
        }
        DL_TRY(drop_tombstone(state, series, &sop, err));
    }
}

dl_status dl_state_prune(dl_state *state, int64_t before_us, dl_error *err)
{
    DL_ASSERT(state->writing);
    DL_TRY(dl_state_flush(state, err));
    dl_state_entities_clear(state); /* their counts of tombstones change */
    DL_TRY(dl_state_merge(state, err));
    DL_TRY(prune_tombstones(state, before_us, err));
    DL_TRY(dl_state_shown_sweep(state, err));
    return dl_state_prune_files(state, err);
}
