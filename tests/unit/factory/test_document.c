/* Documents: Data Factory's shapes in, our structures out, canonical text back; what is wrong with
 * its place; secrets kept out. */
#include "factory/document.h"
#include "factory/document_copy.h"
#include "json/json.h"

#include "tap.h"

#define PIPELINE_REF                                                                               \
    "\"pipeline\":{\"pipelineReference\":{\"referenceName\":\"P\",\"type\":\"PipelineReference\"}" \
    "}"
#define TUMBLING(members)                                                                          \
    "{\"name\":\"T\",\"properties\":{\"type\":\"TumblingWindowTrigger\"," PIPELINE_REF             \
    ",\"typeProperties\":{" members "}}}"
#define HOURLY "\"frequency\":\"Hour\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00Z\""
#define WITH_PARAMETERS(type, parameters)                                                          \
    "{\"name\":\"T\",\"properties\":{\"type\":\"" type                                             \
    "\",\"pipeline\":{\"pipelineReference\":{\"referenceName\":\"P\","                             \
    "\"type\":\"PipelineReference\"},\"parameters\":{" parameters "}},\"typeProperties\":{" HOURLY \
    "}}}"
#define SCHEDULE(recurrence)                                                                       \
    "{\"name\":\"T\",\"properties\":{\"type\":\"ScheduleTrigger\",\"pipelines\":["                 \
    "{\"pipelineReference\":{\"referenceName\":\"P\",\"type\":\"PipelineReference\"}}],"           \
    "\"typeProperties\":{\"recurrence\":{" recurrence "}}}}"
#define CONNECTION(type, typed)                                                                    \
    "{\"name\":\"C\",\"properties\":{\"type\":\"" type "\",\"typeProperties\":{" typed "}}}"
#define ACTIVITY(typed)                                                                            \
    "\"activities\":[{\"name\":\"Sync\",\"type\":\"SyncDicomTables\",\"typeProperties\":{" typed   \
    "}}]"
#define ENDS                                                                                       \
    "\"source\":{\"referenceName\":\"D\",\"type\":\"LinkedServiceReference\"},"                    \
    "\"lake\":{\"referenceName\":\"L\",\"type\":\"LinkedServiceReference\"}"
#define PIPELINE(members) "{\"name\":\"P\",\"properties\":{" members "}}"

enum { HOUR_S = 3600, BIG = 3 * 1024 * 1024 };
#define S_US ((int64_t)1000000)

static dl_arena *arena;

static void new_arena(void)
{
    dl_arena_destroy(arena);
    arena = dl_arena_create((size_t)16 * 1024 * 1024);
}

static dl_status read_any(dl_factory_kind kind, dl_str json, dl_factory_unknown *unknown,
                          dl_error *err)
{
    static dl_factory_connection c;
    static dl_factory_pipeline p;
    static dl_factory_trigger t;
    return kind == DL_FACTORY_CONNECTION ? dl_factory_read_connection(json, arena, &c, unknown, err)
           : kind == DL_FACTORY_PIPELINE ? dl_factory_read_pipeline(json, arena, &p, unknown, err)
                                         : dl_factory_read_trigger(json, arena, &t, unknown, err);
}

/** Reads and writes; the text lives in the arena. */
static dl_str again(dl_factory_kind kind, dl_str json)
{
    static dl_factory_connection c;
    static dl_factory_pipeline p;
    static dl_factory_trigger t;
    DL_AUTO_BUF out = {0};
    dl_error err = {0};
    dl_str text = DL_STR("");
    dl_buf_init(&out, BIG);
    dl_status status = DL_OK;
    if (kind == DL_FACTORY_CONNECTION) {
        status = dl_factory_read_connection(json, arena, &c, NULL, &err);
        status = status == DL_OK ? dl_factory_write_connection(&c, json, &out, &err) : status;
    } else if (kind == DL_FACTORY_PIPELINE) {
        status = dl_factory_read_pipeline(json, arena, &p, NULL, &err);
        status = status == DL_OK ? dl_factory_write_pipeline(&p, json, &out, &err) : status;
    } else {
        status = dl_factory_read_trigger(json, arena, &t, NULL, &err);
        status = status == DL_OK ? dl_factory_write_trigger(&t, json, &out, &err) : status;
    }
    if (status != DL_OK) {
        TAP_FAIL("%s", err.message);
    }
    TAP_OK(dl_arena_copy(arena, out.len == 0 ? DL_STR("") : dl_buf_str(&out), &text, &err), err);
    return text;
}

