/* GET .../openapi.json: OpenAPI 3.1, made from the tables of an API. */
#include "http/api.h"

#include <stdio.h>
#include <string.h>

#define TEXT "{\"type\":\"string\"}"
#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"

static void put_key(dl_json_writer *w, const char *key)
{
    dl_json_key(w, dl_str_of(key));
}

static void put_text(dl_json_writer *w, const char *key, const char *text)
{
    put_key(w, key);
    dl_json_string(w, dl_str_of(text));
}

static void put_raw(dl_json_writer *w, const char *key, const char *json)
{
    put_key(w, key);
    dl_json_raw(w, dl_str_of(json));
}

/* ---- values ---- */

static void put_parameter(dl_json_writer *w, const char *name, const char *in, const char *text,
                          const char *schema)
{
    dl_json_object_begin(w);
    put_text(w, "name", name);
    put_text(w, "in", in);
    put_text(w, "description", text);
    put_key(w, "required");
    dl_json_bool(w, strcmp(in, "path") == 0);
    put_raw(w, "schema", schema);
    dl_json_object_end(w);
}

static void put_path_parameters(dl_json_writer *w, const dl_api *api, const dl_api_route *route)
{
    char piece[64];
    for (size_t i = 0; i < api->param_count; i++) {
        const dl_api_param *param = &api->params[i];
        (void)snprintf(piece, sizeof piece, "{%s}", param->name);
        if (strstr(route->pattern, piece) != NULL) {
            put_parameter(w, param->name, "path", param->text, param->schema);
        }
    }
}

static void put_parameters(dl_json_writer *w, const dl_api *api, const dl_api_route *route)
{
    put_key(w, "parameters");
    dl_json_array_begin(w);
    put_path_parameters(w, api, route);
    for (unsigned i = 0; i < api->value_count; i++) {
        const dl_api_value *value = &api->values[i];
        if ((route->query & 1U << i) != 0) {
            put_parameter(w, value->name, "query", value->text, value->type->schema);
        }
    }
    if (api->bodies[route->body].only_new) {
        /* no document has an entity tag, so any other value holds (RFC 9110 section 13.1.2) */
        put_parameter(w, "If-None-Match", "header", "*: only when there is none of this name",
                      "{\"type\":\"string\"}");
    }
    dl_json_array_end(w);
}

/* ---- bodies ---- */

