/* From uploads to durable instances: validation (contract 5.4), in-flight check (5.3), group
 * commit. */
#include "service/internal.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

enum {
    FAILURE_PROCESSING = 272,
    FAILURE_INVALID = 43264,
    FAILURE_OTHER_STUDY = 43265,
    FAILURE_STORED = 45070,
    FAILURE_BEING_STORED = 45071,
    WARNING_ATTRIBUTES = 1,
    WARNING_IMPLICIT_VR = 45063,
    TEXT_LIMIT_CHARACTERS = 64, /* LO */
};

#define HEADER_ARENA_BYTES ((size_t)64 << 20)
#define COMMENT_BYTES ((size_t)16 << 20)        /* of one request; further ones are left out */
#define GROUP_METADATA_BYTES ((size_t)16 << 20) /* held in memory before a group is committed */

/* ---- one instance: from spool to what the committer needs ---- */

typedef struct instance {
    dl_upload *upload;
    dl_stored *stored;
    dl_buf metadata;
    dl_buf frames;
    dl_str transfer_syntax;
    dl_inflight inflight;
    bool inflight_taken;
} instance;

typedef struct ingest {
    dl_service *service;
    const dl_ingest_options *options;
    dl_arena *arena; /* of the results */
    instance *group;
    dl_commit_item *items;
    size_t group_count, group_limit;
    size_t group_bytes;
    size_t comment_bytes; /* of all instances: the rest of the answer needs its room too */
} ingest;

/* Without room there is a comment less, which is better than an instance less. */
static void comment(ingest *in, dl_stored *s, uint32_t tag, dl_str reason)
{
    enum { COMMENT_LIMIT = DL_DICOM_FINDING_LIMIT + DL_DICOM_KEPT_LIMIT + 8 };
    char prefix[32];
    int n = snprintf(prefix, sizeof prefix, "DICOM100: (%04X,%04X) - ", tag >> 16, tag & 0xffff);
    size_t len = (size_t)n + reason.len;
    if (s->comments == NULL) {
        s->comments = dl_arena_alloc(in->arena, COMMENT_LIMIT, sizeof *s->comments);
    }
    if (s->comments == NULL || s->comment_count == COMMENT_LIMIT ||
        in->comment_bytes + reason.len > COMMENT_BYTES) {
        return;
    }
    char *text = dl_arena_alloc(in->arena, len, 1);
    if (text == NULL) {
        return;
    }
    memcpy(text, prefix, (size_t)n);
    memcpy(text + n, reason.ptr, reason.len); /* by hand: what it quotes may hold NUL */
    s->comments[s->comment_count++] = (dl_str){text, len};
    in->comment_bytes += reason.len;
}

static void fail(ingest *in, dl_stored *s, unsigned failure, uint32_t tag, const char *reason)
{
    s->failure = failure;
    comment(in, s, tag, dl_str_of(reason));
}

static bool is_text_valid(dl_str text)
{
    size_t characters = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        characters += (c & 0xc0) != 0x80;
        bool high = c == 0xc2 && i + 1 < text.len && (unsigned char)text.ptr[i + 1] < 0xa0;
        if ((c < ' ' && c != 0x1b) || c == 0x7f || high) {
            return false;
        }
    }
    return characters <= TEXT_LIMIT_CHARACTERS;
}

static const struct {
    uint32_t tag;
    dl_vr vr;
    bool one_value;
} core_rules[DL_DICOM_CORE_COUNT] = {
    [DL_DICOM_SOP_CLASS_UID] = {0x00080016, DL_VR('U', 'I'), true},
    [DL_DICOM_SOP_INSTANCE_UID] = {0x00080018, DL_VR('U', 'I'), true},
    [DL_DICOM_STUDY_INSTANCE_UID] = {0x0020000D, DL_VR('U', 'I'), true},
    [DL_DICOM_SERIES_INSTANCE_UID] = {0x0020000E, DL_VR('U', 'I'), true},
    [DL_DICOM_PATIENT_ID] = {0x00100020, DL_VR('L', 'O'), false},
};

