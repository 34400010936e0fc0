/**
 * Delta: a Delta Lake table: its log read and replayed, and commits written to it.
 *
 * A `dl_delta_table` is a table at one version. It opens at the newest (or an asked-for) version
 * and moves forward with dl_delta_update(), which applies only the commits that are new: cost is in
 * proportion to them. Everything that was read from it (files, metadata) stays valid until the
 * next call that may move it (update, commit) and no longer.
 *
 * Committing is one put-if-absent of `_delta_log/<v>.json`. When somebody else took the version,
 * their commits are read and applied, the rules of conflict (conflict.c, pure) decide, and either
 * the same actions go to the next version or the caller gets DL_E_CONFLICT and plans anew: the
 * table is then at the newest version. Files and deletion vectors are durable before the commit.
 * Nothing that was ever committed is changed.
 *
 * Of the store it asks what object stores promise: put, put-if-absent, ranged get, list by prefix.
 *
 * Paths of data files are kept decoded (as file names) and are encoded in the log only.
 *
 * Thread: confined.
 * Standard: Delta transaction log protocol (delta-io/delta PROTOCOL.md); docs/delta.md says what we
 * read, write and refuse.
 */
#ifndef DL_DELTA_DELTA_H
#define DL_DELTA_DELTA_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "columnar/columnar.h"
#include "delta/bitmap.h"
#include "store/store.h"

typedef struct dl_delta_table dl_delta_table;

/* ---- what a log holds ---- */

typedef struct dl_delta_pair {
    dl_str key, value; /* value.ptr NULL: null */
} dl_delta_pair;

typedef struct dl_delta_pairs {
    const dl_delta_pair *items;
    size_t count;
} dl_delta_pairs;

typedef struct dl_delta_names {
    const dl_str *items;
    size_t count;
} dl_delta_names;

typedef struct dl_delta_protocol {
    int min_reader, min_writer;
    dl_delta_names reader_features, writer_features; /* empty below 3 / 7 */
} dl_delta_protocol;

typedef struct dl_delta_metadata {
    dl_str id, name, description; /* name, description: ptr NULL when absent */
    dl_str schema_json;
    dl_delta_names partition_columns;
    dl_delta_pairs configuration;
    int64_t created_ms;
} dl_delta_metadata;

/** Deletion vector descriptor; storage 0: none. */
typedef struct dl_delta_dv {
    char storage; /* 0, 'u', 'p' or 'i' */
    dl_str path_or_inline;
    int64_t offset; /* -1: absent */
    int32_t size_bytes;
    int64_t cardinality;
} dl_delta_dv;

/** A logical file: add or remove. */
typedef struct dl_delta_file {
    dl_str path;                     /* decoded; relative to the table, or absolute with scheme */
    dl_delta_pairs partition_values; /* by physical name */
    int64_t size_bytes;
    int64_t modified_ms;
    bool data_change;
    dl_str stats;      /* JSON text; ptr NULL: none */
    int64_t row_count; /* numRecords of stats; -1: unknown */
    dl_delta_dv dv;
    dl_delta_pairs tags;
    int64_t base_row_id, default_row_commit_version; /* -1: absent */
    /* remove only */
    int64_t deletion_ms; /* -1: absent */
} dl_delta_file;

typedef struct dl_delta_app {
    dl_str app_id;
    int64_t version;
    int64_t updated_ms; /* -1: absent */
} dl_delta_app;

typedef struct dl_delta_domain {
    dl_str domain, configuration;
    bool removed;
} dl_delta_domain;

/** commitInfo as it is shown in a history. Values are text, or JSON text where they were not. */
typedef struct dl_delta_info {
    int64_t version;
    int64_t timestamp_ms; /* in-commit timestamp where active, else commitInfo's, else the
                             file's time */
    dl_str operation;     /* ptr NULL: absent, as all below */
    dl_delta_pairs parameters, metrics;
    dl_str user_metadata, engine_info, txn_id, isolation_level;
    int64_t read_version; /* -1: absent */
    int blind_append;     /* 1, 0, or -1: absent */
    bool in_commit;       /* timestamp_ms is (or shall be written as) the in-commit timestamp */
} dl_delta_info;

