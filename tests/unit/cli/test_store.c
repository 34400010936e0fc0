/* Sending: against a server in this process that says what each case wants it to say. */
#include "tap.h"

#include "base/log.h"
#include "base/mem.h"
#include "cli/peek.h"
#include "cli/store.h"
#include "http/server.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- the pure parts ---- */

static void add_element(dl_buf *file, uint16_t group, uint8_t element, const char *vr,
                        const char *value)
{
    size_t len = strlen(value);
    const char head[] = {(char)group, 0, (char)element, 0, vr[0], vr[1], (char)(len + len % 2), 0};
    dl_error err = {0};
    TAP_OK(dl_buf_append(file, head, sizeof head, &err), err);
    TAP_OK(dl_buf_append(file, value, len + len % 2, &err), err);
}

/** A file whose data set begins with these; `vr` of the SOP instance UID. */
static dl_buf make_file(const char *syntax, const char *vr, const char *uid)
{
    dl_buf file = {0};
    dl_error err = {0};
    uint8_t zero[128] = {0};
    dl_buf_init(&file, 4096);
    TAP_OK(dl_buf_append(&file, zero, sizeof zero, &err), err);
    TAP_OK(dl_buf_append_str(&file, DL_STR("DICM\2\0\1\0OB\0\0\2\0\0\0\0\1"), &err), err);
    add_element(&file, 2, 2, "UI", "1.2.840.10008.5.1.4.1.1.7");
    add_element(&file, 2, 3, "UI", "9.9.9"); /* need not be the data set's */
    add_element(&file, 2, 0x10, "UI", syntax);
    add_element(&file, 8, 0x05, "CS", "ISO_IR 100");
    add_element(&file, 8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.7");
    add_element(&file, 8, 0x18, vr, uid);
    return file;
}

static dl_buf file_with(const char *uid)
{
    return make_file("1.2.840.10008.1.2.1", "UI", uid);
}

static dl_bytes bytes_of(const dl_buf *buf)
{
    return (dl_bytes){(const uint8_t *)buf->ptr, buf->len};
}

TAP_CASE(uids_are_peeked_at)
{
    static const struct {
        const char *syntax, *vr, *want;
    } cases[] = {
        {"1.2.840.10008.1.2.1", "UI", "1.2.3"},
        {"1.2.840.10008.1.2.4.50", "UI", "1.2.3"},
        {"1.2.840.10008.1.2.1", "LO", ""},    /* the service will not take it for a UID */
        {"1.2.840.10008.1.2.2", "UI", ""},    /* big endian */
        {"1.2.840.10008.1.2.1.99", "UI", ""}, /* deflated */
        {"1.2.840.10008.1.2", "UI", ""},      /* says implicit, is not */
        {"", "UI", ""},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        DL_AUTO_BUF file = make_file(cases[i].syntax, cases[i].vr, "1.2.3");
        dl_cli_peek peek = dl_cli_peek_at(bytes_of(&file));
        TAP_TRUE(peek.dicom);
        TAP_EQ_STR(peek.sop_uid, cases[i].want);
        TAP_EQ_STR(peek.syntax, cases[i].syntax);
        TAP_TRUE(!dl_cli_peek_is_dicomdir(&peek));
    }
    DL_AUTO_BUF file = file_with("1.2.3");
    for (size_t len = 0; len < file.len; len++) { /* cut anywhere: nothing, and no overrun */
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, file.ptr, len);
        dl_cli_peek peek = dl_cli_peek_at((dl_bytes){copy, len});
        TAP_EQ_INT(peek.sop_uid.len, 0);
        TAP_EQ_INT(peek.dicom, len >= 132);
        free(copy);
    }
}