/* Steps 2 to 4 of contract 5.4. */
static void check_core(ingest *in, dl_stored *s, const dl_dicom_header *header)
{
    for (size_t i = 0; i < DL_DICOM_CORE_COUNT; i++) {
        const dl_dicom_core_value *v = &header->core[i];
        uint32_t tag = core_rules[i].tag;
        if (core_rules[i].one_value && v->value_count != 1) {
            fail(in, s, FAILURE_INVALID, tag,
                 v->value_count == 0 ? "the attribute must have a value"
                                     : "the attribute must have exactly one value");
        } else if (!v->present) {
            fail(in, s, FAILURE_INVALID, tag, "the attribute must be present");
        } else if (v->vr != core_rules[i].vr) {
            fail(in, s, FAILURE_INVALID, tag, "the VR is not the one of the data dictionary");
        } else if (core_rules[i].one_value && !dl_dicom_uid_is_valid(v->first)) {
            fail(in, s, FAILURE_INVALID, tag, "the value is not a UID of 1 to 64 digits and dots");
        } else if (!core_rules[i].one_value && !is_text_valid(v->first)) {
            fail(in, s, FAILURE_INVALID, tag,
                 "the value is longer than 64 characters or holds control characters");
        } else if (!core_rules[i].one_value && v->first.len == 0) {
            if (in->options->v1) {
                fail(in, s, FAILURE_INVALID, tag, "the attribute must have a value");
            } else {
                s->warning = WARNING_ATTRIBUTES;
                comment(in, s, tag, DL_STR("the attribute should have a value"));
            }
        }
    }
}

static dl_status copy_uids(ingest *in, dl_stored *s, const dl_dicom_header *header, dl_error *err)
{
    dl_str *targets[] = {&s->sop_class, &s->sop, &s->study, &s->series};
    for (size_t i = 0; i < DL_COUNT_OF(targets); i++) {
        dl_str uid = header->core[i].first;
        if (uid.len > DL_INDEX_UID_LIMIT || !dl_str_is_utf8(uid)) {
            continue; /* too odd to be repeated in an answer */
        }
        DL_TRY(dl_arena_copy(in->arena, uid, targets[i], err));
    }
    return DL_OK;
}

/* Step 6: findings become warnings in v2; in v1 those of indexed attributes fail the instance. */
static void apply_findings(ingest *in, dl_stored *s, const dl_dicom_header *header)
{
    for (size_t i = 0; i < header->finding_count; i++) {
        const dl_dicom_finding *f = &header->findings[i];
        bool indexed = f->depth == 0 && dl_index_attribute_find(f->tag) != NULL;
        s->multiple_values = s->multiple_values || (indexed && f->multiple);
        if (in->options->v1) {
            if (indexed) {
                s->failure = FAILURE_INVALID;
                comment(in, s, f->tag, f->reason.value);
            }
            continue;
        }
        s->warning = WARNING_ATTRIBUTES;
        comment(in, s, f->tag, f->reason.value);
    }
    if (header->truncated_pixels && !in->options->v1) {
        s->warning = WARNING_ATTRIBUTES;
        comment(in, s, header->pixels.tag,
                DL_STR("the file is cut off in this element, or what follows cannot be read"));
    }
    if (header->many_values || header->core[DL_DICOM_PATIENT_ID].value_count > 1) {
        s->multiple_values = true;
    }
    if (header->implicit_vr) {
        s->warning = WARNING_IMPLICIT_VR;
    }
}

static bool is_indexed(uint32_t tag)
{
    return dl_index_attribute_find(tag) != NULL;
}

static dl_dicom_reader *take_reader(dl_service *service)
{
    dl_dicom_reader *reader = NULL;
    pthread_mutex_lock(&service->readers_lock);
    if (service->reader_count > 0) {
        reader = service->readers[--service->reader_count];
    }
    pthread_mutex_unlock(&service->readers_lock);
    if (reader == NULL) {
        dl_dicom_options options = {.validate = true, .keeps = is_indexed};
        reader = dl_dicom_reader_create(&options);
    }
    return reader;
}

static void give_reader(dl_service *service, dl_dicom_reader *reader)
{
    pthread_mutex_lock(&service->readers_lock);
    if (service->reader_count < DL_COUNT_OF(service->readers)) {
        service->readers[service->reader_count++] = reader;
        reader = NULL;
    }
    pthread_mutex_unlock(&service->readers_lock);
    dl_dicom_reader_destroy(reader);
}

