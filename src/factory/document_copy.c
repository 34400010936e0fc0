#include "factory/document_copy.h"

#include <string.h>

enum {
    PATH_LIMIT_BYTES = 64 * 1024,
    COPY_LIMIT_BYTES = 32 * 1024 * 1024,
    INDENT = 4,
};

/* ---- the walk ---- */

typedef struct frame {
    dl_json_iter iter;
    bool object;
    size_t path_len, index;
} frame;

typedef struct copy {
    dl_json_writer w;
    dl_buf path;
    frame stack[DL_JSON_DEPTH_LIMIT + 1];
    size_t depth;
    dl_error *err;
} copy;

static void copy_clear(copy *c)
{
    dl_buf_clear(&c->path);
}

/** Writes a scalar, or opens a container and goes into it. */
static dl_status put_value(copy *c, dl_str value)
{
    dl_json_kind kind = dl_json_kind_of(value);
    if (kind != DL_JSON_OBJECT && kind != DL_JSON_ARRAY) {
        dl_json_raw(&c->w, value);
        return DL_OK;
    }
    if (c->depth == DL_COUNT_OF(c->stack)) {
        return dl_error_set(c->err, DL_E_LIMIT, "the document is nested too deeply");
    }
    c->stack[c->depth++] = (frame){
        .iter = dl_json_iter_of(value), .object = kind == DL_JSON_OBJECT, .path_len = c->path.len};
    if (kind == DL_JSON_OBJECT) {
        dl_json_object_begin(&c->w);
    } else {
        dl_json_array_begin(&c->w);
    }
    return DL_OK;
}

static void end_container(copy *c)
{
    if (c->stack[--c->depth].object) {
        dl_json_object_end(&c->w);
    } else {
        dl_json_array_end(&c->w);
    }
}

/** The next value of the innermost container and its path; false at its end. */
static dl_status next(copy *c, bool *out_more, dl_str *out_key, dl_str *out_value)
{
    frame *top = &c->stack[c->depth - 1];
    c->path.len = top->path_len;
    *out_key = DL_STR_NONE;
    *out_more = top->object ? dl_json_next_member(&top->iter, out_key, out_value)
                            : dl_json_next_element(&top->iter, out_value);
    if (!*out_more) {
        return DL_OK;
    }
    if (!top->object) {
        return dl_buf_printf(&c->path, c->err, "[%zu]", top->index++);
    }
    return dl_buf_printf(&c->path, c->err, "%s%.*s", c->path.len == 0 ? "" : ".",
                         DL_STR_ARG(*out_key));
}

/* The quotes are right before the raw key and behind it in the text. */
dl_status dl_document_put_key(dl_json_writer *w, dl_str key, dl_error *err)
{
    if (memchr(key.ptr, '\\', key.len) == NULL) {
        dl_json_key(w, key);
        return DL_OK;
    }
    dl_arena *arena = dl_arena_create(key.len * 2 + 4096);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "document: out of memory");
    }
    dl_str text = DL_STR_NONE;
    dl_status status = dl_json_text((dl_str){key.ptr - 1, key.len + 2}, arena, &text, err);
    if (status == DL_OK) {
        dl_json_key(w, text);
    }
    dl_arena_destroy(arena);
    return status;
}

static dl_status copy_all(copy *c, dl_document_visit *visit, void *context)
{
    while (c->depth > 0) {
        bool more = false;
        dl_str key = DL_STR_NONE, value = DL_STR_NONE;
        DL_TRY(next(c, &more, &key, &value));
        if (!more) {
            end_container(c);
            continue;
        }
        dl_str other = DL_STR_NONE;
        dl_document_action action = visit(context, dl_buf_str(&c->path), key, value, &other);
        if (action == DL_DOCUMENT_STOP) {
            return DL_OK;
        }
        if (action == DL_DOCUMENT_DROP) {
            continue;
        }
        if (key.ptr != NULL) {
            DL_TRY(dl_document_put_key(&c->w, key, c->err));
        }
        if (action == DL_DOCUMENT_REPLACE) {
            dl_json_raw(&c->w, other);
        } else {
            DL_TRY(put_value(c, value));
        }
    }
    return dl_json_writer_status(&c->w);
}

