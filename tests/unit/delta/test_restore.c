/* Back to an earlier version: rows, applications, properties; and when it cannot be. */
#include "tables.h"
#include "tap.h"

#include "base/mem.h"
#include "delta/maintain.h"

#include <stdlib.h>

static uint8_t counts[TABLES_ROWS];

static int64_t live_rows(dl_delta_table *table)
{
    dl_error err = {0};
    int64_t sum = 0;
    TAP_OK(tables_count(table, counts, &err), err);
    for (int64_t id = 0; id < TABLES_ROWS; id++) {
        sum += counts[id];
    }
    return sum;
}

static void commit(dl_delta_table *table, const dl_delta_kill *kill, const char *app,
                   int64_t app_version)
{
    dl_error err = {0};
    dl_delta_app a = {.app_id = dl_str_of(app), .version = app_version};
    dl_delta_change change = {.operation = "MERGE",
                              .data_change = true,
                              .kills = kill,
                              .kill_count = kill != NULL,
                              .apps = &a,
                              .app_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
}

static void kill_first(dl_delta_table *table, int64_t count, const char *app, int64_t app_version)
{
    int64_t rows[100];
    for (int64_t i = 0; i < count; i++) {
        rows[i] = i;
    }
    DL_AUTO(dl_delta_bitmap) dead = tables_rows(rows, (size_t)count);
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    TAP_TRUE(dl_delta_next_file(table, &cursor, &file));
    dl_delta_kill kill = {file->path, dead};
    commit(table, &kill, app, app_version);
}

/* 1: 50 rows; 2: 5 of them dead, x 1; 3: 10 dead, x 2; 4: 20 rows more; 5: the first file gone, y 7
 */
static dl_delta_table *begin(tables *t)
{
    dl_error err = {0};
    dl_delta_table *table = NULL;
    tables_init(t, NULL);
    TAP_OK(tables_create(t, "", false, &table, &err), err);
    TAP_OK(tables_append(table, "east", 0, 50, &err), err);
    kill_first(table, 5, "x", 1);
    kill_first(table, 10, "x", 2);
    dl_str first = tables_only_file(table)->path;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 14);
    TAP_OK(dl_arena_copy(arena, first, &first, &err), err);
    TAP_OK(tables_append(table, NULL, 100, 20, &err), err);
    dl_delta_app a = {.app_id = DL_STR("y"), .version = 7};
    dl_delta_change change = {.operation = "DELETE",
                              .data_change = true,
                              .removes = &first,
                              .remove_count = 1,
                              .apps = &a,
                              .app_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    TAP_EQ_INT(dl_delta_version(table), 5);
    TAP_EQ_INT(live_rows(table), 20);
    return table;
}

static void end(tables *t, dl_delta_table *table)
{
    dl_delta_table_close(table);
    tables_clear(t);
}

static void versions(void)
{
    static const struct {
        const char *name;
        int64_t version, rows, x, y, files;
    } cases[] = {
        {"the empty table", 0, 0, -1, -1, 0},  {"all rows of one file", 1, 50, -1, -1, 1},
        {"the first vector", 2, 45, 1, -1, 1}, {"the second vector", 3, 40, 2, -1, 1},
        {"two files", 4, 60, 2, -1, 2},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        tables t;
        dl_error err = {0};
        dl_delta_table *table = begin(&t);
        dl_delta_result result = {0};
        TAP_OK(dl_delta_restore(table, cases[i].version, &result, &err), err);
        TAP_EQ_INT(result.version, 6);
        for (int again = 0; again < 2; again++) {
            TAP_EQ_INT(dl_delta_version(table), 6);
            TAP_EQ_INT(live_rows(table), cases[i].rows);
            TAP_EQ_INT(dl_delta_file_count(table), cases[i].files);
            TAP_EQ_INT(dl_delta_app_version(table, DL_STR("x")), cases[i].x);
            TAP_EQ_INT(dl_delta_app_version(table, DL_STR("y")), cases[i].y);
            dl_delta_table_close(DL_STEAL(table));
            TAP_OK(tables_open(&t, "", &table, &err), err);
        }
        commit(table, NULL, "y", 1); /* what came later is applied again */
        TAP_EQ_INT(dl_delta_app_version(table, DL_STR("y")), 1);
        TAP_OK(dl_delta_restore(table, 5, &result, &err), err); /* and forward again */
        TAP_EQ_INT(live_rows(table), 20);
        TAP_EQ_INT(dl_delta_app_version(table, DL_STR("x")), 2);
        TAP_EQ_INT(dl_delta_app_version(table, DL_STR("y")), 7);
        end(&t, table);
        TAP_ROW_END(cases[i].name);
    }
}

TAP_CASE(what_cannot_be_restored)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    dl_delta_result result = {.version = 77};
    TAP_STATUS(dl_delta_restore(table, -1, &result, &err), DL_E_INVALID);
    TAP_STATUS(dl_delta_restore(table, 6, &result, &err), DL_E_NOT_FOUND);
    TAP_EQ_INT(result.version, 77);
    TAP_OK(dl_delta_restore(table, 5, &result, &err), err); /* it is that already */
    TAP_EQ_INT(result.version, 5);
    TAP_EQ_INT(dl_delta_version(table), 5);
    end(&t, table);
}

