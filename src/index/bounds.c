#include "index/internal.h"

static dl_status read_number(dl_index_snapshot *s, const char *sql, int64_t *out_value,
                             dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, sql, &q, err));
    int64_t value = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_value = value;
    return DL_OK;
}

/**
 * Nothing above it is known to the index. Commits may come in another order than their watermarks,
 * so the newest change row alone does not tell; and when the newest versions are deleted and
 * cleaned up, the versions alone would give a number long past.
 */
static dl_status last_stored(dl_index_snapshot *s, int64_t *out_last, dl_error *err)
{
    int64_t version = 0, change = 0;
    DL_TRY(read_number(s, "SELECT max(watermark) FROM version", &version, err));
    DL_TRY(read_number(
        s, "SELECT watermark FROM change WHERE action<>3 ORDER BY sequence DESC LIMIT 1", &change,
        err));
    *out_last = version > change ? version : change;
    return DL_OK;
}

dl_status dl_index_watermark_bounds(dl_index *index, int64_t *out_last, int64_t *out_given,
                                    dl_error *err)
{
    dl_index_snapshot *s = NULL;
    int64_t last = 0;
    DL_TRY(dl_index_snapshot_begin(index, &s, err));
    dl_status status = last_stored(s, &last, err);
    dl_index_snapshot_end(s);
    DL_TRY(status);
    (void)pthread_mutex_lock(&index->lock);
    int64_t given = index->next_watermark - 1;
    (void)pthread_mutex_unlock(&index->lock);
    *out_last = last;
    *out_given = given > last ? given : last;
    return DL_OK;
}
