/**
 * JSON: a writer into a bounded buffer, and a reader that never builds a tree.
 *
 * Reading is by spans: an object or array is walked member by member, each value comes back as the
 * raw text it has in the input, which can be walked in turn, converted, or copied as it is. No
 * recursion; depth is bounded by DL_JSON_DEPTH_LIMIT. dl_json_check() is for text from outside:
 * after it, walking cannot fail. Text that we wrote ourselves needs no check.
 *
 * Thread: confined (writer, iterators), the rest pure.
 * Standard: RFC 8259.
 */
#ifndef DL_JSON_JSON_H
#define DL_JSON_JSON_H

#include "base/arena.h"
#include "base/buf.h"

enum { DL_JSON_DEPTH_LIMIT = 200 };

/* ---- writing: commas and colons come by themselves ---- */

typedef struct dl_json_writer {
    dl_buf *buf;
    dl_status status; /* the first failure; later calls do nothing */
    dl_error *err;
    bool need_comma;
} dl_json_writer;

/** `err` receives the first failure; dl_json_writer_status says it at the end. */
void dl_json_writer_init(dl_json_writer *w, dl_buf *buf, dl_error *err);
void dl_json_object_begin(dl_json_writer *w);
void dl_json_object_end(dl_json_writer *w);
void dl_json_array_begin(dl_json_writer *w);
void dl_json_array_end(dl_json_writer *w);
void dl_json_key(dl_json_writer *w, dl_str key);
/** UTF-8; ill-formed bytes become U+FFFD; control characters, quotes and backslashes are escaped.
 */
void dl_json_string(dl_json_writer *w, dl_str text);
void dl_json_int(dl_json_writer *w, int64_t value);
/** Shortest text that reads back the same; NaN and infinities, which JSON lacks, as null. */
void dl_json_double(dl_json_writer *w, double value);
void dl_json_bool(dl_json_writer *w, bool value);
void dl_json_null(dl_json_writer *w);
/** Text that is one JSON value already, or in an object one member. */
void dl_json_raw(dl_json_writer *w, dl_str json);
DL_NODISCARD dl_status dl_json_writer_status(const dl_json_writer *w);

/** Append `text` as a quoted JSON string (dl_json_string without a writer). */
DL_NODISCARD dl_status dl_json_quote(dl_buf *buf, dl_str text, dl_error *err);

/* ---- reading ---- */

typedef enum dl_json_kind {
    DL_JSON_NONE, /* not a value */
    DL_JSON_OBJECT,
    DL_JSON_ARRAY,
    DL_JSON_STRING,
    DL_JSON_NUMBER,
    DL_JSON_BOOL,
    DL_JSON_NULL,
} dl_json_kind;

/** One value and nothing but white space round it. Errors: DL_E_INVALID with the byte position. */
DL_NODISCARD dl_status dl_json_check(dl_str text, dl_error *err);

/**
 * A copy in which `//` and block comments and commas before a closing bracket are blanked, for the
 * bodies and configuration files that may have them (service contract 1.4).
 */
DL_NODISCARD dl_status dl_json_relax(dl_str text, dl_arena *arena, dl_str *out_text, dl_error *err);

dl_json_kind dl_json_kind_of(dl_str value);

typedef struct dl_json_iter {
    dl_str rest;
} dl_json_iter;

/** Over the members of an object or the elements of an array; over nothing for any other value. */
dl_json_iter dl_json_iter_of(dl_str value);
/** `out_key` is the raw key between its quotes (escapes untouched); false at the end or on
 * ill-formed text. */
bool dl_json_next_member(dl_json_iter *iter, dl_str *out_key, dl_str *out_value);
bool dl_json_next_element(dl_json_iter *iter, dl_str *out_value);

/** The member called `key`, byte for byte; of several the last (RFC 8259 leaves it open). */
bool dl_json_get(dl_str object, dl_str key, dl_str *out_value);
/** As dl_json_get without regard to the case of ASCII letters. */
bool dl_json_get_nocase(dl_str object, dl_str key, dl_str *out_value);
/** Element `index` of an array. */
bool dl_json_at(dl_str array, size_t index, dl_str *out_value);

/** The text of a string value, unescaped, UTF-8. Errors: DL_E_INVALID (not a string), DL_E_LIMIT.
 */
DL_NODISCARD dl_status dl_json_text(dl_str value, dl_arena *arena, dl_str *out_text, dl_error *err);
bool dl_json_int_of(dl_str value, int64_t *out_value);
bool dl_json_bool_of(dl_str value, bool *out_value);

#endif
