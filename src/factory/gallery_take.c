/* Documents cut out of JSON texts: an ARM template's resources, or one document. */
#include "factory/document_copy.h"
#include "factory/gallery_internal.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

enum { EXPRESSION_LIMIT_BYTES = 1024 };

/* ---- ARM's expressions, as far as exports have them ---- */

typedef struct arm {
    dl_gallery_file *file;
    dl_str parameters, variables; /* objects of the template; may be nothing */
    dl_str name;                  /* of the document, for what is listed */
    dl_status status;
} arm;

static dl_str raw_text(dl_str object, const char *key)
{
    dl_str value = DL_STR_NONE;
    if (!dl_json_get(object, dl_str_of(key), &value) || dl_json_kind_of(value) != DL_JSON_STRING) {
        return DL_STR_NONE;
    }
    return dl_str_slice(value, 1, value.len - 2);
}

/** 'text' at the beginning of *rest. */
static bool take_quoted(dl_str *rest, dl_str *out)
{
    dl_str text = dl_str_trim(*rest);
    if (text.len < 2 || text.ptr[0] != '\'') {
        return false;
    }
    ptrdiff_t end = dl_str_find(dl_str_slice(text, 1, text.len), '\'');
    if (end < 0) {
        return false;
    }
    *out = dl_str_slice(text, 1, (size_t)end);
    *rest = dl_str_trim(dl_str_slice(text, (size_t)end + 2, text.len));
    return true;
}

static bool take_word(dl_str *rest, const char *word)
{
    dl_str text = dl_str_trim(*rest);
    if (!dl_str_starts_nocase(text, dl_str_of(word))) {
        return false;
    }
    *rest = dl_str_trim(dl_str_slice(text, strlen(word), text.len));
    return true;
}

/** parameters('x') or variables('x') at the beginning of *rest: the JSON value of it; ptr NULL: a
 * parameter without a default, called *out_name. */
static bool take_lookup(const arm *a, dl_str *rest, dl_str *out_name, dl_str *out_value)
{
    dl_str text = *rest, entry = DL_STR_NONE;
    bool parameter = take_word(&text, "parameters(");
    if ((!parameter && !take_word(&text, "variables(")) || !take_quoted(&text, out_name) ||
        !take_word(&text, ")")) {
        return false;
    }
    *out_value = DL_STR_NONE;
    if (!dl_json_get_nocase(parameter ? a->parameters : a->variables, *out_name, &entry)) {
        entry = DL_STR_NONE;
    } else if (!parameter) {
        *out_value = entry;
    } else if (dl_str_eq_nocase(raw_text(entry, "type"), DL_STR("secureString")) ||
               !dl_json_get(entry, DL_STR("defaultValue"), out_value)) {
        *out_value = DL_STR_NONE;
    }
    *rest = text;
    return true;
}

/** concat(...) of texts and lookups. What is looked up and is no text counts by its name. */
static bool concat(const arm *a, dl_str rest, dl_buf *out)
{
    if (!take_word(&rest, "concat(")) {
        return false;
    }
    for (;;) {
        dl_str text = DL_STR_NONE, value = DL_STR_NONE;
        if (!take_quoted(&rest, &text)) {
            if (!take_lookup(a, &rest, &text, &value)) {
                return false;
            }
            if (value.ptr != NULL && dl_json_kind_of(value) == DL_JSON_STRING &&
                value.ptr[1] != '[') {
                text = dl_str_slice(value, 1, value.len - 2);
            }
        }
        if (dl_buf_append_str(out, text, NULL) != DL_OK) {
            return false;
        }
        if (take_word(&rest, ")")) {
            return rest.len == 0;
        }
        if (!take_word(&rest, ",")) {
            return false;
        }
    }
}

static dl_status quoted(arm *a, dl_str text, dl_str *out)
{
    return dl_arena_printf(a->file->scratch, out, a->file->reader.err, "\"%.*s\"",
                           DL_STR_ARG(text));
}

/** The JSON value that the expression between the brackets means; false: not understood. Texts in
 * expressions are kept raw: they have no escapes but those of JSON. */
static bool evaluate(arm *a, dl_str inner, dl_str *out_value)
{
    dl_str rest = inner, name = DL_STR_NONE, value = DL_STR_NONE;
    if (take_lookup(a, &rest, &name, &value) && rest.len == 0) {
        if (value.ptr != NULL) {
            *out_value = value;
        } else {
            a->status = quoted(a, name, out_value);
        }
        return true;
    }
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, EXPRESSION_LIMIT_BYTES);
    if (!concat(a, inner, &text)) {
        return false;
    }
    a->status = quoted(a, dl_buf_str(&text), out_value);
    return true;
}

