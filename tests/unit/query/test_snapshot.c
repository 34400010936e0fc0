#include "snapshot_lake.h"

#include "base/mem.h"
#include "tap.h"

#include <stdlib.h>

static lake l;

/* `expr` names `err`. */
#define OK(expr)                                                                                   \
    do {                                                                                           \
        dl_error failure = {0}, *err = &failure;                                                   \
        if ((expr) != DL_OK) {                                                                     \
            TAP_FAIL("%s: %s", #expr, failure.message);                                            \
        }                                                                                          \
    } while (0)
#define ASK(sql, want) TAP_EQ_STR(dl_str_of(lake_ask(&l, sql)), want)

/* Kills rows of the table's only file. */
static dl_status kill_rows(dl_delta_table *table, const int64_t *rows, size_t count, dl_error *err)
{
    DL_AUTO(dl_delta_bitmap) bitmap = tables_rows(rows, count);
    dl_delta_kill kill = {.path = tables_only_file(table)->path, .rows = bitmap};
    dl_delta_change change = {
        .operation = "DELETE", .data_change = true, .kills = &kill, .kill_count = 1};
    dl_delta_result result = {0};
    return dl_delta_commit_change(table, &change, &result, err);
}

TAP_CASE(rows_of_plain_files_and_of_files_with_deletion_vectors)
{
    DL_AUTO_TABLE table = NULL;
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[0], false, &table, err));
    OK(tables_append(table, "p", 0, 5000, err));
    OK(kill_rows(table, (const int64_t[]){0, 7, 4999}, 3, err));
    OK(lake_bind_newest(&l, 0, err));
    ASK("SELECT count(*) FROM v", "4997");
    OK(tables_append(table, NULL, 5000, 100, err));
    OK(lake_bind_newest(&l, 0, err));
    ASK("SELECT count(*) FROM v", "5097");
    ASK("SELECT id FROM v WHERE id IN (0, 6, 7, 8, 4999, 5099) ORDER BY id", "6;8;5099");
    ASK("SELECT partitionName || ':' || count(*) FROM v GROUP BY partitionName ORDER BY 1",
        "p:4997;NULL");
    TAP_EQ_INT(l.reads[0].file_count, 2);
    TAP_EQ_INT(l.reads[0].version, 3);
    TAP_EQ_INT(l.reads[0].row_count, 5097);
    lake_clear(&l);
}

/* ---- tables that agree ---- */

static dl_delta_table *three[3];

static void open_three(void)
{
    lake_init(&l);
    for (size_t i = 0; i < 3; i++) {
        OK(tables_create(&l.tables, lake_roots[i], false, &three[i], err));
    }
}

static void close_three(void)
{
    for (size_t i = 0; i < 3; i++) {
        dl_delta_table_close(three[i]);
        three[i] = NULL;
    }
    lake_clear(&l);
}

enum { PART = -1, FOREIGN = -2, MOVES = -3 };

/* A commit of one row, as a sync makes it: with its mark `sequence`, or as a part of a batch, as
 * another writer, as an OPTIMIZE. */
static dl_status commit(size_t i, int64_t sequence, int64_t id, dl_error *err)
{
    char app_id[80];
    DL_AUTO(dl_delta_writer) writer = NULL;
    (void)snprintf(app_id, sizeof app_id, "dicomlake:host:81/v2:%s", lake_roots[i]);
    dl_delta_app apps[] = {{dl_str_of(app_id), sequence, -1}};
    DL_TRY(tables_write(three[i], "p", id, 1, &writer, err));
    dl_delta_change change = {.operation = "MERGE",
                              .data_change = sequence != MOVES,
                              .writers = &writer,
                              .writer_count = 1,
                              .apps = apps,
                              .app_count = sequence >= 0 ? 1 : 0};
    if (sequence != FOREIGN) {
        change.user_metadata = DL_STR("{\"seq\":1,\"source\":\"host\"}");
    }
    dl_delta_result result = {0};
    return dl_delta_commit_change(three[i], &change, &result, err);
}

/* Versions that a statement over the three tables reads. */
static void expect(int64_t instance, int64_t series, int64_t study, int64_t watermark)
{
    dl_snapshot_want wants[] = {lake_want(&l, 0, "x"), lake_want(&l, 1, "y"),
                                lake_want(&l, 2, "z")};
    OK(lake_bind(&l, wants, 3, err));
    TAP_EQ_INT(l.reads[0].version, instance);
    TAP_EQ_INT(l.reads[1].version, series);
    TAP_EQ_INT(l.reads[2].version, study);
    for (size_t i = 0; i < 3; i++) {
        TAP_EQ_INT(l.reads[i].watermark, watermark);
    }
}

