/* The checksum of _last_checkpoint, what of the log may go, checksum files, and what commits do
 * beside. */
#include "tables.h"
#include "tap.h"

#include "base/mem.h"
#include "delta/maintain.h"
#include "json/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define DAY_US (INT64_C(86400) * 1000000)

/* ---- checksum ---- */

TAP_CASE(checksum_of_the_protocols_example)
{
    static const char json[] =
        "{\"k0\":\"'v 0'\", \"checksum\": \"adsaskfljadfkjadfkj\", \"k1\":{\"k2\": 2, \"k3\": "
        "[\"v3\", [1, 2], {\"k4\": \"v4\", \"k5\": [\"v5\", \"v6\", \"v7\"]}]}}";
    static const char want[] =
        "\"k0\"=\"%27v%200%27\",\"k1\"+\"k2\"=2,\"k1\"+\"k3\"+0=\"v3\",\"k1\"+\"k3\"+1+0=1,"
        "\"k1\"+\"k3\"+1+1=2,\"k1\"+\"k3\"+2+\"k4\"=\"v4\",\"k1\"+\"k3\"+2+\"k5\"+0=\"v5\","
        "\"k1\"+\"k3\"+2+\"k5\"+1=\"v6\",\"k1\"+\"k3\"+2+\"k5\"+2=\"v7\"";
    dl_error err = {0};
    char md5[DL_DELTA_MD5_SIZE];
    DL_AUTO_BUF text;
    dl_buf_init(&text, 4096);
    TAP_OK(dl_delta_checksum_text(dl_str_of(json), &text, &err), err);
    TAP_EQ_STR(dl_buf_str(&text), want);
    TAP_OK(dl_delta_md5(dl_buf_str(&text), md5, &err), err);
    TAP_EQ_STR(dl_str_of(md5), "6a92d155a59bf2eecbd4b4ec7fd1f875");
}

static void checksum_texts(void)
{
    static const struct {
        const char *name, *json;
        dl_status status;
        const char *want;
    } cases[] = {
        {"an empty object", "{}", DL_OK, ""},
        {"only a checksum", "{\"checksum\":\"x\"}", DL_OK, ""},
        {"a checksum deeper down counts", "{\"a\":{\"checksum\":1}}", DL_OK,
         "\"a\"+\"checksum\"=1"},
        {"literals", "{\"a\":true,\"b\":null,\"c\":-1.5e3}", DL_OK,
         "\"a\"=true,\"b\"=null,\"c\"=-1.5e3"},
        {"sorted by bytes", "{\"b\":1,\"B\":2,\"a\":3}", DL_OK, "\"B\"=2,\"a\"=3,\"b\"=1"},
        {"escapes and UTF-8", "{\"\\u00e4\":\"a\\n~\"}", DL_OK, "\"%C3%A4\"=\"a%0A~\""},
        {"nothing in empty lists", "{\"a\":[],\"b\":{}}", DL_OK, ""},
        {"a name twice", "{\"a\":1,\"a\":2}", DL_E_INVALID, ""},
        {"no object", "[1]", DL_E_INVALID, ""},
        {"no JSON", "{\"a\":", DL_E_INVALID, ""},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        DL_AUTO_BUF text;
        dl_buf_init(&text, 4096);
        TAP_STATUS(dl_delta_checksum_text(dl_str_of(cases[i].json), &text, &err), cases[i].status);
        TAP_TRUE((err.message[0] != '\0') == (cases[i].status != DL_OK));
        if (cases[i].status == DL_OK) {
            TAP_EQ_STR(dl_buf_str(&text), cases[i].want);
        }
        TAP_ROW_END(cases[i].name);
    }
}

/* ---- what may go ---- */

typedef struct log_file {
    const char *name;
    int day;
    int size;
} log_file;

static size_t make_names(const log_file *files, size_t count, dl_delta_log_name *names)
{
    for (size_t i = 0; i < count; i++) {
        names[i] = dl_delta_log_name_parse(dl_str_of(files[i].name));
        names[i].size_bytes = (uint64_t)files[i].size;
        names[i].modified_us = files[i].day * DAY_US;
    }
    return count;
}