static bool holds(dl_str text, const char *needle)
{
    return dl_str_find_str(text, dl_str_of(needle)) >= 0;
}

/* ---- what is wrong, and where ---- */

static const struct {
    const char *name;
    dl_factory_kind kind;
    const char *json;
    const char *message; /* NULL: it is fine */
} cases[] = {
    /* clang-format off */
    {"no JSON", DL_FACTORY_TRIGGER, "{\"name\":", "byte"},
    {"an array", DL_FACTORY_TRIGGER, "[]", "not a JSON object"},
    {"empty", DL_FACTORY_CONNECTION, "", ""},
    {"no name", DL_FACTORY_TRIGGER, "{\"properties\":{}}", "name: it is missing"},
    {"name with a slash", DL_FACTORY_TRIGGER, "{\"name\":\"../x\",\"properties\":{}}", "character 1"},
    {"no type", DL_FACTORY_TRIGGER, "{\"name\":\"T\",\"properties\":{}}", "properties.type: it is missing"},
    {"a trigger of another kind", DL_FACTORY_TRIGGER, "{\"name\":\"T\",\"properties\":{\"type\":\"BlobEventsTrigger\"}}", "properties.type"},
    {"tumbling", DL_FACTORY_TRIGGER, TUMBLING(HOURLY), NULL},
    {"tumbling by weeks", DL_FACTORY_TRIGGER, TUMBLING("\"frequency\":\"Week\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00Z\""), "typeProperties.frequency"},
    {"interval 0", DL_FACTORY_TRIGGER, TUMBLING("\"frequency\":\"Hour\",\"interval\":0,\"startTime\":\"2026-01-01T00:00:00Z\""), "typeProperties.interval"},
    {"interval at its bound", DL_FACTORY_TRIGGER, TUMBLING("\"frequency\":\"Hour\",\"interval\":1000000,\"startTime\":\"2026-01-01T00:00:00Z\""), NULL},
    {"interval past its bound", DL_FACTORY_TRIGGER, TUMBLING("\"frequency\":\"Hour\",\"interval\":1000001,\"startTime\":\"2026-01-01T00:00:00Z\""), "typeProperties.interval"},
    {"no start", DL_FACTORY_TRIGGER, TUMBLING("\"frequency\":\"Hour\",\"interval\":1"), "startTime: it is missing"},
    {"a day that is not", DL_FACTORY_TRIGGER, TUMBLING("\"frequency\":\"Hour\",\"interval\":1,\"startTime\":\"2026-02-30T00:00:00Z\""), "startTime"},
    {"end before start", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"endTime\":\"2026-01-01T00:00:00Z\""), "endTime"},
    {"delay", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"00:15:00\""), NULL},
    {"delay in words", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"15m\""), "delay: \"15m\" is not a time span"},
    {"delay of 24 hours", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"24:00:00\""), "delay"},
    {"delay of 60 seconds", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"00:00:60\""), "delay"},
    {"delay with a tail", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"00:15:000\""), "delay"},
    {"delay cut off", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"00:15:0\""), "delay"},
    {"negative delay", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"-00:15:00\""), "delay"},
    {"delay at its bound", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"36500.00:00:00\""), NULL},
    {"delay past its bound", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"36501.00:00:00\""), "delay"},
    {"concurrency 50", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"maxConcurrency\":50"), NULL},
    {"concurrency 51", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"maxConcurrency\":51"), "maxConcurrency: 51 is not a whole number from 1 to 50"},
    {"concurrency 0", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"maxConcurrency\":0"), "maxConcurrency"},
    {"retry 1000", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"retryPolicy\":{\"count\":1000}"), NULL},
    {"retry 1001", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"retryPolicy\":{\"count\":1001}"), "retryPolicy.count"},
    {"retry interval 0", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"retryPolicy\":{\"intervalInSeconds\":0}"), "retryPolicy.intervalInSeconds"},
    {"waits for itself later", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"dependsOn\":[{\"type\":\"SelfDependencyTumblingWindowTriggerReference\",\"offset\":\"01:00:00\"}]"), "dependsOn[0].offset"},
    {"waits for itself now", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"dependsOn\":[{\"type\":\"SelfDependencyTumblingWindowTriggerReference\"}]"), "dependsOn[0].offset: it is missing"},
    {"waits by its own name", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"dependsOn\":[{\"type\":\"TumblingWindowTriggerDependencyReference\",\"referenceTrigger\":{\"referenceName\":\"t\",\"type\":\"TriggerReference\"}}]"), "dependsOn[0].offset"},
    {"size 0", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"dependsOn\":[{\"type\":\"TumblingWindowTriggerDependencyReference\",\"size\":\"00:00:00\",\"referenceTrigger\":{\"referenceName\":\"U\",\"type\":\"TriggerReference\"}}]"), "dependsOn[0].size"},
    {"six dependencies", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"dependsOn\":[{},{},{},{},{},{}]"), "dependsOn: 6 elements, more than 5"},
    {"a parameter that is not", DL_FACTORY_TRIGGER, WITH_PARAMETERS("TumblingWindowTrigger", "\"Batch\":1"), "there is no parameter 'Batch'"},
    {"a parameter twice", DL_FACTORY_TRIGGER, WITH_PARAMETERS("TumblingWindowTrigger", "\"BatchSize\":1,\"batchsize\":2"), "twice"},
    {"a value out of range", DL_FACTORY_TRIGGER, WITH_PARAMETERS("TumblingWindowTrigger", "\"BatchSize\":0"), "BatchSize"},
    {"a window's time", DL_FACTORY_TRIGGER, WITH_PARAMETERS("TumblingWindowTrigger", "\"StartTime\":\"@formatDateTime(trigger().outputs.windowStartTime)\""), NULL},
    {"an expression as an object", DL_FACTORY_TRIGGER, WITH_PARAMETERS("TumblingWindowTrigger", "\"StartTime\":{\"value\":\"@trigger().outputs.windowStartTime\",\"type\":\"Expression\"}"), NULL},
    {"a window's time without windows", DL_FACTORY_TRIGGER, "{\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\",\"pipeline\":{\"pipelineReference\":{\"referenceName\":\"P\",\"type\":\"PipelineReference\"},\"parameters\":{\"StartTime\":\"@trigger().outputs.windowStartTime\"}}}}", "parameters.StartTime"},
    {"a bracket missing", DL_FACTORY_TRIGGER, WITH_PARAMETERS("TumblingWindowTrigger", "\"StartTime\":\"@formatDateTime(trigger().outputs.windowStartTime\""), "parameters.StartTime"},
    {"no pipeline", DL_FACTORY_TRIGGER, "{\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\"}}", "properties.pipeline: it is missing"},
    {"two pipelines", DL_FACTORY_TRIGGER, "{\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\",\"pipelines\":[{},{}]}}", "2 pipelines"},
    {"a reference of another kind", DL_FACTORY_TRIGGER, "{\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\",\"pipeline\":{\"pipelineReference\":{\"referenceName\":\"P\",\"type\":\"DatasetReference\"}}}}", "pipelineReference.type"},
    {"schedule", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Week\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00Z\",\"schedule\":{\"weekDays\":[\"Monday\"],\"hours\":[2],\"minutes\":[30]}"), NULL},
    {"a zone that is not", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Day\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00\",\"timeZone\":\"Europe/Berlim\""), "timeZone"},
    {"hour 24", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Day\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00\",\"schedule\":{\"hours\":[24]}"), "schedule.hours[0]"},
    {"minute 60", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Day\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00\",\"schedule\":{\"minutes\":[0,60]}"), "schedule.minutes[1]"},
    {"month day 0", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Month\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00\",\"schedule\":{\"monthDays\":[0]}"), "monthDays"},
    {"occurrence 6", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Month\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00\",\"schedule\":{\"monthlyOccurrences\":[{\"day\":\"Friday\",\"occurrence\":6}]}"), "occurrence"},
    {"month days by the week", DL_FACTORY_TRIGGER, SCHEDULE("\"frequency\":\"Week\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00\",\"schedule\":{\"monthDays\":[1]}"), "recurrence"},

    {"a service", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://x.dicom.azurehealthcareapis.com\""), NULL},
    {"a service at ftp", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"ftp://x\""), "url"},
    {"no address", DL_FACTORY_CONNECTION, CONNECTION("RestService", ""), "url: it is missing"},
    {"a folder", DL_FACTORY_CONNECTION, CONNECTION("FileServer", "\"host\":\"/lake\""), NULL},
    {"a database", DL_FACTORY_CONNECTION, CONNECTION("AzureSqlDatabase", "\"url\":\"x\""), "properties.type"},
    {"a token by reference", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://x\",\"authenticationType\":\"Bearer\",\"token\":{\"type\":\"Environment\",\"name\":\"X\"}"), NULL},
    {"a token without a name", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://x\",\"authenticationType\":\"Bearer\",\"token\":{\"type\":\"Environment\"}"), "token.name"},
    {"bearer without a token", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://x\",\"authenticationType\":\"Bearer\""), "token"},
    {"a token in the document", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://x\",\"token\":\"hunter2\""), "properties.typeProperties.token: a secret"},
    {"a password", DL_FACTORY_CONNECTION, CONNECTION("FileServer", "\"host\":\"/x\",\"password\":{\"type\":\"SecureString\",\"value\":\"hunter2\"}"), "properties.typeProperties.password: a secret"},
    {"a masked password", DL_FACTORY_CONNECTION, CONNECTION("FileServer", "\"host\":\"/x\",\"password\":{\"type\":\"SecureString\",\"value\":\"**********\"}"), NULL},
    {"a key in the vault", DL_FACTORY_CONNECTION, CONNECTION("AzureBlobFS", "\"url\":\"https://x\",\"accountKey\":{\"type\":\"AzureKeyVaultSecret\",\"secretName\":\"n\"}"), NULL},
    {"a signed address", DL_FACTORY_CONNECTION, CONNECTION("AzureBlobFS", "\"url\":\"https://x/y?sv=1&sig=hunter2\""), "properties.typeProperties.url: a secret"},
    {"user and password in the address", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://me:hunter2@x/\""), "a secret"},
    {"a connection string deep inside", DL_FACTORY_CONNECTION, CONNECTION("RestService", "\"url\":\"https://x\",\"a\":[{\"b\":{\"connectionString\":\"hunter2\"}}]"), "properties.typeProperties.a[0].b.connectionString"},

    {"a pipeline", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS)), NULL},
    {"no activity of ours", DL_FACTORY_PIPELINE, PIPELINE("\"activities\":[{\"name\":\"x\",\"type\":\"Wait\"}]"), "SyncDicomTables"},
    {"no lake", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY("\"source\":{\"referenceName\":\"D\",\"type\":\"LinkedServiceReference\"}")), "typeProperties.lake: it is missing"},
    {"an unknown profile", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS ",\"profile\":\"template-r9\"")), "profile"},
    {"a column without a name", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS ",\"columns\":[\"=x\"]")), "columns[0]"},
    {"a default out of range", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS) ",\"parameters\":{\"ApiVersion\":{\"type\":\"int\",\"defaultValue\":1}}"), "ApiVersion"},
    {"defaults that do not fit", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS) ",\"parameters\":{\"InstanceTablePath\":{\"type\":\"string\",\"defaultValue\":\"series\"}}"), "properties.parameters"},
    {"a type that is not", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS) ",\"parameters\":{\"BatchSize\":{\"type\":\"integer\"}}"), "BatchSize.type"},
    {"a secret default", DL_FACTORY_PIPELINE, PIPELINE(ACTIVITY(ENDS) ",\"x\":{\"apiKey\":\"hunter2\"}"), "properties.x.apiKey"},
    /* clang-format on */
};