TAP_CASE(implicit_vr_is_peeked_at)
{
    DL_AUTO_BUF file = make_file("1.2.840.10008.1.2", "UI", "");
    dl_error err = {0};
    file.len -= 8 + 8 + 26 + 8 + 10; /* the data set again, in Implicit VR */
    TAP_OK(dl_buf_append_str(&file,
                             DL_STR("\x08\0\x05\0\x04\0\0\0abcd\x08\0\x18\0\x06\0\0\0"
                                    "1.2.3\0"),
                             &err),
           err);
    TAP_EQ_STR(dl_cli_peek_at(bytes_of(&file)).sop_uid, "1.2.3");
}

#define ITEM(uid, tag, code)                                                                       \
    "{\"00081155\":{\"vr\":\"UI\",\"Value\":[\"" uid "\"]},\"" tag                                 \
    "\":{\"vr\":\"US\",\"Value\":[" code "]}}"
#define STORED(uid) "{\"00081155\":{\"vr\":\"UI\",\"Value\":[\"" uid "\"]}}"
#define ANSWER(stored, failed)                                                                     \
    "{\"00081199\":{\"vr\":\"SQ\",\"Value\":[" stored                                              \
    "]},\"00081198\":{\"vr\":\"SQ\",\"Value\":[" failed "]}}"

TAP_CASE(answers_are_read)
{
    static const char json[] =
        "{\"00081198\":{\"vr\":\"SQ\",\"Value\":[" ITEM("1.3", "00081197", "45070") "," ITEM(
            "1.4", "00081197",
            "272") ",{\"00081197\":{\"vr\":\"US\",\"Value\":[43264]},\"00741048\":{\"vr\":"
                   "\"SQ\",\"Value\":[{\"00000902\":{\"vr\":\"LO\",\"Value\":[\"DICOM100: "
                   "(0010,0020) - \\\"Secret Name\\\" is wrong\"]}},{\"00000902\":{\"vr\":\"LO\","
                   "\"Value\":[\"(0010,0030) Secret\"]}},{\"00000902\":{\"vr\":\"LO\",\"Value\":["
                   "\"DICOM100: (0010,0020) - again\"]}}]}}]},"
                   "\"00081199\":{\"vr\":\"SQ\",\"Value\":[" STORED("1.1 ") "," ITEM(
                       "1.2", "00081196", "1") "]}}";
    static const struct {
        const char *uid;
        dl_cli_outcome outcome;
        const char *reason;
    } want[] = {
        {"1.1", DL_CLI_STORED, ""},
        {"1.2", DL_CLI_WARNED, "some attributes failed validation (1)"},
        {"1.3", DL_CLI_THERE, ""},
        {"1.4", DL_CLI_REFUSED, "the service failed to process it (272)"},
        {"", DL_CLI_REFUSED, "the data set fails validation (43264) (0010,0020)"},
    };
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(100000);
    dl_cli_store_item *items = NULL;
    size_t count = 0;
    TAP_OK(dl_cli_store_answer(dl_str_of(json), arena, &items, &count, &err), err);
    TAP_EQ_INT(count, DL_COUNT_OF(want));
    for (size_t i = 0; i < count && i < DL_COUNT_OF(want); i++) {
        TAP_EQ_STR(items[i].sop_uid, want[i].uid);
        TAP_EQ_INT(items[i].verdict.outcome, want[i].outcome);
        TAP_EQ_STR(dl_str_of(items[i].verdict.reason), want[i].reason);
    }
}

