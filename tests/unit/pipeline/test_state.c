#include "state_fixture.h"

#include "pipeline/state_internal.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const dl_state_key key_a = {{"p", 1}, {"1.2", 3}, {"1.2.3", 5}, {"1.2.3.4", 7}};
static const dl_state_shown shown_a = {{"20260105", 8}, {"d", 1},   {NULL, 0},
                                       {"P1", 2},       {"A^B", 3}, {"CT", 2}};

static int64_t file_of(dl_state *state, dl_state_kind kind, const char *path)
{
    dl_error err = {0};
    int64_t file = 0;
    TAP_OK(dl_state_file(state, kind, dl_str_of(path), &file, &err), err);
    return file;
}

static void put_at(dl_state *state, const dl_state_key *key, int64_t time_us, int64_t file,
                   int64_t row)
{
    dl_error err = {0};
    dl_state_instance instance = {
        .timestamp_us = time_us, .created_us = time_us, .place = {file, row}};
    TAP_OK(dl_state_put(state, key, &instance, &shown_a, &err), err);
}

static dl_state_instance get(dl_state *state, const dl_state_key *key)
{
    dl_error err = {0};
    dl_state_instance instance = {0};
    TAP_OK(dl_state_get(state, key, &instance, &err), err);
    return instance;
}

static void begin(dl_state *state)
{
    dl_error err = {0};
    TAP_OK(dl_state_begin(state, &err), err);
}

static void commit(dl_state *state)
{
    dl_error err = {0};
    TAP_OK(dl_state_commit(state, &err), err);
}

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

/* ---- limits ---- */

TAP_CASE(keys_are_bounded)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    char text[DL_STATE_KEY_LIMIT_BYTES + 1];
    memset(text, 'x', sizeof text);
    begin(f.state);
    int64_t file = file_of(f.state, DL_STATE_INSTANCE, "a");
    for (size_t part = 0; part < 4; part++) {
        dl_state_key key = key_a;
        dl_str *texts[] = {&key.partition_name, &key.study_uid, &key.series_uid, &key.sop_uid};
        dl_state_instance instance = {.place = {file, 1}}, got = {0};
        *texts[part] = (dl_str){text, DL_STATE_KEY_LIMIT_BYTES};
        TAP_OK(dl_state_put(f.state, &key, &instance, &shown_a, &err), err);
        TAP_TRUE(get(f.state, &key).known);
        TAP_OK(dl_state_ahead_add(f.state, &key, 1, &(dl_state_change){1, 1, false}, &err), err);
        *texts[part] = (dl_str){text, DL_STATE_KEY_LIMIT_BYTES + 1};
        TAP_STATUS(dl_state_put(f.state, &key, &instance, &shown_a, &err), DL_E_LIMIT);
        TAP_STATUS(dl_state_get(f.state, &key, &got, &err), DL_E_LIMIT);
        TAP_STATUS(dl_state_ahead_add(f.state, &key, 1, &(dl_state_change){1, 1, false}, &err),
                   DL_E_LIMIT);
        *texts[part] = (dl_str){text, 0};
        TAP_STATUS(dl_state_put(f.state, &key, &instance, &shown_a, &err), DL_E_INVALID);
        TAP_STATUS(dl_state_ahead_add(f.state, &key, 1, &(dl_state_change){1, 1, false}, &err),
                   DL_E_INVALID);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(shown_values_and_paths_are_bounded)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    static char text[DL_STATE_PATH_LIMIT_BYTES + 1];
    memset(text, 'p', sizeof text);
    int64_t file = 0;
    begin(f.state);
    TAP_OK(dl_state_file(f.state, DL_STATE_INSTANCE, (dl_str){text, DL_STATE_PATH_LIMIT_BYTES},
                         &file, &err),
           err);
    TAP_STATUS(dl_state_file(f.state, DL_STATE_INSTANCE, (dl_str){text, sizeof text}, &file, &err),
               DL_E_LIMIT);
    size_t limit = DL_STATE_SHOWN_LIMIT_BYTES;
    char *big = calloc(limit + 1, 1);
    TAP_TRUE(big != NULL);
    dl_state_instance instance = {.place = {file, 1}};
    dl_state_shown shown = {.patient_id = {big, limit - 64}};
    TAP_OK(dl_state_put(f.state, &key_a, &instance, &shown, &err), err);
    shown.patient_id.len = limit + 1;
    TAP_STATUS(dl_state_put(f.state, &key_a, &instance, &shown, &err), DL_E_LIMIT);
    instance.timestamp_us = INT64_MAX;
    instance.created_us = -2;
    TAP_STATUS(dl_state_put(f.state, &key_a, &instance, &shown_a, &err), DL_E_INVALID);
    dl_state_rollback(f.state);
    free(big);
    fixture_close(&f);
}

