/* Cohorts: versions that never change, instances in order, files fetched and found again. */
#include "lakehouse/files.h"
#include "lakehouse/files_internal.h"

#include "fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

static dl_lakehouse house;
static dl_query *query;

/* ---- a disk that is full ---- */

static int64_t room = INT64_MAX; /* of writes, in bytes; set while nothing writes */
static bool dies;                /* where there is no room */
static pthread_mutex_t room_lock = PTHREAD_MUTEX_INITIALIZER; /* a fetch has several writers */

/* How many of `len` bytes there is room for; all of them take it. */
static size_t take_room(size_t len)
{
    (void)pthread_mutex_lock(&room_lock);
    size_t fits = room < (int64_t)len ? (size_t)room : len;
    if (fits == len && room != INT64_MAX) {
        room -= (int64_t)len;
    }
    (void)pthread_mutex_unlock(&room_lock);
    return fits;
}

ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    size_t fits = fd > 2 ? take_room(len) : len;
    if (fits < len) {
        if (dies) {
            (void)__real_write(fd, bytes, fits);
            (void)raise(SIGKILL);
        }
        errno = ENOSPC;
        return -1;
    }
    return __real_write(fd, bytes, len);
}

/* ---- a home with files, and a session without tables ---- */

static void begin_cohorts(void)
{
    begin();
    dl_query_close(query);
    query = NULL;
    make_folder("files/AHDS/svc");
    TAP_OK(dl_lakehouse_choose(factory, DL_STR("home"), arena, &house, &err), err);
    dl_query_options options = {.clock = dl_clock_system(), .limits = {.threads = 1}};
    TAP_OK(dl_query_open(&options, &query, &err), err);
}

static dl_status save(const char *name, const char *sql, dl_cohort *out)
{
    dl_query_place place;
    err = (dl_error){0};
    return dl_cohort_save(factory, &house, dl_str_of(name), dl_str_of(sql), query, arena, out,
                          &place, &err);
}

static dl_status put_line(void *context, const dl_cohort_instance *i, dl_error *e)
{
    return dl_buf_printf(context, e, "%.*s/%.*s/%.*s=%.*s ", DL_STR_ARG(i->study),
                         DL_STR_ARG(i->series), DL_STR_ARG(i->sop), DL_STR_ARG(i->file_path));
}

static dl_str lines(const dl_cohort *cohort)
{
    DL_AUTO_BUF text = {0};
    dl_str copy = DL_STR_NONE;
    dl_buf_init(&text, 1 << 20);
    TAP_OK(dl_cohort_each(factory, cohort, put_line, &text, &err), err);
    TAP_OK(dl_arena_copy(arena, dl_buf_str(&text), &copy, &err), err);
    return copy;
}

/** How many entries a folder below the home has. */
static int entries(const char *below)
{
    DIR *folder = opendir(at(below));
    int count = 0;
    for (const struct dirent *e = NULL; folder != NULL && (e = readdir(folder)) != NULL;) {
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    return count;
}

/* ---- versions ---- */

TAP_CASE(a_version_is_saved_and_read)
{
    dl_cohort c = {0}, again = {0};
    begin_cohorts();
    TAP_OK(save("one",
                "SELECT * FROM (VALUES ('1.1', '1.2', '1.3', 'AHDS/a \"b\"'), ('1.1', NULL, '1.4', "
                "NULL)) t(STUDYinstanceuid, seriesInstanceUid, sopInstanceUid, filepath)",
                &c),
           err);
    TAP_EQ_STR(c.name, "one");
    TAP_EQ_STR(c.lakehouse, "home");
    TAP_EQ_INT(c.version, 1);
    TAP_EQ_INT(c.instance_count, 2);
    TAP_EQ_INT(c.created_us, now_us);
    TAP_EQ_STR(lines(&c), "1.1/1.2/1.3=AHDS/a \"b\" 1.1//1.4= ");
    TAP_OK(dl_cohort_get(factory, &house, DL_STR("one"), -1, arena, &again, &err), err);
    TAP_TRUE(dl_str_eq(again.statement, c.statement));
    TAP_EQ_INT(again.instance_count, 2);
    TAP_EQ_INT(again.created_us, now_us);
    TAP_EQ_STR(lines(&again), "1.1/1.2/1.3=AHDS/a \"b\" 1.1//1.4= ");
    /* The file is JSON as a whole. */
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 1 << 20);
    TAP_OK(dl_file_read_all(at("lakehouse/home/cohorts/one/1.json"), &text, &err), err);
    TAP_OK(dl_json_check(dl_buf_str(&text), &err), err);
    TAP_EQ_INT(entries("lakehouse/home/cohorts/one"), 1);
}

