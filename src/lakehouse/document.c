/* A lakehouse as JSON: read strictly, with what is not ours kept; the rules of its names. */
#include "factory/document_copy.h"
#include "factory/document_read.h"
#include "lakehouse/catalog_internal.h"

#include <stdio.h>

enum { WHERE_SIZE = 64, SHOWN = 64 };

static const char *const lakehouse_members[] = {"name", "description", "shortcuts", NULL};
static const char *const shortcut_members[] = {"path", "name", "target", NULL};
static const char *const target_members[] = {"connection", "subpath", NULL};
static const char *const kind_names[] = {"Tables", "Files", NULL};

const char *dl_shortcut_kind_name(dl_shortcut_kind kind)
{
    return kind_names[kind];
}

const dl_shortcut *dl_shortcut_find(const dl_lakehouse *lakehouse, dl_shortcut_kind kind,
                                    dl_str name)
{
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        const dl_shortcut *s = &lakehouse->shortcuts[i];
        if (s->kind == kind && dl_str_eq_nocase(s->name, name)) {
            return s;
        }
    }
    return NULL;
}

/* ---- the rules ---- */

static bool has_control(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool is_dots(dl_str text)
{
    return dl_str_eq(text, DL_STR(".")) || dl_str_eq(text, DL_STR(".."));
}

static dl_status check_shortcut_name(dl_str name, const char *where, dl_error *err)
{
    if (name.len == 0 || name.len > DL_SHORTCUT_NAME_LIMIT) {
        (void)dl_error_set(err, DL_E_INVALID, "%sname: it has %zu bytes, not 1 to %d", where,
                           name.len, DL_SHORTCUT_NAME_LIMIT);
    } else if (!dl_str_is_utf8(name) || has_control(name)) {
        (void)dl_error_set(err, DL_E_INVALID, "%sname: it has characters that cannot be seen",
                           where);
    } else if (is_dots(name) || dl_str_find(name, '/') >= 0) {
        (void)dl_error_set(err, DL_E_INVALID, "%sname: '%.*s' is a path, not a name", where,
                           DL_STR_ARG(dl_str_slice(name, 0, SHOWN)));
    } else {
        return DL_OK;
    }
    dl_error_hint(err, "a shortcut's name has 1 to %d bytes of text, and no '/'",
                  DL_SHORTCUT_NAME_LIMIT);
    return DL_E_INVALID;
}

static dl_status check_segments(dl_str subpath, const char *where, dl_error *err)
{
    dl_str rest = dl_str_slice(subpath, 1, subpath.len);
    dl_str part = DL_STR_NONE;
    bool ends_empty = rest.len > 0 && rest.ptr[rest.len - 1] == '/';
    while (rest.len > 0 && dl_str_next(&rest, '/', &part)) {
        if (is_dots(part)) {
            (void)dl_error_set(err, DL_E_INVALID, "%ssubpath: '%.*s' would leave the connection",
                               where, DL_STR_ARG(part));
            dl_error_hint(err, "name the folder itself, from the connection's folder on");
            return DL_E_INVALID;
        }
        ends_empty |= part.len == 0;
    }
    if (ends_empty) {
        (void)dl_error_set(err, DL_E_INVALID, "%ssubpath: a part of it is empty", where);
        dl_error_hint(err, "write it /container/folder, without a '/' at its end");
        return DL_E_INVALID;
    }
    return DL_OK;
}

static dl_status check_subpath(dl_str subpath, const char *where, dl_error *err)
{
    if (subpath.len == 0 || subpath.ptr[0] != '/') {
        (void)dl_error_set(err, DL_E_INVALID, "%ssubpath: '%.*s' does not begin with '/'", where,
                           DL_STR_ARG(dl_str_slice(subpath, 0, SHOWN)));
        dl_error_hint(err, "it is the container and the folder, as in /dicom/instance");
        return DL_E_INVALID;
    }
    if (subpath.len > DL_LAKEHOUSE_SUBPATH_LIMIT) {
        return dl_error_set(err, DL_E_INVALID, "%ssubpath: %zu bytes, more than %d", where,
                            subpath.len, DL_LAKEHOUSE_SUBPATH_LIMIT);
    }
    if (!dl_str_is_utf8(subpath) || has_control(subpath)) {
        return dl_error_set(err, DL_E_INVALID, "%ssubpath: it has characters that cannot be seen",
                            where);
    }
    if (dl_str_find(subpath, '\\') >= 0) {
        (void)dl_error_set(err, DL_E_INVALID, "%ssubpath: it has a '\\'", where);
        dl_error_hint(err, "separate folders by '/'");
        return DL_E_INVALID;
    }
    return check_segments(subpath, where, err);
}

dl_status dl_shortcut_check(const dl_shortcut *shortcut, const char *where, dl_error *err)
{
    char what[WHERE_SIZE + 32];
    if (!dl_str_eq(shortcut->connection, DL_STR(DL_LAKEHOUSE_HOME_CONNECTION))) {
        (void)snprintf(what, sizeof what, "%starget.connection", where);
        DL_TRY(dl_factory_name_check(shortcut->connection, what, err));
    }
    (void)snprintf(what, sizeof what, "%starget.", where);
    DL_TRY(check_subpath(shortcut->subpath, what, err));
    return check_shortcut_name(shortcut->name, where, err); /* which may come from the sub path */
}

static dl_status check_unique(const dl_lakehouse *lakehouse, size_t i, dl_error *err)
{
    const dl_shortcut *s = &lakehouse->shortcuts[i];
    if (dl_shortcut_find(lakehouse, s->kind, s->name) == s) {
        return DL_OK;
    }
    (void)dl_error_set(err, DL_E_INVALID, "shortcuts[%zu].name: there are two '%.*s' under %s", i,
                       DL_STR_ARG(s->name), dl_shortcut_kind_name(s->kind));
    dl_error_hint(err, "names count without regard to case");
    return DL_E_INVALID;
}

dl_status dl_lakehouse_check(const dl_lakehouse *lakehouse, dl_error *err)
{
    DL_TRY(dl_factory_name_check(lakehouse->name, "lakehouse", err));
    if (dl_str_eq_nocase(lakehouse->name, DL_STR(DL_LAKEHOUSE_HOME))) {
        (void)dl_error_set(err, DL_E_INVALID,
                           "'%.*s' is the lakehouse that every home has by itself",
                           DL_STR_ARG(lakehouse->name));
        dl_error_hint(err, "choose another name");
        return DL_E_INVALID;
    }
    if (lakehouse->description.len > DL_LAKEHOUSE_DESCRIPTION_LIMIT ||
        !dl_str_is_utf8(lakehouse->description)) {
        return dl_error_set(err, DL_E_INVALID, "description: not a text of at most %d bytes",
                            DL_LAKEHOUSE_DESCRIPTION_LIMIT);
    }
    if (lakehouse->shortcut_count > DL_SHORTCUT_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "shortcuts: %zu of them, more than %d",
                            lakehouse->shortcut_count, DL_SHORTCUT_LIMIT);
    }
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        char where[WHERE_SIZE];
        (void)snprintf(where, sizeof where, "shortcuts[%zu].", i);
        DL_TRY(dl_shortcut_check(&lakehouse->shortcuts[i], where, err));
        DL_TRY(check_unique(lakehouse, i, err));
    }
    return DL_OK;
}