static void put_members(dl_json_writer *w, const dl_api *api, const dl_api_route *route)
{
    dl_json_object_begin(w);
    put_text(w, "type", "object");
    put_key(w, "additionalProperties");
    dl_json_bool(w, false);
    put_key(w, "required");
    dl_json_array_begin(w);
    for (unsigned i = 0; i < api->value_count; i++) {
        if ((route->required & 1U << i) != 0) {
            dl_json_string(w, dl_str_of(api->values[i].name));
        }
    }
    dl_json_array_end(w);
    put_key(w, "properties");
    dl_json_object_begin(w);
    for (unsigned i = 0; i < api->value_count; i++) {
        if ((route->members & 1U << i) != 0) {
            put_raw(w, api->values[i].name, api->values[i].type->schema);
        }
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
}

static void put_media(dl_json_writer *w, const char *type, const char *schema)
{
    put_key(w, type);
    dl_json_object_begin(w);
    put_raw(w, "schema", schema);
    dl_json_object_end(w);
}

static void put_body(dl_json_writer *w, const dl_api *api, const dl_api_route *route)
{
    const dl_api_body *body = &api->bodies[route->body];
    if (body->form == DL_API_NOTHING) {
        return;
    }
    put_key(w, "requestBody");
    dl_json_object_begin(w);
    put_key(w, "required");
    dl_json_bool(w, body->form != DL_API_VALUES || route->required != 0);
    put_key(w, "content");
    dl_json_object_begin(w);
    if (body->form == DL_API_VALUES) {
        put_key(w, "application/json");
        dl_json_object_begin(w);
        put_key(w, "schema");
        put_members(w, api, route);
        dl_json_object_end(w);
    } else {
        for (size_t i = 0; i < DL_API_TYPE_LIMIT && body->types[i].schema != NULL; i++) {
            put_media(w, body->types[i].type, body->types[i].schema);
        }
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
}

/* ---- answers ---- */

static void answer_begin(dl_json_writer *w, unsigned status, const char *text)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%u", status);
    put_key(w, status == 0 ? "default" : number);
    dl_json_object_begin(w);
    put_text(w, "description", text);
}

static void put_answer(dl_json_writer *w, const dl_api *api, const dl_api_route *route,
                       unsigned status, const char *text)
{
    static const char *const json[] = {"application/json", NULL};
    char ref[96];
    answer_begin(w, status, text);
    if (route->answer != NULL) {
        const char *const *types = api->types_of == NULL ? NULL : api->types_of(route->answer);
        (void)snprintf(ref, sizeof ref, REF("%s"), route->answer);
        put_key(w, "content");
        dl_json_object_begin(w);
        for (types = types == NULL ? json : types; *types != NULL; types++) {
            put_media(w, *types, ref);
        }
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

static void put_problem(dl_json_writer *w, unsigned status, const char *text)
{
    answer_begin(w, status, text);
    put_key(w, "content");
    dl_json_object_begin(w);
    put_media(w, "application/problem+json", REF("Problem"));
    if (status == 0) { /* refused before it reached a route: of another site */
        put_media(w, "text/plain", TEXT);
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
}

static void put_answers(dl_json_writer *w, const dl_api *api, const dl_api_route *route)
{
    const dl_api_body *body = &api->bodies[route->body];
    put_key(w, "responses");
    dl_json_object_begin(w);
    put_answer(w, api, route, route->success, "Done");
    if (body->only_new) {
        put_answer(w, api, route, 201, "Done; it is new");
        put_problem(w, 412, "There is one of this name already");
    }
    put_problem(w, 400, "Something of the request is wrong: what and where");
    if (strchr(route->pattern, '{') != NULL) {
        put_problem(w, 404, "There is no such thing");
    }
    if (strcmp(route->method, "GET") != 0) {
        put_problem(w, 409, "What is there does not allow it");
    }
    if (body->form != DL_API_NOTHING) {
        put_problem(w, 413, "The body is too large");
        put_problem(w, 415, "The body has another media type");
        put_problem(w, 422, "The body is understood but not supported");
    }
    put_problem(w, 0, "Anything else that went wrong");
    dl_json_object_end(w);
}

/* ---- the document ---- */

static void put_operation(dl_json_writer *w, const dl_api *api, const dl_api_route *route)
{
    char method[8] = "";
    for (size_t i = 0; route->method[i] != '\0' && i + 1 < sizeof method; i++) {
        method[i] = (char)(route->method[i] - 'A' + 'a');
    }
    put_key(w, method);
    dl_json_object_begin(w);
    put_text(w, "operationId", route->id);
    put_text(w, "summary", route->summary);
    put_text(w, "x-data-action", route->action);
    put_parameters(w, api, route);
    put_body(w, api, route);
    put_answers(w, api, route);
    dl_json_object_end(w);
}

static bool is_first(const dl_api_route *routes, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (strcmp(routes[k].pattern, routes[i].pattern) == 0) {
            return false;
        }
    }
    return true;
}

static void put_paths(dl_json_writer *w, const dl_api *api)
{
    const dl_api_route *routes = api->routes;
    dl_json_object_begin(w);
    for (size_t i = 0; i < api->route_count; i++) {
        if (!is_first(routes, i)) {
            continue;
        }
        put_key(w, routes[i].pattern);
        dl_json_object_begin(w);
        for (size_t k = i; k < api->route_count; k++) {
            if (strcmp(routes[k].pattern, routes[i].pattern) == 0) {
                put_operation(w, api, &routes[k]);
            }
        }
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

dl_status dl_api_openapi(dl_api_request *r, dl_error *err)
{
    const dl_api *api = r->api;
    DL_AUTO_ANSWER answer = {0};
    dl_json_writer *w = dl_api_answer_begin(&answer, err);
    dl_json_object_begin(w);
    put_text(w, "openapi", "3.1.0");
    put_key(w, "info");
    dl_json_object_begin(w);
    put_text(w, "title", api->title);
    put_text(w, "version", "1");
    dl_json_object_end(w);
    put_raw(w, "servers", "[{\"url\":\"/\"}]");
    put_key(w, "paths");
    put_paths(w, api);
    put_key(w, "components");
    dl_json_object_begin(w);
    put_key(w, "schemas");
    dl_json_object_begin(w);
    for (size_t i = 0; i < api->schema_count; i++) {
        put_raw(w, api->schemas[i].name, api->schemas[i].schema);
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
    dl_json_object_end(w);
    return dl_api_answer_send(r, &answer);
}
