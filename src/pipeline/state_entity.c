#include "pipeline/state_internal.h"

#include "base/mem.h"

#include <string.h>
#include <xxhash.h>

/* ---- packed UIDs: 0 ends, 1 and 14 escape a byte below '.' or above '9', 2 is '.', 3 '/', 4..13
 * the digits ---- */

enum { NIBBLE_LOW = 1, NIBBLE_DOT = 2, NIBBLE_SLASH = 3, NIBBLE_ZERO = 4, NIBBLE_HIGH = 14 };

static void put_nibble(dl_state_packed *packed, size_t *at, unsigned nibble)
{
    if (*at % 2 == 0) {
        packed->bytes[*at / 2] = (uint8_t)(nibble << 4);
    } else {
        packed->bytes[*at / 2] |= (uint8_t)nibble;
    }
    ++*at;
}

dl_status dl_state_pack(dl_str text, const char *what, dl_state_packed *out_packed, dl_error *err)
{
    if (text.len == 0) {
        return dl_error_set(err, DL_E_INVALID, "state index: the %s is empty", what);
    }
    if (text.len > DL_STATE_KEY_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "state index: a %s of %zu bytes exceeds %d", what,
                            text.len, DL_STATE_KEY_LIMIT_BYTES);
    }
    size_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned c = (unsigned char)text.ptr[i];
        if (c >= '.' && c <= '9') {
            put_nibble(out_packed, &at, c - '.' + NIBBLE_DOT);
        } else {
            put_nibble(out_packed, &at, c < '.' ? NIBBLE_LOW : NIBBLE_HIGH);
            put_nibble(out_packed, &at, c >> 4);
            put_nibble(out_packed, &at, c & 15);
        }
    }
    out_packed->len = (at + 1) / 2;
    return DL_OK;
}

dl_status dl_state_unpack(dl_bytes packed, char *out, dl_str *out_text, dl_error *err)
{
    size_t nibbles = packed.len * 2, len = 0, at = 0;
    bool good = true;
    while (good && at < nibbles) {
        unsigned n[3] = {0};
        size_t take = 1;
        for (size_t i = 0; i < take && at + i < nibbles; i++) {
            unsigned byte = packed.ptr[(at + i) / 2];
            n[i] = (at + i) % 2 == 0 ? byte >> 4 : byte & 15;
            take = n[0] == NIBBLE_LOW || n[0] == NIBBLE_HIGH ? 3 : 1;
        }
        if (n[0] == 0) {
            good = at + 1 == nibbles;
            break;
        }
        good = n[0] <= NIBBLE_HIGH && at + take <= nibbles && len < DL_STATE_KEY_LIMIT_BYTES;
        if (good) {
            out[len++] = (char)(take == 3 ? n[1] << 4 | n[2] : n[0] - NIBBLE_DOT + '.');
        }
        at += take;
    }
    if (!good || len == 0) {
        return dl_error_set(err, DL_E_CORRUPT, "state index: a UID of %zu bytes is damaged",
                            packed.len);
    }
    *out_text = (dl_str){out, len};
    return DL_OK;
}

/* ---- studies and series in memory ---- */

void dl_state_entities_clear(dl_state *state)
{
    for (size_t i = 0; state->entity_count > 0 && i < DL_STATE_ENTITY_SLOTS; i++) {
        dl_mem_free(state->entities[i]);
        state->entities[i] = NULL;
    }
    state->entity_count = 0;
    state->touched_series = NULL;
    state->touched_studies = NULL;
    state->last_series = NULL;
}

static uint64_t hash_of(bool is_series, int64_t parent, const dl_state_packed *key)
{
    return XXH3_64bits_withSeed(key->bytes, key->len, (uint64_t)parent << 1 | is_series);
}

