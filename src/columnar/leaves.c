#include "columnar/internal.h"

enum { NODE_LIMIT = DL_COLUMNAR_LEAF_LIMIT * DL_COLUMNAR_DEPTH_LIMIT * 2 };

/* How the children of a level are named in the file. */
typedef enum naming { NAMES_OWN, NAMES_LIST, NAMES_MAP } naming;

typedef struct level {
    const dl_columnar_field *fields;
    size_t count, next;
    size_t parent; /* node */
    naming names;
    uint8_t rep, def;
} level;

typedef struct walk {
    dl_columnar_node *nodes; /* NULL: only count */
    size_t node_count, leaf_count;
    level levels[DL_COLUMNAR_DEPTH_LIMIT];
    size_t depth;
    size_t column;
} walk;

static dl_str name_of(const level *at, const dl_columnar_field *field, size_t index)
{
    switch (at->names) {
    case NAMES_LIST:
        return DL_STR("element");
    case NAMES_MAP:
        return index == 0 ? DL_STR("key") : DL_STR("value");
    case NAMES_OWN:
        break;
    }
    return field->name;
}

static dl_status check_field(const level *at, const dl_columnar_field *field, dl_error *err)
{
    if (at->names == NAMES_OWN && field->name.len == 0) {
        return dl_error_set(err, DL_E_INVALID, "schema: a field has no name");
    }
    size_t low = 0, high = 0;
    if (field->as_json && field->type != DL_COLUMNAR_STRING) {
        return dl_error_set(err, DL_E_INVALID, "schema: field %.*s: JSON is read as a string only",
                            DL_STR_ARG(field->name));
    }
    if (field->type == DL_COLUMNAR_STRUCT) {
        low = 1;
        high = SIZE_MAX;
    } else if (field->type == DL_COLUMNAR_LIST) {
        low = high = 1;
    } else if (field->type == DL_COLUMNAR_MAP) {
        low = high = 2;
    } else if ((int)field->type < 0 || field->type > DL_COLUMNAR_MAP) {
        return dl_error_set(err, DL_E_INVALID, "schema: field %.*s has unknown type %d",
                            DL_STR_ARG(field->name), (int)field->type);
    }
    if (field->child_count < low || field->child_count > high) {
        return dl_error_set(err, DL_E_INVALID,
                            "schema: field %.*s has %zu children; a struct has some, a list one, "
                            "a map two, anything else none",
                            DL_STR_ARG(field->name), field->child_count);
    }
    if (field->type == DL_COLUMNAR_DECIMAL &&
        (field->precision < 1 || field->precision > 38 || field->scale > field->precision)) {
        return dl_error_set(err, DL_E_INVALID,
                            "schema: field %.*s: decimal(%u,%u) is not within decimal(1..38,0..p)",
                            DL_STR_ARG(field->name), field->precision, field->scale);
    }
    return DL_OK;
}

static size_t add_node(walk *w, const dl_columnar_node *node)
{
    if (w->nodes != NULL) {
        w->nodes[w->node_count] = *node;
    }
    return w->node_count++;
}

static dl_status descend(walk *w, const dl_columnar_field *field, naming names, size_t parent,
                         const dl_columnar_node *node, dl_error *err)
{
    if (w->depth == DL_COLUMNAR_DEPTH_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "schema: field %.*s: more than %d levels of nesting",
                            DL_STR_ARG(field->name), DL_COLUMNAR_DEPTH_LIMIT);
    }
    w->levels[w->depth++] = (level){.fields = field->children,
                                    .count = field->child_count,
                                    .parent = parent,
                                    .names = names,
                                    .rep = node->max_rep,
                                    .def = node->max_def};
    return DL_OK;
}