TAP_CASE(more_series_than_memory_keeps)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    enum { COUNT = DL_STATE_ENTITY_LIMIT + 500 };
    begin(f.state);
    int64_t file = file_of(f.state, DL_STATE_INSTANCE, "a");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < COUNT; i++) {
            char series[32], sop[32];
            dl_state_key key = key_a;
            (void)snprintf(series, sizeof series, "1.%d", i);
            (void)snprintf(sop, sizeof sop, "2.%d", round);
            key.series_uid = dl_str_of(series);
            key.sop_uid = dl_str_of(sop);
            put_at(f.state, &key, i, file, i);
        }
    }
    dl_state_totals totals = {0};
    TAP_OK(dl_state_totals_get(f.state, &totals, &err), err);
    TAP_EQ_INT(totals.instances, 2 * COUNT);
    TAP_EQ_INT(totals.series, COUNT);
    TAP_EQ_INT(totals.studies, 1);
    commit(f.state);
    fixture_close(&f);
}

TAP_CASE(uids_are_packed_in_their_order)
{
    static const char *const texts[] = {"\x01",  "-", "-1", ".",   "./", "/",  "0",       "0.",
                                        "00",    "1", "1.", "1.2", "12", "1:", "1A",      "1\xff",
                                        "2.1.1", "9", ":",  "A",   "a.", "~",  "\xff\xff"};
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        dl_state_packed a, b;
        char out[DL_STATE_KEY_LIMIT_BYTES];
        dl_str back = DL_STR_NONE;
        TAP_OK(dl_state_pack(dl_str_of(texts[i]), "UID", &a, &err), err);
        TAP_OK(dl_state_unpack((dl_bytes){a.bytes, a.len}, out, &back, &err), err);
        TAP_EQ_STR(back, texts[i]);
        for (size_t k = 0; k < DL_COUNT_OF(texts); k++) {
            TAP_OK(dl_state_pack(dl_str_of(texts[k]), "UID", &b, &err), err);
            int want = dl_str_compare(dl_str_of(texts[i]), dl_str_of(texts[k]));
            int got =
                dl_str_compare((dl_str){(char *)a.bytes, a.len}, (dl_str){(char *)b.bytes, b.len});
            TAP_TRUE((want > 0) - (want < 0) == (got > 0) - (got < 0));
        }
    }
    static const uint8_t bad[][3] = {{0x1f, 0, 0}, {0xf0, 0, 0}, {0x05, 0x50, 0}, {0, 0, 0}};
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        char out[DL_STATE_KEY_LIMIT_BYTES];
        dl_str back = DL_STR("kept");
        TAP_STATUS(dl_state_unpack((dl_bytes){bad[i], i == 2 ? 2 : 1}, out, &back, &err),
                   DL_E_CORRUPT);
        TAP_EQ_STR(back, "kept");
    }
}

/* ---- forwarding ---- */

TAP_CASE(rows_follow_chains_and_splits_past_dead_rows)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    TAP_OK(dl_delta_bitmap_create(&dead, &err), err);
    for (uint64_t r = 0; r < 200000; r += 2) { /* even rows are dead: a large bitmap */
        TAP_OK(dl_delta_bitmap_add(dead, r, NULL, &err), err);
    }
    begin(f.state);
    int64_t a = file_of(f.state, DL_STATE_INSTANCE, "a"),
            b = file_of(f.state, DL_STATE_INSTANCE, "b");
    int64_t c = file_of(f.state, DL_STATE_INSTANCE, "c"),
            d = file_of(f.state, DL_STATE_INSTANCE, "d");
    TAP_TRUE(a != b && file_of(f.state, DL_STATE_SERIES, "a") != a);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, b, 0, 100000, 10, dead}, &err), err);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, c, 100000, 200000, -50000, dead}, &err),
           err);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){b, d, 0, 100, 0, NULL}, &err), err);
    static const struct {
        int64_t row;
        char file;
        int64_t want;
    } cases[] = {{1, 'd', 10},        {179, 'd', 99},   {181, 'b', 100},
                 {99999, 'b', 50009}, {100001, 'c', 0}, {199999, 'c', 49999},
                 {0, 0, 0},           {199998, 0, 0},   {200000, 'a', 200000}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
            dl_state_place place = {a, cases[i].row};
            TAP_OK(dl_state_resolve(f.state, &place, &err), err);
            int64_t want = cases[i].file == 'a'   ? a
                           : cases[i].file == 'b' ? b
                           : cases[i].file == 'c' ? c
                           : cases[i].file == 'd' ? d
                                                  : 0;
            TAP_EQ_INT(place.file, want);
            TAP_EQ_INT(place.row, cases[i].want);
        }
        if (round == 0) {
            commit(f.state);
            fixture_reopen(&f);
        }
    }
    dl_state_place nowhere = {0};
    TAP_OK(dl_state_resolve(f.state, &nowhere, &err), err);
    TAP_EQ_INT(nowhere.file, 0);
    fixture_close(&f);
}

