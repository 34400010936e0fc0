/* Statistics as Spark was seen to write them, and where they must be looser. */
#include "delta/internal.h"

#include "base/mem.h"
#include "tap.h"

#include <math.h>

/* ---- bounds of strings ---- */

#define A31 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A32 A31 "a"
#define TOP "\xf4\x8f\xbf\xbf"   /* U+10FFFF */
#define MUSIC "\xf0\x9d\x84\x9e" /* U+1D11E: a pair in UTF-16 */
#define TOP8 TOP TOP TOP TOP TOP TOP TOP TOP
/* clang-format off */
static const struct {
    const char *name, *text;
    bool cut;
    const char *min, *max; /* max NULL: none */
} strings[] = {
    {"short",                    "abc",             false, "abc",       "abc"},
    {"empty",                    "",                false, "",          ""},
    {"32 units",                 A32,               false, A32,         A32},
    {"33 units",                 A32 "b",           false, A32,         A32 "\x7f"},
    {"33 units, beyond ASCII",   A32 "ä",           false, A32,         A32 TOP},
    {"33 units, DEL",            A32 "\x7f",        false, A32,         A32 TOP},
    {"33 units, a tilde",        A32 "~",           false, A32,         A32 "\x7f"},
    {"a pair that ends at 32",   "a" MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC "ab", false, "a" MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC "a", "a" MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC MUSIC "a\x7f"},
    {"a pair across 32",         A31 MUSIC "b",     false, A31,         A31 MUSIC "\x7f"},
    {"a pair across 32, the end", A31 MUSIC,        false, A31,         A31 MUSIC},
    {"a pair after 32",          A32 MUSIC,         false, A32,         A32 TOP},
    {"the last character after", A32 TOP "x",       false, A32,         A32 TOP "\x7f"},
    {"the last to the end",      A32 TOP,           false, A32,         A32 TOP},
    {"the last ones to 64",      A32 TOP8 TOP8 "x", false, A32,         A32 TOP8 TOP8 "\x7f"},
    {"the last ones past 64",    A32 TOP8 TOP8 TOP "x", false, A32,     NULL},
    {"cut after the prefix",     A32 "bcd",         true,  A32,         A32 "\x7f"},
    {"cut in the prefix",        "abc",             true,  "abc",       NULL},
    {"cut in a character",       A32 "\xc3",        true,  A32,         NULL},
    {"spark's own",              "long text long text long text long text", false, "long text long text long text lo", "long text long text long text lo\x7f"},
};
/* clang-format on */

static void run_string(size_t i)
{
    DL_AUTO_BUF max = {0};
    dl_buf_init(&max, 4096);
    dl_str text = dl_str_of(strings[i].text);
    TAP_EQ_STR(dl_delta_stats_min_prefix(text, 32), strings[i].min);
    bool has = dl_delta_stats_max_prefix(text, strings[i].cut, 32, &max);
    TAP_EQ_INT(has, strings[i].max != NULL);
    if (has) {
        TAP_EQ_STR(dl_buf_str(&max), strings[i].max);
        TAP_TRUE(dl_str_compare(dl_buf_str(&max), text) >= 0);
    }
    TAP_TRUE(dl_str_compare(dl_delta_stats_min_prefix(text, 32), text) <= 0);
}

/* ---- one column ---- */

