#include "notebook/internal.h"

#include <string.h>
#include <utf8proc.h>

#define ELLIPSIS "\xe2\x80\xa6"
#define LINE "\xe2\x94\x80"
#define REPLACEMENT "\xef\xbf\xbd"

enum { VALUE_LIMIT_BYTES = 256 * 1024 * 1024, GAP = 2 };

/* ---- text ---- */

/* One code point; of what is ill-formed a byte, and -1. */
static size_t next_point(dl_str text, size_t at, utf8proc_int32_t *out_point)
{
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.ptr + at,
                                          (utf8proc_ssize_t)(text.len - at), out_point);
    *out_point = n <= 0 ? -1 : *out_point;
    return n <= 0 ? 1 : (size_t)n;
}

static size_t width_of(dl_str text)
{
    size_t width = 0;
    for (size_t at = 0; at < text.len;) {
        utf8proc_int32_t point = -1;
        at += next_point(text, at, &point);
        width += point < 0 ? 1 : (size_t)utf8proc_charwidth(point);
    }
    return width;
}

/* The beginning that takes at most so many columns. */
static dl_str cut_width(dl_str text, size_t width)
{
    size_t at = 0;
    while (at < text.len) {
        utf8proc_int32_t point = -1;
        size_t n = next_point(text, at, &point);
        size_t columns = point < 0 ? 1 : (size_t)utf8proc_charwidth(point);
        if (columns > width) {
            break;
        }
        width -= columns;
        at += n;
    }
    return dl_str_slice(text, 0, at);
}

/* Turns the direction of text, breaks lines, or shows nothing. */
static bool is_harmful(utf8proc_int32_t point)
{
    return point < 0 || (point >= 0x80 && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2060 && point <= 0x2069) ||
           point == 0x61c || point == 0xfeff;
}

/* Control characters as their symbols, what is harmful as U+FFFD. */
static dl_status put_clean(dl_str text, dl_buf *out, dl_error *err)
{
    for (size_t at = 0; at < text.len;) {
        utf8proc_int32_t point = -1;
        size_t n = next_point(text, at, &point);
        if (point >= 0 && (point < 0x20 || point == 0x7f)) {
            const char symbol[] = {'\xe2', '\x90',
                                   (char)(0x80 + (point == 0x7f ? 0x21 : point))}; /* U+2400 */
            DL_TRY(dl_buf_append(out, symbol, sizeof symbol, err));
        } else if (is_harmful(point)) {
            DL_TRY(dl_buf_append_str(out, DL_STR(REPLACEMENT), err));
        } else {
            DL_TRY(dl_buf_append(out, text.ptr + at, n, err));
        }
        at += n;
    }
    return DL_OK;
}

