/* The test of a connection to a DICOM service, step by step. */
#include "factory/probe.h"

#include "http/client.h"
#include "json/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    PROBE_ARENA_BYTES = 4 * 1024 * 1024,
    ANSWER_LIMIT_BYTES = 1024 * 1024,
    CONNECT_TIMEOUT_S = 10,
    IDLE_TIMEOUT_S = 30,
    CLOCK_LIMIT_S = 300,
};

bool dl_probe_add(dl_probe *probe, const char *name, bool passed, const char *hint,
                  const char *format, ...)
{
    DL_ASSERT(probe->count < DL_PROBE_STEP_LIMIT);
    dl_probe_step *step = &probe->steps[probe->count++];
    *step = (dl_probe_step){.name = name, .passed = passed};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(step->text, sizeof step->text, format, args);
    va_end(args);
    if (hint != NULL && !passed) {
        (void)snprintf(step->hint, sizeof step->hint, "%s", hint);
    }
    return passed;
}

/* A service that is being asked. */
typedef struct asking {
    dl_factory *factory;
    const dl_factory_connection *connection;
    dl_probe *probe;
    dl_arena *arena;
    dl_http_client *client;
    dl_str base, host, token;
    bool https;
    dl_http_answer answer;
    dl_buf body;
} asking;

static void asking_clear(asking *a)
{
    dl_http_client_destroy(a->client);
    dl_buf_clear(&a->body);
    dl_arena_destroy(a->arena);
}

/* ---- one request ---- */

static dl_status ask(asking *a, const char *path, dl_error *err)
{
    dl_str url;
    dl_http_field fields[2] = {{DL_STR("Accept"), DL_STR("application/json")}};
    size_t count = 1;
    DL_TRY(dl_arena_printf(a->arena, &url, err, "%.*s%s", DL_STR_ARG(a->base), path));
    if (a->token.len > 0) {
        fields[count].name = DL_STR("Authorization");
        DL_TRY(dl_arena_printf(a->arena, &fields[count++].value, err, "Bearer %.*s",
                               DL_STR_ARG(a->token)));
    }
    dl_buf_reset(&a->body);
    dl_http_call call = {.method = "GET", .url = url.ptr, .fields = fields, .field_count = count};
    return dl_http_client_do(a->client, &call, a->arena, &a->body, &a->answer, err);
}

/* ---- the way there ---- */

static const char *hint_of_connect(dl_str host)
{
    bool local = dl_str_starts_nocase(host, DL_STR("localhost")) ||
                 dl_str_starts(host, DL_STR("127.")) || dl_str_starts(host, DL_STR("[::1]"));
    return local ? "start the service, or correct the port in the URL"
                 : "check host and port in the URL, that the service runs, and what firewalls let "
                   "through";
}

/* The steps up to where a request came. False: it did not come through. */
static bool tell_way(asking *a, dl_http_phase phase, const dl_error *err)
{
    dl_probe *p = a->probe;
    bool through = err->status == DL_OK;
    const char *why = err->message;
    bool found = phase > DL_HTTP_PHASE_ADDRESS;
    dl_str seen = found ? a->host : dl_str_of(why);
    if (!dl_probe_add(p, "address", found,
                      "check the host's name in the URL, and the name servers of this machine",
                      "%.*s", DL_STR_ARG(seen))) {
        return false;
    }
    if (!dl_probe_add(p, "connect", phase > DL_HTTP_PHASE_CONNECT, hint_of_connect(a->host), "%s",
                      phase > DL_HTTP_PHASE_CONNECT ? "connected" : why)) {
        return false;
    }
    if (a->https &&
        !dl_probe_add(p, "tls", phase > DL_HTTP_PHASE_TLS,
                      "is it http, not https? else install the certificate of the authority that "
                      "signed the service's, or correct the host's name",
                      "%s", phase > DL_HTTP_PHASE_TLS ? "the certificate is trusted" : why)) {
        return false;
    }
    if (!through) {
        (void)dl_probe_add(p, "answer", false,
                           a->https ? "what listens there is no HTTP service, or breaks off"
                                    : "what listens there is no HTTP service, or wants https",
                           "%s", why);
    }
    return through;
}

static bool tell_answer(asking *a, int64_t took_us)
{
    unsigned code = a->answer.status;
    bool down = code >= 500 || code == 429 || code == 408;
    return dl_probe_add(a->probe, "answer", !down,
                        code == 429 ? "the service asks for fewer requests: try again later"
                                    : "the service or a proxy before it is in trouble: its log "
                                      "says why",
                        "HTTP %u after %" PRId64 " ms", code, took_us / 1000);
}

static bool tell_access(asking *a)
{
    unsigned code = a->answer.status;
    bool has_token = a->token.len > 0;
    if (code == 401) {
        return dl_probe_add(a->probe, "access", false,
                            has_token
                                ? "the token is not valid here or has expired: get a new one "
                                  "for this service"
                                : "the service wants a token: name a secret in the connection",
                            "HTTP 401: %s", has_token ? "the token is refused" : "no token");
    }
    if (code == 403) {
        return dl_probe_add(a->probe, "access", false,
                            "give the token's owner the role that reads the change feed (Azure: "
                            "DICOM Data Reader)",
                            "HTTP 403: not allowed to read the change feed");
    }
    return dl_probe_add(a->probe, "access", true, NULL, "%s",
                        has_token ? "the token is accepted" : "no token needed");
}

