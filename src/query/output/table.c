/* TABLE: aligned columns for a terminal. */
#include "query/output/internal.h"

#include "base/width.h"

#define ELLIPSIS "\xe2\x80\xa6"
#define LINE "\xe2\x94\x80"

enum { GAP = 2, NARROW = 8, NAME_WIDTH = DL_QUERY_CELL_WIDTH };

typedef struct layout {
    const dl_output *out;
    const dl_output_shown *shown;
    const dl_str *names; /* clean */
    size_t *widths;
    size_t columns; /* of them that are shown */
    dl_str null_text;
} layout;

static dl_str cell_of(const layout *l, size_t row, size_t column)
{
    dl_str cell = l->shown->cells[row * l->out->columns + column];
    return cell.ptr == NULL ? l->null_text : cell;
}

static void measure(layout *l)
{
    for (size_t i = 0; i < l->out->columns; i++) {
        l->widths[i] = dl_width_of(l->names[i]);
        for (size_t row = 0; row < l->shown->rows; row++) {
            size_t width = dl_width_of(cell_of(l, row, i));
            l->widths[i] = width > l->widths[i] ? width : l->widths[i];
        }
    }
}

static size_t total_width(const layout *l)
{
    size_t total = 0;
    for (size_t i = 0; i < l->columns; i++) {
        total += l->widths[i] + (i > 0 ? (size_t)GAP : 0);
    }
    return total;
}

/** The widest column loses one, numbers never: they would be others. */
static bool narrow(layout *l)
{
    size_t widest = SIZE_MAX;
    for (size_t i = 0; i < l->columns; i++) {
        bool may = l->widths[i] > NARROW &&
                   !dl_output_is_right(dl_query_column_at(l->out->result, i)->kind);
        if (may && (widest == SIZE_MAX || l->widths[i] > l->widths[widest])) {
            widest = i;
        }
    }
    if (widest == SIZE_MAX) {
        return false;
    }
    l->widths[widest]--;
    return true;
}

/** Within the line's width: narrower cells first, then fewer columns. */
static void fit(layout *l)
{
    size_t width = l->out->options->width;
    if (width == 0 || total_width(l) <= width) {
        return;
    }
    size_t least = 0;
    size_t columns = 0;
    for (; columns < l->columns; columns++) { /* as many as fit when all are narrow */
        bool keeps = l->widths[columns] <= NARROW ||
                     dl_output_is_right(dl_query_column_at(l->out->result, columns)->kind);
        least += (keeps ? l->widths[columns] : (size_t)NARROW) + (columns > 0 ? (size_t)GAP : 0);
        if (least > width && columns > 0) {
            break;
        }
    }
    l->columns = columns;
    while (total_width(l) > width && narrow(l)) {
    }
}

static dl_status put_spaces(dl_buf *buf, size_t count, dl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        DL_TRY(dl_buf_append_char(buf, ' ', err));
    }
    return DL_OK;
}

/** Padding at the end of a line is left out. */
static dl_status put_cell(const layout *l, size_t column, dl_str text, dl_buf *buf, dl_error *err)
{
    size_t width = l->widths[column];
    size_t taken = dl_width_of(text);
    bool cut = taken > width;
    if (cut) {
        text = dl_width_cut(text, width == 0 ? 0 : width - 1);
        taken = dl_width_of(text) + 1;
    }
    size_t pad = width > taken ? width - taken : 0;
    bool right = dl_output_is_right(dl_query_column_at(l->out->result, column)->kind);
    DL_TRY(put_spaces(buf, right ? pad : 0, err));
    DL_TRY(dl_buf_append_str(buf, text, err));
    if (cut) {
        DL_TRY(dl_buf_append_str(buf, DL_STR(ELLIPSIS), err));
    }
    if (column + 1 == l->columns) {
        return dl_buf_append_char(buf, '\n', err);
    }
    return put_spaces(buf, (right ? 0 : pad) + GAP, err);
}

static dl_status put_rule(const layout *l, dl_buf *buf, dl_error *err)
{
    for (size_t i = 0; i < l->columns; i++) {
        for (size_t k = 0; k < l->widths[i]; k++) {
            DL_TRY(dl_buf_append_str(buf, DL_STR(LINE), err));
        }
        DL_TRY(i + 1 == l->columns ? dl_buf_append_char(buf, '\n', err)
                                   : put_spaces(buf, GAP, err));
    }
    return DL_OK;
}

static dl_status put_footer(dl_output *out, const layout *l, dl_error *err)
{
    DL_TRY(dl_buf_append_char(&out->buf, '(', err));
    DL_TRY(dl_output_put_count(out, l->shown->rows, &out->buf, err));
    if (l->columns < out->columns) {
        DL_TRY(dl_buf_printf(&out->buf, err, "; %zu columns, %zu shown", out->columns, l->columns));
    }
    return dl_buf_append_str(&out->buf, DL_STR(")\n"), err);
}

static dl_status put_all(dl_output *out, layout *l, dl_error *err)
{
    measure(l);
    fit(l);
    for (size_t i = 0; i < l->columns; i++) {
        DL_TRY(put_cell(l, i, l->names[i], &out->buf, err));
    }
    DL_TRY(put_rule(l, &out->buf, err));
    for (size_t row = 0; row < l->shown->rows; row++) {
        for (size_t i = 0; i < l->columns; i++) {
            DL_TRY(put_cell(l, i, cell_of(l, row, i), &out->buf, err));
        }
        DL_TRY(dl_output_flush_full(out, err));
    }
    return put_footer(out, l, err);
}

static dl_status make_names(const dl_output *out, dl_arena *arena, dl_str **out_names,
                            dl_error *err)
{
    dl_str *names = dl_arena_alloc(arena, out->columns + 1, sizeof *names);
    if (names == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, DL_OUTPUT_BUF_LIMIT_BYTES);
    for (size_t i = 0; i < out->columns; i++) {
        dl_buf_reset(&clean);
        DL_TRY(dl_output_put_clean(dl_query_column_at(out->result, i)->name, false, &clean, err));
        if (dl_width_of(dl_buf_str(&clean)) > NAME_WIDTH) {
            clean.len = dl_width_cut(dl_buf_str(&clean), NAME_WIDTH - 1).len;
            DL_TRY(dl_buf_append_str(&clean, DL_STR(ELLIPSIS), err));
        }
        DL_TRY(dl_arena_copy(arena, dl_buf_str(&clean), &names[i], err));
    }
    *out_names = names;
    return DL_OK;
}

dl_status dl_output_table(dl_output *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_OUTPUT_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "output: out of memory");
    }
    dl_output_shown shown = {0};
    dl_str *names = NULL;
    const char *null_text = out->options->null_text;
    layout l = {.out = out,
                .shown = &shown,
                .columns = out->columns,
                .widths = dl_arena_alloc(arena, out->columns + 1, sizeof *l.widths),
                .null_text = null_text == NULL ? DL_STR("NULL") : dl_str_of(null_text)};
    if (l.widths == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(dl_output_show(out, DL_QUERY_CELL_WIDTH, arena, &shown, err));
    DL_TRY(make_names(out, arena, &names, err));
    l.names = names;
    return put_all(out, &l, err);
}
