/**
 * A set of row positions (0 .. 2^63-1), as deletion vectors hold them: 32-bit Roaring bitmaps under
 * their high words.
 *
 * Thread: confined while it changes, then immutable.
 * Standard: Roaring format specification; Delta protocol, "Deletion Vector Format".
 */
#ifndef DL_DELTA_BITMAP_H
#define DL_DELTA_BITMAP_H

#include "base/buf.h"
#include "base/str.h"

typedef struct dl_delta_bitmap dl_delta_bitmap;

/* Groups of 65536 neighbouring rows that have members, which bounds the memory at 256 MiB: all rows
 * of a file of 2^31, far beyond any; one more is DL_E_LIMIT. */
enum { DL_DELTA_BITMAP_CONTAINER_LIMIT = 32768 };

DL_NODISCARD dl_status dl_delta_bitmap_create(dl_delta_bitmap **out_bitmap, dl_error *err);
void dl_delta_bitmap_destroy(dl_delta_bitmap *bitmap);
DL_DEFINE_AUTO(dl_delta_bitmap)

/** `out_new` (may be NULL): it was not in the set before. */
DL_NODISCARD dl_status dl_delta_bitmap_add(dl_delta_bitmap *bitmap, uint64_t row, bool *out_new,
                                           dl_error *err);
/** bitmap = bitmap | other */
DL_NODISCARD dl_status dl_delta_bitmap_merge(dl_delta_bitmap *bitmap, const dl_delta_bitmap *other,
                                             dl_error *err);
bool dl_delta_bitmap_has(const dl_delta_bitmap *bitmap, uint64_t row);
uint64_t dl_delta_bitmap_count(const dl_delta_bitmap *bitmap);
/** Members below `row`. */
uint64_t dl_delta_bitmap_rank(const dl_delta_bitmap *bitmap, uint64_t row);
/** The smallest member >= row; false: none. */
bool dl_delta_bitmap_next(const dl_delta_bitmap *bitmap, uint64_t row, uint64_t *out_row);

/** Portable form with the Delta magic 1681511377 in front (array and bitmap containers). */
DL_NODISCARD dl_status dl_delta_bitmap_write(const dl_delta_bitmap *bitmap, dl_buf *out,
                                             dl_error *err);
/** Reads array, bitmap and run containers, and the older form (magic 1681511376). Adds to `bitmap`.
 * Errors: DL_E_CORRUPT. */
DL_NODISCARD dl_status dl_delta_bitmap_read(dl_delta_bitmap *bitmap, dl_bytes bytes, dl_error *err);

#endif
