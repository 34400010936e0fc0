/* Two schemas to one (schema evolution): the current one keeps its names, order and properties, new
 * columns go to the end. Both are trees of what stands in the JSON, worked on without recursion. */
#include "delta/internal.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

typedef enum shape {
    PRIMITIVE,
    STRUCT,
    ARRAY,
    MAP,
} shape;

/* A type; as a member of a struct also a name, nullability and properties. */
typedef struct node {
    shape shape;
    dl_str type;     /* PRIMITIVE: its text in JSON, with quotes */
    dl_str name;     /* of a member, unescaped */
    dl_str metadata; /* of a member: JSON */
    bool nullable;   /* of a member; of an array's element or map's value: may it be NULL */
    size_t depth;
    struct node *first, *last; /* members; element; key and value */
    struct node *next;
} node;

/* Work to do: pairs to merge, or types to read. */
typedef struct work {
    node *to, *from;
    dl_str json;
    struct work *next;
} work;

typedef struct merger {
    dl_arena *arena;
    dl_error *err;
    const char *which; /* the schema that is read, for messages */
    work *todo;
    size_t nodes;
    bool changed;
    int64_t last_id; /* the highest delta.columnMapping.id; 0: none, not mapped */
} merger;

enum { NODE_LIMIT = 4 * DL_COLUMNAR_LEAF_LIMIT, PATH_SIZE = 200 };

static dl_status invalid(const merger *m, const char *what)
{
    return dl_error_set(m->err, DL_E_INVALID, "the %s schema: %s", m->which, what);
}

static dl_status push(merger *m, node *to, node *from, dl_str json)
{
    work *w = dl_arena_alloc(m->arena, 1, sizeof *w);
    if (w == NULL) {
        return dl_arena_full(m->arena, m->err);
    }
    *w = (work){to, from, json, m->todo};
    m->todo = w;
    return DL_OK;
}

static work *pop(merger *m)
{
    work *w = m->todo;
    if (w != NULL) {
        m->todo = w->next;
    }
    return w;
}

/* ---- reading ---- */

