#include "pipeline/state_internal.h"

/** The key as one blob: each text behind its length. */
static dl_status blob_of(dl_state *state, const dl_state_key *key, dl_bytes *out_blob,
                         dl_error *err)
{
    const dl_str texts[] = {key->partition_name, key->study_uid, key->series_uid, key->sop_uid};
    dl_buf_reset(&state->key_blob);
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        if (texts[i].len == 0 || texts[i].len > DL_STATE_KEY_LIMIT_BYTES) {
            return dl_error_set(err, texts[i].len == 0 ? DL_E_INVALID : DL_E_LIMIT,
                                "state index: a text of %zu bytes in a key; 1 to %d are allowed",
                                texts[i].len, DL_STATE_KEY_LIMIT_BYTES);
        }
        DL_TRY(dl_buf_append_char(&state->key_blob, (char)(unsigned char)texts[i].len, err));
        DL_TRY(dl_buf_append_str(&state->key_blob, texts[i], err));
    }
    *out_blob = (dl_bytes){(const uint8_t *)state->key_blob.ptr, state->key_blob.len};
    return DL_OK;
}

dl_status dl_state_ahead_add(dl_state *state, const dl_state_key *key, int64_t source,
                             const dl_state_change *change, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_bytes blob = {0};
    dl_db_stmt *q = NULL;
    DL_TRY(blob_of(state, key, &blob, err));
    DL_TRY(
        dl_state_query(state, "INSERT OR REPLACE INTO ahead VALUES(?1, ?2, ?3, ?4, ?5)", &q, err));
    dl_db_bind_int(q, 1, source);
    dl_db_bind_bytes(q, 2, blob);
    dl_db_bind_int(q, 3, change->sequence);
    dl_db_bind_int(q, 4, change->timestamp_us);
    dl_db_bind_int(q, 5, change->is_delete);
    return dl_db_run(q, err);
}

dl_status dl_state_ahead(dl_state *state, const dl_state_key *key, int64_t source,
                         dl_status (*visit)(void *context, const dl_state_change *change,
                                            dl_error *err),
                         void *context, dl_error *err)
{
    dl_bytes blob = {0};
    dl_db_stmt *q = NULL;
    DL_TRY(blob_of(state, key, &blob, err));
    DL_TRY(dl_state_query(state,
                          "SELECT sequence, timestamp, gone FROM ahead WHERE source = ?1"
                          " AND key = ?2 ORDER BY sequence",
                          &q, err));
    dl_db_bind_int(q, 1, source);
    dl_db_bind_bytes(q, 2, blob);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        dl_state_change change = {dl_db_int(q, 0), dl_db_int(q, 1), dl_db_int(q, 2) != 0};
        status = visit(context, &change, err);
    }
    return dl_state_end(q, status, err);
}

dl_status dl_state_ahead_prune(dl_state *state, int64_t source, int64_t sequence, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state,
                          "DELETE FROM ahead WHERE source = ?1 AND sequence <= ?2 AND NOT EXISTS"
                          " (SELECT 1 FROM ahead AS later WHERE later.source = ?1"
                          " AND later.key = ahead.key AND later.sequence > ?2)",
                          &q, err));
    dl_db_bind_int(q, 1, source);
    dl_db_bind_int(q, 2, sequence);
    return dl_db_run(q, err);
}

dl_status dl_state_window_add(dl_state *state, int64_t source, int64_t start_us, int64_t end_us,
                              int64_t sequence, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state,
                          "INSERT INTO window VALUES(?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE"
                          " SET sequence = max(sequence, excluded.sequence)",
                          &q, err));
    dl_db_bind_int(q, 1, source);
    dl_db_bind_int(q, 2, start_us);
    dl_db_bind_int(q, 3, end_us);
    dl_db_bind_int(q, 4, sequence);
    return dl_db_run(q, err);
}

dl_status dl_state_window_absorb(dl_state *state, int64_t source, int64_t *end_us,
                                 int64_t *sequence, dl_error *err)
{
    DL_ASSERT(state->writing);
    int64_t end = *end_us, last = *sequence;
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(
        state, "SELECT start_us, end_us, sequence FROM window WHERE source = ?1 ORDER BY start_us",
        &q, err));
    dl_db_bind_int(q, 1, source);
    while (dl_db_step(q) && dl_db_int(q, 0) <= end) {
        end = dl_db_int(q, 1) > end ? dl_db_int(q, 1) : end;
        last = dl_db_int(q, 2) > last ? dl_db_int(q, 2) : last;
    }
    DL_TRY(dl_db_finish(q, err));
    DL_TRY(
        dl_state_query(state, "DELETE FROM window WHERE source = ?1 AND start_us <= ?2", &q, err));
    dl_db_bind_int(q, 1, source);
    dl_db_bind_int(q, 2, end);
    DL_TRY(dl_db_run(q, err));
    *end_us = end;
    *sequence = last;
    return DL_OK;
}
