#include "load_kinds.h"

#include <stdio.h>
#include <string.h>

enum {
    HEAD_LIMIT_BYTES = 64 * 1024,
    STUDY_PAGE = 50,
    PAGE_MAX = 200,
    VERIFY_FILES_MAX = 20,
    PREFIX_BYTES = 3,
    PART_OVERHEAD_BYTES = 2048, /* boundary and headers of a part, generously */
    STORE_PARTS = 3,            /* pieces of one part of a store request */
};

#define BOUNDARY "bench-5f1d0c2e9ab84d7c8c1f-c7a36e0b41d94ed2"
#define JSON_TYPE "application/dicom+json"
#define FILES_TYPE "multipart/related; type=\"application/dicom\"; transfer-syntax=*"
#define FRAMES_TYPE "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*"
#define KEY_STUDY "\"0020000D\""
#define KEY_SERIES "\"0020000E\""
#define KEY_INSTANCE "\"00080018\""

typedef struct draw {
    const dl_bench_target *target;
    uint64_t index, state;
} draw;

struct dl_bench_kind {
    const char *name;
    dl_status (*make)(dl_bench_request *request, draw *d, dl_error *err);
    const char *accept, *item_key;
};

static uint64_t draw_next(draw *d)
{
    d->state += 0x9e3779b97f4a7c15U;
    uint64_t z = d->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static unsigned draw_below(draw *d, size_t bound)
{
    return (unsigned)(draw_next(d) % (bound == 0 ? 1 : bound));
}

static const dl_bench_row *any_row(draw *d, dl_bench_request *r)
{
    r->first = draw_below(d, d->target->archive->row_count);
    r->count = 1;
    return &d->target->archive->rows[r->first];
}

static const dl_bench_row *first_of(const dl_bench_group *group, const draw *d, dl_bench_request *r)
{
    r->first = group->first;
    r->count = group->count;
    return &d->target->archive->rows[group->first];
}

static const dl_bench_row *any_study(draw *d, dl_bench_request *r)
{
    const dl_bench_archive *a = d->target->archive;
    return first_of(&a->studies[draw_below(d, a->study_count)], d, r);
}

static const dl_bench_row *any_series(draw *d, dl_bench_request *r)
{
    const dl_bench_archive *a = d->target->archive;
    return first_of(&a->series[draw_below(d, a->series_count)], d, r);
}

/* ---- searches ---- */

/* Orthanc 1.10 does not decode %5E, so its names keep their '^', as many clients send it. */
static dl_status append_escaped(dl_buf *out, dl_str text, bool azure, dl_error *err)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || (c == '^' && !azure);
        DL_TRY(plain ? dl_buf_append_char(out, (char)c, err)
                     : dl_buf_printf(out, err, "%%%02X", c));
    }
    return DL_OK;
}

static int page_of(const draw *d)
{
    const dl_bench_target *t = d->target;
    return t->pages == NULL ? t->page : (int)t->pages[d->index];
}

static dl_status search_text(dl_bench_request *r, const draw *d, const char *name, dl_str value,
                             const char *rest, dl_error *err)
{
    DL_TRY(dl_buf_printf(&r->path, err, "/studies?%s=", name));
    DL_TRY(append_escaped(&r->path, value, d->target->azure, err));
    return dl_buf_printf(&r->path, err, "%s&limit=%d", rest, page_of(d));
}

static dl_status make_studies(dl_bench_request *r, draw *d, dl_error *err)
{
    return dl_buf_printf(&r->path, err, "/studies?limit=%d", page_of(d));
}

static size_t page_offset(draw *d, size_t count, size_t page)
{
    return count > page ? draw_below(d, count - page) : 0;
}

static dl_status make_page(dl_bench_request *r, draw *d, dl_error *err)
{
    return dl_buf_printf(&r->path, err, "/studies?limit=%d&offset=%zu", STUDY_PAGE,
                         page_offset(d, d->target->archive->study_count, STUDY_PAGE));
}

static dl_status make_patient(dl_bench_request *r, draw *d, dl_error *err)
{
    return search_text(r, d, "PatientID", any_study(d, r)->patient_id, "", err);
}

