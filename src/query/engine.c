#include "query/engine.h"

#include "base/mem.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum {
    NUMBER_SIZE = 32,
    SQL_LIMIT_BYTES = 64 << 20, /* of statements of our own: the names of a table's files are in */
};

/* ---- loading ---- */

/* ISO C has no conversion of an object's pointer to a function's; POSIX says that bytes do. */
#define LOAD(name)                                                                                 \
    {                                                                                              \
        void *symbol = dlsym(library, "duckdb_" #name);                                            \
        if (symbol == NULL) {                                                                      \
            return dl_error_set(err, DL_E_UNAVAILABLE, "sql: libduckdb has no duckdb_" #name);     \
        }                                                                                          \
        memcpy(&engine->api.name, &symbol, sizeof(symbol));                                        \
    }

/* NOLINTNEXTLINE(readability-function-size,readability-function-cognitive-complexity): a table */
dl_status dl_engine_load(dl_engine *engine, dl_error *err)
{
    if (engine->loaded) {
        return DL_OK;
    }
    void *library = dl_columnar_library(err);
    if (library == NULL) {
        return DL_E_UNAVAILABLE;
    }
    DL_ENGINE_FUNCTIONS(LOAD)
    engine->loaded = true;
    return DL_OK;
}

/* ---- starting and stopping ---- */

typedef struct setting {
    const char *name, *value; /* value NULL: left alone */
} setting;

static dl_status set_config(const dl_engine *engine, duckdb_config config, const setting *settings,
                            size_t count, dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (settings[i].value != NULL &&
            engine->api.set_config(config, settings[i].name, settings[i].value) != DuckDBSuccess) {
            return dl_error_set(err, DL_E_UNAVAILABLE, "sql: libduckdb refuses its setting %s",
                                settings[i].name);
        }
    }
    return DL_OK;
}

static dl_status configure(const dl_engine *engine, const dl_query_options *options,
                           duckdb_config config, dl_error *err)
{
    char memory[NUMBER_SIZE], threads[NUMBER_SIZE];
    snprintf(memory, sizeof(memory), "%lluB", (unsigned long long)engine->memory_bytes);
    snprintf(threads, sizeof(threads), "%u", options->limits.threads);
    const setting settings[] = {
        {"memory_limit", memory},
        {"threads", options->limits.threads == 0 ? NULL : threads},
        {"temp_directory", engine->temp_bytes == 0 ? "" : options->temp_folder},
        {"preserve_insertion_order", "true"},
        {"errors_as_json", "true"}, /* dl_engine_error takes them apart */
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
        {"allow_persistent_secrets", "false"},
        /* Data files never change, and what is read once is not kept: memory is for the statement.
         */
        {"enable_external_file_cache", "false"},
    };
    return set_config(engine, config, settings, DL_COUNT_OF(settings), err);
}

static dl_status open_database(dl_engine *engine, const dl_query_options *options, dl_error *err)
{
    duckdb_config config = NULL;
    if (engine->api.create_config(&config) != DuckDBSuccess) {
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    dl_status status = configure(engine, options, config, err);
    char *words = NULL;
    if (status == DL_OK &&
        engine->api.open_ext(NULL, &engine->database, config, &words) != DuckDBSuccess) {
        engine->database = NULL;
        status = dl_error_set(err, DL_E_UNAVAILABLE, "sql: libduckdb does not start: %s",
                              words == NULL ? "no reason given" : words);
        engine->api.free(words);
    }
    engine->api.destroy_config(&config);
    return status;
}

/* What DuckDB takes in only once it runs; the bound of the temporary folder is one of these. */
static dl_status set_running(dl_engine *engine, dl_error *err)
{
    char sql[96];
    (void)snprintf(sql, sizeof(sql), "SET GLOBAL max_temp_directory_size = '%lluB'",
                   (unsigned long long)engine->temp_bytes);
    DL_TRY(dl_engine_exec(engine, dl_str_of(sql), err));
    return dl_engine_exec(engine, DL_STR("SET GLOBAL TimeZone = 'UTC'"), err);
}

dl_status dl_engine_start(dl_engine *engine, const dl_query_options *options, dl_error *err)
{
    DL_ASSERT(engine->database == NULL);
    DL_TRY(dl_engine_load(engine, err));
    const dl_query_limits *limits = &options->limits;
    engine->memory_bytes =
        limits->memory_bytes == 0 ? DL_ENGINE_MEMORY_BYTES : limits->memory_bytes;
    engine->temp_bytes = options->temp_folder == NULL ? 0 : limits->temp_bytes;
    engine->cancel = options->cancel;
    engine->broken = false;
    dl_status status = open_database(engine, options, err);
    if (status == DL_OK &&
        engine->api.connect(engine->database, &engine->connection) != DuckDBSuccess) {
        engine->connection = NULL;
        status = dl_error_set(err, DL_E_NOMEM, "sql: no connection to libduckdb");
    }
    if (status == DL_OK) {
        status = set_running(engine, err);
    }
    if (status != DL_OK) {
        dl_engine_stop(engine);
    }
    return status;
}

dl_status dl_engine_close_off(dl_engine *engine, const dl_str *folders, size_t folder_count,
                              dl_error *err)
{
    DL_AUTO_BUF sql;
    dl_buf_init(&sql, SQL_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&sql, DL_STR("SET GLOBAL allowed_directories = ["), err));
    for (size_t i = 0; i < folder_count; i++) {
        DL_TRY(dl_buf_append_str(&sql, i == 0 ? DL_STR("") : DL_STR(", "), err));
        DL_TRY(dl_engine_put_text(&sql, folders[i], err));
    }
    DL_TRY(dl_buf_append_char(&sql, ']', err));
    DL_TRY(dl_engine_exec(engine, dl_buf_str(&sql), err));
    DL_TRY(dl_engine_exec(engine, DL_STR("SET GLOBAL enable_external_access = false"), err));
    return dl_engine_exec(engine, DL_STR("SET GLOBAL lock_configuration = true"), err);
}

void dl_engine_stop(dl_engine *engine)
{
    if (engine->connection != NULL) {
        engine->api.disconnect(&engine->connection);
    }
    if (engine->database != NULL) {
        engine->api.close(&engine->database);
    }
    engine->connection = NULL;
    engine->database = NULL;
}

void dl_engine_interrupt(dl_engine *engine)
{
    if (engine->connection != NULL) {
        engine->api.interrupt(engine->connection);
    }
}

/* ---- SQL of our own ---- */

dl_status dl_engine_exec(dl_engine *engine, dl_str sql, dl_error *err)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, sql.len + 1);
    DL_TRY(dl_buf_append_str(&text, sql, err));
    DL_TRY(dl_buf_terminate(&text, err));
    duckdb_result result;
    dl_status status = DL_OK;
    if (engine->api.query(engine->connection, text.ptr, &result) != DuckDBSuccess) {
        status = dl_engine_error(engine, engine->api.result_error_type(&result),
                                 engine->api.result_error(&result), NULL, err);
    }
    engine->api.destroy_result(&result);
    return status;
}

static dl_status put_quoted(dl_buf *sql, dl_str text, char quote, dl_error *err)
{
    if (dl_str_find(text, '\0') >= 0) {
        return dl_error_set(err, DL_E_INVALID, "sql: a name holds a NUL");
    }
    DL_TRY(dl_buf_append_char(sql, quote, err));
    for (ptrdiff_t at = 0; (at = dl_str_find(text, quote)) >= 0;) {
        DL_TRY(dl_buf_append(sql, text.ptr, (size_t)at + 1, err));
        DL_TRY(dl_buf_append_char(sql, quote, err));
        text = dl_str_slice(text, (size_t)at + 1, text.len);
    }
    DL_TRY(dl_buf_append_str(sql, text, err));
    return dl_buf_append_char(sql, quote, err);
}

dl_status dl_engine_put_name(dl_buf *sql, dl_str name, dl_error *err)
{
    return put_quoted(sql, name, '"', err);
}

dl_status dl_engine_put_text(dl_buf *sql, dl_str text, dl_error *err)
{
    return put_quoted(sql, text, '\'', err);
}
