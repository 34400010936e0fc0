/* The way of a request through the tables of an API to its handler. */
#include "http/api.h"

#include "base/clock.h"
#include "base/mem.h"
#include "http/media.h"
#include "http/url.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT_LIMIT = 64, NAMES_SIZE = 160 };

/* ---- types of values ---- */

dl_status dl_api_bad_value(const dl_api_value *value, const char *takes, dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "\"%s\" takes %s.", value->name, takes);
}

static dl_status check_page(const dl_api_value *value, dl_str text, int64_t *out_number,
                            dl_error *err)
{
    uint64_t count = 0;
    if (!dl_str_to_u64(text, &count) || count < 1 || count > DL_API_PAGE_LIMIT) {
        return dl_api_bad_value(value, "a whole number from 1 to 1000", err);
    }
    *out_number = (int64_t)count;
    return DL_OK;
}

static dl_status check_switch(const dl_api_value *value, dl_str text, int64_t *out_number,
                              dl_error *err)
{
    bool on = dl_str_eq(text, DL_STR("true"));
    if (!on && !dl_str_eq(text, DL_STR("false"))) {
        return dl_api_bad_value(value, "true or false", err);
    }
    *out_number = on;
    return DL_OK;
}

static dl_status check_time(const dl_api_value *value, dl_str text, int64_t *out_number,
                            dl_error *err)
{
    return dl_clock_parse(text, out_number)
               ? DL_OK
               : dl_api_bad_value(value, "a time with a zone, such as 2026-01-05T08:00:00Z", err);
}

static dl_status check_text(const dl_api_value *value, dl_str text, DL_UNUSED int64_t *out_number,
                            dl_error *err)
{
    bool good = text.len > 0 && text.len <= DL_API_TEXT_LIMIT_BYTES;
    for (size_t k = 0; good && k < text.len; k++) {
        good = text.ptr[k] >= ' ' && text.ptr[k] <= '~';
    }
    return good ? DL_OK : dl_api_bad_value(value, "1 to 1024 printable ASCII characters", err);
}

const dl_api_type dl_api_type_text = {DL_JSON_STRING, check_text,
                                      "{\"type\":\"string\",\"pattern\":\"^[ -~]{1,1024}$\"}"};
const dl_api_type dl_api_type_page = {DL_JSON_STRING, check_page,
                                      "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}"};
const dl_api_type dl_api_type_time = {DL_JSON_STRING, check_time,
                                      "{\"type\":\"string\",\"format\":\"date-time\"}"};
const dl_api_type dl_api_type_switch = {DL_JSON_STRING, check_switch, "{\"type\":\"boolean\"}"};
const dl_api_type dl_api_type_object = {DL_JSON_OBJECT, NULL,
                                        "{\"type\":\"object\",\"maxProperties\":50}"};

/* ---- which route ---- */

typedef struct path {
    dl_str segments[SEGMENT_LIMIT]; /* decoded */
    size_t count;
} path;

static dl_status split_path(dl_http_exchange *x, path *out, bool *out_fits, dl_error *err)
{
    dl_str rest = dl_http_path(x);
    dl_str raw = DL_STR_NONE;
    rest = dl_str_slice(rest, 1, rest.len);
    if (dl_str_ends(rest, DL_STR("/"))) {
        rest.len--;
    }
    out->count = 0;
    *out_fits = true;
    while (rest.len > 0 && dl_str_next(&rest, '/', &raw)) {
        if (out->count == SEGMENT_LIMIT) {
            *out_fits = false;
            return DL_OK;
        }
        DL_TRY(dl_url_decode(raw, false, dl_http_arena(x), &out->segments[out->count++], err));
    }
    return DL_OK;
}

/* "{name}" */
static const dl_api_param *param_of(const dl_api *api, dl_str piece)
{
    dl_str name = dl_str_slice(piece, 1, piece.len - 2);
    for (size_t i = 0; i < api->param_count; i++) {
        if (dl_str_eq(name, dl_str_of(api->params[i].name))) {
            return &api->params[i];
        }
    }
    return NULL;
}

