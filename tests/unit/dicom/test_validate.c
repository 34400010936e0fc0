#include "build.h"

/* Contract 5.5: a value, and what is wrong with it (NULL: nothing). */
#define ROW(name, vr, bytes, why)                                                                  \
    {                                                                                              \
        name, vr, bytes, sizeof(bytes) - 1, why                                                    \
    }
#define TEN "1234567890"
#define SIXTY TEN TEN TEN TEN TEN TEN

static const struct {
    const char *name, *vr, *bytes;
    size_t len;
    const char *why;
} rows[] = {
    /* clang-format off */
    ROW("AE of 16",               "AE", TEN "123456",        NULL),
    ROW("AE of 17",               "AE", TEN "1234567",       "longer than 16 characters"),
    ROW("AE with a control",      "AE", "A\tB",              "a control character"),
    ROW("AE of spaces and another", "AE", "  \\B",         "only spaces"),
    ROW("AE of spaces",           "AE", "    ",              "only spaces"),
    ROW("AE of nothing and another", "AE", "\\B",         NULL),
    ROW("AE of NULs",             "AE", "\0\0",           NULL),
    ROW("DT sign at the end",     "DT", "2020+",             "an offset that is not +ZZXX"),
    ROW("DT fraction without digits", "DT", "20200101101010.", "a fraction that is not one to six digits after the seconds"),
    ROW("DT of nothing and another", "DT", "\\2020",      NULL),
    ROW("IS and DS of nothing",   "IS", " \\1",           NULL),
    ROW("TM with a bare point",   "TM", "101010.",           "not HH, HHMM, HHMMSS or HHMMSS.F"),
    ROW("AS",                     "AS", "001M",              NULL),
    ROW("ST with a NUL",          "ST", "a\0b",              "a NUL before its end"),
    ROW("LT with a NUL",          "LT", "a\0b",              "a NUL before its end"),
    ROW("UT with a NUL",          "UT", "\0b",               "a NUL before its end"),
    ROW("UC with a NUL and another", "UC", "a\0\\b",        "a NUL before its end"),
    ROW("UR with a NUL",          "UR", "urn:a\0b",          "a NUL before its end"),
    ROW("ST with NULs at its end", "ST", "a\n\0\0",         NULL),
    ROW("AS of an unknown unit",  "AS", "001X",              "not three digits and one of D W M Y"),
    ROW("AS too short",           "AS", "01M",               "not three digits and one of D W M Y"),
    ROW("CS of 16",               "CS", "ABCDEFGH_ 123456",  NULL),
    ROW("CS of 17",               "CS", "ABCDEFGH_12345678", "longer than 16 characters"),
    ROW("CS in lower case",       "CS", "ABc",               "a character other than A-Z, 0-9, space and _"),
    ROW("CS with a hyphen",       "CS", "A-B",               "a character other than A-Z, 0-9, space and _"),
    ROW("DA",                     "DA", "20200230",          NULL),
    ROW("DA month 00",            "DA", "20200030",          NULL),
    ROW("DA month 13",            "DA", "20201301",          "a month beyond 12"),
    ROW("DA day 32",              "DA", "20200132",          "a day beyond 31"),
    ROW("DA with dots",           "DA", "2020.01.02",        "not eight digits YYYYMMDD"),
    ROW("DA range",               "DA", "20200101-20201231", NULL),
    ROW("DA open range",          "DA", "-20201231",         NULL),
    ROW("DA padded",              "DA", "20200101  ",        NULL),
    ROW("DA two hyphens",         "DA", "2020-01-02",        "more than one -"),
    ROW("DA not a date",          "DA", "2020-09-22x",       "more than one -"),
    ROW("DS of 16",               "DS", "-1.5e-3\\+.5",      NULL),
    ROW("DS of 17",               "DS", "12345678901234567", "longer than 16 characters"),
    ROW("DS padded to 16",        "DS", "  1234567890123456 ", NULL),
    ROW("DS text",                "DS", "1,5",               "not a decimal number"),
    ROW("DS only a point",        "DS", ".",                 "not a decimal number"),
    ROW("DS half an exponent",    "DS", "1e",                "not a decimal number"),
    ROW("DS more after exponent", "DS", "1e5x",              "not a decimal number"),
    ROW("DT year",                "DT", "2020",              NULL),
    ROW("DT whole",               "DT", "20200131235960.123456+1400", NULL),
    ROW("DT three digits",        "DT", "202",               "not YYYYMMDDHHMMSS.F or a beginning of it"),
    ROW("DT odd digits",          "DT", "20201",             "not YYYYMMDDHHMMSS.F or a beginning of it"),
    ROW("DT month 00",            "DT", "202000",            "a month outside 1 to 12"),
    ROW("DT month 13",            "DT", "202013",            "a month outside 1 to 12"),
    ROW("DT day 00",              "DT", "20200100",          "a day outside 1 to 31"),
    ROW("DT day 32",              "DT", "20200132",          "a day outside 1 to 31"),
    ROW("DT hour 24",             "DT", "2020010124",        "an hour beyond 23"),
    ROW("DT minute 60",           "DT", "202001012360",      "a minute beyond 59"),
    ROW("DT second 61",           "DT", "20200101235961",    "a second beyond 60"),
    ROW("DT fraction of 7",       "DT", "20200101235959.1234567", "a fraction that is not one to six digits after the seconds"),
    ROW("DT early fraction",      "DT", "202001012359.1",    "a fraction that is not one to six digits after the seconds"),
    ROW("DT offset west",         "DT", "20200101-1200",     NULL),
    ROW("DT offset -0000",        "DT", "20200101-0000",     "an offset of -0000"),
    ROW("DT offset +1500",        "DT", "20200101+1500",     "an offset beyond +1400"),
    ROW("DT offset +01",          "DT", "20200101+01",       "an offset that is not +ZZXX"),
    ROW("DT range",               "DT", "2019-2020",         NULL),
    ROW("DT range with offsets",  "DT", "20190101-0500-20200101+0100", NULL),
    ROW("DT open ranges",         "DT", "-2020\\2020-",      NULL),
    ROW("DT text",                "DT", "2020x",             "not YYYYMMDDHHMMSS.F&ZZXX or a range of two"),
    ROW("IS",                     "IS", " +2147483647 ",     NULL),
    ROW("IS least",               "IS", "-2147483648",       NULL),
    ROW("IS beyond",              "IS", "2147483648",        "outside 32 bits"),
    ROW("IS below",               "IS", "-2147483649",       "outside 32 bits"),
    ROW("IS far beyond",          "IS", "99999999999999999999999", "outside 32 bits"),
    ROW("IS with a point",        "IS", "1.0",               "not a whole number"),
    ROW("IS text",                "IS", "x5",                "not a whole number"),
    ROW("IS sign",                "IS", "-",                 "not a whole number"),
    ROW("LO of 64",               "LO", SIXTY "1234",        NULL),
    ROW("LO of 65",               "LO", SIXTY "12345",       "longer than 64 characters"),
    ROW("LO with ESC",            "LO", "a\x1b(B",           NULL),
    ROW("LO with a control",      "LO", "a\nb",              "a control character"),
    ROW("LO with DEL",            "LO", "a\x7f" "b",         "a control character"),
    ROW("SH of 16",               "SH", TEN "123456",        NULL),
    ROW("SH of 17",               "SH", TEN "1234567",       "longer than 16 characters"),
    ROW("SH with NUL inside",     "SH", "a\0b",              "a control character"),
    ROW("SH with NULs at its end","SH", "ab\0\0",            NULL),
    ROW("PN of 64",               "PN", SIXTY "1234",        NULL),
    ROW("PN of 65",               "PN", "A=" SIXTY "12345",  "a component group longer than 64 characters"),
    ROW("PN of 3 groups",         "PN", "A=B=C",             NULL),
    ROW("PN of 4 groups",         "PN", "A=B=C=D",           "more than three component groups"),
    ROW("PN of 5 components",     "PN", "A^B^C^D^E",         NULL),
    ROW("PN of 6 components",     "PN", "A^B^C^D^E^F",       "more than five components"),
    ROW("PN with a control",      "PN", "A\r",               "a control character"),
    ROW("TM",                     "TM", "23\\2359\\235960\\235960.1", NULL),
    ROW("TM range",               "TM", "10-12",             NULL),
    ROW("TM hour 24",             "TM", "24",                "an hour beyond 23"),
    ROW("TM minute 60",           "TM", "2360",              "a minute beyond 59"),
    ROW("TM second 61",           "TM", "235961",            "a second beyond 60"),
    ROW("TM with colons",         "TM", "10:10:10",          "not HH, HHMM, HHMMSS or HHMMSS.F"),
    ROW("TM fraction of 7",       "TM", "101010.1234567",    "not HH, HHMM, HHMMSS or HHMMSS.F"),
    ROW("TM two hyphens",         "TM", "10-11-12",          "more than one -"),
    ROW("UI",                     "UI", "1.0.2",             NULL),
    ROW("UI of 65",               "UI", "1." SIXTY "123",    "longer than 64 characters"),
    ROW("UI of 64",               "UI", "1." SIXTY "12",     NULL),
    ROW("UI leading zero",        "UI", "1.02",              "a component with a leading zero"),
    ROW("UI begins with 0",       "UI", "0.1",               "a leading zero"),
    ROW("UI empty component",     "UI", "1..2",              "an empty component"),
    ROW("UI ends with a dot",     "UI", "1.2.",              "an empty component"),
    ROW("UI with letters",        "UI", "1.2.x",             "a character other than 0-9 and the dot"),
    ROW("UC has no rule",         "UC", "\1\2\3",            NULL),
    ROW("UR has no rule",         "UR", "not a \\ url",      NULL),
    /* clang-format on */
};