static dl_state_entity **slot_of(dl_state *state, bool is_series, int64_t parent,
                                 const dl_state_packed *key, uint64_t hash)
{
    size_t i = (size_t)hash & (DL_STATE_ENTITY_SLOTS - 1);
    for (;; i = (i + 1) & (DL_STATE_ENTITY_SLOTS - 1)) {
        const dl_state_entity *e = state->entities[i];
        if (e == NULL ||
            (e->hash == hash && e->parent == parent && (e->study != NULL) == is_series &&
             e->key_len == key->len && memcmp(e->key, key->bytes, key->len) == 0)) {
            return &state->entities[i];
        }
    }
}

static const char find_study[] =
    "SELECT id, 0, 0, 0, 0 FROM study WHERE partition_id = ?1 AND uid = ?2";
static const char make_study[] = "INSERT INTO study(partition_id, uid) VALUES(?1, ?2)";
static const char find_series[] =
    "SELECT s.id, coalesce(r.instance_count, s.instance_count),"
    " coalesce(r.tombstones, s.tombstones), coalesce(r.timestamp, s.timestamp),"
    " coalesce(r.shown, s.shown) FROM series s LEFT JOIN recent_series r ON r.id = s.id"
    " WHERE s.study_id = ?1 AND s.uid = ?2";
static const char make_series[] =
    "INSERT INTO series(study_id, uid, partition_id) VALUES(?1, ?2, ?3)";

/** The row of `entity` (parent and key are set), made when missing and `make`; id 0: none. */
static dl_status load(dl_state *state, dl_state_entity *entity, bool make, dl_error *err)
{
    bool is_series = entity->study != NULL;
    dl_bytes key = {entity->key, entity->key_len};
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, is_series ? find_series : find_study, &q, err));
    dl_db_bind_int(q, 1, entity->parent);
    dl_db_bind_bytes(q, 2, key);
    if (dl_db_step(q)) {
        entity->id = dl_db_int(q, 0);
        entity->instance_count = dl_db_int(q, 1);
        entity->count_before = entity->instance_count;
        entity->tombstone_count = dl_db_int(q, 2);
        entity->last_us = dl_db_int(q, 3);
        entity->last_shown = dl_db_int(q, 4);
        entity->last_known = entity->instance_count > 0;
    }
    DL_TRY(dl_db_finish(q, err));
    if (entity->id != 0 || !make) {
        return DL_OK;
    }
    DL_TRY(dl_state_query(state, is_series ? make_series : make_study, &q, err));
    dl_db_bind_int(q, 1, entity->parent);
    dl_db_bind_bytes(q, 2, key);
    if (is_series) {
        dl_db_bind_int(q, 3, entity->partition);
    }
    DL_TRY(dl_db_run(q, err));
    entity->id = dl_db_last_id(state->db);
    return DL_OK;
}

/** Where an entity stands. */
typedef struct above {
    int64_t partition;
    dl_state_entity *study; /* NULL: it is a study itself */
} above;

/** The entity with that key there, from memory or from the database. NULL: there is none. */
static dl_status find(dl_state *state, above where, const dl_state_packed *key, bool make,
                      dl_state_entity **out_entity, dl_error *err)
{
    dl_state_entity *study = where.study;
    int64_t parent = study == NULL ? where.partition : study->id;
    uint64_t hash = hash_of(study != NULL, parent, key);
    dl_state_entity **slot = slot_of(state, study != NULL, parent, key, hash);
    if (*slot != NULL) {
        *out_entity = *slot;
        return DL_OK;
    }
    dl_state_entity *entity = dl_mem_zalloc(1, sizeof *entity + key->len);
    if (entity == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "state index: out of memory");
    }
    entity->study = study;
    entity->parent = parent;
    entity->partition = where.partition;
    entity->hash = hash;
    entity->key_len = key->len;
    memcpy(entity->key, key->bytes, key->len);
    dl_status status = load(state, entity, make, err);
    if (status != DL_OK || entity->id == 0) {
        dl_mem_free(entity);
        if (status == DL_OK) {
            *out_entity = NULL;
        }
        return status;
    }
    *slot = entity;
    state->entity_count++;
    *out_entity = entity;
    return DL_OK;
}

