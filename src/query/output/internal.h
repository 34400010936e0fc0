/**
 * What the formats of output.h share: the writer that gathers bytes for the sink, names that are
 * unique, and, for TABLE, MARKDOWN and HTML, the first rows as clean text.
 *
 * Thread: confined.
 */
#ifndef DL_QUERY_OUTPUT_INTERNAL_H
#define DL_QUERY_OUTPUT_INTERNAL_H

#include "query/output.h"

/* One row is gathered at a time: this bounds the longest. */
#define DL_OUTPUT_BUF_LIMIT_BYTES ((size_t)1 << 30)
#define DL_OUTPUT_ARENA_LIMIT_BYTES ((size_t)1 << 30)
enum { DL_OUTPUT_FLUSH_BYTES = 256 * 1024 };

typedef struct dl_output {
    dl_query_result *result;
    const dl_query_output *options;
    const dl_query_sink *sink;
    size_t columns;
    dl_buf buf; /* what the sink has not got yet */
    int64_t rows;
} dl_output;

/** Give the sink what was gathered; `dl_output_flush_full` only when it is much. */
DL_NODISCARD dl_status dl_output_flush(dl_output *out, dl_error *err);
static inline DL_UNUSED DL_NODISCARD dl_status dl_output_flush_full(dl_output *out, dl_error *err)
{
    return out->buf.len < DL_OUTPUT_FLUSH_BYTES ? DL_OK : dl_output_flush(out, err);
}

/** Names of the columns, each once: a second "a" becomes "a_1". `nocase`: "A" and "a" are one. */
DL_NODISCARD dl_status dl_output_names(const dl_query_result *result, bool nocase, dl_arena *arena,
                                       dl_str **out_names, dl_error *err);

/* ---- the formats ---- */

DL_NODISCARD dl_status dl_output_csv(dl_output *out, dl_error *err);
DL_NODISCARD dl_status dl_output_json(dl_output *out, dl_error *err);
DL_NODISCARD dl_status dl_output_table(dl_output *out, dl_error *err);
DL_NODISCARD dl_status dl_output_markdown(dl_output *out, dl_error *err);
DL_NODISCARD dl_status dl_output_html(dl_output *out, dl_error *err);
DL_NODISCARD dl_status dl_output_arrow(dl_output *out, dl_error *err);
DL_NODISCARD dl_status dl_output_parquet(dl_output *out, dl_error *err);

/* ---- the first rows ---- */

typedef struct dl_output_shown {
    dl_str *cells; /* rows x columns, in the arena; ptr NULL: NULL */
    size_t rows;
} dl_output_shown;

/** Keep the first `shown_rows` rows, count the others. `cell_width` > 0: cells are shortened to so
 * many terminal columns; else whole. Control characters become symbols. */
DL_NODISCARD dl_status dl_output_show(dl_output *out, size_t cell_width, dl_arena *arena,
                                      dl_output_shown *out_shown, dl_error *err);
/** Append with control characters as symbols (U+2400), what turns or hides text as U+FFFD.
 * `keep_lines`: line feeds stay. */
DL_NODISCARD dl_status dl_output_put_clean(dl_str text, bool keep_lines, dl_buf *out,
                                           dl_error *err);
/** Numbers stand to the right. */
bool dl_output_is_right(dl_query_kind kind);
/** "3 rows", "1 row", "100 rows, 40 shown". */
DL_NODISCARD dl_status dl_output_put_count(const dl_output *out, size_t shown, dl_buf *buf,
                                           dl_error *err);

#endif
