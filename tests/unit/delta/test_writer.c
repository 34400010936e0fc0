/* Data files: names, partitions, statistics, columns by their physical names. */
#include "delta/internal.h"

#include "base/mem.h"
#include "tables.h"
#include "tap.h"

static tables t;

/* ---- partitions ---- */

static const struct {
    const char *name;
    dl_delta_pair values[2];
    size_t count;
    dl_status want;
    const char *folder;
} partitions[] = {
    /* clang-format off */
    {"a value",               {{{"partitionName", 13}, {"a=b", 3}}}, 1, DL_OK, "partitionName=a%3Db/"},
    {"null",                  {{{"partitionName", 13}, {NULL, 0}}}, 1, DL_OK, "partitionName=__HIVE_DEFAULT_PARTITION__/"},
    {"without regard to case", {{{"PARTITIONNAME", 13}, {"x", 1}}}, 1, DL_OK, "partitionName=x/"},
    {"an empty text",         {{{"partitionName", 13}, {"", 0}}}, 1, DL_E_INVALID, NULL},
    {"none",                  {{{NULL, 0}, {NULL, 0}}}, 0, DL_E_INVALID, NULL},
    {"another column",        {{{"id", 2}, {"1", 1}}}, 1, DL_E_INVALID, NULL},
    {"one too many",          {{{"partitionName", 13}, {"x", 1}}, {{"id", 2}, {"1", 1}}}, 2, DL_E_INVALID, NULL},
    /* clang-format on */
};

static void run_partition(dl_delta_table *table, size_t i)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_writer) writer = NULL;
    dl_delta_writer_options options = {
        .partition_values = {partitions[i].values, partitions[i].count}};
    TAP_STATUS(dl_delta_writer_create(table, &options, &writer, &err), partitions[i].want);
    TAP_EQ_INT(writer != NULL, partitions[i].want == DL_OK);
    TAP_EQ_INT(err.message[0] != '\0', partitions[i].want != DL_OK);
    if (writer != NULL) {
        dl_str path = dl_delta_writer_path(writer);
        TAP_TRUE(dl_str_starts(path, dl_str_of(partitions[i].folder)));
        TAP_TRUE(dl_str_ends(path, DL_STR("-c000.zstd.parquet")));
        dl_str name = dl_str_slice(path, strlen(partitions[i].folder), path.len);
        TAP_TRUE(dl_str_starts(name, DL_STR("part-00000-")));
        TAP_EQ_INT(name.len, sizeof "part-00000-" - 1 + 36 + sizeof "-c000.zstd.parquet" - 1);
    }
}

/* ---- what the add says ---- */

#define STATS(id, name, at, score, info, site, dose)                                               \
    "{\"numRecords\":4,\"minValues\":{\"" id "\":12,\"" name "\":\"näme 12\",\"" at                \
    "\":\"2020-09-13T12:26:52.000Z\",\"" score "\":3,\"" info "\":{\"" site "\":\"S0\",\"" dose    \
    "\":3.00}},\"maxValues\":{\"" id "\":15,\"" name "\":\"näme 15\",\"" at                        \
    "\":\"2020-09-13T12:26:55.001Z\",\"" score "\":3.75,\"" info "\":{\"" site "\":\"S2\",\"" dose \
    "\":3.50}},\"nullCount\":{\"" id "\":0,\"" name "\":1,\"" at "\":0,\"" score "\":0,\"" info    \
    "\":{\"" site "\":1,\"" dose "\":1}},\"tightBounds\":true}"

static void check_add(dl_delta_table *table, const char *key, const char *stats)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_writer) writer = NULL;
    dl_delta_file file = {0};
    TAP_OK(tables_write(table, "w", 12, 4, &writer, &err), err);
    TAP_TRUE(dl_delta_writer_finished(writer));
    dl_delta_writer_file(writer, &file);
    TAP_EQ_STR(file.stats, stats);
    TAP_EQ_INT(file.row_count, 4);
    TAP_EQ_INT(file.partition_values.count, 1);
    TAP_EQ_STR(file.partition_values.items[0].key, key);
    TAP_EQ_STR(file.partition_values.items[0].value, "w");
    TAP_TRUE(dl_str_starts(file.path, dl_str_of(key)));
    TAP_EQ_INT(file.size_bytes, dl_store_spool_size(dl_delta_writer_spool(writer)));
}

TAP_CASE(logical_names)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "logical", false, &table, &err), err);
    check_add(table, "partitionName", STATS("id", "name", "at", "score", "info", "site", "dose"));
}

