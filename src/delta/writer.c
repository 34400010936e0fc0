/* Data files: a columnar writer into a spool, with the name, the partition and the statistics that
 * the file's add will have. */
#include "delta/internal.h"

#include "base/mem.h"

#include <string.h>

enum {
    ARENA_LIMIT_BYTES = 64 * 1024 * 1024,
    NAME_BYTES = 64,
    UTF8_BYTES_A_UNIT = 3, /* most bytes that one UTF-16 unit stands for */
};

struct dl_delta_writer {
    dl_arena *arena;
    dl_store *store; /* the table's; outlives the writer */
    const dl_clock *clock;
    const dl_delta_metadata *metadata; /* a copy of what statistics need */
    dl_delta_column *columns;
    size_t column_count;
    dl_columnar_leaf *leaves;
    size_t leaf_count;
    const size_t *leaf_columns;   /* index into columns, one a field of the file */
    dl_columnar_writer *columnar; /* NULL when finished */
    dl_store_spool *spool;
    dl_str path, key;
    dl_delta_pairs partition_values; /* by physical name */
    dl_str stats;
    int64_t size_bytes, row_count, modified_ms;
    bool finished, published, committed;
};

void dl_delta_writer_destroy(dl_delta_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (writer->published && !writer->committed) {
        (void)!dl_store_remove(writer->store, writer->key, NULL); /* else the next vacuum's */
    }
    dl_columnar_writer_destroy(writer->columnar);
    dl_store_spool_destroy(writer->spool);
    dl_arena_destroy(writer->arena);
    dl_mem_free(writer);
}

/* ---- what is asked for ---- */

static dl_status copy_configuration(dl_arena *arena, dl_delta_pairs from, dl_delta_pairs *out,
                                    dl_error *err)
{
    dl_delta_pair *items = dl_arena_alloc(arena, from.count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < from.count; i++) {
        DL_TRY(dl_arena_copy(arena, from.items[i].key, &items[i].key, err));
        if (from.items[i].value.ptr != NULL) {
            DL_TRY(dl_arena_copy(arena, from.items[i].value, &items[i].value, err));
        }
    }
    *out = (dl_delta_pairs){items, from.count};
    return DL_OK;
}

/* The table may move while the file is written, so the writer has its own copy. */
static dl_status copy_metadata(dl_delta_writer *writer, const dl_delta_metadata *from,
                               dl_str schema_json, dl_error *err)
{
    dl_delta_metadata *copy = dl_arena_alloc(writer->arena, 1, sizeof *copy);
    dl_str *names = dl_arena_alloc(writer->arena, from->partition_columns.count + 1, sizeof *names);
    if (copy == NULL || names == NULL) {
        return dl_arena_full(writer->arena, err);
    }
    for (size_t i = 0; i < from->partition_columns.count; i++) {
        DL_TRY(dl_arena_copy(writer->arena, from->partition_columns.items[i], &names[i], err));
    }
    dl_str schema = schema_json.len > 0 ? schema_json : from->schema_json;
    DL_TRY(dl_arena_copy(writer->arena, schema, &copy->schema_json, err));
    DL_TRY(copy_configuration(writer->arena, from->configuration, &copy->configuration, err));
    copy->partition_columns = (dl_delta_names){names, from->partition_columns.count};
    writer->metadata = copy;
    return DL_OK;
}

static const dl_delta_pair *find_value(dl_delta_pairs values, dl_str name)
{
    for (size_t i = 0; i < values.count; i++) {
        if (dl_str_eq_nocase(values.items[i].key, name)) {
            return &values.items[i];
        }
    }
    return NULL;
}

static const dl_delta_column *find_column(const dl_delta_writer *writer, dl_str name)
{
    const dl_delta_column *found = NULL;
    for (size_t i = 0; i < writer->column_count; i++) {
        if (dl_str_eq(writer->columns[i].name, name)) {
            return &writer->columns[i];
        }
        if (dl_str_eq_nocase(writer->columns[i].name, name)) {
            found = &writer->columns[i];
        }
    }
    return found;
}

/* The partition's values in the table's order and by physical name. */
static dl_status take_partition(dl_delta_writer *writer, dl_delta_pairs given, dl_error *err)
{
    const dl_delta_names *names = &writer->metadata->partition_columns;
    dl_delta_pair *items = dl_arena_alloc(writer->arena, names->count + 1, sizeof *items);
    if (items == NULL) {
        return dl_arena_full(writer->arena, err);
    }
    if (given.count != names->count) {
        return dl_error_set(err, DL_E_INVALID,
                            "a data file has %zu partition values, the table %zu "
                            "partition columns",
                            given.count, names->count);
    }
    for (size_t i = 0; i < names->count; i++) {
        const dl_delta_pair *pair = find_value(given, names->items[i]);
        const dl_delta_column *column = find_column(writer, names->items[i]);
        if (pair == NULL || column == NULL) {
            return dl_error_set(err, DL_E_INVALID, "the partition column %.*s has no value",
                                DL_STR_ARG(names->items[i]));
        }
        if (pair->value.ptr != NULL && pair->value.len == 0) {
            return dl_error_set(
                err, DL_E_INVALID,
                "the partition column %.*s is an empty text, which reads back as null",
                DL_STR_ARG(names->items[i]));
        }
        items[i].key = column->field.name;
        if (pair->value.ptr != NULL) {
            DL_TRY(dl_arena_copy(writer->arena, pair->value, &items[i].value, err));
        }
    }
    writer->partition_values = (dl_delta_pairs){items, names->count};
    return DL_OK;
}

