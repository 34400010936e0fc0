#include "build.h"

/* The examples of PS3.5 annexes H (Japanese), I (Korean), J (UTF-8, GB18030) and K (GB 2312), one
 * text for each single-byte set, and what breaks. */
#define ROW(name, terms, bytes, json)                                                              \
    {                                                                                              \
        name, terms, bytes, sizeof(bytes) - 1, json                                                \
    }
#define PN1(a) "{\"Alphabetic\":\"" a "\"}"
#define PN2(a, i) "{\"Alphabetic\":\"" a "\",\"Ideographic\":\"" i "\"}"
#define PN3(a, i, p) "{\"Alphabetic\":\"" a "\",\"Ideographic\":\"" i "\",\"Phonetic\":\"" p "\"}"
#define BAD "\xef\xbf\xbd"

static const struct {
    const char *name, *terms, *bytes;
    size_t len;
    const char *json;
} names[] = {
    /* clang-format off */
    ROW("H.3.1", "\\ISO 2022 IR 87",
        "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        PN3("Yamada^Tarou", "山田^太郎", "やまだ^たろう")),
    ROW("H.3.2", "ISO 2022 IR 13\\ISO 2022 IR 87",
        "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        PN3("ﾔﾏﾀﾞ^ﾀﾛｳ", "山田^太郎", "やまだ^たろう")),
    ROW("ISO_IR 13 alone", "ISO_IR 13", "\xd4\xcf\xc0\xde^A\xff", PN1("ﾔﾏﾀﾞ^A" BAD)),
    ROW("I.2", "\\ISO 2022 IR 149",
        "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        PN3("Hong^Gildong", "洪^吉洞", "홍^길동")),
    ROW("Korean as value 1", "ISO 2022 IR 149", "\xc8\xab^\xb1\xe6\xb5\xbf", PN1("홍^길동")),
    ROW("J.1", "ISO_IR 192", "Wang^XiaoDong=\xe7\x8e\x8b^\xe5\xb0\x8f\xe4\xb8\x9c",
        PN2("Wang^XiaoDong", "王^小东")),
    ROW("J.3", "GB18030", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", PN2("Wang^XiaoDong", "王^小东")),
    ROW("GB18030 with four bytes", "GB18030", "\x81\x30\x84\x36", PN1("¥")),
    ROW("GB18030 with 5C inside", "GB18030", "\x81\x5c\\\x81\x5c", PN1("乗") "," PN1("乗")),
    ROW("J.4", "GBK", "Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab", PN2("Wang^XiaoDong", "王^小东")),
    ROW("K.2", "\\ISO 2022 IR 58",
        "Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", PN2("Zhang^XiaoDong", "张^小东")),
    ROW("JIS X 0212", "\\ISO 2022 IR 159", "\x1b$(D0!\x1b(B^a", PN1("丂^a")),
    ROW("both Japanese sets", "\\ISO 2022 IR 87\\ISO 2022 IR 159", "\x1b$B;3\x1b$(D0!\x1b(B", PN1("山丂")),
    ROW("ISO_IR 100", "ISO_IR 100", "Buc^J\xe9r\xf4me", PN1("Buc^Jérôme")),
    ROW("ISO_IR 101", "ISO_IR 101", "Wa\xb3\xeasa", PN1("Wałęsa")),
    ROW("ISO_IR 109", "ISO_IR 109", "\xe6", PN1("ĉ")),
    ROW("ISO_IR 110", "ISO_IR 110", "\xe0", PN1("ā")),
    ROW("ISO_IR 144", "ISO_IR 144", "\xbb\xee\xda\x63\x65\xdc\xd1\xe3\xe0\xd3", PN1("Люкceмбург")),
    ROW("ISO_IR 127", "ISO_IR 127", "\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1", PN1("قباني^لنزار")),
    ROW("ISO_IR 126", "ISO_IR 126", "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2", PN1("Διονυσιος")),
    ROW("ISO_IR 138", "ISO_IR 138", "\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", PN1("שרון^דבורה")),
    ROW("ISO_IR 148", "ISO_IR 148", "\xc7\xf0", PN1("Çğ")),
    ROW("ISO_IR 166", "ISO_IR 166", "\xca\xc1\xaa\xd2\xc2", PN1("สมชาย")),
    ROW("ISO_IR 203", "ISO_IR 203", "\xa4\xbd", PN1("€œ")),
    ROW("two single-byte sets", "ISO 2022 IR 100\\ISO 2022 IR 144",
        "J\xe9r\xf4me=\x1b-L\xbb\xee\xda", PN2("Jérôme", "Люк")),
    ROW("all the other designations",
        "ISO 2022 IR 6\\ISO 2022 IR 101\\ISO 2022 IR 109\\ISO 2022 IR 110\\ISO 2022 IR 126\\ISO 2022 IR 127",
        "\x1b-B\xb3\x1b-C\xe6\x1b-D\xe0\x1b-F\xc4\x1b-G\xe2\x1b-H\xf9\x1b-M\xf0\x1b-T\xca\x1b-b\xa4\x1b-A\xe9\x1b)I\xd4",
        PN1("łĉāΔقשğส€éﾔ")),
    /* What was designated ends at ^ and = (6.1.2.5.3): the bytes after them are the first set's. */
    ROW("a delimiter ends it", "ISO 2022 IR 100\\ISO 2022 IR 144", "\x1b-L\xbb^\xe9=\x1b-L\xbb=\xe9",
        PN3("Л^é", "Л", "é")),
    ROW("a backslash ends it", "ISO 2022 IR 100\\ISO 2022 IR 144", "\x1b-L\xbb\\\xe9", PN1("Л") "," PN1("é")),
    ROW("a backslash byte inside 0208", "\\ISO 2022 IR 87", "\x1b$B%\\\x1b(B\\B", PN1("ボ") "," PN1("B")),
    ROW("caret and equals inside 0208", "\\ISO 2022 IR 87", "\x1b$B$^$=\x1b(B=B", PN2("まそ", "B")),
    ROW("no set named", "", "J\xe9", PN1("J" BAD)),
    ROW("an unknown set", "ISO_IR 999", "J\xe9", PN1("J" BAD)),
    ROW("other separators", "ISO IR 100", "J\xe9", PN1("Jé")),
    ROW("small letters", "iso_ir 100", "J\xe9", PN1("Jé")),
    ROW("small letters, code extension", "\\iso 2022 ir 87", "\x1b$B;3\x1b(Ba", PN1("山a")),
    ROW("UTF-8 by its name", "UTF-8", "J\xc3\xa9", PN1("Jé")),
    ROW("UTF-8 by its short name", "utf8", "J\xc3\xa9", PN1("Jé")),
    ROW("a term longer than any", "ISO_IR 000000000000000000000000000000000000000000000000000000000000100",
        "J\xe9", PN1("J" BAD)),
    ROW("broken UTF-8", "ISO_IR 192", "a\xc3(\xe4\xb8z\xf0\x9f\x98", PN1("a" BAD "(" BAD BAD "z" BAD BAD BAD)),
    ROW("UTF-8 round a broken byte", "ISO_IR 192", "é\xff王\xf0\xa0\x80\x80", PN1("é" BAD "王𠀀")),
    ROW("a term without IR", "LATIN1", "a\xe9", PN1("a" BAD)),
    ROW("a term without number", "ISO_IR x", "a\xe9", PN1("a" BAD)),
    ROW("0208 as value 1", "ISO 2022 IR 87", "\x1b$B;3\x1b(Ba", PN1("山a")),
    ROW("overlong and surrogates", "ISO_IR 192", "\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80",
        PN1(BAD BAD BAD BAD BAD BAD BAD BAD BAD)),
    ROW("broken GBK", "GBK", "a\xff" "b\x81", PN1("a" BAD "b" BAD)),
    ROW("half a Korean character", "\\ISO 2022 IR 149", "\x1b$)C\xc8\xab\xb1", PN1("홍" BAD)),
    ROW("half a Japanese character", "\\ISO 2022 IR 87", "\x1b$B;\x1b(Ba", PN1(BAD "a")),
    ROW("no such Japanese character", "\\ISO 2022 IR 87", "\x1b$B)!\x1b(Ba", PN1(BAD "a")),
    ROW("undefined in Greek", "ISO_IR 126", "\xc4\xff", PN1("Δ" BAD)),
    ROW("nothing in the right half", "\\ISO 2022 IR 87", "\xc4", PN1(BAD)),
    ROW("an unknown escape", "\\ISO 2022 IR 87", "a\x1b%Gb", PN1("a\\u001B%Gb")),
    ROW("an escape without extension", "ISO_IR 100", "\x1b-L\xe9", PN1("\\u001B-Lé")),
    ROW("an escape at the end", "\\ISO 2022 IR 87", "a\x1b", PN1("a\\u001B")),
    /* clang-format on */
};

static void test_names(void)
{
    static char want[2048];
    for (size_t i = 0; i < DL_COUNT_OF(names); i++) {
        TAP_ROW_BEGIN();
        build b = build_begin(UID_EXPLICIT);
        put_value(&b, 0x00080005, "CS", names[i].terms, strlen(names[i].terms));
        put_value(&b, 0x00100010, "PN", names[i].bytes, names[i].len);
        OUTCOME o = read_built(&b, NULL);
        TAP_OK(o.status, o.err);
        (void)snprintf(want, sizeof want, "\"00100010\":{\"vr\":\"PN\",\"Value\":[%s]}}",
                       names[i].json);
        if (!dl_str_ends(o.json, dl_str_of(want))) {
            TAP_EQ_STR(o.json, want);
        }
        TAP_ROW_END(names[i].name);
    }
}

TAP_CASE(lines_end_what_was_designated)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "ISO 2022 IR 100\\ISO 2022 IR 144");
    PUT(&b, 0x00104000, "LT", "\x1b-L\xbb\r\n\xe9\x1b-L\xbb\t\xe9\x1b-L\xbb\f\xe9\x1b-L\xbb\\\xbb");
    EXPECT_JSON(&b, "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO 2022 IR 100\",\"ISO 2022 IR "
                    "144\"]},\"00104000\":{\"vr\":\"LT\",\"Value\":[\"Л\\r\\néЛ\\téЛ\\u000CéЛ\\\\Л"
                    "\"]}}");
}

TAP_CASE(items_inherit_and_override)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "ISO_IR 100");
    put_head(&b, 0x00081115, "SQ", LENGTH_UNDEFINED);
    put_item(&b, 0xe000, LENGTH_UNDEFINED);
    PUT(&b, 0x00080005, "CS", "ISO_IR 144");
    PUT(&b, 0x00080080, "LO", "\xbb");
    put_item(&b, 0xe00d, 0);
    put_item(&b, 0xe000, 9);
    PUT(&b, 0x00080080, "LO", "\xe9");
    put_item(&b, 0xe000, 19);
    PUT(&b, 0x00080005, "CS", "  ");
    PUT(&b, 0x00080080, "LO", "\xe9");
    put_item(&b, 0xe0dd, 0);
    PUT(&b, 0x00100020, "LO", "\xe9");
    EXPECT_JSON(&b, "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 100\"]},"
                    "\"00081115\":{\"vr\":\"SQ\",\"Value\":["
                    "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 144\"]},"
                    "\"00080080\":{\"vr\":\"LO\",\"Value\":[\"Л\"]}},"
                    "{\"00080080\":{\"vr\":\"LO\",\"Value\":[\"é\"]}},"
                    "{\"00080005\":{\"vr\":\"CS\"},"
                    "\"00080080\":{\"vr\":\"LO\",\"Value\":[\"é\"]}}]},"
                    "\"00100020\":{\"vr\":\"LO\",\"Value\":[\"é\"]}}");
}

