/* What is wanted against what a file has. Columns are known to SQL by their position alone, so no
 * name of a file is ever quoted. */
#include "columnar/read.h"

#include <string.h>

typedef struct maker {
    dl_duckdb_session *session;
    const dl_columnar_scan *scan;
    dl_arena *arena;
    dl_read_plan *plan;
    dl_read_schema schema;                /* with by_field_id; else empty */
    size_t result_columns;                /* of the SELECT so far */
    size_t leaf_count;                    /* met so far */
    size_t path[DL_COLUMNAR_DEPTH_LIMIT]; /* which column of the file, which member of that, ... */
    dl_error *err;
} maker;

/* What the file has at some place. */
typedef struct place {
    duckdb_logical_type type; /* NULL: nothing */
    size_t node;              /* in maker.schema; DL_READ_NO_NODE: not known */
} place;

typedef struct levels {
    uint8_t rep, def;
    bool required;
    bool absent; /* below something that is missing: no complaint about what is required */
    unsigned depth;
} levels;

static dl_status make_node(maker *m, const dl_columnar_field *field, place at, levels l,
                           dl_read_node *node);

static dl_status differs(const dl_columnar_field *field, maker *m, const char *what)
{
    return dl_error_set(m->err, DL_E_UNSUPPORTED, "columnar: %.*s: column %.*s: the file has %s",
                        DL_STR_ARG(m->scan->location), DL_STR_ARG(field->name), what);
}

static dl_status append(maker *m, const char *text)
{
    return dl_buf_append_str(&m->plan->sql, dl_str_of(text), m->err);
}

/* ---- finding ---- */

/* The members of a struct, or the file's columns. */
typedef struct members {
    dl_str *names;
    size_t count;
    size_t node; /* their parent in maker.schema */
} members;

static dl_status members_alloc(maker *m, size_t count, members *out)
{
    out->names = dl_arena_alloc(m->arena, count, sizeof(*out->names));
    if (out->names == NULL) {
        return dl_arena_full(m->arena, m->err);
    }
    out->count = count;
    return DL_OK;
}

/* A name that DuckDB allocated, as one of ours. */
static dl_status take_name(maker *m, const char *take_text, dl_str *out_name)
{
    dl_status status = dl_arena_copy(m->arena, dl_str_of(take_text), out_name, m->err);
    void *text = NULL;
    memcpy(&text, &take_text, sizeof(text)); /* without its const, which DuckDB gives or not */
    m->session->api->free(text);
    return status;
}

