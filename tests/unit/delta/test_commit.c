/* Commits: what comes of a change. */
#include "commit_rig.h"

#include "base/mem.h"
#include "delta/commit.h"
#include "tap.h"
#include "json/json.h"

#include "../store/faults.h"

static dl_status kill_rows(dl_delta_table *table, dl_str path, const int64_t *rows, size_t count,
                           dl_delta_result *out_result, dl_error *err)
{
    DL_AUTO(dl_delta_bitmap) bitmap = tables_rows(rows, count);
    dl_delta_kill kill = {path, bitmap};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    return dl_delta_commit_change(table, &change, out_result, err);
}

static dl_str only_path(const dl_delta_table *table)
{
    const dl_delta_file *file = tables_only_file(table);
    TAP_TRUE(file != NULL);
    return file == NULL ? DL_STR("?") : file->path;
}

/* The text of a version. */
static void read_commit(const char *root, int64_t version, dl_buf *out)
{
    dl_error err = {0};
    char key[100];
    dl_buf_reset(out);
    int len = snprintf(key, sizeof key, "%s/_delta_log/%020lld.json", root, (long long)version);
    TAP_OK(dl_store_get(t.store, (dl_str){key, (size_t)len}, out, &err), err);
}

static bool commit_says(const char *root, int64_t version, const char *text)
{
    DL_AUTO_BUF commit = {0};
    dl_buf_init(&commit, 1 << 24);
    read_commit(root, version, &commit);
    return dl_str_find_str(dl_buf_str(&commit), dl_str_of(text)) >= 0;
}

static dl_status count_key(void *context, dl_str key, const dl_store_stat *stat, dl_error *err)
{
    (void)stat;
    (void)err;
    int *bins = context;
    *bins += dl_str_ends(key, DL_STR(".bin"));
    return DL_OK;
}

static int bin_count(const char *root)
{
    dl_error err = {0};
    int bins = 0;
    TAP_OK(dl_store_list(t.store, dl_str_of(root), count_key, &bins, &err), err);
    return bins;
}

/* ---- rows that die ---- */

TAP_CASE(deletion_vectors_grow)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE table = new_table("grow", false);
    TAP_EQ_INT(dl_delta_version(table), 1);
    TAP_OK(kill_rows(table, only_path(table), (int64_t[]){1, 5, 99}, 3, &result, &err), err);
    TAP_EQ_INT(result.version, 2);
    TAP_EQ_INT(result.dvs_written, 1);
    TAP_EQ_INT(result.tries, 1);
    expect_rows(table, 97);
    TAP_TRUE(commit_says("grow", 2, "\"numDeletedRows\":\"3\""));
    TAP_TRUE(commit_says("grow", 2, "\"numDeletionVectorsAdded\":\"1\""));
    TAP_TRUE(commit_says("grow", 2, "\\\"tightBounds\\\":false"));
    TAP_OK(kill_rows(table, only_path(table), (int64_t[]){5, 6}, 2, &result, &err), err);
    expect_rows(table, 96);
    TAP_TRUE(commit_says("grow", 3, "\"numDeletionVectorsUpdated\":\"1\""));
    TAP_TRUE(commit_says("grow", 3, "\"numDeletedRows\":\"1\""));
    TAP_EQ_INT(tables_only_file(table)->dv.cardinality, 4);
    /* what is dead already needs no vector */
    TAP_OK(kill_rows(table, only_path(table), (int64_t[]){1, 6}, 2, &result, &err), err);
    TAP_EQ_INT(result.dvs_written, 0);
    TAP_TRUE(!commit_says("grow", 4, "\"add\""));
    int64_t rest[100];
    for (int64_t i = 0; i < 100; i++) {
        rest[i] = i;
    }
    TAP_OK(kill_rows(table, only_path(table), rest, 100, &result, &err), err);
    TAP_EQ_INT(result.files_removed, 1);
    TAP_TRUE(!commit_says("grow", 5, "\"add\""));
    TAP_TRUE(commit_says("grow", 5, "\"numDeletedRows\":\"96\""));
    TAP_TRUE(commit_says("grow", 5, "\"deletionVector\"")); /* of the file that goes */
    TAP_TRUE(!commit_says("grow", 5, "\"stats\""));
    expect_rows(table, 0);
    TAP_EQ_INT(dl_delta_file_count(table), 0);
    TAP_EQ_INT(bin_count("grow"), 2);
}

