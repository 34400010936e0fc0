/* Maintenance that is killed: a process compacts, writes checkpoints and vacuums (with no retention
 * at all) and is killed at a random moment, over and over. Whatever moment that is, the table is
 * the model, and in the end a vacuum leaves no file that nobody needs. A number as argument: so
 * many rounds. */
#include "tables.h"
#include "tap.h"

#include "base/mem.h"
#include "base/random.h"
#include "delta/maintain.h"

#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 100, ROWS_A_FILE = 40, FILES_A_ROUND = 3 };

static uint8_t model[TABLES_ROWS], counts[TABLES_ROWS];
static int64_t next_id;

/* ---- the process that is killed ---- */

static dl_status compact(dl_delta_table *table, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 24);
    dl_delta_job *jobs = NULL;
    size_t count = 0;
    dl_delta_optimize_options options = {.small_limit = 3};
    DL_TRY(dl_delta_optimize_plan(table, &options, arena, &jobs, &count, err));
    for (size_t i = 0; i < count; i++) {
        DL_AUTO(dl_delta_rewrite) rewrite = NULL;
        dl_delta_rewrite_options how = {.paths = jobs[i].paths, .path_count = jobs[i].path_count};
        dl_delta_result result = {0};
        DL_TRY(dl_delta_rewrite_create(table, &how, &rewrite, err));
        DL_TRY(dl_delta_rewrite_commit(table, rewrite, (dl_delta_pairs){NULL, 0}, &result, err));
    }
    return DL_OK;
}

static dl_status clean(dl_delta_table *table, dl_error *err)
{
    dl_delta_vacuum_options options = {.retention_hours = 0, .force = true};
    dl_delta_vacuum_result result = {0};
    return dl_delta_vacuum(table, &options, &result, err);
}

static dl_status maintain(dl_delta_table *table, dl_error *err)
{
    DL_TRY(compact(table, err));
    DL_TRY(dl_delta_checkpoint(table, err));
    return clean(table, err);
}

static int work(const char *folder)
{
    tables t;
    dl_error err = {0};
    tables_init(&t, folder);
    DL_AUTO_TABLE table = NULL;
    dl_status status = tables_open(&t, "", &table, &err);
    if (status == DL_OK) {
        status = maintain(table, &err);
    }
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
    if (status != DL_OK) {
        (void)fprintf(stderr, "# %s\n", err.message);
    }
    return status == DL_OK ? 0 : 1;
}

/* ---- the one that kills ---- */

static uint32_t chance(uint32_t below)
{
    uint32_t value = 0;
    dl_random_bytes(&value, sizeof value);
    return value % below;
}

static void grow(dl_delta_table *table)
{
    dl_error err = {0};
    for (int i = 0; i < FILES_A_ROUND; i++) {
        TAP_OK(tables_append(table, i == 2 ? "west" : "east", next_id, ROWS_A_FILE, &err), err);
        memset(model + next_id, 1, ROWS_A_FILE);
        next_id += ROWS_A_FILE;
    }
}

/* Ids of a file's rows by position. */
static dl_status note_ids(void *context, const dl_delta_batch *b, dl_error *err)
{
    (void)err;
    int64_t *ids = context;
    for (size_t i = 0; i < b->row_count; i++) {
        ids[b->row_numbers[i]] = b->leaves[0].values[i].i;
    }
    return DL_OK;
}

/* Some rows of some live file die. */
static void shrink(dl_delta_table *table)
{
    static int64_t ids[TABLES_ROWS];
    dl_error err = {0};
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    size_t skip = chance((uint32_t)dl_delta_file_count(table));
    for (size_t i = 0; i <= skip; i++) {
        TAP_TRUE(dl_delta_next_file(table, &cursor, &file));
    }
    dl_str column = DL_STR("id");
    dl_delta_scan scan = {.columns = &column, .column_count = 1, .file = file};
    TAP_OK(dl_delta_read(table, &scan, note_ids, ids, &err), err);
    int64_t rows[10];
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        rows[i] = chance((uint32_t)file->row_count);
        model[ids[rows[i]]] = 0;
    }
    DL_AUTO(dl_delta_bitmap) dead = tables_rows(rows, DL_COUNT_OF(rows));
    dl_delta_kill kill = {file->path, dead};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
}

static bool is_model(dl_delta_table *table)
{
    dl_error err = {0};
    TAP_OK(tables_count(table, counts, &err), err);
    for (int64_t id = 0; id < TABLES_ROWS; id++) {
        if (counts[id] != model[id]) {
            TAP_FAIL("id %lld lives %d times, not %d", (long long)id, counts[id], model[id]);
            return false;
        }
    }
    return true;
}

