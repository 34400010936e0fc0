#include "pipeline/state_internal.h"

#include "base/mem.h"

#include <string.h>

dl_status dl_state_file(dl_state *state, dl_state_kind kind, dl_str path, int64_t *out_file,
                        dl_error *err)
{
    DL_ASSERT(state->writing);
    if (state->last_file != 0 && state->last_file_kind == kind &&
        dl_str_eq(dl_buf_str(&state->last_file_path), path)) {
        *out_file = state->last_file;
        return DL_OK;
    }
    state->last_file = 0;
    dl_buf_reset(&state->last_file_path);
    dl_status status = dl_buf_append_str(&state->last_file_path, path, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "keeping the path of a data file");
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT id FROM file WHERE path = ?1 AND kind = ?2", &q, err));
    dl_db_bind_str(q, 1, path);
    dl_db_bind_int(q, 2, kind);
    int64_t file = dl_db_step(q) ? dl_db_int(q, 0) : 0;
    DL_TRY(dl_db_finish(q, err));
    if (file == 0) {
        DL_TRY(dl_state_query(state, "INSERT INTO file(path, kind) VALUES(?1, ?2)", &q, err));
        dl_db_bind_str(q, 1, path);
        dl_db_bind_int(q, 2, kind);
        DL_TRY(dl_db_run(q, err));
        file = dl_db_last_id(state->db);
    }
    state->last_file = file;
    state->last_file_kind = kind;
    *out_file = file;
    return DL_OK;
}

dl_status dl_state_file_path(dl_state *state, int64_t file, dl_arena *arena, dl_str *out_path,
                             dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT path FROM file WHERE id = ?1", &q, err));
    dl_db_bind_int(q, 1, file);
    dl_str path = DL_STR_NONE;
    bool found = dl_db_step(q);
    dl_status status = found ? dl_arena_copy(arena, dl_db_str(q, 0), &path, err) : DL_OK;
    DL_TRY(dl_state_end(q, status, err));
    if (!found) {
        return dl_error_set(err, DL_E_NOT_FOUND, "state index: there is no file %lld",
                            (long long)file);
    }
    *out_path = path;
    return DL_OK;
}

dl_status dl_state_file_mark(dl_state *state, int64_t file, bool live, dl_str dv, dl_error *err)
{
    DL_ASSERT(state->writing);
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "UPDATE file SET live = ?2, dv = ?3 WHERE id = ?1", &q, err));
    dl_db_bind_int(q, 1, file);
    dl_db_bind_int(q, 2, live);
    dl_db_bind_str(q, 3, dv.ptr == NULL ? DL_STR("") : dv);
    DL_TRY(dl_db_run(q, err));
    return dl_db_changes(state->db) > 0
               ? DL_OK
               : dl_error_set(err, DL_E_NOT_FOUND, "state index: there is no file %lld",
                              (long long)file);
}

dl_status dl_state_files(dl_state *state, dl_state_kind kind,
                         dl_status (*visit)(void *context, int64_t file, dl_str path, dl_str dv,
                                            dl_error *err),
                         void *context, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state,
                          "SELECT id, path, dv FROM file INDEXED BY file_live"
                          " WHERE kind = ?1 AND live = 1",
                          &q, err));
    dl_db_bind_int(q, 1, kind);
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = visit(context, dl_db_int(q, 0), dl_db_str(q, 1), dl_db_str(q, 2), err);
    }
    return dl_state_end(q, status, err);
}

/* ---- counts of references, kept back ---- */

dl_status dl_state_deltas_flush(dl_state *state, dl_error *err)
{
    dl_state_deltas *deltas = state->file_deltas;
    for (size_t i = 0; deltas->used > 0 && i < DL_STATE_DELTA_SLOTS; i++) {
        if (deltas->slots[i].id != 0 && deltas->slots[i].delta != 0) {
            dl_db_stmt *q = NULL;
            DL_TRY(
                dl_state_query(state, "UPDATE file SET refs = refs + ?2 WHERE id = ?1", &q, err));
            dl_db_bind_int(q, 1, deltas->slots[i].id);
            dl_db_bind_int(q, 2, deltas->slots[i].delta);
            DL_TRY(dl_db_run(q, err));
        }
    }
    if (deltas->used > 0) {
        memset(deltas, 0, sizeof *deltas);
    }
    return DL_OK;
}

