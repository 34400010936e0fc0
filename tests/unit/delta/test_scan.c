/* Rows of live files: tables that are written here, and partition values on their own. */
#include "delta/internal.h"
#include "tables.h"
#include "tap.h"

#include "base/mem.h"

#include <stdio.h>

enum { ROWS = 5000, ARENA_BYTES = 64 << 20 };

/* ---- partition values (pure) ---- */

static const struct {
    const char *name, *text;
    dl_columnar_type type;
    uint8_t precision, scale;
    bool good;
    int64_t want;
    const char *back; /* how we spell it; NULL: as it came */
} values[] = {
    /* clang-format off */
    {"long",                "-9223372036854775808", DL_COLUMNAR_INT64, 0, 0, true, INT64_MIN, NULL},
    {"long, one beyond",    "9223372036854775808", DL_COLUMNAR_INT64, 0, 0, false, 0, NULL},
    {"integer",             "2147483647", DL_COLUMNAR_INT32, 0, 0, true, INT32_MAX, NULL},
    {"integer, one beyond", "2147483648", DL_COLUMNAR_INT32, 0, 0, false, 0, NULL},
    {"short, lowest",       "-32768", DL_COLUMNAR_INT16, 0, 0, true, -32768, NULL},
    {"short, one below",    "-32769", DL_COLUMNAR_INT16, 0, 0, false, 0, NULL},
    {"byte",                "127", DL_COLUMNAR_INT8, 0, 0, true, 127, NULL},
    {"byte, one beyond",    "128", DL_COLUMNAR_INT8, 0, 0, false, 0, NULL},
    {"no number",           "1x", DL_COLUMNAR_INT32, 0, 0, false, 0, NULL},
    {"true",                "true", DL_COLUMNAR_BOOL, 0, 0, true, 1, NULL},
    {"False",               "False", DL_COLUMNAR_BOOL, 0, 0, true, 0, "false"},
    {"yes",                 "yes", DL_COLUMNAR_BOOL, 0, 0, false, 0, NULL},
    {"date",                "2020-02-29", DL_COLUMNAR_DATE, 0, 0, true, 18321, NULL},
    {"date before 1970",    "1969-12-31", DL_COLUMNAR_DATE, 0, 0, true, -1, NULL},
    {"no such day",         "2021-02-29", DL_COLUMNAR_DATE, 0, 0, false, 0, NULL},
    {"short date",          "2021-2-9", DL_COLUMNAR_DATE, 0, 0, false, 0, NULL},
    {"date and more",       "2021-02-09 ", DL_COLUMNAR_DATE, 0, 0, false, 0, NULL},
    {"time, blank",         "1970-01-01 00:00:01", DL_COLUMNAR_TIMESTAMP, 0, 0, true, 1000000, "1970-01-01T00:00:01.000000Z"},
    {"time, ISO",           "1970-01-01T00:00:01.000002Z", DL_COLUMNAR_TIMESTAMP, 0, 0, true, 1000002, NULL},
    {"time, tenths",        "1970-01-01 00:00:00.5", DL_COLUMNAR_TIMESTAMP, 0, 0, true, 500000, "1970-01-01T00:00:00.500000Z"},
    {"time, nanoseconds",   "1970-01-01 00:00:00.123456789", DL_COLUMNAR_TIMESTAMP, 0, 0, true, 123456, "1970-01-01T00:00:00.123456Z"},
    {"time, zone",          "1970-01-01T01:30:00+01:30", DL_COLUMNAR_TIMESTAMP, 0, 0, true, 0, "1970-01-01T00:00:00.000000Z"},
    {"time, only a day",    "1970-01-02", DL_COLUMNAR_TIMESTAMP, 0, 0, true, 86400000000, "1970-01-02T00:00:00.000000Z"},
    {"time, before 1970",   "1969-12-31 23:59:59.999999", DL_COLUMNAR_TIMESTAMP, 0, 0, true, -1, "1969-12-31T23:59:59.999999Z"},
    {"time, hour 24",       "1970-01-01 24:00:00", DL_COLUMNAR_TIMESTAMP, 0, 0, false, 0, NULL},
    {"time, a bare point",  "1970-01-01 00:00:00.", DL_COLUMNAR_TIMESTAMP, 0, 0, false, 0, NULL},
    {"time, bad zone",      "1970-01-01 00:00:00+1", DL_COLUMNAR_TIMESTAMP, 0, 0, false, 0, NULL},
    {"local time",          "1970-01-01 00:00:01", DL_COLUMNAR_TIMESTAMP_NTZ, 0, 0, true, 1000000, "1970-01-01T00:00:01.000000"},
    {"local time, zone",    "1970-01-01 00:00:01Z", DL_COLUMNAR_TIMESTAMP_NTZ, 0, 0, false, 0, NULL},
    {"decimal",             "-1.50", DL_COLUMNAR_DECIMAL, 5, 2, true, -150, NULL},
    {"decimal, small",      "-0.05", DL_COLUMNAR_DECIMAL, 5, 2, true, -5, NULL},
    {"decimal, whole",      "7", DL_COLUMNAR_DECIMAL, 5, 2, true, 700, "7.00"},
    {"decimal, zeros",      "1.500", DL_COLUMNAR_DECIMAL, 5, 2, true, 150, "1.50"},
    {"decimal, too fine",   "1.501", DL_COLUMNAR_DECIMAL, 5, 2, false, 0, NULL},
    {"decimal, scale 0",    "12", DL_COLUMNAR_DECIMAL, 5, 0, true, 12, NULL},
    {"decimal, two points", "1.5.0", DL_COLUMNAR_DECIMAL, 5, 2, false, 0, NULL},
    {"decimal, nothing",    ".", DL_COLUMNAR_DECIMAL, 5, 2, false, 0, NULL},
    {"decimal, too large",  "99999999999999999999", DL_COLUMNAR_DECIMAL, 18, 2, false, 0, NULL},
    /* clang-format on */
};

