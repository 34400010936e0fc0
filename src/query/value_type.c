/* A column's type taken apart, and SQL's spelling of it. No recursion: types come from statements.
 */
#include "query/session.h"

#include <string.h>

enum {
    DEPTH_LIMIT = 64,
    NODE_LIMIT = 10000, /* of one column: a wide STRUCT has a node for each member */
    NAME_LIMIT_BYTES = 1 << 20,
};

/* clang-format off */
static const struct {
    const char *name;
    duckdb_type id;
    dl_query_kind kind;
} plain[] = {
    {"BOOLEAN", DUCKDB_TYPE_BOOLEAN, DL_QUERY_BOOL},
    {"TINYINT", DUCKDB_TYPE_TINYINT, DL_QUERY_INTEGER},
    {"SMALLINT", DUCKDB_TYPE_SMALLINT, DL_QUERY_INTEGER},
    {"INTEGER", DUCKDB_TYPE_INTEGER, DL_QUERY_INTEGER},
    {"BIGINT", DUCKDB_TYPE_BIGINT, DL_QUERY_INTEGER},
    {"UTINYINT", DUCKDB_TYPE_UTINYINT, DL_QUERY_INTEGER},
    {"USMALLINT", DUCKDB_TYPE_USMALLINT, DL_QUERY_INTEGER},
    {"UINTEGER", DUCKDB_TYPE_UINTEGER, DL_QUERY_INTEGER},
    {"UBIGINT", DUCKDB_TYPE_UBIGINT, DL_QUERY_INTEGER},
    {"HUGEINT", DUCKDB_TYPE_HUGEINT, DL_QUERY_INTEGER},
    {"UHUGEINT", DUCKDB_TYPE_UHUGEINT, DL_QUERY_INTEGER},
    {"FLOAT", DUCKDB_TYPE_FLOAT, DL_QUERY_NUMBER},
    {"DOUBLE", DUCKDB_TYPE_DOUBLE, DL_QUERY_NUMBER},
    {"DECIMAL", DUCKDB_TYPE_DECIMAL, DL_QUERY_NUMBER},
    {"VARCHAR", DUCKDB_TYPE_VARCHAR, DL_QUERY_TEXT},
    {"BLOB", DUCKDB_TYPE_BLOB, DL_QUERY_BINARY},
    {"DATE", DUCKDB_TYPE_DATE, DL_QUERY_DATE},
    {"TIME", DUCKDB_TYPE_TIME, DL_QUERY_TIME},
    {"TIME_NS", DUCKDB_TYPE_TIME_NS, DL_QUERY_TIME},
    {"TIME WITH TIME ZONE", DUCKDB_TYPE_TIME_TZ, DL_QUERY_TIME},
    {"TIMESTAMP", DUCKDB_TYPE_TIMESTAMP, DL_QUERY_TIMESTAMP},
    {"TIMESTAMP_S", DUCKDB_TYPE_TIMESTAMP_S, DL_QUERY_TIMESTAMP},
    {"TIMESTAMP_MS", DUCKDB_TYPE_TIMESTAMP_MS, DL_QUERY_TIMESTAMP},
    {"TIMESTAMP_NS", DUCKDB_TYPE_TIMESTAMP_NS, DL_QUERY_TIMESTAMP},
    {"TIMESTAMP WITH TIME ZONE", DUCKDB_TYPE_TIMESTAMP_TZ, DL_QUERY_TIMESTAMP},
    {"INTERVAL", DUCKDB_TYPE_INTERVAL, DL_QUERY_OTHER},
    {"UUID", DUCKDB_TYPE_UUID, DL_QUERY_TEXT},
    {"BIT", DUCKDB_TYPE_BIT, DL_QUERY_OTHER},
    {"ENUM", DUCKDB_TYPE_ENUM, DL_QUERY_TEXT},
    {"\"NULL\"", DUCKDB_TYPE_SQLNULL, DL_QUERY_OTHER},
    {"[]", DUCKDB_TYPE_LIST, DL_QUERY_NESTED},
    {"[", DUCKDB_TYPE_ARRAY, DL_QUERY_NESTED},
    {"STRUCT", DUCKDB_TYPE_STRUCT, DL_QUERY_NESTED},
    {"MAP", DUCKDB_TYPE_MAP, DL_QUERY_NESTED},
    {"UNION", DUCKDB_TYPE_UNION, DL_QUERY_NESTED},
};
/* clang-format on */

