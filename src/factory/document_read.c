#include "factory/document_read.h"

#include "factory/document_copy.h"
#include "factory/expression.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

enum {
    SHOWN = 64, /* bytes of a value in an error */
    SECONDS_A_DAY = 86400,
    SPAN_DAYS_LIMIT = 36500,
};

/* ---- errors ---- */

dl_status dl_document_wrong(dl_document_reader *r, const dl_document_node *node, const char *what)
{
    dl_str shown = dl_str_slice(node->value, 0, SHOWN);
    return dl_error_set(r->err, DL_E_INVALID, "%.*s: %.*s is not %s", DL_STR_ARG(node->path),
                        DL_STR_ARG(shown), what);
}

dl_status dl_document_missing(dl_document_reader *r, const dl_document_node *node, const char *what)
{
    return dl_error_set(r->err, DL_E_INVALID, "%.*s: it is missing; it is %s",
                        DL_STR_ARG(node->path), what);
}

void dl_document_unknown(dl_document_reader *r, dl_str path)
{
    if (r->unknown == NULL) {
        return;
    }
    if (r->unknown->count < DL_FACTORY_UNKNOWN_LIMIT) {
        r->unknown->paths[r->unknown->count] = path;
    }
    r->unknown->count++;
}

void dl_document_note(dl_document_reader *r, dl_str path, const char *note)
{
    dl_str text = path;
    /* Without room the path alone is said. */
    if (dl_arena_printf(r->arena, &text, NULL, "%.*s (%s)", DL_STR_ARG(path), note) != DL_OK) {
        text = path;
    }
    dl_document_unknown(r, text);
}

/* ---- nodes ---- */

dl_status dl_document_root(dl_document_reader *r, dl_str json, dl_document_node *out_node)
{
    if (json.len > DL_FACTORY_DOCUMENT_LIMIT_BYTES) {
        return dl_error_set(r->err, DL_E_LIMIT, "the document has %zu bytes, more than %d",
                            json.len, DL_FACTORY_DOCUMENT_LIMIT_BYTES);
    }
    if (dl_str_starts(json, DL_STR("\xef\xbb\xbf"))) {
        json = dl_str_slice(json, 3, json.len);
    }
    DL_TRY(dl_json_check(json, r->err));
    if (dl_json_kind_of(json) != DL_JSON_OBJECT) {
        return dl_error_set(r->err, DL_E_INVALID, "the document is not a JSON object");
    }
    bool found = false;
    dl_str path = DL_STR_NONE;
    DL_TRY(dl_document_find_secret(json, r->arena, &found, &path, r->err));
    if (found) {
        (void)dl_error_set(r->err, DL_E_INVALID, "%.*s: a secret stands in the document",
                           DL_STR_ARG(path));
        dl_error_hint(r->err, "refer to it: {\"type\": \"Environment\", \"name\": \"X\"} or "
                              "{\"type\": \"File\", \"path\": \"/run/secrets/x\"}");
        return DL_E_INVALID;
    }
    *out_node = (dl_document_node){json, DL_STR("")};
    return DL_OK;
}

dl_status dl_document_child(dl_document_reader *r, const dl_document_node *node, const char *key,
                            dl_document_node *out_child)
{
    dl_document_node child = {DL_STR_NONE, DL_STR_NONE};
    DL_TRY(dl_arena_printf(r->arena, &child.path, r->err, "%.*s%s%s", DL_STR_ARG(node->path),
                           node->path.len == 0 ? "" : ".", key));
    dl_str value = DL_STR_NONE;
    if (dl_document_is(node) && dl_json_get(node->value, dl_str_of(key), &value) &&
        dl_json_kind_of(value) != DL_JSON_NULL) {
        child.value = value;
    }
    *out_child = child;
    return DL_OK;
}

dl_status dl_document_element(dl_document_reader *r, const dl_document_node *array, dl_str value,
                              size_t index, dl_document_node *out_child)
{
    dl_document_node child = {value, DL_STR_NONE};
    DL_TRY(dl_arena_printf(r->arena, &child.path, r->err, "%.*s[%zu]", DL_STR_ARG(array->path),
                           index));
    *out_child = child;
    return DL_OK;
}

