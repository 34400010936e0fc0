/* Writes a table for tests/conformance/delta/test_written.py: delta_write FOLDER MODE COMMITS. Each
 * commit appends a file to one of the partitions and deletes rows of older ones (mode compat: whole
 * files). Says the ids that live at the end, one `id partition` a line. */
#include "tables.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { ROWS_A_COMMIT = 50 };
static const char *const partitions[] = {"Microsoft.Default", "ward 7/ä%", "a=b:c", NULL};

typedef struct model {
    int8_t partition[TABLES_ROWS]; /* -1: not live */
} model;

/* Every third row of the file, shifted, or all of it. */
static dl_delta_bitmap *choose(const dl_delta_file *file, int64_t commit, bool all)
{
    int64_t rows[ROWS_A_COMMIT];
    size_t count = 0;
    for (int64_t row = 0; row < file->row_count; row++) {
        if (all || row % 9 == commit % 9) {
            rows[count++] = row;
        }
    }
    return tables_rows(rows, count);
}

/* The first id of a file stands in its statistics. */
static int64_t first_id(const dl_delta_file *file)
{
    bool mapped = dl_str_find_str(file->stats, DL_STR("\"col-2\"")) >= 0;
    dl_str key = mapped ? DL_STR("\"minValues\":{\"col-2\":") : DL_STR("\"minValues\":{\"id\":");
    ptrdiff_t at = dl_str_find_str(file->stats, key);
    DL_ASSERT(at >= 0);
    dl_str rest = dl_str_slice(file->stats, (size_t)at + key.len, 12), digits = DL_STR_NONE;
    uint64_t id = 0;
    DL_ASSERT(dl_str_next(&rest, ',', &digits) && dl_str_to_u64(digits, &id));
    return (int64_t)id;
}

static void bury(model *m, const dl_delta_file *file, const dl_delta_bitmap *rows)
{
    uint64_t row = 0;
    while (dl_delta_bitmap_next(rows, row, &row)) {
        m->partition[first_id(file) + (int64_t)row++] = -1;
    }
}

static dl_status one_commit(dl_delta_table *table, int64_t commit, bool compat, model *m,
                            dl_error *err)
{
    dl_delta_kill kills[3];
    dl_delta_bitmap *rows[3] = {NULL};
    size_t cursor = 0, kill_count = 0;
    const dl_delta_file *file = NULL;
    while (kill_count < 3 && dl_delta_next_file(table, &cursor, &file)) {
        int64_t age = commit - first_id(file) / ROWS_A_COMMIT;
        if (compat ? age == 4 : age == 1 || age == 3 || age == 8) {
            rows[kill_count] = choose(file, commit, compat || age == 8);
            bury(m, file, rows[kill_count]);
            kills[kill_count] = (dl_delta_kill){file->path, rows[kill_count]};
            kill_count++;
        }
    }
    DL_AUTO(dl_delta_writer) writer = NULL;
    size_t partition = (size_t)commit % DL_COUNT_OF(partitions);
    dl_status status = tables_write(table, partitions[partition], commit * ROWS_A_COMMIT,
                                    ROWS_A_COMMIT, &writer, err);
    dl_delta_app app = {.app_id = DL_STR("dicomlake:test:rows"), .version = commit + 1};
    dl_delta_change change = {
        .operation = "MERGE",
        .data_change = true,
        .apps = &app,
        .app_count = 1,
        .writers = &writer,
        .writer_count = 1,
        .kills = kills,
        .kill_count = kill_count,
        .user_metadata = DL_STR("{\"seq\":1}"),
        .exclusive = true,
    };
    dl_delta_result result = {0};
    if (status == DL_OK) {
        status = dl_delta_commit_change(table, &change, &result, err);
    }
    for (int64_t i = 0; i < ROWS_A_COMMIT; i++) {
        m->partition[commit * ROWS_A_COMMIT + i] = (int8_t)partition;
    }
    dl_delta_bitmap_destroy(rows[0]);
    dl_delta_bitmap_destroy(rows[1]);
    dl_delta_bitmap_destroy(rows[2]);
    return status;
}

static dl_status write_table(const char *folder, const char *mode, int64_t commits, model *m,
                             dl_error *err)
{
    bool compat = strcmp(mode, "compat") == 0;
    tables t;
    tables_init(&t, folder);
    DL_AUTO_TABLE table = NULL;
    dl_status status = strcmp(mode, "mapped") == 0 ? tables_create_mapped(&t, "", &table, err)
                                                   : tables_create(&t, "", compat, &table, err);
    for (int64_t i = 0; status == DL_OK && i < commits; i++) {
        status = one_commit(table, i, compat, m, err);
    }
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
    return status;
}

int main(int argc, char **argv)
{
    uint64_t commits = 0;
    if (argc != 4 || !dl_str_to_u64(dl_str_of(argv[3]), &commits) ||
        commits > TABLES_ROWS / ROWS_A_COMMIT) {
        (void)fprintf(stderr, "usage: delta_write FOLDER dv|compat|mapped COMMITS\n");
        return 2;
    }
    static model m;
    memset(m.partition, -1, sizeof m.partition);
    dl_error err = {0};
    if (write_table(argv[1], argv[2], (int64_t)commits, &m, &err) != DL_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int64_t id = 0; id < TABLES_ROWS; id++) {
        if (m.partition[id] >= 0) {
            const char *name = partitions[m.partition[id]];
            printf("%lld %s\n", (long long)id, name == NULL ? "" : name);
        }
    }
    return 0;
}
