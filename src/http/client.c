#include "http/client.h"

#include "base/clock.h"
#include "base/mem.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

enum {
    DEFAULT_CONNECT_TIMEOUT_S = 10,
    DEFAULT_IDLE_TIMEOUT_S = 120,
    TRANSFER_BUFFER_BYTES = 256 * 1024,
    ANSWER_FIELD_LIMIT = 1000,
};

struct dl_http_client {
    CURL *curl;
    dl_cancel *cancel;
    unsigned connect_timeout_s, idle_timeout_s;
    char *proxy; /* "": none */
    dl_http_phase phase;
    char words[CURL_ERROR_SIZE];
};

typedef struct field_node {
    struct field_node *next;
    dl_http_field field;
} field_node;

/* One call under way: what the callbacks of libcurl need. */
typedef struct transfer {
    dl_http_client *client;
    const dl_http_call *call;
    dl_arena *arena;
    dl_buf *out_body;
    uint64_t sent_bytes;
    size_t body_at;
    field_node *first, **end;
    size_t field_count;
    bool begun;            /* the caller knows the headers of the answer it is handed */
    bool head_is_whole;    /* its blank line was seen */
    uint64_t head_bytes;   /* of answers */
    uint64_t moved_bytes;  /* both ways, when last looked at */
    int64_t last_moved_us; /* when that changed */
    dl_status status;      /* the first failure of ours */
    dl_error err;
} transfer;

/* ---- life ---- */

static void start_library(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

dl_status dl_http_client_create(const dl_http_client_options *options, dl_http_client **out_client,
                                dl_error *err)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT; /* a one-time library start */
    (void)pthread_once(&started, start_library);
    dl_http_client *client = dl_mem_zalloc(1, sizeof *client);
    const char *proxy = options->proxy == NULL ? "" : options->proxy;
    size_t proxy_size = strlen(proxy) + 1;
    if (client != NULL) {
        client->curl = curl_easy_init();
        client->proxy = dl_mem_alloc(proxy_size, 1);
    }
    if (client == NULL || client->curl == NULL || client->proxy == NULL) {
        dl_http_client_destroy(client);
        return dl_error_set(err, DL_E_NOMEM, "HTTP client: out of memory");
    }
    memcpy(client->proxy, proxy, proxy_size);
    client->cancel = options->cancel;
    client->connect_timeout_s =
        options->connect_timeout_s == 0 ? DEFAULT_CONNECT_TIMEOUT_S : options->connect_timeout_s;
    client->idle_timeout_s =
        options->idle_timeout_s == 0 ? DEFAULT_IDLE_TIMEOUT_S : options->idle_timeout_s;
    *out_client = client;
    return DL_OK;
}

void dl_http_client_destroy(dl_http_client *client)
{
    if (client != NULL) {
        curl_easy_cleanup(client->curl);
        dl_mem_free(client->proxy);
        dl_mem_free(client);
    }
}

/* ---- what libcurl calls ---- */

static bool fail(transfer *t, dl_status status)
{
    if (t->status == DL_OK) {
        t->status = status;
        t->err.status = status;
    }
    return false;
}

/* libcurl's own limit on low speed looks at an average over seconds, and cannot be exact. */
static bool is_idle_too_long(transfer *t, uint64_t moved_bytes)
{
    int64_t now_us = dl_clock_monotonic_us();
    if (moved_bytes != t->moved_bytes) {
        t->moved_bytes = moved_bytes;
        t->last_moved_us = now_us;
    }
    return now_us - t->last_moved_us > (int64_t)t->client->idle_timeout_s * 1000000;
}

/* Called whenever bytes move, and once a second. */
static int on_progress(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    (void)down_total;
    (void)up_total;
    transfer *t = context;
    if (dl_cancel_asked(t->client->cancel)) {
        fail(t, dl_error_set(&t->err, DL_E_CANCELED, "HTTP: the request was canceled"));
        return 1;
    }
    if (is_idle_too_long(t, (uint64_t)down + (uint64_t)up + t->head_bytes)) {
        fail(t, dl_error_set(&t->err, DL_E_UNAVAILABLE, "HTTP: nothing moved for %u seconds",
                             t->client->idle_timeout_s));
        return 1;
    }
    return 0;
}

