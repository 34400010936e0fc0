/* Every route in one table, and the way of a request to its handler (contract sections 1 to 4). */
#include "service/internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/media.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT_LIMIT = 12 };

#define P DL_ROUTE_PARTITIONED
#define CREATES (DL_ROUTE_PARTITIONED | DL_ROUTE_CREATES)
#define JSON DL_ROUTE_DICOM_JSON
#define BODY DL_ROUTE_BODY
#define INSTANCE "studies/{study}/series/{series}/instances/{sop}"

/* clang-format off */
static const dl_service_route routes[] = {
    {"POST",   "studies",                                   NULL,                       DL_ACTION_WRITE,  CREATES | JSON | BODY, "Store instances"},
    {"PUT",    "studies",                                   NULL,                       DL_ACTION_WRITE,  CREATES | JSON | BODY, "Store or replace instances"},
    {"GET",    "studies",                                   dl_handle_search_studies,   DL_ACTION_READ,   P | JSON, "Search studies"},
    {"POST",   "studies/$bulkUpdate",                       dl_handle_later,            DL_ACTION_WRITE,  P | DL_ROUTE_V2_ONLY, "Change attributes of studies"},
    {"POST",   "studies/{study}",                           NULL,                       DL_ACTION_WRITE,  CREATES | JSON | BODY, "Store instances of one study"},
    {"PUT",    "studies/{study}",                           NULL,                       DL_ACTION_WRITE,  CREATES | JSON | BODY, "Store or replace instances of one study"},
    {"GET",    "studies/{study}",                           dl_handle_retrieve,         DL_ACTION_READ,   P, "Retrieve a study"},
    {"DELETE", "studies/{study}",                           dl_handle_delete,           DL_ACTION_DELETE, P, "Delete a study"},
    {"GET",    "studies/{study}/metadata",                  dl_handle_metadata,         DL_ACTION_READ,   P | JSON, "Metadata of a study"},
    {"GET",    "studies/{study}/series",                    dl_handle_search_series,    DL_ACTION_READ,   P | JSON, "Search the series of a study"},
    {"GET",    "studies/{study}/instances",                 dl_handle_search_instances, DL_ACTION_READ,   P | JSON, "Search the instances of a study"},
    {"GET",    "studies/{study}/series/{series}",           dl_handle_retrieve,         DL_ACTION_READ,   P, "Retrieve a series"},
    {"DELETE", "studies/{study}/series/{series}",           dl_handle_delete,           DL_ACTION_DELETE, P, "Delete a series"},
    {"GET",    "studies/{study}/series/{series}/metadata",  dl_handle_metadata,         DL_ACTION_READ,   P | JSON, "Metadata of a series"},
    {"GET",    "studies/{study}/series/{series}/instances", dl_handle_search_instances, DL_ACTION_READ,   P | JSON, "Search the instances of a series"},
    {"GET",    INSTANCE,                                    dl_handle_retrieve,         DL_ACTION_READ,   P, "Retrieve an instance"},
    {"DELETE", INSTANCE,                                    dl_handle_delete,           DL_ACTION_DELETE, P, "Delete an instance"},
    {"GET",    INSTANCE "/metadata",                        dl_handle_metadata,         DL_ACTION_READ,   P | JSON, "Metadata of an instance"},
    {"GET",    INSTANCE "/frames/{frames}",                 dl_handle_frames,           DL_ACTION_READ,   P, "Retrieve frames"},
    {"GET",    INSTANCE "/rendered",                        dl_handle_later,            DL_ACTION_READ,   P, "Rendered image"},
    {"GET",    INSTANCE "/frames/{frames}/rendered",        dl_handle_later,            DL_ACTION_READ,   P, "Rendered frame"},
    {"GET",    "series",                                    dl_handle_search_series,    DL_ACTION_READ,   P | JSON, "Search series"},
    {"GET",    "instances",                                 dl_handle_search_instances, DL_ACTION_READ,   P | JSON, "Search instances"},
    {"GET",    "changefeed",                                dl_handle_feed,             DL_ACTION_READ,   0, "Change feed"},
    {"GET",    "changefeed/latest",                         dl_handle_feed_latest,      DL_ACTION_READ,   0, "Newest change"},
    {"GET",    "partitions",                                dl_handle_partitions,       DL_ACTION_READ,   0, "List partitions"},
    {"POST",   "extendedquerytags",                         dl_handle_later,            DL_ACTION_MANAGE_TAGS, 0, "Add query tags"},
    {"GET",    "extendedquerytags",                         dl_handle_later,            DL_ACTION_READ,        0, "List query tags"},
    {"GET",    "extendedquerytags/{tag}",                   dl_handle_later,            DL_ACTION_READ,        0, "A query tag"},
    {"PATCH",  "extendedquerytags/{tag}",                   dl_handle_later,            DL_ACTION_MANAGE_TAGS, 0, "Change a query tag"},
    {"DELETE", "extendedquerytags/{tag}",                   dl_handle_later,            DL_ACTION_MANAGE_TAGS, 0, "Remove a query tag"},
    {"GET",    "extendedquerytags/{tag}/errors",            dl_handle_later,            DL_ACTION_READ,        0, "Errors of a query tag"},
    {"GET",    "operations/{id}",                           dl_handle_later,            DL_ACTION_READ,        0, "State of an operation"},
    {"POST",   "export",                                    dl_handle_later,            DL_ACTION_EXPORT,      P, "Copy instances out"},
    {"POST",   "workitems",                                 dl_handle_later,            DL_ACTION_WRITE,       CREATES, "Create a workitem"},
    {"GET",    "workitems",                                 dl_handle_later,            DL_ACTION_READ,        P, "Search workitems"},
    {"GET",    "workitems/{id}",                            dl_handle_later,            DL_ACTION_READ,        P, "Retrieve a workitem"},
    {"POST",   "workitems/{id}",                            dl_handle_later,            DL_ACTION_WRITE,       P, "Update a workitem"},
    {"PUT",    "workitems/{id}/state",                      dl_handle_later,            DL_ACTION_WRITE,       P, "Change the state of a workitem"},
    {"POST",   "workitems/{id}/cancelrequest",              dl_handle_later,            DL_ACTION_WRITE,       P, "Ask to cancel a workitem"},
    {"GET",    "api.json",                                  dl_handle_openapi,          DL_ACTION_NONE,        0, "OpenAPI document"},
    {"GET",    "api.yaml",                                  dl_handle_openapi,          DL_ACTION_NONE,        0, "OpenAPI document"},
    {"GET",    "health/check",                              dl_handle_health,           DL_ACTION_NONE,        DL_ROUTE_UNVERSIONED, "Health"},
    {"GET",    "health/live",                               dl_handle_live,             DL_ACTION_NONE,        DL_ROUTE_UNVERSIONED, "Whether the process serves"},
};
/* clang-format on */

