#include "tap.h"

#include "base/mem.h"
#include "json/json.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define S(literal)                                                                                 \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* ---- writing ---- */

static const struct {
    const char *name;
    dl_str text, want;
} quotes[] = {
    /* clang-format off */
    {"empty",                    S(""),                       S("\"\"")},
    {"plain",                    S("PatientID"),              S("\"PatientID\"")},
    {"quote and backslash",      S("a\"b\\c"),                S("\"a\\\"b\\\\c\"")},
    {"the short escapes",        S("\b\t\n\f\r"),             S("\"\\b\\t\\n\\f\\r\"")},
    {"other controls",           S("\x00\x01\x0b\x1f"),       S("\"\\u0000\\u0001\\u000b\\u001f\"")},
    {"DEL stands as it is",      S("\x7f"),                   S("\"\x7f\"")},
    {"slash stands as it is",    S("a/b"),                    S("\"a/b\"")},
    {"two bytes",                S("M\xc3\xbcller"),          S("\"M\xc3\xbcller\"")},
    {"three and four bytes",     S("\xe5\xb1\xb1\xf0\x9f\x98\x80"), S("\"\xe5\xb1\xb1\xf0\x9f\x98\x80\"")},
    {"a lone continuation",      S("a\x80z"),                 S("\"a\xef\xbf\xbdz\"")},
    {"an overlong form",         S("\xc0\xaf"),               S("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
    {"a surrogate",              S("\xed\xa0\x80"),           S("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
    {"past U+10FFFF",            S("\xf4\x90\x80\x80"),       S("\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"")},
    {"cut in a sequence",        S("ab\xe5\xb1"),             S("\"ab\xef\xbf\xbd\"")},
    {"cut, then plain",          S("\xf0\x9f\x98z"),          S("\"\xef\xbf\xbdz\"")},
    {"special in the 8th byte",  S("1234567\"12345678"),      S("\"1234567\\\"12345678\"")},
    {"special in the 9th byte",  S("12345678\n"),             S("\"12345678\\n\"")},
    /* clang-format on */
};

static void run_quotes(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(quotes); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO_BUF buf = {0};
        dl_error err = {0};
        dl_buf_init(&buf, 1000);
        TAP_OK(dl_json_quote(&buf, quotes[i].text, &err), err);
        TAP_TRUE(dl_str_eq(dl_buf_str(&buf), quotes[i].want));
        TAP_ROW_END(quotes[i].name);
    }
}

/* Every byte at every place of two words of eight: the fast way finds what the slow way finds. */
TAP_CASE(quote_every_byte_everywhere)
{
    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < 17; at++) {
            char text[17];
            memset(text, 'a', sizeof text);
            text[at] = (char)c;
            DL_AUTO_BUF buf = {0};
            dl_error err = {0};
            dl_buf_init(&buf, 1000);
            TAP_OK(dl_json_quote(&buf, (dl_str){text, sizeof text}, &err), err);
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            size_t grown = plain                                              ? 0
                           : c >= 0x80                                        ? 2
                           : c < 0x20 && strchr("\b\t\n\f\r", (int)c) == NULL ? 5
                                                                              : 1;
            if (c == 0) {
                grown = 5;
            }
            TAP_EQ_INT(buf.len, sizeof text + 2 + grown);
            TAP_STATUS(dl_json_check(dl_buf_str(&buf), NULL), DL_OK);
        }
    }
}

TAP_CASE(quote_long_text_of_another_script)
{
    enum { COUNT = 5000 };
    static char text[3 * COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        memcpy(text + 3 * i, "\xe5\xb1\xb1", 3);
    }
    DL_AUTO_BUF buf = {0};
    dl_error err = {0};
    dl_buf_init(&buf, 1000000);
    TAP_OK(dl_json_quote(&buf, (dl_str){text, sizeof text}, &err), err);
    TAP_EQ_INT(buf.len, sizeof text + 2);
    TAP_TRUE(memcmp(buf.ptr + 1, text, sizeof text) == 0);
}

TAP_CASE(quote_leaves_the_buffer_when_full)
{
    static char text[1000];
    DL_AUTO_BUF buf = {0};
    dl_error err = {0};
    memset(text, 'a', sizeof text);
    dl_buf_init(&buf, 1000);
    TAP_OK(dl_buf_append_str(&buf, DL_STR("ab"), &err), err);
    TAP_STATUS(dl_json_quote(&buf, (dl_str){text, 997}, &err), DL_E_LIMIT);
    TAP_EQ_STR(dl_buf_str(&buf), "ab");
    text[500] = '\n';
    TAP_STATUS(dl_json_quote(&buf, (dl_str){text, 996}, &err), DL_E_LIMIT);
    TAP_EQ_STR(dl_buf_str(&buf), "ab");
    TAP_OK(dl_json_quote(&buf, (dl_str){text, 995}, &err), err);
    TAP_EQ_INT(buf.len, 1000);
    buf.len = 2;
    text[500] = 'a';
    TAP_OK(dl_json_quote(&buf, (dl_str){text, 996}, &err), err);
    TAP_EQ_INT(buf.len, 1000);
}

TAP_CASE(writer_sets_commas_and_colons)
{
    DL_AUTO_BUF buf = {0};
    dl_error err = {0};
    dl_json_writer w;
    dl_buf_init(&buf, 10000);
    dl_json_writer_init(&w, &buf, &err);
    dl_json_object_begin(&w);
    dl_json_key(&w, DL_STR("a"));
    dl_json_array_begin(&w);
    dl_json_int(&w, 1);
    dl_json_null(&w);
    dl_json_object_begin(&w);
    dl_json_object_end(&w);
    dl_json_array_begin(&w);
    dl_json_array_end(&w);
    dl_json_bool(&w, true);
    dl_json_bool(&w, false);
    dl_json_array_end(&w);
    dl_json_key(&w, DL_STR("b\n"));
    dl_json_raw(&w, DL_STR("{\"x\":1}"));
    dl_json_key(&w, DL_STR("c"));
    dl_json_string(&w, DL_STR("t"));
    dl_json_object_end(&w);
    TAP_OK(dl_json_writer_status(&w), err);
    TAP_EQ_STR(dl_buf_str(&buf),
               "{\"a\":[1,null,{},[],true,false],\"b\\n\":{\"x\":1},\"c\":\"t\"}");
    TAP_STATUS(dl_json_check(dl_buf_str(&buf), NULL), DL_OK);
}

TAP_CASE(writer_keeps_its_first_failure)
{
    static char text[1000];
    DL_AUTO_BUF buf = {0};
    dl_error err = {0};
    dl_json_writer w;
    memset(text, 'a', sizeof text);
    dl_buf_init(&buf, 1000);
    dl_json_writer_init(&w, &buf, &err);
    dl_json_array_begin(&w);
    dl_json_string(&w, (dl_str){text, sizeof text});
    dl_json_int(&w, 1);
    dl_json_array_end(&w);
    TAP_STATUS(dl_json_writer_status(&w), DL_E_LIMIT);
    TAP_TRUE(err.message[0] != '\0');
    TAP_EQ_STR(dl_buf_str(&buf), "[");
}

TAP_CASE(writer_numbers)
{
    static const struct {
        double value;
        const char *want;
    } rows[] = {{0, "0"},
                {-0.0, "-0"},
                {0.1, "0.1"},
                {1e300, "1e+300"},
                {1.0 / 3, "0.3333333333333333"},
                {5e-324, "5e-324"},
                {NAN, "null"},
                {INFINITY, "null"},
                {-INFINITY, "null"},
                {100, "100"},
                {2.5e-7, "2.5e-07"}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        DL_AUTO_BUF buf = {0};
        dl_error err = {0};
        dl_json_writer w;
        dl_buf_init(&buf, 100);
        dl_json_writer_init(&w, &buf, &err);
        dl_json_double(&w, rows[i].value);
        TAP_EQ_STR(dl_buf_str(&buf), rows[i].want);
        TAP_STATUS(dl_json_check(dl_buf_str(&buf), NULL), DL_OK);
    }
    static const struct {
        int64_t value;
        const char *want;
    } ints[] = {{0, "0"},
                {-1, "-1"},
                {INT64_MAX, "9223372036854775807"},
                {INT64_MIN, "-9223372036854775808"}};
    for (size_t i = 0; i < DL_COUNT_OF(ints); i++) {
        DL_AUTO_BUF buf = {0};
        dl_json_writer w;
        int64_t back = 7;
        dl_buf_init(&buf, 100);
        dl_json_writer_init(&w, &buf, NULL);
        dl_json_int(&w, ints[i].value);
        TAP_EQ_STR(dl_buf_str(&buf), ints[i].want);
        TAP_TRUE(dl_json_int_of(dl_buf_str(&buf), &back));
        TAP_EQ_INT(back, ints[i].value);
    }
}

TAP_CASE(doubles_read_back_the_same)
{
    uint64_t bits = 0x9e3779b97f4a7c15U;
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double value = 0;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        DL_AUTO_BUF buf = {0};
        dl_json_writer w;
        dl_buf_init(&buf, 100);
        dl_json_writer_init(&w, &buf, NULL);
        dl_json_double(&w, value);
        TAP_STATUS(dl_buf_terminate(&buf, NULL), DL_OK);
        TAP_TRUE(strtod(buf.ptr, NULL) == value); /* NOLINT */
    }
}

/* ---- checking ---- */

static const struct {
    const char *name;
    dl_str text;
    bool good;
} checks[] = {
    /* clang-format off */
    {"object",                   S("{}"), true},
    {"array",                    S(" [ ] "), true},
    {"scalars",                  S("[1,-0,0.5,1e5,1E-5,1.25e+2,true,false,null,\"\"]"), true},
    {"lone number",              S("12"), true},
    {"lone string",              S("\"x\""), true},
    {"nested",                   S("{\"a\":{\"b\":[{},[[]]]},\"c\":1}"), true},
    {"white space",              S(" \t\r\n{ \"a\" : 1 , \"b\" : [ 1 , 2 ] }\n"), true},
    {"all escapes",              S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\""), true},
    {"a surrogate pair",         S("\"\\ud83d\\ude00\""), true},
    {"UTF-8",                    S("\"\xc3\xa4\xf0\x9f\x98\x80\""), true},
    {"empty",                    S(""), false},
    {"white space only",         S("  "), false},
    {"two values",               S("1 2"), false},
    {"text after the end",       S("{} x"), false},
    {"byte order mark",          S("\xef\xbb\xbf{}"), false},
    {"trailing comma, array",    S("[1,]"), false},
    {"trailing comma, object",   S("{\"a\":1,}"), false},
    {"leading comma",            S("[,1]"), false},
    {"no comma",                 S("[1 2]"), false},
    {"no colon",                 S("{\"a\" 1}"), false},
    {"no value",                 S("{\"a\":}"), false},
    {"no key",                   S("{1:2}"), false},
    {"bare key",                 S("{a:2}"), false},
    {"single quotes",            S("['a']"), false},
    {"wrong bracket",            S("[1}"), false},
    {"wrong bracket, object",    S("{\"a\":1]"), false},
    {"not closed",               S("[1"), false},
    {"not closed, object",       S("{\"a\":1"), false},
    {"closed twice",             S("[]]"), false},
    {"comment",                  S("[/**/1]"), false},
    {"plus sign",                S("+1"), false},
    {"leading zero",             S("01"), false},
    {"minus only",               S("-"), false},
    {"minus, leading zero",      S("-01"), false},
    {"no digit after the point", S("1."), false},
    {"no digit before it",       S(".5"), false},
    {"no digit in the exponent", S("1e"), false},
    {"sign only in it",          S("1e+"), false},
    {"two signs in it",          S("1e+-1"), false},
    {"hexadecimal",              S("0x10"), false},
    {"NaN",                      S("NaN"), false},
    {"Infinity",                 S("-Infinity"), false},
    {"cut word",                 S("tru"), false},
    {"longer word",              S("trues"), false},
    {"capital word",             S("True"), false},
    {"string without end",       S("\"abc"), false},
    {"ends in a backslash",      S("\"abc\\"), false},
    {"ends after a backslash",   S("\"abc\\\""), false},
    {"unknown escape",           S("\"\\x41\""), false},
    {"escaped NUL byte",         S("\"\\\0\""), false},
    {"short \\u",                S("\"\\u12\""), false},
    {"\\u without hex",          S("\"\\u12g4\""), false},
    {"half a pair, high",        S("\"\\ud83d\""), false},
    {"half a pair, then text",   S("\"\\ud83dabcdefgh\""), false},
    {"half a pair, low",         S("\"\\ude00\""), false},
    {"two highs",                S("\"\\ud83d\\ud83d\""), false},
    {"newline in a string",      S("\"a\nb\""), false},
    {"NUL in a string",          S("\"a\0b\""), false},
    {"NUL after the value",      S("1\0"), false},
    {"not UTF-8",                S("\"\xff\""), false},
    {"overlong",                 S("\"\xc0\x80\""), false},
    {"a surrogate in UTF-8",     S("\"\xed\xa0\x80\""), false},
    /* clang-format on */
};

static void run_checks(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(checks); i++) {
        TAP_ROW_BEGIN();
        dl_error err = {0};
        dl_status status = dl_json_check(checks[i].text, &err);
        TAP_STATUS(status, checks[i].good ? DL_OK : DL_E_INVALID);
        TAP_TRUE((err.message[0] != '\0') == !checks[i].good);
        TAP_ROW_END(checks[i].name);
    }
}

