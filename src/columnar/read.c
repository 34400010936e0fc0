/* Reading: one connection, one streaming query, chunk by chunk through the shredder. */
#include "columnar/read.h"

#include <errno.h>
#include <sys/stat.h>

enum {
    PLAN_LIMIT_BYTES = 64 << 20,
    /* Rows that are shredded at a time when there are lists or maps: what they hold stays in the
     * processor's cache. A chunk of DuckDB has 2048. */
    NESTED_ROWS = 128,
    PATH_LIMIT_BYTES = 4096,
};

typedef struct reading {
    dl_duckdb_session session;
    const dl_columnar_scan *scan;
    dl_status (*visit)(void *context, const dl_columnar_batch *batch, dl_error *err);
    void *context;
    dl_read_shredder shredder;
} reading;

static dl_status canceled(const dl_columnar_scan *scan, dl_error *err)
{
    return dl_error_set(err, DL_E_CANCELED, "columnar: %.*s: reading was canceled",
                        DL_STR_ARG(scan->location));
}

/* DuckDB's words about a missing file are hard to tell from others. */
static dl_status check_there(dl_str location, dl_error *err)
{
    char path[PATH_LIMIT_BYTES];
    struct stat about;
    if (location.len == 0 || location.ptr[0] != '/' || !dl_str_copy(location, path, sizeof(path))) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "columnar: '%.*s' is not the absolute path of a file",
                            DL_STR_ARG(location));
    }
    if (stat(path, &about) != 0) {
        return dl_error_errno(err, errno, "columnar: %s", path);
    }
    if (!S_ISREG(about.st_mode)) {
        return dl_error_set(err, DL_E_CORRUPT, "columnar: %s is not a file", path);
    }
    return DL_OK;
}

static dl_status visit_rows(reading *r, const int64_t *row_numbers, size_t count, dl_error *err)
{
    dl_columnar_batch batch = {
        .row_count = count,
        .row_numbers = row_numbers,
        .leaves = r->shredder.entries,
        .leaf_count = r->shredder.plan->leaf_count,
    };
    return r->visit(r->context, &batch, err);
}

/* Rows of a chunk in portions; single rows where a portion has too many entries. */
static dl_status visit_chunk(reading *r, duckdb_data_chunk chunk, dl_error *err)
{
    const dl_duckdb *api = r->session.api;
    const int64_t *numbers = api->vector_get_data(api->data_chunk_get_vector(chunk, 0));
    size_t rows = api->data_chunk_get_size(chunk);
    size_t portion = r->shredder.plan->repeated ? NESTED_ROWS : rows;
    for (size_t first = 0; first < rows;) {
        if (dl_cancel_asked(r->scan->cancel)) {
            return canceled(r->scan, err);
        }
        size_t count = rows - first < portion ? rows - first : portion;
        dl_status status = dl_read_shred(&r->shredder, chunk, first, count, err);
        if (status == DL_E_LIMIT && count > 1) {
            dl_error_clear(err);
            portion = 1;
            continue;
        }
        DL_TRY(status);
        DL_TRY(visit_rows(r, numbers + first, count, err));
        first += count;
    }
    return DL_OK;
}

static dl_status fetch(reading *r, duckdb_result *result, dl_error *err)
{
    const dl_duckdb *api = r->session.api;
    for (;;) {
        if (dl_cancel_asked(r->scan->cancel)) {
            return canceled(r->scan, err);
        }
        duckdb_data_chunk chunk = api->fetch_chunk(*result);
        if (chunk == NULL) {
            const char *words = api->result_error(result);
            return words == NULL ? DL_OK
                                 : dl_duckdb_error(&r->session, api->result_error_type(result),
                                                   words, r->scan->location, err);
        }
        dl_status status = visit_chunk(r, chunk, err);
        api->destroy_data_chunk(&chunk);
        DL_TRY(status);
    }
}