static dl_status add_child(merger *m, node *parent, dl_str type, node **out_child)
{
    if (parent->depth == DL_COLUMNAR_DEPTH_LIMIT || ++m->nodes > NODE_LIMIT) {
        return dl_error_set(m->err, DL_E_LIMIT,
                            "the %s schema nests deeper than %d or has more than %d fields",
                            m->which, DL_COLUMNAR_DEPTH_LIMIT, NODE_LIMIT);
    }
    node *child = dl_arena_alloc(m->arena, 1, sizeof *child);
    if (child == NULL) {
        return dl_arena_full(m->arena, m->err);
    }
    *child = (node){.nullable = true, .depth = parent->depth + 1};
    if (parent->last == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
    DL_TRY(push(m, child, NULL, type));
    *out_child = child;
    return DL_OK;
}

static void note_id(merger *m, dl_str metadata)
{
    dl_str value = DL_STR_NONE;
    int64_t id = 0;
    if (dl_json_get(metadata, DL_STR("delta.columnMapping.id"), &value) &&
        dl_json_int_of(value, &id) && id > m->last_id) {
        m->last_id = id;
    }
}

static dl_status read_members(merger *m, node *to, dl_str json)
{
    dl_str fields = DL_STR_NONE, field = DL_STR_NONE;
    if (!dl_json_get(json, DL_STR("fields"), &fields) || dl_json_kind_of(fields) != DL_JSON_ARRAY) {
        return invalid(m, "a struct without fields");
    }
    to->shape = STRUCT;
    for (dl_json_iter iter = dl_json_iter_of(fields); dl_json_next_element(&iter, &field);) {
        dl_str name = DL_STR_NONE, type = DL_STR_NONE, value = DL_STR_NONE;
        node *child = NULL;
        if (!dl_json_get(field, DL_STR("name"), &name) || dl_json_kind_of(name) != DL_JSON_STRING ||
            !dl_json_get(field, DL_STR("type"), &type)) {
            return invalid(m, "a field without name or type");
        }
        DL_TRY(add_child(m, to, type, &child));
        DL_TRY(dl_json_text(name, m->arena, &child->name, m->err));
        if (child->name.len == 0) {
            return invalid(m, "a field with an empty name");
        }
        if (dl_json_get(field, DL_STR("nullable"), &value)) {
            (void)dl_json_bool_of(value, &child->nullable);
        }
        child->metadata = DL_STR("{}");
        if (dl_json_get(field, DL_STR("metadata"), &value) &&
            dl_json_kind_of(value) == DL_JSON_OBJECT) {
            child->metadata = value;
            note_id(m, value);
        }
    }
    return DL_OK;
}

static dl_status read_part(merger *m, node *to, dl_str json, const char *type, const char *null)
{
    dl_str inner = DL_STR_NONE, value = DL_STR_NONE;
    node *child = NULL;
    if (!dl_json_get(json, dl_str_of(type), &inner)) {
        return invalid(m, "an array or map without the type of what it holds");
    }
    DL_TRY(add_child(m, to, inner, &child));
    if (null == NULL) {
        child->nullable = false;
    } else if (dl_json_get(json, dl_str_of(null), &value)) {
        (void)dl_json_bool_of(value, &child->nullable);
    }
    return DL_OK;
}

static dl_status read_type(merger *m, node *to, dl_str json)
{
    dl_str kind = DL_STR_NONE;
    if (dl_json_kind_of(json) == DL_JSON_STRING) {
        to->type = json;
        return DL_OK;
    }
    if (!dl_json_get(json, DL_STR("type"), &kind)) {
        return invalid(m, "a type that is neither a name nor an object with a type");
    }
    if (dl_str_eq(kind, DL_STR("\"struct\""))) {
        return read_members(m, to, json);
    }
    if (dl_str_eq(kind, DL_STR("\"array\""))) {
        to->shape = ARRAY;
        return read_part(m, to, json, "elementType", "containsNull");
    }
    if (dl_str_eq(kind, DL_STR("\"map\""))) {
        to->shape = MAP;
        DL_TRY(read_part(m, to, json, "keyType", NULL));
        return read_part(m, to, json, "valueType", "valueContainsNull");
    }
    return invalid(m, "a type that is not known");
}

static dl_status read_schema(merger *m, const char *which, dl_str json, node **out_root)
{
    dl_error cause = {0};
    m->which = which;
    if (dl_json_check(json, &cause) != DL_OK) {
        return invalid(m, cause.message);
    }
    node *root = dl_arena_alloc(m->arena, 1, sizeof *root);
    if (root == NULL) {
        return dl_arena_full(m->arena, m->err);
    }
    DL_TRY(push(m, root, NULL, json));
    for (work *w = pop(m); w != NULL; w = pop(m)) {
        DL_TRY(read_type(m, w->to, w->json));
    }
    if (root->shape != STRUCT) {
        return invalid(m, "it is no struct");
    }
    *out_root = root;
    return DL_OK;
}

/* ---- merging ---- */

static const char *shape_text(const node *n, char out[PATH_SIZE])
{
    static const char *const names[] = {
        [PRIMITIVE] = "", [STRUCT] = "struct", [ARRAY] = "array", [MAP] = "map"};
    if (n->shape != PRIMITIVE) {
        return names[n->shape];
    }
    (void)snprintf(out, PATH_SIZE, "%.*s", DL_STR_ARG(n->type));
    return out;
}

static dl_status differ(const merger *m, dl_str column, const node *current, const node *incoming)
{
    char left[PATH_SIZE], right[PATH_SIZE];
    return dl_error_set(m->err, DL_E_INVALID,
                        "the column '%.*s' is %s in the table and %s in what comes in",
                        DL_STR_ARG(column), shape_text(current, left), shape_text(incoming, right));
}

/* 1, 2, 3 for those that Parquet stores in 32 bits; 0 for the rest. */
static int int_rank(dl_str type)
{
    return dl_str_eq(type, DL_STR("\"byte\""))      ? 1
           : dl_str_eq(type, DL_STR("\"short\""))   ? 2
           : dl_str_eq(type, DL_STR("\"integer\"")) ? 3
                                                    : 0;
}

static dl_status merge_primitive(merger *m, node *to, const node *from, dl_str column)
{
    if (dl_str_eq(to->type, from->type)) {
        return DL_OK;
    }
    int left = int_rank(to->type), right = int_rank(from->type);
    if (left == 0 || right == 0) {
        return differ(m, column, to, from);
    }
    if (right > left) {
        to->type = from->type;
        m->changed = true;
    }
    return DL_OK;
}

static node *find_member(const node *parent, dl_str name)
{
    for (node *n = parent->first; n != NULL; n = n->next) {
        if (dl_str_eq(n->name, name)) {
            return n;
        }
    }
    for (node *n = parent->first; n != NULL; n = n->next) {
        if (dl_str_eq_nocase(n->name, name)) {
            return n;
        }
    }
    return NULL;
}

/* Everything new may be NULL: older rows do not have it. */
static dl_status adopt(merger *m, node *parent, node *child)
{
    node *copy = dl_arena_alloc(m->arena, 1, sizeof *copy);
    if (copy == NULL) {
        return dl_arena_full(m->arena, m->err);
    }
    *copy = *child;
    copy->next = NULL;
    copy->nullable = true;
    if (parent->last == NULL) {
        parent->first = copy;
    } else {
        parent->last->next = copy;
    }
    parent->last = copy;
    m->changed = true;
    return DL_OK;
}

static dl_status merge_members(merger *m, node *to, node *from)
{
    for (node *child = from->first; child != NULL; child = child->next) {
        node *known = find_member(to, child->name);
        if (known == NULL) {
            DL_TRY(adopt(m, to, child));
        } else {
            DL_TRY(push(m, known, child, known->name));
        }
    }
    return DL_OK;
}

/* `json` of the work is the column's name here, for messages. */
static dl_status merge_types(merger *m, const work *w)
{
    if (w->to->shape != w->from->shape) {
        return differ(m, w->json, w->to, w->from);
    }
    if (w->to->shape == PRIMITIVE) {
        return merge_primitive(m, w->to, w->from, w->json);
    }
    if (w->to->shape == STRUCT) {
        return merge_members(m, w->to, w->from);
    }
    node *right = w->from->first;
    for (node *left = w->to->first; left != NULL; left = left->next, right = right->next) {
        DL_TRY(push(m, left, right, w->json));
    }
    return DL_OK;
}

/* ---- writing ---- */

/* What is open: a struct's members, an array, a map. */
typedef struct level {
    const node *node;
    const node *next; /* child to write */
} level;

static void begin_type(dl_json_writer *w, const node *n)
{
    static const dl_str kinds[] = {
        [STRUCT] = {"struct", 6}, [ARRAY] = {"array", 5}, [MAP] = {"map", 3}};
    if (n->shape == PRIMITIVE) {
        dl_json_raw(w, n->type);
        return;
    }
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("type"));
    dl_json_string(w, kinds[n->shape]);
    if (n->shape == STRUCT) {
        dl_json_key(w, DL_STR("fields"));
        dl_json_array_begin(w);
    }
}

