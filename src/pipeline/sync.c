/* From a source to the tables: which changes, in what batches, and how far that takes the
 * watermark. */
#include "pipeline/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A feed whose order is not that of its commits (Microsoft's) is read this far back again: rows may
 * come to light behind a reader (docs/contract.md 9.7). What was applied before is not applied
 * again. */
#define OVERLAP_US ((int64_t)15 * 60 * 1000000)
enum {
    FIRST_HALVINGS = 3,       /* 12, 24, 48, 96 MiB */
    READ_TRIES = 5,           /* of a window that changes while it is read */
    FOLLOW_INTERVAL_MS = 300, /* where nothing else is asked for: about three commits a second */
    FOLLOW_WAIT_MS = 250,     /* asking for news */
    FOLLOW_DOWN_MS = 2000,    /* the source is down */
    FOLLOW_POLL_MS = 5000,    /* windows instead of a cursor */
    FOLLOW_COMPACT_BYTES = 32 * 1024 * 1024,
};

typedef struct run {
    dl_pipeline *p;
    dl_feed_source *source;
    dl_feed_info info;
    dl_fold fold;
    bool contiguous;   /* goes on where the watermark is */
    int64_t sequence;  /* greatest so far */
    int64_t time_us;   /* of the last change so far; INT64_MIN: none */
    int64_t latest_us; /* of the newest change of the feed, when last asked; INT64_MIN: none */
    int64_t newest;    /* its sequence; 0: none */
    bool looked;       /* the feed was asked for its newest change */
    int64_t requests_before, retries_before, bytes_before; /* of the source */
    unsigned halvings; /* of the size of a batch: the first are small, so that writing begins while
                          pages come */
} run;

static int64_t now_us(const dl_pipeline *p)
{
    return dl_clock_now_us(&p->options.clock);
}

/* ---- where we are ---- */

static dl_status note_source(dl_pipeline *p, const dl_feed_info *info, dl_error *err)
{
    if (p->source > 0 && dl_str_eq(p->source_id, info->id)) {
        return DL_OK;
    }
    DL_TRY(dl_arena_copy(p->arena, info->id, &p->source_id, err));
    p->ordered = info->open_windows;
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = dl_state_source(p->state, p->source_id, &p->source, err);
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    return status;
}

static bool has_windows(const dl_pipeline *p)
{
    char prefix[320];
    (void)snprintf(prefix, sizeof prefix,
                   "dicomlake:%.*s:instance:window:", DL_STR_ARG(p->source_id));
    dl_delta_app app;
    for (size_t i = 0; dl_delta_app_at(p->tables[DL_STATE_INSTANCE].table, i, &app); i++) {
        if (dl_str_starts(app.app_id, dl_str_of(prefix))) {
            return true;
        }
    }
    return false;
}

static dl_status read_watermark(dl_pipeline *p, dl_error *err)
{
    p->watermark = INT64_MAX;
    p->watermark_us = INT64_MAX;
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        int64_t sequence = 0;
        int64_t time_us = 0;
        DL_TRY(dl_pipeline_table_watermark(p, &p->tables[i], &sequence, &time_us, err));
        p->watermark = sequence < p->watermark ? sequence : p->watermark;
        p->watermark_us = time_us < p->watermark_us ? time_us : p->watermark_us;
    }
    p->watermark = p->watermark < 0 ? 0 : p->watermark;
    p->watermark_us = p->watermark_us < 0 ? INT64_MIN : p->watermark_us;
    p->has_ahead = has_windows(p);
    (void)pthread_mutex_lock(&p->lock);
    p->counts.watermark = p->watermark;
    p->counts.watermark_time_us = p->watermark_us == INT64_MIN ? 0 : p->watermark_us;
    (void)pthread_mutex_unlock(&p->lock);
    return DL_OK;
}

