#include "delta/internal.h"
#include "tap.h"

#include "base/mem.h"

enum { ARENA_BYTES = 64 << 20 };

#define F(name, type) "{\"name\":\"" name "\",\"type\":" type ",\"nullable\":true,\"metadata\":{}}"
#define S(fields) "{\"type\":\"struct\",\"fields\":[" fields "]}"
#define A(type) "{\"type\":\"array\",\"elementType\":" type ",\"containsNull\":true}"
#define M(key, type)                                                                               \
    "{\"type\":\"map\",\"keyType\":" key ",\"valueType\":" type ",\"valueContainsNull\":true}"

static dl_status columns_of(const char *schema, const char *partition, const char *mode,
                            dl_arena *arena, dl_delta_column **out, size_t *out_count,
                            dl_error *err)
{
    dl_str name = dl_str_of(partition);
    dl_delta_pair pair = {DL_STR("delta.columnMapping.mode"), dl_str_of(mode)};
    dl_delta_metadata metadata = {.schema_json = dl_str_of(schema),
                                  .partition_columns = {&name, partition != NULL ? 1 : 0},
                                  .configuration = {&pair, mode != NULL ? 1 : 0}};
    return dl_delta_schema_columns(&metadata, arena, out, out_count, err);
}

TAP_CASE(primitives)
{
    static const struct {
        const char *type;
        dl_status want;
        dl_columnar_type kind;
        uint8_t precision, scale;
    } rows[] = {
        /* clang-format off */
        {"\"string\"", DL_OK, DL_COLUMNAR_STRING, 0, 0}, {"\"long\"", DL_OK, DL_COLUMNAR_INT64, 0, 0},
        {"\"integer\"", DL_OK, DL_COLUMNAR_INT32, 0, 0}, {"\"short\"", DL_OK, DL_COLUMNAR_INT16, 0, 0},
        {"\"byte\"", DL_OK, DL_COLUMNAR_INT8, 0, 0}, {"\"float\"", DL_OK, DL_COLUMNAR_FLOAT, 0, 0},
        {"\"double\"", DL_OK, DL_COLUMNAR_DOUBLE, 0, 0}, {"\"boolean\"", DL_OK, DL_COLUMNAR_BOOL, 0, 0},
        {"\"binary\"", DL_OK, DL_COLUMNAR_BINARY, 0, 0}, {"\"date\"", DL_OK, DL_COLUMNAR_DATE, 0, 0},
        {"\"timestamp\"", DL_OK, DL_COLUMNAR_TIMESTAMP, 0, 0},
        {"\"timestamp_ntz\"", DL_OK, DL_COLUMNAR_TIMESTAMP_NTZ, 0, 0},
        {"\"void\"", DL_OK, DL_COLUMNAR_STRING, 0, 0}, {"\"variant\"", DL_OK, DL_COLUMNAR_STRUCT, 0, 0},
        {"\"decimal(10,2)\"", DL_OK, DL_COLUMNAR_DECIMAL, 10, 2},
        {"\"decimal( 38 , 38 )\"", DL_OK, DL_COLUMNAR_DECIMAL, 38, 38},
        {"\"decimal(1,0)\"", DL_OK, DL_COLUMNAR_DECIMAL, 1, 0},
        {"\"decimal\"", DL_OK, DL_COLUMNAR_DECIMAL, 10, 0},
        {"\"decimal(39,0)\"", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"\"decimal(0,0)\"", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"\"decimal(2,3)\"", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"\"decimal(2)\"", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"\"decimal()\"", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"\"geometry\"", DL_E_UNSUPPORTED, DL_COLUMNAR_STRING, 0, 0},
        {"{\"type\":\"enum\"}", DL_E_UNSUPPORTED, DL_COLUMNAR_STRING, 0, 0},
        {"{}", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0}, {"5", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"{\"type\":\"array\"}", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"{\"type\":\"map\",\"keyType\":\"string\"}", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"{\"type\":\"struct\"}", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        {"{\"type\":\"struct\",\"fields\":[]}", DL_E_UNSUPPORTED, DL_COLUMNAR_STRING, 0, 0},
        {"{\"type\":\"struct\",\"fields\":[{\"name\":\"x\"}]}", DL_E_CORRUPT, DL_COLUMNAR_STRING, 0, 0},
        /* clang-format on */
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        char schema[512];
        dl_error err = {0};
        dl_delta_column *columns = NULL;
        size_t count = 0;
        (void)snprintf(schema, sizeof schema,
                       S("{\"name\":\"the column\",\"type\":%s,\"nullable\":true}"), rows[i].type);
        TAP_STATUS(columns_of(schema, NULL, NULL, arena, &columns, &count, &err), rows[i].want);
        TAP_EQ_INT(count, rows[i].want == DL_OK ? 1 : 0);
        if (count == 1) {
            TAP_EQ_INT(columns[0].field.type, rows[i].kind);
            TAP_EQ_INT(columns[0].field.precision, rows[i].precision);
            TAP_EQ_INT(columns[0].field.scale, rows[i].scale);
            TAP_EQ_STR(columns[0].type_json, rows[i].type);
        } else {
            TAP_TRUE(strstr(err.message, "the column") != NULL);
        }
        TAP_ROW_END(rows[i].type);
    }
    tap_case_failed = 0;
}

TAP_CASE(nested_columns)
{
    static const char schema[] = S(F("part", "\"date\"") "," F(
        "m",
        M("\"string\"", S(F("vr", "\"string\"") "," F(
                            "Value", A("\"string\""))))) ","
                                                         "{\"name\":\"n\",\"type\":\"long\","
                                                         "\"nullable\":false,\"metadata\":{}}");
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    dl_delta_column *columns = NULL;
    dl_columnar_leaf *leaves = NULL;
    size_t count = 0, leaf_count = 0;
    dl_error err = {0};
    TAP_OK(columns_of(schema, "PART", NULL, arena, &columns, &count, &err), err);
    TAP_EQ_INT(count, 3);
    TAP_TRUE(columns[0].partition && !columns[1].partition);
    TAP_TRUE(columns[0].nullable && !columns[2].nullable);
    TAP_OK(dl_columnar_leaves(&columns[1].field, 1, arena, &leaves, &leaf_count, &err), err);
    TAP_EQ_INT(leaf_count, 3);
    TAP_EQ_INT(leaves[0].max_rep * 10 + leaves[0].max_def, 12); /* as columnar.h has them */
    TAP_EQ_INT(leaves[1].max_rep * 10 + leaves[1].max_def, 14);
    TAP_EQ_INT(leaves[2].max_rep * 10 + leaves[2].max_def, 26);
    TAP_STATUS(columns_of(schema, "other", NULL, arena, &columns, &count, &err), DL_E_CORRUPT);
    TAP_STATUS(columns_of(schema, "m", NULL, arena, &columns, &count, &err), DL_E_CORRUPT);
}

TAP_CASE(mapped_columns)
{
    static const char schema[] =
        S("{\"name\":\"a\",\"type\":\"long\",\"metadata\":{\"delta.columnMapping.id\":7,"
          "\"delta.columnMapping.physicalName\":\"col-7\"}}");
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    dl_delta_column *columns = NULL;
    size_t count = 0;
    dl_error err = {0};
    TAP_OK(columns_of(schema, NULL, "name", arena, &columns, &count, &err), err);
    TAP_EQ_STR(columns[0].name, "a");
    TAP_EQ_STR(columns[0].field.name, "col-7");
    TAP_EQ_INT(columns[0].field.field_id, 7);
    TAP_OK(columns_of(schema, NULL, "none", arena, &columns, &count, &err), err);
    TAP_EQ_STR(columns[0].field.name, "a");
    TAP_EQ_INT(columns[0].field.field_id, 0);
    TAP_STATUS(columns_of(schema, NULL, "magic", arena, &columns, &count, &err), DL_E_UNSUPPORTED);
    TAP_STATUS(columns_of(S(F("b", "\"long\"")), NULL, "id", arena, &columns, &count, &err),
               DL_E_CORRUPT);
}

/* `depth` arrays round a long. */
static dl_status deep(size_t depth, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    DL_AUTO_BUF text = {0};
    dl_delta_column *columns = NULL;
    size_t count = 0;
    dl_buf_init(&text, ARENA_BYTES);
    TAP_OK(dl_buf_printf(&text, err, "{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":"),
           *err);
    for (size_t i = 0; i < depth; i++) {
        TAP_OK(dl_buf_printf(&text, err, "{\"type\":\"array\",\"elementType\":"), *err);
    }
    TAP_OK(dl_buf_printf(&text, err, "\"long\""), *err);
    for (size_t i = 0; i < depth; i++) {
        TAP_OK(dl_buf_append_char(&text, '}', err), *err);
    }
    TAP_OK(dl_buf_append_str(&text, DL_STR("}]}"), err), *err);
    TAP_OK(dl_buf_terminate(&text, err), *err);
    return columns_of(text.ptr, NULL, NULL, arena, &columns, &count, err);
}

TAP_CASE(depth_is_bounded)
{
    dl_error err = {0};
    TAP_OK(deep(DL_COLUMNAR_DEPTH_LIMIT - 1, &err), err);
    TAP_STATUS(deep(DL_COLUMNAR_DEPTH_LIMIT, &err), DL_E_LIMIT);
}

TAP_CASE(texts_that_are_no_schema)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "\"struct\"",
                                        "{\"type\":\"struct\"}",
                                        "{\"fields\":{}}",
                                        S("1"),
                                        S("{\"name\":1,\"type\":\"long\"}"),
                                        S("{\"name\":\"\",\"type\":\"long\"}"),
                                        "{\"type\":\"map\",\"fields\":[]}",
                                        "{\"fields\":[]}"};
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_delta_column *columns = NULL;
        size_t count = 0;
        dl_error err = {0};
        TAP_STATUS(columns_of(texts[i], NULL, NULL, arena, &columns, &count, &err), DL_E_CORRUPT);
        TAP_TRUE(columns == NULL);
    }
}

