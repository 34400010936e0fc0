/* Types of Delta in SQL, and nested values whose names in the files are not those of the schema
 * (column mapping renames fields of structs too). */
#include "query/snapshot.h"

#include "json/json.h"

#include <stdio.h>

typedef struct nested {
    const dl_columnar_field *field; /* physical */
    dl_str json;                    /* the type as the schema spells it */
} nested;

/* ---- walking the field and its JSON side by side ---- */

/* The members of a struct, one after another. */
typedef struct members {
    const nested *parent;
    dl_json_iter iter; /* of the schema's; a variant has none there */
    size_t next;
} members;

static members members_of(const nested *parent)
{
    dl_str fields = DL_STR_NONE;
    (void)dl_json_get(parent->json, DL_STR("fields"), &fields);
    return (members){.parent = parent, .iter = dl_json_iter_of(fields)};
}

/* What the next member is called and typed in the schema. */
static dl_status next_member(members *m, dl_arena *arena, dl_str *out_name, nested *out_member,
                             dl_error *err)
{
    dl_str one = DL_STR_NONE, name = DL_STR_NONE, type = DL_STR_NONE;
    const dl_columnar_field *child = &m->parent->field->children[m->next++];
    *out_name = child->name;
    if (dl_json_next_element(&m->iter, &one) && dl_json_get(one, DL_STR("name"), &name) &&
        dl_json_get(one, DL_STR("type"), &type)) {
        DL_TRY(dl_json_text(name, arena, out_name, err));
    }
    *out_member = (nested){child, type};
    return DL_OK;
}

/* An array's element, a map's key or value. */
static nested inner(const nested *parent, size_t i)
{
    const char *map = i == 0 ? "keyType" : "valueType";
    bool is_map = parent->field->type == DL_COLUMNAR_MAP;
    nested n = {&parent->field->children[i], DL_STR_NONE};
    (void)dl_json_get(parent->json, dl_str_of(is_map ? map : "elementType"), &n.json);
    return n;
}

/* ---- types ---- */

static const char *primitive(dl_columnar_type type)
{
    switch (type) {
    case DL_COLUMNAR_STRING:
        return "VARCHAR";
    case DL_COLUMNAR_BINARY:
        return "BLOB";
    case DL_COLUMNAR_BOOL:
        return "BOOLEAN";
    case DL_COLUMNAR_INT8:
        return "TINYINT";
    case DL_COLUMNAR_INT16:
        return "SMALLINT";
    case DL_COLUMNAR_INT32:
        return "INTEGER";
    case DL_COLUMNAR_INT64:
        return "BIGINT";
    case DL_COLUMNAR_FLOAT:
        return "FLOAT";
    case DL_COLUMNAR_DOUBLE:
        return "DOUBLE";
    case DL_COLUMNAR_DATE:
        return "DATE";
    case DL_COLUMNAR_TIMESTAMP:
        return "TIMESTAMP WITH TIME ZONE";
    case DL_COLUMNAR_TIMESTAMP_NTZ:
        return "TIMESTAMP";
    case DL_COLUMNAR_DECIMAL:
    case DL_COLUMNAR_STRUCT:
    case DL_COLUMNAR_LIST:
    case DL_COLUMNAR_MAP:
    default:
        return NULL;
    }
}

typedef struct speller {
    dl_buf *sql;
    bool physical;
    dl_arena *arena;
    dl_error *err;
    unsigned depth; /* of the names of lambdas */
} speller;

/* Trees are no deeper than DL_COLUMNAR_DEPTH_LIMIT.
 * NOLINTBEGIN(misc-no-recursion) */
static dl_status put_type(const speller *s, const nested *type);

static dl_status put_struct(const speller *s, const nested *type)
{
    members m = members_of(type);
    DL_TRY(dl_buf_append_str(s->sql, DL_STR("STRUCT("), s->err));
    for (size_t i = 0; i < type->field->child_count; i++) {
        nested child = {0};
        dl_str name = DL_STR_NONE;
        DL_TRY(next_member(&m, s->arena, &name, &child, s->err));
        if (i > 0) {
            DL_TRY(dl_buf_append_str(s->sql, DL_STR(", "), s->err));
        }
        DL_TRY(dl_engine_put_name(s->sql, s->physical ? child.field->name : name, s->err));
        DL_TRY(dl_buf_append_char(s->sql, ' ', s->err));
        DL_TRY(put_type(s, &child));
    }
    return dl_buf_append_char(s->sql, ')', s->err);
}

static dl_status put_type(const speller *s, const nested *type)
{
    const dl_columnar_field *field = type->field;
    if (field->type == DL_COLUMNAR_STRUCT) {
        return put_struct(s, type);
    }
    if (field->type == DL_COLUMNAR_LIST) {
        nested element = inner(type, 0);
        DL_TRY(put_type(s, &element));
        return dl_buf_append_str(s->sql, DL_STR("[]"), s->err);
    }
    if (field->type == DL_COLUMNAR_MAP) {
        nested key = inner(type, 0), value = inner(type, 1);
        DL_TRY(dl_buf_append_str(s->sql, DL_STR("MAP("), s->err));
        DL_TRY(put_type(s, &key));
        DL_TRY(dl_buf_append_str(s->sql, DL_STR(", "), s->err));
        DL_TRY(put_type(s, &value));
        return dl_buf_append_char(s->sql, ')', s->err);
    }
    if (field->type == DL_COLUMNAR_DECIMAL) {
        return dl_buf_printf(s->sql, s->err, "DECIMAL(%u,%u)", field->precision, field->scale);
    }
    return dl_buf_append_str(s->sql, dl_str_of(primitive(field->type)), s->err);
}

