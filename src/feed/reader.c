/* Reading along: pages fetched ahead by threads of our own, handed over in order.
 *
 * Pages have numbers. A ring of slots holds those that are under way or wait for the caller;
 * threads draw the next number while the ring and the budget have room. A page of a window begins
 * with the last row of the page before it: whatever shifts the rows between two requests, in
 * whichever order they were sent, shows there. The first page is fetched alone, so that a short
 * window costs one request. */
#include "base/mem.h"
#include "feed/feed.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    RING = 64,
    PARALLEL = 4,
    PARALLEL_LIMIT = 16,
    PAGE_ROWS = 2000,
    CURSOR_AHEAD = 1, /* pages that wait while the next is fetched */
    BUDGET_BYTES = 32 << 20,
    LOOK_MS = 100, /* how often a waiting caller looks whether it is canceled */
};

typedef enum slot_state { SLOT_EMPTY, SLOT_UNDER_WAY, SLOT_READY, SLOT_FAILED } slot_state;

typedef struct slot {
    slot_state state;
    size_t rows; /* asked for */
    dl_feed_page *page;
    dl_status status;
    dl_error err;
} slot;

struct dl_feed_reader {
    dl_feed_reader_options options; /* defaults filled in */
    dl_cancel cancel;               /* asks the threads' requests to stop */
    /* of the caller's thread alone */
    bool any;           /* `last` is an entry that was handed over */
    dl_feed_entry last; /* only its place in the order */
    dl_status failed;   /* what next() has said, and says again */
    dl_error failed_err;
    pthread_t threads[PARALLEL_LIMIT];
    unsigned thread_count;
    pthread_mutex_t lock; /* guards everything below; no I/O under it */
    pthread_cond_t changed;
    bool stop;
    slot ring[RING];
    uint64_t next_fetch, next_take; /* numbers of pages */
    uint64_t end;                   /* pages from here on do not exist */
    int64_t cursor;                 /* sequence that the next cursor page comes after */
    size_t cursor_rows;             /* that it asks for: fewer where rows are large */
    unsigned under_way;
    size_t held_bytes;    /* of pages that wait */
    size_t largest_bytes; /* of a page so far */
};

static slot *slot_of(dl_feed_reader *r, uint64_t number)
{
    return &r->ring[number % RING];
}

/* Rows from one page of a window to the next: one less than a page has, where it has two. */
static size_t step_of(const dl_feed_reader *r)
{
    return r->options.page_rows > 1 ? r->options.page_rows - 1 : 1;
}

static bool overlaps(const dl_feed_reader *r)
{
    return !r->options.cursor && r->options.page_rows > 1;
}

/* ---- fetching ---- */

/* Whether a thread may draw the next number now. Called with the lock. */
static bool may_fetch(const dl_feed_reader *r)
{
    uint64_t number = r->next_fetch;
    if (number >= r->end || number - r->next_take >= RING) {
        return false;
    }
    if (r->options.cursor) {
        return r->under_way == 0 && number - r->next_take <= CURSOR_AHEAD;
    }
    if (number > 0 && r->largest_bytes == 0) { /* the first has not come yet */
        return false;
    }
    size_t wanted = r->held_bytes + (r->under_way + 1) * r->largest_bytes;
    return number == r->next_take || wanted <= r->options.budget_bytes;
}

/* Rows after a sequence; where so many are too large for a page, fewer. */
static dl_status fetch_after(dl_feed_reader *r, int64_t cursor, size_t *rows,
                             dl_feed_page **out_page, dl_error *err)
{
    dl_feed_source *source = r->options.source;
    dl_status status = source->ops->after(source, cursor, *rows, &r->cancel, out_page, err);
    while (status == DL_E_LIMIT && *rows > 1) {
        *rows /= 2;
        dl_error_clear(err);
        status = source->ops->after(source, cursor, *rows, &r->cancel, out_page, err);
    }
    return status;
}

static dl_status fetch_window(dl_feed_reader *r, uint64_t number, dl_feed_page **out_page,
                              dl_error *err)
{
    const dl_feed_reader_options *o = &r->options;
    int64_t offset = (int64_t)number * (int64_t)step_of(r);
    DL_AUTO(dl_feed_page) page = NULL;
    DL_TRY(o->source->ops->window(o->source, o->start_us, o->end_us, offset, o->page_rows,
                                  &r->cancel, &page, err));
    if (page->more) { /* the offsets of the pages behind it would be wrong */
        dl_status status = dl_error_set(
            err, DL_E_LIMIT, "change feed: %zu rows of a window are too large for a page",
            o->page_rows);
        dl_error_hint(err, "ask for fewer rows a page (BatchSize)");
        return status;
    }
    *out_page = DL_STEAL(page);
    return DL_OK;
}

static dl_status fetch(dl_feed_reader *r, uint64_t number, int64_t cursor, slot *s, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = NULL;
    DL_TRY(r->options.cursor ? fetch_after(r, cursor, &s->rows, &page, err)
                             : fetch_window(r, number, &page, err));
    if (page->entry_count > s->rows) {
        return dl_error_set(err, DL_E_INVALID,
                            "change feed: a page has %zu rows where %zu were asked for",
                            page->entry_count, s->rows);
    }
    s->page = DL_STEAL(page);
    return DL_OK;
}

