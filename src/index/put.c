#include "index/internal.h"

#include "json/json.h"

#include <string.h>

enum {
    PREFIX_GAIN_NUMERATOR = 2, /* a base has to save a third of what it replaces */
    PREFIX_GAIN_DENOMINATOR = 3,
};

typedef struct target {
    dl_index_uid study, series, sop;
    dl_index_elements_found found;
    dl_index_series *row;
    int64_t instance;  /* 0: not there yet */
    int64_t watermark; /* of its current version; 0: none */
} target;

static dl_status check_put(const dl_index_put *put, target *t, dl_error *err)
{
    if (!dl_index_uid_pack(put->study_uid, &t->study) ||
        !dl_index_uid_pack(put->series_uid, &t->series) ||
        !dl_index_uid_pack(put->sop_uid, &t->sop)) {
        return dl_error_set(err, DL_E_INVALID, "index: UIDs are 1 to %d digits and dots",
                            DL_INDEX_UID_LIMIT);
    }
    if (dl_json_kind_of(put->metadata) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_INVALID, "index: metadata is not a JSON object");
    }
    if (put->metadata.len > DL_INDEX_METADATA_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "index: metadata of %zu bytes exceeds %d",
                            put->metadata.len, DL_INDEX_METADATA_LIMIT_BYTES);
    }
    if (put->watermark <= 0 || put->expires_us < 0 || put->size_bytes > INT64_MAX) {
        return dl_error_set(err, DL_E_INVALID, "index: watermark %lld, expiry or size out of range",
                            (long long)put->watermark);
    }
    dl_index_elements(put->metadata, &t->found);
    return DL_OK;
}

static dl_status find_instance(dl_index_tx *tx, const dl_index_series *series,
                               const dl_index_uid *uid, int64_t *out_instance,
                               int64_t *out_watermark, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "SELECT id, watermark FROM instance WHERE uid=?1 AND series=?2", &q, err));
    dl_db_bind_bytes(q, 1, dl_index_uid_bytes(uid));
    dl_db_bind_int(q, 2, series->id);
    bool found = dl_db_step(q);
    int64_t instance = found ? dl_db_int(q, 0) : 0;
    int64_t watermark = found ? dl_db_int(q, 1) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_instance = instance;
    *out_watermark = watermark;
    return DL_OK;
}

/* ---- metadata ---- */

static dl_status insert_base(dl_index_tx *tx, int64_t id, int64_t series, int64_t dictionary,
                             dl_bytes text, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_db_query(tx->conn->db, "INSERT INTO metadata_base VALUES(?1, ?2, 0, ?3, ?4)", &q, err));
    dl_db_bind_int(q, 1, id);
    dl_db_bind_int(q, 2, series);
    dl_db_bind_int(q, 3, dictionary);
    dl_db_bind_bytes(q, 4, text);
    return dl_db_run(q, err);
}

static dl_bytes packed_bytes(const dl_index_tx *tx)
{
    return (dl_bytes){(const uint8_t *)tx->packed.ptr, tx->packed.len};
}

/**
 * Compress the metadata into tx->packed, after the series' base if that pays; else the metadata
 * becomes the series' new base.
 */