static dl_status make_name(dl_delta_writer *writer, const dl_delta_table *table, dl_error *err)
{
    char uuid[DL_DELTA_UUID_SIZE];
    dl_str folder = DL_STR_NONE;
    dl_delta_uuid(uuid);
    DL_TRY(dl_delta_partition_folder(&writer->partition_values, writer->arena, &folder, err));
    DL_TRY(dl_arena_printf(writer->arena, &writer->path, err,
                           "%.*s%spart-00000-%s-c000.zstd.parquet", DL_STR_ARG(folder),
                           folder.len > 0 ? "/" : "", uuid));
    return dl_delta_key(table, writer->path, writer->arena, &writer->key, err);
}

static dl_status write_piece(void *context, dl_bytes piece, dl_error *err)
{
    dl_delta_writer *writer = context;
    return dl_store_spool_write(writer->spool, piece, err);
}

static dl_status open_columnar(dl_delta_writer *writer, size_t row_group_rows, dl_error *err)
{
    dl_columnar_field *fields =
        dl_arena_alloc(writer->arena, writer->column_count + 1, sizeof *fields);
    size_t *columns = dl_arena_alloc(writer->arena, writer->column_count + 1, sizeof *columns);
    if (fields == NULL || columns == NULL) {
        return dl_arena_full(writer->arena, err);
    }
    size_t count = 0;
    for (size_t i = 0; i < writer->column_count; i++) {
        if (!writer->columns[i].partition) {
            columns[count] = i;
            fields[count++] = writer->columns[i].field;
        }
    }
    writer->leaf_columns = columns;
    DL_TRY(dl_columnar_leaves(fields, count, writer->arena, &writer->leaves, &writer->leaf_count,
                              err));
    dl_columnar_writer_options options = {
        .fields = fields,
        .field_count = count,
        .codec = DL_COLUMNAR_ZSTD,
        .row_group_rows = row_group_rows,
        .string_stat_limit_bytes =
            (2 * dl_delta_stats_prefix(writer->metadata) + 2) * UTF8_BYTES_A_UNIT,
        .write = write_piece,
        .context = writer,
    };
    return dl_columnar_writer_create(&options, &writer->columnar, err);
}

dl_status dl_delta_writer_create(dl_delta_table *table, const dl_delta_writer_options *options,
                                 dl_delta_writer **out_writer, dl_error *err)
{
    DL_AUTO(dl_delta_writer) writer = dl_mem_zalloc(1, sizeof *writer);
    if (writer == NULL || (writer->arena = dl_arena_create(ARENA_LIMIT_BYTES)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "data file: out of memory");
    }
    writer->store = table->open.store;
    writer->clock = &table->open.clock;
    DL_TRY(copy_metadata(writer, dl_delta_metadata_of(table), options->schema_json, err));
    DL_TRY(dl_delta_schema_columns(writer->metadata, writer->arena, &writer->columns,
                                   &writer->column_count, err));
    DL_TRY(take_partition(writer, options->partition_values, err));
    DL_TRY(make_name(writer, table, err));
    DL_TRY(open_columnar(writer, options->row_group_rows, err));
    DL_TRY(dl_store_spool_create(writer->store, &writer->spool, err));
    *out_writer = DL_STEAL(writer);
    return DL_OK;
}

/* ---- writing ---- */

dl_columnar_writer *dl_delta_writer_columns(dl_delta_writer *writer)
{
    return writer->columnar;
}

size_t dl_delta_writer_leaf(const dl_delta_writer *writer, dl_str column)
{
    const dl_delta_column *wanted = find_column(writer, column);
    for (size_t i = 0; wanted != NULL && i < writer->leaf_count; i++) {
        if (writer->leaf_columns[writer->leaves[i].column] == (size_t)(wanted - writer->columns)) {
            return i;
        }
    }
    return SIZE_MAX;
}

dl_status dl_delta_writer_finish(dl_delta_writer *writer, dl_error *err)
{
    DL_ASSERT(writer->columnar != NULL);
    dl_columnar_summary summary = {0};
    DL_TRY(dl_columnar_writer_finish(writer->columnar, &summary, err));
    dl_delta_stats_input input = {writer->metadata, writer->columns, writer->column_count,
                                  &summary};
    DL_TRY(dl_delta_stats_write(&input, true, writer->arena, &writer->stats, err));
    writer->row_count = summary.row_count;
    writer->size_bytes = (int64_t)dl_store_spool_size(writer->spool);
    DL_ASSERT(summary.size_bytes == (uint64_t)writer->size_bytes);
    writer->modified_ms = dl_clock_now_us(writer->clock) / 1000;
    writer->finished = true;
    dl_columnar_writer_destroy(DL_STEAL(writer->columnar)); /* its memory is wanted elsewhere */
    return DL_OK;
}

/* ---- for the commit ---- */

void dl_delta_writer_file(const dl_delta_writer *writer, dl_delta_file *out_file)
{
    *out_file = (dl_delta_file){
        .path = writer->path,
        .partition_values = writer->partition_values,
        .size_bytes = writer->size_bytes,
        .modified_ms = writer->modified_ms,
        .stats = writer->stats,
        .row_count = writer->row_count,
        .base_row_id = -1,
        .default_row_commit_version = -1,
        .deletion_ms = -1,
    };
}

bool dl_delta_writer_finished(const dl_delta_writer *writer)
{
    return writer->finished;
}

dl_store_spool *dl_delta_writer_spool(const dl_delta_writer *writer)
{
    return writer->published ? NULL : writer->spool;
}

void dl_delta_writer_published(dl_delta_writer *writer)
{
    writer->published = true;
}

void dl_delta_writer_committed(dl_delta_writer *writer, bool maybe)
{
    writer->committed = maybe;
}

dl_str dl_delta_writer_path(const dl_delta_writer *writer)
{
    return writer->path;
}
