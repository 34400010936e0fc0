#include "cli/table.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/width.h"
#include "cli/cli.h"
#include "cli/text.h"

enum { CELL_LIMIT_BYTES = 64 * 1024, GAP = 2 };

typedef struct row {
    struct row *next;
    dl_str *cells;
} row;

struct dl_cli_table {
    dl_arena *arena;
    size_t count; /* of columns */
    dl_cli_column columns[DL_CLI_TABLE_COLUMN_LIMIT];
    size_t widths[DL_CLI_TABLE_COLUMN_LIMIT];
    row *first, *last;
};

dl_status dl_cli_table_create(const dl_cli_column *columns, size_t count, dl_cli_table **out_table,
                              dl_error *err)
{
    if (count > DL_CLI_TABLE_COLUMN_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "%zu columns; a table has at most %d", count,
                            DL_CLI_TABLE_COLUMN_LIMIT);
    }
    DL_AUTO(dl_cli_table) table = dl_mem_zalloc(1, sizeof *table);
    if (table == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "table: out of memory");
    }
    table->arena = dl_arena_create(DL_CLI_TABLE_LIMIT_BYTES);
    if (table->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "table: out of memory");
    }
    table->count = count;
    for (size_t i = 0; i < count; i++) {
        table->columns[i] = columns[i];
        table->widths[i] = dl_width_of(dl_str_of(columns[i].title));
    }
    *out_table = DL_STEAL(table);
    return DL_OK;
}

void dl_cli_table_destroy(dl_cli_table *table)
{
    if (table != NULL) {
        dl_arena_destroy(table->arena);
        dl_mem_free(table);
    }
}

/** Cleaned, and cut when the column has a limit. */
static dl_status make_cell(dl_cli_table *table, size_t i, dl_str text, dl_str *out_cell,
                           dl_error *err)
{
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, CELL_LIMIT_BYTES);
    size_t limit = table->columns[i].width_limit;
    /* U+FFFD for one byte is three: a third of the limit always fits. */
    DL_TRY(dl_cli_text_clean(dl_str_slice(text, 0, CELL_LIMIT_BYTES / 3), &clean, err));
    if (limit > 0 && dl_width_of(dl_buf_str(&clean)) > limit) {
        clean.len = dl_width_cut(dl_buf_str(&clean), limit - 1).len;
        DL_TRY(dl_buf_append_str(&clean, DL_STR("\xe2\x80\xa6"), err));
    }
    size_t width = dl_width_of(dl_buf_str(&clean));
    if (width > table->widths[i]) {
        table->widths[i] = width;
    }
    return dl_arena_copy(table->arena, dl_buf_str(&clean), out_cell, err);
}

dl_status dl_cli_table_add(dl_cli_table *table, const dl_str *cells, dl_error *err)
{
    row *made = dl_arena_alloc(table->arena, 1, sizeof *made);
    dl_str *copies = dl_arena_alloc(table->arena, table->count, sizeof *copies);
    if (made == NULL || copies == NULL) {
        return dl_arena_full(table->arena, err);
    }
    for (size_t i = 0; i < table->count; i++) {
        DL_TRY(make_cell(table, i, cells[i], &copies[i], err));
    }
    made->cells = copies;
    if (table->last == NULL) {
        table->first = made;
    } else {
        table->last->next = made;
    }
    table->last = made;
    return DL_OK;
}

/** The last column is not padded, so that lines have no trailing spaces. */
static void print_cell(const dl_cli_table *table, size_t i, dl_str text, FILE *out)
{
    size_t width = dl_width_of(text);
    int pad = (int)(table->widths[i] > width ? table->widths[i] - width : 0);
    bool last = i + 1 == table->count;
    if (table->columns[i].right) {
        (void)fprintf(out, "%*s%.*s", pad, "", DL_STR_ARG(text));
        pad = 0;
    } else {
        (void)fprintf(out, "%.*s", DL_STR_ARG(text));
    }
    if (last) {
        (void)fputc('\n', out);
    } else {
        (void)fprintf(out, "%*s", pad + GAP, "");
    }
}

dl_status dl_cli_table_print(const dl_cli_table *table, FILE *out, dl_error *err)
{
    if (table->first == NULL) {
        return DL_OK;
    }
    for (size_t i = 0; i < table->count; i++) {
        print_cell(table, i, dl_str_of(table->columns[i].title), out);
    }
    for (const row *r = table->first; r != NULL; r = r->next) {
        for (size_t i = 0; i < table->count; i++) {
            print_cell(table, i, r->cells[i], out);
        }
    }
    if (ferror(out) && !dl_cli_reader_left(out)) {
        return dl_error_set(err, DL_E_IO, "cannot write the table");
    }
    return DL_OK;
}
