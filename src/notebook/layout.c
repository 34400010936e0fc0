#include "notebook/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

/* Length of the line's end at `i`, 0 when there is none: what Python's str.splitlines knows, since
 * that is how Jupyter cuts. */
static size_t line_end(dl_str text, size_t i)
{
    const unsigned char *p = (const unsigned char *)text.ptr + i;
    size_t left = text.len - i;
    if (p[0] == '\r') {
        return left > 1 && p[1] == '\n' ? 2 : 1;
    }
    if ((p[0] >= '\n' && p[0] <= '\f') || (p[0] >= 0x1c && p[0] <= 0x1e)) {
        return 1;
    }
    if (left > 1 && p[0] == 0xc2 && p[1] == 0x85) { /* U+0085 */
        return 2;
    }
    bool separator = left > 2 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
    return separator ? 3 : 0; /* U+2028, U+2029 */
}

bool dl_notebook_next_line(dl_str *rest, dl_str *out_line)
{
    if (rest->len == 0) {
        return false;
    }
    size_t end = 0, i = 0;
    while (i < rest->len && end == 0) {
        end = line_end(*rest, i);
        i += end == 0 ? 1 : end;
    }
    *out_line = dl_str_slice(*rest, 0, i);
    *rest = dl_str_slice(*rest, i, rest->len);
    return true;
}

void dl_notebook_put_lines(dl_json_writer *w, dl_str text)
{
    dl_str line;
    dl_json_array_begin(w);
    while (dl_notebook_next_line(&text, &line)) {
        dl_json_string(w, line);
    }
    dl_json_array_end(w);
}

dl_status dl_notebook_join(dl_str value, dl_arena *arena, bool *out_is_text, dl_str *out_text,
                           dl_error *err)
{
    *out_is_text = false;
    if (dl_json_kind_of(value) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(value, arena, out_text, err));
        *out_is_text = true;
        return DL_OK;
    }
    if (dl_json_kind_of(value) != DL_JSON_ARRAY) {
        return DL_OK;
    }
    char *joined = dl_arena_alloc(arena, value.len, 1); /* unescaping never makes it longer */
    size_t len = 0;
    if (joined == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str item, text;
    while (dl_json_next_element(&iter, &item)) {
        if (dl_json_kind_of(item) != DL_JSON_STRING) {
            return DL_OK;
        }
        DL_TRY(dl_json_text(item, arena, &text, err));
        if (text.len > 0) {
            memcpy(joined + len, text.ptr, text.len);
            len += text.len;
        }
    }
    *out_text = (dl_str){joined, len};
    *out_is_text = true;
    return DL_OK;
}

/* ---- members ---- */

static dl_status unescape_key(dl_str raw, dl_arena *arena, dl_str *out_key, dl_error *err)
{
    if (raw.len == 0 || memchr(raw.ptr, '\\', raw.len) == NULL) {
        *out_key = raw;
        return DL_OK;
    }
    return dl_json_text((dl_str){raw.ptr - 1, raw.len + 2}, arena, out_key, err); /* its quotes */
}

dl_status dl_notebook_next_member(dl_json_iter *iter, dl_arena *arena, bool *out_more,
                                  dl_str *out_key, dl_str *out_value, dl_error *err)
{
    dl_str raw;
    *out_more = dl_json_next_member(iter, &raw, out_value);
    return *out_more ? unescape_key(raw, arena, out_key, err) : DL_OK;
}

dl_status dl_notebook_keep(dl_buf *buf, dl_arena *arena, dl_str *out, dl_error *err)
{
    return dl_arena_copy(arena, dl_buf_str(buf), out, err);
}

/* ---- the layout ---- */

typedef struct member {
    dl_str key, value;
    size_t order;
} member;

/* An object or array that is being written. */
typedef struct frame {
    bool object;
    member *members; /* of an object */
    size_t count, next;
    dl_json_iter elements; /* of an array */
} frame;

typedef struct layout {
    dl_arena *arena;
    dl_buf *out;
    dl_error *err;
    size_t depth;
    frame frames[DL_JSON_DEPTH_LIMIT];
} layout;

static int compare_members(const void *a, const void *b)
{
    const member *one = a, *other = b;
    int by_key = dl_str_compare(one->key, other->key);
    if (by_key != 0) {
        return by_key;
    }
    return one->order < other->order ? -1 : one->order > other->order;
}

