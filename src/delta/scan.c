/* Rows of live files: what the files hold, less what deletion vectors hide, with what only the log
 * knows (partition values) put in. */
#include "delta/internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PLAN_LIMIT_BYTES = 64 * 1024 * 1024 };

/* Which columns are wanted, and where their leaves come from. */
typedef struct plan {
    const dl_delta_column **columns;
    size_t column_count;
    dl_columnar_field *file_fields; /* those that are in the files */
    size_t file_field_count;
    dl_columnar_leaf *leaves; /* of all */
    size_t leaf_count;
    size_t *sources; /* leaf of a batch, or SIZE_MAX: a partition column */
} plan;

/* One file being read. */
typedef struct reading {
    const plan *plan;
    const dl_delta_file *file;
    dl_delta_bitmap *deleted;
    dl_columnar_value *constants; /* one a leaf; of partition columns */
    bool *nulls;
    dl_columnar_entries *entries; /* one a leaf */
    /* Grown to the largest batch. */
    size_t room;
    bool *live;
    dl_columnar_value **values; /* one a leaf; NULL but for partition columns */
    uint8_t **defs;
    dl_status (*visit)(void *context, const dl_delta_batch *batch, dl_error *err);
    void *context;
} reading;

/* ---- plan ---- */

static const dl_delta_column *find_column(const dl_delta_table *table, dl_str name)
{
    for (size_t i = 0; i < table->column_count; i++) {
        if (dl_str_eq(table->columns[i].name, name)) {
            return &table->columns[i];
        }
    }
    for (size_t i = 0; i < table->column_count; i++) {
        if (dl_str_eq_nocase(table->columns[i].name, name)) {
            return &table->columns[i];
        }
    }
    return NULL;
}

static dl_status find_columns(const dl_delta_table *table, const dl_delta_scan *scan, plan *p,
                              dl_arena *arena, dl_error *err)
{
    p->columns = dl_arena_alloc(arena, scan->column_count + 1, sizeof(dl_delta_column *));
    p->file_fields = dl_arena_alloc(arena, scan->column_count + 1, sizeof *p->file_fields);
    if (p->columns == NULL || p->file_fields == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < scan->column_count; i++) {
        const dl_delta_column *column = find_column(table, scan->columns[i]);
        if (column == NULL) {
            return dl_error_set(err, DL_E_NOT_FOUND, "the table has no column '%.*s'",
                                DL_STR_ARG(scan->columns[i]));
        }
        p->columns[p->column_count++] = column;
        if (!column->partition) {
            p->file_fields[p->file_field_count++] = column->field;
        }
    }
    return DL_OK;
}

