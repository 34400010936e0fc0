/* HTML and Markdown: what a value holds can become neither markup nor script. */
#include "query/output/internal.h"

#include <string.h>

static dl_arena *open_arena(void)
{
    return dl_arena_create(DL_OUTPUT_ARENA_LIMIT_BYTES);
}

/* ---- HTML ---- */

static dl_status put_html(dl_str text, dl_buf *buf, dl_error *err)
{
    static const char *const entities[256] = {
        ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
    for (size_t i = 0; i < text.len; i++) {
        const char *entity = entities[(unsigned char)text.ptr[i]];
        if (entity != NULL) {
            DL_TRY(dl_buf_append_str(buf, dl_str_of(entity), err));
        } else {
            DL_TRY(dl_buf_append_char(buf, text.ptr[i], err));
        }
    }
    return DL_OK;
}

static const char *class_of(const dl_output *out, size_t column)
{
    return dl_output_is_right(dl_query_column_at(out->result, column)->kind)
               ? " style=\"text-align:right\""
               : " style=\"text-align:left\"";
}

static dl_status put_html_head(dl_output *out, dl_error *err)
{
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, DL_OUTPUT_BUF_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&out->buf, DL_STR("<div class=\"dicomlake\">\n<table>\n<thead>\n<tr>"),
                             err));
    for (size_t i = 0; i < out->columns; i++) {
        dl_buf_reset(&clean);
        DL_TRY(dl_output_put_clean(dl_query_column_at(out->result, i)->name, false, &clean, err));
        DL_TRY(dl_buf_printf(&out->buf, err, "<th%s>", class_of(out, i)));
        DL_TRY(put_html(dl_buf_str(&clean), &out->buf, err));
        DL_TRY(dl_buf_append_str(&out->buf, DL_STR("</th>"), err));
    }
    return dl_buf_append_str(&out->buf, DL_STR("</tr>\n</thead>\n<tbody>\n"), err);
}

static dl_status put_html_row(dl_output *out, const dl_str *cells, dl_error *err)
{
    DL_TRY(dl_buf_append_str(&out->buf, DL_STR("<tr>"), err));
    for (size_t i = 0; i < out->columns; i++) {
        if (cells[i].ptr == NULL) {
            DL_TRY(
                dl_buf_append_str(&out->buf, DL_STR("<td class=\"null\"><i>NULL</i></td>"), err));
            continue;
        }
        DL_TRY(dl_buf_printf(&out->buf, err, "<td%s>", class_of(out, i)));
        DL_TRY(put_html(cells[i], &out->buf, err));
        DL_TRY(dl_buf_append_str(&out->buf, DL_STR("</td>"), err));
    }
    DL_TRY(dl_buf_append_str(&out->buf, DL_STR("</tr>\n"), err));
    return dl_output_flush_full(out, err);
}

dl_status dl_output_html(dl_output *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = open_arena();
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "output: out of memory");
    }
    dl_output_shown shown = {0};
    DL_TRY(dl_output_show(out, 0, arena, &shown, err));
    DL_TRY(put_html_head(out, err));
    for (size_t row = 0; row < shown.rows; row++) {
        DL_TRY(put_html_row(out, shown.cells + row * out->columns, err));
    }
    DL_TRY(dl_buf_append_str(&out->buf, DL_STR("</tbody>\n</table>\n<p>"), err));
    DL_TRY(dl_output_put_count(out, shown.rows, &out->buf, err));
    return dl_buf_append_str(&out->buf, DL_STR("</p>\n</div>\n"), err);
}

/* ---- Markdown (GitHub's tables) ---- */

static bool is_word(dl_str text, size_t at)
{
    if (at >= text.len) {
        return false;
    }
    char c = text.ptr[at];
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/** What could begin something else gets a backslash; '_' inside a word cannot. */
static bool needs_backslash(dl_str text, size_t at)
{
    char c = text.ptr[at];
    if (c == '_') {
        return !(at > 0 && is_word(text, at - 1) && is_word(text, at + 1));
    }
    return c != '\0' && strchr("\\`*[]|~$!", c) != NULL;
}

static dl_status put_markdown_char(dl_str text, size_t at, dl_buf *buf, dl_error *err)
{
    char c = text.ptr[at];
    switch (c) {
    case '&':
        return dl_buf_append_str(buf, DL_STR("&amp;"), err);
    case '<':
        return dl_buf_append_str(buf, DL_STR("&lt;"), err);
    case '>':
        return dl_buf_append_str(buf, DL_STR("&gt;"), err);
    case '\n':
        return dl_buf_append_str(buf, DL_STR("<br>"), err);
    default:
        if (needs_backslash(text, at)) {
            DL_TRY(dl_buf_append_char(buf, '\\', err));
        }
        return dl_buf_append_char(buf, c, err);
    }
}

static dl_status put_markdown(dl_str text, dl_buf *buf, dl_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        DL_TRY(put_markdown_char(text, i, buf, err));
    }
    return DL_OK;
}

static dl_status put_markdown_head(dl_output *out, dl_error *err)
{
    DL_AUTO_BUF clean = {0};
    dl_buf_init(&clean, DL_OUTPUT_BUF_LIMIT_BYTES);
    for (size_t i = 0; i < out->columns; i++) {
        dl_buf_reset(&clean);
        DL_TRY(dl_output_put_clean(dl_query_column_at(out->result, i)->name, false, &clean, err));
        DL_TRY(dl_buf_append_str(&out->buf, DL_STR("| "), err));
        DL_TRY(put_markdown(dl_buf_str(&clean), &out->buf, err));
        DL_TRY(dl_buf_append_char(&out->buf, ' ', err));
    }
    DL_TRY(dl_buf_append_str(&out->buf, DL_STR("|\n"), err));
    for (size_t i = 0; i < out->columns; i++) {
        bool right = dl_output_is_right(dl_query_column_at(out->result, i)->kind);
        DL_TRY(dl_buf_append_str(&out->buf, right ? DL_STR("| --: ") : DL_STR("| --- "), err));
    }
    return dl_buf_append_str(&out->buf, DL_STR("|\n"), err);
}

static dl_status put_markdown_row(dl_output *out, const dl_str *cells, dl_error *err)
{
    for (size_t i = 0; i < out->columns; i++) {
        DL_TRY(dl_buf_append_str(&out->buf, DL_STR("| "), err));
        if (cells[i].ptr == NULL) {
            DL_TRY(dl_buf_append_str(&out->buf, DL_STR("*NULL*"), err));
        } else {
            DL_TRY(put_markdown(cells[i], &out->buf, err));
        }
        DL_TRY(dl_buf_append_char(&out->buf, ' ', err));
    }
    DL_TRY(dl_buf_append_str(&out->buf, DL_STR("|\n"), err));
    return dl_output_flush_full(out, err);
}

dl_status dl_output_markdown(dl_output *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = open_arena();
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "output: out of memory");
    }
    dl_output_shown shown = {0};
    DL_TRY(dl_output_show(out, 0, arena, &shown, err));
    DL_TRY(put_markdown_head(out, err));
    for (size_t row = 0; row < shown.rows; row++) {
        DL_TRY(put_markdown_row(out, shown.cells + row * out->columns, err));
    }
    if ((uint64_t)out->rows > shown.rows) {
        DL_TRY(dl_buf_append_str(&out->buf, DL_STR("\n"), err));
        DL_TRY(dl_output_put_count(out, shown.rows, &out->buf, err));
        DL_TRY(dl_buf_append_char(&out->buf, '\n', err));
    }
    return DL_OK;
}
