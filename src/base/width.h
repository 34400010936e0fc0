/**
 * Width: what UTF-8 text takes on a terminal, in columns. Wide signs take two, combining ones none,
 * ill-formed bytes one each.
 *
 * Thread: pure functions.
 */
#ifndef DL_BASE_WIDTH_H
#define DL_BASE_WIDTH_H

#include "base/str.h"

/** The code point at byte `at`, which is below the length; ill-formed: one byte and -1. Returns the
 * bytes that it takes. */
size_t dl_width_point(dl_str text, size_t at, int32_t *out_point);
size_t dl_width_of(dl_str text);
/** The longest beginning that is at most `width` columns wide. */
dl_str dl_width_cut(dl_str text, size_t width);

#endif
