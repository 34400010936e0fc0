/* Copies live rows into new files, entry by entry as they stand in the file, and knows afterwards
 * where every row went: within a run of an old file that went to one new file, positions move by a
 * fixed base less the dead rows before them. */
#include "delta/maintain.h"

#include "base/mem.h"

#include <string.h>

enum { REWRITE_ARENA_BYTES = 512 * 1024 * 1024 };

/* An old file, as it was when it was copied. */
typedef struct source {
    dl_str path;
    dl_delta_dv dv;
    int64_t size_bytes;
    double row_bytes;      /* of the old file, for the target's sake */
    dl_delta_bitmap *dead; /* by its deletion vector, and killed by the options */
} source;

/* A new file. */
typedef struct output {
    int64_t row_count;
    double estimated_bytes;
} output;

struct dl_delta_rewrite {
    dl_arena *arena;
    source *sources;
    size_t source_count;
    int64_t file_limit_bytes;
    dl_str user_metadata; /* of the OPTIMIZE commit; ptr NULL: none */
    bool per_file;
    bool kills;                /* rows are left out that were alive */
    dl_delta_writer **writers; /* room for `writer_room` */
    output *outputs;           /* beside them */
    size_t writer_count, writer_room;
    dl_delta_move *moves;
    size_t *move_writer; /* index of each move's writer */
    size_t move_count, move_room;
};

/* What is in hand while it copies. */
typedef struct copy {
    dl_delta_rewrite *rewrite;
    dl_delta_table *table;
    const dl_delta_file *file; /* the old one */
    const source *from;
    dl_delta_writer *writer; /* the new one; NULL: the next live row begins one */
    const dl_columnar_leaf *leaves;
    size_t leaf_count;
    int64_t dead_before; /* dead rows passed in this old file */
    int64_t next_row;    /* of the old file */
    bool open_move;      /* the last move is of this old file and this writer */
    size_t *cursors;     /* one a leaf: next entry of the batch */
    dl_cancel *cancel;
} copy;

/* ---- life ---- */

void dl_delta_rewrite_destroy(dl_delta_rewrite *rewrite)
{
    if (rewrite == NULL) {
        return;
    }
    for (size_t i = 0; i < rewrite->writer_count; i++) {
        dl_delta_writer_destroy(rewrite->writers[i]);
    }
    for (size_t i = 0; i < rewrite->source_count; i++) {
        dl_delta_bitmap_destroy(rewrite->sources[i].dead);
    }
    dl_mem_free(rewrite->writers);
    dl_mem_free(rewrite->outputs);
    dl_mem_free(rewrite->moves);
    dl_mem_free(rewrite->move_writer);
    dl_arena_destroy(rewrite->arena);
    dl_mem_free(rewrite);
}

/* Room for `room` items; what is there stays where it was when there is no memory. */
static dl_status grow(void *array, size_t item_size, size_t room, void **out_array, dl_error *err)
{
    void *grown = dl_mem_resize(array, room, item_size);
    if (grown == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "copying rows: out of memory");
    }
    *out_array = grown;
    return DL_OK;
}

static size_t more_room(size_t room)
{
    return room == 0 ? 8 : room * 2;
}

static dl_status writer_room(dl_delta_rewrite *r, dl_error *err)
{
    if (r->writer_count < r->writer_room) {
        return DL_OK;
    }
    size_t room = more_room(r->writer_room);
    void *grown = NULL;
    DL_TRY(grow((void *)r->writers, sizeof(dl_delta_writer *), room, &grown, err));
    r->writers = grown;
    DL_TRY(grow(r->outputs, sizeof(output), room, &grown, err));
    r->outputs = grown;
    r->writer_room = room;
    return DL_OK;
}

static dl_status move_room(dl_delta_rewrite *r, dl_error *err)
{
    if (r->move_count < r->move_room) {
        return DL_OK;
    }
    size_t room = more_room(r->move_room);
    void *grown = NULL;
    DL_TRY(grow(r->moves, sizeof(dl_delta_move), room, &grown, err));
    r->moves = grown;
    DL_TRY(grow(r->move_writer, sizeof(size_t), room, &grown, err));
    r->move_writer = grown;
    r->move_room = room;
    return DL_OK;
}

