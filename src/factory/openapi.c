/* GET /factory/openapi.json: OpenAPI 3.1, made from the table of routes and the table of values. */
#include "factory/routes_internal.h"

#include <stdio.h>
#include <string.h>

#define TEXT "{\"type\":\"string\"}"
#define TEXT_OR_NULL "{\"type\":[\"string\",\"null\"]}"
#define TIME "{\"type\":\"string\",\"format\":\"date-time\"}"
#define TIME_OR_NULL "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define COUNT "{\"type\":\"integer\",\"minimum\":0}"
#define FLAG "{\"type\":\"boolean\"}"
#define OBJECT_OR_NULL "{\"type\":[\"object\",\"null\"]}"
#define NAME "{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_-]{1,140}$\"}"
#define REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"
#define LIST(item) "{\"type\":\"array\",\"items\":" item "}"
#define EXACTLY(required, members)                                                                 \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[" required                  \
    "],\"properties\":{" members "}}"
#define PAGE(item)                                                                                 \
    EXACTLY("\"value\",\"continuationToken\"",                                                     \
            "\"value\":" LIST(REF(item)) ",\"continuationToken\":" TEXT_OR_NULL)
#define ENTRY_REQUIRED "\"kind\",\"name\",\"state\",\"changed\",\"fault\",\"document\""
#define ENTRY                                                                                      \
    "\"kind\":{\"enum\":[\"linkedService\",\"pipeline\",\"trigger\"]},\"name\":" NAME              \
    ",\"state\":{\"enum\":[\"Draft\",\"Changed\",\"Published\",\"Removed\"]},"                     \
    "\"changed\":" TIME_OR_NULL ",\"fault\":" TEXT_OR_NULL ",\"document\":" OBJECT_OR_NULL
#define STATUSES "\"Queued\",\"InProgress\",\"Succeeded\",\"Failed\",\"Cancelled\""

