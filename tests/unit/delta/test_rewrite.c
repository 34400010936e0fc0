/* Copying live rows: what they are afterwards, where they went, what died meanwhile, and modes. */
#include "tables.h"
#include "tap.h"

#include "base/mem.h"
#include "delta/maintain.h"

#include <stdlib.h>

static uint8_t counts[TABLES_ROWS], wanted[TABLES_ROWS];

/* ids first .. first + count - 1 live, or not */
static void want(int64_t first, int64_t count, bool live)
{
    memset(wanted + first, live, (size_t)count);
}

static void check_rows(dl_delta_table *table)
{
    dl_error err = {0};
    TAP_OK(tables_count(table, counts, &err), err);
    for (int64_t id = 0; id < TABLES_ROWS; id++) {
        if (counts[id] != wanted[id]) {
            TAP_FAIL("id %lld lives %d times, not %d", (long long)id, counts[id], wanted[id]);
            return;
        }
    }
}

/* The file that has `id` in its first row. */
static dl_str path_of(dl_delta_table *table, int64_t id)
{
    char text[48];
    (void)snprintf(text, sizeof text, "\"minValues\":{\"id\":%lld,", (long long)id);
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    while (dl_delta_next_file(table, &cursor, &file)) {
        if (dl_str_find_str(file->stats, dl_str_of(text)) >= 0) {
            return file->path;
        }
    }
    TAP_FAIL("no file begins with id %lld", (long long)id);
    return DL_STR("?");
}

static void kill_some(dl_delta_table *table, dl_str path, const int64_t *rows, size_t count)
{
    dl_error err = {0};
    DL_AUTO(dl_delta_bitmap) dead = tables_rows(rows, count);
    dl_delta_kill kill = {path, dead};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
}

typedef struct full_row {
    char text[256];
} full_row;
static full_row *rows_before, *rows_after;

/* One entry of one leaf as text. */
static size_t put_entry(char *out, size_t room, size_t leaf, const dl_columnar_entries *e, size_t k)
{
    static const uint8_t full[] = {1, 1, 1, 1, 3, 2, 2}; /* definition level of a value */
    unsigned rep = e->rep == NULL ? 0 : e->rep[k];
    size_t len = (size_t)snprintf(out, room, "|%u/%u", rep, e->def[k]);
    if (leaf >= DL_COUNT_OF(full) || e->def[k] != full[leaf]) {
        return len;
    }
    if (leaf == 1 || leaf == 4 || leaf == 5) {
        return len + (size_t)snprintf(out + len, room - len, ":%.*s", DL_STR_ARG(e->values[k].s));
    }
    if (leaf == 3) {
        return len + (size_t)snprintf(out + len, room - len, ":%g", e->values[k].d);
    }
    return len + (size_t)snprintf(out + len, room - len, ":%lld", (long long)e->values[k].i);
}

/* Every value of every live row as text, at its id. */
static dl_status note_rows(void *context, const dl_delta_batch *b, dl_error *err)
{
    (void)err;
    full_row *rows = context;
    size_t at[8] = {0};
    DL_ASSERT(b->leaf_count <= DL_COUNT_OF(at));
    for (size_t i = 0; i < b->row_count; i++) {
        char text[256] = {0};
        size_t len = 0;
        int64_t id = b->leaves[0].values[at[0]].i;
        for (size_t leaf = 0; leaf < b->leaf_count; leaf++) {
            const dl_columnar_entries *e = &b->leaves[leaf];
            do {
                len += put_entry(text + len, sizeof text - len, leaf, e, at[leaf]++);
            } while (at[leaf] < e->count && e->rep != NULL && e->rep[at[leaf]] != 0);
        }
        if (b->live[i]) {
            memcpy(rows[id].text, text, sizeof text);
        }
    }
    return DL_OK;
}

static void note_all(dl_delta_table *table, full_row *rows)
{
    static const dl_str columns[] = {{"id", 2},    {"name", 4}, {"at", 2},
                                     {"score", 5}, {"tags", 4}, {"info", 4}};
    dl_error err = {0};
    memset(rows, 0, TABLES_ROWS * sizeof *rows);
    dl_delta_scan scan = {.columns = columns, .column_count = DL_COUNT_OF(columns)};
    TAP_OK(dl_delta_read(table, &scan, note_rows, rows, &err), err);
}