TAP_CASE(versions_stand)
{
    dl_cohort c = {0};
    dl_cohort *items = NULL;
    size_t count = 0;
    begin_cohorts();
    TAP_OK(save("b", "SELECT '1' AS sopInstanceUid", &c), err);
    TAP_OK(save("b", "SELECT '2' AS sopInstanceUid", &c), err);
    TAP_EQ_INT(c.version, 2);
    TAP_OK(save("a", "SELECT '3' AS sopInstanceUid WHERE false", &c), err);
    TAP_EQ_INT(c.instance_count, 0);
    TAP_EQ_STR(lines(&c), "");
    TAP_OK(dl_cohort_get(factory, &house, DL_STR("b"), 1, arena, &c, &err), err);
    TAP_EQ_STR(lines(&c), "//1= ");
    TAP_OK(dl_cohort_get(factory, &house, DL_STR("b"), -1, arena, &c, &err), err);
    TAP_EQ_STR(lines(&c), "//2= ");
    TAP_OK(dl_cohort_list(factory, &house, arena, &items, &count, &err), err);
    TAP_EQ_INT(count, 2);
    TAP_EQ_STR(items[0].name, "a");
    TAP_EQ_STR(items[1].name, "b");
    TAP_EQ_INT(items[1].version, 2);
    TAP_STATUS(dl_cohort_get(factory, &house, DL_STR("b"), 3, arena, &c, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.hint, "newest is 2") != NULL);
    TAP_STATUS(dl_cohort_get(factory, &house, DL_STR("c"), -1, arena, &c, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.hint, "a, b") != NULL);
    TAP_STATUS(dl_cohort_get(factory, &house, DL_STR("../b"), -1, arena, &c, &err), DL_E_INVALID);
    TAP_OK(dl_cohort_remove(factory, &house, DL_STR("b"), &err), err);
    TAP_STATUS(dl_cohort_remove(factory, &house, DL_STR("b"), &err), DL_E_NOT_FOUND);
    TAP_EQ_INT(entries("lakehouse/home/cohorts"), 1);
    TAP_OK(save("b", "SELECT '9' AS sopInstanceUid", &c), err);
    TAP_EQ_INT(c.version, 1);
}

static const struct {
    const char *name, *sql, *words;
    dl_status want;
} refused[] = {
    {"no column", "SELECT 1 AS x", "no column sopInstanceUid", DL_E_INVALID},
    {"NULL", "SELECT NULL::VARCHAR AS sopInstanceUid", "row 1: sopInstanceUid is NULL",
     DL_E_INVALID},
    {"no UID", "SELECT unnest(['1.2', 'x/y']) AS sopInstanceUid", "row 2: sopInstanceUid is no UID",
     DL_E_INVALID},
    {"up", "SELECT '1' AS sopInstanceUid, '..' AS studyInstanceUid", "studyInstanceUid is no UID",
     DL_E_INVALID},
    {"a UID too long", "SELECT repeat('1', 65) AS sopInstanceUid", "is no UID", DL_E_INVALID},
    {"a path too long", "SELECT '1' AS sopInstanceUid, repeat('a', 4096) AS filePath",
     "filePath is too long", DL_E_INVALID},
    {"wrong statement", "SELECT nothing FROM nowhere", "", DL_E_INVALID},
    {"in the middle",
     "SELECT CASE WHEN i < 5000 THEN '1.' || i ELSE error('x') END AS "
     "sopInstanceUid FROM range(9999) r(i)",
     "", DL_E_INVALID},
};

