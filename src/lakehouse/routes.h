/**
 * Routes: the lakehouse over HTTP, below /lakehouse, from one table (routes.c), described by
 * GET /lakehouse/openapi.json, which is made from it. Shape, paging and failures as http/api.h.
 *
 *     GET    /lakehouse/lakehouses                          GET PUT DELETE .../{name}
 *     GET    .../{name}/shortcuts                           GET PUT DELETE .../{kind}/{shortcut}
 *     POST   .../shortcuts/{kind}/{shortcut}/test           kind: Tables or Files
 *     GET    .../{name}/tables                              GET .../tables/{table}
 *     POST   .../{name}/sql       {"statement", "format", "timeoutSeconds", "rowLimit"}: streamed
 *     POST   .../{name}/complete  {"statement", "at"}
 *     GET    .../{name}/files     GET .../files/{path}: a folder's list (paged), or a file (ranges)
 *     GET    .../{name}/cohorts                             GET PUT DELETE .../cohorts/{cohort}
 *     GET    .../cohorts/{cohort}/instances                 JSON lines, streamed
 *     GET    .../{name}/notebooks                           GET PUT DELETE .../{notebook}
 *     POST   .../notebooks/{notebook}/run                   {"parameters"}
 *     GET    /lakehouse/statements                          DELETE .../{id}: cancel
 *
 * Statements, cohorts and notebooks run in children (child.h). Everything has its action of access
 * control: lakehouse/read, lakehouse/write, lakehouse/query.
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
