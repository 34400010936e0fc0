/**
 * Notebook: Jupyter's .ipynb (nbformat 4.5) with cells of SQL and Markdown, run without Jupyter.
 *
 * Cells of code are SQL unless their first line or their metadata says another language:
 * "%%sql", "%%chart KIND ..." (SQL below it, drawn), "%%python" or "%%pyspark" (kept, not run here:
 * said so). A notebook's language is metadata.language_info.name, or metadata.dicomlake.language.
 * A result becomes a standard output: execute_result with text/plain and text/html, a chart
 * display_data with image/svg+xml and text/plain; an error output has ename, evalue and traceback.
 * Parameters: the cell with the tag "parameters" has lines "name = value"; "{{name}}" in SQL stands
 * for the value as a SQL constant (text is quoted: it can never become SQL).
 *
 * What a notebook has and we do not know (metadata, attachments, other outputs) is kept, in its
 * place. Writing gives Jupyter's own layout (indent 1, keys in order of names, a final newline),
 * so that a diff shows what changed.
 *
 * Thread: pure but for the I/O and the query.
 * Standard: nbformat 4.5 (docs of Jupyter's nbformat).
 */
#ifndef DL_NOTEBOOK_NOTEBOOK_H
#define DL_NOTEBOOK_NOTEBOOK_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "query/query.h"

enum {
    DL_NOTEBOOK_LIMIT_BYTES = 64 * 1024 * 1024,
    DL_NOTEBOOK_CELL_LIMIT = 10000,
    DL_NOTEBOOK_PARAMETER_LIMIT = 100,
    DL_NOTEBOOK_SHOWN_ROWS = 100, /* of a result in a cell */
};

typedef enum dl_notebook_cell_kind {
    DL_NOTEBOOK_MARKDOWN,
    DL_NOTEBOOK_CODE,
    DL_NOTEBOOK_RAW,
    DL_NOTEBOOK_UNKNOWN, /* of a format after 4.5: kept, all of it in other_json */
} dl_notebook_cell_kind;

typedef enum dl_notebook_language {
    DL_NOTEBOOK_SQL,
    DL_NOTEBOOK_CHART,      /* SQL with a %%chart line */
    DL_NOTEBOOK_PARAMETERS, /* the cell with that tag */
    DL_NOTEBOOK_OTHER,      /* kept, not run */
} dl_notebook_language;

typedef struct dl_notebook_cell {
    dl_notebook_cell_kind kind;
    dl_notebook_language language; /* of CODE */
    dl_str id;                     /* 1 to 64 of letters, digits, '-', '_'; unique */
    dl_str source;
    dl_str metadata_json;    /* "{}" */
    dl_str outputs_json;     /* of CODE: an array */
    int64_t execution_count; /* 0: null */
    dl_str other_json;       /* members that we do not know, as an object; empty: none */
} dl_notebook_cell;

typedef struct dl_notebook {
    dl_str metadata_json;
    int minor; /* nbformat_minor; below 5: cells get ids, and it becomes 5 */
    dl_notebook_cell *cells;
    size_t cell_count;
    dl_str other_json;
} dl_notebook;

/** Errors: DL_E_INVALID (JSON path), DL_E_UNSUPPORTED (nbformat below 4 or above), DL_E_LIMIT. */
DL_NODISCARD dl_status dl_notebook_read(dl_str json, dl_arena *arena, dl_notebook *out,
                                        dl_error *err);
DL_NODISCARD dl_status dl_notebook_write(const dl_notebook *notebook, dl_buf *out, dl_error *err);
/** A new one: a title, and a first cell over the tables that there are. */
DL_NODISCARD dl_status dl_notebook_make(dl_str title, const dl_query_table *tables,
                                        size_t table_count, dl_arena *arena, dl_notebook *out,
                                        dl_error *err);

/* ---- templates ---- */

/** A notebook that comes with the program (notebooks/ of the sources). */
typedef struct dl_notebook_template {
    const char *name, *summary;
    dl_str json;
} dl_notebook_template;

const dl_notebook_template *dl_notebook_templates(size_t *out_count);
/** NULL: there is none of that name. */
const dl_notebook_template *dl_notebook_template_find(dl_str name);

/* ---- running ---- */

typedef struct dl_notebook_parameter {
    dl_str name, value;
} dl_notebook_parameter;

typedef struct dl_notebook_run_options {
    dl_query *query;
    const dl_notebook_parameter *parameters; /* over those of the notebook */
    size_t parameter_count;
    bool go_on; /* after a cell that failed */
    dl_cancel *cancel;
    /** Before a cell (`done` false) and after it; may be NULL. */
    void (*on_cell)(void *context, size_t index, bool done);
    void *context;
} dl_notebook_run_options;

typedef struct dl_notebook_ran {
    size_t cells, failed, skipped; /* skipped: other languages, or after a failure */
    size_t first_failed;           /* SIZE_MAX: none */
    dl_error why;                  /* of the first failure */
} dl_notebook_ran;

/** Runs the cells in order and puts outputs into the notebook (texts in the arena). DL_OK also when
 * cells failed. Errors: DL_E_INVALID (a parameter that the notebook does not have), DL_E_CANCELED,
 * DL_E_NOMEM. */
DL_NODISCARD dl_status dl_notebook_run(dl_notebook *notebook,
                                       const dl_notebook_run_options *options, dl_arena *arena,
                                       dl_notebook_ran *out, dl_error *err);

/* ---- other forms ---- */

typedef enum dl_notebook_form {
    DL_NOTEBOOK_IPYNB,
    DL_NOTEBOOK_SQL_SCRIPT, /* statements; text as comments; reads back */
    DL_NOTEBOOK_MARKDOWN_TEXT,
    DL_NOTEBOOK_HTML_PAGE, /* one file with its outputs and pictures; no script */
} dl_notebook_form;
DL_NODISCARD dl_status dl_notebook_convert(const dl_notebook *notebook, dl_notebook_form form,
                                           dl_buf *out, dl_error *err);
DL_NODISCARD dl_status dl_notebook_from_script(dl_str sql, dl_arena *arena, dl_notebook *out,
                                               dl_error *err);

#endif
