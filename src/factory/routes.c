/* Every route in one table, and the way of a request to its handler and back. */
#include "factory/routes_internal.h"

#include "base/log.h"
#include "base/mem.h"
#include "http/media.h"
#include "http/url.h"

#include <stdio.h>
#include <string.h>

enum { SEGMENT_LIMIT = 8 };

#define READ "factory/read"
#define WRITE "factory/write"
#define RUN "factory/run"
#define V(name) DL_VALUE(name)
#define PAGE (V(LIMIT) | V(TOKEN))

/* clang-format off */
#define KIND(path, one, many, k, page) \
    {"GET",    "/factory/" path,                "list" many,   dl_route_list,   READ,  k, DL_BODY_NONE,     PAGE, 0, 0, 200, page, "List " path}, \
    {"GET",    "/factory/" path "/{name}",        "get" one,     dl_route_get,    READ,  k, DL_BODY_NONE,     0, 0, 0, 200, one, "One of the " path ": its draft, or what is published when the draft was removed"}, \
    {"PUT",    "/factory/" path "/{name}",        "save" one,    dl_route_put,    WRITE, k, DL_BODY_DOCUMENT, 0, 0, 0, 200, one, "Save a draft; 201 when it is new; If-None-Match: * refuses to replace"}, \
    {"DELETE", "/factory/" path "/{name}",        "delete" one,  dl_route_delete, WRITE, k, DL_BODY_NONE,     0, 0, 0, 204, NULL, "Remove a draft"}, \
    {"POST",   "/factory/" path "/{name}/rename", "rename" one,  dl_route_rename, WRITE, k, DL_BODY_VALUES,   0, V(NEW_NAME), V(NEW_NAME), 200, one, "Rename, with all references and the history"}

#define LINKS DL_FACTORY_CONNECTION
#define PIPES DL_FACTORY_PIPELINE
#define TRIGS DL_FACTORY_TRIGGER
static const dl_factory_route routes_table[] = {
    {"GET",  "/factory/templates", "listTemplates", dl_route_templates, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "TemplatePage", "The gallery: what pipelines can be made from"},
    KIND("linkedServices", "LinkedService", "LinkedServices", LINKS, "LinkedServicePage"),
    {"POST", "/factory/linkedServices/{name}/test", "testLinkedService", dl_route_test, RUN, LINKS, DL_BODY_NONE, 0, 0, 0, 200, "Probe", "Test a connection step by step"},
    KIND("pipelines", "Pipeline", "Pipelines", PIPES, "PipelinePage"),
    {"POST", "/factory/pipelines", "createPipeline", dl_route_create, WRITE, PIPES, DL_BODY_VALUES, 0, V(NAME) | V(TEMPLATE) | V(DICOM) | V(LAKE) | V(PARAMETERS), V(NAME) | V(TEMPLATE) | V(DICOM) | V(LAKE), 201, "Pipeline", "Make a pipeline from a template"},
    {"POST", "/factory/pipelines/import", "importPipeline", dl_route_import, WRITE, PIPES, DL_BODY_FILE, V(NAME) | V(DICOM) | V(LAKE) | V(REPLACE), 0, 0, 201, "Imported", "Import a template's zip or JSON, a pipeline or triggers as drafts"},
    {"POST", "/factory/pipelines/{name}/run", "runPipeline", dl_route_run, RUN, PIPES, DL_BODY_VALUES, 0, V(PARAMETERS), 0, 202, "RunQueued", "Queue a run by hand, with parameters over the defaults"},
    {"GET",  "/factory/pipelines/{name}/export", "exportPipeline", dl_route_export, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "Exported", "The pipeline with its triggers and connections as a template"},
    {"POST", "/factory/publish", "publish", dl_route_publish, WRITE, PIPES, DL_BODY_VALUES, 0, V(PIPELINE), 0, 200, "Publication", "Let drafts take effect: all, or one pipeline with its triggers"},
    KIND("triggers", "Trigger", "Triggers", TRIGS, "TriggerPage"),
    {"POST", "/factory/triggers/{name}/start", "startTrigger", dl_route_start, RUN, TRIGS, DL_BODY_NONE, 0, 0, 0, 200, "Trigger", "Start a published trigger"},
    {"POST", "/factory/triggers/{name}/stop", "stopTrigger", dl_route_stop, RUN, TRIGS, DL_BODY_NONE, 0, 0, 0, 200, "Trigger", "Stop a trigger; it keeps its place"},
    {"POST", "/factory/triggers/{name}/runNow", "runTriggerNow", dl_route_run_now, RUN, TRIGS, DL_BODY_NONE, 0, 0, 0, 202, "RunQueued", "Trigger now"},
    {"POST", "/factory/triggers/{name}/backfill", "backfillTrigger", dl_route_backfill, RUN, TRIGS, DL_BODY_VALUES, 0, V(FROM) | V(TO), V(FROM) | V(TO), 202, "WindowsQueued", "Queue all windows of a time span that have not succeeded"},
    {"POST", "/factory/triggers/{name}/rerun", "rerunWindow", dl_route_rerun_window, RUN, TRIGS, DL_BODY_VALUES, 0, V(WINDOW_START), V(WINDOW_START), 202, "RunQueued", "Queue one window once more"},
    {"GET",  "/factory/triggers/{name}/windows", "listWindows", dl_route_windows, READ, TRIGS, DL_BODY_NONE, PAGE | V(FROM) | V(TO), 0, 0, 200, "WindowPage", "Windows of a trigger"},
    {"GET",  "/factory/runs", "listRuns", dl_route_runs, READ, PIPES, DL_BODY_NONE, PAGE | V(FROM) | V(TO) | V(STATUS) | V(PIPELINE) | V(TRIGGER) | V(GROUP), 0, 0, 200, "RunPage", "Runs, the newest first"},
    {"GET",  "/factory/runs/{id}", "getRun", dl_route_run_get, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "Run", "A run, by its id or 6 or more of its first digits"},
    {"GET",  "/factory/runs/{id}/logs", "getRunLogs", dl_route_logs, READ, PIPES, DL_BODY_NONE, V(TOKEN), 0, 0, 200, "LogPage", "Log lines of a run; the token asks for what came since"},
    {"POST", "/factory/runs/{id}/cancel", "cancelRun", dl_route_cancel, RUN, PIPES, DL_BODY_NONE, 0, 0, 0, 202, "Run", "Cancel a run; what it committed stays whole"},
    {"POST", "/factory/runs/{id}/rerun", "rerunRun", dl_route_rerun, RUN, PIPES, DL_BODY_NONE, 0, 0, 0, 202, "RunQueued", "The same run once more"},
    {"GET",  "/factory/openapi.json", "getOpenApi", dl_route_openapi, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "OpenApi", "This document"},
    {"GET",  "/metrics", "getMetrics", dl_route_metrics, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "Metrics", "Figures in Prometheus' text format"},
};