static void each_case(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(cases); i++) {
        TAP_ROW_BEGIN();
        new_arena();
        dl_error err = {0};
        dl_status status = read_any(cases[i].kind, dl_str_of(cases[i].json), NULL, &err);
        bool want_good = cases[i].message == NULL;
        if ((status == DL_OK) != want_good) {
            TAP_FAIL("status %s: %s", dl_status_name(status), err.message);
        }
        if (!want_good && strstr(err.message, cases[i].message) == NULL) {
            TAP_FAIL("message '%s' lacks '%s'", err.message, cases[i].message);
        }
        TAP_TRUE(want_good || status == DL_E_INVALID);
        TAP_TRUE(strstr(err.message, "hunter2") == NULL && strstr(err.hint, "hunter2") == NULL);
        /* Each beginning of it is an error, never a crash. */
        size_t len = strlen(cases[i].json);
        for (size_t cut = 0; cut < len; cut++) {
            new_arena();
            TAP_TRUE(read_any(cases[i].kind, (dl_str){cases[i].json, cut}, NULL, &err) != DL_OK);
        }
        TAP_ROW_END(cases[i].name);
    }
}

/* ---- values ---- */

TAP_CASE(tumbling_values)
{
    new_arena();
    dl_factory_trigger t;
    dl_error err = {0};
    TAP_OK(dl_factory_read_trigger(
               DL_STR("{\"name\":\"hourly\",\"properties\":{\"description\":\"d\","
                      "\"annotations\":[],\"runtimeState\":\"Started\",\"pipeline\":{"
                      "\"pipelineReference\":{\"referenceName\":\"copy\","
                      "\"type\":\"PipelineReference\"},\"parameters\":{\"BatchSize\":100}},"
                      "\"type\":\"TumblingWindowTrigger\",\"typeProperties\":{\"frequency\":"
                      "\"Hour\",\"interval\":2,\"startTime\":\"2026-01-05T08:00:00Z\","
                      "\"endTime\":\"2026-01-06T08:00:00\",\"delay\":\"00:15:00\","
                      "\"maxConcurrency\":1,\"retryPolicy\":{\"count\":3,\"intervalInSeconds\":"
                      "60},\"dependsOn\":[{\"type\":\"TumblingWindowTriggerDependencyReference\","
                      "\"size\":\"1.02:00:00\",\"offset\":\"-01:00:00\",\"referenceTrigger\":{"
                      "\"referenceName\":\"other\",\"type\":\"TriggerReference\"}},{\"type\":"
                      "\"SelfDependencyTumblingWindowTriggerReference\",\"offset\":"
                      "\"-02:00:00\"}]}}}"),
               arena, &t, NULL, &err),
           err);
    TAP_TRUE(dl_str_eq(t.name, DL_STR("hourly")) && dl_str_eq(t.pipeline, DL_STR("copy")));
    TAP_TRUE(t.started && t.type == DL_FACTORY_TUMBLING && t.frequency == DL_CALENDAR_HOUR);
    TAP_EQ_INT(t.interval, 2);
    TAP_EQ_INT(t.end_us - t.start_us, (int64_t)24 * HOUR_S * S_US);
    TAP_EQ_INT(t.delay_us, 900 * S_US);
    TAP_EQ_INT(t.max_concurrency, 1);
    TAP_EQ_INT(t.retry_count, 3);
    TAP_EQ_INT(t.retry_interval_s, 60);
    TAP_EQ_INT(t.dependency_count, 2);
    TAP_EQ_INT(t.dependencies[0].size_us, (int64_t)26 * HOUR_S * S_US);
    TAP_EQ_INT(t.dependencies[0].offset_us, -HOUR_S * S_US);
    TAP_TRUE(dl_str_eq(t.dependencies[1].trigger, DL_STR("hourly")));
    TAP_EQ_INT(t.parameter_count, 1);
    TAP_TRUE(dl_str_eq(t.parameters[0].value, DL_STR("100")));
}

