/* The change feed of this very process as a dl_feed_source: rows straight from the index. */
#include "service/internal.h"

#include "base/mem.h"
#include "feed/feed.h"

#include <stdio.h>
#include <time.h>

#define PAGE_ARENA_BYTES ((size_t)DL_FEED_PAGE_LIMIT_BYTES)
enum {
    PAGE_ROWS = 2000,
    PAGE_TEXT_BYTES = 16 * 1024 * 1024, /* a page ends early when its rows are large */
    WAIT_STEP_MS = 20,
};

typedef struct own_source {
    dl_feed_source source; /* first: a source is cast back to it */
    dl_service *service;
    char id[DL_SERVICE_FEED_ID_SIZE];
} own_source;

typedef struct collecting {
    const dl_service *service;
    dl_feed_page *page;
    size_t room;
    bool may_cut, full;
} collecting;

static const dl_feed_action actions[] = {
    [DL_INDEX_CREATE] = DL_FEED_CREATE,
    [DL_INDEX_UPDATE] = DL_FEED_UPDATE,
    [DL_INDEX_REMOVE] = DL_FEED_DELETE,
};

static dl_feed_state state_of(const dl_index_change *c)
{
    if (c->current_watermark == 0) {
        return DL_FEED_DELETED;
    }
    return c->current_watermark == c->watermark && c->action != DL_INDEX_REMOVE ? DL_FEED_CURRENT
                                                                                : DL_FEED_REPLACED;
}

static dl_status collect(void *context, const dl_index_change *c, dl_error *err)
{
    collecting *k = context;
    dl_feed_page *page = k->page;
    if (k->full) {
        page->more = true;
        return DL_OK;
    }
    dl_feed_entry *e = &page->entries[page->entry_count];
    *e = (dl_feed_entry){.sequence = c->sequence,
                         .timestamp_us = c->timestamp_us,
                         .action = actions[c->action],
                         .state = state_of(c),
                         .file_path = DL_STR_NONE,
                         .metadata = DL_STR_NONE};
    DL_TRY(dl_arena_copy(page->arena, c->partition_name, &e->partition_name, err));
    DL_TRY(dl_arena_copy(page->arena, c->study_uid, &e->study_uid, err));
    DL_TRY(dl_arena_copy(page->arena, c->series_uid, &e->series_uid, err));
    DL_TRY(dl_arena_copy(page->arena, c->sop_uid, &e->sop_uid, err));
    if (c->action != DL_INDEX_REMOVE) {
        char key[DL_SERVICE_KEY_SIZE];
        dl_service_key(&k->service->settings, c->partition_name, c->watermark, key);
        DL_TRY(dl_arena_copy(page->arena, dl_str_of(key), &e->file_path, err));
    }
    if (c->metadata.ptr != NULL && c->metadata.len > 0) {
        DL_TRY(dl_arena_copy(page->arena, c->metadata, &e->metadata, err));
        page->text_bytes += e->metadata.len;
    }
    page->entry_count++;
    k->full = page->entry_count == k->room || (k->may_cut && page->text_bytes > PAGE_TEXT_BYTES);
    return DL_OK;
}

/* `may_cut`: a page of large rows ends early and says so. */
static dl_status read_page(own_source *s, dl_index_change_query *query, bool may_cut,
                           dl_feed_page **out_page, dl_error *err)
{
    DL_AUTO(dl_feed_page) page = dl_mem_zalloc(1, sizeof *page);
    if (page == NULL || (page->arena = dl_arena_create(PAGE_ARENA_BYTES)) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a page of the change feed");
    }
    query->limit = query->limit > PAGE_ROWS ? PAGE_ROWS : query->limit;
    query->metadata = true;
    page->entries = dl_arena_alloc(page->arena, query->limit + 1, sizeof *page->entries);
    if (page->entries == NULL) {
        return dl_arena_full(page->arena, err);
    }
    collecting k = {.service = s->service, .page = page, .room = query->limit, .may_cut = may_cut};
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(s->service->index, &snapshot, err));
    dl_status status = dl_index_changes(snapshot, query, collect, &k, err);
    dl_index_snapshot_end(snapshot);
    DL_TRY(status);
    atomic_fetch_add(&s->source.requests, 1);
    atomic_fetch_add(&s->source.bytes, (int64_t)page->text_bytes);
    *out_page = DL_STEAL(page);
    return DL_OK;
}