#define V(n) "0000000000000000000" #n
static const log_file plain_log[] = {
    {V(0) ".json", 0, 9}, {V(1) ".json", 1, 9}, {V(2) ".checkpoint.parquet", 9, 9},
    {V(2) ".json", 2, 9}, {V(3) ".json", 3, 9}, {V(4) ".checkpoint.parquet", 9, 9},
    {V(4) ".json", 4, 9}, {V(5) ".json", 5, 9},
};
static const log_file parts_log[] = {
    {V(0) ".json", 0, 9},
    {V(1) ".checkpoint.0000000001.0000000002.parquet", 1, 9},
    {V(1) ".checkpoint.0000000002.0000000002.parquet", 1, 9},
    {V(1) ".json", 1, 9},
    {V(2) ".checkpoint.0000000001.0000000002.parquet", 1, 9},
    {V(2) ".json", 2, 9},
    {V(3) ".checkpoint.parquet", 1, 0}, /* empty: does not count */
    {V(3) ".json", 3, 9},
    {V(4) ".checkpoint.0000000001.0000000002.parquet", 1, 9},
    {V(4) ".checkpoint.0000000002.0000000002.parquet", 1, 0},
    {V(4) ".json", 4, 9},
    {V(5) ".json", 5, 9},
};
static const log_file v2_log[] = {
    {V(0) ".json", 0, 9},
    {V(1) ".json", 1, 9},
    {V(2) ".checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json", 2, 9},
    {V(2) ".json", 2, 9},
    {V(3) ".json", 3, 9},
};
/* copied: all of one moment; each commit counts 1 ms later than the one before */
static const log_file copied_log[] = {
    {V(0) ".json", 5, 9},
    {V(1) ".checkpoint.parquet", 5, 9},
    {V(1) ".json", 5, 9},
    {V(2) ".json", 5, 9},
};

static void cuts(void)
{
    static const struct {
        const char *name;
        const log_file *files;
        size_t count;
        int day;
        int64_t want;
    } cases[] = {
        {"all younger", plain_log, 8, -1, -1},
        {"no checkpoint so old", plain_log, 8, 1, -1},
        {"commit exactly at the cutoff", plain_log, 8, 2, 2},
        {"the checkpoint before the cutoff's commit", plain_log, 8, 3, 2},
        {"the next one", plain_log, 8, 4, 4},
        {"never beyond the newest checkpoint", plain_log, 8, 100, 4},
        {"nothing there", plain_log, 0, 100, -1},
        {"parts, all there", parts_log, 12, 1, 1},
        {"parts missing, empty ones", parts_log, 12, 100, 1},
        {"a v2 checkpoint", v2_log, 5, 100, 2},
        {"a copied log, before", copied_log, 4, 4, -1},
        {"a copied log, at its moment: only commit 0 is so old", copied_log, 4, 5, -1},
        {"a copied log, later", copied_log, 4, 6, 1},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_delta_log_name names[16];
        size_t count = make_names(cases[i].files, cases[i].count, names);
        TAP_EQ_INT(dl_delta_log_cut(names, count, cases[i].day * DAY_US), cases[i].want);
        TAP_ROW_END(cases[i].name);
    }
}

static void goes(void)
{
    static const struct {
        const char *name;
        int64_t cut;
        bool want;
    } cases[] = {
        {V(3) ".json", 4, true},
        {V(4) ".json", 4, false},
        {V(3) ".crc", 4, true},
        {V(4) ".crc", 4, false},
        {V(3) ".checkpoint.parquet", 4, true},
        {V(4) ".checkpoint.parquet", 4, false},
        {V(3) ".checkpoint.0000000001.0000000002.parquet", 4, true},
        {V(3) ".checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json", 4, true},
        {V(4) "." V(6) ".compacted.json", 4, true},
        {V(5) "." V(6) ".compacted.json", 4, false},
        {"." V(3) ".json.crc", 4, true},
        {"." V(4) ".json.crc", 4, false},
        {"._last_checkpoint.crc", 4, false},
        {"_last_checkpoint", 4, false},
        {".crc", 4, false},
        {"..crc", 4, false},
        {"3.json", 4, false},
        {"0000000000000000003.json.tmp", 4, false},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_delta_log_name name = dl_delta_log_name_parse(dl_str_of(cases[i].name));
        TAP_EQ_INT(dl_delta_log_goes(&name, cases[i].cut), cases[i].want);
        TAP_ROW_END(cases[i].name);
    }
}

