/**
 * API: an app for dl_http_server whose routes stand in tables: method, pattern, handler, the action
 * that access control will ask for, and which values its query, its path and its body take. The
 * OpenAPI document comes from the same tables, so that the two cannot differ.
 *
 * JSON in and out; failures are application/problem+json (RFC 9457) with a hint. Lists are paged:
 * {"value": [...], "continuationToken": ...}. Of failures on our side (5xx) the client learns that
 * they happened, and the log has their cause.
 *
 *     api          tables; the way of a request to its handler
 *     api_answer   answers, lists, problems
 *     api_openapi  the document
 *
 * Thread: the tables are immutable; a request is confined.
 * Standard: RFC 9457, OpenAPI 3.1.
 */
#ifndef DL_HTTP_API_H
#define DL_HTTP_API_H

#include "http/server.h"
#include "json/json.h"

typedef struct dl_api dl_api;
typedef struct dl_api_route dl_api_route;
typedef struct dl_api_value dl_api_value;
typedef struct dl_api_request dl_api_request;

enum {
    DL_API_VALUE_LIMIT = 32, /* values of an API: each has a bit */
    DL_API_PARAM_LIMIT = 4,  /* of a pattern */
    DL_API_PAGE_LIMIT = 1000,
    DL_API_PAGE_DEFAULT = 100,
    DL_API_TEXT_LIMIT_BYTES = 1024, /* of a value of dl_api_type_text */
    DL_API_ARENA_LIMIT_BYTES = 64 * 1024 * 1024,
    DL_API_ANSWER_LIMIT_BYTES = 64 * 1024 * 1024,
};

/* ---- tables ---- */

/** A handler answers, or fails: then the error does. */
typedef dl_status dl_api_handler(dl_api_request *r, dl_error *err);

/** What a value is: in a query it is text, as a member of a body a JSON value of a kind. */
typedef struct dl_api_type {
    dl_json_kind json; /* STRING: its text is checked; others: the JSON is */
    /** Whether it is one, and its number when it has one. Errors: DL_E_INVALID; NULL: all are. */
    dl_status (*check)(const dl_api_value *value, dl_str text, int64_t *out_number, dl_error *err);
    const char *schema;
} dl_api_type;
extern const dl_api_type dl_api_type_text;   /* 1 to 1024 printable ASCII characters */
extern const dl_api_type dl_api_type_page;   /* 1 to DL_API_PAGE_LIMIT */
extern const dl_api_type dl_api_type_time;   /* with a zone */
extern const dl_api_type dl_api_type_switch; /* true, false */
extern const dl_api_type dl_api_type_object; /* at most 50 members are described */

struct dl_api_value {
    const char *name;
    const dl_api_type *type;
    const char *text;
};

/** {name} of a pattern: one segment, decoded. */
typedef struct dl_api_param {
    const char *name;
    bool tail; /* all segments that are left, joined by '/' */
    dl_status (*check)(const dl_api_request *r, dl_str value, dl_error *err);
    const char *schema, *text;
} dl_api_param;

typedef enum dl_api_form {
    DL_API_NOTHING,
    DL_API_VALUES, /* a JSON object of values; may be missing when none is required */
    DL_API_OBJECT, /* a JSON object */
    DL_API_BYTES,  /* whatever, but not empty */
} dl_api_form;

enum { DL_API_TYPE_LIMIT = 3 };
typedef struct dl_api_media {
    const char *type;
    const char *schema; /* JSON Schema; NULL: not named in the document, but taken */
} dl_api_media;

/** A kind of body. */
typedef struct dl_api_body {
    dl_api_form form;
    bool only_new; /* a PUT that takes If-None-Match: *, and answers 201 for what is new */
    size_t limit_bytes;
    dl_api_media types[DL_API_TYPE_LIMIT]; /* of VALUES the schema comes from the route */
} dl_api_body;

struct dl_api_route {
    const char *method;  /* "GET": HEAD too */
    const char *pattern; /* "/x/{name}/y" */
    const char *id;      /* operationId */
    dl_api_handler *handle;
    const char *action;                /* what access control will ask for */
    int kind;                          /* the app's own */
    unsigned body;                     /* index of its kind */
    unsigned query, members, required; /* bits of values */
    unsigned success;                  /* status */
    const char *answer;                /* schema of the document; NULL: none */
    const char *summary;
};

typedef struct dl_api_schema {
    const char *name, *schema;
} dl_api_schema;

