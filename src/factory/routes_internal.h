/**
 * What the files of the routes share: values, bodies, one request.
 */
#ifndef DL_FACTORY_ROUTES_INTERNAL_H
#define DL_FACTORY_ROUTES_INTERNAL_H

#include "factory/routes.h"
#include "http/api.h"

#include <pthread.h>

/** A route's kind is a dl_factory_kind. */
typedef dl_api_request dl_factory_request;

/** What a request may say, in its query or as members of its JSON body: one table (routes.c). */
enum {
    DL_VALUE_LIMIT,
    DL_VALUE_TOKEN,
    DL_VALUE_FROM,
    DL_VALUE_TO,
    DL_VALUE_STATUS,
    DL_VALUE_PIPELINE,
    DL_VALUE_TRIGGER,
    DL_VALUE_GROUP,
    DL_VALUE_NAME,
    DL_VALUE_DICOM,
    DL_VALUE_LAKE,
    DL_VALUE_REPLACE,
    DL_VALUE_TEMPLATE,
    DL_VALUE_PARAMETERS,
    DL_VALUE_WINDOW_START,
    DL_VALUE_NEW_NAME,
    DL_VALUES,
};
#define DL_VALUE(name) (1U << DL_VALUE_##name)

enum {
    DL_ROUTES_FILE_LIMIT_BYTES = 16 * 1024 * 1024, /* of an import */
    DL_ROUTES_FEEDS = 64,                          /* whose newest change is remembered */
};

/** Kinds of bodies: indexes into the table of routes.c. */
enum {
    DL_BODY_NONE,
    DL_BODY_VALUES,
    DL_BODY_DOCUMENT,
    DL_BODY_FILE, /* JSON or a zip */
    DL_BODIES,
};

const dl_api_route *dl_factory_route_table(size_t *out_count);
const dl_api_schema *dl_factory_schemas(size_t *out_count);

/** The newest change of a feed, as it was a moment ago (metrics.c). */
typedef struct dl_feed_newest {
    char connection[DL_FACTORY_NAME_LIMIT + 1];
    int64_t looked_us; /* monotonic */
    bool up;
    int64_t sequence, time_us; /* 0: the feed is empty */
} dl_feed_newest;

struct dl_factory_routes {
    dl_factory_routes_options options;
    dl_api api;
    dl_api_mount mount;
    pthread_mutex_t lock; /* guards feeds */
    dl_feed_newest feeds[DL_ROUTES_FEEDS];
    size_t feed_count;
};

static inline dl_factory_routes *dl_request_routes(const dl_factory_request *r)
{
    return r->context;
}
static inline dl_factory_kind dl_request_kind(const dl_factory_request *r)
{
    return (dl_factory_kind)r->route->kind;
}
static inline dl_factory *dl_request_factory(const dl_factory_request *r)
{
    return dl_request_routes(r)->options.factory;
}

/** The document of the request's path. Errors: DL_E_NOT_FOUND. */
DL_NODISCARD dl_status dl_request_entry(dl_factory_request *r, dl_factory_entry *out_entry,
                                        dl_error *err);
/** An entry as GET gives it: a trigger with its facts. */
DL_NODISCARD dl_status dl_request_put_entry(dl_factory_request *r, dl_json_writer *w,
                                            const dl_factory_entry *entry, dl_error *err);
/** Something changed that the scheduler should see. */
void dl_request_wake(dl_factory_request *r);
/** The parameters of the body. */
DL_NODISCARD dl_status dl_request_parameters(dl_factory_request *r,
                                             dl_factory_parameter **out_parameters,
                                             size_t *out_count, dl_error *err);

/* routes_documents.c */
dl_api_handler dl_route_templates, dl_route_list, dl_route_get, dl_route_put, dl_route_delete,
    dl_route_rename, dl_route_test, dl_route_create, dl_route_export, dl_route_import,
    dl_route_publish;
/* routes_runs.c */
dl_api_handler dl_route_run, dl_route_start, dl_route_stop, dl_route_run_now, dl_route_backfill,
    dl_route_rerun_window, dl_route_windows, dl_route_runs, dl_route_run_get, dl_route_logs,
    dl_route_cancel, dl_route_rerun;
/* metrics.c */
dl_api_handler dl_route_metrics;

#endif
