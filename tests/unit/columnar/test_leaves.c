#include "columnar/columnar.h"

#include "base/mem.h"

#include "tap.h"

enum { ARENA_LIMIT_BYTES = 1 << 26 };

#define NAME(text) .name = {(text), sizeof(text) - 1}
#define CHILDREN(array) .children = (array), .child_count = DL_COUNT_OF(array)

static const dl_columnar_field element[] = {{NAME("x")}};
static const dl_columnar_field attribute[] = {
    {NAME("vr")},
    {NAME("Value"), .type = DL_COLUMNAR_LIST, CHILDREN(element)},
};
static const dl_columnar_field metadata_entry[] = {
    {NAME("k")}, /* required all the same */
    {NAME("v"), .type = DL_COLUMNAR_STRUCT, CHILDREN(attribute)},
};
static const dl_columnar_field required_members[] = {
    {NAME("a"), .type = DL_COLUMNAR_INT32, .required = true},
    {NAME("b"), .type = DL_COLUMNAR_INT64},
};
static const dl_columnar_field table[] = {
    {NAME("id"), .required = true},
    {NAME("n"), .type = DL_COLUMNAR_INT64},
    {NAME("metadata"), .type = DL_COLUMNAR_MAP, CHILDREN(metadata_entry)},
    {NAME("s"), .type = DL_COLUMNAR_STRUCT, .required = true, CHILDREN(required_members)},
    {NAME("l"), .type = DL_COLUMNAR_LIST, .required = true, CHILDREN(element)},
};

TAP_CASE(leaves_and_their_levels)
{
    static const struct {
        const char *name;
        size_t column;
        uint8_t max_rep, max_def;
    } want[] = {
        {"id", 0, 0, 0}, {"n", 1, 0, 1}, {"k", 2, 1, 2}, {"vr", 2, 1, 4},
        {"x", 2, 2, 6},  {"a", 3, 0, 0}, {"b", 3, 0, 1},
    };
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_columnar_leaf *leaves = NULL;
    size_t count = 0;
    dl_error err = {0};
    TAP_OK(dl_columnar_leaves(table, 4, arena, &leaves, &count, &err), err);
    TAP_EQ_INT(count, DL_COUNT_OF(want));
    for (size_t i = 0; i < count && i < DL_COUNT_OF(want); i++) {
        TAP_EQ_STR(leaves[i].field->name, want[i].name);
        TAP_EQ_INT(leaves[i].column, want[i].column);
        TAP_EQ_INT(leaves[i].max_rep, want[i].max_rep);
        TAP_EQ_INT(leaves[i].max_def, want[i].max_def);
    }
}

static const dl_columnar_field two[] = {{NAME("a")}, {NAME("b")}};
static const dl_columnar_field nameless[] = {{.type = DL_COLUMNAR_INT8}};

static const struct {
    const char *name;
    dl_columnar_field field;
    const char *says;
} bad[] = {
    {"a field without a name", {.type = DL_COLUMNAR_STRING}, "has no name"},
    {"a struct without members", {NAME("f"), .type = DL_COLUMNAR_STRUCT}, "0 children"},
    {"a member without a name",
     {NAME("f"), .type = DL_COLUMNAR_STRUCT, CHILDREN(nameless)},
     "has no name"},
    {"a list without element", {NAME("f"), .type = DL_COLUMNAR_LIST}, "0 children"},
    {"a list of two", {NAME("f"), .type = DL_COLUMNAR_LIST, CHILDREN(two)}, "2 children"},
    {"a map without value", {NAME("f"), .type = DL_COLUMNAR_MAP, CHILDREN(element)}, "1 children"},
    {"a string with a child", {NAME("f"), CHILDREN(element)}, "1 children"},
    {"an unknown type", {NAME("f"), .type = DL_COLUMNAR_MAP + 1}, "unknown type 16"},
    {"decimal(0,0)", {NAME("f"), .type = DL_COLUMNAR_DECIMAL}, "decimal(0,0)"},
    {"decimal(39,0)", {NAME("f"), .type = DL_COLUMNAR_DECIMAL, .precision = 39}, "decimal(39,0)"},
    {"decimal(5,6)",
     {NAME("f"), .type = DL_COLUMNAR_DECIMAL, .precision = 5, .scale = 6},
     "decimal(5,6)"},
    {"JSON as a number", {NAME("f"), .type = DL_COLUMNAR_INT8, .as_json = true}, "string only"},
};