TAP_CASE(defaults_are_data_factorys)
{
    new_arena();
    dl_factory_trigger t;
    dl_error err = {0};
    TAP_OK(dl_factory_read_trigger(DL_STR(TUMBLING(HOURLY)), arena, &t, NULL, &err), err);
    TAP_EQ_INT(t.max_concurrency, 50);
    TAP_EQ_INT(t.retry_count, 0);
    TAP_EQ_INT(t.retry_interval_s, 30);
    TAP_EQ_INT(t.delay_us, 0);
    TAP_TRUE(t.end_us == INT64_MAX && !t.started);
    dl_factory_pipeline p;
    TAP_OK(dl_factory_read_pipeline(DL_STR(PIPELINE(ACTIVITY(ENDS))), arena, &p, NULL, &err), err);
    TAP_EQ_INT(p.timeout_s, 0);
    TAP_EQ_INT(p.retry_interval_s, 30);
    TAP_TRUE(p.profile == DL_PIPELINE_AUTO);
    dl_factory_connection c;
    TAP_OK(dl_factory_read_connection(DL_STR(CONNECTION("RestService", "\"url\":\"https://x\"")),
                                      arena, &c, NULL, &err),
           err);
    TAP_TRUE(dl_str_eq(c.resource, DL_STR("https://dicom.healthcareapis.azure.com")));
    TAP_TRUE(c.auth == DL_FACTORY_AUTH_ANONYMOUS);
    TAP_OK(dl_factory_read_connection(DL_STR(CONNECTION("AzureBlobFS", "\"url\":\"https://x\"")),
                                      arena, &c, NULL, &err),
           err);
    TAP_TRUE(c.auth == DL_FACTORY_AUTH_MANAGED_IDENTITY && c.type == DL_FACTORY_LAKE);
}