/* The next field of the innermost level, with the groups that the file has for it. */
static dl_status enter(walk *w, level *at, dl_error *err)
{
    size_t index = at->next++;
    const dl_columnar_field *field = &at->fields[index];
    DL_TRY(check_field(at, field, err));
    bool required = field->required || (at->names == NAMES_MAP && index == 0);
    dl_columnar_node node = {
        .name = name_of(at, field, index),
        .field = field,
        .parent = at->parent,
        .column = w->column,
        .child_count = field->type == DL_COLUMNAR_STRUCT ? field->child_count : 0,
        .repetition = required ? DL_COLUMNAR_REQUIRED : DL_COLUMNAR_OPTIONAL,
        .max_rep = at->rep,
        .max_def = (uint8_t)(at->def + (required ? 0 : 1)),
    };
    if (field->type != DL_COLUMNAR_STRUCT && field->type != DL_COLUMNAR_LIST &&
        field->type != DL_COLUMNAR_MAP) {
        (void)add_node(w, &node);
        if (++w->leaf_count > DL_COLUMNAR_LEAF_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "schema: more than %d leaves",
                                DL_COLUMNAR_LEAF_LIMIT);
        }
        return DL_OK;
    }
    if (field->type == DL_COLUMNAR_STRUCT) {
        size_t parent = add_node(w, &node);
        return descend(w, field, NAMES_OWN, parent, &node, err);
    }
    bool list = field->type == DL_COLUMNAR_LIST;
    node.child_count = 1;
    dl_columnar_node group = {
        .name = list ? DL_STR("list") : DL_STR("key_value"),
        .parent = add_node(w, &node),
        .column = w->column,
        .child_count = field->child_count,
        .repetition = DL_COLUMNAR_REPEATED,
        .max_rep = (uint8_t)(node.max_rep + 1),
        .max_def = (uint8_t)(node.max_def + 1),
    };
    size_t parent = add_node(w, &group);
    return descend(w, field, list ? NAMES_LIST : NAMES_MAP, parent, &group, err);
}

static dl_status walk_fields(walk *w, const dl_columnar_field *fields, size_t field_count,
                             dl_error *err)
{
    w->levels[0] =
        (level){.fields = fields, .count = field_count, .parent = SIZE_MAX, .names = NAMES_OWN};
    w->depth = 1;
    while (w->depth > 0) {
        level *at = &w->levels[w->depth - 1];
        if (at->next == at->count) {
            w->depth--;
            continue;
        }
        if (w->depth == 1) {
            w->column = at->next;
        }
        if (w->node_count >= NODE_LIMIT) {
            return dl_error_set(err, DL_E_LIMIT, "schema: more than %d nodes", NODE_LIMIT);
        }
        DL_TRY(enter(w, at, err));
    }
    return DL_OK;
}

dl_status dl_columnar_nodes(const dl_columnar_field *fields, size_t field_count, dl_arena *arena,
                            dl_columnar_node **out_nodes, size_t *out_count, dl_error *err)
{
    if (field_count == 0) {
        return dl_error_set(err, DL_E_INVALID, "schema: no fields");
    }
    walk counting = {0};
    DL_TRY(walk_fields(&counting, fields, field_count, err));
    walk filling = {.nodes = dl_arena_alloc(arena, counting.node_count, sizeof(dl_columnar_node))};
    if (filling.nodes == NULL) {
        return dl_arena_full(arena, err);
    }
    DL_TRY(walk_fields(&filling, fields, field_count, err));
    DL_ASSERT(filling.node_count == counting.node_count);
    *out_nodes = filling.nodes;
    *out_count = filling.node_count;
    return DL_OK;
}

dl_status dl_columnar_leaves(const dl_columnar_field *fields, size_t field_count, dl_arena *arena,
                             dl_columnar_leaf **out_leaves, size_t *out_count, dl_error *err)
{
    dl_columnar_node *nodes = NULL;
    size_t node_count = 0, leaf_count = 0;
    DL_TRY(dl_columnar_nodes(fields, field_count, arena, &nodes, &node_count, err));
    for (size_t i = 0; i < node_count; i++) {
        leaf_count += nodes[i].child_count == 0;
    }
    dl_columnar_leaf *leaves = dl_arena_alloc(arena, leaf_count, sizeof *leaves);
    if (leaves == NULL) {
        return dl_arena_full(arena, err);
    }
    size_t leaf = 0;
    for (size_t i = 0; i < node_count; i++) {
        if (nodes[i].child_count == 0) {
            leaves[leaf++] = (dl_columnar_leaf){.field = nodes[i].field,
                                                .column = nodes[i].column,
                                                .max_rep = nodes[i].max_rep,
                                                .max_def = nodes[i].max_def};
        }
    }
    *out_leaves = leaves;
    *out_count = leaf_count;
    return DL_OK;
}
