/**
 * What the files of delta/ share.
 *
 *     actions.c     one commit's text <-> dl_delta_commit (pure)
 *     replay.c      the live set: files, tombstones, applications, domains; applying a commit
 * (pure) log.c         listing, finding a snapshot, reading commits, compactions, checkpoints
 *     table.c       opening, moving on, accessors; travel.c: which version a time means
 *     actions_write.c, schema_merge.c: the other directions of actions.c and schema.c
 *     checkpoint_read.c, checkpoint_write.c
 *     schema.c      schemaString <-> columns; merging (pure)
 *     features.c    what we may read and write, by name (pure)
 *     path.c        names of log files, partition folders, URI encoding (pure)
 *     bitmap.c      row sets; dv.c: deletion vectors in files and inline
 *     stats.c       statistics to JSON (pure)
 *     writer.c      data files; commit.c: dl_delta_commit_change; conflict.c: the rules (pure)
 *     scan.c        rows of live files
 *     maintain.c    checkpoints' rhythm, checksum files, log cleanup; sidecars.c; checksum.c (of
 *                   _last_checkpoint); vacuum.c; optimize.c; rewrite.c; restore.c; mode.c;
 *                   readers.c (matrix); check.c; history.c
 */
#ifndef DL_DELTA_INTERNAL_H
#define DL_DELTA_INTERNAL_H

#include "delta/delta.h"

enum {
    DL_DELTA_COMMIT_LIMIT_BYTES = 128 * 1024 * 1024,
    DL_DELTA_TRIES = 100,
};

/** A file that left the table, for as long as it may matter. */
typedef struct dl_delta_tombstone {
    dl_delta_file file; /* deletion_ms set */
} dl_delta_tombstone;

typedef struct dl_delta_live dl_delta_live; /* replay.c: the live set, owning all its text */

struct dl_delta_table {
    dl_delta_open open; /* root is copied into the arena below */
    dl_arena *arena;    /* lives as long as the table */
    dl_delta_live *live;
    int64_t version;
    int64_t timestamp_ms;       /* of `version` */
    int64_t checkpoint_version; /* the newest known; -1: none */
    dl_delta_column *columns;   /* of the current metadata */
    size_t column_count;
    dl_arena *columns_arena;
    int64_t own_version;          /* of the last own commit, whose txnId is: */
    char own_txn_id[40];          /* empty: none yet */
    int64_t maintenance_failures; /* checkpoints and the like that could not be made (not fatal) */
    dl_error maintenance_error;   /* of the last one */
};

/* ---- replay.c (pure) ---- */

DL_NODISCARD dl_status dl_delta_live_create(dl_delta_live **out_live, dl_error *err);
void dl_delta_live_destroy(dl_delta_live *live);
/** Apply a commit: its removes, then its adds; protocol, metadata, apps, domains. Copies what it
 * keeps. Errors: DL_E_NOMEM, DL_E_CORRUPT. */
DL_NODISCARD dl_status dl_delta_live_apply(dl_delta_live *live, const dl_delta_commit *commit,
                                           dl_error *err);
const dl_delta_protocol *dl_delta_live_protocol(const dl_delta_live *live); /* NULL: none yet */
const dl_delta_metadata *dl_delta_live_metadata(const dl_delta_live *live);
bool dl_delta_live_next_file(const dl_delta_live *live, size_t *cursor,
                             const dl_delta_file **out_file);
bool dl_delta_live_next_tombstone(const dl_delta_live *live, size_t *cursor,
                                  const dl_delta_file **out_file);
bool dl_delta_live_next_domain(const dl_delta_live *live, size_t *cursor,
                               dl_delta_domain *out_domain);
bool dl_delta_live_next_app(const dl_delta_live *live, size_t *cursor, dl_delta_app *out_app);

/** NULL when no live file has that path. */
const dl_delta_file *dl_delta_live_find(const dl_delta_live *live, dl_str path);
/** -1: the application never committed. */
int64_t dl_delta_live_app_version(const dl_delta_live *live, dl_str app_id);
size_t dl_delta_live_tombstone_count(const dl_delta_live *live);
/** In constant time. */
dl_delta_totals dl_delta_live_totals(const dl_delta_live *live);
/** Forget tombstones of files that were removed before that time. */
void dl_delta_live_expire(dl_delta_live *live, int64_t before_ms);

/* ---- actions.c (pure) ---- */

/** `text` is the content of a commit. Everything lives in the arena or in the text. Errors:
 * DL_E_CORRUPT with the line. info.version is set to `version`. */
DL_NODISCARD dl_status dl_delta_actions_parse(dl_str text, int64_t version, dl_arena *arena,
                                              dl_delta_commit *out_commit, dl_error *err);