static bool read_stream(transfer *t, char *out, size_t room, size_t *out_len)
{
    const dl_http_call *call = t->call;
    dl_status status = call->read(call->context, out, room, out_len, &t->err);
    if (status != DL_OK) {
        return fail(t, status);
    }
    bool known = call->body_length_bytes != UINT64_MAX;
    if (*out_len == 0 && known && t->sent_bytes < call->body_length_bytes) {
        return fail(t, dl_error_set(&t->err, DL_E_INVALID,
                                    "HTTP: the body ends after %llu of %llu bytes",
                                    (unsigned long long)t->sent_bytes,
                                    (unsigned long long)call->body_length_bytes));
    }
    t->sent_bytes += *out_len;
    return true;
}

static size_t on_read(char *out, size_t size, size_t count, void *context)
{
    transfer *t = context;
    size_t room = size * count, len = 0;
    if (t->call->read != NULL) {
        return read_stream(t, out, room, &len) ? len : CURL_READFUNC_ABORT;
    }
    size_t left = t->call->body.len - t->body_at;
    len = left < room ? left : room;
    if (len > 0) {
        memcpy(out, t->call->body.ptr + t->body_at, len);
        t->body_at += len;
    }
    return len;
}

/* A kept connection turned out to be dead: the body in memory can be sent again from its start. */
static int on_seek(void *context, curl_off_t offset, int origin)
{
    transfer *t = context;
    if (t->call->read != NULL || origin != SEEK_SET || offset < 0 ||
        (uint64_t)offset > t->call->body.len) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    t->body_at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static dl_status take_answer(transfer *t, dl_http_answer *out_answer, dl_error *err)
{
    long code = 0;
    (void)curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &code);
    dl_http_answer answer = {.status = (unsigned)code, .field_count = t->field_count};
    answer.fields = dl_arena_alloc(t->arena, t->field_count + 1, sizeof *answer.fields);
    if (answer.fields == NULL) {
        return dl_arena_full(t->arena, err);
    }
    size_t at = 0;
    for (const field_node *node = t->first; node != NULL; node = node->next) {
        answer.fields[at++] = node->field;
    }
    answer.content_type = dl_http_answer_header(&answer, "Content-Type");
    *out_answer = answer;
    return DL_OK;
}

/* The first piece of a streamed answer: its headers are complete. */
static dl_status begin_answer(transfer *t)
{
    dl_http_answer answer = {0};
    if (t->begun || t->call->begin == NULL) {
        return DL_OK;
    }
    t->begun = true;
    DL_TRY(take_answer(t, &answer, &t->err));
    return t->call->begin(t->call->context, &answer, &t->err);
}

static size_t on_write(char *bytes, size_t size, size_t count, void *context)
{
    transfer *t = context;
    size_t len = size * count;
    long code = 0;
    (void)curl_easy_getinfo(t->client->curl, CURLINFO_RESPONSE_CODE, &code);
    dl_status status = DL_OK;
    if (t->call->write != NULL && code >= 200 && code <= 299) {
        dl_bytes piece = {(const uint8_t *)bytes, len};
        status = begin_answer(t);
        if (status == DL_OK) {
            status = t->call->write(t->call->context, piece, &t->err);
        }
    } else if (t->out_body != NULL) {
        status = dl_buf_append(t->out_body, bytes, len, &t->err);
    }
    if (status != DL_OK) {
        fail(t, status);
        return 0;
    }
    return len;
}

static bool add_field(transfer *t, dl_str line)
{
    ptrdiff_t colon = dl_str_find(line, ':');
    if (colon < 1) {
        return true;
    }
    if (t->field_count == ANSWER_FIELD_LIMIT) {
        return fail(t,
                    dl_error_set(&t->err, DL_E_LIMIT, "HTTP: the answer has more than %d headers",
                                 ANSWER_FIELD_LIMIT));
    }
    field_node *node = dl_arena_alloc(t->arena, 1, sizeof *node);
    if (node == NULL) {
        return fail(t, dl_arena_full(t->arena, &t->err));
    }
    dl_str name = dl_str_slice(line, 0, (size_t)colon);
    dl_str value = dl_str_trim(dl_str_slice(line, (size_t)colon + 1, line.len));
    dl_status status = dl_arena_copy(t->arena, name, &node->field.name, &t->err);
    if (status == DL_OK) {
        status = dl_arena_copy(t->arena, value, &node->field.value, &t->err);
    }
    if (status != DL_OK) {
        return fail(t, status);
    }
    *t->end = node;
    t->end = &node->next;
    t->field_count++;
    return true;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's signature */
static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
    transfer *t = context;
    dl_str line = {bytes, size * count};
    t->head_bytes += line.len;
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
        line.len--;
    }
    if (dl_str_starts(line, DL_STR("HTTP/"))) { /* what came before was an interim answer (1xx) */
        t->first = NULL;
        t->end = &t->first;
        t->field_count = 0;
        t->head_is_whole = false;
        return size * count;
    }
    if (line.len == 0) {
        t->head_is_whole = true;
        return size * count;
    }
    return add_field(t, line) ? size * count : 0;
}

