/**
 * Ranges and entity tags: what a conditional GET of one thing asks for.
 *
 * Thread: pure functions.
 * Standard: RFC 9110 sections 8.8.3, 13.1 and 14.
 */
#ifndef DL_HTTP_RANGE_H
#define DL_HTTP_RANGE_H

#include "base/str.h"

/** Whether If-None-Match names the tag (or *), weakly compared; false without a header (ptr NULL).
 */
bool dl_http_etag_matches(dl_str header, dl_str etag);
/** Whether a change may go on: there is no If-Match (ptr NULL), or it names the tag (or *),
 * strongly compared. */
bool dl_http_if_match(dl_str header, dl_str etag);
/** Whether a Range counts: there is no If-Range (ptr NULL), or it is the tag, strongly compared. */
bool dl_http_if_range(dl_str header, dl_str etag);

typedef enum dl_http_range {
    DL_HTTP_RANGE_NONE,    /* the whole: none, several, or one that cannot be read */
    DL_HTTP_RANGE_OK,      /* 206: first and last byte */
    DL_HTTP_RANGE_OUTSIDE, /* 416 */
} dl_http_range;
/** The outputs are written for DL_HTTP_RANGE_OK alone. */
dl_http_range dl_http_range_parse(dl_str header, uint64_t size, uint64_t *out_first,
                                  uint64_t *out_last);

#endif