TAP_CASE(partition_values)
{
    for (size_t i = 0; i < DL_COUNT_OF(values); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_delta_column column = {.name = DL_STR("p"),
                                  .field = {.name = DL_STR("p"),
                                            .type = values[i].type,
                                            .precision = values[i].precision,
                                            .scale = values[i].scale}};
        dl_delta_pair pair = {DL_STR("p"), dl_str_of(values[i].text)};
        dl_delta_file file = {.path = DL_STR("f"), .partition_values = {&pair, 1}};
        dl_columnar_value value = {.i = 77};
        bool null = true;
        dl_str back = DL_STR_NONE;
        dl_error err = {0};
        dl_status status = dl_delta_partition_value(&column, &file, &null, &value, &err);
        TAP_STATUS(status, values[i].good ? DL_OK : DL_E_CORRUPT);
        TAP_TRUE(!null);
        if (status == DL_OK) {
            TAP_EQ_INT(value.i, values[i].want);
            TAP_OK(dl_delta_value_text(&column.field, &value, arena, &back, &err), err);
            TAP_EQ_STR(back, values[i].back != NULL ? values[i].back : values[i].text);
        } else if (strstr(err.message, values[i].text) != NULL && strlen(values[i].text) > 1) {
            TAP_FAIL("the value stands in the message '%s'", err.message);
        }
        TAP_ROW_END(values[i].name);
    }
    tap_case_failed = 0;
}

TAP_CASE(floats_have_a_text)
{
    static const struct {
        const char *text;
        bool single;
        const char *back;
    } rows[] = {{"0.1", true, "0.1"},
                {"0.1", false, "0.1"},
                {"NaN", false, "NaN"},
                {"Infinity", true, "Infinity"},
                {"-Infinity", false, "-Infinity"},
                {"1e300", false, "1e+300"},
                {"-0.0", false, "-0"}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_columnar_field field = {.type = rows[i].single ? DL_COLUMNAR_FLOAT : DL_COLUMNAR_DOUBLE};
        dl_columnar_value value = {0};
        dl_str back = DL_STR_NONE;
        dl_error err = {0};
        TAP_TRUE(dl_delta_value_parse(&field, dl_str_of(rows[i].text), &value));
        TAP_OK(dl_delta_value_text(&field, &value, arena, &back, &err), err);
        TAP_EQ_STR(back, rows[i].back);
    }
    dl_columnar_field field = {.type = DL_COLUMNAR_DOUBLE};
    dl_columnar_value value = {0};
    TAP_TRUE(!dl_delta_value_parse(&field, DL_STR(""), &value));
    TAP_TRUE(!dl_delta_value_parse(&field, DL_STR(" 1"), &value));
    TAP_TRUE(!dl_delta_value_parse(&field, DL_STR("1,5"), &value));
}