/** A file that a v2 checkpoint goes on in: a bare name in _delta_log/_sidecars. */
typedef struct dl_delta_sidecar {
    dl_str name; /* decoded */
    int64_t size_bytes;
} dl_delta_sidecar;
typedef struct dl_delta_sidecars {
    const dl_delta_sidecar *items;
    size_t count;
} dl_delta_sidecars;
/** As dl_delta_actions_parse for the text of a v2 checkpoint. */
DL_NODISCARD dl_status dl_delta_actions_parse_checkpoint(dl_str text, int64_t version,
                                                         dl_arena *arena,
                                                         dl_delta_commit *out_commit,
                                                         dl_delta_sidecars *out_sidecars,
                                                         dl_error *err);
/** commitInfo first, then protocol, metaData, txn, domainMetadata, remove, add; one a line. */
DL_NODISCARD dl_status dl_delta_actions_write(const dl_delta_commit *commit, dl_buf *out,
                                              dl_error *err);

/* ---- log.c ---- */

/** Read commits first..last and hand them over; they must all be there (DL_E_CORRUPT: a gap). */
DL_NODISCARD dl_status dl_delta_log_read(dl_delta_table *table, int64_t first, int64_t last,
                                         dl_status (*visit)(void *context,
                                                            const dl_delta_commit *commit,
                                                            dl_error *err),
                                         void *context, dl_error *err);
/** Paths below the table's own root become relative. */
DL_NODISCARD dl_status dl_delta_relative_paths(const dl_delta_table *table, dl_delta_commit *commit,
                                               dl_arena *arena, dl_error *err);
/** commitInfo alone. Errors: DL_E_CORRUPT (the commit is not there, does not parse). */
DL_NODISCARD dl_status dl_delta_log_info(dl_delta_table *table, int64_t version, dl_arena *arena,
                                         dl_delta_info *out_info, dl_error *err);
/** Fill table->live anew from the log at `target` (-1: the newest), by checkpoints of versions up
 * to `limit` only; sets version, timestamp_ms and checkpoint_version (-1: none was used) of the
 * table. On failure table->live is what had been read, or NULL. */
DL_NODISCARD dl_status dl_delta_log_load(dl_delta_table *table, int64_t target, int64_t limit,
                                         dl_error *err);
/** The newest version not after that time. Errors: DL_E_NOT_FOUND (all are after it). */
DL_NODISCARD dl_status dl_delta_log_version_at(dl_delta_table *table, int64_t timestamp_us,
                                               int64_t *out_version, dl_error *err);
/** Apply to the table: live set, version, timestamp, columns when the metadata changed; then
 * on_commit. */
DL_NODISCARD dl_status dl_delta_table_apply(dl_delta_table *table, const dl_delta_commit *commit,
                                            dl_error *err);
/** Every name in _delta_log with what it is, ascending. */
typedef enum dl_delta_log_kind {
    DL_DELTA_LOG_COMMIT,
    DL_DELTA_LOG_CHECKPOINT,      /* classic */
    DL_DELTA_LOG_CHECKPOINT_PART, /* part, parts */
    DL_DELTA_LOG_CHECKPOINT_V2,   /* uuid-named: .json or .parquet */
    DL_DELTA_LOG_COMPACTED,       /* version .. end_version */
    DL_DELTA_LOG_CRC,
    DL_DELTA_LOG_OTHER,
} dl_delta_log_kind;
typedef struct dl_delta_log_name {
    dl_delta_log_kind kind;
    int64_t version, end_version;
    int part, parts;
    dl_str name;
    uint64_t size_bytes;
    int64_t modified_us;
} dl_delta_log_name;
DL_NODISCARD dl_status dl_delta_log_list(dl_delta_table *table, int64_t from_version,
                                         dl_arena *arena, dl_delta_log_name **out_names,
                                         size_t *out_count, dl_error *err);

/* ---- path.c (pure) ---- */

/** "<root>/<relative>" as a key of the store; an absolute path below the store's root works too.
 * Errors: DL_E_UNSUPPORTED (an absolute path elsewhere). */
DL_NODISCARD dl_status dl_delta_key(const dl_delta_table *table, dl_str relative, dl_arena *arena,
                                    dl_str *out_key, dl_error *err);
/** "<root>/_delta_log/%020d<suffix>" */
DL_NODISCARD dl_status dl_delta_log_key(const dl_delta_table *table, int64_t version,
                                        const char *suffix, dl_arena *arena, dl_str *out_key,
                                        dl_error *err);
dl_delta_log_name dl_delta_log_name_parse(dl_str name);
/** Whether it begins with '/' or "<scheme>:/". */
bool dl_delta_path_is_absolute(dl_str path);
/** An absolute path below the table's own root as the relative one that it is; any other as it is.
 * For the decoded path of every add and remove that is read. */
