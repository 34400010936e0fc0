/* Names: the log's, partition folders, URIs, UUIDs. */
#include "delta/internal.h"
#include "tap.h"

/* ---- names of the log ---- */

#define V7 "00000000000000000007"
#define V9 "00000000000000000009"
#define UUID "80a083e8-7026-4e79-81be-64bd76c43a11"
/* clang-format off */
static const struct {
    const char *name;
    dl_delta_log_kind kind;
    int64_t version, end_version;
    int part, parts;
} names[] = {
    {V7 ".json",                                       DL_DELTA_LOG_COMMIT,          7, 7, 0, 0},
    {V7 ".crc",                                        DL_DELTA_LOG_CRC,             7, 7, 0, 0},
    {V7 ".checkpoint.parquet",                         DL_DELTA_LOG_CHECKPOINT,      7, 7, 0, 0},
    {V7 ".checkpoint.0000000002.0000000003.parquet",   DL_DELTA_LOG_CHECKPOINT_PART, 7, 7, 2, 3},
    {V7 ".checkpoint.0000000003.0000000003.parquet",   DL_DELTA_LOG_CHECKPOINT_PART, 7, 7, 3, 3},
    {V7 ".checkpoint." UUID ".parquet",                DL_DELTA_LOG_CHECKPOINT_V2,   7, 7, 0, 0},
    {V7 ".checkpoint." UUID ".json",                   DL_DELTA_LOG_CHECKPOINT_V2,   7, 7, 0, 0},
    {V7 "." V9 ".compacted.json",                      DL_DELTA_LOG_COMPACTED,       7, 9, 0, 0},
    {"09223372036854775807.json",                      DL_DELTA_LOG_COMMIT, INT64_MAX, INT64_MAX, 0, 0},
    {"09223372036854775808.json",                      DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 "." V7 ".compacted.json",                      DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V9 "." V7 ".compacted.json",                      DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 ".checkpoint.0000000004.0000000003.parquet",   DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 ".checkpoint.0000000000.0000000003.parquet",   DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 ".checkpoint..parquet",                        DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 ".checkpoint.x.orc",                           DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 ".json.tmp",                                   DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {"." V7 ".json.crc",                               DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {"7.json",                                         DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {"0000000000000000000a.json",                      DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {"-0000000000000000007.json",                      DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7,                                               DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {V7 ".",                                           DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {"_last_checkpoint",                               DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
    {"",                                               DL_DELTA_LOG_OTHER,           0, 0, 0, 0},
};

/* ---- folders and paths, as Spark makes them [seen] ---- */

static const struct {
    const char *value; /* NULL: null */
    const char *folder, *encoded;
} folders[] = {
    {"Microsoft.Default", "p=Microsoft.Default",          "p=Microsoft.Default"},
    {"ward 7/ä%",         "p=ward 7%2Fä%25",              "p=ward%207%252Fä%2525"},
    {"a=b:c",             "p=a%3Db%3Ac",                  "p=a%253Db%253Ac"},
    {"\"#%'*/:=?\\{[]^",  "p=%22%23%25%27%2A%2F%3A%3D%3F%5C%7B%5B%5D%5E",
                          "p=%2522%2523%2525%2527%252A%252F%253A%253D%253F%255C%257B%255B%255D%255E"},
    {"\x01\x1f\x7f",      "p=%01%1F%7F",                  "p=%2501%251F%257F"},
    {"}|<>`",             "p=}|<>`",                      "p=%7D%7C%3C%3E%60"},
    {"+&;,@!$()~",        "p=+&;,@!$()~",                 "p=+&;,@!$()~"},
    {NULL,                "p=__HIVE_DEFAULT_PARTITION__", "p=__HIVE_DEFAULT_PARTITION__"},
    {"",                  "p=__HIVE_DEFAULT_PARTITION__", "p=__HIVE_DEFAULT_PARTITION__"},
};

static const struct {
    const char *encoded, *decoded; /* NULL: DL_E_CORRUPT */
} decodings[] = {
    {"a.parquet",                          "a.parquet"},
    {"p=a%253Db/x.parquet",                "p=a%3Db/x.parquet"},
    {"p=ward%25207%252F%25C3%25A4%2525/x", "p=ward%207%2F%C3%A4%25/x"}, /* delta-rs [seen] */
    {"%c3%A4",                             "ä"},
    {"a+b",                                "a+b"},
    {"",                                   ""},
    {"a%2",                                NULL},
    {"a%",                                 NULL},
    {"a%zz",                               NULL},
    {"a%00b",                              NULL},
};
/* clang-format on */

static void run_name(size_t i)
{
    dl_delta_log_name name = dl_delta_log_name_parse(dl_str_of(names[i].name));
    TAP_EQ_INT(name.kind, names[i].kind);
    TAP_EQ_INT(name.version, names[i].version);
    TAP_EQ_INT(name.end_version, names[i].end_version);
    TAP_EQ_INT(name.part, names[i].part);
    TAP_EQ_INT(name.parts, names[i].parts);
    TAP_EQ_STR(name.name, names[i].name);
}

static void run_folder(size_t i)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_delta_pair pair = {DL_STR("p"), dl_str_of(folders[i].value)};
    dl_delta_pairs pairs = {&pair, 1};
    dl_str folder = DL_STR_NONE, encoded = DL_STR_NONE, back = DL_STR_NONE;
    TAP_OK(dl_delta_partition_folder(&pairs, arena, &folder, &err), err);
    TAP_EQ_STR(folder, folders[i].folder);
    TAP_OK(dl_delta_path_encode(folder, arena, &encoded, &err), err);
    TAP_EQ_STR(encoded, folders[i].encoded);
    TAP_OK(dl_delta_path_decode(encoded, arena, &back, &err), err);
    TAP_EQ_STR(back, folders[i].folder);
}

static void run_decoding(size_t i)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_str path = DL_STR("kept");
    dl_status status = dl_delta_path_decode(dl_str_of(decodings[i].encoded), arena, &path, &err);
    TAP_EQ_INT(status, decodings[i].decoded == NULL ? DL_E_CORRUPT : DL_OK);
    TAP_EQ_INT(err.message[0] != '\0', status != DL_OK);
    TAP_EQ_STR(path, decodings[i].decoded == NULL ? "kept" : decodings[i].decoded);
}

TAP_CASE(several_partition_columns)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    dl_delta_pair pairs[] = {{DL_STR("a b"), DL_STR("1")}, {DL_STR("c/d"), DL_STR_NONE}};
    dl_str folder = DL_STR_NONE;
    TAP_OK(dl_delta_partition_folder(&(dl_delta_pairs){pairs, 2}, arena, &folder, &err), err);
    TAP_EQ_STR(folder, "a b=1/c%2Fd=__HIVE_DEFAULT_PARTITION__");
    TAP_OK(dl_delta_partition_folder(&(dl_delta_pairs){NULL, 0}, arena, &folder, &err), err);
    TAP_EQ_STR(folder, "");
}

/* Each byte but NUL comes back, also a colon in the first segment, which is no scheme. */
TAP_CASE(every_byte_comes_back)
{
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 16);
    char text[255];
    for (int i = 0; i < 255; i++) {
        text[i] = (char)(unsigned char)(i + 1);
    }
    dl_str encoded = DL_STR_NONE, back = DL_STR_NONE;
    TAP_OK(dl_delta_path_encode((dl_str){text, 255}, arena, &encoded, &err), err);
    TAP_OK(dl_delta_path_decode(encoded, arena, &back, &err), err);
    TAP_TRUE(dl_str_eq(back, (dl_str){text, 255}));
    TAP_OK(dl_delta_path_encode(DL_STR("a:b/c"), arena, &encoded, &err), err);
    TAP_EQ_STR(encoded, "a%3Ab/c");
    TAP_OK(dl_delta_path_encode(DL_STR("s3://bucket/a b:c"), arena, &encoded, &err), err);
    TAP_EQ_STR(encoded, "s3://bucket/a%20b%3Ac");
}

TAP_CASE(absolute_paths)
{
    static const char *const absolute[] = {"/a", "file:/a", "file:///a", "s3://b/c", "abfss://x/y"};
    static const char *const relative[] = {"a", "a/b", "a:b", "p=a:/b", "", ":/x", "1a:/b"};
    for (size_t i = 0; i < DL_COUNT_OF(absolute); i++) {
        TAP_TRUE(dl_delta_path_is_absolute(dl_str_of(absolute[i])));
    }
    for (size_t i = 0; i < DL_COUNT_OF(relative); i++) {
        TAP_TRUE(!dl_delta_path_is_absolute(dl_str_of(relative[i])));
    }
}

TAP_CASE(uuids)
{
    char a[DL_DELTA_UUID_SIZE], b[DL_DELTA_UUID_SIZE];
    dl_delta_uuid(a);
    dl_delta_uuid(b);
    TAP_EQ_INT(strlen(a), 36);
    TAP_TRUE(strcmp(a, b) != 0);
    TAP_EQ_INT(a[14], '4');
    TAP_TRUE(strchr("89ab", a[19]) != NULL);
    static const uint8_t bytes[] = {0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3,
                                    0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40, 0x00};
    dl_delta_uuid_format(bytes, a);
    TAP_EQ_STR(dl_str_of(a), "123e4567-e89b-12d3-a456-426614174000");
}

int main(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        TAP_ROW_BEGIN();
        run_name(i);
        TAP_ROW_END(names[i].name[0] == '\0' ? "(empty name)" : names[i].name);
    }
    for (size_t i = 0; i < DL_COUNT_OF(folders); i++) {
        TAP_ROW_BEGIN();
        run_folder(i);
        TAP_ROW_END(folders[i].encoded);
    }
    for (size_t i = 0; i < DL_COUNT_OF(decodings); i++) {
        TAP_ROW_BEGIN();
        run_decoding(i);
        TAP_ROW_END(decodings[i].encoded[0] == '\0' ? "(empty path)" : decodings[i].encoded);
    }
    TAP_RUN(several_partition_columns);
    TAP_RUN(every_byte_comes_back);
    TAP_RUN(absolute_paths);
    TAP_RUN(uuids);
    return tap_done();
}
