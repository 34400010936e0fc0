/* The pure parts: url, media, multipart. */
#include "tap.h"

#include "http/media.h"
#include "http/multipart.h"
#include "http/url.h"

#include "base/mem.h"

#define S(literal)                                                                                 \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

/* ---- url ---- */

static const struct {
    const char *name;
    dl_str text;
    bool plus;
    const char *want; /* NULL: DL_E_INVALID */
} decodes[] = {
    /* clang-format off */
    {"url: plain",                S("abc"), false, "abc"},
    {"url: empty",                S(""), false, ""},
    {"url: escapes, both cases",  S("%41%2f%2F"), false, "A//"},
    {"url: plus is a space",      S("a+b%2B"), true, "a b+"},
    {"url: plus stays",           S("a+b"), false, "a+b"},
    {"url: UTF-8",                S("M%C3%BCller"), false, "M\xc3\xbcller"},
    {"url: raw UTF-8",            S("M\xc3\xbcller"), false, "M\xc3\xbcller"},
    {"url: decoded once",         S("%2541"), false, "%41"},
    {"url: one digit",            S("%4"), false, NULL},
    {"url: no digit",             S("%"), false, NULL},
    {"url: no hex",               S("%4g"), false, NULL},
    {"url: no hex, first",        S("%g4"), false, NULL},
    {"url: NUL",                  S("a%00b"), false, NULL},
    {"url: raw NUL",              S("a\0b"), false, NULL},
    {"url: not UTF-8",            S("%ff"), false, NULL},
    {"url: overlong",             S("%c0%af"), false, NULL},
    {"url: a surrogate",          S("%ed%a0%80"), false, NULL},
    {"url: cut sequence",         S("%c3"), false, NULL},
    /* clang-format on */
};

static void run_decodes(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(decodes); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(1000);
        dl_error err = {0};
        dl_str out = DL_STR("before");
        dl_status status = dl_url_decode(decodes[i].text, decodes[i].plus, arena, &out, &err);
        TAP_STATUS(status, decodes[i].want == NULL ? DL_E_INVALID : DL_OK);
        TAP_EQ_STR(out, decodes[i].want == NULL ? "before" : decodes[i].want);
        TAP_TRUE((err.message[0] != '\0') == (decodes[i].want == NULL));
        TAP_ROW_END(decodes[i].name);
    }
}

TAP_CASE(url_encode_every_byte_and_back)
{
    char text[255];
    for (size_t i = 0; i < 127; i++) {
        text[i] = (char)(i + 1);
    }
    DL_AUTO_BUF buf = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    dl_error err = {0};
    dl_str back = DL_STR_NONE;
    dl_buf_init(&buf, 10000);
    TAP_OK(dl_url_encode((dl_str){text, 127}, &buf, &err), err);
    TAP_EQ_INT(buf.len, 66 + 3 * (127 - 66));
    TAP_OK(dl_url_decode(dl_buf_str(&buf), true, arena, &back, &err), err);
    TAP_TRUE(dl_str_eq(back, (dl_str){text, 127}));
    dl_buf_reset(&buf);
    TAP_OK(dl_url_encode(DL_STR("\xc3\xbc /"), &buf, &err), err);
    TAP_EQ_STR(dl_buf_str(&buf), "%C3%BC%20%2F");
}

TAP_CASE(url_query)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    dl_error err = {0};
    dl_url_param *p = NULL;
    size_t count = 9;
    TAP_OK(dl_url_query_parse(DL_STR("a=1&&b&c==x%3D&a=+%26&=v&"), arena, &p, &count, &err), err);
    static const struct {
        const char *name, *value;
        bool has_value;
    } want[] = {
        {"a", "1", true}, {"b", "", false}, {"c", "=x=", true}, {"a", " &", true}, {"", "v", true}};
    TAP_EQ_INT(count, DL_COUNT_OF(want));
    for (size_t i = 0; i < count && i < DL_COUNT_OF(want); i++) {
        TAP_EQ_STR(p[i].name, want[i].name);
        TAP_EQ_STR(p[i].value, want[i].value);
        TAP_EQ_INT(p[i].has_value, want[i].has_value);
    }
    TAP_OK(dl_url_query_parse(DL_STR(""), arena, &p, &count, &err), err);
    TAP_EQ_INT(count, 0);
    TAP_OK(dl_url_query_parse(DL_STR_NONE, arena, &p, &count, &err), err);
    TAP_EQ_INT(count, 0);
    count = 9;
    TAP_STATUS(dl_url_query_parse(DL_STR("a=1&b=%"), arena, &p, &count, &err), DL_E_INVALID);
    TAP_STATUS(dl_url_query_parse(DL_STR("a=1&%f=2"), arena, &p, &count, &err), DL_E_INVALID);
    TAP_EQ_INT(count, 9);
}