/** One commit as it was read, or as we wrote it. */
typedef struct dl_delta_commit {
    dl_delta_info info;
    const dl_delta_protocol *protocol; /* NULL: not in this commit */
    const dl_delta_metadata *metadata;
    const dl_delta_app *apps;
    size_t app_count;
    const dl_delta_domain *domains;
    size_t domain_count;
    const dl_delta_file *adds, *removes;
    size_t add_count, remove_count;
    bool ours; /* made through this dl_delta_table */
} dl_delta_commit;

/* ---- opening and reading ---- */

typedef struct dl_delta_open {
    dl_store *store; /* borrowed */
    dl_str root;     /* key prefix of the table without trailing '/'; empty: the store's root */
    dl_columnar_engine *engine; /* borrowed; reads checkpoints and data */
    dl_clock clock;
    int64_t version;      /* -1: the newest */
    int64_t timestamp_us; /* INT64_MIN: not by time; else the newest version not after it */
    /* Read the commits from the first on where they are few and small, and leave the checkpoint
     * alone: the same table, without starting the Parquet reader for it. */
    bool prefer_commits;
    dl_cancel *cancel;
    /* Called for every commit that is applied to the table after it was opened, ours too, in order;
     * may be NULL. It must not call the table. */
    void (*on_commit)(void *context, const dl_delta_commit *commit);
    void *context;
} dl_delta_open;

/**
 * Errors: DL_E_NOT_FOUND (no table there; version gone or not yet; hint says which versions there
 * are), DL_E_CORRUPT (gap in the log, a line that does not parse: says version and line),
 * DL_E_UNSUPPORTED (a reader feature we do not know, by its name).
 */
DL_NODISCARD dl_status dl_delta_table_open(const dl_delta_open *options, dl_delta_table **out_table,
                                           dl_error *err);
void dl_delta_table_close(dl_delta_table *table);
static inline DL_UNUSED void dl_delta_table_closep(dl_delta_table **table)
{
    dl_delta_table_close(*table);
}
#define DL_AUTO_TABLE DL_CLEANUP(dl_delta_table_closep) dl_delta_table *

/** Move to the newest version. */
DL_NODISCARD dl_status dl_delta_update(dl_delta_table *table, dl_error *err);

int64_t dl_delta_version(const dl_delta_table *table);
/** Time of that version, as time travel sees it. */
int64_t dl_delta_timestamp_ms(const dl_delta_table *table);
const dl_delta_protocol *dl_delta_protocol_of(const dl_delta_table *table);
const dl_delta_metadata *dl_delta_metadata_of(const dl_delta_table *table);
/** ptr NULL when the property is not set. */
dl_str dl_delta_property(const dl_delta_table *table, const char *key);
/** Whether deletion vectors may be made: the feature is there and delta.enableDeletionVectors. */
bool dl_delta_makes_dvs(const dl_delta_table *table);
/** -1: the application never committed. */
int64_t dl_delta_app_version(const dl_delta_table *table, dl_str app_id);
/** The i-th of the known applications; false past the last. */
bool dl_delta_app_at(const dl_delta_table *table, size_t i, dl_delta_app *out_app);

size_t dl_delta_file_count(const dl_delta_table *table);
/** Live files, in no order, each once: start with *cursor = 0; false at the end. */
bool dl_delta_next_file(const dl_delta_table *table, size_t *cursor,
                        const dl_delta_file **out_file);
/** NULL when no live file has that path. */
const dl_delta_file *dl_delta_file_by_path(const dl_delta_table *table, dl_str path);

typedef struct dl_delta_totals {
    int64_t file_count, size_bytes;
    int64_t row_count;    /* physical rows less deleted; -1 when a file has no numRecords */
    int64_t deleted_rows; /* in deletion vectors */
    int64_t dv_count;
} dl_delta_totals;
dl_delta_totals dl_delta_totals_of(const dl_delta_table *table);

