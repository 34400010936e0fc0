/**
 * What the files of the module share. Each part below has one file or a few of its own:
 *
 *     dialect.c, dialect_*.c     pure: text to text
 *     plan.c, plan_*.c           pure: the parser's JSON tree to what a statement reads
 *     prune.c                    pure: conditions against a file's statistics and partition values
 *     snapshot.c, snapshot_*.c   Delta tables opened, versions picked, views made
 *     functions/                 scalar functions and macros, put into each session
 *     engine.h, engine.c         libduckdb: loading, the database, its errors in our words
 *     session.c, result.c        the public calls
 *     output/                    results written: table, CSV, JSON, Arrow, Parquet, charts
 *     seal.c, seal_calls.c       what the process may still do
 */
#ifndef DL_QUERY_INTERNAL_H
#define DL_QUERY_INTERNAL_H

#include "query/engine.h"
#include "query/query.h"

/* ---- dialect: pure ---- */

/** Where pieces of the written text came from, to lead an error's place back. */
typedef struct dl_dialect_piece {
    size_t from, to; /* byte in what was given, byte in what is run */
} dl_dialect_piece;

/** "name VERSION AS OF 3": the table is asked by an internal name that is unique in the
 * statement. */
typedef struct dl_dialect_travel {
    dl_str table;    /* as written, unquoted; the last part of a dotted name */
    dl_str schema;   /* the part before; empty */
    dl_str internal; /* what stands in `sql` instead */
    int64_t version; /* -1: by time */
    int64_t timestamp_us;
    size_t at; /* byte in what was given */
} dl_dialect_travel;

typedef enum dl_dialect_statement {
    DL_DIALECT_SELECT,   /* SELECT, WITH, VALUES, FROM, TABLE, PIVOT, DESCRIBE SELECT, SUMMARIZE ...
                          */
    DL_DIALECT_EXPLAIN,  /* `sql` is the statement that is explained */
    DL_DIALECT_SHOW,     /* SHOW TABLES: `sql` is a SELECT over dl_tables (internal) */
    DL_DIALECT_DESCRIBE, /* DESCRIBE t: `subject` */
    DL_DIALECT_EMPTY,    /* nothing but comments */
} dl_dialect_statement;

typedef struct dl_dialect {
    dl_dialect_statement kind;
    dl_str sql; /* DuckDB's spelling, without a final ';' */
    dl_str subject;
    const dl_dialect_piece *pieces; /* ascending in `to` */
    size_t piece_count;
    const dl_dialect_travel *travels;
    size_t travel_count;
} dl_dialect;

/**
 * One statement from Spark's or DuckDB's spelling. Everything that is no question is refused here
 * by its first word (DL_E_DENIED: COPY, ATTACH, INSTALL, LOAD, SET, PRAGMA, CREATE, INSERT, ...),
 * a second statement too. Words of Spark without an equal: DL_E_UNSUPPORTED, the hint says what to
 * write instead (LATERAL VIEW explode -> unnest ...). An open quote or comment, a broken VERSION AS
 * OF: DL_E_INVALID.
 */
DL_NODISCARD dl_status dl_dialect_read(dl_str statement, dl_arena *arena, dl_dialect *out,
                                       size_t *out_at, dl_error *err);
/** The byte of the given text that a byte of `sql` came from. */
size_t dl_dialect_source(const dl_dialect *dialect, size_t to);
/** Statements of a script, cut at their ';' (not inside quotes and comments): the next one, or
 * false. `rest` moves on. */
bool dl_dialect_next_statement(dl_str *rest, dl_str *out_statement);
/** Whether more lines have to come before it can be run (no ';' yet, an open quote). */
bool dl_dialect_is_open(dl_str text);

/* ---- plan: pure ---- */

typedef enum dl_plan_operator {
    DL_PLAN_EQ,
    DL_PLAN_LT,
    DL_PLAN_LE,
    DL_PLAN_GT,
    DL_PLAN_GE,
    DL_PLAN_IN
} dl_plan_operator;

/** What a constant is. The engine brings it and the column to one type before it compares them, so
 * that only some pairs may be compared by statistics. */
typedef enum dl_plan_constant {
    DL_PLAN_TEXT,        /* '...': cast to the column's type, whatever that is */
    DL_PLAN_NUMBER,      /* a column of text is cast to a number: no order of its texts helps */
    DL_PLAN_BOOL,        /* "t" or "f" */
    DL_PLAN_DATE,        /* text of DATE '...' */
    DL_PLAN_TIMESTAMP,   /* text of TIMESTAMP '...': a column of dates is cast to it */
    DL_PLAN_TIMESTAMPTZ, /* text of TIMESTAMPTZ '...' */
    DL_PLAN_BYTES,       /* bounds made from LIKE 'prefix%': of columns of text alone, compared byte
                            by byte; maybe not UTF-8 */
} dl_plan_constant;

/** A condition that every row of the answer fulfils: column OP value (IN: any of the values). A
 * row whose column is NULL never does. */