/* ---- one call ---- */

static dl_status add_line(struct curl_slist **lines, const char *line, dl_error *err)
{
    struct curl_slist *more = curl_slist_append(*lines, line);
    if (more == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "HTTP client: out of memory");
    }
    *lines = more;
    return DL_OK;
}

static bool fits_a_line(dl_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < ' ' && text.ptr[i] != '\t') {
            return false;
        }
    }
    return true;
}

static dl_status make_lines(const dl_http_call *call, dl_arena *arena, struct curl_slist **lines,
                            dl_error *err)
{
    /* An entry without value keeps libcurl from adding the header by itself. */
    static const char *const not_by_itself[] = {"Accept", "Expect", "User-Agent"};
    for (size_t n = 0; n < DL_COUNT_OF(not_by_itself); n++) {
        bool given = false;
        for (size_t i = 0; i < call->field_count; i++) {
            given = given || dl_str_eq_nocase(call->fields[i].name, dl_str_of(not_by_itself[n]));
        }
        dl_str line = DL_STR_NONE;
        DL_TRY(dl_arena_printf(arena, &line, err, "%s:", not_by_itself[n]));
        if (!given) {
            DL_TRY(add_line(lines, line.ptr, err));
        }
    }
    for (size_t i = 0; i < call->field_count; i++) {
        dl_http_field f = call->fields[i];
        dl_str line = DL_STR_NONE;
        if (f.name.len == 0 || !fits_a_line(f.name) || !fits_a_line(f.value)) {
            return dl_error_set(err, DL_E_INVALID, "HTTP: a header does not fit on a line");
        }
        if (f.value.len == 0) { /* libcurl's way of saying that the value is empty */
            DL_TRY(dl_arena_printf(arena, &line, err, "%.*s;", DL_STR_ARG(f.name)));
        } else {
            DL_TRY(dl_arena_printf(arena, &line, err, "%.*s: %.*s", DL_STR_ARG(f.name),
                                   DL_STR_ARG(f.value)));
        }
        DL_TRY(add_line(lines, line.ptr, err));
    }
    return DL_OK;
}

static void set_connection(dl_http_client *client, transfer *t)
{
    CURL *curl = client->curl;
    curl_easy_reset(curl); /* keeps the connection */
    client->words[0] = '\0';
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->words);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, client->proxy);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)client->connect_timeout_s);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER_BYTES);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
}

static void set_request(CURL *curl, const dl_http_call *call, transfer *t)
{
    dl_str method = dl_str_of(call->method);
    bool wants_body = dl_str_eq(method, DL_STR("POST")) || dl_str_eq(method, DL_STR("PUT")) ||
                      dl_str_eq(method, DL_STR("PATCH")); /* of length 0 at least */
    curl_easy_setopt(curl, CURLOPT_URL, call->url);
    if (dl_str_eq(method, DL_STR("HEAD"))) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
        return;
    }
    if (call->read != NULL || call->body.len > 0 || wants_body) {
        uint64_t len = call->read != NULL ? call->body_length_bytes : call->body.len;
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
        curl_easy_setopt(curl, CURLOPT_READDATA, t);
        curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, on_seek);
        curl_easy_setopt(curl, CURLOPT_SEEKDATA, t);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE,
                         len == UINT64_MAX ? (curl_off_t)-1 : (curl_off_t)len);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
}

/* A timeout says nothing by itself: what was done before it does. */
static dl_http_phase phase_by_times(CURL *curl)
{
    static const struct {
        CURLINFO info;
        dl_http_phase phase; /* under way when the time is not known yet */
    } steps[] = {{CURLINFO_NAMELOOKUP_TIME_T, DL_HTTP_PHASE_ADDRESS},
                 {CURLINFO_CONNECT_TIME_T, DL_HTTP_PHASE_CONNECT},
                 {CURLINFO_PRETRANSFER_TIME_T, DL_HTTP_PHASE_TLS}};
    for (size_t i = 0; i < DL_COUNT_OF(steps); i++) {
        curl_off_t us = 0;
        (void)curl_easy_getinfo(curl, steps[i].info, &us);
        if (us == 0) {
            return steps[i].phase;
        }
    }
    return DL_HTTP_PHASE_ANSWER;
}

