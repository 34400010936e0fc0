/* A feed over HTTP: what the service is, and each answer that is none. */
#include "service_rig.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the service is ---- */

/* Another service under the same address: its sequences are others. */
TAP_CASE(another_feed_is_noticed)
{
    service s;
    dl_error err = {0};
    dl_feed_info info = {0};
    dl_feed_page *page = NULL;
    int64_t sequence = 0, time_us = 0;
    service_start(&s);
    s.feed_id = s.page_feed_id = "f-1";
    dl_feed_source *source = open_url(s.url);
    TAP_OK(source->ops->info(source, &info, &err), err);
    TAP_OK(source->ops->window(source, 0, INT64_MAX, 0, 10, NULL, &page, &err), err);
    dl_feed_page_destroy(page);
    page = NULL;
    s.feed_id = s.page_feed_id = "f-2";
    TAP_STATUS(source->ops->window(source, 0, INT64_MAX, 0, 10, NULL, &page, &err),
               DL_E_UNAVAILABLE);
    TAP_TRUE(page == NULL);
    TAP_TRUE(strstr(err.message, "another change feed") != NULL);
    TAP_OK(source->ops->info(source, &info, &err), err); /* looks anew */
    TAP_EQ_STR(info.id, "f-2");
    TAP_OK(source->ops->latest(source, &sequence, &time_us, NULL, &err), err);
    s.feed_id = "f-3";
    TAP_STATUS(source->ops->latest(source, &sequence, &time_us, NULL, &err), DL_E_UNAVAILABLE);
    dl_feed_source_close(source);
    service_stop(&s);
}

TAP_CASE(a_service_of_ours_names_its_feed)
{
    service s;
    dl_error err = {0};
    dl_feed_info info = {0};
    service_start(&s);
    s.feed_id = "f-0123";
    dl_feed_source *source = open_url(s.url);
    TAP_OK(source->ops->info(source, &info, &err), err);
    TAP_EQ_STR(info.id, "f-0123");
    TAP_TRUE(info.has_cursor && info.open_windows);
    TAP_EQ_INT(info.cursor_limit, 2000);
    TAP_EQ_INT(info.page_limit, 200); /* of windows, as everywhere */
    TAP_EQ_STR(dl_str_of(s.path), "/v2/changefeed/latest");
    TAP_EQ_STR(dl_str_of(s.query), "includeMetadata=false");
    TAP_OK(source->ops->info(source, &info, &err), err);
    TAP_EQ_INT(s.requests, 1); /* once */
    dl_feed_page *page = NULL;
    TAP_OK(source->ops->after(source, 7, 30, NULL, &page, &err), err);
    TAP_TRUE(page != NULL && page->entry_count == 30 && page->entries[0].sequence == 8);
    dl_feed_page_destroy(page);
    TAP_EQ_STR(dl_str_of(s.query), "afterSequence=7&limit=30&includeMetadata=true");
    TAP_TRUE(source->requests == 2 && source->retries == 0 && source->bytes > 5000);
    dl_feed_source_close(source);
    static const struct {
        const char *said;
        size_t want;
    } limits[] = {{"500", 500}, {"10000", 10000}, {"99999", 10000}, {"0", 2000}, {"x", 2000}};
    for (size_t i = 0; i < DL_COUNT_OF(limits); i++) {
        s.page_limit = limits[i].said;
        source = open_url(s.url);
        TAP_OK(source->ops->info(source, &info, &err), err);
        TAP_EQ_INT(info.cursor_limit, limits[i].want);
        dl_feed_source_close(source);
    }
    char id[DL_FEED_ID_LIMIT_BYTES + 2];
    memset(id, 'i', sizeof id);
    for (size_t len = DL_FEED_ID_LIMIT_BYTES; len <= DL_FEED_ID_LIMIT_BYTES + 1; len++) {
        id[len] = '\0';
        s.feed_id = id;
        source = open_url(s.url);
        TAP_STATUS(source->ops->info(source, &info, &err),
                   len == DL_FEED_ID_LIMIT_BYTES ? DL_OK : DL_E_INVALID);
        dl_feed_source_close(source);
        id[len] = 'i';
    }
    service_stop(&s);
    dl_feed_source_close(NULL);
}