static dl_status find_leaves(plan *p, dl_arena *arena, dl_error *err)
{
    dl_columnar_field *all = dl_arena_alloc(arena, p->column_count + 1, sizeof *all);
    if (all == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < p->column_count; i++) {
        all[i] = p->columns[i]->field;
    }
    if (p->column_count == 0) {
        return DL_OK;
    }
    DL_TRY(dl_columnar_leaves(all, p->column_count, arena, &p->leaves, &p->leaf_count, err));
    p->sources = dl_arena_alloc(arena, p->leaf_count + 1, sizeof *p->sources);
    if (p->sources == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t next = 0;
    for (size_t i = 0; i < p->leaf_count; i++) {
        p->sources[i] = p->columns[p->leaves[i].column]->partition ? SIZE_MAX : next++;
    }
    return DL_OK;
}

static dl_status make_plan(const dl_delta_table *table, const dl_delta_scan *scan, dl_arena *arena,
                           plan *out_plan, dl_error *err)
{
    plan p = {0};
    DL_TRY(find_columns(table, scan, &p, arena, err));
    DL_TRY(find_leaves(&p, arena, err));
    *out_plan = p;
    return DL_OK;
}

dl_status dl_delta_scan_leaves(const dl_delta_table *table, const dl_delta_scan *scan,
                               dl_arena *arena, dl_columnar_leaf **out_leaves, size_t *out_count,
                               dl_error *err)
{
    plan p = {0};
    DL_TRY(make_plan(table, scan, arena, &p, err));
    *out_leaves = p.leaves;
    *out_count = p.leaf_count;
    return DL_OK;
}

/* ---- batches ---- */

static bool grow(void *field, size_t count, size_t size)
{
    void *old = NULL;
    memcpy(&old, field, sizeof old);
    void *grown = dl_mem_resize(old, count, size);
    if (grown != NULL) {
        memcpy(field, &grown, sizeof grown);
    }
    return grown != NULL;
}

static void fill_constant(reading *r, size_t leaf)
{
    memset(r->defs[leaf], r->nulls[leaf] ? 0 : 1, r->room);
    for (size_t i = 0; i < r->room; i++) {
        r->values[leaf][i] = r->constants[leaf];
    }
}

static dl_status make_room(reading *r, size_t rows, dl_error *err)
{
    if (rows <= r->room) {
        return DL_OK;
    }
    bool good = grow(&r->live, rows, sizeof *r->live);
    for (size_t i = 0; good && i < r->plan->leaf_count; i++) {
        if (r->plan->sources[i] == SIZE_MAX) {
            good = grow(&r->values[i], rows, sizeof *r->values[i]) &&
                   grow(&r->defs[i], rows, sizeof *r->defs[i]);
        }
    }
    if (!good) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    r->room = rows;
    for (size_t i = 0; i < r->plan->leaf_count; i++) {
        if (r->plan->sources[i] == SIZE_MAX) {
            fill_constant(r, i);
        }
    }
    return DL_OK;
}

static void mark_live(const reading *r, const dl_columnar_batch *batch)
{
    uint64_t dead = 0;
    bool any = batch->row_count > 0 && dl_delta_bitmap_count(r->deleted) > 0 &&
               dl_delta_bitmap_next(r->deleted, (uint64_t)batch->row_numbers[0], &dead);
    for (size_t i = 0; i < batch->row_count; i++) {
        uint64_t row = (uint64_t)batch->row_numbers[i];
        if (any && dead < row) {
            any = dl_delta_bitmap_next(r->deleted, row, &dead);
        }
        r->live[i] = !any || dead != row;
    }
}

static dl_status take_batch(void *context, const dl_columnar_batch *batch, dl_error *err)
{
    reading *r = context;
    DL_TRY(make_room(r, batch->row_count, err));
    mark_live(r, batch);
    for (size_t i = 0; i < r->plan->leaf_count; i++) {
        size_t source = r->plan->sources[i];
        r->entries[i] = source == SIZE_MAX ? (dl_columnar_entries){.count = batch->row_count,
                                                                   .def = r->defs[i],
                                                                   .values = r->values[i]}
                                           : batch->leaves[source];
    }
    dl_delta_batch out = {.file = r->file,
                          .row_count = batch->row_count,
                          .row_numbers = batch->row_numbers,
                          .live = r->live,
                          .leaves = r->entries,
                          .leaf_count = r->plan->leaf_count};
    return r->visit(r->context, &out, err);
}

/* ---- files ---- */

static dl_status read_partition(reading *r, dl_error *err)
{
    r->room = 0; /* constants are filled in anew */
    for (size_t i = 0; i < r->plan->leaf_count; i++) {
        if (r->plan->sources[i] == SIZE_MAX) {
            DL_TRY(dl_delta_partition_value(r->plan->columns[r->plan->leaves[i].column], r->file,
                                            &r->nulls[i], &r->constants[i], err));
        }
    }
    return DL_OK;
}

static dl_status gone(const dl_delta_file *file, dl_error *err)
{
    dl_error_clear(err);
    dl_status status = dl_error_set(err, DL_E_NOT_FOUND,
                                    "the file %.*s of the table is gone: vacuumed, or removed by "
                                    "somebody else",
                                    DL_STR_ARG(file->path));
    dl_error_hint(err, "an older version can be read as long as vacuum keeps its files");
    return status;
}

static dl_status read_file(dl_delta_table *table, const dl_delta_scan *scan, reading *r,
                           dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(PLAN_LIMIT_BYTES);
    DL_AUTO(dl_delta_bitmap) deleted = NULL;
    dl_str key = DL_STR_NONE, location = DL_STR_NONE;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    const dl_delta_dv *dv = scan->dv != NULL ? scan->dv : &r->file->dv;
    DL_TRY(dl_delta_bitmap_create(&deleted, err));
    if (dv->storage != '\0') {
        dl_status status = dl_delta_dv_read(table, dv, deleted, err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "reading the deletion vector of %.*s",
                                   DL_STR_ARG(r->file->path));
        }
    }
    r->deleted = deleted;
    DL_TRY(read_partition(r, err));
    DL_TRY(dl_delta_key(table, r->file->path, arena, &key, err));
    DL_TRY(dl_store_location(table->open.store, key, arena, &location, err));
    dl_columnar_scan wanted = {
        .location = location,
        .fields = r->plan->file_fields,
        .field_count = r->plan->file_field_count,
        .by_field_id =
            dl_str_eq(dl_delta_property(table, "delta.columnMapping.mode"), DL_STR("id")),
        .first_row = scan->file != NULL ? scan->first_row : 0,
        .end_row = scan->file != NULL ? scan->end_row : 0,
        .cancel = scan->cancel,
    };
    dl_store_stat stat = {0};
    dl_status status = dl_store_stat_key(table->open.store, key, &stat, err);
    if (status == DL_E_NOT_FOUND) {
        return gone(r->file, err);
    }
    DL_TRY(status);
    status = dl_columnar_read(table->open.engine, &wanted, take_batch, r, err);
    r->deleted = NULL;
    return status == DL_OK
               ? DL_OK
               : dl_error_within(err, status, "reading %.*s", DL_STR_ARG(r->file->path));
}

