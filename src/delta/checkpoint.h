/**
 * Struct statistics: what a checkpoint says of a file as typed columns (`stats_parsed`,
 * `partitionValues_parsed`) where the texts are missing (delta.checkpoint.writeStatsAsJson =
 * false).
 */
#ifndef DL_DELTA_CHECKPOINT_H
#define DL_DELTA_CHECKPOINT_H

#include "delta/internal.h"

typedef struct dl_delta_parsed dl_delta_parsed;

/** A row's entries of the fields of dl_delta_parsed_fields. */
typedef struct dl_delta_parsed_row {
    const dl_columnar_entries *leaves;
    const size_t *begins; /* the row's first entry, one a leaf */
} dl_delta_parsed_row;

DL_NODISCARD dl_status dl_delta_parsed_create(const dl_delta_metadata *metadata, dl_arena *arena,
                                              dl_delta_parsed **out_parsed, dl_error *err);
/** The members of `add` to read, at most two; returns how many. */
size_t dl_delta_parsed_fields(const dl_delta_parsed *parsed, dl_columnar_field out_fields[2]);
/** The text of add.stats; ptr NULL when nothing is said. */
DL_NODISCARD dl_status dl_delta_parsed_stats(const dl_delta_parsed *parsed,
                                             const dl_delta_parsed_row *row, dl_arena *arena,
                                             dl_str *out_stats, dl_error *err);
DL_NODISCARD dl_status dl_delta_parsed_values(const dl_delta_parsed *parsed,
                                              const dl_delta_parsed_row *row, dl_arena *arena,
                                              dl_delta_pairs *out_values, dl_error *err);

#endif
