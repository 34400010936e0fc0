#include "build.h"

#include <stdlib.h>
#include <unistd.h>

/* Transfer syntaxes, lengths, sequences, files with parts missing (PS3.5 section 7, PS3.10). */

static void put_body(build *b, bool defined)
{
    PUT(b, 0x00080018, "UI", "1.2\0");
    put_head(b, 0x00081115, "SQ", defined ? 8 + 10 + 8 : LENGTH_UNDEFINED);
    put_item(b, 0xe000, defined ? 10 : LENGTH_UNDEFINED);
    PUT(b, 0x00080060, "CS", "CT");
    if (!defined) {
        put_item(b, 0xe00d, 0);
    }
    put_item(b, 0xe000, defined ? 0 : LENGTH_UNDEFINED);
    if (!defined) {
        put_item(b, 0xe00d, 0);
        put_item(b, 0xe0dd, 0);
    }
    put_us(b, 0x00280010, 258);
}

#define BODY                                                                                       \
    "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]},\"00081115\":{\"vr\":\"SQ\",\"Value\":["    \
    "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]}},{}]},"                                      \
    "\"00280010\":{\"vr\":\"US\",\"Value\":[258]}}"

static void test_syntaxes(void)
{
    static const struct {
        const char *name, *uid;
        bool implicit, big, deflated;
    } rows[] = {
        {"implicit", UID_IMPLICIT, true, false, false},
        {"explicit", UID_EXPLICIT, false, false, false},
        {"big endian", UID_BIG, false, true, false},
        {"deflated", UID_DEFLATED, false, false, true},
        {"JPEG", UID_JPEG, false, false, false},
        {"a syntax of the future", "1.2.840.10008.1.2.99", false, false, false},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        for (int defined = 0; defined < 2; defined++) {
            char name[64];
            TAP_ROW_BEGIN();
            build b = build_begin(rows[i].uid);
            size_t start = b.len;
            put_body(&b, defined != 0);
            if (rows[i].deflated) {
                build_deflate(&b, start);
            }
            OUTCOME o = read_built(&b, NULL);
            TAP_OK(o.status, o.err);
            TAP_EQ_STR(o.json, BODY);
            TAP_TRUE(o.header.has_preamble && o.header.has_meta);
            TAP_EQ_INT(o.header.implicit_vr, rows[i].implicit);
            TAP_EQ_INT(o.header.big_endian, rows[i].big);
            TAP_EQ_INT(o.header.deflated, rows[i].deflated);
            TAP_EQ_STR(o.header.transfer_syntax_uid, rows[i].uid);
            TAP_EQ_INT(o.header.pixels.rows, 258);
            (void)snprintf(name, sizeof name, "%s, %s lengths", rows[i].name,
                           defined ? "defined" : "undefined");
            TAP_ROW_END(name);
        }
    }
}

static void test_bare(void)
{
    static const struct {
        const char *name, *uid;
        bool implicit, big;
    } rows[] = {
        {"bare implicit", UID_IMPLICIT, true, false},
        {"bare explicit", UID_EXPLICIT, false, false},
        {"bare big endian", UID_BIG, false, true},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        build b = build_bare(rows[i].implicit, rows[i].big);
        put_body(&b, true);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        TAP_EQ_STR(o.json, BODY);
        TAP_TRUE(!o.header.has_preamble && !o.header.has_meta);
        TAP_EQ_STR(o.header.transfer_syntax_uid, rows[i].uid);
        TAP_ROW_END(rows[i].name);
    }
}

TAP_CASE(meta_without_preamble)
{
    build b = build_bare(false, false);
    PUT(&b, 0x00020010, "UI", UID_EXPLICIT "\0");
    put_body(&b, true);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(o.json, BODY);
    TAP_TRUE(!o.header.has_preamble && o.header.has_meta);
}

