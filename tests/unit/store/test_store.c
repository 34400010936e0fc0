#include "tap.h"

#include "base/file.h"
#include "base/mem.h"
#include "faults.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { GROUP = 4, PATH_SIZE = 512 };

typedef struct home {
    char base[64];        /* a folder of the test's own */
    char root[PATH_SIZE]; /* the store in it, not made yet */
} home;

static home home_make(void)
{
    home h = {.base = "/tmp/test_store.XXXXXX"};
    if (mkdtemp(h.base) == NULL) {
        perror("mkdtemp");
        exit(2);
    }
    (void)snprintf(h.root, sizeof h.root, "%s/a/files", h.base);
    return h;
}

static void home_remove(const home *h)
{
    pid_t child = fork();
    if (child == 0) {
        execlp("rm", "rm", "-rf", "--", h->base, (char *)NULL);
        _exit(127);
    }
    (void)waitpid(child, NULL, 0);
}

static void path_of(const home *h, const char *key, char out[PATH_SIZE * 4])
{
    (void)snprintf(out, (size_t)PATH_SIZE * 4, "%s/%s", h->root, key);
}

static dl_bytes bytes_of(const char *text)
{
    return (dl_bytes){(const uint8_t *)text, strlen(text)};
}

static dl_store *store_open(const home *h)
{
    dl_store *store = NULL;
    dl_error err = {0};
    TAP_OK(dl_store_open_local(h->root, &store, &err), err);
    return store;
}

static dl_store_spool *spool_of(dl_store *store, const char *text)
{
    dl_store_spool *spool = NULL;
    dl_error err = {0};
    TAP_OK(dl_store_spool_create(store, &spool, &err), err);
    TAP_OK(dl_store_spool_write(spool, bytes_of(text), &err), err);
    return spool;
}

static dl_status put(dl_store *store, const char *key, const char *text, dl_store_stat *out_stat,
                     dl_error *err)
{
    DL_AUTO(dl_store_spool) spool = NULL;
    DL_TRY(dl_store_spool_create(store, &spool, err));
    DL_TRY(dl_store_spool_write(spool, bytes_of(text), err));
    dl_store_publish_item item = {.spool = spool, .key = dl_str_of(key), .err = err};
    dl_store_publish(store, &item, 1);
    if (item.status == DL_OK && out_stat != NULL) {
        *out_stat = item.stat;
    }
    return item.status;
}

static bool holds(dl_store *store, const char *key, const dl_store_stat *expect, const char *text)
{
    dl_store_object *object = NULL;
    char got[256] = "";
    bool same = false;
    if (dl_store_open_object(store, dl_str_of(key), expect, &object, NULL) == DL_OK) {
        size_t size = dl_store_object_size(object);
        same = size == strlen(text) && size < sizeof got &&
               dl_store_object_read(object, 0, got, size, NULL) == DL_OK &&
               memcmp(got, text, size) == 0;
    }
    dl_store_object_close(object);
    return same;
}

static dl_status count_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)key, (void)stat, (void)err;
    ++*(int64_t *)context;
    return DL_OK;
}

static int64_t count_keys(dl_store *store, const char *prefix)
{
    int64_t count = 0;
    dl_error err = {0};
    TAP_OK(dl_store_list(store, dl_str_of(prefix), count_key, &count, &err), err);
    return count;
}