static const dl_factory_value values_table[DL_VALUES] = {
    [DL_VALUE_LIMIT]        = {"limit", DL_VALUE_IS_COUNT, "most items of a page"},
    [DL_VALUE_TOKEN]        = {"continuationToken", DL_VALUE_IS_TEXT, "as the page before gave it"},
    [DL_VALUE_FROM]         = {"from", DL_VALUE_IS_TIME, "not before this time"},
    [DL_VALUE_TO]           = {"to", DL_VALUE_IS_TIME, "before this time"},
    [DL_VALUE_STATUS]       = {"status", DL_VALUE_IS_STATUS, "status of a run"},
    [DL_VALUE_PIPELINE]     = {"pipeline", DL_VALUE_IS_NAME, "name of a pipeline"},
    [DL_VALUE_TRIGGER]      = {"trigger", DL_VALUE_IS_NAME, "name of a trigger"},
    [DL_VALUE_GROUP]        = {"runGroupId", DL_VALUE_IS_TEXT, "a run with its retries and reruns"},
    [DL_VALUE_NAME]         = {"name", DL_VALUE_IS_NAME, "name of the new document"},
    [DL_VALUE_DICOM]        = {"dicom", DL_VALUE_IS_NAME, "linked service of the change feed"},
    [DL_VALUE_LAKE]         = {"lake", DL_VALUE_IS_NAME, "linked service of the tables"},
    [DL_VALUE_REPLACE]      = {"replace", DL_VALUE_IS_SWITCH, "whether documents may exist already"},
    [DL_VALUE_TEMPLATE]     = {"template", DL_VALUE_IS_TEXT, "id or title of a template"},
    [DL_VALUE_PARAMETERS]   = {"parameters", DL_VALUE_IS_OBJECT, "values of parameters by their names"},
    [DL_VALUE_WINDOW_START] = {"windowStart", DL_VALUE_IS_TIME, "where the window begins"},
    [DL_VALUE_NEW_NAME]     = {"newName", DL_VALUE_IS_NAME, "the name from now on"},
};
/* clang-format on */

