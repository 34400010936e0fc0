/* Every route in one table, and what their values and bodies are; http/api.h does the rest. */
#include "factory/routes_internal.h"

#include "base/mem.h"

#include <string.h>

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
static const dl_api_route routes_table[] = {
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
    {"GET",  "/factory/openapi.json", "getOpenApi", dl_api_openapi, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "OpenApi", "This document"},
    {"GET",  "/metrics", "getMetrics", dl_route_metrics, READ, PIPES, DL_BODY_NONE, 0, 0, 0, 200, "Metrics", "Figures in Prometheus' text format"},
};
/* clang-format on */

/* ---- values ---- */

#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-]{1,140}$\"}"

static dl_status check_name(const dl_api_value *value, dl_str text, DL_UNUSED int64_t *out_number,
                            dl_error *err)
{
    return dl_factory_name_check(text, value->name, err);
}

static dl_status check_status(const dl_api_value *value, dl_str text, int64_t *out_number,
                              dl_error *err)
{
    dl_run_status status = DL_RUN_QUEUED;
    if (!dl_run_status_of(text, &status)) {
        return dl_api_bad_value(value, "Queued, InProgress, Succeeded, Failed or Cancelled", err);
    }
    *out_number = (int64_t)status;
    return DL_OK;
}

static const dl_api_type type_name = {DL_JSON_STRING, check_name, NAME};
static const dl_api_type type_status = {
    DL_JSON_STRING, check_status,
    "{\"type\":\"string\",\"enum\":[\"Queued\",\"InProgress\",\"Succeeded\",\"Failed\","
    "\"Cancelled\"]}"};

/* clang-format off */
static const dl_api_value values_table[DL_VALUES] = {
    [DL_VALUE_LIMIT]        = {"limit", &dl_api_type_page, "most items of a page"},
    [DL_VALUE_TOKEN]        = {"continuationToken", &dl_api_type_text, "as the page before gave it"},
    [DL_VALUE_FROM]         = {"from", &dl_api_type_time, "not before this time"},
    [DL_VALUE_TO]           = {"to", &dl_api_type_time, "before this time"},
    [DL_VALUE_STATUS]       = {"status", &type_status, "status of a run"},
    [DL_VALUE_PIPELINE]     = {"pipeline", &type_name, "name of a pipeline"},
    [DL_VALUE_TRIGGER]      = {"trigger", &type_name, "name of a trigger"},
    [DL_VALUE_GROUP]        = {"runGroupId", &dl_api_type_text, "a run with its retries and reruns"},
    [DL_VALUE_NAME]         = {"name", &type_name, "name of the new document"},
    [DL_VALUE_DICOM]        = {"dicom", &type_name, "linked service of the change feed"},
    [DL_VALUE_LAKE]         = {"lake", &type_name, "linked service of the tables"},
    [DL_VALUE_REPLACE]      = {"replace", &dl_api_type_switch, "whether documents may exist already"},
    [DL_VALUE_TEMPLATE]     = {"template", &dl_api_type_text, "id or title of a template"},
    [DL_VALUE_PARAMETERS]   = {"parameters", &dl_api_type_object, "values of parameters by their names"},
    [DL_VALUE_WINDOW_START] = {"windowStart", &dl_api_type_time, "where the window begins"},
    [DL_VALUE_NEW_NAME]     = {"newName", &type_name, "the name from now on"},
};
/* clang-format on */

/* ---- what stands in a path ---- */

static dl_status check_path_name(const dl_api_request *r, dl_str value, dl_error *err)
{
    static const char *const whats[] = {[DL_FACTORY_CONNECTION] = "linked service",
                                        [DL_FACTORY_PIPELINE] = "pipeline",
                                        [DL_FACTORY_TRIGGER] = "trigger"};
    return dl_factory_name_check(value, whats[dl_request_kind(r)], err);
}

/* Hex digits and hyphens, 6 to 36 of them. */
static dl_status check_id(DL_UNUSED const dl_api_request *r, dl_str id, dl_error *err)
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

static const dl_api_param params_table[] = {
    {"name", false, check_path_name, NAME, "name of the document"},
    {"id", false, check_id, "{\"type\":\"string\",\"pattern\":\"^[0-9a-f-]{6,36}$\"}",
     "id of a run, or its beginning"},
};

/* ---- bodies ---- */

#define JSON_BODY "application/json"
#define ANY_OBJECT "{\"type\":\"object\"}"
static const dl_api_body bodies_table[DL_BODIES] = {
    [DL_BODY_VALUES] = {.form = DL_API_VALUES,
                        .limit_bytes = DL_FACTORY_DOCUMENT_LIMIT_BYTES,
                        .types = {{JSON_BODY, ANY_OBJECT}}},
    [DL_BODY_DOCUMENT] = {.form = DL_API_OBJECT,
                          .limit_bytes = DL_FACTORY_DOCUMENT_LIMIT_BYTES,
                          .types = {{JSON_BODY, "{\"$ref\":\"#/components/schemas/Document\"}"}},
                          .only_new = true},
    [DL_BODY_FILE] = {.form = DL_API_BYTES,
                      .limit_bytes = DL_ROUTES_FILE_LIMIT_BYTES,
                      .types = {{JSON_BODY, ANY_OBJECT},
                                {"application/zip", "{}"},
                                {"application/octet-stream", NULL}}},
};

/* ---- the app ---- */

static const char *const *types_of(const char *answer)
{
    static const char *const text[] = {"text/plain", NULL};
    return strcmp(answer, "Metrics") == 0 ? text : NULL;
}

static dl_status fault_of(void *context, dl_error *err)
{
    const dl_factory_routes *routes = context;
    return dl_factory_fault(routes->options.factory, err);
}

static dl_api make_api(void)
{
    size_t schema_count = 0;
    const dl_api_schema *schemas = dl_factory_schemas(&schema_count);
    return (dl_api){.name = "factory",
                    .title = "dicomlake: connections, pipelines, triggers and runs",
                    .routes = routes_table,
                    .route_count = DL_COUNT_OF(routes_table),
                    .values = values_table,
                    .value_count = DL_COUNT_OF(values_table),
                    .params = params_table,
                    .param_count = DL_COUNT_OF(params_table),
                    .bodies = bodies_table,
                    .schemas = schemas,
                    .schema_count = schema_count,
                    .types_of = types_of,
                    .fault = fault_of};
}

const dl_api_route *dl_factory_route_table(size_t *out_count)
{
    *out_count = DL_COUNT_OF(routes_table);
    return routes_table;
}

bool dl_factory_routes_has(dl_str path)
{
    return dl_str_starts(path, DL_STR("/factory/")) || dl_str_eq(path, DL_STR("/metrics"));
}

dl_http_app dl_factory_routes_app(dl_factory_routes *routes)
{
    return dl_api_app(&routes->mount);
}

dl_status dl_factory_routes_create(const dl_factory_routes_options *options,
                                   dl_factory_routes **out_routes, dl_error *err)
{
    dl_factory_routes *routes = dl_mem_zalloc(1, sizeof *routes);
    if (routes == NULL) {
        return dl_error_set(err, DL_E_NOMEM, "no memory for routes");
    }
    routes->options = *options;
    routes->api = make_api();
    routes->mount = (dl_api_mount){.api = &routes->api, .context = routes};
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