TAP_CASE(a_circle_of_files_is_damage)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    int64_t a = file_of(f.state, DL_STATE_INSTANCE, "a"),
            b = file_of(f.state, DL_STATE_INSTANCE, "b");
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, b, 0, 10, 0, NULL}, &err), err);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){b, a, 0, 10, 0, NULL}, &err), err);
    dl_state_place place = {a, 3};
    TAP_STATUS(dl_state_resolve(f.state, &place, &err), DL_E_CORRUPT);
    TAP_EQ_INT(place.file, a);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(a_long_chain_and_many_bitmaps_stay_within_the_bound)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    enum { CHAIN = 3000 };
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    TAP_OK(dl_delta_bitmap_create(&dead, &err), err);
    for (uint64_t r = 0; r < 20000; r += 2) {
        TAP_OK(dl_delta_bitmap_add(dead, r + 100, NULL, &err), err);
    }
    begin(f.state);
    int64_t files[CHAIN];
    for (int i = 0; i < CHAIN; i++) {
        char path[32];
        (void)snprintf(path, sizeof path, "f%d", i);
        files[i] = file_of(f.state, DL_STATE_INSTANCE, path);
        if (i > 0) {
            TAP_OK(dl_state_forward(
                       f.state, &(dl_state_move){files[i - 1], files[i], 0, 30000, 0, dead}, &err),
                   err);
        }
    }
    dl_state_place place = {files[0], 50};
    TAP_OK(dl_state_resolve(f.state, &place, &err), err);
    TAP_EQ_INT(place.file, files[CHAIN - 1]);
    TAP_EQ_INT(place.row, 50);
    TAP_TRUE(f.state->forward_bytes <= DL_STATE_FORWARD_KEPT_BYTES + (64 << 10));
    dl_state_rollback(f.state);
    fixture_close(&f);
}

/* ---- rows that others wrote or took away ---- */

typedef struct spots {
    int count;
    dl_state_place last;
    int64_t id;
    uint64_t hash;
} spots;

static dl_status see_row(void *context, const dl_state_row *row, dl_error *err)
{
    (void)err;
    spots *s = context;
    s->count++;
    s->last = row->place;
    s->id = row->id;
    s->hash = row->written_hash;
    return DL_OK;
}

static dl_status see_place(void *context, dl_state_place place, dl_error *err)
{
    (void)err;
    spots *s = context;
    s->count++;
    s->last = place;
    return DL_OK;
}

static spots dirty(dl_state *state, dl_state_kind kind)
{
    dl_error err = {0};
    spots s = {0};
    TAP_OK(dl_state_dirty(state, kind, 100, see_row, &s, &err), err);
    return s;
}

static spots extras(dl_state *state, dl_state_kind kind)
{
    dl_error err = {0};
    spots s = {0};
    TAP_OK(dl_state_extras(state, kind, see_place, &s, &err), err);
    return s;
}

