/* Maintains a table for tests/conformance/delta/test_maintained.py:
 *
 *     delta_maintain FOLDER VERB [ARGUMENT] ...
 *
 * verbs, one after another: checkpoint, clean, optimize SMALL_LIMIT (0: full), vacuum HOURS
 * (forced), restore VERSION, mode dv|compat, kill MODULUS (rows whose id it divides, as vectors),
 * reader NAME. Says one line a verb. An error goes to stderr, exit 1. */
#include "tables.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static dl_status optimize(dl_delta_table *table, int64_t limit, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 24);
    dl_delta_job *jobs = NULL;
    size_t count = 0;
    int64_t removed = 0;
    dl_delta_optimize_options options = {.small_limit = (size_t)limit, .full = limit == 0};
    DL_TRY(dl_delta_optimize_plan(table, &options, arena, &jobs, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_AUTO(dl_delta_rewrite) rewrite = NULL;
        dl_delta_rewrite_options how = {.paths = jobs[i].paths, .path_count = jobs[i].path_count};
        dl_delta_result result = {0};
        DL_TRY(dl_delta_rewrite_create(table, &how, &rewrite, err));
        dl_delta_pair parameters[] = {{DL_STR("predicate"), DL_STR("[]")},
                                      {DL_STR("auto"), DL_STR("false")}};
        DL_TRY(
            dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){parameters, 2}, &result, err));
        removed += result.files_removed;
    }
    printf("optimize %zu jobs %lld files\n", count, (long long)removed);
    return DL_OK;
}

static dl_status vacuum(dl_delta_table *table, int64_t hours, dl_error *err)
{
    dl_delta_vacuum_options options = {.retention_hours = hours, .force = true};
    dl_delta_vacuum_result result = {0};
    DL_TRY(dl_delta_vacuum(table, &options, &result, err));
    printf("vacuum %lld files %lld folders\n", (long long)result.files, (long long)result.folders);
    return DL_OK;
}

/* ---- killing rows by id ---- */

typedef struct victims {
    int64_t modulus;
    size_t leaf; /* of the id */
    dl_delta_kill *kills;
    dl_delta_bitmap **rows;
    size_t count, room;
    int64_t killed;
} victims;

static dl_status choose(void *context, const dl_delta_batch *b, dl_error *err)
{
    victims *v = context;
    if (v->count == 0 || !dl_str_eq(v->kills[v->count - 1].path, b->file->path)) {
        DL_ASSERT(v->count < v->room);
        DL_TRY(dl_delta_bitmap_create(&v->rows[v->count], err));
        v->kills[v->count] = (dl_delta_kill){b->file->path, v->rows[v->count]};
        v->count++;
    }
    for (size_t i = 0; i < b->row_count; i++) {
        if (b->live[i] && b->leaves[0].def[i] == 1 && b->leaves[0].values[i].i % v->modulus == 0) {
            DL_TRY(
                dl_delta_bitmap_add(v->rows[v->count - 1], (uint64_t)b->row_numbers[i], NULL, err));
            v->killed++;
        }
    }
    return DL_OK;
}

static dl_status kill_rows(dl_delta_table *table, int64_t modulus, dl_error *err)
{
    size_t room = dl_delta_file_count(table) + 1;
    victims v = {.modulus = modulus,
                 .kills = dl_mem_zalloc(room, sizeof *v.kills),
                 .rows = dl_mem_zalloc(room, sizeof(void *)),
                 .room = room};
    dl_str column = DL_STR("id");
    dl_delta_scan scan = {.columns = &column, .column_count = 1};
    dl_delta_result result = {0};
    dl_status status = dl_delta_read(table, &scan, choose, &v, err);
    size_t used = 0;
    for (size_t i = 0; i < v.count; i++) { /* files that lose nothing are none of its business */
        if (dl_delta_bitmap_count(v.rows[i]) > 0) {
            v.kills[used++] = v.kills[i];
        }
    }
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = v.kills, .kill_count = used};
    if (status == DL_OK) {
        status = dl_delta_commit_change(table, &change, &result, err);
    }
    for (size_t i = 0; i < v.count; i++) {
        dl_delta_bitmap_destroy(v.rows[i]);
    }
    dl_mem_free(v.rows);
    dl_mem_free(v.kills);
    printf("kill %lld rows %lld vectors\n", (long long)v.killed, (long long)result.dvs_written);
    return status;
}

static void note_reason(void *context, dl_delta_verdict verdict, const char *reason)
{
    (void)context;
    printf("%s: %s\n", verdict == DL_DELTA_HIDES ? "hides" : "refuses", reason);
}

static dl_status run(dl_delta_table *table, const char *verb, const char *argument, dl_error *err)
{
    int64_t number = 0;
    int64_t deleted = 0;
    dl_delta_result result = {0};
    (void)dl_str_to_i64(dl_str_of(argument), &number);
    if (strcmp(verb, "checkpoint") == 0) {
        DL_TRY(dl_delta_checkpoint(table, err));
        printf("checkpoint %lld\n", (long long)dl_delta_version(table));
        return DL_OK;
    }
    if (strcmp(verb, "clean") == 0) {
        DL_TRY(dl_delta_clean_log(table, &deleted, err));
        printf("clean %lld files\n", (long long)deleted);
        return DL_OK;
    }
    if (strcmp(verb, "restore") == 0) {
        DL_TRY(dl_delta_restore(table, number, &result, err));
        printf("restore %lld\n", (long long)result.version);
        return DL_OK;
    }
    if (strcmp(verb, "mode") == 0) {
        DL_TRY(dl_delta_set_compat(table, strcmp(argument, "compat") == 0, err));
        printf("mode %s\n", argument);
        return DL_OK;
    }
    if (strcmp(verb, "reader") == 0) {
        return dl_delta_check_reader(table, argument, note_reason, NULL, err);
    }
    if (strcmp(verb, "optimize") == 0) {
        return optimize(table, number, err);
    }
    if (strcmp(verb, "vacuum") == 0) {
        return vacuum(table, number, err);
    }
    return strcmp(verb, "kill") == 0 ? kill_rows(table, number, err)
                                     : dl_error_set(err, DL_E_INVALID, "no verb %s", verb);
}

static bool takes_argument(const char *verb)
{
    return strcmp(verb, "checkpoint") != 0 && strcmp(verb, "clean") != 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        (void)fprintf(stderr, "usage: delta_maintain FOLDER VERB [ARGUMENT] ...\n");
        return 2;
    }
    tables t;
    dl_error err = {0};
    tables_init(&t, argv[1]);
    DL_AUTO_TABLE table = NULL;
    dl_status status = tables_open(&t, "", &table, &err);
    for (int i = 2; status == DL_OK && i < argc; i++) {
        const char *verb = argv[i];
        const char *argument = takes_argument(verb) && i + 1 < argc ? argv[++i] : "";
        status = run(table, verb, argument, &err);
    }
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
    if (status != DL_OK) {
        (void)fprintf(stderr, "%s: %s\n", dl_status_name(status), err.message);
    }
    return status == DL_OK ? 0 : 1;
}
