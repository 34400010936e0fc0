#include "delta/internal.h"
#include "tap.h"

#include "base/mem.h"

enum { ARENA_BYTES = 16 << 20 };

#define ADD "{\"add\":{\"path\":\"a\",\"partitionValues\":{},\"size\":1,\"dataChange\":true}}"
#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}"
#define META                                                                                       \
    "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\"},\"schemaString\":\"{}\"}}"

static const struct {
    const char *name, *text;
    dl_status want;
    const char *message; /* a part of it */
    size_t adds, removes;
} cases[] = {
    /* clang-format off */
    {"nothing",                "", DL_OK, "", 0, 0},
    {"blank lines",            "\n\r\n \t\n", DL_OK, "", 0, 0},
    {"one add",                ADD "\n", DL_OK, "", 1, 0},
    {"no newline at the end",  ADD, DL_OK, "", 1, 0},
    {"CRLF",                   ADD "\r\n" ADD "\r\n", DL_OK, "", 2, 0},
    {"two on a line",          ADD ADD, DL_OK, "", 2, 0},
    {"unknown action",         "{\"future\":{\"x\":[1,2]}}\n" ADD, DL_OK, "", 1, 0},
    {"unknown action, scalar", "{\"future\":1}", DL_OK, "", 0, 0},
    {"unknown fields",         "{\"add\":{\"path\":\"a\",\"size\":1,\"x\":{\"path\":2},\"y\":[]}}", DL_OK, "", 1, 0},
    {"null action",            "{\"add\":null,\"remove\":{\"path\":\"a\"}}", DL_OK, "", 0, 1},
    {"null fields",            "{\"add\":{\"path\":\"a\",\"size\":1,\"stats\":null,\"tags\":null,"
                               "\"deletionVector\":null,\"baseRowId\":null}}", DL_OK, "", 1, 0},
    {"cdc is passed over",     "{\"cdc\":{\"path\":\"c\",\"size\":1}}", DL_OK, "", 0, 0},
    {"spans lines",            "{\n\"add\"\n:\n{\"path\":\"a\",\n\"size\":1}\n}\n" ADD, DL_OK, "", 2, 0},
    {"a brace in a text",      "{\"add\":{\"path\":\"}\\\"{\",\"size\":1}}", DL_OK, "", 1, 0},
    {"empty object",           "{}\n" ADD, DL_OK, "", 1, 0},
    {"remove alone",           "{\"remove\":{\"path\":\"a\"}}", DL_OK, "", 0, 1},
    {"torn",                   ADD "\n{\"add\":{\"path\":\"a", DL_E_CORRUPT, "commit 7, line 2: torn", 0, 0},
    {"torn after a value",     ADD "\n" ADD "\n{\"add\":{\"path\":\"a\"}", DL_E_CORRUPT, "commit 7, line 3: torn", 0, 0},
    {"torn behind lines",      "{\n\n\"a\":1}\n{", DL_E_CORRUPT, "line 4: torn", 0, 0},
    {"no object",              ADD "\n[]", DL_E_CORRUPT, "line 2: this is no JSON object", 0, 0},
    {"words",                  "hello", DL_E_CORRUPT, "line 1", 0, 0},
    {"bad JSON",               "{\"add\":{\"path\":}}", DL_E_CORRUPT, "line 1: JSON", 0, 0},
    {"not UTF-8",              "{\"x\":\"\xff\"}", DL_E_CORRUPT, "line 1: JSON", 0, 0},
    {"closing too much",       "{}}", DL_E_CORRUPT, "line 1", 0, 0},
    {"add is no object",       "{\"add\":[]}", DL_E_CORRUPT, "add is no object", 0, 0},
    {"path is missing",        "{\"add\":{\"size\":1}}", DL_E_CORRUPT, "add.path is missing", 0, 0},
    {"path is empty",          "{\"add\":{\"path\":\"\",\"size\":1}}", DL_E_CORRUPT, "add.path is empty", 0, 0},
    {"path is null",           "{\"remove\":{\"path\":null}}", DL_E_CORRUPT, "remove.path is missing", 0, 0},
    {"path is a number",       "{\"add\":{\"path\":1,\"size\":1}}", DL_E_CORRUPT, "add.path is no text", 0, 0},
    {"size is missing",        "{\"add\":{\"path\":\"a\"}}", DL_E_CORRUPT, "add.size is missing", 0, 0},
    {"size is a text",         "{\"add\":{\"path\":\"a\",\"size\":\"1\"}}", DL_E_CORRUPT, "add.size is no integer", 0, 0},
    {"size is no integer",     "{\"add\":{\"path\":\"a\",\"size\":1.5}}", DL_E_CORRUPT, "add.size is no integer", 0, 0},
    {"size beyond 64 bits",    "{\"add\":{\"path\":\"a\",\"size\":9223372036854775808}}", DL_E_CORRUPT, "add.size", 0, 0},
    {"size is negative",       "{\"add\":{\"path\":\"a\",\"size\":-1}}", DL_E_CORRUPT, "add.size is negative", 0, 0},
    {"flag is a number",       "{\"add\":{\"path\":\"a\",\"size\":1,\"dataChange\":1}}", DL_E_CORRUPT, "add.dataChange", 0, 0},
    {"values are an array",    "{\"add\":{\"path\":\"a\",\"size\":1,\"partitionValues\":[]}}", DL_E_CORRUPT, "is no object", 0, 0},
    {"a bad escape in a path", "{\"add\":{\"path\":\"%4\",\"size\":1}}", DL_E_CORRUPT, "commit 7, line 1", 0, 0},
    {"a path not in UTF-8",    "{\"add\":{\"path\":\"%FF\",\"size\":1}}", DL_E_CORRUPT, "add.path is not UTF-8", 0, 0},
    {"version beyond 32 bits", "{\"protocol\":{\"minReaderVersion\":2147483648,\"minWriterVersion\":2}}", DL_E_CORRUPT, "beyond 32 bits", 0, 0},
    {"features are texts",     "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[1]}}", DL_E_CORRUPT, "readerFeatures", 0, 0},
    {"two protocols",          PROTOCOL "\n" PROTOCOL, DL_E_CORRUPT, "line 2: a second protocol", 0, 0},
    {"two metaData",           META "\n" META, DL_E_CORRUPT, "line 2: a second metaData", 0, 0},
    {"no parquet",             "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"orc\"},\"schemaString\":\"{}\"}}", DL_E_UNSUPPORTED, "'orc'", 0, 0},
    {"vector of a new kind",   "{\"add\":{\"path\":\"a\",\"size\":1,\"deletionVector\":{\"storageType\":\"r\","
                               "\"pathOrInlineDv\":\"x\",\"sizeInBytes\":1,\"cardinality\":1}}}", DL_E_UNSUPPORTED, "'r'", 0, 0},
    {"vector without size",    "{\"add\":{\"path\":\"a\",\"size\":1,\"deletionVector\":{\"storageType\":\"u\","
                               "\"pathOrInlineDv\":\"x\",\"cardinality\":1}}}", DL_E_CORRUPT, "sizeInBytes is missing", 0, 0},
    {"vector is a text",       "{\"add\":{\"path\":\"a\",\"size\":1,\"deletionVector\":\"u\"}}", DL_E_CORRUPT, "deletionVector is no object", 0, 0},
    {"vector of minus one",    "{\"add\":{\"path\":\"a\",\"size\":1,\"deletionVector\":{\"storageType\":\"u\","
                               "\"pathOrInlineDv\":\"x\",\"sizeInBytes\":1,\"cardinality\":-1}}}", DL_E_CORRUPT, "negative", 0, 0},
    /* clang-format on */
};

