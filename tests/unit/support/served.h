/**
 * A home in a folder of its own, the routes of a module served from it, and a client that asks;
 * what holds of every table of routes.
 *
 *     served s;
 *     home_begin(&s.home);
 *     dl_http_app app = ...;                  routes over s.home.factory
 *     served_begin(&s, &app);
 *     TAP_EQ_INT(ask(&s, "GET", "/x", NULL), 200);
 *     served_end(&s);
 *     ...                                     the routes go
 *     home_end(&s.home);
 */
#ifndef DL_TESTS_SUPPORT_SERVED_H
#define DL_TESTS_SUPPORT_SERVED_H

#include "factory/factory.h"
#include "http/api.h"
#include "http/client.h"

#include "support/folder.h"
#include "tap.h"

typedef struct home {
    char folder[FOLDER_SIZE];
    dl_factory *factory;
    dl_error err;
} home;

void home_begin(home *h);
void home_end(home *h);

typedef struct served {
    home home;
    dl_http_server *server;
    dl_http_client *client;
    dl_arena *arena;
    dl_buf body; /* of the last answer */
    dl_http_answer answer;
} served;

/** Its home has begun. */
void served_begin(served *s, const dl_http_app *app);
void served_end(served *s);

/** The status of the answer to JSON, or with NULL to nothing. */
unsigned ask(served *s, const char *method, const char *path, const char *body);

/** The document at `path` has each route of the table, and nothing else. */
void check_document(served *s, const char *path, const dl_api_route *routes, size_t count);

/** Each method on each pattern is answered: 405 where there is no route, no failure where there is
 * one. `word` says what stands for "{name}" and all behind it; below `also_names`, an operationId
 * or NULL, a method without a route may be another route's. */
void check_methods(served *s, const dl_api_route *routes, size_t count,
                   const char *(*word)(const char *name), const char *also_names);

#endif