TAP_CASE(another_service_is_named_by_its_address)
{
    static const struct {
        const char *base, *path, *id;
    } forms[] = {
        {"", "/v2/changefeed/latest", ""},
        {"/", "/v2/changefeed/latest", ""},
        {"/v2", "/v2/changefeed/latest", ""},
        {"/v2/", "/v2/changefeed/latest", ""},
        {"/Some/Path", "/Some/Path/v2/changefeed/latest", "/some/path"},
        {"/Some/Path//v2//", "/Some/Path/v2/changefeed/latest", "/some/path"},
        {"/dev2", "/dev2/v2/changefeed/latest", "/dev2"},
    };
    service s;
    dl_error err = {0};
    service_start(&s);
    for (size_t i = 0; i < DL_COUNT_OF(forms); i++) {
        char url[256], id[256];
        dl_feed_info info = {0};
        (void)snprintf(url, sizeof url, "HTTP%s%s", s.url + 4, forms[i].base);
        (void)snprintf(id, sizeof id, "%s%s", s.url + 7, forms[i].id);
        dl_feed_source *source = open_url(url);
        TAP_OK(source->ops->info(source, &info, &err), err);
        TAP_EQ_STR(info.id, id);
        TAP_TRUE(!info.has_cursor && !info.open_windows && info.page_limit == 200);
        TAP_EQ_STR(dl_str_of(s.path), forms[i].path);
        s.faults[s.requests] = (fault){STATUS, 404, NULL, NULL};
        s.fault_count = s.requests + 1;
        size_t rows = 0;
        char words[256];
        (void)snprintf(words, sizeof words,
                       "GET %.*s offset 100: ", (int)(strlen(forms[i].path) - strlen("/latest")),
                       forms[i].path);
        TAP_STATUS(get_window(source, &rows, &err), DL_E_INVALID);
        TAP_TRUE(strstr(err.message, words) != NULL);
        err = (dl_error){0};
        dl_feed_source_close(source);
    }
    service_stop(&s);
}

TAP_CASE(an_empty_feed_is_known_too)
{
    service s;
    dl_error err = {0};
    dl_feed_info info = {0};
    int64_t sequence = 7, time_us = 8;
    service_start(&s);
    dl_feed_source *source = open_url(s.url);
    TAP_OK(source->ops->latest(source, &sequence, &time_us, NULL, &err), err);
    TAP_TRUE(sequence == ROWS && time_us == 1767600000000000 + ROWS);
    s.rows = 0;
    TAP_STATUS(source->ops->latest(source, &sequence, &time_us, NULL, &err), DL_E_NOT_FOUND);
    TAP_TRUE(sequence == ROWS);
    TAP_OK(source->ops->info(source, &info, &err), err);
    size_t rows = 9;
    TAP_OK(get_window(source, &rows, &err), err);
    TAP_EQ_INT(rows, 0);
    s.faults[s.requests] = (fault){.kind = STATUS, .status = 204};
    s.fault_count = s.requests + 1;
    TAP_OK(get_window(source, &rows, &err), err);
    TAP_EQ_INT(rows, 0);
    dl_feed_source_close(source);
    service_stop(&s);
}

