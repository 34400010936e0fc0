/* Store: POST and PUT of instances (contract section 5). */
#include "service/internal.h"

#include "base/mem.h"
#include "http/media.h"
#include "http/multipart.h"

#include <stdio.h>
#include <string.h>

#define RESULT_ARENA_BYTES ((size_t)64 << 20)

typedef struct stow {
    dl_service_request *r;
    bool replace;
    int64_t expires_us;
    dl_arena *arena;
    bool related;            /* `type` names application/dicom: what a part without a type has */
    dl_multipart *multipart; /* NULL: the body is one instance */
    dl_upload *uploads;
    size_t count, room;
    bool refused_type;
} stow;

/* ---- the parts of the body ---- */

static dl_upload *add_upload(stow *s)
{
    if (s->count == s->room) {
        size_t room = s->room == 0 ? 1 : s->room * 4;
        dl_upload *grown = dl_mem_resize(s->uploads, room, sizeof *grown);
        if (grown == NULL) {
            return NULL;
        }
        s->uploads = grown;
        s->room = room;
    }
    dl_upload *upload = &s->uploads[s->count++];
    dl_upload_begin(s->r->service, upload);
    return upload;
}

static dl_status part_begin(void *context, dl_str headers, dl_error *err)
{
    stow *s = context;
    dl_str text = DL_STR_NONE;
    if (dl_multipart_header(headers, "Content-Type", &text)) {
        dl_media media = {0};
        if (dl_media_parse(text, s->arena, &media, err) != DL_OK ||
            !dl_media_type_is(&media, "application/dicom")) {
            s->refused_type = true;
            return dl_error_set(err, DL_E_UNSUPPORTED, "Every part must be application/dicom.");
        }
    } else if (!s->related) {
        s->refused_type = true;
        return dl_error_set(err, DL_E_UNSUPPORTED,
                            "A part has no Content-Type, and the request names no type.");
    }
    if (s->count == DL_SERVICE_PART_LIMIT) {
        return dl_error_set(err, DL_E_LIMIT, "The request has more than %d parts.",
                            (int)DL_SERVICE_PART_LIMIT);
    }
    if (add_upload(s) == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for another part");
    }
    return DL_OK;
}

static dl_status part_data(void *context, dl_bytes bytes, dl_error *err)
{
    stow *s = context;
    return dl_upload_write(s->r->service, &s->uploads[s->count - 1], bytes, err);
}

static dl_status part_end(void *context, dl_error *err)
{
    stow *s = context;
    (void)err;
    dl_upload_end(s->r->service, &s->uploads[s->count - 1]);
    return DL_OK;
}

/* ---- the head of the request ---- */

/* True when the type is one that can be stored; else the request has been refused. */
static bool open_body(stow *s, dl_error *err)
{
    dl_service_request *r = s->r;
    dl_str text = dl_http_header(r->x, "Content-Type");
    dl_media media = {0};
    if (text.ptr == NULL || dl_media_parse(text, s->arena, &media, err) != DL_OK) {
        (void)dl_refuse(r, 415, "The request has no readable Content-Type.");
        return false;
    }
    dl_str coding = dl_http_header(r->x, "Content-Encoding");
    if (coding.len > 0 && !dl_str_eq_nocase(coding, DL_STR("identity"))) {
        (void)dl_refuse(r, 415, "A Content-Encoding of the request is not supported.");
        return false;
    }
    if (dl_media_type_is(&media, "application/dicom")) {
        bool only_syntax =
            media.param_count == 0 ||
            (media.param_count == 1 && dl_media_param_of(&media, "transfer-syntax").ptr != NULL);
        if (!only_syntax) {
            (void)dl_refuse(r, 415, "application/dicom takes no parameter but transfer-syntax.");
        }
        return only_syntax && add_upload(s) != NULL;
    }
    if (!dl_media_type_is(&media, "multipart/related")) {
        (void)dl_refuse(r, 415,
                        "The request must be application/dicom or multipart/related with parts "
                        "of application/dicom.");
        return false;
    }
    dl_str boundary = dl_media_param_of(&media, "boundary");
    dl_str type = dl_media_param_of(&media, "type");
    s->related = dl_str_eq_nocase(type, DL_STR("application/dicom"));
    if (boundary.len == 0 || (type.ptr != NULL && !s->related)) {
        (void)dl_refuse(r, 415,
                        "multipart/related needs a boundary, and type=\"application/dicom\".");
        return false;
    }
    if (dl_media_param_of(&media, "start").ptr != NULL) {
        (void)dl_refuse(r, 400, "The parameter start of multipart/related is not supported.");
        return false;
    }
    dl_multipart_events events = {
        .part_begin = part_begin, .part_data = part_data, .part_end = part_end, .context = s};
    if (dl_multipart_create(boundary, &events, &s->multipart, err) != DL_OK) {
        (void)dl_refuse(r, 400, "The boundary of multipart/related is not a valid one.");
        return false;
    }
    return true;
}

