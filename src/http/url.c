#include "http/url.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

dl_status dl_url_decode(dl_str text, bool plus_is_space, dl_arena *arena, dl_str *out_text,
                        dl_error *err)
{
    char *out = text.len == SIZE_MAX ? NULL : dl_arena_alloc(arena, text.len + 1, 1);
    if (out == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            int high = text.len - i > 2 ? hex_digit(text.ptr[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(text.ptr[i + 2]);
            if (low < 0) {
                return dl_error_set(err, DL_E_INVALID,
                                    "URL: position %zu: %% without two hexadecimal digits", i);
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0') {
            return dl_error_set(err, DL_E_INVALID, "URL: a NUL character");
        }
        out[len++] = c;
    }
    out[len] = '\0';
    if (!dl_str_is_utf8((dl_str){out, len})) {
        return dl_error_set(err, DL_E_INVALID, "URL: the text is not UTF-8");
    }
    *out_text = (dl_str){out, len};
    return DL_OK;
}

dl_status dl_url_encode(dl_str text, dl_buf *out, dl_error *err)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t start = out->len;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        char escape[3] = {'%', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15]};
        bool plain = is_unreserved(c);
        dl_status status = dl_buf_append(out, plain ? &c : escape, plain ? 1 : 3, err);
        if (status != DL_OK) {
            out->len = start; /* on failure the content is as it was */
            return status;
        }
    }
    return DL_OK;
}

static dl_status read_param(dl_str piece, dl_arena *arena, dl_url_param *out, dl_error *err)
{
    ptrdiff_t equals = dl_str_find(piece, '=');
    dl_str name = equals < 0 ? piece : dl_str_slice(piece, 0, (size_t)equals);
    dl_str value = equals < 0 ? DL_STR("") : dl_str_slice(piece, (size_t)equals + 1, piece.len);
    DL_TRY(dl_url_decode(name, true, arena, &out->name, err));
    DL_TRY(dl_url_decode(value, true, arena, &out->value, err));
    out->has_value = equals >= 0;
    return DL_OK;
}

dl_status dl_url_query_parse(dl_str query, dl_arena *arena, dl_url_param **out_params,
                             size_t *out_count, dl_error *err)
{
    size_t count = 0;
    dl_str rest = query, piece = DL_STR_NONE;
    while (dl_str_next(&rest, '&', &piece)) {
        count += piece.len > 0 ? 1 : 0;
    }
    if (count > DL_URL_PARAM_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "URL: %zu query parameters exceed %d", count,
                            DL_URL_PARAM_LIMIT);
    }
    dl_url_param *params = dl_arena_alloc(arena, count + 1, sizeof *params);
    if (params == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t at = 0;
    rest = query;
    while (dl_str_next(&rest, '&', &piece)) {
        if (piece.len > 0) {
            DL_TRY(read_param(piece, arena, &params[at++], err));
        }
    }
    *out_params = params;
    *out_count = count;
    return DL_OK;
}
