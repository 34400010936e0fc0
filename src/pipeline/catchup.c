/* The state index follows tables that moved without it: after a crash between a commit and its
 * record, after another engine's commits, or from nothing. What is compared is not the history but
 * the files: those that the state knows as live with their deletion vectors, and those that the
 * table has now. */
#include "pipeline/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES ((size_t)1 << 30)

typedef struct known_file {
    int64_t file;
    dl_str path, dv;
    const dl_delta_file *live; /* NULL: gone */
    dl_delta_bitmap *dead;     /* loaded when asked for */
} known_file;

typedef struct catching {
    dl_pipeline *pipeline;
    dl_pipeline_table *table;
    dl_arena *arena;
    known_file *files; /* what the state knew, by path */
    known_file **by_number;
    size_t count, room;
    int64_t sequence; /* what rows are at least as new as; 0: not known */
    int64_t file;     /* that is being read */
    bool dead_rows;   /* look at its dead rows, not at the live ones */
    int64_t rows;
    dl_arena *batch_arena;
} catching;

static void catching_clear(catching *c)
{
    for (size_t i = 0; i < c->count; i++) {
        dl_delta_bitmap_destroy(c->files[i].dead);
    }
    dl_mem_free(c->files);
    dl_arena_destroy(c->arena);
}

static dl_status add_known(void *context, int64_t file, dl_str path, dl_str dv, dl_error *err)
{
    catching *c = context;
    if (c->count == c->room) {
        size_t room = c->room == 0 ? 64 : c->room * 2;
        known_file *grown = dl_mem_resize(c->files, room, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for %zu files", room);
        }
        c->files = grown;
        c->room = room;
    }
    known_file *f = &c->files[c->count];
    *f = (known_file){.file = file};
    c->count++;
    DL_TRY(dl_arena_copy(c->arena, path, &f->path, err));
    return dl_arena_copy(c->arena, dv, &f->dv, err);
}

static int compare_paths(const void *left, const void *right)
{
    return dl_str_compare(((const known_file *)left)->path, ((const known_file *)right)->path);
}

static int compare_numbers(const void *left, const void *right)
{
    int64_t a = (*(known_file *const *)left)->file;
    int64_t b = (*(known_file *const *)right)->file;
    return (a > b) - (a < b);
}

static dl_status sort_files(catching *c, dl_error *err)
{
    c->by_number = dl_arena_alloc(c->arena, c->count + 1, sizeof(known_file *));
    if (c->by_number == NULL) {
        return dl_arena_full(c->arena, err);
    }
    if (c->count > 0) {
        qsort(c->files, c->count, sizeof *c->files, compare_paths);
    }
    for (size_t i = 0; i < c->count; i++) {
        c->by_number[i] = &c->files[i];
    }
    if (c->count > 0) {
        qsort((void *)c->by_number, c->count, sizeof(known_file *), compare_numbers);
    }
    return DL_OK;
}

static known_file *find_path(const catching *c, dl_str path)
{
    known_file key = {.path = path};
    return c->count == 0 ? NULL : bsearch(&key, c->files, c->count, sizeof key, compare_paths);
}

static dl_status dv_word(const dl_delta_file *file, dl_arena *arena, dl_str *out, dl_error *err)
{
    if (file->dv.storage == 0) {
        *out = DL_STR("");
        return DL_OK;
    }
    return dl_arena_printf(arena, out, err, "%c%.*s@%" PRId64, file->dv.storage,
                           DL_STR_ARG(file->dv.path_or_inline), file->dv.offset);
}

/* Is the row at that place (resolved) still in the table? */
static dl_status is_alive(catching *c, dl_state_place place, bool *out_alive, dl_error *err)
{
    *out_alive = false;
    known_file key = {.file = place.file};
    known_file *wanted = &key;
    known_file **hit = c->count == 0 ? NULL
                                     : bsearch((const void *)&wanted, (const void *)c->by_number,
                                               c->count, sizeof(known_file *), compare_numbers);
    known_file *f = hit == NULL ? NULL : *hit;
    if (f == NULL) { /* a file that came just now: read before, so what it holds is alive */
        *out_alive = place.file != 0;
        return DL_OK;
    }
    if (f->live == NULL) {
        return DL_OK;
    }
    if (f->dead == NULL) {
        DL_TRY(dl_delta_bitmap_create(&f->dead, err));
        DL_TRY(dl_delta_deleted_rows(c->table->table, f->live, f->dead, err));
    }
    *out_alive = !dl_delta_bitmap_has(f->dead, (uint64_t)place.row);
    return DL_OK;
}

/* ---- rows that are there ---- */

