#include "notebook/internal.h"

#include <stdlib.h>
#include <string.h>

enum { KNOWN_MINOR = 5 }; /* later ones may bring what we do not know */

/* What is being read, and where, for errors. */
typedef struct reader {
    dl_arena *arena;
    dl_buf other; /* members that we do not know, of the object at hand */
    int minor;
    dl_error *err;
} reader;

static dl_status refuse(const reader *r, size_t cell, const char *member, const char *wanted)
{
    if (cell == SIZE_MAX) {
        return dl_error_set(r->err, DL_E_INVALID, "notebook: $.%s: %s", member, wanted);
    }
    return dl_error_set(r->err, DL_E_INVALID, "notebook: $.cells[%zu].%s: %s", cell, member,
                        wanted);
}

static dl_status keep_other(reader *r, dl_str key, dl_str value)
{
    DL_TRY(dl_buf_append_char(&r->other, r->other.len == 0 ? '{' : ',', r->err));
    DL_TRY(dl_json_quote(&r->other, key, r->err));
    DL_TRY(dl_buf_append_char(&r->other, ':', r->err));
    return dl_buf_append_str(&r->other, value, r->err);
}

static dl_status take_other(reader *r, dl_str *out_other)
{
    *out_other = DL_STR_NONE;
    if (r->other.len == 0) {
        return DL_OK;
    }
    DL_TRY(dl_buf_append_char(&r->other, '}', r->err));
    DL_TRY(dl_notebook_keep(&r->other, r->arena, out_other, r->err));
    dl_buf_reset(&r->other);
    return DL_OK;
}

/* ---- a cell ---- */

typedef struct raw_cell {
    dl_str type, id, source, metadata, outputs, execution_count; /* empty: not there */
} raw_cell;

static dl_str *known_member(raw_cell *raw, dl_str key)
{
    const struct {
        const char *name;
        dl_str *slot;
    } known[] = {
        {"cell_type", &raw->type},  {"id", &raw->id},
        {"source", &raw->source},   {"metadata", &raw->metadata},
        {"outputs", &raw->outputs}, {"execution_count", &raw->execution_count},
    };
    for (size_t i = 0; i < DL_COUNT_OF(known); i++) {
        if (dl_str_eq(key, dl_str_of(known[i].name))) {
            return known[i].slot;
        }
    }
    return NULL;
}

static dl_status read_kind(const reader *r, size_t i, dl_str type, dl_notebook_cell *cell)
{
    static const struct {
        const char *name;
        dl_notebook_cell_kind kind;
    } kinds[] = {
        {"markdown", DL_NOTEBOOK_MARKDOWN}, {"code", DL_NOTEBOOK_CODE}, {"raw", DL_NOTEBOOK_RAW}};
    dl_str word = DL_STR_NONE;
    if (dl_json_kind_of(type) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(type, r->arena, &word, r->err));
    }
    for (size_t k = 0; k < DL_COUNT_OF(kinds); k++) {
        if (dl_str_eq(word, dl_str_of(kinds[k].name))) {
            cell->kind = kinds[k].kind;
            return DL_OK;
        }
    }
    if (r->minor > KNOWN_MINOR && word.len > 0) {
        cell->kind = DL_NOTEBOOK_UNKNOWN;
        return DL_OK;
    }
    return refuse(r, i, "cell_type", "must be \"code\", \"markdown\" or \"raw\"");
}

bool dl_notebook_id_is_fine(dl_str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        if (!fine) {
            return false;
        }
    }
    return id.len >= 1 && id.len <= DL_NOTEBOOK_ID_LIMIT;
}

static dl_status read_id(const reader *r, size_t i, dl_str value, dl_notebook_cell *cell)
{
    if (value.len == 0) {
        return DL_OK; /* before 4.5 */
    }
    if (dl_json_kind_of(value) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(value, r->arena, &cell->id, r->err));
        if (dl_notebook_id_is_fine(cell->id)) {
            return DL_OK;
        }
    }
    return refuse(r, i, "id", "must be 1 to 64 letters, digits, '-' and '_'");
}

static dl_status read_outputs(const reader *r, size_t i, dl_str value, dl_notebook_cell *cell)
{
    cell->outputs_json = DL_STR("[]");
    if (value.len == 0) {
        return DL_OK;
    }
    if (dl_json_kind_of(value) != DL_JSON_ARRAY) {
        return refuse(r, i, "outputs", "must be an array");
    }
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str output;
    while (dl_json_next_element(&iter, &output)) {
        if (dl_json_kind_of(output) != DL_JSON_OBJECT) {
            return refuse(r, i, "outputs", "must be an array of objects");
        }
    }
    cell->outputs_json = value;
    return DL_OK;
}

