/* Other apps on the same address, and what keeps pages of other origins away from them and from the
 * archive.
 *
 * A browser on this machine reaches loopback for any page it shows. A name that a page's owner lets
 * point to 127.0.0.1 (DNS rebinding) makes our answers those of the page's own origin, which no
 * rule of browsers keeps from it: the Host must be loopback, that of http.public_url, or named in
 * http.hosts. The apps also change things (start triggers, remove pipelines): a page of another
 * origin that sends a form or a simple request tells its Origin: what changes something takes only
 * our own or one of cors.origins. */
#include "service/internal.h"

#include "base/mem.h"

#include <string.h>

/* ---- which app ---- */

static const dl_service_mount *find_mount(const dl_service *service, dl_str path)
{
    for (size_t i = 0; i < service->mount_count; i++) {
        dl_str prefix = dl_str_of(service->mounts[i].prefix);
        bool below = dl_str_ends(prefix, DL_STR("/")) ? dl_str_starts(path, prefix)
                                                      : dl_str_eq(path, prefix);
        if (below) {
            return &service->mounts[i];
        }
    }
    return NULL;
}

/* ---- who may ---- */

/* Only addresses: 127.evil.example is a name that somebody else may hold. */
static bool is_loopback_name(dl_str name)
{
    if (dl_str_eq_nocase(name, DL_STR("localhost")) || dl_str_eq(name, DL_STR("[::1]"))) {
        return true;
    }
    if (!dl_str_starts(name, DL_STR("127."))) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] != '.' && (name.ptr[i] < '0' || name.ptr[i] > '9')) {
            return false;
        }
    }
    return true;
}

static bool is_listed(const char *list, dl_str word)
{
    dl_str rest = dl_str_of(list);
    dl_str one = DL_STR_NONE;
    while (rest.len > 0 && dl_str_next(&rest, ',', &one)) {
        one = dl_str_trim(one);
        if (dl_str_eq(one, DL_STR("*")) || dl_str_eq_nocase(one, word)) {
            return true;
        }
    }
    return false;
}

/* "http://host:port" without the scheme. */
static dl_str authority_of(dl_str url)
{
    ptrdiff_t at = dl_str_find_str(url, DL_STR("://"));
    return at < 0 ? url : dl_str_slice(url, (size_t)at + 3, url.len);
}

static dl_str without_port(dl_str authority)
{
    ptrdiff_t end = dl_str_starts(authority, DL_STR("[")) ? dl_str_find(authority, ']')
                                                          : dl_str_find(authority, ':');
    if (end < 0) {
        return authority;
    }
    return dl_str_slice(authority, 0, (size_t)end + (authority.ptr[0] == '[' ? 1 : 0));
}

static bool host_is_ours(const dl_service *service, dl_http_exchange *x)
{
    dl_str name = without_port(authority_of(dl_http_base_url(x)));
    dl_str rest = authority_of(dl_str_of(service->settings.public_url));
    dl_str own = DL_STR_NONE;
    (void)dl_str_next(&rest, '/', &own);
    return is_loopback_name(name) || (own.len > 0 && dl_str_eq_nocase(name, without_port(own))) ||
           is_listed(service->settings.hosts, name);
}

static bool origin_is_allowed(const dl_service *service, dl_http_exchange *x)
{
    dl_str origin = dl_http_header(x, "Origin");
    dl_str site = dl_http_header(x, "Sec-Fetch-Site");
    if (origin.ptr == NULL) { /* no browser, or one that says where the request comes from */
        return site.ptr == NULL || dl_str_eq(site, DL_STR("same-origin")) ||
               dl_str_eq(site, DL_STR("none"));
    }
    return dl_str_eq_nocase(authority_of(origin), authority_of(dl_http_base_url(x))) ||
           is_listed(service->settings.cors_origins, origin);
}

static bool refuse(dl_http_exchange *x, unsigned status, const char *text)
{
    dl_http_respond(x, status, "text/plain; charset=utf-8", dl_str_of(text));
    return true;
}

bool dl_host_is_refused(const dl_service *service, dl_http_exchange *x)
{
    return !host_is_ours(service, x) &&
           refuse(x, 421,
                  "This address does not answer to that name; a proxy's name belongs into the "
                  "setting http.hosts.");
}

static bool is_refused(const dl_service *service, dl_http_exchange *x)
{
    if (dl_host_is_refused(service, x)) {
        return true;
    }
    if (!dl_str_eq(dl_http_method(x), DL_STR("GET")) && !origin_is_allowed(service, x)) {
        return refuse(x, 403,
                      "A page of another origin may not change anything here; allowed ones stand "
                      "in the setting cors.origins.");
    }
    return false;
}

/* ---- the app's calls ---- */

dl_status dl_mount_begin(dl_service *service, dl_http_exchange *x, dl_guest *out_guest,
                         dl_error *err)
{
    const dl_service_mount *mount = find_mount(service, dl_http_path(x));
    out_guest->app = NULL;
    if (mount == NULL) {
        return DL_OK;
    }
    out_guest->app = &mount->app;
    dl_http_set_route(x, mount->prefix);
    if (dl_cors(service, x) || is_refused(service, x)) {
        return DL_OK;
    }
    return mount->app.begin(mount->app.context, x, &out_guest->state, err);
}

bool dl_mounts_check(const dl_service_mount *mounts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mounts[i].prefix == NULL || mounts[i].prefix[0] != '/' || mounts[i].prefix[1] == '\0' ||
            mounts[i].app.begin == NULL) {
            return false;
        }
    }
    return count <= DL_SERVICE_MOUNT_LIMIT;
}
