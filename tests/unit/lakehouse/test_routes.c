/* The table of routes and its document; what wants no lake to be asked. */
#include "lakehouse/routes_internal.h"

#include "support/served.h"

typedef struct lake {
    served served;
    dl_children *children;
    dl_lakehouse_routes *routes;
} lake;

static void lake_begin(lake *l)
{
    dl_error err = {0};
    *l = (lake){0};
    home_begin(&l->served.home);
    const dl_children_options children = {.program = "/bin/true", .home = l->served.home.folder};
    TAP_OK(dl_children_create(&children, &l->children, &err), err);
    const dl_lakehouse_routes_options options = {.factory = l->served.home.factory,
                                                 .children = l->children};
    TAP_OK(dl_lakehouse_routes_create(&options, &l->routes, &err), err);
    dl_http_app app = dl_lakehouse_routes_app(l->routes);
    served_begin(&l->served, &app);
}

static void lake_end(lake *l)
{
    served_end(&l->served);
    dl_lakehouse_routes_destroy(l->routes);
    dl_children_destroy(l->children);
    home_end(&l->served.home);
}

TAP_CASE(routes_and_document_say_the_same)
{
    lake l;
    size_t count = 0;
    const dl_api_route *routes = dl_lake_route_table(&count);
    lake_begin(&l);
    check_document(&l.served, "/lakehouse/openapi.json", routes, count);
    for (size_t i = 0; i < count; i++) {
        TAP_TRUE(strncmp(routes[i].action, "lakehouse/", 10) == 0);
    }
    lake_end(&l);
}

static const char *word_for(const char *name)
{
    return strncmp(name, "{kind}", 6) == 0   ? "Files"
           : strncmp(name, "{id}", 4) == 0   ? "0123456789abcdef0123456789abcdef"
           : strncmp(name, "{path}", 6) == 0 ? "a/b/c"
                                             : "home";
}

TAP_CASE(every_route_answers_every_method)
{
    lake l;
    size_t count = 0;
    const dl_api_route *routes = dl_lake_route_table(&count);
    lake_begin(&l);
    check_methods(&l.served, routes, count, word_for, NULL);
    lake_end(&l);
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
        lake l;
        char name[256];
        TAP_ROW_BEGIN();
        lake_begin(&l);
        TAP_EQ_INT(ask(&l.served, cases[i].method, cases[i].path, cases[i].body), cases[i].want);
        lake_end(&l);
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