TAP_CASE(tables_that_travel_or_are_of_no_set_stay_apart)
{
    open_three();
    for (size_t i = 0; i < 3; i++) {
        OK(commit(i, 7, 1, err));
    }
    OK(commit(0, 9, 2, err));
    dl_snapshot_want wants[] = {lake_want(&l, 0, "x"), lake_want(&l, 1, "y")};
    wants[1].travels = true;
    wants[1].version = 0;
    OK(lake_bind(&l, wants, 2, err));
    TAP_EQ_INT(l.reads[0].version, 2); /* alone: the newest */
    TAP_EQ_INT(l.reads[0].watermark, 9);
    TAP_EQ_INT(l.reads[1].version, 0);
    TAP_EQ_INT(l.reads[1].watermark, 0);
    wants[1] = lake_want(&l, 1, "y");
    l.names[1].set = DL_STR("another");
    OK(lake_bind(&l, wants, 2, err));
    TAP_EQ_INT(l.reads[0].version, 2);
    TAP_EQ_INT(l.reads[1].version, 1);
    close_three();
}

TAP_CASE(what_others_commit_does_not_step_back)
{
    open_three();
    for (size_t i = 0; i < 3; i++) {
        OK(commit(i, 7, 1, err));
        OK(commit(i, MOVES, 2, err));   /* a table put in order */
        OK(commit(i, FOREIGN, 3, err)); /* another writer */
    }
    expect(3, 3, 3, 7);
    OK(commit(0, 8, 4, err));
    OK(commit(0, FOREIGN, 5, err));
    expect(3, 3, 3, 7);
    OK(commit(1, 8, 4, err));
    OK(commit(2, 8, 4, err));
    expect(5, 4, 4, 8);
    close_three();
}

TAP_CASE(tables_of_a_set_are_read_at_one_watermark)
{
    open_three();
    expect(0, 0, 0, 0);
    OK(commit(0, 7, 1, err)); /* the first batch: nothing in series and study yet */
    expect(0, 0, 0, 0);
    OK(commit(1, 7, 1, err));
    expect(0, 0, 0, 0);
    OK(commit(2, 7, 1, err));
    expect(1, 1, 1, 7);
    OK(commit(0, 9, 2, err));
    expect(1, 1, 1, 7);
    OK(commit(1, PART, 2, err)); /* a part of the batch, under the old mark */
    expect(1, 1, 1, 7);
    OK(commit(0, 12, 3, err));
    OK(commit(0, 15, 4, err));
    expect(1, 1, 1, 7);
    OK(commit(1, 9, 3, err));
    expect(1, 1, 1, 7);
    OK(commit(2, 9, 3, err));
    expect(2, 3, 2, 9);
    OK(commit(1, 12, 4, err));
    OK(commit(2, 15, 4, err));
    expect(3, 4, 2, 12); /* of 12 there was nothing in study */
    close_three();
}
/* ---- columns ---- */

#define COLUMN(name, type)                                                                         \
    "{\"name\":\"" name "\",\"type\":" type ",\"nullable\":true,\"metadata\":{}}"
#define STRUCT(columns) "{\"type\":\"struct\",\"fields\":[" columns "]}"
#define ARRAY(type) "{\"type\":\"array\",\"elementType\":" type ",\"containsNull\":true}"
#define MAP(value)                                                                                 \
    "{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":" value ",\"valueContainsNull\":true}"

