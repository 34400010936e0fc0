/* The session: opened, closed, its engine started with the first statement. */
#include "query/session.h"

#include "base/mem.h"

#include <string.h>

enum {
    OPTIONS_LIMIT_BYTES = 16 << 20,
    THREADS_LIMIT = 1024,
};

/* ---- options ---- */

static dl_status check_table(const dl_query_options *options, size_t i, dl_error *err)
{
    const dl_query_table *table = &options->tables[i];
    dl_str name = table->name;
    if (name.len == 0 || name.len > DL_QUERY_NAME_LIMIT || dl_str_find(name, '\0') >= 0 ||
        !dl_str_is_utf8(name)) {
        return dl_error_set(err, DL_E_INVALID, "sql: a table's name has 1 to %d bytes of UTF-8",
                            DL_QUERY_NAME_LIMIT);
    }
    if (table->broken.len == 0 && !dl_str_starts(table->folder, DL_STR("/"))) {
        return dl_error_set(err, DL_E_INVALID, "sql: table %.*s: its folder is no absolute path",
                            DL_STR_ARG(name));
    }
    for (size_t j = 0; j < i; j++) {
        if (dl_str_eq_nocase(options->tables[j].name, name)) {
            return dl_error_set(err, DL_E_INVALID, "sql: two tables are called %.*s",
                                DL_STR_ARG(name));
        }
    }
    return DL_OK;
}

static dl_status check_options(const dl_query_options *options, dl_error *err)
{
    if (options->table_count > DL_QUERY_TABLE_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "sql: %zu tables, more than %d", options->table_count,
                            DL_QUERY_TABLE_LIMIT);
    }
    if (options->limits.threads > THREADS_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "sql: %u threads, more than %d",
                            options->limits.threads, THREADS_LIMIT);
    }
    for (size_t i = 0; i < options->table_count; i++) {
        DL_TRY(check_table(options, i, err));
    }
    for (size_t i = 0; i < options->root_count; i++) {
        if (!dl_str_starts(options->roots[i].folder, DL_STR("/"))) {
            return dl_error_set(err, DL_E_INVALID,
                                "sql: files %.*s: the folder is no absolute path",
                                DL_STR_ARG(options->roots[i].name));
        }
    }
    if (options->temp_folder != NULL && options->temp_folder[0] != '/') {
        return dl_error_set(err, DL_E_INVALID, "sql: the temporary folder is no absolute path");
    }
    return DL_OK;
}

static dl_status copy_tables(dl_query *query, const dl_query_options *options, dl_error *err)
{
    dl_arena *arena = query->arena;
    dl_query_table *tables = dl_arena_alloc(arena, options->table_count + 1, sizeof(*tables));
    dl_query_root *roots = dl_arena_alloc(arena, options->root_count + 1, sizeof(*roots));
    if (tables == NULL || roots == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < options->table_count; i++) {
        const dl_query_table *table = &options->tables[i];
        DL_TRY(dl_arena_copy(arena, table->name, &tables[i].name, err));
        DL_TRY(dl_arena_copy(arena, table->schema, &tables[i].schema, err));
        DL_TRY(dl_arena_copy(arena, table->folder, &tables[i].folder, err));
        DL_TRY(dl_arena_copy(arena, table->set, &tables[i].set, err));
        DL_TRY(dl_arena_copy(arena, table->broken, &tables[i].broken, err));
    }
    for (size_t i = 0; i < options->root_count; i++) {
        DL_TRY(dl_arena_copy(arena, options->roots[i].name, &roots[i].name, err));
        DL_TRY(dl_arena_copy(arena, options->roots[i].folder, &roots[i].folder, err));
    }
    query->options.tables = tables;
    query->options.roots = roots;
    return DL_OK;
}