TAP_CASE(edges)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_delta_commit commit = {.add_count = 99};
        dl_error err = {0};
        TAP_STATUS(dl_delta_actions_parse(dl_str_of(cases[i].text), 7, arena, &commit, &err),
                   cases[i].want);
        TAP_EQ_INT(commit.add_count, cases[i].want == DL_OK ? cases[i].adds : 99);
        if (cases[i].want == DL_OK) {
            TAP_EQ_INT(commit.remove_count, cases[i].removes);
            TAP_EQ_INT(commit.info.version, 7);
            TAP_EQ_STR(dl_str_of(err.message), "");
        } else if (strstr(err.message, cases[i].message) == NULL) {
            TAP_FAIL("message '%s' lacks '%s'", err.message, cases[i].message);
        }
        TAP_ROW_END(cases[i].name);
    }
    tap_case_failed = 0;
}

/* Every field that there is; strings with escapes, an escaped key, values of other kinds. */
static const char everything[] =
    "{\"commitInfo\":{\"timestamp\":5,\"inCommitTimestamp\":6,\"operation\":\"MERGE\","
    "\"operationParameters\":{\"predicate\":\"[\\\"a\\\"]\",\"n\":3,\"none\":null,\"o\":{\"x\":[1]}"
    "},"
    "\"operationMetrics\":{\"k\":\"12\"},\"readVersion\":4,\"isolationLevel\":\"Serializable\","
    "\"isBlindAppend\":false,\"engineInfo\":\"e/"
    "1\",\"txnId\":\"t\",\"userMetadata\":\"{\\\"seq\\\":1}\"}}\n"
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":"
    "[\"deletionVectors\"],\"writerFeatures\":[\"appendOnly\",\"deletionVectors\"]}}\n"
    "{\"metaData\":{\"id\":\"i\",\"name\":\"n\",\"description\":null,\"format\":{\"provider\":"
    "\"PARQUET\"},\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[]}\","
    "\"partitionColumns\":[\"p\",\"q\\u00e4\"],\"configuration\":{\"a\\u002eb\":\"c\"},"
    "\"createdTime\":77}}\n"
    "{\"txn\":{\"appId\":\"app\",\"version\":9007199254740993,\"lastUpdated\":8}}\n"
    "{\"domainMetadata\":{\"domain\":\"d\",\"configuration\":\"{}\",\"removed\":true}}\n"
    "{\"remove\":{\"path\":\"old%20file\",\"deletionTimestamp\":11,\"dataChange\":false,"
    "\"extendedFileMetadata\":true,\"partitionValues\":{\"p\":\"1\"},\"size\":12,\"stats\":"
    "\"{\\\"numRecords\\\":5}\",\"deletionVector\":{\"storageType\":\"i\",\"pathOrInlineDv\":"
    "\"abcde\","
    "\"sizeInBytes\":4,\"cardinality\":2}}}\n"
    "{\"add\":{\"path\":\"p=1%252F/new%20file\",\"partitionValues\":{\"p\":\"1/\",\"q\":null},"
    "\"size\":13,\"modificationTime\":14,\"dataChange\":true,\"stats\":\"{\\\"numRecords\\\":6}\","
    "\"tags\":{\"t\":\"u\"},\"deletionVector\":{\"storageType\":\"u\",\"pathOrInlineDv\":"
    "\"ab^-aqEH.-t@S}K{vb[*k^\",\"offset\":4,\"sizeInBytes\":40,\"cardinality\":6},\"baseRowId\":0,"
    "\"defaultRowCommitVersion\":3}}\n";