/* ---- reading ---- */

static bool is_among(dl_str key, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (dl_str_eq(key, dl_str_of(*names))) {
            return true;
        }
    }
    return false;
}

/** What of an object is not ours goes; of what is not, everything stays. */
static dl_document_action drop_ours(void *context, dl_str path, dl_str key, dl_str value,
                                    dl_str *out_value)
{
    (void)value;
    (void)out_value;
    bool top = key.ptr != NULL && path.len == key.len;
    return top && is_among(key, context) ? DL_DOCUMENT_DROP : DL_DOCUMENT_KEEP;
}

/** The members that are not among `ours`; empty when there is none. */
static dl_status take_others(dl_document_reader *r, const dl_document_node *node,
                             const char *const *ours, dl_str *out)
{
    DL_AUTO_BUF text = {0};
    union { /* the visitor's context is not const */
        const char *const *names;
        void *context;
    } members = {.names = ours};
    dl_buf_init(&text, DL_LAKEHOUSE_DOCUMENT_LIMIT_BYTES);
    DL_TRY(dl_document_copy(node->value, drop_ours, members.context, &text, r->err));
    *out = DL_STR("");
    return text.len <= sizeof "{}" - 1 ? DL_OK
                                       : dl_arena_copy(r->arena, dl_buf_str(&text), out, r->err);
}

static dl_status read_target(dl_document_reader *r, const dl_document_node *node, dl_shortcut *out)
{
    dl_document_node connection, subpath;
    if (!dl_document_is(node)) {
        return dl_document_missing(r, node, "an object: {\"connection\", \"subpath\"}");
    }
    DL_TRY(dl_document_object(r, node, target_members));
    DL_TRY(dl_document_child(r, node, "connection", &connection));
    DL_TRY(dl_document_child(r, node, "subpath", &subpath));
    if (!dl_document_is(&connection)) {
        return dl_document_missing(r, &connection, "the name of a lake connection, or \"home:\"");
    }
    if (!dl_document_is(&subpath)) {
        return dl_document_missing(r, &subpath, "a path such as \"/dicom/instance\"");
    }
    DL_TRY(dl_document_text(r, &connection, &out->connection));
    DL_TRY(dl_document_text(r, &subpath, &out->subpath));
    return take_others(r, node, target_members, &out->target_other_json);
}

static dl_status read_kind(dl_document_reader *r, const dl_document_node *node,
                           dl_shortcut_kind *out)
{
    size_t index = 0;
    if (!dl_document_is(node)) {
        return dl_document_missing(r, node, "\"Tables\" or \"Files\"");
    }
    DL_TRY(dl_document_word(r, node, kind_names, &index));
    *out = index == 0 ? DL_SHORTCUT_TABLES : DL_SHORTCUT_FILES;
    return DL_OK;
}

