/* Without memory, failing and falling at each system call, on a full disk; threads that race. */
#include "store_rig.h"

#include "base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- torture ---- */

/* A small life: open, a group, read, hash, list, remove. Each step may fail, cleanly. */
static dl_status small_life(const home *h, int round, int *out_done)
{
    dl_store *store = NULL;
    dl_error err = {0};
    dl_status first = dl_store_open_local(h->root, &store, &err);
    if (first != DL_OK) {
        TAP_TRUE(err.message[0] != '\0');
        return first;
    }
    char key[2][32];
    dl_store_spool *spools[2] = {NULL, NULL};
    dl_store_publish_item items[2];
    for (int i = 0; i < 2; i++) {
        (void)snprintf(key[i], sizeof key[i], "t%d/s/%d", round, i);
        dl_status status = dl_store_spool_create(store, &spools[i], &err);
        if (status == DL_OK) {
            status = dl_store_spool_write(spools[i], bytes_of(key[i]), &err);
        }
        first = first == DL_OK ? status : first;
        items[i] = (dl_store_publish_item){.spool = spools[i], .key = dl_str_of(key[i])};
    }
    if (first == DL_OK) {
        dl_store_publish(store, items, 2);
        for (int i = 0; i < 2; i++) {
            *out_done += items[i].status == DL_OK;
            first = first == DL_OK ? items[i].status : first;
        }
    }
    if (first == DL_OK) {
        int64_t count = 0;
        dl_store_stat stat;
        dl_store_object *object = NULL;
        first = dl_store_open_object(store, items[0].key, &items[0].stat, &object, &err);
        char byte = 0;
        if (first == DL_OK) {
            first = dl_store_object_read(object, 0, &byte, 1, &err);
        }
        dl_store_object_close(object);
        dl_status hashed = dl_store_hash(store, items[1].key, &stat, &err);
        dl_str folder = dl_str_slice(items[0].key, 0, (size_t)dl_str_find(items[0].key, '/'));
        dl_status listed = dl_store_list(store, folder, count_key, &count, &err);
        dl_status removed = dl_store_remove(store, items[0].key, &err);
        first = first != DL_OK ? first : hashed;
        first = first != DL_OK ? first : listed;
        first = first != DL_OK ? first : removed;
    }
    dl_store_spool_destroy(spools[0]);
    dl_store_spool_destroy(spools[1]);
    dl_store_close(store);
    return first;
}

TAP_CASE(each_allocation_may_fail)
{
    home h = home_make();
    int failures = 0, done = 0;
    for (int n = 0; n < 100; n++) {
        dl_mem_fail_after(n);
        dl_status status = small_life(&h, n, &done);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        TAP_EQ_INT(status, DL_E_NOMEM);
        failures++;
    }
    TAP_EQ_INT(failures, 6); /* store, two spools, object, hash room, listing */
    int folders = 0, files = 0;
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(files, 0);
    home_remove(&h);
}

TAP_CASE(each_system_call_may_fail)
{
    home h = home_make();
    int failures = 0, done = 0;
    TAP_EQ_INT(small_life(&h, 9999, &done), DL_OK);
    int n = 0;
    for (; n < 200; n++) {
        done = 0;
        faults_now = (faults){.fail_at = n, .keep_on = 1, .os_code = EIO};
        dl_status status = small_life(&h, n, &done);
        bool reached = faults_now.seen > n;
        faults_now = (faults){.fail_at = -1};
        if (!reached) {
            TAP_EQ_INT(status, DL_OK);
            break;
        }
        failures += status != DL_OK;
        /* whatever it was, what is there is complete, and the next life works */
        dl_store *store = store_open(&h);
        char key[32];
        int there = 0;
        for (int i = 0; i < 2; i++) {
            (void)snprintf(key, sizeof key, "t%d/s/%d", n, i);
            there += holds(store, key, NULL, key);
        }
        TAP_TRUE(there <= done); /* one may have been removed again, none came by itself */
        dl_store_close(store);
    }
    TAP_TRUE(failures > 20 && n < 100);
    int folders = 0, files = 0;
    dl_store_close(store_open(&h));
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(files, 0);
    home_remove(&h);
}

static dl_status check_complete(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)err;
    int64_t *bad = context; /* small_life writes the key itself as content */
    *bad += stat->size_bytes != key.len;
    return DL_OK;
}

TAP_CASE(a_process_may_fall_at_each_system_call)
{
    home h = home_make();
    int falls = 0;
    for (int n = 0; n < 200; n++) {
        pid_t child = fork();
        if (child == 0) {
            int done = 0;
            faults_now = (faults){.fail_at = n, .keep_on = 1, .end_process = true};
            dl_status status = small_life(&h, n, &done);
            _exit(status == DL_OK ? 42 : 43); /* never reached the n-th call */
        }
        int how = 0;
        (void)waitpid(child, &how, 0);
        dl_store *store = store_open(&h);
        int64_t bad = 0;
        int folders = 0, files = 0;
        TAP_OK(dl_store_list(store, DL_STR_NONE, check_complete, &bad, NULL), (dl_error){0});
        TAP_EQ_INT(bad, 0);
        count_spools(&h, &folders, &files);
        TAP_EQ_INT(folders, 0);
        dl_store_close(store);
        if (WIFEXITED(how) && WEXITSTATUS(how) == 42) {
            break;
        }
        TAP_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        falls++;
    }
    TAP_TRUE(falls > 30 && falls < 100);
    home_remove(&h);
}

