/* Configured columns: "name=Attribute:type". */
#include "pipeline/project_internal.h"

#include "dict/dict.h"

#include <string.h>

static const struct {
    const char *name;
    dl_columnar_type type;
    bool stats;
} types[] = {
    {"string", DL_COLUMNAR_STRING, true},       {"long", DL_COLUMNAR_INT64, true},
    {"double", DL_COLUMNAR_DOUBLE, true},       {"date", DL_COLUMNAR_DATE, true},
    {"timestamp", DL_COLUMNAR_TIMESTAMP, true}, {"boolean", DL_COLUMNAR_BOOL, false},
    {"array<string>", DL_COLUMNAR_LIST, false},
};

static const char *const components[] = {"Alphabetic", "Ideographic", "Phonetic"};

static dl_status refuse(dl_str text, const char *what, dl_error *err)
{
    (void)dl_error_set(err, DL_E_INVALID, "column '%.*s': %s",
                       (int)(text.len < 128 ? text.len : 128), text.ptr, what);
    dl_error_hint(err, "name=Attribute:type, as in station=StationName:string; types: string, long,"
                       " double, date, timestamp, boolean, array<string>");
    return DL_E_INVALID;
}

static bool is_name(dl_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.len > 0 && name.len <= DL_PROJECT_NAME_LIMIT_BYTES;
}

/** Cut "[n]" off the end of the path. */
static bool take_index(dl_str *rest, bool *out_has, size_t *out_index)
{
    ptrdiff_t open = dl_str_find(*rest, '[');
    *out_has = open >= 0;
    if (open < 0) {
        return true;
    }
    uint64_t number = 0;
    dl_str inner = dl_str_slice(*rest, (size_t)open + 1, rest->len);
    if (inner.len < 2 || inner.ptr[inner.len - 1] != ']' ||
        !dl_str_to_u64(dl_str_slice(inner, 0, inner.len - 1), &number) || number < 1 ||
        number > DL_PROJECT_INDEX_LIMIT) {
        return false;
    }
    *out_index = (size_t)number - 1;
    *rest = dl_str_slice(*rest, 0, (size_t)open);
    return true;
}

static const char *component_called(dl_str text)
{
    for (size_t i = 0; i < DL_COUNT_OF(components); i++) {
        if (dl_str_eq(text, dl_str_of(components[i]))) {
            return components[i];
        }
    }
    return NULL;
}

static dl_status parse_steps(dl_str whole, dl_str rest, dl_project_path *path, dl_error *err)
{
    dl_str step = DL_STR_NONE;
    if (rest.len == 0 || rest.ptr[rest.len - 1] == '.') {
        return refuse(whole, "the attribute is missing", err);
    }
    while (dl_str_next(&rest, '.', &step)) {
        const char *component = path->count == 0 ? NULL : component_called(step);
        if (path->component != NULL) {
            return refuse(whole, "nothing may stand behind the component of a name", err);
        }
        if (component != NULL) {
            path->component = component;
        } else if (path->count == DL_PROJECT_PATH_LIMIT) {
            return refuse(whole, "the path has more than 8 steps", err);
        } else if (!dl_dict_parse_tag(step, &path->tags[path->count])) {
            return refuse(whole, "a step is neither 8 hex digits nor a keyword of the dictionary",
                          err);
        } else {
            path->count++;
        }
    }
    const dl_dict_entry *last = dl_dict_find(path->tags[path->count - 1]);
    if (path->component == NULL && last != NULL && last->vr == DL_VR('P', 'N')) {
        path->component = components[0];
    }
    return DL_OK;
}

dl_status dl_project_configured(dl_arena *arena, const char *text, dl_project_column *out_column,
                                dl_error *err)
{
    dl_str whole = dl_str_of(text);
    ptrdiff_t equals = dl_str_find(whole, '=');
    dl_str name = dl_str_slice(whole, 0, equals < 0 ? 0 : (size_t)equals);
    dl_str rest = dl_str_slice(whole, (size_t)(equals + 1), whole.len);
    ptrdiff_t colon = dl_str_find(rest, ':');
    dl_project_column column = {.from = DL_PROJECT_CONFIGURED};
    if (equals < 0 || colon < 0) {
        return refuse(whole, "'=' and ':' must stand in it", err);
    }
    if (!is_name(name)) {
        return refuse(whole, "the name is not 1 to 128 letters, digits and '_', a digit not first",
                      err);
    }
    dl_str type = dl_str_slice(rest, (size_t)colon + 1, rest.len);
    size_t found = 0;
    while (found < DL_COUNT_OF(types) && !dl_str_eq(type, dl_str_of(types[found].name))) {
        found++;
    }
    if (found == DL_COUNT_OF(types)) {
        return refuse(whole, "there is no such type", err);
    }
    column.type = types[found].type;
    column.stats = types[found].stats;
    dl_project_path *path = dl_arena_alloc(arena, 1, sizeof *path);
    if (path == NULL) {
        return dl_arena_full(arena, err);
    }
    rest = dl_str_slice(rest, 0, (size_t)colon);
    bool has_index = false;
    if (!take_index(&rest, &has_index, &path->index)) {
        return refuse(whole, "[n] takes a number from 1 to 65535, at the end of the attribute",
                      err);
    }
    if (has_index && column.type == DL_COLUMNAR_LIST) {
        return refuse(whole, "array<string> takes all values, not one", err);
    }
    DL_TRY(parse_steps(whole, rest, path, err));
    column.path = path;
    column.tag = path->tags[0];
    dl_str copy = DL_STR_NONE;
    DL_TRY(dl_arena_copy(arena, name, &copy, err));
    column.name = copy.ptr;
    *out_column = column;
    return DL_OK;
}
