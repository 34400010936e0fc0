/* Spark's functions that no expression of DuckDB's says: size of lists and maps alike, times by
 * Java's patterns. */
#include "query/functions/functions.h"
#include "query/functions/pattern.h"

#include "base/mem.h"

#include <string.h>

enum { ARENA_BYTES = 64 * 1024, TEXT_LIMIT_BYTES = 16 * 1024 };

/* ---- size ---- */

static void size_bind(duckdb_bind_info info)
{
    const dl_functions *f = dl_functions_of_bind(info);
    duckdb_expression argument = f->api->scalar_function_bind_get_argument(info, 0);
    duckdb_logical_type type = f->api->expression_return_type(argument);
    duckdb_type id = f->api->get_type_id(type);
    if (id != DUCKDB_TYPE_LIST && id != DUCKDB_TYPE_MAP && id != DUCKDB_TYPE_SQLNULL) {
        dl_error err = {0};
        (void)dl_error_set(&err, DL_E_INVALID, "it counts items of a list or a map");
        dl_error_hint(&err, "of a text: length(text)");
        dl_function_refuse(f, info, "size", &err);
    }
    f->api->destroy_logical_type(&type);
    f->api->destroy_expression(&argument);
}

/* A map lies in memory as a list of its entries. */
static void size_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const dl_functions *f = dl_functions_of(info);
    duckdb_vector lists = f->api->data_chunk_get_vector(input, 0);
    duckdb_logical_type type = f->api->vector_get_column_type(lists);
    bool none = f->api->get_type_id(type) == DUCKDB_TYPE_SQLNULL;
    f->api->destroy_logical_type(&type);
    const duckdb_list_entry *entries = f->api->vector_get_data(lists);
    const uint64_t *validity = f->api->vector_get_validity(lists);
    int32_t *sizes = f->api->vector_get_data(output);
    size_t count = f->api->data_chunk_get_size(input);
    for (size_t row = 0; row < count; row++) {
        if (none || !dl_function_valid(validity, row)) {
            dl_function_put_null(f, output, row);
        } else {
            sizes[row] = (int32_t)entries[row].length;
        }
    }
}

/* ---- times by patterns ---- */

typedef struct bound_pattern {
    dl_function_bound head;
    bool constant; /* else a row's own pattern */
    bool null;
    dl_pattern pattern;
} bound_pattern;

static dl_status read_bound(const dl_functions *f, duckdb_bind_info info, bound_pattern *b,
                            dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    dl_str text = DL_STR_NONE;
    if (b == NULL || arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "out of memory");
    }
    DL_TRY(dl_function_constant(f, info, 1, arena, &b->constant, &text, err));
    b->null = b->constant && text.ptr == NULL;
    return b->constant && !b->null ? dl_pattern_read(text, &b->pattern, err) : DL_OK;
}

static void pattern_bind(duckdb_bind_info info)
{
    const dl_functions *f = dl_functions_of_bind(info);
    dl_error err = {0};
    bound_pattern *b = dl_mem_zalloc(1, sizeof *b);
    if (read_bound(f, info, b, &err) != DL_OK) {
        dl_mem_free(b);
        dl_function_refuse(f, info, "a time by a pattern", &err);
        return;
    }
    dl_function_bind(f, info, &b->head);
}

/* The pattern of a row: `room` is where one that differs by row is read. NULL: there is none. */
static const dl_pattern *pattern_of(const bound_pattern *b, const dl_function_texts *patterns,
                                    size_t row, dl_pattern *room)
{
    dl_str text = DL_STR_NONE;
    if (b->constant) {
        return b->null ? NULL : &b->pattern;
    }
    return dl_function_text_at(patterns, row, &text) && dl_pattern_read(text, room, NULL) == DL_OK
               ? room
               : NULL;
}

/* Neither end of DuckDB's times is a time. */
static bool is_finite_time(int64_t us)
{
    return us != INT64_MAX && us != -INT64_MAX && us != INT64_MIN;
}