static void addresses_are_checked(void)
{
    static const struct {
        const char *url;
        unsigned version;
        dl_status want;
    } rows[] = {
        {"https://host", 0, DL_OK},
        {"https://host:8443/a/b-c", 2, DL_OK},
        {"https://host", 3, DL_OK},
        {"https://host", 1, DL_E_UNSUPPORTED},
        {"https://host", 100, DL_E_UNSUPPORTED},
        {"", 0, DL_E_INVALID},
        {"host", 0, DL_E_INVALID},
        {"ftp://host", 0, DL_E_INVALID},
        {"https://", 0, DL_E_INVALID},
        {"https:///v2", 0, DL_E_INVALID},
        {"https://u:p@host", 0, DL_E_INVALID},
        {"https://host/?a=b", 0, DL_E_INVALID},
        {"https://host/#a", 0, DL_E_INVALID},
        {"https://ho st", 0, DL_E_INVALID},
        {"https://host/a\nb", 0, DL_E_INVALID},
        {"file:///etc/passwd", 0, DL_E_INVALID},
    };
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_ROW_BEGIN();
        dl_feed_source *source = NULL;
        dl_error err = {0};
        dl_feed_http_options options = {.base_url = rows[i].url, .api_version = rows[i].version};
        TAP_STATUS(dl_feed_http_open(&options, &source, &err), rows[i].want);
        TAP_TRUE((source == NULL) == (rows[i].want != DL_OK));
        TAP_TRUE((err.message[0] == '\0') == (rows[i].want == DL_OK));
        dl_feed_source_close(source);
        char name[80];
        (void)snprintf(name, sizeof name, "address: row %zu", i);
        TAP_ROW_END(name);
    }
    TAP_ROW_BEGIN();
    char url[512] = "https://";
    memset(url + 8, 'h', 201);
    dl_feed_source *source = NULL;
    TAP_STATUS(dl_feed_http_open(&(dl_feed_http_options){.base_url = url}, &source, NULL),
               DL_E_INVALID);
    url[208] = '\0';
    TAP_STATUS(dl_feed_http_open(&(dl_feed_http_options){.base_url = url}, &source, NULL), DL_OK);
    dl_feed_source_close(source);
    TAP_ROW_END("address: length at the bound and one past it");
}

/* ---- faults ---- */

static const struct {
    const char *name;
    fault faults[3];
    int fault_count;
    dl_status want;
    int requests;
    const char *words;
} faults_table[] = {
    /* clang-format off */
    {"good",             {{.kind = GOOD}}, 0, DL_OK, 1, NULL},
    {"401",              {{STATUS, 401, NULL, NULL}}, 1, DL_E_DENIED, 1, "answers 401"},
    {"403",              {{STATUS, 403, NULL, NULL}}, 1, DL_E_DENIED, 1, "answers 403"},
    {"404",              {{STATUS, 404, NULL, NULL}}, 1, DL_E_INVALID, 1, "answers 404"},
    {"400 with words",   {{STATUS, 400, NULL, "bad\r\nlimit"}}, 1, DL_E_INVALID, 1, "400: bad  limit"},
    {"301",              {{STATUS, 301, NULL, NULL}}, 1, DL_E_INVALID, 1, "answers 301"},
    {"408, then good",   {{STATUS, 408, NULL, NULL}}, 1, DL_OK, 2, NULL},
    {"429, then good",   {{STATUS, 429, NULL, NULL}}, 1, DL_OK, 2, NULL},
    {"500, then good",   {{STATUS, 500, NULL, NULL}}, 1, DL_OK, 2, NULL},
    {"503 twice, good",  {{STATUS, 503, "0", NULL}, {STATUS, 503, NULL, NULL}}, 2, DL_OK, 3, NULL},
    {"503 for ever",     {{STATUS, 503, NULL, NULL}, {STATUS, 502, NULL, NULL}, {STATUS, 503, NULL, NULL}}, 3, DL_E_UNAVAILABLE, 3, "trying 3 times"},
    {"500, then 400",    {{STATUS, 500, NULL, NULL}, {STATUS, 400, NULL, NULL}}, 2, DL_E_INVALID, 2, "answers 400"},
    {"cut, then good",   {{.kind = CUT}}, 1, DL_OK, 2, NULL},
    {"cut for ever",     {{.kind = CUT}, {.kind = CUT}, {.kind = CUT}}, 3, DL_E_UNAVAILABLE, 3, "offset 100"},
    {"HTML, then good",  {{.kind = HTML}}, 1, DL_OK, 2, NULL},
    {"HTML for ever",    {{.kind = HTML}, {.kind = HTML}, {.kind = HTML}}, 3, DL_E_UNAVAILABLE, 3, "GET /v2/changefeed offset 100: the answer is no JSON"},
    {"nothing for ever", {{.kind = EMPTY}, {.kind = EMPTY}, {.kind = EMPTY}}, 3, DL_E_UNAVAILABLE, 3, "no JSON"},
    {"JSON cut, good",   {{.kind = CUT_JSON}}, 1, DL_OK, 2, NULL},
    {"JSON cut always",  {{.kind = CUT_JSON}, {.kind = CUT_JSON}, {.kind = CUT_JSON}}, 3, DL_E_UNAVAILABLE, 3, "no JSON"},
    {"too many rows",    {{.kind = MORE_ROWS}}, 1, DL_E_INVALID, 1, "51 rows, asked for 50"},
    {"oversized",        {{.kind = OVERSIZED}}, 1, DL_E_LIMIT, 1, "offset 100"},
    /* clang-format on */
};