static void rows_found_and_lost(dl_state_kind kind)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "i"), 1);
    int64_t file = file_of(f.state, kind, "a"), moved = file_of(f.state, kind, "b");
    spots s = dirty(f.state, kind);
    TAP_EQ_INT(s.count, 1);
    TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){file, 3}, 77, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    /* The same row with the same hash: nothing to do. With another one: dirty. */
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 3}, 77, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 3}, 78, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 1);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){file, 3}, 77, &err), err);
    /* A second row must go; places are those after compaction. */
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 5}, 77, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 1);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){file, moved, 0, 10, 0, NULL}, &err), err);
    TAP_EQ_INT(extras(f.state, kind).last.file, moved);
    TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){moved, 5}, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){moved, 9}, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 0); /* that was another row */
    TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){moved, 3}, &err), err);
    s = dirty(f.state, kind);
    TAP_TRUE(s.count == 1 && s.last.file == 0 && s.hash == 0);
    TAP_OK(dl_state_extra_add(f.state, kind, (dl_state_place){file, 8}, &err), err);
    TAP_OK(dl_state_extra_add(f.state, kind, (dl_state_place){file, 8}, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 1);
    TAP_OK(dl_state_extras_clear(f.state, kind, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_STATUS(dl_state_written(f.state, kind, 12345, (dl_state_place){file, 3}, 77, &err),
               DL_E_NOT_FOUND);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(series_rows_found_and_lost)
{
    rows_found_and_lost(DL_STATE_SERIES);
}

TAP_CASE(study_rows_found_and_lost)
{
    rows_found_and_lost(DL_STATE_STUDY);
}

static void row_moved_by_others(dl_state_kind kind)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    dl_state_place place = {9, 9};
    TAP_OK(dl_state_row_place(f.state, kind, &key_a, &place, &err), err);
    TAP_EQ_INT(place.file, 0); /* nothing is known of the key */
    TAP_OK(dl_state_row_unplace(f.state, kind, &key_a, &err), err);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "i"), 1);
    int64_t file = file_of(f.state, kind, "a"), copy = file_of(f.state, kind, "b");
    spots s = dirty(f.state, kind);
    TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){file, 3}, 77, &err), err);
    TAP_OK(dl_state_row_place(f.state, kind, &key_a, &place, &err), err);
    TAP_TRUE(place.file == file && place.row == 3);
    /* Its copy is not a second row, and what was written still is. */
    TAP_OK(dl_state_row_unplace(f.state, kind, &key_a, &err), err);
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){copy, 6}, 77, &err), err);
    TAP_EQ_INT(extras(f.state, kind).count, 0);
    TAP_EQ_INT(dirty(f.state, kind).count, 0);
    TAP_OK(dl_state_row_place(f.state, kind, &key_a, &place, &err), err);
    TAP_TRUE(place.file == copy && place.row == 6);
    /* A copy that others changed is written anew. */
    TAP_OK(dl_state_row_unplace(f.state, kind, &key_a, &err), err);
    TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){file, 1}, 78, &err), err);
    TAP_EQ_INT(dirty(f.state, kind).count, 1);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(series_row_moved_by_others)
{
    row_moved_by_others(DL_STATE_SERIES);
}

TAP_CASE(study_row_moved_by_others)
{
    row_moved_by_others(DL_STATE_STUDY);
}

TAP_CASE(a_row_without_instances_is_dirty_until_it_is_gone)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    int64_t file = file_of(f.state, DL_STATE_SERIES, "a");
    TAP_OK(dl_state_found(f.state, DL_STATE_SERIES, &key_a, (dl_state_place){file, 3}, 77, &err),
           err);
    spots s = dirty(f.state, DL_STATE_SERIES);
    TAP_TRUE(s.count == 1 && s.last.file == file && s.last.row == 3);
    TAP_OK(dl_state_written(f.state, DL_STATE_SERIES, s.id, (dl_state_place){0}, 0, &err), err);
    TAP_EQ_INT(dirty(f.state, DL_STATE_SERIES).count, 0);
    dl_state_key key = key_a;
    key.study_uid = DL_STR("9.9");
    TAP_OK(dl_state_lost(f.state, DL_STATE_SERIES, &key, (dl_state_place){file, 3}, &err), err);
    TAP_OK(dl_state_prune(f.state, 0, &err), err);
    dl_state_totals totals = {0};
    TAP_OK(dl_state_totals_get(f.state, &totals, &err), err);
    TAP_EQ_INT(totals.files, 0);
    dl_db_stmt *q = NULL;
    TAP_OK(dl_state_query(f.state,
                          "SELECT (SELECT count(*) FROM series) + (SELECT count(*) FROM study)", &q,
                          &err),
           err);
    TAP_TRUE(dl_db_step(q));
    TAP_EQ_INT(dl_db_int(q, 0), 0);
    TAP_OK(dl_db_finish(q, &err), err);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

static dl_status see_file(void *context, int64_t file, dl_str path, dl_str dv, dl_error *err)
{
    (void)err;
    (void)path;
    spots *s = context;
    s->count++;
    s->id = file;
    s->last.row = (int64_t)dv.len;
    return DL_OK;
}

static dl_status see_orphan(void *context, const dl_state_key *key, dl_state_place place,
                            dl_error *err)
{
    (void)err;
    spots *s = context;
    s->count++;
    s->last = place;
    TAP_EQ_STR(key->partition_name, "p");
    TAP_EQ_STR(key->study_uid, "1.2");
    s->id = (int64_t)(key->series_uid.len + key->sop_uid.len);
    return DL_OK;
}

