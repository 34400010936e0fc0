/**
 * Session: what the files behind query.h share.
 *
 * A statement's way: dl_session_begin (engine runs, watch runs), dl_dialect_read, the engine's
 * tree, dl_plan_read, tables found, dl_snapshots_bind, prepared and begun. dl_session_run does all
 * that and gives a result; whoever has it ends the statement with dl_query_result_destroy.
 *
 * Thread: confined, but for what is atomic.
 */
#ifndef DL_QUERY_SESSION_H
#define DL_QUERY_SESSION_H

#include "query/internal.h"

#include <pthread.h>

/* Looks at the asker's wish and at the deadline while a statement runs, and interrupts it. */
typedef struct dl_watch {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards done */
    pthread_cond_t wake;
    bool runs, done;
    int64_t deadline_us; /* monotonic; INT64_MAX: none */
    dl_engine *engine;
    dl_cancel *asked;             /* the asker's; may be NULL */
    dl_cancel *inner;             /* asked when the statement shall end, for whatever reason */
    atomic_bool timed_out;        /* relaxed: read once `inner` is seen */
    int64_t over_us;              /* when the end was first wished for; 0: it is not */
    void (*stuck)(void *context); /* dl_query_options */
    void *stuck_context;
} dl_watch;

/** `watch->engine`, `asked`, `inner`, `deadline_us` are set. Errors: DL_E_NOMEM. */
DL_NODISCARD dl_status dl_watch_begin(dl_watch *watch, dl_error *err);
void dl_watch_end(dl_watch *watch);

struct dl_query {
    dl_arena *arena; /* texts of `options` */
    dl_query_options options;
    dl_cancel inner; /* what snapshots, functions and engine look at */
    dl_engine engine;
    bool closed_off; /* the engine runs, functions are in, nothing else can be reached */
    dl_snapshots *snapshots;
    dl_functions *functions;
    /* Folders that the engine may read and write besides those of the tables: dl_query_seal's. */
    dl_str *folders;
    size_t folder_count;
    bool busy; /* a result is under way */
    dl_watch watch;
};

/** What is run round the SELECT that a statement comes to: "EXPLAIN " or "COPY (" and its end. */
typedef struct dl_session_wrap {
    dl_str before, after;
    duckdb_statement_type type; /* of the whole; nothing else is run */
} dl_session_wrap;

/** dl_query_run with something round it; NULL: nothing. */
DL_NODISCARD dl_status dl_session_run(dl_query *query, dl_str statement,
                                      const dl_session_wrap *wrap, dl_query_result **out_result,
                                      dl_query_place *out_place, dl_error *err);

/** The engine with our functions, closed off; begins at the first call, and anew after it broke. */
DL_NODISCARD dl_status dl_session_start(dl_query *query, dl_error *err);
/** A statement begins: dl_session_start, and the watch. Errors: DL_E_CONFLICT (one is under way).
 */
DL_NODISCARD dl_status dl_session_begin(dl_query *query, dl_error *err);
/** Ends the statement under way: the watch, and the session is free for the next one. */
void dl_session_end(dl_query *query);
/** DL_E_CANCELED or DL_E_LIMIT when the statement under way shall end. */
DL_NODISCARD dl_status dl_session_check(dl_query *query, dl_error *err);
/** What made a statement fail that ended with `status`: the time limit interrupts too. */
DL_NODISCARD dl_status dl_session_cause(dl_query *query, dl_status status, dl_error *err);

/** The table of a name as it is written, or NULL; `schema` may be empty. */
const dl_query_table *dl_session_table(const dl_query *query, dl_str schema, dl_str name);
/** DL_E_INVALID for a name that no table has, with one that is like it in the hint. */
dl_status dl_session_no_table(const dl_query *query, dl_str schema, dl_str name, dl_error *err);
/** The tables that a plan names (and `dialect` travels to), as views. `out_at`: byte of the given
 * statement, or SIZE_MAX. */
DL_NODISCARD dl_status dl_session_bind(dl_query *query, const dl_dialect *dialect,
                                       const dl_plan *plan, dl_arena *arena,
                                       dl_query_read **out_reads, size_t *out_count, size_t *out_at,
                                       dl_error *err);
/** SELECTs that stand for DESCRIBE t and for the table behind SHOW TABLES. */
DL_NODISCARD dl_status dl_session_describe(dl_query *query, dl_str subject, dl_buf *sql,
                                           dl_error *err);
DL_NODISCARD dl_status dl_session_list_tables(dl_query *query, dl_error *err);

/** Line and column of a byte of a statement; SIZE_MAX (and all beyond its end): nowhere. */
void dl_session_place(dl_str statement, size_t at, dl_query_place *out);

/* ---- results ---- */

/** A type taken apart, members of nested types below it. */
typedef struct dl_value_type {
    duckdb_type id;
    duckdb_type internal; /* of DECIMAL and ENUM: what holds the values */
    uint8_t scale;        /* of DECIMAL */
    bool json;            /* VARCHAR that is JSON */
    dl_str *names;        /* of a STRUCT's or UNION's members, of an ENUM's values */
    const struct dl_value_type *children;
    size_t child_count;
    uint64_t array_size; /* of ARRAY; width of DECIMAL; values of ENUM */
} dl_value_type;

/** Takes `type` (destroys it). Errors: DL_E_UNSUPPORTED (types that have no text here), DL_E_LIMIT
 * (too deep). `out_name` is SQL's spelling. */
DL_NODISCARD dl_status dl_value_type_read(const dl_engine *engine, duckdb_logical_type type,
                                          dl_arena *arena, dl_value_type *out, dl_str *out_name,
                                          dl_error *err);
dl_query_kind dl_value_kind(const dl_value_type *type);

/** A place of a vector. */
typedef struct dl_value {
    const dl_value_type *type;
    duckdb_vector vector;
    size_t row;
} dl_value;

bool dl_value_is_null(const dl_engine_api *api, const dl_value *value);
/** Text of a value that is not NULL and not nested, as a cast to VARCHAR has it. */
DL_NODISCARD dl_status dl_value_put_plain(const dl_engine_api *api, const dl_value *value,
                                          dl_buf *out, dl_error *err);
/** Any value as JSON. */
DL_NODISCARD dl_status dl_value_put_json(const dl_engine_api *api, const dl_value *value,
                                         dl_buf *out, dl_error *err);
bool dl_value_number(const dl_engine_api *api, const dl_value *value, double *out_number);

struct dl_query_result {
    dl_query *query;
    dl_arena *arena;
    dl_str statement; /* a copy */
    dl_query_column *columns;
    dl_value_type *types;
    size_t column_count;
    const dl_query_read *reads;
    size_t read_count;
    duckdb_prepared_statement prepared;
    duckdb_result rows;
    bool begun; /* `rows` is to be destroyed */
    bool ended; /* all rows given, or an error */
    dl_status error;
    uint64_t row_count;
    bool too_many; /* rows were left out of the chunk that was given last */
    /* What dl_query_next gave last; NULL: nothing. Its vectors beside it. */
    duckdb_data_chunk chunk;
    duckdb_vector *vectors;
    size_t chunk_rows; /* those given: the chunk may hold more */
};

#endif
