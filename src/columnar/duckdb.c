/* libduckdb is loaded when it is first used and stays: docs/decisions/0009. */
#include "base/mem.h"
#include "base/sanitize.h"
#include "columnar/read.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum {
    MEMORY_LIMIT_BYTES = 256 << 20,
    TEMP_FOLDER_LIMIT_BYTES = 4096,
};

struct dl_columnar_engine {
    dl_columnar_engine_options options;
    char temp_folder[TEMP_FOLDER_LIMIT_BYTES];
    pthread_mutex_t mutex; /* guards what is below */
    bool runs;
    bool broken; /* DuckDB has given itself up: it is closed with its last session */
    size_t sessions;
    dl_duckdb api;
    duckdb_database database;
};

/* ---- loading ---- */

/* libduckdb's own symbols first: without it, each of its tens of thousands of references is looked
 * for in all libraries of the program before its own, 13 of 54 ms of a process that asks one
 * statement. Sanitizers refuse it. */
enum { OWN_SYMBOLS_FIRST = DL_SANITIZE_SHADOW ? 0 : RTLD_DEEPBIND };

void *dl_columnar_library(dl_error *err)
{
    /* The loader knows the folders: ../lib of the program, then the build's (meson.build). */
    void *library =
        dlopen("libduckdb.so", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE | OWN_SYMBOLS_FIRST);
    if (library == NULL) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): glibc keeps it for each thread */
        const char *words = dlerror();
        dl_error_set(err, DL_E_UNAVAILABLE, "columnar: libduckdb cannot be loaded: %s", words);
        dl_error_hint(err, "libduckdb.so belongs to the program, in ../lib beside its folder");
    }
    return library;
}

