/* Small objects whole, folders in order, and folders that other programs read too. */
#include "store_rig.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static dl_store *open_shared(const home *h)
{
    dl_store *store = NULL;
    dl_error err = {0};
    TAP_OK(dl_store_open_shared(h->root, true, &store, &err), err);
    return store;
}

static dl_status claim(dl_store *store, const char *key, const char *text, dl_error *err)
{
    return dl_store_put_if_absent(store, dl_str_of(key), bytes_of(text), err);
}

static dl_status replace(dl_store *store, const char *key, const char *text, dl_error *err)
{
    return dl_store_put(store, dl_str_of(key), bytes_of(text), err);
}

static bool reads(dl_store *store, const char *key, const char *text)
{
    DL_AUTO_BUF got = {0};
    dl_buf_init(&got, 1 << 20);
    return dl_store_get(store, dl_str_of(key), &got, NULL) == DL_OK &&
           dl_str_eq(dl_buf_str(&got), dl_str_of(text));
}

static int spool_files(const home *h)
{
    int folders = 0;
    int files = 0;
    count_spools(h, &folders, &files);
    return files;
}

/* ---- whole objects ---- */

TAP_CASE(put_if_absent_gives_a_key_once)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    dl_store_stat stat = {0};
    struct timespec now = {0};
    TAP_OK(claim(store, "t/_delta_log/0.json", "first", &err), err);
    TAP_STATUS(claim(store, "t/_delta_log/0.json", "second", &err), DL_E_EXISTS);
    TAP_TRUE(strstr(err.message, "t/_delta_log/0.json") != NULL);
    TAP_TRUE(reads(store, "t/_delta_log/0.json", "first"));
    TAP_STATUS(claim(store, "t/_delta_log", "a folder", &err), DL_E_EXISTS);
    TAP_STATUS(claim(store, "t/_delta_log/0.json/x", "below a file", &err), DL_E_IO);
    TAP_OK(claim(store, "empty", "", &err), err);
    TAP_TRUE(reads(store, "empty", ""));
    TAP_OK(dl_store_stat_key(store, DL_STR("t/_delta_log/0.json"), &stat, &err), err);
    (void)clock_gettime(CLOCK_REALTIME, &now);
    TAP_EQ_INT(stat.modified_us, stat.tag / 1000);
    TAP_TRUE(now.tv_sec * 1000000 - stat.modified_us < 60000000 &&
             stat.modified_us - now.tv_sec * 1000000 < 2000000);
    TAP_EQ_INT(spool_files(&h), 0);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(put_takes_the_place_in_one_step)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    dl_store_object *before = NULL;
    char got[8] = "";
    TAP_OK(replace(store, "t/_last_checkpoint", "one", &err), err);
    TAP_OK(dl_store_open_object(store, DL_STR("t/_last_checkpoint"), NULL, &before, &err), err);
    TAP_OK(replace(store, "t/_last_checkpoint", "two and more", &err), err);
    TAP_TRUE(reads(store, "t/_last_checkpoint", "two and more"));
    TAP_OK(dl_store_object_read(before, 0, got, 3, &err), err); /* who reads goes on with the old */
    TAP_EQ_STR(dl_str_of(got), "one");
    dl_store_object_close(before);
    TAP_STATUS(replace(store, "t", "a folder", &err), DL_E_IO);
    TAP_EQ_INT(spool_files(&h), 0);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(an_object_has_a_limit)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    uint8_t *bytes = dl_mem_zalloc(1, (size_t)DL_STORE_PUT_LIMIT_BYTES + 1);
    dl_bytes most = {bytes, DL_STORE_PUT_LIMIT_BYTES}, more = {bytes, most.len + 1};
    dl_store_stat stat = {0};
    TAP_STATUS(dl_store_put(store, DL_STR("k"), more, &err), DL_E_LIMIT);
    TAP_STATUS(dl_store_put_if_absent(store, DL_STR("k"), more, &err), DL_E_LIMIT);
    TAP_STATUS(dl_store_stat_key(store, DL_STR("k"), &stat, &err), DL_E_NOT_FOUND);
    TAP_OK(dl_store_put_if_absent(store, DL_STR("k"), most, &err), err);
    TAP_OK(dl_store_stat_key(store, DL_STR("k"), &stat, &err), err);
    TAP_EQ_INT(stat.size_bytes, DL_STORE_PUT_LIMIT_BYTES);
    dl_mem_free(bytes);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(reading_whole_and_in_ranges)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    static const struct {
        uint64_t offset;
        size_t len;
        const char *want;
    } ranges[] = {{0, 10, "0123456789"},
                  {0, 100, "0123456789"},
                  {3, 4, "3456"},
                  {9, 1, "9"},
                  {9, 2, "9"},
                  {10, 5, ""},
                  {11, 5, ""},
                  {UINT64_MAX, 5, ""},
                  {2, 0, ""},
                  {2, SIZE_MAX, "23456789"}};
    TAP_OK(replace(store, "o", "0123456789", &err), err);
    for (size_t i = 0; i < DL_COUNT_OF(ranges); i++) {
        DL_AUTO_BUF got = {0};
        dl_buf_init(&got, 100);
        TAP_OK(dl_buf_append_char(&got, '>', &err), err); /* it appends */
        TAP_OK(dl_store_get_range(store, DL_STR("o"), ranges[i].offset, ranges[i].len, &got, &err),
               err);
        TAP_EQ_STR(dl_str_slice(dl_buf_str(&got), 1, got.len), ranges[i].want);
    }
    DL_AUTO_BUF tight = {0};
    dl_buf_init(&tight, 9);
    TAP_STATUS(dl_store_get(store, DL_STR("o"), &tight, &err), DL_E_LIMIT);
    TAP_EQ_INT(tight.len, 0);
    dl_buf_init(&tight, 10);
    TAP_OK(dl_store_get(store, DL_STR("o"), &tight, &err), err);
    TAP_STATUS(dl_store_get(store, DL_STR("none"), &tight, &err), DL_E_NOT_FOUND);
    TAP_STATUS(dl_store_get(store, DL_STR("../o"), &tight, &err), DL_E_INVALID);
    TAP_EQ_INT(tight.len, 10);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(a_location_is_an_absolute_path)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    char want[PATH_SIZE * 4];
    dl_str got = DL_STR_NONE;
    (void)snprintf(want, sizeof want, "%s/t/p=a b%%/x.parquet", h.root);
    TAP_OK(dl_store_location(store, DL_STR("t/p=a b%/x.parquet"), arena, &got, &err), err);
    TAP_EQ_STR(got, want);
    TAP_STATUS(dl_store_location(store, DL_STR("../x"), arena, &got, &err), DL_E_INVALID);
    dl_store_close(store);
    char here[512] = "", link[PATH_SIZE * 4];
    TAP_TRUE(getcwd(here, sizeof here) != NULL && chdir(h.base) == 0); /* relative, by a link */
    (void)snprintf(link, sizeof link, "%s/link", h.base);
    TAP_EQ_INT(symlink("a", link), 0);
    TAP_OK(dl_store_open_shared("link/files", false, &store, &err), err);
    TAP_EQ_INT(chdir(here), 0);
    (void)snprintf(want, sizeof want, "%s/k", h.root);
    TAP_OK(dl_store_location(store, DL_STR("k"), arena, &got, &err), err);
    TAP_EQ_STR(got, want);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(odd_names_are_names)
{
    static const char *const names[] = {"partitionName=ward 7%2F\xc3\xa4%25",
                                        "partitionName=Microsoft.Default",
                                        "a:b",
                                        "~",
                                        "'\"`$*?",
                                        "#1",
                                        "z\xe2\x80\xa8z",
                                        "-rf",
                                        "\xf0\x9f\x98\x80",
                                        "...",
                                        " "};
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        char key[256];
        (void)snprintf(key, sizeof key, "t/%s/part-0.parquet", names[i]);
        TAP_OK(claim(store, key, names[i], &err), err);
        TAP_TRUE(reads(store, key, names[i]));
    }
    static const char *const hostile[] = {"t/../../x",
                                          "/etc/x",
                                          "t/..",
                                          "t//x",
                                          "t/./x",
                                          "t/x/",
                                          "a\\..\\b",
                                          "t/\n",
                                          "t/\x7f",
                                          "\xff",
                                          "t/\xc0\xae\xc0\xae/x",
                                          ".spool/x",
                                          ""};
    for (size_t i = 0; i < DL_COUNT_OF(hostile); i++) {
        TAP_STATUS(claim(store, hostile[i], "x", &err), DL_E_INVALID);
        TAP_STATUS(replace(store, hostile[i], "x", &err), DL_E_INVALID);
    }
    char path[PATH_SIZE * 4];
    (void)snprintf(path, sizeof path, "%s/x", h.base);
    TAP_TRUE(access(path, F_OK) != 0);
    dl_store_close(store);
    home_remove(&h);
}

