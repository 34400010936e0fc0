/**
 * What the files of this module share:
 *
 *     layout.c       JSON in Jupyter's layout
 *     language.c     what a cell of code is
 *     lexer.c        SQL into plain text, quotes and comments
 *     parameters.c   names and values, put into SQL as constants
 */
#ifndef DL_NOTEBOOK_INTERNAL_H
#define DL_NOTEBOOK_INTERNAL_H

#include "notebook/notebook.h"
#include "json/json.h"

enum { DL_NOTEBOOK_ID_LIMIT = 64 };

/* Of notebooks that we make. The language stands twice: Jupyter puts its kernel's into
 * language_info when it saves. */
#define DL_NOTEBOOK_METADATA                                                                       \
    "{\"dicomlake\":{\"language\":\"sql\"},\"language_info\":{\"file_extension\":\".sql\","        \
    "\"mimetype\":\"text/x-sql\",\"name\":\"sql\"}}"

/* ---- layout ---- */

/** One JSON value with an indent of 1, members by name (the last of equal names), strings without
 * needless escapes, numbers as they are. Errors: DL_E_LIMIT, DL_E_INVALID (nested too deeply). */
DL_NODISCARD dl_status dl_notebook_layout(dl_str json, dl_arena *arena, dl_buf *out, dl_error *err);
/** Lines with their ends, cut where Python's str.splitlines cuts; false when nothing is left. */
bool dl_notebook_next_line(dl_str *rest, dl_str *out_line);
/** Text as an array of its lines. */
void dl_notebook_put_lines(dl_json_writer *w, dl_str text);
/** The text of a string, or of an array of strings joined. False: neither. */
DL_NODISCARD dl_status dl_notebook_join(dl_str value, dl_arena *arena, bool *out_is_text,
                                        dl_str *out_text, dl_error *err);
/** Next member with its name unescaped. */
DL_NODISCARD dl_status dl_notebook_next_member(dl_json_iter *iter, dl_arena *arena, bool *out_more,
                                               dl_str *out_key, dl_str *out_value, dl_error *err);
/** What the buffer holds, copied. */
DL_NODISCARD dl_status dl_notebook_keep(dl_buf *buf, dl_arena *arena, dl_str *out, dl_error *err);
/** Gives ids to cells that have none, or one that another cell has: "cell-7". */
DL_NODISCARD dl_status dl_notebook_name_cells(dl_notebook_cell *cells, size_t count,
                                              dl_arena *arena, dl_error *err);
bool dl_notebook_id_is_fine(dl_str id);

/* ---- language ---- */

/** Sets `language` of all cells of code. */
DL_NODISCARD dl_status dl_notebook_tell_languages(dl_notebook *notebook, dl_arena *arena,
                                                  dl_error *err);
/** The word for the language of a cell: "sql", "python"; of OTHER what its first line, its metadata
 * or the notebook says. */
DL_NODISCARD dl_status dl_notebook_language_word(const dl_notebook *notebook,
                                                 const dl_notebook_cell *cell, dl_arena *arena,
                                                 dl_str *out_word, dl_error *err);
/** The word after "%%" and the rest of that line; false when the text begins otherwise. `out_body`
 * is what follows the line. */
bool dl_notebook_magic(dl_str source, dl_str *out_word, dl_str *out_rest, dl_str *out_body);
/** The SQL of a cell: without its first line when that is a magic one ("%%sql SELECT 1": without
 * the word). A slice of the source. */
dl_str dl_notebook_sql_of(dl_str source);
/** Whether metadata.tags has the tag. */
bool dl_notebook_has_tag(dl_str metadata_json, dl_str tag);

/** The next line without its end; false when nothing is left. An end makes no further line. */
bool dl_notebook_cut_line(dl_str *rest, dl_str *out_line);

/* ---- rows ---- */

enum {
    DL_NOTEBOOK_SHOWN_COLUMNS = 100,
    DL_NOTEBOOK_CELL_BYTES = 1000, /* of a value; beyond it is cut */
    DL_NOTEBOOK_CELL_WIDTH = 48,   /* of a value in plain text */
};

/** The beginning of a result: what a cell shows of it. */
typedef struct dl_notebook_grid {
    const dl_str *names; /* clean, as all texts */
    const bool *right;   /* numbers */
    const dl_str *cells; /* rows x columns; ptr NULL: NULL */
    size_t columns, rows;
    size_t all_columns;
    bool more; /* rows */
} dl_notebook_grid;

/** Reads the first rows; the others are never fetched. Errors: those of the result. */
DL_NODISCARD dl_status dl_notebook_grid_read(dl_query_result *result, dl_arena *arena,
                                             dl_notebook_grid *out, dl_error *err);
DL_NODISCARD dl_status dl_notebook_grid_put_plain(const dl_notebook_grid *grid, dl_buf *out,
                                                  dl_error *err);
DL_NODISCARD dl_status dl_notebook_grid_put_html(const dl_notebook_grid *grid, dl_buf *out,
                                                 dl_error *err);