/* Open everything, follow what happened since, and finish what a crash left undone. */
static dl_status prepare(run *r, dl_error *err)
{
    dl_pipeline *p = r->p;
    p->under_way = false;
    DL_TRY(r->source->ops->info(r->source, &r->info, err));
    DL_TRY(dl_pipeline_tables_open(p, true, err));
    DL_TRY(note_source(p, &r->info, err));
    DL_TRY(read_watermark(p, err));
    DL_TRY(dl_pipeline_catch_up(p, err));
    DL_TRY(read_watermark(p, err)); /* of what they are now */
    p->under_way = true;
    p->window_app[0] = '\0';
    return dl_pipeline_heal(p, err);
}

/* ---- batches ---- */

/* The time that all changes before it are in the tables, after a batch that ended at `time_us`. It
 * is always that of a change that was seen: the source's clock counts, not ours. */
static int64_t safe_time(const run *r, int64_t time_us)
{
    int64_t limit = r->info.open_windows ? INT64_MAX : now_us(r->p) - OVERLAP_US;
    return time_us < limit ? time_us : limit;
}

/* What the source was asked since the run began. */
static void count_source(run *r)
{
    dl_pipeline *p = r->p;
    (void)pthread_mutex_lock(&p->lock);
    p->counts.requests = atomic_load(&r->source->requests) - r->requests_before;
    p->counts.retries = atomic_load(&r->source->retries) - r->retries_before;
    p->counts.feed_bytes = atomic_load(&r->source->bytes) - r->bytes_before;
    (void)pthread_mutex_unlock(&p->lock);
}

static dl_status apply_batch(run *r, dl_error *err)
{
    dl_pipeline *p = r->p;
    if (r->fold.entry_count == 0) {
        return DL_OK;
    }
    int64_t begin = dl_clock_monotonic_us();
    DL_TRY(dl_fold_sort(&r->fold, err));
    dl_pipeline_count(p, &p->counts.fold_us, dl_clock_monotonic_us() - begin);
    r->sequence = r->fold.max_sequence > r->sequence ? r->fold.max_sequence : r->sequence;
    r->time_us = r->fold.max_time_us > r->time_us ? r->fold.max_time_us : r->time_us;
    int64_t changes = (int64_t)r->fold.entry_count;
    r->fold.max_time_us = safe_time(r, r->fold.max_time_us);
    DL_TRY(dl_pipeline_apply(p, &r->fold, err));
    dl_fold_clear(&r->fold);
    r->halvings -= r->halvings > 0;
    (void)pthread_mutex_lock(&p->lock);
    p->counts.changes += changes;
    if (r->contiguous) {
        p->counts.watermark = r->sequence > p->counts.watermark ? r->sequence : p->counts.watermark;
    }
    (void)pthread_mutex_unlock(&p->lock);
    count_source(r);
    return DL_OK;
}

static dl_status look_ahead(run *r, dl_error *err);

static dl_status take_page(run *r, dl_feed_page *take_page, dl_error *err)
{
    const dl_pipeline_options *o = &r->p->options;
    dl_pipeline_count(r->p, &r->p->counts.pages, 1);
    if (!r->looked) { /* a window without changes needs no second request */
        dl_status status = look_ahead(r, err);
        if (status != DL_OK) {
            dl_feed_page_destroy(take_page);
            return status;
        }
    }
    DL_TRY(dl_fold_add(&r->fold, take_page, err));
    if (r->fold.entry_count >= o->batch_changes ||
        r->fold.text_bytes >= o->batch_bytes >> r->halvings) {
        return apply_batch(r, err);
    }
    return DL_OK;
}

static dl_status read_all(run *r, dl_feed_reader *reader, dl_error *err)
{
    for (;;) {
        dl_feed_page *page = NULL;
        int64_t begin = dl_clock_monotonic_us();
        dl_status status = dl_feed_reader_next(reader, &page, err);
        dl_pipeline_count(r->p, &r->p->counts.wait_us, dl_clock_monotonic_us() - begin);
        if (status == DL_E_INVALID) { /* the source's fault, not that of who called us */
            if (err != NULL) {
                err->status = DL_E_CORRUPT;
            }
            status = dl_error_within(err, DL_E_CORRUPT, "reading the change feed");
            dl_error_hint(
                err, "what came before is in the tables; have the source mended and run again");
        }
        DL_TRY(status);
        if (page == NULL) {
            return apply_batch(r, err);
        }
        DL_TRY(take_page(r, page, err));
    }
}

