/* Retrieve: study, series and instance as stored, and their metadata (contract sections 6.1
 * to 6.5). */
#include "service/internal.h"

#include "base/mem.h"
#include "base/random.h"
#include "http/range.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LIST_ARENA_BYTES ((size_t)1 << 30) /* some 300 bytes an instance: three million */

/* ---- the versions that a path names ---- */

typedef struct listing {
    dl_arena *arena;
    dl_index_version *versions;
    size_t count;
    int64_t newest; /* watermark */
} listing;

static void clear_listing(listing *l)
{
    dl_arena_destroy(l->arena);
    *l = (listing){0};
}

static dl_status load_listing(dl_service_request *r, listing *out, dl_error *err)
{
    dl_index_scope scope = dl_request_scope(r);
    listing l = {.arena = dl_arena_create(LIST_ARENA_BYTES)};
    if (l.arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a list of instances");
    }
    dl_index_snapshot *snapshot = NULL;
    dl_status status = dl_index_snapshot_begin(r->service->index, &snapshot, err);
    if (status == DL_OK) {
        status = dl_index_versions(snapshot, &scope, l.arena, &l.versions, &l.count, err);
    }
    dl_index_snapshot_end(snapshot);
    if (status != DL_OK) {
        clear_listing(&l);
        return status;
    }
    for (size_t i = 0; i < l.count; i++) {
        if (l.versions[i].watermark > l.newest) {
            l.newest = l.versions[i].watermark;
        }
    }
    *out = l;
    return DL_OK;
}

static dl_edition edition_of(const listing *l)
{
    return (dl_edition){.newest = l->newest, .count = l->count};
}

bool dl_edition_is_old(dl_service_request *r, dl_status status, const dl_edition *edition)
{
    listing now = {0};
    if (status != DL_E_CORRUPT || load_listing(r, &now, NULL) != DL_OK) {
        return false;
    }
    bool old = now.newest != edition->newest || now.count != edition->count;
    clear_listing(&now);
    return old;
}

dl_status dl_refuse_missing(dl_service_request *r)
{
    const char *what = r->sop.len > 0 ? "instance" : r->series.len > 0 ? "series" : "study";
    return dl_refuse(r, 404, "The %s does not exist.", what);
}

/* ---- ETags (contract 6.5) ---- */

static void format_etag(const dl_service_request *r, const listing *l, char *out, size_t size)
{
    const char *quote = r->service->settings.quoted_etag ? "\"" : "";
    if (r->sop.len > 0) {
        (void)snprintf(out, size, "%s%" PRId64 "%s", quote, l->newest, quote);
    } else {
        (void)snprintf(out, size, "%s%" PRId64 "-%zu%s", quote, l->newest, l->count, quote);
    }
}

dl_status dl_check_conditions(dl_service_request *r, bool *out_fail, dl_error *err)
{
    dl_str match = dl_http_header(r->x, "If-Match");
    dl_str none_match = dl_http_header(r->x, "If-None-Match");
    *out_fail = false;
    if (match.ptr == NULL && none_match.ptr == NULL) {
        return DL_OK;
    }
    listing list = {0};
    DL_TRY(load_listing(r, &list, err));
    char etag[64];
    format_etag(r, &list, etag, sizeof etag);
    *out_fail = list.count > 0 && (!dl_http_if_match(match, dl_str_of(etag)) ||
                                   dl_http_etag_matches(none_match, dl_str_of(etag)));
    clear_listing(&list);
    return DL_OK;
}

/* ---- metadata ---- */

typedef struct metadata_stream {
    dl_service *service;
    listing list;
    size_t next;
    bool open;
} metadata_stream;

enum { METADATA_BATCH_BYTES = 256 * 1024 };

