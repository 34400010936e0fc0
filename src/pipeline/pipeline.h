/**
 * Pipeline: the change feed folded into the three Delta tables, exactly once.
 *
 * A `dl_pipeline` is one lake (three tables and their state index) with its parameters. A sync
 * takes changes from a source in batches; each batch is folded to the last change per key by
 * sequence, and ends as at most one commit in each table, in the order instance, series, study.
 * After any crash the next sync goes on where the tables themselves say (their txn versions), never
 * where a file beside them says.
 *
 * Two syncs on one lake exclude each other with a lock; correctness does not lean on it.
 *
 * Thread: confined, but for dl_pipeline_counts_now (any thread).
 * Standard: docs/tables.md (what rows must be), docs/delta.md.
 */
#ifndef DL_PIPELINE_PIPELINE_H
#define DL_PIPELINE_PIPELINE_H

#include "base/arena.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "columnar/columnar.h"
#include "feed/feed.h"
#include "store/store.h"
#include "json/json.h"

typedef struct dl_pipeline dl_pipeline;

typedef enum dl_pipeline_profile {
    DL_PIPELINE_AUTO, /* that of the table; template-r4 for a new one */
    DL_PIPELINE_TEMPLATE_R4,
    DL_PIPELINE_TEMPLATE_R2,
} dl_pipeline_profile;

enum {
    DL_PIPELINE_TABLES = 3,                     /* instance, series, study */
    DL_PIPELINE_BATCH_LIMIT_ROWS = 100000,      /* BatchSize; a source gives as many as it allows */
    DL_PIPELINE_RETENTION_LIMIT_HOURS = 876000, /* RetentionHours: 100 years */
};

/** The template's parameters under its names; dl_pipeline_parameter_* read and check them. */
typedef struct dl_pipeline_parameters {
    uint64_t
        batch_size; /* BatchSize: rows asked for in a page; 1..200, more from our own service */
    unsigned api_version;                               /* ApiVersion, >= 2 */
    int64_t start_us, end_us;                           /* StartTime, EndTime (exclusive) */
    char container[256], path[DL_PIPELINE_TABLES][512]; /* ContainerName, *TablePath */
    int64_t retention_hours;                            /* RetentionHours */
} dl_pipeline_parameters;

/** The defaults of the template. */
dl_pipeline_parameters dl_pipeline_parameters_default(void);
/** Set one by its name (without regard to case). Errors: DL_E_INVALID, DL_E_NOT_FOUND (no such
 * name; the hint lists them). */
DL_NODISCARD dl_status dl_pipeline_parameter_set(dl_pipeline_parameters *parameters,
                                                 const char *name, const char *value,
                                                 dl_error *err);
/** What holds between them: EndTime after StartTime, paths distinct, retention. */
DL_NODISCARD dl_status dl_pipeline_parameters_check(const dl_pipeline_parameters *parameters,
                                                    bool allow_short_retention, dl_error *err);
/** The folder's name of the state index of a set of three tables: made of the container and the
 * paths, so that two sets never share one. */
enum { DL_PIPELINE_STATE_NAME_SIZE = 9 };
void dl_pipeline_state_name(const dl_pipeline_parameters *parameters,
                            char out[DL_PIPELINE_STATE_NAME_SIZE]);
/** Names in the template's order; NULL past the last. */
const char *dl_pipeline_parameter_name(size_t i);

typedef struct dl_pipeline_options {
    dl_store *lake;           /* borrowed: tables at {container}/{path} */
    const char *state_folder; /* made when missing: state index, lock */
    dl_pipeline_parameters parameters;
    dl_pipeline_profile profile;
    bool compat;                /* mode of tables that are made; existing ones keep theirs */
    const char *const *columns; /* "name=TagOrKeyword:type" */
    size_t column_count;
    bool require_file_path;
    bool allow_short_retention;
    size_t batch_bytes;   /* text of changes in one batch; 0: 96 MiB */
    size_t batch_changes; /* and their number; 0: 50000 */
    unsigned lock_wait_s; /* for another sync on the lake */
    unsigned
        follow_interval_s; /* least time from one commit to the next while following; 0: 0.3 s */
    bool follow_ends;      /* with a source that is down, which is then found anew elsewhere */
    bool no_maintenance;   /* no compaction, no vacuum */
    bool reading;          /* for dl_pipeline_verify alone: works beside a sync on the lake */
    dl_clock clock;
    dl_cancel *cancel;
    void (*on_note)(void *context,
                    const char *note); /* what happened beside: rebuilt, rebased; any thread */
    void *context;
} dl_pipeline_options;

