/* One request to a service: the token, the tries, and what each answer means. */
#include "base/file.h"
#include "base/random.h"
#include "feed/http_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    TRY_LIMIT = 8,
    BACKOFF_MS = 500,
    BACKOFF_LIMIT_MS = 60 * 1000,
    RETRY_AFTER_LIMIT_MS = 600 * 1000,
    SLEEP_STEP_MS = 50,
    TOKEN_LIMIT_BYTES = 64 * 1024,
    WORDS_LIMIT_BYTES = 120, /* of a body, in an error */
};

/* What one try came to, besides its status. */
typedef struct outcome {
    bool again;             /* worth another try */
    bool denied;            /* worth one with another token */
    int64_t retry_after_ms; /* -1: not said */
} outcome;

/* ---- clients ---- */

static dl_status borrow_client(dl_feed_http *feed, dl_cancel *cancel, dl_http_client **out_client,
                               dl_error *err)
{
    dl_http_client *found = NULL;
    (void)pthread_mutex_lock(&feed->lock);
    for (size_t i = feed->idle_count; found == NULL && i > 0; i--) {
        if (feed->idle[i - 1].cancel == cancel) {
            found = feed->idle[i - 1].client;
            memmove(&feed->idle[i - 1], &feed->idle[i],
                    (feed->idle_count - i) * sizeof feed->idle[0]);
            feed->idle_count--;
        }
    }
    (void)pthread_mutex_unlock(&feed->lock);
    if (found != NULL) {
        *out_client = found;
        return DL_OK;
    }
    dl_http_client_options options = {.connect_timeout_s = feed->options.connect_timeout_s,
                                      .idle_timeout_s = feed->options.idle_timeout_s,
                                      .proxy = feed->options.proxy,
                                      .cancel = cancel};
    return dl_http_client_create(&options, out_client, err);
}

static void return_client(dl_feed_http *feed, dl_cancel *cancel, dl_http_client *client)
{
    dl_http_client *oldest = NULL;
    (void)pthread_mutex_lock(&feed->lock);
    if (feed->idle_count == DL_FEED_IDLE_CLIENTS) {
        oldest = feed->idle[0].client;
        memmove(&feed->idle[0], &feed->idle[1], (feed->idle_count - 1) * sizeof feed->idle[0]);
        feed->idle_count--;
    }
    feed->idle[feed->idle_count].client = client;
    feed->idle[feed->idle_count].cancel = cancel;
    feed->idle_count++;
    (void)pthread_mutex_unlock(&feed->lock);
    dl_http_client_destroy(oldest);
}

/* ---- what an answer means ---- */

static void say_words(dl_str body, dl_str token, char out[WORDS_LIMIT_BYTES + 1])
{
    size_t len = 0;
    bool echoes = token.len > 0 && dl_str_find_str(body, token) >= 0;
    for (size_t i = 0; !echoes && i < body.len && len < WORDS_LIMIT_BYTES; i++) {
        char c = body.ptr[i];
        out[len++] = (char)(c >= 0x20 && c < 0x7f ? c : ' ');
    }
    out[len] = '\0';
}

static dl_status explain_denied(const dl_feed_http *feed, const dl_feed_request *q, unsigned code,
                                dl_error *err)
{
    bool has_token = feed->options.token != NULL || feed->options.token_file != NULL;
    dl_status status =
        dl_error_set(err, DL_E_DENIED, "%.*s: the service answers %u", DL_STR_ARG(q->what), code);
    if (code == 403) {
        dl_error_hint(err, "give the token's owner the role that reads the change feed (Azure: "
                           "DICOM Data Reader)");
    } else if (has_token) {
        dl_error_hint(err, "the token is not valid here or has expired: get a new one for this "
                           "service");
    } else {
        dl_error_hint(err, "the service wants a token: give one, or a file that holds one");
    }
    return status;
}

static dl_status explain_answer(const dl_feed_http *feed, const dl_feed_request *q,
                                const dl_http_answer *answer, dl_str words, outcome *out,
                                dl_error *err)
{
    unsigned code = answer->status;
    if (code == 401 || code == 403) {
        out->denied = true;
        return explain_denied(feed, q, code, err);
    }
    if (code == 408 || code == 429 || code >= 500) {
        out->again = true;
        dl_clock clock = dl_clock_system();
        out->retry_after_ms =
            dl_feed_retry_after_ms(dl_http_answer_header(answer, "Retry-After"),
                                   dl_http_answer_header(answer, "Date"), dl_clock_now_us(&clock));
        return dl_error_set(err, DL_E_UNAVAILABLE, "%.*s: the service answers %u",
                            DL_STR_ARG(q->what), code);
    }
    dl_status status =
        dl_error_set(err, DL_E_INVALID, "%.*s: the service answers %u%s%.*s", DL_STR_ARG(q->what),
                     code, words.len == 0 ? "" : ": ", DL_STR_ARG(words));
    if (code == 404) {
        dl_error_hint(err, "is it the address of a DICOM service? it is given without /v2");
    } else if (code >= 300 && code <= 399) {
        dl_error_hint(err, "redirects are not followed: give the address that it leads to");
    }
    return status;
}