/* ---- new files ---- */

/* The old file's partition values under the columns' logical names. */
static dl_status logical_values(const copy *c, dl_delta_pairs *out, dl_error *err)
{
    size_t column_count = 0;
    const dl_delta_column *columns = dl_delta_columns(c->table, &column_count);
    dl_delta_pair *pairs = dl_arena_alloc(c->rewrite->arena, column_count + 1, sizeof *pairs);
    if (pairs == NULL) {
        return dl_arena_full(c->rewrite->arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < column_count; i++) {
        if (!columns[i].partition) {
            continue;
        }
        pairs[count].key = columns[i].name;
        const dl_delta_pairs *values = &c->file->partition_values;
        for (size_t k = 0; k < values->count; k++) {
            if (dl_str_eq(values->items[k].key, columns[i].field.name)) {
                pairs[count].value = values->items[k].value;
            }
        }
        count++;
    }
    *out = (dl_delta_pairs){pairs, count};
    return DL_OK;
}

static dl_status begin_output(copy *c, dl_error *err)
{
    dl_delta_rewrite *r = c->rewrite;
    DL_TRY(writer_room(r, err));
    dl_delta_writer_options options = {0};
    DL_TRY(logical_values(c, &options.partition_values, err));
    DL_TRY(dl_delta_writer_create(c->table, &options, &c->writer, err));
    DL_ASSERT(r->writers != NULL); /* there is room */
    r->writers[r->writer_count] = c->writer;
    r->outputs[r->writer_count++] = (output){0};
    c->open_move = false;
    return DL_OK;
}

static dl_status end_output(copy *c, dl_error *err)
{
    if (c->writer == NULL) {
        return DL_OK;
    }
    dl_delta_writer *writer = c->writer;
    c->writer = NULL;
    c->open_move = false;
    return dl_delta_writer_finish(writer, err);
}

/* ---- rows ---- */

static void put_value(dl_columnar_writer *w, size_t leaf, dl_columnar_type type, unsigned rep,
                      const dl_columnar_value *value)
{
    switch (type) {
    case DL_COLUMNAR_STRING:
    case DL_COLUMNAR_BINARY:
        dl_columnar_put_str(w, leaf, rep, value->s);
        break;
    case DL_COLUMNAR_FLOAT:
    case DL_COLUMNAR_DOUBLE:
        dl_columnar_put_double(w, leaf, rep, value->d);
        break;
    case DL_COLUMNAR_BOOL:
    case DL_COLUMNAR_INT8:
    case DL_COLUMNAR_INT16:
    case DL_COLUMNAR_INT32:
    case DL_COLUMNAR_INT64:
    case DL_COLUMNAR_DECIMAL:
    case DL_COLUMNAR_DATE:
    case DL_COLUMNAR_TIMESTAMP:
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        dl_columnar_put_int(w, leaf, rep, value->i);
        break;
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
        DL_ASSERT(type == DL_COLUMNAR_STRING); /* these are no leaves */
    }
}

/* The entries of one row in one leaf: handed on when `w` is not NULL, passed over otherwise. */
static void pass_leaf(const copy *c, const dl_delta_batch *batch, size_t leaf,
                      dl_columnar_writer *w)
{
    const dl_columnar_entries *e = &batch->leaves[leaf];
    const dl_columnar_leaf *of = &c->leaves[leaf];
    size_t i = c->cursors[leaf];
    do {
        unsigned rep = e->rep == NULL ? 0 : e->rep[i];
        if (w != NULL && e->def[i] == of->max_def) {
            put_value(w, leaf, of->field->type, rep, &e->values[i]);
        } else if (w != NULL) {
            dl_columnar_put_null(w, leaf, rep, e->def[i]);
        }
        i++;
    } while (i < e->count && e->rep != NULL && e->rep[i] != 0);
    c->cursors[leaf] = i;
}

/* A live row goes to the open file: the last move reaches past it now. */
static dl_status note_move(copy *c, int64_t row, dl_error *err)
{
    dl_delta_rewrite *r = c->rewrite;
    output *o = &r->outputs[r->writer_count - 1];
    if (!c->open_move) {
        DL_TRY(move_room(r, err));
        DL_ASSERT(r->moves != NULL); /* there is room */
        r->moves[r->move_count] = (dl_delta_move){.old_path = c->from->path,
                                                  .base = o->row_count - (row - c->dead_before),
                                                  .first_row = row,
                                                  .dead = c->from->dead};
        r->move_writer[r->move_count++] = r->writer_count - 1;
        c->open_move = true;
    }
    r->moves[r->move_count - 1].end_row = row + 1;
    o->row_count++;
    o->estimated_bytes += c->from->row_bytes;
    return DL_OK;
}

static dl_status copy_row(copy *c, const dl_delta_batch *batch, int64_t row, dl_error *err)
{
    dl_delta_rewrite *r = c->rewrite;
    if (c->writer != NULL && r->file_limit_bytes > 0 &&
        r->outputs[r->writer_count - 1].estimated_bytes >= (double)r->file_limit_bytes) {
        DL_TRY(end_output(c, err));
    }
    if (c->writer == NULL) {
        DL_TRY(begin_output(c, err));
    }
    dl_columnar_writer *w = dl_delta_writer_columns(c->writer);
    DL_TRY(note_move(c, row, err));
    for (size_t leaf = 0; leaf < c->leaf_count; leaf++) {
        pass_leaf(c, batch, leaf, w);
    }
    return dl_columnar_row_end(w, err);
}

static dl_status copy_batch(void *context, const dl_delta_batch *batch, dl_error *err)
{
    copy *c = context;
    if (batch->leaf_count != c->leaf_count) {
        return dl_error_set(err, DL_E_CORRUPT, "a batch has %zu leaves, not %zu", batch->leaf_count,
                            c->leaf_count);
    }
    if (dl_cancel_asked(c->cancel)) {
        return dl_error_set(err, DL_E_CANCELED, "copying rows was canceled");
    }
    memset(c->cursors, 0, c->leaf_count * sizeof *c->cursors);
    for (size_t i = 0; i < batch->row_count; i++) {
        int64_t row = batch->row_numbers[i];
        if (row != c->next_row) {
            return dl_error_set(err, DL_E_CORRUPT, "row %lld comes where row %lld was due",
                                (long long)row, (long long)c->next_row);
        }
        c->next_row++;
        if (batch->live[i] && !dl_delta_bitmap_has(c->from->dead, (uint64_t)row)) {
            DL_TRY(copy_row(c, batch, row, err));
            continue;
        }
        c->dead_before++;
        for (size_t leaf = 0; leaf < c->leaf_count; leaf++) {
            pass_leaf(c, batch, leaf, NULL);
        }
    }
    return DL_OK;
}

/* ---- old files ---- */

static dl_status file_row_bytes(const copy *c, double *out, dl_error *err)
{
    int64_t rows = c->file->row_count;
    if (rows < 0) {
        dl_str key = DL_STR_NONE;
        dl_str location = DL_STR_NONE;
        DL_TRY(dl_delta_key(c->table, c->file->path, c->rewrite->arena, &key, err));
        DL_TRY(dl_store_location(c->table->open.store, key, c->rewrite->arena, &location, err));
        DL_TRY(dl_columnar_row_count(c->table->open.engine, location, &rows, err));
    }
    *out = rows < 1 ? 0 : (double)c->file->size_bytes / (double)rows;
    return DL_OK;
}

static dl_status prepare_source(copy *c, const dl_delta_rewrite_options *options, dl_str path,
                                dl_error *err)
{
    dl_delta_rewrite *r = c->rewrite;
    source *s = &r->sources[r->source_count];
    c->file = dl_delta_file_by_path(c->table, path);
    if (c->file == NULL) {
        return dl_error_set(err, DL_E_NOT_FOUND, "the table has no live file %.*s",
                            DL_STR_ARG(path));
    }
    *s = (source){.dv = c->file->dv, .size_bytes = c->file->size_bytes};
    DL_TRY(dl_delta_bitmap_create(&s->dead, err));
    r->source_count++; /* from here on destroy knows it */
    DL_TRY(dl_arena_copy(r->arena, path, &s->path, err));
    DL_TRY(dl_arena_copy(r->arena, c->file->dv.path_or_inline, &s->dv.path_or_inline, err));
    DL_TRY(file_row_bytes(c, &s->row_bytes, err));
    DL_TRY(dl_delta_deleted_rows(c->table, c->file, s->dead, err));
    for (size_t i = 0; i < options->kill_count; i++) {
        if (dl_str_eq(options->kills[i].path, path)) {
            DL_TRY(dl_delta_bitmap_merge(s->dead, options->kills[i].rows, err));
            r->kills = true;
        }
    }
    c->from = s;
    c->next_row = 0;
    c->dead_before = 0;
    c->open_move = false;
    return DL_OK;
}

/* The names of all columns that are in files, in schema order: the leaves that a writer wants. */
static dl_status file_columns(const dl_delta_table *table, dl_arena *arena, dl_delta_scan *out,
                              dl_error *err)
{
    size_t column_count = 0;
    const dl_delta_column *columns = dl_delta_columns(table, &column_count);
    dl_str *names = dl_arena_alloc(arena, column_count + 1, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < column_count; i++) {
        if (!columns[i].partition) {
            names[count++] = columns[i].name;
        }
    }
    out->columns = names;
    out->column_count = count;
    return DL_OK;
}

static bool same_values(const dl_delta_pairs *a, const dl_delta_pairs *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        bool found = false;
        for (size_t k = 0; k < b->count && !found; k++) {
            const dl_delta_pair *x = &a->items[i];
            const dl_delta_pair *y = &b->items[k];
            found = dl_str_eq(x->key, y->key) && (x->value.ptr == NULL) == (y->value.ptr == NULL) &&
                    (x->value.ptr == NULL || dl_str_eq(x->value, y->value));
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static dl_status copy_files(copy *c, const dl_delta_rewrite_options *options, dl_error *err)
{
    dl_delta_scan scan = {.cancel = options->cancel};
    dl_columnar_leaf *leaves = NULL;
    const dl_delta_pairs *values = NULL;
    DL_TRY(file_columns(c->table, c->rewrite->arena, &scan, err));
    DL_TRY(dl_delta_scan_leaves(c->table, &scan, c->rewrite->arena, &leaves, &c->leaf_count, err));
    c->leaves = leaves;
    c->cursors = dl_arena_alloc(c->rewrite->arena, c->leaf_count + 1, sizeof *c->cursors);
    if (c->cursors == NULL) {
        return dl_arena_full(c->rewrite->arena, err);
    }
    for (size_t i = 0; i < options->path_count; i++) {
        DL_TRY(prepare_source(c, options, options->paths[i], err));
        if (values != NULL && !options->per_file &&
            !same_values(values, &c->file->partition_values)) {
            return dl_error_set(err, DL_E_INVALID,
                                "the files %.*s and %.*s are of different partitions",
                                DL_STR_ARG(options->paths[0]), DL_STR_ARG(options->paths[i]));
        }
        values = &c->file->partition_values;
        scan.file = c->file;
        DL_TRY(dl_delta_read(c->table, &scan, copy_batch, c, err));
        c->open_move = false;
        if (options->per_file) {
            DL_TRY(end_output(c, err));
        }
    }
    return end_output(c, err);
}

/* Tables whose rows carry ids that a copy would have to take along are not for us to copy. */
static dl_status check_copyable(const dl_delta_table *table, dl_error *err)
{
    DL_TRY(dl_delta_check_maintainable(table, err));
    dl_str tracking = dl_delta_property(table, "delta.enableRowTracking");
    if (tracking.ptr != NULL && dl_str_eq_nocase(tracking, DL_STR("true"))) {
        dl_error_set(err, DL_E_UNSUPPORTED,
                     "rows of a table with delta.enableRowTracking cannot be moved");
        dl_error_hint(err, "let the program that switched it on run OPTIMIZE");
        return DL_E_UNSUPPORTED;
    }
    return DL_OK;
}

dl_status dl_delta_rewrite_create(dl_delta_table *table, const dl_delta_rewrite_options *options,
                                  dl_delta_rewrite **out_rewrite, dl_error *err)
{
    DL_TRY(check_copyable(table, err));
    DL_AUTO(dl_delta_rewrite) rewrite = dl_mem_zalloc(1, sizeof *rewrite);
    if (rewrite == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "copying rows: out of memory");
    }
    rewrite->arena = dl_arena_create(REWRITE_ARENA_BYTES);
    if (rewrite->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "copying rows: out of memory");
    }
    rewrite->sources =
        dl_arena_alloc(rewrite->arena, options->path_count + 1, sizeof *rewrite->sources);
    if (rewrite->sources == NULL) {
        return dl_arena_full(rewrite->arena, err);
    }
    rewrite->file_limit_bytes = options->file_limit_bytes;
    rewrite->per_file = options->per_file;
    if (options->user_metadata.ptr != NULL) {
        DL_TRY(dl_arena_copy(rewrite->arena, options->user_metadata, &rewrite->user_metadata, err));
    }
    copy c = {.rewrite = rewrite, .table = table, .cancel = options->cancel};
    dl_status status = copy_files(&c, options, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "copying the live rows of %zu files",
                               options->path_count);
    }
    *out_rewrite = DL_STEAL(rewrite);
    return DL_OK;
}

