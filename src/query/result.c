/* Rows as they come. */
#include "query/session.h"

#include "base/mem.h"

size_t dl_query_column_count(const dl_query_result *result)
{
    return result->column_count;
}

const dl_query_column *dl_query_column_at(const dl_query_result *result, size_t i)
{
    return &result->columns[i];
}

size_t dl_query_read_count(const dl_query_result *result)
{
    return result->read_count;
}

const dl_query_read *dl_query_read_at(const dl_query_result *result, size_t i)
{
    return &result->reads[i];
}

static void drop_chunk(dl_query_result *result)
{
    if (result->chunk != NULL) {
        result->query->engine.api.destroy_data_chunk(&result->chunk);
    }
    result->chunk = NULL;
    result->chunk_rows = 0;
}

void dl_query_result_destroy(dl_query_result *result)
{
    if (result == NULL) {
        return;
    }
    dl_query *query = result->query;
    drop_chunk(result);
    if (result->begun) {
        query->engine.api.destroy_result(&result->rows);
    }
    if (result->prepared != NULL) {
        query->engine.api.destroy_prepare(&result->prepared);
    }
    dl_session_end(query);
    dl_arena_destroy(result->arena);
    dl_mem_free(result);
}

/* ---- the next rows ---- */

/* The engine's next chunk that is not empty; NULL: that was all. */
static dl_status fetch(dl_query_result *result, size_t *out_rows, dl_error *err)
{
    dl_engine *engine = &result->query->engine;
    do {
        drop_chunk(result);
        result->chunk = engine->api.fetch_chunk(result->rows);
        if (result->chunk == NULL) {
            *out_rows = 0;
            const char *words = engine->api.result_error(&result->rows);
            return words == NULL
                       ? DL_OK
                       : dl_engine_error(engine, engine->api.result_error_type(&result->rows),
                                         words, NULL, err);
        }
        *out_rows = engine->api.data_chunk_get_size(result->chunk);
    } while (*out_rows == 0);
    for (size_t i = 0; i < result->column_count; i++) {
        result->vectors[i] = engine->api.data_chunk_get_vector(result->chunk, i);
    }
    return DL_OK;
}

/* No more rows than the limit are ever given. */
static dl_status count_rows(dl_query_result *result, size_t *rows, dl_error *err)
{
    uint64_t limit = result->query->options.limits.rows;
    if (result->too_many || (limit > 0 && *rows > 0 && result->row_count >= limit)) {
        dl_error_set(err, DL_E_LIMIT,
                     "sql: the result has more than the %llu rows that it may have",
                     (unsigned long long)limit);
        dl_error_hint(err, "add LIMIT, a WHERE, or count and group instead");
        return DL_E_LIMIT;
    }
    if (limit > 0 && *rows > limit - result->row_count) {
        *rows = (size_t)(limit - result->row_count);
        result->too_many = true; /* told after these */
    }
    result->row_count += *rows;
    return DL_OK;
}

dl_status dl_query_next(dl_query_result *result, size_t *out_rows, dl_error *err)
{
    size_t rows = 0;
    dl_status status = DL_OK;
    if (!result->ended) {
        status = dl_session_check(result->query, err);
        if (status == DL_OK) {
            status = fetch(result, &rows, err);
        }
        status = dl_session_cause(result->query, status, err);
        if (status == DL_OK) {
            status = count_rows(result, &rows, err);
        }
        result->ended = status != DL_OK || rows == 0;
    }
    if (result->ended) {
        drop_chunk(result);
        result->error = status == DL_OK ? result->error : status;
    }
    DL_TRY(status);
    if (result->ended && result->error != DL_OK) {
        return dl_error_set(err, result->error, "sql: the statement has failed before");
    }
    result->chunk_rows = rows;
    *out_rows = rows;
    return DL_OK;
}

/* ---- its values ---- */

static dl_value value_at(const dl_query_result *result, size_t column, size_t row)
{
    DL_ASSERT(column < result->column_count);
    DL_ASSERT(row < result->chunk_rows);
    return (dl_value){&result->types[column], result->vectors[column], row};
}

bool dl_query_is_null(const dl_query_result *result, size_t column, size_t row)
{
    const dl_value value = value_at(result, column, row);
    return dl_value_is_null(&result->query->engine.api, &value);
}

dl_status dl_query_put_text(const dl_query_result *result, size_t column, size_t row, dl_buf *out,
                            dl_error *err)
{
    const dl_engine_api *api = &result->query->engine.api;
    const dl_value value = value_at(result, column, row);
    if (dl_value_is_null(api, &value)) {
        return DL_OK;
    }
    size_t len = out->len;
    dl_status status = value.type->child_count > 0 ? dl_value_put_json(api, &value, out, err)
                                                   : dl_value_put_plain(api, &value, out, err);
    if (status != DL_OK) {
        out->len = len;
    }
    return status;
}

dl_status dl_query_put_json(const dl_query_result *result, size_t column, size_t row, dl_buf *out,
                            dl_error *err)
{
    const dl_value value = value_at(result, column, row);
    size_t len = out->len;
    dl_status status = dl_value_put_json(&result->query->engine.api, &value, out, err);
    if (status != DL_OK) {
        out->len = len;
    }
    return status;
}

bool dl_query_number(const dl_query_result *result, size_t column, size_t row, double *out_number)
{
    const dl_value value = value_at(result, column, row);
    double number = 0;
    if (!dl_value_number(&result->query->engine.api, &value, &number)) {
        return false;
    }
    *out_number = number;
    return true;
}
