/**
 * Engine: libduckdb as this module uses it: the calls by name, one database in memory with its
 * limits, and its errors in our words.
 *
 * Thread: confined, but for dl_engine_interrupt (any thread).
 */
#ifndef DL_QUERY_ENGINE_H
#define DL_QUERY_ENGINE_H

#include "query/query.h"

#include <duckdb.h>

/* The functions that we use: duckdb_NAME. Add where needed, one a line, in the header's order. */
#define DL_ENGINE_FUNCTIONS(X)                                                                     \
    X(create_config)                                                                               \
    X(set_config)                                                                                  \
    X(destroy_config)                                                                              \
    X(open_ext)                                                                                    \
    X(close)                                                                                       \
    X(connect)                                                                                     \
    X(interrupt)                                                                                   \
    X(disconnect)                                                                                  \
    X(free)                                                                                        \
    X(query)                                                                                       \
    X(destroy_result)                                                                              \
    X(result_error)                                                                                \
    X(result_error_type)                                                                           \
    X(fetch_chunk)                                                                                 \
    X(destroy_data_chunk)

typedef struct dl_engine_api {
#define DL_ENGINE_MEMBER(name) __typeof__(duckdb_##name) *name;
    DL_ENGINE_FUNCTIONS(DL_ENGINE_MEMBER)
#undef DL_ENGINE_MEMBER
} dl_engine_api;

typedef struct dl_engine {
    dl_engine_api api;
    duckdb_database database;
    duckdb_connection connection;
    uint64_t memory_bytes;
    dl_cancel *cancel;
} dl_engine;

/** Load the library; start nothing. */
DL_NODISCARD dl_status dl_engine_load(dl_engine *engine, dl_error *err);
/** Start the database (threads begin here): limits, no extensions, no external access but to
 * `folders` (absolute), configuration locked at the end by dl_engine_close_off. */
DL_NODISCARD dl_status dl_engine_start(dl_engine *engine, const dl_query_options *options,
                                       dl_error *err);
DL_NODISCARD dl_status dl_engine_close_off(dl_engine *engine, const dl_str *folders,
                                           size_t folder_count, dl_error *err);
void dl_engine_stop(dl_engine *engine);
void dl_engine_interrupt(dl_engine *engine);

/** Run SQL of our own that has no rows (views, macros). Errors: as dl_engine_error. */
DL_NODISCARD dl_status dl_engine_exec(dl_engine *engine, dl_str sql, dl_error *err);
/** What DuckDB said, with nothing in it that may come out of rows: parser, binder and catalog
 * errors keep their words (they know the statement alone), all others get ours. `out_at` (may be
 * NULL) gets the byte of the statement when DuckDB knows it, else SIZE_MAX. */
dl_status dl_engine_error(const dl_engine *engine, duckdb_error_type type, const char *text,
                          size_t *out_at, dl_error *err);

/** A name or text as SQL: quotes doubled. */
DL_NODISCARD dl_status dl_engine_put_name(dl_buf *sql, dl_str name, dl_error *err);
DL_NODISCARD dl_status dl_engine_put_text(dl_buf *sql, dl_str text, dl_error *err);

#endif