static size_t nest(char *out, size_t depth, bool object)
{
    size_t at = 0;
    for (size_t i = 0; i < depth; i++) {
        at += (size_t)snprintf(out + at, 8, "%s", object ? "{\"a\":" : "[");
    }
    out[at++] = '1';
    for (size_t i = 0; i < depth; i++) {
        out[at++] = object ? '}' : ']';
    }
    return at;
}

TAP_CASE(depth_has_a_bound)
{
    static char text[8 * DL_JSON_DEPTH_LIMIT];
    for (int object = 0; object < 2; object++) {
        size_t len = nest(text, DL_JSON_DEPTH_LIMIT, object == 1);
        TAP_STATUS(dl_json_check((dl_str){text, len}, NULL), DL_OK);
        len = nest(text, DL_JSON_DEPTH_LIMIT + 1, object == 1);
        TAP_STATUS(dl_json_check((dl_str){text, len}, NULL), DL_E_INVALID);
    }
}

TAP_CASE(errors_name_the_byte_and_not_the_text)
{
    dl_error err = {0};
    TAP_STATUS(dl_json_check(DL_STR("{\"name\":Mustermann}"), &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "byte 8") != NULL);
    TAP_TRUE(strstr(err.message, "Muster") == NULL);
}

/* ---- relaxing ---- */

