/* The table of routes and its document; what wants no lake to be asked. */
#include "tap.h"

#include "base/mem.h"
#include "http/client.h"
#include "lakehouse/routes_internal.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct served {
    char folder[64];
    dl_factory *factory;
    dl_children *children;
    dl_lakehouse_routes *routes;
    dl_http_server *server;
    dl_http_client *client;
    dl_arena *arena;
    dl_buf body;
    dl_http_answer answer;
} served;

static int remove_entry(const char *path, DL_UNUSED const struct stat *info, DL_UNUSED int kind,
                        DL_UNUSED struct FTW *walk)
{
    return remove(path);
}

static void serve(served *s)
{
    dl_error err = {0};
    *s = (served){.folder = "/tmp/dl-test-lake-routes-XXXXXX"};
    TAP_TRUE(mkdtemp(s->folder) != NULL);
    const dl_factory_options factory = {.home = s->folder, .clock = dl_clock_system()};
    TAP_OK(dl_factory_open(&factory, &s->factory, &err), err);
    const dl_children_options children = {.program = "/bin/true", .home = s->folder};
    TAP_OK(dl_children_create(&children, &s->children, &err), err);
    const dl_lakehouse_routes_options options = {.factory = s->factory, .children = s->children};
    const dl_http_server_options http = {.host = "127.0.0.1", .body_limit_bytes = 128 << 20};
    TAP_OK(dl_lakehouse_routes_create(&options, &s->routes, &err), err);
    dl_http_app app = dl_lakehouse_routes_app(s->routes);
    TAP_OK(dl_http_server_start(&http, &app, &s->server, &err), err);
    TAP_OK(dl_http_client_create(&(dl_http_client_options){0}, &s->client, &err), err);
    s->arena = dl_arena_create(64 << 20);
    dl_buf_init(&s->body, 64 << 20);
}