TAP_CASE(files_are_marked_and_rows_without_a_file_are_found)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    int64_t a = file_of(f.state, DL_STATE_INSTANCE, "a"),
            b = file_of(f.state, DL_STATE_INSTANCE, "b");
    put_at(f.state, &key_a, 1, a, 1);
    spots s = {0};
    TAP_OK(dl_state_files(f.state, DL_STATE_INSTANCE, see_file, &s, &err), err);
    TAP_EQ_INT(s.count, 0);
    TAP_OK(dl_state_file_mark(f.state, a, true, DL_STR("u-abc@1"), &err), err);
    TAP_STATUS(dl_state_file_mark(f.state, 999, true, DL_STR(""), &err), DL_E_NOT_FOUND);
    TAP_OK(dl_state_files(f.state, DL_STATE_INSTANCE, see_file, &s, &err), err);
    TAP_TRUE(s.count == 1 && s.id == a && s.last.row == 7);
    s.count = 0;
    TAP_OK(dl_state_files(f.state, DL_STATE_SERIES, see_file, &s, &err), err);
    TAP_OK(dl_state_orphans(f.state, DL_STATE_INSTANCE, see_orphan, &s, &err), err);
    TAP_EQ_INT(s.count, 0);
    TAP_OK(dl_state_file_mark(f.state, a, false, DL_STR(""), &err), err);
    TAP_OK(dl_state_orphans(f.state, DL_STATE_INSTANCE, see_orphan, &s, &err), err);
    TAP_TRUE(s.count == 1 && s.last.file == a && s.id == 12);
    TAP_OK(dl_state_forward(f.state, &(dl_state_move){a, b, 0, 5, 0, NULL}, &err), err);
    TAP_OK(dl_state_file_mark(f.state, b, true, DL_STR(""), &err), err);
    s.count = 0;
    TAP_OK(dl_state_orphans(f.state, DL_STATE_INSTANCE, see_orphan, &s, &err), err);
    TAP_EQ_INT(s.count, 0);
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        int64_t own = file_of(f.state, kind, "rows");
        TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){own, 2}, 5, &err), err);
        s.count = 0;
        TAP_OK(dl_state_orphans(f.state, kind, see_orphan, &s, &err), err);
        TAP_TRUE(s.count == 1 && s.last.file == own && s.id == (kind == DL_STATE_SERIES ? 5 : 0));
    }
    TAP_OK(dl_state_prune(f.state, 0, &err), err);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str path = DL_STR_NONE;
    TAP_OK(dl_state_file_path(f.state, a, arena, &path, &err), err); /* still leads to a row */
    TAP_EQ_STR(path, "a");
    put_at(f.state, &key_a, 1, b, 1);
    TAP_OK(dl_state_prune(f.state, 0, &err), err);
    TAP_STATUS(dl_state_file_path(f.state, a, arena, &path, &err), DL_E_NOT_FOUND);
    TAP_OK(dl_state_file_path(f.state, b, arena, &path, &err), err);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

/* ---- ahead ---- */

static dl_status see_ahead(void *context, const dl_state_change *change, dl_error *err)
{
    dl_buf *out = context;
    return dl_buf_printf(out, err, "%lld@%lld%s ", (long long)change->sequence,
                         (long long)change->timestamp_us, change->is_delete ? "-" : "+");
}

TAP_CASE(changes_ahead_come_back_in_order_until_they_are_behind)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    DL_AUTO_BUF out;
    dl_buf_init(&out, 4096);
    dl_state_key other = key_a;
    other.sop_uid = DL_STR("1.2.3.5");
    begin(f.state);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 1, &(dl_state_change){300, 30, true}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 1, &(dl_state_change){20, 2, false}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 1, &(dl_state_change){20, 2, false}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &key_a, 2, &(dl_state_change){25, 9, false}, &err), err);
    TAP_OK(dl_state_ahead_add(f.state, &other, 1, &(dl_state_change){21, 9, false}, &err), err);
    TAP_OK(dl_state_ahead(f.state, &key_a, 1, see_ahead, &out, &err), err);
    TAP_EQ_STR(dl_buf_str(&out), "20@2+ 300@30- ");
    /* What is behind stays as long as the key has something ahead. */
    TAP_OK(dl_state_ahead_prune(f.state, 1, 299, &err), err);
    dl_buf_reset(&out);
    TAP_OK(dl_state_ahead(f.state, &key_a, 1, see_ahead, &out, &err), err);
    TAP_OK(dl_state_ahead(f.state, &other, 1, see_ahead, &out, &err), err);
    TAP_OK(dl_state_ahead(f.state, &key_a, 2, see_ahead, &out, &err), err);
    TAP_EQ_STR(dl_buf_str(&out), "20@2+ 300@30- 25@9+ ");
    TAP_OK(dl_state_ahead_prune(f.state, 1, 300, &err), err);
    dl_buf_reset(&out);
    TAP_OK(dl_state_ahead(f.state, &key_a, 1, see_ahead, &out, &err), err);
    TAP_OK(dl_state_ahead(f.state, &key_a, 2, see_ahead, &out, &err), err);
    TAP_EQ_STR(dl_buf_str(&out), "25@9+ ");
    dl_buf_clear(&out);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