static void check_refused(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(refused); i++) {
        dl_cohort c = {.version = -7};
        TAP_ROW_BEGIN();
        begin_cohorts();
        TAP_TRUE(save("x", refused[i].sql, &c) != DL_OK);
        TAP_TRUE(err.message[0] != '\0');
        if (refused[i].words[0] != '\0') {
            TAP_EQ_INT(err.status, refused[i].want);
            TAP_TRUE(strstr(err.message, refused[i].words) != NULL);
        }
        TAP_EQ_INT(c.version, -7);
        TAP_EQ_INT(entries("lakehouse/home/cohorts/x"), 0);
        TAP_ROW_END(refused[i].name);
    }
}

TAP_CASE(names_of_cohorts)
{
    dl_cohort c = {0};
    begin_cohorts();
    TAP_STATUS(save("", "SELECT '1' AS sopInstanceUid", &c), DL_E_INVALID);
    TAP_STATUS(save("a/b", "SELECT '1' AS sopInstanceUid", &c), DL_E_INVALID);
    TAP_STATUS(save("..", "SELECT '1' AS sopInstanceUid", &c), DL_E_INVALID);
    TAP_OK(save("a-b_3", "SELECT repeat('1', 64) AS sopInstanceUid, repeat('a', 4095) AS filePath",
                &c),
           err);
    TAP_EQ_INT(c.instance_count, 1);
}

TAP_CASE(an_instance_is_in_once)
{
    dl_cohort c = {0};
    begin_cohorts();
    TAP_OK(
        save("x",
             "SELECT * FROM (VALUES ('1', '5', 'p'), ('1', '6', 'q'), ('1', '5', 'r'), ('2', '5', "
             "'s')) t(studyInstanceUid, sopInstanceUid, filePath)",
             &c),
        err);
    TAP_EQ_STR(lines(&c), "1//5=p 1//6=q 2//5=s ");
    TAP_OK(save("y", "SELECT '1.' || (i % 70000) AS sopInstanceUid FROM range(200000) r(i)", &c),
           err);
    TAP_EQ_INT(c.instance_count, 70000);
}

TAP_CASE(the_bound_of_instances)
{
    dl_cohort c = {0};
    begin_cohorts();
    dl_str five = DL_STR("SELECT '1.' || i AS sopInstanceUid FROM range(5) r(i)");
    TAP_OK(
        dl_cohort_save_bounded(factory, &house, DL_STR("x"), five, query, 5, arena, &c, NULL, &err),
        err);
    TAP_EQ_INT(c.instance_count, 5);
    TAP_STATUS(
        dl_cohort_save_bounded(factory, &house, DL_STR("x"), five, query, 4, arena, &c, NULL, &err),
        DL_E_LIMIT);
    TAP_TRUE(err.hint[0] != '\0');
    TAP_EQ_INT(entries("lakehouse/home/cohorts/x"), 1);
}

TAP_CASE(a_full_disk_leaves_nothing)
{
    dl_cohort c = {0};
    begin_cohorts();
    for (room = 0; room < 900000; room += 150000) {
        int64_t before = room;
        TAP_STATUS(save("x", "SELECT '1.' || i AS sopInstanceUid FROM range(100000) r(i)", &c),
                   DL_E_IO);
        TAP_TRUE(strstr(err.message, "No space left") != NULL);
        TAP_TRUE(err.hint[0] != '\0');
        TAP_EQ_INT(entries("lakehouse/home/cohorts/x"), 0);
        room = before;
    }
    room = INT64_MAX;
    TAP_OK(save("x", "SELECT '1.' || i AS sopInstanceUid FROM range(100000) r(i)", &c), err);
    TAP_EQ_INT(c.version, 1);
}

