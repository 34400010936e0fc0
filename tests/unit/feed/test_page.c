#include "tap.h"

#include "base/mem.h"
#include "feed/feed.h"
#include "feed/internal.h"
#include "json/json.h"

#include <stdlib.h>

enum { ARENA_BYTES = 64 << 20, TEXT_BYTES = 64 << 20 };

static dl_status parse(const char *text, size_t len, dl_feed_page **out_page, dl_error *err)
{
    dl_buf buf;
    dl_buf_init(&buf, TEXT_BYTES);
    if (dl_buf_append(&buf, text, len, err) != DL_OK) {
        return DL_E_NOMEM;
    }
    dl_status status = dl_feed_page_parse(&buf, out_page, err);
    TAP_TRUE(buf.ptr == NULL && buf.len == 0); /* taken, whatever comes */
    return status;
}

#define UIDS                                                                                       \
    "\"studyInstanceUid\":\"1.2\",\"seriesInstanceUid\":\"1.2.3\",\"sopInstanceUid\":\"1.2.3.4\""
#define REST UIDS ",\"action\":\"Create\",\"state\":\"Current\""
#define TIME ",\"timestamp\":\"2026-01-05T08:00:00.1234567+00:00\""
#define ROW(n, more) "{\"sequence\":" #n "," REST TIME more "}"

TAP_CASE(a_row_has_what_it_says)
{
    static const char text[] =
        " [ {\"sequence\":1,\"partitionName\":\"ward A\",\"filePath\":\"a/b \\u00e4.dcm\"," UIDS
        ",\"action\":\"Update\",\"timestamp\":\"2026-01-05T08:00:00.1234567+00:00\",\"state\":"
        "\"Replaced\",\"metadata\":{\"00080018\":{\"vr\":\"UI\"}},\"newer\":[1,{\"a\":\"]}\"}]},"
        "\r\n"
        "{\"sequence\":9223372036854775807," UIDS
        ",\"action\":\"delete\",\"timestamp\":\"2026-01-05T10:00:01+02:00\","
        "\"state\":\"DELETED\",\"metadata\":null,\"filePath\":null,\"partitionName\":null}\t]\n";
    dl_feed_page *page = NULL;
    dl_error err = {0};
    TAP_OK(parse(text, sizeof text - 1, &page, &err), err);
    if (page == NULL) {
        return;
    }
    TAP_EQ_INT(page->entry_count, 2);
    TAP_EQ_INT(page->text_bytes, sizeof text - 1);
    const dl_feed_entry *e = page->entries;
    TAP_EQ_INT(e->sequence, 1);
    TAP_EQ_INT(e->timestamp_us, 1767600000123456);
    TAP_EQ_INT(e->timestamp_tenths, 7);
    TAP_TRUE(e->action == DL_FEED_UPDATE && e->state == DL_FEED_REPLACED);
    TAP_EQ_STR(e->partition_name, "ward A");
    TAP_EQ_STR(e->file_path, "a/b \xc3\xa4.dcm");
    TAP_EQ_STR(e->study_uid, "1.2");
    TAP_EQ_STR(e->series_uid, "1.2.3");
    TAP_EQ_STR(e->sop_uid, "1.2.3.4");
    TAP_EQ_STR(e->metadata, "{\"00080018\":{\"vr\":\"UI\"}}");
    e++;
    TAP_EQ_INT(e->sequence, INT64_MAX);
    TAP_EQ_INT(e->timestamp_us, 1767600001000000);
    TAP_EQ_INT(e->timestamp_tenths, 0);
    TAP_TRUE(e->action == DL_FEED_DELETE && e->state == DL_FEED_DELETED);
    TAP_EQ_STR(e->partition_name, "Microsoft.Default");
    TAP_TRUE(e->file_path.ptr == NULL && e->metadata.ptr == NULL);
    dl_feed_page_destroy(page);
    dl_feed_page_destroy(NULL);
}

