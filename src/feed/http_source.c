/* A service over HTTP as a source: what it is, and what is asked for. */
#include "feed/http_source.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    OPTIONS_ARENA_BYTES = 256 * 1024,
    REQUEST_ARENA_BYTES = 4 << 20,
    API_VERSION = 2,
    API_VERSION_LIMIT = 99,
    OWN_PAGE_ROWS = 2000, /* a service of ours that does not say how many */
    OWN_PAGE_ROWS_LIMIT = 10000,
};

/* First and last microsecond that ISO 8601 has a year for. */
#define TIME_FIRST_US INT64_C(-62135596800000000)
#define TIME_LAST_US INT64_C(253402300799999999)

static dl_feed_http *feed_of(dl_feed_source *source)
{
    return (dl_feed_http *)source;
}

/* ---- requests ---- */

static dl_status get(dl_feed_http *feed, const char *path_and_query, dl_feed_request *q,
                     dl_feed_page **out_page, dl_error *err)
{
    dl_str url = DL_STR_NONE;
    DL_TRY(dl_arena_printf(q->arena, &url, err, "%.*s/v%u/changefeed%s", DL_STR_ARG(feed->base),
                           feed->options.api_version, path_and_query));
    q->url = url.ptr;
    return dl_feed_http_get(feed, q, out_page, err);
}

static dl_status empty_page(dl_feed_page **out_page, dl_error *err)
{
    dl_buf none;
    dl_buf_init(&none, 2);
    DL_TRY(dl_buf_append_str(&none, DL_STR("[]"), err));
    return dl_feed_page_parse(&none, out_page, err);
}

/* Another service may answer under the same address one day: its sequences are others. */
static dl_status check_feed(dl_feed_http *feed, const dl_http_answer *answer, dl_error *err)
{
    dl_str id = dl_http_answer_header(answer, "dl-feed-id");
    bool other = false;
    (void)pthread_mutex_lock(&feed->lock);
    other = feed->probed && id.ptr != NULL && !dl_str_eq(id, feed->info.id);
    if (other) {
        feed->probed = false; /* to be looked at anew */
    }
    (void)pthread_mutex_unlock(&feed->lock);
    if (!other) {
        return DL_OK;
    }
    (void)dl_error_set(err, DL_E_UNAVAILABLE,
                       "the service has another change feed than when it was asked first");
    dl_error_hint(err, "run it again, when it is meant to be another service");
    return DL_E_UNAVAILABLE;
}

/* A page of at most `limit` rows. */
static dl_status get_page(dl_feed_http *feed, const char *query, size_t limit, dl_feed_request *q,
                          dl_feed_page **out_page, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = NULL;
    dl_http_answer answer = {0};
    q->out_answer = &answer;
    dl_status status = get(feed, query, q, &page, err);
    q->out_answer = NULL;
    status = status == DL_OK ? check_feed(feed, &answer, err) : status;
    if (status != DL_OK) {
        return status;
    }
    if (page == NULL) {
        return empty_page(out_page, err);
    }
    if (page->entry_count > limit) {
        return dl_error_set(err, DL_E_INVALID, "%.*s: the service sends %zu rows, asked for %zu",
                            DL_STR_ARG(q->what), page->entry_count, limit);
    }
    *out_page = DL_STEAL(page);
    return DL_OK;
}

static dl_arena *request_arena(dl_error *err)
{
    dl_arena *arena = dl_arena_create(REQUEST_ARENA_BYTES);
    if (arena == NULL) {
        (void)dl_error_set(err, DL_E_NOMEM, "change feed: out of memory");
    }
    return arena;
}

/* ---- what the service is ---- */