/* ---- races ---- */

enum { RACE_KEYS = 100, PROCESSES = 3 };

static int race_in_a_child(const home *h, int number)
{
    dl_store *store = open_shared(h);
    int won = 0;
    for (int i = 0; i < RACE_KEYS; i++) {
        char key[64], text[64];
        (void)snprintf(key, sizeof key, "log%d/%d/%020d.json", i / 10, i / 5, i);
        (void)snprintf(text, sizeof text, "process %d key %d", number, i);
        dl_error err = {0};
        dl_status status = claim(store, key, text, &err);
        if (status == DL_OK) {
            won++;
            if (!reads(store, key, text)) {
                return 255;
            }
        } else if (status != DL_E_EXISTS) {
            (void)fprintf(stderr, "%s\n", err.message);
            return 254;
        }
    }
    dl_store_close(store);
    return won;
}

static void processes_race(const char *without)
{
    home h = home_make();
    dl_store_close(open_shared(&h));
    pid_t children[PROCESSES];
    int won = 0;
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            if (without != NULL) {
                faults_now = (faults){
                    .only = without, .fail_at = 0, .keep_on = INT64_MAX, .os_code = EOPNOTSUPP};
            }
            _exit(race_in_a_child(&h, i));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int how = 0;
        (void)waitpid(children[i], &how, 0);
        TAP_TRUE(WIFEXITED(how) && WEXITSTATUS(how) <= RACE_KEYS);
        won += WEXITSTATUS(how);
    }
    TAP_EQ_INT(won, RACE_KEYS);
    TAP_EQ_INT(spool_files(&h), 0);
    home_remove(&h);
}

