#include "notebook/internal.h"

#include <string.h>

/* ---- texts ---- */

/* Past the terminal's escape sequence at `i` (ECMA-48: CSI, OSC, two characters). */
static size_t escape_end(dl_str text, size_t i)
{
    char kind = i + 1 < text.len ? text.ptr[i + 1] : '\0';
    size_t k = i + 2;
    if (kind == '[') {
        while (k < text.len && (text.ptr[k] < 0x40 || text.ptr[k] > 0x7e)) {
            k++;
        }
        return k < text.len ? k + 1 : k;
    }
    if (kind == ']') {
        while (k < text.len && text.ptr[k] != '\a' && text.ptr[k] != '\x1b') {
            k++;
        }
        return k < text.len && text.ptr[k] == '\a' ? k + 1 : k;
    }
    return k < text.len ? k : text.len;
}

dl_status dl_notebook_clean(dl_str text, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    char *clean = dl_arena_alloc(arena, text.len == 0 ? 1 : text.len, 1);
    size_t len = 0;
    if (clean == NULL) {
        return dl_arena_full(arena, err);
    }
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == 0x1b) {
            i = escape_end(text, i);
            continue;
        }
        if (c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f)) {
            clean[len++] = text.ptr[i];
        }
        i++;
    }
    *out_text = (dl_str){clean, len};
    return DL_OK;
}

static const char base64_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

dl_status dl_notebook_put_base64(dl_str bytes, dl_buf *out, dl_error *err)
{
    DL_TRY(dl_buf_reserve(out, bytes.len / 3 * 4 + 4, err));
    for (size_t i = 0; i < bytes.len; i += 3) {
        unsigned value = 0;
        size_t have = bytes.len - i < 3 ? bytes.len - i : 3;
        for (size_t k = 0; k < 3; k++) {
            value = value << 8 | (k < have ? (unsigned char)bytes.ptr[i + k] : 0U);
        }
        char four[4];
        for (size_t k = 0; k < 4; k++) {
            four[k] = k <= have ? base64_letters[value >> (18 - 6 * k) & 63] : '=';
        }
        DL_TRY(dl_buf_append(out, four, sizeof four, err));
    }
    return DL_OK;
}

bool dl_notebook_is_base64(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool fine = c != '\0' && (strchr(base64_letters, c) != NULL || c == '=' || c == '\n');
        if (!fine) {
            return false;
        }
    }
    return text.len > 0;
}

/* ---- an output ---- */

static dl_status text_of(dl_str object, const char *key, dl_arena *arena, dl_str *out,
                         dl_error *err)
{
    dl_str value;
    bool is_text = false;
    if (!dl_json_get(object, dl_str_of(key), &value)) {
        return DL_OK;
    }
    dl_str text = DL_STR_NONE;
    DL_TRY(dl_notebook_join(value, arena, &is_text, &text, err));
    *out = is_text ? text : DL_STR_NONE;
    return DL_OK;
}

static dl_status read_data(dl_str json, dl_arena *arena, dl_notebook_output *out, dl_error *err)
{
    dl_str data;
    out->kind = DL_NOTEBOOK_OUTPUT_DATA;
    if (!dl_json_get(json, DL_STR("data"), &data)) {
        return DL_OK;
    }
    DL_TRY(text_of(data, "text/plain", arena, &out->plain, err));
    DL_TRY(text_of(data, "text/html", arena, &out->html, err));
    DL_TRY(text_of(data, "text/markdown", arena, &out->markdown, err));
    DL_TRY(text_of(data, "image/svg+xml", arena, &out->svg, err));
    DL_TRY(text_of(data, "image/png", arena, &out->png, err));
    return text_of(data, "image/jpeg", arena, &out->jpeg, err);
}

/* The traceback's lines; without one "NAME: TEXT". */
static dl_status read_error(dl_str json, dl_arena *arena, dl_notebook_output *out, dl_error *err)
{
    dl_str traceback = DL_STR_NONE, line, name = DL_STR_NONE, value = DL_STR_NONE;
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_NOTEBOOK_LIMIT_BYTES);
    out->kind = DL_NOTEBOOK_OUTPUT_ERROR;
    (void)dl_json_get(json, DL_STR("traceback"), &traceback);
    dl_json_iter iter = dl_json_iter_of(traceback);
    while (dl_json_next_element(&iter, &line)) {
        if (dl_json_kind_of(line) != DL_JSON_STRING) {
            continue;
        }
        DL_TRY(dl_json_text(line, arena, &line, err));
        DL_TRY(dl_buf_append_str(&text, line, err));
        DL_TRY(dl_buf_append_char(&text, '\n', err));
    }
    if (text.len == 0) {
        DL_TRY(text_of(json, "ename", arena, &name, err));
        DL_TRY(text_of(json, "evalue", arena, &value, err));
        DL_TRY(dl_buf_printf(&text, err, "%.*s: %.*s\n", DL_STR_ARG(name), DL_STR_ARG(value)));
    }
    return dl_notebook_keep(&text, arena, &out->plain, err);
}

dl_status dl_notebook_output_read(dl_str json, dl_arena *arena, dl_notebook_output *out,
                                  dl_error *err)
{
    dl_notebook_output output = {.kind = DL_NOTEBOOK_OUTPUT_OTHER};
    dl_str type = DL_STR_NONE, name = DL_STR_NONE;
    DL_TRY(text_of(json, "output_type", arena, &type, err));
    if (dl_str_eq(type, DL_STR("execute_result")) || dl_str_eq(type, DL_STR("display_data"))) {
        DL_TRY(read_data(json, arena, &output, err));
    } else if (dl_str_eq(type, DL_STR("error"))) {
        DL_TRY(read_error(json, arena, &output, err));
    } else if (dl_str_eq(type, DL_STR("stream"))) {
        output.kind = DL_NOTEBOOK_OUTPUT_STREAM;
        DL_TRY(text_of(json, "text", arena, &output.plain, err));
        DL_TRY(text_of(json, "name", arena, &name, err));
        output.is_stderr = dl_str_eq(name, DL_STR("stderr"));
    }
    DL_TRY(dl_notebook_clean(output.plain, arena, &output.plain, err));
    *out = output;
    return DL_OK;
}
