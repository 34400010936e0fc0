/* A statement from its text to its first rows. */
#include "query/session.h"

#include "base/mem.h"
#include "json/json.h"

#include <string.h>

enum {
    ARENA_LIMIT_BYTES = 256 << 20, /* the tree of a long statement is many times its size */
    SQL_LIMIT_BYTES = 8 << 20,
    NAME_SHOWN = 60,
};

typedef struct running {
    dl_query *query;
    dl_query_result *result;
    const dl_session_wrap *wrap; /* never NULL */
    dl_dialect dialect;
    dl_plan plan;
    dl_buf sql; /* what is run, NUL behind it */
    size_t at;  /* where the statement is wrong: byte of it as it was given */
} running;

static const dl_session_wrap bare = {.type = DUCKDB_STATEMENT_TYPE_SELECT};
static const dl_session_wrap explained = {.before = {"EXPLAIN ", 8},
                                          .type = DUCKDB_STATEMENT_TYPE_EXPLAIN};

static dl_status check_text(dl_str statement, size_t *out_at, dl_error *err)
{
    if (statement.len > DL_QUERY_STATEMENT_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "sql: the statement is longer than %d bytes",
                            DL_QUERY_STATEMENT_LIMIT_BYTES);
    }
    ptrdiff_t nul = dl_str_find(statement, '\0');
    if (nul >= 0) {
        *out_at = (size_t)nul;
        return dl_error_set(err, DL_E_INVALID, "sql: the statement holds a NUL");
    }
    if (!dl_str_is_utf8(statement)) {
        return dl_error_set(err, DL_E_INVALID, "sql: the statement is no UTF-8");
    }
    return DL_OK;
}

/* Byte of `sql` (as the dialect gave it) to byte of the statement. */
static void place_in_sql(running *run, size_t at)
{
    run->at = at == SIZE_MAX || at > run->dialect.sql.len ? SIZE_MAX
                                                          : dl_dialect_source(&run->dialect, at);
}

/* ---- the tree ---- */

static dl_status tree_error(running *run, dl_str tree, dl_error *err)
{
    dl_arena *arena = run->result->arena;
    dl_str type = DL_STR_NONE, message = DL_STR_NONE, position = DL_STR_NONE, value;
    if (dl_json_get(tree, DL_STR("error_type"), &value)) {
        DL_TRY(dl_json_text(value, arena, &type, err));
    }
    if (dl_json_get(tree, DL_STR("error_message"), &value)) {
        DL_TRY(dl_json_text(value, arena, &message, err));
    }
    uint64_t at = 0;
    if (dl_json_get(tree, DL_STR("position"), &value) &&
        dl_json_text(value, arena, &position, NULL) == DL_OK && dl_str_to_u64(position, &at)) {
        place_in_sql(run, (size_t)at);
    }
    if (dl_engine_is_too_deep(message)) {
        return dl_engine_too_deep(err);
    }
    if (dl_str_eq_nocase(type, DL_STR("parser")) || dl_str_eq_nocase(type, DL_STR("syntax"))) {
        return dl_error_set(err, DL_E_INVALID, "sql: %.*s",
                            DL_STR_ARG(dl_str_slice(message, 0, 300)));
    }
    if (dl_str_eq_nocase(type, DL_STR("not implemented"))) {
        dl_error_set(err, DL_E_DENIED, "sql: only questions are answered: SELECT and its like");
        dl_error_hint(err, "instead of a PIVOT statement: SELECT ... FROM (PIVOT ... IN (...))");
        return DL_E_DENIED;
    }
    return dl_error_set(err, DL_E_INVALID, "sql: the statement cannot be read");
}

static dl_status take_tree(running *run, duckdb_data_chunk chunk, dl_str *out_tree, dl_error *err)
{
    const dl_engine_api *api = &run->query->engine.api;
    duckdb_vector vector = api->data_chunk_get_vector(chunk, 0);
    const dl_value_type type = {.id = DUCKDB_TYPE_VARCHAR};
    const dl_value value = {&type, vector, 0};
    DL_AUTO_BUF text;
    dl_buf_init(&text, ARENA_LIMIT_BYTES);
    if (dl_value_is_null(api, &value)) {
        return dl_error_set(err, DL_E_INVALID, "sql: the statement cannot be read");
    }
    DL_TRY(dl_value_put_plain(api, &value, &text, err));
    return dl_arena_copy(run->result->arena, dl_buf_str(&text), out_tree, err);
}