TAP_CASE(processes_race_and_each_key_has_one_winner)
{
    processes_race(NULL);
}

TAP_CASE(also_where_there_are_no_links)
{
    processes_race("linkat");
}

TAP_CASE(a_place_that_can_promise_nothing_says_so)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    TAP_OK(claim(store, "made", "x", &err), err);
    faults_now = (faults){.only = "linkat", .fail_at = 0, .keep_on = 9, .os_code = EPERM};
    TAP_OK(claim(store, "k1", "x", &err), err); /* the rename does it */
    TAP_TRUE(reads(store, "k1", "x"));
    TAP_STATUS(claim(store, "made", "y", &err), DL_E_EXISTS);
    faults_now = (faults){.only = "linkat", .fail_at = 0, .keep_on = 1, .os_code = EIO};
    TAP_STATUS(claim(store, "k2", "x", &err), DL_E_IO);
    faults_now = (faults){.fail_at = -1};
    dl_store_stat stat = {0};
    TAP_STATUS(dl_store_stat_key(store, DL_STR("k2"), &stat, &err), DL_E_NOT_FOUND);
    dl_store_close(store);
    home_remove(&h);
}

static void *claim_all(void *context)
{
    intptr_t won = 0;
    for (int i = 0; i < RACE_KEYS; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "t/%d/%d", i / 10, i);
        won += claim(context, key, "x", NULL) == DL_OK;
    }
    return (void *)won;
}

