/* Values as JSON; nested ones with a stack of their own. */
#include "query/session.h"
#include "json/json.h"

#include <math.h>
#include <string.h>

enum {
    DEPTH_LIMIT = 66, /* types are no deeper (value_type.c) */
    NUMBER_LIMIT_BYTES = 64,
};
static const double exact = 9007199254740992.0; /* 2^53, which 2^53 + 1 is as a double too */

/* ---- plain values ---- */

static bool is_number(const dl_engine_api *api, const dl_value *value)
{
    double number = 0;
    switch ((int)value->type->id) {
    case DUCKDB_TYPE_BOOLEAN:
        return true;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
        return dl_value_number(api, value, &number) && fabs(number) < exact;
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
        return true;
    default:
        return false;
    }
}

static dl_status put_plain(const dl_engine_api *api, const dl_value *value, dl_buf *out,
                           dl_error *err)
{
    bool is_real = value->type->id == DUCKDB_TYPE_FLOAT || value->type->id == DUCKDB_TYPE_DOUBLE;
    double number = 0;
    if (is_real && (!dl_value_number(api, value, &number) || isinf(number))) {
        return dl_buf_append_str(out, DL_STR("null"), err);
    }
    if (is_number(api, value)) {
        return dl_value_put_plain(api, value, out, err);
    }
    DL_AUTO_BUF text;
    dl_buf_init(&text, out->limit_bytes);
    DL_TRY(dl_value_put_plain(api, value, &text, err));
    if (value->type->json && dl_json_check(dl_buf_str(&text), NULL) == DL_OK) {
        for (size_t i = 0; i < text.len; i++) { /* one line: these are never inside its texts */
            text.ptr[i] = text.ptr[i] == '\n' || text.ptr[i] == '\r' ? ' ' : text.ptr[i];
        }
        return dl_buf_append_str(out, dl_buf_str(&text), err);
    }
    return dl_json_quote(out, dl_buf_str(&text), err);
}

/* ---- nested values ---- */

typedef struct frame {
    dl_value value;      /* the nested value */
    duckdb_vector child; /* of a list: its elements; of a map: its pairs */
    size_t next, end;    /* rows of `child`, or members */
    size_t begin;
} frame;

static bool is_nested(const dl_value_type *type)
{
    return type->child_count > 0;
}

/* A row of values without names is an array. */
static bool is_object(const dl_value_type *type)
{
    return type->id == DUCKDB_TYPE_MAP ||
           (type->id == DUCKDB_TYPE_STRUCT && type->names[0].len > 0);
}

static void open_rows(const dl_engine_api *api, frame *f)
{
    if (f->value.type->id == DUCKDB_TYPE_ARRAY) {
        f->child = api->array_vector_get_child(f->value.vector);
        f->next = f->value.row * f->value.type->array_size;
        f->end = f->next + f->value.type->array_size;
        return;
    }
    duckdb_list_entry entry;
    memcpy(&entry,
           (const char *)api->vector_get_data(f->value.vector) + (f->value.row * sizeof(entry)),
           sizeof(entry));
    f->child = api->list_vector_get_child(f->value.vector);
    f->next = entry.offset;
    f->end = entry.offset + entry.length;
}

static frame open_frame(const dl_engine_api *api, const dl_value *value)
{
    frame f = {.value = *value};
    if (value->type->id == DUCKDB_TYPE_STRUCT) {
        f.end = value->type->child_count;
    } else {
        open_rows(api, &f);
    }
    f.begin = f.next;
    return f;
}

/* A UNION is a struct whose first member says which of the others it is. */
static dl_value member_of_union(const dl_engine_api *api, const dl_value *value)
{
    const uint8_t *tags = api->vector_get_data(api->struct_vector_get_child(value->vector, 0));
    size_t tag = tags[value->row];
    tag = tag < value->type->child_count ? tag : 0;
    return (dl_value){.type = &value->type->children[tag],
                      .vector = api->struct_vector_get_child(value->vector, tag + 1),
                      .row = value->row};
}

/* Keys are texts in JSON, whatever they are here. */
static dl_status put_key(const dl_engine_api *api, const dl_value *key, dl_buf *out, dl_error *err)
{
    DL_AUTO_BUF text;
    dl_buf_init(&text, out->limit_bytes);
    if (dl_value_is_null(api, key)) {
        DL_TRY(dl_buf_append_str(&text, DL_STR("null"), err));
    } else if (is_nested(key->type)) {
        dl_error_set(err, DL_E_UNSUPPORTED, "sql: the keys of a MAP are nested values");
        dl_error_hint(err, "map_entries(x) gives a list of keys and values");
        return DL_E_UNSUPPORTED;
    } else {
        DL_TRY(dl_value_put_plain(api, key, &text, err));
    }
    DL_TRY(dl_json_quote(out, dl_buf_str(&text), err));
    return dl_buf_append_char(out, ':', err);
}

/* The frame's next value, after its comma and name. */
static dl_status next_value(const dl_engine_api *api, frame *f, dl_buf *out, dl_value *next,
                            dl_error *err)
{
    const dl_value_type *type = f->value.type;
    size_t i = f->next++;
    DL_TRY(dl_buf_append_str(out, i == f->begin ? DL_STR("") : DL_STR(","), err));
    if (type->id == DUCKDB_TYPE_STRUCT) {
        *next = (dl_value){&type->children[i], api->struct_vector_get_child(f->value.vector, i),
                           f->value.row};
        if (is_object(type)) {
            DL_TRY(dl_json_quote(out, type->names[i], err));
            return dl_buf_append_char(out, ':', err);
        }
        return DL_OK;
    }
    if (type->id == DUCKDB_TYPE_MAP) {
        const dl_value key = {&type->children[0], api->struct_vector_get_child(f->child, 0), i};
        *next = (dl_value){&type->children[1], api->struct_vector_get_child(f->child, 1), i};
        return put_key(api, &key, out, err);
    }
    *next = (dl_value){&type->children[0], f->child, i};
    return DL_OK;
}

/* A value that opens a frame, or all of one that does not. */
static dl_status begin_value(const dl_engine_api *api, dl_value value, frame *stack, size_t *depth,
                             dl_buf *out, dl_error *err)
{
    for (int i = 0;
         i < DEPTH_LIMIT && value.type->id == DUCKDB_TYPE_UNION && !dl_value_is_null(api, &value);
         i++) {
        value = member_of_union(api, &value);
    }
    if (dl_value_is_null(api, &value)) {
        return dl_buf_append_str(out, DL_STR("null"), err);
    }
    if (!is_nested(value.type)) {
        return put_plain(api, &value, out, err);
    }
    DL_ASSERT(*depth < DEPTH_LIMIT);
    stack[(*depth)++] = open_frame(api, &value);
    return dl_buf_append_char(out, is_object(value.type) ? '{' : '[', err);
}

dl_status dl_value_put_json(const dl_engine_api *api, const dl_value *value, dl_buf *out,
                            dl_error *err)
{
    frame stack[DEPTH_LIMIT];
    size_t depth = 0;
    DL_TRY(begin_value(api, *value, stack, &depth, out, err));
    while (depth > 0) {
        frame *top = &stack[depth - 1];
        if (top->next == top->end) {
            DL_TRY(dl_buf_append_char(out, is_object(top->value.type) ? '}' : ']', err));
            depth--;
            continue;
        }
        dl_value next = {0};
        DL_TRY(next_value(api, top, out, &next, err));
        DL_TRY(begin_value(api, next, stack, &depth, out, err));
    }
    return DL_OK;
}
