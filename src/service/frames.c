/* Frames of an instance, by seeking in the stored file (contract 6.6). */
#include "service/internal.h"

#include "base/mem.h"
#include "base/random.h"

#include <stdio.h>
#include <string.h>

#define FRAMES_ARENA_BYTES ((size_t)256 << 20)
enum {
    FRAME_BLOCK_BYTES = 256 * 1024,
};

typedef struct frame {
    uint32_t number;
    dl_dicom_fragment *pieces;
    size_t piece_count;
    uint64_t length_bytes;
} frame;

typedef struct frames_stream {
    dl_arena *arena;
    dl_store_object *object;
    bool deflated;
    dl_str syntax; /* of the stored file */
    dl_str url;    /* of the instance */
    const char *body_type;
    bool multipart;
    char boundary[33];
    frame *frames;
    size_t count;
    size_t next, next_piece; /* what is sent next */
    uint64_t sent;           /* of the piece */
    bool head_sent;
} frames_stream;

static void destroy_frames(void *context)
{
    frames_stream *f = context;
    if (f != NULL) {
        dl_store_object_close(f->object);
        dl_arena_destroy(f->arena);
        dl_mem_free(f);
    }
}

/* ---- the list in the path ---- */

static dl_status parse_numbers(dl_str text, frames_stream *f, dl_error *err)
{
    size_t count = 1;
    for (size_t i = 0; i < text.len; i++) {
        count += text.ptr[i] == ',';
    }
    f->frames = dl_arena_alloc(f->arena, count, sizeof *f->frames);
    if (f->frames == NULL) {
        return dl_arena_full(f->arena, err);
    }
    dl_str one = DL_STR_NONE;
    while (dl_str_next(&text, ',', &one)) {
        uint64_t number = 0;
        if (!dl_str_to_u64(one, &number) || number == 0 || number > UINT32_MAX) {
            return dl_error_set(err, DL_E_INVALID,
                                "Frames are whole numbers from 1 on, separated by commas.");
        }
        f->frames[f->count++].number = (uint32_t)number;
    }
    return DL_OK;
}

/* ---- where the frames are ---- */

static dl_status locate(frames_stream *f, const dl_dicom_pixels *pixels, dl_error *err)
{
    for (size_t i = 0; i < f->count; i++) {
        frame *one = &f->frames[i];
        DL_TRY(dl_dicom_frame(pixels, one->number, f->arena, &one->pieces, &one->piece_count, err));
        for (size_t k = 0; k < one->piece_count; k++) {
            one->length_bytes += one->pieces[k].length_bytes;
        }
    }
    return DL_OK;
}

/* ---- the stream ---- */

static dl_status append_inflated(void *context, dl_bytes part, dl_error *err)
{
    return dl_buf_append(context, part.ptr, part.len, err);
}

static dl_status send_deflated(frames_stream *f, const dl_dicom_fragment *piece, dl_buf *out,
                               dl_error *err)
{
    dl_dicom_file file = {.fd = dl_store_object_fd(f->object),
                          .size = dl_store_object_size(f->object)};
    dl_dicom_source source = dl_dicom_source_file(&file);
    return dl_dicom_inflate_range(&source, piece->offset_bytes, piece->length_bytes,
                                  append_inflated, out, err);
}

static dl_status send_piece(frames_stream *f, dl_buf *out, dl_error *err)
{
    const dl_dicom_fragment *piece = &f->frames[f->next].pieces[f->next_piece];
    uint64_t left = piece->length_bytes - f->sent;
    if (f->deflated) {
        DL_TRY(send_deflated(f, piece, out, err));
        f->sent = piece->length_bytes;
    } else {
        size_t n = left < FRAME_BLOCK_BYTES ? (size_t)left : FRAME_BLOCK_BYTES;
        DL_TRY(dl_buf_reserve(out, n, err));
        DL_TRY(dl_store_object_read(f->object, piece->offset_bytes + f->sent, out->ptr + out->len,
                                    n, err));
        out->len += n;
        f->sent += n;
    }
    if (f->sent == piece->length_bytes) {
        f->next_piece++;
        f->sent = 0;
    }
    return DL_OK;
}