TAP_CASE(threads_race_while_empty_folders_go)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    pthread_t threads[3];
    intptr_t won = 0;
    int64_t removed = 0;
    dl_error err = {0};
    for (int i = 0; i < 3; i++) {
        TAP_EQ_INT(pthread_create(&threads[i], NULL, claim_all, store), 0);
    }
    for (int i = 0; i < 200; i++) {
        TAP_OK(dl_store_remove_empty(store, DL_STR("t"), &removed, &err), err);
    }
    for (int i = 0; i < 3; i++) {
        void *result = NULL;
        (void)pthread_join(threads[i], &result);
        won += (intptr_t)result;
    }
    TAP_EQ_INT(won, RACE_KEYS);
    dl_store_close(store);
    home_remove(&h);
}

/* ---- durability ---- */

TAP_CASE(the_folders_above_a_new_object_are_synced)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    for (int over = 0; over < 2; over++) {
        const char *key[] = {over ? "r/b/c/1" : "a/b/c/1", over ? "r/b/c/2" : "a/b/c/2"};
        static const int want[] = {5, 2}; /* the object, c, b, a and the root; then two of them */
        for (int i = 0; i < 2; i++) {
            faults_now = (faults){.only = "fsync", .fail_at = -1};
            TAP_OK(over ? replace(store, key[i], "x", &err) : claim(store, key[i], "x", &err), err);
            TAP_EQ_INT(faults_now.seen, want[i]);
        }
    }
    faults_now = (faults){.only = "fsync", .fail_at = 0, .keep_on = 1, .os_code = EIO};
    TAP_STATUS(claim(store, "d/1", "x", &err), DL_E_IO); /* its content: nothing is there */
    faults_now = (faults){.fail_at = -1};
    TAP_TRUE(!reads(store, "d/1", "x"));
    faults_now = (faults){.only = "fsync", .fail_at = 1, .keep_on = 1, .os_code = EIO};
    TAP_STATUS(claim(store, "d/1", "x", &err), DL_E_IO); /* its folder: others may have read it */
    faults_now = (faults){.fail_at = -1};
    TAP_TRUE(reads(store, "d/1", "x") && strstr(err.message, "may not last") != NULL);
    dl_store_close(store);
    home_remove(&h);
}

/* Claim, replace and read; what each key holds is its own name. */
static dl_status small_life(const home *h, int round)
{
    dl_store *store = NULL;
    DL_TRY(dl_store_open_shared(h->root, true, &store, NULL));
    char key[64];
    int64_t removed = 0;
    DL_AUTO_BUF got = {0};
    dl_buf_init(&got, 1000);
    (void)snprintf(key, sizeof key, "t%d/s/claimed", round);
    dl_status status = claim(store, key, key, NULL);
    if (status == DL_OK) {
        (void)snprintf(key, sizeof key, "t%d/put", round);
        status = replace(store, key, key, NULL);
    }
    if (status == DL_OK) {
        status = replace(store, key, key, NULL);
    }
    if (status == DL_OK) {
        status = dl_store_get(store, dl_str_of(key), &got, NULL);
    }
    if (status == DL_OK) {
        status = dl_store_remove_empty(store, dl_str_slice(dl_str_of(key), 0, 2), &removed, NULL);
    }
    dl_store_close(store);
    return status;
}

static dl_status check_complete(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)err;
    *(int64_t *)context += stat->size_bytes != key.len;
    return DL_OK;
}

TAP_CASE(a_process_may_fall_at_each_system_call)
{
    home h = home_make();
    int falls = 0;
    for (int n = 0; n < 200; n++) {
        pid_t child = fork();
        if (child == 0) {
            faults_now = (faults){.fail_at = n, .keep_on = 1, .end_process = true};
            _exit(small_life(&h, n) == DL_OK ? 42 : 43);
        }
        int how = 0;
        int64_t bad = 0;
        dl_error err = {0};
        (void)waitpid(child, &how, 0);
        dl_store *store = open_shared(&h);
        TAP_OK(dl_store_list(store, DL_STR_NONE, check_complete, &bad, &err), err);
        TAP_EQ_INT(bad, 0);
        TAP_EQ_INT(spool_files(&h), 0);
        dl_store_close(store);
        if (WIFEXITED(how) && WEXITSTATUS(how) == 42) {
            break;
        }
        TAP_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        falls++;
    }
    TAP_TRUE(falls > 30 && falls < 150);
    home_remove(&h);
}

