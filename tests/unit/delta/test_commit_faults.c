/* Commits: who wins a race, and what is left when a step fails. */
#include "commit_rig.h"

#include "base/mem.h"
#include "delta/commit.h"
#include "tap.h"
#include "json/json.h"

#include "../store/faults.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- races ---- */

enum { RACE_COMMITS = 30, RACE_ROWS = 5 };

/* Appends files and kills rows of a file that others kill rows of too. `who` tells ids apart. */
static dl_status race(dl_store *store, int who, bool exclusive, dl_error *err)
{
    tables mine = t;
    mine.store = store;
    DL_AUTO_TABLE table = NULL;
    DL_TRY(tables_open(&mine, "race", &table, err));
    for (int64_t i = 0; i < RACE_COMMITS; i++) {
        DL_AUTO(dl_delta_writer) writer = NULL;
        int64_t first = 1000 + (int64_t)who * 1000 + i * RACE_ROWS;
        int64_t dead = (int64_t)who * RACE_COMMITS + i;
        DL_TRY(tables_write(table, "p", first, RACE_ROWS, &writer, err));
        DL_AUTO(dl_delta_bitmap) rows = tables_rows(&dead, 1);
        dl_status status = DL_E_CONFLICT;
        for (int tries = 0; status == DL_E_CONFLICT && tries < 1000; tries++) {
            size_t cursor = 0;
            const dl_delta_file *file = NULL;
            while (dl_delta_next_file(table, &cursor, &file) && file->row_count != 100) {
            }
            dl_delta_kill kill = {file->path, rows};
            dl_delta_change change = {.operation = "MERGE",
                                      .data_change = true,
                                      .writers = &writer,
                                      .writer_count = 1,
                                      .kills = &kill,
                                      .kill_count = i % 2 == 0,
                                      .exclusive = exclusive};
            dl_delta_result result = {0};
            status = dl_delta_commit_change(table, &change, &result, err);
        }
        DL_TRY(status);
    }
    return DL_OK;
}

static void check_race(int64_t racers)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_open(&t, "race", &table, &err), err);
    TAP_EQ_INT(dl_delta_version(table), 1 + racers * RACE_COMMITS);
    expect_rows(table, 100 - racers * RACE_COMMITS / 2 + racers * RACE_COMMITS * RACE_ROWS);
    for (int64_t i = 0; i < racers * RACE_COMMITS; i++) {
        TAP_EQ_INT(counts[i], i % RACE_COMMITS % 2);
    }
}

typedef struct racer {
    pthread_t thread;
    int who;
    bool exclusive;
    dl_status status;
    dl_error err;
} racer;

static void *race_thread(void *context)
{
    racer *r = context;
    r->status = race(t.store, r->who, r->exclusive, &r->err);
    return NULL;
}

static void race_in_threads(bool exclusive)
{
    tables_clear(&t); /* a folder of its own */
    tables_init(&t, NULL);
    dl_delta_table_close(new_table("race", false));
    racer racers[3];
    for (int i = 0; i < 3; i++) {
        racers[i] = (racer){.who = i, .exclusive = exclusive};
        DL_ASSERT(pthread_create(&racers[i].thread, NULL, race_thread, &racers[i]) == 0);
    }
    for (int i = 0; i < 3; i++) {
        (void)pthread_join(racers[i].thread, NULL);
        TAP_OK(racers[i].status, racers[i].err);
    }
    check_race(3);
}

TAP_CASE(threads_race)
{
    race_in_threads(false);
}

TAP_CASE(threads_race_with_upserts)
{
    race_in_threads(true);
}