/** Of a file that cannot be read the service says why, without a tag; values are never told. */
TAP_CASE(reasons_tell_what_cannot_be_read)
{
    static const struct {
        const char *comment, *reason;
    } rows[] = {
        {"DICOM100: the input ends inside the header, at element 00280120",
         "the data set fails validation (43264): the input ends inside the header, at element "
         "00280120"},
        {"DICOM100: not a \\\"Doe^Jane\\\"", "the data set fails validation (43264)"},
        {"DICOM100: Doe\\nJane", "the data set fails validation (43264)"},
        {"DICOM100: (Doe^Jane)", "the data set fails validation (43264)"},
        {"DICOM100: ", "the data set fails validation (43264)"},
        {"Doe^Jane", "the data set fails validation (43264)"},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        char json[600];
        (void)snprintf(json, sizeof json,
                       "{\"00081198\":{\"vr\":\"SQ\",\"Value\":[{\"00081197\":{\"vr\":\"US\","
                       "\"Value\":[43264]},\"00741048\":{\"vr\":\"SQ\",\"Value\":[{\"00000902\":"
                       "{\"vr\":\"LO\",\"Value\":[\"%s\"]}}]}}]}}",
                       rows[i].comment);
        TAP_ROW_BEGIN();
        dl_error err = {0};
        DL_AUTO(dl_arena) arena = dl_arena_create(100000);
        dl_cli_store_item *items = NULL;
        size_t count = 0;
        TAP_OK(dl_cli_store_answer(dl_str_of(json), arena, &items, &count, &err), err);
        TAP_EQ_INT(count, 1);
        if (count == 1) {
            TAP_EQ_STR(dl_str_of(items[0].verdict.reason), rows[i].reason);
        }
        TAP_ROW_END(rows[i].comment);
    }
}

/** A long reason is cut where there is no more room. */
TAP_CASE(long_reasons_are_cut)
{
    static char json[2000];
    char text[1001];
    memset(text, 'x', 1000);
    text[1000] = '\0';
    (void)snprintf(json, sizeof json,
                   "{\"00081198\":{\"vr\":\"SQ\",\"Value\":[{\"00081197\":{\"vr\":\"US\",\"Value\":"
                   "[43264]},\"00741048\":{\"vr\":\"SQ\",\"Value\":[{\"00000902\":{\"vr\":\"LO\","
                   "\"Value\":[\"DICOM100: %s\"]}}]}}]}}",
                   text);
    dl_error err = {0};
    DL_AUTO(dl_arena) arena = dl_arena_create(100000);
    dl_cli_store_item *items = NULL;
    size_t count = 0;
    TAP_OK(dl_cli_store_answer(dl_str_of(json), arena, &items, &count, &err), err);
    TAP_EQ_INT(count, 1);
    if (count == 1) {
        TAP_EQ_INT(strlen(items[0].verdict.reason), DL_CLI_REASON_SIZE - 1);
    }
}

/** Tags are listed up to four; values of patients never are. */
TAP_CASE(reasons_hold_codes_and_tags_only)
{
    static const char comment[] =
        "{\"00000902\":{\"vr\":\"LO\",\"Value\":[\"DICOM100: (%04x,0010) - Doe^Jane\"]}}";
    dl_error err = {0};
    DL_AUTO_BUF json = {0};
    dl_buf_init(&json, 10000);
    TAP_OK(dl_buf_append_str(&json,
                             DL_STR("{\"00081199\":{\"vr\":\"SQ\",\"Value\":[{\"00081196\":{\"vr\":"
                                    "\"US\",\"Value\":[1]},\"00741048\":{\"vr\":\"SQ\","
                                    "\"Value\":["),
                             &err),
           err);
    for (unsigned i = 0; i < 5; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, comment, 0x10 + 2 * i);
        TAP_OK(dl_buf_printf(&json, &err, "%s%s", i == 0 ? "" : ",", text), err);
    }
    TAP_OK(dl_buf_append_str(&json, DL_STR("]}}]}}"), &err), err);
    DL_AUTO(dl_arena) arena = dl_arena_create(100000);
    dl_cli_store_item *items = NULL;
    size_t count = 0;
    TAP_OK(dl_cli_store_answer(dl_buf_str(&json), arena, &items, &count, &err), err);
    TAP_EQ_INT(count, 1);
    TAP_EQ_STR(dl_str_of(items[0].verdict.reason),
               "some attributes failed validation (1) (0010,0010) (0012,0010) (0014,0010) "
               "(0016,0010) and more");
}

TAP_CASE(other_answers_are_refused)
{
    static const char *const cases[] = {"", "[]", "{", "<html>", "{\"a\":1}x"};
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        dl_error err = {0};
        DL_AUTO(dl_arena) arena = dl_arena_create(1000);
        dl_cli_store_item *items = NULL;
        size_t count = 7;
        TAP_STATUS(dl_cli_store_answer(dl_str_of(cases[i]), arena, &items, &count, &err),
                   DL_E_CORRUPT);
        TAP_EQ_INT(count, 7);
    }
}