static size_t delta_slot_of(int64_t id)
{
    return (size_t)((uint64_t)id * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

dl_status dl_state_file_count(dl_state *state, int64_t file, int64_t delta, dl_error *err)
{
    dl_state_deltas *deltas = state->file_deltas;
    if (file == 0) {
        return DL_OK;
    }
    size_t i = delta_slot_of(file);
    for (;; i++) {
        i &= DL_STATE_DELTA_SLOTS - 1;
        if (deltas->slots[i].id == file) {
            deltas->slots[i].delta += delta;
            return DL_OK;
        }
        if (deltas->slots[i].id == 0) {
            break;
        }
    }
    if (deltas->used >= DL_STATE_DELTA_LIMIT) {
        DL_TRY(dl_state_deltas_flush(state, err));
        i = delta_slot_of(file) & (DL_STATE_DELTA_SLOTS - 1);
    }
    deltas->slots[i].id = file;
    deltas->slots[i].delta = delta;
    deltas->used++;
    return DL_OK;
}

/* ---- rows whose file is gone ---- */

/* Places in files that are not live, with what the key is made of. */
static const char *orphans_sql(dl_state_kind kind)
{
    switch (kind) {
    case DL_STATE_INSTANCE:
        return "SELECT p.name, t.uid, s.uid, i.sop, i.file, i.row FROM instance i"
               " CROSS JOIN file f ON f.id = i.file AND f.live = 0"
               " CROSS JOIN series s ON s.id = i.series_id CROSS JOIN study t ON t.id = s.study_id"
               " CROSS JOIN partition p ON p.id = t.partition_id WHERE i.file <> 0";
    case DL_STATE_SERIES:
        return "SELECT p.name, t.uid, s.uid, NULL, s.file, s.row FROM series s"
               " CROSS JOIN file f ON f.id = s.file AND f.live = 0"
               " CROSS JOIN study t ON t.id = s.study_id"
               " CROSS JOIN partition p ON p.id = t.partition_id WHERE s.file <> 0";
    case DL_STATE_STUDY:
    default:
        return "SELECT p.name, t.uid, NULL, NULL, t.file, t.row FROM study t"
               " CROSS JOIN file f ON f.id = t.file AND f.live = 0"
               " CROSS JOIN partition p ON p.id = t.partition_id WHERE t.file <> 0";
    }
}

static dl_status is_live(dl_state *state, int64_t file, bool *out_live, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "SELECT live FROM file WHERE id = ?1", &q, err));
    dl_db_bind_int(q, 1, file);
    bool live = dl_db_step(q) && dl_db_int(q, 0) != 0;
    DL_TRY(dl_db_finish(q, err));
    *out_live = live;
    return DL_OK;
}

/** The row of the query as a key; UIDs go into `texts`. */
static dl_status key_of(dl_db_stmt *q, char texts[3][DL_STATE_KEY_LIMIT_BYTES],
                        dl_state_key *out_key, dl_error *err)
{
    dl_state_key key = {.partition_name = dl_db_str(q, 0)};
    dl_str *const uids[] = {&key.study_uid, &key.series_uid, &key.sop_uid};
    for (int i = 0; i < 3; i++) {
        if (!dl_db_is_null(q, i + 1)) {
            DL_TRY(dl_state_unpack(dl_db_bytes(q, i + 1), texts[i], uids[i], err));
        }
    }
    *out_key = key;
    return DL_OK;
}