/* Files anywhere below .spool/, and its folders. */
static void count_spools(const home *h, int *out_folders, int *out_files)
{
    char path[PATH_SIZE * 4];
    *out_folders = *out_files = 0;
    path_of(h, ".spool", path);
    DIR *dir = opendir(path);
    for (struct dirent *e = NULL; dir != NULL && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.') {
            continue;
        }
        ++*out_folders;
        char below[PATH_SIZE * 5];
        (void)snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        DIR *life = opendir(below);
        for (struct dirent *f = NULL; life != NULL && (f = readdir(life)) != NULL;) {
            *out_files += f->d_name[0] != '.';
        }
        if (life != NULL) {
            (void)closedir(life);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
}

TAP_CASE(what_is_published_is_read_back_and_hashed)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    dl_store_stat stat = {0}, looked = {0}, hashed = {0};
    TAP_OK(put(store, "AHDS/ws/dicom/svc/Microsoft.Default/132_1.dcm", "abc", &stat, &err), err);
    TAP_EQ_INT(stat.size_bytes, 3);
    TAP_TRUE(stat.tag > 1500000000LL * 1000000000);
    /* XXH3-128 of "abc", seed 0, canonical order, as `xxhsum -H2` prints it */
    static const uint8_t want[DL_STORE_HASH_BYTES] = {0x06, 0xb0, 0x5a, 0xb6, 0x73, 0x3a,
                                                      0x61, 0x85, 0x78, 0xaf, 0x5f, 0x94,
                                                      0x89, 0x2f, 0x39, 0x50};
    TAP_TRUE(memcmp(stat.hash, want, sizeof want) == 0);
    dl_str key = DL_STR("AHDS/ws/dicom/svc/Microsoft.Default/132_1.dcm");
    TAP_OK(dl_store_stat_key(store, key, &looked, &err), err);
    TAP_EQ_INT(looked.tag, stat.tag);
    TAP_EQ_INT(looked.size_bytes, 3);
    TAP_OK(dl_store_hash(store, key, &hashed, &err), err);
    TAP_TRUE(memcmp(hashed.hash, want, sizeof want) == 0);
    TAP_TRUE(holds(store, key.ptr, &stat, "abc"));
    struct stat root;
    TAP_TRUE(stat.size_bytes == 3 && lstat(h.root, &root) == 0 && (root.st_mode & 0777) == 0700);
    dl_store_close(store);
    store = store_open(&h); /* and after a restart */
    TAP_TRUE(holds(store, key.ptr, &stat, "abc"));
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(a_spool_can_be_read_while_it_grows)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    dl_store_spool *spool = spool_of(store, "one ");
    char got[8] = "";
    TAP_OK(dl_file_read_at(dl_store_spool_fd(spool), 0, got, 4, &err), err);
    TAP_EQ_STR(dl_str_of(got), "one ");
    TAP_OK(dl_store_spool_write(spool, bytes_of("two"), &err), err);
    TAP_OK(dl_store_spool_write(spool, (dl_bytes){NULL, 0}, &err), err);
    TAP_EQ_INT(dl_store_spool_size(spool), 7);
    TAP_OK(dl_file_read_at(dl_store_spool_fd(spool), 0, got, 7, &err), err);
    TAP_EQ_STR(dl_str_of(got), "one two");
    TAP_EQ_INT(count_keys(store, ""), 0); /* nobody sees it yet */
    dl_store_spool_destroy(spool);
    dl_store_spool_destroy(NULL);
    int folders = 0, files = 0;
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(folders, 1);
    TAP_EQ_INT(files, 0);
    dl_store_close(store);
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(folders, 0);
    home_remove(&h);
}

TAP_CASE(an_empty_object_and_a_long_one)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    dl_store_stat stat = {0}, hashed = {0};
    TAP_OK(put(store, "empty", "", &stat, &err), err);
    TAP_EQ_INT(stat.size_bytes, 0);
    TAP_TRUE(holds(store, "empty", &stat, ""));

    enum { STEP = 1 << 20, STEPS = 17 }; /* past two steps of early write-out */
    uint8_t *step = calloc(1, STEP);
    DL_AUTO(dl_store_spool) spool = NULL;
    TAP_OK(dl_store_spool_create(store, &spool, &err), err);
    for (int i = 0; i < STEPS; i++) {
        memset(step, i + 1, STEP);
        TAP_OK(dl_store_spool_write(spool, (dl_bytes){step, STEP}, &err), err);
    }
    dl_store_publish_item item = {.spool = spool, .key = DL_STR("long"), .err = &err};
    dl_store_publish(store, &item, 1);
    TAP_EQ_INT(item.status, DL_OK);
    TAP_EQ_INT(item.stat.size_bytes, (int64_t)STEP * STEPS);
    TAP_OK(dl_store_hash(store, DL_STR("long"), &hashed, &err), err);
    TAP_TRUE(memcmp(hashed.hash, item.stat.hash, sizeof hashed.hash) == 0);
    free(step);
    dl_store_spool_destroy(DL_STEAL(spool));
    dl_store_close(store);
    home_remove(&h);
}

/* ---- keys ---- */