static dl_status read_changes(run *r, const dl_feed_reader_options *options, dl_error *err)
{
    dl_error local = {0};
    err = err == NULL ? &local : err;
    for (int tries = 1;; tries++) {
        dl_feed_reader *reader = NULL;
        r->p->tables[DL_STATE_INSTANCE].rival = false;
        DL_TRY(dl_feed_reader_open(options, &reader, err));
        dl_status status = read_all(r, reader, err);
        dl_feed_reader_close(reader);
        if (status != DL_E_CONFLICT || tries == READ_TRIES) {
            return status;
        }
        /* Rows shifted while they were paged, or another sync went past them: from the start again;
         * what is in the tables stays as it is. */
        dl_pipeline_note(r->p, "%s; reading again", err->message);
        dl_error_clear(err);
        dl_fold_clear(&r->fold);
    }
}

/* ---- the watermark after a run ---- */

/* `out_end_us`: windows that went ahead reach so far from here without a gap. */
static dl_status record_windows(run *r, int64_t start_us, int64_t end_us, int64_t *out_end_us,
                                dl_error *err)
{
    dl_pipeline *p = r->p;
    DL_TRY(dl_state_begin(p->state, err));
    dl_status status = DL_OK;
    int64_t own_us = end_us > r->time_us ? end_us : r->time_us;
    *out_end_us = own_us;
    if (!r->contiguous) {
        status = dl_state_window_add(p->state, p->source, start_us, end_us, r->sequence, err);
    } else {
        int64_t last = r->sequence;
        status = dl_state_window_absorb(p->state, p->source, out_end_us, &last, err);
        if (status == DL_OK) {
            status = dl_state_ahead_prune(p->state, p->source, r->sequence, err);
        }
    }
    status = status == DL_OK ? dl_state_commit(p->state, err) : status;
    if (status != DL_OK) {
        dl_state_rollback(p->state);
    }
    if (*out_end_us == own_us) {
        *out_end_us = INT64_MIN; /* none went ahead */
    }
    return status;
}

/* All tables say the same at the end, also those in which nothing changed. */
static dl_status finish(run *r, int64_t start_us, int64_t end_us, int64_t *out_end_us,
                        dl_error *err)
{
    dl_pipeline *p = r->p;
    DL_TRY(record_windows(r, start_us, end_us, out_end_us, err));
    if (r->sequence > 0) {
        DL_TRY(dl_pipeline_mark(p, r->sequence, safe_time(r, r->time_us), err));
    }
    return read_watermark(p, err);
}

/* ---- windows ---- */

static bool is_default_window(const dl_pipeline_parameters *parameters)
{
    dl_pipeline_parameters initial = dl_pipeline_parameters_default();
    return parameters->start_us == initial.start_us && parameters->end_us == initial.end_us;
}

/* Does the window go on where the watermark is, that is: is there no change between the two? One
 * page from the watermark to the window's end tells, and also whether anything is in the window. */
static dl_status look_into(run *r, int64_t start_us, int64_t end_us, bool *out_empty, dl_error *err)
{
    dl_pipeline *p = r->p;
    dl_pipeline_parameters initial = dl_pipeline_parameters_default();
    int64_t from = p->watermark_us == INT64_MIN ? initial.start_us : p->watermark_us;
    bool known_ahead = p->ahead_end_us == start_us && p->ahead_after == p->watermark;
    r->contiguous = start_us <= from;
    *out_empty = false;
    if (r->contiguous || known_ahead) {
        return DL_OK;
    }
    dl_feed_page *page = NULL;
    DL_TRY(r->source->ops->window(r->source, from, end_us, 0, r->info.page_limit, p->options.cancel,
                                  &page, err));
    bool full = page->entry_count >= r->info.page_limit;
    bool news = false; /* changes before the window that are not in the tables */
    size_t before = 0;
    for (size_t i = 0; i < page->entry_count; i++) {
        if (page->entries[i].timestamp_us < start_us) {
            before++;
            news |= page->entries[i].sequence > p->watermark;
        }
    }
    r->contiguous = !news && (before < page->entry_count || !full);
    *out_empty = before == page->entry_count && !full;
    dl_feed_page_destroy(page);
    return DL_OK;
}