const dl_factory_route *dl_factory_route_table(size_t *out_count)
{
    *out_count = DL_COUNT_OF(routes_table);
    return routes_table;
}

const dl_factory_value *dl_factory_value_of(unsigned i)
{
    return &values_table[i];
}

bool dl_factory_routes_has(dl_str path)
{
    return dl_str_starts(path, DL_STR("/factory/")) || dl_str_eq(path, DL_STR("/metrics"));
}

/* ---- refusals (RFC 9457) ---- */

static const char *title_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {{400, "Bad Request"},
                  {403, "Forbidden"},
                  {404, "Not Found"},
                  {405, "Method Not Allowed"},
                  {409, "Conflict"},
                  {412, "Precondition Failed"},
                  {413, "Content Too Large"},
                  {415, "Unsupported Media Type"},
                  {422, "Unprocessable Content"},
                  {503, "Service Unavailable"}};
    for (size_t i = 0; i < DL_COUNT_OF(titles); i++) {
        if (titles[i].status == status) {
            return titles[i].title;
        }
    }
    return "Internal Server Error";
}

static void put_text(dl_json_writer *w, const char *key, const char *text)
{
    dl_json_key(w, dl_str_of(key));
    dl_json_string(w, dl_str_of(text));
}

static void send_problem(dl_http_exchange *x, unsigned status, const char *detail, const char *hint)
{
    DL_AUTO_BUF buf = {0};
    dl_buf_init(&buf, 16384);
    dl_json_writer w = {0};
    dl_json_writer_init(&w, &buf, NULL);
    dl_json_object_begin(&w);
    put_text(&w, "type", "about:blank");
    put_text(&w, "title", title_of(status));
    dl_json_key(&w, DL_STR("status"));
    dl_json_int(&w, (int64_t)status);
    put_text(&w, "detail", detail);
    if (hint[0] != '\0') {
        put_text(&w, "hint", hint);
    }
    dl_json_object_end(&w);
    bool whole = dl_json_writer_status(&w) == DL_OK;
    dl_http_respond(x, status, "application/problem+json", whole ? dl_buf_str(&buf) : DL_STR("{}"));
}

dl_status dl_factory_refuse(dl_http_exchange *x, unsigned status, const char *detail)
{
    send_problem(x, status, detail, "");
    return DL_OK;
}

static void refuse_error(dl_http_exchange *x, const dl_error *err)
{
    static const unsigned table[] = {
        [DL_OK] = 500,         [DL_E_INVALID] = 400,
        [DL_E_DENIED] = 403,   [DL_E_NOT_FOUND] = 404,
        [DL_E_EXISTS] = 409,   [DL_E_CONFLICT] = 409,
        [DL_E_LIMIT] = 413,    [DL_E_UNSUPPORTED] = 422,
        [DL_E_CORRUPT] = 500,  [DL_E_UNAVAILABLE] = 503,
        [DL_E_CANCELED] = 503, [DL_E_IO] = 503,
        [DL_E_NOMEM] = 503,
    };
    size_t at = (size_t)err->status;
    unsigned status = at < DL_COUNT_OF(table) ? table[at] : 500;
    if (status < 500) {
        send_problem(x, status, err->message, err->hint);
        return;
    }
    /* Of a failure on our side the client learns that it happened; the cause goes to the log. */
    dl_log_line line;
    dl_log_begin(&line, DL_LOG_ERROR, "factory", "request");
    dl_log_str(&line, "request", dl_http_request_id(x));
    dl_log_error(&line, err);
    dl_log_end(&line);
    send_problem(x, status,
                 status == 503 ? "This cannot be done at the moment; try again later."
                               : "An unforeseen condition was met.",
                 "the log of the service has the cause");
}

/* ---- answers ---- */

void dl_answer_clear(dl_factory_answer *answer)
{
    dl_buf_clear(&answer->buf);
}

dl_json_writer *dl_answer_begin(dl_factory_answer *answer, dl_error *err)
{
    dl_buf_init(&answer->buf, DL_ROUTES_ANSWER_LIMIT_BYTES);
    dl_json_writer_init(&answer->w, &answer->buf, err);
    return &answer->w;
}

