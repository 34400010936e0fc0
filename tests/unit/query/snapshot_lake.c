#include "snapshot_lake.h"

#include "json/json.h"

#include <stdio.h>
#include <string.h>

const char *const lake_roots[LAKE_TABLES] = {"instance", "series", "study", "other"};

void lake_init(lake *l)
{
    *l = (lake){0};
    dl_error err = {0};
    tables_init(&l->tables, NULL);
    l->arena = dl_arena_create(64 << 20);
    for (size_t i = 0; i < LAKE_TABLES; i++) {
        static const char *const names[LAKE_TABLES] = {"a", "b", "c", "d"};
        (void)snprintf(l->folders[i], sizeof l->folders[i], "%s/%s", l->tables.folder,
                       lake_roots[i]);
        l->names[i] = (dl_query_table){
            .name = dl_str_of(names[i]), .folder = dl_str_of(l->folders[i]), .set = DL_STR("set")};
    }
    dl_query_options options = {.limits = {.threads = 2}};
    dl_str folder = dl_str_of(l->tables.folder);
    if (dl_engine_load(&l->engine, &err) != DL_OK ||
        dl_engine_start(&l->engine, &options, &err) != DL_OK ||
        dl_engine_close_off(&l->engine, &folder, 1, &err) != DL_OK) {
        printf("# %s\n", err.message);
        DL_ASSERT(err.status == DL_OK);
    }
    lake_session(l);
}

void lake_session(lake *l)
{
    dl_error err = {0};
    dl_query_options options = {.tables = l->names, .table_count = LAKE_TABLES};
    dl_snapshots_destroy(l->snapshots);
    l->snapshots = NULL;
    DL_ASSERT(dl_snapshots_create(&options, &l->snapshots, &err) == DL_OK);
}

void lake_clear(lake *l)
{
    dl_engine_stop(&l->engine);
    dl_snapshots_destroy(l->snapshots);
    dl_arena_destroy(l->arena);
    tables_clear(&l->tables);
}

dl_status lake_commit(const lake *l, size_t i, int64_t version, dl_str lines, dl_error *err)
{
    char key[300];
    (void)snprintf(key, sizeof key, "%s/_delta_log/%020lld.json", lake_roots[i],
                   (long long)version);
    return dl_store_put_if_absent(l->tables.store, dl_str_of(key),
                                  (dl_bytes){(const uint8_t *)lines.ptr, lines.len}, err);
}

dl_status lake_create(const lake *l, size_t i, dl_str schema, const char *partitions,
                      const char *configuration, dl_error *err)
{
    DL_AUTO_BUF lines = {0};
    dl_buf_init(&lines, 1 << 20);
    DL_TRY(dl_buf_append_str(
        &lines,
        DL_STR("{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":"
               "[\"deletionVectors\",\"columnMapping\"],\"writerFeatures\":[\"deletionVectors\","
               "\"columnMapping\",\"appendOnly\",\"invariants\"]}}\n{\"metaData\":{\"id\":"
               "\"11111111-1111-4111-8111-111111111111\",\"format\":{\"provider\":\"parquet\","
               "\"options\":{}},\"createdTime\":1700000000000,\"schemaString\":"),
        err));
    DL_TRY(dl_json_quote(&lines, schema, err));
    DL_TRY(dl_buf_printf(&lines, err, ",\"partitionColumns\":[%s],\"configuration\":{%s}}}\n",
                         partitions, configuration));
    return lake_commit(l, i, 0, dl_buf_str(&lines), err);
}

dl_snapshot_want lake_want(const lake *l, size_t i, const char *view)
{
    return (dl_snapshot_want){
        .table = &l->names[i], .view = dl_str_of(view), .version = -1, .timestamp_us = INT64_MIN};
}

dl_status lake_bind(lake *l, const dl_snapshot_want *wants, size_t count, dl_error *err)
{
    return dl_snapshots_bind(l->snapshots, &l->engine, wants, count, l->arena, l->reads, &l->failed,
                             err);
}

dl_status lake_bind_newest(lake *l, size_t i, dl_error *err)
{
    dl_snapshot_want want = lake_want(l, i, "v");
    return lake_bind(l, &want, 1, err);
}

static void add(lake *l, dl_str text)
{
    size_t len = strlen(l->text);
    (void)snprintf(l->text + len, sizeof l->text - len, "%s%.*s", len > 0 ? ";" : "",
                   DL_STR_ARG(text));
}

static void add_chunk(lake *l, duckdb_data_chunk chunk, idx_t column)
{
    const dl_engine_api *api = &l->engine.api;
    duckdb_vector vector = api->data_chunk_get_vector(chunk, column);
    duckdb_string_t *texts = api->vector_get_data(vector);
    uint64_t *validity = api->vector_get_validity(vector);
    for (idx_t i = 0; i < api->data_chunk_get_size(chunk); i++) {
        uint32_t len = texts[i].value.inlined.length;
        const char *ptr = len <= 12 ? texts[i].value.inlined.inlined : texts[i].value.pointer.ptr;
        bool null = validity != NULL && (validity[i / 64] >> (i % 64) & 1) == 0;
        add(l, null ? DL_STR("NULL") : (dl_str){ptr, len});
    }
}

static const char *run(lake *l, const char *sql, idx_t column)
{
    const dl_engine_api *api = &l->engine.api;
    duckdb_result result;
    l->text[0] = '\0';
    if (api->query(l->engine.connection, sql, &result) != DuckDBSuccess) {
        (void)snprintf(l->text, sizeof l->text, "%s", api->result_error(&result));
    } else {
        for (duckdb_data_chunk chunk; (chunk = api->fetch_chunk(result)) != NULL;) {
            add_chunk(l, chunk, column);
            api->destroy_data_chunk(&chunk);
        }
    }
    api->destroy_result(&result);
    return l->text;
}

const char *lake_ask(lake *l, const char *sql)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (%s)", sql);
    return run(l, text, 0);
}

const char *lake_explain(lake *l, const char *sql)
{
    char text[4096];
    (void)snprintf(text, sizeof text, "EXPLAIN %s", sql);
    return run(l, text, 1);
}