typedef struct dl_plan_condition {
    dl_str column; /* as written */
    dl_plan_operator op;
    dl_plan_constant constant; /* of all values */
    const dl_str *values;      /* text of constants, as a CSV cell would have it */
    size_t value_count;
} dl_plan_condition;

/** A table that the statement names. */
typedef struct dl_plan_table {
    dl_str name, schema, alias;
    size_t at; /* byte in `sql` */
    /* Conditions that may leave out files; none when the table is named twice (in whatever schema),
     * or where a condition's column could be another table's. */
    const dl_plan_condition *conditions;
    size_t condition_count;
} dl_plan_table;

typedef struct dl_plan {
    const dl_plan_table *tables; /* each once; names of WITH are no tables */
    size_t table_count;
    const dl_str *spark; /* Spark's functions that are called: dl_functions_define_spark */
    size_t spark_count;
} dl_plan;

/**
 * From the tree that json_serialize_sql gives. Table functions other than ours and those that read
 * nothing (range, generate_series, unnest, ...) and scalar functions that reach out of the
 * statement (getenv, ...) are DL_E_DENIED with their place; what the tree holds and we do not know
 * is denied too.
 */
DL_NODISCARD dl_status dl_plan_read(dl_str tree, dl_arena *arena, dl_plan *out, size_t *out_at,
                                    dl_error *err);

/* ---- prune: pure ---- */

/** Whether a row of `file` may fulfil all conditions, by its partition values and statistics; true
 * when in doubt (no statistics, shortened texts, types that do not compare). */
bool dl_prune_may_hold(const dl_delta_table *table, const dl_delta_file *file,
                       const dl_plan_condition *conditions, size_t count);

/* ---- snapshot ---- */

typedef struct dl_snapshots dl_snapshots; /* of a session: stores, opened tables */

/** What one statement reads of one table. */
typedef struct dl_snapshot_want {
    const dl_query_table *table;
    dl_str view;          /* name of the view to make */
    int64_t version;      /* -1 */
    int64_t timestamp_us; /* INT64_MIN: not by time */
    bool travels;         /* a version or time was asked for: not made consistent with the others */
    const dl_plan_condition *conditions;
    size_t condition_count;
} dl_snapshot_want;

DL_NODISCARD dl_status dl_snapshots_create(const dl_query_options *options,
                                           dl_snapshots **out_snapshots, dl_error *err);
void dl_snapshots_destroy(dl_snapshots *snapshots);
DL_DEFINE_AUTO(dl_snapshots)
/**
 * Opens the tables (again), picks versions (those of one set at one watermark), and makes one
 * temporary view for each want; `out_reads` (want_count items, texts in the arena) says what they
 * show. Deletion vectors, partition columns, column mapping, columns that older files lack and
 * widened types are the view's business. What the views need lives until the next call or
 * dl_snapshots_destroy. `out_want` says which want failed.
 */
DL_NODISCARD dl_status dl_snapshots_bind(dl_snapshots *snapshots, dl_engine *engine,
                                         const dl_snapshot_want *wants, size_t want_count,
                                         dl_arena *arena, dl_query_read *out_reads,
                                         size_t *out_want, dl_error *err);
/** Columns of a table at its newest version. */
DL_NODISCARD dl_status dl_snapshots_fields(dl_snapshots *snapshots, const dl_query_table *table,
                                           dl_arena *arena, dl_query_field **out_fields,
                                           size_t *out_count, dl_error *err);

/* ---- functions ---- */

typedef struct dl_functions dl_functions; /* what the functions of a session share: roots, cancel */

DL_NODISCARD dl_status dl_functions_create(const dl_query_options *options,
                                           dl_functions **out_functions, dl_error *err);
void dl_functions_destroy(dl_functions *functions);
DL_DEFINE_AUTO(dl_functions)
/** Registers all of them in a database, before it is closed off. */
DL_NODISCARD dl_status dl_functions_register(dl_functions *functions, dl_engine *engine,
                                             dl_error *err);
/** Names of our functions and Spark's, for completion and the plan's allow-list; NULL past the
 * last. */
const char *dl_functions_name(size_t i);
/** Spark's scalar functions: called by dl_functions_register. */
DL_NODISCARD dl_status dl_functions_register_spark(dl_functions *functions, dl_engine *engine,
                                                   dl_error *err);
/** Spark's functions that are macros, those that a statement names: before it is prepared. */
DL_NODISCARD dl_status dl_functions_define_spark(dl_engine *engine, const dl_plan *plan,
                                                 dl_error *err);
/** Their names; NULL past the last. Some are operators of the dialect's. */
const char *dl_functions_spark_name(size_t i);
bool dl_functions_is_spark(dl_str name);
/** The file behind a filePath: by the roots, beneath them only. False: no root has it. */
bool dl_functions_resolve(const dl_functions *functions, dl_str file_path, dl_arena *arena,
                          dl_str *out_path);

#endif