dl_status dl_answer_send_as(dl_factory_request *r, dl_factory_answer *answer, unsigned status)
{
    DL_TRY(dl_json_writer_status(&answer->w));
    dl_http_add_header(r->x, "Cache-Control", DL_STR("no-store"));
    dl_http_respond_buf(r->x, status, "application/json", &answer->buf);
    return DL_OK;
}

dl_status dl_answer_send(dl_factory_request *r, dl_factory_answer *answer)
{
    return dl_answer_send_as(r, answer, r->route->success);
}

dl_json_writer *dl_answer_list_begin(dl_factory_answer *answer, dl_error *err)
{
    dl_json_writer *w = dl_answer_begin(answer, err);
    dl_json_object_begin(w);
    dl_json_key(w, DL_STR("value"));
    dl_json_array_begin(w);
    return w;
}

dl_status dl_answer_list_send(dl_factory_request *r, dl_factory_answer *answer, dl_str token)
{
    dl_json_writer *w = &answer->w;
    dl_json_array_end(w);
    dl_json_key(w, DL_STR("continuationToken"));
    if (token.len > 0) {
        dl_json_string(w, token);
    } else {
        dl_json_null(w);
    }
    dl_json_object_end(w);
    return dl_answer_send(r, answer);
}

/* ---- which route ---- */

typedef struct path {
    dl_str segments[SEGMENT_LIMIT]; /* decoded */
    size_t count;
} path;

static dl_status split_path(dl_http_exchange *x, path *out, bool *out_fits, dl_error *err)
{
    dl_str rest = dl_http_path(x);
    dl_str raw = DL_STR_NONE;
    rest = dl_str_slice(rest, 1, rest.len);
    if (dl_str_ends(rest, DL_STR("/"))) {
        rest.len--;
    }
    *out = (path){0};
    *out_fits = true;
    while (rest.len > 0 && dl_str_next(&rest, '/', &raw)) {
        if (out->count == SEGMENT_LIMIT) {
            *out_fits = false;
            return DL_OK;
        }
        DL_TRY(dl_url_decode(raw, false, dl_http_arena(x), &out->segments[out->count++], err));
    }
    return DL_OK;
}

static bool match(const char *pattern, const path *p, dl_str *out_name)
{
    dl_str rest = dl_str_slice(dl_str_of(pattern), 1, SIZE_MAX);
    dl_str piece = DL_STR_NONE;
    size_t at = 0;
    *out_name = DL_STR("");
    while (dl_str_next(&rest, '/', &piece)) {
        if (at == p->count) {
            return false;
        }
        dl_str segment = p->segments[at++];
        if (piece.ptr[0] == '{' && segment.len > 0) {
            *out_name = segment;
        } else if (!dl_str_eq(piece, segment)) {
            return false;
        }
    }
    return at == p->count;
}

static const dl_factory_route *find_route(dl_http_exchange *x, const path *p, dl_str *out_name,
                                          char *allow, size_t allow_size)
{
    dl_str method = dl_http_method(x);
    allow[0] = '\0';
    for (size_t i = 0; i < DL_COUNT_OF(routes_table); i++) {
        if (!match(routes_table[i].pattern, p, out_name)) {
            continue;
        }
        if (dl_str_eq(method, dl_str_of(routes_table[i].method))) {
            return &routes_table[i];
        }
        size_t used = strlen(allow);
        (void)snprintf(allow + used, allow_size - used, "%s%s%s", used > 0 ? ", " : "",
                       strcmp(routes_table[i].method, "GET") == 0 ? "HEAD, " : "",
                       routes_table[i].method);
    }
    return NULL;
}

/* {id}: hex digits and hyphens, 6 to 36 of them. */
static dl_status check_id(dl_str id, dl_error *err)
{
    bool good = id.len >= 6 && id.len < DL_FACTORY_RUN_ID_SIZE;
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        good = good && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-');
    }
    return good ? DL_OK
                : dl_error_set(err, DL_E_INVALID,
                               "The id of a run is 6 to 36 digits 0-9 and a-f, and hyphens.");
}

static dl_status check_path_value(const dl_factory_request *r, dl_error *err)
{
    if (strstr(r->route->pattern, "{id}") != NULL) {
        return check_id(r->name, err);
    }
    if (strstr(r->route->pattern, "{name}") != NULL) {
        static const char *const whats[] = {[DL_FACTORY_CONNECTION] = "linked service",
                                            [DL_FACTORY_PIPELINE] = "pipeline",
                                            [DL_FACTORY_TRIGGER] = "trigger"};
        return dl_factory_name_check(r->name, whats[r->route->kind], err);
    }
    return DL_OK;
}