/** Group 0002 as writers make it: the length, a version of VR OB, and more; wrong lengths pass. */
TAP_CASE(whole_meta)
{
    for (int row = 0; row < 4; row++) {
        build b = build_bare(false, false);
        put_bytes(&b, "DICM", 4); /* without a preamble, too */
        if (row < 3) {
            put_head(&b, 0x00020000, "UL", 4);
            put_u32(&b, row == 0 ? 70 : row == 1 ? 7 : 1000000);
        }
        PUT(&b, 0x00020001, "OB", "\0\1");
        PUT(&b, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2\0");
        PUT(&b, 0x00020010, "UI", UID_EXPLICIT "\0");
        TAP_TRUE(row > 0 || b.len == 4 + 12 + 14 + 34 + 28);
        size_t meta = b.len;
        put_body(&b, true);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        TAP_EQ_STR(o.json, BODY);
        TAP_TRUE(!o.header.has_preamble && o.header.has_meta);
        for (size_t len = 0; len < meta - 1; len++) {
            build cut = b;
            cut.len = len;
            OUTCOME p = read_built(&cut, NULL);
            TAP_STATUS(p.status, DL_E_INVALID);
        }
    }
}

TAP_CASE(meta_in_implicit_vr)
{
    build b = build_bare(true, false);
    PUT(&b, 0x00020010, "UI", UID_EXPLICIT "\0");
    b.implicit = false;
    put_body(&b, true);
    EXPECT_JSON(&b, BODY);
    b = build_bare(false, false);
    put_head(&b, 0x00020010, "UT", 100000);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "element 00020010: length 100000");
}

/** The syntax goes into headers of answers: a line break in it must not. */
TAP_CASE(syntax_is_a_uid)
{
    static const char digits[] =
        "1.2222222233333333334444444444555555555566666666667777777777888812";
    const struct {
        const char *name, *value;
        size_t len;
        bool good;
    } rows[] = {
        {"line break", UID_EXPLICIT "\r\nX: 1", sizeof UID_EXPLICIT - 1 + 6, false},
        {"NUL inside", "1.2\0.3 ", 6, false},
        {"letters", "1.2.x ", 6, false},
        {"not ASCII", "1.2.\xc3\xa4", 6, false},
        {"64 characters", digits, 64, true},
        {"65 characters", digits, 65, false},
        {"spaces around", " 1.2.3\0\0", 8, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        TAP_ROW_BEGIN();
        build b = build_bare(false, false);
        put_value(&b, 0x00020010, "UI", rows[i].value, rows[i].len);
        put_body(&b, true);
        OUTCOME o = read_built(&b, NULL);
        TAP_STATUS(o.status, rows[i].good ? DL_OK : DL_E_INVALID);
        TAP_ROW_END(rows[i].name);
    }
}

/** More than one read of deflated bytes, and a stream that ends too early. */
TAP_CASE(large_deflated)
{
    static char noise[200000];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof noise; i++) {
        seed = seed * 1664525 + 1013904223;
        noise[i] = (char)(seed >> 24);
    }
    build b = build_begin(UID_DEFLATED);
    size_t start = b.len;
    put_value(&b, 0x00091001, "OB", noise, sizeof noise);
    put_body(&b, true);
    build_deflate(&b, start);
    TAP_TRUE(b.len > 150000);
    OUTCOME o = read_built(&b, NULL);
    TAP_STATUS(o.status, DL_OK);
    b.len /= 2;
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "the input ends inside the header, at element 00091001");
}

/** Cut anywhere, a deflated data set is seen to be cut, also at the end of an element. */
TAP_CASE(cut_in_the_deflated)
{
    for (int pixels = 0; pixels < 2; pixels++) {
        build b = build_begin(UID_DEFLATED);
        size_t start = b.len;
        put_body(&b, true);
        if (pixels != 0) {
            PUT(&b, 0x7fe00010, "OW", "abcd");
        }
        build_deflate(&b, start);
        OUTCOME whole = read_built(&b, NULL);
        TAP_OK(whole.status, whole.err);
        for (size_t len = start + 1; len < b.len; len++) {
            build cut = b;
            cut.len = len;
            OUTCOME o = read_built(&cut, NULL);
            bool kept = o.status == DL_OK && o.header.pixels.present && o.header.truncated_pixels;
            TAP_TRUE(kept || o.status == DL_E_INVALID);
        }
        put_bytes(&b, "\0", 1); /* the pad byte of PS3.5 A.5 */
        OUTCOME padded = read_built(&b, NULL);
        TAP_OK(padded.status, padded.err);
        TAP_TRUE(!padded.header.truncated_pixels);
    }
}