TAP_CASE(url_query_has_a_bound)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1000000);
    char text[2 * DL_URL_PARAM_LIMIT + 2];
    dl_url_param *p = NULL;
    size_t count = 9;
    for (size_t i = 0; i < sizeof text; i += 2) {
        memcpy(text + i, "a&", 2);
    }
    TAP_STATUS(dl_url_query_parse((dl_str){text, sizeof text}, arena, &p, &count, NULL),
               DL_E_LIMIT);
    TAP_EQ_INT(count, 9);
    TAP_STATUS(dl_url_query_parse((dl_str){text, sizeof text - 2}, arena, &p, &count, NULL), DL_OK);
    TAP_EQ_INT(count, DL_URL_PARAM_LIMIT);
}

/* ---- media ---- */

static const struct {
    const char *name, *text;
    const char *want; /* type|name=value|...; NULL: DL_E_INVALID */
} medias[] = {
    /* clang-format off */
    {"media: plain",           "application/dicom",                    "application/dicom|q1"},
    {"media: white space",     "  application/dicom \t ; a = b ",       "application/dicom|a=b|q1"},
    {"media: bare slash",      "multipart/related; type=application/dicom; boundary=b1",
                               "multipart/related|type=application/dicom|boundary=b1|q1"},
    {"media: quoted",          "multipart/related;type=\"application/dicom\";boundary=\"a b\\\"c;,\"",
                               "multipart/related|type=application/dicom|boundary=a b\"c;,|q1"},
    {"media: empty quotes",    "a/b;c=\"\"",                           "a/b|c=|q1"},
    {"media: empty parameter", "a/b;;c=d;",                            "a/b|c=d|q1"},
    {"media: star value",      "a/b;transfer-syntax=*",                "a/b|transfer-syntax=*|q1"},
    {"media: q",               "a/b;q=0.5;c=d",                        "a/b|c=d|q0.5"},
    {"media: lone star",       "*;q=.2",                               "*/*|q0.2"},
    {"media: q is 0",          "a/b;q=0",                              "a/b|q0"},
    {"media: q is 0.000",      "a/b;q=0.000",                          "a/b|q0"},
    {"media: q is 1.000",      "a/b;q=1.000",                          "a/b|q1"},
    {"media: q with a point",  "a/b;q=1.",                             "a/b|q1"},
    {"media: empty",           "",                                     NULL},
    {"media: no slash",        "application",                          NULL},
    {"media: no subtype",      "application/",                         NULL},
    {"media: no type",         "/dicom",                               NULL},
    {"media: two slashes",     "a/b/c",                                NULL},
    {"media: no =",            "a/b;c",                                NULL},
    {"media: no value",        "a/b;c=",                               NULL},
    {"media: no name",         "a/b;=c",                               NULL},
    {"media: no closing quote", "a/b;c=\"d",                           NULL},
    {"media: escaped end",     "a/b;c=\"d\\\"",                        NULL},
    {"media: after the quote", "a/b;c=\"d\"e",                         NULL},
    {"media: control",         "a/b;c=\"\n\"",                         NULL},
    {"media: comma",           "a/b,c/d",                              NULL},
    {"media: space inside",    "a /b",                                 NULL},
    {"media: q above 1",       "a/b;q=1.1",                            NULL},
    {"media: q is 2",          "a/b;q=2",                              NULL},
    {"media: q negative",      "a/b;q=-1",                             NULL},
    {"media: q a word",        "a/b;q=x",                              NULL},
    {"media: q a point",       "a/b;q=.",                              NULL},
    {"media: q 10",            "a/b;q=10",                             NULL},
    {"media: q with e",        "a/b;q=1e0",                            NULL},
    {"media: q nan",           "a/b;q=nan",                            NULL},
    /* clang-format on */
};