static void serve_end(served *s)
{
    dl_http_client_destroy(s->client);
    dl_http_server_stop(s->server, 1000);
    dl_lakehouse_routes_destroy(s->routes);
    dl_children_destroy(s->children);
    dl_factory_close(s->factory);
    dl_buf_clear(&s->body);
    dl_arena_destroy(s->arena);
    (void)nftw(s->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned ask(served *s, const char *method, const char *path, const char *body)
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

static bool describes(dl_str paths, const dl_api_route *route)
{
    char method[8] = "";
    char success[8];
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

TAP_CASE(routes_and_document_say_the_same)
{
    served s;
    serve(&s);
    TAP_EQ_INT(ask(&s, "GET", "/lakehouse/openapi.json", NULL), 200);
    dl_str document = dl_buf_str(&s.body), paths, key, value, operation, name;
    size_t count = 0, operations = 0;
    const dl_api_route *routes = dl_lake_route_table(&count);
    TAP_STATUS(dl_json_check(document, NULL), DL_OK);
    TAP_TRUE(dl_json_get(document, DL_STR("paths"), &paths));
    for (size_t i = 0; i < count; i++) {
        if (!describes(paths, &routes[i])) {
            TAP_FAIL("%s %s is not in the document", routes[i].method, routes[i].pattern);
        }
        TAP_TRUE(strncmp(routes[i].action, "lakehouse/", 10) == 0);
    }
    dl_json_iter iter = dl_json_iter_of(paths);
    while (dl_json_next_member(&iter, &key, &value)) {
        dl_json_iter of_path = dl_json_iter_of(value);
        while (dl_json_next_member(&of_path, &name, &operation)) {
            operations++;
        }
    }
    TAP_EQ_INT(operations, count);
    serve_end(&s);
}

TAP_CASE(every_route_answers_every_method)
{
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH"};
    served s;
    size_t count = 0;
    const dl_api_route *routes = dl_lake_route_table(&count);
    serve(&s);
    for (size_t i = 0; i < count; i++) {
        char path[256] = "";
        size_t len = 0;
        for (const char *p = routes[i].pattern; *p != '\0';) {
            const char *end = *p == '{' ? strchr(p, '}') + 1 : p + 1;
            const char *word = strncmp(p, "{kind}", 6) == 0   ? "Files"
                               : strncmp(p, "{id}", 4) == 0   ? "0123456789abcdef0123456789abcdef"
                               : strncmp(p, "{path}", 6) == 0 ? "a/b/c"
                               : *p == '{'                    ? "home"
                                                              : NULL;
            len += (size_t)snprintf(path + len, sizeof path - len, "%.*s",
                                    word != NULL ? 64 : (int)(end - p), word != NULL ? word : p);
            p = end;
        }
        for (size_t m = 0; m < DL_COUNT_OF(methods); m++) {
            bool known = false;
            for (size_t k = 0; k < count; k++) {
                known = known || (strcmp(routes[k].pattern, routes[i].pattern) == 0 &&
                                  strcmp(routes[k].method, methods[m]) == 0);
            }
            unsigned status = ask(&s, methods[m], path, "{}");
            dl_str allow = dl_http_answer_header(&s.answer, "Allow");
            if (!known && (status != 405 || allow.len == 0)) {
                TAP_FAIL("%s %s: %u, Allow '%.*s'", methods[m], path, status, DL_STR_ARG(allow));
            }
            if (known && (status == 405 || status >= 500)) {
                TAP_FAIL("%s %s: %u %.*s", methods[m], path, status,
                         DL_STR_ARG(dl_buf_str(&s.body)));
            }
        }
    }
    serve_end(&s);
}

static const struct {
    const char *method, *path, *body;
    unsigned want;
} cases[] = {
    /* clang-format off */
    {"GET", "/lakehouse/lakehouses", NULL, 200},
    {"GET", "/lakehouse/lakehouses/", NULL, 200},
    {"GET", "/lakehouse", NULL, 404},
    {"GET", "/lakehouse/lakehouses/home/files/", NULL, 200},
    {"GET", "/lakehouse/lakehouses/home/files/AHDS%2Fx", NULL, 404},
    {"GET", "/lakehouse/lakehouses/home/files/%00", NULL, 400},
    {"GET", "/lakehouse/lakehouses/ho%2Fme", NULL, 400},
    {"GET", "/lakehouse/lakehouses/home/shortcuts/tables/x", NULL, 400},
    {"GET", "/lakehouse/lakehouses/home/tables?limit=1000", NULL, 200},
    {"GET", "/lakehouse/lakehouses/home/tables?limit=1001", NULL, 400},
    {"GET", "/lakehouse/lakehouses/home/tables?limit=1&limit=1", NULL, 400},
    {"GET", "/lakehouse/lakehouses/home/tables?continuationToken=x", NULL, 400},
    {"GET", "/lakehouse/lakehouses/home/cohorts/c?version=0", NULL, 400},
    {"GET", "/lakehouse/lakehouses/home/cohorts/c?version=1", NULL, 404},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":1}", 400},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":\"x\",\"timeoutSeconds\":\"1\"}", 400},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":\"x\",\"timeoutSeconds\":1.5}", 400},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":\"x\",\"statement\":\"y\"}", 400},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":\"x\",\"format\":\"JSON\"}", 400},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":\"x\",\"format\":\"parquet\"}", 422},
    {"POST", "/lakehouse/lakehouses/home/sql", "{\"statement\":\"x\"}", 503}, /* /bin/true says nothing */
    {"POST", "/lakehouse/lakehouses/home/sql", "[]", 400},
    {"PUT", "/lakehouse/lakehouses/home/notebooks/n", "{\"nbformat\":3}", 422},
    {"PUT", "/lakehouse/lakehouses/home/notebooks/n", "{\"nbformat\":4,\"nbformat_minor\":5,\"metadata\":{},\"cells\":[]}", 201},
    {"GET", "/lakehouse/lakehouses/home/notebooks/n", NULL, 404}, /* another home */
    {"DELETE", "/lakehouse/statements/0123456789ABCDEF0123456789abcdef", NULL, 400},
    {"DELETE", "/lakehouse/statements/0123456789abcdef0123456789abcde", NULL, 400},
    /* clang-format on */
};

static void requests_are_judged(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        served s;
        char name[256];
        TAP_ROW_BEGIN();
        serve(&s);
        TAP_EQ_INT(ask(&s, cases[i].method, cases[i].path, cases[i].body), cases[i].want);
        serve_end(&s);
        (void)snprintf(name, sizeof name, "%s %s %.80s", cases[i].method, cases[i].path,
                       cases[i].body == NULL ? "" : cases[i].body);
        for (char *p = name; *p != '\0'; p++) {
            *p = *p == '#' ? '_' : *p;
        }
        TAP_ROW_END(name);
    }
}

int main(void)
{
    TAP_RUN(routes_and_document_say_the_same);
    TAP_RUN(every_route_answers_every_method);
    requests_are_judged();
    return tap_done();
}