/* clang-format off */
static const struct {
    const char *name;
    dl_columnar_type type;
    uint8_t precision, scale;
    dl_columnar_stat stat;
    const char *min, *max, *nulls; /* NULL: not there */
} columns[] = {
    {"long", DL_COLUMNAR_INT64, 0, 0, {.null_count = 1, .has_range = true, .min.i = INT64_MIN, .max.i = INT64_MAX}, "-9223372036854775808", "9223372036854775807", "1"},
    {"byte", DL_COLUMNAR_INT8, 0, 0, {.has_range = true, .min.i = -1, .max.i = 2}, "-1", "2", "0"},
    {"all null", DL_COLUMNAR_INT32, 0, 0, {.null_count = 10}, NULL, NULL, "10"},
    {"boolean", DL_COLUMNAR_BOOL, 0, 0, {.null_count = 3, .has_range = true, .max.i = 1}, NULL, NULL, "3"},
    {"binary", DL_COLUMNAR_BINARY, 0, 0, {.null_count = 3}, NULL, NULL, "3"},
    {"date", DL_COLUMNAR_DATE, 0, 0, {.has_range = true, .min.i = -1, .max.i = 18518}, "\"1969-12-31\"", "\"2020-09-13\"", "0"},
    {"date of year 1", DL_COLUMNAR_DATE, 0, 0, {.has_range = true, .min.i = -719162, .max.i = 2932896}, "\"0001-01-01\"", "\"9999-12-31\"", "0"},
    {"date beyond", DL_COLUMNAR_DATE, 0, 0, {.has_range = true, .min.i = -719163, .max.i = 2932897}, NULL, NULL, "0"},
    {"timestamp", DL_COLUMNAR_TIMESTAMP, 0, 0, {.has_range = true, .min.i = 1600000001123456, .max.i = 1600000001123456}, "\"2020-09-13T12:26:41.123Z\"", "\"2020-09-13T12:26:41.124Z\"", "0"},
    {"timestamp, whole", DL_COLUMNAR_TIMESTAMP, 0, 0, {.has_range = true, .min.i = 1600000001123000, .max.i = 1600000001123000}, "\"2020-09-13T12:26:41.123Z\"", "\"2020-09-13T12:26:41.123Z\"", "0"},
    {"timestamp before 1970", DL_COLUMNAR_TIMESTAMP, 0, 0, {.has_range = true, .min.i = -1, .max.i = -1}, "\"1969-12-31T23:59:59.999Z\"", "\"1970-01-01T00:00:00.000Z\"", "0"},
    {"timestamp beyond", DL_COLUMNAR_TIMESTAMP, 0, 0, {.has_range = true, .min.i = INT64_MIN, .max.i = INT64_MAX}, NULL, NULL, "0"},
    {"timestamp at the end", DL_COLUMNAR_TIMESTAMP, 0, 0, {.has_range = true, .min.i = 253402300799999000, .max.i = 253402300799999001}, "\"9999-12-31T23:59:59.999Z\"", NULL, "0"},
    {"timestamp_ntz", DL_COLUMNAR_TIMESTAMP_NTZ, 0, 0, {.has_range = true, .min.i = 1600000001123456, .max.i = 1600000001123456}, "\"2020-09-13T12:26:41.123\"", "\"2020-09-13T12:26:41.124\"", "0"},
    {"double", DL_COLUMNAR_DOUBLE, 0, 0, {.has_range = true, .min.d = 0.1, .max.d = 1e300}, "0.1", "1e+300", "0"},
    {"float", DL_COLUMNAR_FLOAT, 0, 0, {.has_range = true, .min.d = (double)0.1F, .max.d = (double)149.66667F}, "0.1", "149.66667", "0"},
    {"double with NaN", DL_COLUMNAR_DOUBLE, 0, 0, {.has_range = true, .has_nan = true, .min.d = 1.5, .max.d = 2}, "1.5", "\"NaN\"", "0"},
    {"only NaN", DL_COLUMNAR_DOUBLE, 0, 0, {.has_nan = true}, "\"NaN\"", "\"NaN\"", "0"},
    {"infinite", DL_COLUMNAR_DOUBLE, 0, 0, {.has_range = true, .min.d = -INFINITY, .max.d = INFINITY}, NULL, NULL, "0"},
    {"decimal", DL_COLUMNAR_DECIMAL, 10, 2, {.has_range = true, .min.i = -5, .max.i = 1230}, "-0.05", "12.30", "0"},
    {"decimal without scale", DL_COLUMNAR_DECIMAL, 10, 0, {.has_range = true, .min.i = -5, .max.i = 1230}, "-5", "1230", "0"},
    {"decimal of 18", DL_COLUMNAR_DECIMAL, 18, 18, {.has_range = true, .min.i = -999999999999999999, .max.i = 1}, "-0.999999999999999999", "0.000000000000000001", "0"},
    {"decimal of 38", DL_COLUMNAR_DECIMAL, 38, 2, {.has_range = true}, NULL, NULL, "0"},
    {"string", DL_COLUMNAR_STRING, 0, 0, {.has_range = true, .min.s = {"a\"b", 3}, .max.s = {"z\n", 2}}, "\"a\\\"b\"", "\"z\\n\"", "0"},
    {"string that is no UTF-8", DL_COLUMNAR_STRING, 0, 0, {.has_range = true, .min.s = {"\xff", 1}, .max.s = {"z\xff", 2}}, NULL, NULL, "0"},
};
/* clang-format on */