static void name_window(dl_pipeline *p, int64_t start_us, int64_t end_us)
{
    char start[DL_CLOCK_TEXT_SIZE];
    char end[DL_CLOCK_TEXT_SIZE];
    dl_clock_format_utc(start_us, start);
    dl_clock_format_utc(end_us, end);
    (void)snprintf(p->window_app, sizeof p->window_app, ":window:%s/%s", start, end);
}

static dl_feed_reader_options reader_options(const run *r)
{
    const dl_pipeline_options *o = &r->p->options;
    bool given = o->parameters.batch_size != dl_pipeline_parameters_default().batch_size;
    return (dl_feed_reader_options){.source = r->source,
                                    .page_rows = given ? o->parameters.batch_size
                                                       : 0, /* 0: what the source allows */
                                    .cancel = o->cancel};
}

static dl_status read_window(run *r, int64_t start_us, int64_t end_us, int64_t *out_end_us,
                             dl_error *err)
{
    dl_pipeline *p = r->p;
    bool is_empty = false;
    DL_TRY(look_into(r, start_us, end_us, &is_empty, err));
    if (!r->contiguous) {
        name_window(p, start_us, end_us);
    }
    p->onward = r->contiguous && start_us >= p->watermark_us;
    r->sequence = r->contiguous ? p->watermark : 0;
    r->time_us = r->contiguous ? p->watermark_us : INT64_MIN;
    dl_feed_reader_options options = reader_options(r);
    options.start_us = start_us;
    options.end_us = end_us;
    if (!is_empty) {
        DL_TRY(read_changes(r, &options, err));
    }
    DL_TRY(finish(r, start_us, end_us, out_end_us, err));
    p->window_app[0] = '\0';
    p->ahead_end_us = r->contiguous ? INT64_MIN : end_us;
    p->ahead_after = p->watermark;
    return DL_OK;
}

/* Where the window closes the gap before windows that went ahead, those are read once more, now in
 * order: their rows are there, but when an instance came into being is only known now. */
static dl_status sync_window(run *r, int64_t start_us, int64_t end_us, dl_error *err)
{
    int64_t reached_us = INT64_MIN;
    DL_TRY(read_window(r, start_us, end_us, &reached_us, err));
    while (r->contiguous && r->p->watermark_us != INT64_MIN && reached_us > r->p->watermark_us) {
        int64_t from_us = r->p->watermark_us;
        DL_TRY(read_window(r, from_us, reached_us, &reached_us, err));
        if (r->p->watermark_us <= from_us) {
            break;
        }
    }
    return DL_OK;
}

static dl_status sync_cursor(run *r, dl_error *err)
{
    dl_pipeline *p = r->p;
    r->contiguous = true;
    r->sequence = p->watermark;
    r->time_us = p->watermark_us;
    dl_feed_reader_options options = reader_options(r);
    options.cursor = true;
    options.after_sequence = p->watermark;
    if (r->newest != p->watermark) {
        DL_TRY(read_changes(r, &options, err));
    }
    int64_t reached_us = 0;
    return finish(r, 0, r->time_us, &reached_us, err);
}

/* Everything new. */
static dl_status sync_new(run *r, dl_error *err)
{
    if (r->info.has_cursor) {
        return sync_cursor(r, err);
    }
    dl_pipeline_parameters initial = dl_pipeline_parameters_default();
    int64_t from = r->p->watermark_us == INT64_MIN ? initial.start_us : r->p->watermark_us;
    /* The end lies in the past, so that the window is closed while it is paged; where our clock is
     * behind the source's, its newest change says how far the past goes. */
    int64_t end = now_us(r->p) > r->latest_us ? now_us(r->p) : r->latest_us + 1;
    return from < end ? sync_window(r, from, end, err) : DL_OK;
}

