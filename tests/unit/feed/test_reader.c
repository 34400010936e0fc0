#include "tap.h"

#include "base/mem.h"
#include "feed/feed.h"

#include <pthread.h>
#include <time.h>

enum { ROW_LIMIT = 4000, NEVER = -1 };

/* A feed in memory that can misbehave. */
typedef struct fake {
    dl_feed_source source; /* first */
    pthread_mutex_t lock;
    dl_feed_entry rows[ROW_LIMIT];
    size_t count;
    dl_feed_info info;
    size_t text_bytes; /* what a page says that it has */
    int delay_us;      /* a page takes up to so long */
    uint32_t seed;
    int requests, running, most_running;
    int insert_before;             /* a row appears before this request ... */
    size_t insert_at;              /* ... at this place */
    int lose_before;               /* the last row goes before this request */
    int hang_at, fail_at, more_at; /* requests that hang, fail, have one row more */
    size_t row_limit;              /* more rows than this are too large for a page */
    size_t ends_at;                /* pages end here although there are more rows */
    int twice_at;                  /* a request whose second row has the first one's sequence */
    int64_t fail_from_offset;      /* requests from here on fail */
    bool info_fails;
} fake;

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void sleep_us(int64_t us)
{
    struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    (void)nanosleep(&pause, NULL);
}

static const dl_feed_source_ops fake_ops;

static void fake_init(fake *f, size_t count)
{
    static const dl_feed_info info = {.id = {"fake", 4}, .has_cursor = true, .page_limit = 10};
    memset(f, 0, sizeof *f);
    (void)pthread_mutex_init(&f->lock, NULL);
    f->source.ops = &fake_ops;
    f->info = info;
    f->text_bytes = 1000;
    f->seed = 1;
    f->insert_before = f->lose_before = f->hang_at = f->fail_at = f->more_at = f->twice_at = NEVER;
    f->fail_from_offset = INT64_MAX;
    for (size_t i = 0; i < count; i++) { /* even numbers, so that rows can appear between them */
        f->rows[i] = (dl_feed_entry){.sequence = (int64_t)i * 2 + 2,
                                     .timestamp_us = 1000 + (int64_t)i / 3,
                                     .timestamp_tenths = (uint8_t)(i % 3)};
    }
    f->count = count;
}

static dl_feed_page *make_page(size_t count)
{
    dl_feed_page *page = dl_mem_zalloc(1, sizeof *page);
    if (page != NULL) {
        page->arena = dl_arena_create(1 << 20);
        page->entries = page->arena == NULL
                            ? NULL
                            : dl_arena_alloc(page->arena, count + 1, sizeof *page->entries);
        if (page->entries == NULL) {
            dl_feed_page_destroy(page);
            return NULL;
        }
    }
    return page;
}

static dl_status give(fake *f, size_t from, size_t limit, int request, dl_feed_page **out_page,
                      dl_error *err)
{
    size_t left = from < f->count ? f->count - from : 0;
    size_t take = left < limit ? left : limit;
    bool more = f->ends_at > 0 && take > f->ends_at;
    take = more ? f->ends_at : take;
    if (f->row_limit > 0 && limit > f->row_limit) {
        return dl_error_set(err, DL_E_LIMIT, "fake: too large");
    }
    take += request == f->more_at && take < left;
    dl_feed_page *page = make_page(take);
    if (page == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "fake: no memory");
    }
    for (size_t i = 0; i < take; i++) {
        page->entries[i] = f->rows[from + i];
    }
    if (request == f->twice_at && take > 1) {
        page->entries[1] = page->entries[0];
    }
    page->entry_count = take;
    page->text_bytes = f->text_bytes;
    page->more = more;
    *out_page = page;
    return DL_OK;
}

