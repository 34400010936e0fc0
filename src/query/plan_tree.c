/* The parser's JSON as an array of nodes: one pass, no recursion. */
#include "query/plan_internal.h"

#include <string.h>

enum { NODE_LIMIT = 8 * 1024 * 1024, DEPTH_LIMIT = 20000 };

typedef struct scanner {
    dl_plan_tree *tree;
    dl_str json;
    size_t pos;
    uint32_t cap, depth;
} scanner;

static dl_status broken(const scanner *s)
{
    return dl_error_set(s->tree->err, DL_E_CORRUPT, "the statement's tree is broken at byte %zu",
                        s->pos);
}

static char look(scanner *s)
{
    while (s->pos < s->json.len && (s->json.ptr[s->pos] == ' ' || s->json.ptr[s->pos] == '\n' ||
                                    s->json.ptr[s->pos] == '\r' || s->json.ptr[s->pos] == '\t')) {
        s->pos++;
    }
    return s->pos < s->json.len ? s->json.ptr[s->pos] : '\0';
}

static dl_status take_string(scanner *s, dl_str *out_raw)
{
    size_t at = s->pos;
    if (look(s) != '"') {
        return broken(s);
    }
    for (at = s->pos++; s->pos < s->json.len; s->pos++) {
        if (s->json.ptr[s->pos] == '\\') {
            s->pos++;
        } else if (s->json.ptr[s->pos] == '"') {
            s->pos++;
            *out_raw = dl_str_slice(s->json, at, s->pos - at);
            return DL_OK;
        }
    }
    return broken(s);
}

static dl_status grow(scanner *s)
{
    uint32_t cap = s->cap == 0 ? 256 : s->cap * 2;
    if (s->tree->count < s->cap) {
        return DL_OK;
    }
    dl_plan_node *nodes =
        s->cap >= NODE_LIMIT ? NULL : dl_arena_alloc(s->tree->arena, cap, sizeof *nodes);
    if (nodes == NULL) {
        return dl_error_set(s->tree->err, DL_E_LIMIT,
                            "the statement has more parts than can be read");
    }
    if (s->tree->count > 0) {
        memcpy(nodes, s->tree->nodes, s->tree->count * sizeof *nodes);
    }
    s->tree->nodes = nodes;
    s->cap = cap;
    return DL_OK;
}

static dl_status add(scanner *s, uint32_t parent, dl_str key, uint32_t *out_node)
{
    DL_TRY(grow(s));
    uint32_t node = s->tree->count++;
    dl_plan_node *nodes = s->tree->nodes;
    nodes[node] = (dl_plan_node){.key = key, .parent = parent};
    if (node > 0) {
        if (nodes[parent].last != DL_PLAN_NODE_NONE) {
            nodes[nodes[parent].last].next = node;
        } else {
            nodes[parent].first = node;
        }
        nodes[parent].last = node;
    }
    *out_node = node;
    return DL_OK;
}

static dl_status take_scalar(scanner *s, dl_plan_node *node)
{
    if (look(s) == '"') {
        node->kind = DL_JSON_STRING;
        return take_string(s, &node->value);
    }
    size_t at = s->pos;
    while (s->pos < s->json.len && strchr(",]}: \t\r\n\"", s->json.ptr[s->pos]) == NULL) {
        s->pos++;
    }
    node->value = dl_str_slice(s->json, at, s->pos - at);
    node->kind = dl_json_kind_of(node->value);
    return node->kind == DL_JSON_NONE ? broken(s) : DL_OK;
}