TAP_CASE(preamble_without_meta)
{
    build b = build_begin(UID_EXPLICIT);
    b.len = 132;
    put_body(&b, false);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(o.json, BODY);
    TAP_TRUE(o.header.has_preamble && !o.header.has_meta);
}

TAP_CASE(meta_that_says_otherwise)
{
    build b = build_begin(UID_EXPLICIT);
    b.implicit = true;
    put_body(&b, true);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(o.json, BODY);
    TAP_TRUE(o.header.implicit_vr);
    b = build_begin(UID_IMPLICIT);
    b.implicit = false;
    put_body(&b, true);
    OUTCOME p = read_built(&b, NULL);
    TAP_OK(p.status, p.err);
    TAP_EQ_STR(p.json, BODY);
    TAP_TRUE(!p.header.implicit_vr);
}

TAP_CASE(implicit_vrs_come_from_the_dictionary)
{
    build b = build_begin(UID_IMPLICIT);
    PUT(&b, 0x00080000, "UL", "\1\0\0\0");
    PUT(&b, 0x00080001, "UL", "1\0");      /* length to end: known */
    PUT(&b, 0x00080007, "UN", "unknown "); /* not in the dictionary */
    PUT(&b, 0x00090010, "LO", "CREATOR "); /* a private creator */
    PUT(&b, 0x00091001, "UN", "private "); /* a private element */
    PUT(&b, 0x00280103, "US", "\1\0");     /* signed pixels */
    PUT(&b, 0x00280106, "SS", "\xff\xff"); /* US or SS */
    PUT(&b, 0x00283006, "OW", "\1\0\2\0"); /* US or OW */
    PUT(&b, 0x60020010, "US", "\5\0");     /* a repeating group */
    PUT(&b, 0x60023000, "OW", "\1\0");     /* OB or OW */
    EXPECT_JSON(&b, "{\"00080001\":{\"vr\":\"UL\"},"
                    "\"00090010\":{\"vr\":\"LO\",\"Value\":[\"CREATOR\"]},"
                    "\"00280103\":{\"vr\":\"US\",\"Value\":[1]},"
                    "\"00280106\":{\"vr\":\"SS\",\"Value\":[-1]},"
                    "\"60020010\":{\"vr\":\"US\",\"Value\":[5]}}");
    b = build_begin(UID_IMPLICIT);
    PUT(&b, 0x00280106, "US", "\xff\xff");
    EXPECT_JSON(&b, "{\"00280106\":{\"vr\":\"US\",\"Value\":[65535]}}");
}

/** In implicit VR a value without items is no sequence, whatever the dictionary says. */
TAP_CASE(sequences_without_items)
{
    static const char *const values[] = {"MEANINGLESS ", "AB", "1234567"};
    for (size_t i = 0; i < DL_COUNT_OF(values); i++) {
        build b = build_begin(UID_IMPLICIT);
        put_value(&b, 0x0040a170, "SQ", values[i], strlen(values[i]));
        put_head(&b, 0x0040a300, "SQ", 0);
        PUT(&b, 0x0040a730, "SQ", "\xfe\xff\0\xe0\0\0\0\0");
        EXPECT_FINDINGS(&b, "0040A170 0 SQ: the value has no items\n",
                        "{\"0040A300\":{\"vr\":\"SQ\"},"
                        "\"0040A730\":{\"vr\":\"SQ\",\"Value\":[{}]}}");
        b = build_begin(UID_EXPLICIT);
        put_value(&b, 0x0040a170, "SQ", values[i], strlen(values[i]));
        EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "");
    }
    build c = build_begin(UID_IMPLICIT); /* the delimiter is no end of it, so no delimiter */
    PUT(&c, 0x0040a730, "SQ", "\xfe\xff\xdd\xe0\0\0\0\0abcd");
    EXPECT_FINDINGS(&c, "0040A730 0 SQ: the value has no items\n", "{}");
    build b = build_begin(UID_EXPLICIT); /* not within what is not looked at */
    put_head(&b, 0x00091010, "UN", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    b.implicit = true;
    PUT(&b, 0x0040a170, "SQ", "MEANINGLESS ");
    b.implicit = false;
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe0dd, 0);
    EXPECT_FINDINGS(&b, "", "{}");
    b = build_begin(UID_IMPLICIT);
    PUT(&b, 0x0040a170, "SQ", "MEANINGLESS ");
    b.len -= 10;
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "the input ends inside the header");
}

