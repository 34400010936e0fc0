/**
 * load_archive: what bench/gen wrote, in memory: the pack mapped, the manifest as rows.
 *
 * Rows are in the order of the pack, so the rows of one series, and of one study, are neighbours.
 *
 * Thread: immutable after opening.
 */
#ifndef DL_BENCH_LOAD_ARCHIVE_H
#define DL_BENCH_LOAD_ARCHIVE_H

#include "base/arena.h"
#include "base/buf.h"

typedef struct dl_bench_row {
    uint64_t offset_bytes, length_bytes;
    dl_str study, series, sop, patient_id, patient_name, study_date, modality, accession;
} dl_bench_row;

/** Neighbouring rows of one series or one study. */
typedef struct dl_bench_group {
    size_t first, count;
    uint64_t bytes;
} dl_bench_group;

typedef struct dl_bench_archive {
    void *map;
    const uint8_t *pack; /* the same, to read */
    size_t pack_bytes;
    dl_buf manifest;
    dl_arena *arena;
    dl_bench_row *rows;
    dl_bench_group *studies, *series;
    size_t row_count, study_count, series_count;
} dl_bench_archive;

/**
 * Map DIR/pack.bin and read DIR/manifest.tsv, only the rows [from, from + count); count 0: all.
 * Errors: DL_E_INVALID (not a manifest, or no rows there), DL_E_NOT_FOUND, DL_E_IO.
 */
DL_NODISCARD dl_status dl_bench_archive_open(const char *folder, uint64_t from, uint64_t count,
                                             dl_bench_archive *out, dl_error *err);
void dl_bench_archive_close(dl_bench_archive *archive);

#endif
