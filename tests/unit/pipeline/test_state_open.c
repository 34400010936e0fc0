/* Opening a state index: damage, foreign files, what is kept from one life to the next. */
#include "state_rig.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- opening ---- */

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "we");
    TAP_TRUE(f != NULL && fwrite(bytes, 1, len, f) == len);
    if (f != NULL) {
        (void)fclose(f);
    }
}

static void fill_and_close(fixture *f)
{
    begin(f->state);
    int64_t file = file_of(f->state, DL_STATE_INSTANCE, "a.parquet");
    char sop[32];
    for (int i = 0; i < 2000; i++) {
        dl_state_key key = key_a;
        (void)snprintf(sop, sizeof sop, "1.2.3.%d", i);
        key.sop_uid = dl_str_of(sop);
        put_at(f->state, &key, i, file, i);
    }
    commit(f->state);
    dl_state_close(f->state);
    f->state = NULL;
}

static void damage_none(const char *path)
{
    (void)path;
}

static void damage_random(const char *path)
{
    static uint8_t bytes[20000];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        x = x * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(x >> 24);
    }
    write_file(path, bytes, sizeof bytes);
}

static void damage_cut(const char *path)
{
    struct stat st;
    TAP_TRUE(stat(path, &st) == 0 && truncate(path, st.st_size / 2 - 100) == 0);
}

static void damage_cut_in_header(const char *path)
{
    TAP_TRUE(truncate(path, 50) == 0);
}

static void damage_empty(const char *path)
{
    TAP_TRUE(truncate(path, 0) == 0);
}

static void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    TAP_EQ_INT(sqlite3_open(path, &db), SQLITE_OK);
    TAP_EQ_INT(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

static void damage_version(const char *path)
{
    run_sql(path, "PRAGMA user_version=9999");
}

static void damage_foreign(const char *path)
{
    (void)unlink(path);
    run_sql(path, "CREATE TABLE instance(x); INSERT INTO instance VALUES(1)");
}

static void damage_no_table(const char *path)
{
    (void)unlink(path);
    run_sql(path, "CREATE TABLE t(x); PRAGMA user_version=1");
}

static const struct {
    const char *name;
    void (*damage)(const char *path);
    int64_t left;
} damages[] = {
    {"a whole file keeps what it knows", damage_none, 2000},
    {"random bytes are replaced", damage_random, 0},
    {"a file that was cut is replaced", damage_cut, 0},
    {"a file cut in its header is replaced", damage_cut_in_header, 0},
    {"an empty file is made anew", damage_empty, 0},
    {"another version is replaced", damage_version, 0},
    {"somebody else's database is replaced", damage_foreign, 0},
    {"somebody else's database with our version is replaced", damage_no_table, 0},
};

static void test_damages(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(damages); i++) {
        TAP_ROW_BEGIN();
        fixture f;
        fixture_open(&f);
        fill_and_close(&f);
        damages[i].damage(f.path);
        dl_error err = {0};
        dl_state_totals totals = {0};
        TAP_OK(dl_state_open(f.path, &f.state, &err), err);
        if (f.state != NULL) {
            TAP_OK(dl_state_totals_get(f.state, &totals, &err), err);
            TAP_EQ_INT(totals.instances, damages[i].left);
            begin(f.state); /* it works */
            put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "b"), 1);
            commit(f.state);
            TAP_TRUE(get(f.state, &key_a).known);
        }
        fixture_close(&f);
        TAP_ROW_END(damages[i].name);
    }
}

TAP_CASE(a_folder_in_its_place_is_an_error)
{
    fixture f;
    fixture_folder(&f);
    TAP_EQ_INT(mkdir(f.path, 0700), 0);
    dl_error err = {0};
    dl_state *state = NULL;
    TAP_STATUS(dl_state_open(f.path, &state, &err), DL_E_IO);
    TAP_TRUE(state == NULL && strstr(err.message, f.path) != NULL);
    TAP_EQ_INT(rmdir(f.path), 0);
    TAP_STATUS(dl_state_open("/nonexistent/folder/lake.db", &state, &err), DL_E_IO);
    fixture_close(&f);
}

TAP_CASE(damage_that_shows_later_is_told_and_cleared)
{
    fixture f;
    fixture_open(&f);
    fill_and_close(&f);
    dl_error err = {0};
    TAP_OK(dl_state_open(f.path, &f.state, &err), err);
    FILE *file = fopen(f.path, "r+e");
    TAP_TRUE(file != NULL);
    struct stat st = {0};
    if (file != NULL) {
        (void)fstat(fileno(file), &st);
        for (long at = 2 * 4096; at + 4096 <= st.st_size;
             at += 4096) { /* the headers of all pages */
            (void)fseek(file, at, SEEK_SET);
            (void)fwrite("\xff\xff\xff\xff\xff\xff\xff\xff", 1, 8, file);
        }
        (void)fclose(file);
    }
    dl_state_instance instance;
    if (f.state != NULL) {
        TAP_STATUS(dl_state_get(f.state, &key_a, &instance, &err), DL_E_CORRUPT);
        TAP_OK(dl_state_clear(f.state, &err), err);
        TAP_TRUE(!get(f.state, &key_a).known);
        begin(f.state);
        put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "b"), 1);
        commit(f.state);
        TAP_TRUE(get(f.state, &key_a).known);
    }
    fixture_close(&f);
}