static const struct {
    const char *name, *text, *want; /* want NULL: an error */
} relaxes[] = {
    /* clang-format off */
    {"nothing to do",            "{\"a\":[1,2]}",            "{\"a\":[1,2]}"},
    {"line comment",             "[1 // one\n,2]",           "[1       \n,2]"},
    {"line comment at the end",  "1 // one",                 "1       "},
    {"block comment",            "[1,/* , */2]",             "[1,       2]"},
    {"comment in a string",      "[\"// x /* y */\"]",       "[\"// x /* y */\"]"},
    {"comma in a string",        "[\",]\"]",                 "[\",]\"]"},
    {"quote in a string",        "[\"\\\",]\",]",            "[\"\\\",]\" ]"},
    {"comma before ]",           "[1,]",                     "[1 ]"},
    {"comma before }",           "{\"a\":1 , }",             "{\"a\":1   }"},
    {"comma, comment, bracket",  "[1,/*x*/ // y\n]",         "[1           \n]"},
    {"two commas stay",          "[1,,]",                    "[1,,]"},
    {"comma alone stays",        "[,]",                      "[,]"},
    {"nested",                   "[[1,],{\"a\":[],},]",      "[[1 ],{\"a\":[] } ]"},
    {"comment without end",      "[1/* x",                   NULL},
    {"block closed at once",     "[/**/1]",                  "[    1]"},
    {"slash star slash",         "[/*/1]",                   NULL},
    {"a lone slash stays",       "[1/2]",                    "[1/2]"},
    {"empty",                    "",                         ""},
    /* clang-format on */
};