TAP_CASE(processes_race)
{
    tables_clear(&t);
    tables_init(&t, NULL);
    dl_delta_table_close(new_table("race", false));
    pid_t children[3];
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        DL_ASSERT(children[i] >= 0);
        if (children[i] == 0) {
            dl_error err = {0};
            dl_store *store = NULL;
            dl_status status = dl_store_open_shared(t.folder, false, &store, &err);
            if (status == DL_OK) {
                status = race(store, i, false, &err);
            }
            if (status != DL_OK) {
                printf("# %s\n", err.message);
                (void)fflush(stdout);
            }
            _exit(status == DL_OK ? 0 : 1);
        }
    }
    for (int i = 0; i < 3; i++) {
        int how = 0;
        DL_ASSERT(waitpid(children[i], &how, 0) == children[i]);
        TAP_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    check_race(3);
}

/* ---- faults ---- */

static dl_delta_bitmap *row_3;

/* Rows 200..209 come, row 3 goes. */
static dl_status upsert(dl_delta_table *table, dl_error *err)
{
    DL_AUTO(dl_delta_writer) writer = NULL;
    DL_TRY(tables_write(table, "p", 200, 10, &writer, err));
    dl_delta_kill kill = {tables_only_file(table)->path, row_3};
    dl_delta_change change = {.operation = "MERGE",
                              .data_change = true,
                              .writers = &writer,
                              .writer_count = 1,
                              .kills = &kill,
                              .kill_count = 1,
                              .exclusive = true};
    dl_delta_result result = {0};
    return dl_delta_commit_change(table, &change, &result, err);
}

/* The table as another program sees it: with the upsert or without, never between. */
static bool is_upserted(const char *root)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_open(&t, root, &table, &err), err);
    bool done = table != NULL && dl_delta_version(table) == 2;
    if (table != NULL) {
        TAP_EQ_INT(dl_delta_version(table), done ? 2 : 1);
        expect_rows(table, done ? 109 : 100);
    }
    return done;
}

static int64_t nobody_knew; /* how many of fault_at were DL_E_UNAVAILABLE */

/* One fault at the n-th call; false: there is no such call. */
static bool fault_at(const char *only, int64_t n, int64_t keep_on, int os_code)
{
    char root[64];
    (void)snprintf(root, sizeof root, "f-%s-%d-%lld-%lld", only == NULL ? "all" : only, os_code,
                   (long long)keep_on, (long long)n);
    dl_error err = {0};
    DL_AUTO_TABLE table = new_table(root, false);
    faults_now = (faults){.only = only, .fail_at = n, .keep_on = keep_on, .os_code = os_code};
    dl_status status = upsert(table, &err);
    bool met = faults_now.seen > n;
    faults_now = (faults){.fail_at = -1};
    bool done = is_upserted(root);
    nobody_knew += status == DL_E_UNAVAILABLE;
    if (status == DL_OK) {
        TAP_TRUE(done);
    } else if (status != DL_E_UNAVAILABLE) {
        TAP_TRUE(!done);
        TAP_TRUE(err.message[0] != '\0');
    }
    if (!done) { /* nothing is in the way of the next try */
        DL_AUTO_TABLE anew = NULL;
        TAP_OK(tables_open(&t, root, &anew, &err), err);
        TAP_OK(upsert(anew, &err), err);
        TAP_TRUE(is_upserted(root));
    }
    return met;
}

TAP_CASE(each_call_fails_once)
{
    int64_t n = 0;
    nobody_knew = 0;
    while (fault_at(NULL, n, 1, EIO)) {
        n++;
    }
    TAP_TRUE(n > 20);
    TAP_EQ_INT(nobody_knew, 0);
}

TAP_CASE(full_disk)
{
    int64_t n = 0;
    while (fault_at("write", n, 1000, ENOSPC)) {
        n++;
    }
    TAP_TRUE(n >= 3); /* data, vectors, commit, ... */
}

TAP_CASE(everything_fails_from_there)
{
    int64_t n = 0;
    nobody_knew = 0;
    while (fault_at(NULL, n, 100000, EIO)) {
        n++;
    }
    TAP_TRUE(n > 20);
    TAP_TRUE(nobody_knew > 0); /* neither the put nor the log answered */
}