static dl_status make_name(dl_bench_request *r, draw *d, dl_error *err)
{
    return search_text(r, d, "PatientName", any_study(d, r)->patient_name, "", err);
}

static dl_status make_accession(dl_bench_request *r, draw *d, dl_error *err)
{
    r->wanted_items = 1;
    return search_text(r, d, "AccessionNumber", any_study(d, r)->accession, "", err);
}

static dl_status make_study(dl_bench_request *r, draw *d, dl_error *err)
{
    r->wanted_items = 1;
    return search_text(r, d, "StudyInstanceUID", any_study(d, r)->study, "", err);
}

/* The beginning of a family name: three characters, never half of one. */
static dl_status make_prefix(dl_bench_request *r, draw *d, dl_error *err)
{
    dl_str name = dl_str_slice(any_study(d, r)->patient_name, 0, PREFIX_BYTES);
    while (name.len > 0 && !dl_str_is_utf8(name)) {
        name.len--;
    }
    return search_text(r, d, "PatientName", name, d->target->azure ? "&fuzzymatching=true" : "*",
                       err);
}

static dl_status make_date(dl_bench_request *r, draw *d, dl_error *err)
{
    unsigned year = 2018 + draw_below(d, 8);
    unsigned month = 1 + draw_below(d, 12);
    return dl_buf_printf(&r->path, err, "/studies?StudyDate=%04u%02u01-%04u%02u07&limit=%d", year,
                         month, year, month, page_of(d));
}

static const char *any_modality(draw *d)
{
    static const char *const list[] = {"CT", "MR", "PT", "US", "MG"};
    return list[draw_below(d, DL_COUNT_OF(list))];
}

static dl_status make_modality(dl_bench_request *r, draw *d, dl_error *err)
{
    return search_text(r, d, "ModalitiesInStudy", dl_str_of(any_modality(d)), "", err);
}

static dl_status make_modality_date(dl_bench_request *r, draw *d, dl_error *err)
{
    unsigned year = 2018 + draw_below(d, 8);
    return dl_buf_printf(&r->path, err,
                         "/studies?ModalitiesInStudy=%s&StudyDate=%04u0101-%04u0331&limit=%d",
                         any_modality(d), year, year, page_of(d));
}

static dl_status make_series_of_study(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_row *row = any_study(d, r);
    return dl_buf_printf(&r->path, err, "/studies/%.*s/series", DL_STR_ARG(row->study));
}

static dl_status make_series_modality(dl_bench_request *r, draw *d, dl_error *err)
{
    return dl_buf_printf(&r->path, err, "/series?Modality=MR&limit=%d&offset=%u", page_of(d),
                         draw_below(d, 10));
}

static dl_status make_instances_of_series(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_row *row = any_series(d, r);
    r->wanted_items = r->count < PAGE_MAX ? r->count : PAGE_MAX;
    return dl_buf_printf(&r->path, err, "/studies/%.*s/series/%.*s/instances?limit=%d",
                         DL_STR_ARG(row->study), DL_STR_ARG(row->series), PAGE_MAX);
}

static dl_status make_instances_of_study(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_row *row = any_study(d, r);
    r->wanted_items = r->count < PAGE_MAX ? r->count : PAGE_MAX;
    return dl_buf_printf(&r->path, err, "/studies/%.*s/instances?limit=%d", DL_STR_ARG(row->study),
                         PAGE_MAX);
}

static dl_status make_instances(dl_bench_request *r, draw *d, dl_error *err)
{
    return dl_buf_printf(&r->path, err, "/instances?limit=%d&offset=%zu", page_of(d),
                         page_offset(d, d->target->archive->row_count, (size_t)d->target->page));
}

/* ---- retrieve ---- */

static dl_status series_path(dl_bench_request *r, const dl_bench_row *row, const char *rest,
                             dl_error *err)
{
    return dl_buf_printf(&r->path, err, "/studies/%.*s/series/%.*s%s", DL_STR_ARG(row->study),
                         DL_STR_ARG(row->series), rest);
}