#undef P
#undef CREATES
#undef JSON
#undef BODY
#undef INSTANCE

const dl_service_route *dl_service_routes(size_t *out_count)
{
    *out_count = DL_COUNT_OF(routes);
    return routes;
}

/* ---- the path ---- */

typedef struct path {
    dl_str segments[SEGMENT_LIMIT]; /* decoded */
    size_t count;
} path;

static dl_status split_path(dl_http_exchange *x, path *out, dl_error *err)
{
    dl_str rest = dl_http_path(x);
    *out = (path){0};
    rest = dl_str_slice(rest, 1, rest.len);
    if (dl_str_ends(rest, DL_STR("/"))) {
        rest.len--;
    }
    if (rest.len == 0) {
        return DL_OK;
    }
    dl_str raw = DL_STR_NONE;
    while (dl_str_next(&rest, '/', &raw)) {
        if (out->count == SEGMENT_LIMIT) {
            return dl_error_set(err, DL_E_NOT_FOUND, "There is no such resource.");
        }
        DL_TRY(dl_url_decode(raw, false, dl_http_arena(x), &out->segments[out->count], err));
        out->count++;
    }
    return DL_OK;
}

static bool bind_segment(dl_service_request *r, dl_str name, dl_str segment)
{
    const struct {
        const char *name;
        dl_str *field;
    } places[] = {{"{study}", &r->study},   {"{series}", &r->series}, {"{sop}", &r->sop},
                  {"{frames}", &r->frames}, {"{tag}", &r->tag},       {"{id}", &r->tag}};
    for (size_t i = 0; i < DL_COUNT_OF(places); i++) {
        if (dl_str_eq(name, dl_str_of(places[i].name)) &&
            segment.len > 0 && /* nothing would name more than the path does */
            !dl_str_eq_nocase(segment, DL_STR("$bulkUpdate"))) { /* no study in v1 either */
            *places[i].field = segment;
            return true;
        }
    }
    return false;
}

