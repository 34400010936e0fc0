/* schemaString to columns. Types nest as deep as they like in the text, so they are worked off a
 * list of what is still to be read, never by recursion. */
#include "delta/internal.h"
#include "json/json.h"

#include <string.h>

/* A type still to be read, and the field that gets it. */
typedef struct work {
    dl_str type; /* JSON: a name in quotes, or an object */
    dl_columnar_field *to;
    size_t depth;
    struct work *next;
} work;

typedef struct reader {
    dl_arena *arena;
    dl_error *err;
    bool mapped, by_id;
    dl_str column; /* top-level, for messages */
    work *todo;
    size_t field_count;
} reader;

enum { SCHEMA_FIELD_LIMIT = 4 * DL_COLUMNAR_LEAF_LIMIT };

static const struct {
    const char *name;
    dl_columnar_type type;
} primitives[] = {
    {"string", DL_COLUMNAR_STRING},       {"long", DL_COLUMNAR_INT64},
    {"integer", DL_COLUMNAR_INT32},       {"short", DL_COLUMNAR_INT16},
    {"byte", DL_COLUMNAR_INT8},           {"float", DL_COLUMNAR_FLOAT},
    {"double", DL_COLUMNAR_DOUBLE},       {"boolean", DL_COLUMNAR_BOOL},
    {"binary", DL_COLUMNAR_BINARY},       {"date", DL_COLUMNAR_DATE},
    {"timestamp", DL_COLUMNAR_TIMESTAMP}, {"timestamp_ntz", DL_COLUMNAR_TIMESTAMP_NTZ},
    {"void", DL_COLUMNAR_STRING}, /* never in a file: always NULL */
};

static dl_status corrupt(const reader *r, const char *what)
{
    return dl_error_set(r->err, DL_E_CORRUPT, "the table's schema: column '%.*s': %s",
                        DL_STR_ARG(r->column), what);
}

static dl_status read_decimal(const reader *r, dl_str name, dl_columnar_field *to)
{
    dl_str inner = dl_str_slice(name, 8, name.len - 9), part = DL_STR_NONE;
    uint64_t precision = 0, scale = 0;
    if (!dl_str_next(&inner, ',', &part) || !dl_str_to_u64(dl_str_trim(part), &precision) ||
        !dl_str_to_u64(dl_str_trim(inner), &scale) || precision < 1 || precision > 38 ||
        scale > precision) {
        return corrupt(r, "a decimal needs a precision of 1 to 38 and a scale within it");
    }
    to->type = DL_COLUMNAR_DECIMAL;
    to->precision = (uint8_t)precision;
    to->scale = (uint8_t)scale;
    return DL_OK;
}