static void print_media(const dl_media *m, dl_buf *out)
{
    dl_status status = dl_buf_append_str(out, m->type, NULL);
    for (size_t i = 0; i < m->param_count && status == DL_OK; i++) {
        status = dl_buf_printf(out, NULL, "|%.*s=%.*s", DL_STR_ARG(m->params[i].name),
                               DL_STR_ARG(m->params[i].value));
    }
    if (status == DL_OK) {
        status = dl_buf_printf(out, NULL, "|q%g", m->q);
    }
    TAP_STATUS(status, DL_OK);
}

static void run_medias(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(medias); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(10000);
        DL_AUTO_BUF buf = {0};
        dl_error err = {0};
        dl_media media = {.param_count = 7};
        dl_buf_init(&buf, 10000);
        dl_status status = dl_media_parse(dl_str_of(medias[i].text), arena, &media, &err);
        TAP_STATUS(status, medias[i].want == NULL ? DL_E_INVALID : DL_OK);
        TAP_TRUE((err.message[0] != '\0') == (medias[i].want == NULL));
        if (medias[i].want != NULL) {
            print_media(&media, &buf);
            TAP_EQ_STR(dl_buf_str(&buf), medias[i].want);
        } else {
            TAP_EQ_INT(media.param_count, 7);
        }
        TAP_ROW_END(medias[i].name);
    }
}

static const struct {
    const char *name, *text;
    const char *want; /* NULL: DL_E_INVALID */
} accepts[] = {
    /* clang-format off */
    {"accept: empty",       "", ""},
    {"accept: one",         "a/b", "a/b|q1 "},
    {"accept: by q",        "a/b;q=0.1, c/d, e/f;q=0.9", "c/d|q1 e/f|q0.9 a/b|q0.1 "},
    {"accept: ties stay",   "a/b;q=0.5,c/d;q=0.5,e/f,g/h;q=0.5,i/j", "e/f|q1 i/j|q1 a/b|q0.5 c/d|q0.5 g/h|q0.5 "},
    {"accept: same twice",  "a/b;q=0.5,a/b", "a/b|q1 a/b|q0.5 "},
    {"accept: q is 0",      "a/b;q=0,*/*", "*/*|q1 a/b|q0 "},
    {"accept: empty parts", " , a/b ,, c/d , ", "a/b|q1 c/d|q1 "},
    {"accept: dicom",       "multipart/related; type=\"application/dicom\"; transfer-syntax=*, application/dicom;q=0.5",
                            "multipart/related|type=application/dicom|transfer-syntax=*|q1 application/dicom|q0.5 "},
    {"accept: comma in quotes", "a/b;c=\"d,e\",f/g", "a/b|c=d,e|q1 f/g|q1 "},
    {"accept: Java",        "text/html, image/gif, *; q=.2, */*; q=.2", "text/html|q1 image/gif|q1 */*|q0.2 */*|q0.2 "},
    {"accept: a bad one",   "a/b, c", "a/b|q1 "},
    {"accept: bad ones before", "c, a/b;q=2, ;, e/f;g=, a/b", "a/b|q1 "},
    {"accept: no comma",    "a/b c/d, e/f", "e/f|q1 "},
    {"accept: nothing good", ";;;", ""},
    {"accept: quote without end", "a/b, c/d;e=\"f, g/h", "a/b|q1 "},
    /* clang-format on */
};

