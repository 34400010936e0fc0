/* What other readers would refuse or hide of a table. */
#include "tables.h"
#include "tap.h"

#include "delta/maintain.h"

typedef struct findings {
    int refused, hidden;
    char last[200];
} findings;

static void note(void *context, dl_delta_verdict verdict, const char *reason)
{
    findings *f = context;
    f->refused += verdict == DL_DELTA_REFUSES;
    f->hidden += verdict == DL_DELTA_HIDES;
    TAP_TRUE(verdict != DL_DELTA_READS && reason != NULL && reason[0] != '\0');
    (void)snprintf(f->last, sizeof f->last, "%s", reason);
}

#define FIELD(name, type)                                                                          \
    "{\"name\":\"" name "\",\"type\":" type ",\"nullable\":true,\"metadata\":{}}"
#define SCHEMA(fields) "{\"type\":\"struct\",\"fields\":[" fields "]}"
#define PROTOCOL(features)                                                                         \
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[" features   \
    "],\"writerFeatures\":[" features "]}}\n"
#define OLD_PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"

static const char plain[] = FIELD("p", "\"string\"") "," FIELD("a", "\"long\"");
#define MAPPED(name, number)                                                                       \
    "{\"name\":\"" name "\",\"type\":\"string\",\"nullable\":true,\"metadata\":{"                  \
    "\"delta.columnMapping.id\":" number ",\"delta.columnMapping.physicalName\":\"" name "\"}}"
static const char mapped[] = MAPPED("p", "1") "," MAPPED("a", "2");
static const char nested[] =
    FIELD("p", "\"string\"") "," FIELD("a", "{\"type\":\"array\",\"elementType\":\"string\","
                                            "\"containsNull\":true}");
static const char ntz[] = FIELD("p", "\"string\"") "," FIELD("a", "\"timestamp_ntz\"");
static const char void_column[] = FIELD("p", "\"string\"") "," FIELD("a", "\"void\"");

/* clang-format off */
static const struct {
    const char *name, *reader, *protocol, *fields, *property;
    bool partitioned;
    int refused, hidden;
} cases[] = {
    {"plain, spark",          "spark",      OLD_PROTOCOL, plain, NULL, true, 0, 0},
    {"plain, fabric",         "fabric-sql", OLD_PROTOCOL, plain, NULL, true, 0, 0},
    {"plain, delta-rs",       "delta-rs",   OLD_PROTOCOL, plain, NULL, true, 0, 0},
    {"plain, duckdb",         "duckdb",     OLD_PROTOCOL, plain, NULL, true, 0, 0},
    {"plain, trino",          "trino",      OLD_PROTOCOL, plain, NULL, true, 0, 0},
    {"plain, powerbi",        "powerbi",    OLD_PROTOCOL, plain, NULL, true, 0, 0},
    {"vectors, delta-rs",     "delta-rs",   PROTOCOL("\"deletionVectors\""), plain, NULL, true, 1, 0},
    {"vectors, duckdb",       "duckdb",     PROTOCOL("\"deletionVectors\""), plain, NULL, true, 0, 0},
    {"vectors, fabric",       "fabric-sql", PROTOCOL("\"deletionVectors\""), plain, NULL, true, 0, 0},
    {"nested, fabric",        "fabric-sql", OLD_PROTOCOL, nested, NULL, true, 0, 1},
    {"nested, powerbi",       "powerbi",    OLD_PROTOCOL, nested, NULL, true, 0, 1},
    {"nested, duckdb",        "duckdb",     OLD_PROTOCOL, nested, NULL, true, 0, 0},
    {"no zone, fabric",       "fabric-sql", PROTOCOL("\"timestampNtz\""), ntz, NULL, true, 1, 0},
    {"no zone, spark",        "spark",      PROTOCOL("\"timestampNtz\""), ntz, NULL, true, 0, 0},
    {"void, duckdb",          "duckdb",     OLD_PROTOCOL, void_column, NULL, true, 1, 0},
    {"void, spark",           "spark",      OLD_PROTOCOL, void_column, NULL, true, 0, 1},
    {"by name, duckdb",       "duckdb",     PROTOCOL("\"columnMapping\""), mapped, "name", true, 0, 1},
    {"by name, no partition", "duckdb",     PROTOCOL("\"columnMapping\""), mapped, "name", false, 0, 0},
    {"by id, fabric",         "fabric-sql", PROTOCOL("\"columnMapping\""), mapped, "id", true, 1, 0},
    {"by name, delta-rs",     "delta-rs",   PROTOCOL("\"columnMapping\""), mapped, "name", true, 1, 0},
    {"by id, delta-rs",       "delta-rs",   PROTOCOL("\"columnMapping\""), mapped, "id", true, 1, 0},
    {"v2, delta-rs",          "delta-rs",   PROTOCOL("\"v2Checkpoint\""), plain, NULL, true, 1, 0},
    {"by id, spark",          "spark",      PROTOCOL("\"columnMapping\""), mapped, "id", true, 0, 0},
    {"v2, fabric",            "fabric-sql", PROTOCOL("\"v2Checkpoint\""), plain, NULL, true, 1, 0},
    {"v2, trino",             "trino",      PROTOCOL("\"v2Checkpoint\""), plain, NULL, true, 0, 0},
    {"wider, delta-rs",       "delta-rs",   PROTOCOL("\"typeWidening\""), plain, NULL, true, 1, 0},
    {"two reasons",           "powerbi",    PROTOCOL("\"timestampNtz\",\"v2Checkpoint\""), nested, NULL, true, 2, 1},
    {"vacuum check, delta-rs", "delta-rs",  PROTOCOL("\"vacuumProtocolCheck\""), plain, NULL, true, 1, 0},
};
/* clang-format on */