struct dl_api {
    const char *name;  /* of its lines in the log */
    const char *title; /* of the document */
    const dl_api_route *routes;
    size_t route_count;
    const dl_api_value *values;
    size_t value_count;
    const dl_api_param *params;
    size_t param_count;
    const dl_api_body *bodies; /* the first is none */
    const dl_api_schema *schemas;
    size_t schema_count;
    /** Media types of an answer, ended by NULL; NULL: JSON. May be NULL. */
    const char *const *(*types_of)(const char *answer);
    /** What is known to be wrong with what the handlers stand on, in words that clients may read:
     * who fails with its status is answered 503 and these. DL_OK: nothing. May be NULL. */
    dl_status (*fault)(void *context, dl_error *err);
};

/* ---- an app ---- */

typedef struct dl_api_mount {
    const dl_api *api;
    void *context; /* of the handlers */
} dl_api_mount;
/** `mount` outlives the server. */
dl_http_app dl_api_app(const dl_api_mount *mount);

/* ---- a request ---- */

struct dl_api_request {
    const dl_api *api;
    void *context;
    dl_http_exchange *x;
    const dl_api_route *route;
    dl_arena *arena; /* from the handler's call on */
    dl_str name;     /* the first of params */
    dl_str params[DL_API_PARAM_LIMIT];
    dl_str values[DL_API_VALUE_LIMIT]; /* ptr NULL: not said */
    int64_t numbers[DL_API_VALUE_LIMIT];
    dl_str body;
};

static inline bool dl_api_has(const dl_api_request *r, unsigned value)
{
    return r->values[value].ptr != NULL;
}
/** {name} of the path, by its name. */
dl_str dl_api_param_of(const dl_api_request *r, const char *name);
/** If-None-Match: * */
bool dl_api_only_new(const dl_api_request *r);
/** The body, an object, with `name` as its "name" when it has none. Errors: DL_E_INVALID (another
 * one). */
DL_NODISCARD dl_status dl_api_named_body(dl_api_request *r, dl_str name, dl_str *out_json,
                                         dl_error *err);
/** Items of a page: "limit" as the value at that place has it, or the default. */
size_t dl_api_page_limit(const dl_api_request *r, unsigned value);
/** Whether a name comes after another one in lists: names are one without regard to the case of
 * ASCII letters, and so is their order. */
bool dl_api_name_after(dl_str name, dl_str before);
/** What a value takes, as DL_E_INVALID. */
dl_status dl_api_bad_value(const dl_api_value *value, const char *takes, dl_error *err);

/* ---- answers ---- */

typedef struct dl_api_answer {
    dl_buf buf;
    dl_json_writer w;
} dl_api_answer;
void dl_api_answer_clear(dl_api_answer *answer);
#define DL_AUTO_ANSWER DL_CLEANUP(dl_api_answer_clear) dl_api_answer
dl_json_writer *dl_api_answer_begin(dl_api_answer *answer, dl_error *err);
/** With the route's status. */
DL_NODISCARD dl_status dl_api_answer_send(dl_api_request *r, dl_api_answer *answer);
DL_NODISCARD dl_status dl_api_answer_send_as(dl_api_request *r, dl_api_answer *answer,
                                             unsigned status);
/** {"value": [ ... */
dl_json_writer *dl_api_list_begin(dl_api_answer *answer, dl_error *err);
/** ... ], "continuationToken": the token, or null when it is empty}. */
DL_NODISCARD dl_status dl_api_list_send(dl_api_request *r, dl_api_answer *answer, dl_str token);

/** A refusal in one sentence; returns DL_OK. */
dl_status dl_api_refuse(dl_http_exchange *x, unsigned status, const char *detail);

/** A member of a problem beside those of the standard. */
typedef struct dl_api_extra {
    const char *name;
    int64_t number;
} dl_api_extra;
typedef struct dl_api_problem {
    unsigned status;
    const char *detail, *hint; /* hint: empty or NULL for none */
    const dl_api_extra *extras;
    size_t extra_count;
} dl_api_problem;
void dl_api_problem_send(dl_http_exchange *x, const dl_api_problem *problem);
/** The problem of an error. */
void dl_api_fail(const dl_api *api, dl_http_exchange *x, const dl_error *err);
/** 503 with what is known to be wrong; the error goes to the log. */
void dl_api_fail_known(const dl_api *api, dl_http_exchange *x, const dl_error *err,
                       const dl_error *known);
/** The status of a status. */
unsigned dl_api_status(dl_status status);

/** GET .../openapi.json */
dl_api_handler dl_api_openapi;

#endif