static dl_status look_ahead(run *r, dl_error *err)
{
    dl_pipeline *p = r->p;
    int64_t sequence = 0;
    int64_t time_us = 0;
    dl_error local = {0};
    dl_status status =
        r->source->ops->latest(r->source, &sequence, &time_us, p->options.cancel, &local);
    if (status != DL_OK && status != DL_E_NOT_FOUND) {
        if (err != NULL) {
            *err = local;
        }
        return status;
    }
    sequence = status == DL_OK ? sequence : 0;
    r->looked = true;
    r->newest = sequence;
    r->latest_us = status == DL_OK ? time_us : INT64_MIN;
    if (r->info.open_windows && sequence < p->watermark) { /* new changes would pass for old ones */
        (void)dl_error_set(err, DL_E_CORRUPT,
                           "the change feed ends at sequence %" PRId64
                           ", the tables are at %" PRId64 ": it was set back",
                           sequence, p->watermark);
        dl_error_hint(err,
                      "after an older index was restored, sync --rebuild makes the tables anew");
        return DL_E_CORRUPT;
    }
    (void)pthread_mutex_lock(&p->lock);
    p->counts.newest = sequence;
    (void)pthread_mutex_unlock(&p->lock);
    return DL_OK;
}

static dl_status maintain(dl_pipeline *p, int64_t budget_bytes, dl_error *err)
{
    if (p->options.no_maintenance) {
        return DL_OK;
    }
    int64_t begin = dl_clock_monotonic_us();
    dl_status status = dl_pipeline_compact(p, budget_bytes, err);
    if (status == DL_OK) {
        status = dl_pipeline_vacuum_daily(p, err);
    }
    dl_pipeline_count(p, &p->counts.maintain_us, dl_clock_monotonic_us() - begin);
    return status;
}

static dl_status sync_once(run *r, dl_error *err)
{
    const dl_pipeline_parameters *parameters = &r->p->options.parameters;
    DL_TRY(prepare(r, err));
    int64_t written = 0;
    if (is_default_window(parameters)) {
        DL_TRY(look_ahead(r, err));
        DL_TRY(sync_new(r, err));
    } else {
        DL_TRY(sync_window(r, parameters->start_us, parameters->end_us, err));
    }
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        written += r->p->counts.tables[i].data_bytes;
    }
    /* Bounded by what the run itself has written, so that its cost stays that of its changes. */
    return maintain(r->p, written + FOLLOW_COMPACT_BYTES, err);
}

