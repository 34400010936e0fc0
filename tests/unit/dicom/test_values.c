#include "build.h"

/* Each VR and its JSON (PS3.18 annex F, contract 1.5). The tag is private, so no dictionary helps.
 */
#define T 0x00111001
#define J(vr, rest) "{\"00111001\":{\"vr\":\"" vr "\"" rest "}}"
#define V(vr, values) J(vr, ",\"Value\":[" values "]")
#define ROW(name, vr, bytes, json)                                                                 \
    {                                                                                              \
        name, vr, bytes, sizeof(bytes) - 1, json                                                   \
    }

static const struct {
    const char *name, *vr, *bytes;
    size_t len;
    const char *json;
} texts[] = {
    /* clang-format off */
    ROW("AE",                      "AE", "ONE\\TWO ",          V("AE", "\"ONE\",\"TWO\"")),
    ROW("AS",                      "AS", "035Y",               V("AS", "\"035Y\"")),
    ROW("CS with an empty value",  "CS", "A\\\\B ",            V("CS", "\"A\",null,\"B\"")),
    ROW("CS of empty values",      "CS", "\\ ",                V("CS", "null,null")),
    ROW("padding inside",          "CS", "A \\B ",             V("CS", "\"A\",\"B\"")),
    ROW("only padding",            "LO", "    ",               J("LO", "")),
    ROW("empty",                   "LO", "",                   J("LO", "")),
    ROW("NUL padding",             "LO", "abc\0",              V("LO", "\"abc\"")),
    ROW("NULs and spaces",         "LO", "abc\0 \0\0",         V("LO", "\"abc\"")),
    ROW("embedded NUL",            "SH", "a\0bc",              V("SH", "\"a\\u0000bc\"")),
    ROW("leading spaces stay",     "LO", "  a ",               V("LO", "\"  a\"")),
    ROW("DA",                      "DA", "20200101",           V("DA", "\"20200101\"")),
    ROW("DT",                      "DT", "20200101101010.5",   V("DT", "\"20200101101010.5\"")),
    ROW("TM",                      "TM", "101010.25 ",         V("TM", "\"101010.25\"")),
    ROW("UI",                      "UI", "1.2.3\0",            V("UI", "\"1.2.3\"")),
    ROW("UI of two",               "UI", "1.2\\3.4",           V("UI", "\"1.2\",\"3.4\"")),
    ROW("quotes and controls",     "LO", "a\"b\tc\x01" "d\x1b",V("LO", "\"a\\\"b\\tc\\u0001d\\u001B\"")),
    ROW("UC",                      "UC", "a\\b ",              V("UC", "\"a\",\"b\"")),
    ROW("LT keeps a backslash",    "LT", " a\\b\r\n ",         V("LT", "\" a\\\\b\\r\\n\"")),
    ROW("ST",                      "ST", "text",               V("ST", "\"text\"")),
    ROW("UT",                      "UT", "text  ",             V("UT", "\"text\"")),
    ROW("UR",                      "UR", "http://h/p?q ",      V("UR", "\"http://h/p?q\"")),
    ROW("PN",                      "PN", "Doe^Jane^^^ ",       V("PN", "{\"Alphabetic\":\"Doe^Jane^^^\"}")),
    ROW("PN of three groups",      "PN", "A=I=P",              V("PN", "{\"Alphabetic\":\"A\",\"Ideographic\":\"I\",\"Phonetic\":\"P\"}")),
    ROW("PN with the last group",  "PN", "==P",                V("PN", "{\"Phonetic\":\"P\"}")),
    ROW("PN of two",               "PN", "A^B\\C",             V("PN", "{\"Alphabetic\":\"A^B\"},{\"Alphabetic\":\"C\"}")),
    ROW("PN with an empty value",  "PN", "A\\\\C",             V("PN", "{\"Alphabetic\":\"A\"},null,{\"Alphabetic\":\"C\"}")),
    ROW("PN without text",         "PN", "==",                 V("PN", "null")),
    ROW("PN of four groups",       "PN", "A=B=C=D",            V("PN", "{\"Alphabetic\":\"A\",\"Ideographic\":\"B\",\"Phonetic\":\"C=D\"}")),
    ROW("empty PN",                "PN", "",                   J("PN", "")),
    ROW("IS",                      "IS", " -12 ",              V("IS", "-12")),
    ROW("IS not in JSON's form",   "IS", "+1\\007\\-0",        V("IS", "1,7,-0")),
    ROW("IS with an empty value",  "IS", "1\\\\3",             V("IS", "1,null,3")),
    ROW("IS of 15 digits",         "IS", "999999999999999",    V("IS", "999999999999999")),
    ROW("IS of 16 digits",         "IS", "1000000000000000",   V("IS", "\"1000000000000000\"")),
    ROW("IS that is none",         "IS", "1A\\-\\+",           V("IS", "\"1A\",\"-\",\"+\"")),
    ROW("DS as it stands",         "DS", "1.50\\-0.0\\1e5",    V("DS", "1.50,-0.0,1e5")),
    ROW("DS not in JSON's form",   "DS", ".5\\1.\\+2.5\\-.5",  V("DS", "0.5,1,2.5,-0.5")),
    ROW("DS with exponents",       "DS", "1.E+3\\1E-2\\00e1",  V("DS", "1E+3,1E-2,0e1")),
    ROW("DS at the range's end",   "DS", "9e307\\1e-307",      V("DS", "9e307,1e-307")),
    ROW("DS beyond the range",     "DS", "1e308\\1e-308",      V("DS", "\"1e308\",\"1e-308\"")),
    ROW("DS beyond by its digits", "DS", "0.001e311\\.001e-305", V("DS", "\"0.001e311\",\".001e-305\"")),
    ROW("DS zero to any power",    "DS", "0e999",              V("DS", "0e999")),
    ROW("DS that is none",         "DS", "1,5\\.\\1e\\e5\\nan",V("DS", "\"1,5\",\".\",\"1e\",\"e5\",\"nan\"")),
    ROW("OB is left out",          "OB", "abcd",               "{}"),
    ROW("OW is left out",          "OW", "abcd",               "{}"),
    ROW("OD is left out",          "OD", "abcdefgh",           "{}"),
    ROW("OF is left out",          "OF", "abcd",               "{}"),
    ROW("OL is left out",          "OL", "abcd",               "{}"),
    ROW("OV is left out",          "OV", "abcdefgh",           "{}"),
    ROW("UN is left out",          "UN", "abcd",               "{}"),
    ROW("a VR of the future",      "ZZ", "abcd",               "{}"),
    ROW("empty SQ",                "SQ", "",                   J("SQ", "")),
    ROW("empty US",                "US", "",                   J("US", "")),
    /* clang-format on */
};

