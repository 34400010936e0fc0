/**
 * Private to reading: the loaded libduckdb, the plan of a scan, and shredding of DuckDB's vectors.
 *
 *     duckdb.c      libduckdb: loading, the sealed database, its errors
 *     read_schema.c names and field ids of a file
 *     read_plan.c   wanted fields against what a file has: a tree of nodes, and the SELECT
 *     read_leaf.c   values of one leaf out of a vector
 *     read_shred.c  a chunk's vectors to entries of all leaves
 *     read.c        the public calls
 */
#ifndef DL_COLUMNAR_READ_H
#define DL_COLUMNAR_READ_H

#include "columnar/columnar.h"

#include <duckdb.h>

/* ---- libduckdb ---- */

/* The functions that we use: duckdb_NAME. */
#define DL_DUCKDB_FUNCTIONS(X)                                                                     \
    X(library_version)                                                                             \
    X(create_config)                                                                               \
    X(set_config)                                                                                  \
    X(destroy_config)                                                                              \
    X(open_ext)                                                                                    \
    X(close)                                                                                       \
    X(connect)                                                                                     \
    X(disconnect)                                                                                  \
    X(free)                                                                                        \
    X(query)                                                                                       \
    X(destroy_result)                                                                              \
    X(result_error)                                                                                \
    X(result_error_type)                                                                           \
    X(prepare)                                                                                     \
    X(destroy_prepare)                                                                             \
    X(prepare_error)                                                                               \
    X(prepared_statement_column_count)                                                             \
    X(prepared_statement_column_name)                                                              \
    X(prepared_statement_column_logical_type)                                                      \
    X(pending_prepared_streaming)                                                                  \
    X(pending_execute_task)                                                                        \
    X(pending_error)                                                                               \
    X(destroy_pending)                                                                             \
    X(execute_pending)                                                                             \
    X(fetch_chunk)                                                                                 \
    X(destroy_data_chunk)                                                                          \
    X(data_chunk_get_size)                                                                         \
    X(data_chunk_get_vector)                                                                       \
    X(vector_get_data)                                                                             \
    X(vector_get_validity)                                                                         \
    X(list_vector_get_child)                                                                       \
    X(struct_vector_get_child)                                                                     \
    X(get_type_id)                                                                                 \
    X(decimal_width)                                                                               \
    X(decimal_scale)                                                                               \
    X(decimal_internal_type)                                                                       \
    X(list_type_child_type)                                                                        \
    X(map_type_key_type)                                                                           \
    X(map_type_value_type)                                                                         \
    X(struct_type_child_count)                                                                     \
    X(struct_type_child_name)                                                                      \
    X(struct_type_child_type)                                                                      \
    X(destroy_logical_type)

typedef struct dl_duckdb {
#define DL_DUCKDB_MEMBER(name) __typeof__(duckdb_##name) *name;
    DL_DUCKDB_FUNCTIONS(DL_DUCKDB_MEMBER)
#undef DL_DUCKDB_MEMBER
} dl_duckdb;

/** A connection of one scan; `{0}` is none. */
typedef struct dl_duckdb_session {
    const dl_duckdb *api;
    dl_columnar_engine *engine;
    duckdb_connection connection;
    bool broken; /* DuckDB met an error of its own */
} dl_duckdb_session;

/** Starts the engine's database if it does not run yet. */
DL_NODISCARD dl_status dl_duckdb_session_open(dl_columnar_engine *engine,
                                              dl_duckdb_session *out_session, dl_error *err);
void dl_duckdb_session_close(dl_duckdb_session *session);

/** What DuckDB said about `location`, without anything that may come out of its rows. `text` may
 * be NULL; `type` DUCKDB_ERROR_INVALID: told by the beginning of the text. */
dl_status dl_duckdb_error(dl_duckdb_session *session, duckdb_error_type type, const char *text,
                          dl_str location, dl_error *err);

/** Appends the call that reads a file, `function('location'options)`, with no character of the
 * location special. */
DL_NODISCARD dl_status dl_duckdb_call(dl_buf *sql, const char *function, dl_str location,
                                      const char *options, dl_error *err);

/** The text of a VARCHAR or BLOB; it lives in the vector. */
static inline dl_str dl_duckdb_text(const duckdb_string_t *text)
{
    uint32_t length = text->value.inlined.length;
    bool inlined = length <= sizeof(text->value.inlined.inlined);
    return (dl_str){inlined ? text->value.inlined.inlined : text->value.pointer.ptr, length};
}

/* ---- names and field ids ---- */

typedef struct dl_read_schema_node {
    dl_str name;
    int64_t child_count;
    int64_t field_id; /* -1: none */
    bool repeated;
    size_t end; /* the first node after its subtree */
} dl_read_schema_node;

/** A file's schema as it stands in its footer, depth first, the root at 0. `{0}` is "not known". */
typedef struct dl_read_schema {
    dl_read_schema_node *nodes;
    size_t count;
} dl_read_schema;

#define DL_READ_NO_NODE SIZE_MAX