static void run_relaxes(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(relaxes); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(10000);
        dl_error err = {0};
        dl_str out = DL_STR("before");
        dl_status status = dl_json_relax(dl_str_of(relaxes[i].text), arena, &out, &err);
        TAP_STATUS(status, relaxes[i].want == NULL ? DL_E_INVALID : DL_OK);
        TAP_EQ_STR(out, relaxes[i].want == NULL ? "before" : relaxes[i].want);
        TAP_ROW_END(relaxes[i].name);
    }
}

/* ---- walking ---- */

TAP_CASE(walk_members_and_elements)
{
    dl_str text =
        DL_STR(" { \"a\" : [ 1 , \"x\\\"]\" , {\"q\":[]} , null ] , \"b\":true,\"c\\n\":-1.5e3 } ");
    TAP_STATUS(dl_json_check(text, NULL), DL_OK);
    dl_json_iter members = dl_json_iter_of(text);
    dl_str key = DL_STR_NONE, value = DL_STR_NONE;
    TAP_TRUE(dl_json_next_member(&members, &key, &value));
    TAP_EQ_STR(key, "a");
    TAP_EQ_INT(dl_json_kind_of(value), DL_JSON_ARRAY);
    static const char *const want[] = {"1", "\"x\\\"]\"", "{\"q\":[]}", "null"};
    static const dl_json_kind kinds[] = {DL_JSON_NUMBER, DL_JSON_STRING, DL_JSON_OBJECT,
                                         DL_JSON_NULL};
    dl_json_iter elements = dl_json_iter_of(value);
    dl_str element = DL_STR_NONE;
    for (size_t i = 0; i < 4; i++) {
        TAP_TRUE(dl_json_next_element(&elements, &element));
        TAP_EQ_STR(element, want[i]);
        TAP_EQ_INT(dl_json_kind_of(element), kinds[i]);
        dl_str at = DL_STR_NONE;
        TAP_TRUE(dl_json_at(value, i, &at));
        TAP_TRUE(at.ptr == element.ptr && at.len == element.len);
    }
    TAP_TRUE(!dl_json_next_element(&elements, &element));
    TAP_TRUE(!dl_json_next_element(&elements, &element));
    TAP_TRUE(!dl_json_at(value, 4, &element));
    TAP_TRUE(dl_json_next_member(&members, &key, &value));
    TAP_EQ_INT(dl_json_kind_of(value), DL_JSON_BOOL);
    TAP_TRUE(dl_json_next_member(&members, &key, &value));
    TAP_EQ_STR(key, "c\\n");
    TAP_EQ_STR(value, "-1.5e3");
    TAP_TRUE(!dl_json_next_member(&members, &key, &value));
    TAP_EQ_STR(value, "-1.5e3");
}

