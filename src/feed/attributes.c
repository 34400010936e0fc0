/* The metadata of an entry, taken apart in one pass. The pass takes compact JSON only; where white
 * space stands between tokens (services send none) a compact copy is made and read instead. */
#include "feed/internal.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

enum {
    TEXT_PER_ATTRIBUTE = 48, /* bytes; a guess for the first room */
    TEXT_PER_VALUE = 32,
    LEAST_ROOM = 8,
    VALUE_DEPTH = 3, /* of an element of Value */
};

typedef struct parser {
    const char *begin, *at, *end;
    dl_arena *arena;
    dl_error *err;
    dl_status status;
    bool spaced; /* it failed at white space */
    bool sorted; /* each tag is greater than the one before, so none comes twice */
    dl_feed_attribute *attributes;
    size_t count, room;
    dl_str *values; /* the block that is being filled; those of an attribute are in one */
    size_t value_count, value_room;
} parser;

/* ---- tokens; false: `status` says why ---- */

static bool refuse(parser *c, const char *what)
{
    c->spaced = c->at < c->end && dl_feed_is_space(*c->at);
    c->status = dl_error_set(c->err, DL_E_INVALID, "metadata: byte %zu of %zu: %s",
                             (size_t)(c->at - c->begin), (size_t)(c->end - c->begin), what);
    return false;
}

static bool no_room(parser *c)
{
    c->status = dl_arena_full(c->arena, c->err);
    return false;
}

static inline char peek(const parser *c)
{
    return c->at < c->end ? *c->at : '\0';
}

static inline bool expect(parser *c, char wanted, const char *what)
{
    if (peek(c) != wanted) {
        return refuse(c, what);
    }
    c->at++;
    return true;
}

/* The raw text between the quotes. */
static inline bool read_string(parser *c, dl_str *out_raw, unsigned *out_kind)
{
    if (peek(c) != '"') {
        return refuse(c, "a string was expected");
    }
    unsigned kind = 0;
    const char *begin = c->at + 1, *end = dl_feed_string_end(begin, c->end, &kind);
    if (end == NULL) {
        return refuse(c, "a string without end");
    }
    if (kind != 0) {
        dl_error cause = {0};
        if (dl_json_check((dl_str){begin - 1, (size_t)(end - begin) + 2}, &cause) != DL_OK) {
            return refuse(c, cause.message);
        }
    }
    c->at = end + 1;
    *out_raw = (dl_str){begin, (size_t)(end - begin)};
    *out_kind = kind;
    return true;
}

static inline bool read_key(parser *c, dl_str *out_raw)
{
    unsigned kind = 0;
    return read_string(c, out_raw, &kind) && expect(c, ':', "a colon was expected");
}

static inline bool read_text(parser *c, dl_str *out_text)
{
    unsigned kind = 0;
    dl_str raw = DL_STR_NONE;
    if (!read_string(c, &raw, &kind)) {
        return false;
    }
    if ((kind & DL_FEED_STRING_ESCAPED) != 0) {
        dl_str quoted = {raw.ptr - 1, raw.len + 2};
        c->status = dl_json_text(quoted, c->arena, &raw, c->err);
    }
    *out_text = raw;
    return c->status == DL_OK;
}

static inline bool skip_digits(parser *c)
{
    const char *start = c->at;
    while (peek(c) >= '0' && peek(c) <= '9') {
        c->at++;
    }
    return c->at > start;
}

static bool skip_number(parser *c)
{
    c->at += peek(c) == '-';
    if (peek(c) == '0') {
        c->at++;
    } else if (!skip_digits(c)) {
        return refuse(c, "a value was expected");
    }
    if (peek(c) == '.') {
        c->at++;
        if (!skip_digits(c)) {
            return refuse(c, "a digit was expected");
        }
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        c->at++;
        c->at += peek(c) == '+' || peek(c) == '-';
        if (!skip_digits(c)) {
            return refuse(c, "a digit was expected");
        }
    }
    return true;
}

static bool skip_word(parser *c, const char *word, size_t len)
{
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, word, len) != 0) {
        return refuse(c, "a value was expected");
    }
    c->at += len;
    return true;
}

static bool skip_scalar(parser *c)
{
    unsigned kind = 0;
    dl_str raw = DL_STR_NONE;
    switch (peek(c)) {
    case '"':
        return read_string(c, &raw, &kind);
    case 't':
        return skip_word(c, "true", 4);
    case 'f':
        return skip_word(c, "false", 5);
    case 'n':
        return skip_word(c, "null", 4);
    default:
        return skip_number(c);
    }
}