static dl_status partition_of(dl_state *state, dl_str name, bool make, int64_t *out_id,
                              dl_error *err)
{
    if (state->last_partition != 0 && dl_str_eq(dl_buf_str(&state->last_partition_name), name)) {
        *out_id = state->last_partition;
        return DL_OK;
    }
    if (name.len == 0) {
        return dl_error_set(err, DL_E_INVALID, "state index: the partition name is empty");
    }
    if (name.len > DL_STATE_KEY_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT,
                            "state index: a partition name of %zu bytes exceeds %d", name.len,
                            DL_STATE_KEY_LIMIT_BYTES);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT id FROM partition WHERE name = ?1", &q, err));
    dl_db_bind_str(q, 1, name);
    int64_t id = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (id == 0 && make) {
        DL_TRY(dl_state_query(state, "INSERT INTO partition(name) VALUES(?1)", &q, err));
        dl_db_bind_str(q, 1, name);
        DL_TRY(dl_db_run(q, err));
        id = dl_db_last_id(state->db);
    }
    if (id != 0) {
        state->last_partition = 0;
        dl_buf_reset(&state->last_partition_name);
        DL_TRY(dl_buf_append_str(&state->last_partition_name, name, err));
        state->last_partition = id;
    }
    *out_id = id;
    return DL_OK;
}

static bool is_last(const dl_state *state, const dl_state_key *key)
{
    const dl_str texts[3] = {key->partition_name, key->study_uid, key->series_uid};
    const char *at = state->last_key.ptr;
    for (size_t i = 0; i < 3; i++) {
        if (texts[i].len != state->last_lens[i] || memcmp(texts[i].ptr, at, texts[i].len) != 0) {
            return false;
        }
        at += texts[i].len;
    }
    return true;
}

static dl_status remember_last(dl_state *state, const dl_state_key *key, dl_state_entity *series,
                               dl_error *err)
{
    const dl_str texts[3] = {key->partition_name, key->study_uid, key->series_uid};
    state->last_series = NULL;
    dl_buf_reset(&state->last_key);
    for (size_t i = 0; i < 3; i++) {
        DL_TRY(dl_buf_append_str(&state->last_key, texts[i], err));
        state->last_lens[i] = texts[i].len;
    }
    state->last_series = series;
    return DL_OK;
}

/** Room for a study and a series. */
static dl_status make_room(dl_state *state, dl_error *err)
{
    if (state->entity_count + 2 <= DL_STATE_ENTITY_LIMIT) {
        return DL_OK;
    }
    DL_TRY(dl_state_flush(state, err));
    dl_state_entities_clear(state);
    return DL_OK;
}

dl_status dl_state_entity_of(dl_state *state, const dl_state_key *key, bool make,
                             dl_state_entity **out_entity, dl_error *err)
{
    bool is_series = key->series_uid.ptr != NULL;
    if (is_series && state->last_series != NULL && is_last(state, key)) {
        *out_entity = state->last_series;
        return DL_OK;
    }
    DL_TRY(make_room(state, err));
    dl_state_packed packed = {.len = 0};
    dl_state_entity *entity = NULL;
    int64_t partition = 0;
    DL_TRY(dl_state_pack(key->study_uid, "study UID", &packed, err));
    DL_TRY(partition_of(state, key->partition_name, make, &partition, err));
    if (partition != 0) {
        DL_TRY(find(state, (above){partition, NULL}, &packed, make, &entity, err));
    }
    if (is_series) {
        DL_TRY(dl_state_pack(key->series_uid, "series UID", &packed, err));
    }
    if (is_series && entity != NULL) {
        dl_state_entity *study = entity;
        DL_TRY(find(state, (above){partition, study}, &packed, make, &entity, err));
        if (entity != NULL) {
            DL_TRY(remember_last(state, key, entity, err));
        }
    }
    *out_entity = entity;
    return DL_OK;
}