TAP_CASE(walk_what_is_no_container)
{
    static const char *const texts[] = {"",  "1", "\"[1]\"", "null", "[",
                                        "{", "]", "  ",      "[1",   "{\"a\":1"};
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        dl_json_iter iter = dl_json_iter_of(dl_str_of(texts[i]));
        dl_str key = DL_STR("k"), value = DL_STR("v");
        TAP_TRUE(!dl_json_next_member(&iter, &key, &value));
        iter = dl_json_iter_of(dl_str_of(texts[i]));
        TAP_TRUE(!dl_json_next_element(&iter, &value));
        TAP_EQ_STR(key, "k");
        TAP_EQ_STR(value, "v");
    }
}

TAP_CASE(walk_members_of_an_array_and_elements_of_an_object)
{
    dl_str key = DL_STR("k"), value = DL_STR("v");
    dl_json_iter iter = dl_json_iter_of(DL_STR("[\"a\",1]"));
    TAP_TRUE(!dl_json_next_member(&iter, &key, &value));
    iter = dl_json_iter_of(DL_STR("{\"a\":1}"));
    TAP_TRUE(!dl_json_next_element(&iter, &value));
    TAP_TRUE(!dl_json_at(DL_STR("{\"a\":1}"), 0, &value));
    TAP_EQ_STR(value, "v");
}