static dl_status instance_path(dl_bench_request *r, const dl_bench_row *row, const char *rest,
                               dl_error *err)
{
    return dl_buf_printf(&r->path, err, "/studies/%.*s/series/%.*s/instances/%.*s%s",
                         DL_STR_ARG(row->study), DL_STR_ARG(row->series), DL_STR_ARG(row->sop),
                         rest);
}

static dl_status make_instance(dl_bench_request *r, draw *d, dl_error *err)
{
    return instance_path(r, any_row(d, r), "", err);
}

static dl_status make_frame(dl_bench_request *r, draw *d, dl_error *err)
{
    r->frame = true;
    return instance_path(r, any_row(d, r), "/frames/1", err);
}

static dl_status make_metadata(dl_bench_request *r, draw *d, dl_error *err)
{
    r->wanted_items = 1;
    return instance_path(r, any_row(d, r), "/metadata", err);
}

static dl_status make_series_files(dl_bench_request *r, draw *d, dl_error *err)
{
    return series_path(r, any_series(d, r), "", err);
}

static dl_status make_series_metadata(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_row *row = any_series(d, r);
    r->wanted_items = r->count;
    return series_path(r, row, "/metadata", err);
}

/* The biggest series of the archive, every time. */
static dl_status make_big_series_metadata(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_archive *a = d->target->archive;
    const dl_bench_group *big = &a->series[0];
    for (size_t i = 1; i < a->series_count; i++) {
        big = a->series[i].count > big->count ? &a->series[i] : big;
    }
    const dl_bench_row *row = first_of(big, d, r);
    r->wanted_items = r->count;
    return series_path(r, row, "/metadata", err);
}

static dl_status make_study_files(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_row *row = any_study(d, r);
    return dl_buf_printf(&r->path, err, "/studies/%.*s", DL_STR_ARG(row->study));
}

static dl_status make_study_metadata(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_row *row = any_study(d, r);
    r->wanted_items = r->count;
    return dl_buf_printf(&r->path, err, "/studies/%.*s/metadata", DL_STR_ARG(row->study));
}

/* ---- store ---- */

static dl_status make_store(dl_bench_request *r, draw *d, dl_error *err)
{
    const dl_bench_target *t = d->target;
    size_t left = t->archive->row_count - (size_t)d->index * t->per_store;
    r->store = true;
    r->first = (size_t)d->index * t->per_store;
    r->count = left < t->per_store ? left : t->per_store;
    return dl_buf_append_str(&r->path, DL_STR("/studies"), err);
}

static const dl_bench_kind KINDS[] = {
    {"store", make_store, JSON_TYPE, NULL},
    {"studies", make_studies, JSON_TYPE, KEY_STUDY},
    {"page", make_page, JSON_TYPE, KEY_STUDY},
    {"patient", make_patient, JSON_TYPE, KEY_STUDY},
    {"date", make_date, JSON_TYPE, KEY_STUDY},
    {"modality", make_modality, JSON_TYPE, KEY_STUDY},
    {"modality-date", make_modality_date, JSON_TYPE, KEY_STUDY},
    {"name", make_name, JSON_TYPE, KEY_STUDY},
    {"prefix", make_prefix, JSON_TYPE, KEY_STUDY},
    {"accession", make_accession, JSON_TYPE, KEY_STUDY},
    {"study", make_study, JSON_TYPE, KEY_STUDY},
    {"series-of-study", make_series_of_study, JSON_TYPE, KEY_SERIES},
    {"series-modality", make_series_modality, JSON_TYPE, KEY_SERIES},
    {"instances-of-series", make_instances_of_series, JSON_TYPE, KEY_INSTANCE},
    {"instances-of-study", make_instances_of_study, JSON_TYPE, KEY_INSTANCE},
    {"instances", make_instances, JSON_TYPE, KEY_INSTANCE},
    {"instance-file", make_instance, FILES_TYPE, NULL},
    {"series-files", make_series_files, FILES_TYPE, NULL},
    {"study-files", make_study_files, FILES_TYPE, NULL},
    {"frame", make_frame, FRAMES_TYPE, NULL},
    {"metadata", make_metadata, JSON_TYPE, KEY_INSTANCE},
    {"series-metadata", make_series_metadata, JSON_TYPE, KEY_INSTANCE},
    {"big-series-metadata", make_big_series_metadata, JSON_TYPE, KEY_INSTANCE},
    {"study-metadata", make_study_metadata, JSON_TYPE, KEY_INSTANCE},
};