static dl_status read_page(const dl_feed_request *q, dl_buf *take_body, dl_feed_page **out_page,
                           outcome *out, dl_error *err)
{
    bool not_json = false;
    dl_status status = dl_feed_page_read(
        take_body, (dl_feed_page_form){.single = q->single, .not_json = &not_json}, out_page, err);
    if (status == DL_OK) {
        return DL_OK;
    }
    if (not_json) { /* cut on its way, or a page of something in between */
        out->again = true;
        dl_error cause = *err;
        return dl_error_set(err, DL_E_UNAVAILABLE,
                            "%.*s: the answer is no JSON of a change feed: %s", DL_STR_ARG(q->what),
                            cause.message);
    }
    return dl_error_within(err, status, "reading %.*s", DL_STR_ARG(q->what));
}

/* ---- one try ---- */

static dl_status find_token(const dl_feed_http *feed, dl_buf *room, dl_str *out_token,
                            dl_error *err)
{
    if (feed->options.token_file == NULL) {
        *out_token = feed->options.token == NULL ? DL_STR_NONE : dl_str_of(feed->options.token);
        return DL_OK;
    }
    dl_buf_init(room, TOKEN_LIMIT_BYTES);
    dl_status status = dl_file_read_all(feed->options.token_file, room, err);
    if (status != DL_OK) {
        return dl_error_within(err, status, "reading the token file");
    }
    dl_str token = dl_buf_str(room);
    while (token.len > 0 && dl_feed_is_space(token.ptr[token.len - 1])) {
        token.len--;
    }
    while (token.len > 0 && dl_feed_is_space(token.ptr[0])) {
        token = dl_str_slice(token, 1, token.len);
    }
    if (token.len == 0) {
        return dl_error_set(err, DL_E_DENIED, "the token file %s is empty",
                            feed->options.token_file);
    }
    *out_token = token;
    return DL_OK;
}

static dl_status send_request(dl_feed_http *feed, const dl_feed_request *q, dl_str token,
                              dl_buf *body, dl_http_answer *out_answer, dl_error *err)
{
    dl_http_field fields[2] = {{DL_STR("Accept"), DL_STR("application/json")}};
    size_t count = 1;
    if (token.len > 0) {
        fields[count].name = DL_STR("Authorization");
        DL_TRY(dl_arena_printf(q->arena, &fields[count++].value, err, "Bearer %.*s",
                               DL_STR_ARG(token)));
    }
    dl_http_call call = {.method = "GET", .url = q->url, .fields = fields, .field_count = count};
    dl_http_client *client = NULL;
    DL_TRY(borrow_client(feed, q->cancel, &client, err));
    atomic_fetch_add_explicit(&feed->source.requests, 1, memory_order_relaxed); /* a figure only */
    dl_status status = dl_http_client_do(client, &call, q->arena, body, out_answer, err);
    atomic_fetch_add_explicit(&feed->source.bytes, (int64_t)body->len, memory_order_relaxed);
    if (status == DL_OK) {
        return_client(feed, q->cancel, client);
    } else { /* nobody knows what its connection would say next */
        dl_http_client_destroy(client);
    }
    return status;
}

static dl_status try_once(dl_feed_http *feed, const dl_feed_request *q, dl_feed_page **out_page,
                          outcome *out, dl_error *err)
{
    DL_AUTO_BUF body = {0};
    DL_AUTO_BUF token_room = {0};
    dl_str token = DL_STR_NONE;
    dl_http_answer answer = {0};
    dl_buf_init(&body, DL_FEED_PAGE_LIMIT_BYTES);
    DL_TRY(find_token(feed, &token_room, &token, err));
    dl_status status = send_request(feed, q, token, &body, &answer, err);
    if (status != DL_OK) {
        out->again = status == DL_E_UNAVAILABLE;
        if (status == DL_E_LIMIT) {
            dl_error_hint(err, "ask for fewer rows a page (BatchSize)");
        }
        return dl_error_within(err, status, "asking for %.*s", DL_STR_ARG(q->what));
    }
    if (q->out_answer != NULL) {
        *q->out_answer = answer;
    }
    if (answer.status == 204) {
        *out_page = NULL;
        return DL_OK;
    }
    if (answer.status != 200) {
        char words[WORDS_LIMIT_BYTES + 1];
        say_words(dl_buf_str(&body), token, words);
        return explain_answer(feed, q, &answer, dl_str_of(words), out, err);
    }
    return read_page(q, &body, out_page, out, err);
}

/* ---- tries ---- */