/* ---- values ---- */

static dl_status bad_value(unsigned i, const char *takes, dl_error *err)
{
    return dl_error_set(err, DL_E_INVALID, "\"%s\" takes %s.", values_table[i].name, takes);
}

static dl_status check_count(dl_factory_request *r, unsigned i, dl_error *err)
{
    uint64_t count = 0;
    if (!dl_str_to_u64(r->values[i], &count) || count < 1 || count > DL_ROUTES_PAGE_LIMIT) {
        return bad_value(i, "a whole number from 1 to 1000", err);
    }
    r->numbers[i] = (int64_t)count;
    return DL_OK;
}

static dl_status check_switch(dl_factory_request *r, unsigned i, dl_error *err)
{
    bool on = dl_str_eq(r->values[i], DL_STR("true"));
    if (!on && !dl_str_eq(r->values[i], DL_STR("false"))) {
        return bad_value(i, "true or false", err);
    }
    r->numbers[i] = on;
    return DL_OK;
}

static dl_status check_text(dl_factory_request *r, unsigned i, dl_error *err)
{
    dl_str text = r->values[i];
    bool good = text.len > 0 && text.len <= DL_ROUTES_TEXT_LIMIT_BYTES;
    for (size_t k = 0; good && k < text.len; k++) {
        good = text.ptr[k] >= ' ' && text.ptr[k] <= '~';
    }
    return good ? DL_OK : bad_value(i, "1 to 1024 printable ASCII characters", err);
}

static dl_status check_value(dl_factory_request *r, unsigned i, dl_error *err)
{
    dl_run_status status = DL_RUN_QUEUED;
    switch (values_table[i].kind) {
    case DL_VALUE_IS_NAME:
        return dl_factory_name_check(r->values[i], values_table[i].name, err);
    case DL_VALUE_IS_COUNT:
        return check_count(r, i, err);
    case DL_VALUE_IS_TIME:
        return dl_clock_parse(r->values[i], &r->numbers[i])
                   ? DL_OK
                   : bad_value(i, "a time with a zone, such as 2026-01-05T08:00:00Z", err);
    case DL_VALUE_IS_SWITCH:
        return check_switch(r, i, err);
    case DL_VALUE_IS_STATUS:
        if (!dl_run_status_of(r->values[i], &status)) {
            return bad_value(i, "Queued, InProgress, Succeeded, Failed or Cancelled", err);
        }
        r->numbers[i] = (int64_t)status;
        return DL_OK;
    case DL_VALUE_IS_TEXT:
        return check_text(r, i, err);
    case DL_VALUE_IS_OBJECT:
        break;
    }
    return DL_OK;
}

static bool find_value(dl_str name, unsigned allowed, unsigned *out_i)
{
    for (unsigned i = 0; i < DL_VALUES; i++) {
        if ((allowed & 1U << i) != 0 && dl_str_eq(name, dl_str_of(values_table[i].name))) {
            *out_i = i;
            return true;
        }
    }
    return false;
}

static dl_status unknown_value(const char *where, dl_str name, unsigned allowed, dl_error *err)
{
    char names[160] = "";
    for (unsigned i = 0; i < DL_VALUES; i++) {
        size_t used = strlen(names);
        if ((allowed & 1U << i) != 0) {
            (void)snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "",
                           values_table[i].name);
        }
    }
    (void)dl_error_set(err, DL_E_INVALID, "The %s takes no \"%.*s\".", where,
                       DL_STR_ARG(dl_str_slice(name, 0, 80)));
    dl_error_hint(err, "it takes %s", names[0] == '\0' ? "nothing" : names);
    return DL_E_INVALID;
}

static dl_status take_value(dl_factory_request *r, unsigned i, dl_str text, dl_error *err)
{
    if (dl_request_has(r, i)) {
        return dl_error_set(err, DL_E_INVALID, "\"%s\" is said twice.", values_table[i].name);
    }
    r->values[i] = text.ptr == NULL ? DL_STR("") : text;
    return check_value(r, i, err);
}