DL_NODISCARD dl_status dl_delta_path_relative(const dl_delta_table *table, dl_str path,
                                              dl_arena *arena, dl_str *out_path, dl_error *err);
/** add.path <-> file name: URI percent-encoding, once. Errors: DL_E_CORRUPT (a '%' without two
 * digits, NUL). */
DL_NODISCARD dl_status dl_delta_path_encode(dl_str path, dl_arena *arena, dl_str *out_encoded,
                                            dl_error *err);
DL_NODISCARD dl_status dl_delta_path_decode(dl_str encoded, dl_arena *arena, dl_str *out_path,
                                            dl_error *err);
/** "a=1/b=x%2Fy": Hive escaping; empty when there are no partition columns. */
DL_NODISCARD dl_status dl_delta_partition_folder(const dl_delta_pairs *values, dl_arena *arena,
                                                 dl_str *out_folder, dl_error *err);
/** Random version 4 UUID, 36 characters and NUL. */
enum { DL_DELTA_UUID_SIZE = 37, DL_DELTA_UUID_BYTES = 16 };
void dl_delta_uuid(char out[DL_DELTA_UUID_SIZE]);
void dl_delta_uuid_bytes(uint8_t out[DL_DELTA_UUID_BYTES]);
void dl_delta_uuid_format(const uint8_t bytes[DL_DELTA_UUID_BYTES], char out[DL_DELTA_UUID_SIZE]);

/* ---- schema.c (pure) ---- */

DL_NODISCARD dl_status dl_delta_schema_columns(const dl_delta_metadata *metadata, dl_arena *arena,
                                               dl_delta_column **out_columns, size_t *out_count,
                                               dl_error *err);

/* ---- partition.c (pure) ---- */

/** A value of a leaf as partitionValues spell it. */
DL_NODISCARD dl_status dl_delta_value_text(const dl_columnar_field *field,
                                           const dl_columnar_value *value, dl_arena *arena,
                                           dl_str *out_text, dl_error *err);

/* ---- scan.c ---- */

/** The live files by path; the array lives in the arena, the files in the table. */
DL_NODISCARD dl_status dl_delta_files_by_path(const dl_delta_table *table, dl_arena *arena,
                                              const dl_delta_file ***out_files, size_t *out_count,
                                              dl_error *err);

/* ---- features.c (pure) ---- */

/** Errors: DL_E_UNSUPPORTED naming the first feature (or version) that stands in the way. */
DL_NODISCARD dl_status dl_delta_check_readable(const dl_delta_protocol *protocol,
                                               const dl_delta_metadata *metadata, dl_error *err);
DL_NODISCARD dl_status dl_delta_check_writable(const dl_delta_protocol *protocol,
                                               const dl_delta_metadata *metadata,
                                               const dl_delta_change *change, dl_error *err);
bool dl_delta_has_feature(const dl_delta_protocol *protocol, const char *feature);
/** Of a metadata's configuration; ptr NULL when not set. */
dl_str dl_delta_configuration(const dl_delta_metadata *metadata, const char *key);
/** "interval 30 days", "interval 720 hours 5 minutes", ... in milliseconds; false: not understood.
 */
bool dl_delta_interval_ms(dl_str text, int64_t *out_ms);

/* ---- dv.c ---- */

/** Adds the rows of a deletion vector. Errors: DL_E_CORRUPT (checksum, size, cardinality),
 * DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_delta_dv_read(dl_delta_table *table, const dl_delta_dv *dv,
                                        dl_delta_bitmap *out_rows, dl_error *err);
/** The key of the file that holds a 'u' or 'p' vector; ptr NULL for inline. */
DL_NODISCARD dl_status dl_delta_dv_key(const dl_delta_table *table, const dl_delta_dv *dv,
                                       dl_arena *arena, dl_str *out_key, dl_error *err);
/** Z85 of `len` bytes (a multiple of 4) and back; the other side has 5/4 as many. */
void dl_delta_z85_encode(const uint8_t *bytes, size_t len, char *out);
bool dl_delta_z85_decode(dl_str text, uint8_t *out);

/** One file that holds the new vectors of a commit, put one after another so that only one is in
 * memory. */
typedef struct dl_delta_dv_writer dl_delta_dv_writer;
DL_NODISCARD dl_status dl_delta_dv_writer_create(dl_delta_table *table,
                                                 dl_delta_dv_writer **out_writer, dl_error *err);
void dl_delta_dv_writer_destroy(dl_delta_dv_writer *writer);
DL_DEFINE_AUTO(dl_delta_dv_writer)
/** `out_dv`'s text lives in the arena. Errors: DL_E_LIMIT (the file would pass 2 GiB). */
DL_NODISCARD dl_status dl_delta_dv_writer_put(dl_delta_dv_writer *writer,
                                              const dl_delta_bitmap *rows, dl_arena *arena,
                                              dl_delta_dv *out_dv, dl_error *err);
