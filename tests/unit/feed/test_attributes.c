#include "tap.h"

#include "base/mem.h"
#include "feed/feed.h"
#include "json/json.h"

enum { ARENA_BYTES = 64 << 20 };

/* "tag vr(value,value)" for each attribute; ~ for an element null, - for no Value. */
static void describe(const dl_feed_attribute *attributes, size_t count, dl_buf *out)
{
    dl_buf_reset(out);
    for (size_t i = 0; i < count; i++) {
        const dl_feed_attribute *a = &attributes[i];
        TAP_OK(dl_buf_printf(out, NULL, "%s%.*s %.*s", i == 0 ? "" : ";", DL_STR_ARG(a->tag),
                             DL_STR_ARG(a->vr)),
               (dl_error){0});
        TAP_OK(dl_buf_append_str(out, a->has_value ? DL_STR("(") : DL_STR("-"), NULL),
               (dl_error){0});
        for (size_t v = 0; v < a->value_count; v++) {
            dl_str value = a->values[v].ptr == NULL ? DL_STR("~") : a->values[v];
            TAP_OK(dl_buf_printf(out, NULL, "%s%.*s", v == 0 ? "" : "|", DL_STR_ARG(value)),
                   (dl_error){0});
        }
        if (a->has_value) {
            TAP_OK(dl_buf_append_char(out, ')', NULL), (dl_error){0});
        }
    }
}