static dl_status format_head(const frames_stream *f, size_t i, dl_buf *out, dl_error *err)
{
    return dl_buf_printf(out, err,
                         "%s--%s\r\nContent-Type: %s; transfer-syntax=%.*s\r\n"
                         "Content-Location: %.*s/frames/%u\r\n\r\n",
                         i == 0 ? "" : "\r\n", f->boundary, f->body_type, DL_STR_ARG(f->syntax),
                         DL_STR_ARG(f->url), f->frames[i].number);
}

static dl_status fill_frames(void *context, dl_buf *piece, bool *out_done, dl_error *err)
{
    frames_stream *f = context;
    if (f->multipart && !f->head_sent && f->next < f->count) {
        DL_TRY(format_head(f, f->next, piece, err));
        f->head_sent = true;
    }
    if (f->next < f->count && f->next_piece < f->frames[f->next].piece_count) {
        DL_TRY(send_piece(f, piece, err));
    }
    if (f->next < f->count && f->next_piece == f->frames[f->next].piece_count) {
        f->next++;
        f->next_piece = 0;
        f->head_sent = false;
    }
    if (f->next == f->count) {
        if (f->multipart) {
            DL_TRY(dl_buf_printf(piece, err, "\r\n--%s--\r\n", f->boundary));
        }
        *out_done = true;
    }
    return DL_OK;
}

static dl_status measure(const frames_stream *f, uint64_t *out_length, dl_error *err)
{
    DL_AUTO_BUF head = {0};
    dl_buf_init(&head, DL_SERVICE_PART_HEAD_LIMIT_BYTES);
    uint64_t length = f->multipart ? strlen("\r\n----\r\n") + strlen(f->boundary) : 0;
    for (size_t i = 0; i < f->count; i++) {
        dl_buf_reset(&head);
        if (f->multipart) {
            DL_TRY(format_head(f, i, &head, err));
        }
        length += head.len + f->frames[i].length_bytes;
    }
    *out_length = length;
    return DL_OK;
}

/* ---- the request ---- */

static dl_status load(dl_service_request *r, frames_stream *f, dl_index_version **out_version,
                      dl_bytes *out_index, dl_error *err)
{
    dl_index_scope scope = dl_request_scope(r);
    size_t count = 0;
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(r->service->index, &snapshot, err));
    dl_status status = dl_index_versions(snapshot, &scope, f->arena, out_version, &count, err);
    if (status == DL_OK && count == 0) {
        *out_version = NULL;
    } else if (status == DL_OK) {
        status = dl_index_frames(snapshot, (*out_version)->watermark, f->arena, out_index, err);
    }
    dl_index_snapshot_end(snapshot);
    return status;
}

/* Drops the forms that hold one frame only; false when none is left. */
static bool keep_multipart(dl_forms *forms)
{
    size_t kept = 0;
    for (size_t i = 0; i < forms->count; i++) {
        if (forms->list[i].multipart) {
            forms->list[kept++] = forms->list[i];
        }
    }
    forms->count = kept;
    return kept > 0;
}

/* Everything but the stream itself; sets *out_ready when it may be sent, else the request is
 * answered. */