TAP_CASE(dead_from_the_start)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE table = new_table("dead", false);
    DL_AUTO(dl_delta_writer) some = NULL;
    DL_AUTO(dl_delta_writer) all = NULL;
    DL_AUTO(dl_delta_writer) empty = NULL;
    TAP_OK(tables_write(table, NULL, 100, 10, &some, &err), err);
    TAP_OK(tables_write(table, NULL, 110, 1, &all, &err), err);
    TAP_OK(tables_write(table, NULL, 111, 0, &empty, &err), err);
    DL_AUTO(dl_delta_bitmap) first = tables_rows((int64_t[]){0}, 1);
    const dl_delta_bitmap *dead[] = {first, first, NULL};
    dl_delta_writer *writers[] = {some, all, empty};
    dl_delta_change change = {.operation = "WRITE",
                              .data_change = true,
                              .writers = writers,
                              .writer_count = 3,
                              .writer_dead = dead};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    TAP_EQ_INT(result.files_added, 1);
    TAP_EQ_INT(result.rows_added, 9);
    expect_rows(table, 109);
    TAP_EQ_INT(counts[100], 0);
    TAP_EQ_INT(counts[101], 1);
    TAP_TRUE(dl_delta_file_by_path(table, dl_delta_writer_path(some)) != NULL);
}

/* ---- what is counted ---- */

TAP_CASE(metrics_of_operations)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE table = new_table("metrics", false);
    TAP_TRUE(commit_says("metrics", 1, "\"numFiles\":\"1\",\"numOutputRows\":\"100\""));
    DL_AUTO(dl_delta_writer) big = NULL;
    DL_AUTO(dl_delta_writer) small = NULL;
    TAP_OK(tables_write(table, "p", 0, 90, &big, &err), err);
    TAP_OK(tables_write(table, "p", 90, 10, &small, &err), err);
    dl_delta_file big_file = {0}, small_file = {0};
    dl_delta_writer_file(big, &big_file);
    dl_delta_writer_file(small, &small_file);
    dl_delta_writer *writers[] = {big, small};
    dl_str path = only_path(table);
    dl_delta_pair given = {DL_STR("numAddedFiles"), DL_STR("77")};
    dl_delta_change change = {.operation = "OPTIMIZE",
                              .metrics = {&given, 1},
                              .writers = writers,
                              .writer_count = 2,
                              .removes = &path,
                              .remove_count = 1};
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    char text[200];
    (void)snprintf(text, sizeof text, "\"minFileSize\":\"%lld\",\"p25FileSize\":\"%lld\"",
                   (long long)small_file.size_bytes, (long long)small_file.size_bytes);
    TAP_TRUE(commit_says("metrics", 2, text));
    (void)snprintf(text, sizeof text, "\"maxFileSize\":\"%lld\"", (long long)big_file.size_bytes);
    TAP_TRUE(commit_says("metrics", 2, text));
    TAP_TRUE(commit_says("metrics", 2, "\"numRemovedFiles\":\"1\""));
    TAP_TRUE(commit_says("metrics", 2, "\"numAddedFiles\":\"77\"")); /* ours gives way */
    TAP_TRUE(!commit_says("metrics", 2, "\"numAddedFiles\":\"2\""));
    TAP_TRUE(commit_says("metrics", 2, "\"dataChange\":false"));
    TAP_TRUE(!commit_says("metrics", 2, "\"dataChange\":true"));
    TAP_TRUE(commit_says("metrics", 2, "\"isBlindAppend\":false"));
    expect_rows(table, 100);
}

/* ---- changes that cannot be ---- */

