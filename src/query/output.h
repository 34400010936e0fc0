/**
 * Output: a result in the format that somebody asked for, row by row; memory does not grow with it,
 * but for TABLE, MARKDOWN and HTML, which see `shown_rows` rows before they know their widths and
 * say how many were left out.
 *
 *     table     aligned columns with a line below the names; numbers to the right; cells shortened
 *               to the width; control characters shown as symbols
 *     csv       RFC 4180, but lines end in LF; a header line; NULL is empty, empty text is ""
 *     json      one array of objects          jsonl     an object a line
 *     markdown  a pipe table                  html      <table>, everything escaped
 *     arrow     IPC stream (Arrow columnar format)
 *     parquet   a file, zstd; one row group is held
 *
 * Thread: confined.
 */
#ifndef DL_QUERY_OUTPUT_H
#define DL_QUERY_OUTPUT_H

#include "query/query.h"

typedef enum dl_query_format {
    DL_QUERY_TABLE,
    DL_QUERY_CSV,
    DL_QUERY_JSON,
    DL_QUERY_JSONL,
    DL_QUERY_MARKDOWN,
    DL_QUERY_HTML,
    DL_QUERY_ARROW,
    DL_QUERY_PARQUET,
} dl_query_format;
enum { DL_QUERY_FORMATS = 8, DL_QUERY_SHOWN_ROWS = 40, DL_QUERY_CELL_WIDTH = 64 };

/** "table", "csv", ...; NULL past the last. */
const char *dl_query_format_name(dl_query_format format);
const char *dl_query_format_type(dl_query_format format); /* media type */
/** Errors: DL_E_INVALID naming those there are. */
DL_NODISCARD dl_status dl_query_format_of(const char *name, dl_query_format *out_format,
                                          dl_error *err);

typedef struct dl_query_sink {
    DL_NODISCARD dl_status (*write)(void *context, dl_str bytes, dl_error *err);
    void *context;
} dl_query_sink;

typedef struct dl_query_output {
    dl_query_format format;
    size_t shown_rows; /* of TABLE, MARKDOWN, HTML; 0: DL_QUERY_SHOWN_ROWS; SIZE_MAX: all (held) */
    size_t width;      /* of TABLE's line; 0: no bound */
    bool no_header;    /* of CSV */
    const char *null_text; /* of TABLE; NULL: "NULL" */
} dl_query_output;

/** Writes the whole result; `out_rows` counts. The sink is called by this thread. Errors: those of
 * the result and of the sink; DL_E_UNSUPPORTED (a type that the format does not have). */
DL_NODISCARD dl_status dl_query_write(dl_query_result *result, const dl_query_output *output,
                                      const dl_query_sink *sink, int64_t *out_rows, dl_error *err);

#endif