/* The expiry headers (contract 5.8). */
static dl_status read_expiry(stow *s, dl_error *err)
{
    dl_str time = dl_http_header(s->r->x, "msdicom-expiry-time-milliseconds");
    dl_str option = dl_http_header(s->r->x, "msdicom-expiry-option");
    dl_str level = dl_http_header(s->r->x, "msdicom-expiry-level");
    if (option.ptr != NULL && !dl_str_eq_nocase(option, DL_STR("RelativeToNow"))) {
        return dl_error_set(err, DL_E_INVALID, "msdicom-expiry-option takes RelativeToNow.");
    }
    if (level.ptr != NULL && !dl_str_eq_nocase(level, DL_STR("Study"))) {
        return dl_error_set(err, DL_E_INVALID, "msdicom-expiry-level takes Study.");
    }
    if (time.ptr == NULL) {
        if (option.ptr != NULL || level.ptr != NULL) {
            return dl_error_set(err, DL_E_INVALID,
                                "An expiry needs msdicom-expiry-time-milliseconds.");
        }
        return DL_OK;
    }
    int64_t const longest_ms = 1000LL * 365 * 86400 * 1000; /* a thousand years */
    int64_t ms = 0;
    if (!dl_str_to_i64(time, &ms) || ms < 1 || ms > longest_ms) {
        return dl_error_set(err, DL_E_INVALID,
                            "msdicom-expiry-time-milliseconds takes a whole number from 1 to %lld.",
                            (long long)longest_ms);
    }
    s->expires_us = dl_service_now_us(s->r->service) + ms * 1000;
    return DL_OK;
}

/* To replace in spite of a condition would be worse than not to replace. */
static dl_status refuse_condition(const stow *s, dl_error *err)
{
    bool has_condition = dl_http_header(s->r->x, "If-Match").ptr != NULL ||
                         dl_http_header(s->r->x, "If-None-Match").ptr != NULL;
    return s->replace && has_condition
               ? dl_error_set(err, DL_E_UNSUPPORTED,
                              "If-Match and If-None-Match of a PUT are not part of this service "
                              "yet.")
               : DL_OK;
}

dl_status dl_stow_begin(dl_service_request *r, bool replace, void **out_state, dl_error *err)
{
    stow *s = dl_mem_zalloc(1, sizeof *s);
    if (s == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a store request");
    }
    s->r = r;
    s->replace = replace;
    s->arena = dl_arena_create(RESULT_ARENA_BYTES);
    dl_status status =
        s->arena == NULL ? dl_error_set(err, DL_E_NOMEM, "no memory for a store request") : DL_OK;
    if (status == DL_OK && open_body(s, err)) {
        status = dl_request_check_uids(r, err);
        if (status == DL_OK) {
            status = read_expiry(s, err);
        }
        if (status == DL_OK) {
            status = refuse_condition(s, err);
        }
        if (status == DL_OK) {
            *out_state = s;
            return DL_OK;
        }
    } else if (status == DL_OK && !dl_http_answered(r->x)) {
        status = dl_error_set(err, DL_E_NOMEM, "no memory for a store request");
    }
    dl_stow_destroy(s);
    return status;
}