static dl_status read_count(const reader *r, size_t i, dl_str value, dl_notebook_cell *cell)
{
    if (value.len == 0 || dl_json_kind_of(value) == DL_JSON_NULL) {
        return DL_OK;
    }
    if (!dl_json_int_of(value, &cell->execution_count) || cell->execution_count < 0) {
        return refuse(r, i, "execution_count", "must be a whole number or null");
    }
    return DL_OK;
}

static dl_status read_cell(reader *r, size_t i, dl_str json, dl_notebook_cell *out)
{
    raw_cell raw = {0};
    dl_notebook_cell cell = {.metadata_json = DL_STR("{}")};
    bool more = true, is_text = false;
    dl_json_iter iter = dl_json_iter_of(json);
    dl_str key, value;
    if (!dl_json_get(json, DL_STR("cell_type"), &raw.type)) {
        return refuse(r, i, "cell_type", "is missing");
    }
    DL_TRY(read_kind(r, i, raw.type, &cell));
    if (cell.kind == DL_NOTEBOOK_UNKNOWN) {
        cell.other_json = json;
        *out = cell;
        return DL_OK;
    }
    bool code = cell.kind == DL_NOTEBOOK_CODE;
    for (;;) {
        DL_TRY(dl_notebook_next_member(&iter, r->arena, &more, &key, &value, r->err));
        if (!more) {
            break;
        }
        dl_str *slot = known_member(&raw, key);
        bool only_code = slot == &raw.outputs || slot == &raw.execution_count;
        if (slot != NULL && (code || !only_code)) {
            *slot = value;
        } else {
            DL_TRY(keep_other(r, key, value));
        }
    }
    DL_TRY(take_other(r, &cell.other_json));
    DL_TRY(read_id(r, i, raw.id, &cell));
    DL_TRY(dl_notebook_join(raw.source, r->arena, &is_text, &cell.source, r->err));
    if (!is_text) {
        return refuse(r, i, "source", "must be text or an array of texts");
    }
    if (raw.metadata.len > 0) {
        cell.metadata_json = raw.metadata;
    }
    if (dl_json_kind_of(cell.metadata_json) != DL_JSON_OBJECT) {
        return refuse(r, i, "metadata", "must be an object");
    }
    if (code) {
        DL_TRY(read_outputs(r, i, raw.outputs, &cell));
        DL_TRY(read_count(r, i, raw.execution_count, &cell));
    }
    *out = cell;
    return DL_OK;
}

/* ---- ids ---- */

static int compare_ids(const void *a, const void *b)
{
    const dl_notebook_cell *const *one = a, *const *other = b;
    int by_id = dl_str_compare((*one)->id, (*other)->id);
    if (by_id != 0) {
        return by_id;
    }
    return *one < *other ? -1 : *one > *other;
}

static bool has_id(dl_notebook_cell *const *sorted, size_t count, dl_str id)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = dl_str_compare(sorted[middle]->id, id);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