TAP_CASE(each_system_call_may_fail)
{
    home h = home_make();
    int failures = 0, n = 0;
    TAP_EQ_INT(small_life(&h, 999), DL_OK);
    for (; n < 200; n++) {
        faults_now = (faults){.fail_at = n, .keep_on = 1, .os_code = EIO};
        dl_status status = small_life(&h, n);
        bool reached = faults_now.seen > n;
        faults_now = (faults){.fail_at = -1};
        failures += status != DL_OK;
        if (!reached) {
            TAP_EQ_INT(status, DL_OK);
            break;
        }
        int64_t bad = 0;
        dl_error err = {0};
        dl_store *store = open_shared(&h);
        TAP_OK(dl_store_list(store, DL_STR_NONE, check_complete, &bad, &err), err);
        TAP_EQ_INT(bad, 0);
        TAP_EQ_INT(spool_files(&h), 0);
        dl_store_close(store);
    }
    TAP_TRUE(failures > 20 && n < 150);
    home_remove(&h);
}

TAP_CASE(each_allocation_may_fail)
{
    home h = home_make();
    int failures = 0;
    for (int n = 0; n < 100; n++) {
        dl_mem_fail_after(n);
        dl_status status = small_life(&h, n);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        TAP_STATUS(status, DL_E_NOMEM);
        failures++;
    }
    TAP_TRUE(failures >= 7 && failures < 20); /* store, three spools, what is read, three lists */
    TAP_EQ_INT(spool_files(&h), 0);
    home_remove(&h);
}

/* ---- full and read-only places ---- */