static dl_status pack_metadata(dl_index_tx *tx, const dl_index_put *put, dl_index_series *series,
                               int64_t *out_base, dl_error *err)
{
    (void)pthread_mutex_lock(&tx->index->lock);
    int64_t dictionary = tx->index->dictionary;
    (void)pthread_mutex_unlock(&tx->index->lock);
    size_t with_base = SIZE_MAX;
    if (series->base != 0) {
        DL_TRY(dl_index_pack_after(tx->conn, put->metadata, series->base, &tx->packed, err));
        with_base = tx->packed.len;
        if (with_base < put->metadata.len / 16) { /* nothing can beat that by much */
            *out_base = series->base;
            return DL_OK;
        }
    }
    DL_TRY(dl_index_pack(tx->conn, put->metadata, dictionary, &tx->packed, err));
    size_t alone = tx->packed.len;
    if (with_base <= alone / PREFIX_GAIN_DENOMINATOR * PREFIX_GAIN_NUMERATOR) {
        *out_base = series->base;
        return dl_index_pack_after(tx->conn, put->metadata, series->base, &tx->packed, err);
    }
    if (put->metadata.len > DL_INDEX_BASE_LIMIT_BYTES) {
        *out_base = -dictionary;
        return DL_OK;
    }
    DL_TRY(insert_base(tx, put->watermark, series->id, dictionary, packed_bytes(tx), err));
    DL_TRY(dl_index_base_keep(tx->conn, put->watermark, put->metadata, err));
    tx->bases_made += dictionary == 0 ? 1 : 0;
    series->base = put->watermark;
    series->dirty = true;
    *out_base = put->watermark;
    return dl_index_pack_after(tx->conn, put->metadata, put->watermark, &tx->packed, err);
}

/* ---- versions ---- */

static dl_status syntax_id(dl_index_tx *tx, dl_str uid, int64_t *out_id, dl_error *err)
{
    dl_db_stmt *q = NULL;
    uid = dl_str_trim_padding(uid);
    DL_TRY(dl_db_query(tx->conn->db, "SELECT id FROM syntax WHERE uid=?1", &q, err));
    dl_db_bind_str(q, 1, uid.ptr == NULL ? (dl_str){"", 0} : uid);
    int64_t id = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (id == 0) {
        DL_TRY(dl_db_query(tx->conn->db, "INSERT INTO syntax(uid) VALUES(?1)", &q, err));
        dl_db_bind_str(q, 1, uid.ptr == NULL ? (dl_str){"", 0} : uid);
        DL_TRY(dl_db_run(q, err));
        id = dl_db_last_id(tx->conn->db);
    }
    *out_id = id;
    return DL_OK;
}

static dl_status insert_version(dl_index_tx *tx, const dl_index_put *put, int64_t instance,
                                int64_t base, dl_error *err)
{
    int64_t syntax = 0;
    DL_TRY(syntax_id(tx, put->transfer_syntax, &syntax, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "INSERT INTO version(watermark, instance, partition, base, size_bytes, tag,"
                       " syntax, hash, frames, metadata)"
                       " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                       &q, err));
    dl_db_bind_int(q, 1, put->watermark);
    dl_db_bind_int(q, 2, instance);
    dl_db_bind_int(q, 3, put->partition);
    dl_db_bind_int(q, 4, base);
    dl_db_bind_int(q, 5, (int64_t)put->size_bytes);
    dl_db_bind_int(q, 6, put->tag);
    dl_db_bind_int(q, 7, syntax);
    dl_db_bind_bytes(q, 8, (dl_bytes){put->hash, DL_INDEX_HASH_BYTES});
    dl_db_bind_bytes(q, 9, put->frames);
    dl_db_bind_bytes(q, 10, packed_bytes(tx));
    DL_TRY(dl_db_run(q, err));
    return base > 0 ? dl_index_base_count(tx, base, 1, err) : DL_OK;
}

dl_status dl_index_version_retire(dl_index_tx *tx, int64_t watermark, int64_t not_before_us,
                                  dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db,
                       "UPDATE version SET instance=NULL, not_before_us=?2 WHERE watermark=?1", &q,
                       err));
    dl_db_bind_int(q, 1, watermark);
    dl_db_bind_int(q, 2, not_before_us);
    return dl_db_run(q, err);
}

/* ---- put ---- */

