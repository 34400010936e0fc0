/* Which form an answer takes: the Accept header against what a resource can be (contract 6.2). */
#include "service/internal.h"

#include "http/media.h"

static const char explicit_le[] = "1.2.840.10008.1.2.1";
static const char jpeg_2000_lossless[] = "1.2.840.10008.1.2.4.90";

/* One way to answer: a row of the table of contract 6.2. */
typedef struct offer {
    unsigned resources;
    bool multipart;
    const char *type; /* of the Accept entry */
    const char *part; /* its `type` parameter; NULL: none looked at */
    const char *body; /* media type of the bytes */
    const char *syntaxes[3];
    const char *initial;   /* transfer syntax when the entry names none; NULL: any of `stored` */
    const char *stored[4]; /* further ones, for what is stored so: never converted to; "": each */
} offer;

enum { MANY = 1, ONE = 2, FRAMES = 4 };
enum { FORMS_OF_ENTRY = 1 + DL_COUNT_OF(((offer *)NULL)->stored) };

/* clang-format off */
static const offer offers[] = {
    {MANY | ONE, true,  "multipart/related", "application/dicom", "application/dicom", {"*", explicit_le, jpeg_2000_lossless}, explicit_le, {""}},
    {ONE,        false, "application/dicom", NULL, "application/dicom", {"*", explicit_le, jpeg_2000_lossless}, explicit_le, {""}},
    {MANY | ONE, true,  "*/*", NULL, "application/dicom", {"*"}, "*", {NULL}},
    {FRAMES,     false, "application/octet-stream", NULL, "application/octet-stream", {"*", explicit_le}, explicit_le, {""}},
    {FRAMES,     true,  "multipart/related", "application/octet-stream", "application/octet-stream", {"*", explicit_le}, explicit_le, {""}},
    {FRAMES,     true,  "*/*", NULL, "application/octet-stream", {"*"}, "*", {NULL}},
    {FRAMES,     true,  "multipart/related", "*/*", "application/octet-stream", {"*"}, "*", {NULL}}, /* dicomweb-client */
    /* PS3.18 section 8.7.3.3, table of compressed bulk data */
    {FRAMES,     true,  "multipart/related", "image/jp2", "image/jp2", {jpeg_2000_lossless}, jpeg_2000_lossless, {"1.2.840.10008.1.2.4.91"}},
    {FRAMES,     true,  "multipart/related", "image/jpeg", "image/jpeg", {NULL}, NULL,
     {"1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57"}},
    {FRAMES,     true,  "multipart/related", "image/dicom-rle", "image/dicom-rle", {NULL}, NULL, {"1.2.840.10008.1.2.5"}},
    {FRAMES,     true,  "multipart/related", "image/jls", "image/jls", {NULL}, NULL, {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}},
    {FRAMES,     true,  "multipart/related", "image/jpx", "image/jpx", {NULL}, NULL, {"1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.93"}},
    {FRAMES,     true,  "multipart/related", "image/jphc", "image/jphc", {NULL}, NULL,
     {"1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203"}},
    {FRAMES,     true,  "multipart/related", "image/jxl", "image/jxl", {NULL}, NULL,
     {"1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"}},
};
/* clang-format on */