static const struct {
    const char *name, *text;
    const char *want;  /* NULL: refused */
    const char *other; /* compact text when it is not the input, or words of the error */
} rows[] = {
    /* clang-format off */
    {"nothing",            "{}", "", NULL},
    {"one string",         "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2\"]}}", "00080018 UI(1.2)", NULL},
    {"no value",           "{\"00080018\":{\"vr\":\"UI\"}}", "00080018 UI-", NULL},
    {"value first",        "{\"00080018\":{\"Value\":[\"1\"],\"vr\":\"UI\"}}", "00080018 UI(1)", NULL},
    {"no vr",              "{\"00080018\":{\"Value\":[]}}", "00080018 ()", NULL},
    {"nothing in it",      "{\"00080018\":{}}", "00080018 -", NULL},
    {"value null",         "{\"00080018\":{\"vr\":\"UI\",\"Value\":null}}", "00080018 UI-", NULL},
    {"numbers as written", "{\"00280030\":{\"vr\":\"DS\",\"Value\":[1.50,-0,1E+2,0.1e-7]}}", "00280030 DS(1.50|-0|1E+2|0.1e-7)", NULL},
    {"null between",       "{\"00280030\":{\"vr\":\"DS\",\"Value\":[null,\"a\",null]}}", "00280030 DS(~|a|~)", NULL},
    {"words",              "{\"00280030\":{\"vr\":\"XX\",\"Value\":[true,false]}}", "00280030 XX(true|false)", NULL},
    {"a name",             "{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":\"A^\\u00c4\"}]}}", "00100010 PN({\"Alphabetic\":\"A^\\u00c4\"})", NULL},
    {"a sequence",         "{\"0040A730\":{\"vr\":\"SQ\",\"Value\":[{},{\"00080100\":{\"vr\":\"SH\",\"Value\":[[],1]}}]}}", "0040A730 SQ({}|{\"00080100\":{\"vr\":\"SH\",\"Value\":[[],1]}})", NULL},
    {"escapes",            "{\"00104000\":{\"vr\":\"LT\",\"Value\":[\"a\\\"\\\\\\/\\n\\u0041\\ud83d\\ude00\"]}}", "00104000 LT(a\"\\/\nA\xf0\x9f\x98\x80)", NULL},
    {"beyond ASCII",       "{\"00104000\":{\"vr\":\"LT\",\"Value\":[\"\xe5\xb1\xb1\xe7\x94\xb0 tarou and more text\"]}}", "00104000 LT(\xe5\xb1\xb1\xe7\x94\xb0 tarou and more text)", NULL},
    {"bulk data",          "{\"7FE00010\":{\"vr\":\"OW\",\"BulkDataURI\":\"x\"},\"7FE00020\":{\"vr\":\"OB\",\"InlineBinary\":\"AA==\"}}", "7FE00010 OW-;7FE00020 OB-", NULL},
    {"any key",            "{\"a\\u0041\":{\"vr\":\"UI\"}}", "a\\u0041 UI-", NULL},
    {"not in order",       "{\"00100010\":{\"vr\":\"PN\"},\"00080018\":{\"vr\":\"UI\"}}", "00100010 PN-;00080018 UI-", NULL},
    {"white space",        " {\n \"00080018\" : { \"vr\":\t\"U I\" , \"Value\" : [ \" 1 \\\" \" , {\"a\": [ 1 , 2 ] } ] }\r\n} ", "00080018 U I( 1 \" |{\"a\":[1,2]})", "{\"00080018\":{\"vr\":\"U I\",\"Value\":[\" 1 \\\" \",{\"a\":[1,2]}]}}"},
    {"space at the end",   "{} ", "", "{}"},
    {"no text",            "", NULL, "byte 0 of 0"},
    {"an array",           "[]", NULL, "must be an object"},
    {"text behind",        "{}{}", NULL, "text after"},
    {"no object",          "{\"00080018\":1}", NULL, "must be an object"},
    {"null",               "{\"00080018\":null}", NULL, "must be an object"},
    {"vr a number",        "{\"00080018\":{\"vr\":1}}", NULL, "a string"},
    {"two vrs",            "{\"00080018\":{\"vr\":\"UI\",\"vr\":\"UI\"}}", NULL, "two vrs"},
    {"two Values",         "{\"00080018\":{\"Value\":[],\"Value\":[1]}}", NULL, "two Values"},
    {"Value a string",     "{\"00080018\":{\"Value\":\"1\"}}", NULL, "must be an array"},
    {"twice in a row",     "{\"00080018\":{},\"00080018\":{}}", NULL, "00080018 comes twice"},
    {"twice apart",        "{\"00080018\":{},\"00080016\":{},\"00100010\":{},\"00080016\":{}}", NULL, "00080016 comes twice"},
    {"trailing comma",     "{\"00080018\":{},}", NULL, "a string"},
    {"comma in Value",     "{\"00080018\":{\"Value\":[1,]}}", NULL, "a value"},
    {"cut",                "{\"00080018\":{\"Value\":[1", NULL, "a comma or ]"},
    {"cut in a string",    "{\"00080018\":{\"Value\":[\"1", NULL, "without end"},
    {"wrong bracket",      "{\"00080018\":{\"Value\":[{]]}}", NULL, "a string"},
    {"leading zero",       "{\"00080018\":{\"Value\":[01]}}", NULL, "a comma or ]"},
    {"no digit",           "{\"00080018\":{\"Value\":[1.]}}", NULL, "a digit"},
    {"a plus",             "{\"00080018\":{\"Value\":[+1]}}", NULL, "a value"},
    {"NaN",                "{\"00080018\":{\"Value\":[NaN]}}", NULL, "a value"},
    {"half a surrogate",   "{\"00080018\":{\"Value\":[\"\\udc00\"]}}", NULL, "surrogate"},
    {"unknown escape",     "{\"00080018\":{\"Value\":[\"\\x41\"]}}", NULL, "escape"},
    {"not UTF-8",          "{\"00080018\":{\"Value\":[\"\xc3(\"]}}", NULL, "UTF-8"},
    {"not UTF-8 inside",   "{\"00080018\":{\"Value\":[{\"a\":\"\xed\xa0\x80\"}]}}", NULL, "UTF-8"},
    {"control character",  "{\"00080018\":{\"Value\":[\"\n\"]}}", NULL, "control"},
    {"space and broken",   "{ \"00080018\":{\"Value\":[1,]}}", NULL, "JSON: byte"},
    /* clang-format on */
};