/* Literals match without case. */
static bool match(dl_service_request *r, const char *pattern, const dl_str *segments, size_t count)
{
    dl_str rest = dl_str_of(pattern);
    dl_str piece = DL_STR_NONE;
    size_t at = 0;
    r->study = r->series = r->sop = r->frames = r->tag = DL_STR("");
    while (dl_str_next(&rest, '/', &piece)) {
        if (at == count) {
            return false;
        }
        dl_str segment = segments[at++];
        if (!bind_segment(r, piece, segment) && !dl_str_eq_nocase(piece, segment)) {
            return false;
        }
    }
    return at == count;
}

static bool is_version(dl_str segment)
{
    if (segment.len < 2 || (segment.ptr[0] != 'v' && segment.ptr[0] != 'V')) {
        return false;
    }
    return segment.ptr[1] >= '0' && segment.ptr[1] <= '9';
}

static unsigned version_of(dl_str segment)
{
    if (dl_str_eq_nocase(segment, DL_STR("v2")) || dl_str_eq_nocase(segment, DL_STR("v2.0"))) {
        return 2;
    }
    bool one = dl_str_eq_nocase(segment, DL_STR("v1")) ||
               dl_str_eq_nocase(segment, DL_STR("v1.0")) ||
               dl_str_eq_nocase(segment, DL_STR("v1.0-prerelease"));
    return one ? 1 : 0;
}

/* `named`: below a partition. */
static bool fits(const dl_service_route *route, unsigned version, bool named)
{
    bool unversioned = (route->flags & DL_ROUTE_UNVERSIONED) != 0;
    bool has_partitions = (route->flags & DL_ROUTE_PARTITIONED) != 0;
    return unversioned == (version == 0) && (has_partitions || !named) &&
           !((route->flags & DL_ROUTE_V2_ONLY) != 0 && version < 2);
}

static const dl_service_route *find_route(dl_service_request *r, const dl_str *segments,
                                          size_t count, bool named, char *allow, size_t allow_size)
{
    dl_str method = dl_http_method(r->x);
    allow[0] = '\0';
    for (size_t i = 0; i < DL_COUNT_OF(routes); i++) {
        if (!match(r, routes[i].pattern, segments, count) || !fits(&routes[i], r->version, named)) {
            continue;
        }
        if (dl_str_eq(method, dl_str_of(routes[i].method))) {
            return &routes[i];
        }
        size_t used = strlen(allow);
        (void)snprintf(allow + used, allow_size - used, "%s%s%s", used > 0 ? ", " : "",
                       strcmp(routes[i].method, "GET") == 0 ? "HEAD, " : "", routes[i].method);
    }
    return NULL;
}

/* ---- checks in the contract's order (end of section 2.2) ---- */