static dl_status run_serialize(running *run, duckdb_prepared_statement prepared, dl_str *out_tree,
                               dl_error *err)
{
    dl_engine *engine = &run->query->engine;
    duckdb_result rows;
    dl_status status = DL_OK;
    if (engine->api.execute_prepared(prepared, &rows) != DuckDBSuccess) {
        status = dl_engine_error(engine, engine->api.result_error_type(&rows),
                                 engine->api.result_error(&rows), NULL, err);
    } else {
        duckdb_data_chunk chunk = engine->api.fetch_chunk(rows);
        status = chunk == NULL
                     ? dl_error_set(err, DL_E_UNAVAILABLE, "sql: the engine gives no tree")
                     : take_tree(run, chunk, out_tree, err);
        engine->api.destroy_data_chunk(&chunk);
    }
    engine->api.destroy_result(&rows);
    return status;
}

/* The engine's own parser reads the statement, and tells what it sees. */
static dl_status read_tree(running *run, dl_str *out_tree, dl_error *err)
{
    dl_engine *engine = &run->query->engine;
    duckdb_prepared_statement prepared = NULL;
    dl_status status = DL_OK;
    if (engine->api.prepare(engine->connection, "SELECT json_serialize_sql($1::VARCHAR)::VARCHAR",
                            &prepared) != DuckDBSuccess) {
        status = dl_engine_error(engine, DUCKDB_ERROR_INVALID, engine->api.prepare_error(prepared),
                                 NULL, err);
    } else if (engine->api.bind_varchar_length(prepared, 1, run->dialect.sql.ptr,
                                               run->dialect.sql.len) != DuckDBSuccess) {
        status = dl_error_set(err, DL_E_INVALID, "sql: the statement is no UTF-8");
    } else {
        status = run_serialize(run, prepared, out_tree, err);
    }
    engine->api.destroy_prepare(&prepared);
    DL_TRY(status);
    dl_str failed;
    bool error = true;
    if (!dl_json_get(*out_tree, DL_STR("error"), &failed) || !dl_json_bool_of(failed, &error) ||
        error) {
        return tree_error(run, *out_tree, err);
    }
    return DL_OK;
}

/* ---- what is run ---- */

static dl_status read_plan(running *run, dl_error *err)
{
    dl_str tree = DL_STR_NONE;
    DL_TRY(read_tree(run, &tree, err));
    size_t at = SIZE_MAX;
    dl_status status = dl_plan_read(tree, run->result->arena, &run->plan, &at, err);
    if (status != DL_OK) {
        place_in_sql(run, at);
        return status;
    }
    return dl_functions_define_spark(&run->query->engine, &run->plan, err);
}

static dl_status put_sql(running *run, dl_str sql, dl_error *err)
{
    DL_TRY(dl_buf_append_str(&run->sql, run->wrap->before, err));
    DL_TRY(dl_buf_append_str(&run->sql, sql, err));
    if (run->wrap->after.len > 0) {
        DL_TRY(dl_buf_append_char(&run->sql, '\n', err)); /* ends a comment */
        DL_TRY(dl_buf_append_str(&run->sql, run->wrap->after, err));
    }
    return dl_buf_terminate(&run->sql, err);
}

static dl_status translate(running *run, dl_str statement, dl_error *err)
{
    DL_TRY(check_text(statement, &run->at, err));
    DL_TRY(dl_dialect_read(statement, run->result->arena, &run->dialect, &run->at, err));
    run->at = SIZE_MAX;
    switch (run->dialect.kind) {
    case DL_DIALECT_EMPTY:
        dl_error_set(err, DL_E_INVALID, "sql: there is no statement");
        dl_error_hint(err, "SHOW TABLES; DESCRIBE table; SELECT ... FROM table");
        return DL_E_INVALID;
    case DL_DIALECT_EXPLAIN:
        if (run->wrap != &bare) {
            return dl_error_set(err, DL_E_INVALID, "sql: EXPLAIN gives no rows to write");
        }
        run->wrap = &explained;
        return DL_OK;
    case DL_DIALECT_SELECT:
    case DL_DIALECT_SHOW:
    case DL_DIALECT_DESCRIBE:
        break;
    }
    return DL_OK;
}