static void run_accepts(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(accepts); i++) {
        TAP_ROW_BEGIN();
        DL_AUTO(dl_arena) arena = dl_arena_create(100000);
        DL_AUTO_BUF buf = {0};
        dl_error err = {0};
        dl_media *ranges = NULL;
        size_t count = 99;
        dl_buf_init(&buf, 10000);
        dl_status status =
            dl_media_parse_accept(dl_str_of(accepts[i].text), arena, &ranges, &count, &err);
        TAP_STATUS(status, accepts[i].want == NULL ? DL_E_INVALID : DL_OK);
        if (status == DL_OK) {
            for (size_t r = 0; r < count; r++) {
                print_media(&ranges[r], &buf);
                TAP_STATUS(dl_buf_append_char(&buf, ' ', NULL), DL_OK);
            }
            TAP_EQ_STR(dl_buf_str(&buf), accepts[i].want == NULL ? "" : accepts[i].want);
        } else {
            TAP_EQ_INT(count, 99);
        }
        TAP_ROW_END(accepts[i].name);
    }
}

TAP_CASE(media_bounds)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(1000000);
    DL_AUTO_BUF buf = {0};
    dl_media media = {0}, *ranges = NULL;
    size_t count = 0;
    dl_buf_init(&buf, 10000);
    TAP_STATUS(dl_buf_append_str(&buf, DL_STR("a/b;q=1"), NULL), DL_OK);
    for (int i = 0; i < DL_MEDIA_PARAM_LIMIT; i++) {
        TAP_STATUS(dl_buf_append_str(&buf, DL_STR(";c=d"), NULL), DL_OK);
    }
    TAP_STATUS(dl_media_parse(dl_buf_str(&buf), arena, &media, NULL), DL_OK);
    TAP_STATUS(dl_buf_append_str(&buf, DL_STR(";c=d"), NULL), DL_OK);
    TAP_STATUS(dl_media_parse(dl_buf_str(&buf), arena, &media, NULL), DL_E_LIMIT);
    dl_buf_reset(&buf);
    for (int i = 0; i < DL_MEDIA_RANGE_LIMIT; i++) {
        TAP_STATUS(dl_buf_append_str(&buf, DL_STR(",a/b"), NULL), DL_OK);
    }
    TAP_STATUS(dl_media_parse_accept(dl_buf_str(&buf), arena, &ranges, &count, NULL), DL_OK);
    TAP_EQ_INT(count, DL_MEDIA_RANGE_LIMIT);
    TAP_STATUS(dl_buf_append_str(&buf, DL_STR(",a/b"), NULL), DL_OK);
    TAP_STATUS(dl_media_parse_accept(dl_buf_str(&buf), arena, &ranges, &count, NULL), DL_E_LIMIT);
}

TAP_CASE(media_questions)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(10000);
    dl_media m = {0};
    TAP_STATUS(dl_media_parse(DL_STR("Application/DICOM;Type=x;type=y"), arena, &m, NULL), DL_OK);
    TAP_TRUE(dl_media_type_is(&m, "application/dicom"));
    TAP_TRUE(!dl_media_type_is(&m, "application/dicom+json"));
    TAP_EQ_STR(dl_media_param_of(&m, "TYPE"), "x");
    TAP_TRUE(dl_media_param_of(&m, "boundary").ptr == NULL);
    static const struct {
        const char *range, *type;
        bool covers;
    } rows[] = {{"application/dicom", "application/dicom", true},
                {"APPLICATION/*", "application/dicom", true},
                {"*/*", "application/dicom", true},
                {"*/*;q=0", "application/dicom", false},
                {"*/*;q=0.001", "application/dicom", true},
                {"application/dicom;q=0.0", "application/dicom", false},
                {"application/dicom", "application/dicom+json", false},
                {"image/*", "application/dicom", false},
                {"app/*", "application/dicom", false},
                {"*/dicom", "application/dicom", false}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_STATUS(dl_media_parse(dl_str_of(rows[i].range), arena, &m, NULL), DL_OK);
        TAP_EQ_INT(dl_media_range_covers(&m, rows[i].type), rows[i].covers);
    }
}

/* ---- multipart ---- */

/* Events as text: (headers)[data]. */
typedef struct record {
    dl_buf text;
    int fail_at; /* the event that fails; -1: none */
    int event_count;
    bool in_data;
} record;