/* ---- a server that follows a script ---- */

enum { STEPS = 8, BODY_LIMIT_BYTES = 8 << 20 };

typedef struct step {
    unsigned status;
    const char *body;
} step;

typedef struct scripted {
    step steps[STEPS];
    size_t asked; /* requests so far */
    size_t parts[STEPS];
    size_t bytes[STEPS];
    char method[STEPS][8];
    dl_http_server *server;
    char base[64];
} scripted;

typedef struct incoming {
    dl_buf body;
} incoming;

static dl_status on_begin(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    (void)context;
    (void)x;
    (void)err;
    incoming *in = dl_mem_zalloc(1, sizeof *in);
    dl_buf_init(&in->body, BODY_LIMIT_BYTES);
    *out_state = in;
    return DL_OK;
}

static dl_status on_body(void *context, dl_http_exchange *x, void *state, dl_bytes piece,
                         dl_error *err)
{
    (void)context;
    (void)x;
    incoming *in = state;
    return dl_buf_append(&in->body, piece.ptr, piece.len, err);
}

static size_t count_parts(dl_str body)
{
    size_t count = 0;
    ptrdiff_t at = 0;
    while ((at = dl_str_find_str(body, DL_STR("Content-Type: application/dicom\r\n\r\n"))) >= 0) {
        body = dl_str_slice(body, (size_t)at + 1, body.len);
        count++;
    }
    return count;
}

static void on_end(void *context, dl_http_exchange *x, void *state, const dl_error *body_failure)
{
    scripted *s = context;
    incoming *in = state;
    (void)body_failure;
    size_t i = s->asked < STEPS ? s->asked : STEPS - 1;
    s->asked++;
    s->parts[i] = count_parts(dl_buf_str(&in->body));
    s->bytes[i] = in->body.len;
    (void)dl_str_copy(dl_http_method(x), s->method[i], sizeof s->method[i]);
    dl_http_respond(x, s->steps[i].status, "application/dicom+json", dl_str_of(s->steps[i].body));
}

static void on_destroy(void *context, void *state)
{
    (void)context;
    incoming *in = state;
    dl_buf_clear(&in->body);
    dl_mem_free(in);
}

static void start(scripted *s)
{
    static const dl_http_server_options options = {
        .host = "127.0.0.1", .body_limit_bytes = BODY_LIMIT_BYTES, .idle_timeout_s = 5};
    const dl_http_app app = {
        .begin = on_begin, .body = on_body, .end = on_end, .destroy = on_destroy, .context = s};
    dl_error err = {0};
    TAP_OK(dl_http_server_start(&options, &app, &s->server, &err), err);
    (void)snprintf(s->base, sizeof s->base, "http://127.0.0.1:%u/v2",
                   (unsigned)dl_http_server_port(s->server));
}

/** Send files with these UIDs; what became of them as letters S W T R. */
static dl_status send(scripted *s, const char *const *uids, size_t count, char *out_letters,
                      dl_error *err)
{
    const dl_cli_store_options options = {.base = s->base, .retry_ms = 1};
    DL_AUTO(dl_cli_store) store = NULL;
    dl_buf files[DL_CLI_STORE_PART_LIMIT] = {0};
    dl_cli_part parts[DL_CLI_STORE_PART_LIMIT] = {0};
    TAP_OK(dl_cli_store_create(&options, &store, err), *err);
    for (size_t i = 0; i < count; i++) {
        files[i] = file_with(uids[i]);
        parts[i].bytes = bytes_of(&files[i]);
    }
    dl_status status = dl_cli_store_send(store, parts, count, err);
    for (size_t i = 0; i < count; i++) {
        out_letters[i] = status == DL_OK ? "SWTR?"[parts[i].verdict.outcome] : '-';
        dl_buf_clear(&files[i]);
    }
    out_letters[count] = '\0';
    return status;
}