static dl_status bind(running *run, dl_error *err)
{
    dl_query *query = run->query;
    if (run->dialect.kind == DL_DIALECT_DESCRIBE) {
        DL_AUTO_BUF sql;
        dl_buf_init(&sql, SQL_LIMIT_BYTES);
        DL_TRY(dl_session_describe(query, run->dialect.subject, &sql, err));
        return put_sql(run, dl_buf_str(&sql), err);
    }
    if (run->dialect.kind == DL_DIALECT_SHOW) {
        DL_TRY(dl_session_list_tables(query, err));
        return put_sql(run, run->dialect.sql, err);
    }
    DL_TRY(read_plan(run, err));
    DL_TRY(dl_session_check(query, err));
    dl_query_read *reads = NULL;
    DL_TRY(dl_session_bind(query, &run->dialect, &run->plan, run->result->arena, &reads,
                           &run->result->read_count, &run->at, err));
    run->result->reads = reads;
    return put_sql(run, run->dialect.sql, err);
}

/* ---- the engine runs it ---- */

static dl_status engine_error(running *run, duckdb_error_type type, const char *words,
                              dl_error *err)
{
    size_t at = SIZE_MAX;
    dl_status status = dl_engine_error(&run->query->engine, type, words, &at, err);
    if (at != SIZE_MAX && at >= run->wrap->before.len && run->dialect.kind != DL_DIALECT_DESCRIBE) {
        at -= run->wrap->before.len;
        place_in_sql(run, at);
        bool quoted = at < run->dialect.sql.len && run->dialect.sql.ptr[at] == '"';
        if (status == DL_E_INVALID && quoted) { /* Spark's texts */
            dl_error_hint(err, "in double quotes stand names; text stands in 'single quotes'");
        }
    }
    return status;
}

/* Whatever the parts before believe: one statement, and of the kind that is wanted. */
static dl_status prepare(running *run, dl_error *err)
{
    const dl_engine *engine = &run->query->engine;
    duckdb_extracted_statements statements = NULL;
    idx_t count = engine->api.extract_statements(engine->connection, run->sql.ptr, &statements);
    dl_status status = DL_OK;
    if (count == 0) {
        const char *words = engine->api.extract_statements_error(statements);
        status = engine_error(run, DUCKDB_ERROR_INVALID, words == NULL ? "" : words, err);
    } else if (count > 1) {
        status = dl_error_set(err, DL_E_DENIED, "sql: one statement at a time");
    } else if (engine->api.prepare_extracted_statement(engine->connection, statements, 0,
                                                       &run->result->prepared) != DuckDBSuccess) {
        status = engine_error(run, DUCKDB_ERROR_INVALID,
                              engine->api.prepare_error(run->result->prepared), err);
    } else if (engine->api.prepared_statement_type(run->result->prepared) != run->wrap->type) {
        status =
            dl_error_set(err, DL_E_DENIED, "sql: only questions are answered: SELECT and its like");
    } else if (engine->api.nparams(run->result->prepared) > 0) {
        status = dl_error_set(err, DL_E_INVALID, "sql: a parameter ($1, ?) has no value here");
        dl_error_hint(err, "write the value itself");
    }
    engine->api.destroy_extracted(&statements);
    return status;
}

static dl_status begin(running *run, dl_error *err)
{
    dl_query_result *result = run->result;
    const dl_engine *engine = &run->query->engine;
    duckdb_pending_result pending = NULL;
    dl_status status = DL_OK;
    if (engine->api.pending_prepared_streaming(result->prepared, &pending) != DuckDBSuccess) {
        status = engine_error(run, DUCKDB_ERROR_INVALID, engine->api.pending_error(pending), err);
    } else {
        result->begun = true;
        if (engine->api.execute_pending(pending, &result->rows) != DuckDBSuccess) {
            status = engine_error(run, engine->api.result_error_type(&result->rows),
                                  engine->api.result_error(&result->rows), err);
        }
    }
    engine->api.destroy_pending(&pending);
    return status;
}