#define G(name, type, nullable, metadata)                                                          \
    "{\"name\":\"" name "\",\"type\":" type ",\"nullable\":" nullable ",\"metadata\":" metadata "}"

static const struct {
    const char *name, *current, *incoming;
    const char *want; /* NULL: an error whose message has `message` */
    const char *message;
} merges[] = {
    /* clang-format off */
    {"the same",           S(F("a", "\"long\"")), S(F("a", "\"long\"")), S(F("a", "\"long\"")), NULL},
    {"less comes in",      S(F("a", "\"long\"") "," F("b", "\"date\"")), S(F("b", "\"date\"")),
                           S(F("a", "\"long\"") "," F("b", "\"date\"")), NULL},
    {"a new one",          S(F("a", "\"long\"")), S(F("n", "\"date\"") "," F("a", "\"long\"")),
                           S(F("a", "\"long\"") "," F("n", "\"date\"")), NULL},
    {"a new one may be NULL", S(F("a", "\"long\"")), S(G("n", "\"date\"", "false", "{\"c\":1}")),
                           S(F("a", "\"long\"") "," G("n", "\"date\"", "true", "{\"c\":1}")), NULL},
    {"other case",         S(F("Ab", "\"long\"")), S(F("aB", "\"long\"")), S(F("Ab", "\"long\"")), NULL},
    {"ours stays as it is", S(G("a", "\"long\"", "false", "{\"k\":\"v\"}")), S(F("a", "\"long\"") "," F("b", "\"byte\"")),
                           S(G("a", "\"long\"", "false", "{\"k\":\"v\"}") "," F("b", "\"byte\"")), NULL},
    {"byte to integer",    S(F("a", "\"byte\"")), S(F("a", "\"integer\"")), S(F("a", "\"integer\"")), NULL},
    {"integer to byte",    S(F("a", "\"integer\"")), S(F("a", "\"byte\"")), S(F("a", "\"integer\"")), NULL},
    {"nested struct",      S(F("s", S(F("x", "\"long\"")))), S(F("S", S(F("y", "\"long\"")))),
                           S(F("s", S(F("x", "\"long\"") "," F("y", "\"long\"")))), NULL},
    {"struct in an array", S(F("s", A(S(F("x", "\"short\""))))), S(F("s", A(S(F("x", "\"integer\"") "," F("y", "\"long\""))))),
                           S(F("s", A(S(F("x", "\"integer\"") "," F("y", "\"long\""))))), NULL},
    {"struct in a map",    S(F("m", M("\"string\"", S(F("x", "\"long\""))))), S(F("m", M("\"string\"", S(F("z", A("\"date\"")))))),
                           S(F("m", M("\"string\"", S(F("x", "\"long\"") "," F("z", A("\"date\"")))))), NULL},
    {"a name with quotes", S(F("a\\\"b", "\"long\"")), S(F("\\u00e4", "\"long\"")),
                           S(F("a\\\"b", "\"long\"") "," F("\xc3\xa4", "\"long\"")), NULL},
    {"into nothing",       S(""), S(F("a", "\"long\"")), S(F("a", "\"long\"")), NULL},
    {"long and integer",   S(F("col", "\"long\"")), S(F("col", "\"integer\"")), NULL, "'col' is \"long\" in the table and \"integer\""},
    {"text and date",      S(F("col", "\"string\"")), S(F("col", "\"date\"")), NULL, "'col'"},
    {"decimals",           S(F("c", "\"decimal(5,2)\"")), S(F("c", "\"decimal(6,2)\"")), NULL, "decimal(6,2)"},
    {"struct and text",    S(F("c", S(F("x", "\"long\"")))), S(F("c", "\"string\"")), NULL, "struct"},
    {"in an array",        S(F("c", A("\"long\""))), S(F("c", A("\"date\""))), NULL, "'c'"},
    {"in a key",           S(F("c", M("\"long\"", "\"long\""))), S(F("c", M("\"string\"", "\"long\""))), NULL, "'c'"},
    {"mapped, new",        S(G("a", "\"long\"", "true", "{\"delta.columnMapping.id\":1}")), S(F("b", "\"long\"")), NULL, "columnMapping"},
    {"mapped, the same",   S(G("a", "\"long\"", "true", "{\"delta.columnMapping.id\":1}")), S(F("a", "\"long\"")),
                           S(G("a", "\"long\"", "true", "{\"delta.columnMapping.id\":1}")), NULL},
    {"no JSON",            "{", S(F("a", "\"long\"")), NULL, "table's schema"},
    {"nor that",           S(F("a", "\"long\"")), "[]", NULL, "incoming schema"},
    {"a word",             S(F("a", "\"long\"")), "\"long\"", NULL, "incoming schema"},
    /* clang-format on */
};