static dl_status read_info(dl_feed_http *feed, const dl_http_answer *answer, dl_error *err)
{
    dl_str id = dl_http_answer_header(answer, "dl-feed-id");
    uint64_t rows = 0;
    dl_feed_info info = {.page_limit = DL_FEED_PAGE_LIMIT_ROWS};
    char text[DL_FEED_ID_LIMIT_BYTES + 1];
    if (id.ptr != NULL) {
        if (id.len == 0 || !dl_str_copy(id, text, sizeof text)) {
            return dl_error_set(err, DL_E_INVALID,
                                "the service's header dl-feed-id has %zu bytes, not 1 to %d",
                                id.len, (int)DL_FEED_ID_LIMIT_BYTES);
        }
        info.has_cursor = true;
        info.open_windows = true;
        info.cursor_limit = OWN_PAGE_ROWS;
        if (dl_str_to_u64(dl_http_answer_header(answer, "dl-page-limit"), &rows) && rows > 0) {
            info.cursor_limit = rows > OWN_PAGE_ROWS_LIMIT ? OWN_PAGE_ROWS_LIMIT : (size_t)rows;
        }
    }
    (void)pthread_mutex_lock(&feed->lock);
    if (!feed->probed) {
        memcpy(feed->id, id.ptr != NULL ? text : feed->address, sizeof feed->id);
        info.id = dl_str_of(feed->id);
        feed->info = info;
        feed->probed = true;
    }
    (void)pthread_mutex_unlock(&feed->lock);
    return DL_OK;
}

static dl_status get_latest(dl_feed_http *feed, dl_cancel *cancel, dl_feed_page **out_page,
                            dl_error *err)
{
    DL_AUTO(dl_arena) arena = request_arena(err);
    if (arena == NULL) {
        return DL_E_NOMEM;
    }
    dl_http_answer answer = {0};
    dl_feed_request q = {.single = true, .cancel = cancel, .out_answer = &answer, .arena = arena};
    DL_TRY(dl_arena_printf(arena, &q.what, err, "GET %.*s/v%u/changefeed/latest",
                           DL_STR_ARG(feed->base_path), feed->options.api_version));
    DL_AUTO(dl_feed_page) page = NULL;
    DL_TRY(get(feed, "/latest?includeMetadata=false", &q, &page, err));
    DL_TRY(check_feed(feed, &answer, err));
    DL_TRY(read_info(feed, &answer, err));
    *out_page = DL_STEAL(page);
    return DL_OK;
}

static dl_status http_info(dl_feed_source *source, dl_feed_info *out_info, dl_error *err)
{
    dl_feed_http *feed = feed_of(source);
    (void)pthread_mutex_lock(&feed->lock);
    bool probed = feed->probed;
    (void)pthread_mutex_unlock(&feed->lock);
    if (!probed) {
        DL_AUTO(dl_feed_page) page = NULL;
        DL_TRY(get_latest(feed, feed->options.cancel, &page, err));
    }
    (void)pthread_mutex_lock(&feed->lock);
    *out_info = feed->info;
    (void)pthread_mutex_unlock(&feed->lock);
    return DL_OK;
}

static dl_status http_latest(dl_feed_source *source, int64_t *out_sequence,
                             int64_t *out_timestamp_us, dl_cancel *cancel, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = NULL;
    DL_TRY(get_latest(feed_of(source), cancel, &page, err));
    if (page == NULL) {
        return dl_error_set(err, DL_E_NOT_FOUND, "the change feed is empty");
    }
    *out_sequence = page->entries[0].sequence;
    *out_timestamp_us = page->entries[0].timestamp_us;
    return DL_OK;
}

/* ---- pages ---- */

/* "&name=time", or nothing for a bound that no calendar has. */
static dl_status add_time(dl_buf *query, const char *name, int64_t time_us, dl_error *err)
{
    char time[DL_CLOCK_TEXT_SIZE];
    if (time_us < TIME_FIRST_US || time_us > TIME_LAST_US) {
        return DL_OK;
    }
    dl_clock_format_utc(time_us, time);
    return dl_buf_printf(query, err, "&%s=%s", name, time);
}