static void write_stats(dl_delta_stats_input *input, const dl_columnar_stat *stats,
                        size_t leaf_count, dl_arena *arena, dl_str *out)
{
    dl_error err = {0};
    dl_columnar_summary summary = {.row_count = 10, .stats = stats, .leaf_count = leaf_count};
    input->summary = &summary;
    TAP_OK(dl_delta_stats_write(input, true, arena, out, &err), err);
    input->summary = NULL;
}

static void run_column(size_t i)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_delta_metadata metadata = {0};
    dl_delta_column column = {.name = DL_STR("c")};
    column.field = (dl_columnar_field){.name = DL_STR("c"),
                                       .type = columns[i].type,
                                       .precision = columns[i].precision,
                                       .scale = columns[i].scale};
    dl_str stats = DL_STR_NONE, want = DL_STR_NONE;
    dl_delta_stats_input input = {&metadata, &column, 1, NULL};
    write_stats(&input, &columns[i].stat, 1, arena, &stats);
    const char *min = columns[i].min, *max = columns[i].max, *nulls = columns[i].nulls;
    dl_error err = {0};
    TAP_OK(dl_arena_printf(arena, &want, &err,
                           "{\"numRecords\":10,\"minValues\":{%s%s},\"maxValues\":{%s%s},"
                           "\"nullCount\":{%s%s}}",
                           min == NULL ? "" : "\"c\":", min == NULL ? "" : min,
                           max == NULL ? "" : "\"c\":", max == NULL ? "" : max,
                           nulls == NULL ? "" : "\"c\":", nulls == NULL ? "" : nulls),
           err);
    TAP_EQ_STR(stats, want.ptr);
}

/* ---- which columns ---- */