static const struct {
    const char *name;
    const char *key;
    bool ok;
} keys[] = {
    /* clang-format off */
    {"plain",                "a",                      true},
    {"folders",              "AHDS/a b/c-d_e.f/1.dcm", true},
    {"dots inside",          "a..b/...c/x.",           true},
    {"hidden name",          ".hidden",                true},
    {"spool name below",     "z/.spool",               true},
    {"spool-like name",      ".spools/x",              true},
    {"empty",                "",                       false},
    {"leading slash",        "/etc/passwd",            false},
    {"trailing slash",       "a/",                     false},
    {"empty segment",        "a//b",                   false},
    {"dot",                  ".",                      false},
    {"dot dot",              "..",                     false},
    {"up and out",           "../../etc/passwd",       false},
    {"up in the middle",     "a/../../b",              false},
    {"up at the end",        "a/..",                   false},
    {"dot in the middle",    "a/./b",                  false},
    {"the spool folder",     ".spool",                 false},
    {"into the spools",      ".spool/x",               false},
    {"backslash",            "a\\b",                   false},
    {"percent",              "a%2fb",                  true},
    {"colon",                "a:b",                    true},
    {"not ASCII",            "m\xc3\xbcller",          true},
    {"tilde",                "~root",                  true},
    {"partition's folder",   "instance/partitionName=ward 7%2F\xc3\xa4%25/x", true},
    {"star and dollar",      "*/$HOME/`a`/\"b\"",     true},
    {"newline",              "a\nb",                   false},
    {"tabulator",            "a\tb",                   false},
    {"unit separator",       "a\x1f",                  false},
    {"delete",               "a\x7f",                  false},
    {"cut UTF-8",            "a\xc3",                  false},
    {"overlong slash",       "a\xc0\xaf" "b",          false},
    {"surrogate",            "\xed\xa0\x80",           false},
    {"Latin-1",              "m\xfcller",              false},
    /* clang-format on */
};

static void check_key(dl_store *store, dl_str key, bool ok)
{
    dl_error err = {0};
    dl_store_stat stat = {.tag = 77};
    dl_store_object *object = NULL;
    int64_t count = 0;
    dl_status want = ok ? DL_E_NOT_FOUND : DL_E_INVALID;
    TAP_STATUS(dl_store_stat_key(store, key, &stat, &err), want);
    TAP_TRUE(err.message[0] != '\0' && err.status == want);
    TAP_STATUS(dl_store_open_object(store, key, NULL, &object, &err), want);
    TAP_STATUS(dl_store_hash(store, key, &stat, &err), want);
    TAP_STATUS(dl_store_remove(store, key, &err), ok ? DL_OK : DL_E_INVALID);
    if (key.len > 0) { /* as a prefix, the empty one means all */
        TAP_STATUS(dl_store_list(store, key, count_key, &count, &err), ok ? DL_OK : DL_E_INVALID);
    }
    TAP_EQ_INT(stat.tag, 77);
    TAP_TRUE(object == NULL && count == 0);

    dl_store_spool *spool = spool_of(store, "x");
    dl_store_publish_item item = {.spool = spool, .key = key, .err = &err};
    dl_store_publish(store, &item, 1);
    TAP_EQ_INT(item.status, ok ? DL_OK : DL_E_INVALID);
    TAP_STATUS(dl_store_stat_key(store, key, &stat, &err), ok ? DL_OK : DL_E_INVALID);
    dl_store_spool_destroy(spool);
}