/* What a killed one left is swept away by the next, what a living one writes is not. */
TAP_CASE(leftovers_are_swept)
{
    dl_cohort c = {0};
    begin_cohorts();
    make_folder("lakehouse/home/cohorts/x");
    make_file("lakehouse/home/cohorts/x/.new-dead", "half");
    make_file("lakehouse/home/cohorts/x/.new-alive", "half");
    make_file("lakehouse/home/cohorts/x/07.json", "no version");
    int fd = -1;
    TAP_OK(dl_file_open(at("lakehouse/home/cohorts/x/.new-alive"), 0, 0, &fd, &err), err);
    TAP_EQ_INT(flock(fd, LOCK_EX), 0);
    dl_cohort *items = NULL;
    size_t count = 7;
    TAP_OK(dl_cohort_list(factory, &house, arena, &items, &count, &err), err);
    TAP_EQ_INT(count, 0);
    TAP_OK(save("x", "SELECT '1' AS sopInstanceUid", &c), err);
    TAP_EQ_INT(c.version, 1);
    TAP_TRUE(!is_there("lakehouse/home/cohorts/x/.new-dead"));
    TAP_TRUE(is_there("lakehouse/home/cohorts/x/.new-alive"));
    dl_file_close(&fd);
}

/* ---- damage ---- */

static const struct {
    const char *name, *text;
} damaged[] = {
    {"empty", ""},
    {"no line", "{\"cohort\":\"x\""},
    {"no JSON", "hello\n{}\n]}\n"},
    {"another's name", "{\"cohort\":\"y\",\"lakehouse\":\"home\",\"version\":1,\"instanceCount\":0,"
                       "\"createdAt\":\"2026-01-01T00:00:00Z\",\"statement\":\"\",\"reads\":[],"
                       "\"instances\":[\n]}\n"},
    {"another version",
     "{\"cohort\":\"x\",\"lakehouse\":\"home\",\"version\":2,\"instanceCount\":0,"
     "\"createdAt\":\"2026-01-01T00:00:00Z\",\"statement\":\"\",\"reads\":[],"
     "\"instances\":[\n]}\n"},
    {"no time", "{\"cohort\":\"x\",\"lakehouse\":\"home\",\"version\":1,\"instanceCount\":0,"
                "\"createdAt\":\"x\",\"statement\":\"\",\"reads\":[],\"instances\":[\n]}\n"},
    {"odd reads", "{\"cohort\":\"x\",\"lakehouse\":\"home\",\"version\":1,\"instanceCount\":0,"
                  "\"createdAt\":\"2026-01-01T00:00:00Z\",\"statement\":\"\",\"reads\":[3],"
                  "\"instances\":[\n]}\n"},
};

static void check_damaged(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(damaged); i++) {
        dl_cohort c = {.version = -7};
        dl_cohort *items = NULL;
        size_t count = 0;
        TAP_ROW_BEGIN();
        begin_cohorts();
        make_folder("lakehouse/home/cohorts/x");
        make_file("lakehouse/home/cohorts/x/1.json", damaged[i].text);
        TAP_STATUS(dl_cohort_get(factory, &house, DL_STR("x"), -1, arena, &c, &err), DL_E_CORRUPT);
        TAP_EQ_INT(c.version, -7);
        TAP_TRUE(strstr(err.message, "version 1 of cohort x") != NULL);
        TAP_OK(dl_cohort_list(factory, &house, arena, &items, &count, &err), err);
        TAP_EQ_INT(count, 1);
        TAP_EQ_INT(items[0].instance_count, -1);
        TAP_ROW_END(damaged[i].name);
    }
}

static const char *const damaged_rows[] = {
    "{\"sopInstanceUid\":\"1\"}\n]}\n",
    "{\"sopInstanceUid\":\"1\"},\n{\"sopInstanceUid\":\n]}\n",
    "{\"sopInstanceUid\":\"1\"},\n3\n]}\n",
    "{\"sopInstanceUid\":\"1\"},\n{\"sopInstanceUid\":\"2\"},\n{\"sopInstanceUid\":\"3\"}\n]}\n",
    "{\"sopInstanceUid\":\"1\"},\n{\"sopInstanceUid\":\"2\"}\n",
    "{\"sopInstanceUid\":\"1\"},\n{\"sopInstanceUid\":7}\n]}\n"};