TAP_CASE(changes_that_cannot_be)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE table = new_table("cannot", false);
    dl_str path = only_path(table);
    TAP_STATUS(kill_rows(table, path, (int64_t[]){100}, 1, &result, &err), DL_E_INVALID);
    TAP_STATUS(kill_rows(table, DL_STR("gone"), (int64_t[]){1}, 1, &result, &err), DL_E_CONFLICT);
    DL_AUTO(dl_delta_bitmap) rows = tables_rows((int64_t[]){1}, 1);
    dl_delta_kill kills[] = {{path, rows}, {path, rows}};
    dl_delta_change twice = {
        .operation = "DELETE", .data_change = true, .kills = kills, .kill_count = 2};
    TAP_STATUS(dl_delta_commit_change(table, &twice, &result, &err), DL_E_INVALID);
    twice.kill_count = 1;
    twice.removes = &path;
    twice.remove_count = 1;
    TAP_STATUS(dl_delta_commit_change(table, &twice, &result, &err), DL_E_INVALID);
    TAP_EQ_INT(dl_delta_version(table), 1);
    TAP_EQ_INT(result.version, 0);
    DL_AUTO_TABLE compat = new_table("cannot-compat", true);
    err = (dl_error){0};
    TAP_STATUS(kill_rows(compat, only_path(compat), (int64_t[]){1}, 1, &result, &err),
               DL_E_UNSUPPORTED);
    TAP_TRUE(err.hint[0] != '\0');
    TAP_EQ_INT(bin_count("cannot-compat"), 0);
    path = only_path(compat);
    dl_delta_change whole = {
        .operation = "DELETE", .data_change = true, .removes = &path, .remove_count = 1};
    TAP_OK(dl_delta_commit_change(compat, &whole, &result, &err), err);
    expect_rows(compat, 0);
}

TAP_CASE(a_commit_has_a_limit)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE table = new_table("limit", false);
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, DL_DELTA_COMMIT_LIMIT_BYTES);
    TAP_OK(dl_buf_reserve(&text, DL_DELTA_COMMIT_LIMIT_BYTES, &err), err);
    memset(text.ptr, 'x', DL_DELTA_COMMIT_LIMIT_BYTES);
    dl_delta_change change = {.operation = "WRITE",
                              .data_change = true,
                              .user_metadata = {text.ptr, DL_DELTA_COMMIT_LIMIT_BYTES}};
    TAP_STATUS(dl_delta_commit_change(table, &change, &result, &err), DL_E_LIMIT);
    TAP_EQ_INT(dl_delta_version(table), 1);
    change.user_metadata.len = DL_DELTA_COMMIT_LIMIT_BYTES - 1000; /* and the rest of the line */
    TAP_OK(dl_delta_commit_change(table, &change, &result, &err), err);
    TAP_EQ_INT(dl_delta_version(table), 2);
    /* the next commit finds the long one to be ours */
    TAP_OK(tables_append(table, "p", 100, 1, &err), err);
}

/* ---- others ---- */

TAP_CASE(appends_follow_appends)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE mine = new_table("appends", false);
    DL_AUTO_TABLE theirs = NULL;
    TAP_OK(tables_open(&t, "appends", &theirs, &err), err);
    TAP_OK(tables_append(theirs, "q", 100, 10, &err), err);
    TAP_OK(tables_append(theirs, "q", 110, 10, &err), err);
    DL_AUTO(dl_delta_writer) writer = NULL;
    TAP_OK(tables_write(mine, "p", 200, 10, &writer, &err), err);
    dl_delta_change change = {
        .operation = "WRITE", .data_change = true, .writers = &writer, .writer_count = 1};
    TAP_OK(dl_delta_commit_change(mine, &change, &result, &err), err);
    TAP_EQ_INT(result.tries, 2);
    TAP_EQ_INT(result.version, 4);
    TAP_TRUE(commit_says("appends", 4, "\"readVersion\":1,"));
    TAP_TRUE(commit_says("appends", 4, "\"isBlindAppend\":true"));
    expect_rows(mine, 130);
}