TAP_CASE(get_by_key)
{
    dl_str object =
        DL_STR("{\"limit\":1,\"Limit\":2,\"limit\":3,\"li\\u006dit2\":4,\"a\\/b\":5,\"\":6}");
    static const struct {
        const char *key;
        const char *exact, *nocase; /* NULL: absent */
    } rows[] = {{"limit", "3", "3"},  {"Limit", "2", "3"}, {"LIMIT", NULL, "3"},
                {"limit2", "4", "4"}, {"a/b", "5", "5"},   {"A/B", NULL, "5"},
                {"", "6", "6"},       {"lim", NULL, NULL}, {"limit22", NULL, NULL}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_str value = DL_STR("v");
        TAP_TRUE(dl_json_get(object, dl_str_of(rows[i].key), &value) == (rows[i].exact != NULL));
        TAP_EQ_STR(value, rows[i].exact == NULL ? "v" : rows[i].exact);
        value = DL_STR("v");
        TAP_TRUE(dl_json_get_nocase(object, dl_str_of(rows[i].key), &value) ==
                 (rows[i].nocase != NULL));
        TAP_EQ_STR(value, rows[i].nocase == NULL ? "v" : rows[i].nocase);
    }
    dl_str value = DL_STR("v");
    TAP_TRUE(!dl_json_get(DL_STR("[\"limit\"]"), DL_STR("limit"), &value));
}

/* ---- scalars ---- */

static const struct {
    const char *name, *value;
    dl_str want;
    dl_status status;
} texts[] = {
    /* clang-format off */
    {"plain text",         "\"abc\"",                    S("abc"),                  DL_OK},
    {"empty text",         "\"\"",                       S(""),                     DL_OK},
    {"escapes",            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", S("\"\\/\b\f\n\r\t"),  DL_OK},
    {"\\u of 1 to 3 bytes", "\"\\u0041\\u00e4\\u5c71\"", S("A\xc3\xa4\xe5\xb1\xb1"), DL_OK},
    {"a pair",             "\"\\ud83d\\ude00\"",         S("\xf0\x9f\x98\x80"),     DL_OK},
    {"escaped NUL",        "\"a\\u0000b\"",              S("a\0b"),                 DL_OK},
    {"half a pair",        "\"x\\ud83dy\"",              S("x\xef\xbf\xbdy"),       DL_OK},
    {"white space round",  " \"a\" ",                    S("a"),                    DL_OK},
    {"a number",           "1",                          S(""),                     DL_E_INVALID},
    {"null",               "null",                       S(""),                     DL_E_INVALID},
    {"no end",             "\"abc",                      S(""),                     DL_E_INVALID},
    {"unknown escape",     "\"\\x\\x\\x\\x\"",           S(""),                     DL_E_INVALID},
    {"short \\u in text",  "\"\\u12\"",                  S(""),                     DL_E_INVALID},
    {"nothing",            "",                           S(""),                     DL_E_INVALID},
    /* clang-format on */
};

