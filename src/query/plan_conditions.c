/* Conditions that every row of an answer fulfils, from WHERE and ON.
 *
 * Why leaving out rows that do not fulfil them changes no answer. A condition here compares a
 * column with constants and is never true for NULL.
 *
 * WHERE: above the whole FROM. A row of a table that does not fulfil it cannot be part of a row
 * that passes. Without it an outer join may make a row with NULLs more; for that row the column is
 * NULL, and WHERE drops it too.
 * ON of an inner join: as WHERE, for the tables on both sides of it. ON of a left join: for its
 * right side alone (such rows find no partner in any case); of a right join: the left side.
 * ON of a semi or anti join: the right side.
 *
 * Nothing is taken from OR, NOT, HAVING, QUALIFY, subqueries, calls on the column, or where the
 * number or order of rows matters before WHERE does: samples, positional and ASOF joins. */
#include "query/plan_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    REFS_LIMIT = 64,
    CONJUNCTS_LIMIT = 256,
    CONDITIONS_LIMIT = 512,
    VALUES_LIMIT = 10000,
    PREFIX_LIMIT = 64
};

typedef struct from_ref {
    uint32_t node; /* of a table or what stands like one */
    dl_str alias;  /* by which its columns are called */
    int64_t table; /* index into the plan's tables; -1: none whose files could be left out */
} from_ref;

typedef struct select {
    const dl_plan_tree *tree;
    dl_plan_table *tables;
    const uint32_t *table_nodes;
    size_t table_count;
    from_ref refs[REFS_LIMIT];
    size_t ref_count;
    uint32_t joins[REFS_LIMIT]; /* of this FROM, each before those below it */
    size_t join_count;
    dl_plan_condition *conditions; /* of all tables, with `owner` beside them */
    int64_t *owners;
    size_t condition_count;
} select;

static dl_status out_of_room(const dl_plan_tree *tree)
{
    return dl_arena_full(tree->arena, tree->err);
}

/* ---- FROM ---- */

static int64_t table_of(const select *s, uint32_t node)
{
    for (size_t i = 0; i < s->table_count; i++) {
        if (s->table_nodes[i] == node) {
            return (int64_t)i;
        }
    }
    return -1;
}

static dl_status add_ref(select *s, uint32_t node)
{
    from_ref *ref = &s->refs[s->ref_count++];
    *ref = (from_ref){.node = node, .table = -1};
    DL_TRY(dl_plan_member_text(s->tree, node, "alias", &ref->alias));
    if (!dl_plan_member_is(s->tree, node, "type", "BASE_TABLE")) {
        return DL_OK;
    }
    if (ref->alias.len == 0) {
        DL_TRY(dl_plan_member_text(s->tree, node, "table_name", &ref->alias));
    }
    if (dl_plan_member_is_empty(s->tree, node, "column_name_alias")) {
        ref->table = table_of(s, node); /* else its columns have other names */
    }
    return DL_OK;
}

static bool keeps_rows_apart(const dl_plan_tree *tree, uint32_t join)
{
    return dl_plan_member_is(tree, join, "ref_type", "REGULAR") ||
           dl_plan_member_is(tree, join, "ref_type", "CROSS") ||
           dl_plan_member_is(tree, join, "ref_type", "NATURAL");
}

/* What FROM joins, from `top` down. `*out_sound` false: no condition may be taken from here. */
static dl_status read_from(select *s, uint32_t top, bool *out_sound)
{
    uint32_t node = top;
    *out_sound = false;
    s->ref_count = 0;
    s->join_count = 0;
    for (;;) { /* down to the left, then up to the nearest right side: no stack */
        if (node == DL_PLAN_NODE_NONE || s->ref_count == REFS_LIMIT ||
            !dl_plan_member_is_empty(s->tree, node, "sample")) {
            return DL_OK;
        }
        if (dl_plan_member_is(s->tree, node, "type", "JOIN")) {
            if (!keeps_rows_apart(s->tree, node) || s->join_count == REFS_LIMIT) {
                return DL_OK;
            }
            s->joins[s->join_count++] = node;
            node = dl_plan_get(s->tree, node, "left");
            continue;
        }
        DL_TRY(add_ref(s, node));
        while (node != top && dl_str_eq(s->tree->nodes[node].key, DL_STR("right"))) {
            node = s->tree->nodes[node].parent;
        }
        if (node == top) {
            *out_sound = true;
            return DL_OK;
        }
        node = dl_plan_get(s->tree, s->tree->nodes[node].parent, "right");
    }
}