static bool lists(const char *const *list, size_t count, dl_str syntax)
{
    for (size_t i = 0; i < count && list[i] != NULL; i++) {
        if (list[i][0] == '\0' || dl_str_eq(syntax, dl_str_of(list[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_for(const offer *o, const dl_media *entry, unsigned resource)
{
    if ((o->resources & resource) == 0 || !dl_media_type_is(entry, o->type) || entry->q <= 0) {
        return false;
    }
    return o->part == NULL ||
           dl_str_eq_nocase(dl_media_param_of(entry, "type"), dl_str_of(o->part));
}

/* Behind those of the same q; `*` before them (contract 6.2). */
static void add_form(dl_forms *forms, const offer *o, double q, dl_str syntax, bool stored_only)
{
    bool as_stored = dl_str_eq(syntax, DL_STR("*"));
    size_t at = forms->count;
    while (as_stored && at > 0 && forms->list[at - 1].q <= q && !forms->list[at - 1].as_stored) {
        forms->list[at] = forms->list[at - 1];
        at--;
    }
    forms->list[at] = (dl_form){.multipart = o->multipart,
                                .body_type = o->body,
                                .syntax = syntax,
                                .q = q,
                                .as_stored = as_stored,
                                .stored_only = stored_only};
    forms->count++;
}

static void add_forms(dl_forms *forms, const offer *o, const dl_media *entry)
{
    dl_str syntax = dl_media_param_of(entry, "transfer-syntax");
    if (syntax.ptr != NULL) {
        bool listed = lists(o->syntaxes, DL_COUNT_OF(o->syntaxes), syntax);
        if (listed || lists(o->stored, DL_COUNT_OF(o->stored), syntax)) {
            add_form(forms, o, entry->q, syntax, !listed);
        }
        return;
    }
    if (o->initial != NULL) {
        add_form(forms, o, entry->q, dl_str_of(o->initial), false);
    }
    for (size_t i = 0; i < DL_COUNT_OF(o->stored) && o->stored[i] != NULL; i++) {
        if (o->stored[i][0] != '\0') {
            add_form(forms, o, entry->q, dl_str_of(o->stored[i]), true);
        }
    }
}

bool dl_negotiate(dl_service_request *r, dl_forms *out_forms)
{
    unsigned resource = r->frames.len > 0 ? FRAMES : r->sop.len > 0 ? ONE : MANY;
    dl_str accept = dl_http_header(r->x, "Accept");
    dl_media *entries = NULL;
    size_t count = 0;
    *out_forms = (dl_forms){0};
    dl_http_add_header(r->x, "Vary", DL_STR("Accept")); /* for caches, also on a 406 */
    if (accept.ptr == NULL ||
        dl_media_parse_accept(accept, dl_http_arena(r->x), &entries, &count, NULL) != DL_OK) {
        return false;
    }
    dl_forms forms = {
        .list = dl_arena_alloc(dl_http_arena(r->x), count * FORMS_OF_ENTRY, sizeof *forms.list)};
    for (size_t i = 0; forms.list != NULL && i < count; i++) {
        for (size_t k = 0; k < DL_COUNT_OF(offers); k++) {
            if (is_for(&offers[k], &entries[i], resource)) {
                add_forms(&forms, &offers[k], &entries[i]); /* one row at most is for an entry */
            }
        }
    }
    *out_forms = forms;
    return forms.count > 0;
}

dl_status dl_refuse_form(dl_service_request *r)
{
    if (r->frames.len > 0) {
        return dl_refuse(r, 406,
                         "The Accept header names no form that frames can be had in; try "
                         "multipart/related; type=\"application/octet-stream\"; "
                         "transfer-syntax=*.");
    }
    return dl_refuse(r, 406,
                     "The Accept header names no form that this resource can be had in; try "
                     "multipart/related; type=\"application/dicom\"; transfer-syntax=*.");
}

/* Sources that contract 6.3 lists as transcodable. */
static bool is_transcodable(dl_str syntax)
{
    static const char *const list[] = {
        "1.2.840.10008.1.2",      "1.2.840.10008.1.2.1",    "1.2.840.10008.1.2.2",
        "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70",
        "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5",
    };
    for (size_t i = 0; i < DL_COUNT_OF(list); i++) {
        if (dl_str_eq(syntax, dl_str_of(list[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_had(const dl_form *form, const dl_index_version *versions, size_t count)
{
    return form->as_stored || (count == 1 && dl_str_eq(versions[0].transfer_syntax, form->syntax));
}

static dl_status refuse_conversion(dl_service_request *r, const dl_index_version *versions,
                                   size_t count)
{
    if (count > 1) {
        return dl_refuse(r, 406,
                         "Several instances can only be had as stored: ask for transfer-syntax=*.");
    }
    if (is_transcodable(versions[0].transfer_syntax) &&
        versions[0].size_bytes <= DL_SERVICE_TRANSCODE_LIMIT_BYTES) {
        return dl_refuse(r, 501,
                         "The instance is stored as %.*s, and transcoding is not part of this "
                         "service yet: ask for transfer-syntax=*.",
                         DL_STR_ARG(versions[0].transfer_syntax));
    }
    return dl_refuse(r, 406,
                     "The instance is stored as %.*s and cannot be had in another transfer "
                     "syntax: ask for transfer-syntax=*.",
                     DL_STR_ARG(versions[0].transfer_syntax));
}

bool dl_form_choose(dl_service_request *r, const dl_forms *forms, const dl_index_version *versions,
                    size_t count, dl_form *out_form)
{
    bool conversion = false;
    for (size_t i = 0; i < forms->count; i++) {
        if (is_had(&forms->list[i], versions, count)) {
            *out_form = forms->list[i];
            return true;
        }
        conversion = conversion || !forms->list[i].stored_only;
    }
    (void)(conversion ? refuse_conversion(r, versions, count) : dl_refuse_form(r));
    return false;
}