static void attributes_of_a_table(void)
{
    DL_AUTO_BUF got = {0};
    dl_buf_init(&got, 1 << 20);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        const dl_feed_attribute *attributes = (const void *)rows;
        size_t count = 77;
        dl_str text = dl_str_of(rows[i].text), compact = DL_STR("old");
        dl_error err = {0};
        dl_status status = dl_feed_attributes(text, arena, &attributes, &count, &compact, &err);
        if (rows[i].want == NULL) {
            TAP_STATUS(status, DL_E_INVALID);
            TAP_TRUE((const void *)attributes == (const void *)rows && count == 77);
            TAP_EQ_STR(compact, "old");
            if (dl_str_find_str(dl_str_of(err.message), dl_str_of(rows[i].other)) < 0) {
                TAP_FAIL("says '%s'", err.message);
            }
        } else if (status != DL_OK) {
            TAP_FAIL("%s", err.message);
        } else {
            describe(attributes, count, &got);
            TAP_EQ_STR(dl_buf_str(&got), rows[i].want);
            TAP_EQ_STR(compact, rows[i].other == NULL ? rows[i].text : rows[i].other);
            TAP_TRUE((compact.ptr == text.ptr) == (rows[i].other == NULL)); /* no copy */
            TAP_TRUE(err.message[0] == '\0');
        }
        char name[80];
        (void)snprintf(name, sizeof name, "attributes: %s", rows[i].name);
        TAP_ROW_END(name);
    }
}

TAP_CASE(a_raw_nul_is_refused_and_an_escaped_one_kept)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_error err = {0};
    static const char raw[] = "{\"00080018\":{\"Value\":[\"a\0b\"]}}";
    TAP_STATUS(
        dl_feed_attributes((dl_str){raw, sizeof raw - 1}, arena, &attributes, &count, NULL, &err),
        DL_E_INVALID);
    TAP_OK(dl_feed_attributes(DL_STR("{\"00080018\":{\"Value\":[\"a\\u0000b\"]}}"), arena,
                              &attributes, &count, NULL, &err),
           err);
    TAP_TRUE(count == 1 && attributes[0].values[0].len == 3 && attributes[0].values[0].ptr[1] == 0);
}

/* {"a":{"Value":[ [[[...]]] ]}} */
static dl_status parse_depth(size_t depth)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 1 << 20);
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_error err = {0};
    TAP_OK(dl_buf_append_str(&text, DL_STR("{\"a\":{\"Value\":"), &err), err);
    for (size_t i = 2; i < depth; i++) {
        TAP_OK(dl_buf_append_char(&text, '[', &err), err);
    }
    for (size_t i = 2; i < depth; i++) {
        TAP_OK(dl_buf_append_char(&text, ']', &err), err);
    }
    TAP_OK(dl_buf_append_str(&text, DL_STR("}}"), &err), err);
    return dl_feed_attributes(dl_buf_str(&text), arena, &attributes, &count, NULL, &err);
}

TAP_CASE(depth_at_the_bound_and_one_past_it)
{
    TAP_STATUS(parse_depth(DL_JSON_DEPTH_LIMIT), DL_OK);
    TAP_STATUS(parse_depth(DL_JSON_DEPTH_LIMIT + 1), DL_E_INVALID);
    TAP_STATUS(parse_depth(100000), DL_E_INVALID);
}