const dl_bench_kind *dl_bench_kind_find(const char *name)
{
    for (size_t i = 0; i < DL_COUNT_OF(KINDS); i++) {
        if (strcmp(KINDS[i].name, name) == 0) {
            return &KINDS[i];
        }
    }
    return NULL;
}

const char *dl_bench_kind_name(size_t i)
{
    return i < DL_COUNT_OF(KINDS) ? KINDS[i].name : NULL;
}

uint64_t dl_bench_kind_limit(const dl_bench_kind *kind, const dl_bench_target *target)
{
    if (kind->make != make_store) {
        return UINT64_MAX;
    }
    return (target->archive->row_count + target->per_store - 1) / target->per_store;
}

void dl_bench_request_init(dl_bench_request *request)
{
    *request = (dl_bench_request){0};
    dl_buf_init(&request->path, HEAD_LIMIT_BYTES);
    dl_buf_init(&request->head, HEAD_LIMIT_BYTES);
}

void dl_bench_request_clear(dl_bench_request *request)
{
    dl_buf_clear(&request->path);
    dl_buf_clear(&request->head);
}

static size_t add_part(dl_bench_request *r, const void *bytes, size_t len)
{
    DL_ASSERT(r->part_count < DL_BENCH_IOV_LIMIT);
    union {
        const void *read_only;
        void *pointer;
    } base = {.read_only = bytes}; /* writev's struct has no const */
    r->parts[r->part_count++] = (struct iovec){base.pointer, len};
    return len;
}

/* The files go out from the mapped pack, nothing is copied. */
static size_t add_files(dl_bench_request *r, const dl_bench_archive *a)
{
    static const char part[] = "--" BOUNDARY "\r\nContent-Type: application/dicom\r\n\r\n";
    static const char last[] = "--" BOUNDARY "--\r\n";
    size_t len = 0;
    for (size_t i = r->first; i < r->first + r->count; i++) {
        len += add_part(r, part, sizeof part - 1);
        len += add_part(r, a->pack + a->rows[i].offset_bytes, a->rows[i].length_bytes);
        len += add_part(r, "\r\n", 2);
    }
    return len + add_part(r, last, sizeof last - 1);
}

dl_status dl_bench_request_make(dl_bench_request *request, const dl_bench_kind *kind,
                                const dl_bench_target *target, uint64_t index, dl_error *err)
{
    draw d = {.target = target, .index = index, .state = target->seed};
    d.state = draw_next(&d) ^ index;
    (void)draw_next(&d);
    DL_ASSERT(target->per_store * STORE_PARTS + 2 <= DL_BENCH_IOV_LIMIT);
    dl_bench_request *r = request;
    r->store = false;
    r->frame = false;
    r->wanted_items = UINT64_MAX;
    r->accept = kind->accept;
    r->item_key = kind->item_key;
    r->part_count = 1;
    dl_buf_reset(&r->path);
    dl_buf_reset(&r->head);
    DL_TRY(kind->make(r, &d, err));
    DL_TRY(dl_buf_printf(&r->head, err,
                         "%s %s%.*s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: %s\r\n",
                         r->store ? "POST" : "GET", target->root, DL_STR_ARG(dl_buf_str(&r->path)),
                         target->port, r->accept));
    if (r->store) {
        size_t len = add_files(r, target->archive);
        DL_TRY(dl_buf_printf(&r->head, err,
                             "Content-Type: multipart/related; type=\"application/dicom\"; "
                             "boundary=" BOUNDARY "\r\nContent-Length: %zu\r\n",
                             len));
    }
    DL_TRY(dl_buf_append_str(&r->head, DL_STR("\r\n"), err));
    r->parts[0] = (struct iovec){r->head.ptr, r->head.len};
    return DL_OK;
}