const dl_delta_move *dl_delta_rewrite_moves(const dl_delta_rewrite *rewrite, size_t *out_count)
{
    for (size_t i = 0; i < rewrite->move_count; i++) {
        rewrite->moves[i].new_path =
            dl_delta_writer_path(rewrite->writers[rewrite->move_writer[i]]);
    }
    *out_count = rewrite->move_count;
    return rewrite->moves;
}

dl_delta_writer *const *dl_delta_rewrite_writers(const dl_delta_rewrite *rewrite, size_t *out_count)
{
    *out_count = rewrite->writer_count;
    return rewrite->writers;
}

/* ---- the commit ---- */

/* What the commit is made of: rebuilt when the table moved. */
typedef struct carried {
    dl_delta_bitmap **dead;    /* one a writer; NULL: none */
    size_t dead_count;         /* length of `dead` */
    dl_delta_writer **writers; /* those that keep a row */
    const dl_delta_bitmap **writer_dead;
    size_t writer_count;
} carried;

static void carried_clear(carried *c)
{
    for (size_t i = 0; i < c->dead_count; i++) {
        dl_delta_bitmap_destroy(c->dead[i]);
    }
    c->dead_count = 0;
}

/* Rows of one old file that died since it was copied are dead in the new one. */
static dl_status carry_deaths(const dl_delta_rewrite *r, const source *s,
                              const dl_delta_bitmap *now, carried *out, dl_error *err)
{
    for (size_t m = 0; m < r->move_count; m++) {
        const dl_delta_move *move = &r->moves[m];
        if (move->dead != s->dead) {
            continue;
        }
        dl_delta_bitmap **to = &out->dead[r->move_writer[m]];
        uint64_t row = (uint64_t)move->first_row;
        while (dl_delta_bitmap_next(now, row, &row) && row < (uint64_t)move->end_row) {
            if (!dl_delta_bitmap_has(s->dead, row)) {
                if (*to == NULL) {
                    DL_TRY(dl_delta_bitmap_create(to, err));
                }
                int64_t at = move->base + (int64_t)(row - dl_delta_bitmap_rank(s->dead, row));
                DL_TRY(dl_delta_bitmap_add(*to, (uint64_t)at, NULL, err));
            }
            row++;
        }
    }
    return DL_OK;
}