/* ---- what is there ---- */

static bool is_json(const asking *a)
{
    return a->answer.status == 204 ||
           (a->answer.status == 200 && dl_json_check(dl_buf_str(&a->body), NULL) == DL_OK &&
            dl_json_kind_of(dl_buf_str(&a->body)) == DL_JSON_OBJECT);
}

/* A service that has the feed under v1 only. */
static dl_status is_older(asking *a, bool *out_older, dl_error *err)
{
    *out_older = false;
    dl_error local = {0};
    dl_status status = ask(a, "/v1/changefeed/latest?includeMetadata=false", &local);
    if (status == DL_E_CANCELED || status == DL_E_NOMEM) {
        if (err != NULL) {
            *err = local;
        }
        return status;
    }
    *out_older = status == DL_OK && is_json(a);
    return DL_OK;
}

static bool tell_version(asking *a, bool passed)
{
    return dl_probe_add(a->probe, "version", passed,
                        "the feed needs API version 2: bring the service up to date",
                        passed ? "v2" : "the service has a change feed under /v1, none under /v2");
}

static dl_status tell_path(asking *a, bool *out_passed, dl_error *err)
{
    unsigned code = a->answer.status;
    dl_str type = dl_str_slice(a->answer.content_type, 0, 60);
    *out_passed = false;
    if (is_json(a)) {
        (void)dl_probe_add(a->probe, "path", true, NULL, "a change feed is there");
        *out_passed = tell_version(a, true);
        return DL_OK;
    }
    if (code == 200) {
        (void)dl_probe_add(a->probe, "path", false,
                           "is it the address of a DICOM service? it is given without /v2",
                           "the answer is no change feed but %.*s",
                           DL_STR_ARG(type.len > 0 ? type : DL_STR("without a type")));
        return DL_OK;
    }
    if (code >= 300 && code <= 399) {
        (void)dl_probe_add(a->probe, "path", false,
                           "redirects are not followed: give the address that it leads to",
                           "HTTP %u: redirected", code);
        return DL_OK;
    }
    bool older = false;
    DL_TRY(is_older(a, &older, err));
    if (older) {
        (void)dl_probe_add(a->probe, "path", true, NULL, "a DICOM service is there");
        (void)tell_version(a, false);
        return DL_OK;
    }
    (void)dl_probe_add(a->probe, "path", false,
                       "is it the address of a DICOM service? it is given without /v2, and the "
                       "service must have its change feed switched on",
                       "HTTP %u where the change feed should be", code);
    return DL_OK;
}

static dl_status tell_feed(asking *a, bool *out_passed, dl_error *err)
{
    static const char hint[] = "the service does not keep to the change feed's form";
    dl_error local = {0};
    dl_feed_page *page = NULL;
    *out_passed = false;
    dl_status status = ask(a, "/v2/changefeed?offset=0&limit=1&includeMetadata=false", &local);
    if (status == DL_E_CANCELED || status == DL_E_NOMEM) {
        if (err != NULL) {
            *err = local;
        }
        return status;
    }
    if (status != DL_OK) {
        (void)dl_probe_add(a->probe, "feed", false, hint, "a page of it: %s", local.message);
        return DL_OK;
    }
    if (a->answer.status != 200 && a->answer.status != 204) {
        (void)dl_probe_add(a->probe, "feed", false, hint, "a page of it: HTTP %u",
                           a->answer.status);
        return DL_OK;
    }
    status = a->answer.status == 204 ? DL_OK : dl_feed_page_parse(&a->body, &page, &local);
    size_t rows = page == NULL ? 0 : page->entry_count;
    dl_feed_page_destroy(page);
    if (status != DL_OK || rows > 1) {
        (void)dl_probe_add(a->probe, "feed", false, hint, "a page of it: %s",
                           status != DL_OK ? local.message : "more rows than asked for");
        return DL_OK;
    }
    bool own = dl_http_answer_header(&a->answer, "dl-feed-id").ptr != NULL;
    *out_passed = dl_probe_add(a->probe, "feed", true, NULL, "%s%s",
                               rows == 0 ? "no changes yet" : "a page of one row was read",
                               own ? "; a dicomlake service" : "");
    return DL_OK;
}

static void tell_clock(asking *a)
{
    int64_t there_us = 0;
    dl_str date = dl_http_answer_header(&a->answer, "Date");
    if (!dl_feed_http_date(date, &there_us)) {
        (void)dl_probe_add(a->probe, "clock", true, NULL, "the service does not say its time");
        return;
    }
    int64_t apart_s = (dl_factory_now_us(a->factory) - there_us) / 1000000;
    int64_t much_s = apart_s < 0 ? -apart_s : apart_s;
    (void)dl_probe_add(a->probe, "clock", much_s <= CLOCK_LIMIT_S,
                       "set the clocks (NTP): a window would be read before it is over",
                       much_s <= 1 ? "the same as ours" : "%" PRId64 " s %s ours", much_s,
                       apart_s > 0 ? "behind" : "ahead of");
}

