/* Schemas of what the routes take and give, for the OpenAPI document. */
#include "factory/routes_internal.h"

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
static const dl_api_schema schemas[] = {
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

const dl_api_schema *dl_factory_schemas(size_t *out_count)
{
    *out_count = DL_COUNT_OF(schemas);
    return schemas;
}
