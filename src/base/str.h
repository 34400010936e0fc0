/**
 * Text and bytes: a pointer and a length, borrowed, not NUL-terminated.
 *
 * DICOM values are padded and may hold NUL; print text with "%.*s", DL_STR_ARG(s).
 * `dl_phi` is text that may identify a patient: no log or error function accepts it.
 *
 * Thread: immutable values.
 */
#ifndef DL_BASE_STR_H
#define DL_BASE_STR_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dl_str {
    const char *ptr;
    size_t len;
} dl_str;

typedef struct dl_bytes {
    const uint8_t *ptr;
    size_t len;
} dl_bytes;

/** Text of a patient: reaches only stored data and authorised responses. */
typedef struct dl_phi {
    dl_str value;
} dl_phi;

#define DL_STR(literal) ((dl_str){(literal), sizeof(literal) - 1})
#define DL_STR_ARG(s)                                                                              \
    ((int)((s).len > 0x7fffffff ? 0x7fffffff : (s).len)), ((s).ptr == NULL ? "" : (s).ptr)
#define DL_STR_NONE ((dl_str){NULL, 0})

/** The text of a NUL-terminated string; NULL gives an empty one. */
dl_str dl_str_of(const char *text);
bool dl_str_eq(dl_str a, dl_str b);
/** Equal without regard to the case of ASCII letters. */
bool dl_str_eq_nocase(dl_str a, dl_str b);
bool dl_str_starts(dl_str text, dl_str prefix);
bool dl_str_starts_nocase(dl_str text, dl_str prefix);
bool dl_str_ends(dl_str text, dl_str suffix);
/** <0, 0, >0 as memcmp, the shorter first when one is the other's beginning. */
int dl_str_compare(dl_str a, dl_str b);
/** `text` from `start`, at most `len` bytes; clamped to what is there. */
dl_str dl_str_slice(dl_str text, size_t start, size_t len);
/** Position of the first `c`, or -1. */
ptrdiff_t dl_str_find(dl_str text, char c);
/** Position of the first `needle`, or -1. */
ptrdiff_t dl_str_find_str(dl_str text, dl_str needle);
/** Without spaces and tabs at both ends. */
dl_str dl_str_trim(dl_str text);
/** Without trailing spaces and NULs: the padding of DICOM text (PS3.5 section 6.2). */
dl_str dl_str_trim_padding(dl_str text);
/** Cut `*rest` at the first `separator`; returns what stood before it, false when nothing is left.
 */
bool dl_str_next(dl_str *rest, char separator, dl_str *out_part);
/** Decimal digits only, no sign, no overflow. */
bool dl_str_to_u64(dl_str text, uint64_t *out_value);
/** Decimal digits with an optional sign. */
bool dl_str_to_i64(dl_str text, int64_t *out_value);
/** One to sixteen hexadecimal digits, either case. */
bool dl_str_hex_to_u64(dl_str text, uint64_t *out_value);
/** Copy into `out` and end it with NUL; false (and out[0] = 0) when it does not fit or holds a NUL.
 */
bool dl_str_copy(dl_str text, char *out, size_t out_size_bytes);
/** Whether the bytes are well-formed UTF-8 (RFC 3629). */
bool dl_str_is_utf8(dl_str text);

#endif
