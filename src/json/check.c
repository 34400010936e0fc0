#include "json/json.h"

#include "json/internal.h"

#include <assert.h>
#include <string.h>

/* Where the check stands; `open` holds one bit per level: 1 for an object. */
typedef struct checker {
    const char *text;
    size_t at, len;
    size_t depth;
    uint8_t open[DL_JSON_DEPTH_LIMIT / 8];
    dl_error *err;
} checker;

static_assert(DL_JSON_DEPTH_LIMIT % 8 == 0, "one bit per level");

static dl_status refuse(const checker *c, const char *what)
{
    return dl_error_set(c->err, DL_E_INVALID, "JSON: byte %zu: %s", c->at, what);
}

static void skip_space(checker *c)
{
    while (c->at < c->len && dl_json_is_space(c->text[c->at])) {
        c->at++;
    }
}

/* At a backslash. A surrogate must have its other half, else the text would not be Unicode. */
static dl_status check_escape(checker *c)
{
    size_t left = c->len - c->at;
    const char *p = c->text + c->at;
    if (left < 2) {
        return refuse(c, "the text ends in an escape");
    }
    if (p[1] != 'u') {
        if (p[1] == '\0' || strchr("\"\\/bfnrt", p[1]) == NULL) {
            return refuse(c, "unknown escape");
        }
        c->at += 2;
        return DL_OK;
    }
    uint32_t unit = 0, low = 0;
    if (!dl_json_hex4(p + 2, left - 2, &unit)) {
        return refuse(c, "\\u needs four hexadecimal digits");
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        c->at += 6;
        return DL_OK;
    }
    if (unit > 0xdbff || left < 12 || p[6] != '\\' || p[7] != 'u' ||
        !dl_json_hex4(p + 8, left - 8, &low) || low < 0xdc00 || low > 0xdfff) {
        return refuse(c, "half of a surrogate pair");
    }
    c->at += 12;
    return DL_OK;
}

/* At the opening quote. */
static dl_status check_string(checker *c)
{
    c->at++;
    for (;;) {
        c->at = dl_json_plain_run(c->text, c->at, c->len);
        if (c->at == c->len) {
            return refuse(c, "a string without end");
        }
        unsigned char byte = (unsigned char)c->text[c->at];
        if (byte == '"') {
            c->at++;
            return DL_OK;
        }
        if (byte == '\\') {
            DL_TRY(check_escape(c));
        } else if (byte < 0x20) {
            return refuse(c, "a control character in a string");
        } else {
            size_t skip = 0;
            size_t step =
                dl_json_utf8_step((const unsigned char *)c->text + c->at, c->len - c->at, &skip);
            if (step == 0) {
                return refuse(c, "not UTF-8");
            }
            c->at += step;
        }
    }
}

static bool skip_digits(checker *c)
{
    size_t start = c->at;
    while (c->at < c->len && c->text[c->at] >= '0' && c->text[c->at] <= '9') {
        c->at++;
    }
    return c->at > start;
}

static bool skip_char(checker *c, char wanted)
{
    if (c->at < c->len && c->text[c->at] == wanted) {
        c->at++;
        return true;
    }
    return false;
}

static dl_status check_number(checker *c)
{
    (void)skip_char(c, '-');
    if (!skip_char(c, '0') && !skip_digits(c)) {
        return refuse(c, "a value was expected");
    }
    if (skip_char(c, '.') && !skip_digits(c)) {
        return refuse(c, "a digit was expected");
    }
    if (skip_char(c, 'e') || skip_char(c, 'E')) {
        if (!skip_char(c, '+')) {
            (void)skip_char(c, '-');
        }
        if (!skip_digits(c)) {
            return refuse(c, "a digit was expected");
        }
    }
    return DL_OK;
}

static dl_status check_word(checker *c, const char *word, size_t len)
{
    if (c->len - c->at < len || memcmp(c->text + c->at, word, len) != 0) {
        return refuse(c, "a value was expected");
    }
    c->at += len;
    return DL_OK;
}

static dl_status check_key(checker *c)
{
    skip_space(c);
    if (c->at == c->len || c->text[c->at] != '"') {
        return refuse(c, "a property name in quotes was expected");
    }
    DL_TRY(check_string(c));
    skip_space(c);
    if (!skip_char(c, ':')) {
        return refuse(c, "a colon was expected");
    }
    return DL_OK;
}

static bool in_object(const checker *c)
{
    size_t level = c->depth - 1;
    return (c->open[level / 8] >> (level % 8) & 1) != 0;
}