static const struct {
    const char *name, *text, *words; /* words NULL: it is read */
} pages[] = {
    /* clang-format off */
    {"empty",                 "[]",                                     NULL},
    {"empty with room",       " \r\n[ \t] ",                            NULL},
    {"one row",               "[" ROW(1, "") "]",                       NULL},
    {"no text",               "",                                       "byte 0 of 0"},
    {"HTML",                  "<html>",                                 "an array of rows"},
    {"an object",             "{}",                                     "an array of rows"},
    {"text behind",           "[]x",                                    "byte 2 of 3"},
    {"two arrays",            "[][]",                                   "text after"},
    {"a byte order mark",     "\xef\xbb\xbf[]",                         "an array of rows"},
    {"no row",                "[1]",                                    "a row was expected"},
    {"trailing comma",        "[" ROW(1, "") ",]",                      "a row was expected"},
    {"cut after the comma",   "[" ROW(1, "") ",",                       "a row was expected"},
    {"cut after the row",     "[" ROW(1, ""),                           "a comma or ]"},
    {"cut in a row",          "[{\"sequence\":1,",                      "a property name"},
    {"cut in a string",       "[{\"sequence\":1,\"action\":\"Cre",      "without end"},
    {"cut in an escape",      "[{\"sequence\":1,\"action\":\"Cre\\",    "without end"},
    {"cut in the metadata",   "[{\"sequence\":1,\"metadata\":{\"0008",  "without end"},
    {"no colon",              "[{\"sequence\" 1}]",                     "a colon"},
    {"a bare name",           "[{sequence:1}]",                         "a property name"},
    {"no value",              "[{\"sequence\":}]",                      "JSON: byte 0"},
    {"a wrong word",          "[{\"sequence\":nul}]",                   "JSON: byte 0"},
    {"half a surrogate",      "[{\"sequence\":1,\"x\":\"\\ud800\"}]",   "surrogate"},
    {"not UTF-8",             "[{\"sequence\":1,\"x\":\"\xff\"}]",      "UTF-8"},
    {"a control character",   "[{\"sequence\":1,\"x\":\"\x01\"}]",      "control character"},
    {"unknown and broken",    "[{\"sequence\":1,\"x\":{\"a\":]}}]",     "JSON: byte"},
    {"no properties",         "[{}]",                                   "row 1: sequence is missing"},
    {"sequence 0",            "[" ROW(0, "") "]",                       "row 1: sequence is no whole"},
    {"sequence below 0",      "[" ROW(-1, "") "]",                      "sequence is no whole"},
    {"sequence 1.0",          "[" ROW(1.0, "") "]",                     "sequence is no whole"},
    {"sequence 1e3",          "[" ROW(1e3, "") "]",                     "sequence is no whole"},
    {"sequence too large",    "[" ROW(9223372036854775808, "") "]",     "sequence is no whole"},
    {"sequence a string",     "[" ROW("1", "") "]",                     "sequence is no whole"},
    {"sequence twice",        "[" ROW(1, ",\"sequence\":2") "]",        "row 1: sequence comes twice"},
    {"metadata twice",        "[" ROW(1, ",\"metadata\":{},\"metadata\":{}") "]", "metadata comes twice"},
    {"metadata an array",     "[" ROW(7, ",\"metadata\":[]") "]",       "sequence 7: metadata is no object"},
    {"metadata a string",     "[" ROW(7, ",\"metadata\":\"{}\"") "]",   "metadata is no object"},
    {"path a number",         "[" ROW(7, ",\"filePath\":7") "]",        "filePath is no string"},
    {"path empty",            "[" ROW(7, ",\"filePath\":\"\"") "]",     "filePath is empty"},
    {"partition empty",       "[" ROW(7, ",\"partitionName\":\"\"") "]", "partitionName is empty"},
    {"partition with a line", "[" ROW(7, ",\"partitionName\":\"a\\nb\"") "]", "a control character"},
    {"partition with a NUL",  "[" ROW(7, ",\"partitionName\":\"a\\u0000\"") "]", "a control character"},
    {"no UIDs",               "[{\"sequence\":3,\"action\":\"Create\",\"state\":\"Current\"" TIME "}]", "sequence 3: studyInstanceUid is missing"},
    {"no action",             "[{\"sequence\":3," UIDS ",\"state\":\"Current\"" TIME "}]", "action is missing"},
    {"unknown action",        "[{\"sequence\":3," UIDS ",\"action\":\"Made\",\"state\":\"Current\"" TIME "}]", "sequence 3: action is none of"},
    {"unknown state",         "[{\"sequence\":3," UIDS ",\"action\":\"Create\",\"state\":\"Old\"" TIME "}]", "sequence 3: state is none of"},
    {"no time",               "[{\"sequence\":3," REST "}]",            "timestamp is missing"},
    {"time without a zone",   "[{\"sequence\":3," REST ",\"timestamp\":\"2026-01-05T08:00:00\"}]", "timestamp is no ISO"},
    {"no such day",           "[{\"sequence\":3," REST ",\"timestamp\":\"2026-02-30T08:00:00Z\"}]", "timestamp is no ISO"},
    {"in order",              "[" ROW(1, "") "," ROW(2, "") "]",        NULL},
    {"the same twice",        "[" ROW(1, "") "," ROW(1, "") "]",        "sequence 1 comes after sequence 1"},
    {"out of order",          "[" ROW(2, "") "," ROW(1, "") "]",        "sequence 1 comes after sequence 2"},
    {"time decides first",    "[{\"sequence\":9," REST ",\"timestamp\":\"2026-01-05T08:00:00.1234566Z\"}," ROW(1, "") "]", NULL},
    {"time goes back",        "[" ROW(1, "") ",{\"sequence\":9," REST ",\"timestamp\":\"2026-01-05T08:00:00.1234566Z\"}]", "sequence 9 comes after"},
    /* clang-format on */
};