TAP_CASE(clear_forgets_everything)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    TAP_OK(dl_state_position_set(f.state, DL_STATE_SERIES, DL_STR("id"), 7, &err), err);
    commit(f.state);
    TAP_OK(dl_state_clear(f.state, &err), err);
    TAP_TRUE(!get(f.state, &key_a).known);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_state_position position = {.version = 5};
    TAP_OK(dl_state_position_get(f.state, DL_STATE_SERIES, arena, &position, &err), err);
    TAP_EQ_INT(position.version, -1);
    fixture_reopen(&f);
    TAP_TRUE(!get(f.state, &key_a).known);
    fixture_close(&f);
}

TAP_CASE(positions_sources_and_numbers_are_kept)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    int64_t a = 0, b = 0, again = 0, number = -1;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    TAP_OK(dl_state_number_get(f.state, "x", &number, &err), err);
    TAP_EQ_INT(number, 0);
    begin(f.state);
    TAP_OK(dl_state_source(f.state, DL_STR("one"), &a, &err), err);
    TAP_OK(dl_state_source(f.state, DL_STR("two"), &b, &err), err);
    TAP_OK(dl_state_source(f.state, DL_STR("one"), &again, &err), err);
    TAP_TRUE(a > 0 && b > 0 && a != b && again == a);
    TAP_OK(dl_state_number_set(f.state, "x", 5, &err), err);
    TAP_OK(dl_state_number_set(f.state, "x", -6, &err), err);
    TAP_OK(dl_state_position_set(f.state, DL_STATE_STUDY, DL_STR("t1"), 3, &err), err);
    TAP_OK(dl_state_position_set(f.state, DL_STATE_STUDY, DL_STR("t2"), 4, &err), err);
    commit(f.state);
    fixture_reopen(&f);
    TAP_OK(dl_state_number_get(f.state, "x", &number, &err), err);
    TAP_EQ_INT(number, -6);
    dl_state_position position = {0};
    TAP_OK(dl_state_position_get(f.state, DL_STATE_STUDY, arena, &position, &err), err);
    TAP_EQ_INT(position.version, 4);
    TAP_EQ_STR(position.table_id, "t2");
    fixture_close(&f);
}

TAP_CASE(a_process_that_dies_between_begin_and_commit_leaves_nothing)
{
    fixture f;
    fixture_open(&f);
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    commit(f.state);
    dl_state_close(f.state);
    f.state = NULL;
    pid_t child = fork();
    if (child == 0) {
        dl_error err = {0};
        dl_state *state = NULL;
        bool good =
            dl_state_open(f.path, &state, &err) == DL_OK && dl_state_begin(state, &err) == DL_OK;
        int64_t file = 0;
        good = good && dl_state_file(state, DL_STATE_INSTANCE, DL_STR("b"), &file, &err) == DL_OK;
        for (int i = 0; good && i < 200000;
             i++) { /* more than the cache holds: pages go to the log */
            char sop[32];
            dl_state_key key = key_a;
            (void)snprintf(sop, sizeof sop, "1.2.3.4.%d", i);
            key.sop_uid = i == 0 ? key_a.sop_uid : dl_str_of(sop);
            dl_state_instance instance = {.timestamp_us = 9, .created_us = 9, .place = {file, i}};
            good = dl_state_put(state, &key, &instance, &shown_a, &err) == DL_OK;
        }
        _exit(good ? 7 : 1);
    }
    int how = 0;
    TAP_TRUE(child > 0 && waitpid(child, &how, 0) == child && WIFEXITED(how) &&
             WEXITSTATUS(how) == 7);
    dl_error err = {0};
    dl_state_totals totals = {0};
    TAP_OK(dl_state_open(f.path, &f.state, &err), err);
    TAP_EQ_INT(get(f.state, &key_a).timestamp_us, 1);
    TAP_OK(dl_state_totals_get(f.state, &totals, &err), err);
    TAP_EQ_INT(totals.instances, 1);
    TAP_EQ_INT(totals.files, 1);
    fixture_close(&f);
}

int main(void)
{
    test_damages();
    TAP_RUN(a_folder_in_its_place_is_an_error);
    TAP_RUN(damage_that_shows_later_is_told_and_cleared);
    TAP_RUN(clear_forgets_everything);
    TAP_RUN(positions_sources_and_numbers_are_kept);
    TAP_RUN(a_process_that_dies_between_begin_and_commit_leaves_nothing);
    return tap_done();
}