static const struct {
    const char *name, *json, *type, *attribute, *tag;
} columns[] = {
    /* clang-format off */
    {"partitionName",       "\"string\"",        "VARCHAR",                  "", ""},
    {"sopInstanceUid",      "\"string\"",        "VARCHAR",                  "SOPInstanceUID", "00080018"},
    {"studydate_formatted", "\"date\"",          "DATE",                     "StudyDate", "00080020"},
    {"_formatted",          "\"date\"",          "DATE",                     "", ""},
    {"seriesCount",         "\"long\"",          "BIGINT",                   "", ""},
    {"patientname",         "\"string\"",        "VARCHAR",                  "PatientName", "00100010"},
    {"at",                  "\"timestamp\"",     "TIMESTAMP WITH TIME ZONE", "", ""},
    {"on",                  "\"timestamp_ntz\"", "TIMESTAMP",                "", ""},
    {"b",                   "\"byte\"",          "TINYINT",                  "", ""},
    {"h",                   "\"short\"",         "SMALLINT",                 "", ""},
    {"i",                   "\"integer\"",       "INTEGER",                  "", ""},
    {"f",                   "\"float\"",         "FLOAT",                    "", ""},
    {"g",                   "\"double\"",        "DOUBLE",                   "", ""},
    {"y",                   "\"boolean\"",       "BOOLEAN",                  "", ""},
    {"x",                   "\"binary\"",        "BLOB",                     "", ""},
    {"m",                   "\"decimal(38,3)\"", "DECIMAL(38,3)",            "", ""},
    {"file_index",          "\"long\"",          "BIGINT",                   "", ""},
    {"with \\\"quotes'",    "\"string\"",        "VARCHAR",                  "", ""},
    {"nested", STRUCT(COLUMN("a \\\"b\\\"", "\"long\"") "," COLUMN("l", ARRAY(ARRAY("\"string\"")))),
     "STRUCT(\"a \"\"b\"\"\" BIGINT, \"l\" VARCHAR[][])", "", ""},
    {"metadata", MAP(STRUCT(COLUMN("vr", "\"string\"") "," COLUMN("Value", ARRAY("\"string\"")))),
     "MAP(VARCHAR, STRUCT(\"vr\" VARCHAR, \"Value\" VARCHAR[]))", "", ""},
    /* clang-format on */
};

static dl_status make_columns(dl_error *err)
{
    DL_AUTO_BUF schema = {0};
    dl_buf_init(&schema, 65536);
    DL_TRY(dl_buf_append_str(&schema, DL_STR("{\"type\":\"struct\",\"fields\":["), err));
    for (size_t i = 0; i < DL_COUNT_OF(columns); i++) {
        DL_TRY(dl_buf_printf(&schema, err, "%s" COLUMN("%s", "%s"), i > 0 ? "," : "",
                             columns[i].name, columns[i].json));
    }
    DL_TRY(dl_buf_append_str(&schema, DL_STR("]}"), err));
    return lake_create(&l, 0, dl_buf_str(&schema), "\"partitionName\"", "", err);
}

TAP_CASE(columns_have_types_and_attributes)
{
    dl_query_field *fields = NULL;
    size_t count = 0;
    lake_init(&l);
    OK(make_columns(err));
    OK(dl_snapshots_fields(l.snapshots, &l.names[0], l.arena, &fields, &count, err));
    TAP_EQ_INT(count, DL_COUNT_OF(columns));
    for (size_t i = 0; i < count && i < DL_COUNT_OF(columns); i++) {
        if (strchr(columns[i].name, '\\') == NULL) {
            TAP_EQ_STR(fields[i].name, columns[i].name);
        }
        TAP_EQ_STR(fields[i].type, columns[i].type);
        TAP_EQ_STR(fields[i].attribute, columns[i].attribute);
        TAP_EQ_STR(fields[i].tag, columns[i].tag);
        TAP_EQ_INT(fields[i].partition, i == 0);
        TAP_TRUE(fields[i].nullable);
    }
    lake_clear(&l);
}

TAP_CASE(a_table_without_a_file_has_its_columns)
{
    lake_init(&l);
    OK(make_columns(err));
    OK(lake_bind_newest(&l, 0, err));
    TAP_EQ_INT(l.reads[0].file_count, 0);
    ASK("SELECT count(*) FROM v", "0");
    ASK("SELECT count(*) FROM (DESCRIBE v)", "20");
    for (size_t i = 0; i < DL_COUNT_OF(columns); i++) {
        char sql[256];
        if (columns[i].json[0] == '"') {
            (void)snprintf(sql, sizeof sql,
                           "SELECT column_type FROM (DESCRIBE v) LIMIT 1 OFFSET %zu", i);
            TAP_EQ_STR(dl_str_of(lake_ask(&l, sql)), columns[i].type);
        }
    }
    lake_clear(&l);
}

/* ---- what the engine gets to see ---- */

#define HAS(words) TAP_TRUE(strstr(l.text, words) != NULL)
#define HAS_NOT(words) TAP_TRUE(strstr(l.text, words) == NULL)

