#include "tap.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "feed/feed.h"
#include "feed/http_source.h"
#include "http/server.h"
#include "http/url.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROWS = 1000, FAULT_LIMIT = 16 };
/* Before what hangs or waits would go on by itself: 30 s. */
#define SOON_US INT64_C(20000000)

typedef enum kind { GOOD, STATUS, CUT, HTML, CUT_JSON, HANG, OVERSIZED, MORE_ROWS, EMPTY } kind;

typedef struct fault {
    kind kind;
    unsigned status;
    const char *retry_after, *body;
} fault;

/* A service that does what the next fault says, and then is good. */
typedef struct service {
    dl_http_server *server;
    pthread_mutex_t lock; /* guards everything below */
    int64_t rows;
    const char *feed_id, *page_limit, *page_feed_id;
    fault faults[FAULT_LIMIT];
    int fault_count, every; /* every n-th request has the first fault, for ever */
    int requests;
    char path[256], query[512], token[128];
    const char *good_token; /* NULL: any */
    atomic_bool stop;       /* those that hang go on */
    char url[128];
} service;

static void sleep_ms(int64_t ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

/* ---- answers ---- */

static int64_t number_param(dl_http_exchange *x, const char *name, int64_t otherwise)
{
    dl_url_param *params = NULL;
    size_t count = 0;
    if (dl_url_query_parse(dl_http_query(x), dl_http_arena(x), &params, &count, NULL) == DL_OK) {
        for (size_t i = 0; i < count; i++) {
            if (dl_str_eq(params[i].name, dl_str_of(name))) {
                (void)dl_str_to_i64(params[i].value, &otherwise);
            }
        }
    }
    return otherwise;
}

static dl_status add_row(dl_buf *out, int64_t sequence)
{
    char time[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_feed(1767600000000000 + sequence, time);
    return dl_buf_printf(
        out, NULL,
        "{\"sequence\":%lld,\"studyInstanceUid\":\"1\",\"seriesInstanceUid\":\"2\","
        "\"sopInstanceUid\":\"3\",\"action\":\"Create\",\"state\":\"Current\","
        "\"timestamp\":\"%s\",\"metadata\":{\"00080018\":{\"vr\":\"UI\"}}}",
        (long long)sequence, time);
}

static void answer_page(service *s, dl_http_exchange *x, const fault *f)
{
    if (s->page_feed_id != NULL) {
        dl_http_add_header(x, "dl-feed-id", dl_str_of(s->page_feed_id));
    }
    dl_buf out;
    dl_buf_init(&out, 8 << 20);
    int64_t after = number_param(x, "afterSequence", -1);
    int64_t from = after >= 0 ? after : number_param(x, "offset", 0);
    int64_t limit = number_param(x, "limit", 100) + (f->kind == MORE_ROWS);
    TAP_TRUE(dl_buf_append_char(&out, '[', NULL) == DL_OK);
    for (int64_t i = from; i < s->rows && i < from + limit; i++) {
        TAP_TRUE(i == from || dl_buf_append_char(&out, ',', NULL) == DL_OK);
        TAP_TRUE(add_row(&out, i + 1) == DL_OK);
    }
    TAP_TRUE(dl_buf_append_char(&out, ']', NULL) == DL_OK);
    if (f->kind == CUT_JSON) {
        out.len /= 2;
    }
    dl_http_respond_buf(x, 200, "application/json", &out);
}

static void answer_latest(service *s, dl_http_exchange *x)
{
    dl_buf out;
    dl_buf_init(&out, 1 << 20);
    if (s->feed_id != NULL) {
        dl_http_add_header(x, "dl-feed-id", dl_str_of(s->feed_id));
    }
    if (s->page_limit != NULL) {
        dl_http_add_header(x, "dl-page-limit", dl_str_of(s->page_limit));
    }
    if (s->rows == 0) {
        dl_http_respond(x, 204, NULL, DL_STR(""));
        return;
    }
    TAP_TRUE(add_row(&out, s->rows) == DL_OK);
    dl_http_respond_buf(x, 200, "application/json", &out);
}

/* A body that breaks off, or never ends. */
typedef struct body {
    uint64_t left;
    bool breaks;
} body;

static dl_status read_body(void *context, char *out, size_t room, size_t *out_len, dl_error *err)
{
    body *b = context;
    if (b->left == 0 && b->breaks) {
        return dl_error_set(err, DL_E_IO, "asked to break");
    }
    *out_len = b->left < room ? (size_t)b->left : room;
    memset(out, ' ', *out_len);
    b->left -= *out_len;
    return DL_OK;
}

static void destroy_body(void *context)
{
    dl_mem_free(context);
}

static void answer_stream(dl_http_exchange *x, uint64_t bytes, bool breaks)
{
    body *b = dl_mem_zalloc(1, sizeof *b);
    *b = (body){.left = bytes, .breaks = breaks};
    dl_http_stream stream = {read_body, destroy_body, b};
    dl_http_respond_stream(x, 200, "application/json", breaks ? bytes * 2 : UINT64_MAX, &stream);
}

static void answer_fault(service *s, dl_http_exchange *x, const fault *f)
{
    switch (f->kind) {
    case STATUS:
        if (f->retry_after != NULL) {
            dl_http_add_header(x, "Retry-After", dl_str_of(f->retry_after));
        }
        dl_http_respond(x, f->status, "text/plain", dl_str_of(f->body == NULL ? "" : f->body));
        return;
    case HTML:
        dl_http_respond(x, 200, "text/html", DL_STR("<html>proxy says no</html>"));
        return;
    case EMPTY:
        dl_http_respond(x, 200, "application/json", DL_STR(""));
        return;
    case CUT:
        answer_stream(x, 5000, true);
        return;
    case OVERSIZED:
        answer_stream(x, (uint64_t)DL_FEED_PAGE_LIMIT_BYTES + 1, false);
        return;
    case HANG:
        while (!atomic_load(&s->stop)) {
            sleep_ms(5);
        }
        dl_http_respond(x, 503, NULL, DL_STR(""));
        return;
    case GOOD:
    case CUT_JSON:
    case MORE_ROWS:
        break;
    }
    if (dl_str_ends(dl_http_path(x), DL_STR("/latest"))) {
        answer_latest(s, x);
    } else {
        answer_page(s, x, f);
    }
}

static dl_status begin(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    (void)out_state, (void)err;
    service *s = context;
    fault f = {.kind = GOOD};
    (void)pthread_mutex_lock(&s->lock);
    int request = s->requests++;
    if (s->every > 0 && request % s->every == s->every - 1) {
        f = s->faults[request % s->fault_count];
    } else if (s->every == 0 && request < s->fault_count) {
        f = s->faults[request];
    }
    (void)snprintf(s->path, sizeof s->path, "%.*s", DL_STR_ARG(dl_http_path(x)));
    (void)snprintf(s->query, sizeof s->query, "%.*s", DL_STR_ARG(dl_http_query(x)));
    dl_str token = dl_http_header(x, "Authorization");
    (void)snprintf(s->token, sizeof s->token, "%.*s", DL_STR_ARG(token));
    bool known = s->good_token == NULL || strcmp(s->token, s->good_token) == 0;
    (void)pthread_mutex_unlock(&s->lock);
    if (!known) {
        dl_http_respond(x, 401, "text/plain", token);
        return DL_OK;
    }
    answer_fault(s, x, &f);
    return DL_OK;
}

static void service_start(service *s)
{
    memset(s, 0, sizeof *s);
    (void)pthread_mutex_init(&s->lock, NULL);
    s->rows = ROWS;
    dl_http_server_options options = {.host = "127.0.0.1", .body_limit_bytes = 1 << 20};
    dl_http_app app = {.begin = begin, .context = s};
    dl_error err = {0};
    TAP_OK(dl_http_server_start(&options, &app, &s->server, &err), err);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", dl_http_server_port(s->server));
}

static void service_stop(service *s)
{
    atomic_store(&s->stop, true);
    dl_http_server_stop(s->server, 100);
    (void)pthread_mutex_destroy(&s->lock);
}

static dl_feed_source *open_with(const dl_feed_http_options *options)
{
    dl_feed_source *source = NULL;
    dl_error err = {0};
    TAP_OK(dl_feed_http_open(options, &source, &err), err);
    return source;
}

static dl_feed_source *open_url(const char *url)
{
    return open_with(&(dl_feed_http_options){.base_url = url, .backoff_ms = 1});
}

static dl_status get_window(dl_feed_source *source, size_t *out_rows, dl_error *err)
{
    dl_feed_page *page = NULL;
    dl_status status =
        source->ops->window(source, 1767600000000000, 1767700000000000, 100, 50, NULL, &page, err);
    if (status == DL_OK) {
        *out_rows = page->entry_count;
        TAP_TRUE(*out_rows == 0 || page->entries[0].sequence == 101);
    }
    dl_feed_page_destroy(page);
    return status;
}

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

/* ---- the token ---- */

static const char *token_path;

static void write_token(const char *text)
{
    dl_error err = {0};
    TAP_OK(dl_file_replace(token_path, dl_str_of(text), &err), err);
}

static void renew_token(void *context, unsigned pause_ms, const char *cause)
{
    (void)pause_ms;
    ++*(int *)context;
    TAP_TRUE(strstr(cause, "old-token") == NULL);
    write_token(" new-token\n");
}

static void keep_token(void *context, unsigned pause_ms, const char *cause)
{
    (void)pause_ms, (void)cause;
    ++*(int *)context;
}

TAP_CASE(a_token_file_is_read_anew_once)
{
    char folder[] = "/tmp/test_feed.XXXXXX", path[64];
    TAP_TRUE(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/token", folder);
    token_path = path;
    service s;
    dl_error err = {0};
    int retries = 0;
    size_t rows = 0;
    service_start(&s);
    s.good_token = "Bearer new-token";
    write_token("old-token\n");
    dl_feed_http_options options = {.base_url = s.url,
                                    .backoff_ms = 1,
                                    .token_file = path,
                                    .on_retry = keep_token,
                                    .context = &retries};
    dl_feed_source *source = open_with(&options);
    TAP_STATUS(get_window(source, &rows, &err), DL_E_DENIED);
    TAP_EQ_INT(s.requests, 2);
    TAP_TRUE(strstr(err.message, "old-token") == NULL && err.hint[0] != '\0');
    dl_feed_source_close(source);
    options.on_retry = renew_token;
    source = open_with(&options);
    TAP_OK(get_window(source, &rows, &err), err);
    TAP_TRUE(rows == 50 && retries == 2);
    write_token(" \n");
    TAP_STATUS(get_window(source, &rows, &err), DL_E_DENIED);
    TAP_TRUE(strstr(err.message, "is empty") != NULL);
    write_token("two\nlines");
    TAP_STATUS(get_window(source, &rows, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "lines") == NULL);
    TAP_EQ_INT(unlink(path), 0);
    TAP_STATUS(get_window(source, &rows, &err), DL_E_NOT_FOUND);
    dl_feed_source_close(source);
    service_stop(&s);
    TAP_EQ_INT(rmdir(folder), 0);
}

TAP_CASE(a_token_that_is_echoed_is_not_said)
{
    service s;
    dl_error err = {0};
    size_t rows = 0;
    service_start(&s);
    s.faults[0] = (fault){STATUS, 400, NULL, "your token s3cret is too short"};
    s.fault_count = 1;
    dl_feed_source *source =
        open_with(&(dl_feed_http_options){.base_url = s.url, .token = "s3cret"});
    TAP_STATUS(get_window(source, &rows, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "400") != NULL && strstr(err.message, "s3cret") == NULL);
    dl_feed_source_close(source);
    service_stop(&s);
}

/* ---- pauses ---- */

static void retry_after_is_understood(void)
{
    static const char date[] = "Sun, 06 Nov 1994 08:49:37 GMT";
    static const struct {
        const char *retry_after, *date;
        int64_t want;
    } rows[] = {
        {"0", "", 0},
        {"7", "", 7000},
        {"600", "", 600000},
        {"601", "", 600000},
        {"99999999999999999", "", 600000},
        {"-1", "", -1},
        {"", "", -1},
        {"soon", "", -1},
        {"Sun, 06 Nov 1994 08:49:40 GMT", "", 3000},
        {"Sun, 06 Nov 1994 08:49:30 GMT", "", 0},
        {"Mon, 07 Nov 1994 08:49:37 GMT", "", 600000},
        {"Sun, 06 Nov 1994 08:49:40 GMT", "Sun, 06 Nov 1994 08:49:35 GMT", 5000},
        {"Sun, 31 Feb 1994 08:49:40 GMT", "", -1},
        {"Sun, 06 ovD 1994 08:49:40 GMT", "", -1},
        {"Sunday, 06-Nov-94 08:49:37 GMT", "", -1},
    };
    int64_t now_us = 784111777000000; /* `date` */
    TAP_ROW_BEGIN();
    TAP_EQ_INT(dl_feed_retry_after_ms(dl_str_of(date), DL_STR_NONE, now_us), 0);
    for (size_t i = 0; i < DL_COUNT_OF(rows); i++) {
        TAP_EQ_INT(
            dl_feed_retry_after_ms(dl_str_of(rows[i].retry_after), dl_str_of(rows[i].date), now_us),
            rows[i].want);
    }
    TAP_ROW_END("retry_after_is_understood");
}

static void note_pause(void *context, unsigned pause_ms, const char *cause)
{
    unsigned *pauses = context;
    pauses[++pauses[0]] = pause_ms;
    TAP_TRUE(cause[0] != '\0');
}

TAP_CASE(pauses_grow_and_keep_to_retry_after)
{
    service s;
    dl_error err = {0};
    unsigned pauses[8] = {0};
    size_t rows = 0;
    service_start(&s);
    for (int i = 0; i < 4; i++) {
        s.faults[i] = (fault){STATUS, 503, i == 2 ? "1" : NULL, NULL};
    }
    s.fault_count = 4;
    dl_feed_source *source = open_with(&(dl_feed_http_options){
        .base_url = s.url, .backoff_ms = 20, .on_retry = note_pause, .context = pauses});
    int64_t start_us = dl_clock_monotonic_us();
    TAP_OK(get_window(source, &rows, &err), err);
    int64_t took_ms = (dl_clock_monotonic_us() - start_us) / 1000;
    TAP_EQ_INT(pauses[0], 4);
    TAP_TRUE(pauses[1] >= 10 && pauses[1] <= 20);
    TAP_TRUE(pauses[2] >= 20 && pauses[2] <= 40);
    TAP_EQ_INT(pauses[3], 1000);
    TAP_TRUE(pauses[4] >= 80 && pauses[4] <= 160);
    TAP_TRUE(took_ms >= 1100);
    dl_feed_source_close(source);
    service_stop(&s);
}

typedef struct later {
    dl_cancel *cancel;
    service *service;
} later;

static void *cancel_later(void *context)
{
    later *l = context;
    int requests = 0;
    for (int i = 0; i < 6000 && requests == 0; i++) {
        sleep_ms(10);
        (void)pthread_mutex_lock(&l->service->lock);
        requests = l->service->requests;
        (void)pthread_mutex_unlock(&l->service->lock);
    }
    sleep_ms(100);
    dl_cancel_ask(l->cancel);
    return NULL;
}

TAP_CASE(a_cancel_ends_a_request_and_a_pause)
{
    for (int round = 0; round < 2; round++) {
        service s;
        dl_error err = {0};
        dl_cancel cancel = {0};
        later l = {&cancel, &s};
        pthread_t thread;
        dl_feed_page *page = NULL;
        service_start(&s);
        s.faults[0] = round == 0 ? (fault){.kind = HANG} : (fault){STATUS, 503, "30", NULL};
        s.fault_count = 1;
        dl_feed_source *source = open_url(s.url);
        TAP_EQ_INT(pthread_create(&thread, NULL, cancel_later, &l), 0);
        int64_t start_us = dl_clock_monotonic_us();
        TAP_STATUS(source->ops->after(source, 0, 10, &cancel, &page, &err), DL_E_CANCELED);
        TAP_TRUE(dl_clock_monotonic_us() - start_us < SOON_US);
        (void)pthread_join(thread, NULL);
        TAP_STATUS(source->ops->after(source, 0, 10, &cancel, &page, &err), DL_E_CANCELED);
        TAP_TRUE(s.requests == 1 && page == NULL);
        dl_feed_source_close(source);
        service_stop(&s);
    }
}

TAP_CASE(a_service_that_sends_nothing_is_given_up)
{
    service s;
    dl_error err = {0};
    size_t rows = 0;
    service_start(&s);
    s.faults[0] = (fault){.kind = HANG};
    s.fault_count = 1;
    dl_feed_source *source =
        open_with(&(dl_feed_http_options){.base_url = s.url, .backoff_ms = 1, .idle_timeout_s = 4});
    TAP_OK(get_window(source, &rows, &err), err); /* the second try is answered */
    TAP_EQ_INT(source->retries, 1);
    dl_feed_source_close(source);
    service_stop(&s);
}

TAP_CASE(each_allocation_of_opening_may_fail)
{
    int failures = 0;
    for (int n = 0; n < 50; n++) {
        dl_feed_source *source = NULL;
        dl_error err = {0};
        dl_feed_http_options options = {.base_url = "https://host/a/v2/", .token = "t"};
        dl_mem_fail_after(n);
        dl_status status = dl_feed_http_open(&options, &source, &err);
        dl_mem_fail_after(-1);
        TAP_TRUE((source == NULL) == (status != DL_OK));
        dl_feed_source_close(source);
        if (status == DL_OK) {
            break;
        }
        TAP_TRUE(status == DL_E_NOMEM || status == DL_E_LIMIT);
        failures++;
    }
    TAP_TRUE(failures >= 3 && failures < 50);
}

/* ---- a reader over it ---- */

TAP_CASE(a_reader_gets_every_row_through_every_fault)
{
    for (int cursor = 0; cursor < 2; cursor++) {
        service s;
        dl_error err = {0};
        dl_feed_reader *reader = NULL;
        service_start(&s);
        s.feed_id = "f";
        s.every = 3;
        s.fault_count = 5;
        s.faults[0] = (fault){STATUS, 503, NULL, NULL};
        s.faults[1] = (fault){.kind = CUT};
        s.faults[2] = (fault){.kind = HTML};
        s.faults[3] = (fault){.kind = CUT_JSON};
        s.faults[4] = (fault){STATUS, 429, "0", NULL};
        dl_feed_source *source = open_url(s.url);
        dl_feed_reader_options options = {.source = source,
                                          .cursor = cursor == 1,
                                          .start_us = INT64_MIN,
                                          .end_us = INT64_MAX,
                                          .page_rows = 50};
        TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
        int64_t next = 1;
        for (dl_feed_page *page = NULL;
             dl_feed_reader_next(reader, &page, &err) == DL_OK && page != NULL;) {
            for (size_t i = 0; i < page->entry_count; i++) {
                next += page->entries[i].sequence == next;
            }
            dl_feed_page_destroy(page);
            page = NULL;
        }
        TAP_EQ_INT(next, ROWS + 1);
        TAP_TRUE(err.message[0] == '\0' && source->retries >= 6);
        dl_feed_reader_close(reader);
        dl_feed_source_close(source);
        service_stop(&s);
    }
}

TAP_CASE(closing_a_reader_waits_for_no_answer)
{
    service s;
    dl_error err = {0};
    dl_feed_reader *reader = NULL;
    service_start(&s);
    s.faults[1] = (fault){.kind = HANG};
    s.fault_count = 2;
    dl_feed_source *source = open_url(s.url);
    dl_feed_reader_options options = {.source = source, .start_us = 0, .end_us = INT64_MAX};
    TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
    sleep_ms(50);
    int64_t start_us = dl_clock_monotonic_us();
    dl_feed_reader_close(reader);
    TAP_TRUE(dl_clock_monotonic_us() - start_us < SOON_US);
    dl_feed_source_close(source);
    service_stop(&s);
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
    TAP_RUN(a_token_file_is_read_anew_once);
    TAP_RUN(a_token_that_is_echoed_is_not_said);
    retry_after_is_understood();
    TAP_RUN(pauses_grow_and_keep_to_retry_after);
    TAP_RUN(a_cancel_ends_a_request_and_a_pause);
    TAP_RUN(a_service_that_sends_nothing_is_given_up);
    TAP_RUN(each_allocation_of_opening_may_fail);
    TAP_RUN(a_reader_gets_every_row_through_every_fault);
    TAP_RUN(closing_a_reader_waits_for_no_answer);
    return tap_done();
}