TAP_CASE(windows_are_absorbed_where_they_touch)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    TAP_OK(dl_state_window_add(f.state, 1, 100, 200, 20, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 100, 200, 19, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 200, 300, 30, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 150, 160, 31, &err), err);
    TAP_OK(dl_state_window_add(f.state, 1, 301, 400, 40, &err), err);
    TAP_OK(dl_state_window_add(f.state, 2, 0, 1000, 99, &err), err);
    int64_t end = 99, sequence = 10;
    TAP_OK(dl_state_window_absorb(f.state, 1, &end, &sequence, &err), err);
    TAP_TRUE(end == 99 && sequence == 10);
    end = 100;
    TAP_OK(dl_state_window_absorb(f.state, 1, &end, &sequence, &err), err);
    TAP_EQ_INT(end, 300);
    TAP_EQ_INT(sequence, 31);
    end = 301;
    TAP_OK(dl_state_window_absorb(f.state, 1, &end, &sequence, &err), err);
    TAP_EQ_INT(end, 400);
    TAP_EQ_INT(sequence, 40);
    int64_t low = INT64_MIN;
    TAP_OK(dl_state_window_absorb(f.state, 2, &low, &sequence, &err), err);
    TAP_TRUE(low == INT64_MIN && sequence == 40);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

/* ---- failures ---- */

static dl_status stop(void *context, const dl_state_row *row, dl_error *err)
{
    (void)context;
    (void)row;
    return dl_error_set(err, DL_E_CANCELED, "enough");
}

TAP_CASE(what_visit_returns_comes_back)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    for (int i = 0; i < 3; i++) {
        TAP_STATUS(dl_state_dirty(f.state, DL_STATE_SERIES, 9, stop, NULL, &err), DL_E_CANCELED);
        TAP_TRUE(strstr(err.message, "enough") != NULL);
    }
    TAP_EQ_INT(dirty(f.state, DL_STATE_SERIES).count, 1);
    dl_state_rollback(f.state);
    fixture_close(&f);
}

static dl_status ignore_row(void *context, const dl_state_row *row, dl_error *err)
{
    (void)context;
    (void)row;
    (void)err;
    return DL_OK;
}

static dl_status use_all(const char *path, dl_error *err)
{
    dl_state *state = NULL;
    DL_TRY(dl_state_open(path, &state, err));
    dl_status status = dl_state_begin(state, err);
    int64_t a = 0, b = 0;
    DL_AUTO(dl_delta_bitmap) dead = NULL;
    dl_state_instance instance = {.timestamp_us = 1, .created_us = 1};
    status = status == DL_OK ? dl_delta_bitmap_create(&dead, err) : status;
    status = status == DL_OK ? dl_delta_bitmap_add(dead, 1, NULL, err) : status;
    status =
        status == DL_OK ? dl_state_file(state, DL_STATE_INSTANCE, DL_STR("a"), &a, err) : status;
    status =
        status == DL_OK ? dl_state_file(state, DL_STATE_INSTANCE, DL_STR("b"), &b, err) : status;
    status = status == DL_OK ? dl_state_forward(state, &(dl_state_move){a, b, 0, 9, 0, dead}, err)
                             : status;
    instance.place = (dl_state_place){a, 2};
    status = status == DL_OK ? dl_state_put(state, &key_a, &instance, &shown_a, err) : status;
    status = status == DL_OK ? dl_state_get(state, &key_a, &instance, err) : status;
    status =
        status == DL_OK ? dl_state_dirty(state, DL_STATE_SERIES, 9, ignore_row, NULL, err) : status;
    status =
        status == DL_OK ? dl_state_dirty(state, DL_STATE_STUDY, 9, ignore_row, NULL, err) : status;
    status = status == DL_OK ? dl_state_remove(state, &key_a, 2, 2, 1, err) : status;
    status = status == DL_OK
                 ? dl_state_ahead_add(state, &key_a, 1, &(dl_state_change){1, 1, true}, err)
                 : status;
    status = status == DL_OK ? dl_state_prune(state, 9, err) : status;
    if (status == DL_OK) {
        status = dl_state_commit(state, err);
    } else {
        dl_state_rollback(state);
    }
    dl_state_close(state);
    return status;
}