static dl_status read_query(dl_factory_request *r, dl_error *err)
{
    dl_url_param *params = NULL;
    size_t count = 0;
    dl_status status =
        dl_url_query_parse(dl_http_query(r->x), dl_http_arena(r->x), &params, &count, err);
    if (status == DL_E_LIMIT) {
        err->status = DL_E_INVALID; /* 400: it is no body that is too large */
        return DL_E_INVALID;
    }
    DL_TRY(status);
    for (size_t i = 0; i < count; i++) {
        unsigned at = 0;
        if (!find_value(params[i].name, r->route->query, &at)) {
            return unknown_value("query", params[i].name, r->route->query, err);
        }
        DL_TRY(take_value(r, at, params[i].value, err));
    }
    return DL_OK;
}

static dl_status read_member(dl_factory_request *r, dl_str key, dl_str value, dl_error *err)
{
    unsigned i = 0;
    if (!find_value(key, r->route->members, &i)) {
        return unknown_value("body", key, r->route->members, err);
    }
    bool object = values_table[i].kind == DL_VALUE_IS_OBJECT;
    dl_json_kind want = object ? DL_JSON_OBJECT : DL_JSON_STRING;
    if (dl_json_kind_of(value) != want) {
        return bad_value(i, object ? "an object" : "text", err);
    }
    dl_str text = value;
    if (!object) {
        DL_TRY(dl_json_text(value, r->arena, &text, err));
    }
    return take_value(r, i, text, err);
}

static dl_status read_members(dl_factory_request *r, dl_error *err)
{
    dl_json_iter members = dl_json_iter_of(r->body);
    dl_str key = DL_STR_NONE;
    dl_str value = DL_STR_NONE;
    while (dl_json_next_member(&members, &key, &value)) {
        DL_TRY(read_member(r, key, value, err));
    }
    for (unsigned i = 0; i < DL_VALUES; i++) {
        if ((r->route->required & 1U << i) != 0 && !dl_request_has(r, i)) {
            return dl_error_set(err, DL_E_INVALID, "The body lacks \"%s\".", values_table[i].name);
        }
    }
    return DL_OK;
}

static dl_status read_body(dl_factory_request *r, dl_error *err)
{
    if (r->route->body == DL_BODY_NONE) {
        return DL_OK;
    }
    if (r->route->body == DL_BODY_FILE) {
        return r->body.len > 0 ? DL_OK : dl_error_set(err, DL_E_INVALID, "The body is empty.");
    }
    if (r->body.len == 0 && r->route->body == DL_BODY_VALUES) {
        r->body = DL_STR("{}");
    }
    DL_TRY(dl_json_check(r->body, err));
    if (dl_json_kind_of(r->body) != DL_JSON_OBJECT) {
        return dl_error_set(err, DL_E_INVALID, "The body is not a JSON object.");
    }
    return r->route->body == DL_BODY_VALUES ? read_members(r, err) : DL_OK;
}

/* ---- a request's way ---- */

static dl_status answer(dl_factory_request *r, dl_error *err)
{
    DL_AUTO(dl_arena) arena = dl_arena_create(DL_ROUTES_ARENA_LIMIT_BYTES);
    if (arena == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a request");
    }
    r->arena = arena;
    dl_status status = read_body(r, err);
    if (status == DL_OK) {
        status = r->route->handle(r, err);
    }
    r->arena = NULL;
    return status;
}

static void answer_or_refuse(dl_factory_request *r)
{
    dl_error cause = {0};
    if (answer(r, &cause) != DL_OK && !dl_http_answered(r->x)) {
        refuse_error(r->x, &cause);
    }
}

static bool media_fits(dl_http_exchange *x, dl_body_kind body)
{
    dl_media media;
    dl_str type = dl_http_header(x, "Content-Type");
    if (type.ptr == NULL || dl_media_parse(type, dl_http_arena(x), &media, NULL) != DL_OK) {
        return false;
    }
    return dl_media_type_is(&media, "application/json") ||
           (body == DL_BODY_FILE && (dl_media_type_is(&media, "application/zip") ||
                                     dl_media_type_is(&media, "application/octet-stream")));
}

static size_t body_limit(dl_body_kind body)
{
    return body == DL_BODY_FILE ? (size_t)DL_ROUTES_FILE_LIMIT_BYTES
                                : (size_t)DL_FACTORY_DOCUMENT_LIMIT_BYTES;
}

static dl_status refuse_length(dl_http_exchange *x, dl_body_kind body)
{
    char text[96];
    (void)snprintf(text, sizeof text, "The body exceeds %zu bytes.", body_limit(body));
    return dl_factory_refuse(x, 413, text);
}