static void test_rows(void)
{
    char want[256];
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_dicom_options options = {.validate = true};
        build b = build_begin(UID_EXPLICIT);
        put_value(&b, 0x00111001, rows[i].vr, rows[i].bytes, rows[i].len);
        OUTCOME o = read_built(&b, &options);
        TAP_OK(o.status, o.err);
        TAP_EQ_INT(o.header.finding_count, rows[i].why == NULL ? 0 : 1);
        if (o.header.finding_count == 1) {
            dl_str reason = o.header.findings[0].reason.value;
            (void)snprintf(want, sizeof want, "\" is not a %s: %s", rows[i].vr, rows[i].why);
            TAP_TRUE(dl_str_ends(reason, dl_str_of(want)));
            TAP_TRUE(reason.ptr[0] == '"');
            TAP_EQ_STR(o.json, "{}");
        } else {
            TAP_TRUE(o.json.len > 2);
        }
        TAP_ROW_END(rows[i].name);
    }
}

/* The index rules: of Modality, StudyDate and the like, the first value. */
static const struct {
    const char *name;
    uint32_t tag;
    const char *vr, *bytes;
    size_t len;
    const char *why;
} first_rows[] = {
/* clang-format off */
#define FIRST(name, tag, vr, bytes, why) {name, tag, vr, bytes, sizeof(bytes) - 1, why}
    FIRST("first: CS in lower case", 0x00080060, "CS", "a-b",              NULL),
    FIRST("first: CS of 17",         0x00080060, "CS", "ABCDEFGH_12345678", "longer than 16 characters"),
    FIRST("first: CS, then one of 17", 0x00080060, "CS", "CT\\ABCDEFGH_12345678", NULL),
    FIRST("first: SH with a control", 0x00080050, "SH", "A\nB",           NULL),
    FIRST("first: DA",               0x00080020, "DA", "20200229",         NULL),
    FIRST("first: DA of nothing",    0x00080020, "DA", " ",                NULL),
    FIRST("first: DA, then none",    0x00080020, "DA", "20200229 \\x",   NULL),
    FIRST("first: DA of no calendar", 0x00080020, "DA", "20210229",        "not a day YYYYMMDD of the calendar"),
    FIRST("first: DA of no year",    0x00080020, "DA", "00000101",        "not a day YYYYMMDD of the calendar"),
    FIRST("first: DA range",         0x00080020, "DA", "20200101-20200102", "not a day YYYYMMDD of the calendar"),
    FIRST("first: UI leading zero",  0x0020000e, "UI", "1.02",             NULL),
    FIRST("first: UI with letters",  0x0020000e, "UI", "1.x",              "not 1 to 64 digits and dots"),
    FIRST("first: LO with a control", 0x00100020, "LO", "A\nB",           "a control character"),
    FIRST("first: no other tag",     0x00080070, "LO", "A\nB",            NULL),
#undef FIRST
    /* clang-format on */
};