static dl_status note(record *r, const char *bytes, size_t len, dl_error *err)
{
    if (r->event_count++ == r->fail_at) {
        return dl_error_set(err, DL_E_CONFLICT, "as asked");
    }
    return dl_buf_append(&r->text, bytes, len, err);
}

static dl_status on_begin(void *context, dl_str headers, dl_error *err)
{
    record *r = context;
    TAP_TRUE(!r->in_data);
    r->in_data = true;
    DL_TRY(note(r, "(", 1, err));
    DL_TRY(dl_buf_append_str(&r->text, headers, err));
    return dl_buf_append_str(&r->text, DL_STR(")["), err);
}

static dl_status on_data(void *context, dl_bytes bytes, dl_error *err)
{
    record *r = context;
    TAP_TRUE(r->in_data && bytes.len > 0);
    return note(r, (const char *)bytes.ptr, bytes.len, err);
}

static dl_status on_end(void *context, dl_error *err)
{
    record *r = context;
    TAP_TRUE(r->in_data);
    r->in_data = false;
    return note(r, "]", 1, err);
}

/* Read `text` in chunks of `step` bytes. */
static dl_status read_all(record *r, dl_str boundary, dl_str text, size_t step, dl_error *err)
{
    dl_multipart_events events = {on_begin, on_data, on_end, r};
    DL_AUTO(dl_multipart) reader = NULL;
    dl_buf_init(&r->text, 1000000);
    DL_TRY(dl_multipart_create(boundary, &events, &reader, err));
    for (size_t at = 0; at < text.len; at += step) {
        size_t len = text.len - at < step ? text.len - at : step;
        char *exact = dl_mem_alloc(len, 1); /* so that a read past the chunk is seen */
        memcpy(exact, text.ptr + at, len);
        dl_status status = dl_multipart_feed(reader, (dl_bytes){(const uint8_t *)exact, len}, err);
        dl_mem_free(exact);
        if (status != DL_OK) {
            dl_error again = {0};
            TAP_STATUS(dl_multipart_feed(reader, (dl_bytes){(const uint8_t *)"x", 1}, &again),
                       status);
            TAP_STATUS(dl_multipart_finish(reader, &again), status);
            TAP_TRUE(again.message[0] != '\0');
            return status;
        }
    }
    return dl_multipart_finish(reader, err);
}

