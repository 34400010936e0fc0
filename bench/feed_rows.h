/**
 * feed_rows: the change feed that the benchmarks sync, made row by row from a seed.
 *
 * Row s (from 1) depends on the options and s only, so a million rows need no memory. The first
 * `base` rows create one instance each, study by study. Behind them, in every 20 rows: 6 new
 * instances, 8 updates, 2 instances whose update is followed by another (so the first is in state
 * Replaced), 2 deletes; the instances are drawn from the base, each once, in random order. Rows are
 * a millisecond apart. Metadata are those of a CT slice, as Microsoft's service shows them.
 *
 * Thread: dl_feed_rows is immutable after its creation; a dl_feed_cursor is confined.
 */
#ifndef DL_BENCH_FEED_ROWS_H
#define DL_BENCH_FEED_ROWS_H

#include "base/buf.h"
#include "gen_model.h"

typedef struct dl_feed_rows_options {
    uint64_t seed, base, per_series, series_per_study;
} dl_feed_rows_options;

typedef struct dl_feed_rows dl_feed_rows;

DL_NODISCARD dl_status dl_feed_rows_create(const dl_feed_rows_options *options,
                                           dl_feed_rows **out_rows, dl_error *err);
void dl_feed_rows_destroy(dl_feed_rows *rows);

/** Remembers the study and series of the row before: most rows share them. {0} is one. */
typedef struct dl_feed_cursor {
    bool any;
    uint64_t study_number, series_number, version;
    dl_bench_study study;
    dl_bench_series series;
} dl_feed_cursor;

/** Append row `sequence` as a JSON object. */
DL_NODISCARD dl_status dl_feed_rows_put(const dl_feed_rows *rows, dl_feed_cursor *cursor,
                                        uint64_t sequence, bool metadata, dl_buf *out,
                                        dl_error *err);
/** Time of a row, and the first row that is not before a time. */
int64_t dl_feed_rows_time_us(uint64_t sequence);
uint64_t dl_feed_rows_at(int64_t time_us);

#endif