/* Three files of east (0-99, 100-199, 200-299) and one of west (300-399). */
static dl_delta_table *begin(tables *t, bool compat)
{
    dl_error err = {0};
    dl_delta_table *table = NULL;
    tables_init(t, NULL);
    TAP_OK(tables_create(t, "", compat, &table, &err), err);
    memset(wanted, 0, sizeof wanted);
    for (int i = 0; i < 4; i++) {
        TAP_OK(tables_append(table, i == 3 ? "west" : "east", (int64_t)i * 100, 100, &err), err);
    }
    want(0, 400, true);
    return table;
}

static void end(tables *t, dl_delta_table *table)
{
    dl_error err = {0};
    DL_AUTO_TABLE again = NULL; /* what others find is the same */
    TAP_OK(tables_open(t, "", &again, &err), err);
    if (again != NULL) {
        check_rows(again);
        TAP_EQ_INT(dl_delta_totals_of(again).row_count, dl_delta_totals_of(table).row_count);
    }
    dl_delta_table_close(DL_STEAL(again));
    dl_delta_table_close(table);
    tables_clear(t);
}

static dl_delta_rewrite *rewrite_east(dl_delta_table *table, int64_t limit_bytes)
{
    dl_error err = {0};
    dl_delta_rewrite *rewrite = NULL;
    dl_str paths[] = {path_of(table, 0), path_of(table, 100), path_of(table, 200)};
    dl_delta_rewrite_options options = {
        .paths = paths, .path_count = 3, .file_limit_bytes = limit_bytes};
    TAP_OK(dl_delta_rewrite_create(table, &options, &rewrite, &err), err);
    return rewrite;
}

/* Every row is where the moves say: ids follow positions in the old files. */
typedef struct places {
    int64_t ids[1000];
    dl_str path;
} places;

static dl_status note_places(void *context, const dl_delta_batch *b, dl_error *err)
{
    (void)err;
    places *p = context;
    for (size_t i = 0; i < b->row_count; i++) {
        p->ids[b->row_numbers[i]] = b->leaves[0].values[i].i;
    }
    return DL_OK;
}

static int64_t id_at(dl_delta_table *table, dl_str path, int64_t row)
{
    static places p;
    dl_error err = {0};
    if (!dl_str_eq(p.path, path)) {
        dl_str column = DL_STR("id");
        dl_delta_scan scan = {
            .columns = &column, .column_count = 1, .file = dl_delta_file_by_path(table, path)};
        TAP_TRUE(scan.file != NULL);
        TAP_OK(dl_delta_read(table, &scan, note_places, &p, &err), err);
        p.path = path;
    }
    int64_t id = p.ids[row];
    p.path = DL_STR_NONE;
    return id;
}

static void check_moves(dl_delta_table *table, const dl_delta_rewrite *rewrite,
                        const dl_str *old_paths, int64_t want_rows)
{
    size_t count = 0;
    int64_t rows = 0;
    const dl_delta_move *moves = dl_delta_rewrite_moves(rewrite, &count);
    for (size_t m = 0; m < count; m++) {
        int64_t first = dl_str_eq(moves[m].old_path, old_paths[0])   ? 0
                        : dl_str_eq(moves[m].old_path, old_paths[1]) ? 100
                                                                     : 200;
        for (int64_t row = moves[m].first_row; row < moves[m].end_row; row++) {
            if (dl_delta_bitmap_has(moves[m].dead, (uint64_t)row)) {
                continue;
            }
            int64_t at =
                moves[m].base + row - (int64_t)dl_delta_bitmap_rank(moves[m].dead, (uint64_t)row);
            TAP_EQ_INT(id_at(table, moves[m].new_path, at), first + row);
            rows++;
        }
    }
    TAP_EQ_INT(rows, want_rows);
}