static void note_here(arm *a, dl_str path, const char *note)
{
    dl_str text = path;
    if (dl_arena_printf(a->file->reader.arena, &text, NULL, "%.*s: %.*s", DL_STR_ARG(a->name),
                        DL_STR_ARG(dl_str_slice(path, 0, 300))) != DL_OK) {
        text = DL_STR("a member");
    }
    dl_document_note(&a->file->reader, text, note);
}

static dl_document_action clean(void *context, dl_str path, dl_str key, dl_str value,
                                dl_str *out_value)
{
    arm *a = context;
    if (dl_document_is_secret(key, value)) {
        note_here(a, path, "a secret, dropped");
        return DL_DOCUMENT_DROP;
    }
    if (a->parameters.ptr == NULL || dl_json_kind_of(value) != DL_JSON_STRING || value.len < 4 ||
        value.ptr[1] != '[' || value.ptr[value.len - 2] != ']') {
        return DL_DOCUMENT_KEEP;
    }
    if (value.ptr[2] == '[') {
        a->status = dl_arena_printf(a->file->scratch, out_value, a->file->reader.err, "\"%.*s",
                                    DL_STR_ARG(dl_str_slice(value, 2, value.len)));
        return a->status == DL_OK ? DL_DOCUMENT_REPLACE : DL_DOCUMENT_STOP;
    }
    if (!evaluate(a, dl_str_slice(value, 2, value.len - 4), out_value)) {
        note_here(a, path, "an expression of ARM that is not known");
        return DL_DOCUMENT_KEEP;
    }
    if (a->status == DL_OK && dl_document_is_secret(key, *out_value)) {
        note_here(a, path, "a secret, dropped");
        return DL_DOCUMENT_DROP;
    }
    return a->status == DL_OK ? DL_DOCUMENT_REPLACE : DL_DOCUMENT_STOP;
}

/* ---- one document ---- */

static bool ends_nocase(dl_str text, const char *tail)
{
    size_t len = strlen(tail);
    return text.len >= len &&
           dl_str_eq_nocase(dl_str_slice(text, text.len - len, len), (dl_str){tail, len});
}

/** Evaluates, drops secrets, and puts it among the documents. */
static dl_status add(dl_gallery_file *file, arm *a, dl_gallery_kind kind, dl_str properties)
{
    DL_AUTO_BUF json = {0};
    dl_error *err = file->reader.err;
    if (file->count == DL_GALLERY_DOCUMENT_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "more than %d documents", DL_GALLERY_DOCUMENT_LIMIT);
    }
    dl_buf_init(&json, DL_GALLERY_LIMIT_BYTES);
    DL_TRY(dl_buf_printf(&json, err, "{\"name\":\"%.*s\",\"properties\":", DL_STR_ARG(a->name)));
    DL_TRY(dl_document_copy(properties, clean, a, &json, err));
    DL_TRY(a->status);
    DL_TRY(dl_buf_append_char(&json, '}', err));
    dl_gallery_document *d = &file->documents[file->count];
    d->kind = kind;
    DL_TRY(dl_arena_copy(file->scratch, a->name, &d->name, err));
    DL_TRY(dl_arena_copy(file->scratch, dl_buf_str(&json), &d->json, err));
    file->count++;
    return DL_OK;
}

/** What kind of document has such properties; false: none of ours. */
static bool kind_of(dl_str properties, dl_gallery_kind *out_kind)
{
    dl_str value = DL_STR_NONE, type = raw_text(properties, "type");
    if (dl_json_get(properties, DL_STR("activities"), &value)) {
        *out_kind = DL_GALLERY_PIPELINE;
    } else if (ends_nocase(type, "Trigger")) {
        *out_kind = DL_GALLERY_TRIGGER;
    } else if (ends_nocase(type, "DataFlow")) {
        *out_kind = DL_GALLERY_DATAFLOW;
    } else if (type.len > 0 && dl_json_get(properties, DL_STR("typeProperties"), &value) &&
               !dl_json_get(properties, DL_STR("linkedServiceName"), &value)) {
        *out_kind = DL_GALLERY_CONNECTION;
    } else {
        return false;
    }
    return true;
}

/* ---- ARM templates ---- */

static const struct {
    const char *tail;
    dl_gallery_kind kind;
} resource_kinds[] = {
    {"/pipelines", DL_GALLERY_PIPELINE},
    {"/triggers", DL_GALLERY_TRIGGER},
    {"/linkedServices", DL_GALLERY_CONNECTION},
    {"/dataflows", DL_GALLERY_DATAFLOW},
};