static void test_texts(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        TAP_ROW_BEGIN();
        build b = build_begin(UID_EXPLICIT);
        put_value(&b, T, texts[i].vr, texts[i].bytes, texts[i].len);
        EXPECT_JSON(&b, texts[i].json);
        TAP_ROW_END(texts[i].name);
    }
}

/* Binary values, given as numbers so that each row is read in both byte orders. */
static const struct {
    const char *name, *vr;
    int size;
    int count;
    uint64_t values[3];
    const char *json;
} binaries[] = {
    /* clang-format off */
    {"US",             "US", 2, 3, {0, 65535, 10},                 V("US", "0,65535,10")},
    {"SS",             "SS", 2, 3, {0x8000, 0xffff, 5},            V("SS", "-32768,-1,5")},
    {"UL",             "UL", 4, 2, {0xffffffff, 0},                V("UL", "4294967295,0")},
    {"SL",             "SL", 4, 3, {0x80000000, 0xffffffff, 1},    V("SL", "-2147483648,-1,1")},
    {"UV to 2^53",     "UV", 8, 2, {0x20000000000000, 1},          V("UV", "9007199254740992,1")},
    {"UV beyond",      "UV", 8, 2, {0x20000000000001, UINT64_MAX}, V("UV", "\"9007199254740993\",\"18446744073709551615\"")},
    {"SV",             "SV", 8, 3, {UINT64_MAX, 0xffe0000000000000, 5}, V("SV", "-1,-9007199254740992,5")},
    {"SV beyond",      "SV", 8, 2, {0x8000000000000000, 0x20000000000001}, V("SV", "\"-9223372036854775808\",\"9007199254740993\"")},
    {"FL",             "FL", 4, 3, {0x3dcccccd, 0xc0200000, 0x49742408}, V("FL", "0.1,-2.5,1000000.5")},
    {"FL zeros",       "FL", 4, 2, {0, 0x80000000},                V("FL", "0,-0.0")},
    {"FL far out",     "FL", 4, 2, {0x7f7fffff, 0x00000001},       V("FL", "3.4028235e+38,1e-45")},
    {"FL not numbers", "FL", 4, 3, {0x7fc00000, 0x7f800000, 0xff800000}, V("FL", "\"NaN\",\"inf\",\"-inf\"")},
    {"FD",             "FD", 8, 3, {0x3fb999999999999a, 0x3ff0000000000000, 0x4341c37937e08000}, V("FD", "0.1,1,1e+16")},
    {"FD long",        "FD", 8, 2, {0x3fd5555555555555, 0x400921fb54442d18}, V("FD", "0.3333333333333333,3.141592653589793")},
    {"FD far out",     "FD", 8, 2, {0x7fefffffffffffff, 1},        V("FD", "1.7976931348623157e+308,5e-324")},
    {"FD not numbers", "FD", 8, 3, {0x7ff8000000000000, 0x7ff0000000000000, 0xfff0000000000000}, V("FD", "\"NaN\",\"inf\",\"-inf\"")},
    /* clang-format on */
};