static bool is_first_row(uint32_t tag)
{
    return tag != 0x00080070;
}

static void test_first_rows(void)
{
    char want[256];
    for (size_t i = 0; i < DL_COUNT_OF(first_rows); i++) {
        TAP_ROW_BEGIN();
        const dl_dicom_options options = {.first_values = true, .keeps = is_first_row};
        build b = build_begin(UID_EXPLICIT);
        put_value(&b, first_rows[i].tag, first_rows[i].vr, first_rows[i].bytes, first_rows[i].len);
        OUTCOME o = read_built(&b, &options);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.json.len > 2); /* it stays in any case */
        TAP_TRUE(o.header.many_values == (strchr(first_rows[i].bytes, '\\') != NULL));
        TAP_EQ_INT(o.header.finding_count, first_rows[i].why == NULL ? 0 : 1);
        if (o.header.finding_count == 1) {
            (void)snprintf(want, sizeof want, "\" is not a %s: %s", first_rows[i].vr,
                           first_rows[i].why);
            TAP_TRUE(dl_str_ends(o.header.findings[0].reason.value, dl_str_of(want)));
        }
        TAP_ROW_END(first_rows[i].name);
    }
}

static void check_long(const char *vr, size_t most)
{
    static char text[10241 * 2];
    for (size_t extra = 0; extra < 2; extra++) {
        /* Two bytes for each character: lengths count characters. */
        build b = build_begin(UID_EXPLICIT);
        PUT(&b, 0x00080005, "CS", "ISO_IR 192");
        text[0] = 'a';
        for (size_t i = 0; i + 1 < most + extra; i++) {
            memcpy(text + 2 * i + 1, "\xc3\xa4", 2);
        }
        put_value(&b, 0x00111001, vr, text, 2 * (most + extra) - 1);
        dl_dicom_options options = {.validate = true};
        OUTCOME o = read_built(&b, &options);
        TAP_OK(o.status, o.err);
        TAP_EQ_INT(o.header.finding_count, extra);
        if (extra == 1) { /* the quote is cut between characters */
            dl_str reason = o.header.findings[0].reason.value;
            TAP_TRUE(dl_str_is_utf8(reason));
            TAP_TRUE(reason.len < 1200);
        }
    }
}