static bool find_id(maker *m, const members *these, int32_t field_id, size_t *out_index)
{
    for (size_t i = 0; i < these->count; i++) {
        size_t node = dl_read_schema_child(&m->schema, these->node, i);
        if (node < m->schema.count && m->schema.nodes[node].field_id == field_id) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

static bool find_member(maker *m, const members *these, const dl_columnar_field *field,
                        size_t *out_index)
{
    if (m->scan->by_field_id && field->field_id != 0) {
        return find_id(m, these, field->field_id, out_index);
    }
    for (size_t i = 0; i < these->count; i++) {
        if (dl_str_eq(these->names[i], field->name)) {
            *out_index = i;
            return true;
        }
    }
    for (size_t i = 0; i < these->count; i++) {
        if (dl_str_eq_nocase(these->names[i], field->name)) {
            *out_index = i;
            return true;
        }
    }
    return false;
}

/* ---- nodes ---- */

static bool is_leaf(const dl_columnar_field *field)
{
    return field->type != DL_COLUMNAR_STRUCT && field->type != DL_COLUMNAR_LIST &&
           field->type != DL_COLUMNAR_MAP;
}

static void new_leaf(maker *m, dl_read_node *node)
{
    m->leaf_count++;
    node->leaf_count = 1;
}

/* to_json() over the members on the way to the value; it becomes a column of its own. */
static dl_status make_json(maker *m, dl_read_node *node, levels l)
{
    if (l.rep > 0) {
        return dl_error_set(m->err, DL_E_UNSUPPORTED,
                            "columnar: column %.*s: no JSON inside of lists and maps",
                            DL_STR_ARG(node->field->name));
    }
    DL_TRY(append(m, ", to_json("));
    for (unsigned i = 0; i < l.depth; i++) {
        DL_TRY(append(m, "struct_extract_at("));
    }
    DL_TRY(dl_buf_printf(&m->plan->sql, m->err, "c%zu", m->path[0]));
    for (unsigned i = 1; i <= l.depth; i++) {
        DL_TRY(dl_buf_printf(&m->plan->sql, m->err, ", %zu)", m->path[i] + 1));
    }
    DL_TRY(append(m, ")::VARCHAR"));
    node->kind = DL_READ_JSON;
    node->from = DUCKDB_TYPE_VARCHAR;
    node->source = m->result_columns++;
    new_leaf(m, node);
    return DL_OK;
}

static dl_status make_leaf(maker *m, dl_read_node *node, place at)
{
    const dl_duckdb *api = m->session->api;
    const dl_columnar_field *field = node->field;
    duckdb_type from = api->get_type_id(at.type);
    uint8_t width = 0, scale = 0;
    if (from == DUCKDB_TYPE_DECIMAL) {
        width = api->decimal_width(at.type);
        scale = api->decimal_scale(at.type);
    }
    if (!dl_read_leaf_fits(field, from, width, scale)) {
        return differs(field, m, "another type that is not a narrower form of the wanted one");
    }
    node->kind = DL_READ_LEAF;
    node->from = from == DUCKDB_TYPE_DECIMAL ? api->decimal_internal_type(at.type) : from;
    node->from_scale = scale;
    new_leaf(m, node);
    return DL_OK;
}

/* No deeper than the wanted schema, which dl_columnar_leaves has bounded.
 * NOLINTBEGIN(misc-no-recursion) */

static dl_status make_child(maker *m, dl_read_node *node, size_t index, place at, levels l)
{
    const dl_columnar_field *field = &node->field->children[index];
    l.depth++;
    if (node->kind == DL_READ_LIST || node->kind == DL_READ_MAP ||
        (node->kind == DL_READ_MISSING && node->field->type != DL_COLUMNAR_STRUCT)) {
        l.rep++;
        l.def++;
    }
    l.required = field->required || (node->field->type == DL_COLUMNAR_MAP && index == 0);
    dl_read_node *child = &node->children[index];
    dl_status status = make_node(m, field, at, l, child);
    node->leaf_count += child->leaf_count;
    return status;
}

static dl_status make_members(maker *m, dl_read_node *node, place at, levels l)
{
    const dl_duckdb *api = m->session->api;
    members these = {.node = at.node};
    DL_TRY(members_alloc(m, api->struct_type_child_count(at.type), &these));
    for (size_t i = 0; i < these.count; i++) {
        DL_TRY(take_name(m, api->struct_type_child_name(at.type, i), &these.names[i]));
    }
    dl_status status = DL_OK;
    for (size_t i = 0; i < node->child_count && status == DL_OK; i++) {
        size_t index = 0;
        place child = {NULL, DL_READ_NO_NODE};
        if (find_member(m, &these, &node->field->children[i], &index)) {
            child.type = api->struct_type_child_type(at.type, index);
            child.node = dl_read_schema_child(&m->schema, at.node, index);
            m->path[l.depth + 1] = index;
        }
        node->children[i].source = index;
        status = make_child(m, node, i, child, l);
        api->destroy_logical_type(&child.type);
    }
    return status;
}

static dl_status make_element(maker *m, dl_read_node *node, place at, levels l)
{
    const dl_duckdb *api = m->session->api;
    place child = {api->list_type_child_type(at.type), dl_read_schema_element(&m->schema, at.node)};
    dl_status status = make_child(m, node, 0, child, l);
    api->destroy_logical_type(&child.type);
    return status;
}

static dl_status make_entries(maker *m, dl_read_node *node, place at, levels l)
{
    const dl_duckdb *api = m->session->api;
    size_t middle = dl_read_schema_child(&m->schema, at.node, 0);
    for (size_t i = 0; i < 2; i++) {
        place child = {i == 0 ? api->map_type_key_type(at.type) : api->map_type_value_type(at.type),
                       dl_read_schema_child(&m->schema, middle, i)};
        dl_status status = make_child(m, node, i, child, l);
        api->destroy_logical_type(&child.type);
        DL_TRY(status);
    }
    return DL_OK;
}

static dl_status make_missing(maker *m, dl_read_node *node, levels l)
{
    node->kind = DL_READ_MISSING;
    if (node->required && !l.absent) {
        return differs(node->field, m, "no such column, and NULL is not allowed");
    }
    if (is_leaf(node->field)) {
        new_leaf(m, node);
        return DL_OK;
    }
    l.def = node->def;
    l.absent = true;
    for (size_t i = 0; i < node->child_count; i++) {
        DL_TRY(make_child(m, node, i, (place){NULL, DL_READ_NO_NODE}, l));
    }
    return DL_OK;
}

static dl_status make_node(maker *m, const dl_columnar_field *field, place at, levels l,
                           dl_read_node *node)
{
    node->field = field;
    node->required = l.required;
    node->rep = l.rep;
    node->def = (uint8_t)(l.def + (l.required ? 0 : 1));
    node->first_leaf = m->leaf_count;
    node->child_count = field->child_count;
    node->children = dl_arena_alloc(m->arena, field->child_count, sizeof(*node->children));
    if (node->children == NULL) {
        return dl_arena_full(m->arena, m->err);
    }
    if (at.type == NULL) {
        return make_missing(m, node, l);
    }
    if (field->as_json) {
        return make_json(m, node, l);
    }
    if (is_leaf(field)) {
        return make_leaf(m, node, at);
    }
    duckdb_type from = m->session->api->get_type_id(at.type);
    l.def = node->def;
    if (field->type == DL_COLUMNAR_STRUCT && from == DUCKDB_TYPE_STRUCT) {
        node->kind = DL_READ_STRUCT;
        return make_members(m, node, at, l);
    }
    if (field->type == DL_COLUMNAR_LIST && from == DUCKDB_TYPE_LIST) {
        node->kind = DL_READ_LIST;
        return make_element(m, node, at, l);
    }
    if (field->type == DL_COLUMNAR_MAP && from == DUCKDB_TYPE_MAP) {
        node->kind = DL_READ_MAP;
        return make_entries(m, node, at, l);
    }
    return differs(field, m, "something of another shape");
}

/* NOLINTEND(misc-no-recursion) */

/* ---- the whole ---- */

/* DuckDB takes names without regard to case, and calls the second of "Name", "NAME" "NAME_1". */
static bool may_be_renamed(const members *columns)
{
    for (size_t i = 0; i < columns->count; i++) {
        dl_str name = columns->names[i];
        size_t end = name.len;
        while (end > 0 && name.ptr[end - 1] >= '0' && name.ptr[end - 1] <= '9') {
            end--;
        }
        if (end == name.len || end == 0 || name.ptr[end - 1] != '_') {
            continue;
        }
        for (size_t n = 0; n < columns->count; n++) {
            if (dl_str_eq_nocase(columns->names[n], dl_str_slice(name, 0, end - 1))) {
                return true;
            }
        }
    }
    return false;
}

/* The file's columns, under the names that they have there. */
static dl_status find_columns(maker *m, duckdb_prepared_statement all, members *out)
{
    const dl_duckdb *api = m->session->api;
    /* The last column is the row number. */
    DL_TRY(members_alloc(m, api->prepared_statement_column_count(all) - 1, out));
    for (size_t i = 0; i < out->count; i++) {
        DL_TRY(take_name(m, api->prepared_statement_column_name(all, i), &out->names[i]));
    }
    bool renamed = may_be_renamed(out);
    if (renamed || m->scan->by_field_id) {
        DL_TRY(dl_read_schema_load(m->session, m->scan->location, m->arena, &m->schema, m->err));
    }
    for (size_t i = 0; i < out->count && renamed; i++) {
        size_t node = dl_read_schema_child(&m->schema, 0, i);
        if (node < m->schema.count) {
            out->names[i] = m->schema.nodes[node].name;
        }
    }
    return DL_OK;
}

static dl_status make_column(maker *m, duckdb_prepared_statement all, const members *columns,
                             size_t wanted)
{
    const dl_duckdb *api = m->session->api;
    const dl_columnar_field *field = &m->scan->fields[wanted];
    dl_read_node *node = &m->plan->columns[wanted];
    size_t index = 0;
    place at = {NULL, DL_READ_NO_NODE};
    if (find_member(m, columns, field, &index)) {
        at.type = api->prepared_statement_column_logical_type(all, index);
        at.node = dl_read_schema_child(&m->schema, 0, index);
        m->path[0] = index;
        if (!field->as_json) {
            DL_TRY(dl_buf_printf(&m->plan->sql, m->err, ", c%zu", index));
            node->source = m->result_columns++;
        }
    }
    dl_status status = make_node(m, field, at, (levels){.required = field->required}, node);
    api->destroy_logical_type(&at.type);
    return status;
}

static const char read_options[] = ", file_row_number=true, hive_partitioning=false";

/* FROM the file, its columns by position; the rows that are wanted. */
static dl_status append_source(maker *m, size_t file_columns)
{
    dl_buf *sql = &m->plan->sql;
    DL_TRY(append(m, " FROM "));
    DL_TRY(dl_duckdb_call(sql, "read_parquet", m->scan->location, read_options, m->err));
    DL_TRY(append(m, " AS t("));
    for (size_t i = 0; i < file_columns; i++) {
        DL_TRY(dl_buf_printf(sql, m->err, "c%zu, ", i));
    }
    DL_TRY(append(m, "r)"));
    if (m->scan->first_row > 0) {
        DL_TRY(dl_buf_printf(sql, m->err, " WHERE r >= %lld", (long long)m->scan->first_row));
    }
    if (m->scan->end_row > 0) {
        DL_TRY(dl_buf_printf(sql, m->err, " %s r < %lld", m->scan->first_row > 0 ? "AND" : "WHERE",
                             (long long)m->scan->end_row));
    }
    return dl_buf_terminate(sql, m->err);
}

static dl_status make_columns(maker *m, duckdb_prepared_statement all)
{
    members columns = {.node = 0};
    DL_TRY(find_columns(m, all, &columns));
    DL_TRY(append(m, "SELECT r"));
    m->result_columns = 1;
    for (size_t i = 0; i < m->scan->field_count; i++) {
        DL_TRY(make_column(m, all, &columns, i));
    }
    return append_source(m, columns.count);
}

dl_status dl_read_plan_make(dl_duckdb_session *session, const dl_columnar_scan *scan,
                            dl_arena *arena, dl_read_plan *plan, dl_error *err)
{
    const dl_duckdb *api = session->api;
    maker m = {.session = session, .scan = scan, .arena = arena, .plan = plan, .err = err};
    dl_buf_init(&plan->sql, DL_READ_SQL_LIMIT_BYTES);
    plan->column_count = scan->field_count;
    plan->columns = dl_arena_alloc(arena, scan->field_count, sizeof(*plan->columns));
    if (plan->columns == NULL) {
        return dl_arena_full(arena, err);
    }
    if (scan->field_count > 0) { /* it also bounds depth and leaves of what is made below */
        DL_TRY(dl_columnar_leaves(scan->fields, scan->field_count, arena, &plan->leaves,
                                  &plan->leaf_count, err));
    }
    for (size_t i = 0; i < plan->leaf_count; i++) {
        plan->repeated = plan->repeated || plan->leaves[i].max_rep > 0;
    }
    DL_AUTO_BUF sql = {0};
    dl_buf_init(&sql, DL_READ_SQL_LIMIT_BYTES);
    DL_TRY(dl_buf_append_str(&sql, DL_STR("FROM "), err));
    DL_TRY(dl_duckdb_call(&sql, "read_parquet", scan->location, read_options, err));
    DL_TRY(dl_buf_terminate(&sql, err));
    duckdb_prepared_statement all = NULL;
    dl_status status = DL_OK;
    if (api->prepare(session->connection, sql.ptr, &all) != DuckDBSuccess) {
        status = dl_duckdb_error(session, DUCKDB_ERROR_INVALID, api->prepare_error(all),
                                 scan->location, err);
    } else {
        status = make_columns(&m, all);
    }
    api->destroy_prepare(&all);
    return status;
}
