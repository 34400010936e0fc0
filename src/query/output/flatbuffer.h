/**
 * Flatbuffer: as much of the format as messages of the Arrow stream need, written front to back:
 * a table stands before what it points to, and its places are filled in afterwards.
 *
 * Thread: confined.
 * Standard: FlatBuffers' internals (flatbuffers.dev), little-endian.
 */
#ifndef DL_QUERY_OUTPUT_FLATBUFFER_H
#define DL_QUERY_OUTPUT_FLATBUFFER_H

#include "base/buf.h"

enum { DL_FLATBUFFER_FIELD_LIMIT = 8 };

typedef struct dl_flatbuffer {
    dl_buf buf;
    dl_error *err;
    dl_status status; /* the first failure; later calls do nothing */
} dl_flatbuffer;

/** A member of a table, in the order of the schema. */
typedef struct dl_flatbuffer_field {
    unsigned size; /* 1, 2, 4, 8 bytes; 0: left out, its default counts */
    int64_t value; /* a place that is filled in later: size 4, value 0 */
} dl_flatbuffer_field;

/** Begin anew: the root's place is 0. */
void dl_flatbuffer_begin(dl_flatbuffer *f);
/** A table that the place points to; `out_places` (count items; may be NULL) are where its members
 * stand. */
void dl_flatbuffer_table(dl_flatbuffer *f, size_t place, const dl_flatbuffer_field *fields,
                         size_t count, size_t *out_places);
/** A text that the place points to. */
void dl_flatbuffer_text(dl_flatbuffer *f, size_t place, dl_str text);
/** A vector that the place points to, of `count` items of `item_size` bytes (aligned to 8 when that
 * is a multiple of 8, else to 4); `items` NULL: places to be filled in, of 4 bytes. The first
 * item's place is returned. */
size_t dl_flatbuffer_vector(dl_flatbuffer *f, size_t place, const void *items, size_t count,
                            size_t item_size);

#endif