static const char *const abc[] = {"1.1", "1.2", "1.3"};

TAP_CASE(parts_are_matched_to_results)
{
    static const struct {
        const char *name;
        const char *uids[3];
        step steps[STEPS];
        const char *want;
        size_t asked;
    } cases[] = {
        {"all stored",
         {"1.1", "1.2", "1.3"},
         {{200, ANSWER(STORED("1.1") "," STORED("1.2") "," STORED("1.3"), "")}},
         "SSS",
         1},
        {"in another order",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("1.3") "," ITEM("1.1", "00081196", "1"),
                       ITEM("1.2", "00081197", "45070"))}},
         "WTS",
         1},
        {"twice the same",
         {"1.1", "1.1", "1.3"},
         {{202, ANSWER(STORED("1.1") "," STORED("1.3"), ITEM("1.1", "00081197", "45070"))}},
         "STS",
         1},
        {"twice the same, one of them bad",
         {"1.1", "1.1", "1.3"},
         {{202, ANSWER(STORED("1.1") "," STORED("1.3"), ITEM("1.1", "00081197", "43264"))},
          {409, ANSWER("", ITEM("1.1", "00081197", "43264"))},
          {409, ANSWER("", ITEM("1.1", "00081197", "45070"))}},
         "RSS",
         3},
        {"a UID that no file seems to have",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("1.1") "," STORED("1.1") "," STORED("1.3"), "")}},
         "SSS",
         1},
        {"one without UID",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("1.1") "," STORED("1.3"),
                       "{\"00081197\":{\"vr\":\"US\",\"Value\":[43264]}}")}},
         "SRS",
         1},
        {"two alike without UID",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("1.3"), "{\"00081197\":{\"vr\":\"US\",\"Value\":[43264]}},"
                                      "{\"00081197\":{\"vr\":\"US\",\"Value\":[43264]}}")}},
         "RRS",
         1},
        {"two that cannot be told apart",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("9.9") "," STORED("1.3"),
                       "{\"00081197\":{\"vr\":\"US\",\"Value\":[43264]}}")},
          {409, ANSWER("", "{\"00081197\":{\"vr\":\"US\",\"Value\":[43264]}}")},
          {409, ANSWER("", ITEM("9.9", "00081197", "45070"))}},
         "RSS",
         3},
        {"too few results",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("1.1"), "")},
          {409, ANSWER("", ITEM("1.1", "00081197", "45070"))},
          {200, ANSWER(STORED("1.2"), "")},
          {200, ANSWER(STORED("1.3"), "")}},
         "TSS",
         4},
        {"one is being stored just now",
         {"1.1", "1.2", "1.3"},
         {{202, ANSWER(STORED("1.1") "," STORED("1.3"), ITEM("1.2", "00081197", "45071"))},
          {409, ANSWER("", ITEM("1.2", "00081197", "45071"))},
          {409, ANSWER("", ITEM("1.2", "00081197", "45070"))}},
         "STS",
         3},
        {"the request is too large",
         {"1.1", "1.2", "1.3"},
         {{413, ""}, {200, ANSWER(STORED("1.1"), "")}, {413, ""}, {200, ANSWER(STORED("1.3"), "")}},
         "SRS",
         4},
        {"no JSON",
         {"1.1", "1.2", "1.3"},
         {{200, "<html>"}, {200, "<html>"}, {200, ANSWER(STORED("1.2"), "")}, {500, ""}},
         "RSR",
         4},
        {"busy, then fine",
         {"1.1", "1.2", "1.3"},
         {{503, ""},
          {429, ""},
          {502, ""},
          {200, ANSWER(STORED("1.1") "," STORED("1.2") "," STORED("1.3"), "")}},
         "SSS",
         4},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        scripted s = {0};
        memcpy(s.steps, cases[i].steps, sizeof s.steps);
        char letters[4];
        dl_error err = {0};
        start(&s);
        TAP_OK(send(&s, cases[i].uids, 3, letters, &err), err);
        dl_http_server_stop(s.server, 1000);
        TAP_EQ_STR(dl_str_of(letters), cases[i].want);
        TAP_EQ_INT(s.asked, cases[i].asked);
        TAP_EQ_INT(s.parts[0], 3);
        TAP_ROW_END(cases[i].name);
    }
}