static bool has_forbidden_query(dl_str query)
{
    return dl_str_find(query, '<') >= 0 || dl_str_find_str(query, DL_STR("%3c")) >= 0 ||
           dl_str_find_str(query, DL_STR("%3C")) >= 0;
}

typedef struct audit_check {
    dl_str request_id;
    unsigned count;
    bool too_long, logging;
} audit_check;

static void visit_audit_header(void *context, dl_str name, dl_str value)
{
    audit_check *check = context;
    if (!dl_str_starts_nocase(name, DL_STR(DL_SERVICE_AUDIT_PREFIX))) {
        return;
    }
    check->count++;
    check->too_long = check->too_long || value.len > DL_SERVICE_AUDIT_VALUE_LIMIT;
    if (check->logging) {
        dl_log_line line;
        dl_log_begin(&line, DL_LOG_INFO, "audit", "header");
        dl_log_str(&line, "request", check->request_id);
        dl_log_str(&line, "name", name);
        dl_log_str(&line, "value", value);
        dl_log_end(&line);
    }
}

/* What the caller wants to have in the audit log (contract section 19). */
static dl_status take_audit(dl_service_request *r, dl_error *err)
{
    audit_check check = {.request_id = dl_http_request_id(r->x)};
    dl_http_each_header(r->x, visit_audit_header, &check);
    if (check.count > DL_SERVICE_AUDIT_HEADER_LIMIT || check.too_long) {
        return dl_error_set(err, DL_E_INVALID,
                            "At most %d audit headers of at most %d characters are allowed.",
                            (int)DL_SERVICE_AUDIT_HEADER_LIMIT, (int)DL_SERVICE_AUDIT_VALUE_LIMIT);
    }
    if (check.count > 0) {
        check.logging = true;
        dl_http_each_header(r->x, visit_audit_header, &check);
    }
    return DL_OK;
}

/* The contract's names of the data actions (18.2); NULL: not audited. */
static const char *action_name(dl_service_action action)
{
    switch (action) {
    case DL_ACTION_READ:
        return "read";
    case DL_ACTION_WRITE:
        return "write";
    case DL_ACTION_DELETE:
        return "delete";
    case DL_ACTION_MANAGE_TAGS:
        return "manageExtendedQueryTags";
    case DL_ACTION_EXPORT:
        return "export";
    case DL_ACTION_NONE:
        break;
    }
    return NULL;
}

static bool is_partition_name(dl_str name)
{
    if (name.len == 0 || name.len > DL_INDEX_PARTITION_LIMIT || dl_str_eq(name, DL_STR(".")) ||
        dl_str_eq(name, DL_STR(".."))) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '.' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return true;
}

static dl_status find_partition(dl_service_request *r, bool named, dl_str name, dl_error *err)
{
    r->partition = DL_INDEX_DEFAULT_PARTITION;
    r->partition_name = DL_STR("Microsoft.Default");
    if ((r->route->flags & DL_ROUTE_PARTITIONED) == 0) {
        return DL_OK;
    }
    bool on = r->service->settings.partitions;
    if (named != on) {
        return dl_error_set(err, DL_E_INVALID,
                            on ? "Data partitions are on: the path must name a partition."
                               : "Data partitions are off: the path must not name a partition.");
    }
    if (!on) {
        return DL_OK;
    }
    if (!is_partition_name(name)) {
        return dl_error_set(err, DL_E_INVALID,
                            "A partition name is 1 to 64 letters, digits, '.', '-' and '_'.");
    }
    r->partition_name = name;
    if ((r->route->flags & DL_ROUTE_CREATES) != 0 &&
        (dl_str_eq(dl_http_method(r->x), DL_STR("POST")) ||
         dl_str_eq(dl_http_method(r->x), DL_STR("PUT")))) {
        return dl_index_partition_ensure(r->service->index, name, &r->partition, err);
    }
    dl_status status = dl_index_partition_find(r->service->index, name, &r->partition, err);
    if (status == DL_E_NOT_FOUND) {
        return dl_error_set(err, DL_E_INVALID, "The partition does not exist.");
    }
    return status;
}

