/* Finding a snapshot, moving on, history: tables whose logs the tests write as text. */
#include "delta/internal.h"
#include "tables.h"
#include "tap.h"

#include "base/mem.h"

#include <stdio.h>

enum { TEXT_SIZE = 4096 };

#define START                                                                                      \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"                             \
    "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\"},\"schemaString\":"          \
    "\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\",\\\"type\\\":"        \
    "\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\",\"partitionColumns\":[],"         \
    "\"configuration\":{%s},\"createdTime\":1}}\n"

static void put(const tables *t, const char *name, const char *text)
{
    char key[256];
    dl_error err = {0};
    (void)snprintf(key, sizeof key, "t/_delta_log/%s", name);
    TAP_OK(dl_store_put(t->store, dl_str_of(key), (dl_bytes){(const uint8_t *)text, strlen(text)},
                        &err),
           err);
}

static void drop(const tables *t, const char *name)
{
    char key[256];
    dl_error err = {0};
    (void)snprintf(key, sizeof key, "t/_delta_log/%s", name);
    TAP_OK(dl_store_remove(t->store, dl_str_of(key), &err), err);
}

static const char *commit_name(int64_t version)
{
    static char name[64];
    (void)snprintf(name, sizeof name, "%020lld.json", (long long)version);
    return name;
}

/* Commit `version` adds the file f<version>; version 0 starts the table. */
static void put_commit(const tables *t, int64_t version, const char *properties)
{
    char text[TEXT_SIZE] = "";
    if (version == 0) {
        (void)snprintf(text, sizeof text, START, properties);
    }
    size_t at = strlen(text);
    (void)snprintf(text + at, sizeof text - at,
                   "{\"commitInfo\":{\"timestamp\":%lld,\"operation\":\"WRITE\"}}\n"
                   "{\"add\":{\"path\":\"f%lld\",\"partitionValues\":{},\"size\":5,"
                   "\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":2}\"}}\n"
                   "{\"txn\":{\"appId\":\"app\",\"version\":%lld}}\n",
                   (long long)(1000 + version), (long long)version, (long long)version);
    put(t, commit_name(version), text);
}

static void put_commits(const tables *t, int64_t first, int64_t last)
{
    for (int64_t v = first; v <= last; v++) {
        put_commit(t, v, "");
    }
}

typedef struct seen {
    int64_t versions[256];
    size_t count;
} seen;

static void on_commit(void *context, const dl_delta_commit *commit)
{
    seen *s = context;
    s->versions[s->count++ % 256] = commit->info.version;
}

static dl_status open_at(const tables *t, int64_t version, seen *s, dl_delta_table **out,
                         dl_error *err)
{
    dl_delta_open options = tables_open_options(t, "t");
    options.version = version;
    options.on_commit = s != NULL ? on_commit : NULL;
    options.context = s;
    return dl_delta_table_open(&options, out, err);
}

static void expect_open(const tables *t, int64_t version, int64_t want)
{
    DL_AUTO_TABLE table = NULL;
    dl_error err = {0};
    TAP_OK(open_at(t, version, NULL, &table, &err), err);
    if (table != NULL) {
        TAP_EQ_INT(dl_delta_version(table), want);
        TAP_EQ_INT(dl_delta_file_count(table), want + 1);
        TAP_EQ_INT(dl_delta_app_version(table, DL_STR("app")), want);
        TAP_EQ_INT(dl_delta_totals_of(table).row_count, 2 * (want + 1));
    }
}

static void expect_error(const tables *t, int64_t version, dl_status want, const char *words)
{
    DL_AUTO_TABLE table = NULL;
    dl_error err = {0};
    TAP_STATUS(open_at(t, version, NULL, &table, &err), want);
    TAP_TRUE(table == NULL);
    if (strstr(err.message, words) == NULL && strstr(err.hint, words) == NULL) {
        TAP_FAIL("'%s' ('%s') lacks '%s'", err.message, err.hint, words);
    }
}

TAP_CASE(versions)
{
    tables t;
    tables_init(&t, NULL);
    expect_error(&t, -1, DL_E_NOT_FOUND, "no Delta table in 't'");
    put(&t, "notes.txt", "");
    put(&t, ".00000000000000000000.json.crc", "");
    expect_error(&t, -1, DL_E_NOT_FOUND, "no Delta table");
    put_commits(&t, 0, 12);
    expect_open(&t, -1, 12);
    expect_open(&t, 0, 0);
    expect_open(&t, 7, 7);
    expect_error(&t, 13, DL_E_NOT_FOUND, "newest version is 12");
    put_commit(&t, 14, "");
    expect_error(&t, -1, DL_E_CORRUPT, "commit 13 is missing");
    expect_open(&t, 12, 12);
    expect_error(&t, 14, DL_E_CORRUPT, "commit 13 is missing");
    tables_clear(&t);
}