/* ---- schema ---- */

/** A column of the table; nested fields too. */
typedef struct dl_delta_column {
    dl_str name;             /* logical */
    dl_columnar_field field; /* physical: what stands in the files (column mapping), and type */
    bool nullable;
    bool partition;   /* not in the files */
    dl_str type_json; /* the type as the schema spells it */
} dl_delta_column;

/** In order of the schema; owned by the table until it moves. */
const dl_delta_column *dl_delta_columns(const dl_delta_table *table, size_t *out_count);

/**
 * The schema that results when `incoming` is merged into `current` (both schemaString): new columns
 * at the end and nullable, names without case, types equal or integers widened. `out_merged` is
 * equal to `current` when nothing is new. Errors: DL_E_INVALID naming the column and both types.
 */
DL_NODISCARD dl_status dl_delta_schema_merge(dl_str current, dl_str incoming, dl_arena *arena,
                                             dl_str *out_merged, dl_error *err);

/* ---- values in the log (pure) ---- */

/** The file's value of a partition column. `out_value` borrows the file's text. Errors:
 * DL_E_CORRUPT. */
DL_NODISCARD dl_status dl_delta_partition_value(const dl_delta_column *column,
                                                const dl_delta_file *file, bool *out_null,
                                                dl_columnar_value *out_value, dl_error *err);
/** The value that a text stands for; false: none of that type. `out` borrows the text. */
bool dl_delta_value_parse(const dl_columnar_field *field, dl_str text, dl_columnar_value *out);

/* ---- rows ---- */

/** A batch of live rows of one file. */
typedef struct dl_delta_batch {
    const dl_delta_file *file;
    size_t row_count;                  /* rows in the batch, deleted ones included */
    const int64_t *row_numbers;        /* physical */
    const bool *live;                  /* one a row: not in the deletion vector */
    const dl_columnar_entries *leaves; /* of the wanted columns, depth first; partition columns have
                                          their value in every row */
    size_t leaf_count;
} dl_delta_batch;

typedef struct dl_delta_scan {
    const dl_str *columns; /* logical top-level names; count 0: none (row numbers only) */
    size_t column_count;
    const dl_delta_file *file; /* this file only; NULL: every live file, by path */
    const dl_delta_dv *dv; /* with `file`: apply this one instead of the file's; NULL: its own */
    int64_t first_row, end_row; /* with `file`: physical rows first <= n < end; end 0: all */
    dl_cancel *cancel;
} dl_delta_scan;

/** Leaves of the wanted columns, as batches have them. */
DL_NODISCARD dl_status dl_delta_scan_leaves(const dl_delta_table *table, const dl_delta_scan *scan,
                                            dl_arena *arena, dl_columnar_leaf **out_leaves,
                                            size_t *out_count, dl_error *err);
/**
 * Errors: DL_E_NOT_FOUND naming a column that is not there, or a file that is gone ("vacuumed" in
 * the message); DL_E_CORRUPT; DL_E_UNSUPPORTED; DL_E_CANCELED; what `visit` returned.
 */
DL_NODISCARD dl_status dl_delta_read(dl_delta_table *table, const dl_delta_scan *scan,
                                     dl_status (*visit)(void *context, const dl_delta_batch *batch,
                                                        dl_error *err),
                                     void *context, dl_error *err);

/** The rows of `file` that are deleted: adds them to `out_rows`. */
DL_NODISCARD dl_status dl_delta_deleted_rows(dl_delta_table *table, const dl_delta_file *file,
                                             dl_delta_bitmap *out_rows, dl_error *err);

/* ---- writing files ---- */

/**
 * Writes one data file of one partition. Rows are put with dl_columnar_put_* on the writer of
 * dl_delta_writer_columns: leaves of the table's columns in schema order without the partition
 * columns. The rows' positions in the file are the order of putting.
 */
typedef struct dl_delta_writer dl_delta_writer;

typedef struct dl_delta_writer_options {
    dl_delta_pairs partition_values; /* by logical name, all partition columns */
    dl_str schema_json;              /* the schema to write by; empty: the table's */
    size_t row_group_rows;           /* 0: 8192 */
} dl_delta_writer_options;

