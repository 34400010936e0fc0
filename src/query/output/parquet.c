/* Parquet: written by a second database of the engine, which reads the rows from ours through a
 * table function and writes through a pipe (docs/decisions/0014). So a file, a pipe and a socket
 * are the same to it, limits and cancel are those of the result, and the database that runs
 * somebody's SQL may write nowhere. */
#include "base/file.h"
#include "query/output/internal.h"
#include "query/session.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Rows are held until a row group is full: 15 chunks of the engine. */
#define ROW_GROUP_ROWS "30720"
enum { PIPE_BYTES = 1 << 20, READ_BYTES = 256 * 1024, SQL_LIMIT_BYTES = 16 << 20 };

typedef struct parquet {
    dl_output *out;
    dl_engine engine; /* the second one; its own api */
    const dl_str *names;
    int pipe[2];
    /* The thread that runs the second database; read when it has ended, but for `stop`. */
    pthread_t thread;
    atomic_bool stop; /* relaxed: nobody takes the bytes any more */
    dl_status status;
    dl_error error;
    int64_t rows;
} parquet;

/* ---- the rows as a table function ---- */

static void fail(parquet *p, dl_status status, const dl_error *why)
{
    if (p->status == DL_OK) {
        p->status = status;
        p->error = *why;
    }
}

/* libduckdb hands a callback nothing of ours before it is asked, so the calls that ask it are
 * looked up in the library itself. */
static void *library_call(const char *name)
{
    void *library = dl_columnar_library(NULL);
    return library == NULL ? NULL : dlsym(library, name);
}

#define EXTRA_INFO(function, info)                                                                 \
    __extension__({                                                                                \
        __typeof__(function) *get_ = NULL;                                                         \
        void *symbol_ = library_call(#function);                                                   \
        memcpy(&get_, &symbol_, sizeof symbol_);                                                   \
        (parquet *)(get_ == NULL ? NULL : get_(info));                                             \
    })

static void bind_rows(duckdb_bind_info info)
{
    parquet *p = EXTRA_INFO(duckdb_bind_get_extra_info, info);
    if (p == NULL) {
        return; /* no columns: the statement is refused */
    }
    for (size_t i = 0; i < p->out->columns; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "c%zu", i);
        duckdb_logical_type type = p->engine.api.column_logical_type(&p->out->result->rows, i);
        p->engine.api.bind_add_result_column(info, name, type);
        p->engine.api.destroy_logical_type(&type);
    }
}

static void init_rows(duckdb_init_info info)
{
    parquet *p = EXTRA_INFO(duckdb_init_get_extra_info, info);
    if (p != NULL) {
        p->engine.api.init_set_max_threads(info, 1); /* a result is one stream */
    }
}

/** The next chunk, shared and not copied. */
static void give_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
    parquet *p = EXTRA_INFO(duckdb_function_get_extra_info, info);
    dl_error err = {0};
    size_t rows = 0;
    if (p == NULL) {
        return;
    }
    dl_status status = DL_E_CANCELED;
    if (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
        status = dl_query_next(p->out->result, &rows, &err);
    }
    if (status != DL_OK) {
        fail(p, status, &err);
        p->engine.api.function_set_error(info, DL_ENGINE_OWN_WORDS "the rows have ended early");
        return;
    }
    for (size_t i = 0; i < p->out->columns && rows > 0; i++) {
        p->engine.api.vector_reference_vector(p->engine.api.data_chunk_get_vector(chunk, i),
                                              p->out->result->vectors[i]);
    }
    p->engine.api.data_chunk_set_size(chunk, rows);
    p->rows += (int64_t)rows;
}

static dl_status register_rows(parquet *p, dl_error *err)
{
    const dl_engine_api *api = &p->engine.api;
    duckdb_table_function function = api->create_table_function();
    api->table_function_set_name(function, "dl_rows");
    api->table_function_set_extra_info(function, p, NULL);
    api->table_function_set_bind(function, bind_rows);
    api->table_function_set_init(function, init_rows);
    api->table_function_set_function(function, give_rows);
    duckdb_state state = api->register_table_function(p->engine.connection, function);
    api->destroy_table_function(&function);
    return state == DuckDBSuccess ? DL_OK : dl_error_set(err, DL_E_NOMEM, "parquet: out of memory");
}

/* ---- the second database, in a thread of its own ---- */