static void expect_info(const dl_delta_info *info)
{
    TAP_EQ_INT(info->timestamp_ms, 6);
    TAP_TRUE(info->in_commit);
    TAP_EQ_STR(info->operation, "MERGE");
    TAP_EQ_INT(info->parameters.count, 4);
    TAP_EQ_STR(info->parameters.items[0].value, "[\"a\"]");
    TAP_EQ_STR(info->parameters.items[1].value, "3");
    TAP_TRUE(info->parameters.items[2].value.ptr == NULL);
    TAP_EQ_STR(info->parameters.items[3].value, "{\"x\":[1]}");
    TAP_EQ_STR(info->metrics.items[0].value, "12");
    TAP_EQ_INT(info->read_version, 4);
    TAP_EQ_INT(info->blind_append, 0);
    TAP_EQ_STR(info->isolation_level, "Serializable");
    TAP_EQ_STR(info->user_metadata, "{\"seq\":1}");
    TAP_EQ_STR(info->engine_info, "e/1");
    TAP_EQ_STR(info->txn_id, "t");
}

static void expect_heads(const dl_delta_commit *c)
{
    TAP_EQ_INT(c->protocol->min_reader, 3);
    TAP_EQ_INT(c->protocol->min_writer, 7);
    TAP_EQ_INT(c->protocol->reader_features.count, 1);
    TAP_EQ_STR(c->protocol->writer_features.items[1], "deletionVectors");
    TAP_EQ_STR(c->metadata->id, "i");
    TAP_EQ_STR(c->metadata->name, "n");
    TAP_TRUE(c->metadata->description.ptr == NULL);
    TAP_EQ_STR(c->metadata->schema_json, "{\"type\":\"struct\",\"fields\":[]}");
    TAP_EQ_STR(c->metadata->partition_columns.items[1], "q\xc3\xa4");
    TAP_EQ_STR(c->metadata->configuration.items[0].key, "a.b");
    TAP_EQ_INT(c->metadata->created_ms, 77);
    TAP_EQ_INT(c->app_count, 1);
    TAP_EQ_INT(c->apps[0].version, 9007199254740993);
    TAP_EQ_INT(c->apps[0].updated_ms, 8);
    TAP_EQ_INT(c->domain_count, 1);
    TAP_TRUE(c->domains[0].removed);
}