static void faults_are_met(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(faults_table); i++) {
        TAP_ROW_BEGIN();
        service s;
        dl_error err = {0};
        service_start(&s);
        memcpy(s.faults, faults_table[i].faults, sizeof faults_table[i].faults);
        s.fault_count = faults_table[i].fault_count;
        dl_feed_source *source = open_with(&(dl_feed_http_options){
            .base_url = s.url, .backoff_ms = 1, .try_limit = 3, .token = "s3cret"});
        size_t rows = 0;
        dl_status status = get_window(source, &rows, &err);
        TAP_STATUS(status, faults_table[i].want);
        TAP_EQ_INT(s.requests, faults_table[i].requests);
        TAP_EQ_INT(source->retries, faults_table[i].requests - 1);
        TAP_EQ_INT(rows, status == DL_OK ? 50 : 0);
        if (status == DL_OK) {
            TAP_EQ_STR(dl_str_of(s.token), "Bearer s3cret");
            TAP_EQ_STR(dl_str_of(s.query),
                       "offset=100&limit=50&startTime=2026-01-05T08:00:00.000000Z&endTime=2026-01-"
                       "06T11:46:40.000000Z&includeMetadata=true");
            TAP_TRUE(err.message[0] == '\0');
        } else if (strstr(err.message, faults_table[i].words) == NULL) {
            TAP_FAIL("says '%s'", err.message);
        }
        TAP_TRUE(strstr(err.message, "s3cret") == NULL && strstr(err.hint, "s3cret") == NULL);
        TAP_TRUE(status != DL_E_DENIED || err.hint[0] != '\0');
        dl_feed_source_close(source);
        service_stop(&s);
        char name[80];
        (void)snprintf(name, sizeof name, "fault: %s", faults_table[i].name);
        TAP_ROW_END(name);
    }
}

TAP_CASE(nobody_listens)
{
    service s;
    dl_error err = {0};
    service_start(&s);
    dl_feed_source *source =
        open_with(&(dl_feed_http_options){.base_url = s.url, .backoff_ms = 1, .try_limit = 2});
    service_stop(&s);
    size_t rows = 0;
    TAP_STATUS(get_window(source, &rows, &err), DL_E_UNAVAILABLE);
    TAP_EQ_INT(source->requests, 2);
    TAP_TRUE(strstr(err.message, "offset 100") != NULL);
    dl_feed_source_close(source);
}

int main(void)
{
    dl_log_set_level(DL_LOG_OFF);
    TAP_RUN(another_feed_is_noticed);
    TAP_RUN(a_service_of_ours_names_its_feed);
    TAP_RUN(another_service_is_named_by_its_address);
    TAP_RUN(an_empty_feed_is_known_too);
    addresses_are_checked();
    faults_are_met();
    TAP_RUN(nobody_listens);
    return tap_done();
}
