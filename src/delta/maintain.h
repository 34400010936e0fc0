/**
 * What the files of maintenance share: their pure rules, which the tests ask one by one.
 */
#ifndef DL_DELTA_MAINTAIN_H
#define DL_DELTA_MAINTAIN_H

#include "delta/internal.h"

enum {
    DL_DELTA_CHECKPOINT_INTERVAL = 10,    /* where delta.checkpointInterval is not set */
    DL_DELTA_RETENTION_FLOOR_HOURS = 168, /* vacuum below it needs force; also the default */
    DL_DELTA_LOG_RETENTION_DAYS = 30,     /* where delta.logRetentionDuration is not set */
    DL_DELTA_CLEAN_LIMIT = 1000,          /* most log files deleted after one own checkpoint */
    DL_DELTA_CRC_APPS_LIMIT = 1000,       /* more applications: a checksum file leaves them out */
    DL_DELTA_SMALL_LIMIT = 18,            /* most small files of a partition after maintenance */
    DL_DELTA_TARGET_BYTES = 128 * 1024 * 1024,
    DL_DELTA_MD5_SIZE = 33, /* hex digits and NUL */
    DL_DELTA_MAINTAIN_ARENA_BYTES = 1024 * 1024 * 1024,
};
#define DL_DELTA_DEAD_LIMIT 0.2 /* share of deleted rows from which a file is copied */

enum { DL_DELTA_MS_OF_HOUR = 3600 * 1000 };
#define DL_DELTA_MS_OF_DAY (INT64_C(24) * DL_DELTA_MS_OF_HOUR)

/* ---- checksum.c: JSON checksum of `_last_checkpoint` (PROTOCOL.md, "JSON checksum") ---- */

/** The canonical text: leaf pairs sorted by path, without the top-level "checksum". Errors:
 * DL_E_INVALID (not JSON, not an object, a name twice). */
DL_NODISCARD dl_status dl_delta_checksum_text(dl_str json, dl_buf *out, dl_error *err);
/** MD5 of `text` in lower-case hex. Errors: DL_E_UNSUPPORTED (a library without MD5). */
DL_NODISCARD dl_status dl_delta_md5(dl_str text, char out[DL_DELTA_MD5_SIZE], dl_error *err);

/* ---- maintain.c ---- */

/** Version of the checkpoint before which the log may go; -1: nothing may. `names` ascending. */
int64_t dl_delta_log_cut(const dl_delta_log_name *names, size_t count, int64_t cutoff_us);
/** Whether a cut at that version takes the file; Hadoop's side files go with theirs. */
bool dl_delta_log_goes(const dl_delta_log_name *name, int64_t cut);
/** A property in milliseconds, or `otherwise` when it is not set. Errors: DL_E_INVALID (garbled).
 */
DL_NODISCARD dl_status dl_delta_property_ms(const dl_delta_table *table, const char *key,
                                            int64_t otherwise_ms, int64_t *out_ms, dl_error *err);
int64_t dl_delta_now_ms(const dl_delta_table *table);
/** What a change may stand for in checks of writer features: nothing but maintenance. */
DL_NODISCARD dl_status dl_delta_check_maintainable(const dl_delta_table *table, dl_error *err);

/** sidecars.c: removes files of v2 checkpoints that no checkpoint in the log names and that were
 * there before the last midnight but one; at most `limit`. */
DL_NODISCARD dl_status dl_delta_clean_sidecars(dl_delta_table *table, int64_t limit,
                                               int64_t *out_deleted, dl_error *err);

/* ---- vacuum.c ---- */

/** Whether vacuum looks at the file at all: not hidden ('_' or '.' in front, except in names of
 * partition folders and in _change_data). `relative` to the table's root. */
bool dl_delta_vacuum_sees(dl_str relative);

/* ---- optimize.c ---- */

typedef struct dl_delta_file_list {
    const dl_delta_file *const *items;
    size_t count;
} dl_delta_file_list;

/** dl_delta_optimize_plan over any files. */
DL_NODISCARD dl_status dl_delta_plan(dl_delta_file_list files,
                                     const dl_delta_optimize_options *options, dl_arena *arena,
                                     dl_delta_job **out_jobs, size_t *out_count, dl_error *err);
/** Every file with a deletion vector, in jobs of one partition up to the target size. */
DL_NODISCARD dl_status dl_delta_purge_plan(const dl_delta_table *table, dl_arena *arena,
                                           dl_delta_job **out_jobs, size_t *out_count,
                                           dl_error *err);

#endif