static dl_status remove_data(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    const tables *t = context;
    return dl_str_ends(key, DL_STR(".parquet")) && dl_str_find_str(key, DL_STR("east")) >= 0
               ? dl_store_remove(t->store, key, err)
               : DL_OK;
}

static dl_status remove_vectors(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    const tables *t = context;
    return dl_str_ends(key, DL_STR(".bin")) ? dl_store_remove(t->store, key, err) : DL_OK;
}

TAP_CASE(files_that_are_gone_are_counted)
{
    static const struct {
        dl_status (*remove)(void *context, dl_str key, const dl_store_stat *stat, dl_error *err);
        int64_t version;
        dl_status want;
    } cases[] = {
        {remove_data, 4, DL_E_NOT_FOUND},
        {remove_vectors, 4, DL_E_NOT_FOUND},
        {remove_vectors, 1, DL_OK}, /* no vector is needed */
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        tables t;
        dl_error err = {0};
        dl_delta_table *table = begin(&t);
        TAP_OK(dl_store_list(t.store, DL_STR(""), cases[i].remove, &t, &err), err);
        dl_delta_result result = {0};
        TAP_STATUS(dl_delta_restore(table, cases[i].version, &result, &err), cases[i].want);
        TAP_EQ_INT(dl_delta_version(table), cases[i].want == DL_OK ? 6 : 5);
        if (cases[i].want != DL_OK) {
            TAP_TRUE(strstr(err.message, "1 of the 1 files") != NULL);
        }
        end(&t, table);
    }
}

TAP_CASE(properties_go_back_and_features_stay)
{
    tables t;
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    tables_init(&t, NULL);
    TAP_OK(tables_create(&t, "", true, &table, &err), err);
    TAP_OK(tables_append(table, "east", 0, 10, &err), err);
    TAP_OK(dl_delta_set_compat(table, false, &err), err);
    TAP_TRUE(dl_delta_makes_dvs(table));
    dl_delta_result result = {0};
    TAP_OK(dl_delta_restore(table, 1, &result, &err), err);
    TAP_TRUE(!dl_delta_makes_dvs(table));
    TAP_EQ_INT(dl_delta_protocol_of(table)->min_reader, 3);
    TAP_EQ_INT(live_rows(table), 10);
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

TAP_CASE(out_of_memory)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t);
    int failures = 0;
    for (int64_t n = 0;; n += 1 + n / 12) {
        dl_error_clear(&err);
        dl_delta_result result = {0};
        dl_mem_fail_after(n);
        dl_status status = dl_delta_restore(table, 3, &result, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        TAP_TRUE(err.message[0] != '\0');
        if (status == DL_E_UNAVAILABLE) {
            dl_delta_table_close(DL_STEAL(table));
            TAP_OK(tables_open(&t, "", &table, &err), err);
            break; /* it is restored */
        }
        TAP_EQ_INT(dl_delta_version(table), 5);
        if (tap_case_failed) {
            break;
        }
    }
    TAP_TRUE(failures > 20);
    TAP_EQ_INT(live_rows(table), 40);
    end(&t, table);
}

int main(void)
{
    versions();
    TAP_RUN(what_cannot_be_restored);
    TAP_RUN(files_that_are_gone_are_counted);
    TAP_RUN(properties_go_back_and_features_stay);
    TAP_RUN(out_of_memory);
    return tap_done();
}
