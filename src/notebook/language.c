#include "notebook/internal.h"

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

bool dl_notebook_cut_line(dl_str *rest, dl_str *out_line)
{
    if (rest->len == 0) {
        return false;
    }
    ptrdiff_t end = dl_str_find(*rest, '\n');
    size_t len = end < 0 ? rest->len : (size_t)end;
    *out_line = dl_str_slice(*rest, 0, len);
    *rest = dl_str_slice(*rest, end < 0 ? len : len + 1, rest->len);
    return true;
}

bool dl_notebook_magic(dl_str source, dl_str *out_word, dl_str *out_rest, dl_str *out_body)
{
    dl_str rest = source, line = DL_STR_NONE;
    while (line.len == 0 && dl_notebook_cut_line(&rest, &line)) {
        line = dl_str_trim(line);
        bool carriage = line.len > 0 && line.ptr[line.len - 1] == '\r';
        line = carriage ? dl_str_trim(dl_str_slice(line, 0, line.len - 1)) : line;
    }
    if (!dl_str_starts(line, DL_STR("%%"))) {
        return false;
    }
    size_t end = 2;
    while (end < line.len && is_word_char(line.ptr[end])) {
        end++;
    }
    if (end == 2) {
        return false;
    }
    *out_word = dl_str_slice(line, 2, end - 2);
    *out_rest = dl_str_trim(dl_str_slice(line, end, line.len));
    *out_body = rest;
    return true;
}

static bool is_sql(dl_str word)
{
    return dl_str_eq_nocase(word, DL_STR("sql")) || dl_str_eq_nocase(word, DL_STR("sparksql")) ||
           dl_str_eq_nocase(word, DL_STR("spark-sql"));
}

dl_str dl_notebook_sql_of(dl_str source)
{
    dl_str word, rest, body;
    if (!dl_notebook_magic(source, &word, &rest, &body)) {
        return source;
    }
    if (rest.len == 0 || !is_sql(word)) {
        return body;
    }
    return dl_str_slice(source, (size_t)(rest.ptr - source.ptr), source.len);
}

/* metadata.GROUP.NAME when it is text. */
static dl_status text_at(dl_str metadata, const char *group, const char *name, dl_arena *arena,
                         dl_str *out_text, dl_error *err)
{
    dl_str inner, value;
    *out_text = DL_STR_NONE;
    if (dl_json_get(metadata, dl_str_of(group), &inner) &&
        dl_json_get(inner, dl_str_of(name), &value) && dl_json_kind_of(value) == DL_JSON_STRING) {
        return dl_json_text(value, arena, out_text, err);
    }
    return DL_OK;
}

typedef struct metadata_place {
    const char *group, *name;
} metadata_place;

static dl_status first_text(dl_str metadata, const metadata_place *places, size_t count,
                            dl_arena *arena, dl_str *out_text, dl_error *err)
{
    *out_text = DL_STR_NONE;
    for (size_t i = 0; i < count && out_text->len == 0; i++) {
        DL_TRY(text_at(metadata, places[i].group, places[i].name, arena, out_text, err));
    }
    return DL_OK;
}

/* What the metadata of a cell says; else of the notebook; else "sql". Ours goes first: Jupyter
 * writes its kernel's language over language_info. */
static dl_status metadata_word(const dl_notebook *notebook, const dl_notebook_cell *cell,
                               dl_arena *arena, dl_str *out_word, dl_error *err)
{
    static const metadata_place of_cell[] = {
        {"dicomlake", "language"}, {"microsoft", "language"}, {"vscode", "languageId"}};
    static const metadata_place of_notebook[] = {{"dicomlake", "language"},
                                                 {"language_info", "name"},
                                                 {"kernelspec", "language"},
                                                 {"microsoft", "language"}};
    DL_TRY(first_text(cell->metadata_json, of_cell, DL_COUNT_OF(of_cell), arena, out_word, err));
    if (out_word->len == 0) {
        DL_TRY(first_text(notebook->metadata_json, of_notebook, DL_COUNT_OF(of_notebook), arena,
                          out_word, err));
    }
    if (out_word->len == 0) {
        *out_word = DL_STR("sql");
    }
    return DL_OK;
}

dl_status dl_notebook_language_word(const dl_notebook *notebook, const dl_notebook_cell *cell,
                                    dl_arena *arena, dl_str *out_word, dl_error *err)
{
    dl_str rest, body;
    if (dl_notebook_magic(cell->source, out_word, &rest, &body)) {
        return DL_OK;
    }
    return metadata_word(notebook, cell, arena, out_word, err);
}

bool dl_notebook_has_tag(dl_str metadata_json, dl_str tag)
{
    dl_str tags, item;
    if (!dl_json_get(metadata_json, DL_STR("tags"), &tags)) {
        return false;
    }
    dl_json_iter iter = dl_json_iter_of(tags);
    while (dl_json_next_element(&iter, &item)) {
        if (item.len == tag.len + 2 && item.ptr[0] == '"' &&
            dl_str_eq(dl_str_slice(item, 1, tag.len), tag)) {
            return true;
        }
    }
    return false;
}

static dl_status tell_language(const dl_notebook *notebook, dl_notebook_cell *cell, dl_arena *arena,
                               dl_error *err)
{
    dl_str word, rest, body;
    if (dl_notebook_magic(cell->source, &word, &rest, &body)) {
        cell->language = is_sql(word)                       ? DL_NOTEBOOK_SQL
                         : dl_str_eq(word, DL_STR("chart")) ? DL_NOTEBOOK_CHART
                                                            : DL_NOTEBOOK_OTHER;
        return DL_OK;
    }
    DL_TRY(metadata_word(notebook, cell, arena, &word, err));
    if (!is_sql(word)) {
        cell->language = DL_NOTEBOOK_OTHER;
    } else {
        bool tagged = dl_notebook_has_tag(cell->metadata_json, DL_STR("parameters"));
        cell->language = tagged ? DL_NOTEBOOK_PARAMETERS : DL_NOTEBOOK_SQL;
    }
    return DL_OK;
}

dl_status dl_notebook_tell_languages(dl_notebook *notebook, dl_arena *arena, dl_error *err)
{
    for (size_t i = 0; i < notebook->cell_count; i++) {
        if (notebook->cells[i].kind == DL_NOTEBOOK_CODE) {
            DL_TRY(tell_language(notebook, &notebook->cells[i], arena, err));
        }
    }
    return DL_OK;
}