static void misbehave(fake *f, int request)
{
    if (request == f->insert_before) {
        memmove(&f->rows[f->insert_at + 1], &f->rows[f->insert_at],
                (f->count - f->insert_at) * sizeof f->rows[0]);
        f->rows[f->insert_at].sequence--; /* the odd number before; same time */
        f->count++;
    }
    if (request == f->lose_before) {
        f->count--;
    }
}

static dl_status begin_request(fake *f, int64_t offset, dl_cancel *cancel, int *out_request,
                               dl_error *err)
{
    (void)pthread_mutex_lock(&f->lock);
    int request = f->requests++;
    f->running++;
    f->most_running = f->running > f->most_running ? f->running : f->most_running;
    int64_t pause_us = f->delay_us == 0 ? 0 : (int64_t)next_random(&f->seed) % f->delay_us;
    (void)pthread_mutex_unlock(&f->lock);
    sleep_us(pause_us);
    while (request == f->hang_at && !dl_cancel_asked(cancel)) {
        sleep_us(1000);
    }
    *out_request = request;
    dl_status status = DL_OK;
    if (request == f->hang_at) {
        status = dl_error_set(err, DL_E_CANCELED, "fake: canceled");
    } else if (request == f->fail_at || offset >= f->fail_from_offset) {
        status = dl_error_set(err, DL_E_UNAVAILABLE, "fake: request %d fails", request);
    }
    (void)pthread_mutex_lock(&f->lock);
    misbehave(f, request);
    return status; /* with the lock */
}

static dl_status fake_info(dl_feed_source *source, dl_feed_info *out_info, dl_error *err)
{
    fake *f = (fake *)source;
    if (f->info_fails) {
        return dl_error_set(err, DL_E_DENIED, "fake: who are you");
    }
    *out_info = f->info;
    return DL_OK;
}

static dl_status fake_window(dl_feed_source *source, int64_t start_us, int64_t end_us,
                             int64_t offset, size_t limit, dl_cancel *cancel,
                             dl_feed_page **out_page, dl_error *err)
{
    fake *f = (fake *)source;
    int request = 0;
    (void)start_us, (void)end_us;
    dl_status status = begin_request(f, offset, cancel, &request, err);
    if (status == DL_OK) {
        status = give(f, (size_t)offset, limit, request, out_page, err);
    }
    f->running--;
    (void)pthread_mutex_unlock(&f->lock);
    return status;
}

static dl_status fake_after(dl_feed_source *source, int64_t sequence, size_t limit,
                            dl_cancel *cancel, dl_feed_page **out_page, dl_error *err)
{
    fake *f = (fake *)source;
    int request = 0;
    dl_status status = begin_request(f, 0, cancel, &request, err);
    size_t from = 0;
    while (from < f->count && f->rows[from].sequence <= sequence) {
        from++;
    }
    if (status == DL_OK) {
        status = give(f, from, limit, request, out_page, err);
    }
    f->running--;
    (void)pthread_mutex_unlock(&f->lock);
    return status;
}

static const dl_feed_source_ops fake_ops = {
    .info = fake_info, .window = fake_window, .after = fake_after};

static dl_feed_reader_options window_of(fake *f)
{
    return (dl_feed_reader_options){.source = &f->source, .start_us = 0, .end_us = 1000000};
}

static dl_feed_reader_options cursor_of(fake *f, int64_t after)
{
    return (dl_feed_reader_options){.source = &f->source, .cursor = true, .after_sequence = after};
}