static dl_status fill_metadata(void *context, dl_buf *piece, bool *out_done, dl_error *err)
{
    metadata_stream *m = context;
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(m->service->index, &snapshot, err));
    dl_status status = DL_OK;
    while (status == DL_OK && m->next < m->list.count && piece->len < METADATA_BATCH_BYTES) {
        status = dl_buf_append_char(piece, m->open ? ',' : '[', err);
        if (status == DL_OK) {
            status = dl_index_metadata(snapshot, m->list.versions[m->next].watermark, piece, err);
        }
        m->open = true;
        m->next++;
    }
    dl_index_snapshot_end(snapshot);
    DL_TRY(status);
    if (m->next == m->list.count) {
        DL_TRY(dl_buf_append_char(piece, ']', err));
        *out_done = true;
    }
    return DL_OK;
}

static void destroy_metadata(void *context)
{
    metadata_stream *m = context;
    clear_listing(&m->list);
    dl_mem_free(m);
}

/* The header that asks for the version before a bulk update; without updates every version is the
 * first. */
static dl_status check_original(dl_service_request *r, dl_error *err)
{
    dl_str value = dl_http_header(r->x, "msdicom-request-original");
    if (value.ptr == NULL || dl_str_eq_nocase(value, DL_STR("true")) ||
        dl_str_eq_nocase(value, DL_STR("false"))) {
        return DL_OK;
    }
    return dl_error_set(err, DL_E_INVALID, "msdicom-request-original takes true or false.");
}

dl_status dl_handle_metadata(dl_service_request *r, dl_error *err)
{
    DL_TRY(dl_request_check_uids(r, err));
    DL_TRY(check_original(r, err));
    listing list = {0};
    DL_TRY(load_listing(r, &list, err));
    if (list.count == 0) {
        clear_listing(&list);
        return dl_refuse_missing(r);
    }
    char etag[64];
    format_etag(r, &list, etag, sizeof etag);
    if (dl_http_etag_matches(dl_http_header(r->x, "If-None-Match"), dl_str_of(etag))) {
        clear_listing(&list);
        dl_http_respond(r->x, 304, NULL, DL_STR(""));
        return DL_OK;
    }
    metadata_stream *m = dl_mem_zalloc(1, sizeof *m);
    if (m == NULL) {
        clear_listing(&list);
        return dl_error_set(err, DL_E_NOMEM, "no memory for an answer");
    }
    m->service = r->service;
    m->list = list;
    dl_http_add_header(r->x, "ETag", dl_str_of(etag));
    dl_pieces pieces = {.fill = fill_metadata, .destroy = destroy_metadata, .context = m};
    return dl_respond_pieces(r, 200, "application/dicom+json; charset=utf-8", UINT64_MAX, &pieces,
                             err);
}

/* ---- objects ---- */

dl_status dl_open_version(dl_service *service, dl_str partition_name,
                          const dl_index_version *version, dl_store_object **out_object,
                          dl_error *err)
{
    char key[DL_SERVICE_KEY_SIZE];
    dl_service_key(&service->settings, partition_name, version->watermark, key);
    dl_store_stat expect = {.size_bytes = version->size_bytes, .tag = version->tag};
    return dl_store_open_object(service->store, dl_str_of(key), &expect, out_object, err);
}