static dl_status accepts_dicom_json(dl_service_request *r, bool *out_accepts, dl_error *err)
{
    dl_str accept = dl_http_header(r->x, "Accept");
    dl_media *ranges = NULL;
    size_t count = 0;
    *out_accepts = false;
    if (accept.ptr == NULL) {
        return DL_OK;
    }
    if (dl_media_parse_accept(accept, dl_http_arena(r->x), &ranges, &count, err) != DL_OK) {
        return DL_OK; /* a list past all bounds matches nothing */
    }
    for (size_t i = 0; i < count; i++) {
        bool covers = dl_media_range_covers(&ranges[i], "application/dicom+json") ||
                      (r->service->settings.lenient_accept &&
                       dl_media_range_covers(&ranges[i], "application/json"));
        *out_accepts = *out_accepts || covers;
    }
    return DL_OK;
}

/* ---- dispatch ---- */

static dl_status refuse_version(dl_http_exchange *x)
{
    dl_http_respond(x, 400, "application/json",
                    DL_STR("{\"error\":{\"code\":\"UnsupportedApiVersion\",\"message\":\"The API "
                           "version of the path is not supported; use v1 or v2.\"}}"));
    return DL_OK;
}

/* What a client puts where an identifier belongs may be anything, also a name: only UIDs and
 * numbers are fit for a log. */
static bool is_loggable(const dl_service_request *r)
{
    const dl_str parts[] = {r->study, r->series, r->sop, r->frames, r->tag};
    for (size_t i = 0; i < DL_COUNT_OF(parts); i++) {
        for (size_t k = 0; k < parts[i].len; k++) {
            char c = parts[i].ptr[k];
            if ((c < '0' || c > '9') && c != '.' && c != ',') {
                return false;
            }
        }
    }
    return true;
}

static dl_status run_route(dl_service_request *r, bool named, dl_str partition, void **out_state,
                           dl_error *err)
{
    DL_TRY(take_audit(r, err));
    DL_TRY(find_partition(r, named, partition, err));
    if (is_loggable(r)) {
        dl_http_log_path(r->x);
    }
    if ((r->route->flags & DL_ROUTE_DICOM_JSON) != 0) {
        bool accepts = false;
        DL_TRY(accepts_dicom_json(r, &accepts, err));
        if (!accepts) {
            return dl_refuse_accept(r);
        }
    }
    dl_status status = dl_url_query_parse(dl_http_query(r->x), dl_http_arena(r->x), &r->params,
                                          &r->param_count, err);
    if (status == DL_E_LIMIT) {
        return dl_refuse(r, 400, "The query has more than %d parameters.", (int)DL_URL_PARAM_LIMIT);
    }
    DL_TRY(status);
    if ((r->route->flags & DL_ROUTE_BODY) != 0) {
        return dl_stow_begin(r, dl_str_eq(dl_http_method(r->x), DL_STR("PUT")), out_state, err);
    }
    return r->route->handle(r, err);
}

