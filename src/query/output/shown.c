/* The first rows of a result as clean text, for the formats that people look at. */
#include "query/output/internal.h"

#include "base/width.h"

#include <inttypes.h>

#define REPLACEMENT "\xef\xbf\xbd"
#define ELLIPSIS "\xe2\x80\xa6"

enum { CELL_LIMIT_BYTES = 64 * 1024 * 1024, CLEAN_FACTOR = 3 };

/** Turns the direction of text, breaks lines, or shows nothing. */
static bool is_harmful(int32_t point)
{
    return point < 0 || (point >= 0x80 && point < 0xa0) || (point >= 0x200b && point <= 0x200f) ||
           (point >= 0x202a && point <= 0x202e) || (point >= 0x2060 && point <= 0x2069) ||
           point == 0x2028 || point == 0x2029 || point == 0x61c || point == 0xfeff;
}

dl_status dl_output_put_clean(dl_str text, bool keep_lines, dl_buf *out, dl_error *err)
{
    size_t at = 0;
    while (at < text.len) {
        int32_t point = -1;
        size_t n = dl_width_point(text, at, &point);
        if (point >= 0 && (point < 0x20 || point == 0x7f) && !(keep_lines && point == '\n')) {
            char symbol[4] = {'\xe2', '\x90', (char)(0x80 + (point == 0x7f ? 0x21 : point)), '\0'};
            DL_TRY(dl_buf_append(out, symbol, 3, err));
        } else if (is_harmful(point)) {
            DL_TRY(dl_buf_append_str(out, DL_STR(REPLACEMENT), err));
        } else {
            DL_TRY(dl_buf_append(out, text.ptr + at, n, err));
        }
        at += n;
    }
    return DL_OK;
}

bool dl_output_is_right(dl_query_kind kind)
{
    return kind == DL_QUERY_INTEGER || kind == DL_QUERY_NUMBER;
}

dl_status dl_output_put_count(const dl_output *out, size_t shown, dl_buf *buf, dl_error *err)
{
    DL_TRY(dl_buf_printf(buf, err, "%" PRId64 " %s", out->rows, out->rows == 1 ? "row" : "rows"));
    return (uint64_t)out->rows == shown ? DL_OK : dl_buf_printf(buf, err, ", %zu shown", shown);
}

/* ---- collecting ---- */

typedef struct collector {
    dl_output *out;
    dl_arena *arena;
    dl_buf raw, clean;
    dl_str *cells;
    size_t rows, room; /* of `cells` */
    size_t cell_width;
} collector;

static void collector_clear(collector *c)
{
    dl_buf_clear(&c->raw);
    dl_buf_clear(&c->clean);
}

static dl_status make_room(collector *c, dl_error *err)
{
    if (c->rows < c->room) {
        return DL_OK;
    }
    size_t room = c->room == 0 ? 64 : c->room * 2;
    dl_str *cells = dl_arena_alloc(c->arena, room, c->out->columns * sizeof *cells + 1);
    if (cells == NULL) {
        return dl_arena_full(c->arena, err);
    }
    for (size_t i = 0; i < c->rows * c->out->columns; i++) {
        cells[i] = c->cells[i];
    }
    c->cells = cells;
    c->room = room;
    return DL_OK;
}

static dl_status keep_cell(collector *c, size_t column, size_t row, dl_str *out_cell, dl_error *err)
{
    if (dl_query_is_null(c->out->result, column, row)) {
        *out_cell = DL_STR_NONE;
        return DL_OK;
    }
    dl_buf_reset(&c->raw);
    dl_buf_reset(&c->clean);
    DL_TRY(dl_query_put_text(c->out->result, column, row, &c->raw, err));
    dl_str raw = dl_buf_str(&c->raw);
    if (c->cell_width > 0) { /* a code point takes at most four bytes, some have no width */
        raw = dl_str_slice(raw, 0, 16 * (c->cell_width + 1));
    }
    DL_TRY(dl_output_put_clean(raw, c->cell_width == 0, &c->clean, err));
    dl_str clean = dl_buf_str(&c->clean);
    if (c->cell_width > 0 && (raw.len < c->raw.len || dl_width_of(clean) > c->cell_width)) {
        c->clean.len = dl_width_cut(clean, c->cell_width - 1).len;
        DL_TRY(dl_buf_append_str(&c->clean, DL_STR(ELLIPSIS), err));
    }
    return dl_arena_copy(c->arena, dl_buf_str(&c->clean), out_cell, err);
}

static dl_status keep_rows(collector *c, size_t rows, dl_error *err)
{
    size_t wanted =
        c->out->options->shown_rows == 0 ? DL_QUERY_SHOWN_ROWS : c->out->options->shown_rows;
    for (size_t row = 0; row < rows && c->rows < wanted; row++) {
        DL_TRY(make_room(c, err));
        for (size_t i = 0; i < c->out->columns; i++) {
            DL_TRY(keep_cell(c, i, row, &c->cells[c->rows * c->out->columns + i], err));
        }
        c->rows++;
    }
    return DL_OK;
}

dl_status dl_output_show(dl_output *out, size_t cell_width, dl_arena *arena,
                         dl_output_shown *out_shown, dl_error *err)
{
    DL_CLEANUP(collector_clear)
    collector c = {.out = out, .arena = arena, .cell_width = cell_width};
    dl_buf_init(&c.raw, CELL_LIMIT_BYTES);
    dl_buf_init(&c.clean, (size_t)CLEAN_FACTOR * CELL_LIMIT_BYTES);
    for (;;) {
        size_t rows = 0;
        DL_TRY(dl_query_next(out->result, &rows, err));
        if (rows == 0) {
            *out_shown = (dl_output_shown){.cells = c.cells, .rows = c.rows};
            return DL_OK;
        }
        DL_TRY(keep_rows(&c, rows, err));
        out->rows += (int64_t)rows;
    }
}
