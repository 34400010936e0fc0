/* The change feed: pages by time, by sequence (v1) and by cursor (contract section 9 and 25.2 X1).
 */
#include "service/internal.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_ARENA_BYTES ((size_t)64 << 20)
enum { PAGE_BATCH_BYTES = 256 * 1024, CURSOR_LIMIT = 10000, PAGE_LIMIT = 200, V1_LIMIT = 100 };

/* A page is fixed in one snapshot as text without metadata; the metadata of each row is fetched
 * while the page is sent, by its version, which never changes. */
typedef struct row {
    dl_str text;                /* the object without its closing brace */
    int64_t metadata_watermark; /* 0: none */
} row;

typedef struct page {
    dl_service *service;
    dl_arena *arena;
    row *rows;
    size_t count, room, next;
    int64_t last_sequence;
    bool metadata;
    bool single; /* one object, not an array */
} page;

static void destroy_page(void *context)
{
    page *p = context;
    if (p != NULL) {
        dl_arena_destroy(p->arena);
        dl_mem_free(p->rows);
        dl_mem_free(p);
    }
}

static page *create_page(dl_service *service)
{
    page *p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL || (p->arena = dl_arena_create(PAGE_ARENA_BYTES)) == NULL) {
        destroy_page(p);
        return NULL;
    }
    p->service = service;
    return p;
}

static const char *action_name(dl_index_action action)
{
    switch (action) {
    case DL_INDEX_CREATE:
        return "Create";
    case DL_INDEX_UPDATE:
        return "Update";
    case DL_INDEX_REMOVE:
        return "Delete";
    }
    return "";
}

static const char *state_name(const dl_index_change *change)
{
    if (change->current_watermark == 0) {
        return "Deleted";
    }
    bool current =
        change->current_watermark == change->watermark && change->action != DL_INDEX_REMOVE;
    return current ? "Current" : "Replaced";
}

static dl_status format_row(const page *p, const dl_index_change *c, dl_str *out, dl_error *err)
{
    char time[DL_CLOCK_TEXT_SIZE];
    char path[DL_SERVICE_KEY_SIZE + 16] = "";
    dl_clock_format_feed(c->timestamp_us, time);
    if (c->action != DL_INDEX_REMOVE) {
        char key[DL_SERVICE_KEY_SIZE];
        dl_service_key(&p->service->settings, c->partition_name, c->watermark, key);
        (void)snprintf(path, sizeof path, "\"filePath\":\"%s\",", key);
    }
    return dl_arena_printf(p->arena, out, err,
                           "{\"sequence\":%" PRId64 ",\"partitionName\":\"%.*s\",%s"
                           "\"studyInstanceUid\":\"%.*s\",\"seriesInstanceUid\":\"%.*s\","
                           "\"sopInstanceUid\":\"%.*s\",\"action\":\"%s\",\"timestamp\":\"%s\","
                           "\"state\":\"%s\"",
                           c->sequence, DL_STR_ARG(c->partition_name), path,
                           DL_STR_ARG(c->study_uid), DL_STR_ARG(c->series_uid),
                           DL_STR_ARG(c->sop_uid), action_name(c->action), time, state_name(c));
}

static dl_status add_row(void *context, const dl_index_change *change, dl_error *err)
{
    page *p = context;
    if (p->count == p->room) {
        size_t room = p->room == 0 ? 64 : p->room * 2;
        row *grown = dl_mem_resize(p->rows, room, sizeof *grown);
        if (grown == NULL) {
            return dl_error_set(err, DL_E_NOMEM, "no memory for a page of the change feed");
        }
        p->rows = grown;
        p->room = room;
    }
    row *one = &p->rows[p->count];
    DL_TRY(format_row(p, change, &one->text, err));
    one->metadata_watermark = p->metadata ? change->current_watermark : 0;
    p->last_sequence = change->sequence;
    p->count++;
    return DL_OK;
}

static dl_status append_row(const page *p, dl_index_snapshot *snapshot, const row *one, dl_buf *out,
                            dl_error *err)
{
    (void)p;
    DL_TRY(dl_buf_append_str(out, one->text, err));
    if (one->metadata_watermark != 0) {
        size_t before = out->len;
        DL_TRY(dl_buf_append_str(out, DL_STR(",\"metadata\":"), err));
        dl_status status = dl_index_metadata(snapshot, one->metadata_watermark, out, err);
        if (status == DL_E_NOT_FOUND) { /* deleted and swept since the page was fixed */
            out->len = before;
            dl_error_clear(err);
            status = DL_OK;
        }
        DL_TRY(status);
    }
    return dl_buf_append_char(out, '}', err);
}

static dl_status fill_page(void *context, dl_buf *piece, bool *out_done, dl_error *err)
{
    page *p = context;
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(p->service->index, &snapshot, err));
    dl_status status = DL_OK;
    if (p->next == 0 && !p->single) {
        status = dl_buf_append_char(piece, '[', err);
    }
    while (status == DL_OK && p->next < p->count && piece->len < PAGE_BATCH_BYTES) {
        if (p->next > 0) {
            status = dl_buf_append_char(piece, ',', err);
        }
        if (status == DL_OK) {
            status = append_row(p, snapshot, &p->rows[p->next++], piece, err);
        }
    }
    dl_index_snapshot_end(snapshot);
    DL_TRY(status);
    if (p->next == p->count) {
        *out_done = true;
        return p->single ? DL_OK : dl_buf_append_char(piece, ']', err);
    }
    return DL_OK;
}