TAP_CASE(long_texts_count_characters)
{
    check_long("ST", 1024);
    check_long("LT", 10240);
    check_long("LO", 64);
    check_long("SH", 16);
    check_long("PN", 64);
}

TAP_CASE(multiplicity)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080008, "CS", "ORIGINAL");
    PUT(&b, 0x00080018, "UI", "1.2\\1.3\0");
    PUT(&b, 0x00080060, "CS", "CT\\MR");
    PUT(&b, 0x00100020, "LO", "A\\B ");
    PUT(&b, 0x00111001, "LO", "A\\B ");
    put_head(&b, 0x00280010, "US", 4);
    put_u32(&b, 5);
    PUT(&b, 0x00280030, "DS", "1\\2 ");
    EXPECT_FINDINGS(
        &b,
        "00080008 0 \"ORIGINAL\" is not a CS: 1 value where ImageType takes at least 2\n"
        "00080018 0 \"1.2\\1.3\" is not a UI: 2 values where SOPInstanceUID takes at "
        "most 1\n"
        "00080060 0 \"CT\\MR\" is not a CS: 2 values where Modality takes at most 1\n"
        "00100020 0 \"A\\B\" is not a LO: 2 values where PatientID takes at most 1\n"
        "00280010 0 US: 2 values where Rows takes at most 1\n",
        "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2\",\"1.3\"]},"
        "\"00111001\":{\"vr\":\"LO\",\"Value\":[\"A\",\"B\"]},"
        "\"00280030\":{\"vr\":\"DS\",\"Value\":[1,2]}}");
}