DL_NODISCARD dl_status dl_delta_writer_create(dl_delta_table *table,
                                              const dl_delta_writer_options *options,
                                              dl_delta_writer **out_writer, dl_error *err);
void dl_delta_writer_destroy(dl_delta_writer *writer);
DL_DEFINE_AUTO(dl_delta_writer)
dl_columnar_writer *dl_delta_writer_columns(dl_delta_writer *writer);
/** The leaf that a logical top-level column begins with; SIZE_MAX: no such column. */
size_t dl_delta_writer_leaf(const dl_delta_writer *writer, dl_str column);
/** Ends the file: it is written but has no name in the store yet. */
DL_NODISCARD dl_status dl_delta_writer_finish(dl_delta_writer *writer, dl_error *err);

/** Rows to delete from a live file, beyond those that are deleted already. */
typedef struct dl_delta_kill {
    dl_str path;
    const dl_delta_bitmap *rows;
} dl_delta_kill;

/* ---- committing ---- */

typedef struct dl_delta_change {
    /* Provenance. Values of parameters and metrics are text. Metrics of files, bytes, rows and
     * deletion vectors (numTargetFilesAdded, numOutputRows, ...) are counted by the commit itself
     * for the operation's set; what stands here comes beside them, or in place of one of the same
     * name. */
    const char *operation; /* "MERGE", "WRITE", "OPTIMIZE", ... */
    dl_delta_pairs parameters;
    dl_delta_pairs metrics;
    dl_str user_metadata; /* ptr NULL: none */
    bool data_change;     /* false: rows only move */
    /* What changes. */
    const dl_delta_protocol *protocol;
    const dl_delta_metadata *metadata;
    const dl_delta_app *apps;
    size_t app_count;
    bool apps_go_back; /* applications may be set to an earlier version: what they did is undone */
    dl_delta_writer *const
        *writers; /* finished; each becomes an add, but for those without a live
                     row. They stay the caller's and can be committed again after
                     DL_E_CONFLICT; a file that no commit took goes with its writer */
    size_t writer_count;
    const dl_delta_bitmap *const *writer_dead; /* rows dead from the start, one a writer; NULL or
                                                  entries NULL: none (needs deletion vectors) */
    const dl_delta_kill *kills; /* become deletion vectors, or removes where every row is dead.
                                   Needs dl_delta_makes_dvs(), except where every row is dead */
    size_t kill_count;
    const dl_str *removes; /* paths of live files to remove whole */
    size_t remove_count;
    const dl_delta_file *restores; /* adds of files that exist already (restore) */
    size_t restore_count;
    /* Give up rather than go on past any foreign commit that changes data (upserts), or only past
     * those that touch the same files (optimize). */
    bool exclusive;
} dl_delta_change;

typedef struct dl_delta_result {
    int64_t version;
    int64_t files_added, files_removed, bytes_added, rows_added;
    int64_t dvs_written, dv_bytes, log_bytes; /* log: commit, checkpoint, checksum */
    int64_t tries;                            /* 1: no race */
} dl_delta_result;

/** The i-th writer's path after a successful commit. */
dl_str dl_delta_writer_path(const dl_delta_writer *writer);

/**
 * Make it durable, then visible. After DL_OK the table is at the new version.
 * Errors: DL_E_CONFLICT (table moved to the newest version: plan anew), DL_E_EXISTS (an application
 * of `apps` is at that version or further already: nothing to do), DL_E_UNSUPPORTED (a writer
 * feature by name; appendOnly), DL_E_IO (full disk: nothing visible), DL_E_UNAVAILABLE (the outcome
 * is unknown and could not be found out: open anew).
 */
DL_NODISCARD dl_status dl_delta_commit_change(dl_delta_table *table, const dl_delta_change *change,
                                              dl_delta_result *out_result, dl_error *err);