/** Parquet has no integers of 128 bits: a DECIMAL(38) holds all but the largest exactly. */
static bool is_huge(const parquet *p, size_t column)
{
    duckdb_type id = p->out->result->types[column].id;
    return id == DUCKDB_TYPE_HUGEINT || id == DUCKDB_TYPE_UHUGEINT;
}

static dl_status make_sql(const parquet *p, dl_buf *sql, dl_error *err)
{
    DL_TRY(dl_buf_append_str(sql, DL_STR("COPY (SELECT "), err));
    for (size_t i = 0; i < p->out->columns; i++) {
        DL_TRY(dl_buf_printf(sql, err, "%sc%zu%s AS ", i == 0 ? "" : ", ", i,
                             is_huge(p, i) ? "::DECIMAL(38,0)" : ""));
        DL_TRY(dl_engine_put_name(sql, p->names[i].len == 0 ? DL_STR("_") : p->names[i], err));
    }
    return dl_buf_printf(sql, err,
                         " FROM dl_rows()) TO '/proc/self/fd/%d' (FORMAT parquet, COMPRESSION "
                         "zstd, ROW_GROUP_SIZE " ROW_GROUP_ROWS ")",
                         p->pipe[1]);
}

static dl_status copy_rows(parquet *p, dl_error *err)
{
    const dl_query_options options = {
        .limits = {.memory_bytes = p->out->result->query->engine.memory_bytes, .threads = 1},
        .clock = dl_clock_system()};
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, SQL_LIMIT_BYTES);
    DL_TRY(make_sql(p, &sql, err));
    DL_TRY(dl_engine_start(&p->engine, &options, err));
    dl_status status = register_rows(p, err);
    if (status == DL_OK) {
        status = dl_engine_exec(&p->engine, dl_buf_str(&sql), err);
    }
    dl_engine_stop(&p->engine);
    return status;
}

static void *run(void *context)
{
    parquet *p = context;
    dl_error err = {0};
    dl_status status = copy_rows(p, &err);
    if (status != DL_OK) {
        fail(p, status, &err);
    }
    dl_file_close(&p->pipe[1]); /* whoever reads sees the end */
    return NULL;
}

/* ---- the other end ---- */

/** Until the end; a sink that takes no more does not leave the thread waiting. */
static dl_status pass_on(parquet *p, dl_error *err)
{
    dl_output *out = p->out;
    dl_status status = dl_buf_reserve(&out->buf, READ_BYTES, err);
    for (;;) {
        char spare[4096];
        bool lost = status != DL_OK;
        ssize_t n = read(p->pipe[0], lost ? spare : out->buf.ptr, lost ? sizeof spare : READ_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? status : dl_error_errno(err, errno, "parquet: cannot read a pipe");
        }
        if (!lost) {
            out->buf.len = (size_t)n;
            status = dl_output_flush(out, err);
            atomic_store_explicit(&p->stop, status != DL_OK, memory_order_relaxed);
        }
    }
}

static dl_status write_through(parquet *p, dl_error *err)
{
    if (pipe2(p->pipe, O_CLOEXEC) != 0) {
        return dl_error_errno(err, errno, "parquet: cannot make a pipe");
    }
    (void)fcntl(p->pipe[1], F_SETPIPE_SZ, PIPE_BYTES); /* fewer changes between the two threads */
    dl_status status = DL_OK;
    if (pthread_create(&p->thread, NULL, run, p) != 0) {
        status = dl_error_set(err, DL_E_NOMEM, "parquet: no thread");
    } else {
        status = pass_on(p, err);
        (void)pthread_join(p->thread, NULL);
    }
    dl_file_close(&p->pipe[0]);
    dl_file_close(&p->pipe[1]);
    if (status == DL_OK && p->status != DL_OK) {
        *err = p->error;
        status = p->status;
    }
    return status;
}

dl_status dl_output_parquet(dl_output *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_OUTPUT_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "parquet: out of memory");
    }
    dl_str *names = NULL;
    DL_TRY(dl_output_names(out->result, true, arena, &names, err));
    parquet p = {.out = out, .names = names, .pipe = {-1, -1}};
    DL_TRY(dl_engine_load(&p.engine, err));
    DL_TRY(write_through(&p, err));
    out->rows = p.rows;
    return DL_OK;
}