static dl_status send_single(dl_service_request *r, const listing *l, dl_error *err)
{
    const dl_index_version *v = &l->versions[0];
    dl_store_object *object = NULL;
    char etag[64];
    format_etag(r, l, etag, sizeof etag);
    if (!dl_http_if_match(dl_http_header(r->x, "If-Match"), dl_str_of(etag))) {
        return dl_refuse(r, 412, "It has changed: its ETag is none of those in If-Match.");
    }
    if (dl_http_etag_matches(dl_http_header(r->x, "If-None-Match"), dl_str_of(etag))) {
        dl_http_add_header(r->x, "ETag", dl_str_of(etag));
        dl_http_respond(r->x, 304, NULL, DL_STR(""));
        return DL_OK;
    }
    dl_status status = dl_open_version(r->service, r->partition_name, v, &object, err);
    DL_TRY(status);
    int fd = fcntl(dl_store_object_fd(object), F_DUPFD_CLOEXEC, 0);
    uint64_t size = dl_store_object_size(object);
    dl_store_object_close(object);
    if (fd < 0) {
        return dl_error_set(err, DL_E_UNAVAILABLE, "no file descriptor for an answer");
    }
    char type[128];
    char text[96];
    uint64_t first = 0;
    uint64_t last = size - 1;
    (void)snprintf(type, sizeof type, "application/dicom; transfer-syntax=%.*s",
                   DL_STR_ARG(v->transfer_syntax));
    dl_str range = dl_http_header(r->x, "Range");
    if (dl_http_is_head(r->x) ||
        !dl_http_if_range(dl_http_header(r->x, "If-Range"), dl_str_of(etag))) {
        range = DL_STR_NONE;
    }
    dl_http_range kind = dl_http_range_parse(range, size, &first, &last);
    dl_http_add_header(r->x, "ETag", dl_str_of(etag));
    dl_http_add_header(r->x, "Accept-Ranges", DL_STR("bytes"));
    if (kind == DL_HTTP_RANGE_OUTSIDE) {
        (void)close(fd);
        (void)snprintf(text, sizeof text, "bytes */%" PRIu64, size);
        dl_http_add_header(r->x, "Content-Range", dl_str_of(text));
        return dl_refuse(r, 416, "The instance has %" PRIu64 " bytes.", size);
    }
    if (kind == DL_HTTP_RANGE_OK) {
        (void)snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, first, last,
                       size);
        dl_http_add_header(r->x, "Content-Range", dl_str_of(text));
    }
    dl_http_respond_file(r->x, kind == DL_HTTP_RANGE_OK ? 206 : 200, type, fd, first,
                         last - first + 1);
    return DL_OK;
}

/* ---- multipart ---- */

typedef struct parts_stream {
    dl_service *service;
    listing list;
    dl_str partition_name, base;
    char boundary[33];
    size_t next;             /* the part that comes next; behind the last one: the end */
    dl_store_object *object; /* of the part being sent */
    dl_buf head;             /* of the part being sent */
} parts_stream;

static dl_status format_part_head(const parts_stream *p, size_t i, dl_buf *out, dl_error *err)
{
    const dl_index_version *v = &p->list.versions[i];
    return dl_buf_printf(out, err,
                         "%s--%s\r\nContent-Type: application/dicom; transfer-syntax=%.*s\r\n"
                         "Content-Location: %.*s/studies/%.*s/series/%.*s/instances/%.*s\r\n\r\n",
                         i == 0 ? "" : "\r\n", p->boundary, DL_STR_ARG(v->transfer_syntax),
                         DL_STR_ARG(p->base), DL_STR_ARG(v->study_uid), DL_STR_ARG(v->series_uid),
                         DL_STR_ARG(v->sop_uid));
}

static dl_status format_end(const parts_stream *p, dl_buf *out, dl_error *err)
{
    return dl_buf_printf(out, err, "\r\n--%s--\r\n", p->boundary);
}

/* The next object with its head, then the end, then nothing. */
static dl_status next_part(void *context, dl_http_part *out_part, dl_error *err)
{
    parts_stream *p = context;
    dl_store_object_close(DL_STEAL(p->object));
    dl_buf_reset(&p->head);
    size_t i = p->next++;
    if (i > p->list.count) {
        return DL_OK;
    }
    if (i == p->list.count) {
        DL_TRY(format_end(p, &p->head, err));
    } else {
        DL_TRY(format_part_head(p, i, &p->head, err));
        DL_TRY(
            dl_open_version(p->service, p->partition_name, &p->list.versions[i], &p->object, err));
        out_part->fd = dl_store_object_fd(p->object);
        out_part->length_bytes = dl_store_object_size(p->object);
    }
    out_part->bytes = dl_buf_str(&p->head);
    return DL_OK;
}

static void destroy_parts(void *context)
{
    parts_stream *p = context;
    dl_store_object_close(p->object);
    dl_buf_clear(&p->head);
    clear_listing(&p->list);
    dl_mem_free(p);
}