static size_t row_of(duckdb_type id)
{
    size_t i = 0;
    while (i < DL_COUNT_OF(plain) && plain[i].id != id) {
        i++;
    }
    return i;
}

dl_query_kind dl_value_kind(const dl_value_type *type)
{
    size_t row = row_of(type->id);
    if (type->json) {
        return DL_QUERY_NESTED;
    }
    return row < DL_COUNT_OF(plain) ? plain[row].kind : DL_QUERY_OTHER;
}

/* ---- reading ---- */

/* A type that waits to be taken apart; the handle is ours to destroy. */
typedef struct waiting {
    duckdb_logical_type handle;
    dl_value_type *out;
    int depth;
} waiting;

typedef struct reader {
    const dl_engine_api *api;
    dl_arena *arena;
    waiting *items;
    size_t count;
} reader;

static dl_status push(reader *r, duckdb_logical_type handle, dl_value_type *out, int depth,
                      dl_error *err)
{
    if (r->count == NODE_LIMIT || depth > DEPTH_LIMIT) {
        r->api->destroy_logical_type(&handle);
        return depth > DEPTH_LIMIT
                   ? dl_error_set(err, DL_E_LIMIT,
                                  "sql: a column's type is nested deeper than %d levels",
                                  DEPTH_LIMIT)
                   : dl_error_set(err, DL_E_LIMIT, "sql: a column's type has more than %d members",
                                  NODE_LIMIT);
    }
    r->items[r->count++] = (waiting){handle, out, depth};
    return DL_OK;
}

static dl_status copy_name(reader *r, char *name, dl_str *out, dl_error *err)
{
    dl_status status = dl_arena_copy(r->arena, dl_str_of(name), out, err);
    r->api->free(name);
    return status;
}

static dl_status room(reader *r, dl_value_type *out, size_t children, size_t names,
                      dl_value_type **out_children, dl_error *err)
{
    *out_children = dl_arena_alloc(r->arena, children + 1, sizeof(**out_children));
    out->names = dl_arena_alloc(r->arena, names + 1, sizeof(*out->names));
    if (*out_children == NULL || out->names == NULL) {
        return dl_arena_full(r->arena, err);
    }
    out->children = *out_children;
    out->child_count = children;
    return DL_OK;
}

static dl_status read_one(reader *r, const waiting *it, dl_error *err)
{
    dl_value_type *children = NULL, *out = it->out;
    if (out->id == DUCKDB_TYPE_ARRAY) {
        out->array_size = r->api->array_type_array_size(it->handle);
    }
    DL_TRY(room(r, out, 1, 0, &children, err));
    return push(r,
                out->id == DUCKDB_TYPE_LIST ? r->api->list_type_child_type(it->handle)
                                            : r->api->array_type_child_type(it->handle),
                &children[0], it->depth + 1, err);
}

static dl_status read_map(reader *r, const waiting *it, dl_error *err)
{
    dl_value_type *children = NULL;
    DL_TRY(room(r, it->out, 2, 0, &children, err));
    DL_TRY(push(r, r->api->map_type_key_type(it->handle), &children[0], it->depth + 1, err));
    return push(r, r->api->map_type_value_type(it->handle), &children[1], it->depth + 1, err);
}