static bool is_among(dl_str key, const char *const *known)
{
    for (; *known != NULL; known++) {
        if (dl_str_eq(key, dl_str_of(*known))) {
            return true;
        }
    }
    return false;
}

dl_status dl_document_object(dl_document_reader *r, const dl_document_node *node,
                             const char *const *known)
{
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    if (dl_json_kind_of(node->value) != DL_JSON_OBJECT) {
        return dl_document_wrong(r, node, "a JSON object");
    }
    dl_json_iter iter = dl_json_iter_of(node->value);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&iter, &key, &value)) {
        if (!is_among(key, known)) {
            dl_str path = DL_STR_NONE;
            DL_TRY(dl_arena_printf(r->arena, &path, r->err, "%.*s%s%.*s", DL_STR_ARG(node->path),
                                   node->path.len == 0 ? "" : ".",
                                   DL_STR_ARG(dl_str_slice(key, 0, 200))));
            dl_document_unknown(r, path);
        }
    }
    return DL_OK;
}

dl_status dl_document_array(dl_document_reader *r, const dl_document_node *node, size_t limit,
                            size_t *out_count)
{
    size_t count = 0;
    if (dl_document_is(node)) {
        if (dl_json_kind_of(node->value) != DL_JSON_ARRAY) {
            return dl_document_wrong(r, node, "a JSON array");
        }
        dl_json_iter iter = dl_json_iter_of(node->value);
        dl_str value = DL_STR_NONE;
        while (dl_json_next_element(&iter, &value)) {
            count++;
        }
    }
    if (count > limit) {
        return dl_error_set(r->err, DL_E_INVALID, "%.*s: %zu elements, more than %zu",
                            DL_STR_ARG(node->path), count, limit);
    }
    *out_count = count;
    return DL_OK;
}

/* ---- values ---- */

dl_status dl_document_text(dl_document_reader *r, const dl_document_node *node, dl_str *out)
{
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    if (dl_json_kind_of(node->value) != DL_JSON_STRING) {
        return dl_document_wrong(r, node, "a text");
    }
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_json_text(node->value, r->arena, &text, r->err));
    if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
        return dl_document_wrong(r, node, "a text without NUL");
    }
    return dl_arena_copy(r->arena, text, out, r->err);
}

dl_status dl_document_fit_name(dl_str name, dl_arena *arena, dl_str *out, dl_error *err)
{
    char fit[DL_FACTORY_NAME_LIMIT];
    size_t len = 0;
    for (size_t i = 0; i < name.len && len < sizeof fit; i++) {
        char c = name.ptr[i];
        bool good = dl_factory_name_check((dl_str){&c, 1}, "", NULL) == DL_OK;
        if (good || (len > 0 && fit[len - 1] != '-')) {
            fit[len++] = good ? c : '-';
        }
    }
    while (len > 0 && fit[len - 1] == '-' && name.ptr[name.len - 1] != '-') {
        len--;
    }
    return dl_arena_copy(arena, (dl_str){fit, len}, out, err);
}

dl_status dl_document_name(dl_document_reader *r, const dl_document_node *node, dl_str *out)
{
    dl_str name = DL_STR_NONE;
    if (!dl_document_is(node)) {
        return dl_document_missing(r, node, "a name");
    }
    DL_TRY(dl_document_text(r, node, &name));
    if (r->fit_names) {
        DL_TRY(dl_document_fit_name(name, r->arena, &name, r->err));
    }
    char what[128];
    if (!dl_str_copy(dl_str_slice(node->path, 0, sizeof what - 1), what, sizeof what)) {
        return dl_document_wrong(r, node, "a name");
    }
    DL_TRY(dl_factory_name_check(name, what, r->err));
    *out = name;
    return DL_OK;
}

dl_status dl_document_reference(dl_document_reader *r, const dl_document_node *node,
                                const char *type, dl_str *out)
{
    static const char *const known[] = {"referenceName", "type", "name", "parameters", NULL};
    dl_document_node name, kind;
    if (!dl_document_is(node)) {
        return dl_document_missing(r, node, "a reference: {\"referenceName\", \"type\"}");
    }
    DL_TRY(dl_document_object(r, node, known));
    DL_TRY(dl_document_child(r, node, "referenceName", &name));
    DL_TRY(dl_document_child(r, node, "type", &kind));
    dl_str text = dl_str_of(type);
    DL_TRY(dl_document_text(r, &kind, &text));
    if (!dl_str_eq(text, dl_str_of(type))) {
        return dl_document_wrong(r, &kind, type);
    }
    return dl_document_name(r, &name, out);
}