static dl_status read_shortcut(dl_document_reader *r, const dl_document_node *node,
                               dl_shortcut *out)
{
    dl_document_node path, name, target;
    if (dl_json_kind_of(node->value) != DL_JSON_OBJECT) {
        return dl_document_wrong(r, node, "a JSON object");
    }
    DL_TRY(dl_document_object(r, node, shortcut_members));
    DL_TRY(dl_document_child(r, node, "path", &path));
    DL_TRY(dl_document_child(r, node, "name", &name));
    DL_TRY(dl_document_child(r, node, "target", &target));
    DL_TRY(read_kind(r, &path, &out->kind));
    if (!dl_document_is(&name)) {
        return dl_document_missing(r, &name, "a name");
    }
    DL_TRY(dl_document_text(r, &name, &out->name));
    DL_TRY(read_target(r, &target, out));
    return take_others(r, node, shortcut_members, &out->other_json);
}

static dl_status read_shortcuts(dl_document_reader *r, const dl_document_node *node,
                                dl_lakehouse *out)
{
    size_t count = 0, i = 0;
    DL_TRY(dl_document_array(r, node, DL_SHORTCUT_LIMIT, &count));
    out->shortcuts = dl_arena_alloc(r->arena, count + 1, sizeof *out->shortcuts);
    if (out->shortcuts == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    dl_json_iter iter = dl_json_iter_of(node->value);
    dl_str value = DL_STR_NONE;
    while (i < count && dl_json_next_element(&iter, &value)) {
        dl_document_node element;
        DL_TRY(dl_document_element(r, node, value, i, &element));
        DL_TRY(read_shortcut(r, &element, &out->shortcuts[i++]));
    }
    out->shortcut_count = i;
    return DL_OK;
}

dl_status dl_lakehouse_read(dl_str json, dl_arena *arena, dl_lakehouse *out, dl_error *err)
{
    dl_document_reader r = {.arena = arena, .err = err};
    dl_document_node root, name, description, shortcuts;
    dl_lakehouse read = {.description = DL_STR("")};
    DL_TRY(dl_document_root(&r, json, &root));
    DL_TRY(dl_document_child(&r, &root, "name", &name));
    DL_TRY(dl_document_child(&r, &root, "description", &description));
    DL_TRY(dl_document_child(&r, &root, "shortcuts", &shortcuts));
    DL_TRY(dl_document_name(&r, &name, &read.name));
    DL_TRY(dl_document_text(&r, &description, &read.description));
    DL_TRY(read_shortcuts(&r, &shortcuts, &read));
    DL_TRY(take_others(&r, &root, lakehouse_members, &read.other_json));
    DL_TRY(dl_lakehouse_check(&read, err));
    *out = read;
    return DL_OK;
}

/* ---- writing ---- */

static void put_text(dl_json_writer *w, const char *key, dl_str text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, text);
}

/** What was not ours, behind what is; ends the object. */
static void close_object(dl_json_writer *w, dl_str others, const char *const *ours)
{
    dl_json_iter iter = dl_json_iter_of(others);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    while (dl_json_next_member(&iter, &key, &value)) {
        if (is_among(key, ours)) {
            continue;
        }
        dl_status status = dl_document_put_key(w, key, w->err);
        if (w->status == DL_OK) {
            w->status = status;
        }
        dl_json_raw(w, value);
    }
    dl_json_object_end(w);
}

static void put_shortcut(dl_json_writer *w, const dl_shortcut *s)
{
    dl_json_object_begin(w);
    put_text(w, "path", dl_str_of(dl_shortcut_kind_name(s->kind)));
    put_text(w, "name", s->name);
    dl_json_key(w, DL_STR("target"));
    dl_json_object_begin(w);
    put_text(w, "connection", s->connection);
    put_text(w, "subpath", s->subpath);
    close_object(w, s->target_other_json, target_members);
    close_object(w, s->other_json, shortcut_members);
}

void dl_lakehouse_write(dl_json_writer *w, const dl_lakehouse *lakehouse)
{
    dl_json_object_begin(w);
    put_text(w, "name", lakehouse->name);
    put_text(w, "description", lakehouse->description);
    dl_json_key(w, DL_STR("shortcuts"));
    dl_json_array_begin(w);
    for (size_t i = 0; i < lakehouse->shortcut_count; i++) {
        put_shortcut(w, &lakehouse->shortcuts[i]);
    }
    dl_json_array_end(w);
    close_object(w, lakehouse->other_json, lakehouse_members);
}

dl_status dl_lakehouse_text(const dl_lakehouse *lakehouse, dl_buf *out, dl_error *err)
{
    DL_AUTO_BUF compact = {0};
    dl_json_writer w;
    dl_buf_init(&compact, out->limit_bytes); /* lines only add to it */
    dl_json_writer_init(&w, &compact, err);
    dl_lakehouse_write(&w, lakehouse);
    DL_TRY(dl_json_writer_status(&w));
    return dl_document_pretty(dl_buf_str(&compact), out, err);
}