static dl_status join(dl_http_exchange *x, const path *p, size_t from, dl_str *out, dl_error *err)
{
    dl_str joined = p->segments[from];
    for (size_t i = from + 1; i < p->count; i++) {
        DL_TRY(dl_arena_printf(dl_http_arena(x), &joined, err, "%.*s/%.*s", DL_STR_ARG(joined),
                               DL_STR_ARG(p->segments[i])));
    }
    *out = joined;
    return DL_OK;
}

/* Values of the path are written into `params`, but a tail: then `out_tail` is where it begins. */
static bool match(const dl_api *api, const char *pattern, const path *p, dl_str *params,
                  size_t *out_tail)
{
    dl_str rest = dl_str_slice(dl_str_of(pattern), 1, SIZE_MAX);
    dl_str piece = DL_STR_NONE;
    size_t at = 0;
    size_t param = 0;
    *out_tail = SIZE_MAX;
    while (dl_str_next(&rest, '/', &piece)) {
        if (at == p->count) {
            return false;
        }
        dl_str segment = p->segments[at++];
        if (piece.ptr[0] != '{' || segment.len == 0) {
            if (!dl_str_eq(piece, segment)) {
                return false;
            }
            continue;
        }
        const dl_api_param *about = param_of(api, piece);
        DL_ASSERT(about != NULL && param < DL_API_PARAM_LIMIT);
        params[param++] = segment;
        if (about->tail) {
            *out_tail = at - 1;
            return true;
        }
    }
    return at == p->count;
}

static const dl_api_route *find_route(const dl_api *api, dl_http_exchange *x, const path *p,
                                      char *allow, size_t allow_size)
{
    dl_str method = dl_http_method(x);
    dl_str params[DL_API_PARAM_LIMIT];
    size_t tail = 0;
    allow[0] = '\0';
    for (size_t i = 0; i < api->route_count; i++) {
        const dl_api_route *route = &api->routes[i];
        if (!match(api, route->pattern, p, params, &tail)) {
            continue;
        }
        if (dl_str_eq(method, dl_str_of(route->method))) {
            return route;
        }
        size_t used = strlen(allow);
        (void)snprintf(allow + used, allow_size - used, "%s%s%s", used > 0 ? ", " : "",
                       strcmp(route->method, "GET") == 0 ? "HEAD, " : "", route->method);
    }
    return NULL;
}

static dl_status take_params(dl_api_request *r, const path *p, dl_error *err)
{
    size_t tail = SIZE_MAX;
    size_t i = 0;
    dl_str rest = dl_str_of(r->route->pattern);
    dl_str piece = DL_STR_NONE;
    for (size_t k = 0; k < DL_API_PARAM_LIMIT; k++) {
        r->params[k] = DL_STR("");
    }
    (void)match(r->api, r->route->pattern, p, r->params, &tail);
    while (dl_str_next(&rest, '/', &piece)) {
        if (piece.len == 0 || piece.ptr[0] != '{') {
            continue;
        }
        const dl_api_param *about = param_of(r->api, piece);
        if (about->tail) {
            DL_TRY(join(r->x, p, tail, &r->params[i], err));
        }
        if (about->check != NULL) {
            DL_TRY(about->check(r, r->params[i], err));
        }
        i++;
    }
    r->name = r->params[0];
    return DL_OK;
}

dl_str dl_api_param_of(const dl_api_request *r, const char *name)
{
    dl_str rest = dl_str_of(r->route->pattern);
    dl_str piece = DL_STR_NONE;
    for (size_t i = 0; dl_str_next(&rest, '/', &piece);) {
        if (piece.len > 0 && piece.ptr[0] == '{') {
            if (dl_str_eq(dl_str_slice(piece, 1, piece.len - 2), dl_str_of(name))) {
                return r->params[i];
            }
            i++;
        }
    }
    return DL_STR("");
}

bool dl_api_only_new(const dl_api_request *r)
{
    return dl_str_eq(dl_str_trim(dl_http_header(r->x, "If-None-Match")), DL_STR("*"));
}

/* ---- values ---- */