static void pages_are_checked(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(pages); i++) {
        TAP_ROW_BEGIN();
        dl_feed_page *page = NULL;
        dl_error err = {0};
        dl_status status = parse(pages[i].text, strlen(pages[i].text), &page, &err);
        TAP_STATUS(status, pages[i].words == NULL ? DL_OK : DL_E_INVALID);
        TAP_TRUE((page != NULL) == (status == DL_OK) && (err.message[0] != '\0') == (page == NULL));
        if (pages[i].words != NULL &&
            dl_str_find_str(dl_str_of(err.message), dl_str_of(pages[i].words)) < 0) {
            TAP_FAIL("says '%s'", err.message);
        }
        dl_feed_page_destroy(page);
        char name[80];
        (void)snprintf(name, sizeof name, "page: %s", pages[i].name);
        TAP_ROW_END(name);
    }
}

static dl_status parse_with(const char *property, size_t len)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, TEXT_BYTES);
    dl_error err = {0};
    dl_feed_page *page = NULL;
    TAP_OK(dl_buf_printf(&buf, &err, "[{\"sequence\":1," REST TIME), err);
    if (strcmp(property, "sopInstanceUid") == 0) {
        buf.len = 0;
        TAP_OK(dl_buf_printf(&buf, &err,
                             "[{\"sequence\":1,\"studyInstanceUid\":\"1\",\"seriesInstanceUid\":"
                             "\"1\",\"action\":\"Create\",\"state\":\"Current\"" TIME),
               err);
    }
    TAP_OK(dl_buf_printf(&buf, &err, ",\"%s\":\"", property), err);
    for (size_t i = 0; i < len; i++) {
        TAP_OK(dl_buf_append_char(&buf, '1', &err), err);
    }
    TAP_OK(dl_buf_append_str(&buf, DL_STR("\"}]"), &err), err);
    dl_status status = dl_feed_page_parse(&buf, &page, &err);
    dl_feed_page_destroy(page);
    return status;
}

TAP_CASE(lengths_at_the_bound_and_one_past_it)
{
    TAP_STATUS(parse_with("sopInstanceUid", DL_FEED_NAME_LIMIT_BYTES), DL_OK);
    TAP_STATUS(parse_with("sopInstanceUid", DL_FEED_NAME_LIMIT_BYTES + 1), DL_E_INVALID);
    TAP_STATUS(parse_with("partitionName", DL_FEED_NAME_LIMIT_BYTES), DL_OK);
    TAP_STATUS(parse_with("partitionName", DL_FEED_NAME_LIMIT_BYTES + 1), DL_E_INVALID);
    TAP_STATUS(parse_with("filePath", DL_FEED_PATH_LIMIT_BYTES), DL_OK);
    TAP_STATUS(parse_with("filePath", DL_FEED_PATH_LIMIT_BYTES + 1), DL_E_INVALID);
}

TAP_CASE(a_page_has_a_limit)
{
    for (size_t extra = 0; extra < 2; extra++) {
        dl_buf buf;
        dl_error err = {0};
        dl_feed_page *page = NULL;
        dl_buf_init(&buf, (size_t)DL_FEED_PAGE_LIMIT_BYTES + 16);
        size_t len = (size_t)DL_FEED_PAGE_LIMIT_BYTES + extra;
        TAP_OK(dl_buf_reserve(&buf, len, &err), err);
        memset(buf.ptr, ' ', len);
        buf.ptr[0] = '[';
        buf.ptr[len - 1] = ']';
        buf.len = len;
        TAP_STATUS(dl_feed_page_parse(&buf, &page, &err), extra == 0 ? DL_OK : DL_E_LIMIT);
        dl_feed_page_destroy(page);
    }
}