static void keys_are_checked(void)
{
    home h = home_make();
    dl_store *store = store_open(&h);
    for (size_t i = 0; i < DL_COUNT_OF(keys); i++) {
        TAP_ROW_BEGIN();
        check_key(store, dl_str_of(keys[i].key), keys[i].ok);
        char name[80];
        (void)snprintf(name, sizeof name, "key: %s", keys[i].name);
        TAP_ROW_END(name);
    }
    TAP_ROW_BEGIN();
    check_key(store, (dl_str){"a\0b", 3}, false);
    TAP_ROW_END("key: NUL");
    TAP_ROW_BEGIN();
    char text[DL_STORE_KEY_LIMIT_BYTES + 2];
    memset(text, 'k', sizeof text);
    check_key(store, (dl_str){text, 255}, true);
    check_key(store, (dl_str){text, 256}, false);
    for (size_t i = 200; i < sizeof text; i += 201) {
        text[i] = '/';
    }
    check_key(store, (dl_str){text, DL_STORE_KEY_LIMIT_BYTES}, true);
    check_key(store, (dl_str){text, DL_STORE_KEY_LIMIT_BYTES + 1}, false);
    TAP_ROW_END("key: lengths at the bound and one past it");
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(names_from_outside_that_are_no_objects)
{
    home h = home_make();
    dl_store *store = store_open(&h);
    dl_error err = {0};
    char path[PATH_SIZE * 4];
    dl_store_stat stat = {0};
    dl_store_object *object = NULL;
    TAP_OK(put(store, "folder/object", "x", NULL, &err), err);
    path_of(&h, "link", path);
    TAP_EQ_INT(symlink("/etc/passwd", path), 0);
    path_of(&h, "away", path);
    TAP_EQ_INT(symlink("/etc", path), 0);
    path_of(&h, "fifo", path);
    TAP_EQ_INT(mkfifo(path, 0600), 0);
    path_of(&h, "strange\\name", path);
    TAP_EQ_INT(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    static const char *const none[] = {"link", "fifo", "folder", "folder/object/x"};
    for (size_t i = 0; i < DL_COUNT_OF(none); i++) {
        TAP_STATUS(dl_store_stat_key(store, dl_str_of(none[i]), &stat, &err), DL_E_NOT_FOUND);
        TAP_STATUS(dl_store_open_object(store, dl_str_of(none[i]), NULL, &object, &err),
                   DL_E_NOT_FOUND);
        TAP_STATUS(dl_store_hash(store, dl_str_of(none[i]), &stat, &err), DL_E_NOT_FOUND);
    }
    TAP_EQ_INT(count_keys(store, ""), 1);
    TAP_EQ_INT(count_keys(store, "away"), 0); /* a listing follows no link */
    TAP_EQ_INT(count_keys(store, "folder/object"), 0);
    TAP_STATUS(dl_store_remove(store, DL_STR("folder"), &err), DL_OK);
    TAP_STATUS(put(store, "folder", "y", NULL, &err), DL_E_EXISTS);
    TAP_STATUS(put(store, "folder/object/below", "y", NULL, &err), DL_E_IO);
    TAP_TRUE(holds(store, "folder/object", NULL, "x"));
    dl_store_close(store);
    home_remove(&h);
}

/* ---- groups ---- */

TAP_CASE(a_key_is_given_once)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    dl_store_spool *a = spool_of(store, "first"), *b = spool_of(store, "second");
    dl_error errs[2] = {{0}, {0}};
    dl_store_publish_item items[2] = {
        {.spool = a, .key = DL_STR("k/1"), .err = &errs[0]},
        {.spool = b, .key = DL_STR("k/1"), .err = &errs[1]},
    };
    items[1].stat.tag = 5;
    dl_store_publish(store, items, 2);
    TAP_EQ_INT(items[0].status, DL_OK);
    TAP_EQ_INT(items[1].status, DL_E_EXISTS);
    TAP_TRUE(errs[0].message[0] == '\0' && errs[1].message[0] != '\0');
    TAP_TRUE(holds(store, "k/1", &items[0].stat, "first"));
    /* the loser keeps its bytes and may have another key; the winner has had its own */
    items[1].key = DL_STR("k/2");
    items[0].key = DL_STR("k/3");
    dl_store_publish(store, items, 2);
    TAP_EQ_INT(items[0].status, DL_E_INVALID);
    TAP_EQ_INT(items[1].status, DL_OK);
    TAP_TRUE(holds(store, "k/2", &items[1].stat, "second"));
    TAP_STATUS(dl_store_spool_write(b, bytes_of("x"), &err), DL_E_INVALID);
    dl_store_spool_destroy(a);
    dl_store_spool_destroy(b);
    TAP_TRUE(holds(store, "k/1", NULL, "first")); /* destroying a published spool takes nothing */
    TAP_EQ_INT(count_keys(store, ""), 2);
    dl_store_spool *c = spool_of(store, "one spool under two keys");
    dl_store_publish_item twice[2] = {{.spool = c, .key = DL_STR("k/4")},
                                      {.spool = c, .key = DL_STR("k/5")}};
    dl_store_publish(store, twice, 2);
    TAP_EQ_INT(twice[0].status, DL_OK);
    TAP_EQ_INT(twice[1].status, DL_E_INVALID);
    dl_store_spool_destroy(c);
    dl_store_publish(store, NULL, 0);
    dl_store_close(store);
    home_remove(&h);
}

typedef struct group {
    dl_store_spool *spools[GROUP];
    dl_store_publish_item items[GROUP];
    char keys[GROUP][32];
    char texts[GROUP][32];
    dl_error errs[GROUP];
} group;

static void group_make(group *g, dl_store *store, int round)
{
    memset(g, 0, sizeof *g);
    for (int i = 0; i < GROUP; i++) {
        (void)snprintf(g->keys[i], sizeof g->keys[i], "r%d/f%d/%d", round, i % 2, i);
        (void)snprintf(g->texts[i], sizeof g->texts[i], "round %d item %d", round, i);
        g->spools[i] = spool_of(store, g->texts[i]);
        g->items[i] = (dl_store_publish_item){
            .spool = g->spools[i], .key = dl_str_of(g->keys[i]), .err = &g->errs[i]};
    }
}

static void group_clear(group *g)
{
    for (int i = 0; i < GROUP; i++) {
        dl_store_spool_destroy(g->spools[i]);
    }
}

/* Done means readable, failed means that nothing is there. Returns how many were done. */
static int group_check(group *g, dl_store *store)
{
    int done = 0;
    for (int i = 0; i < GROUP; i++) {
        dl_store_stat stat;
        if (g->items[i].status == DL_OK) {
            done++;
            TAP_TRUE(holds(store, g->keys[i], &g->items[i].stat, g->texts[i]));
        } else {
            TAP_TRUE(g->errs[i].message[0] != '\0' && g->errs[i].status == g->items[i].status);
            TAP_STATUS(dl_store_stat_key(store, g->items[i].key, &stat, NULL), DL_E_NOT_FOUND);
        }
    }
    return done;
}

TAP_CASE(an_item_that_cannot_be_synced_fails_alone)
{
    home h = home_make();
    dl_store *store = store_open(&h);
    group g;
    for (int bad = 0; bad < GROUP; bad++) {
        group_make(&g, store, bad);
        faults_now = (faults){.only = "fsync", .fail_at = bad, .keep_on = 1, .os_code = EIO};
        dl_store_publish(store, g.items, GROUP);
        faults_now = (faults){.fail_at = -1};
        TAP_EQ_INT(g.items[bad].status, DL_E_IO);
        TAP_EQ_INT(g.errs[bad].os_code, EIO);
        TAP_EQ_INT(group_check(&g, store), GROUP - 1);
        dl_store_publish(store, &g.items[bad], 1); /* and no second try may say that all is well */
        TAP_EQ_INT(g.items[bad].status, DL_E_INVALID);
        group_clear(&g);
    }
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(a_write_out_that_fails_in_the_wait_is_not_forgotten)
{
    home h = home_make();
    dl_store *store = store_open(&h);
    group g;
    group_make(&g, store, 0);
    faults_now =
        (faults){.only = "sync_file_range", .fail_at = GROUP + 1, .keep_on = 1, .os_code = ENOSPC};
    dl_store_publish(store, g.items, GROUP);
    faults_now = (faults){.fail_at = -1};
    TAP_EQ_INT(g.items[1].status, DL_E_IO);
    TAP_EQ_INT(g.errs[1].os_code, ENOSPC);
    TAP_EQ_INT(group_check(&g, store), GROUP - 1);
    group_clear(&g);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(a_folder_that_cannot_be_synced_fails_its_items)
{
    home h = home_make();
    dl_store *store = store_open(&h);
    group g;
    group_make(&g, store, 0);
    faults_now = (faults){.only = "fsync", .fail_at = GROUP, .keep_on = 1, .os_code = EIO};
    dl_store_publish(store, g.items, GROUP);
    faults_now = (faults){.fail_at = -1};
    TAP_EQ_INT(group_check(&g, store), GROUP / 2);
    TAP_EQ_INT(g.items[0].status, DL_E_IO);
    TAP_EQ_INT(g.items[2].status, DL_E_IO);
    group_clear(&g);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(a_new_folder_is_synced_with_all_above_it)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    faults_now = (faults){.only = "fsync", .fail_at = -1};
    TAP_OK(put(store, "a/b/c/1", "x", NULL, &err), err);
    TAP_EQ_INT(faults_now.seen, 5); /* the object, c, b, a and the root */
    faults_now = (faults){.only = "fsync", .fail_at = -1};
    TAP_OK(put(store, "a/b/c/2", "x", NULL, &err), err);
    TAP_EQ_INT(faults_now.seen, 2); /* the object and c */
    char path[PATH_SIZE * 4];
    path_of(&h, "a/b/c/1", path);
    TAP_EQ_INT(unlink(path), 0);
    path_of(&h, "a/b/c/2", path);
    TAP_EQ_INT(unlink(path), 0);
    path_of(&h, "a/b/c", path);
    TAP_EQ_INT(rmdir(path), 0); /* a folder that goes is made and synced anew */
    faults_now = (faults){.only = "fsync", .fail_at = -1};
    TAP_OK(put(store, "a/b/c/3", "x", NULL, &err), err);
    TAP_EQ_INT(faults_now.seen, 5);
    dl_store_close(store);
    store = store_open(&h); /* an earlier life may have fallen before its sync */
    faults_now = (faults){.only = "fsync", .fail_at = -1};
    TAP_OK(put(store, "a/b/c/4", "x", NULL, &err), err);
    TAP_EQ_INT(faults_now.seen, 5);
    faults_now = (faults){.only = "fsync", .fail_at = -1};
    TAP_OK(dl_store_remove(store, DL_STR("a/b/c/4"), &err), err);
    TAP_EQ_INT(faults_now.seen, 1);
    faults_now = (faults){.fail_at = -1};
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(file_systems_without_a_rename_that_spares)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    TAP_OK(put(store, "made", "x", NULL, &err), err);
    faults_now = (faults){.only = "renameat2", .fail_at = 0, .keep_on = 100, .os_code = EINVAL};
    dl_store_stat stat = {0};
    TAP_OK(put(store, "new/1", "text", &stat, &err), err);
    TAP_TRUE(holds(store, "new/1", &stat, "text"));
    TAP_STATUS(put(store, "new/1", "other", NULL, &err), DL_E_EXISTS);
    TAP_TRUE(holds(store, "new/1", &stat, "text"));
    faults_now = (faults){.fail_at = -1};
    int folders = 0, files = 0;
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(files, 0);
    dl_store_close(store);
    home_remove(&h);
}

/* ---- changed by somebody else ---- */

static void overwrite(const char *path, const char *text, bool cut)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC | (cut ? O_TRUNC : 0));
    TAP_TRUE(fd >= 0 && dl_file_write_all(fd, text, strlen(text), NULL) == DL_OK);
    (void)close(fd);
}

TAP_CASE(an_object_that_somebody_changed_is_recognised)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    char path[PATH_SIZE * 4];
    path_of(&h, "f/o", path);
    dl_store_stat stat = {0};
    dl_store_object *object = NULL;
    TAP_OK(put(store, "f/o", "abc", &stat, &err), err);
    TAP_EQ_INT(usleep(20000), 0);  /* the clock of the file system moves in steps of up to 10 ms */
    overwrite(path, "xyz", false); /* the same length */
    TAP_STATUS(dl_store_open_object(store, DL_STR("f/o"), &stat, &object, &err), DL_E_CORRUPT);
    TAP_TRUE(dl_str_find_str(dl_str_of(err.message), DL_STR("changed by somebody else")) >= 0);
    TAP_TRUE(holds(store, "f/o", NULL, "xyz")); /* without expectations it is read */

    struct timespec back[2] = {{.tv_nsec = UTIME_OMIT},
                               {.tv_sec = stat.tag / 1000000000, .tv_nsec = stat.tag % 1000000000}};
    TAP_EQ_INT(utimensat(AT_FDCWD, path, back, 0), 0);
    TAP_TRUE(holds(store, "f/o", &stat, "xyz")); /* only the hash finds that */
    dl_store_stat hashed = {0};
    TAP_OK(dl_store_hash(store, DL_STR("f/o"), &hashed, &err), err);
    TAP_TRUE(memcmp(hashed.hash, stat.hash, sizeof stat.hash) != 0);

    overwrite(path, "ab", true);
    TAP_EQ_INT(utimensat(AT_FDCWD, path, back, 0), 0);
    TAP_STATUS(dl_store_open_object(store, DL_STR("f/o"), &stat, &object, &err), DL_E_CORRUPT);
    TAP_EQ_INT(unlink(path), 0);
    TAP_STATUS(dl_store_open_object(store, DL_STR("f/o"), &stat, &object, &err), DL_E_CORRUPT);
    TAP_TRUE(dl_str_find_str(dl_str_of(err.message), DL_STR("removed")) >= 0);
    TAP_STATUS(dl_store_open_object(store, DL_STR("f/o"), NULL, &object, &err), DL_E_NOT_FOUND);
    TAP_TRUE(object == NULL);
    dl_store_close(store);
    home_remove(&h);
}