TAP_CASE(a_torn_commit_is_damage)
{
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"{\"add\":{\"path\":\"x\",\"size\":1}}\n{\"add\":{\"pa", "commit 1, line 2: torn"},
        {"", "commit 1"},
        {"{\"add\":{}}", "commit 1, line 1: add.path"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        tables t;
        tables_init(&t, NULL);
        put_commits(&t, 0, 0);
        put(&t, commit_name(1), rows[i].text);
        if (rows[i].text[0] == '\0') {
            DL_AUTO_TABLE table = NULL;
            dl_error err = {0};
            TAP_OK(open_at(&t, -1, NULL, &table, &err), err); /* an empty commit is one */
        } else {
            expect_error(&t, -1, DL_E_CORRUPT, rows[i].words);
        }
        tables_clear(&t);
    }
}

TAP_CASE(update_applies_what_is_new_in_order)
{
    tables t;
    seen s = {0};
    DL_AUTO_TABLE table = NULL;
    dl_error err = {0};
    tables_init(&t, NULL);
    put_commits(&t, 0, 3);
    TAP_OK(open_at(&t, -1, &s, &table, &err), err);
    TAP_EQ_INT(s.count, 0); /* what was there when it opened is no news */
    TAP_OK(dl_delta_update(table, &err), err);
    TAP_EQ_INT(s.count, 0);
    put_commits(&t, 4, 9);
    put(&t, "00000000000000000005.crc", "{}");
    put(&t, "00000000000000000008.tmp", "");
    TAP_OK(dl_delta_update(table, &err), err);
    TAP_EQ_INT(s.count, 6);
    for (size_t i = 0; i < s.count; i++) {
        TAP_EQ_INT(s.versions[i], 4 + i);
    }
    TAP_EQ_INT(dl_delta_version(table), 9);
    TAP_EQ_INT(dl_delta_file_count(table), 10);
    put_commit(&t, 11, "");
    TAP_STATUS(dl_delta_update(table, &err), DL_E_CORRUPT);
    TAP_TRUE(strstr(err.message, "commit 10 is missing") != NULL);
    TAP_EQ_INT(dl_delta_version(table), 9);
    put_commit(&t, 10, "");
    TAP_OK(dl_delta_update(table, &err), err);
    TAP_EQ_INT(dl_delta_version(table), 11);
    /* a commit that we may not read, or cannot, leaves the table where it was */
    put(&t, commit_name(12), "{\"protocol\":{\"minReaderVersion\":9,\"minWriterVersion\":9}}");
    TAP_STATUS(dl_delta_update(table, &err), DL_E_UNSUPPORTED);
    TAP_EQ_INT(dl_delta_version(table), 11);
    TAP_EQ_INT(dl_delta_protocol_of(table)->min_reader, 1);
    put(&t, commit_name(12), "{\"metaData\":{\"id\":\"i\",\"schemaString\":\"{}\"}}");
    TAP_STATUS(dl_delta_update(table, &err), DL_E_CORRUPT);
    size_t count = 0;
    (void)dl_delta_columns(table, &count);
    TAP_EQ_INT(count, 1);
    tables_clear(&t);
}

/* The cost of an update is that of what is new: old commits are not even opened. */
TAP_CASE(update_reads_no_old_commit)
{
    tables t;
    DL_AUTO_TABLE table = NULL;
    dl_error err = {0};
    tables_init(&t, NULL);
    put_commits(&t, 0, 40);
    TAP_OK(open_at(&t, -1, NULL, &table, &err), err);
    for (int64_t v = 0; v <= 40; v++) {
        put(&t, commit_name(v), "spoilt");
    }
    put_commit(&t, 41, "");
    TAP_OK(dl_delta_update(table, &err), err);
    TAP_EQ_INT(dl_delta_version(table), 41);
    tables_clear(&t);
}

static dl_status note_info(void *context, const dl_delta_info *info, dl_error *err)
{
    seen *s = context;
    s->versions[s->count++] = info->version;
    TAP_EQ_INT(info->timestamp_ms, 1000 + info->version);
    TAP_EQ_STR(info->operation, "WRITE");
    return s->count == 7 ? dl_error_set(err, DL_E_CANCELED, "enough") : DL_OK;
}