/* At most DL_NOTEBOOK_CELL_BYTES of a value, cut between code points. */
static dl_status keep_text(dl_str text, dl_buf *work, dl_arena *arena, dl_str *out, dl_error *err)
{
    size_t len = text.len;
    if (len > DL_NOTEBOOK_CELL_BYTES) {
        len = DL_NOTEBOOK_CELL_BYTES;
        while (len > 0 && ((unsigned char)text.ptr[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    dl_buf_reset(work);
    DL_TRY(put_clean(dl_str_slice(text, 0, len), work, err));
    if (len < text.len) {
        DL_TRY(dl_buf_append_str(work, DL_STR(ELLIPSIS), err));
    }
    return dl_arena_copy(arena, dl_buf_str(work), out, err);
}

/* ---- reading ---- */

typedef struct grid_reader {
    dl_query_result *result;
    dl_arena *arena;
    dl_buf raw, clean;
    dl_str *cells;
    dl_notebook_grid grid;
} grid_reader;

static dl_status read_names(grid_reader *r, dl_error *err)
{
    size_t all = dl_query_column_count(r->result);
    size_t shown = all < DL_NOTEBOOK_SHOWN_COLUMNS ? all : DL_NOTEBOOK_SHOWN_COLUMNS;
    dl_str *names = dl_arena_alloc(r->arena, shown + 1, sizeof *names);
    bool *right = dl_arena_alloc(r->arena, shown + 1, sizeof *right);
    r->cells = dl_arena_alloc(r->arena, (shown + 1) * DL_NOTEBOOK_SHOWN_ROWS, sizeof *r->cells);
    if (names == NULL || right == NULL || r->cells == NULL) {
        return dl_arena_full(r->arena, err);
    }
    for (size_t i = 0; i < shown; i++) {
        const dl_query_column *column = dl_query_column_at(r->result, i);
        DL_TRY(keep_text(column->name, &r->clean, r->arena, &names[i], err));
        right[i] = column->kind == DL_QUERY_INTEGER || column->kind == DL_QUERY_NUMBER;
    }
    r->grid = (dl_notebook_grid){
        .names = names, .right = right, .cells = r->cells, .columns = shown, .all_columns = all};
    return DL_OK;
}

static dl_status read_row(grid_reader *r, size_t row, dl_error *err)
{
    dl_str *cells = r->cells + r->grid.rows * r->grid.columns;
    for (size_t i = 0; i < r->grid.columns; i++) {
        cells[i] = DL_STR_NONE;
        if (!dl_query_is_null(r->result, i, row)) {
            dl_buf_reset(&r->raw);
            DL_TRY(dl_query_put_text(r->result, i, row, &r->raw, err));
            DL_TRY(keep_text(dl_buf_str(&r->raw), &r->clean, r->arena, &cells[i], err));
        }
    }
    r->grid.rows++;
    return DL_OK;
}

static dl_status read_rows(grid_reader *r, dl_error *err)
{
    DL_TRY(read_names(r, err));
    while (!r->grid.more) {
        size_t rows = 0;
        DL_TRY(dl_query_next(r->result, &rows, err));
        if (rows == 0) {
            break;
        }
        for (size_t row = 0; row < rows && !r->grid.more; row++) {
            r->grid.more = r->grid.rows == DL_NOTEBOOK_SHOWN_ROWS;
            if (!r->grid.more) {
                DL_TRY(read_row(r, row, err));
            }
        }
    }
    return DL_OK;
}

dl_status dl_notebook_grid_read(dl_query_result *result, dl_arena *arena, dl_notebook_grid *out,
                                dl_error *err)
{
    grid_reader r = {.result = result, .arena = arena};
    dl_buf_init(&r.raw, VALUE_LIMIT_BYTES);
    dl_buf_init(&r.clean, (size_t)4 * DL_NOTEBOOK_CELL_BYTES);
    dl_status status = read_rows(&r, err);
    dl_buf_clear(&r.raw);
    dl_buf_clear(&r.clean);
    if (status == DL_OK) {
        *out = r.grid;
    }
    return status;
}

/* ---- what was left out ---- */

static dl_status put_count(const dl_notebook_grid *grid, dl_buf *out, dl_error *err)
{
    if (grid->more) {
        DL_TRY(dl_buf_printf(out, err, "the first %zu rows; there are more", grid->rows));
    } else {
        DL_TRY(dl_buf_printf(out, err, "%zu %s", grid->rows, grid->rows == 1 ? "row" : "rows"));
    }
    if (grid->columns == grid->all_columns) {
        return DL_OK;
    }
    return dl_buf_printf(out, err, "; %zu of %zu columns", grid->columns, grid->all_columns);
}

static dl_str cell_of(const dl_notebook_grid *grid, size_t row, size_t column)
{
    return grid->cells[row * grid->columns + column];
}

/* ---- plain text ---- */

static dl_str shown_of(dl_str cell)
{
    return cell.ptr == NULL ? DL_STR("NULL") : cell;
}

static size_t bounded_width(dl_str text)
{
    size_t width = width_of(text);
    return width < DL_NOTEBOOK_CELL_WIDTH ? width : DL_NOTEBOOK_CELL_WIDTH;
}

static size_t column_width(const dl_notebook_grid *grid, size_t column)
{
    size_t width = bounded_width(grid->names[column]);
    for (size_t row = 0; row < grid->rows; row++) {
        size_t one = bounded_width(shown_of(cell_of(grid, row, column)));
        width = one > width ? one : width;
    }
    return width;
}

static dl_status put_spaces(dl_buf *out, size_t count, dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_buf_append_char(out, ' ', err));
    }
    return DL_OK;
}

/* Nothing but its text stands at the end of a line. */
static dl_status put_plain_cell(dl_buf *out, dl_str text, size_t width, bool right, bool last,
                                dl_error *err)
{
    size_t taken = width_of(text);
    bool cut = taken > width;
    if (cut) {
        text = cut_width(text, width - 1);
        taken = width_of(text) + 1;
    }
    DL_TRY(put_spaces(out, right ? width - taken : 0, err));
    DL_TRY(dl_buf_append_str(out, text, err));
    DL_TRY(dl_buf_append_str(out, cut ? DL_STR(ELLIPSIS) : DL_STR(""), err));
    return last ? dl_buf_append_char(out, '\n', err)
                : put_spaces(out, (right ? 0 : width - taken) + GAP, err);
}

static dl_status put_rule(dl_buf *out, size_t width, bool last, dl_error *err)
{
    for (size_t i = 0; i < width; i++) {
        DL_TRY(dl_buf_append_str(out, DL_STR(LINE), err));
    }
    return last ? dl_buf_append_char(out, '\n', err) : put_spaces(out, GAP, err);
}

dl_status dl_notebook_grid_put_plain(const dl_notebook_grid *grid, dl_buf *out, dl_error *err)
{
    size_t widths[DL_NOTEBOOK_SHOWN_COLUMNS];
    for (size_t i = 0; i < grid->columns; i++) {
        widths[i] = column_width(grid, i);
        widths[i] = widths[i] == 0 ? 1 : widths[i];
        DL_TRY(put_plain_cell(out, grid->names[i], widths[i], grid->right[i],
                              i + 1 == grid->columns, err));
    }
    for (size_t i = 0; i < grid->columns; i++) {
        DL_TRY(put_rule(out, widths[i], i + 1 == grid->columns, err));
    }
    for (size_t row = 0; row < grid->rows; row++) {
        for (size_t i = 0; i < grid->columns; i++) {
            DL_TRY(put_plain_cell(out, shown_of(cell_of(grid, row, i)), widths[i], grid->right[i],
                                  i + 1 == grid->columns, err));
        }
    }
    DL_TRY(dl_buf_append_char(out, '(', err));
    DL_TRY(put_count(grid, out, err));
    return dl_buf_append_char(out, ')', err);
}

/* ---- HTML ---- */

dl_status dl_notebook_put_escaped(dl_buf *out, dl_str text, dl_error *err)
{
    static const char *const entities[256] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};
    size_t done = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *entity = entities[(unsigned char)text.ptr[i]];
        if (entity != NULL) {
            DL_TRY(dl_buf_append(out, text.ptr + done, i - done, err));
            DL_TRY(dl_buf_append_str(out, dl_str_of(entity), err));
            done = i + 1;
        }
    }
    return done < text.len ? dl_buf_append(out, text.ptr + done, text.len - done, err) : DL_OK;
}

