#include "index/internal.h"

#include "base/mem.h"

#include <string.h>

enum { FINE_SHIFT = 8, COARSE_SHIFT = 16 };

static void tx_free(dl_index_tx *tx)
{
    dl_buf_clear(&tx->packed);
    dl_buf_clear(&tx->json);
    dl_mem_free(tx->changes);
    dl_arena_destroy(tx->arena);
    dl_mem_free(tx);
}

static void end_turn(dl_index *index)
{
    (void)pthread_mutex_lock(&index->lock);
    index->writing = false;
    (void)pthread_mutex_unlock(&index->lock);
    (void)pthread_mutex_unlock(&index->turn);
}

dl_status dl_index_begin(dl_index *index, dl_index_tx **out_tx, dl_error *err)
{
    if (index->options.read_only) {
        return dl_error_set(err, DL_E_DENIED, "index: opened for reading only");
    }
    dl_index_tx *tx = dl_mem_zalloc(1, sizeof *tx);
    dl_arena *arena = tx != NULL ? dl_arena_create(DL_INDEX_TX_ARENA_BYTES) : NULL;
    if (arena == NULL) {
        dl_mem_free(tx);
        return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
    }
    tx->index = index;
    tx->arena = arena;
    dl_buf_init(&tx->packed, 2 * (size_t)DL_INDEX_METADATA_LIMIT_BYTES);
    dl_buf_init(&tx->json, DL_INDEX_METADATA_LIMIT_BYTES);
    (void)pthread_mutex_lock(&index->turn);
    (void)pthread_mutex_lock(&index->lock);
    index->writing = true;
    index->writing_thread = pthread_self();
    (void)pthread_mutex_unlock(&index->lock);
    tx->conn = index->writer;
    dl_status status = dl_db_begin(tx->conn->db, true, err);
    if (status != DL_OK) {
        end_turn(index);
        tx_free(tx);
        return status;
    }
    *out_tx = tx;
    return DL_OK;
}

void dl_index_rollback(dl_index_tx *tx)
{
    if (tx == NULL) {
        return;
    }
    dl_db_rollback(tx->conn->db);
    dl_index_bases_forget(tx->conn);
    end_turn(tx->index);
    tx_free(tx);
}

dl_status dl_index_tx_fail(dl_index_tx *tx, dl_status status)
{
    if (status != DL_OK && tx->failed == DL_OK) {
        tx->failed = status;
    }
    return status;
}

/* ---- sums kept until commit ---- */

static size_t delta_bucket(const int64_t key[3])
{
    uint64_t h = (uint64_t)key[0];
    h = (h * 31 + (uint64_t)key[1]) * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)key[2];
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(h >> 40) % DL_INDEX_TX_BUCKETS;
}

static dl_status delta_add(dl_index_tx *tx, dl_index_deltas *deltas, const int64_t key[3],
                           int64_t change, dl_error *err)
{
    size_t bucket = delta_bucket(key);
    dl_index_delta *d = deltas->buckets[bucket];
    while (d != NULL && memcmp(d->key, key, sizeof d->key) != 0) {
        d = d->next_in_bucket;
    }
    if (d == NULL) {
        d = dl_arena_alloc(tx->arena, 1, sizeof *d);
        if (d == NULL) {
            return dl_arena_full(tx->arena, err);
        }
        memcpy(d->key, key, sizeof d->key);
        d->next = deltas->all;
        deltas->all = d;
        d->next_in_bucket = deltas->buckets[bucket];
        deltas->buckets[bucket] = d;
    }
    d->change += change;
    return DL_OK;
}

static int64_t tally_kind(dl_index_level level, bool coarse)
{
    return 2 * (int64_t)level + (coarse ? 1 : 0);
}

dl_status dl_index_tally_add(dl_index_tx *tx, int64_t partition, dl_index_level level,
                             int64_t place, int64_t change, dl_error *err)
{
    const int64_t fine[] = {partition, tally_kind(level, false), place >> FINE_SHIFT};
    const int64_t coarse[] = {partition, tally_kind(level, true), place >> COARSE_SHIFT};
    DL_TRY(delta_add(tx, &tx->tally, fine, change, err));
    return delta_add(tx, &tx->tally, coarse, change, err);
}

dl_status dl_index_tally_flush(dl_index_tx *tx, dl_error *err)
{
    for (const dl_index_delta *d = tx->tally.all; d != NULL; d = d->next) {
        if (d->change == 0) {
            continue;
        }
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(tx->conn->db,
                           "INSERT INTO tally VALUES(?1, ?2, ?3, ?4)"
                           " ON CONFLICT DO UPDATE SET count=count+?4 RETURNING count",
                           &q, err));
        for (int i = 0; i < 3; i++) {
            dl_db_bind_int(q, i + 1, d->key[i]);
        }
        dl_db_bind_int(q, 4, d->change);
        int64_t left = dl_db_step(q) ? dl_db_int(q, 0) : 1;
        DL_TRY(dl_db_run(q, err));
        if (left > 0) {
            continue;
        }
        DL_TRY(dl_db_query(tx->conn->db,
                           "DELETE FROM tally WHERE partition=?1 AND kind=?2 AND block=?3", &q,
                           err));
        for (int i = 0; i < 3; i++) {
            dl_db_bind_int(q, i + 1, d->key[i]);
        }
        DL_TRY(dl_db_run(q, err));
    }
    return DL_OK;
}

