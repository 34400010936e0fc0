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

static int64_t room = INT64_MAX; /* of writes, in bytes */
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
    if (fd > 2 && room < (int64_t)len) {
        errno = ENOSPC;
        return -1;
    }
    if (fd > 2 && room != INT64_MAX) {
        room -= (int64_t)len;
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

int main(void)
{
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
