/**
 * What the files of the routes share: the table, one request, answers.
 */
#ifndef DL_FACTORY_ROUTES_INTERNAL_H
#define DL_FACTORY_ROUTES_INTERNAL_H

#include "factory/routes.h"

#include <pthread.h>

typedef struct dl_factory_route dl_factory_route;
typedef struct dl_factory_request dl_factory_request;

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

typedef enum dl_value_kind {
    DL_VALUE_IS_TEXT,
    DL_VALUE_IS_NAME,
    DL_VALUE_IS_COUNT,
    DL_VALUE_IS_TIME,
    DL_VALUE_IS_SWITCH,
    DL_VALUE_IS_STATUS,
    DL_VALUE_IS_OBJECT,
} dl_value_kind;

typedef struct dl_factory_value {
    const char *name;
    dl_value_kind kind;
    const char *text; /* for the OpenAPI document */
} dl_factory_value;

enum {
    DL_ROUTES_PAGE_LIMIT = 1000,
    DL_ROUTES_PAGE_DEFAULT = 100,
    DL_ROUTES_FILE_LIMIT_BYTES = 16 * 1024 * 1024, /* of an import */
    DL_ROUTES_TEXT_LIMIT_BYTES = 1024,             /* of a value */
    DL_ROUTES_ARENA_LIMIT_BYTES = 64 * 1024 * 1024,
    DL_ROUTES_ANSWER_LIMIT_BYTES = 64 * 1024 * 1024,
    DL_ROUTES_FEEDS = 64, /* whose newest change is remembered */
};

typedef enum dl_body_kind {
    DL_BODY_NONE,
    DL_BODY_VALUES,   /* a JSON object of values; may be missing when none is required */
    DL_BODY_DOCUMENT, /* a JSON object */
    DL_BODY_FILE,     /* JSON or a zip */
} dl_body_kind;

/** A handler answers, or fails: then the error does. */
typedef dl_status dl_factory_handler(dl_factory_request *r, dl_error *err);

struct dl_factory_route {
    const char *method;  /* "GET": HEAD too */
    const char *pattern; /* {name} and {id} match one segment */
    const char *id;      /* operationId */
    dl_factory_handler *handle;
    const char *action; /* what access control will ask for */
    dl_factory_kind kind;
    dl_body_kind body;
    unsigned query, members, required; /* DL_VALUE bits */
    unsigned success;                  /* status */
    const char *answer;                /* schema of the OpenAPI document; NULL: none */
    const char *summary;
};

const dl_factory_route *dl_factory_route_table(size_t *out_count);
const dl_factory_value *dl_factory_value_of(unsigned i);

/** The newest change of a feed, as it was a moment ago (metrics.c). */
typedef struct dl_feed_newest {
    char connection[DL_FACTORY_NAME_LIMIT + 1];
    int64_t looked_us; /* monotonic */
    bool up;
    int64_t sequence, time_us; /* 0: the feed is empty */
} dl_feed_newest;

struct dl_factory_routes {
    dl_factory_routes_options options;
    pthread_mutex_t lock; /* guards feeds */
    dl_feed_newest feeds[DL_ROUTES_FEEDS];
    size_t feed_count;
};

struct dl_factory_request {
    dl_factory_routes *routes;
    dl_factory *factory;
    dl_http_exchange *x;
    const dl_factory_route *route;
    dl_arena *arena;            /* from the handler's call on */
    dl_str name;                /* {name} or {id} of the path, decoded */
    dl_str values[DL_VALUES];   /* ptr NULL: not said */
    int64_t numbers[DL_VALUES]; /* counts, times, switches (0, 1), statuses */
    dl_str body;
};

static inline bool dl_request_has(const dl_factory_request *r, unsigned value)
{
    return r->values[value].ptr != NULL;
}

/* ---- answers ---- */

typedef struct dl_factory_answer {
    dl_buf buf;
    dl_json_writer w;
} dl_factory_answer;
void dl_answer_clear(dl_factory_answer *answer);
#define DL_AUTO_ANSWER DL_CLEANUP(dl_answer_clear) dl_factory_answer
dl_json_writer *dl_answer_begin(dl_factory_answer *answer, dl_error *err);
/** With the route's status. */
DL_NODISCARD dl_status dl_answer_send(dl_factory_request *r, dl_factory_answer *answer);
DL_NODISCARD dl_status dl_answer_send_as(dl_factory_request *r, dl_factory_answer *answer,
                                         unsigned status);
/** {"value": [ ... */
dl_json_writer *dl_answer_list_begin(dl_factory_answer *answer, dl_error *err);
/** ... ], "continuationToken": the token, or null when it is empty}. */
DL_NODISCARD dl_status dl_answer_list_send(dl_factory_request *r, dl_factory_answer *answer,
                                           dl_str token);
/** A refusal in one sentence; returns DL_OK. */
dl_status dl_factory_refuse(dl_http_exchange *x, unsigned status, const char *detail);

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
dl_factory_handler dl_route_templates, dl_route_list, dl_route_get, dl_route_put, dl_route_delete,
    dl_route_rename, dl_route_test, dl_route_create, dl_route_export, dl_route_import,
    dl_route_publish;
/* routes_runs.c */
dl_factory_handler dl_route_run, dl_route_start, dl_route_stop, dl_route_run_now, dl_route_backfill,
    dl_route_rerun_window, dl_route_windows, dl_route_runs, dl_route_run_get, dl_route_logs,
    dl_route_cancel, dl_route_rerun;
/* openapi.c, metrics.c */
dl_factory_handler dl_route_openapi, dl_route_metrics;

#endif
