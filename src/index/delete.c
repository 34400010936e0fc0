#include "index/internal.h"

static dl_status remove_instance(dl_index_tx *tx, dl_index_series *series, int64_t instance,
                                 int64_t watermark, int64_t not_before_us, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, "UPDATE instance SET watermark=NULL WHERE id=?1", &q, err));
    dl_db_bind_int(q, 1, instance);
    DL_TRY(dl_db_run(q, err));
    DL_TRY(dl_index_version_retire(tx, watermark, not_before_us, err));
    DL_TRY(dl_index_entity_remove(tx, series, watermark, err));
    return dl_index_change_add(tx, instance, watermark, DL_INDEX_REMOVE, err);
}

typedef struct row {
    int64_t instance, watermark;
} row;

/** The rows first, then the updates: a statement is not read while its table changes. */
static dl_status list_series(dl_index_tx *tx, const dl_index_series *series, row **out_rows,
                             size_t *out_count, dl_error *err)
{
    size_t room = (size_t)series->instance_count, count = 0;
    row *rows = dl_arena_alloc(tx->arena, room, sizeof *rows);
    if (rows == NULL) {
        return dl_arena_full(tx->arena, err);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT id, watermark FROM instance WHERE series=?1"
                       " AND watermark IS NOT NULL ORDER BY watermark",
                       &q, err));
    dl_db_bind_int(q, 1, series->id);
    while (count < room && dl_db_step(q)) {
        rows[count++] = (row){dl_db_int(q, 0), dl_db_int(q, 1)};
    }
    DL_TRY(dl_db_finish(q, err));
    if (count != room) {
        return dl_error_set(err, DL_E_CORRUPT, "index: series %lld has %zu instances, not %zu",
                            (long long)series->id, count, room);
    }
    *out_rows = rows;
    *out_count = count;
    return DL_OK;
}

static dl_status remove_series(dl_index_tx *tx, dl_index_series *series, int64_t not_before_us,
                               int64_t *count, dl_error *err)
{
    row *rows = NULL;
    size_t row_count = 0;
    DL_TRY(list_series(tx, series, &rows, &row_count, err));
    for (size_t i = 0; i < row_count; i++) {
        DL_TRY(
            remove_instance(tx, series, rows[i].instance, rows[i].watermark, not_before_us, err));
    }
    *count += (int64_t)row_count;
    return DL_OK;
}

static dl_status list_study(dl_index_tx *tx, const dl_index_study *study, dl_index_uid **out_uids,
                            size_t *out_count, dl_error *err)
{
    /* Series that this transaction made or emptied are to be seen as such in the table. */
    DL_TRY(dl_index_entity_flush(tx, err));
    size_t room = (size_t)study->series_count, count = 0;
    dl_index_uid *uids = dl_arena_alloc(tx->arena, room, sizeof *uids);
    if (uids == NULL) {
        return dl_arena_full(tx->arena, err);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT uid FROM series WHERE study=?1 AND created IS NOT NULL"
                       " ORDER BY created",
                       &q, err));
    dl_db_bind_int(q, 1, study->id);
    while (count < room && dl_db_step(q)) {
        if (dl_index_uid_of(dl_db_bytes(q, 0), &uids[count])) {
            count++;
        }
    }
    DL_TRY(dl_db_finish(q, err));
    if (count != room) {
        return dl_error_set(err, DL_E_CORRUPT, "index: study %lld has %zu series, not %zu",
                            (long long)study->id, count, room);
    }
    *out_uids = uids;
    *out_count = count;
    return DL_OK;
}

static dl_status remove_study(dl_index_tx *tx, dl_index_study *study, int64_t not_before_us,
                              int64_t *count, dl_error *err)
{
    dl_index_uid *uids = NULL;
    size_t uid_count = 0;
    DL_TRY(list_study(tx, study, &uids, &uid_count, err));
    for (size_t i = 0; i < uid_count; i++) {
        dl_index_series *series = NULL;
        DL_TRY(dl_index_series_find(tx, study, &uids[i], false, &series, err));
        if (series != NULL && series->created != 0) {
            DL_TRY(remove_series(tx, series, not_before_us, count, err));
        }
    }
    return DL_OK;
}

static dl_status remove_one(dl_index_tx *tx, dl_index_series *series, const dl_index_uid *uid,
                            int64_t not_before_us, int64_t *count, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT id, watermark FROM instance WHERE uid=?1 AND series=?2", &q, err));
    dl_db_bind_bytes(q, 1, dl_index_uid_bytes(uid));
    dl_db_bind_int(q, 2, series->id);
    bool found = dl_db_step(q);
    int64_t instance = found ? dl_db_int(q, 0) : 0, watermark = found ? dl_db_int(q, 1) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (watermark == 0) {
        return DL_OK;
    }
    *count = 1;
    return remove_instance(tx, series, instance, watermark, not_before_us, err);
}

/** False when a store has put the expiry off, or called it off, since the scope was listed. */
static bool may_expire(const dl_index_study *study, const dl_index_scope *scope)
{
    return scope->expired_us == 0 ||
           (study->expires_us != 0 && study->expires_us <= scope->expired_us);
}