/* ---- full disk ---- */

enum { DISK_BYTES = 256 << 10 };

static void fill_a_disk(const home *h)
{
    dl_error err = {0};
    dl_store *store = store_open(h);
    TAP_OK(put(store, "kept", "kept", NULL, &err), err);
    dl_store_spool *spool = NULL;
    TAP_OK(dl_store_spool_create(store, &spool, &err), err);
    static const uint8_t step[DISK_BYTES / 2];
    dl_status status = DL_OK;
    for (int i = 0; status == DL_OK && i < 4; i++) {
        status = dl_store_spool_write(spool, (dl_bytes){step, sizeof step}, &err);
    }
    TAP_EQ_INT(status, DL_E_IO);
    TAP_EQ_INT(err.os_code, ENOSPC);
    TAP_STATUS(dl_store_spool_write(spool, bytes_of("x"), &err), DL_E_INVALID);
    dl_store_publish_item item = {.spool = spool, .key = DL_STR("cut"), .err = &err};
    dl_store_publish(store, &item, 1);
    TAP_EQ_INT(item.status, DL_E_INVALID); /* a cut object never gets a key */
    TAP_STATUS(dl_store_probe(store, &err), DL_E_IO);
    dl_store_spool_destroy(spool); /* and its room comes back */
    TAP_OK(dl_store_probe(store, &err), err);
    TAP_OK(put(store, "after", "after", NULL, &err), err);
    TAP_TRUE(holds(store, "kept", NULL, "kept"));
    TAP_EQ_INT(count_keys(store, ""), 2);
    dl_store_close(store);
}

static void a_full_disk_is_an_error_and_no_object(void)
{
    const char *name = "a_full_disk_is_an_error_and_no_object";
    home h = home_make();
    if (mount("none", h.base, "tmpfs", 0, "size=256k") != 0) {
        tap_skip(name, "mounting a small file system needs root");
        home_remove(&h);
        return;
    }
    TAP_ROW_BEGIN();
    fill_a_disk(&h);
    TAP_EQ_INT(umount(h.base), 0);
    home_remove(&h);
    TAP_ROW_END(name);
}

TAP_CASE(the_probe_leaves_nothing)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    TAP_OK(dl_store_probe(store, &err), err);
    TAP_EQ_INT(count_keys(store, ""), 0);
    int folders = 0, files = 0;
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(files, 0);
    faults_now = (faults){.only = "write", .fail_at = 0, .keep_on = 1, .os_code = EROFS};
    TAP_STATUS(dl_store_probe(store, &err), DL_E_IO);
    faults_now = (faults){.only = "fsync", .fail_at = 0, .keep_on = 1, .os_code = EIO};
    TAP_STATUS(dl_store_probe(store, &err), DL_E_IO);
    faults_now = (faults){.fail_at = -1};
    dl_store_close(store);
    home_remove(&h);
}

/* ---- threads ---- */

typedef struct worker {
    dl_store *store;
    int number, won, failed;
} worker;

enum { WORKERS = 4, ROUNDS = 40 };

static void *race(void *context)
{
    worker *w = context;
    char key[64], text[64];
    for (int i = 0; i < ROUNDS; i++) { /* all want the same keys, in folders that all must make */
        (void)snprintf(key, sizeof key, "race/%d/%d", i / 4, i);
        (void)snprintf(text, sizeof text, "worker %d", w->number);
        dl_status status = put(w->store, key, text, NULL, NULL);
        w->won += status == DL_OK;
        w->failed += status != DL_OK && status != DL_E_EXISTS;
    }
    return NULL;
}

TAP_CASE(threads_race_and_one_wins)
{
    home h = home_make();
    dl_store *store = store_open(&h);
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    int won = 0;
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.store = store, .number = i};
        TAP_EQ_INT(pthread_create(&threads[i], NULL, race, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        TAP_EQ_INT(pthread_join(threads[i], NULL), 0);
        TAP_EQ_INT(workers[i].failed, 0);
        won += workers[i].won;
    }
    TAP_EQ_INT(won, ROUNDS);
    TAP_EQ_INT(count_keys(store, "race"), ROUNDS);
    dl_store_close(store);
    home_remove(&h);
}

int main(void)
{
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(each_system_call_may_fail);
    TAP_RUN(a_process_may_fall_at_each_system_call);
    a_full_disk_is_an_error_and_no_object();
    TAP_RUN(the_probe_leaves_nothing);
    TAP_RUN(threads_race_and_one_wins);
    return tap_done();
}
