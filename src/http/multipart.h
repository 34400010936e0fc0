/**
 * Multipart reader: bytes in, part events out, as they come.
 *
 * Feed chunks of any size; the reader calls back with the headers of a part, its bytes in pieces,
 * and its end. It keeps at most the boundary's length plus one part's headers. Preamble and
 * epilogue are dropped. dl_multipart_finish() says whether the closing boundary was seen.
 *
 * Thread: confined.
 * Standard: RFC 2046 section 5.1.
 */
#ifndef DL_HTTP_MULTIPART_H
#define DL_HTTP_MULTIPART_H

#include "base/arena.h"
#include "base/buf.h"

enum {
    DL_MULTIPART_BOUNDARY_LIMIT = 200,       /* RFC 2046 says 70; Orthanc sends 73 */
    DL_MULTIPART_HEADER_LIMIT_BYTES = 16384, /* of one part */
};

/** A callback that fails stops the reading; its status and words come back from dl_multipart_feed.
 */
typedef struct dl_multipart_events {
    /** `headers` is the block between boundary and blank line, CRLF-separated, each header in one
     * line; see dl_multipart_header. */
    dl_status (*part_begin)(void *context, dl_str headers, dl_error *err);
    dl_status (*part_data)(void *context, dl_bytes bytes, dl_error *err);
    dl_status (*part_end)(void *context, dl_error *err);
    void *context;
} dl_multipart_events;

typedef struct dl_multipart dl_multipart;

/** Errors: DL_E_INVALID (boundary empty, too long, or with characters that no boundary has),
 * DL_E_NOMEM. */
DL_NODISCARD dl_status dl_multipart_create(dl_str boundary, const dl_multipart_events *events,
                                           dl_multipart **out_reader, dl_error *err);
void dl_multipart_destroy(dl_multipart *reader);
DL_DEFINE_AUTO(dl_multipart)

/** Errors: DL_E_INVALID (headers without end, too long), or what a callback returned. */
DL_NODISCARD dl_status dl_multipart_feed(dl_multipart *reader, dl_bytes chunk, dl_error *err);
/** DL_E_INVALID when the closing boundary has not been seen. */
DL_NODISCARD dl_status dl_multipart_finish(dl_multipart *reader, dl_error *err);
/** The value of a header of a part, name without case, trimmed; false when absent. */
bool dl_multipart_header(dl_str headers, const char *name, dl_str *out_value);

#endif
