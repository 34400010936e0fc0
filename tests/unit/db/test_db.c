#include "tap.h"

#include "base/mem.h"
#include "db/db.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64], path[128];

static void new_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/dl-test-db-XXXXXX");
    TAP_TRUE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/a.db", folder);
}

static void remove_folder(void)
{
    static const char *const names[] = {"a.db", "a.db-wal", "a.db-shm"};
    char name[160];
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        (void)snprintf(name, sizeof name, "%s/%s", folder, names[i]);
        (void)unlink(name);
    }
    TAP_EQ_INT(rmdir(folder), 0);
}

static dl_status insert(dl_db *db, int64_t id, dl_str text, dl_error *err)
{
    dl_db_stmt *q = NULL;
    DL_TRY(dl_db_query(db, "INSERT INTO t VALUES(?1, ?2)", &q, err));
    dl_db_bind_int(q, 1, id);
    dl_db_bind_str(q, 2, text);
    return dl_db_run(q, err);
}

static int64_t count(dl_db *db)
{
    dl_error err = {0};
    dl_db_stmt *q = NULL;
    TAP_OK(dl_db_query(db, "SELECT count(*) FROM t", &q, &err), err);
    int64_t n = dl_db_step(q) ? dl_db_int(q, 0) : -1;
    TAP_OK(dl_db_finish(q, &err), err);
    return n;
}

TAP_CASE(values_come_back_as_they_went_in)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        TAP_OK(dl_db_exec(db, "CREATE TABLE v(a, b, c, d, e, f)", &err), err);
        dl_db_stmt *q = NULL;
        TAP_OK(dl_db_query(db, "INSERT INTO v VALUES(?1, ?2, ?3, ?4, ?5, ?6)", &q, &err), err);
        dl_db_bind_int(q, 1, INT64_MIN);
        dl_db_bind_double(q, 2, 0.5);
        dl_db_bind_str(q, 3, DL_STR("M\xc3\xbcller"));
        dl_db_bind_bytes(q, 4, (dl_bytes){(const uint8_t *)"a\0b", 3});
        dl_db_bind_str(q, 5, DL_STR_NONE);
        dl_db_bind_str(q, 6, DL_STR(""));
        TAP_OK(dl_db_run(q, &err), err);
        TAP_EQ_INT(dl_db_changes(db), 1);
        TAP_OK(dl_db_query(db, "SELECT * FROM v", &q, &err), err);
        TAP_TRUE(dl_db_step(q));
        TAP_EQ_INT(dl_db_int(q, 0), INT64_MIN);
        TAP_TRUE(dl_db_double(q, 1) == 0.5);
        TAP_EQ_STR(dl_db_str(q, 2), "M\xc3\xbcller");
        TAP_EQ_INT(dl_db_bytes(q, 3).len, 3);
        TAP_TRUE(memcmp(dl_db_bytes(q, 3).ptr, "a\0b", 3) == 0);
        TAP_TRUE(dl_db_is_null(q, 4));
        TAP_TRUE(!dl_db_is_null(q, 5));
        TAP_TRUE(!dl_db_step(q));
        TAP_TRUE(!dl_db_step(q)); /* the end stays the end */
        TAP_OK(dl_db_finish(q, &err), err);
        TAP_OK(dl_db_finish(NULL, &err), err);
    }
    remove_folder();
}

TAP_CASE(a_statement_in_use_serves_a_nested_loop)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        static const char sql[] = "SELECT 1 UNION SELECT 2";
        dl_db_stmt *outer = NULL, *inner = NULL, *again = NULL;
        TAP_OK(dl_db_query(db, sql, &outer, &err), err);
        TAP_TRUE(dl_db_step(outer));
        TAP_OK(dl_db_query(db, sql, &inner, &err), err);
        TAP_TRUE(inner != outer);
        TAP_TRUE(dl_db_step(inner));
        TAP_EQ_INT(dl_db_int(inner, 0), 1);
        TAP_TRUE(dl_db_step(outer));
        TAP_EQ_INT(dl_db_int(outer, 0), 2);
        TAP_OK(dl_db_finish(inner, &err), err);
        TAP_OK(dl_db_finish(outer, &err), err);
        TAP_OK(dl_db_query(db, sql, &again, &err), err);
        TAP_TRUE(again == inner || again == outer); /* kept, not prepared anew */
        TAP_OK(dl_db_finish(again, &err), err);
    }
    remove_folder();
}

TAP_CASE(statements_of_run_time_text_are_kept_up_to_a_number)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        for (int i = 0; i < 100; i++) {
            char sql[40];
            int len = snprintf(sql, sizeof sql, "SELECT %d", i);
            dl_db_stmt *q = NULL;
            TAP_OK(dl_db_query_text(db, (dl_str){sql, (size_t)len}, &q, &err), err);
            TAP_TRUE(dl_db_step(q));
            TAP_EQ_INT(dl_db_int(q, 0), i);
            TAP_OK(dl_db_finish(q, &err), err);
        }
        size_t kept = 0;
        while (dl_db_statement_sql(db, kept) != NULL) {
            kept++;
        }
        TAP_EQ_INT(kept, 32);
    }
    remove_folder();
}