/** The last step of "[concat(parameters('factoryName'), '/NAME')]" or of "factory/NAME". */
static dl_status resource_name(arm *a, dl_str resource, dl_str *out_name)
{
    dl_str name = raw_text(resource, "name"), value = DL_STR_NONE;
    if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']' &&
        evaluate(a, dl_str_slice(name, 1, name.len - 2), &value) &&
        dl_json_kind_of(value) == DL_JSON_STRING) {
        name = dl_str_slice(value, 1, value.len - 2);
    }
    DL_TRY(a->status);
    for (size_t i = name.len; i > 0; i--) {
        if (name.ptr[i - 1] == '/') {
            name = dl_str_slice(name, i, name.len);
            break;
        }
    }
    *out_name = name;
    return DL_OK;
}

static dl_status take_resource(dl_gallery_file *file, const arm *template_, dl_str label,
                               size_t index, dl_str resource)
{
    arm a = *template_;
    dl_str properties = DL_STR_NONE, path = DL_STR_NONE, type = raw_text(resource, "type");
    DL_TRY(resource_name(&a, resource, &a.name));
    for (size_t i = 0; i < DL_COUNT_OF(resource_kinds); i++) {
        if (ends_nocase(type, resource_kinds[i].tail) &&
            dl_json_get(resource, DL_STR("properties"), &properties)) {
            return add(file, &a, resource_kinds[i].kind, properties);
        }
    }
    DL_TRY(dl_arena_printf(file->reader.arena, &path, file->reader.err, "%.*s: resources[%zu]",
                           DL_STR_ARG(label), index));
    char note[160];
    (void)snprintf(note, sizeof note, "%.*s", DL_STR_ARG(dl_str_slice(type, 0, sizeof note - 1)));
    dl_document_note(&file->reader, path, note[0] == '\0' ? "no type" : note);
    return DL_OK;
}

static dl_status take_template(dl_gallery_file *file, dl_str label, dl_str root, dl_str resources)
{
    arm a = {.file = file, .name = label, .parameters = DL_STR("{}"), .variables = DL_STR("{}")};
    dl_str value = DL_STR_NONE;
    if (dl_json_get(root, DL_STR("parameters"), &value)) {
        a.parameters = value;
    }
    if (dl_json_get(root, DL_STR("variables"), &value)) {
        a.variables = value;
    }
    dl_json_iter iter = dl_json_iter_of(resources);
    for (size_t i = 0; dl_json_next_element(&iter, &value); i++) {
        DL_TRY(take_resource(file, &a, label, i, value));
    }
    return DL_OK;
}

/* ---- one JSON text ---- */

static dl_str base_of(dl_str label)
{
    for (size_t i = label.len; i > 0; i--) {
        if (label.ptr[i - 1] == '/') {
            return dl_str_slice(label, i, label.len);
        }
    }
    return label;
}

dl_status dl_gallery_take(dl_gallery_file *file, dl_str label, dl_str text)
{
    dl_str value = DL_STR_NONE, copy = DL_STR_NONE;
    if (dl_str_starts(text, DL_STR("\xef\xbb\xbf"))) {
        text = dl_str_slice(text, 3, text.len);
    }
    dl_status status = dl_json_check(text, file->reader.err);
    if (status != DL_OK) {
        return dl_error_within(file->reader.err, status, "reading %.*s", DL_STR_ARG(label));
    }
    file->text_count++;
    DL_TRY(dl_arena_copy(file->scratch, text, &copy, file->reader.err));
    if (dl_json_get(copy, DL_STR("resources"), &value) && dl_json_kind_of(value) == DL_JSON_ARRAY) {
        return take_template(file, label, copy, value);
    }
    dl_gallery_kind kind = DL_GALLERY_PIPELINE;
    if (dl_json_get(copy, DL_STR("properties"), &value) && kind_of(value, &kind)) {
        arm a = {.file = file, .name = raw_text(copy, "name")};
        if (a.name.ptr == NULL) { /* folders of Data Factory name the file after it */
            dl_str base = base_of(label);
            base = dl_str_slice(base, 0, base.len > 5 ? base.len - 5 : base.len);
            DL_TRY(dl_document_fit_name(base, file->scratch, &a.name, file->reader.err));
        }
        return add(file, &a, kind, value);
    }
    if (!dl_str_eq_nocase(base_of(label), DL_STR("manifest.json"))) {
        dl_document_note(&file->reader, label, "no pipeline, trigger or linked service");
    }
    return DL_OK;
}