/* What the tables are at the end, whoever brought them there. */
static void count_tables(dl_pipeline *p)
{
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < DL_PIPELINE_TABLES; i++) {
        const dl_delta_table *table = p->tables[i].table;
        p->counts.tables[i].version = table == NULL ? -1 : dl_delta_version(table);
        p->counts.tables[i].row_count = table == NULL ? 0 : dl_delta_totals_of(table).row_count;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

dl_status dl_pipeline_sync(dl_pipeline *p, dl_feed_source *source, dl_pipeline_counts *out_counts,
                           dl_error *err)
{
    run r = {.p = p,
             .source = source,
             .time_us = INT64_MIN,
             .requests_before = atomic_load(&source->requests),
             .retries_before = atomic_load(&source->retries),
             .bytes_before = atomic_load(&source->bytes),
             .halvings = FIRST_HALVINGS};
    (void)pthread_mutex_lock(&p->lock);
    p->counts = (dl_pipeline_counts){0};
    (void)pthread_mutex_unlock(&p->lock);
    dl_status status = sync_once(&r, err);
    dl_fold_clear(&r.fold);
    count_source(&r);
    count_tables(p);
    dl_pipeline_counts_now(p, out_counts);
    return status;
}

/* ---- following ---- */

static void pause_ms(const dl_pipeline *p, int64_t ms)
{
    for (; ms > 0 && !dl_cancel_asked(p->options.cancel); ms -= 50) {
        struct timespec step = {.tv_nsec = (ms < 50 ? ms : 50) * 1000000L};
        (void)nanosleep(&step, NULL);
    }
}

/* One turn with a cursor: what there is, without threads of its own. */
static dl_status follow_cursor(run *r, dl_error *err)
{
    dl_pipeline *p = r->p;
    r->contiguous = true;
    size_t limit = r->info.cursor_limit > 0 ? r->info.cursor_limit : r->info.page_limit;
    for (bool more = true; more;) {
        dl_feed_page *page = NULL;
        int64_t after = r->fold.entry_count > 0 ? r->fold.max_sequence : r->sequence;
        DL_TRY(r->source->ops->after(r->source, after, limit, p->options.cancel, &page, err));
        more = page->entry_count == limit || page->more;
        DL_TRY(take_page(r, page, err));
    }
    return apply_batch(r, err);
}

static dl_status follow_turn(run *r, dl_error *err)
{
    int64_t before = r->p->counts.changes;
    if (!r->info.has_cursor) {
        DL_TRY(look_ahead(r, err));
        DL_TRY(sync_new(r, err));
    } else {
        DL_TRY(follow_cursor(r, err));
        if (r->p->counts.changes == before &&
            r->sequence > 0) { /* quiet: all tables say the same */
            DL_TRY(dl_pipeline_mark(r->p, r->sequence, safe_time(r, r->time_us), err));
        }
    }
    return maintain(r->p, FOLLOW_COMPACT_BYTES, err);
}

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void await_news(run *r, int64_t began_us)
{
    dl_pipeline *p = r->p;
    int64_t asked_ms = (int64_t)p->options.follow_interval_s * 1000;
    int64_t since_ms = (dl_clock_monotonic_us() - began_us) / 1000;
    if (!r->info.has_cursor) {
        pause_ms(p, longer(FOLLOW_POLL_MS, asked_ms - since_ms));
        return;
    }
    pause_ms(p, longer(FOLLOW_INTERVAL_MS, asked_ms) - since_ms);
    if (r->source->ops->wait != NULL) {
        r->source->ops->wait(r->source, r->sequence, FOLLOW_WAIT_MS, p->options.cancel);
    }
}

static dl_status follow(run *r, dl_error *err)
{
    dl_pipeline *p = r->p;
    bool ready = false;
    for (;;) {
        int64_t began_us = dl_clock_monotonic_us();
        dl_status status = DL_OK;
        if (!ready) {
            status = prepare(r, err);
            status = status == DL_OK ? look_ahead(r, err) : status;
            r->sequence = p->watermark;
            r->time_us = p->watermark_us;
            ready = status == DL_OK;
        }
        status = status == DL_OK ? follow_turn(r, err) : status;
        if (dl_cancel_asked(p->options.cancel)) {
            dl_error_clear(err);
            return DL_OK;
        }
        if (status == DL_E_UNAVAILABLE && !p->options.follow_ends) {
            dl_pipeline_note(p, "the source does not answer: %s; asking again",
                             err == NULL ? "" : err->message);
            dl_error_clear(err);
            dl_fold_clear(&r->fold);
            pause_ms(p, FOLLOW_DOWN_MS);
            ready = false;
            continue;
        }
        DL_TRY(status);
        await_news(r, began_us);
    }
}

dl_status dl_pipeline_follow(dl_pipeline *p, dl_feed_source *source, dl_pipeline_counts *out_counts,
                             dl_error *err)
{
    dl_error local = {0};
    run r = {.p = p, .source = source, .time_us = INT64_MIN};
    (void)pthread_mutex_lock(&p->lock);
    p->counts = (dl_pipeline_counts){0}; /* a sync before this one has its own */
    (void)pthread_mutex_unlock(&p->lock);
    dl_status status = follow(&r, err == NULL ? &local : err);
    dl_fold_clear(&r.fold);
    dl_pipeline_counts_now(p, out_counts);
    return status;
}
