#include "notebook/internal.h"

#include <string.h>

/* Memory for the texts of a notebook on its way: arrays of members, unescaped strings. */
#define WORK_LIMIT_BYTES ((size_t)8 * DL_NOTEBOOK_LIMIT_BYTES)

typedef struct composer {
    dl_json_writer w;
    dl_arena *arena;
    dl_error *err;
} composer;

/* ---- texts that Jupyter stores as arrays of lines ---- */

static bool is_cut_type(dl_str type)
{
    return dl_str_starts(type, DL_STR("text/")) || dl_str_eq(type, DL_STR("image/svg+xml")) ||
           dl_str_eq(type, DL_STR("application/javascript"));
}

static bool is_json_type(dl_str type)
{
    return dl_str_eq(type, DL_STR("application/json")) ||
           (dl_str_starts(type, DL_STR("application/")) && dl_str_ends(type, DL_STR("+json")));
}

/* Data by media type: text in lines, other texts (base64) in one piece, JSON as it is. */
static dl_status put_bundle(composer *c, dl_str bundle)
{
    dl_json_iter iter = dl_json_iter_of(bundle);
    bool more = true;
    dl_str type, value, text;
    if (dl_json_kind_of(bundle) != DL_JSON_OBJECT) {
        dl_json_raw(&c->w, bundle);
        return DL_OK;
    }
    dl_json_object_begin(&c->w);
    for (;;) {
        DL_TRY(dl_notebook_next_member(&iter, c->arena, &more, &type, &value, c->err));
        if (!more) {
            break;
        }
        bool is_text = false;
        if (!is_json_type(type)) {
            DL_TRY(dl_notebook_join(value, c->arena, &is_text, &text, c->err));
        }
        dl_json_key(&c->w, type);
        if (is_text && is_cut_type(type)) {
            dl_notebook_put_lines(&c->w, text);
        } else if (is_text) {
            dl_json_string(&c->w, text);
        } else {
            dl_json_raw(&c->w, value);
        }
    }
    dl_json_object_end(&c->w);
    return DL_OK;
}

static dl_status put_text_member(composer *c, dl_str value)
{
    bool is_text = false;
    dl_str text;
    DL_TRY(dl_notebook_join(value, c->arena, &is_text, &text, c->err));
    if (is_text) {
        dl_notebook_put_lines(&c->w, text);
    } else {
        dl_json_raw(&c->w, value);
    }
    return DL_OK;
}

static dl_status put_output(composer *c, dl_str output)
{
    dl_str type_json = DL_STR_NONE, type = DL_STR_NONE, key, value;
    dl_json_iter iter = dl_json_iter_of(output);
    bool more = true;
    if (dl_json_get(output, DL_STR("output_type"), &type_json) &&
        dl_json_kind_of(type_json) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(type_json, c->arena, &type, c->err));
    }
    bool has_data =
        dl_str_eq(type, DL_STR("execute_result")) || dl_str_eq(type, DL_STR("display_data"));
    bool is_stream = dl_str_eq(type, DL_STR("stream"));
    dl_json_object_begin(&c->w);
    for (;;) {
        DL_TRY(dl_notebook_next_member(&iter, c->arena, &more, &key, &value, c->err));
        if (!more) {
            break;
        }
        dl_json_key(&c->w, key);
        if (has_data && dl_str_eq(key, DL_STR("data"))) {
            DL_TRY(put_bundle(c, value));
        } else if (is_stream && dl_str_eq(key, DL_STR("text"))) {
            DL_TRY(put_text_member(c, value));
        } else {
            dl_json_raw(&c->w, value);
        }
    }
    dl_json_object_end(&c->w);
    return DL_OK;
}

/* ---- cells ---- */

static dl_status put_attachments(composer *c, dl_str attachments)
{
    dl_json_iter iter = dl_json_iter_of(attachments);
    bool more = true;
    dl_str name, value;
    if (dl_json_kind_of(attachments) != DL_JSON_OBJECT) {
        dl_json_raw(&c->w, attachments);
        return DL_OK;
    }
    dl_json_object_begin(&c->w);
    for (;;) {
        DL_TRY(dl_notebook_next_member(&iter, c->arena, &more, &name, &value, c->err));
        if (!more) {
            break;
        }
        dl_json_key(&c->w, name);
        DL_TRY(put_bundle(c, value));
    }
    dl_json_object_end(&c->w);
    return DL_OK;
}

