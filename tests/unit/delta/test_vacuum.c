/* Which files vacuum takes, what it refuses, what it says in the log. */
#include "tables.h"
#include "tap.h"

#include "base/mem.h"
#include "delta/maintain.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define HOUR_US (INT64_C(3600) * 1000000)

static void sees(void)
{
    static const struct {
        const char *path;
        bool want;
    } cases[] = {
        {"part-0.parquet", true},
        {"p=1/part-0.parquet", true},
        {"_p=1/part-0.parquet", true},
        {".p=1/part-0.parquet", true},
        {"deletion_vector_3a0d65cd-4056-49b8-937b-95f9e3ee90e5.bin", true},
        {"ab/deletion_vector_3a0d65cd-4056-49b8-937b-95f9e3ee90e5.bin", true},
        {"_change_data/cdc-0.parquet", true},
        {"_change_data/p=1/cdc-0.parquet", true},
        {"p=1/_change_data/cdc-0.parquet", true},
        {"_delta_log/00000000000000000000.json", false},
        {"_delta_log/_sidecars/x.parquet", false},
        {"_delta_log/p=1/x.parquet", false},
        {"_delta_index/x", false},
        {"_change_data_2/x", false},
        {"_change_data", false}, /* a file */
        {"_committed_1", false},
        {"_p=1", false}, /* a file */
        {".part-0.parquet.crc", false},
        {"p=1/.part-0.parquet.crc", false},
        {"p=1/_temporary/0/part-0.parquet", false},
        {"_=x/part-0.parquet", true},
        {"=x/part-0.parquet", true},
        {"_/part-0.parquet", false},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        TAP_EQ_INT(dl_delta_vacuum_sees(dl_str_of(cases[i].path)), cases[i].want);
        TAP_ROW_END(cases[i].path);
    }
}

static int64_t hours_from_now(void *context)
{
    dl_clock system = dl_clock_system();
    return dl_clock_now_us(&system) + *(const int *)context * HOUR_US;
}

static bool is_there(const tables *t, const char *key)
{
    dl_store_stat stat;
    return dl_store_stat_key(t->store, dl_str_of(key), &stat, NULL) == DL_OK;
}

static void put(const tables *t, const char *key)
{
    dl_error err = {0};
    TAP_OK(dl_store_put(t->store, dl_str_of(key), (dl_bytes){(const uint8_t *)"x", 1}, &err), err);
}

/* Make a file of the store as old as that. */
static void age(const tables *t, const char *key, int64_t hours)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", t->folder, key);
    dl_clock system = dl_clock_system();
    int64_t us = dl_clock_now_us(&system) - hours * HOUR_US;
    struct timespec times[2] = {{.tv_sec = us / 1000000}, {.tv_sec = us / 1000000}};
    TAP_EQ_INT(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void kill_rows(dl_delta_table *table, dl_str path, int64_t first, int64_t count)
{
    dl_error err = {0};
    int64_t rows[100];
    for (int64_t i = 0; i < count; i++) {
        rows[i] = first + i;
    }
    DL_AUTO(dl_delta_bitmap) dead = tables_rows(rows, (size_t)count);
    dl_delta_kill kill = {path, dead};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    dl_delta_result result = {0};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
}

/* A table that keeps removed files for so long. */
static dl_delta_table *create(const tables *t, const char *root, const char *interval)
{
    static const dl_str partition = {"partitionName", 13};
    dl_delta_pair property = {DL_STR("delta.deletedFileRetentionDuration"), dl_str_of(interval)};
    dl_error err = {0};
    dl_delta_table *table = NULL;
    dl_delta_create options = {.open = tables_open_options(t, root),
                               .schema_json = dl_str_of(tables_schema),
                               .partition_columns = {&partition, 1},
                               .configuration = {&property, 1}};
    TAP_OK(dl_delta_table_create(&options, &table, &err), err);
    return table;
}

/* A table with "east" whose one file was removed, "west" whose file has its second vector; the
 * other files are nobody's. Removed, and the first vector outdated, now. */
typedef struct scene {
    tables t;
    int hours;
    dl_delta_table *table;
    char gone[300], kept[300], first_dv[300], second_dv[300];
} scene;

static void copy_text(char out[300], dl_str text)
{
    TAP_TRUE(dl_str_copy(text, out, 300));
}

static void dv_key_of(scene *s, char out[300])
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 14);
    dl_str key = DL_STR_NONE;
    const dl_delta_file *file = dl_delta_file_by_path(s->table, dl_str_of(s->kept));
    TAP_TRUE(file != NULL && file->dv.storage == 'u');
    TAP_OK(dl_delta_dv_key(s->table, &file->dv, arena, &key, &err), err);
    copy_text(out, key);
}