TAP_CASE(compaction_keeps_every_value)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    static const int64_t rows[] = {0, 7, 8, 99};
    kill_some(table, path_of(table, 100), rows, 4);
    want(100, 1, false);
    want(107, 2, false);
    want(199, 1, false);
    note_all(table, rows_before);
    DL_AUTO(dl_delta_rewrite) rewrite = rewrite_east(table, 0);
    dl_str old[3] = {DL_STR_NONE};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    for (int i = 0; i < 3; i++) {
        TAP_OK(dl_arena_copy(arena, path_of(table, (int64_t)i * 100), &old[i], &err), err);
    }
    dl_delta_result result = {0};
    TAP_OK(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, &err), err);
    TAP_EQ_INT(result.files_added, 1);
    TAP_EQ_INT(result.files_removed, 3);
    TAP_EQ_INT(dl_delta_file_count(table), 2);
    TAP_EQ_INT(dl_delta_totals_of(table).dv_count, 0);
    TAP_EQ_INT(dl_delta_totals_of(table).row_count, 396);
    check_rows(table);
    check_moves(table, rewrite, old, 296);
    note_all(table, rows_after);
    TAP_TRUE(memcmp(rows_before, rows_after, TABLES_ROWS * sizeof *rows_before) == 0);
    TAP_TRUE(rows_after[101].text[0] == '|');
    dl_delta_rewrite_destroy(DL_STEAL(rewrite));
    end(&t, table);
}

TAP_CASE(new_files_are_split_at_the_limit)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    static const int64_t rows[] = {1, 2, 50};
    kill_some(table, path_of(table, 0), rows, 3);
    want(1, 2, false);
    want(50, 1, false);
    dl_str old[3] = {DL_STR_NONE};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    for (int i = 0; i < 3; i++) {
        TAP_OK(dl_arena_copy(arena, path_of(table, (int64_t)i * 100), &old[i], &err), err);
    }
    int64_t size = dl_delta_file_by_path(table, old[1])->size_bytes;
    DL_AUTO(dl_delta_rewrite) rewrite = rewrite_east(table, size * 6 / 10);
    size_t writers = 0;
    (void)dl_delta_rewrite_writers(rewrite, &writers);
    TAP_TRUE(writers >= 5 && writers <= 6);
    dl_delta_result result = {0};
    TAP_OK(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, &err), err);
    TAP_EQ_INT(result.files_added, writers);
    check_rows(table);
    check_moves(table, rewrite, old, 297);
    dl_delta_rewrite_destroy(DL_STEAL(rewrite));
    end(&t, table);
}

TAP_CASE(rows_that_die_meanwhile_are_dead_in_the_copy)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    static const int64_t before[] = {3, 4};
    kill_some(table, path_of(table, 0), before, 2);
    int64_t size = dl_delta_file_by_path(table, path_of(table, 100))->size_bytes;
    DL_AUTO(dl_delta_rewrite) rewrite = rewrite_east(table, size * 6 / 10);
    static const int64_t later[] = {0, 5, 98, 99};
    kill_some(table, path_of(table, 0), later, 4);
    int64_t all[100];
    for (int i = 0; i < 100; i++) {
        all[i] = i;
    }
    kill_some(table, path_of(table, 200), all, 60);
    /* and somebody else's commit, through a table of its own */
    DL_AUTO_TABLE other = NULL;
    TAP_OK(tables_open(&t, "", &other, &err), err);
    static const int64_t theirs[] = {10};
    kill_some(other, path_of(other, 100), theirs, 1);
    TAP_OK(tables_append(other, "west", 400, 10, &err), err);
    dl_delta_result result = {0};
    TAP_OK(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, &err), err);
    want(0, 1, false);
    want(3, 3, false);
    want(98, 2, false);
    want(110, 1, false);
    want(200, 60, false);
    want(400, 10, true);
    check_rows(table);
    dl_delta_table_close(DL_STEAL(other));
    dl_delta_rewrite_destroy(DL_STEAL(rewrite));
    end(&t, table);
}

TAP_CASE(a_file_that_went_away_is_a_conflict)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    DL_AUTO(dl_delta_rewrite) rewrite = rewrite_east(table, 0);
    DL_AUTO_TABLE other = NULL;
    TAP_OK(tables_open(&t, "", &other, &err), err);
    int64_t all[100];
    for (int i = 0; i < 100; i++) {
        all[i] = i;
    }
    kill_some(other, path_of(other, 100), all, 100);
    want(100, 100, false);
    dl_delta_result result = {.version = 77};
    TAP_STATUS(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, &err),
               DL_E_CONFLICT);
    TAP_EQ_INT(result.version, 77);
    TAP_TRUE(err.message[0] != '\0');
    check_rows(table);
    dl_delta_table_close(DL_STEAL(other));
    dl_delta_rewrite_destroy(DL_STEAL(rewrite));
    end(&t, table);
}