/* ---- against a slow reference through json.h ---- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void random_string(dl_json_writer *w, uint32_t *seed)
{
    static const char *const pieces[] = {
        "a", "Zz 09^", "\"", "\\", "\n", "\t", "\xc3\xa4", "\xf0\x9f\x98\x80", "\x01", "[{}],:"};
    char text[128] = "";
    size_t len = 0;
    for (uint32_t n = next_random(seed) % 12; n > 0; n--) {
        const char *piece = pieces[next_random(seed) % 4 == 0 ? next_random(seed) % 10 : 1];
        memcpy(text + len, piece, strlen(piece));
        len += strlen(piece);
    }
    dl_json_string(w, (dl_str){text, len});
}

static void random_value(dl_json_writer *w, uint32_t *seed, unsigned depth)
{
    switch (next_random(seed) % (depth > 3 ? 6 : 8)) {
    case 0:
        dl_json_null(w);
        break;
    case 1:
        dl_json_bool(w, next_random(seed) % 2 == 0);
        break;
    case 2:
        dl_json_double(w, (double)next_random(seed) / 1000.0);
        break;
    case 3:
        dl_json_int(w, -(int64_t)next_random(seed));
        break;
    case 6:
        dl_json_array_begin(w);
        for (uint32_t n = next_random(seed) % 4; n > 0; n--) {
            random_value(w, seed, depth + 1);
        }
        dl_json_array_end(w);
        break;
    case 7:
        dl_json_object_begin(w);
        for (uint32_t n = next_random(seed) % 4; n > 0; n--) {
            dl_json_key(w, n % 2 == 0 ? DL_STR("Alphabetic") : DL_STR("00080100"));
            random_value(w, seed, depth + 1);
        }
        dl_json_object_end(w);
        break;
    default:
        random_string(w, seed);
        break;
    }
}

static void random_metadata(dl_buf *out, uint32_t *seed)
{
    dl_error err = {0};
    dl_json_writer w;
    dl_buf_reset(out);
    dl_json_writer_init(&w, out, &err);
    dl_json_object_begin(&w);
    uint32_t count = next_random(seed) % 150;
    for (uint32_t i = 0; i < count; i++) {
        char tag[16];
        (void)snprintf(tag, sizeof tag, "%08X", 0x00080000 + (i ^ (count % 3)) * 4);
        dl_json_key(&w, dl_str_of(tag));
        dl_json_object_begin(&w);
        if (next_random(seed) % 8 != 0) {
            dl_json_key(&w, DL_STR("vr"));
            dl_json_string(&w, DL_STR("LO"));
        }
        if (next_random(seed) % 8 != 0) {
            dl_json_key(&w, DL_STR("Value"));
            dl_json_array_begin(&w);
            for (uint32_t n = next_random(seed) % 8 == 0 ? next_random(seed) % 200 : 1; n > 0;
                 n--) {
                random_value(&w, seed, 0);
            }
            dl_json_array_end(&w);
        } else {
            dl_json_key(&w, DL_STR("BulkDataURI"));
            random_value(&w, seed, 0);
        }
        dl_json_object_end(&w);
    }
    dl_json_object_end(&w);
    TAP_OK(dl_json_writer_status(&w), err);
}

static bool same_values(const dl_feed_attribute *a, dl_str value, dl_arena *arena)
{
    dl_json_iter iter = dl_json_iter_of(value);
    dl_str element = DL_STR_NONE;
    size_t n = 0;
    for (; dl_json_next_element(&iter, &element); n++) {
        dl_json_kind kind = dl_json_kind_of(element);
        if (kind == DL_JSON_STRING && dl_json_text(element, arena, &element, NULL) != DL_OK) {
            return false;
        }
        if (n >= a->value_count ||
            (kind == DL_JSON_NULL ? a->values[n].ptr != NULL : a->values[n].ptr == NULL) ||
            (kind != DL_JSON_NULL && !dl_str_eq(a->values[n], element))) {
            return false;
        }
    }
    return n == a->value_count;
}

static bool same_as_reference(dl_str text, const dl_feed_attribute *attributes, size_t count,
                              dl_arena *arena)
{
    dl_json_iter iter = dl_json_iter_of(text);
    dl_str key = DL_STR_NONE, object = DL_STR_NONE, value = DL_STR_NONE;
    size_t n = 0;
    for (; dl_json_next_member(&iter, &key, &object); n++) {
        if (n >= count || !dl_str_eq(key, attributes[n].tag)) {
            return false;
        }
        bool has_vr = dl_json_get(object, DL_STR("vr"), &value);
        if (has_vr != (attributes[n].vr.ptr != NULL) ||
            (has_vr && !dl_str_eq(attributes[n].vr, DL_STR("LO")))) {
            return false;
        }
        bool has_value = dl_json_get(object, DL_STR("Value"), &value);
        if (has_value != attributes[n].has_value ||
            (has_value && !same_values(&attributes[n], value, arena))) {
            return false;
        }
    }
    return n == count;
}

TAP_CASE(attributes_are_those_of_a_slow_reference)
{
    DL_AUTO_BUF text = {0};
    dl_buf_init(&text, 1 << 24);
    uint32_t seed = 20260105;
    size_t seen = 0;
    for (int round = 0; round < 400; round++) {
        DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
        random_metadata(&text, &seed);
        const dl_feed_attribute *attributes = NULL;
        size_t count = 0;
        dl_str compact = DL_STR_NONE;
        dl_error err = {0};
        TAP_OK(dl_feed_attributes(dl_buf_str(&text), arena, &attributes, &count, &compact, &err),
               err);
        TAP_TRUE(compact.ptr == text.ptr && compact.len == text.len);
        if (!same_as_reference(dl_buf_str(&text), attributes, count, arena)) {
            TAP_FAIL("round %d: %.*s", round, (int)text.len, text.ptr);
            return;
        }
        seen += count;
    }
    TAP_TRUE(seen > 10000);
}

/* Whatever one byte becomes, it is read as JSON reads it or refused as JSON refuses it. */
TAP_CASE(a_changed_byte_is_judged_as_json_judges_it)
{
    static const char text[] = "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2\\u0041\",-1.5e3,{"
                               "\"a\":[true,null]}]},\"00100010\":{\"x\":{}}}";
    char changed[sizeof text];
    size_t accepted = 0;
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
            const dl_feed_attribute *attributes = NULL;
            size_t count = 0;
            dl_str compact = DL_STR_NONE, input = {changed, sizeof text - 1};
            memcpy(changed, text, sizeof text);
            changed[at] = (char)byte;
            bool ok =
                dl_feed_attributes(input, arena, &attributes, &count, &compact, NULL) == DL_OK;
            accepted += ok;
            if (ok &&
                (dl_json_check(input, NULL) != DL_OK || dl_json_check(compact, NULL) != DL_OK)) {
                TAP_FAIL("byte %zu as 0x%02x is read and is no JSON", at, byte);
            }
        }
    }
    TAP_TRUE(accepted > 1000);
}

