/* A feed over HTTP that goes on: tokens, pauses, cancels, a reader through every fault. */
#include "service_rig.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Before what hangs or waits would go on by itself: 30 s. */
#define SOON_US INT64_C(20000000)

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