static dl_status load_page(dl_service_request *r, const dl_index_change_query *query, page *p,
                           dl_error *err)
{
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(r->service->index, &snapshot, err));
    dl_status status = dl_index_changes(snapshot, query, add_row, p, err);
    dl_index_snapshot_end(snapshot);
    return status;
}

static dl_status send_page(dl_service_request *r, page *take_page, dl_error *err)
{
    dl_pieces pieces = {.fill = fill_page, .destroy = destroy_page, .context = take_page};
    return dl_respond_pieces(r, 200, "application/json; charset=utf-8", UINT64_MAX, &pieces, err);
}

/* ---- parameters ---- */

static dl_status read_time(const dl_service_request *r, const char *name, int64_t initial,
                           int64_t *out_us, dl_error *err)
{
    const dl_url_param *p = dl_request_param(r, name);
    *out_us = initial;
    if (p != NULL && !dl_clock_parse(p->value, out_us)) {
        return dl_error_set(err, DL_E_INVALID,
                            "The query parameter '%s' is invalid. It takes an ISO 8601 date and "
                            "time with a zone, such as 2026-01-05T08:00:00Z.",
                            name);
    }
    return DL_OK;
}

static dl_status read_cursor(const dl_service_request *r, dl_index_change_query *q, dl_error *err)
{
    static const char *const others[] = {"offset", "startTime", "endTime"};
    int64_t limit = 0;
    for (size_t i = 0; i < DL_COUNT_OF(others); i++) {
        if (dl_request_param(r, others[i]) != NULL) {
            return dl_error_set(err, DL_E_INVALID,
                                "The query parameter 'afterSequence' does not go with '%s'.",
                                others[i]);
        }
    }
    DL_TRY(dl_request_int(r, (dl_int_param){"afterSequence", 0, INT64_MAX - 1, 0},
                          &q->after_sequence, err));
    DL_TRY(dl_request_int(r, (dl_int_param){"limit", 1, CURSOR_LIMIT, 100}, &limit, err));
    q->limit = (size_t)limit;
    return DL_OK;
}

static dl_status read_window(const dl_service_request *r, dl_index_change_query *q, dl_error *err)
{
    int64_t limit = 0;
    DL_TRY(dl_request_int(r, (dl_int_param){"offset", 0, INT64_MAX / 2, 0}, &q->offset, err));
    DL_TRY(dl_request_int(r, (dl_int_param){"limit", 1, PAGE_LIMIT, 100}, &limit, err));
    DL_TRY(read_time(r, "startTime", INT64_MIN, &q->start_us, err));
    DL_TRY(read_time(r, "endTime", INT64_MAX, &q->end_us, err));
    if (q->end_us <= q->start_us) {
        return dl_error_set(err, DL_E_INVALID, "endTime must be later than startTime.");
    }
    q->limit = (size_t)limit;
    return DL_OK;
}

/* v1: the rows whose sequence is above `offset` and at most offset + limit. */
static dl_status read_sequences(const dl_service_request *r, dl_index_change_query *q,
                                dl_error *err)
{
    int64_t limit = 0;
    DL_TRY(
        dl_request_int(r, (dl_int_param){"offset", 0, INT64_MAX / 2, 0}, &q->after_sequence, err));
    DL_TRY(dl_request_int(r, (dl_int_param){"limit", 1, V1_LIMIT, 10}, &limit, err));
    q->last_sequence = q->after_sequence + limit;
    q->limit = (size_t)limit;
    return DL_OK;
}

dl_status dl_handle_feed(dl_service_request *r, dl_error *err)
{
    dl_index_change_query q = {.start_us = INT64_MIN, .end_us = INT64_MAX};
    bool metadata = true;
    bool cursor = r->version >= 2 && dl_request_param(r, "afterSequence") != NULL;
    DL_TRY(dl_request_bool(r, "includeMetadata", true, &metadata, err));
    if (cursor) {
        DL_TRY(read_cursor(r, &q, err));
    } else if (r->version >= 2) {
        DL_TRY(read_window(r, &q, err));
    } else {
        DL_TRY(read_sequences(r, &q, err));
    }
    dl_http_add_header(r->x, "dl-feed-id", dl_str_of(r->service->feed_id));
    page *p = create_page(r->service);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a page of the change feed");
    }
    p->metadata = metadata;
    p->last_sequence = q.after_sequence;
    dl_status status = load_page(r, &q, p, err);
    if (status != DL_OK) {
        destroy_page(p);
        return status;
    }
    if (cursor) {
        char next[24];
        (void)snprintf(next, sizeof next, "%" PRId64, p->last_sequence);
        dl_http_add_header(r->x, "dl-next-sequence", dl_str_of(next));
    }
    return send_page(r, p, err);
}

dl_status dl_handle_feed_latest(dl_service_request *r, dl_error *err)
{
    dl_index_change_query q = {
        .start_us = INT64_MIN, .end_us = INT64_MAX, .limit = 1, .newest = true};
    bool metadata = true;
    DL_TRY(dl_request_bool(r, "includeMetadata", true, &metadata, err));
    dl_http_add_header(r->x, "dl-feed-id", dl_str_of(r->service->feed_id));
    page *p = create_page(r->service);
    if (p == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a page of the change feed");
    }
    p->metadata = metadata;
    p->single = true;
    dl_status status = load_page(r, &q, p, err);
    if (status != DL_OK || p->count == 0) {
        destroy_page(p);
        if (status == DL_OK) {
            dl_http_respond(r->x, 204, NULL, DL_STR(""));
        }
        return status;
    }
    return send_page(r, p, err);
}