/* ---- values of any depth, checked and passed over ---- */

typedef struct nest {
    size_t depth;
    bool objects[DL_JSON_DEPTH_LIMIT - VALUE_DEPTH];
} nest;

/* At '{' or '['. `*out_done`: it closed at once. */
static bool enter(parser *c, nest *n, bool *out_done)
{
    bool object = peek(c) == '{';
    dl_str key = DL_STR_NONE;
    if (n->depth == DL_COUNT_OF(n->objects)) {
        return refuse(c, "nested too deep");
    }
    c->at++;
    *out_done = peek(c) == (object ? '}' : ']');
    if (*out_done) {
        c->at++;
        return true;
    }
    n->objects[n->depth++] = object;
    return !object || read_key(c, &key);
}

/* After a value: close what ends here. `*out_more`: another value comes. */
static bool leave(parser *c, nest *n, bool *out_more)
{
    dl_str key = DL_STR_NONE;
    while (n->depth > 0) {
        bool object = n->objects[n->depth - 1];
        if (peek(c) == ',') {
            c->at++;
            *out_more = true;
            return !object || read_key(c, &key);
        }
        if (!expect(c, object ? '}' : ']', "a comma or a closing bracket was expected")) {
            return false;
        }
        n->depth--;
    }
    *out_more = false;
    return true;
}

static bool skip_value(parser *c)
{
    nest n; /* not cleared: `depth` says how much of it means something */
    n.depth = 0;
    bool more = true;
    while (more) {
        bool done = true;
        if (peek(c) == '{' || peek(c) == '[') {
            if (!enter(c, &n, &done)) {
                return false;
            }
        } else if (!skip_scalar(c)) {
            return false;
        }
        if (done && !leave(c, &n, &more)) {
            return false;
        }
    }
    return true;
}

/* ---- attributes ---- */

static dl_feed_attribute *add_attribute(parser *c)
{
    if (c->count == c->room) {
        size_t room = c->room == 0 ? LEAST_ROOM + (size_t)(c->end - c->begin) / TEXT_PER_ATTRIBUTE
                                   : c->room * 2;
        dl_feed_attribute *grown = dl_arena_alloc(c->arena, room, sizeof *grown);
        if (grown == NULL) {
            (void)no_room(c);
            return NULL;
        }
        if (c->count > 0) {
            memcpy(grown, c->attributes, c->count * sizeof *grown);
        }
        c->attributes = grown;
        c->room = room;
    }
    return &c->attributes[c->count++];
}

/* Room for one more value; the `have` last ones belong to it and move along. */
static bool add_value_room(parser *c, size_t have)
{
    size_t room = c->value_room == 0 ? LEAST_ROOM + (size_t)(c->end - c->begin) / TEXT_PER_VALUE
                                     : c->value_room;
    while (room < have * 2) {
        room *= 2;
    }
    dl_str *block = dl_arena_alloc(c->arena, room, sizeof *block);
    if (block == NULL) {
        return no_room(c);
    }
    if (have > 0) {
        memcpy(block, c->values + c->value_count - have, have * sizeof *block);
    }
    c->values = block;
    c->value_count = have;
    c->value_room = room;
    return true;
}

static inline bool read_element(parser *c, dl_str *out_value)
{
    char first = peek(c);
    if (first == '"') {
        return read_text(c, out_value);
    }
    const char *begin = c->at;
    if (!(first == '{' || first == '[' ? skip_value(c) : skip_scalar(c))) {
        return false;
    }
    *out_value = first == 'n' ? DL_STR_NONE : (dl_str){begin, (size_t)(c->at - begin)};
    return true;
}

/* At what stands after "Value":. */
static bool read_values(parser *c, dl_feed_attribute *a)
{
    if (a->has_value) {
        return refuse(c, "an attribute has two Values");
    }
    if (peek(c) == 'n') {
        return skip_word(c, "null", 4);
    }
    if (!expect(c, '[', "Value must be an array")) {
        return false;
    }
    size_t have = 0;
    bool more = peek(c) != ']';
    c->at += !more;
    while (more) {
        if (c->value_count == c->value_room && !add_value_room(c, have)) {
            return false;
        }
        if (!read_element(c, &c->values[c->value_count])) {
            return false;
        }
        c->value_count++;
        have++;
        more = peek(c) == ',';
        if (!more && !expect(c, ']', "a comma or ] was expected")) {
            return false;
        }
        c->at += more;
    }
    a->has_value = true;
    a->value_count = have;
    a->values = have == 0 ? NULL : c->values + c->value_count - have;
    return true;
}

