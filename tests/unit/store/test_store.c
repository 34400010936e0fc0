/* Objects from their spool to their end: read, changed by others, listed, removed, swept. */
#include "store_rig.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- names ---- */

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
    TAP_RUN(an_object_that_somebody_changed_is_recognised);
    TAP_RUN(an_object_is_read_within_its_bounds);
    TAP_RUN(removing_is_idempotent);
    TAP_RUN(a_listing_visits_each_key_below_a_folder);
    TAP_RUN(opening_sweeps_the_spools_of_the_dead_only);
    TAP_RUN(opening_to_read_writes_nothing);
    TAP_RUN(object_names_begin_with_the_hash_of_the_watermark);
    return tap_done();
}