static dl_dicom_file spool_file(const dl_upload *upload)
{
    return (dl_dicom_file){.fd = dl_store_spool_fd(upload->spool),
                           .size = dl_store_spool_size(upload->spool)};
}

/* v1 looks at the first values of what is indexed, and keeps all there is. */
static dl_status read_instance(ingest *in, instance *one, dl_arena *arena,
                               dl_dicom_header *out_header, dl_error *err)
{
    const dl_dicom_options mild = {.first_values = true, .keeps = is_indexed};
    bool v1 = in->options->v1;
    dl_dicom_reader *reader = v1 ? dl_dicom_reader_create(&mild) : take_reader(in->service);
    if (reader == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to read an instance");
    }
    dl_dicom_file file = spool_file(one->upload);
    dl_dicom_source source = dl_dicom_source_file(&file);
    dl_status status = dl_dicom_read(reader, &source, arena, &one->metadata, out_header, err);
    if (v1) {
        dl_dicom_reader_destroy(reader);
    } else {
        give_reader(in->service, reader);
    }
    return status;
}

static dl_status examine(ingest *in, instance *one, dl_arena *arena, dl_error *err)
{
    dl_stored *s = one->stored;
    dl_dicom_header header = {0};
    DL_TRY(read_instance(in, one, arena, &header, err));
    if (!header.has_preamble || !header.has_meta) {
        return dl_error_set(
            err, DL_E_INVALID,
            "not a DICOM file: no DICM after 128 bytes, or no file meta information");
    }
    DL_TRY(copy_uids(in, s, &header, err));
    check_core(in, s, &header);
    if (s->failure == 0 && in->options->study.len > 0 && !dl_str_eq(s->study, in->options->study)) {
        fail(in, s, FAILURE_OTHER_STUDY, 0x0020000D, "the study is not the one of the request");
    }
    apply_findings(in, s, &header);
    if (s->failure != 0) {
        return DL_OK;
    }
    DL_TRY(dl_arena_copy(in->arena, header.transfer_syntax_uid, &one->transfer_syntax, err));
    return dl_dicom_pixels_encode(&header, &one->frames, err);
}

/* ---- instances under way ---- */

static size_t bucket_of(dl_str key)
{
    return dl_store_xxh64((dl_bytes){(const uint8_t *)key.ptr, key.len}) % DL_SERVICE_BUCKETS;
}

static bool enter(dl_service *service, dl_inflight *mine)
{
    dl_inflight **bucket = &service->inflight[bucket_of(mine->key)];
    bool free = true;
    pthread_mutex_lock(&service->inflight_lock);
    for (const dl_inflight *other = *bucket; other != NULL; other = other->next) {
        free = free && !dl_str_eq(other->key, mine->key);
    }
    if (free) {
        mine->next = *bucket;
        *bucket = mine;
    }
    pthread_mutex_unlock(&service->inflight_lock);
    return free;
}

static void leave(dl_service *service, dl_inflight *mine)
{
    dl_inflight **at = &service->inflight[bucket_of(mine->key)];
    pthread_mutex_lock(&service->inflight_lock);
    while (*at != mine) {
        at = &(*at)->next;
    }
    *at = mine->next;
    pthread_mutex_unlock(&service->inflight_lock);
}

/* ---- groups ---- */

static void clear_instance(ingest *in, instance *one)
{
    if (one->inflight_taken) {
        leave(in->service, &one->inflight);
    }
    dl_buf_clear(&one->metadata);
    dl_buf_clear(&one->frames);
    dl_upload_clear(one->upload);
    *one = (instance){0};
}

/* One instance is made durable here, beside those of other connections, so that the committer only
 * has to name it. A failure shows again when it is published. */
static void sync_alone(dl_commit_item *item)
{
    dl_error cause = {0};
    if (dl_store_spool_sync(item->spool, &cause) != DL_OK) {
        dl_log_failure("sync", &cause);
    }
}