TAP_CASE(other_vrs_are_in_the_default_repertoire)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "ISO_IR 100");
    PUT(&b, 0x00080060, "CS", "\xe9");
    PUT(&b, 0x00189313, "UC", "\xe9");
    EXPECT_JSON(&b, "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 100\"]},"
                    "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"" BAD "\"]},"
                    "\"00189313\":{\"vr\":\"UC\",\"Value\":[\"é\"]}}");
}

TAP_CASE(long_runs_are_converted_in_pieces)
{
    static char text[60003];
    memcpy(text, "\x1b$B", 3);
    for (size_t i = 3; i + 1 < sizeof text; i += 2) {
        memcpy(text + i, ";3", 2);
    }
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "\\ISO 2022 IR 87");
    put_value(&b, 0x00104000, "LT", text, sizeof text);
    OUTCOME o = read_built(&b, NULL);
    TAP_OK(o.status, o.err);
    TAP_TRUE(o.json.len > 90000 && dl_str_is_utf8(o.json));
    TAP_EQ_INT(dl_str_find_str(o.json, DL_STR(BAD)), -1);
}

TAP_CASE(c1_controls_are_controls)
{
    build b = build_begin(UID_EXPLICIT);
    PUT(&b, 0x00080005, "CS", "ISO_IR 100");
    PUT(&b, 0x00100020, "LO", "a\x85");
    EXPECT_FINDINGS(&b, "00100020 0 \"a\xc2\x85\" is not a LO: a control character\n",
                    "{\"00080005\":{\"vr\":\"CS\",\"Value\":[\"ISO_IR 100\"]}}");
}

int main(void)
{
    test_names();
    TAP_RUN(lines_end_what_was_designated);
    TAP_RUN(items_inherit_and_override);
    TAP_RUN(other_vrs_are_in_the_default_repertoire);
    TAP_RUN(long_runs_are_converted_in_pieces);
    TAP_RUN(c1_controls_are_controls);
    return tap_done();
}
