/* What a statement reads: tables, and that every function and node is one that we know. */
#include "query/plan_internal.h"

#include <string.h>

enum { TABLES_LIMIT = 1000, SPARK_LIMIT = 200 };

/* ---- what may stand in a tree ---- */

static bool is_one_of(dl_str text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (dl_str_eq(text, dl_str_of(words[i]))) {
            return true;
        }
    }
    return false;
}

static const char *const expression_classes[] = {"BETWEEN",
                                                 "CASE",
                                                 "CAST",
                                                 "COLLATE",
                                                 "COLUMN_REF",
                                                 "COMPARISON",
                                                 "CONJUNCTION",
                                                 "CONSTANT",
                                                 "FUNCTION",
                                                 "LAMBDA",
                                                 "LAMBDA_REF",
                                                 "OPERATOR",
                                                 "POSITIONAL_REFERENCE",
                                                 "STAR",
                                                 "SUBQUERY",
                                                 "TYPE",
                                                 "WINDOW"};

/* Of objects without a class: nodes, tables, modifiers, orders, what belongs to types. */
static const char *const node_types[] = {"SELECT_NODE",
                                         "SET_OPERATION_NODE",
                                         "RECURSIVE_CTE_NODE",
                                         "CTE_NODE",
                                         "BASE_TABLE",
                                         "SUBQUERY",
                                         "JOIN",
                                         "TABLE_FUNCTION",
                                         "EXPRESSION_LIST",
                                         "EMPTY",
                                         "EMPTY_FROM",
                                         "SHOW_REF",
                                         "PIVOT",
                                         "ORDER_MODIFIER",
                                         "LIMIT_MODIFIER",
                                         "LIMIT_PERCENT_MODIFIER",
                                         "DISTINCT_MODIFIER",
                                         "ORDER_DEFAULT",
                                         "ASCENDING",
                                         "DESCENDING",
                                         "DECIMAL_TYPE_INFO",
                                         "LIST_TYPE_INFO",
                                         "STRUCT_TYPE_INFO",
                                         "ARRAY_TYPE_INFO",
                                         "STRING_TYPE_INFO",
                                         "UNBOUND_TYPE_INFO",
                                         "GENERIC_TYPE_INFO",
                                         "USER_TYPE_INFO",
                                         "INTEGER_LITERAL_TYPE_INFO"};

static dl_status unknown(dl_plan_tree *tree, uint32_t node, dl_str what)
{
    tree->at = dl_plan_location(tree, node);
    return dl_error_set(tree->err, DL_E_DENIED, "%.*s is not possible here",
                        DL_STR_ARG(dl_str_slice(what, 0, 60)));
}

/* A macro's arguments are all that it takes; the engine's error for more tells nobody anything. */
static dl_status check_spark(dl_plan_tree *tree, uint32_t node, dl_str name)
{
    uint32_t orders = dl_plan_get(tree, dl_plan_get(tree, node, "order_bys"), "orders");
    if (!dl_plan_member_is(tree, node, "class", "WINDOW") &&
        dl_plan_member_is_empty(tree, node, "distinct") &&
        dl_plan_member_is_empty(tree, node, "filter") &&
        tree->nodes[orders].first == DL_PLAN_NODE_NONE) {
        return DL_OK;
    }
    dl_status status = dl_error_set(
        tree->err, DL_E_UNSUPPORTED,
        "%.*s takes neither DISTINCT nor ORDER BY nor FILTER nor OVER here", DL_STR_ARG(name));
    dl_error_hint(tree->err,
                  "write list(DISTINCT x) FILTER (x IS NOT NULL), approx_quantile(x, 0.5) "
                  "OVER (...)");
    return status;
}

static dl_status check_function(dl_plan_tree *tree, uint32_t node)
{
    dl_str name = DL_STR_NONE;
    uint32_t parent = tree->nodes[node].parent;
    tree->at = dl_plan_location(tree, node);
    DL_TRY(dl_plan_member_text(tree, node, "function_name", &name));
    bool is_table = dl_plan_member_is(tree, parent, "type", "TABLE_FUNCTION") &&
                    dl_plan_get(tree, parent, "function") == node;
    if (is_table) {
        return dl_plan_allow_table_function(name, tree->err);
    }
    DL_TRY(dl_plan_allow_function(name, tree->err));
    return dl_functions_is_spark(name) ? check_spark(tree, node, name) : DL_OK;
}