static void reading_clear(reading *r)
{
    for (size_t i = 0; i < r->plan->leaf_count; i++) {
        dl_mem_free(r->values == NULL ? NULL : r->values[i]);
        dl_mem_free(r->defs == NULL ? NULL : r->defs[i]);
    }
    dl_mem_free(r->live);
}

static dl_status reading_init(reading *r, dl_arena *arena, dl_error *err)
{
    size_t leaves = r->plan->leaf_count + 1;
    r->constants = dl_arena_alloc(arena, leaves, sizeof *r->constants);
    r->nulls = dl_arena_alloc(arena, leaves, sizeof *r->nulls);
    r->entries = dl_arena_alloc(arena, leaves, sizeof *r->entries);
    r->values = dl_arena_alloc(arena, leaves, sizeof(dl_columnar_value *));
    r->defs = dl_arena_alloc(arena, leaves, sizeof *r->defs);
    if (r->constants == NULL || r->nulls == NULL || r->entries == NULL || r->values == NULL ||
        r->defs == NULL) {
        return dl_arena_full(arena, err);
    }
    return DL_OK;
}

static int compare_paths(const void *a, const void *b)
{
    const dl_delta_file *const *left = a, *const *right = b;
    return dl_str_compare((*left)->path, (*right)->path);
}

dl_status dl_delta_files_by_path(const dl_delta_table *table, dl_arena *arena,
                                 const dl_delta_file ***out_files, size_t *out_count, dl_error *err)
{
    size_t count = dl_delta_file_count(table), cursor = 0, at = 0;
    const dl_delta_file **files = dl_arena_alloc(arena, count + 1, sizeof(dl_delta_file *));
    if (files == NULL) {
        return dl_arena_full(arena, err);
    }
    while (at < count && dl_delta_next_file(table, &cursor, &files[at])) {
        at++;
    }
    qsort(files, at, sizeof(dl_delta_file *), compare_paths);
    *out_files = files;
    *out_count = at;
    return DL_OK;
}

dl_status dl_delta_read(dl_delta_table *table, const dl_delta_scan *scan,
                        dl_status (*visit)(void *context, const dl_delta_batch *batch,
                                           dl_error *err),
                        void *context, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(SIZE_MAX / 2);
    plan p = {0};
    reading r = {.plan = &p, .visit = visit, .context = context};
    const dl_delta_file **files = NULL;
    size_t count = 0;
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "delta: out of memory");
    }
    DL_TRY(make_plan(table, scan, arena, &p, err));
    if (scan->file != NULL) {
        r.file = scan->file;
    } else {
        DL_TRY(dl_delta_files_by_path(table, arena, &files, &count, err));
    }
    DL_TRY(reading_init(&r, arena, err));
    dl_status status = scan->file != NULL ? read_file(table, scan, &r, err) : DL_OK;
    for (size_t i = 0; status == DL_OK && i < count; i++) {
        r.file = files[i];
        status = dl_cancel_asked(scan->cancel) ? dl_error_set(err, DL_E_CANCELED, "canceled")
                                               : read_file(table, scan, &r, err);
    }
    reading_clear(&r);
    return status;
}

dl_status dl_delta_deleted_rows(dl_delta_table *table, const dl_delta_file *file,
                                dl_delta_bitmap *out_rows, dl_error *err)
{
    return file->dv.storage == '\0' ? DL_OK : dl_delta_dv_read(table, &file->dv, out_rows, err);
}
