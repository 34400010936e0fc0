#include "index/internal.h"

#include <string.h>
#include <utf8proc.h>

bool dl_index_uid_pack(dl_str text, dl_index_uid *out_uid)
{
    text = dl_str_trim_padding(text);
    if (text.len == 0 || text.len > DL_INDEX_UID_LIMIT) {
        return false;
    }
    dl_index_uid uid = {.len = (uint8_t)((text.len + 1) / 2)};
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        unsigned nibble = 1; /* the dot sorts before the digits, and nothing before the dot */
        if (c >= '0' && c <= '9') {
            nibble = (unsigned)(c - '0') + 2;
        } else if (c != '.') {
            return false;
        }
        uid.bytes[i / 2] = (uint8_t)(uid.bytes[i / 2] | nibble << (i % 2 == 0 ? 4 : 0));
    }
    *out_uid = uid;
    return true;
}

bool dl_index_uid_of(dl_bytes packed, dl_index_uid *out_uid)
{
    if (packed.len == 0 || packed.len > DL_INDEX_UID_PACKED_LIMIT) {
        return false;
    }
    *out_uid = (dl_index_uid){.len = (uint8_t)packed.len};
    memcpy(out_uid->bytes, packed.ptr, packed.len);
    return true;
}

size_t dl_index_uid_text(dl_bytes packed, char out[DL_INDEX_UID_LIMIT + 1])
{
    static const char characters[16] = "?.0123456789????";
    size_t len = 0;
    for (size_t i = 0; i < packed.len && i < DL_INDEX_UID_PACKED_LIMIT; i++) {
        out[len++] = characters[packed.ptr[i] >> 4];
        if ((packed.ptr[i] & 0xf) != 0) {
            out[len++] = characters[packed.ptr[i] & 0xf];
        }
    }
    out[len] = 0;
    return len;
}

dl_status dl_index_uid_copy(dl_bytes packed, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    char text[DL_INDEX_UID_LIMIT + 1];
    size_t len = dl_index_uid_text(packed, text);
    return dl_arena_copy(arena, (dl_str){text, len}, out_text, err);
}

static bool is_ascii(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static void lower_ascii(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= 'A' && text[i] <= 'Z') {
            text[i] = (char)(text[i] - 'A' + 'a');
        }
    }
}

static dl_status fold_unicode(dl_str text, bool name, dl_arena *arena, dl_str *out_folded,
                              bool *out_done, dl_error *err)
{
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_CASEFOLD;
    options |= name ? UTF8PROC_DECOMPOSE | UTF8PROC_STRIPMARK : UTF8PROC_COMPOSE;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text.ptr;
    utf8proc_ssize_t need = utf8proc_decompose(bytes, (utf8proc_ssize_t)text.len, NULL, 0, options);
    if (need < 0) {
        return DL_OK; /* not UTF-8 */
    }
    utf8proc_int32_t *points = dl_arena_alloc(arena, (size_t)need + 1, sizeof *points);
    if (points == NULL) {
        return dl_arena_full(arena, err);
    }
    if (utf8proc_decompose(bytes, (utf8proc_ssize_t)text.len, points, need, options) != need) {
        return DL_OK;
    }
    utf8proc_ssize_t len = utf8proc_reencode(points, need, options);
    if (len < 0) {
        return DL_OK;
    }
    *out_folded = (dl_str){(const char *)points, (size_t)len};
    *out_done = true;
    return DL_OK;
}

dl_status dl_index_fold(dl_str text, bool name, dl_arena *arena, dl_str *out_folded, dl_error *err)
{
    text = dl_str_trim_padding(text);
    dl_str folded = {"", 0};
    if (!is_ascii(text)) {
        bool done = false;
        DL_TRY(fold_unicode(text, name, arena, &folded, &done, err));
        if (done) {
            *out_folded = folded;
            return DL_OK;
        }
    }
    char *copy = dl_arena_alloc(arena, text.len + 1, 1);
    if (copy == NULL) {
        return dl_arena_full(arena, err);
    }
    if (text.len > 0) {
        memcpy(copy, text.ptr, text.len);
    }
    lower_ascii(copy, text.len);
    *out_folded = (dl_str){copy, text.len};
    return DL_OK;
}

static bool is_separator(char c)
{
    return c == ' ' || c == '^' || c == '=';
}

bool dl_index_word_next(dl_str *rest, dl_str *out_word)
{
    size_t start = 0;
    while (start < rest->len && is_separator(rest->ptr[start])) {
        start++;
    }
    size_t end = start;
    while (end < rest->len && !is_separator(rest->ptr[end])) {
        end++;
    }
    if (start == end) {
        return false;
    }
    *out_word = dl_str_slice(*rest, start, end - start);
    *rest = dl_str_slice(*rest, end, rest->len - end);
    return true;
}

static bool phrase_begins(dl_str name, dl_str phrase)
{
    dl_str wanted = DL_STR_NONE, word = DL_STR_NONE;
    while (dl_index_word_next(&phrase, &wanted)) {
        if (!dl_index_word_next(&name, &word) || !dl_str_starts(word, wanted)) {
            return false;
        }
    }
    return true;
}

bool dl_index_phrase_matches(dl_str name, dl_str phrase)
{
    dl_str rest = phrase, word = DL_STR_NONE;
    if (!dl_index_word_next(&rest, &word)) {
        return false; /* no word at all */
    }
    for (rest = name; rest.len > 0;) {
        if (phrase_begins(rest, phrase)) {
            return true;
        }
        if (!dl_index_word_next(&rest, &word)) {
            return false;
        }
    }
    return false;
}

bool dl_index_date_parse(dl_str text, int64_t *out_date)
{
    text = dl_str_trim_padding(text);
    int64_t number = 0, days = 0;
    if (text.len != 8) {
        return false;
    }
    for (size_t i = 0; i < 8; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        number = number * 10 + (text.ptr[i] - '0');
    }
    if (number / 10000 == 0 ||
        !dl_clock_days(number / 10000, number / 100 % 100, number % 100, &days)) {
        return false;
    }
    *out_date = number;
    return true;
}