/* ---- constants ---- */

typedef struct constant {
    dl_plan_constant kind;
    dl_str text;
} constant;

/* An unscaled number and its scale: 15, 1 is 1.5. */
static bool read_decimal(const dl_plan_tree *tree, uint32_t type, dl_str digits, dl_str *out_text)
{
    uint32_t info = dl_plan_get(tree, type, "type_info");
    uint64_t scale = 0;
    int64_t value = 0;
    if (!dl_str_to_u64(tree->nodes[dl_plan_get(tree, info, "scale")].value, &scale) ||
        !dl_str_to_i64(digits, &value) || scale > 18 || value == INT64_MIN) {
        return false;
    }
    int64_t unit = 1;
    for (uint64_t i = 0; i < scale; i++) {
        unit *= 10;
    }
    int64_t size = value < 0 ? -value : value;
    dl_str sign = value < 0 ? DL_STR("-") : DL_STR("");
    if (scale == 0) {
        *out_text = digits;
        return true;
    }
    return dl_arena_printf(tree->arena, out_text, NULL, "%.*s%lld.%0*lld", DL_STR_ARG(sign),
                           (long long)(size / unit), (int)scale, (long long)(size % unit)) == DL_OK;
}

/* A VALUE_CONSTANT; false: NULL, or a type that is not compared. */
static bool read_plain(const dl_plan_tree *tree, uint32_t node, constant *out)
{
    uint32_t value = dl_plan_get(tree, node, "value");
    uint32_t type = dl_plan_get(tree, value, "type");
    const dl_plan_node *raw = &tree->nodes[dl_plan_get(tree, value, "value")];
    if (!dl_plan_member_is_empty(tree, value, "is_null")) {
        return false;
    }
    if (dl_plan_member_is(tree, type, "id", "VARCHAR") && raw->kind == DL_JSON_STRING) {
        out->kind = DL_PLAN_TEXT;
        return dl_json_text(raw->value, tree->arena, &out->text, NULL) == DL_OK;
    }
    out->kind = DL_PLAN_NUMBER;
    out->text = raw->value;
    if (raw->kind != DL_JSON_NUMBER) {
        return false;
    }
    if (dl_plan_member_is(tree, type, "id", "DECIMAL")) {
        return read_decimal(tree, type, raw->value, &out->text);
    }
    return dl_plan_member_is(tree, type, "id", "INTEGER") ||
           dl_plan_member_is(tree, type, "id", "BIGINT") ||
           dl_plan_member_is(tree, type, "id", "DOUBLE");
}

/* A constant, or a text that is cast: DATE '2024-01-01', true. */
static bool read_constant(const dl_plan_tree *tree, uint32_t node, constant *out)
{
    static const struct {
        const char *type;
        dl_plan_constant kind;
    } casts[] = {{"DATE", DL_PLAN_DATE},
                 {"TIMESTAMP", DL_PLAN_TIMESTAMP},
                 {"TIMESTAMP WITH TIME ZONE", DL_PLAN_TIMESTAMPTZ},
                 {"BOOLEAN", DL_PLAN_BOOL}};
    if (dl_plan_member_is(tree, node, "class", "CONSTANT")) {
        return read_plain(tree, node, out);
    }
    uint32_t child = dl_plan_get(tree, node, "child");
    if (!dl_plan_member_is(tree, node, "class", "CAST") ||
        !dl_plan_member_is_empty(tree, node, "try_cast") ||
        !dl_plan_member_is(tree, child, "class", "CONSTANT") || !read_plain(tree, child, out) ||
        out->kind != DL_PLAN_TEXT) {
        return false;
    }
    for (size_t i = 0; i < DL_COUNT_OF(casts); i++) {
        if (dl_plan_member_is(tree, dl_plan_get(tree, node, "cast_type"), "id", casts[i].type)) {
            out->kind = casts[i].kind;
            return true;
        }
    }
    return false;
}

/* ---- columns ---- */