dl_status dl_document_copy(dl_str json, dl_document_visit *visit, void *context, dl_buf *out,
                           dl_error *err)
{
    DL_CLEANUP(copy_clear) copy c = {.err = err};
    dl_buf_init(&c.path, PATH_LIMIT_BYTES);
    dl_json_writer_init(&c.w, out, err);
    dl_str other = DL_STR_NONE;
    switch (visit(context, DL_STR(""), DL_STR_NONE, json, &other)) {
    case DL_DOCUMENT_KEEP:
        DL_TRY(put_value(&c, json));
        break;
    case DL_DOCUMENT_REPLACE:
        dl_json_raw(&c.w, other);
        break;
    case DL_DOCUMENT_DROP:
    case DL_DOCUMENT_STOP:
        return DL_OK;
    }
    return copy_all(&c, visit, context);
}

/* ---- lines ---- */

static dl_status new_line(dl_buf *out, size_t depth, dl_error *err)
{
    return dl_buf_printf(out, err, "\n%*s", (int)(depth * INDENT), "");
}

/** The text of a string with its quotes, from its first one. */
static dl_str string_at(dl_str json, size_t at)
{
    size_t end = at + 1;
    while (end < json.len && json.ptr[end] != '"') {
        end += json.ptr[end] == '\\' ? 2 : 1;
    }
    return dl_str_slice(json, at, end + 1 - at);
}

static dl_status put_open(dl_str json, size_t *at, size_t *depth, dl_buf *out, dl_error *err)
{
    char open = json.ptr[*at], close = open == '{' ? '}' : ']';
    DL_TRY(dl_buf_append_char(out, open, err));
    size_t i = *at + 1;
    while (i < json.len && strchr(" \t\r\n", json.ptr[i]) != NULL) {
        i++;
    }
    if (i < json.len && json.ptr[i] == close) {
        *at = i;
        return dl_buf_append_char(out, close, err);
    }
    return new_line(out, ++*depth, err);
}

dl_status dl_document_pretty(dl_str json, dl_buf *out, dl_error *err)
{
    size_t depth = 0;
    for (size_t i = 0; i < json.len; i++) {
        char c = json.ptr[i];
        dl_str text = DL_STR_NONE;
        switch (c) {
        case '{':
        case '[':
            DL_TRY(put_open(json, &i, &depth, out, err));
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            DL_TRY(new_line(out, depth, err));
            DL_TRY(dl_buf_append_char(out, c, err));
            break;
        case ',':
            DL_TRY(dl_buf_append_char(out, c, err));
            DL_TRY(new_line(out, depth, err));
            break;
        case ':':
            DL_TRY(dl_buf_append(out, ": ", 2, err));
            break;
        case '"':
            text = string_at(json, i);
            DL_TRY(dl_buf_append_str(out, text, err));
            i += text.len - 1;
            break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            break;
        default:
            DL_TRY(dl_buf_append_char(out, c, err));
        }
    }
    return dl_buf_append_char(out, '\n', err);
}

/* ---- secrets ---- */

/* Members of linked services and activities that hold a secret, by Data Factory's names. */
static const char *const secret_keys[] = {
    "password",
    "accountKey",
    "sasUri",
    "sasToken",
    "connectionString",
    "encryptedCredential",
    "servicePrincipalKey",
    "servicePrincipalCredential",
    "servicePrincipalEmbeddedCert",
    "servicePrincipalEmbeddedCertPassword",
    "clientSecret",
    "secretAccessKey",
    "sessionToken",
    "token",
    "accessToken",
    "refreshToken",
    "apiKey",
    "apiToken",
    "functionKey",
    "sharedAccessKey",
    "pfx",
    "privateKeyContent",
    "passPhrase",
    "authHeaders",
    "credential",
    "secret",
    "accessKey",
    "secretKey",
};

/** Texts that stand for no secret: empty, or the stars that exports show. */
static bool is_mask(dl_str value)
{
    for (size_t i = 1; i + 1 < value.len; i++) {
        if (value.ptr[i] != '*') {
            return false;
        }
    }
    return true;
}

static bool type_is(dl_str object, const char *type)
{
    dl_str value = DL_STR_NONE;
    return dl_json_get(object, DL_STR("type"), &value) && value.len == strlen(type) + 2 &&
           dl_str_eq_nocase(dl_str_slice(value, 1, value.len - 2), dl_str_of(type));
}