/* Read to the end; how many rows came, each once and in order. */
static dl_status read_all(const dl_feed_reader_options *options, const fake *f, size_t from,
                          size_t *out_rows, dl_error *err)
{
    dl_feed_reader *reader = NULL;
    DL_TRY(dl_feed_reader_open(options, &reader, err));
    dl_status status = DL_OK;
    size_t rows = 0;
    for (;;) {
        dl_feed_page *page = NULL;
        status = dl_feed_reader_next(reader, &page, err);
        if (status != DL_OK || page == NULL) {
            break;
        }
        TAP_TRUE(page->entry_count > 0);
        for (size_t i = 0; i < page->entry_count; i++, rows++) {
            if (f != NULL && page->entries[i].sequence != f->rows[from + rows].sequence) {
                TAP_FAIL("row %zu is sequence %lld", rows, (long long)page->entries[i].sequence);
                break;
            }
        }
        dl_feed_page_destroy(page);
    }
    dl_feed_page *page = NULL;
    TAP_STATUS(dl_feed_reader_next(reader, &page, NULL), status); /* and says it again */
    TAP_TRUE(page == NULL);
    dl_feed_reader_close(reader);
    *out_rows = rows;
    return status;
}

static fake feed; /* large */

static void every_count_of_rows(void)
{
    static const size_t counts[] = {0, 1, 9, 10, 11, 18, 19, 20, 27, 28, 29, 100, 1000, 1001};
    static const size_t page_rows[] = {1, 2, 3, 10, 0};
    for (size_t c = 0; c < DL_COUNT_OF(counts); c++) {
        TAP_ROW_BEGIN();
        for (size_t p = 0; p < DL_COUNT_OF(page_rows); p++) {
            for (unsigned parallel = 0; parallel <= 8; parallel += 4) {
                size_t rows = 0;
                dl_error err = {0};
                fake_init(&feed, counts[c]);
                feed.delay_us = parallel == 0 ? 0 : 300;
                dl_feed_reader_options options = window_of(&feed);
                options.page_rows = page_rows[p];
                options.parallel = parallel;
                TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
                TAP_EQ_INT(rows, counts[c]);
                fake_init(&feed, counts[c]);
                options = cursor_of(&feed, 0);
                options.page_rows = page_rows[p];
                TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
                TAP_EQ_INT(rows, counts[c]);
                TAP_TRUE(feed.most_running <= 1); /* a cursor page needs the one before */
            }
        }
        char name[64];
        (void)snprintf(name, sizeof name, "reader: %zu rows", counts[c]);
        TAP_ROW_END(name);
    }
}

TAP_CASE(a_cursor_begins_after_its_sequence)
{
    size_t rows = 0;
    dl_error err = {0};
    fake_init(&feed, 100);
    dl_feed_reader_options options = cursor_of(&feed, 41); /* between the rows 40 and 42 */
    TAP_OK(read_all(&options, &feed, 20, &rows, &err), err);
    TAP_EQ_INT(rows, 80);
}

TAP_CASE(a_short_window_costs_one_request_and_a_long_one_uses_threads)
{
    size_t rows = 0;
    dl_error err = {0};
    fake_init(&feed, 9);
    feed.delay_us = 2000;
    dl_feed_reader_options options = window_of(&feed);
    options.parallel = 8;
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_EQ_INT(feed.requests, 1);
    fake_init(&feed, 1000);
    feed.delay_us = 2000;
    options = window_of(&feed);
    options.parallel = 8;
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_TRUE(feed.most_running > 2 && feed.most_running <= 8);
}

TAP_CASE(the_page_size_is_what_the_source_allows)
{
    dl_error err = {0};
    size_t rows = 0;
    fake_init(&feed, 100);
    dl_feed_reader_options options = window_of(&feed);
    feed.info.page_limit = 5;
    feed.info.cursor_limit = 10;
    options.parallel = 1;
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_EQ_INT(feed.requests, 25); /* 5, then 4 new rows each */
    fake_init(&feed, 100);
    options = cursor_of(&feed, 0);
    feed.info.page_limit = 5;
    feed.info.cursor_limit = 10;
    options.page_rows = 500;
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_EQ_INT(feed.requests, 11);
}

/* ---- misbehaving ---- */