static dl_status set_instance(dl_index_tx *tx, const dl_index_put *put, target *t, dl_error *err)
{
    dl_db_stmt *q = NULL;
    if (t->instance != 0) {
        DL_TRY(dl_db_query(tx->conn->db, "UPDATE instance SET watermark=?2 WHERE id=?1", &q, err));
        dl_db_bind_int(q, 1, t->instance);
        dl_db_bind_int(q, 2, put->watermark);
        return dl_db_run(q, err);
    }
    DL_TRY(dl_db_query(tx->conn->db,
                       "INSERT INTO instance(partition, series, watermark, uid)"
                       " VALUES(?1, ?2, ?3, ?4)",
                       &q, err));
    dl_db_bind_int(q, 1, put->partition);
    dl_db_bind_int(q, 2, t->row->id);
    dl_db_bind_int(q, 3, put->watermark);
    dl_db_bind_bytes(q, 4, dl_index_uid_bytes(&t->sop));
    DL_TRY(dl_db_run(q, err));
    t->instance = dl_db_last_id(tx->conn->db);
    return DL_OK;
}

static dl_status store(dl_index_tx *tx, const dl_index_put *put, target *t, dl_error *err)
{
    int64_t base = 0;
    DL_TRY(pack_metadata(tx, put, t->row, &base, err));
    DL_TRY(set_instance(tx, put, t, err));
    DL_TRY(insert_version(tx, put, t->instance, base, err));
    DL_TRY(dl_index_entity_add(tx, t->row, put->watermark, &t->found, err));
    if (t->watermark != 0) { /* after the new one came, so that the series is never empty */
        DL_TRY(dl_index_version_retire(tx, t->watermark, put->not_before_us, err));
        DL_TRY(dl_index_entity_remove(tx, t->row, t->watermark, err));
    }
    dl_index_study *study = t->row->study;
    if (study->expires_us != put->expires_us) {
        study->expires_us = put->expires_us;
        study->dirty = true;
    }
    return dl_index_change_add(tx, t->instance, put->watermark, DL_INDEX_CREATE, err);
}

static dl_status known_watermark(dl_index_tx *tx, int64_t watermark, bool *out_known, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, "SELECT 1 FROM version WHERE watermark=?1", &q, err));
    dl_db_bind_int(q, 1, watermark);
    *out_known = dl_db_step(q);
    return dl_db_finish(q, err);
}

static dl_status locate(dl_index_tx *tx, const dl_index_put *put, target *t, dl_error *err)
{
    dl_index_study *study = NULL;
    bool known = false;
    DL_TRY(known_watermark(tx, put->watermark, &known, err));
    if (known) {
        return dl_error_set(err, DL_E_INVALID, "index: watermark %lld was used before",
                            (long long)put->watermark);
    }
    DL_TRY(dl_index_study_find(tx, put->partition, &t->study, true, &study, err));
    DL_TRY(dl_index_series_find(tx, study, &t->series, true, &t->row, err));
    return find_instance(tx, t->row, &t->sop, &t->instance, &t->watermark, err);
}

dl_status dl_index_put_instance(dl_index_tx *tx, const dl_index_put *put,
                                dl_index_outcome *out_outcome, dl_error *err)
{
    if (tx->failed != DL_OK) {
        return dl_error_set(err, tx->failed, "index: an earlier failure in the transaction");
    }
    target t = {0};
    DL_TRY(check_put(put, &t, err));
    if (dl_index_partition_name(tx->index, put->partition).len == 0) {
        return dl_error_set(err, DL_E_INVALID, "index: partition %lld does not exist",
                            (long long)put->partition);
    }
    dl_status status = locate(tx, put, &t, err);
    if (status == DL_E_INVALID) {
        return status;
    }
    if (status == DL_OK && t.watermark != 0 && !put->replace) {
        *out_outcome = DL_INDEX_EXISTS;
        return DL_OK;
    }
    if (status == DL_OK) {
        status = store(tx, put, &t, err);
    }
    if (status != DL_OK) {
        return dl_index_tx_fail(tx, status);
    }
    *out_outcome = t.watermark != 0 ? DL_INDEX_REPLACED : DL_INDEX_STORED;
    return DL_OK;
}