static void write_log(const tables *t, size_t i)
{
    char text[4096];
    char quoted[2048];
    size_t len = 0;
    char schema[1024];
    (void)snprintf(schema, sizeof schema, SCHEMA("%s"), cases[i].fields);
    for (const char *c = schema; *c != '\0'; c++) {
        if (*c == '"') {
            quoted[len++] = '\\';
        }
        quoted[len++] = *c;
    }
    quoted[len] = '\0';
    char property[128] = "";
    if (cases[i].property != NULL) {
        (void)snprintf(property, sizeof property, "\"delta.columnMapping.mode\":\"%s\"",
                       cases[i].property);
    }
    int n = snprintf(text, sizeof text,
                     "%s{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\","
                     "\"options\":{}},\"schemaString\":\"%s\",\"partitionColumns\":[%s],"
                     "\"configuration\":{%s},\"createdTime\":0}}\n",
                     cases[i].protocol, quoted, cases[i].partitioned ? "\"p\"" : "", property);
    dl_error err = {0};
    TAP_OK(dl_store_put_if_absent(t->store, DL_STR("_delta_log/00000000000000000000.json"),
                                  (dl_bytes){(const uint8_t *)text, (size_t)n}, &err),
           err);
}

static void verdicts(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        tables t;
        dl_error err = {0};
        tables_init(&t, NULL);
        write_log(&t, i);
        DL_AUTO_TABLE table = NULL;
        TAP_OK(tables_open(&t, "", &table, &err), err);
        if (table != NULL) {
            findings f = {0};
            TAP_OK(dl_delta_check_reader(table, cases[i].reader, note, &f, &err), err);
            TAP_EQ_INT(f.refused, cases[i].refused);
            TAP_EQ_INT(f.hidden, cases[i].hidden);
        }
        dl_delta_table_close(DL_STEAL(table));
        tables_clear(&t);
        TAP_ROW_END(cases[i].name);
    }
}

TAP_CASE(readers_have_names)
{
    static const char *const names[] = {"fabric-sql", "spark", "delta-rs",
                                        "duckdb",     "trino", "powerbi"};
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        TAP_EQ_STR(dl_str_of(dl_delta_reader_name(i)), names[i]);
    }
    TAP_TRUE(dl_delta_reader_name(DL_COUNT_OF(names)) == NULL);
    TAP_TRUE(dl_delta_reader_name(SIZE_MAX) == NULL);
}

TAP_CASE(an_unknown_reader)
{
    tables t;
    dl_error err = {0};
    tables_init(&t, NULL);
    DL_AUTO_TABLE table = NULL;
    TAP_OK(tables_create(&t, "", false, &table, &err), err);
    findings f = {0};
    TAP_STATUS(dl_delta_check_reader(table, "excel", note, &f, &err), DL_E_INVALID);
    TAP_TRUE(err.message[0] != '\0' && err.hint[0] != '\0');
    TAP_EQ_INT(f.refused + f.hidden, 0);
    /* our own tables */
    TAP_OK(dl_delta_check_reader(table, "spark", note, &f, &err), err);
    TAP_OK(dl_delta_check_reader(table, "duckdb", note, &f, &err), err);
    TAP_OK(dl_delta_check_reader(table, "trino", note, &f, &err), err);
    TAP_EQ_INT(f.refused + f.hidden, 0);
    dl_delta_table_close(DL_STEAL(table));
    tables_clear(&t);
}

int main(void)
{
    verdicts();
    TAP_RUN(readers_have_names);
    TAP_RUN(an_unknown_reader);
    return tap_done();
}