/* At '{' or '['. `*out_done` when it closed at once. */
static dl_status check_open(checker *c, bool *out_done)
{
    bool object = c->text[c->at] == '{';
    if (c->depth == DL_JSON_DEPTH_LIMIT) {
        return dl_error_set(c->err, DL_E_INVALID, "JSON: byte %zu: nested deeper than %d levels",
                            c->at, DL_JSON_DEPTH_LIMIT);
    }
    c->at++;
    size_t level = c->depth++;
    uint8_t bit = (uint8_t)(1u << (level % 8));
    c->open[level / 8] = (uint8_t)(object ? c->open[level / 8] | bit : c->open[level / 8] & ~bit);
    skip_space(c);
    *out_done = skip_char(c, object ? '}' : ']');
    if (*out_done) {
        c->depth--;
        return DL_OK;
    }
    return object ? check_key(c) : DL_OK;
}

/* After a value: close what ends here, and stand before the next value. */
static dl_status check_after(checker *c, bool *out_more)
{
    for (;;) {
        if (c->depth == 0) {
            *out_more = false;
            return DL_OK;
        }
        skip_space(c);
        bool object = in_object(c);
        if (skip_char(c, ',')) {
            *out_more = true;
            return object ? check_key(c) : DL_OK;
        }
        if (!skip_char(c, object ? '}' : ']')) {
            return refuse(c, object ? "a comma or } was expected" : "a comma or ] was expected");
        }
        c->depth--;
    }
}

static dl_status check_scalar(checker *c)
{
    switch (c->text[c->at]) {
    case '"':
        return check_string(c);
    case 't':
        return check_word(c, "true", 4);
    case 'f':
        return check_word(c, "false", 5);
    case 'n':
        return check_word(c, "null", 4);
    default:
        return check_number(c);
    }
}

dl_status dl_json_check(dl_str text, dl_error *err)
{
    checker c = {.text = text.ptr, .len = text.len, .err = err};
    bool more = true;
    while (more) {
        skip_space(&c);
        if (c.at == c.len) {
            return refuse(&c, "the text ends where a value was expected");
        }
        if (c.text[c.at] == '{' || c.text[c.at] == '[') {
            bool done = false;
            DL_TRY(check_open(&c, &done));
            if (!done) {
                continue;
            }
        } else {
            DL_TRY(check_scalar(&c));
        }
        DL_TRY(check_after(&c, &more));
    }
    skip_space(&c);
    return c.at == c.len ? DL_OK : refuse(&c, "text after the end of the value");
}

/* ---- comments and trailing commas ---- */

static size_t string_end(const char *text, size_t at, size_t len)
{
    for (at++; at < len; at++) {
        if (text[at] == '\\') {
            at++;
        } else if (text[at] == '"') {
            return at + 1;
        }
    }
    return len;
}

/* At "//" or the start of a block comment. */
static dl_status blank_comment(char *text, size_t len, size_t *at, dl_error *err)
{
    size_t start = *at, stop = start + 2;
    if (text[start + 1] == '/') {
        const char *eol = memchr(text + stop, '\n', len - stop);
        stop = eol == NULL ? len : (size_t)(eol - text);
    } else {
        const char *close = memmem(text + stop, len - stop, "*/", 2);
        if (close == NULL) {
            return dl_error_set(err, DL_E_INVALID, "JSON: byte %zu: a comment without end", start);
        }
        stop = (size_t)(close - text) + 2;
    }
    memset(text + start, ' ', stop - start);
    *at = stop;
    return DL_OK;
}

dl_status dl_json_relax(dl_str text, dl_arena *arena, dl_str *out_text, dl_error *err)
{
    char *p = text.len == SIZE_MAX ? NULL : dl_arena_alloc(arena, text.len + 1, 1);
    if (p == NULL) {
        return dl_arena_full(arena, err);
    }
    if (text.len > 0) {
        memcpy(p, text.ptr, text.len);
    }
    size_t comma = SIZE_MAX; /* of a comma that nothing has followed yet */
    char before = '[';       /* the last character that means something */
    for (size_t i = 0; i < text.len;) {
        char c = p[i];
        if (c == '/' && i + 1 < text.len && (p[i + 1] == '/' || p[i + 1] == '*')) {
            DL_TRY(blank_comment(p, text.len, &i, err));
            continue;
        }
        if (dl_json_is_space(c)) {
            i++;
            continue;
        }
        if (c == ',') {
            comma = before == '[' || before == '{' || before == ',' ? SIZE_MAX : i;
        } else if ((c == ']' || c == '}') && comma != SIZE_MAX) {
            p[comma] = ' ';
            comma = SIZE_MAX;
        } else {
            comma = SIZE_MAX;
        }
        before = c;
        i = c == '"' ? string_end(p, i, text.len) : i + 1;
    }
    *out_text = (dl_str){p, text.len};
    return DL_OK;
}