static void run_texts(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(1000);
        dl_error err = {0};
        dl_str out = DL_STR("before");
        TAP_STATUS(dl_json_text(dl_str_of(texts[i].value), arena, &out, &err), texts[i].status);
        if (texts[i].status == DL_OK) {
            TAP_TRUE(dl_str_eq(out, texts[i].want));
        } else {
            TAP_EQ_STR(out, "before");
            TAP_TRUE(err.message[0] != '\0');
        }
        TAP_ROW_END(texts[i].name);
    }
}

TAP_CASE(text_at_the_arena_limit)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(4);
    dl_str out = DL_STR("before");
    TAP_STATUS(dl_json_text(DL_STR("\"1234\""), arena, &out, NULL), DL_E_LIMIT);
    TAP_EQ_STR(out, "before");
    TAP_STATUS(dl_json_text(DL_STR("\"12\\n\""), arena, &out, NULL), DL_E_LIMIT);
    TAP_STATUS(dl_json_text(DL_STR("\"123\""), arena, &out, NULL), DL_OK);
    TAP_EQ_STR(out, "123");
}

TAP_CASE(ints_and_bools)
{
    static const struct {
        const char *text;
        bool good;
        int64_t want;
    } rows[] = {{"0", true, 0},
                {"-0", true, 0},
                {" 12 ", true, 12},
                {"-7", true, -7},
                {"+7", false, 0},
                {"-+7", false, 0},
                {"07", false, 0},
                {"1.0", false, 0},
                {"1e3", false, 0},
                {"\"1\"", false, 0},
                {"", false, 0},
                {"-", false, 0},
                {"true", false, 0},
                {"9223372036854775807", true, INT64_MAX},
                {"9223372036854775808", false, 0}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        int64_t value = 99;
        TAP_TRUE(dl_json_int_of(dl_str_of(rows[i].text), &value) == rows[i].good);
        TAP_EQ_INT(value, rows[i].good ? rows[i].want : 99);
    }
    bool value = false;
    TAP_TRUE(dl_json_bool_of(DL_STR(" true"), &value) && value);
    TAP_TRUE(dl_json_bool_of(DL_STR("false"), &value) && !value);
    TAP_TRUE(!dl_json_bool_of(DL_STR("True"), &value));
    TAP_TRUE(!dl_json_bool_of(DL_STR("\"true\""), &value));
    TAP_TRUE(!dl_json_bool_of(DL_STR("1"), &value));
}

TAP_CASE(what_is_quoted_reads_back)
{
    char text[256];
    for (size_t i = 0; i < 128; i++) {
        text[i] = (char)i;
    }
    memcpy(text + 128, "\xc3\xa4\xe5\xb1\xb1\xf0\x9f\x98\x80", 9);
    dl_str original = {text, 128 + 9};
    DL_AUTO_BUF buf = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    dl_error err = {0};
    dl_str back = DL_STR_NONE;
    dl_buf_init(&buf, 10000);
    TAP_OK(dl_json_quote(&buf, original, &err), err);
    TAP_OK(dl_json_text(dl_buf_str(&buf), arena, &back, &err), err);
    TAP_TRUE(dl_str_eq(back, original));
}

int main(void)
{
    run_quotes();
    TAP_RUN(quote_every_byte_everywhere);
    TAP_RUN(quote_long_text_of_another_script);
    TAP_RUN(quote_leaves_the_buffer_when_full);
    TAP_RUN(writer_sets_commas_and_colons);
    TAP_RUN(writer_keeps_its_first_failure);
    TAP_RUN(writer_numbers);
    TAP_RUN(doubles_read_back_the_same);
    run_checks();
    TAP_RUN(depth_has_a_bound);
    TAP_RUN(errors_name_the_byte_and_not_the_text);
    run_relaxes();
    TAP_RUN(walk_members_and_elements);
    TAP_RUN(walk_what_is_no_container);
    TAP_RUN(walk_members_of_an_array_and_elements_of_an_object);
    TAP_RUN(get_by_key);
    run_texts();
    TAP_RUN(text_at_the_arena_limit);
    TAP_RUN(ints_and_bools);
    TAP_RUN(what_is_quoted_reads_back);
    return tap_done();
}