TAP_CASE(physical_names)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create_mapped(&t, "mapped", &table, &err), err);
    check_add(table, "col-1", STATS("col-2", "col-3", "col-4", "col-5", "col-7", "col-8", "col-9"));
    DL_AUTO(dl_delta_writer) writer = NULL;
    TAP_OK(tables_write(table, "w", 0, 1, &writer, &err), err);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("score")), 3);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("col-5")), SIZE_MAX);
}

TAP_CASE(leaves)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "leaves", false, &table, &err), err);
    DL_AUTO(dl_delta_writer) writer = NULL;
    TAP_OK(tables_write(table, "w", 0, 1, &writer, &err), err);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("id")), 0);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("ID")), 0);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("tags")), 4);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("info")), 5);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("partitionName")), SIZE_MAX);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("nothing")), SIZE_MAX);
}

/* A file by a schema that the table will have: columns at the end. */
TAP_CASE(another_schema)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "wider", false, &table, &err), err);
    dl_delta_pair pair = {DL_STR("partitionName"), DL_STR("w")};
    dl_delta_writer_options options = {
        .partition_values = {&pair, 1},
        .schema_json = DL_STR(
            "{\"type\":\"struct\",\"fields\":[{\"name\":\"new\",\"type\":\"long\",\"nullable\":"
            "true,"
            "\"metadata\":{}},{\"name\":\"partitionName\",\"type\":\"string\",\"nullable\":true,"
            "\"metadata\":{}}]}")};
    DL_AUTO(dl_delta_writer) writer = NULL;
    TAP_OK(dl_delta_writer_create(table, &options, &writer, &err), err);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("new")), 0);
    TAP_EQ_INT(dl_delta_writer_leaf(writer, DL_STR("id")), SIZE_MAX);
}

/* Keys and absolute paths go by where the store is. */
TAP_CASE(paths_of_a_table)
{
    static const struct {
        const char *path, *key, *relative; /* key NULL: DL_E_UNSUPPORTED; "@" is the store's root */
    } rows[] = {
        {"a/b", "paths/a/b", "a/b"},
        {"@/paths/a/b", "paths/a/b", "a/b"},
        {"file:@/paths/a/b", "paths/a/b", "a/b"},
        {"file://@/paths/a/b", "paths/a/b", "a/b"},
        {"file://@/other/a", "other/a", "file://@/other/a"},
        {"file://@/pathsx/a", "pathsx/a", "file://@/pathsx/a"},
        {"file://@x/a", NULL, "file://@x/a"},
        {"s3://@/paths/a", NULL, "s3://@/paths/a"},
    };
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "paths", false, &table, &err), err);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
        const char *at = strchr(rows[i].path, '@');
        int before = at == NULL ? (int)strlen(rows[i].path) : (int)(at - rows[i].path);
        dl_str path = DL_STR_NONE, relative = DL_STR_NONE, key = DL_STR_NONE;
        TAP_OK(dl_arena_printf(arena, &path, &err, "%.*s%s%s", before, rows[i].path,
                               at == NULL ? "" : t.folder, at == NULL ? "" : at + 1),
               err);
        dl_status status = dl_delta_key(table, path, arena, &key, &err);
        TAP_EQ_INT(status, rows[i].key == NULL ? DL_E_UNSUPPORTED : DL_OK);
        if (status == DL_OK) {
            TAP_EQ_STR(key, rows[i].key);
        }
        TAP_OK(dl_delta_path_relative(table, path, arena, &relative, &err), err);
        TAP_EQ_STR(relative, strchr(rows[i].relative, '@') != NULL ? path.ptr : rows[i].relative);
    }
}

TAP_CASE(without_memory)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "memory", false, &table, &err), err);
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    for (; status != DL_OK; n++) {
        dl_error cause = {0};
        dl_delta_writer *writer = NULL;
        dl_mem_fail_after(n);
        status = tables_write(table, "w", 0, 3, &writer, &cause);
        dl_mem_fail_after(-1);
        TAP_EQ_INT(writer != NULL, status == DL_OK);
        TAP_EQ_INT(cause.message[0] != '\0', status != DL_OK);
        dl_delta_writer_destroy(writer);
    }
    TAP_TRUE(n > 10);
}

int main(void)
{
    dl_error err = {0};
    tables_init(&t, NULL);
    dl_delta_table *table = NULL;
    TAP_OK(tables_create(&t, "partitions", false, &table, &err), err);
    for (size_t i = 0; i < DL_COUNT_OF(partitions); i++) {
        TAP_ROW_BEGIN();
        run_partition(table, i);
        TAP_ROW_END(partitions[i].name);
    }
    dl_delta_table_close(table);
    TAP_RUN(logical_names);
    TAP_RUN(physical_names);
    TAP_RUN(leaves);
    TAP_RUN(another_schema);
    TAP_RUN(paths_of_a_table);
    TAP_RUN(without_memory);
    tables_clear(&t);
    return tap_done();
}