static dl_status read_members(reader *r, const waiting *it, dl_error *err)
{
    bool is_union = it->out->id == DUCKDB_TYPE_UNION;
    size_t count = is_union ? r->api->union_type_member_count(it->handle)
                            : r->api->struct_type_child_count(it->handle);
    if (count > NODE_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "sql: a column's type has more than %d members",
                            NODE_LIMIT);
    }
    dl_value_type *children = NULL;
    DL_TRY(room(r, it->out, count, count, &children, err));
    for (size_t i = 0; i < count; i++) {
        char *name = is_union ? r->api->union_type_member_name(it->handle, i)
                              : r->api->struct_type_child_name(it->handle, i);
        DL_TRY(copy_name(r, name, &it->out->names[i], err));
        DL_TRY(push(r,
                    is_union ? r->api->union_type_member_type(it->handle, i)
                             : r->api->struct_type_child_type(it->handle, i),
                    &children[i], it->depth + 1, err));
    }
    return DL_OK;
}

static dl_status read_enum(reader *r, const waiting *it, dl_error *err)
{
    size_t count = r->api->enum_dictionary_size(it->handle);
    dl_value_type *children = NULL;
    it->out->internal = r->api->enum_internal_type(it->handle);
    DL_TRY(room(r, it->out, 0, count, &children, err));
    for (size_t i = 0; i < count; i++) {
        DL_TRY(copy_name(r, r->api->enum_dictionary_value(it->handle, i), &it->out->names[i], err));
    }
    it->out->array_size = count;
    return DL_OK;
}

static dl_status read_type(reader *r, const waiting *it, dl_error *err)
{
    it->out->id = r->api->get_type_id(it->handle);
    switch ((int)it->out->id) {
    case DUCKDB_TYPE_DECIMAL:
        it->out->internal = r->api->decimal_internal_type(it->handle);
        it->out->scale = r->api->decimal_scale(it->handle);
        it->out->array_size = r->api->decimal_width(it->handle);
        return DL_OK;
    case DUCKDB_TYPE_VARCHAR: {
        char *alias = r->api->logical_type_get_alias(it->handle);
        it->out->json = dl_str_eq(dl_str_of(alias), DL_STR("JSON"));
        r->api->free(alias);
        return DL_OK;
    }
    case DUCKDB_TYPE_ENUM:
        return read_enum(r, it, err);
    case DUCKDB_TYPE_LIST:
    case DUCKDB_TYPE_ARRAY:
        return read_one(r, it, err);
    case DUCKDB_TYPE_MAP:
        return read_map(r, it, err);
    case DUCKDB_TYPE_STRUCT:
    case DUCKDB_TYPE_UNION:
        return read_members(r, it, err);
    default:
        break;
    }
    if (row_of(it->out->id) == DL_COUNT_OF(plain)) {
        dl_error_set(err, DL_E_UNSUPPORTED, "sql: values of a column have a type that has no text");
        dl_error_hint(err, "write CAST(column AS VARCHAR)");
        return DL_E_UNSUPPORTED;
    }
    return DL_OK;
}

/* ---- spelling ---- */

typedef struct frame {
    const dl_value_type *type;
    size_t next;
} frame;

static dl_status put_begin(dl_buf *name, const dl_value_type *type, dl_error *err)
{
    switch ((int)type->id) {
    case DUCKDB_TYPE_LIST:
    case DUCKDB_TYPE_ARRAY:
        return DL_OK;
    case DUCKDB_TYPE_DECIMAL:
        return dl_buf_printf(name, err, "DECIMAL(%llu,%u)", (unsigned long long)type->array_size,
                             type->scale);
    case DUCKDB_TYPE_ENUM:
        for (size_t i = 0; i < type->array_size; i++) {
            DL_TRY(dl_buf_append_str(name, i == 0 ? DL_STR("ENUM(") : DL_STR(", "), err));
            DL_TRY(dl_engine_put_text(name, type->names[i], err));
        }
        return dl_buf_append_char(name, ')', err);
    case DUCKDB_TYPE_STRUCT:
    case DUCKDB_TYPE_UNION:
    case DUCKDB_TYPE_MAP:
        return dl_buf_printf(name, err, "%s(", plain[row_of(type->id)].name);
    default:
        return dl_buf_append_str(
            name, type->json ? DL_STR("JSON") : dl_str_of(plain[row_of(type->id)].name), err);
    }
}