static void fill_a_disk(const home *h)
{
    dl_store *store = open_shared(h);
    dl_error err = {0};
    static uint8_t large[512 << 10];
    dl_store_stat stat = {0};
    TAP_OK(replace(store, "kept", "kept", &err), err);
    TAP_STATUS(dl_store_put_if_absent(store, DL_STR("t/1"), (dl_bytes){large, sizeof large}, &err),
               DL_E_IO);
    TAP_EQ_INT(err.os_code, ENOSPC);
    TAP_STATUS(dl_store_put(store, DL_STR("kept"), (dl_bytes){large, sizeof large}, &err), DL_E_IO);
    TAP_EQ_INT(err.os_code, ENOSPC);
    TAP_STATUS(dl_store_stat_key(store, DL_STR("t/1"), &stat, &err), DL_E_NOT_FOUND);
    TAP_TRUE(reads(store, "kept", "kept"));
    TAP_EQ_INT(spool_files(h), 0); /* and the room comes back */
    TAP_OK(claim(store, "t/1", "now", &err), err);
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

static void read_a_read_only_place(const home *h)
{
    dl_store *store = NULL;
    dl_error err = {0};
    int64_t count = 0;
    TAP_OK(dl_store_open_shared(h->root, true, &store, &err), err);
    TAP_TRUE(reads(store, "t/1", "one"));
    TAP_OK(dl_store_list_folder(store, DL_STR("t"), DL_STR(""), count_key, &count, &err), err);
    TAP_EQ_INT(count, 1);
    TAP_STATUS(claim(store, "t/2", "two", &err), DL_E_IO);
    TAP_EQ_INT(err.os_code, EROFS);
    TAP_STATUS(replace(store, "t/1", "two", &err), DL_E_IO);
    TAP_STATUS(dl_store_remove(store, DL_STR("t/1"), &err), DL_E_IO);
    dl_store_close(store);
}

/* Also with spools of the dead in it, which nobody can sweep there. */
static void a_read_only_place_is_read(void)
{
    const char *name = "a_read_only_place_is_read";
    home h = home_make();
    if (mount("none", h.base, "tmpfs", 0, "size=1m") != 0) {
        tap_skip(name, "mounting a file system needs root");
        home_remove(&h);
        return;
    }
    TAP_ROW_BEGIN();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    TAP_OK(claim(store, "t/1", "one", &err), err);
    dl_store_close(store);
    char path[PATH_SIZE * 4];
    (void)snprintf(path, sizeof path, "%s/.spool/dead", h.root);
    TAP_EQ_INT(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/.spool/dead/0", h.root);
    TAP_EQ_INT(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    TAP_EQ_INT(mount("none", h.base, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
    read_a_read_only_place(&h);
    TAP_EQ_INT(umount(h.base), 0);
    home_remove(&h);
    TAP_ROW_END(name);
}

TAP_CASE(what_is_shared_has_the_rights_of_the_umask)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = NULL;
    TAP_STATUS(dl_store_open_shared(h.root, false, &store, &err), DL_E_NOT_FOUND);
    TAP_TRUE(store == NULL && access(h.root, F_OK) != 0);
    mode_t old = umask(0027);
    store = open_shared(&h);
    TAP_OK(claim(store, "t/1", "x", &err), err);
    (void)umask(old);
    static const struct {
        const char *name;
        mode_t want;
    } made[] = {{"", 0750}, {"/t", 0750}, {"/t/1", 0640}, {"/.spool", 0750}};
    for (size_t i = 0; i < DL_COUNT_OF(made); i++) {
        char path[PATH_SIZE * 4];
        struct stat file = {0};
        (void)snprintf(path, sizeof path, "%s%s", h.root, made[i].name);
        TAP_EQ_INT(lstat(path, &file), 0);
        TAP_EQ_INT(file.st_mode & 0777, made[i].want);
    }
    dl_store_close(store);
    home_remove(&h);
}

/* ---- listing in order, empty folders ---- */

static dl_status note_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    char *seen = context;
    size_t used = strlen(seen);
    (void)snprintf(seen + used, 1024 - used, "[%.*s=%d]", DL_STR_ARG(key), (int)stat->size_bytes);
    return strstr(seen, "stop") != NULL ? dl_error_set(err, DL_E_CANCELED, "stopped") : DL_OK;
}

static void lists(dl_store *store, const char *folder, const char *after, const char *want)
{
    char seen[1024] = "";
    dl_error err = {0};
    TAP_OK(dl_store_list_folder(store, dl_str_of(folder), dl_str_of(after), note_key, seen, &err),
           err);
    TAP_EQ_STR(dl_str_of(seen), want);
}

TAP_CASE(a_folder_is_listed_in_order)
{
    static const char *const keys[] = {"t/10",       "t/9",     "t/1", "t/a", "t/B",
                                       "t/\xc3\xa4", "t/sub/2", "t/~", "top", "t/0.json"};
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    for (size_t i = 0; i < DL_COUNT_OF(keys); i++) {
        TAP_OK(claim(store, keys[i], "xy", &err), err);
    }
    lists(store, "t", "", "[t/0.json=2][t/1=2][t/10=2][t/9=2][t/B=2][t/a=2][t/~=2][t/\xc3\xa4=2]");
    lists(store, "t", "1", "[t/10=2][t/9=2][t/B=2][t/a=2][t/~=2][t/\xc3\xa4=2]");
    lists(store, "t", "9", "[t/B=2][t/a=2][t/~=2][t/\xc3\xa4=2]");
    lists(store, "t", "~~", "[t/\xc3\xa4=2]");
    lists(store, "t", "\xff", "");
    lists(store, "t/sub", "", "[t/sub/2=2]");
    lists(store, "", "", "[top=2]");
    lists(store, "none", "", "");
    lists(store, "top", "", ""); /* no folder */
    TAP_STATUS(dl_store_list_folder(store, DL_STR("../"), DL_STR(""), note_key, NULL, &err),
               DL_E_INVALID);
    TAP_OK(claim(store, "t/5stop", "", &err), err);
    char seen[1024] = "";
    TAP_STATUS(dl_store_list_folder(store, DL_STR("t"), DL_STR(""), note_key, seen, &err),
               DL_E_CANCELED);
    TAP_TRUE(strstr(seen, "[t/9=2]") == NULL);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(a_log_of_thousands_is_listed_in_order)
{
    enum { FILES = 3000 };
    home h = home_make();
    dl_store *store = open_shared(&h);
    char path[PATH_SIZE * 4];
    (void)snprintf(path, sizeof path, "%s/log", h.root);
    TAP_EQ_INT(mkdir(path, 0755), 0);
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(path, sizeof path, "%s/log/%020d.json", h.root, i * 7919 % FILES);
        (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    }
    int64_t count = 0;
    dl_error err = {0};
    TAP_OK(dl_store_list_folder(store, DL_STR("log"), DL_STR("00000000000000002989.json"),
                                count_key, &count, &err),
           err);
    TAP_EQ_INT(count, 10);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(folders_that_hold_nothing_go)
{
    home h = home_make();
    dl_store *store = open_shared(&h);
    dl_error err = {0};
    int64_t removed = -1;
    char path[PATH_SIZE * 4];
    TAP_OK(claim(store, "t/a/b/c/1", "x", &err), err);
    TAP_OK(claim(store, "t/a/d/1", "x", &err), err);
    TAP_OK(claim(store, "t/e/1", "x", &err), err);
    TAP_OK(dl_store_remove_empty(store, DL_STR("t"), &removed, &err), err);
    TAP_EQ_INT(removed, 0);
    TAP_OK(dl_store_remove(store, DL_STR("t/a/b/c/1"), &err), err);
    TAP_OK(dl_store_remove(store, DL_STR("t/e/1"), &err), err);
    (void)snprintf(path, sizeof path, "%s/t/e/strange\\name", h.root); /* no key, but not ours */
    TAP_EQ_INT(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)), 0);
    TAP_OK(dl_store_remove_empty(store, DL_STR("t"), &removed, &err), err);
    TAP_EQ_INT(removed, 2);                                /* c and b */
    TAP_OK(claim(store, "t/a/b/c/1", "again", &err), err); /* and are made anew */
    TAP_OK(dl_store_remove(store, DL_STR("t/a/b/c/1"), &err), err);
    TAP_OK(dl_store_remove(store, DL_STR("t/a/d/1"), &err), err);
    TAP_EQ_INT(unlink(path), 0);
    TAP_OK(dl_store_remove_empty(store, DL_STR("t"), &removed, &err), err);
    TAP_EQ_INT(removed, 6); /* all of it, and t itself */
    TAP_OK(dl_store_remove_empty(store, DL_STR("t"), &removed, &err), err);
    TAP_EQ_INT(removed, 0);
    TAP_OK(dl_store_remove_empty(store, DL_STR(""), &removed, &err), err);
    TAP_TRUE(access(h.root, F_OK) == 0);       /* never the root */
    TAP_OK(claim(store, "k", "x", &err), err); /* nor the spools of the living */
    TAP_STATUS(dl_store_remove_empty(store, DL_STR(".."), &removed, &err), DL_E_INVALID);
    dl_store_close(store);
    home_remove(&h);
}

int main(void)
{
    TAP_RUN(put_if_absent_gives_a_key_once);
    TAP_RUN(put_takes_the_place_in_one_step);
    TAP_RUN(an_object_has_a_limit);
    TAP_RUN(reading_whole_and_in_ranges);
    TAP_RUN(a_location_is_an_absolute_path);
    TAP_RUN(odd_names_are_names);
    TAP_RUN(processes_race_and_each_key_has_one_winner);
    TAP_RUN(also_where_there_are_no_links);
    TAP_RUN(a_place_that_can_promise_nothing_says_so);
    TAP_RUN(threads_race_while_empty_folders_go);
    TAP_RUN(the_folders_above_a_new_object_are_synced);
    TAP_RUN(a_process_may_fall_at_each_system_call);
    TAP_RUN(each_system_call_may_fail);
    TAP_RUN(each_allocation_may_fail);
    a_full_disk_is_an_error_and_no_object();
    a_read_only_place_is_read();
    TAP_RUN(what_is_shared_has_the_rights_of_the_umask);
    TAP_RUN(a_folder_is_listed_in_order);
    TAP_RUN(a_log_of_thousands_is_listed_in_order);
    TAP_RUN(folders_that_hold_nothing_go);
    return tap_done();
}
