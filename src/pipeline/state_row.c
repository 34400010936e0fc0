#include "pipeline/state_internal.h"

/* ---- the dirty ones ---- */

/* The order of columns is that of take_row. */
static const char dirty_series[] =
    "SELECT s.id, p.name, t.uid, s.uid, 0, s.instance_count, s.timestamp, h.blob, s.file, s.row,"
    " s.hash FROM partition p CROSS JOIN series s INDEXED BY series_dirty"
    " ON s.partition_id = p.id AND s.dirty = 1 JOIN study t ON t.id = s.study_id"
    " LEFT JOIN shown h ON h.id = s.shown ORDER BY p.name, s.id LIMIT ?1";
static const char dirty_study[] =
    "SELECT t.id, p.name, t.uid, NULL, t.series_count, t.instance_count, s.timestamp, h.blob,"
    " t.file, t.row, t.hash FROM partition p CROSS JOIN study t INDEXED BY study_dirty"
    " ON t.partition_id = p.id AND t.dirty = 1"
    " LEFT JOIN series s ON s.id = (SELECT l.id FROM series l"
    " WHERE l.study_id = t.id AND l.instance_count > 0"
    " ORDER BY l.timestamp DESC, l.uid DESC LIMIT 1)"
    " LEFT JOIN shown h ON h.id = s.shown ORDER BY p.name, t.id LIMIT ?1";

/* The same while there are recent rows. */
static const char dirty_recent_series[] =
    "SELECT r.id, p.name, t.uid, s.uid, 0, r.instance_count, r.timestamp, h.blob, r.file, r.row,"
    " r.hash FROM partition p CROSS JOIN recent_series r INDEXED BY recent_series_dirty"
    " ON r.partition_id = p.id AND r.dirty = 1 JOIN series s ON s.id = r.id"
    " JOIN study t ON t.id = s.study_id"
    " LEFT JOIN shown h ON h.id = r.shown ORDER BY p.name, r.id LIMIT ?1";
static const char dirty_recent_study[] =
    "SELECT r.id, p.name, t.uid, NULL, r.series_count, r.instance_count,"
    " coalesce(n.timestamp, s.timestamp), h.blob, r.file, r.row, r.hash"
    " FROM partition p CROSS JOIN recent_study r INDEXED BY recent_study_dirty"
    " ON r.partition_id = p.id AND r.dirty = 1 JOIN study t ON t.id = r.id"
    " LEFT JOIN series s ON s.id = (SELECT l.id FROM series l"
    " LEFT JOIN recent_series m ON m.id = l.id"
    " WHERE l.study_id = r.id AND coalesce(m.instance_count, l.instance_count) > 0"
    " ORDER BY coalesce(m.timestamp, l.timestamp) DESC, l.uid DESC LIMIT 1)"
    " LEFT JOIN recent_series n ON n.id = s.id"
    " LEFT JOIN shown h ON h.id = coalesce(n.shown, s.shown) ORDER BY p.name, r.id LIMIT ?1";

static const char *dirty_sql(const dl_state *state, dl_state_kind kind)
{
    if (state->recent_changes > 0) {
        return kind == DL_STATE_SERIES ? dirty_recent_series : dirty_recent_study;
    }
    return kind == DL_STATE_SERIES ? dirty_series : dirty_study;
}

static dl_status take_row(dl_state *state, dl_db_stmt *q, char texts[2][DL_STATE_KEY_LIMIT_BYTES],
                          dl_state_row *out_row, dl_error *err)
{
    dl_state_row row = {.id = dl_db_int(q, 0),
                        .partition_name = dl_db_str(q, 1),
                        .series_count = dl_db_int(q, 4),
                        .instance_count = dl_db_int(q, 5),
                        .timestamp_us = dl_db_int(q, 6),
                        .place = {dl_db_int(q, 8), dl_db_int(q, 9)},
                        .written_hash = (uint64_t)dl_db_int(q, 10)};
    DL_TRY(dl_state_unpack(dl_db_bytes(q, 2), texts[0], &row.study_uid, err));
    if (!dl_db_is_null(q, 3)) {
        DL_TRY(dl_state_unpack(dl_db_bytes(q, 3), texts[1], &row.series_uid, err));
    }
    DL_TRY(dl_state_shown_of(dl_db_bytes(q, 7), &row.shown, err));
    DL_TRY(dl_state_resolve(state, &row.place, err));
    *out_row = row;
    return DL_OK;
}