static void check_damaged_rows(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(damaged_rows); i++) {
        char text[1024], name[64];
        dl_cohort c = {0};
        DL_AUTO_BUF seen = {0};
        TAP_ROW_BEGIN();
        begin_cohorts();
        dl_buf_init(&seen, 4096);
        make_folder("lakehouse/home/cohorts/x");
        (void)snprintf(text, sizeof text,
                       "{\"cohort\":\"x\",\"lakehouse\":\"home\",\"version\":1,\"instanceCount\":2,"
                       "\"createdAt\":\"2026-01-01T00:00:00Z\",\"statement\":\"s\",\"reads\":[],"
                       "\"instances\":[\n%s",
                       damaged_rows[i]);
        make_file("lakehouse/home/cohorts/x/1.json", text);
        TAP_OK(dl_cohort_get(factory, &house, DL_STR("x"), -1, arena, &c, &err), err);
        dl_status status = dl_cohort_each(factory, &c, put_line, &seen, &err);
        TAP_TRUE(status == DL_E_CORRUPT || status == DL_E_INVALID);
        TAP_EQ_STR(dl_str_slice(dl_buf_str(&seen), 0, 5), "//1= ");
        (void)snprintf(name, sizeof name, "damaged rows %zu", i);
        TAP_ROW_END(name);
    }
}

/* ---- many at once ---- */

enum { SAVERS = 4, EACH = 5 };

static void *save_some(DL_UNUSED void *context)
{
    dl_query *own = NULL;
    dl_query_options options = {.clock = dl_clock_system(), .limits = {.threads = 1}};
    dl_error why = {0};
    DL_AUTO(dl_arena) own_arena = dl_arena_create(1 << 20);
    int64_t good = 0;
    if (dl_query_open(&options, &own, &why) == DL_OK) {
        for (int i = 0; i < EACH; i++) {
            dl_cohort c;
            good +=
                dl_cohort_save(factory, &house, DL_STR("x"),
                               DL_STR("SELECT '1.' || i AS sopInstanceUid FROM range(3000) r(i)"),
                               own, own_arena, &c, NULL, &why) == DL_OK;
        }
    }
    dl_query_close(own);
    return (void *)(intptr_t)good;
}

TAP_CASE(savers_at_once_get_numbers_of_their_own)
{
    pthread_t threads[SAVERS];
    begin_cohorts();
    for (int i = 0; i < SAVERS; i++) {
        TAP_EQ_INT(pthread_create(&threads[i], NULL, save_some, NULL), 0);
    }
    for (int i = 0; i < SAVERS; i++) {
        void *good = NULL;
        (void)pthread_join(threads[i], &good);
        TAP_EQ_INT((intptr_t)good, EACH);
    }
    for (int v = 1; v <= SAVERS * EACH; v++) {
        dl_cohort c = {0};
        TAP_OK(dl_cohort_get(factory, &house, DL_STR("x"), v, arena, &c, &err), err);
        TAP_EQ_INT(c.instance_count, 3000);
    }
    TAP_EQ_INT(entries("lakehouse/home/cohorts/x"), SAVERS * EACH);
}

/* ---- files ---- */

enum { FILES = 30, FILE_BYTES = 5000 };

/** FILES files below AHDS/svc and a cohort "x" of them. */
static void begin_files(dl_cohort *out)
{
    char name[64], *content = NULL;
    begin_cohorts();
    content = dl_arena_alloc(arena, FILE_BYTES + 1, 1);
    for (int i = 0; i < FILES; i++) {
        memset(content, 'a' + i % 26, FILE_BYTES);
        (void)snprintf(name, sizeof name, "files/AHDS/svc/%d.dcm", i);
        make_file(name, content);
    }
    TAP_OK(save("x",
                "SELECT '1.1' AS studyInstanceUid, '1.2' AS seriesInstanceUid, '1.3.' || i AS "
                "sopInstanceUid, 'AHDS/svc/' || i || '.dcm' AS filePath FROM range(30) r(i)",
                out),
           err);
}

static dl_cancel cancel;

static dl_status fetch(const dl_cohort *cohort, const char *folder, dl_cohort_fetched *out)
{
    dl_cohort_fetch options = {.folder = at(folder), .cancel = &cancel};
    err = (dl_error){0};
    *out = (dl_cohort_fetched){-7, -7, -7, -7};
    return dl_cohort_fetch_files(factory, &house, cohort, &options, out, &err);
}