static bool is_reference(dl_str value)
{
    return type_is(value, "Environment") || type_is(value, "File") ||
           type_is(value, "AzureKeyVaultSecret") || type_is(value, "CredentialReference");
}

/** {"type": "SecureString", "value": "..."}, whose value is no mask. */
static bool is_secure_string(dl_str value)
{
    dl_str text = DL_STR_NONE;
    return type_is(value, "SecureString") && dl_json_get(value, DL_STR("value"), &text) &&
           !(dl_json_kind_of(text) == DL_JSON_STRING && is_mask(text));
}

static bool find_nocase(dl_str text, const char *needle)
{
    size_t len = strlen(needle);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (dl_str_eq_nocase(dl_str_slice(text, i, len), (dl_str){needle, len})) {
            return true;
        }
    }
    return false;
}

/** An address that carries its key: a shared access signature, or user and password. */
static bool is_signed(dl_str value)
{
    ptrdiff_t scheme = dl_str_find_str(value, DL_STR("://"));
    if (find_nocase(value, "AccountKey=") || find_nocase(value, "SharedAccessSignature=") ||
        find_nocase(value, "?sig=") || find_nocase(value, "&sig=")) {
        return true;
    }
    if (scheme < 0) {
        return false;
    }
    dl_str rest = dl_str_slice(value, (size_t)scheme + 3, value.len), host = DL_STR_NONE;
    return dl_str_next(&rest, '/', &host) && dl_str_find(host, '@') >= 0 &&
           dl_str_find(host, ':') >= 0 && dl_str_find(host, ':') < dl_str_find(host, '@');
}

bool dl_document_is_secret(dl_str key, dl_str value)
{
    dl_json_kind kind = dl_json_kind_of(value);
    if (kind == DL_JSON_STRING && is_signed(value)) {
        return true;
    }
    if (kind == DL_JSON_OBJECT && is_secure_string(value)) {
        return true;
    }
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str member_key = DL_STR_NONE, member = DL_STR_NONE;
    if (key.ptr == NULL || kind == DL_JSON_NULL || kind == DL_JSON_BOOL ||
        (kind == DL_JSON_OBJECT && !dl_json_next_member(&iter, &member_key, &member))) {
        return false;
    }
    for (size_t i = 0; i < DL_COUNT_OF(secret_keys); i++) {
        if (dl_str_eq_nocase(key, dl_str_of(secret_keys[i]))) {
            return !(kind == DL_JSON_STRING && is_mask(value)) && !is_reference(value) &&
                   !type_is(value, "SecureString");
        }
    }
    return false;
}

typedef struct search {
    dl_arena *arena;
    dl_error *err;
    dl_status status;
    bool found;
    dl_str path;
} search;

static dl_document_action look(void *context, dl_str path, dl_str key, dl_str value,
                               dl_str *out_value)
{
    search *s = context;
    (void)out_value;
    if (!dl_document_is_secret(key, value)) {
        return DL_DOCUMENT_KEEP;
    }
    s->found = true;
    s->status = dl_arena_copy(s->arena, dl_str_slice(path, 0, 200), &s->path, s->err);
    return DL_DOCUMENT_STOP;
}

dl_status dl_document_find_secret(dl_str json, dl_arena *arena, bool *out_found, dl_str *out_path,
                                  dl_error *err)
{
    DL_AUTO_BUF scratch = {0};
    dl_buf_init(&scratch, COPY_LIMIT_BYTES);
    search s = {.arena = arena, .err = err};
    DL_TRY(dl_document_copy(json, look, &s, &scratch, err));
    DL_TRY(s.status);
    *out_found = s.found;
    if (s.found) {
        *out_path = s.path;
    }
    return DL_OK;
}

static dl_document_action hide(void *context, dl_str path, dl_str key, dl_str value,
                               dl_str *out_value)
{
    (void)context;
    (void)path;
    if (!dl_document_is_secret(key, value)) {
        return DL_DOCUMENT_KEEP;
    }
    *out_value = DL_STR("\"**********\"");
    return DL_DOCUMENT_REPLACE;
}

dl_status dl_document_mask(dl_str json, dl_buf *out, dl_error *err)
{
    return dl_document_copy(json, hide, NULL, out, err);
}