dl_status dl_document_int(dl_document_reader *r, const dl_document_node *node, int64_t least,
                          int64_t most, int64_t *out)
{
    int64_t number = 0;
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    dl_str digits = node->value;
    if (dl_json_kind_of(digits) == DL_JSON_STRING) {
        digits = dl_str_slice(digits, 1, digits.len - 2);
    }
    if (!dl_str_to_i64(digits, &number) || number < least || number > most) {
        char what[96];
        (void)snprintf(what, sizeof what, "a whole number from %lld to %lld", (long long)least,
                       (long long)most);
        return dl_document_wrong(r, node, what);
    }
    *out = number;
    return DL_OK;
}

dl_status dl_document_bool(dl_document_reader *r, const dl_document_node *node, bool *out)
{
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    return dl_json_bool_of(node->value, out) ? DL_OK : dl_document_wrong(r, node, "true or false");
}

/** Two digits up to `most` from *at on. */
static bool take_two(dl_str text, size_t *at, int most, int64_t *out)
{
    uint64_t number = 0;
    if (!dl_str_to_u64(dl_str_slice(text, *at, 2), &number) || *at + 2 > text.len ||
        number > (uint64_t)most) {
        return false;
    }
    *at += 2;
    *out = (int64_t)number;
    return true;
}

static bool take_colon(dl_str text, size_t *at)
{
    bool good = *at < text.len && text.ptr[*at] == ':';
    *at += good;
    return good;
}

static bool parse_span(dl_str text, int64_t *out_us)
{
    size_t at = 0;
    bool negative = text.len > 0 && text.ptr[0] == '-';
    at += negative;
    ptrdiff_t point = dl_str_find(text, '.');
    uint64_t days = 0;
    if (point >= 0) {
        if ((size_t)point < at ||
            !dl_str_to_u64(dl_str_slice(text, at, (size_t)point - at), &days) ||
            days > SPAN_DAYS_LIMIT) {
            return false;
        }
        at = (size_t)point + 1;
    }
    int64_t hours = 0, minutes = 0, seconds = 0;
    if (!take_two(text, &at, 23, &hours) || !take_colon(text, &at) ||
        !take_two(text, &at, 59, &minutes) || !take_colon(text, &at) ||
        !take_two(text, &at, 59, &seconds) || at != text.len) {
        return false;
    }
    int64_t sum = (int64_t)days * SECONDS_A_DAY + hours * 3600 + minutes * 60 + seconds;
    *out_us = (negative ? -sum : sum) * 1000000;
    return true;
}

dl_status dl_document_span(dl_document_reader *r, const dl_document_node *node, int64_t *out_us)
{
    dl_str text = DL_STR_NONE;
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    DL_TRY(dl_document_text(r, node, &text));
    if (!parse_span(text, out_us)) {
        dl_status status = dl_document_wrong(r, node, "a time span");
        dl_error_hint(r->err, "write it d.hh:mm:ss or hh:mm:ss: 00:15:00 is a quarter of an hour, "
                              "1.00:00:00 a day");
        return status;
    }
    return DL_OK;
}

dl_status dl_document_time(dl_document_reader *r, const dl_document_node *node,
                           const dl_calendar_zone *zone, int64_t *out_us)
{
    dl_str text = DL_STR_NONE;
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    DL_TRY(dl_document_text(r, node, &text));
    if (dl_clock_parse(text, out_us)) {
        return DL_OK;
    }
    int64_t time_us = 0;
    dl_str with_zone = DL_STR_NONE;
    DL_TRY(dl_arena_printf(r->arena, &with_zone, r->err, "%.*sZ", DL_STR_ARG(text)));
    if (!dl_clock_parse(with_zone, &time_us)) {
        dl_status status = dl_document_wrong(r, node, "a time");
        dl_error_hint(r->err, "write it as 2026-01-05T08:00:00Z");
        return status;
    }
    if (zone != NULL) {
        const dl_calendar_zone *utc = NULL;
        DL_TRY(dl_calendar_zone_find(DL_STR(""), &utc, r->err));
        dl_calendar_parts parts;
        dl_calendar_local(utc, time_us, &parts);
        time_us = dl_calendar_time(zone, &parts);
    }
    *out_us = time_us;
    return DL_OK;
}

