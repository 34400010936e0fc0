/* A profile's columns against those that a table really has. */
#include "pipeline/project_internal.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_LIMIT_BYTES = 16 * 1024 * 1024 };

static size_t leaves_of(const dl_columnar_field *field)
{
    /* Depth first without recursion: every node is looked at once. */
    const dl_columnar_field *stack[DL_COLUMNAR_DEPTH_LIMIT];
    size_t at[DL_COLUMNAR_DEPTH_LIMIT] = {0}, depth = 1, leaves = 0;
    stack[0] = field;
    while (depth > 0) {
        const dl_columnar_field *top = stack[depth - 1];
        if (top->child_count == 0) {
            leaves++;
            depth--;
        } else if (at[depth - 1] < top->child_count && depth < DL_COLUMNAR_DEPTH_LIMIT) {
            stack[depth] = &top->children[at[depth - 1]++];
            at[depth++] = 0;
        } else {
            depth--;
        }
    }
    return leaves;
}

static const char *type_name(dl_columnar_type type)
{
    switch ((int)type) {
    case DL_COLUMNAR_STRING:
        return "string";
    case DL_COLUMNAR_INT64:
        return "long";
    case DL_COLUMNAR_DOUBLE:
        return "double";
    case DL_COLUMNAR_DATE:
        return "date";
    case DL_COLUMNAR_TIMESTAMP:
        return "timestamp";
    case DL_COLUMNAR_BOOL:
        return "boolean";
    case DL_COLUMNAR_LIST:
        return "array<string>";
    default:
        return "map<string, struct<vr: string, Value: array<string>>>";
    }
}

static const dl_project_column *known(dl_project_columns columns, dl_str name)
{
    for (size_t i = 0; i < columns.count; i++) {
        if (dl_str_eq_nocase(name, dl_str_of(columns.items[i].name))) {
            return &columns.items[i];
        }
    }
    return NULL;
}

static bool is_string(const dl_columnar_field *field)
{
    return field->type == DL_COLUMNAR_STRING;
}

static bool is_strings(const dl_columnar_field *field)
{
    return field->type == DL_COLUMNAR_LIST && field->child_count == 1 &&
           is_string(&field->children[0]) && !field->children[0].required;
}

/** Whether the field is the metadata map; the levels and leaves (from `leaf`) go into the binding.
 */
static bool bind_metadata(dl_project_binding *b, const dl_columnar_field *field, size_t leaf)
{
    if (field->type != DL_COLUMNAR_MAP || field->child_count != 2 ||
        !is_string(&field->children[0]) || field->children[1].type != DL_COLUMNAR_STRUCT ||
        field->children[1].child_count != 2) {
        return false;
    }
    const dl_columnar_field *value = &field->children[1];
    bool vr_first = dl_str_eq_nocase(value->children[0].name, DL_STR("vr"));
    const dl_columnar_field *vr = &value->children[vr_first ? 0 : 1];
    const dl_columnar_field *list = &value->children[vr_first ? 1 : 0];
    if (!dl_str_eq_nocase(vr->name, DL_STR("vr")) || !is_string(vr) || vr->required ||
        !dl_str_eq_nocase(list->name, DL_STR("value")) || !is_strings(list) || list->required) {
        return false;
    }
    b->metadata.key = leaf;
    b->metadata.vr = leaf + (vr_first ? 1 : 2);
    b->metadata.element = leaf + (vr_first ? 2 : 1);
    b->metadata.entry = field->required ? 0 : 1;
    b->metadata.value = (uint8_t)(b->metadata.entry + 1 + (value->required ? 0 : 1));
    b->metadata.list = (uint8_t)(b->metadata.value + 1);
    return true;
}

static bool type_fits(dl_project_binding *b, const dl_project_column *column,
                      const dl_columnar_field *field, size_t leaf)
{
    if (column->type == DL_COLUMNAR_MAP) {
        return bind_metadata(b, field, leaf);
    }
    return column->type == DL_COLUMNAR_LIST ? is_strings(field) : field->type == column->type;
}

/** Never NULL in a row of ours. */
static bool is_always_there(const dl_project_column *column)
{
    return column->from <= DL_PROJECT_CREATED || column->from == DL_PROJECT_SERIES_COUNT ||
           column->from == DL_PROJECT_INSTANCE_COUNT;
}