dl_status dl_state_orphans(dl_state *state, dl_state_kind kind,
                           dl_status (*visit)(void *context, const dl_state_key *key,
                                              dl_state_place place, dl_error *err),
                           void *context, dl_error *err)
{
    DL_TRY(dl_state_flush(state, err));
    DL_TRY(dl_state_whole(state, err));
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, orphans_sql(kind), &q, err));
    dl_status status = DL_OK;
    int64_t last_file = -1;
    bool live = false;
    while (status == DL_OK && dl_db_step(q)) {
        dl_state_place place = {dl_db_int(q, 4), dl_db_int(q, 5)};
        status = dl_state_resolve(state, &place, err);
        if (status == DL_OK && place.file != last_file) {
            status = is_live(state, place.file, &live, err);
            last_file = place.file;
        }
        if (status == DL_OK && !live) {
            char texts[3][DL_STATE_KEY_LIMIT_BYTES];
            dl_state_key key;
            status = key_of(q, texts, &key, err);
            status = status == DL_OK ? visit(context, &key, place, err) : status;
        }
    }
    return dl_state_end(q, status, err);
}

/* ---- forwarding ---- */

static void slot_clear(dl_state *state, dl_state_forwards *slot)
{
    for (size_t i = 0; i < slot->count; i++) {
        dl_delta_bitmap_destroy(slot->segments[i].dead);
    }
    dl_mem_free(slot->segments);
    state->forward_bytes -= slot->bytes;
    *slot = (dl_state_forwards){0};
}

void dl_state_forwards_clear(dl_state *state)
{
    for (size_t i = 0; i < DL_STATE_FORWARD_SLOTS; i++) {
        slot_clear(state, &state->forwards[i]);
    }
}

static dl_state_forwards *slot_of(dl_state *state, int64_t file)
{
    return &state->forwards[(uint64_t)file & (DL_STATE_FORWARD_SLOTS - 1)];
}

dl_status dl_state_forward(dl_state *state, const dl_state_move *move, dl_error *err)
{
    DL_ASSERT(state->writing && move->from != 0 && move->to != 0 && move->from != move->to &&
              move->first_row <= move->end_row);
    if (slot_of(state, move->from)->file == move->from) {
        slot_clear(state, slot_of(state, move->from));
    }
    DL_AUTO_BUF blob;
    dl_buf_init(&blob, SIZE_MAX / 2);
    bool any = move->dead != NULL && dl_delta_bitmap_count(move->dead) > 0;
    if (any) {
        DL_TRY(dl_delta_bitmap_write(move->dead, &blob, err));
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, "INSERT OR REPLACE INTO forward VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
                          &q, err));
    dl_db_bind_int(q, 1, move->from);
    dl_db_bind_int(q, 2, move->first_row);
    dl_db_bind_int(q, 3, move->end_row);
    dl_db_bind_int(q, 4, move->to);
    dl_db_bind_int(q, 5, move->base);
    dl_db_bind_bytes(q, 6, any ? (dl_bytes){(const uint8_t *)blob.ptr, blob.len} : (dl_bytes){0});
    return dl_db_run(q, err);
}

static dl_status add_segment(dl_state_forwards *slot, size_t *cap, dl_db_stmt *q, dl_error *err)
{
    if (slot->count == *cap) {
        size_t bigger = *cap == 0 ? 1 : *cap * 2;
        dl_state_segment *segments = dl_mem_resize(slot->segments, bigger, sizeof *slot->segments);
        if (segments == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "state index: out of memory");
        }
        slot->segments = segments;
        *cap = bigger;
    }
    dl_state_segment *segment = &slot->segments[slot->count++];
    *segment = (dl_state_segment){.first_row = dl_db_int(q, 0),
                                  .end_row = dl_db_int(q, 1),
                                  .to_file = dl_db_int(q, 2),
                                  .base = dl_db_int(q, 3)};
    dl_bytes blob = dl_db_bytes(q, 4);
    slot->bytes += sizeof *segment + blob.len * 2;
    if (blob.len == 0) {
        return DL_OK;
    }
    DL_TRY(dl_delta_bitmap_create(&segment->dead, err));
    return dl_delta_bitmap_read(segment->dead, blob, err);
}