/* One value; an object or array is only begun. `*inout_open` is what it stands in. */
static dl_status take_value(scanner *s, uint32_t *inout_open)
{
    dl_str key = DL_STR_NONE;
    uint32_t node = 0;
    bool is_root = s->tree->count == 0;
    if (!is_root && s->tree->nodes[*inout_open].kind == DL_JSON_OBJECT) {
        DL_TRY(take_string(s, &key));
        key = dl_str_slice(key, 1, key.len - 2);
        if (look(s) != ':') {
            return broken(s);
        }
        s->pos++;
    }
    DL_TRY(add(s, *inout_open, key, &node));
    char c = look(s);
    if (c != '{' && c != '[') {
        return is_root ? broken(s) : take_scalar(s, &s->tree->nodes[node]);
    }
    s->pos++;
    s->tree->nodes[node].kind = c == '{' ? DL_JSON_OBJECT : DL_JSON_ARRAY;
    *inout_open = node;
    if (++s->depth > DEPTH_LIMIT) {
        return dl_error_set(s->tree->err, DL_E_LIMIT, "the statement is nested too deeply");
    }
    return DL_OK;
}

dl_status dl_plan_tree_read(dl_plan_tree *tree, dl_str json)
{
    scanner s = {.tree = tree, .json = json};
    uint32_t open = DL_PLAN_NODE_NONE;
    DL_TRY(take_value(&s, &open));
    while (s.depth > 0) {
        bool is_object = tree->nodes[open].kind == DL_JSON_OBJECT;
        char c = look(&s);
        if (c == (is_object ? '}' : ']')) {
            s.pos++;
            s.depth--;
            open = tree->nodes[open].parent;
            continue;
        }
        if (tree->nodes[open].first != DL_PLAN_NODE_NONE) {
            if (c != ',') {
                return broken(&s);
            }
            s.pos++;
        }
        DL_TRY(take_value(&s, &open));
    }
    return look(&s) == '\0' && s.pos >= json.len ? DL_OK : broken(&s);
}

uint32_t dl_plan_get(const dl_plan_tree *tree, uint32_t object, const char *key)
{
    if (tree->nodes[object].kind != DL_JSON_OBJECT) {
        return DL_PLAN_NODE_NONE;
    }
    dl_str wanted = dl_str_of(key);
    uint32_t node = tree->nodes[object].first;
    while (node != DL_PLAN_NODE_NONE && !dl_str_eq(tree->nodes[node].key, wanted)) {
        node = tree->nodes[node].next;
    }
    return node;
}

bool dl_plan_member_is(const dl_plan_tree *tree, uint32_t object, const char *key, const char *text)
{
    const dl_plan_node *node = &tree->nodes[dl_plan_get(tree, object, key)];
    return node->kind == DL_JSON_STRING &&
           dl_str_eq(dl_str_slice(node->value, 1, node->value.len - 2), dl_str_of(text));
}

dl_status dl_plan_member_text(const dl_plan_tree *tree, uint32_t object, const char *key,
                              dl_str *out_text)
{
    const dl_plan_node *node = &tree->nodes[dl_plan_get(tree, object, key)];
    if (node->kind != DL_JSON_STRING) {
        *out_text = DL_STR_NONE;
        return DL_OK;
    }
    return dl_json_text(node->value, tree->arena, out_text, tree->err);
}

bool dl_plan_member_is_empty(const dl_plan_tree *tree, uint32_t object, const char *key)
{
    const dl_plan_node *node = &tree->nodes[dl_plan_get(tree, object, key)];
    if (node == tree->nodes || node->kind == DL_JSON_NULL) {
        return true;
    }
    if (node->kind == DL_JSON_OBJECT || node->kind == DL_JSON_ARRAY) {
        return node->first == DL_PLAN_NODE_NONE;
    }
    return dl_str_eq(node->value, DL_STR("\"\"")) || dl_str_eq(node->value, DL_STR("false"));
}

size_t dl_plan_location(const dl_plan_tree *tree, uint32_t object)
{
    uint64_t at = 0;
    uint32_t node = dl_plan_get(tree, object, "query_location");
    if (node == DL_PLAN_NODE_NONE || !dl_str_to_u64(tree->nodes[node].value, &at) ||
        at > DL_QUERY_STATEMENT_LIMIT_BYTES * (uint64_t)8) {
        return SIZE_MAX;
    }
    return (size_t)at;
}