TAP_CASE(every_row_died_meanwhile)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    static const int64_t most[] = {0, 1, 2, 3, 4};
    dl_str path = path_of(table, 300);
    int64_t all[100];
    for (int i = 0; i < 100; i++) {
        all[i] = i;
    }
    kill_some(table, path, all + 5, 95);
    path = path_of(table, 300);
    DL_AUTO(dl_delta_rewrite) rewrite = NULL;
    dl_delta_rewrite_options options = {.paths = &path, .path_count = 1};
    TAP_OK(dl_delta_rewrite_create(table, &options, &rewrite, &err), err);
    kill_some(table, path_of(table, 300), most, 4);
    dl_delta_result result = {0};
    TAP_OK(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, &err), err);
    want(300, 4, false);
    want(305, 95, false);
    check_rows(table);
    dl_delta_rewrite_destroy(DL_STEAL(rewrite));
    end(&t, table);
}

TAP_CASE(copy_on_write_leaves_rows_out)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, true);
    static const int64_t rows[] = {0, 1, 99};
    int64_t all[100];
    for (int i = 0; i < 100; i++) {
        all[i] = i;
    }
    DL_AUTO(dl_delta_bitmap) some = tables_rows(rows, 3);
    DL_AUTO(dl_delta_bitmap) every = tables_rows(all, 100);
    dl_str paths[] = {path_of(table, 0), path_of(table, 300), path_of(table, 100)};
    dl_delta_kill kills[] = {{paths[0], some}, {paths[1], some}, {paths[2], every}};
    dl_delta_rewrite_options options = {
        .paths = paths, .path_count = 3, .kills = kills, .kill_count = 3};
    DL_AUTO(dl_delta_rewrite) rewrite = NULL;
    TAP_STATUS(dl_delta_rewrite_create(table, &options, &rewrite, &err), DL_E_INVALID);
    TAP_TRUE(rewrite == NULL);
    options.per_file = true; /* then of several partitions */
    TAP_OK(dl_delta_rewrite_create(table, &options, &rewrite, &err), err);
    size_t writers = 0;
    dl_delta_writer *const *w = dl_delta_rewrite_writers(rewrite, &writers);
    TAP_EQ_INT(writers, 2);
    dl_delta_result result = {0};
    TAP_STATUS(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, &err),
               DL_E_INVALID);
    dl_delta_change change = {.operation = "DELETE",
                              .data_change = true,
                              .writers = w,
                              .writer_count = writers,
                              .removes = paths,
                              .remove_count = 3};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    want(0, 2, false);
    want(99, 101, false);
    want(300, 2, false);
    want(399, 1, false);
    check_rows(table);
    dl_delta_rewrite_destroy(DL_STEAL(rewrite));
    end(&t, table);
}

TAP_CASE(a_file_that_is_not_there)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    dl_str path = DL_STR("nowhere.parquet");
    dl_delta_rewrite_options options = {.paths = &path, .path_count = 1};
    dl_delta_rewrite *rewrite = NULL;
    TAP_STATUS(dl_delta_rewrite_create(table, &options, &rewrite, &err), DL_E_NOT_FOUND);
    TAP_TRUE(rewrite == NULL);
    dl_cancel cancel = {true};
    dl_str real = path_of(table, 0);
    options = (dl_delta_rewrite_options){.paths = &real, .path_count = 1, .cancel = &cancel};
    TAP_STATUS(dl_delta_rewrite_create(table, &options, &rewrite, &err), DL_E_CANCELED);
    end(&t, table);
}

/* ---- modes ---- */