/** Blocks of one kind up to `last`. */
typedef struct block_range {
    int64_t partition, kind, last;
} block_range;

/** Walk down from the last block until `*skip` rows are passed; the block where it stops. */
static dl_status walk_blocks(dl_index_conn *conn, const block_range *range, int64_t *skip,
                             int64_t *out_block, bool *out_found, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(conn->db,
                       "SELECT block, count FROM tally WHERE partition=?1 AND kind=?2"
                       " AND block<=?3 ORDER BY block DESC",
                       &q, err));
    dl_db_bind_int(q, 1, range->partition);
    dl_db_bind_int(q, 2, range->kind);
    dl_db_bind_int(q, 3, range->last);
    *out_found = false;
    while (!*out_found && dl_db_step(q)) {
        int64_t count = dl_db_int(q, 1);
        if (*skip < count) {
            *out_block = dl_db_int(q, 0);
            *out_found = true;
        } else {
            *skip -= count;
        }
    }
    return dl_db_finish(q, err);
}

dl_status dl_index_tally_seek(dl_index_conn *conn, int64_t partition, dl_index_level level,
                              int64_t offset, dl_index_seat *out_seat, dl_error *err)
{
    int64_t coarse = 0, fine = 0, skip = offset;
    bool found = false;
    block_range range = {partition, tally_kind(level, true), INT64_MAX};
    DL_TRY(walk_blocks(conn, &range, &skip, &coarse, &found, err));
    if (found) {
        range.kind = tally_kind(level, false);
        range.last = ((coarse + 1) << (COARSE_SHIFT - FINE_SHIFT)) - 1;
        DL_TRY(walk_blocks(conn, &range, &skip, &fine, &found, err));
    }
    *out_seat = (dl_index_seat){found, ((fine + 1) << FINE_SHIFT) - 1, skip};
    return DL_OK;
}

dl_status dl_index_tally_total(dl_index_conn *conn, int64_t partition, dl_index_level level,
                               int64_t *out_total, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(conn->db, "SELECT sum(count) FROM tally WHERE partition=?1 AND kind=?2", &q,
                       err));
    dl_db_bind_int(q, 1, partition);
    dl_db_bind_int(q, 2, tally_kind(level, true));
    int64_t total = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    *out_total = total;
    return DL_OK;
}

/* ---- users of metadata bases ---- */

dl_status dl_index_base_count(dl_index_tx *tx, int64_t base, int64_t change, dl_error *err)
{
    const int64_t key[] = {base, 0, 0};
    return delta_add(tx, &tx->base_users, key, change, err);
}

static dl_status drop_base(dl_index_tx *tx, int64_t base, int64_t series, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(tx->conn->db, "DELETE FROM metadata_base WHERE id=?1", &q, err));
    dl_db_bind_int(q, 1, base);
    DL_TRY(dl_db_run(q, err));
    DL_TRY(
        dl_db_query(tx->conn->db, "UPDATE series SET base=NULL WHERE id=?1 AND base=?2", &q, err));
    dl_db_bind_int(q, 1, series);
    dl_db_bind_int(q, 2, base);
    return dl_db_run(q, err);
}

static dl_status flush_base_users(dl_index_tx *tx, dl_error *err)
{
    for (const dl_index_delta *d = tx->base_users.all; d != NULL; d = d->next) {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(tx->conn->db,
                           "UPDATE metadata_base SET users=users+?2 WHERE id=?1"
                           " RETURNING users, series",
                           &q, err));
        dl_db_bind_int(q, 1, d->key[0]);
        dl_db_bind_int(q, 2, d->change);
        bool found = dl_db_step(q);
        int64_t users = found ? dl_db_int(q, 0) : 1;
        int64_t series = found ? dl_db_int(q, 1) : 0;
        DL_TRY(dl_db_run(q, err));
        if (users <= 0) {
            DL_TRY(drop_base(tx, d->key[0], series, err));
        }
    }
    return DL_OK;
}

/* ---- change rows: kept until commit, so that their time is the commit's ---- */

dl_status dl_index_change_add(dl_index_tx *tx, int64_t instance, int64_t watermark,
                              dl_index_action action, dl_error *err)
{
    if (tx->change_count == tx->change_cap) {
        size_t cap = tx->change_cap == 0 ? 64 : 2 * tx->change_cap;
        if (cap > DL_INDEX_TX_CHANGES_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "index: more than %d changes in one transaction",
                                DL_INDEX_TX_CHANGES_LIMIT);
        }
        dl_index_pending *grown = dl_mem_resize(tx->changes, cap, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "index: out of memory");
        }
        tx->changes = grown;
        tx->change_cap = cap;
    }
    tx->changes[tx->change_count++] =
        (dl_index_pending){.instance = instance, .watermark = watermark, .action = action};
    return DL_OK;
}