dl_status dl_stow_body(void *state, dl_bytes piece, dl_error *err)
{
    stow *s = state;
    if (s->multipart != NULL) {
        return dl_multipart_feed(s->multipart, piece, err);
    }
    return dl_upload_write(s->r->service, &s->uploads[0], piece, err);
}

/* ---- the answer (contract 5.7) ---- */

static void put_element(dl_json_writer *w, const char *tag, const char *vr, dl_str value)
{
    dl_json_key(w, dl_str_of(tag));
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("vr"));
    dl_json_string(w, dl_str_of(vr));
    dl_json_key(w, DL_STR("Value"));
    dl_json_array_begin(w);
    dl_json_string(w, value);
    dl_json_array_end(w);
    dl_json_object_end(w);
}

static void put_number(dl_json_writer *w, const char *tag, unsigned value)
{
    char text[64];
    int n = snprintf(text, sizeof text, "{\"vr\":\"US\",\"Value\":[%u]}", value);
    dl_json_key(w, dl_str_of(tag));
    dl_json_raw(w, (dl_str){text, (size_t)n});
}

static void begin_sequence(dl_json_writer *w, const char *tag)
{
    dl_json_key(w, dl_str_of(tag));
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("vr"));
    dl_json_string(w, DL_STR("SQ"));
}

static void put_comments(dl_json_writer *w, const dl_stored *one)
{
    begin_sequence(w, "00741048");
    if (one->comment_count > 0) {
        dl_json_key(w, DL_STR("Value"));
        dl_json_array_begin(w);
        for (size_t i = 0; i < one->comment_count; i++) {
            dl_json_object_begin(w);
            put_element(w, "00000902", "LO", one->comments[i]);
            dl_json_object_end(w);
        }
        dl_json_array_end(w);
    }
    dl_json_object_end(w);
}

static void put_names(dl_json_writer *w, const dl_stored *one)
{
    if (one->sop_class.len > 0) {
        put_element(w, "00081150", "UI", one->sop_class);
    }
    if (one->sop.len > 0) {
        put_element(w, "00081155", "UI", one->sop);
    }
}

static void put_failed(dl_json_writer *w, const dl_stored *one)
{
    dl_json_object_begin(w);
    put_names(w, one);
    put_number(w, "00081197", one->failure);
    if (one->comment_count > 0) {
        put_comments(w, one);
    }
    dl_json_object_end(w);
}

static dl_status put_stored(const stow *s, dl_json_writer *w, dl_str base, const dl_stored *one,
                            dl_error *err)
{
    dl_str url = DL_STR_NONE;
    DL_TRY(dl_arena_printf(s->arena, &url, err, "%.*s/studies/%.*s/series/%.*s/instances/%.*s",
                           DL_STR_ARG(base), DL_STR_ARG(one->study), DL_STR_ARG(one->series),
                           DL_STR_ARG(one->sop)));
    dl_json_object_begin(w);
    put_names(w, one);
    put_element(w, "00081190", "UR", url);
    if (one->warning != 0) {
        put_number(w, "00081196", one->warning);
    }
    if (s->r->version >= 2) {
        put_comments(w, one);
    }
    dl_json_object_end(w);
    return DL_OK;
}

typedef struct tally {
    size_t stored, warned, failed;
    bool multiple_values;
} tally;

static tally count_results(const dl_stored *list, size_t count)
{
    tally t = {0};
    for (size_t i = 0; i < count; i++) {
        t.failed += list[i].failure != 0;
        t.stored += list[i].failure == 0;
        t.warned += list[i].failure == 0 && list[i].warning != 0;
        t.multiple_values = t.multiple_values || (list[i].failure == 0 && list[i].multiple_values);
    }
    return t;
}

static dl_status write_sequences(const stow *s, dl_json_writer *w, dl_str base,
                                 const dl_stored *list, tally t, dl_error *err)
{
    if (t.failed > 0) {
        begin_sequence(w, "00081198");
        dl_json_key(w, DL_STR("Value"));
        dl_json_array_begin(w);
        for (size_t i = 0; i < s->count; i++) {
            if (list[i].failure != 0) {
                put_failed(w, &list[i]);
            }
        }
        dl_json_array_end(w);
        dl_json_object_end(w);
    }
    if (t.stored > 0) {
        begin_sequence(w, "00081199");
        dl_json_key(w, DL_STR("Value"));
        dl_json_array_begin(w);
        for (size_t i = 0; i < s->count; i++) {
            if (list[i].failure == 0) {
                DL_TRY(put_stored(s, w, base, &list[i], err));
            }
        }
        dl_json_array_end(w);
        dl_json_object_end(w);
    }
    return DL_OK;
}