/** A small batch, merged at its end. */
static dl_status use_recent(const char *path, dl_error *err)
{
    dl_state *state = NULL;
    DL_TRY(dl_state_open(path, &state, err));
    dl_status status = dl_state_begin(state, err);
    int64_t file = 0;
    status = status == DL_OK ? dl_state_expect(state, 1, err) : status;
    status =
        status == DL_OK ? dl_state_file(state, DL_STATE_INSTANCE, DL_STR("a"), &file, err) : status;
    dl_state_instance instance = {.timestamp_us = 1, .created_us = 1, .place = {file, 1}};
    status = status == DL_OK ? dl_state_put(state, &key_a, &instance, &shown_a, err) : status;
    status =
        status == DL_OK ? dl_state_dirty(state, DL_STATE_SERIES, 9, ignore_row, NULL, err) : status;
    status = status == DL_OK ? dl_state_prune(state, 9, err) : status;
    if (status == DL_OK) {
        status = dl_state_commit(state, err);
    } else {
        dl_state_rollback(state);
    }
    dl_state_close(state);
    return status;
}

static void fail_each_allocation(dl_status (*use)(const char *path, dl_error *err))
{
    fixture f;
    fixture_open(&f);
    dl_state_close(f.state);
    f.state = NULL;
    dl_error err = {0};
    TAP_OK(use(f.path, &err), err); /* the second time finds what the first one made */
    dl_mem_fail_after(1 << 20);
    TAP_OK(use(f.path, &err), err);
    int64_t all = dl_mem_asked();
    TAP_TRUE(all > 15);
    for (int64_t n = 0; n < all; n++) {
        dl_mem_fail_after(n);
        err = (dl_error){0};
        TAP_STATUS(use(f.path, &err), DL_E_NOMEM);
        TAP_TRUE(err.message[0] != 0);
    }
    dl_mem_fail_after(-1);
    TAP_OK(use(f.path, &err), err);
    fixture_close(&f);
}

TAP_CASE(each_allocation_may_fail)
{
    fail_each_allocation(use_all);
    fail_each_allocation(use_recent);
}

/** Rows apart after a transaction that expects `changes` and puts one row. */
static int64_t recent_after(fixture *f, size_t changes)
{
    dl_error err = {0};
    begin(f->state);
    TAP_OK(dl_state_expect(f->state, changes, &err), err);
    int64_t row = get(f->state, &key_a).place.row + 1;
    put_at(f->state, &key_a, row, file_of(f->state, DL_STATE_INSTANCE, "a"), row);
    commit(f->state);
    TAP_EQ_INT(get(f->state, &key_a).place.row, row);
    dl_db_stmt *q = NULL;
    TAP_OK(dl_db_query(f->state->db, "SELECT count(*) FROM recent_instance", &q, &err), err);
    int64_t count = dl_db_step(q) ? dl_db_int(q, 0) : -1;
    TAP_OK(dl_db_finish(q, &err), err);
    return count;
}

/** The row of the dirty one is written. */
static void settle(fixture *f, dl_state_kind kind)
{
    dl_error err = {0};
    begin(f->state);
    spots s = dirty(f->state, kind);
    TAP_OK(dl_state_written(f->state, kind, s.id, (dl_state_place){0}, 0, &err), err);
    commit(f->state);
}

TAP_CASE(small_batches_stand_apart_up_to_a_limit)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    TAP_EQ_INT(recent_after(&f, 10001), 0);
    settle(&f, DL_STATE_SERIES); /* a dirty row of the index itself: nothing is apart */
    TAP_EQ_INT(recent_after(&f, 10000), 0);
    settle(&f, DL_STATE_SERIES);
    settle(&f, DL_STATE_STUDY);
    TAP_EQ_INT(recent_after(&f, 10000), 1);
    fixture_reopen(&f);
    TAP_EQ_INT(recent_after(&f, 10000), 1);
    TAP_EQ_INT(recent_after(&f, 10001), 0);
    settle(&f, DL_STATE_SERIES);
    settle(&f, DL_STATE_STUDY);
    begin(f.state);
    TAP_OK(dl_state_number_set(f.state, "recent_changes", 39999, &err), err);
    commit(f.state);
    fixture_reopen(&f);
    TAP_EQ_INT(recent_after(&f, 1), 1);
    TAP_EQ_INT(recent_after(&f, 1), 0);
    fixture_close(&f);
}

/* What one has read and kept is wrong once the other has written: it writes no more. */
TAP_CASE(a_second_writer_is_noticed)
{
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    begin(f.state);
    commit(f.state);
    dl_state *other = NULL;
    TAP_OK(dl_state_open(f.path, &other, &err), err);
    begin(other);
    put_at(other, &key_a, 1, file_of(other, DL_STATE_INSTANCE, "a"), 1);
    commit(other);
    TAP_STATUS(dl_state_begin(f.state, &err), DL_E_IO);
    begin(other);
    commit(other);
    dl_state_close(other);
    fixture_close(&f);
}