TAP_CASE(an_object_is_read_within_its_bounds)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    dl_store_object *object = NULL;
    char got[8] = "", path[PATH_SIZE * 4];
    TAP_OK(put(store, "o", "0123456789", NULL, &err), err);
    TAP_OK(dl_store_open_object(store, DL_STR("o"), NULL, &object, &err), err);
    TAP_EQ_INT(dl_store_object_size(object), 10);
    TAP_TRUE(dl_store_object_fd(object) >= 0);
    TAP_OK(dl_store_object_read(object, 7, got, 3, &err), err);
    TAP_EQ_STR(dl_str_of(got), "789");
    TAP_OK(dl_store_object_read(object, 10, got, 0, &err), err);
    TAP_STATUS(dl_store_object_read(object, 8, got, 3, &err), DL_E_INVALID);
    TAP_STATUS(dl_store_object_read(object, 11, got, 0, &err), DL_E_INVALID);
    TAP_STATUS(dl_store_object_read(object, UINT64_MAX, got, 3, &err), DL_E_INVALID);
    path_of(&h, "o", path);
    TAP_EQ_INT(truncate(path, 5), 0); /* while it is open */
    TAP_STATUS(dl_store_object_read(object, 3, got, 3, &err), DL_E_CORRUPT);
    dl_store_object_close(object);
    dl_store_object_close(NULL);
    dl_store_close(store);
    home_remove(&h);
}