/** Opens the lake; makes nothing. Errors: DL_E_INVALID (parameters, columns), DL_E_UNAVAILABLE
 * (another sync has the lock), DL_E_UNSUPPORTED (tables). */
DL_NODISCARD dl_status dl_pipeline_open(const dl_pipeline_options *options,
                                        dl_pipeline **out_pipeline, dl_error *err);
void dl_pipeline_close(dl_pipeline *pipeline);

typedef struct dl_pipeline_table_counts {
    int64_t rows_in, rows_out; /* rows added, rows taken away (a replaced row is both) */
    int64_t row_count;         /* after */
    int64_t version;           /* -1: no table */
    int64_t commits, files_added, files_removed, data_bytes, dv_bytes, log_bytes;
} dl_pipeline_table_counts;

/** What a sync has done so far. */
typedef struct dl_pipeline_counts {
    int64_t changes, pages, creates, updates, deletes, skipped, stale, without_path;
    int64_t batches, replans, retries, requests, feed_bytes;
    dl_pipeline_table_counts tables[DL_PIPELINE_TABLES];
    int64_t watermark, watermark_time_us; /* 0: none yet */
    int64_t newest; /* of the feed when it began: for the time left; 0: unknown */
    int64_t wait_us, fold_us, write_us, commit_us, state_us, maintain_us; /* where the time went */
    int64_t compactions, vacuumed_files;
} dl_pipeline_counts;

/** "instance", "series", "study", in the order in which they are committed; NULL past the last. */
const char *dl_pipeline_table_name(size_t i);
/** One more sync's counts: sums, and the newest of what is no sum. */
void dl_pipeline_counts_add(dl_pipeline_counts *counts, const dl_pipeline_counts *more);
int64_t dl_pipeline_table_bytes(const dl_pipeline_table_counts *table);
/** As members of the object that is open: all but times of stages. */
void dl_pipeline_counts_put(dl_json_writer *w, const dl_pipeline_counts *counts);

/** For the next sync on an open lake: its window and the rows of a page. Errors: DL_E_INVALID
 * (other tables than those that it was opened with; what dl_pipeline_parameters_check says). */
DL_NODISCARD dl_status dl_pipeline_use(dl_pipeline *pipeline,
                                       const dl_pipeline_parameters *parameters, dl_error *err);
/** Between two syncs: others may work on the lake until dl_pipeline_wake; all else stays open. */
void dl_pipeline_rest(dl_pipeline *pipeline);
/** Errors: DL_E_UNAVAILABLE (another sync has the lock), DL_E_NOT_FOUND (a table or the state index
 * was taken away or replaced meanwhile: close, and open anew). */
DL_NODISCARD dl_status dl_pipeline_wake(dl_pipeline *pipeline, dl_error *err);

/**
 * Sync from `source`: the window of the parameters when it is not the template's default, else
 * everything new since the watermark. Returns when the source has no more. Counts are also filled
 * on failure. Errors: those of the source, DL_E_CANCELED, DL_E_CONFLICT (a foreign writer changed
 * what we cannot follow: says what), DL_E_IO.
 */
DL_NODISCARD dl_status dl_pipeline_sync(dl_pipeline *pipeline, dl_feed_source *source,
                                        dl_pipeline_counts *out_counts, dl_error *err);
/** Go on until canceled: returns DL_OK then. A source that is down is asked again, or with
 * `follow_ends` that is DL_E_UNAVAILABLE. */
DL_NODISCARD dl_status dl_pipeline_follow(dl_pipeline *pipeline, dl_feed_source *source,
                                          dl_pipeline_counts *out_counts, dl_error *err);
/** Any thread: the counts of the sync under way. */
void dl_pipeline_counts_now(dl_pipeline *pipeline, dl_pipeline_counts *out_counts);

/** Make the state index anew from the tables. */
DL_NODISCARD dl_status dl_pipeline_rebuild_state(dl_pipeline *pipeline, dl_error *err);

/** Drop the three tables' rows and the watermark, so that the next sync is a rebuild; old versions
 * stay. */
DL_NODISCARD dl_status dl_pipeline_empty(dl_pipeline *pipeline, dl_error *err);

/**
 * Prove that tables = fold(feed) up to the watermark, row by row. `visit` gets each row that
 * differs, by its key and without values ("table instance, P 1.2 3.4 5.6: the row differs from the
 * feed"). Needs a source with everything from the start. Columns that were configured are not
 * compared.
 */
DL_NODISCARD dl_status dl_pipeline_verify(dl_pipeline *pipeline, dl_feed_source *source,
                                          void (*visit)(void *context, const char *finding),
                                          void *context, int64_t *out_rows, dl_error *err);

#endif