static dl_status refuse_null(dl_str name, dl_error *err)
{
    (void)dl_error_set(err, DL_E_INVALID,
                       "column '%.*s' of the table is NOT NULL, and rows may lack it",
                       DL_STR_ARG(name));
    dl_error_hint(err,
                  "drop the constraint (ALTER COLUMN ... DROP NOT NULL), or use another table");
    return DL_E_INVALID;
}

static dl_status bind_column(dl_project_binding *b, const dl_project_column *column,
                             const dl_delta_column *real, size_t leaf, dl_error *err)
{
    if (!type_fits(b, column, &real->field, leaf)) {
        (void)dl_error_set(err, DL_E_INVALID, "column '%.*s' of the table is %.*s, not %s",
                           DL_STR_ARG(real->name), DL_STR_ARG(real->type_json),
                           type_name(column->type));
        dl_error_hint(err, "name another table, or a configured column otherwise");
        return DL_E_INVALID;
    }
    if (!real->nullable && !is_always_there(column)) {
        return refuse_null(real->name, err);
    }
    if (!real->partition) {
        b->bound[b->bound_count++] =
            (dl_project_bound){.column = column, .leaf = leaf, .def = real->field.required ? 0 : 1};
    }
    return DL_OK;
}

static dl_status bind_all(dl_project_binding *b, const dl_delta_column *columns, size_t count,
                          dl_error *err)
{
    size_t leaf = 0;
    for (size_t i = 0; i < count; i++) {
        const dl_project_column *column = known(b->project->tables[b->kind], columns[i].name);
        size_t leaves = columns[i].partition ? 0 : leaves_of(&columns[i].field);
        if (column != NULL) {
            DL_TRY(bind_column(b, column, &columns[i], leaf, err));
        } else if (!columns[i].nullable) {
            return refuse_null(columns[i].name, err);
        } else {
            for (size_t k = 0; k < leaves; k++) {
                b->unknown[b->unknown_count++] = leaf + k;
            }
        }
        leaf += leaves;
    }
    return DL_OK;
}

/* ---- wanted attributes ---- */

static int compare_tags(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void bind_wanted(dl_project_binding *b)
{
    size_t count = 0;
    for (size_t i = 0; i < b->bound_count; i++) {
        if (b->kind == DL_STATE_INSTANCE && b->bound[i].column->tag != 0) {
            b->wanted[count++] = b->bound[i].column->tag;
        }
    }
    qsort(b->wanted, count, sizeof *b->wanted, compare_tags);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || b->wanted[i] != b->wanted[i - 1]) {
            b->wanted[b->wanted_count++] = b->wanted[i];
        }
    }
    DL_ASSERT(b->wanted_count < DL_PROJECT_WANTED_LIMIT);
    for (size_t i = 0; i < b->bound_count; i++) {
        while (b->kind == DL_STATE_INSTANCE && b->bound[i].column->tag != 0 &&
               b->wanted[b->bound[i].wanted] != b->bound[i].column->tag) {
            b->bound[i].wanted++;
        }
    }
}

/* ---- columns that are read back ---- */

static int role_of_tag(const dl_project_column *column)
{
    switch (column->tag) {
    case 0x00080020:
        return column->type == DL_COLUMNAR_DATE ? DL_PROJECT_READ_DATE : DL_PROJECT_READ_DATE_TEXT;
    case 0x00081030:
        return DL_PROJECT_READ_DESCRIPTION;
    case 0x00100021:
        return DL_PROJECT_READ_ISSUER;
    case 0x00100020:
        return DL_PROJECT_READ_PATIENT_ID;
    case 0x00100010:
        return DL_PROJECT_READ_PATIENT_NAME;
    case 0x00080060:
        return DL_PROJECT_READ_MODALITY;
    default:
        return -1;
    }
}

