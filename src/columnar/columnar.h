/**
 * Columnar: typed rows to Parquet and back. The only module that knows Parquet;
 * `query` knows DuckDB too.
 *
 * A row is *shredded* (Dremel): every leaf column gets entries of (repetition level, definition
 * level, value), as in the file itself. Writing takes such entries, reading gives them, so a row
 * that is copied from file to file is never assembled. A flat column has one entry a row with
 * repetition 0; `definition == max_definition` means that the value is there, less means NULL at
 * that depth of nesting.
 *
 *     map<string, struct<vr: string, Value: array<string>>>   leaf            max rep, max def
 *       metadata.key_value.key                                key             1, 2
 *       metadata.key_value.value.vr                           vr              1, 4
 *       metadata.key_value.value.Value.list.element           element         2, 6
 *
 * (every node optional but a map's key; a list or map adds one definition level for "has an
 * entry".)
 *
 * Writing is our own (page V1, zstd or snappy or plain, dictionary where it pays, one thread,
 * memory bounded by one row group); reading goes through libduckdb. Why: docs/decisions/0008.
 *
 * Thread: a writer and a scan are confined; an engine is locked.
 * Standard: Apache Parquet format 2.x as the Delta protocol uses it.
 */
#ifndef DL_COLUMNAR_COLUMNAR_H
#define DL_COLUMNAR_COLUMNAR_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/str.h"

/* ---- schema ---- */

typedef enum dl_columnar_type {
    DL_COLUMNAR_STRING, /* UTF-8 */
    DL_COLUMNAR_BINARY,
    DL_COLUMNAR_BOOL,
    DL_COLUMNAR_INT8, /* stored as int32, as all below */
    DL_COLUMNAR_INT16,
    DL_COLUMNAR_INT32,
    DL_COLUMNAR_INT64,
    DL_COLUMNAR_FLOAT,
    DL_COLUMNAR_DOUBLE,
    DL_COLUMNAR_DECIMAL,   /* up to 18 digits in `i`, unscaled; up to 38: text in `s` (reading) */
    DL_COLUMNAR_DATE,      /* days since 1970-01-01 */
    DL_COLUMNAR_TIMESTAMP, /* microseconds since 1970 UTC; isAdjustedToUTC = true */
    DL_COLUMNAR_TIMESTAMP_NTZ, /* microseconds; isAdjustedToUTC = false */
    DL_COLUMNAR_STRUCT,
    DL_COLUMNAR_LIST, /* one child: the element */
    DL_COLUMNAR_MAP,  /* two children: key, value */
} dl_columnar_type;

enum { DL_COLUMNAR_DEPTH_LIMIT = 32, DL_COLUMNAR_LEAF_LIMIT = 4096 };

/** A node of the schema tree; trees are borrowed and immutable. */
typedef struct dl_columnar_field {
    dl_str name;
    dl_columnar_type type;
    bool required;            /* no definition level of its own (map keys always are) */
    int32_t field_id;         /* Parquet field_id; 0: none */
    uint8_t precision, scale; /* DECIMAL */
    bool as_json; /* reading: whatever the file has there, as its JSON text; type is STRING */
    const struct dl_columnar_field *children;
    size_t child_count;
} dl_columnar_field;

/** A leaf of a schema, in depth-first order. */
typedef struct dl_columnar_leaf {
    const dl_columnar_field *field;
    size_t column; /* index of the top-level field it belongs to */
    uint8_t max_rep, max_def;
} dl_columnar_leaf;

/** Errors: DL_E_INVALID (a list without element and the like), DL_E_LIMIT (depth, leaves). */
DL_NODISCARD dl_status dl_columnar_leaves(const dl_columnar_field *fields, size_t field_count,
                                          dl_arena *arena, dl_columnar_leaf **out_leaves,
                                          size_t *out_count, dl_error *err);

/** One value; which member counts says the leaf's type. */
typedef union dl_columnar_value {
    int64_t i; /* BOOL, INTn, DECIMAL, DATE, TIMESTAMP* */
    double d;  /* FLOAT, DOUBLE */
    dl_str s;  /* STRING, BINARY */
} dl_columnar_value;

/* ---- writing ---- */