static bool holds_all(const dl_delta_bitmap *set, const dl_delta_bitmap *members)
{
    uint64_t row = 0;
    while (dl_delta_bitmap_next(members, row, &row)) {
        if (!dl_delta_bitmap_has(set, row)) {
            return false;
        }
        row++;
    }
    return true;
}

static bool same_dv(const dl_delta_dv *a, const dl_delta_dv *b)
{
    return a->storage == b->storage &&
           (a->storage == 0 ||
            (a->offset == b->offset && dl_str_eq(a->path_or_inline, b->path_or_inline)));
}

static dl_status carry(dl_delta_table *table, const dl_delta_rewrite *r, carried *out,
                       dl_error *err)
{
    for (size_t i = 0; i < r->source_count; i++) {
        const source *s = &r->sources[i];
        const dl_delta_file *file = dl_delta_file_by_path(table, s->path);
        if (file == NULL) {
            return dl_error_set(err, DL_E_CONFLICT, "the file %.*s was removed while it was copied",
                                DL_STR_ARG(s->path));
        }
        if (same_dv(&file->dv, &s->dv)) {
            continue;
        }
        DL_AUTO(dl_delta_bitmap) now = NULL;
        DL_TRY(dl_delta_bitmap_create(&now, err));
        DL_TRY(dl_delta_deleted_rows(table, file, now, err));
        if (!holds_all(now, s->dead)) { /* a restore */
            return dl_error_set(err, DL_E_CONFLICT, "rows of %.*s came back while it was copied",
                                DL_STR_ARG(s->path));
        }
        DL_TRY(carry_deaths(r, s, now, out, err));
    }
    return DL_OK;
}