/* After a conflict the file keeps its name and the vectors are made anew. */
TAP_CASE(an_upsert_plans_anew)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE mine = new_table("anew", false);
    DL_AUTO_TABLE theirs = NULL;
    TAP_OK(tables_open(&t, "anew", &theirs, &err), err);
    TAP_OK(kill_rows(theirs, only_path(theirs), (int64_t[]){7}, 1, &result, &err), err);
    DL_AUTO(dl_delta_writer) writer = NULL;
    TAP_OK(tables_write(mine, "p", 200, 10, &writer, &err), err);
    DL_AUTO(dl_delta_bitmap) rows = tables_rows((int64_t[]){8}, 1);
    dl_delta_kill kill = {only_path(mine), rows};
    dl_delta_app app = {.app_id = DL_STR("app"), .version = 3};
    dl_delta_change change = {.operation = "MERGE",
                              .data_change = true,
                              .writers = &writer,
                              .writer_count = 1,
                              .kills = &kill,
                              .kill_count = 1,
                              .apps = &app,
                              .app_count = 1,
                              .exclusive = true};
    char before[300];
    TAP_TRUE(dl_str_copy(dl_delta_writer_path(writer), before, sizeof before));
    TAP_STATUS(dl_delta_commit_change(mine, &change, &result, &err), DL_E_CONFLICT);
    TAP_EQ_INT(dl_delta_version(mine), 2);
    TAP_EQ_INT(bin_count("anew"), 1); /* theirs */
    kill.path = only_path(mine);
    TAP_OK(dl_delta_commit_change(mine, &change, &result, &err), err);
    TAP_EQ_STR(dl_delta_writer_path(writer), before);
    expect_rows(mine, 108);
    TAP_EQ_INT(counts[7] + counts[8], 0);
    TAP_EQ_INT(dl_delta_app_version(mine, DL_STR("app")), 3);
    TAP_STATUS(dl_delta_commit_change(mine, &change, &result, &err), DL_E_EXISTS);
    /* the same application from a table that has not seen it */
    DL_AUTO(dl_delta_writer) again = NULL;
    TAP_OK(tables_write(theirs, "p", 300, 10, &again, &err), err);
    dl_delta_change late = {.operation = "MERGE",
                            .data_change = true,
                            .writers = &again,
                            .writer_count = 1,
                            .apps = &app,
                            .app_count = 1,
                            .exclusive = true};
    TAP_STATUS(dl_delta_commit_change(theirs, &late, &result, &err), DL_E_EXISTS);
    TAP_EQ_INT(dl_delta_version(theirs), 3);
    expect_rows(theirs, 108);
}

/* A file that no log names goes with its writer; one that a log names stays. */
TAP_CASE(files_of_no_commit_go)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    dl_store_stat stat = {0};
    char key[300];
    DL_AUTO_TABLE mine = new_table("orphan", false);
    DL_AUTO_TABLE theirs = NULL;
    TAP_OK(tables_open(&t, "orphan", &theirs, &err), err);
    TAP_OK(tables_append(theirs, "q", 100, 10, &err), err);
    dl_delta_writer *writer = NULL;
    TAP_OK(tables_write(mine, "p", 200, 10, &writer, &err), err);
    dl_delta_change change = {.operation = "MERGE",
                              .data_change = true,
                              .writers = &writer,
                              .writer_count = 1,
                              .exclusive = true};
    TAP_STATUS(dl_delta_commit_change(mine, &change, &result, &err), DL_E_CONFLICT);
    (void)snprintf(key, sizeof key, "orphan/%.*s", DL_STR_ARG(dl_delta_writer_path(writer)));
    TAP_OK(dl_store_stat_key(t.store, dl_str_of(key), &stat, &err), err);
    dl_delta_writer_destroy(writer);
    TAP_STATUS(dl_store_stat_key(t.store, dl_str_of(key), &stat, &err), DL_E_NOT_FOUND);
    expect_rows(mine, 110);
}

TAP_CASE(a_commit_that_was_replaced)
{
    dl_error err = {0};
    DL_AUTO_TABLE table = new_table("replaced", false);
    static const char text[] = "{\"commitInfo\":{\"txnId\":\"another\"}}\n";
    TAP_OK(dl_store_put(t.store, DL_STR("replaced/_delta_log/00000000000000000001.json"),
                        (dl_bytes){(const uint8_t *)text, sizeof text - 1}, &err),
           err);
    TAP_STATUS(tables_append(table, "p", 100, 10, &err), DL_E_CORRUPT);
    TAP_TRUE(err.hint[0] != '\0');
}

/* ---- features that number and time ---- */