typedef struct dl_delta_create {
    dl_delta_open open;       /* version and timestamp are not used */
    dl_str name, description; /* ptr NULL: none */
    dl_str schema_json;
    dl_delta_names partition_columns;
    dl_delta_pairs configuration; /* delta.* properties beside what the mode sets */
    bool compat;                  /* protocol 1/2, copy-on-write; else 3/7 with deletion vectors */
} dl_delta_create;
/** Version 0. Errors: DL_E_EXISTS (there is a table: open it). */
DL_NODISCARD dl_status dl_delta_table_create(const dl_delta_create *options,
                                             dl_delta_table **out_table, dl_error *err);

/* ---- maintenance ---- */

/** Write a checkpoint of the current version, `_last_checkpoint`, and clean the log. Commits do it
 * by themselves every delta.checkpointInterval: a failure there does not fail the commit, it is
 * counted in the table (internal.h: maintenance_failures) and tried again with the next interval.
 */
DL_NODISCARD dl_status dl_delta_checkpoint(dl_delta_table *table, dl_error *err);
/** Delete what delta.logRetentionDuration allows, now. */
DL_NODISCARD dl_status dl_delta_clean_log(dl_delta_table *table, int64_t *out_deleted,
                                          dl_error *err);

/**
 * Copies the live rows of some files of one partition into new ones (compaction, copy-on-write).
 * It takes time and touches no log: rows that die meanwhile are carried over at the commit.
 * Creating one only reads the table: several threads may do so at once while nothing else uses the
 * table.
 */
typedef struct dl_delta_rewrite dl_delta_rewrite;

typedef struct dl_delta_rewrite_options {
    const dl_str *paths; /* live files of one partition, in the order their rows shall have */
    size_t path_count;
    const dl_delta_kill *kills; /* rows to leave out beside those that are dead (copy-on-write) */
    size_t kill_count;
    int64_t file_limit_bytes; /* target of a new file; 0: one file whatever its size */
    bool per_file;            /* a new file for each old one (copy-on-write): then they may be of
                                 several partitions; an old file that keeps no row gets none */
    dl_str user_metadata;     /* of the OPTIMIZE commit; ptr NULL: none */
    dl_cancel *cancel;
} dl_delta_rewrite_options;

DL_NODISCARD dl_status dl_delta_rewrite_create(dl_delta_table *table,
                                               const dl_delta_rewrite_options *options,
                                               dl_delta_rewrite **out_rewrite, dl_error *err);
void dl_delta_rewrite_destroy(dl_delta_rewrite *rewrite);
DL_DEFINE_AUTO(dl_delta_rewrite)

/** Where the rows of an old file are now: position p goes to `base` + (p less the dead below p) of
 * the new file. */
typedef struct dl_delta_move {
    dl_str old_path, new_path;
    int64_t base;
    int64_t first_row, end_row;  /* of the old file, physical */
    const dl_delta_bitmap *dead; /* of the old file when it was copied */
} dl_delta_move;
/** new_path is set after the commit. An old file that was split has several. */
const dl_delta_move *dl_delta_rewrite_moves(const dl_delta_rewrite *rewrite, size_t *out_count);
/** For commits that also add rows (copy-on-write): what to put into a dl_delta_change. */
dl_delta_writer *const *dl_delta_rewrite_writers(const dl_delta_rewrite *rewrite,
                                                 size_t *out_count);
/** OPTIMIZE: commit the move alone, dataChange=false, with rows that died since. */
DL_NODISCARD dl_status dl_delta_rewrite_commit(dl_delta_table *table, dl_delta_rewrite *rewrite,
                                               dl_delta_pairs parameters,
                                               dl_delta_result *out_result, dl_error *err);

typedef struct dl_delta_optimize_options {
    int64_t target_bytes; /* 0: 128 MiB */
    size_t small_limit;   /* most files below half the target in a partition; 0: 18 */
    size_t rest_limit;    /* where there are more, so many are left; 0: small_limit */
    double dead_limit;    /* share of deleted rows in a file; 0: 0.2 */
    int64_t
        heavy_limit_bytes; /* ... in a file of at least this size: smaller ones wait to be merged */
    int64_t budget_bytes;  /* most bytes to read in one plan; 0: no bound */
    bool full;             /* everything below the target, not only what is beyond the limits */
} dl_delta_optimize_options;