/* ---- all of it ---- */

static dl_status find_place(asking *a, bool *out_known, dl_error *err)
{
    dl_error local = {0};
    dl_feed_source *source = NULL;
    const dl_factory_connection *c = a->connection;
    *out_known = false;
    dl_status status = dl_connection_secret(c, a->arena, &a->token, &local);
    if (status != DL_OK) {
        (void)dl_probe_add(a->probe, "access", false, local.hint, "%s", local.message);
        return status == DL_E_NOMEM ? status : DL_OK;
    }
    status = dl_connection_feed(a->factory, c, NULL, &source, &local); /* checks the URL */
    dl_feed_source_close(source);
    if (status != DL_OK) {
        (void)dl_probe_add(a->probe, "address", false, local.hint, "%s", local.message);
        return status == DL_E_NOMEM ? status : DL_OK;
    }
    a->https = dl_str_starts_nocase(c->url, DL_STR("https:"));
    a->base = dl_feed_http_base(c->url);
    a->host = dl_str_slice(a->base, a->https ? 8 : 7, a->base.len);
    ptrdiff_t slash = dl_str_find(a->host, '/');
    a->host.len = slash < 0 ? a->host.len : (size_t)slash;
    *out_known = true;
    (void)err;
    return DL_OK;
}

static dl_status ask_service(asking *a, dl_error *err)
{
    bool passed = false;
    DL_TRY(find_place(a, &passed, err));
    if (!passed) {
        return DL_OK;
    }
    dl_error cause = {0};
    int64_t began_us = dl_clock_monotonic_us();
    dl_status status = ask(a, "/v2/changefeed/latest?includeMetadata=false", &cause);
    if (status == DL_E_CANCELED || status == DL_E_NOMEM) {
        if (err != NULL) {
            *err = cause;
        }
        return status;
    }
    if (!tell_way(a, dl_http_client_phase(a->client), &cause) ||
        !tell_answer(a, dl_clock_monotonic_us() - began_us) || !tell_access(a)) {
        return DL_OK;
    }
    DL_TRY(tell_path(a, &passed, err));
    if (passed) {
        DL_TRY(tell_feed(a, &passed, err));
    }
    if (passed) {
        tell_clock(a);
    }
    return DL_OK;
}

static dl_status ask_home(dl_factory *factory, const dl_factory_connection *connection,
                          dl_cancel *cancel, dl_probe *probe, dl_error *err)
{
    dl_error local = {0};
    dl_feed_source *source = NULL;
    int64_t sequence = 0, time_us = 0;
    dl_status status = dl_connection_feed(factory, connection, NULL, &source, &local);
    if (status == DL_OK) {
        status = source->ops->latest(source, &sequence, &time_us, cancel, &local);
    }
    dl_feed_source_close(source);
    if (status == DL_E_CANCELED || status == DL_E_NOMEM) {
        if (err != NULL) {
            *err = local;
        }
        return status;
    }
    bool empty = status == DL_E_NOT_FOUND;
    (void)dl_probe_add(probe, "feed", status == DL_OK || empty, local.hint, "%s",
                       empty             ? "the home's own; no changes yet"
                       : status == DL_OK ? "the home's own"
                                         : local.message);
    return DL_OK;
}

dl_status dl_probe_dicom(dl_factory *factory, const dl_factory_connection *connection,
                         dl_cancel *cancel, dl_probe *probe, dl_error *err)
{
    if (dl_str_eq(connection->url, DL_STR("home:"))) {
        return ask_home(factory, connection, cancel, probe, err);
    }
    DL_CLEANUP(asking_clear)
    asking a = {.factory = factory,
                .connection = connection,
                .probe = probe,
                .arena = dl_arena_create(PROBE_ARENA_BYTES)};
    dl_buf_init(&a.body, ANSWER_LIMIT_BYTES);
    if (a.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "connection test: out of memory");
    }
    const dl_http_client_options options = {
        .connect_timeout_s = CONNECT_TIMEOUT_S, .idle_timeout_s = IDLE_TIMEOUT_S, .cancel = cancel};
    DL_TRY(dl_http_client_create(&options, &a.client, err));
    return ask_service(&a, err);
}

dl_status dl_probe_connection(dl_factory *factory, const dl_factory_connection *connection,
                              dl_cancel *cancel, dl_probe *out_probe, dl_error *err)
{
    dl_probe probe = {0};
    DL_TRY(connection->type == DL_FACTORY_DICOM
               ? dl_probe_dicom(factory, connection, cancel, &probe, err)
               : dl_probe_lake(factory, connection, &probe, err));
    probe.passed = probe.count > 0;
    for (size_t i = 0; i < probe.count; i++) {
        probe.passed &= probe.steps[i].passed;
    }
    *out_probe = probe;
    return DL_OK;
}