static dl_status switch_on(dl_delta_table *table, const char *feature, const char *property,
                           dl_error *err)
{
    dl_str readers[] = {DL_STR("deletionVectors")};
    dl_str writers[] = {DL_STR("deletionVectors"), DL_STR("domainMetadata"), dl_str_of(feature)};
    dl_delta_protocol protocol = {3, 7, {readers, 1}, {writers, 3}};
    dl_delta_pair pairs[] = {{DL_STR("delta.enableDeletionVectors"), DL_STR("true")},
                             {dl_str_of(property), DL_STR("true")}};
    dl_delta_metadata metadata = *dl_delta_metadata_of(table);
    metadata.configuration = (dl_delta_pairs){pairs, 2};
    dl_delta_change change = {
        .operation = "SET TBLPROPERTIES", .protocol = &protocol, .metadata = &metadata};
    dl_delta_result result = {0};
    return dl_delta_commit_change(table, &change, &result, err);
}

TAP_CASE(rows_are_numbered)
{
    dl_error err = {0};
    dl_delta_result result = {0};
    DL_AUTO_TABLE mine = new_table("numbered", false);
    TAP_OK(switch_on(mine, "rowTracking", "delta.enableRowTracking", &err), err);
    TAP_OK(tables_append(mine, "p", 100, 10, &err), err);
    TAP_TRUE(commit_says("numbered", 3, "\"baseRowId\":0,"));
    TAP_TRUE(commit_says("numbered", 3, "{\\\"rowIdHighWaterMark\\\":9}"));
    DL_AUTO_TABLE theirs = NULL;
    TAP_OK(tables_open(&t, "numbered", &theirs, &err), err);
    TAP_OK(tables_append(theirs, "p", 110, 10, &err), err);
    TAP_OK(tables_append(mine, "p", 120, 5, &err), err); /* after theirs: numbered anew */
    TAP_TRUE(commit_says("numbered", 5, "\"baseRowId\":20,"));
    TAP_TRUE(commit_says("numbered", 5, "\"defaultRowCommitVersion\":5"));
    TAP_TRUE(commit_says("numbered", 5, "{\\\"rowIdHighWaterMark\\\":24}"));
    /* a file that only loses rows keeps its numbers */
    size_t cursor = 0;
    const dl_delta_file *file = NULL;
    while (dl_delta_next_file(mine, &cursor, &file) && file->base_row_id != 20) {
    }
    TAP_OK(kill_rows(mine, file->path, (int64_t[]){0}, 1, &result, &err), err);
    TAP_TRUE(commit_says("numbered", 6, "\"baseRowId\":20,"));
    TAP_TRUE(commit_says("numbered", 6, "\"defaultRowCommitVersion\":5"));
    TAP_TRUE(!commit_says("numbered", 6, "rowIdHighWaterMark"));
}

static int64_t fixed_now(void *context)
{
    return *(int64_t *)context;
}

TAP_CASE(time_goes_on)
{
    dl_error err = {0};
    int64_t now = 1700000000000000;
    dl_clock before = t.clock;
    t.clock = (dl_clock){fixed_now, &now};
    DL_AUTO_TABLE table = new_table("time", false);
    TAP_OK(switch_on(table, "inCommitTimestamp", "delta.enableInCommitTimestamps", &err), err);
    int64_t last = dl_delta_timestamp_ms(table);
    for (int i = 0; i < 3; i++) { /* although the clock stands still */
        TAP_OK(tables_append(table, "p", 100 + i, 1, &err), err);
        TAP_TRUE(dl_delta_timestamp_ms(table) > last);
        last = dl_delta_timestamp_ms(table);
    }
    char text[64];
    (void)snprintf(text, sizeof text, "\"inCommitTimestamp\":%lld", (long long)last);
    TAP_TRUE(commit_says("time", dl_delta_version(table), text));
    t.clock = before;
}

/* ---- new tables ---- */

#define FIELD(name, type)                                                                          \
    "{\"name\":\"" name "\",\"type\":\"" type "\",\"nullable\":true,\"metadata\":{}}"