/* clang-format off */
static const struct {
    const char *name, *schema;
} schemas[] = {
    {"Problem", "{\"type\":\"object\",\"required\":[\"type\",\"title\",\"status\",\"detail\"],\"properties\":{"
        "\"type\":" TEXT ",\"title\":" TEXT ",\"status\":{\"type\":\"integer\"},\"detail\":" TEXT ",\"hint\":" TEXT "}}"},
    {"Template", EXACTLY("\"id\",\"title\",\"summary\"", "\"id\":" TEXT ",\"title\":" TEXT ",\"summary\":" TEXT)},
    {"TemplatePage", PAGE("Template")},
    {"LinkedService", EXACTLY(ENTRY_REQUIRED, ENTRY)},
    {"LinkedServicePage", PAGE("LinkedService")},
    {"Pipeline", EXACTLY(ENTRY_REQUIRED, ENTRY)},
    {"PipelinePage", PAGE("Pipeline")},
    {"Trigger", EXACTLY(ENTRY_REQUIRED ",\"runtimeState\",\"next\",\"waiting\",\"running\",\"failed\"",
        ENTRY ",\"runtimeState\":{\"enum\":[\"Started\",\"Stopped\"]},\"next\":" TIME_OR_NULL
        ",\"waiting\":" COUNT ",\"running\":" COUNT ",\"failed\":" COUNT)},
    {"TriggerPage", PAGE("Trigger")},
    {"Probe", EXACTLY("\"passed\",\"steps\"", "\"passed\":" FLAG ",\"steps\":"
        LIST(EXACTLY("\"name\",\"passed\",\"text\",\"hint\"", "\"name\":" TEXT ",\"passed\":" FLAG ",\"text\":" TEXT ",\"hint\":" TEXT)))},
    {"Imported", EXACTLY("\"linkedServices\",\"pipelines\",\"triggers\",\"notUnderstoodCount\",\"notUnderstood\"",
        "\"linkedServices\":" LIST(NAME) ",\"pipelines\":" LIST(NAME) ",\"triggers\":" LIST(NAME)
        ",\"notUnderstoodCount\":" COUNT ",\"notUnderstood\":" LIST(TEXT))},
    {"Exported", "{\"type\":\"object\"}"},
    {"Publication", EXACTLY("\"published\"", "\"published\":" COUNT)},
    {"RunQueued", EXACTLY("\"runId\"", "\"runId\":{\"type\":\"string\",\"format\":\"uuid\"}")},
    {"WindowsQueued", EXACTLY("\"queued\"", "\"queued\":" COUNT)},
    {"Window", EXACTLY("\"triggerName\",\"windowStart\",\"windowEnd\",\"status\",\"waitsFor\",\"attempts\",\"runId\"",
        "\"triggerName\":" NAME ",\"windowStart\":" TIME ",\"windowEnd\":" TIME ",\"status\":{\"enum\":[\"Waiting\"," STATUSES "]},"
        "\"waitsFor\":" TEXT_OR_NULL ",\"attempts\":" COUNT ",\"runId\":" TEXT_OR_NULL)},
    {"WindowPage", PAGE("Window")},
    {"Run", EXACTLY("\"runId\",\"runGroupId\",\"attempt\",\"pipelineName\",\"invokedBy\",\"status\",\"windowStart\",\"windowEnd\","
        "\"scheduledTime\",\"queued\",\"notBefore\",\"runStart\",\"runEnd\",\"durationInMs\",\"parameters\",\"counts\",\"cause\","
        "\"hint\",\"cancelRequested\"",
        "\"runId\":" TEXT ",\"runGroupId\":" TEXT ",\"attempt\":" COUNT ",\"pipelineName\":" NAME ",\"invokedBy\":"
        EXACTLY("\"name\",\"invokedByType\"", "\"name\":" TEXT ",\"invokedByType\":{\"enum\":[\"Manual\",\"ManualTrigger\","
        "\"TumblingWindowTrigger\",\"ScheduleTrigger\",\"ChangeTrigger\"]}")
        ",\"status\":{\"enum\":[" STATUSES "]},\"windowStart\":" TIME_OR_NULL ",\"windowEnd\":" TIME_OR_NULL
        ",\"scheduledTime\":" TIME_OR_NULL ",\"queued\":" TIME_OR_NULL ",\"notBefore\":" TIME_OR_NULL ",\"runStart\":" TIME_OR_NULL
        ",\"runEnd\":" TIME_OR_NULL ",\"durationInMs\":{\"type\":[\"integer\",\"null\"]},\"parameters\":" OBJECT_OR_NULL
        ",\"counts\":" OBJECT_OR_NULL ",\"cause\":" TEXT_OR_NULL ",\"hint\":" TEXT_OR_NULL ",\"cancelRequested\":" FLAG)},
    {"RunPage", PAGE("Run")},
    {"LogLine", EXACTLY("\"time\",\"level\",\"text\"", "\"time\":" TIME ",\"level\":{\"enum\":[\"info\",\"warn\",\"error\"]},\"text\":" TEXT)},
    {"LogPage", PAGE("LogLine")},
    {"OpenApi", "{\"type\":\"object\",\"required\":[\"openapi\",\"paths\"]}"},
    {"Metrics", TEXT},
    {"Document", "{\"type\":\"object\",\"required\":[\"properties\"],\"properties\":{\"name\":" NAME ",\"properties\":{\"type\":\"object\"}}}"},
};
/* clang-format on */

static void put_key(dl_json_writer *w, const char *key)
{
    dl_json_key(w, dl_str_of(key));
}

static void put_text(dl_json_writer *w, const char *key, const char *text)
{
    put_key(w, key);
    dl_json_string(w, dl_str_of(text));
}

static void put_raw(dl_json_writer *w, const char *key, dl_str json)
{
    put_key(w, key);
    dl_json_raw(w, json);
}

/* ---- values ---- */

static dl_str schema_of(dl_value_kind kind)
{
    switch (kind) {
    case DL_VALUE_IS_NAME:
        return DL_STR(NAME);
    case DL_VALUE_IS_COUNT:
        return DL_STR("{\"type\":\"integer\",\"minimum\":1,\"maximum\":1000}");
    case DL_VALUE_IS_TIME:
        return DL_STR(TIME);
    case DL_VALUE_IS_SWITCH:
        return DL_STR(FLAG);
    case DL_VALUE_IS_STATUS:
        return DL_STR("{\"type\":\"string\",\"enum\":[" STATUSES "]}");
    case DL_VALUE_IS_OBJECT:
        return DL_STR("{\"type\":\"object\",\"maxProperties\":50}");
    case DL_VALUE_IS_TEXT:
        break;
    }
    return DL_STR("{\"type\":\"string\",\"pattern\":\"^[ -~]{1,1024}$\"}");
}