static void begin(scene *s)
{
    dl_error err = {0};
    *s = (scene){0};
    tables_init(&s->t, NULL);
    s->t.clock = (dl_clock){hours_from_now, &s->hours};
    s->table = create(&s->t, "", "interval 7 days");
    TAP_OK(tables_append(s->table, "ea st/ä", 0, 50, &err), err);
    copy_text(s->gone, tables_only_file(s->table)->path);
    kill_rows(s->table, dl_str_of(s->gone), 0, 50);
    TAP_OK(tables_append(s->table, "west", 100, 50, &err), err);
    copy_text(s->kept, tables_only_file(s->table)->path);
    kill_rows(s->table, dl_str_of(s->kept), 0, 5);
    dv_key_of(s, s->first_dv);
    kill_rows(s->table, dl_str_of(s->kept), 5, 5);
    dv_key_of(s, s->second_dv);
    put(&s->t, "orphan.parquet");
    put(&s->t, "partitionName=west/orphan.parquet");
    put(&s->t, "partitionName=north/deep=1/orphan.parquet");
    put(&s->t, "_hidden/orphan.parquet");
    put(&s->t, "_change_data/orphan.parquet");
}

static void end(scene *s)
{
    dl_delta_table_close(s->table);
    tables_clear(&s->t);
}

typedef struct seen {
    int files;
    int64_t bytes;
} seen;

static void note_file(void *context, dl_str path, int64_t size_bytes)
{
    seen *n = context;
    n->files++;
    n->bytes += size_bytes;
    TAP_TRUE(path.len > 0 && path.ptr[0] != '/');
}

TAP_CASE(young_files_stay)
{
    scene s;
    dl_error err = {0};
    begin(&s);
    s.hours = 167;
    dl_delta_vacuum_options options = {.retention_hours = -1, .dry_run = true};
    dl_delta_vacuum_result result = {.files = 77};
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err);
    TAP_EQ_INT(result.files, 0);
    end(&s);
}

TAP_CASE(what_nobody_names_goes)
{
    scene s;
    dl_error err = {0};
    begin(&s);
    s.hours = 169;
    seen n = {0};
    dl_delta_vacuum_options options = {
        .retention_hours = -1, .dry_run = true, .on_file = note_file, .context = &n};
    dl_delta_vacuum_result result = {0};
    int64_t version = dl_delta_version(s.table);
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err);
    TAP_EQ_INT(dl_delta_version(s.table), version);
    TAP_EQ_INT(result.files, 6); /* the removed file, its vector's predecessor, four orphans */
    TAP_EQ_INT(n.files, 6);
    TAP_EQ_INT(n.bytes, result.bytes);
    TAP_TRUE(is_there(&s.t, s.gone));
    options.dry_run = false;
    n = (seen){0};
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err);
    TAP_EQ_INT(result.files, 6);
    TAP_EQ_INT(n.files, 6);
    TAP_EQ_INT(result.folders, 4); /* of the removed file, north and its inner one, _change_data */
    TAP_TRUE(!is_there(&s.t, s.gone) && !is_there(&s.t, s.first_dv));
    TAP_TRUE(is_there(&s.t, s.kept) && is_there(&s.t, s.second_dv));
    TAP_TRUE(is_there(&s.t, "_hidden/orphan.parquet"));
    TAP_TRUE(!is_there(&s.t, "partitionName=west/orphan.parquet"));
    TAP_EQ_INT(dl_delta_version(s.table), version + 2);
    struct stat stat_buf;
    char path[512];
    (void)snprintf(path, sizeof path, "%s/partitionName=north", s.t.folder);
    TAP_TRUE(stat(path, &stat_buf) != 0);
    static uint8_t counts[TABLES_ROWS];
    TAP_OK(tables_count(s.table, counts, &err), err);
    TAP_EQ_INT(counts[109], 0);
    TAP_EQ_INT(counts[110], 1);
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err); /* again: nothing */
    TAP_EQ_INT(result.files, 0);
    end(&s);
}