/* ---- on a table ---- */

static int64_t days_from_now(void *context)
{
    dl_clock system = dl_clock_system();
    return dl_clock_now_us(&system) + *(const int *)context * DAY_US;
}

static bool is_there(const tables *t, const char *key)
{
    dl_store_stat stat;
    return dl_store_stat_key(t->store, dl_str_of(key), &stat, NULL) == DL_OK;
}

static void get(const tables *t, const char *key, dl_buf *out)
{
    dl_error err = {0};
    dl_buf_init(out, 1 << 20);
    TAP_OK(dl_store_get(t->store, dl_str_of(key), out, &err), err);
}

static int64_t number_in(const dl_buf *json, const char *key)
{
    dl_str value = DL_STR_NONE;
    int64_t number = -999;
    if (!dl_json_get(dl_buf_str(json), dl_str_of(key), &value) || !dl_json_int_of(value, &number)) {
        TAP_FAIL("%s is not there", key);
    }
    return number;
}

static void append_many(dl_delta_table *table, int first, int count)
{
    dl_error err = {0};
    for (int i = first; i < first + count; i++) {
        TAP_OK(tables_append(table, "east", (int64_t)i * 10, 10, &err), err);
    }
}

TAP_CASE(the_log_is_cleaned_after_its_retention)
{
    tables t;
    tables_init(&t, NULL);
    int days = 0;
    t.clock = (dl_clock){days_from_now, &days};
    dl_error err = {0};
    int64_t deleted = -1;
    {
        DL_AUTO_TABLE table = NULL;
        TAP_OK(tables_create(&t, "", false, &table, &err), err);
        append_many(table, 0, 23); /* versions 1..23, checkpoints at 10 and 20 */
        TAP_EQ_INT(table->maintenance_failures, 0);
        TAP_TRUE(is_there(&t, "_delta_log/00000000000000000010.checkpoint.parquet"));
        TAP_TRUE(is_there(&t, "_delta_log/00000000000000000020.checkpoint.parquet"));
        days = 29;
        TAP_OK(dl_delta_clean_log(table, &deleted, &err), err);
        TAP_EQ_INT(deleted, 0);
        TAP_OK(dl_store_put(t.store, DL_STR("_delta_log/.00000000000000000003.json.crc"),
                            (dl_bytes){(const uint8_t *)"x", 1}, &err),
               err);
        days = 32;
        TAP_OK(dl_delta_clean_log(table, &deleted, &err), err);
        TAP_EQ_INT(deleted, 20 + 20 + 1 + 1); /* commits, checksums, a checkpoint, a side file */
        TAP_TRUE(!is_there(&t, "_delta_log/00000000000000000019.json"));
        TAP_TRUE(!is_there(&t, "_delta_log/00000000000000000010.checkpoint.parquet"));
        TAP_TRUE(!is_there(&t, "_delta_log/.00000000000000000003.json.crc"));
        TAP_TRUE(is_there(&t, "_delta_log/00000000000000000020.json"));
        TAP_TRUE(is_there(&t, "_delta_log/00000000000000000020.checkpoint.parquet"));
        TAP_OK(dl_delta_clean_log(table, &deleted, &err), err);
        TAP_EQ_INT(deleted, 0);
    }
    DL_AUTO_TABLE again = NULL;
    TAP_OK(tables_open(&t, "", &again, &err), err);
    if (again != NULL) {
        TAP_EQ_INT(dl_delta_version(again), 23);
        TAP_EQ_INT(dl_delta_file_count(again), 23);
    }
    dl_delta_table_close(DL_STEAL(again));
    tables_clear(&t);
}

