#include "tables.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define COLUMN(name, type) \
    "{\"name\":\"" name "\",\"type\":" type ",\"nullable\":true,\"metadata\":{}}"
const char tables_schema[] =
    "{\"type\":\"struct\",\"fields\":["
    COLUMN("partitionName", "\"string\"") ","
    COLUMN("id", "\"long\"") ","
    COLUMN("name", "\"string\"") ","
    COLUMN("at", "\"timestamp\"") ","
    COLUMN("score", "\"double\"") ","
    COLUMN("tags", "{\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":true}") ","
    COLUMN("info", "{\"type\":\"struct\",\"fields\":["
           COLUMN("site", "\"string\"") "," COLUMN("dose", "\"decimal(10,2)\"") "]}")
    "]}";

/* The same by names that only the files have. */
#define MAPPED(name, number, type)                                                                 \
    "{\\\"name\\\":\\\"" name "\\\",\\\"type\\\":" type ",\\\"nullable\\\":true,\\\"metadata\\\":{"         \
    "\\\"delta.columnMapping.id\\\":" number ","                                                   \
    "\\\"delta.columnMapping.physicalName\\\":\\\"col-" number "\\\"}}"
static const char mapped_first[] =
    "{\"commitInfo\":{\"timestamp\":1700000000000,\"operation\":\"CREATE TABLE\"}}\n"
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,"
    "\"readerFeatures\":[\"deletionVectors\",\"columnMapping\"],"
    "\"writerFeatures\":[\"deletionVectors\",\"columnMapping\",\"appendOnly\",\"invariants\"]}}\n"
    "{\"metaData\":{\"id\":\"11111111-1111-4111-8111-111111111111\","
    "\"format\":{\"provider\":\"parquet\",\"options\":{}},\"partitionColumns\":[\"partitionName\"],"
    "\"configuration\":{\"delta.enableDeletionVectors\":\"true\",\"delta.columnMapping.mode\":\"name\","
    "\"delta.columnMapping.maxColumnId\":\"9\"},\"createdTime\":1700000000000,\"schemaString\":\""
    "{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
    MAPPED("partitionName", "1", "\\\"string\\\"") ","
    MAPPED("id", "2", "\\\"long\\\"") ","
    MAPPED("name", "3", "\\\"string\\\"") ","
    MAPPED("at", "4", "\\\"timestamp\\\"") ","
    MAPPED("score", "5", "\\\"double\\\"") ","
    MAPPED("tags", "6", "{\\\"type\\\":\\\"array\\\",\\\"elementType\\\":\\\"string\\\",\\\"containsNull\\\":true}") ","
    MAPPED("info", "7", "{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
           MAPPED("site", "8", "\\\"string\\\"") "," MAPPED("dose", "9", "\\\"decimal(10,2)\\\"") "]}")
    "]}\"}}\n";
/* clang-format on */

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat;
    (void)kind;
    (void)walk;
    return remove(path);
}

void tables_init(tables *t, const char *folder)
{
    *t = (tables){.clock = dl_clock_system()};
    if (folder == NULL) {
        (void)snprintf(t->folder, sizeof t->folder, "/tmp/dl-delta-XXXXXX");
        DL_ASSERT(mkdtemp(t->folder) != NULL);
        folder = t->folder;
    }
    dl_error err = {0};
    dl_columnar_engine_options options = {0};
    if (dl_store_open_shared(folder, true, &t->store, &err) != DL_OK ||
        dl_columnar_engine_create(&options, &t->engine, &err) != DL_OK) {
        printf("# %s\n", err.message);
        DL_ASSERT(err.status == DL_OK);
    }
}