static bool find_value(const dl_api *api, dl_str name, unsigned allowed, unsigned *out_i)
{
    for (unsigned i = 0; i < api->value_count; i++) {
        if ((allowed & 1U << i) != 0 && dl_str_eq(name, dl_str_of(api->values[i].name))) {
            *out_i = i;
            return true;
        }
    }
    return false;
}

static dl_status unknown_value(const dl_api *api, const char *where, dl_str name, unsigned allowed,
                               dl_error *err)
{
    char names[NAMES_SIZE] = "";
    for (unsigned i = 0; i < api->value_count; i++) {
        size_t used = strlen(names);
        if ((allowed & 1U << i) != 0) {
            (void)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "",
                           api->values[i].name);
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "The %s takes no \"%.*s\".", where,
                       DL_STR_ARG(dl_str_slice(name, 0, 80)));
    dl_error_hint(err, "it takes %s", names[0] == '\0' ? "nothing" : names);
    return DL_E_INVALID;
}

static dl_status take_value(dl_api_request *r, unsigned i, dl_str text, dl_error *err)
{
    const dl_api_value *value = &r->api->values[i];
    if (dl_api_has(r, i)) {
        return dl_error_set(err, DL_E_INVALID, "\"%s\" is said twice.", value->name);
    }
    r->values[i] = text.ptr == NULL ? DL_STR("") : text;
    return value->type->check == NULL
               ? DL_OK
               : value->type->check(value, r->values[i], &r->numbers[i], err);
}

static dl_status read_query(dl_api_request *r, dl_error *err)
{
    dl_url_param *params = NULL;
    size_t count = 0;
    dl_status status =
        dl_url_query_parse(dl_http_query(r->x), dl_http_arena(r->x), &params, &count, err);
    if (status == DL_E_LIMIT) {
        err->status = DL_E_INVALID; /* 400: it is no body that is too large */
        return DL_E_INVALID;
    }
    DL_TRY(status);
    for (size_t i = 0; i < count; i++) {
        unsigned at = 0;
        if (!find_value(r->api, params[i].name, r->route->query, &at)) {
            return unknown_value(r->api, "query", params[i].name, r->route->query, err);
        }
        DL_TRY(take_value(r, at, params[i].value, err));
    }
    return DL_OK;
}

static const char *json_word(dl_json_kind kind)
{
    switch (kind) {
    case DL_JSON_OBJECT:
        return "an object";
    case DL_JSON_ARRAY:
        return "an array";
    case DL_JSON_NUMBER:
        return "a number";
    case DL_JSON_BOOL:
        return "true or false";
    case DL_JSON_STRING:
    case DL_JSON_NULL:
    case DL_JSON_NONE:
        break;
    }
    return "text";
}

static dl_status read_member(dl_api_request *r, dl_str key, dl_str value, dl_error *err)
{
    unsigned i = 0;
    if (!find_value(r->api, key, r->route->members, &i)) {
        return unknown_value(r->api, "body", key, r->route->members, err);
    }
    dl_json_kind want = r->api->values[i].type->json;
    if (dl_json_kind_of(value) != want) {
        return dl_api_bad_value(&r->api->values[i], json_word(want), err);
    }
    dl_str text = value;
    if (want == DL_JSON_STRING) {
        DL_TRY(dl_json_text(value, r->arena, &text, err));
    }
    return take_value(r, i, text, err);
}

static dl_status read_members(dl_api_request *r, dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(r->body);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        DL_TRY(read_member(r, key, value, err));
    }
    for (unsigned i = 0; i < r->api->value_count; i++) {
        if ((r->route->required & 1U << i) != 0 && !dl_api_has(r, i)) {
            return dl_error_set(err, DL_E_INVALID, "The body lacks \"%s\".",
                                r->api->values[i].name);
        }
    }
    return DL_OK;
}

static const dl_api_body *body_of(const dl_api_request *r)
{
    return &r->api->bodies[r->route->body];
}