static void format_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const dl_functions *f = dl_functions_of(info);
    const bound_pattern *b = f->api->scalar_function_get_bind_data(info);
    duckdb_vector times = f->api->data_chunk_get_vector(input, 0);
    const int64_t *us = f->api->vector_get_data(times);
    const uint64_t *validity = f->api->vector_get_validity(times);
    dl_function_texts patterns = dl_function_texts_of(f, f->api->data_chunk_get_vector(input, 1));
    size_t count = f->api->data_chunk_get_size(input);
    DL_AUTO_BUF text = {0};
    dl_pattern room;
    dl_buf_init(&text, TEXT_LIMIT_BYTES);
    for (size_t row = 0; row < count; row++) {
        const dl_pattern *pattern = pattern_of(b, &patterns, row, &room);
        dl_buf_reset(&text);
        if (pattern != NULL && dl_function_valid(validity, row) && is_finite_time(us[row]) &&
            dl_pattern_format(pattern, us[row], &text, NULL) == DL_OK) {
            dl_function_put_text(f, output, row, dl_buf_str(&text));
        } else {
            dl_function_put_null(f, output, row);
        }
    }
}

static void parse_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const dl_functions *f = dl_functions_of(info);
    const bound_pattern *b = f->api->scalar_function_get_bind_data(info);
    dl_function_texts texts = dl_function_texts_of(f, f->api->data_chunk_get_vector(input, 0));
    dl_function_texts patterns = dl_function_texts_of(f, f->api->data_chunk_get_vector(input, 1));
    int64_t *out = f->api->vector_get_data(output);
    size_t count = f->api->data_chunk_get_size(input);
    dl_pattern room;
    for (size_t row = 0; row < count; row++) {
        const dl_pattern *pattern = pattern_of(b, &patterns, row, &room);
        dl_str text = DL_STR_NONE;
        if (pattern == NULL || !dl_function_text_at(&texts, row, &text) ||
            !dl_pattern_parse(pattern, text, &out[row])) {
            dl_function_put_null(f, output, row);
        }
    }
}

/* ---- registering ---- */

typedef struct entry {
    const char *name;
    duckdb_type parameters[2], result;
    duckdb_scalar_function_bind_t bind;
    duckdb_scalar_function_t run;
} entry;

static const entry entries[] = {
    {"size", {DUCKDB_TYPE_ANY}, DUCKDB_TYPE_INTEGER, size_bind, size_run},
    {"array_size", {DUCKDB_TYPE_ANY}, DUCKDB_TYPE_INTEGER, size_bind, size_run},
    {"dl_format_time",
     {DUCKDB_TYPE_TIMESTAMP, DUCKDB_TYPE_VARCHAR},
     DUCKDB_TYPE_VARCHAR,
     pattern_bind,
     format_run},
    {"dl_parse_time",
     {DUCKDB_TYPE_VARCHAR, DUCKDB_TYPE_VARCHAR},
     DUCKDB_TYPE_TIMESTAMP,
     pattern_bind,
     parse_run},
};

static void add_type(const dl_engine_api *api, duckdb_scalar_function made, duckdb_type id,
                     bool result)
{
    duckdb_logical_type type = api->create_logical_type(id);
    if (result) {
        api->scalar_function_set_return_type(made, type);
    } else {
        api->scalar_function_add_parameter(made, type);
    }
    api->destroy_logical_type(&type);
}

dl_status dl_functions_register_spark(dl_functions *functions, dl_engine *engine, dl_error *err)
{
    const dl_engine_api *api = &engine->api;
    for (size_t i = 0; i < DL_COUNT_OF(entries); i++) {
        duckdb_scalar_function made = api->create_scalar_function();
        if (made == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "functions: out of memory");
        }
        api->scalar_function_set_name(made, entries[i].name);
        for (size_t k = 0; k < 2 && entries[i].parameters[k] != DUCKDB_TYPE_INVALID; k++) {
            add_type(api, made, entries[i].parameters[k], false);
        }
        add_type(api, made, entries[i].result, true);
        api->scalar_function_set_extra_info(made, functions, NULL);
        api->scalar_function_set_bind(made, entries[i].bind);
        api->scalar_function_set_special_handling(made); /* NULL is ours to answer */
        api->scalar_function_set_function(made, entries[i].run);
        duckdb_state state = api->register_scalar_function(engine->connection, made);
        api->destroy_scalar_function(&made);
        if (state != DuckDBSuccess) {
            return dl_error_set(err, DL_E_UNAVAILABLE, "functions: libduckdb refuses %s",
                                entries[i].name);
        }
    }
    return DL_OK;
}
