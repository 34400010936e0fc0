#include "notebook/internal.h"

/* Memory for the texts of a notebook on its way. */
#define WORK_LIMIT_BYTES ((size_t)8 * DL_NOTEBOOK_LIMIT_BYTES)

/* ---- Markdown ---- */

/* Backquotes for a fence round the text: one more than it has in a row. */
static size_t fence_length(dl_str text)
{
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < text.len; i++) {
        run = text.ptr[i] == '`' ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    return longest + 1;
}

static dl_status put_fence(size_t length, dl_buf *out, dl_error *err)
{
    for (size_t i = 0; i < length; i++) {
        DL_TRY(dl_buf_append_char(out, '`', err));
    }
    return DL_OK;
}

static dl_status put_fenced(dl_str text, dl_str word, dl_buf *out, dl_error *err)
{
    size_t fence = fence_length(text);
    DL_TRY(dl_buf_append_char(out, '\n', err));
    DL_TRY(put_fence(fence, out, err));
    for (size_t i = 0; i < word.len; i++) { /* one word of letters, digits and signs */
        char c = word.ptr[i];
        if (c > ' ' && c != '`' && c != 0x7f) {
            DL_TRY(dl_buf_append_char(out, c, err));
        }
    }
    DL_TRY(dl_buf_append_char(out, '\n', err));
    DL_TRY(dl_buf_append_str(out, text, err));
    if (!dl_str_ends(text, DL_STR("\n"))) {
        DL_TRY(dl_buf_append_char(out, '\n', err));
    }
    DL_TRY(put_fence(fence, out, err));
    return dl_buf_append_char(out, '\n', err);
}

static dl_status put_image(const char *type, dl_str base64, dl_buf *out, dl_error *err)
{
    DL_TRY(dl_buf_printf(out, err, "\n![chart](data:%s;base64,", type));
    for (size_t i = 0; i < base64.len; i++) {
        if (base64.ptr[i] != '\n') {
            DL_TRY(dl_buf_append_char(out, base64.ptr[i], err));
        }
    }
    return dl_buf_append_str(out, DL_STR(")\n"), err);
}

static dl_status put_output(const dl_notebook_output *o, dl_buf *out, dl_error *err)
{
    if (o->svg.len > 0) {
        DL_TRY(dl_buf_append_str(out, DL_STR("\n![chart](data:image/svg+xml;base64,"), err));
        DL_TRY(dl_notebook_put_base64(o->svg, out, err));
        return dl_buf_append_str(out, DL_STR(")\n"), err);
    }
    if (dl_notebook_is_base64(o->png)) {
        return put_image("image/png", o->png, out, err);
    }
    if (dl_notebook_is_base64(o->jpeg)) {
        return put_image("image/jpeg", o->jpeg, out, err);
    }
    return o->plain.len == 0 ? DL_OK : put_fenced(o->plain, DL_STR("text"), out, err);
}

static dl_status put_code(const dl_notebook *notebook, const dl_notebook_cell *cell,
                          dl_arena *arena, dl_buf *out, dl_error *err)
{
    dl_str word = DL_STR("sql"), json;
    if (cell->language == DL_NOTEBOOK_OTHER) {
        DL_TRY(dl_notebook_language_word(notebook, cell, arena, &word, err));
    } else if (cell->language == DL_NOTEBOOK_PARAMETERS) {
        word = DL_STR("ini");
    }
    DL_TRY(put_fenced(cell->source, word, out, err));
    dl_json_iter iter = dl_json_iter_of(cell->outputs_json);
    while (dl_json_next_element(&iter, &json)) {
        dl_notebook_output output;
        DL_TRY(dl_notebook_output_read(json, arena, &output, err));
        DL_TRY(put_output(&output, out, err));
    }
    return DL_OK;
}

dl_status dl_notebook_put_markdown(const dl_notebook *notebook, dl_arena *arena, dl_buf *out,
                                   dl_error *err)
{
    for (size_t i = 0; i < notebook->cell_count; i++) {
        const dl_notebook_cell *cell = &notebook->cells[i];
        if (cell->kind == DL_NOTEBOOK_CODE) {
            DL_TRY(put_code(notebook, cell, arena, out, err));
        } else if (cell->kind == DL_NOTEBOOK_MARKDOWN) {
            DL_TRY(dl_buf_append_str(out, out->len == 0 ? DL_STR("") : DL_STR("\n"), err));
            DL_TRY(dl_buf_append_str(out, cell->source, err));
            DL_TRY(dl_buf_append_char(out, '\n', err));
        } else if (cell->kind == DL_NOTEBOOK_RAW) {
            DL_TRY(put_fenced(cell->source, DL_STR(""), out, err));
        }
    }
    return DL_OK;
}

/* ---- all of them ---- */

static dl_status convert(const dl_notebook *notebook, dl_notebook_form form, dl_arena *arena,
                         dl_buf *out, dl_error *err)
{
    switch (form) {
    case DL_NOTEBOOK_IPYNB:
        return dl_notebook_write(notebook, out, err);
    case DL_NOTEBOOK_SQL_SCRIPT:
        return dl_notebook_put_script(notebook, arena, out, err);
    case DL_NOTEBOOK_MARKDOWN_TEXT:
        return dl_notebook_put_markdown(notebook, arena, out, err);
    case DL_NOTEBOOK_HTML_PAGE:
        return dl_notebook_put_html(notebook, arena, out, err);
    }
    return dl_error_set(err, DL_E_INVALID, "notebook: no such form");
}

dl_status dl_notebook_convert(const dl_notebook *notebook, dl_notebook_form form, dl_buf *out,
                              dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(WORK_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    size_t start = out->len;
    dl_status status = convert(notebook, form, arena, out, err);
    if (status != DL_OK) {
        out->len = start;
    }
    return status;
}