/* The table of FROM, from ref `first` to before `end`, that a column is of; -1: not known. */
static dl_status find_column(const select *s, uint32_t node, size_t first, size_t end,
                             dl_str *out_column, int64_t *out_table)
{
    dl_str parts[2] = {DL_STR_NONE, DL_STR_NONE};
    size_t count = 0, found = SIZE_MAX, alike = 0;
    *out_table = -1;
    if (!dl_plan_member_is(s->tree, node, "class", "COLUMN_REF")) {
        return DL_OK;
    }
    uint32_t names = dl_plan_get(s->tree, node, "column_names");
    for (uint32_t name = s->tree->nodes[names].first; name != DL_PLAN_NODE_NONE;
         name = s->tree->nodes[name].next) {
        if (count == DL_COUNT_OF(parts)) {
            return DL_OK; /* schema.table.column, or a member of a structure: not told apart */
        }
        DL_TRY(dl_json_text(s->tree->nodes[name].value, s->tree->arena, &parts[count++],
                            s->tree->err));
    }
    if (count == 1 && s->ref_count == 1 && first == 0 && end == 1) {
        *out_column = parts[0];
        *out_table = s->refs[0].table;
        return DL_OK;
    }
    for (size_t i = 0; count == 2 && i < s->ref_count; i++) {
        if (dl_str_eq_nocase(s->refs[i].alias, parts[0])) {
            found = i;
            alike++;
        }
    }
    if (alike == 1 && found >= first && found < end) {
        *out_column = parts[1];
        *out_table = s->refs[found].table;
    }
    return DL_OK;
}

/* ---- conditions ---- */

static dl_status add(select *s, int64_t table, dl_str column, dl_plan_operator op,
                     const constant *constants, size_t count)
{
    if (table < 0 || s->condition_count == CONDITIONS_LIMIT) {
        return DL_OK;
    }
    dl_str *values = dl_arena_alloc(s->tree->arena, count, sizeof *values);
    if (values == NULL) {
        return out_of_room(s->tree);
    }
    for (size_t i = 0; i < count; i++) {
        values[i] = constants[i].text;
    }
    s->owners[s->condition_count] = table;
    s->conditions[s->condition_count++] = (dl_plan_condition){.column = column,
                                                              .op = op,
                                                              .constant = constants[0].kind,
                                                              .values = values,
                                                              .value_count = count};
    return DL_OK;
}

static const struct {
    const char *type;
    dl_plan_operator op, turned;
} comparisons[] = {{"COMPARE_EQUAL", DL_PLAN_EQ, DL_PLAN_EQ},
                   {"COMPARE_NOT_DISTINCT_FROM", DL_PLAN_EQ, DL_PLAN_EQ},
                   {"COMPARE_LESSTHAN", DL_PLAN_LT, DL_PLAN_GT},
                   {"COMPARE_GREATERTHAN", DL_PLAN_GT, DL_PLAN_LT},
                   {"COMPARE_LESSTHANOREQUALTO", DL_PLAN_LE, DL_PLAN_GE},
                   {"COMPARE_GREATERTHANOREQUALTO", DL_PLAN_GE, DL_PLAN_LE}};

static dl_status take_comparison(select *s, uint32_t node, size_t first, size_t end)
{
    uint32_t left = dl_plan_get(s->tree, node, "left"), right = dl_plan_get(s->tree, node, "right");
    dl_str column = DL_STR_NONE;
    int64_t table = -1;
    constant value = {0};
    bool turned = read_constant(s->tree, left, &value);
    if (!turned && !read_constant(s->tree, right, &value)) {
        return DL_OK;
    }
    DL_TRY(find_column(s, turned ? right : left, first, end, &column, &table));
    for (size_t i = 0; i < DL_COUNT_OF(comparisons); i++) {
        if (dl_plan_member_is(s->tree, node, "type", comparisons[i].type)) {
            return add(s, table, column, turned ? comparisons[i].turned : comparisons[i].op, &value,
                       1);
        }
    }
    return DL_OK;
}

static dl_status take_between(select *s, uint32_t node, size_t first, size_t end)
{
    constant lower = {0}, upper = {0};
    dl_str column = DL_STR_NONE;
    int64_t table = -1;
    /* All three are brought to one type: bounds of two kinds are not looked at one by one. */
    if (!dl_plan_member_is(s->tree, node, "type", "COMPARE_BETWEEN") ||
        !read_constant(s->tree, dl_plan_get(s->tree, node, "lower"), &lower) ||
        !read_constant(s->tree, dl_plan_get(s->tree, node, "upper"), &upper) ||
        lower.kind != upper.kind) {
        return DL_OK;
    }
    DL_TRY(find_column(s, dl_plan_get(s->tree, node, "input"), first, end, &column, &table));
    DL_TRY(add(s, table, column, DL_PLAN_GE, &lower, 1));
    return add(s, table, column, DL_PLAN_LE, &upper, 1);
}