/* ---- rows ---- */

typedef struct sum {
    int64_t rows, live, ids;
    size_t batches, leaves;
    size_t partition_leaf; /* SIZE_MAX: none is asked for */
    const char *partition; /* what stands there; NULL: null */
    size_t id_leaf;
    int64_t last_row;
    bool wrong;
    size_t stop_after; /* batches */
} sum;

static void add_partition(sum *s, const dl_delta_batch *b, size_t row)
{
    const dl_columnar_entries *e = &b->leaves[s->partition_leaf];
    bool there = e->def[row] == 1;
    if (there != (s->partition != NULL) ||
        (there && !dl_str_eq(e->values[row].s, dl_str_of(s->partition)))) {
        s->wrong = true;
    }
}

static dl_status add_batch(void *context, const dl_delta_batch *b, dl_error *err)
{
    sum *s = context;
    s->batches++;
    s->leaves = b->leaf_count;
    for (size_t i = 0; i < b->row_count; i++) {
        s->wrong = s->wrong || b->row_numbers[i] <= s->last_row;
        s->last_row = b->row_numbers[i];
        s->rows++;
        s->live += b->live[i] ? 1 : 0;
        if (s->id_leaf != SIZE_MAX && b->live[i]) {
            s->ids += b->leaves[s->id_leaf].values[i].i;
        }
        if (s->partition_leaf != SIZE_MAX) {
            add_partition(s, b, i);
        }
    }
    return s->stop_after > 0 && s->batches >= s->stop_after
               ? dl_error_set(err, DL_E_CANCELED, "enough")
               : DL_OK;
}

static sum sum_of(const char *partition)
{
    return (sum){
        .partition_leaf = SIZE_MAX, .partition = partition, .id_leaf = SIZE_MAX, .last_row = -1};
}

/* Rows 0 .. ROWS - 1 in one file of the partition, rows 10..19 deleted. */
static dl_delta_table *table_make(const tables *t, const char *partition)
{
    dl_delta_table *table = NULL;
    dl_error err = {0};
    int64_t dead[10];
    TAP_OK(tables_create(t, "t", false, &table, &err), err);
    TAP_OK(tables_append(table, partition, 0, ROWS, &err), err);
    for (int64_t i = 0; i < 10; i++) {
        dead[i] = 10 + i;
    }
    DL_AUTO(dl_delta_bitmap) rows = tables_rows(dead, 10);
    dl_delta_kill kill = {tables_only_file(table)->path, rows};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    return table;
}

TAP_CASE(columns_in_any_order_and_none)
{
    static const char *const partitions[] = {"ward 7/\xc3\xa4%", NULL};
    static const dl_str names[] = {{"ID", 2}, {"info", 4}, {"partitionname", 13}, {"tags", 4}};
    for (size_t i = 0; i < DL_COUNT_OF(partitions); i++) {
        tables t;
        dl_error err = {0};
        tables_init(&t, NULL);
        dl_delta_table *table = table_make(&t, partitions[i]);
        sum s = sum_of(partitions[i]), none = sum_of(NULL);
        s.id_leaf = 0;
        s.partition_leaf = 3; /* id, info.site, info.dose, partitionName, tags */
        dl_delta_scan scan = {.columns = names, .column_count = 4};
        TAP_OK(dl_delta_read(table, &scan, add_batch, &s, &err), err);
        TAP_EQ_INT(s.leaves, 5);
        TAP_EQ_INT(s.rows, ROWS);
        TAP_EQ_INT(s.live, ROWS - 10);
        TAP_EQ_INT(s.ids, (int64_t)ROWS * (ROWS - 1) / 2 - 145);
        TAP_TRUE(!s.wrong && s.batches > 1);
        dl_delta_scan nothing = {0};
        TAP_OK(dl_delta_read(table, &nothing, add_batch, &none, &err), err);
        TAP_EQ_INT(none.rows, ROWS);
        TAP_EQ_INT(none.live, ROWS - 10);
        TAP_EQ_INT(none.leaves, 0);
        sum only = sum_of(partitions[i]);
        only.partition_leaf = 0;
        dl_delta_scan partition = {.columns = &names[2], .column_count = 1};
        TAP_OK(dl_delta_read(table, &partition, add_batch, &only, &err), err);
        TAP_EQ_INT(only.live, ROWS - 10);
        TAP_TRUE(!only.wrong);
        dl_delta_table_close(table);
        tables_clear(&t);
    }
}