/* ---- removing and listing ---- */

TAP_CASE(removing_is_idempotent)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    TAP_OK(put(store, "a/1", "x", NULL, &err), err);
    TAP_OK(dl_store_remove(store, DL_STR("a/1"), &err), err);
    TAP_OK(dl_store_remove(store, DL_STR("a/1"), &err), err);
    TAP_OK(dl_store_remove(store, DL_STR("no/such/folder"), &err), err);
    TAP_EQ_INT(err.status, DL_OK);
    TAP_EQ_INT(count_keys(store, ""), 0);
    TAP_OK(put(store, "a/1", "y", NULL, &err), err); /* the key is free again */
    dl_store_close(store);
    home_remove(&h);
}

typedef struct listing {
    dl_store *store;
    char seen[512];
    int stop_after;
} listing;

static dl_status note_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    listing *l = context;
    size_t used = strlen(l->seen);
    (void)snprintf(l->seen + used, sizeof l->seen - used, "[%.*s=%d]", DL_STR_ARG(key),
                   (int)stat->size_bytes);
    if (l->stop_after > 0 && --l->stop_after == 0) {
        return dl_error_set(err, DL_E_CANCELED, "stopped");
    }
    return dl_store_remove(l->store, key, err); /* allowed during the walk */
}

TAP_CASE(a_listing_visits_each_key_below_a_folder)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *store = store_open(&h);
    TAP_OK(put(store, "top", "1", NULL, &err), err);
    TAP_OK(put(store, "a/1", "22", NULL, &err), err);
    TAP_OK(put(store, "a/b/c/2", "333", NULL, &err), err);
    TAP_OK(put(store, "ab/3", "4444", NULL, &err), err);
    dl_store_spool *open_spool = spool_of(store, "not a key");
    TAP_EQ_INT(count_keys(store, ""), 4);
    TAP_EQ_INT(count_keys(store, "a"), 2);
    TAP_EQ_INT(count_keys(store, "a/b/c"), 1);
    TAP_EQ_INT(count_keys(store, "nothing"), 0);
    listing l = {.store = store, .stop_after = 1};
    TAP_STATUS(dl_store_list(store, DL_STR("ab"), note_key, &l, &err), DL_E_CANCELED);
    TAP_EQ_STR(dl_str_of(err.message), "stopped");
    TAP_EQ_STR(dl_str_of(l.seen), "[ab/3=4]");
    l = (listing){.store = store};
    TAP_OK(dl_store_list(store, DL_STR(""), note_key, &l, &err), err);
    TAP_TRUE(strstr(l.seen, "[top=1]") && strstr(l.seen, "[a/1=2]") &&
             strstr(l.seen, "[a/b/c/2=3]") && strstr(l.seen, "[ab/3=4]"));
    TAP_EQ_INT(count_keys(store, ""), 0);
    dl_store_spool_destroy(open_spool);
    dl_store_close(store);
    home_remove(&h);
}

