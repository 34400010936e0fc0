/* One table at one version as a view: the files that the conditions leave, in read_parquet with the
 * table's schema given, so that no file is opened to bind it and filters go down into row groups.
 *
 * Files without deletion vectors have a read_parquet of their own: what it counts comes from the
 * files' footers. Columns are read under names of ours (c0, c1, ...), which none of the reader's
 * own (filename, file_index, ...) can be. */
#include "query/snapshot.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { GROUPS = 2, PLAIN = 0, DELETED = 1 };

typedef struct view {
    dl_snapshots *snapshots;
    dl_arena *arena;
    dl_buf *sql;
    const dl_snapshot_want *want;
    dl_delta_table *table;
    const dl_delta_column *columns;
    size_t column_count, partition_count;
    bool by_id;
    size_t group; /* the first of GROUPS */
    const dl_delta_file **files[GROUPS];
    size_t file_counts[GROUPS];
    dl_error *err;
} view;

static dl_status put(const view *v, const char *text)
{
    return dl_buf_append_str(v->sql, dl_str_of(text), v->err);
}

/* ---- files ---- */

static int by_path(const void *a, const void *b)
{
    const dl_delta_file *const *one = a, *const *two = b;
    return dl_str_compare((*one)->path, (*two)->path);
}

/* The files that may hold rows of the answer, in the order of their paths. */
static dl_status choose_files(view *v, dl_query_read *read)
{
    size_t cursor = 0, count = dl_delta_file_count(v->table);
    const dl_delta_file *file = NULL;
    for (size_t g = 0; g < GROUPS; g++) {
        v->files[g] = dl_arena_alloc(v->arena, count + 1, sizeof(dl_delta_file *));
        if (v->files[g] == NULL) {
            return dl_arena_full(v->arena, v->err);
        }
    }
    while (dl_delta_next_file(v->table, &cursor, &file)) {
        if (!dl_prune_may_hold(v->table, file, v->want->conditions, v->want->condition_count)) {
            read->files_skipped++;
            continue;
        }
        size_t g = file->dv.storage == 0 ? PLAIN : DELETED;
        v->files[g][v->file_counts[g]++] = file;
    }
    for (size_t g = 0; g < GROUPS; g++) {
        qsort(v->files[g], v->file_counts[g], sizeof(dl_delta_file *), by_path);
    }
    return DL_OK;
}

static dl_status remember(dl_snapshot_bound *bound, dl_delta_bitmap *take_rows, dl_error *err)
{
    if (bound->bitmap_count == bound->bitmap_room) {
        size_t room = bound->bitmap_room * 2 + 64;
        dl_delta_bitmap **grown = dl_mem_resize(bound->bitmaps, room, sizeof(dl_delta_bitmap *));
        if (grown == NULL) {
            dl_delta_bitmap_destroy(take_rows);
            return dl_error_set(err, DL_E_NOMEM, "query: out of memory");
        }
        bound->bitmaps = grown;
        bound->bitmap_room = room;
    }
    bound->bitmaps[bound->bitmap_count++] = take_rows;
    return DL_OK;
}

static dl_status load_dead(const view *v)
{
    size_t count = v->file_counts[DELETED];
    const dl_delta_bitmap **dead = dl_arena_alloc(v->arena, count + 1, sizeof(dl_delta_bitmap *));
    if (dead == NULL) {
        return dl_arena_full(v->arena, v->err);
    }
    for (size_t i = 0; i < count; i++) {
        dl_delta_bitmap *rows = NULL;
        if (dl_cancel_asked(v->snapshots->cancel)) {
            return dl_error_set(v->err, DL_E_CANCELED, "canceled");
        }
        DL_TRY(dl_delta_bitmap_create(&rows, v->err));
        DL_TRY(remember(&v->snapshots->bound, rows, v->err));
        DL_TRY(dl_delta_deleted_rows(v->table, v->files[DELETED][i], rows, v->err));
        dead[i] = rows;
    }
    v->snapshots->bound.groups[v->group + DELETED].dead = dead;
    return DL_OK;
}

/* ---- partition values ---- */