/* NOLINTEND(misc-no-recursion) */

enum { NAMES_LIMIT_BYTES = 16 * 1024 * 1024 };

dl_status dl_snapshot_put_type(dl_buf *sql, const dl_delta_column *column, bool physical,
                               dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(NAMES_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "query: out of memory");
    }
    speller s = {.sql = sql, .physical = physical, .arena = arena, .err = err};
    nested type = {&column->field, column->type_json};
    return put_type(&s, &type);
}

/* ---- renaming ---- */

/* NOLINTBEGIN(misc-no-recursion): as above */

static dl_status is_renamed(const nested *type, dl_arena *arena, bool *out, dl_error *err)
{
    members m = members_of(type);
    for (size_t i = 0; i < type->field->child_count && !*out; i++) {
        nested child = {0};
        if (type->field->type == DL_COLUMNAR_STRUCT) {
            dl_str name = DL_STR_NONE;
            DL_TRY(next_member(&m, arena, &name, &child, err));
            *out = !dl_str_eq(name, child.field->name);
        } else {
            child = inner(type, i);
        }
        if (!*out) {
            DL_TRY(is_renamed(&child, arena, out, err));
        }
    }
    return DL_OK;
}

static dl_status put_value(speller *s, const nested *type, dl_str source);

/* struct_pack("new" := (source)."old", ...), NULL where the source is. */
static dl_status put_members(speller *s, const nested *type, dl_str source)
{
    members m = members_of(type);
    DL_TRY(dl_buf_printf(s->sql, s->err, "CASE WHEN %.*s IS NULL THEN NULL ELSE struct_pack(",
                         DL_STR_ARG(source)));
    for (size_t i = 0; i < type->field->child_count; i++) {
        DL_AUTO_BUF from = {0};
        nested child = {0};
        dl_str name = DL_STR_NONE;
        dl_buf_init(&from, DL_SNAPSHOT_SQL_LIMIT_BYTES);
        DL_TRY(next_member(&m, s->arena, &name, &child, s->err));
        DL_TRY(dl_buf_printf(&from, s->err, "struct_extract(%.*s, ", DL_STR_ARG(source)));
        DL_TRY(dl_engine_put_text(&from, child.field->name, s->err));
        DL_TRY(dl_buf_append_char(&from, ')', s->err));
        DL_TRY(dl_buf_append_str(s->sql, i > 0 ? DL_STR(", ") : DL_STR(""), s->err));
        DL_TRY(dl_engine_put_name(s->sql, name, s->err));
        DL_TRY(dl_buf_append_str(s->sql, DL_STR(" := "), s->err));
        DL_TRY(put_value(s, &child, dl_buf_str(&from)));
    }
    return dl_buf_append_str(s->sql, DL_STR(") END"), s->err);
}

/* list_transform(source, lambda x1: ...); `source` is a list already. */
static dl_status put_each(speller *s, const nested *element, dl_str source)
{
    char variable[16];
    (void)snprintf(variable, sizeof variable, "x%u", ++s->depth);
    DL_TRY(dl_buf_printf(s->sql, s->err, "list_transform(%.*s, lambda %s: ", DL_STR_ARG(source),
                         variable));
    DL_TRY(put_value(s, element, dl_str_of(variable)));
    s->depth--;
    return dl_buf_append_char(s->sql, ')', s->err);
}

static dl_status put_map(speller *s, const nested *type, dl_str source)
{
    nested key = inner(type, 0), value = inner(type, 1);
    dl_str keys = DL_STR_NONE, values = DL_STR_NONE;
    DL_TRY(dl_arena_printf(s->arena, &keys, s->err, "map_keys(%.*s)", DL_STR_ARG(source)));
    DL_TRY(dl_arena_printf(s->arena, &values, s->err, "map_values(%.*s)", DL_STR_ARG(source)));
    DL_TRY(dl_buf_printf(s->sql, s->err, "CASE WHEN %.*s IS NULL THEN NULL ELSE map(",
                         DL_STR_ARG(source)));
    DL_TRY(put_each(s, &key, keys));
    DL_TRY(dl_buf_append_str(s->sql, DL_STR(", "), s->err));
    DL_TRY(put_each(s, &value, values));
    return dl_buf_append_str(s->sql, DL_STR(") END"), s->err);
}

static dl_status put_value(speller *s, const nested *type, dl_str source)
{
    bool renamed = false;
    DL_TRY(is_renamed(type, s->arena, &renamed, s->err));
    if (!renamed) {
        return dl_buf_append_str(s->sql, source, s->err);
    }
    if (type->field->type == DL_COLUMNAR_STRUCT) {
        return put_members(s, type, source);
    }
    if (type->field->type == DL_COLUMNAR_MAP) {
        return put_map(s, type, source);
    }
    nested element = inner(type, 0);
    return put_each(s, &element, source);
}

/* NOLINTEND(misc-no-recursion) */

dl_status dl_snapshot_put_renamed(dl_buf *sql, const dl_delta_column *column, dl_str source,
                                  dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(NAMES_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "query: out of memory");
    }
    speller s = {.sql = sql, .arena = arena, .err = err};
    nested type = {&column->field, column->type_json};
    return put_value(&s, &type, source);
}