/** One job: files of one partition that should become one. */
typedef struct dl_delta_job {
    const dl_str *paths;
    size_t path_count;
    int64_t size_bytes;
} dl_delta_job;

/** Pure: what is worth compacting, smallest first, tier by tier, so that each row is copied at most
 * a few times in its life. Jobs live in the arena. */
DL_NODISCARD dl_status dl_delta_optimize_plan(const dl_delta_table *table,
                                              const dl_delta_optimize_options *options,
                                              dl_arena *arena, dl_delta_job **out_jobs,
                                              size_t *out_count, dl_error *err);

typedef struct dl_delta_vacuum_options {
    int64_t retention_hours; /* -1: the table's delta.deletedFileRetentionDuration */
    bool force;              /* below the property or below 168 h */
    bool dry_run;
    void (*on_file)(void *context, dl_str path, int64_t size_bytes);
    void *context;
    dl_cancel *cancel;
} dl_delta_vacuum_options;

typedef struct dl_delta_vacuum_result {
    int64_t files, bytes, folders;
} dl_delta_vacuum_result;

DL_NODISCARD dl_status dl_delta_vacuum(dl_delta_table *table,
                                       const dl_delta_vacuum_options *options,
                                       dl_delta_vacuum_result *out_result, dl_error *err);

/** Newest first, at most `limit` (0: all). */
DL_NODISCARD dl_status dl_delta_history(dl_delta_table *table, size_t limit,
                                        dl_status (*visit)(void *context, const dl_delta_info *info,
                                                           dl_error *err),
                                        void *context, dl_error *err);

/** Whole commits, the table's own version first, then the one before it and so on, until `visit`
 * sets `*out_stop`. Errors: DL_E_NOT_FOUND (it went on past the oldest commit of a cleaned log),
 * DL_E_CORRUPT, what `visit` returned. */
DL_NODISCARD dl_status dl_delta_commits_back(dl_delta_table *table,
                                             dl_status (*visit)(void *context,
                                                                const dl_delta_commit *commit,
                                                                bool *out_stop, dl_error *err),
                                             void *context, dl_error *err);

/** RESTORE: a new commit that makes the rows those of `version`; txn versions go back with them, so
 * that a sync applies again what came later. */
DL_NODISCARD dl_status dl_delta_restore(dl_delta_table *table, int64_t version,
                                        dl_delta_result *out_result, dl_error *err);

/** Change the mode: dv (one protocol+metaData commit) or compat (all deletion vectors purged, none
 * made any more). */
DL_NODISCARD dl_status dl_delta_set_compat(dl_delta_table *table, bool compat, dl_error *err);

/* ---- what others would say ---- */

typedef enum dl_delta_verdict {
    DL_DELTA_READS,
    DL_DELTA_HIDES, /* reads, but shows something wrong or leaves something out */
    DL_DELTA_REFUSES,
} dl_delta_verdict;

/** Names of the readers in the matrix: "fabric-sql", "spark", "delta-rs", "duckdb", "trino",
 * "powerbi"; NULL past the last. */
const char *dl_delta_reader_name(size_t i);
/** Calls `visit` for each reason; none: it reads the table as it is. Errors: DL_E_INVALID (unknown
 * reader). */
DL_NODISCARD dl_status dl_delta_check_reader(dl_delta_table *table, const char *reader,
                                             void (*visit)(void *context, dl_delta_verdict verdict,
                                                           const char *reason),
                                             void *context, dl_error *err);

/** Read everything and hold it against itself: files there and as large as the log says, row
 * counts, statistics, deletion vectors, checkpoint = replay, .crc. `visit` gets each finding. */
DL_NODISCARD dl_status dl_delta_check(dl_delta_table *table, dl_cancel *cancel,
                                      void (*visit)(void *context, const char *finding),
                                      void *context, dl_error *err);

#endif