static dl_status route(dl_service *service, dl_http_exchange *x, void **out_state, dl_error *err)
{
    if (dl_cors(service, x)) {
        return DL_OK;
    }
    dl_service_request *r = dl_arena_alloc(dl_http_arena(x), 1, sizeof *r);
    if (r == NULL) {
        return dl_arena_full(dl_http_arena(x), err);
    }
    r->service = service;
    r->x = x;
    if (has_forbidden_query(dl_http_query(x))) {
        return dl_refuse(r, 400, "The query holds a character that is not allowed.");
    }
    path p = {0};
    DL_TRY(split_path(x, &p, err));
    const dl_str *segments = p.segments;
    size_t count = p.count;
    if (count > 1 && is_version(segments[0])) {
        r->version = version_of(segments[0]);
        if (r->version == 0) {
            return refuse_version(x);
        }
        segments++;
        count--;
    }
    dl_str partition = DL_STR("");
    bool named =
        r->version != 0 && count > 2 && dl_str_eq_nocase(segments[0], DL_STR("partitions"));
    if (named) {
        partition = segments[1];
        segments += 2;
        count -= 2;
    }
    char allow[160];
    r->route = find_route(r, segments, count, named, allow, sizeof allow);
    if (r->route == NULL && allow[0] != '\0') {
        dl_http_add_header(x, "Allow", dl_str_of(allow));
        return dl_refuse(r, 405, "The resource does not know this method; it takes %s.", allow);
    }
    if (r->route == NULL) {
        return dl_refuse(r, 404, "There is no such resource.");
    }
    dl_http_set_route(x, r->route->pattern);
    dl_http_set_action(x, action_name(r->route->action));
    if ((r->route->flags & DL_ROUTE_V2_ONLY) != 0) {
        dl_http_set_versions(x, "2");
    }
    if (r->version != 0 && dl_host_is_refused(service, x)) { /* health is for everybody */
        return DL_OK;
    }
    return run_route(r, named, partition, out_state, err);
}

/* A request that goes on keeps whose it is: its pieces come later. */
static dl_status keep(const dl_guest *guest, void **out_state, dl_error *err)
{
    dl_guest *kept = dl_mem_alloc(1, sizeof *kept);
    if (kept == NULL) {
        guest->app->destroy(guest->app->context, guest->state);
        return dl_error_set(err, DL_E_NOMEM, "no memory for a request");
    }
    *kept = *guest;
    *out_state = kept;
    return DL_OK;
}

static dl_status stow_body(DL_UNUSED void *context, DL_UNUSED dl_http_exchange *x, void *state,
                           dl_bytes piece, dl_error *err)
{
    return dl_stow_body(state, piece, err);
}

static void stow_end(DL_UNUSED void *context, DL_UNUSED dl_http_exchange *x, void *state,
                     const dl_error *body_failure)
{
    dl_stow_end(state, body_failure);
}

static void stow_destroy(DL_UNUSED void *context, void *state)
{
    dl_stow_destroy(state);
}

static dl_status begin(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    static const dl_http_app stow = {.body = stow_body, .end = stow_end, .destroy = stow_destroy};
    dl_guest guest = {0};
    dl_error cause = {0};
    dl_status status = dl_mount_begin(context, x, &guest, &cause);
    if (guest.app == NULL) {
        guest.app = &stow;
        status = route(context, x, &guest.state, &cause);
    }
    if (status == DL_OK && guest.state != NULL) {
        status = keep(&guest, out_state, &cause);
    }
    if (status != DL_OK && !dl_http_answered(x)) {
        dl_refuse_error(x, &cause);
    }
    (void)err;
    return DL_OK;
}

static dl_status body(DL_UNUSED void *context, dl_http_exchange *x, void *state, dl_bytes piece,
                      dl_error *err)
{
    const dl_guest *guest = state;
    return guest->app->body(guest->app->context, x, guest->state, piece, err);
}

static void end(DL_UNUSED void *context, dl_http_exchange *x, void *state,
                const dl_error *body_failure)
{
    const dl_guest *guest = state;
    guest->app->end(guest->app->context, x, guest->state, body_failure);
}

static void destroy(DL_UNUSED void *context, void *state)
{
    dl_guest *guest = state;
    guest->app->destroy(guest->app->context, guest->state);
    dl_mem_free(guest);
}

static void refusing(void *context, dl_http_exchange *x)
{
    (void)dl_cors_headers(context, x);
}

dl_http_app dl_service_app(dl_service *service)
{
    return (dl_http_app){
        .begin = begin,
        .body = body,
        .end = end,
        .destroy = destroy,
        .refusing = refusing,
        .context = service,
    };
}