static void flush(ingest *in)
{
    const dl_ingest_options *o = in->options;
    int64_t now_us = dl_service_now_us(in->service);
    for (size_t i = 0; i < in->group_count; i++) {
        instance *one = &in->group[i];
        in->items[i] = (dl_commit_item){
            .spool = one->upload->spool,
            .partition_name = o->partition_name,
            .put = {.partition = o->partition,
                    .study_uid = one->stored->study,
                    .series_uid = one->stored->series,
                    .sop_uid = one->stored->sop,
                    .metadata = dl_buf_str(&one->metadata),
                    .frames = {(const uint8_t *)one->frames.ptr, one->frames.len},
                    .transfer_syntax = one->transfer_syntax,
                    .replace = o->replace,
                    .expires_us = o->expires_us,
                    .not_before_us = now_us + in->service->settings.deletion_delay_s * 1000000}};
    }
    if (in->group_count == 1) {
        sync_alone(&in->items[0]);
    }
    if (in->group_count > 0) {
        dl_committer_run(in->service->committer, in->items, in->group_count);
    }
    for (size_t i = 0; i < in->group_count; i++) {
        instance *one = &in->group[i];
        if (in->items[i].status != DL_OK) {
            one->stored->failure = FAILURE_PROCESSING;
        } else if (in->items[i].outcome == DL_INDEX_EXISTS) {
            one->stored->failure = FAILURE_STORED;
        }
        clear_instance(in, one);
    }
    in->group_count = 0;
    in->group_bytes = 0;
}

static bool is_in_group(const ingest *in, dl_str key)
{
    for (size_t i = 0; i < in->group_count; i++) {
        if (dl_str_eq(in->group[i].inflight.key, key)) {
            return true;
        }
    }
    return false;
}

/* Whether the bytes of the spool are those of the current version (setting store.put_dedup). */
static bool is_identical(const ingest *in, const instance *one, const dl_index_version *current)
{
    dl_store_object *object = NULL;
    uint64_t size = dl_store_spool_size(one->upload->spool);
    char key[DL_SERVICE_KEY_SIZE];
    dl_service_key(&in->service->settings, in->options->partition_name, current->watermark, key);
    if (size != current->size_bytes ||
        dl_store_open_object(in->service->store, dl_str_of(key), NULL, &object, NULL) != DL_OK) {
        return false;
    }
    bool same = true;
    int fd = dl_store_spool_fd(one->upload->spool);
    for (uint64_t at = 0; same && at < size;) {
        char ours[16384];
        char theirs[16384];
        size_t n = size - at < sizeof ours ? (size_t)(size - at) : sizeof ours;
        same = dl_file_read_at(fd, (int64_t)at, ours, n, NULL) == DL_OK &&
               dl_store_object_read(object, at, theirs, n, NULL) == DL_OK &&
               memcmp(ours, theirs, n) == 0;
        at += n;
    }
    dl_store_object_close(object);
    return same;
}

/* What is stored already: 45070 for POST, an early success for a PUT of the same bytes. */
static dl_status check_stored(ingest *in, instance *one, bool *out_done, dl_error *err)
{
    *out_done = false;
    if (in->options->replace && !in->service->settings.put_dedup) {
        return DL_OK;
    }
    DL_AUTO(dl_arena) arena = dl_arena_create(65536);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory to look up an instance");
    }
    dl_index_scope scope = {.partition = in->options->partition,
                            .study_uid = one->stored->study,
                            .series_uid = one->stored->series,
                            .sop_uid = one->stored->sop};
    dl_index_version *list = NULL;
    size_t count = 0;
    dl_index_snapshot *snapshot = NULL;
    DL_TRY(dl_index_snapshot_begin(in->service->index, &snapshot, err));
    int64_t expires_us = 0;
    dl_status status = dl_index_versions(snapshot, &scope, arena, &list, &count, err);
    if (status == DL_OK) {
        status = dl_index_expiry(snapshot, &scope, &expires_us, err);
    }
    dl_index_snapshot_end(snapshot);
    DL_TRY(status);
    if (count == 0) {
        return DL_OK;
    }
    if (!in->options->replace) {
        one->stored->failure = FAILURE_STORED;
        *out_done = true;
    } else { /* what changes the expiry of the study is never a repetition */
        *out_done =
            expires_us == 0 && in->options->expires_us == 0 && is_identical(in, one, &list[0]);
    }
    return DL_OK;
}