dl_status dl_state_dirty(dl_state *state, dl_state_kind kind, size_t limit,
                         dl_status (*visit)(void *context, const dl_state_row *row, dl_error *err),
                         void *context, dl_error *err)
{
    DL_ASSERT(kind != DL_STATE_INSTANCE);
    DL_TRY(dl_state_flush(state, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, dirty_sql(state, kind), &q, err));
    dl_db_bind_int(q, 1, limit > INT64_MAX ? INT64_MAX : (int64_t)limit);
    dl_status status = DL_OK;
    char texts[2][DL_STATE_KEY_LIMIT_BYTES];
    while (status == DL_OK && dl_db_step(q)) {
        dl_state_row row;
        status = take_row(state, q, texts, &row, err);
        if (status == DL_OK) {
            status = visit(context, &row, err);
        }
    }
    return dl_state_end(q, status, err);
}

/* ---- where their rows are ---- */

typedef struct spot {
    dl_state_kind kind;
    int64_t id;
    bool known;
    dl_state_place place; /* as stored */
    uint64_t hash;
} spot;

static dl_status spot_get(dl_state *state, dl_state_kind kind, int64_t id, spot *out_spot,
                          dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state,
                          kind == DL_STATE_SERIES
                              ? "SELECT coalesce(r.file, s.file), coalesce(r.row, s.row),"
                                " coalesce(r.hash, s.hash) FROM series s"
                                " LEFT JOIN recent_series r ON r.id = s.id WHERE s.id = ?1"
                              : "SELECT coalesce(r.file, s.file), coalesce(r.row, s.row),"
                                " coalesce(r.hash, s.hash) FROM study s"
                                " LEFT JOIN recent_study r ON r.id = s.id WHERE s.id = ?1",
                          &q, err));
    dl_db_bind_int(q, 1, id);
    spot found = {.kind = kind, .id = id};
    if (dl_db_step(q)) {
        found = (spot){.kind = kind,
                       .id = id,
                       .known = true,
                       .place = {dl_db_int(q, 0), dl_db_int(q, 1)},
                       .hash = (uint64_t)dl_db_int(q, 2)};
    }
    DL_TRY(dl_db_finish(q, err));
    *out_spot = found;
    return DL_OK;
}

enum { CLEAN, DIRTY, AS_BEFORE };

static const char set_series[] = "UPDATE series SET file = ?2, row = ?3, hash = ?4,"
                                 " dirty = CASE ?5 WHEN 2 THEN dirty ELSE ?5 END WHERE id = ?1";
static const char set_study[] = "UPDATE study SET file = ?2, row = ?3, hash = ?4,"
                                " dirty = CASE ?5 WHEN 2 THEN dirty ELSE ?5 END WHERE id = ?1";

static const char set_recent_series[] =
    "UPDATE recent_series SET file = ?2, row = ?3, hash = ?4,"
    " dirty = CASE ?5 WHEN 2 THEN dirty ELSE ?5 END WHERE id = ?1";
static const char set_recent_study[] =
    "UPDATE recent_study SET file = ?2, row = ?3, hash = ?4,"
    " dirty = CASE ?5 WHEN 2 THEN dirty ELSE ?5 END WHERE id = ?1";

static const char *set_sql(const dl_state *state, dl_state_kind kind)
{
    if (state->apart) {
        return kind == DL_STATE_SERIES ? set_recent_series : set_recent_study;
    }
    return kind == DL_STATE_SERIES ? set_series : set_study;
}