static void put_ended(build *b, bool in_sequence, bool in_item, uint32_t more)
{
    uint32_t item = in_item ? 18 : 10;
    put_head(b, 0x0040a730, "SQ", 8 + item + (in_sequence ? 8 : 0) + more);
    put_item(b, 0xe000, item + more);
    put_value(b, 0x0040a30a, "DS", "1 ", 2);
    if (in_item) {
        put_item(b, 0xe00d, 0);
    }
    put_bytes(b, "\0\0\0\0\0\0\0\0", more); /* an element of group 0, without a value */
    if (in_sequence) {
        put_item(b, 0xe0dd, 0);
    }
    put_value(b, 0x00420010, "ST", "ab", 2);
}

/** What has a length needs no delimiter, but may end with one. */
TAP_CASE(delimiters_that_the_length_counts)
{
    for (unsigned i = 0; i < 16; i++) {
        bool in_sequence = (i & 1) != 0;
        bool in_item = (i & 2) != 0;
        bool implicit = (i & 4) != 0;
        bool goes_on = (i & 8) != 0;
        build b = build_begin(implicit ? UID_IMPLICIT : UID_EXPLICIT);
        put_ended(&b, in_sequence, in_item, goes_on ? 8 : 0);
        if (in_item && goes_on) {
            EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "item tag fffee00d where an element should be");
        } else {
            EXPECT_JSON(&b, "{\"0040A730\":{\"vr\":\"SQ\",\"Value\":["
                            "{\"0040A30A\":{\"vr\":\"DS\",\"Value\":[1]}}]},"
                            "\"00420010\":{\"vr\":\"ST\",\"Value\":[\"ab\"]}}");
        }
    }
    for (int implicit = 0; implicit < 2; implicit++) {
        build b = build_begin(implicit != 0 ? UID_IMPLICIT : UID_EXPLICIT);
        put_head(&b, 0x0040a730, "SQ", 8);
        put_item(&b, 0xe0dd, 0);
        EXPECT_FINDINGS(&b, "", "{\"0040A730\":{\"vr\":\"SQ\"}}");
    }
    build b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x0040a730, "SQ", 16);
    put_item(&b, 0xe0dd, 0);
    put_item(&b, 0xe000, 0);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "tag fffee0dd where an item of a sequence");
}

/** Two spaces for a VR: the dictionary's, and a length of 16 bits. */
TAP_CASE(blank_vrs)
{
    for (int big = 0; big < 2; big++) {
        build b = build_begin(big ? UID_BIG : UID_EXPLICIT);
        put_us(&b, 0x00280103, 1);
        put_head(&b, 0x00280120, "  ", 2);
        put_u16(&b, 0xfff0);
        put_head(&b, 0x00291010, "  ", 2);
        put_u16(&b, 7);
        PUT(&b, 0x00321060, "LO", "x");
        EXPECT_JSON(&b, "{\"00280103\":{\"vr\":\"US\",\"Value\":[1]},"
                        "\"00280120\":{\"vr\":\"SS\",\"Value\":[-16]},"
                        "\"00321060\":{\"vr\":\"LO\",\"Value\":[\"x\"]}}");
    }
}

/** UN of undefined length holds implicit VR items, which are parsed over (PS3.5 6.2.2). */
TAP_CASE(unknown_sequences_are_parsed_over)
{
    build b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00091001, "UN", LENGTH_UNDEFINED);
    b.implicit = true;
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    PUT(&b, 0x00080020, "DA", "not a date");
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe0dd, 0);
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe0dd, 0);
    b.implicit = false;
    PUT(&b, 0x00100020, "LO", "ID");
    EXPECT_FINDINGS(&b, "", "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}");
}