static dl_status check_node(dl_plan_tree *tree, uint32_t node)
{
    dl_str text = DL_STR_NONE;
    if (tree->nodes[node].kind != DL_JSON_OBJECT) {
        return DL_OK;
    }
    if (dl_plan_get(tree, node, "class") != DL_PLAN_NODE_NONE) {
        DL_TRY(dl_plan_member_text(tree, node, "class", &text));
        if (dl_str_eq(text, DL_STR("PARAMETER"))) {
            tree->at = dl_plan_location(tree, node);
            return dl_error_set(tree->err, DL_E_UNSUPPORTED,
                                "parameters (?, $1, $name) have no values here");
        }
        if (!is_one_of(text, expression_classes, DL_COUNT_OF(expression_classes))) {
            return unknown(tree, node, text);
        }
        bool calls = dl_str_eq(text, DL_STR("FUNCTION")) || dl_str_eq(text, DL_STR("WINDOW"));
        return calls ? check_function(tree, node) : DL_OK;
    }
    DL_TRY(dl_plan_member_text(tree, node, "type", &text));
    if (dl_str_eq(text, DL_STR("SHOW_REF")) && dl_plan_member_is_empty(tree, node, "query")) {
        return unknown(tree, node, DL_STR("SHOW inside a question")); /* it sees the engine */
    }
    if (text.len > 0 && !is_one_of(text, node_types, DL_COUNT_OF(node_types))) {
        return unknown(tree, node, text);
    }
    return DL_OK;
}

/* ---- tables ---- */

/* Whether a name of WITH, seen from the query below `from` (a child of `map`), is `name`. */
static bool is_in_map(const dl_plan_tree *tree, uint32_t map, uint32_t from, dl_str name)
{
    for (uint32_t entry = tree->nodes[map].first; entry != DL_PLAN_NODE_NONE;
         entry = tree->nodes[entry].next) {
        if (entry == from) {
            return false; /* it and those after it are not known to it */
        }
        dl_str key = DL_STR_NONE;
        if (dl_plan_member_text(tree, entry, "key", &key) == DL_OK && dl_str_eq_nocase(key, name)) {
            return true;
        }
    }
    return false;
}

/* Whether a table's name is one of WITH where it stands: up through all that is round it. */
static bool is_of_with(const dl_plan_tree *tree, uint32_t node, dl_str name)
{
    for (uint32_t below = node; below != DL_PLAN_NODE_NONE; below = tree->nodes[below].parent) {
        uint32_t up = tree->nodes[below].parent;
        dl_str cte = DL_STR_NONE;
        if (dl_plan_member_is(tree, up, "type", "RECURSIVE_CTE_NODE") &&
            dl_plan_member_text(tree, up, "cte_name", &cte) == DL_OK &&
            dl_str_eq_nocase(cte, name)) {
            return true;
        }
        uint32_t map = dl_plan_get(tree, up, "cte_map");
        if (map != DL_PLAN_NODE_NONE && map != below &&
            is_in_map(tree, dl_plan_get(tree, map, "map"), DL_PLAN_NODE_NONE, name)) {
            return true;
        }
        if (dl_str_eq(tree->nodes[up].key, DL_STR("map")) && is_in_map(tree, up, below, name)) {
            return true;
        }
    }
    return false;
}

typedef struct table_list {
    dl_plan_table *tables;
    uint32_t *refs; /* of each the node; DL_PLAN_NODE_NONE: its name stands there twice */
    size_t count;
} table_list;

static dl_status read_table(dl_plan_tree *tree, uint32_t node, dl_plan_table *out)
{
    *out = (dl_plan_table){.at = dl_plan_location(tree, node)};
    tree->at = out->at;
    if (!dl_plan_member_is_empty(tree, node, "at_clause")) {
        dl_status status =
            dl_error_set(tree->err, DL_E_UNSUPPORTED, "AT (VERSION ...) is not known here");
        dl_error_hint(tree->err, "write FROM table VERSION AS OF 3");
        return status;
    }
    DL_TRY(dl_plan_member_text(tree, node, "table_name", &out->name));
    DL_TRY(dl_plan_member_text(tree, node, "schema_name", &out->schema));
    DL_TRY(dl_plan_member_text(tree, node, "alias", &out->alias));
    if (!dl_plan_member_is_empty(tree, node, "catalog_name")) {
        dl_status status =
            dl_error_set(tree->err, DL_E_NOT_FOUND, "a table's name has one or two parts");
        dl_error_hint(tree->err, "write table or lakehouse.table");
        return status;
    }
    return DL_OK;
}

static dl_status add_table(dl_plan_tree *tree, table_list *list, uint32_t node)
{
    dl_plan_table table;
    bool known = false, twice = false;
    DL_TRY(read_table(tree, node, &table));
    bool bare = table.schema.len == 0 || dl_str_eq_nocase(table.schema, DL_STR("recurring"));
    if (bare && is_of_with(tree, node, table.name)) {
        return DL_OK;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (dl_str_eq_nocase(list->tables[i].name, table.name)) {
            twice = true; /* whatever the schema: it may be one table */
            list->refs[i] = DL_PLAN_NODE_NONE;
            known = known || dl_str_eq_nocase(list->tables[i].schema, table.schema);
        }
    }
    if (known) {
        return DL_OK;
    }
    if (list->count == TABLES_LIMIT) {
        return dl_error_set(tree->err, DL_E_LIMIT, "the statement names more than %d tables",
                            TABLES_LIMIT);
    }
    list->refs[list->count] = twice ? DL_PLAN_NODE_NONE : node;
    list->tables[list->count++] = table;
    return DL_OK;
}