TAP_CASE(identifiers_always_stay)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080016, "UI", "1.02.3");
    PUT(&b, 0x00080018, "UI", "1.02.4");
    PUT(&b, 0x0020000d, "UI", "1.02.5");
    PUT(&b, 0x0020000e, "UI", "1.02.6");
    dl_dicom_options options = {.validate = true};
    OUTCOME o = read_built(&b, &options);
    TAP_EQ_INT(o.header.finding_count, 4);
    TAP_EQ_STR(o.json, "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.02.4\"]},"
                       "\"0020000D\":{\"vr\":\"UI\",\"Value\":[\"1.02.5\"]},"
                       "\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"1.02.6\"]}}");
    TAP_EQ_STR(o.header.core[DL_DICOM_SOP_CLASS_UID].first, "1.02.3");
}

TAP_CASE(nested_elements_go_alone)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080020, "DA", "20200101");
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    for (int i = 0; i < 2; i++) {
        put_item(&b, 0xe000, LENGTH_UNDEFINED);
        PUT(&b, 0x00080020, "DA", "2020.1.1");
        PUT(&b, 0x0020000d, "UI", "1.02");
        PUT(&b, 0x0020000e, "UI", "1.2\0");
        put_item(&b, 0xe00d, 0);
    }
    put_item(&b, 0xe0dd, 0);
    EXPECT_FINDINGS(&b,
                    "00080020 1 \"2020.1.1\" is not a DA: not eight digits YYYYMMDD\n"
                    "0020000D 1 \"1.02\" is not a UI: a component with a leading zero\n",
                    "{\"00080020\":{\"vr\":\"DA\",\"Value\":[\"20200101\"]},"
                    "\"00081115\":{\"vr\":\"SQ\",\"Value\":["
                    "{\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}},"
                    "{\"0020000E\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}]}}");
}

TAP_CASE(core_values)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080016, "UI", "");
    PUT(&b, 0x00080018, "UI", "1.2 \0");
    PUT(&b, 0x00100020, "SH", " A\\B\\ ");
    PUT(&b, 0x0020000d, "UN", "1.2.3\0");
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    const dl_dicom_core_value *core = o.header.core;
    TAP_TRUE(core[DL_DICOM_SOP_CLASS_UID].present);
    TAP_EQ_INT(core[DL_DICOM_SOP_CLASS_UID].value_count, 0);
    TAP_EQ_INT(core[DL_DICOM_SOP_INSTANCE_UID].value_count, 1);
    TAP_EQ_STR(core[DL_DICOM_SOP_INSTANCE_UID].first, "1.2");
    TAP_EQ_INT(core[DL_DICOM_PATIENT_ID].value_count, 3);
    TAP_EQ_STR(core[DL_DICOM_PATIENT_ID].first, " A");
    TAP_EQ_INT(core[DL_DICOM_PATIENT_ID].vr, DL_VR('S', 'H'));
    TAP_TRUE(core[DL_DICOM_STUDY_INSTANCE_UID].present);
    TAP_EQ_INT(core[DL_DICOM_STUDY_INSTANCE_UID].vr, DL_VR('U', 'N'));
    TAP_TRUE(!core[DL_DICOM_SERIES_INSTANCE_UID].present);
}

int main(void)
{
    test_rows();
    test_first_rows();
    TAP_RUN(long_texts_count_characters);
    TAP_RUN(multiplicity);
    TAP_RUN(identifiers_always_stay);
    TAP_RUN(nested_elements_go_alone);
    TAP_RUN(core_values);
    return tap_done();
}