static const struct {
    const char *name;
    dl_str boundary, text;
    const char *want; /* NULL: DL_E_INVALID */
} parts[] = {
    /* clang-format off */
    {"mp: one part",           S("b"), S("--b\r\nA: x\r\n\r\ndata\r\n--b--\r\n"), "(A: x)[data]"},
    {"mp: no line end at the end", S("b"), S("--b\r\nA: x\r\n\r\ndata\r\n--b--"), "(A: x)[data]"},
    {"mp: two parts",          S("b"), S("--b\r\nA: x\r\n\r\none\r\n--b\r\nB: y\r\nC: z\r\n\r\ntwo\r\n--b--\r\n"),
                                       "(A: x)[one](B: y\r\nC: z)[two]"},
    {"mp: preamble, epilogue", S("b"), S("pre\r\namble--b\r\n--b\r\nA: x\r\n\r\nd\r\n--b--\r\nepi\r\n--b\r\nlogue"),
                                       "(A: x)[d]"},
    {"mp: empty preamble line", S("b"), S("\r\n--b\r\nA: x\r\n\r\nd\r\n--b--"), "(A: x)[d]"},
    {"mp: no headers",         S("b"), S("--b\r\n\r\ndata\r\n--b--"), "()[data]"},
    {"mp: empty part",         S("b"), S("--b\r\nA: x\r\n\r\n\r\n--b--"), "(A: x)[]"},
    {"mp: empty, one break",   S("b"), S("--b\r\nA: x\r\n\r\n--b--"), "(A: x)[]"},
    {"mp: nothing at all",     S("b"), S("--b\r\n\r\n--b\r\n\r\n\r\n--b--"), "()[]()[]"},
    {"mp: no parts",           S("b"), S("--b--"), ""},
    {"mp: no parts, preamble", S("b"), S("hello\r\n--b--\r\n"), ""},
    {"mp: padding",            S("b"), S("--b \t \r\nA: x\r\n\r\nd\r\n--b\t--\r\n--b-- \t\r\n"), "(A: x)[d\r\n--b\t--]"},
    {"mp: longer boundary is data", S("b1"), S("--b1\r\n\r\nx\r\n--b12\r\ny\r\n--b1--"), "()[x\r\n--b12\r\ny]"},
    {"mp: one dash is data",   S("b"), S("--b\r\n\r\nx\r\n--b-\r\ny\r\n--b--"), "()[x\r\n--b-\r\ny]"},
    {"mp: padding, then text", S("b"), S("--b\r\n\r\nx\r\n--b \ty\r\n--b--"), "()[x\r\n--b \ty]"},
    {"mp: padding, CR, text",  S("b"), S("--b\r\n\r\nx\r\n--b \ry\r\n--b--"), "()[x\r\n--b \ry]"},
    {"mp: half, then whole",   S("b"), S("--b\r\n\r\nx\r\r\n\r\n-\r\n--\r\n--b--"), "()[x\r\r\n\r\n-\r\n--]"},
    {"mp: CR of a tail begins", S("b"), S("--b\r\n\r\nx\r\n--b\r\r\n--b--"), "()[x\r\n--b\r]"},
    {"mp: boundary in the line", S("b"), S("--b\r\n\r\nx--b--\r\n--b--"), "()[x--b--]"},
    {"mp: LF before it",       S("b"), S("--b\r\n\r\nx\n--b--\r\n--b--"), "()[x\n--b--]"},
    {"mp: CRs",                S("b"), S("--b\r\n\r\n\r\r\r\r\n--b--"), "()[\r\r\r]"},
    {"mp: break before break", S("b"), S("--b\r\n\r\n\r\n\r\n--b--"), "()[\r\n]"},
    {"mp: NUL in data",        S("b"), S("--b\r\n\r\n\0\r\n--b--"), "()[\0]"},
    {"mp: folded header",      S("b"), S("--b\r\nA: x\r\n  y\r\n\r\nd\r\n--b--"), "(A: x    y)[d]"},
    {"mp: all folded",         S("b"), S("--b\r\nA:\r\n\tx\r\n \r\nB: y\r\n C: z\r\n\r\nd\r\n--b--"), "(A:  \tx   \r\nB: y   C: z)[d]"},
    {"mp: boundary with dashes", S("--"), S("----\r\n\r\nx\r\n---\r\n------"), "()[x\r\n---]"},
    {"mp: boundary with a space", S("a b"), S("--a b\r\n\r\nx\r\n--a b--"), "()[x]"},
    {"mp: empty body",         S("b"), S(""), NULL},
    {"mp: no boundary",        S("b"), S("hello"), NULL},
    {"mp: not closed",         S("b"), S("--b\r\nA: x\r\n\r\ndata\r\n--b\r\n"), NULL},
    {"mp: cut in the close",   S("b"), S("--b\r\nA: x\r\n\r\ndata\r\n--b-"), NULL},
    {"mp: cut in the data",    S("b"), S("--b\r\nA: x\r\n\r\ndata"), NULL},
    {"mp: cut in the headers", S("b"), S("--b\r\nA: x\r\n"), NULL},
    {"mp: LF in headers",      S("b"), S("--b\r\nA: x\n\ndata\r\n--b--"), NULL},
    {"mp: LF everywhere",      S("b"), S("--b\nA: x\n\ndata\n--b--\n"), NULL},
    {"mp: header, no colon",   S("b"), S("--b\r\nA x\r\n\r\nd\r\n--b--"), NULL},
    {"mp: header, no name",    S("b"), S("--b\r\n: x\r\n\r\nd\r\n--b--"), NULL},
    {"mp: fold at the start",  S("b"), S("--b\r\n A\r\n\r\nd\r\n--b--"), NULL},
    {"mp: boundary, boundary", S("b"), S("--b\r\n--b--\r\n"), NULL},
    {"mp: NUL in headers",     S("b"), S("--b\r\nA: \0\r\n\r\nd\r\n--b--"), NULL},
    /* clang-format on */
};