typedef struct upload {
    dl_factory_request *request;
    dl_buf buf;
} upload;

/* The headers say that a body comes: refuse it now, or wait for it. */
static dl_status expect_body(dl_factory_request *r, void **out_state, dl_error *err)
{
    if (!media_fits(r->x, r->route->body)) {
        return dl_factory_refuse(r->x, 415,
                                 r->route->body == DL_BODY_FILE
                                     ? "The body has to be application/json or application/zip."
                                     : "The body has to be application/json.");
    }
    uint64_t length = dl_http_content_length(r->x);
    if (length != UINT64_MAX && length > body_limit(r->route->body)) {
        return refuse_length(r->x, r->route->body);
    }
    upload *u = dl_mem_zalloc(1, sizeof *u);
    if (u == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for a request");
    }
    u->request = r;
    dl_buf_init(&u->buf, body_limit(r->route->body));
    *out_state = u;
    return DL_OK;
}

static dl_status route(dl_factory_routes *routes, dl_http_exchange *x, void **out_state,
                       dl_error *err)
{
    path p;
    bool fits = false;
    char allow[64];
    dl_factory_request *r = dl_arena_alloc(dl_http_arena(x), 1, sizeof *r);
    if (r == NULL) {
        return dl_arena_full(dl_http_arena(x), err);
    }
    *r = (dl_factory_request){.routes = routes, .factory = routes->options.factory, .x = x};
    DL_TRY(split_path(x, &p, &fits, err));
    r->route = fits ? find_route(x, &p, &r->name, allow, sizeof allow) : NULL;
    if (r->route == NULL && fits && allow[0] != '\0') {
        char text[128];
        dl_http_add_header(x, "Allow", dl_str_of(allow));
        (void)snprintf(text, sizeof text, "The resource does not know this method; it takes %s.",
                       allow);
        return dl_factory_refuse(x, 405, text);
    }
    if (r->route == NULL) {
        return dl_factory_refuse(x, 404, "There is no such resource.");
    }
    dl_http_set_route(x, r->route->pattern);
    dl_http_set_action(x, r->route->action);
    DL_TRY(check_path_value(r, err));
    DL_TRY(read_query(r, err));
    if (r->route->body != DL_BODY_NONE && dl_http_content_length(x) > 0) {
        return expect_body(r, out_state, err);
    }
    return answer(r, err);
}

/* ---- the app ---- */

static dl_status begin(void *context, dl_http_exchange *x, void **out_state, dl_error *err)
{
    dl_error cause = {0};
    if (route(context, x, out_state, &cause) != DL_OK && !dl_http_answered(x)) {
        refuse_error(x, &cause);
    }
    (void)err;
    return DL_OK;
}

static dl_status body(DL_UNUSED void *context, DL_UNUSED dl_http_exchange *x, void *state,
                      dl_bytes piece, dl_error *err)
{
    upload *u = state;
    return dl_buf_append(&u->buf, piece.ptr, piece.len, err);
}

static void end(DL_UNUSED void *context, dl_http_exchange *x, void *state,
                const dl_error *body_failure)
{
    upload *u = state;
    if (body_failure != NULL && body_failure->status == DL_E_LIMIT) {
        (void)refuse_length(x, u->request->route->body);
    } else if (body_failure != NULL) {
        refuse_error(x, body_failure);
    } else {
        u->request->body = dl_buf_str(&u->buf);
        answer_or_refuse(u->request);
    }
}

static void destroy(DL_UNUSED void *context, void *state)
{
    upload *u = state;
    dl_buf_clear(&u->buf);
    dl_mem_free(u);
}

dl_http_app dl_factory_routes_app(dl_factory_routes *routes)
{
    return (dl_http_app){
        .begin = begin, .body = body, .end = end, .destroy = destroy, .context = routes};
}

dl_status dl_factory_routes_create(const dl_factory_routes_options *options,
                                   dl_factory_routes **out_routes, dl_error *err)
{
    dl_factory_routes *routes = dl_mem_zalloc(1, sizeof *routes);
    if (routes == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for routes");
    }
    routes->options = *options;
    pthread_mutex_init(&routes->lock, NULL);
    *out_routes = routes;
    return DL_OK;
}

void dl_factory_routes_destroy(dl_factory_routes *routes)
{
    if (routes != NULL) {
        pthread_mutex_destroy(&routes->lock);
        dl_mem_free(routes);
    }
}