static dl_str manifest(const char *folder)
{
    char path[256];
    DL_AUTO_BUF text = {0};
    dl_str copy = DL_STR_NONE;
    dl_buf_init(&text, 1 << 20);
    (void)snprintf(path, sizeof path, "%s/manifest.json", folder);
    TAP_OK(dl_file_read_all(at(path), &text, &err), err);
    TAP_OK(dl_json_check(dl_buf_str(&text), &err), err);
    TAP_OK(dl_arena_copy(arena, dl_buf_str(&text), &copy, &err), err);
    return copy;
}

static int64_t number(dl_str json, const char *key)
{
    dl_str value = DL_STR_NONE;
    int64_t n = -1;
    TAP_TRUE(dl_json_get(json, dl_str_of(key), &value) && dl_json_int_of(value, &n));
    return n;
}

static void check_whole(const char *folder)
{
    dl_str json = manifest(folder), value = DL_STR_NONE, first = DL_STR_NONE;
    TAP_EQ_INT(number(json, "fileCount"), FILES);
    TAP_EQ_INT(number(json, "bytes"), FILES * FILE_BYTES);
    TAP_EQ_INT(number(json, "missingCount"), 0);
    TAP_EQ_INT(number(json, "version"), 1);
    TAP_TRUE(dl_json_get(json, DL_STR("files"), &value) && dl_json_at(value, 0, &first));
    TAP_TRUE(dl_json_get(first, DL_STR("path"), &value));
    TAP_EQ_STR(value, "\"1.1/1.2/1.3.0.dcm\"");
    TAP_TRUE(dl_json_get(first, DL_STR("sha256"), &value));
    /* sha256 of 5,000 times 'a' */
    TAP_EQ_STR(value, "\"c526c6222044dab5674de9c4ac7f4566ebb5e4d8bf9d8ea34c9cc8a7cc3c869c\"");
    char path[256];
    (void)snprintf(path, sizeof path, "%s/1.1/1.2", folder);
    TAP_EQ_INT(entries(path), FILES);
    TAP_EQ_INT(entries(folder), 2); /* 1.1 and manifest.json */
}

TAP_CASE(files_are_fetched)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    TAP_OK(fetch(&c, "out/there", &got), err);
    TAP_EQ_INT(got.files, FILES);
    TAP_EQ_INT(got.bytes, FILES * FILE_BYTES);
    TAP_EQ_INT(got.already_there, 0);
    TAP_EQ_INT(got.missing, 0);
    check_whole("out/there");
}

TAP_CASE(what_is_there_stays)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.files, 0);
    TAP_EQ_INT(got.already_there, FILES);
    check_whole("out");
    /* Of the same size but other bytes, cut off, gone. */
    char other[FILE_BYTES + 1] = "";
    memset(other, 'z', FILE_BYTES);
    make_file("out/1.1/1.2/1.3.0.dcm", other);
    make_file("out/1.1/1.2/1.3.1.dcm", "b");
    TAP_EQ_INT(unlink(at("out/1.1/1.2/1.3.2.dcm")), 0);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.files, 3);
    TAP_EQ_INT(got.already_there, FILES - 3);
    check_whole("out");
    /* Its copy is enough when the file itself is gone. */
    TAP_EQ_INT(unlink(at("files/AHDS/svc/5.dcm")), 0);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.already_there, FILES);
    /* Both are gone: what the manifest said of it is forgotten. */
    TAP_EQ_INT(unlink(at("out/1.1/1.2/1.3.5.dcm")), 0);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.already_there, FILES - 1);
    TAP_EQ_INT(got.missing, 1);
    TAP_EQ_INT(number(manifest("out"), "fileCount"), FILES - 1);
}