/* p (partition), a, s{b, t{c, d}}, l list, m map, z: six that may be indexed */
static const dl_columnar_field t_fields[] = {
    {.name = {"c1", 2}, .type = DL_COLUMNAR_INT64},
    {.name = {"d1", 2}, .type = DL_COLUMNAR_INT64},
};
static const dl_columnar_field s_fields[] = {
    {.name = {"b1", 2}, .type = DL_COLUMNAR_INT64},
    {.name = {"t1", 2}, .type = DL_COLUMNAR_STRUCT, .children = t_fields, .child_count = 2},
};
static const dl_columnar_field l_fields[] = {{.name = {"element", 7}, .type = DL_COLUMNAR_INT64}};
static const dl_columnar_field m_fields[] = {
    {.name = {"key", 3}, .type = DL_COLUMNAR_STRING, .required = true},
    {.name = {"value", 5}, .type = DL_COLUMNAR_LIST, .children = l_fields, .child_count = 1},
};
#define COLUMN(logical, physical, ...)                                                             \
    {                                                                                              \
        .name = {logical, sizeof logical - 1}, .field = {                                          \
            .name = {physical, sizeof physical - 1},                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
static dl_delta_column wide[] = {
    COLUMN("p", "p1", .type = DL_COLUMNAR_STRING),
    COLUMN("a.x", "a1", .type = DL_COLUMNAR_INT64),
    COLUMN("S", "s1", .type = DL_COLUMNAR_STRUCT, .children = s_fields, .child_count = 2),
    COLUMN("l", "l1", .type = DL_COLUMNAR_LIST, .children = l_fields, .child_count = 1),
    COLUMN("m", "m1", .type = DL_COLUMNAR_MAP, .children = m_fields, .child_count = 2),
    COLUMN("z", "z1", .type = DL_COLUMNAR_INT64),
};
static const dl_columnar_stat wide_stats[] = {
    {.has_range = true, .min.i = 1, .max.i = 1},                  /* a */
    {.has_range = true, .min.i = 2, .max.i = 2},                  /* b */
    {.null_count = 10},                                           /* c */
    {.has_range = true, .min.i = 4, .max.i = 4, .null_count = 4}, /* d */
    {.has_range = true, .min.i = 5, .max.i = 5, .null_count = 5}, /* l.element */
    {.has_range = true, .min.s = {"k", 1}, .max.s = {"k", 1}},    /* m.key */
    {.null_count = 7},                                            /* m.value.element */
    {.has_range = true, .min.i = 8, .max.i = 8},                  /* z */
};

static const struct {
    const char *name, *property, *value, *mins, *nulls;
} choices[] = {
    /* clang-format off */
    {"by default", "", "", "\"a1\":1,\"s1\":{\"b1\":2,\"t1\":{\"d1\":4}},\"z1\":8", "\"a1\":0,\"s1\":{\"b1\":0,\"t1\":{\"c1\":10,\"d1\":4}},\"m1\":0,\"z1\":0"},
    {"none", "delta.dataSkippingNumIndexedCols", "0", "", ""},
    {"the first", "delta.dataSkippingNumIndexedCols", "1", "\"a1\":1", "\"a1\":0"},
    {"the first three", "delta.dataSkippingNumIndexedCols", "3", "\"a1\":1,\"s1\":{\"b1\":2}", "\"a1\":0,\"s1\":{\"b1\":0,\"t1\":{\"c1\":10}}"},
    {"lists and maps count as one", "delta.dataSkippingNumIndexedCols", "6", "\"a1\":1,\"s1\":{\"b1\":2,\"t1\":{\"d1\":4}}", "\"a1\":0,\"s1\":{\"b1\":0,\"t1\":{\"c1\":10,\"d1\":4}},\"m1\":0"},
    {"all", "delta.dataSkippingNumIndexedCols", "-1", "\"a1\":1,\"s1\":{\"b1\":2,\"t1\":{\"d1\":4}},\"z1\":8", "\"a1\":0,\"s1\":{\"b1\":0,\"t1\":{\"c1\":10,\"d1\":4}},\"m1\":0,\"z1\":0"},
    {"a list of names", "delta.dataSkippingStatsColumns", "z, s.t.D", "\"s1\":{\"t1\":{\"d1\":4}},\"z1\":8", "\"s1\":{\"t1\":{\"d1\":4}},\"z1\":0"},
    {"a struct in the list", "delta.dataSkippingStatsColumns", "s.t", "\"s1\":{\"t1\":{\"d1\":4}}", "\"s1\":{\"t1\":{\"c1\":10,\"d1\":4}}"},
    {"a name with a dot", "delta.dataSkippingStatsColumns", "`a.x`", "\"a1\":1", "\"a1\":0"},
    {"no such name", "delta.dataSkippingStatsColumns", "y,a", "", ""},
    /* clang-format on */
};

static void run_choice(size_t i)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_delta_pair pair = {dl_str_of(choices[i].property), dl_str_of(choices[i].value)};
    dl_delta_metadata metadata = {.configuration = {&pair, 1}};
    wide[0].partition = true;
    wide[2].type_json = DL_STR(
        "{\"type\":\"struct\",\"fields\":[{\"name\":\"b\",\"type\":\"long\"},{\"name\":\"t\","
        "\"type\":{\"type\":\"struct\",\"fields\":[{\"name\":\"c\",\"type\":\"long\"},"
        "{\"name\":\"d\",\"type\":\"long\"}]}}]}");
    dl_str stats = DL_STR_NONE, want = DL_STR_NONE;
    dl_delta_stats_input input = {&metadata, wide, DL_COUNT_OF(wide), NULL};
    write_stats(&input, wide_stats, DL_COUNT_OF(wide_stats), arena, &stats);
    dl_error err = {0};
    TAP_OK(dl_arena_printf(arena, &want, &err,
                           "{\"numRecords\":10,\"minValues\":{%s},\"maxValues\":{%s},"
                           "\"nullCount\":{%s}}",
                           choices[i].mins, choices[i].mins, choices[i].nulls),
           err);
    TAP_EQ_STR(stats, want.ptr);
}

/* ---- the rest ---- */

TAP_CASE(tight_bounds)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_delta_pair pair = {DL_STR("delta.enableDeletionVectors"), DL_STR("true")};
    dl_delta_metadata with = {.configuration = {&pair, 1}}, without = {0};
    dl_delta_column column = {.name = DL_STR("c"),
                              .field = {.name = DL_STR("c"), .type = DL_COLUMNAR_BOOL}};
    dl_delta_stats_input input = {&without, &column, 1, NULL};
    dl_columnar_stat stat = {0};
    dl_columnar_summary summary = {.row_count = 2, .stats = &stat, .leaf_count = 1};
    input.summary = &summary;
    dl_str text = DL_STR_NONE;
    static const char rest[] = "\"minValues\":{},\"maxValues\":{},\"nullCount\":{\"c\":0}";
    char want[200];
    TAP_OK(dl_delta_stats_write(&input, true, arena, &text, &err), err);
    (void)snprintf(want, sizeof want, "{\"numRecords\":2,%s}", rest);
    TAP_EQ_STR(text, want);
    TAP_OK(dl_delta_stats_with(text, 2, false, arena, &text, &err), err);
    (void)snprintf(want, sizeof want, "{\"numRecords\":2,%s,\"tightBounds\":false}", rest);
    TAP_EQ_STR(text, want);
    TAP_OK(dl_delta_stats_with(text, 3, true, arena, &text, &err), err);
    (void)snprintf(want, sizeof want, "{\"numRecords\":3,%s,\"tightBounds\":true}", rest);
    TAP_EQ_STR(text, want);
    input.metadata = &with;
    TAP_OK(dl_delta_stats_write(&input, true, arena, &text, &err), err);
    (void)snprintf(want, sizeof want, "{\"numRecords\":2,%s,\"tightBounds\":true}", rest);
    TAP_EQ_STR(text, want);
    TAP_OK(dl_delta_stats_with(DL_STR_NONE, 5, false, arena, &text, &err), err);
    TAP_EQ_STR(text, "{\"numRecords\":5,\"tightBounds\":false}");
}