static void put(const tables *t, const char *key, const char *text)
{
    dl_error err = {0};
    dl_str s = dl_str_of(text);
    TAP_OK(dl_store_put(t->store, dl_str_of(key), (dl_bytes){(const uint8_t *)s.ptr, s.len}, &err),
           err);
}

/* Sidecars: one that a v2 checkpoint names, one that nobody does, one that is young. */
TAP_CASE(sidecars_that_nobody_names_go)
{
    static const char v2[] =
        "_delta_log/00000000000000000023.checkpoint.3a0d65cd-4056-49b8-937b-95f9e3ee90e5.json";
    static const struct {
        const char *text;
        dl_status status;
        bool named_stays, other_stays;
    } cases[] = {
        {"{\"checkpointMetadata\":{\"version\":23}}\n{\"sidecar\":{\"path\":\"na%20med.parquet\","
         "\"sizeInBytes\":1,\"modificationTime\":1}}\n",
         DL_OK, true, false},
        {"{\"checkpointMetadata\":{\"version\":23}}\n", DL_OK, false, false},
        {"{\"checkpointMeta", DL_E_CORRUPT, true, true}, /* what it names is not known */
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        tables t;
        tables_init(&t, NULL);
        int days = 0;
        t.clock = (dl_clock){days_from_now, &days};
        dl_error err = {0};
        int64_t deleted = 0;
        DL_AUTO_TABLE table = NULL;
        TAP_OK(tables_create(&t, "", false, &table, &err), err);
        append_many(table, 0, 23);
        TAP_OK(dl_delta_checkpoint(table, &err), err); /* and a classic one, which names none */
        put(&t, v2, cases[i].text);
        put(&t, "_delta_log/_sidecars/na med.parquet", "x");
        put(&t, "_delta_log/_sidecars/other.parquet", "x");
        put(&t, "_delta_log/_sidecars/young.parquet", "x");
        days = 32;
        char path[512];
        (void)snprintf(path, sizeof path, "%s/_delta_log/_sidecars/young.parquet", t.folder);
        struct timespec now = {.tv_sec = days_from_now(&days) / 1000000};
        struct timespec times[2] = {now, now};
        TAP_EQ_INT(utimensat(AT_FDCWD, path, times, 0), 0);
        TAP_STATUS(dl_delta_clean_log(table, &deleted, &err), cases[i].status);
        TAP_EQ_INT(is_there(&t, "_delta_log/_sidecars/na med.parquet"), cases[i].named_stays);
        TAP_EQ_INT(is_there(&t, "_delta_log/_sidecars/other.parquet"), cases[i].other_stays);
        TAP_TRUE(is_there(&t, "_delta_log/_sidecars/young.parquet"));
        dl_delta_table_close(DL_STEAL(table));
        tables_clear(&t);
    }
}

TAP_CASE(cleaning_can_be_switched_off)
{
    static const dl_str partition = {"partitionName", 13};
    static const dl_delta_pair off = {{"delta.enableExpiredLogCleanup", 29}, {"false", 5}};
    static const dl_delta_pair garbled = {{"delta.logRetentionDuration", 26}, {"a month", 7}};
    static const struct {
        const dl_delta_pair *property;
        dl_status status;
    } cases[] = {{&off, DL_OK}, {&garbled, DL_E_INVALID}};
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        tables t;
        tables_init(&t, NULL);
        int days = 0;
        t.clock = (dl_clock){days_from_now, &days};
        dl_error err = {0};
        DL_AUTO_TABLE table = NULL;
        dl_delta_create create = {.open = tables_open_options(&t, ""),
                                  .schema_json = dl_str_of(tables_schema),
                                  .partition_columns = {&partition, 1},
                                  .configuration = {cases[i].property, 1}};
        TAP_OK(dl_delta_table_create(&create, &table, &err), err);
        append_many(table, 0, 12);
        days = 99;
        int64_t deleted = -1;
        TAP_STATUS(dl_delta_clean_log(table, &deleted, &err), cases[i].status);
        TAP_EQ_INT(deleted, cases[i].status == DL_OK ? 0 : -1);
        TAP_TRUE(is_there(&t, "_delta_log/00000000000000000000.json"));
        dl_delta_table_close(DL_STEAL(table));
        tables_clear(&t);
    }
}