/* Writers that keep a row, with their dead ones. */
static dl_status choose_writers(const dl_delta_table *table, const dl_delta_rewrite *r, carried *c,
                                dl_error *err)
{
    for (size_t i = 0; i < r->writer_count; i++) {
        uint64_t dead = c->dead[i] == NULL ? 0 : dl_delta_bitmap_count(c->dead[i]);
        if (dead == (uint64_t)r->outputs[i].row_count) {
            continue; /* none is left: there is no use for the file */
        }
        if (dead > 0 && !dl_delta_makes_dvs(table)) {
            return dl_error_set(err, DL_E_CONFLICT,
                                "rows were deleted while they were copied, and the table makes no "
                                "deletion vectors");
        }
        c->writers[c->writer_count] = r->writers[i];
        c->writer_dead[c->writer_count++] = c->dead[i];
    }
    return DL_OK;
}

static dl_status try_commit(dl_delta_table *table, const dl_delta_rewrite *r,
                            dl_delta_pairs parameters, dl_delta_result *out_result, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(REWRITE_ARENA_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "compaction: out of memory");
    }
    size_t room = r->writer_count + 1;
    DL_CLEANUP(carried_clear)
    carried c = {
        .dead = dl_arena_alloc(arena, room, sizeof(void *)),
        .writers = dl_arena_alloc(arena, room, sizeof(void *)),
        .writer_dead = dl_arena_alloc(arena, room, sizeof(void *)),
    };
    dl_str *removes = dl_arena_alloc(arena, r->source_count + 1, sizeof *removes);
    if (c.dead == NULL || c.writers == NULL || c.writer_dead == NULL || removes == NULL) {
        return dl_arena_full(arena, err);
    }
    c.dead_count = r->writer_count;
    DL_TRY(carry(table, r, &c, err));
    DL_TRY(choose_writers(table, r, &c, err));
    for (size_t i = 0; i < r->source_count; i++) {
        removes[i] = r->sources[i].path;
    }
    dl_delta_change change = {.operation = "OPTIMIZE",
                              .parameters = parameters,
                              .user_metadata = r->user_metadata,
                              .writers = c.writers,
                              .writer_count = c.writer_count,
                              .writer_dead = c.writer_dead,
                              .removes = removes,
                              .remove_count = r->source_count};
    return dl_delta_commit_change(table, &change, out_result, err);
}

dl_status dl_delta_rewrite_commit(dl_delta_table *table, dl_delta_rewrite *rewrite,
                                  dl_delta_pairs parameters, dl_delta_result *out_result,
                                  dl_error *err)
{
    if (rewrite->kills) {
        return dl_error_set(err, DL_E_INVALID,
                            "rows that were left out are committed with the "
                            "change that deletes them");
    }
    for (int64_t tries = 1;; tries++) {
        dl_status status = try_commit(table, rewrite, parameters, out_result, err);
        if (status != DL_E_CONFLICT || tries == DL_DELTA_TRIES) {
            return status == DL_OK ? DL_OK
                                   : dl_error_within(err, status, "committing a compaction");
        }
        /* The table is at the newest version: when all old files are still there, rows have only
         * died, and they are dead in the copy as well. */
        for (size_t i = 0; i < rewrite->source_count; i++) {
            if (dl_delta_file_by_path(table, rewrite->sources[i].path) == NULL) {
                return dl_error_within(err, status, "committing a compaction");
            }
        }
        dl_error_clear(err);
    }
}