TAP_CASE(a_transaction_is_all_or_nothing)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        TAP_OK(dl_db_exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, text)", &err), err);
        TAP_OK(dl_db_begin(db, true, &err), err);
        TAP_OK(insert(db, 1, DL_STR("a"), &err), err);
        dl_db_rollback(db);
        dl_db_rollback(db); /* fine when nothing is open */
        TAP_EQ_INT(count(db), 0);
        TAP_OK(dl_db_begin(db, true, &err), err);
        TAP_OK(insert(db, 1, DL_STR("a"), &err), err);
        TAP_STATUS(insert(db, 1, DL_STR("b"), &err), DL_E_EXISTS);
        TAP_TRUE(err.message[0] != 0);
        TAP_OK(dl_db_commit(db, &err), err);
        TAP_EQ_INT(count(db), 1);
    }
    remove_folder();
}

TAP_CASE(a_reader_keeps_its_snapshot)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB writer = NULL;
        DL_AUTO_DB reader = NULL;
        dl_db_options read_only = {.read_only = true};
        TAP_OK(dl_db_open(path, NULL, &writer, &err), err);
        TAP_OK(dl_db_exec(writer, "CREATE TABLE t(id INTEGER PRIMARY KEY, text)", &err), err);
        TAP_OK(dl_db_open(path, &read_only, &reader, &err), err);
        TAP_OK(dl_db_begin(reader, false, &err), err);
        TAP_OK(insert(writer, 1, DL_STR("a"), &err), err);
        TAP_EQ_INT(count(reader), 0);
        TAP_STATUS(insert(reader, 2, DL_STR("b"), &err), DL_E_DENIED);
        dl_db_rollback(reader);
        TAP_EQ_INT(count(reader), 1);
    }
    remove_folder();
}

TAP_CASE(a_second_writer_waits_and_then_says_so)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB a = NULL;
        DL_AUTO_DB b = NULL;
        dl_db_options options = {.busy_timeout_ms = 20};
        TAP_OK(dl_db_open(path, &options, &a, &err), err);
        TAP_OK(dl_db_exec(a, "CREATE TABLE t(id INTEGER PRIMARY KEY, text)", &err), err);
        TAP_OK(dl_db_open(path, &options, &b, &err), err);
        TAP_OK(dl_db_begin(a, true, &err), err);
        TAP_STATUS(dl_db_begin(b, true, &err), DL_E_UNAVAILABLE);
        TAP_TRUE(err.hint[0] != 0);
        dl_db_rollback(a);
        TAP_OK(dl_db_begin(b, true, &err), err); /* usable afterwards */
        TAP_OK(insert(b, 1, DL_STR("a"), &err), err);
        TAP_OK(dl_db_commit(b, &err), err);
    }
    remove_folder();
}

TAP_CASE(a_full_disk_leaves_nothing_and_the_connection_works)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        TAP_OK(dl_db_exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, text)", &err), err);
        TAP_OK(dl_db_exec(db, "PRAGMA max_page_count=10", &err), err);
        static char big[4000];
        memset(big, 'x', sizeof big);
        TAP_OK(dl_db_begin(db, true, &err), err);
        dl_status status = DL_OK;
        for (int64_t i = 0; status == DL_OK && i < 100; i++) {
            status = insert(db, i, (dl_str){big, sizeof big}, &err);
        }
        TAP_EQ_INT(status, DL_E_IO);
        TAP_EQ_INT(err.os_code & 0xff, SQLITE_FULL);
        TAP_TRUE(strstr(err.hint, "space") != NULL);
        dl_db_rollback(db);
        TAP_EQ_INT(count(db), 0);
        TAP_OK(insert(db, 1, DL_STR("small"), &err), err);
        TAP_EQ_INT(count(db), 1);
    }
    remove_folder();
}

TAP_CASE(after_sqlite_gave_up_a_transaction_nothing_is_written_outside_of_it)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        TAP_OK(dl_db_exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, text)", &err), err);
        TAP_OK(dl_db_begin(db, true, &err), err);
        TAP_OK(dl_db_exec(db, "ROLLBACK", &err), err); /* as SQLite does on some I/O errors */
        TAP_TRUE(insert(db, 1, DL_STR("a"), &err) != DL_OK);
        TAP_TRUE(dl_db_commit(db, &err) != DL_OK);
        TAP_EQ_INT(count(db), 0);
        TAP_OK(insert(db, 1, DL_STR("a"), &err), err);
    }
    remove_folder();
}