dl_status dl_notebook_name_cells(dl_notebook_cell *cells, size_t count, dl_arena *arena,
                                 dl_error *err)
{
    dl_notebook_cell **sorted =
        dl_arena_alloc(arena, count == 0 ? 1 : count, sizeof(dl_notebook_cell *));
    dl_str *fresh = dl_arena_alloc(arena, count == 0 ? 1 : count, sizeof *fresh);
    if (sorted == NULL || fresh == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &cells[i];
    }
    qsort(sorted, count, sizeof(dl_notebook_cell *), compare_ids);
    for (size_t i = 0; i < count; i++) {
        bool again = i > 0 && dl_str_eq(sorted[i]->id, sorted[i - 1]->id);
        if (sorted[i]->id.len > 0 && !again) {
            continue;
        }
        size_t at = (size_t)(sorted[i] - cells);
        DL_TRY(dl_arena_printf(arena, &fresh[at], err, "cell-%zu", at + 1));
        for (size_t turn = 2; has_id(sorted, count, fresh[at]); turn++) {
            DL_TRY(dl_arena_printf(arena, &fresh[at], err, "cell-%zu-%zu", at + 1, turn));
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (fresh[i].len > 0) {
            cells[i].id = fresh[i];
        }
    }
    return DL_OK;
}

/* ---- the document ---- */

static dl_status read_cells(reader *r, dl_str value, dl_notebook *out)
{
    if (dl_json_kind_of(value) != DL_JSON_ARRAY) {
        return refuse(r, SIZE_MAX, "cells", "must be an array");
    }
    dl_str item;
    size_t count = 0;
    for (dl_json_iter it = dl_json_iter_of(value); dl_json_next_element(&it, &item);) {
        count++;
    }
    if (count > DL_NOTEBOOK_CELL_LIMIT) {
        return dl_error_set(r->err, DL_E_LIMIT, "notebook: %zu cells are more than %d", count,
                            DL_NOTEBOOK_CELL_LIMIT);
    }
    out->cells = dl_arena_alloc(r->arena, count == 0 ? 1 : count, sizeof *out->cells);
    if (out->cells == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    dl_json_iter it = dl_json_iter_of(value);
    for (size_t i = 0; i < count && dl_json_next_element(&it, &item); i++) {
        if (dl_json_kind_of(item) != DL_JSON_OBJECT) {
            return dl_error_set(r->err, DL_E_INVALID, "notebook: $.cells[%zu]: must be an object",
                                i);
        }
        DL_TRY(read_cell(r, i, item, &out->cells[i]));
    }
    out->cell_count = count;
    return dl_notebook_name_cells(out->cells, count, r->arena, r->err);
}

static dl_status read_format(const reader *r, dl_str major_json, dl_str minor_json, int *out_minor)
{
    int64_t major = 0, minor = 0;
    if (major_json.len == 0 || !dl_json_int_of(major_json, &major)) {
        return refuse(r, SIZE_MAX, "nbformat", "must be a number: is this a notebook?");
    }
    if (major != 4) {
        (void)dl_error_set(r->err, DL_E_UNSUPPORTED, "notebook: nbformat %lld, not 4",
                           (long long)major);
        if (major < 4) {
            dl_error_hint(r->err,
                          "open and save it in Jupyter, or: jupyter nbconvert --to notebook");
        }
        return DL_E_UNSUPPORTED;
    }
    if (minor_json.len > 0 && (!dl_json_int_of(minor_json, &minor) || minor < 0 || minor > 1000)) {
        return refuse(r, SIZE_MAX, "nbformat_minor", "must be a number from 0");
    }
    *out_minor = (int)minor;
    return DL_OK;
}

static dl_status read_document(reader *r, dl_str json, dl_notebook *out)
{
    dl_notebook notebook = {.metadata_json = DL_STR("{}")};
    dl_str key, value, cells = DL_STR_NONE, major = DL_STR_NONE, minor = DL_STR_NONE;
    bool more = true;
    dl_json_iter iter = dl_json_iter_of(json);
    for (;;) {
        DL_TRY(dl_notebook_next_member(&iter, r->arena, &more, &key, &value, r->err));
        if (!more) {
            break;
        }
        if (dl_str_eq(key, DL_STR("cells"))) {
            cells = value;
        } else if (dl_str_eq(key, DL_STR("metadata"))) {
            notebook.metadata_json = value;
        } else if (dl_str_eq(key, DL_STR("nbformat"))) {
            major = value;
        } else if (dl_str_eq(key, DL_STR("nbformat_minor"))) {
            minor = value;
        } else {
            DL_TRY(keep_other(r, key, value));
        }
    }
    DL_TRY(take_other(r, &notebook.other_json));
    DL_TRY(read_format(r, major, minor, &notebook.minor));
    r->minor = notebook.minor;
    if (dl_json_kind_of(notebook.metadata_json) != DL_JSON_OBJECT) {
        return refuse(r, SIZE_MAX, "metadata", "must be an object");
    }
    if (cells.len == 0) {
        return refuse(r, SIZE_MAX, "cells", "is missing");
    }
    DL_TRY(read_cells(r, cells, &notebook));
    DL_TRY(dl_notebook_tell_languages(&notebook, r->arena, r->err));
    *out = notebook;
    return DL_OK;
}

dl_status dl_notebook_read(dl_str json, dl_arena *arena, dl_notebook *out, dl_error *err)
{
    if (json.len > DL_NOTEBOOK_LIMIT_BYTES) {
        return dl_error_set(err, DL_E_LIMIT, "notebook: %zu bytes are more than %d MiB", json.len,
                            DL_NOTEBOOK_LIMIT_BYTES / (1024 * 1024));
    }
    if (dl_str_starts(json, DL_STR("\xef\xbb\xbf"))) {
        json = dl_str_slice(json, 3, json.len);
    }
    dl_str copy; /* what the notebook borrows from */
    if (dl_json_check(json, err) != DL_OK) {
        return dl_error_within(err, DL_E_INVALID, "reading a notebook");
    }
    DL_TRY(dl_arena_copy(arena, json, &copy, err));
    if (dl_json_kind_of(copy) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_INVALID, "notebook: $: must be an object");
    }
    reader r = {.arena = arena, .err = err};
    dl_buf_init(&r.other, DL_NOTEBOOK_LIMIT_BYTES);
    dl_status status = read_document(&r, copy, out);
    dl_buf_clear(&r.other);
    return status;
}