/** Its items are little endian, whatever the file is. */
TAP_CASE(unknown_sequences_of_big_endian_files)
{
    build b = build_begin(UID_BIG);
    put_head(&b, 0x00091001, "UN", LENGTH_UNDEFINED);
    b.implicit = true;
    b.big = false;
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    PUT(&b, 0x00080020, "DA", "20200101");
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe0dd, 0);
    b.implicit = false;
    b.big = true;
    PUT(&b, 0x00100020, "LO", "ID");
    EXPECT_JSON(&b, "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}");
}

TAP_CASE(bulk_inside_items_is_left_out)
{
    build b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00880200, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    put_us(&b, 0x00280010, 2);
    PUT(&b, 0x00281201, "OW", "\1\0");
    put_head(&b, 0x7fe00010, "OB", LENGTH_UNDEFINED); /* an encapsulated icon */
    put_item(&b, 0xe000, 0);
    put_item(&b, 0xe000, 2);
    put_bytes(&b, "ab", 2);
    put_item(&b, 0xe0dd, 0);
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe0dd, 0);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(o.json, "{\"00880200\":{\"vr\":\"SQ\",\"Value\":[{\"00280010\":{\"vr\":\"US\","
                       "\"Value\":[2]}}]}}");
    TAP_TRUE(!o.header.pixels.present);
    TAP_EQ_INT(o.header.pixels.rows, 0);
}

TAP_CASE(order_and_repetition)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00100020, "LO", "a,\\\"{");
    PUT(&b, 0x00080060, "CS", "CT");
    PUT(&b, 0x00080060, "CS", "MR");
    PUT(&b, 0x00100020, "LO", "second");
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    PUT(&b, 0x00081155, "UI", "1.2\0");
    PUT(&b, 0x00081150, "UI", "1.3\0");
    PUT(&b, 0x00081155, "UI", "1.4\0");
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe0dd, 0);
    const char *want = "{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"
                       "\"00081115\":{\"vr\":\"SQ\",\"Value\":[{"
                       "\"00081150\":{\"vr\":\"UI\",\"Value\":[\"1.3\"]},"
                       "\"00081155\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}]},"
                       "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"a,\",\"\\\"{\"]}}";
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_STR(o.json, want);
    TAP_EQ_STR(o.header.core[DL_DICOM_PATIENT_ID].first, "a,");
    TAP_EQ_STR(list_findings(&o.header), "00100020 0 the tag is there a second time\n"
                                         "00081155 1 the tag is there a second time\n"
                                         "00080060 0 the tag is there a second time\n");
}

TAP_CASE(of_a_fact_twice_the_first_counts)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "ISO_IR 100");
    put_us(&b, 0x00280002, 1);
    PUT(&b, 0x00280004, "CS", "MONOCHROME2 ");
    PUT(&b, 0x00280008, "IS", "2 ");
    put_us(&b, 0x00280010, 3);
    put_us(&b, 0x00280011, 4);
    put_us(&b, 0x00280100, 8);
    put_us(&b, 0x00280103, 0);
    PUT(&b, 0x00280008, "IS", "5 ");
    put_us(&b, 0x00280010, 6);
    put_us(&b, 0x00280011, 7);
    put_us(&b, 0x00280002, 3);
    PUT(&b, 0x00280004, "CS", "YBR_FULL_422");
    put_us(&b, 0x00280100, 16);
    PUT(&b, 0x00080005, "CS", "ISO_IR 192");
    PUT(&b, 0x00321060, "LO", "\xe9 ");
    put_value(&b, 0x7fe00010, "OB", "123456789012345678901234", 24);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_EQ_INT(o.header.pixels.frame_count, 2);
    TAP_EQ_INT(o.header.pixels.rows, 3);
    TAP_EQ_INT(o.header.pixels.columns, 4);
    TAP_EQ_INT(o.header.pixels.samples, 1);
    TAP_EQ_INT(o.header.pixels.bits_allocated, 8);
    TAP_TRUE(!o.header.pixels.half_chroma);
    TAP_TRUE(strstr(o.json.ptr, "\"00321060\":{\"vr\":\"LO\",\"Value\":[\"\xc3\xa9\"]}") != NULL);
}