static dl_status take_in(select *s, uint32_t node, size_t first, size_t end)
{
    uint32_t children = dl_plan_get(s->tree, node, "children");
    uint32_t child = s->tree->nodes[children].first;
    dl_str column = DL_STR_NONE;
    int64_t table = -1;
    size_t count = 0, room = 0;
    if (!dl_plan_member_is(s->tree, node, "type", "COMPARE_IN")) {
        return DL_OK;
    }
    DL_TRY(find_column(s, child, first, end, &column, &table));
    for (uint32_t i = s->tree->nodes[child].next; i != DL_PLAN_NODE_NONE;
         i = s->tree->nodes[i].next) {
        room++;
    }
    if (table < 0 || room == 0 || room > VALUES_LIMIT) {
        return DL_OK;
    }
    constant *values = dl_arena_alloc(s->tree->arena, room, sizeof *values);
    if (values == NULL) {
        return out_of_room(s->tree);
    }
    for (uint32_t i = s->tree->nodes[child].next; i != DL_PLAN_NODE_NONE;
         i = s->tree->nodes[i].next) {
        if (!read_constant(s->tree, i, &values[count]) || values[count].kind != values[0].kind) {
            return DL_OK;
        }
        count++;
    }
    return add(s, table, column, DL_PLAN_IN, values, count);
}

/* LIKE 'abc%', starts_with(column, 'abc'): from "abc" on, and before "abd". */
static dl_status take_prefix(select *s, uint32_t node, size_t first, size_t end)
{
    uint32_t children = dl_plan_get(s->tree, node, "children");
    uint32_t subject = s->tree->nodes[children].first, pattern = s->tree->nodes[subject].next;
    bool like = dl_plan_member_is(s->tree, node, "function_name", "~~");
    bool starts = dl_plan_member_is(s->tree, node, "function_name", "starts_with") ||
                  dl_plan_member_is(s->tree, node, "function_name", "^@") ||
                  dl_plan_member_is(s->tree, node, "function_name", "prefix");
    constant value = {0}, bound = {.kind = DL_PLAN_BYTES};
    dl_str column = DL_STR_NONE;
    int64_t table = -1;
    if ((!like && !starts) || pattern == DL_PLAN_NODE_NONE ||
        s->tree->nodes[pattern].next != DL_PLAN_NODE_NONE ||
        !read_constant(s->tree, pattern, &value) || value.kind != DL_PLAN_TEXT) {
        return DL_OK;
    }
    size_t len = 0;
    while (len < value.text.len && len < PREFIX_LIMIT &&
           (!like || strchr("%_\\", value.text.ptr[len]) == NULL)) {
        len++;
    }
    if (len == 0) {
        return DL_OK;
    }
    DL_TRY(find_column(s, subject, first, end, &column, &table));
    char *after = dl_arena_alloc(s->tree->arena, len, 1);
    if (after == NULL) {
        return out_of_room(s->tree);
    }
    memcpy(after, value.text.ptr, len);
    after[len - 1] = (char)((unsigned char)after[len - 1] + 1); /* UTF-8 has no byte 255 */
    bound.text = dl_str_slice(value.text, 0, len);
    DL_TRY(add(s, table, column, DL_PLAN_GE, &bound, 1));
    bound.text = (dl_str){after, len};
    return add(s, table, column, DL_PLAN_LT, &bound, 1);
}

static dl_status take_one(select *s, uint32_t node, size_t first, size_t end)
{
    if (dl_plan_member_is(s->tree, node, "class", "COMPARISON")) {
        return take_comparison(s, node, first, end);
    }
    if (dl_plan_member_is(s->tree, node, "class", "BETWEEN")) {
        return take_between(s, node, first, end);
    }
    if (dl_plan_member_is(s->tree, node, "class", "OPERATOR")) {
        return take_in(s, node, first, end);
    }
    return dl_plan_member_is(s->tree, node, "class", "FUNCTION") ? take_prefix(s, node, first, end)
                                                                 : DL_OK;
}