TAP_CASE(each_allocation_may_fail)
{
    static const char *const texts[] = {
        "{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"a\\n\"]},\"00080016\":{}}",
        "{ \"00080018\":{\"vr\":\"UI\",\"Value\":[\"a\\n\"]}}"};
    for (size_t t = 0; t < DL_COUNT_OF(texts); t++) {
        int failures = 0;
        for (int n = 0; n < 50; n++) {
            DL_AUTO(dl_arena) arena = dl_arena_create(ARENA_BYTES);
            const dl_feed_attribute *attributes = NULL;
            size_t count = 5;
            dl_mem_fail_after(n);
            dl_status status =
                dl_feed_attributes(dl_str_of(texts[t]), arena, &attributes, &count, NULL, NULL);
            dl_mem_fail_after(-1);
            if (status == DL_OK) {
                break;
            }
            TAP_TRUE(attributes == NULL && count == 5);
            failures++;
        }
        TAP_TRUE(failures >= 1 && failures < 50); /* one block, or in sanitizer builds each */
    }
}

TAP_CASE(an_arena_that_is_full_is_said)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(64);
    const dl_feed_attribute *attributes = NULL;
    size_t count = 0;
    dl_error err = {0};
    TAP_STATUS(
        dl_feed_attributes(DL_STR("{\"00080018\":{}}"), arena, &attributes, &count, NULL, &err),
        DL_E_LIMIT);
    TAP_TRUE(err.message[0] != '\0');
}

int main(void)
{
    attributes_of_a_table();
    TAP_RUN(a_raw_nul_is_refused_and_an_escaped_one_kept);
    TAP_RUN(depth_at_the_bound_and_one_past_it);
    TAP_RUN(attributes_are_those_of_a_slow_reference);
    TAP_RUN(a_changed_byte_is_judged_as_json_judges_it);
    TAP_RUN(each_allocation_may_fail);
    TAP_RUN(an_arena_that_is_full_is_said);
    return tap_done();
}
