/* Text from anywhere: what dl_json_check accepts can be walked to the end and reads back the same;
 * what it refuses harms nobody. Any bytes quote to a string that it accepts. */
#include "json/json.h"

#include <string.h>

enum { STACK_LIMIT = DL_JSON_DEPTH_LIMIT + 1, MEMORY_LIMIT_BYTES = 64 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A string value reads, and what is read quotes and reads back the same. */
static void read_string(dl_str value, bool checked)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    DL_AUTO_BUF quoted = {0};
    dl_str text = DL_STR_NONE, back = DL_STR_NONE;
    dl_buf_init(&quoted, MEMORY_LIMIT_BYTES);
    dl_status status = dl_json_text(value, arena, &text, NULL);
    DL_ASSERT(status == DL_OK || !checked);
    if (!checked) {
        return;
    }
    DL_ASSERT(dl_str_is_utf8(text));
    DL_ASSERT(dl_json_quote(&quoted, text, NULL) == DL_OK);
    DL_ASSERT(dl_json_text(dl_buf_str(&quoted), arena, &back, NULL) == DL_OK);
    DL_ASSERT(dl_str_eq(text, back));
}

static void read_scalar(dl_str value, bool checked)
{
    int64_t number = 0;
    bool word = false;
    dl_json_kind kind = dl_json_kind_of(value);
    DL_ASSERT(!checked || kind != DL_JSON_NONE);
    bool is_int = dl_json_int_of(value, &number), is_bool = dl_json_bool_of(value, &word);
    DL_ASSERT(!checked || !is_int || kind == DL_JSON_NUMBER);
    DL_ASSERT(!checked || is_bool == (kind == DL_JSON_BOOL));
    if (kind == DL_JSON_STRING) {
        read_string(value, checked);
    }
}

static bool step(dl_json_iter *iter, bool object, dl_str *out_value)
{
    dl_str key = DL_STR_NONE;
    return object ? dl_json_next_member(iter, &key, out_value)
                  : dl_json_next_element(iter, out_value);
}

static void walk(dl_str text, bool checked)
{
    dl_json_iter iters[STACK_LIMIT];
    bool objects[STACK_LIMIT];
    size_t depth = 0;
    dl_str value = text;
    for (;;) {
        dl_json_kind kind = dl_json_kind_of(value);
        if ((kind == DL_JSON_OBJECT || kind == DL_JSON_ARRAY) && depth < STACK_LIMIT) {
            objects[depth] = kind == DL_JSON_OBJECT;
            iters[depth++] = dl_json_iter_of(value);
        } else {
            DL_ASSERT(!checked || (kind != DL_JSON_OBJECT && kind != DL_JSON_ARRAY));
            read_scalar(value, checked);
        }
        while (depth > 0 && !step(&iters[depth - 1], objects[depth - 1], &value)) {
            depth--;
        }
        if (depth == 0) {
            return;
        }
    }
}

/* How many values there are: strings that are no keys, and everything else that begins outside. */
static size_t count_walked(dl_str text)
{
    dl_str value = DL_STR_NONE;
    dl_json_iter iter = dl_json_iter_of(text);
    size_t count = 0;
    while (step(&iter, dl_json_kind_of(text) == DL_JSON_OBJECT, &value)) {
        count++;
    }
    return count;
}

/* Values of the outermost container by its commas: a second opinion. */
static size_t count_by_commas(dl_str text)
{
    size_t depth = 0, commas = 0;
    bool any = false, in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (in_string) {
            i += c == '\\' ? 1 : 0;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
            any = true;
        } else if (c == '{' || c == '[') {
            any = any || depth > 0;
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ',') {
            commas += depth == 1 ? 1 : 0;
        } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            any = true;
        }
    }
    return any ? commas + 1 : 0;
}

static void quote_anything(dl_str text)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    DL_AUTO_BUF quoted = {0};
    dl_str back = DL_STR_NONE;
    dl_buf_init(&quoted, MEMORY_LIMIT_BYTES);
    DL_ASSERT(dl_json_quote(&quoted, text, NULL) == DL_OK);
    DL_ASSERT(dl_json_check(dl_buf_str(&quoted), NULL) == DL_OK);
    DL_ASSERT(dl_json_text(dl_buf_str(&quoted), arena, &back, NULL) == DL_OK);
    DL_ASSERT(!dl_str_is_utf8(text) || dl_str_eq(back, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(MEMORY_LIMIT_BYTES);
    dl_str text = {(const char *)bytes, size}, relaxed = DL_STR_NONE;
    bool good = dl_json_check(text, NULL) == DL_OK;
    walk(text, good);
    if (dl_json_relax(text, arena, &relaxed, NULL) == DL_OK) {
        DL_ASSERT(!good || dl_str_eq(relaxed, text)); /* it has nothing to take away */
        walk(relaxed, dl_json_check(relaxed, NULL) == DL_OK);
    } else {
        DL_ASSERT(!good);
    }
    dl_json_kind kind = dl_json_kind_of(text);
    if (good && (kind == DL_JSON_OBJECT || kind == DL_JSON_ARRAY)) {
        DL_ASSERT(count_walked(text) == count_by_commas(text));
    }
    quote_anything(text);
    return 0;
}