static dl_status read_body(dl_api_request *r, dl_error *err)
{
    dl_api_form form = body_of(r)->form;
    if (form == DL_API_NOTHING) {
        return DL_OK;
    }
    if (form == DL_API_BYTES) {
        return r->body.len > 0 ? DL_OK : dl_error_set(err, DL_E_INVALID, "The body is empty.");
    }
    if (r->body.len == 0 && form == DL_API_VALUES) {
        r->body = DL_STR("{}");
    }
    DL_TRY(dl_json_check(r->body, err));
    if (dl_json_kind_of(r->body) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_INVALID, "The body is not a JSON object.");
    }
    return form == DL_API_VALUES ? read_members(r, err) : DL_OK;
}

dl_status dl_api_named_body(dl_api_request *r, dl_str path_name, dl_str *out_json, dl_error *err)
{
    dl_str value = DL_STR_NONE;
    dl_str name = DL_STR_NONE;
    if (dl_json_get(r->body, DL_STR("name"), &value)) {
        if (dl_json_kind_of(value) != DL_JSON_STRING) {
            return dl_error_set(err, DL_E_INVALID, "The document's \"name\" is not text.");
        }
        DL_TRY(dl_json_text(value, r->arena, &name, err));
        if (!dl_str_eq(name, path_name)) {
            return dl_error_set(err, DL_E_INVALID,
                                "The document's \"name\" is not that of the path.");
        }
        *out_json = r->body;
        return DL_OK;
    }
    dl_json_iter members = dl_json_iter_of(r->body);
    dl_str key = DL_STR_NONE;
    bool empty = !dl_json_next_member(&members, &key, &value);
    ptrdiff_t open = dl_str_find(r->body, '{');
    DL_ASSERT(open >= 0); /* the body was checked to be an object */
    dl_str rest = dl_str_slice(r->body, (size_t)open + 1, r->body.len);
    return dl_arena_printf(r->arena, out_json, err, "{\"name\":\"%.*s\"%s%.*s",
                           DL_STR_ARG(path_name), empty ? "" : ",", DL_STR_ARG(rest));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool dl_api_name_after(dl_str a, dl_str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        char x = lower(a.ptr[i]);
        char y = lower(b.ptr[i]);
        if (x != y) {
            return (unsigned char)x > (unsigned char)y;
        }
    }
    return a.len > b.len;
}

size_t dl_api_page_limit(const dl_api_request *r, unsigned value)
{
    return dl_api_has(r, value) ? (size_t)r->numbers[value] : (size_t)DL_API_PAGE_DEFAULT;
}

/* ---- a request's way ---- */

static dl_status answer(dl_api_request *r, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_API_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a request");
    }
    r->arena = arena;
    dl_status status = read_body(r, err);
    if (status == DL_OK) {
        status = r->route->handle(r, err);
    }
    r->arena = NULL;
    return status;
}

static void refuse(const dl_api *api, void *context, dl_http_exchange *x, const dl_error *cause)
{
    dl_error known = {0};
    if (api->fault != NULL && api->fault(context, &known) == cause->status) {
        dl_api_fail_known(api, x, cause, &known);
    } else {
        dl_api_fail(api, x, cause);
    }
}

static void answer_or_refuse(dl_api_request *r)
{
    dl_error cause = {0};
    if (answer(r, &cause) != DL_OK && !dl_http_answered(r->x)) {
        refuse(r->api, r->context, r->x, &cause);
    }
}

static bool media_fits(dl_http_exchange *x, const dl_api_body *body)
{
    dl_media media;
    dl_str type = dl_http_header(x, "Content-Type");
    if (type.ptr == NULL || dl_media_parse(type, dl_http_arena(x), &media, NULL) != DL_OK) {
        return false;
    }
    for (size_t i = 0; i < DL_API_TYPE_LIMIT && body->types[i].type != NULL; i++) {
        if (dl_media_type_is(&media, body->types[i].type)) {
            return true;
        }
    }
    return false;
}

static dl_status refuse_media(dl_http_exchange *x, const dl_api_body *body)
{
    char text[NAMES_SIZE] = "The body has to be ";
    for (size_t i = 0; i < DL_API_TYPE_LIMIT && body->types[i].type != NULL; i++) {
        size_t used = strlen(text);
        if (body->types[i].schema != NULL) {
            (void)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? " or " : "",
                           body->types[i].type);
        }
    }
    size_t used = strlen(text);
    (void)snprintf(text + used, sizeof text - used, ".");
    return dl_api_refuse(x, 415, text);
}