enum {
    /* What one row may bring in one leaf: bytes of texts, and 4 to 8 for each entry besides. */
    DL_COLUMNAR_ROW_LIMIT_BYTES = 128 << 20,
    DL_COLUMNAR_ROW_GROUP_LIMIT_BYTES = 1 << 30,   /* of row_group_limit_bytes */
    DL_COLUMNAR_STRING_STAT_LIMIT_BYTES = 1 << 16, /* of string_stat_limit_bytes */
};

typedef enum dl_columnar_codec {
    DL_COLUMNAR_ZSTD,
    DL_COLUMNAR_SNAPPY, /* for checkpoints: what every reader takes */
    DL_COLUMNAR_PLAIN,
} dl_columnar_codec;

typedef struct dl_columnar_writer dl_columnar_writer;

typedef struct dl_columnar_writer_options {
    const dl_columnar_field *fields; /* borrowed until the writer is destroyed, names and all */
    size_t field_count;
    dl_columnar_codec codec;
    int zstd_level;               /* 0: 1 */
    size_t row_group_rows;        /* 0: 8192 */
    size_t row_group_limit_bytes; /* a group is closed when its raw values reach this; 0: 64 MiB */
    size_t string_stat_limit_bytes; /* how much of a string min/max is kept; 0: 512 */
    /* The file, piece after piece, in order. Borrowed until it returns. */
    dl_status (*write)(void *context, dl_bytes piece, dl_error *err);
    void *context;
    dl_str created_by; /* empty: "dicomlake" */
} dl_columnar_writer_options;

/** What is known of one leaf over the whole file. */
typedef struct dl_columnar_stat {
    int64_t null_count; /* entries without a value */
    bool has_range;     /* some value was there, and its type has an order (not BOOL, BINARY) */
    bool has_nan;       /* FLOAT, DOUBLE: left out of the range */
    dl_columnar_value min, max; /* strings: by UTF-8 bytes, owned by the writer */
    bool min_cut, max_cut;      /* the string went on beyond string_stat_limit_bytes; what is kept
                                 * may then end within a character */
} dl_columnar_stat;

typedef struct dl_columnar_summary {
    int64_t row_count;
    uint64_t size_bytes;
    const dl_columnar_stat *stats; /* one a leaf; the writer's */
    size_t leaf_count;
} dl_columnar_summary;

/** Errors: DL_E_INVALID (schema, an option beyond its limit), DL_E_LIMIT (depth, leaves),
 * DL_E_UNSUPPORTED (decimals of more than 18 digits). */
DL_NODISCARD dl_status dl_columnar_writer_create(const dl_columnar_writer_options *options,
                                                 dl_columnar_writer **out_writer, dl_error *err);
/** Also in the middle of a file; what `write` got is then no Parquet file. */
void dl_columnar_writer_destroy(dl_columnar_writer *writer);
DL_DEFINE_AUTO(dl_columnar_writer)

/**
 * One entry of a leaf. Values are copied. Failures are kept and come out of dl_columnar_row_end.
 * Entries of a row come leaf by leaf in any order; the first of a row has rep 0, and each leaf must
 * get at least one entry a row. put_null is for a definition level that is not full.
 *
 * put_int: BOOL is 0 or 1; a value that its type cannot hold is DL_E_INVALID.
 * put_double: FLOAT is rounded to single precision.
 * put_str: a STRING must be well-formed UTF-8; the writer does not look. What one row may bring is
 * DL_COLUMNAR_ROW_LIMIT_BYTES, beyond is DL_E_LIMIT.
 */
void dl_columnar_put_null(dl_columnar_writer *w, size_t leaf, unsigned rep, unsigned def);
void dl_columnar_put_int(dl_columnar_writer *w, size_t leaf, unsigned rep, int64_t value);
void dl_columnar_put_double(dl_columnar_writer *w, size_t leaf, unsigned rep, double value);
void dl_columnar_put_str(dl_columnar_writer *w, size_t leaf, unsigned rep, dl_str value);

/**
 * Ends a row; writes the row group out when it is full. After a failure each further call gives the
 * same error, and nothing more is written.
 * Errors: what a put or `write` met; DL_E_NOMEM; DL_E_LIMIT (a footer of more than 64 MiB).
 * DL_ASSERT that every leaf got its entries.
 */
