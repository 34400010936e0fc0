/**
 * Query: SQL over Delta tables, answered by libduckdb from the files of a snapshot.
 *
 * A `dl_query` is a session: the tables and folders that SQL may name, an engine with its limits,
 * and nothing else of the machine. A statement is one SELECT (WITH, VALUES, DESCRIBE, SHOW TABLES,
 * EXPLAIN): everything that writes, attaches, installs, sets, or reads by path is refused before
 * it runs, and the engine would refuse it too.
 *
 *     dialect    Spark's spelling to DuckDB's: back quotes, VERSION AS OF, names of functions
 *     plan       what the statement reads: tables, versions, functions, conditions on columns
 *     snapshot   a table at a version as a view over the files that the conditions leave
 *     functions  dicom_value, dicom_name, dicom_tags, file_url, ... and Spark's
 *     session    libduckdb, limits, cancel
 *     result     rows as they come, never all of them
 *     output     rows as a table, CSV, JSON, Markdown, HTML, Arrow, Parquet
 *     chart      rows as an SVG chart
 *     seal       the process gives up the rest of the machine
 *
 * Tables are found without regard to case. Inside one statement the tables of one set are read at
 * one watermark, unless it says VERSION AS OF or TIMESTAMP AS OF. A version that was picked stays
 * for the statement, whatever others commit meanwhile.
 *
 * Values of rows never reach an error; the statement's own text may (it is the asker's), so
 * errors of statements go to the asker and never to a log.
 *
 * Thread: confined, but for dl_query_stop (any thread).
 */
#ifndef DL_QUERY_QUERY_H
#define DL_QUERY_QUERY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "delta/delta.h"

enum {
    DL_QUERY_STATEMENT_LIMIT_BYTES = 1024 * 1024,
    DL_QUERY_TABLE_LIMIT = 1000, /* of a session */
    DL_QUERY_NAME_LIMIT = 255,   /* bytes of a table's name */
    DL_QUERY_STUCK_MS = 800,     /* see dl_query_options.stuck */
};

/** A Delta table under a name of one's own. */
typedef struct dl_query_table {
    dl_str name;   /* unique without regard to case */
    dl_str schema; /* "lakehouse" of lakehouse.table; empty: only by its name */
    dl_str folder; /* absolute path of the table's folder */
    dl_str set;    /* tables with the same text are read at one watermark; empty: for itself */
    dl_str broken; /* why it cannot be read; empty: it can. Naming it is an error that says so */
} dl_query_table;

/** A folder with DICOM files that filePath leads to. */
typedef struct dl_query_root {
    dl_str name;   /* of the shortcut */
    dl_str folder; /* absolute, e.g. ".../AHDS" or any child of it: where the end of the folder's
                      path equals the beginning of a filePath, they are one */
} dl_query_root;

typedef struct dl_query_limits {
    uint64_t memory_bytes; /* 0: 1 GiB */
    uint64_t temp_bytes;   /* written to temp_folder; 0: none is written */
    uint64_t rows;         /* of a result; 0: no bound. One more is DL_E_LIMIT */
    uint32_t time_ms;      /* of a statement, to its last row; 0: no bound */
    uint32_t threads;      /* 0: as there are processors */
} dl_query_limits;

typedef struct dl_query_options {
    const dl_query_table *tables; /* copied, as all texts below */
    size_t table_count;
    const dl_query_root *roots;
    size_t root_count;
    dl_str no_tables; /* what to do when there are none, for the hint; empty: just said so */
    dl_query_limits limits;
    const char *temp_folder; /* for what does not fit into memory; NULL: none */
    dl_clock clock;
    dl_cancel *cancel; /* looked at while a statement runs; may be NULL */
    /* Called once from another thread when a statement that shall end (stopped, cancelled, out of
     * time) has not done so after DL_QUERY_STUCK_MS: the engine looks up between batches of rows,
     * and one call of a function on one hostile value may take minutes. Nothing but the end of the
     * process helps then. NULL: it is waited for. */
    void (*stuck)(void *context);
    void *stuck_context;
} dl_query_options;

typedef struct dl_query dl_query;

/** Opens no table yet. Errors: DL_E_UNAVAILABLE (no libduckdb), DL_E_INVALID (two tables of one
 * name, a relative folder), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_query_open(const dl_query_options *options, dl_query **out_query,
                                     dl_error *err);
void dl_query_close(dl_query *query);
static inline DL_UNUSED void dl_query_closep(dl_query **query)
{
    dl_query_close(*query);
}
#define DL_AUTO_QUERY DL_CLEANUP(dl_query_closep) dl_query *

/** Any thread: the statement under way, from dl_query_run's first step to its result's end, ends
 * with DL_E_CANCELED within a second. Between two statements it is for none. */
void dl_query_stop(dl_query *query);

/* ---- where a statement is wrong ---- */

typedef struct dl_query_place {
    size_t at; /* byte of the statement as it was given; SIZE_MAX: nowhere in particular */
    uint32_t line, column; /* from 1, column in code points */
} dl_query_place;

/** "LINE\n    ^" of a place: the line of the statement (shortened round the place) and a caret;
 * empty when the place is nowhere. */
DL_NODISCARD dl_status dl_query_show_place(dl_str statement, const dl_query_place *place,
                                           dl_buf *out, dl_error *err);