TAP_CASE(rows_that_shift_are_never_lost_in_silence)
{
    int conflicts = 0, whole = 0;
    for (int round = 0; round < 400; round++) {
        uint32_t seed = (uint32_t)round * 7919 + 1;
        size_t rows = 0;
        dl_error err = {0};
        fake_init(&feed, 60);
        feed.seed = seed;
        feed.delay_us = 200;
        feed.insert_before = (int)(next_random(&seed) % 8);
        feed.insert_at = next_random(&seed) % 60;
        dl_feed_reader_options options = window_of(&feed);
        dl_feed_reader *reader = NULL;
        TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
        dl_status status = DL_OK;
        int64_t last = 0;
        size_t even = 0;
        for (dl_feed_page *page = NULL;
             (status = dl_feed_reader_next(reader, &page, &err)) == DL_OK && page != NULL;) {
            for (size_t i = 0; i < page->entry_count; i++, rows++) {
                TAP_TRUE(page->entries[i].sequence > last);
                last = page->entries[i].sequence;
                even += last % 2 == 0;
            }
            dl_feed_page_destroy(page);
            page = NULL;
        }
        dl_feed_reader_close(reader);
        TAP_TRUE(status == DL_OK || status == DL_E_CONFLICT);
        if (status == DL_OK) { /* all that was there when it began; the new one maybe */
            TAP_TRUE(even + (rows - even) >= 59 && rows >= 60);
        }
        conflicts += status == DL_E_CONFLICT;
        whole += status == DL_OK;
    }
    TAP_TRUE(conflicts > 20 && whole > 20);
}

TAP_CASE(a_conflict_names_the_sequences)
{
    size_t rows = 0;
    dl_error err = {0};
    fake_init(&feed, 60);
    feed.insert_before = 1; /* the first page ended with 20; now 18 stands where 20 stood */
    feed.insert_at = 3;
    dl_feed_reader_options options = window_of(&feed);
    options.parallel = 1;
    TAP_STATUS(read_all(&options, NULL, 0, &rows, &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "sequence 18") != NULL && strstr(err.message, "with 20") != NULL);
    fake_init(&feed, 10);
    feed.lose_before = 1; /* the row that the second page must begin with */
    options = window_of(&feed);
    options.parallel = 1;
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "nothing stands where sequence 20 stood") != NULL);
}

TAP_CASE(pages_before_a_failure_come_and_failures_behind_the_end_do_not)
{
    size_t rows = 0;
    dl_error err = {0};
    fake_init(&feed, 60);
    feed.fail_from_offset = 27; /* pages 0, 1 and 2 have come */
    dl_feed_reader_options options = window_of(&feed);
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_UNAVAILABLE);
    TAP_EQ_INT(rows, 28);
    TAP_TRUE(strstr(err.message, "fake: request") != NULL);
    for (int round = 0; round < 50; round++) {
        fake_init(&feed, 25);
        feed.seed = (uint32_t)round;
        feed.delay_us = 500;
        feed.fail_from_offset = 27; /* page 2 is short: nobody needs page 3 */
        options = window_of(&feed);
        TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
        TAP_EQ_INT(rows, 25);
    }
    fake_init(&feed, 60);
    feed.fail_at = 0;
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_UNAVAILABLE);
    fake_init(&feed, 60);
    feed.fail_at = 3;
    options = cursor_of(&feed, 0);
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_UNAVAILABLE);
    TAP_EQ_INT(rows, 30);
}

TAP_CASE(rows_that_nobody_asked_for_are_refused)
{
    size_t rows = 0;
    dl_error err = {0};
    fake_init(&feed, 60);
    feed.more_at = 1;
    dl_feed_reader_options options = window_of(&feed);
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "11 rows where 10") != NULL);
    fake_init(&feed, 60);
    feed.twice_at = 2;
    options = window_of(&feed);
    options.parallel = 1;
    TAP_STATUS(read_all(&options, NULL, 0, &rows, &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "sequence 38 after sequence 38") != NULL);
    fake_init(&feed, 60);
    feed.twice_at = 2;
    options = cursor_of(&feed, 0);
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_CONFLICT);
    TAP_TRUE(strstr(err.message, "sequence 42 where one above 42") != NULL);
    fake_init(&feed, 60);
    options = window_of(&feed);
    options.start_us = 1005; /* it does not look at the times */
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "sequence 2,") != NULL);
    fake_init(&feed, 60);
    options = window_of(&feed);
    options.end_us = 1010;
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_INVALID);
}

