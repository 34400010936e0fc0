/**
 * Media types and Accept headers.
 *
 * Thread: pure functions.
 * Standard: RFC 9110 sections 8.3.1 and 12.5.1, RFC 2387 (multipart/related).
 */
#ifndef DL_HTTP_MEDIA_H
#define DL_HTTP_MEDIA_H

#include "base/arena.h"

enum { DL_MEDIA_PARAM_LIMIT = 16, DL_MEDIA_RANGE_LIMIT = 64 };

typedef struct dl_media_param {
    dl_str name, value; /* value without its quotes and backslash escapes */
} dl_media_param;

typedef struct dl_media {
    dl_str type; /* "application/dicom", as written; compare without case */
    dl_media_param params[DL_MEDIA_PARAM_LIMIT];
    size_t param_count;
    double q; /* 0..1; 1 when absent */
} dl_media;

/** One media type (a Content-Type). Errors: DL_E_INVALID, DL_E_LIMIT (parameters). Strings belong
 * to the arena or to `text`; of parameters with one name the first counts. */
DL_NODISCARD dl_status dl_media_parse(dl_str text, dl_arena *arena, dl_media *out_media,
                                      dl_error *err);
/** An Accept header: ranges by falling q, ties in order of appearance. Errors: DL_E_INVALID,
 * DL_E_LIMIT. */
DL_NODISCARD dl_status dl_media_parse_accept(dl_str text, dl_arena *arena, dl_media **out_ranges,
                                             size_t *out_count, dl_error *err);
/** The value of a parameter, name without case; an empty string with ptr NULL when absent. */
dl_str dl_media_param_of(const dl_media *media, const char *name);
bool dl_media_type_is(const dl_media *media, const char *type);
/** Whether the range covers the type: the exact one, its "type/any" or "any/any" wildcard, with q >
 * 0. */
bool dl_media_range_covers(const dl_media *range, const char *type);

#endif