dl_status dl_document_word(dl_document_reader *r, const dl_document_node *node,
                           const char *const *words, size_t *out_index)
{
    dl_str text = DL_STR_NONE;
    if (!dl_document_is(node)) {
        return DL_OK;
    }
    DL_TRY(dl_document_text(r, node, &text));
    char all[200];
    size_t len = 0;
    for (size_t i = 0; words[i] != NULL; i++) {
        if (dl_str_eq_nocase(text, dl_str_of(words[i]))) {
            *out_index = i;
            return DL_OK;
        }
        int n = snprintf(all + len, sizeof all - len, "%s%s", i == 0 ? "" : ", ", words[i]);
        len = n < 0 || (size_t)n >= sizeof all - len ? sizeof all - 1 : len + (size_t)n;
    }
    dl_status status = dl_document_wrong(r, node, "known there");
    dl_error_hint(r->err, "one of: %s", all);
    return status;
}

/* ---- parameters ---- */

const char *dl_document_parameter_name(dl_str name)
{
    for (size_t i = 0; dl_pipeline_parameter_name(i) != NULL; i++) {
        if (dl_str_eq_nocase(name, dl_str_of(dl_pipeline_parameter_name(i)))) {
            return dl_pipeline_parameter_name(i);
        }
    }
    return NULL;
}

static dl_status check_value(dl_document_reader *r, const dl_document_node *node,
                             const dl_factory_parameter *p, bool has_window)
{
    dl_status status = DL_OK;
    if (dl_expression_is(p->value)) {
        dl_expression_pair pairs[DL_FACTORY_PARAMETER_LIMIT];
        dl_expression_scope scope = {.has_window = has_window, .parameters = pairs};
        for (size_t i = 0; dl_pipeline_parameter_name(i) != NULL; i++) {
            pairs[scope.parameter_count++] =
                (dl_expression_pair){dl_str_of(dl_pipeline_parameter_name(i)), DL_STR("")};
        }
        status = dl_expression_check(p->value, &scope, r->err);
    } else {
        dl_pipeline_parameters scratch = dl_pipeline_parameters_default();
        status = dl_pipeline_parameter_set(&scratch, p->name.ptr, p->value.ptr, r->err);
    }
    return status == DL_OK
               ? DL_OK
               : dl_error_within(r->err, status, "reading %.*s", DL_STR_ARG(node->path));
}

/** The value as text: of a text, a number, a boolean, or {"value": "@...", "type": "Expression"}.
 */
static dl_status value_text(dl_document_reader *r, const dl_document_node *node, dl_str *out)
{
    static const char *const known[] = {"value", "type", NULL};
    dl_document_node inner = *node;
    if (dl_json_kind_of(node->value) == DL_JSON_OBJECT) {
        DL_TRY(dl_document_object(r, node, known));
        DL_TRY(dl_document_child(r, node, "value", &inner));
        if (!dl_document_is(&inner)) {
            return dl_document_wrong(r, node, "a value or {\"value\", \"type\": \"Expression\"}");
        }
    }
    switch (dl_json_kind_of(inner.value)) {
    case DL_JSON_STRING:
        return dl_document_text(r, &inner, out);
    case DL_JSON_NUMBER:
    case DL_JSON_BOOL:
        return dl_arena_copy(r->arena, inner.value, out, r->err);
    case DL_JSON_NONE:
    case DL_JSON_OBJECT:
    case DL_JSON_ARRAY:
    case DL_JSON_NULL:
        break;
    }
    return dl_document_wrong(r, &inner, "a text, a number or a boolean");
}

static dl_status read_default(dl_document_reader *r, const dl_document_node *node,
                              dl_factory_parameter *p)
{
    static const char *const known[] = {"type", "defaultValue", NULL};
    static const char *const types[] = {"string", "int",    "float",        "bool",
                                        "array",  "object", "secureString", NULL};
    dl_document_node type, value;
    DL_TRY(dl_document_object(r, node, known));
    DL_TRY(dl_document_child(r, node, "type", &type));
    DL_TRY(dl_document_child(r, node, "defaultValue", &value));
    size_t index = 0;
    DL_TRY(dl_document_word(r, &type, types, &index));
    p->type = dl_str_of(types[index]);
    return dl_document_is(&value) ? value_text(r, &value, &p->value) : DL_OK;
}