static dl_status answer(stow *s, const dl_stored *list, dl_error *err)
{
    dl_service_request *r = s->r;
    tally t = count_results(list, s->count);
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 2 * RESULT_ARENA_BYTES);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &buf, err);
    dl_str base = DL_STR_NONE;
    DL_TRY(dl_request_base_url(r, s->arena, &base, err));
    dl_json_object_begin(&w);
    if (r->study.len > 0 && t.stored > 0) {
        dl_str url = DL_STR_NONE;
        DL_TRY(dl_arena_printf(s->arena, &url, err, "%.*s/studies/%.*s", DL_STR_ARG(base),
                               DL_STR_ARG(r->study)));
        put_element(&w, "00081190", "UR", url);
    }
    DL_TRY(write_sequences(s, &w, base, list, t, err));
    dl_json_object_end(&w);
    DL_TRY(dl_json_writer_status(&w));
    if (t.multiple_values) {
        dl_str host = dl_request_root_url(r);
        host = dl_str_slice(host, (size_t)dl_str_find_str(host, DL_STR("://")) + 3, host.len);
        dl_str path = host;
        (void)dl_str_next(&path, '/', &host);
        dl_str warning = DL_STR_NONE;
        DL_TRY(dl_arena_printf(s->arena, &warning, err,
                               "299 %.*s: \"An indexed attribute has more than one value; only "
                               "the first can be searched for.\"",
                               DL_STR_ARG(host)));
        dl_http_add_header(r->x, "Warning", warning);
    }
    bool partly = t.stored > 0 && (t.failed > 0 || (t.warned > 0 && r->version >= 2));
    unsigned status = t.stored == 0 ? 409 : partly ? 202 : 200;
    dl_http_respond_buf(r->x, status, "application/dicom+json; charset=utf-8", &buf);
    return DL_OK;
}

static dl_status store_and_answer(stow *s, dl_error *err)
{
    dl_service_request *r = s->r;
    if (s->multipart == NULL) {
        dl_upload_end(r->service, &s->uploads[0]);
    } else {
        DL_TRY(dl_multipart_finish(s->multipart, err));
    }
    if (s->count == 0) {
        dl_http_respond(r->x, 204, NULL, DL_STR(""));
        return DL_OK;
    }
    dl_stored *list = dl_arena_alloc(s->arena, s->count, sizeof *list);
    if (list == NULL) {
        return dl_arena_full(s->arena, err);
    }
    dl_ingest_options options = {.arena = s->arena,
                                 .partition = r->partition,
                                 .partition_name = r->partition_name,
                                 .study = r->study,
                                 .v1 = r->version < 2,
                                 .replace = s->replace,
                                 .expires_us = s->expires_us};
    DL_TRY(dl_ingest(r->service, &options, s->uploads, s->count, list, err));
    return answer(s, list, err);
}

void dl_stow_end(void *state, const dl_error *body_failure)
{
    stow *s = state;
    dl_error cause = {0};
    dl_status status = DL_OK;
    if (body_failure != NULL) {
        cause = *body_failure;
        status = cause.status;
    } else {
        status = store_and_answer(s, &cause);
    }
    if (status == DL_OK || dl_http_answered(s->r->x)) {
        return;
    }
    if (s->refused_type) {
        (void)dl_refuse(s->r, 415, "%s", cause.message);
    } else {
        dl_refuse_error(s->r->x, &cause);
    }
}

void dl_stow_destroy(void *state)
{
    stow *s = state;
    for (size_t i = 0; i < s->count; i++) {
        dl_upload_clear(&s->uploads[i]);
    }
    dl_mem_free(s->uploads);
    dl_multipart_destroy(s->multipart);
    dl_arena_destroy(s->arena);
    dl_mem_free(s);
}