TAP_CASE(the_log_tells)
{
    scene s;
    dl_error err = {0};
    begin(&s);
    s.hours = 169;
    dl_delta_vacuum_options options = {.retention_hours = 168};
    dl_delta_vacuum_result result = {0};
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err);
    char key[64];
    DL_AUTO_BUF text;
    dl_buf_init(&text, 1 << 16);
    (void)snprintf(key, sizeof key, "_delta_log/%020lld.json",
                   (long long)dl_delta_version(s.table) - 1);
    TAP_OK(dl_store_get(s.t.store, dl_str_of(key), &text, &err), err);
    static const char *const start[] = {"\"operation\":\"VACUUM START\"",
                                        "\"retentionCheckEnabled\":\"true\"",
                                        "\"defaultRetentionMillis\":\"604800000\"",
                                        "\"specifiedRetentionMillis\":\"604800000\"",
                                        "\"numFilesToDelete\":\"6\"",
                                        "\"sizeOfDataToDelete\""};
    for (size_t i = 0; i < DL_COUNT_OF(start); i++) {
        if (dl_str_find_str(dl_buf_str(&text), dl_str_of(start[i])) < 0) {
            TAP_FAIL("%s is not in the log", start[i]);
        }
    }
    TAP_EQ_INT(dl_str_find(dl_buf_str(&text), '\n'), text.len - 1); /* commitInfo alone */
    dl_buf_reset(&text);
    (void)snprintf(key, sizeof key, "_delta_log/%020lld.json",
                   (long long)dl_delta_version(s.table));
    TAP_OK(dl_store_get(s.t.store, dl_str_of(key), &text, &err), err);
    static const char *const finish[] = {"\"operation\":\"VACUUM END\"", "\"status\":\"COMPLETED\"",
                                         "\"numDeletedFiles\":\"6\"",
                                         "\"numVacuumedDirectories\":\"4\""};
    for (size_t i = 0; i < DL_COUNT_OF(finish); i++) {
        if (dl_str_find_str(dl_buf_str(&text), dl_str_of(finish[i])) < 0) {
            TAP_FAIL("%s is not in the log", finish[i]);
        }
    }
    end(&s);
}

/* Old by their own time, but removed within the retention: time travel still reads them. */
TAP_CASE(files_removed_lately_stay)
{
    scene s;
    dl_error err = {0};
    begin(&s);
    age(&s.t, s.gone, 5000);
    age(&s.t, s.first_dv, 5000);
    age(&s.t, s.kept, 5000);
    age(&s.t, s.second_dv, 5000);
    age(&s.t, "orphan.parquet", 169);
    age(&s.t, "partitionName=west/orphan.parquet", 167);
    dl_delta_vacuum_options options = {.retention_hours = -1};
    dl_delta_vacuum_result result = {0};
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err);
    TAP_EQ_INT(result.files, 1);
    TAP_TRUE(!is_there(&s.t, "orphan.parquet"));
    TAP_TRUE(is_there(&s.t, s.gone) && is_there(&s.t, s.first_dv));
    options.force = true;
    options.retention_hours = 0;
    s.hours = 1;
    TAP_OK(dl_delta_vacuum(s.table, &options, &result, &err), err);
    TAP_TRUE(!is_there(&s.t, s.gone) && !is_there(&s.t, s.first_dv));
    TAP_TRUE(is_there(&s.t, s.kept) && is_there(&s.t, s.second_dv));
    end(&s);
}

static void retentions(void)
{
    static const struct {
        const char *name;
        int64_t hours;
        bool force;
        dl_status want;
    } cases[] = {
        {"the least", 168, false, DL_OK},
        {"one below", 167, false, DL_E_INVALID},
        {"one below, forced", 167, true, DL_OK},
        {"none", 0, false, DL_E_INVALID},
        {"none, forced", 0, true, DL_OK},
        {"negative", -2, true, DL_E_INVALID},
        {"as far as numbers go", INT64_MAX, true, DL_E_INVALID},
        {"longer than time is", INT64_MAX / 3600000, false, DL_OK},
        {"the table's own", -1, false, DL_OK},
    };
    scene s;
    begin(&s);
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_delta_vacuum_options options = {
            .retention_hours = cases[i].hours, .force = cases[i].force, .dry_run = true};
        dl_delta_vacuum_result result = {.files = 77};
        TAP_STATUS(dl_delta_vacuum(s.table, &options, &result, &err), cases[i].want);
        TAP_TRUE((err.message[0] != '\0') == (cases[i].want != DL_OK));
        TAP_TRUE((result.files == 77) == (cases[i].want != DL_OK));
        TAP_ROW_END(cases[i].name);
    }
    end(&s);
}