/* All that an AND joins, however deep; of the tables from ref `first` to before `end`. */
static dl_status take_all(select *s, uint32_t top, size_t first, size_t end)
{
    uint32_t open[CONJUNCTS_LIMIT];
    size_t count = 0;
    if (top != DL_PLAN_NODE_NONE && first < end) {
        open[count++] = top;
    }
    while (count > 0) {
        uint32_t node = open[--count];
        if (!dl_plan_member_is(s->tree, node, "type", "CONJUNCTION_AND")) {
            DL_TRY(take_one(s, node, first, end));
            continue;
        }
        uint32_t children = dl_plan_get(s->tree, node, "children");
        for (uint32_t child = s->tree->nodes[children].first;
             child != DL_PLAN_NODE_NONE && count < CONJUNCTS_LIMIT;
             child = s->tree->nodes[child].next) {
            open[count++] = child; /* what finds no room leaves out no file */
        }
    }
    return DL_OK;
}

static bool is_below(const dl_plan_tree *tree, uint32_t node, uint32_t above)
{
    while (node > above) {
        node = tree->nodes[node].parent;
    }
    return node == above;
}

/* The refs below a node: they stand side by side. */
static void refs_below(const select *s, uint32_t node, size_t *out_first, size_t *out_end)
{
    size_t first = 0;
    while (first < s->ref_count && !is_below(s->tree, s->refs[first].node, node)) {
        first++;
    }
    size_t end = first;
    while (end < s->ref_count && is_below(s->tree, s->refs[end].node, node)) {
        end++;
    }
    *out_first = first;
    *out_end = end;
}

static dl_status take_join(select *s, uint32_t join)
{
    uint32_t side = DL_PLAN_NODE_NONE;
    size_t first = 0, end = 0;
    if (dl_plan_member_is(s->tree, join, "join_type", "INNER")) {
        side = join;
    } else if (dl_plan_member_is(s->tree, join, "join_type", "LEFT") ||
               dl_plan_member_is(s->tree, join, "join_type", "SEMI") ||
               dl_plan_member_is(s->tree, join, "join_type", "ANTI")) {
        side = dl_plan_get(s->tree, join, "right");
    } else if (dl_plan_member_is(s->tree, join, "join_type", "RIGHT")) {
        side = dl_plan_get(s->tree, join, "left");
    }
    if (side == DL_PLAN_NODE_NONE) {
        return DL_OK;
    }
    refs_below(s, side, &first, &end);
    return take_all(s, dl_plan_get(s->tree, join, "condition"), first, end);
}

static dl_status take_select(select *s, uint32_t node)
{
    uint32_t from = dl_plan_get(s->tree, node, "from_table");
    bool sound = false;
    if (!dl_plan_member_is_empty(s->tree, node, "sample")) {
        return DL_OK; /* taken before WHERE */
    }
    DL_TRY(read_from(s, from, &sound));
    if (!sound) {
        return DL_OK;
    }
    for (size_t i = 0; i < s->join_count; i++) {
        DL_TRY(take_join(s, s->joins[i]));
    }
    return take_all(s, dl_plan_get(s->tree, node, "where_clause"), 0, s->ref_count);
}

/* What was found, table by table. */
static dl_status give(select *s)
{
    for (size_t t = 0; t < s->table_count; t++) {
        size_t count = 0;
        for (size_t i = 0; i < s->condition_count; i++) {
            count += s->owners[i] == (int64_t)t;
        }
        dl_plan_condition *own = dl_arena_alloc(s->tree->arena, count + 1, sizeof *own);
        if (own == NULL) {
            return out_of_room(s->tree);
        }
        size_t next = 0;
        for (size_t i = 0; i < s->condition_count; i++) {
            if (s->owners[i] == (int64_t)t) {
                own[next++] = s->conditions[i];
            }
        }
        s->tables[t].conditions = own;
        s->tables[t].condition_count = count;
    }
    return DL_OK;
}

dl_status dl_plan_conditions_read(const dl_plan_tree *tree, dl_plan_table *tables,
                                  const uint32_t *refs, size_t table_count)
{
    select s = {.tree = tree, .tables = tables, .table_nodes = refs, .table_count = table_count};
    s.conditions = dl_arena_alloc(tree->arena, CONDITIONS_LIMIT, sizeof *s.conditions);
    s.owners = dl_arena_alloc(tree->arena, CONDITIONS_LIMIT, sizeof *s.owners);
    if (s.conditions == NULL || s.owners == NULL) {
        return out_of_room(tree);
    }
    for (uint32_t node = 0; table_count > 0 && node < tree->count; node++) {
        if (tree->nodes[node].kind == DL_JSON_OBJECT &&
            dl_plan_member_is(tree, node, "type", "SELECT_NODE")) {
            DL_TRY(take_select(&s, node));
        }
    }
    return give(&s);
}