/* ---- results ---- */

typedef struct dl_query_result dl_query_result;

/** What values of a column are, for those who lay them out. */
typedef enum dl_query_kind {
    DL_QUERY_BOOL,
    DL_QUERY_INTEGER, /* up to HUGEINT */
    DL_QUERY_NUMBER,  /* FLOAT, DOUBLE, DECIMAL */
    DL_QUERY_TEXT,
    DL_QUERY_BINARY, /* hexadecimal as text */
    DL_QUERY_DATE,
    DL_QUERY_TIME,
    DL_QUERY_TIMESTAMP, /* with and without zone */
    DL_QUERY_NESTED,    /* LIST, STRUCT, MAP: JSON as text */
    DL_QUERY_OTHER,
} dl_query_kind;

typedef struct dl_query_column {
    dl_str name;
    dl_str type; /* as DuckDB spells it: "BIGINT", "MAP(VARCHAR, VARCHAR)" */
    dl_query_kind kind;
} dl_query_column;

/** What a statement read. */
typedef struct dl_query_read {
    dl_str table;
    int64_t version, watermark;        /* watermark 0: unknown */
    int64_t file_count, files_skipped; /* of the snapshot; those left out by the log alone */
    int64_t row_count;                 /* of the snapshot; -1: unknown */
} dl_query_read;

/**
 * Begin a statement. The result borrows from the session; one at a time.
 *
 * Errors, with `out_place` (may be NULL) where the statement is wrong: DL_E_INVALID (syntax, names,
 * types: what is there instead is in the hint), DL_E_DENIED (what SQL may not do here),
 * DL_E_NOT_FOUND (no such version; a table's folder is gone; a file is gone: "vacuumed"),
 * DL_E_UNSUPPORTED (a table with a feature that we cannot read, by its name; Spark's words that
 * have no equal here), DL_E_LIMIT (memory, time), DL_E_CANCELED.
 */
DL_NODISCARD dl_status dl_query_run(dl_query *query, dl_str statement, dl_query_result **out_result,
                                    dl_query_place *out_place, dl_error *err);
void dl_query_result_destroy(dl_query_result *result);
DL_DEFINE_AUTO(dl_query_result)

size_t dl_query_column_count(const dl_query_result *result);
const dl_query_column *dl_query_column_at(const dl_query_result *result, size_t i);
size_t dl_query_read_count(const dl_query_result *result);
const dl_query_read *dl_query_read_at(const dl_query_result *result, size_t i);

/** The next rows (some 2,048); 0: that was all. Errors: as dl_query_run. */
DL_NODISCARD dl_status dl_query_next(dl_query_result *result, size_t *out_rows, dl_error *err);
/* Of the rows that dl_query_next gave last: */
bool dl_query_is_null(const dl_query_result *result, size_t column, size_t row);
/** Append a value's text: numbers and times as DuckDB casts them to VARCHAR, text as it is,
 * nested values as JSON; nothing for NULL. */
DL_NODISCARD dl_status dl_query_put_text(const dl_query_result *result, size_t column, size_t row,
                                         dl_buf *out, dl_error *err);
/** As JSON: numbers, true, null, "text"; NaN and infinities as null, integers from 2^53 on and
 * decimals as text. */
DL_NODISCARD dl_status dl_query_put_json(const dl_query_result *result, size_t column, size_t row,
                                         dl_buf *out, dl_error *err);
/** False for NULL and for what is no number; dates and times in seconds since 1970. */
bool dl_query_number(const dl_query_result *result, size_t column, size_t row, double *out_number);

/* ---- scripts ---- */

/** The next statement of a script, cut at its ';' (not inside quotes and comments), or false when
 * nothing but white space and comments is left. `rest` moves on. */
bool dl_query_next_statement(dl_str *rest, dl_str *out_statement);
/** Whether more lines have to come before it can be run: no ';' yet, an open quote or comment. */
bool dl_query_is_open(dl_str text);

/* ---- names, for lists and completion ---- */

typedef struct dl_query_field {
    dl_str name, type; /* SQL's type */
    dl_str attribute;  /* keyword of the DICOM attribute it comes from; empty: none is known */
    dl_str tag;        /* "00080060"; empty */
    bool partition, nullable;
} dl_query_field;

/** Columns of a table as a statement would see them now. Errors: DL_E_NOT_FOUND (no such table),
 * those of opening it. */
DL_NODISCARD dl_status dl_query_fields(dl_query *query, dl_str table, dl_arena *arena,
                                       dl_query_field **out_fields, size_t *out_count,
                                       dl_error *err);

/** The same of a table that is open, at its version; needs no session. */
DL_NODISCARD dl_status dl_query_fields_of(const dl_delta_table *table, dl_arena *arena,
                                          dl_query_field **out_fields, size_t *out_count,
                                          dl_error *err);

/** What could stand at byte `at` of a statement under way (tables, columns of the tables named in
 * it, functions, keywords), the likeliest first; `out_from` is where the word begins. */
DL_NODISCARD dl_status dl_query_complete(dl_query *query, dl_str statement, size_t at,
                                         dl_arena *arena, dl_str **out_words, size_t *out_count,
                                         size_t *out_from, dl_error *err);

#endif