/** To be published under the key with the data files. */
dl_store_spool *dl_delta_dv_writer_spool(const dl_delta_dv_writer *writer);
DL_NODISCARD dl_status dl_delta_dv_writer_key(const dl_delta_table *table,
                                              const dl_delta_dv_writer *writer, dl_arena *arena,
                                              dl_str *out_key, dl_error *err);

/* ---- stats.c (pure) ---- */

/** A file as its statistics see it: the summary has the leaves of the columns that are no partition
 * columns. */
typedef struct dl_delta_stats_input {
    const dl_delta_metadata *metadata; /* which columns get statistics */
    const dl_delta_column *columns;
    size_t column_count;
    const dl_columnar_summary *summary;
} dl_delta_stats_input;

/** The text of add.stats. */
DL_NODISCARD dl_status dl_delta_stats_write(const dl_delta_stats_input *input, bool tight,
                                            dl_arena *arena, dl_str *out_stats, dl_error *err);
/** numRecords; -1: not there. */
int64_t dl_delta_stats_rows(dl_str stats);
/** The same statistics (ptr NULL: none) with numRecords and tightBounds set as told. */
DL_NODISCARD dl_status dl_delta_stats_with(dl_str stats, int64_t row_count, bool tight,
                                           dl_arena *arena, dl_str *out_stats, dl_error *err);
/** delta.dataSkippingStringPrefixLength in UTF-16 units. */
size_t dl_delta_stats_prefix(const dl_delta_metadata *metadata);
/** A lower bound of `text` of at most `units` UTF-16 units. */
dl_str dl_delta_stats_min_prefix(dl_str text, size_t units);
/** An upper bound, in `out`; false: there is none of at most twice the units. `cut`: the text went
 * on. */
bool dl_delta_stats_max_prefix(dl_str text, bool cut, size_t units, dl_buf *out);
enum { DL_DELTA_STATS_LIMIT_BYTES = 16 * 1024 * 1024 };

/* ---- writer.c ---- */

/** The add of a finished writer, as of now; text is the writer's. row_count is that of the file. */
void dl_delta_writer_file(const dl_delta_writer *writer, dl_delta_file *out_file);
bool dl_delta_writer_finished(const dl_delta_writer *writer);
/** The spool that waits for its name; NULL when it has it already. */
dl_store_spool *dl_delta_writer_spool(const dl_delta_writer *writer);
/** What became of its file: it has its name; the log may name it. A file that has its name and that
 * no log can name is removed with the writer. */
void dl_delta_writer_published(dl_delta_writer *writer);
void dl_delta_writer_committed(dl_delta_writer *writer, bool maybe);

/* ---- conflict.c (pure) ---- */

typedef enum dl_delta_conflict {
    DL_DELTA_GO_ON,  /* same actions, next version */
    DL_DELTA_REPLAN, /* DL_E_CONFLICT */
    DL_DELTA_DONE,   /* an application of ours is there already: DL_E_EXISTS */
} dl_delta_conflict;
/** May `ours` (its adds, removes, apps, protocol, metadata and domains) follow `winner`? `reason`
 * says why not. `exclusive` as in dl_delta_change. */
dl_delta_conflict dl_delta_conflict_check(const dl_delta_commit *ours, bool exclusive,
                                          const dl_delta_commit *winner, const char **out_reason);

/* ---- commit.c ---- */

/** Put-if-absent, looking at who won, the rules, and again: for any set of actions. Fills in
 * commitInfo's timestamp, readVersion, txnId, engineInfo. */
DL_NODISCARD dl_status dl_delta_commit_actions(dl_delta_table *table, dl_delta_commit *commit,
                                               bool exclusive, dl_delta_result *out_result,
                                               dl_error *err);

/* ---- maintain.c ---- */

/** After each own commit: checksum, checkpoint when it is due, log cleanup after it. Never fails:
 * what could not be made is counted in the table. Returns bytes written. */
int64_t dl_delta_after_commit(dl_delta_table *table, const dl_delta_commit *commit);
/** checkpoint_write.c */
DL_NODISCARD dl_status dl_delta_checkpoint_write(dl_delta_table *table, int64_t *out_bytes,
                                                 dl_error *err);
/** checkpoint_read.c: apply a checkpoint's actions to an empty live set. `names` are its files (1
 * or its parts). */
DL_NODISCARD dl_status dl_delta_checkpoint_read(dl_delta_table *table,
                                                const dl_delta_log_name *names, size_t count,
                                                dl_error *err);

#endif
