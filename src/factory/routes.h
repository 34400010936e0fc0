/**
 * Routes: the factory over HTTP, below /factory, and GET /metrics.
 *
 * One table (routes.c) with method, pattern, handler, the action that access control will ask for,
 * and what the OpenAPI document (GET /factory/openapi.json) says of it: a test compares the two.
 * JSON in and out; failures are application/problem+json (RFC 9457) with the hint. Lists are paged.
 *
 *     GET    /factory/templates
 *     GET    /factory/linkedServices            GET PUT DELETE .../{name}    POST .../{name}/test
 *     GET POST /factory/pipelines               GET PUT DELETE .../{name}    POST .../{name}/run
 *     POST   /factory/pipelines/import          GET .../{name}/export        POST /factory/publish
 *     GET    /factory/triggers                  GET PUT DELETE .../{name}
 *     POST   /factory/triggers/{name}/start|stop|runNow|backfill|rerun
 *     GET    /factory/triggers/{name}/windows
 *     POST   /factory/{kind}/{name}/rename
 *     GET    /factory/runs                      GET .../{id}   GET .../{id}/logs
 *     POST   /factory/runs/{id}/cancel|rerun
 *     GET    /factory/openapi.json              GET /metrics
 *
 * Thread: locked.
 */
#ifndef DL_FACTORY_ROUTES_H
#define DL_FACTORY_ROUTES_H

#include "factory/catalog.h"
#include "factory/work.h"
#include "http/server.h"
#include "json/json.h"

typedef struct dl_factory_routes dl_factory_routes;
typedef struct dl_factory_routes_options {
    dl_factory *factory;
    dl_scheduler *scheduler; /* NULL: another process schedules */
    dl_work *work;           /* for lag behind the feed; NULL: unknown */
    /** Appends figures of others to GET /metrics; NULL: none. */
    dl_status (*put_metrics)(void *context, dl_buf *out, dl_error *err);
    void *metrics_context;
} dl_factory_routes_options;
DL_NODISCARD dl_status dl_factory_routes_create(const dl_factory_routes_options *options,
                                                dl_factory_routes **out_routes, dl_error *err);
void dl_factory_routes_destroy(dl_factory_routes *routes);
/** Answers paths that begin with /factory/ or are /metrics. */
dl_http_app dl_factory_routes_app(dl_factory_routes *routes);
bool dl_factory_routes_has(dl_str path);

/* ---- facts as JSON, the same here and for --json (facts.c) ---- */

void dl_fact_run(dl_json_writer *w, const dl_run *run);
void dl_fact_window(dl_json_writer *w, const dl_run_window *window);
void dl_fact_entry(dl_json_writer *w, const dl_factory_entry *entry);
void dl_fact_trigger(dl_json_writer *w, const dl_factory_entry *entry,
                     const dl_trigger_facts *facts);
void dl_fact_line(dl_json_writer *w, const dl_run_line *line);

/* ---- webhook ---- */

/** POSTs {"event","run"} to the address in HOME/config/factory/settings.json ("webhook": URL or a
 * secret reference; "lateAfter"), from a thread of its own with retries; for
 * dl_scheduler_work.told. */
typedef struct dl_webhook dl_webhook;
DL_NODISCARD dl_status dl_webhook_create(dl_factory *factory, dl_webhook **out_webhook,
                                         dl_error *err);
void dl_webhook_destroy(dl_webhook *webhook);
void dl_webhook_told(void *webhook, const dl_run *run, const char *event);

#endif