static dl_status spot_set(dl_state *state, const spot *before, const spot *now, int dirty,
                          dl_error *err)
{
    DL_TRY(dl_state_lift(state, before->kind, before->id, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, set_sql(state, before->kind), &q, err));
    dl_db_bind_int(q, 1, before->id);
    dl_db_bind_int(q, 2, now->place.file);
    dl_db_bind_int(q, 3, now->place.row);
    dl_db_bind_int(q, 4, (int64_t)now->hash);
    dl_db_bind_int(q, 5, dirty);
    DL_TRY(dl_db_run(q, err));
    if (before->place.file != now->place.file) {
        DL_TRY(dl_state_file_count(state, before->place.file, -1, err));
        DL_TRY(dl_state_file_count(state, now->place.file, 1, err));
    }
    return DL_OK;
}

dl_status dl_state_written(dl_state *state, dl_state_kind kind, int64_t id, dl_state_place place,
                           uint64_t hash, dl_error *err)
{
    DL_ASSERT(state->writing && kind != DL_STATE_INSTANCE);
    DL_TRY(dl_state_entities_flush(state, err));
    spot before = {0};
    DL_TRY(spot_get(state, kind, id, &before, err));
    if (!before.known) {
        return dl_error_set(err, DL_E_NOT_FOUND, "state index: there is no %s %lld",
                            kind == DL_STATE_SERIES ? "series" : "study", (long long)id);
    }
    spot now = {.place = place, .hash = place.file == 0 ? 0 : hash};
    DL_TRY(spot_set(state, &before, &now, CLEAN, err));
    if (place.file != 0) {
        return DL_OK;
    }
    return kind == DL_STATE_SERIES ? dl_state_forget_series(state, id, err)
                                   : dl_state_forget_study(state, id, err);
}

/** The key as it counts for rows of that kind. */
static dl_state_key key_of(dl_state_kind kind, const dl_state_key *key)
{
    dl_state_key own = *key;
    if (kind == DL_STATE_STUDY) {
        own.series_uid = DL_STR_NONE;
    }
    return own;
}

dl_status dl_state_found(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                         dl_state_place place, uint64_t hash, dl_error *err)
{
    DL_ASSERT(state->writing && kind != DL_STATE_INSTANCE && place.file != 0);
    dl_state_key own = key_of(kind, key);
    dl_state_entity *entity = NULL;
    spot before = {0};
    DL_TRY(dl_state_entity_of(state, &own, true, &entity, err));
    DL_TRY(spot_get(state, kind, entity->id, &before, err));
    dl_state_place at = before.place, here = place;
    DL_TRY(dl_state_resolve(state, &at, err));
    DL_TRY(dl_state_resolve(state, &here, err));
    if (at.file != 0 && (at.file != here.file || at.row != here.row)) {
        return dl_state_extra_add(state, kind, place, err);
    }
    spot now = {.place = place, .hash = hash};
    bool same = before.hash == hash && hash != 0;
    return spot_set(state, &before, &now, same ? AS_BEFORE : DIRTY, err);
}

static dl_status spot_of_key(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                             spot *out_spot, dl_error *err)
{
    dl_state_key own = key_of(kind, key);
    dl_state_entity *entity = NULL;
    DL_TRY(dl_state_entity_of(state, &own, false, &entity, err));
    if (entity == NULL) {
        *out_spot = (spot){.kind = kind};
        return DL_OK;
    }
    return spot_get(state, kind, entity->id, out_spot, err);
}

dl_status dl_state_row_place(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                             dl_state_place *out_place, dl_error *err)
{
    DL_ASSERT(state->writing && kind != DL_STATE_INSTANCE);
    spot known = {0};
    DL_TRY(spot_of_key(state, kind, key, &known, err));
    dl_state_place place = known.place;
    DL_TRY(dl_state_resolve(state, &place, err));
    *out_place = place;
    return DL_OK;
}

dl_status dl_state_row_unplace(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                               dl_error *err)
{
    DL_ASSERT(state->writing && kind != DL_STATE_INSTANCE);
    spot before = {0};
    DL_TRY(spot_of_key(state, kind, key, &before, err));
    spot now = {.hash = before.hash};
    return before.known ? spot_set(state, &before, &now, AS_BEFORE, err) : DL_OK;
}