static dl_status found_instance(catching *c, const dl_delta_batch *batch, size_t i, dl_error *err)
{
    dl_pipeline *p = c->pipeline;
    dl_project_instance found = {0};
    dl_state_instance known = {0};
    DL_TRY(dl_project_instance_of(c->table->binding, batch, i, c->batch_arena, &found, err));
    dl_state_instance row = found.instance;
    row.place = (dl_state_place){c->file, batch->row_numbers[i]};
    row.sequence = c->sequence;
    row.source = c->sequence > 0 ? p->source : 0;
    DL_TRY(dl_state_get(p->state, &found.key, &known, err));
    if (known.known && !known.removed) {
        if (known.place.file == row.place.file && known.place.row == row.place.row) {
            return DL_OK;
        }
        bool alive = false;
        DL_TRY(is_alive(c, known.place, &alive, err));
        if (alive) { /* two rows for one instance: the newer one stays */
            bool newer = row.timestamp_us >= known.timestamp_us;
            DL_TRY(dl_state_extra_add(p->state, DL_STATE_INSTANCE, newer ? known.place : row.place,
                                      err));
            if (!newer) {
                return DL_OK;
            }
        }
    }
    return dl_state_put(p->state, &found.key, &row, &found.shown, err);
}

static dl_state_key key_of(const dl_state_row *row)
{
    return (dl_state_key){row->partition_name, row->study_uid, row->series_uid, DL_STR_NONE};
}

static dl_status found_row(catching *c, const dl_delta_batch *batch, size_t i, dl_error *err)
{
    dl_state_row row = {0};
    DL_TRY(dl_project_row_of(c->table->binding, batch, i, c->batch_arena, &row, err));
    dl_state_key key = key_of(&row);
    dl_state *state = c->pipeline->state;
    dl_state_kind kind = c->table->kind;
    dl_state_place place = {c->file, batch->row_numbers[i]};
    dl_state_place known = {0};
    DL_TRY(dl_state_row_place(state, kind, &key, &known, err));
    if (known.file != 0 && (known.file != place.file || known.row != place.row)) {
        bool alive = false;
        DL_TRY(is_alive(c, known, &alive, err));
        if (!alive) { /* moved, not doubled */
            DL_TRY(dl_state_row_unplace(state, kind, &key, err));
        }
    }
    return dl_state_found(state, kind, &key, place, dl_project_row_hash(kind, &row), err);
}

/* ---- rows that are gone ---- */

static dl_status lost(catching *c, const dl_state_key *key, dl_state_place place, dl_error *err)
{
    dl_pipeline *p = c->pipeline;
    if (c->table->kind != DL_STATE_INSTANCE) {
        return dl_state_lost(p->state, c->table->kind, key, place, err);
    }
    dl_state_instance known = {0};
    DL_TRY(dl_state_get(p->state, key, &known, err));
    if (!known.known || known.removed || known.place.file != place.file ||
        known.place.row != place.row) {
        return DL_OK;
    }
    return dl_state_remove(p->state, key, known.timestamp_us, known.sequence, known.source, err);
}

static dl_status lost_row(catching *c, const dl_delta_batch *batch, size_t i, dl_error *err)
{
    dl_state_key key = {0};
    if (c->table->kind == DL_STATE_INSTANCE) {
        dl_project_instance instance = {0};
        DL_TRY(dl_project_instance_of(c->table->binding, batch, i, c->batch_arena, &instance, err));
        key = instance.key;
    } else {
        dl_state_row row = {0};
        DL_TRY(dl_project_row_of(c->table->binding, batch, i, c->batch_arena, &row, err));
        key = key_of(&row);
    }
    return lost(c, &key, (dl_state_place){c->file, batch->row_numbers[i]}, err);
}

static dl_status take_rows(catching *c, const dl_delta_batch *batch, dl_error *err)
{
    for (size_t i = 0; i < batch->row_count; i++) {
        if (c->dead_rows) {
            if (!batch->live[i]) {
                DL_TRY(lost_row(c, batch, i, err));
            }
        } else if (batch->live[i]) {
            c->rows++;
            DL_TRY(c->table->kind == DL_STATE_INSTANCE ? found_instance(c, batch, i, err)
                                                       : found_row(c, batch, i, err));
        }
    }
    return DL_OK;
}

static dl_status take_batch(void *context, const dl_delta_batch *batch, dl_error *err)
{
    catching *c = context;
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a batch of rows");
    }
    c->batch_arena = arena;
    return take_rows(c, batch, err);
}

static dl_status read_file(catching *c, const dl_delta_file *file, int64_t number, bool dead_rows,
                           dl_error *err)
{
    dl_pipeline *p = c->pipeline;
    dl_delta_scan scan = {.file = file, .cancel = p->options.cancel};
    DL_TRY(dl_project_key_columns(c->table->binding, c->arena, &scan.columns, &scan.column_count,
                                  err));
    c->file = number;
    c->dead_rows = dead_rows;
    dl_status status = dl_delta_read(c->table->table, &scan, take_batch, c, err);
    return status == DL_OK ? DL_OK
                           : dl_error_within(err, status, "reading the keys of table %s",
                                             dl_pipeline_table_name(c->table->kind));
}

