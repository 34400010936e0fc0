/**
 * Table: rows of text in aligned columns, widths in terminal columns (not bytes).
 *
 * Rows are collected and printed at the end, because a column is as wide as its widest cell. Cells
 * are cleaned (text.h). On a terminal long cells are cut with an ellipsis; in a pipe nothing is.
 *
 * Thread: confined.
 */
#ifndef DL_CLI_TABLE_H
#define DL_CLI_TABLE_H

#include "base/arena.h"

#include <stdio.h>

enum { DL_CLI_TABLE_COLUMN_LIMIT = 80 };
#define DL_CLI_TABLE_LIMIT_BYTES ((size_t)256 << 20)

typedef struct dl_cli_table dl_cli_table;

typedef struct dl_cli_column {
    const char *title;
    bool right;         /* numbers */
    size_t width_limit; /* 0: as wide as it needs */
} dl_cli_column;

/** `columns` is copied, its titles are borrowed. Errors: DL_E_NOMEM, DL_E_LIMIT (too many). */
DL_NODISCARD dl_status dl_cli_table_create(const dl_cli_column *columns, size_t count,
                                           dl_cli_table **out_table, dl_error *err);
void dl_cli_table_destroy(dl_cli_table *table);
DL_DEFINE_AUTO(dl_cli_table)

/** One cell for each column; copied. Errors: DL_E_LIMIT. */
DL_NODISCARD dl_status dl_cli_table_add(dl_cli_table *table, const dl_str *cells, dl_error *err);
/** Titles and rows; nothing at all when there are no rows. */
DL_NODISCARD dl_status dl_cli_table_print(const dl_cli_table *table, FILE *out, dl_error *err);

#endif
