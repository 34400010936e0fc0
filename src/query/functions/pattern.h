/**
 * Pattern: times as text by the letters of Java's DateTimeFormatter, as Spark's date_format and
 * to_timestamp take them. All times are UTC; names are English.
 *
 *     G era   y u year   Q q quarter   M L month   d day   D day of the year   E day of the week
 *     a AM/PM   H 0-23  k 1-24  K 0-11  h 1-12   m minute   s second   S fraction
 *     V z O X x Z zone   'text'   '' a quote   [ ] optional when read
 *
 * Thread: pure.
 * Standard: docs of Spark SQL, "Datetime Patterns for Formatting and Parsing".
 */
#ifndef DL_QUERY_FUNCTIONS_PATTERN_H
#define DL_QUERY_FUNCTIONS_PATTERN_H

#include "base/arena.h"
#include "base/buf.h"

enum { DL_PATTERN_LIMIT = 128 /* letters and pieces of text */ };

typedef struct dl_pattern_item {
    char letter;    /* '\0': text; '[' and ']' */
    uint8_t count;  /* of the letter */
    bool adjacent;  /* digits follow at once: as many as letters, no more */
    uint8_t at, to; /* of text: bytes of the pattern */
} dl_pattern_item;

typedef struct dl_pattern {
    dl_pattern_item items[DL_PATTERN_LIMIT];
    size_t count;
    char text[256];
} dl_pattern;

/** Errors: DL_E_INVALID naming the letter; DL_E_LIMIT (more than 255 bytes). */
DL_NODISCARD dl_status dl_pattern_read(dl_str text, dl_pattern *out_pattern, dl_error *err);
/** Appends at most some 50 bytes an item. */
DL_NODISCARD dl_status dl_pattern_format(const dl_pattern *pattern, int64_t time_us, dl_buf *out,
                                         dl_error *err);
/** The whole text; what the pattern has no letter for is that of 1970-01-01 00:00:00. False: the
 * text is no such time. */
bool dl_pattern_parse(const dl_pattern *pattern, dl_str text, int64_t *out_time_us);

#endif