static dl_status prepare(dl_service_request *r, frames_stream *f, dl_edition *out_edition,
                         bool *out_ready, dl_error *err)
{
    dl_forms forms = {0};
    dl_form form = {0};
    *out_ready = false;
    *out_edition = (dl_edition){0};
    if (!dl_negotiate(r, &forms)) {
        return dl_refuse_form(r);
    }
    DL_TRY(dl_request_check_uids(r, err));
    DL_TRY(parse_numbers(r->frames, f, err));
    if (f->count > 1 && !keep_multipart(&forms)) {
        return dl_refuse(r, 400, "Several frames need a multipart/related answer.");
    }
    dl_index_version *version = NULL;
    dl_bytes index = {0};
    DL_TRY(load(r, f, &version, &index, err));
    if (version == NULL) {
        return dl_refuse_missing(r);
    }
    if (index.len == 0) {
        return dl_refuse(r, 404, "The instance has no pixel data.");
    }
    dl_dicom_header header = {0};
    DL_TRY(dl_dicom_pixels_decode(index, f->arena, &header, err));
    dl_status status = locate(f, &header.pixels, err);
    if (status == DL_E_UNSUPPORTED || status == DL_E_INVALID) {
        return dl_refuse(r, 406, "The frames of the instance cannot be told apart: %s",
                         err == NULL ? "" : err->message);
    }
    if (status == DL_E_NOT_FOUND) {
        return dl_refuse(r, 404, "The instance has no such frame.");
    }
    DL_TRY(status);
    if (!dl_form_choose(r, &forms, version, 1, &form)) {
        return DL_OK;
    }
    *out_edition = (dl_edition){.newest = version->watermark, .count = 1};
    if (header.deflated && version->size_bytes > DL_SERVICE_TRANSCODE_LIMIT_BYTES) {
        return dl_refuse(r, 406, "The instance is deflated and too large to be read by frames.");
    }
    f->deflated = header.deflated;
    f->multipart = form.multipart;
    f->body_type = form.body_type;
    f->syntax = version->transfer_syntax;
    status = dl_open_version(r->service, r->partition_name, version, &f->object, err);
    *out_ready = status == DL_OK;
    return status;
}

static dl_status send_frames(dl_service_request *r, frames_stream *f, dl_error *err)
{
    dl_str base = DL_STR_NONE;
    dl_status status = dl_request_base_url(r, f->arena, &base, err);
    if (status == DL_OK) {
        status = dl_arena_printf(f->arena, &f->url, err,
                                 "%.*s/studies/%.*s/series/%.*s/instances/%.*s", DL_STR_ARG(base),
                                 DL_STR_ARG(r->study), DL_STR_ARG(r->series), DL_STR_ARG(r->sop));
    }
    uint64_t length = 0;
    dl_random_hex(f->boundary, 16);
    if (status == DL_OK) {
        status = measure(f, &length, err);
    }
    if (status != DL_OK) {
        destroy_frames(f);
        return status;
    }
    char type[160];
    if (f->multipart) {
        (void)snprintf(type, sizeof type, "multipart/related; boundary=\"%s\"; type=\"%s\"",
                       f->boundary, f->body_type);
    } else {
        (void)snprintf(type, sizeof type, "%s; transfer-syntax=%.*s", f->body_type,
                       DL_STR_ARG(f->syntax));
    }
    dl_pieces pieces = {.fill = fill_frames, .destroy = destroy_frames, .context = f};
    return dl_respond_pieces(r, 200, type, length, &pieces, err);
}

static dl_status retrieve(dl_service_request *r, dl_edition *out_edition, dl_error *err)
{
    frames_stream *f = dl_mem_zalloc(1, sizeof *f);
    if (f == NULL || (f->arena = dl_arena_create(FRAMES_ARENA_BYTES)) == NULL) {
        destroy_frames(f);
        return dl_error_set(err, DL_E_NOMEM, "no memory for frames");
    }
    bool ready = false;
    dl_status status = prepare(r, f, out_edition, &ready, err);
    if (status != DL_OK || !ready) {
        destroy_frames(f);
        return status;
    }
    return send_frames(r, f, err);
}

dl_status dl_handle_frames(dl_service_request *r, dl_error *err)
{
    dl_edition edition = {0};
    dl_status status = retrieve(r, &edition, err);
    for (int i = 1; i < DL_SERVICE_EDITION_TRIES && dl_edition_is_old(r, status, &edition); i++) {
        dl_error_clear(err);
        status = retrieve(r, &edition, err);
    }
    return edition.count > 0 ? dl_refuse_object(r, status, err) : status;
}