TAP_CASE(rows_of_statistics)
{
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR("{\"numRecords\":12}")), 12);
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR("{\"numRecords\":0,\"x\":1}")), 0);
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR("{\"numRecords\":-3}")), -1);
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR("{\"numRecords\":\"12\"}")), -1);
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR("{}")), -1);
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR("nonsense")), -1);
    TAP_EQ_INT(dl_delta_stats_rows(DL_STR_NONE), -1);
}

TAP_CASE(prefix_length)
{
    static const struct {
        const char *value;
        size_t want;
    } rows[] = {{"32", 32}, {"1", 1},   {"4096", 4096}, {"4097", 4096},
                {"0", 32},  {"-1", 32}, {"many", 32},   {"99999999999999999999", 32}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_delta_pair pair = {DL_STR("delta.dataSkippingStringPrefixLength"),
                              dl_str_of(rows[i].value)};
        dl_delta_metadata metadata = {.configuration = {&pair, 1}};
        TAP_EQ_INT(dl_delta_stats_prefix(&metadata), rows[i].want);
    }
    TAP_EQ_INT(dl_delta_stats_prefix(&(dl_delta_metadata){0}), 32);
}

TAP_CASE(without_memory)
{
    int failures = 0;
    for (int64_t n = 0;; n++) {
        dl_error err = {0};
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
        dl_columnar_summary summary = {10, 0, wide_stats, DL_COUNT_OF(wide_stats)};
        dl_delta_metadata metadata = {0};
        dl_delta_stats_input input = {&metadata, wide, DL_COUNT_OF(wide), &summary};
        dl_str text = DL_STR("kept");
        dl_mem_fail_after(n);
        dl_status status = dl_delta_stats_write(&input, true, arena, &text, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        TAP_EQ_STR(text, "kept");
        TAP_TRUE(err.message[0] != '\0');
    }
    TAP_TRUE(failures > 0);
}

int main(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(strings); i++) {
        TAP_ROW_BEGIN();
        run_string(i);
        TAP_ROW_END(strings[i].name);
    }
    for (size_t i = 0; i < DL_COUNT_OF(columns); i++) {
        TAP_ROW_BEGIN();
        run_column(i);
        TAP_ROW_END(columns[i].name);
    }
    for (size_t i = 0; i < DL_COUNT_OF(choices); i++) {
        TAP_ROW_BEGIN();
        run_choice(i);
        TAP_ROW_END(choices[i].name);
    }
    TAP_RUN(tight_bounds);
    TAP_RUN(rows_of_statistics);
    TAP_RUN(prefix_length);
    TAP_RUN(without_memory);
    return tap_done();
}