TAP_CASE(what_cannot_be_opened)
{
    dl_error err = {0};
    dl_feed_reader *reader = NULL;
    fake_init(&feed, 1);
    dl_feed_reader_options options = cursor_of(&feed, 0);
    feed.info.has_cursor = false;
    TAP_STATUS(dl_feed_reader_open(&options, &reader, &err), DL_E_UNSUPPORTED);
    options = window_of(&feed);
    options.end_us = options.start_us;
    TAP_STATUS(dl_feed_reader_open(&options, &reader, &err), DL_E_INVALID);
    feed.info_fails = true;
    TAP_STATUS(dl_feed_reader_open(&options, &reader, &err), DL_E_DENIED);
    TAP_TRUE(reader == NULL);
    dl_feed_reader_close(NULL);
}

/* ---- budget, hanging ---- */

TAP_CASE(pages_wait_within_the_budget)
{
    dl_error err = {0};
    dl_feed_reader *reader = NULL;
    dl_feed_page *page = NULL;
    fake_init(&feed, 1000);
    feed.text_bytes = 1000;
    dl_feed_reader_options options = window_of(&feed);
    options.budget_bytes = 5100;
    TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
    TAP_OK(dl_feed_reader_next(reader, &page, &err), err);
    dl_feed_page_destroy(page);
    sleep_us(100000);
    (void)pthread_mutex_lock(&feed.lock);
    TAP_EQ_INT(feed.requests, 1 + 5); /* the one taken, and five that wait */
    (void)pthread_mutex_unlock(&feed.lock);
    dl_feed_reader_close(reader);

    fake_init(&feed, 1000);
    feed.text_bytes = 1000000; /* each alone is too much: one at a time */
    options = window_of(&feed);
    options.budget_bytes = 1;
    size_t rows = 0;
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_EQ_INT(rows, 1000);
    TAP_EQ_INT(feed.most_running, 1);

    fake_init(&feed, 1000);
    options = cursor_of(&feed, 0);
    TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
    TAP_OK(dl_feed_reader_next(reader, &page, &err), err);
    dl_feed_page_destroy(page);
    sleep_us(100000);
    (void)pthread_mutex_lock(&feed.lock);
    TAP_TRUE(feed.requests >= 2 && feed.requests <= 3);
    (void)pthread_mutex_unlock(&feed.lock);
    dl_feed_reader_close(reader);
}

TAP_CASE(large_rows_come_in_smaller_pages)
{
    size_t rows = 0;
    dl_error err = {0};
    fake_init(&feed, 100);
    feed.row_limit = 3;
    dl_feed_reader_options options = cursor_of(&feed, 0);
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_TRUE(rows == 100 && err.message[0] == '\0');
    fake_init(&feed, 100);
    feed.row_limit = 3;
    options = window_of(&feed);
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_LIMIT);
    fake_init(&feed, 100);
    feed.text_bytes = 1000; /* 100 a row at first: 5 rows, then 200 a row: 2, 500 a row: 1 */
    options = cursor_of(&feed, 0);
    options.budget_bytes = 1010;
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_EQ_INT(rows, 100);
    TAP_TRUE(feed.requests > 80);
    fake_init(&feed, 100);
    feed.ends_at = 4;
    options = cursor_of(&feed, 0);
    TAP_OK(read_all(&options, &feed, 0, &rows, &err), err);
    TAP_EQ_INT(rows, 100);
    fake_init(&feed, 100);
    feed.ends_at = 4;
    options = window_of(&feed);
    TAP_STATUS(read_all(&options, &feed, 0, &rows, &err), DL_E_LIMIT);
    TAP_TRUE(rows == 0 && err.hint[0] != '\0');
}