static void expect_files(const dl_delta_commit *c)
{
    const dl_delta_file *r = &c->removes[0], *a = &c->adds[0];
    TAP_EQ_INT(c->remove_count, 1);
    TAP_EQ_STR(r->path, "old file");
    TAP_EQ_INT(r->deletion_ms, 11);
    TAP_TRUE(!r->data_change);
    TAP_EQ_INT(r->size_bytes, 12);
    TAP_EQ_INT(r->row_count, 5);
    TAP_EQ_INT(r->dv.storage, 'i');
    TAP_EQ_INT(r->dv.offset, -1);
    TAP_EQ_INT(r->base_row_id, -1);
    TAP_EQ_INT(c->add_count, 1);
    TAP_EQ_STR(a->path, "p=1%2F/new file");
    TAP_EQ_STR(a->partition_values.items[0].value, "1/");
    TAP_TRUE(a->partition_values.items[1].value.ptr == NULL);
    TAP_EQ_INT(a->modified_ms, 14);
    TAP_EQ_INT(a->row_count, 6);
    TAP_EQ_STR(a->tags.items[0].value, "u");
    TAP_EQ_INT(a->dv.storage, 'u');
    TAP_EQ_INT(a->dv.offset, 4);
    TAP_EQ_INT(a->dv.size_bytes, 40);
    TAP_EQ_INT(a->dv.cardinality, 6);
    TAP_EQ_INT(a->base_row_id, 0);
    TAP_EQ_INT(a->default_row_commit_version, 3);
    TAP_EQ_INT(a->deletion_ms, -1);
}

TAP_CASE(every_field_reads_and_what_is_written_reads_the_same)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    DL_AUTO_BUF text = {0};
    dl_error err = {0};
    dl_delta_commit commit = {0}, again = {0};
    dl_buf_init(&text, ARENA_BYTES);
    TAP_OK(dl_delta_actions_parse(dl_str_of(everything), 5, arena, &commit, &err), err);
    expect_info(&commit.info);
    expect_heads(&commit);
    expect_files(&commit);
    TAP_OK(dl_delta_actions_write(&commit, &text, &err), err);
    TAP_OK(dl_delta_actions_parse(dl_buf_str(&text), 5, arena, &again, &err), err);
    expect_info(&again.info);
    expect_heads(&again);
    expect_files(&again);
    TAP_TRUE(dl_str_starts(dl_buf_str(&text), DL_STR("{\"commitInfo\":{\"inCommitTimestamp\":6,")));
    TAP_TRUE(dl_str_ends(dl_buf_str(&text), DL_STR("}\n")));
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++) {
        lines += text.ptr[i] == '\n' ? 1 : 0;
    }
    TAP_EQ_INT(lines, 7);
}

/* The lists belong to 3 and 7 alone: other readers refuse them below. */
TAP_CASE(old_protocols_have_no_feature_lists)
{
    static const dl_str names[] = {{"deletionVectors", 15}};
    static const dl_delta_protocol protocols[] = {{1, 2, {names, 1}, {names, 1}},
                                                  {1, 7, {names, 1}, {names, 1}},
                                                  {3, 7, {NULL, 0}, {NULL, 0}}};
    static const char *const want[] = {
        "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n",
        "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,\"writerFeatures\":"
        "[\"deletionVectors\"]}}\n",
        "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[],"
        "\"writerFeatures\":[]}}\n"};
    for (size_t i = 0; i < DL_COUNT_OF(protocols); i++) {
        DL_AUTO_BUF text = {0};
        dl_error err = {0};
        dl_delta_commit commit = {.protocol = &protocols[i],
                                  .info = {.timestamp_ms = -1, .read_version = -1}};
        dl_buf_init(&text, ARENA_BYTES);
        TAP_OK(dl_delta_actions_write(&commit, &text, &err), err);
        if (!dl_str_ends(dl_buf_str(&text), dl_str_of(want[i]))) {
            TAP_FAIL("%.*s", DL_STR_ARG(dl_buf_str(&text)));
        }
    }
}

TAP_CASE(without_memory_it_says_so)
{
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    for (; n < 1000 && status != DL_OK; n++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        DL_AUTO_BUF text = {0};
        dl_delta_commit commit = {0};
        dl_error err = {0};
        dl_buf_init(&text, ARENA_BYTES);
        dl_mem_fail_after(n);
        status = dl_delta_actions_parse(dl_str_of(everything), 5, arena, &commit, &err);
        if (status == DL_OK) {
            status = dl_delta_actions_write(&commit, &text, &err);
        }
        dl_mem_fail_after(-1);
        TAP_TRUE((status == DL_OK) == (err.message[0] == '\0'));
        TAP_TRUE(status == DL_OK || status == DL_E_NOMEM || status == DL_E_LIMIT);
    }
    TAP_TRUE(status == DL_OK && n > 3);
}

int main(void)
{
    edges();
    TAP_RUN(every_field_reads_and_what_is_written_reads_the_same);
    TAP_RUN(old_protocols_have_no_feature_lists);
    TAP_RUN(without_memory_it_says_so);
    return tap_done();
}