/* Called with the lock: what a page means for those that come after it. */
static void note_page(dl_feed_reader *r, uint64_t number, slot *s)
{
    bool last = s->state == SLOT_FAILED || (s->page->entry_count < s->rows && !s->page->more) ||
                s->page->entry_count == 0;
    if (last && number + 1 < r->end) {
        r->end = number + 1;
    }
    if (s->state == SLOT_FAILED) {
        return;
    }
    size_t bytes = s->page->text_bytes;
    r->held_bytes += bytes;
    r->largest_bytes = bytes >= r->largest_bytes ? bytes + 1 : r->largest_bytes; /* never 0 again */
    if (s->page->entry_count > 0) {
        r->cursor = s->page->entries[s->page->entry_count - 1].sequence;
        size_t fit = r->options.budget_bytes / 2 / (bytes / s->page->entry_count + 1);
        fit = fit == 0 ? 1 : fit;
        r->cursor_rows = fit < r->options.page_rows ? fit : r->options.page_rows;
    }
}

static void *fetch_pages(void *context)
{
    dl_feed_reader *r = context;
    (void)pthread_mutex_lock(&r->lock);
    while (!r->stop) {
        if (!may_fetch(r)) {
            (void)pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        uint64_t number = r->next_fetch++;
        int64_t cursor = r->cursor;
        slot *s = slot_of(r, number);
        *s = (slot){.state = SLOT_UNDER_WAY,
                    .rows = r->options.cursor ? r->cursor_rows : r->options.page_rows};
        slot fetched = *s;
        r->under_way++;
        (void)pthread_mutex_unlock(&r->lock);
        fetched.status = fetch(r, number, cursor, &fetched, &fetched.err);
        fetched.state = fetched.status == DL_OK ? SLOT_READY : SLOT_FAILED;
        (void)pthread_mutex_lock(&r->lock);
        r->under_way--;
        *s = fetched;
        note_page(r, number, s);
        (void)pthread_cond_broadcast(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- taking ---- */

/* The next page as it was fetched; NULL at the end. */
static dl_status take_page(dl_feed_reader *r, dl_feed_page **out_page, dl_error *err)
{
    dl_status status = DL_OK;
    (void)pthread_mutex_lock(&r->lock);
    slot *s = slot_of(r, r->next_take);
    while (r->next_take < r->end && s->state != SLOT_READY && s->state != SLOT_FAILED) {
        if (dl_cancel_asked(r->options.cancel)) {
            dl_cancel_ask(&r->cancel);
            (void)pthread_mutex_unlock(&r->lock);
            return dl_error_set(err, DL_E_CANCELED, "reading the change feed was canceled");
        }
        struct timespec until = {0};
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)LOOK_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&r->changed, &r->lock, &until);
    }
    if (r->next_take >= r->end) {
        *out_page = NULL;
    } else if (s->state == SLOT_FAILED) {
        status = s->status;
        if (err != NULL) {
            *err = s->err;
        }
    } else {
        *out_page = s->page;
        r->held_bytes -= s->page->text_bytes;
        r->next_take++;
        *s = (slot){.state = SLOT_EMPTY};
        (void)pthread_cond_broadcast(&r->changed);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return status;
}

static dl_status say_shifted(const dl_feed_reader *r, const dl_feed_page *page, dl_error *err)
{
    if (page->entry_count == 0) {
        return dl_error_set(err, DL_E_CONFLICT,
                            "the change feed changed while it was read: nothing stands where "
                            "sequence %lld stood",
                            (long long)r->last.sequence);
    }
    return dl_error_set(err, DL_E_CONFLICT,
                        "the change feed changed while it was read: a page begins with sequence "
                        "%lld, the page before it ended with %lld",
                        (long long)page->entries[0].sequence, (long long)r->last.sequence);
}

/* The page goes on where the one before it ended. */
static dl_status check_joint(dl_feed_reader *r, dl_feed_page *page, dl_error *err)
{
    if (!r->any) {
        return DL_OK;
    }
    if (overlaps(r)) { /* the page before was full, so this one has its last row */
        if (page->entry_count == 0 || dl_feed_entry_order(&page->entries[0], &r->last) != 0) {
            return say_shifted(r, page, err);
        }
        page->entries++;
        page->entry_count--;
        return DL_OK;
    }
    return DL_OK;
}

/* Each row was asked for, and comes after the one before it. */
static dl_status check_rows(const dl_feed_reader *r, const dl_feed_page *page, dl_error *err)
{
    const dl_feed_reader_options *o = &r->options;
    int64_t before = r->any ? r->last.sequence : o->after_sequence;
    const dl_feed_entry *previous = r->any ? &r->last : NULL;
    for (size_t i = 0; i < page->entry_count; i++, previous = &page->entries[i - 1]) {
        const dl_feed_entry *e = &page->entries[i];
        if (o->cursor && e->sequence <= before) {
            return dl_error_set(err, DL_E_CONFLICT,
                                "the change feed gives sequence %lld where one above %lld was "
                                "asked for",
                                (long long)e->sequence, (long long)before);
        }
        if (!o->cursor && (e->timestamp_us < o->start_us || e->timestamp_us >= o->end_us)) {
            return dl_error_set(err, DL_E_INVALID,
                                "the change feed gives sequence %lld, whose time is outside the "
                                "window asked for",
                                (long long)e->sequence);
        }
        if (!o->cursor && previous != NULL && dl_feed_entry_order(previous, e) >= 0) {
            return dl_error_set(err, DL_E_CONFLICT,
                                "the change feed gives sequence %lld after sequence %lld, which is "
                                "not their order",
                                (long long)e->sequence, (long long)previous->sequence);
        }
        before = e->sequence;
    }
    return DL_OK;
}

static dl_status take_checked(dl_feed_reader *r, dl_feed_page **out_page, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = NULL;
    DL_TRY(take_page(r, &page, err));
    if (page == NULL) {
        *out_page = NULL;
        return DL_OK;
    }
    DL_TRY(check_joint(r, page, err));
    DL_TRY(check_rows(r, page, err));
    if (page->entry_count == 0) { /* the last of all: pages before it were full */
        *out_page = NULL;
        return DL_OK;
    }
    const dl_feed_entry *last = &page->entries[page->entry_count - 1];
    r->last = (dl_feed_entry){.sequence = last->sequence,
                              .timestamp_us = last->timestamp_us,
                              .timestamp_tenths = last->timestamp_tenths};
    r->any = true;
    *out_page = DL_STEAL(page);
    return DL_OK;
}

dl_status dl_feed_reader_next(dl_feed_reader *reader, dl_feed_page **out_page, dl_error *err)
{
    if (reader->failed == DL_OK) {
        reader->failed = take_checked(reader, out_page, &reader->failed_err);
    }
    if (reader->failed != DL_OK && err != NULL) {
        *err = reader->failed_err;
    }
    return reader->failed;
}

/* ---- open and close ---- */

static dl_status fill_options(dl_feed_reader *r, const dl_feed_reader_options *options,
                              dl_error *err)
{
    dl_feed_info info = {0};
    DL_TRY(options->source->ops->info(options->source, &info, err));
    if (options->cursor && !info.has_cursor) {
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "this change feed cannot be read after a sequence, only by time");
    }
    if (!options->cursor && options->end_us <= options->start_us) {
        return dl_error_set(err, DL_E_INVALID, "the end of a window must be after its start");
    }
    r->options = *options;
    size_t limit = options->cursor && info.cursor_limit > 0 ? info.cursor_limit : info.page_limit;
    limit = limit == 0 ? DL_FEED_PAGE_LIMIT_ROWS : limit;
    size_t rows = options->page_rows == 0 ? PAGE_ROWS : options->page_rows;
    r->options.page_rows = rows < limit ? rows : limit;
    unsigned parallel = options->parallel == 0 ? PARALLEL : options->parallel;
    parallel = parallel < PARALLEL_LIMIT ? parallel : PARALLEL_LIMIT;
    r->options.parallel = options->cursor ? 1 : parallel;
    if (options->budget_bytes == 0) {
        r->options.budget_bytes = BUDGET_BYTES;
    }
    r->cursor = options->after_sequence;
    r->cursor_rows = r->options.page_rows;
    r->end = UINT64_MAX;
    return DL_OK;
}

static void init_locks(dl_feed_reader *r)
{
    pthread_condattr_t attributes;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

dl_status dl_feed_reader_open(const dl_feed_reader_options *options, dl_feed_reader **out_reader,
                              dl_error *err)
{
    dl_feed_reader *r = dl_mem_zalloc(1, sizeof *r);
    if (r == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "change feed: out of memory");
    }
    init_locks(r);
    dl_status status = fill_options(r, options, err);
    while (status == DL_OK && r->thread_count < r->options.parallel) {
        int code = pthread_create(&r->threads[r->thread_count], NULL, fetch_pages, r);
        if (code == 0) {
            r->thread_count++;
        } else if (r->thread_count == 0) {
            status = dl_error_errno(err, code, "change feed: cannot start a thread");
        } else {
            break; /* fewer do as well */
        }
    }
    if (status != DL_OK) {
        dl_feed_reader_close(r);
        return status;
    }
    *out_reader = r;
    return DL_OK;
}

void dl_feed_reader_close(dl_feed_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    dl_cancel_ask(&reader->cancel);
    (void)pthread_mutex_lock(&reader->lock);
    reader->stop = true;
    (void)pthread_cond_broadcast(&reader->changed);
    (void)pthread_mutex_unlock(&reader->lock);
    for (unsigned i = 0; i < reader->thread_count; i++) {
        (void)pthread_join(reader->threads[i], NULL);
    }
    for (size_t i = 0; i < RING; i++) {
        dl_feed_page_destroy(reader->ring[i].page);
    }
    (void)pthread_cond_destroy(&reader->changed);
    (void)pthread_mutex_destroy(&reader->lock);
    dl_mem_free(reader);
}