TAP_CASE(history_is_newest_first)
{
    tables t;
    seen s = {0};
    DL_AUTO_TABLE table = NULL;
    dl_error err = {0};
    tables_init(&t, NULL);
    put_commits(&t, 0, 5);
    TAP_OK(open_at(&t, -1, NULL, &table, &err), err);
    put_commit(&t, 6, ""); /* not of the table's version: no part of its history */
    TAP_OK(dl_delta_history(table, 0, note_info, &s, &err), err);
    TAP_EQ_INT(s.count, 6);
    TAP_EQ_INT(s.versions[0], 5);
    TAP_EQ_INT(s.versions[5], 0);
    s.count = 0;
    TAP_OK(dl_delta_history(table, 2, note_info, &s, &err), err);
    TAP_EQ_INT(s.count, 2);
    TAP_EQ_INT(s.versions[1], 4);
    s.count = 5;
    TAP_STATUS(dl_delta_history(table, 0, note_info, &s, &err), DL_E_CANCELED);
    drop(&t, commit_name(0)); /* cleaned: history ends there */
    drop(&t, commit_name(1));
    s.count = 0;
    TAP_OK(dl_delta_history(table, 0, note_info, &s, &err), err);
    TAP_EQ_INT(s.count, 4);
    tables_clear(&t);
}

/* A head longer than what history reads first. */
typedef struct seen_back {
    int64_t versions[16];
    size_t count;
    int64_t stop_at;
} seen_back;

static dl_status see_back(void *context, const dl_delta_commit *commit, bool *out_stop,
                          dl_error *err)
{
    seen_back *back = context;
    (void)err;
    TAP_EQ_INT(commit->app_count, 1);
    TAP_EQ_INT(commit->apps[0].version, commit->info.version);
    if (back->count < DL_COUNT_OF(back->versions)) {
        back->versions[back->count++] = commit->info.version;
    }
    *out_stop = commit->info.version == back->stop_at;
    return DL_OK;
}

TAP_CASE(commits_backwards_until_told)
{
    tables t;
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    tables_init(&t, NULL);
    for (int64_t version = 0; version <= 4; version++) {
        put_commit(&t, version, "");
    }
    TAP_OK(tables_open(&t, "t", &table, &err), err);
    seen_back all = {.stop_at = -1};
    TAP_OK(dl_delta_commits_back(table, see_back, &all, &err), err);
    TAP_EQ_INT(all.count, 5);
    for (size_t i = 0; i < all.count; i++) {
        TAP_EQ_INT(all.versions[i], 4 - (int64_t)i);
    }
    seen_back some = {.stop_at = 3};
    TAP_OK(dl_delta_commits_back(table, see_back, &some, &err), err);
    TAP_EQ_INT(some.count, 2);
    drop(&t, commit_name(1));
    seen_back cut = {.stop_at = -1};
    TAP_STATUS(dl_delta_commits_back(table, see_back, &cut, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.message, "commit 1") != NULL);
    TAP_EQ_INT(cut.count, 3);
    dl_delta_table_close(table);
    table = NULL;
    tables_clear(&t);
}

TAP_CASE(history_of_a_long_commit_info)
{
    enum { LONG = 200000 };
    tables t;
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 24);
    DL_AUTO_TABLE table = NULL;
    DL_AUTO_BUF text = {0};
    dl_error err = {0};
    dl_delta_info info = {0};
    tables_init(&t, NULL);
    dl_buf_init(&text, 1 << 24);
    put_commits(&t, 0, 0);
    TAP_OK(dl_buf_append_str(&text, DL_STR("{\"commitInfo\":{\"operation\":\""), &err), err);
    for (int i = 0; i < LONG; i++) {
        TAP_OK(dl_buf_append_char(&text, 'x', &err), err);
    }
    TAP_OK(dl_buf_append_str(&text, DL_STR("\"}}\n"), &err), err);
    TAP_OK(dl_buf_terminate(&text, &err), err);
    put(&t, commit_name(1), text.ptr);
    TAP_OK(open_at(&t, -1, NULL, &table, &err), err);
    TAP_OK(dl_delta_log_info(table, 1, arena, &info, &err), err);
    TAP_EQ_INT(info.operation.len, LONG);
    TAP_TRUE(info.timestamp_ms > 1500000000000); /* the file's time: it has none of its own */
    TAP_STATUS(dl_delta_log_info(table, 2, arena, &info, &err), DL_E_CORRUPT);
    tables_clear(&t);
}