static dl_http_phase phase_of(CURL *curl, CURLcode code)
{
    static const struct {
        CURLcode code;
        dl_http_phase phase;
    } known[] = {{CURLE_URL_MALFORMAT, DL_HTTP_PHASE_NONE},
                 {CURLE_LOGIN_DENIED, DL_HTTP_PHASE_NONE},
                 {CURLE_COULDNT_RESOLVE_HOST, DL_HTTP_PHASE_ADDRESS},
                 {CURLE_COULDNT_RESOLVE_PROXY, DL_HTTP_PHASE_ADDRESS},
                 {CURLE_COULDNT_CONNECT, DL_HTTP_PHASE_CONNECT},
                 {CURLE_SSL_CONNECT_ERROR, DL_HTTP_PHASE_TLS},
                 {CURLE_PEER_FAILED_VERIFICATION, DL_HTTP_PHASE_TLS},
                 {CURLE_SSL_CERTPROBLEM, DL_HTTP_PHASE_TLS},
                 {CURLE_SSL_CIPHER, DL_HTTP_PHASE_TLS},
                 {CURLE_SSL_CACERT_BADFILE, DL_HTTP_PHASE_TLS},
                 {CURLE_SSL_INVALIDCERTSTATUS, DL_HTTP_PHASE_TLS},
                 {CURLE_SSL_ISSUER_ERROR, DL_HTTP_PHASE_TLS}};
    for (size_t i = 0; i < DL_COUNT_OF(known); i++) {
        if (code == known[i].code) {
            return known[i].phase;
        }
    }
    return code == CURLE_OPERATION_TIMEDOUT ? phase_by_times(curl) : DL_HTTP_PHASE_ANSWER;
}

dl_http_phase dl_http_client_phase(const dl_http_client *client)
{
    return client->phase;
}

static dl_status explain(const transfer *t, CURLcode code, dl_error *err)
{
    t->client->phase = phase_of(t->client->curl, code);
    if (code == CURLE_OK) { /* also for an answer that ends in its headers */
        return t->head_is_whole ? DL_OK
                                : dl_error_set(err, DL_E_UNAVAILABLE, "HTTP: no whole answer came");
    }
    if (t->status != DL_OK) {
        if (err != NULL) {
            *err = t->err;
        }
        return t->status;
    }
    const char *words = t->client->words[0] != '\0' ? t->client->words : curl_easy_strerror(code);
    curl_off_t connected_us = 0; /* an answer that is not HTTP is an "unsupported protocol", too */
    (void)curl_easy_getinfo(t->client->curl, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    bool wrong =
        connected_us == 0 && (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
                              code == CURLE_LOGIN_DENIED);
    dl_status status = wrong                         ? DL_E_INVALID
                       : code == CURLE_OUT_OF_MEMORY ? DL_E_NOMEM
                                                     : DL_E_UNAVAILABLE;
    return dl_error_set(err, status, "HTTP: %s", words);
}

dl_status dl_http_client_do(dl_http_client *client, const dl_http_call *call, dl_arena *arena,
                            dl_buf *out_body, dl_http_answer *out_answer, dl_error *err)
{
    transfer t = {.client = client, .call = call, .arena = arena, .out_body = out_body};
    t.end = &t.first;
    t.last_moved_us = dl_clock_monotonic_us();
    client->phase = DL_HTTP_PHASE_NONE;
    struct curl_slist *lines = NULL;
    dl_status status = make_lines(call, arena, &lines, err);
    if (status == DL_OK) {
        set_connection(client, &t);
        set_request(client->curl, call, &t);
        curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, lines);
        status = explain(&t, curl_easy_perform(client->curl), err);
    }
    if (status == DL_OK) {
        status = take_answer(&t, out_answer, err);
    }
    curl_easy_reset(client->curl); /* it must not point at what ends here */
    curl_slist_free_all(lines);
    return status;
}

dl_str dl_http_answer_header(const dl_http_answer *answer, const char *name)
{
    for (size_t i = 0; i < answer->field_count; i++) {
        if (dl_str_eq_nocase(answer->fields[i].name, dl_str_of(name))) {
            return answer->fields[i].value;
        }
    }
    return DL_STR_NONE;
}
