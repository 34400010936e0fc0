#include "delta/internal.h"
#include "tap.h"

typedef struct names {
    dl_str items[4];
    size_t count;
} names;

/* "a,b" */
static names names_of(const char *text)
{
    names n = {0};
    dl_str rest = dl_str_of(text);
    while (rest.len > 0 && n.count < DL_COUNT_OF(n.items) &&
           dl_str_next(&rest, ',', &n.items[n.count])) {
        n.count++;
    }
    return n;
}

/* What a change does. */
enum { APPEND, TAKE, MOVE };

static const struct {
    const char *name;
    int min_reader, min_writer;
    const char *readers, *writers;
    const char *property, *value;
    const char *schema; /* a part of the schema's text */
    int change;
    const char *no_read, *no_write; /* parts of the messages; NULL: it does */
} cases[] = {
    /* clang-format off */
    {"plain",                1, 2, "", "", NULL, NULL, "", TAKE, NULL, NULL},
    {"oldest",               1, 1, "", "", NULL, NULL, "", TAKE, NULL, NULL},
    {"reader 0",             0, 2, "", "", NULL, NULL, "", TAKE, "version 0", "version 0"},
    {"reader 4",             4, 7, "", "", NULL, NULL, "", TAKE, "version 4", "version 4"},
    {"writer 8",             1, 8, "", "", NULL, NULL, "", TAKE, NULL, "version 8"},
    {"ours",                 3, 7, "deletionVectors", "appendOnly,invariants,deletionVectors", NULL, NULL, "", TAKE, NULL, NULL},
    {"unknown reader",       3, 7, "deletionVectors,magic", "deletionVectors,magic", NULL, NULL, "", TAKE, "'magic'", "'magic'"},
    {"unknown writer",       1, 7, "", "magic", NULL, NULL, "", APPEND, NULL, "'magic'"},
    {"lists below 3 and 7",  1, 2, "magic", "magic", NULL, NULL, "", TAKE, NULL, NULL},
    {"append only, append",  1, 2, "", "", "delta.appendOnly", "true", "", APPEND, NULL, NULL},
    {"append only, delete",  1, 2, "", "", "delta.appendOnly", "true", "", TAKE, NULL, "appendOnly"},
    {"append only, compact", 1, 2, "", "", "delta.appendOnly", "true", "", MOVE, NULL, NULL},
    {"append only, off",     1, 2, "", "", "delta.appendOnly", "false", "", TAKE, NULL, NULL},
    {"append only, listed",  1, 7, "", "appendOnly", "delta.appendOnly", "TRUE", "", TAKE, NULL, "appendOnly"},
    {"append only, unlisted", 1, 7, "", "", "delta.appendOnly", "true", "", TAKE, NULL, NULL},
    {"invariants",           1, 2, "", "", NULL, NULL, "{\"delta.invariants\":1}", APPEND, NULL, "'invariants'"},
    {"constraints",          1, 3, "", "", "delta.constraints.c", "x > 1", "", APPEND, NULL, "'checkConstraints'"},
    {"constraints below 3",  1, 2, "", "", "delta.constraints.c", "x > 1", "", APPEND, NULL, NULL},
    {"change feed, append",  1, 4, "", "", "delta.enableChangeDataFeed", "true", "", APPEND, NULL, NULL},
    {"change feed, delete",  1, 4, "", "", "delta.enableChangeDataFeed", "true", "", TAKE, NULL, "'changeDataFeed'"},
    {"change feed, off",     1, 4, "", "", NULL, NULL, "", TAKE, NULL, NULL},
    {"generated",            1, 4, "", "", NULL, NULL, "{\"delta.generationExpression\":\"x\"}", APPEND, NULL, "'generatedColumns'"},
    {"mapping by name",      2, 5, "", "", "delta.columnMapping.mode", "name", "", TAKE, NULL, NULL},
    {"mapping by id",        2, 5, "", "", "delta.columnMapping.mode", "id", "", TAKE, NULL, "'columnMapping'"},
    {"identity",             1, 6, "", "", NULL, NULL, "{\"delta.identity.start\":1}", APPEND, NULL, "'identityColumns'"},
    {"variants",             3, 7, "variantType", "variantType", NULL, NULL, "", APPEND, NULL, "'variantType'"},
    {"shredded variants",    3, 7, "variantShredding", "variantShredding", NULL, NULL, "", APPEND, "'variantShredding'", "'variantShredding'"},
    {"catalog",              3, 7, "catalogManaged", "catalogManaged", NULL, NULL, "", APPEND, "'catalogManaged'", "'catalogManaged'"},
    {"iceberg",              1, 7, "", "icebergCompatV2", NULL, NULL, "", APPEND, NULL, "'icebergCompatV2'"},
    {"widening, v2, ntz",    3, 7, "typeWidening,v2Checkpoint,timestampNtz", "typeWidening,v2Checkpoint,timestampNtz", NULL, NULL, "", TAKE, NULL, NULL},
    /* clang-format on */
};