static dl_status refuse_length(dl_http_exchange *x, const dl_api_body *body)
{
    char text[96];
    (void)snprintf(text, sizeof text, "The body exceeds %zu bytes.", body->limit_bytes);
    return dl_api_refuse(x, 413, text);
}

typedef struct upload {
    dl_api_request *request;
    dl_buf buf;
} upload;

/* The headers say that a body comes: refuse it now, or wait for it. */
static dl_status expect_body(dl_api_request *r, void **out_state, dl_error *err)
{
    const dl_api_body *body = body_of(r);
    if (!media_fits(r->x, body)) {
        return refuse_media(r->x, body);
    }
    uint64_t length = dl_http_content_length(r->x);
    if (length != UINT64_MAX && length > body->limit_bytes) {
        return refuse_length(r->x, body);
    }
    upload *u = dl_mem_zalloc(1, sizeof *u);
    if (u == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a request");
    }
    u->request = r;
    dl_buf_init(&u->buf, body->limit_bytes);
    *out_state = u;
    return DL_OK;
}

static dl_status route(const dl_api_mount *mount, dl_http_exchange *x, void **out_state,
                       dl_error *err)
{
    path p;
    bool fits = false;
    char allow[64];
    dl_api_request *r = dl_arena_alloc(dl_http_arena(x), 1, sizeof *r);
    if (r == NULL) {
        return dl_arena_full(dl_http_arena(x), err);
    }
    *r = (dl_api_request){.api = mount->api, .context = mount->context, .x = x};
    DL_TRY(split_path(x, &p, &fits, err));
    r->route = fits ? find_route(r->api, x, &p, allow, sizeof allow) : NULL;
    if (r->route == NULL && fits && allow[0] != '\0') {
        char text[128];
        dl_http_add_header(x, "Allow", dl_str_of(allow));
        (void)snprintf(text, sizeof text, "The resource does not know this method; it takes %s.",
                       allow);
        return dl_api_refuse(x, 405, text);
    }
    if (r->route == NULL) {
        return dl_api_refuse(x, 404, "There is no such resource.");
    }
    dl_http_set_route(x, r->route->pattern);
    dl_http_set_action(x, r->route->action);
    DL_TRY(take_params(r, &p, err));
    DL_TRY(read_query(r, err));
    if (body_of(r)->form != DL_API_NOTHING && dl_http_content_length(x) > 0) {
        return expect_body(r, out_state, err);
    }
    return answer(r, err);
}

/* ---- the app ---- */

static dl_status begin(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    const dl_api_mount *mount = context;
    dl_error cause = {0};
    if (route(mount, x, out_state, &cause) != DL_OK && !dl_http_answered(x)) {
        refuse(mount->api, mount->context, x, &cause);
    }
    (void)err;
    return DL_OK;
}

static dl_status body(DL_UNUSED void *context, DL_UNUSED dl_http_exchange *x, void *state,
                      dl_bytes piece, dl_error *err)
{
    upload *u = state;
    return dl_buf_append(&u->buf, piece.ptr, piece.len, err);
}

static void end(DL_UNUSED void *context, dl_http_exchange *x, void *state,
                const dl_error *body_failure)
{
    upload *u = state;
    if (body_failure != NULL && body_failure->status == DL_E_LIMIT) {
        (void)refuse_length(x, body_of(u->request));
    } else if (body_failure != NULL) {
        dl_api_fail(u->request->api, x, body_failure);
    } else {
        u->request->body = dl_buf_str(&u->buf);
        answer_or_refuse(u->request);
    }
}

static void destroy(DL_UNUSED void *context, void *state)
{
    upload *u = state;
    dl_buf_clear(&u->buf);
    dl_mem_free(u);
}

dl_http_app dl_api_app(const dl_api_mount *mount)
{
    union { /* the server hands it back, and never looks at it */
        const dl_api_mount *given;
        void *kept;
    } context = {mount};
    return (dl_http_app){
        .begin = begin, .body = body, .end = end, .destroy = destroy, .context = context.kept};
}