/* The file's value as SQL casts it: times in microseconds, all else as the log spells it. */
static dl_status value_text(const view *v, const dl_delta_column *column, const dl_delta_file *file,
                            dl_str *out_text)
{
    bool null = false;
    dl_columnar_value value = {0};
    *out_text = DL_STR_NONE;
    DL_TRY(dl_delta_partition_value(column, file, &null, &value, v->err));
    if (null) {
        return DL_OK;
    }
    if (column->field.type == DL_COLUMNAR_TIMESTAMP ||
        column->field.type == DL_COLUMNAR_TIMESTAMP_NTZ) {
        return dl_arena_printf(v->arena, out_text, v->err, "%" PRId64, value.i);
    }
    for (size_t i = 0; i < file->partition_values.count; i++) {
        if (dl_str_eq(file->partition_values.items[i].key, column->field.name)) {
            return dl_arena_copy(v->arena, file->partition_values.items[i].value, out_text, v->err);
        }
    }
    return DL_OK;
}

static dl_status make_group(const view *v, size_t g)
{
    size_t count = v->file_counts[g];
    dl_snapshot_group *group = &v->snapshots->bound.groups[v->group + g];
    dl_str *values = dl_arena_alloc(v->arena, count * v->partition_count + 1, sizeof *values);
    if (values == NULL) {
        return dl_arena_full(v->arena, v->err);
    }
    *group = (dl_snapshot_group){
        .values = values, .value_columns = v->partition_count, .file_count = count};
    for (size_t i = 0; i < count; i++) {
        size_t at = i * v->partition_count;
        for (size_t k = 0; k < v->column_count; k++) {
            if (v->columns[k].partition) {
                DL_TRY(value_text(v, &v->columns[k], v->files[g][i], &values[at++]));
            }
        }
    }
    return DL_OK;
}

static bool same_value(const dl_snapshot_group *group, size_t k)
{
    const dl_str *first = &group->values[k];
    for (size_t i = 1; i < group->file_count; i++) {
        const dl_str *value = &group->values[i * group->value_columns + k];
        if ((value->ptr == NULL) != (first->ptr == NULL) || !dl_str_eq(*value, *first)) {
            return false;
        }
    }
    return true;
}

static dl_status put_partition_text(const view *v, size_t g, size_t k)
{
    const dl_snapshot_group *group = &v->snapshots->bound.groups[v->group + g];
    if (!same_value(group, k)) {
        return dl_buf_printf(v->sql, v->err, "dl_partition(%zu, %zu, file_index)", v->group + g, k);
    }
    return group->values[k].ptr == NULL ? put(v, "NULL")
                                        : dl_engine_put_text(v->sql, group->values[k], v->err);
}

/* Partition column k of the table's. */
static dl_status put_partition(const view *v, size_t g, const dl_delta_column *column, size_t k)
{
    bool zoned = column->field.type == DL_COLUMNAR_TIMESTAMP;
    if (zoned || column->field.type == DL_COLUMNAR_TIMESTAMP_NTZ) {
        DL_TRY(put(v, zoned ? "timezone('UTC', make_timestamp(CAST(" : "make_timestamp(CAST("));
        DL_TRY(put_partition_text(v, g, k));
        return put(v, zoned ? " AS BIGINT)))" : " AS BIGINT))");
    }
    if (column->field.type == DL_COLUMNAR_BINARY) {
        DL_TRY(put(v, "encode(CAST("));
        DL_TRY(put_partition_text(v, g, k));
        return put(v, " AS VARCHAR))");
    }
    DL_TRY(put(v, "CAST("));
    DL_TRY(put_partition_text(v, g, k));
    DL_TRY(put(v, " AS "));
    DL_TRY(dl_snapshot_put_type(v->sql, column, false, v->err));
    return put(v, ")");
}

/* ---- columns ---- */

/* A column that no file has. */
static bool is_void(const dl_delta_column *column)
{
    return dl_str_eq(column->type_json, DL_STR("\"void\""));
}

static dl_status put_column(const view *v, size_t g, size_t i, size_t *partitions)
{
    const dl_delta_column *column = &v->columns[i];
    char name[24];
    if (i > 0) {
        DL_TRY(put(v, ", "));
    }
    if (column->partition) {
        DL_TRY(put_partition(v, g, column, (*partitions)++));
    } else if (is_void(column)) {
        DL_TRY(put(v, "CAST(NULL AS VARCHAR)"));
    } else {
        (void)snprintf(name, sizeof name, "c%zu", i);
        DL_TRY(dl_snapshot_put_renamed(v->sql, column, dl_str_of(name), v->err));
    }
    DL_TRY(put(v, " AS "));
    return dl_engine_put_name(v->sql, column->name, v->err);
}

