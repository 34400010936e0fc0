/**
 * What the files of committing share: change.c puts the actions of a dl_delta_change together,
 * metrics.c counts them, commit.c puts them into the log.
 */
#ifndef DL_DELTA_COMMIT_H
#define DL_DELTA_COMMIT_H

#include "delta/internal.h"

/** What a change came to, for metrics. */
typedef struct dl_delta_tally {
    int64_t files_added, bytes_added, rows_added; /* new files */
    int64_t files_restored, bytes_restored;       /* adds of files that existed */
    int64_t files_removed, bytes_removed;         /* gone whole */
    int64_t dvs_added, dvs_updated, dvs_removed, dv_bytes;
    int64_t rows_deleted; /* newly dead; -1: of a removed file nobody knows */
    int64_t *sizes;       /* of new files */
    size_t size_count;
} dl_delta_tally;

/** The metrics of an operation, those of the change first. */
DL_NODISCARD dl_status dl_delta_metrics(const dl_delta_change *change, dl_delta_tally *tally,
                                        dl_arena *arena, dl_delta_pairs *out_metrics,
                                        dl_error *err);

/**
 * Put one version's text unless somebody was first. DL_OK also where the put got no answer but the
 * log shows our `txn_id`. Errors: DL_E_EXISTS (lost), DL_E_UNAVAILABLE (nobody knows), any other:
 * surely not committed.
 */
DL_NODISCARD dl_status dl_delta_put_commit(dl_delta_table *table, int64_t version, dl_str txn_id,
                                           dl_bytes text, dl_arena *arena, dl_error *err);

#endif