/* Microseconds that it ran; killed after `delay_us`, or let alone when that is negative. */
static int64_t run_and_kill(const char *folder, int64_t delay_us, bool *out_killed)
{
    char self[] = "/proc/self/exe";
    char word[] = "--work";
    char path[256];
    (void)snprintf(path, sizeof path, "%s", folder);
    char *argv[] = {self, word, path, NULL};
    pid_t pid = 0;
    int64_t begin = dl_clock_monotonic_us();
    TAP_EQ_INT(posix_spawn(&pid, self, NULL, NULL, argv, environ), 0);
    if (delay_us >= 0) {
        struct timespec time = {.tv_sec = delay_us / 1000000, .tv_nsec = delay_us % 1000000 * 1000};
        (void)nanosleep(&time, NULL);
        (void)kill(pid, SIGKILL);
    }
    int status = 0;
    TAP_EQ_INT(waitpid(pid, &status, 0), pid);
    *out_killed = WIFSIGNALED(status);
    TAP_TRUE(*out_killed ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return dl_clock_monotonic_us() - begin;
}

static dl_status count_data(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    (void)err;
    size_t *count = context;
    bool data = dl_str_ends(key, DL_STR(".parquet")) || dl_str_ends(key, DL_STR(".bin"));
    *count += data && !dl_str_starts(key, DL_STR("_delta_log/"));
    return DL_OK;
}

static void one_round(tables *t, int64_t *full_us, int *killed, int *commits)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_open(t, "", &table, &err), err);
    if (table == NULL || !is_model(table)) {
        return;
    }
    grow(table);
    shrink(table);
    int64_t version = dl_delta_version(table);
    bool was_killed = false;
    bool whole = *full_us == 0;
    int64_t delay_us = whole ? -1 : (int64_t)chance((uint32_t)*full_us);
    int64_t ran_us = run_and_kill(t->folder, delay_us, &was_killed);
    if (!was_killed) {
        *full_us = ran_us;
    }
    *killed += was_killed;
    TAP_OK(dl_delta_update(table, &err), err); /* a table that was open meanwhile */
    *commits += (int)(dl_delta_version(table) - version);
    (void)is_model(table);
    DL_AUTO_TABLE again = NULL; /* and one that is opened anew */
    TAP_OK(tables_open(t, "", &again, &err), err);
    if (again != NULL) {
        (void)is_model(again);
        TAP_EQ_INT(dl_delta_version(again), dl_delta_version(table));
    }
}

static int64_t rounds = ROUNDS;

TAP_CASE(maintenance_is_killed_anywhere)
{
    tables t;
    dl_error err = {0};
    tables_init(&t, NULL);
    {
        DL_AUTO_TABLE table = NULL;
        TAP_OK(tables_create(&t, "", false, &table, &err), err);
    }
    int64_t full_us = 0;
    int killed = 0;
    int commits = 0;
    for (int64_t i = 0; i < rounds && !tap_case_failed; i++) {
        if (i % 10 == 0) {
            full_us = 0; /* this one is let alone, and says how long it takes */
        }
        one_round(&t, &full_us, &killed, &commits);
    }
    printf("# %lld rounds, %d killed, %d commits of theirs\n", (long long)rounds, killed, commits);
    TAP_TRUE(killed > rounds / 2);
    TAP_TRUE(commits > rounds / 10);
    DL_AUTO_TABLE table = NULL;
    size_t on_disk = 0;
    TAP_OK(tables_open(&t, "", &table, &err), err);
    TAP_OK(compact(table, &err), err);
    struct timespec moment = {.tv_nsec =
                                  20000000}; /* what was written just now counts as under way */
    (void)nanosleep(&moment, NULL);
    TAP_OK(clean(table, &err), err);
    TAP_OK(dl_store_list(t.store, DL_STR(""), count_data, &on_disk, &err), err);
    size_t named = dl_delta_file_count(table);
    TAP_TRUE(on_disk >= named && on_disk <= named + (size_t)dl_delta_totals_of(table).dv_count);
    (void)is_model(table);
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--work") == 0) {
        return work(argv[2]);
    }
    uint64_t number = 0;
    if (argc == 2 && dl_str_to_u64(dl_str_of(argv[1]), &number) && number <= 800) {
        rounds = (int64_t)number;
    }
    TAP_RUN(maintenance_is_killed_anywhere);
    return tap_done();
}