static dl_status source_info(dl_feed_source *source, dl_feed_info *out_info, dl_error *err)
{
    own_source *s = (own_source *)source;
    (void)err;
    *out_info = (dl_feed_info){
        .id = dl_str_of(s->id), .has_cursor = true, .open_windows = true, .page_limit = PAGE_ROWS};
    return DL_OK;
}

static dl_status source_after(dl_feed_source *source, int64_t sequence, size_t limit,
                              dl_cancel *cancel, dl_feed_page **out_page, dl_error *err)
{
    (void)cancel;
    dl_index_change_query query = {
        .after_sequence = sequence, .start_us = INT64_MIN, .end_us = INT64_MAX, .limit = limit};
    return read_page((own_source *)source, &query, true, out_page, err);
}

/* NOLINTNEXTLINE(readability-function-size): the interface's parameters */
static dl_status source_window(dl_feed_source *source, int64_t start_us, int64_t end_us,
                               int64_t offset, size_t limit, dl_cancel *cancel,
                               dl_feed_page **out_page, dl_error *err)
{
    (void)cancel;
    dl_index_change_query query = {
        .start_us = start_us, .end_us = end_us, .offset = offset, .limit = limit};
    return read_page((own_source *)source, &query, false, out_page, err);
}

typedef struct newest {
    int64_t sequence, timestamp_us;
} newest;

static dl_status keep_newest(void *context, const dl_index_change *c, dl_error *err)
{
    (void)err;
    *(newest *)context = (newest){c->sequence, c->timestamp_us};
    return DL_OK;
}

static dl_status source_latest(dl_feed_source *source, int64_t *out_sequence,
                               int64_t *out_timestamp_us, dl_cancel *cancel, dl_error *err)
{
    own_source *s = (own_source *)source;
    (void)cancel;
    dl_index_change_query query = {
        .start_us = INT64_MIN, .end_us = INT64_MAX, .limit = 1, .newest = true};
    newest found = {0};
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(s->service->index, &snapshot, err));
    dl_status status = dl_index_changes(snapshot, &query, keep_newest, &found, err);
    dl_index_snapshot_end(snapshot);
    DL_TRY(status);
    if (found.sequence == 0) {
        return dl_error_set(err, DL_E_NOT_FOUND, "the change feed is empty");
    }
    *out_sequence = found.sequence;
    *out_timestamp_us = found.timestamp_us;
    return DL_OK;
}

static void source_wait(dl_feed_source *source, int64_t sequence, unsigned timeout_ms,
                        dl_cancel *cancel)
{
    for (unsigned waited = 0; waited < timeout_ms && !dl_cancel_asked(cancel);
         waited += WAIT_STEP_MS) {
        int64_t newest_sequence = 0;
        int64_t timestamp_us = 0;
        if (source_latest(source, &newest_sequence, &timestamp_us, cancel, NULL) == DL_OK &&
            newest_sequence > sequence) {
            return;
        }
        struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};
        (void)nanosleep(&step, NULL);
    }
}

static void source_close(dl_feed_source *source)
{
    dl_mem_free(source);
}

static const dl_feed_source_ops own_ops = {.info = source_info,
                                           .latest = source_latest,
                                           .window = source_window,
                                           .after = source_after,
                                           .wait = source_wait,
                                           .close = source_close};

dl_status dl_service_feed_open(dl_service *service, dl_feed_source **out_source, dl_error *err)
{
    own_source *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a source");
    }
    s->source.ops = &own_ops;
    s->service = service;
    (void)snprintf(s->id, sizeof s->id, "%s", service->feed_id);
    *out_source = &s->source;
    return DL_OK;
}