static dl_status read_parameter(dl_document_reader *r, const dl_document_node *node, dl_str raw_key,
                                bool of_trigger, dl_factory_parameter *out)
{
    const char *name = dl_document_parameter_name(raw_key);
    if (name == NULL) {
        dl_pipeline_parameters scratch = dl_pipeline_parameters_default();
        char text[SHOWN];
        (void)dl_str_copy(dl_str_slice(raw_key, 0, sizeof text - 1), text, sizeof text);
        dl_status status = dl_pipeline_parameter_set(&scratch, text, "", r->err);
        DL_ASSERT(status != DL_OK);
        /* The document is wrong; it is not the document that is not there. */
        return dl_error_within(r->err, DL_E_INVALID, "reading %.*s", DL_STR_ARG(node->path));
    }
    *out = (dl_factory_parameter){.name = dl_str_of(name), .type = DL_STR("string")};
    if (!of_trigger) {
        return read_default(r, node, out);
    }
    return dl_json_kind_of(node->value) == DL_JSON_NULL ? DL_OK : value_text(r, node, &out->value);
}

dl_status dl_document_parameters(dl_document_reader *r, const dl_document_node *node,
                                 bool of_trigger, bool has_window, dl_factory_parameter *out,
                                 size_t *out_count)
{
    size_t count = 0;
    if (dl_document_is(node) && dl_json_kind_of(node->value) != DL_JSON_OBJECT) {
        return dl_document_wrong(r, node, "a JSON object");
    }
    dl_json_iter iter = dl_json_iter_of(node->value);
    dl_str key = DL_STR_NONE;
    dl_document_node child;
    while (dl_document_is(node) && dl_json_next_member(&iter, &key, &child.value)) {
        DL_TRY(dl_arena_printf(r->arena, &child.path, r->err, "%.*s.%.*s", DL_STR_ARG(node->path),
                               DL_STR_ARG(dl_str_slice(key, 0, SHOWN))));
        if (count == DL_FACTORY_PARAMETER_LIMIT) {
            return dl_error_set(r->err, DL_E_INVALID, "%.*s: more than %d parameters",
                                DL_STR_ARG(node->path), DL_FACTORY_PARAMETER_LIMIT);
        }
        dl_factory_parameter p;
        DL_TRY(read_parameter(r, &child, key, of_trigger, &p));
        for (size_t i = 0; i < count; i++) {
            if (dl_str_eq(out[i].name, p.name)) {
                return dl_error_set(r->err, DL_E_INVALID, "%.*s: it is there twice",
                                    DL_STR_ARG(child.path));
            }
        }
        if (p.value.ptr != NULL) {
            DL_TRY(check_value(r, &child, &p, has_window));
        }
        out[count++] = p;
    }
    *out_count = count;
    return DL_OK;
}

dl_status dl_factory_parameters(const dl_factory_parameter *parameters, size_t count,
                                dl_pipeline_parameters *out, dl_error *err)
{
    char name[DL_FACTORY_NAME_LIMIT + 1], value[1024];
    dl_pipeline_parameters all = dl_pipeline_parameters_default();
    for (size_t i = 0; i < count; i++) {
        if (parameters[i].value.ptr == NULL) {
            continue;
        }
        if (!dl_str_copy(dl_str_slice(parameters[i].name, 0, sizeof name - 1), name, sizeof name)) {
            return dl_error_set(err, DL_E_INVALID, "the name of parameter %zu holds a NUL", i + 1);
        }
        if (!dl_str_copy(parameters[i].value, value, sizeof value)) {
            return dl_error_set(err, DL_E_INVALID,
                                "parameter %s: its value is longer than %zu bytes or holds a NUL",
                                name, sizeof value - 1);
        }
        DL_TRY(dl_pipeline_parameter_set(&all, name, value, err));
    }
    DL_TRY(dl_pipeline_parameters_check(&all, false, err));
    *out = all;
    return DL_OK;
}
