#include "json/json.h"

#include "json/internal.h"

#include <string.h>

static dl_str skip_space(dl_str text)
{
    while (text.len > 0 && dl_json_is_space(text.ptr[0])) {
        text.ptr++;
        text.len--;
    }
    return text;
}

static dl_str trim(dl_str text)
{
    text = skip_space(text);
    while (text.len > 0 && dl_json_is_space(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

static dl_str from(dl_str text, size_t start)
{
    return (dl_str){text.ptr + start, text.len - start};
}

/* Length of the string that begins at text[0], quotes included; 0 when it does not end. */
static size_t string_length(dl_str text)
{
    size_t i = 1;
    while (i < text.len) {
        const char *quote = memchr(text.ptr + i, '"', text.len - i);
        if (quote == NULL) {
            return 0;
        }
        size_t end = (size_t)(quote - text.ptr), slashes = 0;
        while (end - slashes > i && text.ptr[end - slashes - 1] == '\\') {
            slashes++;
        }
        i = end + 1;
        if (slashes % 2 == 0) {
            return i;
        }
    }
    return 0;
}

/* Length of the object or array at text[0]; brackets are only counted: dl_json_check pairs them. */
static size_t container_length(dl_str text)
{
    size_t depth = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '"') {
            size_t len = string_length(from(text, i));
            if (len == 0) {
                return 0;
            }
            i += len - 1;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
            if (depth == 0) {
                return i + 1;
            }
        }
    }
    return 0;
}

static size_t scalar_length(dl_str text)
{
    size_t i = 0;
    while (i < text.len) {
        char c = text.ptr[i];
        if (dl_json_is_space(c) || c == ',' || c == ':' || c == '}' || c == ']' || c == '{' ||
            c == '[' || c == '"') {
            break;
        }
        i++;
    }
    return i;
}

static size_t value_length(dl_str text)
{
    if (text.len == 0) {
        return 0;
    }
    if (text.ptr[0] == '"') {
        return string_length(text);
    }
    if (text.ptr[0] == '{' || text.ptr[0] == '[') {
        return container_length(text);
    }
    return scalar_length(text);
}

dl_json_kind dl_json_kind_of(dl_str value)
{
    value = skip_space(value);
    if (value.len == 0) {
        return DL_JSON_NONE;
    }
    switch (value.ptr[0]) {
    case '{':
        return DL_JSON_OBJECT;
    case '[':
        return DL_JSON_ARRAY;
    case '"':
        return DL_JSON_STRING;
    case 't':
    case 'f':
        return DL_JSON_BOOL;
    case 'n':
        return DL_JSON_NULL;
    default:
        return value.ptr[0] == '-' || (value.ptr[0] >= '0' && value.ptr[0] <= '9') ? DL_JSON_NUMBER
                                                                                   : DL_JSON_NONE;
    }
}

dl_json_iter dl_json_iter_of(dl_str value)
{
    value = trim(value);
    if (value.len < 2) {
        return (dl_json_iter){DL_STR_NONE};
    }
    char first = value.ptr[0], last = value.ptr[value.len - 1];
    if (!(first == '{' && last == '}') && !(first == '[' && last == ']')) {
        return (dl_json_iter){DL_STR_NONE};
    }
    return (dl_json_iter){{value.ptr + 1, value.len - 2}};
}

/* Take the value at the front and what follows it, a comma or the end. */
static bool take_value(dl_str *rest, dl_str *out_value)
{
    dl_str text = skip_space(*rest);
    size_t len = value_length(text);
    if (len == 0) {
        return false;
    }
    dl_str after = skip_space(from(text, len));
    if (after.len > 0) {
        if (after.ptr[0] != ',') {
            return false;
        }
        after = from(after, 1);
    }
    *out_value = (dl_str){text.ptr, len};
    *rest = after;
    return true;
}

bool dl_json_next_element(dl_json_iter *iter, dl_str *out_value)
{
    if (take_value(&iter->rest, out_value)) {
        return true;
    }
    iter->rest = DL_STR_NONE;
    return false;
}

bool dl_json_next_member(dl_json_iter *iter, dl_str *out_key, dl_str *out_value)
{
    dl_str text = skip_space(iter->rest);
    if (text.len > 0 && text.ptr[0] == '"') {
        size_t len = string_length(text);
        dl_str after = len == 0 ? DL_STR_NONE : skip_space(from(text, len));
        if (after.len > 0 && after.ptr[0] == ':') {
            after = from(after, 1);
            if (take_value(&after, out_value)) {
                *out_key = (dl_str){text.ptr + 1, len - 2};
                iter->rest = after;
                return true;
            }
        }
    }
    iter->rest = DL_STR_NONE;
    return false;
}

/* ---- text ---- */

static size_t put_utf8(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* One escape at raw[0] == '\\' into `out` (room for 4): bytes read (0: not an escape), and written,
 * which is never more. Half a surrogate pair, which dl_json_check refuses, becomes U+FFFD. */
static size_t unescape_one(dl_str raw, char *out, size_t *out_written)
{
    static const char from_letters[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = raw.len > 1 ? raw.ptr[1] : '\0';
    const char *letter = c == '\0' ? NULL : strchr(from_letters, c);
    if (letter != NULL) {
        out[0] = to[letter - from_letters];
        *out_written = 1;
        return 2;
    }
    uint32_t unit = 0, low = 0;
    if (c != 'u' || !dl_json_hex4(raw.ptr + 2, raw.len - 2, &unit)) {
        return 0;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        *out_written = put_utf8(unit, out);
        return 6;
    }
    if (unit <= 0xdbff && raw.len >= 12 && raw.ptr[6] == '\\' && raw.ptr[7] == 'u' &&
        dl_json_hex4(raw.ptr + 8, raw.len - 8, &low) && low >= 0xdc00 && low <= 0xdfff) {
        *out_written = put_utf8(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), out);
        return 12;
    }
    *out_written = put_utf8(0xfffd, out);
    return 6;
}

dl_status dl_json_text(dl_str value, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    value = skip_space(value);
    size_t len = value.len > 0 && value.ptr[0] == '"' ? string_length(value) : 0;
    if (len < 2) {
        return dl_error_set(err, DL_E_INVALID, "JSON: a string was expected");
    }
    dl_str raw = {value.ptr + 1, len - 2};
    if (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL) {
        return dl_arena_copy(arena, raw, out_text, err);
    }
    char *text = dl_arena_alloc(arena, raw.len + 1, 1); /* never longer than with escapes */
    if (text == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t at = 0;
    while (raw.len > 0) {
        const char *slash = memchr(raw.ptr, '\\', raw.len);
        size_t run = slash == NULL ? raw.len : (size_t)(slash - raw.ptr);
        memcpy(text + at, raw.ptr, run);
        at += run;
        raw = from(raw, run);
        if (raw.len > 0) {
            char bytes[4];
            size_t written = 0;
            size_t used = unescape_one(raw, bytes, &written);
            if (used == 0) {
                return dl_error_set(err, DL_E_INVALID, "JSON: unknown escape in a string");
            }
            memcpy(text + at, bytes, written);
            at += written;
            raw = from(raw, used);
        }
    }
    text[at] = '\0';
    *out_text = (dl_str){text, at};
    return DL_OK;
}

/* ---- members ---- */

static bool same_char(char a, char b, bool nocase)
{
    if (nocase) {
        a = (char)(a >= 'A' && a <= 'Z' ? a + ('a' - 'A') : a);
        b = (char)(b >= 'A' && b <= 'Z' ? b + ('a' - 'A') : b);
    }
    return a == b;
}

/* Whether the raw key, once unescaped, is `key`. */
static bool key_is(dl_str raw, dl_str key, bool nocase)
{
    if (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL) {
        return nocase ? dl_str_eq_nocase(raw, key) : dl_str_eq(raw, key);
    }
    size_t at = 0;
    while (raw.len > 0) {
        char bytes[4] = {raw.ptr[0]};
        size_t written = 1;
        size_t used = raw.ptr[0] == '\\' ? unescape_one(raw, bytes, &written) : 1;
        raw = from(raw, used);
        if (used == 0 || key.len - at < written) {
            return false;
        }
        for (size_t i = 0; i < written; i++) {
            if (!same_char(bytes[i], key.ptr[at + i], nocase)) {
                return false;
            }
        }
        at += written;
    }
    return at == key.len;
}

static bool get(dl_str object, dl_str key, bool nocase, dl_str *out_value)
{
    dl_json_iter iter = dl_json_iter_of(object);
    dl_str name = DL_STR_NONE, value = DL_STR_NONE;
    bool found = false;
    while (dl_json_next_member(&iter, &name, &value)) {
        if (key_is(name, key, nocase)) {
            *out_value = value;
            found = true;
        }
    }
    return found;
}

bool dl_json_get(dl_str object, dl_str key, dl_str *out_value)
{
    return get(object, key, false, out_value);
}

bool dl_json_get_nocase(dl_str object, dl_str key, dl_str *out_value)
{
    return get(object, key, true, out_value);
}

bool dl_json_at(dl_str array, size_t index, dl_str *out_value)
{
    if (dl_json_kind_of(array) != DL_JSON_ARRAY) {
        return false;
    }
    dl_json_iter iter = dl_json_iter_of(array);
    dl_str value = DL_STR_NONE;
    for (size_t i = 0; dl_json_next_element(&iter, &value); i++) {
        if (i == index) {
            *out_value = value;
            return true;
        }
    }
    return false;
}

/* ---- scalars ---- */

bool dl_json_int_of(dl_str value, int64_t *out_value)
{
    value = trim(value);
    size_t sign = value.len > 0 && value.ptr[0] == '-' ? 1 : 0;
    if (value.len <= sign || value.ptr[sign] == '+' ||
        (value.ptr[sign] == '0' && value.len > sign + 1)) {
        return false;
    }
    return dl_str_to_i64(value, out_value);
}

bool dl_json_bool_of(dl_str value, bool *out_value)
{
    value = trim(value);
    if (dl_str_eq(value, DL_STR("true"))) {
        *out_value = true;
        return true;
    }
    if (dl_str_eq(value, DL_STR("false"))) {
        *out_value = false;
        return true;
    }
    return false;
}