TAP_CASE(what_every_file_would_meet_ends_it)
{
    static const struct {
        unsigned status;
        dl_status want;
        size_t asked;
    } cases[] = {
        {401, DL_E_DENIED, 1},      {403, DL_E_DENIED, 1},
        {404, DL_E_NOT_FOUND, 1},   {405, DL_E_UNSUPPORTED, 1},
        {302, DL_E_UNSUPPORTED, 1}, {503, DL_E_UNAVAILABLE, DL_CLI_STORE_TRIES},
    };
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        scripted s = {0};
        for (size_t k = 0; k < STEPS; k++) {
            s.steps[k] = (step){cases[i].status, "Doe^Jane"};
        }
        char letters[4];
        dl_error err = {0};
        start(&s);
        TAP_STATUS(send(&s, abc, 3, letters, &err), cases[i].want);
        dl_http_server_stop(s.server, 1000);
        TAP_EQ_INT(s.asked, cases[i].asked);
        TAP_TRUE(strstr(err.message, "Doe") == NULL);
        TAP_EQ_INT(err.status, cases[i].want);
    }
    scripted gone = {.base = "http://127.0.0.1:9/v2"}; /* nobody listens at discard */
    char letters[4];
    dl_error err = {0};
    TAP_STATUS(send(&gone, abc, 3, letters, &err), DL_E_UNAVAILABLE);
}

/** One file that is a bad request is refused; so many, and nothing else, are a wrong address. */
TAP_CASE(bad_requests_end_it_when_nothing_else_comes)
{
    enum { FILES = DL_CLI_STORE_PATIENCE + 1 };
    for (int good = 0; good <= 1; good++) { /* whether the first is answered well */
        scripted s = {0};
        for (size_t k = 0; k < STEPS; k++) {
            s.steps[k] = (step){400, "Doe^Jane"};
        }
        if (good) {
            s.steps[0] = (step){200, ANSWER(STORED("1"), "")};
        }
        start(&s);
        const dl_cli_store_options options = {.base = s.base, .retry_ms = 1};
        DL_AUTO(dl_cli_store) store = NULL;
        dl_error err = {0};
        TAP_OK(dl_cli_store_create(&options, &store, &err), err);
        for (int i = 0; i < FILES; i++) {
            DL_AUTO_BUF file = file_with("1");
            dl_cli_part part = {.bytes = bytes_of(&file)};
            dl_status status = dl_cli_store_send(store, &part, 1, &err);
            bool last = i + 1 == FILES;
            TAP_EQ_INT(status, last && !good ? DL_E_UNSUPPORTED : DL_OK);
            if (status == DL_OK && !(good && i == 0)) {
                TAP_EQ_STR(dl_str_of(part.verdict.reason),
                           "the service answered HTTP 400 (is --partition right?)");
            }
        }
        dl_http_server_stop(s.server, 1000);
        TAP_EQ_INT(s.asked, FILES);
        TAP_TRUE(strstr(err.message, "Doe") == NULL);
    }
}

/* ---- streams ---- */

typedef struct stream {
    size_t at, size, fail_at, rewinds;
} stream;

static dl_status read_stream(void *context, void *out, size_t room, size_t *out_len, dl_error *err)
{
    stream *s = context;
    size_t left = s->size - s->at;
    size_t len = left < room ? left : room;
    if (s->fail_at > 0 && s->at + len > s->fail_at) {
        return dl_error_set(err, DL_E_IO, "the file could not be read to its end");
    }
    memset(out, 'x', len);
    s->at += len;
    *out_len = len;
    return DL_OK;
}