static dl_status write_changes(dl_index_tx *tx, int64_t sequence, int64_t time_us, dl_error *err)
{
    for (size_t i = 0; i < tx->change_count; i++) {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_db_query(tx->conn->db, "INSERT INTO change VALUES(?1, ?2, ?3, ?4, ?5)", &q, err));
        dl_db_bind_int(q, 1, sequence + 1 + (int64_t)i);
        dl_db_bind_int(q, 2, time_us);
        dl_db_bind_int(q, 3, tx->changes[i].action);
        dl_db_bind_int(q, 4, tx->changes[i].instance);
        dl_db_bind_int(q, 5, tx->changes[i].watermark);
        DL_TRY(dl_db_run(q, err));
    }
    return DL_OK;
}

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/** Time of this commit. Nobody who asks for changes before it need wait; who asks for later does.
 */
static int64_t announce(dl_index *index)
{
    int64_t now_us = dl_clock_now_us(&index->options.clock);
    (void)pthread_mutex_lock(&index->lock);
    int64_t time_us = max_of(now_us, max_of(index->last_timestamp_us, index->floor_us));
    index->committing_us = time_us;
    (void)pthread_mutex_unlock(&index->lock);
    return time_us;
}

static void conclude(dl_index_tx *tx, bool committed, int64_t time_us)
{
    dl_index *index = tx->index;
    (void)pthread_mutex_lock(&index->lock);
    index->committing_us = INT64_MAX;
    if (committed && tx->change_count > 0) {
        index->last_sequence += (int64_t)tx->change_count;
        index->last_timestamp_us = time_us;
    }
    if (committed) {
        index->log_pages = dl_db_log_pages(tx->conn->db);
        index->base_count += tx->bases_made;
        index->train_wanted = index->dictionary == 0 && index->base_count >= DL_INDEX_TRAIN_BASES;
        if (index->log_pages >= DL_INDEX_LOG_PAGES_WANTED || index->train_wanted) {
            (void)pthread_cond_signal(&index->wake);
        }
    }
    (void)pthread_cond_broadcast(&index->commit_over);
    (void)pthread_mutex_unlock(&index->lock);
}

/** A new block of numbers rides along before the old one ends. */
static dl_status extend_watermarks(dl_index_tx *tx, int64_t *out_reserved, dl_error *err)
{
    dl_index *index = tx->index;
    (void)pthread_mutex_lock(&index->lock);
    int64_t left = index->reserved_watermark - index->next_watermark;
    int64_t reserved = index->reserved_watermark;
    (void)pthread_mutex_unlock(&index->lock);
    *out_reserved = reserved;
    if (left > DL_INDEX_WATERMARK_BLOCK / 2) {
        return DL_OK;
    }
    reserved += DL_INDEX_WATERMARK_BLOCK;
    dl_db_stmt *q = NULL;
    DL_TRY(
        dl_db_query(tx->conn->db, "UPDATE counter SET value=?1 WHERE name='watermark'", &q, err));
    dl_db_bind_int(q, 1, reserved);
    DL_TRY(dl_db_run(q, err));
    *out_reserved = reserved;
    return DL_OK;
}

static dl_status finish_writing(dl_index_tx *tx, int64_t *out_reserved, dl_error *err)
{
    DL_TRY(dl_index_entity_flush(tx, err));
    DL_TRY(flush_base_users(tx, err));
    DL_TRY(dl_index_tally_flush(tx, err));
    return extend_watermarks(tx, out_reserved, err);
}

dl_status dl_index_commit(dl_index_tx *take_tx, dl_error *err)
{
    dl_index_tx *tx = take_tx;
    dl_index *index = tx->index;
    if (tx->failed != DL_OK) {
        dl_status status = dl_error_set(err, tx->failed,
                                        "index: an earlier failure in the transaction; nothing of "
                                        "it was kept");
        dl_index_rollback(tx);
        return status;
    }
    int64_t reserved = 0;
    dl_status status = finish_writing(tx, &reserved, err);
    if (status != DL_OK) {
        dl_index_rollback(tx);
        return status;
    }
    int64_t time_us = announce(index);
    status = write_changes(tx, index->last_sequence, time_us, err);
    if (status == DL_OK) {
        status = dl_db_commit(tx->conn->db, err);
    }
    if (status == DL_OK) {
        (void)pthread_mutex_lock(&index->lock);
        index->reserved_watermark = reserved;
        (void)pthread_mutex_unlock(&index->lock);
    }
    conclude(tx, status == DL_OK, time_us);
    if (status != DL_OK) {
        dl_index_rollback(tx);
        return status;
    }
    end_turn(index);
    tx_free(tx);
    return DL_OK;
}