/* ---- sweeping ---- */

/* A process that spools and then falls without cleaning up. */
static void fall_with_spools(const home *h)
{
    pid_t child = fork();
    if (child == 0) {
        dl_store *store = store_open(h);
        (void)spool_of(store, "left behind");
        (void)spool_of(store, "left behind as well");
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
}

TAP_CASE(opening_sweeps_the_spools_of_the_dead_only)
{
    home h = home_make();
    dl_error err = {0};
    dl_store *living = store_open(&h);
    dl_store_spool *spool = spool_of(living, "alive");
    fall_with_spools(&h);
    int folders = 0, files = 0;
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(folders, 2);
    TAP_EQ_INT(files, 3);
    dl_store *second = store_open(&h); /* as verify does beside a running service */
    count_spools(&h, &folders, &files);
    TAP_EQ_INT(folders, 1);
    TAP_EQ_INT(files, 1);
    dl_store_close(second);
    dl_store_publish_item item = {.spool = spool, .key = DL_STR("k"), .err = &err};
    dl_store_publish(living, &item, 1);
    TAP_EQ_INT(item.status, DL_OK);
    TAP_TRUE(holds(living, "k", &item.stat, "alive"));
    dl_store_spool_destroy(spool);
    dl_store_close(living);
    home_remove(&h);
}

TAP_CASE(opening_to_read_writes_nothing)
{
    home h = home_make();
    dl_store_close(store_open(&h));
    char path[PATH_SIZE * 4];
    struct stat file;
    path_of(&h, ".spool", path);
    TAP_TRUE(lstat(path, &file) != 0 && errno == ENOENT);
    dl_store_close(NULL);
    dl_store *store = NULL;
    dl_error err = {0};
    TAP_STATUS(dl_store_open_local("/dev/null/x", &store, &err), DL_E_IO);
    TAP_TRUE(store == NULL && err.message[0] != '\0');
    home_remove(&h);
}

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

TAP_CASE(object_names_begin_with_the_hash_of_the_watermark)
{
    static const struct {
        const char *watermark, *want;
    } vectors[] = {{"1", "132"},  {"2", "692"},   {"3", "274"},     {"10", "542"},
                   {"45", "182"}, {"100", "614"}, {"123456", "311"}};
    for (size_t i = 0; i < DL_COUNT_OF(vectors); i++) {
        char digits[32];
        (void)snprintf(digits, sizeof digits, "%llu",
                       (unsigned long long)dl_store_xxh64(bytes_of(vectors[i].watermark)));
        TAP_EQ_STR(dl_str_slice(dl_str_of(digits), 0, 3), vectors[i].want);
    }
}

int main(void)
{
    TAP_RUN(what_is_published_is_read_back_and_hashed);
    TAP_RUN(a_spool_can_be_read_while_it_grows);
    TAP_RUN(an_empty_object_and_a_long_one);
    keys_are_checked();
    TAP_RUN(names_from_outside_that_are_no_objects);
    TAP_RUN(a_key_is_given_once);
    TAP_RUN(an_item_that_cannot_be_synced_fails_alone);
    TAP_RUN(a_write_out_that_fails_in_the_wait_is_not_forgotten);
    TAP_RUN(a_folder_that_cannot_be_synced_fails_its_items);
    TAP_RUN(a_new_folder_is_synced_with_all_above_it);
    TAP_RUN(file_systems_without_a_rename_that_spares);
    TAP_RUN(an_object_that_somebody_changed_is_recognised);
    TAP_RUN(an_object_is_read_within_its_bounds);
    TAP_RUN(removing_is_idempotent);
    TAP_RUN(a_listing_visits_each_key_below_a_folder);
    TAP_RUN(opening_sweeps_the_spools_of_the_dead_only);
    TAP_RUN(opening_to_read_writes_nothing);
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(each_system_call_may_fail);
    TAP_RUN(a_process_may_fall_at_each_system_call);
    a_full_disk_is_an_error_and_no_object();
    TAP_RUN(the_probe_leaves_nothing);
    TAP_RUN(threads_race_and_one_wins);
    TAP_RUN(object_names_begin_with_the_hash_of_the_watermark);
    return tap_done();
}