dl_status dl_state_lost(dl_state *state, dl_state_kind kind, const dl_state_key *key,
                        dl_state_place place, dl_error *err)
{
    DL_ASSERT(state->writing && kind != DL_STATE_INSTANCE);
    dl_state_key own = key_of(kind, key);
    dl_state_entity *entity = NULL;
    spot before = {0};
    bool was_extra = false;
    DL_TRY(dl_state_extra_remove(state, kind, place, &was_extra, err));
    DL_TRY(dl_state_entity_of(state, &own, false, &entity, err));
    if (was_extra || entity == NULL) {
        return DL_OK;
    }
    DL_TRY(spot_get(state, kind, entity->id, &before, err));
    dl_state_place at = before.place;
    DL_TRY(dl_state_resolve(state, &at, err));
    DL_TRY(dl_state_resolve(state, &place, err));
    if (at.file != place.file || at.row != place.row) {
        return DL_OK; /* the row that stands is another one */
    }
    spot now = {0};
    return spot_set(state, &before, &now, DIRTY, err);
}

dl_status dl_state_all_dirty(dl_state *state, dl_error *err)
{
    DL_ASSERT(state->writing);
    DL_TRY(dl_state_flush(state, err));
    DL_TRY(dl_state_merge(state, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "UPDATE series SET dirty = 1 WHERE dirty = 0", &q, err));
    DL_TRY(dl_db_run(q, err));
    DL_TRY(dl_state_query(state, "UPDATE study SET dirty = 1 WHERE dirty = 0", &q, err));
    return dl_db_run(q, err);
}

/* ---- extras ---- */

dl_status dl_state_extra_add(dl_state *state, dl_state_kind kind, dl_state_place place,
                             dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "INSERT OR IGNORE INTO extra VALUES(?1, ?2, ?3)", &q, err));
    dl_db_bind_int(q, 1, kind);
    dl_db_bind_int(q, 2, place.file);
    dl_db_bind_int(q, 3, place.row);
    return dl_db_run(q, err);
}

dl_status dl_state_extras(dl_state *state, dl_state_kind kind,
                          dl_status (*visit)(void *context, dl_state_place place, dl_error *err),
                          void *context, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT file, row FROM extra WHERE kind = ?1 ORDER BY file, row",
                          &q, err));
    dl_db_bind_int(q, 1, kind);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_state_place place = {dl_db_int(q, 0), dl_db_int(q, 1)};
        status = dl_state_resolve(state, &place, err);
        if (status == DL_OK && place.file != 0) {
            status = visit(context, place, err);
        }
    }
    return dl_state_end(q, status, err);
}

dl_status dl_state_extras_clear(dl_state *state, dl_state_kind kind, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "DELETE FROM extra WHERE kind = ?1", &q, err));
    dl_db_bind_int(q, 1, kind);
    return dl_db_run(q, err);
}

dl_status dl_state_extra_remove(dl_state *state, dl_state_kind kind, dl_state_place place,
                                bool *out_found, dl_error *err)
{
    DL_TRY(dl_state_resolve(state, &place, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT file, row FROM extra WHERE kind = ?1", &q, err));
    dl_db_bind_int(q, 1, kind);
    dl_status status = DL_OK;
    dl_state_place stored = {0};
    bool found = false;
    while (status == DL_OK && !found && dl_db_step(q)) {
        stored = (dl_state_place){dl_db_int(q, 0), dl_db_int(q, 1)};
        dl_state_place at = stored;
        status = dl_state_resolve(state, &at, err);
        found = status == DL_OK && at.file == place.file && at.row == place.row;
    }
    DL_TRY(dl_state_end(q, status, err));
    if (found) {
        DL_TRY(dl_state_query(state, "DELETE FROM extra WHERE kind = ?1 AND file = ?2 AND row = ?3",
                              &q, err));
        dl_db_bind_int(q, 1, kind);
        dl_db_bind_int(q, 2, stored.file);
        dl_db_bind_int(q, 3, stored.row);
        DL_TRY(dl_db_run(q, err));
    }
    *out_found = found;
    return DL_OK;
}