void dl_state_touch(dl_state *state, dl_state_entity *entity, bool dirty)
{
    entity->dirty |= dirty;
    if (!entity->touched) {
        dl_state_entity **list =
            entity->study != NULL ? &state->touched_series : &state->touched_studies;
        entity->touched = true;
        entity->next_touched = *list;
        *list = entity;
    }
}

/* ---- to the database ---- */

static const char last_instance[] =
    "SELECT timestamp, shown FROM instance WHERE series_id = ?1 AND file <> 0"
    " ORDER BY timestamp DESC, sop DESC LIMIT 1";
static const char last_of_both[] =
    "SELECT timestamp, shown FROM (SELECT timestamp, shown, sop FROM recent_instance"
    " WHERE series_id = ?1 AND file <> 0 UNION ALL SELECT i.timestamp, i.shown, i.sop"
    " FROM instance i WHERE i.series_id = ?1 AND i.file <> 0 AND NOT EXISTS (SELECT 1"
    " FROM recent_instance r WHERE r.series_id = ?1 AND r.sop = i.sop))"
    " ORDER BY timestamp DESC, sop DESC LIMIT 1";

/* Which instance shows, where that is not known: all of the series are looked at. */
static dl_status find_last(dl_state *state, dl_state_entity *series, dl_error *err)
{
    if (series->instance_count == 0) {
        series->last_us = 0;
        series->last_shown = 0;
        series->last_known = false;
        return DL_OK;
    }
    if (series->last_known) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_state_query(state, state->recent_changes > 0 ? last_of_both : last_instance, &q, err));
    dl_db_bind_int(q, 1, series->id);
    int64_t timestamp = 0, shown = 0;
    if (dl_db_step(q)) {
        timestamp = dl_db_int(q, 0);
        shown = dl_db_int(q, 1);
    }
    DL_TRY(dl_db_finish(q, err));
    series->last_us = timestamp;
    series->last_shown = shown;
    series->last_known = true;
    return DL_OK;
}

static const char update_series[] =
    "UPDATE series SET instance_count = ?2, tombstones = ?3, timestamp = ?4, shown = ?5,"
    " dirty = max(dirty, ?6) WHERE id = ?1";
static const char update_recent_series[] =
    "UPDATE recent_series SET instance_count = ?2, tombstones = ?3, timestamp = ?4, shown = ?5,"
    " dirty = max(dirty, ?6) WHERE id = ?1";
static const char update_study[] =
    "UPDATE study SET series_count = series_count + ?2, instance_count = instance_count + ?3,"
    " dirty = 1 WHERE id = ?1";
static const char update_recent_study[] =
    "UPDATE recent_study SET series_count = series_count + ?2,"
    " instance_count = instance_count + ?3, dirty = 1 WHERE id = ?1";

static dl_status flush_series(dl_state *state, dl_state_entity *series, dl_error *err)
{
    DL_TRY(find_last(state, series, err));
    DL_TRY(dl_state_lift(state, DL_STATE_SERIES, series->id, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, state->apart ? update_recent_series : update_series, &q, err));
    dl_db_bind_int(q, 1, series->id);
    dl_db_bind_int(q, 2, series->instance_count);
    dl_db_bind_int(q, 3, series->tombstone_count);
    dl_db_bind_int(q, 4, series->last_us);
    dl_db_bind_int(q, 5, series->last_shown);
    dl_db_bind_int(q, 6, series->dirty);
    DL_TRY(dl_db_run(q, err));
    if (!series->dirty) { /* tombstones alone: the rows stay as they are */
        return DL_OK;
    }
    dl_state_entity *study = series->study;
    study->series_delta += (series->instance_count > 0) - (series->count_before > 0);
    study->instance_delta += series->instance_count - series->count_before;
    series->count_before = series->instance_count;
    dl_state_touch(state, study, true);
    return DL_OK;
}