/* ---- a table ---- */

typedef struct orphan {
    dl_state_key key;
    dl_state_place place;
} orphan;

typedef struct orphans {
    dl_arena *arena;
    orphan *items;
    size_t count, room;
} orphans;

static dl_status copy_key(const dl_state_key *key, dl_arena *arena, dl_state_key *out,
                          dl_error *err)
{
    DL_TRY(dl_arena_copy(arena, key->partition_name, &out->partition_name, err));
    DL_TRY(dl_arena_copy(arena, key->study_uid, &out->study_uid, err));
    if (key->series_uid.ptr != NULL) {
        DL_TRY(dl_arena_copy(arena, key->series_uid, &out->series_uid, err));
    }
    return key->sop_uid.ptr == NULL ? DL_OK
                                    : dl_arena_copy(arena, key->sop_uid, &out->sop_uid, err);
}

static dl_status add_orphan(void *context, const dl_state_key *key, dl_state_place place,
                            dl_error *err)
{
    orphans *o = context;
    if (o->count == o->room) {
        size_t room = o->room == 0 ? 256 : o->room * 2;
        orphan *grown = dl_mem_resize(o->items, room, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for %zu lost rows", room);
        }
        o->items = grown;
        o->room = room;
    }
    o->items[o->count] = (orphan){.place = place};
    DL_TRY(copy_key(key, o->arena, &o->items[o->count].key, err));
    o->count++;
    return DL_OK;
}

static dl_status lose_orphans(catching *c, dl_error *err)
{
    orphans o = {.arena = c->arena};
    dl_status status = dl_state_orphans(c->pipeline->state, c->table->kind, add_orphan, &o, err);
    for (size_t i = 0; status == DL_OK && i < o.count; i++) {
        status = lost(c, &o.items[i].key, o.items[i].place, err);
    }
    dl_mem_free(o.items);
    return status;
}

static dl_status read_changed(catching *c, const dl_delta_file *file, known_file *known,
                              dl_error *err)
{
    dl_state *state = c->pipeline->state;
    dl_str word;
    DL_TRY(dv_word(file, c->arena, &word, err));
    if (known != NULL) {
        if (dl_str_eq(known->dv, word)) {
            return DL_OK;
        }
        /* Rows may also have come back (a restore): both ways. */
        DL_TRY(read_file(c, file, known->file, true, err));
        DL_TRY(read_file(c, file, known->file, false, err));
        return dl_state_file_mark(state, known->file, true, word, err);
    }
    int64_t number = 0;
    DL_TRY(dl_state_file(state, c->table->kind, file->path, &number, err));
    DL_TRY(read_file(c, file, number, false, err));
    return dl_state_file_mark(state, number, true, word, err);
}

static dl_status compare_table(catching *c, dl_error *err)
{
    dl_state *state = c->pipeline->state;
    dl_delta_table *table = c->table->table;
    DL_TRY(dl_state_files(state, c->table->kind, add_known, c, err));
    DL_TRY(sort_files(c, err));
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    while (dl_delta_next_file(table, &cursor, &file)) {
        known_file *known = find_path(c, file->path);
        if (known != NULL) {
            known->live = file;
        }
    }
    bool gone = false;
    for (size_t i = 0; i < c->count; i++) {
        if (c->files[i].live == NULL) {
            gone = true;
            DL_TRY(dl_state_file_mark(state, c->files[i].file, false, DL_STR(""), err));
        }
    }
    cursor = 0;
    while (dl_delta_next_file(table, &cursor, &file)) {
        DL_TRY(read_changed(c, file, find_path(c, file->path), err));
    }
    if (gone) {
        DL_TRY(lose_orphans(c, err));
    }
    return dl_state_position_set(state, c->table->kind, dl_delta_metadata_of(table)->id,
                                 dl_delta_version(table), err);
}

static dl_status catch_up_table(dl_pipeline *p, dl_pipeline_table *t, dl_error *err)
{
    DL_CLEANUP(catching_clear)
    catching c = {.pipeline = p, .table = t, .arena = dl_arena_create(ARENA_BYTES)};
    if (c.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to follow table %s",
                            dl_pipeline_table_name(t->kind));
    }
    /* Every row reflects all changes up to the table's own watermark, where the feed is in order
     * and no window went ahead. */
    if (p->source > 0 && p->ordered && !p->has_ahead && t->kind == DL_STATE_INSTANCE) {
        int64_t time_us = 0;
        DL_TRY(dl_pipeline_table_watermark(p, t, &c.sequence, &time_us, err));
    }
    DL_TRY(compare_table(&c, err));
    if (c.rows > 0) {
        dl_pipeline_note(p, "table %s: %" PRId64 " rows read into the state index",
                         dl_pipeline_table_name(t->kind), c.rows);
    }
    return DL_OK;
}

