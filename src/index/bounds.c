#include "index/internal.h"

/* Stores are committed in the order of their watermarks, so the newest store has the largest one. */
static dl_status last_stored(dl_index_snapshot *s, int64_t *out_last, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT watermark FROM change WHERE action<>3 ORDER BY sequence DESC LIMIT 1",
                       &q, err));
    int64_t last = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_last = last;
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
