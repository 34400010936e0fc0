/* Names and field ids of a file, out of DuckDB's parquet_schema(): its schema as a list, depth
 * first. */
#include "columnar/read.h"

enum { SCHEMA_LIMIT = 1 << 18 }; /* nodes; far above DL_COLUMNAR_LEAF_LIMIT's worth of nesting */

static dl_status take_chunk(const dl_duckdb *api, duckdb_data_chunk chunk, dl_arena *arena,
                            dl_read_schema *schema, dl_error *err)
{
    size_t count = api->data_chunk_get_size(chunk);
    if (count > SCHEMA_LIMIT - schema->count) {
        return dl_error_set(err, DL_E_LIMIT, "columnar: a file's schema has more than %d nodes",
                            SCHEMA_LIMIT);
    }
    duckdb_vector children = api->data_chunk_get_vector(chunk, 0);
    duckdb_vector ids = api->data_chunk_get_vector(chunk, 1);
    duckdb_vector repeated = api->data_chunk_get_vector(chunk, 2);
    const duckdb_string_t *names = api->vector_get_data(api->data_chunk_get_vector(chunk, 3));
    for (size_t i = 0; i < count; i++) {
        dl_str name;
        DL_TRY(dl_arena_copy(arena, dl_duckdb_text(&names[i]), &name, err));
        schema->nodes[schema->count++] = (dl_read_schema_node){
            .name = name,
            .child_count = ((const int64_t *)api->vector_get_data(children))[i],
            .field_id = ((const int64_t *)api->vector_get_data(ids))[i],
            .repeated = ((const bool *)api->vector_get_data(repeated))[i],
        };
    }
    return DL_OK;
}

/* Where each node's subtree ends, from the last node back: children lie before what follows. */
static dl_status find_ends(dl_read_schema *schema, dl_error *err)
{
    for (size_t i = schema->count; i-- > 0;) {
        size_t end = i + 1;
        for (int64_t n = 0; n < schema->nodes[i].child_count; n++) {
            if (end >= schema->count) {
                return dl_error_set(err, DL_E_CORRUPT, "columnar: a file's schema breaks off");
            }
            end = schema->nodes[end].end;
        }
        schema->nodes[i].end = end;
    }
    return DL_OK;
}

static dl_status take_result(const dl_duckdb *api, duckdb_result *result, dl_arena *arena,
                             dl_read_schema *schema, dl_error *err)
{
    dl_status status = DL_OK;
    for (;;) {
        duckdb_data_chunk chunk = api->fetch_chunk(*result);
        if (chunk == NULL) {
            return status;
        }
        size_t count = api->data_chunk_get_size(chunk);
        dl_read_schema_node *nodes =
            dl_arena_alloc(arena, schema->count + count, sizeof(*schema->nodes));
        if (nodes == NULL) {
            status = dl_arena_full(arena, err);
        } else {
            for (size_t i = 0; i < schema->count; i++) {
                nodes[i] = schema->nodes[i];
            }
            schema->nodes = nodes;
            status = take_chunk(api, chunk, arena, schema, err);
        }
        api->destroy_data_chunk(&chunk);
        DL_TRY(status);
    }
}

dl_status dl_read_schema_load(dl_duckdb_session *session, dl_str location, dl_arena *arena,
                              dl_read_schema *schema, dl_error *err)
{
    const dl_duckdb *api = session->api;
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, DL_READ_SQL_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&sql,
                             DL_STR("SELECT coalesce(num_children, 0), coalesce(field_id, -1), "
                                    "coalesce(repetition_type = 'REPEATED', false), name FROM "),
                             err));
    DL_TRY(dl_duckdb_call(&sql, "parquet_schema", location, "", err));
    DL_TRY(dl_buf_terminate(&sql, err));
    duckdb_result result;
    dl_status status = DL_OK;
    if (api->query(session->connection, sql.ptr, &result) != DuckDBSuccess) {
        status = dl_duckdb_error(session, api->result_error_type(&result),
                                 api->result_error(&result), location, err);
    } else {
        status = take_result(api, &result, arena, schema, err);
    }
    api->destroy_result(&result);
    DL_TRY(status);
    return find_ends(schema, err);
}

size_t dl_read_schema_child(const dl_read_schema *schema, size_t parent, size_t index)
{
    if (parent >= schema->count || (int64_t)index >= schema->nodes[parent].child_count) {
        return DL_READ_NO_NODE;
    }
    size_t at = parent + 1;
    for (size_t i = 0; i < index; i++) {
        at = schema->nodes[at].end;
    }
    return at;
}

size_t dl_read_schema_element(const dl_read_schema *schema, size_t list)
{
    if (list >= schema->count || schema->nodes[list].repeated) {
        return list; /* repeated without a group round it: the node is its own element */
    }
    size_t middle = dl_read_schema_child(schema, list, 0);
    /* Three levels; or two, where the repeated node is the element (LogicalTypes.md, "Lists"). */
    return middle < schema->count && schema->nodes[middle].child_count == 1 ? middle + 1 : middle;
}