/** Text as HTML shows it. */
DL_NODISCARD dl_status dl_notebook_put_escaped(dl_buf *out, dl_str text, dl_error *err);

/* ---- outputs ---- */

typedef enum dl_notebook_output_kind {
    DL_NOTEBOOK_OUTPUT_STREAM,
    DL_NOTEBOOK_OUTPUT_DATA, /* execute_result, display_data */
    DL_NOTEBOOK_OUTPUT_ERROR,
    DL_NOTEBOOK_OUTPUT_OTHER,
} dl_notebook_output_kind;

/** An output as the other forms show it; empty texts: not there. */
typedef struct dl_notebook_output {
    dl_notebook_output_kind kind;
    bool is_stderr;
    dl_str plain, html, svg, png, jpeg, markdown; /* `plain`: of a stream and an error too */
} dl_notebook_output;
DL_NODISCARD dl_status dl_notebook_output_read(dl_str json, dl_arena *arena,
                                               dl_notebook_output *out, dl_error *err);

/* ---- the other forms ---- */

DL_NODISCARD dl_status dl_notebook_put_script(const dl_notebook *notebook, dl_arena *arena,
                                              dl_buf *out, dl_error *err);
DL_NODISCARD dl_status dl_notebook_put_markdown(const dl_notebook *notebook, dl_arena *arena,
                                                dl_buf *out, dl_error *err);
DL_NODISCARD dl_status dl_notebook_put_html(const dl_notebook *notebook, dl_arena *arena,
                                            dl_buf *out, dl_error *err);
/** Base64 (RFC 4648) as in data: URLs. */
DL_NODISCARD dl_status dl_notebook_put_base64(dl_str bytes, dl_buf *out, dl_error *err);
bool dl_notebook_is_base64(dl_str text); /* lines of it too */
/** Text without a terminal's escape sequences and other control characters. */
DL_NODISCARD dl_status dl_notebook_clean(dl_str text, dl_arena *arena, dl_str *out_text,
                                         dl_error *err);

/* ---- lexer ---- */

typedef enum dl_notebook_token {
    DL_NOTEBOOK_PLAIN,
    DL_NOTEBOOK_QUOTED,  /* '...', "...", `...`, $tag$...$tag$ */
    DL_NOTEBOOK_COMMENT, /* -- to the end of the line, without it; block comments, nested */
    DL_NOTEBOOK_SEMICOLON,
} dl_notebook_token;

/** The next piece; false at the end. What is not closed goes to the end. */
bool dl_notebook_lex(dl_str sql, size_t *at, dl_notebook_token *out_token, dl_str *out_text);

/* ---- parameters ---- */

typedef enum dl_notebook_value {
    DL_NOTEBOOK_VALUE_NULL,
    DL_NOTEBOOK_VALUE_BOOL,
    DL_NOTEBOOK_VALUE_NUMBER,
    DL_NOTEBOOK_VALUE_DATE,
    DL_NOTEBOOK_VALUE_TIMESTAMP,
    DL_NOTEBOOK_VALUE_TEXT,
} dl_notebook_value;

typedef struct dl_notebook_constant {
    dl_str name;
    dl_notebook_value kind;
    dl_str sql; /* as it stands in SQL: 'CT', 12, (-3), DATE '2026-01-31', NULL */
} dl_notebook_constant;

typedef struct dl_notebook_constants {
    dl_notebook_constant items[DL_NOTEBOOK_PARAMETER_LIMIT];
    size_t count;
} dl_notebook_constants;

/** Those of a cell's lines, added to what is there. Errors: DL_E_INVALID (line, what is expected),
 * DL_E_LIMIT. */
DL_NODISCARD dl_status dl_notebook_constants_read(dl_str source, dl_arena *arena,
                                                  dl_notebook_constants *constants, dl_error *err);
/** Another value; text stays text, a number a number, a time a time: the notebook's own value says
 * what it is (NULL: anything). Errors: DL_E_INVALID (no such parameter, another kind). */
DL_NODISCARD dl_status dl_notebook_constants_set(dl_notebook_constants *constants,
                                                 const dl_notebook_parameter *parameter,
                                                 dl_arena *arena, dl_error *err);

/** Where a piece of the SQL came from. */
typedef struct dl_notebook_piece {
    size_t from, to;
    bool inserted; /* a constant: all of it came from `from` */
} dl_notebook_piece;
typedef struct dl_notebook_filled {
    dl_str sql;
    dl_notebook_piece *pieces; /* ascending in `to` */
    size_t piece_count;
} dl_notebook_filled;

/** "{{name}}" outside of quotes and comments becomes its constant. Errors: DL_E_INVALID (no such
 * parameter, one inside quotes) with `out_at`. */
DL_NODISCARD dl_status dl_notebook_fill(dl_str sql, const dl_notebook_constants *constants,
                                        dl_arena *arena, dl_notebook_filled *out, size_t *out_at,
                                        dl_error *err);
/** The byte of the cell that a byte of the filled SQL came from. */
size_t dl_notebook_filled_source(const dl_notebook_filled *filled, size_t to);

#endif
