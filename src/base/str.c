#include "base/str.h"

#include <string.h>

dl_str dl_str_of(const char *text)
{
    return (dl_str){text, text == NULL ? 0 : strlen(text)};
}

bool dl_str_eq(dl_str a, dl_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool dl_str_eq_nocase(dl_str a, dl_str b)
{
    return a.len == b.len && dl_str_starts_nocase(a, b);
}

bool dl_str_starts(dl_str text, dl_str prefix)
{
    return text.len >= prefix.len &&
           (prefix.len == 0 || memcmp(text.ptr, prefix.ptr, prefix.len) == 0);
}

bool dl_str_starts_nocase(dl_str text, dl_str prefix)
{
    if (text.len < prefix.len) {
        return false;
    }
    for (size_t i = 0; i < prefix.len; i++) {
        if (lower(text.ptr[i]) != lower(prefix.ptr[i])) {
            return false;
        }
    }
    return true;
}

bool dl_str_ends(dl_str text, dl_str suffix)
{
    return text.len >= suffix.len && (suffix.len == 0 || memcmp(text.ptr + (text.len - suffix.len),
                                                                suffix.ptr, suffix.len) == 0);
}

int dl_str_compare(dl_str a, dl_str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n == 0 ? 0 : memcmp(a.ptr, b.ptr, n);
    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

dl_str dl_str_slice(dl_str text, size_t start, size_t len)
{
    if (start > text.len) {
        start = text.len;
    }
    if (len > text.len - start) {
        len = text.len - start;
    }
    return (dl_str){text.ptr == NULL ? NULL : text.ptr + start, len};
}

ptrdiff_t dl_str_find(dl_str text, char c)
{
    const char *at = text.len == 0 ? NULL : memchr(text.ptr, c, text.len);
    return at == NULL ? -1 : at - text.ptr;
}

ptrdiff_t dl_str_find_str(dl_str text, dl_str needle)
{
    if (needle.len == 0) {
        return 0;
    }
    const char *at = text.len == 0 ? NULL : memmem(text.ptr, text.len, needle.ptr, needle.len);
    return at == NULL ? -1 : at - text.ptr;
}

dl_str dl_str_trim(dl_str text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

dl_str dl_str_trim_padding(dl_str text)
{
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\0')) {
        text.len--;
    }
    return text;
}

bool dl_str_next(dl_str *rest, char separator, dl_str *out_part)
{
    if (rest->ptr == NULL) {
        return false;
    }
    ptrdiff_t at = dl_str_find(*rest, separator);
    if (at < 0) {
        *out_part = *rest;
        *rest = DL_STR_NONE;
        return true;
    }
    *out_part = (dl_str){rest->ptr, (size_t)at};
    *rest = dl_str_slice(*rest, (size_t)at + 1, rest->len);
    return true;
}

bool dl_str_to_u64(dl_str text, uint64_t *out_value)
{
    uint64_t value = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.ptr[i] - '0'), &value)) {
            return false;
        }
    }
    *out_value = value;
    return true;
}

bool dl_str_to_i64(dl_str text, int64_t *out_value)
{
    bool negative = text.len > 0 && text.ptr[0] == '-';
    if (text.len > 0 && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        text = dl_str_slice(text, 1, text.len);
    }
    uint64_t value = 0;
    if (!dl_str_to_u64(text, &value) || value > (uint64_t)INT64_MAX + (negative ? 1U : 0U)) {
        return false;
    }
    *out_value = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

bool dl_str_hex_to_u64(dl_str text, uint64_t *out_value)
{
    uint64_t value = 0;
    if (text.len == 0 || text.len > 16) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        char c = lower(text.ptr[i]);
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *out_value = value;
    return true;
}

bool dl_str_copy(dl_str text, char *out, size_t out_size_bytes)
{
    out[0] = '\0';
    if (text.len >= out_size_bytes || dl_str_find(text, '\0') >= 0) {
        return false;
    }
    if (text.len > 0) {
        memcpy(out, text.ptr, text.len);
    }
    out[text.len] = '\0';
    return true;
}

/* The length of the well-formed sequence at `p`, 0 when it is not well-formed (RFC 3629 section 4).
 */
static size_t sequence_length(const uint8_t *p, size_t left)
{
    if (p[0] < 0x80) {
        return 1;
    }
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool outside = (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf4 && p[1] > 0x8f);
    return overlong || outside ? 0 : n;
}

bool dl_str_is_utf8(dl_str text)
{
    const uint8_t *p = (const uint8_t *)text.ptr;
    for (size_t i = 0; i < text.len;) {
        size_t n = sequence_length(p + i, text.len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}