/* Every cut of a page is refused, as text that is no JSON: that is what is asked for again. */
TAP_CASE(every_cut_is_no_json)
{
    static const char text[] =
        "[" ROW(1, ",\"metadata\":{\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":"
                   "\"A\\\\\"}]}},\"filePath\":\"x\\\"y\"") "," ROW(2, "") "]";
    for (size_t len = 0; len < sizeof text; len++) {
        dl_buf buf;
        dl_feed_page *page = NULL;
        dl_error err = {0};
        bool not_json = false, whole = len == sizeof text - 1;
        dl_buf_init(&buf, TEXT_BYTES);
        TAP_OK(dl_buf_append(&buf, text, len, &err), err);
        dl_status status =
            dl_feed_page_read(&buf, (dl_feed_page_form){.not_json = &not_json}, &page, &err);
        if (status != (whole ? DL_OK : DL_E_INVALID) || not_json == whole) {
            TAP_FAIL("cut at %zu: %s", len, err.message);
        }
        dl_feed_page_destroy(page);
    }
}

/* ---- where a container ends, against a slow count ---- */

static const char *slow_end(const char *p, const char *end)
{
    size_t depth = 0;
    for (bool in_string = false; p < end; p++) {
        if (in_string) {
            if (*p == '\\') {
                p++;
            } else if (*p == '"') {
                in_string = false;
            }
        } else if (*p == '\\' && end - p > 1 && (p[1] == '"' || p[1] == '\\')) {
            p++; /* no JSON, but both must say the same */
        } else if (*p == '"') {
            in_string = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if ((*p == '}' || *p == ']') && --depth == 0) {
            return p + 1;
        }
    }
    return NULL;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

TAP_CASE(container_ends_are_those_of_a_slow_count)
{
    static const char alphabet[] = "{}[]\"\\\\\\\",: ab{\"\xc3";
    uint32_t seed = 7;
    int found = 0;
    for (int round = 0; round < 200000; round++) {
        char text[300];
        size_t len = 1 + next_random(&seed) % sizeof text;
        for (size_t i = 0; i < len; i++) {
            text[i] = alphabet[next_random(&seed) % (sizeof alphabet - 1)];
            if (next_random(&seed) % 4 != 0) {
                text[i] = 'x';
            }
        }
        text[0] = '{';
        const char *want = slow_end(text, text + len);
        const char *got = dl_feed_container_end(text, text + len);
        found += want != NULL;
        if (want != got) {
            TAP_FAIL("round %d", round);
            return;
        }
    }
    TAP_TRUE(found > 10000 && found < 190000);
}

/* ---- torture ---- */

TAP_CASE(each_allocation_of_a_page_may_fail)
{
    static const char text[] = "[" ROW(1, ",\"filePath\":\"x\\\"y\"") "]";
    int failures = 0;
    for (int n = 0; n < 20; n++) {
        dl_buf buf;
        dl_feed_page *page = NULL;
        dl_error err = {0};
        dl_buf_init(&buf, TEXT_BYTES);
        TAP_OK(dl_buf_append(&buf, text, sizeof text - 1, &err), err);
        dl_mem_fail_after(n);
        dl_status status = dl_feed_page_parse(&buf, &page, &err);
        dl_mem_fail_after(-1);
        dl_feed_page_destroy(page);
        if (status == DL_OK) {
            break;
        }
        TAP_TRUE(page == NULL && (status == DL_E_NOMEM || status == DL_E_LIMIT));
        failures++;
    }
    TAP_TRUE(failures >= 3 && failures < 10); /* page, arena, entries, text */
}

int main(void)
{
    TAP_RUN(a_row_has_what_it_says);
    pages_are_checked();
    TAP_RUN(lengths_at_the_bound_and_one_past_it);
    TAP_RUN(a_page_has_a_limit);
    TAP_RUN(every_cut_is_no_json);
    TAP_RUN(container_ends_are_those_of_a_slow_count);
    TAP_RUN(each_allocation_of_a_page_may_fail);
    return tap_done();
}