/* The commit is there, but its folder could not be synced: the log tells that it is ours. */
TAP_CASE(a_put_without_an_answer)
{
    dl_error err = {0};
    int64_t told = 0, failed = 0;
    bool met = true;
    for (int64_t n = 0; met; n++) {
        char root[32];
        (void)snprintf(root, sizeof root, "unknown-%lld", (long long)n);
        DL_AUTO_TABLE table = new_table(root, false);
        faults_now = (faults){.only = "fsync", .fail_at = n, .keep_on = 1, .os_code = EIO};
        dl_status status = upsert(table, &err);
        met = faults_now.seen > n;
        faults_now = (faults){.fail_at = -1};
        told += met && status == DL_OK;
        failed += status != DL_OK;
        TAP_EQ_INT(is_upserted(root), status == DL_OK);
    }
    TAP_TRUE(told >= 1 && failed >= 3);
}

/* kill -9 at each call: with the upsert or without, and the next one goes on. */
TAP_CASE(the_process_ends_at_each_call)
{
    bool met = true, seen_before = false, seen_after = false;
    int64_t n = 0;
    for (; met; n++) {
        char root[32];
        (void)snprintf(root, sizeof root, "end-%lld", (long long)n);
        dl_delta_table_close(new_table(root, false));
        pid_t child = fork();
        DL_ASSERT(child >= 0);
        if (child == 0) {
            DL_AUTO_TABLE table = NULL;
            dl_store *store = NULL;
            tables mine = t;
            bool ok = dl_store_open_shared(t.folder, false, &store, NULL) == DL_OK;
            mine.store = store;
            ok = ok && tables_open(&mine, root, &table, NULL) == DL_OK;
            faults_now = (faults){.fail_at = n, .keep_on = 1, .end_process = true};
            ok = ok && upsert(table, NULL) == DL_OK;
            _exit(ok ? 2 : 3);
        }
        int how = 0;
        DL_ASSERT(waitpid(child, &how, 0) == child);
        TAP_TRUE(WIFEXITED(how) && WEXITSTATUS(how) != 3);
        met = WEXITSTATUS(how) == 0;
        bool done = is_upserted(root);
        seen_before |= !done;
        seen_after |= done && met;
        if (!done) {
            dl_error err = {0};
            DL_AUTO_TABLE table = NULL;
            TAP_OK(tables_open(&t, root, &table, &err), err);
            TAP_OK(upsert(table, &err), err);
        }
    }
    TAP_TRUE(n > 20 && seen_before && seen_after);
}

TAP_CASE(without_memory)
{
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    for (; status != DL_OK; n += 1 + n / 64) {
        char root[32];
        (void)snprintf(root, sizeof root, "mem-%lld", (long long)n);
        dl_error err = {0};
        DL_AUTO_TABLE table = new_table(root, false);
        dl_mem_fail_after(n);
        status = upsert(table, &err);
        dl_mem_fail_after(-1);
        bool done = is_upserted(root);
        if (status == DL_OK || status == DL_E_NOMEM) {
            TAP_EQ_INT(done, status == DL_OK);
        }
        TAP_EQ_INT(err.message[0] != '\0', status != DL_OK);
    }
    TAP_TRUE(n > 50);
}

int main(void)
{
    row_3 = tables_rows((int64_t[]){3}, 1);
    tables_init(&t, NULL);
    TAP_RUN(threads_race);
    TAP_RUN(threads_race_with_upserts);
    TAP_RUN(processes_race);
    TAP_RUN(each_call_fails_once);
    TAP_RUN(full_disk);
    TAP_RUN(everything_fails_from_there);
    TAP_RUN(a_put_without_an_answer);
    TAP_RUN(the_process_ends_at_each_call);
    TAP_RUN(without_memory);
    tables_clear(&t);
    dl_delta_bitmap_destroy(row_3);
    return tap_done();
}