static void bad_schemas(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
        dl_columnar_leaf untouched, *leaves = &untouched;
        size_t count = 77;
        dl_error err = {0};
        TAP_STATUS(dl_columnar_leaves(&bad[i].field, 1, arena, &leaves, &count, &err),
                   DL_E_INVALID);
        TAP_TRUE(dl_str_find_str(dl_str_of(err.message), dl_str_of(bad[i].says)) >= 0);
        TAP_TRUE(leaves == &untouched && count == 77);
        TAP_ROW_END(bad[i].name);
    }
}

TAP_CASE(no_fields)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_columnar_leaf *leaves = NULL;
    size_t count = 0;
    TAP_STATUS(dl_columnar_leaves(NULL, 0, arena, &leaves, &count, NULL), DL_E_INVALID);
}

static dl_status leaves_of_depth(size_t depth, dl_columnar_leaf *out_leaf, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_columnar_field fields[DL_COLUMNAR_DEPTH_LIMIT + 1] = {0};
    for (size_t i = 0; i < depth; i++) {
        fields[i] = (dl_columnar_field){NAME("f"), .type = DL_COLUMNAR_LIST,
                                        .children = &fields[i + 1], .child_count = 1};
    }
    fields[depth - 1] = (dl_columnar_field){NAME("f")};
    dl_columnar_leaf *leaves = NULL;
    size_t count = 0;
    DL_TRY(dl_columnar_leaves(fields, 1, arena, &leaves, &count, err));
    *out_leaf = leaves[0];
    return DL_OK;
}

TAP_CASE(depth_at_the_limit_and_beyond)
{
    dl_columnar_leaf leaf = {0};
    dl_error err = {0};
    TAP_OK(leaves_of_depth(DL_COLUMNAR_DEPTH_LIMIT, &leaf, &err), err);
    TAP_EQ_INT(leaf.max_rep, 31);
    TAP_EQ_INT(leaf.max_def, 63);
    TAP_STATUS(leaves_of_depth(DL_COLUMNAR_DEPTH_LIMIT + 1, &leaf, &err), DL_E_LIMIT);
    TAP_TRUE(dl_str_find_str(dl_str_of(err.message), DL_STR("32 levels")) >= 0);
}

TAP_CASE(leaves_at_the_limit_and_beyond)
{
    static dl_columnar_field fields[DL_COLUMNAR_LEAF_LIMIT + 1];
    for (size_t i = 0; i < DL_COUNT_OF(fields); i++) {
        fields[i] = (dl_columnar_field){NAME("f")};
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
    dl_columnar_leaf *leaves = NULL;
    size_t count = 0;
    dl_error err = {0};
    TAP_OK(dl_columnar_leaves(fields, DL_COLUMNAR_LEAF_LIMIT, arena, &leaves, &count, &err), err);
    TAP_EQ_INT(count, DL_COLUMNAR_LEAF_LIMIT);
    TAP_STATUS(dl_columnar_leaves(fields, DL_COLUMNAR_LEAF_LIMIT + 1, arena, &leaves, &count, &err),
               DL_E_LIMIT);
}

TAP_CASE(a_full_arena)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(64);
    dl_columnar_leaf *leaves = NULL;
    size_t count = 0;
    TAP_STATUS(dl_columnar_leaves(table, DL_COUNT_OF(table), arena, &leaves, &count, NULL),
               DL_E_LIMIT);
    TAP_TRUE(leaves == NULL);
}

TAP_CASE(without_memory)
{
    bool failed = true;
    for (int64_t n = 0; failed && n < 100; n++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_LIMIT_BYTES);
        dl_columnar_leaf *leaves = NULL;
        size_t count = 0;
        dl_mem_fail_after(n);
        failed =
            dl_columnar_leaves(table, DL_COUNT_OF(table), arena, &leaves, &count, NULL) != DL_OK;
        dl_mem_fail_after(-1);
        TAP_TRUE(failed == (leaves == NULL));
    }
    TAP_TRUE(!failed);
}

int main(void)
{
    TAP_RUN(leaves_and_their_levels);
    bad_schemas();
    TAP_RUN(no_fields);
    TAP_RUN(depth_at_the_limit_and_beyond);
    TAP_RUN(leaves_at_the_limit_and_beyond);
    TAP_RUN(a_full_arena);
    TAP_RUN(without_memory);
    return tap_done();
}
