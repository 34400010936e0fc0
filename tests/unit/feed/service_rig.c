#include "service_rig.h"

#include "base/mem.h"
#include "http/url.h"

#include <stdlib.h>
#include <time.h>

void sleep_ms(int64_t ms)
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

void service_start(service *s)
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

void service_stop(service *s)
{
    atomic_store(&s->stop, true);
    dl_http_server_stop(s->server, 100);
    (void)pthread_mutex_destroy(&s->lock);
}

dl_feed_source *open_with(const dl_feed_http_options *options)
{
    dl_feed_source *source = NULL;
    dl_error err = {0};
    TAP_OK(dl_feed_http_open(options, &source, &err), err);
    return source;
}

dl_feed_source *open_url(const char *url)
{
    return open_with(&(dl_feed_http_options){.base_url = url, .backoff_ms = 1});
}

dl_status get_window(dl_feed_source *source, size_t *out_rows, dl_error *err)
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