TAP_CASE(local_times_of_a_zone)
{
    new_arena();
    dl_factory_trigger t;
    dl_error err = {0};
    TAP_OK(dl_factory_read_trigger(
               DL_STR(SCHEDULE("\"frequency\":\"Day\",\"interval\":1,\"startTime\":"
                               "\"2026-07-01T02:30:00\",\"timeZone\":\"Europe/Berlin\"")),
               arena, &t, NULL, &err),
           err);
    int64_t want = 0;
    TAP_TRUE(dl_clock_parse(DL_STR("2026-07-01T00:30:00Z"), &want));
    TAP_EQ_INT(t.recurrence.start_us, want);
    dl_str text = again(DL_FACTORY_TRIGGER,
                        DL_STR(SCHEDULE("\"frequency\":\"Day\",\"interval\":1,\"startTime\":"
                                        "\"2026-07-01T02:30:00\",\"timeZone\":"
                                        "\"Europe/Berlin\"")));
    TAP_TRUE(holds(text, "\"startTime\": \"2026-07-01T02:30:00\""));
    TAP_TRUE(holds(text, "\"timeZone\": \"Europe/Berlin\""));
    /* The second 02:30 of a night with two is a moment that local time cannot say. */
    text = again(DL_FACTORY_TRIGGER,
                 DL_STR(SCHEDULE("\"frequency\":\"Day\",\"interval\":1,\"startTime\":"
                                 "\"2026-10-25T01:30:00Z\",\"timeZone\":\"Europe/Berlin\"")));
    TAP_TRUE(holds(text, "\"startTime\": \"2026-10-25T01:30:00Z\""));
}

