/* What the views ask while they run. dl_live(group, file, row): the row is in no deletion vector.
 * dl_partition(group, column, file): the text of a partition column. Statements cannot name them:
 * they are on no list of plan.c. */
#include "query/snapshot.h"

#include "base/sanitize.h"

#include <dlfcn.h>
#include <string.h>

/* One call of a function over a chunk. */
typedef struct call {
    const dl_snapshots *snapshots; /* NULL: unknown to the engine */
    const dl_engine_api *api;
    duckdb_function_info info;
    duckdb_data_chunk input;
    idx_t count;
} call;

/* libduckdb hands a callback nothing of ours before it is asked, so the one function that asks it
 * is looked up in the library itself. */
static call call_of(duckdb_function_info info, duckdb_data_chunk input)
{
    __typeof__(duckdb_scalar_function_get_extra_info) *get = NULL;
    void *library = dl_columnar_library(NULL);
    void *symbol = library == NULL ? NULL : dlsym(library, "duckdb_scalar_function_get_extra_info");
    memcpy(&get, &symbol, sizeof symbol);
    const dl_snapshots *snapshots = get == NULL ? NULL : get(info);
    call c = {.snapshots = snapshots, .info = info, .input = input};
    if (snapshots != NULL) {
        DL_SANITIZE_TAKE_OVER(&snapshots->bound); /* a thread of the engine's, from the statement */
        c.api = snapshots->api;
        c.count = c.api->data_chunk_get_size(input);
    }
    return c;
}

static void *data_of(const call *c, idx_t column)
{
    return c->api->vector_get_data(c->api->data_chunk_get_vector(c->input, column));
}

/* The group that the first row names; it is one constant of the view. */
static const dl_snapshot_group *group_of(const call *c)
{
    const int32_t *groups = data_of(c, 0);
    const dl_snapshot_bound *bound = &c->snapshots->bound;
    size_t group = groups[0] < 0 ? SIZE_MAX : (size_t)groups[0];
    if (group < bound->group_count) {
        return &bound->groups[group];
    }
    c->api->scalar_function_set_error(c->info, DL_ENGINE_OWN_WORDS
                                      "this view is that of an earlier statement");
    return NULL;
}

/* ---- dl_live ---- */

/* Rows of one file from `begin` on, ascending without a gap: the dead ones are walked, not all. */
static void live_run(const dl_delta_bitmap *dead, const int64_t *rows, idx_t count, bool *out)
{
    memset(out, 1, count * sizeof *out);
    uint64_t first = (uint64_t)rows[0], end = first + count, row = first;
    while (dead != NULL && dl_delta_bitmap_next(dead, row, &row) && row < end) {
        out[row - first] = false;
        row++;
    }
}

/* How many rows from `begin` on are of one file and follow each other. */
static idx_t run_length(const uint64_t *files, const int64_t *rows, idx_t begin, idx_t end)
{
    idx_t i = begin + 1;
    while (i < end && files[i] == files[begin] && rows[i] == rows[i - 1] + 1) {
        i++;
    }
    return i - begin;
}

static void is_live(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    call c = call_of(info, input);
    const dl_snapshot_group *group = c.snapshots == NULL || c.count == 0 ? NULL : group_of(&c);
    if (group == NULL) {
        return;
    }
    const uint64_t *files = data_of(&c, 1);
    const int64_t *rows = data_of(&c, 2);
    bool *out = c.api->vector_get_data(output);
    for (idx_t i = 0; i < c.count;) {
        idx_t length = run_length(files, rows, i, c.count);
        if (files[i] >= group->file_count || rows[i] < 0) {
            c.api->scalar_function_set_error(info, DL_ENGINE_OWN_WORDS
                                             "a file beyond those of the table's version");
            return;
        }
        live_run(group->dead == NULL ? NULL : group->dead[files[i]], rows + i, length, out + i);
        i += length;
    }
    DL_SANITIZE_HAND_OVER(&c.snapshots->views);
}

/* ---- dl_partition ---- */

static void partition_value(duckdb_function_info info, duckdb_data_chunk input,
                            duckdb_vector output)
{
    call c = call_of(info, input);
    const dl_snapshot_group *group = c.snapshots == NULL || c.count == 0 ? NULL : group_of(&c);
    if (group == NULL) {
        return;
    }
    const int32_t *columns = data_of(&c, 1);
    const uint64_t *files = data_of(&c, 2);
    size_t column = columns[0] < 0 ? SIZE_MAX : (size_t)columns[0];
    c.api->vector_ensure_validity_writable(output);
    uint64_t *validity = c.api->vector_get_validity(output);
    for (idx_t i = 0; i < c.count; i++) {
        if (files[i] >= group->file_count || column >= group->value_columns) {
            c.api->scalar_function_set_error(info, DL_ENGINE_OWN_WORDS
                                             "a file beyond those of the table's version");
            return;
        }
        dl_str value = group->values[files[i] * group->value_columns + column];
        if (value.ptr == NULL) {
            c.api->validity_set_row_invalid(validity, i);
        } else {
            c.api->vector_assign_string_element_len(output, i, value.ptr, value.len);
        }
    }
    DL_SANITIZE_HAND_OVER(&c.snapshots->views);
}

/* ---- registering ---- */

typedef struct function {
    const char *name;
    duckdb_type parameters[3], result;
    duckdb_scalar_function_t run;
} function;

static dl_status register_one(dl_snapshots *snapshots, const dl_engine *engine, const function *f,
                              dl_error *err)
{
    const dl_engine_api *api = &engine->api;
    duckdb_scalar_function made = api->create_scalar_function();
    api->scalar_function_set_name(made, f->name);
    for (size_t i = 0; i < DL_COUNT_OF(f->parameters); i++) {
        duckdb_logical_type type = api->create_logical_type(f->parameters[i]);
        api->scalar_function_add_parameter(made, type);
        api->destroy_logical_type(&type);
    }
    duckdb_logical_type type = api->create_logical_type(f->result);
    api->scalar_function_set_return_type(made, type);
    api->destroy_logical_type(&type);
    api->scalar_function_set_extra_info(made, snapshots, NULL);
    api->scalar_function_set_function(made, f->run);
    duckdb_state state = api->register_scalar_function(engine->connection, made);
    api->destroy_scalar_function(&made);
    return state == DuckDBSuccess
               ? DL_OK
               : dl_error_set(err, DL_E_UNAVAILABLE, "query: libduckdb refuses the function %s",
                              f->name);
}

dl_status dl_snapshot_register(dl_snapshots *snapshots, dl_engine *engine, dl_error *err)
{
    static const function functions[] = {
        {"dl_live",
         {DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_UBIGINT, DUCKDB_TYPE_BIGINT},
         DUCKDB_TYPE_BOOLEAN,
         is_live},
        {"dl_partition",
         {DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_UBIGINT},
         DUCKDB_TYPE_VARCHAR,
         partition_value},
    };
    /* A database that was started again may lie where the one before did: registering twice does no
     * harm, and says no more than that. */
    bool again = snapshots->registered == engine->database;
    snapshots->api = &engine->api;
    for (size_t i = 0; i < DL_COUNT_OF(functions); i++) {
        dl_status status = register_one(snapshots, engine, &functions[i], again ? NULL : err);
        if (status != DL_OK && !again) {
            return status;
        }
    }
    snapshots->registered = engine->database;
    return DL_OK;
}