enum { QUERY_LIMIT_BYTES = 512 };

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
static dl_status http_window(dl_feed_source *source, int64_t start_us, int64_t end_us,
                             int64_t offset, size_t limit, dl_cancel *cancel,
                             dl_feed_page **out_page, dl_error *err)
{
    dl_feed_http *feed = feed_of(source);
    DL_AUTO(dl_arena) arena = request_arena(err);
    if (arena == NULL) {
        return DL_E_NOMEM;
    }
    DL_AUTO_BUF query = {0};
    dl_buf_init(&query, QUERY_LIMIT_BYTES);
    DL_TRY(dl_buf_printf(&query, err, "?offset=%" PRId64 "&limit=%zu", offset, limit));
    DL_TRY(add_time(&query, "startTime", start_us, err));
    DL_TRY(add_time(&query, "endTime", end_us, err));
    DL_TRY(dl_buf_append_str(&query, DL_STR("&includeMetadata=true"), err));
    DL_TRY(dl_buf_terminate(&query, err));
    dl_feed_request q = {.cancel = cancel, .arena = arena};
    DL_TRY(dl_arena_printf(arena, &q.what, err, "GET %.*s/v%u/changefeed offset %" PRId64,
                           DL_STR_ARG(feed->base_path), feed->options.api_version, offset));
    return get_page(feed, query.ptr, limit, &q, out_page, err);
}

static dl_status http_after(dl_feed_source *source, int64_t sequence, size_t limit,
                            dl_cancel *cancel, dl_feed_page **out_page, dl_error *err)
{
    dl_feed_http *feed = feed_of(source);
    DL_AUTO(dl_arena) arena = request_arena(err);
    if (arena == NULL) {
        return DL_E_NOMEM;
    }
    dl_str query = DL_STR_NONE;
    DL_TRY(dl_arena_printf(arena, &query, err,
                           "?afterSequence=%" PRId64 "&limit=%zu&includeMetadata=true", sequence,
                           limit));
    dl_feed_request q = {.cancel = cancel, .arena = arena};
    DL_TRY(dl_arena_printf(arena, &q.what, err, "GET %.*s/v%u/changefeed afterSequence %" PRId64,
                           DL_STR_ARG(feed->base_path), feed->options.api_version, sequence));
    return get_page(feed, query.ptr, limit, &q, out_page, err);
}

/* ---- open and close ---- */

static void http_close(dl_feed_source *source)
{
    dl_feed_http *feed = feed_of(source);
    for (size_t i = 0; i < feed->idle_count; i++) {
        dl_http_client_destroy(feed->idle[i].client);
    }
    (void)pthread_mutex_destroy(&feed->lock);
    dl_arena_destroy(feed->arena);
    dl_mem_free(feed);
}

static const dl_feed_source_ops http_ops = {.info = http_info,
                                            .latest = http_latest,
                                            .window = http_window,
                                            .after = http_after,
                                            .close = http_close};

static void cut_slashes(dl_str *url)
{
    while (url->len > 0 && url->ptr[url->len - 1] == '/') {
        url->len--;
    }
}

/* Without "/v2" and the like at the end. */
static void cut_version(dl_str *url)
{
    size_t len = url->len;
    while (len > 0 && url->ptr[len - 1] >= '0' && url->ptr[len - 1] <= '9') {
        len--;
    }
    if (len < url->len && len >= 2 && (url->ptr[len - 1] == 'v' || url->ptr[len - 1] == 'V') &&
        url->ptr[len - 2] == '/') {
        url->len = len - 2;
        cut_slashes(url);
    }
}

/* host[:port]/path, lower case, without the scheme's own port. */
static bool make_id(dl_str rest, dl_str own_port, char out[DL_FEED_ID_LIMIT_BYTES + 1])
{
    ptrdiff_t slash = dl_str_find(rest, '/');
    dl_str host = dl_str_slice(rest, 0, slash < 0 ? rest.len : (size_t)slash);
    dl_str path = dl_str_slice(rest, host.len, rest.len);
    if (dl_str_ends(host, own_port)) {
        host.len -= own_port.len;
    }
    if (host.len == 0 || host.len + path.len > DL_FEED_ID_LIMIT_BYTES) {
        return false;
    }
    memcpy(out, host.ptr, host.len);
    if (path.len > 0) {
        memcpy(out + host.len, path.ptr, path.len);
    }
    out[host.len + path.len] = '\0';
    for (char *p = out; *p != '\0'; p++) {
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    }
    return true;
}