static dl_status remove_scope(dl_index_tx *tx, const dl_index_scope *scope, int64_t not_before_us,
                              int64_t *count, dl_error *err)
{
    dl_index_uid uid;
    dl_index_study *study = NULL;
    dl_index_series *series = NULL;
    if (!dl_index_uid_pack(scope->study_uid, &uid)) {
        return DL_OK;
    }
    DL_TRY(dl_index_study_find(tx, scope->partition, &uid, false, &study, err));
    if (study == NULL || study->created == 0 || !may_expire(study, scope)) {
        return DL_OK;
    }
    if (scope->series_uid.len == 0) {
        if (scope->sop_uid.len > 0) {
            return DL_OK;
        }
        return remove_study(tx, study, not_before_us, count, err);
    }
    if (!dl_index_uid_pack(scope->series_uid, &uid)) {
        return DL_OK;
    }
    DL_TRY(dl_index_series_find(tx, study, &uid, false, &series, err));
    if (series == NULL || series->created == 0) {
        return DL_OK;
    }
    if (scope->sop_uid.len == 0) {
        return remove_series(tx, series, not_before_us, count, err);
    }
    return dl_index_uid_pack(scope->sop_uid, &uid)
               ? remove_one(tx, series, &uid, not_before_us, count, err)
               : DL_OK;
}

dl_status dl_index_delete(dl_index_tx *tx, const dl_index_scope *scope, int64_t not_before_us,
                          int64_t *out_count, dl_error *err)
{
    if (tx->failed != DL_OK) {
        return dl_error_set(err, tx->failed, "index: an earlier failure in the transaction");
    }
    int64_t count = 0;
    dl_status status = remove_scope(tx, scope, not_before_us, &count, err);
    if (status != DL_OK) {
        return dl_index_tx_fail(tx, status);
    }
    if (count == 0) {
        return dl_error_set(err, DL_E_NOT_FOUND, "index: nothing of that name is stored");
    }
    *out_count = count;
    return DL_OK;
}

/* ---- cleanup queue ---- */

dl_status dl_index_garbage_due(dl_index *index, const dl_index_due *due, dl_arena *arena,
                               dl_index_garbage **out_list, size_t *out_count, dl_error *err)
{
    DL_AUTO_SNAPSHOT s = NULL;
    DL_TRY(dl_index_snapshot_begin(index, &s, err));
    dl_index_garbage *list = dl_arena_alloc(arena, due->limit, sizeof *list);
    if (list == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT watermark, partition, tries FROM version"
                       " WHERE not_before_us<=?1 ORDER BY not_before_us",
                       &q, err));
    dl_db_bind_int(q, 1, due->now_us);
    size_t count = 0;
    while (count < due->limit && dl_db_step(q)) {
        list[count++] = (dl_index_garbage){
            .watermark = dl_db_int(q, 0),
            .partition = dl_db_int(q, 1),
            .partition_name = dl_index_partition_name(index, dl_db_int(q, 1)),
            .tries = (unsigned)dl_db_int(q, 2),
        };
    }
    DL_TRY(dl_db_finish(q, err));
    *out_list = list;
    *out_count = count;
    return DL_OK;
}

static dl_status forget_version(dl_index_tx *tx, int64_t watermark, bool *out_found, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "DELETE FROM version WHERE watermark=?1 AND not_before_us IS NOT NULL"
                       " RETURNING base",
                       &q, err));
    dl_db_bind_int(q, 1, watermark);
    *out_found = dl_db_step(q);
    int64_t base = *out_found ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_run(q, err));
    return base > 0 ? dl_index_base_count(tx, base, -1, err) : DL_OK;
}

dl_status dl_index_garbage_done(dl_index_tx *tx, int64_t watermark, dl_error *err)
{
    if (tx->failed != DL_OK) {
        return dl_error_set(err, tx->failed, "index: an earlier failure in the transaction");
    }
    bool found = false;
    dl_status status = forget_version(tx, watermark, &found, err);
    if (status != DL_OK) {
        return dl_index_tx_fail(tx, status);
    }
    return found ? DL_OK
                 : dl_error_set(err, DL_E_NOT_FOUND, "version %lld is not in the cleanup queue",
                                (long long)watermark);
}

dl_status dl_index_garbage_retry(dl_index_tx *tx, int64_t watermark, int64_t not_before_us,
                                 dl_error *err)
{
    if (tx->failed != DL_OK) {
        return dl_error_set(err, tx->failed, "index: an earlier failure in the transaction");
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "UPDATE version SET not_before_us=?2, tries=tries+1"
                       " WHERE watermark=?1 AND not_before_us IS NOT NULL",
                       &q, err));
    dl_db_bind_int(q, 1, watermark);
    dl_db_bind_int(q, 2, not_before_us);
    dl_status status = dl_db_run(q, err);
    if (status != DL_OK) {
        return dl_index_tx_fail(tx, status);
    }
    return dl_db_changes(tx->conn->db) > 0
               ? DL_OK
               : dl_error_set(err, DL_E_NOT_FOUND, "version %lld is not in the cleanup queue",
                              (long long)watermark);
}

/* ---- expiry ---- */

dl_status dl_index_expired(dl_index *index, const dl_index_due *due, dl_arena *arena,
                           dl_index_scope **out_list, size_t *out_count, dl_error *err)
{
    DL_AUTO_SNAPSHOT s = NULL;
    DL_TRY(dl_index_snapshot_begin(index, &s, err));
    dl_index_scope *list = dl_arena_alloc(arena, due->limit, sizeof *list);
    if (list == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT partition, uid FROM study WHERE expires_us<=?1 ORDER BY expires_us",
                       &q, err));
    dl_db_bind_int(q, 1, due->now_us);
    size_t count = 0;
    dl_status status = DL_OK;
    while (status == DL_OK && count < due->limit && dl_db_step(q)) {
        list[count] = (dl_index_scope){.partition = dl_db_int(q, 0), .expired_us = due->now_us};
        status = dl_index_uid_copy(dl_db_bytes(q, 1), arena, &list[count].study_uid, err);
        count++;
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    DL_TRY(status);
    DL_TRY(finished);
    *out_list = list;
    *out_count = count;
    return DL_OK;
}