static dl_status rewind_stream(void *context, dl_error *err)
{
    (void)err;
    stream *s = context;
    s->at = 0;
    s->rewinds++;
    return DL_OK;
}

static dl_status send_one(scripted *s, stream *in, uint64_t length, bool repeatable,
                          dl_cli_verdict *out_verdict, dl_error *err)
{
    const dl_cli_store_options options = {.base = s->base, .retry_ms = 1, .update = true};
    DL_AUTO(dl_cli_store) store = NULL;
    dl_cli_part part = {.read = read_stream,
                        .rewind = repeatable ? rewind_stream : NULL,
                        .context = in,
                        .length_bytes = length};
    TAP_OK(dl_cli_store_create(&options, &store, err), *err);
    dl_status status = dl_cli_store_send(store, &part, 1, err);
    *out_verdict = part.verdict;
    return status;
}

TAP_CASE(streams_arrive_whole)
{
    enum { SIZE = 3 << 20 };
    static const uint64_t lengths[] = {SIZE, UINT64_MAX};
    for (size_t i = 0; i < DL_COUNT_OF(lengths); i++) {
        scripted s = {.steps = {{503, ""}, {200, ANSWER(STORED("1"), "")}}};
        stream in = {.size = SIZE};
        dl_cli_verdict verdict = {0};
        dl_error err = {0};
        start(&s);
        TAP_OK(send_one(&s, &in, lengths[i], true, &verdict, &err), err);
        dl_http_server_stop(s.server, 1000);
        TAP_EQ_INT(verdict.outcome, DL_CLI_STORED);
        TAP_EQ_INT(in.rewinds, 1);
        TAP_EQ_INT(s.asked, 2);
        TAP_TRUE(s.bytes[1] > SIZE && s.bytes[1] < SIZE + 512);
        TAP_EQ_INT(s.bytes[0], s.bytes[1]);
        TAP_EQ_STR(dl_str_of(s.method[1]), "PUT");
    }
}

TAP_CASE(streams_that_can_be_read_once_are_sent_once)
{
    scripted s = {.steps = {{503, ""}, {200, ANSWER(STORED("1"), "")}}};
    stream in = {.size = 10};
    dl_cli_verdict verdict = {0};
    dl_error err = {0};
    start(&s);
    TAP_STATUS(send_one(&s, &in, UINT64_MAX, false, &verdict, &err), DL_E_UNAVAILABLE);
    dl_http_server_stop(s.server, 1000);
    TAP_EQ_INT(s.asked, 1);
}

TAP_CASE(a_file_that_cannot_be_read_is_its_own_fault)
{
    scripted s = {.steps = {{200, ANSWER(STORED("1"), "")}}};
    stream in = {.size = 3 << 20, .fail_at = 2 << 20};
    dl_cli_verdict verdict = {0};
    dl_error err = {0};
    start(&s);
    TAP_OK(send_one(&s, &in, 3 << 20, true, &verdict, &err), err);
    dl_http_server_stop(s.server, 1000);
    TAP_EQ_INT(verdict.outcome, DL_CLI_REFUSED);
    TAP_EQ_STR(dl_str_of(verdict.reason), "the file could not be read to its end");
    TAP_EQ_INT(err.status, DL_OK);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(uids_are_peeked_at);
    TAP_RUN(implicit_vr_is_peeked_at);
    TAP_RUN(answers_are_read);
    TAP_RUN(reasons_tell_what_cannot_be_read);
    TAP_RUN(long_reasons_are_cut);
    TAP_RUN(reasons_hold_codes_and_tags_only);
    TAP_RUN(other_answers_are_refused);
    parts_are_matched_to_results();
    TAP_RUN(what_every_file_would_meet_ends_it);
    TAP_RUN(bad_requests_end_it_when_nothing_else_comes);
    TAP_RUN(streams_arrive_whole);
    TAP_RUN(streams_that_can_be_read_once_are_sent_once);
    TAP_RUN(a_file_that_cannot_be_read_is_its_own_fault);
    return tap_done();
}