/* ---- canonical text ---- */

static const struct {
    const char *name;
    dl_factory_kind kind;
    const char *json;
    const char *kept; /* what must stand in the text, compact */
} texts[] = {
    {"members of others at each level", DL_FACTORY_TRIGGER,
     "{\"etag\":\"e1\",\"name\":\"T\",\"properties\":{\"folder\":{\"name\":\"f\"},\"type\":"
     "\"TumblingWindowTrigger\"," PIPELINE_REF ",\"typeProperties\":{" HOURLY
     ",\"zz\":[1,{\"a\":null}],\"retryPolicy\":{\"more\":1.50}}}}",
     "\"zz\":[1,{\"a\":null}]"},
    {"a key with escapes", DL_FACTORY_TRIGGER,
     "{\"a\\\"b\\u00e9\":1,\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\"," PIPELINE_REF
     "}}",
     "\"a\\\"b\xc3\xa9\":1"},
    {"activities of others", DL_FACTORY_PIPELINE,
     PIPELINE("\"activities\":[{\"name\":\"w\",\"type\":\"Wait\"},{\"name\":\"Mine\",\"type\":"
              "\"SyncDicomTables\",\"x\":1,\"typeProperties\":{" ENDS "}}]"),
     "{\"name\":\"w\",\"type\":\"Wait\"},{\"name\":\"Mine\""},
    {"annotations", DL_FACTORY_CONNECTION,
     "{\"name\":\"C\",\"properties\":{\"type\":\"FileServer\",\"annotations\":[\"a\"],"
     "\"typeProperties\":{\"host\":\"/x\",\"userId\":\"u\"}}}",
     "\"annotations\":[\"a\"]"},
    {"a number stays a number", DL_FACTORY_PIPELINE,
     PIPELINE(ACTIVITY(ENDS) ",\"parameters\":{\"batchsize\":{\"type\":\"Int\",\"defaultValue\":"
                             "100}}"),
     "\"BatchSize\":{\"type\":\"int\",\"defaultValue\":100}"},
    {"a schedule", DL_FACTORY_TRIGGER,
     SCHEDULE("\"frequency\":\"Month\",\"interval\":1,\"startTime\":\"2026-01-01T00:00:00Z\","
              "\"schedule\":{\"hours\":[2,14],\"minutes\":[30],\"monthlyOccurrences\":[{\"day\":"
              "\"friday\",\"occurrence\":-1}]}"),
     "\"monthlyOccurrences\":[{\"day\":\"Friday\",\"occurrence\":-1}]"},
    {"spans of days", DL_FACTORY_TRIGGER, TUMBLING(HOURLY ",\"delay\":\"0001.00:00:01\""),
     "\"delay\":\"1.00:00:01\""},
    {"on change", DL_FACTORY_TRIGGER,
     "{\"name\":\"T\",\"properties\":{\"type\":\"changetrigger\"," PIPELINE_REF
     ",\"typeProperties\":{\"quietPeriod\":\"00:01:00\"}}}",
     "\"quietPeriod\":\"00:01:00\",\"maxConcurrency\":1"},
    {"a secret's reference", DL_FACTORY_CONNECTION,
     CONNECTION("RestService", "\"url\":\"https://x\",\"authenticationType\":\"bearer\","
                               "\"token\":{\"path\":\"/run/secrets/x\",\"type\":\"file\"}"),
     "\"token\":{\"type\":\"File\",\"path\":\"/run/secrets/x\"}"},
};