TAP_CASE(a_longer_property_counts)
{
    tables t;
    tables_init(&t, NULL);
    dl_error err = {0};
    DL_AUTO_TABLE table = create(&t, "", "interval 720 hours");
    put(&t, "orphan.parquet");
    age(&t, "orphan.parquet", 719);
    dl_delta_vacuum_options options = {.retention_hours = 719};
    dl_delta_vacuum_result result = {0};
    TAP_STATUS(dl_delta_vacuum(table, &options, &result, &err), DL_E_INVALID);
    options.retention_hours = -1;
    TAP_OK(dl_delta_vacuum(table, &options, &result, &err), err);
    TAP_EQ_INT(result.files, 0);
    age(&t, "orphan.parquet", 721);
    TAP_OK(dl_delta_vacuum(table, &options, &result, &err), err);
    TAP_EQ_INT(result.files, 1);
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

TAP_CASE(a_table_below_the_root_keeps_to_itself)
{
    tables t;
    tables_init(&t, NULL);
    int hours = 0;
    t.clock = (dl_clock){hours_from_now, &hours};
    dl_error err = {0};
    DL_AUTO_TABLE table = create(&t, "a/instance", "interval 168 hours");
    TAP_OK(tables_append(table, "east", 0, 10, &err), err);
    put(&t, "a/instance/x/orphan.parquet");
    put(&t, "a/instance2/orphan.parquet");
    put(&t, "a/orphan.parquet");
    hours = 200;
    dl_delta_vacuum_options options = {.retention_hours = -1};
    dl_delta_vacuum_result result = {0};
    TAP_OK(dl_delta_vacuum(table, &options, &result, &err), err);
    TAP_EQ_INT(result.files, 1);
    TAP_EQ_INT(result.folders, 1);
    TAP_TRUE(is_there(&t, "a/instance2/orphan.parquet") && is_there(&t, "a/orphan.parquet"));
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

TAP_CASE(stopped_and_run_again)
{
    scene s;
    dl_error err = {0};
    begin(&s);
    s.hours = 169;
    dl_cancel cancel = {true};
    dl_delta_vacuum_options options = {.retention_hours = -1, .cancel = &cancel};
    dl_delta_vacuum_result result = {.files = 77};
    TAP_STATUS(dl_delta_vacuum(s.table, &options, &result, &err), DL_E_CANCELED);
    TAP_EQ_INT(result.files, 77);
    end(&s);
}

TAP_CASE(out_of_memory)
{
    scene s;
    dl_error err = {0};
    begin(&s);
    s.hours = 169;
    static uint8_t counts[TABLES_ROWS];
    int failures = 0;
    for (int64_t n = 0;; n += 1 + n / 16) {
        dl_error_clear(&err);
        dl_mem_fail_after(n);
        dl_delta_vacuum_options options = {.retention_hours = -1};
        dl_delta_vacuum_result result = {0};
        dl_status status = dl_delta_vacuum(s.table, &options, &result, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        TAP_TRUE(err.message[0] != '\0');
        TAP_TRUE(is_there(&s.t, s.kept) && is_there(&s.t, s.second_dv));
        if (status == DL_E_UNAVAILABLE) {
            dl_delta_table_close(s.table);
            s.table = NULL;
            TAP_OK(tables_open(&s.t, "", &s.table, &err), err);
        }
        if (tap_case_failed) {
            break;
        }
    }
    TAP_TRUE(failures > 10);
    TAP_OK(tables_count(s.table, counts, &err), err);
    TAP_EQ_INT(counts[149], 1);
    end(&s);
}

int main(void)
{
    sees();
    TAP_RUN(young_files_stay);
    TAP_RUN(what_nobody_names_goes);
    TAP_RUN(the_log_tells);
    TAP_RUN(files_removed_lately_stay);
    retentions();
    TAP_RUN(a_longer_property_counts);
    TAP_RUN(a_table_below_the_root_keeps_to_itself);
    TAP_RUN(stopped_and_run_again);
    TAP_RUN(out_of_memory);
    return tap_done();
}
