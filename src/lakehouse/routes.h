/**
 * Routes: the lakehouse over HTTP, below /lakehouse, from one table, described by
 * GET /lakehouse/openapi.json (a test compares the two). Shape, paging and failures as
 * factory/routes.h.
 *
 *     GET    /lakehouse/lakehouses               GET PUT DELETE .../{name}
 *     GET    .../{name}/shortcuts                GET PUT DELETE .../shortcuts/{kind}/{shortcut}
 *     POST   .../shortcuts/{kind}/{shortcut}/test          kind: Tables or Files
 *     GET    .../{name}/tables                   GET .../tables/{table}     columns, rows, version
 *     POST   .../{name}/sql                      {"statement", "format", "timeoutSeconds",
 * "rowLimit"} streamed; 400 with the place POST   .../{name}/complete                 {"statement",
 * "at"} GET    /lakehouse/statements               DELETE .../{id}: cancel GET
 * .../{name}/files/{path...}          a folder's list (paged) or a file (ranges) GET
 * .../{name}/cohorts                  GET PUT DELETE .../cohorts/{cohort} GET
 * .../cohorts/{cohort}/instances      (JSON lines, streamed) GET    .../{name}/notebooks GET PUT
 * DELETE .../notebooks/{notebook} POST   .../notebooks/{notebook}/run        {"parameters"}
 *
 * Statements run in children (child.h); everything needs an action of access control.
 *
 * Thread: locked.
 */
#ifndef DL_LAKEHOUSE_ROUTES_H
#define DL_LAKEHOUSE_ROUTES_H

#include "http/server.h"
#include "lakehouse/child.h"

typedef struct dl_lakehouse_routes dl_lakehouse_routes;
typedef struct dl_lakehouse_routes_options {
    dl_factory *factory;
    dl_children *children;
} dl_lakehouse_routes_options;
DL_NODISCARD dl_status dl_lakehouse_routes_create(const dl_lakehouse_routes_options *options,
                                                  dl_lakehouse_routes **out_routes, dl_error *err);
void dl_lakehouse_routes_destroy(dl_lakehouse_routes *routes);
/** Answers paths that begin with /lakehouse/. */
dl_http_app dl_lakehouse_routes_app(dl_lakehouse_routes *routes);
bool dl_lakehouse_routes_has(dl_str path);

#endif