TAP_CASE(of_a_tag_twice_the_first_stays_out_when_it_was_invalid)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080020, "DA", "2020.1.2");
    PUT(&b, 0x00100020, "LO", "ID");
    PUT(&b, 0x00080020, "DA", "20200102");
    EXPECT_FINDINGS(&b, "00080020 0 \"2020.1.2\" is not a DA: not eight digits YYYYMMDD\n",
                    "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}");
}

TAP_CASE(the_delimiter_of_an_item_may_be_the_last_thing)
{
    static const char *const syntaxes[] = {UID_EXPLICIT, UID_IMPLICIT, UID_BIG};
    const char *want = "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}";
    for (size_t i = 0; i < DL_COUNT_OF(syntaxes); i++) {
        build b = build_begin(syntaxes[i]);
        PUT(&b, 0x00100020, "LO", "ID");
        put_item(&b, 0xe00d, 0);
        EXPECT_FINDINGS(&b, "", want);
        put_item(&b, 0xe00d, 0);
        EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "item tag fffee00d where an element should be");
    }
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00100020, "LO", "ID");
    put_item(&b, 0xe00d, 8);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "item tag fffee00d where an element should be");
    b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00100020, "LO", "ID");
    put_item(&b, 0xe0dd, 0);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "item tag fffee0dd where an element should be");
}

TAP_CASE(zeros_at_the_end_are_padding)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00100020, "LO", "ID");
    put_bytes(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
    EXPECT_JSON(&b, "{\"00100020\":{\"vr\":\"LO\",\"Value\":[\"ID\"]}}");
}

/** One zero or some: an odd length made even, a record filled up. */
TAP_CASE(few_zeros_are_padding_after_pixels)
{
    for (size_t count = 1; count < 8; count++) {
        build b = build_begin(UID_EXPLICIT);
        PUT(&b, 0x00100020, "LO", "ID");
        build without = b;
        put_bytes(&without, "\0\0\0\0\0\0\0", count);
        EXPECT_FAILURE(&without, NULL, DL_E_INVALID, "the input ends inside the header");
        PUT(&b, 0x7fe00010, "OW", "ab");
        put_bytes(&b, "\0\0\0\0\0\0\0", count);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        TAP_TRUE(o.header.pixels.present && !o.header.truncated_pixels);
        b.bytes[b.len - 1] = '\n';
        OUTCOME p = read_built(&b, NULL);
        TAP_OK(p.status, p.err);
        TAP_TRUE(p.header.truncated_pixels);
    }
}

/** What follows the pixel data and cannot be an element ends the data set; before it, it is wrong.
 */
TAP_CASE(tags_that_are_none_end_what_follows_pixels)
{
    static const uint32_t tags[] = {0xfffee0dd, 0xfffee00d, 0xfffee000, 0xffffffff};
    for (size_t i = 0; i < DL_COUNT_OF(tags); i++) {
        for (int encapsulated = 0; encapsulated < 2; encapsulated++) {
            build b = build_begin(encapsulated ? UID_JPEG : UID_EXPLICIT);
            PUT(&b, 0x00100020, "LO", "ID");
            put_us(&b, 0x00280002, 1);
            put_us(&b, 0x00280010, 1);
            put_us(&b, 0x00280011, 2);
            put_us(&b, 0x00280100, 8);
            if (encapsulated) {
                put_head(&b, 0x7fe00010, "OB", LENGTH_UNDEFINED);
                put_item(&b, 0xe000, 0);
                put_item(&b, 0xe000, 2);
                put_bytes(&b, "\xff\xd9", 2);
                put_item(&b, 0xe0dd, 0);
            } else {
                PUT(&b, 0x7fe00010, "OW", "ab");
            }
            PUT(&b, 0xfffa0010, "LO", "after");
            put_u16(&b, tags[i] >> 16);
            put_u16(&b, tags[i] & 0xffff);
            put_u32(&b, i == 0 ? 0 : LENGTH_UNDEFINED);
            PUT(&b, 0xfffa0020, "LO", "lost");
            OUTCOME o = read_built(&b, NULL);
            TAP_OK(o.status, o.err);
            TAP_TRUE(o.header.truncated_pixels && o.header.pixels.indexed);
            TAP_TRUE(dl_str_ends(o.json, DL_STR("\"FFFA0010\":{\"vr\":\"LO\",\"Value\":"
                                                "[\"after\"]}}")));
        }
    }
}