static dl_status collect_members(layout *l, dl_str object, frame *f)
{
    dl_str key, value;
    size_t count = 0;
    for (dl_json_iter it = dl_json_iter_of(object); dl_json_next_member(&it, &key, &value);) {
        count++;
    }
    f->members = dl_arena_alloc(l->arena, count == 0 ? 1 : count, sizeof *f->members);
    if (f->members == NULL) {
        return dl_arena_full(l->arena, l->err);
    }
    dl_json_iter it = dl_json_iter_of(object);
    for (size_t i = 0; i < count && dl_json_next_member(&it, &key, &value); i++) {
        DL_TRY(unescape_key(key, l->arena, &key, l->err));
        f->members[i] = (member){key, value, i};
    }
    qsort(f->members, count, sizeof *f->members, compare_members);
    for (size_t i = 0; i < count; i++) { /* of equal names the last */
        if (i + 1 == count || !dl_str_eq(f->members[i].key, f->members[i + 1].key)) {
            f->members[f->count++] = f->members[i];
        }
    }
    return DL_OK;
}

static dl_status put_line_start(layout *l)
{
    DL_TRY(dl_buf_reserve(l->out, l->depth + 1, l->err));
    l->out->ptr[l->out->len] = '\n';
    memset(l->out->ptr + l->out->len + 1, ' ', l->depth);
    l->out->len += l->depth + 1;
    return DL_OK;
}

static dl_status put_scalar(layout *l, dl_str value)
{
    bool plain =
        dl_json_kind_of(value) != DL_JSON_STRING || memchr(value.ptr, '\\', value.len) == NULL;
    if (plain) {
        return dl_buf_append_str(l->out, value, l->err);
    }
    dl_str text;
    DL_TRY(dl_json_text(value, l->arena, &text, l->err));
    return dl_json_quote(l->out, text, l->err);
}

/* A value: written whole, or its frame opened. */
static dl_status put_value(layout *l, dl_str value)
{
    dl_json_kind kind = dl_json_kind_of(value);
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str key, inner;
    if (kind != DL_JSON_OBJECT && kind != DL_JSON_ARRAY) {
        return put_scalar(l, value);
    }
    bool object = kind == DL_JSON_OBJECT;
    bool empty =
        object ? !dl_json_next_member(&iter, &key, &inner) : !dl_json_next_element(&iter, &inner);
    if (empty) {
        return dl_buf_append_str(l->out, object ? DL_STR("{}") : DL_STR("[]"), l->err);
    }
    if (l->depth == DL_JSON_DEPTH_LIMIT) {
        return dl_error_set(l->err, DL_E_INVALID, "notebook: nested deeper than %d levels",
                            DL_JSON_DEPTH_LIMIT);
    }
    frame *f = &l->frames[l->depth];
    *f = (frame){.object = object, .elements = dl_json_iter_of(value)};
    if (object) {
        DL_TRY(collect_members(l, value, f));
    }
    l->depth++;
    return dl_buf_append_char(l->out, object ? '{' : '[', l->err);
}

/* The next member or element of the innermost frame, or its end. */
static dl_status put_next(layout *l)
{
    frame *f = &l->frames[l->depth - 1];
    dl_str value;
    bool more = f->object ? f->next < f->count : dl_json_next_element(&f->elements, &value);
    if (!more) {
        l->depth--;
        DL_TRY(put_line_start(l));
        return dl_buf_append_char(l->out, f->object ? '}' : ']', l->err);
    }
    if (f->next > 0) {
        DL_TRY(dl_buf_append_char(l->out, ',', l->err));
    }
    DL_TRY(put_line_start(l));
    if (f->object) {
        DL_TRY(dl_json_quote(l->out, f->members[f->next].key, l->err));
        DL_TRY(dl_buf_append_str(l->out, DL_STR(": "), l->err));
        value = f->members[f->next].value;
    }
    f->next++;
    return put_value(l, value);
}

dl_status dl_notebook_layout(dl_str json, dl_arena *arena, dl_buf *out, dl_error *err)
{
    layout *l = dl_arena_alloc(arena, 1, sizeof *l);
    if (l == NULL) {
        return dl_arena_full(arena, err);
    }
    l->arena = arena;
    l->out = out;
    l->err = err;
    DL_TRY(put_value(l, json));
    while (l->depth > 0) {
        DL_TRY(put_next(l));
    }
    return DL_OK;
}
