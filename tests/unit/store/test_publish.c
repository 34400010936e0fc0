/* Publishing: which keys there may be, and groups of which some cannot be had. */
#include "store_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

enum { GROUP = 4 };

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

int main(void)
{
    keys_are_checked();
    TAP_RUN(names_from_outside_that_are_no_objects);
    TAP_RUN(a_key_is_given_once);
    TAP_RUN(an_item_that_cannot_be_synced_fails_alone);
    TAP_RUN(a_write_out_that_fails_in_the_wait_is_not_forgotten);
    TAP_RUN(a_folder_that_cannot_be_synced_fails_its_items);
    TAP_RUN(a_new_folder_is_synced_with_all_above_it);
    TAP_RUN(file_systems_without_a_rename_that_spares);
    return tap_done();
}