static int64_t pause_before(const dl_feed_http *feed, unsigned tries_done, int64_t retry_after_ms)
{
    int64_t pause_ms = feed->options.backoff_ms == 0 ? BACKOFF_MS : feed->options.backoff_ms;
    for (unsigned i = 1; i < tries_done && pause_ms < BACKOFF_LIMIT_MS; i++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms > BACKOFF_LIMIT_MS ? BACKOFF_LIMIT_MS : pause_ms;
    uint32_t dice = 0;
    dl_random_bytes(&dice, sizeof dice);
    pause_ms = pause_ms / 2 + (int64_t)dice % (pause_ms / 2 + 1); /* not all at once again */
    if (retry_after_ms > RETRY_AFTER_LIMIT_MS) {
        retry_after_ms = RETRY_AFTER_LIMIT_MS;
    }
    return retry_after_ms > pause_ms ? retry_after_ms : pause_ms;
}

static dl_status pause_for(int64_t pause_ms, dl_cancel *cancel, dl_error *err)
{
    int64_t until_us = dl_clock_monotonic_us() + pause_ms * 1000;
    for (;;) {
        int64_t left_ms = (until_us - dl_clock_monotonic_us()) / 1000;
        if (dl_cancel_asked(cancel)) {
            return dl_error_set(err, DL_E_CANCELED, "waiting for the service was canceled");
        }
        if (left_ms <= 0) {
            return DL_OK;
        }
        int64_t step_ms = left_ms < SLEEP_STEP_MS ? left_ms : SLEEP_STEP_MS;
        struct timespec step = {.tv_nsec = (long)(step_ms * 1000000)};
        (void)nanosleep(&step, NULL);
    }
}

dl_status dl_feed_http_get(dl_feed_http *feed, const dl_feed_request *request,
                           dl_feed_page **out_page, dl_error *err)
{
    unsigned limit = feed->options.try_limit == 0 ? TRY_LIMIT : feed->options.try_limit;
    bool asked_anew = feed->options.token_file == NULL;
    for (unsigned tries = 1;; tries++) {
        dl_error cause = {0};
        outcome out = {.retry_after_ms = -1};
        dl_status status = dl_cancel_asked(request->cancel)
                               ? dl_error_set(&cause, DL_E_CANCELED, "the request was canceled")
                               : try_once(feed, request, out_page, &out, &cause);
        if (status == DL_OK) {
            return DL_OK;
        }
        bool anew = out.denied && !asked_anew; /* the file may hold a newer token by now */
        asked_anew = asked_anew || anew;
        if (!anew && (!out.again || tries >= limit)) {
            if (out.again && limit > 1) {
                (void)dl_error_within(&cause, status, "trying %u times", tries);
            }
            if (err != NULL) {
                *err = cause;
            }
            return status;
        }
        int64_t pause_ms = pause_before(feed, anew ? 1 : tries, out.retry_after_ms);
        atomic_fetch_add_explicit(&feed->source.retries, 1, memory_order_relaxed);
        if (feed->options.on_retry != NULL) {
            feed->options.on_retry(feed->options.context, (unsigned)pause_ms, cause.message);
        }
        DL_TRY(pause_for(pause_ms, request->cancel, err));
    }
}

/* ---- Retry-After ---- */

bool dl_feed_http_date(dl_str text, int64_t *out_us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t day = 0, year = 0, hour = 0, minute = 0, second = 0;
    int64_t days = 0;
    if (text.len != 29 || !dl_str_eq(dl_str_slice(text, 25, 4), DL_STR(" GMT")) ||
        text.ptr[3] != ',' || text.ptr[19] != ':' || text.ptr[22] != ':' ||
        !dl_str_to_u64(dl_str_slice(text, 5, 2), &day) ||
        !dl_str_to_u64(dl_str_slice(text, 12, 4), &year) ||
        !dl_str_to_u64(dl_str_slice(text, 17, 2), &hour) ||
        !dl_str_to_u64(dl_str_slice(text, 20, 2), &minute) ||
        !dl_str_to_u64(dl_str_slice(text, 23, 2), &second)) {
        return false;
    }
    ptrdiff_t month = dl_str_find_str(dl_str_of(months), dl_str_slice(text, 8, 3));
    if (month < 0 || month % 3 != 0 || hour > 23 || minute > 59 || second > 60 ||
        !dl_clock_days((int64_t)year, month / 3 + 1, (int64_t)day, &days)) {
        return false;
    }
    *out_us = (((days * 24 + (int64_t)hour) * 60 + (int64_t)minute) * 60 + (int64_t)second) *
              INT64_C(1000000);
    return true;
}

int64_t dl_feed_retry_after_ms(dl_str retry_after, dl_str date, int64_t now_us)
{
    uint64_t seconds = 0;
    int64_t until_us = 0;
    if (retry_after.len > 0 && dl_str_to_u64(retry_after, &seconds)) {
        return seconds > RETRY_AFTER_LIMIT_MS / 1000 ? RETRY_AFTER_LIMIT_MS
                                                     : (int64_t)seconds * 1000;
    }
    if (!dl_feed_http_date(retry_after, &until_us)) {
        return -1;
    }
    (void)dl_feed_http_date(date, &now_us); /* by the service's own clock where it says it */
    int64_t wait_ms = (until_us - now_us) / 1000;
    return wait_ms < 0 ? 0 : wait_ms > RETRY_AFTER_LIMIT_MS ? RETRY_AFTER_LIMIT_MS : wait_ms;
}