static inline bool read_member(parser *c, dl_feed_attribute *a)
{
    dl_str key = DL_STR_NONE;
    if (!read_key(c, &key)) {
        return false;
    }
    if (key.len == 2 && memcmp(key.ptr, "vr", 2) == 0) {
        return a->vr.ptr == NULL ? read_text(c, &a->vr) : refuse(c, "an attribute has two vrs");
    }
    if (key.len == 5 && memcmp(key.ptr, "Value", 5) == 0) {
        return read_values(c, a);
    }
    return skip_value(c);
}

static bool read_attribute(parser *c)
{
    dl_feed_attribute *a = add_attribute(c);
    if (a == NULL || !read_key(c, &a->tag) || !expect(c, '{', "an attribute must be an object")) {
        return false;
    }
    if (c->count > 1) {
        c->sorted = c->sorted && dl_str_compare(a[-1].tag, a->tag) < 0;
    }
    bool more = peek(c) != '}';
    c->at += !more;
    while (more) {
        if (!read_member(c, a)) {
            return false;
        }
        more = peek(c) == ',';
        if (!more && !expect(c, '}', "a comma or } was expected")) {
            return false;
        }
        c->at += more;
    }
    return true;
}

static bool read_object(parser *c)
{
    if (!expect(c, '{', "the metadata must be an object")) {
        return false;
    }
    bool more = peek(c) != '}';
    c->at += !more;
    while (more) {
        if (!read_attribute(c)) {
            return false;
        }
        more = peek(c) == ',';
        if (!more && !expect(c, '}', "a comma or } was expected")) {
            return false;
        }
        c->at += more;
    }
    return c->at == c->end || refuse(c, "text after the end of the object");
}

/* ---- the whole ---- */

static int compare_tags(const void *a, const void *b)
{
    return dl_str_compare(*(const dl_str *)a, *(const dl_str *)b);
}

static dl_status check_tags_differ(const parser *c)
{
    dl_str *tags = dl_arena_alloc(c->arena, c->count, sizeof *tags);
    if (tags == NULL) {
        return dl_arena_full(c->arena, c->err);
    }
    for (size_t i = 0; i < c->count; i++) {
        tags[i] = c->attributes[i].tag;
    }
    qsort(tags, c->count, sizeof *tags, compare_tags);
    for (size_t i = 1; i < c->count; i++) {
        if (dl_str_eq(tags[i - 1], tags[i])) {
            return dl_error_set(c->err, DL_E_INVALID, "metadata: the attribute %.*s comes twice",
                                tags[i].len == 8 ? 8 : 0, tags[i].ptr);
        }
    }
    return DL_OK;
}

/* Without the white space between tokens. */
static dl_status make_compact(dl_str text, dl_arena *arena, dl_str *out_compact, dl_error *err)
{
    char *copy = dl_arena_alloc(arena, text.len + 1, 1);
    if (copy == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t len = 0;
    const char *p = text.ptr, *end = text.ptr + text.len;
    while (p < end) {
        const char *from = p++;
        if (*from == '"') {
            unsigned kind = 0;
            const char *quote = dl_feed_string_end(p, end, &kind);
            p = quote == NULL ? end : quote + 1;
        }
        if (!dl_feed_is_space(*from)) {
            memcpy(copy + len, from, (size_t)(p - from));
            len += (size_t)(p - from);
        }
    }
    *out_compact = (dl_str){copy, len};
    return DL_OK;
}

static dl_status parse(parser *c, dl_str text, dl_arena *arena, dl_error *err)
{
    const char *begin = text.ptr == NULL ? "" : text.ptr;
    *c = (parser){.begin = begin,
                  .at = begin,
                  .end = begin + text.len,
                  .arena = arena,
                  .err = err,
                  .sorted = true};
    if (!read_object(c)) {
        return c->status;
    }
    return c->sorted ? DL_OK : check_tags_differ(c);
}

dl_status dl_feed_attributes(dl_str metadata, dl_arena *arena,
                             const dl_feed_attribute **out_attributes, size_t *out_count,
                             dl_str *out_compact, dl_error *err)
{
    parser c;
    dl_status status = parse(&c, metadata, arena, err);
    if (status != DL_OK && c.spaced) {
        dl_error_clear(err);
        DL_TRY(dl_json_check(metadata, err));
        DL_TRY(make_compact(metadata, arena, &metadata, err));
        status = parse(&c, metadata, arena, err);
    }
    DL_TRY(status);
    *out_attributes = c.attributes;
    *out_count = c.count;
    if (out_compact != NULL) {
        *out_compact = metadata;
    }
    return DL_OK;
}