static dl_status put_html_cell(dl_buf *out, const char *tag, dl_str text, bool right, dl_error *err)
{
    DL_TRY(dl_buf_printf(out, err, "<%s%s>", tag, right ? " style=\"text-align:right\"" : ""));
    if (text.ptr == NULL) {
        DL_TRY(dl_buf_append_str(out, DL_STR("<i>NULL</i>"), err));
    } else {
        DL_TRY(dl_notebook_put_escaped(out, text, err));
    }
    return dl_buf_printf(out, err, "</%s>", tag);
}

dl_status dl_notebook_grid_put_html(const dl_notebook_grid *grid, dl_buf *out, dl_error *err)
{
    DL_TRY(dl_buf_append_str(out, DL_STR("<table class=\"dataframe\">\n<thead>\n<tr>"), err));
    for (size_t i = 0; i < grid->columns; i++) {
        DL_TRY(put_html_cell(out, "th", grid->names[i], grid->right[i], err));
    }
    DL_TRY(dl_buf_append_str(out, DL_STR("</tr>\n</thead>\n<tbody>\n"), err));
    for (size_t row = 0; row < grid->rows; row++) {
        DL_TRY(dl_buf_append_str(out, DL_STR("<tr>"), err));
        for (size_t i = 0; i < grid->columns; i++) {
            DL_TRY(put_html_cell(out, "td", cell_of(grid, row, i), grid->right[i], err));
        }
        DL_TRY(dl_buf_append_str(out, DL_STR("</tr>\n"), err));
    }
    DL_TRY(dl_buf_append_str(out, DL_STR("</tbody>\n</table>\n<p>"), err));
    DL_TRY(put_count(grid, out, err));
    return dl_buf_append_str(out, DL_STR("</p>\n"), err);
}