TAP_CASE(filters_and_columns_go_down_into_the_files)
{
    DL_AUTO_TABLE table = NULL;
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[0], false, &table, err));
    OK(tables_append(table, "p", 0, 100, err));
    OK(lake_bind_newest(&l, 0, err));
    (void)lake_explain(&l, "SELECT name FROM v WHERE id = 42 AND partitionName = 'p'");
    HAS("READ_PARQUET");
    HAS("c1=42"); /* inside of the scan: what it filters by it skips row groups by */
    HAS("c2");
    HAS_NOT("c3");
    HAS_NOT("FILTER"); /* and nothing is left to be filtered behind it */
    (void)lake_explain(&l, "SELECT count(*) FROM v");
    HAS_NOT("dl_live"); /* counted from footers */
    HAS_NOT("c1");
    OK(kill_rows(table, (const int64_t[]){3}, 1, err));
    OK(lake_bind_newest(&l, 0, err));
    (void)lake_explain(&l, "SELECT name FROM v WHERE id = 42");
    HAS("c1=42");
    HAS("dl_live");
    HAS_NOT("UNION");
    OK(tables_append(table, "p", 200, 100, err));
    OK(lake_bind_newest(&l, 0, err));
    (void)lake_explain(&l, "SELECT name FROM v WHERE id = 42");
    HAS("UNION"); /* the file without deletion vectors for itself */
    lake_clear(&l);
}

TAP_CASE(views_of_an_earlier_statement_are_gone)
{
    DL_AUTO_TABLE table = NULL;
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[0], false, &table, err));
    OK(tables_append(table, "p", 0, 10, err));
    dl_snapshot_want want = lake_want(&l, 0, "with \"quotes\"");
    OK(lake_bind(&l, &want, 1, err));
    ASK("SELECT count(*) FROM \"with \"\"quotes\"\"\"", "10");
    OK(lake_bind_newest(&l, 0, err));
    (void)lake_ask(&l, "SELECT count(*) FROM \"with \"\"quotes\"\"\"");
    HAS("does not exist");
    ASK("SELECT dl_live(5, 0::UBIGINT, 0::BIGINT)",
        "{\"exception_type\":\"Invalid Input\",\"exception_message\":\"dicomlake: this view is "
        "that "
        "of an earlier statement\"}");
    ASK("SELECT dl_live(0, 9::UBIGINT, 0::BIGINT)",
        "{\"exception_type\":\"Invalid Input\",\"exception_message\":\"dicomlake: a file beyond "
        "those "
        "of the table's version\"}");
    lake_clear(&l);
}

/* ---- tables that change ---- */

TAP_CASE(a_session_follows_its_tables)
{
    DL_AUTO_TABLE table = NULL;
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[0], false, &table, err));
    for (int64_t i = 1; i <= 3; i++) {
        OK(tables_append(table, "p", i * 10, 10, err));
        OK(lake_bind_newest(&l, 0, err));
        TAP_EQ_INT(l.reads[0].version, i);
        TAP_EQ_INT(l.reads[0].row_count, i * 10);
    }
    dl_snapshot_want want = lake_want(&l, 0, "v");
    want.travels = true;
    want.version = 1;
    OK(lake_bind(&l, &want, 1, err));
    TAP_EQ_INT(l.reads[0].row_count, 10);
    ASK("SELECT count(*) FROM v", "10");
    OK(lake_bind_newest(&l, 0, err));
    TAP_EQ_INT(l.reads[0].version, 3);
    lake_clear(&l);
}

static void remove_table(size_t i)
{
    char command[400];
    (void)snprintf(command, sizeof command, "rm -r '%s'", l.folders[i]);
    DL_ASSERT(system(command) == 0); /* NOLINT: a folder of our own */
}

TAP_CASE(a_table_that_is_gone_is_said_so)
{
    DL_AUTO_TABLE table = NULL;
    dl_error said = {0};
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[0], false, &table, err));
    OK(tables_append(table, "p", 0, 10, err));
    OK(lake_bind_newest(&l, 0, err));
    remove_table(0);
    TAP_STATUS(lake_bind_newest(&l, 0, &said), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(said.message, "there is no folder") != NULL);
    TAP_TRUE(strstr(said.message, "table 'a'") != NULL);
    lake_clear(&l);
}