static dl_document_action keep(void *context, dl_str path, dl_str key, dl_str value,
                               dl_str *out_value)
{
    (void)context, (void)path, (void)key, (void)value, (void)out_value;
    return DL_DOCUMENT_KEEP;
}

static void each_text(void)
{
    for (size_t i = 0; i < DL_COUNT_OF(texts); i++) {
        TAP_ROW_BEGIN();
        new_arena();
        dl_error err = {0};
        dl_str first = again(texts[i].kind, dl_str_of(texts[i].json));
        dl_str second = again(texts[i].kind, first);
        TAP_TRUE(dl_str_eq(first, second));
        TAP_TRUE(dl_json_check(first, NULL) == DL_OK);
        DL_AUTO_BUF compact = {0};
        dl_buf_init(&compact, BIG);
        /* Compact again, with the pretty layout's spaces gone. */
        TAP_OK(dl_document_copy(first, keep, NULL, &compact, &err), err);
        if (!holds(dl_buf_str(&compact), texts[i].kept)) {
            TAP_FAIL("%.*s", DL_STR_ARG(dl_buf_str(&compact)));
        }
        TAP_ROW_END(texts[i].name);
    }
}

/* ---- what is not understood ---- */

TAP_CASE(unknown_members_are_listed)
{
    new_arena();
    dl_factory_unknown unknown = {0};
    dl_error err = {0};
    TAP_OK(
        read_any(DL_FACTORY_TRIGGER,
                 DL_STR("{\"zzz\":1,\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\","
                        "\"colour\":\"red\"," PIPELINE_REF ",\"typeProperties\":{\"speed\":1}}}"),
                 &unknown, &err),
        err);
    TAP_EQ_INT(unknown.count, 3);
    TAP_TRUE(dl_str_eq(unknown.paths[0], DL_STR("zzz")));
    TAP_TRUE(dl_str_eq(unknown.paths[1], DL_STR("properties.colour")));
    TAP_TRUE(dl_str_eq(unknown.paths[2], DL_STR("properties.typeProperties.speed")));
}

TAP_CASE(unknown_members_past_the_list_are_counted)
{
    new_arena();
    DL_AUTO_BUF json = {0};
    dl_error err = {0};
    dl_factory_unknown unknown = {0};
    dl_buf_init(&json, BIG);
    TAP_OK(dl_buf_printf(&json, &err, "{"), err);
    for (int i = 0; i <= DL_FACTORY_UNKNOWN_LIMIT; i++) {
        TAP_OK(dl_buf_printf(&json, &err, "\"x%d\":1,", i), err);
    }
    TAP_OK(dl_buf_printf(&json, &err,
                         "\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\"," PIPELINE_REF
                         "}}"),
           err);
    TAP_OK(read_any(DL_FACTORY_TRIGGER, dl_buf_str(&json), &unknown, &err), err);
    TAP_EQ_INT(unknown.count, DL_FACTORY_UNKNOWN_LIMIT + 1);
}

/* ---- bounds of the whole ---- */

TAP_CASE(size_at_its_bound_and_past_it)
{
    for (int past = 0; past < 2; past++) {
        new_arena();
        DL_AUTO_BUF json = {0};
        dl_error err = {0};
        dl_buf_init(&json, BIG);
        TAP_OK(dl_buf_printf(
                   &json, &err,
                   "{\"name\":\"T\",\"properties\":{\"type\":\"ManualTrigger\"," PIPELINE_REF "}}"),
               err);
        while (json.len < (size_t)DL_FACTORY_DOCUMENT_LIMIT_BYTES + (size_t)past) {
            TAP_OK(dl_buf_append_char(&json, ' ', &err), err);
        }
        TAP_EQ_INT(read_any(DL_FACTORY_TRIGGER, dl_buf_str(&json), NULL, &err),
                   past != 0 ? DL_E_LIMIT : DL_OK);
    }
}

TAP_CASE(a_byte_order_mark_is_passed_over)
{
    new_arena();
    dl_error err = {0};
    TAP_OK(read_any(DL_FACTORY_TRIGGER, DL_STR("\xef\xbb\xbf" TUMBLING(HOURLY)), NULL, &err), err);
}