static void run_parts(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(parts); i++) {
        TAP_ROW_BEGIN();
        for (size_t step = 1; step <= parts[i].text.len + 1; step++) {
            record r = {.fail_at = -1};
            dl_error err = {0};
            dl_status status = read_all(&r, parts[i].boundary, parts[i].text, step, &err);
            TAP_STATUS(status, parts[i].want == NULL ? DL_E_INVALID : DL_OK);
            TAP_TRUE((err.message[0] != '\0') == (parts[i].want == NULL));
            if (parts[i].want != NULL) {
                /* One row has a NUL in it. */
                dl_str want = {parts[i].want, strlen(parts[i].want)};
                if (strcmp(parts[i].name, "mp: NUL in data") == 0) {
                    want = DL_STR("()[\0]");
                }
                TAP_TRUE(dl_str_eq(dl_buf_str(&r.text), want));
            }
            dl_buf_clear(&r.text);
        }
        TAP_ROW_END(parts[i].name);
    }
}

TAP_CASE(multipart_boundaries)
{
    static const dl_multipart_events events = {on_begin, on_data, on_end, NULL};
    char longest[DL_MULTIPART_BOUNDARY_LIMIT + 1];
    memset(longest, 'b', sizeof longest);
    const struct {
        dl_str boundary;
        bool good;
    } rows[] = {{S("'()+_,-./:=?"), true},
                {S("a b"), true},
                {S(""), false},
                {S("a "), false},
                {S("a\r\n"), false},
                {S("a\0b"), false},
                {S("\xc3\xa4"), false},
                {{longest, sizeof longest - 1}, true},
                {{longest, sizeof longest}, false}};
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        dl_multipart *reader = NULL;
        dl_error err = {0};
        TAP_STATUS(dl_multipart_create(rows[i].boundary, &events, &reader, &err),
                   rows[i].good ? DL_OK : DL_E_INVALID);
        TAP_TRUE((reader != NULL) == rows[i].good);
        dl_multipart_destroy(reader);
    }
}

TAP_CASE(multipart_header_bound)
{
    enum { FRAME = 5 + 4 + 3 + 7 }; /* "--b\r\n", "\r\n\r\n", "A: ", "\r\n--b--" */
    static char text[DL_MULTIPART_HEADER_LIMIT_BYTES + FRAME + 1];
    for (size_t over = 0; over < 2; over++) {
        size_t len = DL_MULTIPART_HEADER_LIMIT_BYTES + over;
        memset(text, 'x', sizeof text);
        memcpy(text, "--b\r\nA: ", 8);
        memcpy(text + 5 + len, "\r\n\r\n\r\n--b--", 11);
        static const size_t steps[] = {1, 7, 100000};
        for (size_t i = 0; i < DL_COUNT_OF(steps); i++) {
            record r = {.fail_at = -1};
            dl_error err = {0};
            TAP_STATUS(read_all(&r, DL_STR("b"), (dl_str){text, 5 + len + 11}, steps[i], &err),
                       over == 0 ? DL_OK : DL_E_INVALID);
            dl_buf_clear(&r.text);
        }
    }
}

/* A boundary's line may go on with white space, but not for ever. */
TAP_CASE(multipart_padding_bound)
{
    for (size_t over = 0; over < 2; over++) {
        char text[200];
        size_t at = 0;
        memcpy(text, "--b\r\n\r\nx\r\n--b", 13);
        at = 13;
        memset(text + at, ' ', 64 + over);
        at += 64 + over;
        memcpy(text + at, "\r\n\r\ny\r\n--b--", 12);
        at += 12;
        for (size_t step = 1; step < at; step++) {
            record r = {.fail_at = -1};
            dl_error err = {0};
            TAP_OK(read_all(&r, DL_STR("b"), (dl_str){text, at}, step, &err), err);
            TAP_EQ_INT(r.event_count >= 4 && dl_str_ends(dl_buf_str(&r.text), DL_STR("()[y]")),
                       over == 0);
            dl_buf_clear(&r.text);
        }
    }
}