/* ISO C has no conversion of an object's pointer to a function's; POSIX says that bytes do. */
#define LOAD(name)                                                                                 \
    do {                                                                                           \
        void *symbol = dlsym(library, "duckdb_" #name);                                            \
        if (symbol == NULL) {                                                                      \
            return dl_error_set(err, DL_E_UNAVAILABLE,                                             \
                                "columnar: libduckdb has no duckdb_" #name);                       \
        }                                                                                          \
        memcpy(&api->name, &symbol, sizeof(symbol));                                               \
    } while (0);

static dl_status load(dl_duckdb *api, dl_error *err)
{
    void *library = dl_columnar_library(err);
    if (library == NULL) {
        return DL_E_UNAVAILABLE;
    }
    DL_DUCKDB_FUNCTIONS(LOAD)
    return DL_OK;
}

const char *dl_columnar_engine_version(void)
{
    dl_duckdb api;
    return load(&api, NULL) == DL_OK ? api.library_version() : "";
}

/* ---- the engine ---- */

dl_status dl_columnar_engine_create(const dl_columnar_engine_options *options,
                                    dl_columnar_engine **out_engine, dl_error *err)
{
    dl_columnar_engine *engine = dl_mem_zalloc(1, sizeof(*engine));
    if (engine == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    engine->options = *options;
    if (options->temp_folder != NULL &&
        !dl_str_copy(dl_str_of(options->temp_folder), engine->temp_folder,
                     sizeof(engine->temp_folder))) {
        dl_mem_free(engine);
        return dl_error_set(err, DL_E_INVALID, "columnar: temp folder: longer than %d bytes",
                            TEMP_FOLDER_LIMIT_BYTES - 1);
    }
    pthread_mutex_init(&engine->mutex, NULL);
    *out_engine = engine;
    return DL_OK;
}

void dl_columnar_engine_destroy(dl_columnar_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    if (engine->runs) {
        engine->api.close(&engine->database);
    }
    pthread_mutex_destroy(&engine->mutex);
    dl_mem_free(engine);
}

static dl_status set_options(const dl_columnar_engine *engine, duckdb_config config, dl_error *err)
{
    size_t memory = engine->options.memory_limit_bytes;
    char memory_text[32], threads_text[16];
    snprintf(memory_text, sizeof(memory_text), "%zuB", memory == 0 ? MEMORY_LIMIT_BYTES : memory);
    snprintf(threads_text, sizeof(threads_text), "%u",
             engine->options.threads == 0 ? 1 : engine->options.threads);
    const struct {
        const char *name, *value;
    } settings[] = {
        {"memory_limit", memory_text},           {"threads", threads_text},
        {"temp_directory", engine->temp_folder}, {"preserve_insertion_order", "true"},
        {"enable_external_file_cache", "false"}, {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},  {"allow_community_extensions", "false"},
        {"allow_persistent_secrets", "false"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(settings); i++) {
        if (engine->api.set_config(config, settings[i].name, settings[i].value) != DuckDBSuccess) {
            return dl_error_set(err, DL_E_UNAVAILABLE, "columnar: libduckdb refuses its setting %s",
                                settings[i].name);
        }
    }
    return DL_OK;
}

/* What can be set only once the database runs, the lock last. */
static dl_status seal(const dl_duckdb *api, duckdb_database database, dl_error *err)
{
    static const char *const statements[] = {
        "SET GLOBAL TimeZone = 'UTC'",
        /* Files by absolute paths, and nothing else: no network, extensions, other databases. */
        "SET GLOBAL allowed_directories = ['/']",
        "SET GLOBAL enable_external_access = false",
        "SET GLOBAL lock_configuration = true",
    };
    duckdb_connection connection = NULL;
    if (api->connect(database, &connection) != DuckDBSuccess) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: no connection to libduckdb");
    }
    dl_status status = DL_OK;
    for (size_t i = 0; i < DL_COUNT_OF(statements) && status == DL_OK; i++) {
        duckdb_result result;
        if (api->query(connection, statements[i], &result) != DuckDBSuccess) {
            status = dl_error_set(err, DL_E_UNAVAILABLE, "columnar: libduckdb refuses '%s': %s",
                                  statements[i], api->result_error(&result));
        }
        api->destroy_result(&result);
    }
    api->disconnect(&connection);
    return status;
}

static dl_status start(dl_columnar_engine *engine, dl_error *err)
{
    DL_TRY(load(&engine->api, err));
    const dl_duckdb *api = &engine->api;
    duckdb_config config = NULL;
    if (api->create_config(&config) != DuckDBSuccess) {
        return dl_error_set(err, DL_E_NOMEM, "columnar: out of memory");
    }
    dl_status status = set_options(engine, config, err);
    if (status == DL_OK) {
        char *words = NULL;
        if (api->open_ext(NULL, &engine->database, config, &words) != DuckDBSuccess) {
            status = dl_error_set(err, DL_E_UNAVAILABLE, "columnar: libduckdb does not start: %s",
                                  words == NULL ? "no reason given" : words);
            api->free(words);
        }
    }
    api->destroy_config(&config);
    DL_TRY(status);
    status = seal(api, engine->database, err);
    if (status != DL_OK) {
        api->close(&engine->database);
    }
    return status;
}

dl_status dl_duckdb_session_open(dl_columnar_engine *engine, dl_duckdb_session *out_session,
                                 dl_error *err)
{
    pthread_mutex_lock(&engine->mutex);
    dl_status status = engine->runs ? DL_OK : start(engine, err);
    engine->runs = status == DL_OK;
    duckdb_connection connection = NULL;
    if (status == DL_OK && engine->api.connect(engine->database, &connection) != DuckDBSuccess) {
        status = dl_error_set(err, DL_E_NOMEM, "columnar: no connection to libduckdb");
    }
    if (status == DL_OK) {
        engine->sessions++;
        *out_session =
            (dl_duckdb_session){.api = &engine->api, .engine = engine, .connection = connection};
    }
    pthread_mutex_unlock(&engine->mutex);
    return status;
}

void dl_duckdb_session_close(dl_duckdb_session *session)
{
    dl_columnar_engine *engine = session->engine;
    if (engine == NULL) {
        return;
    }
    session->api->disconnect(&session->connection);
    pthread_mutex_lock(&engine->mutex);
    engine->sessions--;
    engine->broken = engine->broken || session->broken;
    if (engine->broken && engine->sessions == 0) {
        engine->api.close(&engine->database);
        engine->broken = engine->runs = false;
    }
    pthread_mutex_unlock(&engine->mutex);
    session->engine = NULL;
}

/* ---- words ---- */

/* DuckDB quotes what it complains about, and that may be a value: only the file's own name passes.
 */
static dl_str safe_words(dl_str words, dl_str location, bool *out_cut)
{
    dl_str line = words;
    ptrdiff_t end = dl_str_find(words, '\n');
    if (end >= 0) {
        line.len = (size_t)end;
    }
    *out_cut = false;
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != '"' && line.ptr[i] != '\'') {
            continue;
        }
        dl_str rest = dl_str_slice(line, i + 1, line.len);
        if (location.len == 0 || !dl_str_starts(rest, location)) {
            *out_cut = true;
            line.len = i;
            return dl_str_trim(line);
        }
        i += location.len + 1;
    }
    return line;
}

static duckdb_error_type type_of_words(dl_str words)
{
    static const struct {
        const char *begin;
        duckdb_error_type type;
    } kinds[] = {
        {"Out of Memory", DUCKDB_ERROR_OUT_OF_MEMORY},
        {"INTERRUPT", DUCKDB_ERROR_INTERRUPT},
        {"Not implemented", DUCKDB_ERROR_NOT_IMPLEMENTED},
        {"Binder", DUCKDB_ERROR_BINDER},
        {"Permission", DUCKDB_ERROR_PERMISSION},
        {"INTERNAL", DUCKDB_ERROR_INTERNAL},
        {"FATAL", DUCKDB_ERROR_FATAL},
    };
    for (size_t i = 0; i < DL_COUNT_OF(kinds); i++) {
        if (dl_str_starts_nocase(words, dl_str_of(kinds[i].begin))) {
            return kinds[i].type;
        }
    }
    return DUCKDB_ERROR_INVALID;
}

dl_status dl_duckdb_error(dl_duckdb_session *session, duckdb_error_type type, const char *text,
                          dl_str location, dl_error *err)
{
    dl_str words = dl_str_of(text);
    if (type == DUCKDB_ERROR_INVALID) {
        type = type_of_words(words);
    }
    if (type == DUCKDB_ERROR_FATAL || type == DUCKDB_ERROR_INTERNAL) {
        session->broken = true; /* such an error may leave a database that answers nothing more */
    }
    bool cut = false;
    words = safe_words(words, location, &cut);
    dl_status status = DL_E_CORRUPT;
    if (type == DUCKDB_ERROR_OUT_OF_MEMORY) {
        status = DL_E_LIMIT;
    } else if (type == DUCKDB_ERROR_INTERRUPT) {
        status = DL_E_CANCELED;
    } else if (type == DUCKDB_ERROR_NOT_IMPLEMENTED || type == DUCKDB_ERROR_BINDER) {
        status = DL_E_UNSUPPORTED;
    } else if (type == DUCKDB_ERROR_PERMISSION) {
        status = DL_E_DENIED;
    }
    dl_error_set(err, status, "columnar: %.*s: %.*s%s", DL_STR_ARG(location), DL_STR_ARG(words),
                 cut ? " ..." : "");
    if (status == DL_E_LIMIT) {
        dl_error_hint(err, "the file has larger row groups than the memory for reading allows");
    }
    return status;
}

dl_status dl_duckdb_call(dl_buf *sql, const char *function, dl_str location, const char *options,
                         dl_error *err)
{
    DL_TRY(dl_buf_append_str(sql, dl_str_of(function), err));
    DL_TRY(dl_buf_append_str(sql, DL_STR("('"), err));
    for (size_t i = 0; i < location.len; i++) {
        char c = location.ptr[i];
        if (c == '\0') {
            return dl_error_set(err, DL_E_INVALID, "columnar: the name of a file holds a NUL");
        }
        if (c == '*' || c == '?' || c == '[') { /* a pattern that this character alone fits */
            DL_TRY(dl_buf_printf(sql, err, "[%c]", c));
            continue;
        }
        if (c == '\'') {
            DL_TRY(dl_buf_append_char(sql, c, err));
        }
        DL_TRY(dl_buf_append_char(sql, c, err));
    }
    DL_TRY(dl_buf_append_char(sql, '\'', err));
    DL_TRY(dl_buf_append_str(sql, dl_str_of(options), err));
    return dl_buf_append_char(sql, ')', err);
}