static dl_status put_other(composer *c, dl_str other, bool in_cell)
{
    dl_json_iter iter = dl_json_iter_of(other);
    bool more = true;
    dl_str key, value;
    for (;;) {
        DL_TRY(dl_notebook_next_member(&iter, c->arena, &more, &key, &value, c->err));
        if (!more) {
            return DL_OK;
        }
        dl_json_key(&c->w, key);
        if (in_cell && dl_str_eq(key, DL_STR("attachments"))) {
            DL_TRY(put_attachments(c, value));
        } else {
            dl_json_raw(&c->w, value);
        }
    }
}

static dl_str object_or_empty(dl_str json)
{
    return json.len == 0 ? DL_STR("{}") : json;
}

static dl_status put_code(composer *c, const dl_notebook_cell *cell)
{
    dl_json_iter iter = dl_json_iter_of(cell->outputs_json);
    dl_str output;
    dl_json_key(&c->w, DL_STR("execution_count"));
    if (cell->execution_count > 0) {
        dl_json_int(&c->w, cell->execution_count);
    } else {
        dl_json_null(&c->w);
    }
    dl_json_key(&c->w, DL_STR("outputs"));
    dl_json_array_begin(&c->w);
    while (dl_json_next_element(&iter, &output)) {
        DL_TRY(put_output(c, output));
    }
    dl_json_array_end(&c->w);
    return DL_OK;
}

static dl_status put_cell(composer *c, const dl_notebook_cell *cell)
{
    static const char *const kinds[] = {"markdown", "code", "raw"};
    if (cell->kind == DL_NOTEBOOK_UNKNOWN) {
        dl_json_raw(&c->w, cell->other_json);
        return dl_json_writer_status(&c->w);
    }
    dl_json_object_begin(&c->w);
    DL_TRY(put_other(c, cell->other_json, true));
    dl_json_key(&c->w, DL_STR("cell_type"));
    dl_json_string(&c->w, dl_str_of(kinds[cell->kind]));
    dl_json_key(&c->w, DL_STR("id"));
    dl_json_string(&c->w, cell->id);
    dl_json_key(&c->w, DL_STR("metadata"));
    dl_json_raw(&c->w, object_or_empty(cell->metadata_json));
    dl_json_key(&c->w, DL_STR("source"));
    dl_notebook_put_lines(&c->w, cell->source);
    if (cell->kind == DL_NOTEBOOK_CODE) {
        DL_TRY(put_code(c, cell));
    }
    dl_json_object_end(&c->w);
    return dl_json_writer_status(&c->w);
}

static dl_status compose(composer *c, const dl_notebook *notebook)
{
    dl_json_object_begin(&c->w);
    DL_TRY(put_other(c, notebook->other_json, false));
    dl_json_key(&c->w, DL_STR("cells"));
    dl_json_array_begin(&c->w);
    for (size_t i = 0; i < notebook->cell_count; i++) {
        DL_TRY(put_cell(c, &notebook->cells[i]));
    }
    dl_json_array_end(&c->w);
    dl_json_key(&c->w, DL_STR("metadata"));
    dl_json_raw(&c->w, object_or_empty(notebook->metadata_json));
    dl_json_key(&c->w, DL_STR("nbformat"));
    dl_json_int(&c->w, 4);
    dl_json_key(&c->w, DL_STR("nbformat_minor"));
    dl_json_int(&c->w, notebook->minor < 5 ? 5 : notebook->minor);
    dl_json_object_end(&c->w);
    return dl_json_writer_status(&c->w);
}

dl_status dl_notebook_write(const dl_notebook *notebook, dl_buf *out, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(WORK_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "notebook: out of memory");
    }
    DL_AUTO_BUF compact = {0};
    dl_buf_init(&compact, (size_t)2 * DL_NOTEBOOK_LIMIT_BYTES);
    composer c = {.arena = arena, .err = err};
    dl_json_writer_init(&c.w, &compact, err);
    DL_TRY(compose(&c, notebook));
    size_t start = out->len;
    dl_status status = dl_notebook_layout(dl_buf_str(&compact), arena, out, err);
    if (status == DL_OK) {
        status = dl_buf_append_char(out, '\n', err);
    }
    if (status != DL_OK) {
        out->len = start;
    }
    return status;
}