TAP_CASE(to_compat_and_back)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    static const int64_t rows[] = {0, 7, 8, 99};
    kill_some(table, path_of(table, 100), rows, 4);
    kill_some(table, path_of(table, 300), rows, 2);
    want(100, 1, false);
    want(107, 2, false);
    want(199, 1, false);
    want(300, 1, false);
    want(307, 1, false);
    TAP_OK(dl_delta_set_compat(table, true, &err), err);
    TAP_TRUE(!dl_delta_makes_dvs(table));
    TAP_EQ_INT(dl_delta_totals_of(table).dv_count, 0);
    TAP_EQ_INT(dl_delta_protocol_of(table)->min_reader, 3); /* the log still holds vectors */
    check_rows(table);
    int64_t version = dl_delta_version(table);
    TAP_OK(dl_delta_set_compat(table, true, &err), err);
    TAP_EQ_INT(dl_delta_version(table), version); /* nothing to do */
    TAP_OK(dl_delta_set_compat(table, false, &err), err);
    TAP_EQ_INT(dl_delta_version(table), version + 1);
    TAP_TRUE(dl_delta_makes_dvs(table));
    kill_some(table, path_of(table, 0), rows, 1);
    want(0, 1, false);
    check_rows(table);
    end(&t, table);
}

TAP_CASE(a_compat_table_learns_vectors)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, true);
    TAP_EQ_INT(dl_delta_protocol_of(table)->min_reader, 1);
    int64_t version = dl_delta_version(table);
    TAP_OK(dl_delta_set_compat(table, false, &err), err);
    TAP_EQ_INT(dl_delta_version(table), version + 1);
    const dl_delta_protocol *p = dl_delta_protocol_of(table);
    TAP_EQ_INT(p->min_reader, 3);
    TAP_EQ_INT(p->min_writer, 7);
    TAP_EQ_INT(p->reader_features.count, 1);
    TAP_EQ_INT(p->writer_features.count, 3);
    static const int64_t rows[] = {5};
    kill_some(table, path_of(table, 0), rows, 1);
    want(5, 1, false);
    check_rows(table);
    TAP_EQ_INT(dl_delta_totals_of(table).dv_count, 1);
    end(&t, table);
}

/* ---- memory ---- */

static dl_status compact_once(dl_delta_table *table, dl_error *err)
{
    DL_AUTO(dl_delta_rewrite) rewrite = NULL;
    dl_str paths[16];
    size_t count = 0;
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    while (dl_delta_next_file(table, &cursor, &file)) {
        if (file->partition_values.items[0].value.ptr[0] == 'e') {
            paths[count++] = file->path;
        }
    }
    dl_delta_rewrite_options options = {
        .paths = paths, .path_count = count, .file_limit_bytes = 3000};
    dl_delta_result result = {0};
    DL_TRY(dl_delta_rewrite_create(table, &options, &rewrite, err));
    return dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, err);
}

TAP_CASE(out_of_memory)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *table = begin(&t, false);
    static const int64_t rows[] = {4, 5};
    kill_some(table, path_of(table, 100), rows, 2);
    want(104, 2, false);
    int failures = 0;
    for (int64_t n = 0;; n += 1 + n / 12) {
        dl_error_clear(&err);
        dl_mem_fail_after(n);
        dl_status status = compact_once(table, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        TAP_TRUE(err.message[0] != '\0');
        if (status == DL_E_UNAVAILABLE) { /* committed, but not applied */
            dl_delta_table_close(table);
            TAP_OK(tables_open(&t, "", &table, &err), err);
        }
        check_rows(table);
        if (tap_case_failed) {
            break;
        }
    }
    TAP_TRUE(failures > 20);
    check_rows(table);
    end(&t, table);
}

int main(void)
{
    rows_before = dl_mem_alloc(TABLES_ROWS, sizeof *rows_before);
    rows_after = dl_mem_alloc(TABLES_ROWS, sizeof *rows_after);
    TAP_RUN(compaction_keeps_every_value);
    TAP_RUN(new_files_are_split_at_the_limit);
    TAP_RUN(rows_that_die_meanwhile_are_dead_in_the_copy);
    TAP_RUN(a_file_that_went_away_is_a_conflict);
    TAP_RUN(every_row_died_meanwhile);
    TAP_RUN(copy_on_write_leaves_rows_out);
    TAP_RUN(a_file_that_is_not_there);
    TAP_RUN(to_compat_and_back);
    TAP_RUN(a_compat_table_learns_vectors);
    TAP_RUN(out_of_memory);
    dl_mem_free(rows_before);
    dl_mem_free(rows_after);
    return tap_done();
}