static dl_status read_columns(running *run, dl_error *err)
{
    dl_query_result *result = run->result;
    const dl_engine *engine = &run->query->engine;
    size_t count = engine->api.column_count(&result->rows);
    result->columns = dl_arena_alloc(result->arena, count + 1, sizeof(*result->columns));
    result->types = dl_arena_alloc(result->arena, count + 1, sizeof(*result->types));
    result->vectors = dl_arena_alloc(result->arena, count + 1, sizeof(duckdb_vector));
    if (result->columns == NULL || result->types == NULL || result->vectors == NULL) {
        return dl_arena_full(result->arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        dl_query_column *column = &result->columns[i];
        DL_TRY(dl_arena_copy(result->arena, dl_str_of(engine->api.column_name(&result->rows, i)),
                             &column->name, err));
        dl_status status =
            dl_value_type_read(engine, engine->api.column_logical_type(&result->rows, i),
                               result->arena, &result->types[i], &column->type, err);
        if (status != DL_OK) {
            return dl_error_within(err, status, "reading column %.*s",
                                   DL_STR_ARG(dl_str_slice(column->name, 0, NAME_SHOWN)));
        }
        column->kind = dl_value_kind(&result->types[i]);
    }
    result->column_count = count;
    return DL_OK;
}

static dl_status run_all(running *run, dl_str statement, dl_error *err)
{
    DL_TRY(dl_session_check(run->query, err));
    DL_TRY(translate(run, statement, err));
    DL_TRY(bind(run, err));
    DL_TRY(dl_session_check(run->query, err));
    DL_TRY(prepare(run, err));
    DL_TRY(dl_session_check(run->query, err));
    DL_TRY(begin(run, err));
    return read_columns(run, err);
}

static dl_status result_create(dl_query *query, dl_query_result **out_result, dl_error *err)
{
    dl_query_result *result = dl_mem_zalloc(1, sizeof(*result));
    dl_arena *arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (result == NULL || arena == NULL) {
        dl_mem_free(result);
        dl_arena_destroy(arena);
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    *result = (dl_query_result){.query = query, .arena = arena};
    *out_result = result;
    return DL_OK;
}

dl_status dl_session_run(dl_query *query, dl_str statement, const dl_session_wrap *wrap,
                         dl_query_result **out_result, dl_query_place *out_place, dl_error *err)
{
    DL_TRY(dl_session_begin(query, err));
    running run = {.query = query, .wrap = wrap == NULL ? &bare : wrap, .at = SIZE_MAX};
    dl_buf_init(&run.sql, SQL_LIMIT_BYTES);
    dl_status status = result_create(query, &run.result, err);
    if (status != DL_OK) {
        dl_session_end(query);
    } else {
        status = dl_session_cause(query, run_all(&run, statement, err), err);
    }
    dl_buf_clear(&run.sql);
    if (status != DL_OK) {
        dl_query_result_destroy(run.result); /* ends the session's statement */
        if (out_place != NULL) {
            dl_session_place(statement, run.at, out_place);
        }
        return status;
    }
    *out_result = run.result;
    return DL_OK;
}

dl_status dl_query_run(dl_query *query, dl_str statement, dl_query_result **out_result,
                       dl_query_place *out_place, dl_error *err)
{
    return dl_session_run(query, statement, NULL, out_result, out_place, err);
}

/* ---- names ---- */

dl_status dl_query_fields(dl_query *query, dl_str table, dl_arena *arena,
                          dl_query_field **out_fields, size_t *out_count, dl_error *err)
{
    dl_str schema = DL_STR_NONE, name = table;
    const dl_query_table *found = dl_session_table(query, DL_STR_NONE, table);
    ptrdiff_t dot = dl_str_find(table, '.');
    if (found == NULL && dot >= 0) {
        schema = dl_str_slice(table, 0, (size_t)dot);
        name = dl_str_slice(table, (size_t)dot + 1, table.len);
        found = dl_session_table(query, schema, name);
    }
    if (found == NULL) {
        dl_session_no_table(query, schema, name, err);
        if (err != NULL) {
            err->status = DL_E_NOT_FOUND;
        }
        return DL_E_NOT_FOUND;
    }
    if (found->broken.len > 0) {
        return dl_error_set(err, DL_E_NOT_FOUND, "sql: the table %.*s cannot be read: %.*s",
                            DL_STR_ARG(found->name), DL_STR_ARG(found->broken));
    }
    return dl_snapshots_fields(query->snapshots, found, arena, out_fields, out_count, err);
}