TAP_CASE(multipart_callbacks_may_fail)
{
    dl_str text = DL_STR("--b\r\nA: x\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n");
    for (int fail_at = 0; fail_at < 6; fail_at++) {
        for (size_t step = 1; step < 50; step += 48) {
            record r = {.fail_at = step == 1 && fail_at > 0 ? fail_at * 2 - 1 : fail_at};
            dl_error err = {0};
            TAP_STATUS(read_all(&r, DL_STR("b"), text, step, &err),
                       r.fail_at < 10 && r.event_count > r.fail_at ? DL_E_CONFLICT : DL_OK);
            TAP_TRUE(r.event_count == r.fail_at + 1);
            TAP_TRUE(strcmp(err.message, "as asked") == 0);
            dl_buf_clear(&r.text);
        }
    }
}

TAP_CASE(multipart_part_headers)
{
    dl_str headers = DL_STR("Content-Type: application/dicom \r\nX:y\r\nEmpty:\r\nx-Last : z");
    dl_str value = DL_STR("v");
    TAP_TRUE(dl_multipart_header(headers, "content-type", &value));
    TAP_EQ_STR(value, "application/dicom");
    TAP_TRUE(dl_multipart_header(headers, "X", &value));
    TAP_EQ_STR(value, "y");
    TAP_TRUE(dl_multipart_header(headers, "Empty", &value));
    TAP_EQ_STR(value, "");
    TAP_TRUE(dl_multipart_header(headers, "X-Last", &value));
    TAP_EQ_STR(value, "z");
    TAP_TRUE(!dl_multipart_header(headers, "Content", &value));
    TAP_TRUE(!dl_multipart_header(DL_STR(""), "X", &value));
    TAP_EQ_STR(value, "z");
}

/* Bytes that are full of beginnings of the boundary, in chunks of every size. */
TAP_CASE(multipart_hard_data)
{
    enum { COUNT = 3000 };
    static char data[COUNT];
    static const char alphabet[] = "\r\r\n\n-b";
    unsigned seed = 12345;
    for (size_t i = 0; i < COUNT; i++) {
        seed = seed * 1103515245U + 12345U;
        data[i] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
    }
    DL_AUTO_BUF text = {0}, want = {0};
    dl_buf_init(&text, 100000);
    dl_buf_init(&want, 100000);
    TAP_STATUS(dl_buf_append_str(&text, DL_STR("--bbb\r\n\r\n"), NULL), DL_OK);
    TAP_STATUS(dl_buf_append(&text, data, COUNT, NULL), DL_OK);
    TAP_STATUS(dl_buf_append_str(&text, DL_STR("\r\n--bbb--"), NULL), DL_OK);
    TAP_STATUS(dl_buf_append_str(&want, DL_STR("()["), NULL), DL_OK);
    TAP_STATUS(dl_buf_append(&want, data, COUNT, NULL), DL_OK);
    TAP_STATUS(dl_buf_append_str(&want, DL_STR("]"), NULL), DL_OK);
    for (size_t step = 1; step < 200; step++) {
        record r = {.fail_at = -1};
        dl_error err = {0};
        TAP_OK(read_all(&r, DL_STR("bbb"), dl_buf_str(&text), step, &err), err);
        TAP_TRUE(dl_str_eq(dl_buf_str(&r.text), dl_buf_str(&want)));
        dl_buf_clear(&r.text);
    }
}

int main(void)
{
    run_decodes();
    TAP_RUN(url_encode_every_byte_and_back);
    TAP_RUN(url_query);
    TAP_RUN(url_query_has_a_bound);
    run_medias();
    run_accepts();
    TAP_RUN(media_bounds);
    TAP_RUN(media_questions);
    run_parts();
    TAP_RUN(multipart_boundaries);
    TAP_RUN(multipart_header_bound);
    TAP_RUN(multipart_padding_bound);
    TAP_RUN(multipart_callbacks_may_fail);
    TAP_RUN(multipart_part_headers);
    TAP_RUN(multipart_hard_data);
    return tap_done();
}