TAP_CASE(checksum_files_say_what_the_table_is)
{
    tables t;
    tables_init(&t, NULL);
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "", false, &table, &err), err);
    DL_AUTO_BUF first;
    get(&t, "_delta_log/00000000000000000000.crc", &first);
    TAP_EQ_INT(number_in(&first, "numFiles"), 0);
    append_many(table, 0, 2);
    static const int64_t rows[] = {1, 3};
    DL_AUTO(dl_delta_bitmap) dead = tables_rows(rows, 2);
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    TAP_TRUE(dl_delta_next_file(table, &cursor, &file));
    dl_delta_kill kill = {file->path, dead};
    dl_delta_app app = {.app_id = DL_STR("a \"b\""), .version = 7};
    dl_delta_change change = {.operation = "DELETE",
                              .data_change = true,
                              .kills = &kill,
                              .kill_count = 1,
                              .apps = &app,
                              .app_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    TAP_EQ_INT(table->maintenance_failures, 0);
    DL_AUTO_BUF text;
    get(&t, "_delta_log/00000000000000000003.crc", &text);
    TAP_OK(dl_json_check(dl_buf_str(&text), &err), err);
    dl_delta_totals totals = dl_delta_totals_of(table);
    TAP_EQ_INT(number_in(&text, "numFiles"), 2);
    TAP_EQ_INT(number_in(&text, "tableSizeBytes"), totals.size_bytes);
    TAP_EQ_INT(number_in(&text, "numDeletedRecordsOpt"), 2);
    TAP_EQ_INT(number_in(&text, "numDeletionVectorsOpt"), 1);
    TAP_EQ_INT(number_in(&text, "numMetadata"), 1);
    TAP_EQ_INT(number_in(&text, "numProtocol"), 1);
    dl_str value = DL_STR_NONE;
    dl_str member = DL_STR_NONE;
    TAP_TRUE(dl_json_get(dl_buf_str(&text), DL_STR("metadata"), &value) &&
             dl_json_get(value, DL_STR("schemaString"), &member));
    TAP_TRUE(dl_json_get(dl_buf_str(&text), DL_STR("protocol"), &value) &&
             dl_json_get(value, DL_STR("writerFeatures"), &member));
    TAP_TRUE(dl_json_get(dl_buf_str(&text), DL_STR("setTransactions"), &value) &&
             dl_json_at(value, 0, &member) && dl_json_get(member, DL_STR("version"), &value));
    TAP_EQ_STR(value, "7");
    TAP_TRUE(dl_json_get(dl_buf_str(&text), DL_STR("domainMetadata"), &value));
    TAP_EQ_STR(value, "[]");
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

TAP_CASE(maintenance_that_fails_is_counted_and_harms_nothing)
{
    tables t;
    tables_init(&t, NULL);
    dl_error err = {0};
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "", false, &table, &err), err);
    append_many(table, 0, 9);
    /* a folder where the checkpoint shall go, with a file in it */
    TAP_OK(dl_store_put(t.store, DL_STR("_delta_log/00000000000000000010.checkpoint.parquet/x"),
                        (dl_bytes){(const uint8_t *)"x", 1}, &err),
           err);
    append_many(table, 9, 1);
    TAP_EQ_INT(table->version, 10);
    TAP_EQ_INT(table->maintenance_failures, 1);
    TAP_TRUE(table->maintenance_error.message[0] != '\0');
    append_many(table, 10, 1);
    TAP_EQ_INT(table->maintenance_failures, 1);
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

int main(void)
{
    TAP_RUN(checksum_of_the_protocols_example);
    checksum_texts();
    cuts();
    goes();
    TAP_RUN(the_log_is_cleaned_after_its_retention);
    TAP_RUN(sidecars_that_nobody_names_go);
    TAP_RUN(cleaning_can_be_switched_off);
    TAP_RUN(checksum_files_say_what_the_table_is);
    TAP_RUN(maintenance_that_fails_is_counted_and_harms_nothing);
    return tap_done();
}