TAP_CASE(migrations_run_once_and_newer_files_are_refused)
{
    new_folder();
    dl_error err = {0};
    static const char *const scripts[] = {"CREATE TABLE t(id INTEGER PRIMARY KEY, text)",
                                          "INSERT INTO t VALUES(7, 'made by version 2')",
                                          "INSERT INTO t VALUES(8, 'kept'); CREATE TABLE oops("};
    {
        DL_AUTO_DB db = NULL;
        TAP_OK(dl_db_open(path, NULL, &db, &err), err);
        TAP_OK(dl_db_migrate(db, scripts, 1, &err), err);
        TAP_EQ_INT(count(db), 0);
        TAP_OK(dl_db_migrate(db, scripts, 2, &err), err);
        TAP_OK(dl_db_migrate(db, scripts, 2, &err), err);
        TAP_EQ_INT(count(db), 1);
        TAP_TRUE(dl_db_migrate(db, scripts, 3, &err) != DL_OK); /* broken: all of it undone */
        TAP_EQ_INT(count(db), 1);
        TAP_STATUS(dl_db_migrate(db, scripts, 1, &err), DL_E_UNSUPPORTED);
        TAP_TRUE(err.hint[0] != 0);
    }
    remove_folder();
}

TAP_CASE(the_log_moves_into_the_file)
{
    new_folder();
    dl_error err = {0};
    {
        DL_AUTO_DB db = NULL;
        dl_db_options options = {.no_auto_checkpoint = true};
        TAP_OK(dl_db_open(path, &options, &db, &err), err);
        TAP_OK(dl_db_exec(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, text)", &err), err);
        for (int64_t i = 0; i < 50; i++) {
            TAP_OK(insert(db, i, DL_STR("some text"), &err), err);
        }
        TAP_TRUE(dl_db_log_pages(db) >= 50);
        TAP_OK(dl_db_checkpoint(db, &err), err);
        TAP_OK(dl_db_checkpoint_restart(db, &err), err);
        TAP_OK(insert(db, 1000, DL_STR("after"), &err), err);
        TAP_TRUE(dl_db_log_pages(db) < 5); /* begun anew */
    }
    remove_folder();
}

TAP_CASE(what_is_no_database_is_refused)
{
    new_folder();
    dl_error err = {0};
    dl_db *db = NULL;
    FILE *f = fopen(path, "we");
    TAP_TRUE(f != NULL);
    for (int i = 0; f != NULL && i < 1000; i++) {
        (void)fputs("this is not a database ", f);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    TAP_STATUS(dl_db_open(path, NULL, &db, &err), DL_E_CORRUPT);
    TAP_TRUE(db == NULL);
    TAP_STATUS(dl_db_open("/nonexistent/folder/a.db", NULL, &db, &err), DL_E_IO);
    TAP_TRUE(strstr(err.message, "/nonexistent/folder/a.db") != NULL);
    TAP_TRUE(db == NULL);
    remove_folder();
}

static dl_status use(dl_error *err)
{
    DL_AUTO_DB db = NULL;
    DL_TRY(dl_db_open(path, NULL, &db, err));
    DL_TRY(dl_db_exec(db, "CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)", err));
    DL_TRY(dl_db_begin(db, true, err));
    DL_TRY(insert(db, 1, DL_STR("a"), err));
    dl_db_rollback(db);
    return DL_OK;
}

TAP_CASE(each_allocation_may_fail)
{
    new_folder();
    dl_error err = {0};
    TAP_OK(use(&err), err); /* makes the table */
    dl_mem_fail_after(1 << 20);
    TAP_OK(use(&err), err);
    int64_t all = dl_mem_asked();
    TAP_TRUE(all >= 3);
    for (int64_t n = 0; n < all; n++) {
        dl_mem_fail_after(n);
        err = (dl_error){0};
        TAP_STATUS(use(&err), DL_E_NOMEM);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_mem_fail_after(-1);
    TAP_OK(use(&err), err);
    remove_folder();
}

int main(void)
{
    TAP_RUN(values_come_back_as_they_went_in);
    TAP_RUN(a_statement_in_use_serves_a_nested_loop);
    TAP_RUN(statements_of_run_time_text_are_kept_up_to_a_number);
    TAP_RUN(a_transaction_is_all_or_nothing);
    TAP_RUN(a_reader_keeps_its_snapshot);
    TAP_RUN(a_second_writer_waits_and_then_says_so);
    TAP_RUN(a_full_disk_leaves_nothing_and_the_connection_works);
    TAP_RUN(after_sqlite_gave_up_a_transaction_nothing_is_written_outside_of_it);
    TAP_RUN(migrations_run_once_and_newer_files_are_refused);
    TAP_RUN(the_log_moves_into_the_file);
    TAP_RUN(what_is_no_database_is_refused);
    TAP_RUN(each_allocation_may_fail);
    return tap_done();
}