void tables_clear(tables *t)
{
    dl_columnar_engine_destroy(t->engine);
    dl_store_close(t->store);
    if (t->folder[0] != '\0') {
        (void)nftw(t->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* NOLINT: one thread */
    }
    *t = (tables){0};
}

dl_delta_open tables_open_options(const tables *t, const char *root)
{
    return (dl_delta_open){
        .store = t->store,
        .root = dl_str_of(root),
        .engine = t->engine,
        .clock = t->clock,
        .version = -1,
        .timestamp_us = INT64_MIN,
    };
}

dl_status tables_create(const tables *t, const char *root, bool compat, dl_delta_table **out_table,
                        dl_error *err)
{
    static const dl_str partition = {"partitionName", 13};
    dl_delta_create create = {
        .open = tables_open_options(t, root),
        .name = DL_STR("rows"),
        .schema_json = dl_str_of(tables_schema),
        .partition_columns = {&partition, 1},
        .compat = compat,
    };
    return dl_delta_table_create(&create, out_table, err);
}

dl_status tables_create_mapped(const tables *t, const char *root, dl_delta_table **out_table,
                               dl_error *err)
{
    char key[300];
    int len = snprintf(key, sizeof key, "%s%s_delta_log/00000000000000000000.json", root,
                       root[0] == '\0' ? "" : "/");
    DL_TRY(dl_store_put_if_absent(
        t->store, (dl_str){key, (size_t)len},
        (dl_bytes){(const uint8_t *)mapped_first, sizeof mapped_first - 1}, err));
    return tables_open(t, root, out_table, err);
}

dl_status tables_open(const tables *t, const char *root, dl_delta_table **out_table, dl_error *err)
{
    dl_delta_open open = tables_open_options(t, root);
    return dl_delta_table_open(&open, out_table, err);
}

static void put_tags(dl_columnar_writer *w, size_t leaf, int64_t id)
{
    char text[32];
    int64_t count = id % 4;
    if (count == 3) {
        dl_columnar_put_null(w, leaf, 0, 0);
        return;
    }
    if (count == 0) {
        dl_columnar_put_null(w, leaf, 0, 1); /* a list without elements */
    }
    for (int64_t i = 0; i < count; i++) {
        int len = snprintf(text, sizeof text, "t%lld.%lld", (long long)id, (long long)i);
        dl_columnar_put_str(w, leaf, i > 0, (dl_str){text, (size_t)len});
    }
}

static dl_status put_row(dl_delta_writer *writer, int64_t id, dl_error *err)
{
    dl_columnar_writer *w = dl_delta_writer_columns(writer);
    char text[32];
    int len = snprintf(text, sizeof text, "näme %lld", (long long)id);
    dl_columnar_put_int(w, 0, 0, id);
    if (id % 7 == 0) {
        dl_columnar_put_null(w, 1, 0, 0);
    } else {
        dl_columnar_put_str(w, 1, 0, (dl_str){text, (size_t)len});
    }
    if (id % 11 == 0) {
        dl_columnar_put_null(w, 2, 0, 0);
    } else {
        dl_columnar_put_int(w, 2, 0, 1600000000000000 + id * 1000001);
    }
    dl_columnar_put_double(w, 3, 0, (double)id / 4);
    put_tags(w, 4, id);
    if (id % 5 == 0) {
        dl_columnar_put_null(w, 5, 0, 0);
        dl_columnar_put_null(w, 6, 0, 0);
    } else {
        len = snprintf(text, sizeof text, "S%lld", (long long)(id % 3));
        dl_columnar_put_str(w, 5, 0, (dl_str){text, (size_t)len});
        dl_columnar_put_int(w, 6, 0, id * 25);
    }
    return dl_columnar_row_end(w, err);
}

dl_status tables_write(dl_delta_table *table, const char *partition, int64_t first, int64_t count,
                       dl_delta_writer **out_writer, dl_error *err)
{
    dl_delta_pair pair = {DL_STR("partitionName"), dl_str_of(partition)};
    if (partition == NULL) {
        pair.value = DL_STR_NONE;
    }
    dl_delta_writer_options options = {.partition_values = {&pair, 1}};
    DL_AUTO(dl_delta_writer) writer = NULL;
    DL_TRY(dl_delta_writer_create(table, &options, &writer, err));
    for (int64_t id = first; id < first + count; id++) {
        DL_TRY(put_row(writer, id, err));
    }
    DL_TRY(dl_delta_writer_finish(writer, err));
    *out_writer = DL_STEAL(writer);
    return DL_OK;
}

dl_status tables_append(dl_delta_table *table, const char *partition, int64_t first, int64_t count,
                        dl_error *err)
{
    DL_AUTO(dl_delta_writer) writer = NULL;
    DL_TRY(tables_write(table, partition, first, count, &writer, err));
    dl_delta_change change = {
        .operation = "WRITE",
        .data_change = true,
        .writers = &writer,
        .writer_count = 1,
    };
    dl_delta_result result = {0};
    return dl_delta_commit_change(table, &change, &result, err);
}

static dl_status count_batch(void *context, const dl_delta_batch *batch, dl_error *err)
{
    uint8_t *counts = context;
    for (size_t i = 0; i < batch->row_count; i++) {
        int64_t id = batch->leaves[0].values[i].i;
        if (batch->live[i] && (id < 0 || id >= TABLES_ROWS)) {
            return dl_error_set(err, DL_E_CORRUPT, "a row has the id %lld", (long long)id);
        }
        if (batch->live[i]) {
            counts[id]++;
        }
    }
    return DL_OK;
}

dl_status tables_count(dl_delta_table *table, uint8_t *counts, dl_error *err)
{
    memset(counts, 0, TABLES_ROWS);
    dl_str column = DL_STR("id");
    dl_delta_scan scan = {.columns = &column, .column_count = 1};
    return dl_delta_read(table, &scan, count_batch, counts, err);
}

dl_delta_bitmap *tables_rows(const int64_t *rows, size_t count)
{
    dl_delta_bitmap *bitmap = NULL;
    DL_ASSERT(dl_delta_bitmap_create(&bitmap, NULL) == DL_OK);
    for (size_t i = 0; i < count; i++) {
        DL_ASSERT(dl_delta_bitmap_add(bitmap, (uint64_t)rows[i], NULL, NULL) == DL_OK);
    }
    return bitmap;
}

const dl_delta_file *tables_only_file(const dl_delta_table *table)
{
    size_t cursor = 0;
    const dl_delta_file *file = NULL, *other = NULL;
    if (!dl_delta_next_file(table, &cursor, &file) || dl_delta_next_file(table, &cursor, &other)) {
        return NULL;
    }
    return file;
}