static void end_type(dl_json_writer *w, const node *n)
{
    if (n->shape == STRUCT) {
        dl_json_array_end(w);
    } else if (n->shape == ARRAY) {
        DL_ASSERT(n->first != NULL);
        dl_json_key(w, DL_STR("containsNull"));
        dl_json_bool(w, n->first->nullable);
    } else if (n->shape == MAP) {
        DL_ASSERT(n->first != NULL && n->first->next != NULL);
        dl_json_key(w, DL_STR("valueContainsNull"));
        dl_json_bool(w, n->first->next->nullable);
    }
    if (n->shape != PRIMITIVE) {
        dl_json_object_end(w);
    }
}

static void begin_child(dl_json_writer *w, const node *parent, const node *child)
{
    if (parent->shape == STRUCT) {
        dl_json_object_begin(w);
        dl_json_key(w, DL_STR("name"));
        dl_json_string(w, child->name);
        dl_json_key(w, DL_STR("type"));
    } else if (parent->shape == ARRAY) {
        dl_json_key(w, DL_STR("elementType"));
    } else {
        dl_json_key(w, child == parent->first ? DL_STR("keyType") : DL_STR("valueType"));
    }
}

static void end_child(dl_json_writer *w, const node *parent, const node *child)
{
    if (parent->shape == STRUCT) {
        dl_json_key(w, DL_STR("nullable"));
        dl_json_bool(w, child->nullable);
        dl_json_key(w, DL_STR("metadata"));
        dl_json_raw(w, child->metadata);
        dl_json_object_end(w);
    }
}

static void write_schema(dl_json_writer *w, const node *root)
{
    level levels[DL_COLUMNAR_DEPTH_LIMIT + 2] = {{root, root->first}};
    size_t depth = 1;
    begin_type(w, root);
    while (depth > 0) {
        level *l = &levels[depth - 1];
        if (l->next != NULL) {
            const node *child = l->next;
            l->next = child->next;
            begin_child(w, l->node, child);
            begin_type(w, child);
            DL_ASSERT(depth < DL_COUNT_OF(levels));
            levels[depth++] = (level){child, child->first};
            continue;
        }
        end_type(w, l->node);
        depth--;
        if (depth > 0) {
            end_child(w, levels[depth - 1].node, l->node);
        }
    }
}

dl_status dl_delta_schema_merge(dl_str current, dl_str incoming, dl_arena *arena,
                                dl_str *out_merged, dl_error *err)
{
    merger m = {.arena = arena, .err = err};
    node *left = NULL, *right = NULL;
    DL_TRY(read_schema(&m, "table's", current, &left));
    int64_t mapped = m.last_id;
    DL_TRY(read_schema(&m, "incoming", incoming, &right));
    DL_TRY(push(&m, left, right, DL_STR("")));
    for (work *w = pop(&m); w != NULL; w = pop(&m)) {
        DL_TRY(merge_types(&m, w));
    }
    if (!m.changed) {
        return dl_arena_copy(arena, current, out_merged, err);
    }
    if (mapped > 0) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "the table's columns are mapped (delta.columnMapping.mode): columns "
                            "are added to it by the engine that made it");
    }
    DL_AUTO_BUF text = {0};
    dl_json_writer w = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    dl_json_writer_init(&w, &text, err);
    write_schema(&w, left);
    DL_TRY(dl_json_writer_status(&w));
    return dl_arena_copy(arena, dl_buf_str(&text), out_merged, err);
}