/* A name that needs no quotes is a word in small letters. */
static dl_status put_member_name(dl_buf *name, dl_str member, dl_error *err)
{
    bool is_word = member.len > 0 && (member.ptr[0] < '0' || member.ptr[0] > '9');
    for (size_t i = 0; i < member.len; i++) {
        char c = member.ptr[i];
        is_word = is_word && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
    }
    return is_word ? dl_buf_append_str(name, member, err) : dl_engine_put_name(name, member, err);
}

static dl_status put_between(dl_buf *name, const frame *top, dl_error *err)
{
    DL_TRY(dl_buf_append_str(name, top->next > 0 ? DL_STR(", ") : DL_STR(""), err));
    bool has_names = top->type->id == DUCKDB_TYPE_STRUCT || top->type->id == DUCKDB_TYPE_UNION;
    if (has_names && top->type->names[top->next].len > 0) {
        DL_TRY(put_member_name(name, top->type->names[top->next], err));
        return dl_buf_append_char(name, ' ', err);
    }
    return DL_OK;
}

static dl_status put_end(dl_buf *name, const dl_value_type *type, dl_error *err)
{
    switch ((int)type->id) {
    case DUCKDB_TYPE_LIST:
        return dl_buf_append_str(name, DL_STR("[]"), err);
    case DUCKDB_TYPE_ARRAY:
        return dl_buf_printf(name, err, "[%llu]", (unsigned long long)type->array_size);
    case DUCKDB_TYPE_STRUCT:
    case DUCKDB_TYPE_UNION:
    case DUCKDB_TYPE_MAP:
        return dl_buf_append_char(name, ')', err);
    default:
        return DL_OK;
    }
}

static dl_status spell(const dl_value_type *type, dl_buf *name, dl_error *err)
{
    frame stack[DEPTH_LIMIT + 2];
    size_t depth = 1;
    stack[0] = (frame){type, 0};
    DL_TRY(put_begin(name, type, err));
    while (depth > 0) {
        frame *top = &stack[depth - 1];
        if (top->next == top->type->child_count) {
            DL_TRY(put_end(name, top->type, err));
            depth--;
            continue;
        }
        DL_TRY(put_between(name, top, err));
        stack[depth++] = (frame){&top->type->children[top->next++], 0};
        DL_TRY(put_begin(name, stack[depth - 1].type, err));
    }
    return DL_OK;
}

dl_status dl_value_type_read(const dl_engine *engine, duckdb_logical_type type, dl_arena *arena,
                             dl_value_type *out, dl_str *out_name, dl_error *err)
{
    DL_AUTO(dl_arena) own = dl_arena_create((NODE_LIMIT + 1) * sizeof(waiting));
    reader r = {.api = &engine->api, .arena = arena};
    r.items = own == NULL ? NULL : dl_arena_alloc(own, NODE_LIMIT, sizeof(*r.items));
    if (r.items == NULL) {
        r.api->destroy_logical_type(&type);
        return dl_error_set(err, DL_E_NOMEM, "sql: out of memory");
    }
    *out = (dl_value_type){0};
    dl_status status = push(&r, type, out, 0, err);
    while (r.count > 0) {
        waiting it = r.items[--r.count];
        if (status == DL_OK) {
            status = read_type(&r, &it, err);
        }
        r.api->destroy_logical_type(&it.handle);
    }
    DL_TRY(status);
    DL_AUTO_BUF name;
    dl_buf_init(&name, NAME_LIMIT_BYTES);
    DL_TRY(spell(out, &name, err));
    return dl_arena_copy(arena, dl_buf_str(&name), out_name, err);
}