static void *cancel_soon(void *context)
{
    sleep_us(50000);
    dl_cancel_ask(context);
    return NULL;
}

/* It hangs until it is told to end: that this case ends is what it shows. */
TAP_CASE(a_source_that_hangs_holds_nobody)
{
    dl_error err = {0};
    dl_feed_reader *reader = NULL;
    dl_feed_page *page = NULL;
    fake_init(&feed, 100);
    feed.hang_at = 0;
    dl_feed_reader_options options = window_of(&feed);
    TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
    sleep_us(20000);
    dl_feed_reader_close(reader);

    dl_cancel cancel = {0};
    pthread_t thread;
    fake_init(&feed, 100);
    feed.hang_at = 2;
    options = window_of(&feed);
    options.cancel = &cancel;
    TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
    TAP_EQ_INT(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
    dl_status status = DL_OK;
    while ((status = dl_feed_reader_next(reader, &page, &err)) == DL_OK && page != NULL) {
        dl_feed_page_destroy(page);
        page = NULL;
    }
    TAP_STATUS(status, DL_E_CANCELED);
    (void)pthread_join(thread, NULL);
    dl_feed_reader_close(reader);
}

TAP_CASE(closing_at_any_time_frees_what_waits)
{
    for (int round = 0; round < 60; round++) {
        dl_error err = {0};
        dl_feed_reader *reader = NULL;
        fake_init(&feed, 500);
        feed.delay_us = 200;
        feed.seed = (uint32_t)round;
        dl_feed_reader_options options = window_of(&feed);
        TAP_OK(dl_feed_reader_open(&options, &reader, &err), err);
        for (int i = 0; i < round % 10; i++) {
            dl_feed_page *page = NULL;
            TAP_OK(dl_feed_reader_next(reader, &page, &err), err);
            dl_feed_page_destroy(page);
        }
        dl_feed_reader_close(reader);
    }
}

TAP_CASE(each_allocation_may_fail)
{
    int failures = 0;
    for (int n = 0; n < 100; n++) {
        size_t rows = 0;
        dl_error err = {0};
        fake_init(&feed, 40);
        dl_feed_reader_options options = window_of(&feed);
        options.parallel = 1; /* so that the n-th is the same each time */
        dl_mem_fail_after(n);
        dl_status status = read_all(&options, &feed, 0, &rows, &err);
        dl_mem_fail_after(-1);
        if (status == DL_OK) {
            TAP_EQ_INT(rows, 40);
            break;
        }
        TAP_STATUS(status, DL_E_NOMEM);
        failures++;
    }
    TAP_TRUE(failures > 10 && failures < 100);
}

int main(void)
{
    every_count_of_rows();
    TAP_RUN(a_cursor_begins_after_its_sequence);
    TAP_RUN(a_short_window_costs_one_request_and_a_long_one_uses_threads);
    TAP_RUN(the_page_size_is_what_the_source_allows);
    TAP_RUN(rows_that_shift_are_never_lost_in_silence);
    TAP_RUN(a_conflict_names_the_sequences);
    TAP_RUN(pages_before_a_failure_come_and_failures_behind_the_end_do_not);
    TAP_RUN(rows_that_nobody_asked_for_are_refused);
    TAP_RUN(what_cannot_be_opened);
    TAP_RUN(pages_wait_within_the_budget);
    TAP_RUN(large_rows_come_in_smaller_pages);
    TAP_RUN(a_source_that_hangs_holds_nobody);
    TAP_RUN(closing_at_any_time_frees_what_waits);
    TAP_RUN(each_allocation_may_fail);
    return tap_done();
}