static void put_parameter(dl_json_writer *w, const char *name, const char *in, const char *text,
                          dl_str schema)
{
    dl_json_object_begin(w);
    put_text(w, "name", name);
    put_text(w, "in", in);
    put_text(w, "description", text);
    put_key(w, "required");
    dl_json_bool(w, strcmp(in, "path") == 0);
    put_raw(w, "schema", schema);
    dl_json_object_end(w);
}

static void put_parameters(dl_json_writer *w, const dl_factory_route *route)
{
    put_key(w, "parameters");
    dl_json_array_begin(w);
    if (strstr(route->pattern, "{name}") != NULL) {
        put_parameter(w, "name", "path", "name of the document", DL_STR(NAME));
    }
    if (strstr(route->pattern, "{id}") != NULL) {
        put_parameter(w, "id", "path", "id of a run, or its beginning",
                      DL_STR("{\"type\":\"string\",\"pattern\":\"^[0-9a-f-]{6,36}$\"}"));
    }
    for (unsigned i = 0; i < DL_VALUES; i++) {
        const dl_factory_value *value = dl_factory_value_of(i);
        if ((route->query & 1U << i) != 0) {
            put_parameter(w, value->name, "query", value->text, schema_of(value->kind));
        }
    }
    if (route->body == DL_BODY_DOCUMENT) {
        put_parameter(w, "If-None-Match", "header", "*: only when there is none of this name",
                      DL_STR("{\"type\":\"string\",\"enum\":[\"*\"]}"));
    }
    dl_json_array_end(w);
}

/* ---- bodies ---- */