/* Length of the whole answer, and whether every object is there as it was stored. */
static dl_status measure_parts(const parts_stream *p, uint64_t *out_length, dl_error *err)
{
    DL_AUTO_BUF head = {0};
    dl_buf_init(&head, DL_SERVICE_PART_HEAD_LIMIT_BYTES);
    DL_TRY(format_end(p, &head, err));
    uint64_t length = head.len;
    for (size_t i = 0; i < p->list.count; i++) {
        char key[DL_SERVICE_KEY_SIZE];
        const dl_index_version *v = &p->list.versions[i];
        dl_service_key(&p->service->settings, p->partition_name, v->watermark, key);
        dl_store_stat stat = {0};
        dl_status status = dl_store_stat_key(p->service->store, dl_str_of(key), &stat, err);
        bool same = status == DL_OK && stat.size_bytes == v->size_bytes && stat.tag == v->tag;
        if (status == DL_E_NOT_FOUND || (status == DL_OK && !same)) {
            return dl_error_set(err, DL_E_CORRUPT, "object %s was changed or removed", key);
        }
        DL_TRY(status);
        dl_buf_reset(&head);
        DL_TRY(format_part_head(p, i, &head, err));
        length += head.len + v->size_bytes;
    }
    *out_length = length;
    return DL_OK;
}

static dl_status send_parts(dl_service_request *r, listing *take_list, dl_error *err)
{
    parts_stream *p = dl_mem_zalloc(1, sizeof *p);
    if (p == NULL) {
        clear_listing(take_list);
        return dl_error_set(err, DL_E_NOMEM, "no memory for an answer");
    }
    p->service = r->service;
    p->list = *take_list;
    dl_buf_init(&p->head, DL_SERVICE_PART_HEAD_LIMIT_BYTES);
    dl_random_hex(p->boundary, 16);
    uint64_t length = 0;
    dl_status status = dl_arena_copy(p->list.arena, r->partition_name, &p->partition_name, err);
    if (status == DL_OK) {
        status = dl_request_base_url(r, p->list.arena, &p->base, err);
    }
    if (status == DL_OK) {
        status = measure_parts(p, &length, err);
    }
    if (status != DL_OK) {
        destroy_parts(p);
        return status;
    }
    char type[128];
    (void)snprintf(type, sizeof type,
                   "multipart/related; boundary=\"%s\"; type=\"application/dicom\"", p->boundary);
    dl_http_parts parts = {.next = next_part, .destroy = destroy_parts, .context = p};
    dl_http_respond_parts(r->x, 200, type, length, &parts);
    return DL_OK;
}

/* One try: nothing is answered when it fails. `*out_edition` says what it tried to send. */
static dl_status retrieve(dl_service_request *r, const dl_forms *forms, dl_edition *out_edition,
                          dl_error *err)
{
    listing list = {0};
    dl_form form = {0};
    *out_edition = (dl_edition){0};
    DL_TRY(load_listing(r, &list, err));
    *out_edition = edition_of(&list);
    if (list.count == 0) {
        clear_listing(&list);
        return dl_refuse_missing(r);
    }
    if (!dl_form_choose(r, forms, list.versions, list.count, &form)) {
        clear_listing(&list);
        return DL_OK;
    }
    if (form.multipart) {
        return send_parts(r, &list, err);
    }
    dl_status status = send_single(r, &list, err);
    clear_listing(&list);
    return status;
}

dl_status dl_handle_retrieve(dl_service_request *r, dl_error *err)
{
    dl_forms forms = {0};
    if (!dl_negotiate(r, &forms)) {
        return dl_refuse_form(r);
    }
    DL_TRY(dl_request_check_uids(r, err));
    DL_TRY(check_original(r, err));
    dl_edition edition = {0};
    dl_status status = retrieve(r, &forms, &edition, err);
    for (int i = 1; i < DL_SERVICE_EDITION_TRIES && dl_edition_is_old(r, status, &edition); i++) {
        dl_error_clear(err);
        status = retrieve(r, &forms, &edition, err);
    }
    return edition.count > 0 ? dl_refuse_object(r, status, err) : status;
}