/* Thousands of commits that give one file new vectors: what is kept does not grow with them. */
TAP_CASE(memory_follows_the_live_files)
{
    enum { COMMITS = 2000 };
    tables t;
    DL_AUTO_TABLE table = NULL;
    dl_error err = {0};
    char text[TEXT_SIZE], old[256] = "";
    tables_init(&t, NULL);
    put_commit(&t, 0, "\"delta.deletedFileRetentionDuration\":\"interval 1 hour\"");
    TAP_OK(open_at(&t, -1, NULL, &table, &err), err);
    for (int64_t v = 1; v <= COMMITS; v++) {
        (void)snprintf(
            text, sizeof text,
            "{\"remove\":{\"path\":\"f0\",\"deletionTimestamp\":5%s}}\n"
            "{\"add\":{\"path\":\"f0\",\"size\":5,\"deletionVector\":{\"storageType\":\"i\","
            "\"pathOrInlineDv\":\"v%lld\",\"sizeInBytes\":1,\"cardinality\":1}}}\n",
            old, (long long)v);
        (void)snprintf(old, sizeof old,
                       ",\"deletionVector\":{\"storageType\":\"i\",\"pathOrInlineDv\":\"v%lld\","
                       "\"sizeInBytes\":1,\"cardinality\":1}",
                       (long long)v);
        put(&t, commit_name(v), text);
        if (v % 100 == 0) {
            TAP_OK(dl_delta_update(table, &err), err);
            TAP_TRUE(dl_delta_live_tombstone_count(table->live) <= 164);
        }
    }
    TAP_EQ_INT(dl_delta_version(table), COMMITS);
    TAP_EQ_INT(dl_delta_file_count(table), 1);
    tables_clear(&t);
}

TAP_CASE(without_memory_it_says_so)
{
    tables t;
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    tables_init(&t, NULL);
    put_commits(&t, 0, 3);
    put(&t, "_last_checkpoint", "{\"version\":2}");
    for (; n < 5000 && status != DL_OK; n++) {
        DL_AUTO_TABLE table = NULL;
        dl_error err = {0};
        dl_mem_fail_after(n);
        status = open_at(&t, -1, NULL, &table, &err);
        if (status == DL_OK) {
            dl_mem_fail_after(-1);
            put_commit(&t, 4, "");
            dl_mem_fail_after(n);
            status = dl_delta_update(table, &err);
        }
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_TRUE((status == DL_OK) == (err.message[0] == '\0'));
        drop(&t, commit_name(4));
    }
    TAP_TRUE(status == DL_OK && n > 20);
    tables_clear(&t);
}

/* A checkpoint that cannot be read for want of memory is no damaged one: nothing is passed over. */
TAP_CASE(a_checkpoint_without_memory)
{
    tables t;
    dl_error err = {0};
    dl_delta_table *made = NULL;
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    tables_init(&t, NULL);
    TAP_OK(tables_create(&t, "t", false, &made, &err), err);
    for (int64_t i = 0; i < 4; i++) {
        TAP_OK(tables_append(made, "p", i * 10, 10, &err), err);
    }
    TAP_OK(dl_delta_checkpoint(made, &err), err);
    for (int64_t v = 0; v < 4; v++) {
        drop(&t, commit_name(v));
    }
    for (; n < 5000 && status != DL_OK; n++) {
        DL_AUTO_TABLE table = NULL;
        dl_error cause = {0};
        dl_mem_fail_after(n);
        status = open_at(&t, -1, NULL, &table, &cause);
        dl_mem_fail_after(-1);
        TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
        TAP_TRUE((table != NULL) == (status == DL_OK));
        if (table != NULL) {
            TAP_EQ_INT(dl_delta_totals_of(table).row_count, 40);
            TAP_EQ_INT(table->checkpoint_version, 4);
        }
    }
    TAP_TRUE(status == DL_OK && n > 20);
    dl_delta_table_close(made);
    tables_clear(&t);
}

int main(void)
{
    TAP_RUN(a_checkpoint_without_memory);
    TAP_RUN(versions);
    TAP_RUN(a_torn_commit_is_damage);
    TAP_RUN(update_applies_what_is_new_in_order);
    TAP_RUN(update_reads_no_old_commit);
    TAP_RUN(history_is_newest_first);
    TAP_RUN(commits_backwards_until_told);
    TAP_RUN(history_of_a_long_commit_info);
    TAP_RUN(memory_follows_the_live_files);
    TAP_RUN(without_memory_it_says_so);
    return tap_done();
}