DL_NODISCARD dl_status dl_read_schema_load(dl_duckdb_session *session, dl_str location,
                                           dl_arena *arena, dl_read_schema *schema, dl_error *err);
/** The `index`-th child of a node; DL_READ_NO_NODE where there is none. */
size_t dl_read_schema_child(const dl_read_schema *schema, size_t parent, size_t index);
/** The element of a list, in its two and in its three levels. */
size_t dl_read_schema_element(const dl_read_schema *schema, size_t list);

/* ---- the plan of a scan ---- */

typedef enum dl_read_kind {
    DL_READ_MISSING, /* the file has no such thing: NULL */
    DL_READ_LEAF,
    DL_READ_JSON, /* a leaf whose text is a column of the result of its own */
    DL_READ_STRUCT,
    DL_READ_LIST,
    DL_READ_MAP,
} dl_read_kind;

/** A wanted field, and where its values come from. */
typedef struct dl_read_node {
    const dl_columnar_field *field;
    dl_read_kind kind;
    bool required; /* adds no definition level */
    uint8_t rep;   /* repetition level of its entries; a list's elements have one more */
    uint8_t def;   /* definition level when it is there */
    size_t first_leaf, leaf_count;
    size_t
        source; /* member of the parent's vector; at the top, and for JSON: column of the result */
    duckdb_type from;   /* LEAF: the type of the vector's values, DECIMAL by its integers */
    uint8_t from_scale; /* LEAF, from DECIMAL */
    struct dl_read_node *children; /* STRUCT: one a member; LIST: the element; MAP: key, value */
    size_t child_count;
} dl_read_node;

typedef struct dl_read_plan {
    dl_read_node *columns; /* one a wanted field */
    size_t column_count;
    dl_columnar_leaf *leaves;
    size_t leaf_count;
    bool repeated; /* some leaf is in a list or map */
    dl_buf sql;    /* the SELECT, NUL-terminated; column 0 of its result is the row number */
} dl_read_plan;

enum { DL_READ_SQL_LIMIT_BYTES = 16 << 20 };

/** Compares what is wanted with what the file has. The plan's nodes live in `arena`. */
DL_NODISCARD dl_status dl_read_plan_make(dl_duckdb_session *session, const dl_columnar_scan *scan,
                                         dl_arena *arena, dl_read_plan *plan, dl_error *err);

/** Whether values of a file's leaf can be read as the wanted field, perhaps widened. */
bool dl_read_leaf_fits(const dl_columnar_field *field, duckdb_type from, uint8_t from_width,
                       uint8_t from_scale);

/* ---- shredding ---- */

/* Entries of one leaf in one batch; reaching it is DL_E_LIMIT only when the batch is one row. */
enum { DL_READ_ENTRY_LIMIT = 1 << 22 };

/** A place in a vector, or that there is none, with the levels that led to it. */
typedef struct dl_read_slot {
    uint32_t at; /* DL_READ_NOTHING: NULL above */
    uint8_t rep, def;
} dl_read_slot;

#define DL_READ_NOTHING UINT32_MAX

typedef struct dl_read_slots {
    dl_read_slot *slots;
    size_t count, cap;
} dl_read_slots;

/** Entries under construction. */
typedef struct dl_read_leaf {
    uint8_t *rep, *def;
    dl_columnar_value *values;
    size_t count, cap;
    char *text; /* decimals of more than 18 digits, DL_READ_DECIMAL_SIZE each */
    size_t text_cap;
} dl_read_leaf;

enum { DL_READ_DECIMAL_SIZE = 48 };

typedef struct dl_read_shredder {
    const dl_duckdb *api;
    const dl_read_plan *plan;
    dl_read_leaf *leaves;
    dl_columnar_entries *entries;                      /* what a batch shows of `leaves` */
    dl_read_slots levels[DL_COLUMNAR_DEPTH_LIMIT + 1]; /* one a level of nesting */
} dl_read_shredder;

DL_NODISCARD dl_status dl_read_shredder_init(dl_read_shredder *shredder, const dl_duckdb *api,
                                             const dl_read_plan *plan, dl_error *err);
void dl_read_shredder_clear(dl_read_shredder *shredder);

/** Entries of the rows first <= n < first + count of a chunk into `leaves` and `entries`.
 * Errors: DL_E_LIMIT (more than DL_READ_ENTRY_LIMIT entries of a leaf), DL_E_CORRUPT. */
DL_NODISCARD dl_status dl_read_shred(dl_read_shredder *shredder, duckdb_data_chunk chunk,
                                     size_t first, size_t count, dl_error *err);

/** Values of the slots out of a vector: `leaf->values` where a slot is there, and its `def` raised
 * by one where the value is (not if the node is required: then NULL is DL_E_CORRUPT). */
DL_NODISCARD dl_status dl_read_leaf_values(const dl_duckdb *api, const dl_read_node *node,
                                           duckdb_vector vector, const dl_read_slots *slots,
                                           dl_read_leaf *leaf, dl_error *err);

#endif