static void put_binary(build *b, size_t row)
{
    put_head(b, T, binaries[row].vr, (uint32_t)(binaries[row].size * binaries[row].count));
    for (int k = 0; k < binaries[row].count; k++) {
        uint64_t v = binaries[row].values[k];
        if (binaries[row].size == 2) {
            put_u16(b, (uint32_t)v);
        } else if (binaries[row].size == 4) {
            put_u32(b, (uint32_t)v);
        } else {
            put_u64(b, v);
        }
    }
}

static void test_binaries(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(binaries); i++) {
        TAP_ROW_BEGIN();
        build b = build_begin(UID_EXPLICIT);
        put_binary(&b, i);
        EXPECT_JSON(&b, binaries[i].json);
        b = build_begin(UID_BIG);
        put_binary(&b, i);
        EXPECT_JSON(&b, binaries[i].json);
        TAP_ROW_END(binaries[i].name);
    }
}

TAP_CASE(attribute_tags)
{
    for (int big = 0; big < 2; big++) {
        build b = build_begin(big ? UID_BIG : UID_EXPLICIT);
        put_head(&b, T, "AT", 8);
        put_u16(&b, 0x0018);
        put_u16(&b, 0x1063);
        put_u16(&b, 0x3004);
        put_u16(&b, 0x000c);
        EXPECT_JSON(&b, V("AT", "\"00181063\",\"3004000C\""));
    }
}

TAP_CASE(a_length_that_is_no_multiple)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, T, "US", "\1\0\2");
    EXPECT_JSON(&b, V("US", "1"));
    EXPECT_FINDINGS(&b, "00111001 0 US: the length is no multiple of the size of a value\n", "{}");
}

TAP_CASE(keys_ascend_with_commas)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080000, "UL", "\1\2\3\4");
    PUT(&b, 0x00080020, "DA", "");
    PUT(&b, 0x00080060, "CS", "CT");
    PUT(&b, 0x0020000d, "UI", "1.2\0");
    PUT(&b, 0x7fe00010, "OW", "\1\2");
    PUT(&b, 0xfffcfffc, "OB", "\0\0");
    EXPECT_JSON(&b, "{\"00080020\":{\"vr\":\"DA\"},\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"
                    "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}");
}

TAP_CASE(many_values_and_long_text)
{
    static char text[200000];
    static char want[1300000];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof text; i += 10) {
        text[i] = '\\'; /* at first, too: the first value is empty */
    }
    build b = build_begin(UID_EXPLICIT);
    put_value(&b, T, "UC", text, sizeof text);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_INT(o.json.len, strlen(V("UC", "null")) + sizeof text / 10 * strlen(",\"xxxxxxxxx\""));
    memset(text, '\1', sizeof text);
    b = build_begin(UID_EXPLICIT);
    put_value(&b, T, "UT", text, sizeof text);
    char *p = stpcpy(want, "{\"00111001\":{\"vr\":\"UT\",\"Value\":[\"");
    for (size_t i = 0; i < sizeof text; i++) {
        p = stpcpy(p, "\\u0001");
    }
    (void)stpcpy(p, "\"]}}");
    EXPECT_JSON(&b, want);
}

/** A number of 256 characters is one, of 257 it is text. */
TAP_CASE(long_numbers)
{
    static char text[257];
    for (size_t len = 256; len <= 257; len++) {
        memset(text, '0', len);
        memcpy(text, "1.", 2);
        build b = build_begin(UID_EXPLICIT);
        put_value(&b, T, "DS", text, len);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        TAP_EQ_INT(o.json.len, strlen(V("DS", "")) + len + (len == 257 ? 2 : 0));
    }
}

TAP_CASE(uids_by_rule_1_6)
{
    static char longest[66] = "";
    memset(longest, '1', 65);
    TAP_TRUE(dl_dicom_uid_is_valid(DL_STR("1.2.3")));
    TAP_TRUE(dl_dicom_uid_is_valid(DL_STR("1..02.3")));
    TAP_TRUE(dl_dicom_uid_is_valid(DL_STR("1")));
    TAP_TRUE(dl_dicom_uid_is_valid((dl_str){longest, 64}));
    TAP_TRUE(!dl_dicom_uid_is_valid((dl_str){longest, 65}));
    TAP_TRUE(!dl_dicom_uid_is_valid(DL_STR("")));
    TAP_TRUE(!dl_dicom_uid_is_valid(DL_STR("1.2.")));
    TAP_TRUE(!dl_dicom_uid_is_valid(DL_STR("1.2.a3")));
    TAP_TRUE(!dl_dicom_uid_is_valid(DL_STR("1.2 3")));
}

int main(void)
{
    test_texts();
    test_binaries();
    TAP_RUN(attribute_tags);
    TAP_RUN(a_length_that_is_no_multiple);
    TAP_RUN(keys_ascend_with_commas);
    TAP_RUN(many_values_and_long_text);
    TAP_RUN(long_numbers);
    TAP_RUN(uids_by_rule_1_6);
    return tap_done();
}