/* ---- answers ---- */

static uint64_t hash_text(const char *text, size_t len)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3U;
    }
    return h ^ (h >> 29);
}

/* Keys of a DICOM JSON answer, and the first value behind each: ... "Value" : [ "1.2.3" ] ... */
static uint64_t count_keys(const dl_buf *body, const char *key, uint64_t *out_digest)
{
    const char *at = body->ptr;
    const char *end = body->len == 0 ? at : at + body->len;
    uint64_t count = 0;
    uint64_t digest = 0;
    size_t key_len = strlen(key);
    while (at < end && (at = memmem(at, (size_t)(end - at), key, key_len)) != NULL) {
        at += key_len;
        count++;
        const char *list = memchr(at, '[', (size_t)(end - at));
        const char *open = list == NULL ? NULL : memchr(list, '"', (size_t)(end - list));
        const char *close = open == NULL ? NULL : memchr(open + 1, '"', (size_t)(end - open - 1));
        if (close != NULL) {
            digest += hash_text(open + 1, (size_t)(close - open - 1));
        }
    }
    *out_digest = digest;
    return count;
}

/* Pixel Data of an explicit VR file of ours: behind its 12-byte head to the end. */
static dl_bytes pixels_of(const dl_bench_archive *a, const dl_bench_row *row)
{
    static const char tag[] = {(char)0xe0, 0x7f, 0x10, 0x00, 'O', 'W', 0, 0};
    const uint8_t *file = a->pack + row->offset_bytes;
    const uint8_t *at = memmem(file, row->length_bytes, tag, sizeof tag);
    if (at == NULL) {
        return (dl_bytes){file, row->length_bytes};
    }
    return (dl_bytes){at + 12, (size_t)(file + row->length_bytes - at - 12)};
}

static dl_bytes wanted(const dl_bench_request *r, const dl_bench_archive *a, size_t i)
{
    const dl_bench_row *row = &a->rows[i];
    return r->frame ? pixels_of(a, row)
                    : (dl_bytes){a->pack + row->offset_bytes, row->length_bytes};
}

bool dl_bench_request_discards(const dl_bench_request *request, const dl_bench_target *target)
{
    return !request->store && request->item_key == NULL && !target->verify;
}

static bool check_files(const dl_bench_request *r, const dl_bench_target *t,
                        const dl_bench_conn *answer)
{
    uint64_t bytes = 0;
    for (size_t i = r->first; i < r->first + r->count; i++) {
        bytes += wanted(r, t->archive, i).len;
    }
    uint64_t got = answer->body_bytes;
    if (got < bytes || got > bytes + (r->count + 1) * PART_OVERHEAD_BYTES) {
        return false;
    }
    const dl_buf *body = &answer->body;
    for (size_t i = 0; t->verify && i < r->count && i < VERIFY_FILES_MAX; i++) {
        dl_bytes file = wanted(r, t->archive, r->first + i);
        if (memmem(body->ptr, body->len, file.ptr, file.len) == NULL) {
            return false;
        }
    }
    return true;
}

bool dl_bench_answer_check(const dl_bench_request *request, const dl_bench_target *target,
                           unsigned status, const dl_bench_conn *answer, uint64_t *out_items,
                           uint64_t *out_digest)
{
    const dl_buf *body = &answer->body;
    *out_items = 0;
    *out_digest = 0;
    if (request->store) {
        static const char failed[] = "\"00081197\"";
        uint64_t digest = 0;
        *out_items = count_keys(body, "\"00081155\"", out_digest);
        return (status == 200 || status == 202) && *out_items == request->count &&
               count_keys(body, failed, &digest) == 0;
    }
    if (request->item_key != NULL) {
        if (status == 200) {
            *out_items = count_keys(body, request->item_key, out_digest);
        }
        bool known = request->wanted_items != UINT64_MAX;
        return (status == 200 || status == 204) && (!known || *out_items == request->wanted_items);
    }
    *out_items = request->count;
    return status == 200 && check_files(request, target, answer);
}
