#include "index/internal.h"

dl_status dl_index_last_sequence(dl_index_snapshot *s, int64_t *out_sequence, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db, "SELECT max(sequence) FROM change", &q, err));
    int64_t sequence = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_sequence = sequence;
    return DL_OK;
}

static dl_status time_of(dl_index_conn *conn, int64_t sequence, int64_t *out_time_us, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(conn->db, "SELECT timestamp_us FROM change WHERE sequence=?1", &q, err));
    dl_db_bind_int(q, 1, sequence);
    bool found = dl_db_step(q);
    int64_t time_us = found ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (!found) {
        return dl_error_set(err, DL_E_CORRUPT, "change feed: row %lld is missing",
                            (long long)sequence);
    }
    *out_time_us = time_us;
    return DL_OK;
}

/** The first sequence whose time is not before `time_us`; last + 1 when there is none. Sequences
 * have no gaps and times never fall, so bisection finds it. */
static dl_status first_at(dl_index_conn *conn, int64_t last, int64_t time_us, int64_t *out_sequence,
                          dl_error *err)
{
    int64_t low = 1, high = last + 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2, found_us = 0;
        DL_TRY(time_of(conn, middle, &found_us, err));
        if (found_us < time_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *out_sequence = low;
    return DL_OK;
}

typedef struct range {
    int64_t first, last;
} range;

static dl_status find_range(dl_index_snapshot *s, const dl_index_change_query *query,
                            range *out_range, dl_error *err)
{
    int64_t last = 0, edge = 0;
    DL_TRY(dl_index_last_sequence(s, &last, err));
    if (query->newest) {
        *out_range = (range){last > 0 ? last : 1, last};
        return DL_OK;
    }
    range r = {query->after_sequence < last ? query->after_sequence + 1 : last + 1, last};
    if (r.first < 1) {
        r.first = 1;
    }
    if (query->last_sequence != 0 && query->last_sequence < r.last) {
        r.last = query->last_sequence;
    }
    if (query->start_us != INT64_MIN) {
        DL_TRY(first_at(s->conn, last, query->start_us, &edge, err));
        r.first = edge > r.first ? edge : r.first;
    }
    if (query->end_us != INT64_MAX) {
        DL_TRY(first_at(s->conn, last, query->end_us, &edge, err));
        r.last = edge - 1 < r.last ? edge - 1 : r.last;
    }
    if (query->offset > 0) {
        r.first = query->offset > r.last - r.first ? r.last + 1 : r.first + query->offset;
    }
    *out_range = r;
    return DL_OK;
}

typedef struct uid_texts {
    char study[DL_INDEX_UID_LIMIT + 1], series[DL_INDEX_UID_LIMIT + 1], sop[DL_INDEX_UID_LIMIT + 1];
} uid_texts;

typedef dl_status visit_fn(void *context, const dl_index_change *change, dl_error *err);

/** Who sees the rows. */
typedef struct visitor {
    visit_fn *visit;
    void *context;
    dl_buf *text; /* room for the metadata; NULL: not wanted */
} visitor;

static dl_status visit_row(dl_index_snapshot *s, const dl_db_stmt *q, const visitor *v,
                           dl_error *err)
{
    uid_texts uids;
    dl_index_change change = {
        .sequence = dl_db_int(q, 0),
        .timestamp_us = dl_db_int(q, 1),
        .action = (dl_index_action)dl_db_int(q, 2),
        .watermark = dl_db_int(q, 3),
        .current_watermark = dl_db_int(q, 4), /* NULL reads as 0 */
        .partition_name = dl_index_partition_name(s->index, dl_db_int(q, 5)),
    };
    change.sop_uid = (dl_str){uids.sop, dl_index_uid_text(dl_db_bytes(q, 6), uids.sop)};
    change.series_uid = (dl_str){uids.series, dl_index_uid_text(dl_db_bytes(q, 7), uids.series)};
    change.study_uid = (dl_str){uids.study, dl_index_uid_text(dl_db_bytes(q, 8), uids.study)};
    if (v->text != NULL && change.current_watermark != 0) {
        dl_buf_reset(v->text);
        DL_TRY(dl_index_conn_metadata(s->conn, change.current_watermark, v->text, err));
        change.metadata = dl_buf_str(v->text);
    }
    return v->visit(v->context, &change, err);
}

dl_status dl_index_changes(dl_index_snapshot *s, const dl_index_change_query *query,
                           dl_status (*visit)(void *context, const dl_index_change *change,
                                              dl_error *err),
                           void *context, dl_error *err)
{
    range r;
    if (!query->newest && query->end_us != INT64_MAX &&
        query->end_us <= dl_clock_now_us(&s->index->options.clock)) {
        DL_TRY(dl_index_snapshot_settle(s, query->end_us, err));
    }
    DL_TRY(find_range(s, query, &r, err));
    size_t limit = query->newest ? 1 : query->limit;
    if (r.first > r.last || limit == 0) {
        return DL_OK;
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(s->conn->db,
                       "SELECT c.sequence, c.timestamp_us, c.action, c.watermark, i.watermark,"
                       " i.partition, i.uid, e.uid, t.uid FROM change c"
                       " CROSS JOIN instance i ON i.id=c.instance"
                       " CROSS JOIN series e ON e.id=i.series CROSS JOIN study t ON t.id=e.study"
                       " WHERE c.sequence BETWEEN ?1 AND ?2 ORDER BY c.sequence",
                       &q, err));
    dl_db_bind_int(q, 1, r.first);
    dl_db_bind_int(q, 2, r.last);
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_INDEX_METADATA_LIMIT_BYTES);
    const visitor to = {visit, context, query->metadata ? &text : NULL};
    dl_status status = DL_OK;
    for (size_t i = 0; status == DL_OK && i < limit && dl_db_step(q); i++) {
        status = visit_row(s, q, &to, err);
    }
    dl_status finished = dl_db_finish(q, status == DL_OK ? err : NULL);
    return status != DL_OK ? status : finished;
}
