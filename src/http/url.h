/**
 * URL pieces: percent coding and query strings.
 *
 * Thread: pure functions.
 * Standard: RFC 3986; `+` in a query is a space (HTML form coding, service contract 1.3).
 */
#ifndef DL_HTTP_URL_H
#define DL_HTTP_URL_H

#include "base/arena.h"
#include "base/buf.h"

/**
 * Percent-decode; with `plus_is_space` also `+`. Errors: DL_E_INVALID for `%` without two hex
 * digits, for %00, and when the result is not UTF-8.
 */
DL_NODISCARD dl_status dl_url_decode(dl_str text, bool plus_is_space, dl_arena *arena,
                                     dl_str *out_text, dl_error *err);
/** Percent-encode all but unreserved characters (RFC 3986 section 2.3). */
DL_NODISCARD dl_status dl_url_encode(dl_str text, dl_buf *out, dl_error *err);

typedef struct dl_url_param {
    dl_str name, value; /* decoded */
    bool has_value;     /* an '=' was there */
} dl_url_param;

enum { DL_URL_PARAM_LIMIT = 256 };

/** All parameters in order; empty pieces (`a=1&&b=2`) are passed over. Errors: DL_E_INVALID,
 * DL_E_LIMIT. */
DL_NODISCARD dl_status dl_url_query_parse(dl_str query, dl_arena *arena, dl_url_param **out_params,
                                          size_t *out_count, dl_error *err);

#endif