TAP_CASE(a_table_made_anew_is_another_one)
{
    DL_AUTO_TABLE table = NULL;
    DL_AUTO_TABLE second = NULL;
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[0], false, &second, err));
    OK(tables_append(second, "p", 0, 10, err));
    OK(lake_bind_newest(&l, 0, err));
    char moved[400];
    (void)snprintf(moved, sizeof moved, "%s.old", l.folders[0]);
    DL_ASSERT(rename(l.folders[0], moved) == 0);
    dl_delta_table_close(table);
    table = NULL;
    OK(tables_create(&l.tables, lake_roots[0], true, &table, err));
    OK(tables_append(table, "q", 0, 3, err));
    OK(lake_bind_newest(&l, 0, err)); /* the same version of another table */
    ASK("SELECT count(*) || min(partitionName) FROM v", "3q");
    lake_clear(&l);
}

TAP_CASE(what_cannot_be_read_is_named)
{
    DL_AUTO_TABLE table = NULL;
    dl_error said = {0};
    lake_init(&l);
    OK(tables_create(&l.tables, lake_roots[1], false, &table, err));
    dl_query_read before = {.version = 77};
    l.reads[0] = before;
    dl_snapshot_want wants[] = {lake_want(&l, 1, "x"), lake_want(&l, 0, "y")};
    TAP_STATUS(lake_bind(&l, wants, 2, &said), DL_E_NOT_FOUND);
    TAP_EQ_INT(l.failed, 1);
    TAP_EQ_INT(l.reads[0].version, 77);
    wants[1] = lake_want(&l, 1, "y");
    wants[1].travels = true;
    wants[1].version = 5;
    said = (dl_error){0};
    TAP_STATUS(lake_bind(&l, wants, 2, &said), DL_E_NOT_FOUND);
    TAP_EQ_INT(l.failed, 1);
    TAP_TRUE(strstr(said.message, "version 5") != NULL &&
             strstr(said.message, "table 'b'") != NULL);
    TAP_TRUE(strstr(said.hint, "newest version is 0") != NULL);
    wants[1].version = -1;
    wants[1].timestamp_us = 1000;
    said = (dl_error){0};
    TAP_STATUS(lake_bind(&l, wants, 2, &said), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(said.message, "after that time") != NULL);
    l.names[1].broken = DL_STR("the connection is gone");
    said = (dl_error){0};
    TAP_STATUS(lake_bind(&l, wants, 1, &said), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(said.message, "the connection is gone") != NULL);
    TAP_EQ_INT(l.failed, 0);
    lake_clear(&l);
}

TAP_CASE(no_memory_is_an_answer)
{
    dl_error said = {0};
    int64_t failures = 0;
    open_three();
    for (size_t i = 0; i < 3; i++) {
        OK(commit(i, 7, 1, err));
    }
    OK(commit(0, 8, 2, err));
    dl_snapshot_want wants[] = {lake_want(&l, 0, "x"), lake_want(&l, 1, "y"),
                                lake_want(&l, 2, "z")};
    for (int64_t n = 0;; n++) {
        lake_session(&l);
        said = (dl_error){0};
        dl_mem_fail_after(n);
        dl_status status = lake_bind(&l, wants, 3, &said);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            break;
        }
        failures++;
        if (said.message[0] == '\0' || n > 5000) {
            TAP_FAIL("after %lld allocations: %s", (long long)n, dl_status_name(status));
            break;
        }
    }
    TAP_TRUE(failures > 20);
    TAP_EQ_INT(l.reads[0].version, 1);
    ASK("SELECT count(*) FROM x", "1");
    close_three();
}

int main(void)
{
    TAP_RUN(rows_of_plain_files_and_of_files_with_deletion_vectors);
    TAP_RUN(tables_of_a_set_are_read_at_one_watermark);
    TAP_RUN(tables_that_travel_or_are_of_no_set_stay_apart);
    TAP_RUN(what_others_commit_does_not_step_back);
    TAP_RUN(columns_have_types_and_attributes);
    TAP_RUN(a_table_without_a_file_has_its_columns);
    TAP_RUN(filters_and_columns_go_down_into_the_files);
    TAP_RUN(views_of_an_earlier_statement_are_gone);
    TAP_RUN(a_session_follows_its_tables);
    TAP_RUN(a_table_that_is_gone_is_said_so);
    TAP_RUN(a_table_made_anew_is_another_one);
    TAP_RUN(what_cannot_be_read_is_named);
    TAP_RUN(no_memory_is_an_answer);
    return tap_done();
}