/* One entry of schema's map: what the files call the column, and its name and type here. */
static dl_status put_schema_entry(const view *v, size_t i)
{
    const dl_delta_column *column = &v->columns[i];
    DL_AUTO_BUF type = {0};
    dl_buf_init(&type, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    DL_TRY(dl_snapshot_put_type(&type, column, true, v->err));
    if (v->by_id) {
        DL_TRY(dl_buf_printf(v->sql, v->err, "%d", (int)column->field.field_id));
    } else {
        DL_TRY(dl_engine_put_text(v->sql, column->field.name, v->err));
    }
    DL_TRY(dl_buf_printf(v->sql, v->err, ": {'name': 'c%zu', 'type': ", i));
    DL_TRY(dl_engine_put_text(v->sql, dl_buf_str(&type), v->err));
    return put(v, ", 'default_value': NULL}");
}

static dl_status put_schema(const view *v)
{
    size_t written = 0;
    for (size_t i = 0; i < v->column_count; i++) {
        if (v->columns[i].partition || is_void(&v->columns[i])) {
            continue;
        }
        DL_TRY(put(v, written++ == 0 ? ", schema = MAP {" : ", "));
        DL_TRY(put_schema_entry(v, i));
    }
    return written == 0 ? DL_OK : put(v, "}");
}

/* ---- the statement ---- */

/* Whether a path of the log stays below the table's folder. */
static bool is_below(dl_str path)
{
    dl_str segment = DL_STR_NONE;
    ptrdiff_t scheme = dl_str_find_str(path, DL_STR(":/"));
    bool absolute = scheme >= 0 && dl_str_find(path, '/') == scheme + 1;
    bool up = dl_str_starts(path, DL_STR("/"));
    for (dl_str rest = path; !up && dl_str_next(&rest, '/', &segment);) {
        up = dl_str_eq(segment, DL_STR(".."));
    }
    return !absolute && !up;
}

/* A path as read_parquet takes it, no character of it special. */
static dl_status put_path(const view *v, const dl_delta_file *file)
{
    DL_AUTO_BUF path = {0};
    dl_str folder = v->want->table->folder;
    dl_buf_init(&path, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    if (!is_below(file->path)) {
        dl_error_set(v->err, DL_E_UNSUPPORTED, "the file %.*s is not in the table's folder",
                     DL_STR_ARG(file->path));
        dl_error_hint(v->err, "shallow clones are not read: copy the table with its files");
        return DL_E_UNSUPPORTED;
    }
    DL_TRY(dl_buf_printf(&path, v->err, "%.*s/%.*s", DL_STR_ARG(folder), DL_STR_ARG(file->path)));
    DL_AUTO_BUF plain = {0};
    dl_buf_init(&plain, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    for (size_t i = 0; i < path.len; i++) {
        char c = path.ptr[i];
        if (c == '*' || c == '?' || c == '[') { /* a pattern that this character alone fits */
            DL_TRY(dl_buf_printf(&plain, v->err, "[%c]", c));
        } else {
            DL_TRY(dl_buf_append_char(&plain, c, v->err));
        }
    }
    return dl_engine_put_text(v->sql, dl_buf_str(&plain), v->err);
}

static dl_status put_paths(const view *v, size_t g)
{
    for (size_t i = 0; i < v->file_counts[g]; i++) {
        DL_TRY(put(v, i > 0 ? ", " : ""));
        DL_TRY(put_path(v, v->files[g][i]));
    }
    return DL_OK;
}

static dl_status put_select(const view *v, size_t g)
{
    size_t partitions = 0;
    DL_TRY(put(v, "SELECT "));
    for (size_t i = 0; i < v->column_count; i++) {
        DL_TRY(put_column(v, g, i, &partitions));
    }
    DL_TRY(put(v, " FROM read_parquet(["));
    DL_TRY(put_paths(v, g));
    DL_TRY(put(v, "]"));
    DL_TRY(put_schema(v));
    DL_TRY(put(v, ", hive_partitioning = false)"));
    if (g == DELETED) {
        return dl_buf_printf(v->sql, v->err, " WHERE dl_live(%zu, file_index, file_row_number)",
                             v->group + g);
    }
    return DL_OK;
}

/* A table without a file has columns all the same. */
static dl_status put_nothing(const view *v)
{
    DL_TRY(put(v, "SELECT "));
    for (size_t i = 0; i < v->column_count; i++) {
        DL_TRY(put(v, i > 0 ? ", CAST(NULL AS " : "CAST(NULL AS "));
        DL_TRY(dl_snapshot_put_type(v->sql, &v->columns[i], false, v->err));
        DL_TRY(put(v, ") AS "));
        DL_TRY(dl_engine_put_name(v->sql, v->columns[i].name, v->err));
    }
    return put(v, " WHERE false");
}

static dl_status put_view(const view *v)
{
    bool plain = v->file_counts[PLAIN] > 0, deleted = v->file_counts[DELETED] > 0;
    DL_TRY(put(v, "CREATE OR REPLACE TEMP VIEW "));
    DL_TRY(dl_engine_put_name(v->sql, v->want->view, v->err));
    DL_TRY(put(v, " AS "));
    if (!plain && !deleted) {
        return put_nothing(v);
    }
    if (plain) {
        DL_TRY(put_select(v, PLAIN));
    }
    if (plain && deleted) {
        DL_TRY(put(v, " UNION ALL "));
    }
    return deleted ? put_select(v, DELETED) : DL_OK;
}

/* ---- columns mapped by id ---- */

/* Trees are no deeper than DL_COLUMNAR_DEPTH_LIMIT. NOLINTNEXTLINE(misc-no-recursion) */
static dl_status put_other_names(const view *v, const dl_columnar_field *field, size_t *written)
{
    for (size_t i = 0; i < field->child_count; i++) {
        const dl_columnar_field *child = &field->children[i];
        if (child->field_id != 0) {
            DL_TRY(dl_buf_printf(v->sql, v->err, "%s(field_id = %d AND name <> ",
                                 (*written)++ > 0 ? " OR " : "", (int)child->field_id));
            DL_TRY(dl_engine_put_text(v->sql, child->name, v->err));
            DL_TRY(put(v, ")"));
        }
        DL_TRY(put_other_names(v, child, written));
    }
    return DL_OK;
}

/* The engine finds columns by their ids, but fields of structs by name: a file that calls them
 * otherwise than the log would have NULLs there. */
static dl_status check_nested_names(const view *table, dl_engine *engine, size_t g)
{
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    view copy = *table;
    const view *v = &copy;
    copy.sql = &sql;
    size_t written = 0;
    DL_TRY(put(v, "SELECT CASE WHEN count(*) > 0 THEN error('" DL_ENGINE_OWN_WORDS
                  "columns are mapped by id, and a file calls fields of structs otherwise than "
                  "the log does: SQL cannot read them') END FROM parquet_schema(["));
    DL_TRY(put_paths(v, g));
    DL_TRY(put(v, "]) WHERE "));
    for (size_t i = 0; i < v->column_count; i++) {
        DL_TRY(put_other_names(v, &v->columns[i].field, &written));
    }
    return written > 0 ? dl_engine_exec(engine, dl_buf_str(&sql), v->err) : DL_OK;
}

static void read_of(const view *v, dl_query_read *read)
{
    dl_delta_totals totals = dl_delta_totals_of(v->table);
    read->table = v->want->table->name;
    read->version = dl_delta_version(v->table);
    read->watermark = dl_snapshot_watermark(v->table);
    read->file_count = totals.file_count;
    read->row_count = totals.row_count;
}

/* NOLINTNEXTLINE(readability-function-size): all that a view is of */
dl_status dl_snapshot_view(dl_snapshots *snapshots, dl_engine *engine, const dl_snapshot_want *want,
                           size_t group, dl_delta_table *table, dl_query_read *out_read,
                           dl_error *err)
{
    DL_AUTO_BUF sql = {0};
    dl_query_read read = {0};
    dl_buf_init(&sql, DL_SNAPSHOT_SQL_LIMIT_BYTES);
    view v = {.snapshots = snapshots,
              .arena = snapshots->bound.arena,
              .sql = &sql,
              .want = want,
              .table = table,
              .group = group,
              .err = err};
    v.columns = dl_delta_columns(table, &v.column_count);
    v.by_id = dl_str_eq(dl_delta_property(table, "delta.columnMapping.mode"), DL_STR("id"));
    for (size_t i = 0; i < v.column_count; i++) {
        v.partition_count += v.columns[i].partition;
    }
    if (v.column_count == 0) {
        return dl_error_set(err, DL_E_UNSUPPORTED, "the table has no columns");
    }
    DL_TRY(choose_files(&v, &read));
    for (size_t g = 0; g < GROUPS; g++) {
        DL_TRY(make_group(&v, g));
    }
    for (size_t g = 0; v.by_id && g < GROUPS; g++) {
        DL_TRY(v.file_counts[g] > 0 ? check_nested_names(&v, engine, g) : DL_OK);
    }
    DL_TRY(load_dead(&v));
    DL_TRY(put_view(&v));
    DL_TRY(dl_engine_exec(engine, dl_buf_str(&sql), err));
    read_of(&v, &read);
    *out_read = read;
    return DL_OK;
}