/* What happened between the state's version and the table's. */
typedef struct happened {
    int64_t oldest; /* version that was still there to be read */
    bool restored;
} happened;

static dl_status see_info(void *context, const dl_delta_info *info, dl_error *err)
{
    happened *h = context;
    (void)err;
    h->oldest = info->version;
    h->restored |= dl_str_eq_nocase(info->operation, DL_STR("RESTORE"));
    return DL_OK;
}

/* A RESTORE undoes what the state is built on: files come back that it has forwarded, and rows go
 * whose changes are yet to come again. A log that does not tell any more may have had one. */
static dl_status was_restored(dl_delta_table *table, int64_t version, bool *out_restored,
                              dl_error *err)
{
    int64_t now = dl_delta_version(table);
    happened h = {.oldest = now + 1};
    *out_restored = false;
    if (version < now) {
        DL_TRY(dl_delta_history(table, (size_t)(now - version), see_info, &h, err));
        *out_restored = h.restored || h.oldest > version + 1;
    }
    return DL_OK;
}

/* A run goes on from where the instance table was: when it goes back, changes would be left out. */
static dl_status check_restored(const dl_pipeline *p, const dl_pipeline_table *t, dl_error *err)
{
    if (!p->under_way || t->kind != DL_STATE_INSTANCE) {
        return DL_OK;
    }
    (void)dl_error_set(err, DL_E_UNAVAILABLE,
                       "table %s was restored to an earlier version while changes were applied",
                       dl_pipeline_table_name(t->kind));
    dl_error_hint(err, "run it again: it goes on after what the table has now");
    return DL_E_UNAVAILABLE;
}

static dl_status refresh(dl_pipeline *p, bool *out_clear, bool *out_behind, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to follow the tables");
    }
    *out_clear = *out_behind = false;
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        dl_pipeline_table *t = &p->tables[i];
        if (t->table == NULL) {
            continue;
        }
        int64_t before = dl_delta_version(t->table);
        DL_TRY(dl_delta_update(t->table, err));
        if (dl_delta_version(t->table) != before) {
            DL_TRY(dl_pipeline_bind(p, t, err));
        }
        dl_state_position position = {0};
        DL_TRY(dl_state_position_get(p->state, t->kind, arena, &position, err));
        bool same = position.version >= 0 &&
                    dl_str_eq(position.table_id, dl_delta_metadata_of(t->table)->id);
        *out_behind |= !same || position.version != dl_delta_version(t->table);
        *out_clear |= (position.version >= 0 && !same) ||
                      (same && position.version > dl_delta_version(t->table));
        bool restored = false;
        if (same) {
            DL_TRY(was_restored(t->table, position.version, &restored, err));
        }
        if (restored) {
            *out_clear = true;
            DL_TRY(check_restored(p, t, err));
        }
    }
    return DL_OK;
}

static dl_status catch_up_tables(dl_pipeline *p, dl_error *err)
{
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = DL_OK;
    for (size_t i = 0; status == DL_OK && i < DL_PIPELINE_TABLES; i++) {
        if (p->tables[i].table != NULL) {
            status = catch_up_table(p, &p->tables[i], err);
            p->tables[i].foreign &= status != DL_OK;
        }
    }
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    return status;
}

/* An empty state, in which the source under way has its number. */
static dl_status start_anew(dl_pipeline *p, dl_error *err)
{
    dl_pipeline_note(p, "the state index speaks of other tables or versions; it is made anew");
    DL_TRY(dl_state_clear(p->state, err));
    if (p->source == 0) {
        return DL_OK;
    }
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = dl_state_source(p->state, p->source_id, &p->source, err);
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    return status;
}

dl_status dl_pipeline_catch_up(dl_pipeline *p, dl_error *err)
{
    bool clear = false;
    bool behind = false;
    DL_TRY(refresh(p, &clear, &behind, err));
    if (clear || p->astray) {
        DL_TRY(start_anew(p, err));
        p->astray = false;
        behind = true;
    }
    if (!behind) {
        for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
            p->tables[i].foreign = false;
        }
        return DL_OK;
    }
    return catch_up_tables(p, err);
}

dl_status dl_pipeline_rebuild_state(dl_pipeline *p, dl_error *err)
{
    DL_TRY(dl_pipeline_tables_open(p, false, err));
    DL_TRY(dl_state_clear(p->state, err));
    bool clear = false;
    bool behind = false;
    DL_TRY(refresh(p, &clear, &behind, err));
    DL_TRY(catch_up_tables(p, err));
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = dl_state_all_dirty(p->state, err);
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    return status;
}