TAP_CASE(an_empty_data_set)
{
    build b = build_begin(UID_EXPLICIT);
    EXPECT_JSON(&b, "{}");
}

TAP_CASE(inputs_that_are_not_dicom)
{
    build b = build_bare(false, false);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "neither a DICOM file nor a bare data set");
    put_bytes(&b, "Hello, world, this is text and no image", 39);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "neither a DICOM file nor a bare data set");
    b = build_begin("1.2.840.113619.5.2");
    EXPECT_FAILURE(&b, NULL, DL_E_UNSUPPORTED, "transfer syntax 1.2.840.113619.5.2");
    b = build_begin("1.2.840.10008.1.2.1.9999999999999999999999999999999999999999999999");
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "length 66 exceeds 64");
    b = build_begin(UID_DEFLATED);
    put_bytes(&b, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "cannot be inflated");
}

TAP_CASE(lengths_that_cannot_be)
{
    build b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00081115, "SQ", 4);
    put_item(&b, 0xe000, 100);
    PUT(&b, 0x00080060, "CS", "CT");
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "passes the end");
    b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, 9);
    PUT(&b, 0x00080060, "CS", "CT");
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "element 00080060: length 2 passes the end");
    b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe00d, 0);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "where an item of a sequence should be");
    b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080060, "CS", "CT");
    put_item(&b, 0xe0dd, 0);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID,
                   "item tag fffee0dd where an element should be, after 00080060");
    b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00104000, "UT", LENGTH_UNDEFINED);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "element 00104000: undefined length with VR UT");
    b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00104000, "UT", 0xfffffffe);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "the input ends inside the header");
    b = build_begin(UID_EXPLICIT);
    put_head(&b, 0x00104000, "OB", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    EXPECT_FAILURE(&b, NULL, DL_E_INVALID, "where a fragment should be");
}

/** Cut anywhere before the pixel data, a file is refused or (between elements) shorter. */
TAP_CASE(cut_anywhere)
{
    build b = build_begin(UID_EXPLICIT);
    size_t start = b.len;
    put_body(&b, false);
    for (size_t len = 0; len < b.len; len++) {
        build cut = b;
        cut.len = len;
        OUTCOME o = read_built(&cut, NULL);
        bool between = len == start || len == start + 12 || len == b.len - 10;
        TAP_STATUS(o.status, between ? DL_OK : DL_E_INVALID);
        if (o.status != DL_OK) {
            TAP_TRUE(o.err.message[0] != '\0');
            TAP_EQ_INT(o.json.len, 0);
        }
    }
}

/** A source that gives one byte less than wanted at first has ended; one that fails is heard. */
static dl_status failing_read(void *context, void *out, size_t want, size_t *out_got, dl_error *err)
{
    (void)context;
    (void)out;
    (void)want;
    *out_got = 0;
    return dl_error_set(err, DL_E_IO, "the disk is gone");
}

static dl_status failing_skip(void *context, uint64_t count, dl_error *err)
{
    (void)context;
    (void)count;
    return dl_error_set(err, DL_E_UNAVAILABLE, "the store is away");
}

static dl_status memory_read(void *context, void *out, size_t want, size_t *out_got, dl_error *err)
{
    dl_dicom_source inner = dl_dicom_source_memory(context);
    return inner.read(context, out, want, out_got, err);
}

TAP_CASE(errors_of_skipping_come_through)
{
    static char pixels[20000];
    build b = build_begin(UID_EXPLICIT);
    put_value(&b, 0x7fe00010, "OB", pixels, sizeof pixels);
    for (int fails = 0; fails < 2; fails++) {
        DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
        DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
        dl_dicom_memory memory = {.bytes = {(const uint8_t *)b.bytes, b.len}};
        dl_dicom_source source = {memory_read, fails ? failing_skip : NULL, &memory};
        dl_dicom_header header;
        dl_error err = {0};
        dl_status status = dl_dicom_read(reader, &source, arena, NULL, &header, &err);
        TAP_STATUS(status, fails ? DL_E_UNAVAILABLE : DL_OK);
        TAP_EQ_STR(dl_str_of(err.message), fails ? "the store is away" : "");
    }
}