/* Each statement finds its rows by an index, but for those that are meant to look at everything. */
TAP_CASE(no_statement_looks_at_a_whole_table)
{
    static const char *const whole[] = {"coalesce(sum(",
                                        "FROM sqlite_schema",
                                        "UPDATE series SET dirty = 1 WHERE dirty",
                                        "UPDATE study SET dirty = 1 WHERE dirty",
                                        "CROSS JOIN file f",
                                        "SELECT shown FROM instance",
                                        "DELETE FROM recent_",
                                        "FROM recent_instance WHERE true",
                                        "FROM recent_series r WHERE",
                                        "FROM recent_study r WHERE"};
    static const char of_one[] = "DESC LIMIT 1"; /* what shows of one series or study: few rows */
    fixture f;
    fixture_open(&f);
    dl_error err = {0};
    dl_state_close(f.state);
    TAP_OK(use_all(f.path, &err), err);
    TAP_OK(dl_state_open(f.path, &f.state, &err), err);
    begin(f.state);
    put_at(f.state, &key_a, 1, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    put_at(f.state, &key_a, 2, file_of(f.state, DL_STATE_INSTANCE, "a"), 2);
    TAP_OK(dl_state_remove(f.state, &key_a, 3, 3, 1, &err), err);
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        spots s = dirty(f.state, kind);
        TAP_OK(dl_state_found(f.state, kind, &key_a, (dl_state_place){1, 1}, 1, &err), err);
        TAP_OK(dl_state_lost(f.state, kind, &key_a, (dl_state_place){1, 1}, &err), err);
        TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){0}, 0, &err), err);
    }
    commit(f.state);
    begin(f.state); /* the same apart, and merged */
    TAP_OK(dl_state_expect(f.state, 1, &err), err);
    put_at(f.state, &key_a, 4, file_of(f.state, DL_STATE_INSTANCE, "a"), 1);
    TAP_OK(dl_state_remove(f.state, &key_a, 5, 5, 1, &err), err);
    for (dl_state_kind kind = DL_STATE_SERIES; kind <= DL_STATE_STUDY; kind++) {
        spots s = dirty(f.state, kind);
        TAP_OK(dl_state_written(f.state, kind, s.id, (dl_state_place){0}, 0, &err), err);
    }
    TAP_OK(dl_state_prune(f.state, 9, &err), err);
    commit(f.state);
    sqlite3 *db = NULL;
    TAP_EQ_INT(sqlite3_open(f.path, &db), SQLITE_OK);
    const char *sql = NULL;
    int seen = 0;
    for (size_t i = 0; (sql = dl_db_statement_sql(f.state->db, i)) != NULL; i++) {
        bool meant = false;
        for (size_t k = 0; k < DL_COUNT_OF(whole); k++) {
            meant |= strstr(sql, whole[k]) != NULL;
        }
        char text[2048];
        (void)snprintf(text, sizeof text, "EXPLAIN QUERY PLAN %s", sql);
        sqlite3_stmt *q = NULL;
        TAP_EQ_INT(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
        while (!meant && sqlite3_step(q) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(q, 3);
            bool bad = (strncmp(step, "SCAN", 4) == 0 && strstr(step, "INDEX") == NULL) ||
                       (strstr(step, "TEMP B-TREE") != NULL && strstr(sql, of_one) == NULL);
            if (bad && strncmp(step, "SCAN CONSTANT ROW", 17) != 0) {
                TAP_FAIL("%s: %s", sql, step);
            }
            seen++;
        }
        (void)sqlite3_finalize(q);
    }
    TAP_TRUE(seen > 20);
    (void)sqlite3_close(db);
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
    TAP_RUN(keys_are_bounded);
    TAP_RUN(shown_values_and_paths_are_bounded);
    TAP_RUN(more_series_than_memory_keeps);
    TAP_RUN(uids_are_packed_in_their_order);
    TAP_RUN(rows_follow_chains_and_splits_past_dead_rows);
    TAP_RUN(a_circle_of_files_is_damage);
    TAP_RUN(a_long_chain_and_many_bitmaps_stay_within_the_bound);
    TAP_RUN(series_rows_found_and_lost);
    TAP_RUN(study_rows_found_and_lost);
    TAP_RUN(series_row_moved_by_others);
    TAP_RUN(study_row_moved_by_others);
    TAP_RUN(a_row_without_instances_is_dirty_until_it_is_gone);
    TAP_RUN(files_are_marked_and_rows_without_a_file_are_found);
    TAP_RUN(changes_ahead_come_back_in_order_until_they_are_behind);
    TAP_RUN(windows_are_absorbed_where_they_touch);
    TAP_RUN(what_visit_returns_comes_back);
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(small_batches_stand_apart_up_to_a_limit);
    TAP_RUN(a_second_writer_is_noticed);
    TAP_RUN(no_statement_looks_at_a_whole_table);
    return tap_done();
}