TAP_CASE(one_file_with_another_vector_and_a_range)
{
    tables t;
    dl_error err = {0};
    tables_init(&t, NULL);
    dl_delta_table *table = table_make(&t, "p");
    dl_delta_dv none = {0};
    dl_delta_file file = *tables_only_file(table);
    sum s = sum_of("p");
    dl_delta_scan scan = {.file = &file, .dv = &none};
    TAP_OK(dl_delta_read(table, &scan, add_batch, &s, &err), err);
    TAP_EQ_INT(s.live, ROWS);
    sum part = sum_of("p");
    scan = (dl_delta_scan){.file = &file, .first_row = 15, .end_row = 3000};
    TAP_OK(dl_delta_read(table, &scan, add_batch, &part, &err), err);
    TAP_EQ_INT(part.rows, 3000 - 15);
    TAP_EQ_INT(part.live, 3000 - 20);
    DL_AUTO(dl_delta_bitmap) deleted = NULL;
    TAP_OK(dl_delta_bitmap_create(&deleted, &err), err);
    TAP_OK(dl_delta_deleted_rows(table, &file, deleted, &err), err);
    TAP_EQ_INT(dl_delta_bitmap_count(deleted), 10);
    dl_delta_table_close(table);
    tables_clear(&t);
}

TAP_CASE(what_goes_wrong)
{
    tables t;
    dl_error err = {0};
    tables_init(&t, NULL);
    dl_delta_table *table = table_make(&t, "p");
    dl_str name = DL_STR("nobody");
    sum s = sum_of("p");
    dl_delta_scan scan = {.columns = &name, .column_count = 1};
    TAP_STATUS(dl_delta_read(table, &scan, add_batch, &s, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.message, "'nobody'") != NULL);
    dl_error_clear(&err);
    s.stop_after = 1;
    scan = (dl_delta_scan){0};
    TAP_STATUS(dl_delta_read(table, &scan, add_batch, &s, &err), DL_E_CANCELED);
    TAP_EQ_INT(s.batches, 1);
    dl_error_clear(&err);
    dl_cancel cancel = {0};
    dl_cancel_ask(&cancel);
    scan.cancel = &cancel;
    TAP_STATUS(dl_delta_read(table, &scan, add_batch, &s, &err), DL_E_CANCELED);
    scan.cancel = NULL;
    dl_error_clear(&err);
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    dl_str key = DL_STR_NONE;
    TAP_OK(dl_delta_key(table, tables_only_file(table)->path, arena, &key, &err), err);
    TAP_OK(dl_store_remove(t.store, key, &err), err);
    TAP_STATUS(dl_delta_read(table, &scan, add_batch, &s, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.message, "vacuumed") != NULL);
    dl_delta_table_close(table);
    tables_clear(&t);
}

TAP_CASE(without_memory_it_says_so)
{
    tables t;
    tables_init(&t, NULL);
    dl_delta_table *table = table_make(&t, "p");
    static const dl_str names[] = {{"partitionName", 13}, {"id", 2}};
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    for (; n < 3000 && status != DL_OK; n++) {
        sum s = sum_of("p");
        dl_error err = {0};
        dl_delta_scan scan = {.columns = names, .column_count = 2};
        dl_mem_fail_after(n);
        status = dl_delta_read(table, &scan, add_batch, &s, &err);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_TRUE((status == DL_OK) == (err.message[0] == '\0'));
        TAP_TRUE(status != DL_OK || s.live == ROWS - 10);
    }
    TAP_TRUE(status == DL_OK && n > 5);
    dl_delta_table_close(table);
    tables_clear(&t);
}

int main(void)
{
    partition_values();
    TAP_RUN(floats_have_a_text);
    TAP_RUN(columns_in_any_order_and_none);
    TAP_RUN(one_file_with_another_vector_and_a_range);
    TAP_RUN(what_goes_wrong);
    TAP_RUN(without_memory_it_says_so);
    return tap_done();
}