#define SCHEMA(fields) "{\"type\":\"struct\",\"fields\":[" fields "]}"
static const struct {
    const char *name, *schema, *partition, *property;
    bool compat;
    dl_status want;
} tables_new[] = {
    /* clang-format off */
    {"one column",            SCHEMA(FIELD("a", "long")), NULL, NULL, false, DL_OK},
    {"compat",                SCHEMA(FIELD("a", "long")), NULL, NULL, true, DL_OK},
    {"timestamp_ntz",         SCHEMA(FIELD("a", "timestamp_ntz")), NULL, NULL, false, DL_OK},
    {"a property",            SCHEMA(FIELD("a", "long")), NULL, "delta.appendOnly", false, DL_OK},
    {"timestamp_ntz, compat", SCHEMA(FIELD("a", "timestamp_ntz")), NULL, NULL, true, DL_E_UNSUPPORTED},
    {"a blank in a name",     SCHEMA(FIELD("a b", "long")), NULL, NULL, false, DL_E_INVALID},
    {"a name twice",          SCHEMA(FIELD("a", "long") "," FIELD("A", "long")), NULL, NULL, false, DL_E_INVALID},
    {"nothing but partitions", SCHEMA(FIELD("a", "long")), "a", NULL, false, DL_E_INVALID},
    {"a partition elsewhere", SCHEMA(FIELD("a", "long")), "b", NULL, false, DL_E_INVALID},
    {"column mapping",        SCHEMA(FIELD("a", "long")), NULL, "delta.columnMapping.mode", false, DL_E_UNSUPPORTED},
    {"vectors, compat",       SCHEMA(FIELD("a", "long")), NULL, "delta.enableDeletionVectors", true, DL_E_INVALID},
    {"no schema",             "", NULL, NULL, false, DL_E_INVALID},
    /* clang-format on */
};

static void run_new(size_t i)
{
    dl_error err = {0};
    char root[32];
    (void)snprintf(root, sizeof root, "new-%zu", i);
    dl_str partition = dl_str_of(tables_new[i].partition);
    dl_delta_pair pair = {dl_str_of(tables_new[i].property), DL_STR("true")};
    dl_delta_create create = {
        .open = tables_open_options(&t, root),
        .schema_json = dl_str_of(tables_new[i].schema),
        .partition_columns = {&partition, partition.len > 0},
        .configuration = {&pair, pair.key.len > 0},
        .compat = tables_new[i].compat,
    };
    DL_AUTO_TABLE table = NULL;
    dl_status status = dl_delta_table_create(&create, &table, &err);
    if (tables_new[i].want == DL_E_INVALID && status == DL_E_CORRUPT) {
        status = DL_E_INVALID; /* the schema's reader says it as of a log */
    }
    TAP_EQ_INT(status, tables_new[i].want);
    TAP_EQ_INT(err.message[0] != '\0', tables_new[i].want != DL_OK);
    TAP_EQ_INT(table != NULL, tables_new[i].want == DL_OK);
    if (table != NULL) {
        DL_AUTO_TABLE second = NULL;
        const dl_delta_protocol *protocol = dl_delta_protocol_of(table);
        TAP_EQ_INT(protocol->min_reader, create.compat ? 1 : 3);
        TAP_EQ_INT(protocol->min_writer, create.compat ? 2 : 7);
        TAP_EQ_INT(dl_delta_makes_dvs(table), !create.compat);
        TAP_STATUS(dl_delta_table_create(&create, &second, &err), DL_E_EXISTS);
    }
}

int main(void)
{
    tables_init(&t, NULL);
    TAP_RUN(deletion_vectors_grow);
    TAP_RUN(dead_from_the_start);
    TAP_RUN(metrics_of_operations);
    TAP_RUN(changes_that_cannot_be);
    TAP_RUN(a_commit_has_a_limit);
    TAP_RUN(appends_follow_appends);
    TAP_RUN(an_upsert_plans_anew);
    TAP_RUN(files_of_no_commit_go);
    TAP_RUN(a_commit_that_was_replaced);
    TAP_RUN(rows_are_numbered);
    TAP_RUN(time_goes_on);
    for (size_t i = 0; i < DL_COUNT_OF(tables_new); i++) {
        TAP_ROW_BEGIN();
        run_new(i);
        TAP_ROW_END(tables_new[i].name);
    }
    tables_clear(&t);
    return tap_done();
}