/* Steps of DuckDB until rows can be fetched. */
static dl_status run(reading *r, duckdb_prepared_statement statement, dl_error *err)
{
    const dl_duckdb *api = r->session.api;
    dl_str location = r->scan->location;
    duckdb_pending_result pending = NULL;
    dl_status status = DL_OK;
    if (api->pending_prepared_streaming(statement, &pending) != DuckDBSuccess) {
        status = dl_duckdb_error(&r->session, DUCKDB_ERROR_INVALID, api->pending_error(pending),
                                 location, err);
    }
    while (status == DL_OK) {
        duckdb_pending_state state = api->pending_execute_task(pending);
        if (state == DUCKDB_PENDING_RESULT_READY) {
            break;
        }
        if (state == DUCKDB_PENDING_ERROR) {
            status = dl_duckdb_error(&r->session, DUCKDB_ERROR_INVALID, api->pending_error(pending),
                                     location, err);
        } else if (dl_cancel_asked(r->scan->cancel)) {
            status = canceled(r->scan, err);
        }
    }
    if (status == DL_OK) {
        duckdb_result result;
        if (api->execute_pending(pending, &result) != DuckDBSuccess) {
            status = dl_duckdb_error(&r->session, api->result_error_type(&result),
                                     api->result_error(&result), location, err);
        } else {
            status = fetch(r, &result, err);
        }
        api->destroy_result(&result);
    }
    api->destroy_pending(&pending);
    return status;
}

static dl_status read_planned(reading *r, const dl_read_plan *plan, dl_error *err)
{
    const dl_duckdb *api = r->session.api;
    DL_TRY(dl_read_shredder_init(&r->shredder, api, plan, err));
    duckdb_prepared_statement statement = NULL;
    dl_status status = DL_OK;
    if (api->prepare(r->session.connection, plan->sql.ptr, &statement) != DuckDBSuccess) {
        status = dl_duckdb_error(&r->session, DUCKDB_ERROR_INVALID, api->prepare_error(statement),
                                 r->scan->location, err);
    } else {
        status = run(r, statement, err);
    }
    api->destroy_prepare(&statement);
    dl_read_shredder_clear(&r->shredder);
    return status;
}

dl_status dl_columnar_read(dl_columnar_engine *engine, const dl_columnar_scan *scan,
                           dl_status (*visit)(void *context, const dl_columnar_batch *batch,
                                              dl_error *err),
                           void *context, dl_error *err)
{
    DL_TRY(check_there(scan->location, err));
    DL_AUTO(dl_arena) arena = dl_arena_create(PLAN_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    reading r = {.scan = scan, .visit = visit, .context = context};
    DL_TRY(dl_duckdb_session_open(engine, &r.session, err));
    dl_read_plan plan = {0};
    dl_status status = dl_read_plan_make(&r.session, scan, arena, &plan, err);
    if (status == DL_OK) {
        status = read_planned(&r, &plan, err);
    }
    dl_buf_clear(&plan.sql);
    dl_duckdb_session_close(&r.session);
    return status;
}

dl_status dl_columnar_row_count(dl_columnar_engine *engine, dl_str location, int64_t *out_rows,
                                dl_error *err)
{
    DL_TRY(check_there(location, err));
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, DL_READ_SQL_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&sql, DL_STR("SELECT num_rows FROM "), err));
    DL_TRY(dl_duckdb_call(&sql, "parquet_file_metadata", location, "", err));
    DL_TRY(dl_buf_terminate(&sql, err));
    dl_duckdb_session session = {0};
    DL_TRY(dl_duckdb_session_open(engine, &session, err));
    const dl_duckdb *api = session.api;
    duckdb_result result;
    dl_status status = DL_E_CORRUPT;
    if (api->query(session.connection, sql.ptr, &result) != DuckDBSuccess) {
        status = dl_duckdb_error(&session, api->result_error_type(&result),
                                 api->result_error(&result), location, err);
    } else {
        duckdb_data_chunk chunk = api->fetch_chunk(result);
        int64_t rows = -1;
        if (chunk != NULL && api->data_chunk_get_size(chunk) == 1) {
            rows = *(const int64_t *)api->vector_get_data(api->data_chunk_get_vector(chunk, 0));
        }
        if (rows >= 0) {
            *out_rows = rows;
            status = DL_OK;
        } else {
            dl_error_set(err, status, "columnar: %.*s: the footer has no number of rows",
                         DL_STR_ARG(location));
        }
        api->destroy_data_chunk(&chunk);
    }
    api->destroy_result(&result);
    dl_duckdb_session_close(&session);
    return status;
}
