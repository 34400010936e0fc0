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
    const char *initial; /* transfer syntax when the entry names none */
} offer;

enum { MANY = 1, ONE = 2, FRAMES = 4 };

/* clang-format off */
static const offer offers[] = {
    {MANY | ONE, true,  "multipart/related", "application/dicom", "application/dicom", {"*", explicit_le, jpeg_2000_lossless}, explicit_le},
    {ONE,        false, "application/dicom", NULL, "application/dicom", {"*", explicit_le, jpeg_2000_lossless}, explicit_le},
    {MANY | ONE, true,  "*/*", NULL, "application/dicom", {"*"}, "*"},
    {FRAMES,     false, "application/octet-stream", NULL, "application/octet-stream", {"*", explicit_le}, explicit_le},
    {FRAMES,     true,  "multipart/related", "application/octet-stream", "application/octet-stream", {"*", explicit_le}, explicit_le},
    {FRAMES,     true,  "multipart/related", "image/jp2", "image/jp2", {jpeg_2000_lossless}, jpeg_2000_lossless},
    {FRAMES,     true,  "*/*", NULL, "application/octet-stream", {"*"}, "*"},
};
/* clang-format on */

static bool offers_syntax(const offer *o, dl_str syntax)
{
    for (size_t i = 0; i < DL_COUNT_OF(o->syntaxes) && o->syntaxes[i] != NULL; i++) {
        if (dl_str_eq(syntax, dl_str_of(o->syntaxes[i]))) {
            return true;
        }
    }
    return false;
}

static bool try_offer(const offer *o, const dl_media *entry, dl_form *out_form)
{
    if (!dl_media_type_is(entry, o->type) || entry->q <= 0) {
        return false;
    }
    if (o->part != NULL &&
        !dl_str_eq_nocase(dl_media_param_of(entry, "type"), dl_str_of(o->part))) {
        return false;
    }
    dl_str syntax = dl_media_param_of(entry, "transfer-syntax");
    if (syntax.ptr == NULL) {
        syntax = dl_str_of(o->initial);
    }
    if (!offers_syntax(o, syntax)) {
        return false;
    }
    *out_form = (dl_form){.multipart = o->multipart,
                          .body_type = o->body,
                          .syntax = syntax,
                          .as_stored = dl_str_eq(syntax, DL_STR("*"))};
    return true;
}

static bool find_offer(const dl_media *entry, unsigned resource, dl_form *out_form)
{
    for (size_t i = 0; i < DL_COUNT_OF(offers); i++) {
        if ((offers[i].resources & resource) != 0 && try_offer(&offers[i], entry, out_form)) {
            return true;
        }
    }
    return false;
}

bool dl_negotiate(dl_service_request *r, dl_form *out_form)
{
    unsigned resource = r->frames.len > 0 ? FRAMES : r->sop.len > 0 ? ONE : MANY;
    dl_str accept = dl_http_header(r->x, "Accept");
    dl_media *entries = NULL;
    size_t count = 0;
    if (accept.ptr == NULL ||
        dl_media_parse_accept(accept, dl_http_arena(r->x), &entries, &count, NULL) != DL_OK) {
        return false;
    }
    bool found = false;
    double q = 0;
    for (size_t i = 0; i < count; i++) {
        dl_form form = {0};
        if ((found && entries[i].q < q) || !find_offer(&entries[i], resource, &form)) {
            continue;
        }
        if (!found || (form.as_stored && !out_form->as_stored)) { /* `*` wins among equals */
            *out_form = form;
            q = entries[i].q;
            found = true;
        }
    }
    return found;
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

bool dl_form_fits(dl_service_request *r, const dl_form *form, const dl_index_version *versions,
                  size_t count)
{
    if (form->as_stored) {
        return true;
    }
    if (count > 1) {
        (void)dl_refuse(r, 406,
                        "Several instances can only be had as stored: ask for transfer-syntax=*.");
        return false;
    }
    if (dl_str_eq(versions[0].transfer_syntax, form->syntax)) {
        return true;
    }
    if (is_transcodable(versions[0].transfer_syntax) &&
        versions[0].size_bytes <= DL_SERVICE_TRANSCODE_LIMIT_BYTES) {
        (void)dl_refuse(r, 501,
                        "The instance is stored as %.*s, and transcoding is not part of this "
                        "service yet: ask for transfer-syntax=*.",
                        DL_STR_ARG(versions[0].transfer_syntax));
    } else {
        (void)dl_refuse(r, 406,
                        "The instance is stored as %.*s and cannot be had in another transfer "
                        "syntax: ask for transfer-syntax=*.",
                        DL_STR_ARG(versions[0].transfer_syntax));
    }
    return false;
}