static bool refused_with(dl_status status, const dl_error *err, const char *words)
{
    return words == NULL ? status == DL_OK
                         : status == DL_E_UNSUPPORTED && strstr(err->message, words) != NULL;
}

TAP_CASE(tables)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        names readers = names_of(cases[i].readers), writers = names_of(cases[i].writers);
        dl_delta_protocol protocol = {cases[i].min_reader,
                                      cases[i].min_writer,
                                      {readers.items, readers.count},
                                      {writers.items, writers.count}};
        dl_delta_pair pair = {dl_str_of(cases[i].property), dl_str_of(cases[i].value)};
        dl_delta_metadata metadata = {.schema_json = dl_str_of(cases[i].schema),
                                      .configuration = {&pair, cases[i].property != NULL ? 1 : 0}};
        dl_str path = DL_STR("a");
        dl_delta_change change = {.data_change = cases[i].change != MOVE,
                                  .removes = &path,
                                  .remove_count = cases[i].change == APPEND ? 0 : 1};
        dl_error err = {0};
        dl_status status = dl_delta_check_readable(&protocol, &metadata, &err);
        if (!refused_with(status, &err, cases[i].no_read)) {
            TAP_FAIL("reading: %s '%s'", dl_status_name(status), err.message);
        }
        dl_error_clear(&err);
        status = dl_delta_check_writable(&protocol, &metadata, &change, &err);
        if (!refused_with(status, &err, cases[i].no_write)) {
            TAP_FAIL("writing: %s '%s'", dl_status_name(status), err.message);
        }
        TAP_ROW_END(cases[i].name);
    }
    tap_case_failed = 0;
}

TAP_CASE(features_of_a_protocol)
{
    static const dl_str both[] = {{"deletionVectors", 15}, {"magic", 5}};
    dl_delta_protocol old = {1, 2, {both, 2}, {both, 2}}, mapped = {2, 5, {0}, {0}};
    dl_delta_protocol listed = {3, 7, {both, 1}, {both, 2}};
    TAP_TRUE(!dl_delta_has_feature(&old, "deletionVectors"));
    TAP_TRUE(dl_delta_has_feature(&old, "appendOnly"));
    TAP_TRUE(!dl_delta_has_feature(&old, "changeDataFeed"));
    TAP_TRUE(dl_delta_has_feature(&mapped, "columnMapping"));
    TAP_TRUE(dl_delta_has_feature(&mapped, "changeDataFeed"));
    TAP_TRUE(!dl_delta_has_feature(&mapped, "identityColumns"));
    TAP_TRUE(dl_delta_has_feature(&listed, "deletionVectors"));
    TAP_TRUE(dl_delta_has_feature(&listed, "magic"));
    TAP_TRUE(!dl_delta_has_feature(&listed, "appendOnly"));
}

TAP_CASE(intervals)
{
    static const struct {
        const char *text;
        int64_t want; /* -1: not understood */
    } rows[] = {
        /* clang-format off */
        {"interval 30 days", 30 * (int64_t)86400000}, {"interval 1 week", 7 * (int64_t)86400000},
        {"INTERVAL 1 WEEKS", 7 * (int64_t)86400000}, {"interval 720 hours 5 minutes", 2592300000},
        {"30 days", 30 * (int64_t)86400000}, {"  interval   2  seconds ", 2000},
        {"interval 1500 microseconds", 1}, {"interval 5 milliseconds", 5}, {"interval 0 hours", 0},
        {"", -1}, {"interval", -1}, {"interval 5", -1}, {"interval days", -1}, {"interval 1 month", -1},
        {"interval -1 days", -1}, {"interval 1.5 days", -1}, {"interval 1 s", -1},
        {"interval 9223372036854775807 weeks", -1}, {"interval 18446744073709551615 days", -1},
        {"interval 106751991 days 106751991 days", 2 * (106751991 * (int64_t)86400000)},
        /* clang-format on */
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        int64_t ms = -1;
        bool good = dl_delta_interval_ms(dl_str_of(rows[i].text), &ms);
        if (good != (rows[i].want >= 0) || ms != rows[i].want) {
            TAP_FAIL("'%s' is %lld, not %lld", rows[i].text, (long long)ms,
                     (long long)rows[i].want);
        }
    }
}

int main(void)
{
    tables();
    TAP_RUN(features_of_a_protocol);
    TAP_RUN(intervals);
    return tap_done();
}