static void put_members(dl_json_writer *w, const dl_factory_route *route)
{
    dl_json_object_begin(w);
    put_text(w, "type", "object");
    put_key(w, "additionalProperties");
    dl_json_bool(w, false);
    put_key(w, "required");
    dl_json_array_begin(w);
    for (unsigned i = 0; i < DL_VALUES; i++) {
        if ((route->required & 1U << i) != 0) {
            dl_json_string(w, dl_str_of(dl_factory_value_of(i)->name));
        }
    }
    dl_json_array_end(w);
    put_key(w, "properties");
    dl_json_object_begin(w);
    for (unsigned i = 0; i < DL_VALUES; i++) {
        if ((route->members & 1U << i) != 0) {
            put_raw(w, dl_factory_value_of(i)->name, schema_of(dl_factory_value_of(i)->kind));
        }
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
}

static void put_media(dl_json_writer *w, const char *type, const char *schema)
{
    put_key(w, type);
    dl_json_object_begin(w);
    put_raw(w, "schema", dl_str_of(schema));
    dl_json_object_end(w);
}

static void put_body(dl_json_writer *w, const dl_factory_route *route)
{
    if (route->body == DL_BODY_NONE) {
        return;
    }
    put_key(w, "requestBody");
    dl_json_object_begin(w);
    put_key(w, "required");
    dl_json_bool(w, route->body != DL_BODY_VALUES || route->required != 0);
    put_key(w, "content");
    dl_json_object_begin(w);
    if (route->body == DL_BODY_DOCUMENT) {
        put_media(w, "application/json", REF("Document"));
    } else if (route->body == DL_BODY_FILE) {
        put_media(w, "application/json", "{\"type\":\"object\"}");
        put_media(w, "application/zip", "{}");
    } else {
        put_key(w, "application/json");
        dl_json_object_begin(w);
        put_key(w, "schema");
        put_members(w, route);
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
}

/* ---- answers ---- */

static void put_answer(dl_json_writer *w, unsigned status, const char *text, const char *type,
                       const char *schema)
{
    char number[16];
    char ref[96];
    (void)snprintf(number, sizeof number, "%u", status);
    put_key(w, status == 0 ? "default" : number);
    dl_json_object_begin(w);
    put_text(w, "description", text);
    if (schema != NULL) {
        (void)snprintf(ref, sizeof ref, REF("%s"), schema);
        put_key(w, "content");
        dl_json_object_begin(w);
        put_media(w, type, ref);
        if (status == 0) { /* refused before it reached a route: of another site */
            put_media(w, "text/plain", TEXT);
        }
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

static void put_problem(dl_json_writer *w, unsigned status, const char *text)
{
    put_answer(w, status, text, "application/problem+json", "Problem");
}

static void put_answers(dl_json_writer *w, const dl_factory_route *route)
{
    bool named = strchr(route->pattern, '{') != NULL;
    bool metrics = route->answer != NULL && strcmp(route->answer, "Metrics") == 0;
    put_key(w, "responses");
    dl_json_object_begin(w);
    put_answer(w, route->success, "Done", metrics ? "text/plain" : "application/json",
               route->answer);
    if (route->body == DL_BODY_DOCUMENT) {
        put_answer(w, 201, "Done; it is new", "application/json", route->answer);
        put_problem(w, 412, "There is one of this name already");
    }
    put_problem(w, 400, "Something of the request is wrong: what and where");
    if (named) {
        put_problem(w, 404, "There is no such thing");
    }
    if (strcmp(route->method, "GET") != 0) {
        put_problem(w, 409, "What is there does not allow it");
    }
    if (route->body != DL_BODY_NONE) {
        put_problem(w, 413, "The body is too large");
        put_problem(w, 415, "The body has another media type");
        put_problem(w, 422, "The body is understood but not supported");
    }
    put_problem(w, 0, "Anything else that went wrong");
    dl_json_object_end(w);
}

/* ---- the document ---- */

static void put_operation(dl_json_writer *w, const dl_factory_route *route)
{
    char method[8] = "";
    for (size_t i = 0; route->method[i] != '\0' && i + 1 < sizeof method; i++) {
        method[i] = (char)(route->method[i] - 'A' + 'a');
    }
    put_key(w, method);
    dl_json_object_begin(w);
    put_text(w, "operationId", route->id);
    put_text(w, "summary", route->summary);
    put_text(w, "x-data-action", route->action);
    put_parameters(w, route);
    put_body(w, route);
    put_answers(w, route);
    dl_json_object_end(w);
}

static bool is_first(const dl_factory_route *routes, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (strcmp(routes[k].pattern, routes[i].pattern) == 0) {
            return false;
        }
    }
    return true;
}

static void put_paths(dl_json_writer *w)
{
    size_t count = 0;
    const dl_factory_route *routes = dl_factory_route_table(&count);
    dl_json_object_begin(w);
    for (size_t i = 0; i < count; i++) {
        if (!is_first(routes, i)) {
            continue;
        }
        put_key(w, routes[i].pattern);
        dl_json_object_begin(w);
        for (size_t k = i; k < count; k++) {
            if (strcmp(routes[k].pattern, routes[i].pattern) == 0) {
                put_operation(w, &routes[k]);
            }
        }
        dl_json_object_end(w);
    }
    dl_json_object_end(w);
}

dl_status dl_route_openapi(dl_factory_request *r, dl_error *err)
{
    DL_AUTO_ANSWER answer = {0};
    dl_json_writer *w = dl_answer_begin(&answer, err);
    dl_json_object_begin(w);
    put_text(w, "openapi", "3.1.0");
    put_raw(w, "info",
            DL_STR("{\"title\":\"dicomlake: connections, pipelines, triggers and runs\","
                   "\"version\":\"1\"}"));
    put_raw(w, "servers", DL_STR("[{\"url\":\"/\"}]"));
    put_key(w, "paths");
    put_paths(w);
    put_key(w, "components");
    dl_json_object_begin(w);
    put_key(w, "schemas");
    dl_json_object_begin(w);
    for (size_t i = 0; i < DL_COUNT_OF(schemas); i++) {
        put_raw(w, schemas[i].name, dl_str_of(schemas[i].schema));
    }
    dl_json_object_end(w);
    dl_json_object_end(w);
    dl_json_object_end(w);
    return dl_answer_send(r, &answer);
}