/* After validation: find a place in the group, or say why there is none. */
static dl_status admit(ingest *in, instance *one, dl_error *err)
{
    dl_stored *s = one->stored;
    dl_status status = dl_arena_printf(in->arena, &one->inflight.key, err, "%lld/%.*s/%.*s/%.*s",
                                       (long long)in->options->partition, DL_STR_ARG(s->study),
                                       DL_STR_ARG(s->series), DL_STR_ARG(s->sop));
    if (status != DL_OK) {
        clear_instance(in, one);
        return status;
    }
    if (is_in_group(in, one->inflight.key)) {
        instance waiting = *one;
        *one = (instance){0};
        flush(in); /* the earlier part first, as if they came one after the other */
        one = &in->group[0];
        *one = waiting;
    }
    if (!enter(in->service, &one->inflight)) {
        s->failure = FAILURE_BEING_STORED;
        clear_instance(in, one);
        return DL_OK;
    }
    one->inflight_taken = true;
    bool done = false;
    status = check_stored(in, one, &done, err);
    if (status != DL_OK || done) {
        clear_instance(in, one);
        return status;
    }
    in->group_bytes += one->metadata.len + one->frames.len;
    in->group_count++;
    if (in->group_count == in->group_limit || in->group_bytes > GROUP_METADATA_BYTES) {
        flush(in);
    }
    return DL_OK;
}

static void refuse_unreadable(ingest *in, dl_stored *s, dl_status status, const dl_error *cause)
{
    bool theirs = status == DL_E_INVALID || status == DL_E_LIMIT || status == DL_E_UNSUPPORTED;
    s->failure = theirs ? FAILURE_INVALID : FAILURE_PROCESSING;
    if (!theirs) {
        dl_log_failure("store", cause);
        return;
    }
    dl_str *text = dl_arena_alloc(in->arena, 1, sizeof *text);
    if (text != NULL &&
        dl_arena_printf(in->arena, text, NULL, "DICOM100: %s", cause->message) == DL_OK) {
        s->comments = text;
        s->comment_count = 1;
    }
}

static void take_one(ingest *in, dl_upload *upload, dl_stored *s)
{
    instance *one = &in->group[in->group_count];
    *one = (instance){.upload = upload, .stored = s};
    dl_buf_init(&one->metadata, DL_DICOM_JSON_LIMIT_BYTES);
    dl_buf_init(&one->frames, HEADER_ARENA_BYTES);
    dl_error cause = {0};
    dl_status status = DL_OK;
    DL_AUTO(dl_arena) arena = dl_arena_create(HEADER_ARENA_BYTES);
    if (upload->failed || arena == NULL) {
        s->failure = FAILURE_PROCESSING;
    } else {
        status = examine(in, one, arena, &cause);
    }
    if (status != DL_OK) {
        refuse_unreadable(in, s, status, &cause);
    }
    if (s->failure != 0) {
        clear_instance(in, one);
        return;
    }
    status = admit(in, one, &cause);
    if (status != DL_OK) {
        s->failure = FAILURE_PROCESSING;
        dl_log_failure("store", &cause);
    }
}

/* What validation found says nothing about a failure that came after it (contract 5.7). */
static void drop_comments(dl_stored *s)
{
    if (s->failure != 0 && s->failure != FAILURE_INVALID && s->failure != FAILURE_OTHER_STUDY) {
        s->comment_count = 0;
    }
}

dl_status dl_ingest(dl_service *service, const dl_ingest_options *options, dl_upload *uploads,
                    size_t count, dl_stored *out_stored, dl_error *err)
{
    ingest in = {.service = service,
                 .options = options,
                 .arena = options->arena,
                 .group_limit = count < DL_SERVICE_GROUP_LIMIT ? count : DL_SERVICE_GROUP_LIMIT};
    in.group = dl_arena_alloc(in.arena, in.group_limit, sizeof *in.group);
    in.items = dl_arena_alloc(in.arena, in.group_limit, sizeof *in.items);
    if (in.group == NULL || in.items == NULL) {
        return dl_arena_full(in.arena, err);
    }
    for (size_t i = 0; i < count; i++) {
        out_stored[i] = (dl_stored){0};
        take_one(&in, &uploads[i], &out_stored[i]);
    }
    flush(&in);
    for (size_t i = 0; i < count; i++) {
        drop_comments(&out_stored[i]);
    }
    return DL_OK;
}