static dl_status copy_options(dl_query *query, const dl_query_options *options, dl_error *err)
{
    query->arena = dl_arena_create(OPTIONS_LIMIT_BYTES);
    if (query->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    query->options = *options;
    DL_TRY(copy_tables(query, options, err));
    DL_TRY(dl_arena_copy(query->arena, options->no_tables, &query->options.no_tables, err));
    if (options->temp_folder != NULL) {
        dl_str copy = DL_STR_NONE;
        DL_TRY(dl_arena_copy(query->arena, dl_str_of(options->temp_folder), &copy, err));
        query->options.temp_folder = copy.ptr;
    }
    query->options.cancel = &query->inner;
    query->watch.asked = options->cancel;
    query->watch.inner = &query->inner;
    query->watch.engine = &query->engine;
    return DL_OK;
}

/* ---- open and close ---- */

static dl_status open_parts(dl_query *query, dl_error *err)
{
    DL_TRY(dl_engine_load(&query->engine, err));
    DL_TRY(dl_snapshots_create(&query->options, &query->snapshots, err));
    return dl_functions_create(&query->options, &query->functions, err);
}

dl_status dl_query_open(const dl_query_options *options, dl_query **out_query, dl_error *err)
{
    DL_TRY(check_options(options, err));
    dl_query *query = dl_mem_zalloc(1, sizeof(*query));
    if (query == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    dl_status status = copy_options(query, options, err);
    if (status == DL_OK) {
        status = open_parts(query, err);
    }
    if (status != DL_OK) {
        dl_query_close(query);
        return status;
    }
    *out_query = query;
    return DL_OK;
}

void dl_query_close(dl_query *query)
{
    if (query == NULL) {
        return;
    }
    DL_ASSERT(!query->busy); /* results go first */
    dl_engine_stop(&query->engine);
    dl_functions_destroy(query->functions);
    dl_snapshots_destroy(query->snapshots);
    dl_arena_destroy(query->arena);
    dl_mem_free(query);
}

void dl_query_stop(dl_query *query)
{
    dl_cancel_ask(&query->inner); /* the watch sees it */
}

/* ---- the engine ---- */

static dl_status close_off(dl_query *query, dl_error *err)
{
    size_t count = 0;
    size_t limit = query->options.table_count + query->folder_count + 1;
    DL_AUTO(dl_arena) arena = dl_arena_create(limit * sizeof(dl_str) + 64);
    dl_str *folders = arena == NULL ? NULL : dl_arena_alloc(arena, limit, sizeof(*folders));
    if (folders == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    for (size_t i = 0; i < query->options.table_count; i++) {
        if (query->options.tables[i].broken.len == 0) {
            folders[count++] = query->options.tables[i].folder;
        }
    }
    for (size_t i = 0; i < query->folder_count; i++) {
        folders[count++] = query->folders[i];
    }
    return dl_engine_close_off(&query->engine, folders, count, err);
}

/* An engine that has failed at a statement is put away, and the next statement gets a new one. */
dl_status dl_session_start(dl_query *query, dl_error *err)
{
    if (query->closed_off && query->engine.broken) {
        dl_engine_stop(&query->engine);
        query->closed_off = false;
    }
    if (query->closed_off) {
        return DL_OK;
    }
    DL_TRY(dl_engine_start(&query->engine, &query->options, err));
    dl_status status = dl_functions_register(query->functions, &query->engine, err);
    if (status == DL_OK) {
        status = close_off(query, err);
    }
    if (status != DL_OK) {
        dl_engine_stop(&query->engine);
    }
    query->closed_off = status == DL_OK;
    return status;
}

/* ---- a statement's time ---- */

dl_status dl_session_begin(dl_query *query, dl_error *err)
{
    if (query->busy) {
        return dl_error_set(err, DL_E_CONFLICT, "sql: another statement of the session runs");
    }
    /* From here on a stop is for this statement: also one that comes while the engine starts. */
    atomic_store_explicit(&query->inner.asked, false, memory_order_relaxed);
    DL_TRY(dl_session_start(query, err));
    uint32_t time_ms = query->options.limits.time_ms;
    query->watch.deadline_us =
        time_ms == 0 ? INT64_MAX : dl_clock_monotonic_us() + ((int64_t)time_ms * 1000);
    query->watch.stuck = query->options.stuck;
    query->watch.stuck_context = query->options.stuck_context;
    DL_TRY(dl_watch_begin(&query->watch, err));
    query->busy = true;
    return DL_OK;
}

void dl_session_end(dl_query *query)
{
    dl_watch_end(&query->watch);
    query->busy = false;
}

dl_status dl_session_cause(dl_query *query, dl_status status, dl_error *err)
{
    if (status != DL_E_CANCELED ||
        !atomic_load_explicit(&query->watch.timed_out, memory_order_relaxed)) {
        return status;
    }
    dl_error_set(err, DL_E_LIMIT, "sql: the statement takes longer than the %u ms it may take",
                 query->options.limits.time_ms);
    dl_error_hint(err, "filter by a partition or a key, ask for less, or raise the limit");
    return DL_E_LIMIT;
}

dl_status dl_session_check(dl_query *query, dl_error *err)
{
    if (dl_cancel_asked(query->watch.asked) || dl_cancel_asked(&query->inner)) {
        return dl_session_cause(query, dl_error_set(err, DL_E_CANCELED, "sql: cancelled"), err);
    }
    return DL_OK;
}