static dl_status read_variant(reader *r, dl_columnar_field *to)
{
    dl_columnar_field *children = dl_arena_alloc(r->arena, 2, sizeof *children);
    if (children == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    children[0] = (dl_columnar_field){.name = DL_STR("metadata"), .type = DL_COLUMNAR_BINARY};
    children[1] = (dl_columnar_field){.name = DL_STR("value"), .type = DL_COLUMNAR_BINARY};
    to->type = DL_COLUMNAR_STRUCT;
    to->children = children;
    to->child_count = 2;
    return DL_OK;
}

static dl_status read_primitive(reader *r, dl_str type, dl_columnar_field *to)
{
    dl_str name = DL_STR_NONE;
    DL_TRY(dl_json_text(type, r->arena, &name, r->err));
    for (size_t i = 0; i < DL_COUNT_OF(primitives); i++) {
        if (dl_str_eq(name, dl_str_of(primitives[i].name))) {
            to->type = primitives[i].type;
            return DL_OK;
        }
    }
    if (dl_str_starts(name, DL_STR("decimal(")) && dl_str_ends(name, DL_STR(")"))) {
        return read_decimal(r, name, to);
    }
    if (dl_str_eq(name, DL_STR("decimal"))) {
        to->type = DL_COLUMNAR_DECIMAL;
        to->precision = 10;
        return DL_OK;
    }
    if (dl_str_eq(name, DL_STR("variant"))) {
        return read_variant(r, to);
    }
    return dl_error_set(r->err, DL_E_UNSUPPORTED,
                        "the table's column '%.*s' has the type '%.*s', which is not known",
                        DL_STR_ARG(r->column), DL_STR_ARG(name));
}

static dl_status push(reader *r, dl_str type, dl_columnar_field *to, size_t depth)
{
    if (depth > DL_COLUMNAR_DEPTH_LIMIT) {
        return dl_error_set(r->err, DL_E_LIMIT, "the table's column '%.*s' nests deeper than %d",
                            DL_STR_ARG(r->column), DL_COLUMNAR_DEPTH_LIMIT);
    }
    if (++r->field_count > SCHEMA_FIELD_LIMIT) {
        return dl_error_set(r->err, DL_E_LIMIT, "the table's schema has more than %d fields",
                            SCHEMA_FIELD_LIMIT);
    }
    work *w = dl_arena_alloc(r->arena, 1, sizeof *w);
    if (w == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    *w = (work){type, to, depth, r->todo};
    r->todo = w;
    return DL_OK;
}

/* Name and id of a field as they stand in the files. */
static dl_status read_physical(reader *r, dl_str field, dl_str logical, dl_columnar_field *to)
{
    dl_str metadata = DL_STR_NONE, value = DL_STR_NONE;
    int64_t id = 0;
    to->name = logical;
    if (!r->mapped) {
        return DL_OK;
    }
    (void)dl_json_get(field, DL_STR("metadata"), &metadata);
    if (dl_json_get(metadata, DL_STR("delta.columnMapping.physicalName"), &value) &&
        dl_json_kind_of(value) == DL_JSON_STRING) {
        DL_TRY(dl_json_text(value, r->arena, &to->name, r->err));
        if (to->name.len == 0) {
            return corrupt(r, "an empty delta.columnMapping.physicalName");
        }
    }
    if (dl_json_get(metadata, DL_STR("delta.columnMapping.id"), &value) &&
        dl_json_int_of(value, &id) && id > 0 && id <= INT32_MAX) {
        to->field_id = (int32_t)id;
    } else if (r->by_id) {
        return corrupt(r, "delta.columnMapping.id is missing, and columns are found by it");
    }
    return DL_OK;
}

static size_t count_elements(dl_str array)
{
    size_t count = 0;
    dl_str element = DL_STR_NONE;
    for (dl_json_iter iter = dl_json_iter_of(array); dl_json_next_element(&iter, &element);) {
        count++;
    }
    return count;
}

static dl_status read_field_head(reader *r, dl_str field, dl_str *out_name, dl_str *out_type)
{
    dl_str name = DL_STR_NONE;
    if (!dl_json_get(field, DL_STR("name"), &name) || dl_json_kind_of(name) != DL_JSON_STRING ||
        !dl_json_get(field, DL_STR("type"), out_type)) {
        return corrupt(r, "a field needs a name and a type");
    }
    DL_TRY(dl_json_text(name, r->arena, out_name, r->err));
    return out_name->len == 0 ? corrupt(r, "a field with an empty name") : DL_OK;
}

static dl_status read_struct(reader *r, dl_str type, dl_columnar_field *to, size_t depth)
{
    dl_str fields = DL_STR_NONE, field = DL_STR_NONE;
    if (!dl_json_get(type, DL_STR("fields"), &fields) || dl_json_kind_of(fields) != DL_JSON_ARRAY) {
        return corrupt(r, "a struct needs its fields");
    }
    size_t count = count_elements(fields);
    if (count == 0) {
        return dl_error_set(r->err, DL_E_UNSUPPORTED,
                            "the table's column '%.*s' is an empty struct", DL_STR_ARG(r->column));
    }
    dl_columnar_field *children = dl_arena_alloc(r->arena, count, sizeof *children);
    if (children == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    dl_json_iter iter = dl_json_iter_of(fields);
    for (size_t i = 0; i < count && dl_json_next_element(&iter, &field); i++) {
        dl_str name = DL_STR_NONE, inner = DL_STR_NONE;
        DL_TRY(read_field_head(r, field, &name, &inner));
        DL_TRY(read_physical(r, field, name, &children[i]));
        DL_TRY(push(r, inner, &children[i], depth + 1));
    }
    to->type = DL_COLUMNAR_STRUCT;
    to->children = children;
    to->child_count = count;
    return DL_OK;
}

/* An array's element, or a map's key and value. */
static dl_status read_container(reader *r, dl_str type, bool map, dl_columnar_field *to,
                                size_t depth)
{
    static const dl_str members[2][2] = {{{"elementType", 11}, {"", 0}},
                                         {{"keyType", 7}, {"valueType", 9}}};
    static const dl_str names[2][2] = {{{"element", 7}, {"", 0}}, {{"key", 3}, {"value", 5}}};
    size_t count = map ? 2 : 1;
    dl_columnar_field *children = dl_arena_alloc(r->arena, count, sizeof *children);
    if (children == NULL) {
        return dl_arena_full(r->arena, r->err);
    }
    for (size_t i = 0; i < count; i++) {
        dl_str inner = DL_STR_NONE;
        if (!dl_json_get(type, members[map ? 1 : 0][i], &inner)) {
            return corrupt(r, "an array or map without the type of what it holds");
        }
        children[i].name = names[map ? 1 : 0][i];
        children[i].required = map && i == 0;
        DL_TRY(push(r, inner, &children[i], depth + 1));
    }
    to->type = map ? DL_COLUMNAR_MAP : DL_COLUMNAR_LIST;
    to->children = children;
    to->child_count = count;
    return DL_OK;
}

static dl_status read_type(reader *r, const work *w)
{
    dl_str kind = DL_STR_NONE, name = DL_STR_NONE;
    if (dl_json_kind_of(w->type) == DL_JSON_STRING) {
        return read_primitive(r, w->type, w->to);
    }
    if (dl_json_kind_of(w->type) != DL_JSON_OBJECT ||
        !dl_json_get(w->type, DL_STR("type"), &kind) || dl_json_kind_of(kind) != DL_JSON_STRING) {
        return corrupt(r, "its type is neither a name nor an object with a type");
    }
    DL_TRY(dl_json_text(kind, r->arena, &name, r->err));
    if (dl_str_eq(name, DL_STR("struct"))) {
        return read_struct(r, w->type, w->to, w->depth);
    }
    if (dl_str_eq(name, DL_STR("array"))) {
        return read_container(r, w->type, false, w->to, w->depth);
    }
    if (dl_str_eq(name, DL_STR("map"))) {
        return read_container(r, w->type, true, w->to, w->depth);
    }
    return dl_error_set(r->err, DL_E_UNSUPPORTED,
                        "the table's column '%.*s' has the type '%.*s', which is not known",
                        DL_STR_ARG(r->column), DL_STR_ARG(name));
}

static bool is_partition(const dl_delta_metadata *metadata, dl_str name)
{
    for (size_t i = 0; i < metadata->partition_columns.count; i++) {
        if (dl_str_eq_nocase(metadata->partition_columns.items[i], name)) {
            return true;
        }
    }
    return false;
}

static dl_status read_column(reader *r, const dl_delta_metadata *metadata, dl_str field,
                             dl_delta_column *to)
{
    dl_str value = DL_STR_NONE;
    r->column = DL_STR("?");
    DL_TRY(read_field_head(r, field, &to->name, &to->type_json));
    r->column = to->name;
    to->nullable = true;
    if (dl_json_get(field, DL_STR("nullable"), &value)) {
        (void)dl_json_bool_of(value, &to->nullable);
    }
    to->partition = is_partition(metadata, to->name);
    DL_TRY(read_physical(r, field, to->name, &to->field));
    DL_TRY(push(r, to->type_json, &to->field, 1));
    while (r->todo != NULL) {
        const work *w = r->todo;
        r->todo = w->next;
        DL_TRY(read_type(r, w));
    }
    if (to->partition && to->field.child_count > 0) {
        return corrupt(r, "a partition column cannot be nested");
    }
    return DL_OK;
}

static dl_status check_partitions(const dl_delta_metadata *metadata, const dl_delta_column *columns,
                                  size_t count, dl_error *err)
{
    for (size_t i = 0; i < metadata->partition_columns.count; i++) {
        size_t at = 0;
        while (at < count &&
               !dl_str_eq_nocase(columns[at].name, metadata->partition_columns.items[i])) {
            at++;
        }
        if (at == count) {
            return dl_error_set(err, DL_E_CORRUPT,
                                "the table is partitioned by '%.*s', which is no column of it",
                                DL_STR_ARG(metadata->partition_columns.items[i]));
        }
    }
    return DL_OK;
}

static dl_status read_mode(reader *r, const dl_delta_metadata *metadata)
{
    dl_str mode = dl_delta_configuration(metadata, "delta.columnMapping.mode");
    r->by_id = dl_str_eq(mode, DL_STR("id"));
    r->mapped = r->by_id || dl_str_eq(mode, DL_STR("name"));
    if (!r->mapped && mode.len > 0 && !dl_str_eq(mode, DL_STR("none"))) {
        return dl_error_set(r->err, DL_E_UNSUPPORTED,
                            "delta.columnMapping.mode is '%.*s'; none, name and id are known",
                            DL_STR_ARG(mode));
    }
    return DL_OK;
}

dl_status dl_delta_schema_columns(const dl_delta_metadata *metadata, dl_arena *arena,
                                  dl_delta_column **out_columns, size_t *out_count, dl_error *err)
{
    reader r = {.arena = arena, .err = err};
    dl_str schema = DL_STR_NONE, fields = DL_STR_NONE, field = DL_STR_NONE;
    dl_error cause = {0};
    DL_TRY(read_mode(&r, metadata));
    if (dl_json_check(metadata->schema_json, &cause) != DL_OK) {
        return dl_error_set(err, DL_E_CORRUPT, "the table's schema: %s", cause.message);
    }
    DL_TRY(dl_arena_copy(arena, metadata->schema_json, &schema, err));
    if (!dl_json_get(schema, DL_STR("type"), &field) || !dl_str_eq(field, DL_STR("\"struct\"")) ||
        !dl_json_get(schema, DL_STR("fields"), &fields) ||
        dl_json_kind_of(fields) != DL_JSON_ARRAY) {
        return dl_error_set(err, DL_E_CORRUPT, "the table's schema is no struct with fields");
    }
    size_t count = count_elements(fields);
    if (count > SCHEMA_FIELD_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "the table's schema has more than %d fields",
                            SCHEMA_FIELD_LIMIT);
    }
    dl_delta_column *columns = dl_arena_alloc(arena, count == 0 ? 1 : count, sizeof *columns);
    if (columns == NULL) {
        return dl_arena_full(arena, err);
    }
    dl_json_iter iter = dl_json_iter_of(fields);
    for (size_t i = 0; i < count && dl_json_next_element(&iter, &field); i++) {
        DL_TRY(read_column(&r, metadata, field, &columns[i]));
    }
    DL_TRY(check_partitions(metadata, columns, count, err));
    *out_columns = columns;
    *out_count = count;
    return DL_OK;
}