/** The forwarding of `file` into its slot; kept, also when there is none. */
static dl_status load(dl_state *state, int64_t file, dl_error *err)
{
    dl_state_forwards *slot = slot_of(state, file);
    if (slot->file == file) {
        return DL_OK;
    }
    slot_clear(state, slot);
    if (state->forward_bytes > DL_STATE_FORWARD_KEPT_BYTES) {
        dl_state_forwards_clear(state);
    }
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state,
                          "SELECT first_row, end_row, to_file, base, dead FROM forward"
                          " WHERE from_file = ?1 ORDER BY first_row",
                          &q, err));
    dl_db_bind_int(q, 1, file);
    size_t cap = 0;
    dl_status status = DL_OK;
    while (status == DL_OK && dl_db_step(q)) {
        status = add_segment(slot, &cap, q, err);
    }
    status = dl_state_end(q, status, err);
    state->forward_bytes += slot->bytes;
    if (status != DL_OK) {
        slot_clear(state, slot);
        return dl_error_within(err, status, "following a row of file %lld", (long long)file);
    }
    slot->file = file;
    return DL_OK;
}

/** The segment that `row` is in; NULL: none. */
static const dl_state_segment *segment_of(const dl_state_forwards *forwards, int64_t row)
{
    size_t low = 0, high = forwards->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (forwards->segments[middle].end_row <= row) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < forwards->count && forwards->segments[low].first_row <= row
               ? &forwards->segments[low]
               : NULL;
}

dl_status dl_state_resolve(dl_state *state, dl_state_place *place, dl_error *err)
{
    dl_state_place at = *place;
    for (int steps = 0; at.file != 0; steps++) {
        DL_TRY(load(state, at.file, err));
        const dl_state_segment *segment = segment_of(slot_of(state, at.file), at.row);
        if (segment == NULL) {
            break;
        }
        if (steps == DL_STATE_FORWARD_STEP_LIMIT) {
            return dl_error_set(err, DL_E_CORRUPT,
                                "state index: file %lld is forwarded in a circle",
                                (long long)place->file);
        }
        if (segment->dead != NULL && dl_delta_bitmap_has(segment->dead, (uint64_t)at.row)) {
            at = (dl_state_place){0};
            break;
        }
        int64_t rank = segment->dead == NULL
                           ? 0
                           : (int64_t)dl_delta_bitmap_rank(segment->dead, (uint64_t)at.row);
        at = (dl_state_place){segment->to_file, segment->base + at.row - rank};
    }
    *place = at;
    return DL_OK;
}

static dl_status run_for_file(dl_state *state, const char *sql, int64_t file, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_state_query(state, sql, &q, err));
    dl_db_bind_int(q, 1, file);
    return dl_db_run(q, err);
}

/* Newest first: what a chain ends in goes last. */
dl_status dl_state_prune_files(dl_state *state, dl_error *err)
{
    for (;;) {
        dl_db_stmt *q = NULL;
        DL_TRY(dl_state_query(
            state,
            "SELECT id FROM file INDEXED BY file_idle WHERE refs = 0 AND live = 0 AND NOT"
            " EXISTS (SELECT 1 FROM forward WHERE to_file = file.id)"
            " AND NOT EXISTS (SELECT 1 FROM extra WHERE extra.kind = file.kind"
            " AND extra.file = file.id)"
            " LIMIT 1",
            &q, err));
        int64_t file = dl_db_step(q) ? dl_db_int(q, 0) : 0;
        DL_TRY(dl_db_finish(q, err));
        if (file == 0) {
            break;
        }
        DL_TRY(run_for_file(state, "DELETE FROM forward WHERE from_file = ?1", file, err));
        DL_TRY(run_for_file(state, "DELETE FROM file WHERE id = ?1", file, err));
    }
    dl_state_forwards_clear(state);
    state->last_file = 0;
    return DL_OK;
}