/** The file has become shorter, or cannot be read at all. */
TAP_CASE(files_that_change)
{
    char path[] = "/tmp/dl-test-XXXXXX";
    int fd = mkstemp(path);
    TAP_TRUE(fd >= 0);
    (void)unlink(path);
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_dicom_file file = {.fd = fd, .size = 1000};
    dl_dicom_source source = dl_dicom_source_file(&file);
    dl_dicom_header header;
    dl_error err = {0};
    TAP_STATUS(dl_dicom_read(reader, &source, arena, NULL, &header, &err), DL_E_INVALID);
    (void)close(fd);
    file = (dl_dicom_file){.fd = -1, .size = 1000};
    TAP_TRUE(dl_dicom_read(reader, &source, arena, NULL, &header, &err) != DL_OK);
    TAP_TRUE(err.os_code != 0);
}

TAP_CASE(errors_of_the_source_come_through)
{
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    dl_dicom_source source = {.read = failing_read};
    dl_dicom_header header;
    dl_error err = {0};
    TAP_STATUS(dl_dicom_read(reader, &source, arena, NULL, &header, &err), DL_E_IO);
    TAP_EQ_STR(dl_str_of(err.message), "the disk is gone");
}

TAP_CASE(a_reader_is_used_again)
{
    DL_AUTO(dl_dicom_reader) reader = dl_dicom_reader_create(NULL);
    DL_AUTO(dl_arena) arena = dl_arena_create(1 << 20);
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, 1 << 20);
    TAP_STATUS(dl_buf_append(&json, "before ", 7, NULL), DL_OK);
    for (int i = 0; i < 4; i++) {
        build b = build_begin(i % 2 == 0 ? UID_DEFLATED : UID_BIG);
        size_t start = b.len;
        put_body(&b, true);
        if (i % 2 == 0) {
            build_deflate(&b, start);
        }
        dl_dicom_memory memory = {.bytes = {(const uint8_t *)b.bytes, b.len}};
        dl_dicom_source source = dl_dicom_source_memory(&memory);
        dl_dicom_header header;
        dl_error err = {0};
        TAP_OK(dl_dicom_read(reader, &source, arena, &json, &header, &err), err);
        TAP_EQ_STR(dl_buf_str(&json), "before " BODY);
        json.len = 7;
    }
}

int main(void)
{
    test_syntaxes();
    test_bare();
    TAP_RUN(meta_without_preamble);
    TAP_RUN(whole_meta);
    TAP_RUN(meta_in_implicit_vr);
    TAP_RUN(syntax_is_a_uid);
    TAP_RUN(large_deflated);
    TAP_RUN(cut_in_the_deflated);
    TAP_RUN(preamble_without_meta);
    TAP_RUN(meta_that_says_otherwise);
    TAP_RUN(implicit_vrs_come_from_the_dictionary);
    TAP_RUN(sequences_without_items);
    TAP_RUN(delimiters_that_the_length_counts);
    TAP_RUN(blank_vrs);
    TAP_RUN(unknown_sequences_are_parsed_over);
    TAP_RUN(unknown_sequences_of_big_endian_files);
    TAP_RUN(bulk_inside_items_is_left_out);
    TAP_RUN(order_and_repetition);
    TAP_RUN(of_a_fact_twice_the_first_counts);
    TAP_RUN(of_a_tag_twice_the_first_stays_out_when_it_was_invalid);
    TAP_RUN(the_delimiter_of_an_item_may_be_the_last_thing);
    TAP_RUN(zeros_at_the_end_are_padding);
    TAP_RUN(few_zeros_are_padding_after_pixels);
    TAP_RUN(tags_that_are_none_end_what_follows_pixels);
    TAP_RUN(an_empty_data_set);
    TAP_RUN(inputs_that_are_not_dicom);
    TAP_RUN(lengths_that_cannot_be);
    TAP_RUN(cut_anywhere);
    TAP_RUN(errors_of_skipping_come_through);
    TAP_RUN(files_that_change);
    TAP_RUN(errors_of_the_source_come_through);
    TAP_RUN(a_reader_is_used_again);
    return tap_done();
}
