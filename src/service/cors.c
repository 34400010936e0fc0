/* Pages of other origins (contract section 19). */
#include "service/internal.h"

#include <stdio.h>
#include <string.h>

/* The entry that allows it, which is `*` or the origin itself; NULL: none. What the request holds
 * is not given back: it may be one that the server refuses for what its headers hold. */
static dl_str allowing_entry(const dl_service_settings *settings, dl_str origin)
{
    dl_str rest = dl_str_of(settings->cors_origins);
    dl_str one = DL_STR_NONE;
    while (rest.len > 0 && dl_str_next(&rest, ',', &one)) {
        one = dl_str_trim(one);
        if (dl_str_eq(one, DL_STR("*")) || dl_str_eq(one, origin)) {
            return one;
        }
    }
    return DL_STR_NONE;
}

/* `*` covers neither Authorization nor, beside credentials, any header (Fetch standard, CORS
 * protocol): the headers asked for are named instead. */
static dl_str allowed_headers(const dl_service_settings *settings, const dl_http_exchange *x)
{
    dl_str asked = dl_http_header(x, "Access-Control-Request-Headers");
    dl_str listed = dl_str_of(settings->cors_headers);
    return dl_str_eq(listed, DL_STR("*")) && asked.len > 0 ? asked : listed;
}

bool dl_cors_headers(const dl_service *service, dl_http_exchange *x)
{
    const dl_service_settings *settings = &service->settings;
    dl_str origin = dl_http_header(x, "Origin");
    if (settings->cors_origins[0] != '\0') { /* also without one: a cache must not give that out */
        dl_http_add_header(x, "Vary", DL_STR("Origin"));
    }
    dl_str entry = origin.ptr == NULL ? DL_STR_NONE : allowing_entry(settings, origin);
    if (entry.ptr == NULL) {
        return false;
    }
    dl_http_add_header(x, "Access-Control-Allow-Origin", entry);
    dl_http_add_header(
        x, "Access-Control-Expose-Headers",
        DL_STR("ETag, Location, Content-Location, Warning, erroneous-dicom-attributes, "
               "Accept-Ranges, Content-Range, X-Request-Id, dl-feed-id, dl-next-sequence"));
    if (settings->cors_credentials) {
        dl_http_add_header(x, "Access-Control-Allow-Credentials", DL_STR("true"));
    }
    return true;
}

bool dl_cors(dl_service *service, dl_http_exchange *x)
{
    const dl_service_settings *settings = &service->settings;
    bool allowed = dl_cors_headers(service, x);
    bool preflight = dl_str_eq(dl_http_method(x), DL_STR("OPTIONS")) &&
                     dl_http_header(x, "Origin").ptr != NULL &&
                     dl_http_header(x, "Access-Control-Request-Method").ptr != NULL;
    if (!preflight) {
        return false;
    }
    if (allowed) {
        char age[16];
        (void)snprintf(age, sizeof age, "%u", settings->cors_max_age_s);
        dl_http_add_header(x, "Access-Control-Allow-Methods", dl_str_of(settings->cors_methods));
        dl_http_add_header(x, "Access-Control-Allow-Headers", allowed_headers(settings, x));
        dl_http_add_header(x, "Access-Control-Max-Age", dl_str_of(age));
    }
    dl_http_respond(x, 204, NULL, DL_STR(""));
    return true;
}
