/**
 * What the files of the snapshots share.
 *
 *     snapshot.c             the tables of a session: opened once, moved on before each statement
 *     snapshot_consistent.c  versions of a set's tables that agree
 *     snapshot_view.c        one table at one version as the SQL of a view
 *     snapshot_type.c        types of Delta in SQL (pure)
 *     snapshot_functions.c   what views ask while they run: is a row live, a file's partition value
 *     snapshot_fields.c      columns, and the DICOM attributes that they come from
 *
 * Thread: confined, but for what is bound: views read it from the engine's threads.
 */
#ifndef DL_QUERY_SNAPSHOT_H
#define DL_QUERY_SNAPSHOT_H

#include "query/internal.h"

enum {
    DL_SNAPSHOT_ARENA_BYTES = 1024 * 1024 * 1024, /* of what one statement binds */
    DL_SNAPSHOT_SQL_LIMIT_BYTES = 256 * 1024 * 1024,
};

/** A table of the session, at its newest version when it was looked at last. */
typedef struct dl_snapshot_table {
    dl_str folder; /* absolute */
    dl_store *store;
    dl_delta_table *table;
    int64_t commit_tag;     /* of the newest commit's file: a table made anew has another */
    uint64_t device, inode; /* of the folder: one that was put in its place has others */
} dl_snapshot_table;

/** The files of one read_parquet of a view: with deletion vectors, or without. */
typedef struct dl_snapshot_group {
    const dl_delta_bitmap *const *dead; /* one a file; NULL: of no file */
    const dl_str *values;               /* file by file, one a partition column; ptr NULL: NULL */
    size_t value_columns;
    size_t file_count;
} dl_snapshot_group;

/** What the views of one statement need while it runs; immutable once it is bound. */
typedef struct dl_snapshot_bound {
    dl_arena *arena;
    dl_snapshot_group *groups; /* two a want: files without deletion vectors, files with */
    size_t group_count;
    dl_delta_bitmap **bitmaps; /* to be destroyed */
    size_t bitmap_count, bitmap_room;
} dl_snapshot_bound;

struct dl_snapshots {
    dl_arena *arena; /* of the session */
    dl_columnar_engine *columnar;
    dl_clock clock;
    dl_cancel *cancel;
    dl_snapshot_table *tables; /* as many as there is room for */
    size_t table_count, table_room;
    const dl_engine_api *api; /* of the database that has our functions */
    duckdb_database registered;
    dl_snapshot_bound bound;
    dl_buf views; /* SQL that drops the views of the last statement */
};

/** The session's table, opened or moved on. `out_table` stays the session's. Errors: as
 * dl_delta_table_open, with the folder. */
DL_NODISCARD dl_status dl_snapshots_table(dl_snapshots *snapshots, const dl_query_table *table,
                                          dl_snapshot_table **out_table, dl_error *err);
/** A table at one version or time, for the caller to close. */
DL_NODISCARD dl_status dl_snapshots_open_at(const dl_snapshots *snapshots,
                                            const dl_snapshot_table *table, int64_t version,
                                            int64_t timestamp_us, dl_delta_table **out_table,
                                            dl_error *err);

/* ---- snapshot_consistent.c ---- */

/** A table of a set, and the version to read. */
typedef struct dl_snapshot_pick {
    dl_delta_table *table; /* at its newest version */
    dl_str folder;
    int64_t version;   /* out */
    int64_t watermark; /* out: what all of them hold at least; -1: the table says for itself */
} dl_snapshot_pick;

/** The newest versions that show one state of the source. Tables that no sync has marked stay at
 * their newest. Errors: DL_E_NOT_FOUND (the log does not go back as far), those of reading it;
 * `out_at` says at which pick. */
DL_NODISCARD dl_status dl_snapshot_agree(dl_snapshot_pick *picks, size_t count, size_t *out_at,
                                         dl_error *err);
/** The highest sequence of a source that the table holds; 0: it has no mark. */
int64_t dl_snapshot_watermark(const dl_delta_table *table);

/* ---- snapshot_type.c (pure) ---- */

/** SQL's type of a column as a statement sees it, or (`physical`) with the names of the files. */
DL_NODISCARD dl_status dl_snapshot_put_type(dl_buf *sql, const dl_delta_column *column,
                                            bool physical, dl_error *err);
/** The column from `source` (SQL of a value with the files' names) with the names of the schema. */
DL_NODISCARD dl_status dl_snapshot_put_renamed(dl_buf *sql, const dl_delta_column *column,
                                               dl_str source, dl_error *err);

/* ---- snapshot_view.c ---- */

/** Makes the view of one want over `table`, whose groups are the want's. */
DL_NODISCARD dl_status dl_snapshot_view(dl_snapshots *snapshots, dl_engine *engine,
                                        const dl_snapshot_want *want, size_t group,
                                        dl_delta_table *table, dl_query_read *out_read,
                                        dl_error *err);

/* ---- snapshot_functions.c ---- */

/** dl_live and dl_partition, once a database. They look at `snapshots->bound`. */
DL_NODISCARD dl_status dl_snapshot_register(dl_snapshots *snapshots, dl_engine *engine,
                                            dl_error *err);

#endif