static bool is_table(const dl_plan_tree *tree, uint32_t node)
{
    return tree->nodes[node].kind == DL_JSON_OBJECT &&
           dl_plan_member_is(tree, node, "type", "BASE_TABLE") &&
           dl_plan_get(tree, node, "class") == DL_PLAN_NODE_NONE;
}

/* What the parser says instead of a tree. */
static dl_status read_refusal(dl_plan_tree *tree)
{
    dl_str message = DL_STR_NONE, position = DL_STR_NONE;
    uint64_t at = 0;
    DL_TRY(dl_plan_member_text(tree, 0, "error_message", &message));
    DL_TRY(dl_plan_member_text(tree, 0, "position", &position));
    if (dl_str_to_u64(position, &at)) {
        tree->at = (size_t)at;
    }
    if (dl_plan_member_is(tree, 0, "error_type", "not implemented")) {
        return dl_error_set(tree->err, DL_E_DENIED,
                            "this is no question: SQL reads, it changes nothing");
    }
    if (message.len == 0) {
        message = DL_STR("the statement cannot be read");
    }
    return dl_error_set(tree->err, DL_E_INVALID, "%.*s", DL_STR_ARG(message));
}

static dl_status check_root(dl_plan_tree *tree)
{
    uint32_t failed = dl_plan_get(tree, 0, "error");
    if (failed != DL_PLAN_NODE_NONE && dl_str_eq(tree->nodes[failed].value, DL_STR("true"))) {
        return read_refusal(tree);
    }
    uint32_t first = tree->nodes[dl_plan_get(tree, 0, "statements")].first;
    if (dl_plan_get(tree, 0, "statements") == DL_PLAN_NODE_NONE || first == DL_PLAN_NODE_NONE) {
        return dl_error_set(tree->err, DL_E_CORRUPT, "the statement's tree holds no statement");
    }
    if (tree->nodes[first].next != DL_PLAN_NODE_NONE) {
        return dl_error_set(tree->err, DL_E_DENIED, "give one statement at a time");
    }
    return DL_OK;
}

/* Spark's functions, each once. */
static dl_status read_spark(dl_plan_tree *tree, dl_plan *plan)
{
    dl_str *names = dl_arena_alloc(tree->arena, SPARK_LIMIT, sizeof *names);
    size_t count = 0;
    if (names == NULL) {
        return dl_arena_full(tree->arena, tree->err);
    }
    for (uint32_t node = 0; node < tree->count; node++) {
        dl_str name = DL_STR_NONE;
        if (dl_plan_get(tree, node, "function_name") == DL_PLAN_NODE_NONE) {
            continue;
        }
        DL_TRY(dl_plan_member_text(tree, node, "function_name", &name));
        size_t i = 0;
        while (i < count && !dl_str_eq_nocase(names[i], name)) {
            i++;
        }
        if (i == count && count < SPARK_LIMIT && dl_functions_is_spark(name)) {
            names[count++] = name;
        }
    }
    plan->spark = names;
    plan->spark_count = count;
    return DL_OK;
}

static dl_status read_tables(dl_plan_tree *tree, table_list *list)
{
    size_t named = 0;
    for (uint32_t node = 0; node < tree->count; node++) {
        DL_TRY(check_node(tree, node));
        named += is_table(tree, node);
    }
    size_t room = named < TABLES_LIMIT ? named : TABLES_LIMIT;
    list->tables = dl_arena_alloc(tree->arena, room + 1, sizeof *list->tables);
    list->refs = dl_arena_alloc(tree->arena, room + 1, sizeof *list->refs);
    if (list->tables == NULL || list->refs == NULL) {
        return dl_arena_full(tree->arena, tree->err);
    }
    for (uint32_t node = 0; node < tree->count; node++) {
        if (is_table(tree, node)) {
            DL_TRY(add_table(tree, list, node));
        }
    }
    return DL_OK;
}

dl_status dl_plan_read(dl_str tree_json, dl_arena *arena, dl_plan *out, size_t *out_at,
                       dl_error *err)
{
    dl_plan_tree tree = {.arena = arena, .at = SIZE_MAX, .err = err};
    table_list list = {0};
    dl_status status = dl_plan_tree_read(&tree, tree_json);
    if (status == DL_OK) {
        status = check_root(&tree);
    }
    if (status == DL_OK) {
        status = read_tables(&tree, &list);
    }
    if (status == DL_OK) {
        status = dl_plan_conditions_read(&tree, list.tables, list.refs, list.count);
    }
    dl_plan plan = {.tables = list.tables, .table_count = list.count};
    if (status == DL_OK) {
        status = read_spark(&tree, &plan);
    }
    if (status == DL_OK) {
        *out = plan;
    } else if (out_at != NULL) {
        *out_at = tree.at;
    }
    return status;
}