TAP_CASE(names_at_their_bound_and_past_it)
{
    char name[DL_FACTORY_NAME_LIMIT + 1];
    memset(name, 'a', sizeof name);
    dl_error err = {0};
    TAP_OK(dl_factory_name_check((dl_str){name, DL_FACTORY_NAME_LIMIT}, "pipeline", &err), err);
    TAP_EQ_INT(dl_factory_name_check((dl_str){name, DL_FACTORY_NAME_LIMIT + 1}, "pipeline", &err),
               DL_E_INVALID);
    TAP_TRUE(strstr(err.message, "pipeline") != NULL && err.hint[0] != '\0');
    TAP_EQ_INT(dl_factory_name_check(DL_STR(""), "pipeline", NULL), DL_E_INVALID);
    static const char *const bad[] = {"a b", "a.b", "a/b", "\xc3\xa9", "a\n", "..", "a\\"};
    for (size_t i = 0; i < DL_COUNT_OF(bad); i++) {
        TAP_EQ_INT(dl_factory_name_check(dl_str_of(bad[i]), "x", NULL), DL_E_INVALID);
    }
    TAP_OK(dl_factory_name_check(DL_STR("Az09-_"), "x", &err), err);
}

/* ---- the engine's parameters ---- */

TAP_CASE(parameters_of_a_run)
{
    dl_pipeline_parameters out = dl_pipeline_parameters_default();
    dl_error err = {0};
    const dl_factory_parameter good[] = {
        {DL_STR("BatchSize"), DL_STR("int"), DL_STR("50")},
        {DL_STR("StartTime"), DL_STR("string"), DL_STR("2026-01-01T00:00:00Z")},
        {DL_STR("EndTime"), DL_STR("string"), DL_STR_NONE}};
    TAP_OK(dl_factory_parameters(good, DL_COUNT_OF(good), &out, &err), err);
    TAP_EQ_INT(out.batch_size, 50);
    const dl_factory_parameter unknown[] = {{DL_STR("Foo"), DL_STR("int"), DL_STR("1")}};
    TAP_EQ_INT(dl_factory_parameters(unknown, 1, &out, &err), DL_E_NOT_FOUND);
    TAP_TRUE(strstr(err.hint, "RetentionHours") != NULL);
    TAP_EQ_INT(out.batch_size, 50); /* untouched */
    char text[1100];
    memset(text, 'x', sizeof text);
    const dl_factory_parameter lengthy[] = {
        {DL_STR("ContainerName"), DL_STR("string"), {text, sizeof text}}};
    TAP_EQ_INT(dl_factory_parameters(lengthy, 1, &out, &err), DL_E_INVALID);
    const dl_factory_parameter backwards[] = {
        {DL_STR("StartTime"), DL_STR("string"), DL_STR("2026-01-02T00:00:00Z")},
        {DL_STR("EndTime"), DL_STR("string"), DL_STR("2026-01-01T00:00:00Z")}};
    TAP_EQ_INT(dl_factory_parameters(backwards, 2, &out, &err), DL_E_INVALID);
}

/* ---- masks ---- */

TAP_CASE(masks_hide_secrets_only)
{
    DL_AUTO_BUF out = {0};
    dl_error err = {0};
    dl_buf_init(&out, BIG);
    TAP_OK(dl_document_mask(DL_STR("{\"a\":1,\"password\":\"hunter2\",\"token\":{\"type\":\"File\","
                                   "\"path\":\"/x\"},\"l\":[\"https://x?sig=hunter2\"]}"),
                            &out, &err),
           err);
    TAP_TRUE(dl_str_eq(dl_buf_str(&out),
                       DL_STR("{\"a\":1,\"password\":\"**********\",\"token\":{\"type\":\"File\","
                              "\"path\":\"/x\"},\"l\":[\"**********\"]}")));
}

int main(void)
{
    each_case();
    TAP_RUN(tumbling_values);
    TAP_RUN(defaults_are_data_factorys);
    TAP_RUN(local_times_of_a_zone);
    each_text();
    TAP_RUN(unknown_members_are_listed);
    TAP_RUN(unknown_members_past_the_list_are_counted);
    TAP_RUN(size_at_its_bound_and_past_it);
    TAP_RUN(a_byte_order_mark_is_passed_over);
    TAP_RUN(names_at_their_bound_and_past_it);
    TAP_RUN(parameters_of_a_run);
    TAP_RUN(masks_hide_secrets_only);
    dl_arena_destroy(arena);
    return tap_done();
}