static dl_status flush_study(dl_state *state, dl_state_entity *study, dl_error *err)
{
    DL_TRY(dl_state_lift(state, DL_STATE_STUDY, study->id, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, state->apart ? update_recent_study : update_study, &q, err));
    dl_db_bind_int(q, 1, study->id);
    dl_db_bind_int(q, 2, study->series_delta);
    dl_db_bind_int(q, 3, study->instance_delta);
    DL_TRY(dl_db_run(q, err));
    study->series_delta = 0;
    study->instance_delta = 0;
    return DL_OK;
}

static dl_status flush_entities(dl_state *state, dl_error *err)
{
    for (int is_series = 1; is_series >= 0; is_series--) {
        dl_state_entity **list = is_series != 0 ? &state->touched_series : &state->touched_studies;
        while (*list != NULL) {
            dl_state_entity *e = *list;
            DL_TRY(is_series != 0 ? flush_series(state, e, err) : flush_study(state, e, err));
            *list = e->next_touched;
            e->next_touched = NULL;
            e->touched = false;
            e->dirty = false;
        }
    }
    return DL_OK;
}

dl_status dl_state_entities_flush(dl_state *state, dl_error *err)
{
    dl_status status = flush_entities(state, err);
    if (status != DL_OK) { /* half of it may be written */
        dl_state_rollback(state);
    }
    return status;
}

dl_status dl_state_flush(dl_state *state, dl_error *err)
{
    DL_TRY(dl_state_entities_flush(state, err));
    dl_status status = dl_state_deltas_flush(state, err);
    if (status != DL_OK) {
        dl_state_rollback(state);
    }
    return status;
}

static dl_status forget(dl_state *state, const char *sql, int64_t id, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    dl_db_bind_int(q, 1, id);
    DL_TRY(dl_db_run(q, err));
    if (dl_db_changes(state->db) > 0) {
        dl_state_entities_clear(state); /* one of them may be it */
    }
    return DL_OK;
}

/** Whether a recent row speaks against letting go; else nothing is recent any more. */
static dl_status is_needed(dl_state *state, const char *sql, int64_t id, bool *out_needed,
                           dl_error *err)
{
    *out_needed = false;
    if (state->recent_changes == 0) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    dl_db_bind_int(q, 1, id);
    *out_needed = dl_db_step(q);
    DL_TRY(dl_db_finish(q, err));
    return *out_needed ? DL_OK : dl_state_merge(state, err);
}

dl_status dl_state_forget_study(dl_state *state, int64_t id, dl_error *err)
{
    DL_ASSERT(state->touched_series == NULL && state->touched_studies == NULL);
    bool needed = false;
    DL_TRY(is_needed(state, "SELECT 1 FROM series WHERE study_id = ?1 LIMIT 1", id, &needed, err));
    return needed ? DL_OK
                  : forget(state,
                           "DELETE FROM study WHERE id = ?1 AND dirty = 0 AND file = 0"
                           " AND instance_count = 0"
                           " AND NOT EXISTS (SELECT 1 FROM series WHERE study_id = ?1)",
                           id, err);
}

dl_status dl_state_forget_series(dl_state *state, int64_t id, dl_error *err)
{
    DL_ASSERT(state->touched_series == NULL && state->touched_studies == NULL);
    dl_db_stmt *q = NULL;
    bool needed = false;
    DL_TRY(is_needed(state,
                     "SELECT 1 FROM recent_series WHERE id = ?1"
                     " AND (dirty <> 0 OR file <> 0 OR instance_count <> 0 OR tombstones <> 0)",
                     id, &needed, err));
    if (needed) {
        return DL_OK;
    }
    DL_TRY(dl_state_query(state, "SELECT study_id FROM series WHERE id = ?1", &q, err));
    dl_db_bind_int(q, 1, id);
    int64_t study = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    DL_TRY(forget(state,
                  "DELETE FROM series WHERE id = ?1 AND dirty = 0 AND file = 0"
                  " AND instance_count = 0 AND tombstones = 0",
                  id, err));
    return study == 0 ? DL_OK : dl_state_forget_study(state, study, err);
}