static int role_of(const dl_project_column *column)
{
    switch (column->from) {
    case DL_PROJECT_PARTITION:
        return DL_PROJECT_READ_PARTITION;
    case DL_PROJECT_STUDY_UID:
        return DL_PROJECT_READ_STUDY;
    case DL_PROJECT_SERIES_UID:
        return DL_PROJECT_READ_SERIES;
    case DL_PROJECT_SOP_UID:
        return DL_PROJECT_READ_SOP;
    case DL_PROJECT_TIME:
        return DL_PROJECT_READ_TIME;
    case DL_PROJECT_CREATED:
        return DL_PROJECT_READ_CREATED;
    case DL_PROJECT_SERIES_COUNT:
        return DL_PROJECT_READ_SERIES_COUNT;
    case DL_PROJECT_INSTANCE_COUNT:
        return DL_PROJECT_READ_INSTANCE_COUNT;
    case DL_PROJECT_FIRST:
    case DL_PROJECT_NAME:
    case DL_PROJECT_SHOWN:
        return role_of_tag(column);
    case DL_PROJECT_FILE_PATH:
    case DL_PROJECT_METADATA:
    case DL_PROJECT_METADATA_TEXT:
    case DL_PROJECT_CONFIGURED:
    default:
        return -1;
    }
}

static dl_status bind_reads(dl_project_binding *b, const dl_delta_column *columns, size_t count,
                            dl_error *err)
{
    const dl_str *names[DL_PROJECT_ROLES] = {NULL};
    for (size_t i = 0; i < count; i++) {
        const dl_project_column *column = known(b->project->tables[b->kind], columns[i].name);
        int role = column == NULL ? -1 : role_of(column);
        if (role >= 0) {
            names[role] = &columns[i].name;
            b->read_def[role] = columns[i].field.required ? 0 : 1;
        }
    }
    if (names[DL_PROJECT_READ_DATE_TEXT] != NULL) {
        names[DL_PROJECT_READ_DATE] = NULL; /* the text says more */
    }
    for (int role = 0; role < DL_PROJECT_ROLES; role++) {
        b->read_at[role] = -1;
        if (names[role] != NULL) {
            b->read_at[role] = (int)b->read_count;
            DL_TRY(dl_arena_copy(b->arena, *names[role], &b->reads[b->read_count++], err));
        }
    }
    return DL_OK;
}

static dl_status check_keys(const dl_project_binding *b, dl_error *err)
{
    dl_project_columns columns = b->project->tables[b->kind];
    for (size_t i = 0; i < columns.count; i++) {
        int role = role_of(&columns.items[i]);
        if (columns.items[i].from <= DL_PROJECT_TIME && b->read_at[role] < 0) {
            (void)dl_error_set(err, DL_E_INVALID, "the table has no column '%s'",
                               columns.items[i].name);
            dl_error_hint(err, "name another table: this one is none of the template's");
            return DL_E_INVALID;
        }
    }
    return DL_OK;
}

/* ---- creation ---- */

static dl_status make_room(dl_project_binding *b, const dl_delta_column *columns, size_t count,
                           dl_error *err)
{
    size_t leaves = 0;
    for (size_t i = 0; i < count; i++) {
        leaves += leaves_of(&columns[i].field);
    }
    b->arena = dl_arena_create(ARENA_LIMIT_BYTES);
    if (b->arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "projection: out of memory");
    }
    b->bound = dl_arena_alloc(b->arena, count + 1, sizeof *b->bound);
    b->unknown = dl_arena_alloc(b->arena, leaves + 1, sizeof *b->unknown);
    b->wanted = dl_arena_alloc(b->arena, count + 1, sizeof *b->wanted);
    b->reads = dl_arena_alloc(b->arena, DL_PROJECT_ROLES, sizeof *b->reads);
    return b->bound == NULL || b->unknown == NULL || b->wanted == NULL || b->reads == NULL
               ? dl_arena_full(b->arena, err)
               : DL_OK;
}

dl_status dl_project_bind(const dl_project *project, dl_state_kind kind,
                          const dl_delta_column *columns, size_t column_count,
                          dl_project_binding **out_binding, dl_error *err)
{
    DL_AUTO(dl_project_binding) b = dl_mem_zalloc(1, sizeof *b);
    if (b == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "projection: out of memory");
    }
    b->project = project;
    b->kind = kind;
    DL_TRY(make_room(b, columns, column_count, err));
    DL_TRY(bind_reads(b, columns, column_count, err));
    DL_TRY(check_keys(b, err));
    DL_TRY(bind_all(b, columns, column_count, err));
    bind_wanted(b);
    *out_binding = DL_STEAL(b);
    return DL_OK;
}

void dl_project_binding_destroy(dl_project_binding *binding)
{
    if (binding != NULL) {
        dl_arena_destroy(binding->arena);
        dl_mem_free(binding);
    }
}