dl_str dl_feed_http_base(dl_str url)
{
    cut_slashes(&url);
    cut_version(&url);
    return url;
}

static bool is_plain_url(dl_str url)
{
    for (size_t i = 0; i < url.len; i++) {
        if (url.ptr[i] <= ' ' || url.ptr[i] >= 0x7f || strchr("?#@\"<>\\", url.ptr[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static dl_status read_url(dl_feed_http *feed, dl_error *err)
{
    dl_str url = dl_str_of(feed->options.base_url);
    bool http = dl_str_starts_nocase(url, DL_STR("http://"));
    bool https = dl_str_starts_nocase(url, DL_STR("https://"));
    dl_status status = DL_OK;
    if ((!http && !https) || !is_plain_url(url)) {
        status = dl_error_set(err, DL_E_INVALID,
                              "the address of the DICOM service is no http or "
                              "https URL without user, query and fragment");
    } else {
        url = dl_feed_http_base(url);
        dl_str rest = dl_str_slice(url, https ? 8 : 7, url.len);
        if (!make_id(rest, https ? DL_STR(":443") : DL_STR(":80"), feed->address)) {
            status = dl_error_set(err, DL_E_INVALID,
                                  "the address of the DICOM service has %zu bytes after the "
                                  "scheme, not 1 to %d",
                                  rest.len, (int)DL_FEED_ID_LIMIT_BYTES);
        }
    }
    if (status != DL_OK) {
        dl_error_hint(err, "give it like https://host/path");
        return status;
    }
    DL_TRY(dl_arena_copy(feed->arena, url, &feed->base, err));
    dl_str rest = dl_str_slice(feed->base, https ? 8 : 7, url.len);
    ptrdiff_t slash = dl_str_find(rest, '/');
    feed->base_path = dl_str_slice(rest, slash < 0 ? rest.len : (size_t)slash, rest.len);
    return DL_OK;
}

static dl_status copy_text(dl_arena *arena, const char **text, dl_error *err)
{
    dl_str copy = DL_STR_NONE;
    if (*text != NULL) {
        DL_TRY(dl_arena_copy(arena, dl_str_of(*text), &copy, err));
        *text = copy.ptr;
    }
    return DL_OK;
}

static dl_status copy_options(dl_feed_http *feed, const dl_feed_http_options *options,
                              dl_error *err)
{
    feed->options = *options;
    if (feed->options.api_version == 0) {
        feed->options.api_version = API_VERSION;
    }
    if (feed->options.api_version < API_VERSION || feed->options.api_version > API_VERSION_LIMIT) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "API version %u: the change feed has time windows from version %d on",
                            feed->options.api_version, API_VERSION);
    }
    DL_TRY(copy_text(feed->arena, &feed->options.base_url, err));
    DL_TRY(copy_text(feed->arena, &feed->options.token, err));
    DL_TRY(copy_text(feed->arena, &feed->options.token_file, err));
    DL_TRY(copy_text(feed->arena, &feed->options.proxy, err));
    return read_url(feed, err);
}

dl_status dl_feed_http_open(const dl_feed_http_options *options, dl_feed_source **out_source,
                            dl_error *err)
{
    dl_feed_http *feed = dl_mem_zalloc(1, sizeof *feed);
    if (feed == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "change feed: out of memory");
    }
    (void)pthread_mutex_init(&feed->lock, NULL);
    feed->source.ops = &http_ops;
    feed->arena = dl_arena_create(OPTIONS_ARENA_BYTES);
    dl_status status = feed->arena == NULL
                           ? dl_error_set(err, DL_E_NOMEM, "change feed: out of memory")
                           : copy_options(feed, options, err);
    if (status != DL_OK) {
        http_close(&feed->source);
        return status;
    }
    *out_source = &feed->source;
    return DL_OK;
}