DL_NODISCARD dl_status dl_columnar_row_end(dl_columnar_writer *w, dl_error *err);
/** Rows so far: the position that the next row gets. */
int64_t dl_columnar_writer_rows(const dl_columnar_writer *w);
/** Writes the last group and the footer. No put after it. Errors: as dl_columnar_row_end. */
DL_NODISCARD dl_status dl_columnar_writer_finish(dl_columnar_writer *w,
                                                 dl_columnar_summary *out_summary, dl_error *err);

/* ---- reading ---- */

/** DuckDB in this process, without a database file, sealed: no network, no extension loading. */
typedef struct dl_columnar_engine dl_columnar_engine;

typedef struct dl_columnar_engine_options {
    size_t memory_limit_bytes; /* 0: 256 MiB */
    unsigned threads;          /* 0: 1 */
    const char *temp_folder;   /* for what does not fit; NULL: none, then DL_E_LIMIT */
} dl_columnar_engine_options;

/** Opens nothing yet: libduckdb starts with the first scan. */
DL_NODISCARD dl_status dl_columnar_engine_create(const dl_columnar_engine_options *options,
                                                 dl_columnar_engine **out_engine, dl_error *err);
void dl_columnar_engine_destroy(dl_columnar_engine *engine);
DL_DEFINE_AUTO(dl_columnar_engine)
/** "v1.5.5" */
const char *dl_columnar_engine_version(void);
/** libduckdb as dlopen gives it, for `query`; loaded once and kept. Errors: DL_E_UNAVAILABLE. */
void *dl_columnar_library(dl_error *err);

/** Entries of one leaf in one batch. */
typedef struct dl_columnar_entries {
    size_t count;
    const uint8_t *rep; /* NULL when the leaf's max_rep is 0: then entry i is row i */
    const uint8_t *def;
    const dl_columnar_value *values; /* defined where def == max_def */
} dl_columnar_entries;

typedef struct dl_columnar_batch {
    size_t row_count;
    const int64_t *row_numbers;        /* 0-based physical positions in the file, ascending */
    const dl_columnar_entries *leaves; /* one a leaf of the wanted fields, depth first */
    size_t leaf_count;
} dl_columnar_batch;

typedef struct dl_columnar_scan {
    dl_str location;                 /* as dl_store_location gives it: an absolute path */
    const dl_columnar_field *fields; /* what is wanted, in this order */
    size_t field_count;
    /* How wanted fields find the file's columns: by name (exact first, then without case; also in
     * structs), or by field_id where by_field_id is set. A column that the file lacks is NULL; one
     * of a narrower type is widened (Delta type widening: byte..long, float, double, date to
     * timestamp_ntz, decimal); any other difference is DL_E_UNSUPPORTED. */
    bool by_field_id;
    int64_t first_row, end_row; /* physical rows first <= n < end; end 0: all */
    dl_cancel *cancel;
} dl_columnar_scan;

/**
 * Read a file batch by batch, rows in file order. The batch lives until `visit` returns. Timestamps
 * of all units come as microseconds, rounded down; INT96 as UTC; no zone and UTC pass for each
 * other. as_json works at the top and in structs, not inside of lists and maps; dates in it are
 * "2020-01-31", timestamps "2020-01-31 08:00:00.5+00", without "+00" where they have no zone.
 * Errors: DL_E_NOT_FOUND (no such file), DL_E_CORRUPT (not Parquet, damaged), DL_E_UNSUPPORTED
 * (types), DL_E_LIMIT (memory), DL_E_CANCELED, or what `visit` returned.
 */
DL_NODISCARD dl_status dl_columnar_read(dl_columnar_engine *engine, const dl_columnar_scan *scan,
                                        dl_status (*visit)(void *context,
                                                           const dl_columnar_batch *batch,
                                                           dl_error *err),
                                        void *context, dl_error *err);

/** Rows of a file by its footer. */
DL_NODISCARD dl_status dl_columnar_row_count(dl_columnar_engine *engine, dl_str location,
                                             int64_t *out_rows, dl_error *err);

#endif
