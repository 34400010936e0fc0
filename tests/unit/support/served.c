#include "support/served.h"

void home_begin(home *h)
{
    *h = (home){0};
    folder_make(h->folder, "served");
    const dl_factory_options options = {.home = h->folder, .clock = dl_clock_system()};
    TAP_OK(dl_factory_open(&options, &h->factory, &h->err), h->err);
}

void home_end(home *h)
{
    dl_factory_close(h->factory);
    folder_remove(h->folder);
}

void served_begin(served *s, const dl_http_app *app)
{
    dl_error err = {0};
    const dl_http_server_options options = {.host = "127.0.0.1", .body_limit_bytes = 128 << 20};
    s->server = NULL;
    s->client = NULL;
    TAP_OK(dl_http_server_start(&options, app, &s->server, &err), err);
    TAP_OK(dl_http_client_create(&(dl_http_client_options){0}, &s->client, &err), err);
    s->arena = dl_arena_create(64 << 20);
    dl_buf_init(&s->body, 64 << 20);
}

void served_end(served *s)
{
    dl_http_client_destroy(s->client);
    dl_http_server_stop(s->server, 1000);
    dl_buf_clear(&s->body);
    dl_arena_destroy(s->arena);
}

unsigned ask(served *s, const char *method, const char *path, const char *body)
{
    char url[2048];
    dl_error err = {0};
    static const dl_http_field json[] = {{DL_STR("Content-Type"), DL_STR("application/json")}};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s",
                   (unsigned)dl_http_server_port(s->server), path);
    const dl_http_call call = {
        .method = method,
        .url = url,
        .fields = json,
        .field_count = body != NULL ? 1 : 0,
        .body = {(const uint8_t *)body, body != NULL ? strlen(body) : 0},
    };
    dl_buf_reset(&s->body);
    TAP_OK(dl_http_client_do(s->client, &call, s->arena, &s->body, &s->answer, &err), err);
    return s->answer.status;
}

/* ---- the document ---- */

static size_t count_members(dl_str object)
{
    dl_json_iter iter = dl_json_iter_of(object);
    dl_str key, value;
    size_t count = 0;
    while (dl_json_next_member(&iter, &key, &value)) {
        count++;
    }
    return count;
}

static bool describes(dl_str paths, const dl_api_route *route)
{
    char method[8] = "", success[8];
    dl_str item, operation, id, responses, answer;
    for (size_t i = 0; route->method[i] != '\0'; i++) {
        method[i] = (char)(route->method[i] | 0x20);
    }
    (void)snprintf(success, sizeof success, "%u", route->success);
    return dl_json_get(paths, dl_str_of(route->pattern), &item) &&
           dl_json_get(item, dl_str_of(method), &operation) &&
           dl_json_get(operation, DL_STR("operationId"), &id) &&
           dl_str_eq(dl_str_slice(id, 1, id.len - 2), dl_str_of(route->id)) &&
           dl_json_get(operation, DL_STR("responses"), &responses) &&
           dl_json_get(responses, dl_str_of(success), &answer);
}

void check_document(served *s, const char *path, const dl_api_route *routes, size_t count)
{
    TAP_EQ_INT(ask(s, "GET", path, NULL), 200);
    dl_str document = dl_buf_str(&s->body), paths = DL_STR_NONE, key, value;
    size_t operations = 0;
    TAP_STATUS(dl_json_check(document, NULL), DL_OK);
    TAP_TRUE(dl_json_get(document, DL_STR("paths"), &paths));
    for (size_t i = 0; i < count; i++) {
        if (!describes(paths, &routes[i])) {
            TAP_FAIL("%s %s is not in the document", routes[i].method, routes[i].pattern);
        }
        for (size_t k = 0; k < i; k++) {
            TAP_TRUE(strcmp(routes[i].id, routes[k].id) != 0);
        }
    }
    dl_json_iter iter = dl_json_iter_of(paths);
    while (dl_json_next_member(&iter, &key, &value)) {
        operations += count_members(value);
    }
    TAP_EQ_INT(operations, count);
}

/* ---- methods ---- */

/** The pattern with words for its parameters. */
static void path_of(const char *pattern, const char *(*word)(const char *name), char *out,
                    size_t room)
{
    size_t len = 0;
    for (const char *p = pattern; *p != '\0' && len < room;) {
        const char *end = *p == '{' ? strchr(p, '}') + 1 : p + 1;
        if (*p == '{') {
            len += (size_t)snprintf(out + len, room - len, "%s", word(p));
        } else {
            len += (size_t)snprintf(out + len, room - len, "%c", *p);
        }
        p = end;
    }
}

static bool has_route(const dl_api_route *routes, size_t count, const char *pattern,
                      const char *method)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(routes[i].pattern, pattern) == 0 && strcmp(routes[i].method, method) == 0) {
            return true;
        }
    }
    return false;
}

void check_methods(served *s, const dl_api_route *routes, size_t count,
                   const char *(*word)(const char *name), const char *also_names)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH"};
    for (size_t i = 0; i < count; i++) {
        char path[256] = "";
        path_of(routes[i].pattern, word, path, sizeof path);
        bool also_name = also_names != NULL && strcmp(routes[i].id, also_names) == 0;
        for (size_t m = 0; m < DL_COUNT_OF(methods); m++) {
            bool known = has_route(routes, count, routes[i].pattern, methods[m]);
            unsigned status = ask(s, methods[m], path, "{}");
            dl_str allow = dl_http_answer_header(&s->answer, "Allow");
            if (!known && !also_name && (status != 405 || allow.len == 0)) {
                TAP_FAIL("%s %s: %u, Allow '%.*s'", methods[m], path, status, DL_STR_ARG(allow));
            }
            if (known && (status == 405 || status >= 500)) {
                TAP_FAIL("%s %s: %u %.*s", methods[m], path, status,
                         DL_STR_ARG(dl_buf_str(&s->body)));
            }
        }
    }
}