TAP_CASE(missing_files_are_told)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    make_file("files/secret", "secret");
    TAP_EQ_INT(symlink("../../secret", at("files/AHDS/svc/out.dcm")), 0);
    make_folder("files/AHDS/svc/folder.dcm");
    TAP_OK(save("y",
                "SELECT * FROM (VALUES ('1', 'AHDS/svc/1.dcm'), ('2', NULL), ('3', "
                "'AHDS/svc/none.dcm'), ('4', 'AHDS/svc/out.dcm'), ('5', 'AHDS/svc/folder.dcm'), "
                "('6', '../../secret'), ('7', '/etc/passwd')) t(sopInstanceUid, filePath)",
                &c),
           err);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.files, 1);
    TAP_EQ_INT(got.missing, 6);
    TAP_EQ_INT(entries("out/_/_"), 1);
    dl_str json = manifest("out");
    TAP_EQ_INT(number(json, "missingCount"), 6);
    TAP_TRUE(dl_str_find_str(json, DL_STR("the cohort has no filePath for it")) > 0);
    TAP_TRUE(dl_str_find_str(json, DL_STR("no Files shortcut has the file")) > 0);
}

/* The name stands in the first line, which may be longer than what is read of it. */
TAP_CASE(a_long_manifest_is_known_again)
{
    static char statement[100 * 1024];
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    (void)snprintf(statement, sizeof statement,
                   "SELECT '1.3.1' AS sopInstanceUid, %90000s'AHDS/svc/1.dcm' AS filePath", "");
    TAP_OK(save("x", statement, &c), err);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.files, 1);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.already_there, 1);
    TAP_OK(save("y", statement, &c), err);
    TAP_STATUS(fetch(&c, "out", &got), DL_E_EXISTS);
}

TAP_CASE(a_folder_of_another_cohort)
{
    dl_cohort c = {0}, other = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    TAP_OK(save("y", "SELECT '1' AS sopInstanceUid", &other), err);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_STATUS(fetch(&other, "out", &got), DL_E_EXISTS);
    TAP_EQ_INT(got.files, -7);
    check_whole("out");
    make_folder("theirs");
    make_file("theirs/manifest.json", "hello");
    TAP_STATUS(fetch(&c, "theirs", &got), DL_E_EXISTS);
    /* The next version of the same one goes on in the folder. */
    TAP_OK(save("x",
                "SELECT '1.1' AS studyInstanceUid, '1.2' AS seriesInstanceUid, '1.3.' || i AS "
                "sopInstanceUid, 'AHDS/svc/' || i || '.dcm' AS filePath FROM range(7) r(i)",
                &c),
           err);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.already_there, 7);
    TAP_EQ_INT(number(manifest("out"), "fileCount"), 7);
    TAP_EQ_INT(number(manifest("out"), "version"), 2);
}

TAP_CASE(one_fetches_at_a_time)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    make_folder("out");
    make_file("out/.manifest.part", "");
    int fd = -1;
    TAP_OK(dl_file_open(at("out/.manifest.part"), 0, 0, &fd, &err), err);
    TAP_EQ_INT(flock(fd, LOCK_EX), 0);
    TAP_STATUS(fetch(&c, "out", &got), DL_E_CONFLICT);
    dl_file_close(&fd);
    TAP_OK(fetch(&c, "out", &got), err);
    check_whole("out");
}

TAP_CASE(a_canceled_fetch_goes_on)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    dl_cancel_ask(&cancel);
    TAP_STATUS(fetch(&c, "out", &got), DL_E_CANCELED);
    TAP_TRUE(!is_there("out/manifest.json"));
    cancel = (dl_cancel){0};
    TAP_OK(fetch(&c, "out", &got), err);
    check_whole("out");
}

/* Room for some files more each time: nothing is copied twice, no half file has a name. */
TAP_CASE(a_full_disk_and_on)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    bool done = false;
    int tries = 0;
    while (!done && tries++ < 100) {
        room = 4 * FILE_BYTES + 3000;
        done = fetch(&c, "out", &got) == DL_OK;
        room = INT64_MAX;
        if (!done) {
            TAP_EQ_INT(err.status, DL_E_IO);
            TAP_TRUE(strstr(err.message, "No space left") != NULL);
            TAP_TRUE(err.hint[0] != '\0');
            TAP_TRUE(!is_there("out/manifest.json"));
            done =
                is_there("out/1.1/1.2") && entries("out/1.1/1.2") == FILES; /* but the manifest */
        }
    }
    TAP_TRUE(tries > 2 && tries < 100);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.files, 0);
    TAP_EQ_INT(got.already_there, FILES);
    check_whole("out");
}