TAP_CASE(merging)
{
    for (size_t i = 0; i < DL_COUNT_OF(merges); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_str merged = DL_STR("untouched");
        dl_error err = {0};
        dl_status status = dl_delta_schema_merge(
            dl_str_of(merges[i].current), dl_str_of(merges[i].incoming), arena, &merged, &err);
        if (merges[i].want != NULL) {
            TAP_OK(status, err);
            TAP_EQ_STR(merged, merges[i].want);
        } else {
            TAP_TRUE(status == DL_E_INVALID || status == DL_E_UNSUPPORTED);
            TAP_EQ_STR(merged, "untouched");
            if (strstr(err.message, merges[i].message) == NULL) {
                TAP_FAIL("'%s' lacks '%s'", err.message, merges[i].message);
            }
        }
        TAP_ROW_END(merges[i].name);
    }
    tap_case_failed = 0;
}

TAP_CASE(without_memory_it_says_so)
{
    dl_status status = DL_E_NOMEM;
    int64_t n = 0;
    for (; n < 1000 && status != DL_OK; n++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        dl_str merged = DL_STR_NONE;
        dl_delta_column *columns = NULL;
        size_t count = 0;
        dl_error err = {0};
        dl_mem_fail_after(n);
        status = dl_delta_schema_merge(dl_str_of(S(F("a", A("\"long\"")))),
                                       dl_str_of(S(F("b", M("\"long\"", "\"date\"")))), arena,
                                       &merged, &err);
        if (status == DL_OK) {
            status = columns_of(merged.ptr, NULL, NULL, arena, &columns, &count, &err);
        }
        dl_mem_fail_after(-1);
        TAP_TRUE((status == DL_OK) == (err.message[0] == '\0'));
    }
    TAP_TRUE(status == DL_OK && n > 1);
}

int main(void)
{
    primitives();
    TAP_RUN(nested_columns);
    TAP_RUN(mapped_columns);
    TAP_RUN(depth_is_bounded);
    TAP_RUN(texts_that_are_no_schema);
    merging();
    TAP_RUN(without_memory_it_says_so);
    return tap_done();
}
