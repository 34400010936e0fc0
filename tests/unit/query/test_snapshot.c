#include "snapshot_lake.h"

#include "tap.h"

static lake l;

/* `expr` names `err`. */
#define OK(expr)                                                                                   \
    do {                                                                                           \
        dl_error ok_err_ = {0}, *err = &ok_err_;                                                   \
        if ((expr) != DL_OK) {                                                                     \
            TAP_FAIL("%s: %s", #expr, ok_err_.message);                                            \
        }                                                                                          \
    } while (0)
#define ASK(sql, want) TAP_EQ_STR(dl_str_of(lake_ask(&l, sql)), want)

/* Kills rows of the table's only file. */
static dl_status kill_rows(dl_delta_table *table, const int64_t *rows, size_t count, dl_error *err)
{
    DL_AUTO(dl_delta_bitmap) bitmap = tables_rows(rows, count);
    dl_delta_kill kill = {.path = tables_only_file(table)->path, .rows = bitmap};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    dl_delta_result result = {0};
    return dl_delta_commit_change(table, &change, &result, err);
}

TAP_CASE(rows_of_plain_files_and_of_files_with_deletion_vectors)
{
    DL_AUTO_TABLE table = NULL;
    lake_init(&l);
    OK(tables_create(&l.tables, "a", false, &table, err));
    OK(tables_append(table, "p", 0, 5000, err));
    OK(kill_rows(table, (const int64_t[]){0, 7, 4999}, 3, err));
    OK(lake_bind_newest(&l, 0, err));
    ASK("SELECT count(*) FROM v", "4997");
    OK(tables_append(table, NULL, 5000, 100, err));
    OK(lake_bind_newest(&l, 0, err));
    ASK("SELECT count(*) FROM v", "5097");
    ASK("SELECT id FROM v WHERE id IN (0, 6, 7, 8, 4999, 5099) ORDER BY id", "6;8;5099");
    ASK("SELECT partitionName || ':' || count(*) FROM v GROUP BY partitionName ORDER BY 1",
        "p:4997;NULL");
    TAP_EQ_INT(l.reads[0].file_count, 2);
    TAP_EQ_INT(l.reads[0].version, 3);
    TAP_EQ_INT(l.reads[0].row_count, 5097);
    lake_clear(&l);
}

int main(void)
{
    TAP_RUN(rows_of_plain_files_and_of_files_with_deletion_vectors);
    return tap_done();
}