/* Killed at every few hundred bytes of what it writes, and run again after each. */
TAP_CASE(a_killed_fetch_goes_on)
{
    dl_cohort c = {0};
    dl_cohort_fetched got;
    begin_files(&c);
    int killed = 0;
    for (int64_t at_byte = 100; at_byte < FILES * (FILE_BYTES + 300); at_byte += 11777) {
        pid_t child = fork();
        if (child == 0) {
            dies = true;
            room = at_byte;
            _exit(fetch(&c, "out", &got) == DL_OK ? 0 : 1);
        }
        int how = 0;
        TAP_EQ_INT(waitpid(child, &how, 0), child);
        TAP_TRUE(WIFSIGNALED(how) || (WIFEXITED(how) && WEXITSTATUS(how) == 0));
        killed += WIFSIGNALED(how);
        TAP_TRUE(WIFSIGNALED(how) != is_there("out/manifest.json"));
        if (WIFEXITED(how)) {
            break;
        }
    }
    TAP_TRUE(killed > 2);
    TAP_OK(fetch(&c, "out", &got), err);
    TAP_EQ_INT(got.files + got.already_there, FILES);
    TAP_TRUE(got.already_there > FILES / 2);
    check_whole("out");
}

TAP_CASE(a_killed_save_leaves_nothing)
{
    dl_cohort c = {0};
    begin_cohorts();
    for (int64_t at_byte = 1; at_byte < 900000; at_byte += 150000) {
        dl_query_close(query);
        query = NULL;
        pid_t child = fork();
        if (child == 0) {
            dl_query_options options = {.clock = dl_clock_system(), .limits = {.threads = 1}};
            dies = dl_query_open(&options, &query, &err) == DL_OK;
            room = at_byte;
            _exit(save("x", "SELECT '1.' || i AS sopInstanceUid FROM range(100000) r(i)", &c) ==
                  DL_OK);
        }
        int how = 0;
        TAP_EQ_INT(waitpid(child, &how, 0), child);
        TAP_TRUE(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
        TAP_STATUS(dl_cohort_get(factory, &house, DL_STR("x"), -1, arena, &c, &err),
                   DL_E_NOT_FOUND);
    }
    dl_query_options options = {.clock = dl_clock_system(), .limits = {.threads = 1}};
    TAP_OK(dl_query_open(&options, &query, &err), err);
    TAP_OK(save("x", "SELECT '1' AS sopInstanceUid", &c), err);
    TAP_EQ_INT(c.version, 1);
    TAP_EQ_INT(entries("lakehouse/home/cohorts/x"), 1);
}

int main(void)
{
    TAP_RUN(a_killed_save_leaves_nothing); /* first: no thread of the engine runs yet */
    TAP_RUN(files_are_fetched);
    TAP_RUN(what_is_there_stays);
    TAP_RUN(missing_files_are_told);
    TAP_RUN(a_long_manifest_is_known_again);
    TAP_RUN(a_folder_of_another_cohort);
    TAP_RUN(one_fetches_at_a_time);
    TAP_RUN(a_canceled_fetch_goes_on);
    TAP_RUN(a_full_disk_and_on);
    TAP_RUN(a_killed_fetch_goes_on);
    TAP_RUN(a_version_is_saved_and_read);
    TAP_RUN(versions_stand);
    check_refused();
    TAP_RUN(names_of_cohorts);
    TAP_RUN(an_instance_is_in_once);
    TAP_RUN(the_bound_of_instances);
    TAP_RUN(a_full_disk_leaves_nothing);
    TAP_RUN(leftovers_are_swept);
    check_damaged();
    check_damaged_rows();
    TAP_RUN(savers_at_once_get_numbers_of_their_own);
    dl_query_close(query);
    return done();
}
